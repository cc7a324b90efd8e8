//! The document as a tree: what JSON allows and the document does not is refused here, with its path.
//!
//! Duplicate keys, nulls, numbers that are not finite, nesting and size are decided here; what a key
//! means is not. The reader works over any serde format, so that YAML files get the same checks.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::errors::{KeyPath, Step};

/// Nesting that no sensible policy reaches.
pub(crate) const MAX_DEPTH: usize = 32;

/// Nesting that no sensible file around a policy reaches.
#[cfg(feature = "cli")]
pub(crate) const MAX_FILE_DEPTH: usize = 96;

/// The size of a document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Values in one document, counted after YAML's aliases are expanded.
const MAX_NODES: usize = 200_000;

/// A value of the document. List elements keep the index that they have in the text, also after a
/// neighbour was cut out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<(usize, Node)>),
    Object(Vec<(String, Node)>),
}

/// What the tree reader refused.
#[derive(Clone, Debug)]
pub(crate) struct TreeFault {
    pub(crate) path: KeyPath,
    pub(crate) message: String,
    /// True when the value is not in the tree, so that its absence must not be reported too.
    pub(crate) cut: bool,
    /// True when nothing but a null is wrong, which a file around a policy may hold.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) is_null: bool,
}

/// A tree as far as it could be read, and every fault on the way.
#[derive(Debug)]
pub(crate) struct ReadTree {
    /// `None` when the text is no tree at all.
    pub(crate) root: Option<Node>,
    pub(crate) faults: Vec<TreeFault>,
}

/// Reads JSON. Nothing may follow the document.
pub(crate) fn read_json(bytes: &[u8], max_depth: usize) -> ReadTree {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        let message = format!("{} bytes, expected at most {MAX_DOCUMENT_BYTES}", bytes.len());
        return ReadTree {
            root: None,
            faults: vec![TreeFault { path: KeyPath::root(), message, cut: true, is_null: false }],
        };
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    read(max_depth, |seed| {
        let node = seed.deserialize(&mut deserializer).map_err(|error| format!("not valid JSON: {error}"))?;
        deserializer.end().map_err(|error| format!("text after the document: {error}"))?;
        Ok(node)
    })
}

/// Reads one value of any serde format.
pub(crate) fn read_with<'de, D: Deserializer<'de>>(deserializer: D, max_depth: usize) -> ReadTree {
    read(max_depth, |seed| seed.deserialize(deserializer).map_err(|error| error.to_string()))
}

fn read(max_depth: usize, run: impl FnOnce(NodeSeed<'_>) -> Result<Option<Node>, String>) -> ReadTree {
    let walk = RefCell::new(Walk { max_depth, ..Walk::default() });
    let outcome = run(NodeSeed { walk: &walk });
    let mut walk = walk.into_inner();
    let root = match outcome {
        Ok(root) => root,
        Err(message) => {
            if !walk.stopped {
                walk.fault(message, true);
            }
            None
        }
    };
    if root.is_none() && walk.faults.is_empty() {
        walk.fault("empty, expected an object".to_owned(), true);
    }
    ReadTree { root, faults: walk.faults }
}

/// Where the reader is.
#[derive(Default)]
struct Walk {
    max_depth: usize,
    path: KeyPath,
    nodes: usize,
    faults: Vec<TreeFault>,
    /// A bound was passed: the error that unwinds the parser is already recorded.
    stopped: bool,
}

impl Walk {
    fn fault(&mut self, message: String, cut: bool) {
        self.faults.push(TreeFault { path: self.path.clone(), message, cut, is_null: false });
    }

    fn null(&mut self) {
        let message = "null; give it a value or leave the key out".to_owned();
        self.faults.push(TreeFault { path: self.path.clone(), message, cut: true, is_null: true });
    }

    fn stop<E: de::Error>(&mut self, message: String) -> E {
        self.stopped = true;
        let error = E::custom(&message);
        self.fault(message, true);
        error
    }
}

/// Reads one value; `None` for a null, which is recorded.
#[derive(Clone, Copy)]
struct NodeSeed<'a> {
    walk: &'a RefCell<Walk>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Option<Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Node>, D::Error> {
        let mut walk = self.walk.borrow_mut();
        walk.nodes = walk.nodes.saturating_add(1);
        if walk.nodes > MAX_NODES {
            return Err(walk.stop(format!("more than {MAX_NODES} values in one document")));
        }
        drop(walk);
        deserializer.deserialize_any(self)
    }
}

