//! The routes of others that touch what we want: few, however many routes the host has.

use std::collections::{BTreeSet, HashMap};

use crate::observed::Foreign;
use crate::prefix::{Family, Prefix};

/// For one wanted prefix, more than this many routes of others say nothing new.
const ENOUGH: usize = 8;

/// Routes of others that touch a wanted prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForeignSet {
    wanted: BTreeSet<Prefix>,
    /// Lengths that occur among the wanted, longest first.
    lengths: BTreeSet<(Family, std::cmp::Reverse<u8>)>,
    entries: BTreeSet<Foreign>,
    counts: HashMap<Prefix, usize>,
    /// Wanted prefixes for which some were left out.
    crowded: BTreeSet<Prefix>,
}

/// What the removal of a route means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Removal {
    /// It was not among ours.
    Unknown,
    /// It is gone.
    Gone,
    /// It is gone, and others that were left out may count now: read the table again.
    Rescan,
}

impl ForeignSet {
    pub(crate) fn new(wanted: impl IntoIterator<Item = Prefix>) -> Self {
        let wanted: BTreeSet<Prefix> = wanted.into_iter().collect();
        let lengths = wanted
            .iter()
            .map(|prefix| (prefix.family(), std::cmp::Reverse(prefix.length())))
            .collect();
        Self {
            wanted,
            lengths,
            ..Self::default()
        }
    }

    pub(crate) const fn wanted(&self) -> &BTreeSet<Prefix> {
        &self.wanted
    }

    pub(crate) const fn entries(&self) -> &BTreeSet<Foreign> {
        &self.entries
    }

    /// Whether a route of others could matter.
    pub(crate) fn touches(&self, foreign: &Foreign) -> bool {
        self.place(foreign).is_some()
    }

    /// Takes a route in, if it matters; gives whether anything changed.
    pub(crate) fn add(&mut self, foreign: Foreign) -> bool {
        let Some(place) = self.place(&foreign) else {
            return false;
        };
        if self.entries.contains(&foreign) {
            return false;
        }
        let count = self.counts.entry(place).or_default();
        if *count >= ENOUGH {
            self.crowded.insert(place);
            return false;
        }
        *count += 1;
        self.entries.insert(foreign)
    }

    pub(crate) fn remove(&mut self, foreign: &Foreign) -> Removal {
        if !self.entries.remove(foreign) {
            return Removal::Unknown;
        }
        let Some(place) = self.place(foreign) else {
            return Removal::Gone;
        };
        let count = self.counts.entry(place).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 && self.crowded.contains(&place) {
            Removal::Rescan
        } else {
            Removal::Gone
        }
    }

    /// Removes what a route replaced: the one of the same prefix and metric.
    pub(crate) fn remove_replaced(&mut self, by: &Foreign) -> Removal {
        let same = |entry: &&Foreign| (entry.prefix, entry.metric) == (by.prefix, by.metric);
        match self.entries.iter().find(same).cloned() {
            Some(former) => self.remove(&former),
            None => Removal::Unknown,
        }
    }

    /// The routes known on a link.
    pub(crate) fn on_link(&self, link: u32) -> Vec<Foreign> {
        self.entries
            .iter()
            .filter(|foreign| foreign.link == Some(link))
            .cloned()
            .collect()
    }

    /// The wanted prefix that a route is counted under: the narrowest around it, or the route itself if it is direct
    /// and has a wanted one within.
    fn place(&self, foreign: &Foreign) -> Option<Prefix> {
        let prefix = foreign.prefix;
        let lengths = self
            .lengths
            .iter()
            .filter(|(family, _)| *family == prefix.family());
        let around = lengths
            .filter(|(_, length)| length.0 <= prefix.length())
            .filter_map(|(_, length)| Prefix::around(prefix.address(), length.0))
            .find(|around| self.wanted.contains(around));
        let within = || {
            self.wanted
                .range(prefix..)
                .next()
                .is_some_and(|wanted| prefix.covers(*wanted))
        };
        around.or_else(|| (foreign.direct && within()).then_some(prefix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn foreign(text: &str, direct: bool) -> Foreign {
        Foreign {
            prefix: text.parse().unwrap(),
            link: Some(2),
            direct,
            metric: 0,
        }
    }

    fn set(wanted: &[&str]) -> ForeignSet {
        ForeignSet::new(wanted.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn only_what_touches_a_wanted_prefix_is_kept() {
        let mut set = set(&["10.1.0.0/16", "fd00::/48"]);
        assert!(!set.add(foreign("0.0.0.0/0", false)));
        assert!(!set.add(foreign("10.0.0.0/8", false)));
        assert!(!set.add(foreign("192.168.0.0/24", true)));
        assert!(set.add(foreign("10.0.0.0/8", true)));
        assert!(set.add(foreign("10.1.2.0/24", false)));
        assert!(set.add(foreign("fd00::/64", true)));
        assert!(!set.add(foreign("fd00::/64", true)), "it is there already");
    }

    #[test]
    fn a_crowd_is_bounded_and_read_again_when_its_members_are_gone() {
        let mut set = set(&["10.0.0.0/8"]);
        let crowd: Vec<_> = (0..100)
            .map(|n| foreign(&format!("10.{n}.0.0/16"), false))
            .collect();
        for one in &crowd {
            set.add(one.clone());
        }
        assert_eq!(set.entries().len(), ENOUGH);
        let kept: Vec<_> = set.entries().iter().cloned().collect();
        let removals: Vec<_> = kept.iter().map(|one| set.remove(one)).collect();
        assert_eq!(removals[..ENOUGH - 1], [Removal::Gone; ENOUGH - 1]);
        assert_eq!(removals[ENOUGH - 1], Removal::Rescan);
        assert_eq!(set.remove(&crowd[0]), Removal::Unknown);
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_the_definition(
            wanted in prop::collection::vec((0_u8..8, 9_u8..28), 1..6),
            (b, length, direct) in (0_u8..8, 0_u8..32, any::<bool>()),
        ) {
            let prefix = |b: u8, length| Prefix::around(std::net::Ipv4Addr::new(10, b * 32, b, 0).into(), length).unwrap();
            let wanted: Vec<_> = wanted.into_iter().map(|(b, length)| prefix(b, length)).collect();
            let foreign = Foreign { prefix: prefix(b, length), link: None, direct, metric: 0 };
            let touches = wanted.iter().any(|wanted| {
                wanted.covers(foreign.prefix) || (direct && foreign.prefix.covers(*wanted))
            });
            prop_assert_eq!(ForeignSet::new(wanted).touches(&foreign), touches);
        }
    }
}
