//! The form of a rule file and of the bundle made from all of them.
//!
//! A rule is checked by the same code when the filter is built and by `bartizan rules test`. Does no I/O and knows no
//! YAML: the caller hands over what serde has read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use bartizan_rules::beginnings::sign;
use bartizan_rules::lexicon::fold_word;
use bartizan_rules::patterns::{Pattern, WINDOW};
use bartizan_rules::words::{Level, Pack, PiiType, Zone};

const STATUSES: [&str; 4] = ["experimental", "test", "stable", "deprecated"];
const VIEWS: [&str; 2] = ["normalised", "raw"];

/// The same in the pack pii, whose marks (digits, colons, dots) occur in any text.
pub const PII_WINDOW: u32 = 64;
/// The widest window a rule may ask for.
pub const MAX_WINDOW: u32 = 8192;
/// The distance of a co-occurrence, unless the rule says otherwise.
pub const WITHIN: u32 = 60;
const MAX_WITHIN: u32 = 400;
const MAX_GROUPS: usize = 5;
const MIN_SAMPLES: usize = 3;

/// One rule as its author writes it: `rules/<pack>/<id>-<slug>.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The pack's prefix and a number, step 10.
    pub id: String,
    /// One line.
    pub title: String,
    /// `experimental` (found and recorded, never scored), `test`, `stable` or `deprecated` (left out).
    pub status: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub level: String,
    /// Out of `rules/TAGS`.
    pub tags: Vec<String>,
    /// What the text does that the rule finds.
    pub description: String,
    /// What may be found wrongly.
    pub falsepositives: Vec<String>,
    /// Day of birth, `2026-01-10`.
    pub date: String,
    /// Day of the last change.
    #[serde(default)]
    pub modified: Option<String>,
    /// How it is found.
    pub detect: Detect,
    /// Texts that it must and must not find.
    pub tests: Samples,
}

/// How a rule finds text: any of `near`, any of the patterns, or, with neither, any keyword.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detect {
    /// Zones it looks at; absent: all.
    pub scope: Option<Vec<String>>,
    /// `normalised` (default) or `raw` (default in the packs secrets and pii).
    pub view: Option<String>,
    /// Words of which every match of a pattern has one near it; `$name` takes a group of the vocabulary.
    pub keywords: Vec<String>,
    /// A run of at least this number of digits counts as a keyword (raw view only).
    pub digits: Option<u32>,
    /// Signs of which the run must hold one, or touch one; `A` is any letter. Twice the same: two
    /// of them, at most six bytes off.
    pub beside: Option<String>,
    /// The run and a keyword are both needed.
    pub both: bool,
    /// A linear-time pattern. The named group `value`, if any, is the finding's span.
    pub pattern: Option<String>,
    /// More patterns.
    pub patterns: Vec<String>,
    /// Groups of words that are close together.
    pub near: Vec<Near>,
    /// Bytes on either side of a keyword in which patterns are tried. Default 256, in the pack pii 64.
    pub window: Option<u32>,
    /// A validator of `redact::validate` that has the last word on the span.
    pub validate: Option<String>,
    /// The type of personal data, in the pack pii.
    pub kind: Option<String>,
}

/// A co-occurrence: one word of each group, all within this number of bytes of normalised text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// From the first byte of the first word to the last of the last. Default 60.
    #[serde(default)]
    pub within: Option<u32>,
    /// The groups must come in this order. Default true.
    #[serde(default)]
    pub ordered: Option<bool>,
    /// The groups: lists of words, phrases, and `$names` of the vocabulary.
    pub all: Vec<Vec<String>>,
    /// No match when one of these ends at most 24 bytes before the first word.
    #[serde(default)]
    pub unless: Vec<String>,
}

/// A rule's own tests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// At least three texts that it must find.
    #[serde(rename = "match")]
    pub matching: Vec<String>,
    /// At least three near misses that it must not find.
    pub no_match: Vec<String>,
}

