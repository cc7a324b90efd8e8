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
    /// A stream tells its usage when `stream_options` asks for it. False: it does so by itself, and refuses the field.
    pub(super) asks_usage: bool,
}

/// The name of a chat's cap that nearly every server reads.
pub(super) const CHAT_CAP: &[&str] = &["max_tokens"];
/// The name of a chat's cap at OpenAI itself, whose newer models refuse the older name.
const OFFICIAL_CAP: &[&str] = &["max_completion_tokens"];

/// A dialect that differs from its format in words only.
const fn plain(word: &'static str) -> Dialect {
    Dialect { word, chat_cap: CHAT_CAP, asks_usage: true }
}

/// One with the newer name of the cap.
const fn newer(word: &'static str) -> Dialect {
    Dialect { word, chat_cap: OFFICIAL_CAP, asks_usage: true }
}

/// Every dialect.
pub(super) const DIALECTS: [Dialect; 14] = [
    newer("openai"),
    newer("azure"),
    plain("openrouter"),
    plain("litellm"),
    plain("vercel"),
    plain("vllm"),
    plain("llamacpp"),
    Dialect { word: "mistral", chat_cap: CHAT_CAP, asks_usage: false },
    plain("deepseek"),
    newer("groq"),
    newer("xai"),
    plain("sglang"),
    plain("lmstudio"),
    plain("gemini"),
];

/// The dialect of this word, where it is one of those that a format has.
pub(super) fn named(word: &str, of: &[&str]) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| dialect.word == word && of.contains(&word))
}

#[cfg(test)]
mod tests {
    use crate::enums::Operation;
    use crate::protocol::reply::TextKind;
    use crate::protocol::{Json, Protocol};

    /// What a chat's reply has there beside OpenAI's: the message's fields, and those of the reply.
    const REPLIES: [(&str, &str, &str); 14] = [
        ("openai", "", COUNTED),
        ("azure", "", COUNTED),
        ("openrouter", r#","reasoning":"hm""#, COUNTED),
        ("litellm", r#","reasoning_content":"hm""#, COUNTED),
        ("vercel", r#","reasoning":"hm""#, COUNTED),
        ("vllm", r#","reasoning_content":"hm""#, COUNTED),
        ("llamacpp", r#","reasoning_content":"hm""#, COUNTED),
        ("mistral", "", COUNTED),
        ("deepseek", r#","reasoning_content":"hm""#, HITS),
        ("groq", r#","reasoning":"hm""#, GROQ),
        ("xai", r#","reasoning_content":"hm""#, APART),
        ("sglang", r#","reasoning_content":"hm""#, COUNTED),
        ("lmstudio", r#","reasoning_content":"hm""#, COUNTED),
        ("gemini", "", COUNTED),
    ];
    const COUNTED: &str = r#","usage":{"prompt_tokens":11,"completion_tokens":13,"total_tokens":24,
        "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":9}}"#;
    const HITS: &str = r#","usage":{"prompt_tokens":11,"completion_tokens":13,"total_tokens":24,
        "prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":7}"#;
    const GROQ: &str = r#","x_groq":{"id":"req_1","usage":{"prompt_tokens":11,"completion_tokens":13,
        "total_tokens":24,"prompt_tokens_details":{"cached_tokens":4},"total_time":0.2}}"#;
    const APART: &str = r#","usage":{"prompt_tokens":11,"completion_tokens":4,"total_tokens":24,
        "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":9}}"#;

    /// `REFERENCE=write cargo test --lib protocol::dialect` writes the table of the page.
    #[test]
    fn every_dialect_is_read_and_the_manual_holds_the_table() {
        let openai = Protocol::named("openai").unwrap();
        let mut table =
            "| dialect | the cap that is added | thoughts | counts of a stream |\n|---|---|---|---|\n".to_owned();
        assert_eq!(openai.dialects().len(), REPLIES.len());
        for (word, thoughts, counts) in REPLIES {
            let protocol = openai.in_dialect(word).unwrap();
            for (holder, is_stream) in [("message", false), ("delta", true)] {
                let body = format!(
                    r#"{{"id":"c","choices":[{{"index":0,"{holder}":{{"content":"hi"{thoughts}}}}}]{counts}}}"#
                );
                let json = Json::parse_reply(body.as_bytes(), 16).unwrap();
                let parts = if is_stream {
                    protocol.stream(Operation::Chat).read(None, &json)
                } else {
                    protocol.read_reply(Operation::Chat, &json)
                };
                let usage = parts.usage.unwrap();
                assert_eq!((usage.input, usage.output, usage.cached), (Some(11), Some(13), Some(4)), "{word} {body}");
                let reasons = parts.texts.iter().filter(|one| one.channel.kind == TextKind::Reasoning).count();
                assert_eq!(reasons, usize::from(!thoughts.is_empty()), "{word}");
            }
            let ask = r#"{"model":"m","messages":[]}"#;
            let mut json = Json::parse(ask.as_bytes(), 8).unwrap();
            let cap = protocol.read_request(Operation::Chat, None, &json).unwrap().output_cap_key[0];
            let asks = protocol.ask_usage(Operation::Chat, &mut json);
            assert_eq!(asks, json.get("stream_options").is_some(), "{word}");
            let key = match (thoughts.split('"').nth(1), word) {
                (Some(key), _) => format!("`{key}`"),
                (None, "mistral") => "parts of `content`".to_owned(),
                (None, _) => "none".to_owned(),
            };
            let told = if asks {
                "asked for with `stream_options`"
            } else {
                "come by themselves; `stream_options` is refused"
            };
            let told = if word == "groq" { format!("{told}, or in `x_groq.usage`") } else { told.to_owned() };
            table.push_str(&format!("| `{word}` | `{cap}` | {key} | {told} |\n"));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/parameters.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, rest) = page.split_once("<!-- dialects -->\n").expect("the mark before the table");
        let (old, tail) = rest.split_once("<!-- end of dialects -->").expect("the mark behind the table");
        if std::env::var("REFERENCE").is_ok_and(|word| word == "write") {
            let new = format!("{head}<!-- dialects -->\n{table}<!-- end of dialects -->{tail}");
            std::fs::write(path, new).unwrap();
            return;
        }
        assert!(old == table, "{path} is stale: REFERENCE=write cargo test --lib protocol::dialect");
    }
}
