//! The compiled rules and one pass of them over one text.

mod building;
mod trials;

use std::collections::BTreeSet;
use std::ops::Range;

use bartizan_rules::beginnings::{LONGEST_GROUP, group_kind, sign};
use bartizan_rules::invariant::{between, holds, of_byte, sure};
use bartizan_rules::near::{Near, Places};
use bartizan_rules::patterns::Pattern;
use bartizan_rules::program::Machine;
use bartizan_rules::tables::Use;

use crate::enums::Zone;
use crate::redact::validate::Validator;
use crate::sorted;

use super::shipped::{self, LEXICON, LITERALS, NEARS, RULES};
use super::signatures::Signatures;
use super::{FaultAt, RuleCard, RuleFault, Selection};
use building::Building;
#[cfg(test)]
pub(super) use trials::reach;

/// Findings of one rule in one pass over a text, for rules that only count once in a window.
const REPEATS: u16 = 16;
/// A longer run without white space may be an encoding.
pub(super) const LONGEST_RUN: usize = 19;
/// Findings of one pass; more are not listed, and the text is reported as not complete.
const MOST: usize = 8192;
/// Weight of a text's disguised words from which another reading is worth its cost.
const DISGUISED: usize = 3;
/// How far from a run of digits a sign may be.
const BESIDE: usize = 1;
/// How far two of the same may.
const BESIDE_TWO: usize = 6;
/// Bytes that are looked at together for digits.
const BLOCK: usize = 32;

/// A rule as the engine holds it.
#[derive(Debug)]
struct Rule {
    zones: u16,
    raw: bool,
    /// Shipped patterns, in `shipped::PROGRAMS`.
    programs: Range<u16>,
    /// The policy's own pattern.
    own: Option<Pattern>,
    /// Of the policy's own: every finding counts, because each may be masked.
    lists_all: bool,
    window: usize,
    digits: Option<usize>,
    beside: u16,
    both: bool,
    /// It may find something in plain words.
    says_words: bool,
    validate: Option<Validator>,
}

/// Where the last thing ends from which a rule may find something in a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stirs {
    /// From which one may whatever is around it.
    pub alone: Option<usize>,
    /// From which one may where another sign than those of plain words is near.
    pub beside: Option<usize>,
}

/// True for a sign that plain words have and no rule for tokens or numbers is content with; see
/// [`bartizan_rules::program::matches_words`].
pub fn is_of_words(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || b" \n.,;?!()".contains(&byte)
}

/// In [`Engine::places`]: the rule is not in force.
const OFF: u16 = u16::MAX;

/// All rules in force.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Rule>,
    /// By shipped rule: its place in `rules`, or [`OFF`].
    places: Vec<u16>,
    /// The policy's own keywords, of rules that read normalised text.
    own: Option<Signatures>,
    /// Those of rules that read text as it came.
    own_raw: Option<Signatures>,
    /// Rules that runs of digits wake, by the fewest that do, with the signs that must be beside them.
    digits: Vec<(usize, u16, u16)>,
    /// The zones at which any rule of the normalised view looks.
    normalised: u16,
    /// False: a place leads to no rule, or a rule has no card. Then no text counts as scanned whole.
    fits: bool,
}

/// A match in the text that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's index.
    pub rule: u16,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// What one pass found.
#[derive(Debug, Default)]
pub struct Pass {
    /// Matches, in no order.
    pub matches: Vec<Match>,
    /// Words that read in rot13, in order; none where they are too few.
    pub rotated: Vec<Range<usize>>,
    /// Words that read in atbash.
    pub mirrored: Vec<Range<usize>>,
    /// Words that read backwards.
    pub reversed: Vec<Range<usize>>,
    /// What a validator refused at the end of the text.
    pub refused: Vec<Match>,
    /// More was found than is listed, or no work was left to search all of the text.
    pub overrun: bool,
    /// Findings of one rule that are listed, where it only counts once in a window.
    repeats: u16,
    /// By rule of the policy's own: from the first to the last finding that was one too many.
    spilled: Vec<Match>,
    /// Steps that were taken: bytes read, patterns tried, instructions of their programs.
    pub work: usize,
}

