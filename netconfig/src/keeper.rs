//! Keeping the host as wanted, whatever others do to it: a task.
//!
//! Events are gathered for a moment, judged, and answered by one look at the host at most. Whoever undoes our
//! changes again and again is answered ever more slowly, so that two programs that disagree do not eat the machine.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::change::Change;
use crate::desired::{Desired, LinkId, LinkName};
use crate::digest::{Digest, Known};
use crate::foreign::ForeignSet;
use crate::host::{Host, HostError, Outcome};
use crate::plan::Conflict;
use crate::watch::{Event, Watch};

/// Events come in bursts; this long after the first one we look.
const GATHER: Duration = Duration::from_millis(20);

/// The longest pause between two repairs: whatever happens, one second is enough for each.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// After this long without a repair, the next one is made at once again.
const FORGIVEN: Duration = Duration::from_secs(10);

/// What could not be done is tried again after this.
const RETRY: Duration = Duration::from_secs(15);

/// A pause before events are listened for again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Notices that nobody fetches are dropped beyond this.
const NOTICES: usize = 256;

/// Something that the caller may want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Somebody changed what is ours; it was put right.
    Repaired {
        /// What was done.
        changes: Vec<Change>,
        /// Repairs since the start, this one included.
        total: u64,
    },
    /// The set of routes that are left out has changed.
    Conflicts(Vec<Conflict>),
    /// Addresses, default routes or links that packets to peers use have changed.
    Underlay,
    /// The device was renamed, and is followed under its new name.
    Renamed {
        /// What it was called.
        from: LinkName,
        /// What it is called now.
        to: LinkName,
    },
    /// The device is gone. The guards hold; when one of its name comes back, it is configured.
    Gone,
    /// A repair did not succeed; it is tried again.
    Incomplete(Vec<String>),
    /// The host cannot be looked at or changed.
    Trouble(HostError),
}

/// What becomes of the host when the keeper stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Everything stays as it is.
    Keep,
    /// Everything that we made is taken back.
    Undo,
}

enum Request {
    Set(Box<Desired>, oneshot::Sender<Result<Outcome, HostError>>),
    Stop(Ending, oneshot::Sender<Result<Outcome, HostError>>),
}

/// A handle to the task. Dropping it ends the task and leaves the host as it is.
pub struct Keeper {
    requests: mpsc::Sender<Request>,
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts to keep the host. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel's events cannot be heard.
    pub fn start(host: Host) -> Result<Self, HostError> {
        let watch = Watch::open()?;
        let (requests, inbox) = mpsc::channel(8);
        let (outbox, notices) = mpsc::channel(NOTICES);
        let known = Known {
            marks: host.marks().clone(),
            wanted: None,
            device: None,
            port: host.port(),
            links: std::collections::BTreeMap::new(),
        };
        let desired = Desired::nothing(host.marks().clone());
        let state = State {
            host: Some(host),
            desired,
            known,
            digest: Digest::default(),
            conflicts: Vec::new(),
            repairs: 0,
            pace: Pace::default(),
            due: None,
            notices: outbox,
        };
        Ok(Self {
            requests,
            notices,
            task: tokio::spawn(state.run(watch, inbox)),
        })
    }

    /// Makes the host as wanted and keeps it so.
    ///
    /// # Errors
    /// See [`Host::reconcile`]. The former wish is kept if this one contradicts itself.
    pub async fn set(&self, desired: Desired) -> Result<Outcome, HostError> {
        self.ask(|answer| Request::Set(Box::new(desired), answer))
            .await
    }

    /// The next notice; `None` once the task has ended.
    pub async fn notice(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }

    /// Ends the task.
    ///
    /// # Errors
    /// See [`Host::undo`].
    pub async fn stop(self, ending: Ending) -> Result<Outcome, HostError> {
        self.ask(|answer| Request::Stop(ending, answer)).await
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<Outcome, HostError>>) -> Request,
    ) -> Result<Outcome, HostError> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(request(answer))
            .await
            .map_err(|_| HostError::Stopped)?;
        answered.await.map_err(|_| HostError::Stopped)?
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    /// Away while a blocking thread works with it.
    host: Option<Host>,
    desired: Desired,
    known: Known,
    digest: Digest,
    conflicts: Vec<Conflict>,
    repairs: u64,
    pace: Pace,
    due: Option<Instant>,
    notices: mpsc::Sender<Notice>,
}

