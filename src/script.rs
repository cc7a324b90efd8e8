//! The script that texts are mostly written in, as a coarse class. It is no language: `latin` may be any of hundreds.
//!
//! Counts letters by block of Unicode, of the first bytes only: some blocks of rare scripts are `other`.
//!
//! ```
//! use bartizan::script::Script;
//!
//! assert_eq!(Script::of(["Was ist ein Erker?"]), Script::Latin);
//! assert_eq!(Script::of(["城とは何ですか"]), Script::Japanese);
//! assert_eq!(Script::of(["1 + 1 = ?"]), Script::None);
//! ```

use bartizan_rules::invariant::part;

/// A class of scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// No letters: numbers, marks, pictures.
    None,
    /// Latin, with and without marks.
    Latin,
    /// Greek and Coptic.
    Greek,
    /// Cyrillic.
    Cyrillic,
    /// Armenian and Georgian.
    Caucasian,
    /// Hebrew.
    Hebrew,
    /// Arabic, Syriac and Thaana.
    Arabic,
    /// The scripts of India and Sri Lanka.
    Indic,
    /// Thai, Lao, Khmer, Burmese, Tibetan.
    SoutheastAsian,
    /// Ethiopic.
    Ethiopic,
    /// Kana: Japanese, whose ideographs count as it where kana are among them.
    Japanese,
    /// Hangul.
    Korean,
    /// Ideographs.
    Han,
    /// Any other.
    Other,
}

/// In the order of [`Script`].
const ALL: [Script; 14] = [
    Script::None,
    Script::Latin,
    Script::Greek,
    Script::Cyrillic,
    Script::Caucasian,
    Script::Hebrew,
    Script::Arabic,
    Script::Indic,
    Script::SoutheastAsian,
    Script::Ethiopic,
    Script::Japanese,
    Script::Korean,
    Script::Han,
    Script::Other,
];

/// The bytes of all texts together that are looked at.
const MOST: usize = 4096;

/// One in so many letters of Han that is kana makes a text Japanese.
const KANA: u32 = 10;

impl Script {
    /// The word in records.
    pub const fn name(self) -> &'static str {
        match self {
            Script::None => "none",
            Script::Latin => "latin",
            Script::Greek => "greek",
            Script::Cyrillic => "cyrillic",
            Script::Caucasian => "caucasian",
            Script::Hebrew => "hebrew",
            Script::Arabic => "arabic",
            Script::Indic => "indic",
            Script::SoutheastAsian => "southeast_asian",
            Script::Ethiopic => "ethiopic",
            Script::Japanese => "japanese",
            Script::Korean => "korean",
            Script::Han => "han",
            Script::Other => "other",
        }
    }

    /// The script that most letters have, of the first 4096 bytes of these texts. Of two that have the same number it
    /// is the first in the order above.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Script {
        let mut counts = [0_u32; ALL.len()];
        let mut left = MOST;
        let mut add = |script: Script, letters: usize| {
            if let Some(count) = counts.get_mut(script as usize) {
                *count += u32::try_from(letters).unwrap_or(u32::MAX);
            }
        };
        for text in texts {
            let mut rest = part(text, 0..text.floor_char_boundary(left));
            left -= if rest.len() < text.len() { left } else { rest.len() };
            while let Some(c) = rest.chars().next() {
                // Letters of ASCII are counted a run at once.
                let run = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
                let read = if run > 0 {
                    add(Script::Latin, part(rest, 0..run).bytes().filter(u8::is_ascii_alphabetic).count());
                    run
                } else {
                    of_letter(c).into_iter().for_each(|script| add(script, 1));
                    c.len_utf8()
                };
                rest = part(rest, read..rest.len());
            }
        }
        let of = |script: Script| counts.get(script as usize).copied().unwrap_or(0);
        let (kana, han) = (of(Script::Japanese), of(Script::Han));
        if kana > 0 && kana.saturating_mul(KANA) >= han {
            for (script, count) in [(Script::Japanese, kana.saturating_add(han)), (Script::Han, 0)] {
                if let Some(place) = counts.get_mut(script as usize) {
                    *place = count;
                }
            }
        }
        let mut best = (Script::None, 0);
        for (script, count) in ALL.into_iter().zip(counts) {
            if count > best.1 {
                best = (script, count);
            }
        }
        best.0
    }
}

