//! What events mean for us: a pure function of them and of what we know.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{LinkId, LinkName, Marks};
use crate::foreign::{ForeignSet, Removal};
use crate::netlink::{address, link, route};
use crate::observe::foreign_in_main;
use crate::watch::Event;

/// What we know that events are judged by.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) marks: Marks,
    /// Which device we wait for.
    pub(crate) wanted: Option<LinkId>,
    /// The device's number and name, while it is there.
    pub(crate) device: Option<(u32, LinkName)>,
    /// The address of our own netlink socket: its events are ours.
    pub(crate) port: u32,
    /// Whether other links' packets can pass, and their MTU.
    pub(crate) links: BTreeMap<u32, (bool, u32)>,
}

/// What is to be done about events, gathered until it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Digest {
    /// Look at the host and repair.
    pub(crate) look: bool,
    /// Read the whole main table before.
    pub(crate) rescan: bool,
    /// Read these links' part of the main table before.
    pub(crate) rescan_links: BTreeSet<u32>,
    /// The ways to the peers may have changed.
    pub(crate) underlay: bool,
    /// The device has a new name.
    pub(crate) renamed: Option<(LinkName, LinkName)>,
}

impl Digest {
    pub(crate) fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn take(&mut self, event: Event, known: &mut Known, foreign: &mut ForeignSet) {
        match event {
            Event::Overrun => {
                (self.look, self.rescan, self.underlay) = (true, true, true);
                known.links.clear();
            }
            Event::Rule { port } => self.look |= port != known.port,
            Event::Link { told, gone } => self.link(told, gone, known, foreign),
            Event::Address { told, gone } => self.address(&told, gone, known, foreign),
            Event::Route {
                told,
                gone,
                replaces,
                port,
            } => {
                if told.protocol == known.marks.protocol {
                    self.look |= port != known.port;
                } else if foreign_in_main(&told, &known.marks) {
                    self.route(&told, gone, replaces, known, foreign);
                }
            }
        }
    }

    fn link(&mut self, told: link::Told, gone: bool, known: &mut Known, foreign: &ForeignSet) {
        let index = told.index;
        if let Some((device, name)) = &mut known.device
            && *device == index
        {
            self.look = true;
            if *name != told.name && !gone {
                let former = std::mem::replace(name, told.name.clone());
                self.renamed = Some((former, told.name));
            }
            return;
        }
        // The device that we wait for, or one that takes its name.
        self.look |= matches!(&known.wanted, Some(LinkId::Name(name)) if *name == told.name);
        self.look |= known.wanted == Some(LinkId::Index(index));
        let now = (told.up && told.running, told.mtu);
        let before = if gone {
            known.links.remove(&index)
        } else {
            known.links.insert(index, now)
        };
        self.underlay |= gone || before != Some(now);
        // A link that goes down takes IPv4 routes along without a word.
        if (gone || !told.up) && !foreign.on_link(index).is_empty() {
            (self.look, _) = (true, self.rescan_links.insert(index));
        }
    }

    fn address(&mut self, told: &address::Told, gone: bool, known: &Known, foreign: &ForeignSet) {
        if known
            .device
            .as_ref()
            .is_some_and(|(device, _)| *device == told.link)
        {
            self.look = true;
            return;
        }
        self.underlay = true;
        // So does an address that goes.
        if gone && !foreign.on_link(told.link).is_empty() {
            (self.look, _) = (true, self.rescan_links.insert(told.link));
        }
    }

