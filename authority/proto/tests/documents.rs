//! Every kind of document: it survives both encodings, and nothing that was changed does.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::{NOW, Network, envelope_of, signing};
use proptest::prelude::*;
use serde_json::Value;
use tidegate_proto::strict::ReadError;
use tidegate_proto::*;

fn payload_of<T: Document>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

fn verify_payload<T: Document>(
    payload: &[u8],
    keys: &[&SigningKey],
    keyring: &Keyring<T::Signer>,
) -> Result<Verified<T>, VerifyError> {
    let json = envelope_of(&T::KIND.payload_type(T::VERSION), payload, keys);
    Signed::<T>::from_json(&json).unwrap().verify(keyring, NOW)
}

fn survives_both_encodings<T: Document + PartialEq + std::fmt::Debug>(
    document: &T,
    keys: &[&SigningKey],
    keyring: &Keyring<T::Signer>,
) {
    let signed = Signed::sign(document, keys).unwrap();
    let by_json = Signed::<T>::from_json(&signed.to_json()).unwrap();
    let by_compact = Signed::<T>::from_compact(&signed.to_compact()).unwrap();
    assert_eq!((&by_json, &by_compact), (&signed, &signed));
    assert_eq!(by_json.to_json(), signed.to_json());
    assert_eq!(by_compact.to_compact(), signed.to_compact());
    let verified = by_compact.verify(keyring, NOW).unwrap();
    assert_eq!(*verified, *document);
    assert_eq!(verified.digest(), signed.digest());
}

#[test]
fn every_document_survives_both_encodings() {
    with_every_document!(Network::new(), survives_both_encodings);
}

fn no_flipped_bit_verifies<T: Document>(
    document: &T,
    keys: &[&SigningKey],
    keyring: &Keyring<T::Signer>,
) {
    let compact = Signed::sign(document, keys).unwrap().to_compact();
    // Each bit of the head and the signatures, and some of each payload byte.
    for at in 0..compact.len() {
        let bits: &[u8] = if at < 160 {
            &[0, 1, 2, 3, 4, 5, 6, 7]
        } else {
            &[at as u8 % 8]
        };
        for bit in bits {
            let mut flipped = compact.clone();
            flipped[at] ^= 1 << bit;
            let Ok(signed) = Signed::<T>::from_compact(&flipped) else {
                continue;
            };
            let refusal = signed.verify(keyring, NOW).err();
            assert!(
                matches!(
                    refusal,
                    Some(
                        VerifyError::BadSignature(_)
                            | VerifyError::UnknownSigner(_)
                            | VerifyError::RepeatedSigner(_)
                    )
                ),
                "byte {at} bit {bit} of a {}: {refusal:?}",
                T::KIND
            );
        }
    }
}

#[test]
fn no_flipped_bit_of_any_document_verifies() {
    with_every_document!(Network::new(), no_flipped_bit_verifies);
}

fn no_part_is_an_envelope<T: Document>(document: &T, keys: &[&SigningKey], _: &Keyring<T::Signer>) {
    let signed = Signed::sign(document, keys).unwrap();
    let (json, mut compact) = (signed.to_json(), signed.to_compact());
    for length in 0..compact.len() {
        assert_eq!(
            Envelope::from_compact(&compact[..length]),
            Err(EnvelopeError::Truncated)
        );
    }
    for length in (0..json.len()).step_by(1 + json.len() / 500) {
        let refusal = Envelope::from_json(&json[..length]).unwrap_err();
        assert!(
            matches!(refusal, EnvelopeError::Json(ReadError::Syntax { .. })),
            "{refusal}"
        );
    }
    compact.push(0);
    assert_eq!(
        Envelope::from_compact(&compact),
        Err(EnvelopeError::TrailingBytes)
    );
}

#[test]
fn no_truncated_or_lengthened_envelope_is_read() {
    with_every_document!(Network::new(), no_part_is_an_envelope);
}

fn is_no_other_kind<T: Document>(document: &T, keys: &[&SigningKey], keyring: &Keyring<T::Signer>) {
    let payload = payload_of(document);
    let other = Kind::ALL.into_iter().find(|kind| *kind != T::KIND).unwrap();
    let json = envelope_of(&other.payload_type(1), &payload, keys);
    let refused = Signed::<T>::from_json(&json).unwrap_err();
    assert_eq!(
        refused,
        EnvelopeError::WrongKind {
            want: T::KIND,
            got: other
        }
    );
    // The signature over another type does not count for this one either.
    let renamed = String::from_utf8(json)
        .unwrap()
        .replace(&other.payload_type(1), &T::KIND.payload_type(1));
    let refused = Signed::<T>::from_json(renamed.as_bytes())
        .unwrap()
        .verify(keyring, NOW);
    assert!(matches!(refused, Err(VerifyError::BadSignature(_))));

    for version in [0, 2, u32::MAX] {
        let json = envelope_of(&T::KIND.payload_type(version), &payload, keys);
        let unknown = EnvelopeError::UnknownVersion {
            kind: T::KIND,
            version,
        };
        assert_eq!(Envelope::from_json(&json), Err(unknown));
    }
    let json = envelope_of("application/json", &payload, keys);
    let unknown = EnvelopeError::UnknownType("application/json".into());
    assert_eq!(Envelope::from_json(&json), Err(unknown));
}

