//! The shipped rules as the compiler laid them out: constants, so that a module that was built holds all of them and
//! nothing is read, checked or allocated when a policy is loaded.

use bartizan_rules::beginnings::{Beginnings, LONGEST_GROUP, group_kind};
use bartizan_rules::lexicon::Lexicon;
use bartizan_rules::literals::{Literal, Literals};
use bartizan_rules::program::{ByteSet, Look, Op, Repeat, Set, Tables};
use bartizan_rules::tables::{Group, ShippedNear, ShippedRule, Start, Use};
use bartizan_rules::words::{Kind, Level, Pack, PiiType, Zone};

/// The uses of a list.
pub(super) fn uses(list: u16) -> &'static [Use] {
    let at = usize::from(list);
    let (Some(&from), Some(&to)) = (USE_LISTS.get(at), USE_LISTS.get(at + 1)) else { return &[] };
    USES.get(usize::from(from)..usize::from(to)).unwrap_or_default()
}

/// The patterns that may begin around a group of so many digits, behind this byte or at the start of the text.
pub(super) fn of_shape(before: Option<u8>, length: usize) -> &'static [u16] {
    let longest = usize::from(LONGEST_GROUP);
    let at = usize::from(group_kind(before)) * longest + length.clamp(1, longest) - 1;
    let list = usize::from(SHAPE_LISTS.get(at).copied().unwrap_or_default());
    let (Some(&from), Some(&to)) = (SHAPE_ENDS.get(list), SHAPE_ENDS.get(list + 1)) else { return &[] };
    SHAPE_PROGRAMS.get(usize::from(from)..usize::from(to)).unwrap_or_default()
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
