//! The queue of changes, and the thread that commits them in groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::LocalBoxFuture;
use sqlx::{AssertSqlSafe, Connection as _};
use tidegate_proto::{Digest, Revision, Sequence, UnixTime};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Connection, StoreError, audit, change};
use crate::clock::Clock;
use crate::service::Notice;

/// Changes that may wait; more are refused.
const MOST_WAITING: usize = 4096;
/// Changes that share one commit at most.
const LARGEST_GROUP: usize = 256;

/// One change under way: the connection within its savepoint, the time, and what is to be done once it is on disk.
pub struct Tx {
    connection: Connection,
    now: UnixTime,
    after: Vec<Box<dyn FnOnce() + Send>>,
    notices: Vec<Notice>,
    records: Vec<audit::New>,
    seen: Seen,
}

/// What was read once for all changes of one transaction. Whoever uses it knows what makes it untrue.
#[derive(Default)]
pub(crate) struct Seen {
    /// The genesis revision, as it was before one of the changes.
    pub(crate) revision: Option<Revision>,
    /// How many members there are at most.
    pub(crate) members: Option<usize>,
    /// The last audit record that was written before this transaction.
    audited: Option<Option<(Sequence, Digest)>>,
}

/// How many of what is kept for the commit there is.
struct Mark {
    after: usize,
    notices: usize,
    records: usize,
}

impl Tx {
    /// The database within this change.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The time at which the change happens.
    pub fn now(&self) -> UnixTime {
        self.now
    }

    /// Has `act` done once the change is on disk, and not at all if it does not get there.
    pub fn after_commit(&mut self, act: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(act));
    }

    /// Has `notice` told to followers, on every server, once the change is on disk.
    pub(crate) fn announce(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Has `record` written with the commit: the records of many changes in one statement.
    pub(crate) fn append(&mut self, record: audit::New) {
        self.records.push(record);
    }

    /// The sequence and the hash of the last audit record, this transaction's included.
    pub(crate) async fn audit_head(&mut self) -> Result<Option<(Sequence, Digest)>, StoreError> {
        if let Some(last) = self.records.last() {
            return Ok(Some((last.kept.sequence, last.kept.hash)));
        }
        if self.seen.audited.is_none() {
            self.seen.audited = Some(audit::head(&mut self.connection).await?);
        }
        Ok(self.seen.audited.flatten())
    }

    /// What was read once for all changes of this transaction.
    pub(crate) fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }

    fn clear(&mut self) {
        self.after.clear();
        self.notices.clear();
        self.records.clear();
        self.seen = Seen::default();
    }

    fn mark(&self) -> Mark {
        Mark {
            after: self.after.len(),
            notices: self.notices.len(),
            records: self.records.len(),
        }
    }

    /// Drops what came behind `mark`.
    fn back_to(&mut self, mark: &Mark) {
        self.after.truncate(mark.after);
        self.notices.truncate(mark.notices);
        self.records.truncate(mark.records);
    }
}

/// What tells the asker of a change how it ended.
type Report = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A change that ran: whether its savepoint stands, and the report that is due after the commit.
type Ran = (bool, Report);
type Change =
    Box<dyn for<'t> FnOnce(Result<&'t mut Tx, StoreError>) -> LocalBoxFuture<'t, Ran> + Send>;

enum Order {
    Change(Change),
    Close(oneshot::Sender<()>),
}

/// A handle to the writer's thread.
#[derive(Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    commits: Arc<AtomicU64>,
    told: Arc<Notify>,
}

