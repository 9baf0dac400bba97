//! The two socket options that no safe wrapper offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use socket2::Socket;

/// Lets IPv6 datagrams that outgrow the path be fragmented at the source.
pub(crate) fn allow_ipv6_fragments(socket: &Socket) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)
}

/// Makes the kernel hand over every datagram by itself.
pub(crate) fn switch_off_receive_offload(socket: &Socket) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, libc::UDP_GRO, 0)
}

fn set_int(socket: &Socket, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the length of the call, and the pointer is to `length` readable
    // bytes that the kernel only copies.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
