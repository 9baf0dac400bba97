//! Carries notices out of the data thread without ever waiting for whoever reads them.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};

use crate::notice::{Notice, StopReason};

/// Notices that may wait to be read.
const NOTICES: usize = 1024;

/// The sending side. The last notice has a place reserved from the start.
pub(crate) struct Herald {
    sender: Sender<Notice>,
    last: Option<OwnedPermit<Notice>>,
    lost: bool,
}

impl Herald {
    pub(crate) fn new() -> (Self, Receiver<Notice>) {
        let (sender, receiver) = channel(NOTICES);
        let last = sender.clone().try_reserve_owned().ok();
        let herald = Self {
            sender,
            last,
            lost: false,
        };
        (herald, receiver)
    }

    /// Tells, or notes that something was lost.
    pub(crate) fn tell(&mut self, notice: Notice) {
        if self.lost {
            self.lost = self.is_full(Notice::Lost);
        }
        if self.lost || self.is_full(notice) {
            self.lost = true;
        }
    }

    /// Tells the last thing.
    pub(crate) fn finish(&mut self, reason: StopReason) {
        if let Some(place) = self.last.take() {
            place.send(Notice::Stopped(reason));
        }
    }

    fn is_full(&self, notice: Notice) -> bool {
        // Nobody reads any more: nothing is lost that anybody wants.
        matches!(self.sender.try_send(notice), Err(TrySendError::Full(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_wg::{Epoch, Event};

    fn event(number: u64) -> Notice {
        let epoch = Epoch(number);
        Notice::Engine(Event::Expired { epoch })
    }

    #[test]
    fn a_reader_that_is_behind_learns_that_it_missed_something() {
        let (mut herald, mut reader) = Herald::new();
        for number in 0..NOTICES as u64 + 10 {
            herald.tell(event(number));
        }
        while reader.try_recv().is_ok() {}
        herald.tell(event(7));
        assert!(matches!(reader.try_recv(), Ok(Notice::Lost)));
        assert!(matches!(
            reader.try_recv(),
            Ok(Notice::Engine(Event::Expired { epoch: Epoch(7) }))
        ));
        assert!(reader.try_recv().is_err());
    }

    #[test]
    fn the_end_is_told_even_to_a_full_channel() {
        let (mut herald, mut reader) = Herald::new();
        for number in 0..NOTICES as u64 * 2 {
            herald.tell(event(number));
        }
        herald.finish(StopReason::Asked);
        drop(herald);
        let mut last = None;
        while let Some(notice) = reader.blocking_recv() {
            last = Some(notice);
        }
        assert!(matches!(last, Some(Notice::Stopped(StopReason::Asked))));
    }
}
