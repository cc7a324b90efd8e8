//! Text as the rules and the scorer see it, with the way back to the original bytes.
//!
//! Lower case, NFKC, no accents, no invisible characters, one space for any white space, look-alikes of Latin
//! letters folded where a word mixes scripts or could be Latin throughout, escapes and markup inside words read.
//! Genuine Cyrillic, Greek or Armenian words keep their letters. Linear; the output is at most eleven times as long as
//! the input (one Arabic ligature). Decides nothing about what is an attack.
//!
//! Idempotent, unless [`Normalised::residue`] is set: escapes within escapes are undone eight deep.
//!
//! ```
//! # use bartizan_rules::normalise;
//! assert_eq!(normalise::to_string("Ｉｇｎｏｒｅ  аll\u{200b}"), "ignore all");
//! ```

mod escapes;
mod offsets;
mod plain;
mod separated;
mod tables;

use std::ops::Range;

use crate::invariant::{between, onwards, part, sure};
use crate::letters::is_alphanumeric;

use unicode_normalization::char::{compose, decompose_compatible, is_combining_mark};

pub use offsets::Marks;
use offsets::Offsets;

/// Rounds over a text at most; each undoes one level of escapes within escapes.
const ROUNDS: usize = 8;
/// Foreign letters of one word that are judged together.
const LONGEST_WORD: usize = 64;

/// What may bring forth something new to read, so that another round is due.
const FERTILE: Marks = Marks::ENTITY
    .with(Marks::ESCAPE)
    .with(Marks::PERCENT)
    .with(Marks::MARKUP)
    .with(Marks::INVISIBLE)
    .with(Marks::SEPARATED)
    .with(Marks::TAGS);

/// The ASCII letter or digit that a reader sees in a character, by itself and beside any other.
pub fn letter(c: char) -> Option<u8> {
    let plain = |c: char| u8::try_from(c).ok().filter(u8::is_ascii_alphanumeric);
    if c.is_ascii() {
        return plain(c);
    }
    let mut first = None;
    decompose_compatible(c, |part| first = first.or(Some(part)));
    let drawn = || {
        let lower = c.to_lowercase().next().unwrap_or(c);
        tables::latin(c).and_then(|text| text.chars().next()).or_else(|| tables::stand_in(lower))
    };
    tables::tag(c).or(first).and_then(plain).or_else(|| drawn().and_then(plain))
}

/// Letters that one character may stand for. Two stand for more, and for phrases that hide nothing: U+FDFA and U+FDFB
/// are left as they are, so that three bytes do not cost what 33 do.
const LIGATURE: usize = 7;

/// A normalised text.
#[derive(Clone, Debug, Default)]
pub struct Normalised {
    text: String,
    /// One table a round, first round first; none: every byte is where it was.
    tables: Vec<Offsets>,
    seen: Marks,
    /// What was left out at the end of a round's text, where no character came after it.
    at_end: Marks,
    residue: bool,
    work: usize,
}

impl Normalised {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Everything that was done anywhere in the text.
    pub fn seen(&self) -> Marks {
        self.seen
    }

    /// True when the last round still changed the text: escapes nest deeper than was undone.
    pub fn residue(&self) -> bool {
        self.residue
    }

    /// Bytes that were read in all rounds.
    pub fn work(&self) -> usize {
        self.work
    }

    /// The original bytes to which any of these was done, in order.
    pub fn places(&self, marks: Marks) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        for (round, table) in self.tables.iter().enumerate() {
            let earlier = between(&self.tables, 0..round);
            let original = |place| earlier.iter().rev().fold(place, |place, table| table.source(place).0);
            places.extend(table.places(marks).map(original));
        }
        if self.at_end.meets(marks) {
            places.push(self.source(self.text.len()..self.text.len()).0);
        }
        places.sort_unstable_by_key(|place| place.start);
        places
    }

    /// The original bytes of a range of [`Normalised::text`], and what was done to them.
    pub fn source(&self, range: Range<usize>) -> (Range<usize>, Marks) {
        self.tables.iter().rev().fold((range, Marks::NONE), |(range, marks), table| {
            let (range, more) = table.source(range);
            (range, marks.with(more))
        })
    }
}

