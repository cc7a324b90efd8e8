//! What the number checks share: digits out of a written number, weights, Luhn, Verhoeff, ISO 7064.

/// The characters that people put between the digits of a number.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '/' | '\u{a0}' | '\u{2010}'..='\u{2013}')
}

/// The digits of a written number, separators dropped. `None`: another character, or over 32 digits.
pub(super) fn digits(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(20);
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) if out.len() < 32 => out.push(digit as u8),
            None if is_separator(c) => {}
            _ => return None,
        }
    }
    Some(out)
}

/// Exactly `N` digits, separators dropped.
pub(super) fn exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    digits(text)?.try_into().ok()
}

/// The letters and digits of a written number in upper case, separators dropped. `None`: another
/// character, or over 40 of them.
pub(super) fn alphanumerics(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(24);
    for c in text.chars() {
        if c.is_ascii_alphanumeric() && out.len() < 40 {
            out.push(c.to_ascii_uppercase() as u8);
        } else if !is_separator(c) {
            return None;
        }
    }
    Some(out)
}

/// The sum of digit times weight, as far as both go.
pub(super) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(&digit, &weight)| u32::from(digit) * weight).sum()
}

/// The digits as one number. Callers pass at most 18.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0u64, |sum, &digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit)))
}

/// All digits the same: a number nobody has.
pub(super) fn monotone(digits: &[u8]) -> bool {
    digits.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
}

/// ISO/IEC 7812-1 annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| {
            let digit = u32::from(digit);
            match (at % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Luhn over a written number of at least two digits.
pub(super) fn luhn_text(text: &str) -> bool {
    digits(text).is_some_and(|d| d.len() >= 2 && luhn(&d))
}

/// Verhoeff's check over the dihedral group D5.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    // d(j, k): rotations below 5, reflections from 5 on.
    fn product(j: u8, k: u8) -> u8 {
        match (j < 5, k < 5) {
            (true, true) => (j + k) % 5,
            (true, false) => (j + k - 5) % 5 + 5,
            (false, true) => (j - 5 + 5 - k) % 5 + 5,
            (false, false) => (j - 5 + 5 - (k - 5)) % 5,
        }
    }
    // One step of the permutation p; its powers are applied by place.
    fn permute(digit: u8) -> u8 {
        match digit {
            0 => 1,
            1 => 5,
            2 => 7,
            3 => 6,
            4 => 2,
            5 => 8,
            6 => 3,
            7 => 0,
            8 => 9,
            _ => 4,
        }
    }
    digits
        .iter()
        .rev()
        .enumerate()
        .fold(0, |check, (place, &digit)| product(check, (0..place % 8).fold(digit, |d, _| permute(d))))
        == 0
}

/// ISO/IEC 7064 MOD 11,10 over all digits, the check digit last.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10u32, |product, &digit| {
        let sum = (product + u32::from(digit)) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*check)
}

/// ISO/IEC 7064 MOD 97,10 over letters (A = 10) and digits, as IBAN uses it.
pub(super) fn mod_97(characters: impl Iterator<Item = u8>) -> Option<u32> {
    characters.into_iter().try_fold(0u32, |rest, c| match c {
        b'0'..=b'9' => Some((rest * 10 + u32::from(c - b'0')) % 97),
        b'A'..=b'Z' => Some((rest * 100 + u32::from(c - b'A') + 10) % 97),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_knows_the_standards_example() {
        assert!(luhn_text("7992 7398 713"));
        assert!(!luhn_text("79927398710"));
        assert!(!luhn_text("7"));
    }

    #[test]
    fn verhoeff_knows_the_published_example() {
        assert!(verhoeff(&digits("2363").unwrap()));
        assert!(!verhoeff(&digits("2364").unwrap()));
        assert!(!verhoeff(&digits("3263").unwrap()), "a transposition shows");
    }

    #[test]
    fn separators_go_and_others_refuse() {
        assert_eq!(digits("1-2.3/4 5"), Some(vec![1, 2, 3, 4, 5]));
        assert_eq!(digits("12x"), None);
        assert_eq!(exactly::<3>("1 2 3"), Some([1, 2, 3]));
        assert_eq!(exactly::<3>("1 2"), None);
        assert_eq!(digits(&"1".repeat(33)), None);
    }
}
