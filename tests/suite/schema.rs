//! The JSON Schema says the same as the code, and the documentation the same as the schema.

use crate::common;

use bartizan::cli::schema::{markdown, record_markdown, record_schema, schema};
use common::{broken, data};
use serde_json::Value;

/// A validator of just the words that the schema uses; any other word fails the test.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    if *schema == Value::Bool(true) {
        return;
    }
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                faults(root, target, value, at, out);
            }
            "type" => {
                let fits = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "boolean" => value.is_boolean(),
                    other => panic!("{at}: type {other}"),
                };
                if !fits {
                    out.push(format!("{at}: expected {rule}"));
                }
            }
            "const" => {
                if value != rule {
                    out.push(format!("{at}: expected {rule}"));
                }
            }
            "minimum" => {
                if value.as_i64().is_some_and(|number| number < rule.as_i64().unwrap()) {
                    out.push(format!("{at}: under {rule}"));
                }
            }
            "pattern" => {
                assert_eq!(rule, "^[0-9]+(ms|s|m|h|d)$");
                let text = value.as_str().unwrap_or_default();
                if text.trim_start_matches(|c: char| c.is_ascii_digit()).len() > 2 || text.is_empty() {
                    out.push(format!("{at}: expected {rule}"));
                }
            }
            "oneOf" => {
                let fits = rule.as_array().unwrap().iter().filter(|choice| {
                    let mut inner = Vec::new();
                    faults(root, choice, value, at, &mut inner);
                    inner.is_empty()
                });
                if fits.count() != 1 {
                    out.push(format!("{at}: none or several of the choices"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    faults(root, rule, item, &format!("{at}[{index}]"), out);
                }
            }
            "required" => {
                for key in rule.as_array().unwrap() {
                    if value.is_object() && value.get(key.as_str().unwrap()).is_none() {
                        out.push(format!("{at}: {key} is missing"));
                    }
                }
            }
            "properties" => {
                for (key, below) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(key) {
                        faults(root, rule, below, &format!("{at}.{key}"), out);
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                for (key, below) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.get(key).is_some()) {
                        continue;
                    }
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => out.push(format!("{at}.{key}: unknown")),
                        rule => faults(root, rule, below, &format!("{at}.{key}"), out),
                    }
                }
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flatten().map(|(key, _)| Value::from(key.as_str())) {
                    faults(root, rule, &key, at, out);
                }
            }
            other => panic!("{at}: the schema has a new word, {other}: teach this test"),
        }
    }
}

fn check(document: &Value) -> Vec<String> {
    let schema = schema();
    let mut out = Vec::new();
    faults(&schema, &schema, document, "", &mut out);
    out
}

#[test]
fn the_good_document_fits_the_schema() {
    let document: Value = serde_norway::from_str(&data("good.yaml")).unwrap();
    assert_eq!(check(&document), [""; 0]);
}

/// What the schema can't say: meaning. What it can say it must.
#[test]
fn errors_of_form_are_errors_of_the_schema_too() {
    let mut caught = 0;
    for (case, text) in broken() {
        let of_form = ["unknown field", "unknown value", "missing, but required", "expected an object, found"]
            .iter()
            .any(|message| case.errors.iter().all(|error| error.contains(message)));
        // Some keys are required by what is beside them: only the code can say that.
        let by_neighbour = case.errors.iter().any(|error| {
            error.contains("operation: missing")
                || error.starts_with("rateLimitService: missing")
                || error.contains("claim: missing")
                || error.contains("tenancy")
        });
        if let (true, false, Ok(document)) = (of_form, by_neighbour, serde_norway::from_str::<Value>(&text)) {
            caught += 1;
            assert!(!check(&document).is_empty(), "{}", case.name);
        }
    }
    assert!(caught >= 10, "{caught}");
}

#[test]
fn every_key_has_a_row_and_a_meaning() {
    let table = markdown();
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() >= 4 && !cells[3].is_empty(), "{line}");
    }
    for key in ["authn.issuers[].jwks.inline.keys", "roles.*.quotas[].window", "routes[].protocol.generic.prompt"] {
        assert!(table.contains(&format!("| `{key}` |")), "{key}");
    }
}

/// `REFERENCE=write cargo test --test suite schema` writes the page. A change of the policy's form shows in it, line by line.
#[test]
fn the_reference_holds_the_table_of_keys() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, old) = page.split_once("<!-- keys -->\n\n").expect("the mark that the table follows");
    let new = markdown();
    if std::env::var("REFERENCE").is_ok_and(|word| word == "write") {
        std::fs::write(path, format!("{head}<!-- keys -->\n\n{new}")).unwrap();
        return;
    }
    let only = |one: &str, other: &str, sign: char| -> String {
        one.lines()
            .filter(|line| !other.lines().any(|same| same == *line))
            .map(|line| format!("{sign} {line}\n"))
            .collect()
    };
    let changed = only(old, &new, '-') + &only(&new, old, '+');
    assert!(
        old == new,
        "src/manual/configuration.md is stale: REFERENCE=write cargo test --test suite schema\n{changed}"
    );
}

/// What tools and people read of the record's form. `REFERENCE=write` writes both.
#[test]
fn the_records_form_is_published() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/");
    let (page, file) = (format!("{folder}audit.md"), format!("{folder}audit-record.schema.json"));
    let text = std::fs::read_to_string(&page).unwrap();
    let (head, table) = text.split_once("<!-- fields -->\n\n").expect("the mark that the table follows");
    let new = (record_markdown(), format!("{:#}\n", record_schema()));
    if std::env::var("REFERENCE").is_ok_and(|word| word == "write") {
        std::fs::write(&page, format!("{head}<!-- fields -->\n\n{}", new.0)).unwrap();
        std::fs::write(&file, new.1).unwrap();
        return;
    }
    let old = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(table == new.0 && old == new.1, "stale: REFERENCE=write cargo test --test suite schema");
    for (name, property) in record_schema()["properties"].as_object().unwrap() {
        assert!(
            property.get("description").is_some() || property.get("$ref").is_some(),
            "{name}: says nothing of itself"
        );
    }
}

/// The thresholds that the documentation states are those of a guard that writes none.
#[test]
fn the_stated_thresholds_are_the_compiled_ones() {
    let text = serde_json::json!({ "version": 1, "name": "p", "authn": { "unsafeAnonymous": true },
        "roles": { "anonymous": { "operations": ["chat"], "models": ["*"] } },
        "routes": [{ "match": { "path": "/v1/chat/completions" }, "protocol": "openai" }],
        "guards": { "standard": {} } });
    let policy = bartizan::policy::Policy::from_json(text.to_string().as_bytes(), &|_| None).unwrap();
    let stated = markdown();
    for zone in bartizan::enums::Zone::ALL {
        let line = format!("`guards.*.injection.thresholds.{}` | number | ", zone.as_str());
        let number = stated.split(&line).nth(1).and_then(|rest| rest.split(' ').next()).expect("a line of the zone");
        assert_eq!(number, policy.guards[0].injection.threshold(*zone).to_string(), "{}", zone.as_str());
    }
}