/// Only the normalised form: for keywords, training and explanation.
pub fn to_string(text: &str) -> String {
    normalise(text).text
}

/// Normalises a text.
pub fn normalise(text: &str) -> Normalised {
    rounds(text, true)
}

/// The same with case, and so with what base64 and secrets need, kept as it is.
pub fn cleaned(text: &str) -> Normalised {
    rounds(text, false)
}

fn rounds(text: &str, lower: bool) -> Normalised {
    let mut out = Normalised { text: String::new(), ..Normalised::default() };
    for round in 0..ROUNDS {
        let input = if round == 0 { text } else { &out.text };
        let fold = Fold::run(input, lower);
        out.work += input.len();
        out.seen = out.seen.with(fold.seen);
        out.at_end = out.at_end.with(fold.pending);
        // A round that may bring forth something new has brought forth nothing where the text is as it was.
        let again = fold.again && fold.out != input;
        let moved = !fold.offsets.is_identity(input.len());
        if moved {
            out.tables.push(fold.offsets);
        }
        out.text = fold.out;
        // Letters between which white space was many characters are one space apart now.
        if !again && (!moved || separated::gaps(&out.text).is_empty()) {
            return out;
        }
    }
    out.residue = true;
    out
}

/// A reading of leetspeak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leet {
    /// The text, byte for byte as long as the one that was read.
    pub text: String,
    /// The words that read otherwise, in order.
    pub words: Vec<Range<usize>>,
    /// Where those of them begin that mix letters and signs; the others are short numbers beside them.
    pub mixed: Vec<usize>,
}

/// The reading of leetspeak; `None` when too few words mix letters and digits. Give it normalised text.
pub fn leet(normalised: &str) -> Option<Leet> {
    if !worth_a_look(normalised.as_bytes()) {
        return None;
    }
    let words = || leet_words(normalised);
    if words().filter(|word| is_mixed(between(normalised.as_bytes(), word.clone()))).take(2).count() < 2 {
        return None;
    }
    let mut out = normalised.replace('\n', " ").into_bytes();
    let (mut changed, mut mix) = (Vec::new(), Vec::new());
    // Words since the last one that mixes; where one without any sign is passed over, it counts, too.
    let mut run = 0u32;
    let mut last = 0;
    for word in words() {
        let bytes = between(normalised.as_bytes(), word.clone());
        if run > 0 {
            let gaps = between(normalised.as_bytes(), last..word.start).iter().filter(|b| is_gap(**b)).take(4).count();
            run = run.saturating_sub((gaps as u32).saturating_sub(1));
        }
        last = word.end;
        let mixed = is_mixed(bytes);
        let short_number = bytes.len() <= 3 && bytes.iter().all(|b| tables::leet(*b).is_some());
        let folds = mixed || (short_number && run > 0);
        run = if mixed { 3 } else { run.saturating_sub(1) };
        if !folds {
            continue;
        }
        // A sign that ends a word is more often punctuation.
        let ending = bytes.iter().rev().take_while(|b| matches!(b, b'!' | b'|' | b'+')).count();
        let read = word.start..word.end - ending;
        for byte in sure(out.get_mut(read)).unwrap_or_default() {
            *byte = tables::leet(*byte).unwrap_or(*byte);
        }
        if out.get(word.clone()) != Some(bytes) {
            mix.extend(mixed.then_some(word.start));
            changed.push(word);
        }
    }
    let text = String::from_utf8(out).ok();
    sure(text).filter(|_| !changed.is_empty()).map(|text| Leet { text, words: changed, mixed: mix })
}

const fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n')
}

/// The words of a text that hold a digit or sign of leetspeak, in order.
fn leet_words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + next_sign(onwards(bytes, from))?;
        let before = between(bytes, from..at).iter().rev().take_while(|b| !is_gap(**b)).count();
        let after = onwards(bytes, at).iter().take_while(|b| !is_gap(**b)).count();
        from = at + after;
        Some(at - before..from)
    })
}

