//! Traffic: routes, wire formats, what can't be scanned, bounds.

use crate::sorted::SortedMap;
#[cfg(feature = "cli")]
use std::borrow::Cow;

use super::super::duration::Span;
use super::super::tree::Node;
use super::super::typed::{self, Read, TypeFault};
use super::OutputAction;
use crate::enums::{ConfinedBy, Operation};
use crate::protocol::registry::{DESCRIBED, FORMATS, Format, missing_feature};

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// A guarded path.
    Route {
        /// Which requests. Required.
        matches: Option<RouteMatch> = "match",
        /// How the bodies read. Required.
        protocol: Option<Protocol>,
        /// The operation, where the path does not tell it: `/chat/completions` is chat, `/models` is models. Without it, a
        /// `pathPrefix` matches every path of the protocol that is known below it, each with its own operation.
        operation: Option<Operation>,
        /// What belongs to one server of the Model Context Protocol.
        server: Option<Server> = "mcp",
        /// What operations may be, and where their prompts are: with protocol `graphql`.
        graph: Option<Graph> = "graphql",
        /// Which server or router the upstream is, where it is a known one: its routing options then pass, and a cap of the
        /// filter's own has the name that it wants (`max_completion_tokens` for `openai`, `azure`, `groq` and `xai`).
        /// Default: none, and a chat's cap is `max_tokens`.
        dialect: Option<Dialect>,
        /// Whose data of a store a request may reach; required with a protocol of stores, `none` to opt out. The upstream then
        /// holds nobody's data, or one tenant's.
        tenancy: Option<Tenancy>,
        /// Whether the token counts of streams are asked for (OpenAI's `stream_options.include_usage`). Default auto.
        usage: Option<AskUsage>,
    }
}

impl Route {
    /// The key of [`Route::server`].
    pub const SERVER: &str = "mcp";
    /// The key of [`Route::graph`].
    pub const GRAPH: &str = "graphql";
}

/// The word of a dialect. Which formats have it, the formats know.
#[derive(Clone, Debug)]
pub struct Dialect(pub String);

impl Read for Dialect {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        String::read(node).map(Dialect)
    }
}

#[cfg(feature = "cli")]
impl JsonSchema for Dialect {
    fn schema_name() -> Cow<'static, str> {
        "Dialect".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut words: Vec<&str> = Vec::new();
        for word in FORMATS.iter().flat_map(|format| format.adapter().dialects()) {
            if !words.contains(word) {
                words.push(word);
            }
        }
        let words: Vec<_> = words.iter().map(|word| serde_json::json!({ "type": "string", "const": word })).collect();
        schemars::json_schema!({ "description": "A server or a router.", "oneOf": words })
    }
}

/// Whose data of a store a request may reach.
#[derive(Clone, Debug)]
pub enum Tenancy {
    /// Anybody's.
    None,
    /// That of the caller's own tenant.
    Own(Confinement),
}

/// The word of [`Tenancy::None`].
const NO_TENANCY: &str = "none";

impl Read for Tenancy {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        match node {
            Node::String(word) if word == NO_TENANCY => Ok(Tenancy::None),
            Node::String(word) => Err(TypeFault::word(word, &[NO_TENANCY])),
            Node::Object(_) => Confinement::read(node).map(Tenancy::Own),
            _ => Err(TypeFault::kind("none, or an object with by and from", node)),
        }
    }
}

#[cfg(feature = "cli")]
impl JsonSchema for Tenancy {
    fn schema_name() -> Cow<'static, str> {
        "Tenancy".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let none = serde_json::json!({ "type": "string", "const": NO_TENANCY, "description": "Anybody's." });
        schemars::json_schema!({ "description": "Whose data of a store a request may reach.",
            "oneOf": [none, generator.subschema_for::<Confinement>()] })
    }
}

section! {
    /// How a store keeps tenants apart, and which of them is the caller's.
    Confinement {
        /// Where a request names the tenant. Required.
        by: Option<ConfinedBy>,
        /// What it is called there: a pattern with one `{}`, for example `docs-{}`. Default `{}`. With `by: field` the name of
        /// the field, and required.
        name: Option<String>,
        /// Whose name stands for `{}`. Required. A caller who has none is refused.
        from: Option<ConfinedTo>,
        /// With `from: claim`, the claim: a JSON Pointer into the token.
        claim: Option<String>,
        /// The Envoy cluster of the store, asked whose an id is that no answer has told yet. Without it such an id is refused.
        /// With protocol chroma and `by: path` only.
        cluster: Option<String>,
        /// How long a request waits for that answer. Default 500ms, 10ms to 30s.
        timeout: Option<Span>,
    }
}

choice! {
    /// Whose name is the tenant's.
    ConfinedTo {
        /// The caller's tenant, as `authn` reads it.
        Tenant = "tenant",
        /// A claim of the caller's token.
        Claim = "claim",
    }
}

