//! Load-time errors: each names the full key path and what was expected; a document's errors come all at once.

use std::fmt;
use std::time::Duration;

use super::duration::Span;

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A key of an object.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// A place in the document, printed as `roles.analyst.quotas[0].window`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The document itself.
    pub const fn root() -> Self {
        KeyPath(Vec::new())
    }

    /// The key below this place.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.push(Step::Key(key.to_owned()));
        path
    }

    /// The list element below this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.push(Step::Index(index));
        path
    }

    /// Goes one step down.
    pub fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    /// Goes one step up.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// The steps from the document to this place.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// True when this place is `other` or lies below it.
    pub fn is_within(&self, other: &KeyPath) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl FromIterator<Step> for KeyPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        KeyPath(steps.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    /// Keys that would be unclear in a dotted path are quoted: `roles["a.b"].models`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("document");
        }
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_plain(key) => write!(f, "{}{key}", if position == 0 { "" } else { "." })?,
                Step::Key(key) => write!(f, "[{:?}]", shortened(key))?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/*:@".contains(&b))
}

/// The beginning of a text that came from the document, fit for a message of one line.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(64).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Where.
    pub path: KeyPath,
    /// What is wrong and what was expected, in lower case.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Collects a document's errors while it is compiled.
#[derive(Debug, Default)]
pub struct Errors(Vec<ConfigError>);

impl Errors {
    /// Records an error and goes on.
    pub fn push(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.0.push(ConfigError { path: path.clone(), message: message.into() });
    }

    /// Takes a required value, or records that it is missing.
    pub fn require<T>(&mut self, path: &KeyPath, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.push(&path.key(key), "missing, but required");
        }
        value
    }

    /// Takes a required text that is not empty.
    pub fn filled<'d>(&mut self, path: &KeyPath, key: &str, written: Option<&'d str>) -> Option<&'d str> {
        let text = self.require(path, key, written)?;
        if text.is_empty() {
            self.push(&path.key(key), "empty");
        }
        Some(text)
    }

    /// Takes a time; records one that is out of bounds. `default` and `bounds` are milliseconds, `words` says them.
    pub fn span(
        &mut self,
        path: &KeyPath,
        key: &str,
        written: Option<Span>,
        (default, bounds): (u64, std::ops::RangeInclusive<u64>),
        words: &str,
    ) -> Duration {
        let span = written.map_or(Duration::from_millis(default), |span| span.0);
        if !u64::try_from(span.as_millis()).is_ok_and(|millis| bounds.contains(&millis)) {
            self.push(&path.key(key), format!("out of bounds, expected {words}"));
        }
        span
    }

    /// Takes a number within bounds; records one that is outside and goes on with the default.
    pub fn range(
        &mut self,
        path: &KeyPath,
        key: &str,
        value: Option<u64>,
        default: u64,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        match value {
            Some(value) if !bounds.contains(&value) => {
                let (low, high) = (bounds.start(), bounds.end());
                self.push(&path.key(key), format!("{value} is out of range, expected {low} to {high}"));
                default
            }
            Some(value) => value,
            None => default,
        }
    }

    /// How many errors were recorded.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True while nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors in the order they were found.
    pub fn into_vec(self) -> Vec<ConfigError> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_document() {
        let path = KeyPath::root().key("roles").key("analyst").key("quotas").index(0).key("window");
        assert_eq!(path.to_string(), "roles.analyst.quotas[0].window");
        assert_eq!(KeyPath::root().key("roles").key("a.b").key("models").to_string(), r#"roles["a.b"].models"#);
        assert_eq!(KeyPath::root().to_string(), "document");
    }
}
