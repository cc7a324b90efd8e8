//! What an outside judge is shown of a text: without credentials and personal data.

use std::ops::Range;

use crate::redact::Label;
use crate::sorted;

/// A text as it is shown, and where its parts are in the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The text.
    pub text: String,
    /// Parts that stand in both: where in the shown text, where in the original. In order.
    kept: Vec<(Range<usize>, Range<usize>)>,
}

impl Shown {
    /// The text as it is.
    pub fn raw(text: &str) -> Shown {
        Shown { text: text.to_owned(), kept: vec![(0..text.len(), 0..text.len())] }
    }

    /// The text with `[EMAIL]` and the like in the place of these spans. Spans may overlap.
    pub fn masked(text: &str, spans: &[(Range<usize>, Label)]) -> Shown {
        let mut spans: Vec<&(Range<usize>, Label)> = spans.iter().collect();
        sorted::by_key(&mut spans, |(span, _)| (span.start, std::cmp::Reverse(span.end)));
        let mut shown = Shown::default();
        let mut at = 0;
        for (span, label) in spans {
            let end = ceil(text, span.end);
            if end <= at {
                continue;
            }
            let start = floor(text, span.start).max(at);
            shown.keep(text, at..start);
            shown.text.push('[');
            shown.text.push_str(label.word());
            shown.text.push(']');
            at = end;
        }
        shown.keep(text, at..text.len());
        shown
    }

    /// The same behind a text that is none of the original's.
    #[must_use]
    pub fn behind(self, context: &str) -> Shown {
        let by = context.len();
        let moved = |(shown, original): (Range<usize>, Range<usize>)| {
            (shown.start.saturating_add(by)..shown.end.saturating_add(by), original)
        };
        Shown { text: format!("{context}{}", self.text), kept: self.kept.into_iter().map(moved).collect() }
    }

    fn keep(&mut self, text: &str, part: Range<usize>) {
        if let Some(words) = text.get(part.clone()).filter(|words| !words.is_empty()) {
            let start = self.text.len();
            self.text.push_str(words);
            self.kept.push((start..self.text.len(), part));
        }
    }

    /// The parts of the original that a span of the shown text covers; placeholders have none. In order.
    pub fn originals(&self, span: &Range<usize>) -> Vec<Range<usize>> {
        let part = |(shown, original): &(Range<usize>, Range<usize>)| {
            let (start, end) = (span.start.max(shown.start), span.end.min(shown.end));
            let from = original.start.checked_add(start.checked_sub(shown.start)?)?;
            (start < end).then(|| from..from.saturating_add(end.saturating_sub(start)))
        };
        self.kept.iter().filter_map(part).collect()
    }
}

/// The last character boundary at or before this byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first at or behind it.
fn ceil(text: &str, at: usize) -> usize {
    (at.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::PiiType;

    #[test]
    fn spans_find_their_way_back() {
        let text = "Ä from jane@example.org to joe";
        let mail = text.find("jane").unwrap();
        let shown =
            Shown::masked(text, &[(mail..mail + 16, Label::Pii(PiiType::Email)), (mail..mail + 4, Label::Secret)]);
        assert_eq!(shown.text, "Ä from [EMAIL] to joe");
        let joe = shown.text.find("joe").unwrap();
        assert_eq!(shown.originals(&(joe..joe + 3)).first(), Some(&(text.len() - 3..text.len())));
        assert_eq!(shown.originals(&(0..shown.text.len())), [0..mail, mail + 16..text.len()]);
        let placeholder = shown.text.find('[').unwrap();
        assert_eq!(shown.originals(&(placeholder..placeholder + 7)), Vec::<Range<usize>>::new());
    }

    #[test]
    fn any_spans_of_any_text_are_shown() {
        let text = "aäb€c";
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                let shown = Shown::masked(text, &[(start..end, Label::Secret), (1..2, Label::Secret)]);
                for original in shown.originals(&(0..usize::MAX)) {
                    assert!(text.get(original).is_some());
                }
            }
        }
        assert_eq!(Shown::masked("", &[]).text, "");
        assert_eq!(Shown::raw(text).originals(&(1..3)).first(), Some(&(1..3)));
    }
}
