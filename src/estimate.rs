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

/// A text's tokens, piece by piece: the pieces of one text give what the whole gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Thousandths of a token.
    weight: u64,
    /// The same, of what every tokenizer counts.
    least: u64,
    bytes: u64,
    /// A letter before which a word begins is no word of its own: `t` in `don't`.
    joins: bool,
    /// The class of the last character, and how many of it there were in a row.
    last: Option<Class>,
    run: u32,
    /// The last character is a small letter: a capital after it begins a word.
    small: bool,
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
const LONG: u32 = 6;

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
        let mut rest = text;
        loop {
            let small = rest.bytes().take_while(u8::is_ascii_lowercase).count();
            self.add_small(small as u64);
            rest = rest.get(small..).unwrap_or_default();
            // Most words have one space behind them, and the next word is small.
            if let Some(after) =
                rest.strip_prefix(' ').filter(|after| after.starts_with(|c: char| c.is_ascii_lowercase()))
            {
                self.add_space();
                rest = after;
                continue;
            }
            let mut chars = rest.chars();
            let Some(c) = chars.next() else { return };
            self.add_char(c);
            rest = chars.as_str();
        }
    }

    /// Adds one space that ends a word: what [`Estimate::add_char`] makes of it behind a letter.
    fn add_space(&mut self) {
        if self.last == Some(Class::Letter) {
            (self.joins, self.run, self.small, self.last) = (false, 1, false, Some(Class::Space));
        } else {
            self.add_char(' ');
        }
    }

    /// Adds so many small letters of ASCII: what [`Estimate::add_char`] makes of each in turn.
    fn add_small(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let goes_on = self.last == Some(Class::Letter);
        if !goes_on {
            self.weight = self.weight.saturating_add(1000);
            self.run = 0;
        }
        if !self.joins && !self.last.is_some_and(Class::is_letter) {
            self.least = self.least.saturating_add(1000);
        }
        let run = u64::from(self.run).saturating_add(count);
        let beyond = run.saturating_sub(u64::from(LONG)).min(count);
        self.weight = self.weight.saturating_add(beyond.saturating_mul(300));
        self.run = u32::try_from(run).unwrap_or(u32::MAX);
        (self.joins, self.small, self.last) = (false, true, Some(Class::Letter));
    }

    /// Adds one character.
    fn add_char(&mut self, c: char) {
        let class = Class::of(c);
        let capital = class == Class::Letter && c.is_uppercase();
        let hump = capital && self.small && self.last == Some(Class::Letter);
        self.least = self.least.saturating_add(match class {
            Class::Digit => 250,
            Class::Wide => 200,
            _ if class.is_letter() && !self.joins && !self.last.is_some_and(Class::is_letter) => 1000,
            _ => 0,
        });
        self.joins = matches!(c, '\'' | '\u{2019}');
        self.run = if self.last == Some(class) && !hump { self.run.saturating_add(1) } else { 1 };
        self.small = class == Class::Letter && !capital;
        self.last = Some(class);
        let weight = match class {
            Class::Letter if hump => 700,
            Class::Letter if self.run == 1 => 1000,
            Class::Letter if self.run > LONG => 300,
            Class::Letter if capital => 150,
            Class::Letter => 0,
            _ => class.weight(self.run == 1, self.run == 2),
        };
        // Letters with marks cut words into pieces.
        let marked = if class == Class::Letter && !c.is_ascii() { 900 } else { 0 };
        self.weight = self.weight.saturating_add(weight + marked);
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

impl Class {
    fn of(c: char) -> Class {
        match c {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Digit,
            ' ' | '\t' => Class::Space,
            '\n' | '\r' => Class::Line,
            '\0'..='\x7f' => Class::Mark,
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
    const fn weight(self, first: bool, second: bool) -> u64 {
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

    proptest! {
        #[test]
        fn runs_of_small_letters_count_as_their_letters_do(text in "[a-cA-C1 '.\u{2019}\u{e9}\u{411}\u{6211}]{0,40}|[a-z]{0,20}|\\PC*") {
            let mut one_by_one = Estimate { bytes: text.len() as u64, ..Estimate::default() };
            text.chars().for_each(|c| one_by_one.add_char(c));
            prop_assert_eq!(one_by_one, Estimate::of(&text));
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
