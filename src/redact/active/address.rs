//! Addresses as a reader's program reads them: character references and backslashes undone, then the rules of the WHATWG
//! URL Standard for schemes and hosts. What can't be read as plainly relative or as a host by name is foreign.

use std::borrow::Cow;

use bartizan_rules::invariant::part;

/// The most bytes of one address that are read; what is longer is foreign to every host list.
pub(super) const LONGEST: usize = 1024;
/// A path or query of this many bytes can carry something worth carrying.
const CARRIES: usize = 24;

/// Addresses within one that are told apart.
const MOST_INNER: usize = 8;

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To the page's own host, or to nothing that is fetched.
    Harmless,
    /// It runs code.
    Code,
    /// To another host.
    Foreign {
        /// The host in lower case; `None` where it is not written as plain ASCII, so that no list can name it.
        host: Option<Box<str>>,
        /// Path, query or host are long enough to carry data.
        carries: bool,
    },
}

impl Target {
    /// To a host that no list names.
    pub(super) const UNKNOWN: Target = Target::Foreign { host: None, carries: true };
}

/// How the text around an address escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Markdown: backslashes before ASCII punctuation, and character references.
    Markdown,
    /// HTML: character references.
    Html,
    /// None.
    Plain,
}

/// Reads an address from its source text.
pub(super) fn read(source: &str, escapes: Escapes) -> Target {
    if source.len() > LONGEST {
        return Target::UNKNOWN;
    }
    let address = unescape(source, escapes);
    // The URL parser drops these wherever they are.
    let address: String = address.trim_matches(|c: char| c <= ' ').replace(['\t', '\n', '\r'], "");
    let (scheme, rest) = scheme(&address);
    let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
    match scheme.as_deref() {
        None if slashes >= 2 => foreign(part(rest, slashes..rest.len())),
        None | Some("mailto" | "tel" | "sms" | "about" | "cid" | "blob") => Target::Harmless,
        Some("javascript" | "vbscript" | "livescript") => Target::Code,
        Some("data") => data(rest),
        Some("http" | "https" | "ws" | "wss" | "ftp") => foreign(part(rest, slashes..rest.len())),
        Some("file") if slashes < 2 => Target::Harmless,
        Some(_) => Target::Foreign { host: None, carries: carries(rest, 0) },
    }
}

/// Addresses within this address, each behind a sign at which some reader ends the one before, and where they begin.
pub(super) fn inner(address: &str) -> Vec<(usize, Target)> {
    let ends = |c: char| !c.is_ascii() || c.is_ascii_control() || "|\"'`*<>()[]{}^\\".contains(c);
    let mut found = Vec::new();
    for (at, c) in address.char_indices().filter(|(_, c)| ends(*c)) {
        let at = at + c.len_utf8();
        let rest = part(address, at..address.len());
        let has = |lead: &&str| rest.get(..lead.len()).is_some_and(|head| head.eq_ignore_ascii_case(lead));
        let Some(lead) = ["https://", "http://", "ftp://", "www."].into_iter().find(has) else { continue };
        if found.len() >= MOST_INNER {
            found.push((at, Target::UNKNOWN));
            break;
        }
        let target =
            if lead == "www." { read(&format!("//{rest}"), Escapes::Plain) } else { read(rest, Escapes::Plain) };
        found.push((at, target));
    }
    found
}

/// The scheme in lower case, and what follows its colon.
fn scheme(address: &str) -> (Option<String>, &str) {
    let Some((name, rest)) = address.split_once(':') else { return (None, address) };
    let is_scheme = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    if is_scheme { (Some(name.to_ascii_lowercase()), rest) } else { (None, address) }
}

/// A data URL. Pictures and plain text run nothing.
fn data(rest: &str) -> Target {
    let kind = rest.split([',', ';']).next().unwrap_or_default().trim().to_ascii_lowercase();
    let inert = match kind.split_once('/') {
        Some(("image", kind)) => !kind.contains("svg"),
        Some(("audio" | "video" | "font", _)) => true,
        Some(("text", kind)) => matches!(kind, "plain" | "csv"),
        Some(("application", kind)) => matches!(kind, "json" | "pdf" | "octet-stream"),
        _ => kind.is_empty(),
    };
    if inert { Target::Harmless } else { Target::Code }
}

/// An address behind its slashes.
fn foreign(rest: &str) -> Target {
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(h, _)| h);
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let carries = carries(tail, host.len()) || authority.contains('@') && authority.len() >= CARRIES;
    Target::Foreign { host: plain.then(|| host.to_ascii_lowercase().into()), carries }
}

/// True when a tail or a host of this length in bytes can carry data. A host's labels reach its name server.
fn carries(tail: &str, host: usize) -> bool {
    tail.contains('?') && tail.len() >= CARRIES || tail.len() >= 4 * CARRIES || host >= 64
}

