//! From patterns to programs and to the automaton of their beginnings, for `build.rs` and tests. Never part of the
//! module.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use regex_syntax::hir::{Class, Hir, HirKind, Look as HirLook};

use super::beginnings::{FIRST_GROUP, PARTS, SECOND_GROUP, is_token, parts};
use super::distance::{before_digit, before_run};

/// Instructions, as [`super::program::Op`], but owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes.
    Literal(Vec<u8>),
    /// Small letters, in any case.
    Fold(Vec<u8>),
    /// A set.
    Set(u16),
    /// Set, min, max, greedy.
    Span(u16, u16, u16, bool),
    /// Preferred, other.
    Split(u16, u16),
    /// Elsewhere.
    Jump(u16),
    /// A place.
    Look(&'static str),
    /// The group `value` begins.
    Open,
    /// It ends.
    Close,
    /// Done.
    Match,
}

/// ASCII bits and ranges beyond.
pub type SetKey = ([u64; 2], Vec<(u32, u32)>);
/// Bytes and the end.
pub type FirstKey = ([u64; 4], bool);

/// Programs of many patterns, and what they share.
#[derive(Debug, Default)]
pub struct Compiler {
    /// Sets in the order of their numbers.
    pub sets: Vec<SetKey>,
    /// Firsts in the order of their numbers.
    pub firsts: Vec<FirstKey>,
    /// One program a pattern.
    pub programs: Vec<Vec<Step>>,
    shared: Vec<bool>,
    /// By program: bytes before the first digit of a match, at most.
    pub before: Vec<u16>,
    /// By program: tokens on end that every match holds, and bytes before these, at most.
    pub runs: Vec<(u8, u16)>,
    /// By set: the bytes that its characters begin with.
    leading: Vec<[bool; 256]>,
    known_sets: BTreeMap<SetKey, u16>,
    known_firsts: BTreeMap<FirstKey, u16>,
}

impl Compiler {
    /// Compiles one more pattern. `shared`: its rule looks at runs of digits, as many do, so that its beginnings are
    /// looked for together with theirs.
    ///
    /// # Errors
    /// What the programs have no instruction for.
    pub fn add(&mut self, pattern: &str, shared: bool) -> Result<(), String> {
        let hir = regex_syntax::Parser::new().parse(pattern).map_err(|error| error.to_string())?;
        let mut steps = Vec::new();
        self.step(&hir, &mut steps)?;
        steps.push(Step::Match);
        if steps.len() > usize::from(u16::MAX) {
            return Err("the program is too long".into());
        }
        self.programs.push(steps);
        self.shared.push(shared);
        self.before.push(before_digit(&hir));
        self.runs.push(before_run(&hir, is_token));
        Ok(())
    }

