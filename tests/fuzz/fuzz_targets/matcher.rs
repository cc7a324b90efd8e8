//! Random patterns, compiled as the shipped ones are, beside `regex-automata`: the same matches, in linear steps.

#![no_main]

use bartizan_fuzz::{Draw, Unstructured};
use bartizan_rules_compiler::lower::Compiler;
use bartizan_rules_compiler::oracle::{self, Built};
use libfuzzer_sys::fuzz_target;
use regex_automata::meta::Regex;

const LETTERS: &[&str] = &[
    "a", "b", "c", "d", "k", "K", "s", "S", "1", "22", "9", "-", ".", "_", " ", "\n", "é", "ü", "中", "\u{212a}", "ſ", "i",
    "x", "=", ":", "ab", "key", "\u{1f600}",
];
const SETS: &[&str] = &[
    "[a-c]", "[^a]", "[0-9]", "[a-z0-9]", "[é-ü]", "[^é\\n]", "[ \\t]", "[A-Za-z0-9_-]", "[^ ]", ".", "[ab]", "(?s:.)",
    "[1-2k]", "\\d", "\\p{L}", "[^\\x00-\\x7f]",
];

fn atom(u: &mut Unstructured<'_>) -> Draw<String> {
    Ok(if u.ratio(1u8, 3u8)? { (*u.choose(SETS)?).to_owned() } else { regex_syntax::escape(u.choose(LETTERS)?) })
}

fn count(u: &mut Unstructured<'_>) -> Draw<String> {
    let lazy = if u.ratio(1u8, 4u8)? { "?" } else { "" };
    let (min, more) = (u.int_in_range(0..=4u8)?, u.int_in_range(0..=8u8)?);
    Ok(match u.int_in_range(0..=6u8)? {
        0 => format!("*{lazy}"),
        1 => format!("+{lazy}"),
        2 => format!("?{lazy}"),
        3 => format!("{{{min},}}{lazy}"),
        4 => format!("{{{min}}}"),
        _ => format!("{{{min},{}}}{lazy}", min + more),
    })
}

/// A pattern. `value`: it may still hold the group of that name.
fn pattern(u: &mut Unstructured<'_>, depth: u8, value: &mut bool) -> Draw<String> {
    let mut out = String::new();
    for _ in 0..u.int_in_range(1..=4u8)? {
        let mut one = match u.int_in_range(0..=9u8)? {
            0 | 1 if depth > 0 => {
                let mut branches = Vec::new();
                for _ in 0..u.int_in_range(1..=3u8)? {
                    branches.push(pattern(u, depth - 1, &mut false)?);
                }
                format!("(?:{})", branches.join("|"))
            }
            2 if depth > 0 && *value => {
                *value = false;
                out += &format!("(?P<value>{})", pattern(u, depth - 1, value)?);
                continue;
            }
            3 => {
                out += u.choose(&["^", "$", "(?-u:\\b)", "(?m:^)", "(?m:$)"])?;
                continue;
            }
            4 => format!("(?i:{})", regex_syntax::escape(u.choose(LETTERS)?)),
            _ => atom(u)?,
        };
        if u.ratio(2u8, 5u8)? {
            one = format!("(?:{one}){}", count(u)?);
        }
        out += &one;
    }
    Ok(out)
}

/// A text of letters that patterns know, and of matches of them as far as that can be told.
fn text(u: &mut Unstructured<'_>) -> Draw<String> {
    let mut out = String::new();
    for _ in 0..u.int_in_range(0..=40u8)? {
        let piece = *u.choose(LETTERS)?;
        let times = if u.ratio(1u8, 6u8)? { u.int_in_range(1..=40u8)? } else { 1 };
        for _ in 0..times {
            out += piece;
        }
    }
    Ok(out)
}

fn run(u: &mut Unstructured<'_>) -> Draw<()> {
    let mut compiler = Compiler::default();
    let mut regexes = Vec::new();
    for _ in 0..u.int_in_range(1..=4u8)? {
        let pattern = pattern(u, 3, &mut true)?;
        let shared = u.arbitrary()?;
        if pattern.len() > 400 {
            continue;
        }
        let Ok(regex) = Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(1 << 18)))
            .build(&pattern)
        else {
            continue;
        };
        // No rule has a pattern that matches nothing.
        let least = regex_syntax::parse(&pattern).ok().and_then(|hir| hir.properties().minimum_len());
        if least.is_none_or(|least| least == 0) {
            continue;
        }
        if compiler.add(&pattern, shared).is_ok() {
            regexes.push((pattern, regex));
        }
    }
    if regexes.is_empty() {
        return Ok(());
    }
    let built = Built::new(&mut compiler);
    while !u.is_empty() {
        let text = text(u)?;
        let (a, b) = (u.int_in_range(0..=text.len())?, u.int_in_range(0..=text.len())?);
        let part = text.ceil_char_boundary(a.min(b))..text.ceil_char_boundary(a.max(b));
        for (at, (pattern, regex)) in regexes.iter().enumerate() {
            for window in [0..text.len(), part.clone()] {
                let begins = |start| built.begins(at, &text, start);
                let found = oracle::found(built.programs[at], &built.tables, &text, window.clone(), begins).spans;
                let wanted = oracle::wanted(regex, &text, window.clone());
                assert_eq!(found, wanted, "{pattern:?} in {text:?} {window:?}");
            }
            // Over and over, and four times that: four times the steps.
            if !text.is_empty() {
                let steps = |length: usize| {
                    let text = text.repeat(1 + length / text.len());
                    oracle::found(built.programs[at], &built.tables, &text, 0..text.len(), |_| true).steps
                };
                let (short, long) = (steps(1_500), steps(6_000));
                let bound = short * 6 + 6_000 * 8 + built.programs[at].len() * 1_500;
                assert!(long <= bound, "{pattern:?} in {text:?}: {short} steps, then {long}");
            }
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