#[test]
fn no_document_passes_for_another_kind_or_version() {
    with_every_document!(Network::new(), is_no_other_kind);
}

/// Calls `change` with every place in `value`, one copy of the whole per place; what it leaves as is, is
/// passed over.
fn at_every_place(value: &Value, change: &dyn Fn(&mut Value) -> bool) -> Vec<Value> {
    let mut changed = Vec::new();
    let mut whole = value.clone();
    if change(&mut whole) {
        changed.push(whole);
    }
    let inner = |rebuild: &dyn Fn(Value) -> Value, part: &Value, all: &mut Vec<Value>| {
        all.extend(at_every_place(part, change).into_iter().map(rebuild));
    };
    match value {
        Value::Object(members) => {
            for (key, part) in members {
                let rebuild = |new: Value| {
                    let mut members = members.clone();
                    members.insert(key.clone(), new);
                    Value::Object(members)
                };
                inner(&rebuild, part, &mut changed);
            }
        }
        Value::Array(parts) => {
            for (index, part) in parts.iter().enumerate() {
                let rebuild = |new: Value| {
                    let mut parts = parts.clone();
                    parts[index] = new;
                    Value::Array(parts)
                };
                inner(&rebuild, part, &mut changed);
            }
        }
        _ => {}
    }
    changed
}

const MARK: &str = "\u{1}duplicate";

/// JSON texts that no strict reader accepts, made from a sound one.
fn ambiguous_texts(sound: &Value) -> Vec<String> {
    let text = |values: Vec<Value>| values.into_iter().map(|value| value.to_string());
    let unknown = at_every_place(sound, &|value| {
        value
            .as_object_mut()
            .map(|o| o.insert("unheard".into(), 1.into()))
            .is_some()
    });
    let arrays = at_every_place(sound, &|value| match value {
        Value::Object(members) => {
            *value = Value::Array(members.values().cloned().collect());
            true
        }
        _ => false,
    });
    let nulls = at_every_place(sound, &|value| {
        value
            .as_object_mut()
            .map(|o| o.insert("base".into(), Value::Null))
            .is_some()
    });
    let floats = at_every_place(sound, &|value| {
        let float = value.as_u64().map(|n| n as f64).map(Value::from);
        float.map(|float| *value = float).is_some()
    });
    let controls = at_every_place(sound, &|value| {
        let marked = value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(|text| format!("{text}\u{7}"));
        marked.map(|marked| *value = Value::from(marked)).is_some()
    });
    // serde_json's maps cannot hold a key twice: a marked one is renamed in the text.
    let first_key = |value: &mut Value| {
        let members = value.as_object_mut()?;
        let (key, value) = members.iter().next().map(|(k, v)| (k.clone(), v.clone()))?;
        members.insert(format!("{key}{MARK}"), value)
    };
    let duplicates = at_every_place(sound, &|value| {
        let had = value.as_object().is_some_and(|members| !members.is_empty());
        first_key(value);
        had
    });
    let mark = MARK.replace('\u{1}', "\\u0001");
    let duplicates = text(duplicates).map(|text| text.replace(&mark, ""));
    text(unknown)
        .chain(text(arrays))
        .chain(text(nulls))
        .chain(text(floats))
        .chain(text(controls))
        .chain(duplicates)
        .collect()
}

fn no_ambiguity_is_read<T: Document>(
    document: &T,
    keys: &[&SigningKey],
    keyring: &Keyring<T::Signer>,
) {
    let sound: Value = serde_json::from_slice(&payload_of(document)).unwrap();
    let texts = ambiguous_texts(&sound);
    assert!(texts.len() >= 4, "{}: {}", T::KIND, texts.len());
    for text in texts {
        let refusal = verify_payload::<T>(text.as_bytes(), keys, keyring).err();
        assert!(
            matches!(refusal, Some(VerifyError::Unreadable(_))),
            "{text}: {refusal:?}"
        );
    }
}

#[test]
fn duplicate_members_unknown_members_arrays_nulls_and_floats_are_refused_at_every_depth() {
    with_every_document!(Network::new(), no_ambiguity_is_read);
}

#[test]
fn envelopes_are_as_strict_as_documents() {
    let network = Network::new();
    let json = Signed::sign(&network.receipt(), &[&network.identity])
        .unwrap()
        .to_json();
    let sound: Value = serde_json::from_slice(&json).unwrap();
    assert!(Envelope::from_json(sound.to_string().as_bytes()).is_ok());
    for text in ambiguous_texts(&sound) {
        let refusal = Envelope::from_json(text.as_bytes());
        assert!(
            matches!(
                refusal,
                Err(EnvelopeError::Json(_)
                    | EnvelopeError::Base64(_)
                    | EnvelopeError::UnknownType(_))
            ),
            "{text}: {refusal:?}"
        );
    }
    let text = String::from_utf8(json).unwrap();
    for (from, to) in [
        ("=\"", "\""),
        ("\"sig\":\"", "\"sig\":\" "),
        ("\"payload\":\"", "\"payload\":\"\\n"),
    ] {
        assert!(text.contains(from));
        let refusal = Envelope::from_json(text.replacen(from, to, 1).as_bytes());
        assert!(
            matches!(refusal, Err(EnvelopeError::Base64(_))),
            "{from}: {refusal:?}"
        );
    }
}

