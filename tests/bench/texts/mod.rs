//! Fresh text of nine kinds: drawn from grammars and vocabularies by a seed, never the same twice, harmless.
//!
//! A repeated paragraph measures nothing: the branch predictor learns it, remembered verdicts answer for it, and it opens
//! few windows. Each kind here draws every sentence, name and number anew. The same seed gives the same texts on every
//! machine and target.

mod data;
mod machine;
mod prose;
mod scripts;
mod words;

use base64::Engine as _;
use words::English;

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// English paragraphs.
    Prose,
    /// What people and models write to each other: questions, lists, Markdown.
    Chat,
    /// Bug reports: headings, stack traces, links, versions.
    Issues,
    /// Source code in four languages.
    Code,
    /// Lines of six log formats.
    Logs,
    /// What a tool answers: JSON with ids, times, addresses, notes.
    Json,
    /// Chinese sentences.
    Chinese,
    /// Arabic sentences.
    Arabic,
    /// Attachments: two thirds of them bytes, the others text.
    Base64,
}

impl Kind {
    /// Every kind, in the order of the tables.
    pub const ALL: [Kind; 9] = [
        Kind::Prose,
        Kind::Chat,
        Kind::Issues,
        Kind::Code,
        Kind::Logs,
        Kind::Json,
        Kind::Chinese,
        Kind::Arabic,
        Kind::Base64,
    ];

    /// The name in tables, file names and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Prose => "prose",
            Kind::Chat => "chat",
            Kind::Issues => "issues",
            Kind::Code => "code",
            Kind::Logs => "logs",
            Kind::Json => "json",
            Kind::Chinese => "chinese",
            Kind::Arabic => "arabic",
            Kind::Base64 => "base64",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Where texts are drawn from.
pub struct Texts {
    draw: Draw,
    english: English,
    scripts: scripts::Scripts,
}

impl Texts {
    /// A source whose texts depend on the seed alone.
    pub fn new(seed: u64) -> Texts {
        Texts { draw: Draw::new(seed), english: English::new(), scripts: scripts::Scripts::new() }
    }

    /// A new text of at most `size` bytes, and at least three less.
    pub fn fresh(&mut self, kind: Kind, size: usize) -> String {
        let mut out = String::with_capacity(size + 1024);
        while out.len() < size {
            self.unit(kind, &mut out);
        }
        let mut end = size;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out
    }

    /// Texts of this size, `bytes` in all.
    pub fn many(&mut self, kind: Kind, size: usize, bytes: usize) -> Vec<String> {
        (0..(bytes / size).max(1)).map(|_| self.fresh(kind, size)).collect()
    }

    /// A paragraph, a function, a few lines: the smallest stretch of a kind.
    fn unit(&mut self, kind: Kind, out: &mut String) {
        let Texts { draw, english, scripts } = self;
        match kind {
            Kind::Prose => prose::paragraph(draw, english, out),
            Kind::Chat => prose::turn(draw, english, out),
            Kind::Issues => prose::issue(draw, english, out),
            Kind::Code => machine::function(draw, english, out),
            Kind::Logs => machine::log_line(draw, english, out),
            Kind::Json => data::tool_result(draw, english, out),
            Kind::Chinese => scripts.chinese(draw, out),
            Kind::Arabic => scripts.arabic(draw, out),
            Kind::Base64 => attachment(draw, english, out),
        }
    }
}

/// An attachment, in lines of 76 characters, as mail programs write it, or on one line, as APIs do.
fn attachment(draw: &mut Draw, english: &English, out: &mut String) {
    let mut bytes = Vec::new();
    if draw.one_in(3) {
        let mut text = String::new();
        (0..draw.between(1, 4)).for_each(|_| prose::paragraph(draw, english, &mut text));
        bytes.extend_from_slice(text.as_bytes());
    } else {
        (0..draw.between(300, 2400)).for_each(|_| bytes.push(draw.next() as u8));
    }
    let name = draw.pick(&english.nouns);
    out.push_str(&format!("Content-Disposition: attachment; filename=\"{name}.bin\"\n\n"));
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let width = if draw.one_in(2) { 76 } else { encoded.len() };
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(width));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push('\n');
}

/// A seeded generator of numbers (SplitMix64).
pub struct Draw(u64);

impl Draw {
    /// From a seed.
    pub fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and not, `below`.
    pub fn below(&mut self, below: usize) -> usize {
        ((u128::from(self.next()) * below as u128) >> 64) as usize
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True once in `of` times.
    pub fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// One of a list; an empty list gives the default.
    pub fn pick<T: Copy + Default>(&mut self, list: &[T]) -> T {
        let at = self.below(list.len().max(1));
        list.get(at).copied().unwrap_or_default()
    }

    /// Lower-case hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from_digit(self.below(16) as u32, 16).unwrap_or('0')).collect()
    }
}
