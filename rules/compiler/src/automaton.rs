//! The automaton of beginnings: which patterns are worth a try at a place.
//!
//! ```
//! use bartizan_rules_compiler::lower::Compiler;
//!
//! let mut compiler = Compiler::default();
//! compiler.add("key[0-9]", true).unwrap();
//! let places = compiler.places(0);
//! assert!(places[usize::from(b'k')] & 1 == 1 && places[usize::from(b'x')] & 1 == 0, "what a match begins with");
//! ```

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::layout::frequency;
use bartizan_rules::beginnings::{FIRST_GROUP, PARTS, SECOND_GROUP, parts};
use bartizan_rules::program::Look;

use crate::lower::{Compiler, Step, folds};

/// Counts of repetitions that the automaton of beginnings tells apart.
const DEPTH: usize = 20;
/// So few patterns are tried without looking further.
const FEW: usize = 2;
/// States of the automaton.
const ENOUGH: usize = 160;
/// A pattern that may begin at one of this number of places of ordinary text, by four bytes, has no beginning of its own.
const BROAD: usize = 20;
/// A pattern that may begin further than this before its first digit is looked for in the whole window.
const NEAR: u16 = 48;
/// Ordinary text has few runs of this number of tokens: a pattern that needs one is looked for around these only.
const LONG: u8 = 12;
/// Ordinary text.
const SAMPLE: &str = "The order of 14 March (no. 2041) left our store at 9:30, and Anna's parcel weighs 3.5 kg. Please \
    call us at the office when it is there, or write two lines to the usual address; we need your answer by Friday.";

/// The automaton of beginnings: which patterns are worth a try at a place.
#[derive(Debug, Default)]
pub struct Beginnings {
    /// Byte to class.
    pub classes: Vec<u8>,
    /// A double array over classes: class in bits 0 to 7, 8: the end, base or list above.
    pub units: Vec<u32>,
    /// Base of the state at the start of the text, of a line, and elsewhere.
    pub roots: [u32; 3],
    /// Where each list of patterns begins.
    pub lists: Vec<u16>,
    /// Patterns.
    pub patterns: Vec<u16>,
    /// Lists by what parts a number from what is before, and the number's first two groups of digits.
    pub groups: Vec<u16>,
    /// Patterns that are looked for by themselves.
    pub broad: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// Instruction, and how far into it.
    Inside(u16, u16),
    /// This number of bytes of a character is left before that.
    Rest(u16, u16, u8),
    /// Nothing more is known: it may match.
    Open,
}

/// What begins at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Text,
    Line,
    None,
}

/// Sorted.
type State = Vec<(u16, Progress)>;

impl Compiler {
    /// The automaton over all programs.
    pub fn beginnings(&self) -> Beginnings {
        let mut out = Beginnings { lists: vec![0], ..Beginnings::default() };
        let (mut narrow, mut broad): (Vec<u16>, Vec<u16>) = (Vec::new(), Vec::new());
        for program in 0..self.programs.len() as u16 {
            if self.is_narrow(program) { narrow.push(program) } else { broad.push(program) }
        }
        out.broad = broad;
        let root = |edge: Edge| -> State {
            let mut state = State::new();
            for program in &narrow {
                self.close(*program, 0, 0, edge, &mut state, &mut BTreeSet::new());
            }
            state.sort_unstable();
            state
        };
        let roots = [root(Edge::Text), root(Edge::Line), root(Edge::None)];
        let mut numbers: BTreeMap<State, usize> = BTreeMap::new();
        let mut states: Vec<State> = Vec::new();
        let mut table: BTreeMap<usize, Vec<Option<usize>>> = BTreeMap::new();
        // The likeliest state goes on first: text shows few of all the beginnings that there could be.
        let mut open: BinaryHeap<(u64, usize)> = BinaryHeap::new();
        for (at, state) in roots.into_iter().enumerate() {
            states.push(state);
            open.push((u64::MAX - at as u64, at));
        }
        let (alike, mut targets) = (self.alike(false), Targets::new());
        while let Some((likely, at)) = open.pop() {
            if table.len() >= ENOUGH {
                break;
            }
            let state = states.get(at).cloned().unwrap_or_default();
            let mut row = vec![None; 256];
            for bytes in &alike {
                let next = self.advance(&state, bytes.first().copied().unwrap_or(0), &mut targets);
                if next.is_empty() {
                    continue;
                }
                let settled = is_settled(&next);
                let number = *numbers.entry(next).or_insert_with_key(|next| {
                    states.push(next.clone());
                    if !settled {
                        let share: u64 = bytes.iter().map(|byte| u64::from(frequency(*byte))).sum();
                        open.push((likely / 1024 * share.min(1000), states.len() - 1));
                    }
                    states.len() - 1
                });
                for byte in bytes {
                    if let Some(slot) = row.get_mut(usize::from(*byte)) {
                        *slot = Some(number);
                    }
                }
            }
            table.insert(at, row);
        }
        self.arrange(&states, &table, &mut out);
        out
    }

