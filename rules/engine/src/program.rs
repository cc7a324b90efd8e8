//! Patterns as programs of a bounded backtracker, compiled at build time: nothing is compiled, allocated or cached when
//! one is first needed, and a pattern costs a few hundred bytes.
//!
//! A program runs at one place of the text, and tries what its pattern prefers first, so that it finds what any
//! leftmost-first engine finds there. A branch that the next byte rules out is never taken.
//!
//! Linear in the window, over all places at which a program is tried, by three memos that live as long as the window:
//! - where a run of a repeated set ends is walked once, not once a place;
//! - an end of a repetition from which the rest of the pattern failed is never tried again: what follows an end does not
//!   depend on how it was reached;
//! - once a window has taken many steps, choices that were made before are noted, a bit for each instruction and place.
//!
//! A repetition without an upper bound goes no further than the machine's reach, which is counted from its own start
//! and not from the end of a window that many keywords have made long.
//!
//! ```
//! use bartizan_rules::program::{Machine, Op, Tables};
//!
//! let tables = Tables { sets: &[], lookaheads: &[] };
//! let mut machine = Machine::default();
//! machine.enter(0..9, usize::MAX);
//! let found = machine.run(&[Op::Fold(b"key"), Op::Match], &tables, "the KEYs ", 4).unwrap();
//! assert_eq!(found.whole, 4..7);
//! ```

use std::ops::Range;

use crate::invariant::{of_byte, onwards, sure};

/// Steps in one window from which choices are noted: few windows come so far, and notes are memory that must be cleared.
const PATIENCE: usize = 256;
/// The same, for each byte.
const PATIENCE_A_BYTE: usize = 4;
/// Shorter runs are walked faster than they are remembered.
const WORTH_A_NOTE: usize = 8;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// These bytes.
    Literal(&'static [u8]),
    /// These small letters, in any case; the Kelvin sign and the long s are letters, too.
    Fold(&'static [u8]),
    /// One character of a set.
    Set(u16),
    /// A repeated set.
    Repeat(Repeat),
    /// The first branch, then the second.
    Split {
        /// Where the preferred branch goes on.
        first: u16,
        /// Where the other goes on.
        second: u16,
        /// What each may begin with.
        lookaheads: [u16; 2],
    },
    /// Goes on elsewhere.
    Jump(u16),
    /// A place, not a character.
    Look(Look),
    /// The group `value` begins.
    Open,
    /// The group `value` ends.
    Close,
    /// Done.
    Match,
}

/// A repeated set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The set.
    pub set: u16,
    /// Fewest characters.
    pub min: u16,
    /// Most characters; [`u16::MAX`]: no upper bound.
    pub max: u16,
    /// As many as possible first.
    pub greedy: bool,
    /// No character that it took can be what follows: it is never given back.
    pub possessive: bool,
    /// What may follow.
    pub lookahead: u16,
}

/// A condition on a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The text begins.
    Start,
    /// The text ends.
    End,
    /// A line begins.
    LineStart,
    /// A line ends.
    LineEnd,
    /// Between an ASCII letter, digit or `_` and something else.
    Word,
}

/// Characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// ASCII.
    pub ascii: [u64; 2],
    /// The rest.
    pub ranges: &'static [(u32, u32)],
}

/// What may come next: bytes, or the end of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSet {
    /// Bytes.
    pub bytes: [u64; 4],
    /// The end.
    pub end: bool,
}

/// Sets that programs share.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Sets of characters.
    pub sets: &'static [Set],
    /// Lookahead sets.
    pub lookaheads: &'static [ByteSet],
}

impl ByteSet {
    /// True when this byte, or the end, may come.
    pub fn takes(&self, byte: Option<u8>) -> bool {
        match byte {
            Some(byte) => sure(self.bytes.get(usize::from(byte >> 6))).is_some_and(|bits| bits >> (byte & 63) & 1 == 1),
            None => self.end,
        }
    }
}

impl Set {
    /// The length of the character at the head of these bytes, if it is in the set.
    fn takes(&self, rest: &[u8]) -> Option<usize> {
        let &byte = rest.first()?;
        if byte < 0x80 {
            let bits = sure(self.ascii.get(usize::from(byte >> 6)))?;
            return (bits >> (byte & 63) & 1 == 1).then_some(1);
        }
        if self.ranges.is_empty() {
            return None;
        }
        let c = character(rest)?;
        let code = u32::from(c);
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&code)).then(|| c.len_utf8())
    }
}

