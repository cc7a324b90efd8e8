//! What must not leave in one text: data, active content. Finds and decides; changes nothing.

use std::ops::Range;

use super::{Act, Ahead, GuardPolicy, Strictest, entry, judge_reply, strictest};
use crate::audit::FindingEntry;
use crate::document::OutputAction;
use crate::enums::Zone;
use crate::host::Timestamp;
use crate::protocol::reply::TextKind;
use crate::reason::Reason;
use crate::redact::{ActiveKind, ActiveWatch, Canary, Detected, Sight, Target, Watch};
use crate::route::RouteIndex;
use crate::scan::{Budget, Calm, Kind, Scanner, Text};

/// What replaces an image, a link or a tag.
const REMOVED: &str = "[removed]";
/// Findings of one reply that are compared with one another; the record shows fewer.
const MAX_FINDINGS: usize = 1024;

/// What the texts of one reply are judged by.
#[derive(Clone)]
pub(crate) struct ReplyRules<'a> {
    pub(crate) scanner: &'a Scanner,
    /// What scanning one text may cost.
    pub(crate) budget: Budget,
    pub(crate) guards: Vec<&'a GuardPolicy>,
    pub(crate) route: RouteIndex,
    pub(crate) now: Timestamp,
    /// What is known of its texts.
    pub(crate) ahead: Option<&'a Ahead>,
}

/// What was found in a reply, and what shadow mode did not do.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) findings: Vec<FindingEntry>,
    pub(crate) shadow: Vec<Reason>,
}

impl Notes {
    /// Adds what was found in what a text is after a cut. What was found in the whole text at this path is known: its
    /// place is another one now.
    pub(crate) fn add_of_rest(&mut self, rest: Notes, path: &str) {
        let known = |findings: &[FindingEntry], new: &FindingEntry| {
            findings.iter().any(|one| one.rule == new.rule && one.path == path)
        };
        let fresh: Vec<FindingEntry> = rest.findings.into_iter().filter(|new| !known(&self.findings, new)).collect();
        self.findings.extend(fresh);
        self.add_shadow(rest.shadow);
    }

    /// Lists what guards in shadow would have done, each once.
    pub(crate) fn add_shadow(&mut self, reasons: impl IntoIterator<Item = Reason>) {
        for reason in reasons {
            if !self.shadow.contains(&reason) {
                self.shadow.push(reason);
            }
        }
    }
}

/// A text of at most this many bytes is looked at before it is scanned.
const SHORT: usize = 512;

/// Finds what must not leave in one text.
pub(crate) struct Detector<'a> {
    rules: ReplyRules<'a>,
    is_key: bool,
    /// Addresses in the text are no active content.
    pub(crate) loads_nothing: bool,
    path: &'a str,
    /// Where the system prompt's token is, and may begin, in the whole text.
    leaks: Vec<Range<usize>>,
    open: Option<usize>,
    /// Active content of the whole text, as far as it is read.
    sights: Vec<Sight>,
    /// What outside judges want masked in the whole text.
    marks: Vec<(Range<usize>, Kind)>,
    /// Where the whole text is plain words.
    calm: Option<&'a Calm>,
    denial: Option<Reason>,
    incomplete: bool,
    findings: Vec<FindingEntry>,
    shadow: Vec<Reason>,
}