    /// Bytes that no instruction tells apart: of any program, or of those that are looked for together.
    fn alike(&self, any: bool) -> Vec<Vec<u8>> {
        let mut literal = BTreeSet::new();
        let shared = self.programs.iter().zip(&self.shared).filter(|(_, shared)| any || **shared);
        let mut sets_used = BTreeSet::new();
        for step in shared.flat_map(|(steps, _)| steps) {
            if let Step::Set(set) | Step::Repeat(set, ..) = step {
                sets_used.insert(*set);
            }
            if let Step::Literal(bytes) = step {
                literal.extend(bytes.iter().copied());
            }
            if let Step::Fold(word) = step {
                literal.extend(word.iter().flat_map(|b| [*b, b.to_ascii_uppercase(), 0xe2, 0xc5]));
            }
        }
        let mut groups: BTreeMap<(Option<u8>, u8, Vec<bool>), Vec<u8>> = BTreeMap::new();
        for byte in 0..=255u8 {
            let sets = sets_used.iter().map(|set| self.leads(*set, byte)).collect();
            let known = literal.contains(&byte).then_some(byte);
            let length = byte.leading_ones().min(5) as u8;
            groups.entry((known, length, sets)).or_default().push(byte);
        }
        groups.into_values().collect()
    }

    fn arrange(&self, states: &[State], table: &BTreeMap<usize, Vec<Option<usize>>>, out: &mut Beginnings) {
        // Bytes that no state tells apart share a class; class 0 leads nowhere.
        let mut columns = vec![vec![None; table.len()]];
        let mut known: BTreeMap<Vec<Option<usize>>, u8> = columns.iter().map(|column| (column.clone(), 0)).collect();
        for byte in 0..256usize {
            let column: Vec<Option<usize>> = table.values().map(|row| row.get(byte).copied().flatten()).collect();
            let next = known.len() as u8;
            let class = *known.entry(column.clone()).or_insert(next);
            if usize::from(class) == columns.len() {
                columns.push(column);
            }
            out.classes.push(class);
        }
        let mut lists: BTreeMap<Vec<u16>, u32> = BTreeMap::new();
        let mut bases: Vec<u32> = Vec::new();
        let (mut taken, mut used) = (vec![true], BTreeSet::new());
        let rows: BTreeMap<usize, usize> = table.keys().enumerate().map(|(row, at)| (*at, row)).collect();
        for (at, state) in states.iter().enumerate() {
            let Some(row) = rows.get(&at) else {
                let mut patterns: Vec<u16> = state.iter().map(|(program, _)| *program).collect();
                patterns.dedup();
                let next = out.lists.len() as u32 - 1;
                let list = *lists.entry(patterns).or_insert_with_key(|patterns| {
                    out.patterns.extend(patterns);
                    out.lists.push(out.patterns.len() as u16);
                    next
                });
                bases.push(list);
                continue;
            };
            let labels: Vec<usize> = (1..columns.len())
                .filter(|class| columns.get(*class).and_then(|column| column.get(*row)).is_some_and(Option::is_some))
                .collect();
            let free = |at: usize| !taken.get(at).copied().unwrap_or(false);
            let base = (256usize..)
                .find(|base| !used.contains(base) && labels.iter().all(|label| free(base ^ label)))
                .unwrap_or(0);
            used.insert(base);
            for place in labels.iter().map(|label| base ^ label) {
                if place >= taken.len() {
                    taken.resize(place + 1, false);
                }
                if let Some(slot) = taken.get_mut(place) {
                    *slot = true;
                }
            }
            bases.push(base as u32);
        }
        out.units = vec![0; taken.len()];
        for (at, row) in &rows {
            for (class, column) in columns.iter().enumerate().skip(1) {
                let (Some(Some(next)), Some(base)) = (column.get(*row), bases.get(*at)) else { continue };
                let value = bases.get(*next).copied().unwrap_or(0);
                if let Some(unit) = out.units.get_mut((*base ^ class as u32) as usize) {
                    *unit = class as u32 | u32::from(!rows.contains_key(next)) << 8 | value << 9;
                }
            }
        }
        if let [text, line, elsewhere, ..] = bases.as_slice() {
            out.roots = [*text, *line, *elsewhere];
        }
        let root = states.get(2).cloned().unwrap_or_default();
        self.numbers(&root, &mut lists, out);
    }

