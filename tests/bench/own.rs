//! Rules of a policy's own, with patterns, that wake often and hit now and then in English prose.

use serde_json::{Value, json};

const WORDS: [&str; 24] = [
    "account",
    "bridge",
    "customer",
    "delivery",
    "engine",
    "factory",
    "garden",
    "harbour",
    "invoice",
    "journey",
    "kitchen",
    "library",
    "machine",
    "museum",
    "network",
    "office",
    "payment",
    "quarter",
    "report",
    "school",
    "ticket",
    "village",
    "warehouse",
    "workshop",
];
const AFTER: [&str; 6] = [
    r"\s+(?:of|from)\s+(?:the\s+)?[a-z]{4,16}",
    r"\s+(?:was|had)\s+[a-z]+(?:ed|ing)\b",
    r"\s+(?:no|number)\.?\s+[0-9]{2,8}",
    r"\s+in\s+[a-z]+\s+(?:19|20)[0-9]{2}",
    r"(?:s|es)?\s+and\s+(?:the|a)\s+[a-z]+",
    r"\W{1,4}[a-z]{3,12}\s+(?:on|near|with)\s+[a-z]+",
];

/// This many rules, as a policy's `rules.custom` has them. They flag and refuse nothing.
pub fn rules(count: usize) -> Value {
    (0..count).map(rule).collect()
}

fn rule(number: usize) -> Value {
    let word = WORDS.get(number % WORDS.len()).copied().unwrap_or_default();
    let after = AFTER.get(number / WORDS.len() % AFTER.len()).copied().unwrap_or_default();
    json!({
        "id": format!("X-{}", number + 1), "title": "One of many", "pack": "secrets", "level": "low",
        "keywords": [word], "pattern": format!(r"\b{word}{after}|\b{word}\s+{number}\b"),
    })
}
