//! The chain of records: what the filter writes is verified, and every way to tamper with it is found, or is on the list of
//! what can't be.

use crate::common;

use bartizan::audit::chain::{digest, key_id, public_key, split};
use bartizan::transaction::WorkerState;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::command::{Folder, bartizan};
use common::pipeline::{Pipeline, base64};
use serde_json::{Value, json};

const KEY: [u8; 32] = [0x1f; 32];
const EVERY: u64 = 8;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn proxy() -> Pipeline {
    let key = hex(&KEY);
    Pipeline::with_environment(
        |d| d["audit"] = json!({ "chain": { "key": { "fromEnv": "CHAIN_KEY" }, "every": EVERY, "interval": "1s" } }),
        &move |name| (name == "CHAIN_KEY").then(|| key.clone()),
    )
}

/// Records of a proxy of three workers in the order in which they ended, and its checkpoints, the last of which tell all.
fn log(seed: u64) -> (Vec<String>, Vec<String>) {
    let mut proxy = proxy();
    proxy.host.now.0 += seed;
    bartizan::host::Host::random(&mut proxy.host, &mut vec![0; usize::try_from(seed % 97).unwrap() + 1]).unwrap();
    let mut workers: Vec<WorkerState> =
        (0..3).map(|_| WorkerState::new(&proxy.policy, &mut proxy.host).unwrap()).collect();
    let (mut records, mut checkpoints) = (Vec::new(), Vec::new());
    let mut random = seed;
    for _ in 0..60 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from((random >> 33) % 3).unwrap();
        std::mem::swap(&mut proxy.vm, &mut workers[at]);
        let token = proxy
            .sign(&json!({ "iss": "https://idp.example", "aud": "llm", "sub": format!("user-{}", random >> 61),
            "roles": ["analyst"], "exp": common::pipeline::NOW + 900 }));
        let run = proxy.post(
            "/v1/chat/completions",
            &[("authorization", &format!("Bearer {token}"))],
            common::pipeline::ask("What is a bartizan?").to_string().as_bytes(),
        );
        records.push(run.finished.record);
        proxy.host.now.0 += 400_000_000;
        if let Some(line) = proxy.vm.chain().unwrap().checkpoint(false, &mut proxy.host) {
            checkpoints.push(line);
        }
        std::mem::swap(&mut proxy.vm, &mut workers[at]);
    }
    for worker in &mut workers {
        if let Some(chain) = worker.chain() {
            checkpoints.extend(chain.checkpoint(true, &mut proxy.host));
        }
    }
    (records, checkpoints)
}

fn verify(folder: &Folder, records: &[String], checkpoints: Option<&[String]>, more: &[&str]) -> (i32, Value) {
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let access = folder.file("access.log", &text(records));
    let key = base64(&public_key(&KEY));
    let mut arguments = vec!["audit", "verify", "--json", "--key", &key, access.to_str().unwrap()];
    let second = checkpoints.map(|lines| folder.file("envoy.log", &text(lines)));
    arguments.extend(second.as_ref().map(|file| file.to_str().unwrap()));
    arguments.extend(more);
    let output = bartizan(&arguments);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// The kinds of the findings with their lines in the access log.
fn found(report: &Value) -> Vec<(String, u64)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| (one["kind"].as_str().unwrap().to_owned(), one["line"].as_u64().unwrap())).collect()
}

#[test]
fn what_the_filter_writes_is_verified() {
    let folder = Folder::new("chain");
    for seed in 0..4 {
        let (records, checkpoints) = log(seed);
        let (code, report) = verify(&folder, &records, Some(&checkpoints), &[]);
        assert_eq!(code, 0, "{report:#}");
        assert_eq!((report["records"].as_u64(), report["chains"].as_array().unwrap().len()), (Some(60), 3));
        let open: u64 = report["chains"].as_array().unwrap().iter().map(|chain| chain["open"].as_u64().unwrap()).sum();
        assert_eq!(open, 0, "checkpoints tell all");
        // Without the second sink the ends are open, and that is said.
        let (code, report) = verify(&folder, &records, None, &[]);
        assert_eq!(code, 0);
        assert!(report["unknown"].to_string().contains("behind the last signature"), "{report:#}");
    }
}

