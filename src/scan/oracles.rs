//! The laid-out tables beside slow and well-known engines: words and keywords beside a search at every place, programs
//! beside `regex-automata`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use regex_automata::meta::Regex;
use regex_automata::{Input, PatternID};

use super::beginnings::Beginnings;
use super::compile::{Compiler, Step};
use super::lexicon::{Hit, Lexicon, Word, is_bounded};
use super::literals::{Found as Keyword, Literal, Literals};
use super::program::{ByteSet, Look, Machine, Op, Places, Repeat, Set, Tables, may_begin};
use super::{layout, rulefile, shipped};

fn leak<T>(rows: Vec<T>) -> &'static [T] {
    Box::leak(rows.into_boxed_slice())
}

/// A compiled pattern as the module would hold it.
fn programs(patterns: &[String]) -> (Vec<&'static [Op]>, Tables, Beginnings, Vec<u16>, Vec<Places>) {
    let mut compiler = Compiler::default();
    for pattern in patterns {
        compiler.add(pattern, true).unwrap();
    }
    let mut programs = Vec::new();
    for program in 0..compiler.programs.len() {
        let steps = compiler.programs[program].clone();
        let op = |(pc, step): (usize, Step)| match step {
            Step::Literal(bytes) => Op::Literal(leak(bytes)),
            Step::Fold(word) => Op::Fold(leak(word)),
            Step::Set(set) => Op::Set(set),
            Step::Repeat(set, min, max, greedy) => {
                let possessive = compiler.is_possessive(program, pc);
                let lookahead = compiler.lookahead(program, pc + 1);
                Op::Repeat(Repeat { set, min, max, greedy, possessive, lookahead })
            }
            Step::Split(first, second) => {
                let lookaheads = [first, second].map(|at| compiler.lookahead(program, usize::from(at)));
                Op::Split { first, second, lookaheads }
            }
            Step::Jump(to) => Op::Jump(to),
            Step::Look("Start") => Op::Look(Look::Start),
            Step::Look("End") => Op::Look(Look::End),
            Step::Look("LineStart") => Op::Look(Look::LineStart),
            Step::Look("LineEnd") => Op::Look(Look::LineEnd),
            Step::Look(_) => Op::Look(Look::Word),
            Step::Open => Op::Open,
            Step::Close => Op::Close,
            Step::Match => Op::Match,
        };
        programs.push(leak(steps.into_iter().enumerate().map(op).collect()));
    }
    let begin = compiler.beginnings();
    let sets = compiler.sets.iter().map(|(ascii, ranges)| Set { ascii: *ascii, ranges: leak(ranges.clone()) });
    let lookaheads = compiler.lookaheads.iter().map(|(bytes, end)| ByteSet { bytes: *bytes, end: *end });
    let tables = Tables { sets: leak(sets.collect()), lookaheads: leak(lookaheads.collect()) };
    let beginnings = Beginnings {
        classes: Box::leak(Box::new(begin.classes.try_into().unwrap())),
        units: leak(begin.units),
        roots: begin.roots,
        lists: leak(begin.lists),
        patterns: leak(begin.patterns),
        groups: leak(begin.groups),
    };
    let places = (0..programs.len()).map(|program| compiler.places(program).try_into().unwrap()).collect();
    (programs, tables, beginnings, begin.broad, places)
}

/// Every pattern of a shipped rule, and its samples.
fn shipped_patterns() -> (Vec<String>, Vec<String>) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let (mut patterns, mut samples) = (Vec::new(), Vec::new());
    for (pack, _) in rulefile::PACKS {
        let mut files: Vec<_> = std::fs::read_dir(root.join(pack)).unwrap().flatten().map(|f| f.path()).collect();
        files.sort();
        for file in files {
            let rule: rulefile::RuleFile = serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            if rule.detect.pattern.is_some() || !rule.detect.patterns.is_empty() {
                patterns.extend(rule.detect.pattern.into_iter().chain(rule.detect.patterns));
                samples.extend(rule.tests.matching.into_iter().chain(rule.tests.no_match));
            }
        }
    }
    (patterns, samples)
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

fn actual(
    ops: &[Op],
    tables: &Tables,
    text: &str,
    window: std::ops::Range<usize>,
    begins: impl Fn(usize) -> bool,
) -> Vec<(usize, usize)> {
    let mut machine = Machine::default();
    machine.enter(window.clone(), usize::MAX);
    let mut out = Vec::new();
    let mut next = window.start;
    for start in window {
        if start < next || !text.is_char_boundary(start) || !begins(start) {
            continue;
        }
        if let Some(found) = machine.run(ops, tables, text, start) {
            out.push((found.value.start, found.value.end));
            next = found.value.end.max(found.whole.start + 1);
        }
    }
    out
}

