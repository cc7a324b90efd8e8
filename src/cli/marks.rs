//! Where each key path is in a YAML or JSON text, so that an error can show its line.
//!
//! A text that can't be read to its end has the places before the fault. A policy that is a string of a larger
//! file is followed into the string: literal, folded and quoted scalars.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::document::{KeyPath, Step};

/// Nesting beyond which no place is kept.
const MAX_DEPTH: usize = 128;

/// Names of values that are secret wherever they are: nothing at or below them is shown.
const SECRET: [&str; 9] = ["hashKey", "clientSecret", "key_values", "keyValues", "d", "p", "q", "dp", "dq"];

/// The places of a text.
#[derive(Debug, Default)]
pub(super) struct Marks {
    documents: Vec<Mark>,
    /// The byte at which each character begins; empty where every character is one byte.
    bytes: Vec<usize>,
}

/// One value and where it is, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Its key; for the element of a list, the element.
    pub(super) key: Range<usize>,
    /// The value, without the white space behind it.
    pub(super) value: Range<usize>,
    /// How it is written.
    pub(super) form: Form,
}

/// How a value is written.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A text, a number, a word, or an alias of something that is elsewhere.
    Scalar(ScalarStyle),
    /// `[..]`, or lines that begin with `-`.
    List(Vec<Mark>),
    /// `{..}`, or lines of `key: value`.
    Object(Vec<(String, Mark)>),
}

/// A container whose end has not come yet.
struct Open {
    mark: Mark,
    /// The key that waits for its value.
    key: Option<(String, Range<usize>)>,
}

impl Marks {
    /// Reads the places of a text.
    pub(super) fn read(text: &str) -> Marks {
        let bytes = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        let mut marks = Marks { documents: Vec::new(), bytes };
        let mut open: Vec<Open> = Vec::new();
        let readable = plain_json(text);
        for event in Parser::new_from_str(readable.as_deref().unwrap_or(text)) {
            let Ok((event, span)) = event else { break };
            let span = marks.span(text, span);
            let form = match event {
                Event::Scalar(value, style, ..) => {
                    let span = span.start..quoted(text, &span, style).unwrap_or(span.end);
                    if let Some(parent) = open.last_mut()
                        && parent.key.is_none()
                        && matches!(parent.mark.form, Form::Object(_))
                    {
                        parent.key = Some((value.into_owned(), span));
                        continue;
                    }
                    let mark = Mark { key: span.clone(), value: span, form: Form::Scalar(style) };
                    marks.put(&mut open, mark);
                    continue;
                }
                Event::Alias(_) => Form::Scalar(ScalarStyle::Plain),
                Event::SequenceStart(..) => Form::List(Vec::new()),
                Event::MappingStart(..) => Form::Object(Vec::new()),
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(Open { mut mark, .. }) = open.pop() {
                        // The end of a block is where the next thing begins.
                        let end = text
                            .get(..span.end.max(mark.value.start))
                            .map_or(span.end, |before| before.trim_end().len());
                        mark.value.end = end.max(mark.value.end);
                        marks.put(&mut open, mark);
                    }
                    continue;
                }
                _ => continue,
            };
            let is_open = !matches!(form, Form::Scalar(_));
            let mark = Mark { key: span.clone(), value: span, form };
            match is_open {
                true if open.len() >= MAX_DEPTH => break,
                true => open.push(Open { mark, key: None }),
                false => marks.put(&mut open, mark),
            }
        }
        while let Some(Open { mark, .. }) = open.pop() {
            marks.put(&mut open, mark);
        }
        marks
    }

    /// The places of a string of this text, which is a text with keys of its own. `None`: it can't be followed.
    pub(super) fn inside(&self, text: &str, part: usize, at: &KeyPath, value: &str) -> Option<Inside> {
        let (mark, rest) = self.find(part, at)?;
        let Form::Scalar(style) = mark.form else { return None };
        if rest > 0 {
            return None;
        }
        let offsets = follow(text, mark, style, value)?;
        Some(Inside { marks: Marks::read(value), offsets })
    }

    /// The place of a path, or of the deepest part of it that there is, and how many steps are left.
    pub(super) fn find(&self, part: usize, path: &KeyPath) -> Option<(&Mark, usize)> {
        let mut mark = self.documents.get(part)?;
        for (done, step) in path.steps().iter().enumerate() {
            let below = match (&mark.form, step) {
                // Of a key that is there twice the later one is at fault.
                (Form::Object(entries), Step::Key(key)) => {
                    entries.iter().rev().find(|(name, _)| name == key).map(|(_, below)| below)
                }
                (Form::List(items), Step::Index(index)) => items.get(*index),
                _ => None,
            };
            match below {
                Some(below) => mark = below,
                None => return Some((mark, path.steps().len() - done)),
            }
        }
        Some((mark, 0))
    }

    /// A character of a scalar, from 1; behind its end, the last one.
    pub(super) fn character(text: &str, mark: &Mark, number: usize) -> Option<Range<usize>> {
        let Form::Scalar(style) = mark.form else { return None };
        let written = text.get(mark.value.clone())?;
        let read = Parser::new_from_str(written).find_map(|event| match event {
            Ok((Event::Scalar(value, ..), _)) => Some(Some(value.into_owned())),
            Ok(_) => None,
            Err(_) => Some(None),
        });
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let value = if is_block { written.lines().map(str::trim).collect::<Vec<_>>().join("\n") } else { read?? };
        let offsets = follow(text, mark, style, &value)?;
        let (byte, _) = value.char_indices().take(number).last()?;
        let at = *offsets.get(byte)?;
        let length = text.get(at..)?.chars().next()?.len_utf8();
        Some(at..at.saturating_add(length))
    }

    /// What must not be shown: secrets, by their names.
    pub(super) fn secrets(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        self.documents.iter().for_each(|document| secrets(document, &mut found));
        found
    }

    fn put(&mut self, open: &mut [Open], mut mark: Mark) {
        let Some(parent) = open.last_mut() else { return self.documents.push(mark) };
        parent.mark.value.end = parent.mark.value.end.max(mark.value.end);
        match &mut parent.mark.form {
            Form::List(items) => items.push(mark),
            Form::Object(entries) => {
                if let Some((key, span)) = parent.key.take() {
                    mark.key = span;
                    entries.push((key, mark));
                } else {
                    // A key that is no text: nothing asks for its place, but what follows is its value.
                    parent.key = Some((String::new(), mark.value));
                }
            }
            Form::Scalar(_) => {}
        }
    }

    /// In bytes, without the white space behind it.
    fn span(&self, text: &str, span: Span) -> Range<usize> {
        let at = |index: usize| match self.bytes.is_empty() {
            true => index.min(text.len()),
            false => self.bytes.get(index).copied().unwrap_or(text.len()),
        };
        let (start, end) = (at(span.start.index()), at(span.end.index()));
        let length = text.get(start..end).map_or(0, |inside| inside.trim_end().len());
        start..start + length
    }
}

