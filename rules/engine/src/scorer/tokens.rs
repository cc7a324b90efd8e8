//! How the scorer cuts text into tokens: words, characters of scripts without spaces, and marks. Bit for bit those of
//! `rules/scorer/features.py`.

use std::ops::Range;

use crate::invariant::{between, of_byte, onwards, part, sure};
use crate::letters::is_short;
use crate::normalise::Leet;

use super::{BLOCKS, Model, STEP};

/// Shortest stem.
pub(super) const MIN_STEM: usize = 4;

pub(super) const FNV_OFFSET: u32 = 0x811C_9DC5;
pub(super) const FNV_PRIME: u32 = 0x0100_0193;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Space,
    Word,
    /// A token by itself: scripts that are written without spaces, or nearly.
    Single,
    Mark,
    /// Not there at all.
    Skip,
}

const fn class(c: char) -> Class {
    match c as u32 {
        0x30..=0x39 | 0x41..=0x5A | 0x61..=0x7A | 0x5F => Class::Word,
        0..=0x20 | 0x7F => Class::Space,
        0x21..=0x7E => Class::Mark,
        0x80..=0xA0 | 0x1680 | 0x3000 | 0x2000..=0x200A | 0x2028..=0x202F | 0x205F => Class::Space,
        0xAD | 0x200B..=0x200F | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFEFF => Class::Skip,
        0xAA | 0xB5 | 0xBA => Class::Word,
        0x0E00..=0x0EFF
        | 0x1000..=0x109F
        | 0x1780..=0x17FF
        | 0x3041..=0x30FA
        | 0x30FC..=0x312F
        | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7AF
        | 0xF900..=0xFAFF
        | 0x20000..=0x3FFFF => Class::Single,
        0xD7
        | 0xF7
        | 0x37E
        | 0x387
        | 0x589
        | 0x5BE
        | 0x5C0
        | 0x5C3
        | 0x60C
        | 0x61B
        | 0x61F
        | 0x66A..=0x66D
        | 0x6D4
        | 0x964
        | 0x965 => Class::Mark,
        0xC0..=0x0DFF | 0x0F00..=0x0FFF | 0x10A0..=0x177F | 0x1800..=0x1FFF | 0x2C00..=0x2DFF | 0xA000..=0xABFF => {
            Class::Word
        }
        _ => Class::Mark,
    }
}

/// The class of the character at a place, and its length in bytes.
pub(super) fn kind(text: &str, at: usize, byte: u8) -> (Class, usize) {
    if byte < 0x80 {
        return (sure(ASCII.get(usize::from(byte))).map_or(Class::Mark, |class| *class), 1);
    }
    first_bytes(onwards(text.as_bytes(), at)).unwrap_or_else(|| {
        sure(text.get(at..).and_then(|rest| rest.chars().next())).map_or((Class::Skip, 1), |c| (class(c), c.len_utf8()))
    })
}

/// What the first bytes tell of letters of much text.
#[inline]
fn first_bytes(bytes: &[u8]) -> Option<(Class, usize)> {
    match *bytes {
        [0xe5..=0xe9 | 0xeb | 0xec, ..] | [0xe4, 0xb8..=0xbf, ..] => Some((Class::Single, 3)),
        [0xe3, 0x82, ..] | [0xe3, 0x81, 0x81..=0xbf, ..] | [0xea, 0xb0..=0xbf, ..] => Some((Class::Single, 3)),
        [0xd8, 0xa0..=0xbf, ..] | [0xd9, 0x80..=0xa9, ..] | [0xcf..=0xd1, ..] => Some((Class::Word, 2)),
        [0xce, 0x88..=0xbf, ..] | [0xd7, 0x90..=0xbf, ..] => Some((Class::Word, 2)),
        [0xe0, 0xa4, ..] => Some((Class::Word, 3)),
        _ => None,
    }
}

