//! Streams: events as golden files have them, written in any form that a reader takes for the same, and read back.

use serde_json::Value;

use crate::{Draw, Unstructured};

/// An event of a stream.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its `event:` field.
    pub name: Option<String>,
    /// Its data: JSON, or a word such as `[DONE]`.
    pub data: Result<Value, String>,
}

/// The events of a golden stream, and whether they are server-sent events (or else lines of JSON).
pub fn events(text: &str) -> (Vec<Event>, bool) {
    let is_sse = text.contains("data:");
    let event = |name: Option<&str>, data: &str| Event {
        name: name.map(str::to_owned),
        data: serde_json::from_str(data).map_err(|_| data.to_owned()),
    };
    if !is_sse {
        return (text.lines().filter(|line| !line.is_empty()).map(|line| event(None, line)).collect(), false);
    }
    let read = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(event(field("event:"), field("data:")?))
    };
    (text.split("\n\n").filter_map(read).collect(), true)
}

/// Writes events; what the fuzzer chooses is what readers don't tell apart.
pub fn write(events: &[Event], is_sse: bool, u: &mut Unstructured<'_>) -> Draw<Vec<u8>> {
    let mut out = String::new();
    let end = if is_sse { *u.choose(&["\n", "\n", "\r\n", "\r"])? } else { *u.choose(&["\n", "\n", "\r\n"])? };
    if is_sse && u.ratio(1u8, 16u8)? {
        out.push('\u{feff}');
    }
    for event in events {
        let data = match &event.data {
            Ok(value) => crate::shape::Hand::draw(u)?.write(value).replace(['\n', '\r'], " "),
            Err(word) => word.clone(),
        };
        if !is_sse {
            out += &data;
            out += end;
            continue;
        }
        if u.ratio(1u8, 16u8)? {
            out += *u.choose(&[": ping", ":", "retry: 5", "id: 1", "x", "x: y", "data"])?;
            out += end;
            if u.arbitrary()? {
                out += end;
            }
        }
        if let Some(name) = &event.name {
            out += &format!("event: {name}{end}");
        }
        let space = if u.ratio(1u8, 8u8)? { "" } else { " " };
        // Data may be written on several lines, which a reader joins by a line feed.
        let mut rest = data.as_str();
        if u.ratio(1u8, 16u8)?
            && let Some(comma) = rest.find(",\"")
        {
            out += &format!("data:{space}{}{end}", &rest[..=comma]);
            rest = &rest[comma + 1..];
        }
        out += &format!("data:{space}{rest}{end}{end}");
    }
    Ok(out.into_bytes())
}

/// The data of the events in a body, as a browser reads them; of lines of JSON, each line.
pub fn read(body: &[u8], is_sse: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if !is_sse {
        return text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    }
    let (mut out, mut data) = (Vec::new(), None::<String>);
    for line in text.split('\n') {
        if line.is_empty() {
            out.extend(data.take());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            }
        }
    }
    // Some readers take an event that nothing ends.
    out.extend(data);
    out
}

/// Where a body is cut.
pub fn cuts(length: usize, u: &mut Unstructured<'_>) -> Draw<Vec<usize>> {
    let mut at = vec![0, length];
    match u.int_in_range(0..=3u8)? {
        0 => at.extend((0..length).step_by(1 + usize::from(u.int_in_range(0..=7u8)?))),
        _ => {
            for _ in 0..u.int_in_range(1..=12u8)? {
                at.push(u.int_in_range(0..=length)?);
            }
        }
    }
    at.sort_unstable();
    Ok(at)
}

/// The pieces between these places.
pub fn pieces<'b>(body: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}