fn compare(patterns: &[String], texts: &[String]) {
    let (programs, tables, beginnings, broad, places) = programs(patterns);
    for (at, pattern) in patterns.iter().enumerate() {
        let regex = Regex::new(pattern).unwrap();
        let number = at as u16;
        for text in texts {
            for window in [0..text.len(), ceil(text, text.len() / 4)..ceil(text, text.len() / 4 * 3)] {
                let listed = |start| broad.contains(&number) || beginnings.at(text.as_bytes(), start).contains(&number);
                let begins = |start| may_begin(&places[at], text.as_bytes(), start) && listed(start);
                let found = actual(programs[at], &tables, text, window.clone(), begins);
                assert_eq!(found, expected(&regex, text, window.clone()), "{pattern}\n{text:?} {window:?}");
            }
        }
    }
}

fn ceil(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap()
}

#[test]
fn shipped_patterns_find_what_regex_automata_finds() {
    let (patterns, samples) = shipped_patterns();
    let mut texts = samples.clone();
    for (n, two) in samples.windows(2).enumerate() {
        texts.push(format!("x {} é{}\n", two[0], two[1]));
        if n % 7 == 0 {
            texts.push(two[0].replace(' ', "\n").replace('e', "é"));
        }
    }
    // All patterns over all texts would take long: each pattern meets every ninth.
    for (n, chunk) in patterns.chunks(9).enumerate() {
        let some: Vec<String> = texts.iter().skip(n % 5).step_by(5).cloned().collect();
        compare(chunk, &some);
    }
}

#[test]
fn awkward_patterns_find_what_regex_automata_finds() {
    let patterns = [
        "a{2,4}?b|a+c",
        "(?:^|[^0-9])(?P<value>[0-9]{3}(?:-[0-9]{2}){1,3})(?:[^0-9]|$)",
        "(?i)kiss(?P<value>.{0,5}?)s",
        "(?:ab|a)(?:bc|c)(?:d*|e)f",
        "(?m)^[ ]*(?P<value>x+)[ ]*$",
        r"(?-u:\b)[a-c.]{0,5}?(?:cab|ab)(?P<value>[^ ]{2,})(?:[ ]|$)",
        "[é-ü]{2}(?P<value>[^é]+?)é",
        "(?:a|ab){1,}c",
    ];
    let letters =
        ["a", "b", "c", "d", "f", "-", "1", "22", " ", "\n", "é", "ü", "K", "\u{212a}", "i", "ſ", "S", "x", "."];
    let mut texts = Vec::new();
    let mut seed = 1u64;
    for length in 0..400 {
        let mut text = String::new();
        for _ in 0..length % 23 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(letters[(seed >> 33) as usize % letters.len()]);
        }
        texts.push(text);
    }
    compare(&patterns.map(String::from), &texts);
}

#[test]
fn a_hostile_text_costs_a_pattern_no_more_than_its_length() {
    let patterns = ["(?:a|b|ab)*c", "[a-z]{0,40}?(?:key|k[a-z]{0,20}y)[a-z.]{0,20}[ ]{0,8}=", "(?:[a-z]+[.])+x"];
    let (programs, tables, ..) = programs(&patterns.map(String::from));
    let steps = |ops: &[Op], length: usize| {
        let text = "abk.y".repeat(length / 5);
        let mut machine = Machine::default();
        machine.enter(0..text.len(), usize::MAX);
        for at in 0..text.len() {
            let _ = machine.run(ops, &tables, &text, at);
        }
        machine.steps
    };
    for ops in programs {
        let (short, long) = (steps(ops, 4_000), steps(ops, 16_000));
        assert!(long < short * 5, "{short} steps, {long} for four times the text");
    }
}

fn lexicon(words: &[&str]) -> (Lexicon, Vec<(String, Word)>) {
    let mut known: Vec<(String, Word)> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let open_end = word.ends_with('*');
        let text = word.trim_end_matches('*').to_string();
        let bound_end = !open_end && text.chars().next_back().is_some_and(is_bounded);
        let phrase = text.contains(' ');
        known.push((text, Word { uses: at as u16, bound_end, wide: false, phrase, open_end }));
    }
    known.sort_by(|a, b| a.0.cmp(&b.0));
    known.dedup_by(|a, b| a.0 == b.0);
    let units = layout::words(known.iter().enumerate().map(|(at, (word, _))| (word.as_bytes(), at as u32)));
    let starts = layout::starts(known.iter().map(|(text, word)| (text.as_bytes(), word.bound_end)));
    let words = known.iter().map(|(_, word)| layout::packed(*word)).collect();
    let starts = Box::leak(Box::new(starts.try_into().unwrap()));
    (Lexicon { units: leak(units), starts, words: leak(words) }, known)
}

