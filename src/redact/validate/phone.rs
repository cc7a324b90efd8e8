//! Telephone numbers: plausible country codes and lengths (ITU-T E.164 and its list of assigned codes).
//!
//! No carrier's ranges are kept: a number that passes has a form that its country uses, no more.

use super::digits::monotone;

/// Country codes with the fewest and the most digits that follow in that country.
static COUNTRIES: &[(u16, u8, u8)] = &[
    (1, 10, 10),
    (7, 10, 10),
    (20, 8, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 6, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 7, 12),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 7, 12),
    (51, 8, 9),
    (52, 10, 11),
    (53, 6, 8),
    (54, 10, 11),
    (55, 10, 11),
    (56, 8, 9),
    (57, 8, 10),
    (58, 10, 10),
    (60, 8, 10),
    (61, 9, 9),
    (62, 8, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 10),
    (84, 9, 10),
    (86, 9, 11),
    (90, 10, 10),
    (91, 10, 10),
    (92, 9, 10),
    (93, 9, 9),
    (94, 9, 9),
    (95, 7, 10),
    (98, 10, 10),
    (211, 9, 9),
    (212, 9, 9),
    (213, 8, 9),
    (216, 8, 8),
    (218, 8, 9),
    (220, 7, 7),
    (221, 9, 9),
    (222, 8, 8),
    (223, 8, 8),
    (224, 8, 9),
    (225, 8, 10),
    (226, 8, 8),
    (227, 8, 8),
    (228, 8, 8),
    (229, 8, 10),
    (230, 7, 8),
    (231, 7, 9),
    (232, 8, 8),
    (233, 9, 9),
    (234, 7, 10),
    (235, 8, 8),
    (236, 8, 8),
    (237, 8, 9),
    (238, 7, 7),
    (239, 7, 7),
    (240, 9, 9),
    (241, 7, 8),
    (242, 9, 9),
    (243, 9, 9),
    (244, 9, 9),
    (245, 7, 9),
    (246, 7, 7),
    (248, 7, 7),
    (249, 9, 9),
    (250, 9, 9),
    (251, 9, 9),
    (252, 7, 9),
    (253, 8, 8),
    (254, 9, 9),
    (255, 9, 9),
    (256, 9, 9),
    (257, 8, 8),
    (258, 8, 9),
    (260, 9, 9),
    (261, 9, 9),
    (262, 9, 9),
    (263, 8, 9),
    (264, 8, 9),
    (265, 7, 9),
    (266, 8, 8),
    (267, 7, 8),
    (268, 8, 8),
    (269, 7, 7),
    (290, 4, 5),
    (291, 7, 7),
    (297, 7, 7),
    (298, 6, 6),
    (299, 6, 6),
    (350, 8, 8),
    (351, 9, 9),
    (352, 6, 11),
    (353, 7, 9),
    (354, 7, 9),
    (355, 8, 9),
    (356, 8, 8),
    (357, 8, 8),
    (358, 6, 11),
    (359, 7, 9),
    (370, 8, 8),
    (371, 8, 8),
    (372, 7, 8),
    (373, 8, 8),
    (374, 8, 8),
    (375, 9, 9),
    (376, 6, 9),
    (377, 8, 9),
    (378, 6, 10),
    (380, 9, 9),
    (381, 8, 9),
    (382, 8, 8),
    (383, 8, 9),
    (385, 8, 9),
    (386, 8, 8),
    (387, 8, 8),
    (389, 8, 8),
    (420, 9, 9),
    (421, 9, 9),
    (423, 7, 7),
    (500, 5, 5),
    (501, 7, 7),
    (502, 8, 8),
    (503, 8, 8),
    (504, 8, 8),
    (505, 8, 8),
    (506, 8, 8),
    (507, 7, 8),
    (508, 6, 6),
    (509, 8, 8),
    (590, 9, 9),
    (591, 8, 8),
    (592, 7, 7),
    (593, 8, 9),
    (594, 9, 9),
    (595, 9, 9),
    (596, 9, 9),
    (597, 6, 7),
    (598, 8, 8),
    (599, 7, 8),
    (670, 7, 8),
    (672, 6, 6),
    (673, 7, 7),
    (674, 7, 7),
    (675, 7, 8),
    (676, 5, 7),
    (677, 5, 7),
    (678, 5, 7),
    (679, 7, 7),
    (680, 7, 7),
    (681, 6, 6),
    (682, 5, 5),
    (683, 4, 7),
    (685, 5, 7),
    (686, 5, 8),
    (687, 6, 6),
    (688, 5, 6),
    (689, 6, 8),
    (690, 4, 5),
    (691, 7, 7),
    (692, 7, 7),
    (850, 8, 10),
    (852, 8, 8),
    (853, 8, 8),
    (855, 8, 9),
    (856, 8, 10),
    (880, 8, 10),
    (886, 8, 9),
    (960, 7, 7),
    (961, 7, 8),
    (962, 8, 9),
    (963, 8, 9),
    (964, 8, 10),
    (965, 8, 8),
    (966, 8, 9),
    (967, 7, 9),
    (968, 8, 8),
    (970, 8, 9),
    (971, 8, 9),
    (972, 8, 9),
    (973, 8, 8),
    (974, 8, 8),
    (975, 7, 8),
    (976, 8, 8),
    (977, 8, 10),
    (992, 9, 9),
    (993, 8, 8),
    (994, 9, 9),
    (995, 9, 9),
    (996, 9, 9),
    (998, 9, 9),
];

