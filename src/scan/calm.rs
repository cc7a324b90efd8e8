//! A running text in which nothing stands that a rule for replies could begin with.
//!
//! Every rule that looks at replies needs a run of digits or one of its keywords, in the text as it came or in what it
//! decodes to. Where a text has been plain words for so long that neither is in sight, a scan of it finds nothing, and each
//! piece that comes is looked at once. What is not plain words by the narrow form here is never called calm.

use bartizan_rules::invariant::part;

use super::Scanner;
use super::engine::{LONGEST_RUN, Stirs, Zones, is_of_words};

/// Bytes that are looked at again together with the next piece, at least: a keyword may come in several.
const OVERLAP: usize = 56;
/// Digits close to each other that may be codes of letters.
const MOST_DIGITS: usize = 6;
/// So may a longer one that has capitals or digits in it.
const LONGEST_MIXED: usize = 11;

/// What is known of a running text.
#[derive(Debug, Default)]
pub struct Calm {
    /// The end of what came, from white space on.
    tail: String,
    /// Where it ends in the whole text.
    end: usize,
    /// Where the last thing ends that something may be found from, whatever is around it.
    stirred: Option<usize>,
    /// The same of what needs another sign than those of plain words near it.
    beside: Option<usize>,
    /// Where the last such sign ends.
    signed: Option<usize>,
    words: Words,
}

impl Calm {
    /// Takes the next piece of the text.
    pub fn feed(&mut self, scanner: &Scanner, piece: &str) {
        let unplain = self.words.last_unplain(piece).map(|last| self.end + last);
        self.tail.push_str(piece);
        self.end += piece.len();
        let start = self.end.saturating_sub(self.tail.len());
        let last = match scanner.engine.is_told_by(OVERLAP, Zones::REPLY) {
            true => scanner.engine.last_stirs(&self.tail, Zones::REPLY, MOST_DIGITS),
            false => Stirs { alone: Some(self.tail.len()), beside: None },
        };
        let sign = piece.bytes().rposition(|byte| !is_of_words(byte));
        self.signed = self.signed.max(sign.map(|at| self.end - piece.len() + at + 1));
        self.stirred = self.stirred.max(unplain).max(last.alone.map(|last| start + last));
        self.beside = self.beside.max(last.beside.map(|last| start + last));
        let until = self.tail.floor_char_boundary(self.tail.len().saturating_sub(OVERLAP));
        if let Some(white) = part(&self.tail, 0..until).rfind([' ', '\n']) {
            self.tail.drain(..white);
        }
        // A run that never ends was never plain.
        if self.tail.len() > 2 * OVERLAP {
            let from = self.tail.ceil_char_boundary(self.tail.len() - OVERLAP);
            self.tail.drain(..from);
        }
    }

    /// True when a scan for replies of the text from this place on finds nothing.
    pub fn since(&self, place: usize) -> bool {
        let is_before = |last: Option<usize>| last.is_none_or(|last| last <= place);
        is_before(self.stirred) && (is_before(self.beside) || is_before(self.signed))
    }
}

/// Reads a text for whether it is plain words: letters and numbers between them, with the marks that a sentence and its
/// layout have, where these have them. There is no encoding in them that is known here, nothing that the normaliser takes
/// away, and no letters one by one.
#[derive(Debug)]
struct Words {
    /// The byte before.
    before: u8,
    run: Run,
}

impl Default for Words {
    fn default() -> Words {
        Words { before: b' ', run: Run::default() }
    }
}

impl Words {
    /// Where the last place ends at which the next piece is no plain words; `None`: all of it is.
    fn last_unplain(&mut self, piece: &str) -> Option<usize> {
        let mut last = None;
        for (at, byte) in piece.bytes().enumerate() {
            let is_plain = self.run.takes(byte, self.before);
            if !fits(byte, self.before) || !is_plain {
                last = Some(at + 1);
            }
            self.before = byte;
        }
        last
    }
}

/// True for a sign of plain words behind another one.
fn fits(byte: u8, before: u8) -> bool {
    let begins = matches!(before, b' ' | b'\n' | b'(' | b'"' | b'\'' | b'-' | b'/' | b'*' | b'_' | b'`');
    let ends = before.is_ascii_alphanumeric() || matches!(before, b')' | b'"' | b'\'' | b'*' | b'_' | b'`');
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => begins || before.is_ascii_alphanumeric(),
        b'0'..=b'9' => begins || before.is_ascii_alphanumeric() || matches!(before, b'.' | b',' | b':' | b'$'),
        b' ' | b'\n' => before != b'/',
        b'.' | b',' | b';' | b':' | b'?' | b'!' => ends,
        b')' => ends || matches!(before, b'.' | b'?' | b'!'),
        b'(' | b'$' => matches!(before, b' ' | b'\n' | b'('),
        b'"' | b'\'' | b'`' => before != byte,
        b'-' => before.is_ascii_alphanumeric() || matches!(before, b' ' | b'\n'),
        b'/' => before.is_ascii_alphanumeric(),
        b'#' => matches!(before, b' ' | b'\n' | b'#'),
        b'*' | b'_' => true,
        b'%' => before.is_ascii_digit(),
        _ => false,
    }
}

