//! Every word of every shipped rule in one table that is laid out at build time, and which rules a word speaks for.
//!
//! Whole words: `word` is found between boundaries, `word*` has an open end. Scripts that write no boundaries (Chinese,
//! Japanese, Korean, Thai and neighbours) have none, and neither has a run of twenty and more letters, which is no word
//! but a sentence without spaces. A word is looked for where one may start, and nowhere else: ordinary text is
//! left after a few bytes of each of its words. Linear: from each such place at most as many bytes are read as the
//! longest word has.
//!
//! The table is a double array: the child of a unit on byte `c` is at `base ^ c` and carries `c` as its label.
//!
//! ```
//! use bartizan_rules::lexicon::{fold_word, is_bounded};
//!
//! assert_eq!(fold_word("Ignor*", &|word| word.to_lowercase()).unwrap(), "ignor*");
//! assert!(is_bounded('ж') && !is_bounded('略'), "Chinese writes no boundaries between words");
//! ```

use crate::invariant::{between, of_byte, onwards, part, sure};
use crate::letters::{is_alphanumeric, is_short};

/// Letters in a row that are taken for a sentence without spaces.
pub const GLUED: usize = 20;
/// Shortest word that is looked for in such a run.
pub const GLUED_WORD: usize = 4;
/// Letters that a found word with an open end is prolonged by.
const LONGEST_ENDING: usize = 24;

/// Units of [`Lexicon::starts`].
pub const STARTS: usize = 512;

/// A unit of the table stands for a whole word, whose number is at `base`.
pub const WHOLE: u32 = 1 << 8;
/// Where the base begins in a unit.
pub const BASE: u32 = 9;
/// In a packed word: the next one is spelled alike.
pub const MORE: u32 = 1 << 20;

/// The table, and what is known of each word.
#[derive(Clone, Copy, Debug)]
pub struct Lexicon {
    /// Units: label in bits 0 to 7, [`WHOLE`], base above. The unit of a word's number has the label 0.
    pub units: &'static [u32],
    /// One bit for each hash of the four letters and digits that a word of the text may begin with to be worth a walk;
    /// shorter words of the text are filled up with zeros.
    pub starts: &'static [u64; STARTS],
    /// By word: its list of uses in bits 0 to 15, then a bit each for a boundary that must follow, wide, phrase, open
    /// end, and [`MORE`].
    pub words: &'static [u32],
}

/// What is known of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Which list of uses.
    pub uses: u16,
    /// A boundary must follow.
    pub bound_end: bool,
    /// In a script of two bytes a letter, or an Indic one: distances count half.
    pub wide: bool,
    /// Has a space in it.
    pub phrase: bool,
    /// The word that it begins belongs to it.
    pub open_end: bool,
}

impl Word {
    fn unpacked(packed: u32) -> Word {
        let flag = |at: u32| packed >> at & 1 == 1;
        Word {
            uses: (packed & 0xffff) as u16,
            bound_end: flag(16),
            wide: flag(17),
            phrase: flag(18),
            open_end: flag(19),
        }
    }
}

/// A word found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// Which list of uses.
    pub uses: u16,
    /// Distances count half.
    pub wide: bool,
}

/// Found words that wait until no word with an earlier end can come.
#[derive(Debug, Default)]
struct Waiting(Vec<(usize, usize, Word)>);

impl Waiting {
    fn put(&mut self, end: usize, start: usize, word: Word) {
        let later = self.0.iter().rev().take_while(|(e, s, _)| (*e, *s) > (end, start)).count();
        match later {
            0 => self.0.push((end, start, word)),
            _ => self.0.insert(self.0.len() - later, (end, start, word)),
        }
    }

    fn flush(&mut self, until: usize, text: &str, take: &mut dyn FnMut(Hit)) {
        let mut ready = 0;
        for (end, start, word) in self.0.iter().take_while(|(end, ..)| *end <= until) {
            let end = if word.open_end { word_end(text, *end) } else { *end };
            take(Hit { start: *start, end, uses: word.uses, wide: word.wide });
            ready += 1;
        }
        if ready == self.0.len() {
            self.0.clear();
        } else {
            self.0.drain(..ready);
        }
    }
}

