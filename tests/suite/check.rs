//! `bartizan check` as its users meet it.

use crate::common;

use std::path::Path;

use common::command::{Folder, bartizan, check, check_text, text};
use common::files::{IN_BOOTSTRAP, bootstrap, good_json, in_every_envoy_file, string_value, wasm_filter};
use common::{broken, data};
use serde_json::{Value, json};

#[test]
fn good_documents_are_ok_in_every_file_that_may_hold_one() {
    let folder = Folder::new("good");
    let policy = good_json();
    let mut weak = policy.clone();
    weak["holdHeaders"] = false.into();
    weak["audit"]["upstreamHeaders"] = json!([]);
    let plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": { "name": "bartizan" },
        "spec": {
            "failStrategy": "FAIL_RELOAD", "pluginConfig": weak,
            "vmConfig": { "env": [{ "name": "BARTIZAN_HASH_KEY", "value": "0123456789abcdef" }] }
        }
    });
    let filter = wasm_filter(string_value(&policy), true);
    let around = in_every_envoy_file(&filter).into_iter().map(|(name, file, _)| (name, file));
    for (name, file) in [("plain.json", policy.clone()), ("plugin.json", plugin)].into_iter().chain(around) {
        for (name, text) in [
            (name.to_owned(), file.to_string()),
            (name.replace(".json", ".yaml"), serde_norway::to_string(&file).unwrap()),
        ] {
            let (code, lines) = check_text(&folder, &name, &text);
            assert_eq!(code, 0, "{name}: {lines:#?}");
            assert!(lines[0].starts_with("ok: policy llm-prod, digest "), "{name}: {lines:#?}");
            assert_eq!(lines.len(), 1, "{name}: {lines:#?}");
        }
    }
}

#[test]
fn broken_documents_give_the_messages_of_the_table() {
    let folder = Folder::new("broken");
    for (case, text) in broken() {
        let (code, lines) = check_text(&folder, "policy.yaml", &text);
        if case.name == "a variable that is not there" {
            // The environment of this process is not the VM's.
            assert_eq!(code, 0);
            assert_eq!(lines[1], "note: the VM's environment must have NO_SUCH_KEY; not set here");
            continue;
        }
        assert_eq!(code, 1, "{}", case.name);
        assert_eq!(lines, case.errors, "{}", case.name);
    }
}

#[test]
fn what_stands_around_a_policy_must_fit_it() {
    let folder = Folder::new("around");
    let policy = good_json();
    let mut weak = policy.clone();
    weak["holdHeaders"] = false.into();
    weak["audit"]["upstreamHeaders"] = json!([]);
    weak["audit"]["hashKey"]["fromEnv"] = "ANOTHER_KEY".into();
    let plugin = |config: &Value, strategy: &str| {
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
            "spec": {
                "failStrategy": strategy, "pluginConfig": config,
                "vmConfig": { "env": [{ "name": "BARTIZAN_HASH_KEY", "valueFrom": "HOST" }] }
            }
        })
        .to_string()
    };
    let (code, lines) = check_text(&folder, "plugin.json", &plugin(&policy, "FAIL_CLOSE"));
    assert_eq!(code, 1);
    assert!(lines[0].starts_with("spec.pluginConfig.holdHeaders: true, but a WasmPlugin can't set"), "{lines:#?}");
    assert_eq!(lines[1], "note: spec.pluginConfig: the proxy's own environment must have BARTIZAN_HASH_KEY");

    let (code, lines) = check_text(&folder, "plugin.json", &plugin(&weak, "FAIL_OPEN"));
    let missing = "spec.pluginConfig.audit.hashKey.fromEnv: the VM's environment has no variable ANOTHER_KEY \
                   (vm_config.environment_variables)";
    let open = "warning: spec.pluginConfig: FAIL_OPEN: requests pass unguarded while the VM is down";
    assert_eq!((code, lines), (1, vec![missing.to_owned(), open.to_owned()]));

    // Istio's newer form says the same one level deeper.
    let newer = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension",
        "spec": { "wasm": { "failStrategy": "FAIL_OPEN", "pluginConfig": weak } }
    });
    let (code, lines) = check_text(&folder, "extension.json", &newer.to_string());
    let deeper = |line: String| line.replace("spec.pluginConfig", "spec.wasm.pluginConfig");
    assert_eq!((code, lines), (1, vec![deeper(missing.to_owned()), deeper(open.to_owned())]));

    let strong = bootstrap(&wasm_filter(string_value(&policy), false)).to_string();
    let (code, lines) = check_text(&folder, "envoy.json", &strong);
    let expected = format!(
        "{IN_BOOTSTRAP}.allow_on_headers_stop_iteration: must be true, because the policy has holdHeaders: true; \
         without it every request with a body hangs"
    );
    assert_eq!((code, lines), (1, vec![expected]));

    weak["audit"]["hashKey"]["fromEnv"] = "BARTIZAN_HASH_KEY".into();
    let (code, lines) =
        check_text(&folder, "envoy.json", &bootstrap(&wasm_filter(string_value(&weak), true)).to_string());
    let expected = format!(
        "{IN_BOOTSTRAP}.allow_on_headers_stop_iteration: true, but the policy does not have holdHeaders: true; \
         set both or neither"
    );
    assert_eq!((code, lines), (1, vec![expected]));
}

