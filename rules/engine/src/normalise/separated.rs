//! `i g n o r e`, `i.g.n.o.r.e`, `i--g--n--o`: single letters with separators between them, put together again.
//!
//! A sequence is five or more single letters with at most four other characters between each two. The gap that
//! occurs most often is the separator and goes; every other gap parts words and stays.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::tables;
use crate::invariant::{onwards, part, sure};
use crate::letters::is_alphanumeric;

/// Letters that a sequence must have.
const ENOUGH: usize = 5;
/// Characters that a gap may have; white space has no limit.
const WIDEST: usize = 4;
/// Different gaps that are counted in one sequence.
const SHAPES: usize = 6;

/// The gaps to leave out, in order; empty for almost any text.
pub(super) fn gaps(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    each_stretch(text, |stretch| walk(text, whole_tokens(text, stretch), &mut found));
    found
}

/// The gaps of a part that cuts no token.
fn walk(text: &str, of: Range<usize>, found: &mut Vec<Range<usize>>) {
    let mut sequence = Sequence::default();
    let mut token: Option<(usize, usize)> = None;
    for (at, c) in part(text, of.clone()).char_indices().map(|(at, c)| (of.start + at, c)) {
        if let Some(letters) = token_letters(c) {
            token = token.map_or(Some((at, letters)), |(start, count)| Some((start, count + letters)));
        } else if let Some((start, letters)) = token.take() {
            sequence.token(text, start..at, letters, found);
        }
    }
    if let Some((start, letters)) = token {
        sequence.token(text, start..of.end, letters, found);
    }
    sequence.close(text, found);
}

/// A stretch with the whole of the tokens that it begins and ends in.
fn whole_tokens(text: &str, stretch: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(stretch.start);
    let end = text.ceil_char_boundary(stretch.end);
    let goes_on = |c: &char| token_letters(*c).is_some();
    let before = part(text, 0..start).chars().rev().take_while(goes_on).map(char::len_utf8).sum::<usize>();
    let after = part(text, end..text.len()).chars().take_while(goes_on).map(char::len_utf8).sum::<usize>();
    start - before..end + after
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && is_combining_mark(c)
}

/// Calls `take` with every stretch that has five single letters in a row. Where two letters touch, no sequence goes on, so
/// that ordinary text is looked at in a few places only.
fn each_stretch(text: &str, mut take: impl FnMut(Range<usize>)) {
    // Five letters with a byte between each two.
    const LEAST: usize = ENOUGH * 2 - 1;
    let bytes = text.as_bytes();
    let letter = |byte: &u8| byte.is_ascii_alphanumeric();
    let (mut at, mut retry) = (0, 0);
    loop {
        if at >= retry {
            while is_wordy(bytes, at) {
                at += BLOCK - GROUP;
            }
            retry = at + BLOCK / 2;
        }
        let Some(window) = bytes.get(at..at + LEAST) else { return };
        // The last place in the window where two ASCII letters touch: no sequence reaches over it.
        let pairs = window.iter().zip(window.iter().skip(1));
        match pairs.rev().position(|(a, b)| letter(a) && letter(b)) {
            Some(back) => at += LEAST - 1 - back,
            None => match next_sequence(text, at) {
                Ok(end) => at = end,
                Err(reached) => {
                    let end = singles_end(bytes, reached);
                    take(at..end);
                    at = end;
                }
            },
        }
    }
}

/// Bytes that are looked at together, and of how many two letters must touch.
const BLOCK: usize = 32;
const GROUP: usize = 4;

/// True where two ASCII letters touch in every group of bytes from here on: no sequence begins before the last group.
fn is_wordy(bytes: &[u8], at: usize) -> bool {
    let (Some(block), Some(next)) = (bytes.get(at..at + BLOCK), bytes.get(at + 1..at + 1 + BLOCK)) else {
        return false;
    };
    let letter = |byte: u8| u8::from(byte.is_ascii_alphanumeric());
    let mut touch = [0u8; BLOCK];
    for ((touch, a), b) in touch.iter_mut().zip(block).zip(next) {
        *touch = letter(*a) & letter(*b);
    }
    touch.as_chunks::<GROUP>().0.iter().fold(true, |all, group| all & (u32::from_ne_bytes(*group) != 0))
}

/// Where the next two ASCII letters touch: the second of them.
fn singles_end(bytes: &[u8], from: usize) -> usize {
    let rest = onwards(bytes, from);
    let pairs = rest.iter().zip(rest.iter().skip(1));
    let pair = pairs.take_while(|(a, b)| !(a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())).count();
    if pair + 1 >= rest.len() { bytes.len() } else { from + pair + 1 }
}

/// No number of letters.
const NONE: usize = usize::MAX;

