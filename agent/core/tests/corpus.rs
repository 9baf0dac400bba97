//! Replays the corpus of the fuzz target, without libFuzzer, and keeps its sound inputs what a node writes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is a module of the fuzz targets' crate"
)]
#[path = "../../../tests/fuzz/src/core/mod.rs"]
mod decoders;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_core::{FileName, Files, Input, PlaneReport};
use tidegate_proto::RevocationKind;
use world::World;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/core_state")
}

/// Node 1 of a network of three, the third of which is revoked.
fn written() -> Files {
    let mut world = World::with_nodes(3);
    world.wait(29);
    let id = world.id(3);
    world.authority.put_out(id, RevocationKind::Revoked);
    world.meet();
    let peer = *world.nodes[&1]
        .plane
        .as_ref()
        .unwrap()
        .peers
        .keys()
        .next()
        .unwrap();
    world.say(1, Input::Plane(PlaneReport::Used(vec![peer])));
    world.wait(31);
    assert_eq!(world.nodes[&1].now(world.now), decoders::WRITTEN);
    world.nodes[&1].disk.clone()
}

fn body(name: FileName, file: &[u8]) -> Vec<u8> {
    let line = file.iter().position(|byte| *byte == b'\n').unwrap();
    let number = FileName::ALL
        .iter()
        .position(|other| *other == name)
        .unwrap();
    [&[number as u8], &file[line + 1..]].concat()
}

#[test]
fn the_sound_inputs_are_what_a_node_writes() {
    for (name, file) in written() {
        let (path, body) = (corpus().join(name.as_str()), body(name, &file));
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            fs::write(&path, &body).unwrap();
        }
        assert_eq!(
            fs::read(&path).unwrap(),
            body,
            "{name}: UPDATE_CORPUS=1 writes it anew"
        );
    }
}

#[test]
fn the_sound_inputs_together_are_a_node_that_is_up() {
    let (peers, flows) = decoders::restored(decoders::sound_files()).unwrap();
    assert_eq!(peers, [decoders::key_of(102)]);
    assert!(flows);
}

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    for (target, decoder) in decoders::TARGETS {
        assert!(corpus().join(format!("../../src/bin/{target}.rs")).exists());
        for input in fs::read_dir(corpus()).unwrap() {
            let path = input.unwrap().path();
            println!("{}", path.display()); // names the culprit of a panic
            let bytes = fs::read(path).unwrap();
            decoder(&bytes);
            // Each byte of each file, changed.
            for at in (0..bytes.len()).step_by(997) {
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_add(1);
                decoder(&changed);
            }
        }
    }
}
