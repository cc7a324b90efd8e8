//! From the tree to the typed document: a reader that knows its path and says plainly what it expected.
//!
//! serde would compile a visitor and a state machine for each section. Here a section is a table of its fields and one
//! function reads them all: a policy is read seldom, and the module has a size.

use crate::sorted::SortedMap;

use serde_json::{Map, Number, Value};

use super::duration::Span;
use super::errors::{KeyPath, Step, shortened};
use super::tree::Node;
use crate::enums::{Action, ConfinedBy, DataAction, Level, Mode, Operation, Pack, PiiType, Zone};

/// The first thing that is wrong with the types of a tree.
#[derive(Debug)]
pub(crate) struct TypeFault {
    /// From the innermost step to the outermost.
    reversed: Vec<Step>,
    pub(crate) message: String,
    /// For an unknown field: the sibling that was probably meant.
    pub(crate) meant: Option<String>,
    /// For an unknown field.
    pub(crate) unknown: bool,
}

impl TypeFault {
    fn new(message: String) -> Self {
        TypeFault { reversed: Vec::new(), message, meant: None, unknown: false }
    }

    fn below(mut self, step: Step) -> Self {
        self.reversed.push(step);
        self
    }

    /// A value of another type.
    #[cold]
    pub(crate) fn kind(expected: &str, found: &Node) -> Self {
        let found = match found {
            Node::Bool(_) => "a boolean",
            Node::Number(number) if number.is_f64() => "a fraction",
            Node::Number(_) => "a number",
            Node::String(_) => "a string",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        };
        TypeFault::new(format!("expected {expected}, found {found}"))
    }

    /// A value that is none of its type's, and may be repeated.
    #[cold]
    pub(crate) fn value(expected: &str, found: &str) -> Self {
        TypeFault::new(format!("expected {expected}, found {found}"))
    }

    /// A word that this build knows and has no code for.
    #[cold]
    pub(crate) fn not_built(word: &str, feature: &str) -> Self {
        TypeFault::new(format!(
            "`{word}` is not in this build: it needs the feature `{feature}`, which bartizan.wasm has and bartizan-core.wasm has not"
        ))
    }

    #[cold]
    fn field(field: &str, names: &[Name]) -> Self {
        let names: Vec<String> = names.iter().map(Name::written).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let meant = nearest(field, &names);
        let hint = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        TypeFault {
            meant: meant.map(str::to_owned),
            unknown: true,
            ..TypeFault::new(format!("unknown field, expected one of {}{hint}", names.join(", ")))
        }
    }

    /// A word that is none of a closed list.
    #[cold]
    pub(crate) fn word(word: &str, expected: &[&str]) -> Self {
        if expected.contains(&"RS256")
            && let Some(reason) = never(word)
        {
            let expected = expected.join(", ");
            return TypeFault::new(format!("{} {reason}; expected one of {expected}", shortened(word)));
        }
        let hint = nearest(word, expected).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let expected = expected.join(", ");
        TypeFault::new(format!("unknown value {:?}, expected one of {expected}{hint}", shortened(word)))
    }

    pub(crate) fn path(&self) -> KeyPath {
        self.reversed.iter().rev().cloned().collect()
    }
}

/// Why an algorithm of tokens has no place in the document: no near word was meant.
fn never(variant: &str) -> Option<&'static str> {
    match variant {
        "HS256" | "HS384" | "HS512" => Some(
            "is never accepted: its key is a secret that checks tokens and makes them, and a policy holds no secret",
        ),
        "none" => Some("is never accepted: such a token is not signed"),
        _ => None,
    }
}

/// The name that was probably meant, if one is near enough.
pub(crate) fn nearest<T: AsRef<str> + Copy>(written: &str, names: &[T]) -> Option<T> {
    // A document is small, but a hostile one must not be able to make this slow.
    if written.len() > 48 {
        return None;
    }
    let folded = fold(written);
    names
        .iter()
        .filter(|name| name.as_ref().len() <= 48)
        .map(|name| (distance(&folded, &fold(name.as_ref())), *name))
        .filter(|(distance, name)| *distance <= 1 + name.as_ref().len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `max_body_bytes`, `MaxBodyBytes` and `maxBodyBytes` are one.
fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Levenshtein's distance with swapped neighbours as one step.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, a) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        let mut beside = None;
        for (column, b) in right.iter().enumerate() {
            let at = |cells: &[usize], place: usize| cells.get(place).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&above, column) + usize::from(a != b);
            let mut best = replaced.min(at(&above, column + 1) + 1).min(at(&line, column) + 1);
            if previous == Some(b) && beside == Some(a) && column > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            line.push(best);
            beside = Some(b);
        }
        before = std::mem::replace(&mut above, line);
        previous = Some(a);
    }
    above.last().copied().unwrap_or(0)
}

