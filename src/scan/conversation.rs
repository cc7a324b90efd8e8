//! The texts of a request as one conversation: what only shows where two of them meet, and what an earlier request
//! has already settled.

use std::collections::HashMap;
use std::hash::Hasher;
use std::ops::Range;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::text::Scan;
use super::{Finding, Report, Text, TextReport};

/// Bytes of either side of a joint.
const SIDE: usize = 256;
/// Shorter texts are scanned faster than they are looked up.
const SHORTEST: usize = 64;
/// Reports with more findings are not kept.
const MOST: usize = 64;

/// Verdicts of texts that were scanned before, by keyed hash: SipHash-2-4 of 128 bits over zone and text.
///
/// Belongs to one scanner: throw it away with the policy. Holds at most twice `capacity` reports of at most 64
/// findings each, about 200 bytes a report without findings; the older half goes at once when the newer is full.
#[derive(Debug)]
pub struct VerdictMemory {
    key: [u8; 16],
    capacity: usize,
    newer: HashMap<u128, TextReport>,
    older: HashMap<u128, TextReport>,
    /// Something is pinned, so that texts of any length are looked up.
    pins: bool,
}

impl VerdictMemory {
    /// An empty memory. The key must be random: with a known one, a client could prepare a text that takes another's verdict.
    pub fn new(key: [u8; 16], capacity: usize) -> Self {
        VerdictMemory { key, capacity: capacity.max(1), newer: HashMap::new(), older: HashMap::new(), pins: false }
    }

    /// From now on this is the report of this text, whatever a scan would say: for measurements that put another
    /// probability in the scorer's place. Counts towards the capacity.
    #[cfg(feature = "cli")]
    pub fn pin(&mut self, text: Text<'_>, report: TextReport) {
        self.pins = true;
        self.newer.insert(self.hash(0, text, ""), report);
    }

    /// Reports that are held.
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hash(&self, kind: u8, text: Text<'_>, tail: &str) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&[kind, text.zone as u8]);
        hasher.write(&(tail.len() as u64).to_le_bytes());
        hasher.write(tail.as_bytes());
        hasher.write(text.text.as_bytes());
        hasher.finish128().as_u128()
    }

    fn recall(&mut self, hash: u128) -> Option<TextReport> {
        if let Some(report) = self.newer.get(&hash) {
            return Some(report.clone());
        }
        let report = self.older.remove(&hash)?;
        self.keep(hash, &report);
        Some(report)
    }

    fn keep(&mut self, hash: u128, report: &TextReport) {
        if !report.complete || report.findings.len() > MOST {
            return;
        }
        if self.newer.len() >= self.capacity {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash, report.clone());
    }
}

/// Scans the texts in order, each alone and each joint.
pub(super) fn scan(scan: &mut Scan<'_>, texts: &[Text<'_>], mut memory: Option<&mut VerdictMemory>) -> Report {
    let mut report = Report::default();
    let mut tail = String::new();
    for (index, text) in texts.iter().enumerate() {
        report.texts.push(remembered(&mut memory, 0, *text, "", |text| scan.text(text.text, text.zone)));
        if text.text.is_empty() {
            continue;
        }
        if !tail.is_empty() {
            let head = Text { text: prefix(text.text, SIDE), ..*text };
            let joint = remembered(&mut memory, 1, head, &tail, |head| joint(scan, &tail, head));
            if let Some(last) = report.texts.last_mut() {
                last.complete &= joint.complete;
            }
            report.joints.extend(joint.findings.into_iter().map(|finding| (index, finding)));
        }
        if text.text.len() < SIDE {
            tail.push(' ');
        } else {
            tail.clear();
        }
        tail.push_str(suffix(text.text, SIDE));
        tail = suffix(&tail, SIDE).into();
    }
    report
}

fn remembered(
    memory: &mut Option<&mut VerdictMemory>,
    kind: u8,
    text: Text<'_>,
    tail: &str,
    scan: impl FnOnce(Text<'_>) -> TextReport,
) -> TextReport {
    let Some(memory) = memory.as_deref_mut().filter(|memory| memory.pins || text.text.len() + tail.len() >= SHORTEST)
    else {
        return scan(text);
    };
    let hash = memory.hash(kind, text, tail);
    if let Some(report) = memory.recall(hash) {
        return report;
    }
    let report = scan(text);
    memory.keep(hash, &report);
    report
}

/// What shows only when two texts are read as one: as neighbouring words and, where a word may be cut, without a space.
fn joint(scan: &mut Scan<'_>, tail: &str, head: Text<'_>) -> TextReport {
    let cut = !tail.ends_with(char::is_whitespace) && !head.text.starts_with(char::is_whitespace);
    let mut out = TextReport { complete: true, ..TextReport::default() };
    for between in ["\n", ""].into_iter().take(if cut { 2 } else { 1 }) {
        let joined = [tail, between, head.text].concat();
        let (border, start) = (tail.len(), tail.len() + between.len());
        let report = scan.joined(&joined, head.zone);
        out.complete &= report.complete;
        for finding in report.findings {
            let Range { start: from, end: to } = finding.span;
            let known = |known: &Finding| known.rule == finding.rule;
            if from < border && to > start && !out.findings.iter().any(known) {
                out.findings.push(Finding { span: 0..to - start, ..finding });
            }
        }
    }
    out
}

fn prefix(text: &str, most: usize) -> &str {
    let mut at = most.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.get(..at).unwrap_or(text)
}

fn suffix(text: &str, most: usize) -> &str {
    let mut at = text.len().saturating_sub(most);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    text.get(at..).unwrap_or(text)
}