section! {
    /// One server of the Model Context Protocol.
    Server {
        /// What was approved: the SHA-256 of each definition (`bartizan pins`), by tool (`add`), prompt (`prompt:NAME`) and
        /// resource (`resource:URI`). Absent: definitions are not compared.
        definitions: Option<SortedMap<String, String>>,
        /// What happens to a definition that is not the approved one, or not in the list. Default remove; block refuses
        /// the whole answer.
        drift: Option<OutputAction>,
        /// The server's own address as clients know it, for example `https://tools.example.com/mcp`: the refusal of a
        /// request without a token then names the metadata of RFC 9728, and the filter answers for them.
        resource: Option<String>,
        /// The server speaks the HTTP+SSE transport (revision 2024-11-05): the route's path is its
        /// stream (`/sse`), and this the path that messages are posted to, for example `/messages/`.
        messages: Option<String>,
    }
}

section! {
    /// What operations of GraphQL may be. A place of values is a field and an argument: `ask(question)`,
    /// `chat(input.messages.text)`, `@remember(text)`; `*` is any one name.
    Graph {
        /// The most fields below each other. Default 12, at most 60.
        depth: Option<u64>,
        /// The most fields under another name, fragments in their places. Default 15, at most 10000.
        aliases: Option<u64>,
        /// The most that an operation, or all of one request, costs: 1 a field, and what is below a field as often as the
        /// largest of its `lists` says. Default 1000, at most 1000000000.
        cost: Option<u64>,
        /// The most tokens of an operation, blanks and commas counted. Default 4000, at most 50000.
        tokens: Option<u64>,
        /// The arguments, and keys in them, that say how many items a list has. Without it `first`, `last` and `limit`.
        lists: Option<Vec<String>>,
        /// The most operations of one request, as a JSON array. Default 0: no arrays. At most 100.
        batch: Option<u64>,
        /// The schema (`__schema`, `__type`) may be asked for. Default false.
        introspection: Option<bool>,
        /// Where the caller's prompts are. Every other text is scanned too.
        prompts: Option<Vec<String>>,
        /// Where retrieved documents are.
        documents: Option<Vec<String>>,
        /// Where models are named. An operation that names none is for the model `default`.
        models: Option<Vec<String>>,
        /// What the answers are. Default answer.
        outputs: Option<Outputs>,
        /// The operations that a request may name by a hash: their text, by its SHA-256 in hex. Default: none.
        persisted: Option<SortedMap<String, String>>,
    }
}

choice! {
    /// What answers are.
    Outputs {
        /// A model's words.
        Answer = "answer",
        /// What a model reads next, as it does a tool's result: it is searched for attacks, too.
        Tool = "tool",
    }
}

section! {
    /// Which requests a route matches. Exactly one of the keys.
    RouteMatch {
        /// The whole path, without the query.
        path: Option<String>,
        /// The beginning of the path; ends at a `/`.
        path_prefix: Option<String>,
    }
}

/// A wire format.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// One of the registry, by its word.
    Named(&'static str),
    /// Any JSON body, by JSON Pointers.
    Described(Described),
}

/// Every word of a format.
const FORMAT_WORDS: [&str; FORMATS.len() + 1] = {
    let mut words = [DESCRIBED; FORMATS.len() + 1];
    let mut at = 0;
    let mut rest: &[Format] = FORMATS;
    while let Some((format, after)) = rest.split_first() {
        let (_, place) = words.split_at_mut(at);
        if let Some(place) = place.first_mut() {
            *place = format.word;
        }
        at += 1;
        rest = after;
    }
    words
};

impl Read for Protocol {
    fn read(node: &Node) -> Result<Self, TypeFault> {
        if let Node::String(word) = node
            && let Some(feature) = missing_feature(word)
        {
            return Err(TypeFault::not_built(word, feature));
        }
        let (place, content) = typed::tagged(node, &FORMAT_WORDS)?;
        match FORMATS.get(place) {
            Some(format) => typed::plain(format.word, content).map(|()| Protocol::Named(format.word)),
            None => typed::content(DESCRIBED, content).map(Protocol::Described),
        }
    }
}

#[cfg(feature = "cli")]
impl JsonSchema for Protocol {
    fn schema_name() -> Cow<'static, str> {
        "Protocol".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let word = |format: &Format| serde_json::json!({ "type": "string", "const": format.word, "description": format.about });
        let mut forms: Vec<serde_json::Value> = FORMATS.iter().map(word).collect();
        forms.push(serde_json::json!({
            "description": "Any JSON body, by JSON Pointers.",
            "type": "object",
            "properties": { DESCRIBED: generator.subschema_for::<Described>() },
            "additionalProperties": false,
            "required": [DESCRIBED],
        }));
        schemars::json_schema!({ "description": "A wire format.", "oneOf": forms })
    }
}

section! {
    /// A JSON body described by JSON Pointers. `*` as a part is every element of an array.
    Described {
        /// Where the caller's text is. Required, not empty.
        prompt: Option<Vec<String>>,
        /// Where retrieved documents are.
        documents: Option<Vec<String>>,
        /// Where the model's name is; absent: the model is named `default`.
        model: Option<String>,
        /// Where the reply's text is.
        output: Option<Vec<String>>,
    }
}

