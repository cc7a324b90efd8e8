//! CRC-32 as gzip (RFC 1952 section 8) and AWS event streams have it.

use bartizan_rules::invariant::of_byte;

/// The remainder of every byte.
#[allow(clippy::indexing_slicing, reason = "a constant: the compiler checks the index")]
const TABLE: [u32; 256] = {
    let (mut table, mut index) = ([0; 256], 0);
    while index < 256 {
        let (mut crc, mut bit) = (index as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// A checksum of bytes that come in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    /// Of nothing.
    pub(crate) const fn new() -> Crc32 {
        Crc32(u32::MAX)
    }

    /// Goes on with these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |crc, byte| {
            let [low, ..] = crc.to_le_bytes();
            of_byte(&TABLE, low ^ byte) ^ (crc >> 8)
        });
    }

    /// The checksum so far.
    pub(crate) const fn value(self) -> u32 {
        !self.0
    }

    /// The checksum of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut crc = Crc32::new();
        crc.push(bytes);
        crc.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(Crc32::of(b"123456789"), 0xcbf4_3926);
        assert_eq!(Crc32::of(b""), 0);
    }
}
