//! What is written about a request: one content-free record, headers and metrics. Names live here.
//!
//! No text of a prompt, no token, no claim and no free name goes into any of them: identities and
//! unknown model names become keyed hashes, prompts as one keyed fingerprint.
//!
//! ```
//! use bartizan::audit::{is_ours, metrics, rfc3339};
//! use bartizan::host::Timestamp;
//!
//! assert!(is_ours(b"X_Bartizan-Subject") && !is_ours(b"x-request-id"));
//! assert_eq!(rfc3339(Timestamp::from_secs(1_800_000_000)), "2027-01-15T08:00:00.000Z");
//! assert_eq!(metrics::label("jwt.notYetValid"), "jwt_not_yet_valid");
//! ```

pub mod chain;
mod entries;
mod group;
mod labels;
mod loading;
pub mod metrics;
mod policy;
mod record;
mod time;

pub use entries::{Coverage, FindingEntry, OpinionEntry, TextEntry, Verdict};
pub use group::GroupPolicy;
pub use labels::{Labels, MOST as MOST_LABELS};
pub use loading::policy_record;
pub use policy::AuditPolicy;
pub use record::{Record, VERSION};
pub use time::rfc3339;

/// The prefix of every header of ours. Whatever a client sends under it is removed.
pub const HEADER_PREFIX: &str = "x-bartizan-";

/// The class of a refusal, on the reply.
pub const REASON_HEADER: &str = "x-bartizan-reason";

/// What became of the request. To the upstream where `audit.upstreamHeaders` names it, to the caller on a reply that goes
/// on where `audit.responseHeaders` is `changes`. What either sends under this name is removed.
pub const VERDICT_HEADER: &str = "x-bartizan-verdict";

/// How many records were taken out of a store's answer, on that answer, where the policy lets callers see such headers.
pub const CHUNKS_HEADER: &str = "x-bartizan-chunks-removed";

/// The property that holds the record; access logs read it as filter state `wasm.bartizan.audit`.
pub const RECORD_PROPERTY: &str = "bartizan.audit";

/// True for a header that an upstream could take for one of ours. CGI and WSGI servers read `_` as
/// `-` and fold case, so all three spellings count.
pub fn is_ours(name: &[u8]) -> bool {
    name.len() >= HEADER_PREFIX.len()
        && name
            .iter()
            .zip(HEADER_PREFIX.bytes())
            .all(|(&got, want)| got.to_ascii_lowercase() == want || (want == b'-' && got == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_our_headers_is_known() {
        for name in ["x-bartizan-subject", "X_Bartizan_Roles", "x_bartizan-x", "x-bartizan-"] {
            assert!(is_ours(name.as_bytes()), "{name}");
        }
        for name in ["x-bartizan", "x-bartizans-a", "authorization", ""] {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
    }
}
