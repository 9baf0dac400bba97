//! The namespaces of one host, and the process that holds them.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::{
        fd::OwnedFd,
        unix::{fs::FileExt, process::CommandExt},
    },
    panic,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{LabError, wait_until};

const FURNISH: &str = include_str!("furnish.sh");
const GRACE: Duration = Duration::from_secs(5);

/// A network, mount, process and host name namespace, and all that runs in it.
///
/// The namespaces have no name anywhere. They exist through their first process, which ends when its standard
/// input is closed: by [`Space::close`], or by the kernel when this process dies in whatever way.
pub(crate) struct Space {
    name: String,
    id: u32,
    holder: Mutex<Option<Holder>>,
    children: Mutex<Vec<Weak<Mutex<Child>>>>,
}

struct Holder {
    first: Child,
    /// Refers to the first process without keeping its namespaces alive.
    pidfd: Arc<OwnedFd>,
    lifeline: ChildStdin,
}

/// Which namespaces to enter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth {
    /// Only the network: the machine's own files and process ids.
    Network,
    /// Network, mounts and host name. Threads can be started there.
    Files,
    /// Everything. Only processes can be started there, no threads.
    All,
}

impl Space {
    pub(crate) fn new(name: &str) -> Result<Self, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let log = tempfile::tempfile().map_err(LabError::os("create a log file"))?;
        let holder = apart(|| Holder::start(name, &log))?;
        let id = holder.first.id();
        let space = Self {
            name: name.to_owned(),
            id,
            holder: Mutex::new(Some(holder)),
            children: Mutex::default(),
        };
        space.await_ready(&log)?;
        Ok(space)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id of the first process, as the machine sees it.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    fn await_ready(&self, log: &File) -> Result<(), LabError> {
        let stdout = locked(&self.holder)
            .as_mut()
            .and_then(|holder| holder.first.stdout.take());
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(LabError::os("read the set-up's answer"))?;
        }
        if line.trim() == "ready" {
            return Ok(());
        }
        Err(LabError::Setup {
            host: self.name.clone(),
            log: text(log),
        })
    }

    /// Runs `work` on a fresh thread inside the namespaces; a panic in it goes on in the caller.
    pub(crate) fn enter<T: Send>(
        &self,
        depth: Depth,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, LabError> {
        let pidfd = match locked(&self.holder).as_ref() {
            Some(holder) => Arc::clone(&holder.pidfd),
            None => return Err(LabError::Gone(self.name.clone())),
        };
        apart(|| {
            // Entering a mount namespace needs a working directory that no other thread shares.
            unshare(CloneFlags::CLONE_FS).map_err(LabError::os("unshare the working directory"))?;
            setns(&*pidfd, depth.flags())
                .map_err(LabError::os(format!("enter host {:?}", self.name)))?;
            Ok(work())
        })
    }

    /// Starts a process inside, which will be killed and reaped at the latest when the space closes.
    pub(crate) fn start(
        &self,
        depth: Depth,
        mut command: Command,
    ) -> Result<Arc<Mutex<Child>>, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = self
            .enter(depth, move || command.process_group(0).spawn())?
            .map_err(|error| {
                if error.kind() == std::io::ErrorKind::NotFound {
                    return LabError::MissingProgram(program.clone());
                }
                LabError::os(format!("start {program:?}"))(error)
            })?;
        let child = Arc::new(Mutex::new(child));
        let mut children = locked(&self.children);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child));
        Ok(child)
    }

    /// Ends everything inside and waits until it is gone.
    pub(crate) fn close(&self) {
        let Some(mut holder) = locked(&self.holder).take() else {
            return;
        };
        drop(holder.lifeline);
        // The kernel keeps the first process until every other one is reaped, and ours are ours to reap.
        for child in locked(&self.children)
            .drain(..)
            .filter_map(|child| child.upgrade())
        {
            let mut child = locked(&child);
            let _ = child.kill();
            let _ = child.wait();
        }
        // It has a last thing to do, and then ends by itself.
        let ended = || !matches!(holder.first.try_wait(), Ok(None));
        let _ = wait_until(GRACE, "the first process to end", ended);
        let _ = holder.first.kill();
        let _ = holder.first.wait();
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.close();
    }
}

impl Holder {
    /// Makes new namespaces for the calling thread and starts their first process.
    fn start(name: &str, log: &File) -> Result<Self, LabError> {
        unshare(
            CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWUTS,
        )
        .map_err(LabError::os("make namespaces"))?;
        let log = log.try_clone().map_err(LabError::os("share a log file"))?;
        let mut first = Command::new("/bin/sh")
            .args(["-c", FURNISH, "lab-host", name])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(LabError::os("start a host's first process"))?;
        let pidfd = pidfd_open(Pid::from_child(&first), PidfdFlags::empty());
        let pidfd = Arc::new(pidfd.map_err(LabError::os("refer to a host's first process"))?);
        let lifeline = first
            .stdin
            .take()
            .ok_or_else(|| LabError::Gone(name.to_owned()))?;
        Ok(Self {
            first,
            pidfd,
            lifeline,
        })
    }
}

impl Depth {
    fn flags(self) -> CloneFlags {
        match self {
            Self::Network => CloneFlags::CLONE_NEWNET,
            Self::Files => {
                CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS
            }
            Self::All => Self::Files.flags() | CloneFlags::CLONE_NEWPID,
        }
    }
}

/// Runs `work` on a thread of its own, because namespaces belong to threads and there is no way back.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Locks, also when another thread panicked while it held the lock: nothing here is left half changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that was written to an unnamed file, without moving the writers' position.
pub(crate) fn bytes(file: &File) -> Vec<u8> {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Like [`bytes`], as text.
pub(crate) fn text(file: &File) -> String {
    String::from_utf8_lossy(&bytes(file)).into_owned()
}
