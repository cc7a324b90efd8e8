//! Credentials of every public form are found whole wherever they are, and their harmless neighbours are let pass.
//!
//! The kinds are data (`tests/data/values`): formats, from which values are drawn here, so that the repository holds no
//! value that anyone could take for a secret.

use crate::common;

use std::collections::BTreeMap;
use std::ops::Range;

use bartizan::enums::{Pack, Zone};
use bartizan::scan::{Budget, Scanner, Selection, Text};
use bartizan_rules::words::Level;
use common::values::{Draw, draw};

/// Values of a kind that are drawn.
const DRAWS: u64 = 4;

#[derive(serde::Deserialize)]
struct Secrets {
    kinds: BTreeMap<String, String>,
    named: BTreeMap<String, Named>,
    blocks: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct Named {
    names: Vec<String>,
    value: String,
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/values").join(file);
    serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn scanner() -> Scanner {
    let selection = Selection { packs: &[Pack::Secrets], disable: &[], custom: &[], scorer: false };
    Scanner::compile(&selection).unwrap()
}

/// What is found: rule and place, in order. `grave`: only what a guard that blocks secrets acts on.
fn found(scanner: &Scanner, text: &str, grave: bool) -> Vec<(String, Range<usize>)> {
    let report = scanner.scan(&[Text { zone: Zone::User, text }], Budget::SHIPPED).texts.remove(0);
    let mut spans: Vec<_> = (report.findings.iter())
        .map(|finding| (&scanner.cards()[usize::from(finding.rule.0)], finding.span.clone()))
        .filter(|(card, _)| !grave || card.level >= Level::Medium)
        .map(|(card, span)| (card.id.to_string(), span))
        .collect();
    spans.sort_by_key(|(_, span)| span.start);
    spans
}

/// The bytes that a mask covers, white space at the ends left out.
fn covered(text: &str, found: &[(String, Range<usize>)]) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for (_, span) in found {
        let solid = text[span.clone()].trim();
        let start = span.start + (text[span.clone()].len() - text[span.clone()].trim_start().len());
        let span = start..start + solid.len();
        match out.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

/// Texts around a value that is known by itself: what is before and after.
const AROUND: [(&str, &str); 16] = [
    ("", ""),
    ("My colleague sent ", " this morning, is that fine?"),
    ("The one in use is ", ". Please rotate it."),
    ("export WIDGET_REF=", "\nexport REGION=eu-1\n"),
    ("WIDGET_REF=\"", "\"\n"),
    ("{\"widget\": \"", "\", \"retries\": 3}"),
    ("{\"text\": \"run it with \\\"", "\\\" and see\"}"),
    ("widget:\n  ref: ", "\n  region: eu-1\n"),
    ("curl -H 'X-Widget: ", "' https://api.firm.net/v1"),
    ("client = Client(\"", "\", timeout=30)"),
    ("2026-11-27T05:33:18Z INFO [worker-7] calling with ", " for tenant 12"),
    ("Use `", "` there."),
    ("密钥是", "，请保存。"),
    ("<ref>", "</ref>"),
    ("| widget | ", " | active |"),
    ("Look: (", ")"),
];

/// Assignments of a value to a name.
const ASSIGNED: [(&str, &str); 16] = [
    ("", "={}\n"),
    ("export ", "=\"{}\"\n"),
    ("REGION=eu-1\n", "={}\nRETRIES=3\n"),
    ("{\"", "\": \"{}\", \"retries\": 3}"),
    ("{\"", "\":\"{}\"}"),
    ("widget:\n  ", ": {}\n  region: eu-1\n"),
    ("  ", ": '{}'\n"),
    ("", " := \"{}\"\n"),
    ("var ", " string = \"{}\"\n"),
    ("const ", ": string = '{}';\n"),
    ("String ", " = \"{}\";\n"),
    ("$config['", "'] = '{}';\n"),
    ("System.setProperty(\"", "\", \"{}\");\n"),
    (":", " => '{}',\n"),
    ("", " ?= \"{}\"\n"),
    ("<", ">{}</x>\n"),
];

struct Case {
    kind: String,
    text: String,
    secret: Range<usize>,
}

/// Takes the marks of a secret out of a text; without marks it is the whole text.
fn marked(text: &str) -> (String, Range<usize>) {
    match text.split_once('«').and_then(|(head, rest)| rest.split_once('»').map(|(value, tail)| (head, value, tail)))
    {
        Some((head, value, tail)) => (format!("{head}{value}{tail}"), head.len()..head.len() + value.len()),
        None => (text.to_owned(), 0..text.len()),
    }
}

fn cases() -> Vec<Case> {
    let secrets: Secrets = read("secrets.yaml");
    let mut cases = Vec::new();
    let mut push = |kind: &str, before: &str, value: &str, after: &str| {
        let (text, secret) = marked(value);
        let secret = before.len() + secret.start..before.len() + secret.end;
        cases.push(Case { kind: kind.to_owned(), text: format!("{before}{text}{after}"), secret });
    };
    for seed in 0..DRAWS {
        for (kind, format) in &secrets.kinds {
            let value = draw(format, &mut Draw::new(kind, seed));
            // A header, a URL or a line of a file is on a line of its own.
            let part = value.contains('«');
            for (before, after) in AROUND.iter().filter(|_| !part) {
                push(kind, before, &value, after);
            }
            if part {
                ["", "What is wrong with this?\n", "{\n"]
                    .iter()
                    .zip(["", "\nIt is refused.", "\n}"])
                    .for_each(|(before, after)| push(kind, before, &value, after));
            }
        }
        for (kind, named) in &secrets.named {
            let value = draw(&named.value, &mut Draw::new(kind, seed));
            for name in &named.names {
                for (before, after) in &ASSIGNED {
                    let (operator, after) = after.split_once("{}").unwrap();
                    push(kind, &format!("{before}{name}{operator}"), &value, after);
                }
            }
        }
        for (kind, format) in &secrets.blocks {
            let value = draw(format, &mut Draw::new(kind, seed));
            push(kind, "", &value, "");
            push(kind, "Why does this fail?\n\n", &value, "\n\nThe file is new.");
            push(kind, "```\n", &value, "\n```\n");
        }
    }
    cases
}

#[test]
fn credentials_of_every_kind_are_found_whole_and_nothing_beside_them() {
    let scanner = scanner();
    let cases = cases();
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases {
        *kinds.entry(&case.kind).or_default() += 1;
        let found = found(&scanner, &case.text, true);
        if covered(&case.text, &found) != [case.secret.clone()] {
            wrong.entry(case.kind.clone()).or_default().push(format!("{:?} {:?} {found:?}", case.text, case.secret));
        }
    }
    let missed: usize = wrong.values().map(Vec::len).sum();
    for (kind, wrong) in &wrong {
        println!("{kind}: {} of {}: {}", wrong.len(), kinds[kind.as_str()], wrong[0]);
    }
    println!("{} kinds, {} texts, {missed} not found as they should be", kinds.len(), cases.len());
    assert!(kinds.len() >= 250);
    // One random value in some hundreds reads like words or like counting.
    let few = |kind: &str, wrong: usize| wrong * 100 <= kinds[kind] * 30;
    let bad: Vec<String> = (wrong.iter().filter(|(kind, wrong)| !few(kind, wrong.len())))
        .map(|(kind, wrong)| format!("{kind}: {} of {}\n  {}", wrong.len(), kinds[kind.as_str()], wrong[0]))
        .collect();
    assert!(bad.is_empty(), "{} kinds:\n{}", bad.len(), bad.join("\n"));
    assert!(missed * 100 <= cases.len(), "{missed} of {}", cases.len());
}

/// A way to write a character.
type Spelling = fn(char) -> String;
/// Which characters of a value are written so, by place and character.
type Pick = fn(usize, char) -> bool;

#[test]
fn escapes_hide_no_credential() {
    let scanner = scanner();
    let secrets: Secrets = read("secrets.yaml");
    let ways: [(&str, Spelling); 6] = [
        ("\\u", |c| format!("\\u{:04x}", u32::from(c))),
        ("\\u{}", |c| format!("\\u{{{:x}}}", u32::from(c))),
        ("\\x", |c| format!("\\x{:02x}", u32::from(c))),
        ("&#", |c| format!("&#{};", u32::from(c))),
        ("&#x", |c| format!("&#x{:X};", u32::from(c))),
        ("%", |c| format!("%{:02X}", u32::from(c))),
    ];
    let picks: [(&str, Pick); 3] =
        [("all", |_, _| true), ("marks", |_, c| c.is_ascii_punctuation()), ("some", |at, _| at % 5 == 2)];
    let plain: Vec<(&String, String)> = (secrets.kinds.iter().filter(|(_, format)| !format.contains('«')))
        .map(|(kind, format)| (kind, draw(format, &mut Draw::new(kind, 1))))
        .filter(|(_, value)| value.bytes().all(|byte| byte.is_ascii_graphic()))
        .filter(|(_, value)| !found(&scanner, &format!("It is {value} now."), true).is_empty())
        .collect();
    let (mut tried, mut missed) = (0, Vec::new());
    for (kind, value) in &plain {
        for (way, spell) in &ways {
            for (which, picks) in &picks {
                let write = |(at, c): (usize, char)| if picks(at, c) { spell(c) } else { c.to_string() };
                let hidden: String = value.chars().enumerate().map(write).collect();
                tried += 1;
                if found(&scanner, &format!("It is {hidden} now."), true).is_empty() {
                    missed.push(format!("{kind} {way} {which}: {hidden}"));
                }
            }
        }
    }
    assert!(plain.len() >= 100, "{}", plain.len());
    assert!(missed.len() * 100 <= tried, "{} of {tried}:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn harmless_neighbours_of_credentials_are_let_pass() {
    let scanner = scanner();
    let formats: Vec<String> = read("harmless.yaml");
    assert!(formats.len() >= 200);
    let mut wrong = Vec::new();
    for format in &formats {
        for seed in 0..DRAWS * 3 {
            let text = draw(format, &mut Draw::new(format, seed));
            for (before, after) in
                [("", ""), ("What does this mean?\n", "\nThanks"), ("{\n  ", "\n}"), ("- ", "\n- next")]
            {
                let text = format!("{before}{text}{after}");
                let found = found(&scanner, &text, false);
                if !found.is_empty() {
                    wrong.push((format.clone(), format!("{text:?}: {found:?}")));
                }
            }
        }
    }
    let count = wrong.len();
    wrong.dedup_by(|a, b| a.0 == b.0);
    let wrong: Vec<String> = wrong.into_iter().map(|(_, what)| what).collect();
    assert!(wrong.is_empty(), "{count} texts of {} forms:\n{}", wrong.len(), wrong.join("\n"));
}

/// Fields about credentials, as tools answer them: times, counts, places, names and numbers of them.
#[test]
fn fields_about_credentials_are_let_pass() {
    let scanner = scanner();
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "key",
        "api_key",
        "access_token",
        "auth",
        "credential",
        "client_secret",
        "private_key",
        "passphrase",
        "refresh_token",
        "license_key",
    ];
    let fields = [
        ("{}_at", "\"2026-11-27T05:33:18.{d:3}Z\""),
        ("{}_expires_at", "\"2026-12-27T05:33:18+01:00\""),
        ("{}ExpiresIn", "{d:4}"),
        ("{}_created", "{d:13}"),
        ("{}_url", "\"https://kumbo{d:2}.example/item/{d:5}?ref={hex:6}\""),
        ("{}_count", "{d:5}"),
        ("{}_id", "\"{uuid}\""),
        ("{}Id", "\"{d:19}\""),
        ("{}_name", "\"Kumbo{d:2}-Lambda\""),
        ("{}Name", "\"prod/db-{an:8}\""),
        ("{}_type", "\"Pkcs{d:2}Envelope\""),
        ("{}_hash", "\"{hex:64}\""),
        ("{}_fingerprint", "\"SHA256:{b64:43}\""),
        ("{}_arn", "\"arn:aws:secretsmanager:eu-central-1:{d:12}:secret:db-{an:6}\""),
        ("{}_version", "\"v{d:2}.{d:1}.{d:2}-rc{d:1}\""),
        ("{}_status", "\"rotated_2026\""),
        ("encrypted_{}", "\"{b64:88}==\""),
        ("public_{}", "\"{b64:43}=\""),
        ("has_{}", "true"),
        ("{}_hint", "\"the usual one, with 2 digits\""),
        ("{}Required", "false"),
        ("{}_policy", "\"min{d:2}-max{d:2}-mixed\""),
    ];
    let mut wrong = Vec::new();
    for word in words {
        let camel: String = word
            .split('_')
            .enumerate()
            .map(|(at, part)| if at == 0 { part.to_owned() } else { part[..1].to_uppercase() + &part[1..] })
            .collect();
        for (name, value) in fields {
            let is_camel = name.contains("}I") || name.contains("}N") || name.contains("}E") || name.contains("}R");
            let name = name.replace("{}", if is_camel { &camel } else { word });
            for seed in 0..DRAWS {
                let value = draw(value, &mut Draw::new(&name, seed));
                for text in [
                    format!("{{\"{name}\": {value}, \"total\": 4}}"),
                    format!("{{\n  \"id\": 7,\n  \"{name}\": {value}\n}}"),
                    format!("{name}: {value}\n"),
                    format!("{name} = {value}\n"),
                    format!("{}={}\n", name.to_uppercase(), value.trim_matches('"')),
                ] {
                    let found = found(&scanner, &text, false);
                    if !found.is_empty() {
                        wrong.push((name.clone(), format!("{text:?}: {found:?}")));
                    }
                }
            }
        }
    }
    let count = wrong.len();
    wrong.dedup_by(|a, b| a.0 == b.0);
    let wrong: Vec<String> = wrong.into_iter().map(|(_, what)| what).collect();
    assert!(wrong.is_empty(), "{count} texts of {} names:\n{}", wrong.len(), wrong.join("\n"));
}

/// Values that are where a secret goes: each is written for `length` characters, of which some forms need fewer.
fn placeholders(length: usize) -> Vec<String> {
    let cycle = |text: &str| text.chars().cycle().take(length).collect::<String>();
    let mut out: Vec<String> = ["x", "X", "0", "1", "a", "*", "123", "abc", "xX", "1234567890", "0123456789abcdef"]
        .into_iter()
        .chain(["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "deadbeef"])
        .map(cycle)
        .collect();
    for word in ["your", "my", "the", "some", "a"] {
        for thing in ["api-key", "secret", "token-here", "client_secret", "password1", "access_token_2"] {
            out.push(format!("{word}-{thing}"));
            out.push(format!("<{word}-{thing}>"));
        }
    }
    for word in
        ["example", "EXAMPLE", "dummy", "fake", "sample", "placeholder", "changeme", "replace-me", "todo", "redacted"]
    {
        out.push(format!("{word}-{}", cycle("key1")));
        out.push(format!("{word}_token_123"));
        out.push(format!("[{word}]"));
    }
    for name in ["API_KEY", "token", "db.password", "SECRET_2"] {
        for (before, after) in [
            ("${", "}"),
            ("$", ""),
            ("%", "%"),
            ("{{ ", " }}"),
            ("{{", "}}"),
            ("<", ">"),
            ("%(", ")s"),
            ("#{", "}"),
            ("$(", ")"),
        ] {
            out.push(format!("{before}{name}{after}"));
        }
    }
    out
}

#[test]
fn placeholders_in_the_place_of_any_credential_are_let_pass() {
    let scanner = scanner();
    let secrets: Secrets = read("secrets.yaml");
    let (mut tried, mut wrong) = (0, BTreeMap::<String, Vec<String>>::new());
    let mut judge = |placeholder: &str, text: String| {
        tried += 1;
        let found = found(&scanner, &text, true);
        if !found.is_empty() {
            wrong.entry(placeholder.to_owned()).or_default().push(format!("{text:?}: {found:?}"));
        }
    };
    // Under a name, in each spelling of an assignment.
    let names: Vec<&str> = (secrets.named.values().flat_map(|named| &named.names).map(String::as_str))
        .step_by(7)
        .chain(["password", "DB_PASSWORD", "token", "secret", "clientSecret", "auth_token", "passwd"])
        .collect();
    for (at, name) in names.iter().enumerate() {
        let (before, after) = ASSIGNED[at % ASSIGNED.len()];
        for placeholder in placeholders([16, 24, 32, 40][at % 4]) {
            judge(&placeholder, format!("{before}{name}{}", after.replacen("{}", &placeholder, 1)));
        }
    }
    // Behind a provider's prefix, in the place of all that is random.
    for (kind, format) in secrets.kinds.iter().filter(|(_, format)| !format.contains('«') && !format.contains("jwt")) {
        let Some((prefix, _)) = format.split_once('{').filter(|(prefix, _)| prefix.len() >= 3) else { continue };
        let length = draw(format, &mut Draw::new(kind, 1)).len() - prefix.len();
        for placeholder in placeholders(length.max(8)) {
            judge(&placeholder, format!("WIDGET_REF={prefix}{placeholder}\n"));
        }
    }
    // In an address, behind a user.
    for placeholder in placeholders(16).iter().filter(|text| !text.contains(['<', '[', '{', ' ', '#', '('])) {
        for user in ["user", "app", ""] {
            judge(placeholder, format!("postgres://{user}:{placeholder}@db.firm.net:5432/main"));
            judge(placeholder, format!("curl -u {user}x:{placeholder} https://api.firm.net/v1"));
        }
    }
    let count: usize = wrong.values().map(Vec::len).sum();
    let wrong: Vec<String> =
        wrong.into_iter().map(|(form, all)| format!("{form}: {} such as {}", all.len(), all[0])).collect();
    println!("{tried} texts");
    assert!(wrong.is_empty(), "{count} of {tried} texts, {} forms:\n{}", wrong.len(), wrong.join("\n"));
}
