//! Policies in Envoy's own configuration, and what of the rest of the file they depend on.

use std::collections::BTreeMap;

use super::{Found, Severity, Source, Surroundings, Vm, below, field, read_yaml};
use crate::document::{ConfigError, KeyPath, Node, ReadTree, Step, TreeFault, parse_json, parse_tree};

/// What an Envoy file says around a policy.
#[derive(Debug)]
pub(in super::super) struct Envoy {
    /// Where the plugin's configuration is.
    pub(in super::super) plugin: KeyPath,
    pub(in super::super) holds_headers: Option<bool>,
    pub(in super::super) vm: Vm,
    /// Why the module can't read what Envoy hands over.
    pub(in super::super) unreadable: Option<ConfigError>,
    /// How much Envoy holds of a connection, where the listener is in the file.
    pub(in super::super) connection: Option<Bound>,
    /// How much Envoy holds of a request of HTTP/2, where the connection manager is in the file.
    pub(in super::super) stream: Option<Bound>,
    /// The clusters of the file, where there can be no others.
    pub(in super::super) clusters: Option<Vec<String>>,
}

/// A bound in bytes, and where it is set or would be.
#[derive(Clone, Debug)]
pub(in super::super) struct Bound {
    pub(in super::super) path: KeyPath,
    /// `None`: it is not set, and the default counts.
    pub(in super::super) set: Option<u64>,
    pub(in super::super) default: u64,
}

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const DECOMPRESSOR: &str = "envoy.extensions.filters.http.decompressor.v3.Decompressor";

const STRUCT: &str = "a google.protobuf.Struct, which Envoy hands to the module as raw protobuf; the module reads JSON: \
                      use a google.protobuf.StringValue whose value is the policy as JSON (bartizan render writes it)";
const YAML: &str = "the policy as YAML, but Envoy hands the text over as it is and the module reads JSON: write the policy \
                    as JSON (bartizan render writes it)";
const OTHER: &str =
    "expected a google.protobuf.StringValue whose value is the policy as JSON (bartizan render writes it)";

/// Finds the Wasm filters of an Envoy configuration.
pub(super) fn find(root: &Node, part: usize, faults: &[TreeFault], found: &mut Found) {
    let before = (found.sources.len(), found.errors());
    let clusters = clusters(root);
    Search { part, faults, clusters, found }.walk(root, &mut KeyPath::root(), &Around::default());
    if (found.sources.len(), found.errors()) == before {
        let message = "an Envoy configuration without a Wasm filter of Bartizan's";
        found.say(Severity::Note, part, &KeyPath::root(), message);
    }
    // Envoy refuses duplicate keys of its own part too.
    let places: Vec<KeyPath> = found.sources.iter().map(|source| source.at.clone()).collect();
    let outside = |fault: &&TreeFault| !fault.is_null && !places.iter().any(|place| fault.path.is_within(place));
    found.faults(part, faults.iter().filter(outside));
}

/// True for the message that Envoy hands to the module, by itself.
pub(super) fn is_message(root: &Node) -> bool {
    let kind = root.get("@type").and_then(Node::as_str).unwrap_or_default();
    kind.ends_with("/google.protobuf.StringValue") || kind.ends_with("/google.protobuf.Struct")
}

/// The policy of such a message.
pub(super) fn bare(root: &Node, part: usize, found: &mut Found) {
    let (at, path) = (KeyPath::root(), KeyPath::root().key("value"));
    match read(root, &at, &[]) {
        Read { parsed: Some((parsed, text)), unreadable } => {
            if let Some(ConfigError { path, message }) = unreadable {
                found.say(Severity::Error, part, &path, message);
            }
            found.sources.push(Source { at: path, part, parsed, text, surroundings: Surroundings::Plain });
        }
        Read { .. } => found.say(Severity::Error, part, &path, OTHER),
    }
}

/// The Wasm filters of a tree that are Bartizan's: the path of each filter's `config`.
pub(in super::super) fn plugins(root: &Node) -> Vec<KeyPath> {
    let mut found = Vec::new();
    collect(root, &mut KeyPath::root(), &mut found);
    found
}

fn collect(node: &Node, at: &mut KeyPath, found: &mut Vec<KeyPath>) {
    if let Some((config, keys)) = wasm_config(node) {
        if names_bartizan(config) {
            found.push(at.steps().iter().cloned().chain(keys).collect());
        }
        return;
    }
    let mut below = |step: Step, node: &Node| {
        at.push(step);
        collect(node, at, found);
        at.pop();
    };
    match node {
        Node::Object(entries) => entries.iter().for_each(|(key, node)| below(Step::Key(key.clone()), node)),
        Node::List(items) => items.iter().for_each(|(index, node)| below(Step::Index(*index), node)),
        _ => {}
    }
}

