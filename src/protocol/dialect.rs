//! Dialects of a format: servers and routers that speak it with words of their own.
//!
//! A route says which one its upstream speaks (`routes[].dialect`). Without one a route has no router's options.

/// One dialect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The word in the document.
    pub(super) word: &'static str,
    /// The name that the cap of a chat has there, in a request that has no cap of its own.
    pub(super) chat_cap: &'static [&'static str],
}

/// The name of a chat's cap that nearly every server reads.
pub(super) const CHAT_CAP: &[&str] = &["max_tokens"];
/// The name of a chat's cap at OpenAI itself, whose newer models refuse the older name.
const OFFICIAL_CAP: &[&str] = &["max_completion_tokens"];

/// Every dialect.
pub(super) const DIALECTS: [Dialect; 8] = [
    Dialect { word: "openai", chat_cap: OFFICIAL_CAP },
    Dialect { word: "azure", chat_cap: OFFICIAL_CAP },
    Dialect { word: "openrouter", chat_cap: CHAT_CAP },
    Dialect { word: "litellm", chat_cap: CHAT_CAP },
    Dialect { word: "vercel", chat_cap: CHAT_CAP },
    Dialect { word: "vllm", chat_cap: CHAT_CAP },
    Dialect { word: "llamacpp", chat_cap: CHAT_CAP },
    Dialect { word: "gemini", chat_cap: CHAT_CAP },
];

/// The dialect of this word, where it is one of those that a format has.
pub(super) fn named(word: &str, of: &[&str]) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.word == word && of.contains(&word))
}
