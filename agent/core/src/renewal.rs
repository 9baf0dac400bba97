//! When the certificate is renewed, and with which keys.

use tidegate_proto::{Certificate, NodeKeys, Span, UnixTime};
use tidegate_wg::Mono;

use crate::backoff::Backoff;
use crate::output::Token;

/// Where a renewal stands.
#[derive(Clone, Debug, Default)]
enum Stage {
    /// Nothing is under way.
    #[default]
    Idle,
    /// Its keys are on their way to the disk.
    Keeping(Token, Box<NodeKeys>),
}

/// Renewals of the certificate.
pub(crate) struct Renewal {
    stage: Stage,
    pub(crate) backoff: Backoff,
    pub(crate) refused: Option<String>,
    /// A part of the validity, out of 256, by which this node is later than the half: not all at once.
    jitter: u8,
}

impl Renewal {
    pub(crate) fn new(jitter: u8) -> Self {
        Self {
            stage: Stage::Idle,
            backoff: Backoff::new(&[30, 60, 120, 300, 600]),
            refused: None,
            jitter,
        }
    }

    /// When a certificate is to be renewed: at half its validity, spread over a hundredth of it.
    pub(crate) fn due(&self, certificate: &Certificate) -> UnixTime {
        let validity = certificate.not_after.since(certificate.not_before);
        let late = validity.as_millis() / 100 * u64::from(self.jitter) / 256;
        certificate.not_before + validity.divided_by(2) + Span::from_millis(late)
    }

    /// The keys wait for the disk.
    pub(crate) fn keep(&mut self, token: Token, keys: NodeKeys) {
        self.stage = Stage::Keeping(token, Box::new(keys));
    }

    /// The keys are on their way again, with this.
    pub(crate) fn keep_with(&mut self, token: Token) {
        if let Stage::Keeping(waited, _) = &mut self.stage {
            *waited = token;
        }
    }

    /// The keys to ask with, if this was what they waited for.
    pub(crate) fn kept(&mut self, token: Token) -> Option<Box<NodeKeys>> {
        match std::mem::take(&mut self.stage) {
            Stage::Keeping(waited, keys) if waited == token => Some(keys),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Whether an attempt may begin.
    pub(crate) fn is_free(&self, now: Mono) -> bool {
        self.backoff.is_due(now)
    }

    /// A new certificate has come.
    pub(crate) fn done(&mut self) {
        self.stage = Stage::Idle;
        self.refused = None;
        self.backoff.cancel();
    }
}