impl Lexicon {
    /// Calls `take` with every word found, in the order of their ends, the longer first. Returns how many bytes were
    /// compared.
    pub fn each(&self, text: &str, take: &mut dyn FnMut(Hit)) -> usize {
        let bytes = text.as_bytes();
        let mut waiting = Waiting::default();
        let mut compared = 0;
        let (mut at, mut inside) = (0, false);
        while let Some(&byte) = bytes.get(at) {
            if byte == b' ' {
                (at, inside) = (at + 1, false);
                continue;
            }
            if !waiting.0.is_empty() {
                waiting.flush(at, text, take);
            }
            let rest = onwards(bytes, at);
            if is_token(byte) {
                let length = rest.iter().take_while(|byte| is_token(**byte)).count();
                if length >= GLUED {
                    self.long(text, at, at + length, inside, &mut waiting, take, &mut compared);
                } else if !inside && self.may_start(rest, length) {
                    self.walk(rest, &mut compared, |length, word| {
                        if !word.bound_end || !joins(text, at + length) {
                            waiting.put(at + length, at, word);
                        }
                    });
                }
                (at, inside) = (at + length, true);
                continue;
            }
            let (length, bounded) = if byte.is_ascii() {
                (1, false)
            } else if is_short(rest) {
                (2, true)
            } else {
                let c = text.get(at..).and_then(|rest| rest.chars().next());
                sure(c).map_or((1, false), |c| (c.len_utf8(), is_bounded(c)))
            };
            if !inside || !bounded {
                self.walk(rest, &mut compared, |length, word| {
                    if !word.bound_end || !joins(text, at + length) {
                        waiting.put(at + length, at, word);
                    }
                });
            }
            (at, inside) = (at + length, bounded);
        }
        waiting.flush(bytes.len(), text, take);
        compared
    }

    /// A token with at least [`GLUED`] letters and digits: words in it, wherever that many letters touch.
    #[allow(clippy::too_many_arguments, reason = "the state of one loop")]
    fn long(
        &self,
        text: &str,
        start: usize,
        end: usize,
        inside: bool,
        waiting: &mut Waiting,
        take: &mut dyn FnMut(Hit),
        compared: &mut usize,
    ) {
        let bytes = text.as_bytes();
        let mut run = start..start;
        for at in start..end {
            if at >= run.end {
                let rest = between(bytes, at..end);
                run = at..at + rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
            }
            let glued = run.len() >= GLUED;
            let whole = at == start && !inside;
            if !glued && !whole {
                continue;
            }
            if !waiting.0.is_empty() {
                waiting.flush(at, text, take);
            }
            self.walk(onwards(bytes, at), compared, |length, word| {
                let last = at + length;
                let stands = whole && (!word.bound_end || !joins(text, last));
                if stands || (glued && last <= run.end && last - at >= GLUED_WORD && !word.phrase) {
                    waiting.put(last, at, word);
                }
            });
        }
    }

    /// False: no word begins so. `length`: letters and digits that `rest` begins with.
    fn may_start(&self, rest: &[u8], length: usize) -> bool {
        let Some(four) = rest.first_chunk::<4>() else { return true };
        let kept = 32_u32.saturating_sub(8 * length as u32);
        let four = u32::from_le_bytes(*four) & (u32::MAX >> kept);
        let bit = start(four.to_le_bytes());
        sure(self.starts.get((bit >> 6) as usize)).is_none_or(|bits| bits >> (bit & 63) & 1 == 1)
    }

