//! Base85, with the frame of Ascii85 or without one, in its three alphabets: Ascii85, RFC 1924 (as Git and Python write it), Z85.

use std::ops::Range;

use crate::sorted;

use bartizan_rules::invariant::{between, of_byte, onwards, part};

use super::{Head, Sink, position};

/// Shortest run without white space that is tried.
const SHORTEST: usize = 20;
/// Letters that are decoded first: few runs of code or prose begin like a text then.
const PROBE: usize = 15;
/// A name and a mark in front of the letters are left out up to here.
const NAME: usize = 16;

static RFC1924: &[u8; 85] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
static Z85: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

const NONE: u8 = 85;

/// The value of each byte in an alphabet.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
const fn table(alphabet: &[u8; 85]) -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut i = 0;
    while i < 85 {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
const fn ascii85() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut i = 0;
    while i < 85 {
        table[b'!' as usize + i] = i as u8;
        i += 1;
    }
    table
}

static TABLES: [(&str, [u8; 256]); 3] = [("base85", table(RFC1924)), ("ascii85", ascii85()), ("z85", table(Z85))];

/// Finds runs without white space and decodes those that begin like a text.
pub(super) fn find(text: &str, sink: &mut Sink<'_>) {
    let bytes = text.as_bytes();
    if let Some(open) = memchr::memmem::find(bytes, b"<~") {
        framed(text, open, sink);
    }
    let mut from = 0;
    while let Some(start) = next_run(bytes, from) {
        let rest = onwards(bytes, start);
        let end = start + position(rest, is_white).unwrap_or(rest.len());
        run(text, start..end, sink);
        from = end;
    }
}

/// As [`u8::is_ascii_whitespace`] says, for vectors.
#[inline]
const fn is_white(byte: u8) -> bool {
    (byte == b' ') | (byte == b'\t') | (byte == b'\n') | (byte == b'\x0c') | (byte == b'\r')
}

/// Where the next run of at least [`SHORTEST`] bytes begins. Looks at the last byte of a window first.
fn next_run(bytes: &[u8], from: usize) -> Option<usize> {
    let mut start = from;
    loop {
        let window = bytes.get(start..start + SHORTEST)?;
        match window.iter().rposition(u8::is_ascii_whitespace) {
            Some(white) => start += white + 1,
            None => return Some(start),
        }
    }
}

/// Tries a run as it is written, without quotes in front, and behind a name and its mark.
fn run(text: &str, span: Range<usize>, sink: &mut Sink<'_>) {
    let run = part(text, span.clone()).as_bytes();
    let quotes = run.iter().take_while(|byte| b"\"'`([".contains(byte)).count();
    let named = run.iter().take(NAME).position(|byte| matches!(byte, b':' | b'=')).map_or(0, |at| at + 1);
    let quoted = onwards(run, named).iter().take_while(|byte| b"\"'`".contains(byte)).count();
    let mut starts = [0, quotes, named, named + quoted];
    sorted::by(&mut starts, Ord::cmp);
    let mut last = None;
    for start in starts {
        if last.replace(start) == Some(start) {
            continue;
        }
        let letters = onwards(run, start);
        for (name, table) in &TABLES {
            if !letters.get(..PROBE).is_some_and(|head| begins(head, table)) {
                continue;
            }
            let known = letters.iter().take_while(|byte| value(table, **byte) != NONE).count();
            let whole = decoded(between(letters, 0..known), table);
            let at = span.start + start..span.start + start + known;
            if whole.is_some_and(|bytes| sink.bytes(at, name, &bytes)) {
                return;
            }
        }
    }
}

fn value(table: &[u8; 256], byte: u8) -> u8 {
    of_byte(table, byte)
}

/// True where whole groups give what a text may begin with. Nearly every run fails at its first group.
fn begins(letters: &[u8], table: &[u8; 256]) -> bool {
    let mut head = Head::default();
    letters.chunks_exact(5).all(|group| group_of(group, table).is_some_and(|four| four.iter().all(|b| head.push(*b))))
        && head.is_text()
}

/// Five letters as four bytes; `None`: a letter that the alphabet lacks, or too large a number.
fn group_of(group: &[u8], table: &[u8; 256]) -> Option<[u8; 4]> {
    let mut held = 0u64;
    for byte in group {
        held = held * 85 + u64::from(Some(value(table, *byte)).filter(|digit| *digit != NONE)?);
    }
    u32::try_from(held).ok().map(u32::to_be_bytes)
}

/// Groups of five as four bytes; `None`: a letter that the alphabet lacks, or a group that is none.
fn decoded(letters: &[u8], table: &[u8; 256]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(letters.len() / 5 * 4 + 4);
    for group in letters.chunks(5) {
        let mut held = 0u64;
        for at in 0..5 {
            let digit = match group.get(at) {
                Some(byte) => Some(value(table, *byte)).filter(|digit| *digit != NONE)?,
                None => 84,
            };
            held = held * 85 + u64::from(digit);
        }
        match u32::try_from(held) {
            Ok(held) => out.extend(held.to_be_bytes().iter().take(group.len() - 1)),
            // What follows the last whole group may be a mark of the sentence.
            Err(_) if group.len() < 5 => {}
            Err(_) => return None,
        }
    }
    Some(out)
}

/// `<~...~>`, the first of a text: also with white space and `z` inside.
fn framed(text: &str, open: usize, sink: &mut Sink<'_>) {
    let rest = part(text, open + 2..text.len());
    let Some(length) = rest.find("~>") else { return };
    let mut out = Vec::new();
    let (mut held, mut count) = (0u32, 0u32);
    for byte in rest.bytes().take(length) {
        match byte {
            b'z' if count == 0 => out.extend([0; 4]),
            b'!'..=b'u' => {
                held = held.wrapping_mul(85).wrapping_add(u32::from(byte - b'!'));
                count += 1;
                if count == 5 {
                    out.extend(held.to_be_bytes());
                    (held, count) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if count > 1 {
        for _ in count..5 {
            held = held.wrapping_mul(85).wrapping_add(84);
        }
        out.extend(held.to_be_bytes().iter().take(count as usize - 1));
    }
    sink.bytes(open..open + 2 + length + 2, "ascii85", &out);
}
