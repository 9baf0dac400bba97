//! Wishes of the user that are carried out, and answered once a restart would remember them.

use std::collections::BTreeMap;

use tidegate_core::{FileName, Input, Store, Token};
use tokio::sync::oneshot;

use crate::exit::Exit;
use crate::local::{Refusal, Reply};

type Answers = Vec<oneshot::Sender<Reply>>;

/// Who waits for an answer.
#[derive(Default)]
pub(super) struct Wishes {
    /// Whose wish goes into the next file.
    new: Answers,
    writing: BTreeMap<Token, Answers>,
}

impl Wishes {
    /// A wish that core is about to be told.
    pub(super) fn add(&mut self, answer: oneshot::Sender<Reply>) {
        self.new.push(answer);
    }

    /// A file is on its way to the disk.
    pub(super) fn handed_in(&mut self, file: &Store) {
        if file.name == FileName::Recent && !self.new.is_empty() {
            let answers = std::mem::take(&mut self.new);
            self.writing.insert(file.token, answers);
        }
    }

    /// Answers those whose file this is about.
    pub(super) fn hear(&mut self, input: &Input) {
        let (token, reply) = match input {
            Input::Stored(token) => (token, Reply::Done),
            Input::NotStored(token) => (token, Reply::Refused(forgotten())),
            _ => return,
        };
        for answer in self.writing.remove(token).into_iter().flatten() {
            let _ = answer.send(reply.clone()); // whoever asked has gone
        }
    }
}

fn forgotten() -> Refusal {
    let message = "it is done, but could not be written, so that a restart would not know of it; see whether the disk is full, and say it again";
    Refusal::new(Exit::Storage, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn file(token: u64, name: FileName) -> Store {
        let (token, bytes) = (Token(token), Arc::default());
        Store { token, name, bytes }
    }

    #[test]
    fn a_wish_is_answered_when_its_own_file_is_on_the_disk_or_cannot_get_there() {
        let mut wishes = Wishes::default();
        let (answer, mut answered) = oneshot::channel();
        wishes.add(answer);
        wishes.handed_in(&file(1, FileName::Floors));
        wishes.handed_in(&file(2, FileName::Recent));
        let (answer, mut answered_later) = oneshot::channel();
        wishes.add(answer);
        wishes.handed_in(&file(3, FileName::Recent));
        wishes.hear(&Input::Stored(Token(1)));
        assert!(answered.try_recv().is_err(), "another file");
        wishes.hear(&Input::Stored(Token(2)));
        assert_eq!(answered.try_recv(), Ok(Reply::Done));
        assert!(answered_later.try_recv().is_err());
        wishes.hear(&Input::NotStored(Token(3)));
        let reply = answered_later.try_recv();
        assert_eq!(reply, Ok(Reply::Refused(forgotten())));
    }
}
