//! # The core of a node
//!
//! A state machine that takes what the authority signed, time, and what the shell saw, and gives what the data plane,
//! the host, the disk and the authority are to be told.
//!
//! ## Model
//!
//! ```text
//! files ── Member::restore ──┐
//! Input ── Member::handle ───┼──▶ Member ──▶ poll_output: Plane, Host, Store, Ask, Tell
//! time  ── handle_timeout ───┘         └───▶ poll_timeout: when to call again, and why
//! ```
//!
//! The shell samples [`Now`] once per turn, calls one mutation, and then drains [`Member::poll_output`] and carries out
//! what it gives, in the order in which it comes. It answers each [`PlaneOrder`] with [`PlaneReport::Applied`] or
//! [`PlaneReport::Gone`], and each [`Output::Store`] with [`Input::Stored`] or [`Input::NotStored`]. Everything signed is
//! verified in here, so the shell cannot forget to.
//!
//! ## Contract
//!
//! * No clock, no socket, no file; one seed. The same inputs give the same outputs.
//! * The revocation list is looked at last on every way in: whoever is on it has no tunnel, whatever else says so.
//! * The order of every kind of document never goes back, also over restarts.
//! * A grant counts only with a list on the disk that is at least as new as the one that it names, and until its lease
//!   ends on the boot-time clock, which only the authority's signed time turns into a deadline.
//! * A receipt is signed only when the data plane has confirmed the removal and the list is on the disk.
//! * What a file holds is judged like what a stranger sent. A bad file costs what it held, and nothing else.
#![forbid(unsafe_code)]

mod backoff;
mod clock;
mod event;
mod file;
mod filter;
mod floors;
mod grants;
mod host;
mod input;
mod kept;
mod keys;
mod member;
mod outbox;
mod output;
mod peers;
mod plane;
mod receipts;
mod recent;
mod renewal;
mod roster;
mod status;
mod time;
mod trust;
mod want;

pub use event::{Event, Source};
pub use file::{FileName, Files};
pub use host::{HostWish, Traffic};
pub use input::{Accept, Answer, Choices, Failure, Input, PlaneReport, Wish};
pub use kept::{FileError, LARGEST_FILE};
pub use member::{Founding, Member, Names, RestoreError, Setup};
pub use output::{Ask, AskKind, Output, PlaneOrder, PlaneStart, Store, Token};
pub use status::{
    CertificateView, ClockSource, ClockView, EpochView, ListView, PeerView, State, Status, Stopped,
    Waiting,
};
pub use time::{BootId, Now, Reason, Timeout};
