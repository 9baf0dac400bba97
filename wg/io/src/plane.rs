//! The data thread: it owns the TUN device, the sockets and the engine.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tidegate_wg::{Engine, Mono, Now};

use crate::clock::now;
use crate::control::Order;
use crate::counters::{IoStatus, Offloads};
use crate::herald::Herald;
use crate::inbox::Inbox;
use crate::inlet::Inlet;
use crate::notice::{Part, StopReason};
use crate::outbox::Outbox;
use crate::udp::FAMILIES;
use crate::wake::Wake;

/// Frames that are read from the TUN before the sockets get their turn again.
const FRAMES: usize = 4;
/// Longer than any frame: header, 64 KiB, and room for the engine to work in place.
const FRAME: usize = 70_000;

/// Everything the data thread owns.
pub(crate) struct Plane {
    pub(crate) engine: Engine,
    pub(crate) inlet: Inlet,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) frame: Box<[u8]>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) wake: Wake,
    pub(crate) herald: Herald,
    pub(crate) port: u16,
}

impl Plane {
    pub(crate) fn new_frame() -> Box<[u8]> {
        vec![0; FRAME].into_boxed_slice()
    }

    /// Runs until told to stop or until the interface is gone.
    pub(crate) fn run(&mut self) -> StopReason {
        loop {
            if self.stop.load(Ordering::Acquire) {
                return StopReason::Asked;
            }
            match self.turn() {
                Ok(true) => {}
                Ok(false) => self.wait(),
                Err(reason) => return reason,
            }
        }
    }

    /// One round over all that can have work; false where there was none.
    fn turn(&mut self) -> Result<bool, StopReason> {
        let mut busy = self.carry_out_orders();
        busy |= self.receive();
        busy |= self.transmit()?;
        self.keep_time();
        self.flush();
        self.herald.pass_on(&mut self.engine);
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
                let now = self.sample();
                let result = commands
                    .into_iter()
                    .try_for_each(|command| self.engine.apply(command, now, &mut self.outbox));
                self.flush();
                let _ = answer.send(result.map_err(Into::into));
            }
            Order::Status(answer) => drop(answer.send(self.engine.status())),
            Order::Io(answer) => drop(answer.send(self.io_status())),
        }
    }

    fn receive(&mut self) -> bool {
        let mut any = false;
        for family in 0..FAMILIES {
            match self.outbox.sockets().receive(family, &mut self.inbox) {
                Ok(false) => {}
                Ok(true) => {
                    any = true;
                    self.open_all();
                }
                Err(error) => self.herald.fault(Part::Udp, error),
            }
        }
        any
    }

    fn open_all(&mut self) {
        let now = self.sample();
        for train in self.inbox.trains() {
            self.engine.handle_incoming(
                train.from,
                train.bytes,
                train.stride,
                now,
                &mut self.outbox,
                &mut self.inlet,
            );
        }
        self.inlet.flush();
    }

    fn transmit(&mut self) -> Result<bool, StopReason> {
        for turn in 0..FRAMES {
            match self.inlet.read(&mut self.frame) {
                Ok(length) => self.seal(length),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(turn > 0),
                Err(Errno::BADFD) => return Err(StopReason::InterfaceGone),
                Err(error) => {
                    self.herald.fault(Part::Tun, error.into());
                    return Ok(turn > 0);
                }
            }
        }
        Ok(true)
    }

    fn seal(&mut self, length: usize) {
        let now = self.sample();
        let frame = &mut self.frame[..length];
        self.engine
            .handle_outgoing(frame, now, &mut self.outbox, &mut self.inlet);
    }

    fn keep_time(&mut self) {
        if self.engine.poll_timeout().is_some_and(|due| due <= self.last.mono) {
            let now = self.sample();
            self.engine.handle_timeout(now, &mut self.outbox);
        }
    }

    fn flush(&mut self) {
        self.outbox.flush();
        self.inlet.flush();
    }

    /// Reads the clocks; what is sealed or opened from here on was allowed at this instant.
    fn sample(&mut self) -> Now {
        let now = now();
        self.outbox.checked_at(now.mono);
        self.inlet.checked_at(now.mono);
        now
    }
}
