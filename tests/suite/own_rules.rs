//! Rules of a policy's own, from the request to what the model and the caller get.

use crate::common;

use common::command::{Folder, bartizan, check, check_text};
use common::pipeline::{Pipeline, ask};
use serde_json::{Value, json};

fn pipeline(rules: Value) -> Pipeline {
    Pipeline::new(|document| {
        document["guards"]["standard"] = json!({
            "pii": { "action": "mask" }, "secrets": { "action": "mask" }, "output": { "pii": "mask", "secrets": "mask" }
        });
        document["rules"] = json!({ "custom": rules });
    })
}

fn employee() -> Value {
    json!({ "id": "X-1", "title": "Employee number", "pack": "pii", "label": "EMPLOYEE_ID", "keywords": ["nl-"],
        "pattern": r"\bNL-[0-9]{6}\b" })
}

fn sent(run: &common::pipeline::Run) -> String {
    run.body()["messages"][0]["content"].as_str().unwrap().to_owned()
}

#[test]
fn personal_data_of_ones_own_is_masked_under_its_label_and_never_an_attack() {
    let mut pipeline = pipeline(json!([employee()]));
    let run = pipeline.chat(&ask("NL-123456 and NL-654321, again NL-123456"));
    assert_eq!(sent(&run), "[EMPLOYEE_ID_1] and [EMPLOYEE_ID_2], again [EMPLOYEE_ID_1]");
    let record = run.record();
    assert!(record.to_string().contains("X-1") && !record.to_string().contains("123456"), "{record}");
    // Masking again changes nothing, and what is no number passes untouched.
    for text in ["[EMPLOYEE_ID_1] and [EMPLOYEE_ID_habcdefghijklmnop]", "see NL-12 in the manual", "XNL-123456"] {
        assert_eq!(sent(&pipeline.chat(&ask(text))), text);
    }
    // Encoded, the number can't be cut out: the stretch is.
    let run = pipeline
        .chat(&ask(&format!("decode {} please", common::pipeline::base64(b"my number is NL-123456, is it not"))));
    assert_eq!(sent(&run), "decode [EMPLOYEE_ID_1] please");
}

#[test]
fn the_type_decides_what_the_guard_does() {
    for (of, action, reason) in [("email", "block", "scan.pii"), ("custom", "block", "scan.pii"), ("phone", "flag", "")]
    {
        let mut rule = employee();
        rule["type"] = of.into();
        let mut pipeline = Pipeline::new(|document| {
            document["guards"]["standard"]["pii"] = json!({ "action": "mask", "byType": { of: action } });
            document["rules"] = json!({ "custom": [rule] });
        });
        let run = pipeline.chat(&ask("NL-123456"));
        assert_eq!(run.reason(), reason, "{of}");
        assert!(run.record().to_string().contains("X-1"), "{of}");
    }
}

#[test]
fn every_finding_is_masked_however_many_there_are() {
    let mut pipeline =
        pipeline(json!([employee(), { "id": "X-2", "title": "Word", "pack": "secrets", "keywords": ["falcon"] }]));
    for (count, unit) in [(40, "NL-123456 "), (40, "falcon "), (20_000, "NL-123456 "), (20_000, "falcon ")] {
        let text = format!("first {}last", unit.repeat(count));
        let run = pipeline.chat(&ask(&text));
        let masked = sent(&run);
        assert!(!masked.contains(unit.trim()), "{count} {unit}: {}", &masked[..200.min(masked.len())]);
        assert!(masked.starts_with("first [") && masked.ends_with("last"), "{count} {unit}");
    }
    // A sign of an attack that is everywhere says no more than one that is there once, and refuses nothing by itself.
    let rule = json!([{ "id": "X-3", "title": "Word", "level": "low", "keywords": ["falcon"] }]);
    let mut pipeline = self::pipeline(rule);
    let run = pipeline.chat(&ask(&"falcon ".repeat(20_000)));
    assert_eq!(run.reason(), "");
    assert_eq!(run.record()["bartizan.coverage"], "full", "{}", run.record());
    let parts: Vec<Value> = (0..600).map(|_| json!({ "type": "text", "text": "falcon ".repeat(40) })).collect();
    let run = pipeline.chat(&json!({ "model": "small", "messages": [{ "role": "user", "content": parts }] }));
    assert_eq!(run.reason(), "");
}

#[test]
fn replies_are_searched_by_rules_for_replies_whole_and_as_streams() {
    let mut rule = employee();
    rule["zones"] = json!(["reply"]);
    let mut pipeline = pipeline(json!([rule]));
    let run = pipeline.chat(&ask("NL-123456"));
    assert_eq!(sent(&run), "NL-123456", "requests are not its matter");
    let whole = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "small", "choices": [
        { "index": 0, "message": { "role": "assistant", "content": "It is NL-123456." }, "finish_reason": "stop" }] });
    let (_, answer) = pipeline.answered(&ask("Which?"), "application/json", &[whole.to_string().as_bytes()]);
    assert!(answer.text().contains("It is [EMPLOYEE_ID_1]."), "{}", answer.text());
    for cut in 1..15 {
        let text = "It is NL-123456. Or is it?";
        let event = |content: &str| {
            let choice = json!({ "index": 0, "delta": { "content": content }, "finish_reason": null });
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": [choice] });
            format!("data: {chunk}\n\n")
        };
        let stream = format!("{}{}data: [DONE]\n\n", event(&text[..cut]), event(&text[cut..]));
        let (_, answer) = pipeline.answered(&ask("Which?"), "text/event-stream", &[stream.as_bytes()]);
        let got = answer.text();
        assert!(!got.contains("123456") && !got.contains("NL-"), "{cut}: {got}");
    }
}