/// A rule that runs of digits wake, and its window that may still grow.
struct Opened {
    /// Digits that wake it.
    least: usize,
    /// One of these signs must be beside them.
    beside: u16,
    rule: u16,
    reach: usize,
    span: Option<Range<usize>>,
}

/// Words that read once the text is turned back.
struct Disguised {
    weight: usize,
    words: Vec<Range<usize>>,
}

impl Disguised {
    fn put(&mut self, word: Range<usize>) {
        self.weight += weight(&word);
        self.words.push(word);
    }

    /// Where they are, if they are worth another reading.
    fn places(self) -> Vec<Range<usize>> {
        let mut words = if self.weight >= DISGUISED { self.words } else { Vec::new() };
        words.sort_unstable_by_key(|word| word.start);
        words
    }
}

const fn weight(word: &Range<usize>) -> usize {
    if word.end - word.start >= 6 { 2 } else { 1 }
}

/// True when the disguised words of a part of a text are worth another reading of it.
pub fn is_disguised(words: &[Range<usize>], part: &Range<usize>) -> bool {
    let first = words.partition_point(|word| word.start < part.start);
    let inside = words.iter().skip(first).take_while(|word| word.end <= part.end);
    inside.map(weight).sum::<usize>() >= DISGUISED
}

/// Memory that passes share, and the work that they may still do.
#[derive(Debug)]
pub struct Scratch {
    /// Steps that are left.
    left: usize,
    /// Findings of one rule in one pass, at most, where it only counts once in a window.
    repeats: u16,
    places: Places,
    windows: Vec<(u16, Range<usize>)>,
    /// By program: where it may begin beside a word that its matches hold.
    starts: Vec<(u16, Range<usize>)>,
    /// Runs of digits, in order.
    runs: Vec<Range<usize>>,
    /// Digits of each.
    digits: Vec<usize>,
    /// Runs of at least eight token bytes, in order.
    tokens: Vec<Range<usize>>,
    /// By rule: 1 + the index of its last window.
    last: Vec<u32>,
    /// By rule: the first of its windows, once they are in order; [`u32::MAX`]: it has none.
    firsts: Vec<u32>,
    counts: Vec<u16>,
    /// By program: where it may match.
    candidates: Vec<Vec<u32>>,
    machine: Machine,
}

impl Scratch {
    /// Lists every finding of a rule from here on, or only as many as count.
    pub fn list_all(&mut self, all: bool) {
        self.repeats = if all { u16::MAX } else { REPEATS };
    }

    /// Takes steps out of what is left. False where fewer were left; then none is.
    pub fn spend(&mut self, steps: usize) -> bool {
        let is_enough = steps <= self.left;
        self.left = self.left.saturating_sub(steps);
        is_enough
    }

    /// Steps that are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The pass has taken more steps than were left.
    fn is_spent(&self) -> bool {
        self.machine.steps > self.left
    }

    /// Ends a pass: pays for its steps.
    fn end(&mut self, pass: &mut Pass) {
        pass.matches.append(&mut pass.spilled);
        pass.work = std::mem::take(&mut self.machine.steps);
        pass.overrun |= !self.spend(pass.work);
    }

    /// Begins a pass over a text, each byte of which is a step.
    fn begin(&mut self, text: &str) {
        self.machine.steps = text.len();
        self.windows.clear();
        self.starts.clear();
        self.runs.clear();
        self.digits.clear();
        self.places.begin();
        self.last.fill(0);
        self.counts.fill(0);
    }
}

