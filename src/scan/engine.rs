//! The compiled rules and one pass of them over one text.

mod building;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::config::document::Zone;
use crate::redact::validate::Validator;

use super::beginnings::{is_token, sign};
use super::near::{Near, Places};
use super::patterns::Pattern;
use super::program::{Machine, may_begin};
use super::shipped::{self, LEXICON, LITERALS, NEARS, RULES, Use};
use super::signatures::Signatures;
use super::{FaultAt, RuleCard, RuleFault, Selection};
use building::Building;

/// Findings of one rule in one pass over a text, for rules that only count once in a window.
const REPEATS: u16 = 16;
/// Findings of one pass; more are not listed, and the text is reported as not complete.
const MOST: usize = 8192;
/// Weight of disguised words from which a reading of the whole text is worth its cost.
const DISGUISED: usize = 3;
/// Bytes of a keyword that stands between its windows, at most.
const KEYWORD: usize = 64;
/// Bytes from the end of a text within which a match that its validator refused is listed.
const AT_END: usize = 8;
/// In [`shipped::BEFORE_DIGIT`]: no bound.
const FAR: u16 = u16::MAX;
/// So many rules whose patterns begin anywhere are looked for one by one.
const FEW: usize = 3;
/// Shortest run of token bytes that is told from the rest of a text.
const SHORTEST: usize = 8;
/// How far from a run of digits a sign may stand.
const BESIDE: usize = 1;
/// How far two of the same may.
const BESIDE_TWO: usize = 6;
/// Bytes that are looked at together for digits.
const BLOCK: usize = 32;

/// A rule as the engine holds it.
#[derive(Debug)]
struct Rule {
    zones: u8,
    raw: bool,
    /// Shipped patterns, in `shipped::PROGRAMS`.
    programs: Range<u16>,
    /// The policy's own pattern.
    own: Option<Pattern>,
    window: usize,
    digits: Option<usize>,
    beside: u16,
    both: bool,
    validate: Option<Validator>,
}

/// In [`Engine::places`]: the rule is not in force.
const OFF: u16 = u16::MAX;

/// All rules in force.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Rule>,
    /// By shipped rule: its place in `rules`, or [`OFF`].
    places: Vec<u16>,
    /// The policy's own keywords.
    own: Option<Signatures>,
    /// Rules that runs of digits wake, by the fewest that do, with the signs that must stand beside them.
    digits: Vec<(usize, u16, u16)>,
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
    /// Words that read in rot13.
    pub rotated: bool,
    /// Words that read in atbash.
    pub mirrored: bool,
    /// Words that read backwards.
    pub reversed: bool,
    /// What a validator refused at the end of the text.
    pub refused: Vec<Match>,
    /// More was found than is listed, or no work was left to search all of the text.
    pub overrun: bool,
    /// Findings of one rule that are listed, where it only counts once in a window.
    repeats: u16,
    /// Steps that were taken: bytes read, patterns tried, instructions of their programs.
    pub work: usize,
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
    /// Runs of digits, in order.
    runs: Vec<Range<usize>>,
    /// Digits of each.
    digits: Vec<usize>,
    /// Runs of at least [`SHORTEST`] token bytes, in order.
    tokens: Vec<Range<usize>>,
    /// By rule: 1 + the index of its last window.
    last: Vec<u32>,
    counts: Vec<u16>,
    /// By program: where it may match.
    candidates: Vec<Vec<u32>>,
    machine: Machine,
}

/// The state of one text's trials.
struct Trial<'t, 's> {
    text: &'t str,
    /// Where the next match may begin.
    next: usize,
    pass: &'s mut Pass,
    scratch: &'s mut Scratch,
}

impl Scratch {
    /// Lists every finding of a rule from here on, or only as many as count.
    pub fn list_all(&mut self, all: bool) {
        self.repeats = if all { u16::MAX } else { REPEATS };
    }

