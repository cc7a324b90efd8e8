//! What a program must find, told by `regex-automata`, and what the engine finds: for tests that hold one to the other.
//!
//! Only tests and fuzzers use it, so it panics where a table does not have the size that the engine wants.
//!
//! ```
//! use bartizan_rules_compiler::lower::Compiler;
//! use bartizan_rules_compiler::oracle::{self, Built};
//!
//! let mut compiler = Compiler::default();
//! compiler.add("(?i)key=(?P<value>[a-z]+)", true).unwrap();
//! let built = Built::new(&mut compiler);
//! let regex = regex_automata::meta::Regex::new("(?i)key=(?P<value>[a-z]+)").unwrap();
//! let text = "KEY=abc, key=d";
//! let found = oracle::found(built.programs[0], &built.tables, text, 0..text.len(), |at| built.begins(0, text, at));
//! assert_eq!(found.spans, [(4, 7), (13, 14)]);
//! assert_eq!(found.spans, oracle::wanted(&regex, text, 0..text.len()));
//! ```

use std::ops::Range;

use bartizan_rules::beginnings::Beginnings;
use bartizan_rules::invariant::take_broken;
use bartizan_rules::program::{ByteSet, Machine, Op, Places, Set, Tables, may_begin};
use regex_automata::meta::Regex;
use regex_automata::{Input, PatternID};

use crate::lower::Compiler;

/// The values of a pattern's matches in this window of the text, as `regex-automata` finds them: the group `value` where
/// the pattern has one, else the match. The next match begins behind the value, not behind the match.
pub fn wanted(regex: &Regex, text: &str, window: Range<usize>) -> Vec<(usize, usize)> {
    let value = regex.group_info().to_index(PatternID::ZERO, "value");
    let mut input = Input::new(text).range(window);
    let mut groups = regex.create_captures();
    let mut out = Vec::new();
    while input.start() < input.end() {
        regex.search_captures(&input, &mut groups);
        let Some(found) = groups.get_match() else { break };
        let span = value.and_then(|at| groups.get_group(at)).map_or(found.range(), |span| span.range());
        out.push((span.start, span.end));
        let next = text.ceil_char_boundary(span.end.max(found.start() + 1));
        input.set_start(next.min(input.end()));
    }
    out
}

/// What a program found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The values, in bytes of the text.
    pub spans: Vec<(usize, usize)>,
    /// The steps that the machine made.
    pub steps: usize,
}

/// The values of a program's matches in this window of the text, tried where `begins` says that one may begin.
pub fn found(ops: &[Op], tables: &Tables, text: &str, window: Range<usize>, begins: impl Fn(usize) -> bool) -> Found {
    let mut machine = Machine::default();
    machine.enter(window.clone(), usize::MAX);
    let mut spans = Vec::new();
    let mut next = window.start;
    for start in window {
        if start < next || !text.is_char_boundary(start) || !begins(start) {
            continue;
        }
        if let Some(found) = machine.run(ops, tables, text, start) {
            spans.push((found.value.start, found.value.end));
            next = found.value.end.max(found.whole.start + 1);
        }
    }
    assert!(!take_broken(), "tables that do not fit");
    Found { spans, steps: machine.steps }
}

/// Compiled patterns as the module holds the shipped ones. Their memory is never freed.
pub struct Built {
    /// A program for each pattern, in the order they were added.
    pub programs: Vec<&'static [Op]>,
    /// What the programs point to.
    pub tables: Tables,
    beginnings: Beginnings,
    broad: Vec<u16>,
    places: Vec<Places>,
}

impl Built {
    /// Lays out every pattern of this compiler.
    pub fn new(compiler: &mut Compiler) -> Built {
        let programs: Vec<&'static [Op]> =
            (0..compiler.programs.len()).map(|program| leak(compiler.ops(program))).collect();
        let begin = compiler.beginnings();
        let sets = compiler.sets.iter().map(|(ascii, ranges)| Set { ascii: *ascii, ranges: leak(ranges.clone()) });
        let lookaheads = compiler.lookaheads.iter().map(|(bytes, end)| ByteSet { bytes: *bytes, end: *end });
        Built {
            tables: Tables { sets: leak(sets.collect()), lookaheads: leak(lookaheads.collect()) },
            beginnings: Beginnings {
                classes: Box::leak(Box::new(array(&begin.classes))),
                units: leak(begin.units),
                roots: begin.roots,
                lists: leak(begin.lists),
                patterns: leak(begin.patterns),
                groups: leak(begin.groups),
            },
            broad: begin.broad,
            places: (0..programs.len()).map(|program| array(&compiler.places(program))).collect(),
            programs,
        }
    }

    fn listed(&self, text: &str, start: usize) -> &'static [u16] {
        let listed = self.beginnings.at(text.as_bytes(), start);
        assert!(!take_broken(), "tables that do not fit");
        listed
    }

    /// True where the tables say that a match of this program may begin. False for a program that there is not.
    pub fn begins(&self, program: usize, text: &str, start: usize) -> bool {
        let (Ok(number), Some(places)) = (u16::try_from(program), self.places.get(program)) else { return false };
        may_begin(places, text.as_bytes(), start)
            && (self.broad.contains(&number) || self.listed(text, start).contains(&number))
    }
}

/// Rows that live as long as the process, as the shipped tables do.
pub fn leak<T>(rows: Vec<T>) -> &'static [T] {
    Box::leak(rows.into_boxed_slice())
}

fn array<const N: usize>(rows: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(rows);
    out
}
