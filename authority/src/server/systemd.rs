//! What systemd is told; without it, nobody is.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

use crate::http::App;

/// Requests are answered from now on.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// It ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Gives signs of life for as long as the database answers, if systemd wants any.
pub(super) async fn live(app: App) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut often = interval((patience / 3).max(Duration::from_millis(100)));
    loop {
        often.tick().await;
        match app.authority().audit_head().await {
            Ok(_) => notify(&[NotifyState::Watchdog]),
            Err(error) => {
                tracing::error!(%error, "no sign of life for systemd: the database does not answer")
            }
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Fails only where nobody listens.
    let _ = sd_notify::notify(states);
}
