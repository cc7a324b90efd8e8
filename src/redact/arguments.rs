//! Which argument of a tool call a character belongs to, read as the model writes it.
//!
//! The arguments of a call are one JSON object in a string. [`Arguments`] reads it character by character and says whether
//! the text that it is in is a string of an argument with a listed name. Anything that RFC 8259 does not know closes the
//! whole text: programs that repair broken JSON read it in ways of their own.

/// Deeper values than this are no arguments.
const MAX_DEPTH: usize = 64;
/// Longer names are none that a policy lists.
const MAX_NAME: usize = 256;

/// What comes next in an array or object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A key, or the end of an empty object.
    KeyOrEnd,
    /// A key.
    Key,
    /// A colon.
    Colon,
    /// A value.
    Value,
    /// A value, or the end of an empty array.
    ValueOrEnd,
    /// A comma or the end.
    CommaOrEnd,
}

/// An array or object that is open.
#[derive(Clone, Copy, Debug)]
struct Level {
    is_object: bool,
    next: Next,
}

/// Where the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between strings and numbers.
    Between,
    /// In a number or a word.
    Bare,
    /// In a string.
    String { is_key: bool },
    /// Behind a backslash in a string.
    Escape { is_key: bool },
    /// Behind `\u` and some of its four digits.
    Unicode { is_key: bool, digits: u8, code: u32 },
    /// This is no object.
    Broken,
}

/// What a character is in the text that a program reads out of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The value of a string begins.
    Begins,
    /// A character of the value.
    Char(char),
    /// A part of the JSON around it.
    Syntax,
}

/// Reads the arguments of one call.
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    levels: Vec<Level>,
    state: State,
    has_ended: bool,
    /// The key of the argument under way.
    name: String,
    /// The key is too long, or written with escapes that no listed name needs.
    is_odd: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        let (levels, state) = (Vec::new(), State::Between);
        Arguments { levels, state, has_ended: false, name: String::new(), is_odd: false }
    }
}

impl Arguments {
    /// The argument that this is a string of; `None`: it is none.
    pub(super) fn name(&self) -> Option<&str> {
        let is_value = matches!(self.state, State::String { is_key: false });
        (is_value && !self.is_odd).then_some(self.name.as_str())
    }

