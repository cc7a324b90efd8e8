//! `bartizan audit drift`: how often it finds drift that is there and drift that is not, and that its sums are right.
//!
//! `cargo test --test suite drift -- --nocapture` prints power and false-alarm rates. The simulations are seeded.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small numbers"
)]

use crate::common;

use std::collections::BTreeMap;
use std::path::Path;

use common::command::{Folder, bartizan};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

fn folder() -> Folder {
    Folder::new(&format!("drift-{:016x}", rand::rng().random::<u64>()))
}

/// Output, errors and exit code.
fn drift(log: &Path, arguments: &[&str]) -> (String, String, i32) {
    let output = bartizan(&[&["audit", "drift", log.to_str().unwrap()], arguments].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn compared(log: &Path, arguments: &[&str]) -> Value {
    let (out, err, code) = drift(log, &[&["--json"], arguments].concat());
    assert!(matches!(code, 0 | 1), "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code == 1, told["findings"].as_u64().unwrap() > 0, "the exit code says whether there is a finding");
    told
}

fn baseline_of(log: &Path, to: &Path) {
    let (_, err, code) = drift(log, &["--write-baseline", to.to_str().unwrap()]);
    assert!(matches!(code, 0 | 1), "{err}");
}

/// What differs: feature, and where.
fn found(told: &Value) -> Vec<(String, String)> {
    let lists = [("comparisons", "feature"), ("parity", "outcome")];
    let each = lists.into_iter().flat_map(|(list, key)| {
        let items = told[list].as_array().unwrap().iter();
        items.filter(|one| one["state"] == "differs").map(move |one| (one[key].clone(), one["by"].clone()))
    });
    each.map(|(what, by)| (what.as_str().unwrap().to_owned(), by.as_str().unwrap().to_owned())).collect()
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// What a simulated service does. Each field is one kind of drift.
#[derive(Clone, Copy)]
struct World {
    answer_length: f64,
    slowness: f64,
    /// Of the model's refusals.
    refusals: f64,
    han: f64,
    /// Of blocks: all groups, and one more than the others.
    blocks: f64,
    blocks_of_sales: f64,
    large_model: f64,
}

const CALM: World = World {
    answer_length: 1.0,
    slowness: 1.0,
    refusals: 0.02,
    han: 0.05,
    blocks: 0.05,
    blocks_of_sales: 0.05,
    large_model: 0.5,
};

fn log_normal(random: &mut StdRng, median: f64, spread: f64) -> u64 {
    let (one, two): (f64, f64) = (random.random(), random.random());
    let normal = (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * two).cos();
    (median * (spread * normal).exp()) as u64
}

/// Lines of a log. They are written as text: trees of half a million records take longer than the command.
fn simulated(world: World, records: usize, random: &mut StdRng) -> String {
    let mut out = String::new();
    for _ in 0..records {
        let group = ["research", "sales", "support"][random.random_range(0..3)];
        let script = match random.random::<f64>() {
            share if share < world.han => "han",
            share if share < world.han + 0.15 => "cyrillic",
            _ => "latin",
        };
        let model = if random.random::<f64>() < world.large_model { "large" } else { "small" };
        let (bytes, latency) = (log_normal(random, 400.0, 1.0), log_normal(random, 900.0, 0.5));
        let score = [0, 0, 0, 5, 20][random.random_range(0..5)];
        let blocks = if group == "sales" { world.blocks_of_sales } else { world.blocks };
        let end = if random.random::<f64>() < blocks {
            r#""block","bartizan.reason":"scan.injection","bartizan.findings":[{"rule":"PI-1","action":"block"}]"#
                .to_owned()
        } else {
            let (finish, refusal) = match random.random::<f64>() < world.refusals {
                true => ("content_filter", r#","bartizan.refusal":"provider""#),
                false => ("stop", ""),
            };
            let tokens = log_normal(random, 150.0 * world.answer_length, 0.8);
            let duration = log_normal(random, 4e8 * world.slowness, 0.6);
            let counts = format!(r#""gen_ai.usage.output_tokens":{tokens},"bartizan.reply.text_bytes":{}"#, tokens * 4);
            let finish = format!(r#""gen_ai.response.finish_reasons":["{finish}"]{refusal}"#);
            format!(r#""allow","event.duration":{duration},{counts},{finish}"#)
        };
        let who = format!(r#""user.roles":["analyst"],"bartizan.group":"{group}","gen_ai.request.model":"{model}""#);
        let what =
            format!(r#""bartizan.script":"{script}","bartizan.request.text_bytes":{bytes},"bartizan.score":{score}"#);
        let rest = format!(r#""bartizan.latency_us":{latency},"bartizan.verdict":{end}"#);
        out += &format!("{{\"event.dataset\":\"bartizan.audit\",{who},{what},{rest}}}\n");
    }
    out
}

/// A simulated service before anything drifts, and its baseline.
struct Before {
    folder: Folder,
    random: StdRng,
}

impl Before {
    fn new(seed: u64) -> Before {
        let (folder, mut random) = (folder(), StdRng::seed_from_u64(seed));
        let log = folder.file("before.log", &simulated(CALM, 1200, &mut random));
        baseline_of(&log, &folder.0.join("baseline.json"));
        Before { folder, random }
    }

    /// Goes on in this world, and compares.
    fn then(&mut self, world: World) -> Value {
        let now = self.folder.file("now.log", &simulated(world, 1200, &mut self.random));
        let baseline = self.folder.0.join("baseline.json");
        compared(&now, &["--baseline", baseline.to_str().unwrap()])
    }
}

const RUNS: u64 = 200;

#[test]
fn what_does_not_drift_is_seldom_found() {
    let (mut alarms, mut tests, mut below) = (0, 0_u64, 0_u64);
    for seed in 0..RUNS {
        let told = Before::new(seed).then(CALM);
        alarms += u64::from(!found(&told).is_empty());
        for one in told["comparisons"].as_array().unwrap() {
            if let Some(p) = one["p"].as_f64() {
                tests += 1;
                below += u64::from(p < 0.05);
            }
        }
    }
    println!("no drift: {alarms} of {RUNS} simulations have a finding; {below} of {tests} p-values are below 0.05");
    assert!(alarms * 20 <= RUNS, "false alarms");
    // Counts in buckets make the test of numbers miss rather than invent.
    assert!(below * 100 <= tests * 7 && below * 100 >= tests, "p-values are what they say");
}

#[test]
fn what_drifts_is_mostly_found() {
    type Kind = (&'static str, World, &'static str, &'static str);
    let kinds: [Kind; 6] = [
        ("answers 1.7 times as long", World { answer_length: 1.7, ..CALM }, "outputTokens", "all"),
        ("1.6 times as slow", World { slowness: 1.6, ..CALM }, "durationMs", "all"),
        ("refusals of the model, 2 % to 7 %", World { refusals: 0.07, ..CALM }, "refusal", "all"),
        ("Chinese, 5 % to 12 %", World { han: 0.12, ..CALM }, "script", "all"),
        ("one group blocked, 5 % to 15 %", World { blocks_of_sales: 0.15, ..CALM }, "blocked", "group"),
        ("the large model, 50 % to 80 %", World { large_model: 0.8, ..CALM }, "model", "all"),
    ];
    // Significant at this size, and too small to be of use.
    let small = World { answer_length: 1.1, ..CALM };
    let (mut hits, mut hits_of_small) = ([0_u64; 6], 0_u64);
    let runs = RUNS / 5;
    for seed in 0..runs {
        let mut before = Before::new(10_000 + seed);
        for (hits, (_, world, feature, by)) in hits.iter_mut().zip(kinds) {
            *hits += u64::from(found(&before.then(world)).contains(&(feature.to_owned(), by.to_owned())));
        }
        hits_of_small += u64::from(found(&before.then(small)).iter().any(|(feature, _)| feature == "outputTokens"));
    }
    for (hits, (name, ..)) in hits.iter().zip(kinds) {
        println!("{name}: found in {hits} of {runs} simulations");
    }
    println!("answers 1.1 times as long: found in {hits_of_small} of {runs} simulations");
    assert!(hits.iter().all(|hits| hits * 10 >= runs * 7), "power");
    assert!(hits_of_small * 5 <= runs, "what is small is no finding");
}

const VERDICTS: [&str; 4] = ["allow", "mask", "block", "incomplete"];

fn record() -> impl Strategy<Value = Value> {
    let who = (0u8..3, 0u8..3, prop::option::of(0u8..3));
    let numbers = (prop::option::of(0u64..5_000_000), prop::option::of(0u64..3), any::<u64>());
    let words = (0usize..4, 0usize..3, prop::collection::btree_set(0u8..4, 0..4), any::<bool>());
    (who, numbers, words).prop_map(
        |((model, role, group), (bytes, score, latency), (verdict, script, rules, refused))| {
            let mut record = json!({
                "@timestamp": format!("2026-11-{:02}T08:00:00.000Z", 1 + latency % 28),
                "event.dataset": "bartizan.audit", "bartizan.verdict": VERDICTS[verdict],
                "gen_ai.request.model": format!("model-{model}"), "user.roles": [format!("role-{role}")],
                "bartizan.script": (["latin", "han", "none"][script]), "bartizan.latency_us": latency,
                "bartizan.findings": rules.iter().map(|rule| json!({"rule": format!("PI-{rule}")})).collect::<Vec<_>>(),
                "gen_ai.response.finish_reasons": (if refused { json!([]) } else { json!(["stop"]) }),
            });
            let members = [
                ("bartizan.group", group.map(|group| json!(format!("group-{group}")))),
                ("bartizan.reply.text_bytes", bytes.map(Value::from)),
                ("bartizan.score", score.map(Value::from)),
                ("bartizan.refusal", refused.then(|| json!("model"))),
            ];
            for (key, value) in members {
                if let Some(value) = value {
                    record[key] = value;
                }
            }
            record
        },
    )
}

fn log() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(record(), 1..250)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A log does not differ from itself, and its baseline holds what a simple count gives.
    #[test]
    fn a_log_does_not_differ_from_itself(records in log()) {
        let folder = folder();
        let (log, baseline) = (folder.file("a.log", &lines(&records)), folder.0.join("a.json"));
        baseline_of(&log, &baseline);
        let told = compared(&log, &["--least", "30", "--baseline", baseline.to_str().unwrap()]);
        for one in told["comparisons"].as_array().unwrap() {
            prop_assert!(one["state"] != "differs", "{}", one);
            prop_assert!(one["psi"].as_f64().unwrap_or(0.0).abs() < 1e-9 && one["p"].as_f64().unwrap_or(1.0) > 0.999);
            let is_enough = one["now"].as_u64().unwrap() >= 30;
            prop_assert!(is_enough || one["state"] == "notEnough", "{}", one);
        }
        prop_assert_eq!(&told["new"], &json!([]));
        prop_assert_eq!(&told["gone"], &json!([]));

        let kept = read(&baseline);
        let count = |key: &str| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for word in records.iter().filter_map(|record| record[key].as_str()) {
                *counts.entry(word.to_owned()).or_default() += 1;
            }
            json!(counts)
        };
        prop_assert_eq!(&kept["all"]["records"], &json!(records.len()));
        prop_assert_eq!(&kept["all"]["words"]["verdict"], &count("bartizan.verdict"));
        prop_assert_eq!(&kept["all"]["words"]["script"], &count("bartizan.script"));
        prop_assert_eq!(&kept["all"]["words"]["model"], &count("gen_ai.request.model"));
        let sum = |slice: &Value, feature: &str| {
            let buckets = slice["numbers"][feature].as_object();
            buckets.map_or(0, |buckets| buckets.values().filter_map(Value::as_u64).sum::<u64>())
        };
        prop_assert_eq!(sum(&kept["all"], "filterUs"), records.len() as u64);
        // Each record has a model and a role: the slices add up to all.
        for by in ["model", "role"] {
            let slices: Vec<&Value> = kept["by"][by].as_object().unwrap().values().collect();
            for feature in ["filterUs", "replyBytes", "score"] {
                let sums: u64 = slices.iter().map(|slice| sum(slice, feature)).sum();
                prop_assert_eq!(sums, sum(&kept["all"], feature));
            }
            for outcome in ["blocked", "changed", "answered", "refusedByModel"] {
                let of = |slice: &Value| slice["outcomes"][outcome].as_u64().unwrap();
                prop_assert_eq!(slices.iter().map(|slice| of(slice)).sum::<u64>(), of(&kept["all"]));
            }
        }
    }

    /// Neither the order of lines nor how they are parted among files and baselines matters, nor what is beside them.
    #[test]
    fn order_and_files_do_not_matter(one in log(), other in log(), now in log(), seed in any::<u64>()) {
        let folder = folder();
        let mut all: Vec<Value> = one.iter().chain(&other).cloned().collect();
        let whole = folder.file("whole.log", &lines(&all));
        let mut random = StdRng::seed_from_u64(seed);
        for at in (1..all.len()).rev() {
            all.swap(at, random.random_range(0..=at));
        }
        let noise: String = all.iter().map(|record| format!("[info] wasm log: {record}\nstarting\n")).collect();
        let shuffled = folder.file("shuffled.log", &noise);
        let (first, second) = (folder.file("one.log", &lines(&one)), folder.file("other.log", &lines(&other)));
        let names = ["whole.json", "shuffled.json", "one.json", "other.json"].map(|name| folder.0.join(name));
        for (log, baseline) in [whole, shuffled, first, second].iter().zip(&names) {
            baseline_of(log, baseline);
        }
        prop_assert_eq!(std::fs::read(&names[0]).unwrap(), std::fs::read(&names[1]).unwrap());

        let now = folder.file("now.log", &lines(&now));
        let [whole, _, first, second] = names.each_ref().map(|name| name.to_str().unwrap());
        let by_one = compared(&now, &["--least", "30", "--baseline", whole]);
        let by_two = compared(&now, &["--least", "30", "--baseline", first, "--baseline", second]);
        prop_assert_eq!(by_one, by_two);
    }

    /// A record that comes again counts once.
    #[test]
    fn duplicates_count_once(mut records in log()) {
        for (at, record) in records.iter_mut().enumerate() {
            record["bartizan.worker"] = "w1".into();
            record["bartizan.sequence"] = at.into();
        }
        let folder = folder();
        let log = folder.file("twice.log", &lines(&records).repeat(2));
        let told = compared(&log, &[]);
        prop_assert_eq!(&told["records"], &json!(records.len()));
        prop_assert_eq!(&told["lines"]["duplicates"], &json!(records.len()));
    }

    /// Whatever is in a log and in a baseline, the command ends by itself and says nothing that a terminal would obey.
    #[test]
    fn hostile_logs_and_baselines_end_in_words(
        records in log(),
        keys in prop::collection::vec((0usize..16, hostile()), 1..40),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
        kept in prop::collection::vec((any::<prop::sample::Index>(), "[0-9]{1,22}|[\"{}:,]|-1|null|1e400"), 0..4),
    ) {
        const KEYS: [&str; 16] = [
            "@timestamp", "event.dataset", "bartizan.verdict", "gen_ai.request.model", "user.roles", "bartizan.group",
            "bartizan.script", "bartizan.latency_us", "bartizan.findings", "gen_ai.response.finish_reasons",
            "bartizan.reply.text_bytes", "bartizan.score", "bartizan.refusal", "bartizan.worker", "bartizan.sequence",
            "event.duration",
        ];
        let folder = folder();
        let calm = folder.file("calm.log", &lines(&records));
        let baseline = folder.0.join("calm.json");
        baseline_of(&calm, &baseline);
        let mut hostile = records;
        for (at, (key, value)) in keys.into_iter().enumerate() {
            let place = at % hostile.len();
            hostile[place][KEYS[key]] = value;
        }
        let mut text = lines(&hostile).into_bytes();
        let at = cut.index(text.len() + 1);
        text.splice(at..at, bytes);
        let log = folder.0.join("hostile.log");
        std::fs::write(&log, text).unwrap();
        // A baseline that somebody changed.
        let mut changed = std::fs::read_to_string(&baseline).unwrap();
        for (at, by) in kept {
            let at = at.index(changed.len());
            changed.replace_range(at..=at, &by);
        }
        let changed = folder.file("changed.json", &changed);
        for baseline in [&baseline, &changed] {
            let (out, err, code) = drift(&log, &["--least", "30", "--baseline", baseline.to_str().unwrap()]);
            prop_assert!(matches!(code, 0..=2) && !err.contains("panicked"), "{}", err);
            let is_obeyed = |c: char| c.is_control() && c != '\n';
            prop_assert!(!out.contains(is_obeyed), "{:?}", out);
        }
    }
}

/// Values that no record of ours has.
fn hostile() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(null)),
        Just(json!([["a"], {"rule": 3}])),
        Just(json!("\u{1b}[2J\u{202e}")),
        Just(json!("x".repeat(5_000))),
        prop::collection::vec(any::<String>(), 0..300).prop_map(|words| json!(words)),
    ]
}

#[test]
fn a_file_that_is_no_baseline_is_said_so() {
    let folder = folder();
    let log = folder.file("a.log", &lines(&[json!({"event.dataset": "bartizan.audit", "bartizan.verdict": "allow"})]));
    let newer = r#"{"bartizanDrift":2,"all":{"records":0,"outcomes":{"blocked":0,"blockedForContent":0,"changed":0,
        "answered":0,"refusedByModel":0},"numbers":{},"words":{}},"by":{}}"#;
    for (text, said) in [
        ("", "no baseline"),
        ("{}", "no baseline"),
        (newer, "a baseline of form 2, expected 1"),
        (
            &newer.replace(":2,", ":1,").replace("\"numbers\":{}", "\"numbers\":{\"score\":{\"9999\":1}}"),
            "no number has",
        ),
    ] {
        let baseline = folder.file("b.json", text);
        let (_, err, code) = drift(&log, &["--baseline", baseline.to_str().unwrap()]);
        assert!(code == 2 && err.contains(said), "{err}");
    }
    let (_, err, code) = drift(&folder.file("none.log", "hello\n"), &[]);
    assert!(code == 2 && err.contains("no audit record"), "{err}");
}

#[test]
fn the_report_has_a_section_where_a_baseline_is_given() {
    let folder = folder();
    let mut random = StdRng::seed_from_u64(7);
    let before = folder.file("before.log", &simulated(CALM, 1200, &mut random));
    let now = folder.file("now.log", &simulated(World { answer_length: 3.0, ..CALM }, 1200, &mut random));
    let baseline = folder.0.join("baseline.json");
    baseline_of(&before, &baseline);
    let report = |arguments: &[&str]| {
        let output = bartizan(&[&["audit", "report", now.to_str().unwrap()], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let given = ["--baseline", baseline.to_str().unwrap()];
    assert!(!report(&["--html", "-"]).contains("id=\"drift\""));
    let page = report(&[["--html", "-"], given].concat());
    assert!(page.contains("<h2 id=\"drift\">") && page.contains("outputTokens") && page.contains("href=\"#drift\""));
    let told: Value = serde_json::from_str(&report(&[&["--json"][..], &given].concat())).unwrap();
    assert_eq!(told["drift"], {
        let mut drift = compared(&now, &given);
        drift.as_object_mut().unwrap().remove("lines");
        drift
    });
    assert_eq!(serde_json::from_str::<Value>(&report(&["--json"])).unwrap().get("drift"), None);
}
