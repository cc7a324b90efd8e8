//! Masking of a text that comes in pieces, with a bounded hold-back.
//!
//! Detection runs at fixed places of the text and not at the ends of pieces, so that any cutting of a
//! text gives the same result. A value that is still open at such a place moves the cut in front of it.
//! Against the whole text at once only this is lost: a value over [`MAX_HELD`] bytes, and a word over
//! [`CONTEXT`] bytes in front of its value.
//!
//! This is the core alone; no response path of the filter calls it yet.

use super::mask::{Masker, Target};
use crate::config::document::DataAction;

/// Bytes of text behind a value that are seen before it is released.
pub const HOLD: usize = 512;
/// Bytes of released text that detection still sees.
pub const CONTEXT: usize = 256;
/// The most that is ever held back, in bytes, but for one character.
pub const MAX_HELD: usize = 16 * 1024;

/// Bytes that are pending when detection runs.
const WINDOW: usize = 2 * HOLD;

/// Masks one text piece by piece.
#[derive(Debug)]
pub struct StreamMasker {
    /// Released text as it was before masking, then pending text from `pending` on.
    text: String,
    pending: usize,
    /// Pending bytes at which detection runs next.
    next: usize,
}

impl Default for StreamMasker {
    fn default() -> Self {
        StreamMasker::new()
    }
}

impl StreamMasker {
    /// At the beginning of a text.
    pub fn new() -> Self {
        StreamMasker { text: String::new(), pending: 0, next: WINDOW }
    }

    /// Takes the next piece; gives the masked text that is certain. `detect` finds the targets of a text; it
    /// is called once for every 512 bytes or so.
    pub fn feed(&mut self, piece: &str, masker: &mut Masker, detect: &mut dyn FnMut(&str) -> Vec<Target>) -> String {
        let mut out = String::new();
        let mut rest = piece;
        while !rest.is_empty() {
            let room = (self.pending + self.next).saturating_sub(self.text.len()).max(1);
            let (now, later) =
                rest.split_at_checked(rest.ceil_char_boundary(room.min(rest.len()))).unwrap_or((rest, ""));
            self.text.push_str(now);
            rest = later;
            if self.held() >= self.next {
                self.release(masker, detect, &mut out);
            }
        }
        out
    }

    /// The text has ended: gives the rest.
    pub fn finish(mut self, masker: &mut Masker, detect: &mut dyn FnMut(&str) -> Vec<Target>) -> String {
        let targets = detect(&self.text);
        let mut out = String::new();
        self.emit(self.text.len(), &targets, masker, &mut out);
        out
    }

    /// Bytes that wait.
    pub fn held(&self) -> usize {
        self.text.len() - self.pending
    }

    fn release(&mut self, masker: &mut Masker, detect: &mut dyn FnMut(&str) -> Vec<Target>, out: &mut String) {
        let targets = detect(&self.text);
        let wished = self.text.floor_char_boundary(self.text.len() - HOLD);
        let mut cut = wished;
        // A span that is moved in front of may itself be entered by another one.
        while let Some(open) =
            targets.iter().filter(|t| changes(t) && t.span.start < cut && cut < t.span.end).map(|t| t.span.start).min()
        {
            cut = self.text.floor_char_boundary(open);
        }
        if cut > self.pending {
            self.emit(cut, &targets, masker, out);
            self.next = WINDOW;
        } else if self.held() < MAX_HELD {
            self.next = self.held() + HOLD;
        } else {
            self.emit(self.text.len(), &targets, masker, out);
            self.next = WINDOW;
        }
    }

    fn emit(&mut self, cut: usize, targets: &[Target], masker: &mut Masker, out: &mut String) {
        let fresh = self.text.get(self.pending..cut).unwrap_or_default();
        // What of a span is released already can't be taken back; the rest of it is masked all the same.
        let due: Vec<Target> = targets
            .iter()
            .filter(|target| target.span.end > self.pending && target.span.start < cut)
            .map(|target| Target {
                span: target.span.start.saturating_sub(self.pending)..target.span.end.min(cut) - self.pending,
                ..target.clone()
            })
            .collect();
        out.push_str(&masker.mask(fresh, &due).text);
        let kept = self.text.floor_char_boundary(cut.saturating_sub(CONTEXT));
        self.text.drain(..kept);
        self.pending = cut - kept;
    }
}

fn changes(target: &Target) -> bool {
    matches!(target.action, DataAction::Mask | DataAction::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::PiiType;
    use crate::redact::MaskKey;
    use crate::scan::Kind;
    use proptest::prelude::*;

    /// Runs of digits of any length; `#` is an open value that ends with `!` or the text.
    fn detect(text: &str) -> Vec<Target> {
        let mut out = Vec::new();
        let mut push = |span, kind| out.push(Target { span, kind, action: DataAction::Mask });
        let mut start = None;
        for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
            match (start, c.is_ascii_digit()) {
                (None, true) => start = Some(at),
                (Some(from), false) => {
                    push(from..at, Kind::Pii(PiiType::Phone));
                    start = None;
                }
                _ => {}
            }
        }
        for (from, _) in text.match_indices('#') {
            let end = text[from..].find('!').map_or(text.len(), |length| from + length + 1);
            push(from..end, Kind::Secret);
        }
        out
    }

    fn masker() -> Masker {
        Masker::new(MaskKey::new("k"))
    }

    fn stream(pieces: &[&str]) -> (String, usize) {
        let (mut masker, mut stream, mut out, mut most) = (masker(), StreamMasker::new(), String::new(), 0);
        for piece in pieces {
            out.push_str(&stream.feed(piece, &mut masker, &mut detect));
            most = most.max(stream.held());
        }
        out.push_str(&stream.finish(&mut masker, &mut detect));
        (out, most)
    }

    #[test]
    fn a_long_value_is_masked_as_one() {
        let text = format!("{}#{}!{}", "a".repeat(900), "b".repeat(5000), "c".repeat(900));
        let (out, most) = stream(&[&text]);
        assert_eq!(out, format!("{}[SECRET_1]{}", "a".repeat(900), "c".repeat(900)));
        assert!(most <= MAX_HELD);
    }

    #[test]
    fn a_value_without_an_end_is_bounded_and_never_released() {
        let text = format!("#{}", "b".repeat(5 * MAX_HELD));
        let pieces: Vec<&str> = text.as_bytes().chunks(777).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
        let (out, most) = stream(&pieces);
        assert!(most <= MAX_HELD + WINDOW);
        // What the detector no longer sees the beginning of is beyond it: the bound is stated, not hidden.
        assert!(out.starts_with("[SECRET_1]"));
    }

    proptest! {
        #[test]
        fn any_cutting_gives_what_the_whole_text_gives(
            parts in prop::collection::vec(prop_oneof!["[a-zé ]{0,400}", "[0-9]{1,200}", "#[a-z]{0,300}!"], 0..16),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)
        ) {
            let text = parts.join(" ");
            let mut places: Vec<usize> = cuts.iter().map(|at| text.floor_char_boundary(at.index(text.len() + 1))).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let pieces: Vec<&str> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(stream(&pieces).0, masker().mask(&text, &detect(&text)).text);
        }
    }
}