impl State {
    async fn run(mut self, mut watch: Watch, mut inbox: mpsc::Receiver<Request>) {
        loop {
            let due = self.due;
            tokio::select! {
                biased;
                request = inbox.recv() => match request {
                    Some(Request::Set(desired, answer)) => {
                        let _ = answer.send(self.set(*desired).await);
                    }
                    Some(Request::Stop(ending, answer)) => {
                        let _ = answer.send(self.stop(ending).await);
                        return;
                    }
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.act().await,
                events = watch.next() => match events {
                    Ok(events) => self.hear(events),
                    Err(error) => {
                        self.tell(Notice::Trouble(error.into()));
                        watch = self.listen_again().await;
                    }
                },
            }
        }
    }

    /// Opens another socket for events, however long it takes; meanwhile anything may have happened.
    async fn listen_again(&mut self) -> Watch {
        loop {
            sleep(LISTEN_AGAIN).await;
            match Watch::open() {
                Ok(watch) => {
                    self.hear(vec![Event::Overrun]);
                    return watch;
                }
                Err(error) => self.tell(Notice::Trouble(error.into())),
            }
        }
    }

    fn hear(&mut self, events: Vec<Event>) {
        let mut nothing = ForeignSet::default();
        let foreign = self
            .host
            .as_mut()
            .and_then(Host::foreign)
            .unwrap_or(&mut nothing);
        for event in events {
            self.digest.take(event, &mut self.known, foreign);
        }
        if !self.digest.is_idle() {
            let soon = self.pace.next(Instant::now());
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// Answers what was gathered.
    async fn act(&mut self) {
        self.due = None;
        let digest = std::mem::take(&mut self.digest);
        if let Some((from, to)) = digest.renamed.clone() {
            self.tell(Notice::Renamed { from, to });
        }
        if digest.underlay {
            self.tell(Notice::Underlay);
        }
        if digest.look || digest.is_idle() {
            match self.reconcile(digest).await {
                Ok(outcome) => self.judge(outcome),
                Err(error) => {
                    self.tell(Notice::Trouble(error));
                    // What the events said is lost, so everything is read again.
                    (self.digest.look, self.digest.rescan) = (true, true);
                    self.due = Some(Instant::now() + RETRY);
                }
            }
        }
    }

    fn judge(&mut self, outcome: Outcome) {
        if outcome.conflicts != self.conflicts {
            self.conflicts.clone_from(&outcome.conflicts);
            self.tell(Notice::Conflicts(outcome.conflicts.clone()));
        }
        self.retry_unless_complete(&outcome);
        if !outcome.changes.is_empty() {
            self.repairs += 1;
            self.pace.repaired(Instant::now());
            self.tell(Notice::Repaired {
                changes: outcome.changes,
                total: self.repairs,
            });
        }
    }

    fn retry_unless_complete(&mut self, outcome: &Outcome) {
        let complaints: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
        if !outcome.settled || !complaints.is_empty() {
            self.due = Some(Instant::now() + RETRY);
            self.tell(Notice::Incomplete(complaints));
        }
    }

    async fn set(&mut self, desired: Desired) -> Result<Outcome, HostError> {
        desired.check()?;
        let wanted = desired.device.as_ref().map(|device| device.link.clone());
        if wanted != self.known.wanted {
            // Else the device is followed, whatever it is called by now.
            self.known.device = None;
        }
        self.known.wanted = wanted;
        self.known.marks = desired.marks.clone();
        self.desired = desired;
        let outcome = self.reconcile(Digest::default()).await?;
        self.conflicts.clone_from(&outcome.conflicts);
        self.retry_unless_complete(&outcome);
        Ok(outcome)
    }

    async fn stop(&mut self, ending: Ending) -> Result<Outcome, HostError> {
        match ending {
            Ending::Keep => Ok(Outcome::default()),
            Ending::Undo => self.set(Desired::nothing(self.known.marks.clone())).await,
        }
    }

    /// Works with the host on a blocking thread, and learns what the device is called now.
    async fn reconcile(&mut self, digest: Digest) -> Result<Outcome, HostError> {
        let Some(mut host) = self.host.take() else {
            return Err(HostError::Stopped);
        };
        let mut desired = self.desired.clone();
        let former = self.known.device.clone();
        let pinned = former.clone().map(|(index, _)| LinkId::Index(index));
        let work = tokio::task::spawn_blocking(move || {
            // By its number it is followed through a change of name; its successor is known by the name only.
            let pinned = pinned.filter(|link| host.find_device(link).is_some());
            if let (Some(device), Some(pinned)) = (&mut desired.device, pinned) {
                device.link = pinned;
            }
            let outcome = look(&mut host, &desired, &digest);
            let device = desired
                .device
                .as_ref()
                .and_then(|device| host.find_device(&device.link));
            (host, outcome, device)
        });
        let (host, outcome, device) = work.await.map_err(|_| HostError::Stopped)?;
        self.host = Some(host);
        if former.is_some()
            && former.as_ref().map(|(index, _)| index) != device.as_ref().map(|(index, _)| index)
        {
            self.tell(Notice::Gone);
        }
        self.known.device = device;
        outcome
    }

    /// A caller that does not listen must not stop the repairs.
    fn tell(&self, notice: Notice) {
        tracing::debug!(?notice, "host network");
        let _ = self.notices.try_send(notice);
    }
}

fn look(host: &mut Host, desired: &Desired, digest: &Digest) -> Result<Outcome, HostError> {
    if digest.rescan {
        host.rescan()?;
    } else {
        for link in &digest.rescan_links {
            host.rescan_link(*link)?;
        }
    }
    host.repair(desired)
}

/// How soon the next repair may be.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: Option<Instant>,
    pause: Duration,
}

impl Pace {
    fn next(&self, now: Instant) -> Instant {
        let soon = now + GATHER;
        self.last.map_or(soon, |last| soon.max(last + self.pause))
    }

    fn repaired(&mut self, now: Instant) {
        let calm = self
            .last
            .is_none_or(|last| now.duration_since(last) > FORGIVEN);
        self.pause = if calm {
            GATHER
        } else {
            (self.pause * 2).min(LONGEST_PAUSE)
        };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarrels_slow_down_and_are_forgiven() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            now = pace.next(now);
            pace.repaired(now);
            pauses.push(pace.pause);
        }
        assert!(
            pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE),
            "{pauses:?}"
        );
        assert_eq!(pauses[0], GATHER);
        now += FORGIVEN + LONGEST_PAUSE;
        pace.repaired(now);
        assert_eq!(pace.pause, GATHER);
    }
}
