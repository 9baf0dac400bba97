//! Hearing of changes to links, addresses, routes and rules as they happen.

use std::io;

use netlink_packet_core::NLM_F_REPLACE;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::netlink::frame::{Frame, frames};
use crate::netlink::{NetlinkError, address, link, route};

/// Multicast groups: links, IPv4 and IPv6 addresses, routes and rules.
const GROUPS: [u32; 7] = [1, 5, 7, 8, 9, 11, 19];

/// Room for a storm of routes; the kernel may grant less, and then tells that it dropped some.
const RECEIVE_BUFFER: u32 = 4 << 20;

/// One thing that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Link {
        told: link::Told,
        gone: bool,
    },
    Address {
        told: address::Told,
        gone: bool,
    },
    Route {
        told: route::Told,
        gone: bool,
        replaces: bool,
        port: u32,
    },
    /// Some policy rule changed; there are few, so they are simply read again.
    Rule {
        port: u32,
    },
    /// The kernel dropped events: everything may have changed.
    Overrun,
}

/// The kernel's events, for tokio.
pub struct Watch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl Watch {
    /// Starts to listen. Do so before the first look at the host, so that nothing falls in between.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::listen().map_err(|error| NetlinkError::socket(&error))
    }

    fn listen() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        socket.socket_mut().set_rx_buf_sz(RECEIVE_BUFFER)?;
        for group in GROUPS {
            socket.socket_mut().add_membership(group)?;
        }
        let buffer = Vec::with_capacity(64 << 10);
        Ok(Self { socket, buffer })
    }

    /// Waits for events. What is given so far stays given if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, NetlinkError> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer).await {
                Ok(()) => {
                    return Ok(frames(&self.buffer)
                        .filter_map(|frame| read(&frame))
                        .collect());
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Ok(vec![Event::Overrun]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NetlinkError::socket(&error)),
            }
        }
    }
}

fn read(frame: &Frame<'_>) -> Option<Event> {
    use RouteNetlinkMessage as M;
    let port = frame.port;
    let replaces = frame.flags & NLM_F_REPLACE != 0;
    match frame.route_message()? {
        M::NewLink(message) => link::read(&message).map(|told| Event::Link { told, gone: false }),
        M::DelLink(message) => link::read(&message).map(|told| Event::Link { told, gone: true }),
        M::NewAddress(message) => {
            address::read(&message).map(|told| Event::Address { told, gone: false })
        }
        M::DelAddress(message) => {
            address::read(&message).map(|told| Event::Address { told, gone: true })
        }
        M::NewRoute(message) => route::Told::read(&message).map(|told| Event::Route {
            told,
            gone: false,
            replaces,
            port,
        }),
        M::DelRoute(message) => route::Told::read(&message).map(|told| Event::Route {
            told,
            gone: true,
            replaces: false,
            port,
        }),
        M::NewRule(_) | M::DelRule(_) => Some(Event::Rule { port }),
        _ => None,
    }
}
