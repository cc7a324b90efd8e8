//! How the tables are laid out that the scanner reads.
//!
//! ```
//! use bartizan_rules::lexicon::WHOLE;
//! use bartizan_rules_compiler::layout;
//!
//! let units = layout::words([(&b"key"[..], 0), (&b"keys"[..], 1)].into_iter());
//! assert!(units.iter().any(|unit| unit & WHOLE != 0));
//! ```

use bartizan_rules::lexicon::{BASE, STARTS, WHOLE, Word, start};
use bartizan_rules::literals::{BUCKETS, FILTER, UNITS, fold, hash};

/// A word of the lexicon in 32 bits.
pub fn packed(word: Word) -> u32 {
    let flag = |on: bool, at: u32| u32::from(on) << at;
    u32::from(word.uses)
        | flag(word.bound_end, 16)
        | flag(word.wide, 17)
        | flag(word.phrase, 18)
        | flag(word.open_end, 19)
}

/// Lays out a table of words, each with its number (below 2^24). No word is empty or has a zero byte.
pub fn words<'w>(words: impl Iterator<Item = (&'w [u8], u32)>) -> Vec<u32> {
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Node {
        children: BTreeMap<u8, usize>,
        number: Option<u32>,
    }
    let mut nodes = vec![Node::default()];
    for (word, number) in words {
        let mut at = 0;
        for &byte in word {
            let next = nodes.len();
            let Some(node) = nodes.get_mut(at) else { return Vec::new() };
            let known = *node.children.entry(byte).or_insert(next);
            if known == next {
                nodes.push(Node::default());
            }
            at = known;
        }
        if let Some(node) = nodes.get_mut(at) {
            node.number = Some(number);
        }
    }
    let mut units: Vec<u32> = vec![0];
    let mut taken = vec![true];
    let mut bases = std::collections::HashSet::new();
    let mut lowest = 1usize;
    let mut work = vec![(0usize, 0usize)];
    while let Some((node, place)) = work.pop() {
        let Some(node) = nodes.get(node) else { continue };
        let mut labels: Vec<u8> = node.number.map(|_| 0).into_iter().chain(node.children.keys().copied()).collect();
        labels.sort_unstable();
        let Some(&first) = labels.first() else { continue };
        while taken.get(lowest) == Some(&true) {
            lowest += 1;
        }
        let free = |at: usize, taken: &[bool]| at != 0 && !taken.get(at).copied().unwrap_or(false);
        // Holes further back are rare, and dear to find.
        let base = (lowest.max(taken.len().saturating_sub(1024))..)
            .filter(|at| free(*at, &taken))
            .map(|at| at ^ usize::from(first))
            .find(|base| {
                // Only a label says whose child a unit is, so that no two units may share a base.
                !bases.contains(base) && labels.iter().all(|label| free(base ^ usize::from(*label), &taken))
            })
            .unwrap_or(0);
        bases.insert(base);
        for &label in &labels {
            let at = base ^ usize::from(label);
            if at >= units.len() {
                units.resize(at + 1, 0);
                taken.resize(at + 1, false);
            }
            if let (Some(slot), Some(unit)) = (taken.get_mut(at), units.get_mut(at)) {
                *slot = true;
                *unit = u32::from(label);
            }
            if label == 0 {
                if let (Some(unit), Some(number)) = (units.get_mut(at), node.number) {
                    *unit = number << 8;
                }
            } else if let Some(&child) = node.children.get(&label) {
                work.push((child, at));
            }
        }
        if let Some(unit) = units.get_mut(place) {
            *unit |= (base as u32) << BASE | if node.number.is_some() { WHOLE } else { 0 };
        }
    }
    units
}

