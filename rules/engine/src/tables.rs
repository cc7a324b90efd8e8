//! What the compiler says of a rule beside the tables of its words and patterns.

use crate::words::{Kind, Level, Pack};

/// A shipped rule.
#[derive(Debug)]
pub struct ShippedRule {
    /// `PI-1010` and the like.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// The pack.
    pub pack: Pack,
    /// How much a match weighs.
    pub level: Level,
    /// What it looks for.
    pub kind: Kind,
    /// Found and recorded, never scored.
    pub shadow: bool,
    /// Looks at text as it came.
    pub raw: bool,
    /// One bit a zone.
    pub zones: u8,
    /// Fewest digits of a run that does a keyword's duty; 0: none does.
    pub digits: u16,
    /// Signs beside these digits, one bit each, and above these those that are there twice; 0: any.
    pub beside: u16,
    /// Digits and a keyword are both needed.
    pub both: bool,
    /// Its patterns in the programs.
    pub patterns: std::ops::Range<u16>,
    /// Bytes on either side of a keyword.
    pub window: u16,
    /// The validator's name.
    pub validate: &'static str,
}

/// A shipped co-occurrence.
#[derive(Debug)]
pub struct ShippedNear {
    /// Its rule's place in the rules.
    pub rule: u16,
    /// Largest extent, in bytes.
    pub within: u16,
    /// In the order of the groups.
    pub ordered: bool,
    /// How many groups.
    pub groups: u8,
    /// Where its places begin.
    pub base: u16,
}

/// Where a pattern's match may begin beside a word that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The pattern.
    pub program: u16,
    /// Fewest bytes of the match before the word.
    pub least: u8,
    /// Most of them.
    pub most: u8,
}

/// The first group of digits in a pattern's matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Fewest bytes of the match before it.
    pub least: u8,
    /// Most of them.
    pub most: u8,
    /// Kinds of what may be behind it, one bit each (`beginnings::group_kind`).
    pub after: u16,
    /// How many digits may be behind that one byte, one bit each.
    pub seconds: u32,
}

/// What a word speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Keyword of this rule.
    Keyword(u16),
    /// Where a pattern may begin beside it: an index of the starts.
    Start(u16),
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
