//! HTML tags by HTML's own tokenisation (WHATWG HTML, "Tokenization"), begun at every `<` at once: a quotation mark that
//! a reader's program does not take for one hides nothing. The states that a tokenizer could be in are bits of a word, so
//! that a byte costs the same however many tags may be open.

const NAME: u16 = 1;
const BEFORE: u16 = 1 << 1;
const ATTRIBUTE: u16 = 1 << 2;
const AFTER: u16 = 1 << 3;
const VALUE: u16 = 1 << 4;
const DOUBLE: u16 = 1 << 5;
const SINGLE: u16 = 1 << 6;
const UNQUOTED: u16 = 1 << 7;
const QUOTED: u16 = 1 << 8;

/// Tags that run code or change where everything else leads.
const RUNS: [&str; 14] = [
    "script", "iframe", "object", "embed", "form", "base", "meta", "svg", "math", "link", "style", "frame", "frameset",
    "applet",
];
/// Attributes that hold an address.
const ADDRESSES: [&str; 24] = [
    "src",
    "href",
    "srcset",
    "poster",
    "background",
    "data",
    "action",
    "formaction",
    "ping",
    "cite",
    "longdesc",
    "lowsrc",
    "dynsrc",
    "xlink:href",
    "manifest",
    "profile",
    "usemap",
    "codebase",
    "classid",
    "archive",
    "icon",
    "imagesrcset",
    "srcdoc",
    "style",
];

/// What an attribute's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// An address that a reader follows.
    Link,
    /// One or several addresses that are fetched.
    Fetched,
    /// A list of style declarations.
    Style,
    /// Code, or a document of its own.
    Code,
}

/// True for an element that is refused whatever its attributes say.
pub(super) fn runs(name: &str) -> bool {
    RUNS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The states that tokenizers could be in which began at a `<` before here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// In tags whose `href` a reader follows.
    links: u16,
    /// In any other tag.
    others: u16,
}

impl Tags {
    /// A tag of this name begins.
    pub(super) fn open(&mut self, name: &str) {
        let is_link = ["a", "area"].iter().any(|known| known.eq_ignore_ascii_case(name));
        *(if is_link { &mut self.links } else { &mut self.others }) |= NAME;
    }

    /// True while some tag may be open.
    pub(super) fn any(self) -> bool {
        self.links | self.others != 0
    }

    /// What the value behind this `=` is, when an attribute of this name may end here.
    pub(super) fn attribute(self, name: &str) -> Option<Attribute> {
        let named = ATTRIBUTE | AFTER;
        if (self.links | self.others) & named == 0 {
            return None;
        }
        let lower = name.to_ascii_lowercase();
        if lower.len() > 2 && lower.starts_with("on") || lower == "srcdoc" {
            return Some(Attribute::Code);
        }
        if !ADDRESSES.contains(&lower.as_str()) {
            return None;
        }
        Some(match lower.as_str() {
            "style" => Attribute::Style,
            "href" | "cite" if self.others & named == 0 => Attribute::Link,
            _ => Attribute::Fetched,
        })
    }

    pub(super) fn step(&mut self, byte: u8) {
        self.links = step(self.links, byte);
        self.others = step(self.others, byte);
    }
}

fn step(states: u16, byte: u8) -> u16 {
    if states == 0 {
        return 0;
    }
    let has = |state: u16| states & state != 0;
    let when = |is: bool, state: u16| if is { state } else { 0 };
    match byte {
        b'\t' | b'\n' | 0x0c | b'\r' | b' ' => {
            when(has(NAME | BEFORE | UNQUOTED | QUOTED), BEFORE)
                | when(has(ATTRIBUTE | AFTER), AFTER)
                | states & (VALUE | DOUBLE | SINGLE)
        }
        b'/' => {
            when(has(NAME | BEFORE | ATTRIBUTE | AFTER | QUOTED), BEFORE)
                | when(has(VALUE | UNQUOTED), UNQUOTED)
                | states & (DOUBLE | SINGLE)
        }
        b'>' => states & (DOUBLE | SINGLE),
        b'=' => {
            states & (NAME | DOUBLE | SINGLE | UNQUOTED)
                | when(has(BEFORE | QUOTED), ATTRIBUTE)
                | when(has(ATTRIBUTE | AFTER), VALUE)
                | when(has(VALUE), UNQUOTED)
        }
        b'"' => other(states & !(VALUE | DOUBLE)) | when(has(VALUE), DOUBLE) | when(has(DOUBLE), QUOTED),
        b'\'' => other(states & !(VALUE | SINGLE)) | when(has(VALUE), SINGLE) | when(has(SINGLE), QUOTED),
        _ => other(states),
    }
}

/// Any other character.
fn other(states: u16) -> u16 {
    let stay = states & (NAME | ATTRIBUTE | DOUBLE | SINGLE | UNQUOTED);
    let named = if states & (BEFORE | AFTER | QUOTED) != 0 { ATTRIBUTE } else { 0 };
    let value = if states & VALUE != 0 { UNQUOTED } else { 0 };
    stay | named | value
}
