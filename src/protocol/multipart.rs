//! Forms of files (`multipart/form-data`, RFC 7578 and RFC 2046), read strictly: a form that two readers could take apart
//! in two ways is refused.
//!
//! Refused are: text before the first or after the last delimiter, the boundary anywhere else, padding behind it, two fields
//! of one name, a header twice, `filename*`, backslashes in names, parts in parts, and transfer encodings.

use std::ops::Range;

use memchr::memmem;

use crate::reason::Reason;

/// More fields than this is no upload.
const MAX_PARTS: usize = 32;
/// The headers of one part, in bytes.
const MAX_HEADERS: usize = 4096;
/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY: usize = 70;

/// One field of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'b> {
    /// Its name.
    pub(super) name: &'b str,
    /// The file's name, where it is a file.
    pub(super) filename: Option<&'b str>,
    /// Its content type, where it has one.
    pub(super) content_type: Option<&'b str>,
    /// What it holds.
    pub(super) content: &'b [u8],
}

/// The fields of a form, in their order. No two have the same name.
///
/// # Errors
/// [`Reason::BodyContentType`] for a header without one plain boundary, [`Reason::BodyMalformed`],
/// [`Reason::BodyDuplicateKey`].
pub(super) fn parts<'b>(body: &'b [u8], content_type: &str) -> Result<Vec<Part<'b>>, Reason> {
    let boundary = boundary(content_type).ok_or(Reason::BodyContentType)?;
    let mut parts: Vec<Part<'b>> = Vec::new();
    for range in between(body, &boundary).ok_or(Reason::BodyMalformed)? {
        let part = body.get(range).and_then(part).ok_or(Reason::BodyMalformed)?;
        if parts.iter().any(|other| other.name == part.name) {
            return Err(Reason::BodyDuplicateKey);
        }
        if parts.len() == MAX_PARTS {
            return Err(Reason::BodyTooLarge);
        }
        parts.push(part);
    }
    Ok(parts)
}

/// `multipart/form-data; boundary=...`, and no other parameter.
fn boundary(content_type: &str) -> Option<String> {
    let (_, rest) = content_type.split_once(';')?;
    let (name, value) = rest.trim().split_once('=')?;
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    let fits = (1..=MAX_BOUNDARY).contains(&value.len()) && value.bytes().all(plain);
    (name.eq_ignore_ascii_case("boundary") && fits).then(|| format!("--{value}"))
}

/// Where the parts are. The boundary must not be anywhere but in a delimiter.
fn between(body: &[u8], boundary: &str) -> Option<Vec<Range<usize>>> {
    let mut ranges = Vec::new();
    let mut start = None;
    for at in memmem::find_iter(body, boundary.as_bytes()) {
        let after = at.checked_add(boundary.len())?;
        match start {
            None if at == 0 => {}
            // The line break before a delimiter belongs to it.
            Some(start) => {
                let end = at.checked_sub(2).filter(|end| *end >= start)?;
                if body.get(end..at)? != b"\r\n" || ranges.len() > MAX_PARTS {
                    return None;
                }
                ranges.push(start..end);
            }
            None => return None,
        }
        match body.get(after..)? {
            [b'\r', b'\n', ..] => start = Some(after.checked_add(2)?),
            b"--" | b"--\r\n" => return (!ranges.is_empty()).then_some(ranges),
            _ => return None,
        }
    }
    None
}

/// Headers, an empty line, content.
fn part(bytes: &[u8]) -> Option<Part<'_>> {
    let end = memmem::find(bytes.get(..bytes.len().min(MAX_HEADERS))?, b"\r\n\r\n")?;
    let headers = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let content = bytes.get(end.checked_add(4)?..)?;
    let (mut disposition, mut content_type, mut length) = (None, None, None);
    for line in headers.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        if value.chars().any(char::is_control) {
            return None;
        }
        let known = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-type" => &mut content_type,
            // Some clients (OkHttp) announce it.
            "content-length" => &mut length,
            _ => return None,
        };
        if known.replace(value).is_some() {
            return None;
        }
    }
    if length.is_some_and(|length| length.parse() != Ok(content.len()))
        || content_type.is_some_and(|kind| kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart")))
    {
        return None;
    }
    let (name, filename) = names(disposition?)?;
    Some(Part { name, filename, content_type, content })
}