/// Where the next byte is that stands for a letter in leetspeak.
fn next_sign(bytes: &[u8]) -> Option<usize> {
    let sign = |byte: u8| byte.is_ascii_digit() | matches!(byte, b'@' | b'$' | b'!' | b'+' | b'|');
    let blocks = bytes.chunks(plain::BLOCK);
    let passed = blocks.take_while(|block| block.iter().fold(0, |any, b| any | u8::from(sign(*b))) == 0).count();
    let from = (passed * plain::BLOCK).min(bytes.len());
    onwards(bytes, from).iter().position(|byte| sign(*byte)).map(|at| from + at)
}

/// A word of letters and of signs that stand for some.
fn is_mixed(word: &[u8]) -> bool {
    let (mut letters, mut signs) = (0, 0);
    for byte in between(word, 0..word.len().min(25)) {
        letters += usize::from(byte.is_ascii_alphabetic());
        signs += usize::from(matches!(byte, b'0' | b'1' | b'3' | b'4' | b'5' | b'7' | b'@' | b'$'));
    }
    letters > 0 && signs > 0 && letters + signs + 2 >= word.len() && word.len() <= 24
}

/// Two signs of leetspeak that touch a letter.
fn worth_a_look(text: &[u8]) -> bool {
    let letter = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_lowercase);
    let sign = |byte: u8| byte.is_ascii_digit() | (byte == b'@') | (byte == b'$');
    let mut found = 0;
    for (block, bytes) in text.chunks(plain::BLOCK).enumerate() {
        if bytes.iter().fold(0, |any, byte| any | u8::from(sign(*byte))) == 0 {
            continue;
        }
        for at in bytes.iter().enumerate().filter(|(_, b)| sign(**b)).map(|(at, _)| block * plain::BLOCK + at) {
            found += usize::from(letter(at.checked_sub(1)) || letter(Some(at + 1)));
            if found == 2 {
                return true;
            }
        }
    }
    false
}

/// One round over a text.
struct Fold<'t> {
    text: &'t str,
    out: String,
    offsets: Offsets,
    seen: Marks,
    /// Lower-case foreign letters of the word that is being read.
    word: Vec<(char, Range<usize>, Marks)>,
    /// For the next character that is put: what was left out before it.
    pending: Marks,
    in_tags: bool,
    again: bool,
    lower: bool,
    /// The text has a byte that could start an escape.
    fertile: bool,
}

impl<'t> Fold<'t> {
    fn new(text: &'t str, lower: bool) -> Self {
        Fold {
            text,
            out: String::with_capacity(text.len() + text.len() / 16),
            offsets: Offsets::default(),
            seen: Marks::NONE,
            word: Vec::new(),
            pending: Marks::NONE,
            in_tags: false,
            again: false,
            lower,
            fertile: plain::is_fertile(text.as_bytes()),
        }
    }

    fn run(text: &'t str, lower: bool) -> Self {
        let mut fold = Fold::new(text, lower);
        fold.read(Fold::read_to);
        fold
    }

    /// Reads the text with `read_to` between what parts single letters.
    fn read(&mut self, read_to: impl Fn(&mut Self, usize, usize) -> usize) {
        let mut at = 0;
        for gap in separated::gaps(self.text) {
            at = read_to(self, at, gap.start);
            if at <= gap.start {
                self.left_out(Marks::SEPARATED);
                at = gap.end;
            }
        }
        read_to(self, at, self.text.len());
        self.flush(false);
    }

    /// Reads up to `end`, or a little further where an escape crosses it; returns where it stopped.
    fn read_to(&mut self, mut at: usize, end: usize) -> usize {
        while at < end {
            at = self.plain(at, end);
            at += self.blanks(at, end);
            if at >= end {
                break;
            }
            at = self.special(at);
        }
        at
    }

