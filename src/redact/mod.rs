//! Personal data and secrets: checks of what a rule matched, and masking.
//!
//! Finding is the scanner's work (`scan` with `rules/pii` and `rules/secrets`); deciding is the
//! policy's. Here stands what those need: [`validate`] says whether a match is the thing itself,
//! [`Masker`] puts placeholders where findings stood.

mod mask;
pub mod validate;

pub use mask::{Edit, Label, MAX_PLACEHOLDER, MaskKey, Masked, Masker, Target};
