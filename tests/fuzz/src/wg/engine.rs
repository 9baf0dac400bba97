//! A whole engine among strangers, a hostile peer and a strange kernel.

use super::net::{self, Hostile, address, at, inner, inner6};
use super::script::Script;
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_wg::packet::{Packet, Transport};
use tidegate_wg::{Command, Direction, Filter, Ports, Protocols, Rule};

/// The only port that the policy opens.
const OPEN: u16 = 53;

/// A script of datagrams, sealed packets, frames and time. Whatever it does, only packets of the peer's own
/// addresses and within the policy reach the device, and every datagram that leaves is of a known length.
pub fn engine(data: &[u8]) {
    let (_, mut node) = net::pair();
    let rule = Rule {
        protocols: Protocols::Udp(Ports::Within(vec![OPEN..=OPEN])),
        ..Rule::everything(Direction::Incoming)
    };
    node.apply(Command::SetFilter(Arc::new(Filter::new([rule]))), at(0));
    let mut hostile = Hostile::connect(&mut node, at(0));
    let (mut script, mut millis) = (Script(data), 1);
    while script.more() {
        match script.below(5) {
            0 => node.receive(script.bytes(), address(3), at(millis)),
            1 => node.receive(&hostile.seal(script.bytes()), address(1), at(millis)),
            2 => node.send_frame(script.bytes(), at(millis)),
            3 => {
                let mut datagram = hostile.seal(script.bytes());
                let place = usize::from(script.word()) % datagram.len();
                datagram[place] ^= script.byte();
                node.receive(&datagram, address(1), at(millis));
            }
            _ => {
                millis += u64::from(script.word());
                node.tick(at(millis));
            }
        }
        check(&mut node);
    }
    let status = node.status(at(millis));
    assert!(status.tunnels <= 3 && status.flows <= 1024);
}

fn check(node: &mut net::Node) {
    for bytes in node.take_packets() {
        let packet = Packet::parse(&bytes).expect("only whole packets are written");
        let own: [IpAddr; 2] = [inner(1), inner6(1)];
        let answer = matches!(packet.transport, Transport::IcmpError { .. });
        let later = packet.transport == Transport::Elsewhere && packet.protocol == 17;
        let open = matches!(
            packet.transport,
            Transport::Udp {
                destination: OPEN,
                ..
            }
        );
        // "Too big" comes from the engine itself, in the name of the destination.
        assert!(own.contains(&packet.source), "{packet:?}");
        assert!(open || later || answer, "{packet:?}");
    }
    for (_, datagram) in node.take_sent() {
        let known = matches!(
            (datagram[0], datagram.len()),
            (1, 148) | (2, 92) | (3, 64) | (4, 32..)
        );
        assert!(known, "{} bytes of kind {}", datagram.len(), datagram[0]);
    }
}
