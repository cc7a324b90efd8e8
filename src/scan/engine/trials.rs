//! Where patterns are tried: in the windows that keywords and runs of digits opened, and there only where they may begin.

use std::cell::Cell;
use std::ops::Range;

use bartizan_rules::beginnings::is_token;
use bartizan_rules::invariant::{between, onwards, sure};
use bartizan_rules::program::may_begin;

use crate::redact::validate::Validator;
use crate::scan::shipped;

use super::{Engine, Match, OFF, Pass, Scratch, list, push, spill};

/// Bytes of a keyword between its windows, at most.
const KEYWORD: usize = 64;
/// Bytes from the end of a text within which a match that its validator refused is listed.
const AT_END: usize = 8;
/// In [`shipped::BEFORE_DIGIT`]: no bound.
const FAR: u16 = u16::MAX;
/// Up to this number of rules whose patterns begin anywhere, each is looked for by itself.
const FEW: usize = 3;
/// Shortest run of token bytes that is told from the rest of a text.
const SHORTEST: usize = 8;

/// The state of one text's trials.
struct Trial<'t, 's> {
    text: &'t str,
    /// Where the next match may begin.
    next: usize,
    pass: &'s mut Pass,
    scratch: &'s mut Scratch,
}
impl Engine {
    /// Tries the patterns in the windows that were opened.
    pub(super) fn windows(&self, text: &str, scratch: &mut Scratch, pass: &mut Pass) {
        if scratch.windows.is_empty() {
            return;
        }
        let mut windows = std::mem::take(&mut scratch.windows);
        for (_, window) in &mut windows {
            *window = text.floor_char_boundary(window.start)..text.floor_char_boundary(window.end.max(window.start));
        }
        join(&mut windows);
        let mut starts_beside = std::mem::take(&mut scratch.starts);
        join(&mut starts_beside);
        for (at, window) in &windows {
            if let Some(rule) = self.rule(*at)
                && let Some(own) = &rule.own
                && !scratch.is_spent()
            {
                let counts = &mut scratch.counts;
                let steps = own.each(text, window.clone(), &mut |span| match rule.lists_all {
                    true => spill(*at, span, pass),
                    false => list(*at, span, counts, pass),
                });
                scratch.machine.steps += steps;
            }
        }
        let mut far =
            windows.chunk_by(|a, b| a.0 == b.0).filter_map(|of| of.first()).filter(|(at, _)| self.is_far(*at));
        let few = far.nth(FEW).is_none();
        scratch.firsts.clear();
        scratch.firsts.resize(self.rules.len(), u32::MAX);
        for (at, (rule, _)) in windows.iter().enumerate().rev() {
            if let Some(first) = sure(scratch.firsts.get_mut(usize::from(*rule))) {
                *first = at as u32;
            }
        }
        self.candidates(text, &windows, !few, scratch);
        let mut trial = Trial { text, next: 0, pass, scratch };
        let mut candidates = std::mem::take(&mut trial.scratch.candidates);
        for (program, starts) in (0..).zip(&mut candidates).filter(|(_, starts)| !starts.is_empty()) {
            if !few || !shipped::FAR.contains(&program) {
                let opened = self.of(program, &windows);
                self.program(program, opened, &mut starts.iter().map(|start| *start as usize), &mut trial);
            }
            starts.clear();
        }
        trial.scratch.candidates = candidates;
        let firsts = std::mem::take(&mut trial.scratch.firsts);
        let runs = std::mem::take(&mut trial.scratch.runs);
        let mut tokens = std::mem::take(&mut trial.scratch.tokens);
        tokens.clear();
        let mut told = false;
        let everything = [Range { start: 0, end: text.len() }];
        for program in shipped::BROAD.iter().chain(shipped::FAR.iter().filter(|_| few)) {
            let owner = self.owner(*program);
            let is_open = owner != OFF && sure(firsts.get(usize::from(owner))) != Some(&u32::MAX);
            if !is_open {
                continue;
            }
            let opened = self.of(*program, &windows);
            let begins = shipped::PROGRAM_FIRSTS.get(usize::from(*program));
            let first = begins.and_then(|at| shipped::LOOKAHEADS.get(usize::from(*at)));
            let Some(first) = sure(first) else { continue };
            let bytes = text.as_bytes();
            let digits = self.has_digits(owner);
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
            let is = |of: &[bool]| sure(of.get(usize::from(*program))) == Some(&true);
            let at_lines = is(&shipped::AT_LINES);
            let begins =
                |at: &usize| !at_lines || at.checked_sub(1).is_none_or(|before| bytes.get(before) == Some(&b'\n'));
            let read = Cell::new(0);
            let beside =
                if is(&shipped::SHAPED) || is(&shipped::ANCHORED) { of(*program, &starts_beside) } else { opened };
            for window in opened {
                let mut starts = within(beside, &window.1)
                    .flat_map(|places| near(spans, before, least, places))
                    .inspect(|places| read.set(read.get() + places.len()))
                    .flat_map(|places| {
                        let found = between(bytes, places.clone()).iter().enumerate();
                        found.filter(|(_, byte)| first.takes(Some(**byte))).map(move |(at, _)| places.start + at)
                    })
                    .filter(|at| begins(at) && text.is_char_boundary(*at));
                self.program(*program, std::slice::from_ref(window), &mut starts, &mut trial);
                trial.scratch.machine.steps += read.take();
            }
        }
        (trial.scratch.runs, trial.scratch.tokens, trial.scratch.firsts) = (runs, tokens, firsts);
        (scratch.windows, scratch.starts) = (windows, starts_beside);
    }

