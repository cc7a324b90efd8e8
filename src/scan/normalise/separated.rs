//! `i g n o r e`, `i.g.n.o.r.e`, `i--g--n--o`: single letters with separators between them, put together again.
//!
//! A sequence is five or more single letters with at most four other characters between each two. The gap that
//! occurs most often is the separator and goes; every other gap parts words and stays.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::tables;

/// Letters that a sequence must have.
const ENOUGH: usize = 5;
/// Characters that a gap may have; white space has no limit.
const WIDEST: usize = 4;
/// Different gaps that are counted in one sequence.
const SHAPES: usize = 6;

/// The gaps to leave out, in order; empty for almost any text.
pub(super) fn gaps(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if text.is_ascii() && !worth_it(text.as_bytes()) {
        return found;
    }
    let mut sequence = Sequence::default();
    let mut token: Option<(usize, usize)> = None;
    for (at, c) in text.char_indices() {
        let simple = c.is_ascii_alphabetic() || tables::is_steady(c) || tables::cyrillic(c).is_some();
        if simple || c.is_alphanumeric() || is_mark(c) {
            let letters = if simple { 1 } else { usize::from(!is_mark(c)) + usize::from(c.is_numeric()) };
            token = token.map_or(Some((at, letters)), |(start, count)| Some((start, count + letters)));
        } else if let Some((start, letters)) = token.take() {
            sequence.take(text, start..at, letters, &mut found);
        }
    }
    if let Some((start, letters)) = token {
        sequence.take(text, start..text.len(), letters, &mut found);
    }
    sequence.close(text, &mut found);
    found
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && is_combining_mark(c)
}

/// A quick look at ASCII text: five single letters in a row.
fn worth_it(text: &[u8]) -> bool {
    let (mut run, mut singles) = (0u32, 0u32);
    for byte in text {
        if byte.is_ascii_alphanumeric() {
            run += 1;
        } else if run > 0 {
            singles = if run == 1 { singles + 1 } else { 0 };
            if singles as usize >= ENOUGH {
                return true;
            }
            run = 0;
        }
    }
    run == 1 && singles as usize + 1 >= ENOUGH
}

#[derive(Default)]
struct Sequence {
    letters: usize,
    end: usize,
    gaps: Vec<Range<usize>>,
}

impl Sequence {
    fn take(&mut self, text: &str, token: Range<usize>, letters: usize, found: &mut Vec<Range<usize>>) {
        if letters != 1 {
            self.close(text, found);
            return;
        }
        if self.letters > 0 {
            let gap = self.end..token.start;
            let inner = text.get(gap.clone()).unwrap_or_default();
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
            found.extend(
                self.gaps.iter().filter(|gap| same(text.get((*gap).clone()).unwrap_or_default(), separator)).cloned(),
            );
        }
        self.gaps.clear();
        self.letters = 0;
    }

    /// The most common gap; of gaps of white space alone, the shortest.
    fn separator<'t>(&self, text: &'t str) -> Option<&'t str> {
        let mut shapes: Vec<(&str, usize)> = Vec::new();
        for gap in &self.gaps {
            let gap = text.get(gap.clone()).unwrap_or_default();
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
