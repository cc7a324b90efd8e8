//! The text of an operation as a list of what a caller wrote into it: string values and comments as they read, and names.
//!
//! The rest is punctuation. A string value or a comment that is changed goes back to its place, and everything else stays
//! byte for byte.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use apollo_parser::{Lexer, TokenKind};

use crate::reason::{Denial, Reason};

/// A string value or a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Piece<'s> {
    /// Where it is, with its quotes or its `#`.
    pub(in crate::protocol) span: Range<usize>,
    /// It is a comment.
    pub(in crate::protocol) is_comment: bool,
    /// As a server reads it.
    pub(in crate::protocol) text: Cow<'s, str>,
}

/// What a caller wrote into an operation.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Source<'s> {
    /// In their order.
    pub(in crate::protocol) pieces: Vec<Piece<'s>>,
    /// Names, and numbers that are long enough to mean something, each once, in the order they come.
    pub(in crate::protocol) names: Vec<&'s str>,
}

/// Digits of a number that may be a card's or a person's.
const LONG_NUMBER: usize = 7;

/// The denial of a text that is no operation.
pub(in crate::protocol) fn malformed() -> Denial {
    Denial::new(Reason::BodyShape).with_param("query")
}

/// Over a limit of the policy's.
pub(in crate::protocol) fn over(limit: &'static str) -> Denial {
    Denial::new(Reason::GraphqlLimit).with_param(limit)
}

