//! Money: prices are exact, budgets are held and settled, and what the reply's model costs is what counts.

use crate::common;

use std::process::Command;
use std::time::Duration;

use bartizan::authn::RoleIndex;
use bartizan::document::{self, Counts, Errors, KeyPath, Kind, OnUnavailable, Per, Reach};
use bartizan::enums::Mode;
use bartizan::host::{MemoryHost, Timestamp};
use bartizan::quota::price::{Prices, decimal, micros};
use bartizan::quota::{QuotaPolicy, Quotas, Scope, SharedKey, Tokens, Weights};
use bartizan::transaction::{Event, Reads, Reply, Step, Transaction};
use common::pipeline::{Pipeline, ask, headers};
use proptest::prelude::*;
use serde_json::{Value, json};

fn prices(written: Value) -> Prices {
    let written: document::Prices = serde_json::from_value(written).unwrap();
    let mut errors = Errors::default();
    let prices = Prices::compile(&written, &KeyPath::root().key("prices"), &mut errors);
    assert_eq!(errors.into_vec(), []);
    prices.unwrap()
}

fn table() -> Value {
    json!({ "currency": "USD", "models": [
        { "match": "small", "input": "2.50", "cachedInput": "1.25", "output": "10", "reasoning": "12.345678" },
        { "match": "dear*", "input": "25", "output": "100" },
    ] })
}

/// A pipeline with these quotas, and models of which one has no price.
fn pipeline(quotas: Value) -> Pipeline {
    Pipeline::new(|d| {
        d["prices"] = table();
        d["roles"]["analyst"]["models"] = json!(["small", "dear", "unknown"]);
        d["roles"]["analyst"]["quotas"] = quotas;
    })
}

fn budget(cost: &str) -> Value {
    json!([{ "per": "tenant", "cost": cost, "window": "1h" }])
}

fn begin(pipeline: &mut Pipeline, model: &str, output: u64) -> Result<Transaction, Reply> {
    let token = pipeline.token(&["analyst"], 86_400);
    let (mut exchange, _) = pipeline.begin_with(&token, "/v1/chat/completions");
    let mut body = ask("What is a bartizan?");
    (body["model"], body["max_tokens"]) = (model.into(), output.into());
    let body = body.to_string().into_bytes();
    match exchange.step(Event::RequestBody(body), &mut pipeline.vm, &mut pipeline.host) {
        Step::Release(_) => Ok(exchange),
        Step::Deny(reply) => {
            exchange.finish(&mut pipeline.vm, &mut pipeline.host);
            Err(reply)
        }
        other => panic!("{other:?}"),
    }
}

/// Answers with this status and body; what the record says.
fn end(pipeline: &mut Pipeline, mut exchange: Transaction, status: &str, reply: &Value) -> Value {
    let head = headers(&[(":status", status), ("content-type", "application/json")]);
    exchange.step(Event::ResponseHeaders { headers: &head, end: false }, &mut pipeline.vm, &mut pipeline.host);
    if exchange.reads_response() == Reads::Whole {
        let body = reply.to_string().into_bytes();
        exchange.step(Event::ResponseBody(body), &mut pipeline.vm, &mut pipeline.host);
    }
    serde_json::from_str(&exchange.finish(&mut pipeline.vm, &mut pipeline.host).record).unwrap()
}

fn answer(model: &str, usage: Value) -> Value {
    json!({ "model": model, "usage": usage, "choices": [
        { "index": 0, "message": { "role": "assistant", "content": "A small turret." }, "finish_reason": "stop" }] })
}

fn amount(record: &Value) -> u64 {
    micros(record["bartizan.cost.amount"].as_str().unwrap()).unwrap()
}

#[test]
fn what_the_usage_says_is_charged_part_by_part_and_rounded_once() {
    let mut pipeline = pipeline(budget("1 USD"));
    let usage = json!({ "prompt_tokens": 1000, "completion_tokens": 101,
        "prompt_tokens_details": { "cached_tokens": 400 }, "completion_tokens_details": { "reasoning_tokens": 7 } });
    let open = begin(&mut pipeline, "small", 100).unwrap();
    let record = end(&mut pipeline, open, "200", &answer("small", usage));
    // 600 x 2.5 + 400 x 1.25 + 94 x 10 + 7 x 12.345678 = 3026.419746 millionths.
    assert_eq!(record["bartizan.cost.amount"], "0.003027");
    assert_eq!((&record["bartizan.cost.currency"], &record["bartizan.cost.basis"]), (&json!("USD"), &json!("usage")));
    assert_eq!(record["gen_ai.usage.reasoning.output_tokens"], 7);
    assert!(record.get("gen_ai.response.model").is_none());
    // How much of it is reasoning is not told: all of it may be.
    let open = begin(&mut pipeline, "small", 100).unwrap();
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 10 });
    let record = end(&mut pipeline, open, "200", &answer("small", usage));
    assert_eq!(record["bartizan.cost.amount"], "0.000149", "25 + 123.46");
}

