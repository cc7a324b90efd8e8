//! `bartizan render`: a policy in the form that a proxy reads. People write YAML; Envoy wants a `StringValue` of
//! JSON, Istio a WasmPlugin.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;

use super::check;
use super::marks::{Form, Mark, Marks};
use super::output::{Exit, Ordered, print, read_text};
use super::source::{self, field};
use crate::document::{KeyPath, Node};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 fine, 1 the policy has errors (nothing is written) or does not fit the file that it was \
                        set into (it is written), 2 wrong usage or a file that can't be read."
)]
pub(super) struct Arguments {
    /// The policy: YAML or JSON, or any file that holds one; - is stdin
    policy: PathBuf,
    /// Set it into this Envoy file, in place of the configuration of its Wasm filter
    #[arg(long, value_name = "FILE", conflicts_with = "wasmplugin")]
    into: Option<PathBuf>,
    /// Print a WasmPlugin of this name
    #[arg(long, value_name = "NAME")]
    wasmplugin: Option<String>,
    /// The WasmPlugin's namespace
    #[arg(long, value_name = "NAME", requires = "wasmplugin")]
    namespace: Option<String>,
    /// Where the WasmPlugin's module comes from
    #[arg(long, requires = "wasmplugin", default_value = PLACEHOLDER)]
    url: String,
}

/// No image has this digest: `check` warns of it.
const PLACEHOLDER: &str =
    "oci://registry.example.com/bartizan@sha256:0000000000000000000000000000000000000000000000000000000000000000";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let text = read_text(&arguments.policy)?;
    let policy = policy(&arguments.policy, &text)?;
    let plain = serde_json::to_string_pretty(&Ordered(&policy))?;
    // Apart from what is around it in the file that it came from.
    let faults = check::faults(Path::new("policy.json"), &plain);
    if !faults.is_empty() {
        for fault in &faults {
            eprintln!("bartizan: {}: {fault}", arguments.policy.display());
        }
        eprintln!("bartizan: nothing is written; bartizan check shows the lines");
        return Ok(Exit::Findings);
    }
    if let Some(path) = &arguments.into {
        let file = read_text(path)?;
        let edited = set(&file, &policy).with_context(|| path.display().to_string())?;
        std::fs::write(path, &edited).with_context(|| path.display().to_string())?;
        return Ok(report(path, &edited));
    }
    if let Some(name) = &arguments.wasmplugin {
        let plugin = plugin(name, arguments, &policy)?;
        print(&plugin)?;
        return Ok(report(Path::new("plugin.yaml"), &plugin));
    }
    print(&(serde_json::to_string_pretty(&Message::of(&policy)?)? + "\n"))?;
    Ok(Exit::Fine)
}

/// Says what of the file does not fit the policy.
fn report(path: &Path, text: &str) -> Exit {
    let faults = check::faults(path, text);
    for fault in &faults {
        eprintln!("bartizan: {fault}");
    }
    if faults.is_empty() { Exit::Fine } else { Exit::Findings }
}

/// The one policy of a file, as it is written there.
fn policy(path: &Path, text: &str) -> anyhow::Result<Node> {
    let shown = path.display();
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let sources = source::find(text, is_json).sources;
    let [source] = sources.as_slice() else {
        let faults = check::faults(path, text);
        match (sources.len(), faults.first()) {
            (0, Some(fault)) => bail!("{shown}: {fault}"),
            (number, _) => bail!("{shown}: {number} policies, expected one"),
        }
    };
    let inner = |text: &str| source::read_parts(text).into_iter().next().and_then(|(_, tree)| tree.root);
    let node = match &source.text {
        Some(text) => inner(text),
        None => {
            let mut trees = source::read_parts(text).into_iter();
            let root = trees.find(|(part, _)| *part == source.part).and_then(|(_, tree)| tree.root);
            root.and_then(|root| at(&root, &source.at).cloned())
        }
    };
    node.with_context(|| format!("{shown}: the policy can't be read: see bartizan check"))
}

fn at<'n>(root: &'n Node, path: &KeyPath) -> Option<&'n Node> {
    path.steps().iter().try_fold(root, |node, step| match (node, step) {
        (Node::Object(_), crate::document::Step::Key(key)) => node.get(key),
        (Node::List(items), crate::document::Step::Index(index)) => {
            items.iter().find(|(place, _)| place == index).map(|(_, below)| below)
        }
        _ => None,
    })
}

/// Envoy's form of a policy.
#[derive(Serialize)]
struct Message {
    #[serde(rename = "@type")]
    kind: &'static str,
    value: String,
}

impl Message {
    fn of(policy: &Node) -> anyhow::Result<Message> {
        Ok(Message { kind: STRING_VALUE, value: json(policy)? })
    }
}

/// The policy as JSON that a YAML file can hold unchanged.
fn json(policy: &Node) -> anyhow::Result<String> {
    let mut text = String::new();
    for c in serde_json::to_string_pretty(&Ordered(policy))?.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    Ok(text)
}

