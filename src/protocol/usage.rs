//! What a reply cost, as the upstream counted it.

use super::Json;
use crate::estimate::Estimate;

/// Tokens as the upstream counted them. What it did not tell is `None`, which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, those from a cache among them.
    pub input: Option<u64>,
    /// Tokens of the answer, thoughts among them.
    pub output: Option<u64>,
    /// Tokens of the prompt that came from a cache.
    pub cached: Option<u64>,
    /// Tokens of the answer that are thoughts.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// The larger of each: a stream counts up.
    #[must_use]
    pub fn max(self, other: Usage) -> Usage {
        // `None` is less than any number.
        Usage {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cached: self.cached.max(other.cached),
            reasoning: self.reasoning.max(other.reasoning),
        }
    }

    /// The counts of an object such as OpenAI's `usage`, of any of its APIs. `None` when it holds no count.
    pub(super) fn of_counts(value: &Json<'_>) -> Option<Usage> {
        let count = |names: [&str; 2]| names.into_iter().find_map(|name| value.get(name).and_then(Json::as_u64));
        let input = count(["prompt_tokens", "input_tokens"]);
        // Embeddings have no answer, and servers leave its count out. Some count thoughts in the total and nowhere else.
        let rest = input.and_then(|input| Some(count(["total_tokens", "total_tokens"])?.saturating_sub(input)));
        let output = count(["completion_tokens", "output_tokens"]).max(rest);
        let details = ["prompt_tokens_details", "input_tokens_details"].into_iter().find_map(|name| value.get(name));
        let cached = details.and_then(|details| details.get("cached_tokens")).and_then(Json::as_u64);
        // DeepSeek's word for it.
        let cached = cached.or_else(|| value.get("prompt_cache_hit_tokens")?.as_u64());
        let details =
            ["completion_tokens_details", "output_tokens_details"].into_iter().find_map(|name| value.get(name));
        let reasoning = details.and_then(|details| details.get("reasoning_tokens")).and_then(Json::as_u64);
        (input.is_some() || output.is_some()).then_some(Usage { input, output, cached, reasoning })
    }
}

/// What is known of a reply's cost while it passes and when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// What the upstream told. Of a stream that was cut off: as far as it had told.
    pub usage: Usage,
    /// The model's text that came, thoughts and arguments of tools among them, counted here: for where the
    /// upstream told nothing.
    pub written: Estimate,
}

impl Spent {
    /// Adds what is known besides.
    pub fn add(&mut self, other: Spent) {
        self.usage = self.usage.max(other.usage);
        self.written.add(other.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Usage> {
        Usage::of_counts(&Json::parse(text.as_bytes(), 8).unwrap())
    }

    #[test]
    fn every_spelling_is_read_and_nothing_is_no_zero() {
        let usage = |input, output, cached| Some(Usage { input, output, cached, reasoning: None });
        assert_eq!(of(r#"{"prompt_tokens":3,"completion_tokens":5}"#), usage(Some(3), Some(5), None));
        assert_eq!(
            of(r#"{"input_tokens":3,"output_tokens":5,"input_tokens_details":{"cached_tokens":2}}"#),
            usage(Some(3), Some(5), Some(2))
        );
        let reasoning = Usage { reasoning: Some(4), ..usage(Some(3), Some(5), None).unwrap() };
        for words in
            ["\"completion_tokens\":5,\"completion_tokens_details\"", "\"output_tokens\":5,\"output_tokens_details\""]
        {
            assert_eq!(of(&format!("{{\"input_tokens\":3,{words}:{{\"reasoning_tokens\":4}}}}")), Some(reasoning));
        }
        assert_eq!(of(r#"{"prompt_tokens":3,"total_tokens":3}"#), usage(Some(3), Some(0), None));
        assert_eq!(
            of(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115}"#),
            usage(Some(10), Some(105), None)
        );
        assert_eq!(of(r#"{"completion_tokens":5}"#), usage(None, Some(5), None));
        assert_eq!(of(r#"{"prompt_tokens":-3,"completion_tokens":"5"}"#), None);
        assert_eq!(of("{}"), None);
    }
}
