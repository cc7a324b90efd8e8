//! The compiled rules and one pass of them over one text.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::config::document::{CustomRule, Level, Pack, PiiType, Zone};
use crate::redact::validate::{Validator, validator};

use super::near::{Near, Places};
use super::patterns::{self, Pattern};
use super::rulefile::{self, Bundle, BundledRule};
use super::signatures::{Signatures, Use, Vocabulary};
use super::{FaultAt, Kind, RuleCard, RuleFault, Selection, normalise};

/// Findings of one rule in one pass over a text, for rules that only count once in a window.
const REPEATS: usize = 16;
/// Findings of one pass; more are not listed, and the text is reported as not complete.
const MOST: usize = 8192;
/// Weight of disguised words from which a reading of the whole text is worth its cost.
const DISGUISED: usize = 3;

/// A rule as the engine holds it.
#[derive(Debug)]
struct Rule {
    zones: u8,
    raw: bool,
    patterns: Vec<Pattern>,
    window: usize,
    digits: Option<usize>,
    validate: Option<Validator>,
}

/// All rules in force.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Rule>,
    nears: Vec<Near>,
    places: usize,
    normalised: Option<Signatures>,
    raw: Option<Signatures>,
    /// The fewest digits that any rule asks for.
    digits: Option<usize>,
}

/// A match in the text that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's index.
    pub rule: u16,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// What one pass found.
#[derive(Debug, Default)]
pub struct Pass {
    /// Matches, in no order.
    pub matches: Vec<Match>,
    /// Words that read in rot13.
    pub rotated: bool,
    /// Words that read in atbash.
    pub mirrored: bool,
    /// Words that read backwards.
    pub reversed: bool,
    /// More was found than is listed.
    pub overrun: bool,
}

/// Memory that passes share.
#[derive(Debug)]
pub struct Scratch {
    places: Places,
    windows: Vec<(u16, Range<usize>)>,
    /// By rule: 1 + the index of its last window.
    last: Vec<u32>,
    counts: Vec<u16>,
}

impl Engine {
    /// Compiles the rules of a selection.
    ///
    /// # Errors
    /// Every fault of the selection.
    pub fn compile(bundle: &Bundle, selection: &Selection<'_>) -> Result<(Engine, Vec<RuleCard>), Vec<RuleFault>> {
        let mut faults = Vec::new();
        let known: BTreeSet<&str> = bundle.rules.iter().map(|rule| rule.id.as_str()).collect();
        let custom_ids: BTreeSet<&str> = selection.custom.iter().filter_map(|rule| rule.id.as_deref()).collect();
        for (at, id) in selection.disable.iter().enumerate() {
            if !known.contains(id.as_str()) && !custom_ids.contains(id.as_str()) {
                faults.push(RuleFault { at: FaultAt::Disable(at), message: format!("no rule has the id {id}") });
            }
        }
        let mut building = Building::default();
        let wanted = |rule: &&BundledRule| {
            pack(&rule.pack).is_some_and(|pack| selection.packs.contains(&pack))
                && !selection.disable.contains(&rule.id)
        };
        for rule in bundle.rules.iter().filter(wanted) {
            building.shipped(rule, bundle);
        }
        for (at, rule) in selection.custom.iter().enumerate() {
            let off = rule.id.as_ref().is_some_and(|id| selection.disable.contains(id));
            building.custom(at, rule, off, &known, &mut faults);
        }
        if building.cards.len() > usize::from(u16::MAX) {
            faults.push(RuleFault { at: FaultAt::Custom(0, "id"), message: "over 65535 rules".into() });
        }
        if faults.is_empty() { Ok(building.finish(&bundle.disguise)) } else { Err(faults) }
    }

