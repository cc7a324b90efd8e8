//! A strict JSON tree: what was read is what any other parser reads.
//!
//! The reader accepts the grammar of RFC 8259 in UTF-8 and nothing else. It refuses what parsers read differently:
//! duplicate keys, a byte order mark, lone surrogates, bytes after the value; and it bounds the depth. Numbers are kept
//! as they were written, because a number that passes through a float comes out as another one. Strings borrow from the
//! body. A changed tree is written again as compact JSON.
//!
//! An upstream's reply is read by [`Json::parse_reply`], which is lenient where real servers are: see there.
//!
//! ```
//! use bartizan::protocol::Json;
//!
//! let body = br#"{"model": "small", "n": 1.0}"#;
//! let json = Json::parse(body, 64).unwrap();
//! assert_eq!(json.get("model").and_then(Json::as_str), Some("small"));
//! assert_eq!(json.to_bytes(), br#"{"model":"small","n":1.0}"#);
//! assert!(Json::parse(br#"{"a": 1, "a": 2}"#, 64).is_err(), "parsers differ in which one counts");
//! ```

mod places;
mod reader;
mod writer;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::reason::Reason;
pub use places::Places;

/// A JSON value. Objects keep the order of their keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number<'a>),
    /// A string, escapes undone.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object; no key occurs twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// A number as it was written: `1E5` stays `1E5`, and 2^64 keeps its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number<'a>(Cow<'a, str>);

impl Number<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of a number that is written without fraction and exponent, is not negative and fits 64 bits.
    pub fn as_u64(&self) -> Option<u64> {
        if self.0 == "-0" { Some(0) } else { self.0.parse().ok() }
    }

    /// The value of a whole number however it is written (`-1`, `2048.0`, `2e3`), where it fits `i64`. A number beyond
    /// 2^53 counts only when it is written in nothing but digits: a float would round it.
    pub fn whole(&self) -> Option<i64> {
        if let Ok(value) = self.0.parse() {
            return Some(value);
        }
        let value: f64 = self.0.parse().ok()?;
        (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
    }
}

impl From<u32> for Number<'_> {
    fn from(value: u32) -> Self {
        u64::from(value).into()
    }
}

impl From<u64> for Number<'_> {
    fn from(value: u64) -> Self {
        Number(Cow::Owned(value.to_string()))
    }
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

    /// How many steps lead to it.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// The place that this leads to from there.
    #[must_use]
    pub fn join(&self, below: &Path) -> Path {
        Path(self.0.iter().chain(&below.0).copied().collect())
    }

    /// These of its steps, as a path of their own.
    #[must_use]
    pub fn part(&self, steps: std::ops::Range<usize>) -> Path {
        Path(self.0.get(steps).unwrap_or_default().to_vec())
    }

    /// True when this place is `base` or lies below it.
    pub fn is_in(&self, base: &Path) -> bool {
        self.0.starts_with(&base.0)
    }

    /// The rest of this path below `base`; `None` when it does not lie there.
    pub fn below(&self, base: &Path) -> Option<Path> {
        self.0.strip_prefix(base.0.as_slice()).map(|rest| Path(rest.to_vec()))
    }
}

/// One step on the way to a place in a tree.
#[derive(Clone, Copy, Debug)]
pub struct Step<'j, 'a> {
    /// The array or object that it leads out of.
    pub holder: &'j Json<'a>,
    /// The key, where that is an object.
    pub key: Option<&'j str>,
    /// The position in it.
    pub position: usize,
}

