//! Epochs, under clocks and policies that jump.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{MEMBERS, START, World, operator, revoke};
use tidegate_authority::Clock;
use tidegate_authority::service::{NodeRef, NodeStatus, PolicyChangeError};
use tidegate_proto::api::Enrolled;
use tidegate_proto::*;

fn minutes(count: u64) -> UnixTime {
    START + Span::from_minutes(count)
}

async fn put(world: &World, more: &str) -> Result<Signed<policy::Policy>, PolicyChangeError> {
    let text = format!("{MEMBERS}\n{more}");
    world.authority.put_policy(text, None, operator()).await
}

/// A long lead after short epochs must not open two epochs ahead: the bound counts with one.
#[tokio::test]
async fn b1_one_epoch_is_open_ahead_at_most_whatever_the_policy_becomes() {
    let world = World::new().await;
    let short = "[epochs]\nepoch = \"1m\"\nlead = \"30s\"\noverlap = \"5s\"\n";
    put(&world, short).await.unwrap();
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_secs(40));
    world.authority.tick().await.unwrap();
    assert_eq!(world.authority.epochs().await.unwrap().len(), 2);
    let long = "[epochs]\nepoch = \"2h\"\nlead = \"1h\"\noverlap = \"5s\"\n";
    put(&world, long).await.unwrap();
    world.authority.tick().await.unwrap();
    let epochs = world.authority.epochs().await.unwrap();
    assert_eq!(epochs.len(), 2, "{epochs:?}");
    world.hand.advance(Span::from_secs(21));
    world.authority.tick().await.unwrap();
    let epochs = world.authority.epochs().await.unwrap();
    assert!(epochs.len() == 2 && epochs[0].starts < world.clock.now());
}

#[tokio::test]
async fn a_span_without_an_epoch_is_on_record() {
    let world = World::new().await;
    let gaps = "SELECT COUNT(*) FROM audit WHERE event = 'epoch.gap'";
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    assert_eq!(
        world.count(gaps).await,
        0,
        "none while epochs follow one another"
    );
    world.hand.advance(Span::from_hours(5));
    world.authority.tick().await.unwrap();
    assert_eq!(world.count(gaps).await, 1);
    let epochs = world.authority.epochs().await.unwrap();
    assert_eq!(
        (epochs[0].number.value(), epochs[0].starts),
        (3, minutes(313))
    );
}

/// The clock was a year ahead for a moment, and the authority was restarted with the right time.
#[tokio::test]
async fn b8_an_epoch_from_a_clock_that_was_ahead_stops_nobody() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    let (ahead, hand) = Clock::manual(world.clock.now());
    hand.advance(Span::from_hours(365 * 24));
    let wrong = world.under(&ahead).await;
    wrong.tick().await.unwrap();
    wrong.close().await;
    world.hand.advance(Span::from_minutes(20));
    world.authority.tick().await.unwrap();
    let epochs = world.authority.epochs().await.unwrap();
    assert_eq!(epochs.len(), 1);
    assert_eq!(epochs[0].starts, minutes(20));
    assert!(epochs[0].number.value() > 2, "no number comes twice");
    node.renew(&world.authority).await.unwrap();
    assert_eq!(world.authority.grants(node.id()).await.unwrap().len(), 1);
    let list = world.authority.revocation_list().await.unwrap();
    let list = list
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert!(list.issued_at <= world.clock.now());
    assert!(world.authority.rotate(operator()).await.is_ok());
}

/// Installs a succession that allows epochs of ten minutes, leases of twenty and certificates of two hours.
async fn lower_ceilings(world: &World) {
    let ceilings = EpochCeilings {
        epoch: Span::from_minutes(10),
        overlap: Span::from_minutes(1),
        lead: Span::from_minutes(2),
        lease: Span::from_minutes(20),
        certificate: Span::from_hours(2),
    };
    let next = Genesis {
        revision: Revision::new(2).unwrap(),
        previous: Some(world.authority.genesis().digest()),
        ceilings,
        epochs: EpochSettings {
            epoch: Span::from_minutes(5),
            offline_tolerance: Span::from_minutes(5),
            overlap: Span::from_secs(30),
            lead: Span::from_minutes(1),
            certificate: Span::from_hours(1),
        },
        ..world.genesis.clone()
    };
    let next = Signed::sign(&next, &[&world.root]).unwrap();
    world
        .authority
        .install_genesis(next, operator())
        .await
        .unwrap();
}

