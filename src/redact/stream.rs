//! A text that comes in pieces, and what must change in it before it goes on.
//!
//! Nothing is moved: a [`TextStream`] says up to where the text is certain, and which bytes get another text.
//! A value may go on in the next piece, so that the end of the text waits: its last word, a run of words
//! with digits or capitals (numbers are written in groups), an address that is not closed, and whatever the
//! detection takes for a value that is still open. In prose that is one word. Against the whole text at once
//! only this is lost: a value over [`MAX_HELD`] bytes, and a word over [`CONTEXT`] bytes in front of its value.

use std::ops::Range;

use crate::sorted;

use bartizan_rules::invariant::{between, onwards, part};

use super::mask::{Masker, Target, changes};
use super::restore::{Restorer, Vault};

/// How far back a run of words with digits may reach, in bytes.
pub const HOLD: usize = 512;
/// Bytes of certain text that detection still sees.
pub const CONTEXT: usize = 256;
/// The most that ever waits, in bytes, but for one piece.
pub const MAX_HELD: usize = 16 * 1024;

/// A word longer than this is no value that its beginning could give away.
const LONGEST_WORD: usize = 4096;

/// What was found in a text.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// Values and what happens to them.
    pub targets: Vec<Target>,
    /// Places that get another text.
    pub replaced: Vec<(Range<usize>, &'static str)>,
    /// Where something begins that may go on in the next piece.
    pub open: Option<usize>,
}

/// Gives values back in a text whose model saw placeholders.
#[derive(Debug)]
pub struct Restoring<'v> {
    /// The values of the request.
    pub vault: &'v Vault,
    /// The text's own restorer.
    pub restorer: &'v mut Restorer,
    /// Places of the whole text that no value is put into: addresses and tags.
    pub closed: &'v [Range<usize>],
}

/// One text that comes in pieces. Places are bytes from its beginning.
#[derive(Debug, Default)]
pub struct TextStream {
    /// The text from `base` on.
    text: String,
    base: usize,
    certain: usize,
    /// In order, never overlapping.
    edits: Vec<(Range<usize>, String)>,
    /// What is certain ends with a text in brackets that was put there; true where it begins a line.
    placed: Option<bool>,
}

impl TextStream {
    /// Appends a piece and says where it is.
    pub fn push(&mut self, piece: &str) -> Range<usize> {
        let start = self.base + self.text.len();
        self.text.push_str(piece);
        start..start + piece.len()
    }

    /// The text of a range as it came; `None`: some of it was forgotten.
    pub fn raw(&self, range: &Range<usize>) -> Option<&str> {
        let relative = range.start.checked_sub(self.base)?..range.end.checked_sub(self.base)?;
        self.text.get(relative)
    }

    /// Up to where the text will not change any more.
    pub fn certain(&self) -> usize {
        self.certain
    }

    /// Bytes that wait.
    pub fn held(&self) -> usize {
        self.base + self.text.len() - self.certain
    }

