//! Words that a pattern's matches can't be without, and how far before such a word a match may begin.
//!
//! A program and an automaton of the words are walked together, byte by byte, until a word is complete. Where no way to
//! a match is without one, the pattern is tried only around these words. A way without a keyword often has another
//! word of the pattern itself (`client` of `client_sec` where the keyword is `secret`): such words are added, and open no window.
//!
//! The walk knows no K and S in another case (U+212A, U+017F), which keywords are not found with, either: a text that
//! holds one is read once more without (the normaliser marks it as compatibility).
//!
//! ```
//! use bartizan_rules_compiler::lower::Compiler;
//!
//! let mut compiler = Compiler::default();
//! compiler.add("[a-z]{1,9}://", true).unwrap();
//! compiler.anchor(&[b"://"]);
//! let anchor = &compiler.anchors[0][0];
//! assert_eq!((anchor.least, anchor.most), (1, 9));
//! ```

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use crate::lower::{Compiler, Step};

/// Furthest that a match may begin before a word; a pattern with matches that begin further off has no anchors.
const REACH: u16 = 64;
/// Places that one word may ask to be tried.
const SPREAD: u16 = 40;
/// Nodes of a walk: a pattern that needs more has no anchors.
const ENOUGH: usize = 40_000;
/// Words that are added to the keywords of a pattern.
const ADDED: usize = 12;
/// Shorter words are no anchors of their own: ordinary text is full of them.
const SHORTEST: usize = 4;

/// A word in lower case, and how many bytes of a match may be before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// The word.
    pub word: Vec<u8>,
    /// Fewest.
    pub least: u8,
    /// Most.
    pub most: u8,
}

/// Instruction, how far into it, state of the words' automaton.
type Node = (usize, u16, usize);

/// Fewest and most bytes before a node, and the node before it on the first way that was found.
#[derive(Clone, Copy)]
struct Reached {
    least: u16,
    most: u16,
    from: Option<Node>,
}

enum Walk {
    /// By word: fewest and most bytes before it.
    Held(BTreeMap<usize, (u16, u16)>),
    /// Instructions of a way to a match that holds no word.
    Without(Vec<usize>),
    TooLarge,
}

impl Compiler {
    /// Looks for the latest pattern around its anchors, if it has any: its rule reads text as it came, where these
    /// keywords (in lower case) are found wherever they are.
    pub fn anchor(&mut self, keywords: &[&[u8]]) {
        let Some(program) = self.programs.len().checked_sub(1) else { return };
        let found = self.held(program, keywords);
        if let (Some(found), Some(anchors)) = (found, self.anchors.get_mut(program)) {
            *anchors = found;
        }
    }

    /// Words of which every match of a program holds one; `None`: there are none such, or they are too far in.
    fn held(&self, program: usize, keywords: &[&[u8]]) -> Option<Vec<Anchor>> {
        let short = keywords.iter().filter(|word| word.len() < usize::from(REACH));
        let mut words: Vec<Vec<u8>> = short.map(|word| word.to_vec()).collect();
        for _ in 0..=ADDED {
            match self.walk(program, &Words::new(&words)) {
                Walk::TooLarge => return None,
                Walk::Without(way) => words.push(self.longest_word(program, &way)?),
                Walk::Held(found) => {
                    let anchor = |(word, (least, most)): (usize, (u16, u16))| {
                        let word = words.get(word)?.clone();
                        let is_near = most <= REACH && most - least <= SPREAD;
                        is_near.then_some(Anchor { word, least: least as u8, most: most as u8 })
                    };
                    return found.into_iter().map(anchor).collect();
                }
            }
        }
        None
    }