/// Where the next two ASCII letters touch: the second of them. As an error how far was read where five tokens of one letter
/// in a row come first.
fn next_sequence(text: &str, from: usize) -> Result<usize, usize> {
    // A stretch may begin within a character's or a word's bytes.
    let mut at = text.floor_char_boundary(from);
    let bytes = text.as_bytes();
    let (mut letters, mut singles) = (0usize, 0usize);
    let mut touches = false;
    while let Some(&byte) = bytes.get(at) {
        let (more, length) = match byte {
            ..0x80 => {
                let letter = byte.is_ascii_alphanumeric();
                if letter && touches {
                    return Ok(at);
                }
                touches = letter;
                (letter.then(|| 1 + usize::from(byte.is_ascii_digit())), 1)
            }
            _ => {
                touches = false;
                let (letters, length, _) = tables::steady_run(onwards(bytes, at));
                let mut run = (letters, length);
                if run.0 == 0 {
                    let Some(c) = sure(text.get(at..).and_then(|rest| rest.chars().next())) else { return Err(at) };
                    run = (token_letters(c).map_or(NONE, |more| more), c.len_utf8());
                }
                (Some(run.0).filter(|more| *more != NONE), run.1)
            }
        };
        at += length;
        match more {
            Some(more) => letters += more,
            None if letters > 0 => {
                singles = if letters == 1 { singles + 1 } else { 0 };
                letters = 0;
            }
            None => {}
        }
        if singles + usize::from(letters == 1) >= ENOUGH {
            return Err(at);
        }
    }
    Ok(bytes.len())
}

/// How many letters of a token a character counts as; `None`: it parts tokens.
fn token_letters(c: char) -> Option<usize> {
    let simple = c.is_ascii_alphabetic() || tables::is_steady(c) || tables::cyrillic(c).is_some();
    if simple {
        Some(1)
    } else if parts(c) {
        None
    } else if is_alphanumeric(c) || is_mark(c) {
        Some(usize::from(!is_mark(c)) + usize::from(c.is_numeric()))
    } else {
        None
    }
}

/// Signs of much text that part tokens, for which the tables of Unicode need not be asked.
fn parts(c: char) -> bool {
    match c {
        ..'\u{80}' => !c.is_ascii_alphanumeric(),
        '\u{60c}' | '\u{61b}' | '\u{61f}' => true,
        '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}' | '\u{ff01}'..='\u{ff0f}' => true,
        _ => false,
    }
}

#[derive(Default)]
struct Sequence {
    letters: usize,
    end: usize,
    gaps: Vec<Range<usize>>,
}

impl Sequence {
    fn token(&mut self, text: &str, token: Range<usize>, letters: usize, found: &mut Vec<Range<usize>>) {
        if letters != 1 {
            self.close(text, found);
            return;
        }
        if self.letters > 0 {
            let gap = self.end..token.start;
            let inner = part(text, gap.clone());
            if inner.chars().take(WIDEST + 1).count() > WIDEST && !inner.chars().all(char::is_whitespace) {
                self.close(text, found);
            } else {
                self.gaps.push(gap);
            }
        }
        self.letters += 1;
        self.end = token.end;
    }

    fn close(&mut self, text: &str, found: &mut Vec<Range<usize>>) {
        if self.letters >= ENOUGH
            && let Some(separator) = self.separator(text)
            && !separator.contains(['<', '>'])
        {
            found.extend(self.gaps.iter().filter(|gap| same(part(text, (*gap).clone()), separator)).cloned());
        }
        self.gaps.clear();
        self.letters = 0;
    }

    /// The most common gap; of gaps of only white space, the shortest.
    fn separator<'t>(&self, text: &'t str) -> Option<&'t str> {
        let mut shapes: Vec<(&str, usize)> = Vec::new();
        for gap in &self.gaps {
            let gap = part(text, gap.clone());
            if let Some((_, count)) = shapes.iter_mut().find(|(shape, _)| same(shape, gap)) {
                *count += 1;
            } else if shapes.len() < SHAPES {
                shapes.push((gap, 1));
            }
        }
        let (most, count) = shapes.iter().max_by_key(|(shape, count)| (*count, std::cmp::Reverse(shape.len())))?;
        if count * 2 < self.gaps.len() {
            return None;
        }
        if !most.chars().all(is_blank) {
            return Some(most);
        }
        shapes.iter().map(|(gap, _)| *gap).filter(|gap| gap.chars().all(is_blank)).min_by_key(|gap| gap.chars().count())
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '_'
}

fn same(a: &str, b: &str) -> bool {
    a == b || a.chars().map(shape).eq(b.chars().map(shape))
}

fn shape(c: char) -> char {
    if is_blank(c) { ' ' } else { tables::punctuation(c).and_then(|s| s.chars().next()).unwrap_or(c) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sign_that_parts_tokens_is_no_letter_and_no_mark() {
        assert!(('\0'..=char::MAX).filter(|c| parts(*c)).all(|c| !c.is_alphanumeric() && !is_mark(c)));
    }

    proptest! {
        #[test]
        fn gaps_are_those_of_a_walk_over_all_of_the_text(pieces in prop::collection::vec(prop_oneof![
            "[a-c] ", "[a-c][-. _]{1,5}", "([a-z]{4,12} ){1,9}", "[a-c]{2,3} ?", "[é略я]", "\u{301}", "[0-9½]", "(a-b-c-d-e-f){1,2}", "[ -]{0,6}",
        ], 0..60)) {
            let text = pieces.concat();
            let mut slow = Vec::new();
            walk(&text, 0..text.len(), &mut slow);
            prop_assert_eq!(gaps(&text), slow, "{:?}", text);
        }
    }
}
