use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note(String, u32);

impl Step for Note {
    fn key(&self) -> String {
        self.0.clone()
    }
}

fn note(key: &str, value: u32) -> Note {
    Note(key.to_owned(), value)
}

fn steps(journal: &Journal<Note>) -> Vec<Note> {
    journal.pending().iter().cloned().collect()
}

#[test]
fn what_was_recorded_is_pending_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), "j").unwrap();
    journal.record([note("a", 1), note("b", 2)]).unwrap();
    journal.record([note("a", 9)]).unwrap();
    journal.forget(["b"]).unwrap();
    drop(journal);
    let journal = Journal::<Note>::open(directory.path(), "j").unwrap();
    assert_eq!(steps(&journal), [note("a", 1)]);
}

#[test]
fn a_torn_tail_is_cut_off_before_the_next_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), "j").unwrap();
    journal.record([note("a", 1)]).unwrap();
    drop(journal);
    let path = directory.path().join("j");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"00000000 +[\"b")
        .unwrap();
    let mut journal = Journal::open(directory.path(), "j").unwrap();
    journal.record([note("c", 3)]).unwrap();
    drop(journal);
    let journal = Journal::<Note>::open(directory.path(), "j").unwrap();
    assert_eq!(steps(&journal), [note("a", 1), note("c", 3)]);
    assert!(journal.damaged().is_empty());
}

#[test]
fn only_one_process_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let _held = Journal::<Note>::open(directory.path(), "j").unwrap();
    let second = Journal::<Note>::open(directory.path(), "j").err().unwrap();
    assert_eq!(second, JournalError::Busy(directory.path().join("j.lock")));
}

#[test]
fn replay_goes_backwards_and_keeps_what_failed() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), "j").unwrap();
    journal
        .record([note("a", 1), note("b", 2), note("c", 3)])
        .unwrap();
    let mut seen = Vec::new();
    let errors = journal.replay(|step| {
        seen.push(step.1);
        if step.1 == 2 { Err("no") } else { Ok(()) }
    });
    assert_eq!((seen, errors.unwrap()), (vec![3, 2, 1], vec!["no"]));
    assert_eq!(steps(&journal), [note("b", 2)]);
}

#[test]
fn years_of_use_do_not_grow_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), "j").unwrap();
    let long = "x".repeat(60_000);
    journal.record([note("stays", 0)]).unwrap();
    for round in 0..20 {
        journal.record([note(&long, round)]).unwrap();
        journal.forget([long.as_str()]).unwrap();
    }
    assert!(directory.path().join("j").metadata().unwrap().len() < 2 * COMPACT_ABOVE);
    drop(journal);
    assert_eq!(
        steps(&Journal::open(directory.path(), "j").unwrap()),
        [note("stays", 0)]
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_before_any_change() {
    let error = Journal::<Note>::open(Path::new("/proc/self"), "j")
        .err()
        .unwrap();
    assert!(
        matches!(error, JournalError::Io { what: "open", .. }),
        "{error}"
    );
}
