//! The shipped rules as the compiler laid them out: constants, so that a module that was built holds all of them and
//! nothing is read, checked or allocated when a policy is loaded.

use bartizan_rules::beginnings::Beginnings;
use bartizan_rules::lexicon::Lexicon;
use bartizan_rules::literals::{Literal, Literals};
use bartizan_rules::program::{ByteSet, Look, Op, Repeat, Set, Tables};
use bartizan_rules::tables::{ShippedNear, ShippedRule, Use};
use bartizan_rules::words::{Kind, Level, Pack, PiiType, Zone};

/// The uses of a list.
pub(super) fn uses(list: u16) -> &'static [Use] {
    let at = usize::from(list);
    let (Some(&from), Some(&to)) = (USE_LISTS.get(at), USE_LISTS.get(at + 1)) else { return &[] };
    USES.get(usize::from(from)..usize::from(to)).unwrap_or_default()
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