/// `rules/vocabulary.yaml`: word groups by name. A group may take in another by `$name`.
pub type Vocabulary = BTreeMap<String, Vec<String>>;

/// All rules, without their tests: what is built into the module. Its SHA-256 is the ruleset's version.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Always says that the file is generated.
    pub note: String,
    /// Word groups, each word normalised, `*` at an end kept.
    pub groups: Vec<Vec<String>>,
    /// Common words whose rotated, mirrored or reversed forms give disguised text away.
    pub disguise: Vec<String>,
    /// Rules, ordered by id.
    pub rules: Vec<BundledRule>,
}

/// A rule in the bundle. Groups are named by their index in [`Bundle::groups`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledRule {
    /// Its id.
    pub id: String,
    /// One line.
    pub title: String,
    /// The folder it is in.
    pub pack: String,
    /// How much a match weighs.
    pub level: String,
    /// Status `experimental`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Looks at the text as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Zones; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// Keywords' group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keywords: Option<u32>,
    /// Digits that do a keyword's duty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u32>,
    /// Signs beside these digits, one bit each, and above these those that are there twice; 0: any.
    #[serde(default)]
    pub beside: u16,
    /// Digits and a keyword are both needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both: bool,
    /// Patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// Co-occurrences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<BundledNear>,
    /// Window of the patterns.
    pub window: u32,
    /// Validator's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
    /// Type of personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The bits of `detect.beside`.
fn beside(signs: &str, faults: &mut Vec<String>) -> u16 {
    let mut bits = 0;
    for run in signs.as_bytes().chunk_by(|one, next| one == next) {
        match (run.first().map_or(0, |first| sign(*first)), run.len()) {
            (0, _) | (_, 3..) => faults.push("detect.beside: of . : - / ( + and A, each once or twice".into()),
            (sign, 2) => bits |= u16::from(sign) << 8,
            (sign, _) => bits |= u16::from(sign),
        }
    }
    bits
}

/// A co-occurrence in the bundle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledNear {
    /// Largest extent, in bytes.
    pub within: u32,
    /// In the order of `all`.
    pub ordered: bool,
    /// Groups.
    pub all: Vec<u32>,
    /// The group that forbids the match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<u32>,
}

/// Makes a bundle out of rule files; collects every fault instead of stopping at the first.
#[derive(Debug, Default)]
pub struct Bundler {
    bundle: Bundle,
    groups: BTreeMap<Vec<String>, u32>,
    ids: BTreeMap<String, String>,
    vocabulary: Vocabulary,
    tags: BTreeSet<String>,
    faults: Vec<String>,
}

impl Bundler {
    /// A bundler that knows these tags and this vocabulary.
    pub fn new(tags: BTreeSet<String>, vocabulary: Vocabulary) -> Self {
        let mut bundler = Bundler { tags, vocabulary, ..Bundler::default() };
        bundler.bundle.note = "Generated from rules/ by build.rs. Do not edit.".into();
        bundler.bundle.disguise = bundler.vocabulary.get("disguise_words").cloned().unwrap_or_default();
        bundler
    }

    /// Takes one rule in. `place` is its path below `rules/`, `normalise` the scanner's own.
    pub fn add(&mut self, place: &str, file: &RuleFile, normalise: &dyn Fn(&str) -> String) {
        let mut faults = Vec::new();
        let (pack, name) = place.split_once('/').unwrap_or(("", place));
        check_card(pack, name, file, &self.tags, &mut faults);
        if let Some(first) = self.ids.insert(file.id.clone(), place.into()) {
            faults.push(format!("id {} stands in {first} too", file.id));
        }
        let rule = self.resolve(pack, file, normalise, &mut faults);
        self.faults.extend(faults.into_iter().map(|fault| format!("rules/{place}: {fault}")));
        if file.status != "deprecated" {
            self.bundle.rules.push(rule);
        }
    }