/// JSON without what a reader of YAML stumbles over, each byte in its place: tabs between values, and escapes of
/// surrogates.
fn plain_json(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut bytes = text.as_bytes().to_vec();
    let (mut is_inside, mut at) = (false, 0);
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'"' => is_inside = !is_inside,
            b'\t' if !is_inside => bytes.get_mut(at..at + 1)?.fill(b' '),
            b'\\' if is_inside => {
                let is_surrogate = bytes.get(at + 1) == Some(&b'u')
                    && bytes.get(at + 2).is_some_and(|b| b.eq_ignore_ascii_case(&b'd'))
                    && bytes.get(at + 3).is_some_and(|b| b.to_ascii_lowercase() >= b'8');
                if is_surrogate && let Some(digits) = bytes.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(b"0078");
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(bytes).ok()
}

/// Where a quoted text ends: what reads it counts a comment behind it.
fn quoted(text: &str, span: &Range<usize>, style: ScalarStyle) -> Option<usize> {
    let quote = match style {
        ScalarStyle::DoubleQuoted => b'"',
        ScalarStyle::SingleQuoted => b'\'',
        _ => return None,
    };
    let inside = text.as_bytes().get(span.start + 1..span.end)?;
    let mut at = 0;
    while let Some(byte) = inside.get(at) {
        let is_pair = (quote == b'"' && *byte == b'\\') || (quote == b'\'' && inside.get(at..at + 2) == Some(b"''"));
        if *byte == quote && !is_pair {
            return Some(span.start + 1 + at + 1);
        }
        at += if is_pair { 2 } else { 1 };
    }
    None
}

fn secrets(mark: &Mark, found: &mut Vec<Range<usize>>) {
    match &mark.form {
        Form::Object(entries) => {
            // Names of environment variables are no secrets; their values are.
            let is_variable = entries.iter().any(|(key, _)| key == "valueFrom" || key == "name");
            for (key, below) in entries {
                let is_key_part = key == "k" && entries.iter().any(|(other, _)| other == "kty");
                let is_value = is_variable && key == "value" && matches!(below.form, Form::Scalar(_));
                if SECRET.contains(&key.as_str()) || is_key_part || is_value {
                    leaves(below, found);
                } else {
                    secrets(below, found);
                }
            }
        }
        Form::List(items) => items.iter().for_each(|item| secrets(item, found)),
        Form::Scalar(_) => {}
    }
}

fn leaves(mark: &Mark, found: &mut Vec<Range<usize>>) {
    match &mark.form {
        Form::Object(entries) => {
            entries.iter().filter(|(key, _)| key != "fromEnv").for_each(|(_, below)| leaves(below, found));
        }
        Form::List(items) => items.iter().for_each(|item| leaves(item, found)),
        Form::Scalar(_) => found.push(mark.value.clone()),
    }
}

/// The places of a text that is a string of another.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) marks: Marks,
    /// Where each byte of the inner text is in the outer one.
    offsets: Vec<usize>,
}