impl Engine {
    /// Compiles the rules of a selection.
    ///
    /// # Errors
    /// Every fault of the selection.
    pub fn compile(selection: &Selection<'_>) -> Result<(Engine, Vec<RuleCard>), Vec<RuleFault>> {
        let mut faults = Vec::new();
        let shipped = |id: &str| RULES.iter().any(|rule| rule.id == id);
        let custom_ids: BTreeSet<&str> = sorted::set(selection.custom.iter().filter_map(|rule| rule.id.as_deref()));
        for (at, id) in selection.disable.iter().enumerate() {
            if !shipped(id) && !custom_ids.contains(id.as_str()) {
                faults.push(RuleFault { at: FaultAt::Disable(at), message: format!("no rule has the id {id}") });
            }
        }
        let mut building = Building::default();
        for rule in &RULES {
            let wanted = selection.packs.contains(&rule.pack) && !selection.disable.iter().any(|id| id == rule.id);
            building.shipped(rule, wanted);
        }
        for (at, rule) in selection.custom.iter().enumerate() {
            let off = rule.id.as_ref().is_some_and(|id| selection.disable.contains(id));
            building.custom(at, rule, off, &mut faults);
        }
        if building.cards.len() >= usize::from(OFF) {
            faults.push(RuleFault { at: FaultAt::Custom(0, "id"), message: "over 65534 rules".into() });
        }
        if faults.is_empty() { building.finish() } else { Err(faults) }
    }

    /// Memory for passes that may take `steps` steps in all.
    pub fn scratch(&self, steps: usize) -> Scratch {
        Scratch {
            left: steps,
            repeats: REPEATS,
            places: Places::new(shipped::PLACES, NEARS.len()),
            windows: Vec::new(),
            starts: Vec::new(),
            runs: Vec::new(),
            digits: Vec::new(),
            tokens: Vec::new(),
            last: vec![0; self.rules.len()],
            firsts: Vec::new(),
            counts: vec![0; self.rules.len()],
            candidates: Vec::new(),
            machine: Machine::default(),
        }
    }

    /// Passes the rules of the normalised view over normalised text.
    pub fn normalised(&self, text: &str, zones: Zones, scratch: &mut Scratch) -> Pass {
        let mut pass = Pass { repeats: scratch.repeats, ..Pass::default() };
        holds(self.fits, "a place leads to no rule, or a rule has no card");
        scratch.begin(text);
        if scratch.is_spent() {
            scratch.end(&mut pass);
            return pass;
        }
        let mut disguised = [const { Disguised { weight: 0, words: Vec::new() } }; 3];
        let compared = LEXICON.each(text, &mut |hit| {
            let word = hit.start..hit.end;
            let Some(uses) = sure(shipped::uses(hit.uses)) else { return };
            for purpose in uses {
                scratch.machine.steps += 1;
                match *purpose {
                    Use::Slot(at, group) => {
                        let Some(near) = sure(NEARS.get(usize::from(at))) else { continue };
                        if near.ordered && group > 0 && !scratch.places.has_begun(usize::from(at)) {
                            continue;
                        }
                        let rule = self.place(near.rule);
                        if rule == OFF {
                            continue;
                        }
                        let near = Near {
                            within: usize::from(near.within),
                            ordered: near.ordered,
                            groups: near.groups,
                            base: usize::from(near.base),
                        };
                        if let Some(span) = scratch.places.step(&near, usize::from(at), group, word.clone(), hit.wide)
                            && self.looks_at(rule, zones)
                        {
                            list(rule, span, &mut scratch.counts, &mut pass);
                        }
                    }
                    Use::Unless(at) => scratch.places.forbid(usize::from(at), word.clone()),
                    Use::Keyword(rule) => self.keyword(self.place(rule), word.clone(), text, zones, scratch, &mut pass),
                    // Words of the raw view.
                    Use::Start(_) => {}
                    Use::Rotated => disguised[0].put(word.clone()),
                    Use::Mirrored => disguised[1].put(word.clone()),
                    Use::Reversed => disguised[2].put(word.clone()),
                }
            }
        });
        scratch.machine.steps += compared;
        self.own(self.own.as_ref(), text, zones, scratch, &mut pass);
        [pass.rotated, pass.mirrored, pass.reversed] = disguised.map(Disguised::places);
        self.windows(text, scratch, &mut pass);
        scratch.end(&mut pass);
        pass
    }

