//! From the peers to the TUN device: open, check the source, filter.

use super::Engine;
use super::outgoing::Way;
use crate::discard::Discard;
use crate::event::Event;
use crate::filter::Direction;
use crate::flow::FlowKey;
use crate::gate::Rate;
use crate::icmp::{self, Echo};
use crate::mss;
use crate::packet::{Packet, Transport};
use crate::peer::Place;
use crate::sink::{DatagramSink, PacketSink};
use crate::time::Now;
use crate::tunnel::{COOKIE_REPLY, INITIATION, OVERHEAD, Opened, RESPONSE};
use std::net::{IpAddr, SocketAddr};

const INITIATE: u32 = 1;
const RESPOND: u32 = 2;
const COOKIE: u32 = 3;
const DATA: u32 = 4;
const ECHOES: Rate = Rate {
    per_second: 50,
    burst: 100,
};
/// SYN, FIN and RST change what is known about a flow.
const TURNING: u8 = 0x07;

/// What stays the same over neighbouring datagrams of one batch, so that it is looked up once.
struct Run {
    index: u32,
    tunnel: Place,
    peer: Place,
    /// The flow that was admitted last.
    flow: Option<FlowKey>,
}

/// What becomes of an opened packet.
enum Verdict {
    Write,
    /// An engine's echo: not for the device.
    Echo(Echo, IpAddr, IpAddr, usize),
}

impl Engine {
    pub(super) fn take_batch(
        &mut self,
        datagrams: &[u8],
        stride: usize,
        from: SocketAddr,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) {
        let mut run = None;
        for datagram in datagrams.chunks(stride.max(1)) {
            match (kind(datagram), datagram.len()) {
                (DATA, OVERHEAD..) => self.take_data(datagram, &mut run, from, out, tun, now),
                (INITIATE, INITIATION) | (RESPOND, RESPONSE) | (COOKIE, COOKIE_REPLY) => {
                    self.take_handshake(datagram, from, out, now);
                    // Tunnels may have come and gone.
                    run = None;
                }
                _ => self.discard(Discard::Garbage, None),
            }
        }
    }

    fn take_data(
        &mut self,
        datagram: &[u8],
        run: &mut Option<Run>,
        from: SocketAddr,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) {
        let session = u32::from_le_bytes([datagram[4], datagram[5], datagram[6], datagram[7]]);
        if run.as_ref().is_none_or(|run| run.index != session >> 8) {
            *run = match self.find(session, now) {
                Ok(found) => Some(found),
                Err((reason, peer)) => return self.discard(reason, peer),
            };
        }
        let Some(run) = run else { return };
        if let Err(reason) = self.open(datagram, session, run, from, out, tun, now) {
            self.discard(reason, Some(run.peer));
        }
    }

