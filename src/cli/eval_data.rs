//! `bartizan eval-data`: what the packs secrets and pii find in labelled text, span by span.
//!
//! Rows are `{"text", "label", "spans"?: [{"start", "end", "type"}]}`, spans in characters. `label` is `secret`
//! (counts as found when any secret is), `pii` (its spans count one by one, by type), anything else is clean:
//! what is found there is a false positive.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::output::{Outcome, print, print_json, read_text};
use crate::config::document::{Pack, Zone};
use crate::scan::{Budget, Kind, Scanner, Selection, Text};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files of rows {"text", "label", "spans"?}, one JSON object a line
    #[arg(value_name = "DATA.jsonl", required = true)]
    files: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Print every missed span and every false positive as well: rule ids and texts, to stderr
    #[arg(long)]
    misses: bool,
}

#[derive(Debug, Deserialize)]
struct Row {
    text: String,
    label: String,
    zone: Option<String>,
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: usize,
    end: usize,
    r#type: String,
}

/// Found of all, and the 95 % interval of that share.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Share {
    /// Rows or spans that were found.
    pub found: usize,
    /// All of them.
    pub all: usize,
    /// Wilson, 95 %.
    pub ci95: [f64; 2],
}

impl Share {
    fn count(&mut self, found: bool) {
        self.found += usize::from(found);
        self.all += 1;
    }

    fn close(&mut self) {
        let (n, z) = (self.all as f64, 1.959_964_f64);
        if self.all == 0 {
            return;
        }
        let p = self.found as f64 / n;
        let middle = p + z * z / (2.0 * n);
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        self.ci95 = [((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)];
    }
}

/// The figures of one file.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataReport {
    /// The file's name.
    pub file: String,
    /// Rows labelled `secret` in which a secret is found.
    pub secrets: Share,
    /// Labelled spans of which a finding of the same type covers some part, by the type's name in the rules.
    pub spans: BTreeMap<&'static str, Share>,
    /// Clean rows in which a secret is found.
    pub clean_secrets: Share,
    /// Clean rows in which personal data is found.
    pub clean_pii: Share,
}

/// The name in the rules of a label's type; `None`: no rule looks for it.
fn kind_of(label: &str) -> Option<&'static str> {
    Some(match label {
        "EMAIL_ADDRESS" => "email",
        "CREDIT_CARD" => "creditCard",
        "IBAN_CODE" => "iban",
        "US_SSN" => "usSsn",
        "IP_ADDRESS" => "ipAddress",
        "MAC_ADDRESS" => "macAddress",
        "CRYPTO" => "cryptoWallet",
        phone if phone.contains("PHONE") || phone.ends_with("MOBILE_NUMBER") => "phone",
        _ => return None,
    })
}

/// Scans the rows of one file with the packs secrets and pii.
///
/// # Errors
/// A file that can't be read, a line that is not a row.
fn evaluate(path: &std::path::Path, scanner: &Scanner, misses: bool) -> anyhow::Result<DataReport> {
    let mut report =
        DataReport { file: path.file_stem().unwrap_or_default().to_string_lossy().into(), ..DataReport::default() };
    let budget = Budget { scan_bytes: 1 << 24, decoded_bytes: 1 << 22 };
    for (number, line) in read_text(path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Row =
            serde_json::from_str(line).with_context(|| format!("{}: line {}", path.display(), number + 1))?;
        let zone = row.zone.as_deref().and_then(|name| Zone::ALL.iter().copied().find(|zone| zone.as_str() == name));
        let scan = scanner.scan(&[Text { zone: zone.unwrap_or(Zone::User), text: &row.text }], budget);
        let found: Vec<(&str, Kind, std::ops::Range<usize>)> = scan
            .texts
            .iter()
            .flat_map(|text| &text.findings)
            .filter_map(|f| {
                scanner.cards().get(usize::from(f.rule.0)).map(|card| (card.id.as_str(), card.kind, f.span.clone()))
            })
            .collect();
        let secret = found.iter().any(|(_, kind, _)| *kind == Kind::Secret);
        let pii = found.iter().any(|(_, kind, _)| matches!(kind, Kind::Pii(_)));
        let tell = |what: &str, text: &str| {
            if misses {
                let hits: Vec<(&str, &str)> =
                    found.iter().map(|(id, _, at)| (*id, row.text.get(at.clone()).unwrap_or(""))).collect();
                eprintln!("{} {what} {text:?} {hits:?}", report.file);
            }
        };
        match row.label.as_str() {
            "secret" => {
                report.secrets.count(secret);
                if !secret {
                    tell("missed secret", &row.text);
                }
            }
            "pii" => {
                let at: Vec<usize> = row.text.char_indices().map(|(at, _)| at).chain([row.text.len()]).collect();
                for span in &row.spans {
                    let (Some(name), Some(start), Some(end)) =
                        (kind_of(&span.r#type), at.get(span.start), at.get(span.end))
                    else {
                        continue;
                    };
                    let hit = found.iter().any(|(_, kind, range)| {
                        matches!(kind, Kind::Pii(kind) if kind.as_str() == name)
                            && range.start < *end
                            && *start < range.end
                    });
                    report.spans.entry(name).or_default().count(hit);
                    if !hit {
                        tell(name, row.text.get(*start..*end).unwrap_or_default());
                    }
                }
            }
            _ => {
                report.clean_secrets.count(secret);
                report.clean_pii.count(pii);
                if secret || pii {
                    tell("flagged clean text", row.text.get(..row.text.floor_char_boundary(160)).unwrap_or_default());
                }
            }
        }
    }
    report.secrets.close();
    report.clean_secrets.close();
    report.clean_pii.close();
    report.spans.values_mut().for_each(Share::close);
    Ok(report)
}

/// Evaluates the files in the order given.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let packs = [Pack::Secrets, Pack::Pii];
    let selection = Selection { packs: &packs, disable: &[], custom: &[], scorer: false };
    let scanner = Scanner::compile(&selection).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let mut reports = Vec::new();
    for path in &arguments.files {
        reports.push(evaluate(path, &scanner, arguments.misses)?);
    }
    if arguments.json {
        print_json(&serde_json::json!({ "files": reports, "rulesDigest": scanner.digest() }))?;
    } else {
        let show = |share: &Share| match share.all {
            0 => "-".to_owned(),
            all => format!("{}/{all} [{:.1}-{:.1} %]", share.found, share.ci95[0] * 100.0, share.ci95[1] * 100.0),
        };
        for report in &reports {
            let mut line = format!(
                "{}: secrets {}; clean flagged: secrets {}, pii {}",
                report.file,
                show(&report.secrets),
                show(&report.clean_secrets),
                show(&report.clean_pii)
            );
            for (kind, share) in &report.spans {
                line.push_str(&format!("; {kind} {}", show(share)));
            }
            print(&format!("{line}\n"))?;
        }
    }
    Ok(Outcome::Fine)
}
