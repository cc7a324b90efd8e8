//! `bartizan models sync` against a small server of this test's own that answers what a case says: what is read, what is
//! refused, and what it does to a policy's text. `integration/mlflow` runs it against a real registry.

use crate::common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use common::command::{Folder, check_text};
use proptest::prelude::*;
use serde_json::{Value, json};

const MODELS: &str = "/api/2.0/mlflow/registered-models/search";
const VERSIONS: &str = "/api/2.0/mlflow/model-versions/search";

/// An answer as it goes over the wire.
#[derive(Clone)]
struct Answer(Vec<u8>);

impl Answer {
    fn new(status: &str, kind: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n");
        Answer(format!("{head}connection: close\r\n\r\n{body}").into_bytes())
    }

    fn json(value: &Value) -> Answer {
        Answer::new("200 OK", "application/json", &value.to_string())
    }
}

/// A server that answers each path and query by a function, and keeps what it was asked.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                kept.lock().unwrap().push(head);
                let (path, query) = target.split_once('?').unwrap_or((&target, ""));
                // A client that has read enough closes.
                let _ = stream.write_all(&answer(path, query).0);
            }
        });
        Server { url, seen }
    }

    /// One that has a registry's models, each with its versions, in one page.
    fn of(models: &Value, versions: &Value) -> Server {
        let (models, versions) = (models.clone(), versions.clone());
        Server::new(move |path, _| match path {
            MODELS => Answer::json(&json!({ "registered_models": models })),
            VERSIONS => Answer::json(&json!({ "model_versions": versions })),
            _ => Answer::new("404 Not Found", "text/html", "<html>"),
        })
    }
}

