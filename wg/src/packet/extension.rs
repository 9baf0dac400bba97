//! The extension headers of IPv6, read strictly.

use super::{Fragment, chunk};
use crate::discard::Discard;

pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const DESTINATION_OPTIONS: u8 = 60;
/// Routing, authentication, no next header, mobility, HIP, shim6 and the experiments: never upper layers.
pub(super) const REFUSED: [u8; 8] = [43, 51, 59, 135, 139, 140, 253, 254];

/// The extension headers of an IPv6 packet: at most one of each kind, in the order of RFC 8200.
pub(super) struct Chain {
    pub(super) protocol: u8,
    pub(super) offset: usize,
    pub(super) fragment: Option<Fragment>,
}

impl Chain {
    pub(super) fn walk(bytes: &[u8], first: u8) -> Result<Self, Discard> {
        let mut chain = Self {
            protocol: first,
            offset: 40,
            fragment: None,
        };
        if chain.protocol == HOP_BY_HOP {
            chain.skip_options(bytes)?;
        }
        if chain.protocol == DESTINATION_OPTIONS {
            chain.skip_options(bytes)?;
        }
        if chain.protocol == FRAGMENT {
            chain.read_fragment(bytes)?;
            if chain.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Ok(chain);
            }
        }
        match chain.protocol {
            HOP_BY_HOP | DESTINATION_OPTIONS | FRAGMENT => Err(Discard::Extension),
            refused if REFUSED.contains(&refused) => Err(Discard::Extension),
            _ => Ok(chain),
        }
    }

    fn skip_options(&mut self, bytes: &[u8]) -> Result<(), Discard> {
        let head: &[u8; 2] = chunk(bytes, self.offset)?;
        let end = self.offset + 8 + usize::from(head[1]) * 8;
        if end > bytes.len() {
            return Err(Discard::Malformed);
        }
        (self.protocol, self.offset) = (head[0], end);
        Ok(())
    }

    fn read_fragment(&mut self, bytes: &[u8]) -> Result<(), Discard> {
        let head: &[u8; 8] = chunk(bytes, self.offset)?;
        let field = u16::from_be_bytes([head[2], head[3]]);
        let id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let fragment = Fragment {
            id,
            offset: field & !7,
            more: field & 1 != 0,
        };
        // An atomic fragment is a whole packet, but nobody honest sends one.
        if fragment.offset == 0 && !fragment.more {
            return Err(Discard::Extension);
        }
        self.fragment = Some(fragment);
        (self.protocol, self.offset) = (head[0], self.offset + 8);
        Ok(())
    }
}
