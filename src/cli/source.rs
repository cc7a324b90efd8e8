//! Finds the policies in a file: a plain document, a WasmPlugin, a TrafficExtension, an EnvoyFilter, an Envoy or
//! ECDS file.
//!
//! What stands around a policy and decides whether it works (`allow_on_headers_stop_iteration`, the
//! VM's environment, the failure policy) is read here too. Field names may be in snake case or camel
//! case, as protobuf's JSON form allows.

use std::collections::BTreeMap;

use crate::config::{
    ConfigError, KeyPath, MAX_FILE_DEPTH, Node, Parsed, ReadTree, Step, TreeFault, parse_json, parse_tree, read_json,
    read_with,
};

/// A policy and what stands around it.
#[derive(Debug)]
pub(super) struct Source {
    /// Where in the file it stands; the root for a plain document.
    pub(super) at: KeyPath,
    /// The YAML document that it stands in, counted from 1; `None` when the file has one.
    pub(super) part: Option<usize>,
    pub(super) parsed: Parsed,
    pub(super) surroundings: Surroundings,
}

/// What stands around a policy.
#[derive(Debug)]
pub(super) enum Surroundings {
    /// Nothing is known of where it will run.
    Plain,
    /// `pluginConfig` of a WasmPlugin or a TrafficExtension: headers can't be held.
    WasmPlugin(Vm),
    /// A Wasm filter's configuration in an Envoy file.
    Envoy(Box<Envoy>),
}

/// What an Envoy file says around a policy.
#[derive(Debug)]
pub(super) struct Envoy {
    /// Where the plugin's configuration stands.
    pub(super) plugin: KeyPath,
    pub(super) holds_headers: Option<bool>,
    pub(super) vm: Vm,
    /// Why the module can't read what Envoy hands over.
    pub(super) unreadable: Option<ConfigError>,
}

/// What the file says about the VM.
#[derive(Debug, Default)]
pub(super) struct Vm {
    /// Variables by name; `None` when the value comes from the host.
    pub(super) environment: BTreeMap<String, Option<String>>,
    /// Requests pass unguarded when the VM fails.
    pub(super) fails_open: bool,
}

/// Everything in one file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sources: Vec<Source>,
    /// Faults of the file itself.
    pub(super) errors: Vec<ConfigError>,
    pub(super) notes: Vec<String>,
}

/// Finds all policies of a file; one that is called JSON must be JSON.
pub(super) fn find(text: &str, is_json: bool) -> Found {
    let trees = if is_json { vec![read_json(text.as_bytes(), MAX_FILE_DEPTH)] } else { read_parts(text) };
    let several = trees.len() > 1;
    let mut found = Found::default();
    for (place, tree) in trees.into_iter().enumerate() {
        find_in_part(tree, several.then_some(place + 1), &mut found);
    }
    if found.sources.is_empty() && found.errors.is_empty() {
        let message =
            "no Bartizan policy: expected a policy document, a WasmPlugin or an Envoy file with a Wasm filter";
        found.errors.push(ConfigError { path: KeyPath::root(), message: message.to_owned() });
    }
    found
}

/// JSON is read as JSON, so that its errors are JSON's; anything else is YAML, one tree a document.
fn read_parts(text: &str) -> Vec<ReadTree> {
    if text.trim_start().starts_with('{') {
        let tree = read_json(text.as_bytes(), MAX_FILE_DEPTH);
        if tree.root.is_some() {
            return vec![tree];
        }
        // `{a: b}` is YAML. When it is neither, JSON's word counts.
        let yaml = read_yaml(text);
        return if yaml.iter().all(|tree| tree.root.is_some()) { yaml } else { vec![tree] };
    }
    read_yaml(text)
}

/// The most YAML documents that are read of one file.
const MAX_PARTS: usize = 256;

fn read_yaml(text: &str) -> Vec<ReadTree> {
    let mut trees = Vec::new();
    for document in serde_norway::Deserializer::from_str(text).take(MAX_PARTS) {
        let tree = read_with(document, MAX_FILE_DEPTH);
        let whole = tree.root.is_some();
        // An empty part (`---` at the end) is nothing to complain about.
        if !whole && tree.faults.iter().all(|fault| fault.path.steps().is_empty() && fault.is_null) {
            continue;
        }
        trees.push(tree);
        // After a syntax error the reader would repeat it for ever.
        if !whole {
            break;
        }
    }
    trees
}

