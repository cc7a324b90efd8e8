//! Why a reply ended, in the provider's own words, and whether the model or its provider refused to answer.
//!
//! Only words of a closed list are told; any other word is `other`. What is noted is a set of bits: nothing is
//! allocated until a record is written.

/// Who refused to answer, by a signal of the protocol. What the text of an answer says is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusedBy {
    /// A filter or guardrail of the provider.
    Provider,
    /// The model.
    Model,
}

impl RefusedBy {
    /// The word in records.
    pub const fn name(self) -> &'static str {
        match self {
            RefusedBy::Provider => "provider",
            RefusedBy::Model => "model",
        }
    }
}

const PROVIDER: Option<RefusedBy> = Some(RefusedBy::Provider);
const MODEL: Option<RefusedBy> = Some(RefusedBy::Model);

/// The words of all formats, sorted, and which of them are refusals.
pub const WORDS: [(&str, Option<RefusedBy>); 63] = [
    ("BLOCKLIST", PROVIDER),
    ("COMPLETE", None),
    ("CONTENT_FILTERED", PROVIDER),
    ("ERROR", None),
    ("ERROR_LIMIT", None),
    ("ERROR_TOXIC", PROVIDER),
    ("FINISH", None),
    ("FINISHED", None),
    ("IMAGE_OTHER", None),
    ("IMAGE_PROHIBITED_CONTENT", PROVIDER),
    ("IMAGE_RECITATION", PROVIDER),
    ("IMAGE_SAFETY", PROVIDER),
    ("LANGUAGE", None),
    ("LENGTH", None),
    ("MALFORMED_FUNCTION_CALL", None),
    ("MAX_TOKENS", None),
    ("MODEL_ARMOR", PROVIDER),
    ("NO_IMAGE", None),
    ("OTHER", None),
    ("PROHIBITED_CONTENT", PROVIDER),
    ("RECITATION", PROVIDER),
    ("SAFETY", PROVIDER),
    ("SPII", PROVIDER),
    ("STOP", None),
    ("STOP_CRITERIA_MET", None),
    ("STOP_SEQUENCE", None),
    ("TIMEOUT", None),
    ("TOOL_CALL", None),
    ("TOO_MANY_TOOL_CALLS", None),
    ("UNEXPECTED_TOOL_CALL", None),
    ("USER_CANCEL", None),
    ("cancelled", None),
    ("completed", None),
    ("content_filter", PROVIDER),
    ("content_filtered", PROVIDER),
    ("end_turn", None),
    ("eos", None),
    ("eos_token", None),
    ("error", None),
    ("failed", None),
    ("function_call", None),
    ("guardrail_intervened", PROVIDER),
    ("incomplete", None),
    ("insufficient_system_resource", None),
    ("length", None),
    ("load", None),
    ("malformed_model_output", None),
    ("malformed_tool_use", None),
    ("max_output_tokens", None),
    ("max_tokens", None),
    ("model_context_window_exceeded", None),
    ("model_length", None),
    ("other", None),
    ("pause_turn", None),
    ("refusal", MODEL),
    ("stop", None),
    ("stop_sequence", None),
    ("timeout", None),
    ("tool_call", None),
    ("tool_calls", None),
    ("tool_use", None),
    ("unknown", None),
    ("unload", None),
];

const OTHER: &str = "other";

/// The ends of one reply: of all its choices.
///
/// ```
/// use bartizan::enums::Operation;
/// use bartizan::protocol::{Json, Protocol, RefusedBy};
///
/// let reply = br#"{"content": [], "stop_reason": "refusal", "type": "message", "role": "assistant"}"#;
/// let json = Json::parse_reply(reply, 64).unwrap();
/// let parts = Protocol::named("anthropic").unwrap().read_reply(Operation::Chat, &json);
/// assert_eq!(parts.finish.words().collect::<Vec<_>>(), ["refusal"]);
/// assert_eq!(parts.finish.refusal(), Some(RefusedBy::Model));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finish {
    /// The places in [`WORDS`].
    words: u64,
    refusal: Option<RefusedBy>,
}

impl Finish {
    /// Notes a word. An empty one says nothing, and neither does Gemini's word for none.
    pub(super) fn note(&mut self, word: &str) {
        if matches!(word, "" | "FINISH_REASON_UNSPECIFIED" | "BLOCK_REASON_UNSPECIFIED") {
            return;
        }
        let place = |word: &str| WORDS.binary_search_by(|(known, _)| (*known).cmp(word)).ok();
        if let Some(place) = place(word).or_else(|| place(OTHER)) {
            self.words |= 1 << place;
            self.refusal = self.refusal.max(WORDS.get(place).and_then(|(_, refusal)| *refusal));
        }
    }

    /// Notes a refusal that is told in another way.
    pub(super) fn refuse(&mut self, by: RefusedBy) {
        self.refusal = self.refusal.max(Some(by));
    }

    /// Adds what another event says.
    pub fn add(&mut self, other: Finish) {
        self.words |= other.words;
        self.refusal = self.refusal.max(other.refusal);
    }

    /// The words, sorted.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        WORDS.iter().enumerate().filter(move |(place, _)| self.words & (1 << place) != 0).map(|(_, (word, _))| *word)
    }

    /// Who refused. A model's own refusal counts more than a filter's.
    pub fn refusal(self) -> Option<RefusedBy> {
        self.refusal
    }
}

const _: () = assert!(WORDS.len() <= u64::BITS as usize, "a word is a bit");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_each_is_noted_as_itself() {
        assert!(WORDS.is_sorted_by(|one, next| one.0 < next.0));
        for (word, refusal) in WORDS {
            let mut finish = Finish::default();
            finish.note(word);
            assert_eq!(finish.words().collect::<Vec<_>>(), [word]);
            assert_eq!(finish.refusal(), refusal, "{word}");
        }
    }

    #[test]
    fn an_unknown_word_is_other_and_an_empty_one_nothing() {
        let mut finish = Finish::default();
        finish.note("");
        assert_eq!(finish, Finish::default());
        finish.note("alice@example.com");
        finish.note("Stop");
        assert_eq!(finish.words().collect::<Vec<_>>(), ["other"]);
        assert_eq!(finish.refusal(), None);
    }
}
