//! A tool's result or a document loses what is hostile in it, and the rest reaches the model where it is harmless by
//! itself, in a request and in a server's reply: the smallest block around each finding gives way to the
//! notice, and what is left is judged again.

use std::ops::Range;

use bartizan_rules::invariant::part;

use super::input::{Judgement, NOTICE, Outcome, Place};
use super::mode::Act;
use crate::enums::Zone;
use crate::sorted;

/// Texts of one message that are judged again; the others are replaced whole.
const MOST_TEXTS: usize = 64;

/// Bytes that are judged again, over one message.
const MOST_BYTES: usize = 1 << 20;

/// More findings in one text replace it whole.
const MOST_SPANS: usize = 32;

/// Paragraphs that are judged one by one where no finding says which of them is hostile.
const MOST_PARAGRAPHS: usize = 64;

/// A longer line is cut by sentences.
const LONG_LINE: usize = 400;

/// Narrows what is replaced in the texts of tools and documents, at most 64 texts and 1 MiB of what is judged again.
/// `again` says what becomes of a text at its place, judged by itself; `None`: it refuses the message, or was not scanned
/// whole.
pub fn narrow<'t>(
    judgement: &mut Judgement,
    places: &[Place],
    text: &dyn Fn(usize) -> Option<&'t str>,
    again: &mut dyn FnMut(&Place, &str) -> Option<Outcome>,
) {
    let replaced: Vec<usize> = (judgement.outcomes.iter().enumerate())
        .filter(|(_, outcome)| **outcome == Outcome::Replace)
        .map(|(index, _)| index)
        .collect();
    let mut left = MOST_BYTES;
    for index in replaced.into_iter().take(MOST_TEXTS) {
        let (Some(place), Some(text)) = (places.get(index), text(index)) else { continue };
        if !matches!(place.zone, Zone::Tool | Zone::Document) {
            continue;
        }
        let found = judgement.findings.iter().filter(|judged| judged.text == index && judged.act == Act::Replace);
        let mut spans: Vec<Range<usize>> = found.map(|judged| judged.finding.span.clone()).collect();
        if spans.is_empty() {
            if text.len() > left {
                continue;
            }
            left -= text.len();
            let paragraphs = paragraphs(text);
            if (2..=MOST_PARAGRAPHS).contains(&paragraphs.len()) {
                let hostile = |part: &Range<usize>| {
                    again(place, self::part(text, part.clone())).is_none_or(|outcome| outcome == Outcome::Replace)
                };
                spans = paragraphs.into_iter().filter(hostile).collect();
            }
        }
        if spans.is_empty() || spans.len() > MOST_SPANS {
            continue;
        }
        for block in [block as fn(&str, &Range<usize>) -> Range<usize>, paragraph] {
            let Some(rest) = without(text, spans.iter().map(|span| block(text, span)).collect()) else { continue };
            if rest.len() > left {
                break;
            }
            left -= rest.len();
            let targets = match again(place, &rest) {
                Some(Outcome::Keep) => Vec::new(),
                Some(Outcome::Mask(targets)) => targets,
                _ => continue,
            };
            if let Some(outcome) = judgement.outcomes.get_mut(index) {
                *outcome = Outcome::Cut(rest, targets);
            }
            break;
        }
    }
}

/// The text with the notice in the place of these blocks. `None`: nothing else would be left.
fn without(text: &str, mut blocks: Vec<Range<usize>>) -> Option<String> {
    sorted::by_key(&mut blocks, |block| (block.start, block.end));
    let (mut out, mut at, mut kept) = (String::with_capacity(text.len()), 0, false);
    for block in blocks {
        if let Some(before) = text.get(at..block.start) {
            kept |= before.chars().any(char::is_alphanumeric);
            out.push_str(before);
            out.push_str(NOTICE);
        }
        at = at.max(block.end);
    }
    let rest = text.get(at..)?;
    kept |= rest.chars().any(char::is_alphanumeric);
    out.push_str(rest);
    kept.then_some(out)
}

