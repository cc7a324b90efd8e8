//! Reads the bytes of a body into a [`Json`] tree, in one pass and without recursion beyond the allowed depth.

use std::borrow::Cow;
use std::collections::HashSet;

use bartizan_rules::invariant::{onwards, part};
use memchr::memchr2;

use super::{Json, Number};
use crate::reason::Reason;

/// What is accepted beside RFC 8259.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// Nothing.
    Strict,
    /// A byte order mark, `NaN`, `Infinity`, `-Infinity` and lone surrogates.
    Lenient,
}

/// The most that one body may hold: a number, list or object counts as [`VALUE`], a text or a key as [`TEXT`]. A text
/// takes a hundred times its two quotes in memory until it is judged, and a VM has 1 GiB.
pub(super) const MAX_VALUES: usize = 1 << 22;
pub(super) const VALUE: usize = 1;
pub(super) const TEXT: usize = 4;

/// A number of at most this many characters without an exponent is finite as a double.
const MAX_DIGITS: usize = 300;

/// Up to here, comparing a key with every earlier one is cheaper than hashing.
const SMALL: usize = 16;

pub(super) fn read(body: &[u8], max_depth: usize, grammar: Grammar) -> Result<Json<'_>, Reason> {
    let text = std::str::from_utf8(body).map_err(|_| Reason::BodyMalformed)?;
    let text = if grammar == Grammar::Lenient { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    let mut reader = Reader { text, at: 0, grammar, room: MAX_VALUES };
    let value = reader.value(max_depth)?;
    reader.skip_blanks();
    if reader.at == text.len() { Ok(value) } else { Err(Reason::BodyMalformed) }
}

/// The most lines of one file: as many as a batch may have.
const MAX_LINES: usize = 50_000;

pub(super) fn read_lines(file: &[u8], max_depth: usize) -> Result<Vec<Json<'_>>, (usize, Reason)> {
    let (mut values, mut room) = (Vec::new(), MAX_VALUES);
    for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let fault = |reason| (at + 1, reason);
        if line.trim_ascii().is_empty() {
            continue;
        }
        if values.len() == MAX_LINES {
            return Err(fault(Reason::BodyTooLarge));
        }
        let text = std::str::from_utf8(line).map_err(|_| fault(Reason::BodyMalformed))?;
        let mut reader = Reader { text, at: 0, grammar: Grammar::Strict, room };
        values.push(reader.value(max_depth).map_err(fault)?);
        reader.skip_blanks();
        if reader.at != text.len() {
            return Err(fault(Reason::BodyMalformed));
        }
        room = reader.room;
    }
    if values.is_empty() { Err((1, Reason::BodyShape)) } else { Ok(values) }
}

struct Reader<'a> {
    text: &'a str,
    /// Always at the border of a character.
    at: usize,
    grammar: Grammar,
    /// What the body may still hold.
    room: usize,
}

