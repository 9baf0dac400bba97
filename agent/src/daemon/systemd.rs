//! What systemd is told; without it, nobody is.

use std::time::Duration;

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

/// How often systemd wants a sign of life, if it does.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

/// A sign of life.
pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

fn notify(states: &[NotifyState<'_>]) {
    // Fails only where nobody listens.
    let _ = sd_notify::notify(states);
}
