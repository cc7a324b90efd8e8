//! The texts of a request as one conversation: each by itself, what only shows where two of them meet (`joints`), and what
//! an earlier request has already settled (`memory`).

use bartizan_rules::invariant;

use super::joints;
use super::memory::{IsAside, Known};
use super::text::Scan;
use super::{Report, RuleCard, Text, TextReport};

/// Texts of one request that are scanned; what is beyond is reported as not complete.
pub(super) const MOST_TEXTS: usize = 65_536;
/// What a text takes, however short it is, in the time of steps that scan it.
const A_TEXT: usize = 200;

/// Scans the texts in order, each by itself, and what shows only between them.
pub(super) async fn scan(
    scan: &mut Scan<'_>,
    cards: &[RuleCard],
    texts: &[Text<'_>],
    is_aside: &IsAside<'_>,
) -> Report {
    let mut report = Report::default();
    let work = scan.work_left();
    let scanned = invariant::between(texts, 0..texts.len().min(MOST_TEXTS));
    for text in scanned {
        let known = Known::of_text(*text);
        report.texts.push(scan.pace().remembered(&known, scan.text(text.text, text.zone)).await);
        scan.tire(A_TEXT);
        scan.rest().await;
    }
    joints::find(scan, cards, scanned, is_aside, &mut report).await;
    if invariant::is_broken() {
        report.texts.iter_mut().for_each(|text| text.complete = false);
    }
    // Too many to look at: none of them is called complete.
    report.texts.resize_with(texts.len(), TextReport::default);
    report.work = work - scan.work_left();
    report
}
