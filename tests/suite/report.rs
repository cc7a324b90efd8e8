//! `bartizan audit report`: its numbers against a simple count, its page against any bytes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};

const VERDICTS: [&str; 6] = ["allow", "mask", "replace", "block", "pass", "incomplete"];
const REASONS: [&str; 5] = ["scan.injection", "quota.tokens", "quota.requests", "jwt.expired", "abuse.cooldown"];

fn report(arguments: &[&str], log: &[u8]) -> (String, String, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(["audit", "report", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A log that is refused at its beginning need not be read to its end.
    let _closed = child.stdin.take().unwrap().write_all(log);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn as_json(log: &[u8], arguments: &[&str]) -> Value {
    let (out, err, code) = report(&[&["--json"], arguments].concat(), log);
    assert!(code == 0 || out.contains("\"records\": 0"), "{err}");
    serde_json::from_str(&out).unwrap()
}

fn words(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

/// A record of a later or an earlier version may lack what is not in every record.
fn record() -> impl Strategy<Value = Value> {
    let who = (0u8..4, 0u8..3, 0u8..4);
    let finding = (words(&["PI-1", "SEC-2", "PII-3"]), words(&["block", "mask", "flag", "shadow", "exception"]));
    let findings = prop::collection::vec(finding, 0..4);
    let numbers = (0u64..5_000_000, 0u64..5_000, 0u64..9_000_000, 0u8..=100);
    let other = (any::<bool>(), words(&REASONS), words(&["usage", "unsettled", "reserved"]), 0u64..400_000);
    (words(&VERDICTS), who, findings, numbers, other).prop_map(|(verdict, who, findings, numbers, other)| {
        let (role, tenant, model) = who;
        let (latency, tokens, cost, score) = numbers;
        let (is_partial, reason, basis, time) = other;
        let mut record = json!({
            "@timestamp": at(time), "event.dataset": "bartizan.audit", "bartizan.verdict": verdict,
            "user.roles": [format!("role-{role}")], "organization.id": format!("<tenant {tenant}>"),
            "gen_ai.request.model": format!("model-{model}"), "gen_ai.usage.input_tokens": tokens,
            "bartizan.latency_us": latency, "bartizan.score": score, "bartizan.tokens.basis": basis,
            "bartizan.cost.amount": format!("{}.{:06}", cost / 1_000_000, cost % 1_000_000),
            "bartizan.cost.currency": "USD",
            "bartizan.coverage": if is_partial { "partial" } else { "full" },
            "bartizan.policy.digest": format!("digest-{role}"),
            "bartizan.findings": findings.iter().map(|(rule, action)| json!({"rule": rule, "zone": "user",
                "path": "/messages/0/content", "start": 0, "end": 1, "action": action})).collect::<Vec<_>>(),
        });
        if verdict == "block" {
            record["bartizan.reason"] = reason.into();
        }
        if is_partial {
            record["bartizan.unscanned"] = json!(["image"]);
        }
        record
    })
}

fn at(secs: u64) -> String {
    format!("2026-11-{:02}T{:02}:{:02}:{:02}.250Z", 20 + secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60)
}

/// Counts by a name of each record.
fn by(records: &[Value], name: impl Fn(&Value) -> Vec<String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    records.iter().flat_map(name).for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

fn told(group: &Value, sum: &str) -> BTreeMap<String, u64> {
    assert!(group.get("other").is_none(), "{group}");
    let rows = group["top"].as_array().unwrap().iter();
    rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row[sum].as_u64().unwrap())).collect()
}

fn one(record: &Value, key: &str) -> Vec<String> {
    record.get(key).and_then(Value::as_str).map(str::to_owned).into_iter().collect()
}

/// Tags that are closed in the order in which they were opened, and nothing that a browser would have to mend.
fn assert_well_formed(page: &str) {
    const VOID: [&str; 2] = ["meta", "link"];
    let body = page.strip_prefix("<!doctype html>\n").unwrap();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(open.last() == Some(&"style") || !text.contains('>'), "{text}");
        let end = start + rest[start..].find('>').expect("a tag that ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
        assert_ne!(name, "script");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    for reference in page.split('&').skip(1) {
        let name = reference.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "&{name}");
    }
    assert!(page.split(['"', '(']).all(|part| !part.starts_with("http:") && !part.starts_with("https:")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every sum of the JSON is that of a count that keeps all records.
    #[test]
    fn sums_are_those_of_a_simple_count(drawn in prop::collection::vec((record(), 0u8..8), 1..60)) {
        let mut log = String::new();
        let mut records = Vec::new();
        for (number, (mut record, beside)) in drawn.into_iter().enumerate() {
            record["bartizan.worker"] = format!("w{}", number % 3).into();
            record["bartizan.sequence"] = number.into();
            let line = record.to_string();
            match beside {
                0 => log += &format!("[2026-11-20 06:00:00][info] wasm log: {line}\n"),
                1 => log += &format!("{line}\r\n{line}\n"),
                2 => log += &format!("not a record\n{line} and more\n{{\"a\": 1}}\n"),
                3 => log += &format!("{{\"event.dataset\":\"bartizan.audit\",\"bartizan.verdict\":7}}\n{line}\n"),
                4 => log += &format!("{}\n", json!({ "stream": "stdout", "log": format!("{line}\n") })),
                5 => log += &format!("{line}\n{}\n", json!({ "@timestamp": "2026-11-20T06:00:01Z", "event.dataset": "bartizan.response",
                    "event.action": "ban", "event.reason": "operator", "bartizan.ban.id": number.to_string() })),
                _ => log += &format!("{line}\n"),
            }
            records.push((record, beside));
        }
        let besides = |wanted| records.iter().filter(|(_, beside)| *beside == wanted).count();
        let json = as_json(log.as_bytes(), &["--top", "1000"]);
        let lines = &json["lines"];
        prop_assert_eq!(lines["duplicates"].as_u64().unwrap(), besides(1) as u64);
        prop_assert_eq!(lines["foreign"].as_u64().unwrap(), 2 * besides(2) as u64);
        prop_assert_eq!(lines["broken"].as_u64().unwrap(), besides(3) as u64);
        prop_assert_eq!(lines["responses"].as_u64().unwrap(), besides(5) as u64);
        prop_assert_eq!(told(&json["counts"]["responses"], "count").values().sum::<u64>(), besides(5) as u64);
        let records: Vec<Value> = records.into_iter().map(|(record, _)| record).collect();
        prop_assert_eq!(lines["records"].as_u64().unwrap(), records.len() as u64);

        let verdicts = by(&records, |record| one(record, "bartizan.verdict"));
        for verdict in VERDICTS {
            prop_assert_eq!(json["verdicts"][verdict].as_u64().unwrap(), verdicts.get(verdict).copied().unwrap_or(0));
            let columns = json["timeline"].as_array().unwrap().iter();
            prop_assert_eq!(columns.map(|column| column["verdicts"][verdict].as_u64().unwrap()).sum::<u64>(),
                verdicts.get(verdict).copied().unwrap_or(0));
        }
        let groups =
            [("reasons", "bartizan.reason"), ("basis", "bartizan.tokens.basis"), ("coverage", "bartizan.coverage")];
        for (group, key) in groups {
            prop_assert_eq!(told(&json["counts"][group], "count"), by(&records, |record| one(record, key)));
        }
        let tenants = by(&records, |record| one(record, "organization.id"));
        prop_assert_eq!(told(&json["traffic"]["tenants"], "requests"), tenants);
        let roles = by(&records, |record| vec![record["user.roles"][0].as_str().unwrap().to_owned()]);
        prop_assert_eq!(told(&json["traffic"]["roles"], "requests"), roles);
        let digests = by(&records, |record| one(record, "bartizan.policy.digest"));
        prop_assert_eq!(told(&json["versions"]["policies"], "count"), digests);
        let rules = by(&records, |record| {
            record["bartizan.findings"].as_array().unwrap().iter().flat_map(|finding| one(finding, "rule")).collect()
        });
        prop_assert_eq!(told(&json["rules"], "findings"), rules);
        let tokens = |model: &str| records.iter().filter(|record| record["gen_ai.request.model"] == model)
            .map(|record| record["gen_ai.usage.input_tokens"].as_u64().unwrap()).sum::<u64>();
        for (model, sum) in told(&json["traffic"]["models"], "inputTokens") {
            prop_assert_eq!(sum, tokens(&model));
        }
        let micros: u64 = records.iter().map(|record| {
            record["bartizan.cost.amount"].as_str().unwrap().replace('.', "").parse::<u64>().unwrap()
        }).sum();
        let total = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        prop_assert_eq!(json["cost"]["USD"]["total"]["amount"].as_str().unwrap(), total);
        let most = records.iter().map(|record| record["bartizan.latency_us"].as_u64().unwrap()).max().unwrap();
        prop_assert_eq!(json["latencyUs"]["most"].as_u64().unwrap(), most);

        // Few rows and one for the others say the same.
        let json = as_json(log.as_bytes(), &["--top", "1"]);
        for group in json["traffic"].as_object().unwrap().values() {
            let shown: u64 = group["top"].as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
            prop_assert_eq!(shown + group["other"]["requests"].as_u64().unwrap_or(0), records.len() as u64);
        }
        assert_well_formed(&report(&["--html", "-"], log.as_bytes()).0);
    }

    /// A value of a record never becomes part of the page.
    #[test]
    fn no_value_is_more_than_text(value in hostile(), keys in prop::collection::vec(0usize..HOSTILE.len(), 1..8)) {
        let mut record = json!({ "event.dataset": "bartizan.audit", "bartizan.verdict": "block" });
        for key in keys {
            record[HOSTILE[key].0] = HOSTILE[key].1(&value);
        }
        let (page, err, code) = report(&["--html", "-"], format!("{record}\n").as_bytes());
        prop_assert_eq!(code, 0, "{}", err);
        assert_well_formed(&page);
    }

    /// Any bytes give a page.
    #[test]
    fn any_bytes_give_a_page(mut bytes in prop::collection::vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>()) {
        let line = json!({ "event.dataset": "bartizan.audit", "bartizan.verdict": "allow", "bartizan.worker": "w",
            "@timestamp": at(7), "user.roles": ["a"], "bartizan.sequence": 1 }).to_string();
        let place = cut.index(bytes.len() + 1);
        bytes.splice(place..place, line.bytes());
        assert_well_formed(&report(&["--html", "-"], &bytes).0);
    }
}

type Form = fn(&str) -> Value;

/// Keys whose values are shown, and the form that a value has there.
const HOSTILE: [(&str, Form); 18] = [
    ("bartizan.verdict", |value| value.into()),
    ("bartizan.reason", |value| value.into()),
    ("@timestamp", |value| value.into()),
    ("user.hash", |value| value.into()),
    ("user.roles", |value| json!([value])),
    ("organization.id", |value| value.into()),
    ("gen_ai.request.model", |value| value.into()),
    ("gen_ai.response.model", |value| value.into()),
    ("bartizan.cost.currency", |value| value.into()),
    ("bartizan.capture", |value| value.into()),
    ("bartizan.shadow", |value| json!([value])),
    ("bartizan.unscanned", |value| json!([value])),
    ("bartizan.opinions", |value| json!([{"name": value, "outcome": value, "ms": 1}])),
    ("bartizan.findings", |value| json!([{"rule": value, "action": value}])),
    ("bartizan.budget.crossed", |value| json!([{"role": value, "per": value, "counts": value, "share": 80}])),
    ("bartizan.policy.digest", |value| value.into()),
    ("bartizan.worker", |value| value.into()),
    ("url.path", |value| value.into()),
];

fn hostile() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "<script>", "</td>", "\"", "'", "&", "&amp;", "-->", "]]>", "<", ">", "\0", "\u{202e}", "</style>", "é", "a",
        "http://x",
    ]);
    prop_oneof![prop::collection::vec(bits, 0..12).prop_map(|bits| bits.concat()), any::<String>()]
}

/// More names than are kept apart: the sums stay right, and the report says that it does not know all names.
#[test]
fn names_beyond_the_bound_share_a_row() {
    let mut log = String::new();
    for number in 0..12_000 {
        let record = json!({ "event.dataset": "bartizan.audit", "bartizan.verdict": "allow",
            "user.hash": format!("{number:032x}") });
        log += &format!("{record}\n");
    }
    let json = as_json(log.as_bytes(), &[]);
    let callers = &json["traffic"]["callers"];
    assert_eq!((callers["names"].as_u64(), callers["atLeast"].as_bool()), (Some(10_000), Some(true)));
    assert_eq!(callers["other"]["requests"], 11_990);
}

#[test]
fn a_range_of_times_leaves_the_others_out() {
    let record = |number: u64| {
        json!({ "event.dataset": "bartizan.audit", "bartizan.verdict": "allow", "@timestamp": at(number * 3_600),
            "bartizan.worker": "w", "bartizan.sequence": number })
    };
    let log: String = (0..10).map(|number| format!("{}\n", record(number))).collect();
    let json = as_json(log.as_bytes(), &["--since", "2026-11-20T02:00:00Z", "--until", "2026-11-20T05:00:00Z"]);
    assert_eq!((&json["lines"]["records"], &json["lines"]["outside"]), (&json!(3), &json!(7)));
    assert_eq!(json["period"]["first"], "2026-11-20T02:00:00Z");
}

/// What has no end is counted as that, and a lost number is seen.
#[test]
fn provisional_records_and_gaps_are_told() {
    let record = |verdict: &str, sequence: u64| {
        json!({ "event.dataset": "bartizan.audit", "bartizan.verdict": verdict, "http.request.id": format!("r{sequence}"),
            "bartizan.worker": if verdict == "incomplete" { "" } else { "w" }, "bartizan.sequence": sequence })
    };
    let log = [record("allow", 1), record("incomplete", 0), record("allow", 2), record("allow", 5)];
    let log: String = log.iter().map(|record| format!("{record}\n")).collect();
    let json = as_json(log.as_bytes(), &[]);
    assert_eq!((&json["verdicts"]["incomplete"], &json["workers"]["top"][0]["missing"]), (&json!(1), &json!(2)));
}

#[test]
fn a_log_without_records_is_no_report() {
    let (_, err, code) = report(&["--json"], b"nothing here\n");
    assert_eq!(code, 2);
    assert!(err.contains("no audit record was counted") && err.contains("1 of 1 lines are no audit records"), "{err}");
}

/// `explain --html` shows what the state machine sends: the masked body to the model, the refusal to the caller.
#[test]
fn an_explanation_shows_what_is_sent() {
    let folder = std::env::temp_dir().join(format!("bartizan-report-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (policy, request) = (folder.join("policy.json"), folder.join("request.json"));
    let role = |guard: &str| json!({ "operations": ["chat"], "models": ["*"], "guard": guard });
    let document = json!({
        "version": 1, "name": "sent", "authn": { "unsafeAnonymous": true },
        "roles": { "anonymous": role("masks"), "strict": role("blocks"), "also-masked": role("masks"), "loose": role("flags") },
        "guards": {
            "masks": { "pii": { "types": ["email"], "action": "mask" } },
            "blocks": { "pii": { "types": ["email"], "action": "block" } },
            "flags": { "pii": { "types": ["email"], "action": "flag" } },
        },
        "routes": [{ "match": { "path": "/v1/chat/completions" }, "protocol": "openai" }],
    });
    std::fs::write(&policy, document.to_string()).unwrap();
    let body =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "Write to jane.doe@corp.example.org <b>" }] });
    std::fs::write(&request, body.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(["explain", "--html", "-", "--config"])
        .arg(&policy)
        .arg("--request")
        .arg(&request)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert_well_formed(&page);
    let sent = page.split("<h2>What is sent</h2>").nth(1).expect("what is sent");
    let parts: Vec<&str> = sent.split("class=\"sent\"").skip(1).collect();
    let part =
        |title: &str| *parts.iter().find(|part| part.contains(title)).unwrap_or_else(|| panic!("{title}: {sent}"));
    let masked = part("The model gets a changed body");
    assert!(
        masked.contains("[EMAIL_1] &lt;b&gt;") && masked.contains("anonymous") && masked.contains("also-masked"),
        "{masked}"
    );
    assert!(!masked.contains("jane.doe"), "{masked}");
    let refused = part("The caller gets 400");
    assert!(refused.contains("x-bartizan-reason: scan.pii") && refused.contains("strict"), "{refused}");
    assert!(part("as it came").contains("loose"));
    assert_eq!(parts.len(), 3);
    // Each link goes to the place of its finding.
    let links: Vec<&str> = page.split("href=\"#t").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(!links.is_empty() && links.iter().all(|to| page.contains(&format!("id=\"t{to}\""))), "{links:?}");
}

/// The page of a few records, as a whole.
#[test]
fn a_small_page_is_as_it_was() {
    let record = |verdict: &str, number: u64| {
        json!({ "event.dataset": "bartizan.audit", "bartizan.verdict": verdict, "@timestamp": at(number * 600),
            "bartizan.worker": "w1", "bartizan.sequence": number, "bartizan.latency_us": 100 * number,
            "user.roles": ["<analyst>"], "gen_ai.request.model": "small" })
    };
    let mut refused = record("block", 3);
    refused["bartizan.reason"] = "scan.injection".into();
    let log = format!("{}\n{}\n{refused}\n", record("allow", 1), record("mask", 2));
    let (page, err, _) = report(&["--html", "-"], log.as_bytes());
    assert_eq!(err, "");
    let body = page.split_once("</style>").unwrap().1.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(body);
}
