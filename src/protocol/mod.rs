//! One file a wire format: a request's body becomes an [`Exchange`], a reply gives up its usage, and
//! a refusal is written in the words that the caller's SDK understands.
//!
//! An adapter says where text stands and which zone it claims. It decides nothing, and it leaves
//! nothing out: every string of a body is a segment, a known parameter, or recorded as unscanned.

mod anthropic;
mod body;
pub mod frames;
mod generic;
pub mod json;
pub mod keys;
pub mod mcp;
mod ollama;
mod openai;
mod payload;
pub mod reply;
mod system;
mod tgi;
mod tools;

use std::borrow::Cow;

pub use generic::{GenericSpec, Pointer};
pub use json::{Json, Number, Path};
pub use tools::remove_tools;

use crate::config::document::{Operation, Zone};
use crate::host::Timestamp;
use crate::reason::{Denial, Reason};

/// A wire format with what it needs to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Protocol {
    /// OpenAI's HTTP API.
    Openai,
    /// Anthropic's HTTP API.
    Anthropic,
    /// Ollama's own HTTP API.
    Ollama,
    /// Hugging Face's text-generation-inference.
    Tgi,
    /// The Model Context Protocol over Streamable HTTP.
    Mcp,
    /// Any JSON body, by JSON Pointers.
    Generic(GenericSpec),
}

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
    /// A part of a kind this version does not know.
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
            UnscannedKind::Other => "other",
        }
    }
}

/// The cap on output tokens that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCap {
    /// Where the number stands.
    pub path: Path,
    /// The number.
    pub tokens: u64,
}

/// A tool that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// What must go for the tool to go; `None`: the request itself is its call.
    pub path: Option<Path>,
}

/// A request's body, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// The model; empty when the protocol names none.
    pub model: String,
    /// The client asks for a stream.
    pub stream: bool,
    /// Every text, in the order of the conversation.
    pub segments: Vec<Segment>,
    /// The tools that the model may call in this request, or that the request calls, in the order they stand.
    pub tools: Vec<Offered>,
    /// The client's own cap on output tokens.
    pub output_cap: Option<OutputCap>,
    /// The keys on the way to the place where a cap is injected when there is none; empty: there is no cap.
    pub output_cap_key: &'static [&'static str],
    /// How many choices the client asks for.
    pub choices: u64,
    /// What can't be scanned, and where.
    pub unscanned: Vec<(UnscannedKind, Path)>,
    /// The responses and conversations at the provider that the request goes on with. They stand in `unscanned` too.
    pub stored: Vec<String>,
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

