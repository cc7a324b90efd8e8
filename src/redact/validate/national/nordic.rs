//! The Nordic and Baltic countries.

use crate::redact::validate::date::Day;
use crate::redact::validate::digits::{alphanumerics, digits, exactly, luhn, weighted};

fn pair(a: u8, b: u8) -> u32 {
    u32::from(a) * 10 + u32::from(b)
}

/// Swedish personnummer or samordningsnummer (day + 60): ten or twelve digits, Luhn over the last ten.
pub(in crate::redact) fn se_personnummer(text: &str) -> bool {
    let Some(d) = digits(&text.replace('+', "-")) else { return false };
    let short = match d.as_slice() {
        [1, 8 | 9, rest @ ..] | [2, 0, rest @ ..] if d.len() == 12 => rest,
        all if all.len() == 10 => all,
        _ => return false,
    };
    let [y1, y2, m1, m2, d1, d2, ..] = short else { return false };
    let day = pair(*d1, *d2);
    let day = if day > 60 { day - 60 } else { day };
    Day::two_digit_year(pair(*y1, *y2), pair(*m1, *m2), day) && luhn(short)
}

/// Finnish henkilötunnus: birth date, century sign, serial from 002, check character by mod 31.
pub(in crate::redact) fn fi_hetu(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let Ok(c) = <[u8; 11]>::try_from(upper.as_bytes()) else { return false };
    let sign = c[6];
    let mut body: Vec<u8> = c[..6].to_vec();
    body.extend_from_slice(&c[7..10]);
    let Some(d) = digits(&String::from_utf8_lossy(&body)) else { return false };
    let [d1, d2, m1, m2, y1, y2, serial @ ..] = d.as_slice() else { return false };
    let century = match sign {
        b'+' => 1800,
        b'-' | b'U'..=b'Y' => 1900,
        b'A'..=b'F' => 2000,
        _ => return false,
    };
    let whole = d.iter().fold(0u32, |sum, &digit| sum * 10 + u32::from(digit));
    let wanted = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get((whole % 31) as usize);
    d.len() == 9
        && !matches!(serial, [0, 0, 0 | 1])
        && Day::new(century + pair(*y1, *y2), pair(*m1, *m2), pair(*d1, *d2)).is_some()
        && wanted == Some(&c[10])
}

/// Norwegian fødselsnummer or D-number (day + 40): birth date, two check digits mod 11.
pub(in crate::redact) fn no_fodselsnummer(text: &str) -> bool {
    let Some(d) = exactly::<11>(text) else { return false };
    let check = |sum: u32| (11 - sum % 11) % 11;
    let first = check(weighted(&d[..9], &[3, 7, 6, 1, 8, 9, 4, 5, 2]));
    let second = check(weighted(&d[..10], &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]));
    let day = pair(d[0], d[1]);
    let day = if day > 40 { day - 40 } else { day };
    Day::two_digit_year(pair(d[4], d[5]), pair(d[2], d[3]), day)
        && first == u32::from(d[9])
        && second == u32::from(d[10])
}

/// Danish CPR number: a birth date. Numbers given since 2007 have no check digit.
pub(in crate::redact) fn dk_cpr(text: &str) -> bool {
    exactly::<10>(text).is_some_and(|d| Day::two_digit_year(pair(d[4], d[5]), pair(d[2], d[3]), pair(d[0], d[1])))
}

/// Estonian or Lithuanian personal code: sex and century, birth date, two rounds of mod 11.
pub(in crate::redact) fn ee_isikukood(text: &str) -> bool {
    let Some(c) = alphanumerics(text) else { return false };
    let Some(d) = exactly::<11>(&String::from_utf8_lossy(&c)) else { return false };
    let first = weighted(&d[..10], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
    let check = if first == 10 { weighted(&d[..10], &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10 } else { first };
    (1..=8).contains(&d[0])
        && Day::two_digit_year(pair(d[1], d[2]), pair(d[3], d[4]), pair(d[5], d[6]))
        && check == u32::from(d[10])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::validate::tells_apart;

    #[test]
    fn published_examples_pass_and_others_fail() {
        tells_apart(se_personnummer, &["811228-9874", "19811228-9874", "670919-9530"], &["811228-9875", "811328-9874"]);
        tells_apart(fi_hetu, &["131052-308T", "131052-308t"], &["131052-308U", "311352-308T", "131052308T"]);
        tells_apart(no_fodselsnummer, &["01010750160", "17054026641"], &["01010750161", "32010750160"]);
        tells_apart(dk_cpr, &["211062-5629", "0107613917"], &["321062-5629", "12345"]);
        tells_apart(ee_isikukood, &["37605030299", "33309240064"], &["37605030298", "97605030299"]);
    }
}