    /// The bundle.
    ///
    /// # Errors
    /// Every fault of every file, each with its path.
    pub fn finish(mut self) -> Result<Bundle, Vec<String>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        self.bundle.rules.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(self.bundle)
    }

    fn resolve(
        &mut self,
        pack: &str,
        file: &RuleFile,
        normalise: &dyn Fn(&str) -> String,
        faults: &mut Vec<String>,
    ) -> BundledRule {
        let detect = &file.detect;
        let raw = match detect.view.as_deref() {
            Some(view) => view == "raw",
            None => matches!(pack, "secrets" | "pii"),
        };
        let fold = |word: &str| if raw { word.to_ascii_lowercase() } else { normalise(word) };
        let patterns: Vec<String> = detect.pattern.iter().chain(&detect.patterns).cloned().collect();
        if !patterns.is_empty() && detect.keywords.is_empty() && detect.digits.is_none() {
            faults.push("detect: a pattern needs keywords or digits".into());
        }
        if patterns.is_empty() && detect.near.is_empty() && detect.keywords.is_empty() {
            faults.push("detect: nothing to look for".into());
        }
        if detect.digits.is_some() && (!raw || patterns.is_empty()) {
            faults.push("detect.digits: needs a pattern and the raw view".into());
        }
        if (detect.beside.is_some() || detect.both) && detect.digits.is_none() {
            faults.push("detect.beside, detect.both: need digits".into());
        }
        if detect.both && detect.keywords.is_empty() {
            faults.push("detect.both: needs keywords".into());
        }
        let beside = detect.beside.as_deref().map(|signs| self::beside(signs, faults)).unwrap_or_default();
        for pattern in &patterns {
            if let Err(fault) = Pattern::compile(pattern) {
                faults.push(format!("detect.pattern '{pattern}': {fault}"));
            }
        }
        if raw && !detect.near.is_empty() {
            faults.push("detect.near: only in the normalised view".into());
        }
        if detect.window.is_some_and(|window| window == 0 || window > MAX_WINDOW) {
            faults.push(format!("detect.window: 1 to {MAX_WINDOW}"));
        }
        let keywords = (!detect.keywords.is_empty()).then(|| self.group(&detect.keywords, &fold, faults));
        let near = detect.near.iter().map(|near| self.near(near, &fold, faults)).collect();
        BundledRule {
            id: file.id.clone(),
            title: file.title.clone(),
            pack: pack.into(),
            level: file.level.clone(),
            shadow: file.status == "experimental",
            raw,
            scope: detect.scope.clone().unwrap_or_default(),
            keywords,
            digits: detect.digits,
            beside,
            both: detect.both,
            patterns,
            near,
            window: detect.window.unwrap_or(if pack == "pii" { PII_WINDOW } else { WINDOW }),
            validate: detect.validate.clone(),
            kind: detect.kind.clone(),
        }
    }

    fn near(&mut self, near: &Near, fold: &dyn Fn(&str) -> String, faults: &mut Vec<String>) -> BundledNear {
        let within = near.within.unwrap_or(WITHIN);
        if within == 0 || within > MAX_WITHIN {
            faults.push(format!("detect.near.within: 1 to {MAX_WITHIN}"));
        }
        if near.all.len() < 2 || near.all.len() > MAX_GROUPS {
            faults.push(format!("detect.near.all: 2 to {MAX_GROUPS} groups"));
        }
        BundledNear {
            within,
            ordered: near.ordered.unwrap_or(true),
            all: near.all.iter().map(|words| self.group(words, fold, faults)).collect(),
            unless: (!near.unless.is_empty()).then(|| self.group(&near.unless, fold, faults)),
        }
    }

    fn group(&mut self, words: &[String], fold: &dyn Fn(&str) -> String, faults: &mut Vec<String>) -> u32 {
        let mut out = BTreeSet::new();
        expand(words, &self.vocabulary, 0, &mut |word| match fold_word(word, fold) {
            Ok(word) => {
                out.insert(word);
            }
            Err(fault) => faults.push(fault),
        })
        .unwrap_or_else(|fault| faults.push(fault));
        let words: Vec<String> = out.into_iter().collect();
        let next = self.bundle.groups.len() as u32;
        *self.groups.entry(words).or_insert_with_key(|words| {
            self.bundle.groups.push(words.clone());
            next
        })
    }
}

