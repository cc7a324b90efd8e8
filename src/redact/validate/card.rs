//! Payment cards and bank accounts.

use super::digits::{alphanumerics, digits, luhn, mod_97, monotone, number};
use super::label::is_number_of;

/// Issuer ranges by the first six digits, both ends in, and the lengths they use (bit n: n digits).
/// Source: the networks' public issuer identification ranges (ISO/IEC 7812).
static ISSUERS: &[(u32, u32, u32)] = &[
    (100_000, 199_999, 1 << 15),                                         // UATP
    (213_100, 213_199, 1 << 15),                                         // JCB, old
    (220_000, 220_499, 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19),           // Mir
    (222_100, 272_099, 1 << 16),                                         // Mastercard, second range
    (300_000, 305_999, 1 << 14 | 1 << 16),                               // Diners Club
    (309_500, 309_599, 1 << 14 | 1 << 16),                               // Diners Club
    (340_000, 349_999, 1 << 15),                                         // American Express
    (352_800, 358_999, 1 << 16 | 1 << 19),                               // JCB
    (360_000, 369_999, 1 << 14 | 1 << 16),                               // Diners Club
    (370_000, 379_999, 1 << 15),                                         // American Express
    (380_000, 399_999, 1 << 14 | 1 << 16),                               // Diners Club
    (400_000, 499_999, 1 << 13 | 1 << 16 | 1 << 19),                     // Visa
    (500_000, 509_999, 1 << 16 | 1 << 18 | 1 << 19),                     // Maestro, Elo, Verve
    (510_000, 559_999, 1 << 16),                                         // Mastercard
    (560_000, 589_999, 1 << 12 | 1 << 13 | 1 << 16 | 1 << 18 | 1 << 19), // Maestro
    (601_100, 601_199, 1 << 16 | 1 << 19),                               // Discover
    (606_282, 606_282, 1 << 16),                                         // Hipercard
    (608_000, 608_999, 1 << 16),                                         // RuPay
    (620_000, 629_999, 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19),           // UnionPay
    (630_400, 639_999, 1 << 12 | 1 << 13 | 1 << 16 | 1 << 18 | 1 << 19), // Maestro
    (644_000, 659_999, 1 << 16 | 1 << 19),                               // Discover, RuPay, Elo
    (670_000, 679_999, 1 << 12 | 1 << 13 | 1 << 16 | 1 << 18 | 1 << 19), // Maestro
    (810_000, 817_199, 1 << 16 | 1 << 19),                               // UnionPay
];

/// A payment card number: an issuer's range, a length that issuer uses, Luhn.
///
/// UATP numbers pass only by length and Luhn; all other ranges are narrower. Digits without separators under a name that
/// counts or numbers something else (`"message_id": 4…`) are none: one such number in ten passes Luhn.
pub(super) fn credit_card(name: &str, text: &str) -> bool {
    let Some(d) = digits(text) else { return false };
    let Some(prefix) = d.get(..6) else { return false };
    let prefix = number(prefix) as u32;
    let fits = |lengths: u32| d.len() <= 19 && (lengths >> d.len()) & 1 == 1;
    let listed = ISSUERS.iter().any(|&(first, last, lengths)| (first..=last).contains(&prefix) && fits(lengths));
    let of_another = || text.bytes().all(|byte| byte.is_ascii_digit()) && is_number_of(name);
    listed && luhn(&d) && !monotone(&d) && !of_another()
}

/// A number that a word next to it calls a card: Luhn, twelve to nineteen digits, the first 2 to 6.
///
/// Short Maestro numbers and ranges that no public list has are found only this way.
pub(super) fn card_in_context(text: &str) -> bool {
    digits(text)
        .is_some_and(|d| (12..=19).contains(&d.len()) && matches!(d.first(), Some(2..=6)) && luhn(&d) && !monotone(&d))
}

