//! The policy document: strict when read, compiled once into an immutable [`Policy`].
//!
//! Form first (`tree`, `typed`, `parse`), then meaning (`policy`, `guard`, `route`). Both report
//! everything that is wrong at once, each error with its full key path.

pub mod document;
mod duration;
mod environment;
mod errors;
mod guard;
mod parse;
mod policy;
mod quotas;
mod refusals;
mod route;
mod tree;
mod typed;

pub use duration::Span;
pub use environment::Environment;
pub(crate) use environment::secret;
pub(crate) use errors::shortened;
pub use errors::{ConfigError, Errors, KeyPath, Step};
pub use guard::{CanaryPolicy, ExceptionPolicy, GuardPolicy, InjectionPolicy, PiiPolicy};
pub use parse::{Parsed, parse_json, parse_with};
pub use policy::{AuditPolicy, GuardIndex, LimitsPolicy, Policy, RolePolicy, UnscannedPolicy};
pub use quotas::{AbusePolicy, QuotaPolicy, RateLimitService};
pub use refusals::{RefusalPolicy, Words};
pub use route::{PathMatch, Resource, RouteIndex, RoutePolicy, ServerPart, ServerPolicy};
pub use tree::MAX_DOCUMENT_BYTES;

#[cfg(feature = "cli")]
pub(crate) use parse::parse as parse_tree;
#[cfg(feature = "cli")]
pub(crate) use tree::{MAX_FILE_DEPTH, Node, ReadTree, TreeFault, read_json, read_with};
