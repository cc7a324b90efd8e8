//! An explanation as one page that needs nothing else: no script, no font, no request.

use std::fmt::Write as _;

use super::delivery::{Delivered, Delivery};
use super::terminal::shown;
use super::{Explanation, RoleCard, TextCard};
use crate::cli::page::{self, escape};

/// The longest text that is shown whole, in bytes.
const SHOWN: usize = 20_000;

const STYLE: &str = "
.sent{margin:0 0 1rem}.sent:last-child{margin:0}.sent pre{max-height:none;line-height:1.5;font-size:13px}
.sent h3{font-size:1rem;margin:0 0 .5rem;font-weight:600}.sent h3 .chip{font-weight:400}.found a{font-weight:600}
.tag{overflow-wrap:normal}
@media(min-width:40.01rem){.roles td:first-child,.roles td:nth-child(4){min-width:7rem}
.roles td:nth-child(2){min-width:5rem}}
";

/// The whole page.
pub(super) fn page(explanation: &Explanation, deliveries: &anyhow::Result<Vec<Delivery>>) -> String {
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
    let _infallible = writeln!(
        out,
        "{}<section class=\"verdict {tone}\">\
         <div><h1>{1}</h1><p>{2}</p></div><strong>{highest}<small>highest score</small></strong></section>",
        page::head(&verdict, STYLE),
        escape(&verdict),
        escape(&summary(explanation))
    );
    out.push_str(
        "<h2>By role</h2>\n<section><table class=\"roles\">\
         <caption class=\"hidden\">What would happen, by role</caption><tr><th scope=\"col\">role</th>\
         <th scope=\"col\">verdict</th><th scope=\"col\">reason</th><th scope=\"col\">guard</th>\
         <th scope=\"col\">rules</th></tr>\n",
    );
    explanation.roles.iter().for_each(|role| row(&mut out, role, explanation));
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
        card(&mut out, *index, text, threshold(*index));
    }
    match (clean.as_slice(), found.is_empty()) {
        ([], _) => {}
        ([(index, text)], true) => card(&mut out, *index, text, threshold(*index)),
        (clean, _) => {
            let texts = if clean.len() == 1 { "text" } else { "texts" };
            let _infallible =
                writeln!(out, "<details><summary>{} {texts} in which nothing was found</summary>", clean.len());
            for (index, text) in clean {
                card(&mut out, *index, text, threshold(*index));
            }
            out.push_str("</details>\n");
        }
    }
    delivered(&mut out, deliveries);
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

fn row(out: &mut String, role: &RoleCard, explanation: &Explanation) {
    let mut rules: Vec<(&str, &str, usize)> =
        role.actions.iter().map(|action| (action.rule.as_str(), action.action, action.text)).collect();
    rules.sort_unstable();
    rules.dedup_by_key(|(rule, action, _)| (*rule, *action));
    let chip = |(rule, action, text): (&str, &str, usize)| {
        let findings = explanation.texts.get(text).map(|text| text.findings.as_slice()).unwrap_or_default();
        let shown = explanation.texts.get(text).map_or(0, shown_end);
        let label = escape(&format!("{rule} {action}"));
        match findings.iter().position(|finding| finding.rule == rule && finding.start < shown) {
            Some(place) => format!("<a class=\"chip\" href=\"#t{text}f{place}\">{label}</a>"),
            None => format!("<span class=\"chip\">{label}</span>"),
        }
    };
    let rules: String = rules.into_iter().map(chip).collect();
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

fn card(out: &mut String, index: usize, text: &TextCard, threshold: Option<u8>) {
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
    marked(out, index, text);
    out.push_str("</pre>\n");
    found(out, index, text);
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
fn found(out: &mut String, index: usize, text: &TextCard) {
    if text.findings.is_empty() {
        return;
    }
    out.push_str(
        "<table class=\"found\"><caption class=\"hidden\">What was found in this text</caption><tr class=\"hidden\">\
         <th scope=\"col\">rule</th><th scope=\"col\">what</th><th scope=\"col\">pack and level</th></tr>",
    );
    for (place, finding) in text.findings.iter().enumerate() {
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
        // A place behind the end of what is shown can't be gone to.
        let rule = match finding.start < shown_end(text) {
            true => format!("<a href=\"#t{index}f{place}\">{}</a>", escape(&finding.rule)),
            false => escape(&finding.rule),
        };
        let _infallible = write!(
            out,
            "<tr><td>{}</td><td>{}{through}</td><td><span class=\"tag {}\">{}, {}{shadow}</span></td></tr>",
            rule,
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

/// The byte behind what is shown of a text.
fn shown_end(text: &TextCard) -> usize {
    (0..=SHOWN.min(text.text.len())).rev().find(|at| text.text.is_char_boundary(*at)).unwrap_or(0)
}

/// The text with its findings marked. Overlapping spans become neighbours, each with all its rules.
fn marked(out: &mut String, index: usize, text: &TextCard) {
    let end = shown_end(text);
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
        // What the links of findings go to: where each begins.
        let begins = text.findings.iter().enumerate().filter(|(_, finding)| finding.start == *from);
        for (place, _) in begins {
            let _infallible = write!(out, "<span id=\"t{index}f{place}\"></span>");
        }
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

/// What the model gets, or the caller in its place. Roles for which it is the same share it.
fn delivered(out: &mut String, deliveries: &anyhow::Result<Vec<Delivery>>) {
    let deliveries = match deliveries {
        Ok(deliveries) if deliveries.is_empty() => return,
        Ok(deliveries) => deliveries,
        Err(why) => {
            let why = escape(&clip(&format!("{why:#}")));
            let _infallible = writeln!(out, "<h2>What is sent</h2>\n<section>It can't be told: {why}</section>");
            return;
        }
    };
    out.push_str("<h2>What is sent</h2>\n<section>");
    for Delivery { roles, what } in deliveries {
        let roles: String = roles.iter().map(|role| format!("<span class=\"chip\">{}</span>", escape(role))).collect();
        match what {
            Delivered::Unchanged => {
                let _infallible =
                    write!(out, "<div class=\"sent\"><h3>The model gets the body as it came {roles}</h3></div>");
            }
            Delivered::Changed(body) => {
                let _infallible =
                    write!(out, "<div class=\"sent\"><h3>The model gets a changed body {roles}</h3><pre>");
                body_of(out, body);
                out.push_str("</pre></div>");
            }
            Delivered::Refused { status, headers, body } => {
                let _infallible = write!(out, "<div class=\"sent\"><h3>The caller gets {status} {roles}</h3><pre>");
                for (name, value) in headers {
                    let _infallible = writeln!(out, "{}: {}", escape(name), escape(&clip(value)));
                }
                out.push('\n');
                body_of(out, body);
                out.push_str("</pre></div>");
            }
            Delivered::Asks => {
                let _infallible = write!(
                    out,
                    "<div class=\"sent\"><h3>Another service decides, which is not asked here {roles}</h3></div>"
                );
            }
        }
    }
    out.push_str("</section>\n");
}

/// A body, JSON in lines.
fn body_of(out: &mut String, body: &[u8]) {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let text = json.and_then(|json| serde_json::to_string_pretty(&json).ok());
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let piece: String = text.chars().take(SHOWN).map(printable).collect();
    out.push_str(&escape(&piece));
    let more = text.chars().count().saturating_sub(SHOWN);
    if more > 0 {
        let _infallible = write!(out, "\n[{more} more characters]");
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
