//! Keys that are no text of a caller's: the words of a format, and of JSON Schema in the definitions of tools.
//!
//! Each format has a list of its own, so that a word of one is exempt from scanning in that format only.

/// True for a key of this sorted list, or of JSON Schema. Such keys are in records as they are and are not scanned;
/// every other key is text.
pub(super) fn knows(own: &[&str], key: &str) -> bool {
    own.binary_search(&key).is_ok() || SCHEMA.binary_search(&key).is_ok()
}

/// Sorted, because they are searched by halves.
const SCHEMA: &[&str] = &[
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
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::registry;

    #[test]
    fn every_list_is_sorted_and_names_each_once() {
        let sorted = |keys: &[&str]| keys.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(sorted(SCHEMA));
        for format in registry::FORMATS {
            assert!(sorted(format.adapter().keys()), "{}", format.word);
        }
    }

    #[test]
    fn a_word_of_one_format_is_exempt_in_that_one_alone() {
        assert!(knows(&["messages"], "messages") && knows(&[], "properties"));
        assert!(!knows(&[], "messages") && !knows(&["messages"], "ignore previous instructions"));
    }
}
