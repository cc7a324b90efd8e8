//! The policy document: bytes to typed sections, strict, without meaning.
//!
//! Everything that is wrong with the form is reported at once, each error with its full key path; the command line adds
//! line and column. What a value means (references, ranges, defaults) is decided by the room that it configures and by
//! [`policy`](crate::policy), which report into the same [`Errors`].
//!
//! ```
//! let parsed = bartizan::document::parse_json(br#"{"version": 1, "roles": {"analyst": {"requets": 1}}}"#);
//! assert_eq!(parsed.errors[0].path.to_string(), "roles.analyst.requets");
//! ```

mod date;
mod duration;
mod environment;
mod errors;
mod parse;
mod sections;
mod tree;
mod typed;

pub(crate) use date::{end, end_of_day, http_date, midnight};
pub use duration::Span;
pub use environment::Environment;
pub(crate) use environment::secret;
pub(crate) use errors::shortened;
pub use errors::{ConfigError, Errors, KeyPath, Step};
pub use parse::{Parsed, parse_json, parse_with};
pub use sections::*;
pub use tree::MAX_DOCUMENT_BYTES;
pub(crate) use typed::nearest;

#[cfg(feature = "cli")]
pub(crate) use parse::parse as parse_tree;
#[cfg(feature = "cli")]
pub(crate) use tree::{MAX_FILE_DEPTH, Node, ReadTree, TreeFault, read_json, read_with};