#[test]
fn a_policy_that_envoy_hands_over_as_anything_but_json_is_refused_wherever_it_stands() {
    let folder = Folder::new("form");
    let policy = good_json();
    let mut broken = policy.clone();
    broken["roles"]["anonymous"]["guard"] = "lax".into();
    let google = |kind: &str| format!("type.googleapis.com/google.protobuf.{kind}");
    let yaml = |policy: &Value| Value::from(serde_norway::to_string(policy).unwrap());
    let as_struct = "a google.protobuf.Struct, which Envoy hands to the module as raw protobuf; the module reads JSON: use \
                     a google.protobuf.StringValue whose value is the policy as JSON (bartizan render writes it)";
    let as_yaml = "the policy as YAML, but Envoy hands the text over as it is and the module reads JSON: write the policy \
                   as JSON (bartizan render writes it)";
    let other = "expected a google.protobuf.StringValue whose value is the policy as JSON (bartizan render writes it)";
    for (kind, value, place, message) in [
        ("Struct", policy.clone(), ".configuration", as_struct),
        ("Struct", broken.clone(), ".configuration", as_struct),
        ("StringValue", yaml(&policy), ".configuration.value", as_yaml),
        ("StringValue", yaml(&broken), ".configuration.value", as_yaml),
        ("StringValue", policy.clone(), ".configuration.value", other),
        ("Struct", policy.to_string().into(), ".configuration.value", other),
        ("ListValue", json!([policy]), ".configuration.value", other),
    ] {
        let is_broken = value == broken || value == yaml(&broken);
        let filter = wasm_filter(json!({ "@type": google(kind), "value": value }), true);
        for (name, file, at) in in_every_envoy_file(&filter) {
            for (name, text) in [
                (name.to_owned(), file.to_string()),
                (name.replace(".json", ".yaml"), serde_norway::to_string(&file).unwrap()),
            ] {
                let (code, lines) = check_text(&folder, &name, &text);
                assert_eq!(code, 1, "{kind} in {name}: {lines:#?}");
                assert!(!lines.iter().any(|line| line.starts_with("ok")), "{kind} in {name}: {lines:#?}");
                assert!(lines.contains(&format!("{at}{place}: {message}")), "{kind} in {name}: {lines:#?}");
                // What else is wrong with it is said as well.
                let guard = format!("{at}.configuration.value.roles.anonymous.guard: unknown guard");
                assert_eq!(
                    lines.iter().any(|line| line.starts_with(&guard)),
                    is_broken,
                    "{kind} in {name}: {lines:#?}"
                );
            }
        }
    }
    // A filter without its configuration is told where it goes, and nothing else.
    let mut filter = wasm_filter(json!({}), true);
    filter["config"].as_object_mut().unwrap().remove("configuration");
    let (code, lines) = check_text(&folder, "without.json", &bootstrap(&filter).to_string());
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].starts_with(&format!("{IN_BOOTSTRAP}.configuration: missing, but required")), "{lines:#?}");
    // Text that was meant as JSON has JSON's error, and nothing that only follows from it.
    let unquoted = json!({ "@type": google("StringValue"), "value": "{version: 1}" });
    let (code, lines) = check_text(&folder, "unquoted.json", &bootstrap(&wasm_filter(unquoted, true)).to_string());
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].starts_with(&format!("{IN_BOOTSTRAP}.configuration.value: not valid JSON: ")), "{lines:#?}");
}

