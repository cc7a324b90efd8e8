//! An explanation for a terminal: spans underlined, in colour where that is wanted.

use std::fmt::Write as _;
use std::ops::Range;

use owo_colors::{OwoColorize, Style};

use super::{Explanation, FindingCard, RoleCard, TextCard};

/// The widest piece of text in a line.
const WIDTH: usize = 96;

/// The texts that are shown; the rest is counted.
const TEXTS: usize = 20;

struct Page {
    out: String,
    colour: bool,
}

/// The whole explanation.
pub(super) fn page(explanation: &Explanation, colour: bool) -> String {
    let mut page = Page { out: String::new(), colour };
    // Quiet texts are counted; a single text is always shown.
    let (loud, quiet): (Vec<_>, Vec<_>) = explanation
        .texts
        .iter()
        .enumerate()
        .partition(|(_, text)| explanation.texts.len() == 1 || !text.findings.is_empty() || text.score >= 30);
    for (index, text) in loud.iter().take(TEXTS) {
        page.text(*index, text, explanation);
    }
    let hidden = quiet.len() + loud.len().saturating_sub(TEXTS);
    if hidden > 0 {
        page.line(&format!("{hidden} more texts, of them {} without findings", quiet.len()), Style::new().dimmed());
    }
    for unscanned in &explanation.unscanned {
        let line = format!("not scanned: {} at {}: {}", unscanned.kind, or_whole(&unscanned.path), unscanned.action);
        page.line(&line, Style::new().yellow());
    }
    page.line("What would happen, by role", Style::new().bold());
    for role in &explanation.roles {
        page.role(role, explanation);
    }
    let Explanation { policy, policy_digest, rules_digest, .. } = explanation;
    page.line(&format!("policy {policy} {policy_digest}, rules {rules_digest}"), Style::new().dimmed());
    page.out
}

impl Page {
    fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    fn line(&mut self, text: &str, style: Style) {
        let painted = self.paint(text, style);
        self.out.push_str(&painted);
        self.out.push('\n');
    }

    fn text(&mut self, index: usize, text: &TextCard, explanation: &Explanation) {
        let lowest = explanation.roles.iter().filter_map(|role| role.thresholds.get(index)).min().copied();
        let over = lowest.is_some_and(|threshold| text.score >= threshold);
        let style = if over { Style::new().red().bold() } else { Style::new().bold() };
        let learned = text.learned.map(|p| format!(", scorer {:.0} %", p * 100.0)).unwrap_or_default();
        let place = if text.path.is_empty() { String::new() } else { format!(" at {}", text.path) };
        let head = format!(
            "Text {} of {}{place}: zone {}, {} turn, score {} (rules {}{learned})",
            index + 1,
            explanation.texts.len(),
            text.zone,
            text.position,
            text.score,
            text.rules_score
        );
        self.line(&head, style);
        self.underlined(text);
        if let Some(normalised) = &text.normalised {
            self.labelled("seen as", &clip(&visible(normalised)));
        }
        for finding in &text.findings {
            let through =
                if finding.chain.is_empty() { String::new() } else { format!(" through {}", finding.chain.join(", ")) };
            let shadow = if finding.shadow { ", experimental: never scored" } else { "" };
            let FindingCard { rule, title, level, pack, .. } = finding;
            let told = format!("{title} ({pack}, {level}{shadow}){through}, bytes {}..{}", finding.start, finding.end);
            let rule = self.paint(rule, Style::new().cyan());
            let _infallible = writeln!(self.out, "  {rule} {told}");
            if let Some(decoded) = &finding.decoded {
                self.labelled("reads", &clip(&visible(decoded)));
            }
        }
        if text.learned.is_some() && !text.learned_parts.is_empty() {
            let parts: Vec<String> = text
                .learned_parts
                .iter()
                .map(|part| {
                    format!("{:+.1} {:?}{}", part.weight, clip(&part.text), if part.idea { " (idea)" } else { "" })
                })
                .collect();
            self.labelled("scorer", &parts.join(", "));
        }
        if !text.complete {
            self.labelled("budget", "the end of this text was not scanned");
        }
        self.out.push('\n');
    }

