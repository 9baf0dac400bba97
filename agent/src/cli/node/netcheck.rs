//! `netcheck`: what stands between this host and the others.

use clap::Args;
use serde::Serialize;
use tidegate::admin::{list, or_dash, table};
use tidegate::local::PeerView;

use super::Talk;
use crate::cli::Failure;

/// Looks at the ways to the authority and to each peer.
#[derive(Args, Debug)]
pub(crate) struct Netcheck {
    #[command(flatten)]
    talk: Talk,
}

#[derive(Serialize)]
struct Found<'a> {
    authority: &'a tidegate::local::AuthorityView,
    port: Option<u16>,
    offloads: &'a [String],
    reached: usize,
    peers: &'a [PeerView],
}

impl Netcheck {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status = self.talk.status(true)?;
        let plane = status.plane.as_ref();
        let found = Found {
            authority: &status.authority,
            port: plane.map(|plane| plane.port),
            offloads: plane.map_or(&[], |plane| plane.offloads.as_slice()),
            reached: status
                .peers
                .iter()
                .filter(|peer| peer.latency_us.is_some())
                .count(),
            peers: &status.peers,
        };
        self.talk.show(&found, || text(&found))
    }
}

fn text(found: &Found<'_>) -> String {
    let url = &found.authority.url;
    let authority = match (&found.authority.trouble, found.authority.stream) {
        (_, true) => format!("{url}, connected"),
        (Some(trouble), false) => trouble.clone(),
        (None, false) => format!("{url}, not connected yet"),
    };
    let rows = found.peers.iter().map(|peer| {
        let state = match (peer.latency_us, peer.endpoint) {
            (Some(micros), _) => format!("answers in {:.1} ms", micros as f64 / 1000.0),
            (None, Some(_)) if peer.handshake_age_ms.is_some() => "does not answer now".to_owned(),
            (None, _) => "not tried: no traffic yet".to_owned(),
        };
        [
            peer.name.clone(),
            or_dash(peer.endpoint),
            list(&peer.candidates),
            state,
        ]
    });
    let peers = table(
        ["PEER", "ENDPOINT", "CANDIDATES", "STATE"],
        rows,
        "No peers.",
    );
    format!(
        "authority  {authority}\nUDP port   {}\noffloads   {}\nanswering  {} of {} peers\n\n{peers}",
        or_dash(found.port),
        list(found.offloads),
        found.reached,
        found.peers.len(),
    )
}
