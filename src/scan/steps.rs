//! What the matcher costs at worst, in steps: texts derived from the shipped patterns themselves.
//!
//! For each repetition of each pattern: a way to it, then its run without an end, runs that end in what can't follow,
//! and the way over and over, all of it in one window as long as the text, as many keywords make it. A search that is
//! begun anew at each place of a run shows at once: it costs a byte as many steps as the run is long.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_rules::program::{Machine, Op, Repeat, Set, Tables, may_begin};

use super::shipped::{self, RULES};

/// Length of a derived text: longer than any repetition may go but in the rules of the widest windows.
const LENGTH: usize = 2_048;
/// Steps that a byte of such a text may cost one pattern.
const A_BYTE: f64 = 48.0;
/// The costliest, this number of them, are tried four times as long, too.
const WORST: usize = 40;

fn member(set: &Set) -> Vec<char> {
    let takes = |c: &char| {
        let code = u32::from(*c);
        match code {
            ..128 => set.ascii[(code >> 6) as usize] >> (code & 63) & 1 == 1,
            _ => set.ranges.iter().any(|(from, to)| (*from..=*to).contains(&code)),
        }
    };
    let favoured = ['a', '1', 'K', '-', '.', ' ', '/', '=', '\n', '(', '['];
    let found: Vec<char> = favoured.into_iter().chain('\0'..'\u{100}').filter(takes).take(2).collect();
    if found.is_empty() {
        set.ranges.iter().filter_map(|(from, _)| char::from_u32(*from)).take(1).collect()
    } else {
        found
    }
}

/// By instruction: a text that leads to it, as short as the pattern allows.
fn ways(program: &[Op], tables: &Tables) -> BTreeMap<usize, String> {
    let mut found = BTreeMap::from([(0, String::new())]);
    let mut open = std::collections::VecDeque::from([0]);
    while let Some(pc) = open.pop_front() {
        let way = found[&pc].clone();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |set: u16| member(&tables.sets[usize::from(set)]).first().copied().unwrap_or('a').to_string();
        let next: Vec<(usize, String)> = match program[pc] {
            Op::Literal(bytes) | Op::Fold(bytes) => vec![(pc + 1, text(bytes))],
            Op::Set(set) => vec![(pc + 1, one(set))],
            Op::Repeat(Repeat { set, min, .. }) => vec![(pc + 1, one(set).repeat(usize::from(min)))],
            Op::Split { first, second, .. } => {
                vec![(usize::from(first), String::new()), (usize::from(second), String::new())]
            }
            Op::Jump(to) => vec![(usize::from(to), String::new())],
            Op::Look(_) | Op::Open | Op::Close => vec![(pc + 1, String::new())],
            Op::Match => Vec::new(),
        };
        for (to, more) in next {
            if let std::collections::btree_map::Entry::Vacant(slot) = found.entry(to) {
                slot.insert(format!("{way}{more}"));
                open.push_back(to);
            }
        }
    }
    found
}

/// Units that a text is made of, derived from one pattern, each with what comes once at its end.
pub(super) fn units(program: &[Op], tables: &Tables) -> BTreeSet<(String, String, String)> {
    let mut out = BTreeSet::new();
    let ways = ways(program, tables);
    for (pc, way) in &ways {
        let Op::Repeat(Repeat { set, max, .. }) = program[*pc] else { continue };
        let set = &tables.sets[usize::from(set)];
        let other: String =
            ['(', '\u{1}', 'z', '9', ' '].into_iter().find(|c| !member(set).contains(c)).into_iter().collect();
        for run in member(set).into_iter().take(if max > 8 { 2 } else { 0 }) {
            let (one, ten) = (run.to_string(), run.to_string().repeat(10));
            for (before, unit, end) in [
                (way.clone(), one.clone(), String::new()),
                (way.clone(), one.clone(), other.clone()),
                (String::new(), format!("{way}{one}"), other.clone()),
                (String::new(), format!("{way}{ten}"), String::new()),
                (String::new(), format!("{way}{one}{other}"), String::new()),
                (String::new(), format!(" {way}{ten}{other}"), String::new()),
            ] {
                out.insert((before, unit, end));
            }
        }
    }
    for way in ways.values().filter(|way| way.len() > 1) {
        out.insert((String::new(), way.clone(), "(".into()));
        out.insert((String::new(), format!(" {way}"), String::new()));
    }
    out
}

pub(super) fn filled((before, unit, end): &(String, String, String), length: usize) -> String {
    let count = length.saturating_sub(before.len() + end.len()) / unit.len().max(1);
    format!("{before}{}{end}", unit.repeat(count))
}

/// Steps of one pattern over one window.
fn steps(program: u16, text: &str) -> usize {
    let at = usize::from(program);
    let places = &shipped::PLACE_TABLES[usize::from(shipped::PROGRAM_PLACES[at])];
    let window = usize::from(RULES[usize::from(shipped::OWNERS[at])].window);
    let mut machine = Machine::default();
    machine.enter(0..text.len(), super::engine::reach(window));
    let mut next = 0;
    for start in 0..text.len() {
        if start >= next && text.is_char_boundary(start) && may_begin(places, text.as_bytes(), start) {
            let found = machine.run(shipped::PROGRAMS[at], &shipped::TABLES, text, start);
            next = found.map_or(next, |found| found.value.end.max(found.whole.start + 1));
        }
    }
    machine.steps
}

#[test]
fn no_pattern_costs_its_worst_text_more_than_a_constant_a_byte() {
    let mut all = Vec::new();
    for program in 0..shipped::PROGRAMS.len() as u16 {
        for unit in units(shipped::PROGRAMS[usize::from(program)], &shipped::TABLES) {
            all.push((steps(program, &filled(&unit, LENGTH)), program, unit));
        }
    }
    all.sort_unstable();
    let texts = all.len();
    for (steps_of_one, program, unit) in all.into_iter().rev().take(WORST) {
        let id = RULES[usize::from(shipped::OWNERS[usize::from(program)])].id;
        let steps_of_four = steps(program, &filled(&unit, 4 * LENGTH));
        let a_byte = |steps: usize, length: usize| steps as f64 / length as f64;
        let (one, four) = (a_byte(steps_of_one, LENGTH), a_byte(steps_of_four, 4 * LENGTH));
        println!("{id:8} {one:5.1} steps a byte, {four:5.1} in four times the text: {unit:?}");
        assert!(one <= A_BYTE && four <= one * 1.25 + 1.0, "{id}, pattern {program}: {one}, {four}: {unit:?}");
    }
    println!("the worst of {texts} texts");
}
