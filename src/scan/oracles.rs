//! The shipped tables beside slow and well-known engines: what was emitted, not what would be compiled again.

use std::collections::BTreeMap;

use bartizan_rules::beginnings::{FIRST_GROUP, PARTS, SECOND_GROUP, group_kind, list_of};
use bartizan_rules::lexicon::MORE;
use bartizan_rules::literals::BUCKETS;
use bartizan_rules::program::{Machine, Op, may_begin};
use bartizan_rules::tables::{Group, ShippedNear, Start, Use};
use bartizan_rules_compiler::oracle;
use regex_automata::meta::Regex;

use super::{rulefile, shipped};

fn bundle() -> (rulefile::Bundle, Vec<String>) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let bundle = bartizan_rules_compiler::bundle(&root).unwrap();
    let mut samples = Vec::new();
    for pack in crate::enums::Pack::ALL {
        let mut files: Vec<_> =
            std::fs::read_dir(root.join(pack.as_str())).unwrap().flatten().map(|file| file.path()).collect();
        files.sort();
        for file in files {
            let rule: rulefile::RuleFile = serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            if rule.detect.pattern.is_some() || !rule.detect.patterns.is_empty() {
                samples.extend(rule.tests.matching.into_iter().chain(rule.tests.no_match));
            }
        }
    }
    (bundle, samples)
}

/// What the emitted program of this number finds, tried where the emitted tables say that it may begin.
fn actual(program: u16, text: &str, window: std::ops::Range<usize>) -> Vec<(usize, usize)> {
    let at = usize::from(program);
    let places = &shipped::PLACE_TABLES[usize::from(shipped::PROGRAM_PLACES[at])];
    let listed =
        |start| shipped::BROAD.contains(&program) || shipped::BEGINNINGS.at(text.as_bytes(), start).contains(&program);
    let begins = |start| may_begin(places, text.as_bytes(), start) && listed(start);
    oracle::found(shipped::PROGRAMS[at], &shipped::TABLES, text, window, begins).spans
}

#[test]
fn shipped_patterns_find_what_regex_automata_finds() {
    let (bundle, samples) = bundle();
    let mut texts = samples.clone();
    for (n, two) in samples.windows(2).enumerate() {
        texts.push(format!("x {} é{}\n", two[0], two[1]));
        if n % 7 == 0 {
            texts.push(two[0].replace(' ', "\n").replace('e', "é"));
        }
    }
    let patterns: Vec<&String> = bundle.rules.iter().flat_map(|rule| &rule.patterns).collect();
    assert_eq!(patterns.len(), shipped::PROGRAMS.len());
    for (number, pattern) in (0..).zip(patterns) {
        let regex = Regex::new(pattern).unwrap();
        // All patterns over all texts would take long: each pattern meets every fifth.
        for text in texts.iter().skip(usize::from(number) % 5).step_by(5) {
            let quarter = |of: usize| text.ceil_char_boundary(text.len() / 4 * of);
            for window in [0..text.len(), quarter(1)..quarter(3)] {
                let found = actual(number, text, window.clone());
                assert_eq!(found, oracle::wanted(&regex, text, window.clone()), "{pattern}\n{text:?} {window:?}");
            }
        }
    }
}

/// Patterns that are tried only beside words: no match of theirs begins anywhere else. Texts are the samples, one after
/// the other, and what is derived from the patterns themselves, with what may follow.
#[test]
fn a_match_begins_beside_a_word_that_its_pattern_is_tried_beside() {
    let (_, samples) = bundle();
    let mut beside: BTreeMap<u16, Vec<(&[u8], Start)>> = BTreeMap::new();
    let words = shipped::LITERALS.list.iter().chain(shipped::LITERALS.short).chain(shipped::LITERALS.single);
    for word in words {
        for of in shipped::uses(word.uses).unwrap() {
            let Use::Start(at) = of else { continue };
            let start = shipped::WORD_STARTS[usize::from(*at)];
            beside.entry(start.program).or_default().push((word.text, start));
        }
    }
    let anchored: Vec<u16> = (0..).zip(shipped::ANCHORED).filter(|(_, is)| *is).map(|(program, _)| program).collect();
    assert_eq!(anchored, beside.keys().copied().collect::<Vec<_>>());
    let mut matches = 0;
    for (program, words) in beside {
        let at = usize::from(program);
        let derived = super::steps::units(shipped::PROGRAMS[at], &shipped::TABLES);
        let derived = derived.iter().flat_map(|unit| [super::steps::filled(unit, 200), format!("é{} = x\n", unit.1)]);
        let pairs = samples.windows(2).map(|two| format!("{} {}", two[0], two[1]));
        for text in derived.chain(pairs).filter(|text| !text.contains(['\u{212a}', '\u{17f}'])) {
            let bytes = text.as_bytes();
            let mut machine = Machine::default();
            machine.enter(0..text.len(), usize::MAX);
            for start in (0..text.len()).filter(|start| text.is_char_boundary(*start)) {
                if machine.run(shipped::PROGRAMS[at], &shipped::TABLES, &text, start).is_none() {
                    continue;
                }
                matches += 1;
                let holds = |(word, Start { least, most, .. }): &(&[u8], Start)| {
                    (start + usize::from(*least)..=start + usize::from(*most))
                        .any(|at| bytes.get(at..at + word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word)))
                };
                assert!(words.iter().any(holds), "pattern {program} at {start}: {text:?}");
            }
        }
    }
    println!("{matches} matches of {} patterns", anchored.len());
    assert!(matches > 1000);
}