#[test]
fn a_missing_or_an_excess_of_signatures_is_refused() {
    let network = Network::new();
    let payload = payload_of(&network.receipt());
    let with = |count: u8| {
        let keys: Vec<_> = (0..count).map(|byte| signing(100 + byte)).collect();
        let keys: Vec<_> = keys.iter().collect();
        Envelope::from_json(&envelope_of(
            &Kind::Receipt.payload_type(1),
            &payload,
            &keys,
        ))
    };
    assert_eq!(with(0), Err(EnvelopeError::SignatureCount(0)));
    assert!(with(16).is_ok());
    assert!(matches!(
        with(17),
        Err(EnvelopeError::Json(ReadError::Value(_)))
    ));
    let mut compact = with(16).unwrap().to_compact();
    compact[3] = 17;
    assert_eq!(
        Envelope::from_compact(&compact),
        Err(EnvelopeError::SignatureCount(17))
    );
    compact[0] = 2;
    assert_eq!(
        Envelope::from_compact(&compact),
        Err(EnvelopeError::UnknownFormat(2))
    );
}

#[test]
fn a_payload_above_its_kinds_limit_is_neither_read_nor_signed() {
    let network = Network::new();
    let limit = Kind::Receipt.largest_payload();
    let padded = |length: usize| {
        let mut payload = payload_of(&network.receipt());
        payload.resize(length, b' ');
        envelope_of(
            &Kind::Receipt.payload_type(1),
            &payload,
            &[&network.identity],
        )
    };
    let signed = Signed::<Receipt>::from_json(&padded(limit)).unwrap();
    assert!(signed.verify(&network.node_keyring(), NOW).is_ok());
    let refusal = EnvelopeError::TooLarge {
        kind: Kind::Receipt,
        limit,
        got: limit + 1,
    };
    assert_eq!(Envelope::from_json(&padded(limit + 1)), Err(refusal));
}

#[test]
fn a_foreign_network_is_refused_by_name() {
    let network = Network::new();
    let foreign = NetworkId::from_bytes([77; 16]);
    let refused = VerifyError::ForeignNetwork {
        want: network.genesis.network,
        got: foreign,
    };
    let receipt = Receipt {
        network: foreign,
        ..network.receipt()
    };
    let signed = Signed::sign(&receipt, &[&network.identity]).unwrap();
    assert_eq!(
        signed.verify(&network.node_keyring(), NOW).err(),
        Some(refused.clone())
    );
    let certificate = Certificate {
        network: foreign,
        ..network.certificate()
    };
    let signed = Signed::sign(&certificate, &[&network.authority]).unwrap();
    assert_eq!(signed.verify(&network.keyring(), NOW).err(), Some(refused));
}

#[test]
fn validity_has_a_first_moment_and_no_last_one() {
    let network = Network::new();
    let certificate = network.certificate();
    let signed = Signed::sign(&certificate, &[&network.authority]).unwrap();
    let verify = |now| signed.verify(&network.keyring(), now).map(|_| ());
    let moment = Span::from_millis(1);
    let (from, until) = (certificate.not_before, certificate.not_after);
    assert_eq!(verify(from - moment), Err(VerifyError::NotYetValid(from)));
    assert_eq!(verify(from), Ok(()));
    assert_eq!(verify(until - moment), Ok(()));
    assert_eq!(verify(until), Err(VerifyError::Expired(until)));
    let grant = Signed::sign(&network.grant(), &[&network.authority]).unwrap();
    let lease_until = network.grant().lease_until;
    let refused = grant.verify(&network.keyring(), lease_until).err();
    assert_eq!(refused, Some(VerifyError::Expired(lease_until)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic_and_what_is_read_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Envelope::from_json(&bytes);
        if let Ok(envelope) = Envelope::from_compact(&bytes) {
            prop_assert_eq!(envelope.to_compact(), bytes);
        }
    }

    #[test]
    fn no_head_before_a_sound_tail_panics(mut head in proptest::collection::vec(any::<u8>(), 4..12)) {
        let network = Network::new();
        let tail = Signed::sign(&network.receipt(), &[&network.identity]).unwrap().to_compact();
        let length = head.len();
        head.extend_from_slice(&tail[length..]);
        if let Ok(signed) = Signed::<Receipt>::from_compact(&head) {
            let verified = signed.verify(&network.node_keyring(), NOW).is_ok();
            prop_assert_eq!(verified, head == tail);
        }
    }
}
