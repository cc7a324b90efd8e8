//! Personal data and secrets: checks of what a rule matched, masking, restoring.
//!
//! Finding is the scanner's work (`scan` with `rules/pii` and `rules/secrets`); deciding is the
//! policy's. Here stands what those need: [`validate`] says whether a match is the thing itself,
//! [`Masker`] puts placeholders where findings stood, [`StreamMasker`] does so piece by piece, and
//! [`Vault`] keeps what [`Restorer`] puts back. The filter's request path uses the first two rooms; the
//! response path is not wired yet.

mod mask;
mod restore;
mod stream;
pub mod validate;

pub use mask::{Edit, Label, MAX_PLACEHOLDER, MaskKey, Masked, Masker, Target};
pub use restore::{Destination, Restorer, Vault};
pub use stream::{CONTEXT, HOLD, MAX_HELD, StreamMasker};
