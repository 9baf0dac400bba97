//! The bell that a control thread rings so that the data thread looks at its commands.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd, shared between the thread that waits and all those that ring.
#[derive(Clone, Debug)]
pub(crate) struct Wake(Arc<OwnedFd>);

impl Wake {
    pub(crate) fn new() -> std::io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(fd)))
    }

    /// Makes the descriptor readable. Ringing twice before it is heard is the same as once.
    pub(crate) fn ring(&self) {
        // The only possible refusal is a counter at its maximum: readable already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Silences the bell, so that it can be rung again.
    pub(crate) fn hear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_ringing(wake: &Wake) -> bool {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(wake, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn rings_until_heard() {
        let wake = Wake::new().unwrap();
        assert!(!is_ringing(&wake));
        let other = wake.clone();
        other.ring();
        other.ring();
        assert!(is_ringing(&wake));
        wake.hear();
        assert!(!is_ringing(&wake));
    }
}
