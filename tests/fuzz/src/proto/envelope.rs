//! Both forms of envelopes.

use tidegate_proto::Envelope;

use super::promise::{check_json, check_refusal};

/// The JSON form.
pub fn envelope_json(data: &[u8]) {
    check_json::<Envelope>(data, Envelope::LARGEST_JSON);
    match Envelope::from_json(data) {
        Ok(envelope) => check_both_forms(&envelope),
        Err(error) => check_refusal(&error),
    }
}

/// The compact form, of which there is one for each envelope.
pub fn envelope_compact(data: &[u8]) {
    match Envelope::from_compact(data) {
        Ok(envelope) => {
            assert_eq!(envelope.to_compact(), data, "a second compact form");
            check_both_forms(&envelope);
        }
        Err(error) => check_refusal(&error),
    }
}

fn check_both_forms(envelope: &Envelope) {
    assert_eq!(
        Envelope::from_json(&envelope.to_json()).as_ref(),
        Ok(envelope)
    );
    assert_eq!(
        Envelope::from_compact(&envelope.to_compact()).as_ref(),
        Ok(envelope)
    );
}
