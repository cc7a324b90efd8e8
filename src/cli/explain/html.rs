//! An explanation as one page that needs nothing else: no script, no font, no request.

use std::fmt::Write as _;

use super::terminal::shown;
use super::{Explanation, RoleCard, TextCard};

/// The longest text that is shown whole, in bytes.
const SHOWN: usize = 20_000;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1d232a;--soft:#5b6670;--line:#dfe3e7;--paper:#fff;--ground:#f4f5f7;--bad:#b3261e;
--warn:#9a6700;--good:#1a7f37;--mark:#ffe3e0;--chip:#eef1f4}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5af;--line:#323a42;--paper:#1b2026;--ground:#12161a;
--bad:#ff8a80;--warn:#f0c14b;--good:#6fdd8b;--mark:#5a2320;--chip:#2a3138}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.05rem;margin:2rem 0 .75rem}
p.sub{margin:0;color:var(--soft)}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:1.25rem 1.5rem;margin:0 0 1rem}
header{display:flex;gap:1rem;align-items:center;flex-wrap:wrap;margin-bottom:.9rem}
header b{font-weight:600}header span{color:var(--soft)}
.score{margin-left:auto;display:flex;align-items:center;gap:.6rem;font-variant-numeric:tabular-nums}
.bar{width:9rem;height:.5rem;border-radius:99px;background:var(--chip);overflow:hidden}
.bar i{display:block;height:100%;background:var(--good)}.over .bar i{background:var(--bad)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font:14px/1.7 ui-monospace,SFMono-Regular,Menlo,monospace}
mark{background:var(--mark);color:inherit;border-bottom:2px solid var(--bad);padding:.1em 0}
mark sup{font:600 10px/1 system-ui,sans-serif;color:var(--bad);margin-left:.2em}
dl{display:grid;grid-template-columns:7rem 1fr;gap:.4rem 1rem;margin:1rem 0 0;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0}
.chip{display:inline-block;background:var(--chip);border-radius:6px;padding:.05rem .5rem;margin:0 .35rem .3rem 0}
.neg{color:var(--good)}.pos{color:var(--bad)}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th{text-align:left;color:var(--soft);font-weight:500}
th,td{padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border:0}
.allow{color:var(--good)}.deny{color:var(--bad)}.flag,.mask,.replace,.shadow{color:var(--warn)}
td:nth-child(2){font-weight:600}
footer{color:var(--soft);font-size:.85rem;margin-top:1.5rem}
";