fn find_in_part(tree: ReadTree, part: Option<usize>, found: &mut Found) {
    let Some(root) = tree.root.as_ref() else {
        found
            .errors
            .extend(tree.faults.into_iter().map(|fault| ConfigError { path: fault.path, message: fault.message }));
        return;
    };
    let kind = root.get("kind").and_then(Node::as_str).filter(|_| root.get("apiVersion").is_some());
    if kind == Some("WasmPlugin") {
        wasm_plugin(root, &["spec"], part, &tree.faults, found);
    } else if kind == Some("TrafficExtension") {
        // Istio's newer form of the same; one with Lua holds no policy.
        match root.get("spec").and_then(|spec| spec.get("wasm")) {
            Some(_) => wasm_plugin(root, &["spec", "wasm"], part, &tree.faults, found),
            None => found.notes.push("a TrafficExtension without wasm: not looked at".to_owned()),
        }
    } else if kind == Some("EnvoyFilter") || (kind.is_none() && !looks_like_policy(root) && holds_envoy(root)) {
        let before = found.sources.len();
        Search { part, faults: &tree.faults, found }.walk(root, &mut KeyPath::root(), None);
        if found.sources.len() == before {
            found.notes.push("an Envoy configuration without a Wasm filter of Bartizan's".to_owned());
        }
        // Envoy refuses duplicate keys of its own part too.
        let outside =
            |fault: &&TreeFault| !fault.is_null && !found.sources.iter().any(|source| fault.path.is_within(&source.at));
        let errors = tree.faults.iter().filter(outside);
        let errors: Vec<_> =
            errors.map(|fault| ConfigError { path: fault.path.clone(), message: fault.message.clone() }).collect();
        found.errors.extend(errors);
    } else if let Some(kind) = kind {
        found.notes.push(format!("a {kind}: not looked at"));
    } else {
        let (at, surroundings) = (KeyPath::root(), Surroundings::Plain);
        found.sources.push(Source { at, part, parsed: parse_tree(tree), surroundings });
    }
}

fn looks_like_policy(node: &Node) -> bool {
    ["authn", "roles", "guards", "routes"].iter().any(|key| node.get(key).is_some())
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

/// A WasmPlugin, or the part of a TrafficExtension that reads like one.
fn wasm_plugin(root: &Node, spec: &[&str], part: Option<usize>, faults: &[TreeFault], found: &mut Found) {
    let at = spec.iter().fold(KeyPath::root(), |at, key| at.key(key)).key("pluginConfig");
    let spec = spec.iter().try_fold(root, |node, key| node.get(key));
    let Some(config) = spec.and_then(|spec| spec.get("pluginConfig")) else {
        let message = "missing, but required: the policy stands here".to_owned();
        found.errors.push(ConfigError { path: at, message });
        return;
    };
    for fault in faults.iter().filter(|fault| !fault.is_null && !fault.path.is_within(&at)) {
        found.errors.push(ConfigError { path: fault.path.clone(), message: fault.message.clone() });
    }
    let fails_open = spec.and_then(|spec| spec.get("failStrategy")).and_then(Node::as_str) == Some("FAIL_OPEN");
    let mut vm = Vm { fails_open, ..Vm::default() };
    if let Some(Node::List(variables)) = spec.and_then(|spec| spec.get("vmConfig")).and_then(|vm| vm.get("env")) {
        for (_, variable) in variables {
            let Some(name) = variable.get("name").and_then(Node::as_str) else { continue };
            let from_host = variable.get("valueFrom").and_then(Node::as_str) == Some("HOST");
            let value = variable.get("value").and_then(Node::as_str).filter(|_| !from_host);
            vm.environment.insert(name.to_owned(), value.map(ToOwned::to_owned));
        }
    }
    let parsed = parse_tree(below(config, &at, faults));
    found.sources.push(Source { at, part, parsed, surroundings: Surroundings::WasmPlugin(vm) });
}

/// The tree at a place, with the faults that lie in it.
fn below(node: &Node, at: &KeyPath, faults: &[TreeFault]) -> ReadTree {
    let steps = at.steps().len();
    let inside = faults.iter().filter(|fault| fault.path.is_within(at));
    let faults = inside
        .map(|fault| TreeFault { path: fault.path.steps().iter().skip(steps).cloned().collect(), ..fault.clone() });
    ReadTree { root: Some(node.clone()), faults: faults.collect() }
}

/// Looks for Wasm filters in every corner of an Envoy configuration.
struct Search<'s> {
    part: Option<usize>,
    faults: &'s [TreeFault],
    found: &'s mut Found,
}