    /// Memory for passes.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            places: Places::new(self.places, self.nears.len()),
            windows: Vec::new(),
            last: vec![0; self.rules.len()],
            counts: vec![0; self.rules.len()],
        }
    }

    /// Passes the rules of the normalised view over normalised text.
    pub fn normalised(&self, text: &str, zone: Zone, scratch: &mut Scratch) -> Pass {
        self.pass(self.normalised.as_ref(), None, text, zone, scratch)
    }

    /// Passes the rules of the raw view over text as it came.
    pub fn raw(&self, text: &str, zone: Zone, scratch: &mut Scratch) -> Pass {
        self.pass(self.raw.as_ref(), self.digits, text, zone, scratch)
    }

    fn pass(
        &self,
        signatures: Option<&Signatures>,
        digits: Option<usize>,
        text: &str,
        zone: Zone,
        scratch: &mut Scratch,
    ) -> Pass {
        let mut pass = Pass::default();
        scratch.windows.clear();
        scratch.places.begin();
        scratch.last.fill(0);
        scratch.counts.fill(0);
        let mut disguised = [0usize; 3];
        if let Some(signatures) = signatures {
            signatures.each(text, |hit| {
                let weight = if hit.end - hit.start >= 6 { 2 } else { 1 };
                for purpose in hit.uses {
                    match *purpose {
                        Use::Slot(at, group) => {
                            let Some(near) = self.nears.get(usize::from(at)) else { continue };
                            let word = hit.start..hit.end;
                            if let Some(span) = scratch.places.step(near, usize::from(at), group, word, hit.wide)
                                && self.looks_at(near.rule, zone)
                            {
                                take(near.rule, span, &mut scratch.counts, &mut pass);
                            }
                        }
                        Use::Unless(at) => scratch.places.forbid(usize::from(at), hit.start..hit.end),
                        Use::Keyword(rule) => {
                            if self.looks_at(rule, zone) {
                                self.keyword(rule, hit.start..hit.end, text, scratch, &mut pass);
                            }
                        }
                        Use::Rotated => disguised[0] += weight,
                        Use::Mirrored => disguised[1] += weight,
                        Use::Reversed => disguised[2] += weight,
                    }
                }
            });
        }
        if let Some(fewest) = digits {
            self.digit_runs(text, fewest, zone, scratch, &mut pass);
        }
        [pass.rotated, pass.mirrored, pass.reversed] = disguised.map(|weight| weight >= DISGUISED);
        let windows = std::mem::take(&mut scratch.windows);
        for (rule, window) in &windows {
            self.patterns(*rule, window.clone(), text, &mut scratch.counts, &mut pass);
        }
        scratch.windows = windows;
        pass
    }

    fn looks_at(&self, rule: u16, zone: Zone) -> bool {
        self.rules.get(usize::from(rule)).is_some_and(|rule| rule.zones & bit(zone) != 0)
    }

    fn keyword(&self, at: u16, word: Range<usize>, text: &str, scratch: &mut Scratch, pass: &mut Pass) {
        let Some(rule) = self.rules.get(usize::from(at)) else { return };
        if rule.patterns.is_empty() {
            return take(at, word, &mut scratch.counts, pass);
        }
        let window = word.start.saturating_sub(rule.window)..(word.end + rule.window).min(text.len());
        let Some(last) = scratch.last.get_mut(usize::from(at)) else { return };
        if let Some((_, open)) = (*last as usize).checked_sub(1).and_then(|i| scratch.windows.get_mut(i))
            && window.start <= open.end
        {
            open.end = open.end.max(window.end);
            return;
        }
        scratch.windows.push((at, window));
        *last = scratch.windows.len() as u32;
    }

    fn patterns(&self, at: u16, window: Range<usize>, text: &str, counts: &mut [u16], pass: &mut Pass) {
        let Some(rule) = self.rules.get(usize::from(at)) else { return };
        let window = floor(text, window.start)..floor(text, window.end.max(window.start));
        for pattern in &rule.patterns {
            pattern.each(text, window.clone(), &mut |span| {
                let valid = |check: Validator| text.get(span.clone()).is_some_and(check);
                if rule.validate.is_none_or(valid) {
                    if rule.raw {
                        push(at, span, pass);
                    } else {
                        take(at, span, counts, pass);
                    }
                }
            });
        }
    }

    /// Runs of digits with at most two other characters between each two.
    fn digit_runs(&self, text: &str, fewest: usize, zone: Zone, scratch: &mut Scratch, pass: &mut Pass) {
        let (mut start, mut last, mut count) = (0, 0, 0);
        let mut close = |start: usize, end: usize, count: usize| {
            for (at, rule) in self.rules.iter().enumerate() {
                if rule.digits.is_some_and(|least| count >= least) && rule.zones & bit(zone) != 0 {
                    self.keyword(at as u16, start..end, text, scratch, pass);
                }
            }
        };
        for (at, byte) in text.bytes().enumerate() {
            if !byte.is_ascii_digit() {
                continue;
            }
            if count == 0 || at - last > 3 {
                if count >= fewest {
                    close(start, last + 1, count);
                }
                (start, count) = (at, 0);
            }
            count += 1;
            last = at;
        }
        if count >= fewest {
            close(start, last + 1, count);
        }
    }

    /// Memory of the automata, in bytes.
    pub fn memory(&self) -> usize {
        self.normalised.iter().chain(&self.raw).map(Signatures::memory).sum()
    }
}

