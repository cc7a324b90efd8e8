//! Keys that are no text of a caller's: the words of a format, and of JSON Schema in the definitions of tools.
//!
//! Each format has a list of its own, so that a word of one is exempt from scanning in that format only.

use bartizan_rules::invariant::between;

/// The words of one format.
#[derive(Debug)]
pub struct Keys {
    sorted: &'static [&'static str],
    /// By first byte: where its words begin. Those of the last one end with the list.
    starts: [u16; STARTS],
}

/// One more than there are bytes of ASCII.
const STARTS: usize = 129;

impl Keys {
    /// From a sorted list of words that begin with a character of ASCII.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
    pub(super) const fn new(sorted: &'static [&'static str]) -> Keys {
        let mut starts = [0; STARTS];
        let (mut at, mut first) = (0, 0);
        while first < STARTS {
            while at < sorted.len() && (sorted[at].as_bytes()[0] as usize) < first {
                at += 1;
            }
            starts[first] = at as u16;
            first += 1;
        }
        Keys { sorted, starts }
    }

    /// The words, sorted.
    pub fn words(&self) -> &'static [&'static str] {
        self.sorted
    }

    /// True for a word of the format, or of JSON Schema. Such keys are in records as they are and are not scanned; every
    /// other key is text.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.has(key) || SCHEMA.has(key)
    }

    fn has(&self, key: &str) -> bool {
        let first = key.as_bytes().first().map_or(STARTS, |first| usize::from(*first));
        let (Some(from), Some(to)) = (self.starts.get(first), self.starts.get(first + 1)) else { return false };
        let words = between(self.sorted, usize::from(*from)..usize::from(*to));
        words.contains(&key)
    }
}

/// Sorted, because they are found by their first letter.
static SCHEMA: Keys = Keys::new(&[
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "name",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "schema",
    "strict",
    "title",
    "type",
    "uniqueItems",
]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::registry;

    #[test]
    fn every_list_is_sorted_and_knows_its_words() {
        let checked = |keys: &Keys| {
            keys.sorted.windows(2).all(|pair| pair[0] < pair[1]) && keys.sorted.iter().all(|word| keys.has(word))
        };
        assert!(checked(&SCHEMA));
        for format in registry::FORMATS {
            assert!(checked(format.adapter().keys()), "{}", format.word);
        }
    }

    #[test]
    fn a_word_of_one_format_is_exempt_in_that_one_alone() {
        static ONE: Keys = Keys::new(&["messages", "metadata"]);
        static NONE: Keys = Keys::new(&[]);
        assert!(ONE.knows("messages") && NONE.knows("properties") && ONE.knows("metadata"));
        assert!(!NONE.knows("messages") && !ONE.knows("ignore previous instructions") && !ONE.knows(""));
        assert!(!ONE.knows("message") && !ONE.knows("messagesx") && !ONE.knows("\u{e9}"));
    }
}
