//! A stream that outside judges are shown: its events wait behind a gate until the judges have answered.
//!
//! The gate stands behind the guard of the stream. An event whose texts are certain waits here until all of them were shown
//! and judged. One question is in flight at a time; what comes meanwhile is shown with the next.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bartizan_rules::words::Kind as Found;

use super::opinions::{BEFORE, Round, RoundText, Told, is_shown};
use super::running::Running;
use super::stream::{Outlet, Queued, StreamGuard};
use super::{Noted, ReplyGuard};
use crate::callout::{Answer, Call};
use crate::document::StreamedOpinions;
use crate::guard::{OpinionIndex, judge_reply};
use crate::host::Timestamp;
use crate::protocol::reply::{Channel, ReplyParts};
use crate::protocol::{Json, Path, Places};
use crate::reason::{Denial, Reason};
use crate::redact::Watch;
use crate::scan::TextReport;
use crate::sorted;
use crate::transaction::WorkerState;

/// A part of a stream is shown when it has this many bytes of text.
const PART: usize = 1024;

/// The gate of one stream.
#[derive(Debug)]
pub(super) struct Gate {
    /// Nothing leaves before all is judged.
    is_whole: bool,
    /// Every event is a message by itself, and the stream may never end.
    by_message: bool,
    /// The most bytes of new text that are shown at a time: half of what judges take, because placeholders may be longer
    /// than what they stand for, and the end of what was shown is shown again.
    most: usize,
    /// The most bytes of that end.
    most_tail: usize,
    /// How far each running text was shown.
    shown: BTreeMap<Running, Shown>,
    round: Option<Round<Target>>,
    /// Events at the front of the queue that were judged.
    passed: usize,
    /// Events behind those that are shown next, or are being shown, and their bytes of text.
    ready: usize,
    ready_bytes: usize,
    /// A text has ended: what is ready is shown, however short.
    pub(super) flush: bool,
    /// The stream has ended.
    pub(super) ended: bool,
    /// All is judged and may leave.
    is_open: bool,
}

/// How far a running text was shown.
#[derive(Debug, Default)]
struct Shown {
    to: usize,
    /// The end of what was shown, masked.
    tail: String,
}

/// Where a text of a round is.
#[derive(Clone, Debug)]
enum Target {
    /// In a running text, from this byte on.
    Piece(Running, usize),
    /// In an event, by its place among those that are shown.
    Whole(usize, Path),
}

/// An event as it was before its whole texts were judged, for when something in them is marked or cut out.
#[derive(Debug)]
pub(super) struct Before {
    data: Vec<u8>,
    parts: ReplyParts,
    /// Texts that were cut already.
    cut: BTreeSet<Path>,
    /// How the answer's last text ended.
    trail: Watch,
}

impl Gate {
    /// The gate of a stream; `None`: its guards ask nobody about it.
    pub(super) fn of(guard: &ReplyGuard) -> Option<Gate> {
        let by_message = guard.is_of_tools();
        let is_whole = match guard.streamed_opinions()? {
            StreamedOpinions::Whole => !by_message,
            StreamedOpinions::Parts => false,
            StreamedOpinions::Skip => return None,
        };
        Some(Gate {
            is_whole,
            by_message,
            most: guard.most_shown() / 2,
            most_tail: BEFORE.min(guard.most_shown() / 4),
            shown: BTreeMap::new(),
            round: None,
            passed: 0,
            ready: 0,
            ready_bytes: 0,
            flush: false,
            ended: false,
            is_open: false,
        })
    }

    /// True when the first event may leave: it counts as gone then.
    pub(super) fn lets_go(&mut self) -> bool {
        let goes = self.passed > 0 && (!self.is_whole || self.is_open);
        self.passed -= usize::from(goes);
        goes
    }

    /// A running text begins anew.
    pub(super) fn begin(&mut self, running: &Running) {
        self.shown.remove(running);
    }

    /// Forgets running texts that are no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Running) -> bool) {
        self.shown.retain(|running, _| is_there(running));
    }

    /// What of a running text has left is needed no more, but for what the next part is scanned with.
    pub(super) fn needs(before: usize) -> usize {
        before.saturating_sub(BEFORE)
    }

    fn pass(&mut self) {
        self.passed += std::mem::take(&mut self.ready);
        self.ready_bytes = 0;
    }
}

