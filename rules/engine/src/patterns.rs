//! The policy's own patterns: linear in time whatever they are, run in a window around a keyword.
//!
//! A lazy DFA finds where a match begins and ends; its states are made when a text first needs them, and kept for the
//! next one, within bounds. Where it can't go on (a Unicode word boundary beside a letter that is not ASCII, too many
//! states), and for the group `value` of a match, a PikeVM does: ten times slower and more, and as linear.
//!
//! The shipped patterns are programs that were compiled when the filter was built (`program`).
//!
//! ```
//! use bartizan_rules::patterns::Pattern;
//!
//! let pattern = Pattern::compile("order (?P<value>[0-9]{4})").unwrap();
//! let mut found = Vec::new();
//! let text = "order 1234 or order 5678";
//! pattern.each(text, 0..text.len(), &mut |span| found.push(&text[span]));
//! assert_eq!(found, ["1234", "5678"]);
//! assert!(Pattern::compile("a*").is_err(), "it matches the empty text");
//! ```

use std::ops::Range;
use std::sync::Mutex;

use regex_automata::hybrid::{dfa, regex};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, PatternID};

/// Bytes of text on either side of a keyword in which a pattern is tried, unless the rule says otherwise.
pub const WINDOW: u32 = 256;
/// Largest compiled automaton of one pattern, in bytes.
const SIZE_LIMIT: usize = 512 * 1024;
/// States of one pattern, in bytes, forwards and backwards each, unless it needs more for a single step.
const STATES: usize = 64 * 1024;
/// Times that the states may be thrown away in one search before it goes on without them.
const CLEARS: usize = 4;
/// Longest pattern, in bytes.
const LONGEST: usize = 2048;
/// Steps of a byte that the PikeVM reads.
const SLOW: usize = 16;

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    fast: regex::Regex,
    slow: PikeVM,
    /// The number of the group `value`.
    value: Option<usize>,
    /// States and memory that the last search left.
    kept: Mutex<Option<Box<Caches>>>,
}

#[derive(Debug)]
struct Caches {
    fast: regex::Cache,
    slow: pikevm::Cache,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in lower case: too long, too big, not a pattern, matches the empty text.
    pub fn compile(pattern: &str) -> Result<Pattern, String> {
        if pattern.len() > LONGEST {
            return Err(format!("the pattern is longer than {LONGEST} bytes"));
        }
        let config = thompson::Config::new().nfa_size_limit(Some(SIZE_LIMIT));
        let nfa = |config| {
            let syntax = syntax::Config::new().nest_limit(48);
            thompson::Compiler::new().syntax(syntax).configure(config).build(pattern).map_err(|error| fault(&error))
        };
        let (forward, reverse) =
            (nfa(config.clone())?, nfa(config.reverse(true).which_captures(thompson::WhichCaptures::None))?);
        let slow = PikeVM::new_from_nfa(forward.clone()).map_err(|error| fault(&error))?;
        if slow.is_match(&mut slow.create_cache(), "") {
            return Err("the pattern matches the empty text".into());
        }
        let value = forward.group_info().to_index(PatternID::ZERO, "value");
        let backwards = regex_automata::MatchKind::All;
        let fast = regex::Builder::new().build_from_dfas(
            states(forward, dfa::Config::new())?,
            states(reverse, dfa::Config::new().match_kind(backwards))?,
        );
        Ok(Pattern { fast, slow, value, kept: Mutex::new(None) })
    }

    /// Calls `take` with the span of each match within a range of the text, in order. Linear in the range; returns the
    /// steps that it took.
    pub fn each(&self, text: &str, range: Range<usize>, take: &mut dyn FnMut(Range<usize>)) -> usize {
        let kept = self.kept.lock().ok().and_then(|mut kept| kept.take());
        let mut caches =
            kept.unwrap_or_else(|| Box::new(Caches { fast: self.fast.create_cache(), slow: self.slow.create_cache() }));
        let (mut at, mut steps) = (range.start, 0);
        while at < range.end {
            let (found, more) = self.next(text, at..range.end, &mut caches);
            steps += more;
            let Some((whole, span)) = found else { break };
            // A group may leave a border that the next match needs for itself.
            at = ceil(text, span.end.max(whole.start + 1));
            if !span.is_empty() {
                take(span);
            }
        }
        if let Ok(mut kept) = self.kept.lock() {
            *kept = Some(caches);
        }
        steps
    }

