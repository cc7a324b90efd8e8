//! Linear-time patterns: compiled at first use, run in a window around a keyword.

use std::sync::OnceLock;

use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

/// Largest compiled automaton of one pattern, in bytes.
const SIZE_LIMIT: usize = 512 * 1024;
/// Most memory of one pattern's lazy automaton, in bytes; it grows with what the text makes of the pattern. With a
/// quarter of it, digit patterns thrash and fall back to an engine that is thirty times slower.
const CACHE: usize = 384 * 1024;
/// Longest pattern, in bytes.
const LONGEST: usize = 2048;

/// Compiles a pattern.
///
/// # Errors
/// What is wrong with it, in lower case: too long, too big, not a pattern, matches the empty text.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > LONGEST {
        return Err(format!("the pattern is longer than {LONGEST} bytes"));
    }
    let config = Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .nfa_size_limit(Some(SIZE_LIMIT))
        .onepass(false)
        .dfa(false)
        .hybrid_cache_capacity(CACHE);
    let regex =
        Regex::builder().configure(config).syntax(syntax::Config::new().nest_limit(48)).build(pattern).map_err(
            |error| match error.size_limit() {
                Some(limit) => format!("the compiled pattern is over {limit} bytes"),
                None => format!("not a pattern: {}", last_line(&error)),
            },
        )?;
    if regex.is_match("") {
        return Err("the pattern matches the empty text".into());
    }
    Ok(regex)
}

fn last_line(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_lowercase()
}

/// A pattern and, after its first use, its automaton.
#[derive(Debug)]
pub struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
    /// The number of the group `value`.
    value: OnceLock<Option<usize>>,
}

impl Pattern {
    /// A pattern that will be compiled when it is needed.
    pub fn new(source: &str) -> Self {
        Pattern { source: source.into(), compiled: OnceLock::new(), value: OnceLock::new() }
    }

    /// Calls `take` with the span of each match within a range of the text, in order. Linear in the range.
    /// A pattern that does not compile, which no test lets pass, matches the whole range: it fails closed.
    pub fn each(&self, text: &str, range: std::ops::Range<usize>, take: &mut dyn FnMut(std::ops::Range<usize>)) {
        let Some(regex) = self.compiled.get_or_init(|| compile(&self.source).ok()) else { return take(range) };
        let value = *self.value.get_or_init(|| regex.group_info().to_index(regex_automata::PatternID::ZERO, "value"));
        let mut input = Input::new(text).range(range);
        let mut groups = value.map(|_| regex.create_captures());
        while input.start() < input.end() {
            let found = match groups.as_mut() {
                Some(groups) => {
                    regex.search_captures(&input, groups);
                    groups.get_match()
                }
                None => regex.search(&input),
            };
            let Some(found) = found else { return };
            let inner = groups.as_ref().zip(value).and_then(|(groups, at)| groups.get_group(at));
            let span = inner.map_or(found.range(), |span| span.range());
            // A group may leave a border that the next match needs for itself.
            let next = span.end.max(found.start() + 1);
            if !span.is_empty() {
                take(span);
            }
            input.set_start(ceil(text, next));
        }
    }
}

fn ceil(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}