static ASCII: [Class; 128] = {
    let mut table = [Class::Mark; 128];
    let mut at = 0;
    while at < 128 {
        #[allow(clippy::indexing_slicing)] // a constant: a fault would not compile
        {
            table[at] = class(at as u8 as char);
        }
        at += 1;
    }
    table
};

/// What an ASCII word character adds to the hash; 0: it is none.
static PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 128 {
        #[allow(clippy::indexing_slicing)] // a constant: a fault would not compile
        if matches!(class(at as u8 as char), Class::Word) {
            table[at] = fold(at as u8);
        }
        at += 1;
    }
    table
};

/// All digits are one.
pub(super) const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_digit() { b'0' } else { byte }
}

fn hash(bytes: &[u8], from: usize, to: usize) -> u32 {
    between(bytes, from..to).iter().fold(FNV_OFFSET, |state, &byte| (state ^ u32::from(byte)).wrapping_mul(FNV_PRIME))
}

/// A run of word characters. Passes over what is not there, and over an apostrophe inside the word.
struct Word {
    state: u32,
    /// The hash after four bytes.
    fourth: u32,
    /// Bytes that were hashed.
    length: usize,
    end: usize,
}

impl Word {
    fn read(text: &str, start: usize) -> Word {
        let bytes = text.as_bytes();
        let mut word = Word { state: FNV_OFFSET, fourth: 0, length: 0, end: start };
        let mut at = start;
        loop {
            // Nearly all of nearly all texts.
            let (mut state, mut count) = (word.state, word.length);
            for &byte in onwards(bytes, at) {
                let folded = of_byte(&PLAIN, byte);
                if folded == 0 {
                    break;
                }
                state = (state ^ u32::from(folded)).wrapping_mul(FNV_PRIME);
                count += 1;
                if count == MIN_STEM {
                    word.fourth = state;
                }
            }
            at += count - word.length;
            (word.state, word.length) = (state, count);
            word.end = word.end.max(at);
            let mut rest = onwards(bytes, at);
            while let [first, second, ..] = *rest
                && is_short(rest)
            {
                word.add(first);
                word.add(second);
                at += 2;
                rest = onwards(rest, 2);
            }
            word.end = word.end.max(at);
            let Some(&byte) = rest.first() else { break };
            if byte == b' ' {
                break;
            }
            let (class, length) = kind(text, at, byte);
            match class {
                Class::Word => between(bytes, at..at + length).iter().for_each(|byte| word.add(*byte)),
                Class::Skip => {}
                _ if byte == b'\'' || bytes.get(at..at + length) == Some("\u{2019}".as_bytes()) => {
                    let next = at + length;
                    let inside = bytes.get(next).is_some_and(|byte| kind(text, next, *byte).0 == Class::Word);
                    if !inside {
                        break;
                    }
                }
                _ => break,
            }
            at += length;
            word.end = at;
        }
        word
    }

    fn add(&mut self, byte: u8) {
        self.state = (self.state ^ u32::from(byte)).wrapping_mul(FNV_PRIME);
        self.length += 1;
        if self.length == MIN_STEM {
            self.fourth = self.state;
        }
    }
}

/// The tokens of a text.
pub(super) struct Tokens(pub(super) Vec<Token>);

#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) hash: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The idea whose stem it begins with; 0: none.
    pub(super) stem: u8,
}

impl Tokens {
    pub(super) fn of(text: &str, model: &Model) -> Tokens {
        let mut tokens = Tokens(Vec::with_capacity(text.len() / 4 + 4));
        tokens.read(text, 0..text.len(), model);
        tokens
    }

