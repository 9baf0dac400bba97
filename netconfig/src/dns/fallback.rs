//! What the root helper does where systemd-resolved is not in charge.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::block;
use super::domain::Domain;
use super::facts::{Mechanism, Resolvconf};
use super::observe::{self, RESOLV_CONF};
use super::program::{Bench, ProgramError};
use super::redirect;
use super::resolv_conf::{self, Edited, ResolvConfError};
use super::resolvconf;
use super::wish::{WishError, check_resolver};
use crate::desired::LinkName;
use crate::journal::{Journal, JournalError, Step};

/// Why names could not be configured or put back.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FallbackError {
    /// The resolver's address cannot be used.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// The link's name cannot be used in a firewall rule.
    #[error(
        "the name of link {0} cannot be used in nftables; nothing was changed: give the interface a name of letters, digits, dots and dashes"
    )]
    Link(LinkName),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The file could not be edited.
    #[error(transparent)]
    File(#[from] ResolvConfError),
    /// `resolvconf` has the record and does not use it.
    #[error(
        "resolvconf does not list {0} in /etc/resolv.conf, as it does when a local resolver comes first; DNS is unchanged: configure the domain in that resolver"
    )]
    NotTaken(IpAddr),
    /// Something is left to undo.
    #[error("{first}{}; what is left is in the journal: run tidegate-dns down again", and_more(*others))]
    Left {
        /// The first reason.
        first: Box<Self>,
        /// How many more there are.
        others: usize,
    },
}

fn and_more(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The names are asked at our resolver.
    Up(Mechanism),
    /// systemd-resolved is in charge, so the agent configures it; what we had made before is undone.
    LeftToResolved,
}

/// How one change is undone.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case", deny_unknown_fields)]
enum Undo {
    /// Remove the redirect's table.
    Redirect,
    /// Take the record back from `resolvconf`.
    Record,
    /// Take these lines out of `/etc/resolv.conf`.
    Block {
        /// The lines.
        lines: String,
        /// Whether the file is ours altogether.
        created: bool,
    },
}

impl Step for Undo {
    fn key(&self) -> String {
        match self {
            Self::Redirect => "redirect".to_owned(),
            Self::Record => "record".to_owned(),
            Self::Block { lines, .. } => format!("block {lines}"),
        }
    }
}

/// The names of one link, configured without systemd-resolved. It takes root.
pub struct Fallback {
    link: LinkName,
    table: String,
    bench: Bench,
    journal: Journal<Undo>,
}

/// What a journal's file is called, after the link's name.
const JOURNAL: &str = ".journal";

