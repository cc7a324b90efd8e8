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
const ALL: u16 = (1 << 9) - 1;

/// Elements whose content runs, or is read by other rules.
const RUNS: [&str; 4] = ["script", "style", "svg", "math"];
/// Elements that run or load something, or change where everything else leads, when they have an attribute.
const ACTS: [&str; 10] = ["iframe", "object", "embed", "form", "base", "meta", "link", "frame", "frameset", "applet"];
/// Attributes that hold an address.
const ADDRESSES: [&str; 25] = [
    "src",
    "href",
    "srcset",
    "poster",
    "background",
    "data",
    "action",
    "formaction",
    "ping",
    "attributionsrc",
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

/// Bytes of a name that are kept: one more than the longest of [`ADDRESSES`].
const LONGEST_WORD: usize = 16;

/// What an attribute's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// An address that a reader follows.
    Link,
    /// An address that is fetched.
    Fetched,
    /// Addresses that are fetched.
    List,
    /// A list of style declarations.
    Style,
    /// Code, or a document of its own.
    Code,
}

/// True for an element that is refused whatever its attributes say.
pub(super) fn runs(name: &str) -> bool {
    is_one_of(&RUNS, name)
}

fn is_one_of(list: &[&str], name: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The states that tokenizers could be in which began at a `<` before here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// In tags whose `href` a reader follows.
    links: u16,
    /// In tags that act by any attribute.
    acting: u16,
    /// In any other tag.
    others: u16,
}

impl Tags {
    /// A tag of this name begins.
    pub(super) fn open(&mut self, name: &str) {
        let states = if is_one_of(&["a", "area"], name) {
            &mut self.links
        } else if is_one_of(&ACTS, name) {
            &mut self.acting
        } else {
            &mut self.others
        };
        *states |= NAME;
    }

    /// The same tags, each in any state: something in them may be removed.
    pub(super) fn anywhere(self) -> Tags {
        let all = |states: u16| if states == 0 { 0 } else { ALL };
        Tags { links: all(self.links), acting: all(self.acting), others: all(self.others) }
    }

    /// Adds the states of other tags.
    pub(super) fn add(&mut self, other: Tags) {
        self.links |= other.links;
        self.acting |= other.acting;
        self.others |= other.others;
    }

    /// True while some tag may be open.
    pub(super) fn any(self) -> bool {
        self.links | self.acting | self.others != 0
    }

    /// What the value behind this `=` is, when an attribute of this name, in lower case, may end here.
    pub(super) fn attribute(self, name: &str) -> Option<Attribute> {
        let named = ATTRIBUTE | AFTER;
        if (self.links | self.acting | self.others) & named == 0 {
            return None;
        }
        if self.acting & named != 0 || name.len() > 2 && name.starts_with("on") || name == "srcdoc" {
            return Some(Attribute::Code);
        }
        if !ADDRESSES.contains(&name) {
            return None;
        }
        Some(match name {
            "style" => Attribute::Style,
            "href" | "cite" if self.others & named == 0 => Attribute::Link,
            "srcset" | "imagesrcset" | "ping" | "archive" | "attributionsrc" => Attribute::List,
            _ => Attribute::Fetched,
        })
    }

    pub(super) fn step(&mut self, byte: u8) {
        self.links = step(self.links, byte);
        self.acting = step(self.acting, byte);
        self.others = step(self.others, byte);
    }
}

/// The last word of a tag: the name of an attribute when `=` follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    text: String,
    ended: bool,
}

impl Word {
    /// Takes the next byte.
    pub(super) fn feed(&mut self, byte: u8) {
        let is_blank = matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ');
        if is_blank {
            self.ended = true;
        } else if matches!(byte, b'/' | b'"' | b'\'' | b'<' | b'>' | b'=') || self.ended {
            self.text.clear();
            self.ended = false;
        }
        if !is_blank && !matches!(byte, b'/' | b'"' | b'\'' | b'<' | b'>' | b'=') && self.text.len() < LONGEST_WORD {
            self.text.push(char::from(byte.to_ascii_lowercase()));
        }
    }

    /// The word, in lower case; of a long one its beginning, which is no name that matters.
    pub(super) fn name(&self) -> &str {
        &self.text
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