    /// The first match of a range, whole and the group `value` of it, and the steps to it.
    #[allow(clippy::type_complexity, reason = "a match and what it cost")]
    fn next(
        &self,
        text: &str,
        range: Range<usize>,
        caches: &mut Caches,
    ) -> (Option<(Range<usize>, Range<usize>)>, usize) {
        let input = Input::new(text).range(range.clone());
        let read = |found: Option<&Range<usize>>| found.map_or(range.end, |whole| whole.end) - range.start;
        let mut steps = 0;
        match self.fast.try_search(&mut caches.fast, &input) {
            Ok(found) => {
                let whole = found.map(|found| found.range());
                steps += read(whole.as_ref());
                let (Some(value), Some(whole)) = (self.value, whole.clone()) else {
                    return (whole.map(|whole| (whole.clone(), whole)), steps);
                };
                steps += whole.len() * SLOW;
                let inside = Input::new(text).range(whole.clone()).anchored(Anchored::Yes);
                let group = self.group(&inside, value, caches).map_or(whole.clone(), |(_, span)| span);
                (Some((whole, group)), steps)
            }
            Err(_) => {
                let found = match self.value {
                    Some(value) => self.group(&input, value, caches),
                    None => {
                        let mut slots = [None; 2];
                        self.slow.search_slots(&mut caches.slow, &input, &mut slots);
                        let [from, to] = slots;
                        from.zip(to).map(|(from, to)| (from.get()..to.get(), from.get()..to.get()))
                    }
                };
                steps += read(found.as_ref().map(|(whole, _)| whole)) * SLOW;
                (found, steps)
            }
        }
    }

    /// A match, and the group of this number in it, or all of it.
    fn group(&self, input: &Input<'_>, value: usize, caches: &mut Caches) -> Option<(Range<usize>, Range<usize>)> {
        let mut groups = self.slow.create_captures();
        self.slow.search(&mut caches.slow, input, &mut groups);
        let whole = groups.get_match()?.range();
        let group = groups.get_group(value).map_or(whole.clone(), |span| span.range());
        Some((whole, group))
    }
}

fn states(nfa: NFA, config: dfa::Config) -> Result<dfa::DFA, String> {
    let config = config
        .cache_capacity(STATES)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(CLEARS))
        .unicode_word_boundary(true);
    dfa::Builder::new().configure(config).build_from_nfa(nfa).map_err(|error| fault(&error))
}

fn fault(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    if error.source().is_none() {
        return format!("the compiled pattern is over {SIZE_LIMIT} bytes");
    }
    format!("not a pattern: {}", text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_lowercase())
}

fn ceil(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What only the PikeVM finds.
    fn slowly(pattern: &Pattern, text: &str, range: Range<usize>) -> Vec<Range<usize>> {
        let (mut cache, mut groups) = (pattern.slow.create_cache(), pattern.slow.create_captures());
        let (mut at, mut out) = (range.start, Vec::new());
        while at < range.end {
            pattern.slow.search(&mut cache, &Input::new(text).range(at..range.end), &mut groups);
            let Some(found) = groups.get_match() else { break };
            let value = pattern.value.and_then(|value| groups.get_group(value));
            let span = value.map_or(found.range(), |span| span.range());
            at = ceil(text, span.end.max(found.start() + 1));
            if !span.is_empty() {
                out.push(span);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn the_fast_way_finds_what_the_slow_one_does(
            text in "[a-cx1é \\n-]{0,60}",
            from in any::<prop::sample::Index>(),
        ) {
            for pattern in [
                "a+b", "(?:a|ab)(?P<value>c|b+)", r"\bx+\b", r"(?-u:\b)[a-c]{2,}(?P<value>1*)", "(?m)^[a-c]+$", "a.*?c",
                r"\p{L}{2,4}", "(?i)X(?P<value>[^ ]*) ", r"(?s)a.{3}", r"1$", r"\B-",
            ] {
                let pattern = Pattern::compile(pattern).unwrap();
                let range = ceil(&text, from.index(text.len() + 1))..text.len();
                // Twice: the second time with the states of the first.
                for _ in 0..2 {
                    let mut found = Vec::new();
                    pattern.each(&text, range.clone(), &mut |span| found.push(span));
                    prop_assert_eq!(&found, &slowly(&pattern, &text, range.clone()), "{:?}", pattern);
                }
            }
        }
    }

    #[test]
    fn states_and_steps_are_bounded() {
        let pattern = Pattern::compile("(?:[a-q][^u-z]{13}x|[a-z]{0,40}[0-9]{4}y)").unwrap();
        let text: String = (0..40_000u32).map(|n| char::from(b'a' + (n.wrapping_mul(n) % 23) as u8)).collect();
        let steps = pattern.each(&text, 0..text.len(), &mut |_| {});
        assert!(steps <= text.len() * (SLOW + 1), "{steps}");
        let kept = pattern.kept.lock().unwrap();
        assert!(kept.as_ref().unwrap().fast.memory_usage() < 1 << 20);
    }

    #[test]
    fn faults_are_named() {
        let fault = |pattern: &str| Pattern::compile(pattern).unwrap_err();
        assert_eq!(fault("a*"), "the pattern matches the empty text");
        assert!(fault("(").starts_with("not a pattern: "), "{}", fault("("));
        assert!(fault("(?:a{500}){500}").contains("is over 524288 bytes"), "{}", fault("(?:a{500}){500}"));
        assert!(fault(&"a".repeat(3000)).contains("longer than 2048 bytes"));
    }
}
