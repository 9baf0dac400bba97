//! Asking the kernel: requests with an answer each, many at once, and dumps streamed through one buffer.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr};

use super::frame::{Meaning, append, append_route, frames};
use super::{Errno, NetlinkError};

/// The kernel's largest dump datagram.
const BUFFER: usize = 64 << 10;

/// Requests sent at once. Their answers must fit into the socket's receive buffer.
const BATCH: usize = 64;

/// How often a dump is repeated that changed while it was read.
const ATTEMPTS: usize = 4;

/// What to do when the object is there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Existing {
    /// It is an error: it may be somebody else's.
    Refuse,
    /// Not an object that is created.
    Irrelevant,
}

/// A blocking socket to the kernel.
pub(crate) struct Netlink {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket of a netlink family, such as `NETLINK_ROUTE`.
    pub(crate) fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let failed = |error: std::io::Error| NetlinkError::socket(&error);
        let mut socket = Socket::new(protocol).map_err(failed)?;
        let port = socket.bind_auto().map_err(failed)?.port_number();
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        socket.set_cap_ack(true).map_err(failed)?;
        // Without it, the kernel ignores a dump's filters. Only the routing family knows it.
        let strict = socket.set_netlink_get_strict_chk(true);
        if protocol == netlink_sys::protocols::NETLINK_ROUTE {
            strict.map_err(failed)?;
        }
        Ok(Self {
            socket,
            port,
            sequence: 0,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    /// Our address on the bus: notifications of our own changes carry it.
    pub(crate) const fn port(&self) -> u32 {
        self.port
    }

    /// Sends requests, and gives each one's answer in order.
    pub(crate) fn request(
        &mut self,
        requests: &[(RouteNetlinkMessage, Existing)],
    ) -> Result<Vec<Result<(), NetlinkError>>, NetlinkError> {
        let mut answers = Vec::with_capacity(requests.len());
        for batch in requests.chunks(BATCH) {
            let first = self.sequence.wrapping_add(1);
            let mut datagram = Vec::new();
            for (message, existing) in batch {
                self.sequence = self.sequence.wrapping_add(1);
                append_route(&mut datagram, message, flags(*existing), self.sequence);
            }
            self.send(&datagram)?;
            answers.extend(self.answers(first, batch.len())?);
        }
        Ok(answers)
    }

    /// Sends one request.
    pub(crate) fn request_one(
        &mut self,
        message: RouteNetlinkMessage,
        existing: Existing,
    ) -> Result<(), NetlinkError> {
        self.request(&[(message, existing)])?
            .pop()
            .unwrap_or(Err(NetlinkError::Malformed))
    }

    /// Sends one request of any kind.
    pub(crate) fn request_raw(&mut self, kind: u16, payload: &[u8]) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        append(
            &mut datagram,
            kind,
            NLM_F_REQUEST | NLM_F_ACK,
            self.sequence,
            payload,
        );
        self.send(&datagram)?;
        self.answers(self.sequence, 1)?
            .pop()
            .unwrap_or(Err(NetlinkError::Malformed))
    }

    /// Asks for one object; `None` when there is none.
    pub(crate) fn find(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        append_route(&mut datagram, &message, NLM_F_REQUEST, self.sequence);
        self.send(&datagram)?;
        loop {
            self.receive()?;
            for frame in frames(&self.buffer).filter(|frame| frame.sequence == self.sequence) {
                match frame.meaning() {
                    Meaning::Data => {
                        return frame
                            .route_message()
                            .map(Some)
                            .ok_or(NetlinkError::Malformed);
                    }
                    Meaning::Done(Err(error)) if error.is(libc::ENODEV) => return Ok(None),
                    Meaning::Done(result) => return result.map(|()| None),
                    Meaning::Nothing => {}
                }
            }
        }
    }

    /// Dumps into what `fresh` makes, once more if the kernel says that the table changed meanwhile.
    pub(crate) fn gather<T>(
        &mut self,
        message: &RouteNetlinkMessage,
        fresh: impl Fn() -> T,
        mut add: impl FnMut(&mut T, RouteNetlinkMessage),
    ) -> Result<T, NetlinkError> {
        let mut gathered = fresh();
        for _ in 0..ATTEMPTS {
            gathered = fresh();
            let mut datagram = Vec::new();
            self.sequence = self.sequence.wrapping_add(1);
            append_route(
                &mut datagram,
                message,
                NLM_F_REQUEST | NLM_F_DUMP,
                self.sequence,
            );
            let whole = self.dump(&datagram, |frame| {
                if let Some(message) = frame.route_message() {
                    add(&mut gathered, message);
                }
            })?;
            if whole {
                return Ok(gathered);
            }
        }
        // A table that never rests: what changed since will be told as events.
        Ok(gathered)
    }

    /// Dumps with a request of any kind.
    pub(crate) fn dump_raw(
        &mut self,
        kind: u16,
        payload: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        append(
            &mut datagram,
            kind,
            NLM_F_REQUEST | NLM_F_DUMP,
            self.sequence,
            payload,
        );
        self.dump(&datagram, |frame| each(frame.payload()))
            .map(drop)
    }

    /// Streams a dump; `false` when the table changed meanwhile.
    fn dump(
        &mut self,
        datagram: &[u8],
        mut each: impl FnMut(&super::frame::Frame<'_>),
    ) -> Result<bool, NetlinkError> {
        self.send(datagram)?;
        let mut whole = true;
        loop {
            self.receive()?;
            for frame in frames(&self.buffer).filter(|frame| frame.sequence == self.sequence) {
                whole &= frame.flags & NLM_F_DUMP_INTR == 0;
                match frame.meaning() {
                    Meaning::Data => each(&frame),
                    Meaning::Done(result) => return result.map(|()| whole),
                    Meaning::Nothing => {}
                }
            }
        }
    }

    fn answers(
        &mut self,
        first: u32,
        count: usize,
    ) -> Result<Vec<Result<(), NetlinkError>>, NetlinkError> {
        let mut answers = vec![Err(NetlinkError::Malformed); count];
        let mut left = count;
        while left > 0 {
            self.receive()?;
            for frame in frames(&self.buffer) {
                let slot = usize::try_from(frame.sequence.wrapping_sub(first))
                    .ok()
                    .and_then(|at| answers.get_mut(at));
                if let (Some(slot), Meaning::Done(result)) = (slot, frame.meaning()) {
                    *slot = result;
                    left = left.saturating_sub(1);
                }
            }
        }
        Ok(answers)
    }

    fn send(&self, datagram: &[u8]) -> Result<(), NetlinkError> {
        self.socket
            .send(datagram, 0)
            .map(drop)
            .map_err(|error| NetlinkError::socket(&error))
    }

    fn receive(&mut self) -> Result<(), NetlinkError> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(0) => return Err(NetlinkError::Socket(Errno(libc::EPIPE))),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NetlinkError::socket(&error)),
            }
        }
    }
}

const fn flags(existing: Existing) -> u16 {
    match existing {
        Existing::Refuse => NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        Existing::Irrelevant => NLM_F_REQUEST | NLM_F_ACK,
    }
}
