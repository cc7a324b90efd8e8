//! Any text decodes without a panic, within its budget, with spans on character boundaries.
#![no_main]

use bartizan::scan::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut budget = 4096;
    let decoded = decode::decode(text, &mut budget);
    let made: usize = decoded.found.iter().map(|found| found.text.len()).sum();
    assert_eq!(made + budget, 4096);
    assert!(decoded.found.iter().all(|found| text.get(found.span.clone()).is_some() && !found.text.is_empty()));
});