    /// The longest word that these instructions spell.
    fn longest_word(&self, program: usize, way: &[usize]) -> Option<Vec<u8>> {
        let steps = self.programs.get(program)?;
        let spelled = way.iter().filter_map(|pc| match steps.get(*pc)? {
            Step::Literal(word) | Step::Fold(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        });
        spelled.filter(|word| word.len() >= SHORTEST).max_by_key(Vec::len)
    }

    fn walk(&self, program: usize, words: &Words) -> Walk {
        let steps = self.programs.get(program).map(Vec::as_slice).unwrap_or_default();
        let start = (0, 0, 0);
        let mut reached = BTreeMap::from([(start, Reached { least: 0, most: 0, from: None })]);
        let mut found: BTreeMap<usize, (u16, u16)> = BTreeMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(node) = open.pop_front() {
            let Some(Reached { least, most, .. }) = reached.get(&node).copied() else { continue };
            let edges = match steps.get(node.0) {
                Some(step) => self.edges(step, node, words),
                None => Vec::new(),
            };
            if let None | Some(Step::Match) = steps.get(node.0) {
                let mut way = Vec::new();
                let mut at = Some(node);
                while let Some(node) = at {
                    way.push(node.0);
                    at = reached.get(&node).and_then(|reached| reached.from);
                }
                return Walk::Without(way);
            }
            for (next, shortest, longest) in edges {
                let (least, most) = (least.saturating_add(shortest), most.saturating_add(longest).min(2 * REACH));
                if let Some((word, length)) = words.complete(next.2).filter(|_| longest > 0) {
                    let before = |end: u16| end.saturating_sub(length);
                    let known = found.entry(word).or_insert((before(least), before(most)));
                    *known = (known.0.min(before(least)), known.1.max(before(most)));
                    continue;
                }
                match reached.entry(next) {
                    Entry::Vacant(slot) => {
                        slot.insert(Reached { least, most, from: Some(node) });
                    }
                    Entry::Occupied(mut slot) => {
                        let known = slot.get_mut();
                        if known.least <= least && known.most >= most {
                            continue;
                        }
                        (known.least, known.most) = (known.least.min(least), known.most.max(most));
                    }
                }
                open.push_back(next);
            }
            if reached.len() > ENOUGH {
                return Walk::TooLarge;
            }
        }
        Walk::Held(found)
    }

    /// Where a node leads, and fewest and most bytes on the way.
    fn edges(&self, step: &Step, (pc, inside, state): Node, words: &Words) -> Vec<(Node, u16, u16)> {
        match step {
            Step::Literal(word) | Step::Fold(word) => {
                let Some(byte) = word.get(usize::from(inside)) else { return Vec::new() };
                let is_last = usize::from(inside) + 1 == word.len();
                let (pc, inside) = if is_last { (pc + 1, 0) } else { (pc, inside + 1) };
                vec![((pc, inside, words.next(state, *byte)), 1, 1)]
            }
            Step::Set(set) => self.members(*set, (pc + 1, 0), state, words),
            Step::Repeat(set, min, max, _) => {
                // Counts beyond what is looked at are as good as none.
                let is_open = *max > REACH;
                let (min, most) = ((*min).min(REACH), if is_open { (*min).min(REACH) } else { *max });
                let mut out = Vec::new();
                if is_open || inside < *max {
                    out = self.members(*set, (pc, (inside + 1).min(most)), state, words);
                }
                if inside >= min {
                    out.push(((pc + 1, 0, state), 0, 0));
                }
                out
            }
            Step::Split(first, second) => [first, second].map(|to| ((usize::from(*to), 0, state), 0, 0)).into(),
            Step::Jump(to) => vec![((usize::from(*to), 0, state), 0, 0)],
            Step::Look(_) | Step::Open | Step::Close => vec![((pc + 1, 0, state), 0, 0)],
            Step::Match => Vec::new(),
        }
    }

    /// Where the characters of a set lead.
    fn members(&self, set: u16, (pc, inside): (usize, u16), state: usize, words: &Words) -> Vec<(Node, u16, u16)> {
        let Some((ascii, ranges)) = self.sets.get(usize::from(set)) else { return Vec::new() };
        let bytes = (0..128u8)
            .filter(|byte| ascii.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1));
        let mut out: Vec<(Node, u16, u16)> = bytes.map(|byte| ((pc, inside, words.next(state, byte)), 1, 1)).collect();
        out.sort_unstable();
        out.dedup();
        let lengths = ranges.iter().filter(|range| !matches!(range, (0x212a, 0x212a) | (0x17f, 0x17f)));
        let lengths =
            lengths.flat_map(|(from, to)| [*from, *to]).filter_map(char::from_u32).map(|c| c.len_utf8() as u16);
        if let (Some(shortest), Some(longest)) = (lengths.clone().min(), lengths.max()) {
            out.push(((pc, inside, 0), shortest, longest));
        }
        out
    }
}

