//! Policies: what they permit, how people write them, and what they are told when they err.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::{NOW, Network, seq, set};
use proptest::prelude::*;
use tidegate_proto::policy::*;
use tidegate_proto::*;

struct Host {
    name: NodeName,
    roles: Vec<Role>,
    tags: Vec<Tag>,
    addresses: [Prefix; 2],
    routes: Vec<Prefix>,
    genesis: Genesis,
}

impl Host {
    fn new(name: &str, number: u8, tags: &[&str], routes: &[&str]) -> Self {
        let prefix = |text: String| text.parse().unwrap();
        Self {
            name: name.parse().unwrap(),
            roles: vec!["member".parse().unwrap()],
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            addresses: [
                prefix(format!("10.211.0.{number}/32")),
                prefix(format!("fd01::{number}/128")),
            ],
            genesis: Network::new().genesis,
            routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.name,
            roles: &self.roles,
            tags: &self.tags,
            addresses: self.addresses,
            routes: &self.routes,
            genesis: &self.genesis,
        }
    }
}

fn policy(text: &str) -> Policy {
    let network = NetworkId::from_bytes([9; 16]);
    PolicyFile::parse(text)
        .unwrap()
        .into_policy(network, Revision::FIRST, seq(1), NOW)
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn an_empty_policy_permits_nothing() {
    let (a, b) = (Host::new("a", 1, &[], &[]), Host::new("b", 2, &[], &[]));
    let empty = policy("");
    assert!(!empty.permits(&a.subject(), &b.subject()));
    assert!(empty.rules_for(a.subject()).is_empty());
    assert!(!empty.may_relay(&a.subject()));
}

#[test]
fn a_rule_has_a_direction_and_peers_have_none() {
    let (web, db) = (
        Host::new("web", 1, &["web"], &[]),
        Host::new("db", 2, &["db"], &[]),
    );
    let policy = policy(
        "[[rules]]\nfrom = ['tag:web']\nto = ['tag:db']\nprotocol = 'tcp'\nports = ['5432']\n",
    );
    assert!(policy.permits(&web.subject(), &db.subject()));
    assert!(policy.permits(&db.subject(), &web.subject()));
    let rules = policy.rules_for(web.subject());
    let expected = Access {
        from: web.addresses.to_vec(),
        to: db.addresses.to_vec(),
        protocol: Protocol::Tcp,
        ports: vec!["5432".parse().unwrap()],
    };
    assert_eq!(
        rules.outbound_to(&db.subject()),
        std::slice::from_ref(&expected)
    );
    assert_eq!(rules.inbound_from(&db.subject()), []);
    assert_eq!(
        policy.rules_for(db.subject()).inbound_from(&web.subject()),
        [expected]
    );
}

#[test]
fn every_selector_chooses_what_it_names() {
    let gateway = Host::new("gateway", 1, &["edge"], &["192.168.0.0/16"]);
    let other = Host::new("other", 2, &[], &[]);
    for (selector, chosen) in [
        ("all", true),
        ("tag:edge", true),
        ("tag:db", false),
        ("role:member", true),
        ("role:gateway", false),
        ("group:g", true),
        ("group:h", false),
        ("node:gateway", true),
        ("node:other", false),
        ("cidr:10.211.0.1/32", true),
        ("cidr:10.211.0.2/32", false),
        ("cidr:192.168.7.0/24", true),
        ("cidr:192.0.0.0/8", true),
        ("cidr:172.16.0.0/12", false),
        ("cidr:fd01::/64", true),
    ] {
        let text = format!(
            "[groups]\ng = ['tag:edge', 'tag:db']\nh = ['tag:db']\n\
             [[rules]]\nfrom = ['{selector}']\nto = ['node:other']\nprotocol = 'any'\n"
        );
        assert_eq!(
            policy(&text).permits(&gateway.subject(), &other.subject()),
            chosen,
            "{selector}"
        );
    }
}

#[test]
fn what_lies_behind_a_router_is_reached_by_its_address_alone() {
    let (client, router) = (
        Host::new("client", 1, &[], &[]),
        Host::new("router", 2, &[], &["192.168.0.0/16"]),
    );
    let reached = |to: &str| {
        let text = format!("[[rules]]\nfrom = ['all']\nto = ['{to}']\nprotocol = 'any'\n");
        let policy = policy(&text);
        let access = policy
            .rules_for(client.subject())
            .outbound_to(&router.subject());
        access
            .into_iter()
            .flat_map(|access| access.to)
            .collect::<Vec<_>>()
    };
    assert_eq!(reached("all"), router.addresses);
    assert_eq!(reached("node:router"), router.addresses);
    assert_eq!(
        reached("cidr:192.168.7.0/24"),
        prefixes(&["192.168.7.0/24"])
    );
    assert_eq!(
        reached("cidr:0.0.0.0/0"),
        prefixes(&["10.211.0.2/32", "192.168.0.0/16"])
    );
}

#[test]
fn who_routes_for_everything_is_not_everybody() {
    let exit = Host::new("exit", 1, &[], &["0.0.0.0/0", "::/0"]);
    let (alice, db) = (
        Host::new("alice", 5, &[], &[]),
        Host::new("db", 2, &["db"], &[]),
    );
    let text = "[[rules]]\nfrom = ['cidr:10.211.0.5/32']\nto = ['tag:db']\nprotocol = 'any'\n";
    let policy = policy(text);
    assert!(policy.permits(&alice.subject(), &db.subject()));
    assert!(!policy.permits(&exit.subject(), &db.subject()));
    assert!(
        policy
            .rules_for(db.subject())
            .inbound_from(&exit.subject())
            .is_empty()
    );
    let selectors = ["cidr:192.168.7.0/24".parse().unwrap()];
    assert!(
        !policy.selects(&selectors, &exit.subject()),
        "a command goes to nodes, not through them"
    );
}

#[test]
fn addresses_of_different_families_never_meet() {
    let (a, b) = (Host::new("a", 1, &[], &[]), Host::new("b", 2, &[], &[]));
    let text =
        "[[rules]]\nfrom = ['cidr:10.211.0.0/16']\nto = ['cidr:fd01::/16']\nprotocol = 'any'\n";
    let policy = policy(text);
    assert!(!policy.permits(&a.subject(), &b.subject()));
    assert_eq!(policy.rules_for(a.subject()).outbound_to(&b.subject()), []);
}

/// The certificate is the bridge between the documents and the evaluator.
#[test]
fn a_certificate_is_a_subject() {
    let network = Network::new();
    let certificate = network.certificate();
    let subject = Subject::new(&certificate, &network.genesis);
    assert!(
        network
            .policy()
            .selects(&["tag:pci".parse().unwrap()], &subject)
    );
    let own = prefixes(&["10.211.3.7/32", "fd01:203:405::3:7/128"]);
    assert_eq!(subject.addresses.to_vec(), own);
}

#[test]
fn the_file_form_survives_reading_and_writing() {
    let policy = Network::new().policy();
    let text = PolicyFile::render(&policy);
    let again = PolicyFile::parse(&text).unwrap();
    let (network, version) = (policy.network, policy.version);
    assert_eq!(
        again.into_policy(network, Revision::FIRST, version, policy.issued_at),
        policy,
        "{text}"
    );
}

#[test]
fn what_a_file_leaves_out_has_its_usual_value() {
    let policy = policy("[epochs]\nepoch = '10m'\n");
    assert_eq!(policy.epochs.epoch, Span::from_minutes(10));
    assert_eq!(
        policy.epochs.lead,
        Span::from_minutes(2),
        "a fifth of the epoch"
    );
    assert_eq!(policy.epochs.certificate, Span::from_hours(24));
    assert!(policy.trust_rtc);
}

/// Each text is refused, on its line, for what is wrong there.
fn check_mistakes(mistakes: &[(String, usize, &str)]) {
    for (text, line, part) in mistakes {
        let error = PolicyFile::parse(text).unwrap_err();
        let told = error.message.contains(part);
        assert!(
            error.line == *line && told,
            "{text}\n{error:?} is not on {line} about {part}"
        );
    }
}

#[test]
fn a_mistake_of_form_is_told_with_its_line() {
    check_mistakes(&[
        ("x = 1".into(), 1, "unknown field"),
        ("\n\nrules = 3".into(), 3, "invalid type"),
        ("[groups\n".into(), 1, ""),
        ("[epochs]\nepoch = '15'".into(), 2, "no length of time"),
        ("relays = ['all',\n 'x']".into(), 2, "'x' selects nothing"),
        (
            "[groups]\na = ['all']\nb = ['group:a']".into(),
            3,
            "the group 'b' has a group",
        ),
    ]);
}

#[test]
fn a_mistake_in_a_rule_is_told_with_its_line() {
    let rule = "[[rules]]\nfrom = ['all']\nto = ['all']\nprotocol = 'any'\n";
    let with_to = |to: &str| rule.replace("to = ['all']", to);
    let with_ports = |ports: &str| rule.replace("'any'", &format!("'tcp'\n{ports}"));
    check_mistakes(&[
        (rule.replace("any", "gre"), 4, "unknown variant"),
        (
            with_to("to = ['everybody']"),
            3,
            "'everybody' selects nothing",
        ),
        (with_to("to = ['tag:UP']"), 3, "a tag has 1 to 32"),
        (with_to("to = ['cidr:10.0.0.1/8']"), 3, "no network prefix"),
        (with_to("to = [\n  'all',\n  'all',\n]"), 5, "twice"),
        (
            with_to("to = ['group:x']"),
            3,
            "the group 'x' is not defined",
        ),
        (
            rule.replace("from = ['all']", "from = []"),
            1,
            "at least one 'from'",
        ),
        (
            format!("{rule}ports = ['80']"),
            1,
            "ports go with tcp or udp",
        ),
        (with_ports("ports = ['0']"), 5, "'0' is no port"),
        (with_ports("ports = ['9-1']"), 5, "'9-1' is no port"),
        (with_ports("ports = []"), 1, "ports"),
        (with_ports("port = ['80']"), 5, "unknown field"),
    ]);
}

#[test]
fn a_mistake_about_operators_or_members_is_told_with_its_line() {
    let operator = |name: &str, byte: u8| {
        let key = fixtures::signing(byte).public_key();
        format!("[[operators]]\nname = '{name}'\nkey = '{key}'\nrole = 'admin'\n")
    };
    let twice = |other: String| operator("jane", 1) + &other;
    let membership = |rest: &str| format!("[[membership]]\nname = 'a'\n{rest}then = 'offline'\n");
    check_mistakes(&[
        (twice(operator("jane", 2)), 6, "more than one operator"),
        (twice(operator("joe", 1)), 6, "more than one operator"),
        (operator("Jane", 1), 2, "an operator name has"),
        (
            operator("jane", 1).replace("key = '", "key = 'A"),
            3,
            "canonical base64",
        ),
        (membership("nodes = ['all']\n"), 1, "one condition"),
        (membership("nodes = []\nalert = 'x'\n"), 1, "'nodes'"),
    ]);
}

#[test]
fn a_policy_that_contradicts_itself_is_refused_whoever_signs() {
    let network = Network::new();
    let broken = |change: &dyn Fn(&mut Policy)| {
        let mut policy = network.policy();
        change(&mut policy);
        match policy.check_sound() {
            Err(error) => error,
            Ok(()) => panic!("sound"),
        }
    };
    let unknown: GroupName = "nobody".parse().unwrap();
    let selector = Selector::Group(unknown.clone());
    assert_eq!(
        broken(&|p| p.relays = set([selector.clone()])),
        PolicyError::UnknownGroup(unknown.clone())
    );
    let group = Group {
        name: unknown.clone(),
        members: set(["group:developers".parse().unwrap()]),
    };
    assert_eq!(
        broken(&|p| {
            let mut groups = p.groups.to_vec();
            groups.push(group.clone());
            p.groups = fixtures::list(groups);
        }),
        PolicyError::NestedGroup(unknown)
    );
    let twice = |p: &mut Policy| {
        let operators = [p.operators[0].clone(), p.operators[0].clone()];
        p.operators = fixtures::list(operators);
    };
    assert!(matches!(broken(&twice), PolicyError::Twice { .. }));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\n|\\[|\\]|=|'|[a-z]){0,200}") {
        let _ = PolicyFile::parse(&text);
    }

    /// Nodes of one class are peers of the same others, however many rules there are.
    #[test]
    fn classes_and_permits_agree(picks in prop::collection::vec((0..6_usize, 0..6_usize), 0..40)) {
        let words = ["cidr:fd01::/16", "tag:web", "tag:db", "cidr:192.168.1.0/24", "node:c", "cidr:10.211.0.1/32"];
        let rule = |(from, to): &(usize, usize)| {
            format!("[[rules]]\nfrom = ['{}']\nto = ['{}']\nprotocol = 'any'\n", words[*from], words[*to])
        };
        let policy = policy(&picks.iter().map(rule).collect::<String>());
        let hosts = [
            Host::new("a", 1, &["web"], &[]),
            Host::new("b", 2, &["db"], &["192.168.0.0/16"]),
            Host::new("c", 3, &[], &[]),
            Host::new("d", 4, &["db", "web"], &[]),
        ];
        for a in &hosts {
            for b in &hosts {
                let (a, b) = (a.subject(), b.subject());
                let meets = policy.class_of(&a).meets(&policy.class_of(&b));
                prop_assert_eq!(policy.permits(&a, &b), meets);
            }
        }
    }

    /// Two nodes are peers exactly if some flow between them is permitted.
    #[test]
    fn permits_and_rules_agree(from in 0..5_usize, to in 0..5_usize) {
        let words = ["cidr:fd01::/16", "tag:web", "tag:db", "cidr:192.168.1.0/24", "node:c"];
        let (from, to) = (words[from], words[to]);
        let text = format!("[[rules]]\nfrom = ['{from}']\nto = ['{to}']\nprotocol = 'any'\n");
        let policy = policy(&text);
        let hosts = [
            Host::new("a", 1, &["web"], &[]),
            Host::new("b", 2, &["db"], &["192.168.0.0/16"]),
            Host::new("c", 3, &[], &[]),
        ];
        for a in &hosts {
            for b in &hosts {
                let (a, b) = (a.subject(), b.subject());
                let rules = policy.rules_for(a);
                let flows = !rules.outbound_to(&b).is_empty() || !rules.inbound_from(&b).is_empty();
                prop_assert_eq!(policy.permits(&a, &b), flows);
                let (class, other) = (policy.class_of(&a), policy.class_of(&b));
                prop_assert_eq!(class.meets(&other), flows);
                prop_assert_eq!(class.is_nobody(), rules.is_empty());
            }
        }
    }
}
