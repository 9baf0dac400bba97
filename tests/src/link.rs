//! The cable between a host and a network.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    Host, LabError, Network,
    delay::DelayLine,
    space::locked,
    switch::{Switch, on},
};

const MILLION: u32 = 1_000_000;

/// Which way packets go on a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the host into the network.
    Out,
    /// From the network to the host.
    In,
}

/// A host's link to a network. A clone is another handle to the same link; dropping one changes nothing.
#[derive(Clone)]
pub struct Link {
    device: String,
    pub(crate) port: String,
    host: Host,
    pub(crate) switch: Arc<Switch>,
    bridge: String,
    fate: Arc<Mutex<Fate>>,
    line: Arc<Mutex<Option<Arc<DelayLine>>>>,
}

/// What becomes of the packets of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Fate {
    out: Way,
    r#in: Way,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Way {
    cut: bool,
    /// Lost packets in a million.
    lost: u32,
}

impl Link {
    pub(crate) fn new(network: &Network, host: &Host, device: String, port: String) -> Self {
        Self {
            device,
            port,
            host: host.clone(),
            switch: Arc::clone(&network.switch),
            bridge: network.bridge.clone(),
            fate: Arc::default(),
            line: Arc::default(),
        }
    }

    /// The host's device, such as `eth0`.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The host at the end of this link.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// From now on every packet vanishes, in both directions. Neither end is told: the device stays up.
    pub fn cut(&self) -> Result<(), LabError> {
        self.change(|fate| (fate.out.cut, fate.r#in.cut) = (true, true))
    }

    /// Like [`Link::cut`], in one direction only.
    pub fn cut_one_way(&self, direction: Direction) -> Result<(), LabError> {
        self.change(|fate| fate.way(direction).cut = true)
    }

    /// Undoes every cut. A loss stays as it was set.
    pub fn heal(&self) -> Result<(), LabError> {
        self.change(|fate| (fate.out.cut, fate.r#in.cut) = (false, false))
    }

    /// Pulls the cable: the host's device loses its carrier.
    pub fn unplug(&self) -> Result<(), LabError> {
        self.switch.ip(&format!("link set {} down\n", self.port))
    }

    /// Puts the cable back in. The link passes packets when this returns.
    pub fn plug(&self) -> Result<(), LabError> {
        self.switch.ip(&format!("link set {} up\n", self.port))?;
        self.switch.await_forwarding(&self.port)
    }

    /// From now on each packet is lost with this probability, independently in each direction. 0 ends it.
    pub fn lose(&self, rate: f64) -> Result<(), LabError> {
        let lost = per_million(rate)?;
        self.change(|fate| (fate.out.lost, fate.r#in.lost) = (lost, lost))
    }

    /// Like [`Link::lose`], in one direction only.
    pub fn lose_one_way(&self, direction: Direction, rate: f64) -> Result<(), LabError> {
        let lost = per_million(rate)?;
        self.change(|fate| fate.way(direction).lost = lost)
    }

    /// From now on each packet takes this much longer, in each direction, so a round trip takes twice that.
    ///
    /// Packets stay in order. Whatever the link carries is delayed, and at most 65,536 packets are under way each
    /// way. The first call moves the link onto a slower path through this process; 0 then ends the delay only.
    pub fn delay(&self, delay: Duration) -> Result<(), LabError> {
        let mut slot = locked(&self.line);
        let line = match slot.as_ref() {
            Some(line) => line,
            None => {
                let line = Arc::new(DelayLine::insert(&self.switch, &self.bridge, &self.port)?);
                self.switch.keep(Arc::clone(&line));
                slot.insert(line)
            }
        };
        line.set(delay);
        Ok(())
    }

    /// Sets the largest packet that the link takes, at both ends.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), LabError> {
        self.switch
            .ip(&format!("link set {} mtu {mtu}\n", self.port))?;
        on(&self.host.space, "ip")
            .args(["link", "set", &self.device, "mtu", &mtu.to_string()])
            .run()
            .map(drop)
    }

    /// Rules are replaced in one transaction, so no packet sees a state in between.
    fn change(&self, change: impl FnOnce(&mut Fate)) -> Result<(), LabError> {
        let mut fate = locked(&self.fate);
        let mut changed = *fate;
        change(&mut changed);
        self.switch.nft(changed.rules(&self.port))?;
        *fate = changed;
        Ok(())
    }
}

impl Fate {
    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.r#in,
        }
    }

    /// A link without impairment has no rule, so that it costs nothing.
    fn rules(&self, port: &str) -> String {
        let mut rules = format!("table netdev fate_{port}\ndelete table netdev fate_{port}\n");
        for (hook, way) in [("ingress", self.out), ("egress", self.r#in)] {
            let Some(verdict) = way.verdict() else {
                continue;
            };
            let _ = writeln!(
                rules,
                "table netdev fate_{port} {{\nchain {hook} {{\n\
                 type filter hook {hook} device {port} priority 0;\n{verdict}\n}}\n}}"
            );
        }
        rules
    }
}

impl Way {
    fn verdict(self) -> Option<String> {
        match self {
            Self { cut: true, .. } => Some("drop".to_owned()),
            Self { lost: 0, .. } => None,
            Self { lost: MILLION, .. } => Some("drop".to_owned()),
            Self { lost, .. } => Some(format!("numgen random mod {MILLION} < {lost} drop")),
        }
    }
}

fn per_million(rate: f64) -> Result<u32, LabError> {
    if !(0.0..=1.0).contains(&rate) {
        return Err(LabError::Value {
            what: "a loss rate",
            value: rate.to_string(),
            must: "from 0 to 1",
        });
    }
    // In range by the check above, and `as` saturates.
    Ok((rate * f64::from(MILLION)).round() as u32)
}