fn take(rule: u16, span: Range<usize>, counts: &mut [u16], pass: &mut Pass) {
    if let Some(count) = counts.get_mut(usize::from(rule))
        && usize::from(*count) < REPEATS
    {
        *count += 1;
        push(rule, span, pass);
    }
}

fn push(rule: u16, span: Range<usize>, pass: &mut Pass) {
    if pass.matches.len() < MOST {
        pass.matches.push(Match { rule, span });
    } else {
        pass.overrun = true;
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

const fn bit(zone: Zone) -> u8 {
    1 << zone as u8
}

#[derive(Default)]
struct Building {
    rules: Vec<Rule>,
    cards: Vec<RuleCard>,
    nears: Vec<Near>,
    places: usize,
    normalised: Vocabulary,
    raw: Vocabulary,
}

impl Building {
    fn shipped(&mut self, rule: &BundledRule, bundle: &Bundle) {
        let (Some(pack), Some(level)) = (pack(&rule.pack), level(&rule.level)) else { return };
        let at = self.rules.len() as u16;
        let group = |index: u32| bundle.groups.get(index as usize).map(Vec::as_slice).unwrap_or_default();
        for word in rule.keywords.map(group).unwrap_or_default() {
            self.word(rule.raw, word, Use::Keyword(at));
        }
        for near in &rule.near {
            let place = self.nears.len() as u16;
            self.nears.push(Near {
                rule: at,
                within: near.within as usize,
                ordered: near.ordered,
                groups: near.all.len() as u8,
                base: self.places,
            });
            self.places += near.all.len();
            for (slot, index) in near.all.iter().enumerate() {
                for word in group(*index) {
                    self.word(false, word, Use::Slot(place, slot as u8));
                }
            }
            for word in near.unless.map(group).unwrap_or_default() {
                self.word(false, word, Use::Unless(place));
            }
        }
        let kind = match (pack, rule.kind.as_deref().and_then(pii_type)) {
            (Pack::Pii, Some(kind)) => Kind::Pii(kind),
            (Pack::Secrets, _) => Kind::Secret,
            _ => Kind::Attack,
        };
        self.rules.push(Rule {
            zones: zones(rule.scope.iter().filter_map(|name| zone(name))),
            raw: rule.raw,
            patterns: rule.patterns.iter().map(|pattern| Pattern::new(pattern)).collect(),
            window: rule.window as usize,
            digits: rule.digits.map(|digits| digits as usize),
            validate: rule.validate.as_deref().and_then(validator),
        });
        self.cards.push(RuleCard {
            id: rule.id.clone(),
            title: rule.title.clone(),
            level,
            pack,
            kind,
            shadow: rule.shadow,
        });
    }

    fn custom(&mut self, at: usize, rule: &CustomRule, off: bool, known: &BTreeSet<&str>, faults: &mut Vec<RuleFault>) {
        let before = faults.len();
        let mut fault =
            |key: &'static str, message: String| faults.push(RuleFault { at: FaultAt::Custom(at, key), message });
        let id = rule.id.as_deref().unwrap_or_default();
        let number = id.strip_prefix("X-").unwrap_or_default();
        if number.is_empty() || number.len() > 9 || !number.bytes().all(|b| b.is_ascii_digit()) {
            fault("id", "expected X- and a number, for example X-1".into());
        } else if known.contains(id) || self.cards.iter().any(|card| card.id == id) {
            fault("id", format!("the id {id} is taken"));
        }
        if rule.title.as_deref().unwrap_or_default().trim().is_empty() {
            fault("title", "required".into());
        }
        let mut words = Vec::new();
        for word in rule.keywords.iter().flatten() {
            match rulefile::fold_word(word, &normalise::to_string) {
                Ok(word) => words.push(word),
                Err(message) => fault("keywords", message),
            }
        }
        if rule.keywords.as_ref().is_none_or(Vec::is_empty) {
            fault("keywords", "required, not empty".into());
        }
        if rule.keywords.as_ref().is_some_and(|words| words.len() > 1000) {
            fault("keywords", "over 1000 keywords".into());
        }
        if let Some(pattern) = &rule.pattern
            && let Err(message) = patterns::compile(pattern)
        {
            fault("pattern", message);
        }
        if faults.len() > before || off {
            return;
        }
        let pack = rule.pack.unwrap_or(Pack::Injection);
        let place = self.rules.len() as u16;
        for word in words {
            self.word(false, &word, Use::Keyword(place));
        }
        self.rules.push(Rule {
            zones: zones(rule.scope.iter().flatten().copied()),
            raw: false,
            patterns: rule.pattern.iter().map(|pattern| Pattern::new(pattern)).collect(),
            window: rulefile::WINDOW as usize,
            digits: None,
            validate: None,
        });
        self.cards.push(RuleCard {
            id: id.into(),
            title: rule.title.clone().unwrap_or_default(),
            level: rule.level.unwrap_or(Level::High),
            pack,
            kind: if pack == Pack::Secrets { Kind::Secret } else { Kind::Attack },
            shadow: false,
        });
    }

    fn word(&mut self, raw: bool, word: &str, purpose: Use) {
        if raw { self.raw.add(word, false, purpose) } else { self.normalised.add(word, true, purpose) }
    }

    fn finish(mut self, disguise: &[String]) -> (Engine, Vec<RuleCard>) {
        let common: BTreeSet<String> = disguise.iter().map(|word| normalise::to_string(word)).collect();
        let spelled =
            |word: &str, letter: fn(u8) -> u8| -> String { word.bytes().map(|b| char::from(letter(b))).collect() };
        for word in common.iter().filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())) {
            let forms = [
                (spelled(word, rot13), Use::Rotated),
                (spelled(word, atbash), Use::Mirrored),
                (word.bytes().rev().map(char::from).collect(), Use::Reversed),
            ];
            for (form, purpose) in forms {
                if !common.contains(&form) && !self.normalised.holds(&form) {
                    self.normalised.add(&form, true, purpose);
                }
            }
        }
        let digits = self.rules.iter().filter_map(|rule| rule.digits).min();
        let engine = Engine {
            rules: self.rules,
            nears: self.nears,
            places: self.places,
            normalised: self.normalised.build(false),
            raw: self.raw.build(true),
            digits,
        };
        (engine, self.cards)
    }
}

