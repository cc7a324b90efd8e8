//! How many tokens a text has, without any model's vocabulary.
//!
//! Counts what tokenizers cut by (words, digits, punctuation, scripts) and weighs it. About right for English and code; far
//! too high for scripts that a vocabulary knows well, too low for languages that it cuts into pieces: `make estimates` measures the
//! error against real tokenizers, and [`Ratios`](crate::quota::Ratios) takes most of it away.
//!
//! ```
//! use bartizan::estimate::Estimate;
//!
//! let mut estimate = Estimate::of("Translate this sentence.");
//! assert!((4..=8).contains(&estimate.tokens()));
//! estimate.push(" It is short.");
//! assert!(estimate.least() <= estimate.tokens());
//! ```

use bartizan_rules::invariant::{between, of_byte, sure};

/// A text's tokens, piece by piece: the pieces of one text give what the whole gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Thousandths of a token.
    weight: u64,
    /// The same, of what every tokenizer counts.
    least: u64,
    bytes: u64,
    state: State,
}

/// What a character's weight depends on of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// The class of the last character, and how many of it there were in a row, as far as it counts.
    last: Option<Class>,
    run: u8,
    /// The last character is a small letter: a capital after it begins a word.
    small: bool,
    /// A letter before which a word begins is no word of its own: `t` in `don't`.
    joins: bool,
}

/// What a tokenizer treats alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Space,
    Line,
    Mark,
    /// Letters of scripts with two bytes each: Cyrillic, Greek, Arabic, Hebrew.
    Short,
    /// Ideographs, kana and syllables: a token each, more or less.
    Wide,
    /// Letters of other scripts.
    Other,
    /// Beyond the basic plane: mostly pictures.
    Picture,
}

/// Letters of a word after which it is no longer one token.
const LONG: u8 = 6;

impl Estimate {
    /// The estimate of one text.
    pub fn of(text: &str) -> Estimate {
        let mut estimate = Estimate::default();
        estimate.push(text);
        estimate
    }

    /// Adds a text's next piece.
    pub fn push(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        let bytes = text.as_bytes();
        let (mut at, mut counted) = (0, 0);
        let (mut state, mut sum) = (self.state.number() as u64 * KINDS as u64, 0);
        while at < bytes.len() {
            if at - counted >= MOST {
                (counted, sum) = (at, self.count(sum));
            }
            let rest = between(bytes, at..bytes.len().min(at + MOST));
            let from = at;
            for &byte in rest.iter().take_while(|byte| byte.is_ascii()) {
                let step = step(state, of_byte(&LEADS, byte));
                (state, sum, at) = (step, sum + (step & SUMMED), at + 1);
            }
            while let Some(&byte) = bytes.get(at).filter(|byte| !byte.is_ascii() && at - from < MOST) {
                let mut lead = of_byte(&LEADS, byte);
                if lead & KIND == ASK {
                    let c = sure(text.get(at..).and_then(|rest| rest.chars().next()));
                    lead = lead & !KIND | c.map_or(0, |c| Kind::of(c).number());
                }
                state = step(state, lead);
                (sum, at) = (sum + (state & SUMMED), at + usize::from(lead >> LENGTH));
            }
        }
        self.count(sum);
        self.state = State::of((state & STATE) as usize / KINDS);
    }

    /// Adds what steps add; returns nothing that is left.
    fn count(&mut self, sum: u64) -> u64 {
        self.weight = self.weight.saturating_add((sum & (LEAST - 1)) / WEIGHT);
        self.least = self.least.saturating_add(sum / LEAST);
        0
    }

    /// Adds another text.
    pub fn add(&mut self, other: Estimate) {
        self.weight = self.weight.saturating_add(other.weight);
        self.least = self.least.saturating_add(other.least);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Bytes of the texts.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tokens, rounded up.
    pub fn tokens(&self) -> u64 {
        self.weight.div_ceil(1000)
    }

    /// Tokens that no tokenizer goes below, rounded down: one a word, one for four digits, one for five ideographs or
    /// syllables. A vocabulary may hold longer pieces, but no text of some length is made of them.
    pub fn least(&self) -> u64 {
        self.least / 1000
    }
}

/// All that a character's weight depends on of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    class: Class,
    capital: bool,
    /// A letter with a mark: these cut words into pieces.
    marked: bool,
    joins: bool,
}

