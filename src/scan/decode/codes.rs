//! Sequences of small codes: hex pairs, bits, decimal and octal codes, Morse; quoted-printable; variation selectors.

use std::ops::Range;

use bartizan_rules::invariant::{between, onwards};

use super::{Sink, position};

/// Codes that a sequence must have.
const ENOUGH: usize = 8;
/// Other characters that may be between two codes.
const GAP: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Hex,
    Bits,
    Decimal,
    Morse,
}

/// Finds the sequences and decodes them.
pub(super) fn find(text: &str, sink: &mut Sink<'_>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(stretch) = next_stretch(bytes, from) {
        from = stretch.end;
        octal(bytes, stretch.clone(), sink);
        sequences(bytes, stretch, sink);
    }
}

/// The shortest sequence: eight dots or dashes of Morse, each a code, and what parts them.
const SHORTEST: usize = ENOUGH * 2 - 1;

/// The next stretch of whole tokens in which nearly every letter is one that codes have. Looks at the end of a window
/// first, so that most bytes of ordinary text are never looked at.
fn next_stretch(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = from;
    loop {
        let window = bytes.get(start..start + SHORTEST)?;
        match window.iter().rposition(is_plain_letter) {
            Some(letter) => start += letter + 1,
            None => break,
        }
    }
    let rest = onwards(bytes, start);
    let end = start + position(rest, |byte| is_plain_letter(&byte)).unwrap_or(rest.len());
    let left = between(bytes, from..start).iter().rev().take_while(|byte| is_code_byte(byte)).count();
    Some(start - left..end + onwards(bytes, end).iter().take_while(|byte| is_code_byte(byte)).count())
}

/// A letter of no code: not of hex, nor the `x` before it.
#[inline]
fn is_plain_letter(byte: &u8) -> bool {
    let lower = *byte | 0x20;
    (lower.wrapping_sub(b'g') < 20) & (lower != b'x')
}

/// The sequences of a stretch that begins and ends with whole tokens.
fn sequences(bytes: &[u8], stretch: Range<usize>, sink: &mut Sink<'_>) {
    let bytes = between(bytes, 0..stretch.end);
    let mut open: Option<(Family, Range<usize>, Vec<u8>, usize)> = None;
    let mut at = stretch.start;
    while at < bytes.len() {
        let Some(start) = position(onwards(bytes, at), |byte| is_code_byte(&byte)).map(|skip| at + skip) else { break };
        let length = onwards(bytes, start).iter().take_while(|b| is_code_byte(b)).count();
        let token = between(bytes, start..start + length);
        at = start + length;
        if open.is_none()
            && (length == 1 || token.first().is_some_and(|b| matches!(b, b'g'..=b'z' | b'G'..=b'Z')))
            && token.first() != Some(&b'.')
            && token.first() != Some(&b'-')
        {
            continue;
        }
        let read = code(token, open.as_ref().map(|(family, ..)| *family));
        match (&mut open, read) {
            (Some((family, span, out, count)), Some((same, byte)))
                if *family == same && start - span.end <= GAP && parts(bytes, span.end..start) =>
            {
                if same == Family::Morse && word_gap(bytes, span.end..start) {
                    out.push(b' ');
                }
                out.push(byte);
                *count += 1;
                span.end = at;
            }
            (_, read) => {
                close(open.take(), sink);
                open = read.map(|(family, byte)| (family, start..at, vec![byte], 1));
            }
        }
    }
    close(open.take(), sink);
}

#[inline]
fn is_code_byte(byte: &u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10) | (byte.wrapping_sub(b'-') < 2)
}

/// Three octal digits a code: `111 147 156` or `\111\147\156`, among them one that is no decimal code of a letter.
fn octal(bytes: &[u8], stretch: Range<usize>, sink: &mut Sink<'_>) {
    if stretch.len() < ENOUGH * 4 - 1 {
        return;
    }
    let bytes = between(bytes, 0..stretch.end);
    let mut open: Option<(Range<usize>, Vec<u8>, bool)> = None;
    let mut close = |open: Option<(Range<usize>, Vec<u8>, bool)>| {
        if let Some((span, out, _)) = open.filter(|(_, out, octal)| *octal && out.len() >= ENOUGH) {
            sink.bytes(span, "octal", &out);
        }
    };
    let mut at = stretch.start;
    while let Some(start) = position(onwards(bytes, at), |byte| is_code_byte(&byte)).map(|skip| at + skip) {
        at = start + onwards(bytes, start).iter().take_while(|byte| is_code_byte(byte)).count();
        let read = match between(bytes, start..at) {
            [a @ b'0'..=b'1', b @ b'0'..=b'7', c @ b'0'..=b'7'] => {
                let byte = (a - b'0') * 64 + (b - b'0') * 8 + (c - b'0');
                let decimal = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
                matches!(byte, 9 | 10 | 13 | 32..=126).then_some((byte, !(32..=126).contains(&decimal)))
            }
            _ => None,
        };
        match (&mut open, read) {
            (Some((span, out, octal)), Some((byte, is_octal)))
                if start - span.end <= GAP && parts(bytes, span.end..start) =>
            {
                out.push(byte);
                *octal |= is_octal;
                span.end = at;
            }
            (_, read) => {
                close(open.take());
                open = read.map(|(byte, is_octal)| (start..at, vec![byte], is_octal));
            }
        }
    }
    close(open);
}

