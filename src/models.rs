//! The life of models, as the policy means it: what an alias stands for, which models will go, and what replies may name.
//!
//! ```
//! use bartizan::policy::Policy;
//!
//! let document = br#"{"version": 1, "name": "small", "guards": {"standard": {}},
//!     "authn": {"unsafeAnonymous": true}, "roles": {"anonymous": {"operations": ["chat"], "models": ["fast"]}},
//!     "models": {"aliases": {"fast": "gpt-4o-mini-2024-07-18"}},
//!     "routes": [{"match": {"path": "/v1/chat/completions"}, "protocol": "openai"}]}"#;
//! let policy = Policy::from_json(document, &|_| None).unwrap();
//! let models = policy.models.unwrap();
//! assert_eq!(models.pinned("fast"), Some("gpt-4o-mini-2024-07-18"));
//! assert!(models.is_mismatch("gpt-4o-mini-2024-07-18", "gpt-4o"));
//! assert!(!models.is_mismatch("gpt-4o", "gpt-4o-2024-08-06"));
//! ```

use crate::sorted::SortedMap;

use crate::document::{self, Errors, KeyPath, end, http_date, midnight, shortened};
use crate::glob::Glob;
use crate::host::Timestamp;
use crate::sorted;

/// More entries of one kind than this are an error.
pub(crate) const MOST: usize = 1000;
/// The longest message for callers, in bytes.
const MAX_MESSAGE: usize = 300;

/// The header that tells callers of a model that will go.
pub const WARNING_HEADER: &str = "x-bartizan-warning";

/// The `models` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelsPolicy {
    aliases: SortedMap<String, String>,
    /// Plain names before globs.
    deprecated: Vec<(Glob, Deprecation)>,
    answers: Vec<(Glob, Vec<Glob>)>,
}

/// How a model goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprecation {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    message: String,
}

impl Deprecation {
    /// True once it is no longer served.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// What a reply tells of it.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        // RFC 9745: a date of RFC 9651. RFC 8594: a date of HTTP.
        let since = self.since.map(|since| ("deprecation", format!("@{}", since.as_secs())));
        let until = self.until.map(|until| ("sunset", http_date(until)));
        since.into_iter().chain(until).chain([(WARNING_HEADER, self.message.clone())]).collect()
    }
}

impl ModelsPolicy {
    /// Compiles `models`, which is at `at`.
    pub(crate) fn compile(written: &document::Models, at: &KeyPath, errors: &mut Errors) -> ModelsPolicy {
        let aliases = written.aliases.clone().unwrap_or_default();
        let at_aliases = at.key("aliases");
        for (alias, model) in &aliases {
            let at = at_aliases.key(alias);
            if !is_name(alias) {
                errors.push(&at, "not an alias, expected 1 to 128 printable ASCII characters without * and blanks");
            }
            if !is_name(model) {
                let message = format!(
                    "expected a model's name, 1 to 128 printable ASCII characters without * and blanks, found {:?}",
                    shortened(model)
                );
                errors.push(&at, message);
            }
            if aliases.contains_key(model) {
                errors.push(&at, format!("{:?} is an alias itself", shortened(model)));
            }
        }
        let mut deprecated: Vec<(Glob, Deprecation)> = Vec::new();
        for (pattern, one) in written.deprecated.iter().flatten() {
            let at = at.key("deprecated").key(pattern);
            deprecated.extend(Deprecation::compile(one, &at, errors).map(|one| (Glob::new(pattern), one)));
        }
        sorted::by_key(&mut deprecated, |(pattern, _)| !pattern.is_literal());
        let globs = |(pattern, names): (&String, &Vec<String>)| {
            (Glob::new(pattern), names.iter().map(|name| Glob::new(name)).collect())
        };
        let answers: Vec<(Glob, Vec<Glob>)> = written.answers.iter().flatten().map(globs).collect();
        for (kind, count) in [("aliases", aliases.len()), ("deprecated", deprecated.len()), ("answers", answers.len())]
        {
            if count > MOST {
                errors.push(&at.key(kind), format!("{count} entries, expected at most {MOST}"));
            }
        }
        ModelsPolicy { aliases, deprecated, answers }
    }

