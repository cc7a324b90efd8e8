//! Personal data and secrets: checks of what a rule matched, masking, restoring.
//!
//! Finding is the scanner's work (`scan` with `rules/pii` and `rules/secrets`); deciding is the
//! policy's. Here stands what those need: [`validate`] says whether a match is the thing itself.

pub mod validate;