#[test]
fn wrappings_rotation_and_excerpts_do_not_matter() {
    let folder = Folder::new("wrapped");
    let (records, checkpoints) = log(5);
    let wrapped: Vec<String> = records
        .iter()
        .enumerate()
        .map(|(at, line)| match at % 4 {
            0 => format!("[2026-01-01] 10.0.0.1 \"{{\\\"a\\\" {{\" {line}"),
            1 => json!({ "log": format!("{line}\n"), "stream": "stdout" }).to_string(),
            2 => json!({ "body": { "stringValue": "x" }, "attributes": [{ "key": "event.original", "value": { "stringValue": line } }] })
                .to_string(),
            _ => format!("2026-01-01T00:00:00Z stdout F {line}"),
        })
        .collect();
    let (code, report) = verify(&folder, &wrapped, Some(&checkpoints), &[]);
    assert_eq!((code, report["records"].as_u64()), (0, Some(60)), "{report:#}");
    // The older file comes last among the arguments.
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let older = folder.file("access.log.1", &text(&records[..30]));
    let (code, report) = verify(&folder, &records[30..], Some(&checkpoints), &[older.to_str().unwrap()]);
    assert_eq!((code, report["records"].as_u64()), (0, Some(60)), "{report:#}");
    // Alone the younger file is an excerpt.
    let (code, report) = verify(&folder, &records[30..], Some(&checkpoints), &[]);
    assert_eq!(code, 1);
    assert!(found(&report).iter().any(|(kind, _)| kind == "missing"), "{report:#}");
    let (code, report) = verify(&folder, &records[30..], Some(&checkpoints), &["--excerpt"]);
    assert_eq!(code, 0, "{report:#}");
}

#[test]
fn an_erased_caller_leaves_tombstones_and_the_chain_whole() {
    let folder = Folder::new("erased");
    let (records, checkpoints) = log(6);
    let text: String = records.iter().map(|line| format!("{line}\n")).collect();
    let file = folder.file("before.log", &text);
    let first: Value = serde_json::from_str(&records[3]).unwrap();
    let user = first["user.hash"].as_str().unwrap();
    let theirs = records.iter().filter(|line| line.contains(user)).count();
    let key = folder.0.join("eraser.key");
    let output = bartizan(&["audit", "keygen", key.to_str().unwrap(), "--json"]);
    let public: Value = serde_json::from_slice(&output.stdout).unwrap();
    let after = folder.0.join("after.log");
    let output = bartizan(&[
        "audit",
        "erase",
        file.to_str().unwrap(),
        "--user",
        user,
        "--output",
        after.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "--json",
    ]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["erased"].as_u64(), Some(theirs as u64));
    let left = std::fs::read_to_string(&after).unwrap();
    assert!(!left.contains(user) && left.lines().count() == records.len());
    let lines: Vec<String> = left.lines().map(str::to_owned).collect();
    let eraser = public["publicKey"].as_str().unwrap();
    let (code, report) = verify(&folder, &lines, Some(&checkpoints), &["--eraser", eraser]);
    assert_eq!((code, report["tombstones"].as_u64()), (0, Some(theirs as u64)), "{report:#}");
    assert!(!report["unknown"].to_string().contains("tombstones"));
    // A tombstone is no cover: what stands beside it is checked as before.
    let at = lines.iter().position(|line| line.contains("bartizan.erased")).unwrap();
    let mut changed = lines.clone();
    changed[at] = changed[at].replacen("bartizan.sequence\":", "bartizan.sequence\":9", 1);
    let (code, _) = verify(&folder, &changed, Some(&checkpoints), &["--eraser", eraser]);
    assert_eq!(code, 1);
}

/// What is done to a log, and the line, from 1, that must be named; `None`: on the list of what can't be found.
enum Expected {
    Named(&'static [&'static str], Option<usize>),
    Unknown(&'static str),
}
use Expected::{Named, Unknown};

struct Tamper {
    random: u64,
    records: Vec<String>,
    checkpoints: Vec<String>,
}

