//! Runs of the letters of base64, base32 and hex, also wrapped over lines, turned round, or cut at their start.

use std::ops::Range;

use bartizan_rules::invariant::{of_byte, part};

use super::{Head, Sink};

/// Shortest run that is tried.
const SHORTEST: usize = 12;
/// Letters of base64 and hex that are decoded first where a run is tried once more: few identifiers begin like a text then.
const PROBE: usize = 24;
/// Shortest line after which a run goes on in the next one.
const WRAPPED: usize = 20;

const OTHER: u8 = 64;
const BREAK: u8 = 65;

/// The value of each byte in base64, both alphabets.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static BASE64: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            b @ b'A'..=b'Z' => b - b'A',
            b @ b'a'..=b'z' => b - b'a' + 26,
            b @ b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'\n' | b'\r' => BREAK,
            _ => OTHER,
        };
        i += 1;
    }
    table
};

fn value(byte: u8) -> u8 {
    of_byte(&BASE64, byte)
}

/// Finds the runs and decodes them.
pub(super) fn find(text: &str, sink: &mut Sink<'_>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(start) = next_run(bytes, from) {
        let end = run_end(bytes, start);
        run(text, start..end, sink);
        from = end + 1;
    }
}

/// Where the next run of at least [`SHORTEST`] letters starts. Looks at the last letter of a window first, so that
/// most bytes of ordinary text are never looked at.
fn next_run(bytes: &[u8], from: usize) -> Option<usize> {
    let mut start = from;
    loop {
        let window = bytes.get(start..start + SHORTEST)?;
        match window.iter().rposition(|byte| value(*byte) >= OTHER) {
            Some(other) => start += other + 1,
            None => return Some(start),
        }
    }
}

/// Where the run ends that starts here. A line break inside a long run is wrapping.
fn run_end(bytes: &[u8], start: usize) -> usize {
    let mut line = start;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        let value = value(*byte);
        if value < OTHER {
            continue;
        }
        let wrapped = at - line >= WRAPPED || (at == line && at > start + WRAPPED);
        if value != BREAK || !wrapped {
            return at;
        }
        line = at + 1;
    }
    bytes.len()
}

fn run(text: &str, span: Range<usize>, sink: &mut Sink<'_>) {
    let run = part(text, span.clone()).trim_end_matches(['\r', '\n']);
    let span = span.start..span.start + run.len();
    let letters = || run.bytes().filter(|b| !matches!(b, b'\r' | b'\n'));
    if letters().all(|b| b.is_ascii_hexdigit()) && letters().any(|b| b.is_ascii_digit()) {
        if hex(letters()).is_some_and(|bytes| sink.bytes(span.clone(), "hex", &bytes)) {
            return;
        }
        if letters().all(|b| matches!(b, b'0' | b'1')) {
            let bits: Vec<u8> = letters().collect();
            let bytes: Vec<u8> =
                bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit & 1))).collect();
            sink.bytes(span, "binary", &bytes);
            return;
        }
    }
    if run.len() >= 16
        && letters().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
        && base32(letters(), span.clone(), sink)
    {
        return;
    }
    // A word or a name in one case is not base64.
    if run.len() < 24 && letters().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_' || b == b'/') {
        return;
    }
    let bytes = base64(letters());
    if sink.bytes(span.clone(), "base64", &bytes) {
        return;
    }
    if turned(run, span.clone(), sink) || cut(run, span.clone(), sink) {
        return;
    }
    // A path, a name or a label in front moves the letters out of step.
    if let Some(cut) = run.bytes().position(|b| matches!(b, b'/' | b'-' | b'_' | b'+')).filter(|cut| *cut < 32) {
        let rest = part(run, cut + 1..run.len());
        if rest.len() >= SHORTEST + 8 {
            let bytes = base64(rest.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
            sink.bytes(span.start + cut + 1..span.end, "base64", &bytes);
        }
    }
}

/// Base64 or hex written backwards; false: it is not.
fn turned(run: &str, span: Range<usize>, sink: &mut Sink<'_>) -> bool {
    let letters = || run.bytes().rev().filter(|b| !matches!(b, b'\r' | b'\n'));
    if run.len() < PROBE {
        return false;
    }
    if begins(letters().take(PROBE).map(value), 6) && sink.bytes(span.clone(), "base64", &base64(letters())) {
        return true;
    }
    let digits = || letters().take(PROBE).map(|letter| char::from(letter).to_digit(16));
    let is_text = digits().all(|digit| digit.is_some()) && begins(digits().flatten().map(|digit| digit as u8), 4);
    is_text && hex(letters()).is_some_and(|bytes| sink.bytes(span, "hex", &bytes))
}

/// Base64 without its first one to three letters; false: it is not.
fn cut(run: &str, span: Range<usize>, sink: &mut Sink<'_>) -> bool {
    let letters = || run.bytes().filter(|b| !matches!(b, b'\r' | b'\n'));
    run.len() >= PROBE
        && (1..=3).any(|from| {
            begins(letters().skip(from).take(PROBE).map(value), 6)
                && sink.bytes(span.clone(), "base64", &base64(letters().skip(from)))
        })
}

fn base64(letters: impl Iterator<Item = u8>) -> Vec<u8> {
    bits(letters.map(value), 6)
}

fn base32(letters: impl Iterator<Item = u8>, span: Range<usize>, sink: &mut Sink<'_>) -> bool {
    let values = letters.map(|b| if b.is_ascii_digit() { b - b'2' + 26 } else { b - b'A' });
    sink.bytes(span, "base32", &bits(values, 5))
}

/// True where values of this many bits give what a text may begin with.
fn begins(values: impl Iterator<Item = u8>, width: u32) -> bool {
    let (mut held, mut count, mut head) = (0u32, 0, Head::default());
    for value in values {
        held = (held << width | u32::from(value)) & 0xffff;
        count += width;
        if count >= 8 {
            count -= 8;
            if !head.push((held >> count) as u8) {
                return false;
            }
        }
    }
    head.is_text()
}

/// Packs values of this many bits into bytes; what is left over at the end is padding.
fn bits(values: impl Iterator<Item = u8>, width: u32) -> Vec<u8> {
    let (mut held, mut count) = (0u32, 0);
    let mut out = Vec::new();
    for value in values {
        held = (held << width | u32::from(value)) & 0xffff;
        count += width;
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    out
}

fn hex(letters: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut high = None;
    for letter in letters {
        let digit = char::from(letter).to_digit(16)? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(first) => out.push(first << 4 | digit),
        }
    }
    Some(out)
}
