//! The shipped rules as the compiler laid them out: constants, so that a module that was built holds all of them and
//! nothing is read, checked or allocated when a policy is loaded.

use bartizan_rules::beginnings::{Beginnings, LONGEST_GROUP, group_kind, list_of};
use bartizan_rules::invariant::sure;
use bartizan_rules::lexicon::Lexicon;
use bartizan_rules::literals::{Literal, Literals};
use bartizan_rules::program::{ByteSet, Look, Op, Repeat, Set, Tables};
use bartizan_rules::tables::{Group, ShippedNear, ShippedRule, Start, Use};
use bartizan_rules::words::{Kind, Level, Pack, PiiType, Zone};

/// The uses of a list. `None` never happens: every list of the words is there.
pub(super) fn uses(list: u16) -> Option<&'static [Use]> {
    list_of(&USE_LISTS, &USES, usize::from(list))
}

/// The patterns that may begin around a group of this many digits, behind this byte or at the start of the text.
/// `None` never happens: every kind and length has a list.
pub(super) fn of_shape(before: Option<u8>, length: usize) -> Option<&'static [u16]> {
    let longest = usize::from(LONGEST_GROUP);
    let at = usize::from(group_kind(before)) * longest + length.clamp(1, longest) - 1;
    list_of(&SHAPE_ENDS, &SHAPE_PROGRAMS, usize::from(*sure(SHAPE_LISTS.get(at))?))
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