fn expand(words: &[String], vocabulary: &Vocabulary, depth: usize, take: &mut dyn FnMut(&str)) -> Result<(), String> {
    for word in words {
        match word.strip_prefix('$') {
            Some(name) if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                let inner =
                    vocabulary.get(name).ok_or_else(|| format!("${name}: no such group in rules/vocabulary.yaml"))?;
                if depth >= 4 {
                    return Err(format!("${name}: groups within groups go too deep"));
                }
                expand(inner, vocabulary, depth + 1, take)?;
            }
            _ => take(word),
        }
    }
    Ok(())
}

fn check_card(pack: &str, name: &str, file: &RuleFile, tags: &BTreeSet<String>, faults: &mut Vec<String>) {
    let mut fault = |ok: bool, message: String| {
        if !ok {
            faults.push(message);
        }
    };
    let prefix = Pack::ALL.iter().find(|known| known.as_str() == pack).map(|pack| pack.prefix());
    fault(prefix.is_some(), format!("'{pack}' is not a pack"));
    let number = file.id.strip_prefix(prefix.unwrap_or_default()).unwrap_or_default();
    fault(
        number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()),
        format!("id '{}': expected {}NNNN", file.id, prefix.unwrap_or_default()),
    );
    fault(
        name.strip_suffix(".yaml").is_some_and(|stem| stem.strip_prefix(&*file.id).is_some_and(|s| s.starts_with('-'))),
        format!("the file should be named {}-<slug>.yaml", file.id),
    );
    fault(!file.title.trim().is_empty(), "title: empty".into());
    fault(!file.description.trim().is_empty(), "description: empty".into());
    one_of("status", &file.status, &STATUSES, &mut fault);
    one_of("level", &file.level, &words(Level::ALL, Level::as_str), &mut fault);
    fault(!file.tags.is_empty(), "tags: empty".into());
    for tag in &file.tags {
        fault(tags.contains(tag), format!("tag '{tag}' is not in rules/TAGS"));
    }
    for date in [Some(&file.date), file.modified.as_ref()].into_iter().flatten() {
        let shape: Vec<usize> = date.split('-').map(str::len).collect();
        let digits = date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        fault(shape == [4, 2, 2] && digits, format!("date '{date}': expected YYYY-MM-DD"));
    }
    for zone in file.detect.scope.iter().flatten() {
        one_of("detect.scope", zone, &words(Zone::ALL, Zone::as_str), &mut fault);
    }
    if let Some(view) = &file.detect.view {
        one_of("detect.view", view, &VIEWS, &mut fault);
    }
    match &file.detect.kind {
        Some(kind) if pack == "pii" => one_of("detect.kind", kind, &words(PiiType::ALL, PiiType::as_str), &mut fault),
        Some(_) => fault(false, "detect.kind: only in the pack pii".into()),
        None => fault(pack != "pii", "detect.kind: required in the pack pii".into()),
    }
    fault(file.tests.matching.len() >= MIN_SAMPLES, format!("tests.match: at least {MIN_SAMPLES}"));
    fault(file.tests.no_match.len() >= MIN_SAMPLES, format!("tests.no_match: at least {MIN_SAMPLES}"));
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|value| word(*value)).collect()
}

fn one_of(key: &str, value: &str, known: &[&str], fault: &mut dyn FnMut(bool, String)) {
    fault(known.contains(&value), format!("{key}: '{value}', expected one of {}", known.join(", ")));
}
