//! The policy's own patterns: linear in time whatever they are, run in a window around a keyword.
//!
//! The shipped ones are programs that were compiled at build time (`program`).

use regex_automata::nfa::thompson::{self, pikevm::PikeVM};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Input, PatternID};

/// Bytes of text on either side of a keyword in which a pattern is tried, unless the rule says otherwise.
pub const WINDOW: u32 = 256;
/// Largest compiled automaton of one pattern, in bytes.
const SIZE_LIMIT: usize = 512 * 1024;
/// Longest pattern, in bytes.
const LONGEST: usize = 2048;

/// Compiles a pattern.
///
/// # Errors
/// What is wrong with it, in lower case: too long, too big, not a pattern, matches the empty text.
pub fn compile(pattern: &str) -> Result<PikeVM, String> {
    if pattern.len() > LONGEST {
        return Err(format!("the pattern is longer than {LONGEST} bytes"));
    }
    let vm = PikeVM::builder()
        .thompson(thompson::Config::new().nfa_size_limit(Some(SIZE_LIMIT)))
        .syntax(syntax::Config::new().nest_limit(48))
        .build(pattern)
        .map_err(|error| match std::error::Error::source(&error) {
            Some(_) => format!("not a pattern: {}", last_line(&error)),
            None => format!("the compiled pattern is over {SIZE_LIMIT} bytes"),
        })?;
    if vm.is_match(&mut vm.create_cache(), "") {
        return Err("the pattern matches the empty text".into());
    }
    Ok(vm)
}

fn last_line(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_lowercase()
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    vm: PikeVM,
    /// The number of the group `value`.
    value: Option<usize>,
}

impl Pattern {
    /// A pattern that [`compile`] made.
    pub fn new(vm: PikeVM) -> Self {
        let value = vm.get_nfa().group_info().to_index(PatternID::ZERO, "value");
        Pattern { vm, value }
    }

    /// Calls `take` with the span of each match within a range of the text, in order. Linear in the range.
    pub fn each(&self, text: &str, range: std::ops::Range<usize>, take: &mut dyn FnMut(std::ops::Range<usize>)) {
        let mut input = Input::new(text).range(range);
        let mut cache = self.vm.create_cache();
        let mut groups = match self.value {
            Some(_) => self.vm.create_captures(),
            None => Captures::matches(self.vm.get_nfa().group_info().clone()),
        };
        while input.start() < input.end() {
            self.vm.search(&mut cache, &input, &mut groups);
            let Some(found) = groups.get_match() else { return };
            let span = self.value.and_then(|at| groups.get_group(at)).map_or(found.range(), |span| span.range());
            // A group may leave a border that the next match needs for itself.
            let next = span.end.max(found.start() + 1);
            if !span.is_empty() {
                take(span);
            }
            input.set_start(ceil(text, next).min(input.end()));
        }
    }
}

fn ceil(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}