#[test]
fn the_model_that_was_billed_counts() {
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "completion_tokens_details": { "reasoning_tokens": 0 } });
    for (model, cost, named) in [
        ("small", "0.000350", false),
        ("dear", "0.003500", true),
        ("small-2026", "0.000350", true),
        ("", "0.000350", false),
    ] {
        let mut pipeline = pipeline(budget("1 USD"));
        let open = begin(&mut pipeline, "small", 100).unwrap();
        let record = end(&mut pipeline, open, "200", &answer(model, usage.clone()));
        assert_eq!(record["bartizan.cost.amount"], cost, "{model}");
        assert_eq!(record.get("gen_ai.response.model").is_some(), named, "{model}");
    }
}

#[test]
fn a_model_without_a_price_is_refused_under_a_budget_and_nowhere_else() {
    let refused = begin(&mut pipeline(budget("1 USD")), "unknown", 10).unwrap_err();
    assert_eq!((refused.status, refused.reason), (403, "quota.unpriced"));
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!((&body["error"]["param"], &body["error"]["code"]), (&json!("model"), &json!("model_not_found")));
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10 });
    // No budget: it is noted.
    let mut without = pipeline(json!([{ "per": "tenant", "tokens": 1000, "window": "1h" }]));
    let open = begin(&mut without, "unknown", 10).unwrap();
    let record = end(&mut without, open, "200", &answer("unknown", usage.clone()));
    assert_eq!(record["bartizan.cost.basis"], "unpriced");
    assert!(record.get("bartizan.cost.amount").is_none());
    // In shadow it is rehearsed.
    let mut shadow = pipeline(json!([{ "per": "tenant", "cost": "1 USD", "window": "1h", "mode": "shadow" }]));
    let open = begin(&mut shadow, "unknown", 10).unwrap();
    let record = end(&mut shadow, open, "200", &answer("unknown", usage.clone()));
    assert_eq!(record["bartizan.shadow"], json!(["quota.unpriced"]));
    // The policy wants it so.
    let mut free = Pipeline::new(|d| {
        d["prices"] = table();
        d["prices"]["onUnpriced"] = "free".into();
        d["roles"]["analyst"]["models"] = json!(["unknown"]);
        d["roles"]["analyst"]["quotas"] = budget("0.000001 USD");
    });
    let open = begin(&mut free, "unknown", 10).unwrap();
    assert_eq!(end(&mut free, open, "200", &answer("unknown", usage))["bartizan.cost.basis"], "unpriced");
}

#[test]
fn a_budget_holds_what_a_request_may_cost_and_takes_what_it_cost() {
    // 100 output tokens at the dearer price are 1235 millionths.
    let mut pipeline = pipeline(budget("0.004 USD"));
    let open: Vec<Transaction> = (0..3).map(|_| begin(&mut pipeline, "small", 100).unwrap()).collect();
    let refused = begin(&mut pipeline, "small", 100).unwrap_err();
    assert_eq!((refused.status, refused.reason), (429, "quota.cost"));
    assert!(!refused.headers.iter().any(|(name, _)| name.starts_with("x-ratelimit")));
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(body["error"]["type"], "insufficient_quota");
    // Retries and failover are below the filter: one request, one answer, one charge.
    let cheap = answer("small", json!({ "prompt_tokens": 10, "completion_tokens": 1 }));
    for (exchange, (status, cost)) in open.into_iter().zip([("200", 38), ("503", 0), ("200", 38)]) {
        let record = end(&mut pipeline, exchange, status, &cheap);
        assert_eq!(amount(&record), cost);
        let reserved = micros(record["bartizan.cost.reserved"].as_str().unwrap()).unwrap();
        assert!((1240..1400).contains(&reserved), "{reserved}");
    }
    for _ in 0..3 {
        drop(begin(&mut pipeline, "small", 100).unwrap());
    }
    assert_eq!(begin(&mut pipeline, "small", 100).unwrap_err().reason, "quota.cost");
    assert_eq!(begin(&mut pipeline, "dear", 100).unwrap_err().reason, "quota.tooLarge");
}

