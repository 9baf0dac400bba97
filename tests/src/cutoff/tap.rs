//! What is still heard of a node.

use anyhow::{Context, Result};

use super::Moment;
use crate::overlay::Node;
use crate::{LabError, Recording};

/// The interface of a node.
const TUNNEL: &str = "tidegate";

/// Sees what comes out of the tunnel between two nodes, at both ends.
pub struct Tap {
    at_first: Recording,
    at_second: Recording,
}

/// What a tap has seen.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// The last packet of the second node that arrived at the first.
    pub at_first: Moment,
    /// The last packet of the first node that arrived at the second.
    pub at_second: Moment,
    /// How many packets there were in both directions.
    pub packets: usize,
}

impl Tap {
    /// Listens from now on.
    pub fn start(first: &Node, second: &Node) -> Result<Self> {
        Ok(Self {
            at_first: listen(first, second)?,
            at_second: listen(second, first)?,
        })
    }

    /// Ends once both ends have fallen silent. Fails if one of them heard nothing at all: such a tap proves nothing.
    pub fn stop(self) -> Result<Heard> {
        let (first, second) = (self.at_first.stop()?, self.at_second.stop()?);
        let last = |times: &[u64]| times.last().copied().map(Moment::from_nanos);
        Ok(Heard {
            at_first: last(&first).context("nothing arrived at the first node")?,
            at_second: last(&second).context("nothing arrived at the second node")?,
            packets: first.len() + second.len(),
        })
    }
}

impl Heard {
    /// The last packet in whichever direction.
    pub fn last(&self) -> Moment {
        self.at_first.max(self.at_second)
    }
}

/// Records at `node` what `other` has sent to it through the tunnel.
fn listen(node: &Node, other: &Node) -> Result<Recording> {
    let from = other.address(0)?;
    let recording: Result<_, LabError> =
        Recording::start(node.host(), TUNNEL, &format!("src {from}"));
    Ok(recording?)
}
