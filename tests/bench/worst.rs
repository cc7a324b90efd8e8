//! A search for the costliest text: a hill-climb over units that are repeated to one length.
//!
//! Four climbs, from the same seeds: by the scanner's steps, which are the same on every machine, and by the time of the
//! whole request; over one text, and over many texts, into which the record separator cuts the repeated unit. Each of these
//! gets a number, since verdicts of texts that are known are remembered.

use std::collections::BTreeSet;
use std::error::Error;

use bartizan::enums::Zone;
use bartizan::scan::{Budget, Text};
use serde_json::json;

use super::site::{Site, parts};
use super::texts::{Draw, Kind, Texts};
use super::{clock, site};

/// Bytes of a candidate's text while the search goes on.
const LENGTH: usize = 4 * 1024;
/// Bytes of the texts that the table is about, and four times as many for the growth.
const SHOWN: usize = 16 * 1024;
/// Candidates that each climb tries.
const TRIES: usize = 200;
/// Bytes of the longest unit.
const LONGEST: usize = 48;
/// Units that are bred on.
const KEPT: usize = 8;
/// A text that takes longer than this, in nanoseconds, is measured once.
const SLOW: f64 = 20e6;
/// Rows of each climb in the table.
const ROWS: usize = 5;
/// Cuts the text into parts.
const CUT: char = '\u{1e}';

const SEEDS: &[&str] = &[
    "a",
    "0",
    " ",
    "\n",
    "*",
    "~",
    "`",
    "_",
    "<",
    "&",
    "%",
    "\\",
    "#",
    "|",
    "=",
    "\"",
    "•",
    "·",
    "ﷺ",
    "\u{200b}",
    "\u{e0041}",
    "é",
    "![](http://a?",
    "[a](http://a",
    "aakey=",
    "key: ",
    "%41%20",
    "&amp;",
    "\\u0041",
    "data:",
    "data:text/html,",
    "a@b.c@",
    "https://",
    "4111 ",
    "12-34-",
    "1.2.3.",
    "a b c d ",
    "i g n o r e ",
    "ignore all ",
    "system: ",
    "<!-- ",
    "<a href=",
    "QUJD",
    "=?utf-8?b?QQ==?=",
    "{\"a\":[",
    "-----BEGIN ",
    "eyJhbGciOi",
    "AKIA",
    "sk-",
    "v1\u{1e}",
    "ﷺ\u{1e}",
    "a@b.c\u{1e}",
    "1\u{1e}",
    "key=\u{1e}",
    "ο",
    "ａ",
    "1gn0r3 ",
    "vtaber ",
    "erongi ",
    "١",
    "中",
];

#[derive(Clone)]
struct Candidate {
    unit: String,
    cost: f64,
}

/// Prints the fresh kinds' medians, then the costliest units that were found.
///
/// # Errors
/// When the policy does not compile.
pub fn search() -> Result<(), Box<dyn Error>> {
    let mut site = Site::new()?;
    let mut texts = Texts::new(3);
    let mut fresh: Vec<(f64, f64)> = Vec::new();
    for kind in Kind::ALL {
        let drawn = texts.many(kind, SHOWN, 8 * SHOWN);
        let steps = median(drawn.iter().map(|text| steps(&site, text)).collect());
        let time = median(drawn.iter().map(|text| time(&mut site, text)).collect());
        fresh.push((steps, time));
    }
    let base = (
        median(fresh.iter().map(|(steps, _)| *steps).collect()),
        median(fresh.iter().map(|(_, time)| *time).collect()),
    );
    println!("{}", json!({ "fresh": true, "length": SHOWN, "steps": base.0, "ns": base.1, "tries": TRIES }));
    for (by, cuts) in [("steps", false), ("time", false), ("steps", true), ("time", true)] {
        for candidate in climb(by, cuts, &mut site) {
            let text = filled(&candidate.unit, SHOWN);
            let (taken, spent) = (steps(&site, &text), time(&mut site, &text));
            let longer = time(&mut site, &filled(&candidate.unit, 4 * SHOWN));
            let refused = site.send(body(&text, 9_000_000));
            let row = json!({ "by": by, "texts": pieces(&text, 0).len(), "unit": candidate.unit, "shown": candidate.unit.escape_debug().to_string(), "steps": taken, "ns": spent,
                "timesSteps": taken / base.0, "times": spent / base.1, "growth": longer / spent, "refused": refused });
            println!("{row}");
        }
    }
    Ok(())
}

/// Prints how long the scanner takes for a text of this unit: the longest callback.
///
/// # Errors
/// When the policy does not compile.
pub fn large(unit: &str, size: usize) -> Result<(), Box<dyn Error>> {
    let policy = site::policy(&[])?;
    let pieces = pieces(&filled(unit, size), 0);
    let texts: Vec<Text<'_>> = pieces.iter().map(|text| Text { zone: Zone::User, text }).collect();
    let began = clock::cpu();
    policy.scanner.scan(&texts, Budget { scan_bytes: 1 << 26, decoded_bytes: 1 << 20, work: usize::MAX });
    println!("{}", json!({ "callback": clock::since(began) / 1e6 }));
    Ok(())
}

