//! What `bartizan eval` says of data: secrets row by row, personal data span by span.
//!
//! A row labelled `secret` counts as found when any secret is; the spans of a row labelled `pii` count one by
//! one, by type; what is found in a row labelled `clean` or `clean-unverified` is a false positive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tables::wilson;
use crate::scan::{Kind, Report, Scanner};

/// Labels of rows that are about data, not about attacks.
pub(super) const LABELS: [&str; 4] = ["secret", "pii", "clean", "clean-unverified"];

/// A labelled span, in code points.
#[derive(Debug, Deserialize)]
pub(super) struct Span {
    start: usize,
    end: usize,
    r#type: String,
}

/// Found of all, and the 95 % interval of that share.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Share {
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
        self.ci95 = wilson(self.found as f64, self.all as f64);
    }
}

/// The figures of one file.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataReport {
    /// Rows labelled `secret` in which a secret is found.
    pub secrets: Share,
    /// Labelled spans of which a finding of the same type covers some part, by the type's name in the rules.
    pub spans: BTreeMap<&'static str, Share>,
    /// Clean rows in which a secret is found.
    pub clean_secrets: Share,
    /// Clean rows in which personal data is found.
    pub clean_pii: Share,
}

impl DataReport {
    /// Counts one row of one of the [`LABELS`].
    pub fn add(&mut self, scanner: &Scanner, text: &str, label: &str, spans: &[Span], report: &Report) {
        let found: Vec<(Kind, std::ops::Range<usize>)> = report
            .texts
            .iter()
            .flat_map(|text| &text.findings)
            .filter_map(|finding| {
                let card = scanner.cards().get(usize::from(finding.rule.0))?;
                Some((card.kind, finding.span.clone()))
            })
            .collect();
        let secret = found.iter().any(|(kind, _)| *kind == Kind::Secret);
        let pii = found.iter().any(|(kind, _)| matches!(kind, Kind::Pii(_)));
        match label {
            "secret" => self.secrets.count(secret),
            "pii" => {
                let at: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
                for span in spans {
                    let (Some(name), Some(start), Some(end)) =
                        (kind_of(&span.r#type), at.get(span.start), at.get(span.end))
                    else {
                        continue;
                    };
                    let hit = found.iter().any(|(kind, range)| {
                        matches!(kind, Kind::Pii(kind) if kind.as_str() == name)
                            && range.start < *end
                            && *start < range.end
                    });
                    self.spans.entry(name).or_default().count(hit);
                }
            }
            _ => {
                self.clean_secrets.count(secret);
                self.clean_pii.count(pii);
            }
        }
    }

    /// Computes the intervals.
    pub fn close(&mut self) {
        self.secrets.close();
        self.clean_secrets.close();
        self.clean_pii.close();
        self.spans.values_mut().for_each(Share::close);
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let show = |share: &Share| match share.all {
            0 => "-".to_owned(),
            all => format!("{}/{all} [{:.1}-{:.1} %]", share.found, share.ci95[0] * 100.0, share.ci95[1] * 100.0),
        };
        let mut line = format!(
            "secrets {}; clean flagged: secrets {}, pii {}",
            show(&self.secrets),
            show(&self.clean_secrets),
            show(&self.clean_pii)
        );
        for (kind, share) in &self.spans {
            line.push_str(&format!("; {kind} {}", show(share)));
        }
        line
    }
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
