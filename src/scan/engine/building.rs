//! From a selection to the rules in force: the shipped ones that it wants, and the policy's own.

use bartizan_rules::invariant::sure;
use bartizan_rules::patterns::{self, Pattern};
use bartizan_rules::program::matches_words;
use bartizan_rules::tables::ShippedRule;
use bartizan_rules::{lexicon, normalise};

use super::LONGEST_RUN;
use crate::document::shortened;
use crate::document::{CustomRule, RuleZone, View};
use crate::enums::{Level, Pack, PiiType, Tag, Zone};
use crate::redact::validate::validator;
use crate::scan::shipped::{self, RULES};
use crate::scan::signatures::Vocabulary;
use crate::scan::{FaultAt, Kind, RuleCard, RuleFault};
use crate::sorted;

use super::{ANSWER, Engine, GLUED, JOINT, OFF, REPLY, Rule, bit};

/// True if a rule may find something in plain words: a keyword alone, or a pattern that needs no other sign.
fn says_words(rule: &ShippedRule) -> bool {
    let programs = shipped::PROGRAMS.get(usize::from(rule.patterns.start)..usize::from(rule.patterns.end));
    let programs = sure(programs).unwrap_or_default();
    programs.is_empty() || programs.iter().any(|program| matches_words(program, &shipped::TABLES, LONGEST_RUN))
}

#[derive(Default)]
pub(super) struct Building {
    rules: Vec<Rule>,
    pub(super) cards: Vec<RuleCard>,
    places: Vec<u16>,
    own: Vocabulary,
    own_raw: Vocabulary,
}

impl Building {
    pub(super) fn shipped(&mut self, rule: &ShippedRule, wanted: bool) {
        self.places.push(if wanted { self.rules.len() as u16 } else { OFF });
        if !wanted {
            return;
        }
        // A weak sign of a secret is only flagged. Over a border, where two words may make one by chance, it says nothing.
        let is_weak = rule.kind == Kind::Secret && rule.level <= Level::Low;
        let zones = u16::from(rule.zones) & !JOINT;
        let zones = zones | where_answered(rule.kind, zones);
        self.rules.push(Rule {
            zones: if is_weak { zones } else { zones | where_texts_meet(rule.kind) },
            raw: rule.raw,
            programs: rule.patterns.clone(),
            own: None,
            lists_all: false,
            window: usize::from(rule.window),
            digits: Some(usize::from(rule.digits)).filter(|digits| *digits > 0),
            beside: rule.beside,
            both: rule.both,
            says_words: says_words(rule),
            validate: validator(rule.validate),
        });
        self.cards.push(RuleCard {
            id: rule.id.into(),
            title: rule.title.into(),
            level: rule.level,
            pack: rule.pack,
            kind: rule.kind,
            shadow: rule.shadow,
        });
    }

