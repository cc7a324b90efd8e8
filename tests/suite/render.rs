//! `bartizan render`: the policy that goes in comes out, in every form and in every file.

use crate::common;

use std::path::Path;

use common::command::{Folder, bartizan, check_text};
use common::data;
use common::files::{bootstrap, in_every_envoy_file, string_value, wasm_filter};
use serde_json::{Value, json};

#[test]
fn a_policy_is_rendered_for_every_proxy_and_stays_the_same() {
    let folder = Folder::new("render");
    let policy = folder.file("policy.yaml", &data("good.yaml"));
    let policy = policy.to_str().unwrap();
    let digest = |file: &Path| {
        let output = bartizan(&["check", "--json", file.to_str().unwrap()]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        report["files"][0]["policies"][0]["digest"].as_str().unwrap().to_owned()
    };
    let wanted = digest(Path::new(policy));
    let output = bartizan(&["render", policy]);
    let message: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(message["@type"], "type.googleapis.com/google.protobuf.StringValue");
    assert_eq!(digest(&folder.file("message.json", &message.to_string())), wanted);

    // Whatever is there, and however the file is written.
    let other = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": { "version": 1 } });
    for old in [string_value(&json!({ "version": 1 })), other, Value::Null] {
        let mut filter = wasm_filter(old.clone(), true);
        if old.is_null() {
            filter["config"].as_object_mut().unwrap().remove("configuration");
        }
        for (name, file, _) in in_every_envoy_file(&filter) {
            for (name, text) in [
                (name.to_owned(), serde_json::to_string_pretty(&file).unwrap()),
                (name.replace(".json", ".yaml"), format!("# kept\n{}", serde_norway::to_string(&file).unwrap())),
            ] {
                let target = folder.file(&name, &text);
                let output = bartizan(&["render", policy, "--into", target.to_str().unwrap()]);
                let told = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(0), "{name}: {told}");
                assert_eq!(digest(&target), wanted, "{name}");
                let after = std::fs::read_to_string(&target).unwrap();
                assert!(after.starts_with("# kept") || name.ends_with(".json"), "{name}");
                // A second time changes nothing.
                bartizan(&["render", policy, "--into", target.to_str().unwrap()]);
                assert_eq!(std::fs::read_to_string(&target).unwrap(), after, "{name}");
            }
        }
    }
}

#[test]
fn a_rendered_plugin_is_a_policy_and_what_does_not_fit_is_said() {
    let folder = Folder::new("plugin");
    let weak = data("good.yaml").replace("holdHeaders: true", "holdHeaders: false");
    let weak = weak.replace("upstreamHeaders: [subject, roles, policy, verdict]", "upstreamHeaders: []");
    let policy = folder.file("policy.yaml", &weak);
    let render = |arguments: &[&str]| {
        let mut all = vec!["render", policy.to_str().unwrap()];
        all.extend(arguments);
        let output = bartizan(&all);
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, plugin, told) = render(&["--wasmplugin", "guard", "--namespace", "llm"]);
    assert_eq!(code, 0, "{told}");
    let (code, lines) = check_text(&folder, "plugin.yaml", &plugin);
    assert!(code == 0 && lines[0].starts_with("ok: policy llm-prod"), "{lines:#?}");
    assert!(
        lines.contains(&"note: spec.pluginConfig: the proxy's own environment must have BARTIZAN_HASH_KEY".to_owned())
    );
    assert_eq!(render(&["--wasmplugin", "No Name"]).0, 2);

    let strong = folder.file("strong.yaml", &data("good.yaml"));
    let output = bartizan(&["render", strong.to_str().unwrap(), "--wasmplugin", "guard"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("holdHeaders: true, but a WasmPlugin can't set"));

    // A policy with errors goes nowhere.
    let broken = folder.file("broken.yaml", &data("good.yaml").replace("guard: strict", "guard: lax"));
    let target = folder.file("envoy.json", &bootstrap(&wasm_filter(string_value(&json!({})), true)).to_string());
    let before = std::fs::read_to_string(&target).unwrap();
    let output = bartizan(&["render", broken.to_str().unwrap(), "--into", target.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("roles.anonymous.guard: unknown guard"));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), before);
}