impl Fallback {
    /// The links of which the state directory knows something.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn links(state: &Path) -> Result<BTreeSet<LinkName>, FallbackError> {
        let names = Bench::open(state)?.files()?;
        let links = names.iter().filter_map(|name| name.strip_suffix(JOURNAL));
        Ok(links.filter_map(|link| LinkName::new(link).ok()).collect())
    }

    /// Takes up what the state directory says about this link.
    ///
    /// # Errors
    /// When the directory cannot be used or another process works on this link.
    pub fn open(state: &Path, link: LinkName) -> Result<Self, FallbackError> {
        let table = redirect::table(&link).ok_or_else(|| FallbackError::Link(link.clone()))?;
        let bench = Bench::open(state)?;
        let journal = Journal::open(bench.directory(), &format!("{link}{JOURNAL}"))?;
        Ok(Self {
            link,
            table,
            bench,
            journal,
        })
    }

    /// Has names asked at `resolver`, by the mechanism that [`choose`](super::choose) picked. Doing it again changes nothing.
    ///
    /// # Errors
    /// When it cannot be done; then what was done is undone.
    pub fn up(
        &mut self,
        mechanism: Mechanism,
        domain: &Domain,
        resolver: SocketAddr,
    ) -> Result<Outcome, FallbackError> {
        check_resolver(resolver)?;
        if mechanism == Mechanism::Resolved {
            self.down()?;
            return Ok(Outcome::LeftToResolved);
        }
        let wanted = self.steps(mechanism, domain, resolver.ip())?;
        self.undo_all_but(&wanted)?;
        // Once more: with an older block the file may have gone.
        let steps = self.steps(mechanism, domain, resolver.ip())?;
        match self.apply(mechanism, &steps, resolver) {
            Ok(()) => Ok(Outcome::Up(mechanism)),
            Err(error) => Err(self.withdraw(error)),
        }
    }

    /// Puts everything back that [`Fallback::up`] changed, also in an earlier run that was killed.
    ///
    /// # Errors
    /// When something cannot be put back now; the journal keeps it.
    pub fn down(&mut self) -> Result<(), FallbackError> {
        self.undo_all_but(&[])
    }

    fn apply(
        &mut self,
        mechanism: Mechanism,
        steps: &[Undo],
        resolver: SocketAddr,
    ) -> Result<(), FallbackError> {
        self.journal.record(steps.iter().cloned())?;
        redirect::apply(&mut self.bench, &self.table, resolver)?;
        self.journal.changed();
        if let Mechanism::Resolvconf(kind) = mechanism {
            self.hand_in(kind, resolver.ip())?;
        }
        for step in steps {
            if let Undo::Block { lines, .. } = step {
                put_block(lines)?;
            }
        }
        self.journal.changed();
        Ok(())
    }

    /// Undoes what was done before an error, which stays the reason.
    fn withdraw(&mut self, error: FallbackError) -> FallbackError {
        match self.down() {
            Ok(()) => error,
            Err(FallbackError::Left { others, .. }) => FallbackError::Left {
                first: Box::new(error),
                others: others + 1,
            },
            Err(_) => FallbackError::Left {
                first: Box::new(error),
                others: 1,
            },
        }
    }

    fn hand_in(&mut self, kind: Resolvconf, resolver: IpAddr) -> Result<(), FallbackError> {
        resolvconf::apply(
            &mut self.bench,
            kind,
            &resolvconf::record(&self.link),
            resolver,
        )?;
        let content = resolv_conf::read(Path::new(RESOLV_CONF))?.unwrap_or_default();
        if block::names_server(&content, resolver) {
            Ok(())
        } else {
            Err(FallbackError::NotTaken(resolver))
        }
    }

    fn steps(
        &self,
        mechanism: Mechanism,
        domain: &Domain,
        resolver: IpAddr,
    ) -> Result<Vec<Undo>, FallbackError> {
        let second = match mechanism {
            Mechanism::Resolvconf(_) => Undo::Record,
            _ => Undo::Block {
                lines: block::block(&self.link, domain, resolver),
                created: resolv_conf::read(Path::new(RESOLV_CONF))?.is_none(),
            },
        };
        Ok(vec![Undo::Redirect, second])
    }

    /// Undoes what is pending, newest first, except what stays wanted.
    fn undo_all_but(&mut self, wanted: &[Undo]) -> Result<(), FallbackError> {
        let wanted: Vec<String> = wanted.iter().map(Step::key).collect();
        let pending: Vec<Undo> = self.journal.pending().iter().rev().cloned().collect();
        let mut errors = Vec::new();
        for step in pending {
            if wanted.contains(&step.key()) {
                continue;
            }
            match self.undo(&step) {
                Ok(()) => {
                    self.journal.changed();
                    self.journal.forget([step.key().as_str()])?;
                }
                Err(error) => errors.push(error),
            }
        }
        let others = errors.len().saturating_sub(1);
        match errors.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(FallbackError::Left {
                first: Box::new(first),
                others,
            }),
        }
    }

    fn undo(&mut self, step: &Undo) -> Result<(), FallbackError> {
        match step {
            Undo::Redirect => redirect::undo(&mut self.bench, &self.table)?,
            Undo::Record => {
                let record = resolvconf::record(&self.link);
                resolvconf::undo(&mut self.bench, observe::resolvconf(), &record)?;
            }
            Undo::Block { lines, created } => take_block(lines, *created)?,
        }
        Ok(())
    }
}

fn put_block(lines: &str) -> Result<(), ResolvConfError> {
    let path = Path::new(RESOLV_CONF);
    resolv_conf::edit(path, |content| {
        let with = block::insert(content.unwrap_or_default(), lines);
        if content == Some(with.as_slice()) {
            Edited::Same
        } else {
            Edited::Content(with)
        }
    })
}

fn take_block(lines: &str, created: bool) -> Result<(), ResolvConfError> {
    let path = Path::new(RESOLV_CONF);
    resolv_conf::tidy(path)?;
    if std::fs::symlink_metadata(path).is_ok_and(|data| !data.is_file()) {
        // Somebody put something else there, so our lines are gone.
        return Ok(());
    }
    resolv_conf::edit(path, |content| {
        let Some(content) = content else {
            return Edited::Same;
        };
        let without = block::remove(content, lines);
        if without.len() == content.len() {
            Edited::Same
        } else if created && without.is_empty() {
            Edited::Gone
        } else {
            Edited::Content(without)
        }
    })
}
