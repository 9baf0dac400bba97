//! How far everything has come: what tells whether what was read before still holds.

use tidegate_proto::{Revision, Sequence};

use super::{Connection, Row, StoreError, sql};

/// The latest of everything that nodes are told of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Marks {
    pub(crate) genesis: Option<Revision>,
    pub(crate) list: Option<Sequence>,
    pub(crate) policy: Option<Sequence>,
    pub(crate) roster: Sequence,
    /// The roster version behind which only full rosters are told.
    pub(crate) full: Sequence,
}

/// Reads them, in one statement.
pub(crate) async fn read(connection: &mut Connection) -> Result<Marks, StoreError> {
    let text = "SELECT (SELECT MAX(revision) FROM genesis) AS genesis, (SELECT MAX(sequence) FROM lists) AS list,
                  (SELECT MAX(version) FROM policies) AS policy,
                  (SELECT last FROM counters WHERE name = 'roster') AS roster,
                  (SELECT last FROM counters WHERE name = 'roster-full') AS roster_full";
    let row = Row(sql!(text).fetch_one(connection).await?);
    Ok(Marks {
        genesis: row.optional_count("genesis")?,
        list: row.optional_count("list")?,
        policy: row.optional_count("policy")?,
        roster: row.optional_count("roster")?.unwrap_or_default(),
        full: row.optional_count("roster_full")?.unwrap_or_default(),
    })
}
