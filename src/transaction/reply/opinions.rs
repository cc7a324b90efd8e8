//! Outside judges of a reply: which texts they are shown, and what follows from their answers.
//!
//! A [`Round`] holds the texts of a whole reply, or of the part of a stream that is shown at a time. Its judges are asked one
//! after the other. What one says can refuse the reply, cut a text out or mask parts of it. A score is lowered only in what a
//! server of tools sends, because attacks are looked for in no other reply.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bartizan_rules::words::Kind as Found;

use super::{Noted, ReplyGuard};
use crate::callout::{Answer, Call};
use crate::consult::opinion::{Asked, Exhibit, Heard, Opinion, OpinionPolicy, Outcome, Question, Shown, TextView};
use crate::document::StreamedOpinions;
use crate::enums::{Mode, Zone};
use crate::guard::{Act, GuardPolicy, OpinionIndex, Place, entry, strictest};
use crate::host::Timestamp;
use crate::policy::Policy;
use crate::protocol::reply::{ReplyParts, ReplyText, TextKind};
use crate::protocol::{Json, Path, Places, Position};
use crate::reason::Reason;
use crate::redact::Label;
use crate::scan::Text;
use crate::sorted;
use crate::transaction::WorkerState;
use crate::transaction::stages::{TextNote, noted};

/// Bytes in front of a text that are scanned with it, and that a judge is shown again.
pub(super) const BEFORE: usize = 256;

/// The rule of a finding that a judge's score makes.
const RULE: &str = "output.opinion";

/// A text that judges are asked about.
#[derive(Debug)]
pub(super) struct RoundText<T> {
    /// Where it is: the same text may be at several places.
    pub(super) targets: Vec<T>,
    /// Where the record says that it is.
    pub(super) pointer: String,
    /// The text, and how many bytes of it came before and were judged.
    pub(super) text: String,
    pub(super) before: usize,
    /// What was shown before it, masked.
    pub(super) tail: String,
    /// Values that begin or end beyond the text, as far as they are in it. Cut so, no scan knows them.
    pub(super) cut: Vec<Range<usize>>,
    note: TextNote,
}

impl<T> RoundText<T> {
    pub(super) fn new(target: T, pointer: String, text: String) -> RoundText<T> {
        let (before, tail, note) = (0, String::new(), TextNote::default());
        RoundText { targets: vec![target], pointer, text, before, tail, cut: Vec::new(), note }
    }

    fn shown(&self, is_raw: bool) -> Shown {
        let new = self.text.get(self.before..).unwrap_or_default();
        let of_new = |(span, label): &(Range<usize>, Label)| {
            let end = span.end.checked_sub(self.before).filter(|end| *end > 0)?;
            Some((span.start.saturating_sub(self.before)..end, *label))
        };
        let cut: Vec<(Range<usize>, Label)> = self.cut.iter().map(|span| (span.clone(), Label::Secret)).collect();
        let spans: Vec<(Range<usize>, Label)> = self.note.sensitive.iter().chain(&cut).filter_map(of_new).collect();
        let shown = if is_raw { Shown::raw(new) } else { Shown::masked(new, &spans) };
        shown.behind(&self.tail)
    }

    /// The end of what is shown of it, for the next part.
    pub(super) fn next_tail(&self, most: usize) -> String {
        let shown = self.shown(false).text;
        shown.get(shown.ceil_char_boundary(shown.len().saturating_sub(most))..).unwrap_or_default().to_owned()
    }
}

/// Texts of a reply, and what judges say of them. `T`: where a text is.
#[derive(Debug)]
pub(in super::super) struct Round<T> {
    pub(super) texts: Vec<RoundText<T>>,
    zone: Zone,
    heard: Heard,
    question: Option<Box<Question>>,
    /// Every text was scanned to its end.
    is_scanned: bool,
    /// What the scorer found can be let go.
    may_lower: bool,
}

