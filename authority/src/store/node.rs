//! Nodes.

use std::net::{Ipv4Addr, Ipv6Addr};

use sqlx::sqlite::SqliteRow;
use tidegate_proto::{
    BoundedSet, Certificate, Digest, KeyId, NodeId, NodeName, Prefix, PublicKey, Reason, Role,
    SealingPublicKey, Sequence, Serial, Signed, Tag, UnixTime, WgPublicKey,
};

use super::{Connection, Counted, Row, StoreError, corrupt, json, sql};
use crate::service::NodeStatus;

/// One node as it is kept. `status` is never offline; that is `offline_since`.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) node: NodeId,
    pub(crate) identity: PublicKey,
    pub(crate) name: NodeName,
    pub(crate) status: NodeStatus,
    pub(crate) reason: Reason,
    pub(crate) since: UnixTime,
    pub(crate) wireguard: WgPublicKey,
    pub(crate) sealing: SealingPublicKey,
    pub(crate) roles: BoundedSet<Role, 8>,
    pub(crate) tags: BoundedSet<Tag, 32>,
    pub(crate) wanted_routes: BoundedSet<Prefix, 32>,
    pub(crate) routes: BoundedSet<Prefix, 32>,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) serial: Option<Serial>,
    pub(crate) not_after: Option<UnixTime>,
    pub(crate) keys_changed_at: UnixTime,
    pub(crate) changed: Sequence,
    pub(crate) described: Sequence,
    pub(crate) offline_since: Option<UnixTime>,
    pub(crate) enrolled_at: UnixTime,
}

impl Node {
    /// How it stands, offline included.
    pub(crate) fn standing(&self) -> NodeStatus {
        match (self.status, self.offline_since) {
            (NodeStatus::Allowed, Some(_)) => NodeStatus::Offline,
            (status, _) => status,
        }
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let ipv4 = row.optional_small("ipv4")?.map(Ipv4Addr::from_bits);
        let ipv6 = row.optional_array::<16>("ipv6")?.map(Ipv6Addr::from);
        let identity =
            PublicKey::from_bytes(row.array("identity")?).map_err(|e| corrupt("identity", e))?;
        Ok(Self {
            node: NodeId::of(&identity),
            identity,
            name: row.parsed("name")?,
            status: row.parsed("status")?,
            reason: row.parsed("reason")?,
            since: row.count("since")?,
            wireguard: WgPublicKey::from_bytes(row.array("wireguard")?)
                .map_err(|e| corrupt("wireguard", e))?,
            sealing: SealingPublicKey::from_bytes(row.bytes("sealing")?)
                .map_err(|e| corrupt("sealing", e))?,
            roles: row.json("roles")?,
            tags: row.json("tags")?,
            wanted_routes: row.json("wanted_routes")?,
            routes: row.json("routes")?,
            ipv4,
            ipv6,
            serial: row.optional_count("serial")?,
            not_after: row.optional_count("not_after")?,
            keys_changed_at: row.count("keys_changed_at")?,
            changed: row.count("changed")?,
            described: row.count("described")?,
            offline_since: row.optional_count("offline_since")?,
            enrolled_at: row.count("enrolled_at")?,
        })
    }
}