/// What is above a filter.
#[derive(Clone, Default)]
struct Around<'n> {
    listener: Option<(&'n Node, KeyPath)>,
    manager: Option<(&'n Node, KeyPath)>,
}

/// Looks for Wasm filters in every corner of an Envoy configuration.
struct Search<'s> {
    part: usize,
    faults: &'s [TreeFault],
    clusters: Option<Vec<String>>,
    found: &'s mut Found,
}

impl Search<'_> {
    fn walk(&mut self, node: &Node, at: &mut KeyPath, around: &Around<'_>) {
        let mut around = around.clone();
        if field(node, "filter_chains").is_some() {
            around.listener = Some((node, at.clone()));
        }
        if is_typed(node, MANAGER) {
            around.manager = Some((node, at.clone()));
        }
        match node {
            Node::Object(entries) => {
                if let Some((config, keys)) = wasm_config(node) {
                    let path: KeyPath = at.steps().iter().cloned().chain(keys).collect();
                    if self.filter(config, &path, &around) {
                        self.neighbours(&path, &around);
                    }
                    return;
                }
                if is_discovered(node) {
                    self.neighbours(at, &around);
                }
                for (key, below) in entries {
                    at.push(Step::Key(key.clone()));
                    self.walk(below, at, &around);
                    at.pop();
                }
            }
            Node::List(items) => {
                for (index, below) in items {
                    at.push(Step::Index(*index));
                    self.walk(below, at, &around);
                    at.pop();
                }
            }
            _ => {}
        }
    }

    /// Takes the policy out of a filter; false: there is none of Bartizan's.
    fn filter(&mut self, config: &Node, at: &KeyPath, around: &Around<'_>) -> bool {
        let Some((key, configuration)) = field(config, "configuration") else {
            if names_bartizan(config) {
                let message = "missing, but required: the policy belongs here (bartizan render --into writes it)";
                self.found.say(Severity::Error, self.part, &at.key("configuration"), message);
            }
            return false;
        };
        let at_any = at.key(key);
        let Read { parsed: Some((parsed, text)), unreadable } = read(configuration, &at_any, self.faults) else {
            if names_bartizan(config) {
                self.found.say(Severity::Error, self.part, &at_any.key("value"), OTHER);
            }
            return false;
        };
        let document = &parsed.document;
        // Of a text with a fault in its form nothing may have been read.
        let is_broken = !parsed.errors.is_empty() && text.as_deref().is_some_and(|text| text.contains("\"authn\":"));
        let is_ours = names_bartizan(config) || document.authn.is_some() || document.roles.is_some() || is_broken;
        if !is_ours {
            self.found.say(Severity::Note, self.part, at, "a Wasm filter that is not Bartizan's: not looked at");
            return false;
        }
        let holds_headers = field(config, "allow_on_headers_stop_iteration").and_then(|(_, value)| value.as_bool());
        let envoy = Envoy {
            plugin: at.clone(),
            holds_headers,
            vm: vm(config),
            unreadable,
            connection: around.listener.as_ref().map(|(listener, at)| Bound::connection(listener, at)),
            stream: around.manager.as_ref().map(|(manager, at)| Bound::stream(manager, at)),
            clusters: self.clusters.clone(),
        };
        if envoy.vm.failure.is_none() {
            let message = "no failure_policy: after one fault of the VM Envoy's default refuses every request until the \
                           proxy restarts; FAIL_RELOAD refuses that one";
            self.found.say(Severity::Warning, self.part, &at.key("failure_policy"), message);
        }
        let (part, surroundings) = (self.part, Surroundings::Envoy(Box::new(envoy)));
        self.found.sources.push(Source { at: at_any.key("value"), part, parsed, text, surroundings });
        true
    }

    /// What must be said of the connection manager around a filter of Bartizan's.
    fn neighbours(&mut self, filter: &KeyPath, around: &Around<'_>) {
        let Some((manager, at)) = &around.manager else { return };
        let timeout = field(manager, "request_timeout").and_then(|(_, value)| value.as_str());
        let seconds = timeout.and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse::<f64>().ok());
        if timeout.is_none() || seconds == Some(0.0) {
            let message = "no request_timeout: a client that never ends its body keeps its part of \
                           limits.maxBufferedBytesPerWorker for as long as it likes; set one, for example 60s";
            self.found.say(Severity::Warning, self.part, at, message);
        }
        let Some((key, Node::List(filters))) = field(manager, "http_filters") else { return };
        let list = at.key(key);
        let before = filters.iter().take_while(|(index, _)| !filter.is_within(&list.index(*index)));
        let mut configs = before.filter_map(|(_, filter)| field(filter, "typed_config"));
        if !configs.any(|(_, config)| is_typed(config, DECOMPRESSOR)) {
            let message = "no decompressor before Bartizan: requests with a compressed body, which some coding agents send, \
                           are refused with 415";
            self.found.say(Severity::Warning, self.part, &list, message);
        }
    }
}