/// What judges want done to one text.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// It is cut out.
    pub(super) removed: bool,
    /// It refuses the reply.
    pub(super) blocked: bool,
    /// Parts that are masked, in bytes of the text.
    pub(super) marks: Vec<(Range<usize>, Found)>,
    /// The scorer's score is this one.
    pub(super) lowered: Option<f32>,
}

/// What judges want done to the texts of one message.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) marks: Places<Vec<(Range<usize>, Found)>>,
    pub(super) removed: BTreeSet<Path>,
    /// By the number of the text among the message's.
    pub(super) lowered: BTreeMap<usize, f32>,
}

impl Told {
    fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.removed.is_empty() && self.lowered.is_empty()
    }
}

/// What was heard of one judge, for the record.
#[derive(Clone, Debug)]
pub(in super::super) struct Tally {
    pub(in super::super) name: String,
    pub(in super::super) outcome: Outcome,
    pub(in super::super) score: Option<u8>,
    pub(in super::super) millis: u64,
    pub(in super::super) remembered: bool,
    pub(in super::super) parts: u32,
}

impl Noted {
    /// Adds what was heard to what was heard of earlier parts.
    fn add_opinions(&mut self, policy: &Policy, opinions: &[Opinion]) {
        for opinion in opinions {
            let Opinion { of, outcome, score, remembered, millis, .. } = *opinion;
            let name = name_of(policy, of);
            match self.opinions.iter_mut().find(|tally| tally.name == name) {
                Some(tally) => {
                    tally.outcome = tally.outcome.and(outcome);
                    tally.score = tally.score.max(score);
                    tally.millis = tally.millis.saturating_add(millis);
                    tally.remembered &= remembered;
                    tally.parts = tally.parts.saturating_add(1);
                }
                None => self.opinions.push(Tally { name, outcome, score, millis, remembered, parts: 1 }),
            }
        }
    }

    /// Nobody is shown the stream, as the policy says.
    pub(super) fn skip_opinions(&mut self, policy: &Policy, judges: impl IntoIterator<Item = OpinionIndex>) {
        let (outcome, score, millis, remembered, parts) = (Outcome::Skipped, None, 0, false, 1);
        let skipped = |of| Tally { name: name_of(policy, of), outcome, score, millis, remembered, parts };
        self.opinions.extend(judges.into_iter().map(skipped));
    }
}

fn name_of(policy: &Policy, index: OpinionIndex) -> String {
    policy.opinion(index).map_or_else(String::new, |opinion| opinion.name.clone())
}

/// The judges that the guards ask about replies.
fn judges(guards: &[&GuardPolicy]) -> BTreeSet<OpinionIndex> {
    let enforcing = guards.iter().filter(|guard| guard.mode == Mode::Enforce);
    sorted::set(enforcing.flat_map(|guard| guard.output.opinions.judges.iter().copied()))
}

/// True if every guard that enforces asks this judge: only then it may lower a score.
fn is_everyones(guards: &[&GuardPolicy], index: OpinionIndex) -> bool {
    let mut enforcing = guards.iter().filter(|guard| guard.mode == Mode::Enforce);
    enforcing.all(|guard| guard.output.opinions.judges.contains(&index))
}

/// True for a text of this kind that judges are shown. Ids and names are none: nothing is known of their kind, and they are one
/// word of ASCII. JSON and HTML may be one, too, and say much.
pub(super) fn is_shown(kind: TextKind, text: &str) -> bool {
    let text = text.trim();
    let is_word = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<".contains(&byte));
    !text.is_empty() && (kind != TextKind::Other || !is_word)
}

