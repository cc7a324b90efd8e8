//! The policy document: strict when read, compiled once into an immutable policy.

pub mod document;
mod duration;
mod errors;

pub use duration::Span;
pub use errors::{ConfigError, Errors, KeyPath};
