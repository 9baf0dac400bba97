//! The files in which a member keeps its state, and their one form.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// A file of the state directory.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FileName {
    /// The genesis chain.
    Genesis,
    /// The node's secret keys but its identity key.
    Keys,
    /// The node's certificate.
    Certificate,
    /// The revocation list in force.
    List,
    /// The policy in force.
    Policy,
    /// Whom the node may talk to.
    Roster,
    /// The keys to the epochs in use.
    Grants,
    /// What the authority's time was last, and the floor under it.
    Clock,
    /// The place of each kind of document, below which nothing is accepted.
    Floors,
    /// What is only convenient: peers used lately, the user's wish.
    Recent,
}

impl FileName {
    /// Every file.
    pub const ALL: [Self; 10] = [
        Self::Genesis,
        Self::Keys,
        Self::Certificate,
        Self::List,
        Self::Policy,
        Self::Roster,
        Self::Grants,
        Self::Clock,
        Self::Floors,
        Self::Recent,
    ];

    /// The name on the disk.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::Keys => "keys",
            Self::Certificate => "certificate",
            Self::List => "list",
            Self::Policy => "policy",
            Self::Roster => "roster",
            Self::Grants => "grants",
            Self::Clock => "clock",
            Self::Floors => "floors",
            Self::Recent => "recent",
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The files as they were found. One that is not there is left out. Whoever reads them syncs them first, so that what
/// is believed is also what a loss of power leaves.
pub type Files = BTreeMap<FileName, Zeroizing<Vec<u8>>>;
