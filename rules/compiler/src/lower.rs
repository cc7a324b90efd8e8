//! From patterns to programs.
//!
//! ```
//! use bartizan_rules_compiler::lower::Compiler;
//!
//! let mut compiler = Compiler::default();
//! compiler.add("(?i)sk-[a-z0-9]{20}", true).unwrap();
//! assert!(!compiler.ops(0).is_empty());
//! assert!(compiler.add("(", true).is_err());
//! ```

use std::collections::{BTreeMap, BTreeSet};

use regex_syntax::hir::{Class, Hir, HirKind, Look as HirLook};

use crate::anchor::Anchor;
use crate::distance::{before_digit, before_run};
use crate::shape::Shape;
use bartizan_rules::beginnings::is_token;
use bartizan_rules::program::{Look, Op, Repeat};

/// Instructions, as [`bartizan_rules::program::Op`], but owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes.
    Literal(Vec<u8>),
    /// Small letters, in any case.
    Fold(Vec<u8>),
    /// A set.
    Set(u16),
    /// Set, min, max, greedy.
    Repeat(u16, u16, u16, bool),
    /// Preferred, other.
    Split(u16, u16),
    /// Elsewhere.
    Jump(u16),
    /// A place.
    Look(Look),
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
pub type LookaheadKey = ([u64; 4], bool);

/// Programs of many patterns, and what they share.
#[derive(Debug, Default)]
pub struct Compiler {
    /// Sets in the order of their numbers.
    pub sets: Vec<SetKey>,
    /// Lookahead sets in the order of their numbers.
    pub lookaheads: Vec<LookaheadKey>,
    /// One program a pattern.
    pub programs: Vec<Vec<Step>>,
    pub(crate) shared: Vec<bool>,
    /// By program: bytes before the first digit of a match, at most.
    pub before: Vec<u16>,
    /// By program: tokens in a row that every match holds, and bytes before these, at most.
    pub runs: Vec<(u8, u16)>,
    /// By program: the first group of digits of its matches, where it is looked for around these only.
    pub shapes: Vec<Option<Shape>>,
    /// By program: words of which every match holds one; none: it is looked for without them.
    pub anchors: Vec<Vec<Anchor>>,
    /// By set: the bytes that its characters begin with.
    leading: Vec<[bool; 256]>,
    known_sets: BTreeMap<SetKey, u16>,
    known_lookaheads: BTreeMap<LookaheadKey, u16>,
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
        self.anchors.push(Vec::new());
        self.shapes.push(None);
        self.before.push(before_digit(&hir));
        self.runs.push(before_run(&hir, is_token));
        Ok(())
    }

    /// Every match of a program begins where a line does.
    pub fn begins_a_line(&self, program: usize) -> bool {
        let steps = self.programs.get(program).map(Vec::as_slice).unwrap_or_default();
        let mut open = vec![0usize];
        let mut seen = BTreeSet::new();
        while let Some(pc) = open.pop().filter(|pc| seen.insert(*pc)) {
            match steps.get(pc) {
                Some(Step::Look(Look::LineStart | Look::Start)) => {}
                Some(Step::Look(_) | Step::Open | Step::Close) => open.push(pc + 1),
                Some(Step::Split(first, second)) => open.extend([usize::from(*first), usize::from(*second)]),
                Some(Step::Jump(to)) => open.push(usize::from(*to)),
                _ => return false,
            }
        }
        true
    }

    /// A program as it runs. What it holds lives until the process ends, which is soon: this compiles.
    pub fn ops(&mut self, program: usize) -> Vec<Op> {
        let steps = self.programs.get(program).cloned().unwrap_or_default();
        let op = |(pc, step): (usize, Step)| match step {
            Step::Literal(bytes) => Op::Literal(bytes.leak()),
            Step::Fold(word) => Op::Fold(word.leak()),
            Step::Set(set) => Op::Set(set),
            Step::Repeat(set, min, max, greedy) => {
                let possessive = self.is_possessive(program, pc);
                let lookahead = self.lookahead(program, pc + 1);
                Op::Repeat(Repeat { set, min, max, greedy, possessive, lookahead })
            }
            Step::Split(first, second) => {
                let lookaheads = [first, second].map(|at| self.lookahead(program, usize::from(at)));
                Op::Split { first, second, lookaheads }
            }
            Step::Jump(to) => Op::Jump(to),
            Step::Look(look) => Op::Look(look),
            Step::Open => Op::Open,
            Step::Close => Op::Close,
            Step::Match => Op::Match,
        };
        steps.into_iter().enumerate().map(op).collect()
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
                HirLook::Start => Look::Start,
                HirLook::End => Look::End,
                HirLook::StartLF => Look::LineStart,
                HirLook::EndLF => Look::LineEnd,
                HirLook::WordAscii => Look::Word,
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
            out.push(Step::Repeat(set, narrow(repetition.min)?, max, repetition.greedy));
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
    pub(crate) fn leads(&self, set: u16, byte: u8) -> bool {
        self.leading.get(usize::from(set)).and_then(|table| table.get(usize::from(byte))).copied().unwrap_or(false)
    }

    /// The number of what a program may begin with from an instruction on.
    pub fn lookahead(&mut self, program: usize, pc: usize) -> u16 {
        let mut first: LookaheadKey = ([0; 4], false);
        self.gather(program, pc, &mut BTreeSet::new(), &mut first);
        let next = self.lookaheads.len() as u16;
        *self.known_lookaheads.entry(first).or_insert_with_key(|key| {
            self.lookaheads.push(*key);
            next
        })
    }

    pub(crate) fn gather(&self, program: usize, pc: usize, seen: &mut BTreeSet<usize>, out: &mut LookaheadKey) {
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
            Some(Step::Repeat(set, min, ..)) => {
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
            Some(Step::Look(Look::End)) => out.1 = true,
            Some(Step::Look(Look::LineEnd)) => {
                byte(b'\n');
                out.1 = true;
            }
            Some(Step::Look(_) | Step::Open | Step::Close) => self.gather(program, pc + 1, seen, out),
        }
    }

    /// True when no byte that a span takes may begin what follows it.
    pub fn is_possessive(&mut self, program: usize, pc: usize) -> bool {
        let Some(Step::Repeat(set, ..)) = self.programs.get(program).and_then(|steps| steps.get(pc)).cloned() else {
            return false;
        };
        let next = self.lookahead(program, pc + 1);
        let Some((bytes, _)) = self.lookaheads.get(usize::from(next)).copied() else { return false };
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
pub(crate) fn folds(small: u8, byte: u8) -> Option<u8> {
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
