//! Every keyword of the rules that read text as it came: found anywhere, ASCII in any case.
//!
//! Laid out at build time. Two letters are looked up at each byte, three where those two are known, and only what is
//! left is compared: ordinary text is passed over without a comparison. Linear: the words to compare at one byte are
//! bounded by how many share three letters.

/// Bits of the filter of three letters.
pub(super) const FILTER: u32 = 13;
/// Buckets of the table of three letters.
pub(super) const BUCKETS: u32 = 10;

/// The tables.
#[derive(Clone, Copy, Debug)]
pub struct Literals {
    /// One bit for each two bytes, folded.
    pub pairs: &'static [u64; 1024],
    /// One bit for each hash of three bytes, folded.
    pub triples: &'static [u64; 128],
    /// Where each bucket of `list` begins, and the end of the last one.
    pub buckets: &'static [u16],
    /// Words of three bytes and more, by bucket.
    pub list: &'static [Literal],
    /// Shorter words.
    pub short: &'static [Literal],
}

/// A word.
#[derive(Clone, Copy, Debug)]
pub struct Literal {
    /// In lower case.
    pub text: &'static [u8],
    /// Its three letters, folded.
    pub triple: u32,
    /// Where in the word these stand.
    pub offset: u8,
    /// Which list of uses.
    pub uses: u16,
}

/// A word found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// Which list of uses.
    pub uses: u16,
}

impl Literals {
    /// Calls `take` with every word found. Returns how many words were compared.
    pub fn each(&self, text: &str, mut take: impl FnMut(Found)) -> usize {
        let bytes = text.as_bytes();
        let mut compared = 0;
        for (at, pair) in bytes.windows(2).enumerate() {
            let &[first, second] = pair else { continue };
            if self.knows(first, second) {
                self.compare(bytes, at, &mut compared, &mut take);
            }
        }
        if let Some(last) = bytes.len().checked_sub(1) {
            self.compare(bytes, last, &mut compared, &mut take);
        }
        compared
    }

    fn knows(&self, first: u8, second: u8) -> bool {
        let pair = u16::from_le_bytes([first, second]) | 0x2020;
        self.pairs.get(usize::from(pair >> 6)).is_some_and(|bits| bits >> (pair & 63) & 1 == 1)
    }

    fn compare(&self, bytes: &[u8], at: usize, compared: &mut usize, take: &mut impl FnMut(Found)) {
        let Some(rest) = bytes.get(at..) else { return };
        let mut check = |word: &Literal| {
            let offset = usize::from(word.offset);
            *compared += 1;
            if let Some(start) = at.checked_sub(offset)
                && let Some(there) = bytes.get(start..start + word.text.len())
                && there.eq_ignore_ascii_case(word.text)
            {
                take(Found { start, end: start + word.text.len(), uses: word.uses });
            }
        };
        for word in self.short {
            if rest.first().map(u8::to_ascii_lowercase) == word.text.first().copied() {
                check(word);
            }
        }
        let Some(&[a, b, c]) = rest.first_chunk::<3>() else { return };
        let triple = fold(a, b, c);
        let hash = hash(triple, FILTER);
        if self.triples.get((hash >> 6) as usize).is_none_or(|bits| bits >> (hash & 63) & 1 == 0) {
            return;
        }
        let bucket = self::hash(triple, BUCKETS) as usize;
        let (Some(&from), Some(&to)) = (self.buckets.get(bucket), self.buckets.get(bucket + 1)) else { return };
        for word in self.list.get(usize::from(from)..usize::from(to)).unwrap_or_default() {
            if word.triple == triple {
                check(word);
            }
        }
    }
}

/// Three bytes as one number, letters in lower case.
pub(super) const fn fold(a: u8, b: u8, c: u8) -> u32 {
    u32::from_le_bytes([a, b, c, 0]) | 0x0020_2020
}

/// So many bits of a hash.
pub(super) const fn hash(triple: u32, bits: u32) -> u32 {
    triple.wrapping_mul(0x9E37_79B1) >> (32 - bits)
}
