//! One boringtun tunnel: the only file that names boringtun.
//!
//! What boringtun leaves to its caller is done here: no plaintext is handed to it while there is no session (it
//! would keep it beyond our reach), counters close to the end are refused, buffers always suffice,
//! and a handshake never lands on the place of the session in use.

use crate::discard::Discard;
use crate::key::{PrivateKey, Psk, PublicKey};
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Length of an initiation, the longest message that is not data.
pub(crate) const INITIATION: usize = 148;
/// Length of a response.
pub(crate) const RESPONSE: usize = 92;
/// Length of a cookie reply.
pub(crate) const COOKIE_REPLY: usize = 64;
/// What sealing adds to a packet.
pub(crate) const OVERHEAD: usize = 32;
/// The first counter that may no longer be used.
const COUNTER_END: u64 = u64::MAX - (1 << 13) + 1;
/// boringtun keeps sessions in a ring of this many.
const RING: usize = 8;

/// Our own key, and what is derived from it for all tunnels.
pub(crate) struct Identity {
    secret: x25519::StaticSecret,
    public: x25519::PublicKey,
    /// Never under load: the gate in front has decided already.
    open: Arc<RateLimiter>,
    /// Always under load: asks everyone for a cookie.
    strict: RateLimiter,
}

/// What asking for a cookie came to.
pub(crate) enum Cookie {
    /// The message carries a valid one.
    Shown,
    /// The reply that carries one was written.
    Asked,
}

impl Identity {
    pub(crate) fn new(key: &PrivateKey) -> Self {
        let secret = x25519::StaticSecret::from(key.0);
        let public = x25519::PublicKey::from(&secret);
        let open = Arc::new(RateLimiter::new(&public, u64::MAX));
        Self {
            strict: RateLimiter::new(&public, 0),
            open,
            secret,
            public,
        }
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.public.to_bytes())
    }

    /// The shared secret with this public key; `None` if the key is one of those that make it zero.
    pub(crate) fn shared(&self, public: &[u8; 32]) -> Option<[u8; 32]> {
        let shared = self
            .secret
            .diffie_hellman(&x25519::PublicKey::from(*public));
        shared.was_contributory().then(|| shared.to_bytes())
    }

    /// Looks for a cookie in a handshake message whose first mac is valid, and writes the reply if there is none.
    pub(crate) fn demand_cookie(
        &self,
        from: IpAddr,
        message: &[u8],
        reply: &mut [u8; COOKIE_REPLY],
    ) -> Result<Cookie, Discard> {
        match self.strict.verify_packet(Some(from), message, reply) {
            Ok(_) => Ok(Cookie::Shown),
            Err(TunnResult::WriteToNetwork(_)) => Ok(Cookie::Asked),
            Err(_) => Err(Discard::BadMac),
        }
    }
}

/// What opening a datagram gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opened {
    /// A packet of this length at the start of the buffer.
    Packet(usize),
    /// Nothing but a sign of life.
    Keepalive,
}

/// What a tick gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tick {
    Quiet,
    /// A message of this length is to be sent.
    Send(usize),
    /// Handshakes were not answered for too long, or the last session is long over.
    Ended,
}

/// See the [module documentation](self).
pub(crate) struct Tunnel {
    tunn: Box<Tunn>,
    /// Whether packets can be sealed.
    ready: bool,
    ring: Ring,
}

impl Tunnel {
    pub(crate) fn new(
        identity: &Identity,
        peer: &PublicKey,
        psk: &Psk,
        keepalive: Option<Duration>,
        index: u32,
    ) -> Self {
        let keepalive =
            keepalive.map(|span| u16::try_from(span.as_secs().max(1)).unwrap_or(u16::MAX));
        let limiter = Some(Arc::clone(&identity.open));
        let peer = x25519::PublicKey::from(peer.0);
        let tunn = Tunn::new(
            identity.secret.clone(),
            peer,
            Some(psk.0),
            keepalive,
            index,
            limiter,
        );
        Self {
            tunn: Box::new(tunn),
            ready: false,
            ring: Ring::default(),
        }
    }

    /// Whether packets can be sealed: there is a session, and the peer has shown that it has it too.
    pub(crate) fn ready(&self) -> bool {
        self.ready
    }

    /// Seals a packet (or nothing, as a keepalive) into `target`.
    pub(crate) fn seal(&mut self, packet: &[u8], target: &mut [u8]) -> Option<usize> {
        if !self.ready || target.len() < packet.len() + OVERHEAD {
            return None;
        }
        match self.tunn.encapsulate(packet, target) {
            TunnResult::WriteToNetwork(sealed) => Some(sealed.len()),
            _ => None,
        }
    }

