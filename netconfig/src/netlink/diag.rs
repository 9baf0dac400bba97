//! Sockets of this host: finding those that talk to an address, and destroying them.

use std::net::IpAddr;

use crate::prefix::{Family, Prefix};

use super::NetlinkError;
use super::socket::Netlink;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const REQUEST: usize = 56;
const ID: std::ops::Range<usize> = 4..52;

/// Byte code attribute, and its operation "the other end lies in a prefix, or jump to the end".
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_BC_D_COND: u8 = 8;

/// What became of the sockets that talked to some addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Destroyed {
    /// Gone; their owners got an error.
    pub sockets: usize,
    /// Left, because the kernel refused.
    pub refused: usize,
    /// The kernel's reason for the last refusal.
    pub reason: Option<NetlinkError>,
}

/// Destroys the TCP sockets and connected UDP sockets whose other end lies in `others`.
pub(crate) fn destroy(diag: &mut Netlink, others: Prefix) -> Result<Destroyed, NetlinkError> {
    let mut destroyed = Destroyed::default();
    for others in [Some(others), mapped(others)].into_iter().flatten() {
        for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
            destroy_of(diag, others, protocol, &mut destroyed)?;
        }
    }
    Ok(destroyed)
}

/// How IPv6 sockets that take both families, as servers have them, name IPv4 addresses.
fn mapped(others: Prefix) -> Option<Prefix> {
    match others.address() {
        IpAddr::V4(address) => {
            Prefix::around(address.to_ipv6_mapped().into(), 96 + others.length())
        }
        IpAddr::V6(_) => None,
    }
}

fn destroy_of(
    diag: &mut Netlink,
    others: Prefix,
    protocol: i32,
    destroyed: &mut Destroyed,
) -> Result<(), NetlinkError> {
    let mut sockets: Vec<[u8; 48]> = Vec::new();
    diag.dump_raw(SOCK_DIAG_BY_FAMILY, &query(others, protocol), |message| {
        // Each answer: family, state, timer, retransmissions, then the socket's identity.
        sockets.extend(message.get(ID).and_then(|id| id.first_chunk().copied()));
    })?;
    for socket in sockets {
        match diag.request_raw(SOCK_DESTROY, &request(others.family(), protocol, &socket)) {
            Ok(()) => destroyed.sockets += 1,
            Err(error) if error.is(libc::ENOENT) => {} // closed meanwhile
            Err(error) => {
                destroyed.refused += 1;
                destroyed.reason = Some(error);
            }
        }
    }
    Ok(())
}

fn request(family: Family, protocol: i32, id: &[u8; 48]) -> Vec<u8> {
    let mut request = vec![0; 8];
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    request[0] = u8::try_from(family).unwrap_or_default();
    request[1] = u8::try_from(protocol).unwrap_or_default();
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes()); // sockets in every state
    request.extend(id);
    request
}

/// Asks for the sockets whose other end lies in `others`; the kernel filters.
fn query(others: Prefix, protocol: i32) -> Vec<u8> {
    let mut query = request(others.family(), protocol, &[0; 48]);
    debug_assert_eq!(query.len(), REQUEST);
    let octets = match others.address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let family = query[0];
    let code_length = 4 + 8 + octets.len();
    let short = |length: usize| u16::try_from(length).unwrap_or_default().to_ne_bytes();
    query.extend(short(4 + code_length));
    query.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
    // One operation: on a match go to the end of the code, else four bytes beyond it, which rejects.
    query.push(INET_DIAG_BC_D_COND);
    query.push(u8::try_from(code_length).unwrap_or_default());
    query.extend(short(code_length + 4));
    query.push(family);
    query.push(others.length());
    query.extend([0; 2]);
    query.extend((-1_i32).to_ne_bytes()); // any port
    query.extend(octets);
    query
}