    /// Takes steps out of what is left; false, and nothing is left: there were not so many.
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
        pass.work = std::mem::take(&mut self.machine.steps);
        pass.overrun |= !self.spend(pass.work);
    }

    /// Begins a pass over a text, each byte of which is a step.
    fn begin(&mut self, text: &str) {
        self.machine.steps = text.len();
        self.windows.clear();
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
        let custom_ids: BTreeSet<&str> = selection.custom.iter().filter_map(|rule| rule.id.as_deref()).collect();
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

    /// Memory for passes that may take so many steps in all.
    pub fn scratch(&self, steps: usize) -> Scratch {
        Scratch {
            left: steps,
            repeats: REPEATS,
            places: Places::new(shipped::PLACES, NEARS.len()),
            windows: Vec::new(),
            runs: Vec::new(),
            digits: Vec::new(),
            tokens: Vec::new(),
            last: vec![0; self.rules.len()],
            counts: vec![0; self.rules.len()],
            candidates: Vec::new(),
            machine: Machine::default(),
        }
    }

    /// Passes the rules of the normalised view over normalised text.
    pub fn normalised(&self, text: &str, zones: Zones, scratch: &mut Scratch) -> Pass {
        let mut pass = Pass { repeats: scratch.repeats, ..Pass::default() };
        scratch.begin(text);
        if scratch.is_spent() {
            scratch.end(&mut pass);
            return pass;
        }
        let mut disguised = [0usize; 3];
        let compared = LEXICON.each(text, |hit| {
            let weight = if hit.end - hit.start >= 6 { 2 } else { 1 };
            let word = hit.start..hit.end;
            for purpose in shipped::uses(hit.uses) {
                scratch.machine.steps += 1;
                match *purpose {
                    Use::Slot(at, group) => {
                        let Some(near) = NEARS.get(usize::from(at)) else { continue };
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
                            take(rule, span, &mut scratch.counts, &mut pass);
                        }
                    }
                    Use::Unless(at) => scratch.places.forbid(usize::from(at), word.clone()),
                    Use::Keyword(rule) => self.keyword(self.place(rule), word.clone(), text, zones, scratch, &mut pass),
                    Use::Rotated => disguised[0] += weight,
                    Use::Mirrored => disguised[1] += weight,
                    Use::Reversed => disguised[2] += weight,
                }
            }
        });
        scratch.machine.steps += compared;
        if let Some(own) = &self.own {
            own.each(text, |hit| {
                scratch.machine.steps += hit.rules.len();
                for rule in hit.rules {
                    self.keyword(*rule, hit.start..hit.end, text, zones, scratch, &mut pass);
                }
            });
        }
        [pass.rotated, pass.mirrored, pass.reversed] = disguised.map(|weight| weight >= DISGUISED);
        self.windows(text, scratch, &mut pass);
        scratch.end(&mut pass);
        pass
    }

    /// Passes the rules of the raw view over text as it came.
    pub fn raw(&self, text: &str, zones: Zones, scratch: &mut Scratch) -> Pass {
        let mut pass = Pass { repeats: scratch.repeats, ..Pass::default() };
        scratch.begin(text);
        if scratch.is_spent() {
            scratch.end(&mut pass);
            return pass;
        }
        let compared = LITERALS.each(text, |found| {
            for purpose in shipped::uses(found.uses) {
                scratch.machine.steps += 1;
                if let Use::Keyword(rule) = *purpose {
                    self.keyword(self.place(rule), found.start..found.end, text, zones, scratch, &mut pass);
                }
            }
        });
        scratch.machine.steps += compared;
        self.digit_runs(text, zones, scratch, &mut pass);
        self.drop_without_digits(scratch);
        self.windows(text, scratch, &mut pass);
        scratch.end(&mut pass);
        pass
    }

    fn place(&self, shipped: u16) -> u16 {
        self.places.get(usize::from(shipped)).copied().unwrap_or(OFF)
    }

    /// Tries the patterns in the windows that were opened.
    fn windows(&self, text: &str, scratch: &mut Scratch, pass: &mut Pass) {
        if scratch.windows.is_empty() {
            return;
        }
        let mut windows = std::mem::take(&mut scratch.windows);
        for (_, window) in &mut windows {
            *window = floor(text, window.start)..floor(text, window.end.max(window.start));
        }
        windows.sort_unstable_by_key(|(rule, window)| (*rule, window.start));
        windows.dedup_by(|(rule, window), (before, earlier)| {
            let joins = rule == before && window.start <= earlier.end;
            if joins {
                earlier.end = earlier.end.max(window.end);
            }
            joins
        });
        for (at, window) in &windows {
            if let Some(own) = self.rules.get(usize::from(*at)).and_then(|rule| rule.own.as_ref())
                && !scratch.is_spent()
            {
                scratch.machine.steps += window.len();
                own.each(text, window.clone(), &mut |span| take(*at, span, &mut scratch.counts, pass));
            }
        }
        let mut far =
            windows.chunk_by(|a, b| a.0 == b.0).filter_map(|of| of.first()).filter(|(at, _)| self.is_far(*at));
        let few = far.nth(FEW).is_none();
        self.candidates(text, &windows, !few, scratch);
        let mut trial = Trial { text, next: 0, pass, scratch };
        let mut candidates = std::mem::take(&mut trial.scratch.candidates);
        for (program, starts) in (0..).zip(&mut candidates).filter(|(_, starts)| !starts.is_empty()) {
            if !few || !shipped::FAR.contains(&program) {
                self.program(program, &windows, starts.iter().map(|start| *start as usize), &mut trial);
            }
            starts.clear();
        }
        trial.scratch.candidates = candidates;
        let runs = std::mem::take(&mut trial.scratch.runs);
        let mut tokens = std::mem::take(&mut trial.scratch.tokens);
        tokens.clear();
        let mut told = false;
        let everything = [Range { start: 0, end: text.len() }];
        for program in shipped::BROAD.iter().chain(shipped::FAR.iter().filter(|_| few)) {
            let opened = self.of(*program, &windows);
            if opened.is_empty() {
                continue;
            }
            let begins = shipped::PROGRAM_FIRSTS.get(usize::from(*program));
            let Some(first) = begins.and_then(|at| shipped::LOOKAHEADS.get(usize::from(*at))) else { continue };
            let bytes = text.as_bytes();
            let rule = self.owner(*program);
            let digits = self.rules.get(usize::from(rule)).is_some_and(|rule| rule.digits.is_some());
            let (length, before_token) = token(*program);
            if !told && length >= SHORTEST {
                tokens_of(bytes, &mut tokens);
                told = true;
            }
            let (spans, before, least) = match (before_token, before(*program)) {
                (Some(before), _) if length >= SHORTEST => (tokens.as_slice(), before, length),
                (_, Some(before)) if digits => (runs.as_slice(), before, 1),
                _ => (everything.as_slice(), 0, 1),
            };
            let read = Cell::new(0);
            for window in opened {
                let starts = near(spans, before, least, window.1.clone())
                    .inspect(|_| read.set(read.get() + 1))
                    .filter(|at| first.takes(bytes.get(*at).copied()) && text.is_char_boundary(*at));
                self.program(*program, std::slice::from_ref(window), starts, &mut trial);
                trial.scratch.machine.steps += read.take();
            }
        }
        (trial.scratch.runs, trial.scratch.tokens) = (runs, tokens);
        scratch.windows = windows;
    }

    /// The rule of a program, or [`OFF`].
    fn owner(&self, program: u16) -> u16 {
        shipped::OWNERS.get(usize::from(program)).map_or(OFF, |rule| self.place(*rule))
    }

    /// The windows of a program's rule.
    fn of<'w>(&self, program: u16, windows: &'w [(u16, Range<usize>)]) -> &'w [(u16, Range<usize>)] {
        let rule = self.owner(program);
        let from = windows.partition_point(|(of, _)| *of < rule);
        let to = windows.partition_point(|(of, _)| *of <= rule);
        windows.get(from..to).unwrap_or_default()
    }

    /// Where patterns that look for digits may begin, for all windows in one walk. `far`: not around digits alone.
    fn candidates(&self, text: &str, windows: &[(u16, Range<usize>)], far: bool, scratch: &mut Scratch) {
        scratch.candidates.resize(shipped::PROGRAMS.len(), Vec::new());
        // By rule: the window that was reached.
        scratch.last.fill(u32::MAX);
        for (at, (rule, _)) in windows.iter().enumerate().rev() {
            if let Some(last) = scratch.last.get_mut(usize::from(*rule)) {
                *last = at as u32;
            }
        }
        let runs = std::mem::take(&mut scratch.runs);
        let mut open: Vec<&Range<usize>> =
            windows.iter().filter(|(at, _)| self.has_digits(*at)).map(|(_, window)| window).collect();
        open.sort_unstable_by_key(|window| window.start);
        let (mut next, mut reach) = (0, 0);
        let looked_at = |run: &&Range<usize>| {
            while let Some(window) = open.get(next).filter(|window| window.start < run.end) {
                (next, reach) = (next + 1, reach.max(window.end));
            }
            reach + shipped::BEFORE_ANY > run.start
        };
        let spans = runs.iter().filter(looked_at);
        let mut spans: Vec<Range<usize>> =
            spans.map(|run| run.start.saturating_sub(shipped::BEFORE_ANY)..run.end).collect();
        spans.extend(windows.iter().filter(|(at, _)| far && self.is_far(*at)).map(|(_, window)| window.clone()));
        spans.sort_unstable_by_key(|span| span.start);
        let mut from = 0;
        let starts = spans.iter().flat_map(|span| {
            let starts = span.start.max(from)..span.end;
            from = from.max(span.end);
            starts
        });
        for start in starts {
            let patterns = shipped::BEGINNINGS.at(text.as_bytes(), start);
            scratch.machine.steps += 1 + patterns.len();
            for program in patterns {
                let rule = self.owner(*program);
                let Some(reached) = scratch.last.get_mut(usize::from(rule)) else { continue };
                while let Some((_, window)) = windows.get(*reached as usize).filter(|(of, _)| *of == rule) {
                    if start < window.end {
                        if window.start <= start
                            && let Some(starts) = scratch.candidates.get_mut(usize::from(*program))
                        {
                            starts.push(start as u32);
                        }
                        break;
                    }
                    *reached += 1;
                }
            }
        }
        scratch.runs = runs;
    }

    fn has_digits(&self, rule: u16) -> bool {
        self.rules.get(usize::from(rule)).is_some_and(|rule| rule.digits.is_some())
    }

    /// A pattern of the rule is looked for together with others, and not only around digits.
    fn is_far(&self, rule: u16) -> bool {
        let programs = self.rules.get(usize::from(rule)).map(|rule| rule.programs.clone()).unwrap_or_default();
        shipped::FAR.iter().any(|program| programs.contains(program))
    }

    /// Runs a program at these places, in order, those within a match before them left out.
    fn program(
        &self,
        program: u16,
        windows: &[(u16, Range<usize>)],
        starts: impl Iterator<Item = usize>,
        trial: &mut Trial<'_, '_>,
    ) {
        let at = self.owner(program);
        let (Some(rule), Some(ops)) = (self.rules.get(usize::from(at)), shipped::PROGRAMS.get(usize::from(program)))
        else {
            return;
        };
        let places = shipped::PROGRAM_PLACES.get(usize::from(program));
        let Some(places) = places.and_then(|at| shipped::PLACE_TABLES.get(usize::from(*at))) else { return };
        let mut windows = self.of(program, windows).iter();
        let mut window = 0..0;
        trial.next = 0;
        for start in starts {
            while start >= window.end {
                let Some((_, next)) = windows.next() else { return };
                window = next.clone();
                trial.scratch.machine.enter(window.clone(), reach(rule.window));
                trial.next = window.start;
            }
            trial.scratch.machine.steps += 1;
            if start < trial.next || !may_begin(places, trial.text.as_bytes(), start) {
                continue;
            }
            if !trial.text.is_char_boundary(start) {
                continue;
            }
            if trial.scratch.is_spent() {
                return;
            }
            let Some(found) = trial.scratch.machine.run(ops, &shipped::TABLES, trial.text, start) else { continue };
            // A group may leave a border that the next match needs for itself.
            trial.next = found.value.end.max(found.whole.start + 1);
            let valid = |check: Validator| trial.text.get(found.value.clone()).is_some_and(check);
            if found.value.is_empty() {
                continue;
            }
            if !rule.validate.is_none_or(valid) {
                if trial.text.len() - found.value.end <= AT_END {
                    trial.pass.refused.push(Match { rule: at, span: found.value });
                }
            } else {
                if rule.raw {
                    push(at, found.value, trial.pass);
                } else {
                    take(at, found.value, &mut trial.scratch.counts, trial.pass);
                }
            }
        }
    }

    /// True when a rule looks at one of the zones.
    pub fn looks_at(&self, rule: u16, zones: Zones) -> bool {
        self.rules.get(usize::from(rule)).is_some_and(|rule| rule.zones & zones.0 != 0)
    }

    fn keyword(&self, at: u16, word: Range<usize>, text: &str, zones: Zones, scratch: &mut Scratch, pass: &mut Pass) {
        let Some(rule) = self.rules.get(usize::from(at)).filter(|rule| rule.zones & zones.0 != 0) else { return };
        if rule.programs.is_empty() && rule.own.is_none() {
            return take(at, word, &mut scratch.counts, pass);
        }
        let window = word.start.saturating_sub(rule.window)..(word.end + rule.window).min(text.len());
        let Some(last) = scratch.last.get_mut(usize::from(at)) else { return };
        if let Some((_, open)) = (*last as usize).checked_sub(1).and_then(|i| scratch.windows.get_mut(i))
            && window.start <= open.end
            && open.start <= window.end
        {
            *open = open.start.min(window.start)..open.end.max(window.end);
            return;
        }
        scratch.windows.push((at, window));
        *last = scratch.windows.len() as u32;
    }

    /// Runs of digits with at most two other characters between each two.
    fn digit_runs(&self, text: &str, zones: Zones, scratch: &mut Scratch, pass: &mut Pass) {
        if self.digits.is_empty() {
            return;
        }
        let (mut start, mut last, mut count) = (0, 0, 0);
        let mut close = |start: usize, end: usize, count: usize| {
            scratch.runs.push(start..end);
            scratch.digits.push(count);
            let signs = signs(text.as_bytes(), start..end);
            for (_, beside, rule) in self.digits.iter().take_while(|(least, ..)| count >= *least) {
                scratch.machine.steps += 1;
                if *beside == 0 || signs & beside != 0 {
                    self.keyword(*rule, start..end, text, zones, scratch, pass);
                }
            }
        };
        for (block, bytes) in text.as_bytes().chunks(BLOCK).enumerate() {
            if bytes.iter().fold(0, |any, byte| any | u8::from(byte.is_ascii_digit())) == 0 {
                continue;
            }
            for at in bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(at, _)| block * BLOCK + at) {
                if count == 0 || at - last > 3 {
                    if count > 0 {
                        close(start, last + 1, count);
                    }
                    (start, count) = (at, 0);
                }
                count += 1;
                last = at;
            }
        }
        if count > 0 {
            close(start, last + 1, count);
        }
    }

    /// Forgets the windows of rules that need a run of digits in them, too, where there is none.
    fn drop_without_digits(&self, scratch: &mut Scratch) {
        let Scratch { windows, runs, digits, .. } = scratch;
        windows.retain(|(rule, window)| {
            let Some(rule) = self.rules.get(usize::from(*rule)).filter(|rule| rule.both) else { return true };
            let least = rule.digits.unwrap_or(0);
            let first = runs.partition_point(|run| run.end <= window.start);
            let within = runs.iter().zip(digits.iter()).skip(first).take_while(|(run, _)| run.start < window.end);
            within.into_iter().any(|(_, digits)| *digits >= least)
        });
    }

    /// Memory of the automata, in bytes.
    pub fn memory(&self) -> usize {
        self.own.as_ref().map_or(0, Signatures::memory)
    }
}