#[test]
fn a_connection_manager_that_waits_for_ever_is_noted() {
    let folder = Folder::new("timeout");
    let filter = wasm_filter(string_value(&good_json()), true);
    let at = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
    let with = |change: &dyn Fn(&mut Value)| {
        let mut file = bootstrap(&filter);
        change(file.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap());
        check_text(&folder, "envoy.json", &file.to_string())
    };
    let note = format!("warning: {at}: no request_timeout: ");
    for timeout in [json!(null), json!("0s"), json!("0.000s")] {
        let (code, lines) = with(&|manager| manager["request_timeout"] = timeout.clone());
        assert_eq!((code, lines.len()), (0, 2), "{lines:#?}");
        assert!(lines[1].starts_with(&note), "{lines:#?}");
    }
    let (code, lines) = with(&|manager| {
        manager.as_object_mut().unwrap().remove("request_timeout");
        manager["requestTimeout"] = "0.5s".into();
    });
    assert_eq!((code, lines.len()), (0, 1), "{lines:#?}");
    // The filter comes from elsewhere; the connection manager is here.
    let (_, lines) = with(&|manager| {
        manager["request_timeout"] = "0s".into();
        manager["http_filters"][1] = json!({ "name": "bartizan", "config_discovery": {
            "config_source": { "ads": {} },
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"]
        } });
    });
    assert!(lines.iter().any(|line| line.starts_with(&note)), "{lines:#?}");
    let (_, lines) = with(&|manager| {
        manager["request_timeout"] = "0s".into();
        manager["http_filters"][1] = json!({ "name": "another" });
    });
    assert!(!lines.iter().any(|line| line.starts_with(&note)), "{lines:#?}");
}

#[test]
fn errors_inside_an_envoy_file_have_the_path_of_the_file() {
    let folder = Folder::new("inside");
    let mut policy = good_json();
    policy["roles"]["analyst"]["quotas"][1]["window"] = "1 h".into();
    let (code, lines) =
        check_text(&folder, "envoy.json", &bootstrap(&wasm_filter(string_value(&policy), true)).to_string());
    assert_eq!(code, 1);
    let expected = format!("{IN_BOOTSTRAP}.configuration.value.roles.analyst.quotas[1].window: expected a duration");
    assert!(lines[0].starts_with(&expected), "{lines:#?}");
}

#[test]
fn several_documents_and_several_files() {
    let folder = Folder::new("several");
    let good = data("good.yaml");
    let other = good.replace("name: llm-prod", "name: llm-test").replace("guard: strict", "guard: lax");
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec: {}\n";
    let both = folder.file("b.yaml", &format!("{good}---\n{deployment}---\n{other}"));
    let one = folder.file("a.yaml", &good);
    let (code, lines) = check(&[&both, &one]);
    assert_eq!(code, 1);
    assert!(lines[0].starts_with(&format!("{}: ok: policy llm-prod", one.display())), "{lines:#?}");
    assert!(lines[1].starts_with(&format!("{}: ok: policy llm-prod", both.display())), "{lines:#?}");
    assert!(
        lines[2].starts_with(&format!("{} (part 3): roles.anonymous.guard: unknown guard", both.display())),
        "{lines:#?}"
    );
    assert_eq!(lines[3], format!("{} (part 2): note: Deployment: not looked at", both.display()));
    assert_eq!(lines.len(), 4, "{lines:#?}");
}

#[test]
fn files_without_a_policy_are_findings() {
    let folder = Folder::new("without");
    for (name, text, expected) in [
        ("empty.yaml", "", "document: no Bartizan policy"),
        ("comment.yaml", "# nothing\n", "document: no Bartizan policy"),
        ("other.yaml", "apiVersion: v1\nkind: Service\n", "document: no Bartizan policy"),
        ("list.yaml", "[1, 2]", "document: no Bartizan policy"),
        ("values.yaml", "meshConfig: {}", "document: no Bartizan policy"),
        ("bad.json", "{\"version\": 1,}", "document: not valid JSON: "),
        ("bad.yaml", "version: [1\n", "version[1]: "),
        ("lua.yaml", "kind: TrafficExtension\napiVersion: x/v1\nspec: {lua: {}}\n", "document: no Bartizan policy"),
        ("bare.yaml", "kind: WasmPlugin\napiVersion: x/v1\nspec: {}\n", "spec.pluginConfig: missing, but required"),
    ] {
        let (code, lines) = check_text(&folder, name, text);
        assert_eq!(code, 1, "{name}");
        assert!(lines[0].starts_with(expected), "{name}: {lines:#?}");
    }
}