impl Tamper {
    fn draw(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.random >> 33) % below as u64).unwrap()
    }

    fn worker(&self, at: usize) -> String {
        let json: Value = serde_json::from_str(&self.records[at]).unwrap();
        json["bartizan.worker"].as_str().unwrap().to_owned()
    }

    /// The line of the next record of the same worker.
    fn next(&self, at: usize) -> Option<usize> {
        (at + 1..self.records.len()).find(|next| self.worker(*next) == self.worker(at))
    }

    /// A line changed in its body, with a digest that fits to it.
    fn forged(&self, at: usize, change: impl FnOnce(String) -> String) -> String {
        let line = &self.records[at];
        let body = change(split(line).unwrap().body.to_owned());
        format!("{body},\"bartizan.chain.digest\":\"{}\"}}", digest(&body))
    }

    /// Makes a worker's records from this one on fit to it again. Signatures are lost: the key is not here.
    fn rechain(&mut self, from: usize) {
        let mut at = from;
        while let Some(next) = self.next(at) {
            let before = split(&self.records[at]).unwrap().digest.to_owned();
            let old: Value = serde_json::from_str(&self.records[next]).unwrap();
            let old = old["bartizan.chain.previous"].as_str().unwrap().to_owned();
            self.records[next] = self.forged(next, |body| body.replace(&old, &before));
            at = next;
        }
    }

    fn apply(&mut self, kind: usize) -> Expected {
        let count = self.records.len();
        let at = self.draw(count);
        match kind {
            // One character of a value is another one.
            0 => {
                let line = self.records[at].clone();
                let places: Vec<usize> =
                    line.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()).map(|(place, _)| place).collect();
                let place = places[self.draw(places.len())];
                let byte = if line.as_bytes()[place] == b'7' { "8" } else { "7" };
                self.records[at].replace_range(place..=place, byte);
                Named(&[], None)
            }
            // A verdict is another one, and the digest fits.
            1 => {
                self.records[at] = self.forged(at, |body| body.replace("\"allow\"", "\"block\""));
                Named(&["replaced", "unsigned"], Some(at))
            }
            // The same, and all that follows fits too.
            2 => {
                self.records[at] = self.forged(at, |body| body.replace("\"allow\"", "\"block\""));
                self.rechain(at);
                Named(&["unsigned", "replaced"], None)
            }
            // A line is gone.
            3 => {
                let next = self.next(at);
                self.records.remove(at);
                Named(&["missing", "truncated"], next.map(|next| next - 1))
            }
            // Several lines in a row are gone.
            4 => {
                let many = (self.draw(6) + 2).min(count - at);
                self.records.drain(at..at + many);
                Named(&["missing", "truncated"], None)
            }
            // The end is cut off, perhaps within a line.
            5 => {
                let at = at.max(3);
                self.records.truncate(at);
                let last = self.records.last_mut().unwrap();
                let half = last.len() / 2;
                last.truncate(half);
                Named(&["damaged", "truncated", "missing"], None)
            }
            // Two records of one worker are in each other's place.
            6 => match self.next(at) {
                Some(next) => {
                    self.records.swap(at, next);
                    Named(&["moved"], None)
                }
                None => self.apply(3),
            },
            // Neighbours of different workers.
            7 => match (0..count - 1)
                .map(|step| (at + step) % (count - 1))
                .find(|at| self.worker(*at) != self.worker(at + 1))
            {
                Some(at) => {
                    self.records.swap(at, at + 1);
                    Unknown("the order of records of different workers")
                }
                None => self.apply(3),
            },
            // A record stands twice.
            8 => {
                let to = self.draw(count);
                let line = self.records[at].clone();
                self.records.insert(to, line);
                Named(&["repeated"], None)
            }
            // Another record has the number of one that is there.
            9 => {
                let line = self.forged(at, |body| body.replace("\"allow\"", "\"block\""));
                self.records.insert(at + 1, line);
                Named(&["fork"], None)
            }
            // A record behind a worker's last one.
            10 => {
                let last = (0..count).rev().find(|last| self.worker(*last) == self.worker(at)).unwrap();
                let parts: Value = serde_json::from_str(&self.records[last]).unwrap();
                let number = parts["bartizan.sequence"].as_u64().unwrap();
                let before = split(&self.records[last]).unwrap().digest.to_owned();
                let old = parts["bartizan.chain.previous"].as_str().unwrap_or("-").to_owned();
                let line = self.forged(last, |body| {
                    body.replace(&format!("sequence\":{number}"), &format!("sequence\":{}", number + 1))
                        .replace(&old, &before)
                });
                self.records.push(line);
                if (number + 1).is_multiple_of(EVERY) {
                    Named(&["unsigned"], None)
                } else {
                    // A proxy that ran on would have written it: only the next signature would say no.
                    Unknown("behind the last signature")
                }
            }
            // A chain of a worker that never was.
            11 => {
                let first = (0..count).find(|first| self.records[*first].contains("\"bartizan.sequence\":1,")).unwrap();
                let worker = self.worker(first);
                let made_up = format!("{}-4", worker.split('-').next().unwrap());
                let line = self.forged(first, |body| body.replace(&worker, &made_up));
                self.records.push(line);
                Named(&["unsigned"], None)
            }
            // A whole chain is gone.
            12 => {
                let worker = self.worker(at);
                self.records.retain(|line| !line.contains(&worker));
                Named(&["missing"], None)
            }
            // A signature is taken off.
            13 => {
                let signed: Vec<usize> =
                    (0..count).filter(|at| self.records[*at].contains("bartizan.chain.signature")).collect();
                let at = signed[self.draw(signed.len())];
                self.records[at] = self.forged(at, |body| body);
                Named(&["unsigned"], Some(at))
            }
            // A record without a place in any chain.
            14 => {
                let line = &self.records[at];
                let parts = split(line).unwrap();
                let (body, _) = parts.body.split_once(",\"bartizan.chain.").unwrap();
                let line = format!("{body}}}");
                self.records.insert(at, line);
                Named(&["single"], Some(at))
            }
            // A provisional record is made up.
            15 => {
                self.records.insert(at, provisional());
                Unknown("provisional records")
            }
            // A tombstone that nobody signed takes a record's place.
            16 => {
                let line = &self.records[at];
                let parts = split(line).unwrap();
                let json: Value = serde_json::from_str(line).unwrap();
                let mut body = format!(
                    "{{\"@timestamp\":\"2027-01-15T08:00:00.000Z\",\"event.dataset\":\"bartizan.erased\",\"bartizan.worker\":{},\
                     \"bartizan.sequence\":{}",
                    json["bartizan.worker"], json["bartizan.sequence"]
                );
                for key in ["bartizan.chain.previous", "bartizan.chain.every"] {
                    if let Some(value) = json.get(key) {
                        body += &format!(",\"{key}\":{value}");
                    }
                }
                self.records[at] = format!("{body},\"bartizan.chain.digest\":\"{}\"}}", parts.digest);
                Unknown("tombstones without a checked signature")
            }
            // A checkpoint says something else.
            17 => {
                let at = self.draw(self.checkpoints.len());
                let heads = self.checkpoints[at].find(",\"bartizan.chain.heads\"").unwrap() + 25;
                let line = self.checkpoints[at].clone();
                let place = heads + line[heads..].find(|c: char| c.is_ascii_digit()).unwrap();
                self.checkpoints[at].replace_range(place..=place, "9");
                Named(&["forged"], None)
            }
            // A signature of another key.
            18 => {
                let signed: Vec<usize> =
                    (0..count).filter(|at| self.records[*at].contains("bartizan.chain.signature")).collect();
                let at = signed[self.draw(signed.len())];
                let id = key_id(&public_key(&KEY));
                self.records[at] = self.records[at].replace(&id, "0123456789abcdef");
                Named(&["stranger"], Some(at))
            }
            // The beginning of the file is gone.
            _ => {
                let many = self.draw(count - 10) + 1;
                self.records.drain(..many);
                Named(&["missing"], None)
            }
        }
    }
}

