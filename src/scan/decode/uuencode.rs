//! Uuencode: lines behind `begin 644 name`.

use bartizan_rules::invariant::{onwards, part};

use super::Sink;

/// Longest line: a length and 60 letters, and what may end it.
const LINE: usize = 64;

/// Finds the heads and decodes the lines that follow each.
pub(super) fn find(text: &str, sink: &mut Sink<'_>) {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(onwards(text.as_bytes(), from), b"begin ").map(|skip| from + skip) {
        from = at + 6;
        let head = part(text, from..text.len());
        let is_mode = head
            .as_bytes()
            .get(..4)
            .is_some_and(|mode| mode.iter().take(3).all(|digit| (b'0'..=b'7').contains(digit)) && mode.ends_with(b" "));
        let Some(body) = head.find('\n').filter(|_| is_mode).map(|end| from + end + 1) else { continue };
        let mut out = Vec::new();
        let mut end = body;
        for line in part(text, body..text.len()).split_inclusive('\n') {
            if !push_line(line.trim_end_matches(['\r', '\n']).as_bytes(), &mut out) {
                break;
            }
            end += line.len();
        }
        if end > body {
            sink.bytes(at..end, "uuencode", &out);
            from = end;
        }
    }
}

/// Decodes one line; false: it is none, or the last.
fn push_line(line: &[u8], out: &mut Vec<u8>) -> bool {
    let value = |byte: u8| (0x20..=0x60).contains(&byte).then(|| byte.wrapping_sub(0x20) & 0x3f);
    let Some((length, letters)) = line.split_first().filter(|_| line.len() <= LINE) else { return false };
    let Some(length) = value(*length).map(usize::from).filter(|length| (1..=45).contains(length)) else { return false };
    let start = out.len();
    for four in letters.chunks(4) {
        let mut held = 0u32;
        for at in 0..4 {
            let Some(six) = four.get(at).map_or(Some(0), |byte| value(*byte)) else { return false };
            held = held << 6 | u32::from(six);
        }
        out.extend(held.to_be_bytes().iter().skip(1));
    }
    out.truncate(start + length);
    true
}
