//! Tags and their attributes.

use super::address::{self, Escapes, LONGEST, Target};
use super::tag::{self, Attribute, Word};
use super::{ActiveWatch, Next};

/// Bytes of a tag's name that are looked at: longer ones are no tag that matters.
const LONGEST_NAME: usize = 40;

impl ActiveWatch {
    /// A tag, or an address in angle brackets.
    pub(super) fn angle(&mut self) -> Next {
        let start = self.at;
        let (rest, whole) = self.ahead(start + 1);
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            match rest.bytes().next() {
                None if !whole => return Next::More,
                // A comment, a declaration or an instruction may reach over blank lines.
                Some(b'!' | b'?') => self.lines.doubt(),
                Some(b'/') => self.lines.loosen(),
                _ => {}
            }
            return Next::At(start + 1);
        }
        let head = rest.get(..rest.floor_char_boundary(LONGEST_NAME)).unwrap_or_default();
        let ends = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ' | '/' | '>');
        let length = match head.find(ends) {
            Some(length) => length,
            None if !whole && rest.len() < LONGEST_NAME => return Next::More,
            None => head.len(),
        };
        let written = head.get(..length).unwrap_or_default();
        let is_address = written.contains(':');
        // What begins inside a name may be cut out, and then the name ends there.
        let name = written.split(['<', '!', '[']).next().unwrap_or_default().to_owned();
        // Blank lines do not end these.
        let reaches = ["script", "style", "pre", "textarea"].iter().any(|known| known.eq_ignore_ascii_case(&name));
        if tag::runs(&name) {
            let Some(stop) = self.close(start + 1 + length, b'>') else { return Next::More };
            self.see(start..stop, Target::Code, true);
        } else if is_address {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>'));
            self.step(end.unwrap_or(rest.len()));
            let Some(end) = end.or(whole.then_some(rest.len())) else { return Next::More };
            let target = address::read(rest.get(..end).unwrap_or_default(), Escapes::Plain);
            let stop = start + 1 + end;
            let stop = if self.byte(stop) == Some(b'>') { stop + 1 } else { stop };
            self.address(start..stop);
            self.see(start..stop, target, false);
        }
        if reaches {
            self.lines.doubt();
        }
        (self.tag_start, self.outer) = (start, self.tags);
        self.tags.open(&name);
        self.lines.tag();
        self.word = Word::default();
        Next::At(start + 1)
    }

    /// The value of an attribute that may begin here.
    pub(super) fn equals(&mut self) -> Next {
        let start = self.at;
        if !self.tags.any() {
            return Next::At(start + 1);
        }
        let Some(attribute) = self.tags.attribute(self.word.name()) else { return Next::At(start + 1) };
        let mut lost = self.lost_until;
        let (span, value) = if start < lost {
            (start + 1..lost, None)
        } else {
            let blank = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ');
            let (rest, whole) = self.ahead(start + 1);
            let lead = rest.len() - rest.trim_start_matches(blank).len();
            let value = rest.get(lead..).unwrap_or_default();
            let (quote, value) = match value.chars().next() {
                None if !whole => return Next::More,
                Some(quote @ ('"' | '\'')) => (Some(quote), value.get(1..).unwrap_or_default()),
                _ => (None, value),
            };
            let end = value.find(|c: char| quote.map_or(blank(c) || c == '>', |quote| c == quote));
            self.step(end.unwrap_or(rest.len()));
            if end.is_none() && !whole {
                return Next::More;
            }
            let from = start + 1 + lead + usize::from(quote.is_some());
            let length = end.unwrap_or(value.len());
            if end.is_none() && lead + value.len() > LONGEST {
                lost = from + length;
            }
            (from..from + length, value.get(..length).filter(|value| lead + value.len() <= LONGEST))
        };
        let (fetched, target) = match (attribute, value) {
            (Attribute::Code, _) => (true, Target::Code),
            (_, None) => (true, Target::UNKNOWN),
            (Attribute::Link, Some(value)) => (false, address::read(value, Escapes::Html)),
            (Attribute::Fetched, Some(value)) => (true, address::read(value, Escapes::Html)),
            (Attribute::List, Some(value)) => (true, worst_of_list(value)),
            (Attribute::Style, Some(value)) => (true, worst_of_style(value)),
        };
        self.lost_until = lost;
        if target != Target::Harmless {
            let Some(stop) = self.close_of(&span, b'>') else { return Next::More };
            self.see(self.tag_start..stop, target, fetched);
        }
        self.address(span);
        Next::At(start + 1)
    }
}

/// The address of a value that may list several: the worst of them.
fn worst_of_list(value: &str) -> Target {
    let whole = address::read(value, Escapes::Html);
    if whole != Target::Harmless || value.len() > LONGEST {
        return whole;
    }
    let list = address::unescape(value, Escapes::Html);
    let parts = list.split(|c: char| c.is_whitespace() || c == ',');
    parts.map(|part| address::read(part, Escapes::Plain)).find(|target| *target != Target::Harmless).unwrap_or(whole)
}

/// Style declarations that fetch. What escapes or imports is not read: it is foreign.
fn worst_of_style(value: &str) -> Target {
    let foreign = Target::Foreign { host: None, carries: true };
    if value.len() > LONGEST {
        return foreign;
    }
    let style = address::unescape(value, Escapes::Html).to_ascii_lowercase();
    if style.contains("expression(") || style.contains("javascript:") {
        return Target::Code;
    }
    if style.contains(['\\', '@']) || style.contains("image-set(") || style.contains("/*") {
        return foreign;
    }
    let mut urls = style.split("url(").skip(1).map(|rest| {
        let inner = rest.split(')').next().unwrap_or_default().trim();
        address::read(inner.trim_matches(['"', '\'', ' ']), Escapes::Plain)
    });
    match urls.find(|target| *target != Target::Harmless) {
        Some(target) => target,
        None if style.contains("//") => foreign,
        None => Target::Harmless,
    }
}
