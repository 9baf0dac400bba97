//! Many nodes in one network, each on a host of its own: they join, reach each other, and one is put out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::liar::deafen;
use crate::overlay::{Node, Overlay, PATIENCE, Underlay};
use crate::{Host, Process, wait_until};

/// Programs that work at the same time while all nodes are made to do something.
const AT_ONCE: usize = 4;
/// Between two pings of the one that is put out to the same node, in milliseconds: what the cut-off is measured in.
const BEAT: &str = "50";

/// An authority and its nodes.
pub struct Crowd {
    /// The network.
    pub overlay: Overlay,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// How long each took from its invite to data that may flow.
    pub joined: Vec<Duration>,
}

/// How a node was cut off, as it saw that itself: it was not told, and went on pinging all the others.
#[derive(Clone, Debug)]
pub struct CutOff {
    /// From the order to the last answer of each of the others.
    pub last_answers: Vec<Duration>,
    /// From the order to its acknowledgement.
    pub ordered: Duration,
    /// From the order to the moment at which nobody has it as a peer any more, which is asked one after the other.
    pub gone: Duration,
}

impl Crowd {
    /// As many nodes, which have all joined.
    pub fn new(count: usize) -> Result<Self> {
        let mut overlay = Overlay::new(Underlay::V4)?;
        let mut nodes = (1..=count)
            .map(|number| overlay.host(&format!("n{number}")))
            .collect::<Result<Vec<_>>>()?;
        route_through_one(&overlay, &nodes)?;
        let invite = overlay.invite_with(&["--uses", &count.to_string()])?;
        let joined = at_once(nodes.iter_mut(), |node| {
            let begin = Instant::now();
            node.join(&invite)?;
            node.start()?;
            node.await_state("up", PATIENCE)?;
            Ok(begin.elapsed())
        })?;
        Ok(Self {
            overlay,
            nodes,
            joined,
        })
    }

    /// Has each node of these ping each of the others, and counts the pairs that answer, both directions.
    pub fn pairs(nodes: &[Node]) -> Result<usize> {
        let addresses = addresses(nodes)?;
        let reached = at_once(nodes.iter().zip(&addresses), |(node, own)| {
            let others = addresses.iter().filter(|address| *address != own);
            alive(node.host(), others)
        })?;
        Ok(reached.iter().sum())
    }

    /// Revokes the last node while it pings all others. It does not hear of it, so what ends that are the others.
    pub fn revoke_last(&mut self) -> Result<CutOff> {
        let out = self.nodes.pop().context("nobody to revoke")?;
        let name = out.host().name().to_owned();
        deafen(&out)?;
        let addresses = addresses(&self.nodes)?;
        let arguments = ["-l", "-D", "-i", "1", "-p", BEAT];
        let pinger = out.host().command("fping").args(arguments);
        let pinger = pinger.args(&addresses).spawn()?;
        wait_until(PATIENCE, "answers of all", || {
            let answers = Answers::read(&pinger);
            addresses.iter().all(|one| answers.count(one) >= 3)
        })?;
        let (at, begin) = (SystemTime::now(), Instant::now());
        self.overlay.admin(["revoke", &name, "--reason", "lost"])?;
        let ordered = begin.elapsed();
        at_once(self.nodes.iter(), |node| await_gone(node, &name))?;
        let gone = begin.elapsed();
        await_silence(&pinger, &addresses)?;
        let answers = Answers::read(&pinger);
        let last = |address| answers.last(address).duration_since(at);
        Ok(CutOff {
            last_answers: addresses
                .iter()
                .map(|address| last(address).unwrap_or_default())
                .collect(),
            ordered,
            gone,
        })
    }
}

