//! What is unique among nodes: names, addresses and WireGuard keys. What was given up is held for a while.

use std::net::{Ipv4Addr, Ipv6Addr};

use tidegate_proto::{NodeId, NodeName, UnixTime, WgPublicKey};

use super::{Connection, Counted, Row, StoreError, sql};

/// Whether `name` can be `node`'s now.
pub(crate) async fn name_is_free(
    connection: &mut Connection,
    name: &NodeName,
    node: NodeId,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let text = "SELECT 1 AS taken FROM names WHERE name = $1 AND node <> $2 AND (held_until IS NULL OR held_until > $3)";
    let row = sql!(text, name.as_str(), &node.as_bytes()[..], now.stored())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_none())
}

/// What of a newcomer's is another's already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Taken {
    pub(crate) name: bool,
    /// Another has the WireGuard key, or ever had it.
    pub(crate) key: bool,
}

/// Whether a name or a WireGuard key cannot be `node`'s now.
pub(crate) async fn taken(
    connection: &mut Connection,
    node: NodeId,
    name: &NodeName,
    key: &WgPublicKey,
    now: UnixTime,
) -> Result<Taken, StoreError> {
    let text = "SELECT (SELECT COUNT(*) FROM names WHERE name = $2 AND node <> $1
                        AND (held_until IS NULL OR held_until > $4)) AS names,
                       (SELECT COUNT(*) FROM wireguard_keys WHERE wireguard = $3 AND node <> $1) AS keys";
    let (node, key) = (&node.as_bytes()[..], &key.as_bytes()[..]);
    let row = sql!(text, node, name.as_str(), key, now.stored());
    let row = Row(row.fetch_one(connection).await?);
    Ok(Taken {
        name: row.integer("names")? > 0,
        key: row.integer("keys")? > 0,
    })
}

/// Gives `name` to `node`, which gives up any other at once.
pub(crate) async fn take_name(
    connection: &mut Connection,
    name: &NodeName,
    node: NodeId,
) -> Result<(), StoreError> {
    let text = "INSERT INTO names (name, node, held_until) VALUES ($1, $2, NULL)
                ON CONFLICT (name) DO UPDATE SET node = excluded.node, held_until = NULL";
    sql!(text, name.as_str(), &node.as_bytes()[..])
        .execute(connection)
        .await?;
    Ok(())
}

