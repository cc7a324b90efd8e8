//! What is done with a reply, and how the proxy delivers it.

use super::Edit;
use super::reply::{ReplyGuard, StreamGuard};
use crate::reason::Reason;

/// What is done with a reply.
#[derive(Debug)]
pub(super) enum Reading {
    /// Nothing: it passes as it comes.
    Open,
    /// It will be guarded; its headers have not come.
    Guarded(Box<ReplyGuard>),
    /// It is read whole; its headers have been released (weak mode), or wait with these changes.
    Whole(Box<ReplyGuard>, Option<Held>),
    /// It can't be read: its body will be the refusal.
    Refused(Reason, Option<Box<ReplyGuard>>, Option<Held>),
    /// It is read event by event.
    Stream(Box<StreamGuard>),
    /// It was ended: what still comes is dropped.
    Over,
}

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
            Reading::Open | Reading::Guarded(_) => Reads::Nothing,
            Reading::Whole(..) | Reading::Refused(..) => Reads::Whole,
            Reading::Stream(_) | Reading::Over => Reads::Stream,
        }
    }
}