    /// Passes the rules of the raw view over text as it came.
    pub fn raw(&self, text: &str, zones: Zones, scratch: &mut Scratch) -> Pass {
        let mut pass = Pass { repeats: scratch.repeats, ..Pass::default() };
        holds(self.fits, "a place leads to no rule, or a rule has no card");
        scratch.begin(text);
        if scratch.is_spent() {
            scratch.end(&mut pass);
            return pass;
        }
        let compared = LITERALS.each(text, &mut |found| {
            let Some(uses) = sure(shipped::uses(found.uses)) else { return };
            for purpose in uses {
                scratch.machine.steps += 1;
                match *purpose {
                    Use::Keyword(rule) => {
                        self.keyword(self.place(rule), found.start..found.end, text, zones, scratch, &mut pass);
                    }
                    Use::Start(at) => self.start(at, found.start, zones, scratch),
                    _ => {}
                }
            }
        });
        scratch.machine.steps += compared;
        self.own(self.own_raw.as_ref(), text, zones, scratch, &mut pass);
        self.digit_runs(text, zones, scratch);
        self.drop_without_digits(scratch);
        self.groups(text, scratch);
        self.windows(text, scratch, &mut pass);
        scratch.end(&mut pass);
        pass
    }

    /// The keywords of the policy's own rules.
    fn own(&self, own: Option<&Signatures>, text: &str, zones: Zones, scratch: &mut Scratch, pass: &mut Pass) {
        let Some(own) = own else { return };
        own.each(text, |hit| {
            scratch.machine.steps += hit.rules.len();
            for rule in hit.rules {
                self.keyword(*rule, hit.start..hit.end, text, zones, scratch, pass);
            }
        });
    }

    /// Every place leads to a rule.
    fn leads(&self) -> bool {
        let rules = self.rules.len();
        let is_rule = |place: u16| place == OFF || usize::from(place) < rules;
        let is_shipped = |rule: u16| usize::from(rule) < self.places.len();
        self.places.len() == RULES.len()
            && self.places.iter().all(|place| is_rule(*place))
            && self.digits.iter().all(|(_, _, rule)| is_rule(*rule))
            && NEARS.iter().all(|near| is_shipped(near.rule))
            && shipped::OWNERS.len() == shipped::PROGRAMS.len()
            && shipped::OWNERS.iter().all(|rule| is_shipped(*rule))
    }

    fn place(&self, shipped: u16) -> u16 {
        sure(self.places.get(usize::from(shipped))).copied().unwrap_or(OFF)
    }

    /// The rule at a place; `None` for [`OFF`].
    fn rule(&self, at: u16) -> Option<&Rule> {
        if at == OFF { None } else { sure(self.rules.get(usize::from(at))) }
    }

    /// True when a rule looks at one of the zones.
    pub fn looks_at(&self, rule: u16, zones: Zones) -> bool {
        self.rule(rule).is_some_and(|rule| rule.zones & zones.0 != 0)
    }

    /// True when a rule of the normalised view looks at one of the zones.
    pub fn reads_normalised(&self, zones: Zones) -> bool {
        self.normalised & zones.0 != 0
    }

    /// True where every rule for these zones reads text as it came and has no keyword longer than this.
    pub fn is_told_by(&self, bytes: usize, zones: Zones) -> bool {
        !self.reads_normalised(zones) && self.own_raw.as_ref().is_none_or(|own| own.longest() <= bytes)
    }

    /// True when a rule looks at one of the zones and needs no run of so many digits beside its keywords.
    fn is_told_by_words(&self, rule: u16, zones: Zones, digits: usize) -> bool {
        self.looks_at(rule, zones)
            && self.rule(rule).is_some_and(|rule| !rule.both || rule.digits.is_none_or(|least| least < digits))
    }