/// The definition: every word at every place.
fn slow(text: &str, words: &[(String, Word)]) -> Vec<(usize, usize, u16)> {
    let mut out = Vec::new();
    let joins = |c: Option<char>| c.is_some_and(is_bounded);
    for (word, known) in words {
        for (start, _) in text.char_indices().filter(|(at, _)| text[*at..].starts_with(word.as_str())) {
            let end = start + word.len();
            let bound_start = word.chars().next().is_some_and(is_bounded);
            let cut = (bound_start && joins(text[..start].chars().next_back()))
                || (known.bound_end && joins(text[end..].chars().next()));
            let letter = |b: &u8| b.is_ascii_lowercase();
            let left = text.as_bytes()[..start].iter().rev().take_while(|b| letter(b)).count();
            let right = text.as_bytes()[end..].iter().take_while(|b| letter(b)).count();
            let glued =
                word.bytes().all(|b| b.is_ascii_lowercase()) && left + word.len() + right >= 20 && word.len() >= 4;
            if !cut || glued {
                let more = if known.open_end {
                    text[end..].chars().take(24).take_while(|c| is_bounded(*c)).map(char::len_utf8).sum()
                } else {
                    0
                };
                out.push((start, end + more, known.uses));
            }
        }
    }
    out.sort_unstable();
    out
}

const WORDS: [&str; 22] = [
    "ignore",
    "ignor*",
    "all",
    "all previous",
    "previous instructions",
    "you",
    "you are",
    "a",
    "an*",
    "忽略",
    "略之",
    "ключ",
    "ключ*",
    "don't",
    ".env",
    "@",
    "x + y",
    "instruc*",
    "no",
    "игнор*",
    "e.g.",
    "10/10",
];

proptest! {
    #[test]
    fn words_are_found_wherever_one_stands(pieces in prop::collection::vec(prop_oneof![
        prop::sample::select(WORDS.to_vec()).prop_map(|word| word.trim_end_matches('*').to_string()),
        prop::sample::select(vec![" ", "s", "ing", "'", ".", "之", "é", "ключи", "xyzzyxyzzyxyzzyxyzzy", "4", "\u{94d}"])
            .prop_map(String::from),
    ], 0..24)) {
        let (lexicon, words) = lexicon(&WORDS);
        let text = pieces.concat();
        let mut found = Vec::new();
        let mut last = 0;
        lexicon.each(&text, |Hit { start, end, uses, .. }| {
            found.push((start, end, uses));
            last = start;
        });
        found.sort_unstable();
        prop_assert_eq!(found, slow(&text, &words), "{:?}", text);
    }

    #[test]
    fn keywords_are_found_in_any_case(pieces in prop::collection::vec(prop_oneof![
        "[A-Za-z@:_-]{0,3}",
        prop::sample::select(vec!["ToKen", "SK-", "api_KEY", "@", "::", "КЛЮЧ", "ключ", "eyJ"]).prop_map(String::from),
    ], 0..20)) {
        let words: Vec<(Vec<u8>, u16)> = ["token", "sk-", "api_key", "key", "@", "::", "ключ", "eyj", "oke"]
            .iter().enumerate().map(|(at, word)| (word.as_bytes().to_vec(), at as u16)).collect();
        let layout = layout::literals(&words);
        let literal = |text: &[u8], triple, offset, uses| Literal { text: leak(text.to_vec()), triple, offset, uses };
        let literals = Literals {
            triples: Box::leak(Box::new(layout.triples.try_into().unwrap())),
            buckets: leak(layout.buckets),
            list: leak(layout.list.iter().map(|(w, t, o, u)| literal(w, *t, *o, *u)).collect()),
            short: leak(layout.short.iter().map(|(w, t, u)| literal(w, *t, 0, *u)).collect()),
            single: leak(layout.single.iter().map(|(w, u)| literal(w, 0, 0, *u)).collect()),
        };
        let text = pieces.concat();
        let mut found = BTreeSet::new();
        literals.each(&text, |Keyword { start, end, uses }| { found.insert((start, end, uses)); });
        let mut wanted = BTreeSet::new();
        for (word, uses) in &words {
            for (at, there) in text.as_bytes().windows(word.len()).enumerate() {
                if there.eq_ignore_ascii_case(word) {
                    wanted.insert((at, at + word.len(), *uses));
                }
            }
        }
        prop_assert_eq!(found, wanted, "{:?}", text);
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