/// A connection manager that filters stand in, and its place.
type Manager<'n> = (&'n Node, KeyPath);

impl Search<'_> {
    fn walk(&mut self, node: &Node, at: &mut KeyPath, manager: Option<&Manager<'_>>) {
        let own = is_typed(node, MANAGER_TYPE).then(|| (node, at.clone()));
        let manager = own.as_ref().or(manager);
        match node {
            Node::Object(entries) => {
                if let Some((config, keys)) = wasm_config(node) {
                    let path: KeyPath = at.steps().iter().cloned().chain(keys).collect();
                    if let Some(source) = self.filter(config, &path) {
                        self.found.sources.push(source);
                        self.found.notes.extend(manager.and_then(endless));
                    }
                    return;
                }
                if is_discovered(node) {
                    self.found.notes.extend(manager.and_then(endless));
                }
                for (key, below) in entries {
                    at.push(Step::Key(key.clone()));
                    self.walk(below, at, manager);
                    at.pop();
                }
            }
            Node::List(items) => {
                for (index, below) in items {
                    at.push(Step::Index(*index));
                    self.walk(below, at, manager);
                    at.pop();
                }
            }
            _ => {}
        }
    }

    fn filter(&mut self, config: &Node, at: &KeyPath) -> Option<Source> {
        let (key, configuration) = field(config, "configuration")?;
        let (at_any, path) = (at.key(key), at.key(key).key("value"));
        let kind = configuration.get("@type").and_then(Node::as_str).and_then(|url| url.rsplit('/').next());
        let unreadable =
            |path: &KeyPath, message: &str| ConfigError { path: path.clone(), message: message.to_owned() };
        let (parsed, unreadable) = match (kind, configuration.get("value")) {
            (Some("google.protobuf.StringValue"), Some(Node::String(text))) => match yaml(text) {
                Some(tree) => (parse_tree(tree), Some(unreadable(&path, YAML))),
                None => (parse_json(text.as_bytes()), None),
            },
            (Some("google.protobuf.Struct"), Some(object @ Node::Object(_))) => {
                (parse_tree(below(object, &path, self.faults)), Some(unreadable(&at_any, STRUCT)))
            }
            _ if !names_bartizan(config) => return None,
            _ => {
                self.found.errors.push(unreadable(&path, OTHER));
                return None;
            }
        };
        let document = &parsed.document;
        let is_ours = names_bartizan(config) || document.authn.is_some() || document.roles.is_some();
        if !is_ours {
            self.found.notes.push(format!("{at}: a Wasm filter that is not Bartizan's: not looked at"));
            return None;
        }
        let holds_headers = field(config, "allow_on_headers_stop_iteration").and_then(|(_, value)| value.as_bool());
        let envoy = Envoy { plugin: at.clone(), holds_headers, vm: envoy_vm(config), unreadable };
        Some(Source { at: path, part: self.part, parsed, surroundings: Surroundings::Envoy(Box::new(envoy)) })
    }
}

const STRUCT: &str = "a google.protobuf.Struct, which Envoy hands to the module as raw protobuf; the module reads JSON: \
                      use a google.protobuf.StringValue whose value is the policy as JSON";
const YAML: &str =
    "the policy as YAML, but Envoy hands the text over as it is and the module reads JSON: write the policy as JSON";
const OTHER: &str = "expected a google.protobuf.StringValue whose value is the policy as JSON";

/// The tree of a text that is YAML and was not meant as JSON.
fn yaml(text: &str) -> Option<ReadTree> {
    if text.trim_start().starts_with(['{', '[', '"']) {
        return None;
    }
    read_yaml(text).into_iter().next().filter(|tree| matches!(tree.root, Some(Node::Object(_))))
}

