//! Starting and ending the data thread.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use tidegate_wg::{Engine, EngineConfig, Local, PrivateKey};
use tokio::sync::mpsc::Receiver;

use crate::clock::now;
use crate::control::{Control, ORDERS};
use crate::error::StartError;
use crate::herald::Herald;
use crate::inlet::Device;
use crate::notice::{Notice, StopReason};
use crate::outbox::Outbox;
use crate::plane::{Plane, Work};
use crate::tun::{Tun, TunConfig};
use crate::udp::{Sockets, UdpConfig};
use crate::wake::Wake;

/// What a data plane is made from.
#[derive(Clone)]
pub struct Config {
    /// The TUN device.
    pub tun: TunConfig,
    /// The sockets.
    pub udp: UdpConfig,
    /// Our WireGuard key.
    pub key: PrivateKey,
    /// Our addresses in the overlay.
    pub addresses: Vec<IpAddr>,
    /// How many flows the filter remembers at most.
    pub flows: usize,
}

/// A running data plane. Dropping it ends the thread, closes the sockets and takes the interface away.
#[derive(Debug)]
pub struct DataPlane {
    control: Control,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl DataPlane {
    /// Creates the interface, binds the sockets and starts the thread. Nothing flows before peers, routes and
    /// a policy are applied.
    ///
    /// The receiver gets every [`Notice`]; its last is [`Notice::Stopped`]. It may be read late or never:
    /// the data thread does not wait.
    pub fn start(config: Config) -> Result<(Self, Receiver<Notice>), StartError> {
        let tun = Tun::create(&config.tun)?;
        let sockets = Sockets::bind(&config.udp)?;
        let port = sockets.port()?;
        let wake = Wake::new().map_err(StartError::Thread)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, orders) = sync_channel(ORDERS);
        let (herald, notices) = Herald::new();
        let plane = Plane {
            engine: engine(config)?,
            inlet: Device::merger(tun),
            outbox: Outbox::new(sockets),
            work: Work::new(),
            orders,
            stop: Arc::clone(&stop),
            wake: wake.clone(),
            herald,
            port,
        };
        let thread = std::thread::Builder::new()
            .name("wg-data".to_owned())
            .spawn(move || run(plane))
            .map_err(StartError::Thread)?;
        let data_plane = Self {
            control: Control::new(sender, stop, wake),
            port,
            thread: Some(thread),
        };
        Ok((data_plane, notices))
    }

    /// A handle to command the data thread with.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The UDP port, also where the kernel chose it.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn engine(config: Config) -> Result<Engine, StartError> {
    let mut seed = [0; 32];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut seed, flags).map_err(|error| StartError::Thread(error.into()))?;
    let config = EngineConfig {
        key: config.key,
        local: Local {
            addresses: config.addresses,
            mtu: config.tun.mtu,
        },
        flows: config.flows,
        seed,
    };
    Ok(Engine::new(config, now()))
}

/// The thread never ends without saying why.
fn run(mut plane: Plane) {
    let result = catch_unwind(AssertUnwindSafe(|| plane.run()));
    let reason = result.unwrap_or(StopReason::Panicked);
    match reason {
        StopReason::Asked => tracing::debug!("the data thread ends"),
        reason => tracing::error!(?reason, "the data thread ends, nothing flows any more"),
    }
    plane.herald.finish(reason);
}
