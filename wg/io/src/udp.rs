//! The UDP sockets: one per address family, many datagrams per system call.
//!
//! A send carries equal datagrams to one address (`UDP_SEGMENT`); a receive takes up to eight messages, each
//! up to 64 KiB of equal datagrams from one address (`UDP_GRO`). Where segmentation fails, the same bytes go
//! out one by one, so that nothing is lost for it.
//!
//! The path MTU is the kernel's: it sets DF, learns, and fragments what no longer fits. That is slow, but it
//! is connectivity; [`UdpCounters::path_too_small`] tells whoever sets the MTU.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use tidegate_wg::Mono;

use crate::clock::boottime;
use crate::error::StartError;
use crate::segmentation::Segmentation;
use crate::tun::Offload;

/// What the kernel may queue for us while the data thread is busy, so that a burst is not lost.
const RECEIVE_BUFFER: usize = 32 << 20;
/// What we may have in the kernel's queues towards the network.
const SEND_BUFFER: usize = 4 << 20;
/// How long a full queue may hold up the data thread before its packets are dropped.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UdpConfig {
    /// Port, the same for both families; 0 lets the kernel choose.
    pub port: u16,
    /// Address families to use.
    pub families: Families,
    /// Mark on every datagram, for policy routing.
    pub fwmark: Option<u32>,
    /// Whether to use segmentation and receive offload.
    pub offload: Offload,
}

/// Address families to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Families {
    /// Both, or IPv4 alone where the host has no IPv6.
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// What became of datagrams besides being sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UdpCounters {
    /// System calls that sent.
    pub sends: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// System calls that received.
    pub receives: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Datagrams dropped because the queue towards the network stayed full.
    pub queue_full: u64,
    /// Datagrams dropped because there is no route, no socket of that family, or the kernel refused.
    pub unsendable: u64,
    /// Batches that the kernel refused whole and that were sent one by one: mostly the path is too small for them.
    pub path_too_small: u64,
    /// Datagrams dropped because they were sealed too long before they could be sent.
    pub stale: u64,
}

/// One batch of equal datagrams (the last may be shorter) to one address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) to: SocketAddr,
    pub(crate) datagrams: &'a [u8],
    pub(crate) segment: usize,
}

/// How many sockets there are at most.
pub(crate) const FAMILIES: usize = 2;

/// The sockets of both families.
pub(crate) struct Sockets {
    v4: Option<Udp>,
    v6: Option<Udp>,
    counters: UdpCounters,
}

/// One socket.
pub(crate) struct Udp {
    socket: Socket,
    state: UdpSocketState,
    segmentation: Segmentation,
    receives_trains: bool,
}

