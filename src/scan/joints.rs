//! What only shows where neighbouring texts meet: an attack with a word in each part, a key that is cut in two.
//!
//! The texts of a request make one running text, to which a long text adds only its two ends. It is read in three
//! ways: with every two neighbours apart, and with every other two of them glued, so that each border is glued once
//! while its neighbours are not. A key in three parts and more goes through parts without white space: such parts are
//! glued to a run in two more ways, and read as they are. Personal data is not looked for where parts are glued: two
//! numbers of a list would make a third one by chance. All of it comes out of the request's work.
//!
//! Names, ids, metadata and unknown keys part nothing: a model reads what comes before them next to what comes behind.
//! So the conversation is read without them, and with them only where they are.
//!
//! What is found needs both sides. A value at the end of one text does not reach into the next one because
//! a letter follows there: where one of the texts has a finding of its own, or a match that its validator refused, no
//! finding that overlaps it is a joint's.

use std::collections::BTreeSet;

use crate::sorted;
use std::ops::Range;

use bartizan_rules::invariant::{holds, part, sure};

use super::engine::Zones;
use super::memory::{IsAside, Known};
use super::text::Scan;
use super::{Finding, Kind, Report, RuleCard, RuleIndex, Text, TextReport};

/// Bytes of either side of a joint.
const SIDE: usize = 256;
/// Bytes after which a running text goes on in another block: what an earlier request brought is not read again when a
/// text is added.
const BLOCK: usize = 4096;
/// Marks of a cut word: white space on neither side.
const GLUE: &str = "";
const GAP: &str = "\n";

/// A text, or an end of it, in a running text.
#[derive(Clone, Copy, Debug)]
struct Piece<'t> {
    /// The text's index.
    text: usize,
    /// Where the piece begins in it.
    from: usize,
    part: &'t str,
}

/// Adds the joints of all texts to a report that holds what each of them has by itself. `is_aside`: the text of this index
/// is none of the conversation's.
pub(super) async fn find(
    scan: &mut Scan<'_>,
    cards: &[RuleCard],
    texts: &[Text<'_>],
    is_aside: &IsAside<'_>,
    report: &mut Report,
) {
    // With one for each text, whatever a piece names below is there.
    holds(report.texts.len() == texts.len(), "a text without a report");
    let mut joints: Vec<(usize, Finding)> = Vec::new();
    let mut known_joints = BTreeSet::new();
    let aside: Vec<bool> = (0..texts.len()).map(is_aside).collect();
    let is_aside = |at: usize| sure(aside.get(at)).is_some_and(|is_aside| *is_aside);
    let talk = blocks(texts, &|at| !is_aside(at)).into_iter();
    let all = blocks(texts, &|_| true).into_iter().filter(|block| block.iter().any(|piece| is_aside(piece.text)));
    for (block, is_talk) in talk.map(|block| (block, true)).chain(all.map(|block| (block, false))) {
        let block = Block::new(block);
        let zone = |piece: &Piece<'_>| sure(texts.get(piece.text)).map_or(0, |text| text.zone as u8);
        let parts = block.pieces.iter().map(|piece| (zone(piece), piece.part));
        let known = if is_talk { Known::of_talk(parts) } else { Known::of_block(parts) };
        let found = scan.pace().remembered(&known, read(scan, &block, is_talk)).await;
        scan.rest().await;
        // Each is compared with what its texts have alone.
        let alone = |nth: usize| {
            let text = block.pieces.get(nth).and_then(|piece| report.texts.get(piece.text));
            sure(text).map_or(0, |text| text.findings.len() + text.refused.len())
        };
        let compared = |finding: &Finding| 1 + block.over(&finding.span).map(alone).sum::<usize>();
        let steps: usize = found.findings.iter().map(compared).sum();
        let is_paid = scan.pays(steps);
        if !(found.complete && is_paid)
            && let Some(last) = sure(block.pieces.last().and_then(|piece| report.texts.get_mut(piece.text)))
        {
            last.complete = false;
        }
        for finding in found.findings.into_iter().filter(|_| is_paid) {
            let Some((at, joint)) = attributed(scan, cards, texts, report, &block, finding) else { continue };
            if known_joints.insert((at, joint.rule)) {
                joints.push((at, joint));
            }
        }
    }
    sorted::by_key(&mut joints, |(at, finding)| (*at, finding.span.end));
    report.joints = joints;
}

/// Neighbours that are read together.
struct Block<'t> {
    pieces: Vec<Piece<'t>>,
    /// Where each piece ends if nothing is between them.
    ends: Vec<usize>,
}

