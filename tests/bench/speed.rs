//! Prints what scanning costs, by kind of text: `cargo run --release --example speed [FILE.jsonl...]`.
//!
//! Built for wasm32-wasip1 and run under Node's WASI it gives V8's figures.

use std::hint::black_box;
use std::time::Instant;

use bartizan::config::document::{Pack, Zone};
use bartizan::scan::{Budget, Scanner, Selection, Text, normalise};

const PROSE: &str = "The harbour was quiet when the ferry came in. A few people waited on the pier, among them a man \
with a brown suitcase and a girl who counted the gulls. Please summarise this paragraph in two sentences, then list the \
three most important facts about the timetable (departure at 9:15, arrival at 10:40). Our customers asked for a table \
that shows how many tickets were sold in each of the last four quarters, and what we could change next year. ";

fn main() {
    let ample = Budget { scan_bytes: 1 << 26, decoded_bytes: 1 << 22 };
    for scorer in [false, true] {
        let began = Instant::now();
        let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer };
        let Ok(scanner) = Scanner::compile(&selection) else { return };
        println!(
            "compile: {:.1} ms, {} rules, automata {} KiB, scorer {}",
            began.elapsed().as_secs_f64() * 1e3,
            scanner.cards().len(),
            scanner.memory() / 1024,
            scorer
        );
        let mut texts: Vec<(String, String)> = vec![
            ("prose 1 KiB".into(), PROSE.repeat(3).chars().take(1024).collect()),
            ("prose 64 KiB".into(), PROSE.repeat(170).chars().take(65536).collect()),
            ("russian 64 KiB".into(), "Паром пришёл вовремя, и люди на пирсе ждали своей очереди. ".repeat(620)),
            ("chinese 64 KiB".into(), "请总结以下段落，并列出时间表中最重要的三个事实。".repeat(900)),
            ("one letter 1 MiB".into(), "a".repeat(1 << 20)),
            ("zero-width 100k".into(), "\u{200b}".repeat(100_000)),
            ("near misses 256 KiB".into(), "ignore all previou instruction ".repeat(8456)),
            ("nested base64".into(), nested()),
            ("separated 256 KiB".into(), "i g n o r e ".repeat(21845)),
            ("digits 256 KiB".into(), "4111 1111 1111 1112 ".repeat(13107)),
            ("at signs 256 KiB".into(), "a@b.c@d.e@".repeat(26214)),
            ("percent 256 KiB".into(), "%41%20".repeat(43690)),
            ("deep entities".into(), "&amp;".repeat(52428)),
        ];
        for path in std::env::args().skip(1) {
            let rows = std::fs::read_to_string(&path).unwrap_or_default();
            let all: Vec<String> = rows
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .filter_map(|row| row.get("text").and_then(|text| text.as_str()).map(String::from))
                .collect();
            texts.push((path.rsplit('/').next().unwrap_or(&path).into(), all.join("\n")));
        }
        let only = std::env::var("ONLY").unwrap_or_default();
        for (name, text) in texts.iter().filter(|(name, _)| name.contains(&only)) {
            let cost = per_byte(text, |text| {
                black_box(scanner.scan(&[Text { zone: Zone::User, text }], ample));
            });
            let fold = if only.is_empty() {
                per_byte(text, |text| {
                    black_box(normalise::normalise(text));
                })
            } else {
                0.0
            };
            println!(
                "{name:32} {:8} bytes  scan {:7.1} MB/s  normalise {:7.1} MB/s",
                text.len(),
                1e3 / cost,
                1e3 / fold
            );
        }
    }
}

/// Nanoseconds a byte, the best of a few runs.
fn per_byte(text: &str, run: impl Fn(&str)) -> f64 {
    let mut best = f64::MAX;
    let began = Instant::now();
    while began.elapsed().as_millis() < 300 {
        let start = Instant::now();
        run(text);
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    best / text.len().max(1) as f64
}

fn nested() -> String {
    use base64::Engine as _;
    let mut text = PROSE.repeat(20);
    for _ in 0..5 {
        text = base64::engine::general_purpose::STANDARD.encode(text);
    }
    text
}