/// The character at the head of these bytes, which hold whole characters.
fn character(rest: &[u8]) -> Option<char> {
    let length = match rest.first()? {
        ..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    };
    sure(rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|one| one.chars().next()))
}

/// A choice that is not exhausted.
#[derive(Clone, Copy, Debug)]
struct Backtrack {
    /// Where to go on; of a repetition, the repetition itself.
    pc: u16,
    kind: ChoiceKind,
    /// Of a branch, its place; of a repetition, the end that is being tried.
    at: u32,
    /// Of a greedy repetition, its shortest end; of a lazy one, how many characters its next end has.
    bound: u32,
    /// Of a greedy repetition, its longest end; of a lazy one, where it begins.
    limit: u32,
    value: [u32; 2],
}

/// In [`Backtrack::bound`]: a lazy repetition has no further end.
const EXHAUSTED: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum ChoiceKind {
    Branch,
    GiveBack,
    TakeMore,
}

/// What is known of a repetition in the window of the same number.
#[derive(Clone, Copy, Debug, Default)]
struct Memo {
    window: u32,
    /// A run of its set, to where it ends.
    run: [u32; 2],
    /// Ends, first and last of a stretch without gaps, from which the rest of the pattern failed.
    failed: [u32; 2],
}

impl Memo {
    fn failed(&self, at: usize) -> bool {
        let [from, to] = self.failed;
        (from as usize..=to as usize).contains(&at) && to > 0
    }

    /// Ends that failed, too. Stretches that do not touch are not kept both.
    fn fail(&mut self, from: usize, to: usize) {
        let (from, to) = (from as u32, to as u32);
        let [known_from, known_to] = self.failed;
        let touches = known_to > 0 && from <= known_to.saturating_add(1) && known_from <= to.saturating_add(1);
        self.failed = if touches { [from.min(known_from), to.max(known_to)] } else { [from, to] };
    }
}

/// Memory that runs share, and the count of their steps.
#[derive(Debug, Default)]
pub struct Machine {
    open: Vec<Backtrack>,
    /// By instruction.
    memos: Vec<Memo>,
    /// By place and instruction, once [`PATIENCE`] is lost: a choice that was made before.
    visited: Vec<u64>,
    /// Of these, the bits that the current run has set.
    trail: Vec<usize>,
    noting: bool,
    window: Range<usize>,
    /// The window's number.
    number: u32,
    /// Bytes that a repetition without an upper bound may go.
    reach: usize,
    in_window: usize,
    /// Steps in the window until choices are noted.
    patience: usize,
    /// Steps of all runs: bytes that were read and instructions.
    pub steps: usize,
}

/// What a run reads.
#[derive(Clone, Copy)]
struct Input<'i> {
    /// The text up to the end of the window.
    bytes: &'i [u8],
    tables: &'i Tables,
}