/// A run without white space, and the parts that words have.
#[derive(Debug, Default)]
struct Run {
    length: usize,
    /// Letters and digits of the part under way.
    part: usize,
    /// A digit is in it.
    is_number: bool,
    /// The part before it is one sign.
    after_single: bool,
    /// It has a digit.
    after_number: bool,
    /// In the run are a digit, or a capital behind a part's first letter.
    is_mixed: bool,
}

impl Run {
    /// False where the text is no plain words any more.
    fn takes(&mut self, byte: u8, before: u8) -> bool {
        let goes_on = self.is_number && matches!(byte, b'.' | b',' | b':');
        let mut is_plain = true;
        if byte.is_ascii_alphanumeric() {
            self.is_mixed |= byte.is_ascii_digit() || byte.is_ascii_uppercase() && self.part > 0;
            is_plain = !(byte.is_ascii_digit() && self.after_number && !self.is_number);
            self.is_number |= byte.is_ascii_digit();
            self.part += 1;
        } else if byte == b'-' && matches!(before, b' ' | b'\n') {
            is_plain = !self.after_single;
            (self.after_single, self.after_number) = (true, false);
        } else if self.part > 0 && !goes_on {
            let is_single = self.part == 1;
            is_plain = !(is_single && self.after_single);
            (self.after_single, self.after_number) = (is_single, self.is_number);
            (self.part, self.is_number) = (0, false);
        }
        if matches!(byte, b' ' | b'\n') {
            (self.length, self.is_mixed) = (0, false);
        } else {
            self.length += 1;
        }
        is_plain && self.length <= if self.is_mixed { LONGEST_MIXED } else { LONGEST_RUN }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::super::engine::literals;
    use super::super::rulefile::RuleFile;
    use super::super::text::CLEANS;
    use super::super::{Budget, Scanner, Selection, Text, decode, normalise};
    use super::*;
    use crate::document::CustomRule;
    use crate::enums::{Pack, Zone};

    fn scanner(custom: &[CustomRule]) -> Scanner {
        Scanner::compile(&Selection { packs: Pack::ALL, disable: &[], custom, scorer: false }).unwrap()
    }

    fn finds(scanner: &Scanner, text: &str) -> bool {
        let report = scanner.scan_data(&[Text { zone: Zone::Assistant, text }], Budget::SHIPPED);
        report.texts.iter().any(|text| !text.findings.is_empty() || !text.complete)
    }

    /// Feeds a text in pieces of these lengths, and looks at the text from some place on after each.
    fn agrees(scanner: &Scanner, text: &str, lengths: &[usize]) -> usize {
        let (mut calm, mut at, mut calms) = (Calm::default(), 0, 0);
        for length in lengths.iter().cycle() {
            let end = text.ceil_char_boundary((at + length.max(&1)).min(text.len()));
            calm.feed(scanner, &text[at..end]);
            at = end;
            let from = text.floor_char_boundary(at.saturating_sub(288));
            // A window that begins in a word has another word than the text.
            let from = text[from..at].find(' ').filter(|_| from > 0).map_or(from, |white| from + white);
            if calm.since(from) {
                calms += 1;
                assert!(!finds(scanner, &text[from..at]), "{:?}", &text[from..at]);
            }
            if at == text.len() {
                return calms;
            }
        }
        calms
    }

    #[test]
    fn plain_words_are_calm_and_what_could_be_found_is_not() {
        let scanner = scanner(&[]);
        let prose = "The committee met on Tuesday (as it often does), and nobody spoke: \"What a day!\" They're well-read. In 1984, only 3.5 of the 120 were. ";
        let mut calm = Calm::default();
        calm.feed(&scanner, prose);
        assert!(calm.since(0), "prose");
        for stirring in [
            "4 111",
            "415 555 0100",
            "6a 6b",
            "- - .",
            "ada@lovelace",
            "the api key",
            "\u{e9}",
            "p a s s",
            "=",
            "YWRhQGxvdmVsYWNlLmV4YW1wbGU",
            "- . - .",
        ] {
            let mut calm = Calm::default();
            calm.feed(&scanner, prose);
            calm.feed(&scanner, stirring);
            assert!(!calm.since(0), "{stirring}");
            assert!(calm.since(prose.len() + stirring.len()), "{stirring}");
        }
        let mut calm = Calm::default();
        for piece in ["the ap", "i", " k", "e", "y"] {
            calm.feed(&scanner, piece);
        }
        assert!(!calm.since(0), "a keyword in pieces");
    }

    #[test]
    fn every_keyword_of_plain_words_fits_into_what_is_looked_at_again() {
        // Of any other, a sign that is not plain is looked at.
        for word in literals().filter(|word| Words::default().last_unplain(word).is_none()) {
            assert!(word.len() <= OVERLAP, "{word}");
        }
    }

    #[test]
    fn rules_of_the_policys_own_that_need_more_are_never_calm() {
        let rule = |text: &str| serde_json::from_str::<CustomRule>(text).unwrap();
        let long = "a keyword that is longer than all that is looked at again";
        for (document, is_calm) in [
            (r#"{"id": "X-1", "title": "own", "pack": "pii", "keywords": ["badge"]}"#.to_owned(), true),
            (
                r#"{"id": "X-1", "title": "own", "pack": "pii", "keywords": ["badge"], "view": "normalised"}"#
                    .to_owned(),
                false,
            ),
            (format!(r#"{{"id": "X-1", "title": "own", "pack": "pii", "keywords": ["{long}"]}}"#), false),
            (r#"{"id": "X-1", "title": "own", "keywords": ["badge"]}"#.to_owned(), true),
        ] {
            let scanner = scanner(&[rule(&document)]);
            let mut calm = Calm::default();
            calm.feed(&scanner, "Nothing of that is here.");
            assert_eq!(calm.since(0), is_calm, "{document}");
            calm.feed(&scanner, " My badge is blue.");
            assert_eq!(calm.since(0), is_calm && !finds(&scanner, "My badge is blue."), "{document}");
        }
    }

    /// The files of the rules for secrets and personal data.
    fn files_of_data() -> Vec<RuleFile> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let files = ["secrets", "pii"].into_iter().flat_map(|pack| std::fs::read_dir(root.join(pack)).unwrap());
        let read = |path: PathBuf| serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
            .map(read)
            .collect()
    }

    /// What rules look for, between plain words, cut anywhere.
    #[test]
    fn the_rules_own_examples_are_never_taken_for_calm() {
        let scanner = scanner(&[]);
        let mut tried = 0;
        for rule in files_of_data() {
            for (at, example) in rule.tests.matching.iter().enumerate() {
                let text =
                    format!("It was said in passing that {example} was of no use to them any more, so they left");
                for lengths in [&[1][..], &[3, 7], &[at % 11 + 1], &[400]] {
                    agrees(&scanner, &text, lengths);
                }
                tried += 1;
            }
        }
        assert!(tried > 200, "{tried}");
    }

    proptest! {
        #[test]
        fn what_is_calm_holds_nothing(
            words in proptest::collection::vec(
                "[a-z]{1,9}[.,]?|[A-Z][a-z]{0,14}|[a-zA-Z]{1,24}|[A-Z]{2,12}|[.-]{1,5}|[a-z]{2,6}[-'][a-z]{1,6}|\\*\\*[a-z]{2,5}\\*\\*|`[a-z_]{2,8}`|[a-z]{2,4}/[a-z]{2,4}|[$][0-9]{1,4}|[0-9]{1,2}%|[a-z]{1,3}[0-9]{1,2}|key|secret|token|mac|bot|wallet|address|auth|password is|\\(born|[0-9]{1,9}|[0-9]{1,4}[.,:-]?|[0-9]{2,3},?|ada@a\\.example|\"|no\\)",
                1..40,
            ),
            lengths in proptest::collection::vec(1_usize..30, 1..6),
        ) {
            agrees(&scanner(&[]), &words.join(" "), &lengths);
        }

        /// Why: nothing hides keys in plain words, and they decode to nothing.
        #[test]
        fn plain_words_read_as_themselves(text in "[a-zA-Z0-9 .,;:?!'\"()\n$%/#*_`-]{0,60}|[a-z*_` -]{0,40}|([A-Za-z]{1,12}[ \n,.-]{1,2}|[0-9]{1,3}[ ,:.-]{1,3}){0,16}") {
            if Words::default().last_unplain(&text).is_none() {
                let n = normalise::normalise(&text);
                prop_assert!(!n.residue() && !n.seen().meets(CLEANS));
                let most = MOST_DIGITS;
                let is_code = scanner(&[]).engine.last_stirs(&text, Zones::REPLY, most).alone.is_some();
                prop_assert!(is_code || decode::decode(&text, &mut 65_536).found.is_empty());
            }
        }
    }
}
