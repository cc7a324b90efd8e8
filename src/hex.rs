//! Bytes as text, two small hexadecimal digits each.
//!
//! ```
//! assert_eq!(bartizan::hex::hex(&[0, 0x2f, 0xff]), "002fff");
//! ```

/// Two digits a byte, the higher one first.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}