    fn step(&mut self, hir: &Hir, out: &mut Vec<Step>) -> Result<(), String> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => out.push(Step::Literal(literal.0.to_vec())),
            HirKind::Class(class) => {
                let set = self.set(class)?;
                out.push(Step::Set(set));
            }
            HirKind::Look(look) => out.push(Step::Look(match look {
                HirLook::Start => "Start",
                HirLook::End => "End",
                HirLook::StartLF => "LineStart",
                HirLook::EndLF => "LineEnd",
                HirLook::WordAscii => "Word",
                other => return Err(format!("{other:?} is not built: use (?-u:\\b), ^ or $")),
            })),
            HirKind::Capture(capture) => {
                let value = capture.name.as_deref() == Some("value");
                if value {
                    out.push(Step::Open);
                }
                self.step(&capture.sub, out)?;
                if value {
                    out.push(Step::Close);
                }
            }
            HirKind::Concat(parts) => {
                let mut rest = parts.as_slice();
                while let Some((part, after)) = rest.split_first() {
                    let word: Vec<u8> = rest.iter().map_while(any_case).collect();
                    if word.len() > 1 {
                        rest = rest.get(word.len()..).unwrap_or_default();
                        out.push(Step::Fold(word));
                    } else {
                        rest = after;
                        self.step(part, out)?;
                    }
                }
            }
            HirKind::Alternation(branches) => {
                let mut jumps = Vec::new();
                for (n, branch) in branches.iter().enumerate() {
                    let split = out.len();
                    if n + 1 < branches.len() {
                        out.push(Step::Split(split as u16 + 1, 0));
                    }
                    self.step(branch, out)?;
                    if n + 1 < branches.len() {
                        jumps.push(out.len());
                        out.push(Step::Jump(0));
                        let next = out.len() as u16;
                        if let Some(Step::Split(_, other)) = out.get_mut(split) {
                            *other = next;
                        }
                    }
                }
                let end = out.len() as u16;
                for at in jumps {
                    if let Some(Step::Jump(to)) = out.get_mut(at) {
                        *to = end;
                    }
                }
            }
            HirKind::Repetition(repetition) => self.repeat(repetition, out)?,
        }
        Ok(())
    }

    fn repeat(&mut self, repetition: &regex_syntax::hir::Repetition, out: &mut Vec<Step>) -> Result<(), String> {
        let sub = &*repetition.sub;
        let set = match sub.kind() {
            HirKind::Class(class) => Some(self.set(class)?),
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0).ok().map(|text| text.chars()) {
                Some(mut chars) => match (chars.next(), chars.next()) {
                    (Some(c), None) => Some(self.intern(&[(c, c)])),
                    _ => None,
                },
                None => None,
            },
            _ => None,
        };
        let narrow = |number: u32| u16::try_from(number).map_err(|_| "a repetition is too long".to_owned());
        if let Some(set) = set {
            let max = repetition.max.map(narrow).transpose()?.unwrap_or(u16::MAX);
            out.push(Step::Span(set, narrow(repetition.min)?, max, repetition.greedy));
            return Ok(());
        }
        for _ in 0..repetition.min {
            self.step(sub, out)?;
        }
        let mut optional = |out: &mut Vec<Step>, again: bool| -> Result<usize, String> {
            let split = out.len();
            out.push(Step::Split(0, 0));
            self.step(sub, out)?;
            if again {
                out.push(Step::Jump(split as u16));
            }
            Ok(split)
        };
        let mut splits = Vec::new();
        match repetition.max {
            None if sub.properties().minimum_len() == Some(0) => {
                return Err("what may be empty is repeated without end".into());
            }
            None => splits.push(optional(out, true)?),
            Some(max) => {
                for _ in repetition.min..max {
                    splits.push(optional(out, false)?);
                }
            }
        }
        let end = out.len() as u16;
        for split in splits {
            if let Some(Step::Split(first, second)) = out.get_mut(split) {
                let body = split as u16 + 1;
                (*first, *second) = if repetition.greedy { (body, end) } else { (end, body) };
            }
        }
        Ok(())
    }

    fn set(&mut self, class: &Class) -> Result<u16, String> {
        match class {
            Class::Unicode(class) => {
                let ranges: Vec<(char, char)> = class.iter().map(|range| (range.start(), range.end())).collect();
                Ok(self.intern(&ranges))
            }
            Class::Bytes(class) => {
                let ranges: Vec<(char, char)> =
                    class.iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect();
                if ranges.iter().any(|(_, to)| !to.is_ascii()) {
                    return Err("a set of bytes beyond ASCII".into());
                }
                Ok(self.intern(&ranges))
            }
        }
    }

    fn intern(&mut self, ranges: &[(char, char)]) -> u16 {
        let mut ascii = [0u64; 2];
        let mut rest = Vec::new();
        for (from, to) in ranges.iter().map(|(from, to)| (u32::from(*from), u32::from(*to))) {
            for code in from..=to.min(0x7f) {
                if let Some(bits) = ascii.get_mut((code >> 6) as usize) {
                    *bits |= 1 << (code & 63);
                }
            }
            if to > 0x7f {
                rest.push((from.max(0x80), to));
            }
        }
        let key = (ascii, rest);
        let next = self.sets.len() as u16;
        *self.known_sets.entry(key).or_insert_with_key(|key| {
            self.leading.push(leads(key));
            self.sets.push(key.clone());
            next
        })
    }

    /// A character of the set begins with this byte.
    fn leads(&self, set: u16, byte: u8) -> bool {
        self.leading.get(usize::from(set)).and_then(|table| table.get(usize::from(byte))).copied().unwrap_or(false)
    }

    /// The number of what a program may begin with from an instruction on.
    pub fn first(&mut self, program: usize, pc: usize) -> u16 {
        let mut first: FirstKey = ([0; 4], false);
        self.gather(program, pc, &mut BTreeSet::new(), &mut first);
        let next = self.firsts.len() as u16;
        *self.known_firsts.entry(first).or_insert_with_key(|key| {
            self.firsts.push(*key);
            next
        })
    }

    fn gather(&self, program: usize, pc: usize, seen: &mut BTreeSet<usize>, out: &mut FirstKey) {
        if !seen.insert(pc) {
            return;
        }
        let mut byte = |byte: u8| {
            if let Some(bits) = out.0.get_mut(usize::from(byte >> 6)) {
                *bits |= 1 << (byte & 63);
            }
        };
        match self.programs.get(program).and_then(|steps| steps.get(pc)) {
            None | Some(Step::Match) => *out = ([u64::MAX; 4], true),
            Some(Step::Literal(literal)) => literal.first().into_iter().for_each(|first| byte(*first)),
            Some(Step::Fold(word)) => {
                let first = word.first().copied().unwrap_or(0);
                (0..=255).filter(|b| folds(first, *b).is_some()).for_each(byte);
            }
            Some(Step::Set(set)) => (0..=255).filter(|b| self.leads(*set, *b)).for_each(byte),
            Some(Step::Span(set, min, ..)) => {
                (0..=255).filter(|b| self.leads(*set, *b)).for_each(byte);
                if *min == 0 {
                    self.gather(program, pc + 1, seen, out);
                }
            }
            Some(Step::Split(first, second)) => {
                self.gather(program, usize::from(*first), seen, out);
                self.gather(program, usize::from(*second), seen, out);
            }
            Some(Step::Jump(to)) => self.gather(program, usize::from(*to), seen, out),
            Some(Step::Look("End")) => out.1 = true,
            Some(Step::Look("LineEnd")) => {
                byte(b'\n');
                out.1 = true;
            }
            Some(Step::Look(_) | Step::Open | Step::Close) => self.gather(program, pc + 1, seen, out),
        }
    }

    /// True when no byte that a span takes may begin what follows it.
    pub fn keeps(&mut self, program: usize, pc: usize) -> bool {
        let Some(Step::Span(set, ..)) = self.programs.get(program).and_then(|steps| steps.get(pc)).cloned() else {
            return false;
        };
        let next = self.first(program, pc + 1);
        let Some((bytes, _)) = self.firsts.get(usize::from(next)).copied() else { return false };
        let begins = |b: u8| bytes.get(usize::from(b >> 6)).is_none_or(|bits| bits >> (b & 63) & 1 == 1);
        (0..=255).all(|b| !self.leads(set, b) || !begins(b))
    }
}

