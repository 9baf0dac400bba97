//! The decoders of `tidegate-netconfig`: its journal, and what `nft` prints.
#![allow(
    clippy::missing_panics_doc,
    reason = "panicking is how a decoder reports"
)]

use tidegate_netconfig::firewall::TableView;
use tidegate_netconfig::journal::Step;
use tidegate_netconfig::journal::codec::decode;
use tidegate_netconfig::undo::Booted;

/// One decoder that is fuzzed.
pub type Decoder = fn(&[u8]);

/// Every target with its decoder.
pub const TARGETS: [(&str, Decoder); 2] = [
    ("netconfig_firewall", firewall),
    ("netconfig_journal", journal),
];

/// A journal, as it lies on the disk and, since few inputs have sound checksums, with sound ones before each line.
pub fn journal(data: &[u8]) {
    read_journal(data);
    let mut sound = Vec::new();
    for line in data.split(|&byte| byte == b'\n') {
        sound.extend(format!("{:08x} ", crc32fast::hash(line)).into_bytes());
        sound.extend(line);
        sound.push(b'\n');
    }
    read_journal(&sound);
}

/// What is whole reads the same without its torn end, and each step has a key of its own.
fn read_journal(data: &[u8]) {
    let decoded = decode::<Booted>(data);
    let again = decode::<Booted>(&data[..decoded.whole]);
    assert!(decoded.pending.iter().eq(again.pending.iter()));
    assert_eq!(
        (again.whole, &again.damaged),
        (decoded.whole, &decoded.damaged)
    );
    for step in decoded.pending.iter() {
        assert!(decoded.pending.contains(&step.key()));
        let json = serde_json::to_vec(step).unwrap_or_default();
        assert_eq!(
            serde_json::from_slice::<Booted>(&json).ok().as_ref(),
            Some(step)
        );
    }
}

/// A listing of our firewall table.
pub fn firewall(data: &[u8]) {
    if let Some(view) = TableView::parse(data) {
        assert!(view.rules.is_sorted_by(|one, other| one.0 <= other.0));
    }
}