/// The whole page.
pub(super) fn page(explanation: &Explanation) -> String {
    let mut out = String::new();
    let denied = explanation.roles.iter().filter(|role| role.decision == "deny").count();
    let verdict = match (denied, explanation.roles.len()) {
        (0, _) if explanation.roles.iter().all(|role| role.decision == "allow") => "Passes for every role".to_owned(),
        (0, _) => "Passes, with findings".to_owned(),
        (denied, all) if denied == all => "Refused for every role".to_owned(),
        (denied, all) => format!("Refused for {denied} of {all} roles"),
    };
    let _infallible = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Bartizan: {0}</title><style>{STYLE}</style></head>\n<body><main><h1>{0}</h1>\n<p class=\"sub\">{1}</p>\n",
        escape(&verdict),
        escape(&summary(explanation))
    );
    out.push_str("<h2>By role</h2>\n<section><table><tr><th>role</th><th>decision</th><th>reason</th><th>guard</th><th>rules</th></tr>\n");
    explanation.roles.iter().for_each(|role| row(&mut out, role));
    out.push_str("</table></section>\n<h2>Texts</h2>\n");
    for (index, text) in explanation.texts.iter().enumerate() {
        let threshold = explanation.roles.iter().filter_map(|role| role.thresholds.get(index)).min().copied();
        card(&mut out, text, threshold);
    }
    for unscanned in &explanation.unscanned {
        let _infallible = writeln!(
            out,
            "<section>Not scanned: {} at <code>{}</code>: {}</section>",
            unscanned.kind,
            escape(&unscanned.path),
            unscanned.action
        );
    }
    let _infallible = writeln!(
        out,
        "<footer>Policy {} {}, rules {}, Bartizan {}</footer></main></body></html>",
        escape(&explanation.policy),
        escape(&explanation.policy_digest),
        escape(&explanation.rules_digest),
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn summary(explanation: &Explanation) -> String {
    let findings: usize = explanation.texts.iter().map(|text| text.findings.len()).sum();
    let highest = explanation.texts.iter().map(|text| text.score).max().unwrap_or(0);
    let model = explanation.model.as_ref().filter(|model| !model.is_empty());
    let model = model.map(|model| format!(" for model {model}")).unwrap_or_default();
    let texts = explanation.texts.len();
    format!(
        "{texts} {}{model}, {findings} findings, highest score {highest}",
        if texts == 1 { "text" } else { "texts" }
    )
}

fn row(out: &mut String, role: &RoleCard) {
    let mut rules: Vec<String> =
        role.actions.iter().map(|action| format!("{} {}", action.rule, action.action)).collect();
    rules.sort();
    rules.dedup();
    let rules: String = rules.iter().map(|rule| format!("<span class=\"chip\">{}</span>", escape(rule))).collect();
    let reason = match (role.reason, role.status) {
        (Some(reason), Some(status)) => format!("{reason} ({status})"),
        _ => String::new(),
    };
    let _infallible = writeln!(
        out,
        "<tr><td>{}</td><td class=\"{decision}\">{decision}</td><td>{}</td><td>{}{}</td><td>{rules}</td></tr>",
        escape(&role.role),
        escape(&reason),
        escape(&role.guard),
        if role.mode == "shadow" { " (shadow)" } else { "" },
        decision = role.decision,
    );
}

fn card(out: &mut String, text: &TextCard, threshold: Option<u8>) {
    let over = threshold.is_some_and(|threshold| text.score >= threshold);
    let _infallible = write!(
        out,
        "<section{}><header><b>{}</b><span>{} turn{}</span><span class=\"score\">{}{}\
         <span class=\"bar\"><i style=\"width:{}%\"></i></span></span></header>\n<pre>",
        if over { " class=\"over\"" } else { "" },
        text.zone,
        text.position,
        if text.path.is_empty() { String::new() } else { format!(", <code>{}</code>", escape(&text.path)) },
        text.score,
        threshold.map(|threshold| format!(" / {threshold}")).unwrap_or_default(),
        text.score.min(100)
    );
    marked(out, text);
    out.push_str("</pre>\n<dl>");
    if let Some(normalised) = &text.normalised {
        let _infallible = write!(out, "<dt>seen as</dt><dd><code>{}</code></dd>", escape(&clip(normalised)));
    }
    for finding in &text.findings {
        let through =
            if finding.chain.is_empty() { String::new() } else { format!(", through {}", finding.chain.join(", ")) };
        let shadow = if finding.shadow { ", experimental" } else { "" };
        let told = format!("{} ({}, {}{shadow}){through}", finding.title, finding.pack, finding.level);
        let _infallible = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(&finding.rule), escape(&told));
    }
    let learned = text.learned.map(|p| format!(", scorer {:.0} %", p * 100.0)).unwrap_or_default();
    let _infallible = write!(out, "<dt>score</dt><dd>{} (rules alone {}{learned})</dd>", text.score, text.rules_score);
    if !text.learned_parts.is_empty() {
        out.push_str("<dt>scorer</dt><dd>");
        for part in &text.learned_parts {
            let _infallible = write!(
                out,
                "<span class=\"chip\"><b class=\"{}\">{:+.1}</b> {}{}</span>",
                if part.weight < 0.0 { "neg" } else { "pos" },
                part.weight,
                escape(&clip(&part.text)),
                if part.idea { " (idea)" } else { "" }
            );
        }
        out.push_str("</dd>");
    }
    if !text.complete {
        out.push_str("<dt>budget</dt><dd>the end of this text was not scanned</dd>");
    }
    out.push_str("</dl></section>\n");
}

/// The text with its findings marked. Overlapping spans become neighbours, each with all its rules.
fn marked(out: &mut String, text: &TextCard) {
    let end = (0..=SHOWN.min(text.text.len())).rev().find(|at| text.text.is_char_boundary(*at)).unwrap_or(0);
    let mut cuts: Vec<usize> = text.findings.iter().flat_map(|finding| [finding.start, finding.end]).collect();
    cuts.extend([0, end]);
    cuts.retain(|at| *at <= end);
    cuts.sort_unstable();
    cuts.dedup();
    for (from, to) in cuts.iter().zip(cuts.iter().skip(1)) {
        let piece: String = text.text.get(*from..*to).unwrap_or_default().chars().map(printable).collect();
        let mut rules: Vec<&str> = Vec::new();
        let mut closing: Vec<&str> = Vec::new();
        for finding in text.findings.iter().filter(|finding| finding.start < *to && finding.end > *from) {
            rules.push(&finding.rule);
            if finding.end == *to {
                closing.push(&finding.rule);
            }
        }
        rules.dedup();
        closing.dedup();
        if rules.is_empty() {
            out.push_str(&escape(&piece));
            continue;
        }
        let _infallible = write!(out, "<mark title=\"{}\">{}", escape(&rules.join(", ")), escape(&piece));
        if !closing.is_empty() {
            let _infallible = write!(out, "<sup>{}</sup>", escape(&closing.join(" ")));
        }
        out.push_str("</mark>");
    }
    if end < text.text.len() {
        let _infallible = write!(out, "\n[{} more bytes]", text.text.len() - end);
    }
}

fn printable(c: char) -> char {
    if c == '\n' { c } else { shown(c) }
}

fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(400).map(shown).collect();
    if text.chars().nth(400).is_some() {
        clipped.push('…');
    }
    clipped
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
