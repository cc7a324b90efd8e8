//! Findings of the shipped rules, masked: the value is gone, what is left is found no more, and a stream
//! gives what the whole text gives.

use bartizan::enums::{DataAction, Pack, Zone};
use bartizan::redact::{Destination, MaskKey, Masker, StreamMasker, Target, Vault};
use bartizan::scan::rulefile::RuleFile;
use bartizan::scan::{Budget, Kind, Scanner, Selection, Text};
use proptest::prelude::*;

fn scanner() -> Scanner {
    let selection = Selection { packs: &[Pack::Secrets, Pack::Pii], disable: &[], custom: &[], scorer: false };
    Scanner::compile(&selection).unwrap()
}

fn targets(scanner: &Scanner, text: &str, action: DataAction) -> Vec<Target> {
    let budget = Budget { scan_bytes: 1 << 20, decoded_bytes: 1 << 20, ..Budget::SHIPPED };
    let report = scanner.scan(&[Text { zone: Zone::User, text }], budget);
    report.texts[0]
        .findings
        .iter()
        .map(|f| Target { span: f.span.clone(), kind: scanner.cards()[usize::from(f.rule.0)].kind, action })
        .filter(|target| target.kind != Kind::Attack)
        .collect()
}

fn samples() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for pack in ["secrets", "pii"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(pack);
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let rule: RuleFile = serde_norway::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
            out.extend(rule.tests.matching.into_iter().map(|text| (rule.id.clone(), text)));
        }
    }
    out
}

