//! Any text normalises without a panic, to a bounded length, once and for all, with spans on character boundaries.
#![no_main]

use bartizan::scan::normalise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let n = normalise::normalise(text);
    assert!(n.text().len() <= text.len() * 11 + 16);
    if !n.residue() {
        assert_eq!(normalise::to_string(n.text()), n.text());
    }
    let mut from = 0;
    for (at, c) in n.text().char_indices() {
        let (span, _) = n.source(at..at + c.len_utf8());
        assert!(text.get(span.clone()).is_some() && span.start >= from);
        from = span.start;
    }
    if let Some(reading) = normalise::leet(n.text()) {
        assert_eq!(reading.text.len(), n.text().len());
    }
    let clean = normalise::cleaned(text);
    for (at, c) in clean.text().char_indices() {
        assert!(text.get(clean.source(at..at + c.len_utf8()).0).is_some());
    }
});