/// Numbers of kinds.
const KINDS: usize = 16;

impl Kind {
    fn of(c: char) -> Kind {
        let class = Class::of(c);
        let letter = matches!(class, Class::Letter);
        let joins = matches!(c, '\'' | '\u{2019}');
        Kind { class, capital: letter && c.is_uppercase(), marked: letter && !c.is_ascii(), joins }
    }

    const fn ascii(byte: u8) -> Kind {
        let class = Class::ascii(byte);
        Kind { class, capital: byte.is_ascii_uppercase(), marked: false, joins: byte == b'\'' }
    }

    const fn number(self) -> u8 {
        match self {
            Kind { class: Class::Letter, capital, marked, .. } => capital as u8 + 2 * marked as u8,
            Kind { class: Class::Mark, joins: true, .. } => 4,
            Kind { class, .. } => 4 + class as u8,
        }
    }

    /// The kind of a number, and of no number in use any.
    const fn numbered(number: u8) -> Kind {
        let (class, joins) = match number {
            0..=3 => (Class::Letter, false),
            4 => (Class::Mark, true),
            5 => (Class::Digit, false),
            6 => (Class::Space, false),
            7 => (Class::Line, false),
            8 => (Class::Mark, false),
            9 => (Class::Short, false),
            10 => (Class::Wide, false),
            11 => (Class::Other, false),
            _ => (Class::Picture, false),
        };
        let letter = number < 4;
        Kind { class, capital: letter && number & 1 == 1, marked: letter && number & 2 == 2, joins }
    }
}

/// A step: the number of the state that it leads to, [`KINDS`] times, below [`WEIGHT`]; the weight that it adds from there on,
/// and from [`LEAST`] on the least. The sum of [`MOST`] steps has room for each.
const WEIGHT: u64 = 1 << 9;
const LEAST: u64 = 1 << 36;
const STATE: u64 = WEIGHT - KINDS as u64;
const SUMMED: u64 = !(WEIGHT - 1);
const MOST: usize = 1 << 14;

/// The step from a state by what [`LEADS`] has for a character.
fn step(state: u64, lead: u8) -> u64 {
    sure(STEPS.get((state & STATE) as usize | usize::from(lead & KIND))).map_or(0, |step| *step)
}

impl State {
    /// Numbers of states.
    const MOST: usize = 32;

    /// Each state that there is has a number of its own.
    const fn number(self) -> usize {
        let Some(class) = self.last else { return 0 };
        match class {
            Class::Letter => 2 * self.run as usize + self.small as usize,
            Class::Space => 16 + self.run as usize,
            Class::Mark => 19 + self.joins as usize,
            Class::Digit => 21,
            Class::Line => 22,
            Class::Short => 23,
            Class::Wide => 24,
            Class::Other => 25,
            Class::Picture => 26,
        }
    }

    const fn of(number: usize) -> State {
        let (last, run, small, joins) = match number {
            2..=15 => (Class::Letter, number / 2, number % 2 == 1, false),
            17 | 18 => (Class::Space, number - 16, false, false),
            19 | 20 => (Class::Mark, 1, false, number == 20),
            21 => (Class::Digit, 1, false, false),
            22 => (Class::Line, 1, false, false),
            23 => (Class::Short, 1, false, false),
            24 => (Class::Wide, 1, false, false),
            25 => (Class::Other, 1, false, false),
            26 => (Class::Picture, 1, false, false),
            _ => return State { last: None, run: 0, small: false, joins: false },
        };
        State { last: Some(last), run: run as u8, small, joins }
    }