fn provisional() -> String {
    json!({ "@timestamp": "2027-01-15T08:00:00.000Z", "event.dataset": "bartizan.audit", "bartizan.verdict": "incomplete",
        "bartizan.worker": "", "bartizan.sequence": 0 })
    .to_string()
}

/// Ways in which `apply` tampers.
const KINDS: usize = 20;

#[test]
fn every_tampering_is_found_or_on_the_list() {
    let folder = Folder::new("tampered");
    let mut tally = std::collections::BTreeMap::<String, u32>::new();
    let logs: Vec<_> = (0..10).map(log).collect();
    for case in 0..240_usize {
        let (records, checkpoints) = logs[case / KINDS % logs.len()].clone();
        let mut tamper = Tamper { random: case as u64 * 7 + 1, records, checkpoints };
        let kind = case % KINDS;
        let expected = tamper.apply(kind);
        let (code, report) = verify(&folder, &tamper.records, Some(&tamper.checkpoints), &[]);
        match expected {
            Named(kinds, line) => {
                assert_eq!(code, 1, "case {case}, kind {kind}: not found: {report:#}");
                let found = found(&report);
                assert!(
                    kinds.is_empty() || found.iter().any(|(found, _)| kinds.contains(&found.as_str())),
                    "case {case}, kind {kind}: {report:#}"
                );
                if let Some(line) = line {
                    assert!(
                        found.iter().any(|(_, at)| *at == line as u64 + 1),
                        "case {case}, kind {kind}: line {} is not named: {report:#}",
                        line + 1
                    );
                }
                *tally.entry(format!("{kind:2} found")).or_default() += 1;
            }
            Unknown(words) => {
                assert!(report["unknown"].to_string().contains(words), "case {case}, kind {kind}: {report:#}");
                *tally.entry(format!("{kind:2} on the list: {words}")).or_default() += 1;
            }
        }
    }
    println!("{tally:#?}");
}