/// The kernel's table of neighbours has room for a thousand of all namespaces together, which is less than all pairs of
/// fifty hosts. So they have one neighbour: the authority's host, which passes on what is for the others.
fn route_through_one(overlay: &Overlay, nodes: &[Node]) -> Result<()> {
    let router = overlay.authority();
    router.forward()?;
    for device in ["all", "eth0"] {
        router.sysctl(&format!("net.ipv4.conf.{device}.send_redirects"), "0")?;
    }
    for node in nodes {
        node.host().sh(
            "ip route add 10.0.0.250 dev eth0 scope link; ip route del 10.0.0.0/24; \
             ip route add 10.0.0.0/24 via 10.0.0.250; ip -6 addr flush dev eth0 scope global",
        )?;
    }
    Ok(())
}

fn await_gone(node: &Node, name: &str) -> Result<()> {
    wait_until(PATIENCE, &format!("{name} to be gone"), || {
        let status = node.status().ok();
        let peers = status
            .as_ref()
            .and_then(|status| status["peers"].as_array());
        peers.is_some_and(|peers| peers.iter().all(|peer| peer["name"] != name))
    })?;
    Ok(())
}

/// Five pings to each in a row that nobody answers.
fn await_silence(pinger: &Process, addresses: &[String]) -> Result<()> {
    let before = Answers::read(pinger).missed;
    wait_until(PATIENCE, "pings that nobody answers", || {
        let missed = Answers::read(pinger).missed;
        let of = |counts: &BTreeMap<String, usize>, one| counts.get(one).copied().unwrap_or(0);
        addresses
            .iter()
            .all(|one| of(&missed, one) >= of(&before, one) + 5)
    })?;
    Ok(())
}

/// What a pinger has written about each address.
#[derive(Default)]
struct Answers {
    answered: BTreeMap<String, Vec<f64>>,
    missed: BTreeMap<String, usize>,
}

impl Answers {
    /// Reads lines like "[1700000000.12345] 10.211.0.2 : [0], 64 bytes, 0.30 ms (0.30 avg, 0% loss)".
    fn read(pinger: &Process) -> Self {
        let mut answers = Self::default();
        for line in pinger.output().lines() {
            let mut words = line.split_whitespace();
            let (Some(at), Some(address)) = (words.next(), words.next()) else {
                continue;
            };
            let at = at.trim_matches(['[', ']']).parse::<f64>();
            if let (Ok(at), true) = (at, line.contains(" bytes, ")) {
                answers
                    .answered
                    .entry(address.to_owned())
                    .or_default()
                    .push(at);
            } else if line.contains("timed out") {
                *answers.missed.entry(address.to_owned()).or_default() += 1;
            }
        }
        answers
    }

    fn count(&self, address: &str) -> usize {
        self.answered.get(address).map_or(0, Vec::len)
    }

    fn last(&self, address: &str) -> SystemTime {
        let times = self.answered.get(address).into_iter().flatten().copied();
        UNIX_EPOCH + Duration::from_secs_f64(times.fold(0.0, f64::max))
    }
}

fn addresses(nodes: &[Node]) -> Result<Vec<String>> {
    nodes.iter().map(|node| node.address(0)).collect()
}

/// How many of these answer. The first packet to each waits for a handshake, so some are asked more than once.
fn alive<'a>(host: &Host, others: impl Iterator<Item = &'a String>) -> Result<usize> {
    let arguments = ["-a", "-q", "-i", "5", "-t", "1000", "-B", "1", "-r", "10"];
    let command = host.command("fping").args(arguments).args(others);
    let output = command.timeout(PATIENCE).output()?;
    ensure!(
        matches!(output.status.code(), Some(0 | 1)),
        "fping: {output:?}"
    );
    Ok(output.text().lines().count())
}

/// Does the same with each, some at a time, and gives what came of it in their order.
pub fn at_once<I: Send, T: Send>(
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let mut waiting: Vec<(usize, I)> = items.enumerate().collect();
    waiting.reverse();
    let (waiting, done) = (Mutex::new(waiting), Mutex::new(BTreeMap::new()));
    let next = || waiting.lock().ok()?.pop();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((number, item)) = next() {
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.insert(number, result);
                    }
                }
            });
        }
    });
    let done = done.into_inner();
    done.unwrap_or_default().into_values().collect()
}
