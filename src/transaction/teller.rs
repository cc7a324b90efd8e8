//! How the refusals of one exchange are told: by which id, in whose words, and how much of the cause.

use std::borrow::Cow;
use std::sync::Arc;

use crate::audit::FindingEntry;
use crate::policy::Policy;
use crate::protocol::{Told, message};
use crate::reason::{Denial, Reason};

/// More findings than these are not told.
pub(super) const MAX_TOLD: usize = 8;

/// What a refusal needs to be told.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    policy: Arc<Policy>,
    /// The id of the request. `None`: its headers have not come.
    pub(super) request: Option<String>,
    /// The media types that the caller accepts.
    pub(super) accepts: Vec<u8>,
    /// The policy trusts the caller with rules and spans.
    pub(super) explains: bool,
}

impl Teller {
    pub(super) fn new(policy: Arc<Policy>) -> Teller {
        Teller { policy, request: None, accepts: Vec::new(), explains: false }
    }

    /// The refusal in words. `answers`: the id of the message that it answers.
    pub(super) fn told<'t>(&'t self, denial: &'t Denial, answers: Option<&'t str>) -> Told<'t> {
        let message = match self.policy.refusals.words(denial.reason) {
            Some(words) => Cow::Owned(words.say(&message(denial))),
            None => message(denial),
        };
        Told { denial, message, answers, accepts: &self.accepts, request: self.request.as_deref() }
    }

    /// The same, with what was found, for a caller that the policy trusts.
    pub(super) fn explained<'t>(
        &'t self,
        denial: &'t Denial,
        answers: Option<&'t str>,
        findings: &[FindingEntry],
    ) -> Told<'t> {
        let mut told = self.told(denial, answers);
        let causes = findings.iter().filter(|finding| finding.refuses()).take(MAX_TOLD);
        let causes: Vec<String> = causes
            .map(|FindingEntry { rule, path, start, end, .. }| format!("{rule} at {path}, bytes {start} to {end}"))
            .collect();
        if self.explains && is_of_scan(denial.reason) && !causes.is_empty() {
            told.message = Cow::Owned(format!("{} Found: {}.", told.message, causes.join("; ")));
        }
        told
    }
}

fn is_of_scan(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ScanInjection
            | Reason::ScanOpinion
            | Reason::ScanSecret
            | Reason::ScanPii
            | Reason::ScanOutput
            | Reason::ScanCanary
    )
}