/// False when a program has no match in plain words: of letters and white space, and of `.,;?!()`, behind which no letter
/// stands, without a run longer than `longest`. Conditions on places are taken as met.
pub fn matches_words(program: &[Op], tables: &Tables, longest: usize) -> bool {
    const MARKS: &[u8] = b".,;?!)";
    let of = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'(' => Some(Sign::Letter),
        b' ' | b'\n' => Some(Sign::White),
        _ => MARKS.contains(&byte).then_some(Sign::Mark),
    };
    // By instruction and whether a mark stands before it: the shortest run that it is reached with. A shorter one can do
    // all that a longer one can.
    let mut runs = vec![usize::MAX; 2 * program.len()];
    let mut open = vec![(0, 0, false)];
    while let Some((pc, run, is_behind)) = open.pop() {
        let known = runs.get_mut(2 * pc + usize::from(is_behind));
        let (Some(op), Some(known)) = (program.get(pc), known) else { return true };
        if run >= *known || run > longest {
            continue;
        }
        *known = run;
        let after = |sign: Sign, run: usize, is_behind: bool| match sign {
            Sign::White => Some((0, false)),
            Sign::Letter => (!is_behind).then_some((run + 1, false)),
            Sign::Mark => Some((run + 1, true)),
        };
        // A set, so many times: any of its signs may be the last.
        let set = |open: &mut Vec<(usize, usize, bool)>, set: u16, count: usize| {
            let takes = |byte: &u8| {
                sure(tables.sets.get(usize::from(set)))
                    .and_then(|set| set.ascii.get(usize::from(byte >> 6)))
                    .is_none_or(|bits| bits >> (byte & 63) & 1 == 1)
            };
            let signs: Vec<Sign> = (0..128).filter(takes).filter_map(of).collect();
            let is_white = signs.contains(&Sign::White);
            // No letter stands behind a mark.
            if is_behind && signs == [Sign::Letter].repeat(signs.len()) {
                return;
            }
            for sign in [Sign::White, Sign::Letter, Sign::Mark].into_iter().filter(|sign| signs.contains(sign)) {
                let before =
                    if is_white && count > 1 { (0, false) } else { (run + count - 1, is_behind && count == 1) };
                open.extend(after(sign, before.0, before.1).map(|(run, is_behind)| (pc + 1, run, is_behind)));
            }
        };
        match *op {
            Op::Literal(text) | Op::Fold(text) => {
                let read =
                    text.iter().try_fold((run, is_behind), |(run, is_behind), byte| after(of(*byte)?, run, is_behind));
                open.extend(read.map(|(run, is_behind)| (pc + 1, run, is_behind)));
            }
            Op::Set(number) => set(&mut open, number, 1),
            Op::Repeat(Repeat { set: number, min, .. }) => {
                if min == 0 {
                    open.push((pc + 1, run, is_behind));
                }
                // More than it must may end in another sign.
                set(&mut open, number, usize::from(min.max(1)));
            }
            Op::Split { first, second, .. } => {
                open.extend([usize::from(first), usize::from(second)].map(|pc| (pc, run, is_behind)));
            }
            Op::Jump(to) => open.push((usize::from(to), run, is_behind)),
            Op::Look(_) | Op::Open | Op::Close => open.push((pc + 1, run, is_behind)),
            Op::Match => return true,
        }
    }
    false
}

/// What plain words are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    White,
    Letter,
    Mark,
}

/// A byte's places: at which of the first eight of a match it may be, where neither the text nor a line begins.
pub type Places = [u8; 256];

/// False when a byte is where none of a match does: a run would fail.
pub fn may_begin(places: &Places, bytes: &[u8], start: usize) -> bool {
    if start.checked_sub(1).is_none_or(|before| bytes.get(before) == Some(&b'\n')) {
        return true;
    }
    let rest = onwards(bytes, start);
    let may = |at: usize, byte: u8| of_byte(places, byte) >> at & 1 == 1;
    match rest.first_chunk::<8>() {
        Some(&[a, b, c, d, e, f, g, h]) => {
            // Three bytes rule out nearly everything; the rest is looked at without a branch each.
            may(0, a) && may(1, b) && may(2, c) && may(3, d) & may(4, e) & may(5, f) & may(6, g) & may(7, h)
        }
        None => rest.iter().enumerate().all(|(at, byte)| may(at, *byte)),
    }
}

/// A match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The group `value`, or all of it.
    pub value: Range<usize>,
    /// All of it.
    pub whole: Range<usize>,
}

impl Machine {
    /// Begins with a program in a window: what is known of another window means nothing here. `reach`: bytes that a
    /// repetition without an upper bound may go.
    pub fn enter(&mut self, window: Range<usize>, reach: usize) {
        self.window = window;
        self.reach = reach;
        self.noting = false;
        self.in_window = 0;
        self.patience = PATIENCE + PATIENCE_A_BYTE * self.window.len();
        self.number = self.number.wrapping_add(1);
        if self.number == 0 {
            self.memos.clear();
            self.number = 1;
        }
    }