#[test]
fn what_is_no_error_but_worth_a_look_is_a_note() {
    let folder = Folder::new("notes");
    let rule = "exceptions: [{ rules: [PI-1010], until: 2020-01-31, reason: ticket 42 }]";
    let other = data("good.yaml").replace("exceptions: []", rule);
    let (code, lines) = check_text(&folder, "two.yaml", &format!("{}---\n{other}", data("good.yaml")));
    assert_eq!(code, 0);
    let second = |line: &str| format!("{} (part 2): {line}", folder.0.join("two.yaml").display());
    assert_eq!(lines[2], second("note: guards.standard.exceptions[0]: its last day has passed (ticket 42)"));
    assert_eq!(lines[3], "note: two different policies are called llm-prod: in one proxy they would share state");
}

#[test]
fn keys_that_have_ended_are_told() {
    let folder = Folder::new("ended");
    let key = |number: u8, until: &str| {
        let hash = format!("{number:02x}").repeat(32);
        format!("{{ name: k{number}, sha256: {hash}, subject: batch, roles: [analyst], until: {until} }}")
    };
    let keys = [key(1, "2020-01-31"), key(2, "2199-12-31"), key(3, "\"2020-01-31T12:00:00Z\"")].join(", ");
    let document = data("good.yaml").replacen("  issuers:", &format!("  apiKeys: [{keys}]\n  issuers:"), 1);
    let (code, lines) = check_text(&folder, "keys.yaml", &document);
    assert_eq!(code, 0, "{lines:#?}");
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("has ended")).collect();
    assert_eq!(told.len(), 2, "{lines:#?}");
    for (line, place) in told.iter().zip([0, 2]) {
        let end = format!("authn.apiKeys[{place}].until: the key has ended: whoever sends it is refused");
        assert!(line.contains("warning") && line.contains(&end), "{line}");
    }
}

#[test]
fn a_policy_that_refuses_what_cannot_be_scanned_is_told_what_is_scanned() {
    let folder = Folder::new("unknown");
    let good = data("good.yaml");
    let note = "note: unscanned.default: deny refuses what can't be scanned; parts of an unknown type are scanned";
    for (text, noted) in [
        (good.replace("unknown: scan\n", ""), true),
        (good.replace("unknown: scan\n", "unknown: deny\n"), false),
        (good.replace("unknown: scan\n", "").replace("default: deny, ", ""), false),
        (good, false),
    ] {
        let (code, lines) = check_text(&folder, "policy.yaml", &text);
        assert_eq!((code, lines.iter().any(|line| line.starts_with(note))), (0, noted), "{lines:#?}");
    }
}

