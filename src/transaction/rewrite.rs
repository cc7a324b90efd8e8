//! Writes the verdict into the body: notices, masks, caps.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::guard::{NOTICE, Outcome};
use crate::protocol::{Exchange, Json, NO_LIMIT, Number};
use crate::redact::{Masked, Masker, Vault};

/// What was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// The body differs from what came.
    pub(super) changed: bool,
    /// Texts cut out.
    pub(super) replaced: u64,
    /// Values masked.
    pub(super) masked: u64,
    /// The cap on output tokens that the body now carries.
    pub(super) output_cap: Option<u64>,
}

/// Applies one outcome a segment, and the cap. `outcomes` and the exchange's segments are side by side;
/// `restores`: a guard gives values back in the reply.
pub(super) fn apply(
    json: &mut Json<'_>,
    exchange: &Exchange,
    outcomes: Vec<Outcome>,
    cap: Option<u64>,
    masker: &mut Masker,
    vault: &mut Vault,
    restores: bool,
) -> Applied {
    let mut applied = Applied::default();
    let mut renamed = BTreeSet::new();
    for (segment, outcome) in exchange.segments.iter().zip(outcomes) {
        let place = &segment.path;
        let text = if segment.is_key { json.key_at(place) } else { json.at(place).and_then(Json::as_str) };
        let Some(text) = text else { continue };
        let new = match outcome {
            Outcome::Leave => continue,
            Outcome::Keep if !restores => continue,
            // A look-alike of a placeholder must not come back as somebody's value.
            Outcome::Keep => vault.mask(text, &[], masker),
            Outcome::Replace => {
                applied.replaced += 1;
                Masked { text: NOTICE.to_owned(), edits: Vec::new() }
            }
            Outcome::Cut(rest, targets) => {
                applied.replaced += 1;
                if restores { vault.mask(&rest, &targets, masker) } else { masker.mask(&rest, &targets) }
            }
            Outcome::Mask(targets) if restores => vault.mask(text, &targets, masker),
            Outcome::Mask(targets) => masker.mask(text, &targets),
        };
        applied.masked += new.edits.len() as u64;
        if new.text == text {
            continue;
        }
        if segment.is_key {
            renamed.extend(json.rename(place, new.text));
        } else if let Some(Json::String(text)) = json.at_mut(place) {
            *text = Cow::Owned(new.text);
        }
    }
    renamed.iter().for_each(|holder| json.distinct(holder));
    applied.changed = applied.replaced > 0 || applied.masked > 0;
    for (path, new) in &exchange.rewrites {
        if let Some(place) = json.at_mut(path) {
            *place = Json::String(Cow::Borrowed(new));
            applied.changed = true;
        }
    }
    let asked = exchange.output_cap.as_ref();
    applied.output_cap = asked.map(|asked| asked.tokens).filter(|tokens| *tokens != NO_LIMIT);
    // The lower of the client's and the policy's.
    let most = applied.output_cap.into_iter().chain(cap).min();
    let is_set = applied.output_cap == most && asked.is_some_and(|asked| asked.agree && !asked.lacks_own);
    if let (Some(most), false) = (most, is_set)
        && set_cap(json, exchange, most)
    {
        applied.changed = true;
        applied.output_cap = Some(most);
        if let Some(budget) = &exchange.thinking_budget
            && let (Some(tokens), Some(place)) = (budget.under(most), json.at_mut(&budget.place))
        {
            *place = Json::Number(Number::from(tokens));
        }
    }
    applied
}

/// Lowers the client's cap, or adds one where the server reads it. False when the protocol has none.
fn set_cap(json: &mut Json<'_>, exchange: &Exchange, most: u64) -> bool {
    let number = Json::Number(Number::from(most));
    if let Some(asked) = &exchange.output_cap {
        for path in &asked.places {
            let Some(place) = json.at_mut(path) else { return false };
            *place = number.clone();
        }
        if !asked.lacks_own {
            return !asked.places.is_empty();
        }
    }
    let Some((key, holders)) = exchange.output_cap_key.split_last() else { return false };
    let mut holder = json;
    for name in holders {
        let Json::Object(entries) = holder else { return false };
        // A null is an absent field, and both become the object that the cap is in.
        entries.retain(|(key, value)| key != name || !matches!(value, Json::Null));
        if !entries.iter().any(|(key, _)| key == name) {
            entries.push((Cow::Borrowed(name), Json::Object(Vec::new())));
        }
        let Some(inner) = holder.get_mut(name) else { return false };
        holder = inner;
    }
    let Json::Object(entries) = holder else { return false };
    // A null of the same name is an absent field: it must not become a duplicate.
    entries.retain(|(name, _)| name != key);
    entries.push((Cow::Borrowed(key), number));
    true
}
