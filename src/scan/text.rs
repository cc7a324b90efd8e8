//! One text through every view: as it came, normalised, read as leetspeak, turned back where it is rotated or
//! reversed, and everything that it decodes to, three encodings deep.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bartizan_rules::invariant::{self, between, part};

use crate::enums::Zone;
use crate::sorted;

use super::beside;
use super::decode::{self, Decoded, FAMILIES};
use super::engine::{self, Engine, Match, Scratch, Zones};
use super::normalise::{self, Leet, Marks, Normalised};
use super::pace::Pace;
use super::scorer::{self, Learned, Voice};
use super::{Budget, Finding, RuleIndex, TextReport};

/// Encodings within encodings.
const DEPTH: usize = 3;
/// Longer texts are read piece by piece, each this long.
const PIECE: usize = 64 * 1024;
/// Bytes that two pieces share.
const SHARED: usize = 2048;

/// Bytes of a text that a family of encodings reads in the time of one step.
const UNPAID: usize = 4;

/// What was done to the text so that hidden encodings, too, are looked for in the cleaned form.
pub(super) const CLEANS: Marks = Marks::ENTITY
    .with(Marks::ESCAPE)
    .with(Marks::PERCENT)
    .with(Marks::INVISIBLE)
    .with(Marks::SEPARATED)
    .with(Marks::TAGS)
    .with(Marks::COMPATIBILITY);

/// One request's scan: what is left of the budget, and memory that texts share.
pub struct Scan<'e> {
    engine: &'e Engine,
    pace: &'e Pace,
    /// With less work left than this, it rests.
    rests_at: usize,
    scorer: bool,
    is_reply: bool,
    left: Budget,
    scratch: Scratch,
    decoded: BTreeMap<(usize, usize), Vec<Reading>>,
}

/// What was read of a stretch that is encoded, and how deep. The same comes out of it on several ways: cleaned before it
/// is decoded, and after.
#[derive(Debug)]
struct Reading {
    depth: usize,
    text: String,
}

