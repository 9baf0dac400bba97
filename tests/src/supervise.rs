//! Programs that clean up after themselves, however they end.

use std::env;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid};
use tempfile::TempDir;

/// Names the supervising process to the one that works.
const MARK: &str = "TIDEGATE_SUPERVISOR";
/// How long what ends by itself without the worker, as hosts of the lab do, has time to.
const GRACE: Duration = Duration::from_secs(2);
/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// What asks a program to end: Ctrl-C, a service manager, a terminal that is closed.
const ASKED: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Does `work` in a process of its own, and leaves nothing of it behind.
///
/// The program starts itself a second time to work, and watches: when the work has ended, when it is interrupted, when it
/// crashes, all that it started is ended too, and the one folder that all its files are in is removed. Only when that is
/// done does the program end, with the code of the work, or 128 and the number of the signal as shells do.
pub fn supervise(work: impl FnOnce() -> ExitCode) -> ExitCode {
    let outcome = match env::var(MARK) {
        Ok(supervisor) => obey(&supervisor).map(|()| work()),
        Err(_) => watch(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("cannot set up: {error}");
        ExitCode::FAILURE
    })
}

/// The worker ends with its supervisor. The mask goes back to what it was, since whatever is started here inherits it.
fn obey(supervisor: &str) -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if supervisor.parse() == Ok(getppid().as_raw()) {
        Ok(())
    } else {
        Err(io::Error::other("the supervisor has ended"))
    }
}

fn watch() -> io::Result<ExitCode> {
    let mut signals = asked();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    // Whatever loses its parent becomes our child, so that we know when all have ended.
    prctl::set_child_subreaper(true)?;
    let folder = TempDir::new()?;
    let mut worker = start(&folder)?;
    let code = await_end(&mut worker, &signals)?;
    end_all()?;
    folder.close()?;
    Ok(code)
}

fn asked() -> SigSet {
    ASKED.into_iter().collect()
}

fn start(folder: &TempDir) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(MARK, getpid().to_string())
        .env("TMPDIR", folder.path())
        // Ctrl-C is for the supervisor alone.
        .process_group(0)
        .spawn()
}

/// Waits until the worker has ended, or ends it when somebody asks to.
fn await_end(worker: &mut Child, signals: &SigSet) -> io::Result<ExitCode> {
    let id = Pid::from_raw(worker.id().cast_signed());
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {}
            signal => {
                eprintln!("\nInterrupted; cleaning up.");
                worker.kill()?;
                return Ok(ExitCode::from(128 + signal as u8));
            }
        }
        if let Some(code) = reap(id) {
            return Ok(code);
        }
    }
}

/// Reaps whatever has ended, and says how the worker did if it is among them.
fn reap(worker: Pid) -> Option<ExitCode> {
    let mut code = None;
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        match status {
            WaitStatus::Exited(id, said) if id == worker => {
                code = Some(ExitCode::from(u8::try_from(said).unwrap_or(1)));
            }
            WaitStatus::Signaled(id, ..) if id == worker => code = Some(ExitCode::FAILURE),
            WaitStatus::StillAlive => break,
            _ => {}
        }
    }
    code
}

/// Waits until there is no child any more, and ends those that go on: the children of a child that ends become ours.
fn end_all() -> io::Result<()> {
    let began = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) => continue,
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other("something that was started does not end"));
        }
        if began.elapsed() > GRACE {
            for child in children()? {
                let _ = kill(child, Signal::SIGKILL); // it may just have ended
            }
        }
        thread::sleep(PAUSE);
    }
}

/// Nobody but us reaps them, so their ids mean them.
fn children() -> io::Result<Vec<Pid>> {
    let own = getpid();
    let listed = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
    let ids = listed.split_whitespace().filter_map(|id| id.parse().ok());
    Ok(ids.map(Pid::from_raw).collect())
}