/// At most one line break, and not the sign of quoted-printable.
fn parts(bytes: &[u8], gap: Range<usize>) -> bool {
    let gap = between(bytes, gap);
    gap.iter().filter(|b| **b == b'\n').count() <= 1 && !gap.contains(&b'=')
}

fn word_gap(bytes: &[u8], gap: Range<usize>) -> bool {
    let gap = between(bytes, gap);
    gap.len() > 1 || gap.iter().any(|b| matches!(b, b'/' | b'|' | b'\n'))
}

fn close(sequence: Option<(Family, Range<usize>, Vec<u8>, usize)>, sink: &mut Sink<'_>) {
    let Some((family, span, bytes, count)) = sequence else { return };
    if count < ENOUGH {
        return;
    }
    let name = match family {
        Family::Hex => "hex",
        Family::Bits => "binary",
        Family::Decimal => "decimal",
        Family::Morse => "morse",
    };
    sink.bytes(span, name, &bytes);
}

/// The byte that a token codes. `going`: the family of the open sequence, which settles what `65` is.
fn code(token: &[u8], going: Option<Family>) -> Option<(Family, u8)> {
    let token = token.strip_prefix(b"0x").unwrap_or(token);
    if token.len() > 8 {
        return None;
    }
    let number = |radix: u32| {
        let digits = token.iter().map(|b| char::from(*b).to_digit(radix));
        u8::try_from(digits.into_iter().try_fold(0u32, |all, digit| Some(all * radix + digit?))?).ok()
    };
    let first = *token.first()?;
    if first == b'.' || first == b'-' {
        return morse(token).map(|byte| (Family::Morse, byte));
    }
    match token.len() {
        8 => number(2).map(|byte| (Family::Bits, byte)),
        2 if going != Some(Family::Decimal) => number(16).map(|byte| (Family::Hex, byte)),
        2 | 3 => number(10).filter(|byte| matches!(byte, 9 | 10 | 13 | 32..=126)).map(|byte| (Family::Decimal, byte)),
        _ => None,
    }
}

fn morse(token: &[u8]) -> Option<u8> {
    const CODES: [(&[u8], u8); 42] = [
        (b".-", b'a'),
        (b"-...", b'b'),
        (b"-.-.", b'c'),
        (b"-..", b'd'),
        (b".", b'e'),
        (b"..-.", b'f'),
        (b"--.", b'g'),
        (b"....", b'h'),
        (b"..", b'i'),
        (b".---", b'j'),
        (b"-.-", b'k'),
        (b".-..", b'l'),
        (b"--", b'm'),
        (b"-.", b'n'),
        (b"---", b'o'),
        (b".--.", b'p'),
        (b"--.-", b'q'),
        (b".-.", b'r'),
        (b"...", b's'),
        (b"-", b't'),
        (b"..-", b'u'),
        (b"...-", b'v'),
        (b".--", b'w'),
        (b"-..-", b'x'),
        (b"-.--", b'y'),
        (b"--..", b'z'),
        (b"-----", b'0'),
        (b".----", b'1'),
        (b"..---", b'2'),
        (b"...--", b'3'),
        (b"....-", b'4'),
        (b".....", b'5'),
        (b"-....", b'6'),
        (b"--...", b'7'),
        (b"---..", b'8'),
        (b"----.", b'9'),
        (b".-.-.-", b'.'),
        (b"--..--", b','),
        (b"..--..", b'?'),
        (b".----.", b'\''),
        (b"-.-.--", b'!'),
        (b"---...", b':'),
    ];
    CODES.iter().find(|(code, _)| *code == token).map(|(_, byte)| *byte)
}

/// `=49=67nore`: four escapes and more, each at most a line from the next.
pub(super) fn quoted_printable(text: &str, sink: &mut Sink<'_>) {
    const LINE: usize = 78;
    let bytes = text.as_bytes();
    let escape = |at: usize| {
        let digit =
            |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16)).filter(|_| !is_lower(bytes.get(i)));
        Some((digit(at + 1)? * 16 + digit(at + 2)?) as u8)
    };
    let (mut first, mut last, mut count) = (0, 0, 0);
    let mut close = |first: usize, last: usize, count: usize| {
        if count < 4 {
            return;
        }
        let back = between(bytes, 0..first).iter().rev().take(LINE);
        let start = first - back.take_while(|b| b.is_ascii_graphic()).count();
        let end = last + 3 + onwards(bytes, last + 3).iter().take(LINE).take_while(|byte| **byte != b'\n').count();
        let (mut out, mut at) = (Vec::new(), start);
        while at < end.min(bytes.len()) {
            match (bytes.get(at), escape(at)) {
                (Some(b'='), Some(byte)) => {
                    out.push(byte);
                    at += 3;
                }
                (Some(b'='), None) if matches!(bytes.get(at + 1), Some(b'\n' | b'\r')) => {
                    at += if bytes.get(at + 1) == Some(&b'\r') { 3 } else { 2 };
                }
                (Some(byte), _) => {
                    out.push(*byte);
                    at += 1;
                }
                (None, _) => break,
            }
        }
        sink.bytes(start..text.ceil_char_boundary(at), "quotedPrintable", &out);
    };
    let mut at = 0;
    while let Some(skip) = memchr::memchr(b'=', onwards(bytes, at)) {
        at += skip;
        if escape(at).is_some() {
            if count > 0 && at - last > LINE {
                close(first, last, count);
                count = 0;
            }
            if count == 0 {
                first = at;
            }
            (last, count) = (at, count + 1);
        }
        at += 1;
    }
    close(first, last, count);
}