impl Protocol {
    /// The word in records and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Protocol::Openai => "openai",
            Protocol::Anthropic => "anthropic",
            Protocol::Ollama => "ollama",
            Protocol::Tgi => "tgi",
            Protocol::Mcp => "mcp",
            Protocol::Generic(_) => "generic",
        }
    }

    /// The paths of the protocol that are known, below its prefix, and the operation of each. One that ends
    /// with `/` takes what is below it. Sorted by operation.
    pub const fn paths(&self) -> &'static [(&'static str, Operation)] {
        match self {
            Protocol::Openai => &[
                ("chat/completions", Operation::Chat),
                ("models", Operation::Models),
                ("models/", Operation::Models),
                ("completions", Operation::Completions),
                ("responses", Operation::Responses),
                ("embeddings", Operation::Embeddings),
                ("moderations", Operation::Moderations),
                ("conversations", Operation::Conversations),
                ("batches", Operation::Batch),
                ("files", Operation::Files),
                ("images/generations", Operation::Images),
                ("images/edits", Operation::Images),
                ("images/variations", Operation::Images),
                ("audio/speech", Operation::Audio),
                ("audio/transcriptions", Operation::Audio),
                ("audio/translations", Operation::Audio),
            ],
            Protocol::Anthropic => &[
                ("messages", Operation::Chat),
                ("messages/count_tokens", Operation::CountTokens),
                ("models", Operation::Models),
                ("models/", Operation::Models),
            ],
            Protocol::Ollama => &[
                ("chat", Operation::Chat),
                ("generate", Operation::Generate),
                ("embed", Operation::Embeddings),
                ("embeddings", Operation::Embeddings),
                ("tags", Operation::Models),
                ("ps", Operation::Models),
                ("version", Operation::Models),
                ("show", Operation::ModelCard),
            ],
            Protocol::Tgi => &[
                ("generate", Operation::Generate),
                ("generate_stream", Operation::Generate),
                ("info", Operation::Models),
            ],
            Protocol::Mcp => &[("mcp", Operation::Mcp)],
            Protocol::Generic(_) => &[],
        }
    }

    /// The methods an operation is called by.
    pub fn methods(&self, operation: Operation) -> &'static [&'static str] {
        match operation {
            Operation::Models => &["GET", "HEAD"],
            // GET opens the server's own stream, DELETE ends a session.
            Operation::Mcp => &["POST", "GET", "DELETE"],
            _ => &["POST"],
        }
    }

    /// True when a request of this operation has a body that is read.
    pub fn reads_body(&self, operation: Operation, method: &str) -> bool {
        match operation {
            Operation::Models => false,
            Operation::Mcp => method == "POST",
            _ => true,
        }
    }

    /// True when a request of this operation may be a form of files (`multipart/form-data`), which is not read.
    pub fn takes_forms(&self, operation: Operation) -> bool {
        *self == Protocol::Openai && matches!(operation, Operation::Files | Operation::Images | Operation::Audio)
    }

    /// True when servers read a body as JSON whatever its content type: Ollama's clients often send none.
    pub fn takes_any_type(&self) -> bool {
        *self == Protocol::Ollama
    }

    /// A form of files: nothing in it is read, so that its model has no name and all of it is unscanned.
    pub fn read_form(&self, operation: Operation) -> Exchange {
        let kind = match operation {
            Operation::Images => UnscannedKind::Image,
            Operation::Audio => UnscannedKind::Audio,
            _ => UnscannedKind::File,
        };
        Exchange { unscanned: vec![(kind, Path::default())], choices: 1, ..Exchange::default() }
    }

    /// What the headers say of the body, where the protocol has such headers.
    ///
    /// # Errors
    /// [`Reason::McpHeader`] or [`Reason::McpRevision`].
    pub fn claims<'h>(
        &self,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Result<Option<mcp::Claims>, Denial> {
        match self {
            Protocol::Mcp => mcp::Claims::read(headers).map(Some),
            _ => Ok(None),
        }
    }

    /// The id that an answer to this request must carry, as JSON.
    pub fn request_id(&self, body: &Json<'_>) -> Option<String> {
        match self {
            Protocol::Mcp => mcp::id(body),
            _ => None,
        }
    }

    /// Takes a body apart.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] with the parameter at fault.
    pub fn read(&self, operation: Operation, body: &Json<'_>) -> Result<Exchange, Denial> {
        match (self, operation) {
            (Protocol::Openai, _) => openai::read(operation, body),
            (Protocol::Anthropic, Operation::Chat | Operation::CountTokens) => anthropic::read(operation, body),
            (Protocol::Ollama, _) => ollama::read(operation, body),
            (Protocol::Tgi, _) => tgi::read(body),
            (Protocol::Mcp, _) => mcp::read(body),
            (Protocol::Generic(spec), Operation::Generate | Operation::Chat) => spec.read(body),
            // `config` refuses these pairs; a body for the list of models is refused here.
            _ => Err(Reason::BodyShape.into()),
        }
    }

    /// True for a key that is part of the protocol, and so no text of the caller's.
    pub fn knows_key(&self, key: &str) -> bool {
        match self {
            Protocol::Generic(spec) => spec.knows_key(key),
            _ => keys::knows(key),
        }
    }

    /// A whole reply, as of a model that a content filter has stopped, for where the status says that all is well.
    /// `None`: this operation has no such reply.
    pub fn withheld(&self, operation: Operation, denial: &Denial, model: &str, now: Timestamp) -> Option<Vec<u8>> {
        match self {
            Protocol::Openai => openai::withheld(operation, denial, model, now),
            Protocol::Anthropic => anthropic::withheld(operation, denial, model),
            Protocol::Ollama => ollama::withheld(operation, model),
            Protocol::Tgi => Some(tgi::withheld()),
            // A JSON-RPC error is a reply; what a generic one is nobody knows.
            Protocol::Mcp | Protocol::Generic(_) => None,
        }
    }

    /// A refusal in the protocol's own words. `id` is the request's, where it had one.
    pub fn refuse(&self, denial: &Denial, id: Option<&str>) -> Refusal {
        let body = match self {
            Protocol::Openai => openai::error_body(denial),
            Protocol::Anthropic => anthropic::error_body(denial),
            Protocol::Ollama => ollama::error_body(denial),
            Protocol::Tgi => tgi::error_body(denial),
            Protocol::Mcp => mcp::error_body(denial, id),
            Protocol::Generic(_) => generic::error_body(denial),
        };
        Refusal { status: denial.status(), content_type: "application/json", body }
    }
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
