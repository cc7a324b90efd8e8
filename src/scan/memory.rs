//! Verdicts of texts that an earlier request has already settled.

use std::collections::HashMap;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::{Text, TextReport};

/// Shorter texts are scanned faster than they are looked up.
const SHORTEST: usize = 64;
/// Reports with more findings are not kept.
const MOST: usize = 64;

/// True for the index of a text that is none of the conversation's.
pub(super) type IsAside<'a> = dyn Fn(usize) -> bool + 'a;

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
    /// An empty memory. The key must be random: with a known one, a client could prepare a text that gets another's verdict.
    pub fn new(key: [u8; 16], capacity: usize) -> Self {
        VerdictMemory { key, capacity: capacity.max(1), newer: HashMap::new(), older: HashMap::new(), pins: false }
    }

    /// What is left in the place of a memory that is lent.
    pub(super) fn lent() -> Self {
        VerdictMemory::new([0; 16], 1)
    }

    /// From now on this is the report of this text, whatever a scan would say: for measurements that put another
    /// probability in the scorer's place. Counts towards the capacity.
    #[cfg(feature = "cli")]
    pub fn pin(&mut self, text: Text<'_>, report: TextReport) {
        self.pins = true;
        self.newer.insert(self.hash(&Known::of_text(text)), report);
    }

    /// Reports that are held.
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keyed hash of what a report is about; `None`: scanning it costs less.
    pub(super) fn place(&self, known: &Known<'_>) -> Option<u128> {
        (self.pins || !known.is_short()).then(|| self.hash(known))
    }

    fn hash(&self, known: &Known<'_>) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&[known.kind]);
        for (zone, text) in &known.texts {
            hasher.write(&[*zone]);
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        hasher.finish128().as_u128()
    }

    pub(super) fn recall(&mut self, hash: u128) -> Option<TextReport> {
        if let Some(report) = self.newer.get(&hash) {
            return Some(report.clone());
        }
        let report = self.older.remove(&hash)?;
        self.keep(hash, &report);
        Some(report)
    }

    pub(super) fn keep(&mut self, hash: u128, report: &TextReport) {
        if !report.complete || report.findings.len() + report.refused.len() > MOST {
            return;
        }
        if self.newer.len() >= self.capacity {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(hash, report.clone());
    }
}

/// What a verdict is remembered of: texts and zones.
pub(super) struct Known<'t> {
    kind: u8,
    texts: Vec<(u8, &'t str)>,
}

impl<'t> Known<'t> {
    /// A text by itself.
    pub(super) fn of_text(text: Text<'t>) -> Self {
        Known { kind: 0, texts: vec![(text.zone as u8, text.text)] }
    }

    /// A name, which many requests have. It is looked up however short it is.
    pub(super) fn of_name(text: Text<'t>) -> Self {
        Known { kind: 3, texts: vec![(text.zone as u8, text.text)] }
    }

    /// Neighbouring texts, or parts of them, each with its zone.
    pub(super) fn of_block(texts: impl Iterator<Item = (u8, &'t str)>) -> Self {
        Known { kind: 1, texts: texts.collect() }
    }

    /// The same, of texts with nothing between them that parts them.
    pub(super) fn of_talk(texts: impl Iterator<Item = (u8, &'t str)>) -> Self {
        Known { kind: 2, texts: texts.collect() }
    }

    fn is_short(&self) -> bool {
        self.kind != 3 && self.texts.iter().map(|(_, text)| text.len()).sum::<usize>() < SHORTEST
    }
}
