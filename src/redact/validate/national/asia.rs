//! Asia, Africa and Oceania.

use crate::redact::validate::date::Day;
use crate::redact::validate::digits::{alphanumerics, exactly, luhn, monotone, number, verhoeff, weighted};

fn pair(a: u8, b: u8) -> u32 {
    u32::from(a) * 10 + u32::from(b)
}

/// Indian Aadhaar (UIDAI): twelve digits, first 2-9, Verhoeff, no palindrome.
pub(in crate::redact) fn in_aadhaar(text: &str) -> bool {
    let Some(d) = exactly::<12>(text) else { return false };
    d[0] >= 2 && verhoeff(&d) && !d.iter().eq(d.iter().rev())
}

/// Indian PAN: five letters (the fourth is the holder's type), four digits, a letter. Its check
/// letter's rule is not public.
pub(in crate::redact) fn in_pan(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 10]>::try_from(c) else { return false };
    c[..5].iter().all(u8::is_ascii_uppercase)
        && b"ABCFGHJLPT".contains(&c[3])
        && c[5..9].iter().all(u8::is_ascii_digit)
        && c[5..9] != *b"0000"
        && c[9].is_ascii_uppercase()
}

/// Chinese resident identity number (GB 11643): province, birth date, ISO 7064 MOD 11-2.
pub(in crate::redact) fn cn_resident_id(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 18]>::try_from(c) else { return false };
    let (body, check) = (&c[..17], c[17]);
    if !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let d: Vec<u8> = body.iter().map(|c| c - b'0').collect();
    let [p1, p2, _, _, _, _, y1, y2, y3, y4, m1, m2, d1, d2, ..] = d.as_slice() else { return false };
    let year = number(&[*y1, *y2, *y3, *y4]) as u32;
    let sum = weighted(&d, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let wanted = match (12 - sum % 11) % 11 {
        10 => b'X',
        digit => b'0' + digit as u8,
    };
    let province = pair(*p1, *p2);
    let known = matches!(province, 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83);
    known && (1900..2030).contains(&year) && Day::new(year, pair(*m1, *m2), pair(*d1, *d2)).is_some() && check == wanted
}

