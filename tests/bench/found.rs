//! What the scanner finds, one JSON line a text: two builds over the same texts print what `diff` can compare.

use std::error::Error;
use std::io::Write;

use bartizan::enums::{Pack, Zone};
use bartizan::scan::{Budget, Scanner, Selection, Text};

use super::texts::{Kind, Texts};

/// Texts of each kind and size.
const COUNT: usize = 24;
/// Rows of a file are read by themselves, and together in texts of about this size.
const TOGETHER: usize = 12 * 1024;

/// Fresh texts of every kind, and the texts of these files of rows.
///
/// # Errors
/// When a file can't be read, or is none of rows.
pub fn all(files: &[&str]) -> Result<(), Box<dyn Error>> {
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: true };
    let scanner = Scanner::compile(&selection).map_err(|faults| format!("{faults:?}"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut texts = Texts::new(22);
    for kind in Kind::ALL {
        for size in [1024, 16 * 1024, 150 * 1024] {
            let count = if size > 16 * 1024 { 2 } else { COUNT };
            for number in 0..count {
                let name = format!("{} {size} {number}", kind.name());
                line(&scanner, &name, &texts.fresh(kind, size), &mut out)?;
            }
        }
    }
    for file in files {
        let mut together = String::new();
        for (number, row) in std::fs::read_to_string(file)?.lines().enumerate() {
            let row: serde_json::Value = serde_json::from_str(row)?;
            let text = row.get("text").and_then(serde_json::Value::as_str).ok_or("a row without a text")?;
            line(&scanner, &format!("{file} {number}"), text, &mut out)?;
            together.push_str(text);
            together.push('\n');
            if together.len() >= TOGETHER {
                line(&scanner, &format!("{file} up to {number}"), &std::mem::take(&mut together), &mut out)?;
            }
        }
    }
    Ok(out.flush()?)
}

fn line(scanner: &Scanner, name: &str, text: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let report = scanner.scan(&[Text { zone: Zone::User, text }], Budget::SHIPPED);
    let Some(report) = report.texts.first() else { return Err("no report".into()) };
    let card = |rule: bartizan::scan::RuleIndex| scanner.cards().get(usize::from(rule.0)).map(|card| card.id.as_str());
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|found| format!("{} {:?} {}", card(found.rule).unwrap_or_default(), found.span, found.chain.join("+")))
        .collect();
    let refused: Vec<_> =
        report.refused.iter().map(|(rule, span)| format!("{} {span:?}", card(*rule).unwrap_or_default())).collect();
    let line = serde_json::json!({
        "text": name, "found": findings, "learned": report.learned, "refused": refused, "complete": report.complete,
        "score": scanner.score(report, Zone::User, &|_| false), "decisive": scanner.decisive_score(report, &|_| false),
    });
    writeln!(out, "{line}")?;
    Ok(())
}