#[test]
fn a_masked_sample_is_found_no_more_and_masking_again_changes_nothing() {
    let scanner = scanner();
    let mut wrong = Vec::new();
    for (id, text) in samples() {
        for action in [DataAction::Mask, DataAction::Hash] {
            let mut masker = Masker::new(MaskKey::new("k"));
            let once = masker.mask(&text, &targets(&scanner, &text, action));
            let again = masker.mask(&once.text, &targets(&scanner, &once.text, action));
            if again.text != once.text {
                wrong.push(format!("{id} {action:?}: {text:?} -> {:?} -> {:?}", once.text, again.text));
            }
            if once.edits.is_empty() {
                wrong.push(format!("{id} {action:?}: nothing masked in {text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_reversible_mask_brings_every_sample_back_where_no_address_is_near() {
    let scanner = scanner();
    for (id, text) in samples() {
        if ["://", "http:", "www.", "](", "mailto:", "data:", ":\\\\"]
            .iter()
            .any(|mark| text.to_lowercase().contains(mark))
        {
            continue;
        }
        let mut vault = Vault::new(MaskKey::new("k"), b"acme".to_vec(), 1 << 20);
        let masked =
            vault.mask(&text, &targets(&scanner, &text, DataAction::Restore), &mut Masker::new(MaskKey::new("k")));
        assert_ne!(masked.text, text, "{id}");
        assert_eq!(vault.restore(&masked.text, Destination::Reply), text, "{id}");
    }
}

/// What may be around a text that holds a value.
const NEIGHBOURS: [(&str, &str); 14] = [
    ("Dear all,\n", "\nThanks"),
    ("Hello. ", " Bye."),
    ("{\"note\": \"", "\", \"subject\": \"Hello\"}"),
    ("{\"", "\": [1, 2]}"),
    ("(", ")"),
    ("\"", "\""),
    ("“", "”"),
    ("请看：", "。谢谢"),
    ("「", "」"),
    ("| ", " | next |"),
    ("- ", "\n- next item"),
    ("<p>", "</p>"),
    ("Привет, ", ", спасибо"),
    ("مرحبا ", " شكرا"),
];

#[test]
fn only_the_value_is_masked_whatever_stands_beside_it() {
    let scanner = scanner();
    let (mut wrong, mut pairs, mut fewer) = (Vec::new(), 0, 0);
    for (id, sample) in samples() {
        let places = |text: &str, at: usize| {
            let mut masker = Masker::new(MaskKey::new("k"));
            let edits = masker.mask(text, &targets(&scanner, text, DataAction::Mask)).edits;
            edits
                .iter()
                .map(|edit| {
                    (edit.before.start as isize - at as isize, edit.before.end as isize - at as isize, edit.label)
                })
                .collect::<Vec<_>>()
        };
        let alone = places(&sample, 0);
        for (before, after) in NEIGHBOURS {
            let text = format!("{before}{sample}{after}");
            let beside = places(&text, before.len());
            pairs += 1;
            // Some rules want a line of its own.
            let apart = before.ends_with('\n') && after.starts_with('\n');
            if beside != alone && !apart && beside.iter().all(|place| alone.contains(place)) {
                fewer += 1;
            } else if beside != alone {
                wrong.push(format!("{id}: {text:?}: {beside:?}, by itself {alone:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(fewer * 20 <= pairs, "{fewer} of {pairs} are not found");
}

/// Values that are found without a word beside them.
const BARE: [&str; 8] = [
    "ada@lovelace.example",
    "+44 20 7946 0018",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "192.0.2.17",
    "2001:db8:41::9",
    "00:1b:44:11:3a:b7",
    "811228-9874",
];

/// What code, data and Markdown put around a value.
const QUOTES: [(&str, &str); 24] = [
    ("'", "'"),
    ("\"", "\""),
    ("`", "`"),
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("<", ">"),
    ("*", "*"),
    ("**", "**"),
    ("~~", "~~"),
    ("|", "|"),
    ("\t", "\t"),
    ("\n", "\n"),
    ("\r\n", "\r\n"),
    (" ", " "),
    ("='", "'"),
    ("=\"", "\""),
    (": ", ","),
    (",", ","),
    (";", ";"),
    ("('", "')"),
    ("\\\"", "\\\""),
    ("“", "”"),
    ("„", "“"),
];

#[test]
fn exactly_the_value_is_masked_in_the_quotes_of_code_and_data() {
    let scanner = scanner();
    let mut wrong = Vec::new();
    for value in BARE {
        for (open, close) in QUOTES {
            for (before, after) in
                [("", ""), ("INSERT INTO people VALUES (1, ", ", 2);"), ("see ", " and more"), ("N", "")]
            {
                let text = format!("{before}{open}{value}{close}{after}");
                let at = before.len() + open.len();
                let edits =
                    Masker::new(MaskKey::new("k")).mask(&text, &targets(&scanner, &text, DataAction::Mask)).edits;
                let places: Vec<_> = edits.into_iter().map(|edit| edit.before).collect();
                if !matches!(places.as_slice(), [place] if *place == (at..at + value.len())) {
                    wrong.push(format!(
                        "{text:?}: {:?}",
                        places.iter().map(|place| &text[place.clone()]).collect::<Vec<_>>()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Times as file names, tickets and logs write them look like numbers of persons, and one in ten has the check digit.
#[test]
fn a_time_or_a_running_number_is_nobodys_number() {
    let scanner = scanner();
    let mut wrong = Vec::new();
    for number in 0..2000 {
        let (year, month, day) = (2020 + number % 10, 1 + number % 12, 1 + number % 28);
        let (hour, minute, second) = (number % 24, number * 7 % 60, number * 13 % 60);
        for stamp in [
            format!("{year}{month:02}{day:02}-{hour:02}{minute:02}"),
            format!("{year}{month:02}{day:02}{hour:02}{minute:02}"),
            format!("{year}{month:02}{day:02}-{hour:02}{minute:02}{second:02}"),
            format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}"),
            format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"),
            format!("{year}{month:02}{day:02}-{number:04}"),
        ] {
            for (before, after) in
                [("order ", " is late"), ("OBR|1|", "^LIS|"), ("backup/", ".tar.gz"), ("id=", "&x=1")]
            {
                let text = format!("{before}{stamp}{after}");
                let found = targets(&scanner, &text, DataAction::Mask);
                wrong.extend(found.iter().map(|target| format!("{text:?}: {:?}", target.kind)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_cutting_of_a_reply_is_masked_alike(
        parts in prop::collection::vec(prop_oneof![
            Just("write to jane.roe@example.org or ".to_owned()),
            Just("call +44 20 7946 0018, ".to_owned()),
            Just("card 4111 1111 1111 1111. ".to_owned()),
            Just("IBAN DE89 3704 0044 0532 0130 00; ".to_owned()),
            "[a-z ,.]{0,300}",
        ], 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let scanner = scanner();
        let text = parts.concat();
        let mut places: Vec<usize> = cuts.iter().map(|at| at.index(text.len() + 1)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let run = |places: &[usize]| {
            let (mut masker, mut stream, mut out) = (Masker::new(MaskKey::new("k")), StreamMasker::new(), String::new());
            let mut detect = |text: &str| targets(&scanner, text, DataAction::Mask);
            for pair in places.windows(2) {
                out.push_str(&stream.feed(&text[pair[0]..pair[1]], &mut masker, &mut detect));
            }
            out.push_str(&stream.finish(&mut masker, &mut detect));
            out
        };
        let whole = run(&[0, text.len()]);
        prop_assert_eq!(run(&places), whole.clone());
        prop_assert!(!whole.contains("4111") && !whole.contains("7946") && !whole.contains('@'));
    }
}