impl<T> Round<T> {
    /// Texts of one zone. They are scanned, so that what judges are shown is masked; `is_aside`: a text is none of the
    /// conversation's.
    pub(super) fn new(
        policy: &Policy,
        zone: Zone,
        mut texts: Vec<RoundText<T>>,
        (may_lower, is_aside): (bool, &dyn Fn(usize) -> bool),
    ) -> Round<T> {
        let scanned: Vec<Text<'_>> = texts.iter().map(|one| Text { zone, text: &one.text }).collect();
        let budget = policy.limits.budget();
        let report = policy.scanner.scan_conversation(None, &scanned, is_aside, budget);
        let of_reply = policy.scanner.scan_data(&scanned, budget);
        let place = Place { zone, position: Position::Current, is_key: false, trusted: true };
        let places = vec![place; texts.len()];
        let is_scanned = report.texts.iter().chain(&of_reply.texts).all(|text| text.complete);
        let (notes, more) = (noted(policy, &report, &places), noted(policy, &of_reply, &places));
        let is_scanned = is_scanned && notes.len() == texts.len() && more.len() == texts.len();
        for ((one, note), more) in texts.iter_mut().zip(notes).zip(more) {
            one.note = note;
            one.note.sensitive.extend(more.sensitive);
        }
        Round { texts, zone, heard: Heard::default(), question: None, is_scanned, may_lower }
    }

    /// True while a judge's answer is awaited.
    pub(super) fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// Asks the next judge. `None`: all have answered. `local`: why the reply is refused without them.
    pub(in super::super) fn ask(
        &mut self,
        policy: &Policy,
        guards: &[&GuardPolicy],
        local: Option<Reason>,
        vm: &mut WorkerState,
        now: Timestamp,
    ) -> Option<(OpinionIndex, Call)> {
        for index in judges(guards) {
            let Some(opinion) = policy.opinion(index).filter(|_| !self.heard.has(index)) else { continue };
            let exhibits = self.exhibits(opinion, is_everyones(guards, index));
            // What is refused anyway asks nobody.
            let may_change = local.is_none() || exhibits.iter().any(|exhibit| exhibit.may_lower);
            if !may_change || !exhibits.iter().any(|exhibit| opinion.when.contains(&exhibit.score)) {
                continue;
            }
            let key = vm.hash_key().clone();
            let asked = match vm.desk(index).filter(|_| self.is_scanned) {
                Some(desk) => opinion.ask(index, exhibits, true, desk, (&policy.digest, &key, now)),
                None => Asked::Known(opinion.not_shown(index, &exhibits)),
            };
            match asked {
                Asked::Known(opinion) => self.heard.add(opinion),
                Asked::Ask(question) => {
                    let call = question.call.clone();
                    self.question = Some(question);
                    return Some((index, call));
                }
            }
        }
        None
    }

    /// Takes the answer to the question in flight.
    pub(in super::super) fn answered(
        &mut self,
        answer: &Answer,
        policy: &Policy,
        vm: &mut WorkerState,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let question = self.question.take().ok_or(Reason::Internal)?;
        let asked = policy.opinion(question.opinion).ok_or(Reason::Internal)?;
        let desk = vm.desk(question.opinion).ok_or(Reason::Internal)?;
        self.heard.add(asked.answered(&question, answer, desk, now));
        Ok(())
    }

    fn exhibits(&self, opinion: &OpinionPolicy, is_everyones: bool) -> Vec<Exhibit> {
        let exhibit = |(index, one): (usize, &RoundText<T>)| {
            let note = &one.note;
            if opinion.above.is_some_and(|above| note.score <= above) {
                return None;
            }
            let may_lower = self.may_lower
                && is_everyones
                && note.is_scorers
                && note.score > 0
                && opinion.when.contains(&note.score);
            Some(Exhibit { index, shown: one.shown(opinion.raw), score: note.score, may_lower })
        };
        self.texts.iter().enumerate().filter_map(exhibit).collect()
    }

