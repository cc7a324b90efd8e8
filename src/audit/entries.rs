//! The closed words of the audit record, and what its lists hold.

use serde::Serialize;

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The filter did not get to the end: the connection broke, or the VM did.
    #[default]
    Incomplete,
    /// It went on as it came.
    Allow,
    /// It went on with something masked.
    Mask,
    /// It went on with something cut out of its history.
    Replace,
    /// It was refused.
    Block,
    /// No route matched and `unmatched` is `pass`: nothing was checked.
    Pass,
}

impl Verdict {
    /// The word in records, headers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Incomplete => "incomplete",
            Verdict::Allow => "allow",
            Verdict::Mask => "mask",
            Verdict::Replace => "replace",
            Verdict::Block => "block",
            Verdict::Pass => "pass",
        }
    }
}

/// How much of the content was scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Nothing.
    #[default]
    None,
    /// Something was not scanned; the record names its kinds.
    Partial,
    /// All of it.
    Full,
}

impl Coverage {
    /// The word in records and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Coverage::None => "none",
            Coverage::Partial => "partial",
            Coverage::Full => "full",
        }
    }
}

/// What one outside judge thought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct OpinionEntry {
    /// Its name in the policy.
    pub name: String,
    /// `same`, `raised`, `lowered`, `marked`, or why there is none: `unavailable`, `unreadable`, `busy`, `tooLong`,
    /// `skipped`.
    pub outcome: &'static str,
    /// The highest score that it gave, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// It was one of a moment ago.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// What it was shown: `reply`; absent: the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<&'static str>,
    /// How many parts of a stream it was shown, where that is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

/// One finding, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct FindingEntry {
    /// Rule id.
    pub rule: String,
    /// Zone of the text.
    pub zone: &'static str,
    /// JSON Pointer of the text in the body; keys that are not the protocol's are written as `*`.
    pub path: String,
    /// First byte of the finding in the text.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
    /// The transforms under which it was found, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<&'static str>,
    /// What followed: `flag`, `mask`, `hash`, `replace`, `block`, `exception` or `shadow`.
    pub action: &'static str,
}

/// A text whose score reached a guard's threshold, without the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct TextEntry {
    /// Its zone.
    pub zone: &'static str,
    /// JSON Pointer of the text in the body; keys that are not the protocol's are written as `*`.
    pub path: String,
    /// Its score, 0 to 100: of rules, scorer and outside judges.
    pub score: u8,
    /// The score of the rules alone.
    pub rules_score: u8,
    /// The score from which the guard acts.
    pub threshold: u8,
    /// The guard.
    pub guard: String,
    /// What follows: `flag`, `replace`, `block` or `shadow`.
    pub action: &'static str,
}

/// A share of a quota's limit that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct CrossedEntry {
    /// The role's name.
    pub role: String,
    /// Who shares the bucket.
    pub per: &'static str,
    /// What is counted.
    pub counts: &'static str,
    /// Percent of the limit.
    pub share: u8,
}

impl FindingEntry {
    /// True when the finding refuses the request or the reply.
    pub fn refuses(&self) -> bool {
        self.action == "block"
    }
}
