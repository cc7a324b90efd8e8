//! Any text, with the shipped rules: validators and masks never panic, a masked text stays as it is, a
//! reversible mask comes back, and a stream is the same however it is cut.
#![no_main]

use std::sync::OnceLock;

use bartizan::enums::{DataAction, Pack, Zone};
use bartizan::redact::{Destination, MaskKey, Masker, StreamMasker, Target, Vault, validate};
use bartizan::scan::{Budget, Kind, Scanner, Selection, Text};
use libfuzzer_sys::fuzz_target;

static SCANNER: OnceLock<Option<Scanner>> = OnceLock::new();

fn targets(text: &str) -> Vec<Target> {
    let scanner = SCANNER.get_or_init(|| {
        let packs = [Pack::Secrets, Pack::Pii];
        Scanner::compile(&Selection { packs: &packs, disable: &[], custom: &[], scorer: false }).ok()
    });
    let Some(scanner) = scanner else { return Vec::new() };
    let budget = Budget { scan_bytes: 1 << 20, decoded_bytes: 1 << 16, ..Budget::SHIPPED };
    let report = scanner.scan(&[Text { zone: Zone::User, text }], budget);
    let findings = report.texts.into_iter().flat_map(|text| text.findings);
    findings
        .filter_map(|f| Some((f.span, scanner.cards().get(usize::from(f.rule.0))?.kind)))
        .filter(|(_, kind)| *kind != Kind::Attack)
        .map(|(span, kind)| Target { span, kind, action: DataAction::Mask })
        .collect()
}

fn stream(pieces: &[&str]) -> String {
    let (mut masker, mut stream, mut out) = (Masker::new(MaskKey::new("k")), StreamMasker::new(), String::new());
    for piece in pieces {
        out.push_str(&stream.feed(piece, &mut masker, &mut targets));
    }
    out.push_str(&stream.finish(&mut masker, &mut targets));
    out
}

fuzz_target!(|input: (u16, String)| {
    let (at, text) = input;
    for name in validate::names() {
        let start = text.floor_char_boundary(usize::from(at).min(text.len()));
        validate::validator(name).map(|check| check.accepts(&text, start..text.len()));
    }
    let found = targets(&text);
    let masked = Masker::new(MaskKey::new("k")).mask(&text, &found);
    let again: Vec<Target> = masked
        .edits
        .iter()
        .map(|edit| Target { span: edit.after.clone(), kind: Kind::Secret, action: DataAction::Mask })
        .collect();
    assert_eq!(Masker::new(MaskKey::new("k")).mask(&masked.text, &again).text, masked.text);

    let mut vault = Vault::new(MaskKey::new("k"), Vec::new(), 1 << 20);
    let kept: Vec<Target> =
        found.iter().map(|target| Target { action: DataAction::Restore, ..target.clone() }).collect();
    let reversible = vault.mask(&text, &kept, &mut Masker::new(MaskKey::new("k")));
    // Behind an address values stay masked on purpose.
    if !text.contains([':', '/', '(', '.']) {
        assert_eq!(vault.restore(&reversible.text, Destination::Reply), text);
    }

    let cut = text.floor_char_boundary(usize::from(at).min(text.len()));
    let (first, second) = text.split_at(cut);
    assert_eq!(stream(&[first, second]), stream(&[&text]));
});