/// Lays out the filter of beginnings, [`bartizan_rules::lexicon::Lexicon::starts`], for words each with whether a boundary must
/// follow it.
pub fn starts<'w>(words: impl Iterator<Item = (&'w [u8], bool)>) -> Vec<u64> {
    let mut bits = vec![0u64; STARTS];
    for (word, bound_end) in words {
        let run = word.iter().take(4).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let mut tokens = vec![word.get(..run).unwrap_or_default().to_vec()];
        // What ends here without a boundary may go on with anything.
        let mut newest = 0..usize::from(run > 0 && run == word.len() && !bound_end);
        while tokens.get(newest.start).is_some_and(|token| !newest.is_empty() && token.len() < 4) {
            let from = tokens.len();
            for at in newest {
                let so_far = tokens.get(at).cloned().unwrap_or_default();
                tokens.extend((b'0'..=b'9').chain(b'a'..=b'z').map(|next| [so_far.as_slice(), &[next]].concat()));
            }
            newest = from..tokens.len();
        }
        for token in tokens.iter().filter(|token| !token.is_empty()) {
            let mut four = [0; 4];
            four.iter_mut().zip(token).for_each(|(place, byte)| *place = *byte);
            let bit = start(four);
            if let Some(unit) = bits.get_mut((bit >> 6) as usize) {
                *unit |= 1 << (bit & 63);
            }
        }
    }
    bits
}

/// The tables as `build.rs` writes them.
#[derive(Debug)]
pub struct LiteralTables {
    /// See [`bartizan_rules::literals::Literals::triples`].
    pub triples: Vec<u64>,
    /// See [`bartizan_rules::literals::Literals::buckets`].
    pub buckets: Vec<u16>,
    /// Word, three letters, their place, uses.
    pub list: Vec<(Vec<u8>, u32, u8, u16)>,
    /// Words of two bytes: word, these, uses.
    pub short: Vec<(Vec<u8>, u32, u16)>,
    /// Words of one byte: word, uses.
    pub single: Vec<(Vec<u8>, u16)>,
}

/// Lays out the tables for words in lower case, each with its list of uses.
pub fn literals(words: &[(Vec<u8>, u16)]) -> LiteralTables {
    let mut triples = vec![0u64; UNITS];
    let mut filter = |triple: u32| {
        let bit = hash(triple, FILTER);
        if let Some(bits) = triples.get_mut((bit >> 6) as usize) {
            *bits |= 1 << (bit & 63);
        }
    };
    let (mut single, mut short, mut list) = (Vec::new(), Vec::new(), Vec::new());
    for (word, uses) in words {
        match word.as_slice() {
            [] => {}
            [_] => single.push((word.clone(), *uses)),
            [first, second] => {
                (0..=255).for_each(|third| filter(fold(*first, *second, third)));
                short.push((word.clone(), fold(*first, *second, 0) & 0xffff, *uses));
            }
            _ => {
                let windows = word.windows(3).enumerate();
                let Some((offset, &[a, b, c])) = windows
                    .map(|(at, w)| (at, w.first_chunk::<3>()))
                    .filter_map(|(at, w)| Some((at, w?)))
                    .min_by_key(|(_, [a, b, c])| frequency(*a) * frequency(*b) * frequency(*c))
                else {
                    continue;
                };
                let triple = fold(a, b, c);
                filter(triple);
                list.push((word.clone(), triple, u8::try_from(offset).unwrap_or(0), *uses));
            }
        }
    }
    list.sort_by_key(|(_, triple, ..)| hash(*triple, BUCKETS));
    let buckets = (0..=1u32 << BUCKETS)
        .map(|bucket| list.iter().filter(|(_, triple, ..)| hash(*triple, BUCKETS) < bucket).count() as u16)
        .collect();
    LiteralTables { triples, buckets, list, short, single }
}

/// How common a byte is in ordinary text, roughly, in thousandths.
pub fn frequency(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b' ' => 180,
        b'e' => 100,
        b't' => 75,
        b'a' | b'o' => 65,
        b'i' | b'n' | b's' | b'r' | b'h' => 55,
        b'l' | b'd' => 35,
        b'c' | b'u' | b'm' => 25,
        b'f' | b'g' | b'p' | b'w' | b'y' | b'b' => 17,
        b'v' => 8,
        b'k' => 6,
        b'.' | b',' => 10,
        b'0'..=b'9' => 10,
        b'-' | b':' | b'/' => 6,
        _ => 2,
    }
}