    /// Looks at what is new. `detect` sees the text from somewhat before what is certain, and the place of what it
    /// sees. The number of edits that this made is returned.
    pub fn advance(
        &mut self,
        ended: bool,
        masker: &mut Masker,
        restoring: Option<Restoring<'_>>,
        detect: &mut dyn FnMut(&str, usize) -> Detected,
    ) -> usize {
        let pending = self.certain - self.base;
        let from = self.text.floor_char_boundary(pending.saturating_sub(CONTEXT));
        let seen = part(&self.text, from..self.text.len());
        let pending = pending - from;
        let forced = ended || seen.len() - pending > MAX_HELD;
        let mut cut = if forced { seen.len() } else { pending + safe_cut(part(seen, pending..seen.len())) };
        if cut <= pending {
            return 0;
        }
        let found = detect(seen, self.base + from);
        let spans = || {
            let targets = found.targets.iter().filter(|target| changes(target.action)).map(|target| &target.span);
            targets.chain(found.replaced.iter().map(|(span, _)| span))
        };
        if !forced {
            cut = cut.min(seen.floor_char_boundary(found.open.unwrap_or(cut)));
            // A span that is moved in front of may itself be entered by another one.
            while let Some(open) = spans().filter(|s| s.start < cut && cut < s.end).map(|s| s.start).min() {
                cut = seen.floor_char_boundary(open);
            }
        }
        if cut <= pending {
            return 0;
        }
        let fresh = part(seen, pending..cut);
        // What of a span is gone already can't be taken back; the rest of it changes all the same.
        let within = |span: &Range<usize>| {
            (span.end > pending && span.start < cut)
                .then(|| span.start.saturating_sub(pending)..span.end.min(cut) - pending)
        };
        let due: Vec<Target> = (found.targets.iter())
            .filter_map(|target| within(&target.span).map(|span| Target { span, ..target.clone() }))
            .collect();
        let masked = masker.mask(fresh, &due);
        let mut edits: Vec<(Range<usize>, String)> = (masked.edits.iter())
            .map(|edit| (edit.before.clone(), part(&masked.text, edit.after.clone()).to_owned()))
            .collect();
        for (span, text) in &found.replaced {
            if let Some(span) = within(span) {
                cover(&mut edits, outward(fresh, span), text);
            }
        }
        let start = self.certain;
        if let Some(Restoring { vault, restorer, closed }) = restoring {
            let closed = merged(closed);
            let is_closed = |span: &Range<usize>| {
                let next = closed.partition_point(|known| known.end <= span.start + start);
                closed.get(next).is_some_and(|known| known.start < span.end + start)
            };
            for (span, value) in restorer.edits(vault, fresh, &is_closed) {
                add(&mut edits, span, value);
            }
        }
        let count = edits.len();
        let open = keep_apart(&mut edits, self.placed, seen, pending, cut);
        self.placed = open;
        self.edits.extend(edits.into_iter().map(|(span, text)| (span.start + start..span.end + start, text)));
        self.certain = start + (cut - pending);
        count
    }

    /// The text of a range with its changes; `None`: it stays as it came. A change is written whole where it begins.
    pub fn render(&self, range: &Range<usize>) -> Option<String> {
        let first = self.edits.partition_point(|(span, _)| span.end <= range.start);
        let touched = || onwards(&self.edits, first).iter().take_while(|(span, _)| span.start < range.end);
        touched().next()?;
        let text = |from: usize, to: usize| {
            let relative = from.saturating_sub(self.base)..to.saturating_sub(self.base);
            part(&self.text, relative)
        };
        let (mut out, mut done) = (String::new(), range.start);
        for (span, new) in touched() {
            out.push_str(text(done, span.start.max(done)));
            if span.start >= range.start {
                out.push_str(new);
            }
            done = span.end.min(range.end);
        }
        out.push_str(text(done, range.end));
        Some(out)
    }

    /// What gets another text and holds bytes on both sides of this place.
    pub fn changed_across(&self, at: usize) -> Option<Range<usize>> {
        let next = self.edits.partition_point(|(span, _)| span.end <= at);
        self.edits.get(next).map(|(span, _)| span.clone()).filter(|span| span.start < at)
    }

    /// Puts another text in the place of a range that is certain and has not gone on. Where something was put there already,
    /// it takes the place of that too.
    pub fn put(&mut self, range: Range<usize>, text: &str) {
        let relative = |at: usize| at.saturating_sub(self.base).min(self.text.len());
        let before = part(&self.text, 0..relative(range.start));
        let after = part(&self.text, relative(range.end)..self.text.len());
        let mut text = text.to_owned();
        // `[PERSON_1]` would be a part of an image or a link.
        if before.ends_with('!') {
            text.insert(0, ' ');
        }
        if after.starts_with(['(', '[', ':']) {
            text.push(' ');
        }
        let span = self.base + relative(range.start)..self.base + relative(range.end);
        cover(&mut self.edits, span, &text);
    }

    /// What comes before this place has gone on and is not asked for again.
    pub fn forget(&mut self, before: usize) {
        let keep = before.min(self.certain.saturating_sub(CONTEXT)).saturating_sub(self.base);
        let keep = self.text.floor_char_boundary(keep);
        // Moving the rest for every word would be quadratic, also where a long text leaves piece by piece.
        if keep >= HOLD.max(self.text.len() / 2) {
            self.text.drain(..keep);
            self.base += keep;
            let base = self.base;
            self.edits.retain(|(span, _)| span.end > base);
        }
    }
}