/// Countries of the IBAN registry (SWIFT, ISO 13616) with the form of what follows the four first
/// characters: a count and a class, `n` digits, `a` letters, `c` either.
static IBAN_FORMS: &[(&[u8; 2], &str)] = &[
    (b"AD", "8n12c"),
    (b"AE", "19n"),
    (b"AL", "8n16c"),
    (b"AO", "21n"),
    (b"AT", "16n"),
    (b"AZ", "4a20c"),
    (b"BA", "16n"),
    (b"BE", "12n"),
    (b"BF", "2c22n"),
    (b"BG", "4a6n8c"),
    (b"BH", "4a14c"),
    (b"BI", "23n"),
    (b"BJ", "2c22n"),
    (b"BR", "23n1a1c"),
    (b"BY", "4c4n16c"),
    (b"CF", "23n"),
    (b"CG", "23n"),
    (b"CH", "5n12c"),
    (b"CI", "2a22n"),
    (b"CM", "23n"),
    (b"CR", "18n"),
    (b"CV", "21n"),
    (b"CY", "8n16c"),
    (b"CZ", "20n"),
    (b"DE", "18n"),
    (b"DJ", "23n"),
    (b"DK", "14n"),
    (b"DO", "4c20n"),
    (b"DZ", "22n"),
    (b"EE", "16n"),
    (b"EG", "25n"),
    (b"ES", "20n"),
    (b"FI", "14n"),
    (b"FK", "2a12n"),
    (b"FO", "14n"),
    (b"FR", "10n11c2n"),
    (b"GA", "23n"),
    (b"GB", "4a14n"),
    (b"GE", "2a16n"),
    (b"GI", "4a15c"),
    (b"GL", "14n"),
    (b"GQ", "23n"),
    (b"GR", "7n16c"),
    (b"GT", "4c20c"),
    (b"GW", "2c19n"),
    (b"HN", "4a20n"),
    (b"HR", "17n"),
    (b"HU", "24n"),
    (b"IE", "4a14n"),
    (b"IL", "19n"),
    (b"IQ", "4a15n"),
    (b"IR", "22n"),
    (b"IS", "22n"),
    (b"IT", "1a10n12c"),
    (b"JO", "4a4n18c"),
    (b"KM", "23n"),
    (b"KW", "4a22c"),
    (b"KZ", "3n13c"),
    (b"LB", "4n20c"),
    (b"LC", "4a24c"),
    (b"LI", "5n12c"),
    (b"LT", "16n"),
    (b"LU", "3n13c"),
    (b"LV", "4a13c"),
    (b"LY", "21n"),
    (b"MA", "24n"),
    (b"MC", "10n11c2n"),
    (b"MD", "2c18c"),
    (b"ME", "18n"),
    (b"MG", "23n"),
    (b"MK", "3n10c2n"),
    (b"ML", "2c22n"),
    (b"MN", "16n"),
    (b"MR", "23n"),
    (b"MT", "4a5n18c"),
    (b"MU", "4a19n3a"),
    (b"MZ", "21n"),
    (b"NE", "2a22n"),
    (b"NI", "4a20n"),
    (b"NL", "4a10n"),
    (b"NO", "11n"),
    (b"OM", "3n16c"),
    (b"PK", "4a16c"),
    (b"PL", "24n"),
    (b"PS", "4a21c"),
    (b"PT", "21n"),
    (b"QA", "4a21c"),
    (b"RO", "4a16c"),
    (b"RS", "18n"),
    (b"RU", "14n15c"),
    (b"SA", "2n18c"),
    (b"SC", "4a20n3a"),
    (b"SD", "14n"),
    (b"SE", "20n"),
    (b"SI", "15n"),
    (b"SK", "20n"),
    (b"SM", "1a10n12c"),
    (b"SN", "2a22n"),
    (b"SO", "19n"),
    (b"ST", "21n"),
    (b"SV", "4a20n"),
    (b"TD", "23n"),
    (b"TG", "2a22n"),
    (b"TL", "19n"),
    (b"TN", "20n"),
    (b"TR", "5n1n16c"),
    (b"UA", "6n19c"),
    (b"VA", "18n"),
    (b"VG", "4a16n"),
    (b"XK", "16n"),
    (b"YE", "4a4n18c"),
];