impl<'t> Block<'t> {
    fn new(pieces: Vec<Piece<'t>>) -> Self {
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.part.len();
            Some(*end)
        });
        Block { ends: ends.collect(), pieces }
    }

    /// Where a piece begins.
    fn start(&self, nth: usize) -> usize {
        nth.checked_sub(1).and_then(|before| sure(self.ends.get(before))).map_or(0, |end| *end)
    }

    /// The pieces that a span touches.
    fn over(&self, span: &Range<usize>) -> Range<usize> {
        let first = self.ends.partition_point(|end| *end <= span.start);
        first..self.ends.partition_point(|end| *end < span.end).min(self.pieces.len().saturating_sub(1)) + 1
    }
}

/// Runs of neighbours, cut into blocks that share some [`SIDE`] bytes.
fn blocks<'t>(texts: &[Text<'t>], picks: &dyn Fn(usize) -> bool) -> Vec<Vec<Piece<'t>>> {
    let (mut blocks, mut run, mut size) = (Vec::new(), Vec::new(), 0);
    let picked = texts.iter().enumerate().filter(|(at, text)| !is_blank(text.text) && picks(*at));
    for (at, Text { text, .. }) in picked {
        let is_short = text.len() <= 2 * SIDE;
        let head = if is_short { text.len() } else { text.floor_char_boundary(SIDE) };
        run.push(Piece { text: at, from: 0, part: part(text, 0..head) });
        size += head;
        if !is_short {
            blocks.push(std::mem::take(&mut run));
            let tail = text.floor_char_boundary(text.len() - SIDE);
            run.push(Piece { text: at, from: tail, part: part(text, tail..text.len()) });
            size = text.len() - tail;
        } else if size >= BLOCK {
            let mut shared = 0;
            let kept = run.iter().rev().take_while(|piece: &&Piece<'_>| {
                let more = shared < SIDE;
                shared += piece.part.len();
                more
            });
            let next: Vec<Piece<'_>> = run.iter().skip(run.len() - kept.count()).copied().collect();
            size = next.iter().map(|piece| piece.part.len()).sum();
            blocks.push(std::mem::replace(&mut run, next));
        }
    }
    blocks.push(run);
    blocks.retain(|block| block.len() > 1);
    blocks
}

/// True for a text that shows nothing: it parts nothing either.
fn is_blank(text: &str) -> bool {
    let shows_nothing =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().all(shows_nothing)
}