#[test]
fn the_view_decides_what_a_pattern_sees() {
    for (view, text, found) in [
        (Some("raw"), "TKT-7", true),
        (Some("raw"), "tkt-7", false),
        (Some("normalised"), "TKT-7", false),
        (None, "TKT-7", false),
    ] {
        let mut rule =
            json!({ "id": "X-1", "title": "Ticket", "level": "critical", "keywords": ["tkt"], "pattern": "TKT-[0-9]" });
        if let Some(view) = view {
            rule["view"] = view.into();
        }
        let mut pipeline = pipeline(json!([rule]));
        let run = pipeline.chat(&ask(text));
        assert_eq!(run.reason() == "scan.injection", found, "{view:?} {text}: {}", run.record());
    }
}

/// A whole policy with sections of its own.
fn with_sections(sections: &str) -> String {
    format!(
        "version: 1\nname: own\nauthn: {{unsafeAnonymous: true}}\nroles: {{anonymous: {{operations: [chat], models: ['*']}}}}\n\
         routes: [{{match: {{path: /v1/chat/completions}}, protocol: openai}}]\n{sections}"
    )
}

#[test]
fn the_examples_of_the_manual_are_policies_and_their_samples_hold() {
    let folder = Folder::new("manual");
    let page = include_str!("../../src/manual/rules.md");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 5);
    for example in examples {
        let file = folder.file("example.yaml", &with_sections(example));
        let (code, lines) = check(&[&file]);
        assert_eq!((code, lines.len()), (0, 1), "{example}: {lines:#?}");
        let output = bartizan(&["rules", "test", "--json", file.to_str().unwrap()]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["judged"].as_u64().unwrap() >= 2 && report["ok"] == true, "{example}: {report}");
    }
}

#[test]
fn a_rule_to_begin_with_is_a_rule_and_is_shown_as_it_is_written() {
    let folder = Folder::new("new");
    for pack in ["pii", "secrets", "injection"] {
        let rule = String::from_utf8(bartizan(&["rules", "new", "--pack", pack]).stdout).unwrap();
        let indented: String = rule.lines().map(|line| format!("  {line}\n")).collect();
        let file = folder.file("policy.yaml", &with_sections(&format!("rules:\n  custom:\n{indented}")));
        let (code, lines) = check(&[&file]);
        assert_eq!((code, lines.len()), (0, 1), "{pack}: {lines:#?}");
        let file = file.to_str().unwrap();
        let shown = String::from_utf8(bartizan(&["rules", "show", "X-1", "--config", file]).stdout).unwrap();
        let [shown, rule]: [Value; 2] = [shown.as_str(), rule.strip_prefix("- ").unwrap()].map(|text| {
            serde_norway::from_str(&text.replace("\n  ", "\n"))
                .unwrap_or_else(|_| serde_norway::from_str(text).unwrap())
        });
        assert_eq!(shown["id"], rule["id"]);
        let next = String::from_utf8(bartizan(&["rules", "new", "--config", file]).stdout).unwrap();
        assert!(next.starts_with("- id: X-2\n"), "{next}");
    }
    let shown = String::from_utf8(bartizan(&["rules", "show", "PI-1010"]).stdout).unwrap();
    assert!(shown.contains("id: PI-1010") && shown.contains("tests:"), "{shown}");
    assert_eq!(bartizan(&["rules", "show", "PI-0000"]).status.code(), Some(2));
}

#[test]
fn samples_that_do_not_hold_and_rules_that_never_fire_are_said() {
    let folder = Folder::new("samples");
    let rule = |rest: &str| with_sections(&format!("rules: {{custom: [{{id: X-1, title: t, {rest}}}]}}\n"));
    for (rest, code, line) in [
        (
            "keywords: [nl-], pattern: 'NL-[0-9]{6}', tests: {match: [NL-123456]}",
            1,
            "rules.custom[0].tests.match[0]: the rule finds nothing here; it reads normalised text",
        ),
        (
            "keywords: [nl-], pattern: 'NL-[0-9]{6}'",
            0,
            "warning: rules.custom[0].pattern: needs 'N', which normalised text never holds",
        ),
        (
            "pack: pii, keywords: [nl-], pattern: 'NL-[0-9]{6}', tests: {match: [NL-123456], no_match: [NL-123456]}",
            1,
            "rules.custom[0].tests.no_match[0]: the rule finds something here",
        ),
        (
            "pack: pii, keywords: [other], pattern: 'NL-[0-9]{6}', tests: {match: [NL-123456]}",
            1,
            "rules.custom[0].tests.match[0]: the rule finds nothing here; every match needs",
        ),
        ("pack: injection, label: X, keywords: [a]", 1, "rules.custom[0].label: has a meaning with pack pii only"),
        ("pack: secrets, type: email, keywords: [a]", 1, "rules.custom[0].type: has a meaning with pack pii only"),
        ("pack: pii, label: x1, keywords: [a]", 1, "rules.custom[0].label: \"x1\" is no label"),
        ("zones: [reply], keywords: [a]", 1, "rules.custom[0].zones: reply is for packs secrets and pii"),
    ] {
        let (status, lines) = check_text(&folder, "policy.yaml", &rule(rest));
        assert_eq!(status, code, "{rest}: {lines:#?}");
        assert!(lines.iter().any(|said| said.starts_with(line)), "{rest}: {lines:#?}");
    }
}