fn is_lower(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_lowercase)
}

/// Bytes in variation selectors, and bits in two kinds of zero-width characters.
pub(super) fn selectors(text: &str, sink: &mut Sink<'_>) {
    if !may_hide(text.as_bytes()) {
        return;
    }
    let mut hidden: (usize, Vec<u8>) = (0, Vec::new());
    let mut bits: (usize, Vec<char>) = (0, Vec::new());
    for (at, c) in text.char_indices() {
        let byte = match c {
            '\u{fe00}'..='\u{fe0f}' => Some(u32::from(c) - 0xfe00),
            '\u{e0100}'..='\u{e01ef}' => Some(u32::from(c) - 0xe0100 + 16),
            _ => None,
        };
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                if hidden.1.is_empty() {
                    hidden.0 = at;
                }
                hidden.1.push(byte);
            }
            None => flush_selectors(&mut hidden, at, sink),
        }
        if matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{2062}'..='\u{2064}' | '\u{feff}') {
            if bits.1.is_empty() {
                bits.0 = at;
            }
            bits.1.push(c);
        } else {
            flush_bits(&mut bits, at, sink);
        }
    }
    flush_selectors(&mut hidden, text.len(), sink);
    flush_bits(&mut bits, text.len(), sink);
}

/// False where too few bytes begin a character that hides something.
fn may_hide(bytes: &[u8]) -> bool {
    let begins = |at: &usize| {
        let next = bytes.get(at + 1..at + 3);
        matches!(next, Some([0xa0 | 0xb8 | 0xbb, _] | [0x80, 0x8b..=0x8d] | [0x81, 0xa0..=0xa4]))
    };
    memchr::memchr3_iter(0xe2, 0xef, 0xf3, bytes).filter(begins).take(ENOUGH).count() == ENOUGH
}

fn flush_selectors(hidden: &mut (usize, Vec<u8>), end: usize, sink: &mut Sink<'_>) {
    if hidden.1.len() >= ENOUGH {
        sink.bytes(hidden.0..end, "variationSelectors", &hidden.1);
    }
    hidden.1.clear();
}

fn flush_bits(bits: &mut (usize, Vec<char>), end: usize, sink: &mut Sink<'_>) {
    if bits.1.len() >= ENOUGH * 8
        && let Some(one) = bits.1.iter().find(|c| Some(*c) != bits.1.first())
        && bits.1.iter().all(|c| c == one || Some(c) == bits.1.first())
    {
        let values: Vec<u8> = bits.1.iter().map(|c| u8::from(c == one)).collect();
        let pack = |flip: u8| -> Vec<u8> {
            values.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit ^ flip))).collect()
        };
        if !sink.bytes(bits.0..end, "zeroWidthBits", &pack(0)) {
            sink.bytes(bits.0..end, "zeroWidthBits", &pack(1));
        }
    }
    bits.1.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_their_names_say() {
        for byte in 0..=255u8 {
            let letter = byte.is_ascii_alphabetic() && !matches!(byte.to_ascii_lowercase(), b'a'..=b'f' | b'x');
            assert_eq!(is_plain_letter(&byte), letter, "{byte}");
            assert_eq!(is_code_byte(&byte), byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'), "{byte}");
        }
    }

    /// Every character that hides a byte or a bit is counted by its first bytes.
    #[test]
    fn no_hidden_character_is_overlooked() {
        let hides = ['\u{fe00}'..='\u{fe0f}', '\u{e0100}'..='\u{e01ef}', '\u{200b}'..='\u{200d}'];
        let alone = ['\u{2060}', '\u{2062}', '\u{2063}', '\u{2064}', '\u{feff}'];
        for c in hides.into_iter().flatten().chain(alone) {
            assert!(may_hide(c.to_string().repeat(ENOUGH).as_bytes()), "{c:?}");
            assert!(!may_hide(c.to_string().repeat(ENOUGH - 1).as_bytes()), "{c:?}");
        }
        assert!(!may_hide("“It’s” — ‘so’…，。！".repeat(9).as_bytes()));
    }
}
