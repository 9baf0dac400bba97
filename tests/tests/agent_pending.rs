//! A node that waits for an operator, under systemd's watchdog and with an authority that has fallen silent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use tidegate_tests::overlay::{Node, Overlay, Underlay};

/// The watchdog's patience. The daemon gives a sign of life twice in it.
const WATCHDOG: Duration = Duration::from_secs(2);
/// What a person would call at once; the authority is waited for much longer.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Waits for signs of life, none of which may be too late for systemd.
fn signs_of_life(notified: &UnixDatagram, wanted: usize) {
    notified.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut seen = 0;
    let mut last = Instant::now();
    let mut message = [0; 1024];
    while seen < wanted {
        let length = notified.recv(&mut message).unwrap();
        if message[..length].starts_with(b"WATCHDOG=1") {
            assert!(last.elapsed() < WATCHDOG, "systemd would have killed it");
            (seen, last) = (seen + 1, Instant::now());
        }
    }
}

/// Does something that must not wait for the authority.
fn at_once<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = action();
    assert!(start.elapsed() < AT_ONCE, "{what}: {:?}", start.elapsed());
    done
}

fn answers(node: &Node) {
    let waiting = at_once("status", || node.try_cli(["status"]).unwrap());
    assert_eq!(waiting.code, Some(15), "{waiting:?}");
}

#[test]
fn it_gives_signs_of_life_and_hears_its_owner_while_the_authority_is_silent() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let mut a = overlay.host("a").unwrap();
    a.ask(&overlay.genesis(), &[]).unwrap();
    let path = overlay.folder().join("notify");
    let notified = UnixDatagram::bind(&path).unwrap();
    a.set_environment("NOTIFY_SOCKET", path);
    a.set_environment("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    a.spawn_pending().unwrap();
    signs_of_life(&notified, 2);

    overlay.cut_off(&a).unwrap();
    signs_of_life(&notified, 4); // by now it has asked, and waits
    answers(&a);
    at_once("SIGTERM", || a.stop().unwrap());

    a.spawn_pending().unwrap();
    answers(&a);
    at_once("leave", || a.cli(["leave"]).unwrap());
}
