//! Travel documents.

use crate::redact::validate::digits::alphanumerics;

/// A document number whose last digit checks the others (ICAO 9303 part 3: weights 7 3 1, mod 10), as
/// German passports and identity cards print it.
pub(in crate::redact) fn icao_document(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Some((check, body)) = c.split_last() else { return false };
    let value = |c: &u8| if c.is_ascii_digit() { u32::from(c - b'0') } else { u32::from(c - b'A') + 10 };
    let sum: u32 = body.iter().zip([7u32, 3, 1].into_iter().cycle()).map(|(c, weight)| value(c) * weight).sum();
    body.len() == 9 && check.is_ascii_digit() && sum % 10 == u32::from(check - b'0')
}

/// A number that can be in a passport: six to nine letters and digits, at least four digits, not all
/// the same. States choose the form, so a context has to say what it is.
pub(in crate::redact) fn passport_number(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let digits = c.iter().filter(|c| c.is_ascii_digit()).count();
    (6..=10).contains(&c.len()) && digits >= 4 && c.windows(2).any(|pair| matches!(pair, [a, b] if a != b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_passes() {
        // ICAO 9303 part 3, appendix A: AB2134 filled up gives 5.
        assert!(icao_document("L898902C36"), "the specimen of part 4");
        assert!(!icao_document("L898902C37"));
        assert!(!icao_document("L898902C"));
    }

    #[test]
    fn passport_numbers_have_digits() {
        assert!(passport_number("C01X00T47"));
        assert!(passport_number("533380006"));
        assert!(!passport_number("PASSPORT"));
        assert!(!passport_number("000000000"));
        assert!(!passport_number("12345"));
    }
}
