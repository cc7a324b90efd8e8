//! Values drawn from formats, the same on every machine: `{class:count}` draws characters, `{uuid}`, `{jwt}` and
//! `{lines:n}` whole forms, everything else is itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A source of numbers that a word and a seed determine.
pub struct Draw(u64);

impl Draw {
    pub fn new(word: &str, seed: u64) -> Draw {
        let hash = word
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Draw(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of(&mut self, alphabet: &str, count: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

const DIGITS: &str = "0123456789";
const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";
const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn class(draw: &mut Draw, name: &str, count: usize) -> String {
    let letters = format!("{SMALL}{CAPITALS}");
    let alphabet = match name {
        "d" => DIGITS.to_owned(),
        "hex" => "0123456789abcdef".to_owned(),
        "HEX" => "0123456789ABCDEF".to_owned(),
        "al" => letters,
        "an" => format!("{letters}{DIGITS}"),
        "lo" => format!("{SMALL}{DIGITS}"),
        "up" => format!("{CAPITALS}{DIGITS}"),
        "b32" => format!("{CAPITALS}234567"),
        "b64" => format!("{letters}{DIGITS}+/"),
        "b64u" => format!("{letters}{DIGITS}_-"),
        "b58" => format!("{letters}{DIGITS}").chars().filter(|c| !"0OIl".contains(*c)).collect(),
        "bech" => "qpzry9x8gf2tvdw0s3jn54khce6mua7l".to_owned(),
        "BECH" => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".to_owned(),
        other => panic!("{other}: unknown class"),
    };
    // Marks are inside a value: one at its end may be the punctuation of a sentence.
    let plain: String = alphabet.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    match count {
        0..=2 => draw.of(&plain, count),
        _ => format!("{}{}{}", draw.of(&plain, 1), draw.of(&alphabet, count - 2), draw.of(&plain, 1)),
    }
}

fn form(draw: &mut Draw, inside: &str) -> String {
    let (name, count) = inside.split_once(':').unwrap_or((inside, "1"));
    let count: usize = count.parse().unwrap_or_else(|_| panic!("{inside}: no count"));
    let hex = |draw: &mut Draw, count| class(draw, "hex", count);
    match name {
        "uuid" => {
            let (a, b, c) = (hex(draw, 8), hex(draw, 4), hex(draw, 3));
            format!("{a}-{b}-4{c}-a{}-{}", hex(draw, 3), hex(draw, 12))
        }
        "jwt" => {
            let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
            let claims =
                format!(r#"{{"iss":"https://idp.firm.net","sub":"{}","iat":1790000000}}"#, class(draw, "an", 12));
            format!("{head}.{}.{}", URL_SAFE_NO_PAD.encode(claims), class(draw, "b64u", 86))
        }
        "lines" => (0..count).map(|_| class(draw, "b64", 64)).collect::<Vec<_>>().join("\n"),
        name => class(draw, name, count),
    }
}

/// A text of this format. Braces around anything but a form stand for themselves.
pub fn draw(format: &str, draw: &mut Draw) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let inside = after.split_once('}').filter(|(inside, _)| {
            let name = inside
                .split_once(':')
                .map_or(*inside, |(name, count)| if count.parse::<usize>().is_ok() { name } else { "" });
            [
                "d", "hex", "HEX", "al", "an", "lo", "up", "b32", "b64", "b64u", "b58", "bech", "BECH", "uuid", "jwt",
                "lines",
            ]
            .contains(&name)
        });
        match inside {
            Some((inside, after)) => {
                out.push_str(&form(draw, inside));
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
