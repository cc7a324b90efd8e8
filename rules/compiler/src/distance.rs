//! How far before what a match can't be without it may begin: its first digit, or a run of token bytes.
//!
//! ```
//! use bartizan_rules_compiler::distance::before_digit;
//!
//! let hir = |pattern: &str| regex_syntax::Parser::new().parse(pattern).unwrap();
//! assert_eq!(before_digit(&hir("ab?[0-9]c*")), 2);
//! ```

use regex_syntax::hir::{Class, Hir, HirKind};

/// No bound.
pub const FAR: u16 = u16::MAX;

/// What is before the first digit of a match.
#[derive(Clone, Copy)]
struct Before {
    /// Most bytes of a match without any digit; `None`: every match has one.
    without: Option<usize>,
    /// Most bytes before the first digit.
    most: usize,
}

/// Most bytes between where a match begins and its first digit; [`FAR`] also when it may have none.
pub fn before_digit(hir: &Hir) -> u16 {
    let Before { without, most } = of(hir);
    u16::try_from(most).ok().filter(|_| without.is_none()).unwrap_or(FAR)
}

/// A run of token bytes that every match holds: its length, and most bytes before it. `is_token` says what one is.
pub fn before_run(hir: &Hir, is_token: fn(u8) -> bool) -> (u8, u16) {
    let (length, before) = run(hir, is_token);
    (u8::try_from(length).unwrap_or(u8::MAX), u16::try_from(before).unwrap_or(FAR))
}

/// The least length of what matches, if that is tokens throughout.
fn solid(hir: &Hir, is_token: fn(u8) -> bool) -> Option<usize> {
    let ascii = |from: u32, to: u32| (from..=to).all(|code| u8::try_from(code).is_ok_and(is_token));
    // The long s and the Kelvin sign are letters in another case.
    let twin = |c: char| matches!(c, '\u{17f}' | '\u{212a}');
    let all = match hir.kind() {
        HirKind::Literal(literal) => literal.0.iter().all(|byte| is_token(*byte)),
        HirKind::Class(Class::Unicode(class)) => class.iter().all(|range| {
            let (from, to) = (range.start(), range.end());
            (from == to && twin(from)) || (to.is_ascii() && ascii(from.into(), to.into()))
        }),
        HirKind::Class(Class::Bytes(class)) => {
            class.iter().all(|range| ascii(range.start().into(), range.end().into()))
        }
        HirKind::Repetition(repetition) => {
            return solid(&repetition.sub, is_token).map(|length| length * repetition.min as usize);
        }
        HirKind::Capture(capture) => return solid(&capture.sub, is_token),
        HirKind::Concat(parts) => return parts.iter().map(|part| solid(part, is_token)).sum(),
        HirKind::Alternation(branches) => {
            return branches.iter().map(|branch| solid(branch, is_token)).min().flatten();
        }
        // Nothing is put between two tokens.
        HirKind::Empty | HirKind::Look(_) => true,
    };
    all.then(|| hir.properties().minimum_len().unwrap_or(0))
}

fn run(hir: &Hir, is_token: fn(u8) -> bool) -> (usize, usize) {
    if let Some(length) = solid(hir, is_token) {
        return (length, 0);
    }
    match hir.kind() {
        HirKind::Capture(capture) => run(&capture.sub, is_token),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            let (length, before) = run(&repetition.sub, is_token);
            (length, if repetition.max == Some(1) { before } else { usize::MAX })
        }
        HirKind::Alternation(branches) => {
            let runs = || branches.iter().map(|branch| run(branch, is_token));
            (runs().map(|run| run.0).min().unwrap_or(0), runs().map(|run| run.1).max().unwrap_or(0))
        }
        HirKind::Concat(parts) => {
            let (mut best, mut passed) = ((0, 0), 0usize);
            // Tokens in a row, and where they begin.
            let mut together: Option<(usize, usize)> = None;
            for part in parts {
                let here = match solid(part, is_token) {
                    Some(length) => {
                        let (so_far, from) = together.unwrap_or((0, passed));
                        together = Some((so_far + length, from));
                        (so_far + length, from)
                    }
                    None => {
                        together = None;
                        let (length, before) = run(part, is_token);
                        (length, passed.saturating_add(before))
                    }
                };
                if here.0 > best.0 {
                    best = here;
                }
                passed = passed.saturating_add(part.properties().maximum_len().unwrap_or(usize::MAX));
            }
            best
        }
        _ => (0, 0),
    }
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
    fn every_match_holds_a_run_of_tokens() {
        let run = |pattern: &str| {
            before_run(&regex_syntax::Parser::new().parse(pattern).unwrap(), |byte| byte.is_ascii_alphanumeric())
        };
        assert_eq!(run("[a-z]{4}[0-9]{8}"), (12, 0));
        assert_eq!(run("(?:^|[^0-9A-Za-z_])(?P<value>sk[A-Za-z]{20,})(?:[^a-z]|$)"), (22, 4));
        assert_eq!(run("(?i)key[ ]{0,2}[:=]\"?[a-z]{10,}"), (10, 5 + 2 + 1 + 1));
        assert_eq!(run("(?:abc-[0-9]{5}|[a-z]{9})"), (5, 4));
        assert_eq!(run("a.*?[a-z]{10}"), (10, FAR));
        assert_eq!(run("[^a]{20}").0, 0);
    }

    #[test]
    fn the_first_digit_stands_no_further_off_than_that() {
        let far = |pattern: &str| before_digit(&regex_syntax::Parser::new().parse(pattern).unwrap());
        assert_eq!(far("[0-9]{3}"), 0);
        assert_eq!(far("(?:^|[^0-9A-Za-z_])[0-9]"), 4);
        assert_eq!(far("ab?[0-9]c*"), 2);
        assert_eq!(far("(?:ab|c)[-. ]{0,3}(?:x|7)"), FAR);
        assert_eq!(far("(?:ab|c)[-. ]{0,3}7"), 5);
        assert_eq!(far("(?:a[0-9]?){2}z"), FAR);
        assert_eq!(far("(?:a[0-9]?){2}7"), 3);
        assert_eq!(far("a{2,5}[0-9A-F]{2}"), FAR);
        assert_eq!(far("a{2,5}[0-9A-F]{2}[0-9]"), 7);
        assert_eq!(far("[a-z]+[0-9]"), FAR);
        assert_eq!(far("(?:k[0-9])*"), FAR);
    }
}
