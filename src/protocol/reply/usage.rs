//! The usage that the model reports, read beside a reply whose bytes pass as they came.

use serde::Deserialize;

/// A reply longer than this, or an event of a stream, is not read for its usage.
const MAX_READ: usize = 1 << 20;

/// Tokens as the upstream counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the completion.
    pub output: u64,
}

impl Usage {
    /// The larger of each: a stream counts up.
    #[must_use]
    pub fn max(self, other: Usage) -> Usage {
        Usage { input: self.input.max(other.input), output: self.output.max(other.output) }
    }
}

#[derive(Deserialize)]
struct WithUsage {
    usage: Option<OpenaiUsage>,
}

#[derive(Deserialize)]
struct OpenaiUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Reads a reply chunk by chunk; memory is bounded by 1 MiB.
#[derive(Debug)]
pub struct UsageReader {
    stream: bool,
    /// The reply so far, or the line of the stream that is not complete yet.
    held: Vec<u8>,
    /// `held` was over the limit: skip to the next line, or give up on a whole reply.
    skipping: bool,
    usage: Option<Usage>,
}

impl UsageReader {
    /// For a reply of this content type; `None` when the type holds no usage.
    pub fn for_content_type(content_type: &[u8]) -> Option<UsageReader> {
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let stream = if essence.eq_ignore_ascii_case(b"text/event-stream") {
            true
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            false
        } else {
            return None;
        };
        Some(UsageReader { stream, held: Vec::new(), skipping: false, usage: None })
    }

    /// Takes the next bytes of the reply.
    pub fn push(&mut self, chunk: &[u8]) {
        if !self.stream {
            self.hold(chunk);
            return;
        }
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.hold(line);
            self.end_line();
            rest = after.get(1..).unwrap_or_default();
        }
        self.hold(rest);
    }

    /// The usage, once the reply has ended; `None` when it had none that could be read.
    pub fn finish(mut self) -> Option<Usage> {
        if self.stream {
            self.end_line();
        } else if !self.skipping {
            self.usage = parse(&self.held);
        }
        self.usage
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.skipping || self.held.len() + bytes.len() > MAX_READ {
            self.skipping = true;
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        if let Some(data) = self.held.strip_prefix(b"data:") {
            // Only the last event has it: looking for the word first keeps the others cheap.
            if data.windows(7).any(|window| window == b"\"usage\"") {
                self.usage = parse(data.trim_ascii()).or(self.usage);
            }
        }
        self.held.clear();
        self.skipping = false;
    }
}

fn parse(json: &[u8]) -> Option<Usage> {
    let reply: WithUsage = serde_json::from_slice(json).ok()?;
    reply.usage.map(|usage| Usage { input: usage.prompt_tokens, output: usage.completion_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &[u8], step: usize) -> Option<Usage> {
        let mut reader = UsageReader::for_content_type(content_type.as_bytes()).unwrap();
        body.chunks(step).for_each(|chunk| reader.push(chunk));
        reader.finish()
    }

    #[test]
    fn any_chunking_gives_the_same_usage() {
        let whole = br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;
        let stream = b"data: {\"choices\":[{}],\"usage\":null}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
        for step in 1..40 {
            assert_eq!(read("application/json; charset=utf-8", whole, step), Some(Usage { input: 3, output: 5 }));
            assert_eq!(read("text/event-stream", stream, step), Some(Usage { input: 3, output: 5 }));
        }
    }

    #[test]
    fn what_has_no_usage_gives_none() {
        assert!(UsageReader::for_content_type(b"text/plain").is_none());
        assert_eq!(read("application/json", b"{\"usage\":{\"prompt_tok", 4), None);
        assert_eq!(read("application/json", &vec![b' '; MAX_READ + 2], 4096), None);
        let mut long = vec![b'x'; MAX_READ + 2];
        long.extend_from_slice(b"\ndata: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n");
        assert_eq!(read("text/event-stream", &long, 4096), Some(Usage { input: 1, output: 2 }));
    }
}
