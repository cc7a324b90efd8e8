//! Measures what scanning costs, by kind of text: one JSON line a kind. `make bench-scan` runs it natively and, built
//! for wasm32-wasip1, on V8, and prints both beside each other.

use std::hint::black_box;
use std::time::Instant;

use bartizan::config::document::{CustomRule, Pack, Zone};
use bartizan::scan::{Budget, Scanner, Selection, Text};

const PROSE: &str = "The harbour was quiet when the ferry came in. A few people waited on the pier, among them a man \
with a brown suitcase and a girl who counted the gulls. Please summarise this paragraph in two sentences, then list the \
three most important facts about the timetable (departure at 9:15, arrival at 10:40). Our customers asked for a table \
that shows how many tickets were sold in each of the last four quarters, and what we could change next year. ";

const CHAT: &str = "Hi! Could you help me with my CV? I've worked as a baker since 2019, and now I'd like to apply for \
an office job. What should I write first?\n\nSure - start with three lines on who you are:\n\n1. **Your trade**, in one \
sentence.\n2. *What you did*, with figures where you have them (e.g. \"200 loaves a day\").\n3. What you look for.\n\n\
Thanks. And how long may it be? My sister's has 3 pages... ";

const CODE: &str = "def read_rows(path, limit=100):\n    \"\"\"Rows of a table, at most `limit`.\"\"\"\n    rows = []\n    \
with open(path, encoding='utf-8') as file:\n        for number, line in enumerate(file):\n            if number >= limit:\n\
                break\n            key, _, value = line.partition('=')\n            rows.append({'key': key.strip(), \
'value': value.strip() or None})\n    return sorted(rows, key=lambda row: row['key'])\n\n\nclass Store:\n    TOKEN_SIZE = \
16\n\n    def __init__(self, url=\"https://store.example/api/v2\"):\n        self.url = url\n\n";

const DIGITS: &str = "4111 1111 1111 1112, 12-34-5678, 90.123.456/0001 555-1234 2024-01-02 13:45:01, 1,234.50; ";

/// Rules of a policy's own, beside the 152 that are shipped.
const OWN: [usize; 2] = [150, 1500];

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let only = std::env::args().nth(1).filter(|argument| !argument.starts_with("--")).unwrap_or_default();
    let began = Instant::now();
    let Some(shipped) = scanners(0) else { return };
    let bench = Bench { json, ready: began.elapsed().as_secs_f64() * 1e3, rest: memory() };
    // V8 compiles what runs often once more, and better: a worker has done so after its first requests.
    for (_, unit) in kinds().iter().filter(|(name, _)| name.contains(&only)) {
        let text = filled(unit, 64 * 1024);
        (0..5).for_each(|_| shipped.iter().for_each(|scanner| scan(scanner, &text)));
    }
    for (name, unit) in kinds().iter().filter(|(name, _)| name.contains(&only)) {
        bench.row(name, unit, &shipped);
    }
    for count in OWN.iter().filter(|_| "own".contains(&only)) {
        let Some(more) = scanners(*count) else { return };
        bench.row(&format!("prose, {count} own"), PROSE, &more);
    }
}

/// Rules alone, and with the scorer.
fn scanners(own: usize) -> Option<[Scanner; 2]> {
    let custom: Vec<CustomRule> = (0..own).map(own_rule).collect();
    let scanner =
        |scorer| Scanner::compile(&Selection { packs: Pack::ALL, disable: &[], custom: &custom, scorer }).ok();
    Some([scanner(false)?, scanner(true)?])
}

fn own_rule(number: usize) -> CustomRule {
    let word = |words: &[&str], place: usize| words.get(place % words.len()).copied().unwrap_or_default().to_owned();
    let verb = word(&["print", "open", "count", "send", "list", "forget", "show", "sell"], number);
    let noun = word(&["tickets", "gulls", "customers", "tables", "facts", "ledgers", "years"], number / 8);
    CustomRule {
        id: Some(format!("X-{number}")),
        title: Some("One of many".into()),
        keywords: Some(vec![format!("{verb} the {noun} {number}"), format!("{noun} of {verb} {number}")]),
        ..CustomRule::default()
    }
}

struct Bench {
    json: bool,
    ready: f64,
    rest: usize,
}

impl Bench {
    fn row(&self, name: &str, unit: &str, scanners: &[Scanner; 2]) {
        let [rules, both] = scanners;
        let text = filled(unit, 64 * 1024);
        let speed = |scanner: &Scanner| text.len() as f64 / 1e6 / fastest(|| scan(scanner, &text));
        let (alone, scored) = (speed(rules), speed(both));
        let large = filled(unit, 4 << 20);
        let began = Instant::now();
        scan(both, &large);
        let longest = began.elapsed().as_secs_f64() * 1e3;
        if self.json {
            println!(
                "{{\"kind\":\"{name}\",\"rules\":{alone:.1},\"scored\":{scored:.1},\"callback\":{longest:.0},\
                 \"ready\":{:.2},\"rest\":{},\"peak\":{}}}",
                self.ready,
                self.rest,
                memory()
            );
        } else {
            println!(
                "{name:18} rules {alone:7.1} MB/s   with scorer {scored:7.1} MB/s   4 MiB at once {longest:6.0} ms"
            );
        }
    }
}

fn scan(scanner: &Scanner, text: &str) {
    let ample = Budget { scan_bytes: 1 << 26, decoded_bytes: 1 << 20, ..Budget::SHIPPED };
    black_box(scanner.scan(&[Text { zone: Zone::User, text }], ample));
}

/// Linear memory, in bytes; natively not known.
fn memory() -> usize {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) * 65536;
    #[cfg(not(target_arch = "wasm32"))]
    0
}

/// Seconds of the fastest of some runs: always as many, so that instructions can be counted, too.
fn fastest(run: impl Fn()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..40 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn filled(unit: &str, length: usize) -> String {
    unit.repeat(length / unit.len() + 1).char_indices().take_while(|(at, _)| *at < length).map(|(_, c)| c).collect()
}

fn kinds() -> Vec<(&'static str, String)> {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    vec![
        ("prose", PROSE.into()),
        ("words", PROSE.replace(|c: char| c.is_ascii_digit(), "").replace(':', "")),
        ("chat", CHAT.into()),
        ("code", CODE.into()),
        ("russian", "Паром пришёл вовремя, и люди на пирсе ждали своей очереди. ".into()),
        ("chinese", "请总结以下段落，并列出时间表中最重要的三个事实。".into()),
        ("digits", DIGITS.into()),
        ("percent", "%41%20".into()),
        ("base64", encode(&PROSE.repeat(40)) + "\n"),
        ("nested base64", encode(&encode(&encode(&PROSE.repeat(20)))) + " "),
        ("one letter", "a".into()),
        ("zero-width", "\u{200b}".into()),
        ("near misses", "ignore all previou instruction, api_key token secret: sk- AKIA ".into()),
        ("separated", "i g n o r e ".into()),
        ("at signs", "a@b.c@d.e@".into()),
        ("entities", "&amp;".into()),
        ("json", "{\"a\":[{\"b\":\"".into()),
    ]
}