/// The digits of a written number without an extension, and without the trunk zero in `+44 (0)20`.
fn dialled(text: &str) -> Option<Vec<u8>> {
    let low = text.to_ascii_lowercase().replace("(0)", "");
    let base = low.split(['x', 'e', '#']).next()?;
    let mut out = Vec::with_capacity(16);
    for c in base.chars() {
        match c.to_digit(10) {
            Some(digit) if out.len() < 24 => out.push(digit as u8),
            None if matches!(c, '+' | '(' | ')' | ' ' | '-' | '.' | '/' | '\u{a0}' | '\u{2010}'..='\u{2013}') => {}
            _ => return None,
        }
    }
    (!monotone(&out)).then_some(out)
}

/// A number with its country code: `+44 20 7946 0018`, `0044...`, `+1 (212) 555-0123 ext. 7`.
pub(super) fn international(text: &str) -> bool {
    let Some(all) = dialled(text) else { return false };
    let number = match all.as_slice() {
        [0, 0, rest @ ..] if !text.starts_with('+') => rest,
        [0, 1, 1, rest @ ..] if !text.starts_with('+') => rest,
        rest => rest,
    };
    (1..=3).any(|length| {
        let Some((code, rest)) = number.split_at_checked(length) else { return false };
        let code = code.iter().fold(0u16, |sum, &digit| sum * 10 + u16::from(digit));
        COUNTRIES.iter().any(|&(known, fewest, most)| {
            // One digit more where a written trunk zero follows the code, as in +39 06.
            let slack = u8::from(rest.first() == Some(&0));
            known == code && (usize::from(fewest)..=usize::from(most + slack)).contains(&rest.len())
        }) && (code != 1 || plausible_north_american(rest))
    })
}

fn plausible_north_american(digits: &[u8]) -> bool {
    matches!(digits, [2..=9, 0..=8, c, 2..=9, e, f, ..] if (*e, *f) != (1, 1) && *c < 10) && digits.len() == 10
}

/// A North American number (NANP): area code 2-9, 0-8, any; exchange 2-9 and not N11.
pub(super) fn north_america(text: &str) -> bool {
    match dialled(text).as_deref() {
        Some([1, rest @ ..]) if rest.len() == 10 => plausible_north_american(rest),
        Some(all) => plausible_north_american(all),
        None => false,
    }
}

/// A national number as written with its trunk zero: nine to twelve digits, the first zero, the second
/// not. Groups of 3-3-3 and 3-2-4 are refused: identity numbers are written so.
pub(super) fn national(text: &str) -> bool {
    let groups: Vec<usize> =
        text.split(|c: char| !c.is_ascii_digit()).map(str::len).filter(|&length| length > 0).collect();
    dialled(text).is_some_and(|d| {
        let trunk = matches!(d.as_slice(), [0, 1..=9, ..]) && (9..=12).contains(&d.len());
        let counted = d.windows(2).all(|pair| matches!(pair, [a, b] if (a + 1) % 10 == *b));
        let brackets = text.starts_with('(') && matches!(groups.as_slice(), [2, 4 | 5, 4]);
        (trunk || brackets) && !counted && !matches!(groups.as_slice(), [3, 3, 3] | [3, 2, 4])
    })
}

/// A number that a word next to it calls a telephone number: seven to fifteen digits, neither all the
/// same nor a date nor a range of years.
pub(super) fn in_context(text: &str) -> bool {
    let year = |group: &str| group.len() == 4 && (group.starts_with("19") || group.starts_with("20"));
    let years = text.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).all(year);
    !years && dialled(text).is_some_and(|d| (7..=15).contains(&d.len())) && !super::date::calendar_date(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn international_numbers() {
        tells_apart(
            international,
            &[
                "+44 20 7946 0018",
                "+44 (0)20 7946 0018",
                "0049 30 901820",
                "+1 (212) 555-0123",
                "+1-212-555-0123 x77",
                "+39 06 698 1234",
                "+86 138 0013 8000",
                "+358 9 1234567",
            ],
            &[
                "+999 123456789",
                "+44 12",
                "+1 123 456 7890",
                "+1 212 155 0123",
                "+00000000000",
                "+44 20 7946 0018 1234",
            ],
        );
    }

    #[test]
    fn north_american_numbers() {
        tells_apart(
            north_america,
            &["(212) 555-0123", "1-212-555-0123", "212.555.0123"],
            &["112-555-0123", "212-055-0123", "212-511-0123", "292-555-0123", "555-0123"],
        );
    }

    #[test]
    fn national_numbers() {
        tells_apart(
            national,
            &["020 7946 0018", "01 42 34 56 78", "090-1234-5678"],
            &["20 7946 0018", "00 42 34 56 78", "0123"],
        );
        tells_apart(in_context, &["555-0123", "7946 0018"], &["555", "2020-01-02", "2001-2004", "1111111"]);
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(COUNTRIES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
