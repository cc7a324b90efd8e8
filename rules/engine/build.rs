//! Writes the characters that are drawn like a Latin letter, out of the confusables of UTS #39, and a table of all letters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use unicode_script::{Script, UnicodeScript};
use unicode_security::confusable_detection::skeleton;

/// Scripts that hardly anybody writes to a model: a word of such letters is read as Latin wherever it is.
const RARE: [Script; 14] = [
    Script::Carian,
    Script::Caucasian_Albanian,
    Script::Deseret,
    Script::Elbasan,
    Script::Gothic,
    Script::Lisu,
    Script::Lycian,
    Script::Lydian,
    Script::Medefaidrin,
    Script::Old_Hungarian,
    Script::Old_Italic,
    Script::Osage,
    Script::Runic,
    Script::Warang_Citi,
];

/// Scripts of real text: such a letter is read as Latin only in a word that has Latin letters.
const WRITTEN: [Script; 10] = [
    Script::Armenian,
    Script::Bamum,
    Script::Cherokee,
    Script::Coptic,
    Script::Cyrillic,
    Script::Georgian,
    Script::Greek,
    Script::Miao,
    Script::Tifinagh,
    Script::Vai,
];

/// The small Latin letter that a character is drawn like.
fn drawn(c: char) -> Option<char> {
    let text = c.to_string();
    let mut letters = skeleton(&text);
    let letter = letters.next().filter(|letter| letter.is_ascii_alphabetic() && letters.next().is_none())?;
    // The data draws `I`, `l`, `1` and `|` alike, as `l`; a small `l` is the rarest of them in foreign guise.
    Some(if letter == 'l' { 'i' } else { letter.to_ascii_lowercase() })
}

fn table(name: &str, scripts: &[Script]) -> String {
    let mut found = BTreeMap::new();
    let letters = ('\u{80}'..=char::MAX).filter(|c| scripts.contains(&c.script()));
    for (c, letter) in letters.filter_map(|c| Some((c, drawn(c)?))) {
        found.insert(c, letter);
        // Text is read in lower case, but for Cherokee, whose capitals are the older letters.
        for mut folded in [c.to_lowercase().collect::<Vec<_>>(), c.to_uppercase().collect()] {
            if let (Some(folded), true) = (folded.pop(), folded.is_empty()) {
                found.entry(folded).or_insert(letter);
            }
        }
    }
    found.retain(|c, _| !c.is_ascii());
    let mut out = format!("pub(super) static {name}: [(char, char); {}] = [\n", found.len());
    for (c, letter) in found {
        let _ = writeln!(out, "    ('\\u{{{:x}}}', '{letter}'),", u32::from(c));
    }
    out + "];\n"
}

/// The letters and digits of the basic plane: a page for each 256 characters, the same pages once.
fn letters() -> String {
    let mut rows: Vec<[u32; 8]> = Vec::new();
    let mut pages = Vec::new();
    for page in 0..256u32 {
        let mut row = [0u32; 8];
        for at in 0..256 {
            let is = char::from_u32(page * 256 + at).is_some_and(char::is_alphanumeric);
            if let Some(bits) = row.get_mut(at as usize / 32) {
                *bits |= u32::from(is) << (at % 32);
            }
        }
        let known = rows.iter().position(|known| *known == row).unwrap_or(rows.len());
        if known == rows.len() {
            rows.push(row);
        }
        pages.push(known);
    }
    format!("static PAGES: [u8; 256] = {pages:?};\nstatic BITS: [[u32; 8]; {}] = {rows:?};\n", rows.len())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("confusables.rs"), table("RARE", &RARE) + &table("WRITTEN", &WRITTEN))?;
    std::fs::write(out.join("letters.rs"), letters())?;
    Ok(())
}