/// Korean resident registration number: birth date, sex and century, and the check digit that numbers
/// given before October 2020 have.
pub(in crate::redact) fn kr_rrn(text: &str) -> bool {
    let Some(d) = exactly::<13>(text) else { return false };
    let rest = weighted(&d[..12], &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11;
    kr_rrn_form(text) && (11 - rest) % 10 == u32::from(d[12])
}

/// The same number without its check digit's rule: for a context that already says what it is.
pub(in crate::redact) fn kr_rrn_form(text: &str) -> bool {
    let Some(d) = exactly::<13>(text) else { return false };
    (1..=8).contains(&d[6]) && Day::two_digit_year(pair(d[0], d[1]), pair(d[2], d[3]), pair(d[4], d[5]))
}

/// Japanese individual number (My Number): twelve digits, mod 11.
pub(in crate::redact) fn jp_my_number(text: &str) -> bool {
    let Some(d) = exactly::<12>(text) else { return false };
    let check = match weighted(&d[..11], &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    check == u32::from(d[11]) && !monotone(&d)
}

/// Turkish identity number: eleven digits, two check digits.
pub(in crate::redact) fn tr_tckn(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    let odd = weighted(&d, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let even = weighted(&d, &[0, 1, 0, 1, 0, 1, 0, 1]);
    let tenth = (odd * 7 + 90 - even) % 10;
    d[0] != 0 && tenth == u32::from(d[9]) && (odd + even + tenth) % 10 == u32::from(d[10]) && !monotone(&d)
}

/// Singapore NRIC or FIN: S, T, F, G or M, seven digits, a check letter.
pub(in crate::redact) fn sg_nric(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 9]>::try_from(c) else { return false };
    if !c[1..8].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let d: Vec<u8> = c[1..8].iter().map(|c| c - b'0').collect();
    let sum = weighted(&d, &[2, 7, 6, 5, 4, 3, 2]);
    let (shift, letters): (u32, &[u8; 11]) = match c[0] {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    let place = (sum + shift) % 11;
    // Series M counts its letters from the other end.
    let place = if c[0] == b'M' { 10 - place } else { place };
    letters.get(place as usize) == Some(&c[8])
}

/// Hong Kong identity card: one or two letters, six digits, mod 11.
pub(in crate::redact) fn hk_id(text: &str) -> bool {
    let bare: String = text.chars().filter(|c| !matches!(c, '(' | ')')).collect();
    let Some(c) = alphanumerics(&bare) else { return false };
    let Some((check, body)) = c.split_last() else { return false };
    let letters = body.iter().take_while(|c| c.is_ascii_uppercase()).count();
    let digits = body.iter().skip(letters).filter(|c| c.is_ascii_digit()).count();
    if !matches!(letters, 1 | 2) || digits != 6 || body.len() != letters + 6 {
        return false;
    }
    let value = |c: &u8| if c.is_ascii_digit() { u32::from(c - b'0') } else { u32::from(c - b'A') + 10 };
    // A single letter comes after a blank worth 36.
    let blank = if letters == 1 { 36 * 9 } else { 0 };
    let sum: u32 = blank + body.iter().rev().zip(2u32..).map(|(c, weight)| value(c) * weight).sum::<u32>();
    let check = match check {
        b'A' => 10,
        b'0'..=b'9' => u32::from(check - b'0'),
        _ => return false,
    };
    (sum + check).is_multiple_of(11)
}

/// Taiwanese identity number: a county letter, sex, seven digits, weights, mod 10.
pub(in crate::redact) fn tw_national_id(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Ok(c) = <[u8; 10]>::try_from(c) else { return false };
    // The counties in the order of their codes, from 10.
    let Some(code) = b"ABCDEFGHJKLMNPQRSTUVXYWZIO".iter().position(|&letter| letter == c[0]) else { return false };
    if !c[1..].iter().all(u8::is_ascii_digit) || !matches!(c[1], b'1' | b'2' | b'8' | b'9') {
        return false;
    }
    let code = code as u32 + 10;
    let d: Vec<u8> = c[1..].iter().map(|c| c - b'0').collect();
    (code / 10 + code % 10 * 9 + weighted(&d, &[8, 7, 6, 5, 4, 3, 2, 1, 1])).is_multiple_of(10)
}

/// Thai national identity number: thirteen digits, first 1-8, mod 11.
pub(in crate::redact) fn th_national_id(text: &str) -> bool {
    let Some(d) = exactly::<13>(text) else { return false };
    let sum = weighted(&d[..12], &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    (1..=8).contains(&d[0]) && (11 - sum % 11) % 10 == u32::from(d[12]) && !monotone(&d)
}

/// Israeli identity number: nine digits, Luhn.
pub(in crate::redact) fn il_teudat_zehut(text: &str) -> bool {
    exactly::<9>(text).is_some_and(|d| luhn(&d) && !monotone(&d))
}

/// Australian tax file number: nine digits, weights, mod 11.
pub(in crate::redact) fn au_tfn(text: &str) -> bool {
    exactly::<9>(text).is_some_and(|d| weighted(&d, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11) && !monotone(&d))
}

/// Australian Medicare card: ten digits, first 2-6, weights, mod 10.
pub(in crate::redact) fn au_medicare(text: &str) -> bool {
    exactly::<10>(text).is_some_and(|d| {
        (2..=6).contains(&d[0]) && weighted(&d[..8], &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == u32::from(d[8]) && d[9] != 0
    })
}

/// Australian business number: eleven digits, one taken from the first, weights, mod 89.
pub(in crate::redact) fn au_abn(text: &str) -> bool {
    exactly::<11>(text).is_some_and(|mut d| {
        let first = d[0];
        d[0] = first.saturating_sub(1);
        first != 0 && weighted(&d, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).is_multiple_of(89)
    })
}

/// South African identity number: birth date, citizenship 0-2, Luhn.
pub(in crate::redact) fn za_id(text: &str) -> bool {
    let Some(d) = exactly::<13>(text) else { return false };
    Day::two_digit_year(pair(d[0], d[1]), pair(d[2], d[3]), pair(d[4], d[5])) && d[10] <= 2 && luhn(&d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn indian_numbers() {
        tells_apart(in_aadhaar, &["2341 2341 2346"], &["2341 2341 2345", "1341 2341 2346"]);
        tells_apart(in_pan, &["ABCPE1234F"], &["ABCDE1234F", "ABCPE0000F", "ABCPE12345"]);
    }

    #[test]
    fn east_asian_numbers() {
        tells_apart(
            cn_resident_id,
            &["11010519491231002X"],
            &["110105194912310021", "11010519491331002X", "99010519491231002X"],
        );
        tells_apart(kr_rrn_form, &["900101-1234567"], &["901301-1234567", "900101-9234567"]);
        tells_apart(kr_rrn, &["900101-1234568"], &["900101-1234567"]);
        tells_apart(jp_my_number, &["1234 5678 9018"], &["1234 5678 9012", "000000000000"]);
        tells_apart(hk_id, &["A123456(3)", "AB987654(3)"], &["A123456(4)", "123456(3)"]);
        tells_apart(tw_national_id, &["A123456789"], &["A123456788", "A323456789"]);
    }

    #[test]
    fn south_east_asian_numbers() {
        tells_apart(sg_nric, &["S1234567D", "F1234567N", "G1234567X", "T1234567J"], &["S1234567A", "X1234567D"]);
        tells_apart(th_national_id, &["1-1014-00123-45-1"], &["1-1014-00123-45-8", "1111111111111"]);
    }

    #[test]
    fn the_others() {
        tells_apart(tr_tckn, &["10000000146"], &["10000000147", "00000000146"]);
        tells_apart(il_teudat_zehut, &["123456782"], &["123456789"]);
        tells_apart(au_tfn, &["123 456 782"], &["123 456 789"]);
        tells_apart(au_medicare, &["2123 45670 1"], &["2123 45671 1", "7123 45670 1"]);
        tells_apart(au_abn, &["51 824 753 556"], &["51 824 753 557"]);
        tells_apart(za_id, &["8001015009087"], &["8001015009088", "8013015009087"]);
    }
}
