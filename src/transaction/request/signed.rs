//! What becomes of findings in what a provider signed: it is never edited.

use crate::document::SignedAction;
use crate::guard::{Act, Judgement, Outcome};
use crate::protocol::signed::signed_blocks;
use crate::protocol::{Exchange, Json, Path, Position};
use crate::reason::Reason;
use crate::scan::Kind;

/// Decides about signed blocks, and gives those that go. `touches_all`: also a text without a finding may be edited.
///
/// A finding in the newest turn refuses; so does any with `block`. With `pass` the block goes on as it came, and the
/// finding is recorded as `flag`.
pub(super) fn keep_signed(
    action: SignedAction,
    json: &Json<'_>,
    exchange: &Exchange,
    touches_all: bool,
    judgement: &mut Judgement,
) -> Vec<Path> {
    if !touches_all && judgement.outcomes.iter().all(|outcome| *outcome == Outcome::Keep) {
        return Vec::new();
    }
    let blocks = signed_blocks(json);
    let mut dropped = Vec::new();
    if blocks.is_empty() {
        return dropped;
    }
    for (index, segment) in exchange.segments.iter().enumerate() {
        let Some(block) = blocks.iter().find(|block| segment.path.is_in(block)) else { continue };
        let Some(outcome) = judgement.outcomes.get_mut(index) else { continue };
        let reason = match std::mem::replace(outcome, Outcome::Leave) {
            Outcome::Keep | Outcome::Leave => continue,
            Outcome::Replace | Outcome::Cut(..) => Reason::ScanInjection,
            Outcome::Mask(targets) if targets.iter().any(|target| target.kind == Kind::Secret) => Reason::ScanSecret,
            Outcome::Mask(_) => Reason::ScanPii,
        };
        let act = match action {
            SignedAction::Pass => Act::Flag,
            SignedAction::Drop if segment.position == Position::History => {
                dropped.push(block.clone());
                Act::Replace
            }
            SignedAction::Drop | SignedAction::Block => {
                judgement.refuse(reason);
                Act::Block
            }
        };
        let own = judgement.findings.iter_mut().filter(|judged| judged.text == index);
        own.filter(|judged| judged.act.changes()).for_each(|judged| judged.act = act);
    }
    dropped
}
