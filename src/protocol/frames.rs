//! Streams cut into events: server-sent events (WHATWG HTML, "Server-sent events"), lines of JSON, and messages of AWS
//! event streams.
//!
//! Takes bytes as they come, whatever the chunking, and gives back whole events with every byte
//! they had: the events' bytes, one after the other, are the stream. The content of an event is read
//! as a client reads it: any of the three line ends, several `data` lines, comments, a BOM in front.
//!
//! ```
//! use bartizan::protocol::frames::{Frames, Framing};
//!
//! let mut frames = Frames::new(Framing::Sse, 1000);
//! let mut whole = Vec::new();
//! frames.push(b"data: {\"a\"", &mut whole).unwrap();
//! assert!(whole.is_empty() && frames.held() > 0);
//! frames.push(b": 1}\n\n", &mut whole).unwrap();
//! assert_eq!(whole[0].raw(), b"data: {\"a\": 1}\n\n");
//! assert_eq!(whole[0].data().unwrap().as_ref(), b"{\"a\": 1}");
//! ```

use std::borrow::Cow;

use super::eventstream::{self, Message};

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `text/event-stream`: an event ends at an empty line.
    Sse,
    /// `application/x-ndjson`: an event is a line.
    Lines,
    /// `application/vnd.amazon.eventstream`: an event is a message. Its data is an object whose one key is the event's type;
    /// that of a `chunk` is the model's own event, which is in the payload as base64.
    Messages,
}

/// An event longer than the reader's limit: it can't be held, and so can't be guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a stream into events. Holds at most one unfinished event.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    max_event: usize,
    held: Vec<u8>,
    /// The line under way has bytes.
    in_line: bool,
    /// The last byte was a carriage return: a line feed after it belongs to the same line end.
    after_cr: bool,
    /// That line end ends an event, which waits for the line feed that may come: else it would open the next one, and be
    /// lost where that one is changed.
    waits: bool,
    first: bool,
}

/// One event, with every byte it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    framing: Framing,
    raw: Vec<u8>,
    first: bool,
}

impl Frames {
    /// A reader for one stream. An event, with its line ends, may have `max_event` bytes.
    pub fn new(framing: Framing, max_event: usize) -> Frames {
        Frames { framing, max_event, held: Vec::new(), in_line: false, after_cr: false, waits: false, first: true }
    }

    /// Takes the next bytes; the events that they end are appended to `out`.
    ///
    /// # Errors
    /// [`TooLong`]; the reader holds a part of that event and must not be used again.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<Frame>) -> Result<(), TooLong> {
        if self.framing == Framing::Messages {
            return self.push_messages(chunk, out);
        }
        let mut rest = chunk;
        while let Some(&next) = rest.first() {
            let is_rest_of_end = std::mem::take(&mut self.after_cr) && next == b'\n';
            if is_rest_of_end {
                rest = self.hold(rest, 1)?;
            }
            if std::mem::take(&mut self.waits) {
                out.push(self.cut());
            }
            if is_rest_of_end {
                continue;
            }
            let Some(end) = rest.iter().position(|byte| self.ends_line(*byte)) else {
                self.in_line = true;
                self.hold(rest, rest.len())?;
                break;
            };
            let carriage_return = rest.get(end) == Some(&b'\r');
            self.in_line |= end > 0;
            rest = self.hold(rest, end + 1)?;
            if carriage_return {
                match rest.first() {
                    Some(b'\n') => rest = self.hold(rest, 1)?,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            let was_empty = !std::mem::take(&mut self.in_line);
            if was_empty || self.framing == Framing::Lines {
                if self.after_cr {
                    self.waits = true;
                } else {
                    out.push(self.cut());
                }
            }
        }
        Ok(())
    }

    /// The same for messages, which say their length. One of a wrong length is an event of its own that is not well formed.
    fn push_messages(&mut self, chunk: &[u8], out: &mut Vec<Frame>) -> Result<(), TooLong> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let missing = match eventstream::length(&self.held) {
                Ok(Some(length)) if length > self.max_event => return Err(TooLong),
                Ok(Some(length)) => length.saturating_sub(self.held.len()),
                Ok(None) => 4 - self.held.len().min(3),
                Err(_) => rest.len(),
            };
            rest = self.hold(rest, missing.min(rest.len()))?;
            if eventstream::length(&self.held) == Ok(Some(self.held.len())) {
                out.push(self.cut());
            }
        }
        Ok(())
    }

    /// What is left when the stream has ended. A client may read it as an event or not: guard it.
    pub fn finish(mut self) -> Option<Frame> {
        (!self.held.is_empty()).then(|| self.cut())
    }

    /// Bytes of an event that has not ended yet.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte == b'\n' || (byte == b'\r' && self.framing == Framing::Sse)
    }

    fn hold<'c>(&mut self, bytes: &'c [u8], count: usize) -> Result<&'c [u8], TooLong> {
        let (taken, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        if self.held.len().saturating_add(taken.len()) > self.max_event {
            return Err(TooLong);
        }
        self.held.extend_from_slice(taken);
        Ok(rest)
    }

    fn cut(&mut self) -> Frame {
        let first = std::mem::take(&mut self.first);
        Frame { framing: self.framing, raw: std::mem::take(&mut self.held), first }
    }
}

