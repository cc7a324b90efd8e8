//! What each stage costs at worst, in steps of a whole scan: texts derived from the stages' own tables. Escapes in every
//! form, characters that expand, look-alikes, letters with each separator, emphasis, every encoding one to three deep, the
//! samples of every rule with a validator.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Budget, Scanner, Selection, Text, normalise, rulefile};
use crate::enums::{Pack, Zone};

/// Length of a derived text.
const LENGTH: usize = 2_048;
/// Steps that a byte of one may cost.
const A_BYTE: f64 = 96.0;
/// The costliest, this number of them, are tried four times as long, too.
const WORST: usize = 24;
/// Characters of each kind that are tried.
const OF_A_KIND: usize = 6;

/// A name for the failure's message, and the unit.
type Unit = (String, String);

fn characters(units: &mut Vec<Unit>) {
    let all = ('\u{80}'..='\u{1ffff}').map(|c| (normalise::to_string(&c.to_string()).len(), c));
    let mut expanding: Vec<(usize, char)> = all.collect();
    expanding.sort_by_key(|(length, c)| std::cmp::Reverse(length * 12 / c.len_utf8()));
    for (_, c) in expanding.iter().take(2 * OF_A_KIND) {
        units.push((format!("expands {c:?}"), c.to_string()));
        units.push((format!("expands {c:?} among letters"), format!("a{c} ")));
    }
    let invisible = expanding.iter().filter(|(length, _)| *length == 0).map(|(_, c)| *c);
    for c in invisible.step_by(40).take(2 * OF_A_KIND) {
        units.push((format!("invisible {c:?}"), c.to_string()));
        units.push((format!("invisible {c:?} in a word"), format!("ig{c}nore ")));
    }
    let alike = ('\u{80}'..='\u{1ffff}').filter(|c| normalise::letter(*c).is_some());
    for c in alike.step_by(97).take(2 * OF_A_KIND) {
        units.push((format!("alike {c:?}"), format!("{c}{c}{c} x{c}y ")));
    }
}

/// A way to write one character, and one to write a text.
type Spell = fn(char) -> String;
type Encode<'f> = &'f dyn Fn(&str) -> String;

fn escapes(units: &mut Vec<Unit>) {
    let once: [(&str, Spell); 8] = [
        ("decimal", |c| format!("&#{};", u32::from(c))),
        ("hex", |c| format!("&#x{:x};", u32::from(c))),
        ("backslash u", |c| format!("\\u{:04x}", u32::from(c))),
        ("backslash U", |c| format!("\\U{:08x}", u32::from(c))),
        ("braces", |c| format!("\\u{{{:x}}}", u32::from(c))),
        ("backslash x", |c| format!("\\x{:02x}", u32::from(c) & 0x7f)),
        ("percent", |c| format!("%{:02X}", u32::from(c) & 0x7f)),
        ("quoted-printable", |c| format!("={:02X}", u32::from(c) & 0x7f)),
    ];
    for (name, escape) in once {
        for c in ['I', '&', '%', '\\', '<', '3', ' '] {
            let mut text = c.to_string();
            for depth in 1..=9 {
                text = text.chars().map(escape).collect();
                if text.len() > LENGTH {
                    break;
                }
                if matches!(depth, 1 | 2 | 3 | 9) || text.len() * 4 > LENGTH {
                    units.push((format!("{name} of {c:?}, {depth} deep"), text.clone()));
                }
            }
        }
    }
    for name in
        ["&amp;", "&lt;", "&amp;amp;", "&amp;#37;", "&zwj;", "&nbsp;", "&", "&#", "\\", "\\\\\"", "%", "%2", "%25"]
    {
        units.push((format!("entity {name}"), name.into()));
    }
}

