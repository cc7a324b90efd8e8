//! The response: read for its usage, changed in nothing but the limit headers.

use super::request::ours;
use super::{Edit, Headers, State, Transaction};
use crate::protocol::reply::UsageReader;

impl Transaction {
    pub(super) fn response_headers(&mut self, headers: Headers<'_>) -> Edit {
        self.record.status = headers.text(":status").and_then(|status| status.parse().ok());
        let mut edit = Edit::default();
        if let State::Forwarded { admitted: Some(admitted), usage } = &mut self.state {
            if !headers.has("content-encoding") {
                *usage = headers.value("content-type").and_then(UsageReader::for_content_type);
            }
            edit.set = admitted.limit_headers();
            // A verdict that the upstream writes is not ours.
            edit.remove = ours(headers);
        }
        edit
    }

    pub(super) fn response_chunk(&mut self, chunk: &[u8]) {
        if let State::Forwarded { usage: Some(reader), .. } = &mut self.state {
            reader.push(chunk);
        }
    }

    /// Takes the real usage over into the record.
    pub(super) fn settle(&mut self) {
        if let State::Forwarded { usage, .. } = &mut self.state
            && let Some(read) = usage.take().and_then(UsageReader::finish)
        {
            self.record.input_tokens = Some(read.input);
            self.record.output_tokens = Some(read.output);
        }
    }
}
