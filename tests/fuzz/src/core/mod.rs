//! The reader of a node's state: the files of its state directory.
#![allow(
    clippy::missing_panics_doc,
    reason = "panicking is how a decoder reports"
)]

use std::sync::Arc;

use tidegate_core::{
    BootId, Choices, FileName, Files, Member, Now, Output, PlaneOrder, Setup, Traffic,
};
use tidegate_proto::{Digest, SigningKey, UnixTime, WgPublicKey, WgSecretKey};
use tidegate_wg::{Command, Mono};

/// One decoder that is fuzzed.
pub type Decoder = fn(&[u8]);

/// Every target with its decoder.
pub const TARGETS: [(&str, Decoder); 1] = [("core_state", state)];

/// The sound files of node 1 of a network of three, the third of which is revoked: one byte that names the file, and
/// what stands behind its first line.
const SOUND: [&[u8]; 10] = [
    include_bytes!("../../corpus/core_state/genesis"),
    include_bytes!("../../corpus/core_state/keys"),
    include_bytes!("../../corpus/core_state/certificate"),
    include_bytes!("../../corpus/core_state/list"),
    include_bytes!("../../corpus/core_state/policy"),
    include_bytes!("../../corpus/core_state/roster"),
    include_bytes!("../../corpus/core_state/grants"),
    include_bytes!("../../corpus/core_state/clock"),
    include_bytes!("../../corpus/core_state/floors"),
    include_bytes!("../../corpus/core_state/recent"),
];

/// When the sound files were written.
pub const WRITTEN: Now = Now {
    boot: Mono(160_000_000_000),
    unix: UnixTime::from_millis(1_790_000_060_000),
};

/// One file is the input, the others are sound. Nothing panics, and nobody comes in whom the sound files do not know.
pub fn state(data: &[u8]) {
    let Some((&which, body)) = data.split_first() else {
        return;
    };
    let name = FileName::ALL[usize::from(which) % FileName::ALL.len()];
    for bytes in [body.to_vec(), headed(name, body)] {
        let mut files = sound_files();
        files.insert(name, bytes.into());
        if let Some((peers, _)) = restored(files) {
            assert!(
                peers.iter().all(|key| *key == key_of(102)),
                "{name} let somebody in"
            );
        }
    }
}

/// The sound files.
pub fn sound_files() -> Files {
    let file = |(name, data): (FileName, &[u8])| (name, headed(name, &data[1..]).into());
    FileName::ALL.into_iter().zip(SOUND).map(file).collect()
}

/// The key of the tunnels of a node of the network.
pub fn key_of(byte: u8) -> WgPublicKey {
    WgSecretKey::from_bytes([byte; 32]).public_key()
}

/// A file with this content, and a first line that is right.
pub fn headed(name: FileName, body: &[u8]) -> Vec<u8> {
    let head = format!("tidegate {name} 1 {}\n", Digest::of(body));
    [head.as_bytes(), body].concat()
}

/// Whom a node knows that starts with these files, and whether data flows; none if it does not start.
pub fn restored(files: Files) -> Option<(Vec<WgPublicKey>, bool)> {
    let setup = Setup {
        identity: Arc::new(SigningKey::from_seed(&[11; 32])),
        files,
        boot: BootId("boot-1".to_owned()),
        seed: [0; 32],
        program: "fuzz".parse().ok()?,
        choices: Choices::default(),
    };
    let mut member = Member::restore(setup, WRITTEN).ok()?;
    let (mut peers, mut flows) = (Vec::new(), false);
    while let Some(output) = member.poll_output() {
        match output {
            Output::Plane(PlaneOrder::Apply { commands, .. }) => {
                for command in commands {
                    if let Command::AddPeer(peer) = command {
                        peers.extend(WgPublicKey::from_bytes(peer.key.0));
                    }
                }
            }
            Output::Host(Some(wish)) => flows = wish.traffic == Traffic::Flows,
            _ => {}
        }
    }
    Some((peers, flows))
}