/// The same of patterns that are tried around groups of digits.
#[test]
fn a_match_begins_around_a_group_of_digits_whose_shape_its_pattern_has() {
    let (_, samples) = bundle();
    let mut matches = 0;
    for program in (0..).zip(shipped::SHAPED).filter(|(_, is)| *is).map(|(program, _)| program) {
        let at = usize::from(program);
        let derived = super::steps::units(shipped::PROGRAMS[at], &shipped::TABLES);
        let derived = derived.iter().flat_map(|unit| [super::steps::filled(unit, 200), format!("é {}\n", unit.1)]);
        let pairs = samples.windows(2).map(|two| format!("{} {}", two[0], two[1]));
        let Group { least, most, after, seconds } = shipped::GROUPS[at];
        for text in derived.chain(pairs) {
            let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
            let mut machine = Machine::default();
            machine.enter(0..text.len(), usize::MAX);
            for start in (0..text.len()).filter(|start| text.is_char_boundary(*start)) {
                if machine.run(shipped::PROGRAMS[at], &shipped::TABLES, &text, start).is_none() {
                    continue;
                }
                matches += 1;
                let first = (start + usize::from(least)..=start + usize::from(most)).find(|at| digit(*at));
                let holds = first.is_some_and(|first| {
                    let before = first.checked_sub(1).map(|before| text.as_bytes()[before]);
                    let length = (first..text.len()).take_while(|at| digit(*at)).count();
                    !before.is_some_and(|byte| byte.is_ascii_digit())
                        && shipped::of_shape(before, length).unwrap().contains(&program)
                        && after >> group_kind(text.as_bytes().get(first + length).copied()) & 1 == 1
                        && seconds >> (first + length + 1..text.len()).take(24).take_while(|at| digit(*at)).count() & 1
                            == 1
                });
                assert!(holds, "pattern {program} at {start}: {text:?}");
            }
        }
    }
    println!("{matches} matches");
    assert!(matches > 500);
}