/// The node with this id.
pub(crate) async fn load(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<Node>, StoreError> {
    let row = sql!("SELECT * FROM nodes WHERE node = $1", &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| Node::read(&Row(row))).transpose()
}

/// The node whose identity key has this id.
pub(crate) async fn by_key(
    connection: &mut Connection,
    key: KeyId,
) -> Result<Option<Node>, StoreError> {
    let row = sql!("SELECT * FROM nodes WHERE key_id = $1", &key.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| Node::read(&Row(row))).transpose()
}

/// Who goes by a name: its holder; or those who asked for it, who may be several.
pub(crate) async fn by_name(
    connection: &mut Connection,
    name: &NodeName,
) -> Result<Vec<Node>, StoreError> {
    let held = "SELECT nodes.* FROM nodes JOIN names ON names.name = nodes.name AND names.node = nodes.node
                WHERE nodes.name = $1";
    let asked = "SELECT * FROM nodes WHERE name = $1 ORDER BY status <> 'pending', node LIMIT 2";
    for text in [held, asked] {
        let rows = sql!(text, name.as_str())
            .fetch_all(&mut *connection)
            .await?;
        if !rows.is_empty() {
            return rows.into_iter().map(|row| Node::read(&Row(row))).collect();
        }
    }
    Ok(Vec::new())
}

/// Nodes behind `after`, in the order of ids.
pub(crate) async fn page(
    connection: &mut Connection,
    status: Option<NodeStatus>,
    after: Option<NodeId>,
    limit: u32,
) -> Result<Vec<Node>, StoreError> {
    let text = match status {
        Some(NodeStatus::Allowed) => {
            "SELECT * FROM nodes WHERE node > $1 AND status = $3 AND offline_since IS NULL ORDER BY node LIMIT $2"
        }
        Some(NodeStatus::Offline) => {
            "SELECT * FROM nodes WHERE node > $1 AND status = $3 AND offline_since IS NOT NULL ORDER BY node LIMIT $2"
        }
        Some(_) => "SELECT * FROM nodes WHERE node > $1 AND status = $3 ORDER BY node LIMIT $2",
        None => "SELECT * FROM nodes WHERE node > $1 AND $3 <> '' ORDER BY node LIMIT $2",
    };
    let stored = match status {
        Some(NodeStatus::Offline) => NodeStatus::Allowed,
        Some(status) => status,
        None => NodeStatus::Allowed,
    };
    let after = after.map_or_else(Vec::new, |node| node.as_bytes().to_vec());
    let rows = sql!(text, after, i64::from(limit), stored.as_str())
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|row| Node::read(&Row(row))).collect()
}

/// A node that is a member or was one, with its latest certificate.
pub(crate) struct WithCertificate {
    pub(crate) node: Node,
    pub(crate) digest: Digest,
    pub(crate) certificate: (Signed<Certificate>, UnixTime),
}

/// Members of now and before that changed behind a roster version.
pub(crate) async fn changed_since(
    connection: &mut Connection,
    version: Sequence,
) -> Result<Vec<WithCertificate>, StoreError> {
    let text = "SELECT nodes.*, certificates.digest AS certificate_digest, certificates.envelope AS certificate,
                  certificates.not_after AS certificate_end
                FROM nodes JOIN certificates ON certificates.serial = nodes.serial WHERE nodes.changed > $1";
    let rows = sql!(text, version.stored()).fetch_all(connection).await?;
    let changed = |row: Row| {
        Ok(WithCertificate {
            node: Node::read(&row)?,
            digest: Digest::from_bytes(row.array("certificate_digest")?),
            certificate: (row.signed("certificate")?, row.count("certificate_end")?),
        })
    };
    rows.into_iter().map(Row).map(changed).collect()
}

/// How many members there are, with those who are suspended. An index alone answers this.
pub(crate) async fn members(connection: &mut Connection) -> Result<usize, StoreError> {
    let text = "SELECT COUNT(*) AS n FROM nodes WHERE status IN ('allowed', 'quarantined')";
    counted(sql!(text).fetch_one(connection).await?)
}

/// How many of them have certificates that count at `now`.
pub(crate) async fn covered_members(
    connection: &mut Connection,
    now: UnixTime,
) -> Result<usize, StoreError> {
    let text = "SELECT COUNT(*) AS n FROM nodes WHERE status IN ('allowed', 'quarantined') AND not_after > $1";
    counted(sql!(text, now.stored()).fetch_one(connection).await?)
}

fn counted(row: SqliteRow) -> Result<usize, StoreError> {
    usize::try_from(Row(row).integer("n")?).map_err(|error| corrupt("nodes", error))
}

