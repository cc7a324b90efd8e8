//! URIs of resources as a server may read them.

/// A URI without escapes of plain characters and without dot segments (RFC 3986 section 6.2.2), however often it was
/// escaped, and with backslashes as slashes.
pub(super) fn normalised(uri: &str) -> String {
    let mut text = uri.replace('\\', "/");
    // Each round leaves fewer escapes; a server undoes one or two.
    for _ in 0..4 {
        let next = unescaped(&text);
        if next == text {
            break;
        }
        text = next.replace('\\', "/");
    }
    let (scheme, rest) = text.split_once(':').map_or(("", text.as_str()), |(scheme, rest)| (scheme, rest));
    // Before the first segment stands `//HOST`, or the slash of a path.
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
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if text.contains(':') { format!("{}:{joined}", scheme.to_ascii_lowercase()) } else { joined }
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
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_way_up_is_one() {
        for uri in [
            "file:///ok/../etc/passwd",
            "file:///ok/%2e%2E/etc/passwd",
            "file:///ok/%252e%252e/etc/passwd",
            "FILE:///ok/./..\\etc/passwd",
            "file:///ok%2f..%2fetc/passwd",
            "file:///../../etc/passwd",
        ] {
            assert_eq!(normalised(uri), "file:///etc/passwd", "{uri}");
        }
        assert_eq!((normalised("a/../b").as_str(), normalised("/a/../../b").as_str()), ("b", "/b"));
        for plain in ["file:///a/b.txt", "notes://x/y?z=1", "plain", "a%zz"] {
            assert_eq!(normalised(plain), plain);
        }
    }
}