    /// The model that a name stands for, where it is an alias.
    pub fn pinned(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    /// How a model goes, where it does: by the name that was asked for, else by that of the model.
    pub fn deprecation(&self, asked: &str, model: &str) -> Option<&Deprecation> {
        let of = |name: &str| self.deprecated.iter().find(|(pattern, _)| pattern.matches(name));
        of(asked).or_else(|| of(model)).map(|(_, deprecation)| deprecation)
    }

    /// True for a model that is no longer served, by either name.
    pub fn is_over(&self, asked: &str, model: &str, now: Timestamp) -> bool {
        let of = |name: &str| self.deprecated.iter().find(|(pattern, _)| pattern.matches(name));
        [asked, model].into_iter().filter_map(of).any(|(_, deprecation)| deprecation.is_over(now))
    }

    /// True where a reply names another model than the one that the request went on with. A dated name of the same model
    /// is the same.
    pub fn is_mismatch(&self, model: &str, answered: &str) -> bool {
        let listed = |(pattern, names): &(Glob, Vec<Glob>)| {
            pattern.matches(model) && names.iter().any(|name| name.matches(answered))
        };
        !is_same(model, answered) && !self.answers.iter().any(listed)
    }
}

impl Deprecation {
    fn compile(written: &document::DeprecatedModel, at: &KeyPath, errors: &mut Errors) -> Option<Deprecation> {
        let mut time = |key: &str, text: Option<&str>, read: &dyn Fn(&str) -> Option<Timestamp>| {
            let text = text?;
            let time = read(text);
            if time.is_none() {
                let message = format!("expected a day or a time (2027-01-31), found {:?}", shortened(text));
                errors.push(&at.key(key), message);
            }
            time
        };
        let begin = |text: &str| midnight(text).or_else(|| end(text).filter(|_| text.len() > "2027-01-31".len()));
        let since = time("since", written.since.as_deref(), &begin);
        let until = time("until", written.until.as_deref(), &end);
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            errors.push(&at.key("until"), "not later than since");
        }
        if written.replacement.as_deref().is_some_and(|name| !is_name(name)) {
            errors.push(&at.key("replacement"), "expected a model's name or an alias");
        }
        let is_plain = |text: &str| {
            !text.trim().is_empty() && text.len() <= MAX_MESSAGE && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        };
        if written.message.as_deref().is_some_and(|text| !is_plain(text)) {
            errors.push(&at.key("message"), format!("expected 1 to {MAX_MESSAGE} printable ASCII characters"));
            return None;
        }
        let told = || match &written.replacement {
            Some(name) => format!("This model is deprecated. Use {name}."),
            None => "This model is deprecated.".to_owned(),
        };
        Some(Deprecation { since, until, message: written.message.clone().unwrap_or_else(told) })
    }
}

/// True for what may be an alias, or the name of a model that one means.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
}

/// True where both name one model: the same name, or the one that was asked for with a date or `latest` behind it.
fn is_same(model: &str, answered: &str) -> bool {
    const LATEST: [&str; 2] = ["-latest", ":latest"];
    let (model, answered) = (bare(model), bare(answered));
    let undated = LATEST.iter().find_map(|latest| model.strip_suffix(latest)).unwrap_or(model);
    let Some(rest) = answered.strip_prefix(undated) else { return false };
    rest.is_empty() || LATEST.contains(&rest) || is_dated(rest)
}

/// A name without the collection that Gemini's have in front.
fn bare(name: &str) -> &str {
    name.strip_prefix("models/").unwrap_or(name)
}

/// What providers put behind the name of a model: `-2024-08-06`, `-20250929`, `@20240620`, `-2411` (year and month), `-0613`
/// (month and day), `-001` (a revision).
fn is_dated(rest: &str) -> bool {
    let Some(digits) = rest.strip_prefix(['-', '@']) else { return false };
    if midnight(digits).is_some() {
        return true;
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let at = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let is_month = |two: &str| ("01"..="12").contains(&two);
    match digits.len() {
        8 => midnight(&format!("{}-{}-{}", at(0, 4), at(4, 6), at(6, 8))).is_some(),
        4 => is_month(at(2, 4)) && at(0, 2) >= "20" || is_month(at(0, 2)) && ("01"..="31").contains(&at(2, 4)),
        3 => digits.starts_with('0'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_name_is_the_same_model() {
        for (model, answered) in [
            ("gpt-4o", "gpt-4o"),
            ("gpt-4o", "gpt-4o-2024-08-06"),
            ("gpt-4", "gpt-4-0613"),
            ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
            ("claude-3-5-sonnet", "claude-3-5-sonnet@20240620"),
            ("mistral-large-latest", "mistral-large-2411"),
            ("gemini-2.0-flash", "models/gemini-2.0-flash-001"),
            ("models/gemini-2.0-flash", "gemini-2.0-flash"),
            ("llama3.2", "llama3.2:latest"),
            ("llama3.2:latest", "llama3.2"),
        ] {
            assert!(is_same(model, answered), "{model} {answered}");
        }
        for (model, answered) in [
            ("gpt-4o", "gpt-4o-mini"),
            ("gpt-4o", "gpt-4o-mini-2024-07-18"),
            ("gpt-4", "gpt-4-32k"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13"),
            ("claude-3", "claude-3-5-sonnet-20240620"),
            ("llama-3", "llama-3-70"),
            ("llama-3", "llama-3-405"),
            ("gpt-4o", "gpt-4o-2024-13-06"),
            ("gpt-4o", "gpt-4o20240806"),
            ("gpt-4o", "gpt-4o-"),
            ("gpt-4o", ""),
            ("a-latest", "b-latest"),
        ] {
            assert!(!is_same(model, answered), "{model} {answered}");
        }
    }

    /// Whatever two names are, the dated forms of one are its own, and of no name that only begins like it.
    #[test]
    fn what_is_behind_a_name_never_makes_another_model_of_it() {
        let stems = ["a", "gpt-4", "gpt-4o", "gpt-4o-mini", "claude-3", "claude-3-5", "m:7b", "models/x"];
        let dates = ["", "-2024-08-06", "-20240806", "@20240806", "-2408", "-0806", "-001", "-latest", ":latest"];
        for stem in stems {
            for date in dates {
                let dated = format!("{stem}{date}");
                assert!(is_same(stem, &dated), "{stem} {dated}");
                for word in ["-mini", "-pro", "-70b", "x", "-3-5", ":7b"] {
                    let other = format!("{stem}{word}{date}");
                    assert!(!is_same(stem, &other), "{stem} {other}");
                    assert!(!is_same(&other, &dated), "{other} {dated}");
                }
            }
        }
    }
}