/// The automaton of Aho and Corasick over the words, ASCII in any case. State 0: no word has begun.
struct Words {
    table: Vec<[usize; 256]>,
    /// By state: the longest word that it completes, and that word's length.
    complete: Vec<Option<(usize, u16)>>,
}

impl Words {
    fn new(words: &[Vec<u8>]) -> Words {
        let prefixes = words.iter().flat_map(|word| (0..=word.len()).filter_map(|end| word.get(..end)));
        let mut states: BTreeMap<&[u8], usize> = BTreeMap::from([(&[] as &[u8], 0)]);
        let mut order: Vec<&[u8]> = vec![&[]];
        for prefix in prefixes {
            states.entry(prefix).or_insert_with(|| {
                order.push(prefix);
                order.len() - 1
            });
        }
        let suffixes = |text: &[u8], at: usize| text.get(at..).map(<[u8]>::to_vec).unwrap_or_default();
        let mut table = Vec::new();
        let mut complete = Vec::new();
        let letters: Vec<u8> = (0..=255u8).filter(|byte| words.iter().any(|word| word.contains(byte))).collect();
        for prefix in &order {
            let mut row = [0; 256];
            for byte in &letters {
                let longer = [prefix, [*byte].as_slice()].concat();
                let next = (0..longer.len()).find_map(|at| states.get(suffixes(&longer, at).as_slice()));
                for as_written in [*byte, byte.to_ascii_uppercase()] {
                    if let Some(slot) = row.get_mut(usize::from(as_written)) {
                        *slot = next.copied().unwrap_or(0);
                    }
                }
            }
            table.push(row);
            let ends = (0..prefix.len()).find_map(|at| words.iter().position(|word| *word == suffixes(prefix, at)));
            complete.push(ends.map(|word| (word, words.get(word).map_or(0, Vec::len) as u16)));
        }
        Words { table, complete }
    }

    fn next(&self, state: usize, byte: u8) -> usize {
        self.table.get(state).and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(0)
    }

    fn complete(&self, state: usize) -> Option<(usize, u16)> {
        self.complete.get(state).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(pattern: &str, keywords: &[&str]) -> Option<Vec<(String, u8, u8)>> {
        let mut compiler = Compiler::default();
        compiler.add(pattern, false).unwrap();
        let keywords: Vec<&[u8]> = keywords.iter().map(|word| word.as_bytes()).collect();
        let found = compiler.held(0, &keywords)?;
        Some(found.into_iter().map(|a| (String::from_utf8(a.word).unwrap(), a.least, a.most)).collect())
    }

    #[test]
    fn words_stand_no_nearer_and_no_further_than_that() {
        let one = |word: &str, least, most| Some(vec![(word.to_owned(), least, most)]);
        assert_eq!(anchors("(?i)[a-z0-9]{2}[_-]?key=", &["key"]), one("key", 2, 3));
        assert_eq!(anchors("(?:^|[^a-z])sk-[a-z]{20}", &["sk-"]), one("sk-", 0, 4));
        assert_eq!(anchors("[a-z]{1,9}://", &["://"]), one("://", 1, 9));
        assert_eq!(anchors("[a-z]+://", &["://"]), None, "no bound");
        assert_eq!(anchors("[a-z]{0,60}://", &["://"]), None, "too many places");
        assert_eq!(
            anchors("(?:a|api)[_.]?key|token", &["key", "token"]),
            Some(vec![("key".into(), 1, 4), ("token".into(), 0, 0)])
        );
        assert_eq!(anchors("[0-9]{3}-[0-9]{2}", &["ssn"]), None, "nothing to hold on to");
        assert_eq!(anchors("é?key", &["key"]), one("key", 0, 2));
    }

    #[test]
    fn a_way_without_a_keyword_has_a_word_of_its_own() {
        assert_eq!(
            anchors("(?i)(?:client_sec(?:ret)?|api_secret)=", &["secret"]),
            Some(vec![("secret".into(), 4, 4), ("client".into(), 0, 0)])
        );
        assert_eq!(anchors("(?i)(?:secret|[a-z]{3})=", &["secret"]), None);
        // The word that is complete first is the one that counts.
        assert_eq!(anchors("akey[0-9]token", &["token", "key"]), Some(vec![("key".into(), 1, 1)]));
    }
}
