//! Replies in gzip (RFC 1952) that come although they were not asked for: opened here, and what goes on is not
//! compressed. Bounded by the ratio of what comes out, and checked to the end.

use bartizan_rules::invariant::{between, onwards};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use crate::crc::Crc32;
use crate::reason::Reason;

/// What comes out may be this many times as long as what came in, and [`ROOM`] longer: as in Envoy's decompressor.
const MOST_RATIO: u64 = 100;
const ROOM: u64 = 64 * 1024;

/// The longest header of a member: a name and a comment may be in it.
const MOST_HEADER: usize = 1024;

/// Bytes that are opened at a time.
const PIECE: usize = 16 * 1024;

/// One body in gzip, as it comes.
pub(super) struct Gzip {
    at: At,
    state: Box<InflateState>,
    piece: Vec<u8>,
    came: u64,
    made: u64,
    /// Of the member that is open.
    crc: Crc32,
    length: u32,
}

/// Where in a member the next byte is.
enum At {
    /// The header's bytes so far; none: between members.
    Header(Vec<u8>),
    Data,
    /// The checksum and the length, as far as they have come.
    Trailer(Vec<u8>),
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip {
            at: At::Header(Vec::new()),
            state: InflateState::new_boxed(DataFormat::Raw),
            piece: vec![0; PIECE],
            came: 0,
            made: 0,
            crc: Crc32::new(),
            length: 0,
        }
    }

    /// Opens the next bytes; `sink` gets at most 16 KiB at a time.
    ///
    /// # Errors
    /// [`Reason::ReplyUnreadable`] for what is no gzip, [`Reason::ReplyTooLarge`] for what inflates to more than 100
    /// times its size, and what `sink` says.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        self.came += chunk.len() as u64;
        let mut rest = chunk;
        while let Some((first, others)) = rest.split_first() {
            match &mut self.at {
                At::Header(header) => {
                    header.push(*first);
                    rest = others;
                    if ends_header(header)? {
                        self.state.reset(DataFormat::Raw);
                        (self.crc, self.length) = (Crc32::new(), 0);
                        self.at = At::Data;
                    }
                }
                At::Data => {
                    let used = self.data(rest, sink)?;
                    rest = onwards(rest, used);
                }
                At::Trailer(trailer) => {
                    trailer.push(*first);
                    rest = others;
                    if trailer.len() == 8 {
                        let told = [self.crc.value().to_le_bytes(), self.length.to_le_bytes()].concat();
                        if *trailer != told {
                            return Err(Reason::ReplyUnreadable);
                        }
                        self.at = At::Header(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens bytes of a member; how many of them were used.
    fn data(&mut self, rest: &[u8], sink: &mut dyn FnMut(&[u8]) -> Result<(), Reason>) -> Result<usize, Reason> {
        let mut used = 0;
        loop {
            let input = onwards(rest, used);
            let result = inflate(&mut self.state, input, &mut self.piece, MZFlush::None);
            used += result.bytes_consumed;
            let piece = between(&self.piece, 0..result.bytes_written);
            self.made += piece.len() as u64;
            if self.made > self.came.saturating_mul(MOST_RATIO).saturating_add(ROOM) {
                return Err(Reason::ReplyTooLarge);
            }
            self.crc.push(piece);
            self.length = self.length.wrapping_add(piece.len() as u32);
            let is_full = piece.len() == PIECE;
            if !piece.is_empty() {
                sink(piece)?;
            }
            match result.status {
                Ok(MZStatus::StreamEnd) => {
                    self.at = At::Trailer(Vec::new());
                    return Ok(used);
                }
                // More may wait in the window while the piece was filled to its end.
                Ok(MZStatus::Ok) if is_full || used < rest.len() => {}
                Ok(MZStatus::Ok) | Err(MZError::Buf) if used == rest.len() => return Ok(used),
                _ => return Err(Reason::ReplyUnreadable),
            }
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`Reason::ReplyUnreadable`] in the middle of a member.
    pub(super) fn finish(&self) -> Result<(), Reason> {
        let is_whole = matches!(&self.at, At::Header(header) if header.is_empty());
        if is_whole { Ok(()) } else { Err(Reason::ReplyUnreadable) }
    }

    /// Opens a whole body of at most this many bytes.
    ///
    /// # Errors
    /// As [`Gzip::push`] and [`Gzip::finish`]; [`Reason::ReplyTooLarge`] for a longer one.
    pub(super) fn whole(body: &[u8], most: usize) -> Result<Vec<u8>, Reason> {
        let (mut gzip, mut out) = (Gzip::new(), Vec::new());
        gzip.push(body, &mut |piece| {
            if out.len() + piece.len() > most {
                return Err(Reason::ReplyTooLarge);
            }
            out.extend_from_slice(piece);
            Ok(())
        })?;
        gzip.finish()?;
        Ok(out)
    }
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip").field("came", &self.came).field("made", &self.made).finish_non_exhaustive()
    }
}

/// The header is whole (RFC 1952 section 2.3).
///
/// # Errors
/// [`Reason::ReplyUnreadable`] for bytes that begin no member, and a header of more than 1024 bytes.
fn ends_header(header: &[u8]) -> Result<bool, Reason> {
    let is_prefix = header.iter().zip([0x1f, 0x8b, 8]).all(|(byte, known)| *byte == known);
    let flags = header.get(3).copied().unwrap_or_default();
    if !is_prefix || flags & 0xe0 != 0 || header.len() > MOST_HEADER {
        return Err(Reason::ReplyUnreadable);
    }
    let Some(mut rest) = header.get(10..) else { return Ok(false) };
    if flags & 4 != 0 {
        let Some(([low, high], after)) = rest.split_first_chunk() else { return Ok(false) };
        let Some(after) = after.get(usize::from(u16::from_le_bytes([*low, *high]))..) else { return Ok(false) };
        rest = after;
    }
    // A name and a comment, each with a zero at its end.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else { return Ok(false) };
            rest = onwards(rest, end + 1);
        }
    }
    Ok(flags & 2 == 0 || rest.len() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    fn crc(text: &[u8]) -> u32 {
        !text.iter().fold(u32::MAX, |mut crc, byte| {
            crc ^= u32::from(*byte);
            (0..8).fold(crc, |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }

    /// A member; `flags` says what its header holds.
    fn member(text: &[u8], flags: u8) -> Vec<u8> {
        let mut out = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
        for (flag, part) in [(4, &b"\x03\0abc"[..]), (8, b"name\0"), (16, b"comment\0"), (2, b"\0\0")] {
            out.extend_from_slice(if flags & flag == 0 { b"" } else { part });
        }
        out.extend(compress_to_vec(text, 6));
        out.extend(crc(text).to_le_bytes());
        out.extend((text.len() as u32).to_le_bytes());
        out
    }

    fn opened(pieces: &mut dyn Iterator<Item = &[u8]>) -> Result<Vec<u8>, Reason> {
        let (mut gzip, mut out) = (Gzip::new(), Vec::new());
        for piece in pieces {
            gzip.push(piece, &mut |piece| {
                out.extend_from_slice(piece);
                Ok(())
            })?;
        }
        gzip.finish().map(|()| out)
    }

    #[test]
    fn bytes_of_another_tool_are_read() {
        // `printf hello | gzip -n`
        let known = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0";
        assert_eq!(Gzip::whole(known, 5).unwrap(), b"hello");
        assert_eq!(Gzip::whole(known, 4), Err(Reason::ReplyTooLarge));
    }

    #[test]
    fn what_inflates_without_measure_is_refused() {
        let bomb = member(&vec![0; 40 << 20], 0);
        assert_eq!(Gzip::whole(&bomb, usize::MAX), Err(Reason::ReplyTooLarge));
        let mut most = 0;
        let _ = Gzip::new().push(&bomb, &mut |piece| {
            most += piece.len() as u64;
            Ok(())
        });
        assert!(most <= bomb.len() as u64 * MOST_RATIO + ROOM);
    }

    proptest! {
        /// Any text in any members, cut anywhere, is read; with one byte more or less it is not.
        #[test]
        fn any_text_is_read_however_it_is_cut(
            texts in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..3000), 0u8..32, 1usize..40), 1..4),
            size in 1usize..500,
            at in any::<prop::sample::Index>(),
        ) {
            let text = |(text, _, times): &(Vec<u8>, u8, usize)| text.repeat(*times);
            let body: Vec<u8> = texts.iter().flat_map(|one| member(&text(one), one.1)).collect();
            let all: Vec<u8> = texts.iter().flat_map(text).collect();
            prop_assert_eq!(opened(&mut body.chunks(size)), Ok(all.clone()));
            prop_assert_eq!(Gzip::whole(&body, all.len()), Ok(all.clone()));
            let last = member(&text(&texts[texts.len() - 1]), texts[texts.len() - 1].1).len();
            let less = body.len() - 1 - at.index(last - 1);
            prop_assert_eq!(opened(&mut std::iter::once(&body[..less])), Err(Reason::ReplyUnreadable));
            prop_assert_eq!(opened(&mut [&body[..], b"x"].into_iter()), Err(Reason::ReplyUnreadable));
        }

        /// No bytes panic, and what comes out is bounded.
        #[test]
        fn any_bytes_end(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), is_member: bool, size in 1usize..50) {
            if is_member {
                bytes.splice(..0, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]);
            }
            if let Ok(out) = opened(&mut bytes.chunks(size)) {
                prop_assert!(out.len() as u64 <= bytes.len() as u64 * MOST_RATIO + ROOM);
            }
        }
    }
}
