//! Where the engine writes: straight into the buffers of whoever owns the descriptors.

use std::net::SocketAddr;

/// Collects UDP datagrams, typically into runs of equal length that one system call sends.
///
/// `room` names a place, `commit` keeps what was written there. A place that is not committed before
/// the next call of `room` is forgotten.
pub trait DatagramSink {
    /// A place of at least `len` bytes for one datagram to `to`. May send what is pending to make it.
    fn room(&mut self, to: SocketAddr, len: usize) -> &mut [u8];

    /// Keeps the first `len` bytes of the latest place as one datagram.
    fn commit(&mut self, len: usize);
}

/// Collects IP packets for the TUN device, typically merging neighbours of one flow into one frame
/// ([`crate::merge::Merger`]).
///
/// The rules of [`DatagramSink`] hold here too.
pub trait PacketSink {
    /// A place of at least `len` bytes for one packet (and, behind it, the tag that is stripped).
    fn room(&mut self, len: usize) -> &mut [u8];

    /// Keeps the first `len` bytes of the latest place as one packet.
    fn commit(&mut self, len: usize);
}
