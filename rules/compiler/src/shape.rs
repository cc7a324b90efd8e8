//! The surroundings of the first digit of a pattern's match: how far in it is, what comes before it, how many digits
//! its group has. A group of digits in a text is judged by these once, for all patterns together.
//!
//! ```
//! use bartizan_rules_compiler::lower::Compiler;
//!
//! let mut compiler = Compiler::default();
//! compiler.add("[A-Z]{5}[0-9]{4}[A-Z]", true).unwrap();
//! assert!(compiler.shape(0).is_some());
//! ```

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use bartizan_rules::beginnings::{GROUP_KINDS, LONGEST_GROUP, group_kind};
use bartizan_rules::program::Look;

use crate::lower::{Compiler, Step};

/// Furthest that a match may begin before its first digit.
const REACH: u16 = 48;
/// Nodes of a walk: a pattern that needs more has no shape.
const ENOUGH: usize = 40_000;

/// The first group of digits of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Fewest bytes of the match before it.
    pub least: u8,
    /// Most of them.
    pub most: u8,
    /// What may be before it: one bit a kind, as [`group_kind`] tells them apart.
    pub before: u16,
    /// How many digits it may have: bit 0 for one; the last bit for [`LONGEST_GROUP`] and more.
    pub lengths: u32,
    /// What may be behind it, as `before`.
    pub after: u16,
    /// How many digits may be behind that one byte: bit 0 for none; the last bit for [`LONGEST_GROUP`] and more.
    pub seconds: u32,
}

impl Shape {
    /// Of no match at all.
    pub const NONE: Shape = Shape { least: u8::MAX, most: 0, before: 0, lengths: 0, after: 0, seconds: 0 };
}

/// Where a walk has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Walked {
    /// No digit yet; kinds of what may be right before, none: whatever is before the match.
    Before(u16),
    /// This number of digits.
    Digits(u8),
    /// One byte behind them, and this number of digits again.
    Second(u8),
}

/// Instruction, how far into it, and where the walk is.
type Node = (usize, u16, Walked);

/// A character: the kinds of its last byte if it is no digit, or a digit; fewest and most bytes.
type Character = (Option<u16>, u16, u16);

impl Compiler {
    /// Looks for patterns around groups of digits only, where their rules look at digits and neither anchors nor the
    /// automaton of beginnings tell where they may begin. Called when all patterns and anchors are known.
    pub fn find_shapes(&mut self) {
        for program in 0..self.programs.len() {
            let is_anchored = self.anchors.get(program).is_some_and(|anchors| !anchors.is_empty());
            if self.shared.get(program) == Some(&true) && !is_anchored && !self.is_narrow(program as u16) {
                let shape = self.shape(program);
                if let Some(slot) = self.shapes.get_mut(program) {
                    *slot = shape;
                }
            }
        }
    }

