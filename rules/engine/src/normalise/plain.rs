//! Runs of ASCII that need nothing but lower case, looked at a block at a time.
//!
//! The loops over a block have no early end, so that the compiler makes vector code of them.

use super::tables::{CLASS, SPACE, SPECIAL};
use crate::invariant::{of_byte, onwards, sure};

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

/// Lower case, and a space for any white space.
pub(super) fn fold(bytes: &mut [u8]) {
    for byte in bytes {
        let lower = *byte | (u8::from(byte.wrapping_sub(b'A') < 26) << 5);
        *byte = if is_space(*byte) { b' ' } else { lower };
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
