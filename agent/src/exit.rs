//! Exit codes: what a script can tell apart. The table is in `tidegate --help`.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum Exit {
    /// Done; for `status`: data flows.
    #[default]
    Done = 0,
    /// Failed for a reason that has no code of its own; for `status`: something is still to come before data flows.
    Failed = 1,
    /// A command line that makes no sense.
    Usage = 2,
    /// The authority refused.
    Refused = 3,
    /// The authority cannot be reached, or what answers is not the one that is trusted.
    Unreachable = 4,
    /// A wait ended without what was waited for; a peer does not answer.
    NoAnswer = 5,
    /// This host has joined no network.
    NotJoined = 6,
    /// Something of that kind is there already: a membership, another daemon, an interface.
    Taken = 7,
    /// A right, a capability or a device is missing.
    Rights = 8,
    /// The daemon does not run, or does not answer.
    NoDaemon = 9,
    /// The state directory cannot be read or written, or is damaged.
    Storage = 10,
    /// This node is revoked.
    Revoked = 11,
    /// This node is suspended.
    Suspended = 12,
    /// The lease has ended without news from the authority; data is stopped.
    LeaseEnded = 13,
    /// The certificate has expired; data is stopped.
    Expired = 14,
    /// An operator has still to admit this node.
    Pending = 15,
    /// The network was put down with `tidegate down`.
    Down = 16,
    /// A document, a key or a genesis is not one that is trusted.
    Untrusted = 17,
    /// The configuration file cannot be used.
    Config = 18,
}

impl Exit {
    /// The table, for the help text and the documentation.
    pub const TABLE: &'static str = "\
0 done (status: data flows) · 1 failed (status: something is still to come before data flows) · 2 wrong usage · 3 refused by the authority · \
4 the authority cannot be reached, or is not the one that is trusted · \
5 no answer from the peer, or a wait ended without what was waited for · 6 not joined · \
7 joined already, or the daemon runs already · 8 a right or a device is missing · 9 the daemon does not run · \
10 state directory unusable · 11 this node is revoked · 12 suspended · 13 lease ended · 14 certificate expired · \
15 waiting for admission · 16 down · 17 not the network that is trusted · 18 bad configuration";
}

impl Exit {
    const ALL: [Self; 19] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Refused,
        Self::Unreachable,
        Self::NoAnswer,
        Self::NotJoined,
        Self::Taken,
        Self::Rights,
        Self::NoDaemon,
        Self::Storage,
        Self::Revoked,
        Self::Suspended,
        Self::LeaseEnded,
        Self::Expired,
        Self::Pending,
        Self::Down,
        Self::Untrusted,
        Self::Config,
    ];
}

/// A number that is no exit code of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is no exit code of tidegate")]
pub struct UnknownExit(u8);

impl TryFrom<u8> for Exit {
    type Error = UnknownExit;

    fn try_from(code: u8) -> Result<Self, UnknownExit> {
        let found = Self::ALL.get(usize::from(code)).copied();
        found.ok_or(UnknownExit(code))
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit as Self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_its_own_code() {
        for (number, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(u8::from(exit)), number);
        }
        assert_eq!(Exit::try_from(19), Err(UnknownExit(19)));
    }

    #[test]
    fn the_service_is_not_started_again_where_that_mends_nothing() {
        let unit = include_str!("../../packaging/systemd/tidegate.service");
        let listed = unit
            .lines()
            .find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
        let listed = listed.unwrap().split(' ');
        let codes: Vec<u8> = listed.map(|code| code.parse().unwrap()).collect();
        let mends_nothing = [
            Exit::Usage,
            Exit::Refused,
            Exit::NotJoined,
            Exit::Untrusted,
            Exit::Config,
        ];
        assert_eq!(codes, mends_nothing.map(u8::from));
    }

    #[test]
    fn the_table_names_every_code_once() {
        let codes: Vec<u8> = Exit::TABLE
            .split(" · ")
            .map(|entry| entry.split(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(codes, (0..=Exit::Config as u8).collect::<Vec<_>>());
    }
}
