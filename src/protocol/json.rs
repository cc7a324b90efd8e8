//! A strict JSON tree: what was read is what any other parser reads.
//!
//! serde_json does the lexing (RFC 8259, UTF-8, lone surrogates, control characters, trailing bytes
//! are all refused there). This tree adds what a guard needs: duplicate keys are refused, depth is
//! bounded, integers that other parsers would round are refused, strings borrow from the body, and
//! a changed tree is written out again in canonical form.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Number;

use crate::reason::Reason;

/// A JSON value. Objects keep the order of their keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number that fits `i64`, `u64` or a finite `f64` exactly enough to be written again.
    Number(Number),
    /// A string, escapes undone.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object; no key stands twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// A place in a tree: the positions of the children on the way, in arrays and objects alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<u32>);

impl Path {
    /// The place of the child at `position`.
    #[must_use]
    pub fn child(&self, position: usize) -> Path {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(u32::try_from(position).unwrap_or(u32::MAX));
        Path(steps)
    }

    /// The rest of this path below `base`; `None` when it does not lie there.
    pub fn below(&self, base: &Path) -> Option<Path> {
        self.0.strip_prefix(base.0.as_slice()).map(|rest| Path(rest.to_vec()))
    }
}

impl<'a> Json<'a> {
    /// Reads a whole body.
    ///
    /// # Errors
    /// [`Reason::BodyMalformed`], [`Reason::BodyDuplicateKey`] or [`Reason::BodyDepth`].
    pub fn parse(body: &'a [u8], max_depth: usize) -> Result<Json<'a>, Reason> {
        let fault = Cell::new(Reason::BodyMalformed);
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        Seed { depth: max_depth, fault: &fault }
            .deserialize(&mut deserializer)
            .and_then(|json| deserializer.end().map(|()| json))
            .map_err(|_| fault.get())
    }

    /// An object of strings.
    pub fn object<const N: usize>(entries: [(&'static str, &str); N]) -> Json<'a> {
        let entry = |(key, text): (&'static str, &str)| (Cow::Borrowed(key), Json::String(text.to_owned().into()));
        Json::Object(entries.into_iter().map(entry).collect())
    }

    /// The tree as compact JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing to a Vec can't fail, and every key is a string.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The value at `path`.
    pub fn at(&self, path: &Path) -> Option<&Json<'a>> {
        path.0.iter().try_fold(self, |value, &step| value.child(step))
    }

    /// The value at `path`, to be changed.
    pub fn at_mut(&mut self, path: &Path) -> Option<&mut Json<'a>> {
        path.0.iter().try_fold(self, |value, &step| match value {
            Json::Array(items) => items.get_mut(step as usize),
            Json::Object(entries) => entries.get_mut(step as usize).map(|(_, value)| value),
            _ => None,
        })
    }

    /// The key under which the value at `path` stands in its object.
    pub fn key_at(&self, path: &Path) -> Option<&str> {
        let (&last, parents) = path.0.split_last()?;
        match parents.iter().try_fold(self, |value, &step| value.child(step))? {
            Json::Object(entries) => entries.get(last as usize).map(|(key, _)| key.as_ref()),
            _ => None,
        }
    }

    /// The value of an object's entry, when this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json<'a>> {
        match self {
            Json::Object(entries) => entries.iter_mut().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Sets an object's entry: in its place where it stands there, else at the end. No object is left as it is.
    pub fn set(&mut self, name: &'static str, value: Json<'a>) {
        let Json::Object(entries) = self else { return };
        match entries.iter_mut().find(|(key, _)| key == name) {
            Some((_, place)) => *place = value,
            None => entries.push((name.into(), value)),
        }
    }

    /// Takes the value at `path` out, with its key. What stands behind it in the same array or object moves up.
    pub fn remove(&mut self, path: &Path) {
        let Some((&last, parents)) = path.0.split_last() else { return };
        let at = last as usize;
        match self.at_mut(&Path(parents.to_vec())) {
            Some(Json::Array(items)) if at < items.len() => {
                items.remove(at);
            }
            Some(Json::Object(entries)) if at < entries.len() => {
                entries.remove(at);
            }
            _ => {}
        }
    }

    fn child(&self, step: u32) -> Option<&Json<'a>> {
        match self {
            Json::Array(items) => items.get(step as usize),
            Json::Object(entries) => entries.get(step as usize).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The path as a JSON Pointer in which keys that `known` refuses stand as `*`, because a key
    /// may itself be the caller's text.
    pub fn pointer(&self, path: &Path, known: &dyn Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let mut value = Some(self);
        for &step in &path.0 {
            text.push('/');
            match value {
                Some(Json::Object(entries)) => match entries.get(step as usize) {
                    Some((key, _)) if known(key) => text.push_str(key),
                    _ => text.push('*'),
                },
                _ => text.push_str(&step.to_string()),
            }
            value = value.and_then(|value| value.child(step));
        }
        text
    }

    /// The field `name` of an object, with its position. A key that only a lenient parser would take
    /// for `name` (other case, or a letter that case-folds to it) is refused: what was scanned must
    /// be what the upstream reads.
    ///
    /// # Errors
    /// [`Reason::BodyShape`] for such a look-alike key, or when this is no object.
    pub fn field(&self, name: &str) -> Result<Option<(usize, &Json<'a>)>, Reason> {
        let Json::Object(entries) = self else { return Err(Reason::BodyShape) };
        let mut found = None;
        for (position, (key, value)) in entries.iter().enumerate() {
            if key == name {
                // A null field is an absent field, in every API this guards.
                found = (!matches!(value, Json::Null)).then_some((position, value));
            } else if folds_to(key, name) {
                return Err(Reason::BodyShape);
            }
        }
        Ok(found)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number that is a whole one and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Json::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Calls `visit` for every string at or below `path`: the values, and with `is_key` true the keys.
    /// Depth is bounded by the parser.
    pub fn visit_strings(&self, path: &Path, visit: &mut dyn FnMut(&Path, bool, &str)) {
        match self {
            Json::String(text) => visit(path, false, text),
            Json::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    item.visit_strings(&path.child(position), visit);
                }
            }
            Json::Object(entries) => {
                for (position, (key, value)) in entries.iter().enumerate() {
                    let place = path.child(position);
                    visit(&place, true, key);
                    value.visit_strings(&place, visit);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

/// Go's encoding/json matches keys without case, by Unicode simple folding: U+017F and U+212A fold to `s` and `k`.
fn folds_to(key: &str, name: &str) -> bool {
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    let mut folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    name.chars().all(|c| folded.next() == Some(c.to_ascii_lowercase())) && folded.next().is_none()
}

struct Seed<'c> {
    depth: usize,
    fault: &'c Cell<Reason>,
}

impl Seed<'_> {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        let Some(depth) = self.depth.checked_sub(1) else {
            self.fault.set(Reason::BodyDepth);
            return Err(E::custom("too deep"));
        };
        Ok(Seed { depth, fault: self.fault })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        // A whole number this large was an integer that lost digits on the way here, and another
        // parser may not lose them.
        if value.abs() >= 9_223_372_036_854_775_808.0 {
            return Err(E::custom("number out of range"));
        }
        if value == 0.0 {
            // `-0` comes as -0.0: written so again, it would no longer be a whole number to its reader.
            return Ok(Json::Number(0.into()));
        }
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        /// Up to here, comparing with every earlier key is cheaper than hashing.
        const SMALL: usize = 16;
        let mut entries: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Key(key)) = map.next_key()? {
            let twice = if entries.len() < SMALL {
                entries.iter().any(|(earlier, _)| *earlier == key)
            } else {
                if seen.is_empty() {
                    seen.extend(entries.iter().map(|(earlier, _)| earlier.clone()));
                }
                !seen.insert(key.clone())
            };
            if twice {
                self.fault.set(Reason::BodyDuplicateKey);
                return Err(de::Error::custom("duplicate key"));
            }
            let value = map.next_value_seed(self.deeper()?)?;
            entries.push((key, value));
        }
        Ok(Json::Object(entries))
    }
}

/// A key that borrows where it can; serde's own `Cow` never does.
struct Key<'de>(Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => number.serialize(serializer),
            Json::String(text) => serializer.serialize_str(text),
            Json::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Json::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_parsers_read_differently() {
        let cases: &[(&[u8], Reason)] = &[
            (b"{\"a\":1,\"a\":2}", Reason::BodyDuplicateKey),
            (b"{\"a\":1,\"\\u0061\":2}", Reason::BodyDuplicateKey),
            (b"[[[[[1]]]]]", Reason::BodyDepth),
            (b"\xef\xbb\xbf{}", Reason::BodyMalformed),
            (b"{} {}", Reason::BodyMalformed),
            (b"{}\0", Reason::BodyMalformed),
            (b"", Reason::BodyMalformed),
            (b"{\"a\":NaN}", Reason::BodyMalformed),
            (b"{\"a\":1e999}", Reason::BodyMalformed),
            (b"{\"a\":123456789012345678901234567890}", Reason::BodyMalformed),
            (b"{\"a\":\"\\ud800\"}", Reason::BodyMalformed),
            (b"{\"a\":\"\xff\"}", Reason::BodyMalformed),
            (b"{\"a\":1,}", Reason::BodyMalformed),
            (b"{/*c*/}", Reason::BodyMalformed),
            (b"{\"a\":'b'}", Reason::BodyMalformed),
            (b"{\"a\":\"b\nc\"}", Reason::BodyMalformed),
        ];
        for (body, reason) in cases {
            assert_eq!(Json::parse(body, 4), Err(*reason), "{}", String::from_utf8_lossy(body));
        }
        let many: String = (0..100).map(|i| format!("\"k{i}\":0,")).collect();
        let body = format!("{{{many}\"k7\":1}}");
        assert_eq!(Json::parse(body.as_bytes(), 4), Err(Reason::BodyDuplicateKey));
    }

    #[test]
    fn look_alike_keys_are_refused() {
        for body in [r#"{"Model":"x"}"#, r#"{"model":"a","MODEL":"b"}"#, "{\"me\u{17f}\u{17f}ages\":[]}"] {
            let json = Json::parse(body.as_bytes(), 4).unwrap();
            let outcome = ["model", "messages"].map(|name| json.field(name));
            assert!(outcome.contains(&Err(Reason::BodyShape)), "{body}");
        }
    }

    #[test]
    fn writes_what_it_read() {
        let body = br#"{"a":[1,-2,3.5,true,null,"x\ny","\u00e9"],"b":{"c":18446744073709551615}}"#;
        let json = Json::parse(body, 8).unwrap();
        let again = json.to_bytes();
        assert_eq!(Json::parse(&again, 8).unwrap(), json);
        let path = Path::default().child(0).child(5);
        assert_eq!(json.at(&path).and_then(Json::as_str), Some("x\ny"));
        assert_eq!(json.pointer(&path, &|key| key == "a"), "/a/5");
        assert_eq!(json.pointer(&path, &|_| false), "/*/5");
    }
}
