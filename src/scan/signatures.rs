//! One automaton over every word of every rule, and which rules a word speaks for.
//!
//! Whole words: `word` stands between boundaries, `word*` and `*word` have an open end. Scripts that write no
//! boundaries (Chinese, Japanese, Korean, Thai and neighbours) have none, and neither has a run of twenty and more
//! letters, which is no word but a sentence without spaces.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Letters in a row that are taken for a sentence without spaces.
const GLUED: usize = 20;
/// Shortest word that is looked for in such a run.
const GLUED_WORD: usize = 3;

/// Letters that a found word with an open end is prolonged by.
const LONGEST_ENDING: usize = 24;

/// What a word speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Keyword of the rule with this index.
    Keyword(u16),
    /// A place in a co-occurrence: its index and the group's.
    Slot(u16, u8),
    /// Forbids the co-occurrence with this index.
    Unless(u16),
    /// A rotated word: text in rot13.
    Rotated,
    /// A mirrored word: text in atbash.
    Mirrored,
    /// A reversed word.
    Reversed,
}

/// A word found, with what it speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'w> {
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// What it speaks for.
    pub uses: &'w [Use],
    /// The word is in a script of two bytes a letter, or an Indic one: distances count half.
    pub wide: bool,
}

#[derive(Debug)]
struct Word {
    uses: Vec<Use>,
    bound_start: bool,
    bound_end: bool,
    length: usize,
    wide: bool,
    phrase: bool,
    open_end: bool,
}

/// Collects words for an automaton.
#[derive(Debug, Default)]
pub struct Vocabulary {
    words: Vec<Word>,
    texts: Vec<String>,
    known: HashMap<String, usize>,
}

impl Vocabulary {
    /// Adds a word (`*` at an end: open) of a normalised rule; `bounded`: it stands between boundaries.
    pub fn add(&mut self, word: &str, bounded: bool, purpose: Use) {
        let at = match self.known.get(word) {
            Some(at) => *at,
            None => {
                let open_start = word.len() > 1 && word.starts_with('*');
                let open_end = word.len() > 1 && word.ends_with('*');
                let text = word.get(usize::from(open_start)..word.len() - usize::from(open_end)).unwrap_or(word);
                let bound = |c: Option<char>, open: bool| bounded && !open && c.is_some_and(is_bounded);
                self.words.push(Word {
                    uses: Vec::new(),
                    bound_start: bound(text.chars().next(), open_start),
                    bound_end: bound(text.chars().next_back(), open_end),
                    length: text.len(),
                    wide: text.chars().any(|c| matches!(c, '\u{80}'..='\u{dff}')),
                    phrase: text.contains(' '),
                    open_end: open_end && bounded,
                });
                self.texts.push(text.into());
                self.known.insert(word.into(), self.texts.len() - 1);
                self.texts.len() - 1
            }
        };
        if let Some(word) = self.words.get_mut(at)
            && !word.uses.contains(&purpose)
        {
            word.uses.push(purpose);
        }
    }

    /// True for a word that was added, as it was spelled.
    pub fn holds(&self, word: &str) -> bool {
        self.known.contains_key(word)
    }

    /// Builds the automaton. `None` without words. The few words of the raw view (`any_case`) get a table of all
    /// transitions, the many of the normalised view one that is a tenth as large and half as fast.
    pub fn build(self, any_case: bool) -> Option<Signatures> {
        if self.texts.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(if any_case { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA }))
            .ascii_case_insensitive(any_case)
            .prefilter(false)
            .dense_depth(3)
            .build(&self.texts)
            .ok()?;
        Some(Signatures { automaton, words: self.words })
    }
}

/// The automaton.
#[derive(Debug)]
pub struct Signatures {
    automaton: AhoCorasick,
    words: Vec<Word>,
}

impl Signatures {
    /// Calls `take` with every word found, in the order of their ends. Linear: at each byte at most as many words end
    /// as the longest has suffixes that are words.
    pub fn each<'w>(&'w self, text: &str, mut take: impl FnMut(Hit<'w>)) {
        let mut glued = 0..0;
        for found in self.automaton.find_overlapping_iter(text) {
            let Some(word) = self.words.get(found.pattern().as_usize()) else { continue };
            let (start, end) = (found.start(), found.end());
            let whole =
                (!word.bound_start || !joins(before(text, start))) && (!word.bound_end || !joins(after(text, end)));
            if !whole {
                if word.length < GLUED_WORD || word.phrase {
                    continue;
                }
                if !(glued.start <= start && end <= glued.end) {
                    glued = letters_around(text.as_bytes(), start, end);
                }
                if glued.len() < GLUED {
                    continue;
                }
            }
            let end = if word.open_end { word_end(text, end) } else { end };
            take(Hit { start, end, uses: &word.uses, wide: word.wide });
        }
    }

    /// Memory of the automaton, in bytes.
    pub fn memory(&self) -> usize {
        self.automaton.memory_usage()
    }
}

fn before(text: &str, at: usize) -> Option<char> {
    match text.as_bytes().get(at.checked_sub(1)?) {
        Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
        _ => text.get(..at)?.chars().next_back(),
    }
}

fn after(text: &str, at: usize) -> Option<char> {
    match text.as_bytes().get(at) {
        Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
        Some(_) => text.get(at..)?.chars().next(),
        None => None,
    }
}

/// The end of the word that goes on at `at`.
fn word_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default().chars();
    at + rest.take(LONGEST_ENDING).take_while(|c| is_bounded(*c)).map(char::len_utf8).sum::<usize>()
}

fn joins(c: Option<char>) -> bool {
    c.is_some_and(is_bounded)
}

/// A letter or digit of a script that writes word boundaries.
fn is_bounded(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    let unbounded = matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}'
        | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
    // Indic vowel signs belong to the word.
    !unbounded && (c.is_alphanumeric() || matches!(c, '\u{900}'..='\u{dff}'))
}

/// The run of ASCII letters around a place, looked at no further than is needed to call it glued.
fn letters_around(text: &[u8], start: usize, end: usize) -> std::ops::Range<usize> {
    let left =
        text.get(..start).unwrap_or_default().iter().rev().take(4096).take_while(|b| b.is_ascii_lowercase()).count();
    let right = text.get(end..).unwrap_or_default().iter().take(4096).take_while(|b| b.is_ascii_lowercase()).count();
    let inner = text.get(start..end).unwrap_or_default().iter().all(u8::is_ascii_lowercase);
    if inner { start - left..end + right } else { start..start }
}
