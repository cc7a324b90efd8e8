//! The shipped rules as `build.rs` laid them out: constants, so that a module that was built holds all of them and
//! nothing is read, checked or allocated when a policy is loaded.

use crate::config::document::{Level, Pack, PiiType, Zone};

use super::Kind;
use super::beginnings::Beginnings;
use super::lexicon::Lexicon;
use super::literals::{Literal, Literals};
use super::program::{ByteSet, Look, Op, Repeat, Set, Tables};

/// A shipped rule.
#[derive(Debug)]
pub(super) struct ShippedRule {
    pub id: &'static str,
    pub title: &'static str,
    pub pack: Pack,
    pub level: Level,
    pub kind: Kind,
    pub shadow: bool,
    pub raw: bool,
    /// One bit a zone.
    pub zones: u8,
    /// Fewest digits of a run that does a keyword's duty; 0: none does.
    pub digits: u16,
    /// Signs beside these digits, one bit each, and above these those that stand there twice; 0: any.
    pub beside: u16,
    /// Digits and a keyword are both needed.
    pub both: bool,
    /// Its patterns in [`PROGRAMS`].
    pub patterns: std::ops::Range<u16>,
    /// Bytes on either side of a keyword.
    pub window: u16,
    /// The validator's name.
    pub validate: &'static str,
}

/// A shipped co-occurrence.
#[derive(Debug)]
pub(super) struct ShippedNear {
    /// Its rule's place in [`RULES`].
    pub rule: u16,
    pub within: u16,
    pub ordered: bool,
    pub groups: u8,
    /// Where its places begin.
    pub base: u16,
}

/// What a word speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Keyword of this rule.
    Keyword(u16),
    /// A place in a co-occurrence: its index and the group's.
    Slot(u16, u8),
    /// Forbids this co-occurrence.
    Unless(u16),
    /// A rotated word: text in rot13.
    Rotated,
    /// A mirrored word: text in atbash.
    Mirrored,
    /// A reversed word.
    Reversed,
}

/// The uses of a list.
pub(super) fn uses(list: u16) -> &'static [Use] {
    let at = usize::from(list);
    let (Some(&from), Some(&to)) = (USE_LISTS.get(at), USE_LISTS.get(at + 1)) else { return &[] };
    USES.get(usize::from(from)..usize::from(to)).unwrap_or_default()
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