/// Holds what names `node` has until `until`.
pub(crate) async fn hold_names(
    connection: &mut Connection,
    node: NodeId,
    until: UnixTime,
) -> Result<(), StoreError> {
    let text = "UPDATE names SET held_until = $2 WHERE node = $1 AND held_until IS NULL";
    sql!(text, &node.as_bytes()[..], until.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// The addresses of `node`; those that are held for it, if it has none.
pub(crate) async fn of(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<(Ipv4Addr, Ipv6Addr)>, StoreError> {
    let text = "SELECT ipv4, ipv6 FROM addresses WHERE node = $1
                ORDER BY held_until IS NOT NULL, held_until DESC, ipv4 LIMIT 1";
    let Some(row) = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    Ok(Some((
        Ipv4Addr::from_bits(row.small("ipv4")?),
        row.array::<16>("ipv6")?.into(),
    )))
}

/// Whether `ipv4` can be given out: nobody has it, or its hold has ended.
pub(crate) async fn is_free(
    connection: &mut Connection,
    ipv4: Ipv4Addr,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let text = "SELECT 1 AS taken FROM addresses WHERE ipv4 = $1 AND (held_until IS NULL OR held_until > $2)";
    let row = sql!(text, i64::from(ipv4.to_bits()), now.stored());
    Ok(row.fetch_optional(connection).await?.is_none())
}

/// The first address from `first` to `last` that nobody has, or whose hold has ended.
pub(crate) async fn first_free(
    connection: &mut Connection,
    first: Ipv4Addr,
    last: Ipv4Addr,
    now: UnixTime,
) -> Result<Option<Ipv4Addr>, StoreError> {
    let (first, last) = (i64::from(first.to_bits()), i64::from(last.to_bits()));
    let free = "SELECT 1 AS free WHERE NOT EXISTS (SELECT 1 FROM addresses WHERE ipv4 = $1)";
    if sql!(free, first)
        .fetch_optional(&mut *connection)
        .await?
        .is_some()
    {
        return Ok(u32::try_from(first).ok().map(Ipv4Addr::from_bits));
    }
    let text = "SELECT MIN(free) AS free FROM (
                  SELECT MIN(a.ipv4 + 1) AS free FROM addresses a WHERE a.ipv4 >= $1 AND a.ipv4 < $2
                    AND NOT EXISTS (SELECT 1 FROM addresses b WHERE b.ipv4 = a.ipv4 + 1)
                  UNION ALL
                  SELECT MIN(ipv4) AS free FROM addresses WHERE ipv4 >= $1 AND ipv4 <= $2 AND held_until <= $3) AS found";
    let row = Row(sql!(text, first, last, now.stored())
        .fetch_one(connection)
        .await?);
    Ok(row.optional_small("free")?.map(Ipv4Addr::from_bits))
}

/// Gives the addresses to `node`.
pub(crate) async fn take(
    connection: &mut Connection,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    node: NodeId,
) -> Result<(), StoreError> {
    let text = "INSERT INTO addresses (ipv4, ipv6, node, held_until) VALUES ($1, $2, $3, NULL)
                ON CONFLICT (ipv4) DO UPDATE SET ipv6 = excluded.ipv6, node = excluded.node, held_until = NULL";
    let statement = sql!(
        text,
        i64::from(ipv4.to_bits()),
        ipv6.octets().to_vec(),
        &node.as_bytes()[..]
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Holds the addresses of `node` until `until`.
pub(crate) async fn hold(
    connection: &mut Connection,
    node: NodeId,
    until: UnixTime,
) -> Result<(), StoreError> {
    let text = "UPDATE addresses SET held_until = $2 WHERE node = $1 AND held_until IS NULL";
    sql!(text, &node.as_bytes()[..], until.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Who has, or ever had, this WireGuard key.
pub(crate) async fn wireguard_owner(
    connection: &mut Connection,
    key: &WgPublicKey,
) -> Result<Option<NodeId>, StoreError> {
    let text = "SELECT node FROM wireguard_keys WHERE wireguard = $1";
    let row = sql!(text, &key.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| Row(row).array("node").map(NodeId::from_bytes))
        .transpose()
}

/// Whether a WireGuard key can be taken up: nobody has it, is out with it, or gave it up a moment ago.
pub(crate) async fn wireguard_is_free(
    connection: &mut Connection,
    key: &WgPublicKey,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let text = "SELECT 1 AS taken FROM wireguard_keys WHERE wireguard = $1 AND (held_until IS NULL OR held_until > $2)";
    let row = sql!(text, &key.as_bytes()[..], now.stored());
    Ok(row.fetch_optional(connection).await?.is_none())
}

/// Gives a WireGuard key to `node`.
pub(crate) async fn take_wireguard(
    connection: &mut Connection,
    key: &WgPublicKey,
    node: NodeId,
    now: UnixTime,
) -> Result<(), StoreError> {
    let text = "INSERT INTO wireguard_keys (wireguard, node, taken_at, held_until) VALUES ($1, $2, $3, NULL)
                ON CONFLICT (wireguard) DO UPDATE SET node = excluded.node, taken_at = excluded.taken_at, held_until = NULL";
    let (key, node) = (&key.as_bytes()[..], &node.as_bytes()[..]);
    sql!(text, key, node, now.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a key is not in use any more; it may be taken up again after `until`.
pub(crate) async fn give_up_wireguard(
    connection: &mut Connection,
    key: &WgPublicKey,
    until: UnixTime,
) -> Result<(), StoreError> {
    let text = "UPDATE wireguard_keys SET held_until = $2 WHERE wireguard = $1";
    sql!(text, &key.as_bytes()[..], until.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets keys that were given up and are not held any more.
pub(crate) async fn forget_wireguard(
    connection: &mut Connection,
    now: UnixTime,
) -> Result<(), StoreError> {
    let text = "DELETE FROM wireguard_keys WHERE held_until <= $1";
    sql!(text, now.stored()).execute(connection).await?;
    Ok(())
}
