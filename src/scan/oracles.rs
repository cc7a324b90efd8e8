//! The shipped tables beside slow and well-known engines: what was emitted, not what would be compiled again.

use bartizan_rules::program::{Machine, may_begin};
use regex_automata::meta::Regex;
use regex_automata::{Input, PatternID};

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

fn expected(regex: &Regex, text: &str, window: std::ops::Range<usize>) -> Vec<(usize, usize)> {
    let value = regex.group_info().to_index(PatternID::ZERO, "value");
    let mut input = Input::new(text).range(window);
    let mut groups = regex.create_captures();
    let mut out = Vec::new();
    while input.start() < input.end() {
        regex.search_captures(&input, &mut groups);
        let Some(found) = groups.get_match() else { break };
        let span = value.and_then(|at| groups.get_group(at)).map_or(found.range(), |span| span.range());
        out.push((span.start, span.end));
        let mut next = span.end.max(found.start() + 1);
        while next < text.len() && !text.is_char_boundary(next) {
            next += 1;
        }
        input.set_start(next.min(input.end()));
    }
    out
}

/// What the emitted program of this number finds, tried where the emitted tables say that it may begin.
fn actual(program: u16, text: &str, window: std::ops::Range<usize>) -> Vec<(usize, usize)> {
    let at = usize::from(program);
    let places = &shipped::PLACE_TABLES[usize::from(shipped::PROGRAM_PLACES[at])];
    let listed =
        |start| shipped::BROAD.contains(&program) || shipped::BEGINNINGS.at(text.as_bytes(), start).contains(&program);
    let begins = |start| may_begin(places, text.as_bytes(), start) && listed(start);
    let mut machine = Machine::default();
    machine.enter(window.clone(), usize::MAX);
    let mut out = Vec::new();
    let mut next = window.start;
    for start in window {
        if start < next || !text.is_char_boundary(start) || !begins(start) {
            continue;
        }
        if let Some(found) = machine.run(shipped::PROGRAMS[at], &shipped::TABLES, text, start) {
            out.push((found.value.start, found.value.end));
            next = found.value.end.max(found.whole.start + 1);
        }
    }
    out
}

fn ceil(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap()
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
            for window in [0..text.len(), ceil(text, text.len() / 4)..ceil(text, text.len() / 4 * 3)] {
                let found = actual(number, text, window.clone());
                assert_eq!(found, expected(&regex, text, window.clone()), "{pattern}\n{text:?} {window:?}");
            }
        }
    }
}

#[test]
fn every_shipped_word_is_found_in_itself() {
    let (mut words, mut path) = (0, Vec::new());
    every(shipped::LEXICON.units, 0, &mut path, &mut |text| {
        words += 1;
        let Ok(text) = std::str::from_utf8(text) else { panic!("{text:?}") };
        let mut found = false;
        shipped::LEXICON.each(text, |hit| found |= hit.start == 0 && hit.end == text.len());
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
