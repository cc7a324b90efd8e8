//! One running text of a stream, and what each event adds to it: a piece, or the same text again and more.

use std::borrow::Cow;
use std::ops::Range;

use crate::protocol::reply::{Channel, Lane};
use crate::redact::{ActiveWatch, Restorer, TextStream, Watch};
use crate::scan::Calm;

/// A text that begins as the one before it at its place did, of at least this many bytes, is that text and more.
const LEAST_GROWN: usize = 8;
/// A longer text is not compared with the one before it.
const MAX_GROWN: usize = 64 * 1024;

/// Which running text.
pub(super) type Running = (Channel, Lane);

/// One running text.
#[derive(Debug)]
pub(super) struct ChannelText {
    pub(super) text: TextStream,
    pub(super) restorer: Restorer,
    pub(super) watch: Watch,
    pub(super) active: ActiveWatch,
    /// Where it is plain words in which nothing can be found.
    pub(super) calm: Calm,
    pub(super) path: String,
    /// What came since its last piece.
    pub(super) quiet: u32,
    /// Where its last piece is.
    pub(super) at: Range<usize>,
    /// That piece is the one before it and more.
    pub(super) grows: bool,
    /// The last piece, where nothing is known of the text.
    pub(super) last: String,
}

impl ChannelText {
    /// What a text adds to the last one, where it begins as that one did and is not shorter.
    pub(super) fn added<'t>(&self, text: &'t str) -> Option<&'t str> {
        let is_long = (LEAST_GROWN..=MAX_GROWN).contains(&self.at.len());
        text.strip_prefix(self.text.raw(&self.at).filter(|_| is_long)?)
    }

    /// Takes the text of one more event: where it is in the running text, and what of that is new. Where texts `may_grow`, one
    /// that begins as the last one did is at its place: it is judged as one text, not as two behind each other.
    pub(super) fn take<'t>(&mut self, text: &'t str, may_grow: bool) -> (Range<usize>, Cow<'t, str>) {
        let (start, added) = (self.at.start, self.added(text).filter(|_| may_grow));
        let (start, new) = match added {
            Some(added) if start == 0 || self.grows => (Some(start), Cow::Borrowed(added)),
            // Shorter beginnings of it are before it, as pieces.
            Some(_) => (None, Cow::Owned(format!("\n{text}"))),
            None => (None, Cow::Borrowed(text)),
        };
        self.grows = added.is_some();
        let end = self.text.push(&new).end;
        self.at = start.unwrap_or(end - text.len())..end;
        (self.at.clone(), new)
    }
}
