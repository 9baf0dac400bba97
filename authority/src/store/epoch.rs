//! Epochs, with their secrets under encryption.

use tidegate_proto::{EpochNumber, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// One epoch as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    pub(crate) number: EpochNumber,
    pub(crate) redraw: u32,
    pub(crate) starts: UnixTime,
    pub(crate) ends: UnixTime,
    pub(crate) lease_until: UnixTime,
    pub(crate) secret: Vec<u8>,
    pub(crate) complete: bool,
}

fn read(row: &Row) -> Result<Epoch, StoreError> {
    Ok(Epoch {
        number: row.count("number")?,
        redraw: row.small("redraw")?,
        starts: row.count("starts")?,
        ends: row.count("ends")?,
        lease_until: row.count("lease_until")?,
        secret: row.bytes("secret")?.to_vec(),
        complete: row.integer("complete")? == 1,
    })
}

/// The epoch in force at `now` and those opened ahead, in order; the last one that was, if none is in force.
pub(crate) async fn live(
    connection: &mut Connection,
    now: UnixTime,
) -> Result<Vec<Epoch>, StoreError> {
    let text = "SELECT * FROM epochs WHERE number >= COALESCE((SELECT MAX(number) FROM epochs WHERE starts <= $1), 0)
                ORDER BY number";
    let rows = sql!(text, now.stored()).fetch_all(connection).await?;
    rows.into_iter().map(|row| read(&Row(row))).collect()
}

/// The epoch with the highest number.
pub(crate) async fn last(connection: &mut Connection) -> Result<Option<Epoch>, StoreError> {
    let row = sql!("SELECT * FROM epochs ORDER BY number DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&Row(row))).transpose()
}

/// Opens an epoch. A number that was opened before is an error of the database: numbers are inserted once.
pub(crate) async fn open(
    connection: &mut Connection,
    epoch: &Epoch,
    now: UnixTime,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO epochs (number, redraw, starts, ends, lease_until, secret, opened_at, complete) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        epoch.number.stored(),
        i64::from(epoch.redraw),
        epoch.starts.stored(),
        epoch.ends.stored(),
        epoch.lease_until.stored(),
        &epoch.secret[..],
        now.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Puts another drawing in an epoch's place: from here on the grants of the one before are nobody's. False if it was drawn
/// again meanwhile.
pub(crate) async fn redraw(connection: &mut Connection, epoch: &Epoch) -> Result<bool, StoreError> {
    let statement = sql!(
        "UPDATE epochs SET redraw = $2, starts = $3, ends = $4, lease_until = $5, secret = $6, complete = 0
         WHERE number = $1 AND redraw < $2",
        epoch.number.stored(),
        i64::from(epoch.redraw),
        epoch.starts.stored(),
        epoch.ends.stored(),
        epoch.lease_until.stored(),
        &epoch.secret[..]
    );
    Ok(statement.execute(connection).await?.rows_affected() == 1)
}

/// Notes whether everybody who may have the epoch's grant has it.
pub(crate) async fn set_complete(
    connection: &mut Connection,
    number: EpochNumber,
    redraw: u32,
) -> Result<(), StoreError> {
    let text = "UPDATE epochs SET complete = 1 WHERE number = $1 AND redraw = $2";
    sql!(text, number.stored(), i64::from(redraw))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that somebody may be without the grants of live epochs.
pub(crate) async fn reopen(connection: &mut Connection, now: UnixTime) -> Result<(), StoreError> {
    let text = "UPDATE epochs SET complete = 0 WHERE complete = 1 AND ends > $1";
    sql!(text, now.stored()).execute(connection).await?;
    Ok(())
}

/// Erases the secrets of epochs whose leases ended before `before`.
pub(crate) async fn erase(connection: &mut Connection, before: UnixTime) -> Result<(), StoreError> {
    let text = "UPDATE epochs SET secret = $2 WHERE lease_until < $1 AND length(secret) > 0";
    sql!(text, before.stored(), Vec::new())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets epochs whose leases ended before `before`, a few at a time, and none that is in force or ahead at `now`. Their
/// numbers are counted elsewhere, so that none comes back.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
    now: UnixTime,
) -> Result<(), StoreError> {
    let text = "DELETE FROM epochs WHERE number IN (SELECT number FROM epochs ORDER BY number LIMIT 1000)
                AND lease_until < $1 AND number < (SELECT MAX(number) FROM epochs WHERE starts <= $2)";
    sql!(text, before.stored(), now.stored())
        .execute(connection)
        .await?;
    Ok(())
}
