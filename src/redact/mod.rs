//! Personal data and secrets: checks of what a rule matched, masking, restoring.
//!
//! Finding is the scanner's work (`scan` with `rules/pii` and `rules/secrets`); deciding is the
//! policy's. Here is what those need: [`validate`] says whether a match is the thing itself,
//! [`Masker`] puts placeholders in the place of findings, [`TextStream`] says so of a text that comes in pieces, and
//! [`Vault`] keeps what [`Restorer`] puts back.
//!
//! ```
//! use bartizan::enums::{DataAction, PiiType};
//! use bartizan::redact::{MaskKey, Masker, Target};
//! use bartizan::scan::Kind;
//!
//! let text = "Write to ada@example.org, not to ada@example.org.";
//! let found = |at: usize| Target { span: at..at + 15, kind: Kind::Pii(PiiType::Email), action: DataAction::Mask };
//! let masked = Masker::new(MaskKey::new("key")).mask(text, &[found(9), found(33)]);
//! assert_eq!(masked.text, "Write to [EMAIL_1], not to [EMAIL_1].");
//! ```

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
