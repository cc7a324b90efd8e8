//! The group of a caller that the record names: by a claim, in the policy's own words.

use serde_json::Value;

use crate::authn::is_pointer;
use crate::document::{self, Errors, KeyPath};
use crate::sorted;

/// The most groups, and the longest name of one in bytes.
const MOST: usize = 64;
const LONGEST: usize = 64;

/// What a group is called that the policy does not name.
const OTHER: &str = "other";

/// The claim that names a caller's group, and the groups that records may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPolicy {
    /// A JSON Pointer.
    pub claim: String,
    values: Vec<String>,
}

impl GroupPolicy {
    pub(super) fn compile(written: &document::Group, at: &KeyPath, errors: &mut Errors) -> Option<GroupPolicy> {
        let claim = errors.require(at, "claim", written.claim.as_deref());
        if claim.is_some_and(|text| text.len() > 256 || !is_pointer(text)) {
            errors.push(&at.key("claim"), "expected a JSON Pointer of at most 256 bytes (RFC 6901)");
        }
        let values = errors.require(at, "values", written.values.as_ref());
        let at = at.key("values");
        if values.is_some_and(|values| values.is_empty() || values.len() > MOST) {
            errors.push(&at, format!("expected 1 to {MOST} groups"));
        }
        for (place, _) in values.into_iter().flatten().enumerate().filter(|(_, name)| !is_name(name)) {
            let message = format!("expected 1 to {LONGEST} bytes without control characters, and not {OTHER}");
            errors.push(&at.index(place), message);
        }
        let (claim, mut values) = (claim?.to_owned(), values?.clone());
        sorted::once(&mut values);
        Some(GroupPolicy { claim, values })
    }

    /// The group that a claim names. `None` is a claim that can't be read. Of a list the first that the policy names.
    pub fn of(&self, claim: Option<&Value>) -> String {
        let known = |value: &Value| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => return None,
            };
            self.values.binary_search(&text).ok().map(|_| text)
        };
        let found = match claim {
            Some(Value::Array(values)) => values.iter().find_map(known),
            Some(value) => known(value),
            None => None,
        };
        found.unwrap_or_else(|| OTHER.to_owned())
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name != OTHER && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_named_groups_are_told() {
        let group = GroupPolicy { claim: "/dept".into(), values: vec!["7".into(), "eng".into(), "sales".into()] };
        for (claim, name) in [
            (json!("eng"), "eng"),
            (json!("alice@example.com"), "other"),
            (json!(7), "7"),
            (json!(["x", "sales", "eng"]), "sales"),
            (json!([["eng"]]), "other"),
            (json!({"eng": 1}), "other"),
            (json!(null), "other"),
        ] {
            assert_eq!(group.of(Some(&claim)), name, "{claim}");
        }
        assert_eq!(group.of(None), "other");
    }
}