#[test]
fn a_share_that_is_reached_is_told_once() {
    let quotas = json!([{ "per": "tenant", "cost": "0.01 USD", "window": "1h", "alertAt": [80, 50, 100] }]);
    let mut pipeline = pipeline(quotas);
    let mut told = Vec::new();
    for _ in 0..8 {
        let Ok(open) = begin(&mut pipeline, "small", 10) else { break };
        let usage = json!({ "prompt_tokens": 100, "completion_tokens": 100, "completion_tokens_details": { "reasoning_tokens": 0 } });
        let record = end(&mut pipeline, open, "200", &answer("small", usage));
        for one in record["bartizan.budget.crossed"].as_array().into_iter().flatten() {
            assert_eq!(
                (&one["role"], &one["per"], &one["counts"]),
                (&json!("analyst"), &json!("tenant"), &json!("cost"))
            );
            told.push(one["share"].as_u64().unwrap());
        }
    }
    // Eight times 0.00125.
    assert_eq!(told, [50, 80, 100]);
}

#[test]
fn weights_make_cached_and_reasoning_tokens_cheaper() {
    let weights = json!({ "cached": 0.1, "reasoning": 0.5 });
    let mut pipeline = pipeline(json!([{ "per": "tenant", "tokens": 2000, "window": "1h", "weights": weights }]));
    let usage = json!({ "prompt_tokens": 1000, "completion_tokens": 100,
        "prompt_tokens_details": { "cached_tokens": 905 }, "completion_tokens_details": { "reasoning_tokens": 50 } });
    let open = begin(&mut pipeline, "small", 100).unwrap();
    end(&mut pipeline, open, "200", &answer("small", usage));
    let mut open = begin(&mut pipeline, "small", 1).unwrap();
    let head = headers(&[(":status", "500"), ("content-type", "text/plain")]);
    let last = Event::ResponseHeaders { headers: &head, end: true };
    let Step::Release(edit) = open.step(last, &mut pipeline.vm, &mut pipeline.host) else { panic!() };
    let left =
        edit.set.iter().find(|(name, _)| *name == "x-ratelimit-remaining-tokens").unwrap().1.parse::<u64>().unwrap();
    let record: Value = serde_json::from_str(&open.finish(&mut pipeline.vm, &mut pipeline.host).record).unwrap();
    let held = record["bartizan.tokens.reserved_input"].as_u64().unwrap() + 1;
    // 95 + 90.5 + 50 + 25, rounded up once.
    assert_eq!(left + held, 2000 - 261);
}

/// Its answer is fetched later, and nobody sees here what it used.
#[test]
fn a_response_that_is_made_in_the_background_costs_what_was_held() {
    let mut pipeline = Pipeline::new(|d| {
        d["prices"] = table();
        d["roles"]["analyst"]["operations"] = json!(["responses"]);
        d["roles"]["analyst"]["quotas"] = budget("1 USD");
        d["routes"] = json!([{ "match": { "pathPrefix": "/v1/" }, "protocol": "openai" }]);
    });
    let token = pipeline.token(&["analyst"], 86_400);
    for background in [true, false] {
        let (mut exchange, _) = pipeline.begin_with(&token, "/v1/responses");
        let body = json!({ "model": "small", "input": "What is a bartizan?", "max_output_tokens": 100,
            "background": background });
        let step =
            exchange.step(Event::RequestBody(body.to_string().into_bytes()), &mut pipeline.vm, &mut pipeline.host);
        assert!(matches!(step, Step::Release(_)), "{step:?}");
        let reply = json!({ "id": "resp_1", "object": "response", "model": "small", "usage": null, "output": [],
            "status": if background { "queued" } else { "incomplete" } });
        let record = end(&mut pipeline, exchange, "200", &reply);
        let (reserved, basis) = (&record["bartizan.cost.reserved"], &record["bartizan.cost.basis"]);
        assert_eq!(
            (basis == "reserved", *reserved == record["bartizan.cost.amount"]),
            (background, background),
            "{record}"
        );
    }
    // A server that answers at once tells what it used.
    let (mut exchange, _) = pipeline.begin_with(&token, "/v1/responses");
    let body =
        json!({ "model": "small", "input": "What is a bartizan?", "max_output_tokens": 100, "background": true });
    exchange.step(Event::RequestBody(body.to_string().into_bytes()), &mut pipeline.vm, &mut pipeline.host);
    let usage = json!({ "input_tokens": 100, "output_tokens": 10, "output_tokens_details": { "reasoning_tokens": 0 } });
    let reply = json!({ "id": "resp_1", "object": "response", "model": "small", "status": "completed", "usage": usage,
        "output": [{ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "A turret." }] }] });
    let record = end(&mut pipeline, exchange, "200", &reply);
    assert_eq!(
        (&record["bartizan.cost.amount"], &record["bartizan.cost.basis"]),
        (&json!("0.000350"), &json!("usage"))
    );
}

