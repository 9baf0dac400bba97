//! The data plane, driven by a thread that may wait for it.
//!
//! Orders are carried out one after the other and answered when they are in force. A data plane that refuses, hangs or
//! ends is dropped, so that nothing flows, and core hears that it is gone, once for each start.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Input, PlaneOrder, PlaneReport, PlaneStart};
use tidegate_netconfig::desired::LinkName;
use tidegate_wg_io::{
    Config, Control, DataPlane, DeviceStatus, Families, Link, Offload, STATUS_DIRECTORY,
    StatusSocket, StopReason, TunConfig, UdpConfig,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::allowed::Allowed;
use super::inbox::{Inbox, Message};
use super::pings::Pings;

/// Orders that may wait.
const ORDERS: usize = 256;
/// Flows that the filter remembers.
const FLOWS: usize = 1 << 16;
/// A data plane that cannot be started is tried again after this.
const RETRY: Duration = Duration::from_secs(2);
/// How long it may take to end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What every data plane of this daemon has in common.
#[derive(Clone)]
pub(super) struct PlaneSettings {
    /// Name of the interface.
    pub(super) interface: LinkName,
    /// The UDP port; 0 lets the kernel choose.
    pub(super) port: u16,
    /// Mark on every datagram.
    pub(super) fwmark: u32,
}

/// A data plane that runs.
#[derive(Clone)]
pub(crate) struct Running {
    /// To ask it.
    pub(crate) control: Control,
    /// Its UDP port.
    pub(crate) port: u16,
    generation: u64,
}

/// Where orders are given.
pub(super) struct Plane {
    orders: mpsc::Sender<Order>,
    running: watch::Receiver<Option<Running>>,
    thread: std::thread::JoinHandle<()>,
}

enum Order {
    Core(PlaneOrder),
    /// The data plane of this generation has ended by itself.
    Ended(u64),
}

impl Plane {
    /// Starts the thread that drives; a data plane comes with core's first order.
    pub(super) fn start(
        settings: PlaneSettings,
        allowed: Arc<Allowed>,
        pings: Arc<Pings>,
        inbox: Inbox,
    ) -> std::io::Result<Self> {
        let (orders, queue) = mpsc::channel(ORDERS);
        let (running, seen) = watch::channel(None);
        let driver = Driver {
            settings,
            allowed,
            pings,
            inbox,
            queue,
            ended: orders.downgrade(),
            running,
            runtime: Handle::current(),
            plane: None,
            generation: 0,
        };
        let thread = std::thread::Builder::new()
            .name("plane".to_owned())
            .spawn(move || driver.run())?;
        Ok(Self {
            orders,
            running: seen,
            thread,
        })
    }

    /// Waits until the data plane has ended and its sockets are gone. One that hangs ends with the process.
    pub(super) async fn end(self) {
        let Self { orders, thread, .. } = self;
        drop(orders);
        let joined = tokio::task::spawn_blocking(move || thread.join());
        let _ = tokio::time::timeout(LAST_WORDS, joined).await;
    }

    /// Gives an order. `false`: there is no room, which means that the data plane hangs.
    pub(super) fn order(&self, order: PlaneOrder) -> bool {
        self.orders.try_send(Order::Core(order)).is_ok()
    }

    /// The data plane as it comes and goes.
    pub(super) fn running(&self) -> watch::Receiver<Option<Running>> {
        self.running.clone()
    }
}

struct Driver {
    settings: PlaneSettings,
    allowed: Arc<Allowed>,
    pings: Arc<Pings>,
    inbox: Inbox,
    queue: mpsc::Receiver<Order>,
    ended: mpsc::WeakSender<Order>,
    running: watch::Sender<Option<Running>>,
    runtime: Handle,
    plane: Option<(DataPlane, Option<StatusSocket>)>,
    generation: u64,
}

impl Driver {
    fn run(mut self) {
        while let Some(order) = self.queue.blocking_recv() {
            match order {
                Order::Core(PlaneOrder::Start(start)) => self.begin(start),
                Order::Core(PlaneOrder::Apply { token, commands }) => {
                    let Some((plane, _)) = &self.plane else {
                        continue;
                    };
                    match plane.control().apply_all(commands) {
                        Ok(()) => self.report(PlaneReport::Applied(token)),
                        Err(error) => {
                            tracing::error!(%error, "the data plane did not do as it was told; it is started again");
                            self.lose();
                        }
                    }
                }
                Order::Core(PlaneOrder::Stop) => self.stop(),
                Order::Ended(generation) if generation == self.generation => self.lose(),
                Order::Ended(_) => {}
            }
        }
        self.stop();
    }

    fn begin(&mut self, start: PlaneStart) {
        self.stop();
        self.generation += 1;
        match DataPlane::start(self.config(start)) {
            Ok((plane, notices)) => {
                let (control, port) = (plane.control(), plane.port());
                let status = self.open_status_socket(&control);
                self.listen(notices);
                self.plane = Some((plane, status));
                self.running.send_replace(Some(Running {
                    control,
                    port,
                    generation: self.generation,
                }));
                // The port may be another than before, and is announced.
                let _ = self.inbox.blocking_send(Message::Underlay);
            }
            Err(error) => {
                tracing::error!(%error, "the data plane does not start; it is tried again");
                let inbox = self.inbox.clone();
                self.runtime.spawn(async move {
                    tokio::time::sleep(RETRY).await;
                    let gone = Input::Plane(PlaneReport::Gone);
                    let _ = inbox.send(Message::Core(gone)).await;
                });
            }
        }
    }

    fn config(&self, start: PlaneStart) -> Config {
        Config {
            tun: TunConfig {
                name: self.settings.interface.to_string(),
                mtu: start.mtu,
                link: Link::LeaveDown,
                offload: Offload::Try,
            },
            udp: UdpConfig {
                port: self.settings.port,
                families: Families::Both,
                fwmark: Some(self.settings.fwmark),
                offload: Offload::Try,
            },
            key: start.key,
            addresses: start.addresses,
            flows: FLOWS,
        }
    }

    /// Goes on without where the directory cannot be written.
    fn open_status_socket(&self, control: &Control) -> Option<StatusSocket> {
        let (control, allowed, fwmark) = (
            control.clone(),
            Arc::clone(&self.allowed),
            self.settings.fwmark,
        );
        let status = move || {
            let (status, io) = (control.status()?, control.io_status()?);
            Ok(DeviceStatus::new(&status, &io, Some(fwmark), |peer| {
                allowed.of(peer)
            }))
        };
        let name = self.settings.interface.as_str();
        StatusSocket::open(STATUS_DIRECTORY.as_ref(), name, status)
            .inspect_err(|error| tracing::info!(%error, "going on without `wg show`"))
            .ok()
    }

    /// Passes on what the data plane says.
    fn listen(&self, mut notices: mpsc::Receiver<tidegate_wg_io::Notice>) {
        use tidegate_wg_io::Notice;
        let (inbox, pings) = (self.inbox.clone(), Arc::clone(&self.pings));
        let (ended, generation) = (self.ended.clone(), self.generation);
        self.runtime.spawn(async move {
            while let Some(notice) = notices.recv().await {
                let event = match notice {
                    Notice::Engine(tidegate_wg::Event::Pong {
                        token, round_trip, ..
                    }) => {
                        pings.answer(token, round_trip);
                        continue;
                    }
                    Notice::Engine(event) => event,
                    Notice::Lost => tidegate_wg::Event::Overflow,
                    Notice::Stopped(StopReason::Asked) => return,
                    Notice::Stopped(_) => {
                        if let Some(ended) = ended.upgrade() {
                            let _ = ended.send(Order::Ended(generation)).await;
                        }
                        return;
                    }
                    _ => continue,
                };
                let report = Input::Plane(PlaneReport::Event(event));
                if inbox.send(Message::Core(report)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// The data plane is useless: it is dropped, and core told.
    fn lose(&mut self) {
        if self.plane.is_some() {
            self.stop();
            self.report(PlaneReport::Gone);
        }
    }

    fn stop(&mut self) {
        self.running.send_replace(None);
        self.plane = None;
    }

    fn report(&self, report: PlaneReport) {
        // The loop has ended when nobody takes it.
        let _ = self
            .inbox
            .blocking_send(Message::Core(Input::Plane(report)));
    }
}

impl Running {
    /// Tells one data plane from the next of the same daemon.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}
