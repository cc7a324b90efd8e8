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

/// What is left of a path and query without these parameters, and their values. `None`: it has none of them. Names are
/// read with their escapes undone and in any case. What else is between the same two `&` goes with them.
pub(super) fn without(target: &str, parameters: &[&str]) -> Option<(String, Vec<Vec<u8>>)> {
    let (path, query) = target.split_once('?').filter(|_| !parameters.is_empty())?;
    let is_one = |name: &str| {
        let name = percent_decode(name.as_bytes());
        parameters.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let (mut left, mut values) = (Vec::new(), Vec::new());
    for pair in query.split('&') {
        let before = values.len();
        for part in pair.split([';', '#', '?']) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if is_one(name) {
                values.push(percent_decode(value.as_bytes()));
            }
        }
        if values.len() == before {
            left.push(pair);
        }
    }
    let rest = if left.is_empty() { path.to_owned() } else { format!("{path}?{}", left.join("&")) };
    (!values.is_empty()).then_some((rest, values))
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
    fn no_spelling_of_a_parameter_is_left() {
        let names = ["key", "access_token"];
        for (target, rest, values) in [
            ("/v1/x?key=a", "/v1/x", &["a"][..]),
            ("/v1/x?alt=sse&key=a&b=c", "/v1/x?alt=sse&b=c", &["a"]),
            ("/v1/x?%6bey=a%2Eb", "/v1/x", &["a.b"]),
            ("/v1/x?k%65Y=a&KEY=b", "/v1/x", &["a", "b"]),
            ("/v1/x?alt=sse;key=a&b", "/v1/x?b", &["a"]),
            ("/v1/x?key&access_token=", "/v1/x", &["", ""]),
            ("/v1/x?b?key=a", "/v1/x", &["a"]),
        ] {
            let values: Vec<Vec<u8>> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            assert_eq!(without(target, &names), Some((rest.to_owned(), values)), "{target}");
        }
        for target in ["/v1/x", "/v1/x?", "/v1/x?monkey=a&keys=b", "/key=a"] {
            assert_eq!(without(target, &names), None, "{target}");
        }
        assert_eq!(without("/v1/x?key=a", &[]), None);
    }

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
