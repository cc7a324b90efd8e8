//! One folder a wire format: a request's body becomes an [`Exchange`], a reply its [`reply::ReplyParts`], and a refusal
//! is written in the words that the caller's SDK understands.
//!
//! [`Adapter`] is what a format is, [`registry`] the list of them. What an adapter does not account for is scanned in
//! the strictest zone: see `account.rs`.

mod account;
mod adapter;
mod anthropic;
mod calls;
mod cohere;
mod dialect;
mod form;
pub mod frames;
mod generic;
pub mod json;
mod keys;
mod lane;
mod mcp;
mod ollama;
mod openai;
mod parameters;
pub mod registry;
pub mod reply;
mod request;
mod session;
mod stream;
mod system;
mod tgi;
mod tools;
mod usage;

use std::borrow::Cow;

pub use account::Exchange;
pub use adapter::{Adapter, Asserted, HeaderPairs, Protocol};
pub use generic::Pointer;
pub use json::{Json, Number, Path};
pub use session::Session;
pub use tools::{asks_for_addresses, pin, remove_tools};
pub use usage::Usage;

use crate::config::document::Zone;
use crate::reason::Reason;

/// Where in the conversation a segment stands: decides whether a finding refuses the request or is
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
    /// Where it stands in the body.
    pub path: Path,
    /// The text is an object's key: it can't be changed, only refused.
    pub is_key: bool,
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
    /// What a provider made and it alone can read: signatures, encrypted thoughts.
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
    /// Where it stands, under each of its names.
    pub places: Vec<Path>,
    /// The lowest of the numbers; [`NO_LIMIT`] where the client asks for none.
    pub tokens: u64,
    /// All places have the same number.
    pub agree: bool,
}

/// A part of the output that the model thinks with. Providers want it to be less than the cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinkingBudget {
    /// Where it stands.
    pub place: Path,
    /// The number.
    pub tokens: u64,
}

impl ThinkingBudget {
    /// The least that a provider takes.
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

/// A reply that takes the place of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// What a caller is told of a refusal: the class, and what to do about it, never what was found.
pub fn message(reason: Reason) -> Cow<'static, str> {
    Cow::Borrowed(match reason {
        Reason::JwtMissing => "No credential was sent. Send a bearer token in the Authorization header.",
        Reason::JwtExpired => "The token has expired. Get a new one.",
        Reason::JwtRevoked => "The token has been revoked. Get a new one.",
        Reason::JwtInactive => "The token is not active. Get a new one.",
        Reason::JwtNotYetValid => "The token is not valid yet.",
        Reason::JwtAmbiguous => "Two different credentials were sent. Send one.",
        Reason::JwtMalformed
        | Reason::JwtAlgorithm
        | Reason::JwtKey
        | Reason::JwtSignature
        | Reason::JwtIssuer
        | Reason::JwtAudience
        | Reason::JwtClaims => "The token is not accepted here.",
        Reason::JwtUnavailable => "The token can't be checked at the moment. Try again later.",
        Reason::RbacOperation => "Your role does not allow this operation.",
        Reason::RbacWorkload => "Your role does not allow calls from this workload.",
        Reason::RbacModel => "Your role does not allow this model.",
        Reason::RbacTool => "Your role does not allow one of the tools in this request.",
        Reason::RbacParameter => "A parameter is given twice or over the limit of your role.",
        Reason::QuotaRequests => "Rate limit reached for requests. Try again later.",
        Reason::QuotaTokens => "Rate limit reached for tokens. Try again later.",
        Reason::QuotaTooLarge => {
            "Request too large: the prompt and the output tokens it asks for are more than the token limit. Shorten the prompt or ask for fewer output tokens."
        }
        Reason::QuotaUnavailable => "Rate limits can't be checked at the moment. Try again later.",
        Reason::QuotaConcurrent => "Too many requests are under way. Try again when one has ended.",
        Reason::AbuseCooldown => "Too many of your requests were refused by the content policy. Try again later.",
        Reason::RouteUnmatched => "There is nothing here.",
        Reason::RouteMethod => "This path does not take this method.",
        Reason::RouteUpgrade => "This path does not take protocol upgrades.",
        Reason::BodyTooLarge => "The request body is too large.",
        Reason::BodyLength => "The request body does not have the length it announced.",
        Reason::BodyMalformed => "The request body is not valid JSON in UTF-8.",
        Reason::BodyDuplicateKey => "A JSON object in the request body holds the same key twice.",
        Reason::BodyDepth => "The request body is nested too deep.",
        Reason::BodyShape => "The request body does not have the form this API takes.",
        Reason::McpHeader => "A header of the request does not say what its body says.",
        Reason::McpRevision => "This revision of the Model Context Protocol is not known here.",
        Reason::McpDefinition => "The server offers something that was not approved.",
        Reason::McpSession => "This session is not known here. Start a new one.",
        Reason::BodyContentType => "This API takes application/json in UTF-8.",
        Reason::BodyEncoding => "This API takes no compressed request bodies.",
        Reason::BodyUnscanned => "The request holds content of a kind that is not allowed here.",
        Reason::ScanInjection => "The request was refused by the content policy.",
        Reason::ScanSecret => "The request was refused by the content policy: it holds a credential.",
        Reason::ScanPii => "The request was refused by the content policy: it holds personal data.",
        Reason::ScanOutput | Reason::ScanCanary => "The answer was withheld by the content policy.",
        Reason::ReplyUnreadable => "The upstream sent a reply that can't be checked.",
        Reason::ReplyTooLarge => "The upstream sent a reply that is too large.",
        Reason::ReplyTokens => "The answer was ended at its limit of tokens.",
        Reason::Internal => "The request could not be checked. Try again later.",
        Reason::Overloaded => "Too many requests are being checked. Try again later.",
    })
}
