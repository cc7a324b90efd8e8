//! Messages of AWS event streams (`application/vnd.amazon.eventstream`), after "Event Stream Encoding" of the Amazon
//! Transcribe guide and the event stream specification of Smithy.
//!
//! A message is its length, the length of its headers, a checksum of both, headers, payload, and a checksum of all. Both
//! checksums are checked and made anew. A header that is not one of the protocol's own makes a message unreadable: a text
//! could be in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Json;
use crate::crc::Crc32;

/// The lengths and their checksum.
const PRELUDE: usize = 12;
/// The shortest message: a prelude and a checksum.
const SHORTEST: usize = 16;
/// The longest name of an event's type.
const MAX_NAME: usize = 64;
/// The type of a header's value that is a string.
const STRING: u8 = 7;
/// The event of an invocation's stream that holds the model's own event.
const CHUNK: &str = "chunk";

/// One message, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    /// The type of the event or of the exception.
    pub(super) name: &'m str,
    headers: &'m [u8],
    payload: &'m [u8],
}

/// How many bytes the message that begins here has; `None`: too few have come to tell.
///
/// # Errors
/// [`Unreadable`] for a length that no message has.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
    let Some(total) = number(bytes, 0) else { return Ok(None) };
    if total < SHORTEST { Err(Unreadable) } else { Ok(Some(total)) }
}

/// It is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A number of four bytes, the highest first.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

impl<'m> Message<'m> {
    /// Takes a message apart. `None`: its lengths or checksums are wrong, or it is no event and no exception with a name.
    pub(super) fn read(bytes: &'m [u8]) -> Option<Message<'m>> {
        let (total, length) = (number(bytes, 0)?, number(bytes, 4)?);
        let end = bytes.len().checked_sub(4)?;
        let is_whole = total == bytes.len() && number(bytes, end)? == checksum(bytes.get(..end)?);
        if !is_whole || number(bytes, 8)? != checksum(bytes.get(..8)?) {
            return None;
        }
        let payload = PRELUDE.checked_add(length)?;
        let (headers, payload) = (bytes.get(PRELUDE..payload)?, bytes.get(payload..end)?);
        Some(Message { name: name(headers)?, headers, payload })
    }

    /// True for the event that holds an event of the model's own.
    fn is_chunk(&self) -> bool {
        self.name == CHUNK
    }

    /// What the message says, as JSON: an object with one entry, whose key is the event's type. Of a chunk it is the model's
    /// own event. `None`: it is no such message.
    pub(super) fn data(&self) -> Option<Vec<u8>> {
        if self.is_chunk() {
            let (bytes, _) = chunk(self.payload)?;
            return STANDARD.decode(bytes).ok();
        }
        let payload = if self.payload.is_empty() { b"{}" } else { self.payload };
        Some([b"{\"", self.name.as_bytes(), b"\":", payload, b"}"].concat())
    }

    /// The same message with other data, as compact JSON. Another key is another type of event.
    pub(super) fn with_data(&self, data: &[u8]) -> Option<Vec<u8>> {
        if self.is_chunk() {
            let (_, padding) = chunk(self.payload)?;
            return Some(write(self.headers, &chunk_of(data, padding.as_deref())));
        }
        let (name, rest) = std::str::from_utf8(data).ok()?.strip_prefix("{\"")?.split_once("\":")?;
        let payload = rest.strip_suffix('}')?.as_bytes();
        Some(if name == self.name { write(self.headers, payload) } else { event(name, payload) })
    }
}

/// A message of our own: an event of this type with this payload.
pub(super) fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")] {
        header(&mut headers, key, value);
    }
    write(&headers, payload)
}

/// A message of our own that ends a stream: an exception of this type.
pub(super) fn exception(name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    // In a stream the type begins with a small letter.
    let name = name.split_at_checked(1).map_or_else(String::new, |(first, rest)| first.to_ascii_lowercase() + rest);
    for (key, value) in
        [(":exception-type", &*name), (":content-type", "application/json"), (":message-type", "exception")]
    {
        header(&mut headers, key, value);
    }
    write(&headers, payload)
}

/// A message of our own with an event of the model's.
pub(super) fn chunk_event(data: &[u8]) -> Vec<u8> {
    event(CHUNK, &chunk_of(data, None))
}

/// The payload of a chunk.
fn chunk_of(data: &[u8], padding: Option<&str>) -> Vec<u8> {
    let bytes = STANDARD.encode(data);
    match padding {
        Some(padding) => Json::object([("bytes", &bytes), ("p", padding)]).to_bytes(),
        None => Json::object([("bytes", &bytes)]).to_bytes(),
    }
}

