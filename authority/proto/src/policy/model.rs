//! What a policy holds, and the rules that it keeps.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Selector;
use crate::bounded::{BoundedList, BoundedSet};
use crate::bytes::{printable, text_serde};
use crate::document::{Action, Document, DocumentError, Genesis, Kind, Ordered};
use crate::epochs::{EpochSettings, SettingsError};
use crate::id::{NetworkId, OperatorId, Revision, Sequence};
use crate::key::PublicKey;
use crate::keyring::Authority;
use crate::name::{GroupName, Label, OperatorName};
use crate::order::Order;
use crate::time::{Span, UnixTime};

/// Why a policy does not hold together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A selector that names a group the policy does not have.
    #[error("the group '{0}' is not defined")]
    UnknownGroup(GroupName),
    /// A group within a group.
    #[error("the group '{0}' has a group as its member; list the members themselves")]
    NestedGroup(GroupName),
    /// Two groups, operators or membership rules of one name, or two operators with one key.
    #[error("there is more than one {what} '{name}'")]
    Twice {
        /// Of what there are two.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A rule that leaves out where from or where to.
    #[error("a rule needs at least one '{0}'; everybody is 'all'")]
    NoEnd(&'static str),
    /// Epoch settings that can work in no network.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Groups that do not stand in the order of their names.
    #[error("the groups do not stand in the order of their names")]
    Unordered,
    /// Ports where the protocol has none.
    #[error("ports go with tcp or udp, not with {0}")]
    PortsWithout(Protocol),
}

/// What a rule lets through.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Every IP protocol.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
}

impl Protocol {
    /// Every protocol that a rule can name.
    pub const ALL: [Self; 4] = [Self::Any, Self::Tcp, Self::Udp, Self::Icmp];

    fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        })
    }
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A text that is no port and no range of ports.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is no port; write 443 or a range like 8000-8010, from 1 to 65535")]
pub struct PortError(String);

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// The first port.
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The last port.
    pub fn last(&self) -> u16 {
        self.last
    }

    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |t: &str| t.parse::<u16>().ok().filter(|&n| n > 0);
        let range = number(first)
            .zip(number(last))
            .map(|(first, last)| Self { first, last });
        let canonical = |r: &Self| r.first <= r.last && r.to_string() == text;
        range
            .filter(canonical)
            .ok_or_else(|| PortError(printable(text, 40)))
    }
}

text_serde!(PortRange);

/// Nodes under one name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Group {
    /// The name.
    pub name: GroupName,
    /// Who belongs to it.
    pub members: BoundedSet<Selector, 1000>,
}

/// Permission for flows that begin at `from` and go to `to`. Replies come with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rule {
    /// Who may begin.
    pub from: BoundedSet<Selector, 64>,
    /// Where to.
    pub to: BoundedSet<Selector, 64>,
    /// With which protocol.
    pub protocol: Protocol,
    /// To which ports: every one if there is no list, which only TCP and UDP may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<BoundedSet<PortRange, 64>>,
}

impl Rule {
    fn check(&self) -> Result<(), PolicyError> {
        for (end, name) in [(&self.from, "from"), (&self.to, "to")] {
            if end.is_empty() {
                return Err(PolicyError::NoEnd(name));
            }
        }
        match &self.ports {
            Some(_) if !self.protocol.has_ports() => Err(PolicyError::PortsWithout(self.protocol)),
            Some(ports) if ports.is_empty() => Err(PolicyError::NoEnd("ports")),
            _ => Ok(()),
        }
    }
}

/// What an operator may do; each role may do all that the one before may.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorRole {
    /// See.
    Viewer,
    /// Admit, deny, revoke, suspend.
    Operator,
    /// Change policy, invites and tokens.
    Admin,
    /// Change who the operators are.
    Sovereign,
}

impl OperatorRole {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Admin, Self::Sovereign];

    /// Whether this role may have a node do `action`.
    pub fn may(self, action: Action) -> bool {
        let needed = match action {
            Action::Ping | Action::Reload | Action::Renew => Self::Operator,
            Action::Drain | Action::Shutdown => Self::Admin,
        };
        self >= needed
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Sovereign => "sovereign",
        })
    }
}

/// A person or automation that may decide. Part of the policy, so that nodes verify commands offline.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Operator {
    /// The name.
    pub name: OperatorName,
    /// The key that signs.
    pub key: PublicKey,
    /// What it may do.
    pub role: OperatorRole,
}

/// Something about a node that the authority observes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// No heartbeat for longer than this.
    SilentFor(Span),
    /// A benchmark score below a value.
    ScoreBelow {
        /// Which score.
        score: Label,
        /// The least value that is good enough.
        least: u32,
    },
    /// A benchmark score older than this, or none at all.
    ScoreOlderThan {
        /// Which score.
        score: Label,
        /// The greatest age.
        age_ms: Span,
    },
    /// An alert that is raised.
    Alert(Label),
}

