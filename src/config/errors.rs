//! Load-time errors: each names the full key path and what was expected; a document's errors come all at once.

use std::fmt;

/// A place in the document, printed as `roles.analyst.quotas[0].window`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(String);

impl KeyPath {
    /// The document itself.
    pub fn root() -> Self {
        KeyPath::default()
    }

    /// A path that is already written out.
    pub fn from_text(text: impl Into<String>) -> Self {
        KeyPath(text.into())
    }

    /// The key below this place.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        if self.0.is_empty() { KeyPath(key.to_owned()) } else { KeyPath(format!("{}.{key}", self.0)) }
    }

    /// The array element below this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        KeyPath(format!("{}[{index}]", self.0))
    }

    /// The path as text; empty for the document itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "document" } else { &self.0 })
    }
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

    /// True while nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors in the order they were found.
    pub fn into_vec(self) -> Vec<ConfigError> {
        self.0
    }
}