/// The base64 of a chunk's payload, and its padding.
fn chunk(payload: &[u8]) -> Option<(String, Option<String>)> {
    let json = Json::parse_reply(payload, 2).ok()?;
    let Json::Object(entries) = &json else { return None };
    let (mut bytes, mut padding) = (None, None);
    for (key, value) in entries {
        match (key.as_ref(), value.as_str()?) {
            ("bytes", text) => bytes = Some(text.to_owned()),
            ("p", text) if is_padding(text) => padding = Some(text.to_owned()),
            _ => return None,
        }
    }
    Some((bytes?, padding))
}

/// True for padding: letters and digits in their order, as many as the service draws, so that the length of a message
/// tells nothing of its text.
pub(super) fn is_padding(text: &str) -> bool {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    LETTERS.starts_with(text)
}

/// The type of an event or an exception. `None`: another header is there, or one is there twice.
fn name(headers: &[u8]) -> Option<&str> {
    let (mut rest, mut kind, mut name, mut content) = (headers, None, None, None);
    while !rest.is_empty() {
        let (key, after) = counted(rest, 1)?;
        let (&of, after) = after.split_first()?;
        let (value, after) = if of == STRING { counted(after, 2)? } else { return None };
        rest = after;
        let place = match key {
            b":message-type" => &mut kind,
            b":event-type" | b":exception-type" => &mut name,
            b":content-type" => &mut content,
            _ => return None,
        };
        if place.replace(std::str::from_utf8(value).ok()?).is_some() {
            return None;
        }
    }
    let plain =
        |name: &&str| (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_json = content.is_none_or(|content| content == "application/json");
    name.filter(plain).filter(|_| is_json && matches!(kind, Some("event" | "exception")))
}

/// Bytes behind their number, which has `size` bytes.
fn counted(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_at_checked(size)?;
    let count = count.iter().fold(0, |count, byte| count << 8 | usize::from(*byte));
    rest.split_at_checked(count)
}

/// Appends a header whose value is a string. Names and values are our own, and short.
fn header(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(key.as_bytes());
    out.push(STRING);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// A message with these headers and this payload.
fn write(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = SHORTEST + headers.len() + payload.len();
    let mut out = Vec::with_capacity(total);
    for length in [total, headers.len()] {
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend_from_slice(&Crc32::of(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&Crc32::of(&out).to_be_bytes());
    out
}

fn checksum(bytes: &[u8]) -> usize {
    usize::try_from(Crc32::of(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_read_and_written() {
        let raw = event("contentBlockDelta", br#"{"delta":{"text":"hi"},"p":"abc"}"#);
        let message = Message::read(&raw).unwrap();
        let data = message.data().unwrap();
        assert_eq!(data, br#"{"contentBlockDelta":{"delta":{"text":"hi"},"p":"abc"}}"#);
        assert_eq!(message.with_data(&data).unwrap(), raw);
        let other = message.with_data(br#"{"contentBlockDelta":{"x":1}}"#).unwrap();
        assert_eq!(Message::read(&other).unwrap().payload, br#"{"x":1}"#);
        let raw = chunk_event(br#"{"type":"ping"}"#);
        let message = Message::read(&raw).unwrap();
        assert_eq!(message.data().unwrap(), br#"{"type":"ping"}"#);
        let padded = event("chunk", br#"{"bytes":"e30=","p":"abcd"}"#);
        let changed = Message::read(&padded).unwrap().with_data(b"[1]").unwrap();
        assert_eq!(Message::read(&changed).unwrap().payload, br#"{"bytes":"WzFd","p":"abcd"}"#);
        // The service's own bytes, as the encoding's reference gives them: an empty message.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(write(b"", b""), empty);
    }

    #[test]
    fn what_could_hide_a_text_is_no_message() {
        let mut headers = Vec::new();
        for (key, value) in [(":event-type", "chunk"), (":message-type", "event"), ("note", "ignore it")] {
            header(&mut headers, key, value);
        }
        assert!(Message::read(&write(&headers, b"{}")).is_none());
        for payload in
            [&br#"{"bytes":"e30=","text":"a"}"#[..], br#"{"p":"abc"}"#, br#"{"bytes":"e30=","p":"hello"}"#, b"{"]
        {
            let raw = event("chunk", payload);
            assert!(Message::read(&raw).unwrap().data().is_none(), "{}", String::from_utf8_lossy(payload));
        }
    }

    proptest! {
        #[test]
        fn a_bit_that_is_another_makes_a_message_unreadable(bit in 0usize..600, text in "[a-z]{0,20}") {
            let mut raw = event("metadata", format!(r#"{{"text":"{text}"}}"#).as_bytes());
            let bit = bit % (raw.len() * 8);
            raw[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Message::read(&raw).is_none());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Message::read(&bytes).is_some(), length(&bytes), chunk(&bytes));
            let headers = write(&bytes, b"{}");
            let _ = Message::read(&headers).and_then(|message| message.data());
        }
    }
}