/// How far a repetition without an upper bound may go in a rule of this window: a keyword's windows on either side.
pub(super) const fn reach(window: usize) -> usize {
    window * 2 + KEYWORD
}

/// Bytes before the first digit of a pattern's match, where that has a bound.
fn before(program: u16) -> Option<usize> {
    shipped::BEFORE_DIGIT.get(usize::from(program)).filter(|before| **before < FAR).map(|before| usize::from(*before))
}

/// Token bytes on end that every match of a program has, and bytes before these, where that has a bound.
fn token(program: u16) -> (usize, Option<usize>) {
    let at = usize::from(program);
    let before = shipped::BEFORE_RUN.get(at).filter(|before| **before < FAR).map(|before| usize::from(*before));
    (shipped::RUN_LENGTH.get(at).map_or(0, |length| usize::from(*length)), before)
}

/// Runs of token bytes. Looks at the last byte of a window first, so that most bytes of short words are never looked at.
fn tokens_of(bytes: &[u8], out: &mut Vec<Range<usize>>) {
    out.clear();
    let mut start = 0;
    while let Some(window) = bytes.get(start..start + SHORTEST) {
        if let Some(other) = window.iter().rposition(|byte| !is_token(*byte)) {
            start += other + 1;
            continue;
        }
        let rest = bytes.get(start + SHORTEST..).unwrap_or_default();
        let length = SHORTEST + rest.iter().take_while(|byte| is_token(**byte)).count();
        out.push(start..start + length);
        start += length + 1;
    }
}