impl<'s> Source<'s> {
    /// Reads the tokens of an operation, blanks and commas counted.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] where it has others, [`Reason::GraphqlLimit`] where it has too many.
    pub(in crate::protocol) fn read(text: &'s str, most_tokens: usize) -> Result<Source<'s>, Denial> {
        let (mut source, mut seen) = (Source::default(), BTreeSet::new());
        for token in Lexer::new(text).with_limit(most_tokens) {
            let token = token.map_err(|error| if error.is_limit() { over("tokens") } else { malformed() })?;
            let span = token.index()..token.index() + token.data().len();
            // What is written back goes to where it was read.
            let written = text.get(span.clone()).filter(|written| *written == token.data()).ok_or(malformed())?;
            let (is_comment, text) = match token.kind() {
                TokenKind::Comment => (true, Cow::Borrowed(written.strip_prefix('#').ok_or(malformed())?)),
                TokenKind::StringValue => (false, value(written).ok_or(malformed())?),
                TokenKind::Name => {
                    source.names.extend(seen.insert(written).then_some(written));
                    continue;
                }
                TokenKind::Int | TokenKind::Float if written.len() >= LONG_NUMBER => {
                    source.names.extend(seen.insert(written).then_some(written));
                    continue;
                }
                _ => continue,
            };
            source.pieces.push(Piece { span, is_comment, text });
        }
        Ok(source)
    }

    /// The operation with these texts in the place of its own; `None`: they are not as many.
    pub(in crate::protocol) fn written(&self, text: &str, new: &[&str]) -> Option<String> {
        if new.len() != self.pieces.len() {
            return None;
        }
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        for (piece, new) in self.pieces.iter().zip(new) {
            if piece.text == *new {
                continue;
            }
            out.push_str(text.get(at..piece.span.start)?);
            if piece.is_comment {
                out.push('#');
                out.extend(new.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
            } else {
                quoted(new, &mut out);
            }
            at = piece.span.end;
        }
        out.push_str(text.get(at..)?);
        Some(out)
    }
}

/// A string value as it is written with quotes.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What a string value says; `None`: it is none.
pub(in crate::protocol) fn value(written: &str) -> Option<Cow<'_, str>> {
    if let Some(block) = written.strip_prefix("\"\"\"") {
        return Some(block_value(block.strip_suffix("\"\"\"")?).into());
    }
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { unescaped(inner).map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Section 2.9.4 of the specification (September 2025): a pair of surrogates is one character, and a single one is none.
fn unescaped(inner: &str) -> Option<String> {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let escape = after.chars().next()?;
        rest = after.get(escape.len_utf8()..)?;
        out.push(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (c, after) = unicode(rest)?;
                rest = after;
                c
            }
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(out)
}

/// The character of `\u`, and what is behind it.
fn unicode(rest: &str) -> Option<(char, &str)> {
    let hex = |digits: &str| {
        let more = |value: u32, digit: char| Some(value.saturating_mul(16).saturating_add(digit.to_digit(16)?));
        if digits.is_empty() { None } else { digits.chars().try_fold(0, more) }
    };
    if let Some(braced) = rest.strip_prefix('{') {
        let (digits, after) = braced.split_once('}')?;
        return Some((char::from_u32(hex(digits)?)?, after));
    }
    let (digits, after) = rest.split_at_checked(4)?;
    let unit = hex(digits)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((char::from_u32(unit)?, after));
    }
    let (digits, after) = after.strip_prefix("\\u")?.split_at_checked(4)?;
    let low = hex(digits).filter(|low| (0xdc00..0xe000).contains(low))?;
    Some((char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?, after))
}

/// `BlockStringValue` of the specification, section 2.9.4: the indentation that all lines but the first share is no part
/// of the value, and neither are blank lines at its beginning and end.
fn block_value(raw: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = raw;
    while let Some(at) = rest.find(['\n', '\r']) {
        let (line, end) = rest.split_at(at);
        lines.push(line);
        rest = end.strip_prefix("\r\n").or(end.strip_prefix(['\n', '\r'])).unwrap_or_default();
    }
    lines.push(rest);
    let is_blank = |byte: u8| byte == b' ' || byte == b'\t';
    let indent = |line: &str| line.bytes().take_while(|byte| is_blank(*byte)).count();
    let common = lines.iter().skip(1).filter(|line| indent(line) < line.len()).map(|line| indent(line)).min();
    let plain: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { *line } else { line.get(common.unwrap_or_default()..).unwrap_or_default() })
        .collect();
    let has_text = |line: &&str| !line.bytes().all(is_blank);
    let first = plain.iter().position(has_text).unwrap_or(plain.len());
    let last = plain.iter().rposition(has_text).map_or(first, |last| last + 1);
    plain.get(first..last).unwrap_or_default().join("\n").replace("\\\"\"\"", "\"\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(source: &str) -> Vec<String> {
        let read = Source::read(source, 100_000).map(|source| source.pieces);
        read.map(|pieces| pieces.into_iter().map(|piece| piece.text.into_owned()).collect()).unwrap_or_default()
    }

    #[test]
    fn values_read_as_the_specification_says() {
        for (written, text) in [
            (r#""""#, ""),
            (r#""plain""#, "plain"),
            (r#""a\"b\\c\/d\b\f\n\r\t""#, "a\"b\\c/d\u{8}\u{c}\n\r\t"),
            (r#""\u0041\u{1F600}\uD83D\uDE00\u{0}""#, "A\u{1f600}\u{1f600}\0"),
            (r#""\u{00000000000041}""#, "A"),
            ("\"\"\"one\"\"\"", "one"),
            ("\"\"\"\n  a\n    b\r\n\tc\r  d\n\"\"\"", " a\n   b\nc\n d"),
            ("\"\"\"  a\n  b\n\n  \"\"\"", "  a\nb"),
            (r#""""say \"""x\""" \n""""#, r#"say """x""" \n"#),
            ("\"\"\"\"\"\"", ""),
            ("\"\"\"\n\n\"\"\"", ""),
        ] {
            assert_eq!(texts(written), [text], "{written}");
        }
    }

    #[test]
    fn what_is_no_string_value_is_refused() {
        for written in [
            r#""a"#,
            r#""\x""#,
            r#""\u12""#,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            r#""\u{}""#,
            r#""\u{d800}""#,
            r#""\u{110000}""#,
            "\"a\nb\"",
            "\"\"\"a\"\"",
            r#""\u{100000041}""#,
            "%",
            "\u{0}",
            "..",
            "é",
        ] {
            let denial = Source::read(written, 100).map(|_| ()).unwrap_err();
            assert_eq!((denial.reason, denial.param), (Reason::BodyShape, Some("query")), "{written:?}");
        }
    }

    #[test]
    fn comments_and_names_are_told() {
        let source =
            Source::read("query A($b: [C!] = 4111111111111111) { # one\r d(e: F, g: 12) #two\n}", 100).unwrap();
        let comments: Vec<_> = source.pieces.iter().map(|piece| (piece.is_comment, piece.text.as_ref())).collect();
        assert_eq!(comments, [(true, " one"), (true, "two")]);
        let names: Vec<_> = source.names.into_iter().collect();
        assert_eq!(names, ["query", "A", "b", "C", "4111111111111111", "d", "e", "F", "g"]);
        assert_eq!(Source::read("{ a b c }", 5).map(|_| ()).unwrap_err().param, Some("tokens"));
    }

    proptest! {
        /// What is written back reads as the new text, and nothing else is touched.
        #[test]
        fn a_new_text_goes_to_its_place(old in "\\PC*", new in any::<String>(), at in 0usize..4) {
            let mut written = String::new();
            quoted(&old, &mut written);
            let text = format!("{{ a(b: {written}) # x\n c(d: \"\"\"\n  {}\n\"\"\", e: \"f\") }}", "y");
            let source = Source::read(&text, 100).unwrap();
            let mut texts: Vec<&str> = source.pieces.iter().map(|piece| piece.text.as_ref()).collect();
            prop_assert_eq!(texts[0], old.as_str());
            prop_assert_eq!(source.written(&text, &texts).unwrap(), text.clone());
            texts[at] = &new;
            let changed = source.written(&text, &texts).unwrap();
            let again = Source::read(&changed, 100).unwrap();
            let read: Vec<String> = again.pieces.iter().map(|piece| piece.text.to_string()).collect();
            let line = new.replace(['\n', '\r'], " ");
            texts[at] = if at == 1 { &line } else { &new };
            prop_assert_eq!(read.iter().map(String::as_str).collect::<Vec<_>>(), texts.clone());
            prop_assert_eq!(&again.names, &source.names);
            prop_assert!(source.written(&text, &texts[1..]).is_none());
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), plain in "[\"\\\\u{}a-f0-9 \n\r#.(){}\\[\\]:,$@!=|&-]*") {
            for text in [text, plain] {
                if let Ok(source) = Source::read(&text, 1000) {
                    let texts: Vec<&str> = source.pieces.iter().map(|piece| piece.text.as_ref()).collect();
                    prop_assert_eq!(source.written(&text, &texts).unwrap(), text.clone());
                }
            }
        }
    }
}
