//! An explanation as one page that needs nothing else: no script, no font, no request.

use std::fmt::Write as _;

use super::terminal::shown;
use super::{Explanation, RoleCard, TextCard};

/// The longest text that is shown whole, in bytes.
const SHOWN: usize = 20_000;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b2128;--soft:#5a6570;--line:#e1e5e9;--paper:#fff;--ground:#f3f5f7;--chip:#edf0f3;
--bad:#b42318;--bad-soft:#fde8e6;--warn:#8a5a00;--warn-soft:#fdf1d3;--info:#1f5fae;--info-soft:#e2edfb;--good:#1a7a3a;
--good-soft:#dff5e5}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaee;--soft:#98a4af;--line:#2d353d;--paper:#191e24;--ground:#101418;
--chip:#262d35;--bad:#ff8f85;--bad-soft:#4a1f1d;--warn:#f0c35a;--warn-soft:#40330f;--info:#8cbcff;--info-soft:#1b3252;
--good:#74dd90;--good-soft:#163a22}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:62rem;margin:0 auto;padding:2.25rem 1.25rem 4rem}
h2{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:2rem 0 .6rem;font-weight:600}
section{background:var(--paper);border:1px solid var(--line);border-radius:14px;padding:1.25rem 1.5rem;margin:0 0 1rem}
.verdict{border-left:6px solid var(--good);display:flex;gap:1.5rem;align-items:center;flex-wrap:wrap}
.verdict.deny{border-left-color:var(--bad)}.verdict.some{border-left-color:var(--warn)}
.verdict h1{font-size:1.45rem;margin:0}.verdict p{margin:.1rem 0 0;color:var(--soft)}
.verdict strong{margin-left:auto;font-size:2.4rem;line-height:1;font-weight:650;font-variant-numeric:tabular-nums}
.verdict strong small{display:block;font-size:.75rem;font-weight:400;color:var(--soft);text-align:right;margin-top:.3rem}
header{display:flex;gap:.75rem;align-items:center;flex-wrap:wrap;margin-bottom:1rem}
header b{font-weight:600}header span{color:var(--soft)}header>*,.verdict>*{min-width:0}
.score{margin-left:auto;display:flex;align-items:center;gap:.6rem;font-variant-numeric:tabular-nums}
.bar{position:relative;width:10rem;height:.55rem;border-radius:99px;background:var(--chip)}
.bar i{display:block;height:100%;border-radius:99px;background:var(--good)}.over .bar i{background:var(--bad)}
.bar u{position:absolute;top:-.2rem;bottom:-.2rem;width:2px;background:var(--ink)}
pre{white-space:pre-wrap;margin:0;padding:1rem 1.1rem;background:var(--ground);border-radius:10px;
font:14px/1.9 ui-monospace,SFMono-Regular,Menlo,monospace}
mark{color:inherit;padding:.12em 0;background:var(--bad-soft);border-bottom:2px solid var(--bad)}
mark.secret{background:var(--warn-soft);border-color:var(--warn)}mark.pii{background:var(--info-soft);border-color:var(--info)}
mark sup{font:600 10px/1 system-ui,sans-serif;color:var(--bad);margin:0 .15em 0 .25em}
mark.secret sup{color:var(--warn)}mark.pii sup{color:var(--info)}
table{width:100%;border-collapse:collapse;font-size:.92rem}
th{text-align:left;color:var(--soft);font-weight:500;font-size:.85rem}
th,td{padding:.5rem .9rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border:0}
.found{margin:1rem 0 0}.found td:first-child{width:7rem;font-weight:600}
.found td:last-child{text-align:right;padding-right:0}
details>summary{cursor:pointer;color:var(--soft);margin:0 0 1rem}
.tag{display:inline-block;max-width:100%;border-radius:99px;padding:.05rem .6rem;font-size:.8rem;background:var(--chip);color:var(--soft)}
.tag.attack,.tag.deny{background:var(--bad-soft);color:var(--bad)}
.tag.secret,.tag.flag,.tag.mask,.tag.replace,.tag.shadow{background:var(--warn-soft);color:var(--warn)}
.tag.pii{background:var(--info-soft);color:var(--info)}.tag.allow{background:var(--good-soft);color:var(--good)}
.step{color:var(--soft);font-size:.85rem}.step b{color:var(--ink);font-weight:500}
dl{display:grid;grid-template-columns:6rem minmax(0,1fr);gap:.45rem 1rem;margin:1rem 0 0;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0}
.chip{display:inline-block;max-width:100%;background:var(--chip);border-radius:6px;padding:.05rem .5rem;margin:0 .35rem .3rem 0}
.neg{color:var(--good)}.pos{color:var(--bad)}
footer{color:var(--soft);font-size:.82rem;margin-top:1.5rem}
@media(max-width:40rem){main{padding:1.25rem .6rem 3rem}section{padding:1rem .9rem}.score{margin-left:0;flex-wrap:wrap}
.bar{width:6rem}dl{grid-template-columns:minmax(0,1fr);gap:.1rem}.verdict strong{margin-left:0}
table,tbody,tr,td,th{display:block;width:auto}tr{border-bottom:1px solid var(--line);padding:.4rem 0}tr:last-child{border:0}
th{display:none}td[data-h]::before{content:attr(data-h);color:var(--soft)}td,.found td{border:0;padding:.15rem 0;text-align:left!important;width:auto!important}}
";

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
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Bartizan: {0}</title><style>{STYLE}</style></head>\n<body><main><section class=\"verdict {tone}\">\
         <div><h1>{0}</h1><p>{1}</p></div><strong>{highest}<small>highest score</small></strong></section>\n",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths in rem of every declaration with this name.
    fn lengths(name: &str) -> Vec<f32> {
        let declarations = STYLE.split(['{', '}', ';']).filter_map(|one| one.trim().split_once(':'));
        let values = declarations.filter(|(known, _)| *known == name).map(|(_, value)| value);
        values.flat_map(|value| value.split(' ')).filter_map(|word| word.strip_suffix("rem")?.parse().ok()).collect()
    }

    /// A narrow screen has about 20 rem.
    #[test]
    fn nothing_is_wider_than_a_narrow_screen() {
        assert!(STYLE.contains("body{") && !STYLE.contains("nowrap") && !STYLE.contains("white-space:pre;"));
        let body = STYLE.split("body{").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
        assert!(body.contains("overflow-wrap:anywhere"), "a digest, a path or a word without a space breaks: {body}");
        assert!(!STYLE.replace("overflow-wrap:anywhere}", "").contains("overflow-wrap"), "nothing undoes it");
        for name in ["width", "min-width", "grid-template-columns"] {
            assert!(lengths(name).iter().all(|length| *length <= 10.0), "{name}: {:?}", lengths(name));
        }
        let narrow = STYLE.split("@media(max-width:40rem){").nth(1).unwrap();
        assert!(narrow.contains("table,tbody,tr,td,th{display:block"), "a row of cells becomes a list");
        assert!(narrow.contains("dl{grid-template-columns:minmax(0,1fr)"));
    }
}