/// A lower-case letter, thirteen places on.
pub fn rot13(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { (byte - b'a' + 13) % 26 + b'a' } else { byte }
}

/// A lower-case letter, counted from the alphabet's other end.
pub fn atbash(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { b'z' - (byte - b'a') } else { byte }
}

fn zones(named: impl Iterator<Item = Zone>) -> u8 {
    match named.fold(0, |bits, zone| bits | bit(zone)) {
        0 => u8::MAX,
        bits => bits,
    }
}

fn zone(name: &str) -> Option<Zone> {
    Some(match name {
        "system" => Zone::System,
        "developer" => Zone::Developer,
        "user" => Zone::User,
        "assistant" => Zone::Assistant,
        "tool" => Zone::Tool,
        "document" => Zone::Document,
        _ => return None,
    })
}

fn pack(name: &str) -> Option<Pack> {
    Some(match name {
        "injection" => Pack::Injection,
        "jailbreak" => Pack::Jailbreak,
        "leakage" => Pack::Leakage,
        "exfiltration" => Pack::Exfiltration,
        "hijack" => Pack::Hijack,
        "obfuscation" => Pack::Obfuscation,
        "secrets" => Pack::Secrets,
        "pii" => Pack::Pii,
        _ => return None,
    })
}

fn level(name: &str) -> Option<Level> {
    Some(match name {
        "informational" => Level::Informational,
        "low" => Level::Low,
        "medium" => Level::Medium,
        "high" => Level::High,
        "critical" => Level::Critical,
        _ => return None,
    })
}

fn pii_type(name: &str) -> Option<PiiType> {
    Some(match name {
        "email" => PiiType::Email,
        "phone" => PiiType::Phone,
        "creditCard" => PiiType::CreditCard,
        "iban" => PiiType::Iban,
        "usSsn" => PiiType::UsSsn,
        "nationalId" => PiiType::NationalId,
        "passport" => PiiType::Passport,
        "ipAddress" => PiiType::IpAddress,
        "macAddress" => PiiType::MacAddress,
        "cryptoWallet" => PiiType::CryptoWallet,
        "birthDate" => PiiType::BirthDate,
        _ => return None,
    })
}
