//! The revocation list: its entries, and every list that was signed.

use tidegate_proto::{
    Digest, ListPlace, NodeId, PublicKey, RevocationEntry, RevocationKind, RevocationList, Signed,
    UnixTime,
};

use super::{Connection, Counted, Row, StoreError, corrupt, sql};

fn kind_text(kind: RevocationKind) -> &'static str {
    match kind {
        RevocationKind::Revoked => "revoked",
        RevocationKind::Suspended => "suspended",
    }
}

pub(super) fn kind_of(row: &Row) -> Result<RevocationKind, StoreError> {
    match row.text("kind")? {
        "revoked" => Ok(RevocationKind::Revoked),
        "suspended" => Ok(RevocationKind::Suspended),
        _ => Err(corrupt("kind", "is unknown")),
    }
}

pub(super) fn kind_stored(kind: RevocationKind) -> &'static str {
    kind_text(kind)
}

/// A list and its place.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) place: ListPlace,
    pub(crate) signed: Signed<RevocationList>,
}

/// Everyone on the list, in rising order of identity keys.
pub(crate) async fn entries(
    connection: &mut Connection,
) -> Result<Vec<RevocationEntry>, StoreError> {
    let rows = sql!("SELECT * FROM list_entries ORDER BY identity, serials_up_to DESC, kind")
        .fetch_all(connection)
        .await?;
    let entry = |row: Row| {
        Ok(RevocationEntry {
            identity: PublicKey::from_bytes(row.array("identity")?)
                .map_err(|e| corrupt("identity", e))?,
            serials_up_to: row.count("serials_up_to")?,
            kind: kind_of(&row)?,
            reason: row.parsed("reason")?,
            since: row.count("since")?,
        })
    };
    let entries: Result<Vec<RevocationEntry>, StoreError> =
        rows.into_iter().map(Row).map(entry).collect();
    let mut entries = entries?;
    entries.dedup_by(|later, first| later.identity == first.identity); // the farther reaching one comes first
    Ok(entries)
}

/// How many are on the list.
pub(crate) async fn size(connection: &mut Connection) -> Result<i64, StoreError> {
    let text = "SELECT COUNT(DISTINCT identity) AS n FROM list_entries";
    Row(sql!(text).fetch_one(connection).await?).integer("n")
}

/// Puts somebody on the list; a later entry of the same kind for the same identity takes the place of the one before.
pub(crate) async fn put(
    connection: &mut Connection,
    node: NodeId,
    entry: &RevocationEntry,
    keep_until: UnixTime,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO list_entries (identity, kind, node, serials_up_to, reason, since, keep_until) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (identity, kind) DO UPDATE SET serials_up_to = excluded.serials_up_to, reason = excluded.reason,
             since = excluded.since, keep_until = excluded.keep_until",
        &entry.identity.as_bytes()[..],
        kind_text(entry.kind),
        &node.as_bytes()[..],
        entry.serials_up_to.stored(),
        entry.reason.as_str(),
        entry.since.stored(),
        keep_until.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Ends the suspension of `node`; false if it was not on the list. What was revoked stays so.
pub(crate) async fn lift(
    connection: &mut Connection,
    identity: &PublicKey,
) -> Result<bool, StoreError> {
    let text = "DELETE FROM list_entries WHERE identity = $1 AND kind = $2";
    let kind = kind_text(RevocationKind::Suspended);
    let statement = sql!(text, &identity.as_bytes()[..], kind);
    Ok(statement.execute(connection).await?.rows_affected() > 0)
}

/// Forgets entries about certificates that nobody can hold valid any more; true if there were any.
pub(crate) async fn expire(connection: &mut Connection, now: UnixTime) -> Result<bool, StoreError> {
    let text = "DELETE FROM list_entries WHERE keep_until < $1";
    Ok(sql!(text, now.stored())
        .execute(connection)
        .await?
        .rows_affected()
        > 0)
}

/// The list in force.
pub(crate) async fn current(connection: &mut Connection) -> Result<Option<Current>, StoreError> {
    let text = "SELECT sequence, revision, envelope FROM lists ORDER BY sequence DESC LIMIT 1";
    let Some(row) = sql!(text).fetch_optional(connection).await?.map(Row) else {
        return Ok(None);
    };
    Ok(Some(Current {
        place: place_in(&row)?,
        signed: row.signed("envelope")?,
    }))
}

/// The place of the list in force, and when it was signed.
pub(crate) async fn signed_at(
    connection: &mut Connection,
) -> Result<Option<(ListPlace, UnixTime)>, StoreError> {
    let text = "SELECT sequence, revision, issued_at FROM lists ORDER BY sequence DESC LIMIT 1";
    let row = sql!(text).fetch_optional(connection).await?.map(Row);
    row.map(|row| Ok((place_in(&row)?, row.count("issued_at")?)))
        .transpose()
}

/// The place of the list in force, without the list.
pub(crate) async fn place(connection: &mut Connection) -> Result<Option<ListPlace>, StoreError> {
    let text = "SELECT revision, sequence FROM lists ORDER BY sequence DESC LIMIT 1";
    let Some(row) = sql!(text).fetch_optional(connection).await?.map(Row) else {
        return Ok(None);
    };
    place_in(&row).map(Some)
}

fn place_in(row: &Row) -> Result<ListPlace, StoreError> {
    Ok(ListPlace {
        revision: row.count("revision")?,
        sequence: row.count("sequence")?,
    })
}

/// The digest of a list that was signed once.
pub(crate) async fn digest(
    connection: &mut Connection,
    place: ListPlace,
) -> Result<Option<Digest>, StoreError> {
    let text = "SELECT digest FROM lists WHERE sequence = $1 AND revision = $2";
    let Some(row) = sql!(text, place.sequence.stored(), place.revision.stored())
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    Ok(Some(Digest::from_bytes(row.array("digest")?)))
}

/// Keeps a new list; the ones before keep their digests only.
pub(crate) async fn keep(
    connection: &mut Connection,
    list: &RevocationList,
    signed: &Signed<RevocationList>,
) -> Result<(), StoreError> {
    sql!("UPDATE lists SET envelope = NULL WHERE envelope IS NOT NULL")
        .execute(&mut *connection)
        .await?;
    let statement = sql!(
        "INSERT INTO lists (sequence, revision, digest, issued_at, next_update, envelope) VALUES ($1, $2, $3, $4, $5, $6)",
        list.sequence.stored(),
        list.revision.stored(),
        signed.digest().as_bytes().to_vec(),
        list.issued_at.stored(),
        list.next_update.stored(),
        signed.to_compact()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Forgets lists that were signed before `before`: neither the one in force, nor one that a receipt may still name.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<(), StoreError> {
    let text = "DELETE FROM lists WHERE sequence < $1 AND sequence < (SELECT MAX(sequence) FROM lists)
                AND sequence < COALESCE((SELECT MIN(list) FROM revocations WHERE settled IS NULL), $1)";
    sql!(text, before.stored()).execute(connection).await?;
    Ok(())
}
