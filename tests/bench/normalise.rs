//! Prints rows of JSONL with their `text` normalised as the rules and the scorer see it: `normalise FILE...`.
//!
//! Training reads this. A row's other keys stay; `decoded` lists what was found inside encodings.

use std::io::{BufRead, BufReader, Write};

use bartizan::scan::normalise;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for path in std::env::args().skip(1) {
        for line in BufReader::new(std::fs::File::open(&path)?).lines() {
            let mut row: serde_json::Value = serde_json::from_str(&line?)?;
            let text = row.get("text").and_then(|text| text.as_str()).unwrap_or_default();
            let normalised = normalise::to_string(text);
            if let Some(row) = row.as_object_mut() {
                row.insert("text".to_owned(), normalised.into());
            }
            writeln!(out, "{row}")?;
        }
    }
    Ok(())
}