/// Nothing that the scanner looks up in the shipped tables can be missing. Where it is read, `invariant::sure` records the same.
#[test]
fn every_index_of_the_tables_leads_somewhere() {
    let programs = shipped::PROGRAMS.len();
    let is_program = |program: &u16| usize::from(*program) < programs;
    for (what, length) in [
        ("OWNERS", shipped::OWNERS.len()),
        ("ANCHORED", shipped::ANCHORED.len()),
        ("GROUPS", shipped::GROUPS.len()),
        ("SHAPED", shipped::SHAPED.len()),
        ("PROGRAM_FIRSTS", shipped::PROGRAM_FIRSTS.len()),
        ("AT_LINES", shipped::AT_LINES.len()),
        ("PROGRAM_PLACES", shipped::PROGRAM_PLACES.len()),
        ("BEFORE_DIGIT", shipped::BEFORE_DIGIT.len()),
        ("RUN_LENGTH", shipped::RUN_LENGTH.len()),
        ("BEFORE_RUN", shipped::BEFORE_RUN.len()),
    ] {
        assert_eq!(length, programs, "{what}");
    }
    let rules = shipped::RULES.len();
    assert!(shipped::RULES.iter().all(|rule| usize::from(rule.patterns.end) <= programs));
    assert!(shipped::OWNERS.iter().all(|rule| usize::from(*rule) < rules));
    let fits = |near: &ShippedNear| usize::from(near.base) + usize::from(near.groups) <= shipped::PLACES;
    assert!(shipped::NEARS.iter().all(|near| usize::from(near.rule) < rules && fits(near)));
    assert!(shipped::WORD_STARTS.iter().all(|start| is_program(&start.program)));
    assert!(
        [&shipped::BROAD[..], &shipped::FAR, &shipped::SHAPE_PROGRAMS, &shipped::BEGIN_PATTERNS]
            .concat()
            .iter()
            .all(is_program)
    );
    assert!(shipped::PROGRAM_FIRSTS.iter().all(|first| usize::from(*first) < shipped::LOOKAHEADS.len()));
    assert!(shipped::PROGRAM_PLACES.iter().all(|table| usize::from(*table) < shipped::PLACE_TABLES.len()));
    let is_set = |set: u16| usize::from(set) < shipped::SETS.len();
    let is_lookahead = |set: u16| usize::from(set) < shipped::LOOKAHEADS.len();
    for (number, ops) in shipped::PROGRAMS.iter().enumerate() {
        for (pc, op) in ops.iter().enumerate() {
            let is_op = |at: u16| usize::from(at) < ops.len();
            let goes_on = pc + 1 < ops.len();
            let holds = match *op {
                Op::Set(set) => is_set(set) && goes_on,
                Op::Repeat(repeat) => is_set(repeat.set) && is_lookahead(repeat.lookahead) && goes_on,
                Op::Split { first, second, lookaheads } => {
                    is_op(first) && is_op(second) && lookaheads.into_iter().all(is_lookahead)
                }
                Op::Jump(to) => is_op(to),
                Op::Literal(_) | Op::Fold(_) | Op::Look(_) | Op::Open | Op::Close => goes_on,
                Op::Match => true,
            };
            assert!(holds, "program {number}, {pc}: {op:?}");
        }
    }
    let all = [Some(b'a'), None].into_iter().chain((0..=255).map(Some));
    all.for_each(|before| (1..40).for_each(|length| assert!(shipped::of_shape(before, length).is_some())));
    let is_list = |list: usize| list_of(&shipped::BEGIN_LISTS, &shipped::BEGIN_PATTERNS, list).is_some();
    assert!(shipped::BEGIN_GROUPS.iter().all(|list| is_list(usize::from(*list))));
    let kinds = usize::from(PARTS) * usize::from(FIRST_GROUP) * usize::from(PARTS) * (usize::from(SECOND_GROUP) + 1);
    assert_eq!(shipped::BEGIN_GROUPS.len(), kinds);
    assert!(shipped::BEGIN_UNITS.iter().all(|unit| unit & 0x100 == 0 || is_list((unit >> 9) as usize)));
    let buckets = 0..1usize << BUCKETS;
    assert!(buckets.clone().all(|bucket| list_of(&shipped::BUCKETS, &shipped::LITERAL_LIST, bucket).is_some()));
    assert!(shipped::SINGLE_LITERALS.iter().all(|word| !word.text.is_empty()));
    let uses = shipped::USES.iter().all(|of| match of {
        Use::Keyword(rule) => usize::from(*rule) < rules,
        Use::Start(start) => usize::from(*start) < shipped::WORD_STARTS.len(),
        Use::Slot(near, group) => shipped::NEARS.get(usize::from(*near)).is_some_and(|near| *group < near.groups),
        Use::Unless(near) => usize::from(*near) < shipped::NEARS.len(),
        Use::Rotated | Use::Mirrored | Use::Reversed => true,
    });
    assert!(uses);
    let words = shipped::LITERALS.list.iter().chain(shipped::LITERALS.short).chain(shipped::LITERALS.single);
    assert!(words.map(|word| word.uses).all(|list| shipped::uses(list).is_some()));
    assert!(shipped::WORDS.iter().all(|word| shipped::uses((word & 0xffff) as u16).is_some()));
    assert!(shipped::WORDS.last().is_some_and(|word| word & MORE == 0));
    every(shipped::LEXICON.units, 0, &mut Vec::new(), &mut |word| {
        shipped::LEXICON.each(&String::from_utf8_lossy(word), &mut |_| {});
    });
    assert!(!bartizan_rules::invariant::take_broken());
}

#[test]
fn every_shipped_word_is_found_in_itself() {
    let (mut words, mut path) = (0, Vec::new());
    every(shipped::LEXICON.units, 0, &mut path, &mut |text| {
        words += 1;
        let Ok(text) = std::str::from_utf8(text) else { panic!("{text:?}") };
        let mut found = false;
        shipped::LEXICON.each(text, &mut |hit| found |= hit.start == 0 && hit.end == text.len());
        assert!(found, "{text}");
    });
    assert!(words > 1000);
}

/// Every word of a table.
fn every(units: &[u32], at: usize, path: &mut Vec<u8>, take: &mut dyn FnMut(&[u8])) {
    let unit = units[at];
    if unit & 0x100 != 0 {
        take(path);
    }
    for byte in 1..=255u8 {
        let child = (unit >> 9 ^ u32::from(byte)) as usize;
        if units.get(child).is_some_and(|unit| unit & 0xff == u32::from(byte)) {
            path.push(byte);
            every(units, child, path, take);
            path.pop();
        }
    }
}