/// Reads a section that is no document's, out of any serde format.
#[cfg(feature = "cli")]
pub(crate) fn alone<'de, T: Read, D: serde::Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let tree = super::tree::read_with(deserializer, super::tree::MAX_DEPTH);
    let fault = || tree.faults.first().map_or("empty", |fault| fault.message.as_str());
    let root = tree.root.as_ref().ok_or_else(|| serde::de::Error::custom(fault()))?;
    T::read(root).map_err(|fault| serde::de::Error::custom(fault.message))
}

/// How a field is called in the document.
pub(crate) enum Name {
    /// A field's own name, which the document writes in camel case.
    Field(&'static str),
    /// Another name.
    Word(&'static str),
}

impl Name {
    fn is(&self, key: &str) -> bool {
        match self {
            Name::Field(field) => camel_case(field).eq(key.chars()),
            Name::Word(word) => *word == key,
        }
    }

    fn written(&self) -> String {
        match self {
            Name::Field(field) => camel_case(field).collect(),
            Name::Word(word) => (*word).to_owned(),
        }
    }
}

/// `max_body_bytes` as `maxBodyBytes`.
fn camel_case(name: &str) -> impl Iterator<Item = char> {
    let mut begins = false;
    name.chars().filter_map(move |c| match c {
        '_' => {
            begins = true;
            None
        }
        _ if std::mem::take(&mut begins) => Some(c.to_ascii_uppercase()),
        _ => Some(c),
    })
}

/// What the document can hold.
pub(crate) trait Read: Sized {
    /// Reads a value. An object is never read from a list, and no number from a string.
    fn read(node: &Node) -> Result<Self, TypeFault>;
}

/// A field of a section: absent until it is read.
pub(crate) trait Field {
    fn fill(&mut self, node: &Node) -> Result<(), TypeFault>;
}

impl<T: Read> Field for Option<T> {
    fn fill(&mut self, node: &Node) -> Result<(), TypeFault> {
        *self = Some(T::read(node)?);
        Ok(())
    }
}

/// Reads a section: each key into the field of its name.
pub(crate) fn section(node: &Node, names: &[Name], fields: &mut [&mut dyn Field]) -> Result<(), TypeFault> {
    entries(node, &mut |key, value| match names.iter().zip(&mut *fields).find(|(name, _)| name.is(key)) {
        Some((_, field)) => field.fill(value),
        None => Err(TypeFault::field(key, names)),
    })
}

/// Reads an object. A fault is below its key.
fn entries(node: &Node, each: &mut dyn FnMut(&str, &Node) -> Result<(), TypeFault>) -> Result<(), TypeFault> {
    let Node::Object(entries) = node else { return Err(TypeFault::kind("an object", node)) };
    entries.iter().try_for_each(|(key, value)| each(key, value).map_err(|fault| fault.below(Step::Key(key.clone()))))
}

/// Reads a list. A fault is below its index.
fn items(node: &Node, each: &mut dyn FnMut(&Node) -> Result<(), TypeFault>) -> Result<(), TypeFault> {
    let Node::List(items) = node else { return Err(TypeFault::kind("a list", node)) };
    items.iter().try_for_each(|(index, item)| each(item).map_err(|fault| fault.below(Step::Index(*index))))
}

/// The place of a word in its closed list.
fn place(word: &str, words: &[&str]) -> Result<usize, TypeFault> {
    words.iter().position(|known| *known == word).ok_or_else(|| TypeFault::word(word, words))
}

/// Reads an externally tagged choice: `openai`, or `generic: {...}`. The word's place in the list, and its content.
pub(crate) fn tagged<'n>(node: &'n Node, words: &[&str]) -> Result<(usize, Option<&'n Node>), TypeFault> {
    let (word, content) = match node {
        Node::String(word) => (word, None),
        Node::Object(entries) => match entries.as_slice() {
            [(word, content)] => (word, Some(content)),
            _ => return Err(TypeFault::new(format!("expected exactly one of the keys {}", words.join(", ")))),
        },
        Node::Number(_) => return Err(TypeFault::value(&one_of(words), "a number")),
        _ => return Err(TypeFault::kind(&one_of(words), node)),
    };
    Ok((place(word, words)?, content))
}

fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}