    /// Runs a program at a place of the window.
    pub fn run(&mut self, program: &[Op], tables: &Tables, text: &str, start: usize) -> Option<Found> {
        let bytes = sure(text.as_bytes().get(..self.window.end))?;
        // From here on a place is behind what was read of these bytes, so that it never passes their end.
        sure(bytes.get(start..))?;
        let input = Input { bytes, tables };
        let (mut pc, mut at, mut value) = (0usize, start, [u32::MAX; 2]);
        self.open.clear();
        self.trail.clear();
        loop {
            self.count(1);
            let op = *sure(program.get(pc))?;
            let next = match op {
                Op::Literal(literal) => bytes
                    .get(at..at + literal.len())
                    .filter(|there| *there == literal)
                    .map(|_| (pc + 1, at + literal.len())),
                Op::Fold(word) => fold(word, onwards(bytes, at)).map(|length| (pc + 1, at + length)),
                Op::Set(set) => {
                    let set = sure(tables.sets.get(usize::from(set)))?;
                    set.takes(onwards(bytes, at)).map(|length| (pc + 1, at + length))
                }
                Op::Repeat(repeat) => {
                    if self.in_window < self.patience || self.is_new(pc, at, program.len()) {
                        self.repeat(repeat, pc, at, input, value)
                    } else {
                        None
                    }
                }
                Op::Split { first, second, lookaheads } => {
                    if self.in_window < self.patience || self.is_new(pc, at, program.len()) {
                        let byte = bytes.get(at).copied();
                        let [one, other] = lookaheads
                            .map(|at| sure(tables.lookaheads.get(usize::from(at))).is_some_and(|f| f.takes(byte)));
                        if one && other {
                            let at = at as u32;
                            self.open.push(Backtrack {
                                pc: second,
                                kind: ChoiceKind::Branch,
                                at,
                                bound: 0,
                                limit: 0,
                                value,
                            });
                        }
                        match (one, other) {
                            (true, _) => Some((usize::from(first), at)),
                            (false, true) => Some((usize::from(second), at)),
                            (false, false) => None,
                        }
                    } else {
                        None
                    }
                }
                Op::Jump(to) => Some((usize::from(to), at)),
                Op::Look(look) => holds(look, text.as_bytes(), at).then_some((pc + 1, at)),
                Op::Open => {
                    value = [at as u32, u32::MAX];
                    Some((pc + 1, at))
                }
                Op::Close => {
                    let [from, _] = value;
                    value = [from, at as u32];
                    Some((pc + 1, at))
                }
                Op::Match => {
                    self.forget_success();
                    let [from, to] = value;
                    let whole = start..at;
                    let value = if to == u32::MAX { whole.clone() } else { from as usize..to as usize };
                    return Some(Found { value, whole });
                }
            };
            (pc, at) = match next {
                Some(place) => place,
                None => {
                    let (place, kept) = self.back(program, input)?;
                    value = kept;
                    place
                }
            };
        }
    }

    fn count(&mut self, steps: usize) {
        self.steps += steps;
        self.in_window += steps;
    }

    /// A choice that was not made at this place before. Asked once the window's [`Machine::patience`] is lost.
    fn is_new(&mut self, pc: usize, at: usize, length: usize) -> bool {
        if !self.noting {
            self.noting = true;
            self.visited.clear();
            self.visited.resize(((self.window.len() + 1) * length).div_ceil(64), 0);
        }
        let bit = at.saturating_sub(self.window.start) * length + pc;
        // Without its bit a choice is made twice: slow, but no match is missed.
        let Some(bits) = sure(self.visited.get_mut(bit / 64)) else { return true };
        let known = *bits >> (bit % 64) & 1 == 1;
        *bits |= 1 << (bit % 64);
        if !known {
            self.trail.push(bit);
        }
        !known
    }

    /// What led to a match has not failed: a match that begins in this one's border may come by there.
    fn forget_success(&mut self) {
        for bit in self.trail.drain(..) {
            if let Some(bits) = sure(self.visited.get_mut(bit / 64)) {
                *bits &= !(1 << (bit % 64));
            }
        }
        // Longer ends than the one that led to it have failed all the same.
        while let Some(Backtrack { pc, kind, at, limit, .. }) = self.open.pop() {
            if matches!(kind, ChoiceKind::GiveBack)
                && at < limit
                && let Some(memo) = self.memo(usize::from(pc))
            {
                memo.fail(at as usize + 1, limit as usize);
            }
        }
    }

    /// What is known of a repetition in this window.
    fn memo(&mut self, pc: usize) -> Option<&mut Memo> {
        if pc >= self.memos.len() {
            self.memos.resize(pc + 1, Memo::default());
        }
        let number = self.number;
        let memo = sure(self.memos.get_mut(pc))?;
        if memo.window != number {
            *memo = Memo { window: number, ..Memo::default() };
        }
        Some(memo)
    }