/// An International Bank Account Number: a country of the registry, its form, MOD 97,10 = 1.
pub(super) fn iban(text: &str) -> bool {
    let Some(characters) = alphanumerics(text) else { return false };
    let Some((head, body)) = characters.split_at_checked(4) else { return false };
    let [first, second, check @ ..] = head else { return false };
    let Some((_, form)) = IBAN_FORMS.iter().find(|(country, _)| **country == [*first, *second]) else { return false };
    check.iter().all(u8::is_ascii_digit) && fits(body, form) && mod_97(body.iter().chain(head).copied()) == Some(1)
}

/// The body's characters follow the form, and nothing is left over.
fn fits(body: &[u8], form: &str) -> bool {
    let mut body = body.iter();
    let mut count = 0usize;
    for part in form.bytes() {
        let class: fn(&u8) -> bool = match part {
            b'0'..=b'9' => {
                count = count * 10 + usize::from(part - b'0');
                continue;
            }
            b'n' => u8::is_ascii_digit,
            b'a' => u8::is_ascii_uppercase,
            _ => u8::is_ascii_alphanumeric,
        };
        if body.by_ref().take(count).filter(|c| class(c)).count() != count {
            return false;
        }
        count = 0;
    }
    body.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_test_cards_pass() {
        for card in [
            "4111 1111 1111 1111",
            "4012-8888-8888-1881",
            "4222222222222",
            "5555555555554444",
            "5105105105105100",
            "2223003122003222",
            "378282246310005",
            "371449635398431",
            "6011111111111117",
            "30569309025904",
            "3566002020360505",
            "6200000000000005",
            "6759649826438453",
        ] {
            assert!(credit_card("", card), "{card}");
        }
    }

    #[test]
    fn other_numbers_are_no_cards() {
        for text in
            ["4111111111111112", "4111 1111 1111 111", "9111111111111111", "0000000000000000", "4444444444444444", "x"]
        {
            assert!(!credit_card("", text), "{text}");
        }
    }

    #[test]
    fn a_context_allows_other_ranges_but_no_wrong_digit() {
        assert!(card_in_context("501864667909"));
        assert!(!card_in_context("501864667900"));
        assert!(!credit_card("message_id", "4111111111111111") && credit_card("card_id", "4111111111111111"));
        assert!(credit_card("message_id", "4111 1111 1111 1111"));
        assert!(!credit_card("", &"4".repeat(32)), "as long as a written number may be");
        assert!(!card_in_context("0000000000000000"));
        assert!(!card_in_context("7992 7398 713"));
    }

    #[test]
    fn the_longest_written_number_is_no_card() {
        assert!(!credit_card("", &"41".repeat(16)));
        assert!(!credit_card("", &"41".repeat(400)));
    }

    #[test]
    fn the_registrys_examples_pass() {
        for text in [
            "GB29 NWBK 6016 1331 9268 19",
            "DE89 3704 0044 0532 0130 00",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "SA0380000000608010167519",
            "CH93 0076 2011 6238 5295 7",
            "IT60X0542811101000000123456",
            "nl91abna0417164300",
        ] {
            assert!(iban(text), "{text}");
        }
    }

    #[test]
    fn a_wrong_digit_length_class_or_country_fails() {
        for text in [
            "GB29NWBK60161331926818",
            "DE8937040044053201300",
            "GB29123460161331926819",
            "ZZ89370400440532013000",
            "DE",
        ] {
            assert!(!iban(text), "{text}");
        }
    }

    #[test]
    fn the_registry_is_sorted() {
        assert!(IBAN_FORMS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
