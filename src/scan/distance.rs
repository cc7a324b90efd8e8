//! How far before its first digit a match may begin, for `build.rs`. Never part of the module.

use regex_syntax::hir::{Class, Hir, HirKind};

/// No bound.
pub const FAR: u16 = u16::MAX;

/// What stands before the first digit of a match.
#[derive(Clone, Copy)]
struct Before {
    /// Most bytes of a match without any digit; `None`: every match has one.
    without: Option<usize>,
    /// Most bytes before the first digit.
    most: usize,
}

/// Most bytes between where a match begins and its first digit, or, when it may have none, its end.
pub fn before_digit(hir: &Hir) -> u16 {
    let Before { without, most } = of(hir);
    u16::try_from(most.max(without.unwrap_or(0))).unwrap_or(FAR)
}

fn of(hir: &Hir) -> Before {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Before { without: Some(0), most: 0 },
        HirKind::Literal(literal) => match literal.0.iter().position(u8::is_ascii_digit) {
            Some(most) => Before { without: None, most },
            None => Before { without: Some(literal.0.len()), most: 0 },
        },
        HirKind::Class(class) => {
            let digits = |from: u32, to: u32| from >= u32::from(b'0') && to <= u32::from(b'9');
            let (only, length) = match class {
                Class::Unicode(class) => (
                    class.iter().all(|range| digits(range.start().into(), range.end().into())),
                    class.iter().map(|range| range.end().len_utf8()).max(),
                ),
                Class::Bytes(class) => {
                    (class.iter().all(|range| digits(range.start().into(), range.end().into())), Some(1))
                }
            };
            Before { without: length.filter(|_| !only), most: 0 }
        }
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) => {
            let Before { without, most } = of(&repetition.sub);
            let times = repetition.max.map_or(usize::MAX, |max| max as usize);
            let within = without.map(|length| if length == 0 { 0 } else { length.saturating_mul(times) });
            // All but the last one are without.
            let most = most.saturating_add(within.unwrap_or(0));
            Before { without: if repetition.min == 0 { Some(within.unwrap_or(0)) } else { within }, most }
        }
        HirKind::Concat(parts) => {
            let mut all = Before { without: Some(0), most: 0 };
            for part in parts {
                let Some(passed) = all.without else { break };
                let next = of(part);
                all.most = all.most.max(passed.saturating_add(next.most));
                all.without = next.without.map(|length| passed.saturating_add(length));
            }
            all
        }
        HirKind::Alternation(branches) => {
            let branches: Vec<Before> = branches.iter().map(of).collect();
            Before {
                without: branches.iter().filter_map(|branch| branch.without).max(),
                most: branches.iter().map(|branch| branch.most).max().unwrap_or(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digit_stands_no_further_off_than_that() {
        let far = |pattern: &str| before_digit(&regex_syntax::Parser::new().parse(pattern).unwrap());
        assert_eq!(far("[0-9]{3}"), 0);
        assert_eq!(far("(?:^|[^0-9A-Za-z_])[0-9]"), 4);
        assert_eq!(far("ab?[0-9]c*"), 2);
        assert_eq!(far("(?:ab|c)[-. ]{0,3}(?:x|7)"), 6);
        assert_eq!(far("(?:a[0-9]?){2}z"), 3);
        assert_eq!(far("a{2,5}[0-9A-F]{2}"), 7);
        assert_eq!(far("[a-z]+[0-9]"), FAR);
        assert_eq!(far("(?:k[0-9])*"), 1);
    }
}
