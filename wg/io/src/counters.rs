//! What the descriptors did.

use crate::udp::UdpCounters;

/// Which offloads are in use at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Offloads {
    /// The TUN device gives and takes super-frames of TCP segments.
    pub tun_tcp: bool,
    /// The TUN device gives and takes super-frames of UDP datagrams.
    pub tun_udp: bool,
    /// One system call sends many datagrams, on every socket.
    pub udp_send: bool,
    /// One message receives many datagrams, on every socket.
    pub udp_receive: bool,
}

/// Counters of the TUN device.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TunCounters {
    /// Frames read.
    pub frames_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Frames written.
    pub frames_written: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Frames dropped because the interface is down.
    pub down: u64,
    /// Frames dropped because the kernel's queue was full.
    pub queue_full: u64,
    /// Frames that the kernel refused for another reason.
    pub refused: u64,
    /// Frames dropped because they were opened too long before they could be written.
    pub stale: u64,
}

/// What the descriptors did and how they are set up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IoStatus {
    /// Port of the sockets.
    pub port: u16,
    /// Offloads in use.
    pub offloads: Offloads,
    /// The TUN device.
    pub tun: TunCounters,
    /// The sockets.
    pub udp: UdpCounters,
}