/// The clock was a day ahead for one round. Nobody could have a grant then, and those that count were forgotten.
#[tokio::test]
async fn b1_what_a_clock_that_was_ahead_has_forgotten_counts_as_a_gap_in_the_ledger() {
    let mut world = World::new().await;
    let (out, _silent) = (world.member("out").await, world.member("a").await);
    world.authority.tick().await.unwrap();
    let held = world.authority.epochs().await.unwrap()[0].lease_until;
    world.authority.close().await;
    let (ahead, hand) = Clock::manual(world.clock.now());
    hand.advance(Span::from_hours(26));
    let wrong = world.under(&ahead).await;
    wrong.tick().await.unwrap();
    assert!(wrong.ledger().await.unwrap().is_empty());
    wrong.close().await;
    world.hand.advance(Span::from_minutes(1));
    let right = world.another().await;
    let status = right
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert!(status.bound > Some(held), "{:?}", status.bound);
    let gaps = "SELECT COUNT(*) FROM audit WHERE event = 'ledger.gap'";
    assert_eq!(world.count(gaps).await, 1);
    right.close().await;
    world.another().await;
    assert_eq!(world.count(gaps).await, 1, "the right time is on record");
}

/// Somebody sets the time three hours ahead under the running server: who holds a lease has it for as long as before.
#[tokio::test]
async fn b1_a_clock_that_is_set_ahead_ends_no_lease_and_completes_no_revocation() {
    let mut world = World::new().await;
    let (out, later) = (world.member("out").await, world.member("b").await);
    let silent = world.member("a").await;
    world.authority.tick().await.unwrap();
    let first = world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let stops = |status: &api::RevocationStatus| {
        let mut open = status.outstanding.iter();
        open.find(|one| one.node == silent.id()).unwrap().stopped_at
    };
    let (step, list) = (Span::from_hours(3), first.list.sequence);
    let releases = world.authority.ledger().await.unwrap().len();
    world.hand.set_ahead(step);
    world.authority.tick().await.unwrap();
    let now = world.authority.revocation(list).await.unwrap();
    assert_eq!(stops(&now), stops(&first) + step);
    assert_eq!(now.bound, first.bound, "what was told does not rise");
    assert!(world.authority.ledger().await.unwrap().len() >= releases);
    let complete = "SELECT COUNT(*) FROM audit WHERE event = 'revocation.complete'";
    assert_eq!(world.count(complete).await, 0);
    let next = world
        .authority
        .revoke(later.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert!(next.bound >= Some(stops(&first) + step));
    let set = "SELECT COUNT(*) FROM audit WHERE event = 'clock.set-ahead'";
    assert_eq!(world.count(set).await, 1);
    world.hand.advance(Span::from_hours(2));
    world.authority.tick().await.unwrap();
    assert_eq!(world.count(complete).await, 2);
    assert_eq!(world.count(set).await, 1, "time that passes is no step");
}

/// A succession may lower the ceilings below what the policy says.
#[tokio::test]
async fn b8_nothing_is_issued_beyond_the_ceilings_in_force() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    put(&world, "[epochs]\nepoch = \"1h\"\n").await.unwrap();
    lower_ceilings(&world).await;
    world.authority.tick().await.unwrap();
    let epoch = world.authority.epochs().await.unwrap()[0];
    assert_eq!(epoch.ends.since(epoch.starts), Span::from_minutes(10));
    assert_eq!(
        epoch.lease_until.since(epoch.starts),
        Span::from_minutes(20)
    );
    world.hand.advance(Span::from_minutes(30));
    let signed = node.renew(&world.authority).await.unwrap();
    let certificate = signed
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert_eq!(
        certificate.not_after.since(certificate.not_before),
        Span::from_hours(2)
    );
}

