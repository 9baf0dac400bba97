//! SIGKILL at every step.

use crate::site::{BEFORE, DOWN, HELPER, Site, UP};

/// The system calls that change something, or start or await something that does.
const STEPS: [&str; 17] = [
    "write",
    "ftruncate",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "fchmod",
    "fchown",
    "mkdir",
    "flock",
    "clone",
    "clone3",
    "vfork",
    "wait4",
    "waitid",
];

/// Kills the helper at the `nth` such call. False when it ended before.
fn killed_at(site: &Site, call: &str, nth: usize, words: &str) -> bool {
    let kill = format!("inject={call}:signal=KILL:when={nth}");
    let traced = [
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "signal=none",
        "-e",
        &kill,
        HELPER,
    ];
    let command = site.node.command("strace").args(traced);
    let output = command.args(words.split(' ')).output().unwrap();
    match output.status.code() {
        Some(0) => false,
        None | Some(137) => true,
        other => panic!("{call} {nth} of {words}: {other:?} {}", output.stderr),
    }
}

/// Kills the helper at each of these calls in turn, and returns how many times it was killed.
fn killed_at_each(site: &Site, call: &str, words: &str, before: &str, after: &str) -> usize {
    for nth in 1..500 {
        if words == DOWN {
            site.up();
        }
        let killed = killed_at(site, call, nth, words);
        let (content, at) = (site.content(), format!("{call} {nth} of {words}"));
        assert!(
            content == BEFORE || content == after,
            "{at} left {content:?}"
        );
        // What follows a crash is a start as often as a stop.
        if nth % 2 == 0 {
            site.up();
            assert_eq!(site.content(), after, "{at}");
        }
        site.down();
        assert_eq!(site.state(), before, "{at}");
        if !killed {
            return nth - 1;
        }
    }
    panic!("{words} calls {call} without end");
}

#[test]
fn killed_at_any_step_it_leaves_before_or_after_and_the_next_run_puts_all_back() {
    let site = Site::new();
    let before = site.state();
    site.up();
    let after = site.content();
    site.down();
    for words in [UP, DOWN] {
        let deaths: Vec<_> = STEPS
            .iter()
            .map(|call| (call, killed_at_each(&site, call, words, &before, &after)))
            .filter(|(_, deaths)| *deaths > 0)
            .collect();
        println!("{words}: killed at {deaths:?}");
        assert!(deaths.len() >= 6, "{words}: killed only at {deaths:?}");
    }
}