/// A filter whose configuration comes by ECDS, and which is called Bartizan's.
fn is_discovered(node: &Node) -> bool {
    let Some((_, discovery)) = field(node, "config_discovery") else { return false };
    let types = field(discovery, "type_urls").map(|(_, types)| types);
    let is_wasm = |types: &Node| matches!(types, Node::List(urls) if urls.iter().any(|(_, url)| names(url, WASM_TYPE)));
    types.is_some_and(is_wasm) && names_bartizan(node)
}

/// What must be said of a connection manager that waits for a body for ever.
fn endless((manager, at): &Manager<'_>) -> Option<String> {
    let timeout = field(manager, "request_timeout").and_then(|(_, value)| value.as_str());
    let seconds = timeout.and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse::<f64>().ok());
    let is_set = timeout.is_some() && seconds != Some(0.0);
    (!is_set).then(|| {
        format!(
            "{at}: no request_timeout: a client that never ends its body keeps its part of \
             limits.maxBufferedBytesPerWorker for as long as it likes; set one, for example 60s"
        )
    })
}

const WASM_TYPE: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
const MANAGER_TYPE: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// True when a type URL names this type.
fn names(url: &Node, wanted: &str) -> bool {
    url.as_str().and_then(|url| url.rsplit('/').next()) == Some(wanted)
}

/// True when the node is a message of this type.
fn is_typed(node: &Node, wanted: &str) -> bool {
    node.get("@type").is_some_and(|url| names(url, wanted))
}

/// The `config` of a Wasm filter, if this node is one, and the keys that lead to it.
fn wasm_config(node: &Node) -> Option<(&Node, Vec<Step>)> {
    let key = |name: &str| Step::Key(name.to_owned());
    if is_typed(node, WASM_TYPE) {
        return node.get("config").map(|config| (config, vec![key("config")]));
    }
    let wrapped = is_typed(node, "xds.type.v3.TypedStruct") || is_typed(node, "udpa.type.v1.TypedStruct");
    if wrapped && field(node, "type_url").is_some_and(|(_, url)| names(url, WASM_TYPE)) {
        return node.get("value")?.get("config").map(|config| (config, vec![key("value"), key("config")]));
    }
    None
}

fn names_bartizan(config: &Node) -> bool {
    let mut text = String::new();
    for key in ["name", "root_id", "vm_config"] {
        if let Some((_, node)) = field(config, key) {
            node.write_canonical(&mut text);
        }
    }
    text.contains("bartizan")
}

fn envoy_vm(config: &Node) -> Vm {
    let text = |key: &str| field(config, key).and_then(|(_, node)| node.as_str());
    let fails_open = text("failure_policy") == Some("FAIL_OPEN")
        || field(config, "fail_open").and_then(|(_, node)| node.as_bool()) == Some(true);
    let mut environment = BTreeMap::new();
    let variables = field(config, "vm_config").and_then(|(_, vm)| field(vm, "environment_variables"));
    if let Some((_, variables)) = variables {
        if let Some((_, Node::Object(entries))) = field(variables, "key_values") {
            let values = entries.iter().map(|(name, value)| (name.clone(), value.as_str().map(ToOwned::to_owned)));
            environment.extend(values);
        }
        if let Some((_, Node::List(names))) = field(variables, "host_env_keys") {
            environment.extend(names.iter().filter_map(|(_, name)| Some((name.as_str()?.to_owned(), None))));
        }
    }
    Vm { environment, fails_open }
}

/// A field under its proto name or its JSON name.
fn field<'n>(node: &'n Node, snake: &str) -> Option<(&'n str, &'n Node)> {
    let Node::Object(entries) = node else { return None };
    let camel = snake.split('_').enumerate().fold(String::new(), |camel, (place, word)| {
        let (first, rest) = word.split_at(word.len().min(1));
        camel + &if place == 0 { first.to_owned() } else { first.to_uppercase() } + rest
    });
    entries.iter().find(|(key, _)| key == snake || *key == camel).map(|(key, node)| (key.as_str(), node))
}
