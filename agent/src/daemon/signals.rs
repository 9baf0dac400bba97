//! Signals: end, and read the configuration again.

use tokio::signal::unix::{SignalKind, signal};

use super::inbox::{Inbox, Message};

/// Listens for SIGTERM, SIGINT and SIGHUP from now on.
pub(super) fn listen(inbox: Inbox) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let message = tokio::select! {
                _ = terminate.recv() => Message::Stop,
                _ = interrupt.recv() => Message::Stop,
                _ = hangup.recv() => Message::Reload,
            };
            if inbox.send(message).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}
