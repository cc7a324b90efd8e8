//! Every wire format, by its word in the document. A new one is a folder beside this file and a line in this list.

use super::generic::GenericSpec;
use super::{Pointer, Protocol, anthropic, cohere, mcp, ollama, openai, tgi};

/// A wire format that needs no settings.
#[derive(Debug)]
pub struct Format {
    /// The word in the document, records and metrics.
    pub word: &'static str,
    /// What the documentation says of it.
    pub about: &'static str,
    make: fn() -> Protocol,
}

impl Format {
    /// The format itself.
    pub fn adapter(&self) -> Protocol {
        (self.make)()
    }
}

/// All of them, in the order of the documentation, but for [`DESCRIBED`].
pub const FORMATS: &[Format] = &[
    Format {
        word: "openai",
        about: "OpenAI's HTTP API. Its paths begin where `chat/completions` does: `pathPrefix: /v1/`.",
        make: || Protocol::new(openai::Openai::default()),
    },
    Format {
        word: "anthropic",
        about: "Anthropic's HTTP API. Its paths begin where `messages` does: `pathPrefix: /v1/`.",
        make: || Protocol::new(anthropic::Anthropic::default()),
    },
    Format {
        word: "ollama",
        about: "Ollama's own HTTP API. Its paths begin where `chat` does: `pathPrefix: /api/`.",
        make: || Protocol::new(ollama::Ollama),
    },
    Format {
        word: "tgi",
        about: "Hugging Face's text-generation-inference: `generate` and `generate_stream`. Its OpenAI-compatible paths are `openai`.",
        make: || Protocol::new(tgi::Tgi),
    },
    Format {
        word: "mcp",
        about: "The Model Context Protocol over Streamable HTTP. `tools.allow` names tools, prompts (`prompt:NAME`) and resources\n(`resource:URI`); the model is `default`.",
        make: || Protocol::new(mcp::Mcp),
    },
    Format {
        word: "cohere",
        about: "Cohere's rerank API, versions 1 and 2. Its path begins where `rerank` does: `pathPrefix: /v2/`.",
        make: || Protocol::new(cohere::Cohere),
    },
];

/// The format of a refusal where no route tells one.
pub(super) fn fallback() -> Protocol {
    Protocol::new(openai::Openai::default())
}

/// The word of the format that has settings: a document describes its bodies.
pub const DESCRIBED: &str = "generic";

/// That format. The pointers say where a request has the caller's text, documents and the model's name, and where a
/// reply has its text. Without `model` the model is named `default`.
pub fn described(
    prompt: Vec<Pointer>,
    documents: Vec<Pointer>,
    model: Option<Pointer>,
    output: Vec<Pointer>,
) -> Protocol {
    Protocol::new(GenericSpec::new(prompt, documents, model, output))
}