/// Sets the policy into the text of an Envoy file; everything else stays as it is written.
fn set(file: &str, policy: &Node) -> anyhow::Result<String> {
    let mut filters = Vec::new();
    for (part, tree) in source::read_parts(file) {
        let root = tree.root.context("not readable: see bartizan check")?;
        filters.extend(source::plugins(&root).into_iter().map(|path| (part, path)));
    }
    let (part, path) = match filters.as_slice() {
        [filter] => filter,
        [] => bail!("no Wasm filter whose name, root_id or vm_config holds `bartizan`"),
        several => bail!("{} Wasm filters of Bartizan's, expected one", several.len()),
    };
    let marks = Marks::read(file);
    let config = marks.find(*part, path).filter(|(_, rest)| *rest == 0).map(|(mark, _)| mark);
    let Some(Mark { value, form: Form::Object(entries), .. }) = config else {
        bail!("the filter's place can't be found")
    };
    let is_flow = file.get(value.start..).is_some_and(|rest| rest.starts_with('{'));
    let old = entries.iter().find(|(key, _)| key == "configuration").map(|(_, mark)| mark);
    let column = |at: usize| file.get(..at).unwrap_or_default().chars().rev().take_while(|c| *c != '\n').count();
    let message = Message::of(policy)?;
    let (range, new) = match old {
        _ if is_flow => {
            let text = serde_json::to_string(&message)?;
            let more = if entries.is_empty() { "" } else { ", " };
            old.map_or_else(
                || (value.start + 1..value.start + 1, format!("\"configuration\": {text}{more}")),
                |old| (old.value.clone(), text.clone()),
            )
        }
        Some(old) => {
            let key = column(old.key.start);
            let is_below = file.get(old.key.end..old.value.start).is_some_and(|between| between.contains('\n'));
            if is_below && column(old.value.start) > key {
                (old.value.clone(), block(&message, column(old.value.start)))
            } else {
                let indent = key + 2;
                (old.key.end..old.value.end, format!(":\n{}{}", " ".repeat(indent), block(&message, indent)))
            }
        }
        None => {
            let key = column(value.start);
            let (outer, inner) = (" ".repeat(key), " ".repeat(key + 2));
            (value.start..value.start, format!("configuration:\n{inner}{}\n{outer}", block(&message, key + 2)))
        }
    };
    let (before, after) = (file.get(..range.start), file.get(range.end..));
    let (Some(before), Some(after)) = (before, after) else { bail!("the filter's place can't be found") };
    let edited = format!("{before}{new}{after}");
    if !holds(&edited, &message.value) {
        bail!("the file is written in a way that can't be edited: put the output of `bartizan render` into it by hand");
    }
    Ok(edited)
}

/// The message as lines of YAML, each but the first indented.
fn block(message: &Message, indent: usize) -> String {
    let spaces = " ".repeat(indent);
    let mut text = format!("\"@type\": {}\n{spaces}value: |", message.kind);
    for line in message.value.lines() {
        text.push_str(&format!("\n{spaces}  {line}"));
    }
    text
}

/// True when the filter of the file has this policy.
fn holds(file: &str, policy: &str) -> bool {
    let wanted = crate::document::parse_json(policy.as_bytes()).digest;
    let sources = source::find(file, false).sources;
    matches!(sources.as_slice(), [source] if source.text.is_some() && source.parsed.digest == wanted)
}

fn plugin(name: &str, arguments: &Arguments, policy: &Node) -> anyhow::Result<String> {
    for name in std::iter::once(name).chain(arguments.namespace.as_deref()) {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if name.is_empty() || name.len() > 253 || !name.bytes().all(is_plain) {
            bail!("{name:?} is no name of Kubernetes: lower-case letters, digits, - and .");
        }
    }
    if !arguments.url.bytes().all(|b| b.is_ascii_graphic() && !b"\"'#".contains(&b)) {
        bail!("{:?} is no address of a module", arguments.url);
    }
    let mut text = format!("apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: {name}\n");
    if let Some(namespace) = &arguments.namespace {
        text.push_str(&format!("  namespace: {namespace}\n"));
    }
    text.push_str(&format!("spec:\n  url: {}\n", arguments.url));
    if let Some((_, digits)) = arguments.url.split_once("@sha256:") {
        text.push_str(&format!("  sha256: \"{digits}\"\n"));
    }
    text.push_str("  phase: AUTHZ\n  failStrategy: FAIL_RELOAD\n");
    let mut variables = Vec::new();
    environment(policy, &mut variables);
    if !variables.is_empty() {
        text.push_str("  vmConfig:\n    env:\n");
        for name in variables {
            text.push_str(&format!("    - {{name: {}, valueFrom: HOST}}\n", serde_json::to_string(&name)?));
        }
    }
    text.push_str("  pluginConfig:\n");
    for line in serde_norway::to_string(&Ordered(policy))?.lines() {
        text.push_str(&if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") });
    }
    Ok(text)
}

/// The variables that a policy reads, each once.
fn environment(node: &Node, found: &mut Vec<String>) {
    match node {
        Node::Object(entries) => {
            if let Some((_, Node::String(name))) = field(node, "fromEnv")
                && !found.contains(name)
            {
                found.push(name.clone());
            }
            entries.iter().for_each(|(_, below)| environment(below, found));
        }
        Node::List(items) => items.iter().for_each(|(_, below)| environment(below, found)),
        _ => {}
    }
}