impl<'a> Reader<'a> {
    fn spend(&mut self, cost: usize) -> Result<(), Reason> {
        self.room = self.room.checked_sub(cost).ok_or(Reason::BodyTooLarge)?;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Reason> {
        self.skip_blanks();
        self.spend(VALUE)?;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.spend(TEXT - VALUE)?;
                self.string().map(Json::String)
            }
            Some(b'{') => {
                self.at += 1;
                self.object(depth.checked_sub(1).ok_or(Reason::BodyDepth)?)
            }
            Some(b'[') => {
                self.at += 1;
                self.array(depth.checked_sub(1).ok_or(Reason::BodyDepth)?)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            _ if self.word("true") => Ok(Json::Bool(true)),
            _ if self.word("false") => Ok(Json::Bool(false)),
            _ if self.word("null") => Ok(Json::Null),
            _ if self.grammar == Grammar::Lenient => self.not_finite().map(Json::Number),
            _ => Err(Reason::BodyMalformed),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Reason> {
        let mut items = Vec::new();
        self.skip_blanks();
        if self.byte(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_blanks();
            if self.byte(b']') {
                return Ok(Json::Array(items));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Reason> {
        let mut entries: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        let mut seen: HashSet<Cow<'a, str>> = HashSet::new();
        self.skip_blanks();
        if self.byte(b'}') {
            return Ok(Json::Object(entries));
        }
        loop {
            self.skip_blanks();
            self.expect(b'"')?;
            self.spend(TEXT)?;
            let key = self.string()?;
            let is_new = if entries.len() < SMALL {
                entries.iter().all(|(earlier, _)| *earlier != key)
            } else {
                if seen.is_empty() {
                    seen.extend(entries.iter().map(|(earlier, _)| earlier.clone()));
                }
                seen.insert(key.clone())
            };
            if !is_new {
                return Err(Reason::BodyDuplicateKey);
            }
            self.skip_blanks();
            self.expect(b':')?;
            let value = self.value(depth)?;
            entries.push((key, value));
            self.skip_blanks();
            if self.byte(b'}') {
                return Ok(Json::Object(entries));
            }
            self.expect(b',')?;
        }
    }

    /// A string whose opening quote was read.
    fn string(&mut self) -> Result<Cow<'a, str>, Reason> {
        let first = self.plain()?;
        if self.byte(b'"') {
            return Ok(Cow::Borrowed(first));
        }
        let mut out = first.to_owned();
        loop {
            if self.byte(b'"') {
                return Ok(Cow::Owned(out));
            }
            self.expect(b'\\')?;
            out.push(self.escape()?);
            out.push_str(self.plain()?);
        }
    }

    /// What comes before the next quote or backslash.
    fn plain(&mut self) -> Result<&'a str, Reason> {
        let rest = part(self.text, self.at..self.text.len());
        let length = memchr2(b'"', b'\\', rest.as_bytes()).ok_or(Reason::BodyMalformed)?;
        let plain = rest.get(..length).ok_or(Reason::BodyMalformed)?;
        if plain.bytes().fold(false, |found, byte| found | (byte < 0x20)) {
            return Err(Reason::BodyMalformed);
        }
        self.at += length;
        Ok(plain)
    }

    /// The character of an escape whose backslash was read.
    fn escape(&mut self) -> Result<char, Reason> {
        let byte = self.peek().ok_or(Reason::BodyMalformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => {
                self.at -= 1;
                return Err(Reason::BodyMalformed);
            }
        })
    }

    /// The character of `\uXXXX`, or of the pair of them that UTF-16 needs.
    fn code_point(&mut self) -> Result<char, Reason> {
        let unit = self.hex()?;
        if let Some(c) = char::from_u32(unit) {
            return Ok(c);
        }
        let after_high = self.at;
        if (0xd800..0xdc00).contains(&unit) && self.word("\\u") {
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).ok_or(Reason::BodyMalformed);
            }
            // The second escape is a character of its own.
            self.at = after_high;
        }
        if self.grammar == Grammar::Lenient { Ok(char::REPLACEMENT_CHARACTER) } else { Err(Reason::BodyMalformed) }
    }

