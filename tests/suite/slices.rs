//! A scan in slices says what a scan in one go says, and a request whose body is scanned in slices is judged as any other.

use std::sync::{Arc, LazyLock};

use bartizan::enums::{Pack, Zone};
use bartizan::scan::{Budget, Report, Scanner, Selection, Text, VerdictMemory};
use proptest::prelude::*;

use crate::scan::pieces;

static SCANNER: LazyLock<Arc<Scanner>> = LazyLock::new(|| {
    let selection = Selection { packs: Pack::ALL, disable: &[], custom: &[], scorer: true };
    Arc::new(Scanner::compile(&selection).unwrap())
});

type Texts = Vec<(Zone, String)>;

fn borrowed(texts: &Texts) -> Vec<Text<'_>> {
    texts.iter().map(|(zone, text)| Text { zone: *zone, text }).collect()
}

/// The report of the slices, and how many there were.
fn sliced(
    texts: &Texts,
    asides: &[bool],
    budget: Budget,
    steps: usize,
    memory: Option<&mut VerdictMemory>,
) -> (Report, usize) {
    let (mut memory, mut count) = (memory, 1);
    let mut slices = SCANNER.slices(&borrowed(texts), &|at| asides[at], budget);
    loop {
        match slices.go_on(memory.as_deref_mut(), steps) {
            Ok(report) => return (report, count),
            Err(rest) => (slices, count) = (rest, count + 1),
        }
    }
}

/// A text, and with it what makes it long: repeated, and encoded as a whole.
fn texts() -> impl Strategy<Value = Texts> {
    let long = (pieces(), 1usize..400, any::<bool>()).prop_map(|(piece, times, is_encoded)| {
        let text = piece.repeat(times);
        let text = text.get(..text.floor_char_boundary(200_000)).unwrap_or_default().to_owned();
        if is_encoded { base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text) } else { text }
    });
    let text = prop_oneof![3 => pieces(), 1 => long];
    let zone = prop::sample::select(Zone::ALL.to_vec());
    prop::collection::vec((zone, text), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn slices_change_no_report(
        texts in texts(),
        asides in prop::collection::vec(any::<bool>(), 6),
        steps in prop_oneof![Just(0), 1usize..2_000, 2_000usize..1_000_000],
        scan_bytes in prop_oneof![4 => Just(4usize << 20), 1 => 0usize..4_000],
        decoded_bytes in prop_oneof![4 => Just(1usize << 20), 1 => 0usize..4_000],
        work in prop_oneof![4 => Just(1usize << 28), 1 => 0usize..400_000],
    ) {
        let budget = Budget { scan_bytes, decoded_bytes, work };
        let is_aside = |at: usize| asides[at];
        let whole = SCANNER.scan_conversation(None, &borrowed(&texts), &is_aside, budget);
        let (report, _) = sliced(&texts, &asides, budget, steps, None);
        prop_assert_eq!(&report, &whole);
        // With a memory, which other requests use meanwhile: here the same request, twice.
        let mut memory = VerdictMemory::new([7; 16], 64);
        let mut other = VerdictMemory::new([7; 16], 64);
        for _ in 0..2 {
            let whole = SCANNER.scan_conversation(Some(&mut other), &borrowed(&texts), &is_aside, budget);
            let (report, _) = sliced(&texts, &asides, budget, steps, Some(&mut memory));
            prop_assert_eq!(&report, &whole);
            prop_assert_eq!(memory.len(), other.len());
        }
        // What is over within the steps says the same, too.
        if let Some(report) = SCANNER.scan_within(None, &borrowed(&texts), &is_aside, budget, steps) {
            prop_assert_eq!(report, whole);
        }
    }
}

#[test]
fn a_long_text_takes_many_slices() {
    let prose = "The ferry leaves from the north pier and the weather is fine. ".repeat(9_000);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &prose);
    let names: Texts = (0..20_000).map(|at| (Zone::User, format!("k{at}"))).collect();
    for texts in [vec![(Zone::User, prose)], vec![(Zone::User, encoded)], names] {
        let (_, count) = sliced(&texts, &vec![false; texts.len()], Budget::SHIPPED, 200_000, None);
        assert!(count > 9, "{count} slices");
    }
}