    /// By byte: at which of the first eight places of a match it may be, a bit each, where neither the text nor a line
    /// begins. There most patterns begin with what parts them from the word before.
    pub fn places(&self, program: usize) -> Vec<u8> {
        let (program, mut targets) = (program as u16, Targets::new());
        let mut state = State::new();
        self.close(program, 0, 0, Edge::None, &mut state, &mut BTreeSet::new());
        let mut out = vec![0u8; 256];
        let alike = self.alike(true);
        for place in 0..8 {
            let mut next = State::new();
            for bytes in &alike {
                let after = self.advance(&state, bytes.first().copied().unwrap_or(0), &mut targets);
                for byte in bytes.iter().filter(|_| !after.is_empty()) {
                    if let Some(bits) = out.get_mut(usize::from(*byte)) {
                        *bits |= 1 << place;
                    }
                }
                next.extend(after);
            }
            next.sort_unstable();
            next.dedup();
            state = next;
        }
        out
    }

    /// The lists of patterns for numbers, by their first groups of digits.
    fn numbers(&self, root: &State, lists: &mut BTreeMap<Vec<u16>, u32>, out: &mut Beginnings) {
        let (mut targets, mut going) = (Targets::new(), BTreeMap::new());
        let alike: Vec<u8> = self.alike(false).iter().filter_map(|bytes| bytes.first().copied()).collect();
        let others: Vec<u8> = alike.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect();
        let mut any = |state: &State, bytes: &mut dyn Iterator<Item = u8>| {
            let mut next: State = bytes.flat_map(|byte| self.advance(state, byte, &mut targets)).collect();
            next.sort_unstable();
            next.dedup();
            next
        };
        // The bytes that are told apart here need not be alike elsewhere.
        let kinds: BTreeSet<u8> = alike.iter().copied().chain(*b" -./").collect();
        let of =
            |kind: u8| kinds.iter().copied().filter(move |byte| !byte.is_ascii_alphanumeric() && parts(*byte) == kind);
        let digits =
            |mut state: State, count: u8, any: &mut dyn FnMut(&State, &mut dyn Iterator<Item = u8>) -> State| {
                for _ in 0..count {
                    state = any(&state, &mut (b'0'..=b'9'));
                }
                state
            };
        for before in 0..PARTS {
            let parted = any(root, &mut of(before));
            for first in 1..=FIRST_GROUP {
                let state = digits(parted.clone(), first, &mut any);
                for between in 0..PARTS {
                    // Letters part groups, too, as any other byte.
                    let mut bytes =
                        kinds.iter().copied().filter(|byte| !byte.is_ascii_digit() && parts(*byte) == between);
                    let state = any(&state, &mut bytes);
                    for second in 0..=SECOND_GROUP {
                        let state = digits(state.clone(), second, &mut any);
                        // Another digit would make the group longer.
                        let goes_on = |(program, place): &(u16, Progress)| {
                            *place == Progress::Open
                                || second == SECOND_GROUP
                                || others.iter().any(|byte| self.accepts(*program, *place, *byte).is_some())
                        };
                        let mut patterns: Vec<u16> = Vec::new();
                        for place in state {
                            if *going.entry((second == SECOND_GROUP, place)).or_insert_with(|| goes_on(&place)) {
                                patterns.push(place.0);
                            }
                        }
                        patterns.sort_unstable();
                        patterns.dedup();
                        let next = out.lists.len() as u32 - 1;
                        let list = *lists.entry(patterns).or_insert_with_key(|patterns| {
                            out.patterns.extend(patterns);
                            out.lists.push(out.patterns.len() as u16);
                            next
                        });
                        out.groups.push(list as u16);
                    }
                }
            }
        }
    }