impl Before {
    /// `None`: the event has no whole text that is shown.
    pub(super) fn of<'c>(
        guard: &ReplyGuard,
        json: &Json<'_>,
        parts: &ReplyParts,
        cut: impl Iterator<Item = &'c Path>,
    ) -> Option<Box<Before>> {
        guard.whole_texts(json, parts).next()?;
        let (data, parts, trail) = (json.to_bytes(), parts.clone(), guard.trail.carried());
        Some(Box::new(Before { data, parts, cut: sorted::set(cut.cloned()), trail }))
    }
}

impl StreamGuard {
    /// True when outside judges are shown the stream.
    pub(in super::super) fn is_gated(&self) -> bool {
        self.gate.is_some()
    }

    /// Goes on as far as judges let it, and gives the next question. `answer`: the one to the question in flight.
    ///
    /// # Errors
    /// Why the stream ends here. What may still go on is in the outlet.
    pub(in super::super) fn consult(
        &mut self,
        answer: Option<&Answer>,
        vm: &mut WorkerState,
        outlet: &mut Outlet<'_>,
    ) -> Result<Option<(OpinionIndex, Call)>, Reason> {
        let asked = self.consulted(answer, vm, outlet);
        if let Err(reason) = &asked {
            self.fail(*reason, outlet);
        }
        asked
    }

    fn consulted(
        &mut self,
        answer: Option<&Answer>,
        vm: &mut WorkerState,
        outlet: &mut Outlet<'_>,
    ) -> Result<Option<(OpinionIndex, Call)>, Reason> {
        let policy = Arc::clone(&self.guard.policy);
        let now = outlet.now;
        if let (Some(answer), Some(gate)) = (answer, &mut self.gate) {
            gate.round.as_mut().ok_or(Reason::Internal)?.answered(answer, &policy, vm, now)?;
        }
        loop {
            let Some(gate) = &mut self.gate else { return Ok(None) };
            let Some(mut round) = gate.round.take() else {
                if self.begin_round()? {
                    continue;
                }
                self.release(outlet.out)?;
                return Ok(None);
            };
            if round.is_asking() {
                gate.round = Some(round);
                return Ok(None);
            }
            let asked = round.ask(&policy, &self.guard.guards(), None, vm, now);
            if asked.is_some() {
                gate.round = Some(round);
                return Ok(asked);
            }
            self.conclude(&round, now, outlet.noted)?;
            self.release(outlet.out)?;
        }
    }

    /// Begins to show the events that are ready, where it is time. True: there is more to do.
    fn begin_round(&mut self) -> Result<bool, Reason> {
        let Some(gate) = &mut self.gate else { return Ok(false) };
        let mut is_full = false;
        while let Some(queued) = self.queue.get(gate.passed + gate.ready) {
            let certain = |(running, range, _): &(Running, Range<usize>, Path)| {
                self.channels.get(running).is_none_or(|state| range.end <= state.text.certain())
            };
            is_full = gate.ready_bytes > 0 && gate.ready_bytes.saturating_add(queued.text_bytes) > gate.most;
            if is_full || !queued.pieces.iter().all(certain) {
                break;
            }
            gate.ready += 1;
            gate.ready_bytes = gate.ready_bytes.saturating_add(queued.text_bytes);
        }
        // At the end every text is certain: nothing may wait for ever.
        if gate.ended && !is_full && gate.passed + gate.ready < self.queue.len() {
            return Err(Reason::Internal);
        }
        let is_long = gate.ready_bytes >= PART || gate.flush;
        let is_due = gate.ended || is_full || gate.by_message || !gate.is_whole && is_long;
        if gate.ready == 0 || gate.ready_bytes > 0 && !is_due {
            gate.is_open = gate.ended && gate.passed >= self.queue.len();
            return Ok(false);
        }
        gate.flush = false;
        let texts = if gate.ready_bytes > 0 { self.texts()? } else { Vec::new() };
        let Some(gate) = &mut self.gate else { return Ok(false) };
        if texts.is_empty() {
            gate.pass();
        } else {
            let guard = &self.guard;
            gate.round = Some(Round::new(&guard.policy, guard.zone(), texts, (false, &|_| false)));
        }
        Ok(true)
    }