/// What nodes hold under the ceilings of before they refuse under those of now: each gets something that they take.
#[tokio::test]
async fn b8_a_succession_that_lowers_the_ceilings_leaves_nobody_without_rules_certificate_or_grant()
{
    let mut world = World::new().await;
    let node = world.member("a").await;
    put(&world, "[epochs]\nepoch = \"1h\"\n").await.unwrap();
    world.authority.tick().await.unwrap();
    let before = world.authority.epochs().await.unwrap()[0];
    lower_ceilings(&world).await;
    let (keyring, now) = (world.authority.keyring(), world.clock.now());
    let policy = world.authority.policy().await.unwrap();
    let policy = policy.verify(&keyring, now).unwrap();
    assert_eq!(policy.epochs.epoch, Span::from_minutes(10));
    assert_eq!(policy.epochs.lease(), Span::from_minutes(20));
    assert_eq!(policy.rules.len(), 1);

    world.authority.tick().await.unwrap();
    let Ok(Enrolled::Admitted(certificate)) = world.authority.enrolled(node.id()).await else {
        panic!("it is in");
    };
    certificate.verify(&keyring, now).unwrap();
    let grants = world.authority.grants(node.id()).await.unwrap();
    let grants = grants.iter().map(|one| one.grant.verify(&keyring, now));
    let grants: Vec<_> = grants.map(Result::unwrap).collect();
    assert!(grants.len() == 1 && grants[0].epoch > before.number);
    let lowered = "SELECT COUNT(*) FROM audit WHERE event = 'policy.signed-anew'
                   AND CAST(record AS TEXT) LIKE '%epoch 1h to 10m, lead 12m to 2m, offline tolerance 1h to 10m, certificate 1d to 2h%'";
    assert_eq!(world.count(lowered).await, 1);
    let issued = "SELECT COUNT(*) FROM certificates";
    let count = world.count(issued).await;
    world.authority.tick().await.unwrap();
    assert_eq!(world.count(issued).await, count, "once");
}

/// Each node is offline by the rules that are about it.
#[tokio::test]
async fn silence_is_judged_by_the_rules_about_the_node() {
    let mut world = World::new().await;
    let (web, db) = (world.member("web").await, world.member("db").await);
    let rules = "[[membership]]\nname = \"web-silent\"\nnodes = [\"node:web\"]\nsilent_for = \"10m\"\nthen = \"offline\"\n";
    put(&world, rules).await.unwrap();
    let status = async |node: NodeId| {
        let view = world.authority.node(&NodeRef::Id(node)).await.unwrap();
        view.status
    };
    world.hand.advance(Span::from_minutes(5));
    world.authority.tick().await.unwrap();
    assert_eq!(status(web.id()).await, NodeStatus::Allowed);
    assert_eq!(status(db.id()).await, NodeStatus::Offline);
    world.hand.advance(Span::from_minutes(6));
    world.authority.tick().await.unwrap();
    assert_eq!(status(web.id()).await, NodeStatus::Offline);
}

/// A rule that would do nothing is refused, in words.
#[tokio::test]
async fn a_policy_promises_nothing_that_is_not_carried_out() {
    let world = World::new().await;
    let before = world.authority.policy().await;
    for rule in [
        "silent_for = \"10m\"\nthen = \"quarantine\"",
        "alert = \"intrusion\"\nthen = \"quarantine\"",
        "score = \"disk\"\nbelow = 10\nthen = \"offline\"",
    ] {
        let rule = format!("[[membership]]\nname = \"r\"\nnodes = [\"all\"]\n{rule}\n");
        let refused = put(&world, &rule).await.unwrap_err();
        let name = "r".parse().unwrap();
        assert_eq!(refused, PolicyChangeError::NotCarriedOut(name), "{rule}");
        let text = format!("{MEMBERS}\n{rule}");
        assert!(world.authority.check_policy(&text).await.is_err());
    }
    assert_eq!(world.authority.policy().await, before);
}

/// A certificate is renewed at half its validity, with a new sealing key: also where an epoch lasts longer than that.
#[tokio::test]
async fn a_certificate_that_is_shorter_than_an_epoch_is_renewed_all_the_same() {
    let mut world = World::new().await;
    let short = "[epochs]\ncertificate = \"4m\"\n";
    put(&world, short).await.unwrap();
    let mut node = world.member("a").await;
    for seed in 1..=3 {
        world.hand.advance(Span::from_minutes(2));
        node.sealing = SealingSecretKey::from_seed([seed; 32]);
        node.renew(&world.authority).await.unwrap();
    }
}