/// A router behind the proxy may answer with any model that the request names.
#[test]
fn a_request_that_names_several_models_holds_what_the_dearest_costs() {
    let ask_for = |pipeline: &mut Pipeline, models: Value| {
        let token = pipeline.token(&["analyst"], 86_400);
        let (mut exchange, _) = pipeline.begin_with(&token, "/v1/chat/completions");
        let mut body = ask("What is a bartizan?");
        (body["model"], body["models"], body["max_tokens"]) = ("small".into(), models, 100.into());
        let body = body.to_string().into_bytes();
        match exchange.step(Event::RequestBody(body), &mut pipeline.vm, &mut pipeline.host) {
            Step::Release(_) => Ok(exchange),
            Step::Deny(reply) => Err(reply.reason),
            other => panic!("{other:?}"),
        }
    };
    let mut pipeline = pipeline(budget("1 USD"));
    let open = ask_for(&mut pipeline, json!(["small", "dear"])).unwrap();
    let record = end(&mut pipeline, open, "504", &json!({}));
    // 100 output tokens of the dear one are 10,000 millionths.
    assert!(amount(&record) >= 10_000, "{record}");
    let open = ask_for(&mut pipeline, json!(["small", "dear"])).unwrap();
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "completion_tokens_details": { "reasoning_tokens": 0 } });
    assert_eq!(amount(&end(&mut pipeline, open, "200", &answer("small", usage))), 350, "the cheap one answered");
    assert_eq!(ask_for(&mut pipeline, json!(["small", "unknown"])).unwrap_err(), "quota.unpriced");
}

/// OpenAI's answers name a dated model: it is one of the table's, and no role lists it.
#[test]
fn a_dated_name_in_the_reply_is_counted_and_priced_as_the_model_that_it_is() {
    let prices = json!({ "currency": "USD", "models": [
        { "match": "small*", "input": "2.50", "output": "10" },
        { "match": "*", "input": "100", "output": "100" },
    ] });
    let mut pipeline = Pipeline::new(|d| {
        d["prices"] = prices.clone();
        d["roles"]["analyst"]["models"] = json!(["small"]);
        d["roles"]["analyst"]["quotas"] = json!([]);
    });
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10 });
    let open = begin(&mut pipeline, "small", 100).unwrap();
    let mut open = open;
    let head = headers(&[(":status", "200"), ("content-type", "application/json")]);
    open.step(Event::ResponseHeaders { headers: &head, end: false }, &mut pipeline.vm, &mut pipeline.host);
    let body = answer("small-2026-01-31", usage).to_string().into_bytes();
    open.step(Event::ResponseBody(body), &mut pipeline.vm, &mut pipeline.host);
    let finished = open.finish(&mut pipeline.vm, &mut pipeline.host);
    let names: Vec<&str> = finished.increments.iter().map(|one| one.name.as_str()).collect();
    assert!(names.contains(&"bartizan.model_cost_micros.model.small"), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("model.other")), "{names:?}");
    let record: Value = serde_json::from_str(&finished.record).unwrap();
    assert_eq!(record["gen_ai.response.model"], "small-2026-01-31");
    assert_eq!(amount(&record), 350);
    let folder = common::command::Folder::new("dated");
    let log = folder.file("log", &finished.record);
    let policy = folder.file("policy.json", &pipeline.document.to_string());
    let sum = cost(&[log.to_str().unwrap(), "--prices", policy.to_str().unwrap()]);
    assert_eq!(sum["total"], "0.000350");
    // A name that is only known by its hash is no name.
    let hashed = finished.record.replace("small-2026-01-31", &"0123456789abcdef".repeat(2));
    let log = folder.file("hashed", &hashed);
    let sum = cost(&[log.to_str().unwrap(), "--prices", policy.to_str().unwrap()]);
    assert_eq!((&sum["total"], &sum["byModel"]), (&json!("0.000350"), &json!({ "small": "0.000350" })));
}

