//! The journal's bytes. One line a record: checksum, space, `+` and a step in JSON or `-` and a key in JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Step;
use super::pending::Pending;

/// A file larger than this was not written by us.
pub const MAX_BYTES: usize = 16 << 20;

/// What a journal file says.
#[derive(Clone, Debug)]
pub struct Decoded<S> {
    /// Steps that are still to be undone, oldest first.
    pub pending: Pending<S>,
    /// How many bytes from the start are whole records; what follows was cut off by a crash.
    pub whole: usize,
    /// Line numbers (from 1) that are damaged although later ones are not.
    pub damaged: Vec<usize>,
}

/// Reads a journal. Total: every input gives an answer.
///
/// The last line may be torn, because a crash can stop a write half-way. It is ignored: the change it
/// announces is made only after the record is whole on the disk.
#[must_use]
pub fn decode<S: Step>(bytes: &[u8]) -> Decoded<S> {
    let mut decoded = Decoded {
        pending: Pending::default(),
        whole: 0,
        damaged: Vec::new(),
    };
    let mut bad = Vec::new();
    let mut start = 0;
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        start += line.len();
        let Some(record) = line.strip_suffix(b"\n").and_then(Record::<S>::parse) else {
            bad.push(number + 1);
            continue;
        };
        record.apply(&mut decoded.pending);
        decoded.damaged.append(&mut bad);
        decoded.whole = start;
    }
    decoded
}

pub(super) fn encode_step<S: Step>(step: &S) -> Result<Vec<u8>, serde_json::Error> {
    encode('+', step)
}

pub(super) fn encode_forget(key: &str) -> Result<Vec<u8>, serde_json::Error> {
    encode('-', &key)
}

fn encode<T: Serialize>(sign: char, value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = format!("{sign}{}", serde_json::to_string(value)?);
    Ok(format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes())).into_bytes())
}

enum Record<S> {
    Step(S),
    Forget(String),
}

impl<S: Step> Record<S> {
    fn parse(line: &[u8]) -> Option<Self> {
        let (sum, body) = line.split_at_checked(8)?;
        let body = body.strip_prefix(b" ")?;
        let sum = u32::from_str_radix(str::from_utf8(sum).ok()?, 16).ok()?;
        if sum != crc32fast::hash(body) {
            return None;
        }
        match body.split_first()? {
            (b'+', json) => read(json).map(Self::Step),
            (b'-', json) => read(json).map(Self::Forget),
            _ => None,
        }
    }

    fn apply(self, pending: &mut Pending<S>) {
        match self {
            Self::Step(step) => pending.insert(step),
            Self::Forget(key) => pending.remove(&key),
        }
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Note(String, u8);

    impl Step for Note {
        fn key(&self) -> String {
            self.0.clone()
        }
    }

    fn pending(bytes: &[u8]) -> Vec<Note> {
        decode(bytes).pending.iter().cloned().collect()
    }

    fn file(notes: &[Note]) -> Vec<u8> {
        notes
            .iter()
            .flat_map(|note| encode_step(note).unwrap())
            .collect()
    }

    #[test]
    fn the_first_step_of_a_key_wins_and_forget_removes_it() {
        let mut bytes = file(&[
            Note("a".into(), 1),
            Note("a".into(), 2),
            Note("b".into(), 3),
        ]);
        assert_eq!(pending(&bytes), [Note("a".into(), 1), Note("b".into(), 3)]);
        bytes.extend(encode_forget("a").unwrap());
        assert_eq!(pending(&bytes), [Note("b".into(), 3)]);
    }

    #[test]
    fn every_cut_leaves_the_whole_records_before_it() {
        let notes: Vec<_> = (0..5).map(|n| Note(format!("key {n}"), n)).collect();
        let bytes = file(&notes);
        for cut in 0..=bytes.len() {
            let decoded = decode::<Note>(&bytes[..cut]);
            assert_eq!(pending(&bytes[..cut]), notes[..decoded.pending.len()]);
            assert!(decoded.whole <= cut && decoded.damaged.is_empty());
        }
    }

    #[test]
    fn damage_in_the_middle_is_named_and_costs_one_record() {
        let notes: Vec<_> = (0..3).map(|n| Note(format!("key {n}"), n)).collect();
        let mut bytes = file(&notes);
        let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 12;
        bytes[second] ^= 1;
        let decoded = decode::<Note>(&bytes);
        assert_eq!(decoded.damaged, [2]);
        assert_eq!(pending(&bytes), [notes[0].clone(), notes[2].clone()]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let decoded = decode::<Note>(&bytes);
            prop_assert!(decoded.whole <= bytes.len());
        }

        #[test]
        fn a_flipped_bit_never_invents_a_step(at in 0_usize..100, bit in 0_u8..8) {
            let notes: Vec<_> = (0..4).map(|n| Note(format!("key {n}"), n)).collect();
            let mut bytes = file(&notes);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            for step in pending(&bytes) {
                prop_assert!(notes.contains(&step));
            }
        }
    }
}
