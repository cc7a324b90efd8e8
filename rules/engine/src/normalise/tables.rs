//! Which characters look like, hide or replace Latin letters. The tables here are written from the code charts, for what
//! a reader takes a character for; behind them are the confusables of UTS #39, which `build.rs` writes out of Unicode's data.

use crate::invariant::{of_byte, sure};

include!(concat!(env!("OUT_DIR"), "/confusables.rs"));

/// The Latin letter that a table of UTS #39's confusables has for a character.
fn confusable(table: &[(char, char)], c: char) -> Option<char> {
    let at = table.binary_search_by_key(&c, |(from, _)| *from).ok()?;
    sure(table.get(at)).map(|(_, letter)| *letter)
}

/// Class of an ASCII byte in the fast loop.
pub(super) const PLAIN: u8 = 0;
/// White space, and `_`, which joins words.
pub(super) const SPACE: u8 = 1;
/// A byte that may start an escape, markup, or is a control or not ASCII.
pub(super) const SPECIAL: u8 = 2;

/// The class of each byte.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
pub(super) static CLASS: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b'_' => SPACE,
            b'&' | b'\\' | b'%' | b'<' | b'*' | b'`' | b'~' => SPECIAL,
            0..=0x1f | 0x7f.. => SPECIAL,
            _ => PLAIN,
        };
        i += 1;
    }
    table
};

/// Characters without a glyph of their own: format controls, fillers, selectors.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{ad}' | '\u{34f}'
        | '\u{61c}' | '\u{640}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{13440}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e001f}' | '\u{e007f}'..='\u{e0fff}')
}

/// The ASCII character that a tag character carries.
pub(super) fn tag(c: char) -> Option<char> {
    matches!(c, '\u{e0020}'..='\u{e007e}').then(|| char::from((u32::from(c) - 0xe0000) as u8))
}

/// Punctuation with many shapes, as one.
pub(super) fn punctuation(c: char) -> Option<&'static str> {
    Some(match c {
        '‘' | '’' | '‚' | '‛' | '′' | 'ʼ' | 'ʻ' | 'ʹ' | '´' | 'ˈ' | '＇' => "'",
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' | '〝' | '〞' | '「' | '」' | '『' | '』' => "\"",
        '‐'..='―' | '−' | '⁃' | '﹣' | '－' => "-",
        '。' | '｡' | '۔' | '।' => ".",
        '、' | '､' | '،' => ",",
        '؟' => "?",
        '؛' => ";",
        '⁄' | '∕' => "/",
        '∗' | '⁎' | '∙' | '•' | '·' | '・' => "·",
        '‹' => "<",
        '›' => ">",
        _ => return None,
    })
}

/// Latin letters outside ASCII that do not decompose, symbols that stand for letters, and shapes of letters.
pub(super) fn latin(c: char) -> Option<&'static str> {
    if let Some(at) = enclosed(c) {
        return sure(ALPHABET.get(at..at + 1));
    }
    Some(match c {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' | 'ᴁ' => "ae",
        'œ' | 'Œ' | 'ɶ' => "oe",
        'þ' | 'Þ' => "th",
        'ı' | 'ɪ' | 'ɩ' | 'ᵻ' | 'ꟾ' | 'ᴉ' | 'ɨ' | 'Ɨ' | 'ꙇ' => "i",
        'ø' | 'Ø' | 'ᴏ' | 'ɵ' | 'ᴑ' | 'ɔ' | 'Ɵ' => "o",
        'đ' | 'Đ' | 'ð' | 'Ð' | 'ɖ' | 'ᴅ' | 'ɗ' | 'ƌ' => "d",
        'ł' | 'Ł' | 'ʟ' | 'ƚ' | 'ɫ' | 'ɬ' | 'ɭ' | 'Ƚ' => "l",
        'ħ' | 'Ħ' | 'ʜ' | 'ɦ' | 'ɥ' => "h",
        'ŧ' | 'Ŧ' | 'ᴛ' | 'ƫ' | 'ʇ' | 'ʈ' | 'ƭ' => "t",
        'ŋ' | 'Ŋ' | 'ɴ' | 'ɲ' | 'ɳ' | 'ƞ' => "n",
        'ᴀ' | 'ɐ' | 'ɑ' | 'ɒ' | 'Ɑ' => "a",
        'ʙ' | 'ɓ' | 'ƀ' | 'ƃ' | 'Ƀ' => "b",
        'ᴄ' | 'ƈ' | 'ɕ' | 'ȼ' | 'ↄ' => "c",
        'ᴇ' | 'ǝ' | 'ə' | 'ɘ' | 'ɇ' | 'ɛ' | 'Ǝ' | 'Ə' | 'Ɛ' => "e",
        'ꜰ' | 'ƒ' | 'ɟ' => "f",
        'ɢ' | 'ɡ' | 'ǥ' | 'ɠ' | 'Ɡ' => "g",
        'ᴊ' | 'ɉ' | 'ʝ' | 'ȷ' | 'ɾ' => "j",
        'ᴋ' | 'ƙ' | 'ʞ' => "k",
        'ᴍ' | 'ɯ' | 'ɱ' => "m",
        'ᴘ' | 'ƥ' | 'ꝑ' => "p",
        'ɋ' | 'ʠ' | 'ꝗ' => "q",
        'ʀ' | 'ɹ' | 'ɍ' | 'ɼ' | 'ɽ' => "r",
        'ꜱ' | 'ʂ' | 'ƨ' => "s",
        'ᴜ' | 'ʉ' | 'ʊ' | 'ᵾ' => "u",
        'ᴠ' | 'ʌ' | 'ʋ' => "v",
        'ᴡ' | 'ʍ' => "w",
        'ʏ' | 'ɏ' | 'ƴ' | 'ʎ' => "y",
        'ᴢ' | 'ƶ' | 'ʐ' | 'ʑ' => "z",
        '€' => "e",
        '\u{2801}'..='\u{283d}' => return braille(c),
        _ => return None,
    })
}

