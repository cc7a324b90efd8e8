//! The benchmarks' native half, over fresh text (`texts`). `make bench`, `make bench-scan` and `make bench-count` run it.
//!
//! ```text
//! bench scan [KIND]              the scanner alone: one JSON line a kind and size
//! bench own                      the same beside rules of the policy's own
//! bench worst                    a search for the costliest text: one JSON line a unit
//! bench large UNIT SIZE          how long the scanner takes for a text of such a unit
//! bench count KIND SIZE PREPARED SENT  whole requests, for callgrind; the line says how many were refused
//! bench stream COUNT WORDS       replies that are streams of so many events, for callgrind
//! bench texts KIND SIZE COUNT SEED     fresh texts, each a JSON string on a line
//! bench refused KIND SIZE COUNT SEED   those of them that the shipped policy refuses, with the reason
//! bench found [FILE]...          what the scanner finds in fresh texts and in the rows of files, to compare two builds
//! bench rules COUNT              rules of a policy's own, as JSON
//! ```

mod clock;
mod count;
mod found;
mod own;
mod scan;
mod site;
mod texts;
mod worst;

use std::error::Error;
use std::io::Write;

use texts::{Kind, Texts};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["scan"] => Kind::ALL.into_iter().try_for_each(scan::kind),
        ["scan", name] => scan::kind(kind(name)?),
        ["own"] => scan::own_rules(),
        ["worst"] => worst::search(),
        ["large", unit, size] => worst::large(unit, size.parse()?),
        ["count", name, size, prepared, sent] => {
            count::requests(kind(name)?, size.parse()?, prepared.parse()?, sent.parse()?)
        }
        ["stream", number, words] => count::streams(number.parse()?, words.parse()?),
        ["texts", name, size, count, seed] => write_texts(kind(name)?, size.parse()?, count.parse()?, seed.parse()?),
        ["refused", name, size, count, seed] => refused(kind(name)?, size.parse()?, count.parse()?, seed.parse()?),
        ["found", files @ ..] => found::all(files),
        ["rules", count] => {
            println!("{}", own::rules(count.parse()?));
            Ok(())
        }
        _ => Err("expected scan, own, worst, large, count, texts, refused, found or rules; bench.rs says how".into()),
    }
}

fn kind(name: &str) -> Result<Kind, Box<dyn Error>> {
    Kind::named(name).ok_or_else(|| format!("no kind of text is named {name}").into())
}

fn write_texts(kind: Kind, size: usize, count: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut texts = Texts::new(seed);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for _ in 0..count {
        writeln!(out, "{}", serde_json::to_string(&texts.fresh(kind, size))?)?;
    }
    Ok(out.flush()?)
}

fn refused(kind: Kind, size: usize, count: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    let (mut texts, mut site) = (Texts::new(seed), site::Site::new()?);
    for _ in 0..count {
        let text = texts.fresh(kind, size);
        if let Some(reason) = site.send(site::chat(&text)) {
            println!("{}", serde_json::json!({ "reason": reason, "text": text }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn fresh_texts_have_their_size_and_differ_and_a_seed_gives_the_same_again() {
        for kind in Kind::ALL {
            let drawn = Texts::new(1).many(kind, 700, 14_000);
            assert!(drawn.iter().all(|text| (697..=700).contains(&text.len())), "{}", kind.name());
            assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 20, "{}", kind.name());
            assert_eq!(drawn, Texts::new(1).many(kind, 700, 14_000));
            assert_ne!(drawn, Texts::new(2).many(kind, 700, 14_000));
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
    }

    // The tables are about requests that pass; `bench refused` shows the others, each of which is a fault of the policy.
    #[test]
    fn the_shipped_policy_refuses_hardly_any_fresh_text() {
        let mut site = site::Site::new().unwrap();
        let mut texts = Texts::new(20);
        let mut refused = Vec::new();
        for kind in Kind::ALL {
            for text in texts.many(kind, 1024, 24 * 1024) {
                refused.extend(site.send(site::chat(&text)).map(|reason| (kind.name(), reason, text)));
            }
        }
        assert!(refused.len() <= 2, "{refused:#?}");
    }

    // The search of `bench worst` begins at these, and fails over 8.
    #[test]
    fn no_seed_of_the_search_costs_eight_times_the_median_of_fresh_text() {
        let (median, seeds) = worst::seeds().unwrap();
        let dear: Vec<_> = seeds.iter().filter(|(_, times)| *times > 8.0).collect();
        let most = seeds.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        println!("the costliest seed, times the median: {most:?}");
        assert!(dear.is_empty(), "{median} steps a byte; times that: {dear:?}");
    }

    #[test]
    fn rules_of_a_policys_own_are_found_in_prose() {
        let policy = site::policy(&[("/rules", serde_json::json!({ "custom": own::rules(24) }))]).unwrap();
        assert!(scan::own_hits(&policy, &Texts::new(1).fresh(Kind::Prose, 8192)) > 0);
    }
}
