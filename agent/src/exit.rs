//! Exit codes: what a script can tell apart. The table is in `tidegate --help`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `status`: data flows.
    #[default]
    Done = 0,
    /// Failed for a reason that has no code of its own.
    Failed = 1,
    /// A command line that makes no sense.
    Usage = 2,
    /// This host has joined no network.
    NotJoined = 3,
    /// Something of that kind is there already: a membership, another daemon, an interface.
    Taken = 4,
    /// The authority refused.
    Refused = 5,
    /// The authority cannot be reached.
    Unreachable = 6,
    /// A document, a key or a genesis is not the one that is trusted.
    Untrusted = 7,
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
    /// The peer does not answer.
    NoAnswer = 17,
    /// The configuration file cannot be used.
    Config = 18,
}

impl Exit {
    /// The table, for the help text and the documentation.
    pub const TABLE: &'static str = "\
0 done (status: data flows) · 1 failed · 2 wrong usage · 3 not joined · 4 already joined, or the daemon runs already · \
5 refused by the authority · 6 authority unreachable · 7 not the network that is trusted · 8 a right or a device is missing · \
9 the daemon does not run · 10 state directory unusable · 11 this node is revoked · 12 suspended · 13 lease ended · \
14 certificate expired · 15 waiting for admission · 16 down · 17 no answer from the peer · 18 bad configuration";
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
    fn the_table_names_every_code_once() {
        let codes: Vec<u8> = Exit::TABLE
            .split(" · ")
            .map(|entry| entry.split(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(codes, (0..=Exit::Config as u8).collect::<Vec<_>>());
    }
}