    /// Adds those of a part of the text that ends with it or before a space.
    fn read(&mut self, text: &str, of: Range<usize>, model: &Model) {
        let tokens = &mut self.0;
        let text = part(text, 0..of.end);
        let bytes = text.as_bytes();
        let mut at = of.start;
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            // Asked one after the other: what a table of jumps does next can't be predicted.
            if byte == b' ' {
                at += 1;
                continue;
            }
            let plain = PLAIN.get(usize::from(byte)).is_some_and(|folded| *folded != 0);
            let (kind, length) = if plain { (Class::Word, 1) } else { kind(text, at, byte) };
            at += length;
            let mut stem = 0;
            let state = match kind {
                Class::Space | Class::Skip => continue,
                Class::Single => hash(bytes, start, at),
                Class::Mark => {
                    let same = |at: usize| bytes.get(at..at + length) == bytes.get(start..start + length);
                    while bytes.get(at) == Some(&byte) && (length == 1 || same(at)) {
                        at += length;
                    }
                    hash(bytes, start, start + length)
                }
                Class::Word => {
                    let word = Word::read(text, start);
                    at = word.end;
                    if word.length >= MIN_STEM {
                        stem = model.stem(part(text, start..at), word.fourth);
                    }
                    word.state
                }
            };
            tokens.push(Token { hash: state, start: start as u32, end: at as u32, stem });
        }
    }

    /// The tokens of a reading that differs in these words alone, which spaces part, and the windows that hold one of
    /// letters and signs whose reading is a word that the model knows.
    pub(super) fn with(&self, reading: &Leet, model: &Model) -> (Tokens, Vec<Range<usize>>) {
        let Leet { text: reading, words, mixed } = reading;
        let mut mixed = mixed.iter().peekable();
        let mut tokens = Tokens(Vec::with_capacity(self.0.len()));
        let mut blocks: Vec<Range<usize>> = Vec::new();
        let mut copied = 0;
        for word in words {
            let rest = onwards(&self.0, copied);
            let kept = rest.partition_point(|token| (token.start as usize) < word.start);
            let read = onwards(rest, kept).partition_point(|token| (token.start as usize) < word.end);
            tokens.0.extend_from_slice(between(rest, 0..kept));
            copied += kept + read;
            let first = tokens.0.len();
            tokens.read(reading, word.clone(), model);
            let read = onwards(&tokens.0, first);
            let is_mixed = mixed.next_if(|mixed| **mixed == word.start).is_some();
            if !is_mixed || !read.is_empty() && !read.iter().any(|token| model.knows(token)) {
                continue;
            }
            let end = tokens.0.len().max(first + 1);
            let block = (first / STEP + 1).saturating_sub(BLOCKS)..(end - 1) / STEP + 1;
            match blocks.last_mut() {
                Some(last) if block.start <= last.end => last.end = block.end,
                _ => blocks.push(block),
            }
        }
        tokens.0.extend_from_slice(onwards(&self.0, copied));
        let most = tokens.windows();
        // The last window holds the last blocks.
        let inside = |block: Range<usize>| block.start.min(most.saturating_sub(1))..block.end.min(most);
        let windows = blocks.into_iter().map(inside).collect();
        (tokens, windows)
    }

    /// How many windows there are.
    pub(super) fn windows(&self) -> usize {
        match self.0.len() {
            0 => 0,
            tokens => tokens.div_ceil(STEP).saturating_sub(BLOCKS) + 1,
        }
    }

    pub(super) fn start(&self, token: usize) -> usize {
        sure(self.0.get(token)).map_or(0, |token| token.start as usize)
    }

    pub(super) fn end(&self, token: usize) -> usize {
        sure(self.0.get(token)).map_or(0, |token| token.end as usize)
    }

    /// First and one past the last token of the window that begins at a block.
    pub(super) fn bounds(&self, block: usize) -> (usize, usize) {
        (block * STEP, (block * STEP + STEP * BLOCKS).min(self.0.len()))
    }

    pub(super) fn window(&self, block: usize) -> Range<usize> {
        let (from, to) = self.bounds(block);
        self.start(from)..self.end(to.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_class() {
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            assert!(!is_short(c.encode_utf8(&mut buffer).as_bytes()) || class(c) == Class::Word, "{c:?}");
            let told = first_bytes(c.encode_utf8(&mut buffer).as_bytes());
            assert!(told.is_none_or(|told| told == (class(c), c.len_utf8())), "{c:?}");
        }
    }
}
