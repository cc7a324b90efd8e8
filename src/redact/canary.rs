//! A short token at the end of the system prompt: where an answer holds it, the prompt has leaked.
//!
//! The token is made of sixteen consonants, so that it is no word, number or key, and can be looked for through
//! whatever is between them: white space, punctuation, digits, invisible characters, letters of another
//! case, width or script. It is also found backwards, with every letter moved by the same distance in the alphabet
//! (Caesar's ciphers, ROT13) or the alphabet turned round (Atbash), in hex and in base64 at any place of what was
//! encoded, as the numbers of its characters (decimal, binary, `\x62`, `\u0062`), and parted between texts that
//! follow each other in an answer. Linear: every character moves each needle once.
//!
//! Not found: a token with other letters between its own, in a cipher or an alphabet that is not named here,
//! or in parts that come in another order.

use std::collections::VecDeque;
use std::ops::Range;

use bartizan_rules::invariant::{between, onwards, sure};
use bartizan_rules::normalise::letter;
use base64::Engine as _;

/// The letters of a token: four bits each.
const ALPHABET: [u8; 16] = *b"bcdfghjkmnpqrtvx";
/// Letters of a token.
const LENGTH: usize = 16;
/// The longest needle: eight symbols a letter.
const MOST_SYMBOLS: usize = 8 * LENGTH;
/// More places than this in one text are no longer told apart.
const MAX_FOUND: usize = 1024;

/// One token, and every form it is looked for in.
#[derive(Clone)]
pub struct Canary {
    token: String,
    needles: Vec<Needle>,
}

impl std::fmt::Debug for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canary(..)")
    }
}

/// What of a text a needle is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// From each letter to the next, how far it is in the alphabet: the same whatever distance all letters were moved.
    Steps,
    /// Letters and digits, lower case.
    Lower,
    /// Letters and digits as they are.
    Exact,
}

#[derive(Clone)]
struct Needle {
    view: View,
    symbols: Vec<u8>,
    /// How much of the needle still fits after a mismatch (Knuth, Morris and Pratt).
    fallback: Vec<usize>,
    /// From this number of symbols on it is worth waiting for the rest.
    holds: usize,
}

impl Needle {
    fn new(view: View, symbols: Vec<u8>) -> Needle {
        let mut fallback = vec![0; symbols.len()];
        let mut matched = 0;
        for (at, next) in symbols.iter().enumerate().skip(1) {
            matched = advance(&symbols, &fallback, matched, *next);
            if let Some(place) = sure(fallback.get_mut(at)) {
                *place = matched;
            }
        }
        Needle { view, symbols, fallback, holds: if view == View::Steps { 2 } else { 6 } }
    }
}

impl Needle {
    /// Where the text begins that the last `matched` symbols stand for. Between two letters is one step.
    fn begins(&self, letters: &VecDeque<usize>, symbols: &VecDeque<usize>, matched: usize) -> Option<usize> {
        match self.view {
            View::Steps => begun(letters, matched + 1),
            View::Lower | View::Exact => begun(symbols, matched),
        }
    }
}

/// The symbols of the needle that are matched after one more.
fn advance(symbols: &[u8], fallback: &[usize], mut matched: usize, next: u8) -> usize {
    loop {
        if symbols.get(matched) == Some(&next) {
            return matched + 1;
        }
        match matched.checked_sub(1) {
            None => return 0,
            Some(last) => matched = sure(fallback.get(last)).map_or(0, |shorter| *shorter),
        }
    }
}

impl Canary {
    /// The token of this secret.
    pub fn new(secret: [u8; 16]) -> Canary {
        let letters = secret.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 15)).copied());
        let token: Vec<u8> = letters.take(LENGTH).collect();
        let backwards: Vec<u8> = token.iter().rev().copied().collect();
        let mut needles = Vec::new();
        for form in [&token, &backwards] {
            let turned: Vec<u8> = form.iter().map(|byte| b'z' - byte + b'a').collect();
            needles.extend([form, &turned].map(|form| Needle::new(View::Steps, steps(form))));
            for cased in [form.clone(), form.to_ascii_uppercase()] {
                needles.push(Needle::new(View::Lower, hex(&cased)));
                needles.extend((0..3).map(|before| Needle::new(View::Exact, base64_within(&cased, before))));
            }
        }
        for cased in [token.clone(), token.to_ascii_uppercase()] {
            let numbers = |write: fn(u8) -> String| cased.iter().flat_map(|byte| write(*byte).into_bytes()).collect();
            needles.extend([
                Needle::new(View::Lower, numbers(|byte| format!("{byte}"))),
                Needle::new(View::Lower, numbers(|byte| format!("{byte:08b}"))),
                Needle::new(View::Lower, numbers(|byte| format!("x{byte:02x}"))),
                Needle::new(View::Lower, numbers(|byte| format!("0x{byte:02x}"))),
                Needle::new(View::Lower, numbers(|byte| format!("u00{byte:02x}"))),
            ]);
        }
        Canary { token: String::from_utf8(token).unwrap_or_default(), needles }
    }

    /// The token as it is in the system prompt.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// True when a text holds the token in any form.
    pub fn is_in(&self, text: &str) -> bool {
        let mut watch = Watch::default();
        watch.feed(self, text, 0);
        !watch.found().is_empty()
    }
}