    /// Every word that `rest` begins with, the shorter first.
    fn walk(&self, rest: &[u8], compared: &mut usize, mut take: impl FnMut(usize, Word)) {
        let Some(&root) = sure(self.units.first()) else { return };
        let (mut unit, mut length) = (root, 0);
        for &byte in rest {
            length += 1;
            // Past the last unit no word goes on: the table ends with its last one.
            let Some(&next) = self.units.get(((unit >> BASE) ^ u32::from(byte)) as usize) else { break };
            if next & 0xff != u32::from(byte) {
                break;
            }
            unit = next;
            if unit & WHOLE != 0 {
                let number = self.units.get((unit >> BASE) as usize).map(|value| value >> 8);
                let words =
                    number.and_then(|number| self.words.get(number as usize..)).filter(|words| !words.is_empty());
                for packed in sure(words).unwrap_or_default() {
                    take(length, Word::unpacked(*packed));
                    if packed & MORE == 0 {
                        break;
                    }
                }
            }
        }
        *compared += length;
    }
}

/// Letters and digits of ASCII.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[allow(clippy::indexing_slicing)] // a constant: a fault would not compile
        {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
        }
        byte += 1;
    }
    table
};

fn is_token(byte: u8) -> bool {
    of_byte(&TOKEN, byte)
}

/// The bit of four letters and digits in [`Lexicon::starts`].
pub const fn start(four: [u8; 4]) -> u32 {
    u32::from_le_bytes(four).wrapping_mul(0x9E37_79B1) >> 17
}

/// True when the character at `at` belongs to a script with word boundaries.
fn joins(text: &str, at: usize) -> bool {
    match text.as_bytes().get(at) {
        Some(byte) if byte.is_ascii() => byte.is_ascii_alphanumeric(),
        Some(_) => sure(text.get(at..).and_then(|rest| rest.chars().next())).is_some_and(is_bounded),
        None => false,
    }
}

/// The end of the word that goes on at `at`.
fn word_end(text: &str, at: usize) -> usize {
    let rest = part(text, at..text.len()).chars();
    at + rest.take(LONGEST_ENDING).take_while(|c| is_bounded(*c)).map(char::len_utf8).sum::<usize>()
}

/// A letter or digit of a script that writes word boundaries. Indic vowel signs belong to the word.
pub fn is_bounded(c: char) -> bool {
    match c {
        ..'\u{80}' => c.is_ascii_alphanumeric(),
        // Letters of much text, for which the tables of Unicode need not be asked.
        'à'..='ö' | 'ø'..='ÿ' | 'α'..='ω' | 'а'..='я' | 'א'..='ת' | '\u{620}'..='\u{64a}' | '\u{900}'..='\u{dff}' => {
            true
        }
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1100}'..='\u{11ff}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => false,
        c => is_alphanumeric(c),
    }
}

/// A keyword as the text will show it, with the `*` of an open end kept.
///
/// # Errors
/// A word that is empty after normalisation.
pub fn fold_word(word: &str, fold: &dyn Fn(&str) -> String) -> Result<String, String> {
    let open_start = word.len() > 1 && word.starts_with('*');
    let open_end = word.len() > 1 && word.ends_with('*') && !word.ends_with("**");
    let inner = part(word, usize::from(open_start)..word.len() - usize::from(open_end));
    let folded = fold(inner);
    let folded = folded.trim();
    if folded.is_empty() {
        return Err(format!("keyword '{word}' is empty after normalisation"));
    }
    Ok(format!("{}{folded}{}", if open_start { "*" } else { "" }, if open_end { "*" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_at_once_is_what_unicode_says() {
        for c in ('\0'..=char::MAX).filter(|c| !matches!(c, '\u{900}'..='\u{dff}')) {
            let asks = !is_bounded(c) || c.is_alphanumeric();
            assert!(is_bounded(c) || !is_short(c.encode_utf8(&mut [0; 4]).as_bytes()), "{c:?}");
            assert!(asks, "{c:?}");
            let skipped = c.is_alphanumeric() && !is_bounded(c);
            let writes_none = matches!(u32::from(c), 0xe00..=0xeff | 0x1000..=0x11ff | 0x1780..=0x17ff
                | 0x2e80..=0xd7ff | 0xf900..=0xfaff | 0x20000..=0x3ffff);
            assert!(!skipped || writes_none, "{c:?}");
        }
    }
}