choice! {
    /// A browser's CORS preflight.
    Cors {
        /// It is judged like any request, and so refused: it has no credential.
        Deny = "deny",
        /// It passes to the upstream (or to Envoy's CORS filter behind this one), without its credential headers.
        Pass = "pass",
    }
}

choice! {
    /// Whether token counts of streams are asked for.
    AskUsage {
        /// Where `audit.usage` or a quota of tokens needs them.
        Auto = "auto",
        /// Never: the upstream refuses `stream_options`. Streams are then charged by the text that came.
        Never = "never",
    }
}

choice! {
    /// A request that no route matches.
    Unmatched {
        /// Refused with 404.
        Deny = "deny",
        /// Passed to the upstream without any check. Client-sent `x-bartizan-*` headers are still removed.
        Pass = "pass",
    }
}

choice! {
    /// Content that can't be scanned.
    UnscannedAction {
        /// The request is refused.
        Deny = "deny",
        /// It is recorded and passes.
        Flag = "flag",
    }
}

choice! {
    /// What happens to parts of a type that this version does not know.
    UnknownAction {
        /// All their text is scanned, and the record names the type.
        Scan = "scan",
        /// The request is refused.
        Deny = "deny",
    }
}

choice! {
    /// A finding in a block that a provider signed, and that would else be replaced or masked.
    SignedAction {
        /// In an earlier turn block and signature are taken out; in the newest turn the request is refused.
        Drop = "drop",
        /// The request is refused.
        Block = "block",
        /// The block passes as it came, and the finding is recorded.
        Pass = "pass",
    }
}

choice! {
    /// What the provider keeps.
    StateAction {
        /// The request is refused.
        Deny = "deny",
        /// What the same caller got through this proxy passes: a response (`previous_response_id`) or conversation that a
        /// request goes on with, which is recorded, and a response, conversation, batch or file that it asks for. Of a list the
        /// caller gets its own. Everything else is refused. Up to 64 of a caller's last ones are known, and none from before
        /// the proxy started.
        Own = "own",
        /// It is recorded and passes, whosever it is.
        Flag = "flag",
    }
}

choice! {
    /// Uploaded files of one request, or one example, a line.
    LinesAction {
        /// They are files like any other: `file` decides.
        File = "file",
        /// Each line is read and judged as the request that it is. A finding refuses the upload.
        Scan = "scan",
    }
}

section! {
    /// Content that can't be scanned, by kind.
    Unscanned {
        /// Every kind that is not named, except `opaque`; also bytes in parts of an unknown type, which the record lists as
        /// `unknown` beside the type. Default deny.
        default: Option<UnscannedAction>,
        /// Image parts.
        image: Option<UnscannedAction>,
        /// Audio parts.
        audio: Option<UnscannedAction>,
        /// Attached files.
        file: Option<UnscannedAction>,
        /// What the provider keeps: stored conversations, responses and prompts; also batches and files that a path names, and
        /// lists of them.
        state: Option<StateAction>,
        /// Uploaded batches and training files (JSONL). Default `file`.
        lines: Option<LinesAction>,
        /// What a provider made and only it can read: signatures and encrypted thoughts. Default flag.
        opaque: Option<UnscannedAction>,
        /// What the provider fetches by itself: uploaded files by their id, documents by their address. Default: as `file`.
        reference: Option<UnscannedAction>,
        /// Text as the numbers of a model's tokens (embeddings and legacy completions accept such).
        tokens: Option<UnscannedAction>,
        /// Text over `limits.maxScanBytes`, `limits.maxDecodedBytes` or `limits.maxWork`.
        budget: Option<UnscannedAction>,
    }
}

section! {
    /// Bounds on what one request may cost.
    Limits {
        /// Request body, bytes. Default 16777216, or `maxBufferedBytesPerWorker` if that is less; at most 67108864.
        /// Envoy's own buffers must be larger. Text beyond `maxScanBytes` is not scanned: `unscanned.budget` says what
        /// happens to such a request.
        max_body_bytes: Option<u64>,
        /// JSON nesting. Default 64, at most 100.
        max_json_depth: Option<u64>,
        /// Decoded text (base64 and the like) of one request, bytes. Default 1048576.
        max_decoded_bytes: Option<u64>,
        /// Scanned text of one request, bytes. Default 4194304.
        max_scan_bytes: Option<u64>,
        /// Steps that scanning one request, or one text of a reply, may take: bytes read in every reading of the
        /// text, patterns tried, instructions of patterns. Default 268435456.
        max_work: Option<u64>,
        /// A whole reply, or one event of a stream, bytes. Default 4194304, at most 16777216.
        max_response_bytes: Option<u64>,
        /// Bodies held by one worker at a time, bytes. Default 134217728, at most 536870912. Once half of it is in use,
        /// each caller and each connection gets at most an eighth, or one body.
        max_buffered_bytes_per_worker: Option<u64>,
        /// The cap on output tokens of a request that has none, neither its own nor its role's, under a quota that counts
        /// output. Default 4096.
        default_output_tokens: Option<u64>,
    }
}
