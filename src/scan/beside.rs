//! Which parts of a text a second reading looks at: those around what it reads otherwise. The rest says what it said.

use std::ops::Range;

use bartizan_rules::invariant::between;

/// Bytes on either side that are read, too: more than a keyword's window and the words of a co-occurrence reach.
const REACH: usize = 512;
/// Ordinary words in a row, which no key and no encoding has.
const ORDINARY: usize = 2;
/// Letters of an ordinary word.
const LETTERS: Range<usize> = 2..16;

/// The parts of a text around these places, which are in order. Each part begins and ends between
/// ordinary words, so that no key and no encoding is cut. All of it where that is nearly all.
pub(super) fn parts(text: &str, places: &[Range<usize>]) -> Vec<Range<usize>> {
    #[cfg(test)]
    if whole::IS.get() {
        return places.iter().take(1).map(|_| 0..text.len()).collect();
    }
    let mut parts: Vec<Range<usize>> = Vec::new();
    for place in places {
        let near = place.start.saturating_sub(REACH)..(place.end + REACH).min(text.len());
        match parts.last_mut() {
            Some(last) if near.start <= last.end => last.end = last.end.max(near.end),
            _ => parts.push(near),
        }
    }
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut nearest = parts.iter().skip(1).map(|next| next.start);
    for near in &parts {
        let next = nearest.next().unwrap_or(text.len());
        let before = out.last().map_or(0, |last| last.end);
        let start = if near.start > before { begin(text, before, near.start) } else { before };
        let end = end(text, near.end, next);
        match out.last_mut() {
            Some(last) if start <= last.end => last.end = end.max(last.end),
            _ => out.push(start..end),
        }
    }
    if out.iter().map(Range::len).sum::<usize>() * 4 > text.len() * 3 {
        return std::iter::once(0..text.len()).collect();
    }
    out
}

/// The last place from which ordinary words lead to `at`, none before `least`.
fn begin(text: &str, least: usize, at: usize) -> usize {
    let bytes = between(text.as_bytes(), least..text.floor_char_boundary(at));
    let mut ordinary = 0;
    let mut end = bytes.len();
    // What is cut at its end is no word.
    let mut words = bytes.rsplit(|byte| is_space(*byte));
    end -= words.next().map_or(0, <[u8]>::len);
    for word in words {
        // The space behind it.
        end -= 1;
        ordinary = if is_ordinary(word) { ordinary + 1 } else { 0 };
        if ordinary == ORDINARY {
            return least + end;
        }
        end -= word.len();
    }
    least
}

/// The first place after `at` that ordinary words lead to, none behind `most`.
fn end(text: &str, at: usize, most: usize) -> usize {
    let from = text.ceil_char_boundary(at);
    let most = text.floor_char_boundary(most).max(from);
    let bytes = between(text.as_bytes(), from..most);
    let mut ordinary = 0;
    let mut words = bytes.split(|byte| is_space(*byte));
    let mut length = words.next().map_or(0, <[u8]>::len);
    for word in words {
        ordinary = if is_ordinary(word) { ordinary + 1 } else { 0 };
        if ordinary == ORDINARY {
            return from + length;
        }
        length += 1 + word.len();
    }
    most
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n')
}

/// Letters in lower case but for the first one, and marks at the end.
fn is_ordinary(word: &[u8]) -> bool {
    let marks = word.iter().rev().take_while(|byte| matches!(byte, b'.' | b',' | b';' | b':' | b'!' | b'?')).count();
    let letters = between(word, 0..word.len() - marks);
    LETTERS.contains(&letters.len())
        && letters.first().is_some_and(u8::is_ascii_alphabetic)
        && letters.iter().skip(1).all(u8::is_ascii_lowercase)
}

/// For tests: second readings are of whole texts.
#[cfg(test)]
pub(super) mod whole {
    use std::cell::Cell;

    thread_local! {
        pub static IS: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `of` with readings of whole texts.
    pub fn readings<T>(of: impl FnOnce() -> T) -> T {
        IS.set(true);
        let out = of();
        IS.set(false);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_between_ordinary_words() {
        let prose = "these are ordinary words of a text. ".repeat(100);
        let code = "aWdub3JlIGFsbCBwcmV2aW91cyBpbnN0cnVjdGlvbnM\n".repeat(40);
        let text = format!("{prose}{code}{prose}");
        let place = prose.len() + code.len() / 2;
        let one = |place: usize| Vec::from_iter([Range { start: place, end: place + 1 }]);
        let found = parts(&text, &one(place));
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert!(only.start < prose.len() && prose.len() - only.start < 64, "{only:?}");
        assert!(only.end > prose.len() + code.len() && only.end < prose.len() + code.len() + 64, "{only:?}");
        assert_eq!(parts(&text, &[0..1, text.len() / 2..text.len() / 2 + 1, text.len() - 1..text.len()]).len(), 3);
        let whole = parts(&code, &one(place - prose.len()));
        assert_eq!((whole.len(), whole.first()), (1, Some(&(0..code.len()))));
        assert!(parts(&text, &[]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn parts_are_in_order_and_hold_their_places(
            text in "([a-zA-Z é略0-9\n]{0,40}|(these are ordinary words ){0,60}){0,40}",
            places in proptest::collection::vec((0usize..9000, 0usize..9), 0..6),
        ) {
            let inside = |(from, length): &(usize, usize)| {
                let from = text.floor_char_boundary(*from);
                from..text.ceil_char_boundary(from + length)
            };
            let mut places: Vec<Range<usize>> = places.iter().map(inside).collect();
            places.sort_unstable_by_key(|place| place.start);
            let found = parts(&text, &places);
            assert!(found.iter().all(|part| text.get(part.clone()).is_some()), "{found:?}");
            assert!(found.windows(2).all(|two| two[0].end < two[1].start), "{found:?}");
            for place in &places {
                assert!(found.iter().any(|part| part.start <= place.start && place.end <= part.end), "{place:?} {found:?}");
            }
        }
    }
}