/// The script of a letter; `None` for what is no letter.
fn of_letter(c: char) -> Option<Script> {
    Some(match c {
        'a'..='z' | 'A'..='Z' => Script::Latin,
        '\0'..='\x7f' => return None,
        // Letters of much text, for which the tables of Unicode need not be asked.
        '\u{400}'..='\u{481}' => Script::Cyrillic,
        '\u{5d0}'..='\u{5ea}' => Script::Hebrew,
        '\u{620}'..='\u{64a}' => Script::Arabic,
        '\u{4e00}'..='\u{9fff}' => Script::Han,
        '\u{ac00}'..='\u{d7a3}' => Script::Korean,
        _ if !c.is_alphabetic() => return None,
        '\u{80}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' | '\u{ff21}'..='\u{ff5a}' => Script::Latin,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Script::Greek,
        '\u{400}'..='\u{52f}' => Script::Cyrillic,
        '\u{530}'..='\u{58f}' | '\u{10a0}'..='\u{10ff}' => Script::Caucasian,
        '\u{590}'..='\u{5ff}' => Script::Hebrew,
        '\u{600}'..='\u{7bf}' | '\u{860}'..='\u{8ff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' => {
            Script::Arabic
        }
        '\u{900}'..='\u{dff}' => Script::Indic,
        '\u{e00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Script::SoutheastAsian,
        '\u{1200}'..='\u{139f}' => Script::Ethiopic,
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' => Script::Japanese,
        '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' => Script::Korean,
        '\u{2e80}'..='\u{2fdf}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            Script::Han
        }
        _ => Script::Other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scripts_are_told_by_their_letters() {
        for (text, script) in [
            ("", Script::None),
            ("12 \u{1f600} !?", Script::None),
            ("Ti\u{1ebf}ng Vi\u{1ec7}t", Script::Latin),
            ("\u{3b1}\u{3b2}\u{3b3}", Script::Greek),
            ("\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} ok", Script::Cyrillic),
            ("\u{5e9}\u{5dc}\u{5d5}\u{5dd}", Script::Hebrew),
            ("\u{645}\u{631}\u{62d}\u{628}\u{627}", Script::Arabic),
            ("\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}", Script::Indic),
            ("\u{e2a}\u{e27}\u{e31}\u{e2a}\u{e14}\u{e35}", Script::SoutheastAsian),
            ("\u{12a0}\u{121b}\u{122d}\u{129b}", Script::Ethiopic),
            ("\u{c548}\u{b155}\u{d558}\u{c138}\u{c694}", Script::Korean),
            ("\u{4f60}\u{597d}\u{4e16}\u{754c}", Script::Han),
            ("\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{6587}", Script::Japanese),
            ("\u{10d2}\u{10d0}\u{10db}", Script::Caucasian),
            ("\u{13a0}\u{13a1}", Script::Other),
            ("A word of kana, \u{30ab}, in much English", Script::Latin),
        ] {
            assert_eq!(Script::of([text]), script, "{text}");
        }
    }

    #[test]
    fn only_letters_have_a_script() {
        assert!(('\0'..=char::MAX).all(|c| of_letter(c).is_some() == c.is_alphabetic()));
    }

    #[test]
    fn only_the_first_bytes_count() {
        let (latin, greek) = ("a".repeat(MOST), "\u{3b1}".repeat(4 * MOST));
        assert_eq!(Script::of([latin.as_str(), greek.as_str()]), Script::Latin);
    }

    proptest! {
        /// Where a text is cut does not matter, and neither does what is no letter.
        #[test]
        fn pieces_are_one_text(text in "\\PC{0,40}", at in any::<prop::sample::Index>()) {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let at = places[at.index(places.len())];
            let (one, two) = text.split_at(at);
            prop_assert_eq!(Script::of([one, two]), Script::of([text.as_str()]));
            let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
            prop_assert_eq!(Script::of([letters.as_str()]), Script::of([text.as_str()]));
        }
    }
}
