//! Every keyword of the rules that read text as it came: found anywhere, ASCII in any case.
//!
//! Laid out at build time. Three letters are looked up at each byte, and only what is left is compared: ordinary text is
//! passed over with few comparisons. Linear: the words to compare at one byte are bounded by how many share three
//! letters.
//!
//! ```
//! use bartizan_rules::literals::{FILTER, fold, hash};
//!
//! assert_eq!(fold(b'S', b'k', b'-'), fold(b's', b'K', b'-'));
//! assert!(hash(fold(b's', b'k', b'-'), FILTER) < 1 << FILTER);
//! ```

use crate::beginnings::list_of;
use crate::invariant::{onwards, sure};

/// Bits of the filter of three letters.
pub const FILTER: u32 = 16;
/// Units of it.
pub const UNITS: usize = 1 << (FILTER - 6);
/// Buckets of the table of three letters.
pub const BUCKETS: u32 = 10;

/// The tables.
#[derive(Clone, Copy, Debug)]
pub struct Literals {
    /// One bit for each hash of three bytes, folded, that words begin with or have in them.
    pub triples: &'static [u64; UNITS],
    /// Where each bucket of `list` begins, and the end of the last one.
    pub buckets: &'static [u16],
    /// Words of three bytes and more, by bucket.
    pub list: &'static [Literal],
    /// Words of two bytes.
    pub short: &'static [Literal],
    /// Words of one byte, ASCII.
    pub single: &'static [Literal],
}

/// A word.
#[derive(Clone, Copy, Debug)]
pub struct Literal {
    /// In lower case.
    pub text: &'static [u8],
    /// Its three letters, folded; of a word of two, both.
    pub triple: u32,
    /// Where in the word these are.
    pub offset: u8,
    /// Which list of uses.
    pub uses: u16,
}

/// A word found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// Which list of uses.
    pub uses: u16,
}

impl Literals {
    /// Calls `take` with every word found. Returns how many words were compared.
    pub fn each(&self, text: &str, take: &mut dyn FnMut(Found)) -> usize {
        let bytes = text.as_bytes();
        let mut compared = 0;
        let mut at = 0;
        // Six places at a time: nearly all of them have no word.
        while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let eight = u64::from_le_bytes(*eight) | 0x2020_2020_2020_2020;
            let triple = |place: usize| (eight >> (8 * place)) as u32 & 0x00ff_ffff;
            if (0..6).fold(0, |any, place| any | self.knows(triple(place))) != 0 {
                for place in (0..6).filter(|place| self.knows(triple(*place)) != 0) {
                    self.compare(bytes, at + place, triple(place), &mut compared, take);
                }
            }
            at += 6;
        }
        for (place, three) in onwards(bytes, at).windows(3).enumerate() {
            let &[a, b, c] = three else { continue };
            let triple = fold(a, b, c);
            if self.knows(triple) != 0 {
                self.compare(bytes, at + place, triple, &mut compared, take);
            }
        }
        // Two bytes at the end have no third.
        if let Some((at, &[a, b])) = bytes.len().checked_sub(2).zip(bytes.last_chunk::<2>()) {
            self.compare(bytes, at, fold(a, b, 0), &mut compared, take);
        }
        for word in self.single {
            let Some(&byte) = sure(word.text.first()) else { continue };
            for start in memchr::memchr2_iter(byte, byte.to_ascii_uppercase(), bytes) {
                take(Found { start, end: start + 1, uses: word.uses });
            }
        }
        compared
    }

    /// 1: words begin with these three letters, or have them in them; 0: none does.
    fn knows(&self, triple: u32) -> u64 {
        let bit = hash(triple, FILTER);
        sure(self.triples.get((bit >> 6) as usize)).map_or(1, |bits| bits >> (bit & 63) & 1)
    }

    /// Compares the words that may be around these three letters.
    fn compare(&self, bytes: &[u8], at: usize, triple: u32, compared: &mut usize, take: &mut dyn FnMut(Found)) {
        let bucket = hash(triple, BUCKETS) as usize;
        let words = sure(list_of(self.buckets, self.list, bucket));
        let mut check = |word: &Literal| {
            let start = at.checked_sub(usize::from(word.offset))?;
            *compared += 1;
            let there = bytes.get(start..start + word.text.len())?;
            // Mostly it is another word with the same three letters.
            let alike = |a: Option<&u8>, b: Option<&u8>| a.map(u8::to_ascii_lowercase) == b.copied();
            let ends = alike(there.last(), word.text.last()) && alike(there.first(), word.text.first());
            (ends && there.eq_ignore_ascii_case(word.text)).then(|| {
                take(Found { start, end: start + word.text.len(), uses: word.uses });
            })
        };
        for word in self.short.iter().filter(|word| word.triple == triple & 0xffff) {
            check(word);
        }
        for word in words.unwrap_or_default() {
            if word.triple == triple {
                check(word);
            }
        }
    }
}

/// Three bytes as one number, letters in lower case.
pub const fn fold(a: u8, b: u8, c: u8) -> u32 {
    u32::from_le_bytes([a, b, c, 0]) | 0x0020_2020
}

/// The upper `bits` of a hash.
pub const fn hash(triple: u32, bits: u32) -> u32 {
    triple.wrapping_mul(0x9E37_79B1) >> (32 - bits)
}
