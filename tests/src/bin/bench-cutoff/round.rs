//! A node comes, and is put out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegate_tests::cutoff::{Desk, Heard, Moment, Receipt, Revoked, Tap, in_force};
use tidegate_tests::iperf::serve;
use tidegate_tests::overlay::{Node, Overlay};
use tidegate_tests::{Process, wait_until};

use crate::sheet::{Figure, Sheet};

const PATIENCE: Duration = Duration::from_secs(60);
/// So many bytes have to have arrived before the transfer is broken off.
const FLOWING: u64 = 20_000_000;

pub(crate) fn run(
    number: u32,
    overlay: &mut Overlay,
    kept: &Node,
    witness: &Node,
    sheet: &mut Sheet,
) -> Result<()> {
    let (mut node, joined) = join(&format!("node{number}"), overlay, kept)?;
    sheet.add(Figure::JoinToPing, joined);
    let tap = Tap::start(kept, &node)?;
    let (server, flow) = flow(&node, kept)?;
    let desk = Desk::of(overlay);
    let revoked = desk.revoke(node.host().name(), "benchmark")?;
    desk.await_receipts(revoked.status.list.sequence, PATIENCE)?;
    let heard = tap.stop()?;
    drop((flow, server));
    let out = Out {
        revoked,
        heard,
        kept: [kept, witness],
    };
    out.judge(&desk, sheet)?;
    node.kill();
    Ok(())
}

/// A new node; the milliseconds are from its admission to its first answered ping.
fn join(name: &str, overlay: &mut Overlay, other: &Node) -> Result<(Node, f64)> {
    let mut node = overlay.host(name)?;
    node.configure("")?;
    node.join(&overlay.invite()?)?;
    let (admitted, address) = (Instant::now(), other.address(0)?);
    node.start()?;
    wait_until(PATIENCE, "the first ping", || node.pings(&address))?;
    Ok((node, admitted.elapsed().as_secs_f64() * 1000.0))
}

/// A transfer in both directions that runs.
fn flow(node: &Node, kept: &Node) -> Result<(Process, Process)> {
    let server = serve(kept.host())?;
    let address = kept.address(0)?;
    let flow = node
        .host()
        .spawn("iperf3", ["-c", &address, "--bidir", "-t", "600"])?;
    wait_until(PATIENCE, "the transfer to run", || {
        let received = |status: serde_json::Value| status["plane"]["received_bytes"].as_u64();
        node.status().ok().and_then(received) > Some(FLOWING)
    })?;
    Ok((server, flow))
}

/// A node that is out.
struct Out<'a> {
    revoked: Revoked,
    heard: Heard,
    /// Those who have to confirm it.
    kept: [&'a Node; 2],
}

impl Out<'_> {
    fn judge(&self, desk: &Desk<'_>, sheet: &mut Sheet) -> Result<()> {
        let list = self.revoked.status.list.sequence;
        let receipts = desk.receipts(list)?;
        let (mut in_force_at, mut signed, mut accepted) = (None, None, None);
        for node in self.kept {
            let status = node.status()?;
            let id = status["node"].as_str().context("a node has no id")?;
            let receipt = Receipt::of(&receipts, id)?;
            in_force_at = in_force_at.max(Some(in_force(node, list, PATIENCE)?));
            signed = signed.max(Some(receipt.signed));
            accepted = accepted.max(Some(receipt.accepted));
        }
        let Revoked {
            asked, returned, ..
        } = self.revoked;
        let last = self.heard.last();
        sheet.add(Figure::Call, returned.millis_after(asked));
        sheet.add(Figure::LastAfterCall, last.millis_after(returned));
        sheet.add(Figure::LastAfterAsking, last.millis_after(asked));
        for (figure, moment) in [
            (Figure::InForce, in_force_at),
            (Figure::Signed, signed),
            (Figure::Accepted, accepted),
        ] {
            let moment: Moment = moment.context("nobody has confirmed")?;
            sheet.add(figure, moment.millis_after(returned));
        }
        Ok(())
    }
}
