//! Every wire format, by its word in the document. A new one is a folder beside this file and a line in this list.
//!
//! ```
//! use bartizan::protocol::Protocol;
//! use bartizan::protocol::registry::path_class;
//!
//! assert_eq!(Protocol::named("anthropic").unwrap().name(), "anthropic");
//! assert!(Protocol::named("telnet").is_none());
//! assert_eq!(path_class("/v2/chat/completions"), "chat/completions");
//! ```

use std::cmp::Reverse;

use super::generic::GenericSpec;
use super::paths::ends_as;
use super::{Pointer, Protocol, anthropic, mcp, ollama, openai, tgi};
use crate::enums::Operation;

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
    #[cfg(feature = "gemini")]
    Format {
        word: "gemini",
        about: "Google's Gemini API, and what Vertex AI serves. Its paths begin where `models/` or `projects/` does:\n`pathPrefix: /v1beta/`.",
        make: || Protocol::new(super::gemini::Gemini { streams: false, predicts: false }),
    },
    #[cfg(feature = "bedrock")]
    Format {
        word: "bedrock",
        about: "Amazon Bedrock's runtime: Converse and InvokeModel. Its paths begin where `model/` does: `pathPrefix: /`.",
        make: || Protocol::new(super::bedrock::Bedrock { invokes: false }),
    },
    #[cfg(feature = "langserve")]
    Format {
        word: "langserve",
        about: "LangServe, and a LangGraph server's runs. Its paths begin where a chain's name, `runs/` or `threads` does:\n`pathPrefix: /`.",
        make: || Protocol::new(super::langserve::Langserve::new()),
    },
    #[cfg(feature = "cohere")]
    Format {
        word: "cohere",
        about: "Cohere's HTTP API: chat of version 2, embed and rerank. Its paths begin where `chat` does: `pathPrefix: /v2/`.",
        make: || Protocol::new(super::cohere::Cohere),
    },
    #[cfg(feature = "stores")]
    Format {
        word: "chroma",
        about: "Chroma's HTTP API, version 2. Its paths begin where `tenants` does: `pathPrefix: /api/v2/`.",
        make: || Protocol::new(super::chroma::Chroma { at: "" }),
    },
    #[cfg(feature = "stores")]
    Format {
        word: "pinecone",
        about: "Pinecone's data plane. Its paths begin where `query` does: `pathPrefix: /`.",
        make: || Protocol::new(super::pinecone::Pinecone { at: "" }),
    },
    #[cfg(feature = "stores")]
    Format {
        word: "weaviate",
        about: "Weaviate's HTTP API, without gRPC. Its paths begin where `objects` does: `pathPrefix: /v1/`.",
        make: || Protocol::new(super::weaviate::Weaviate { at: "" }),
    },
    #[cfg(feature = "graphql")]
    Format {
        word: "graphql",
        about: "GraphQL over HTTP: `POST` with a JSON body. `tools.allow` names the fields of the root: `Query.search`,\n`Mutation.*`; what operations may be is in `routes[].graphql`.",
        make: || Protocol::new(super::graphql::Graphql::default()),
    },
];

/// The formats that not every build has, and the feature of each.
const BY_FEATURE: &[(&str, &str)] = &[
    ("gemini", "gemini"),
    ("bedrock", "bedrock"),
    ("langserve", "langserve"),
    ("cohere", "cohere"),
    ("chroma", "stores"),
    ("pinecone", "stores"),
    ("weaviate", "stores"),
    ("graphql", "graphql"),
];

/// The feature that this build lacks for a format.
pub(crate) fn missing_feature(word: &str) -> Option<&'static str> {
    let (_, feature) = BY_FEATURE.iter().find(|(known, _)| *known == word)?;
    FORMATS.iter().all(|format| format.word != word).then_some(*feature)
}

impl Protocol {
    /// The format of this word, where the word is all it needs to know.
    pub fn named(word: &str) -> Option<Protocol> {
        FORMATS.iter().find(|format| format.word == word).map(Format::adapter)
    }

    /// The format of the bodies at a path that a document writes out: that of the operation's known path which it ends as.
    pub(crate) fn of_path_like(&self, operation: Operation, path: &str) -> Protocol {
        self.known_like(operation, path).and_then(|known| self.of_path(known)).unwrap_or_else(|| self.clone())
    }

    /// The operation's known path which a path ends as. Of several the one with most parts counts, and of these the one with
    /// fewest that may be any.
    pub(crate) fn known_like(&self, operation: Operation, path: &str) -> Option<&'static str> {
        let like = self.paths().iter().filter(|(known, of)| *of == operation && ends_as(known, path));
        let like = like.map(|(known, _)| *known);
        like.max_by_key(|known| (known.matches('/').count(), Reverse(known.matches('{').count())))
    }

    /// The format of a refusal where no route tells one.
    pub fn fallback() -> Protocol {
        Protocol::new(openai::Openai::default())
    }
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

/// Addresses that browsers, crawlers and probes ask for.
const COMMON: [&str; 9] =
    [".well-known", "favicon.ico", "health", "healthz", "metrics", "ping", "ready", "readyz", "robots.txt"];

/// The kind of a path that no route matches, for the record: a path that a format knows and that this one ends with, the
/// first part of an address that probes ask for, `/`, or `other`. Nothing of the path itself.
pub fn path_class(path: &str) -> &'static str {
    if path == "/" {
        return "/";
    }
    let known = FORMATS.iter().flat_map(|format| format.adapter().paths()).map(|(known, _)| *known);
    if let Some(longest) = known.filter(|known| ends_as(known, path)).max_by_key(|known| known.len()) {
        // As the format's reference has it: `v1/` is part of the server's address there.
        let plain = longest.trim_end_matches('/');
        return plain.strip_prefix("v1/").unwrap_or(plain);
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    COMMON.into_iter().find(|common| *common == first).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_a_format_or_says_what_it_lacks() {
        for (word, _) in BY_FEATURE {
            assert_ne!(Protocol::named(word).is_some(), missing_feature(word).is_some(), "{word}");
        }
        assert_eq!(missing_feature("openai"), None);
        assert_eq!(missing_feature("telnet"), None);
    }

    #[test]
    fn a_path_is_told_by_its_kind_alone() {
        for (path, class) in [
            ("/v2/chat/completions", "chat/completions"),
            ("/openai/deployments/gpt-4o/chat/completions", "deployments/{model}/chat/completions"),
            ("/v1beta/models/gemini-2.5-flash:generateContent", "models/{model}:generateContent"),
            ("/v1beta/models/a:b:generateContent", "other"),
            ("/x/messages/count_tokens", "messages/count_tokens"),
            ("/v1/models", "models"),
            ("/.well-known/security.txt", ".well-known"),
            ("/v1/.well-known/openid-configuration", ".well-known/openid-configuration"),
            ("/healthz", "healthz"),
            ("/", "/"),
            ("", "other"),
            ("/alice@example.com/secret", "other"),
            ("/chat/completionsx", "other"),
        ] {
            assert_eq!(path_class(path), class, "{path}");
        }
    }
}
