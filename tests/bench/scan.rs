//! Only the scanner: nanoseconds of processor time a byte, by kind and size of text, with and without the learned scorer.

use std::error::Error;
use std::hint::black_box;

use bartizan::enums::Zone;
use bartizan::policy::Policy;
use bartizan::scan::{Budget, Scanner, Text};
use serde_json::json;

use super::texts::{Kind, Texts};
use super::{clock, own, site};

/// Texts of one request.
const SIZES: [usize; 2] = [1024, 16 * 1024];
/// Text of one round.
const ROUND: usize = 256 * 1024;
/// Rounds; the fastest counts, since what disturbs a round only makes it slower.
const ROUNDS: usize = 5;
/// A round of a slow scanner ends after this many nanoseconds.
const LONGEST: f64 = 250e6;
/// The largest text, whose scan is the longest callback.
const LARGE: usize = 4 << 20;

/// Prints one line a size.
///
/// # Errors
/// When the policy does not compile.
pub fn kind(kind: Kind) -> Result<(), Box<dyn Error>> {
    let began = clock::cpu();
    let both = with(true, 0)?;
    let ready = clock::since(began) / 1e6;
    let rules = with(false, 0)?;
    let rest = memory();
    let mut texts = Texts::new(7);
    // V8 fills its caches, the allocator its pools.
    (0..4).for_each(|_| drop(scan(&both.scanner, &texts.fresh(kind, ROUND / 4))));
    for size in SIZES {
        let (alone, _) = fastest(&rules.scanner, || texts.many(kind, size, ROUND));
        let (scored, incomplete) = fastest(&both.scanner, || texts.many(kind, size, ROUND));
        let large = texts.fresh(kind, if size == 1024 { 0 } else { LARGE });
        let began = clock::cpu();
        scan(&both.scanner, &large);
        let callback = clock::since(began) / 1e6;
        let row = json!({ "kind": kind.name(), "size": size, "rules": alone, "scored": scored, "incomplete": incomplete,
            "callback": callback, "ready": ready, "rest": rest, "peak": memory() });
        println!("{row}");
    }
    Ok(())
}

/// The same for 16 KiB of prose, with the policy's own rules beside the shipped ones.
///
/// # Errors
/// When the policy does not compile.
pub fn own_rules() -> Result<(), Box<dyn Error>> {
    let mut texts = Texts::new(7);
    for count in [0, 10, 100, 1000] {
        let policy = with(true, count)?;
        let sample = texts.fresh(Kind::Prose, 16 * 1024);
        let hits = own_hits(&policy, &sample);
        let (scored, incomplete) = fastest(&policy.scanner, || texts.many(Kind::Prose, 16 * 1024, ROUND));
        println!("{}", json!({ "own": count, "scored": scored, "hits": hits, "incomplete": incomplete }));
    }
    Ok(())
}

/// How often the policy's own rules are found in a text.
pub fn own_hits(policy: &Policy, text: &str) -> usize {
    let is_own =
        |rule: u16| policy.scanner.cards().get(usize::from(rule)).is_some_and(|card| card.id.starts_with("X-"));
    scan(&policy.scanner, text).iter().filter(|rule| is_own(**rule)).count()
}

fn with(scorer: bool, own: usize) -> Result<Policy, Box<dyn Error>> {
    site::policy(&[("/rules", json!({ "scorer": scorer, "custom": own::rules(own) }))])
}

/// The rules that were found.
fn scan(scanner: &Scanner, text: &str) -> Vec<u16> {
    let ample = Budget { scan_bytes: 1 << 26, decoded_bytes: 1 << 20, work: usize::MAX };
    let report = black_box(scanner.scan(&[Text { zone: Zone::User, text }], ample));
    let found = report.texts.iter().flat_map(|text| &text.findings).map(|finding| finding.rule.0);
    let incomplete = report.texts.iter().any(|text| !text.complete);
    found.chain(incomplete.then_some(u16::MAX)).collect()
}

/// Nanoseconds a byte of the fastest round, each over texts of its own; and how many texts of all could not be read whole.
fn fastest(scanner: &Scanner, mut fresh: impl FnMut() -> Vec<String>) -> (f64, usize) {
    let (mut best, mut incomplete) = (f64::MAX, 0);
    for _ in 0..ROUNDS {
        let texts = fresh();
        let (mut bytes, start) = (0, clock::cpu());
        for text in &texts {
            incomplete += usize::from(scan(scanner, text).contains(&u16::MAX));
            bytes += text.len();
            if clock::since(start) > LONGEST {
                break;
            }
        }
        best = best.min(clock::since(start) / bytes as f64);
    }
    (best, incomplete)
}

/// Linear memory, in bytes; natively not known.
fn memory() -> usize {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) * 65536;
    #[cfg(not(target_arch = "wasm32"))]
    0
}
