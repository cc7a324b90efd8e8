//! URIs of resources as a server may read them.

/// What a server may read a URI as, without how it is written: each must be allowed.
///
/// The first is that of RFC 3986 section 6.2.2. The second is that of readers which drop control characters, path
/// parameters and empty segments, or fold wide signs: it counts for files, and for every way up.
pub(super) fn readings(uri: &str) -> Vec<String> {
    let text = plain(uri);
    let folded = fold(&text);
    let (scheme, _) = split(&folded);
    let climbs = folded.split(['/', '?', '#']).any(|part| part == "..");
    let mut found = vec![resolved(&text, false)];
    if climbs || scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("file")) {
        found.push(resolved(&folded, true));
    }
    found.retain(|reading| reading != uri);
    found.dedup();
    found
}

/// Without escapes of plain characters, however often it was escaped, and with backslashes as slashes.
fn plain(uri: &str) -> String {
    let mut text = uri.replace('\\', "/");
    // Each round leaves fewer escapes; a server undoes one or two.
    for _ in 0..4 {
        let next = unescaped(&text);
        if next == text {
            break;
        }
        text = next.replace('\\', "/");
    }
    text
}

/// As the most lenient of readers sees it.
fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => out.push('.'),
            '\u{2025}' | '\u{fe30}' => out.push_str(".."),
            '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' | '\u{ff3c}' | '\u{fe68}' | '\u{29f5}' | '\u{2216}' => {
                out.push('/')
            }
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
            '\u{fe00}'..='\u{fe0f}' => {}
            c => out.push(c),
        }
    }
    // A segment of dots is one whatever its parameters, and whatever blanks surround it.
    let dots = |part: &str| {
        let name = part.split(';').next().unwrap_or_default().trim();
        if matches!(name, "." | "..") { name.to_owned() } else { part.to_owned() }
    };
    out.split('/').map(dots).collect::<Vec<_>>().join("/")
}

/// The scheme, and what follows its colon.
fn split(text: &str) -> (Option<&str>, &str) {
    text.split_once(':').map_or((None, text), |(scheme, rest)| (Some(scheme), rest))
}

/// Without dot segments; `merges`: without empty ones and the name of this machine either.
fn resolved(text: &str, merges: bool) -> String {
    let (scheme, rest) = split(text);
    let is_file = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("file"));
    let own = if merges && is_file { rest.strip_prefix("//localhost/") } else { None };
    let rest = match own {
        Some(path) => format!("///{path}"),
        None if merges && is_file && !rest.starts_with("//") && rest.starts_with('/') => format!("//{rest}"),
        None => rest.to_owned(),
    };
    // Before the first segment comes `//HOST`, or the slash of a path.
    let fixed = if rest.starts_with("//") { 3 } else { usize::from(rest.starts_with('/')) };
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "." => {}
            ".." => {
                if parts.len() > fixed {
                    parts.pop();
                }
            }
            "" if merges && parts.len() >= fixed.max(1) => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    scheme.map_or_else(|| joined.clone(), |scheme| format!("{}:{joined}", scheme.to_ascii_lowercase()))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    bytes.push((high * 16 + low) as u8);
                    rest = tail;
                }
                _ => {
                    bytes.push(byte);
                    rest = after;
                }
            },
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&shortest(&bytes)).into_owned()
}

/// ASCII that was written in more bytes than it needs, which some readers accept.
fn shortest(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        (out, rest) = match rest {
            [0xc0 | 0xc1, low @ 0x80..=0xbf, tail @ ..] => (pushed(out, byte << 6 | low & 0x3f), tail),
            [0xe0, high @ (0x80 | 0x81), low @ 0x80..=0xbf, tail @ ..] => (pushed(out, high << 6 | low & 0x3f), tail),
            _ => (pushed(out, byte), after),
        };
    }
    out
}

fn pushed(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_way_up_is_one() {
        let dots = [
            "..",
            "%2e%2e",
            "%252e%252e",
            ".%2E",
            "..;",
            "..;x=1",
            "%c0%ae%c0%ae",
            "%e0%80%ae.",
            ".\t.",
            ".\n.",
            "..%00",
            "%0a..",
            "\u{2025}",
            "\u{ff0e}\u{ff0e}",
            "\u{2024}.",
            ".\u{200b}.",
            ".. ",
            "..%20",
        ];
        let slashes = ["/", "\\", "%2f", "%5C", "//", "%252f", "%c0%af", "\u{ff0f}", "\u{2215}", "/./", "/%2e/"];
        for dot in dots {
            for slash in slashes {
                for host in ["file:///ok", "FILE:///ok", "file:/ok", "file://localhost/ok", "file:////ok"] {
                    let uri = format!("{host}{slash}{dot}{slash}etc/passwd");
                    assert!(readings(&uri).contains(&"file:///etc/passwd".to_owned()), "{uri:?}: {:?}", readings(&uri));
                }
                let uri = format!("notes://shelf/ok{slash}{dot}{slash}private");
                assert!(readings(&uri).contains(&"notes://shelf/private".to_owned()), "{uri:?}: {:?}", readings(&uri));
            }
        }
        for (uri, reading) in [
            ("a/../b", "b"),
            ("/a/../../b", "/b"),
            ("file:///../../etc/passwd", "file:///etc/passwd"),
            ("file:////etc", "file:///etc"),
        ] {
            assert!(readings(uri).contains(&reading.to_owned()), "{uri}");
        }
        for plain in [
            "file:///a/b.txt",
            "file:///a/b..c/...;v=1",
            "notes://x/y?z=1",
            "notes://x//y;v=2/\u{ff0e}z",
            "https://h.example/a//b?u=https://c.example/d",
            "urn:isbn:1",
            "plain",
            "a%zz",
        ] {
            assert_eq!(readings(plain), Vec::<String>::new(), "{plain}");
        }
    }
}
