//! What happened, who decided, and when: appended in the transaction of the event itself.

use serde::Serialize;

use super::access::Actor;
use crate::store::{StoreError, Tx};

/// Something that is recorded for ever.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// What happened: `node.admitted`, `epoch.opened`, …
    pub kind: &'static str,
    /// Who did it.
    pub actor: String,
    /// What it happened to.
    pub subject: String,
    /// What else is worth knowing: never a secret.
    pub detail: serde_json::Value,
}

impl Event {
    /// `kind` happened to `subject`.
    pub fn new(kind: &'static str, actor: &Actor, subject: impl std::fmt::Display) -> Self {
        let actor = match actor {
            Actor::System => "system".to_owned(),
            Actor::Stranger => "stranger".to_owned(),
            Actor::Node(node) => node.to_string(),
            Actor::Operator(name) => format!("operator:{name}"),
            Actor::Token(name) => format!("token:{name}"),
        };
        Self {
            kind,
            actor,
            subject: subject.to_string(),
            detail: serde_json::Value::Null,
        }
    }

    /// The same event, with more to know.
    pub fn with(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }
}

/// Appends `event` in the transaction of what it records.
pub async fn append(tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
    let text =
        serde_json::to_string(event).map_err(|error| StoreError::Failed(error.to_string()))?;
    let now = i64::try_from(tx.now().as_millis()).unwrap_or(i64::MAX);
    sqlx::query("INSERT INTO audit (sequence, at, event) VALUES ((SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit), $1, $2)")
        .bind(now)
        .bind(text)
        .execute(tx.connection())
        .await?;
    Ok(())
}