/// `form-data; name="..."; filename="..."`.
fn names(disposition: &str) -> Option<(&str, Option<&str>)> {
    let mut rest = disposition.strip_prefix("form-data")?;
    let (mut name, mut filename) = (None, None);
    while !rest.is_empty() {
        let (key, value) = rest.strip_prefix(';')?.trim_start_matches(' ').split_once("=\"")?;
        let (value, behind) = value.split_once('"')?;
        if value.contains('\\') {
            return None;
        }
        let known = match key {
            "name" => &mut name,
            "filename" => &mut filename,
            _ => return None,
        };
        if known.replace(value).is_some() {
            return None;
        }
        rest = behind;
    }
    Some((name.filter(|name| !name.is_empty())?, filename))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=b1";

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(headers, content): &(&str, &str)| format!("--b1\r\n{headers}\r\n\r\n{content}\r\n");
        parts.iter().map(part).collect::<String>() + "--b1--\r\n"
    }

    #[test]
    fn a_plain_form_is_its_fields() {
        let body = form(&[
            ("Content-Disposition: form-data; name=\"purpose\"", "batch"),
            (
                "content-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: application/jsonl",
                "{}\r\n{}\n",
            ),
            ("Content-Disposition: form-data; name=\"empty\"\r\nContent-Length: 0", ""),
        ]);
        let read = parts(body.as_bytes(), TYPE).unwrap();
        let told: Vec<_> = read.iter().map(|part| (part.name, part.filename, part.content)).collect();
        assert_eq!(
            told,
            [("purpose", None, &b"batch"[..]), ("file", Some("a.jsonl"), b"{}\r\n{}\n"), ("empty", None, b""),]
        );
        assert_eq!(read[1].content_type, Some("application/jsonl"));
    }

    #[test]
    fn what_two_readers_read_in_two_ways_is_refused() {
        const PLAIN: &str = "content-disposition: form-data; name=\"a\"";
        let wrong = [
            ("no part", "--b1--\r\n".to_owned()),
            ("nothing", String::new()),
            ("preamble", format!("x\r\n{}", form(&[(PLAIN, "1")]))),
            ("epilogue", format!("{}x", form(&[(PLAIN, "1")]))),
            ("no end", "--b1\r\n".to_owned() + PLAIN + "\r\n\r\n1\r\n--b1"),
            ("boundary in the content", form(&[(PLAIN, "x --b1 y")])),
            ("boundary behind a bare line feed", form(&[(PLAIN, "x\n--b1\ny")])),
            ("longer boundary", form(&[(PLAIN, "x\r\n--b12\r\ny")])),
            ("padding", form(&[(PLAIN, "1")]).replace("--b1\r\n", "--b1 \r\n")),
            ("bare line feeds", form(&[(PLAIN, "1")]).replace("\r\n", "\n")),
            ("no headers", "--b1\r\n\r\nx\r\n--b1--".to_owned()),
            ("no name", form(&[("content-disposition: form-data", "1")])),
            ("empty name", form(&[("content-disposition: form-data; name=\"\"", "1")])),
            ("bare name", form(&[("content-disposition: form-data; name=a", "1")])),
            ("two names", form(&[("content-disposition: form-data; name=\"a\"; name=\"b\"", "1")])),
            ("two dispositions", form(&[(&format!("{PLAIN}\r\n{PLAIN}"), "1")])),
            ("extended file name", form(&[(&format!("{PLAIN}; filename*=\"utf-8''x\""), "1")])),
            ("backslash", form(&[("content-disposition: form-data; name=\"a\\\"b\"", "1")])),
            ("folded header", form(&[("content-disposition: form-data;\r\n name=\"a\"", "1")])),
            ("transfer encoding", form(&[(&format!("{PLAIN}\r\ncontent-transfer-encoding: base64"), "MQ==")])),
            ("nested", form(&[(&format!("{PLAIN}\r\ncontent-type: multipart/mixed; boundary=c"), "1")])),
            ("length", form(&[(&format!("{PLAIN}\r\ncontent-length: 2"), "1")])),
            ("attachment", form(&[("content-disposition: attachment; name=\"a\"", "1")])),
        ];
        for (what, body) in wrong {
            assert_eq!(parts(body.as_bytes(), TYPE), Err(Reason::BodyMalformed), "{what}");
        }
        let twice = form(&[(PLAIN, "1"), (PLAIN, "2")]);
        assert_eq!(parts(twice.as_bytes(), TYPE), Err(Reason::BodyDuplicateKey));
        let body = form(&[(PLAIN, "1")]);
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=b1; boundary=b2",
            "multipart/form-data; charset=utf-8; boundary=b1",
            "multipart/form-data; boundary=\"b 1\"",
        ] {
            assert_eq!(parts(body.as_bytes(), kind), Err(Reason::BodyContentType), "{kind}");
        }
        assert!(parts(body.as_bytes(), "multipart/form-data; boundary=\"b1\"").is_ok());
    }

    #[test]
    fn fields_are_bounded() {
        let many: Vec<String> =
            (0..=MAX_PARTS).map(|at| format!("content-disposition: form-data; name=\"a{at}\"")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|headers| (headers.as_str(), "1")).collect();
        assert!(parts(form(&many[1..]).as_bytes(), TYPE).is_ok());
        assert!(parts(form(&many).as_bytes(), TYPE).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            pieces in prop::collection::vec(prop_oneof![
                Just(b"--b1\r\n".to_vec()), Just(b"--b1--".to_vec()), Just(b"\r\n".to_vec()), Just(b"\r\n\r\n".to_vec()),
                Just(b"content-disposition: form-data; name=\"a\"".to_vec()), Just(b"; filename=\"".to_vec()),
                prop::collection::vec(any::<u8>(), 0..12),
            ], 0..16),
        ) {
            let body = pieces.concat();
            if let Ok(parts) = parts(&body, TYPE) {
                prop_assert!(!parts.is_empty() && parts.iter().all(|part| memmem::find(part.content, b"--b1").is_none()));
            }
        }

        #[test]
        fn content_comes_back_as_it_was(content in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(memmem::find(&content, b"--b1").is_none());
            let mut body = b"--b1\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n".to_vec();
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n--b1--\r\n");
            prop_assert_eq!(parts(&body, TYPE).unwrap()[0].content, content.as_slice());
        }
    }
}