    fn labelled(&mut self, label: &str, told: &str) {
        let label = self.paint(&format!("{label}:"), Style::new().dimmed());
        let _infallible = writeln!(self.out, "  {label} {told}");
    }

    /// The lines that hold findings, underlined; of a text without findings its beginning.
    fn underlined(&mut self, text: &TextCard) {
        let spans: Vec<Range<usize>> = text.findings.iter().map(|finding| finding.start..finding.end).collect();
        let mut start = 0;
        let mut shown = 0;
        for line in text.text.split_inclusive('\n') {
            let range = start..start + line.len();
            start = range.end;
            let touched = spans.iter().any(|span| span.start < range.end && span.end > range.start);
            if shown >= 12 || !(touched || (spans.is_empty() && shown == 0)) {
                continue;
            }
            shown += 1;
            self.window(line.trim_end_matches(['\n', '\r']), range.start, &spans);
        }
    }

    /// One line, cut to the neighbourhood of its first finding.
    fn window(&mut self, line: &str, offset: usize, spans: &[Range<usize>]) {
        let marked = |at: usize| spans.iter().any(|span| span.contains(&(offset + at)));
        let chars: Vec<(char, bool)> = line.char_indices().map(|(at, c)| (shown(c), marked(at))).collect();
        let first = chars.iter().position(|(_, marked)| *marked).unwrap_or(0);
        let from = if chars.len() <= WIDTH { 0 } else { first.saturating_sub(16) };
        let piece: Vec<(char, bool)> = chars.iter().skip(from).take(WIDTH).copied().collect();
        let ends = if from + WIDTH < chars.len() { "…" } else { "" };
        let begins = if from > 0 { "…" } else { "" };
        let text: String = piece.iter().map(|(c, _)| *c).collect();
        let under: String = piece.iter().map(|(_, marked)| if *marked { '~' } else { ' ' }).collect();
        let _infallible = writeln!(self.out, "  {begins}{text}{ends}");
        if under.contains('~') {
            let under = self.paint(under.trim_end(), Style::new().red());
            let _infallible = writeln!(self.out, "  {}{under}", if from > 0 { " " } else { "" });
        }
    }

    fn role(&mut self, role: &RoleCard, explanation: &Explanation) {
        let style = match role.verdict {
            "allow" => Style::new().green(),
            "deny" => Style::new().red().bold(),
            _ => Style::new().yellow(),
        };
        let verdict = self.paint(&format!("{:8}", role.verdict), style);
        let reason = match (role.reason, role.status) {
            (Some(reason), Some(status)) => format!("{status} {reason}, "),
            _ => String::new(),
        };
        let mode = if role.mode == "shadow" { " in shadow" } else { "" };
        let threshold = match role.thresholds.as_slice() {
            [threshold] => format!(", threshold {threshold}"),
            _ => String::new(),
        };
        let mut rules: Vec<String> =
            role.actions.iter().map(|action| format!("{} {}", action.rule, action.action)).collect();
        rules.sort();
        rules.dedup();
        let told = if rules.is_empty() { String::new() } else { format!(": {}", rules.join(", ")) };
        let width = explanation.roles.iter().map(|role| role.role.chars().count()).max().unwrap_or(0);
        let _infallible =
            writeln!(self.out, "  {:width$}  {verdict} {reason}guard {}{mode}{threshold}{told}", role.role, role.guard);
        for condition in &role.conditions {
            let _infallible = writeln!(self.out, "  {:width$}  when of {}: {}", "", condition.of, condition.effect);
            for unmet in &condition.unmet {
                let line = format!("{}: {}", unmet.part, unmet.why);
                let _infallible = writeln!(self.out, "  {:width$}    {}", "", visible(&line));
            }
        }
    }
}

fn or_whole(path: &str) -> &str {
    if path.is_empty() { "the text" } else { path }
}

/// A character that shows as one cell and does nothing to the terminal.
pub(in crate::cli) fn shown(c: char) -> char {
    match c {
        '\t' | '\u{a0}' => ' ',
        c if c.is_control() => '·',
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' => '·',
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' => '·',
        '\u{e0000}'..='\u{e0fff}' => '·',
        c => c,
    }
}

fn visible(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(WIDTH).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}
