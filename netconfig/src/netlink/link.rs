//! Links.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};

use crate::desired::{LinkId, LinkName};

/// What a message says of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) index: u32,
    pub(crate) name: LinkName,
    pub(crate) up: bool,
    /// Whether packets can pass: up, and the cable is in.
    pub(crate) running: bool,
    pub(crate) mtu: u32,
    pub(crate) queue: u32,
    /// Whether it is a TUN device, which carries IP packets.
    pub(crate) tunnel: bool,
    /// What kind of link it is, for people.
    pub(crate) kind: String,
}

/// A request for one link.
pub(crate) fn query(link: &LinkId) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    match link {
        LinkId::Index(index) => message.header.index = *index,
        LinkId::Name(name) => message
            .attributes
            .push(LinkAttribute::IfName(name.as_str().to_owned())),
    }
    RouteNetlinkMessage::GetLink(message)
}

/// A request that changes one attribute of a link.
pub(crate) fn set(index: u32, attribute: LinkAttribute) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(attribute);
    RouteNetlinkMessage::SetLink(message)
}

/// A request that brings a link up or takes it down.
pub(crate) fn switch(index: u32, flags: LinkFlags) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = flags;
    message.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(message)
}

/// Reads a message.
pub(crate) fn read(message: &LinkMessage) -> Option<Told> {
    let flags = message.header.flags;
    let (mut name, mut mtu, mut queue, mut kind) = (None, 0, 0, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name = LinkName::new(found.clone()).ok(),
            LinkAttribute::Mtu(found) => mtu = *found,
            LinkAttribute::TxQueueLen(found) => queue = *found,
            LinkAttribute::LinkInfo(infos) => kind = infos.iter().find_map(info_kind).or(kind),
            _ => {}
        }
    }
    let tunnel =
        kind == Some(InfoKind::Tun) && message.header.link_layer_type == LinkLayerType::None;
    Some(Told {
        index: message.header.index,
        name: name?,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        mtu,
        queue,
        tunnel,
        kind: kind.map_or_else(
            || message.header.link_layer_type.to_string(),
            |kind| kind.to_string(),
        ),
    })
}

fn info_kind(info: &LinkInfo) -> Option<InfoKind> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.clone()),
        _ => None,
    }
}
