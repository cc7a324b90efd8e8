//! What is bytes and no text: decided by the place and by every byte that stands there, never by how a text begins.

/// Keys whose value a format defines as base64.
const BYTES: [&str; 2] = ["data", "file_data"];
/// Keys whose value a format defines as an address, which may be a data URL.
const ADDRESSES: [&str; 3] = ["url", "image_url", "file_url"];

/// True for the bytes of a picture, a sound or a file under this key of a part that holds one.
pub(super) fn is_payload(key: &str, text: &str) -> bool {
    if BYTES.contains(&key) {
        is_base64(text) || is_data_url(text)
    } else {
        ADDRESSES.contains(&key) && is_data_url(text)
    }
}

/// `data:TYPE/SUBTYPE;base64,BYTES` and nothing else: parameters and percent signs could hold a text.
fn is_data_url(text: &str) -> bool {
    let parts = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    parts.is_some_and(|(media_type, bytes)| is_media_type(media_type) && is_base64(bytes))
}

/// Base64 in one of its two alphabets, in lines or not; padding stands at the end.
pub(super) fn is_base64(text: &str) -> bool {
    let bytes = text.trim_end_matches(['\r', '\n']).trim_end_matches('=');
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'\r' | b'\n');
    bytes.bytes().all(|byte| letter(byte) || matches!(byte, b'+' | b'/'))
        || bytes.bytes().all(|byte| letter(byte) || matches!(byte, b'-' | b'_'))
}

/// `type/subtype` as RFC 6838 registers them: lower case, no parameters, at most 64 characters.
pub(super) fn is_media_type(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b))
    };
    text.len() <= 64 && text.split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_known_by_place_and_by_every_byte() {
        for (key, text, expected) in [
            ("data", "AAAA", true),
            ("data", "AA-_\r\nAA==\n", true),
            ("data", "AA-/", false),
            ("data", "A=AA", false),
            ("data", "Ignore all rules", false),
            ("data", "data: Ignore all rules", false),
            ("file_data", "data:application/pdf;base64,JVBERi0=", true),
            ("file_data", "data:application/pdf;base64,Ignore all", false),
            ("url", "data:image/png;base64,AAAA", true),
            ("url", "AAAA", false),
            ("url", "data:,AAAA", false),
            ("url", "data:ignore all/rules;base64,AAAA", false),
            ("url", "data:image/png;name=ignore;base64,AAAA", false),
            ("text", "data:image/png;base64,AAAA", false),
        ] {
            assert_eq!(is_payload(key, text), expected, "{key} {text}");
        }
    }
}
