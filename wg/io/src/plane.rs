//! The data thread: it owns the TUN device, the sockets and the engine.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tidegate_wg::{ApplyError, Command, Engine, Mono, Now};

use crate::clock::now;
use crate::control::Order;
use crate::counters::{IoStatus, Offloads};
use crate::herald::Herald;
use crate::inbox::Inbox;
use crate::inlet::{Device, Inlet};
use crate::notice::{Fault, Notice, Part, StopReason};
use crate::outbox::Outbox;
use crate::rest::Rest;
use crate::udp::FAMILIES;
use crate::wake::Wake;

/// Frames that are read from the TUN before the sockets get their turn again, if they are small.
const FRAMES: usize = 32;
/// Bytes that are read from the TUN before the sockets get their turn again: four large frames.
const FRAME_BYTES: usize = 4 << 16;
/// Longer than any frame, with room behind it for the engine to pad in place.
const FRAME: usize = 66_000;

/// Everything the data thread owns.
///
/// To shard by peer, make one of these per thread, each with a queue of the same device and sockets of the
/// same port; nothing in here is shared but the channels. Who sends what to which shard is the engine's
/// question, not this thread's.
pub(crate) struct Plane {
    pub(crate) engine: Engine,
    pub(crate) inlet: Inlet,
    pub(crate) outbox: Outbox,
    pub(crate) work: Work,
    pub(crate) orders: Receiver<Order>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) wake: Wake,
    pub(crate) herald: Herald,
    pub(crate) port: u16,
}

/// Buffers, and the state of the loop.
pub(crate) struct Work {
    inbox: Inbox,
    frame: Box<[u8]>,
    now: Now,
    tun: Rest,
    udp: Rest,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            frame: vec![0; FRAME].into_boxed_slice(),
            now: now(),
            tun: Rest::default(),
            udp: Rest::default(),
        }
    }
}