impl Writer {
    /// Starts the writer on a thread of its own: a change need not be able to move between threads, and readers who
    /// keep the others busy do not hold up a revocation.
    pub(super) fn start(connection: Connection, clock: Clock) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(failed)?;
        let (orders, queue) = mpsc::channel(MOST_WAITING);
        let commits = Arc::new(AtomicU64::new(0));
        let tx = Tx {
            connection,
            now: UnixTime::default(),
            after: Vec::new(),
            notices: Vec::new(),
            records: Vec::new(),
            seen: Seen::default(),
        };
        let told = Arc::new(Notify::new());
        let (counted, tell) = (Arc::clone(&commits), Arc::clone(&told));
        std::thread::Builder::new()
            .name("tidegate-writer".to_owned())
            .spawn(move || runtime.block_on(serve(tx, queue, clock, counted, tell)))
            .map_err(failed)?;
        Ok(Self {
            orders,
            commits,
            told,
        })
    }

    pub(super) async fn run<T, E, F>(&self, change: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> LocalBoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |tx| {
            Box::pin(async move {
                let result = match tx {
                    Ok(tx) => change(tx).await,
                    Err(error) => Err(error.into()),
                };
                let stands = result.is_ok();
                let report: Report = Box::new(move |committed| {
                    let result = result.and_then(|done| committed.map(|()| done).map_err(E::from));
                    // Whoever asked may have gone; the change stands all the same.
                    let _ = answer.send(result);
                });
                (stands, report)
            })
        });
        let sent = self.orders.try_send(Order::Change(change));
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Rings when a commit has left notices.
    pub(super) fn told(&self) -> &Arc<Notify> {
        &self.told
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

async fn serve(
    mut tx: Tx,
    mut queue: mpsc::Receiver<Order>,
    clock: Clock,
    commits: Arc<AtomicU64>,
    told: Arc<Notify>,
) {
    while let Some(first) = queue.recv().await {
        let mut group = Vec::new();
        let mut closing = take(first, &mut group);
        while closing.is_none() && group.len() < LARGEST_GROUP {
            let Ok(order) = queue.try_recv() else { break };
            closing = take(order, &mut group);
        }
        if !group.is_empty() {
            commit_group(&mut tx, group, &clock, &told).await;
            commits.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(done) = closing {
            queue.close();
            let _ = tx.connection.close().await;
            let _ = done.send(());
            return;
        }
    }
}

fn take(order: Order, group: &mut Vec<Change>) -> Option<oneshot::Sender<()>> {
    match order {
        Order::Change(change) => {
            group.push(change);
            None
        }
        Order::Close(done) => Some(done),
    }
}

/// Runs a group in one transaction. Only after the commit does anyone hear of success or anything leave.
async fn commit_group(tx: &mut Tx, group: Vec<Change>, clock: &Clock, told: &Notify) {
    tx.clear();
    let mut failed = execute(tx, "BEGIN IMMEDIATE; SAVEPOINT change").await.err();
    let reports = run_all(tx, group, clock, &mut failed).await;
    let outcome = match failed {
        None => commit(tx).await,
        Some(error) => Err(error),
    };
    if outcome.is_err() {
        let _ = execute(tx, "ROLLBACK").await; // after some errors the database has done so itself
    }
    let after = std::mem::take(&mut tx.after);
    if outcome.is_ok() {
        after.into_iter().for_each(|act| act());
        told.notify_one();
    }
    reports
        .into_iter()
        .for_each(|report| report(outcome.clone()));
}

/// Runs each change behind a savepoint, which the one before has left. What makes the database undo all of them is left in `failed`.
async fn run_all(
    tx: &mut Tx,
    group: Vec<Change>,
    clock: &Clock,
    failed: &mut Option<StoreError>,
) -> Vec<Report> {
    let mut reports = Vec::with_capacity(group.len());
    for change in group {
        if let Some(error) = &failed {
            reports.push(change(Err(error.clone())).await.1);
            continue;
        }
        match run_one(tx, change, clock).await {
            Ok(report) => reports.push(report),
            Err((error, report)) => {
                reports.push(report);
                *failed = Some(error);
            }
        }
    }
    reports
}

/// Commits, with what is recorded and what followers are to hear.
async fn commit(tx: &mut Tx) -> Result<(), StoreError> {
    let records = std::mem::take(&mut tx.records);
    audit::append(&mut tx.connection, &records).await?;
    let notices = std::mem::take(&mut tx.notices);
    if !notices.is_empty() {
        change::keep(&mut tx.connection, &notices, tx.now).await?;
    }
    execute(tx, "COMMIT").await
}

async fn run_one(
    tx: &mut Tx,
    change: Change,
    clock: &Clock,
) -> Result<Report, (StoreError, Report)> {
    tx.now = clock.now();
    let mark = tx.mark();
    let (stands, report) = change(Ok(tx)).await;
    if stands {
        let next = execute(tx, "RELEASE change; SAVEPOINT change").await;
        return match next {
            Ok(()) => Ok(report),
            Err(error) => Err((error, report)),
        };
    }
    tx.back_to(&mark);
    // After some errors, as a full disk, the database has undone the whole transaction itself.
    match execute(tx, "ROLLBACK TO change").await {
        Ok(()) => Ok(report),
        Err(_) => Err((StoreError::Undone, report)),
    }
}

async fn execute(tx: &mut Tx, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut tx.connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Mutex;

    use super::*;
    use crate::store::{Location, Store, counter};

    type Acted = Arc<Mutex<Vec<u64>>>;

    fn record(sequence: u64) -> audit::New {
        let bytes = sequence.to_be_bytes().to_vec();
        audit::New {
            kept: audit::Kept {
                sequence: Sequence::new(sequence).unwrap(),
                hash: Digest::of(&bytes),
                bytes,
            },
            at: UnixTime::default(),
            event: "test",
        }
    }

    /// A change that leaves something of every kind; gives the audit record that it found last.
    async fn change(
        store: &Store,
        sequence: u64,
        stands: bool,
        acted: &Acted,
    ) -> Result<Option<Sequence>, StoreError> {
        let acted = Arc::clone(acted);
        let change = async move |tx: &mut Tx| {
            let head = tx.audit_head().await?.map(|(sequence, _)| sequence);
            tx.append(record(sequence));
            tx.announce(Notice::Audit(sequence));
            tx.after_commit(move || acted.lock().unwrap().push(sequence));
            counter::next_in_recovery::<Sequence>(tx.connection(), "test", UnixTime::default())
                .await?;
            if stands {
                Ok(head)
            } else {
                Err(StoreError::Full)
            }
        };
        store
            .write(move |tx| Box::pin(async move { change(tx).await }))
            .await
    }

    #[tokio::test]
    async fn a_refused_change_takes_along_its_own_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = Location::File(folder.path().join("test.db"));
        let store = Store::open(&file, Clock::system()).await.unwrap();
        let acted = Acted::default();
        let (go, gate) = oneshot::channel::<()>();
        let held = store
            .write(move |_| Box::pin(async move { gate.await.map_err(|_| StoreError::Closed) }));
        let (held, one, two, three, ()) = tokio::join!(
            held, // until the others have queued up
            change(&store, 1, true, &acted),
            change(&store, 2, false, &acted),
            change(&store, 3, true, &acted),
            async { go.send(()).unwrap() }
        );
        held.unwrap();
        assert_eq!((one, two), (Ok(None), Err(StoreError::Full)));
        assert_eq!(three, Ok(Sequence::new(1)), "behind the record that stands");
        assert_eq!(*acted.lock().unwrap(), [1, 3]);
        let mut connection = store.read().await.unwrap();
        let kept = audit::last(&mut connection, 9).await.unwrap();
        let kept: Vec<u64> = kept.iter().map(|kept| kept.sequence.value()).collect();
        assert_eq!(kept, [1, 3]);
        let told = change::since(&mut connection, 0, 9).await.unwrap();
        assert_eq!(told.len(), 1, "they share one commit");
        assert_eq!(told[0].notices, [Notice::Audit(1), Notice::Audit(3)]);
        let counted: Option<Sequence> = counter::last(&mut connection, "test").await.unwrap();
        assert_eq!(counted.map(Sequence::value), Some(1), "0, and then 1");
    }
}
