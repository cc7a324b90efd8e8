//! Finds the policies in a file: a plain document, a WasmPlugin, a TrafficExtension, an EnvoyExtensionPolicy, an EnvoyFilter,
//! an Envoy or ECDS file, the `StringValue` that Envoy wants.
//!
//! The surroundings of a policy that decide whether it works (`allow_on_headers_stop_iteration`, the
//! VM's environment, the failure policy, buffers, clusters) is read here too. Field names may be in snake case or
//! camel case, as protobuf's JSON form allows.

mod envoy;
mod plugin;

use std::collections::BTreeMap;

use crate::document::{KeyPath, MAX_FILE_DEPTH, Node, Parsed, ReadTree, TreeFault, parse_tree, read_json, read_with};

pub(super) use envoy::{Bound, Envoy, plugins};

/// A policy and what is around it.
#[derive(Debug)]
pub(super) struct Source {
    /// Where in the file it is; the root for a plain document.
    pub(super) at: KeyPath,
    /// The YAML document that it is in, counted from 0.
    pub(super) part: usize,
    pub(super) parsed: Parsed,
    /// The text that is the policy, where it is a string of the file.
    pub(super) text: Option<String>,
    pub(super) surroundings: Surroundings,
}

/// What is around a policy.
#[derive(Debug)]
pub(super) enum Surroundings {
    /// Nothing is known of where it will run.
    Plain,
    /// `pluginConfig` of a WasmPlugin or a TrafficExtension, `config` of an EnvoyExtensionPolicy: headers can't be held.
    WasmPlugin(Vm),
    /// A Wasm filter's configuration in an Envoy file.
    Envoy(Box<Envoy>),
}

/// What the file says about the VM.
#[derive(Debug, Default)]
pub(super) struct Vm {
    /// Variables by name; `None` when the value comes from the host.
    pub(super) environment: BTreeMap<String, Option<String>>,
    /// What happens when the VM fails, in the file's word.
    pub(super) failure: Option<String>,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It would not work.
    Error,
    /// It works, and hardly as it is meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something to say about a place in a file.
#[derive(Clone, Debug)]
pub(super) struct Remark {
    pub(super) severity: Severity,
    /// The YAML document, counted from 0.
    pub(super) part: usize,
    pub(super) path: KeyPath,
    pub(super) message: String,
}

/// Everything in one file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    /// About the file itself.
    pub(super) remarks: Vec<Remark>,
    /// How many YAML documents the file has.
    pub(super) parts: usize,
}

impl Found {
    fn say(&mut self, severity: Severity, part: usize, path: &KeyPath, message: impl Into<String>) {
        self.remarks.push(Remark { severity, part, path: path.clone(), message: message.into() });
    }

    fn faults<'f>(&mut self, part: usize, faults: impl IntoIterator<Item = &'f TreeFault>) {
        for fault in faults {
            self.say(Severity::Error, part, &fault.path, &fault.message);
        }
    }

    /// How many errors were found.
    fn errors(&self) -> usize {
        self.remarks.iter().filter(|remark| remark.severity == Severity::Error).count()
    }

    /// True when the file holds no policy, and nothing that may be a broken one.
    pub(super) fn is_without(&self) -> bool {
        self.sources.is_empty() && self.errors() == 0
    }
}

/// What is said of a file without a policy.
pub(super) const WITHOUT: &str =
    "no Bartizan policy: expected a policy document, a WasmPlugin or an Envoy file with a Wasm filter";

/// Finds all policies of a file; one that is called JSON must be JSON.
pub(super) fn find(text: &str, is_json: bool) -> Found {
    let trees = if is_json { vec![(0, read_json(text.as_bytes(), MAX_FILE_DEPTH))] } else { read_parts(text) };
    let mut found = Found { parts: trees.len(), ..Found::default() };
    for (part, tree) in trees {
        find_in_part(tree, part, &mut found);
    }
    found
}

/// The trees of a file, with the place of each among its YAML documents. JSON is read as JSON, so that its errors are
/// JSON's; anything else is YAML.
pub(super) fn read_parts(text: &str) -> Vec<(usize, ReadTree)> {
    if text.trim_start().starts_with('{') {
        let tree = read_json(text.as_bytes(), MAX_FILE_DEPTH);
        if tree.root.is_some() {
            return vec![(0, tree)];
        }
        // `{a: b}` is YAML. When it is neither, JSON's word counts.
        let yaml = read_yaml(text);
        return if yaml.iter().all(|(_, tree)| tree.root.is_some()) { yaml } else { vec![(0, tree)] };
    }
    read_yaml(text)
}