impl<'a> Detector<'a> {
    pub(crate) fn new(rules: ReplyRules<'a>, kind: TextKind, is_key: bool, path: &'a str) -> Detector<'a> {
        Detector {
            rules,
            is_key,
            // Addresses are what many tools are called with; which tools may be called is decided elsewhere.
            loads_nothing: kind == TextKind::ToolArguments,
            path,
            leaks: Vec::new(),
            open: None,
            sights: Vec::new(),
            marks: Vec::new(),
            calm: None,
            denial: None,
            incomplete: false,
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

    /// The same, for a running text of which this is known.
    pub(crate) fn with_calm(self, calm: &'a Calm) -> Detector<'a> {
        Detector { calm: Some(calm), ..self }
    }

    /// The same, for a text in which outside judges want this masked.
    pub(crate) fn with_marks(mut self, marks: &[(Range<usize>, Kind)]) -> Detector<'a> {
        self.marks = marks.to_vec();
        self
    }

    /// `at` is where the text is in the whole.
    pub(crate) fn detect(&mut self, text: &str, at: usize) -> Detected {
        let is_calm = match self.calm {
            _ if !self.marks.is_empty() => false,
            Some(calm) => calm.since(at),
            // A longer text has something in it more often than not.
            None => text.len() <= SHORT && self.rules.scanner.is_calm(text),
        };
        let targets = if is_calm { Vec::new() } else { self.values(text, at) };
        let mut replaced = self.leaked(text, at);
        replaced.extend(self.active(text, at));
        Detected { targets, replaced, open: self.open.map(|open| open.saturating_sub(at)) }
    }

    /// Secrets and personal data.
    fn values(&mut self, text: &str, at: usize) -> Vec<Target> {
        let rules = self.rules.clone();
        let budget = Budget { scan_bytes: text.len(), ..rules.budget };
        let known = rules.ahead.and_then(|ahead| ahead.report(text)).cloned();
        let scan = || rules.scanner.scan_data(&[Text { zone: Zone::Assistant, text }], budget).texts.pop();
        let mut report = known.or_else(scan).unwrap_or_default();
        let marked = |(span, kind): &(Range<usize>, Kind)| {
            let (start, end) = (span.start.saturating_sub(at), span.end.saturating_sub(at).min(text.len()));
            (start < end).then_some((start..end, *kind))
        };
        report.marked.extend(self.marks.iter().filter_map(marked));
        let (targets, judgement) =
            judge_reply(rules.scanner, &rules.guards, rules.route, report, self.is_key, rules.now);
        self.denial = self.denial.or(judgement.denial());
        self.incomplete |= judgement.is_incomplete();
        self.shadow.extend(judgement.shadow);
        for judged in judgement.findings {
            let Some(card) = rules.scanner.cards().get(usize::from(judged.finding.rule.0)) else { continue };
            let span = judged.finding.span.start + at..judged.finding.span.end + at;
            self.note(&card.id, span, judged.finding.chain, judged.act);
        }
        targets
    }

    /// The system prompt's token: the strictest of the guards decides.
    fn leaked(&mut self, text: &str, at: usize) -> Vec<(Range<usize>, &'static str)> {
        let mut replaced = Vec::new();
        for span in std::mem::take(&mut self.leaks) {
            let answer = strictest(&self.rules.guards, |guard| Some(Act::from(guard.output.canary?.action)));
            self.carry_out("output.canary", answer, Reason::ScanCanary, span, at..at + text.len(), &mut replaced);
        }
        replaced
    }

    /// Images, links and HTML: the strictest of the guards decides.
    fn active(&mut self, text: &str, at: usize) -> Vec<(Range<usize>, &'static str)> {
        if self.loads_nothing {
            return Vec::new();
        }
        let mut replaced = Vec::new();
        for sight in std::mem::take(&mut self.sights) {
            let of = |kind, action: fn(&GuardPolicy) -> OutputAction| {
                strictest(&self.rules.guards, |guard| {
                    (sight.kind(&guard.output.allow_hosts) == Some(kind)).then(|| action(guard).into())
                })
            };
            // What a guard's own hosts allow is no finding of that guard.
            let answers = [
                ("output.exfiltration", of(ActiveKind::Exfiltration, |guard| guard.output.exfiltration)),
                ("output.script", of(ActiveKind::Script, |guard| guard.output.script)),
            ];
            for (rule, answer) in answers {
                let window = at..at + text.len();
                self.carry_out(rule, answer, Reason::ScanOutput, sight.span.clone(), window, &mut replaced);
            }
        }
        replaced
    }

    /// Does and notes what the guards say of one finding. `window`: the part of the whole text that is looked at.
    fn carry_out(
        &mut self,
        rule: &str,
        answer: Strictest<Act>,
        reason: Reason,
        span: Range<usize>,
        window: Range<usize>,
        replaced: &mut Vec<(Range<usize>, &'static str)>,
    ) {
        let Some(act) = answer.act(reason, &mut self.shadow) else { return };
        // A key can't be cut out.
        let act = if self.is_key && act == Act::Replace { Act::Block } else { act };
        match act {
            Act::Replace => {
                let inside = span.start.saturating_sub(window.start)
                    ..span.end.saturating_sub(window.start).min(window.end - window.start);
                if !inside.is_empty() {
                    replaced.push((inside, REMOVED));
                }
            }
            Act::Block => self.denial = self.denial.or(Some(reason)),
            _ => {}
        }
        self.note(rule, span, Vec::new(), act);
    }

    fn note(&mut self, rule: &str, span: Range<usize>, transforms: Vec<&'static str>, act: Act) {
        self.findings.push(entry(rule, "reply", self.path.to_owned(), span, transforms, act));
    }

    /// The scan of a text ended before its end: a bound was reached, or something could not be read.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Notes what was found. True: something was.
    ///
    /// # Errors
    /// Why the text can't go on.
    pub(crate) fn finish(self, noted: &mut Notes) -> Result<bool, Reason> {
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
        noted.add_shadow(self.shadow);
        self.denial.map_or(Ok(found), Err)
    }
}