    /// Finds the tunnel of a session, if its deadline has not passed.
    fn find(&self, session: u32, now: Now) -> Result<Run, (Discard, Option<Place>)> {
        let tunnel = self
            .live
            .place_of_index(session)
            .ok_or((Discard::UnknownIndex, None))?;
        let live = self.live.at(tunnel).ok_or((Discard::UnknownIndex, None))?;
        let end = self.end_of(live.peer, live.span);
        if now.mono >= end {
            return Err((Discard::Deadline, Some(live.peer)));
        }
        Ok(Run {
            index: live.index,
            tunnel,
            peer: live.peer,
            flow: None,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path passes what a batch has in common"
    )]
    fn open(
        &mut self,
        datagram: &[u8],
        session: u32,
        run: &mut Run,
        from: SocketAddr,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) -> Result<(), Discard> {
        let room = tun.room(datagram.len());
        let live = self.live.at_mut(run.tunnel).ok_or(Discard::UnknownIndex)?;
        let was_ready = live.tunnel.ready();
        let opened = live.tunnel.open(datagram, room)?;
        live.used = now.mono;
        live.confirms = 0;
        if live.unseen == Some(session) || was_ready != live.tunnel.ready() {
            live.unseen = None;
            self.confirmed(run.tunnel, out, now);
        }
        self.heard_from(run.peer, run.tunnel, from, now);
        let Opened::Packet(len) = opened else {
            return Ok(());
        };
        match self.judge(&mut room[..len], run, now)? {
            Verdict::Write => {
                tun.commit(len);
                self.received(run.peer, len);
            }
            Verdict::Echo(echo, source, destination, len) => {
                self.received(run.peer, len);
                self.take_echo(echo, source, destination, len, run.peer, out, now)?;
            }
        }
        Ok(())
    }

    fn received(&mut self, place: Place, len: usize) {
        if let Some(peer) = self.peers.at_mut(place) {
            peer.traffic.received_packets += 1;
            peer.traffic.received_bytes += len as u64;
        }
    }

    fn judge(&mut self, bytes: &mut [u8], run: &mut Run, now: Now) -> Result<Verdict, Discard> {
        let packet = Packet::parse(bytes)?;
        let peer = self.peers.at(run.peer).ok_or(Discard::NoPeer)?;
        let far = peer.far();
        let flow = plain(&packet).then(|| FlowKey::new(Direction::Incoming, far.tag, &packet));
        if flow.is_some() && flow == run.flow {
            return Ok(Verdict::Write);
        }
        if self.routes.lookup(packet.source) != Some(far.id) {
            return Err(Discard::WrongSource);
        }
        if let Some(echo) =
            icmp::read_echo(&packet, bytes).filter(|echo| self.is_ours(echo, &packet))
        {
            return Ok(Verdict::Echo(
                echo,
                packet.source,
                packet.destination,
                packet.len,
            ));
        }
        let mtu = self.mtu_of(peer);
        self.guard
            .admit(Direction::Incoming, far, &packet, bytes, now.mono)?;
        mss::clamp(bytes, &packet, usize::from(mtu));
        run.flow = flow;
        Ok(Verdict::Write)
    }

    fn is_ours(&self, echo: &Echo, packet: &Packet) -> bool {
        !echo.request || self.local.addresses.contains(&packet.destination)
    }

    /// One endpoint per peer, taught by the tunnel that we send in and by no other.
    fn heard_from(&mut self, place: Place, tunnel: Place, from: SocketAddr, now: Now) {
        let Some(peer) = self
            .peers
            .at(place)
            .filter(|peer| peer.endpoint != Some(from))
        else {
            return;
        };
        let sending = self
            .ready_place(peer, now.mono)
            .and_then(|span| peer.tunnels[span]);
        if sending == Some(tunnel) {
            self.move_to(place, from);
        }
    }

    pub(super) fn move_to(&mut self, place: Place, endpoint: SocketAddr) {
        let Some(peer) = self
            .peers
            .at_mut(place)
            .filter(|peer| peer.endpoint != Some(endpoint))
        else {
            return;
        };
        peer.endpoint = Some(endpoint);
        let peer = peer.id;
        self.tell(Event::Roamed { peer, endpoint });
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an echo is its two addresses, its length and its sender"
    )]
    fn take_echo(
        &mut self,
        echo: Echo,
        source: IpAddr,
        destination: IpAddr,
        len: usize,
        place: Place,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), Discard> {
        if !echo.request {
            return self.take_reply(echo, place, now);
        }
        let peer = self.peers.at_mut(place).ok_or(Discard::NoPeer)?;
        if !peer.echoes.take(ECHOES, now.mono) {
            return Err(Discard::EchoLimit);
        }
        if let Way::Open(tunnel, to) = self.way(place, now.mono)? {
            let mut reply = vec![0; len];
            icmp::write_echo(
                Echo {
                    request: false,
                    ..echo
                },
                destination,
                source,
                &mut reply,
            );
            self.seal_packet(&reply, tunnel, to, out, now);
        }
        Ok(())
    }

    fn take_reply(&mut self, echo: Echo, place: Place, now: Now) -> Result<(), Discard> {
        let id = self.peers.at(place).ok_or(Discard::NoPeer)?.id;
        let known = self
            .pings
            .iter()
            .position(|ping| ping.nonce == echo.nonce && ping.peer == id);
        let ping = self.pings.swap_remove(known.ok_or(Discard::EchoUnknown)?);
        self.tell(Event::Pong {
            peer: id,
            token: ping.token,
            round_trip: now.mono.since(ping.sent),
        });
        Ok(())
    }
}

/// Whether a packet changes nothing about its flow but when it was last seen.
fn plain(packet: &Packet) -> bool {
    let quiet = match packet.transport {
        Transport::Tcp { flags, .. } => flags & TURNING == 0,
        Transport::Udp { .. } => true,
        _ => false,
    };
    quiet && packet.fragment.is_none()
}

fn kind(datagram: &[u8]) -> u32 {
    datagram
        .first_chunk()
        .map_or(0, |head| u32::from_le_bytes(*head))
}
