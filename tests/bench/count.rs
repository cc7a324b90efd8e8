//! Whole requests under callgrind: `count.py` runs this twice, with and without the requests, and takes the difference.

use std::collections::BTreeMap;
use std::error::Error;

use super::site::{Site, chat, events, streamed};
use super::texts::{Kind, Texts};

/// Requests that are sent before any is counted: they fill caches and make the first allocations.
const WARM: usize = 4;

/// Prepares requests of a kind and size and sends this many of them.
///
/// # Errors
/// When the policy does not compile.
pub fn requests(kind: Kind, size: usize, prepared: usize, sent: usize) -> Result<(), Box<dyn Error>> {
    let mut site = Site::new()?;
    let mut texts = Texts::new(1);
    let bodies: Vec<(usize, Vec<u8>)> =
        (0..WARM + prepared).map(|_| texts.fresh(kind, size)).map(|text| (text.len(), chat(&text))).collect();
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut bytes = 0;
    for (number, (length, body)) in bodies.into_iter().take(WARM + sent).enumerate() {
        let reason = site.send(body);
        if number >= WARM {
            bytes += length;
            if let Some(reason) = reason {
                *refused.entry(reason).or_default() += 1;
            }
        }
    }
    println!("{}", serde_json::json!({ "kind": kind.name(), "size": size, "bytes": bytes, "refused": refused }));
    Ok(())
}

/// Sends this many requests whose replies are streams of so many events, a word of prose each.
///
/// # Errors
/// When the policy does not compile.
pub fn streams(count: usize, words: usize) -> Result<(), Box<dyn Error>> {
    let mut site = Site::new()?;
    let mut texts = Texts::new(1);
    let mut bytes = [0, 0];
    for number in 0..WARM + count {
        let body = streamed(&texts.fresh(Kind::Prose, 64));
        let text = texts.fresh(Kind::Prose, 16 * words.max(1));
        let stream = events(text.split_whitespace().take(words));
        let passed = site.stream(body, &stream);
        if number >= WARM {
            bytes = [bytes[0] + stream.iter().map(Vec::len).sum::<usize>(), bytes[1] + passed];
        }
    }
    println!("{}", serde_json::json!({ "streams": count, "words": words, "bytes": bytes[0], "passed": bytes[1] }));
    Ok(())
}