/// Everything in a block that reaches over a border, its spans counted as if nothing was between the pieces.
async fn read(scan: &mut Scan<'_>, block: &Block<'_>, is_talk: bool) -> TextReport {
    let neighbours = block.pieces.iter().zip(block.pieces.iter().skip(1));
    let is_cut: Vec<bool> = neighbours
        .map(|(left, right)| !left.part.ends_with(char::is_whitespace) && !right.part.starts_with(char::is_whitespace))
        .collect();
    let mut out = TextReport { complete: true, ..TextReport::default() };
    let mut known = BTreeSet::new();
    let part = |nth: usize| sure(block.pieces.get(nth)).map(|piece| piece.part).unwrap_or_default();
    let joins = |border: usize| is_single(part(border)) || is_single(part(border + 1));
    let alike = |border: usize| looks_random(last_word(part(border))) && looks_random(first_word(part(border + 1)));
    type Way<'w> = &'w dyn Fn(usize) -> bool;
    let ways: [Way<'_>; 5] = [&|_| false, &|border| border % 2 == 0, &|border| border % 2 == 1, &joins, &alike];
    let mut tried: Vec<Vec<bool>> = Vec::new();
    for (nth, glues) in ways.into_iter().enumerate() {
        let is_run = nth > 2;
        let glued: Vec<bool> = is_cut.iter().enumerate().map(|(border, cut)| *cut && glues(border)).collect();
        // Two parts are glued by the other ways.
        let is_short = is_run && !glued.iter().zip(glued.iter().skip(1)).any(|(one, next)| *one && *next);
        if (nth > 0 && !glued.contains(&true)) || (is_run && !is_talk) || is_short || tried.contains(&glued) {
            continue;
        }
        tried.push(glued.clone());
        let (mut joined, mut starts) = (String::new(), Vec::new());
        for (at, piece) in block.pieces.iter().enumerate() {
            if let Some(glued) = at.checked_sub(1).and_then(|border| sure(glued.get(border))) {
                joined.push_str(if *glued { GLUE } else { GAP });
            }
            starts.push(joined.len());
            joined.push_str(piece.part);
        }
        let zones = if nth == 0 { Zones::JOINT } else { Zones::GLUED };
        let report = if is_run { scan.joined_raw(&joined) } else { scan.joined(&joined, zones).await };
        out.complete &= report.complete;
        for finding in report.findings {
            // Without what is between the pieces.
            let place = |at: usize| {
                let nth = starts.partition_point(|start| *start <= at).saturating_sub(1);
                let inside = at - sure(starts.get(nth)).map_or(0, |start| *start);
                (block.start(nth) + inside).min(sure(block.ends.get(nth)).map_or(0, |end| *end))
            };
            let span = place(finding.span.start)..place(finding.span.end);
            if block.over(&span).len() > 1 && known.insert((finding.rule, span.start, span.end)) {
                out.findings.push(Finding { span, ..finding });
            }
        }
    }
    out
}

/// The last text that a finding touches, with what lies in it; `None`: it is no joint's.
fn attributed(
    scan: &Scan<'_>,
    cards: &[RuleCard],
    texts: &[Text<'_>],
    report: &Report,
    block: &Block<'_>,
    finding: Finding,
) -> Option<(usize, Finding)> {
    let touched = block.over(&finding.span);
    let mut last = None;
    for nth in touched {
        let (piece, start, end) = (sure(block.pieces.get(nth))?, block.start(nth), *sure(block.ends.get(nth))?);
        let from = piece.from + finding.span.start.max(start) - start;
        let to = piece.from + finding.span.end.min(end) - start;
        if has_alone(cards, sure(report.texts.get(piece.text))?, finding.rule, &(from..to)) {
            return None;
        }
        last = Some((piece.text, 0..to));
    }
    let (at, span) = last?;
    scan.looks_at(finding.rule, sure(texts.get(at))?.zone).then_some((at, Finding { span, ..finding }))
}

/// True when a text has by itself what a joint's finding would find in it: the same rule's, or any value where that finds a
/// value. A rule of a higher level is another matter: what only looks like a key by its name may be half of a real one.
fn has_alone(cards: &[RuleCard], report: &TextReport, rule: RuleIndex, span: &Range<usize>) -> bool {
    let kind = |rule: RuleIndex| sure(cards.get(usize::from(rule.0))).map_or(Kind::Attack, |card| card.kind);
    let level = |rule: RuleIndex| sure(cards.get(usize::from(rule.0))).map(|card| card.level);
    let is_value = kind(rule) != Kind::Attack;
    let overlaps = |other: &Range<usize>| other.start < span.end && span.start < other.end;
    let own = report.findings.iter().map(|finding| (finding.rule, &finding.span));
    let refused = report.refused.iter().map(|(rule, span)| (*rule, span));
    own.chain(refused).any(|(other, place)| {
        let is_like = is_value && kind(other) != Kind::Attack && level(other) >= level(rule);
        (other == rule || is_like) && overlaps(place)
    })
}

/// True for a part that a cut value may go through.
fn is_single(part: &str) -> bool {
    !part.contains(char::is_whitespace)
}

/// True for what keys are made of and words are not: digits, or capitals behind the first letter.
fn looks_random(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit()) || word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase())
}

fn first_word(part: &str) -> &str {
    part.split(char::is_whitespace).next().unwrap_or_default()
}

fn last_word(part: &str) -> &str {
    part.rsplit(char::is_whitespace).next().unwrap_or_default()
}
