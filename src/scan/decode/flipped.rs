//! Letters drawn upside down, which a reader turns round: `ǝɹouƃᴉ`.

use super::Sink;

/// Letters that only turned text has, in one line.
const ENOUGH: usize = 6;

/// The letter that a letter is once it is turned round, and whether only turned text has it.
fn turned(c: char) -> Option<(char, bool)> {
    let (letter, only) = match c {
        'ɐ' | '∀' => ('a', true),
        'ɔ' | 'Ɔ' => ('c', true),
        'ǝ' | 'Ǝ' | 'ə' => ('e', true),
        'ɟ' | 'Ⅎ' => ('f', true),
        'ƃ' | 'ᵷ' | '⅁' => ('g', true),
        'ɥ' => ('h', true),
        'ᴉ' | 'ı' | 'ᴵ' => ('i', true),
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
        '¿' => ('?', true),
        '¡' => ('!', true),
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

/// Finds lines of turned letters, and reads each from its end to its start, and as it stands.
pub(super) fn find(text: &str, sink: &mut Sink<'_>) {
    if text.is_ascii() {
        return;
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let span = start..start + line.len();
        start = span.end;
        let only = || line.chars().filter(|c| turned(*c).is_some_and(|(_, only)| only));
        if line.is_ascii() || only().count() < ENOUGH {
            continue;
        }
        let read = |c: char| turned(c).map_or(c, |(letter, _)| letter);
        let back: String = line.chars().rev().map(read).collect();
        let forth: String = line.chars().map(read).collect();
        for reading in [back, forth] {
            sink.out.work += line.len() + reading.len();
            sink.text(span.clone(), "upsideDown", reading);
        }
    }
}
