//! Nodes that a policy cannot tell apart, so that whole networks are judged by a few comparisons.

use super::{Policy, Selector, Subject};

/// What each rule sees of a node. Nodes of one class may talk to the same others.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Class(Box<[u64]>);

/// Rules per word; each has four bits: from and to, for IPv4 and IPv6.
const RULES: usize = 16;
/// The bits of all rules' `from`.
const FROM: u64 = 0x3333_3333_3333_3333;

impl Policy {
    /// The class of `node`.
    pub fn class_of(&self, node: &Subject<'_>) -> Class {
        let mut words = vec![0; self.rules.len().div_ceil(RULES)];
        for (index, rule) in self.rules.iter().enumerate() {
            let bits = self.families(&rule.from, node) | (self.families(&rule.to, node) << 2);
            words[index / RULES] |= bits << (index % RULES * 4);
        }
        Class(words.into())
    }

    /// Which families `selectors` reach at `node`: the first bit is IPv4, the second IPv6.
    fn families(&self, selectors: &[Selector], node: &Subject<'_>) -> u64 {
        let bit = |ipv4: bool| if ipv4 { 1 } else { 2 };
        let reached = self.reach(selectors, node);
        reached
            .iter()
            .fold(0, |bits, prefix| bits | bit(prefix.is_ipv4()))
    }
}

impl Class {
    /// Whether the policy lets nodes of the two classes talk: what [`Policy::permits`] says of any two of them.
    pub fn meets(&self, other: &Self) -> bool {
        let turned = |word: u64| ((word & FROM) << 2) | ((word >> 2) & FROM);
        let words = self.0.iter().zip(&other.0);
        words
            .map(|(word, other)| word & turned(*other))
            .any(|met| met != 0)
    }

    /// Whether no rule sees the node, so that nobody may talk to it.
    pub fn is_nobody(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}