    /// The fast loop: ASCII that only needs lower case and single spaces, and letters that are their own normal form, but
    /// for one that the next character may change.
    fn plain(&mut self, at: usize, end: usize) -> usize {
        let bytes = between(self.text.as_bytes(), at..end);
        let spaced = self.last().is_none_or(|last| last == b' ');
        let plain::Run { mut length, steady } = plain::run(bytes, spaced);
        if let Some(steady) = steady
            && let Some(next) = part(self.text, at + length..self.text.len()).chars().next()
            && joining(next).is_some()
        {
            length = steady;
        }
        let run = part(self.text, at..at + length);
        let Some(first) = run.chars().next() else { return at };
        self.flush(first.is_ascii_alphabetic());
        self.leave_tags(at);
        let start = self.out.len();
        let marks = std::mem::take(&mut self.pending);
        if self.lower {
            plain::fold(run, &mut self.out);
        } else {
            self.out.push_str(run);
        }
        // What was left out before it is noted with the first character.
        let first = if marks == Marks::NONE { 0 } else { first.len_utf8() };
        self.offsets.note(at..at + first, start, first, true, marks);
        self.offsets.note(at + first..at + length, start + first, length - first, true, Marks::NONE);
        at + length
    }

    /// How many bytes are white space behind a space, of which nothing is written.
    fn blanks(&self, at: usize, end: usize) -> usize {
        let nothing = self.last().is_none_or(|last| last == b' ') && self.word.is_empty() && !self.in_tags;
        let rest = if nothing { sure(self.text.as_bytes().get(at..end)) } else { None };
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r') || *byte == b'_' && self.lower;
        rest.map_or(0, |rest| rest.iter().take_while(|byte| blank(byte)).count())
    }

    /// One character that is not plain.
    fn special(&mut self, at: usize) -> usize {
        let Some(c) = sure(self.text.get(at..).and_then(|rest| rest.chars().next())) else {
            return self.text.ceil_char_boundary(at + 1);
        };
        if c.is_ascii() {
            let joins = !self.word.is_empty() || self.out.chars().next_back().is_some_and(is_alphanumeric);
            return match escapes::read(self.text, at, joins) {
                Some(escapes::Read::Char(c, used, marks)) => {
                    self.again = true;
                    self.char(c, at..at + used, marks);
                    at + used
                }
                Some(escapes::Read::Nothing(used)) => {
                    self.left_out(Marks::MARKUP);
                    at + used
                }
                Some(escapes::Read::Kept(run)) => {
                    (at..at + run).for_each(|at| self.char(c, at..at + 1, Marks::NONE));
                    at + run
                }
                None => {
                    self.char(c, at..at + 1, Marks::NONE);
                    at + 1
                }
            };
        }
        let mut end = at + c.len_utf8();
        if let Some(lower) = tables::cyrillic(c) {
            self.leave_tags(at);
            if self.word.len() >= LONGEST_WORD {
                self.flush(false);
            }
            let marks = std::mem::take(&mut self.pending);
            self.word.push((if self.lower { lower } else { c }, at..end, marks));
            return end;
        }
        let mut c = c;
        // Kana and Hangul are put together; everything else is taken apart.
        while let Some(next) = self.text.get(end..).and_then(|rest| rest.chars().next())
            && let Some(part) = joining(next)
            && let Some(whole) = compose(c, part)
        {
            c = whole;
            end += next.len_utf8();
            self.again = true;
        }
        self.char(c, at..end, Marks::NONE);
        end
    }

    /// The last byte written.
    fn last(&self) -> Option<u8> {
        self.out.as_bytes().last().copied()
    }

    fn left_out(&mut self, marks: Marks) {
        self.pending = self.pending.with(marks);
        self.seen = self.seen.with(marks);
        self.again |= marks.meets(FERTILE);
    }

