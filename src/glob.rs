//! Names with `*` in them: model, tool and tenant patterns of the document.
//!
//! `*` matches any text, also none; every other character matches itself. Matching is linear in
//! the name's length and case-sensitive.
//!
//! ```
//! use bartizan::glob::Glob;
//!
//! let models = Glob::new("gpt-*-mini");
//! assert!(models.matches("gpt-4o-mini") && !models.matches("gpt-4o"));
//! assert!(Glob::new("gpt-4o").is_literal());
//! ```

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// The pattern's literal pieces: what is between the stars. Never empty.
    pieces: Vec<Box<str>>,
}

impl Glob {
    /// Compiles a pattern. Every text is a valid pattern; the empty one matches only the empty name.
    pub fn new(pattern: &str) -> Glob {
        Glob { pieces: pattern.split('*').map(Into::into).collect() }
    }

    /// True if the whole name fits.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return name == &**first };
        let Some(mut rest) = name.strip_prefix(&**first) else { return false };
        for piece in middle {
            // The leftmost place is always good enough: what follows only gets more room.
            let Some((_, after)) = rest.split_once(&**piece) else { return false };
            rest = after;
        }
        rest.ends_with(&**last)
    }

    /// True if the pattern is a plain name.
    pub fn is_literal(&self) -> bool {
        self.pieces.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, name, fits) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o", "GPT-4o", false),
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("llama-3*", "llama-3", true),
            ("llama-3*", "llama-3.1-8b", true),
            ("llama-3*", "xllama-3", false),
            ("*mini", "gpt-4o-mini", true),
            ("*mini", "mini-4o", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**x**", "x", true),
            ("ü*é", "üé", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), fits, "{pattern} {name}");
        }
    }
}
