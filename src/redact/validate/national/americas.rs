//! The Americas.

use crate::redact::validate::date::Day;
use crate::redact::validate::digits::{alphanumerics, exactly, luhn, monotone, number, weighted};

/// US social security number (SSA, post-2011 rules): area not 000, 666 or 9xx, group not 00, serial not
/// 0000; not one of the numbers that were printed in public. No check digit.
pub(in crate::redact) fn us_ssn(text: &str) -> bool {
    let Some(d) = exactly::<9>(text) else { return false };
    let [a, b, c, d4, d5, serial @ ..] = d;
    let area = number(&[a, b, c]);
    let printed = matches!(number(&d), 78_051_120 | 219_099_999 | 457_555_462 | 123_456_789 | 987_654_321);
    area != 0 && area != 666 && area < 900 && (d4, d5) != (0, 0) && serial != [0; 4] && !printed && !monotone(&d)
}

/// US individual taxpayer identification number (IRS): 9xx, fourth and fifth digit 50-65, 70-88, 90-92, 94-99.
pub(in crate::redact) fn us_itin(text: &str) -> bool {
    let Some(d) = exactly::<9>(text) else { return false };
    let group = d[3] * 10 + d[4];
    d[0] == 9 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// US national provider identifier (45 CFR 162.406): ten digits, Luhn with the prefix 80840.
pub(in crate::redact) fn us_npi(text: &str) -> bool {
    let Some(d) = exactly::<10>(text) else { return false };
    let full: Vec<u8> = [8, 0, 8, 4, 0].into_iter().chain(d).collect();
    matches!(d[0], 1 | 2) && luhn(&full) && !monotone(&d[1..9])
}

/// ABA routing transit number: Federal Reserve prefix, weights 3 7 1, mod 10.
pub(in crate::redact) fn aba_routing(text: &str) -> bool {
    let Some(d) = exactly::<9>(text) else { return false };
    let prefix = d[0] * 10 + d[1];
    matches!(prefix, 1..=12 | 21..=32 | 61..=72 | 80)
        && weighted(&d, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
        && !monotone(&d)
}

/// Canadian social insurance number: Luhn, first digit neither 0 nor 8.
pub(in crate::redact) fn ca_sin(text: &str) -> bool {
    exactly::<9>(text).is_some_and(|d| !matches!(d[0], 0 | 8) && luhn(&d) && !monotone(&d))
}

/// A Brazilian check digit: 11 minus the weighted sum mod 11, ten and eleven become 0.
fn br_check(digits: &[u8], weights: &[u32]) -> u8 {
    match weighted(digits, weights) % 11 {
        0 | 1 => 0,
        rest => (11 - rest) as u8,
    }
}

/// Brazilian CPF: eleven digits, two check digits mod 11.
pub(in crate::redact) fn br_cpf(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    !monotone(&d)
        && br_check(&d[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) == d[9]
        && br_check(&d[..10], &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == d[10]
}

/// Brazilian CNPJ: fourteen digits, two check digits mod 11.
pub(in crate::redact) fn br_cnpj(text: &str) -> bool {
    let Some(d) = exactly::<14>(text) else { return false };
    !monotone(&d)
        && br_check(&d[..12], &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == d[12]
        && br_check(&d[..13], &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == d[13]
}

/// Argentine CUIT or CUIL: a type prefix, eight digits, mod 11.
pub(in crate::redact) fn ar_cuit(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    let check = match 11 - weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11 {
        11 => 0,
        10 => 9,
        rest => rest,
    };
    matches!(d[0] * 10 + d[1], 20 | 23 | 24 | 25 | 26 | 27 | 30 | 33 | 34) && check == u32::from(d[10])
}

/// Chilean RUT: mod 11 with weights 2 to 7 from the right, K for ten.
pub(in crate::redact) fn cl_rut(text: &str) -> bool {
    let Some(characters) = alphanumerics(text) else { return false };
    let Some((check, body)) = characters.split_last() else { return false };
    if !(7..=8).contains(&body.len()) || !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let digits: Vec<u8> = body.iter().rev().map(|c| c - b'0').collect();
    let wanted = match 11 - weighted(&digits, &[2, 3, 4, 5, 6, 7, 2, 3]) % 11 {
        11 => b'0',
        10 => b'K',
        rest => b'0' + rest as u8,
    };
    *check == wanted && !monotone(&digits)
}

/// Mexican CURP (RENAPO): four letters, birth date, sex, state, three consonants, homonym, check digit.
pub(in crate::redact) fn mx_curp(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 18]>::try_from(c) else { return false };
    let letters = |range: &[u8]| range.iter().all(u8::is_ascii_uppercase);
    let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
    if !letters(&c[..4]) || !digits(&c[4..10]) || !matches!(c[10], b'H' | b'M' | b'X') || !letters(&c[11..16]) {
        return false;
    }
    let n: Vec<u8> = c[4..10].iter().map(|c| c - b'0').collect();
    let [y1, y2, m1, m2, d1, d2] = n.as_slice() else { return false };
    let pair = |a: &u8, b: &u8| u32::from(a * 10 + b);
    // The alphabet has Ñ after N, which pushes the later letters by one.
    let value = |c: u8| match c {
        b'0'..=b'9' => u32::from(c - b'0'),
        b'A'..=b'N' => u32::from(c - b'A') + 10,
        _ => u32::from(c.saturating_sub(b'A')) + 11,
    };
    let sum: u32 = c[..17].iter().zip(2..=18u32).map(|(&c, place)| value(c) * (20 - place)).sum();
    Day::two_digit_year(pair(y1, y2), pair(m1, m2), pair(d1, d2)) && (10 - sum % 10) % 10 == value(c[17])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn social_security_numbers() {
        tells_apart(
            us_ssn,
            &["536-90-4399", "536 90 4399", "001-01-0001"],
            &["000-12-3456", "666-12-3456", "900-12-3456", "536-00-4399", "536-90-0000", "078-05-1120", "111-11-1111"],
        );
        tells_apart(us_itin, &["912-70-1234", "900 99 0000"], &["912-93-1234", "812-70-1234"]);
    }

    #[test]
    fn north_american_registers() {
        tells_apart(us_npi, &["1234567893"], &["1234567890", "3234567893"]);
        tells_apart(aba_routing, &["011000015", "122105155"], &["011000016", "990000015", "000000000"]);
        tells_apart(ca_sin, &["130 692 544"], &["046 454 286", "130 692 545"]);
    }

    #[test]
    fn latin_american_numbers() {
        tells_apart(br_cpf, &["529.982.247-25", "11144477735"], &["529.982.247-26", "111.111.111-11"]);
        tells_apart(br_cnpj, &["11.222.333/0001-81", "11444777000161"], &["11.222.333/0001-82", "00000000000000"]);
        tells_apart(ar_cuit, &["20-12345678-6"], &["20-12345678-7", "99-12345678-6"]);
        tells_apart(cl_rut, &["12.345.678-5", "7654321-6"], &["12.345.678-6", "1-9"]);
        tells_apart(mx_curp, &["HEGG560427MVZRRL04"], &["HEGG560427MVZRRL05", "HEGG561327MVZRRL04"]);
    }
}