    /// Where the run of a set ends that goes on at `from`.
    fn run_end(&mut self, set: &Set, pc: usize, from: usize, bytes: &[u8]) -> usize {
        let [known_start, known_end] = self.memo(pc).map_or([0; 2], |memo| memo.run.map(|at| at as usize));
        if known_end > 0 && (known_start..=known_end).contains(&from) {
            return known_end;
        }
        let (mut end, mut walked) = (from, 0);
        while let Some(length) = set.takes(onwards(bytes, end)) {
            end += length;
            walked += length;
            // Ends are tried from the last to the first: what follows them begins ever earlier in one run.
            if end == known_start && known_end > 0 {
                end = known_end;
                break;
            }
        }
        self.count(walked);
        if end - from >= WORTH_A_NOTE
            && let Some(memo) = self.memo(pc)
        {
            memo.run = [from as u32, end as u32];
        }
        end
    }

    fn repeat(
        &mut self,
        repeat: Repeat,
        pc: usize,
        at: usize,
        input: Input<'_>,
        value: [u32; 2],
    ) -> Option<(usize, usize)> {
        let Input { bytes, tables } = input;
        let set = sure(tables.sets.get(usize::from(repeat.set)))?;
        let has_bound = repeat.max < u16::MAX;
        let (mut end, mut count, mut shortest) = (at, 0u16, at);
        if repeat.greedy && !has_bound && set.ranges.is_empty() {
            // Bytes are characters: the run's end tells how many there are.
            end = self.run_end(set, pc, at, bytes);
            shortest = at + usize::from(repeat.min);
            if end < shortest {
                return None;
            }
        } else {
            let goal = if repeat.greedy && has_bound { repeat.max } else { repeat.min };
            while count < goal {
                let Some(length) = set.takes(onwards(bytes, end)) else { break };
                end += length;
                count += 1;
                if count == repeat.min {
                    shortest = end;
                }
            }
            self.count(end - at);
            if count < repeat.min {
                return None;
            }
        }
        let (place, bound) = (end as u32, u32::from(count));
        if !repeat.greedy {
            let kind = ChoiceKind::TakeMore;
            self.open.push(Backtrack { pc: pc as u16, kind, at: place, bound, limit: place, value });
            return None;
        }
        if !has_bound {
            end = self.run_end(set, pc, end, bytes);
            if end - at > self.reach {
                end = floor(bytes, at.saturating_add(self.reach)).max(shortest);
            }
        }
        let (place, bound) = (end as u32, shortest as u32);
        let choice = Backtrack { pc: pc as u16, kind: ChoiceKind::GiveBack, at: place, bound, limit: place, value };
        self.give_back(choice, repeat, input)
    }

    /// The longest end of a greedy repetition, from the one that it is at, after which the pattern may go on.
    fn give_back(&mut self, mut choice: Backtrack, repeat: Repeat, input: Input<'_>) -> Option<(usize, usize)> {
        let Input { bytes, tables } = input;
        let pc = usize::from(choice.pc);
        let next = sure(tables.lookaheads.get(usize::from(repeat.lookahead)))?;
        let (shortest, longest) = (choice.bound as usize, choice.limit as usize);
        let is_long = longest - shortest >= WORTH_A_NOTE;
        let least = if repeat.possessive { longest } else { shortest };
        let mut at = Some(choice.at as usize);
        while let Some(end) = at.filter(|end| *end >= least) {
            if is_long
                && let Some(memo) = self.memo(pc)
                && memo.failed(end)
            {
                let [first, _] = memo.failed;
                at = (first as usize).checked_sub(1).map(|before| floor(bytes, before));
                continue;
            }
            self.count(1);
            if next.takes(bytes.get(end).copied()) {
                if end > least || is_long {
                    choice.at = end as u32;
                    self.open.push(choice);
                }
                return Some((pc + 1, end));
            }
            at = end.checked_sub(1).map(|before| floor(bytes, before));
        }
        if is_long && let Some(memo) = self.memo(pc) {
            memo.fail(shortest, longest);
        }
        None
    }

