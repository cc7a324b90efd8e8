//! Europe without its north.

use crate::redact::validate::date::Day;
use crate::redact::validate::digits::{alphanumerics, digits, exactly, mod_11_10, monotone, number, weighted};

fn pair(a: u8, b: u8) -> u32 {
    u32::from(a) * 10 + u32::from(b)
}

/// Spanish DNI or NIE: up to eight digits (X, Y, Z stand for 0, 1, 2), a letter by mod 23.
pub(in crate::redact) fn es_dni(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 9]>::try_from(c) else { return false };
    let first = match c[0] {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        b'0'..=b'9' => c[0] - b'0',
        _ => return false,
    };
    if !c[1..8].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let d: Vec<u8> = std::iter::once(first).chain(c[1..8].iter().map(|c| c - b'0')).collect();
    let place = (number(&d) % 23) as usize;
    number(&d) != 0 && b"TRWAGMYFPDXBNJZSQVHLCKE".get(place) == Some(&c[8])
}

/// Italian codice fiscale: letters of the name, birth date (day + 40 for women), place, check letter.
/// Digits replaced by letters for namesakes (omocodia) are read.
pub(in crate::redact) fn it_codice_fiscale(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 16]>::try_from(c) else { return false };
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        _ => b"LMNPQRSTUV".iter().position(|&letter| letter == c).map(|at| at as u8),
    };
    let number = |at: &[u8]| at.iter().map(|&c| digit(c)).collect::<Option<Vec<u8>>>();
    let (Some(year), Some(day), Some(_)) = (number(&c[6..8]), number(&c[9..11]), number(&c[12..15])) else {
        return false;
    };
    let Some(month) = b"ABCDEHLMPRST".iter().position(|&letter| letter == c[8]) else { return false };
    let ([y1, y2], [d1, d2]) = (year.as_slice(), day.as_slice()) else { return false };
    let day = pair(*d1, *d2);
    let day = if day > 40 { day - 40 } else { day };
    // Values of odd places, for 0 or A, 1 or B and so on.
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let rank = |c: u8| usize::from(if c.is_ascii_digit() { c - b'0' } else { c - b'A' });
    let sum: u32 = c[..15]
        .iter()
        .enumerate()
        .map(|(at, &c)| if at % 2 == 0 { ODD.get(rank(c)).copied().unwrap_or(0) } else { rank(c) as u32 })
        .sum();
    c[..6].iter().all(u8::is_ascii_uppercase)
        && c[11].is_ascii_uppercase()
        && Day::two_digit_year(pair(*y1, *y2), month as u32 + 1, day)
        && (sum % 26) as u8 + b'A' == c[15]
}

/// Polish PESEL: birth date with the century in the month, weights, mod 10.
pub(in crate::redact) fn pl_pesel(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    let month = pair(d[2], d[3]);
    let year = pair(d[0], d[1])
        + match month / 20 {
            0 => 1900,
            1 => 2000,
            2 => 2100,
            3 => 2200,
            _ => 1800,
        };
    let sum = weighted(&d[..10], &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    Day::new(year, month % 20, pair(d[4], d[5])).is_some() && (10 - sum % 10) % 10 == u32::from(d[10])
}

/// Dutch BSN: nine digits, the eleven test.
pub(in crate::redact) fn nl_bsn(text: &str) -> bool {
    let Some(d) = exactly::<9>(text) else { return false };
    let sum = weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * u32::from(d[8]);
    sum.is_multiple_of(11) && !monotone(&d)
}

/// Belgian national number: birth date, serial, 97 minus the rest; from 2000 on with a 2 in front.
pub(in crate::redact) fn be_national_number(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    let (body, check) = (number(&d[..9]), number(&d[9..]));
    let month = pair(d[2], d[3]);
    // The BIS register adds 20 or 40 to the month.
    let dated = Day::two_digit_year(pair(d[0], d[1]), month % 20, pair(d[4], d[5]));
    month < 60 && dated && (97 - body % 97 == check || 97 - (body + 2_000_000_000) % 97 == check)
}

/// French NIR: sex, year, month, department (2A and 2B for Corsica), commune, order, 97 minus the rest.
pub(in crate::redact) fn fr_nir(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 15]>::try_from(c) else { return false };
    let (plain, minus) = match (c[5], c[6]) {
        (b'2', b'A') => (*b"19", 0),
        (b'2', b'B') => (*b"18", 0),
        (a, b) => ([a, b], 0u64),
    };
    let mut c = c;
    [c[5], c[6]] = plain;
    if !c.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let d: Vec<u8> = c.iter().map(|c| c - b'0').collect();
    let (Some(body), Some(key), [sex, _, _, m1, m2, ..]) = (d.get(..13), d.get(13..), d.as_slice()) else {
        return false;
    };
    matches!(sex, 1..=4 | 7 | 8)
        && matches!(pair(*m1, *m2), 1..=12 | 20..=42 | 50..=99)
        && 97 - (number(body) - minus) % 97 == number(key)
}