    /// It is looked for together with others.
    pub(crate) fn is_narrow(&self, program: u16) -> bool {
        let at = usize::from(program);
        let rare = self.runs.get(at).is_some_and(|(length, before)| *length >= LONG && *before <= NEAR);
        let is_anchored = self.anchors.get(at).is_some_and(|anchors| !anchors.is_empty());
        self.shared.get(at) == Some(&true) && !is_anchored && !rare && !self.is_broad(program)
    }

    /// Those that are looked for together with others, and not only around digits.
    pub fn far(&self) -> Vec<u16> {
        let far = self.before.iter().zip(0..).filter(|(before, program)| **before > NEAR && self.is_narrow(*program));
        far.map(|(_, program)| program).collect()
    }

    /// Bytes before a digit within which one of the others may begin.
    pub fn before_any(&self) -> u16 {
        let narrow =
            self.before.iter().zip(0..).filter(|(before, program)| **before <= NEAR && self.is_narrow(*program));
        narrow.map(|(before, _)| *before).max().unwrap_or(0)
    }

    /// Ordinary text may begin it nearly anywhere.
    fn is_broad(&self, program: u16) -> bool {
        let mut root = State::new();
        self.close(program, 0, 0, Edge::None, &mut root, &mut BTreeSet::new());
        let mut targets = Targets::new();
        let alive = SAMPLE.as_bytes().windows(4).filter(|bytes| {
            let mut state = root.clone();
            bytes.iter().for_each(|byte| state = self.advance(&state, *byte, &mut targets));
            !state.is_empty()
        });
        alive.count() * BROAD > SAMPLE.len()
    }