    /// All have answered: what they want done to each text, side by side with the texts.
    ///
    /// # Errors
    /// An answer is missing that the policy wants.
    pub(super) fn conclude(
        &self,
        policy: &Policy,
        guards: &[&GuardPolicy],
        noted: &mut Noted,
    ) -> Result<Vec<Wanted>, Reason> {
        noted.add_opinions(policy, self.heard.all());
        if let Some(reason) = self.heard.refusal() {
            return Err(reason);
        }
        let views = self.heard.by_text();
        let mut wanted = Vec::with_capacity(self.texts.len());
        for (index, one) in self.texts.iter().enumerate() {
            let views: &[(OpinionIndex, &TextView)] = views.get(&index).map_or(&[], Vec::as_slice);
            let act = strictest(guards, |guard| {
                let asks = |of: &OpinionIndex| guard.output.opinions.judges.contains(of);
                let score = views.iter().filter(|(of, _)| asks(of)).filter_map(|(_, view)| view.score).max()?;
                (score >= guard.injection.threshold(self.zone)).then(|| guard.output.opinions.action.into())
            });
            let act = act.act(Reason::ScanOpinion, &mut noted.notes.shadow);
            if let Some(act) = act {
                let span = one.before..one.text.len();
                noted.notes.findings.push(entry(RULE, "reply", one.pointer.clone(), span, Vec::new(), act));
            }
            let scores = || views.iter().filter_map(|(_, view)| Some((view.score?, view.may_lower)));
            let lowers = one.note.is_scorers && scores().next().is_some() && scores().all(|(_, may)| may);
            let highest = scores().map(|(score, _)| score).max().filter(|score| lowers && *score < one.note.score);
            let marks = views.iter().flat_map(|(_, view)| &view.marked).map(|(span, kind)| {
                let at = |at: usize| at.saturating_add(one.before);
                (at(span.start)..at(span.end), *kind)
            });
            wanted.push(Wanted {
                removed: act == Some(Act::Replace),
                blocked: act == Some(Act::Block),
                marks: marks.collect(),
                lowered: highest.map(|score| f32::from(score) / 100.0),
            });
        }
        Ok(wanted)
    }
}

/// A text of a whole message: its place, and its number among the message's.
pub(in super::super) type WholeText = (Path, usize);

impl ReplyGuard {
    pub(in super::super) fn guards(&self) -> Vec<&GuardPolicy> {
        self.guards.iter().filter_map(|index| self.policy.guard(*index)).collect()
    }

    /// How streams are shown to judges: the strictest of the guards that ask some. `None`: no guard does.
    pub(super) fn streamed_opinions(&self) -> Option<StreamedOpinions> {
        let enforcing = self.guards().into_iter().filter(|guard| guard.mode == Mode::Enforce);
        let asking = enforcing.map(|guard| &guard.output.opinions).filter(|opinions| !opinions.judges.is_empty());
        asking.map(|opinions| opinions.streams).min()
    }

    /// Notes that judges are shown nothing of a stream, where the policy says so.
    pub(in super::super) fn note_skipped(&self, noted: &mut Noted) {
        if self.streamed_opinions() == Some(StreamedOpinions::Skip) {
            noted.skip_opinions(&self.policy, self.judges());
        }
    }

    /// The judges that are asked about the reply.
    pub(super) fn judges(&self) -> BTreeSet<OpinionIndex> {
        judges(&self.guards())
    }

    /// The most bytes of text that all of them are shown at a time.
    pub(super) fn most_shown(&self) -> usize {
        let judges = self.judges();
        judges.iter().filter_map(|index| self.policy.opinion(*index)).map(OpinionPolicy::max_bytes).min().unwrap_or(0)
    }

    /// The kind of a text. What a server of tools sends is of none that is known.
    fn kind_of(&self, one: &ReplyText) -> TextKind {
        if self.is_of_tools() { TextKind::Other } else { one.channel.kind }
    }

    pub(super) fn zone(&self) -> Zone {
        if self.is_of_tools() { Zone::Tool } else { Zone::Assistant }
    }

