//! A policy in a WasmPlugin or a TrafficExtension of Istio's, or in an EnvoyExtensionPolicy of Envoy Gateway's.

use super::{Found, Severity, Source, Surroundings, Vm, below, looks_like_policy};
use crate::document::{KeyPath, Node, TreeFault, parse_tree};

/// Takes the policy out of a WasmPlugin, or out of the part of a TrafficExtension that reads like one.
pub(super) fn find(root: &Node, spec: &[&str], part: usize, faults: &[TreeFault], found: &mut Found) {
    let above = spec.iter().fold(KeyPath::root(), |at, key| at.key(key));
    let at = above.key("pluginConfig");
    let spec = spec.iter().try_fold(root, |node, key| node.get(key));
    let Some(config) = spec.and_then(|spec| spec.get("pluginConfig")) else {
        return found.say(Severity::Error, part, &at, "missing, but required: the policy belongs here");
    };
    found.faults(part, faults.iter().filter(|fault| !fault.is_null && !fault.path.is_within(&at)));
    let text = |key: &str| spec.and_then(|spec| spec.get(key)).and_then(Node::as_str);
    image(text("url"), text("sha256"), part, &above, found);
    let mut vm = Vm { failure: text("failStrategy").map(ToOwned::to_owned), ..Vm::default() };
    if let Some(Node::List(variables)) = spec.and_then(|spec| spec.get("vmConfig")).and_then(|vm| vm.get("env")) {
        for (_, variable) in variables {
            let Some(name) = variable.get("name").and_then(Node::as_str) else { continue };
            let from_host = variable.get("valueFrom").and_then(Node::as_str) == Some("HOST");
            let value = variable.get("value").and_then(Node::as_str).filter(|_| !from_host);
            vm.environment.insert(name.to_owned(), value.map(ToOwned::to_owned));
        }
    }
    if vm.failure.is_none() {
        let message = "no failStrategy: after one fault of the VM Istio's default refuses every request until the proxy \
                       restarts; FAIL_RELOAD refuses that one";
        found.say(Severity::Warning, part, &above.key("failStrategy"), message);
    }
    let parsed = parse_tree(below(config, &at, faults));
    found.sources.push(Source { at, part, parsed, text: None, surroundings: Surroundings::WasmPlugin(vm) });
}

/// Takes the policies out of an EnvoyExtensionPolicy of Envoy Gateway's: `config` of each Wasm extension that has one of ours.
pub(super) fn extensions(root: &Node, part: usize, faults: &[TreeFault], found: &mut Found) {
    let list = KeyPath::root().key("spec").key("wasm");
    let Some(Node::List(entries)) = root.get("spec").and_then(|spec| spec.get("wasm")) else {
        return found.say(Severity::Note, part, &KeyPath::root(), "EnvoyExtensionPolicy without wasm: not looked at");
    };
    for (place, entry) in entries {
        let above = list.index(*place);
        let at = above.key("config");
        let text = |key: &str| entry.get(key).and_then(Node::as_str);
        let Some(config) = entry.get("config").filter(|config| looks_like_policy(config)) else {
            let is_ours = [text("name"), text("rootID")].contains(&Some("bartizan"));
            let severity = if is_ours { Severity::Error } else { Severity::Note };
            found.say(severity, part, &at, "no policy: Bartizan's belongs here");
            continue;
        };
        let inside = |fault: &&TreeFault| fault.path.is_within(&above) && !fault.is_null && !fault.path.is_within(&at);
        found.faults(part, faults.iter().filter(inside));
        let code = entry.get("code");
        let of = |kind: &str, key: &str| code.and_then(|code| code.get(kind)).and_then(|kind| kind.get(key));
        let of = |kind: &str, key: &str| of(kind, key).and_then(Node::as_str);
        let digest = of("image", "sha256").or_else(|| of("http", "sha256"));
        image(of("image", "url"), digest, part, &above.key("code").key("image"), found);
        let fails_open = matches!(entry.get("failOpen"), Some(Node::Bool(true)));
        let mut vm = Vm { failure: fails_open.then(|| "FAIL_OPEN".to_owned()), ..Vm::default() };
        if let Some(Node::List(keys)) = entry.get("env").and_then(|env| env.get("hostKeys")) {
            let names = keys.iter().filter_map(|(_, key)| key.as_str());
            vm.environment.extend(names.map(|name| (name.to_owned(), None)));
        }
        let parsed = parse_tree(below(config, &at, faults));
        let surroundings = Surroundings::WasmPlugin(vm);
        found.sources.push(Source { at, part, parsed, text: None, surroundings });
    }
}

/// Where the module comes from, and the digests that fix which one it is.
fn image(url: Option<&str>, sha256: Option<&str>, part: usize, above: &KeyPath, found: &mut Found) {
    let in_url = url.and_then(|url| url.split_once('@')).map(|(_, digest)| digest);
    let zeros = |digits: &str| digits.bytes().all(|b| b == b'0');
    let is_sha256 = |digits: &str| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = in_url.map(|digest| digest.strip_prefix("sha256:").filter(|digits| is_sha256(digits)));
    let at = above.key("url");
    match digits {
        Some(None) => {
            found.say(Severity::Error, part, &at, "expected @sha256: and 64 of 0-9 and a-f behind the image's name")
        }
        Some(Some(digits)) if zeros(digits) => {
            found.say(Severity::Warning, part, &at, "the digest is all zeros: no image has it; write the one of yours");
        }
        _ => {}
    }
    let (Some(sha256), at) = (sha256, above.key("sha256")) else { return };
    let is_image = url.is_some_and(|url| url.starts_with("oci://"));
    if !is_sha256(sha256) {
        found.say(Severity::Error, part, &at, "expected a SHA-256: 64 of 0-9 and a-f, without a prefix");
    } else if zeros(sha256) {
        found.say(Severity::Warning, part, &at, "all zeros: no module has this digest; write the one of yours");
    } else if let Some(Some(digits)) = digits
        && is_image
        && !digits.eq_ignore_ascii_case(sha256)
    {
        let message = "another digest than in url: for an oci:// image both are the digest of its manifest, and Istio \
                       denies everything when they differ";
        found.say(Severity::Error, part, &at, message);
    }
}
