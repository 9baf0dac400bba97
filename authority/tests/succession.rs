//! A network outlives its authority keys: rotation with an overlap, a cut without one, and roll-back refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use folder::{Folder, judge};
use tidegate_proto::{KeyId, Span, UnixTime, VerifyError};

fn rotated(options: &str) -> Folder {
    let folder = Folder::with_network();
    folder.done("key new --out new.pem");
    folder.done(&format!(
        "genesis succeed genesis.json --root root.pem --authority-key new.pub --out genesis-2.json {options}"
    ));
    folder
}

#[test]
fn without_an_overlap_the_old_key_counts_for_nothing_at_once() {
    let folder = rotated("");
    let chain = folder.chain(&["genesis.json", "genesis-2.json"]);
    let now = chain.genesis().issued_at;
    let old = folder.key("authority.pem");
    assert_eq!(
        judge(&folder.chain(&["genesis.json"]), &[&old], now),
        Ok(())
    );
    let unknown = VerifyError::UnknownSigner(KeyId::of(&old.public_key()));
    assert_eq!(judge(&chain, &[&old], now), Err(unknown));
    assert_eq!(judge(&chain, &[&folder.key("new.pem")], now), Ok(()));
    assert!(
        folder
            .done("genesis inspect genesis-2.json")
            .contains("earlier keys  do not count\n")
    );
}

#[test]
fn with_an_overlap_the_old_key_counts_until_it_ends() {
    let folder = rotated("--overlap-for 24h");
    let chain = folder.chain(&["genesis.json", "genesis-2.json"]);
    let until = chain.genesis().issued_at + Span::from_hours(24);
    let (old, new) = (folder.key("authority.pem"), folder.key("new.pem"));
    let last = until - Span::from_millis(1);
    assert_eq!(judge(&chain, &[&old], last), Ok(()));
    assert_eq!(
        judge(&chain, &[&old], until),
        Err(VerifyError::KeysRetired(until))
    );
    assert_eq!(judge(&chain, &[&new], last), Ok(()));
    assert_eq!(judge(&chain, &[&new], until), Ok(()));
    let page = folder.done("genesis inspect genesis-2.json");
    assert!(page.contains(&format!("count as well until {until}")));
}

#[test]
fn a_running_overlap_ends_only_by_name() {
    let folder = rotated("--overlap-for 24h");
    let succeed = "genesis succeed genesis-2.json --root root.pem --out genesis-3.json";
    assert!(
        folder
            .refused(&format!("{succeed} --epoch 10m"))
            .contains("--overlap-for")
    );
    folder.done(&format!("{succeed} --overlap-for 0s"));
    let chain = folder.chain(&["genesis.json", "genesis-2.json", "genesis-3.json"]);
    let old = folder.key("authority.pem");
    assert!(judge(&chain, &[&old], chain.genesis().issued_at).is_err());
}

#[test]
fn what_is_not_said_stays() {
    let folder = Folder::with_network();
    folder.done(
        "genesis succeed genesis.json --root root.pem --url https://a.example.org --tls-system-roots --add-ipv4 10.212.0.0/16 --out genesis-2.json",
    );
    let [before, after] = ["genesis.json", "genesis-2.json"]
        .map(|name| folder.json(&format!("genesis inspect {name} --json"))["genesis"].take());
    let changed: Vec<_> = after
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| before[name.as_str()] != **value)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        changed,
        ["ipv4", "issued_at", "previous", "revision", "tls", "urls"]
    );
    assert_eq!(
        after["ipv4"],
        serde_json::json!(["10.211.0.0/16", "10.212.0.0/16"])
    );
    folder.done("genesis verify genesis-2.json --chain genesis.json");
}

#[test]
fn each_part_that_can_change_changes() {
    let folder = Folder::with_network();
    let key = folder.key("authority.pem").public_key();
    folder.done(&format!(
        "genesis succeed genesis.json --root root.pem --anchor {key}@192.0.2.7:51820 --policy {key} --epoch 6h --lead 10m --overlap 1m --max-epoch 8h --max-lease 60h --out genesis-2.json"
    ));
    let shown = folder.json("genesis inspect genesis-2.json --json");
    let genesis = &shown["genesis"];
    assert_eq!(genesis["anchors"][0]["endpoints"][0], "192.0.2.7:51820");
    assert_eq!(genesis["policy"], key.to_string());
    assert_eq!(genesis["epochs"]["epoch_ms"], 6 * 3_600_000);
    assert_eq!(genesis["ceilings"]["lease_ms"], 60 * 3_600_000);
    folder.done(
        "genesis succeed genesis-2.json --root root.pem --no-anchors --no-policy --out genesis-3.json",
    );
    let shown = folder.json("genesis inspect genesis-3.json --json");
    assert_eq!(shown["genesis"]["anchors"], serde_json::json!([]));
    assert_eq!(shown["genesis"].get("policy"), None);
}

