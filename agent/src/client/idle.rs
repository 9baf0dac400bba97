//! Connections that wait for the next question.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConfig;
use tidegate_proto::Origin;

use super::connection::Connection;
use super::tls::{self, Counterpart};
use super::{ClientError, Site};

/// More than these are not kept.
const MOST: usize = 4;

/// A site, and what TLS needs for it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) site: Site,
    pub(super) config: Arc<ClientConfig>,
}

impl Target {
    pub(super) fn new(site: Site) -> Result<Arc<Self>, ClientError> {
        let config = tls::config(&Counterpart::Named(site.tls.clone()))?;
        Ok(Arc::new(Self { site, config }))
    }
}

/// Connections without a question, and whom they lead to.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<(Arc<Target>, Origin, Connection)>>);

impl Idle {
    fn held(&self) -> MutexGuard<'_, Vec<(Arc<Target>, Origin, Connection)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to `origin` under the same trust, if one waits.
    pub(super) fn take(&self, target: &Arc<Target>, origin: &Origin) -> Option<Connection> {
        let mut held = self.held();
        held.retain(|(_, _, connection)| connection.is_fresh());
        let at = held
            .iter()
            .position(|(of, to, _)| Arc::ptr_eq(of, target) && to == origin)?;
        Some(held.swap_remove(at).2)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn keep(&self, target: &Arc<Target>, origin: &Origin, connection: Connection) {
        let mut held = self.held();
        if held.len() < MOST && connection.is_fresh() {
            held.push((Arc::clone(target), origin.clone(), connection.rested()));
        }
    }

    /// Keeps none of them any longer.
    pub(super) fn clear(&self) {
        self.held().clear();
    }
}
