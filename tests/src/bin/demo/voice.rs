//! What a person reads.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How often the seconds of a step are shown anew.
const TICK: Duration = Duration::from_millis(200);
/// Where the seconds of a step stand.
const WIDTH: usize = 66;

/// Speaks on standard output, or on standard error where that is needed for something else. In colour, and with seconds
/// that pass, only on a terminal.
pub(crate) struct Voice {
    aside: bool,
    terminal: bool,
    coloured: bool,
}

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Dim,
    Green,
}

impl Voice {
    pub(crate) fn new(aside: bool) -> Self {
        let terminal = if aside {
            io::stderr().is_terminal()
        } else {
            io::stdout().is_terminal()
        };
        let coloured = terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Self {
            aside,
            terminal,
            coloured,
        }
    }

    /// A line of its own.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// Something new begins.
    pub(crate) fn act(&self, title: &str) -> Result<()> {
        self.say(&format!("\n{}", self.styled(Style::Bold, title)))
    }

    /// A remark on what is shown.
    pub(crate) fn note(&self, text: &str) -> Result<()> {
        self.say(&format!("  {text}"))
    }

    /// A command on a host, as a person would type it, and what it prints.
    pub(crate) fn command(&self, host: &str, line: &str, printed: &str) -> Result<()> {
        self.note(&self.styled(Style::Bold, &format!("{host}$ {line}")))?;
        for line in printed.lines() {
            self.say(&self.styled(Style::Dim, &format!("    {line}")))?;
        }
        Ok(())
    }

    /// Does something that takes a while, and says so meanwhile.
    pub(crate) fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let done = if self.terminal {
            self.ticking(what, began, work)
        } else {
            work()
        };
        let done = done?;
        let mark = self.styled(Style::Green, "✓");
        let took = self.styled(Style::Dim, &seconds(began));
        self.say(&format!("  {mark} {what:WIDTH$}{took}"))?;
        Ok(done)
    }

    fn ticking<T>(
        &self,
        what: &str,
        began: Instant,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (working, ended) = mpsc::channel::<()>();
        let done = thread::scope(|scope| {
            scope.spawn(move || {
                let tick = || {
                    let line = format!("\r  · {what:WIDTH$}{}", seconds(began));
                    self.write(&line).is_ok()
                        && ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout)
                };
                while tick() {}
            });
            let done = work();
            drop(working);
            done
        });
        self.write("\r\u{1b}[K")?;
        done
    }

    fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
        };
        if self.coloured {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// An error is that nobody reads any more, which ends the demo.
    fn write(&self, text: &str) -> Result<()> {
        let write = |out: &mut dyn Write| out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if self.aside {
            write(&mut io::stderr())?;
        } else {
            write(&mut io::stdout())?;
        }
        Ok(())
    }
}

fn seconds(since: Instant) -> String {
    format!("{:5.1} s", since.elapsed().as_secs_f64())
}
