//! Replays the inputs of the fuzz targets, and random changes of them.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[allow(missing_docs, unreachable_pub, reason = "it is part of another crate")]
#[path = "../../tests/fuzz/src/agent/mod.rs"]
mod agent;

use std::path::Path;

#[test]
fn every_input_in_the_corpus_and_its_neighbours_keep_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    for (name, decoder) in agent::TARGETS {
        let inputs = std::fs::read_dir(corpus.join(name)).expect("each target has a corpus");
        let mut count = 0;
        for input in inputs {
            let path = input.expect("it can be listed").path();
            println!("{}", path.display());
            let data = std::fs::read(&path).expect("it can be read");
            decoder(&data);
            neighbours(&data, decoder);
            count += 1;
        }
        assert!(count > 0, "{name} has no input");
    }
}

/// Every shorter input, and every input with one byte changed in a few ways.
fn neighbours(data: &[u8], decoder: agent::Decoder) {
    for end in 0..data.len() {
        decoder(&data[..end]);
    }
    for at in 0..data.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = data.to_vec();
            changed[at] ^= flip;
            decoder(&changed);
        }
    }
}