/// German Steuer-ID: eleven digits, one digit of the first ten twice or thrice, ISO 7064 MOD 11,10.
pub(in crate::redact) fn de_steuer_id(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    let times = |digit: u8| d[..10].iter().filter(|&&other| other == digit).count();
    let repeated = (0..10u8).filter(|&digit| times(digit) > 1).count();
    let most = (0..10u8).map(times).max().unwrap_or(0);
    d[0] != 0 && repeated == 1 && most <= 3 && mod_11_10(&d)
}

/// Austrian social insurance number: serial, check digit, birth date, weights, mod 11.
pub(in crate::redact) fn at_svnr(text: &str) -> bool {
    let Some(d) = exactly::<10>(text) else { return false };
    let sum = weighted(&d, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]);
    d[0] != 0
        && sum % 11 == u32::from(d[3])
        && (Day::two_digit_year(pair(d[8], d[9]), pair(d[6], d[7]), pair(d[4], d[5])) || pair(d[6], d[7]) > 12)
}

/// Swiss AHV/AVS number: 756 and an EAN-13 check digit.
pub(in crate::redact) fn ch_ahv(text: &str) -> bool {
    let Some(d) = exactly::<13>(text) else { return false };
    let sum = weighted(&d[..12], &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
    d[..3] == [7, 5, 6] && (10 - sum % 10) % 10 == u32::from(d[12])
}

/// UK NHS number: ten digits, mod 11.
pub(in crate::redact) fn uk_nhs(text: &str) -> bool {
    let Some(d) = exactly::<10>(text) else { return false };
    let check = 11 - weighted(&d[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    (if check == 11 { 0 } else { check }) == u32::from(d[9]) && !monotone(&d)
}

/// UK national insurance number (HMRC NIM39110): prefix rules, six digits, A to D. No check digit.
pub(in crate::redact) fn uk_nino(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 9]>::try_from(c) else { return false };
    c[..2].iter().all(u8::is_ascii_uppercase)
        && !b"DFIQUV".contains(&c[0])
        && !b"DFIOQUV".contains(&c[1])
        && !matches!(&c[..2], b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ")
        && c[2..8].iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(&c[8])
}

/// Irish PPS number: seven digits, a check letter by mod 23, perhaps a second letter.
pub(in crate::redact) fn ie_pps(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let (Some(body), Some(check)) = (c.get(..7), c.get(7)) else { return false };
    let extra = match c.get(8) {
        None => 0,
        Some(letter @ b'A'..=b'I') => u32::from(letter - b'A') + 1,
        Some(b'W') => 0,
        Some(_) => return false,
    };
    if c.len() > 9 || !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let d: Vec<u8> = body.iter().map(|c| c - b'0').collect();
    let rest = (weighted(&d, &[8, 7, 6, 5, 4, 3, 2]) + extra * 9) % 23;
    *check == if rest == 0 { b'W' } else { b'A' + rest as u8 - 1 } && number(&d) != 0
}

/// Portuguese NIF: nine digits, a taxpayer's first digit, mod 11.
pub(in crate::redact) fn pt_nif(text: &str) -> bool {
    let Some(d) = exactly::<9>(text) else { return false };
    let check = match weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    matches!(d[0], 1..=3 | 5 | 6 | 8 | 9) && check == u32::from(d[8]) && !monotone(&d)
}

/// Romanian CNP: sex and century, birth date, county, mod 11.
pub(in crate::redact) fn ro_cnp(text: &str) -> bool {
    let Some(d) = exactly::<13>(text) else { return false };
    let check = match weighted(&d[..12], &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11 {
        10 => 1,
        rest => rest,
    };
    d[0] != 0
        && Day::two_digit_year(pair(d[1], d[2]), pair(d[3], d[4]), pair(d[5], d[6]))
        && matches!(pair(d[7], d[8]), 1..=52 | 70 | 80..=99)
        && check == u32::from(d[12])
}

/// Bulgarian EGN: birth date with the century in the month, mod 11.
pub(in crate::redact) fn bg_egn(text: &str) -> bool {
    let Some(d) = exactly::<10>(text) else { return false };
    let month = pair(d[2], d[3]);
    let check = weighted(&d[..9], &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10;
    let dated = Day::two_digit_year(pair(d[0], d[1]), month % 20, pair(d[4], d[5]));
    month < 53 && dated && check == u32::from(d[9])
}

/// Czech or Slovak birth number: birth date (month + 50 for women, + 20 when a day ran out), mod 11.
/// Ten digits only: the nine digits of before 1954 have no check.
pub(in crate::redact) fn cz_rodne_cislo(text: &str) -> bool {
    let Some(d) = exactly::<10>(text) else { return false };
    let month = pair(d[2], d[3]);
    let month = if month > 50 { month - 50 } else { month };
    let month = if month > 20 { month - 20 } else { month };
    let body = number(&d[..9]) % 11 % 10;
    Day::two_digit_year(pair(d[0], d[1]), month, pair(d[4], d[5])) && body == u64::from(d[9])
}

/// Croatian OIB: eleven digits, ISO 7064 MOD 11,10.
pub(in crate::redact) fn hr_oib(text: &str) -> bool {
    digits(text).is_some_and(|d| d.len() == 11 && mod_11_10(&d) && !monotone(&d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn iberian_and_italian_numbers() {
        tells_apart(es_dni, &["12345678Z", "X1234567L", "12345678-z"], &["12345678A", "W1234567L", "00000000T"]);
        tells_apart(
            it_codice_fiscale,
            &["RSSMRA85T10A562S"],
            &["RSSMRA85T10A562T", "RSSMRA85F10A562S", "RSSMRA85T32A562S"],
        );
        tells_apart(pt_nif, &["123456789"], &["123456788", "423456789"]);
    }

    #[test]
    fn western_numbers() {
        tells_apart(nl_bsn, &["111222333", "123456782"], &["111222334", "000000000"]);
        tells_apart(be_national_number, &["85.07.30-033 28", "17073003384"], &["85.07.30-033 29", "85.13.30-033 28"]);
        tells_apart(fr_nir, &["2 55 08 14 168 025 38"], &["2 55 08 14 168 025 39", "5 55 08 14 168 025 38"]);
        tells_apart(ie_pps, &["1234567T", "1234567FA"], &["1234567A", "12345678"]);
    }

    #[test]
    fn british_numbers() {
        tells_apart(uk_nhs, &["943 476 5919"], &["943 476 5910", "1111111111"]);
        tells_apart(uk_nino, &["AB 12 34 56 C", "PR123612C"], &["QQ 12 34 56 C", "AB 12 34 56 E", "GB123456A"]);
    }

    #[test]
    fn central_numbers() {
        tells_apart(de_steuer_id, &["86095742719", "65929970489"], &["86095742718", "12345678903"]);
        tells_apart(at_svnr, &["1237 010180"], &["1238 010180"]);
        tells_apart(ch_ahv, &["756.9217.0769.85"], &["756.9217.0769.84", "755.9217.0769.85"]);
        tells_apart(pl_pesel, &["44051401458", "02070803628"], &["44051401459", "44153201458"]);
        tells_apart(cz_rodne_cislo, &["710319/2745"], &["710319/2746", "711319/2745"]);
    }

    #[test]
    fn eastern_numbers() {
        tells_apart(ro_cnp, &["1630615123457"], &["1630615123458", "1631315123457"]);
        tells_apart(bg_egn, &["7523169263"], &["7523169264"]);
        tells_apart(hr_oib, &["33392005961"], &["33392005962"]);
    }
}