    /// Where the last keywords and runs of digits end from which a rule of the raw view for these zones may find something
    /// in this text. A run of `most` digits counts whatever rules say.
    pub fn last_stirs(&self, text: &str, zones: Zones, most: usize) -> Stirs {
        let mut last = Stirs::default();
        LITERALS.each(text, &mut |found| {
            let uses = sure(shipped::uses(found.uses)).unwrap_or_default();
            for of in uses {
                let Use::Keyword(rule) = *of else { continue };
                let rule = self.place(rule);
                if self.is_told_by_words(rule, zones, most) {
                    let says_words = self.rule(rule).is_none_or(|rule| rule.says_words);
                    let place = if says_words { &mut last.alone } else { &mut last.beside };
                    *place = (*place).max(Some(found.end));
                }
            }
        });
        if let Some(own) = &self.own_raw {
            own.each(text, |hit| {
                if hit.rules.iter().any(|rule| self.looks_at(*rule, zones)) {
                    last.alone = last.alone.max(Some(hit.end));
                }
            });
        }
        each_run(text.as_bytes(), |run, count| {
            let signs = signs(text.as_bytes(), run.clone());
            let wakes = |(least, beside, rule): &(usize, u16, u16)| {
                count >= *least && (*beside == 0 || signs & beside != 0) && self.looks_at(*rule, zones)
            };
            if count >= most || self.digits.iter().any(wakes) {
                last.alone = last.alone.max(Some(run.end));
            }
        });
        last
    }

    fn keyword(&self, at: u16, word: Range<usize>, text: &str, zones: Zones, scratch: &mut Scratch, pass: &mut Pass) {
        let Some(rule) = self.rule(at).filter(|rule| rule.zones & zones.0 != 0) else { return };
        if rule.programs.is_empty() && rule.own.is_none() {
            return match rule.lists_all {
                true => spill(at, word, pass),
                false => list(at, word, &mut scratch.counts, pass),
            };
        }
        let window = word.start.saturating_sub(rule.window)..(word.end + rule.window).min(text.len());
        let Some(last) = sure(scratch.last.get_mut(usize::from(at))) else { return };
        if let Some((_, open)) = (*last as usize).checked_sub(1).and_then(|i| sure(scratch.windows.get_mut(i)))
            && window.start <= open.end
            && open.start <= window.end
        {
            *open = open.start.min(window.start)..open.end.max(window.end);
            return;
        }
        scratch.windows.push((at, window));
        *last = scratch.windows.len() as u32;
    }

    /// Notes where a pattern may begin beside a word.
    fn start(&self, at: u16, word: usize, zones: Zones, scratch: &mut Scratch) {
        let Some(start) = sure(shipped::WORD_STARTS.get(usize::from(at))) else { return };
        let Some(last) = word.checked_sub(usize::from(start.least)) else { return };
        if self.looks_at(self.owner(start.program), zones) {
            scratch.starts.push((start.program, word.saturating_sub(usize::from(start.most))..last + 1));
        }
    }

    /// Runs of digits with at most two other characters between each two.
    fn digit_runs(&self, text: &str, zones: Zones, scratch: &mut Scratch) {
        if self.digits.is_empty() {
            return;
        }
        let bytes = text.as_bytes();
        let opened = |(least, beside, at): &(usize, u16, u16)| {
            let rule = self.rule(*at).filter(|rule| rule.zones & zones.0 != 0 && !rule.programs.is_empty())?;
            Some(Opened { least: *least, beside: *beside, rule: *at, reach: rule.window, span: None })
        };
        let mut opened: Vec<Opened> = self.digits.iter().filter_map(opened).collect();
        let Scratch { runs, digits, windows, machine, last, .. } = scratch;
        each_run(bytes, |run, count| {
            let signs = signs(bytes, run.clone());
            for opened in opened.iter_mut().take_while(|opened| count >= opened.least) {
                machine.steps += 1;
                if opened.beside == 0 || signs & opened.beside != 0 {
                    let from = run.start.saturating_sub(opened.reach);
                    let to = (run.end + opened.reach).min(bytes.len());
                    match &mut opened.span {
                        Some(span) if from <= span.end => span.end = to,
                        span => windows.extend(span.replace(from..to).map(|span| (opened.rule, span))),
                    }
                }
            }
            runs.push(run);
            digits.push(count);
        });
        for Opened { rule, span, .. } in opened {
            if let (Some(span), Some(last)) = (span, sure(last.get_mut(usize::from(rule)))) {
                windows.push((rule, span));
                *last = windows.len() as u32;
            }
        }
    }

