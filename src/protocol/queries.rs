//! What a policy says of operations that are written in a language of their own: how large they may be, what they may ask
//! for, and where in them a value means something.
//!
//! ```
//! use bartizan::protocol::{Coordinate, Meaning};
//!
//! assert!(Coordinate::parse("chat(input.messages.text)", Meaning::Prompt).is_some());
//! assert!(Coordinate::parse("chat", Meaning::Prompt).is_none());
//! ```

use crate::hex::hex;
use crate::sorted::SortedMap;
use sha2::{Digest, Sha256};

/// What operations may be, and where their prompts are.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// The most tokens of an operation, blanks and commas counted.
    pub tokens: usize,
    /// The most fields below each other.
    pub depth: u64,
    /// The most fields under another name, fragments in their places.
    pub aliases: u64,
    /// The most that fields cost: 1 each, those below a list as often as it has items.
    pub cost: u64,
    /// The arguments that say how many items a list has.
    pub lists: Vec<String>,
    /// The most operations of one request; 0: no lists of them.
    pub batch: usize,
    /// The schema may be asked for.
    pub introspection: bool,
    /// Where values mean something.
    pub places: Vec<Coordinate>,
    /// The operations that a request may name, by the SHA-256 of their text.
    pub persisted: SortedMap<String, String>,
    /// A model reads the answers next, as a tool's results: they are searched for attacks.
    pub answers_tools: bool,
}

impl Default for Queries {
    fn default() -> Queries {
        Queries {
            tokens: 4000,
            depth: 12,
            aliases: 15,
            cost: 1000,
            lists: ["first", "last", "limit"].map(str::to_owned).to_vec(),
            batch: 0,
            introspection: false,
            places: Vec::new(),
            persisted: SortedMap::default(),
            answers_tools: false,
        }
    }
}

/// The hash by which an operation is named: the SHA-256 of its text, in hex.
pub fn hash(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// What the policy says of the values at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// What a retriever found.
    Document,
    /// Nothing: text of the caller's like any other.
    Other,
    /// The caller's prompt.
    Prompt,
    /// The name of a model.
    Model,
}

/// A place of values: `ask(question)`, `chat(input.messages.text)`, `@remember(text)`, with `*` for any one name.
///
/// It names a field by its own name, never by an alias, wherever it is selected: at the root, below other fields or in a
/// fragment. What is below the place, in lists and objects, belongs to it. Lists have no name of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinate {
    pub(super) meaning: Meaning,
    pub(super) field: String,
    pub(super) keys: Vec<String>,
}

/// How many names a place has at most.
const MAX_NAMES: usize = 16;

impl Coordinate {
    /// Reads `field(argument.key)`; `None`: it is none.
    pub fn parse(text: &str, meaning: Meaning) -> Option<Coordinate> {
        let (field, keys) = text.strip_suffix(')')?.split_once('(')?;
        let keys: Vec<String> = keys.split('.').map(str::to_owned).collect();
        let name = |text: &str| text == "*" || is_name(text);
        let is_field = name(field) || field.strip_prefix('@').is_some_and(name);
        let fits = is_field && keys.len() <= MAX_NAMES && keys.iter().all(|key| name(key));
        fits.then(|| Coordinate { meaning, field: field.to_owned(), keys })
    }

    /// Every name in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.field.trim_start_matches('@')).chain(self.keys.iter().map(String::as_str))
    }
}

/// A name of the language.
fn is_name(text: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(is_start) && text.bytes().all(|byte| is_start(byte) || byte.is_ascii_digit())
}