    /// The rule of a program, or [`OFF`].
    pub(super) fn owner(&self, program: u16) -> u16 {
        sure(shipped::OWNERS.get(usize::from(program))).map_or(OFF, |rule| self.place(*rule))
    }

    /// The windows of a program's rule.
    fn of<'w>(&self, program: u16, windows: &'w [(u16, Range<usize>)]) -> &'w [(u16, Range<usize>)] {
        of(self.owner(program), windows)
    }

    /// Where patterns that look for digits may begin, for all windows in one walk. `far`: not only around digits.
    fn candidates(&self, text: &str, windows: &[(u16, Range<usize>)], far: bool, scratch: &mut Scratch) {
        scratch.candidates.resize(shipped::PROGRAMS.len(), Vec::new());
        // By rule: the window that was reached.
        scratch.last.clear();
        scratch.last.extend_from_slice(&scratch.firsts);
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
                if rule == OFF {
                    continue;
                }
                let Some(reached) = sure(scratch.last.get_mut(usize::from(rule))) else { continue };
                while let Some((_, window)) = windows.get(*reached as usize).filter(|(of, _)| *of == rule) {
                    if start < window.end {
                        if window.start <= start
                            && let Some(starts) = sure(scratch.candidates.get_mut(usize::from(*program)))
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
        self.rule(rule).is_some_and(|rule| rule.digits.is_some())
    }

    /// A pattern of the rule is looked for together with others, and not only around digits.
    fn is_far(&self, rule: u16) -> bool {
        self.rule(rule).is_some_and(|rule| shipped::FAR.iter().any(|program| rule.programs.contains(program)))
    }

    /// Runs a program at these places of its rule's windows, in order, those within a match before them left out.
    fn program(
        &self,
        program: u16,
        windows: &[(u16, Range<usize>)],
        starts: &mut impl Iterator<Item = usize>,
        trial: &mut Trial<'_, '_>,
    ) {
        let at = self.owner(program);
        let Some(rule) = sure(self.rule(at)) else { return };
        let Some(ops) = sure(shipped::PROGRAMS.get(usize::from(program))) else { return };
        let places = shipped::PROGRAM_PLACES.get(usize::from(program));
        let Some(places) = sure(places.and_then(|at| shipped::PLACE_TABLES.get(usize::from(*at)))) else { return };
        let mut windows = windows.iter();
        let mut window = 0..0;
        trial.next = 0;
        for start in starts {
            while start >= window.end {
                let Some((_, next)) = sure(windows.next()) else { return };
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
            if rule.validate.is_some() {
                trial.scratch.machine.steps += found.value.len();
            }
            let valid = |check: Validator| check.accepts(trial.text, found.value.clone());
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
                    list(at, found.value, &mut trial.scratch.counts, trial.pass);
                }
            }
        }
    }
}

/// Sorts ranges by their number and start, and makes one of those of a number that touch.
fn join(ranges: &mut Vec<(u16, Range<usize>)>) {
    // Texts are pieces of far less than 2^48 bytes: one number is compared faster than two.
    ranges.sort_unstable_by_key(|(number, range)| u64::from(*number) << 48 | range.start as u64);
    ranges.dedup_by(|(number, range), (before, earlier)| {
        let joins = number == before && range.start <= earlier.end;
        if joins {
            earlier.end = earlier.end.max(range.end);
        }
        joins
    });
}

/// The ranges of a number.
fn of(number: u16, ranges: &[(u16, Range<usize>)]) -> &[(u16, Range<usize>)] {
    let from = ranges.partition_point(|(of, _)| *of < number);
    let to = ranges.partition_point(|(of, _)| *of <= number);
    between(ranges, from..to)
}

/// What lies in a window of ranges that don't touch.
fn within<'r>(
    ranges: &'r [(u16, Range<usize>)],
    window: &Range<usize>,
) -> impl Iterator<Item = Range<usize>> + use<'r> {
    let (start, end) = (window.start, window.end);
    let first = ranges.partition_point(|(_, range)| range.end <= start);
    let ranges = onwards(ranges, first).iter();
    ranges
        .take_while(move |(_, range)| range.start < end)
        .map(move |(_, range)| range.start.max(start)..range.end.min(end))
}

/// How far a repetition without an upper bound may go in a rule of this window: a keyword's windows on either side.
pub(in crate::scan) const fn reach(window: usize) -> usize {
    window * 2 + KEYWORD
}

/// Bytes before the first digit of a pattern's match, where that has a bound.
fn before(program: u16) -> Option<usize> {
    sure(shipped::BEFORE_DIGIT.get(usize::from(program)))
        .filter(|before| **before < FAR)
        .map(|before| usize::from(*before))
}

/// Token bytes in a row that every match of a program has, and bytes before these, where that has a bound.
fn token(program: u16) -> (usize, Option<usize>) {
    let at = usize::from(program);
    let before = sure(shipped::BEFORE_RUN.get(at)).filter(|before| **before < FAR).map(|before| usize::from(*before));
    (sure(shipped::RUN_LENGTH.get(at)).map_or(0, |length| usize::from(*length)), before)
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
        let length = SHORTEST + onwards(bytes, start + SHORTEST).iter().take_while(|byte| is_token(**byte)).count();
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
) -> impl Iterator<Item = Range<usize>> + use<'_> {
    let first = spans.partition_point(|span| span.end <= window.start);
    let spans = onwards(spans, first).iter();
    let mut from = window.start;
    spans
        .take_while(move |span| span.start < window.end.saturating_add(before))
        .filter(move |span| span.len() >= least)
        .map(move |span| {
            let starts = from.max(span.start.saturating_sub(before))..(span.end + 1 - least).min(window.end);
            from = from.max(starts.end);
            starts.start.min(starts.end)..starts.end
        })
}
