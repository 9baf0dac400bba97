//! Our nftables table: what it holds, and how that is told to and read from `nft`.
//!
//! Each rule carries a comment that states what it does, unique in its table. The table is put in place whole, in
//! one transaction, and compared by these comments. The program's JSON is written by hand here: a dozen rules do
//! not need a model of the whole language, and JSON strings cannot be mistaken for syntax.

mod rules;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::desired::LinkName;
use crate::prefix::{Family, Prefix};

/// What our table (family inet) is to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its rules, in order.
    pub rules: Vec<Filter>,
}

/// What our table holds: chain and comment of each rule, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
pub struct TableView {
    /// Chain and comment.
    pub rules: Vec<(String, String)>,
}

/// One rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter {
    /// Remember on the connection that its packets carry our mark.
    SaveMark(u32),
    /// Give the mark to the answers, for the check of the way back.
    RestoreMark(u32),
    /// Only the device may bring packets for our overlay address.
    Shield {
        /// The device.
        device: LinkName,
        /// Our address.
        address: IpAddr,
    },
    /// Let packets from the device to a served network pass.
    Serve {
        /// The device.
        device: LinkName,
        /// The network.
        network: Prefix,
    },
    /// Nothing else is forwarded from the device.
    ServeOnly {
        /// The device.
        device: LinkName,
    },
    /// Let packets of a served network pass to the device, which knows who in it may begin what.
    Admit {
        /// The device.
        device: LinkName,
        /// The network.
        network: Prefix,
    },
    /// Towards the device only answers are forwarded of anybody else.
    AnswersOnly {
        /// The device.
        device: LinkName,
    },
    /// Between other links nothing is forwarded, as it was before we turned forwarding on.
    Isolate {
        /// The device.
        device: LinkName,
        /// The family that did not forward.
        family: Family,
    },
    /// The served network sees this host's address.
    Masquerade {
        /// The device.
        device: LinkName,
        /// Overlay addresses.
        from: Prefix,
        /// The network.
        to: Prefix,
    },
}

/// A chain: name, type, hook, priority.
type Chain = (&'static str, &'static str, &'static str, i32);

const RAW: Chain = ("shield", "filter", "prerouting", -300);
const RESTORE: Chain = ("restore_mark", "filter", "prerouting", -150);
const FORWARD: Chain = ("forward", "filter", "forward", 0);
const SAVE: Chain = ("save_mark", "filter", "postrouting", -150);
const NAT: Chain = ("masquerade", "nat", "postrouting", 100);

impl Filter {
    fn chain(&self) -> Chain {
        match self {
            Self::SaveMark(_) => SAVE,
            Self::RestoreMark(_) => RESTORE,
            Self::Shield { .. } => RAW,
            Self::Masquerade { .. } => NAT,
            Self::Serve { .. }
            | Self::ServeOnly { .. }
            | Self::Admit { .. }
            | Self::AnswersOnly { .. }
            | Self::Isolate { .. } => FORWARD,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SaveMark(mark) => write!(f, "save mark {mark:#x}"),
            Self::RestoreMark(mark) => write!(f, "restore mark {mark:#x}"),
            Self::Shield { device, address } => write!(f, "{address} only from {device}"),
            Self::Serve { device, network } => write!(f, "{device} to {network}"),
            Self::ServeOnly { device } => write!(f, "{device} to nothing else"),
            Self::Admit { device, network } => write!(f, "{network} to {device}"),
            Self::AnswersOnly { device } => write!(f, "only answers to {device}"),
            Self::Isolate { device, family } => {
                write!(f, "no other {family} forwarding than {device}")
            }
            Self::Masquerade { device, from, to } => {
                write!(f, "masquerade {from} to {to} not on {device}")
            }
        }
    }
}

impl Table {
    /// What `nft` should list once the table is in place.
    #[must_use]
    pub fn view(&self) -> TableView {
        let mut rules: Vec<_> = self
            .rules
            .iter()
            .map(|rule| (rule.chain().0.to_owned(), rule.to_string()))
            .collect();
        // Order counts within a chain only.
        rules.sort_by(|one, other| one.0.cmp(&other.0));
        TableView { rules }
    }

    /// The transaction that puts the table in place, whatever was there under its name.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let table = json!({"family": "inet", "name": self.name});
        let mut commands = vec![
            json!({"add": {"table": table}}), // or its deletion fails where it is not there
            json!({"delete": {"table": table}}),
            json!({"add": {"table": table}}),
        ];
        let chains: BTreeSet<Chain> = self.rules.iter().map(Filter::chain).collect();
        for (name, kind, hook, priority) in chains {
            commands.push(json!({"add": {"chain": {
                "family": "inet", "table": self.name, "name": name,
                "type": kind, "hook": hook, "prio": priority, "policy": "accept",
            }}}));
        }
        for rule in &self.rules {
            commands.push(json!({"add": {"rule": {
                "family": "inet", "table": self.name, "chain": rule.chain().0,
                "expr": rule.statements(), "comment": rule.to_string(),
            }}}));
        }
        json!({"nftables": commands})
    }
}

/// The transaction that removes a table.
#[must_use]
pub fn removal(name: &str) -> Value {
    let table = json!({"family": "inet", "name": name});
    json!({"nftables": [{"add": {"table": table}}, {"delete": {"table": table}}]})
}

impl TableView {
    /// Reads what `nft --json list table` printed. A rule without a comment shows as an empty one.
    #[must_use]
    pub fn parse(listing: &[u8]) -> Option<Self> {
        let listing: Value = serde_json::from_slice(listing).ok()?;
        let mut rules = Vec::new();
        for rule in listing
            .get("nftables")?
            .as_array()?
            .iter()
            .filter_map(|object| object.get("rule"))
        {
            let text = |key: &str| {
                rule.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            rules.push((text("chain"), text("comment")));
        }
        rules.sort_by(|one: &(String, String), other| one.0.cmp(&other.0));
        Some(Self { rules })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Table {
        let device = LinkName::new("tg0").unwrap();
        let from = "100.64.0.0/10".parse().unwrap();
        let to = "192.168.1.0/24".parse().unwrap();
        let rules = vec![
            Filter::Masquerade {
                device: device.clone(),
                from,
                to,
            },
            Filter::Serve {
                device: device.clone(),
                network: to,
            },
            Filter::ServeOnly { device },
        ];
        Table {
            name: "tidegate".into(),
            rules,
        }
    }

    #[test]
    fn what_nft_lists_of_a_table_equals_its_view() {
        let mut listing = table().to_json()["nftables"].take();
        let objects: Vec<Value> = listing
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .map(|command| command["add"].take())
            .collect();
        let listing = serde_json::to_vec(&json!({"nftables": objects})).unwrap();
        assert_eq!(TableView::parse(&listing), Some(table().view()));
    }

    #[test]
    fn a_rule_added_or_removed_by_others_shows() {
        let mut view = table().view();
        view.rules.pop();
        assert_ne!(view, table().view());
        let listing = br#"{"nftables": [{"rule": {"chain": "forward", "expr": []}}]}"#;
        assert_eq!(
            TableView::parse(listing).unwrap().rules,
            [("forward".to_owned(), String::new())]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_listings_never_panic(text in "\\PC*") {
            let _ = TableView::parse(text.as_bytes());
        }
    }
}