/// Where a view's offsets lead.
enum Way<'v> {
    /// To the text itself.
    Same,
    /// Through a normalised text.
    Through(&'v Normalised),
    /// Through a part of a normalised text that begins here.
    From(&'v Normalised, usize),
    /// Through a part of a normalised text that ends here, read backwards.
    Back(&'v Normalised, usize),
}

/// A place in the nest of views: where the text lies in the original, and how it came to be.
#[derive(Clone)]
struct Lineage {
    /// Bytes of the original: the offset of the text at depth 0, the whole encoded stretch below.
    origin: Range<usize>,
    chain: Vec<&'static str>,
}

impl<'e> Scan<'e> {
    /// A scan with a fresh budget.
    pub fn new(engine: &'e Engine, scorer: bool, budget: Budget, pace: &'e Pace) -> Self {
        Scan {
            engine,
            pace,
            rests_at: budget.work.saturating_sub(pace.slice()),
            scorer,
            is_reply: false,
            left: budget,
            scratch: engine.scratch(budget.work),
            decoded: BTreeMap::new(),
        }
    }

    /// A scan of what the model answers, without the learned scorer.
    pub fn of_reply(engine: &'e Engine, budget: Budget, pace: &'e Pace) -> Self {
        Scan { is_reply: true, ..Scan::new(engine, false, budget, pace) }
    }

    /// Steps that are left.
    pub fn work_left(&self) -> usize {
        self.scratch.left()
    }

    /// Pays for steps that are taken elsewhere; false: fewer are left, and they must not be taken.
    pub fn pays(&mut self, steps: usize) -> bool {
        self.scratch.spend(steps)
    }

    /// Lets others have their turn when this scan has had its own.
    pub async fn rest(&mut self) {
        if self.work_left() < self.rests_at {
            self.pace.rest().await;
            self.rests_at = self.work_left().saturating_sub(self.pace.slice());
        }
    }

    /// Something took as long as so many steps, and costs none.
    pub fn tire(&mut self, steps: usize) {
        self.rests_at = self.rests_at.saturating_add(steps);
    }

    /// What it shares with whoever drives it.
    pub fn pace(&self) -> &'e Pace {
        self.pace
    }

    /// Scans one text.
    pub async fn text(&mut self, text: &str, zone: Zone) -> TextReport {
        let reach = text.floor_char_boundary(self.left.scan_bytes);
        self.left.scan_bytes -= reach;
        let zones = if self.is_reply { Zones::REPLY } else { Zones::of(zone) };
        let mut report = self.whole(part(text, 0..reach), zones).await;
        report.complete &= reach == text.len();
        report
    }

    /// Scans neighbouring texts as one, and not out of the budget for text, which all of them have paid.
    pub async fn joined(&mut self, text: &str, zones: Zones) -> TextReport {
        let scorer = std::mem::take(&mut self.scorer);
        self.scratch.list_all(true);
        let report = self.whole(text, zones).await;
        self.scratch.list_all(false);
        self.scorer = scorer;
        report
    }

    /// Scans neighbouring texts as one for what is written as it is: no other view of them.
    pub fn joined_raw(&mut self, text: &str) -> TextReport {
        let mut report = TextReport { complete: true, ..TextReport::default() };
        self.scratch.list_all(true);
        let pass = self.engine.raw(text, Zones::GLUED, &mut self.scratch);
        self.scratch.list_all(false);
        report.complete &= !pass.overrun;
        let place = Lineage { origin: 0..text.len(), chain: Vec::new() };
        self.keep(&pass.matches, &Way::Same, 0, &place, None, &mut report);
        report.complete &= !invariant::is_broken();
        report
    }

    /// True when a rule looks at a zone.
    pub fn looks_at(&self, rule: RuleIndex, zone: Zone) -> bool {
        self.engine.looks_at(rule.0, Zones::of(zone))
    }

    /// Every view of one text, in order.
    async fn whole(&mut self, text: &str, zones: Zones) -> TextReport {
        let mut report = TextReport { complete: true, ..TextReport::default() };
        let place = Lineage { origin: 0..text.len(), chain: Vec::new() };
        self.decoded.clear();
        self.views(text, zones, &place, 0, &mut report).await;
        sorted::by(&mut report.findings, |a, b| {
            (a.span.start, a.rule, a.span.end, a.chain.len()).cmp(&(b.span.start, b.rule, b.span.end, b.chain.len()))
        });
        report.findings.dedup_by(|later, first| later.rule == first.rule && later.span == first.span);
        report.complete &= !invariant::is_broken();
        report
    }

    /// Everything about one text, in pieces.
    async fn views(&mut self, text: &str, zones: Zones, place: &Lineage, depth: usize, report: &mut TextReport) {
        let mut start = 0;
        while start < text.len() {
            let end = if text.len() - start <= PIECE + SHARED { text.len() } else { cut(text, start + PIECE) };
            let piece = part(text, start..end);
            let origin =
                if depth == 0 { place.origin.start + start..place.origin.start + end } else { place.origin.clone() };
            let here = Lineage { origin, chain: place.chain.clone() };
            self.piece(piece, zones, &here, depth, report).await;
            self.rest().await;
            if end == text.len() {
                break;
            }
            start = cut(text, end - SHARED);
        }
        if depth < DEPTH {
            self.encoded(text, zones, place, depth, &Way::Same, report).await;
        } else if self.reads(text.len(), report) {
            let decoded = decode::decode(text, &mut 65_536);
            self.reads(decoded.work, report);
            report.complete &= !decoded.found.iter().any(|found| says_something(&found.text));
        }
    }

    /// Pays for reading `bytes` bytes once; false: no work is left for it, and the text is not read whole.
    fn reads(&mut self, bytes: usize, report: &mut TextReport) -> bool {
        let is_paid = self.scratch.spend(bytes);
        report.complete &= is_paid;
        is_paid
    }

    /// True when this text came out of this stretch before, no deeper than now.
    fn has_read(&mut self, origin: &Range<usize>, depth: usize, text: &str) -> bool {
        let known = self.decoded.get(&(origin.start, origin.end)).into_iter().flatten();
        let mut alike = known.filter(|known| known.depth <= depth && known.text.len() == text.len());
        alike.any(|known| self.scratch.spend(text.len()) && known.text == text)
    }

    /// Notes that a text that came out of a stretch was read.
    fn note(&mut self, origin: &Range<usize>, depth: usize, text: String) {
        self.decoded.entry((origin.start, origin.end)).or_default().push(Reading { depth, text });
    }

    async fn piece(&mut self, text: &str, zones: Zones, place: &Lineage, depth: usize, report: &mut TextReport) {
        let pass = self.engine.raw(text, zones, &mut self.scratch);
        report.complete &= !pass.overrun;
        self.keep(&pass.matches, &Way::Same, depth, place, None, report);
        for refused in pass.refused.into_iter().filter(|_| depth == 0) {
            let (span, _) = lead(&Way::Same, depth, place, refused.span);
            report.refused.push((RuleIndex(refused.rule), span));
        }

        if !self.reads(text.len(), report) {
            return;
        }
        let n = normalise::normalise(text);
        report.complete &= !n.residue();
        self.reads(n.work() - text.len(), report);
        if n.seen().meets(CLEANS) && self.reads(n.work(), report) {
            if depth == 0 {
                for range in hides(text, &n) {
                    let origin = place.origin.start + range.start..place.origin.start + range.end;
                    let here = Lineage { origin, chain: place.chain.clone() };
                    self.cleaned(part(text, range), zones, &here, depth, report).await;
                }
            } else {
                self.cleaned(text, zones, place, depth, report).await;
            }
        }
        if self.engine.reads_normalised(zones) || self.scorer {
            self.rest().await;
            self.words(&n, zones, place, depth, report).await;
        }
    }

    /// The normalised text of a piece: rules, scorer, and other readings of it.
    async fn words(&mut self, n: &Normalised, zones: Zones, place: &Lineage, depth: usize, report: &mut TextReport) {
        let pass = self.engine.normalised(n.text(), zones, &mut self.scratch);
        report.complete &= !pass.overrun;
        self.keep(&pass.matches, &Way::Through(n), depth, place, None, report);
        let learned = self.learn(n.text(), 0, zones, report);
        if self.reads(n.text().len(), report)
            && let Some(reading) = normalise::leet(n.text())
        {
            self.leet(&reading, learned.as_ref(), zones, n, depth, place, report);
        }
        let whole = learned.map_or(0, |read| read.windows());
        let mut turned = |words: &[Range<usize>], name: &'static str, turn: &dyn Fn(&str) -> String, is_back: bool| {
            // As few such words in a part as a text has by accident are no disguise.
            let parts = beside::parts(n.text(), words).into_iter();
            for read in parts.filter(|read| engine::is_disguised(words, read)) {
                let way = if is_back { Way::Back(n, read.end) } else { Way::From(n, read.start) };
                self.reading(&turn(part(n.text(), read)), whole, zones, &way, name, depth, place, report);
            }
        };
        turned(&pass.rotated, "rot13", &|text| spell(text, engine::rot13), false);
        turned(&pass.mirrored, "atbash", &|text| spell(text, engine::atbash), false);
        turned(&pass.reversed, "reversed", &backwards, true);
        turned(&pass.reversed, "reversed", &|text| Vec::from_iter(text.split(' ').map(backwards)).join(" "), false);
    }

    /// The text without what hides keys and encodings in it.
    async fn cleaned(&mut self, text: &str, zones: Zones, place: &Lineage, depth: usize, report: &mut TextReport) {
        let clean = normalise::cleaned(text);
        if depth > 0 && self.has_read(&place.origin, depth, clean.text()) {
            return;
        }
        let raw = self.engine.raw(clean.text(), zones, &mut self.scratch);
        report.complete &= !raw.overrun;
        self.keep(&raw.matches, &Way::Through(&clean), depth, place, None, report);
        if depth < DEPTH {
            self.encoded(clean.text(), zones, place, depth, &Way::Through(&clean), report).await;
        }
    }

    /// Another reading of a part of a normalised text with so many windows: rules and scorer once more.
    #[allow(clippy::too_many_arguments, reason = "one place a view, no state of its own")]
    fn reading(
        &mut self,
        reading: &str,
        whole: usize,
        zones: Zones,
        way: &Way<'_>,
        name: &'static str,
        depth: usize,
        place: &Lineage,
        report: &mut TextReport,
    ) {
        let pass = self.engine.normalised(reading, zones, &mut self.scratch);
        report.complete &= !pass.overrun;
        self.keep(&pass.matches, way, depth, place, Some(name), report);
        self.learn(reading, whole, zones, report);
    }

    /// The reading of leetspeak: around the words that read otherwise.
    #[allow(clippy::too_many_arguments, reason = "one place a view, no state of its own")]
    fn leet(
        &mut self,
        reading: &Leet,
        learned: Option<&scorer::Read>,
        zones: Zones,
        n: &Normalised,
        depth: usize,
        place: &Lineage,
        report: &mut TextReport,
    ) {
        for read in beside::parts(&reading.text, &reading.words) {
            let mut pass = self.engine.normalised(part(&reading.text, read.clone()), zones, &mut self.scratch);
            report.complete &= !pass.overrun;
            pass.matches.retain_mut(|found| {
                found.span = found.span.start + read.start..found.span.end + read.start;
                // What has no such word in it was found as it is.
                let first = reading.words.partition_point(|word| word.end <= found.span.start);
                reading.words.get(first).is_some_and(|word| word.start < found.span.end)
            });
            self.keep(&pass.matches, &Way::Through(n), depth, place, Some("leet"), report);
        }
        // A text of addresses was not scored as it is.
        if learned.is_none() || matches!(without_hosts(&reading.text), Cow::Owned(_)) {
            self.learn(&reading.text, 0, zones, report);
        } else if let Some(learned) = learned.and_then(|read| read.again(reading)) {
            self.weigh(&learned, report);
        }
    }

    /// What a text decodes to.
    async fn encoded(
        &mut self,
        text: &str,
        zones: Zones,
        place: &Lineage,
        depth: usize,
        way: &Way<'_>,
        report: &mut TextReport,
    ) {
        if !self.reads(text.len(), report) {
            return;
        }
        let mut decoded = Decoded::none();
        for family in FAMILIES {
            decoded.with(family, text, &mut self.left.decoded_bytes);
            self.tire(text.len() / UNPAID);
            self.rest().await;
        }
        report.complete &= decoded.complete;
        self.reads(decoded.work, report);
        for found in decoded.found {
            let (origin, marks) = lead(way, depth, place, found.span);
            if self.has_read(&origin, depth + 1, &found.text) {
                continue;
            }
            let mut chain = place.chain.clone();
            chain.extend(marks.names());
            chain.push(found.name);
            let here = Lineage { origin: origin.clone(), chain };
            // What is in it may be as long as the text itself: a box of its own, and so a function that calls itself.
            Box::pin(self.views(&found.text, zones, &here, depth + 1, report)).await;
            self.note(&origin, depth + 1, found.text);
        }
    }

    /// Scores a text, or a part of one that has so many windows; `None`: it is not scored, or not as it is.
    fn learn(&mut self, normalised: &str, whole: usize, zones: Zones, report: &mut TextReport) -> Option<scorer::Read> {
        let voice = if zones.is_read() { Voice::Read } else { Voice::Said };
        if !self.scorer || !self.reads(normalised.len(), report) {
            return None;
        }
        let text = without_hosts(normalised);
        let (learned, read) = scorer::read(&text, whole, voice)?;
        self.weigh(&learned, report);
        matches!(text, Cow::Borrowed(_)).then_some(read)
    }

    fn weigh(&mut self, learned: &Learned, report: &mut TextReport) {
        self.reads(learned.work, report);
        report.learned = Some(report.learned.map_or(learned.probability, |most| most.max(learned.probability)));
    }

    fn keep(
        &self,
        matches: &[Match],
        way: &Way<'_>,
        depth: usize,
        place: &Lineage,
        name: Option<&'static str>,
        report: &mut TextReport,
    ) {
        for found in matches {
            let (span, marks) = lead(way, depth, place, found.span.clone());
            let mut chain = place.chain.clone();
            chain.extend(marks.names());
            chain.extend(name);
            report.findings.push(Finding { rule: RuleIndex(found.rule), span, chain });
        }
    }
}