/// Adds an edit where none is; they stay in order.
fn add(edits: &mut Vec<(Range<usize>, String)>, span: Range<usize>, text: String) {
    let at = edits.partition_point(|(known, _)| known.end <= span.start);
    if edits.get(at).is_none_or(|(next, _)| span.end <= next.start) {
        edits.insert(at, (span, text));
    }
}

/// `[EMAIL_1]` behind an exclamation mark, or before a bracket, would be a part of an image or a link: a space keeps them
/// apart. `placed`: the text before ended with such an edit, which began a line or not. The same is returned of this one.
fn keep_apart(
    edits: &mut Vec<(Range<usize>, String)>,
    placed: Option<bool>,
    seen: &str,
    pending: usize,
    cut: usize,
) -> Option<bool> {
    let joins = |c: char, begins_line: bool| matches!(c, '(' | '[') || c == ':' && begins_line;
    let mut open = None;
    for (span, text) in edits.iter_mut().filter(|(_, text)| text.starts_with('[') && text.ends_with(']')) {
        let before = part(seen, 0..pending + span.start);
        let after = part(seen, pending + span.end..seen.len());
        let line = before.rsplit('\n').next().unwrap_or_default();
        let begins_line = line.chars().all(|c| c.is_ascii_digit() || " \t>-*+.)".contains(c));
        // A tag ends an address in front of it.
        let tag = seen.get(pending + span.start..).is_some_and(|rest| rest.starts_with('<'));
        if before.ends_with(|c: char| c == '!' || tag && !c.is_whitespace()) {
            text.insert(0, ' ');
        }
        match after.chars().next() {
            Some(next) if joins(next, begins_line) => text.push(' '),
            None if pending + span.end == cut => open = Some(begins_line),
            _ => {}
        }
    }
    let first = seen.get(pending..cut).and_then(|fresh| fresh.chars().next());
    if let Some(first) = first.filter(|first| placed.is_some_and(|begins_line| joins(*first, begins_line))) {
        match edits.first_mut().filter(|(span, _)| span.start == 0) {
            Some((_, text)) => text.insert(0, ' '),
            None => edits.insert(0, (0..1, format!(" {first}"))),
        }
    }
    open
}

/// The same places in order, none touching another.
fn merged(spans: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut spans = spans.to_vec();
    sorted::by_key(&mut spans, |span| span.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut().filter(|last| span.start <= last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => out.push(span),
        }
    }
    out
}

/// Puts an edit in the place of all that it touches.
fn cover(edits: &mut Vec<(Range<usize>, String)>, mut span: Range<usize>, text: &str) {
    let first = edits.partition_point(|(known, _)| known.end <= span.start);
    let last = edits.partition_point(|(known, _)| known.start < span.end);
    for (known, _) in between(edits, first..last.max(first)) {
        span = span.start.min(known.start)..span.end.max(known.end);
    }
    edits.splice(first..last.max(first), [(span, text.to_owned())]);
}

fn outward(text: &str, span: Range<usize>) -> Range<usize> {
    text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end)
}

/// Bytes of a text whose end is not known that can't be the beginning of anything.
fn safe_cut(text: &str) -> usize {
    let mut cut = word_start(text, text.len());
    if text.len() - cut > LONGEST_WORD {
        cut = text.floor_char_boundary(text.len() - LONGEST_WORD);
    }
    let earliest = text.floor_char_boundary(cut.saturating_sub(HOLD));
    // Two plain words behind a number end it: `12 March 1985` is one date.
    let (mut at, mut plain) = (cut, 0);
    while plain < 3 && at > earliest {
        let end = part(text, 0..at).trim_end().len();
        let start = match word_start(text, end) {
            0 if end == 0 => break,
            // A sign of a script without spaces is a word.
            start if start == end => text.floor_char_boundary(end - 1),
            start => start,
        };
        if is_number_like(part(text, start..end)) {
            (cut, plain) = (start, 0);
        } else {
            plain += 1;
        }
        at = start;
    }
    // `![words in it](https://...)` and `<img src=... >`.
    let tail = text.floor_char_boundary(text.len().saturating_sub(HOLD));
    open_bracket(part(text, tail..text.len())).map_or(cut, |open| cut.min(tail + open))
}