impl NodeSeed<'_> {
    fn enter<E: de::Error>(&self) -> Result<(), E> {
        let mut walk = self.walk.borrow_mut();
        if walk.path.steps().len() >= walk.max_depth {
            let message = format!("nested deeper than {} levels", walk.max_depth);
            return Err(walk.stop(message));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Option<Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<Node>, E> {
        Ok(Some(Node::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<Node>, E> {
        Ok(Some(Node::Number(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<Node>, E> {
        Ok(Some(Node::Number(value.into())))
    }

    /// A protobuf Struct knows only floats, so that a whole float is taken for the integer it is.
    fn visit_f64<E>(self, value: f64) -> Result<Option<Node>, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && (0.0..=EXACT).contains(&value) {
            return Ok(Some(Node::Number((value as u64).into())));
        }
        if value.fract() == 0.0 && (-EXACT..0.0).contains(&value) {
            return Ok(Some(Node::Number((value as i64).into())));
        }
        let number = Number::from_f64(value).map(Node::Number);
        if number.is_none() {
            self.walk.borrow_mut().fault("not a finite number".to_owned(), true);
        }
        Ok(number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Option<Node>, E> {
        Ok(Some(Node::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Option<Node>, E> {
        Ok(Some(Node::String(value)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<Node>, E> {
        self.walk.borrow_mut().null();
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<Node>, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Node>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Option<Node>, A::Error> {
        self.enter()?;
        let mut items = Vec::new();
        for index in 0.. {
            self.walk.borrow_mut().path.push(Step::Index(index));
            // On an error the path stays where it is: the message names the place.
            let Some(item) = access.next_element_seed(self)? else { break };
            self.walk.borrow_mut().path.pop();
            items.extend(item.map(|node| (index, node)));
        }
        self.walk.borrow_mut().path.pop();
        Ok(Some(Node::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<Node>, A::Error> {
        self.enter()?;
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            self.walk.borrow_mut().path.push(Step::Key(key.clone()));
            let node = access.next_value_seed(self)?;
            if seen.insert(key.clone()) {
                entries.extend(node.map(|node| (key, node)));
            } else {
                self.walk.borrow_mut().fault("duplicate key, expected it once".to_owned(), false);
            }
            self.walk.borrow_mut().path.pop();
        }
        Ok(Some(Node::Object(entries)))
    }
}

#[cfg(feature = "cli")]
impl Node {
    /// The value below a key of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Object(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a whole number that is not negative.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Node::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl Node {
    /// Cuts the value at `path` (indices as in the text) out of the tree; false when nothing is there.
    pub(crate) fn cut(&mut self, path: &[Step]) -> bool {
        let Some((step, rest)) = path.split_first() else { return false };
        match (self, step) {
            (Node::Object(entries), Step::Key(key)) => match entries.iter().position(|(name, _)| name == key) {
                Some(at) if rest.is_empty() => {
                    entries.remove(at);
                    true
                }
                Some(at) => entries.get_mut(at).is_some_and(|(_, node)| node.cut(rest)),
                None => false,
            },
            (Node::List(items), Step::Index(index)) => match items.iter().position(|(place, _)| place == index) {
                Some(at) if rest.is_empty() => {
                    items.remove(at);
                    true
                }
                Some(at) => items.get_mut(at).is_some_and(|(_, node)| node.cut(rest)),
                None => false,
            },
            _ => false,
        }
    }

    /// The path as the text has it, from one that counts the elements that are left.
    pub(crate) fn original_path(&self, path: &KeyPath) -> KeyPath {
        let mut node = Some(self);
        path.steps()
            .iter()
            .map(|step| match (node, step) {
                (Some(Node::List(items)), Step::Index(index)) => {
                    let item = items.get(*index);
                    node = item.map(|(_, below)| below);
                    Step::Index(item.map_or(*index, |(place, _)| *place))
                }
                (Some(Node::Object(entries)), Step::Key(key)) => {
                    node = entries.iter().find(|(name, _)| name == key).map(|(_, below)| below);
                    step.clone()
                }
                _ => {
                    node = None;
                    step.clone()
                }
            })
            .collect()
    }

    /// Writes the canonical text: no spaces, keys in byte order.
    pub(crate) fn write_canonical(&self, out: &mut String) {
        match self {
            Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Node::Number(number) => {
                let _infallible = write!(out, "{number}");
            }
            Node::String(text) => write_json_string(text, out),
            Node::List(items) => {
                out.push('[');
                for (position, (_, item)) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write_canonical(out);
                }
                out.push(']');
            }
            Node::Object(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                crate::sorted::by(&mut sorted, |(left, _), (right, _)| left.cmp(right));
                out.push('{');
                for (position, (key, value)) in sorted.into_iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_json_string(key, out);
                    out.push(':');
                    value.write_canonical(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_json_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<String> {
        read_json(json.as_bytes(), MAX_DEPTH)
            .faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.message))
            .collect()
    }

    #[test]
    fn every_duplicate_and_null_is_named() {
        assert_eq!(
            faults(r#"{"a": 1, "b": [{"c": 1, "c": 2}], "a": 3, "d": null}"#),
            [
                "b[0].c: duplicate key, expected it once",
                "a: duplicate key, expected it once",
                "d: null; give it a value or leave the key out"
            ]
        );
    }

    #[test]
    fn syntax_errors_say_where() {
        assert_eq!(faults(r#"{"a": {"b": [1, }}"#), ["a.b[1]: not valid JSON: expected value at line 1 column 17"]);
        assert_eq!(faults(r#"{} x"#), ["document: text after the document: trailing characters at line 1 column 4"]);
        assert!(faults(&"[".repeat(100)).concat().contains("nested deeper than 32 levels"));
        assert_eq!(faults("null"), ["document: null; give it a value or leave the key out"]);
    }

    #[test]
    fn whole_floats_are_integers() {
        let tree = read_json(b"[60.0, -1.0, 1.5, 1e300]", MAX_DEPTH).root.unwrap();
        let mut text = String::new();
        tree.write_canonical(&mut text);
        assert_eq!(text, "[60,-1,1.5,1e+300]");
    }

    #[test]
    fn a_cut_keeps_the_indices_of_the_rest() {
        let mut tree = read_json(br#"{"a": [10, 11, {"b": 1}]}"#, MAX_DEPTH).root.unwrap();
        let path = KeyPath::root().key("a").index(0);
        assert!(tree.cut(path.steps()));
        assert!(!tree.cut(path.steps()));
        let seen = KeyPath::root().key("a").index(1).key("b");
        assert_eq!(tree.original_path(&seen).to_string(), "a[2].b");
    }
}