/// A letter in Braille, as English, French and German write it.
fn braille(c: char) -> Option<&'static str> {
    const DOTS: [u8; 26] =
        [1, 3, 9, 25, 17, 11, 27, 19, 10, 26, 5, 7, 13, 29, 21, 15, 31, 23, 14, 30, 37, 39, 58, 45, 61, 53];
    let dots = u32::from(c).checked_sub(0x2800)?;
    let at = DOTS.iter().position(|letter| u32::from(*letter) == dots)?;
    sure(ALPHABET.get(at..at + 1))
}

const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";

fn enclosed(c: char) -> Option<usize> {
    let at = match c {
        '\u{1f130}'..='\u{1f149}' => u32::from(c) - 0x1f130,
        '\u{1f150}'..='\u{1f169}' => u32::from(c) - 0x1f150,
        '\u{1f170}'..='\u{1f189}' => u32::from(c) - 0x1f170,
        '\u{1f1e6}'..='\u{1f1ff}' => u32::from(c) - 0x1f1e6,
        _ => return None,
    };
    Some(at as usize)
}

/// Letters of the scripts that are judged word by word, since they look like Latin ones and also write real text.
pub(super) fn is_foreign(c: char) -> bool {
    is_of_foreign_script(c) || twin(c).is_some() || confusable(&WRITTEN, c).is_some()
}

fn is_of_foreign_script(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{58f}' | '\u{10a0}'..='\u{10ff}' | '\u{13a0}'..='\u{13ff}' | '\u{1c80}'..='\u{1c8f}'
        | '\u{1f00}'..='\u{1fff}' | '\u{2c80}'..='\u{2cff}' | '\u{2de0}'..='\u{2dff}' | '\u{a4d0}'..='\u{a4ff}'
        | '\u{a640}'..='\u{a69f}' | '\u{ab70}'..='\u{abbf}')
}

/// The Latin letter that a lower-case foreign letter is drawn like, whatever is beside it.
pub(super) fn twin(c: char) -> Option<char> {
    Some(match c {
        'а' | 'α' => 'a',
        'с' | 'ϲ' | 'ⲥ' => 'c',
        'ԁ' | 'ժ' => 'd',
        'е' | 'ҽ' => 'e',
        'ց' => 'g',
        'һ' | 'հ' => 'h',
        'і' | 'ι' | 'ӏ' | 'ꓲ' => 'i',
        'ј' | 'ϳ' => 'j',
        'ո' => 'n',
        'о' | 'ο' | 'օ' | 'ⲟ' => 'o',
        'р' | 'ρ' | 'ⲣ' => 'p',
        'ԛ' | 'զ' => 'q',
        'ѕ' => 's',
        'ս' | 'υ' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ү' => 'y',
        _ => return confusable(&RARE, c),
    })
}

