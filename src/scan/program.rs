//! Patterns as programs that were compiled at build time: nothing is compiled, allocated or cached when one is first
//! needed, and a pattern costs a few hundred bytes.
//!
//! A program is run at one place of the text. It backtracks in the order of preference of its pattern, so that it finds
//! what any leftmost-first engine finds there. A step that one byte rules out is never taken: what may follow a span
//! or a branch is known. Where a text makes a program try much, what has failed once at a place is noted, so that no
//! place is tried twice: steps are bounded by the program times the window.

use std::ops::Range;

/// Steps in one window from which failures are noted: few windows come so far, and notes are
/// memory that must be cleared.
const PATIENCE: usize = 256;
/// The same, for each byte.
const PATIENCE_A_BYTE: usize = 4;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// These bytes.
    Literal(&'static [u8]),
    /// These small letters, in any case; the Kelvin sign and the long s are letters, too.
    Fold(&'static [u8]),
    /// One character of a set.
    Set(u16),
    /// So many characters of a set.
    Span(Span),
    /// The first branch, then the second.
    Split {
        /// Where the preferred branch goes on.
        first: u16,
        /// Where the other goes on.
        second: u16,
        /// What each may begin with.
        firsts: [u16; 2],
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
pub struct Span {
    /// The set.
    pub set: u16,
    /// Fewest characters.
    pub min: u16,
    /// Most characters; [`u16::MAX`]: any number.
    pub max: u16,
    /// As many as possible first.
    pub greedy: bool,
    /// No character that it took can be what follows: it is never given back.
    pub keeps: bool,
    /// What may follow.
    pub next: u16,
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

/// What may come first: bytes, or the end of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Bytes.
    pub bytes: [u64; 4],
    /// The end.
    pub end: bool,
}

/// Sets and firsts that programs share.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Sets.
    pub sets: &'static [Set],
    /// Firsts.
    pub firsts: &'static [First],
}

impl First {
    /// True when this byte, or the end, may come.
    pub fn takes(&self, byte: Option<u8>) -> bool {
        match byte {
            Some(byte) => self.bytes.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1),
            None => self.end,
        }
    }
}

impl Set {
    /// The length of the character at the head of these bytes, if it is in the set.
    fn takes(&self, rest: &[u8]) -> Option<usize> {
        let &byte = rest.first()?;
        if byte < 0x80 {
            let bits = self.ascii.get(usize::from(byte >> 6))?;
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
    std::str::from_utf8(rest.get(..length)?).ok()?.chars().next()
}

/// A way not taken yet.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Where to go on; of a lazy span, the span itself.
    pc: u16,
    kind: Kind,
    at: u32,
    /// Of a greedy span, how far it may be given back; of a lazy one, how many characters it has.
    bound: u32,
    value: [u32; 2],
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Branch,
    GiveBack,
    TakeMore,
}

/// Memory that runs share, and the count of their steps.
#[derive(Debug, Default)]
pub struct Machine {
    ways: Vec<Way>,
    /// By instruction and place, after [`PATIENCE`] is lost: tried before.
    tried: Vec<u64>,
    noting: bool,
    window: Range<usize>,
    in_window: usize,
    /// Steps of all runs.
    pub steps: usize,
}

/// A byte's places: at which of the first eight of a match it may stand.
pub type Places = [u8; 256];

/// False when a byte stands where none of a match does: a run would fail.
pub fn may_begin(places: &Places, bytes: &[u8], start: usize) -> bool {
    let rest = bytes.get(start..).unwrap_or_default();
    let may = |at: usize, byte: u8| places.get(usize::from(byte)).is_none_or(|bits| bits >> at & 1 == 1);
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
    /// Begins with a program in a window: failures in another one mean nothing here.
    pub fn enter(&mut self, window: Range<usize>) {
        self.window = window;
        self.noting = false;
        self.in_window = 0;
    }

    /// Runs a program at a place of the window.
    pub fn run(&mut self, program: &[Op], tables: &Tables, text: &str, start: usize) -> Option<Found> {
        let bytes = text.as_bytes().get(..self.window.end)?;
        let (mut pc, mut at, mut value) = (0usize, start, [u32::MAX; 2]);
        self.ways.clear();
        loop {
            self.steps += 1;
            self.in_window += 1;
            let op = *program.get(pc)?;
            let next = match op {
                Op::Literal(literal) => bytes
                    .get(at..at + literal.len())
                    .filter(|there| *there == literal)
                    .map(|_| (pc + 1, at + literal.len())),
                Op::Fold(word) => fold(word, bytes.get(at..).unwrap_or_default()).map(|length| (pc + 1, at + length)),
                Op::Set(set) => {
                    let set = tables.sets.get(usize::from(set))?;
                    set.takes(bytes.get(at..).unwrap_or_default()).map(|length| (pc + 1, at + length))
                }
                Op::Span(span) => {
                    if self.fresh(pc, at, program.len()) {
                        self.span(span, pc, at, bytes, tables, value)
                    } else {
                        None
                    }
                }
                Op::Split { first, second, firsts } => {
                    if self.fresh(pc, at, program.len()) {
                        let byte = bytes.get(at).copied();
                        let [one, other] =
                            firsts.map(|at| tables.firsts.get(usize::from(at)).is_some_and(|f| f.takes(byte)));
                        if one && other {
                            self.ways.push(Way { pc: second, kind: Kind::Branch, at: at as u32, bound: 0, value });
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
                    value = [value.first().copied().unwrap_or(u32::MAX), at as u32];
                    Some((pc + 1, at))
                }
                Op::Match => {
                    let [from, to] = value;
                    let whole = start..at;
                    let value = if to == u32::MAX { whole.clone() } else { from as usize..to as usize };
                    return Some(Found { value, whole });
                }
            };
            (pc, at) = match next {
                Some(place) => place,
                None => {
                    let (place, kept) = self.back(program, tables, bytes)?;
                    value = kept;
                    place
                }
            };
        }
    }

    /// A choice that was not made at this place before.
    fn fresh(&mut self, pc: usize, at: usize, length: usize) -> bool {
        if !self.noting {
            if self.in_window < PATIENCE + PATIENCE_A_BYTE * self.window.len() {
                return true;
            }
            self.noting = true;
            self.tried.clear();
            self.tried.resize(((self.window.len() + 1) * length).div_ceil(64), 0);
        }
        let bit = at.saturating_sub(self.window.start) * length + pc;
        let Some(bits) = self.tried.get_mut(bit / 64) else { return true };
        let known = *bits >> (bit % 64) & 1 == 1;
        *bits |= 1 << (bit % 64);
        !known
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one loop")]
    fn span(
        &mut self,
        span: Span,
        pc: usize,
        at: usize,
        bytes: &[u8],
        tables: &Tables,
        value: [u32; 2],
    ) -> Option<(usize, usize)> {
        let set = tables.sets.get(usize::from(span.set))?;
        let (mut end, mut count, mut low) = (at, 0u16, at);
        let goal = if span.greedy { span.max } else { span.min };
        while count < goal || goal == u16::MAX {
            let Some(length) = set.takes(bytes.get(end..).unwrap_or_default()) else { break };
            end += length;
            count = count.saturating_add(1);
            if count == span.min {
                low = end;
            }
        }
        self.steps += usize::from(count) / 8;
        self.in_window += usize::from(count) / 8;
        if count < span.min {
            return None;
        }
        if !span.greedy {
            let way = Way { pc: pc as u16, kind: Kind::TakeMore, at: end as u32, bound: u32::from(count), value };
            self.ways.push(way);
            return None;
        }
        if end > low && !span.keeps {
            let way = Way { pc: pc as u16, kind: Kind::GiveBack, at: end as u32, bound: low as u32, value };
            self.ways.push(way);
        }
        let next = tables.firsts.get(usize::from(span.next))?;
        next.takes(bytes.get(end).copied()).then_some((pc + 1, end))
    }

    /// The latest way not taken yet.
    fn back(&mut self, program: &[Op], tables: &Tables, bytes: &[u8]) -> Option<((usize, usize), [u32; 2])> {
        while let Some(mut way) = self.ways.pop() {
            let (at, pc) = (way.at as usize, usize::from(way.pc));
            let span = match (way.kind, program.get(pc)) {
                (Kind::Branch, _) => return Some(((pc, at), way.value)),
                (_, Some(Op::Span(span))) => span,
                _ => continue,
            };
            let next = tables.firsts.get(usize::from(span.next))?;
            match way.kind {
                Kind::GiveBack => {
                    let mut at = at;
                    while at > way.bound as usize {
                        self.steps += 1;
                        self.in_window += 1;
                        at -= 1;
                        // Characters are given back whole.
                        while bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
                            at -= 1;
                        }
                        if next.takes(bytes.get(at).copied()) {
                            if at > way.bound as usize {
                                way.at = at as u32;
                                self.ways.push(way);
                            }
                            return Some(((pc + 1, at), way.value));
                        }
                    }
                }
                _ => {
                    let set = tables.sets.get(usize::from(span.set))?;
                    let (mut at, mut count) = (at, way.bound);
                    // A lazy span is met here first: with as few characters as it may have.
                    loop {
                        self.steps += 1;
                        self.in_window += 1;
                        let goes = next.takes(bytes.get(at).copied());
                        let here = at;
                        let more = span.max == u16::MAX || count < u32::from(span.max);
                        let length = set.takes(bytes.get(at..).unwrap_or_default()).filter(|_| more);
                        if let Some(length) = length {
                            at += length;
                            count += 1;
                        }
                        if goes {
                            if length.is_some() {
                                (way.at, way.bound) = (at as u32, count);
                                self.ways.push(way);
                            }
                            return Some(((pc + 1, here), way.value));
                        }
                        if length.is_none() {
                            break;
                        }
                    }
                }
            }
        }
        None
    }
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
