//! Which paths an upstream could take for a guarded one, though they are written otherwise.

/// The path (without query) as the most forgiving upstream would read it: escapes undone (twice, for
/// those who undo them behind a proxy that did), `\` as `/`, repeated slashes and dot segments gone,
/// path parameters (`;x`) gone, no slash at the end, small letters.
///
/// Used only to refuse: a request whose own path matches no route but whose forgiving form does is
/// not unmatched, it is in disguise.
pub(super) fn forgiving(path: &str) -> String {
    let decoded = percent_decode(&percent_decode(path.as_bytes()));
    let text = String::from_utf8_lossy(&decoded).replace('\\', "/").to_ascii_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, tail @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, tail)),
            _ => None,
        };
        match escaped {
            Some((byte, tail)) => {
                out.push(byte);
                rest = tail;
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_come_off() {
        for disguise in [
            "/v1/chat/completions",
            "//v1/chat/completions",
            "/v1/%63hat/completions",
            "/v1/%2563hat/completions",
            "/v1/chat/completions/",
            "/v1/./chat/x/../completions",
            "/V1/Chat/Completions",
            "/v1;a=b/chat/completions",
            "/v1/chat/completions;x=1",
            "/v1/chat;/completions;",
            "/;/v1/chat/completions",
            "/v1/chat/completions%3bx=1",
            "/v1%3Ba/chat/completions",
            "/v1/chat/completions%253bx",
            "/v1/..;/v1/chat/completions",
            "/v1\\chat%5Ccompletions",
            "/v1%2Fchat/completions",
            "/../v1/chat/completions",
            "/v1/chat/completions%20",
        ] {
            assert_eq!(forgiving(disguise), "/v1/chat/completions", "{disguise}");
        }
        assert_eq!(forgiving("/v1/%zz%"), "/v1/%zz%");
        assert_eq!(forgiving(""), "/");
    }
}
