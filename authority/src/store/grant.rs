//! Grants: who may have them, what was released, and the ledger of all releases.

use sqlx::{QueryBuilder, Sqlite};
use tidegate_proto::bound::Release;
use tidegate_proto::{
    Certificate, EpochGrant, EpochNumber, ListPlace, NodeId, Revision, SealingPublicKey, Serial,
    Signed, Span, UnixTime,
};

use super::{Connection, Counted, Row, StoreError, corrupt, sql};

/// A member that may have a grant.
pub(crate) struct Recipient {
    pub(crate) node: NodeId,
    pub(crate) serial: Serial,
    pub(crate) sealing: SealingPublicKey,
    pub(crate) certificate: Signed<Certificate>,
}

/// One drawing of an epoch, and what counts as its grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawing {
    pub(crate) epoch: EpochNumber,
    pub(crate) redraw: u32,
    /// Grants that were signed under an earlier revision do not count any more.
    pub(crate) since: Revision,
}

/// Which members are meant.
#[derive(Clone, Debug)]
pub(crate) enum Whom {
    /// These.
    These(Vec<NodeId>),
    /// Those behind this one in the order of ids, or all.
    Behind(Option<NodeId>),
}

impl Whom {
    /// Restricts `query` to those who are meant.
    fn narrow(&self, query: &mut QueryBuilder<Sqlite>) {
        match self {
            Self::These(nodes) => {
                query.push(" AND nodes.node IN (");
                let mut listed = query.separated(", ");
                for node in nodes {
                    listed.push_bind(node.as_bytes().to_vec());
                }
                query.push(")");
            }
            Self::Behind(node) => {
                let bytes = node.map_or_else(Vec::new, |node| node.as_bytes().to_vec());
                query.push(" AND nodes.node > ").push_bind(bytes);
            }
        }
    }
}

/// `select`, of the members among `whom` without a grant for this drawing of the epoch.
fn without_grant(
    select: &str,
    drawing: Drawing,
    now: UnixTime,
    whom: &Whom,
) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(select);
    query
        .push(" WHERE nodes.status = 'allowed' AND nodes.serial IS NOT NULL AND nodes.not_after > ")
        .push_bind(now.stored())
        .push(" AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.node = nodes.node AND grants.epoch = ")
        .push_bind(drawing.epoch.stored())
        .push(" AND grants.redraw = ")
        .push_bind(i64::from(drawing.redraw))
        .push(" AND grants.revision >= ")
        .push_bind(drawing.since.stored())
        .push(")");
    whom.narrow(&mut query);
    query
}

/// Members without a grant for this drawing of the epoch, the first `limit` of those that are meant.
pub(crate) async fn missing(
    connection: &mut Connection,
    drawing: Drawing,
    now: UnixTime,
    whom: &Whom,
    limit: u32,
) -> Result<Vec<Recipient>, StoreError> {
    let select = "SELECT nodes.node AS node, nodes.serial AS serial, nodes.sealing AS sealing, certificates.envelope AS certificate
                  FROM nodes JOIN certificates ON certificates.serial = nodes.serial";
    let mut query = without_grant(select, drawing, now, whom);
    query
        .push(" ORDER BY nodes.node LIMIT ")
        .push_bind(i64::from(limit));
    let recipient = |row: Row| {
        Ok(Recipient {
            node: NodeId::from_bytes(row.array("node")?),
            serial: row.count("serial")?,
            sealing: SealingPublicKey::from_bytes(row.bytes("sealing")?)
                .map_err(|e| corrupt("sealing", e))?,
            certificate: row.signed("certificate")?,
        })
    };
    let is_common = matches!(whom, Whom::Behind(_));
    let rows = query.build().persistent(is_common).fetch_all(connection);
    rows.await?.into_iter().map(Row).map(recipient).collect()
}

/// Of `nodes`: who may have a grant for this drawing and has none, with its serial.
pub(crate) async fn still_missing(
    connection: &mut Connection,
    drawing: Drawing,
    now: UnixTime,
    nodes: Vec<NodeId>,
) -> Result<std::collections::BTreeMap<NodeId, Serial>, StoreError> {
    let select = "SELECT nodes.node AS node, nodes.serial AS serial FROM nodes";
    let mut query = without_grant(select, drawing, now, &Whom::These(nodes));
    let one = |row: Row| Ok((NodeId::from_bytes(row.array("node")?), row.count("serial")?));
    let rows = query.build().persistent(false).fetch_all(connection);
    rows.await?.into_iter().map(Row).map(one).collect()
}

/// A grant on its way out.
pub(crate) struct Outgoing {
    pub(crate) release: Release,
    pub(crate) serial: Serial,
    pub(crate) compact: Vec<u8>,
}

/// Rows that one statement writes. Statements of other lengths are not kept for the next time.
const ROWS: usize = 200;