    /// The shape of a program; `None`: a match may have no digit, begin within a group, or too far before it.
    pub fn shape(&self, program: usize) -> Option<Shape> {
        let steps = self.programs.get(program)?;
        let mut shape = Shape::NONE;
        let start: Node = (0, 0, Walked::Before(0));
        let mut reached = BTreeMap::from([(start, (0u16, 0u16))]);
        let mut open = VecDeque::from([start]);
        while let Some(node @ (pc, _, place)) = open.pop_front() {
            let (least, most) = reached.get(&node).copied()?;
            let mut edges: Vec<(Node, u16, u16)> = Vec::new();
            match (steps.get(pc)?, place) {
                (Step::Match, Walked::Before(_)) => return None,
                (Step::Match, Walked::Digits(count)) => {
                    shape.lengths |= u32::MAX << (count - 1) & mask();
                    (shape.after, shape.seconds) = (u16::MAX, u32::MAX);
                }
                (Step::Match, Walked::Second(count)) => shape.seconds |= u32::MAX << count,
                // The group ends here.
                (Step::Look(look @ (Look::End | Look::LineEnd | Look::Word)), Walked::Digits(count)) => {
                    shape.lengths |= 1 << (count - 1);
                    shape.after |= if *look == Look::Word { u16::MAX } else { ends(*look) };
                    shape.seconds |= if *look == Look::Word { u32::MAX } else { 1 };
                }
                (Step::Look(Look::End | Look::LineEnd), Walked::Second(count)) => shape.seconds |= 1 << count,
                (Step::Look(Look::Word), Walked::Second(_)) => shape.seconds = u32::MAX,
                (Step::Look(look), Walked::Before(0)) => {
                    let kinds = match look {
                        Look::Start => ends(Look::End),
                        Look::LineStart => ends(Look::LineEnd),
                        Look::Word => !(1 << group_kind(Some(b'a')) | 1 << group_kind(Some(b'_'))),
                        Look::End | Look::LineEnd => 0,
                    };
                    edges.push(((pc + 1, 0, Walked::Before(kinds)), 0, 0));
                }
                (Step::Look(_) | Step::Open | Step::Close, _) => edges.push(((pc + 1, 0, place), 0, 0)),
                (Step::Split(first, second), _) => {
                    edges.extend([first, second].map(|to| ((usize::from(*to), 0, place), 0, 0)));
                }
                (Step::Jump(to), _) => edges.push(((usize::from(*to), 0, place), 0, 0)),
                (step, _) => {
                    let (characters, next) = self.characters(step, node, &mut edges)?;
                    for (kinds, shortest, longest) in characters {
                        let to = match (kinds, place) {
                            (None, Walked::Before(0)) => return None,
                            (None, Walked::Before(kinds)) => {
                                shape.least = shape.least.min(u8::try_from(least).ok()?);
                                shape.most = shape.most.max(u8::try_from(most).ok().filter(|_| most <= REACH)?);
                                shape.before |= kinds;
                                Walked::Digits(1)
                            }
                            (None, Walked::Digits(count)) => Walked::Digits((count + 1).min(LONGEST_GROUP)),
                            (Some(kinds), Walked::Before(_)) => Walked::Before(kinds),
                            (Some(kinds), Walked::Digits(count)) => {
                                shape.lengths |= 1 << (count - 1);
                                shape.after |= kinds;
                                if longest > 1 {
                                    shape.seconds |= u32::MAX;
                                    continue;
                                }
                                Walked::Second(0)
                            }
                            (None, Walked::Second(count)) => Walked::Second((count + 1).min(LONGEST_GROUP)),
                            (Some(_), Walked::Second(count)) => {
                                shape.seconds |= 1 << count;
                                continue;
                            }
                        };
                        edges.push(((next.0, next.1, to), shortest, longest));
                    }
                }
            }
            for (next, shortest, longest) in edges {
                let (least, most) = (least.saturating_add(shortest), most.saturating_add(longest).min(2 * REACH));
                match reached.entry(next) {
                    Entry::Vacant(slot) => {
                        slot.insert((least, most));
                    }
                    Entry::Occupied(mut slot) => {
                        let known = slot.get_mut();
                        if known.0 <= least && known.1 >= most {
                            continue;
                        }
                        *known = (known.0.min(least), known.1.max(most));
                    }
                }
                open.push_back(next);
            }
            if reached.len() > ENOUGH {
                return None;
            }
        }
        (shape.lengths != 0).then_some(shape)
    }

    /// The characters that an instruction may read here, and where it goes on; an end of a repetition is added to the
    /// edges.
    fn characters(
        &self,
        step: &Step,
        (pc, inside, place): Node,
        edges: &mut Vec<(Node, u16, u16)>,
    ) -> Option<(Vec<Character>, (usize, u16))> {
        let byte = |byte: u8| ((!byte.is_ascii_digit()).then(|| 1 << group_kind(Some(byte))), 1, 1);
        match step {
            Step::Literal(word) | Step::Fold(word) => {
                let letter = *word.get(usize::from(inside))?;
                let is_last = usize::from(inside) + 1 == word.len();
                let mut characters = vec![byte(letter)];
                if let (Step::Fold(_), b'k' | b's') = (step, letter) {
                    // These have twins beyond ASCII.
                    characters.push((Some(1 << group_kind(Some(0x80))), 2, 3));
                }
                Some((characters, if is_last { (pc + 1, 0) } else { (pc, inside + 1) }))
            }
            Step::Set(set) => Some((self.of_set(*set), (pc + 1, 0))),
            Step::Repeat(set, min, max, _) => {
                let is_open = *max > REACH;
                let (min, most) = ((*min).min(REACH), if is_open { (*min).min(REACH) } else { *max });
                if inside >= min {
                    edges.push(((pc + 1, 0, place), 0, 0));
                }
                let goes_on = is_open || inside < *max;
                let characters = if goes_on { self.of_set(*set) } else { Vec::new() };
                Some((characters, (pc, (inside + 1).min(most))))
            }
            _ => None,
        }
    }

