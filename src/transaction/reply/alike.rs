//! Events that differ from the one before them in their text alone.
//!
//! A model's server writes each event of a text in one form, around the word that it adds. Where a frame has the bytes of
//! the last one on both sides of a plain text, all that was read of the last one holds for it: which running text it goes
//! on with, that nothing else in it is new, and that nothing in it changes.

use std::ops::Range;

use super::running::Running;
use crate::protocol::Path;
use crate::protocol::frames::Frame;
use crate::protocol::reply::Usage;

/// A longer form is not kept.
const MAX_FORM: usize = 4096;

/// The form of an event that was read and that is nothing but a piece of one running text.
#[derive(Debug)]
pub(super) struct Alike {
    /// The frame's bytes up to the text, its opening quote among them.
    before: Vec<u8>,
    /// Its bytes behind the text.
    after: Vec<u8>,
    /// The text that it goes on with.
    pub(super) running: Running,
    /// Where the text is in the event.
    pub(super) path: Path,
    /// What the stream has cost when the event was read.
    pub(super) usage: Usage,
}

impl Alike {
    /// The form of a frame whose text is at this place; `None`: the text is not written there as it is read.
    pub(super) fn of(frame: &Frame, text: Range<usize>, running: Running, path: Path, usage: Usage) -> Option<Alike> {
        let raw = frame.raw();
        let (before, after) = (raw.get(..text.start)?, raw.get(text.end..)?);
        let is_quoted = before.last() == Some(&b'"') && after.first() == Some(&b'"');
        let fits = is_quoted && raw.len() <= MAX_FORM && !frame.is_first() && is_plain(raw.get(text)?);
        fits.then(|| Alike { before: before.to_vec(), after: after.to_vec(), running, path, usage })
    }

    /// Where the text is in a frame of this form; `None`: the frame has another one.
    pub(super) fn text_in(&self, frame: &Frame) -> Option<Range<usize>> {
        let raw = frame.raw();
        let inner = raw.strip_prefix(self.before.as_slice())?.strip_suffix(self.after.as_slice())?;
        // An empty text is none, and is read as such.
        let is_like = !frame.is_first() && !inner.is_empty() && is_plain(inner);
        is_like.then(|| self.before.len()..self.before.len() + inner.len())
    }
}

/// True for bytes that are in a JSON string as they are (RFC 8259 section 7), and end no line and no string.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') && std::str::from_utf8(bytes).is_ok()
}