    fn hex(&mut self) -> Result<u32, Reason> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Reason::BodyMalformed)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Reason::BodyMalformed);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Reason::BodyMalformed)
    }

    fn number(&mut self) -> Result<Number<'a>, Reason> {
        let start = self.at;
        let negative = self.byte(b'-');
        if negative && self.grammar == Grammar::Lenient && self.word("Infinity") {
            return Ok(self.number_since(start));
        }
        if !self.byte(b'0') {
            self.digits()?;
        }
        if self.byte(b'.') {
            self.digits()?;
        }
        if self.byte(b'e') || self.byte(b'E') {
            let _ = self.byte(b'+') || self.byte(b'-');
            self.digits()?;
        }
        let number = self.number_since(start);
        // Some parsers read infinity, others refuse it.
        let is_large = number.0.len() > MAX_DIGITS || number.0.contains(['e', 'E']);
        if is_large && self.grammar == Grammar::Strict && number.0.parse::<f64>().is_ok_and(f64::is_infinite) {
            return Err(Reason::BodyMalformed);
        }
        Ok(number)
    }

    fn not_finite(&mut self) -> Result<Number<'a>, Reason> {
        let start = self.at;
        if self.word("NaN") || self.word("Infinity") {
            Ok(self.number_since(start))
        } else {
            Err(Reason::BodyMalformed)
        }
    }

    fn number_since(&self, start: usize) -> Number<'a> {
        Number(Cow::Borrowed(part(self.text, start..self.at)))
    }

    fn digits(&mut self) -> Result<(), Reason> {
        let rest = onwards(self.text.as_bytes(), self.at);
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(Reason::BodyMalformed) }
    }

    fn skip_blanks(&mut self) {
        let rest = onwards(self.text.as_bytes(), self.at);
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// True when this ASCII byte comes next; it is then read.
    fn byte(&mut self, byte: u8) -> bool {
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn word(&mut self, word: &str) -> bool {
        let comes = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if comes { word.len() } else { 0 };
        comes
    }

    fn expect(&mut self, byte: u8) -> Result<(), Reason> {
        if self.byte(byte) { Ok(()) } else { Err(Reason::BodyMalformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict(text: &str) -> Result<Json<'_>, Reason> {
        read(text.as_bytes(), 64, Grammar::Strict)
    }

    fn lenient(text: &str) -> Result<Json<'_>, Reason> {
        read(text.as_bytes(), 64, Grammar::Lenient)
    }

    /// The tree as serde_json has it, numbers as their text.
    fn plain(json: &Json<'_>) -> serde_json::Value {
        match json {
            Json::Null => serde_json::Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Number(number) => number.as_str().into(),
            Json::String(text) => text.as_ref().into(),
            Json::Array(items) => items.iter().map(plain).collect(),
            Json::Object(entries) => entries.iter().map(|(key, value)| (key.to_string(), plain(value))).collect(),
        }
    }

    fn without_numbers(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value::{Array, Object, String};
        match value {
            serde_json::Value::Number(_) => String("number".into()),
            Array(items) => items.into_iter().map(without_numbers).collect(),
            Object(entries) => entries.into_iter().map(|(key, value)| (key, without_numbers(value))).collect(),
            other => other,
        }
    }

    fn numbers_as_one(json: &Json<'_>) -> Json<'static> {
        match json {
            Json::Number(_) => Json::String("number".into()),
            Json::String(text) => Json::String(text.to_string().into()),
            Json::Array(items) => Json::Array(items.iter().map(numbers_as_one).collect()),
            Json::Object(entries) => Json::Object(
                entries.iter().map(|(key, value)| (key.to_string().into(), numbers_as_one(value))).collect(),
            ),
            Json::Null => Json::Null,
            Json::Bool(value) => Json::Bool(*value),
        }
    }

    /// serde_json is the oracle: it accepts the same bytes, but for what this reader refuses on purpose.
    fn agrees(text: &str) {
        let oracle = serde_json::from_str::<serde_json::Value>(text);
        match (strict(text), oracle) {
            (Ok(ours), Ok(theirs)) => assert_eq!(plain(&numbers_as_one(&ours)), without_numbers(theirs), "{text:?}"),
            (Err(Reason::BodyDuplicateKey | Reason::BodyDepth), _) | (Err(_), Err(_)) => {}
            (Ok(_), Err(why)) => panic!("we accept {text:?}, the oracle does not: {why}"),
            (Err(why), Ok(_)) => panic!("we refuse {text:?} as {why:?}"),
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        for number in ["0", "-0", "18446744073709551616", "6.022e23", "1.7976931348623157e308", "1E5", "1e+5", "-1.50"]
        {
            let text = format!("[{number}]");
            assert_eq!(strict(&text).unwrap().to_bytes(), text.as_bytes());
        }
        for bad in ["01", "+1", "1.", ".5", "1e", "--1", "-", "0x1", "1_0", "1e999", "Infinity", "NaN", "-Infinity"] {
            assert_eq!(strict(bad), Err(Reason::BodyMalformed), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let whole = |text: &'static str| Number(Cow::Borrowed(text)).whole();
        assert_eq!(
            ["7", "-1", "2048.0", "2e3", "-0", "1E2"].map(whole),
            [Some(7), Some(-1), Some(2048), Some(2000), Some(0), Some(100)]
        );
        assert_eq!(["1.5", "1e400", "1e17", "NaN", "99999999999999999999"].map(whole), [None; 5]);
    }

    #[test]
    fn replies_may_hold_what_servers_write() {
        let text = "\u{feff}{\"a\":[NaN,-Infinity,Infinity],\"b\":\"\\ud83d x \\ude00\\ud83d\\ude00\"}";
        assert_eq!(strict(text), Err(Reason::BodyMalformed));
        let json = lenient(text).unwrap();
        assert_eq!(json.get("b").and_then(Json::as_str), Some("\u{fffd} x \u{fffd}\u{1f600}"));
        assert_eq!(String::from_utf8(json.to_bytes()).unwrap().matches("Infinity").count(), 2);
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in "[\\[\\]{}\":,.0-9eE+\\-truefalsn \\\\ud8cABx\u{e9}\u{1f600}\n]{0,40}") {
            agrees(&text);
        }

        #[test]
        fn strings_are_read_as_serde_json_reads_them(inner in "(\\\\u[dD][89a-fA-F][0-9a-f]{2}|\\\\[\"\\\\/bfnrtux]|[a-z\"\u{e9}\u{7f}\t]){0,8}") {
            agrees(&format!("\"{inner}\""));
        }

        #[test]
        fn what_is_written_is_read_again(words in proptest::collection::vec(".{0,12}", 0..6), number in any::<f64>()) {
            let entries = words.iter().enumerate().map(|(at, word)| (format!("{at}{word}").into(), Json::String(word.into())));
            let mut json = Json::Object(entries.collect());
            if let (Json::Object(entries), true) = (&mut json, number.is_finite()) {
                entries.push(("number".into(), Json::Number(Number(number.to_string().into()))));
            }
            let bytes = json.to_bytes();
            prop_assert_eq!(read(&bytes, 4, Grammar::Strict).unwrap(), json.clone());
            agrees(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
