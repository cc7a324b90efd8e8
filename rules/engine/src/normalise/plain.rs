//! Runs of text that need nothing but lower case: ASCII, looked at a block at a time, and letters of other scripts.
//!
//! The loops over a block have no early end, so that the compiler makes vector code of them.

use super::tables::{CLASS, SPACE, SPECIAL, steady_run};
use crate::invariant::{of_byte, onwards, part, sure};

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 32;

/// How many bytes at the start are plain: ASCII that starts no escape, with one white space in a row. `spaced`: white
/// space, or nothing, is before.
pub(super) fn length(bytes: &[u8], spaced: bool) -> usize {
    let mut length = 0;
    let mut spaced = spaced;
    if let Some((first, rest)) = bytes.split_first() {
        // The shifted view needs a byte before each block.
        if !goes(*first, &mut spaced) {
            return 0;
        }
        let blocks = rest.chunks_exact(BLOCK).zip(bytes.chunks_exact(BLOCK));
        length = 1 + BLOCK * blocks.take_while(|(block, before)| is_plain(block, before)).count();
        spaced = sure(bytes.get(length - 1)).is_some_and(|byte| is_space(*byte));
    }
    length + onwards(bytes, length).iter().take_while(|byte| goes(**byte, &mut spaced)).count()
}

fn goes(byte: u8, spaced: &mut bool) -> bool {
    let class = of_byte(&CLASS, byte);
    let space = class == SPACE;
    let goes = class != SPECIAL && !(space && *spaced);
    *spaced = space;
    goes
}

/// `before`: the same bytes, each one place earlier.
fn is_plain(block: &[u8], before: &[u8]) -> bool {
    let mut stop = 0u8;
    for (byte, last) in block.iter().zip(before) {
        stop |= u8::from(is_special(*byte)) | (u8::from(is_space(*byte)) & u8::from(is_space(*last)));
    }
    stop == 0
}

/// As the table of classes says; without a table, for vectors.
const fn is_special(byte: u8) -> bool {
    let control = (byte < 0x20) & (byte.wrapping_sub(9) > 4);
    let sign = (byte.wrapping_sub(b'%') <= 1) | (byte == b'*') | (byte == b'<') | (byte == b'\\') | (byte == b'`');
    control | sign | (byte >= b'~')
}

const fn is_space(byte: u8) -> bool {
    (byte == b' ') | (byte.wrapping_sub(9) <= 4) | (byte == b'_')
}

/// Adds a run in lower case, with a space for any white space.
pub(super) fn fold(run: &str, out: &mut String) {
    let from = out.len();
    let mut rest = run;
    while let Some(at) = next_other_space(rest.as_bytes()) {
        out.push_str(part(rest, 0..at));
        out.push(' ');
        rest = part(rest, at + 1..rest.len());
    }
    out.push_str(rest);
    if let Some(written) = sure(out.get_mut(from..)) {
        written.make_ascii_lowercase();
    }
}

/// Where the next white space is that is no space.
fn next_other_space(bytes: &[u8]) -> Option<usize> {
    let other = |byte: u8| (byte.wrapping_sub(9) <= 4) | (byte == b'_');
    let blocks = bytes.chunks(BLOCK);
    let passed = blocks.take_while(|block| block.iter().fold(0, |any, b| any | u8::from(other(*b))) == 0).count();
    let from = (passed * BLOCK).min(bytes.len());
    onwards(bytes, from).iter().position(|byte| other(*byte)).map(|at| from + at)
}

/// Plain ASCII and letters that are their own normal form, mixed. `steady`: where the last such letter begins, if the run
/// ends with one.
pub(super) struct Run {
    pub(super) length: usize,
    pub(super) steady: Option<usize>,
}

/// The run at the start of these bytes. `spaced`: white space, or nothing, is before.
pub(super) fn run(bytes: &[u8], spaced: bool) -> Run {
    let mut length = length(bytes, spaced);
    let mut steady = None;
    loop {
        let (letters, steady_bytes, last) = steady_run(onwards(bytes, length));
        if letters == 0 {
            return Run { length, steady };
        }
        length += steady_bytes;
        steady = Some(length - last);
        let rest = onwards(bytes, length);
        // One space between two words is nearly all that scripts of such letters have of ASCII.
        let ascii = match rest {
            [b' ', 0x80..=0xff, ..] => 1,
            [..0x80, ..] => self::length(rest, false),
            _ => 0,
        };
        if ascii > 0 {
            steady = None;
            length += ascii;
        }
    }
}

/// A byte that could start an escape or markup is in the text.
pub(super) fn is_fertile(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK).any(|block| block.iter().fold(0, |any, byte| any | u8::from(is_sign(*byte))) != 0)
}

const fn is_sign(byte: u8) -> bool {
    let escape = (byte == b'&') | (byte == b'\\') | (byte == b'%') | (byte == b'<');
    escape | (byte == b'*') | (byte == b'`') | (byte == b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_for_vectors_are_those_of_the_table() {
        for byte in 0..=255 {
            assert_eq!(is_special(byte), CLASS[usize::from(byte)] == SPECIAL, "{byte}");
            assert_eq!(is_space(byte), CLASS[usize::from(byte)] == SPACE, "{byte}");
        }
    }

    #[test]
    fn a_run_ends_where_a_slow_walk_says() {
        let text =
            "The quick  brown fox_jumps over\tthe lazy dog, and then some more of the same kind & so on. x\u{e9}";
        for start in 0..text.len() {
            for spaced in [false, true] {
                let bytes = &text.as_bytes()[start..];
                let mut after = spaced;
                let slow = bytes.iter().take_while(|byte| goes(**byte, &mut after)).count();
                assert_eq!(length(bytes, spaced), slow, "{start}");
            }
        }
    }
}