/// The parts of a text in which something hides keys or encodings.
fn hides(text: &str, n: &Normalised) -> Vec<Range<usize>> {
    let mut places = n.places(CLEANS.without(Marks::COMPATIBILITY));
    let forms = n.places(Marks::COMPATIBILITY).into_iter();
    places.extend(forms.filter(|place| may_be_of_key(text, place)));
    places.sort_unstable_by_key(|place| place.start);
    beside::parts(text, &places)
}

/// How far a sign is looked for beside another.
const BESIDE: usize = 4;

/// Of other forms of letters and signs only those are read otherwise that keys could have: no full-width comma between two
/// Chinese words.
fn may_be_of_key(text: &str, place: &Range<usize>) -> bool {
    #[cfg(test)]
    if beside::whole::IS.get() {
        return true;
    }
    let form = part(text, place.clone());
    if !form.contains(normalise::is_key) {
        return false;
    }
    let is_sign = |c: char| matches!(c, '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}');
    let is_next = |c: char| !c.is_whitespace() && !is_sign(c);
    let could = |c: Option<char>| c.is_some_and(|c| c.is_ascii() || normalise::is_key(c));
    let before = part(text, 0..place.start).chars().rev().take(BESIDE).find(|c| is_next(*c));
    let after = part(text, place.end..text.len()).chars().take(BESIDE).find(|c| is_next(*c));
    !form.chars().all(is_sign) || could(before) || could(after)
}