    /// What a character of a kind adds, in thousandths of a token and of the least, and the state after it.
    const fn step(self, kind: Kind) -> (u16, u16, State) {
        let Kind { class, capital, marked, joins } = kind;
        let (follows, after_letter) = match self.last {
            Some(last) => (last as u8 == class as u8, last.is_letter()),
            None => (false, false),
        };
        let letter = matches!(class, Class::Letter);
        let hump = letter && capital && self.small && follows;
        let least = match class {
            Class::Digit => 250,
            Class::Wide => 200,
            _ if class.is_letter() && !self.joins && !after_letter => 1000,
            _ => 0,
        };
        let run = if follows && !hump { self.run + 1 } else { 1 };
        let weight = match class {
            Class::Letter if hump => 700,
            Class::Letter if run == 1 => 1000,
            Class::Letter if run > LONG => 300,
            Class::Letter if capital => 150,
            Class::Letter => 0,
            _ => class.weight(run == 1, run == 2),
        };
        let most = match class {
            Class::Letter => LONG + 1,
            Class::Space => 2,
            _ => 1,
        };
        let run = if run > most { most } else { run };
        let next = State { last: Some(class), run, small: letter && !capital, joins };
        (if marked { weight + 900 } else { weight }, least, next)
    }
}

/// By state and kind.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static STEPS: [u64; State::MOST * KINDS] = {
    let mut steps = [0; State::MOST * KINDS];
    let mut at = 0;
    while at < steps.len() {
        let (weight, least, next) = State::of(at / KINDS).step(Kind::numbered((at % KINDS) as u8));
        steps[at] = weight as u64 * WEIGHT + least as u64 * LEAST + (next.number() * KINDS) as u64;
        at += 1;
    }
    steps
};

/// In [`LEADS`]: the bits of the kind, below those of the length.
const KIND: u8 = KINDS as u8 - 1;
const LENGTH: u32 = KIND.count_ones();
/// The kind where the first byte does not tell it.
const ASK: u8 = KIND;

/// By a character's first byte: the number of its kind, and its length.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static LEADS: [u8; 256] = {
    let mut leads = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (kind, length) = match byte as u8 {
            ascii @ 0..0x80 => (Kind::ascii(ascii).number(), 1),
            0xca..=0xdf => (4 + Class::Short as u8, 2),
            0xe3..=0xe9 | 0xeb..=0xed => (4 + Class::Wide as u8, 3),
            0xe0 | 0xe1 => (4 + Class::Other as u8, 3),
            0xf0..=0xff => (4 + Class::Picture as u8, 4),
            0x80..=0xc9 => (ASK, 2),
            _ => (ASK, 3),
        };
        leads[byte] = kind | length << LENGTH;
        byte += 1;
    }
    leads
};

