//! An upload whose lines are read is refused as a whole, and never rewritten: what would change one of its texts refuses it.

use bartizan_rules::words::Kind;

use crate::guard::{Act, Judged, Judgement, Outcome};
use crate::protocol::{Exchange, Json};
use crate::reason::{Denial, Reason};

/// Each line's cap on output tokens is within the role's, because none can be written into the file.
pub(super) fn within(exchange: &Exchange, most: Option<u64>) -> Result<(), Denial> {
    let asked = exchange.output_cap.as_ref().map(|cap| cap.tokens);
    match (asked, most) {
        (Some(asked), Some(most)) if asked > most => Err(Denial::new(Reason::RbacParameter).with_param("max_tokens")),
        _ => Ok(()),
    }
}

/// The line of the first finding that refuses or changes its text.
pub(super) fn fault(json: &Json<'_>, exchange: &Exchange, judgement: &Judgement) -> Option<usize> {
    let acts = |judged: &&Judged| !matches!(judged.act, Act::Except | Act::Shadow | Act::Flag);
    let texts = judgement.findings.iter().filter(acts).map(|judged| judged.text);
    let first = texts.min().and_then(|text| exchange.segments.get(text))?;
    let mut steps = json.steps(&first.path);
    steps.next().filter(|step| step.key == Some("lines"))?;
    steps.next().map(|step| step.position + 1)
}

/// A refusal that names the line.
pub(super) fn at(line: Option<usize>, reason: Reason) -> Denial {
    let denial = Denial::new(reason);
    match (line, reason) {
        (Some(line), Reason::ScanInjection | Reason::ScanOpinion | Reason::ScanSecret | Reason::ScanPii) => {
            denial.with_line(line)
        }
        _ => denial,
    }
}

/// Nothing in it is to be cut out or masked.
pub(super) fn unchanged(outcomes: &[Outcome], line: Option<usize>, keeps_signed: bool) -> Result<(), Denial> {
    let reason = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Keep | Outcome::Leave => None,
        Outcome::Mask(targets) if targets.iter().any(|target| matches!(target.kind, Kind::Secret)) => {
            Some(Reason::ScanSecret)
        }
        Outcome::Mask(_) => Some(Reason::ScanPii),
        Outcome::Replace | Outcome::Cut(..) => Some(Reason::ScanInjection),
    });
    match reason.or((!keeps_signed).then_some(Reason::ScanInjection)) {
        None => Ok(()),
        Some(reason) => Err(at(line, reason)),
    }
}