    /// Opens a data message into `target`.
    pub(crate) fn open(&mut self, datagram: &[u8], target: &mut [u8]) -> Result<Opened, Discard> {
        let head: &[u8; 16] = datagram.first_chunk().ok_or(Discard::Garbage)?;
        let [_, _, _, _, index, _, _, _, counter @ ..] = *head;
        if u64::from_le_bytes(counter) >= COUNTER_END {
            return Err(Discard::Replayed);
        }
        if datagram.len() < OVERHEAD || target.len() < datagram.len() {
            return Err(Discard::Garbage);
        }
        let opened = match self.tunn.decapsulate(None, datagram, target) {
            TunnResult::Done => Opened::Keepalive,
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Opened::Packet(packet.len())
            }
            TunnResult::WriteToNetwork(_) => return Err(Discard::Garbage),
            TunnResult::Err(error) => return Err(discard(&error)),
        };
        self.ring.used(index);
        if !self.ready {
            self.refresh();
        }
        Ok(opened)
    }

    /// Writes a new initiation.
    pub(crate) fn initiate(&mut self, target: &mut [u8; INITIATION]) -> bool {
        match self.tunn.format_handshake_initiation(target, true) {
            TunnResult::WriteToNetwork(message) => {
                self.ring.made(message[4]);
                true
            }
            _ => false,
        }
    }

    /// Answers an initiation: writes the response.
    pub(crate) fn answer(
        &mut self,
        message: &[u8],
        target: &mut [u8; INITIATION],
    ) -> Result<(), Discard> {
        if self.ready && self.ring.next_hits_current() {
            // Spends an index, so that the session in use is not overwritten by one that may never be confirmed.
            self.initiate(target);
        }
        match self.tunn.decapsulate(None, message, target) {
            TunnResult::WriteToNetwork(response) if response.len() == RESPONSE => {
                self.ring.made(response[4]);
                self.ring.established(response[4]);
                Ok(())
            }
            TunnResult::Err(error) => Err(discard(&error)),
            _ => Err(Discard::BadHandshake),
        }
    }

    /// Takes the response to our initiation and writes the keepalive that confirms the session; tells its length.
    pub(crate) fn finish(
        &mut self,
        message: &[u8],
        target: &mut [u8; INITIATION],
    ) -> Result<usize, Discard> {
        let index = *message.get(8).ok_or(Discard::Garbage)?;
        match self.tunn.decapsulate(None, message, target) {
            TunnResult::WriteToNetwork(keepalive) => {
                let len = keepalive.len();
                self.ring.established(index);
                self.ring.used(index);
                self.ready = true;
                Ok(len)
            }
            TunnResult::Err(error) => Err(discard(&error)),
            _ => Err(Discard::BadHandshake),
        }
    }

    /// Takes a cookie, to be shown in the next initiation.
    pub(crate) fn take_cookie(&mut self, message: &[u8]) -> Result<(), Discard> {
        match self.tunn.decapsulate(None, message, &mut [0; INITIATION]) {
            TunnResult::Done => Ok(()),
            TunnResult::Err(error) => Err(discard(&error)),
            _ => Err(Discard::BadHandshake),
        }
    }

    /// Lets time pass; to be called every quarter of a second.
    pub(crate) fn tick(&mut self, target: &mut [u8; INITIATION]) -> Tick {
        let tick = match self.tunn.update_timers(target) {
            TunnResult::WriteToNetwork(message) => {
                if message.len() == INITIATION {
                    self.ring.made(message[4]);
                }
                Tick::Send(message.len())
            }
            TunnResult::Err(_) => Tick::Ended,
            _ => Tick::Quiet,
        };
        self.ring.tick += 1;
        self.refresh();
        tick
    }

    fn refresh(&mut self) {
        self.ready = self.tunn.time_since_last_handshake().is_some();
    }
}

/// Follows which place of boringtun's ring of sessions is in use.
#[derive(Default)]
struct Ring {
    /// The index of the latest handshake; the next one takes the next.
    latest: u8,
    current: u8,
    tick: u64,
    /// In which tick the session in each place was established.
    since: [u64; RING],
}

impl Ring {
    fn made(&mut self, index: u8) {
        self.latest = index;
    }

    fn established(&mut self, index: u8) {
        self.since[usize::from(index) % RING] = self.tick;
    }

    fn used(&mut self, index: u8) {
        let since = |index: u8| self.since[usize::from(index) % RING];
        if index != self.current && since(index) >= since(self.current) {
            self.current = index;
        }
    }

    fn next_hits_current(&self) -> bool {
        usize::from(self.latest.wrapping_add(1)) % RING == usize::from(self.current) % RING
    }
}

fn discard(error: &WireGuardError) -> Discard {
    match error {
        WireGuardError::InvalidAeadTag => Discard::BadTag,
        WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => Discard::Replayed,
        WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => Discard::NoSession,
        WireGuardError::InvalidMac => Discard::BadMac,
        WireGuardError::WrongTai64nTimestamp => Discard::ReplayedHandshake,
        WireGuardError::InvalidPacket => Discard::Malformed,
        _ => Discard::BadHandshake,
    }
}
