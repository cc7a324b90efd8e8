//! What the compiler lays out beside slow and well-known engines: words and keywords beside a search at every place,
//! programs beside `regex-automata`. The shipped tables have the same test where they are included.

use std::collections::BTreeSet;

use bartizan_rules::lexicon::{Hit, Lexicon, Word, is_bounded};
use bartizan_rules::literals::{Found as Keyword, Literal, Literals};
use bartizan_rules::program::{Machine, Op};
use proptest::prelude::*;
use regex_automata::meta::Regex;

use crate::layout;
use crate::lower::Compiler;
use crate::oracle::{self, Built, leak};

fn compare(patterns: &[String], texts: &[String]) {
    let built = built(patterns);
    for (at, pattern) in patterns.iter().enumerate() {
        let regex = Regex::new(pattern).unwrap();
        for text in texts {
            let quarter = |of: usize| text.ceil_char_boundary(text.len() / 4 * of);
            for window in [0..text.len(), quarter(1)..quarter(3)] {
                let begins = |start| built.begins(at, text, start);
                let found = oracle::found(built.programs[at], &built.tables, text, window.clone(), begins);
                assert_eq!(found.spans, oracle::wanted(&regex, text, window.clone()), "{pattern}\n{text:?} {window:?}");
            }
        }
    }
}

fn built(patterns: &[String]) -> Built {
    let mut compiler = Compiler::default();
    for pattern in patterns {
        compiler.add(pattern, true).unwrap();
    }
    Built::new(&mut compiler)
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
        "[^a](?m:^)K",
        "(?m)x\n*^(?P<value>b|\u{212a})",
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
    let Built { programs, tables, .. } = built(&patterns.map(String::from));
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
        lexicon.each(&text, &mut |Hit { start, end, uses, .. }| {
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
        literals.each(&text, &mut |Keyword { start, end, uses }| { found.insert((start, end, uses)); });
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