/// The small letter of which a set holds both cases and nothing else but their Unicode twins.
fn any_case(hir: &Hir) -> Option<u8> {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else { return None };
    let members: Vec<char> = class.iter().flat_map(|range| range.start()..=range.end()).take(4).collect();
    let small = *members.iter().find(|c| c.is_ascii_lowercase())?;
    let twin = |c: &char| c.eq_ignore_ascii_case(&small) || matches!((small, *c), ('k', '\u{212a}') | ('s', 'ſ'));
    let whole = members.len() == if matches!(small, 'k' | 's') { 3 } else { 2 };
    (whole && members.iter().all(twin)).then_some(small as u8)
}

/// How many bytes follow when this one begins a letter in any case.
fn folds(small: u8, byte: u8) -> Option<u8> {
    match (small, byte) {
        (b'k', 0xe2) => Some(2),
        (b's', 0xc5) => Some(1),
        _ => (byte.to_ascii_lowercase() == small).then_some(0),
    }
}

/// The bytes that characters of a set begin with.
fn leads((ascii, ranges): &SetKey) -> [bool; 256] {
    let mut out = [false; 256];
    let lead = |code: u32| {
        let mut buffer = [0; 4];
        char::from_u32(code).and_then(|c| c.encode_utf8(&mut buffer).bytes().next()).unwrap_or(0xed)
    };
    for (byte, slot) in (0..=255u8).zip(&mut out) {
        *slot = if byte < 128 {
            ascii.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
        } else {
            ranges.iter().any(|(from, to)| (lead(*from)..=lead(*to)).contains(&byte))
        };
    }
    out
}

