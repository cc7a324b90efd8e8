//! Charts as inline SVG. Their words are outside, so that they are as large on a narrow screen; a table says the same.

use std::fmt::Write as _;

use super::tally::{Column, VERDICTS};

/// The fill of each verdict: a colour, and a pattern for readers who do not tell the colours apart.
const PATTERNS: &str = "<defs>\
    <pattern id=\"p-mask\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
    <path class=\"f-mask\" d=\"M0 0h6v6H0z\"/>\
    <path class=\"ink\" d=\"M0 3h6\"/></pattern>\
    <pattern id=\"p-replace\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
    <path class=\"f-mask\" d=\"M0 0h6v6H0z\"/><path class=\"dot\" d=\"M2 2h2v2H2z\"/></pattern>\
    <pattern id=\"p-block\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
    <path class=\"f-block\" d=\"M0 0h6v6H0z\"/>\
    <path class=\"ink\" d=\"M-1 1l2-2M0 6l6-6M5 7l2-2\"/></pattern></defs>";

/// Verdicts over time, stacked: refusals at the bottom, where they are compared best.
const ORDER: [usize; VERDICTS.len()] = [3, 2, 1, 0, 4, 5, 6];
const HEIGHT: f64 = 160.0;
const WIDTH: f64 = 960.0;

/// The class of a verdict's mark.
pub(super) fn class(verdict: usize) -> &'static str {
    match verdict {
        0 => "allow",
        1 => "mask",
        2 => "replace",
        3 => "block",
        _ => "rest",
    }
}

pub(super) fn timeline(columns: &[Column], title: &str) -> String {
    let largest = columns.iter().map(|column| column.verdicts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let step = WIDTH / columns.len().max(1) as f64;
    let gap = (step * 0.15).min(3.0);
    let mut out = open(title);
    out.push_str(PATTERNS);
    for (index, column) in columns.iter().enumerate() {
        let mut below = HEIGHT;
        for verdict in ORDER {
            let count = column.verdicts.get(verdict).copied().unwrap_or(0);
            if count == 0 {
                continue;
            }
            // What is there can be seen: a refusal among thousands has a pixel and a half.
            let height = (count as f64 / largest as f64 * (HEIGHT - 10.0)).max(1.5);
            below -= height;
            let _infallible = write!(
                out,
                "<rect class=\"b-{}\" x=\"{:.1}\" y=\"{below:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                class(verdict),
                index as f64 * step + gap / 2.0,
                (step - gap).min(60.0)
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// Columns of one colour.
pub(super) fn columns(counts: &[u64], title: &str) -> String {
    let largest = counts.iter().copied().max().unwrap_or(0).max(1);
    let step = WIDTH / counts.len().max(1) as f64;
    let mut out = open(title);
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (*count as f64 / largest as f64 * (HEIGHT - 10.0)).max(1.5);
        let _infallible = write!(
            out,
            "<rect class=\"b-one\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
            index as f64 * step + 2.0,
            HEIGHT - height,
            (step - 4.0).max(1.0)
        );
    }
    out.push_str("</svg>");
    out
}

fn open(title: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\"><path class=\"grid\" d=\"M0 10H960M0 85H960M0 159.5H960\"/>",
        crate::cli::page::escape(title)
    )
}
