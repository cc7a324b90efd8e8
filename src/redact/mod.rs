//! Personal data and secrets: checks of what a rule matched, masking, restoring.
//!
//! Finding is the scanner's work (`scan` with `rules/pii` and `rules/secrets`); deciding is the
//! policy's. Here stands what those need: [`validate`] says whether a match is the thing itself,
//! [`Masker`] puts placeholders where findings stood, [`TextStream`] says so of a text that comes in pieces, and
//! [`Vault`] keeps what [`Restorer`] puts back.

mod active;
mod arguments;
mod canary;
mod mask;
mod restore;
mod stream;
pub mod validate;

pub use active::{ActiveKind, ActiveWatch, Sight};
pub use canary::{Canary, Watch};
pub use mask::{Edit, Label, MAX_PLACEHOLDER, MaskKey, Masked, Masker, Target};
pub use restore::{Destination, Restorer, Vault};
pub use stream::{CONTEXT, Detected, HOLD, MAX_HELD, Restoring, StreamMasker, TextStream};
