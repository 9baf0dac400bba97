//! Exports of the audit log.

use tidegate_proto::audit::{Chained, Record, Verifier};

use super::fixtures::Network;
use super::promise::check_refusal;

/// An export: in whatever pieces it comes, the answer is the same. A record has one text.
pub fn audit(data: &[u8]) {
    let chain = [Network::new().signed_genesis()];
    let check = |piece: usize| {
        let mut verifier = Verifier::of_export(&chain).unwrap();
        data.chunks(piece)
            .try_for_each(|bytes| verifier.push(bytes))?;
        verifier.finish()
    };
    let whole = check(data.len().max(1));
    assert_eq!(check(7), whole, "it depends on the pieces");
    match whole {
        Ok(found) => {
            let lines = data.iter().filter(|&&byte| byte == b'\n').count() as u64;
            assert_eq!(lines, found.records + found.checkpoints);
            assert_eq!(found.covered, found.last, "an export is covered whole");
        }
        Err(error) => check_refusal(&error),
    }
    data.split(|&byte| byte == b'\n').for_each(check_record);
}

fn check_record(line: &[u8]) {
    match Record::from_bytes(line) {
        Ok(record) => assert_eq!(record.to_bytes().as_deref(), Some(line)),
        Err(error) => check_refusal(&error),
    }
    if let Ok(chained) = serde_json::from_slice::<Chained>(line)
        && let Some(bytes) = chained.record.to_bytes()
    {
        assert_eq!(
            serde_json::from_slice::<Chained>(&Chained::line(&bytes, chained.hash)).ok(),
            Some(chained)
        );
    }
}