impl Bound {
    fn connection(listener: &Node, at: &KeyPath) -> Bound {
        let set = field(listener, "per_connection_buffer_limit_bytes");
        let path = at.key(set.map_or("per_connection_buffer_limit_bytes", |(key, _)| key));
        Bound { path, set: set.and_then(|(_, node)| node.as_u64()), default: 1 << 20 }
    }

    fn stream(manager: &Node, at: &KeyPath) -> Bound {
        let (options, window) = ("http2_protocol_options", "initial_stream_window_size");
        let (at, set) = match field(manager, options) {
            Some((key, options)) => (at.key(key), field(options, window)),
            None => (at.key(options), None),
        };
        let path = at.key(set.map_or(window, |(key, _)| key));
        Bound { path, set: set.and_then(|(_, node)| node.as_u64()), default: 16 << 20 }
    }

    /// The bound in force.
    pub(in super::super) fn bytes(&self) -> u64 {
        self.set.unwrap_or(self.default)
    }
}

/// What was read of a plugin's configuration.
struct Read {
    /// The policy, and its text where it is one.
    parsed: Option<(crate::document::Parsed, Option<String>)>,
    /// Why the module can't read what Envoy hands over.
    unreadable: Option<ConfigError>,
}

/// Reads the message that Envoy hands to the module. `at` is the message's place.
fn read(message: &Node, at: &KeyPath, faults: &[TreeFault]) -> Read {
    let path = at.key("value");
    let kind = message.get("@type").and_then(Node::as_str).and_then(|url| url.rsplit('/').next());
    let unreadable = |path: &KeyPath, message: &str| ConfigError { path: path.clone(), message: message.to_owned() };
    let (parsed, unreadable) = match (kind, message.get("value")) {
        (Some("google.protobuf.StringValue"), Some(Node::String(text))) => {
            let (parsed, unreadable) = match yaml(text) {
                Some(tree) => (parse_tree(tree), Some(unreadable(&path, YAML))),
                None => (parse_json(text.as_bytes()), None),
            };
            (Some((parsed, Some(text.clone()))), unreadable)
        }
        (Some("google.protobuf.Struct"), Some(object @ Node::Object(_))) => {
            (Some((parse_tree(below(object, &path, faults)), None)), Some(unreadable(at, STRUCT)))
        }
        _ => (None, None),
    };
    Read { parsed, unreadable }
}

/// The tree of a text that is YAML and was not meant as JSON.
fn yaml(text: &str) -> Option<ReadTree> {
    if text.trim_start().starts_with(['{', '[', '"']) {
        return None;
    }
    read_yaml(text).into_iter().next().map(|(_, tree)| tree).filter(|tree| matches!(tree.root, Some(Node::Object(_))))
}

/// The names of a bootstrap's clusters. `None`: the file is none, or clusters come from elsewhere too.
fn clusters(root: &Node) -> Option<Vec<String>> {
    let (_, resources) = field(root, "static_resources")?;
    if field(root, "dynamic_resources").is_some_and(|(_, dynamic)| field(dynamic, "cds_config").is_some()) {
        return None;
    }
    // A file with only clusters or only listeners is a part of one.
    let Some((_, Node::List(clusters))) = field(resources, "clusters") else { return None };
    Some(clusters.iter().filter_map(|(_, cluster)| Some(cluster.get("name")?.as_str()?.to_owned())).collect())
}

/// A filter whose configuration comes by ECDS, and which is called Bartizan's.
fn is_discovered(node: &Node) -> bool {
    let Some((_, discovery)) = field(node, "config_discovery") else { return false };
    let types = field(discovery, "type_urls").map(|(_, types)| types);
    let is_wasm = |types: &Node| matches!(types, Node::List(urls) if urls.iter().any(|(_, url)| names(url, WASM)));
    types.is_some_and(is_wasm) && names_bartizan(node)
}

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
    if is_typed(node, WASM) {
        return node.get("config").map(|config| (config, vec![key("config")]));
    }
    let wrapped = is_typed(node, "xds.type.v3.TypedStruct") || is_typed(node, "udpa.type.v1.TypedStruct");
    if wrapped && field(node, "type_url").is_some_and(|(_, url)| names(url, WASM)) {
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

fn vm(config: &Node) -> Vm {
    let failure = field(config, "failure_policy").and_then(|(_, node)| node.as_str()).map(ToOwned::to_owned);
    let is_open = field(config, "fail_open").and_then(|(_, node)| node.as_bool()) == Some(true);
    let failure = failure.or_else(|| is_open.then(|| "FAIL_OPEN".to_owned()));
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
    Vm { environment, failure }
}
