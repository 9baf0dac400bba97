//! Policy rules.

use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::observed::Rule;
use crate::prefix::Family;

use super::route::family;

/// The message that describes one of our rules.
pub(crate) fn message(rule: &Rule, protocol: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(rule.family);
    message.header.table = u8::try_from(rule.table).unwrap_or(0);
    message.header.action = RuleAction::ToTable;
    message.header.flags = RuleFlags::Invert;
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Table(rule.table),
        RuleAttribute::FwMark(rule.unless_mark),
        RuleAttribute::FwMask(u32::MAX),
        RuleAttribute::Protocol(RouteProtocol::from(protocol)),
    ];
    message
        .attributes
        .extend(rule.suppress.map(RuleAttribute::SuppressPrefixLen));
    message
}

/// A request for all rules of a family.
pub(crate) fn query(of: Family) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(of);
    RouteNetlinkMessage::GetRule(message)
}

/// Reads one of our rules; `None` for everybody else's.
pub(crate) fn read(message: &RuleMessage, protocol: u8) -> Option<Rule> {
    let family = match message.header.family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return None,
    };
    let table = u32::from(message.header.table);
    let mut rule = Rule {
        family,
        priority: 0,
        unless_mark: 0,
        table,
        suppress: None,
    };
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::FwMark(mark) => rule.unless_mark = *mark,
            RuleAttribute::SuppressPrefixLen(length) => {
                rule.suppress = Some(*length).filter(|length| *length != u32::MAX)
            }
            RuleAttribute::Protocol(made_by) => ours = u8::from(*made_by) == protocol,
            _ => {}
        }
    }
    ours.then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rules_survive_their_own_message() {
        for suppress in [None, Some(0)] {
            let rule = Rule {
                family: Family::V6,
                priority: 9,
                unless_mark: 5,
                table: 51_820,
                suppress,
            };
            assert_eq!(read(&message(&rule, 116), 116), Some(rule));
            assert_eq!(read(&message(&rule, 116), 117), None);
        }
    }
}
