//! Tokens that the mesh has verified: Istio's RequestAuthentication, which is Envoy's `jwt_authn` filter
//! in front of this one.
//!
//! That filter leaves the claims of a token that it verified in the request's dynamic metadata, which
//! no client can write. They are read claim by claim as Envoy attributes, and go through the same
//! checks as the claims of a token verified here, except for the signature.

use serde_json::{Map, Value};

use super::claims::Pointer;
use super::json::Object;
use crate::host::Host;
use crate::reason::Reason;

/// Where Istio has `jwt_authn` put the claims (`payload_in_metadata: payload`).
const PLACE: [&str; 4] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload"];

/// The `iss` of the token that the mesh verified; `None`: it verified none.
pub(super) fn issuer(host: &mut dyn Host) -> Option<String> {
    String::from_utf8(read(&["iss"], host)?).ok()
}

/// The claims that these pointers name, and the registered ones (RFC 7519 section 4.1).
///
/// # Errors
/// [`Reason::JwtClaims`]: one of them is there and can't be read. Without it the caller would be another one.
pub(super) fn claims<'p>(
    iss: &str,
    pointers: impl Iterator<Item = &'p Pointer>,
    host: &mut dyn Host,
) -> Result<Object, Reason> {
    let mut claims = Object::new();
    claims.insert("iss".to_owned(), iss.into());
    if let Some(aud) = read(&["aud"], host).and_then(|aud| texts(&aud)) {
        claims.insert("aud".to_owned(), aud);
    }
    if let Some(id) = read(&["jti"], host) {
        claims.insert("jti".to_owned(), text(id).ok_or(Reason::JwtClaims)?.into());
    }
    for name in ["exp", "nbf", "iat"] {
        if let Some(date) = read(&[name], host) {
            claims.insert(name.to_owned(), number(date).ok_or(Reason::JwtClaims)?);
        }
    }
    for pointer in pointers {
        let parts: Vec<&str> = pointer.parts().collect();
        if let Some(value) = read(&parts, host) {
            let value = texts(&value).or_else(|| plain(value)).ok_or(Reason::JwtClaims)?;
            place(&mut claims, &parts, value);
        }
    }
    Ok(claims)
}

fn read(parts: &[&str], host: &mut dyn Host) -> Option<Vec<u8>> {
    host.property(&[&PLACE, parts].concat())
}

fn place(claims: &mut Object, parts: &[&str], value: Value) {
    let Some((last, way)) = parts.split_last() else { return };
    let mut at = claims;
    for part in way {
        let next = at.entry(*part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(map) = next else { return };
        at = map;
    }
    at.insert((*last).to_owned(), value);
}

/// A JSON number, which Envoy gives as the eight bytes of a double.
fn number(bytes: Vec<u8>) -> Option<Value> {
    let double = f64::from_le_bytes(bytes.try_into().ok()?);
    serde_json::Number::from_f64(double).map(Value::Number)
}

/// A text, or a list of texts. A list comes as the ABI's form of a header map, the texts as names.
fn texts(bytes: &[u8]) -> Option<Value> {
    match list(bytes) {
        Some(texts) => Some(texts.into()),
        None => text(bytes.to_vec()).filter(|text| !matches!(text.as_str(), "\u{1}")).map(Value::from),
    }
}

/// A boolean, which is one byte, or a number. Of some fractions the eight bytes are a text: what compares them goes wrong.
fn plain(bytes: Vec<u8>) -> Option<Value> {
    match bytes.as_slice() {
        [0] => Some(false.into()),
        [1] => Some(true.into()),
        _ => number(bytes),
    }
}

/// A text. Objects, numbers and lists of other things than texts come in the same bytes, and most of these hold a NUL.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Strict: every length must fit, so that a text is not taken for a list. Integers are little-endian.
fn list(bytes: &[u8]) -> Option<Vec<String>> {
    let word = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut texts = Vec::new();
    for pair in 0..count {
        let sizes = pair.checked_mul(8)?.checked_add(4)?;
        let end = at.checked_add(word(sizes)?)?;
        texts.push(String::from_utf8(bytes.get(at..end)?.to_vec()).ok()?);
        let value = word(sizes.checked_add(4)?)?;
        let closed = bytes.get(end) == Some(&0) && bytes.get(end.checked_add(value)?.checked_add(1)?) == Some(&0);
        if value != 0 || !closed {
            return None;
        }
        at = end.checked_add(2)?;
    }
    (at == bytes.len()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_texts_are_told_apart() {
        let two = b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0a\0\0bc\0\0";
        assert_eq!(texts(two), Some(serde_json::json!(["a", "bc"])));
        assert_eq!(texts(b"\0\0\0\0"), Some(serde_json::json!([])));
        for text in [&b""[..], b"analyst", b"\x02\0\0\0", &two[..two.len() - 1], b"\xff\xff\xff\xffx"] {
            assert!(!matches!(texts(text), Some(Value::Array(_))), "{text:?}");
        }
        assert_eq!(number(1.5f64.to_le_bytes().to_vec()), Some(serde_json::json!(1.5)));
        assert_eq!(number(b"short".to_vec()), None);
        for (bytes, value) in [(&b"\x01"[..], Some(true)), (b"\0", Some(false)), (b"\x02\0", None)] {
            assert!(texts(bytes).is_none());
            assert_eq!(plain(bytes.to_vec()), value.map(Value::from));
        }
    }
}