/// The original bytes of a view's span, and what was done to them.
fn lead(way: &Way<'_>, depth: usize, place: &Lineage, span: Range<usize>) -> (Range<usize>, Marks) {
    let (span, marks) = match way {
        Way::Same => (span, Marks::NONE),
        Way::Through(n) => n.source(span),
        Way::From(n, start) => n.source(start + span.start..start + span.end),
        Way::Back(n, end) => n.source(end - span.end..end - span.start),
    };
    if depth == 0 {
        (place.origin.start + span.start..(place.origin.start + span.end).min(place.origin.end), marks)
    } else {
        (place.origin.clone(), marks)
    }
}

/// False for one character over and over: `33` is `3` in hexadecimal, and says so at any depth.
fn says_something(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    chars.any(|c| Some(c) != first)
}

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

fn spell(text: &str, letter: fn(u8) -> u8) -> String {
    text.chars()
        .map(|c| u8::try_from(c).map_or(c, |byte| if byte < 128 { char::from(letter(byte)) } else { c }))
        .collect()
}

/// What the learned scorer reads of a normalised text: all of it, but for a text of addresses and nothing else. There a
/// host's name is all that it would judge by, and a name asks for nothing. The rules read it as it is.
pub fn without_hosts(text: &str) -> Cow<'_, str> {
    let words = || text.split_whitespace();
    if words().next().is_none() || words().any(|word| behind_host(word).is_none()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(words().filter_map(behind_host).collect::<Vec<_>>().join(" "))
}

/// What follows the host in an address; `None`: the word is none.
fn behind_host(word: &str) -> Option<&str> {
    let (scheme, after) = word.split_once("://")?;
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let at = after.find(['/', '?', '#']).unwrap_or(after.len());
    after.get(at..).filter(|_| is_scheme && !scheme.is_empty())
}

/// A place to cut near `at`: after white space if there is any in the 256 bytes before it.
fn cut(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    let back = between(text.as_bytes(), 0..at).iter().rev().take(256).position(u8::is_ascii_whitespace);
    back.map_or(at, |back| at - back)
}
