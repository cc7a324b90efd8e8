//! Bytes that hold a text in another form: gzip, zlib, UTF-16.

use miniz_oxide::inflate::{
    DecompressError, TINFLStatus, decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit,
};

/// What comes out may be this many times as long as what went in, and [`ROOM`] longer.
const RATIO: usize = 100;
const ROOM: usize = 4096;

/// UTF-16 units of ASCII at the start by which it is known.
const UNITS: usize = 6;

/// What bytes hold.
pub(super) struct Inner {
    pub bytes: Vec<u8>,
    pub name: &'static str,
    /// False: more comes out than may.
    pub complete: bool,
}

/// Opens gzip and zlib and reads UTF-16; `None`: the bytes are none of these. `most`: bytes that may come out.
pub(super) fn open(bytes: &[u8], most: usize) -> Option<Inner> {
    let most = most.min(bytes.len().saturating_mul(RATIO).saturating_add(ROOM));
    match bytes {
        [0x1f, 0x8b, 8, flags, ..] => {
            Some(inflated("gzip", decompress_to_vec_with_limit(gzip_body(bytes, *flags)?, most)))
        }
        [0x78, level, ..] if (0x7800 + u16::from(*level)) % 31 == 0 => {
            let inner = inflated("zlib", decompress_to_vec_zlib_with_limit(bytes, most));
            // The same two bytes are the letter x and a mark.
            (!inner.bytes.is_empty()).then_some(inner)
        }
        _ => wide(bytes),
    }
}

fn inflated(name: &'static str, result: Result<Vec<u8>, DecompressError>) -> Inner {
    match result {
        Ok(bytes) => Inner { bytes, name, complete: true },
        // What came out before a fault is what a lenient reader sees.
        Err(fault) => Inner { complete: fault.status != TINFLStatus::HasMoreOutput, bytes: fault.output, name },
    }
}

/// The compressed data behind a gzip header (RFC 1952).
fn gzip_body(bytes: &[u8], flags: u8) -> Option<&[u8]> {
    let mut rest = bytes.get(10..)?;
    if flags & 4 != 0 {
        let [low, high, ..] = rest else { return None };
        rest = rest.get(2 + usize::from(u16::from_le_bytes([*low, *high]))..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            rest = rest.get(memchr::memchr(0, rest)? + 1..)?;
        }
    }
    rest.get(if flags & 2 != 0 { 2 } else { 0 }..)
}

/// UTF-16 of either order that begins with ASCII, as command lines of PowerShell carry it.
fn wide(bytes: &[u8]) -> Option<Inner> {
    let bare = bytes.strip_prefix(&[0xff, 0xfe]).or_else(|| bytes.strip_prefix(&[0xfe, 0xff])).unwrap_or(bytes);
    let head = bare.get(..UNITS * 2)?;
    let zero = head.iter().position(|byte| *byte == 0)?;
    let is_pair =
        |pair: &[u8]| matches!(pair, [a, b] if if zero == 1 { *b == 0 && *a != 0 } else { *a == 0 && *b != 0 });
    if zero > 1 || !head.chunks_exact(2).all(is_pair) {
        return None;
    }
    let (pairs, _) = bare.as_chunks();
    let unit = if zero == 1 { u16::from_le_bytes } else { u16::from_be_bytes };
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(' ')).collect();
    Some(Inner { bytes: text.into_bytes(), name: "utf16", complete: true })
}
