//! From text to tokens.

use super::fault::Fault;

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 1024;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name that is no keyword.
    Name(Box<str>),
    /// A keyword: `true`, `false`, `null`, `in`.
    Word(&'static str),
    /// The digits of a whole number, and whether they are hexadecimal.
    Int(Box<str>, bool),
    /// A fraction.
    Double(f64),
    /// A text, without its quotes and escapes.
    Text(Box<str>),
    /// An operator or a bracket.
    Sign(&'static str),
    /// The end.
    End,
}

/// A token and the byte at which it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

/// Longer signs before those that they begin with.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "!", "<", ">", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]", ",", ".",
    "{", "}",
];

/// Names that CEL keeps for other languages.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// True for a name that no variable can have.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The tokens of a text; the last one is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new(MAX_BYTES, format!("{} bytes, expected at most {MAX_BYTES}", text.len())));
    }
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip();
        let at = lexer.at;
        let kind = lexer.next()?;
        let ended = kind == Kind::End;
        tokens.push(Token { kind, at });
        if ended {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    /// Goes over bytes of this kind, and gives them.
    fn take(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| is_wanted(*byte)).count();
        self.at = self.at.saturating_add(length);
        rest.get(..length).unwrap_or_default()
    }

    /// Goes over white space and comments.
    fn skip(&mut self) {
        loop {
            self.take(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take(|byte| byte != b'\n');
        }
    }

    fn next(&mut self) -> Result<Kind, Fault> {
        let (first, second) = (self.byte(0), self.byte(1));
        match first {
            0 if self.rest().is_empty() => Ok(Kind::End),
            b'0'..=b'9' => self.number(),
            b'.' if second.is_ascii_digit() => self.number(),
            b'"' | b'\'' => self.quoted(false),
            b'r' | b'R' if matches!(second, b'"' | b'\'') => {
                self.at = self.at.saturating_add(1);
                self.quoted(true)
            }
            b'b' | b'B' if matches!(second, b'"' | b'\'') => Err(self.fault("bytes are not offered, expected a text")),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let name = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                let word = ["true", "false", "null", "in"].into_iter().find(|word| *word == name);
                Ok(word.map_or_else(|| Kind::Name(name.into()), Kind::Word))
            }
            _ => {
                let Some(sign) = SIGNS.into_iter().find(|sign| self.rest().starts_with(sign)) else {
                    let c = self.rest().chars().next().unwrap_or_default();
                    return Err(self.fault(format!("{c:?} has no meaning here")));
                };
                self.at = self.at.saturating_add(sign.len());
                Ok(Kind::Sign(sign))
            }
        }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.at, message)
    }

    fn number(&mut self) -> Result<Kind, Fault> {
        let begin = self.at;
        let kind = if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X') {
            self.at = self.at.saturating_add(2);
            Kind::Int(self.take(|byte| byte.is_ascii_hexdigit()).into(), true)
        } else {
            let whole = self.take(|byte| byte.is_ascii_digit());
            let is_fraction = self.byte(0) == b'.' && self.byte(1).is_ascii_digit();
            if is_fraction {
                self.at = self.at.saturating_add(1);
                self.take(|byte| byte.is_ascii_digit());
            }
            let signed = matches!(self.byte(1), b'+' | b'-') && self.byte(2).is_ascii_digit();
            let is_power = matches!(self.byte(0), b'e' | b'E') && (signed || self.byte(1).is_ascii_digit());
            if is_power {
                self.at = self.at.saturating_add(2);
                self.take(|byte| byte.is_ascii_digit());
            }
            if is_fraction || is_power {
                let digits = self.text.get(begin..self.at).unwrap_or_default();
                let number = digits.parse::<f64>().ok().filter(|number| number.is_finite());
                Kind::Double(number.ok_or_else(|| Fault::new(begin, "the number is too large"))?)
            } else {
                Kind::Int(whole.into(), false)
            }
        };
        if matches!(self.byte(0), b'u' | b'U') {
            return Err(self.fault("unsigned numbers are not offered, expected a number without u"));
        }
        if self.byte(0).is_ascii_alphanumeric() || self.byte(0) == b'_' {
            return Err(self.fault("not a digit"));
        }
        Ok(kind)
    }

    /// A text in quotes, one or three.
    fn quoted(&mut self, is_raw: bool) -> Result<Kind, Fault> {
        let begin = self.at;
        let quote = if self.byte(0) == b'"' { "\"" } else { "'" };
        let three = quote.repeat(3);
        let is_long = self.rest().starts_with(&three);
        let end = if is_long { three.as_str() } else { quote };
        self.at = self.at.saturating_add(end.len());
        let mut out = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(end) {
                self.at = self.at.saturating_add(end.len());
                return Ok(Kind::Text(out.into()));
            }
            let Some(c) = rest.chars().next() else { return Err(Fault::new(begin, "the text has no end")) };
            match c {
                '\n' | '\r' if !is_long => return Err(Fault::new(begin, "the text has no end on its line")),
                '\\' if !is_raw => out.push(self.escape()?),
                c => {
                    out.push(c);
                    self.at = self.at.saturating_add(c.len_utf8());
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let begin = self.at;
        let letter = self.byte(1);
        let plain = match letter {
            b'a' => Some('\u{7}'),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            b'v' => Some('\u{b}'),
            b'\\' | b'?' | b'"' | b'\'' | b'`' => Some(char::from(letter)),
            _ => None,
        };
        if let Some(plain) = plain {
            self.at = self.at.saturating_add(2);
            return Ok(plain);
        }
        let (skipped, digits, base) = match letter {
            b'x' | b'X' => (2, 2, 16),
            b'u' => (2, 4, 16),
            b'U' => (2, 8, 16),
            b'0'..=b'3' => (1, 3, 8),
            _ => return Err(Fault::new(begin, "unknown escape")),
        };
        let from = begin.saturating_add(skipped);
        let end = from.saturating_add(digits);
        let written = self.text.get(from..end).filter(|digits| digits.chars().all(|c| c.is_digit(base)));
        let number = written.and_then(|digits| u32::from_str_radix(digits, base).ok());
        self.at = end;
        number.and_then(char::from_u32).ok_or_else(|| Fault::new(begin, "not an escape of a character"))
    }
}
