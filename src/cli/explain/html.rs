//! An explanation as one page that needs nothing else: no script, no font, no request.

use std::fmt::Write as _;

use super::terminal::shown;
use super::{Explanation, RoleCard, TextCard};
use crate::cli::page::{self, escape};

/// The longest text that is shown whole, in bytes.
const SHOWN: usize = 20_000;

/// The whole page.
pub(super) fn page(explanation: &Explanation) -> String {
    let mut out = String::new();
    let denied = explanation.roles.iter().filter(|role| role.verdict == "deny").count();
    let (tone, verdict) = match (denied, explanation.roles.len()) {
        (0, _) if explanation.roles.iter().all(|role| role.verdict == "allow") => {
            ("allow", "Passes for every role".to_owned())
        }
        (0, _) => ("some", "Passes, with findings".to_owned()),
        (denied, all) if denied == all => ("deny", "Refused for every role".to_owned()),
        (denied, all) => ("some", format!("Refused for {denied} of {all} roles")),
    };
    let highest = explanation.texts.iter().map(|text| text.score).max().unwrap_or(0);
    let _infallible = write!(
        out,
        "{}<section class=\"verdict {tone}\">\
         <div><h1>{1}</h1><p>{2}</p></div><strong>{highest}<small>highest score</small></strong></section>\n",
        page::head(&verdict, ""),
        escape(&verdict),
        escape(&summary(explanation))
    );
    out.push_str("<h2>By role</h2>\n<section><table><tr><th>role</th><th>verdict</th><th>reason</th><th>guard</th><th>rules</th></tr>\n");
    explanation.roles.iter().for_each(|role| row(&mut out, role));
    out.push_str("</table></section>\n<h2>Texts</h2>\n");
    let threshold =
        |index: usize| explanation.roles.iter().filter_map(|role| role.thresholds.get(index)).min().copied();
    let is_clean = |(index, text): &(usize, &TextCard)| {
        text.findings.is_empty() && text.complete && threshold(*index).is_none_or(|least| text.score < least)
    };
    let texts = explanation.texts.iter().enumerate();
    let (clean, mut found): (Vec<_>, Vec<_>) = texts.partition(is_clean);
    // What matters most comes first; clean texts are there to be looked up.
    found.sort_by_key(|(index, text)| (std::cmp::Reverse(text.score), *index));
    for (index, text) in &found {
        card(&mut out, text, threshold(*index));
    }
    match (clean.as_slice(), found.is_empty()) {
        ([], _) => {}
        ([(index, text)], true) => card(&mut out, text, threshold(*index)),
        (clean, _) => {
            let texts = if clean.len() == 1 { "text" } else { "texts" };
            let _infallible =
                writeln!(out, "<details><summary>{} {texts} in which nothing was found</summary>", clean.len());
            for (index, text) in clean {
                card(&mut out, text, threshold(*index));
            }
            out.push_str("</details>\n");
        }
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
    let model = explanation.model.as_ref().filter(|model| !model.is_empty());
    let model = model.map(|model| format!(" for model {model}")).unwrap_or_default();
    let texts = explanation.texts.len();
    format!(
        "{texts} {}{model}, {findings} {}",
        if texts == 1 { "text" } else { "texts" },
        if findings == 1 { "finding" } else { "findings" }
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
    let unmet = role.conditions.iter().flat_map(|condition| condition.unmet.iter().map(move |one| (condition, one)));
    let unmet: String = unmet
        .map(|(condition, one)| {
            let text = format!("when of {}: {}: {}", condition.of, one.part, one.why);
            format!("<div class=\"step\">{}</div>", escape(&text))
        })
        .collect();
    let _infallible = writeln!(
        out,
        "<tr><td><b>{}</b></td><td><span class=\"tag {verdict}\">{verdict}</span></td><td>{}{unmet}</td>\
         <td data-h=\"guard \">{}{}</td><td>{rules}</td></tr>",
        escape(&role.role),
        escape(&reason),
        escape(&role.guard),
        if role.mode == "shadow" { " (shadow)" } else { "" },
        verdict = role.verdict,
    );
}

fn card(out: &mut String, text: &TextCard, threshold: Option<u8>) {
    let over = threshold.is_some_and(|threshold| text.score >= threshold);
    let _infallible = write!(
        out,
        "<section{}><header><b>{}</b><span>{} turn{}</span><span class=\"score\">{}{}\
         <span class=\"bar\"><i style=\"width:{}%\"></i>{}</span></span></header>\n<pre>",
        if over { " class=\"over\"" } else { "" },
        text.zone,
        text.position,
        if text.path.is_empty() { String::new() } else { format!(", <code>{}</code>", escape(&text.path)) },
        text.score,
        threshold.map(|threshold| format!(" / {threshold}")).unwrap_or_default(),
        text.score.min(100),
        threshold
            .filter(|threshold| *threshold <= 100)
            .map(|threshold| format!("<u style=\"left:{threshold}%\" title=\"threshold\"></u>"))
            .unwrap_or_default()
    );
    marked(out, text);
    out.push_str("</pre>\n");
    found(out, text);
    out.push_str("<dl>");
    if let Some(normalised) = &text.normalised {
        let _infallible = write!(out, "<dt>seen as</dt><dd><code>{}</code></dd>", escape(&clip(normalised)));
    }
    let learned = text.learned.map(|p| format!(", scorer {:.0} %", p * 100.0)).unwrap_or_default();
    let _infallible = write!(out, "<dt>score</dt><dd>{} (rules only {}{learned})</dd>", text.score, text.rules_score);
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

/// What was found, a row each, with the transforms that it took to read it.
fn found(out: &mut String, text: &TextCard) {
    if text.findings.is_empty() {
        return;
    }
    out.push_str("<table class=\"found\">");
    for finding in &text.findings {
        let steps: Vec<String> = finding.chain.iter().map(|step| format!("<b>{}</b>", escape(step))).collect();
        let decoded = finding.decoded.as_ref().map(|text| format!(": <code>{}</code>", escape(&clip(text))));
        let through = match steps.as_slice() {
            [] => String::new(),
            steps => {
                let decoded = decoded.unwrap_or_default();
                format!("<div class=\"step\">read through {}{decoded}</div>", steps.join(" &rarr; "))
            }
        };
        let shadow = if finding.shadow { ", experimental" } else { "" };
        let _infallible = write!(
            out,
            "<tr><td>{}</td><td>{}{through}</td><td><span class=\"tag {}\">{}, {}{shadow}</span></td></tr>",
            escape(&finding.rule),
            escape(&finding.title),
            colour(finding.kind),
            escape(finding.pack),
            escape(finding.level),
        );
    }
    out.push_str("</table>\n");
}

/// The class of a finding's colours.
fn colour(kind: &str) -> &'static str {
    match kind {
        "attack" => "attack",
        "secret" => "secret",
        _ => "pii",
    }
}

/// Where findings overlap, an attack's colour wins over a secret's, and that over personal data's.
fn graver(one: &'static str, other: &'static str) -> &'static str {
    ["attack", "secret"].into_iter().find(|kind| [one, other].contains(kind)).unwrap_or(other)
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
        let mut kind = "";
        for finding in text.findings.iter().filter(|finding| finding.start < *to && finding.end > *from) {
            rules.push(&finding.rule);
            kind = graver(kind, colour(finding.kind));
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
        let _infallible =
            write!(out, "<mark class=\"{kind}\" title=\"{}\">{}", escape(&rules.join(", ")), escape(&piece));
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
