//! What systemd is told; without it, nobody is.

use sd_notify::NotifyState;

/// The daemon can be spoken to.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// A line for `systemctl status`.
pub(super) fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// It ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The signs of life that systemd's watchdog wants, given by the loop itself: a loop that hangs is restarted.
pub(super) struct Pulse(Option<tokio::time::Interval>);

impl Pulse {
    /// Twice in the time that systemd has patience for, or never where it wants none.
    pub(super) fn new() -> Self {
        let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
        Self(patience.map(|patience| tokio::time::interval(patience / 2)))
    }

    /// Gives the next sign when it is due.
    pub(super) async fn beat(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
                notify(&[NotifyState::Watchdog]);
            }
            None => std::future::pending().await,
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Fails only where nobody listens.
    let _ = sd_notify::notify(states);
}
