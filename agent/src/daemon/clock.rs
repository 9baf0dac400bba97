//! The two clocks, and an alarm on the one that runs on while the host sleeps.

use std::io;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tidegate_core::{BootId, Now};
use tidegate_proto::UnixTime;
use tidegate_wg::Mono;
use tokio::io::unix::AsyncFd;

const SECOND: u64 = 1_000_000_000;

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
    #[expect(
        deprecated,
        reason = "the other way in is unsafe for types that may lie about their descriptor; an owned one does not"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self {
            timer: AsyncFd::new(timer)?,
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
        let spec = Itimerspec {
            it_interval: never,
            it_value: value,
        };
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
    use std::time::Duration;

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