/// The costliest units of one climb, the costliest first.
fn climb(by: &str, cuts: bool, site: &mut Site) -> Vec<Candidate> {
    let mut draw = Draw::new(11);
    let mut cost = |unit: &str| {
        let text = filled(unit, LENGTH);
        if by == "steps" { steps(site, &text) } else { time(site, &text) }
    };
    let mut best: Vec<Candidate> = Vec::new();
    for unit in SEEDS.iter().filter(|unit| unit.contains(CUT) == cuts) {
        best.push(Candidate { unit: (*unit).to_owned(), cost: cost(unit) });
    }
    best.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    for _ in best.len()..TRIES {
        // The costliest are bred on most often; now and then one of the others.
        let most = if draw.one_in(4) { best.len() } else { KEPT.min(best.len()) };
        let at = draw.below(most).min(draw.below(most));
        let (Some(parent), Some(other)) = (best.get(at), best.get(draw.below(best.len()))) else { break };
        let unit = mutated(&mut draw, &parent.unit, &other.unit);
        let unit = if cuts { unit } else { unit.replace(CUT, "") };
        if unit.is_empty() || unit.contains(CUT) != cuts || best.iter().any(|known| known.unit == unit) {
            continue;
        }
        let cost = cost(&unit);
        best.push(Candidate { unit, cost });
        best.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    }
    // One of each alphabet: the others are variants of it.
    let mut alphabets = BTreeSet::new();
    best.retain(|found| alphabets.insert(found.unit.chars().collect::<BTreeSet<char>>()));
    best.truncate(ROWS);
    best
}

/// A unit that was repeated, joined, spliced, cut, or of which two characters changed places.
fn mutated(draw: &mut Draw, unit: &str, other: &str) -> String {
    let mut letters: Vec<char> = unit.chars().collect();
    let others: Vec<char> = other.chars().collect();
    match draw.below(6) {
        0 => letters = letters.repeat(draw.between(2, 4)),
        1 => letters.extend(others),
        2 => {
            let at = draw.below(letters.len() + 1);
            let from = draw.below(others.len());
            letters.splice(at..at, others.into_iter().skip(from));
        }
        3 => {
            let from = draw.below(letters.len());
            letters.drain(from..draw.between(from, letters.len()).max(from));
        }
        4 if letters.len() > 1 => {
            let (a, b) = (draw.below(letters.len()), draw.below(letters.len()));
            letters.swap(a, b);
        }
        _ => {
            let seed = draw.pick(SEEDS).chars().chain([CUT, ' ', '(', ')', '"', '>', '1', 'a']).collect::<Vec<_>>();
            let at = draw.below(letters.len() + 1);
            letters.insert(at, draw.pick(&seed));
        }
    }
    let mut length = 0;
    letters
        .into_iter()
        .take_while(|letter| {
            length += letter.len_utf8();
            length <= LONGEST
        })
        .collect()
}

fn filled(unit: &str, length: usize) -> String {
    let mut text = unit.repeat(length / unit.len().max(1) + 1);
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Steps a byte of the scanner.
fn steps(site: &Site, text: &str) -> f64 {
    let pieces = pieces(text, 0);
    let texts: Vec<Text<'_>> = pieces.iter().map(|text| Text { zone: Zone::User, text }).collect();
    let bytes: usize = pieces.iter().map(String::len).sum();
    site.policy().scanner.scan(&texts, site.policy().limits.budget()).work as f64 / bytes.max(1) as f64
}

/// A seed, and its steps a byte as times the median.
#[cfg(test)]
type Times = (&'static str, f64);

/// The median of the fresh kinds, and each seed of a climb with its times that: steps a byte.
///
/// # Errors
/// When the policy does not compile.
#[cfg(test)]
pub fn seeds() -> Result<(f64, Vec<Times>), Box<dyn Error>> {
    let (site, mut texts) = (Site::new()?, Texts::new(3));
    let fresh = Kind::ALL.map(|kind| steps(&site, &texts.fresh(kind, LENGTH))).to_vec();
    let median = median(fresh);
    let times = |unit: &&'static str| (*unit, steps(&site, &filled(unit, LENGTH)) / median);
    Ok((median, SEEDS.iter().map(times).collect()))
}

/// Nanoseconds of processor time a byte of the whole request, the fastest of three, none of whose texts is the same.
fn time(site: &mut Site, text: &str) -> f64 {
    let mut best = f64::MAX;
    for run in 1..=3 {
        let body = body(text, run * 1_000_000);
        let began = clock::cpu();
        site.send(body);
        best = best.min(clock::since(began));
        if best > SLOW {
            break;
        }
    }
    best / text.len() as f64
}

/// The texts of a message, each of many with a number of its own from `first`.
fn pieces(text: &str, first: usize) -> Vec<String> {
    if text.contains(CUT) {
        text.split(CUT).zip(first..).map(|(piece, number)| format!("{piece}{number}")).collect()
    } else {
        vec![if first == 0 { text.to_owned() } else { format!("{first} {text}") }]
    }
}

fn body(text: &str, first: usize) -> Vec<u8> {
    let pieces = pieces(text, first);
    parts(&pieces.iter().map(String::as_str).collect::<Vec<_>>())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