#[test]
fn json_output_holds_the_same() {
    let folder = Folder::new("json");
    let good = folder.file("good.yaml", &data("good.yaml"));
    let bad = folder.file("bad.yaml", &data("good.yaml").replace("guard: strict", "guard: lax"));
    let output = bartizan(&["check", "--json", bad.to_str().unwrap(), good.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["files"][0]["errors"][0]["path"], "roles.anonymous.guard");
    assert_eq!(report["files"][1]["policies"][0]["name"], "llm-prod");
    assert_eq!(report["files"][1]["policies"][0]["digest"].as_str().unwrap().len(), 64);
}

/// A policy's text in every file that may hold it.
fn embedded(policy: &str) -> Vec<(&'static str, String)> {
    let indented =
        |text: &str, by: usize| text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>();
    let mut files = vec![
        ("plain.yaml", policy.to_owned()),
        (
            "plugin.yaml",
            format!(
                "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  failStrategy: FAIL_RELOAD\n  pluginConfig:\n{}",
                indented(policy, 4)
            ),
        ),
    ];
    // What JSON can't say (a key twice, a null that is no value) stays in YAML.
    let Ok(value) = serde_norway::from_str::<Value>(policy) else { return files };
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    files.push(("plain.json", pretty.clone()));
    let filter =
        wasm_filter(json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": pretty }), true);
    files.push(("escaped.json", serde_json::to_string_pretty(&bootstrap(&filter)).unwrap()));
    // serde_norway writes a text of several lines as a block.
    files.push(("block.yaml", serde_norway::to_string(&bootstrap(&filter)).unwrap()));
    files
}

#[test]
fn every_error_of_the_table_has_its_line_in_every_file() {
    let folder = Folder::new("lines");
    let mut judged = 0;
    for (case, policy) in broken() {
        for (name, file) in embedded(&policy) {
            let path = folder.file(name, &file);
            let output = bartizan(&["check", "--json", path.to_str().unwrap()]);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            for error in report["files"][0]["errors"].as_array().unwrap() {
                let path = text(error, "path");
                let (Some(line), Some(column)) = (error["line"].as_u64(), error["column"].as_u64()) else {
                    panic!("{}: {name}: {path} has no place", case.name);
                };
                let shown = file.lines().nth(line as usize - 1).unwrap();
                assert!(column as usize <= shown.chars().count() + 1, "{}: {name}: {path}", case.name);
                // A key of the path is in that line, unless it is the element of a list that is.
                let keys = || path.split(['.', '[', ']', '"']).filter(|key| !key.is_empty());
                let is_element = keys().next_back().is_some_and(|key| key.parse::<usize>().is_ok());
                let names = keys().any(|key| key.parse::<usize>().is_err() && shown.contains(key));
                assert!(
                    names || is_element || shown.trim_start().starts_with(['{', '-']) || keys().count() == 1,
                    "{}: {name}: {path}: {shown}",
                    case.name
                );
                let deepest = keys().next_back().is_some_and(|key| shown.contains(key));
                judged += usize::from(deepest);
            }
        }
    }
    assert!(judged > 200, "{judged}");
}

#[test]
fn the_line_is_shown_with_a_caret_and_without_what_may_be_a_secret() {
    let folder = Folder::new("caret");
    let policy = data("good.yaml").replace("guard: strict", "guard: lax");
    let file = folder.file("policy.yaml", &policy);
    let show = |file: &Path| String::from_utf8(bartizan(&["check", file.to_str().unwrap()]).stdout).unwrap();
    let line = policy.lines().position(|line| line.contains("guard: lax")).unwrap() + 1;
    let said = show(&file);
    let column = policy.lines().nth(line - 1).unwrap().find("lax").unwrap() + 1;
    assert!(said.starts_with("error: roles.anonymous.guard: unknown guard \"lax\""), "{said}");
    assert!(said.contains(&format!("--> {}:{line}:{column}\n", file.display())) && said.contains("^^^"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colour where no terminal is");

    let good = data("good.yaml");
    for (from, to) in [
        ("hashKey: { fromEnv: BARTIZAN_HASH_KEY }", "hashKey: hunter2-hunter2"),
        ("hashKey: { fromEnv: BARTIZAN_HASH_KEY }", "hashKy: hunter2-hunter2"),
        ("hashKey: { fromEnv: BARTIZAN_HASH_KEY }", "hashKey: { value: hunter2-hunter2 }"),
        ("kty: OKP, ", "kty: OKP, d: hunter2-hunter2, "),
        ("kty: OKP, ", "kty: oct, k: hunter2-hunter2, "),
    ] {
        let policy = good.replace(from, to);
        assert_ne!(policy, good);
        for (name, text) in embedded(&policy) {
            let said = show(&folder.file(name, &text));
            assert!(said.contains("error: ") && !said.contains("hunter2"), "{to} in {name}: {said}");
        }
    }
}

#[test]
fn annotations_are_for_github() {
    let folder = Folder::new("github");
    let bad = folder.file("bad.yaml", &data("good.yaml").replace("guard: strict", "guard: lax"));
    let output = bartizan(&["check", "--format", "github", bad.to_str().unwrap(), "/no/such,file"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let begin = format!("::error file={},line=", bad.display());
    assert!(
        lines[0].starts_with(&begin) && lines[0].contains(",title=bartizan::roles.anonymous.guard: unknown"),
        "{said}"
    );
    assert!(lines[1].starts_with("::error file=/no/such%2Cfile,title=bartizan::/no/such,file: "), "{said}");
}

#[test]
fn folders_are_searched_and_nothing_hides_the_rest() {
    let folder = Folder::new("folders");
    std::fs::create_dir_all(folder.0.join("a/chart/templates")).unwrap();
    std::fs::create_dir_all(folder.0.join(".hidden")).unwrap();
    folder.file("a/good.yaml", &data("good.yaml"));
    folder.file("a/service.yaml", "apiVersion: v1\nkind: Service\n");
    folder.file("a/notes.txt", "version: [");
    folder.file("a/values.json", "{\"image\": {}}");
    folder.file("a/foreign.yaml", "{{ .Values.x }}: [\n");
    folder.file("a/chart/Chart.yaml", "name: x\n");
    folder.file("a/chart/templates/plugin.yaml", "bartizan: {{ .Values.x }}\n");
    folder.file(".hidden/bad.yaml", "version: 1\n");
    let broken = folder.file("broken.yaml", "version: 1\nauthn: [\n");
    let output = bartizan(&["check", "--json", folder.0.to_str().unwrap(), "/no/such/file"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files: Vec<&str> = report["files"].as_array().unwrap().iter().map(|file| text(file, "file")).collect();
    assert_eq!(files, [folder.0.join("a/good.yaml").to_str().unwrap(), broken.to_str().unwrap()]);
    assert_eq!((&report["skipped"], &report["ok"]), (&json!(4), &json!(false)));
    assert_eq!(report["files"][0]["policies"][0]["name"], "llm-prod");
    assert!(!report["files"][1]["errors"].as_array().unwrap().is_empty());
    assert_eq!(report["unreadable"][0][0], "/no/such/file");
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("bartizan: /no/such/file: "));
}

#[test]
fn what_this_project_ships_is_fine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<Vec<_>>()
    };
    let istio = root.join("istio");
    let below = files(&istio).into_iter().filter(|path| path.is_dir()).flat_map(|path| files(&path));
    let globbed =
        files(&istio).into_iter().chain(below).filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let globbed: Vec<_> = globbed.collect();
    assert!(globbed.len() > 15);
    let (code, lines) = check(&globbed.iter().map(|path| path.as_path()).collect::<Vec<_>>());
    assert_eq!(code, 0, "{lines:#?}");
    for folder in ["istio", "envoy", "charts", "tests/charts"] {
        let output = bartizan(&["check", root.join(folder).to_str().unwrap()]);
        assert_ne!(output.status.code(), Some(2), "{folder}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.contains("error: "), "{folder}: {said}");
    }
}

#[test]
fn what_the_rest_of_an_envoy_file_lacks_is_said() {
    let folder = Folder::new("lacks");
    let mut policy = good_json();
    policy["authn"]["issuers"][0]["jwks"] =
        json!({ "cluster": "idp", "authority": "idp.example.com", "path": "/jwks" });
    let filter = wasm_filter(string_value(&policy), true);
    let listener = "static_resources.listeners[0]";
    let manager = format!("{listener}.filter_chains[0].filters[0].typed_config");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut file = bootstrap(&filter);
        file["static_resources"]["clusters"] = json!([{ "name": "llm" }, { "name": "idp" }]);
        change(&mut file);
        check_text(&folder, "envoy.json", &file.to_string())
    };
    let at = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let (code, lines) = with(&|_| {});
    assert_eq!((code, lines.len()), (0, 1), "{lines:#?}");
    type Change<'c> = &'c dyn Fn(&mut Value);
    let cases: &[(Change<'_>, i32, String)] = &[
        (
            &|file| file["static_resources"]["clusters"][1]["name"] = "other".into(),
            1,
            format!(
                "{IN_BOOTSTRAP}.configuration.value.authn.issuers[0].jwks.cluster: no cluster of this file is called \"idp\""
            ),
        ),
        (
            &|file| {
                file["static_resources"]["listeners"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("per_connection_buffer_limit_bytes");
            },
            0,
            format!("warning: {listener}.per_connection_buffer_limit_bytes: not set: Envoy's default of 1048576 bytes"),
        ),
        (
            &|file| file["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"] = 65536.into(),
            0,
            format!("warning: {listener}.per_connection_buffer_limit_bytes: 65536 bytes, but the policy's limits."),
        ),
        (
            &|file| {
                file.pointer_mut(at).unwrap()["http2_protocol_options"] = json!({ "initialStreamWindowSize": 65536 })
            },
            0,
            format!("warning: {manager}.http2_protocol_options.initialStreamWindowSize: 65536 bytes, but the policy's"),
        ),
        (
            &|file| {
                file.pointer_mut(at).unwrap()["http_filters"].as_array_mut().unwrap().swap(0, 1);
            },
            0,
            format!("warning: {manager}.http_filters: no decompressor before Bartizan"),
        ),
        (
            &|file| {
                let config = &mut file.pointer_mut(at).unwrap()["http_filters"][1]["typed_config"]["config"];
                config.as_object_mut().unwrap().remove("failure_policy");
            },
            0,
            format!("warning: {IN_BOOTSTRAP}.failure_policy: no failure_policy"),
        ),
    ];
    for (change, wanted, line) in cases {
        let (code, lines) = with(*change);
        assert_eq!(code, *wanted, "{lines:#?}");
        assert!(lines.iter().any(|said| said.starts_with(line.as_str())), "{line}: {lines:#?}");
    }
    // Clusters may come from elsewhere.
    let (code, lines) = with(&|file| {
        file["static_resources"]["clusters"] = json!([]);
        file["dynamic_resources"] = json!({ "cds_config": { "ads": {} } });
    });
    assert_eq!(code, 0, "{lines:#?}");
}

#[test]
fn digests_of_a_plugin_are_looked_at() {
    let folder = Folder::new("digests");
    let mut policy = good_json();
    policy["holdHeaders"] = false.into();
    policy["audit"]["upstreamHeaders"] = json!([]);
    policy["audit"].as_object_mut().unwrap().remove("hashKey");
    let (a, b, zeros) = ("a".repeat(64), "b".repeat(64), "0".repeat(64));
    let image = |digest: &str| format!("oci://registry.example.com/bartizan@{digest}");
    for (url, sha256, code, line) in [
        (image(&format!("sha256:{a}")), a.clone(), 0, "ok: "),
        ("https://example.com/bartizan.wasm".to_owned(), a.clone(), 0, "ok: "),
        (image(&format!("sha256:{a}")), b.clone(), 1, "spec.sha256: another digest than in url"),
        (image(&a), a.clone(), 1, "spec.url: expected @sha256:"),
        (image("sha256:abc"), a.clone(), 1, "spec.url: expected @sha256:"),
        (image(&format!("sha256:{a}")), format!("sha256:{a}"), 1, "spec.sha256: expected a SHA-256"),
        (image(&format!("sha256:{zeros}")), zeros.clone(), 0, "warning: spec.url: the digest is all zeros"),
        ("https://example.com/bartizan.wasm".to_owned(), zeros.clone(), 0, "warning: spec.sha256: all zeros"),
    ] {
        let file = json!({
            "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
            "spec": { "url": url, "sha256": sha256, "failStrategy": "FAIL_RELOAD", "pluginConfig": policy }
        });
        let (status, lines) = check_text(&folder, "plugin.json", &file.to_string());
        assert_eq!(status, code, "{url} {sha256}: {lines:#?}");
        assert!(lines.iter().any(|said| said.starts_with(line)), "{url} {sha256}: {lines:#?}");
        assert_eq!(lines.iter().any(|said| said.starts_with("ok: ")), code == 0, "{url} {sha256}: {lines:#?}");
    }
}

/// An EnvoyExtensionPolicy holds a list of extensions; those of others are left alone.
#[test]
fn a_policy_of_envoy_gateway_is_read_in_its_place() {
    let folder = Folder::new("gateway");
    let mut policy = good_json();
    policy["holdHeaders"] = false.into();
    policy["audit"]["upstreamHeaders"] = json!([]);
    policy["audit"].as_object_mut().unwrap().remove("hashKey");
    let with = |key: &str, value: serde_json::Value| {
        let mut policy = policy.clone();
        policy[key] = value;
        policy
    };
    let a = "a".repeat(64);
    let code = json!({ "type": "Image", "image": { "url": format!("r.example.com/b@sha256:{a}"), "sha256": a } });
    for (entry, status, line) in [
        (json!({ "name": "bartizan", "code": code, "config": policy }), 0, "ok: "),
        (
            json!({ "name": "bartizan", "code": code, "config": with("holdHeaders", json!(true)) }),
            1,
            "spec.wasm[1].config.holdHeaders: true, but",
        ),
        (
            json!({ "name": "bartizan", "code": code, "config": with("routes", json!([{}])) }),
            1,
            "spec.wasm[1].config.routes",
        ),
        (
            json!({ "name": "bartizan", "code": code, "config": with("rules", json!(1)) }),
            1,
            "spec.wasm[1].config.rules",
        ),
        (json!({ "name": "bartizan", "code": code }), 1, "spec.wasm[1].config: no policy"),
        (json!({ "name": "b", "rootID": "bartizan", "code": code, "config": {} }), 1, "spec.wasm[1].config: no policy"),
        (
            json!({ "name": "bartizan", "failOpen": true, "code": code, "config": policy }),
            0,
            "warning: spec.wasm[1].config: FAIL_OPEN",
        ),
        (
            json!({ "name": "bartizan", "code": { "image": { "url": "r.example.com/b@sha256:1" } }, "config": policy }),
            1,
            "spec.wasm[1].code.image.url: expected @sha256:",
        ),
    ] {
        let file = json!({ "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy",
            "spec": { "wasm": [{ "name": "other", "config": { "x": 1 } }, entry] } });
        let (found, lines) = check_text(&folder, "policy.json", &file.to_string());
        assert_eq!(found, status, "{entry}: {lines:#?}");
        assert!(lines.iter().any(|said| said.starts_with(line)), "{line}: {lines:#?}");
        assert!(lines.iter().any(|said| said.starts_with("note: spec.wasm[0].config")), "{lines:#?}");
    }
}

#[test]
fn a_broken_policy_is_known_in_a_filter_of_another_name() {
    let folder = Folder::new("nameless");
    let policy = good_json().to_string();
    for (name, value, said) in [
        ("cut", &policy[..policy.len() - 1], "not valid JSON"),
        ("comma", &policy.replacen("{", "{,", 1), "not valid JSON"),
        ("other", "{\"token\": \"authn\",}", "a Wasm filter that is not Bartizan's"),
    ] {
        let configuration = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": value });
        let filter = wasm_filter(configuration, true);
        let text = bootstrap(&filter).to_string().replace("bartizan", "guard");
        let (code, lines) = check_text(&folder, "envoy.json", &text);
        assert_eq!(code, 1, "{name}: {lines:#?}");
        assert!(lines.iter().any(|line| line.contains(said)), "{name}: {lines:#?}");
    }
}

#[test]
fn what_a_policy_hardly_means_is_a_warning() {
    let folder = Folder::new("hardly");
    let mut policy = good_json();
    policy["authn"] = json!({ "issuers": [] });
    policy["roles"] = json!({});
    let (code, lines) = check_text(&folder, "roles.json", &policy.to_string());
    assert_eq!(code, 0, "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("warning: roles: empty: nobody has a role")), "{lines:#?}");

    for (protocol, prefix, is_wrong) in [
        ("openai", "/openai/deployments/", true),
        ("openai", "/v1/chat/", true),
        ("openai", "/v1/", false),
        ("openai", "/openai/", false),
        ("openai", "/v1/chat/completions/", false),
        ("ollama", "/api/", false),
        ("anthropic", "/v1/", false),
    ] {
        let mut policy = good_json();
        policy["routes"] = json!([{ "match": { "pathPrefix": prefix }, "protocol": protocol }]);
        let (code, lines) = check_text(&folder, "prefix.json", &policy.to_string());
        assert_eq!(code, 0, "{protocol} {prefix}: {lines:#?}");
        let warning = "warning: routes[0].match.pathPrefix: ends with what paths of protocol";
        let warned = lines.iter().any(|line| line.starts_with(warning));
        assert_eq!(warned, is_wrong, "{protocol} {prefix}: {lines:#?}");
    }
}

#[test]
fn words_in_prompts_that_differ_between_proxies_are_told() {
    let folder = Folder::new("unkeyed");
    let notes = |guard: Value, key: bool| -> Vec<String> {
        let mut policy = good_json();
        policy["guards"] = json!({ "standard": guard, "strict": {} });
        match key {
            true => policy["audit"]["hashKey"] = json!({ "fromEnv": "BARTIZAN_HASH_KEY" }),
            false => drop(policy["audit"].as_object_mut().map(|audit| audit.remove("hashKey"))),
        }
        let (code, lines) = check_text(&folder, "policy.json", &policy.to_string());
        assert_eq!(code, 0, "{lines:#?}");
        lines.into_iter().filter(|line| line.contains("audit.hashKey: missing")).collect()
    };
    for (guard, words) in [
        (json!({ "pii": { "action": "restore" } }), "placeholders of restore"),
        (json!({ "pii": { "action": "flag", "byType": { "email": "hash" } } }), "placeholders of hash"),
        (json!({ "output": { "canary": "remove" } }), "canaries"),
        (json!({ "spotlight": "delimit" }), "marks of spotlight"),
    ] {
        let told = notes(guard.clone(), false);
        assert!(told.len() == 1 && told[0].contains(&format!("the {words} of guard standard differ")), "{told:#?}");
        assert_eq!(notes(guard, true), [] as [String; 0]);
    }
    // Numbers are counted anew in every request.
    assert_eq!(notes(json!({ "pii": { "action": "mask" } }), false), [] as [String; 0]);
    assert_eq!(notes(json!({ "mode": "shadow", "pii": { "action": "restore" } }), false), [] as [String; 0]);
}
