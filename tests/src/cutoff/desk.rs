//! An operator who reads the clock.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tidegate::admin::{read_genesis, read_signing_key};
use tidegate::client::{Client, Clock, GenesisChain, NodeRef, OperatorClient, Timeouts};
use tidegate_proto::api::{Decision, RevocationStatus};
use tidegate_proto::audit::{Chained, Fact};
use tidegate_proto::{Sequence, UnixTime};

use super::Moment;
use crate::overlay::Overlay;

/// How often it is asked who has confirmed.
const PAUSE: Duration = Duration::from_millis(5);
const PAGE: u32 = 1000;

/// The first operator, on the authority's host, by way of the API.
pub struct Desk<'a>(&'a Overlay);

/// A revocation that was made.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// When it was asked for.
    pub asked: Moment,
    /// When the answer was there.
    pub returned: Moment,
    /// How it stood then.
    pub status: RevocationStatus,
}

/// A receipt, as the audit log has it.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Whose.
    pub node: String,
    /// When it was signed, which is after the node has stopped and its disk has the list.
    pub signed: Moment,
    /// When the authority had it.
    pub accepted: Moment,
}

impl<'a> Desk<'a> {
    /// The operator of this network.
    pub fn of(overlay: &'a Overlay) -> Self {
        Self(overlay)
    }

    /// Revokes a node.
    pub fn revoke(&self, node: &str, reason: &str) -> Result<Revoked> {
        let node: NodeRef = node.parse()?;
        let why = Decision {
            reason: reason.parse()?,
        };
        self.ask(async move |operator| {
            operator.epochs().await?; // so that the connection is there
            let asked = Moment::now();
            let status = operator.revoke(&node, &why).await?;
            Ok(Revoked {
                asked,
                returned: Moment::now(),
                status,
            })
        })
    }

    /// Waits until everybody has confirmed the revocation that began with this list.
    pub fn await_receipts(&self, list: Sequence, within: Duration) -> Result<RevocationStatus> {
        self.ask(async move |operator| {
            let deadline = tokio::time::Instant::now() + within;
            loop {
                let status = operator.revocation(list).await?.status;
                if status.outstanding.is_empty() {
                    return Ok(status);
                }
                if tokio::time::Instant::now() > deadline {
                    bail!("not everybody has confirmed list {list}: {status:?}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    /// The receipts for this list, or newer ones in their stead, the first of each node.
    pub fn receipts(&self, list: Sequence) -> Result<Vec<Receipt>> {
        let records = self.ask(async |operator| {
            let (mut records, mut after) = (Vec::new(), Sequence::default());
            loop {
                let page = operator.audit(after, PAGE).await?;
                records.extend(page.records.iter().cloned());
                match page.next {
                    Some(next) => after = next,
                    None => return Ok(records),
                }
            }
        })?;
        let mut receipts: Vec<Receipt> = Vec::new();
        for receipt in records.iter().filter_map(|record| receipt(record, list)) {
            if receipts.iter().all(|known| known.node != receipt.node) {
                receipts.push(receipt);
            }
        }
        Ok(receipts)
    }

    /// Asks the authority something, from its own host.
    fn ask<T: Send>(
        &self,
        question: impl AsyncFnOnce(OperatorClient) -> Result<T> + Send,
    ) -> Result<T> {
        self.0.authority().enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { question(self.operator()?).await })
        })?
    }

    fn operator(&self) -> Result<OperatorClient> {
        let dir = self.0.dir();
        let genesis = read_genesis(&dir.join("genesis/genesis-1.json"))?;
        let site = GenesisChain::trusting(genesis)?.site()?;
        let client = Client::new(site, Arc::new(Clock::system()), Timeouts::default())?;
        let key = read_signing_key(&dir.join("operator-first.key"), None)?;
        Ok(client.as_operator(Arc::new(key)))
    }
}

/// The receipt that a record is about, if it is for a list as new as this.
fn receipt(chained: &Chained, list: Sequence) -> Option<Receipt> {
    let record = &chained.record;
    let number = |name: &str| match record
        .detail
        .iter()
        .find(|(label, _)| label.as_str() == name)
    {
        Some((_, Fact::Number(number))) => Some(*number),
        _ => None,
    };
    let is_one = record.event.as_str() == "receipt.accepted";
    (is_one && number("list")? >= list.value()).then_some(())?;
    Some(Receipt {
        node: record.object.to_string(),
        signed: Moment::from_millis(number("applied_at")?),
        accepted: at(record.at),
    })
}

fn at(time: UnixTime) -> Moment {
    Moment::from_millis(time.as_millis())
}

impl Receipt {
    /// The one of this node, among these.
    pub fn of<'r>(receipts: &'r [Self], node: &str) -> Result<&'r Self> {
        let found = receipts.iter().find(|receipt| receipt.node == node);
        found.with_context(|| format!("there is no receipt of {node}"))
    }
}
