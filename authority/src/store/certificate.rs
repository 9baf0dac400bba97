//! Certificates that were issued and still count, or whose hold has not ended.

use tidegate_proto::{Certificate, NodeId, Revision, Serial, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// Keeps a certificate.
pub(crate) async fn keep(
    connection: &mut Connection,
    certificate: &Certificate,
    signed: &Signed<Certificate>,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO certificates (serial, node, revision, digest, envelope, wireguard, sealing, not_before, not_after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        certificate.serial.stored(),
        certificate.node.as_bytes().to_vec(),
        certificate.revision.stored(),
        signed.digest().as_bytes().to_vec(),
        signed.to_compact(),
        certificate.wireguard.as_bytes().to_vec(),
        certificate.sealing.as_bytes().to_vec(),
        certificate.not_before.stored(),
        certificate.not_after.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// The certificate with this serial.
pub(crate) async fn load(
    connection: &mut Connection,
    serial: Serial,
) -> Result<Option<Signed<Certificate>>, StoreError> {
    let text = "SELECT envelope FROM certificates WHERE serial = $1";
    let row = sql!(text, serial.stored())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Row(row).signed("envelope")).transpose()
}

/// When the last certificate that `node` ever got ends: not always the latest.
pub(crate) async fn last_end(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<UnixTime>, StoreError> {
    let text = "SELECT MAX(not_after) AS last FROM certificates WHERE node = $1";
    let row = sql!(text, &node.as_bytes()[..]).fetch_one(connection);
    Row(row.await?).optional_count("last")
}

/// Members behind `after` whose certificate was signed under a revision before `revision`, in the order of ids.
pub(crate) async fn earlier(
    connection: &mut Connection,
    revision: Revision,
    now: UnixTime,
    after: NodeId,
    limit: u32,
) -> Result<Vec<(NodeId, Signed<Certificate>)>, StoreError> {
    let text = "SELECT nodes.node AS node, certificates.envelope AS envelope
                FROM certificates JOIN nodes ON nodes.serial = certificates.serial
                WHERE certificates.revision < $1 AND nodes.status = 'allowed' AND nodes.not_after > $2 AND nodes.node > $3
                ORDER BY nodes.node LIMIT $4";
    let rows = sql!(
        text,
        revision.stored(),
        now.stored(),
        &after.as_bytes()[..],
        i64::from(limit)
    );
    let one = |row: Row| {
        let node = NodeId::from_bytes(row.array("node")?);
        Ok((node, row.signed("envelope")?))
    };
    let rows = rows.fetch_all(connection).await?;
    rows.into_iter().map(Row).map(one).collect()
}

/// Whether `node` ever had a certificate over this sealing key.
pub(crate) async fn had_sealing(
    connection: &mut Connection,
    node: NodeId,
    sealing: &[u8; 32],
) -> Result<bool, StoreError> {
    let text = "SELECT 1 AS one FROM certificates WHERE node = $1 AND sealing = $2 LIMIT 1";
    Ok(sql!(text, &node.as_bytes()[..], &sealing[..])
        .fetch_optional(connection)
        .await?
        .is_some())
}

/// Forgets those that ended before `before`, unless they are a node's latest.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<(), StoreError> {
    let text = "DELETE FROM certificates WHERE not_after < $1
                AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.node = certificates.node AND nodes.serial = certificates.serial)";
    sql!(text, before.stored()).execute(connection).await?;
    Ok(())
}