impl Inside {
    /// A range of the inner text as one of the outer text.
    pub(super) fn outer(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let start = *self.offsets.get(range.start).or(self.offsets.last())?;
        let end = range.end.checked_sub(1).and_then(|last| self.offsets.get(last)).map_or(start, |last| last + 1);
        Some(start..end.max(start))
    }
}

/// Walks a scalar as it is written beside its value. Everything but white space is in both, in the same order.
fn follow(text: &str, mark: &Mark, style: ScalarStyle, value: &str) -> Option<Vec<usize>> {
    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    let start = mark.value.start;
    // Up to where the content begins: behind the line of the `|`, or behind the quote.
    let mut at = match style {
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let line = text.get(start..)?;
            // Some readers say that a block begins with its sign, others with its first line.
            if line.starts_with(['|', '>']) { start + line.find('\n')? + 1 } else { start }
        }
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => start + 1,
        ScalarStyle::Plain => start,
    };
    let mut offsets = Vec::with_capacity(value.len());
    for c in value.chars() {
        if !c.is_whitespace() {
            at = skip(text, at, style)?;
        }
        offsets.extend(std::iter::repeat_n(at, c.len_utf8()));
        if c.is_whitespace() {
            continue;
        }
        let rest = text.get(at..)?;
        let first = rest.chars().next()?;
        let length = match (style, first) {
            (ScalarStyle::DoubleQuoted, '\\') => escape(rest),
            (ScalarStyle::SingleQuoted, '\'') => 2,
            _ if first == c || is_block => first.len_utf8(),
            _ => return None,
        };
        at += length;
    }
    Some(offsets)
}

/// Goes over white space, written plainly or as an escape.
fn skip(text: &str, mut at: usize, style: ScalarStyle) -> Option<usize> {
    loop {
        let rest = text.get(at..)?;
        let trimmed = rest.len() - rest.trim_start().len();
        let escaped = style == ScalarStyle::DoubleQuoted
            && rest
                .get(trimmed..)
                .is_some_and(|rest| ["\\n", "\\t", "\\r", "\\ ", "\\\n"].iter().any(|e| rest.starts_with(e)));
        at += trimmed + if escaped { 2 } else { 0 };
        if !escaped {
            return Some(at);
        }
    }
}

