//! The first message of a handshake, opened before any tunnel is asked.
//!
//! It does not depend on the pre-shared key, so it tells who speaks and when, whatever the epoch. A tunnel
//! only remembers the newest timestamp that it saw itself; the engine holds the newest of the *peer*,
//! so that a tunnel made a moment ago cannot be fooled with an old message.

use crate::discard::Discard;
use crate::key::PublicKey;
use crate::tunnel::{INITIATION, Identity, RESPONSE};
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput, KeyInit, Mac, Update};
use blake2::{Blake2s256, Blake2sMac, Digest};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, Payload};
use hmac::SimpleHmac;

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const MAC1: &[u8] = b"mac1----";
const MACS: usize = 32;

/// Seconds and nanoseconds in network order, so that it compares as bytes.
pub(crate) type Timestamp = [u8; 12];

/// What is needed to open initiations to us.
pub(crate) struct Opener {
    chain: [u8; 32],
    hash: [u8; 32],
    mac1: [u8; 32],
}

/// An initiation whose sender's key is known, but not yet proven.
pub(crate) struct Claim<'a> {
    /// Who says it sent this.
    pub(crate) key: PublicKey,
    /// The session index that it chose.
    pub(crate) index: u32,
    message: &'a [u8; INITIATION],
    chain: [u8; 32],
    hash: [u8; 32],
}

impl Opener {
    pub(crate) fn new(identity: &Identity) -> Self {
        let public = identity.public().0;
        let chain = hash(&[CONSTRUCTION]);
        let hash = hash(&[&self::hash(&[&chain, IDENTIFIER]), &public]);
        Self {
            chain,
            hash,
            mac1: self::hash(&[MAC1, &public]),
        }
    }

    /// Whether the first mac of a handshake message is made for our key.
    pub(crate) fn mac_holds(&self, message: &[u8]) -> bool {
        debug_assert!(message.len() == INITIATION || message.len() == RESPONSE);
        let Some((body, macs)) = message.split_last_chunk::<MACS>() else {
            return false;
        };
        let Ok(mut mac) = <Blake2sMac<U16> as KeyInit>::new_from_slice(&self.mac1) else {
            return false;
        };
        Mac::update(&mut mac, body);
        mac.verify_slice(&macs[..16]).is_ok()
    }

    /// Opens the sender's key.
    pub(crate) fn open<'a>(
        &self,
        identity: &Identity,
        message: &'a [u8; INITIATION],
    ) -> Result<Claim<'a>, Discard> {
        let ephemeral: &[u8; 32] = message[8..].first_chunk().ok_or(Discard::Garbage)?;
        let shared = identity.shared(ephemeral).ok_or(Discard::BadHandshake)?;
        let hash = self::hash(&[&self.hash, ephemeral]);
        let chain = hmac(&hmac(&self.chain, &[ephemeral]), &[&[1]]);
        let (chain, key) = derive(&chain, &shared);
        let sender = unseal(&key, &message[40..88], &hash)?;
        let sender = sender.try_into().map_err(|_| Discard::BadHandshake)?;
        let hash = self::hash(&[&hash, &message[40..88]]);
        let index = u32::from_le_bytes([message[4], message[5], message[6], message[7]]);
        Ok(Claim {
            key: PublicKey(sender),
            index,
            message,
            chain,
            hash,
        })
    }
}

impl Claim<'_> {
    /// Proves the claim with the secret that we share with the owner of the key, and tells the timestamp.
    pub(crate) fn prove(&self, shared: &[u8; 32]) -> Result<Timestamp, Discard> {
        let (_, key) = derive(&self.chain, shared);
        let timestamp = unseal(&key, &self.message[88..116], &self.hash)?;
        timestamp.try_into().map_err(|_| Discard::BadHandshake)
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    for part in parts {
        Digest::update(&mut hash, part);
    }
    hash.finalize().into()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of every length.
    let Ok(mut mac) = <SimpleHmac<Blake2s256> as KeyInit>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        Update::update(&mut mac, part);
    }
    mac.finalize_fixed().into()
}

/// The next chaining key and a message key.
fn derive(chain: &[u8; 32], secret: &[u8; 32]) -> ([u8; 32], [u8; 32]) {
    let temporary = hmac(chain, &[secret]);
    let chain = hmac(&temporary, &[&[1]]);
    (chain, hmac(&temporary, &[&chain, &[2]]))
}

fn unseal(key: &[u8; 32], sealed: &[u8], associated: &[u8; 32]) -> Result<Vec<u8>, Discard> {
    let payload = Payload {
        msg: sealed,
        aad: associated,
    };
    ChaCha20Poly1305::new(key.into())
        .decrypt(&[0; 12].into(), payload)
        .map_err(|_| Discard::BadHandshake)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{PrivateKey, Psk};
    use crate::tunnel::Tunnel;

    fn identity(byte: u8) -> Identity {
        Identity::new(&PrivateKey([byte; 32]))
    }

    fn initiation(from: &Identity, to: &Identity) -> [u8; INITIATION] {
        let mut message = [0; INITIATION];
        let mut tunnel = Tunnel::new(from, &to.public(), &Psk([7; 32]), None, 0x0012_3457);
        assert!(tunnel.initiate(&mut message));
        message
    }

    #[test]
    fn an_initiation_tells_who_sent_it_and_when() {
        let (a, b) = (identity(1), identity(2));
        let opener = Opener::new(&b);
        let (first, second) = (initiation(&a, &b), initiation(&a, &b));
        assert!(opener.mac_holds(&first));
        let claim = opener.open(&b, &first).ok().unwrap();
        assert_eq!((claim.key, claim.index >> 8), (a.public(), 0x0012_3457));
        let shared = b.shared(&a.public().0).unwrap();
        let earlier = claim.prove(&shared).unwrap();
        let later = opener
            .open(&b, &second)
            .ok()
            .unwrap()
            .prove(&shared)
            .unwrap();
        assert!(later > earlier);
        assert_eq!(
            claim.prove(&[9; 32]),
            Err(Discard::BadHandshake),
            "only the key's owner can prove it"
        );
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let (a, b) = (identity(1), identity(2));
        let opener = Opener::new(&b);
        let shared = b.shared(&a.public().0).unwrap();
        let good = initiation(&a, &b);
        for place in 0..INITIATION - 16 {
            let mut message = good;
            message[place] ^= 0x40;
            assert!(!opener.mac_holds(&message), "{place}");
            let proven = opener
                .open(&b, &message)
                .and_then(|claim| claim.prove(&shared));
            assert_eq!(proven.is_err(), (8..116).contains(&place), "{place}");
        }
    }

    #[test]
    fn keys_of_low_order_share_no_secret() {
        assert_eq!(identity(1).shared(&[0; 32]), None);
        let one = std::array::from_fn(|place| u8::from(place == 0));
        assert_eq!(identity(1).shared(&one), None);
    }
}
