//! What is looked up when somebody asks.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proto::UnixTime;

use super::labels::{Status, Version};
use super::{Metrics, process};
use crate::service::{Authority, NodeStatus, ReadError};
use crate::store::StoreError;

impl Metrics {
    /// Brings up to date what is not counted as it happens.
    pub(in crate::http) async fn look(&self, authority: &Authority) -> Result<(), StoreError> {
        let now = authority.clock().now();
        self.look_at_process();
        self.look_at_nodes(authority).await?;
        self.look_at_revocations(authority, now).await?;
        self.look_at_epochs(authority, now).await?;
        let policy = match authority.policy_document().await {
            Ok(policy) => policy.version.value(),
            Err(ReadError::Store(error)) => return Err(error),
            Err(_) => 0,
        };
        self.policy.set(signed(policy));
        self.audit
            .set(signed(authority.audit_head().await?.value()));
        self.commits.set(signed(authority.store().commits()));
        self.genesis.set(signed(authority.revision().value()));
        Ok(())
    }

    fn look_at_process(&self) {
        static STARTED: OnceLock<u64> = OnceLock::new();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let started = *STARTED.get_or_init(|| since.unwrap_or_default().as_secs());
        let version = env!("CARGO_PKG_VERSION");
        self.build.get_or_create(&Version { version }).set(1);
        self.started.set(signed(started));
        self.memory.set(process::resident_memory().unwrap_or(0));
        self.cpu.set(process::cpu_seconds().unwrap_or(0.0));
        self.files.set(process::open_files().unwrap_or(0));
    }

    async fn look_at_nodes(&self, authority: &Authority) -> Result<(), StoreError> {
        let census = authority.census().await?;
        for status in NodeStatus::ALL {
            let count = census.iter().find(|(counted, _)| *counted == status);
            let label = Status {
                status: status.as_str(),
            };
            self.nodes
                .get_or_create(&label)
                .set(count.map_or(0, |(_, count)| *count));
        }
        Ok(())
    }

    async fn look_at_revocations(
        &self,
        authority: &Authority,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let revocations = match authority.revocations().await {
            Ok(revocations) => revocations,
            Err(ReadError::Store(error)) => return Err(error),
            Err(_) => Vec::new(),
        };
        let bounds = revocations.iter().filter_map(|one| one.bound);
        let open: Vec<_> = bounds.filter(|bound| *bound > now).collect();
        self.revocations_open
            .set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        let left = open
            .iter()
            .max()
            .map_or(0, |last| last.since(now).as_millis());
        self.revocation_bound.set(left as f64 / 1000.0);
        if let Some(sequence) = authority.list_sequence().await? {
            self.list.set(signed(sequence.value()));
        }
        Ok(())
    }

    async fn look_at_epochs(&self, authority: &Authority, now: UnixTime) -> Result<(), StoreError> {
        let epochs = authority.epochs().await?;
        let current = epochs
            .iter()
            .find(|one| one.starts <= now && now < one.ends);
        if let Some(current) = current {
            self.epoch.set(signed(current.number.value()));
            let left = current.ends.since(now).as_millis();
            self.epoch_left.set(left as f64 / 1000.0);
            self.epoch_grants.set(i64::from(current.released));
        }
        Ok(())
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
