//! What must not leave in one text: data, active content. Finds and decides; changes nothing.

use std::ops::Range;

use super::GuardPolicy;
use super::judge_reply;
use crate::audit::FindingEntry;
use crate::document::OutputAction;
use crate::enums::Mode;
use crate::host::Timestamp;
use crate::policy::Policy;
use crate::protocol::reply::TextKind;
use crate::reason::Reason;
use crate::redact::{ActiveKind, ActiveWatch, Canary, Detected, Sight, Watch};
use crate::route::RouteIndex;
use crate::scan::{Budget, Text};
use crate::transaction::reply::Noted;

/// What takes the place of an image, a link or a tag.
const REMOVED: &str = "[removed]";
/// Findings of one reply that are compared with one another; the record shows fewer.
const MAX_FINDINGS: usize = 1024;

/// Finds what must not leave in one text.
pub(crate) struct Detector<'a> {
    policy: &'a Policy,
    route: RouteIndex,
    guards: Vec<&'a GuardPolicy>,
    is_key: bool,
    /// Addresses in the text are no active content.
    pub(crate) loads_nothing: bool,
    path: &'a str,
    now: Timestamp,
    /// Where the system prompt's token stands, and may begin, in the whole text.
    leaks: Vec<Range<usize>>,
    open: Option<usize>,
    /// Active content of the whole text, as far as it is read.
    sights: Vec<Sight>,
    denial: Option<Reason>,
    findings: Vec<FindingEntry>,
    shadow: Vec<Reason>,
}

impl<'a> Detector<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        route: RouteIndex,
        guards: &[usize],
        kind: TextKind,
        is_key: bool,
        path: &'a str,
        now: Timestamp,
    ) -> Detector<'a> {
        let guards = guards.iter().filter_map(|index| policy.guards.get(*index)).collect();
        Detector {
            policy,
            route,
            guards,
            is_key,
            // Addresses are what many tools are called with; which tools may be called is decided elsewhere.
            loads_nothing: kind == TextKind::ToolArguments,
            path,
            now,
            leaks: Vec::new(),
            open: None,
            sights: Vec::new(),
            denial: None,
            findings: Vec::new(),
            shadow: Vec::new(),
        }
    }

    /// The same, for a text that was watched for the system prompt's token.
    pub(crate) fn with_leaks(mut self, canary: &Canary, watch: &Watch) -> Detector<'a> {
        self.leaks = watch.found().to_vec();
        self.open = self.open.into_iter().chain(watch.open(canary)).min();
        self
    }

    /// The same, for a text that was watched for active content.
    pub(crate) fn with_active(mut self, watch: &ActiveWatch) -> Detector<'a> {
        self.sights = watch.found().to_vec();
        self.open = self.open.into_iter().chain(watch.open()).min();
        self
    }

    /// `at` is where the text stands in the whole.
    pub(crate) fn detect(&mut self, text: &str, at: usize) -> Detected {
        let policy = self.policy;
        let budget = Budget { scan_bytes: text.len(), ..policy.limits.budget() };
        let zone = crate::enums::Zone::Assistant;
        let mut report = policy.scanner.scan_data(&[Text { zone, text }], budget);
        let report = report.texts.pop().unwrap_or_default();
        let (targets, judgement) =
            judge_reply(&policy.scanner, &self.guards, self.route, report, self.is_key, self.now);
        self.denial = self.denial.or(judgement.denial());
        self.shadow.extend(judgement.shadow);
        for judged in judgement.findings {
            let Some(card) = policy.scanner.cards().get(usize::from(judged.finding.rule.0)) else { continue };
            let span = judged.finding.span.start + at..judged.finding.span.end + at;
            self.note(&card.id, span, judged.finding.chain, judged.action);
        }
        let mut replaced = self.leaked(text, at);
        replaced.extend(self.active(text, at));
        Detected { targets, replaced, open: self.open.map(|open| open.saturating_sub(at)) }
    }

    /// The system prompt's token: the strictest of the guards decides.
    fn leaked(&mut self, text: &str, at: usize) -> Vec<(Range<usize>, &'static str)> {
        let enforced = self.guards.iter().filter(|guard| guard.mode == Mode::Enforce);
        let actions = enforced.filter_map(|guard| guard.output.canary).map(|canary| canary.action);
        let Some(action) = actions.max() else { return Vec::new() };
        let mut replaced = Vec::new();
        for span in std::mem::take(&mut self.leaks) {
            let word = match action {
                OutputAction::Flag => "flag",
                OutputAction::Remove if !self.is_key => {
                    replaced
                        .push((span.start.saturating_sub(at)..span.end.saturating_sub(at).min(text.len()), REMOVED));
                    "replace"
                }
                OutputAction::Remove | OutputAction::Block => {
                    self.denial = self.denial.or(Some(Reason::ScanCanary));
                    "block"
                }
            };
            self.note("output.canary", span, Vec::new(), word);
        }
        replaced
    }

    /// Images, links and HTML: the strictest of the guards decides.
    fn active(&mut self, text: &str, at: usize) -> Vec<(Range<usize>, &'static str)> {
        if self.loads_nothing {
            return Vec::new();
        }
        let mut replaced = Vec::new();
        let guards = self.guards.clone();
        for sight in std::mem::take(&mut self.sights) {
            for guard in &guards {
                let (rule, action) = match sight.kind(&guard.output.allow_hosts) {
                    Some(ActiveKind::Exfiltration) => ("output.exfiltration", guard.output.exfiltration),
                    Some(ActiveKind::Script) => ("output.script", guard.output.script),
                    None => continue,
                };
                let word = match action {
                    OutputAction::Flag => "flag",
                    _ if guard.mode == Mode::Shadow => {
                        self.shadow.push(Reason::ScanOutput);
                        "shadow"
                    }
                    OutputAction::Remove if !self.is_key => {
                        let within =
                            sight.span.start.saturating_sub(at)..sight.span.end.saturating_sub(at).min(text.len());
                        if !within.is_empty() {
                            replaced.push((within, REMOVED));
                        }
                        "replace"
                    }
                    OutputAction::Remove | OutputAction::Block => {
                        self.denial = self.denial.or(Some(Reason::ScanOutput));
                        "block"
                    }
                };
                self.note(rule, sight.span.clone(), Vec::new(), word);
            }
        }
        replaced
    }

    fn note(&mut self, rule: &str, span: Range<usize>, transforms: Vec<&'static str>, action: &'static str) {
        self.findings.push(FindingEntry {
            rule: rule.to_owned(),
            zone: "reply",
            path: self.path.to_owned(),
            start: span.start,
            end: span.end,
            transforms,
            action,
        });
    }

    /// Notes what was found. True: something was.
    ///
    /// # Errors
    /// Why the text can't go on.
    pub(crate) fn finish(self, noted: &mut Noted) -> Result<bool, Reason> {
        let found = !self.findings.is_empty() || !self.shadow.is_empty();
        for finding in self.findings {
            if noted.findings.len() >= MAX_FINDINGS {
                break;
            }
            // A stream's text is looked at piece by piece, each with what came before it.
            let known = noted.findings.iter().any(|other| {
                (other.rule.as_str(), other.start, other.path.as_str())
                    == (finding.rule.as_str(), finding.start, finding.path.as_str())
            });
            if !known {
                noted.findings.push(finding);
            }
        }
        for reason in self.shadow {
            if !noted.shadow.contains(&reason) {
                noted.shadow.push(reason);
            }
        }
        self.denial.map_or(Ok(found), Err)
    }
}
