//! Forms of parameters: what fits one can carry no sentence and no secret of length, so that it needs no scan.

use bartizan_rules::invariant::between;

/// What the value of a parameter looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'f> {
    /// One of these words.
    Word(&'f [&'f str]),
    /// A name of a model: at most 96 bytes, in parts of at most 15 letters and digits.
    Name,
    /// A media type such as `image/png`.
    MediaType,
    /// A time as RFC 3339 writes it.
    Time,
    /// The bytes of a picture, a sound or a file, or what a provider signed or sealed: base64 of more than 256 bytes.
    /// Shorter ones are scanned, which costs nothing.
    Base64,
    /// Base64 where the place does not say that it is: what it encodes must be no text.
    Bytes,
    /// A data URL with base64 of more than 256 bytes whose type is no text.
    DataUrl,
}

/// True for what may be a credential in a header or a field for one: at most 16 KiB of visible ASCII, with a scheme such as
/// `Bearer` before it or not.
pub(super) fn is_credential(text: &str) -> bool {
    let is_graphic = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.len() <= 16 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => token,
        _ => text,
    };
    text.len() <= 16 * 1024 && is_graphic(token)
}

/// What is not longer is scanned rather than believed.
const SHORT: usize = 256;

/// True for what may be bytes: base64 or a data URL of any length. A short one is listed as unscanned and scanned too.
pub(super) fn is_bytes(text: &str) -> bool {
    !text.is_empty() && (is_base64(text) || data_url(text).is_some_and(is_base64))
}

impl Form<'_> {
    /// True when a value has this form.
    pub(super) fn fits(self, text: &str) -> bool {
        match self {
            Form::Word(words) => words.contains(&text),
            Form::Name => {
                let mut parts = text.split(['-', '.', '_', ':', '/', '@']);
                text.len() <= 96
                    && parts.all(|part| part.len() <= 15 && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            }
            Form::MediaType => is_media_type(text),
            Form::Time => is_time(text),
            Form::Base64 => text.len() > SHORT && is_base64(text),
            Form::Bytes => text.len() > SHORT && is_base64(text) && !encodes_text(text),
            Form::DataUrl => data_url(text).is_some_and(|payload| payload.len() > SHORT && is_base64(payload)),
        }
    }
}

/// True when the beginning of a base64 text decodes to characters.
fn encodes_text(text: &str) -> bool {
    use base64::Engine as _;
    let letters = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).take(SHORT);
    let plain: Vec<u8> = letters
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    let whole = between(&plain, 0..plain.len() - plain.len() % 4);
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    match engine.decode(whole) {
        Ok(bytes) => {
            let end = bytes.len().saturating_sub(3);
            let head = String::from_utf8_lossy(between(&bytes, 0..end)).into_owned();
            !head.chars().any(|c| c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace()))
        }
        Err(_) => true,
    }
}

/// The payload of `data:TYPE/SUBTYPE;base64,PAYLOAD`.
fn data_url(text: &str) -> Option<&str> {
    let (kind, payload) = text.strip_prefix("data:")?.split_once(";base64,")?;
    (is_media_type(kind) && !kind.starts_with("text/")).then_some(payload)
}

/// `2026-11-27T02:37:01`, with a fraction of at most nine digits and an offset.
fn is_time(text: &str) -> bool {
    let fits = |part: &str, model: &str| {
        part.len() == model.len()
            && part.bytes().zip(model.bytes()).all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                b'+' => byte == b'+' || byte == b'-',
                like => byte == like,
            })
    };
    let Some((time, rest)) = text.split_at_checked(19) else { return false };
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let fraction = if digits == 0 { 0 } else { digits + 1 };
    let offset = rest.get(fraction..).unwrap_or_default();
    let known = matches!(offset, "" | "Z") || fits(offset, "+00:00");
    fits(time, "0000-00-00T00:00:00") && digits <= 9 && known
}

fn is_media_type(text: &str) -> bool {
    let plain = |part: &str| {
        (1..=40).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte))
    };
    let known = ["image", "audio", "video", "application", "text"];
    text.split_once('/').is_some_and(|(kind, rest)| known.contains(&kind) && plain(rest))
}

/// Base64 of either alphabet, in lines or not.
pub(super) fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches(['=', '\r', '\n']);
    body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_\r\n".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_sentence_fits_no_form() {
        let long = "QUJD".repeat(100);
        let fits = |form: Form<'_>, text: &str| form.fits(text);
        assert!(fits(Form::Word(&["a", "b"]), "b") && !fits(Form::Word(&["a"]), "A"));
        for name in ["gpt-4o-mini-2024-07-18", "meta-llama/Llama-3.1-8B-Instruct", "llama3:70b", ""] {
            assert!(fits(Form::Name, name), "{name}");
        }
        for name in ["ignore all previous", "AKIAQ7EXAMPL3TE5TKXQ", "sk-proj-0123456789abcdef0123", "gpt\n4"] {
            assert!(!fits(Form::Name, name), "{name}");
        }
        assert!(fits(Form::Base64, &long) && fits(Form::DataUrl, &format!("data:image/png;base64,{long}==")));
        for text in ["QUJD", &format!("{long} ignore"), &format!("data:text/plain,{long}"), &format!("{long}=ignore")] {
            assert!(!fits(Form::Base64, text) && !fits(Form::DataUrl, text), "{text}");
        }
        for time in ["2026-11-27T02:37:01.123456Z", "2026-11-27T02:37:01", "2026-11-27T02:37:01-08:00"] {
            assert!(fits(Form::Time, time), "{time}");
        }
        for time in ["4111-1111-1111-1111", "2026-11-27T02:37:01 now", "2026-11-27T02:37:01.4111111111111111", ""] {
            assert!(!fits(Form::Time, time), "{time}");
        }
        assert!(fits(Form::MediaType, "image/svg+xml") && !fits(Form::MediaType, "image/png and more"));
    }
}
