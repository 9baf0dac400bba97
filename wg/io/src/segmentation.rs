//! Whether UDP segmentation offload may be used on a socket.
//!
//! The kernel refuses a segmented send for two kinds of reason that look alike: the device below cannot do
//! it, or this one path is too small for the segments. The first is answered by not asking again for a
//! while, the second by sending that batch one by one.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tidegate_wg::Mono;

/// Refusals in a row, with no success between them, that mean the device and not a path.
const REFUSALS: u32 = 8;
/// How long to go without before asking again: devices and routes change.
const PAUSE: Duration = Duration::from_secs(600);

/// The state of one socket's segmentation offload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Segmentation {
    /// In use, with this many refusals since the last success.
    On { refusals: u32 },
    /// Refused by the device; tried again at this boot time.
    Paused { until: Mono },
    /// Not offered by the kernel, or not wanted.
    Unsupported,
}

impl Segmentation {
    pub(crate) fn on() -> Self {
        Self::On { refusals: 0 }
    }

    pub(crate) fn unsupported() -> Self {
        Self::Unsupported
    }

    pub(crate) fn is_on(self) -> bool {
        matches!(self, Self::On { .. })
    }

    #[inline]
    pub(crate) fn may_be_used(&mut self, boot: Mono) -> bool {
        match *self {
            Self::On { .. } => true,
            Self::Unsupported => false,
            Self::Paused { until } if boot < until => false,
            Self::Paused { .. } => {
                *self = Self::on();
                true
            }
        }
    }

    /// Judges a segmented send; true where its datagrams have to be sent one by one.
    #[inline]
    pub(crate) fn judge(&mut self, sent: &io::Result<()>, boot: Mono) -> bool {
        let Err(error) = sent else {
            *self = Self::on();
            return false;
        };
        match Errno::from_io_error(error) {
            Some(Errno::IO) => self.refused(REFUSALS, boot, error),
            Some(Errno::INVAL | Errno::MSGSIZE | Errno::OPNOTSUPP) => self.refused(1, boot, error),
            _ => return false,
        }
        true
    }

    #[cold]
    fn refused(&mut self, weight: u32, boot: Mono, error: &io::Error) {
        let Self::On { refusals } = self else { return };
        *refusals = refusals.saturating_add(weight);
        if *refusals >= REFUSALS {
            let until = boot + PAUSE;
            tracing::warn!(%error, "UDP segmentation refused, sending datagrams one by one");
            *self = Self::Paused { until };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(1_000_000_000_000);

    fn refusal(errno: Errno) -> io::Result<()> {
        Err(errno.into())
    }

    #[test]
    fn a_device_that_cannot_is_left_alone_for_a_while() {
        let mut state = Segmentation::on();
        assert!(state.judge(&refusal(Errno::IO), NOW));
        assert!(!state.may_be_used(NOW));
        assert!(!state.may_be_used(NOW + PAUSE - Duration::from_millis(1)));
        assert!(state.may_be_used(NOW + PAUSE));
    }

    #[test]
    fn one_small_path_does_not_end_it_for_others() {
        let mut state = Segmentation::on();
        for _ in 0..100 {
            assert!(state.judge(&refusal(Errno::MSGSIZE), NOW));
            assert!(state.may_be_used(NOW));
            assert!(!state.judge(&Ok(()), NOW));
        }
    }

    #[test]
    fn refusals_without_a_success_end_it() {
        let mut state = Segmentation::on();
        for _ in 0..REFUSALS {
            assert!(state.may_be_used(NOW));
            assert!(state.judge(&refusal(Errno::INVAL), NOW));
        }
        assert!(!state.may_be_used(NOW));
    }

    #[test]
    fn an_unreachable_peer_says_nothing_about_segmentation() {
        let mut state = Segmentation::on();
        for _ in 0..100 {
            assert!(!state.judge(&refusal(Errno::NETUNREACH), NOW));
        }
        assert_eq!(state, Segmentation::on());
    }
}