/// The places of a window from which one of these spans, if it is long enough, begins at most `before` bytes further on,
/// or goes on for so long.
fn near(
    spans: &[Range<usize>],
    before: usize,
    least: usize,
    window: Range<usize>,
) -> impl Iterator<Item = usize> + use<'_> {
    let first = spans.partition_point(|span| span.end <= window.start);
    let spans = spans.get(first..).unwrap_or_default().iter();
    let mut from = window.start;
    spans
        .take_while(move |span| span.start < window.end.saturating_add(before))
        .filter(move |span| span.len() >= least)
        .flat_map(move |span| {
            let starts = from.max(span.start.saturating_sub(before))..(span.end + 1 - least).min(window.end);
            from = from.max(starts.end);
            starts
        })
}

/// The signs beside a run of digits, as rules ask for them.
fn signs(bytes: &[u8], run: Range<usize>) -> u16 {
    let around = |most: usize| {
        let range = run.start.saturating_sub(most)..(run.end + most).min(bytes.len());
        bytes.get(range).unwrap_or_default().iter().map(|byte| sign(*byte))
    };
    let once = around(BESIDE).fold(0, |once, sign| once | sign);
    let (_, twice) = around(BESIDE_TWO).fold((0, 0), |(once, twice), sign| (once | sign, twice | once & sign));
    u16::from(twice) << 8 | u16::from(once)
}

fn take(rule: u16, span: Range<usize>, counts: &mut [u16], pass: &mut Pass) {
    if let Some(count) = counts.get_mut(usize::from(rule))
        && *count < pass.repeats
    {
        *count += 1;
        push(rule, span, pass);
    }
}

fn push(rule: u16, span: Range<usize>, pass: &mut Pass) {
    if pass.matches.len() < MOST {
        pass.matches.push(Match { rule, span });
    } else {
        pass.overrun = true;
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Zones that a pass looks for, one bit each.
#[derive(Clone, Copy, Debug)]
pub struct Zones(u8);

impl Zones {
    /// Whatever zone a rule looks at.
    pub const ALL: Zones = Zones(u8::MAX);

    /// One zone.
    pub const fn of(zone: Zone) -> Zones {
        Zones(bit(zone))
    }
}

const fn bit(zone: Zone) -> u8 {
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