    /// Reads the next character.
    pub(super) fn feed(&mut self, c: char) -> Seen {
        match self.state {
            State::Broken => Seen::Syntax,
            State::String { is_key } => self.in_string(c, is_key),
            State::Escape { is_key } => {
                let plain = match c {
                    '"' | '\\' | '/' => c,
                    'b' | 'f' => ' ',
                    'n' | 'r' => '\n',
                    't' => '\t',
                    'u' => {
                        self.state = State::Unicode { is_key, digits: 0, code: 0 };
                        return Seen::Syntax;
                    }
                    _ => return self.broken(),
                };
                self.state = State::String { is_key };
                self.character(plain, is_key)
            }
            State::Unicode { is_key, digits, code } => {
                let Some(digit) = c.to_digit(16) else { return self.broken() };
                let code = code * 16 + digit;
                if digits < 3 {
                    self.state = State::Unicode { is_key, digits: digits + 1, code };
                    return Seen::Syntax;
                }
                self.state = State::String { is_key };
                self.character(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), is_key)
            }
            State::Bare if c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.') => Seen::Syntax,
            State::Bare | State::Between => {
                self.state = State::Between;
                self.between(c)
            }
        }
    }

    fn in_string(&mut self, c: char, is_key: bool) -> Seen {
        match c {
            '\\' => {
                self.is_odd |= is_key && self.levels.len() == 1;
                self.state = State::Escape { is_key };
                Seen::Syntax
            }
            '"' => {
                self.state = State::Between;
                if let Some(level) = self.levels.last_mut() {
                    level.next = if is_key { Next::Colon } else { Next::CommaOrEnd };
                }
                Seen::Syntax
            }
            c if c < ' ' => self.broken(),
            c => self.character(c, is_key),
        }
    }

    fn character(&mut self, c: char, is_key: bool) -> Seen {
        if is_key && self.levels.len() == 1 {
            self.is_odd |= self.name.len() >= MAX_NAME;
            if !self.is_odd {
                self.name.push(c);
            }
        }
        if is_key { Seen::Syntax } else { Seen::Char(c) }
    }

    fn between(&mut self, c: char) -> Seen {
        if matches!(c, ' ' | '\t' | '\n' | '\r') {
            return Seen::Syntax;
        }
        let depth = self.levels.len();
        let Some(level) = self.levels.last_mut() else {
            if c != '{' || self.has_ended {
                return self.broken();
            }
            self.levels.push(Level { is_object: true, next: Next::KeyOrEnd });
            return Seen::Syntax;
        };
        let takes_value = matches!(level.next, Next::Value | Next::ValueOrEnd);
        let may_end = match (level.is_object, level.next) {
            (true, next) => matches!(next, Next::KeyOrEnd | Next::CommaOrEnd),
            (false, next) => matches!(next, Next::ValueOrEnd | Next::CommaOrEnd),
        };
        match c {
            '"' if matches!(level.next, Next::KeyOrEnd | Next::Key) => {
                self.state = State::String { is_key: true };
                if depth == 1 {
                    self.name.clear();
                    self.is_odd = false;
                }
            }
            '"' if takes_value => {
                self.state = State::String { is_key: false };
                return Seen::Begins;
            }
            ':' if level.next == Next::Colon => level.next = Next::Value,
            ',' if level.next == Next::CommaOrEnd => {
                level.next = if level.is_object { Next::Key } else { Next::Value };
            }
            '{' | '[' if takes_value && depth < MAX_DEPTH => {
                level.next = Next::CommaOrEnd;
                let is_object = c == '{';
                let next = if is_object { Next::KeyOrEnd } else { Next::ValueOrEnd };
                self.levels.push(Level { is_object, next });
            }
            '}' | ']' if may_end && level.is_object == (c == '}') => {
                self.levels.pop();
                self.has_ended = self.levels.is_empty();
            }
            c if takes_value && (c.is_ascii_alphanumeric() || c == '-') => {
                level.next = Next::CommaOrEnd;
                self.state = State::Bare;
            }
            _ => return self.broken(),
        }
        Seen::Syntax
    }

    fn broken(&mut self) -> Seen {
        self.state = State::Broken;
        Seen::Syntax
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Every string value of a text, with the argument that it is in, as the reader sees it.
    fn read(text: &str) -> Vec<(String, String)> {
        let mut reader = Arguments::default();
        let mut out: Vec<(String, String)> = Vec::new();
        for c in text.chars() {
            match reader.feed(c) {
                Seen::Begins => out.push((reader.name().unwrap_or("-").to_owned(), String::new())),
                Seen::Char(c) => out.last_mut().unwrap().1.push(c),
                Seen::Syntax => {}
            }
        }
        out
    }

    /// The same as a parser sees it.
    fn parsed(value: &Value, name: &str, out: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => out.push((name.to_owned(), text.clone())),
            Value::Array(items) => items.iter().for_each(|item| parsed(item, name, out)),
            Value::Object(entries) => entries.values().for_each(|inner| parsed(inner, name, out)),
            _ => {}
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: /é😀]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\":,]{0,4}", inner, 0..4).prop_map(|entries| json!(entries)),
            ]
        })
    }

    #[test]
    fn what_is_no_object_has_no_arguments() {
        for text in [
            "plain text",
            "[\"a\"]",
            "\"a\"",
            "{a: \"x\"}",
            "{\"a\" \"x\"}",
            "{\"a\": 'x'}",
            "{\"a\": 1 \"b\": \"x\"}",
            "{\"a\": [}, \"b\": \"x\"}",
            "{} {\"a\": \"x\"}",
            "{\"a\": 1,, \"b\": \"x\"}",
            "// note\n{\"a\": \"x\"}",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
        // Of a text that breaks in the middle, nothing behind the break counts.
        assert_eq!(read("{\"a\": \"x\" \"b\": \"y\"}"), [("a".to_owned(), "x".to_owned())]);
        assert_eq!(read("{\"\\u0061\": \"x\"}"), [("-".to_owned(), "x".to_owned())]);
    }

    proptest! {
        #[test]
        fn every_string_is_seen_in_its_argument_as_a_parser_sees_it(
            entries in prop::collection::btree_map("[a-z_:,]{1,6}", value(), 0..5), is_pretty: bool
        ) {
            let text = if is_pretty { serde_json::to_string_pretty(&entries) } else { serde_json::to_string(&entries) };
            let mut wanted = Vec::new();
            entries.iter().for_each(|(name, value)| parsed(value, name, &mut wanted));
            prop_assert_eq!(read(&text.unwrap()), wanted);
        }

        #[test]
        fn no_text_is_too_odd(text in "[{}\\[\\]\",:a\\\\u0 ]{0,60}") {
            read(&text);
        }
    }
}