fn separated(units: &mut Vec<Unit>) {
    for separator in
        [" ", ".", "-", "--", "_", "*", "~", "`", "|", "/", "\u{200b}", "\u{b7}", " - ", "\n", "<b>", "<!-- -->"]
    {
        units.push((format!("separated by {separator:?}"), format!("i{separator}g{separator}n{separator}")));
        units.push((format!("a word, then {separator:?}"), format!("ignore{separator}")));
        units.push((format!("{separator:?} alone"), separator.into()));
        units.push((format!("numbers and {separator:?}"), format!("49{separator}")));
    }
    for unit in [
        "**a",
        "*a*",
        "``a``",
        "~~a~~",
        "![](http://a?",
        "[a](b",
        "[a]: <b",
        "<a href=",
        "<b>a</b>",
        "1gn0r3 4ll ",
        "vtaber ",
        "erongi ",
    ] {
        units.push((format!("markup {unit}"), unit.into()));
    }
}

fn encoded(units: &mut Vec<Unit>) {
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    let encodings: [(&str, Encode<'_>); 8] = [
        ("base64", &|text| STANDARD.encode(text)),
        ("hex", &hex),
        ("hex pairs", &|text| text.bytes().map(|b| format!("{b:02x} ")).collect()),
        ("binary", &|text| text.bytes().map(|b| format!("{b:08b}")).collect()),
        ("decimal", &|text| text.bytes().map(|b| format!("{b} ")).collect()),
        ("quoted-printable", &|text| text.bytes().map(|b| format!("={b:02X}")).collect()),
        ("selectors", &|text| {
            let selector = |b: u8| char::from_u32(if b < 16 { 0xfe00 } else { 0xe0100 - 16 } + u32::from(b));
            text.bytes().filter_map(selector).collect()
        }),
        ("percent", &|text| text.bytes().map(|b| format!("%{b:02X}")).collect()),
    ];
    for inner in ["please read the list of the week", "3", "4111 1111 1111 1111 ", "\u{fdfa}", "key = a1b2c3d4e5f6"] {
        for (first, encode) in encodings {
            for (second, again) in encodings {
                // As long within as fills the text.
                let once = encode(&inner.repeat(LENGTH / (4 * inner.len())));
                for (name, text) in [(first.to_owned(), once.clone()), (format!("{first}, {second}"), again(&once))] {
                    units.push((format!("{name} of {inner:?}"), format!("{} ", head(&text, LENGTH - 1))));
                    let short = head(&text, 40);
                    units.push((format!("{name} of {inner:?}, short"), format!("{short} ")));
                }
            }
        }
    }
}

fn samples(units: &mut Vec<Unit>) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for pack in Pack::ALL {
        for file in std::fs::read_dir(root.join(pack.as_str())).unwrap().flatten() {
            let rule: rulefile::RuleFile =
                serde_norway::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
            let samples = rule.tests.matching.iter().chain(&rule.tests.no_match);
            for sample in samples.filter(|_| rule.detect.validate.is_some()).take(2) {
                units.push((format!("sample of {}", rule.id), format!("{sample}\n")));
            }
        }
    }
}

/// At most this many bytes of a text, in whole characters.
fn head(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
    &text[..end]
}

fn filled(unit: &str, length: usize) -> String {
    unit.repeat(length.div_ceil(unit.len()).max(1))
}

#[test]
fn no_stage_costs_its_worst_text_more_than_a_constant_a_byte() {
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: true };
    let scanner = Scanner::compile(&selection).unwrap();
    let steps = |text: &str| {
        let report = scanner.scan(&[Text { zone: Zone::User, text }], Budget { work: usize::MAX, ..Budget::SHIPPED });
        report.work as f64 / text.len() as f64
    };
    let mut units = Vec::new();
    characters(&mut units);
    escapes(&mut units);
    separated(&mut units);
    encoded(&mut units);
    samples(&mut units);
    units.sort();
    units.dedup_by(|a, b| a.1 == b.1);
    let mut all: Vec<(f64, &Unit)> = units.iter().map(|unit| (steps(&filled(&unit.1, LENGTH)), unit)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (one, (name, unit)) in all.iter().take(WORST) {
        let four = steps(&filled(unit, 4 * LENGTH));
        println!("{one:6.1} steps a byte, {four:6.1} in four times the text: {name}");
        assert!(*one <= A_BYTE && four <= one * 1.25 + 4.0, "{name}: {one}, {four}");
    }
    println!("the worst of {} texts", all.len());
}
