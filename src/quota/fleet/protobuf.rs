//! Protobuf's wire form (encoding specification of Protocol Buffers 3), as much of it as small messages need.
//!
//! Reads any bytes without panic and in one pass; groups, which proto3 does not have, are refused.

/// Writes one message.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A number, a boolean or an enum's value; 0 is the default and not written.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint(u64::from(field) << 3);
            self.varint(value);
        }
    }

    /// A string, or a message that is written already.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A message.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// The bytes.
    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'b> {
    /// A varint.
    Number(u64),
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'b [u8]),
    /// A number of fixed size, which no message here uses.
    Fixed,
}

impl<'b> Value<'b> {
    pub(super) fn number(self) -> Option<u64> {
        if let Value::Number(number) = self { Some(number) } else { None }
    }

    pub(super) fn bytes(self) -> Option<&'b [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// The fields of a message, in their order; `Err` once, then nothing, where the bytes are no message.
#[derive(Debug)]
pub(super) struct Fields<'b>(Option<&'b [u8]>);

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'b> Fields<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Fields<'b> {
        Fields(Some(bytes))
    }

    fn field(&mut self) -> Option<(u64, Value<'b>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        let number = tag >> 3;
        (1..1 << 29).contains(&number).then_some((number, value))
    }

    /// At most ten bytes; bits beyond the 64th are refused.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (head, tail) = self.0?.split_at_checked(length)?;
        self.0 = Some(tail);
        Some(head)
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Value<'b>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0?.is_empty() {
            return None;
        }
        Some(self.field().ok_or_else(|| {
            self.0 = None;
            Malformed
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.number(1, u64::MAX);
        writer.number(2, 0);
        writer.bytes(16, b"text");
        writer.message(3, |inner| inner.number(1, 300));
        let bytes = writer.done();
        let fields: Vec<_> = Fields::of(&bytes).collect::<Result<_, _>>().unwrap();
        let inner = [8, 0xac, 2];
        assert_eq!(fields, [(1, Value::Number(u64::MAX)), (16, Value::Bytes(b"text")), (3, Value::Bytes(&inner))]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            &[0x08][..],                                             // a tag alone
            &[0x0a, 5, 1],                                           // shorter than it says
            &[0x0b],                                                 // a group
            &[0x00, 1],                                              // field 0
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], // 65 bits
            &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], // a length beyond memory
        ] {
            assert_eq!(Fields::of(bytes).last(), Some(Err(Malformed)), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Fields::of(&bytes).count() <= bytes.len());
        }
    }
}
