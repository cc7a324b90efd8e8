//! PII and secrets: validators of what the rules found, and masking.

pub mod validate;
