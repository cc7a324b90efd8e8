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
use super::{Pointer, Protocol, anthropic, bedrock, cohere, gemini, graphql, langserve, mcp, ollama, openai, tgi};
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
    Format {
        word: "gemini",
        about: "Google's Gemini API, and what Vertex AI serves. Its paths begin where `models/` or `projects/` does:\n`pathPrefix: /v1beta/`.",
        make: || Protocol::new(gemini::Gemini { streams: false, predicts: false }),
    },
    Format {
        word: "bedrock",
        about: "Amazon Bedrock's runtime: Converse and InvokeModel. Its paths begin where `model/` does: `pathPrefix: /`.",
        make: || Protocol::new(bedrock::Bedrock { invokes: false }),
    },
    Format {
        word: "langserve",
        about: "LangServe, and a LangGraph server's runs. Its paths begin where a chain's name, `runs/` or `threads` does:\n`pathPrefix: /`.",
        make: || Protocol::new(langserve::Langserve::new()),
    },
    Format {
        word: "cohere",
        about: "Cohere's HTTP API: chat of version 2, embed and rerank. Its paths begin where `chat` does: `pathPrefix: /v2/`.",
        make: || Protocol::new(cohere::Cohere),
    },
    Format {
        word: "graphql",
        about: "GraphQL over HTTP: `POST` with a JSON body. `tools.allow` names the fields of the root: `Query.search`,\n`Mutation.*`; what operations may be is in `routes[].graphql`.",
        make: || Protocol::new(graphql::Graphql::default()),
    },
];

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

/// What of a format's path is any one part, or the rest of one, and names the model.
pub const PARAMETER: &str = "{model}";

/// True for a path that has parts which may be any.
pub fn is_template(known: &str) -> bool {
    known.contains('{')
}

/// What of a format's path names what the provider keeps.
const KEPT: &str = "{id}";

/// The model that this path names, where it is one of the template: an empty one, where the template names none.
pub fn parameter_of<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    named_in(PARAMETER, template, path)
}

/// What this path has in the place of a name in braces, where it is one of the template: nothing, where it has no such name.
fn named_in<'p>(wanted: &str, template: &str, path: &'p str) -> Option<&'p str> {
    let (mut known, mut parts) = (template.split('/'), path.split('/'));
    let mut found = "";
    loop {
        let (known, part) = match (known.next(), parts.next()) {
            (None, None) => return Some(found),
            (known, part) => (known?, part?),
        };
        let Some((before, rest)) = known.split_once('{') else {
            if known != part {
                return None;
            }
            continue;
        };
        let (name, after) = rest.split_once('}')?;
        let value = part.strip_prefix(before)?.strip_suffix(after)?;
        // What is behind the value begins with the last of these signs.
        if value.is_empty() || (after.starts_with(':') && value.contains(':')) {
            return None;
        }
        if name == wanted.trim_matches(['{', '}']) {
            found = value;
        }
    }
}

/// The end of a path, with as many parts as this path of a format has; `None`: nothing is before them.
fn tail<'p>(known: &str, path: &'p str) -> Option<&'p str> {
    let parts = known.split('/').count();
    let (at, _) = path.rmatch_indices('/').nth(parts.checked_sub(1)?)?;
    path.get(at + 1..)
}

/// True for a path that ends as this path of a format does.
pub fn ends_as(known: &str, path: &str) -> bool {
    let known = known.trim_end_matches('/');
    tail(known, path).is_some_and(|tail| parameter_of(known, tail).is_some())
}

/// The model that a path names which ends as this path of a format does; `None`: it does not end so.
pub fn model_in<'p>(known: &str, path: &'p str) -> Option<&'p str> {
    parameter_of(known, tail(known, path)?).filter(|model| !model.is_empty())
}

/// The same for the id of what the provider keeps.
pub fn kept_in<'p>(known: &str, path: &'p str) -> Option<&'p str> {
    kept_of(known, tail(known, path)?)
}

/// The id of what the provider keeps that this path names, where it is one of the template.
pub fn kept_of<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    named_in(KEPT, template, path).filter(|id| !id.is_empty())
}

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
    fn a_path_is_told_by_its_kind_alone() {
        for (path, class) in [
            ("/v2/chat/completions", "chat/completions"),
            ("/openai/deployments/gpt-4o/chat/completions", "deployments/{model}/chat/completions"),
            ("/v1beta/models/gemini-2.5-flash:generateContent", "models/{model}:generateContent"),
            ("/v1beta/models/a:b:generateContent", "other"),
            ("/x/messages/count_tokens", "messages/count_tokens"),
            ("/v1/models", "models"),
            ("/.well-known/openid-configuration", ".well-known"),
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
