//! What tools answer: JSON.

use serde_json::{Map, Value, json};

use super::words::English;
use super::{Draw, machine, prose};

/// One answer of a tool: a few records, written on one line or indented.
pub fn tool_result(draw: &mut Draw, english: &English, out: &mut String) {
    let rows: Vec<Value> = (0..draw.between(1, 4)).map(|_| record(draw, english)).collect();
    let answer = json!({
        "query": { "text": format!("{} {}", english.noun(draw), english.noun(draw)), "limit": draw.between(5, 100) },
        "total": draw.below(100_000), "took_ms": draw.below(500), "cursor": draw.hex(16), english.plural(draw): rows,
    });
    let text = if draw.one_in(2) { serde_json::to_string(&answer) } else { serde_json::to_string_pretty(&answer) };
    out.push_str(&text.unwrap_or_default());
    out.push('\n');
}

fn record(draw: &mut Draw, english: &English) -> Value {
    let mut fields = Map::new();
    fields.insert("id".into(), if draw.one_in(2) { machine::uuid(draw).into() } else { draw.below(10_000_000).into() });
    for _ in 0..draw.between(4, 9) {
        let (name, value) = field(draw, english, true);
        fields.insert(name, value);
    }
    Value::Object(fields)
}

fn field(draw: &mut Draw, english: &English, nest: bool) -> (String, Value) {
    let noun = harmless(draw, english);
    match draw.below(13) {
        0 => (format!("{noun}_at"), stamp(draw).into()),
        1 => (
            format!("{noun}_url"),
            format!("https://{}.example/{noun}/{}?ref={}", english.coined(draw), draw.below(90_000), draw.hex(6))
                .into(),
        ),
        2 => (
            "contact".into(),
            format!("{}.{}@{}.example", draw.pick(&english.names).to_lowercase(), noun, english.coined(draw)).into(),
        ),
        3 => (format!("{noun}_count"), draw.below(90_000).into()),
        4 => (noun, (draw.below(1_000_000) as f64 / 100.0).into()),
        5 => (format!("is_{}", draw.pick(&english.adjectives)), draw.one_in(2).into()),
        6 => (noun, Value::Null),
        7 | 8 => {
            let mut text = String::new();
            (0..draw.between(1, 2)).for_each(|_| prose::sentence(draw, english, &mut text));
            (draw.pick(&["description", "summary", "note", "body"]).into(), text.into())
        }
        9 => ("status".into(), draw.pick(&["open", "closed", "pending", "in_progress", "merged"]).into()),
        10 => ("tags".into(), (0..draw.below(4)).map(|_| Value::from(english.noun(draw))).collect::<Vec<_>>().into()),
        11 if nest => {
            let inner: Map<String, Value> = (0..draw.between(2, 4)).map(|_| field(draw, english, false)).collect();
            (noun, inner.into())
        }
        _ => (
            format!("{noun}Name"),
            format!("{} {}", draw.pick(&english.names), english.capital(&english.coined(draw))).into(),
        ),
    }
}

/// A noun that names no credential: a value beside such a name is refused with reason.
fn harmless(draw: &mut Draw, english: &English) -> String {
    let noun = english.noun(draw);
    if ["password", "secret"].contains(&noun.as_str()) { "entry".into() } else { noun }
}

fn stamp(draw: &mut Draw) -> String {
    format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        draw.between(1, 12),
        draw.between(1, 28),
        draw.below(24),
        draw.below(60),
        draw.below(60),
        draw.below(1000)
    )
}