/// The Latin letter that a lower-case foreign letter stands for inside a word that also has Latin letters:
/// also those that only look alike as capitals or from afar.
pub(super) fn stand_in(c: char) -> Option<char> {
    if let Some(letter) = twin(c) {
        return Some(letter);
    }
    Some(match c {
        'β' | 'в' | 'ь' | 'ъ' | 'ᏼ' | 'Ᏼ' => 'b',
        'ς' | 'ϛ' | 'Ꮯ' => 'c',
        'δ' | 'Ꭰ' | 'đ' => 'd',
        'ε' | 'є' | 'э' | 'з' | 'Ꭼ' | 'է' => 'e',
        'ғ' | 'ƒ' | 'Ꮀ' | 'ք' => 'f',
        'ԍ' | 'Ꮐ' | 'Ᏻ' => 'g',
        'н' | 'ң' | 'ԋ' | 'Ꮋ' | 'Ᏺ' | 'ħ' => 'h',
        'ї' | 'ί' | 'ϊ' | 'Ꭵ' | 'ւ' => 'i',
        'ꓙ' | 'Ꭻ' | 'յ' => 'j',
        'κ' | 'к' | 'қ' | 'ҝ' | 'Ꮶ' => 'k',
        'ꓡ' | 'Ꮮ' | 'լ' => 'l',
        'м' | 'Ꮇ' => 'm',
        'η' | 'п' | 'и' | 'π' | 'դ' | 'ռ' => 'n',
        'σ' | 'θ' | 'ө' | 'ф' | 'φ' | 'Ꮎ' => 'o',
        'ꓑ' | 'Ꮲ' => 'p',
        'г' | 'ґ' | 'я' | 'Ꭱ' | 'Ꮢ' => 'r',
        'ꓢ' | 'Ꮪ' | 'Ꮥ' => 's',
        'т' | 'τ' | 'ҭ' | 'Ꭲ' => 't',
        'μ' | 'ц' => 'u',
        'ꓦ' | 'Ꮩ' | 'Ꮙ' => 'v',
        'ω' | 'ш' | 'щ' | 'ѡ' | 'Ꮃ' | 'Ꮤ' | 'ա' => 'w',
        'ж' | 'ҳ' => 'x',
        'ч' | 'ў' | 'ÿ' | 'Ꭹ' | 'Ꮍ' => 'y',
        'ʒ' | 'Ꮓ' | 'ζ' => 'z',
        _ => return confusable(&WRITTEN, c),
    })
}

/// The letter that a digit or sign stands for in leetspeak.
pub(super) fn leet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'0' => b'o',
        b'1' | b'!' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'6' => b'g',
        b'7' | b'+' => b't',
        b'8' => b'b',
        b'9' => b'g',
        b'|' => b'i',
        _ => return None,
    })
}

/// Letters without case that are their own normal form and look like no Latin ones.
pub(super) fn is_steady(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{5d0}'..='\u{5ea}' | '\u{627}'..='\u{63a}' | '\u{641}'..='\u{64a}'
        | '\u{e01}'..='\u{e30}' | '\u{905}'..='\u{928}' | '\u{92a}'..='\u{930}' | '\u{935}'..='\u{939}')
}

/// By the first byte of a letter of [`is_steady`]: the second byte of the first such letter, how many there are on end, and
/// the bytes of each.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not build")]
static STEADY: [(u8, u8, u8); 256] = {
    let mut table = [(0, 0, 0); 256];
    table[0xd7] = (0x90, 0x1b, 2);
    table[0xd8] = (0xa7, 0x14, 2);
    table[0xd9] = (0x81, 0x0a, 2);
    table[0xe0] = (0, 0, 3);
    table[0xe3] = (0x90, 0x30, 3);
    table[0xe4] = (0xb8, 0x08, 3);
    let mut lead = 0xe5;
    while lead <= 0xec {
        table[lead] = (0x80, 0x40, 3);
        lead += 1;
    }
    table[0xea] = (0xb0, 0x10, 3);
    table[0xed] = (0x80, 0x1e, 3);
    table
};

/// The bytes of the letter of [`is_steady`] that these begin with; 0: of none.
#[inline]
pub(super) fn steady_length(bytes: &[u8]) -> usize {
    let [lead, second, ..] = *bytes else { return 0 };
    let (first, count, length) = of_byte(&STEADY, lead);
    match second.wrapping_sub(first) < count {
        true => length.into(),
        false if length == 3 => rare_length(bytes),
        false => 0,
    }
}

/// The run of such letters that these begin with: how many, their bytes, and the bytes of the last one.
pub(super) fn steady_run(bytes: &[u8]) -> (usize, usize, usize) {
    let (mut letters, mut end, mut last) = (0, 0, 0);
    while let Some(rest @ [_, _, ..]) = bytes.get(end..) {
        let length = steady_length(rest);
        if length == 0 {
            break;
        }
        (letters, end, last) = (letters + 1, end + length, length);
    }
    (letters, end, last)
}

/// [`steady_length`] of letters in whose range of second bytes are others.
fn rare_length(bytes: &[u8]) -> usize {
    match *bytes {
        [0xe4, 0x80..=0xb6, ..] | [0xe3, 0x81, 0x81..=0xbf, ..] => 3,
        [0xe3, 0x82, 0x80..=0x96 | 0xa1..=0xbf, ..] | [0xe3, 0x83, 0x80..=0xba, ..] => 3,
        [0xed, 0x9e, 0x80..=0xa3, ..] => 3,
        [0xe0, 0xa4, 0x85..=0xa8 | 0xaa..=0xb0 | 0xb5..=0xb9, ..] | [0xe0, 0xb8, 0x81..=0xb0, ..] => 3,
        _ => 0,
    }
}

/// A Cyrillic letter of the basic alphabet in lower case, but for those that decompose.
pub(super) fn cyrillic(c: char) -> Option<char> {
    match c {
        'й' | 'Й' => None,
        'а'..='я' => Some(c),
        'А'..='Я' => char::from_u32(u32::from(c) + 0x20),
        _ => None,
    }
}
