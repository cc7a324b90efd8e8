//! Tags and their attributes.

use bartizan_rules::invariant::part;

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
        let head = part(rest, 0..rest.floor_char_boundary(LONGEST_NAME));
        let ends = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ' | '/' | '>');
        let length = match head.find(ends) {
            Some(length) => length,
            None if !whole && rest.len() < LONGEST_NAME => return Next::More,
            None => head.len(),
        };
        let written = part(head, 0..length);
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
            let target = address::read(part(rest, 0..end), Escapes::Plain);
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
            let value = part(rest, lead..rest.len());
            let (quote, value) = match value.chars().next() {
                None if !whole => return Next::More,
                Some(quote @ ('"' | '\'')) => (Some(quote), part(value, 1..value.len())),
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
        let read = |value| address::read(value, Escapes::Html);
        let (fetched, mut targets) = match (attribute, value) {
            (Attribute::Code, _) => (true, vec![Target::Code]),
            (_, None) => (true, vec![Target::UNKNOWN]),
            (Attribute::Link, Some(value)) => (false, vec![read(value)]),
            (Attribute::Fetched, Some(value)) => (true, vec![read(value)]),
            (Attribute::List, Some(value)) => (true, of_list(value)),
            (Attribute::Style, Some(value)) => (true, of_style(value)),
        };
        targets.retain(|target| *target != Target::Harmless);
        self.lost_until = lost;
        if !targets.is_empty() {
            let Some(stop) = self.close_of(&span, b'>') else { return Next::More };
            targets.into_iter().for_each(|target| self.see(self.tag_start..stop, target, fetched));
        }
        self.address(span);
        Next::At(start + 1)
    }
}

/// Targets of one value that are told apart; more are one that no list of hosts names.
const MAX_TARGETS: usize = 8;

/// Each target once: a list may name the hosts of some and not of others.
fn distinct(targets: impl Iterator<Item = Target>) -> Vec<Target> {
    let mut found = Vec::new();
    for target in targets.filter(|target| *target != Target::Harmless) {
        if found.contains(&target) {
            continue;
        }
        if found.len() >= MAX_TARGETS {
            found.push(Target::UNKNOWN);
            break;
        }
        found.push(target);
    }
    found
}

/// The addresses of a value that may list several.
fn of_list(value: &str) -> Vec<Target> {
    if value.len() > LONGEST {
        return vec![Target::UNKNOWN];
    }
    let list = address::unescape(value, Escapes::Html);
    let parts = list.split(|c: char| c.is_whitespace() || c == ',');
    // Without a blank it is one address: readers of `ping` and `srcset` split at different signs.
    let whole = address::read(value, Escapes::Html);
    distinct(parts.map(|part| address::read(part, Escapes::Plain)).chain([whole]))
}

/// Style declarations that fetch. What escapes or imports is not read: it is foreign.
fn of_style(value: &str) -> Vec<Target> {
    if value.len() > LONGEST {
        return vec![Target::UNKNOWN];
    }
    let style = address::unescape(value, Escapes::Html).to_ascii_lowercase();
    if style.contains("expression(") || style.contains("javascript:") {
        return vec![Target::Code];
    }
    if style.contains(['\\', '@']) || style.contains("image-set(") || style.contains("/*") {
        return vec![Target::UNKNOWN];
    }
    let urls = style.split("url(").skip(1).map(|rest| {
        let inner = rest.split(')').next().unwrap_or_default().trim();
        address::read(inner.trim_matches(['"', '\'', ' ']), Escapes::Plain)
    });
    let found = distinct(urls);
    if found.is_empty() && style.contains("//") { vec![Target::UNKNOWN] } else { found }
}
