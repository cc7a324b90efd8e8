//! What is written when a policy is loaded or refused: one JSON line, in the names of the requests' record.

use serde::Serialize;

use super::time::rfc3339;
use crate::host::Timestamp;

/// Errors of one document that are written out; the log has them all.
const MOST: usize = 20;

/// A document was given to the filter.
#[derive(Debug, Serialize)]
struct Loading<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "event.kind")]
    kind: &'static str,
    #[serde(rename = "event.category")]
    category: [&'static str; 1],
    #[serde(rename = "event.action")]
    action: &'static str,
    #[serde(rename = "event.outcome")]
    outcome: &'static str,
    #[serde(rename = "bartizan.policy.digest", skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(rename = "bartizan.policy.errors", skip_serializing_if = "<[String]>::is_empty")]
    errors: &'a [String],
}

/// The record of a document that was taken (its digest) or refused (what is wrong with it, the first twenty).
pub fn policy_record(outcome: Result<&str, &[String]>, now: Timestamp) -> String {
    let (digest, errors) = match outcome {
        Ok(digest) => (Some(digest), [].as_slice()),
        Err(errors) => (None, errors.get(..MOST).unwrap_or(errors)),
    };
    let record = Loading {
        timestamp: rfc3339(now),
        kind: "event",
        category: ["configuration"],
        action: if digest.is_some() { "policy-load" } else { "policy-refuse" },
        outcome: if digest.is_some() { "success" } else { "failure" },
        digest,
        errors,
    };
    serde_json::to_string(&record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_errors_and_a_load_its_digest() {
        let now = Timestamp(1_700_000_000_000_000_000);
        let errors: Vec<String> = (0..30).map(|at| format!("roles.{at}: required")).collect();
        let refused: serde_json::Value = serde_json::from_str(&policy_record(Err(&errors), now)).unwrap();
        assert_eq!(refused["event.outcome"], "failure");
        assert_eq!(refused["bartizan.policy.errors"].as_array().unwrap().len(), MOST);
        let loaded = policy_record(Ok("abc"), now);
        assert_eq!(
            loaded,
            "{\"@timestamp\":\"2023-11-14T22:13:20.000Z\",\"event.kind\":\"event\",\"event.category\":[\"configuration\"],\
             \"event.action\":\"policy-load\",\"event.outcome\":\"success\",\"bartizan.policy.digest\":\"abc\"}"
        );
    }
}