impl Sockets {
    pub(crate) fn bind(config: &UdpConfig) -> Result<Self, StartError> {
        // A port the kernel chose for one family may be taken in the other: choose again.
        for _ in 0..16 {
            match Self::bind_once(config) {
                Err(StartError::Udp { source, .. })
                    if config.port == 0 && source.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Self::bind_once(config)
    }

    fn bind_once(config: &UdpConfig) -> Result<Self, StartError> {
        let v4 = match config.families {
            Families::V6 => None,
            _ => Some(Udp::bind(
                Ipv4Addr::UNSPECIFIED.into(),
                config.port,
                config,
            )?),
        };
        let port = v4.as_ref().map_or(Ok(config.port), Udp::port)?;
        let v6 = match config.families {
            Families::V4 => None,
            Families::V6 => Some(Udp::bind(Ipv6Addr::UNSPECIFIED.into(), port, config)?),
            Families::Both => bind_v6_if_there(port, config)?,
        };
        if v4.is_none() && v6.is_none() {
            return Err(StartError::NoSocket);
        }
        Ok(Self {
            v4,
            v6,
            counters: UdpCounters::default(),
        })
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &Udp> {
        self.v4.iter().chain(&self.v6)
    }

    pub(crate) fn port(&self) -> Result<u16, StartError> {
        self.each().next().map_or(Ok(0), Udp::port)
    }

    pub(crate) fn counters(&self) -> UdpCounters {
        self.counters
    }

    pub(crate) fn count_stale(&mut self, datagrams: u64) {
        self.counters.stale += datagrams;
    }

    /// Receives into `inbox` from the socket of one family. Never blocks.
    pub(crate) fn receive(
        &mut self,
        family: usize,
        inbox: &mut crate::inbox::Inbox,
    ) -> io::Result<bool> {
        let socket = match family {
            0 => self.v4.as_ref(),
            _ => self.v6.as_ref(),
        };
        let Some(udp) = socket else {
            return Ok(false);
        };
        let any = inbox.fill(&udp.socket, &udp.state)?;
        self.counters.receives += u64::from(any);
        self.counters.bytes_received += inbox.bytes();
        Ok(any)
    }

    /// Sends a batch, or counts why it could not be sent.
    pub(crate) fn send(&mut self, batch: &Outgoing<'_>, boot: Mono) {
        let udp = match batch.to {
            SocketAddr::V4(_) => self.v4.as_mut(),
            SocketAddr::V6(_) => self.v6.as_mut(),
        };
        match udp {
            // Port 0 is nowhere, and the kernel would answer as if segmentation had failed.
            Some(udp) if batch.to.port() != 0 => udp.send(batch, boot, &mut self.counters),
            _ => self.counters.unsendable += batch.count(),
        }
    }
}

impl Udp {
    fn bind(ip: IpAddr, port: u16, config: &UdpConfig) -> Result<Self, StartError> {
        let address = SocketAddr::new(ip, port);
        let failed = |source| StartError::Udp { address, source };
        let socket = open(address).map_err(failed)?;
        if let Some(mark) = config.fwmark {
            let failed = |source| StartError::Mark { mark, source };
            socket.set_mark(mark).map_err(failed)?;
        }
        Self::set_up(socket, address, config.offload).map_err(failed)
    }

    fn set_up(socket: Socket, address: SocketAddr, offload: Offload) -> io::Result<Self> {
        socket.bind(&address.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        let_the_kernel_fragment(&socket, address)?;
        grow_buffers(&socket)?;
        let (mut segmentation, mut receives_trains) = (Segmentation::unsupported(), false);
        match offload {
            Offload::Off => crate::sockopt::switch_off_receive_offload(&socket)?,
            Offload::Try => {
                receives_trains = state.gro_segments() > 1;
                if state.max_gso_segments() > 1 {
                    segmentation = Segmentation::on();
                }
                if !receives_trains || !segmentation.is_on() {
                    tracing::warn!(
                        receives_trains,
                        ?segmentation,
                        "the kernel lacks UDP offloads"
                    );
                }
            }
        }
        Ok(Self {
            socket,
            state,
            segmentation,
            receives_trains,
        })
    }

    fn port(&self) -> Result<u16, StartError> {
        let address = self.socket.local_addr().map_err(StartError::Thread)?;
        Ok(address.as_socket().map_or(0, |a| a.port()))
    }

    pub(crate) fn has_segmentation(&self) -> bool {
        self.segmentation.is_on()
    }

    pub(crate) fn has_receive_offload(&self) -> bool {
        self.receives_trains
    }

    fn send(&mut self, batch: &Outgoing<'_>, boot: Mono, counters: &mut UdpCounters) {
        if batch.datagrams.len() <= batch.segment {
            let sent = self.try_send(batch, None, boot, counters);
            return counters.count(&sent, 1);
        }
        if self.segmentation.may_be_used(boot) {
            let sent = self.try_send(batch, Some(batch.segment), boot, counters);
            if !self.segmentation.judge(&sent, boot) {
                return counters.count(&sent, batch.count());
            }
            counters.path_too_small += 1;
        }
        self.send_singly(batch, boot, counters);
    }

    fn send_singly(&self, batch: &Outgoing<'_>, boot: Mono, counters: &mut UdpCounters) {
        let mut datagrams = batch.datagrams.chunks(batch.segment);
        while let Some(datagram) = datagrams.next() {
            let single = Outgoing {
                datagrams: datagram,
                ..*batch
            };
            let sent = self.try_send(&single, None, boot, counters);
            counters.count(&sent, 1);
            if is_full(&sent) {
                // Not even after a wait: the rest would only hold up the thread.
                return counters.count(&sent, datagrams.len() as u64);
            }
        }
    }

    /// One system call; waits a moment where the queue is full, but not so long that deadlines are missed.
    fn try_send(
        &self,
        batch: &Outgoing<'_>,
        segment_size: Option<usize>,
        boot: Mono,
        counters: &mut UdpCounters,
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: batch.to,
            ecn: None,
            contents: batch.datagrams,
            segment_size,
            src_ip: None,
        };
        counters.sends += 1;
        let sent = self.state.try_send((&self.socket).into(), &transmit);
        if !is_full(&sent) {
            return sent;
        }
        poll(&mut [PollFd::new(self, PollFlags::OUT)], Some(&PATIENCE))?;
        if boottime().since(boot) > crate::LONGEST_HOLD {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.state.try_send((&self.socket).into(), &transmit)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Outgoing<'_> {
    pub(crate) fn count(&self) -> u64 {
        self.datagrams.len().div_ceil(self.segment.max(1)) as u64
    }
}

impl UdpCounters {
    fn count(&mut self, sent: &io::Result<()>, datagrams: u64) {
        let counter = match sent.as_ref().map_err(io::Error::kind) {
            Ok(()) => &mut self.datagrams_sent,
            Err(io::ErrorKind::WouldBlock) => &mut self.queue_full,
            Err(io::ErrorKind::TimedOut) => &mut self.stale,
            Err(_) => &mut self.unsendable,
        };
        *counter += datagrams;
    }
}

fn is_full(sent: &io::Result<()>) -> bool {
    matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A host without IPv6 is no reason to fail; a port that is taken is.
fn bind_v6_if_there(port: u16, config: &UdpConfig) -> Result<Option<Udp>, StartError> {
    match Udp::bind(Ipv6Addr::UNSPECIFIED.into(), port, config) {
        Ok(udp) => Ok(Some(udp)),
        Err(StartError::Udp { source, .. }) if source.kind() != io::ErrorKind::AddrInUse => {
            tracing::warn!(error = %source, "no IPv6 socket, going on with IPv4");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Undoes the "never fragment" that suits QUIC: a tunnel has to get through first.
fn let_the_kernel_fragment(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::WANT)?;
        return Ok(());
    }
    sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::WANT)?;
    crate::sockopt::allow_ipv6_fragments(socket)
}

/// Beyond the host's limit where we may (CAP_NET_ADMIN), up to it where not.
fn grow_buffers(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        tracing::info!("receive buffer limited by net.core.rmem_max: not permitted to go beyond");
    }
    socket.set_send_buffer_size(SEND_BUFFER)
}
