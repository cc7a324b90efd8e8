//! Events that differ from the one before them in their text alone.
//!
//! A model's server writes each event of a text in one form, around the word that it adds. Where a frame has the bytes of
//! the last one on both sides of a plain text, all that was read of the last one holds for it: which running text it goes
//! on with, that nothing else in it is new, and that nothing in it changes.
//!
//! OpenAI's servers pad each event with random letters, so that its length tells nothing of the text (API reference, Chat
//! completions, `stream_options.include_obfuscation`). An event that differs in its padding, too, is of the same form.

use std::ops::Range;

use memchr::memmem;

use super::running::Running;
use crate::protocol::Path;
use crate::protocol::frames::Frame;
use crate::protocol::reply::Usage;

/// A longer form is not kept.
const MAX_FORM: usize = 4096;
/// What stands before the padding. No string of JSON holds this, for its quotes would be escaped.
const PADDING: &[u8] = b"\"obfuscation\":\"";
/// Longer padding is read as any text.
const MAX_PADDING: usize = 32;

/// The form of an event that was read and that is nothing but a piece of one running text.
#[derive(Debug)]
pub(super) struct Alike {
    /// The frame's bytes up to the text, its opening quote among them.
    before: Vec<u8>,
    /// Its bytes behind the text, up to the padding where it has some.
    after: Vec<u8>,
    /// Its bytes behind the padding.
    last: Option<Vec<u8>>,
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
        let padding = memmem::find(after, PADDING).map(|at| at + PADDING.len());
        let (after, rest) = after.split_at_checked(padding.unwrap_or(after.len()))?;
        let last = match padding {
            Some(_) => Some(rest.get(padded(rest)?..)?.to_vec()),
            None => None,
        };
        fits.then(|| Alike { before: before.to_vec(), after: after.to_vec(), last, running, path, usage })
    }

    /// Where the text is in a frame of this form, and the padding; `None`: the frame has another form.
    pub(super) fn text_in(&self, frame: &Frame) -> Option<(Range<usize>, Option<Range<usize>>)> {
        let raw = frame.raw();
        let inner = raw.strip_prefix(self.before.as_slice())?;
        let length = match self.last {
            Some(_) => inner.iter().position(|byte| *byte == b'"')?,
            None => inner.len().checked_sub(self.after.len())?,
        };
        let (text, rest) = inner.split_at_checked(length)?;
        let rest = rest.strip_prefix(self.after.as_slice())?;
        let padding = match &self.last {
            Some(last) => {
                let length = padded(rest)?;
                let from = raw.len() - rest.len();
                (rest.get(length..)? == last.as_slice()).then_some(Some(from..from + length))?
            }
            None => rest.is_empty().then_some(None)?,
        };
        // An empty text is none, and is read as such.
        let is_like = !frame.is_first() && !text.is_empty() && is_plain(text);
        is_like.then(|| (self.before.len()..self.before.len() + text.len(), padding))
    }
}

/// The length of the padding before these bytes' next quote; `None`: it is no padding.
fn padded(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().take(MAX_PADDING + 1).position(|byte| *byte == b'"')?;
    bytes.get(..length)?.iter().all(u8::is_ascii_alphanumeric).then_some(length)
}

/// True for bytes that are in a JSON string as they are (RFC 8259 section 7), and end no line and no string.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\') && std::str::from_utf8(bytes).is_ok()
}