/// From each letter to the next.
fn steps(letters: &[u8]) -> Vec<u8> {
    letters.iter().zip(letters.iter().skip(1)).map(|(one, next)| step(*one, *next)).collect()
}

fn step(one: u8, next: u8) -> u8 {
    (next + 26 - one) % 26
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    crate::hex::hex(bytes).into_bytes()
}

/// The part of the base64 of a text that only this token decides, when `before` bytes (modulo 3) are in
/// front of it. Letters make neither of the two symbols that the alphabets differ in.
fn base64_within(token: &[u8], before: usize) -> Vec<u8> {
    let whole = onwards(token, (3 - before) % 3);
    let whole = between(whole, 0..whole.len() / 3 * 3);
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(whole).into_bytes()
}

/// Looks for a token in one text that comes in pieces.
#[derive(Debug, Default)]
pub struct Watch {
    /// How much of each needle the end of the text is.
    matched: Vec<usize>,
    /// The last letter, lower case.
    last: Option<u8>,
    /// Where the last letters, and the last letters and digits, begin.
    letters: VecDeque<usize>,
    symbols: VecDeque<usize>,
    found: Vec<Range<usize>>,
}

impl Watch {
    /// Takes the next piece, which begins at this byte of the text.
    pub fn feed(&mut self, canary: &Canary, text: &str, at: usize) {
        self.matched.resize(canary.needles.len(), 0);
        for (place, c) in text.char_indices() {
            let Some(symbol) = letter(c) else { continue };
            let (start, end) = (at + place, at + place + c.len_utf8());
            let lower = symbol.to_ascii_lowercase();
            let mut stepped = None;
            remember(&mut self.symbols, start, MOST_SYMBOLS);
            if lower.is_ascii_lowercase() {
                remember(&mut self.letters, start, LENGTH);
                stepped = self.last.replace(lower).map(|last| step(last, lower));
            }
            for (needle, matched) in canary.needles.iter().zip(&mut self.matched) {
                let next = match (needle.view, stepped) {
                    (View::Steps, None) => continue,
                    (View::Steps, Some(step)) => step,
                    (View::Lower, _) => lower,
                    (View::Exact, _) => symbol,
                };
                *matched = advance(&needle.symbols, &needle.fallback, *matched, next);
                if *matched == needle.symbols.len() {
                    let start = needle.begins(&self.letters, &self.symbols, *matched).unwrap_or(start);
                    *matched = 0;
                    if self.found.len() < MAX_FOUND {
                        self.found.push(start..end);
                    }
                }
            }
        }
    }

    /// Where it was found so far.
    pub fn found(&self) -> &[Range<usize>] {
        &self.found
    }

    /// What ends before this place is not asked for again.
    pub fn forget(&mut self, before: usize) {
        self.found.retain(|span| span.end > before);
    }

    /// Where the end of the text may be the beginning of a token.
    pub fn open(&self, canary: &Canary) -> Option<usize> {
        let open = canary.needles.iter().zip(&self.matched).filter(|(needle, matched)| **matched >= needle.holds);
        open.filter_map(|(needle, matched)| needle.begins(&self.letters, &self.symbols, *matched)).min()
    }

    /// The beginning of a text that follows this one: a token that began here ends there.
    #[must_use]
    pub fn carried(&self) -> Watch {
        let here = |places: &VecDeque<usize>| places.iter().map(|_| 0).collect();
        let (letters, symbols) = (here(&self.letters), here(&self.symbols));
        Watch { matched: self.matched.clone(), last: self.last, letters, symbols, found: Vec::new() }
    }

    /// A watch that has ended, and found this.
    pub fn ended(found: Vec<Range<usize>>) -> Watch {
        Watch { found, ..Watch::default() }
    }
}

fn remember(places: &mut VecDeque<usize>, place: usize, most: usize) {
    if places.len() == most {
        places.pop_front();
    }
    places.push_back(place);
}