    /// Any character, from the text or out of an escape.
    fn char(&mut self, c: char, source: Range<usize>, marks: Marks) {
        if tables::is_invisible(c) {
            // Arabic's joining stroke and emoji selectors are ordinary writing.
            let ordinary = matches!(c, '\u{640}' | '\u{fe0e}' | '\u{fe0f}');
            self.left_out(if ordinary { marks } else { marks.with(Marks::INVISIBLE) });
            self.again = true;
            return;
        }
        if let Some(ascii) = tables::tag(c) {
            if !self.in_tags {
                self.flush(false);
                self.space(source.clone(), Marks::TAGS);
                self.in_tags = true;
            }
            self.again = true;
            self.ascii(ascii, source, marks.with(Marks::TAGS));
            return;
        }
        self.leave_tags(source.start);
        if c.is_ascii() {
            self.ascii(c, source, marks);
        } else if matches!(c, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
            self.base(c, source, marks);
        } else if !self.lower && !is_key(c) && !c.is_whitespace() {
            self.flush(false);
            let mut buffer = [0; 4];
            self.put(c.encode_utf8(&mut buffer), source, marks);
        } else {
            let mut parts = [None; LIGATURE];
            let mut count = 0;
            decompose_compatible(c, |part| {
                if let Some(slot) = parts.get_mut(count) {
                    *slot = Some(part);
                }
                count += 1;
            });
            if count > LIGATURE {
                return self.base(c, source, marks);
            }
            let changed = parts.first() != Some(&Some(c)) && !is_accented(c);
            let marks = if changed { marks.with(Marks::COMPATIBILITY) } else { marks };
            for part in parts.into_iter().flatten() {
                self.again |= joining(part).is_some();
                self.base(part, source.clone(), marks);
            }
        }
    }

    /// A character that decomposes no further.
    fn base(&mut self, c: char, source: Range<usize>, marks: Marks) {
        if c.is_ascii() {
            self.again |= self.fertile || !c.is_ascii_alphanumeric();
            return self.ascii(c, source, marks);
        }
        if tables::is_steady(c) {
            self.flush(false);
            let mut buffer = [0; 4];
            return self.put(c.encode_utf8(&mut buffer), source, marks);
        }
        if tables::is_invisible(c) {
            // Part of a ligature: Arabic's joining stroke under a vowel sign.
            return self.left_out(marks);
        }
        if is_noise(c) {
            // What it parted may be an escape now.
            self.again |= self.fertile;
            let on_latin = self.last().is_some_and(|last| last.is_ascii_alphabetic()) && source.len() == c.len_utf8();
            if on_latin {
                self.left_out(Marks::COMBINING);
            }
            return;
        }
        if c.is_whitespace() {
            self.flush(false);
            return self.space(source, marks);
        }
        if let Some(folded) = tables::punctuation(c) {
            self.flush(false);
            self.again |= self.fertile || folded == "<";
            return self.put(folded, source, marks);
        }
        if let Some(folded) = tables::latin(c) {
            self.flush(true);
            self.again |= self.fertile;
            let accent = matches!(
                c,
                'ß' | 'ẞ' | 'æ' | 'Æ' | 'œ' | 'Œ' | 'ı' | 'ø' | 'Ø' | 'đ' | 'Đ' | 'ł' | 'Ł' | 'ð' | 'þ' | '€'
            );
            return self.put(folded, source, if accent { marks } else { marks.with(Marks::COMPATIBILITY) });
        }
        for lower in fold_case(c) {
            if is_noise(lower) {
                self.again |= self.fertile;
                continue;
            }
            if lower.is_ascii() {
                self.ascii(lower, source.clone(), marks);
            } else if let Some(folded) = tables::latin(lower) {
                // A capital of which only the small letter is in the table.
                self.flush(true);
                self.again |= self.fertile;
                self.put(folded, source.clone(), marks.with(Marks::COMPATIBILITY));
            } else if tables::is_foreign(lower) {
                if self.word.len() >= LONGEST_WORD {
                    self.flush(false);
                }
                let marks = marks.with(std::mem::take(&mut self.pending));
                self.word.push((lower, source.clone(), marks));
            } else {
                self.flush(false);
                let mut buffer = [0; 4];
                self.put(lower.encode_utf8(&mut buffer), source.clone(), marks);
            }
        }
    }

