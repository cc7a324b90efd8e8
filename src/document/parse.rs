//! Bytes to a [`Document`]: everything that is wrong with its form, all at once, with full key paths.
//!
//! What a value means (references, ranges, keys) is decided by [`Policy`](crate::policy::Policy).

use sha2::{Digest, Sha256};

use super::Document;
use super::errors::{ConfigError, KeyPath};
use super::tree::{self, Node, ReadTree};
use super::typed::Read;
use crate::hex::hex;

/// Errors of form that are reported at once.
const MAX_ERRORS: usize = 64;

/// A document as far as it could be read.
#[derive(Debug)]
pub struct Parsed {
    /// What could be read.
    pub document: Document,
    /// SHA-256 of the canonical document (JSON, keys sorted, no spaces), in hex.
    pub digest: String,
    /// What is wrong with the form.
    pub errors: Vec<ConfigError>,
    /// The tree that `document` was read from.
    tree: Option<Node>,
    /// Places whose value was refused.
    cut: Vec<KeyPath>,
    /// Keys that were probably meant by an unknown one.
    meant: Vec<KeyPath>,
}

/// Reads a document from JSON: at most 1 MiB, 32 levels, UTF-8, no key twice, nothing after it.
pub fn parse_json(bytes: &[u8]) -> Parsed {
    let mut tree = tree::read_json(bytes, tree::MAX_DEPTH);
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    // YAML, or a protobuf Struct: what a JSON reader says of its first byte helps nobody.
    if let (None, Some(_), [fault]) = (&tree.root, begins.filter(|byte| **byte != b'{'), tree.faults.as_mut_slice())
        && fault.message.starts_with("not valid JSON")
    {
        fault.message = "not JSON, but the proxy's configuration must be a StringValue that holds the policy as JSON: \
                         `bartizan render` writes it from YAML"
            .to_owned();
    }
    parse(tree)
}

/// Reads a document from any serde format, with the same checks as JSON but for the size.
pub fn parse_with<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Parsed {
    parse(tree::read_with(deserializer, tree::MAX_DEPTH))
}

/// Reads a document from a tree.
pub(crate) fn parse(read: ReadTree) -> Parsed {
    let mut parsed = Parsed {
        document: Document::default(),
        digest: String::new(),
        errors: Vec::new(),
        tree: None,
        cut: Vec::new(),
        meant: Vec::new(),
    };
    for fault in read.faults {
        if parsed.errors.len() < MAX_ERRORS {
            parsed.errors.push(ConfigError { path: fault.path.clone(), message: fault.message });
        }
        if fault.cut {
            parsed.cut.push(fault.path);
        }
    }
    let Some(mut node) = read.root else { return parsed };
    let mut canonical = String::new();
    node.write_canonical(&mut canonical);
    parsed.digest = hex(&Sha256::digest(canonical.as_bytes()));
    if !matches!(node, Node::Object(_)) {
        parsed.cut.push(KeyPath::root());
        parsed.errors.push(ConfigError { path: KeyPath::root(), message: "expected an object".to_owned() });
        return parsed;
    }
    parsed.type_check(&mut node);
    parsed.tree = Some(node);
    parsed
}

impl Parsed {
    /// The reader stops at the first fault. So the value at fault is cut out and the rest read again.
    fn type_check(&mut self, node: &mut Node) {
        loop {
            let fault = match Document::read(node) {
                Ok(document) => {
                    self.document = document;
                    return;
                }
                Err(fault) => fault,
            };
            let path = fault.path();
            self.errors.push(ConfigError { path: path.clone(), message: fault.message.clone() });
            if let Some(sibling) = fault.meant {
                let mut parent = path.clone();
                parent.pop();
                self.meant.push(parent.key(&sibling));
            }
            let removed = node.cut(path.steps());
            if !fault.unknown {
                self.cut.push(path);
            }
            if !removed || self.errors.len() >= MAX_ERRORS {
                // Nothing more can be said with certainty: no error may follow from what was not read.
                self.cut.push(KeyPath::root());
                return;
            }
        }
    }

    /// True when no policy can come of this, whatever the rest says.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.tree.is_none() || self.cut.contains(&KeyPath::root())
    }

    /// True when the document has this place, but its value was refused.
    pub(crate) fn refused(&self, path: &KeyPath) -> bool {
        self.cut.iter().any(|cut| cut == path)
    }

    /// All errors: those of form and then those of meaning, without the ones that only follow from
    /// a value that was refused already; at most one for each place.
    pub(crate) fn merge(mut self, meaning: Vec<ConfigError>) -> Vec<ConfigError> {
        let mut hidden = 0_usize;
        for mut error in meaning {
            if self.errors.len() >= MAX_ERRORS {
                hidden += 1;
                continue;
            }
            if let Some(tree) = &self.tree {
                error.path = tree.original_path(&error.path);
            }
            let follows = |cut: &KeyPath| error.path.is_within(cut) || cut.is_within(&error.path);
            if self.cut.iter().any(follows) || self.meant.contains(&error.path) {
                continue;
            }
            if !self.errors.iter().any(|known| known.path == error.path) {
                self.errors.push(error);
            }
        }
        if hidden > 0 {
            let message = format!("{hidden} more errors are not shown");
            self.errors.push(ConfigError { path: KeyPath::root(), message });
        }
        self.errors
    }
}
