//! The data plane, driven by a thread that may wait for it.
//!
//! Orders are carried out one after the other and answered when they are in force. A data plane that does not start, refuses,
//! hangs or ends is dropped, so that nothing flows, and only then core hears that it is gone.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Input, PlaneOrder, PlaneReport, PlaneStart, Token};
use tidegate_netconfig::desired::LinkName;
use tidegate_wg::Command;
use tidegate_wg_io::{
    Config, Control, DataPlane, DeviceStatus, Families, Link, Offload, STATUS_DIRECTORY,
    StatusSocket, StopReason, TunConfig, UdpConfig,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::allowed::Allowed;
use super::inbox::{Inbox, Message};
use super::orders::{self, Order, Orders, Queue};
use super::pings::Pings;

/// Orders that may wait.
const ORDERS: usize = 256;
/// Flows that the filter remembers.
const FLOWS: usize = 1 << 16;
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
    orders: Orders,
    running: watch::Receiver<Option<Running>>,
    thread: std::thread::JoinHandle<()>,
}

impl Plane {
    /// Starts the thread that drives; a data plane comes with core's first order.
    pub(super) fn start(
        settings: PlaneSettings,
        allowed: Arc<Allowed>,
        pings: Arc<Pings>,
        inbox: Inbox,
    ) -> std::io::Result<Self> {
        let (orders, queue) = orders::queue(ORDERS);
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
            live: None,
            last: Token(0),
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

    /// Gives an order. Where there is no room, the data plane is dropped, which [`Message::PlaneDropped`] says.
    pub(super) fn order(&mut self, order: PlaneOrder) {
        self.orders.give(order);
    }

    /// The data plane that did not keep up is dropped: what core is to hear.
    pub(super) fn dropped(&mut self) -> Option<PlaneReport> {
        let order = self.orders.dropped()?;
        let why = "it did not keep up with its orders".to_owned();
        Some(PlaneReport::Gone { order, why })
    }

    /// Ends the data plane. Nobody is told.
    pub(super) fn stop(&self) {
        self.orders.end();
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
    queue: Queue,
    ended: mpsc::WeakSender<Order>,
    running: watch::Sender<Option<Running>>,
    runtime: Handle,
    live: Option<Live>,
    /// The last order of core.
    last: Token,
    generation: u64,
}

/// A data plane that was started.
struct Live {
    start: Token,
    plane: DataPlane,
    _status: Option<StatusSocket>,
}

impl Driver {
    fn run(mut self) {
        while let Some(order) = self.queue.next() {
            match order {
                Order::Core(order) => self.carry_out(order),
                Order::Ended(start, reason) => self.ended(start, reason),
                Order::Lost => {
                    self.stop();
                    let _ = self.inbox.blocking_send(Message::PlaneDropped); // the loop has ended
                }
                Order::End => self.stop(),
            }
        }
        self.stop();
    }

    fn carry_out(&mut self, order: PlaneOrder) {
        let token = order.token();
        self.last = token;
        let done = match order {
            PlaneOrder::Start(start) => self.begin(start),
            PlaneOrder::Apply { commands, .. } => self.apply(commands),
            PlaneOrder::Stop { .. } => {
                self.stop();
                Ok(())
            }
        };
        match done {
            Ok(()) => self.report(PlaneReport::Applied(token)),
            Err(why) => self.lose(why),
        }
    }

    fn apply(&self, commands: Vec<Command>) -> Result<(), String> {
        let live = self.live.as_ref().ok_or("none runs")?;
        live.plane.control().apply_all(commands).map_err(|error| {
            tracing::error!(%error, "the data plane did not do as it was told; it is started again");
            format!("it did not do as it was told: {error}")
        })
    }

    fn begin(&mut self, start: PlaneStart) -> Result<(), String> {
        self.stop();
        self.generation += 1;
        let token = start.token;
        let (plane, notices) = DataPlane::start(self.config(start)).map_err(|error| {
            tracing::error!(%error, "the data plane does not start; it is tried again");
            error.to_string()
        })?;
        let (control, port) = (plane.control(), plane.port());
        self.listen(token, notices);
        self.live = Some(Live {
            start: token,
            _status: self.open_status_socket(&control),
            plane,
        });
        self.running.send_replace(Some(Running {
            control,
            port,
            generation: self.generation,
        }));
        // The port may be another than before, and is announced.
        let _ = self.inbox.blocking_send(Message::Underlay);
        Ok(())
    }

    fn ended(&mut self, start: Token, reason: StopReason) {
        if self.live.as_ref().is_some_and(|live| live.start == start) {
            tracing::error!(?reason, "the data plane has ended; it is started again");
            self.lose(match reason {
                StopReason::InterfaceGone => "somebody has deleted its interface".to_owned(),
                _ => "it has ended by itself; see the log".to_owned(),
            });
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
    fn listen(&self, start: Token, mut notices: mpsc::Receiver<tidegate_wg_io::Notice>) {
        use tidegate_wg_io::Notice;
        let (inbox, pings) = (self.inbox.clone(), Arc::clone(&self.pings));
        let ended = self.ended.clone();
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
                    Notice::Stopped(reason) => {
                        if let Some(ended) = ended.upgrade() {
                            let _ = ended.send(Order::Ended(start, reason)).await;
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

    /// There is no use in a data plane: it is dropped, and then core told.
    fn lose(&mut self, why: String) {
        self.stop();
        let order = self.last;
        self.report(PlaneReport::Gone { order, why });
    }

    fn stop(&mut self) {
        self.running.send_replace(None);
        self.live = None;
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
