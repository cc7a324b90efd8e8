//! Letters drawn upside down, which a reader turns round: `ǝɹouƃᴉ`.

use std::ops::Range;

use bartizan_rules::invariant::part;

use super::Sink;

/// Letters that only turned text has, in one stretch, and how many different ones.
const ENOUGH: usize = 6;
const KINDS: u32 = 4;

/// The letter that a letter is once it is turned round, and whether only turned text has it.
fn turned(c: char) -> Option<(char, bool)> {
    let (letter, only) = match c {
        'ɐ' | '∀' => ('a', true),
        'ɔ' | 'Ɔ' => ('c', true),
        'ǝ' | 'Ǝ' => ('e', true),
        'ɟ' | 'Ⅎ' => ('f', true),
        'ƃ' | 'ᵷ' | '⅁' => ('g', true),
        'ɥ' => ('h', true),
        'ᴉ' | 'ᴵ' => ('i', true),
        'ɾ' | 'ſ' => ('j', true),
        'ʞ' | 'ꓘ' => ('k', true),
        'ʅ' | 'ꞁ' | '˥' => ('l', true),
        'ɯ' => ('m', true),
        'ɹ' | 'ᴚ' => ('r', true),
        'ʇ' | '┴' => ('t', true),
        'ʌ' | 'Λ' => ('v', true),
        'ʍ' => ('w', true),
        'ʎ' | '⅄' => ('y', true),
        '˙' => ('.', true),
        // Letters and marks of languages, too.
        'ə' => ('e', false),
        'ı' => ('i', false),
        '¿' => ('?', false),
        '¡' => ('!', false),
        '∩' => ('u', true),
        'b' => ('q', false),
        'q' => ('b', false),
        'd' => ('p', false),
        'p' => ('d', false),
        'n' => ('u', false),
        'u' => ('n', false),
        'M' | 'W' => (if c == 'M' { 'w' } else { 'm' }, false),
        'l' | 'o' | 's' | 'x' | 'z' | 'i' | 'I' | 'H' | 'N' | 'O' | 'S' | 'X' | 'Z' | '0' | ' ' | '-' => (c, false),
        ',' => ('\'', false),
        '\'' => (',', false),
        _ => return None,
    };
    Some((letter, only))
}

/// Finds stretches of letters that turned text may have, and reads each from its end to its start, and as it is. Other
/// letters end a stretch, so that a language with one such letter has none.
pub(super) fn find(text: &str, sink: &mut Sink<'_>) {
    if text.is_ascii() {
        return;
    }
    let (mut start, mut only, mut kinds) = (0, 0usize, 0u32);
    for (at, c) in text.char_indices().chain([(text.len(), '\n')]) {
        match turned(c) {
            Some((letter, is_only)) => {
                only += usize::from(is_only);
                if is_only && letter.is_ascii_lowercase() {
                    kinds |= 1 << (u32::from(letter) - u32::from('a'));
                }
            }
            None => {
                if only >= ENOUGH && kinds.count_ones() >= KINDS {
                    read(text, start..at, sink);
                }
                (start, only, kinds) = (at + c.len_utf8(), 0, 0);
            }
        }
    }
}

fn read(text: &str, span: Range<usize>, sink: &mut Sink<'_>) {
    let stretch = part(text, span.clone());
    let letter = |c: char| turned(c).map_or(c, |(letter, _)| letter);
    let back: String = stretch.chars().rev().map(letter).collect();
    let forth: String = stretch.chars().map(letter).collect();
    for reading in [back, forth] {
        sink.out.work += stretch.len() + reading.len();
        sink.text(span.clone(), "upsideDown", reading);
    }
}