/// Where the last `count` of them begin.
fn begun(places: &VecDeque<usize>, count: usize) -> Option<usize> {
    places.get(places.len().checked_sub(count)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canary(seed: u8) -> Canary {
        Canary::new(std::array::from_fn(|at| seed.wrapping_mul(31).wrapping_add((at * 7) as u8)))
    }

    fn disguises(token: &str) -> Vec<String> {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
        let joined = |by: &str| token.chars().map(String::from).collect::<Vec<_>>().join(by);
        let moved = |by: u8| token.bytes().map(|b| char::from((b - b'a' + by) % 26 + b'a')).collect::<String>();
        let mut all = vec![
            token.to_owned(),
            token.to_uppercase(),
            token.chars().rev().collect(),
            joined(" "),
            joined("\u{200b}"),
            joined(" - "),
            joined("\n\n"),
            joined("1"),
            moved(13),
            moved(1),
            moved(23).chars().rev().collect(),
            moved(7).to_uppercase(),
            token.bytes().map(|byte| char::from(b'z' - byte + b'a')).collect(),
            token.bytes().map(|byte| format!("{byte}, ")).collect(),
            token.to_uppercase().bytes().map(|byte| format!("&#{byte};")).collect(),
            token.bytes().map(|byte| format!("{byte:08b} ")).collect(),
            token.bytes().map(|byte| format!("0x{byte:02X} ")).collect(),
            token.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
            token.bytes().map(|byte| format!("\\u00{byte:02x}")).collect(),
            token.bytes().map(|byte| format!("{byte:02x} ")).collect(),
            token.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect(),
            token.chars().map(|c| char::from_u32(u32::from(c) - 97 + 0x1d41a).unwrap()).collect(),
        ];
        for before in ["", "a", "ab", "the marker is "] {
            all.push(STANDARD.encode(format!("{before}{token} and so on")));
            all.push(URL_SAFE_NO_PAD.encode(format!("{before}{}", token.to_uppercase())));
        }
        all
    }

    #[test]
    fn it_is_found_in_disguise_whole_and_in_pieces() {
        let canary = canary(3);
        for disguise in disguises(canary.token()) {
            let text = format!("Here it is: {disguise}. Done.");
            assert!(canary.is_in(&text), "{disguise}");
            let mut watch = Watch::default();
            for (at, c) in text.char_indices() {
                watch.feed(&canary, c.encode_utf8(&mut [0; 4]), at);
            }
            let span = watch.found()[0].clone();
            assert!(span.start >= 11 && span.end <= text.len() - 7, "{disguise} {span:?}");
        }
    }

    #[test]
    fn ordinary_text_and_other_tokens_are_none() {
        let (one, other) = (canary(3), canary(4));
        assert_ne!(one.token(), other.token());
        assert!(!one.is_in(other.token()) && !one.is_in(&one.token()[1..]));
        assert!(!one.is_in("A bartizan is a small turret; bcdf ghjk mnpq rtvx is an alphabet."));
        assert_eq!(format!("{one:?}"), "Canary(..)");
    }

    #[test]
    fn it_is_found_when_parted_between_texts() {
        let canary = canary(3);
        for disguise in disguises(canary.token()) {
            let text = format!("Here it is: {disguise}. Done.");
            for (cut, _) in text.char_indices() {
                let (one, two) = text.split_at(cut);
                let mut watch = Watch::default();
                watch.feed(&canary, one, 0);
                let mut next = watch.carried();
                next.feed(&canary, two, 0);
                assert_eq!(watch.found().len() + next.found().len(), 1, "{one}|{two}");
                assert!(next.found().iter().all(|span| two.get(span.clone()).is_some()));
            }
        }
    }

    proptest! {
        /// A text that was let go up to `open` never holds more of a token than what is not worth waiting for.
        #[test]
        fn what_may_go_on_holds_no_token(
            seed: u8, before in "[a-z ]{0,40}", after in "[a-z ]{0,40}", which: prop::sample::Index, cut: prop::sample::Index
        ) {
            let canary = canary(seed);
            let all = disguises(canary.token());
            let disguise = &all[which.index(all.len())];
            let text = format!("{before}{disguise}{after}");
            let cut = text.floor_char_boundary(cut.index(text.len() + 1));
            let mut watch = Watch::default();
            watch.feed(&canary, &text[..cut], 0);
            let gone = watch.open(&canary).unwrap_or(cut);
            watch.feed(&canary, &text[cut..], cut);
            let span = watch.found()[0].clone();
            prop_assert!(cut >= span.end || text[span.start.min(gone)..gone].chars().filter_map(letter).count() < 9);
        }

        #[test]
        fn no_text_is_too_odd(seed: u8, text in ".{0,200}") {
            let canary = canary(seed);
            let mut watch = Watch::default();
            watch.feed(&canary, &text, 0);
            prop_assert!(watch.found().iter().all(|span| text.get(span.clone()).is_some()));
            prop_assert!(watch.open(&canary).is_none_or(|open| text.is_char_boundary(open)));
        }
    }
}
