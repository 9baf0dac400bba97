//! The two clocks, an alarm on the one that runs on while the host sleeps, and a watch over the one that people set.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tidegate_core::{BootId, Now};
use tidegate_proto::UnixTime;
use tidegate_wg::Mono;
use tokio::io::unix::AsyncFd;

const SECOND: u64 = 1_000_000_000;
/// A shorter sleep disturbs nothing.
const SLEPT: Duration = Duration::from_secs(2);

/// Both clocks at this moment.
pub(super) fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        boot: tidegate_wg_io::boottime(),
        unix: UnixTime::from_millis(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// Which boot this is.
pub(super) fn boot_id() -> io::Result<BootId> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BootId(id.trim().to_owned()))
}

/// Rings at an instant of the boot-time clock.
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set: Option<Mono>,
}

impl Alarm {
    /// An alarm that is not set.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            timer: timer(TimerfdClockId::Boottime)?,
            set: None,
        })
    }

    /// Sets it to another instant, or to none.
    pub(super) fn set(&mut self, at: Option<Mono>) -> io::Result<()> {
        if self.set == at {
            return Ok(());
        }
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = at.filter(|at| *at != Mono::NEVER).map_or(never, timespec);
        let spec = once(value);
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        self.set = at;
        Ok(())
    }

    /// Waits until it rings.
    pub(super) async fn ring(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(self.timer.get_ref(), &mut count) {
                Ok(_) => {
                    self.set = None;
                    return Ok(());
                }
                Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Notices that the wall clock was set, and that the host woke up: the kernel then cancels timers on that clock.
pub(super) struct WallWatch {
    timer: AsyncFd<OwnedFd>,
}

impl WallWatch {
    /// Watches from now on.
    pub(super) fn new() -> io::Result<Self> {
        let timer = timer(TimerfdClockId::Realtime)?;
        // Later than any time to which the clock can be set, so that it never rings by itself.
        let last = Timespec {
            tv_sec: i64::MAX / SECOND as i64,
            tv_nsec: 0,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(timer.get_ref(), flags, &once(last))?;
        Ok(Self { timer })
    }

    /// Waits until one of the two has happened.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            match rustix::io::read(self.timer.get_ref(), &mut [0; 8]) {
                Err(Errno::CANCELED) => return Ok(()),
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Notices how long the host slept: only one of its clocks runs on meanwhile.
pub(super) struct Sleep {
    ahead: Duration,
}

impl Sleep {
    pub(super) fn new() -> Self {
        Self { ahead: ahead() }
    }

    /// How long it slept since the last look, if that is worth a word.
    pub(super) fn since_last(&mut self) -> Option<Duration> {
        self.look(ahead())
    }

    fn look(&mut self, ahead: Duration) -> Option<Duration> {
        let slept = ahead.saturating_sub(std::mem::replace(&mut self.ahead, ahead));
        (slept >= SLEPT).then_some(slept)
    }
}

/// How far the boot-time clock is ahead of the one that stands still while the host sleeps.
fn ahead() -> Duration {
    let awake = clock_gettime(ClockId::Monotonic);
    let awake = Duration::try_from(awake).unwrap_or_default();
    Duration::from_nanos(tidegate_wg_io::boottime().0).saturating_sub(awake)
}

#[expect(
    deprecated,
    reason = "the other way in is unsafe for types that may lie about their descriptor; an owned one does not"
)]
fn timer(clock: TimerfdClockId) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    AsyncFd::new(timerfd_create(clock, flags)?)
}

fn once(at: Timespec) -> Itimerspec {
    let it_interval = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Itimerspec {
        it_interval,
        it_value: at,
    }
}

/// At zero the timer would be switched off, so the instant of boot counts as a moment later.
fn timespec(at: Mono) -> Timespec {
    let at = at.0.max(1);
    Timespec {
        tv_sec: i64::try_from(at / SECOND).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(at % SECOND).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::time::clock_settime;

    /// Sets the clock to what it shows, where that is permitted: a step of no time, which is a step all the same.
    #[tokio::test]
    async fn a_clock_that_is_set_is_noticed_at_once() {
        let mut watch = WallWatch::new().unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err(), "nobody has set it");
        if clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime)).is_err() {
            return; // it needs CAP_SYS_TIME
        }
        let changed = tokio::time::timeout(Duration::from_secs(5), watch.changed()).await;
        changed.unwrap().unwrap();
    }

    #[test]
    fn a_sleep_is_seen_once_and_a_short_one_not_at_all() {
        let ahead = Duration::from_secs(100);
        let mut sleep = Sleep { ahead };
        assert_eq!(sleep.look(ahead), None);
        assert_eq!(sleep.look(ahead + Duration::from_secs(1)), None);
        let slept = Duration::from_secs(3600);
        assert_eq!(
            sleep.look(ahead + Duration::from_secs(1) + slept),
            Some(slept)
        );
        assert_eq!(Sleep::new().since_last(), None);
    }

    #[tokio::test]
    async fn an_alarm_rings_when_it_is_due_and_once() {
        let mut alarm = Alarm::new().unwrap();
        let at = now().boot + Duration::from_millis(30);
        alarm.set(Some(at)).unwrap();
        alarm.ring().await.unwrap();
        assert!(now().boot >= at);
        let again = tokio::time::timeout(Duration::from_millis(50), alarm.ring()).await;
        assert!(again.is_err());
    }

    #[tokio::test]
    async fn an_instant_that_has_passed_rings_at_once() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(Mono(0))).unwrap();
        alarm.ring().await.unwrap();
    }
}