/// Counts of repetitions that the automaton of beginnings tells apart.
const DEPTH: usize = 20;
/// So few patterns are tried without looking further.
const FEW: usize = 2;
/// States of the automaton.
const ENOUGH: usize = 160;
/// A pattern that four bytes of every so many places of ordinary text may begin has no beginning of its own.
const BROAD: usize = 20;
/// A pattern that may begin further than this before its first digit is looked for in the whole window.
const NEAR: u16 = 48;
/// Ordinary text has few runs of so many tokens: a pattern that needs one is looked for around these alone.
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
enum Place {
    /// Instruction, and how far into it.
    Inside(u16, u16),
    /// So many bytes of a character are left before that.
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
type State = Vec<(u16, Place)>;

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
                        let share: u64 = bytes.iter().map(|byte| u64::from(super::layout::frequency(*byte))).sum();
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
            if let Step::Set(set) | Step::Span(set, ..) = step {
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

    /// By byte: at which of the first eight places of a match it may stand, a bit each.
    pub fn places(&self, program: usize) -> Vec<u8> {
        let (program, mut targets) = (program as u16, Targets::new());
        let mut state = State::new();
        self.close(program, 0, 0, Edge::Text, &mut state, &mut BTreeSet::new());
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
                        let goes_on = |(program, place): &(u16, Place)| {
                            *place == Place::Open
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
    fn is_narrow(&self, program: u16) -> bool {
        let at = usize::from(program);
        let rare = self.runs.get(at).is_some_and(|(length, before)| *length >= LONG && *before <= NEAR);
        self.shared.get(at) == Some(&true) && !rare && !self.is_broad(program)
    }

    #[allow(dead_code, reason = "for build.rs alone")]
    /// By program: it is looked for together with others, and not only around digits.
    pub fn far(&self) -> Vec<bool> {
        self.before.iter().zip(0..).map(|(before, program)| *before > NEAR && self.is_narrow(program)).collect()
    }

    #[allow(dead_code, reason = "for build.rs alone")]
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
            None | Some(Step::Match | Step::Look("End" | "LineEnd")) => {
                out.push((program, Place::Open));
            }
            Some(Step::Literal(_) | Step::Fold(_) | Step::Set(_)) => {
                out.push((program, Place::Inside(pc as u16, inside)));
            }
            Some(Step::Span(_, min, max, _)) => {
                // Counts beyond what is looked at are as good as none.
                let open = *max == u16::MAX || usize::from(*max) > DEPTH;
                let inside = if open { inside.min((*min).min(DEPTH as u16)) } else { inside };
                if open || inside < *max {
                    out.push((program, Place::Inside(pc as u16, inside)));
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
            Some(Step::Look("Start")) if edge != Edge::Text => {}
            Some(Step::Look("LineStart")) if edge == Edge::None => {}
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
    fn accepts(&self, program: u16, place: Place, byte: u8) -> Option<u8> {
        let (pc, inside) = match place {
            Place::Inside(pc, inside) => (pc, inside),
            Place::Rest(..) => return (0x80..0xc0).contains(&byte).then_some(0),
            Place::Open => return Some(0),
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
            Step::Set(set) | Step::Span(set, ..) => self.leads(*set, byte).then_some(left),
            _ => None,
        }
    }

    /// Where a byte that was taken leads.
    fn target(&self, program: u16, place: Place, left: u8) -> State {
        let mut out = State::new();
        let (pc, inside) = match place {
            Place::Open => return vec![(program, Place::Open)],
            Place::Rest(pc, inside, left) if left > 1 => return vec![(program, Place::Rest(pc, inside, left - 1))],
            Place::Rest(pc, inside, _) => (pc, inside),
            Place::Inside(pc, inside) => {
                match self.programs.get(usize::from(program)).and_then(|steps| steps.get(usize::from(pc))) {
                    Some(Step::Literal(word) | Step::Fold(word)) if usize::from(inside) + 1 < word.len() => {
                        let place = Place::Inside(pc, inside + 1);
                        return vec![(program, if left > 0 { Place::Rest(pc, inside + 1, left) } else { place })];
                    }
                    Some(Step::Span(..)) => (pc, inside + 1),
                    _ => (pc + 1, 0),
                }
            }
        };
        if matches!(place, Place::Inside(..)) && left > 0 {
            return vec![(program, Place::Rest(pc, inside, left))];
        }
        self.close(program, usize::from(pc), inside, Edge::None, &mut out, &mut BTreeSet::new());
        out
    }
}

type Targets = BTreeMap<(u16, Place, u8), State>;

/// Nothing is gained by looking further.
fn is_settled(state: &State) -> bool {
    let mut programs: Vec<u16> = state.iter().map(|(program, _)| *program).collect();
    programs.dedup();
    programs.len() <= FEW || state.iter().any(|(_, place)| *place == Place::Open)
}