impl Class {
    const fn ascii(byte: u8) -> Class {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b' ' | b'\t' => Class::Space,
            b'\n' | b'\r' => Class::Line,
            _ => Class::Mark,
        }
    }

    fn of(c: char) -> Class {
        match c {
            '\0'..='\x7f' => Class::ascii(c as u8),
            '\u{80}'..='\u{24f}' => {
                if c.is_alphabetic() {
                    Class::Letter
                } else {
                    Class::Mark
                }
            }
            '\u{250}'..='\u{7ff}' => Class::Short,
            '\u{2000}'..='\u{2e7f}' => Class::Mark,
            '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' => {
                Class::Wide
            }
            '\0'..='\u{ffff}' => Class::Other,
            _ => Class::Picture,
        }
    }

    const fn is_letter(self) -> bool {
        matches!(self, Class::Letter | Class::Short | Class::Wide | Class::Other)
    }

    /// What a character adds, in thousandths of a token, as the first or second of its class in a row. Letters
    /// are weighed by their word.
    const fn weight(self, first: bool, second: bool) -> u16 {
        match self {
            Class::Letter => 0,
            Class::Digit => 700,
            // A space before a word is part of it.
            Class::Space if first => 0,
            Class::Space if second => 500,
            Class::Space => 60,
            Class::Line if first => 800,
            Class::Line => 100,
            Class::Mark if first => 850,
            Class::Mark => 650,
            Class::Short => 700,
            Class::Wide => 1500,
            Class::Other => 1400,
            Class::Picture => 2500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_estimate_lies_a_little_above_what_tokenizers_count() {
        // Counted by cl100k_base and o200k_base.
        for (text, least, most) in [
            ("", 0, 0),
            ("hello", 1, 1),
            ("What is a bartizan?", 6, 8),
            ("A bartizan is a small turret that juts out of a castle wall.", 15, 19),
            ("fn main() { println!(\"{}\", 1234); }", 14, 24),
            ("\u{6211}\u{559c}\u{6b22}\u{57ce}\u{5821}", 4, 10),
            ("                                        ", 1, 4),
        ] {
            let tokens = Estimate::of(text).tokens();
            assert!((least..=most).contains(&tokens), "{text:?}: {tokens}");
        }
    }

    #[test]
    fn the_least_is_a_token_a_word() {
        for (text, tokens) in [
            ("", 0),
            ("don't we", 2),
            ("What is a bartizan?", 4),
            ("snake_case(camelCase)", 3),
            ("1234 5678", 2),
            ("\u{6211}\u{559c}\u{6b22}\u{57ce}\u{5821}", 1),
            ("e\u{301}te\u{301}", 1),
            ("ti\u{1ebf}ng", 1),
        ] {
            assert_eq!(Estimate::of(text).least(), tokens, "{text:?}");
        }
        assert_eq!(Estimate::of(&"stone ".repeat(40)).least(), 40);
    }

    /// Thousandths of a token and of the least, character by character and without any table.
    fn plain(text: &str) -> (u64, u64) {
        let (mut weight, mut least) = (0, 0);
        let (mut last, mut run, mut small, mut joins) = (None, 0u64, false, false);
        for c in text.chars() {
            let class = Class::of(c);
            let capital = class == Class::Letter && c.is_uppercase();
            let hump = capital && small && last == Some(Class::Letter);
            least += match class {
                Class::Digit => 250,
                Class::Wide => 200,
                _ if class.is_letter() && !joins && !last.is_some_and(Class::is_letter) => 1000,
                _ => 0,
            };
            joins = matches!(c, '\'' | '\u{2019}');
            run = if last == Some(class) && !hump { run + 1 } else { 1 };
            small = class == Class::Letter && !capital;
            last = Some(class);
            weight += match class {
                Class::Letter if hump => 700,
                Class::Letter if run == 1 => 1000,
                Class::Letter if run > 6 => 300,
                Class::Letter if capital => 150,
                Class::Letter => 0,
                _ => u64::from(class.weight(run == 1, run == 2)),
            };
            weight += if class == Class::Letter && !c.is_ascii() { 900 } else { 0 };
        }
        (weight, least)
    }

    #[test]
    fn every_character_has_the_kind_that_its_first_byte_says() {
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let text = c.encode_utf8(&mut buffer);
            let lead = of_byte(&LEADS, text.as_bytes()[0]);
            let kind = lead & KIND;
            assert_eq!(usize::from(lead >> LENGTH), text.len(), "{c:?}");
            assert!(kind == ASK || kind == Kind::of(c).number(), "{c:?}");
            assert_eq!(Kind::numbered(Kind::of(c).number()), Kind::of(c), "{c:?}");
        }
        assert!((0..27).all(|number| matches!(State::of(number).number(), 0) || State::of(number).number() == number));
    }

    #[test]
    fn sums_of_long_texts_have_room() {
        for unit in ["a", "A-", "1", "\n", "\u{6211}", "\u{1f600}", "a\u{1f600}", "\u{950} "] {
            let text = unit.repeat(200_000);
            let estimate = Estimate::of(&text);
            assert_eq!((estimate.weight, estimate.least), plain(&text), "{unit:?}");
        }
    }

    proptest! {
        #[test]
        fn tables_count_as_the_rules_do(text in "[a-cA-C1 '.\n\u{2019}\u{e9}\u{c9}\u{411}\u{6211}\u{1f600}\u{950}]{0,40}|[a-z]{0,20}|\\PC*") {
            let estimate = Estimate::of(&text);
            prop_assert_eq!((estimate.weight, estimate.least), plain(&text));
        }

        #[test]
        fn pieces_of_a_text_give_what_the_whole_gives(text in any::<String>(), at in any::<prop::sample::Index>()) {
            let at = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(at.index(text.chars().count() + 1)).unwrap();
            let mut pieces = Estimate::default();
            let (one, two) = text.split_at(at);
            pieces.push(one);
            pieces.push(two);
            prop_assert_eq!(pieces, Estimate::of(&text));
        }
    }
}