/// The text with its escapes undone.
pub(super) fn unescape(source: &str, escapes: Escapes) -> Cow<'_, str> {
    let special: &[char] = match escapes {
        Escapes::Markdown => &['\\', '&'],
        Escapes::Html => &['&'],
        Escapes::Plain => return Cow::Borrowed(source),
    };
    let Some(mut next) = source.find(special) else { return Cow::Borrowed(source) };
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    loop {
        out.push_str(part(rest, 0..next));
        rest = part(rest, next..rest.len());
        if rest.starts_with('\\') {
            rest = part(rest, 1..rest.len());
            match rest.chars().next().filter(char::is_ascii_punctuation) {
                Some(c) => {
                    out.push(c);
                    rest = part(rest, 1..rest.len());
                }
                None => out.push('\\'),
            }
        } else if let Some((c, length)) = reference(rest) {
            out.push(c);
            rest = part(rest, length..rest.len());
        } else if !rest.is_empty() {
            out.push('&');
            rest = part(rest, 1..rest.len());
        }
        match rest.find(special) {
            Some(at) => next = at,
            None => {
                out.push_str(rest);
                return Cow::Owned(out);
            }
        }
    }
}

/// The character that a reference at the head of this text stands for, and its length in bytes. Of the names only those
/// of ASCII characters are known (WHATWG HTML, "Named character references"): every other one is a character that no
/// scheme and no plain host holds.
fn reference(text: &str) -> Option<(char, usize)> {
    let body = text.strip_prefix('&')?;
    if let Some(number) = body.strip_prefix('#') {
        let (digits, radix, head) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 3),
            None => (number, 10, 2),
        };
        let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let significant = digits.get(..length)?.trim_start_matches('0');
        if length == 0 {
            return None;
        }
        let code = if significant.is_empty() { 0 } else { u32::from_str_radix(significant, radix).unwrap_or(u32::MAX) };
        let c = char::from_u32(code).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER);
        let semicolon = usize::from(digits.as_bytes().get(length) == Some(&b';'));
        return Some((c, head + length + semicolon));
    }
    let length = body.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let name = body.get(..length)?;
    let closed = body.as_bytes().get(length) == Some(&b';');
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, c)| *c);
    match known {
        Some(c) if closed => Some((c, length + 2)),
        None if closed && length > 0 => Some((char::REPLACEMENT_CHARACTER, length + 2)),
        // HTML knows these without the semicolon; none of them is part of a scheme or a host.
        _ => None,
    }
}

const NAMES: [(&str, char); 43] = [
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("AMP", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("LT", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("GT", '>'),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("UnderBar", '_'),
    ("grave", '`'),
    ("DiacriticalGrave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_browsers_read_them() {
        let host = |source: &str, escapes| match read(source, escapes) {
            Target::Foreign { host, .. } => host.map_or("?".to_owned(), String::from),
            Target::Code => "code".to_owned(),
            Target::Harmless => "-".to_owned(),
        };
        for (source, wanted) in [
            ("https://evil.test/x", "evil.test"),
            ("HTTPS:evil.test", "evil.test"),
            ("https:/\\evil.test", "evil.test"),
            ("//Evil.Test:8080/x", "evil.test"),
            ("\\\\evil.test\\x", "evil.test"),
            ("/\\evil.test", "evil.test"),
            (" \u{1}ht\ttps://ev\nil.test", "evil.test"),
            ("https://docs.example.com@evil.test/", "evil.test"),
            ("https://evil.test\\@docs.example.com/", "evil.test"),
            ("https://ev%69l.test", "?"),
            ("https://\u{ff45}vil.test", "?"),
            ("https://", "?"),
            ("&#104;ttps&#58;&#47;&#x2F;evil&period;test", "evil.test"),
            ("&#0000104;ttps&colon;&sol;&sol;evil.test", "evil.test"),
            ("https&colon;//evil.test", "evil.test"),
            ("java&Tab;script&colon;alert(1)", "code"),
            ("data:image/png;base64,AA", "-"),
            ("data:image/svg+xml,<svg/>", "code"),
            ("data:text/html,x", "code"),
            ("/images/a.png", "-"),
            ("../a.png", "-"),
            ("#top", "-"),
            ("a:b/c", "?"),
            ("mailto:a@b.example", "-"),
        ] {
            assert_eq!(host(source, Escapes::Html), wanted, "{source}");
        }
        assert_eq!(host("https\\://evil.test", Escapes::Markdown), "evil.test");
        assert_eq!(host("\\\\/evil.test", Escapes::Markdown), "evil.test");
        assert_eq!(host("https\\://evil.test", Escapes::Html), "-");
    }
}
