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
    if !may_hold(text.as_bytes()) {
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

/// False where too few bytes begin a letter that only turned text has: most texts, and all of most scripts. Looks at no
/// character, so that compilers count many bytes at once.
fn may_hold(bytes: &[u8]) -> bool {
    let leads = |byte: &u8| matches!(byte, 0xc5..=0xc7 | 0xc9..=0xcb | 0xce | 0xe1 | 0xea);
    // A share that a byte can count.
    let counted = |share: &[u8]| usize::from(share.iter().map(|byte| u8::from(leads(byte))).sum::<u8>());
    let leads: usize = bytes.chunks(255).map(counted).sum();
    // Letters that begin like quotation marks and dashes.
    let symbols =
        || memchr::memchr_iter(0xe2, bytes).filter(|at| matches!(bytes.get(at + 1), Some(0x84 | 0x85 | 0x88 | 0x94)));
    leads >= ENOUGH || leads + symbols().count() >= ENOUGH
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every letter that only turned text has is counted by its first byte.
    #[test]
    fn no_turned_letter_is_overlooked() {
        for c in ('\0'..=char::MAX).filter(|c| turned(*c).is_some_and(|(_, only)| only)) {
            assert!(may_hold(c.to_string().repeat(ENOUGH).as_bytes()), "{c:?}");
            assert!(!may_hold(c.to_string().repeat(ENOUGH - 1).as_bytes()), "{c:?}");
        }
        for text in ["“It’s a — test”, ‘so’ – they say…", "Это обычный текст для проверки.", "这是一段普通的文字。"]
        {
            assert!(!may_hold(text.as_bytes()), "{text}");
        }
    }
}
