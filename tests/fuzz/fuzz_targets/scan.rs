//! Any two texts scan without a panic, and every finding lies on character boundaries of its text.
#![no_main]

use std::sync::LazyLock;

use bartizan::enums::{Pack, Zone};
use bartizan::scan::{Budget, Scanner, Selection, Text};
use libfuzzer_sys::fuzz_target;

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: true };
    Scanner::compile(&selection).expect("the shipped rules compile")
});

fuzz_target!(|texts: (&str, &str)| {
    let texts = [Text { zone: Zone::User, text: texts.0 }, Text { zone: Zone::Tool, text: texts.1 }];
    let report = SCANNER.scan(&texts, Budget { scan_bytes: 1 << 20, decoded_bytes: 1 << 16, ..Budget::SHIPPED });
    assert_eq!(report.texts.len(), 2);
    for (text, found) in texts.iter().zip(&report.texts) {
        assert!(found.findings.iter().all(|finding| text.text.get(finding.span.clone()).is_some()));
        assert!(SCANNER.score(found, text.zone, &|_| false) <= 100);
    }
    for (at, finding) in &report.joints {
        assert!(texts[*at].text.get(finding.span.clone()).is_some());
    }
});