/// The element on lines of its own around the span, else its line, else of a long line its sentence and the
/// next one, because an order goes on there.
fn block(text: &str, span: &Range<usize>) -> Range<usize> {
    if let Some(element) = element(text, span) {
        return element;
    }
    let line = between(text, span, "\n");
    if line.len() <= LONG_LINE {
        return line;
    }
    const ENDS: [&str; 4] = [". ", "! ", "? ", "。"];
    let before = part(text, line.start..span.start);
    let start = ENDS.iter().filter_map(|end| before.rfind(end).map(|at| line.start + at + end.len())).max();
    let mut end = span.end;
    for _ in 0..2 {
        let after = part(text, end..line.end);
        end = ENDS.iter().filter_map(|mark| after.find(mark).map(|at| end + at + mark.len())).min().unwrap_or(line.end);
    }
    start.unwrap_or(line.start)..end
}

/// `<system-reminder>`, lines, `</system-reminder>`: the innermost such element around the span.
fn element(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    const MOST_TRIED: usize = 8;
    let mut from = span.end;
    for _ in 0..MOST_TRIED {
        let at = from + text.get(from..)?.find("</")?;
        let name_end = at + text.get(at..)?.find('>')?;
        from = name_end + 1;
        let name = text.get(at + 2..name_end)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            continue;
        }
        let before = text.get(..span.start)?;
        let open = format!("<{name}");
        let Some(start) = before.rfind(&open) else { continue };
        let is_whole = before.get(start + open.len()..).is_some_and(|rest| rest.starts_with(['>', ' ', '\n', '\t']));
        let is_first = before.get(..start)?.rsplit('\n').next().is_some_and(|lead| lead.trim().is_empty());
        if is_whole && is_first {
            return Some(start..from);
        }
    }
    None
}

/// Lines without an empty one between them.
fn paragraph(text: &str, span: &Range<usize>) -> Range<usize> {
    between(text, span, "\n\n")
}

/// What is between two separators around the span.
fn between(text: &str, span: &Range<usize>, separator: &str) -> Range<usize> {
    let before = part(text, 0..span.start);
    let after = part(text, span.end..text.len());
    let start = before.rfind(separator).map_or(0, |at| at + separator.len());
    let end = after.find(separator).map_or(text.len(), |at| span.end + at);
    start..end
}

/// All paragraphs.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let parts = text.split("\n\n").map(|part| {
        let range = at..at + part.len();
        at = range.end + 2;
        range
    });
    parts.filter(|range| !range.is_empty()).take(MOST_PARAGRAPHS + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str, hostile: &str) -> Option<String> {
        let start = text.find(hostile).unwrap();
        without(text, vec![block(text, &(start..start + hostile.len()))])
    }

    #[test]
    fn the_smallest_block_around_a_finding_goes() {
        let long = "It rains. ".repeat(50);
        for (text, left) in [
            ("a\n<note>\nx BAD y\n</note>\nb".to_owned(), Some(format!("a\n{NOTICE}\nb"))),
            ("a\n<note kind=\"x\">\nBAD\n</note>".to_owned(), Some(format!("a\n{NOTICE}"))),
            ("a\nx BAD y\nb".to_owned(), Some(format!("a\n{NOTICE}\nb"))),
            ("a <b>BAD</b> c\nd".to_owned(), Some(format!("{NOTICE}\nd"))),
            ("x BAD y".to_owned(), None),
            ("\n\nx BAD y\n--\n".to_owned(), None),
            (format!("{long}BAD one. Two. Three."), Some(format!("{long}{NOTICE}Three."))),
        ] {
            assert_eq!(cut(&text, "BAD"), left, "{text}");
        }
    }

    proptest! {
        /// Whatever the text: nothing panics, what was found is gone, and every block holds its span.
        #[test]
        fn no_block_leaves_a_part_of_its_finding(text in "[a-z.<>/\\n é]{0,80}", spans in proptest::collection::vec((0usize..80, 0usize..20), 1..5)) {
            let edge = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let spans: Vec<Range<usize>> = spans.into_iter().map(|(start, length)| edge(start)..edge(start + length)).collect();
            for of in [block, paragraph] {
                let blocks: Vec<Range<usize>> = spans.iter().map(|span| of(&text, span)).collect();
                for (block, span) in blocks.iter().zip(&spans) {
                    prop_assert!(block.start <= span.start && span.end <= block.end);
                    prop_assert!(text.get(block.clone()).is_some());
                }
                let total: usize = spans.iter().map(Range::len).max().unwrap_or(0);
                if let Some(rest) = without(&text, blocks.clone()) {
                    prop_assert!(rest.len() <= text.len() - total + NOTICE.len() * blocks.len());
                }
            }
        }
    }
}
