//! What is wrong with an expression.

use std::fmt;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The byte at which it is wrong.
    pub at: usize,
    /// What is wrong, in lower case.
    pub message: String,
    /// The same place in characters, from 1.
    pub column: usize,
}

impl Fault {
    /// At this byte of a text that is not known yet: [`Fault::in_text`] finds the column.
    pub(super) fn new(at: usize, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into(), column: at.saturating_add(1) }
    }

    /// The same, with its column in this text.
    pub(super) fn in_text(self, text: &str) -> Fault {
        let column = text.char_indices().take_while(|(at, _)| *at < self.at).count().saturating_add(1);
        Fault { column, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (column {})", self.message, self.column)
    }
}

impl std::error::Error for Fault {}