    /// The texts of the events that are ready.
    fn texts(&mut self) -> Result<Vec<RoundText<Target>>, Reason> {
        let Some(gate) = &self.gate else { return Ok(Vec::new()) };
        let mut passed: Vec<(Running, usize)> = Vec::new();
        let ready = || self.queue.iter().skip(gate.passed).take(gate.ready);
        let mut ends: BTreeMap<Running, usize> = BTreeMap::new();
        for (running, range, _) in ready().flat_map(|queued| &queued.pieces) {
            let end = ends.entry(*running).or_default();
            *end = range.end.max(*end);
        }
        let mut texts: Vec<RoundText<Target>> = Vec::new();
        for (running, to) in ends {
            let (Some(state), shown) = (self.channels.get(&running), gate.shown.get(&running)) else { continue };
            let from = shown.map_or(0, |shown| shown.to);
            if to <= from {
                continue;
            }
            // Somewhat before it is scanned too: a value may begin there.
            let earliest = from.saturating_sub(BEFORE);
            let starts = (earliest..from.min(earliest + 4)).chain([from]);
            let mut found = starts.filter_map(|start| Some((start, state.text.raw(&(start..to))?)));
            // What is forgotten can't be shown.
            let (start, text) = found.next().ok_or(Reason::Internal)?;
            if !is_shown(running.0.kind, text) {
                passed.push((running, to));
                continue;
            }
            let mut one = RoundText::new(Target::Piece(running, start), state.path.clone(), text.to_owned());
            one.before = from - start;
            let parted = [from, to].into_iter().filter_map(|at| state.text.changed_across(at));
            one.cut = parted.map(|span| span.start.max(start) - start..span.end.min(to) - start).collect();
            one.tail = shown.map(|shown| shown.tail.clone()).unwrap_or_default();
            texts.push(one);
        }
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        known.extend(
            texts.iter().enumerate().filter(|(_, one)| one.before == 0).map(|(at, one)| (one.text.clone(), at)),
        );
        let depth = self.guard.policy.limits.max_json_depth;
        let route = self.guard.route().ok_or(Reason::Internal)?;
        for (number, before) in ready().enumerate().filter_map(|(at, queued)| Some((at, queued.before.as_ref()?))) {
            let json = Json::parse_reply(&before.data, depth).map_err(|_| Reason::ReplyUnreadable)?;
            for (one, text) in self.guard.whole_texts(&json, &before.parts) {
                let target = Target::Whole(number, one.path.clone());
                // Where a format says the same text twice, it is shown once.
                if let Some(same) = known.get(text).and_then(|at| texts.get_mut(*at)) {
                    same.targets.push(target);
                    continue;
                }
                known.insert(text.to_owned(), texts.len());
                let pointer = json.pointer(&one.path, &|key| route.protocol.knows_key(key));
                texts.push(RoundText::new(target, pointer, text.to_owned()));
            }
        }
        if let Some(gate) = &mut self.gate {
            gate.shown.extend(passed.into_iter().map(|(running, to)| (running, Shown { to, tail: String::new() })));
        }
        Ok(texts)
    }

    /// All judges have answered: the events that they were shown may leave, changed or not.
    fn conclude(&mut self, round: &Round<Target>, now: Timestamp, noted: &mut Noted) -> Result<(), Reason> {
        let policy = Arc::clone(&self.guard.policy);
        let ready = self.gate.as_ref().map_or(0, |gate| gate.ready);
        let wanted = match round.conclude(&policy, &self.guard.guards(), noted) {
            Ok(wanted) => wanted,
            // Each of its messages is one by itself.
            Err(reason) if self.http_sse.is_some() => {
                (0..ready).for_each(|at| self.withhold(at, reason, noted));
                Vec::new()
            }
            Err(reason) => return Err(reason),
        };
        let mut told: BTreeMap<usize, Told> = BTreeMap::new();
        let mut withheld: BTreeSet<usize> = BTreeSet::new();
        for (one, wanted) in round.texts.iter().zip(wanted) {
            for target in &one.targets {
                match target {
                    // Some of a running text may have left.
                    Target::Piece(..) if wanted.blocked || wanted.removed => return Err(Reason::ScanOpinion),
                    Target::Whole(at, _) if wanted.blocked && self.http_sse.is_some() => {
                        withheld.insert(*at);
                    }
                    Target::Whole(..) if wanted.blocked => return Err(Reason::ScanOpinion),
                    Target::Whole(at, path) if wanted.removed => {
                        told.entry(*at).or_default().removed.insert(path.clone());
                    }
                    Target::Whole(at, path) if !wanted.marks.is_empty() => {
                        told.entry(*at).or_default().marks.insert(path.clone(), wanted.marks.clone());
                    }
                    Target::Whole(..) => {}
                    Target::Piece(running, start) => {
                        if let Some(gate) = &mut self.gate {
                            let tail = one.next_tail(gate.most_tail);
                            gate.shown.insert(*running, Shown { to: start + one.text.len(), tail });
                        }
                        self.mark(running, (*start, &one.text), &wanted.marks, now, noted)?;
                    }
                }
            }
        }
        for (at, told) in told {
            self.judge_again(at, told, now, noted)?;
        }
        withheld.into_iter().for_each(|at| self.withhold(at, Reason::ScanOpinion, noted));
        if let Some(gate) = &mut self.gate {
            gate.pass();
        }
        Ok(())
    }