#[test]
fn the_threshold_is_said_again_when_the_number_of_keys_changes() {
    let folder = Folder::with_network();
    for name in ["a", "b", "c"] {
        folder.done(&format!("key new --out {name}.pem"));
    }
    let succeed = "genesis succeed genesis.json --root root.pem --authority-key a.pub --authority-key b.pub --authority-key c.pub --out genesis-2.json";
    assert!(
        folder
            .refused(succeed)
            .contains("say with --threshold how many must")
    );
    folder.done(&format!("{succeed} --threshold 2"));
    // As many keys as before: the threshold stays.
    folder.done(
        "genesis succeed genesis-2.json --root root.pem --authority-key a.pub --authority-key b.pub --authority-key authority.pub --out genesis-3.json",
    );
    let shown = folder.json("genesis inspect genesis-3.json --json");
    assert_eq!(shown["genesis"]["authority"]["threshold"], 2);
}

#[test]
fn an_older_revision_after_a_newer_one_is_refused() {
    let folder = rotated("");
    folder.done("genesis verify genesis-2.json --chain genesis.json");
    for chain in ["genesis-2.json", "genesis.json genesis-2.json"] {
        let line = folder.refused(&format!("genesis verify genesis.json --chain {chain}"));
        assert!(
            line.contains("revision 1 is older than revision 2"),
            "{line}"
        );
    }
}

#[test]
fn a_revision_left_out_is_a_gap() {
    let folder = rotated("");
    folder.done("genesis succeed genesis-2.json --root root.pem --epoch 10m --out genesis-3.json");
    let line = folder.refused("genesis verify genesis-3.json --chain genesis.json");
    assert!(
        line.contains("revision 3 cannot follow revision 1"),
        "{line}"
    );
    folder.done("genesis verify genesis-3.json --chain genesis.json genesis-2.json");
}

#[test]
fn two_successions_of_one_revision_end_all_trust() {
    let folder = rotated("");
    folder.done("genesis succeed genesis.json --root root.pem --epoch 10m --out sibling.json");
    let line = folder.refused("genesis verify sibling.json --chain genesis.json genesis-2.json");
    assert!(
        line.contains("two different documents for revision 2"),
        "{line}"
    );
}

#[test]
fn a_trusted_hash_of_any_revision_in_the_chain_will_do() {
    let folder = rotated("");
    let hash = |name: &str| folder.chain(&[name]).genesis().digest();
    for trusted in [hash("genesis.json"), hash("genesis-2.json")] {
        let said = folder.done(&format!(
            "genesis verify genesis-2.json --chain genesis.json --hash {trusted}"
        ));
        assert!(said.contains("Good: "), "{said}");
    }
    let line = folder.refused(&format!(
        "genesis verify genesis-2.json --hash {}",
        hash("genesis.json")
    ));
    assert!(line.contains("the trusted hash is"), "{line}");
}

#[test]
fn what_a_succession_refuses() {
    let folder = Folder::with_network();
    folder.done("root new --out other.pem");
    folder.done("key new --out new.pem");
    let succeed = "genesis succeed genesis.json --root root.pem --out genesis-2.json";
    let cases = [
        ("", "would change nothing"),
        (
            "--authority-key new.pub --overlap-for 8d",
            "longer than any certificate",
        ),
        ("--epoch 10m --overlap-for 1h", "nothing to overlap"),
        ("--epoch 5h", "the genesis ceiling allows at most 4h"),
        (
            "--max-epoch 10m",
            "the epoch is 15m; the genesis ceiling allows at most 10m",
        ),
        ("--threshold 2", "a threshold of 2 cannot be met by 1"),
        ("--add-ipv4 10.211.7.0/24", "overlap"),
        ("--url https://a.example.org", "no TLS pin"),
        (
            "--authority-key new.pub --authority-key new.pub",
            "is given twice",
        ),
    ];
    for (options, why) in cases {
        let line = folder.refused(&format!("{succeed} {options}"));
        assert!(line.contains(why), "{options}: {line}");
    }
    let line = folder
        .refused("genesis succeed genesis.json --root other.pem --epoch 10m --out genesis-2.json");
    assert!(
        line.contains("use the key that signed the genesis"),
        "{line}"
    );
}

#[test]
fn a_clock_behind_the_predecessor_signs_nothing() {
    use tidegate_authority::ceremony::{CeremonyError, Succession};
    let folder = Folder::with_network();
    let chain = folder.chain(&["genesis.json"]);
    let before = chain.genesis().issued_at;
    let now = before - Span::from_millis(1);
    let succession = |now: UnixTime| {
        let change = Succession {
            policy: Some(Some(chain.genesis().digest())),
            ..Succession::default()
        };
        change.sign(&chain, &folder.key("root.pem"), now)
    };
    assert_eq!(
        succession(now).unwrap_err(),
        CeremonyError::ClockBehind { now, before }
    );
    assert!(succession(before).is_ok());
}
