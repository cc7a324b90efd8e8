//! What is known of an exchange so far, and its record.
//!
//! The record is only written. What a later stage reads of an earlier one is a field of the [`Account`].

use super::meter::Meter;
use super::reply::{Noted, Tally};
use super::teller::MAX_TOLD;
use crate::audit::{Coverage, FindingEntry, OpinionEntry, Record, Verdict};
use crate::guard::Act;
use crate::protocol::{Finish, UnscannedKind};
use crate::reason::Reason;

/// What the stages have found out and decided.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) record: Record,
    /// What the reply cost, and how much of it was seen.
    pub(super) meter: Meter,
    /// The model that the reply names.
    pub(super) billed: Option<String>,
    /// Why the reply ended, and who refused to answer.
    finish: Finish,
    verdict: Verdict,
    /// The highest score of any text of the request, 0 to 100.
    score: u8,
    coverage: Coverage,
    /// Shadow mode did not carry something out.
    rehearsed: bool,
    /// The first findings that refuse, as many as a trusted caller is told.
    causes: Vec<FindingEntry>,
}

impl Account {
    pub(super) fn new(record: Record) -> Account {
        Account {
            record,
            meter: Meter::default(),
            billed: None,
            finish: Finish::default(),
            verdict: Verdict::default(),
            score: 0,
            coverage: Coverage::default(),
            rehearsed: false,
            causes: Vec::new(),
        }
    }

    /// What became of the exchange so far.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The highest score of any text of the request.
    pub(super) fn score(&self) -> u8 {
        self.score
    }

    /// How much of it was scanned.
    pub(super) fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// True when shadow mode did not carry something out.
    pub(super) fn is_rehearsed(&self) -> bool {
        self.rehearsed
    }

    /// The first findings that refuse.
    pub(super) fn causes(&self) -> &[FindingEntry] {
        &self.causes
    }

    pub(super) fn decide(&mut self, verdict: Verdict) {
        self.verdict = verdict;
        self.record.set_verdict(verdict);
    }

    /// The exchange is refused.
    pub(super) fn refuse(&mut self, reason: Reason) {
        self.verdict = Verdict::Block;
        self.record.refused(reason);
    }

    /// The exchange passes without any check.
    pub(super) fn pass(&mut self) {
        self.decide(Verdict::Pass);
        self.cover(Coverage::None);
    }

    pub(super) fn scored(&mut self, score: u8) {
        self.score = score;
        self.record.set_score(score);
    }

    pub(super) fn cover(&mut self, coverage: Coverage) {
        self.coverage = coverage;
        self.record.set_coverage(coverage);
    }

    /// Content of this kind was not scanned.
    pub(super) fn leave_unread(&mut self, kind: UnscannedKind) {
        self.cover(Coverage::Partial);
        self.record.add_unscanned(kind.name());
    }

    /// Shadow mode did not carry these out.
    pub(super) fn rehearse(&mut self, codes: impl IntoIterator<Item = &'static str>) {
        let mut codes = codes.into_iter().peekable();
        self.rehearsed |= codes.peek().is_some();
        self.record.add_shadow(codes);
    }

    /// The request is judged once more.
    pub(super) fn forget_findings(&mut self) {
        self.causes.clear();
        self.record.forget_findings();
    }

    pub(super) fn find(&mut self, entry: FindingEntry) {
        if entry.refuses() && self.causes.len() < MAX_TOLD {
            self.causes.push(entry.clone());
        }
        self.record.finding(entry);
    }

    /// True where a finding that is acted on so is listed, and not only counted.
    pub(super) fn lists(&self, act: Act) -> bool {
        self.record.lists_findings() || act == Act::Block && self.causes.len() < MAX_TOLD
    }

    /// Counts a finding that is not listed.
    pub(super) fn count_finding(&mut self) {
        self.record.count_finding();
    }

    /// Adds what outside judges thought of a reply.
    fn add_opinions(&mut self, opinions: Vec<Tally>) {
        let entry = |tally: Tally| OpinionEntry {
            name: tally.name,
            outcome: tally.outcome.name(),
            score: tally.score,
            ms: tally.millis,
            cached: tally.remembered,
            of: Some("reply"),
            parts: (tally.parts > 1).then_some(tally.parts),
        };
        let entries: Vec<OpinionEntry> = opinions.into_iter().map(entry).collect();
        self.record.add_opinions(entries);
    }

    /// Adds what was noted of a reply.
    pub(super) fn add_reply(&mut self, noted: Noted) {
        let Noted {
            notes,
            unscanned,
            masked,
            chunks,
            withheld,
            stored: _,
            spent,
            model,
            finish,
            read,
            complete,
            opinions,
        } = noted;
        if chunks > 0 {
            self.record.set_chunks_removed(chunks);
        }
        self.add_opinions(opinions);
        if let Some(reason) = withheld {
            self.refuse(reason);
        }
        notes.findings.into_iter().for_each(|entry| self.find(entry));
        self.rehearse(notes.shadow.iter().map(|reason| reason.code()));
        self.record.add_masked(masked);
        unscanned.into_iter().for_each(|kind| self.leave_unread(kind));
        self.billed = model.or(self.billed.take());
        let meter = &mut self.meter;
        meter.spent.add(spent);
        meter.read |= read;
        meter.complete |= complete;
        self.finish.add(finish);
        self.record.set_finish(self.finish);
        let bytes = meter.spent.written.bytes();
        if bytes > 0 {
            self.record.set_reply_text(bytes);
        }
        let usage = meter.spent.usage;
        self.record.set_usage(usage);
    }
}