    /// The shortest end of a lazy repetition, from the one that it is at, after which the pattern may go on.
    fn take_more(&mut self, mut choice: Backtrack, repeat: Repeat, input: Input<'_>) -> Option<(usize, usize)> {
        let Input { bytes, tables } = input;
        let pc = usize::from(choice.pc);
        let next = sure(tables.lookaheads.get(usize::from(repeat.lookahead)))?;
        let set = sure(tables.sets.get(usize::from(repeat.set)))?;
        let has_bound = repeat.max < u16::MAX;
        let (first, mut at, mut count) = (choice.limit as usize, choice.at as usize, choice.bound);
        if count == EXHAUSTED {
            if let Some(memo) = self.memo(pc) {
                memo.fail(first, at);
            }
            return None;
        }
        loop {
            self.count(1);
            let known = self.memo(pc).filter(|memo| !has_bound && memo.failed(at)).map(|memo| memo.failed);
            if let Some([_, last]) = known {
                at = self.run_end(set, pc, at, bytes).min(last as usize);
            }
            let goes = known.is_none() && next.takes(bytes.get(at).copied());
            let end = at;
            let more = if has_bound { count < u32::from(repeat.max) } else { at - first < self.reach };
            let length = set.takes(onwards(bytes, at)).filter(|_| more);
            if let Some(length) = length {
                at += length;
                count += 1;
            }
            if goes {
                (choice.at, choice.bound) = (at as u32, if length.is_some() { count } else { EXHAUSTED });
                self.open.push(choice);
                return Some((pc + 1, end));
            }
            if length.is_none() {
                if end - first >= WORTH_A_NOTE
                    && let Some(memo) = self.memo(pc)
                {
                    memo.fail(first, end);
                }
                return None;
            }
        }
    }

    /// The latest choice that is not exhausted.
    fn back(&mut self, program: &[Op], input: Input<'_>) -> Option<((usize, usize), [u32; 2])> {
        while let Some(mut choice) = self.open.pop() {
            let (at, pc) = (choice.at as usize, usize::from(choice.pc));
            let found = match (choice.kind, program.get(pc)) {
                (ChoiceKind::Branch, _) => Some((pc, at)),
                (ChoiceKind::TakeMore, Some(Op::Repeat(repeat))) => self.take_more(choice, *repeat, input),
                (ChoiceKind::GiveBack, Some(Op::Repeat(repeat))) => {
                    // The end that it is at has failed.
                    if repeat.possessive || choice.at <= choice.bound {
                        let (shortest, longest) = (choice.bound as usize, choice.limit as usize);
                        if longest - shortest >= WORTH_A_NOTE
                            && let Some(memo) = self.memo(pc)
                        {
                            memo.fail(shortest, longest);
                        }
                        None
                    } else {
                        choice.at = floor(input.bytes, at - 1) as u32;
                        self.give_back(choice, *repeat, input)
                    }
                }
                // Only a repetition leaves its ends to be tried.
                (ChoiceKind::TakeMore | ChoiceKind::GiveBack, _) => sure(None),
            };
            if let Some(place) = found {
                return Some((place, choice.value));
            }
        }
        None
    }
}

/// Characters are given back whole: where the character at this place begins.
fn floor(bytes: &[u8], mut at: usize) -> usize {
    while at > 0 && bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
        at -= 1;
    }
    at
}

/// The length of a word in any case at the head of these bytes.
fn fold(word: &[u8], rest: &[u8]) -> Option<usize> {
    let mut length = 0;
    for &letter in word {
        let there = rest.get(length..)?;
        length += match (letter, there) {
            (_, [byte, ..]) if byte.to_ascii_lowercase() == letter => 1,
            (b'k', [0xe2, 0x84, 0xaa, ..]) => 3,
            (b's', [0xc5, 0xbf, ..]) => 2,
            _ => return None,
        };
    }
    Some(length)
}

fn holds(look: Look, text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at));
    let after = text.get(at);
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match look {
        Look::Start => before.is_none(),
        Look::End => after.is_none(),
        Look::LineStart => before.is_none_or(|byte| *byte == b'\n'),
        Look::LineEnd => after.is_none_or(|byte| *byte == b'\n'),
        Look::Word => word(before) != word(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::take_broken;

    /// Release builds record it, and the text counts as not scanned whole.
    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "leads nowhere"))]
    fn a_program_that_does_not_fit_its_tables_is_recorded() {
        let tables = Tables { sets: &[], lookaheads: &[] };
        let mut machine = Machine::default();
        machine.enter(0..3, usize::MAX);
        assert_eq!(machine.run(&[Op::Set(0), Op::Match], &tables, "abc", 0), None);
        assert!(take_broken());
    }
}
