//! One folder a wire format: a request's body becomes an [`Exchange`], a reply its [`reply::ReplyParts`], and a refusal
//! is written in the words that the caller's SDK understands.
//!
//! [`Adapter`] is what a format is, [`registry`] the list of them. What an adapter does not account for is scanned in
//! the strictest zone: see `account.rs`.
//!
//! ```
//! use bartizan::protocol::Json;
//! use bartizan::protocol::registry::path_class;
//! use bartizan::reason::Reason;
//!
//! assert_eq!(path_class("/some/gateway/v1/chat/completions"), "chat/completions");
//! assert_eq!(Json::parse(br#"{"model": "a", "model": "b"}"#, 64).unwrap_err(), Reason::BodyDuplicateKey);
//! ```

// Formats share more than a build without some of them calls.
#![cfg_attr(not(feature = "full"), allow(dead_code))]

mod account;
mod adapter;
mod anthropic;
#[cfg(feature = "bedrock")]
mod bedrock;
mod calls;
#[cfg(feature = "stores")]
mod chroma;
#[cfg(feature = "cohere")]
mod cohere;
mod confine;
mod dialect;
mod eventstream;
mod finish;
mod form;
pub mod frames;
#[cfg(feature = "gemini")]
mod gemini;
mod generic;
#[cfg(feature = "graphql")]
mod graphql;
mod instructions;
pub mod json;
mod keys;
mod lane;
#[cfg(feature = "langserve")]
mod langserve;
mod mcp;
mod multipart;
mod ollama;
mod openai;
mod parameters;
mod parts;
pub mod paths;
#[cfg(feature = "stores")]
mod pinecone;
mod queries;
pub mod registry;
mod replies;
pub mod reply;
mod request;
mod session;
pub mod signed;
mod stream;
mod system;
mod tgi;
mod told;
mod tools;
mod turns;
mod upload;
mod usage;
#[cfg(feature = "stores")]
mod weaviate;

pub use account::Exchange;
pub(crate) use adapter::has_escaped_slash;
pub use adapter::{Adapter, Asserted, HeaderPairs, Protocol};
pub use confine::{Confined, Scope};
pub use finish::{Finish, RefusedBy, WORDS as FINISH_WORDS};
pub use generic::Pointer;
pub use instructions::{converses, instructs};
pub use json::{Json, Number, Path, Places};
pub use queries::{Coordinate, Meaning, Queries, hash};
pub use session::Session;
pub use told::{Told, message};
pub use tools::{asks_for_addresses, pin, remove_tools};
pub use upload::ReadsLines;
pub use usage::Usage;

use crate::enums::Zone;

/// Where in the conversation a segment is: decides whether a finding refuses the request or is
/// cut out of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The caller's newest turn, instructions, and parameters: a finding refuses the request.
    Current,
    /// An earlier turn, a tool result or a document: the caller can't take it back.
    History,
}

/// One text of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The zone it claims.
    pub zone: Zone,
    /// Whether it can be cut out.
    pub position: Position,
    /// Where it is in the body.
    pub path: Path,
    /// The text is an object's key: it can't be changed, only refused.
    pub is_key: bool,
}

impl Segment {
    /// The text in the body that the segment was read from; `None`: no string is there.
    pub fn text_in<'j>(&self, json: &'j Json<'_>) -> Option<&'j str> {
        if self.is_key { json.key_at(&self.path) } else { json.at(&self.path).and_then(Json::as_str) }
    }
}

/// What can't be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnscannedKind {
    /// An image part.
    Image,
    /// An audio part.
    Audio,
    /// An attached file.
    File,
    /// What the provider keeps from earlier requests: a stored conversation, response or prompt.
    State,
    /// What a provider made and only it can read: signatures, encrypted thoughts.
    Opaque,
    /// Text that the scan budget did not reach.
    Budget,
    /// What the provider fetches by itself: uploaded files by their id, documents by their address.
    Reference,
    /// Text as the numbers of a model's tokens.
    Tokens,
    /// Bytes in a part of a type that the format does not know. The record names the type (`bartizan.unknown`).
    Unknown,
    /// Bytes of a kind that this version does not know.
    Other,
}

impl UnscannedKind {
    /// The tokens that content of this kind may cost: a guess, that the settlement puts right.
    pub const fn likely_tokens(self) -> u64 {
        match self {
            // A large picture in full detail.
            UnscannedKind::Image => 1600,
            // A signature stands for text that is counted.
            UnscannedKind::Budget | UnscannedKind::Opaque => 0,
            UnscannedKind::Audio
            | UnscannedKind::File
            | UnscannedKind::State
            | UnscannedKind::Reference
            | UnscannedKind::Tokens
            | UnscannedKind::Unknown
            | UnscannedKind::Other => 4096,
        }
    }

    /// The word in records, metrics and the document.
    pub const fn name(self) -> &'static str {
        match self {
            UnscannedKind::Image => "image",
            UnscannedKind::Audio => "audio",
            UnscannedKind::File => "file",
            UnscannedKind::State => "state",
            UnscannedKind::Opaque => "opaque",
            UnscannedKind::Budget => "budget",
            UnscannedKind::Reference => "reference",
            UnscannedKind::Tokens => "tokens",
            UnscannedKind::Unknown => "unknown",
            UnscannedKind::Other => "other",
        }
    }
}

/// The cap on output tokens that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCap {
    /// Where it is, under each of its names.
    pub places: Vec<Path>,
    /// The lowest of the numbers; [`NO_LIMIT`] where the client asks for none.
    pub tokens: u64,
    /// All places have the same number.
    pub agree: bool,
    /// The server reads its cap where `output_cap_key` says, and there is none: those that are elsewhere may mean nothing to it.
    pub lacks_own: bool,
}

/// A part of the output that the model thinks with. Providers want it to be less than the cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinkingBudget {
    /// Where it is.
    pub place: Path,
    /// The number.
    pub tokens: u64,
}

impl ThinkingBudget {
    /// The least that a provider accepts.
    pub const LEAST: u64 = 1024;

    /// The budget that goes with this cap. Lowered, where it is not less than the cap; `None`: what would be left is less
    /// than [`Self::LEAST`].
    pub fn under(&self, cap: u64) -> Option<u64> {
        if self.tokens < cap {
            return Some(self.tokens);
        }
        Some(cap.saturating_sub(1)).filter(|tokens| *tokens >= Self::LEAST)
    }
}

/// A cap that is none: servers read a negative number so.
pub const NO_LIMIT: u64 = u64::MAX;

/// A tool that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// What must go for the tool to go; `None`: the request itself is its call.
    pub path: Option<Path>,
    /// Where a remote tool runs: the host of its address, or `connector:` and the provider's name of it.
    pub host: Option<String>,
    /// It has two names, and which of them a server reads is its own affair: no role may use it.
    pub is_ambiguous: bool,
}

/// A reply that replaces the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}
