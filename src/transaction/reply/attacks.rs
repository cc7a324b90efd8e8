//! Attacks in what a server of the Model Context Protocol sends. A model reads results and definitions next, as a
//! tool's words: they are judged as tool results of a request are. A definition with an attack in it is not shown. Of
//! any other text what is hostile gives way to a notice: the smallest block around it, as in a request, else all of it.

use std::collections::BTreeSet;

use bartizan_rules::invariant::sure;

use super::restore::places;
use super::{Noted, ReplyGuard, leave_unread, text_of};
use crate::guard::{NOTICE, Outcome, Place, entry, judge, narrow};
use crate::host::Timestamp;
use crate::protocol::reply::{ReplyParts, ReplyText};
use crate::protocol::{Json, Places, Position, UnscannedKind};
use crate::reason::Reason;
use crate::scan::{Finding, Text};

/// What must not go on of one message.
#[derive(Default)]
pub(super) struct Attacks {
    /// Definitions, by their number among the message's.
    pub(super) definitions: BTreeSet<usize>,
    /// Other texts, and what is left of each.
    pub(super) left: Places<String>,
    /// Where the message's definitions are.
    calls: Places<usize>,
}

impl ReplyGuard {
    /// Looks for attacks in a server's message.
    ///
    /// # Errors
    /// [`Reason::ScanInjection`] where one can't be cut out, or the guard says block; [`Reason::ReplyUnreadable`] when
    /// the message is over the scanner's bounds and `unscanned` says deny.
    pub(super) fn attacks(
        &self,
        json: &Json<'_>,
        parts: &ReplyParts,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<Attacks, Reason> {
        let policy = &self.policy;
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let mut attacks = Attacks { calls: places(parts), ..Attacks::default() };
        let Some(zone) = route.protocol.reply_zone() else { return Ok(attacks) };
        let text = |one| Text { zone, text: sure(text_of(json, one)).unwrap_or_default() };
        let texts: Vec<Text<'_>> = parts.texts.iter().map(text).collect();
        let place = |is_key| Place { zone, position: Position::History, is_key, trusted: false };
        // A key below what can be taken out goes with it.
        let stays = |one: &ReplyText| one.is_key && attacks.calls.holding(&one.path).is_none();
        let places: Vec<Place> = parts.texts.iter().map(|one| place(stays(one))).collect();
        let budget = policy.limits.budget();
        let guards: Vec<_> = self.guards.iter().filter_map(|index| policy.guard(*index)).collect();
        let is_aside = |at: usize| {
            let one = parts.texts.get(at);
            one.is_some_and(|one| route.protocol.is_aside(json, &one.path, one.is_key))
        };
        let known = self.ahead.as_ref().and_then(|ahead| ahead.all(&texts, &is_aside));
        let scan = || policy.scanner.scan_conversation(None, &texts, &is_aside, budget);
        let mut report = known.unwrap_or_else(scan);
        let lowered = &self.told.lowered;
        for (at, score) in lowered {
            // What the scorer alone found in it, outside judges let go.
            if let Some(text) = report.texts.get_mut(*at).filter(|text| text.learned.is_some_and(|own| own > *score)) {
                text.learned = Some(*score);
            }
        }
        let mut judgement = judge(&policy.scanner, &guards, self.route, &places, report, now);
        for judged in &judgement.findings {
            let card = policy.scanner.cards().get(usize::from(judged.finding.rule.0));
            let (Some(card), Some(one)) = (card, parts.texts.get(judged.text)) else { continue };
            // `fixed_texts` looks for secrets and personal data in the same text, by the output's actions.
            if card.kind == crate::scan::Kind::Attack {
                let path = json.pointer(&one.path, &|key| route.protocol.knows_key(key));
                let Finding { span, chain, .. } = judged.finding.clone();
                noted.notes.findings.push(entry(&card.id, "reply", path, span, chain, judged.act));
            }
        }
        noted.notes.add_shadow(judgement.shadow.iter().copied().filter(|reason| *reason == Reason::ScanInjection));
        if judgement.denial() == Some(Reason::ScanInjection) {
            return Err(Reason::ScanInjection);
        }
        if judgement.is_incomplete() {
            leave_unread(policy, UnscannedKind::Budget, noted)?;
        }
        let mut again = |place: &Place, text: &str| {
            let alone = [Text { zone: place.zone, text }];
            let report = policy.scanner.scan_conversation(None, &alone, &|_| false, budget);
            let mut judgement = judge(&policy.scanner, &guards, self.route, &[*place], report, now);
            let whole = judgement.denial().is_none() && !judgement.is_incomplete();
            judgement.outcomes.pop().filter(|_| whole)
        };
        // Where an outside judge had a say, a part by itself is not what was judged.
        let whole = |index: usize| texts.get(index).map(|text| text.text).filter(|_| !lowered.contains_key(&index));
        narrow(&mut judgement, &places, &whole, &mut again);
        for (one, outcome) in parts.texts.iter().zip(judgement.outcomes) {
            let left = match outcome {
                Outcome::Replace => NOTICE.to_owned(),
                // `fixed_texts` masks values in it by the output's actions.
                Outcome::Cut(left, _) => left,
                Outcome::Keep | Outcome::Mask(_) | Outcome::Leave => continue,
            };
            match attacks.calls.holding(&one.path) {
                Some((_, call)) => attacks.definitions.insert(*call),
                None => attacks.left.insert(one.path.clone(), left).is_none(),
            };
        }
        Ok(attacks)
    }
}

impl Attacks {
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.definitions.is_empty()
    }

    /// True for a text that does not go on as it came: something in it is cut out, or its definition is removed.
    pub(super) fn concern(&self, one: &ReplyText) -> bool {
        let is_of_definition = || self.calls.holding(&one.path).is_some_and(|(_, at)| self.definitions.contains(at));
        !one.is_key && self.left.contains_key(&one.path) || is_of_definition()
    }
}
