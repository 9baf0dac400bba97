//! Replays the inputs of the fuzz targets, and random ones besides.

#[allow(missing_docs, unreachable_pub, reason = "it is part of another crate")]
#[path = "../../tests/fuzz/src/wg/mod.rs"]
mod wg;

use std::path::Path;

#[test]
fn every_input_in_the_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    for (name, decoder) in wg::TARGETS {
        let inputs = std::fs::read_dir(corpus.join(name)).expect("each target has a corpus");
        let mut count = 0;
        for input in inputs {
            let path = input.expect("it can be listed").path();
            println!("{}", path.display());
            decoder(&std::fs::read(&path).expect("it can be read"));
            count += 1;
        }
        assert!(count > 0, "{name} has no input");
    }
}

#[test]
fn random_inputs_keep_the_promises() {
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for (name, decoder) in wg::TARGETS {
        // Some models are very slow.
        let rounds = match name {
            "wg_engine" | "wg_merge" | "wg_routes" => 50,
            _ => 1000,
        };
        for _ in 0..rounds {
            let len = random() % 600;
            let data: Vec<u8> = (0..len)
                .map(|_| random() as u8 & [0xff, 0x0f, 0x47][random() as usize % 3])
                .collect();
            decoder(&data);
        }
    }
}