    /// The texts of a whole reply, for judges. `None`: nobody is asked, or there is nothing to show.
    pub(in super::super) fn round(&self, body: &[u8]) -> Result<Option<Round<WholeText>>, Reason> {
        if self.judges().is_empty() {
            return Ok(None);
        }
        let policy = &self.policy;
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let (json, parts) = if self.is_page {
            let page = Json::String(String::from_utf8_lossy(body));
            let parts = route.protocol.read_reply(route.operation, &page);
            (page, parts)
        } else {
            let (json, parts, _) = self.read(body)?;
            (json, parts)
        };
        let hidden = self.hidden(&json, &parts);
        let knows = |key: &str| route.protocol.knows_key(key);
        let mut texts: Vec<RoundText<WholeText>> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, one) in parts.texts.iter().enumerate() {
            let Some(text) = super::text_of(&json, one).filter(|text| !one.is_key && is_shown(self.kind_of(one), text))
            else {
                continue;
            };
            if hidden.holding(&one.path).is_some() {
                continue;
            }
            // Where a format says the same text twice, it is shown once.
            if let Some(same) = known.get(text).and_then(|at| texts.get_mut(*at)) {
                same.targets.push((one.path.clone(), number));
                continue;
            }
            known.insert(text, texts.len());
            let pointer = json.pointer(&one.path, &knows);
            texts.push(RoundText::new((one.path.clone(), number), pointer, text.to_owned()));
        }
        if texts.is_empty() {
            return Ok(None);
        }
        let aside: Vec<bool> = (texts.iter())
            .map(|one| one.targets.iter().all(|(path, _)| route.protocol.is_aside(&json, path, false)))
            .collect();
        let is_aside = |at: usize| self.is_of_tools() && aside.get(at).copied().unwrap_or(false);
        Ok(Some(Round::new(policy, self.zone(), texts, (self.is_of_tools(), &is_aside))))
    }

    /// Carries out what judges want done to a whole reply. `judged` is what came of it without them, and `noted` what was
    /// noted then.
    ///
    /// # Errors
    /// Why the reply can't go on.
    pub(in super::super) fn carry_out(
        &mut self,
        round: &Round<WholeText>,
        body: &[u8],
        judged: Result<Option<Vec<u8>>, Reason>,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<Option<Vec<u8>>, Reason> {
        let wanted = round.conclude(&self.policy, &self.guards(), noted)?;
        let mut told = Told::default();
        let mut is_blocked = false;
        for (one, wanted) in round.texts.iter().zip(wanted) {
            is_blocked |= wanted.blocked;
            for (path, number) in &one.targets {
                if wanted.removed {
                    told.removed.insert(path.clone());
                }
                if !wanted.marks.is_empty() {
                    told.marks.insert(path.clone(), wanted.marks.clone());
                }
                told.lowered.extend(wanted.lowered.map(|score| (*number, score)));
            }
        }
        if is_blocked {
            return judged.and(Err(Reason::ScanOpinion));
        }
        if told.is_empty() {
            return judged;
        }
        // All is judged once more: what was found before is found again.
        let opinions = std::mem::take(&mut noted.opinions);
        let rule = |finding: &crate::audit::FindingEntry| finding.rule == RULE;
        let findings = std::mem::take(&mut noted.notes.findings).into_iter().filter(rule).collect();
        let shadow = std::mem::take(&mut noted.notes.shadow);
        *noted = Noted { opinions, ..Noted::default() };
        (noted.notes.findings, noted.notes.shadow) = (findings, shadow);
        self.forget();
        self.told = told;
        let judged = self.whole(body, now, noted);
        self.told = Told::default();
        // What it cost was noted before.
        (noted.spent, noted.model) = Default::default();
        judged
    }
}

impl ReplyGuard {
    /// The texts of one event of a stream that are whole, for judges.
    pub(super) fn whole_texts<'j>(
        &'j self,
        json: &'j Json<'_>,
        parts: &'j ReplyParts,
    ) -> impl Iterator<Item = (&'j ReplyText, &'j str)> {
        let texts = parts.texts.iter().filter(|one| !one.delta && !one.is_key);
        let shown = |one: &ReplyText, text: &str| is_shown(self.kind_of(one), text);
        texts.filter_map(move |one| super::text_of(json, one).filter(|text| shown(one, text)).map(|text| (one, text)))
    }
}