#[test]
fn lost_lines_are_told_from_counters() {
    let folder = Folder::new("counted");
    let (mut records, checkpoints) = log(9);
    records.drain(20..25);
    let stats = folder.file(
        "stats",
        "wasmcustom.bartizan.requests.verdict.allow.reason.none.protocol.openai.role.analyst: 40\n\
         wasmcustom.bartizan.requests.verdict.block.reason.scan_injection.protocol.openai.role.analyst: 20\n\
         access_logs.grpc_access_log.logs_dropped: 4\n",
    );
    let (code, report) = verify(&folder, &records, Some(&checkpoints), &["--stats", stats.to_str().unwrap()]);
    assert_eq!(code, 1);
    let text = report["findings"].to_string();
    assert!(text.contains("5 are lost, of which access loggers say that they dropped 4"), "{report:#}");
}

#[test]
fn no_bytes_make_it_stumble() {
    let folder = Folder::new("bytes");
    let (records, _) = log(10);
    let mut random = 1u64;
    for _ in 0..40 {
        let mut bytes = records[..12].join("\n").into_bytes();
        for _ in 0..30 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(random >> 33).unwrap() % bytes.len();
            bytes[at] = (random >> 20) as u8;
        }
        let file = folder.0.join("noise.log");
        std::fs::write(&file, &bytes).unwrap();
        let output = bartizan(&["audit", "verify", "--json", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// An erasure of a caller in a file, and the key that vouches for it.
fn erased(folder: &Folder, name: &str, records: &[String], user: &str) -> (Vec<String>, String) {
    let text: String = records.iter().map(|line| format!("{line}\n")).collect();
    let (file, after) = (folder.file(name, &text), folder.0.join(format!("{name}.new")));
    let key = folder.0.join(format!("{name}.key"));
    let public = bartizan(&["audit", "keygen", key.to_str().unwrap(), "--json"]);
    let public: Value = serde_json::from_slice(&public.stdout).unwrap();
    let [file, key, after] = [&file, &key, &after].map(|path| path.to_str().unwrap());
    let output = bartizan(&["audit", "erase", file, "--user", user, "--output", after, "--key", key]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::fs::read_to_string(after).unwrap().lines().map(str::to_owned).collect();
    (lines, public["publicKey"].as_str().unwrap().to_owned())
}

fn user_of(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["user.hash"].as_str().unwrap().to_owned()
}

#[test]
fn honest_files_are_honest() {
    let folder = Folder::new("honest");
    let (records, checkpoints) = log(11);
    let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    // The proxy's own log has records and checkpoints.
    let own: Vec<String> = records.iter().chain(&checkpoints).map(|line| format!("[info] wasm log: {line}")).collect();
    let (code, report) = verify(&folder, &records, Some(&own), &[]);
    assert_eq!((code, report["records"].as_u64()), (0, Some(120)), "{report:#}");
    // A caller is erased in the older file, with its first record.
    let (older, eraser) = erased(&folder, "older.log", &records[..30], &user_of(&records[0]));
    let older = folder.file("access.log.1", &text(&older));
    let older = older.to_str().unwrap();
    let (code, report) = verify(&folder, &records[30..], Some(&checkpoints), &[older, "--eraser", &eraser]);
    assert_eq!(code, 0, "{report:#}");
    // A shipper's own objects begin as ours do, and several are on a line.
    let wrap =
        |line: &String| format!("{{\"@timestamp\":\"t\",\"log\":{},\"k\":{{\"@timestamp\":\"t\"}}}}", json!(line));
    let lines: Vec<String> =
        records.chunks(3).map(|some| format!("[{}]", some.iter().map(wrap).collect::<Vec<_>>().join(","))).collect();
    let (code, report) = verify(&folder, &lines, Some(&checkpoints), &[]);
    assert_eq!((code, report["records"].as_u64()), (0, Some(60)), "{report:#}");
    for name in ["empty.log", "foreign.log"] {
        let file = folder.file(name, if name == "empty.log" { "" } else { "GET / 200\n" });
        assert_eq!(bartizan(&["audit", "verify", file.to_str().unwrap()]).status.code(), Some(2), "{name}");
    }
}

#[test]
fn a_key_may_begin_with_a_hyphen() {
    let folder = Folder::new("hyphen");
    let encoded = |seed| URL_SAFE_NO_PAD.encode(public_key(&[seed; 32]));
    let key = (1..=u8::MAX).map(encoded).find(|key| key.starts_with('-')).unwrap();
    let (records, checkpoints) = log(13);
    let (code, report) = verify(&folder, &records, Some(&checkpoints), &["--key", &key, "--eraser", &key]);
    assert_eq!(code, 0, "{report:#}");
}

#[test]
fn what_leaves_the_chain_is_told() {
    let folder = Folder::new("leaves");
    let (records, checkpoints) = log(12);
    // No record has a chain any more, and every verdict is another one.
    let bare = |line: &String| format!("{}}}", split(line).unwrap().body.split(",\"bartizan.chain.").next().unwrap());
    let stripped: Vec<String> = records.iter().map(|line| bare(line).replace("\"allow\"", "\"block\"")).collect();
    let (code, report) = verify(&folder, &stripped, None, &[]);
    assert_eq!((code, found(&report)[0].0.as_str()), (1, "single"), "{report:#}");
    // One that was made up stands before the genuine one.
    let mut beside = records.clone();
    beside[7] = format!("{}{}", bare(&records[7]).replace("\"allow\"", "\"block\""), records[7]);
    let (code, report) = verify(&folder, &beside, Some(&checkpoints), &[]);
    assert_eq!((code, found(&report)), (1, vec![("single".to_owned(), 8)]), "{report:#}");
    // Tombstones that nobody signed.
    let (lines, eraser) = erased(&folder, "all.log", &records, &user_of(&records[0]));
    let unsigned = |line: &String| match line.split_once(",\"bartizan.chain.key\":") {
        Some((body, _)) if line.contains("bartizan.erased") => format!("{body}}}"),
        _ => line.clone(),
    };
    let lines: Vec<String> = lines.iter().map(unsigned).collect();
    let (code, report) = verify(&folder, &lines, Some(&checkpoints), &["--eraser", &eraser]);
    assert!(code == 1 && found(&report).iter().all(|(kind, _)| kind == "unsigned"), "{report:#}");
    // A tombstone of a first record does not say which others are signed.
    let claim = format!("\"bartizan.chain.every\":{EVERY}");
    let lines: Vec<String> = lines.iter().map(|line| line.replace(&claim, "\"bartizan.chain.every\":100000")).collect();
    let (_, report) = verify(&folder, &lines, None, &[]);
    assert!(report["unknown"].to_string().contains("begins with a tombstone"), "{report:#}");
}

#[test]
fn erasure_takes_the_callers_records_alone() {
    let folder = Folder::new("alone");
    let (records, _) = log(13);
    let user = user_of(&records[0]);
    let erase = |name: &str, text: &[u8]| {
        let (file, after) = (folder.0.join(name), folder.0.join(format!("{name}.new")));
        std::fs::write(&file, text).unwrap();
        let [file, after] = [&file, &after].map(|path| path.to_str().unwrap().to_owned());
        let output = bartizan(&["audit", "erase", &file, "--user", &user, "--output", &after, "--json"]);
        (output.status.code().unwrap(), std::fs::read(&after).unwrap_or_default(), output.stdout)
    };
    let other = records.iter().find(|line| !line.contains(&user)).unwrap();
    for together in [
        format!("{}{other}", records[0]),
        format!(
            "[{{\"@timestamp\":\"t\",\"log\":{}}},{{\"@timestamp\":\"t\",\"log\":{}}}]",
            json!(records[0]),
            json!(other)
        ),
    ] {
        let (code, after, _) = erase(&format!("together{}.log", together.len()), together.as_bytes());
        assert!(code == 2 && after.is_empty(), "{together}");
    }
    // What is cut, and what a responder wrote, names the caller too; a byte that is no text is no matter.
    let cut = &records[0][..records[0].find(&user).unwrap() + user.len() + 3];
    let responder = json!({ "event.dataset": "bartizan.response", "event.action": "ban", "user.hash": user });
    let text = format!("{}\n{cut}\n{responder}\n{other}\n", records[0]);
    let (code, after, told) = erase("cut.log", &[text.as_bytes(), b"\xff\n"].concat());
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((code, &told["erased"], &told["left"]), (1, &json!(1), &json!([2, 3])));
    assert!(after.ends_with(b"\xff\n") && String::from_utf8_lossy(&after).contains(other));
}
