//! The states of a reply that is on its way, and how the proxy delivers it.

use super::Edit;
use super::reply::{Noted, ReplyGuard, Round, StreamGuard, WholeText};
use crate::guard::Ahead;
use crate::host::Timestamp;
use crate::protocol::UnscannedKind;
use crate::reason::Reason;
use crate::scan::Turns;

/// How far the reading of a reply is. Each state is a type of its own, whose `handle` gives the next.
#[derive(Debug)]
pub(super) enum Reading {
    /// It passes as it comes.
    Open(Open),
    /// It will be guarded; its headers have not come.
    Guarded(Guarded),
    /// It is read whole.
    Whole(Whole),
    /// It was read whole, and its texts are scanned slice by slice.
    Ahead(Box<ReadingAhead>),
    /// It was read whole, and outside judges are asked about it.
    Hearing(Box<Hearing>),
    /// It can't be read: its body will be the refusal.
    Unreadable(Unreadable),
    /// It is read event by event.
    Stream(Box<StreamGuard>),
    /// It was ended: what still comes is dropped.
    Over(Over),
}

/// A reply that nothing is done with.
#[derive(Debug)]
pub(super) struct Open;

/// A reply whose headers have not come.
#[derive(Debug)]
pub(super) struct Guarded(pub(super) Box<ReplyGuard>);

/// A reply that is read whole; its headers have been released (weak mode), or wait.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) guard: Box<ReplyGuard>,
    pub(super) held: Option<Held>,
}

/// A whole reply whose texts are scanned; its headers have been released (weak mode), or wait.
#[derive(Debug)]
pub(super) struct ReadingAhead {
    pub(super) whole: Whole,
    /// The body, opened where it was packed.
    pub(super) body: Vec<u8>,
    /// It was packed.
    pub(super) was_packed: bool,
    pub(super) turns: Turns<Ahead>,
    pub(super) deadline: Timestamp,
}

/// A whole reply about which outside judges are asked; its headers have been released (weak mode), or wait.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) whole: Whole,
    /// The body, opened where it was packed.
    pub(super) body: Vec<u8>,
    /// It was packed.
    pub(super) was_packed: bool,
    /// What the guards say of it, and what was noted then.
    pub(super) judged: Result<Option<Vec<u8>>, Reason>,
    pub(super) noted: Noted,
    pub(super) round: Round<WholeText>,
}

/// A reply that can't be read; its headers have been released (weak mode), or wait.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) reason: Reason,
    /// What of it was not read.
    pub(super) kind: UnscannedKind,
    pub(super) guard: Option<Box<ReplyGuard>>,
    pub(super) held: Option<Held>,
}

/// A reply that was ended.
#[derive(Debug)]
pub(super) struct Over;

/// Headers that wait for the verdict.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) edit: Edit,
    /// The upstream said how long its body is. Where it did not, trailers may follow, which HTTP/1.1 has no place for
    /// behind a body of known length.
    pub(super) has_length: bool,
}

/// How the proxy delivers a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Not at all.
    Nothing,
    /// Held until it is whole.
    Whole,
    /// As it comes.
    Stream,
}

impl Reading {
    pub(super) fn reads(&self) -> Reads {
        match self {
            Reading::Open(_) | Reading::Guarded(_) => Reads::Nothing,
            Reading::Whole(_) | Reading::Ahead(_) | Reading::Hearing(_) | Reading::Unreadable(_) => Reads::Whole,
            Reading::Stream(_) | Reading::Over(_) => Reads::Stream,
        }
    }
}
