//! One automaton over the keywords of the policy's own rules, and which rules a word speaks for.
//!
//! Words are what they are for the shipped rules (`lexicon`); here `*word`, with an open start, is one, too.

use std::collections::HashMap;

use aho_corasick::Input;
use aho_corasick::MatchKind;
use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::noncontiguous::NFA;

use bartizan_rules::invariant::{between, onwards, part, sure};
use bartizan_rules::lexicon::{GLUED, GLUED_WORD, is_bounded};

/// A word found, with what it speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'w> {
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// The rules that it speaks for.
    pub rules: &'w [u16],
}

#[derive(Debug)]
struct Word {
    rules: Vec<u16>,
    bound_start: bool,
    bound_end: bool,
    length: usize,
    phrase: bool,
}

/// Collects words for an automaton.
#[derive(Debug, Default)]
pub struct Vocabulary {
    words: Vec<Word>,
    texts: Vec<String>,
    known: HashMap<String, usize>,
}

impl Vocabulary {
    /// Adds a normalised word (`*` at an end: open) that speaks for a rule.
    pub fn add(&mut self, word: &str, rule: u16) {
        let at = match self.known.get(word) {
            Some(at) => *at,
            None => {
                let open_start = word.len() > 1 && word.starts_with('*');
                let open_end = word.len() > 1 && word.ends_with('*');
                let text = part(word, usize::from(open_start)..word.len() - usize::from(open_end));
                let bound = |c: Option<char>, open: bool| !open && c.is_some_and(is_bounded);
                self.words.push(Word {
                    rules: Vec::new(),
                    bound_start: bound(text.chars().next(), open_start),
                    bound_end: bound(text.chars().next_back(), open_end),
                    length: text.len(),
                    phrase: text.contains(' '),
                });
                self.texts.push(text.into());
                self.known.insert(word.into(), self.texts.len() - 1);
                self.texts.len() - 1
            }
        };
        if let Some(word) = sure(self.words.get_mut(at))
            && !word.rules.contains(&rule)
        {
            word.rules.push(rule);
        }
    }

    /// Builds the automaton. `None` without words.
    ///
    /// # Errors
    /// More words than an automaton can hold.
    pub fn build(self) -> Result<Option<Signatures>, String> {
        if self.texts.is_empty() {
            return Ok(None);
        }
        // Normalised text has lower case only, and so have the words.
        let mut builder = NFA::builder();
        builder.match_kind(MatchKind::Standard).prefilter(false).ascii_case_insensitive(true);
        let automaton = builder.build(&self.texts);
        let automaton = automaton.map_err(|error| error.to_string())?;
        Ok(Some(Signatures { automaton, words: self.words }))
    }
}

/// The automaton.
#[derive(Debug)]
pub struct Signatures {
    automaton: NFA,
    words: Vec<Word>,
}

impl Signatures {
    /// Bytes of the longest word.
    pub fn longest(&self) -> usize {
        self.words.iter().map(|word| word.length).max().unwrap_or(0)
    }

    /// Calls `take` with every word found, in the order of their ends. Linear: at each byte at most as many words end
    /// as the longest has suffixes that are words.
    pub fn each<'w>(&'w self, text: &str, mut take: impl FnMut(Hit<'w>)) {
        let mut glued = 0..0;
        let (input, mut state) = (Input::new(text), OverlappingState::start());
        loop {
            // An error is an automaton that was built to search otherwise.
            sure(self.automaton.try_find_overlapping(&input, &mut state).ok());
            let Some(found) = state.get_match() else { return };
            let Some(word) = sure(self.words.get(found.pattern().as_usize())) else { continue };
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
            take(Hit { start, end, rules: &word.rules });
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
        _ => sure(text.get(..at).and_then(|before| before.chars().next_back())),
    }
}

fn after(text: &str, at: usize) -> Option<char> {
    match text.as_bytes().get(at) {
        Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
        Some(_) => sure(text.get(at..).and_then(|after| after.chars().next())),
        None => None,
    }
}

fn joins(c: Option<char>) -> bool {
    c.is_some_and(is_bounded)
}

/// The run of ASCII letters around a place, looked at no further than is needed to call it glued.
fn letters_around(text: &[u8], start: usize, end: usize) -> std::ops::Range<usize> {
    let left = between(text, 0..start).iter().rev().take(4096).take_while(|b| b.is_ascii_lowercase()).count();
    let right = onwards(text, end).iter().take(4096).take_while(|b| b.is_ascii_lowercase()).count();
    let inner = between(text, start..end).iter().all(u8::is_ascii_lowercase);
    if inner { start - left..end + right } else { start..start }
}