impl Frame {
    /// An event of our own.
    pub fn of_data(framing: Framing, event: Option<&str>, data: &[u8]) -> Vec<u8> {
        if framing == Framing::Messages {
            return event.map_or_else(|| eventstream::chunk_event(data), |event| eventstream::event(event, data));
        }
        let mut out = Vec::with_capacity(data.len() + 32);
        if framing == Framing::Sse {
            if let Some(event) = event {
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(event.as_bytes());
                out.push(b'\n');
            }
            out.extend_from_slice(b"data: ");
        }
        out.extend_from_slice(data);
        out.extend_from_slice(if framing == Framing::Sse { b"\n\n" } else { b"\n" });
        out
    }

    /// The event's bytes as they came.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The stream's first event, which may have a byte order mark.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// The event's bytes as they came.
    pub fn into_raw(self) -> Vec<u8> {
        self.raw
    }

    /// True for a message whose checksums are right, and when every line is a comment or one of the four fields of server-sent events. A client skips any other line,
    /// or does not: JSON that came under the wrong type would be read by nobody here.
    pub fn is_well_formed(&self) -> bool {
        if self.framing == Framing::Messages {
            return Message::read(&self.raw).is_some_and(|message| message.data().is_some());
        }
        self.framing == Framing::Lines
            || self.lines().all(|(content, _)| {
                let name = content.split(|byte| *byte == b':').next().unwrap_or_default();
                content.is_empty() || [&b""[..], b"data", b"event", b"id", b"retry"].contains(&name)
            })
    }

    /// The event's data; several lines are joined by a line feed. `None`: a comment, or nothing.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        if self.framing == Framing::Messages {
            return Message::read(&self.raw)?.data().map(Cow::Owned);
        }
        let mut joined: Option<Cow<'_, [u8]>> = None;
        for (content, _) in self.lines() {
            let Some(value) = self.data_of(content) else { continue };
            joined = Some(match joined {
                None => Cow::Borrowed(value),
                Some(earlier) => {
                    let mut both = earlier.into_owned();
                    both.push(b'\n');
                    both.extend_from_slice(value);
                    Cow::Owned(both)
                }
            });
        }
        joined
    }

    /// The event's name, where it has one.
    pub fn event(&self) -> Option<&str> {
        if self.framing != Framing::Sse {
            return None;
        }
        let names = self.lines().filter_map(|(content, _)| field(content, b"event"));
        names.last().and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty())
    }

    /// The same event with other data: every other line stays as it came.
    pub fn with_data(&self, data: &[u8]) -> Vec<u8> {
        if self.framing == Framing::Messages {
            // What is no message was refused before: nothing of it goes on.
            return Message::read(&self.raw).and_then(|message| message.with_data(data)).unwrap_or_default();
        }
        let mut out = Vec::with_capacity(self.raw.len() + data.len());
        let mut written = false;
        for (content, end) in self.lines() {
            if self.data_of(content).is_none() {
                out.extend_from_slice(content);
                out.extend_from_slice(end);
            } else if !std::mem::replace(&mut written, true) {
                if self.framing == Framing::Sse {
                    out.extend_from_slice(b"data: ");
                }
                out.extend_from_slice(data);
                out.extend_from_slice(end);
            }
        }
        out
    }

    fn data_of<'f>(&self, content: &'f [u8]) -> Option<&'f [u8]> {
        match self.framing {
            Framing::Sse => field(content, b"data"),
            Framing::Lines | Framing::Messages => {
                let text = content.trim_ascii();
                (!text.is_empty()).then_some(text)
            }
        }
    }

    /// Every line with its end, apart. The first line of a stream loses its BOM.
    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let bytes = self.raw.as_slice();
        let bom = self.first && self.framing == Framing::Sse;
        let mut rest = if bom { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let carriage = self.framing == Framing::Sse;
            let end = rest.iter().position(|byte| *byte == b'\n' || (carriage && *byte == b'\r'));
            let (content, tail) = rest.split_at(end.unwrap_or(rest.len()));
            let width = match tail {
                [b'\r', b'\n', ..] => 2,
                [_, ..] => 1,
                [] => 0,
            };
            let (line_end, after) = tail.split_at(width);
            rest = after;
            Some((content, line_end))
        })
    }
}