    /// Notes where patterns may begin around each group of digits, which is judged once for all of them.
    fn groups(&self, text: &str, scratch: &mut Scratch) {
        let bytes = text.as_bytes();
        let Scratch { runs, last, starts, machine, .. } = scratch;
        for run in runs {
            let mut at = run.start;
            while at < run.end {
                let length = between(bytes, at..run.end).iter().take_while(|byte| byte.is_ascii_digit()).count();
                if length == 0 {
                    at += 1;
                    continue;
                }
                let before = at.checked_sub(1).and_then(|before| bytes.get(before));
                let programs = sure(shipped::of_shape(before.copied(), length)).unwrap_or_default();
                machine.steps += 1 + programs.len();
                let after = group_kind(bytes.get(at + length).copied());
                let second = bytes.iter().skip(at + length + 1).take(LONGEST_GROUP.into());
                let second = second.take_while(|byte| byte.is_ascii_digit()).count();
                for program in programs {
                    let owner = self.owner(*program);
                    let is_open = owner != OFF && sure(last.get(usize::from(owner))).is_some_and(|window| *window > 0);
                    let Some(group) = sure(shipped::GROUPS.get(usize::from(*program))) else { continue };
                    if !is_open {
                        continue;
                    }
                    let goes_on = group.after >> after & 1 == 1 && group.seconds >> second & 1 == 1;
                    if let Some(latest) = at.checked_sub(usize::from(group.least)).filter(|_| goes_on) {
                        starts.push((*program, at.saturating_sub(usize::from(group.most))..latest + 1));
                    }
                }
                at += length;
            }
        }
    }

    /// Forgets the windows of rules that need a run of digits in them, too, where there is none.
    fn drop_without_digits(&self, scratch: &mut Scratch) {
        let Scratch { windows, runs, digits, .. } = scratch;
        windows.retain(|(rule, window)| {
            let Some(rule) = self.rule(*rule).filter(|rule| rule.both) else { return true };
            let least = rule.digits.unwrap_or(0);
            let first = runs.partition_point(|run| run.end <= window.start);
            let within = runs.iter().zip(digits.iter()).skip(first).take_while(|(run, _)| run.start < window.end);
            within.into_iter().any(|(_, digits)| *digits >= least)
        });
    }

    /// Memory of the automata, in bytes.
    pub fn memory(&self) -> usize {
        [&self.own, &self.own_raw].into_iter().flatten().map(Signatures::memory).sum()
    }
}

/// The keywords of the shipped rules that read text as it came.
#[cfg(test)]
pub(super) fn literals() -> impl Iterator<Item = &'static str> {
    let words = [LITERALS.list, LITERALS.short, LITERALS.single].into_iter().flatten();
    words.filter_map(|word| std::str::from_utf8(word.text).ok())
}

/// Calls `take` with every run of digits and how many they are.
fn each_run(bytes: &[u8], mut take: impl FnMut(Range<usize>, usize)) {
    let (mut start, mut last, mut count) = (0, 0, 0);
    for (block, chunk) in bytes.chunks(BLOCK).enumerate() {
        if chunk.iter().fold(0, |any, byte| any | u8::from(byte.is_ascii_digit())) == 0 {
            continue;
        }
        for at in chunk.iter().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(at, _)| block * BLOCK + at) {
            if count == 0 || at - last > 3 {
                if count > 0 {
                    take(start..last + 1, count);
                }
                (start, count) = (at, 0);
            }
            count += 1;
            last = at;
        }
    }
    if count > 0 {
        take(start..last + 1, count);
    }
}