#[test]
fn a_record_that_is_in_two_logs_is_one_request_and_a_broken_one_has_no_cost() {
    let mut pipeline = pipeline(budget("1 USD"));
    let mut records = Vec::new();
    for _ in 0..2 {
        let open = begin(&mut pipeline, "small", 100).unwrap();
        let usage = json!({ "prompt_tokens": 100, "completion_tokens": 1, "completion_tokens_details": { "reasoning_tokens": 0 } });
        records.push(end(&mut pipeline, open, "200", &answer("small", usage)));
    }
    let lines = |records: &[Value]| records.iter().map(|record| format!("{record}\n")).collect::<String>();
    let folder = common::command::Folder::new("twice");
    let (access, own) = (folder.file("access.log", &lines(&records)), folder.file("envoy.log", &lines(&records)));
    let broken = [("amount", "1,0"), ("amount", "+1.0"), ("amount", "-1.0"), ("currency", "dollars"), ("currency", "")];
    let broken: Vec<Value> = broken
        .iter()
        .map(|(key, value)| {
            let mut record = records[0].clone();
            record["bartizan.worker"] = Value::Null;
            record[format!("bartizan.cost.{key}")] = (*value).into();
            record
        })
        .collect();
    let broken = folder.file("broken.log", &lines(&broken));
    let sum = cost(&[access.to_str().unwrap(), own.to_str().unwrap(), broken.to_str().unwrap()]);
    assert_eq!((&sum["total"], &sum["requests"], &sum["unpriced"]), (&json!("0.000520"), &json!(2), &json!(5)));
}

