//! What several guards decide together, and what shadow mode makes of it.
//!
//! A guard in shadow decides like any other. What enforcing it would have done beyond a record is listed under
//! `bartizan.shadow`, and nothing of it is done.

use std::ops::Range;

use super::GuardPolicy;
use crate::audit::FindingEntry;
use crate::document::OutputAction;
use crate::enums::Mode;
use crate::reason::Reason;

/// What follows from a finding, from the mildest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// An exception covers it.
    Except,
    /// A guard in shadow would have done more than record it.
    Shadow,
    /// It is recorded.
    Flag,
    /// A placeholder replaces it, and the reply gets the value back.
    Restore,
    /// A placeholder replaces it.
    Mask,
    /// A keyed hash replaces it.
    Hash,
    /// It is cut out, or a notice replaces its text.
    Replace,
    /// The message is refused.
    Block,
}

impl Act {
    /// The word in records.
    pub const fn name(self) -> &'static str {
        match self {
            Act::Except => "exception",
            Act::Shadow => "shadow",
            Act::Flag => "flag",
            Act::Restore => "restore",
            Act::Mask => "mask",
            Act::Hash => "hash",
            Act::Replace => "replace",
            Act::Block => "block",
        }
    }

    /// True when it changes the text that goes on.
    pub const fn changes(self) -> bool {
        matches!(self, Act::Restore | Act::Mask | Act::Hash | Act::Replace)
    }
}

impl From<OutputAction> for Act {
    fn from(action: OutputAction) -> Act {
        match action {
            OutputAction::Flag => Act::Flag,
            OutputAction::Remove => Act::Replace,
            OutputAction::Block => Act::Block,
        }
    }
}

/// The strictest answers of several guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strictest<A> {
    /// Of those that enforce.
    pub enforced: Option<A>,
    /// Of those in shadow.
    pub in_shadow: Option<A>,
}

/// Asks each guard. `None` is the answer of a guard that does not look for it.
pub fn strictest<A: Ord>(guards: &[&GuardPolicy], mut answer: impl FnMut(&GuardPolicy) -> Option<A>) -> Strictest<A> {
    let mut strictest = Strictest { enforced: None, in_shadow: None };
    for guard in guards {
        let answer = answer(guard);
        let place = match guard.mode {
            Mode::Enforce => &mut strictest.enforced,
            Mode::Shadow => &mut strictest.in_shadow,
        };
        if answer > *place {
            *place = answer;
        }
    }
    strictest
}

impl<A: Ord> Strictest<A> {
    /// True when the guards in shadow would have done something that the others do not.
    pub fn rehearses(&self) -> bool {
        self.in_shadow > self.enforced
    }
}

impl Strictest<Act> {
    /// What follows. `shadow` gets `reason` when a guard in shadow would have done more than record.
    pub fn act(self, reason: Reason, shadow: &mut Vec<Reason>) -> Option<Act> {
        let in_shadow = self.in_shadow.map(|act| if act > Act::Flag { Act::Shadow } else { act });
        if in_shadow == Some(Act::Shadow) && !shadow.contains(&reason) {
            shadow.push(reason);
        }
        self.enforced.max(in_shadow)
    }
}

/// A finding as the record lists it. `path` holds no key that is not the protocol's.
pub fn entry(
    rule: &str,
    zone: &'static str,
    path: String,
    span: Range<usize>,
    transforms: Vec<&'static str>,
    act: Act,
) -> FindingEntry {
    FindingEntry { rule: rule.to_owned(), zone, path, start: span.start, end: span.end, transforms, action: act.name() }
}

#[cfg(test)]
mod tests {
    use super::super::{References, compile};
    use super::*;
    use crate::document::Errors;

    fn guards(actions: &[(Mode, OutputAction)]) -> Vec<GuardPolicy> {
        let references = References { scanner: None, routes: &[], routes_complete: true, opinions: &[] };
        let standard = compile(None, &references, &mut Errors::default()).remove(0);
        let guard = |mode, action| {
            let mut guard = standard.clone();
            (guard.mode, guard.output.tool_calls) = (mode, action);
            guard
        };
        actions.iter().map(|(mode, action)| guard(*mode, *action)).collect()
    }

    /// Every pair of guards in every mode: what is enforced is what the guards that enforce say, and shadow is noted
    /// exactly where one in shadow would have acted.
    #[test]
    fn a_guard_in_shadow_is_noted_and_changes_nothing() {
        let actions = [OutputAction::Flag, OutputAction::Remove, OutputAction::Block];
        let modes = [Mode::Enforce, Mode::Shadow];
        let all: Vec<(Mode, OutputAction)> =
            modes.iter().flat_map(|mode| actions.iter().map(|action| (*mode, *action))).collect();
        for first in &all {
            for second in &all {
                let pair = guards(&[*first, *second]);
                let pair: Vec<&GuardPolicy> = pair.iter().collect();
                let mut shadow = Vec::new();
                let act = strictest(&pair, |guard| Some(Act::from(guard.output.tool_calls)))
                    .act(Reason::RbacTool, &mut shadow);
                let of = |mode: Mode| [first, second].into_iter().filter(move |one| one.0 == mode).map(|one| one.1);
                let enforced = of(Mode::Enforce).max();
                assert_eq!(act.filter(|act| *act > Act::Flag), enforced.map(Act::from).filter(|act| *act > Act::Flag));
                let acts = of(Mode::Shadow).any(|action| action > OutputAction::Flag);
                assert_eq!(shadow == [Reason::RbacTool], acts, "{first:?} {second:?}");
            }
        }
    }
}