/// The value of a word that has no content.
pub(crate) fn choice<T: Copy>(node: &Node, words: &[&str], all: &[T]) -> Result<T, TypeFault> {
    let (place, content) = tagged(node, words)?;
    plain(words.get(place).copied().unwrap_or_default(), content)?;
    all.get(place).copied().ok_or_else(|| TypeFault::kind(&one_of(words), node))
}

/// That a word has no content.
pub(crate) fn plain(word: &str, content: Option<&Node>) -> Result<(), TypeFault> {
    match content {
        None => Ok(()),
        Some(_) => Err(TypeFault::new(format!("`{word}` has no value: write only `{word}`"))),
    }
}

/// The content of a word that needs one.
pub(crate) fn content<T: Read>(word: &str, content: Option<&Node>) -> Result<T, TypeFault> {
    match content {
        Some(node) => T::read(node).map_err(|fault| fault.below(Step::Key(word.to_owned()))),
        None => Err(TypeFault::new(format!("`{word}` needs its settings: write `{{{word}: {{...}}}}`"))),
    }
}

/// Closed lists of words are read by their place.
macro_rules! closed {
    ($($name:ty),*) => { $(
        impl $crate::document::typed::Read for $name {
            fn read(node: &$crate::document::tree::Node) -> Result<Self, $crate::document::typed::TypeFault> {
                $crate::document::typed::choice(node, <$name>::WORDS, <$name>::ALL)
            }
        }
    )* };
}
pub(super) use closed;

closed! { Action, ConfinedBy, DataAction, Level, Mode, Operation, Pack, PiiType, Zone }

impl Read for bool {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let Node::Bool(value) = node else { return Err(TypeFault::kind("true or false", node)) };
        Ok(*value)
    }
}

impl Read for u64 {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        const EXPECTED: &str = "a whole number, 0 or more";
        let Node::Number(number) = node else { return Err(TypeFault::kind(EXPECTED, node)) };
        if number.is_i64() && !number.is_u64() {
            return Err(TypeFault::value(EXPECTED, &number.to_string()));
        }
        number.as_u64().ok_or_else(|| TypeFault::kind(EXPECTED, node))
    }
}

impl Read for f64 {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let number = if let Node::Number(number) = node { number.as_f64() } else { None };
        number.ok_or_else(|| TypeFault::kind("f64", node))
    }
}

impl Read for String {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let Node::String(text) = node else { return Err(TypeFault::kind("a string", node)) };
        Ok(text.clone())
    }
}

impl Read for Span {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        const EXPECTED: &str = "a duration such as \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"";
        let Node::String(text) = node else { return Err(TypeFault::kind(EXPECTED, node)) };
        Span::parse(text).ok_or_else(|| TypeFault::value(EXPECTED, &format!("{:?}", shortened(text))))
    }
}

impl Read for Value {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        Ok(match node {
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(number) => Value::Number(Number::clone(number)),
            Node::String(text) => Value::String(text.clone()),
            Node::List(_) => Value::Array(Read::read(node)?),
            Node::Object(_) => Value::Object(Read::read(node)?),
        })
    }
}

impl Read for Map<String, Value> {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let mut made = Map::new();
        entries(node, &mut |key, value| {
            made.insert(key.to_owned(), Value::read(value)?);
            Ok(())
        })?;
        Ok(made)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let mut made = Vec::new();
        items(node, &mut |item| {
            made.push(T::read(item)?);
            Ok(())
        })?;
        Ok(made)
    }
}

impl<T: Read> Read for SortedMap<String, T> {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let mut made = Vec::new();
        entries(node, &mut |key, value| {
            made.push((key.to_owned(), T::read(value)?));
            Ok(())
        })?;
        Ok(SortedMap::of(made))
    }
}

impl<T: Read> Read for SortedMap<PiiType, T> {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        let mut made = Vec::new();
        entries(node, &mut |key, value| {
            let kind = PiiType::ALL.get(place(key, PiiType::WORDS)?);
            let kind = kind.ok_or_else(|| TypeFault::word(key, PiiType::WORDS))?;
            made.push((*kind, T::read(value)?));
            Ok(())
        })?;
        Ok(SortedMap::of(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let names = ["operations", "models", "requests", "maxBodyBytes"];
        assert_eq!(nearest("requets", &names), Some("requests"));
        assert_eq!(nearest("reqeusts", &names), Some("requests"));
        assert_eq!(nearest("max_body_bytes", &names), Some("maxBodyBytes"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(distance(&[], &['a']), 1);
    }
}