    fn ascii(&mut self, c: char, source: Range<usize>, marks: Marks) {
        // Keys hold lines that words don't.
        if c.is_ascii_whitespace() || c == '_' && self.lower || c == '\u{b}' {
            self.flush(false);
            return self.space(source, marks);
        }
        if c.is_ascii_control() {
            return self.left_out(marks.with(Marks::INVISIBLE));
        }
        self.flush(c.is_ascii_alphabetic());
        let mut buffer = [0; 4];
        let c = if self.lower { c.to_ascii_lowercase() } else { c };
        self.put(c.encode_utf8(&mut buffer), source, marks);
    }

    fn leave_tags(&mut self, at: usize) {
        if self.in_tags {
            self.in_tags = false;
            self.space(at..at, Marks::TAGS);
        }
    }

    fn space(&mut self, source: Range<usize>, marks: Marks) {
        if !self.out.is_empty() && self.last() != Some(b' ') {
            self.put(" ", source, marks);
        }
    }

    fn put(&mut self, text: &str, source: Range<usize>, marks: Marks) {
        let marks = marks.with(std::mem::take(&mut self.pending));
        self.seen = self.seen.with(marks);
        let single = text.chars().nth(1).is_none();
        self.offsets.note(source, self.out.len(), text.len(), single, marks);
        self.out.push_str(text);
    }

    /// Writes the foreign letters that were held back, folded when the word mixes scripts or could be Latin throughout.
    fn flush(&mut self, latin_follows: bool) {
        if self.word.is_empty() {
            return;
        }
        let mut word = std::mem::take(&mut self.word);
        let after = std::mem::take(&mut self.pending);
        let mixed = latin_follows || self.last().is_some_and(|last| last.is_ascii_alphabetic());
        let reading: fn(char) -> Option<char> = if mixed { tables::stand_in } else { tables::twin };
        let folds = word.iter().all(|(c, ..)| reading(*c).is_some());
        self.again |= folds && self.fertile;
        for (c, source, marks) in word.drain(..) {
            let (c, marks) = match reading(c).filter(|_| folds) {
                Some(letter) => (letter, marks.with(Marks::CONFUSABLE)),
                None => (c, marks),
            };
            let mut buffer = [0; 4];
            self.put(c.encode_utf8(&mut buffer), source, marks);
        }
        self.word = word;
        self.pending = after;
    }
}

/// A part that joins the letter before it: a kana's voicing mark, a Hangul vowel or final.
fn joining(c: char) -> Option<char> {
    match c {
        '\u{3099}' | '\u{309a}' | '\u{1161}'..='\u{1175}' | '\u{11a8}'..='\u{11c2}' => Some(c),
        '\u{ff9e}' => Some('\u{3099}'),
        '\u{ff9f}' => Some('\u{309a}'),
        _ => None,
    }
}

/// A letter, digit or sign of ASCII in another guise, which keys and encodings are read without.
pub fn is_key(c: char) -> bool {
    matches!(c, '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}' | '\u{212a}' | '\u{17f}')
}

/// Marks that carry no letter's worth of meaning once they are gone: accents, points, overlays, enclosures.
fn is_noise(c: char) -> bool {
    if !is_combining_mark(c) {
        return false;
    }
    let class = unicode_normalization::char::canonical_combining_class(c);
    matches!(class, 1 | 7 | 10..=36 | 200..=240) || matches!(c, '\u{20d0}'..='\u{20ff}' | '\u{488}' | '\u{489}')
}

/// A letter with an accent: its decomposition is canonical, so taking it apart hides nothing. The Kelvin sign's is a K.
fn is_accented(c: char) -> bool {
    let mut canonical = false;
    unicode_normalization::char::decompose_canonical(c, |part| canonical |= part != c && c != '\u{212a}');
    canonical
}

fn fold_case(c: char) -> impl Iterator<Item = char> {
    let cherokee = matches!(c, '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}');
    let (upper, lower) = (cherokee.then(|| c.to_uppercase()), (!cherokee).then(|| c.to_lowercase()));
    let fold = |c: char| if c == 'ς' { 'σ' } else { c };
    upper.into_iter().flatten().chain(lower.into_iter().flatten()).map(fold)
}

#[cfg(test)]
mod tests;