/// The value of a line's field; one space after the colon does not count.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest {
        [] => Some(rest),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(framing: Framing, stream: &[u8], step: usize) -> Vec<Frame> {
        let mut frames = Frames::new(framing, 4096);
        let mut out = Vec::new();
        stream.chunks(step).for_each(|chunk| frames.push(chunk, &mut out).unwrap());
        out.extend(frames.finish());
        out
    }

    fn seen(frames: &[Frame]) -> Vec<(Option<String>, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let events =
            frames.iter().map(|frame| (frame.event().map(str::to_owned), frame.data().map(|data| text(&data))));
        events.filter(|event| event.1.is_some()).collect()
    }

    #[test]
    fn any_chunking_gives_the_same_events_and_loses_no_byte() {
        let streams: [&[u8]; 5] = [
            b"data: a\n\n: note\n\nevent: e\ndata:b\ndata\ndata:  c\nid: 7\n\ndata: [DONE]\n\n",
            b"\xef\xbb\xbfdata: a\r\n\r\n: note\r\n\r\nevent: e\r\ndata:b\r\ndata\r\ndata:  c\r\nid: 7\r\n\r\ndata: [DONE]\r\n\r\n",
            b"data: a\r\r: note\r\revent: e\rdata:b\rdata\rdata:  c\rid: 7\r\rdata: [DONE]\r\r",
            b"\n\n\ndata: a\r\n\n: note\n\r\nevent: x\nevent: e\ndata:b\rdata\ndata:  c\nid: 7\n\ndata: [DONE]\n",
            b"data: a\n\ndatax: 1\nevent:e\ndata:b\ndata\ndata:  c\nretry: 7\n\ndata: [DONE]",
        ];
        let some = |text: &str| Some(text.to_owned());
        for stream in streams {
            let whole = cut(Framing::Sse, stream, stream.len());
            for step in 1..=stream.len() {
                let frames = cut(Framing::Sse, stream, step);
                // Each of the same bytes: one that is changed takes nothing of the next one with it.
                assert_eq!(frames, whole, "{step} {}", String::from_utf8_lossy(stream));
                let events = [(None, some("a")), (some("e"), some("b\n\n c")), (None, some("[DONE]"))];
                assert_eq!(seen(&frames), events, "{step} {}", String::from_utf8_lossy(stream));
                assert_eq!(frames.iter().flat_map(|frame| frame.raw().to_vec()).collect::<Vec<_>>(), stream);
            }
        }
    }

    #[test]
    fn lines_are_events() {
        let stream = b"{\"a\":1}\n\n{\"b\":2}\r\n{\"c\"\r:3}";
        for step in 1..=stream.len() {
            let frames = cut(Framing::Lines, stream, step);
            let data: Vec<_> = seen(&frames).into_iter().filter_map(|(_, data)| data).collect();
            assert_eq!(data, ["{\"a\":1}", "{\"b\":2}", "{\"c\"\r:3}"]);
            assert_eq!(frames.iter().flat_map(|frame| frame.raw().to_vec()).collect::<Vec<_>>(), stream);
        }
    }

    #[test]
    fn messages_are_events() {
        let sent = [("messageStart", &br#"{"role":"assistant"}"#[..]), ("contentBlockStop", b"{}"), ("metadata", b"")];
        let stream: Vec<u8> =
            sent.iter().flat_map(|(name, data)| Frame::of_data(Framing::Messages, Some(name), data)).collect();
        for step in 1..=stream.len() {
            let frames = cut(Framing::Messages, &stream, step);
            assert!(frames.iter().all(Frame::is_well_formed));
            assert_eq!(frames.iter().flat_map(|frame| frame.raw().to_vec()).collect::<Vec<_>>(), stream);
            let data: Vec<_> = frames.iter().map(|frame| frame.data().unwrap().into_owned()).collect();
            assert_eq!(data[0], br#"{"messageStart":{"role":"assistant"}}"#);
            assert_eq!(data[1..], [b"{\"contentBlockStop\":{}}".to_vec(), b"{\"metadata\":{}}".to_vec()]);
        }
        // What is cut off, or is no message, is an event that nobody reads.
        for wrong in [&stream[..stream.len() - 1], b"\0\0\0\x03abcdef", b"no message at all, and long enough for one"] {
            let mut frames = Frames::new(Framing::Messages, 1 << 31);
            let mut out = Vec::new();
            frames.push(wrong, &mut out).unwrap();
            out.extend(frames.finish());
            assert!(!out.last().unwrap().is_well_formed());
        }
        let mut frames = Frames::new(Framing::Messages, 64);
        assert_eq!(frames.push(&[0, 0, 0, 65], &mut Vec::new()), Ok(()));
        assert_eq!(frames.push(&[0], &mut Vec::new()), Err(TooLong));
    }

    #[test]
    fn other_data_keeps_the_lines_around_it() {
        let frames = cut(Framing::Sse, b"id: 3\r\ndata: a\r\ndata: b\r\n: note\r\n\r\n", 5);
        assert_eq!(frames[0].with_data(b"{}"), b"id: 3\r\ndata: {}\r\n: note\r\n\r\n");
        let frames = cut(Framing::Lines, b"{\"a\":1}\r\n", 3);
        assert_eq!(frames[0].with_data(b"{}"), b"{}\n");
        assert_eq!(Frame::of_data(Framing::Sse, Some("e"), b"1"), b"event: e\ndata: 1\n\n");
    }

    #[test]
    fn an_event_is_bounded_and_a_stream_is_not() {
        let mut frames = Frames::new(Framing::Sse, 16);
        let mut out = Vec::new();
        for _ in 0..100 {
            frames.push(b"data: 12345\n\n", &mut out).unwrap();
        }
        assert_eq!(out.len(), 100);
        assert_eq!(frames.push(b"data: 1234567890\n", &mut out), Err(TooLong));
    }
}