/// How long the escape is that this text begins with. A pair of surrogates is one character.
fn escape(rest: &str) -> usize {
    let is_high = |digits: &str| matches!(digits.get(..2), Some(two) if two.to_ascii_lowercase().as_str() >= "d8" && two.to_ascii_lowercase().as_str() < "dc");
    match rest.as_bytes().get(1) {
        Some(b'u') if rest.get(2..6).is_some_and(is_high) && rest.get(6..8) == Some("\\u") => 12,
        Some(b'u') => 6,
        Some(b'U') => 10,
        Some(b'x') => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: &[&str]) -> KeyPath {
        let step = |text: &&str| text.parse().map_or_else(|_| Step::Key((*text).to_owned()), Step::Index);
        steps.iter().map(step).collect()
    }

    fn at<'t>(text: &'t str, steps: &[&str]) -> (&'t str, &'t str, usize) {
        let marks = Marks::read(text);
        let (mark, rest) = marks.find(0, &path(steps)).unwrap();
        (&text[mark.key.clone()], &text[mark.value.clone()], rest)
    }

    #[test]
    fn keys_and_values_are_found_in_yaml_and_json() {
        let yaml = "ä: [1, {b: two}]\nroles:\n  analyst:\n    guard: \"lax\" # why\n    list:\n    - x\n    - y: 1\n      z: 2\nend: 1\n";
        assert_eq!(at(yaml, &["ä", "1", "b"]), ("b", "two", 0));
        assert_eq!(at(yaml, &["roles", "analyst", "guard"]), ("guard", "\"lax\"", 0));
        assert_eq!(at(yaml, &["roles", "analyst", "list", "1", "z"]), ("z", "2", 0));
        assert_eq!(at(yaml, &["roles", "analyst", "absent", "x"]).0, "analyst");
        assert_eq!(at(yaml, &["roles", "analyst", "absent", "x"]).2, 2);
        let json = "{\n\t\"a\": {\"b\": \"\\ud83d\\ude00 x\", \"c\": [1,2]},\n\t\"d\": null}";
        assert_eq!(at(json, &["a", "c", "1"]), ("2", "2", 0));
        assert_eq!(at(json, &["d"]), ("\"d\"", "null", 0));
    }

    #[test]
    fn a_key_that_is_there_twice_is_the_later_one() {
        let text = "a: 1\na: 2\n";
        assert_eq!(Marks::read(text).find(0, &path(&["a"])).unwrap().0.key, 5..6);
    }

    #[test]
    fn what_comes_before_a_fault_has_its_place() {
        assert_eq!(at("a: {b: 1}\nc: [1, 2\nd: }", &["a", "b"]), ("b", "1", 0));
    }

    #[test]
    fn strings_are_followed_however_they_are_written() {
        let inner = "{\n  \"name\": \"x ü\",\n  \"list\": [1,\n    \"two\"]\n}\n";
        let indented: String = inner.lines().map(|line| format!("    {line}\n")).collect();
        let escaped = serde_json::to_string(inner).unwrap();
        let single = inner.replace('\'', "''").replace('\n', " ");
        for (text, value) in [
            (format!("outer:\n  value: |\n{indented}  other: 1\n"), inner.to_owned()),
            (format!("outer:\n  value: |-2\n{indented}"), inner.lines().map(|line| format!("  {line}\n")).collect()),
            (format!("outer:\n  value: >\n{indented}"), inner.to_owned()),
            (format!("outer: {{value: {escaped}}}"), inner.to_owned()),
            (format!("outer:\n  value: '{single}'\n"), single.clone()),
        ] {
            let marks = Marks::read(&text);
            let inside = marks.inside(&text, 0, &path(&["outer", "value"]), &value).unwrap();
            for (steps, expected) in [(&["list", "1"][..], "two"), (&["name"], "x ü")] {
                let (mark, rest) = inside.marks.find(0, &path(steps)).unwrap();
                let shown = &text[inside.outer(&mark.value).unwrap()];
                assert!(rest == 0 && shown.trim_matches(['"', '\\']) == expected, "{steps:?} in {text}: {shown:?}");
            }
        }
    }

    #[test]
    fn secrets_are_found_by_their_names() {
        let text = "audit: {hashKey: hunter2}\nenv: [{name: A, value: b}]\nkeys: [{kty: oct, k: abc, kid: id}]\n\
                    introspection: {clientSecret: {fromEnv: NAME, value: s}}\n";
        let marks = Marks::read(text);
        let hidden: Vec<&str> = marks.secrets().into_iter().map(|range| &text[range]).collect();
        assert_eq!(hidden, ["hunter2", "b", "abc", "s"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_places_within_it(text in "[a-zä0-9:{}\\[\\], \"'\\\\\n&*#|>!-]{0,200}") {
            let marks = Marks::read(&text);
            for part in 0..3 {
                if let Some((mark, _)) = marks.find(part, &path(&["a", "0", "b"])) {
                    proptest::prop_assert!(text.get(mark.key.clone()).is_some() && text.get(mark.value.clone()).is_some());
                }
                let _ = marks.inside(&text, part, &path(&["a"]), &text);
            }
            let _ = marks.secrets();
        }
    }
}
