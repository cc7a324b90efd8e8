//! The way back: where each byte of a rewritten text came from, and what was done to it.

use std::ops::Range;

/// What was done to a piece of text; a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub u16);

impl Marks {
    /// Nothing that hides text: case, accents, white space.
    pub const NONE: Marks = Marks(0);
    /// Compatibility forms: full width, mathematical, enclosed, superscript.
    pub const COMPATIBILITY: Marks = Marks(1);
    /// Look-alikes of Latin letters out of other scripts.
    pub const CONFUSABLE: Marks = Marks(2);
    /// Characters without a glyph were left out.
    pub const INVISIBLE: Marks = Marks(4);
    /// Tag characters (U+E0020 to U+E007E) were read as ASCII.
    pub const TAGS: Marks = Marks(8);
    /// Combining marks were taken off letters that have no such form.
    pub const COMBINING: Marks = Marks(16);
    /// Separators between single letters were left out.
    pub const SEPARATED: Marks = Marks(32);
    /// HTML character references were read.
    pub const ENTITY: Marks = Marks(64);
    /// `\u0041`, `\x41` and the like were read.
    pub const ESCAPE: Marks = Marks(128);
    /// `%41` was read.
    pub const PERCENT: Marks = Marks(256);
    /// Markup inside words was left out.
    pub const MARKUP: Marks = Marks(512);

    const NAMES: [(Marks, &'static str); 10] = [
        (Marks::PERCENT, "percent"),
        (Marks::ENTITY, "htmlEntity"),
        (Marks::ESCAPE, "unicodeEscape"),
        (Marks::TAGS, "tagCharacters"),
        (Marks::INVISIBLE, "invisible"),
        (Marks::SEPARATED, "separators"),
        (Marks::MARKUP, "markup"),
        (Marks::COMPATIBILITY, "compatibility"),
        (Marks::CONFUSABLE, "confusable"),
        (Marks::COMBINING, "combining"),
    ];

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: Marks) -> Marks {
        Marks(self.0 & !other.0)
    }

    /// Whether the sets share a flag.
    pub const fn meets(self, other: Marks) -> bool {
        self.0 & other.0 != 0
    }

    /// The flags' names, as they are in a finding's chain.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(mark, _)| self.meets(*mark)).map(|(_, name)| name)
    }
}

/// A stretch of equal steps: each `from` bytes of the source became `to` bytes.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    out: u32,
    source: u32,
    steps: u32,
    from: u16,
    to: u16,
    marks: Marks,
}

impl Stretch {
    fn source_end(&self) -> u32 {
        self.source + self.steps * u32::from(self.from)
    }
    fn out_end(&self) -> u32 {
        self.out + self.steps * u32::from(self.to)
    }
}

/// From offsets of a rewritten text to those of its source. Costs 20 bytes for each change of pace.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    stretches: Vec<Stretch>,
}

impl Offsets {
    /// Notes that the next `to` bytes were made from these bytes of the source; `even`: character by character, so
    /// that with equal lengths each byte stands for one.
    pub(super) fn note(&mut self, source: Range<usize>, out: usize, to: usize, even: bool, marks: Marks) {
        if to == 0 {
            return;
        }
        let from = source.len();
        let same = even && from == to;
        let (steps, from, to) = if same { (to as u32, 1, 1) } else { (1, clip(from), clip(to)) };
        if let Some(last) = self.stretches.last_mut()
            && (last.from, last.to, last.marks) == (from, to, marks)
            && last.source_end() == source.start as u32
            && last.out_end() == out as u32
        {
            last.steps += steps;
        } else {
            self.stretches.push(Stretch { out: out as u32, source: source.start as u32, steps, from, to, marks });
        }
    }

    /// True when every byte is where it was and nothing was done but folding case.
    pub(super) fn is_identity(&self, source_len: usize) -> bool {
        match self.stretches.as_slice() {
            [] => source_len == 0,
            [only] => {
                only.source == 0 && only.from == only.to && only.steps as usize == source_len && only.marks.0 == 0
            }
            _ => false,
        }
    }

    /// The bytes of the source to which any of these was done, in order.
    pub(super) fn places(&self, marks: Marks) -> impl Iterator<Item = Range<usize>> {
        let marked = self.stretches.iter().filter(move |stretch| stretch.marks.meets(marks));
        marked.map(|stretch| stretch.source as usize..stretch.source_end() as usize)
    }

    /// The bytes of the source that a range of the rewritten text was made from, and what was done to them. A place past
    /// the end of the rewritten text leads to the end of the source.
    pub fn source(&self, range: Range<usize>) -> (Range<usize>, Marks) {
        let (start, last) = (range.start as u32, range.end.max(range.start + 1) as u32 - 1);
        let first_at = self.stretches.partition_point(|s| s.out_end() <= start);
        let last_at = self.stretches.partition_point(|s| s.out_end() <= last);
        let from = self.stretches.get(first_at).map_or_else(
            || self.stretches.last().map_or(0, Stretch::source_end),
            |s| s.source + start.saturating_sub(s.out) / u32::from(s.to.max(1)) * u32::from(s.from),
        );
        let to = self.stretches.get(last_at).map_or_else(
            || self.stretches.last().map_or(0, Stretch::source_end),
            |s| s.source + (last.saturating_sub(s.out) / u32::from(s.to.max(1)) + 1) * u32::from(s.from),
        );
        let marks = self.stretches.iter().take(last_at + 1).skip(first_at);
        (from as usize..to.max(from) as usize, marks.fold(Marks::NONE, |all, s| all.with(s.marks)))
    }
}

/// A single escape of more than 64 KiB (a run of backslashes) is noted as one of that length.
fn clip(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