/// Where the word that ends here begins: behind white space, or behind a sign of a script without spaces.
fn word_start(text: &str, end: usize) -> usize {
    let parts = |c: char| c.is_whitespace() || c >= '\u{2e80}';
    let before = part(text, 0..end);
    before.char_indices().rev().find(|(_, c)| parts(*c)).map_or(0, |(at, c)| at + c.len_utf8())
}

/// Words that numbers, codes and key blocks are written in.
fn is_number_like(word: &str) -> bool {
    let has = |test: fn(&u8) -> bool| word.bytes().any(|byte| test(&byte));
    has(u8::is_ascii_digit) || word.contains("--") || !has(|byte| !byte.is_ascii() || byte.is_ascii_lowercase())
}

/// Where a link, an image or a tag begins that has not ended.
fn open_bracket(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let tag = bytes.windows(2).rposition(|pair| matches!(pair, [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'!']));
    let tag = tag.filter(|at| !onwards(bytes, *at).contains(&b'>'));
    let link = bytes.iter().rposition(|byte| *byte == b'[').filter(|at| {
        let rest = onwards(bytes, *at);
        match rest.iter().position(|byte| *byte == b']') {
            None => true,
            Some(close) => match rest.get(close + 1) {
                None => true,
                Some(b'(') => !onwards(rest, close).contains(&b')'),
                Some(_) => false,
            },
        }
    });
    let link = link.map(|at| if at > 0 && bytes.get(at - 1) == Some(&b'!') { at - 1 } else { at });
    [tag, link].into_iter().flatten().min()
}

/// Masks one text piece by piece: [`TextStream`] for callers that take text and give text.
#[derive(Debug, Default)]
pub struct StreamMasker {
    stream: TextStream,
    released: usize,
}

impl StreamMasker {
    /// At the beginning of a text.
    pub fn new() -> Self {
        StreamMasker::default()
    }

    /// Takes the next piece; gives the masked text that is certain.
    pub fn feed(&mut self, piece: &str, masker: &mut Masker, detect: &mut dyn FnMut(&str) -> Vec<Target>) -> String {
        self.stream.push(piece);
        self.go(false, masker, detect)
    }

    /// The text has ended: gives the rest.
    pub fn finish(mut self, masker: &mut Masker, detect: &mut dyn FnMut(&str) -> Vec<Target>) -> String {
        self.go(true, masker, detect)
    }

    /// Bytes that wait.
    pub fn held(&self) -> usize {
        self.stream.held()
    }

    fn go(&mut self, ended: bool, masker: &mut Masker, detect: &mut dyn FnMut(&str) -> Vec<Target>) -> String {
        self.stream
            .advance(ended, masker, None, &mut |text, _| Detected { targets: detect(text), ..Detected::default() });
        let range = self.released..self.stream.certain();
        let out = self.stream.render(&range).unwrap_or_else(|| {
            let (from, to) = (range.start - self.stream.base, range.end - self.stream.base);
            part(&self.stream.text, from..to).to_owned()
        });
        self.released = range.end;
        self.stream.forget(range.end);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::{DataAction, PiiType};
    use crate::redact::MaskKey;
    use bartizan_rules::words::Kind;
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
    fn a_placeholder_is_no_part_of_a_link() {
        for (text, wanted) in [
            ("say!12(//evil.test/a) x", "say! [PHONE_1] (//evil.test/a) x"),
            ("see 12[x] y", "see [PHONE_1] [x] y"),
            ("12: //evil.test/a", "[PHONE_1] : //evil.test/a"),
            ("at 12: noon", "at [PHONE_1]: noon"),
            ("(12) and 12!", "([PHONE_1]) and [PHONE_1]!"),
        ] {
            assert_eq!(stream(&[text]).0, wanted);
            for at in 0..=text.len() {
                assert_eq!(stream(&[&text[..at], &text[at..]]).0, wanted, "cut at {at}");
            }
        }
    }

    #[test]
    fn a_removed_place_covers_what_it_touches() {
        let mut edits = vec![(2..4, "a".to_owned()), (6..8, "b".to_owned()), (9..10, "c".to_owned())];
        cover(&mut edits, 3..7, "[removed]");
        assert_eq!(edits, [(2..8, "[removed]".to_owned()), (9..10, "c".to_owned())]);
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
        assert!(most <= MAX_HELD + 777);
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
