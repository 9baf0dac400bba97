//! A node is put out while data flows.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidegate_proto::api::RevocationReport;
use tidegate_tests::cutoff::{Desk, Heard, Moment, Receipt, Tap, in_force};
use tidegate_tests::iperf::serve;
use tidegate_tests::overlay::Node;
use tidegate_tests::{Process, wait_until};

use crate::stage::{PATIENCE, Stage};
use crate::voice::Voice;

/// So many bytes of the transfer have to have arrived before it is broken off.
const FLOWING: u64 = 20_000_000;

/// Everything that happened, by the one clock of this machine.
pub(crate) struct Timeline {
    list: u64,
    /// When the authority decided: all else is told relative to it.
    decided: Moment,
    /// When the operator's command had ended.
    returned: Moment,
    /// When the news was in force at each who stays.
    pushed: Vec<(String, Moment)>,
    receipts: Vec<(String, Receipt)>,
    /// How many have not confirmed.
    outstanding: usize,
    heard: Heard,
    /// Until when everybody would have stopped who had heard nothing.
    bound: Option<Moment>,
}

/// The laptop is stolen.
pub(crate) fn show(voice: &Voice, stage: &Stage) -> Result<Timeline> {
    voice
        .act("4. The laptop is stolen: it is put out while iperf3 runs, both ways at full speed")?;
    let tap = Tap::start(&stage.server, &stage.laptop)?;
    let (_server, _flow) = flow(stage)?;
    let reason = "it was stolen";
    let said = stage
        .overlay
        .admin(["revoke", "laptop", "--reason", reason, "--json"])?;
    let returned = Moment::now();
    let report: RevocationReport = serde_json::from_str(&said)?;
    let line = format!("tidegate admin revoke laptop --reason {reason:?}");
    voice.command("operator", &line, "")?;
    let timeline = gather(stage, &report, returned, tap)?;
    timeline.tell(voice)?;
    aftermath(voice, stage)?;
    Ok(timeline)
}

fn flow(stage: &Stage) -> Result<(Process, Process)> {
    let server = serve(stage.server.host())?;
    let address = stage.server.address(0)?;
    let arguments = ["-c", &address, "--bidir", "-t", "600"];
    let arrived = || stage.server.status().ok()?["plane"]["received_bytes"].as_u64();
    let before = arrived().unwrap_or(0);
    let flow = stage.laptop.host().spawn("iperf3", arguments)?;
    wait_until(PATIENCE, "the transfer to run", || {
        arrived().is_some_and(|bytes| bytes > before + FLOWING)
    })?;
    Ok((server, flow))
}

/// Waits until everybody has confirmed and silence has fallen.
fn gather(
    stage: &Stage,
    report: &RevocationReport,
    returned: Moment,
    tap: Tap,
) -> Result<Timeline> {
    let (desk, list) = (Desk::of(&stage.overlay), report.revocation.list);
    let kept = [&stage.server, &stage.backup];
    let status = desk.await_receipts(list, &kept, PATIENCE)?;
    let mut pushed = Vec::new();
    for node in kept {
        pushed.push((name(node), in_force(node, list, PATIENCE)?));
    }
    let heard = tap.stop()?;
    let all = desk.receipts(list)?;
    let mut receipts = Vec::new();
    for node in kept {
        receipts.push((name(node), Receipt::of(&all, node)?.clone()));
    }
    Ok(Timeline {
        list: list.value(),
        decided: Moment::from_millis(report.revocation.since.as_millis()),
        returned,
        pushed,
        receipts,
        outstanding: status.outstanding_count(),
        heard,
        bound: report
            .status
            .bound
            .map(|bound| Moment::from_millis(bound.as_millis())),
    })
}

fn name(node: &Node) -> String {
    node.host().name().to_owned()
}

/// What is left of the laptop's connections.
fn aftermath(voice: &Voice, stage: &Stage) -> Result<()> {
    let (server, laptop) = (&stage.server, &stage.laptop);
    let address = laptop.address(0)?;
    wait_until(PATIENCE, "the transfer's sockets to be gone", || {
        // Without what is left of connections that ended before by themselves.
        let listed = server
            .host()
            .sh(&format!("ss -Htn state big dst {address}"));
        listed.is_ok_and(|listed| listed.trim().is_empty())
    })?;
    laptop.await_state("revoked", PATIENCE)?;
    ensure!(
        !laptop.pings(&server.address(0)?),
        "a node that is out is answered"
    );
    voice.note(
        "The transfer's sockets at server are gone, and a ping from laptop is not answered.",
    )?;
    let said = laptop.try_cli(["status"])?;
    voice.command(
        "laptop",
        "tidegate status",
        said.out.lines().next().unwrap_or_default(),
    )
}

impl Timeline {
    /// Milliseconds from the decision to the last packet in whichever direction.
    pub(crate) fn cut_off(&self) -> f64 {
        self.after(self.heard.last())
    }

    fn after(&self, moment: Moment) -> f64 {
        moment.millis_after(self.decided)
    }

    /// What happened, in the order in which it did.
    fn rows(&self) -> Vec<(Moment, String)> {
        let mut rows = vec![
            (
                self.decided,
                format!(
                    "revoked: the authority has decided, and signed list {}",
                    self.list
                ),
            ),
            (
                self.heard.at_first,
                "last packet of laptop arrives at server".to_owned(),
            ),
            (
                self.heard.at_second,
                "last packet of server arrives at laptop".to_owned(),
            ),
            (self.returned, "the operator's command has ended".to_owned()),
        ];
        for (node, at) in &self.pushed {
            rows.push((
                *at,
                format!("pushed: {node} has it, and drops tunnel, routes and connections"),
            ));
        }
        for (node, receipt) in &self.receipts {
            rows.push((
                receipt.accepted,
                format!("receipt of {node}, signed: it has stopped"),
            ));
        }
        rows.sort_by_key(|(at, _)| *at);
        rows
    }

    fn tell(&self, voice: &Voice) -> Result<()> {
        voice.note(&format!("{} is zero:", self.decided))?;
        for (at, what) in self.rows() {
            voice.note(&format!("{:+9.1} ms  {what}", self.after(at)))?;
        }
        if let Some(bound) = self.bound {
            voice.note(&format!("{:+9.0} ms  the published bound: whoever had heard nothing would have stopped by now", self.after(bound)))?;
        }
        voice.note(&format!(
            "Cut off within {:.1} ms, and all {} receipts are there.",
            self.cut_off(),
            self.receipts.len()
        ))
    }

    pub(crate) fn as_json(&self) -> Value {
        let pushed = self
            .pushed
            .iter()
            .map(|(node, at)| json!({"node": node, "after_ms": self.after(*at)}));
        let receipts = self.receipts.iter().map(|(node, receipt)| {
            json!({
                "node": node,
                "accepted_after_ms": self.after(receipt.accepted),
            })
        });
        json!({
            "node": "laptop",
            "list": self.list,
            "revoked_at_ms": self.decided.as_millis(),
            "command_ended_after_ms": self.after(self.returned),
            "pushed": pushed.collect::<Vec<_>>(),
            "receipts": receipts.collect::<Vec<_>>(),
            "outstanding": self.outstanding,
            "last_packet_after_ms": {
                "laptop_to_server": self.after(self.heard.at_first),
                "server_to_laptop": self.after(self.heard.at_second),
            },
            "packets": self.heard.packets,
            "cut_off_ms": self.cut_off(),
            "bound_after_ms": self.bound.map(|bound| self.after(bound)),
        })
    }
}