/// A log may be of anybody's making, and is shown on a terminal.
#[test]
fn a_report_shows_no_control_characters() {
    let folder = common::command::Folder::new("controls");
    let record = json!({ "event.dataset": "bartizan.audit", "bartizan.cost.amount": "1.000000",
        "bartizan.cost.currency": "USD", "gen_ai.request.model": "a\u{1b}]0;x\u{7}\n\u{202e}b" });
    let log = folder.file("log", &record.to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_bartizan")).arg("cost").arg(log).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && shown.contains("1.000000"), "{shown:?}");
    assert!(!shown.chars().any(|c| c != '\n' && c.is_control() || c == '\u{202e}'), "{shown:?}");
}

#[test]
fn tiers_and_days_begin_where_they_say() {
    let prices = prices(json!({ "currency": "EUR", "models": [
        { "match": "m", "input": "1", "output": "0", "until": "2026-03-01" },
        { "match": "m", "input": "2", "cachedInput": "0.5", "output": "0", "from": "2026-03-01",
          "tiers": [{ "overInputTokens": 1000, "input": "4", "output": "0" }, { "overInputTokens": 2000, "input": "8", "output": "0" }] },
        { "match": "*", "input": "0", "output": "0", "image": "0.0425" },
    ] }));
    // 2026-03-01T00:00:00Z
    let day = 1_772_323_200;
    let cost = |model: &str, secs: u64, used: Tokens| {
        prices.cost(&prices.bill(model, Timestamp::from_secs(secs)), None, &used, true).unwrap()
    };
    for (secs, input, expected) in [
        (day - 1, 1000, 1000),
        (day, 1000, 2000),
        (day, 1001, 4004),
        (day, 2000, 8000),
        (day, 2001, 16_008),
        (4_000_000_000, 1, 2),
    ] {
        assert_eq!(cost("m", secs, Tokens::of(input, 0)), expected, "{input} at {secs}");
    }
    // What a tier does not say costs as its input.
    assert_eq!(cost("m", day, Tokens { cached: 1000, ..Tokens::of(1000, 0) }), 500);
    assert_eq!(cost("m", day, Tokens { cached: 1001, ..Tokens::of(1001, 0) }), 4004);
    assert_eq!(cost("other", day, Tokens { images: 3, ..Tokens::default() }), 127_500);
    assert!(!prices_of_none().bill("m", Timestamp::from_secs(day)).is_priced());
}

fn prices_of_none() -> Prices {
    prices(json!({ "currency": "EUR", "models": [{ "match": "x", "input": "1", "output": "1" }] }))
}

#[test]
fn amounts_are_read_exactly_or_not_at_all() {
    for (text, amount) in [
        ("0", 0),
        ("50", 50_000_000),
        ("0.0425", 42_500),
        ("2.50", 2_500_000),
        ("0.000001", 1),
        ("1000000", 1_000_000_000_000),
    ] {
        assert_eq!(micros(text), Some(amount), "{text}");
    }
    for wrong in ["", ".5", "5.", "-1", "+1", "1e3", "1,5", "0.0000001", "1000000.000001", "1 ", "٣", "99999999"] {
        assert_eq!(micros(wrong), None, "{wrong}");
    }
    assert_eq!(decimal(u64::MAX), "18446744073709.551615");
}

fn cost(arguments: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bartizan")).arg("cost").args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_command_line_adds_up_records_and_prices_them_anew() {
    let mut pipeline = pipeline(budget("1 USD"));
    let mut log = String::new();
    for (model, output) in [("small", 1), ("small", 3), ("dear", 1)] {
        let open = begin(&mut pipeline, model, 100).unwrap();
        let usage = json!({ "prompt_tokens": 100, "completion_tokens": output, "completion_tokens_details": { "reasoning_tokens": 0 } });
        log += &format!("[2026-11-28] wasm log: {}\n", end(&mut pipeline, open, "200", &answer(model, usage)));
    }
    log += "{\"event.dataset\": \"another\", \"bartizan.cost.amount\": \"5.0\"}\nno record\n";
    let folder = std::env::temp_dir().join(format!("bartizan-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (records, policy) = (folder.join("log"), folder.join("policy.json"));
    std::fs::write(&records, log).unwrap();
    let mut document = pipeline.document.clone();
    document["prices"] = json!({ "currency": "EUR", "models": [{ "match": "small", "input": "1", "output": "0" }] });
    document["roles"]["analyst"]["quotas"] = json!([]);
    std::fs::write(&policy, document.to_string()).unwrap();
    let records = records.to_str().unwrap();
    let sum = cost(&[records]);
    assert_eq!((&sum["total"], &sum["currency"], &sum["requests"]), (&json!("0.003140"), &json!("USD"), &json!(3)));
    assert_eq!(sum["byModel"], json!({ "dear": "0.002600", "small": "0.000540" }));
    assert_eq!(sum["byDay"], json!({ "2027-01-15": "0.003140" }));
    assert_eq!(sum["byRole"], json!({ "analyst": "0.003140" }));
    let sum = cost(&[records, "--prices", policy.to_str().unwrap()]);
    assert_eq!((&sum["total"], &sum["currency"], &sum["unpriced"]), (&json!("0.000200"), &json!("EUR"), &json!(1)));
    std::fs::remove_dir_all(folder).unwrap();
}

proptest! {
    /// Against fractions: the sum of the parts, rounded up once.
    #[test]
    fn a_cost_is_the_exact_sum_rounded_up(
        rates in prop::array::uniform4(0u64..=1_000_000_000_000),
        image in 0u64..=1_000_000_000_000,
        counts in prop::array::uniform5(0u64..1_000_000_000_000),
        small in any::<bool>(),
    ) {
        let [input, cached, output, reasoning] = rates.map(decimal);
        let prices = prices(json!({ "currency": "USD", "models": [{ "match": "m", "input": input, "cachedInput": cached,
            "output": output, "reasoning": reasoning, "image": decimal(image) }] }));
        let [plain, from_cache, written, thought, images] = counts.map(|count| if small { count % 1000 } else { count });
        let used = Tokens { cached: from_cache, reasoning: thought, images,
            ..Tokens::of(plain + from_cache, written + thought) };
        let cost = prices.cost(&prices.bill("m", Timestamp::from_secs(0)), None, &used, true).unwrap();
        // In millionths of a millionth, as fractions of 10^12.
        let exact: u128 = [(plain, rates[0]), (from_cache, rates[1]), (written, rates[2]), (thought, rates[3])]
            .into_iter()
            .map(|(count, rate)| u128::from(count) * u128::from(rate))
            .sum::<u128>() + u128::from(images) * u128::from(image) * 1_000_000;
        let whole = exact / 1_000_000 + u128::from(!exact.is_multiple_of(1_000_000));
        prop_assert_eq!(u128::from(cost), whole.min(u128::from(u64::MAX)));
    }

    /// Budgets up to the largest: held, settled and never settled, to the millionth.
    #[test]
    fn a_bucket_of_money_is_exact_to_the_millionth(
        size in 0usize..4,
        steps in prop::collection::vec((0u8..3, 1u64..1_000_000_000_000, 0u64..1_000_000_000_000), 1..80),
    ) {
        let limit = [1_000, 1_000_000, 1_000_000_007, 1_000_000_000_000][size];
        let quota = QuotaPolicy {
            per: Per::Model, claim: None,
            header: None,
            when: None, kind: Kind::Sliding, counts: Counts::Cost, limit, weights: Weights::EVEN,
            alert_at: Vec::new(), window: Duration::from_secs(31 * 86_400), burst: limit, mode: Mode::Enforce,
            reach: Reach::Proxy, on_unavailable: OnUnavailable::Deny,
        };
        let quotas = Quotas::new("money", [("role", &[quota][..])]);
        let mut host = MemoryHost::at(Timestamp::from_secs(1_800_000_000));
        let key = SharedKey::obtain("money", &mut host).unwrap();
        quotas.prepare(&key, &mut host).unwrap();
        let of = |cost: u64| Tokens { cost, ..Tokens::of(1, 1) };
        let hold = |cost: u64, host: &mut MemoryHost| {
            quotas.reserve(Scope::Model("m"), &[RoleIndex(0)], of(cost), &key, host).ok().map(|(_, held)| held)
        };
        let (mut open, mut held, mut spent) = (Vec::new(), 0u64, 0u64);
        for (kind, amount, used) in steps {
            if kind < 2 || open.is_empty() {
                let amount = amount % (limit / 4) + 1;
                let got = hold(amount, &mut host);
                prop_assert_eq!(got.is_some(), spent + held + amount <= limit);
                if let Some(got) = got {
                    open.push((got, amount));
                    held += amount;
                }
            } else {
                let (reservation, amount) = open.swap_remove(used as usize % open.len());
                let used = used % (amount + 1);
                quotas.settle(reservation, of(used), &key, &mut host).unwrap();
                held -= amount;
                spent += used;
            }
        }
        let left = limit - spent - held;
        prop_assert!(hold(left + 1, &mut host).is_none());
        prop_assert!(left == 0 || hold(left, &mut host).is_some());
        prop_assert!(hold(1, &mut host).is_none());
    }
}

proptest! {
    // Each compiles a policy.
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However requests begin and end, what the records say was spent is what the budget has lost.
    #[test]
    fn a_budget_loses_what_the_records_say_and_nothing_else(
        steps in prop::collection::vec((0u8..4, 1u64..100, 0u64..3000, 0u64..2000), 1..60),
    ) {
        const BUDGET: u64 = 1_000_000;
        let mut pipeline = pipeline(budget(&format!("{} USD", decimal(BUDGET))));
        let (mut open, mut spent) = (Vec::new(), 0u64);
        for (kind, output, input, written) in steps {
            if kind < 2 || open.is_empty() {
                open.extend(begin(&mut pipeline, if kind == 0 { "dear" } else { "small" }, output).ok());
                continue;
            }
            let exchange = open.swap_remove(input as usize % open.len());
            let model = if written % 2 == 0 { "small" } else { "dear" };
            let usage = json!({ "prompt_tokens": input, "completion_tokens": written + 9,
                "prompt_tokens_details": { "cached_tokens": input / 2 } });
            let record = end(&mut pipeline, exchange, if kind == 3 { "200" } else { "429" }, &answer(model, usage));
            prop_assert_eq!(amount(&record) == 0, kind == 2);
            spent += amount(&record);
        }
        for exchange in open {
            spent += amount(&end(&mut pipeline, exchange, "504", &json!({})));
        }
        // A request of this size fits as long as there is room for it, and no longer.
        let mut left = BUDGET.saturating_sub(spent);
        while left > 0 {
            let Ok(exchange) = begin(&mut pipeline, "dear", 100) else { break };
            let cost = amount(&end(&mut pipeline, exchange, "504", &json!({})));
            prop_assert!(cost <= left, "{} for {}", cost, left);
            left -= cost;
        }
        prop_assert!(left < 11_000, "{} left", left);
    }
}