    fn close(&self, program: u16, pc: usize, inside: u16, edge: Edge, out: &mut State, seen: &mut BTreeSet<usize>) {
        if inside == 0 && !seen.insert(pc) {
            return;
        }
        let mut go = |pc: usize, out: &mut State| self.close(program, pc, 0, edge, out, seen);
        match self.programs.get(usize::from(program)).and_then(|steps| steps.get(pc)) {
            None | Some(Step::Match | Step::Look(Look::End | Look::LineEnd)) => {
                out.push((program, Progress::Open));
            }
            Some(Step::Literal(_) | Step::Fold(_) | Step::Set(_)) => {
                out.push((program, Progress::Inside(pc as u16, inside)));
            }
            Some(Step::Repeat(_, min, max, _)) => {
                // Counts beyond what is looked at are as good as none.
                let open = *max == u16::MAX || usize::from(*max) > DEPTH;
                let inside = if open { inside.min((*min).min(DEPTH as u16)) } else { inside };
                if open || inside < *max {
                    out.push((program, Progress::Inside(pc as u16, inside)));
                }
                if inside >= (*min).min(DEPTH as u16) {
                    go(pc + 1, out);
                }
            }
            Some(Step::Split(first, second)) => {
                go(usize::from(*first), out);
                go(usize::from(*second), out);
            }
            Some(Step::Jump(to)) => go(usize::from(*to), out),
            Some(Step::Look(Look::Start)) if edge != Edge::Text => {}
            Some(Step::Look(Look::LineStart)) if edge == Edge::None => {}
            Some(Step::Look(_) | Step::Open | Step::Close) => go(pc + 1, out),
        }
    }

    fn advance(&self, state: &State, byte: u8, targets: &mut Targets) -> State {
        let mut out = State::new();
        for (program, place) in state {
            if let Some(left) = self.accepts(*program, *place, byte) {
                let key = (*program, *place, left);
                out.extend(targets.entry(key).or_insert_with(|| self.target(*program, *place, left)).iter());
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    /// How many bytes of the character follow, if this byte may come here.
    fn accepts(&self, program: u16, place: Progress, byte: u8) -> Option<u8> {
        let (pc, inside) = match place {
            Progress::Inside(pc, inside) => (pc, inside),
            Progress::Rest(..) => return (0x80..0xc0).contains(&byte).then_some(0),
            Progress::Open => return Some(0),
        };
        let left = match byte {
            ..0xc0 => 0,
            0xc0..0xe0 => 1,
            0xe0..0xf0 => 2,
            0xf0.. => 3,
        };
        match self.programs.get(usize::from(program))?.get(usize::from(pc))? {
            Step::Literal(literal) => (literal.get(usize::from(inside)) == Some(&byte)).then_some(0),
            Step::Fold(word) => folds(*word.get(usize::from(inside))?, byte),
            Step::Set(set) | Step::Repeat(set, ..) => self.leads(*set, byte).then_some(left),
            _ => None,
        }
    }

    /// Where a byte that was taken leads.
    fn target(&self, program: u16, place: Progress, left: u8) -> State {
        let mut out = State::new();
        let (pc, inside) = match place {
            Progress::Open => return vec![(program, Progress::Open)],
            Progress::Rest(pc, inside, left) if left > 1 => {
                return vec![(program, Progress::Rest(pc, inside, left - 1))];
            }
            Progress::Rest(pc, inside, _) => (pc, inside),
            Progress::Inside(pc, inside) => {
                match self.programs.get(usize::from(program)).and_then(|steps| steps.get(usize::from(pc))) {
                    Some(Step::Literal(word) | Step::Fold(word)) if usize::from(inside) + 1 < word.len() => {
                        let place = Progress::Inside(pc, inside + 1);
                        return vec![(program, if left > 0 { Progress::Rest(pc, inside + 1, left) } else { place })];
                    }
                    Some(Step::Repeat(..)) => (pc, inside + 1),
                    _ => (pc + 1, 0),
                }
            }
        };
        if matches!(place, Progress::Inside(..)) && left > 0 {
            return vec![(program, Progress::Rest(pc, inside, left))];
        }
        // A line may begin behind the byte, as far as is known here: whoever runs the program sees.
        self.close(program, usize::from(pc), inside, Edge::Line, &mut out, &mut BTreeSet::new());
        out
    }
}

type Targets = BTreeMap<(u16, Progress, u8), State>;

/// Nothing is gained by looking further.
fn is_settled(state: &State) -> bool {
    let mut programs: Vec<u16> = state.iter().map(|(program, _)| *program).collect();
    programs.dedup();
    programs.len() <= FEW || state.iter().any(|(_, place)| *place == Progress::Open)
}