fn tags(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn model(name: &str, aliases: &[(&str, &str)], of: &[(&str, &str)]) -> Value {
    let aliases: Value = aliases.iter().map(|(alias, version)| json!({ "alias": alias, "version": version })).collect();
    json!({ "name": name, "aliases": aliases, "tags": tags(of) })
}

fn version(name: &str, number: &str, of: &[(&str, &str)]) -> Value {
    json!({ "name": name, "version": number, "status": "READY", "tags": tags(of) })
}

/// The exit code, what is printed, and what is said.
fn sync(url: &str, more: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(["models", "sync", "--mlflow", url])
        .args(more)
        .env("REGISTRY_TOKEN", "s3cret-t0ken")
        .env("BROKEN_TOKEN", "two\nlines")
        // What would lead elsewhere, if it were looked at.
        .env("http_proxy", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .env_remove("NO_SUCH_TOKEN")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Two models: one with a version in use, one to come and one that goes, and one that a single team has.
fn registry() -> (Vec<Value>, Vec<Value>) {
    let models = vec![
        model(
            "support",
            &[("champion", "2"), ("challenger", "3")],
            &[
                ("bartizan.roles", "support, analyst"),
                ("bartizan.roles.challenger", "tester"),
                ("bartizan.alias.champion", "fast"),
                ("owner", "team"),
            ],
        ),
        model("legal", &[("champion", "1")], &[("bartizan.roles", "analyst")]),
        model("churn", &[("champion", "7")], &[("owner", "somebody")]),
    ];
    let going = [
        ("bartizan.serves", "support-1"),
        ("bartizan.deprecated.since", "2026-11-01"),
        ("bartizan.deprecated.until", "2100-01-31"),
        ("bartizan.deprecated.replacement", "fast"),
    ];
    let versions = vec![
        version("support", "1", &going),
        version("support", "2", &[("bartizan.serves", "support-2")]),
        version("support", "3", &[("bartizan.serves", "ft:support:3")]),
        version("legal", "1", &[("bartizan.serves", "legal-1"), ("stage", "x")]),
        version("churn", "7", &[]),
    ];
    (models, versions)
}

const FRAGMENT: &str = "# Made by bartizan models sync: changes here are lost.
models:
  aliases:
    fast: support-2
    legal@champion: legal-1
    support@challenger: ft:support:3
  deprecated:
    support-1:
      since: \"2026-11-01\"
      until: \"2100-01-31\"
      replacement: fast
roles:
  analyst:
    models:
    - fast
    - legal@champion
  support:
    models:
    - fast
  tester:
    models:
    - support@challenger
";

const POLICY: &str = "# The policy of one gateway.
version: 1
name: small
guards: {standard: {}}
authn: {unsafeAnonymous: true}

models:
  aliases:
    cheap: gpt-4o-mini-2024-07-18   # a provider's
    old: gone-1
  answers: {\"deploy-*\": [\"gpt-4.1*\"]}

# Who may do what.
roles:
  anonymous: {operations: [chat], models: [cheap]}
  support: {operations: [chat], models: []}   # by the registry
  analyst:
    operations: [chat, embeddings]
    models:
      - old
      - \"x y\"   # gone soon
    # Tools come later.
  tester: {models: [old],
           operations: [chat]}
routes: [{match: {path: /v1/chat/completions}, protocol: openai}]
";

const EDITED: &str = "# The policy of one gateway.
version: 1
name: small
guards: {standard: {}}
authn: {unsafeAnonymous: true}

models:
  # Made by bartizan models sync: changes here are lost.
  aliases:
    cheap: gpt-4o-mini-2024-07-18
    fast: support-2
    legal@champion: legal-1
    support@challenger: ft:support:3
  deprecated:
    support-1:
      since: \"2026-11-01\"
      until: \"2100-01-31\"
      replacement: fast
  answers:
    deploy-*:
    - gpt-4.1*

# Who may do what.
roles:
  anonymous: {operations: [chat], models: [cheap]}
  support: {operations: [chat], models: [\"fast\"]}   # by the registry
  analyst:
    operations: [chat, embeddings]
    models: [\"fast\", \"legal@champion\"]   # gone soon
    # Tools come later.
  tester: {models: [\"support@challenger\"],
           operations: [chat]}
routes: [{match: {path: /v1/chat/completions}, protocol: openai}]
";

const ROLES: [&str; 2] = ["--roles", "support,analyst,tester"];

#[test]
fn aliases_tags_and_pages_become_one_text_in_whatever_order_they_come() {
    let (models, versions) = registry();
    for turn in 0..6 {
        let (mut models, mut versions) = (models.clone(), versions.clone());
        models.rotate_left(turn % 3);
        versions.rotate_left(turn % 5);
        for model in models.iter_mut().filter(|model| turn % 2 == 1 && model["name"] == "support") {
            for key in ["tags", "aliases"] {
                model[key].as_array_mut().unwrap().rotate_left(1);
            }
        }
        // Pages of one or two entries, whose places need escapes.
        let size = 1 + turn % 2;
        let server = Server::new(move |path, query| {
            let (key, all) =
                if path == MODELS { ("registered_models", &models) } else { ("model_versions", &versions) };
            let from = query.split('&').find_map(|pair| pair.strip_prefix("page_token=%26%20%23"));
            let from: usize = from.map_or(0, |digits| digits.parse().unwrap());
            let mut page = json!({ key: all[from..all.len().min(from + size)] });
            if from + size < all.len() {
                page["next_page_token"] = format!("& #{}", from + size).into();
            }
            Answer::json(&page)
        });
        let (code, out, said) = sync(&server.url, &ROLES);
        assert_eq!((code, out.as_str()), (0, FRAGMENT), "{said}");
        assert_eq!(said, "bartizan: note: models without a tag that begins with bartizan. are left out: 1\n");
    }
}

#[test]
fn a_policy_is_edited_in_place_and_nothing_else_of_it_changes() {
    let folder = Folder::new("models-into");
    let file = folder.file("policy.yaml", POLICY);
    let path = file.to_str().unwrap();
    let (models, versions) = registry();
    let server = Server::of(&json!(models), &json!(versions));
    let into = ["--into", path, "--roles", "support,analyst,tester", "--keep", "cheap,gpt-*"];
    let read = || std::fs::read_to_string(&file).unwrap();

    let (code, out, said) = sync(&server.url, &[&into[..], &["--check"]].concat());
    let lines = [
        "policy.yaml: not as the registry says",
        "+ models.aliases.fast: \"support-2\"",
        "- models.aliases.old: \"gone-1\"",
        "+ roles.support.models: [\"fast\"]",
    ];
    assert!(code == 1 && lines.iter().all(|line| out.contains(line)), "{code}: {out}{said}");
    assert_eq!(read(), POLICY);

    let (code, out, said) = sync(&server.url, &into);
    assert!(code == 0 && out.contains("policy.yaml: written"), "{code}: {out}{said}");
    assert_eq!(read(), EDITED);
    let (code, lines) = check_text(&folder, "policy.yaml", &read());
    assert!(code == 0 && !lines.concat().contains("warning"), "{lines:?}");
    for more in [&["--check"][..], &[]] {
        let (code, out, _) = sync(&server.url, &[&into[..], more].concat());
        assert!(code == 0 && out.ends_with("policy.yaml: as the registry says\n"), "{out}");
    }
    assert_eq!(read(), EDITED);

    // Without --keep the entry is nobody's; what is kept may not come from the registry.
    let (code, out, _) = sync(&server.url, &["--into", path, ROLES[0], ROLES[1], "--check"]);
    assert!(code == 1 && out.ends_with("says\n- models.aliases.cheap: \"gpt-4o-mini-2024-07-18\"\n"), "{out}");
    let (code, _, said) = sync(&server.url, &["--into", path, ROLES[0], ROLES[1], "--keep", "fa*"]);
    assert!(code == 2 && said.contains("\"fast\" comes from the registry, but --keep says"), "{said}");

    // A role that the registry no longer names loses everything.
    let (mut models, versions) = registry();
    models[0]["tags"].as_array_mut().unwrap().retain(|tag| !tag["key"].as_str().unwrap().starts_with("bartizan.roles"));
    let server = Server::of(&json!(models), &json!(versions));
    let (code, _, said) = sync(&server.url, &into);
    assert!(code == 0 && said.contains("role \"support\": the registry gives it no model"), "{said}");
    assert!(read().contains("support: {operations: [chat], models: []}   # by the registry"));
}

#[test]
fn what_cannot_be_edited_or_would_not_compile_is_left_as_it_was() {
    let folder = Folder::new("models-left");
    let (models, versions) = registry();
    let server = Server::of(&json!(models), &json!(versions));
    let roles = "support,analyst,tester";
    for (number, (text, roles, code, message)) in [
        (POLICY.replace("  support:", "  suport:"), roles, 2, "no role \"support\", which --roles names"),
        (POLICY.replace(", models: []", ""), roles, 2, "role \"support\" has no models: write `models: []` there"),
        (
            POLICY.replace("old: gone-1", "fast: support-2\n  oops: 1"),
            roles,
            1,
            "with the registry's models: models.oops",
        ),
        (format!("{POLICY}---\n{POLICY}"), roles, 2, "expected a policy in YAML, and nothing else in the file"),
        ("{\"version\": 1, \"roles\": {}}".to_owned(), roles, 2, "expected a policy in YAML"),
        ("kind: Deployment\n".to_owned(), roles, 2, "expected a policy in YAML"),
        (POLICY.replace("version: 1", "a: &x {b: 1}\nc: *x\nversion: 1"), roles, 1, "with the registry's models: a"),
        (
            format!("{}...\n", POLICY.replace("models:\n  aliases", "x:\n  aliases")),
            roles,
            2,
            "can't be edited in place",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.file(&format!("{number}.yaml"), &text);
        let (found, out, said) = sync(&server.url, &["--into", file.to_str().unwrap(), "--roles", roles]);
        assert!(found == code && said.contains(message), "{number}: {found} {out}{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), number + 1, "a part of a file is left");
    }
    let (code, _, said) = sync(&server.url, &["--into", "/no/such/file"]);
    assert!(code == 2 && said.contains("/no/such/file"), "{said}");
    let (code, _, said) = sync(&server.url, &["--check"]);
    assert!(code == 2 && said.contains("--check needs --into or --output"), "{said}");
}

#[test]
fn a_file_of_its_own_is_written_and_compared() {
    let folder = Folder::new("models-output");
    let path = folder.0.join("models.yaml");
    let (models, versions) = registry();
    let server = Server::of(&json!(models), &json!(versions));
    let output = ["--output", path.to_str().unwrap(), ROLES[0], ROLES[1]];
    let checked = || sync(&server.url, &[&output[..], &["--check"]].concat());
    assert_eq!(checked().0, 1);
    assert!(!path.exists());
    assert_eq!(sync(&server.url, &output).0, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), FRAGMENT);
    assert_eq!(checked().0, 0);
    // The same in other words is the same; another model is not.
    std::fs::write(&path, FRAGMENT.replace("    - fast\n    - legal@champion", "      [fast, \"legal@champion\"]"))
        .unwrap();
    assert_eq!(checked().0, 0);
    std::fs::write(&path, FRAGMENT.replace("fast: support-2", "fast: support-1")).unwrap();
    let (code, out, _) = checked();
    let change = "- models.aliases.fast: \"support-1\"\n+ models.aliases.fast: \"support-2\"\n";
    assert!(code == 1 && out.ends_with(change), "{out}");
    std::fs::write(&path, "").unwrap();
    assert_eq!(checked().0, 1);
}

/// What is wrong in a registry, and what is said of it.
#[test]
fn a_fault_names_model_version_and_tag() {
    let serves = ("bartizan.serves", "m-1");
    let one = |aliases: &[(&str, &str)], of: &[(&str, &str)], of_version: &[(&str, &str)]| {
        (json!([model("m", aliases, of)]), json!([version("m", "1", of_version)]))
    };
    let long = "m".repeat(129);
    let mut unready = one(&[("a", "1")], &[], &[serves]);
    unready.1[0]["status"] = "FAILED_REGISTRATION".into();
    let two = |first: Value, second: Value| (json!([first["m"], second["m"]]), json!([first["v"], second["v"]]));
    let of = |name: &str, alias: &str, of: &[(&str, &str)], served: &str| json!({ "m": model(name, &[(alias, "1")], of), "v": version(name, "1", &[("bartizan.serves", served)]) });
    for ((models, versions), said) in [
        (
            one(&[("a", "1")], &[("bartizan.roles", "r")], &[]),
            "model \"m\", version 1, tag bartizan.serves: missing, but alias \"a\" means this version: expected the name",
        ),
        (
            one(&[("a", "2")], &[], &[serves]),
            "model \"m\", version 2: alias \"a\" means it, but the registry has no such version",
        ),
        (
            unready,
            "model \"m\", version 1: alias \"a\" means it, but its status is \"FAILED_REGISTRATION\", expected READY",
        ),
        (
            one(&[], &[], &[("bartizan.serves", "m 1")]),
            "model \"m\", version 1, tag bartizan.serves: expected a model's name, 1 to 128 printable",
        ),
        (one(&[], &[], &[("bartizan.serves", &long)]), "version 1, tag bartizan.serves: expected a model's name"),
        (one(&[], &[], &[("bartizan.serves", "gpt-*")]), "version 1, tag bartizan.serves: expected a model's name"),
        (one(&[("é", "1")], &[], &[serves]), "model \"m\", version 1: alias \"é\": expected a model's name"),
        (
            one(&[("a", "1")], &[("bartizan.alias.a", "a b")], &[serves]),
            "model \"m\", tag bartizan.alias.a: alias \"a\": expected a model's name",
        ),
        (
            one(&[("a", "1")], &[("bartizan.alias.b", "x")], &[serves]),
            "model \"m\", tag bartizan.alias.b: the model has no such alias, it has a",
        ),
        (
            one(&[("a", "1")], &[("bartizan.roles.b", "r")], &[serves]),
            "model \"m\", tag bartizan.roles.b: the model has no such alias",
        ),
        (
            one(&[("a", "1")], &[("bartizan.roles", "r, boss")], &[serves]),
            "model \"m\", tag bartizan.roles: role \"boss\" is not one that the registry decides about (--roles): r",
        ),
        (one(&[("a", "1")], &[("bartizan.roles", "")], &[serves]), "tag bartizan.roles: role \"\" is not one"),
        (
            one(&[], &[("bartizan.serves", "x")], &[]),
            "model \"m\", tag bartizan.serves: a tag of versions, found on the model",
        ),
        (
            one(&[], &[], &[serves, ("bartizan.roles", "r")]),
            "version 1, tag bartizan.roles: a tag of models, found on a version",
        ),
        (
            one(&[], &[], &[serves, ("bartizan.alias.a", "r")]),
            "tag bartizan.alias.a: a tag of models, found on a version",
        ),
        (
            one(&[], &[], &[("bartizan.serve", "x")]),
            "tag bartizan.serve: no tag that means anything, bartizan.serves is probably meant",
        ),
        (one(&[], &[], &[serves, serves]), "version 1, tag bartizan.serves: there twice, expected it once"),
        (
            one(&[], &[], &[("bartizan.deprecated.until", "2027-01-31")]),
            "model \"m\", version 1, tag bartizan.serves: missing, so that nobody knows which name is deprecated",
        ),
        (
            one(&[], &[("bartizan.deprecated.until", "2027-01-31")], &[]),
            "model \"m\", tag bartizan.deprecated.replacement: no version",
        ),
        (
            one(&[], &[], &[serves, ("bartizan.deprecated.until", "soon")]),
            "tag bartizan.deprecated.until: expected a day or a time (2027-01-31), found \"soon\"",
        ),
        (
            one(&[], &[], &[serves, ("bartizan.deprecated.since", "2027-02-30")]),
            "tag bartizan.deprecated.since: expected a day",
        ),
        (
            one(
                &[],
                &[],
                &[serves, ("bartizan.deprecated.since", "2027-02-01"), ("bartizan.deprecated.until", "2027-01-31")],
            ),
            "version 1, tag bartizan.deprecated.until: not later than bartizan.deprecated.since",
        ),
        (
            one(
                &[],
                &[("bartizan.deprecated.until", "2027-02-01")],
                &[serves, ("bartizan.deprecated.until", "2027-01-31")],
            ),
            "version 1, tag bartizan.deprecated.until: \"2027-01-31\", but the model's tag says \"2027-02-01\": expected one of",
        ),
        (
            one(&[], &[], &[serves, ("bartizan.deprecated.replacement", "m-1")]),
            "tag bartizan.deprecated.replacement: \"m-1\" is the deprecated version itself",
        ),
        (
            one(&[("a", "1")], &[], &[serves, ("bartizan.deprecated.replacement", "m@a")]),
            "tag bartizan.deprecated.replacement: \"m@a\" is the deprecated version itself",
        ),
        (
            two(of("m", "a", &[], "x-1"), of("n", "a", &[], "x-1")),
            "model \"n\", version 1, tag bartizan.serves: \"x-1\" is what model \"m\", version 1 is served by too",
        ),
        (
            two(
                of("m", "a", &[("bartizan.alias.a", "fast")], "x-1"),
                of("n", "b", &[("bartizan.alias.b", "fast")], "y-1"),
            ),
            "model \"n\", tag bartizan.alias.b: alias \"b\": \"fast\" is the name of alias \"a\" of model \"m\" too",
        ),
        (
            two(of("m", "a", &[("bartizan.alias.a", "y-1")], "x-1"), of("n", "b", &[], "y-1")),
            "model \"m\": alias \"a\": \"y-1\" is what model \"n\", version 1 is served by",
        ),
        (
            (json!([model("m", &[], &[])]), json!([])),
            "none of the registry's 1 models has a tag that begins with bartizan.",
        ),
        ((json!([]), json!([])), "none of the registry's 0 models has a tag"),
    ] {
        let server = Server::of(&models, &versions);
        let (code, out, found) = sync(&server.url, &["--roles", "r"]);
        assert!(code == 1 && out.is_empty() && found.contains(said), "expected {said}\nfound ({code}) {out}{found}");
        assert!(found.lines().all(|line| line.starts_with("bartizan: ")), "{found}");
    }
    // All faults come at once.
    let server = Server::of(
        &json!([model("m", &[("a", "1")], &[("bartizan.x", "1"), ("bartizan.roles", "boss")])]),
        &json!([version("m", "1", &[serves, ("bartizan.deprecated.until", "soon")])]),
    );
    assert_eq!(sync(&server.url, &["--roles", "r"]).2.lines().count(), 3);
}

#[test]
fn an_answer_that_is_no_registrys_is_one_line_and_exit_2() {
    let ok = |body: &str| Answer::new("200 OK", "application/json", body);
    let page = |key: &str| ok(&json!({ "registered_models": [], "next_page_token": key }).to_string());
    let redirect = Answer(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(),
    );
    let denied = |status: &str| Answer::new(status, "text/html", "<h1>who are you</h1>");
    let broken = r#"{"error_code": "INTERNAL_ERROR", "message": "s3cret words"}"#;
    let many: Vec<Value> = (0..1001).map(|number| model(&format!("m{number}"), &[], &[])).collect();
    for (answer, said) in [
        (denied("401 Unauthorized"), "401, it wants to know who asks: --token-env NAME"),
        (denied("403 Forbidden"), "403, it wants to know who asks"),
        (denied("404 Not Found"), "404: is it the address of an MLflow server?"),
        (Answer::new("500 Oh", "application/json", broken), ": 500 (INTERNAL_ERROR)"),
        (Answer::new("503 Oh", "text/html", "<html>"), ": 503"),
        (redirect, "302, a redirect, which is not followed"),
        (
            Answer::new("200 OK", "text/html; charset=utf-8", "<!doctype html><p>Log in"),
            "not JSON but \"text/html; charset=utf-8\"",
        ),
        (ok("<!doctype html>"), "not what MLflow answers: expected value at line 1"),
        (ok(""), "not what MLflow answers: EOF"),
        (ok("[1]"), "not what MLflow answers: "),
        (ok(r#"{"registered_models": {"a": 1}}"#), "not what MLflow answers: invalid type: map, expected a sequence"),
        (ok(r#"{"registered_models": [{"name": 5}]}"#), "invalid type: integer `5`, expected a string"),
        (ok(r#"{"registered_models": [{"name": "m", "tags": [{"key": "k", "value": 1}]}]}"#), "expected a string"),
        (
            ok(r#"{"registered_models": [{"name": "m", "aliases": [{"alias": "a", "version": "x"}]}]}"#),
            "a version that is no number",
        ),
        (ok(r#"{"registered_models": [{"aliases": []}]}"#), "missing field `name`"),
        (ok(r#"{"registered_models": [{"name": "m"}, {"name": "m"}]}"#), "lists the model \"m\" twice"),
        (ok(&json!({ "registered_models": many }).to_string()), "more than 1000 models"),
        (page("again"), "the registry's page leads to itself"),
        (ok(&" ".repeat(9 << 20)), "an answer of more than 8388608 bytes"),
        (
            Answer(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{}".to_vec()),
            "registered-models/search: ",
        ),
        (Answer(b"nonsense\r\n\r\n".to_vec()), "registered-models/search: "),
        (Answer(Vec::new()), "registered-models/search: "),
    ] {
        let server = Server::new(move |_, _| answer.clone());
        let (code, out, found) = sync(&server.url, &[]);
        assert!(code == 2 && out.is_empty() && found.contains(said), "expected {said}\nfound ({code}) {found}");
        assert!(found.lines().count() == 1 && found.starts_with("bartizan: "), "{found}");
        assert!(!found.contains("s3cret") && found.len() < 500, "{found}");
    }
    // Pages that never end, each with another place.
    let count = Mutex::new(0);
    let server = Server::new(move |_, _| {
        *count.lock().unwrap() += 1;
        Answer::json(&json!({ "registered_models": [], "next_page_token": count.lock().unwrap().to_string() }))
    });
    let (code, _, found) = sync(&server.url, &["--timeout", "600"]);
    assert!(code == 2 && found.contains("more than 1000 pages"), "{found}");
    // Answers that never end, and hosts that are not there.
    let server = Server::new(|_, _| {
        loop {
            std::thread::park()
        }
    });
    let (code, _, found) = sync(&server.url, &["--timeout", "1"]);
    assert!(code == 2 && found.contains("not at an end after 1 s (--timeout)"), "{found}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, found) = sync(&format!("http://{free}"), &[]);
    assert!(code == 2 && found.contains("refused") && found.lines().count() == 1, "{found}");
    // A server without TLS, where TLS is expected.
    let server = Server::new(|_, _| Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    let (code, _, found) = sync(&server.url.replace("http:", "https:"), &["--timeout", "20"]);
    assert!(code == 2 && found.lines().count() == 1, "{found}");
}

#[test]
fn the_token_comes_from_the_environment_and_is_never_printed() {
    let (models, versions) = registry();
    let server = Server::of(&json!(models), &json!(versions));
    for (more, header) in [
        (&["--token-env", "REGISTRY_TOKEN"][..], "authorization: Bearer s3cret-t0ken\r\n"),
        (&["--token-env", "REGISTRY_TOKEN", "--user", "admin"], "authorization: Basic YWRtaW46czNjcmV0LXQwa2Vu\r\n"),
        (&[], ""),
    ] {
        server.seen.lock().unwrap().clear();
        let (code, out, said) = sync(&server.url, more);
        assert!(code == 0 && !format!("{out}{said}").contains("s3cret"), "{out}{said}");
        let seen = server.seen.lock().unwrap().clone();
        assert!(seen.len() == 2 && seen.iter().all(|head| head.contains(header)), "{seen:?}");
        let has_token = |head: &String| head.to_lowercase().contains("authorization");
        assert!(seen.iter().all(|head| has_token(head) != header.is_empty()), "{seen:?}");
    }
    let refusing = Server::new(|_, _| Answer::new("401 Unauthorized", "text/plain", "s3cret-t0ken is wrong"));
    let token = ["--token-env", "REGISTRY_TOKEN", "--timeout", "5"];
    for (url, more, said) in [
        (refusing.url.as_str(), &token[..], "401, it does not accept the token"),
        (&server.url, &["--token-env", "NO_SUCH_TOKEN"], "the environment variable NO_SUCH_TOKEN is not set"),
        (
            &server.url,
            &["--token-env", "BROKEN_TOKEN"],
            "BROKEN_TOKEN holds no token: expected printable ASCII in one line",
        ),
        (&server.url, &["--user", "admin"], "--token-env"),
        ("http://registry.invalid", &token, "http://registry.invalid: the token would be sent in plain text"),
        ("http://10.0.0.1:5000/x/", &token, "http://10.0.0.1:5000/x: the token would be sent in plain text"),
        ("http://localhost.invalid", &token, "in plain text"),
        ("http://admin:s3cret@127.0.0.1", &[], "expected an address without a user"),
        ("http://127.0.0.1/?a=s3cret", &[], "expected an address without ? and #"),
        ("127.0.0.1:5000", &[], "expected an address that begins with https://"),
        ("ftp://127.0.0.1", &[], "expected an address that begins with https://"),
        ("", &[], "--mlflow"),
        ("http://", &[], "--mlflow"),
        ("http://a b", &[], "--mlflow: not an address"),
    ] {
        let (code, out, found) = sync(url, more);
        assert!(code == 2 && found.contains(said), "{url} {more:?}: expected {said}\nfound ({code}) {out}{found}");
        assert!(found.lines().count() == 1 && !found.contains("s3cret"), "{found}");
    }
}

#[test]
fn check_tells_names_that_lead_nowhere() {
    let folder = Folder::new("models-check");
    let policy = "version: 1
name: small
guards: {standard: {}}
authn: {unsafeAnonymous: true}
models:
  aliases: {fast: m-1, slow: m-2, lost: m-3, gone: m-4}
  deprecated:
    m-1: {until: 2199-01-01, replacement: lost}
    m-4: {until: 2020-01-01, replacement: fast}
    m-5: {replacement: gone}
roles:
  anonymous: {operations: [chat], models: [fast, slwo, m-2, gone, 'gpt-*', mistral]}
routes: [{match: {path: /v1/chat/completions}, protocol: openai}]
";
    let (code, lines) = check_text(&folder, "policy.yaml", policy);
    let expected = [
        "warning: models.aliases.gone: it or m-4 has ended (models.deprecated): requests for it are refused with model.retired",
        "warning: models.aliases.lost: no role may use it: no role's models have this name",
        "warning: models.aliases.slow: no role may use it: no role's models have this name",
        "warning: models.deprecated.m-1.replacement: callers are told to use it, but no role may use it",
        "warning: models.deprecated.m-4.until: has passed: requests for it are refused with model.retired",
        "warning: models.deprecated.m-5.replacement: callers are told to use it, but it has ended itself",
        "warning: roles.anonymous.models[1]: no alias has this name; \"slow\" is probably meant",
        "note: roles.anonymous.models[2]: what alias \"slow\" means now: callers of the role stay with it when the alias moves",
    ];
    assert_eq!((code, lines[1..].to_vec()), (0, expected.map(str::to_owned).to_vec()));
    let file = folder.0.join("policy.yaml");
    let text = String::from_utf8(common::command::bartizan(&["check", file.to_str().unwrap()]).stdout).unwrap();
    assert!(text.contains("policy.yaml:9:18") && text.contains("policy.yaml:12:"), "{text}");
    let without = policy.replace("slwo, m-2", "slow, lost").replace("replacement: gone", "replacement: fast");
    let without = without.replace("    m-4: {until: 2020-01-01, replacement: fast}\n", "");
    let (code, lines) = check_text(&folder, "policy.yaml", &without);
    assert_eq!((code, lines.len()), (0, 1), "{lines:?}");
}

/// A policy as people write it: the sections in any order, in lines or in braces, with comments between them.
fn written() -> impl Strategy<Value = (String, Vec<String>)> {
    let models = prop_oneof![
        Just(String::new()),
        Just("models: {aliases: {old: x-1}}".to_owned()),
        Just(
            "models:   # by the registry\n  aliases:\n    # one\n    old: x-1\n\n    \"q\": 'y-1'\n  # end".to_owned()
        ),
        Just("\"models\":\n    deprecated: {x-1: {until: 2100-01-01}}\n    answers:\n      a: [b]\n".to_owned()),
        Just("models: {}".to_owned()),
        Just("models: {aliases: {old: x-1},\n  answers: {a: [b, c]}} # behind".to_owned()),
    ];
    let roles = prop_oneof![
        Just(
            "roles:\n  r: {operations: [chat], models: [old]} # ä\n  \"s\": {models: [ ], operations: [chat]}\n  anonymous: {operations: [chat], models: ['*']}"
        ),
        Just(
            "roles:\n    r:\n        models:\n        - old   # x\n        # y\n        - 'b: c'\n        operations: [chat]\n    s:\n        operations: [chat]\n        models:\n            - \"é\"\n    # behind\n    anonymous: {operations: [chat], models: ['*']}"
        ),
        Just(
            "roles: {r: {operations: [chat], models: [old,\n   new]}, s: {operations: [chat], models: [x]},\n anonymous: {operations: [chat], models: ['*']}}"
        ),
    ];
    let rest = [
        "version: 1",
        "name: 'small'   # ü",
        "guards:\n  standard: {}\n  # none",
        "authn: {unsafeAnonymous: true}",
        "routes:\n- match: {path: /v1/chat/completions}\n  protocol: openai",
    ];
    let comment = prop_oneof![Just(""), Just("\n"), Just("# of what follows\n"), Just("\n# ß\n\n")];
    (models, roles, proptest::collection::vec(comment, 8), any::<u64>()).prop_map(
        move |(models, roles, comments, seed)| {
            let mut parts: Vec<String> =
                rest.iter().map(|part| (*part).to_owned()).chain([models, roles.to_owned()]).collect();
            let mut state = seed;
            for at in (1..parts.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                parts.swap(at, (state >> 33) as usize % (at + 1));
            }
            parts.retain(|part| !part.is_empty());
            let text =
                parts.iter().zip(&comments).map(|(part, comment)| format!("{comment}{part}\n")).collect::<String>();
            let own = |part: &&String| {
                !part.starts_with("models") && !part.starts_with("\"models") && !part.starts_with("roles")
            };
            (text, parts.iter().filter(own).cloned().collect())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// However a policy is written, it then says what the registry says, once and for all, and its other parts and every
    /// comment outside of `models` are there as they were.
    #[test]
    fn any_form_of_a_policy_is_edited_or_refused((text, own) in written(), names in proptest::collection::btree_map("[a-z]{1,6}", "[a-z0-9:.@-]{1,12}", 1..5)) {
        let served: BTreeMap<&String, &String> = names.iter().map(|(alias, served)| (served, alias)).collect();
        prop_assume!(served.len() == names.len() && names.keys().all(|alias| !names.values().any(|served| served.ends_with(alias))));
        let models: Vec<Value> = names.keys().map(|alias| model("m", &[(alias, "1")], &[
            (&format!("bartizan.alias.{alias}"), alias), ("bartizan.roles", if alias.len() % 2 == 0 { "r" } else { "r, s" }),
        ])).enumerate().map(|(number, mut model)| { model["name"] = format!("m{number}").into(); model }).collect();
        let versions: Vec<Value> = names.values().enumerate()
            .map(|(number, served)| version(&format!("m{number}"), "1", &[("bartizan.serves", served)])).collect();
        let server = Server::of(&json!(models), &json!(versions));
        let folder = Folder::new("models-any");
        let file = folder.file("policy.yaml", &text);
        let into = ["--into", file.to_str().unwrap(), "--roles", "r,s"];
        let (code, out, said) = sync(&server.url, &into);
        prop_assert_eq!(code, 0, "{}{}\n{}", out, said, text);
        let edited = std::fs::read_to_string(&file).unwrap();
        prop_assert!(own.iter().all(|part| edited.contains(part)), "{}\n{}", text, edited);
        let count = |text: &str| ["# of what follows", "# ß", "# behind\n    anonymous", "# none"].map(|comment| text.matches(comment).count());
        prop_assert_eq!(count(&edited), count(&text), "{}\n{}", text, edited);
        let (code, out, _) = sync(&server.url, &[&into[..], &["--check"]].concat());
        prop_assert!(code == 0 && out.ends_with("as the registry says\n"), "{}\n{}", out, edited);
        let (code, lines) = check_text(&folder, "policy.yaml", &edited);
        prop_assert!(code == 0, "{:?}\n{}", lines, edited);
        prop_assert!(names.iter().all(|(alias, _)| edited.contains(alias.as_str())));
        prop_assert!(Path::new(&file).exists());
    }
}
