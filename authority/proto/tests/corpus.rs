//! Replays the corpus of the fuzz targets, without libFuzzer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is a module of the fuzz targets' crate"
)]
#[path = "../../../tests/fuzz/src/proto/mod.rs"]
mod decoders;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz")
}

/// Names of what lies in a folder of the fuzz targets' crate.
fn names(folder: impl AsRef<Path>) -> BTreeSet<String> {
    let folder = fuzz().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn ours(names: BTreeSet<String>) -> BTreeSet<String> {
    names
        .into_iter()
        .filter(|name| name.starts_with("proto_"))
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect()
}

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    for (target, decoder) in decoders::TARGETS {
        let folder = fuzz().join("corpus").join(target);
        let inputs = names(&folder);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in &inputs {
            println!("{target}/{input}"); // names the culprit of a panic
            decoder(&fs::read(folder.join(input)).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let listed: BTreeSet<_> = decoders::TARGETS.map(|(name, _)| name.to_owned()).into();
    assert_eq!(ours(names("src/bin")), listed);
    assert_eq!(ours(names("corpus")), listed);
}