/// The most YAML documents that are read of one file.
const MAX_PARTS: usize = 256;

fn read_yaml(text: &str) -> Vec<(usize, ReadTree)> {
    let mut trees = Vec::new();
    for (part, document) in serde_norway::Deserializer::from_str(text).take(MAX_PARTS).enumerate() {
        let tree = read_with(document, MAX_FILE_DEPTH);
        let whole = tree.root.is_some();
        // An empty part (`---` at the end) is nothing to complain about.
        if !whole && tree.faults.iter().all(|fault| fault.path.steps().is_empty() && fault.is_null) {
            continue;
        }
        trees.push((part, tree));
        // After a syntax error the reader would repeat it for ever.
        if !whole {
            break;
        }
    }
    trees
}

fn find_in_part(tree: ReadTree, part: usize, found: &mut Found) {
    let Some(root) = tree.root.as_ref() else { return found.faults(part, &tree.faults) };
    let kind = root.get("kind").and_then(Node::as_str).filter(|_| root.get("apiVersion").is_some());
    match kind {
        Some("WasmPlugin") => plugin::find(root, &["spec"], part, &tree.faults, found),
        // Istio's newer form of the same; one with Lua holds no policy.
        Some("TrafficExtension") if root.get("spec").and_then(|spec| spec.get("wasm")).is_some() => {
            plugin::find(root, &["spec", "wasm"], part, &tree.faults, found);
        }
        Some("TrafficExtension") => {
            found.say(Severity::Note, part, &KeyPath::root(), "TrafficExtension without wasm: not looked at");
        }
        Some("EnvoyExtensionPolicy") => plugin::extensions(root, part, &tree.faults, found),
        Some("EnvoyFilter") => envoy::find(root, part, &tree.faults, found),
        Some(kind) => found.say(Severity::Note, part, &KeyPath::root(), format!("{kind}: not looked at")),
        None if looks_like_policy(root) => {
            let (at, surroundings) = (KeyPath::root(), Surroundings::Plain);
            found.sources.push(Source { at, part, parsed: parse_tree(tree), text: None, surroundings });
        }
        None if envoy::is_message(root) => envoy::bare(root, part, found),
        None if holds_envoy(root) => envoy::find(root, part, &tree.faults, found),
        None => {}
    }
}

fn looks_like_policy(node: &Node) -> bool {
    ["authn", "roles", "routes"].iter().any(|key| node.get(key).is_some()) && node.get("static_resources").is_none()
}

/// True when something in the tree is a typed message of Envoy's.
fn holds_envoy(node: &Node) -> bool {
    match node {
        Node::Object(entries) => entries.iter().any(|(key, below)| {
            (key == "@type" && below.as_str().is_some_and(|url| url.starts_with("type.googleapis.com/envoy.")))
                || key == "static_resources"
                || holds_envoy(below)
        }),
        Node::List(items) => items.iter().any(|(_, below)| holds_envoy(below)),
        _ => false,
    }
}

/// The tree at a place, with the faults that lie in it.
fn below(node: &Node, at: &KeyPath, faults: &[TreeFault]) -> ReadTree {
    let steps = at.steps().len();
    let inside = faults.iter().filter(|fault| fault.path.is_within(at));
    let faults = inside
        .map(|fault| TreeFault { path: fault.path.steps().iter().skip(steps).cloned().collect(), ..fault.clone() });
    ReadTree { root: Some(node.clone()), faults: faults.collect() }
}

/// A field under its proto name or its JSON name.
pub(super) fn field<'n>(node: &'n Node, snake: &str) -> Option<(&'n str, &'n Node)> {
    let Node::Object(entries) = node else { return None };
    let camel = snake.split('_').enumerate().fold(String::new(), |camel, (place, word)| {
        let (first, rest) = word.split_at(word.len().min(1));
        camel + &if place == 0 { first.to_owned() } else { first.to_uppercase() } + rest
    });
    entries.iter().find(|(key, _)| key == snake || *key == camel).map(|(key, node)| (key.as_str(), node))
}