/// Writes releases to the ledger, and keeps the grants.
pub(crate) async fn release(
    connection: &mut Connection,
    grants: &[Outgoing],
) -> Result<(), StoreError> {
    for chunk in grants.chunks(ROWS) {
        ledger(connection, chunk).await?;
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO grants (node, epoch, redraw, serial, revision, list, envelope) ",
        );
        query.push_values(chunk, |mut row, grant| {
            row.push_bind(grant.release.node.as_bytes().to_vec())
                .push_bind(grant.release.epoch.stored())
                .push_bind(i64::from(grant.release.redraw))
                .push_bind(grant.serial.stored())
                .push_bind(grant.release.list.revision.stored())
                .push_bind(grant.release.list.sequence.stored())
                .push_bind(grant.compact.as_slice());
        });
        query.push(
            " ON CONFLICT (node, epoch) DO UPDATE SET redraw = excluded.redraw, serial = excluded.serial,
               revision = excluded.revision, list = excluded.list, envelope = excluded.envelope",
        );
        let statement = query.build().persistent(chunk.len() == ROWS);
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Notes a release that another database knew of.
pub(crate) async fn note(
    connection: &mut Connection,
    release: &Release,
    serial: Serial,
) -> Result<(), StoreError> {
    let outgoing = Outgoing {
        release: *release,
        serial,
        compact: Vec::new(),
    };
    ledger(connection, &[outgoing]).await
}

async fn ledger(connection: &mut Connection, grants: &[Outgoing]) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO releases (node, epoch, redraw, serial, revision, list, released_at, lease_until, stopped_at) ",
    );
    query.push_values(grants, |mut row, grant| {
        let release = &grant.release;
        row.push_bind(release.node.as_bytes().to_vec())
            .push_bind(release.epoch.stored())
            .push_bind(i64::from(release.redraw))
            .push_bind(grant.serial.stored())
            .push_bind(release.list.revision.stored())
            .push_bind(release.list.sequence.stored())
            .push_bind(release.released_at.stored())
            .push_bind(release.lease_until.stored())
            .push_bind(release.stopped_at().stored());
    });
    let statement = query.build().persistent(grants.len() == ROWS);
    statement.execute(connection).await?;
    Ok(())
}

/// The grants of `node` for epochs whose leases have not ended, if it is a member.
pub(crate) async fn of(
    connection: &mut Connection,
    node: NodeId,
    now: UnixTime,
) -> Result<Vec<(EpochNumber, Signed<EpochGrant>)>, StoreError> {
    let text = "SELECT grants.epoch AS epoch, grants.envelope AS envelope FROM grants
                JOIN epochs ON epochs.number = grants.epoch AND epochs.redraw = grants.redraw
                JOIN nodes ON nodes.node = grants.node
                WHERE grants.node = $1 AND epochs.ends > $2 AND nodes.status = 'allowed' AND nodes.not_after > $2
                ORDER BY grants.epoch";
    let rows = sql!(text, &node.as_bytes()[..], now.stored())
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(Row)
        .map(|row| Ok((row.count("epoch")?, row.signed("envelope")?)))
        .collect()
}

/// To how many nodes a drawing was released.
pub(crate) async fn released(
    connection: &mut Connection,
    epoch: EpochNumber,
    redraw: u32,
) -> Result<u32, StoreError> {
    let text = "SELECT COUNT(*) AS n FROM grants WHERE epoch = $1 AND redraw = $2";
    Row(sql!(text, epoch.stored(), i64::from(redraw))
        .fetch_one(connection)
        .await?)
    .small("n")
}

/// Takes back what `node` could still ask for.
pub(crate) async fn withdraw(connection: &mut Connection, node: NodeId) -> Result<(), StoreError> {
    sql!("DELETE FROM grants WHERE node = $1", &node.as_bytes()[..])
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes back what anybody could still ask for of an epoch.
pub(crate) async fn withdraw_all(
    connection: &mut Connection,
    epoch: EpochNumber,
) -> Result<(), StoreError> {
    sql!("DELETE FROM grants WHERE epoch = $1", epoch.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets grants of epochs that have ended, and releases that nobody could use after `before`.
pub(crate) async fn forget(
    connection: &mut Connection,
    now: UnixTime,
    before: UnixTime,
) -> Result<(), StoreError> {
    let text = "DELETE FROM grants WHERE epoch IN (SELECT number FROM epochs WHERE ends < $1 AND lease_until < $1)";
    sql!(text, now.stored()).execute(&mut *connection).await?;
    sql!(
        "DELETE FROM releases WHERE stopped_at < $1",
        before.stored()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Has every release that still counted at `since` count for longer by `step`; but none for longer than if it were
/// made now.
pub(crate) async fn postpone(
    connection: &mut Connection,
    since: UnixTime,
    step: Span,
    now: UnixTime,
) -> Result<(), StoreError> {
    let text =
        "UPDATE releases SET stopped_at = MIN(stopped_at + $2, $3 + stopped_at - released_at)
                WHERE stopped_at > $1 AND released_at <= $3";
    let step = UnixTime::default() + step;
    sql!(text, since.stored(), step.stored(), now.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Every release in the ledger, for checks.
pub(crate) async fn all(connection: &mut Connection) -> Result<Vec<Release>, StoreError> {
    let rows = sql!("SELECT * FROM releases ORDER BY id")
        .fetch_all(connection)
        .await?;
    let release = |row: Row| {
        let list = ListPlace {
            revision: row.count("revision")?,
            sequence: row.count("list")?,
        };
        Ok(Release {
            node: NodeId::from_bytes(row.array("node")?),
            epoch: row.count("epoch")?,
            redraw: row.small("redraw")?,
            list,
            released_at: row.count("released_at")?,
            lease_until: row.count("lease_until")?,
        })
    };
    rows.into_iter().map(Row).map(release).collect()
}