impl<'a> Json<'a> {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`Reason::BodyMalformed`], [`Reason::BodyDuplicateKey`], [`Reason::BodyDepth`] (`max_depth` counts arrays and
    /// objects), or [`Reason::BodyTooLarge`] for more than 1,048,576 texts and keys, or four times as many other values.
    pub fn parse(body: &'a [u8], max_depth: usize) -> Result<Json<'a>, Reason> {
        reader::read(body, max_depth, reader::Grammar::Strict)
    }

    /// Reads a reply or one event of it. Servers write what RFC 8259 does not know and every client's parser accepts:
    /// `NaN`, `Infinity` and `-Infinity` are numbers here, a lone surrogate is U+FFFD, and a byte order mark is left out.
    ///
    /// # Errors
    /// As [`Json::parse`].
    pub fn parse_reply(body: &'a [u8], max_depth: usize) -> Result<Json<'a>, Reason> {
        reader::read(body, max_depth, reader::Grammar::Lenient)
    }

    /// Reads a file of one value a line; empty lines are none. All together may hold what one body may.
    ///
    /// # Errors
    /// As [`Json::parse`], with the number of the line. [`Reason::BodyShape`] without any line, [`Reason::BodyTooLarge`] for
    /// more than 50,000.
    pub fn parse_lines(file: &'a [u8], max_depth: usize) -> Result<Vec<Json<'a>>, (usize, Reason)> {
        reader::read_lines(file, max_depth)
    }

    /// An object of strings.
    pub fn object<const N: usize>(entries: [(&'static str, &str); N]) -> Json<'a> {
        let entry = |(key, text): (&'static str, &str)| (Cow::Borrowed(key), Json::String(text.to_owned().into()));
        Json::Object(entries.into_iter().map(entry).collect())
    }

    /// The tree as compact JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        writer::write(self, &mut out);
        out
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

    /// The key of the value at `path` in its object.
    pub fn key_at(&self, path: &Path) -> Option<&str> {
        let (&last, parents) = path.0.split_last()?;
        match parents.iter().try_fold(self, |value, &step| value.child(step))? {
            Json::Object(entries) => entries.get(last as usize).map(|(key, _)| key.as_ref()),
            _ => None,
        }
    }

    /// Gives the entry at `path` another key, which may be there twice then: see [`Json::distinct`]. Returns the path of its
    /// object; `None` when no object's entry is there.
    pub fn rename(&mut self, path: &Path, key: String) -> Option<Path> {
        let (&last, parents) = path.0.split_last()?;
        let holder = Path(parents.into());
        let Json::Object(entries) = self.at_mut(&holder)? else { return None };
        entries.get_mut(last as usize)?.0 = key.into();
        Some(holder)
    }

    /// Puts `#2`, `#3` and so on behind keys that are there twice in the object at `holder`.
    pub fn distinct(&mut self, holder: &Path) {
        let Some(Json::Object(entries)) = self.at_mut(holder) else { return };
        let mut taken: HashSet<String> = HashSet::with_capacity(entries.len());
        let mut copies: HashMap<String, u32> = HashMap::new();
        for (key, _) in entries {
            if taken.contains(key.as_ref()) {
                let copy = copies.entry(key.to_string()).or_insert(1);
                let name = loop {
                    *copy += 1;
                    let name = format!("{key}#{copy}");
                    if !taken.contains(&name) {
                        break name;
                    }
                };
                *key = name.into();
            }
            taken.insert(key.to_string());
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

    /// Sets an object's entry: in its place where it has one, else at the end. No object is left as it is.
    pub fn set(&mut self, name: &'static str, value: Json<'a>) {
        let Json::Object(entries) = self else { return };
        match entries.iter_mut().find(|(key, _)| key == name) {
            Some((_, place)) => *place = value,
            None => entries.push((name.into(), value)),
        }
    }

    /// Takes the values at these places out, with their keys. What comes after them moves up. Linear in the arrays and
    /// objects that hold them.
    pub fn remove(&mut self, paths: &[&Path]) {
        let mut holders: BTreeMap<&[u32], BTreeSet<usize>> = BTreeMap::new();
        for path in paths {
            let Some((&last, holder)) = path.0.split_last() else { continue };
            holders.entry(holder).or_default().insert(last as usize);
        }
        // From the last to the first: neither what is before a place nor what holds it moves.
        for (holder, gone) in holders.into_iter().rev() {
            let mut at = 0;
            let mut stays = || {
                at += 1;
                !gone.contains(&(at - 1))
            };
            match self.at_mut(&Path(holder.to_vec())) {
                Some(Json::Array(items)) => items.retain(|_| stays()),
                Some(Json::Object(entries)) => entries.retain(|_| stays()),
                _ => {}
            }
        }
    }

    fn child(&self, step: u32) -> Option<&Json<'a>> {
        match self {
            Json::Array(items) => items.get(step as usize),
            Json::Object(entries) => entries.get(step as usize).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The steps to `path`, as far as they lead anywhere.
    pub fn steps<'j>(&'j self, path: &Path) -> impl Iterator<Item = Step<'j, 'a>> {
        let mut value = Some(self);
        path.0.iter().map_while(move |&step| {
            let holder = value?;
            value = holder.child(step);
            let key = match holder {
                Json::Object(entries) => Some(entries.get(step as usize)?.0.as_ref()),
                _ => None,
            };
            Some(Step { holder, key, position: step as usize })
        })
    }

    /// The keys of the objects on the way to a place.
    pub fn keys_to<'s>(&'s self, path: &'s Path) -> impl Iterator<Item = &'s str> + 's {
        let mut value = Some(self);
        path.0.iter().filter_map(move |&step| {
            let holder = value?;
            value = holder.child(step);
            match holder {
                Json::Object(entries) => entries.get(step as usize).map(|(key, _)| key.as_ref()),
                _ => None,
            }
        })
    }

    /// The path as a JSON Pointer in which keys that `known` refuses are written as `*`, because a key
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

    /// The value of a number that is written in nothing but digits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Json::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Calls `visit` for every string at or below `path`: the values, and with `is_key` true the keys.
    /// Depth is bounded by the parser.
    pub fn visit_strings(&self, path: &Path, visit: &mut dyn FnMut(&Path, bool, &str)) {
        self.visit_below(&mut path.clone(), visit);
    }

    fn visit_below(&self, path: &mut Path, visit: &mut dyn FnMut(&Path, bool, &str)) {
        match self {
            Json::String(text) => visit(path, false, text),
            Json::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    if !matches!(item, Json::Null | Json::Bool(_) | Json::Number(_)) {
                        path.0.push(u32::try_from(position).unwrap_or(u32::MAX));
                        item.visit_below(path, visit);
                        path.0.pop();
                    }
                }
            }
            Json::Object(entries) => {
                for (position, (key, value)) in entries.iter().enumerate() {
                    path.0.push(u32::try_from(position).unwrap_or(u32::MAX));
                    visit(path, true, key);
                    value.visit_below(path, visit);
                    path.0.pop();
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

/// Go's encoding/json matches keys without case, by Unicode simple folding: U+017F and U+212A fold to `s` and `k`.
pub(super) fn folds_to(key: &str, name: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_gone_and_nothing_else_moves() {
        let text = br#"{"a":[0,1,{"b":[2,3]},4],"c":{"d":5,"e":6}}"#;
        let path = |steps: &[usize]| steps.iter().fold(Path::default(), |path, step| path.child(*step));
        for (steps, left) in [
            (vec![vec![0, 0], vec![0, 3], vec![0, 3], vec![0, 9]], r#"{"a":[1,{"b":[2,3]}],"c":{"d":5,"e":6}}"#),
            (vec![vec![1, 0], vec![0, 2, 0, 0], vec![0, 1]], r#"{"a":[0,{"b":[3]},4],"c":{"e":6}}"#),
            (vec![vec![0, 2], vec![0, 2, 0, 1], vec![1]], r#"{"a":[0,1,4]}"#),
            (vec![vec![], vec![7, 1], vec![0, 0, 0]], r#"{"a":[0,1,{"b":[2,3]},4],"c":{"d":5,"e":6}}"#),
        ] {
            let mut json = Json::parse(text, 8).unwrap();
            let paths: Vec<Path> = steps.iter().map(|steps| path(steps)).collect();
            json.remove(&paths.iter().collect::<Vec<_>>());
            assert_eq!(String::from_utf8(json.to_bytes()).unwrap(), left, "{steps:?}");
        }
    }

    #[test]
    fn a_key_that_is_renamed_never_stands_twice() {
        let mut json = Json::parse(b"{\"o\":{\"a\":1,\"b\":2,\"x#2\":3,\"c\":4}}", 4).unwrap();
        let inner = Path::default().child(0);
        for at in [0, 1, 3] {
            assert_eq!(json.rename(&inner.child(at), "x".into()), Some(inner.clone()));
        }
        json.distinct(&inner);
        assert_eq!(json.to_bytes(), b"{\"o\":{\"x\":1,\"x#2\":2,\"x#2#2\":3,\"x#3\":4}}");
        assert_eq!(json.rename(&inner.child(9), "y".into()), None);
        assert_eq!(json.rename(&Path::default(), "y".into()), None);
    }

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
            (b"{\"a\":01}", Reason::BodyMalformed),
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
    fn a_body_of_too_many_values_is_refused() {
        use super::reader::{MAX_VALUES, TEXT, VALUE};
        let list = |value: &str, count: usize| format!("[{}{value}]", format!("{value},").repeat(count - 1));
        let most = MAX_VALUES - VALUE;
        for (value, count, fits) in [
            ("0", most, true),
            ("0", most + 1, false),
            ("[]", most + 1, false),
            ("\"\"", most / TEXT, true),
            ("\"\"", most / TEXT + 1, false),
            ("\"\\n\"", most / TEXT + 1, false),
            (r#"{"a":0}"#, most / (2 * VALUE + TEXT), true),
            (r#"{"a":0}"#, most / (2 * VALUE + TEXT) + 1, false),
        ] {
            let outcome = Json::parse(list(value, count).as_bytes(), 4).map(|_| ());
            assert_eq!(outcome, if fits { Ok(()) } else { Err(Reason::BodyTooLarge) }, "{count} of {value}");
        }
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