    fn of_set(&self, set: u16) -> Vec<Character> {
        let Some((ascii, ranges)) = self.sets.get(usize::from(set)) else { return Vec::new() };
        let holds = |byte: &u8| ascii.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1);
        let (digits, others): (Vec<u8>, Vec<u8>) = (0..128u8).filter(holds).partition(u8::is_ascii_digit);
        let kinds = others.iter().map(|byte| group_kind(Some(*byte)));
        let kinds: std::collections::BTreeSet<u8> = kinds.collect();
        let mut out: Vec<Character> = kinds.into_iter().map(|kind| (Some(1 << kind), 1, 1)).collect();
        if !digits.is_empty() {
            out.push((None, 1, 1));
        }
        let lengths = ranges.iter().flat_map(|(from, to)| [*from, *to]).filter_map(char::from_u32);
        let lengths = lengths.map(|c| c.len_utf8() as u16);
        if let (Some(shortest), Some(longest)) = (lengths.clone().min(), lengths.max()) {
            out.push((Some(1 << group_kind(Some(0x80))), shortest, longest));
        }
        out
    }

    /// By kind of what is before a group and by its length: the programs whose shape it has.
    pub fn by_shape(&self) -> Vec<Vec<u16>> {
        let mut out = Vec::new();
        for kind in 0..GROUP_KINDS {
            for length in 0..LONGEST_GROUP {
                let has = |shape: &Shape| shape.before >> kind & 1 == 1 && shape.lengths >> length & 1 == 1;
                let programs = self.shapes.iter().zip(0..).filter(|(shape, _)| shape.as_ref().is_some_and(has));
                out.push(programs.map(|(_, program)| program).collect());
            }
        }
        out
    }
}

/// The kinds of an end of the text or of a line.
fn ends(look: Look) -> u16 {
    1 << group_kind(None) | if look == Look::LineEnd { 1 << group_kind(Some(b'\n')) } else { 0 }
}

fn mask() -> u32 {
    u32::MAX >> (32 - u32::from(LONGEST_GROUP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(pattern: &str) -> Option<(u8, u8, Vec<u8>, Vec<u32>)> {
        let mut compiler = Compiler::default();
        compiler.add(pattern, true).unwrap();
        let Shape { least, most, before, lengths, .. } = compiler.shape(0)?;
        let shown = b"a -./:(+)_\n;\x80".iter().copied().filter(|byte| before >> group_kind(Some(*byte)) & 1 == 1);
        Some((least, most, shown.collect(), (1..=32).filter(|length| lengths >> (length - 1) & 1 == 1).collect()))
    }

    #[test]
    fn the_first_group_of_a_match_is_told_by_what_stands_around_it() {
        assert_eq!(shape("[A-Z]{5}[0-9]{4}[A-Z]"), Some((5, 5, b"a".to_vec(), vec![4])));
        assert_eq!(shape("(?:^|[ (])[0-9]{2,3}-[0-9]{4}"), Some((0, 1, b" (".to_vec(), vec![2, 3])));
        assert_eq!(shape("[.][0-9]{2}(?:[^0-9]|$)"), Some((1, 1, b".".to_vec(), vec![2])));
        assert_eq!(shape("[é-ü][0-9](?-u:\\b)"), Some((2, 2, vec![0x80], vec![1])));
        let (_, _, _, lengths) = shape("-[0-9]{30}").unwrap();
        assert_eq!(lengths, [u32::from(LONGEST_GROUP)], "as long and longer");
    }

    #[test]
    fn what_stands_behind_the_group_is_told_too() {
        let behind = |pattern: &str| {
            let mut compiler = Compiler::default();
            compiler.add(pattern, true).unwrap();
            let Shape { after, seconds, .. } = compiler.shape(0).unwrap();
            let kind = |byte| after >> group_kind(byte) & 1 == 1;
            (kind(Some(b'-')), kind(Some(b'a')), kind(None), (0..4).map(|n| seconds >> n & 1).collect::<Vec<_>>())
        };
        assert_eq!(behind("a[0-9]{4}-[0-9]{2}(?:[^0-9]|$)"), (true, false, false, vec![0, 0, 1, 0]));
        assert_eq!(behind("a[0-9]{4}(?:[^0-9A-Za-z]|$)"), (true, false, true, vec![1, 1, 1, 1]));
        assert_eq!(behind("a[0-9]{4}(?:[a-z]{2}|-[0-9][ ])"), (true, true, false, vec![1, 1, 0, 0]));
        assert_eq!(behind("a[0-9]"), (true, true, true, vec![1, 1, 1, 1]));
    }

    #[test]
    fn what_may_begin_within_a_group_or_without_one_has_no_shape() {
        assert_eq!(shape("[0-9]{3}"), None);
        assert_eq!(shape("a[0-9]?b"), None);
        assert_eq!(shape("[a-z]*[0-9]"), None);
        assert_eq!(shape("[a-z]{0,60}-[0-9]"), None);
    }
}