    pub(super) fn custom(&mut self, at: usize, rule: &CustomRule, off: bool, faults: &mut Vec<RuleFault>) {
        let before = faults.len();
        let mut fault =
            |key: &'static str, message: String| faults.push(RuleFault { at: FaultAt::Custom(at, key), message });
        let id = rule.id.as_deref().unwrap_or_default();
        let number = id.strip_prefix("X-").unwrap_or_default();
        if number.is_empty() || number.len() > 9 || !number.bytes().all(|b| b.is_ascii_digit()) {
            fault("id", "expected X- and a number, for example X-1".into());
        } else if RULES.iter().any(|rule| rule.id == id) || self.cards.iter().any(|card| card.id == id) {
            fault("id", format!("the id {id} is taken"));
        }
        if rule.title.as_deref().unwrap_or_default().trim().is_empty() {
            fault("title", "required".into());
        }
        let pack = rule.pack.unwrap_or(Pack::Injection);
        let is_raw = match rule.view {
            Some(view) => view == View::Raw,
            None => matches!(pack, Pack::Secrets | Pack::Pii),
        };
        let kind = kind(pack, rule, &mut fault);
        let zones = rule.zones.as_deref().unwrap_or_default();
        if zones.contains(&RuleZone::Reply) && kind == Kind::Attack {
            fault(
                "zones",
                "reply is for packs secrets and pii: attacks are not looked for in what the model answers".into(),
            );
        }
        let mut words = Vec::new();
        for word in rule.keywords.iter().flatten() {
            // In text as it came a keyword may be beside anything where a pattern decides.
            let word = match is_raw {
                true => raw_word(word, rule.pattern.is_some()),
                false => lexicon::fold_word(word, &normalise::to_string),
            };
            match word {
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
        let own = match rule.pattern.as_deref().map(Pattern::compile) {
            Some(Err(message)) => {
                fault("pattern", message);
                None
            }
            Some(Ok(pattern)) => Some(pattern),
            None => None,
        };
        if faults.len() > before || off {
            return;
        }
        let place = self.rules.len() as u16;
        let vocabulary = if is_raw { &mut self.own_raw } else { &mut self.own };
        for word in words {
            vocabulary.add(&word, place);
        }
        self.rules.push(Rule {
            zones: bits(zones) | where_answered(kind, bits(zones)) | where_texts_meet(kind),
            raw: is_raw,
            programs: 0..0,
            own,
            lists_all: kind != Kind::Attack,
            window: patterns::WINDOW as usize,
            digits: None,
            beside: 0,
            both: false,
            says_words: true,
            validate: None,
        });
        self.cards.push(RuleCard {
            id: id.into(),
            title: rule.title.clone().unwrap_or_default(),
            level: rule.level.unwrap_or(Level::High),
            pack,
            kind,
            shadow: false,
        });
    }

    pub(super) fn finish(self) -> Result<(Engine, Vec<RuleCard>), Vec<RuleFault>> {
        let wakes = self.rules.iter().enumerate().filter(|(_, rule)| !rule.both);
        let with_digits = wakes.filter_map(|(at, rule)| Some((rule.digits?, rule.beside, at as u16)));
        let mut digits: Vec<(usize, u16, u16)> = with_digits.collect();
        sorted::by(&mut digits, Ord::cmp);
        let fault = |message| vec![RuleFault { at: FaultAt::Custom(0, "keywords"), message }];
        let own = self.own.build().map_err(fault)?;
        let own_raw = self.own_raw.build().map_err(fault)?;
        let has_cards = self.rules.len() == self.cards.len();
        let normalised = self.rules.iter().filter(|rule| !rule.raw).fold(0, |zones, rule| zones | rule.zones);
        let (rules, places, cards) = (self.rules, self.places, self.cards);
        let mut engine = Engine { rules, places, own, own_raw, digits, normalised, fits: has_cards };
        engine.fits &= engine.leads();
        debug_assert!(engine.fits, "a place leads to no rule, or a rule has no card");
        Ok((engine, cards))
    }
}

/// What a rule of the policy's own finds.
fn kind(pack: Pack, rule: &CustomRule, fault: &mut impl FnMut(&'static str, String)) -> Kind {
    let tag = rule.label.as_deref().map(|label| (Tag::new(label), label));
    if let Some((None, label)) = tag {
        let message =
            format!("{:?} is no label, expected 1 to 12 of A-Z and _, with a letter at both ends", shortened(label));
        fault("label", message);
    }
    for (key, is_there) in [("label", rule.label.is_some()), ("type", rule.kind.is_some())] {
        if is_there && pack != Pack::Pii {
            fault(key, format!("has a meaning with pack pii only, but the pack is {}", pack.as_str()));
        }
    }
    let of = rule.kind.unwrap_or(PiiType::Custom);
    match (pack, tag) {
        (Pack::Pii, Some((Some(tag), _))) => Kind::Own(of, tag),
        (Pack::Pii, _) => Kind::Pii(of),
        (Pack::Secrets, _) => Kind::Secret,
        _ => Kind::Attack,
    }
}

/// A keyword that is looked for in text as it came, in any case.
fn raw_word(word: &str, anywhere: bool) -> Result<String, String> {
    let plain = word.trim_matches('*');
    if plain.trim().is_empty() {
        return Err(format!("keyword '{}' is empty", shortened(word)));
    }
    Ok(if anywhere { format!("*{plain}*") } else { word.to_owned() })
}

/// What the model answers is read for secrets and personal data.
fn where_answered(kind: Kind, zones: u16) -> u16 {
    if kind != Kind::Attack && zones & (bit(Zone::Assistant) | REPLY) != 0 { ANSWER } else { 0 }
}

fn where_texts_meet(kind: Kind) -> u16 {
    if matches!(kind, Kind::Pii(_)) { JOINT } else { JOINT | GLUED }
}

/// Zones as bits; none named: all.
fn bits(named: &[RuleZone]) -> u16 {
    let of = |zone: &RuleZone| match zone {
        RuleZone::System => bit(Zone::System),
        RuleZone::Developer => bit(Zone::Developer),
        RuleZone::User => bit(Zone::User),
        RuleZone::Assistant => bit(Zone::Assistant),
        RuleZone::Tool => bit(Zone::Tool),
        RuleZone::Document => bit(Zone::Document),
        RuleZone::Reply => REPLY,
    };
    match named.iter().fold(0, |bits, zone| bits | of(zone)) {
        0 => {
            bit(Zone::System)
                | bit(Zone::Developer)
                | bit(Zone::User)
                | bit(Zone::Assistant)
                | bit(Zone::Tool)
                | bit(Zone::Document)
                | REPLY
        }
        bits => bits,
    }
}