/// By byte: its [`sign`].
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static SIGNS: [u8; 256] = {
    let mut signs = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        signs[byte] = sign(byte as u8);
        byte += 1;
    }
    signs
};

/// The signs beside a run of digits, as rules ask for them.
fn signs(bytes: &[u8], run: Range<usize>) -> u16 {
    let around = |most: usize| between(bytes, run.start.saturating_sub(most)..(run.end + most).min(bytes.len()));
    let (mut beside, mut once, mut twice) = (0, 0, 0);
    for byte in around(BESIDE) {
        beside |= of_byte(&SIGNS, *byte);
    }
    for byte in around(BESIDE_TWO) {
        let sign = of_byte(&SIGNS, *byte);
        twice |= once & sign;
        once |= sign;
    }
    u16::from(twice) << 8 | u16::from(beside)
}

fn list(rule: u16, span: Range<usize>, counts: &mut [u16], pass: &mut Pass) {
    if let Some(count) = sure(counts.get_mut(usize::from(rule)))
        && *count < pass.repeats
    {
        *count += 1;
        push(rule, span, pass);
    }
}

/// Lists a finding of the policy's own. Too many refuse no text: what is not listed becomes one finding from the first
/// to the last, so that all of it is masked.
fn spill(rule: u16, span: Range<usize>, pass: &mut Pass) {
    if pass.matches.len() < MOST {
        return pass.matches.push(Match { rule, span });
    }
    match pass.spilled.iter_mut().find(|spilled| spilled.rule == rule) {
        Some(Match { span: whole, .. }) => *whole = whole.start.min(span.start)..whole.end.max(span.end),
        None => pass.spilled.push(Match { rule, span }),
    }
}

fn push(rule: u16, span: Range<usize>, pass: &mut Pass) {
    if pass.matches.len() < MOST {
        pass.matches.push(Match { rule, span });
    } else {
        pass.overrun = true;
    }
}

/// Zones that a pass looks for, one bit each.
#[derive(Clone, Copy, Debug)]
pub struct Zones(u16);

impl Zones {
    /// Where texts meet, whatever zone a rule looks at.
    pub const JOINT: Zones = Zones(JOINT);

    /// Where texts meet and nothing parts them: no personal data, which two numbers side by side make by chance.
    pub const GLUED: Zones = Zones(GLUED);

    /// What the model answers, in which secrets and personal data are looked for and attacks are not.
    pub const REPLY: Zones = Zones(ANSWER);

    /// One zone.
    pub const fn of(zone: Zone) -> Zones {
        Zones(bit(zone))
    }

    /// True for what a model is given to read: nobody speaks to it there.
    pub const fn is_read(self) -> bool {
        self.0 != 0 && self.0 & !(bit(Zone::Tool) | bit(Zone::Document)) == 0
    }
}

/// Behind the bits of the zones.
const REPLY: u16 = 1 << 6;
/// Set for every rule but those whose finding could not change anything there.
const JOINT: u16 = 1 << 7;
/// Set for those of them that find no personal data.
const GLUED: u16 = 1 << 8;
/// Set for rules of secrets and personal data that look at the assistant's texts or at replies.
const ANSWER: u16 = 1 << 9;

const fn bit(zone: Zone) -> u16 {
    1 << zone as u8
}

/// A lower-case letter, thirteen places on.
pub fn rot13(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { (byte - b'a' + 13) % 26 + b'a' } else { byte }
}

/// A lower-case letter, counted from the alphabet's other end.
pub fn atbash(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { b'z' - (byte - b'a') } else { byte }
}