    fn route(
        &mut self,
        told: &route::Told,
        gone: bool,
        replaces: bool,
        known: &Known,
        foreign: &mut ForeignSet,
    ) {
        let theirs = told.foreign();
        let on_device = known
            .device
            .as_ref()
            .is_some_and(|(device, _)| theirs.link == Some(*device));
        self.underlay |= told.prefix.length() == 0 && !on_device;
        let removal = match (gone, replaces) {
            (true, _) => foreign.remove(&theirs),
            (false, true) => foreign.remove_replaced(&theirs),
            (false, false) => Removal::Unknown,
        };
        let added = !gone && foreign.add(theirs.clone());
        self.rescan |= removal == Removal::Rescan;
        self.look |= removal != Removal::Unknown || added;
        // One of ours may have been replaced.
        self.look |= replaces && foreign.touches(&theirs);
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::route::RouteType;

    use super::*;

    const OWN_PORT: u32 = 99;

    fn known() -> Known {
        let name = LinkName::new("tg0").unwrap();
        Known {
            marks: Marks::default(),
            wanted: Some(LinkId::Name(name.clone())),
            device: Some((7, name)),
            port: OWN_PORT,
            links: BTreeMap::from([(2, (true, 1500))]),
        }
    }

    fn foreign() -> ForeignSet {
        ForeignSet::new(["10.1.0.0/16".parse().unwrap()])
    }

    fn route(prefix: &str, protocol: u8) -> route::Told {
        let prefix = prefix.parse().unwrap();
        route::Told {
            prefix,
            table: 254,
            metric: 0,
            protocol,
            link: Some(2),
            direct: true,
            kind: RouteType::Unicast,
        }
    }

    fn link(index: u32, name: &str, up: bool) -> link::Told {
        let name = LinkName::new(name).unwrap();
        link::Told {
            index,
            name,
            up,
            running: up,
            mtu: 1500,
            queue: 0,
            tunnel: false,
            kind: "veth".into(),
        }
    }

    fn judge(event: Event, foreign: &mut ForeignSet) -> Digest {
        let mut digest = Digest::default();
        digest.take(event, &mut known(), foreign);
        digest
    }

    fn added(told: route::Told, port: u32) -> Event {
        Event::Route {
            told,
            gone: false,
            replaces: false,
            port,
        }
    }

    #[test]
    fn a_storm_of_foreign_routes_is_no_reason_to_look() {
        let mut foreign = foreign();
        for n in 0..1000 {
            let told = route(&format!("172.16.{}.0/24", n % 250), 186);
            assert!(judge(added(told.clone(), 5), &mut foreign).is_idle());
            assert!(
                judge(
                    Event::Route {
                        told,
                        gone: true,
                        replaces: false,
                        port: 5
                    },
                    &mut foreign
                )
                .is_idle()
            );
        }
    }

    #[test]
    fn our_own_changes_are_no_news_but_those_of_others_to_our_routes_are() {
        let told = route("10.1.0.0/16", 116);
        assert!(judge(added(told.clone(), OWN_PORT), &mut foreign()).is_idle());
        assert!(
            judge(
                Event::Route {
                    told,
                    gone: true,
                    replaces: false,
                    port: 5
                },
                &mut foreign()
            )
            .look
        );
        assert!(judge(Event::Rule { port: 5 }, &mut foreign()).look);
    }

    #[test]
    fn a_lan_that_collides_is_remembered_until_it_goes() {
        let mut foreign = foreign();
        let told = route("10.1.2.0/24", 2);
        assert!(judge(added(told.clone(), 0), &mut foreign).look);
        assert_eq!(foreign.entries().len(), 1);
        assert!(
            judge(
                Event::Route {
                    told,
                    gone: true,
                    replaces: false,
                    port: 0
                },
                &mut foreign
            )
            .look
        );
        assert!(foreign.entries().is_empty());
    }

    #[test]
    fn a_link_that_goes_down_takes_its_routes_along_silently() {
        let mut foreign = foreign();
        judge(added(route("10.1.2.0/24", 2), 0), &mut foreign);
        let digest = judge(
            Event::Link {
                told: link(2, "eth0", false),
                gone: false,
            },
            &mut foreign,
        );
        assert!(digest.look && digest.underlay && digest.rescan_links.contains(&2));
    }

    #[test]
    fn a_link_event_without_news_is_idle() {
        assert!(
            judge(
                Event::Link {
                    told: link(2, "eth0", true),
                    gone: false
                },
                &mut foreign()
            )
            .is_idle()
        );
    }

    #[test]
    fn the_underlay_changes_with_addresses_default_routes_and_links() {
        let address = address::Told {
            link: 2,
            address: "192.168.1.9/24".parse().unwrap(),
            protocol: 0,
        };
        assert!(
            judge(
                Event::Address {
                    told: address,
                    gone: false
                },
                &mut foreign()
            )
            .underlay
        );
        assert!(judge(added(route("0.0.0.0/0", 16), 5), &mut foreign()).underlay);
        assert!(
            judge(
                Event::Link {
                    told: link(3, "wlan0", true),
                    gone: false
                },
                &mut foreign()
            )
            .underlay
        );
    }

    #[test]
    fn a_rename_is_followed_and_a_deletion_looked_at() {
        let renamed = judge(
            Event::Link {
                told: link(7, "other", true),
                gone: false,
            },
            &mut foreign(),
        );
        let names = (
            LinkName::new("tg0").unwrap(),
            LinkName::new("other").unwrap(),
        );
        assert_eq!((renamed.look, renamed.renamed), (true, Some(names)));
        let deleted = Event::Link {
            told: link(7, "tg0", false),
            gone: true,
        };
        assert!(judge(deleted, &mut foreign()).look);
    }

    #[test]
    fn after_an_overrun_everything_is_read_again() {
        let digest = judge(Event::Overrun, &mut foreign());
        assert!(digest.look && digest.rescan && digest.underlay);
    }

    #[test]
    fn a_replaced_route_leaves_its_former_self() {
        let mut foreign = foreign();
        judge(added(route("10.1.2.0/24", 4), 5), &mut foreign);
        let moved = route::Told {
            link: Some(3),
            ..route("10.1.2.0/24", 4)
        };
        judge(
            Event::Route {
                told: moved,
                gone: false,
                replaces: true,
                port: 5,
            },
            &mut foreign,
        );
        assert_eq!(
            foreign
                .entries()
                .iter()
                .map(|entry| entry.link)
                .collect::<Vec<_>>(),
            [Some(3)]
        );
    }
}
