//! Replays the corpus of the fuzz targets, without libFuzzer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is a module of the fuzz targets' crate"
)]
#[path = "../../tests/fuzz/src/netconfig/mod.rs"]
mod decoders;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
    for (target, decoder) in decoders::TARGETS {
        assert!(fuzz.join(format!("src/bin/{target}.rs")).exists());
        let inputs: Vec<_> = fs::read_dir(fuzz.join("corpus").join(target))
            .unwrap()
            .collect();
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display()); // names the culprit of a panic
            decoder(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn the_sound_inputs_are_understood() {
    use tidegate_netconfig::firewall::TableView;
    use tidegate_netconfig::journal::codec::decode;
    use tidegate_netconfig::undo::Booted;

    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    let journal = fs::read(corpus.join("netconfig_journal/sound")).unwrap();
    assert_eq!(decode::<Booted>(&journal).pending.len(), 4);
    let listing = fs::read(corpus.join("netconfig_firewall/listing")).unwrap();
    assert_eq!(TableView::parse(&listing).unwrap().rules.len(), 2);
}
