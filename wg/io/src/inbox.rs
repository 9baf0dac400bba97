//! Buffers for one receive call, made once.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::Socket;

/// Messages per call. More would only push packets out of the cache before they are opened.
const MESSAGES: usize = 8;
/// The largest message: a full train of datagrams.
const MESSAGE: usize = 1 << 16;

/// What one receive call brought.
pub(crate) struct Inbox {
    buffer: Box<[u8]>,
    meta: [RecvMeta; MESSAGES],
    filled: usize,
}

/// Datagrams of `stride` bytes each, the last may be shorter, from one address.
pub(crate) struct Train<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) stride: usize,
    pub(crate) bytes: &'a mut [u8],
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; MESSAGES * MESSAGE].into_boxed_slice(),
            meta: [RecvMeta::default(); MESSAGES],
            filled: 0,
        }
    }

    /// Receives what is there, without waiting; false where there is nothing.
    pub(crate) fn fill(&mut self, socket: &Socket, state: &UdpSocketState) -> io::Result<bool> {
        self.filled = 0;
        let mut rest = self.buffer.chunks_exact_mut(MESSAGE);
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
        match state.recv(socket.into(), &mut slices, &mut self.meta) {
            Ok(filled) => self.filled = filled,
            Err(nothing) if nothing.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(self.filled > 0)
    }

    /// Bytes that the last call brought.
    pub(crate) fn bytes(&self) -> u64 {
        self.meta[..self.filled].iter().map(|m| m.len as u64).sum()
    }

    /// What the last call brought, in order.
    pub(crate) fn trains(&mut self) -> impl Iterator<Item = Train<'_>> {
        let messages = self.buffer.chunks_exact_mut(MESSAGE);
        messages
            .zip(&self.meta[..self.filled])
            .filter(|(_, meta)| meta.len > 0 && meta.stride > 0)
            .map(|(bytes, meta)| Train {
                from: meta.addr,
                stride: meta.stride,
                bytes: &mut bytes[..meta.len],
            })
    }
}
