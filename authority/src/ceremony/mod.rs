//! What the root signs: the founding of a network, and its successions.

mod authority_keys;
mod founding;
mod succession;
mod timing;

pub use authority_keys::AuthorityKeys;
pub use founding::Founding;
pub use succession::Succession;
pub use timing::{CeilingChanges, EpochChanges};

use tidegate_proto::{
    BoundedList, DocumentError, KeyId, SignError, Span, SuccessionError, UnixTime, VerifyError,
};

/// Why the root did not sign.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The genesis would break a rule that every reader checks.
    #[error("{rule}; {remedy}")]
    Rule {
        /// The rule.
        rule: DocumentError,
        /// What to do.
        remedy: &'static str,
    },
    /// One key that would count as several.
    #[error("the authority key {0} is given twice, and a key counts once; give different keys")]
    RepeatedKey(KeyId),
    /// The same URL, pin or range more than once.
    #[error("{what} {which} is given twice; give it once")]
    Repeated {
        /// What is given.
        what: &'static str,
        /// Which of it.
        which: String,
    },
    /// More of something than a genesis holds.
    #[error("there are {got} {what}, and a genesis holds at most {most}; give fewer")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are given.
        got: usize,
        /// How many there may be.
        most: usize,
    },
    /// Another number of keys, and nothing said about how many of them must sign.
    #[error(
        "the authority had {had} keys of which {threshold} must sign, and now has {now}; say with --threshold how many must"
    )]
    ThresholdUnsaid {
        /// How many keys there were.
        had: usize,
        /// How many of them must sign.
        threshold: u32,
        /// How many there are now.
        now: usize,
    },
    /// A root key that is not this network's.
    #[error(
        "the root key given is {got}, and this network's is {want}; use the key that signed the genesis"
    )]
    OtherRoot {
        /// The network's root key.
        want: KeyId,
        /// The key that was given.
        got: KeyId,
    },
    /// A succession that says nothing new.
    #[error("this succession would change nothing; say what is to change")]
    NoChange,
    /// An overlap of authority keys where none retires.
    #[error(
        "no authority key or threshold changes, so there is nothing to overlap; leave the overlap out"
    )]
    NothingRetires,
    /// An overlap of authority keys longer than what they have signed can last.
    #[error(
        "an overlap of {got} is longer than any certificate of the old keys lasts ({most}); choose less"
    )]
    OverlapTooLong {
        /// The overlap.
        got: Span,
        /// The longest there may be.
        most: Span,
    },
    /// An overlap that this succession would end early.
    #[error(
        "the keys before the current ones count until {0}, and any succession ends that; wait until then, or end it by name with --overlap-for"
    )]
    OverlapRunning(UnixTime),
    /// A clock that runs behind.
    #[error(
        "this machine's clock says {now}, and the genesis before was signed at {before}; set the clock"
    )]
    ClockBehind {
        /// What the clock says.
        now: UnixTime,
        /// When the revision before was signed.
        before: UnixTime,
    },
    /// Revision 2^53 - 1 has no successor.
    #[error("no revision can follow this one; found a new network")]
    LastRevision,
    /// Not signed for another reason.
    #[error("{0}; give less")]
    Unsignable(SignError),
    /// What was signed would be refused by those who read it.
    #[error("readers would refuse what was signed: {0}; this is a defect, please report it")]
    Unreadable(SuccessionError),
}

impl CeremonyError {
    fn rule(rule: DocumentError) -> Self {
        let remedy = match &rule {
            DocumentError::Threshold { .. } => "lower --threshold or add an --authority-key",
            DocumentError::RootIsAuthority => "make another key with 'key new'",
            DocumentError::RangesOverlap(..) => "choose ranges that share no address",
            DocumentError::Settings(_) => {
                "change it, or raise the limit by name with the --max- options"
            }
            DocumentError::Missing(what) if what.contains("TLS") => {
                "give its pin with --tls-pin, or --tls-system-roots"
            }
            _ => "see --help",
        };
        Self::Rule { rule, remedy }
    }
}

impl From<SignError> for CeremonyError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Rule(rule) => Self::rule(rule),
            other => Self::Unsignable(other),
        }
    }
}

/// What a reader would say is said as if the signer had.
impl From<SuccessionError> for CeremonyError {
    fn from(error: SuccessionError) -> Self {
        match error {
            SuccessionError::Refused(VerifyError::Rule(rule)) => Self::rule(rule),
            other => Self::Unreadable(other),
        }
    }
}

/// A list of distinct `entries`, as a genesis holds it.
fn distinct<T: PartialEq + ToString, const MOST: usize>(
    what: &'static str,
    entries: Vec<T>,
) -> Result<BoundedList<T, MOST>, CeremonyError> {
    for (at, entry) in entries.iter().enumerate() {
        if entries[..at].contains(entry) {
            return Err(CeremonyError::Repeated {
                what,
                which: entry.to_string(),
            });
        }
    }
    bounded(what, entries)
}

fn bounded<T, const MOST: usize>(
    what: &'static str,
    entries: Vec<T>,
) -> Result<BoundedList<T, MOST>, CeremonyError> {
    let got = entries.len();
    let most = MOST;
    BoundedList::new(entries).map_err(|_| CeremonyError::TooMany { what, got, most })
}
