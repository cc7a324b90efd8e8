//! What stands on the road: routes, wire formats, what can't be scanned, bounds.

use std::collections::BTreeMap;

use bartizan_rules::choice;
use serde::Deserialize;

use super::{Operation, OutputAction};

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// A guarded path.
    Route {
        /// Which requests. Required.
        #[serde(rename = "match")]
        matches: Option<RouteMatch>,
        /// How the bodies read. Required.
        protocol: Option<Protocol>,
        /// The operation, where the path does not tell it: `/chat/completions` is chat, `/models` is models. Without it, a
        /// `pathPrefix` takes every path of the protocol that is known below it, each with its own operation.
        operation: Option<Operation>,
        /// What belongs to one server of the Model Context Protocol.
        mcp: Option<Mcp>,
    }
}

section! {
    /// One server of the Model Context Protocol.
    Mcp {
        /// What was approved: the SHA-256 of each definition (`bartizan pins`), by tool (`add`), prompt (`prompt:NAME`) and
        /// resource (`resource:URI`). Absent: definitions are not compared.
        definitions: Option<BTreeMap<String, String>>,
        /// What happens to a definition that is not the approved one, or not in the list. Default remove; block refuses
        /// the whole answer.
        drift: Option<OutputAction>,
        /// The server's own address as clients know it, for example `https://tools.example.com/mcp`: a refusal for want of
        /// a token then names the metadata of RFC 9728, and the filter answers for them.
        resource: Option<String>,
        /// The server speaks the older form, HTTP with server-sent events (revision 2024-11-05): the route's path is its
        /// stream (`/sse`), and this the path that messages are posted to, for example `/messages/`.
        messages: Option<String>,
    }
}

section! {
    /// Which requests a route takes. Exactly one of the keys.
    RouteMatch {
        /// The whole path, without the query.
        path: Option<String>,
        /// The beginning of the path; ends at a `/`.
        path_prefix: Option<String>,
    }
}

/// A wire format.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// OpenAI's HTTP API. Its paths begin where `chat/completions` does: `pathPrefix: /v1/`.
    Openai,
    /// Anthropic's HTTP API. Its paths begin where `messages` does: `pathPrefix: /v1/`.
    Anthropic,
    /// Ollama's own HTTP API. Its paths begin where `chat` does: `pathPrefix: /api/`.
    Ollama,
    /// Hugging Face's text-generation-inference: `generate` and `generate_stream`. Its OpenAI-compatible paths are `openai`.
    Tgi,
    /// The Model Context Protocol over Streamable HTTP. `tools.allow` names tools, prompts (`prompt:NAME`) and resources
    /// (`resource:URI`); the model is `default`.
    Mcp,
    /// Any JSON body, by JSON Pointers.
    Generic(Generic),
}

section! {
    /// A JSON body described by JSON Pointers. `*` as a part stands for every element of an array.
    Generic {
        /// Where the caller's text stands. Required, not empty.
        prompt: Option<Vec<String>>,
        /// Where retrieved documents stand.
        documents: Option<Vec<String>>,
        /// Where the model's name stands; absent: the model is named `default`.
        model: Option<String>,
        /// Where the reply's text stands.
        output: Option<Vec<String>>,
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
    /// What the provider keeps.
    StateAction {
        /// The request is refused.
        Deny = "deny",
        /// A response (`previous_response_id`) or conversation that the same caller got through this proxy passes and is
        /// recorded; everything else is refused. Up to 64 of a caller's last ones are known, and none from before the proxy
        /// started.
        Own = "own",
        /// It is recorded and passes, whosever it is.
        Flag = "flag",
    }
}

section! {
    /// Content that can't be scanned, by kind.
    Unscanned {
        /// Every kind that is not named, but for `opaque`. Default deny.
        default: Option<UnscannedAction>,
        /// Image parts.
        image: Option<UnscannedAction>,
        /// Audio parts.
        audio: Option<UnscannedAction>,
        /// Attached files.
        file: Option<UnscannedAction>,
        /// What the provider keeps: stored conversations, responses and prompts.
        state: Option<StateAction>,
        /// What a provider made and it alone can read: signatures and encrypted thoughts. Default flag.
        opaque: Option<UnscannedAction>,
        /// Text over `limits.maxScanBytes`, `limits.maxDecodedBytes` or `limits.maxWork`.
        budget: Option<UnscannedAction>,
    }
}

section! {
    /// Bounds on what one request may cost.
    Limits {
        /// Request body, bytes. Default 4194304, at most 16777216.
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
        /// Bodies held by one worker at a time, bytes. Default 67108864.
        max_buffered_bytes_per_worker: Option<u64>,
        /// The cap on output tokens of a request that has none, neither its own nor its role's, under a quota that counts
        /// output. Default 4096.
        default_output_tokens: Option<u64>,
    }
}