    /// Masks what judges mark in a running text.
    fn mark(
        &mut self,
        running: &Running,
        (start, text): (usize, &str),
        marks: &[(Range<usize>, Found)],
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<(), Reason> {
        if marks.is_empty() {
            return Ok(());
        }
        let policy = Arc::clone(&self.guard.policy);
        let report = TextReport { marked: marks.to_vec(), complete: true, ..TextReport::default() };
        let (targets, judgement) =
            judge_reply(&policy.scanner, &self.guard.guards(), self.guard.route, report, false, now);
        noted.notes.add_shadow(judgement.shadow.iter().copied());
        if let Some(reason) = judgement.denial() {
            return Err(reason);
        }
        let masked = self.guard.masker.mask(text, &targets);
        let state = self.channels.get_mut(running).ok_or(Reason::Internal)?;
        for edit in &masked.edits {
            let new = masked.text.get(edit.after.clone()).ok_or(Reason::Internal)?;
            state.text.put(start + edit.before.start..start + edit.before.end, new);
        }
        noted.masked += masked.edits.len() as u64;
        Ok(())
    }

    /// The event of those that are ready at this place.
    fn event_at(&mut self, at: usize) -> Option<&mut Queued> {
        let passed = self.gate.as_ref()?.passed;
        self.queue.get_mut(passed.checked_add(at)?)
    }

    /// Judges the whole texts of an event once more, with what judges want done to them.
    fn judge_again(&mut self, at: usize, told: Told, now: Timestamp, noted: &mut Noted) -> Result<(), Reason> {
        let before = self.event_at(at).and_then(|queued| queued.before.take()).ok_or(Reason::Internal)?;
        let Before { data, parts, cut, trail } = *before;
        let depth = self.guard.policy.limits.max_json_depth;
        let mut json = Json::parse_reply(&data, depth).map_err(|_| Reason::ReplyUnreadable)?;
        let mut left = Places::default();
        noted.masked += (told.removed.len() + told.marks.len()) as u64;
        self.guard.told = told;
        self.guard.remove_told(&mut left);
        let marked: BTreeSet<Path> = sorted::set(self.guard.told.marks.keys().cloned());
        let picks = |one: &crate::protocol::reply::ReplyText| {
            let is_new = !cut.contains(&one.path) || marked.contains(&one.path) || left.contains_key(&one.path);
            one.is_key || !one.delta && is_new
        };
        let stream = &self.stream;
        let tool = |channel: &Channel| stream.tool_of(channel).map(str::to_owned);
        // What is found was found before.
        let mut scratch = Noted::default();
        let now_ends = std::mem::replace(&mut self.guard.trail, trail);
        let done = self.guard.fixed_texts(&mut json, &parts, &picks, &left, &tool, now, &mut scratch);
        self.guard.trail = now_ends;
        self.guard.told = Told::default();
        done?;
        for path in &parts.echoes {
            if let Some(place) = json.at_mut(path) {
                *place = Json::Null;
            }
        }
        let fixed = json.to_bytes();
        self.event_at(at).ok_or(Reason::Internal)?.fixed = Some(fixed);
        Ok(())
    }

    /// An error goes on in the place of a message. What a server asks or tells unasked is left out.
    fn withhold(&mut self, at: usize, reason: Reason, noted: &mut Noted) {
        noted.withheld = Some(reason);
        let depth = self.guard.policy.limits.max_json_depth;
        let protocol = self.guard.route().map(|route| route.protocol.clone());
        let teller = self.teller.clone();
        let Some(queued) = self.event_at(at) else { return };
        let data = queued.frame.data().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let json = Json::parse_reply(&data, depth).ok();
        let id = json
            .as_ref()
            .filter(|json| json.get("method").is_none())
            .and_then(|json| protocol.as_ref()?.request_id(json));
        queued.pieces.clear();
        queued.is_dropped = id.is_none();
        queued.fixed = id
            .zip(protocol)
            .map(|(id, protocol)| protocol.error_body(&teller.told(&Denial::of_reply(reason), Some(&id))));
    }
}
