//! Where the networks of a lab live.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{
    Command, LabError,
    delay::DelayLine,
    space::{Depth, Space, locked},
    wait_until,
};

/// What the kernel writes for a bridge port that forwards.
const FORWARDING: &str = "3";
const CARRIER: Duration = Duration::from_secs(10);

/// One namespace for all bridges of a lab. Bridges do not know each other, and nothing here has an address.
pub(crate) struct Switch {
    pub(crate) space: Arc<Space>,
    numbers: AtomicU32,
    lines: Mutex<Vec<Arc<DelayLine>>>,
}

impl Switch {
    pub(crate) fn new() -> Result<Self, LabError> {
        let space = Arc::new(Space::new("switch")?);
        // The switch only passes frames on; it must not talk itself.
        space
            .enter(Depth::Files, || {
                fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
            })?
            .map_err(LabError::os("silence the switch"))?;
        Ok(Self {
            space,
            numbers: AtomicU32::new(0),
            lines: Mutex::default(),
        })
    }

    /// A name that no other device or table in here has.
    pub(crate) fn unique(&self, kind: &str) -> String {
        format!("{kind}{}", self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs a batch of `ip` commands in here.
    pub(crate) fn ip(&self, batch: &str) -> Result<(), LabError> {
        on(&self.space, "ip")
            .args(["-batch", "-"])
            .input(batch)
            .run()
            .map(drop)
    }

    /// Loads nftables rules in here, all or none.
    pub(crate) fn nft(&self, rules: String) -> Result<(), LabError> {
        on(&self.space, "nft")
            .args(["-f", "-"])
            .input(rules)
            .run()
            .map(drop)
    }

    /// A new bridge.
    pub(crate) fn bridge(&self) -> Result<String, LabError> {
        let bridge = self.unique("bridge");
        self.ip(&format!(
            "link add name {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set {bridge} up\n"
        ))?;
        Ok(bridge)
    }

    /// Makes a device a port of a bridge.
    pub(crate) fn join(&self, device: &str, bridge: &str) -> Result<(), LabError> {
        self.ip(&format!("link set {device} master {bridge} up\n"))
    }

    /// Returns when frames pass a port, which the kernel may take its time to notice.
    pub(crate) fn await_forwarding(&self, port: &str) -> Result<(), LabError> {
        let path = format!("/sys/class/net/{port}/brport/state");
        self.space.enter(Depth::Files, || {
            wait_until(CARRIER, &format!("{port} of the switch to forward"), || {
                fs::read_to_string(&path).is_ok_and(|state| state.trim() == FORWARDING)
            })
        })?
    }

    /// Keeps a delay line, so that it ends with the switch and not with the last handle to its link.
    pub(crate) fn keep(&self, line: Arc<DelayLine>) {
        locked(&self.lines).push(line);
    }

    pub(crate) fn close(&self) {
        // A delay line holds devices open, and an open device holds the namespace.
        for line in locked(&self.lines).drain(..) {
            line.stop(self);
        }
        self.space.close();
    }
}

/// A command of the lab's own: in the network of `space`, but with the machine's files and process ids.
pub(crate) fn on(space: &Arc<Space>, program: &str) -> Command {
    Command::new(space, Depth::Network, program)
}
