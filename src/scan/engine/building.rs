//! From a selection to the rules in force: the shipped ones that it wants, and the policy's own.

use bartizan_rules::patterns::{self, Pattern};
use bartizan_rules::tables::ShippedRule;
use bartizan_rules::{lexicon, normalise};

use crate::config::document::CustomRule;
use crate::enums::{Level, Pack, Zone};
use crate::redact::validate::validator;
use crate::scan::shipped::RULES;
use crate::scan::signatures::Vocabulary;
use crate::scan::{FaultAt, Kind, RuleCard, RuleFault};

use super::{Engine, OFF, Rule, bit};

#[derive(Default)]
pub(super) struct Building {
    rules: Vec<Rule>,
    pub(super) cards: Vec<RuleCard>,
    places: Vec<u16>,
    own: Vocabulary,
}

impl Building {
    pub(super) fn shipped(&mut self, rule: &ShippedRule, wanted: bool) {
        self.places.push(if wanted { self.rules.len() as u16 } else { OFF });
        if !wanted {
            return;
        }
        self.rules.push(Rule {
            zones: rule.zones,
            raw: rule.raw,
            programs: rule.patterns.clone(),
            own: None,
            window: usize::from(rule.window),
            digits: Some(usize::from(rule.digits)).filter(|digits| *digits > 0),
            beside: rule.beside,
            both: rule.both,
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
        let mut words = Vec::new();
        for word in rule.keywords.iter().flatten() {
            match lexicon::fold_word(word, &normalise::to_string) {
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
        let pack = rule.pack.unwrap_or(Pack::Injection);
        let place = self.rules.len() as u16;
        for word in words {
            self.own.add(&word, place);
        }
        self.rules.push(Rule {
            zones: zones(rule.scope.iter().flatten().copied()),
            raw: false,
            programs: 0..0,
            own,
            window: patterns::WINDOW as usize,
            digits: None,
            beside: 0,
            both: false,
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

    pub(super) fn finish(self) -> Result<(Engine, Vec<RuleCard>), Vec<RuleFault>> {
        let wakes = self.rules.iter().enumerate().filter(|(_, rule)| !rule.both);
        let with_digits = wakes.filter_map(|(at, rule)| Some((rule.digits?, rule.beside, at as u16)));
        let mut digits: Vec<(usize, u16, u16)> = with_digits.collect();
        digits.sort_unstable();
        let own = self.own.build();
        let own = own.map_err(|message| vec![RuleFault { at: FaultAt::Custom(0, "keywords"), message }])?;
        Ok((Engine { rules: self.rules, places: self.places, own, digits }, self.cards))
    }
}

fn zones(named: impl Iterator<Item = Zone>) -> u8 {
    match named.fold(0, |bits, zone| bits | bit(zone)) {
        0 => u8::MAX,
        bits => bits,
    }
}