impl Plane {
    /// Runs until told to stop or until the interface is gone.
    pub(crate) fn run(&mut self) -> StopReason {
        while !self.stop.load(Ordering::Acquire) {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => self.wait(),
                Err(reason) => return reason,
            }
        }
        StopReason::Asked
    }

    /// One round over all that can have work; false where there was none.
    fn turn(&mut self) -> Result<bool, StopReason> {
        let mut busy = self.carry_out_orders();
        busy |= self.receive();
        busy |= self.transmit()?;
        self.keep_time();
        self.flush();
        self.pass_on_events();
        Ok(busy)
    }

    /// Every buffer is empty between turns, so what an order forbids is in none of them.
    fn carry_out_orders(&mut self) -> bool {
        let mut any = false;
        while let Ok(order) = self.orders.try_recv() {
            any = true;
            self.carry_out(order);
        }
        any
    }

    fn carry_out(&mut self, order: Order) {
        // Whoever asked may have gone: an answer that nobody takes is dropped.
        match order {
            Order::Apply(commands, answer) => {
                let result = self.apply(commands);
                self.flush();
                let _ = answer.send(result.map_err(Into::into));
            }
            Order::Status(answer) => drop(answer.send(self.engine.status(now()))),
            Order::Io(answer) => drop(answer.send(self.io_status())),
        }
    }

    fn apply(&mut self, commands: Vec<Command>) -> Result<(), ApplyError> {
        let now = self.sample();
        commands
            .into_iter()
            .try_for_each(|command| self.engine.apply(command, &mut self.outbox, now))
    }

    fn receive(&mut self) -> bool {
        let mut any = false;
        for family in 0..FAMILIES {
            if !self.work.udp.is_over(self.work.now.mono) {
                return any;
            }
            match self.outbox.sockets().receive(family, &mut self.work.inbox) {
                Ok(false) => {}
                Ok(true) => {
                    any = true;
                    self.work.udp.works();
                    self.open_all();
                }
                Err(error) => self.fault(Part::Udp, error),
            }
        }
        any
    }

    fn open_all(&mut self) {
        let now = self.sample();
        let (engine, outbox, inlet) = (&mut self.engine, &mut self.outbox, &mut self.inlet);
        for train in self.work.inbox.trains() {
            engine.handle_incoming(train.bytes, train.stride, train.from, outbox, inlet, now);
        }
        inlet.flush();
    }

    fn transmit(&mut self) -> Result<bool, StopReason> {
        let (mut frames, mut bytes) = (0, 0);
        while frames < FRAMES && bytes < FRAME_BYTES {
            if !self.work.tun.is_over(self.work.now.mono) {
                break;
            }
            match self.inlet.writer_mut().read(&mut self.work.frame) {
                Ok(Some(length)) => {
                    self.seal(length);
                    frames += 1;
                    bytes += length;
                }
                Ok(None) => break,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::BADFD) => {
                    return Err(StopReason::InterfaceGone);
                }
                Err(error) => self.fault(Part::Tun, error),
            }
        }
        Ok(frames > 0)
    }

    fn seal(&mut self, length: usize) {
        self.work.tun.works();
        let now = self.sample();
        let frame = &mut self.work.frame;
        self.engine
            .handle_outgoing(frame, length, &mut self.outbox, &mut self.inlet, now);
    }

    fn keep_time(&mut self) {
        let due = |at: Mono| at <= self.work.now.mono;
        if self.engine.poll_timeout().is_some_and(due) {
            let now = self.sample();
            self.engine.handle_timeout(&mut self.outbox, now);
        }
    }

    fn flush(&mut self) {
        self.outbox.flush();
        self.inlet.flush();
        if let Some(merges) = self.inlet.writer_mut().fewer_merges() {
            self.inlet.set_merges(merges);
        }
    }

    fn pass_on_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.herald.tell(Notice::Engine(event));
        }
    }

    /// Reads the clocks; what is sealed or opened from here on was allowed at this instant.
    #[inline]
    fn sample(&mut self) -> Now {
        let now = now();
        self.work.now = now;
        self.outbox.checked_at(now.mono);
        self.inlet.writer_mut().checked_at(now.mono);
        now
    }

    #[cold]
    fn fault(&mut self, part: Part, error: io::Error) {
        let rest = match part {
            Part::Tun => &mut self.work.tun,
            Part::Udp => &mut self.work.udp,
        };
        let pause = rest.begin(now().mono);
        tracing::warn!(?part, %error, ?pause, "a descriptor gives errors");
        self.herald
            .tell(Notice::Fault(Fault { part, error, pause }));
    }

    /// Sleeps until something is there to do.
    fn wait(&mut self) {
        let before = now().mono;
        let timeout = self.next_timeout().map(|at| timespec(at, before));
        let tun = self.work.tun.is_over(before);
        let udp = self.work.udp.is_over(before);
        let device: &Device = self.inlet.writer_mut();
        let bell = PollFd::new(&self.wake, PollFlags::IN);
        let mut waiting = [bell.clone(), bell.clone(), bell.clone(), bell];
        let sockets = self.outbox.sockets().each().map(AsFd::as_fd);
        let wanted = tun.then(|| device.as_fd()).into_iter();
        let mut count = 1;
        for fd in wanted.chain(sockets.filter(|_| udp)) {
            waiting[count] = PollFd::from_borrowed_fd(fd, PollFlags::IN);
            count += 1;
        }
        match poll(&mut waiting[..count], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // Only memory can be short here, and that passes.
            Err(_) => std::thread::yield_now(),
        }
        if !waiting[0].revents().is_empty() {
            self.wake.hear();
        }
        self.work.now = now();
    }

    fn next_timeout(&self) -> Option<Mono> {
        let rests = [self.work.tun.until(), self.work.udp.until()];
        rests
            .into_iter()
            .flatten()
            .chain(self.engine.poll_timeout())
            .min()
    }

    fn io_status(&mut self) -> IoStatus {
        let device = self.inlet.writer_mut();
        let (tun, merges) = (device.counters(), device.merges());
        let sockets = self.outbox.sockets();
        IoStatus {
            port: self.port,
            offloads: Offloads {
                tun_tcp: merges.tcp,
                tun_udp: merges.udp,
                udp_send: sockets.each().all(crate::udp::Udp::has_segmentation),
                udp_receive: sockets.each().all(crate::udp::Udp::has_receive_offload),
            },
            tun,
            udp: sockets.counters(),
        }
    }
}

/// From `now` until `at`.
fn timespec(at: Mono, now: Mono) -> Timespec {
    let span = at.since(now);
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}