/// Members none of whose certificates was still valid at `at`.
pub(crate) async fn ended_before(
    connection: &mut Connection,
    at: UnixTime,
) -> Result<Vec<Node>, StoreError> {
    let text = "SELECT * FROM nodes WHERE status = 'allowed' AND NOT EXISTS
                (SELECT 1 FROM certificates WHERE certificates.node = nodes.node AND certificates.not_after >= $1)";
    let rows = sql!(text, at.stored()).fetch_all(connection).await?;
    rows.into_iter().map(|row| Node::read(&Row(row))).collect()
}

/// How many wait for a decision.
pub(crate) async fn pending(connection: &mut Connection) -> Result<i64, StoreError> {
    Row(
        sql!("SELECT COUNT(*) AS n FROM nodes WHERE status = 'pending'")
            .fetch_one(connection)
            .await?,
    )
    .integer("n")
}

/// How many nodes stand so; offline ones count as allowed.
pub(crate) async fn census(
    connection: &mut Connection,
) -> Result<Vec<(NodeStatus, i64)>, StoreError> {
    let rows = sql!("SELECT status, COUNT(*) AS n FROM nodes GROUP BY status")
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(Row)
        .map(|row| Ok((row.parsed("status")?, row.integer("n")?)))
        .collect()
}

/// Forgets those who have waited since before `before`.
pub(crate) async fn forget_pending(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<u64, StoreError> {
    let text = "DELETE FROM nodes WHERE status = 'pending' AND since < $1";
    Ok(sql!(text, before.stored())
        .execute(connection)
        .await?
        .rows_affected())
}

/// Forgets those who were turned away before `before` and never were in.
pub(crate) async fn forget_denied(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<u64, StoreError> {
    let text = "DELETE FROM nodes WHERE status = 'denied' AND serial IS NULL AND since < $1";
    Ok(sql!(text, before.stored())
        .execute(connection)
        .await?
        .rows_affected())
}

/// Keeps a node as it is now.
pub(crate) async fn save(connection: &mut Connection, node: &Node) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO nodes (node, identity, key_id, name, status, reason, since, wireguard, sealing, roles, tags,
             wanted_routes, routes, ipv4, ipv6, serial, not_after, keys_changed_at, changed, described, offline_since, enrolled_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
         ON CONFLICT (node) DO UPDATE SET name = excluded.name, status = excluded.status, reason = excluded.reason,
             since = excluded.since, wireguard = excluded.wireguard, sealing = excluded.sealing, roles = excluded.roles,
             tags = excluded.tags, wanted_routes = excluded.wanted_routes, routes = excluded.routes, ipv4 = excluded.ipv4,
             ipv6 = excluded.ipv6, serial = excluded.serial, not_after = excluded.not_after,
             keys_changed_at = excluded.keys_changed_at, changed = excluded.changed, described = excluded.described,
             offline_since = excluded.offline_since",
        &node.node.as_bytes()[..],
        &node.identity.as_bytes()[..],
        KeyId::of(&node.identity).as_bytes().to_vec(),
        node.name.as_str(),
        node.status.as_str(),
        node.reason.as_str(),
        node.since.stored(),
        &node.wireguard.as_bytes()[..],
        node.sealing.to_bytes(),
        json(&*node.roles)?,
        json(&*node.tags)?,
        json(&*node.wanted_routes)?,
        json(&*node.routes)?,
        node.ipv4.map(|address| i64::from(address.to_bits())),
        node.ipv6.map(|address| address.octets().to_vec()),
        node.serial.map(|serial| serial.stored()),
        node.not_after.map(|time| time.stored()),
        node.keys_changed_at.stored(),
        node.changed.stored(),
        node.described.stored(),
        node.offline_since.map(|time| time.stored()),
        node.enrolled_at.stored(),
    );
    statement.execute(connection).await?;
    Ok(())
}