/// What follows when a condition holds, for as long as it does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// The node is shown as offline.
    Offline,
    /// The node is suspended: it gets no grant.
    Quarantine,
}

/// A rule over what the authority observes of nodes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MembershipRule {
    /// The name, which becomes the reason.
    pub name: Label,
    /// The nodes that it is about.
    pub nodes: BoundedSet<Selector, 64>,
    /// What must hold.
    pub when: Condition,
    /// What follows.
    pub then: Consequence,
}

/// Who may talk to whom, who may decide, and how long things last.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Policy {
    /// The network.
    pub network: NetworkId,
    /// The genesis revision whose keys sign it.
    pub revision: Revision,
    /// Rises with each policy.
    pub version: Sequence,
    /// When it was signed.
    pub issued_at: UnixTime,
    /// Nodes under one name.
    pub groups: BoundedList<Group, 256>,
    /// Who may talk to whom. Without rules, nobody.
    pub rules: BoundedList<Rule, 1000>,
    /// Rules over what the authority observes.
    pub membership: BoundedList<MembershipRule, 64>,
    /// Who may decide.
    pub operators: BoundedList<Operator, 256>,
    /// How long things last.
    pub epochs: EpochSettings,
    /// Nodes that may relay for others.
    pub relays: BoundedSet<Selector, 64>,
    /// Whether a node may use a lease after a reboot on the word of its real-time clock, before it has heard
    /// the authority's time. An assumption of the bound.
    pub trust_rtc: bool,
}

impl Policy {
    /// The operator with this id.
    pub fn operator(&self, id: OperatorId) -> Option<&Operator> {
        self.operators
            .iter()
            .find(|operator| OperatorId::of(&operator.key) == id)
    }

    fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let ends = self
            .rules
            .iter()
            .flat_map(|rule| rule.from.iter().chain(rule.to.iter()));
        let observed = self.membership.iter().flat_map(|rule| rule.nodes.iter());
        ends.chain(observed).chain(self.relays.iter())
    }

    fn check_groups(&self) -> Result<(), PolicyError> {
        if !self.groups.is_sorted_by_key(|group| &group.name) {
            return Err(PolicyError::Unordered);
        }
        let mut defined = BTreeSet::new();
        for group in self.groups.iter() {
            if !defined.insert(&group.name) {
                return Err(PolicyError::Twice {
                    what: "group",
                    name: group.name.to_string(),
                });
            }
            if group
                .members
                .iter()
                .any(|member| matches!(member, Selector::Group(_)))
            {
                return Err(PolicyError::NestedGroup(group.name.clone()));
            }
        }
        let unknown = self.selectors().find_map(|selector| match selector {
            Selector::Group(name) if !defined.contains(name) => Some(name.clone()),
            _ => None,
        });
        unknown.map_or(Ok(()), |name| Err(PolicyError::UnknownGroup(name)))
    }

    fn check_operators(&self) -> Result<(), PolicyError> {
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for operator in self.operators.iter() {
            if !names.insert(&operator.name) || !keys.insert(&operator.key) {
                return Err(PolicyError::Twice {
                    what: "operator with the name or key of",
                    name: operator.name.to_string(),
                });
            }
        }
        Ok(())
    }

    fn check_membership(&self) -> Result<(), PolicyError> {
        let mut names = BTreeSet::new();
        for rule in self.membership.iter() {
            if !names.insert(&rule.name) {
                return Err(PolicyError::Twice {
                    what: "membership rule",
                    name: rule.name.to_string(),
                });
            }
            if rule.nodes.is_empty() {
                return Err(PolicyError::NoEnd("nodes"));
            }
        }
        Ok(())
    }

    /// Whether the policy holds together, apart from the network that it is for.
    pub fn check_sound(&self) -> Result<(), PolicyError> {
        self.epochs.check_floors()?;
        self.check_groups()?;
        self.check_operators()?;
        self.check_membership()?;
        self.rules.iter().try_for_each(Rule::check)
    }
}

impl Document for Policy {
    type Signer = Authority;
    const KIND: Kind = Kind::Policy;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn check(&self) -> Result<(), DocumentError> {
        Ok(self.check_sound()?)
    }

    fn check_within(&self, genesis: &Genesis, _now: UnixTime) -> Result<(), DocumentError> {
        let signs = |key: &PublicKey| *key == genesis.root || genesis.authority.keys.contains(key);
        if let Some(operator) = self.operators.iter().find(|operator| signs(&operator.key)) {
            return Err(DocumentError::OperatorIsAuthority(operator.name.clone()));
        }
        Ok(self.epochs.check(&genesis.ceilings)?)
    }
}

impl Ordered for Policy {
    fn order(&self) -> Order {
        Order::under(self.revision, self.version)
    }
}
