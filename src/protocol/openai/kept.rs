//! Replies about what the provider keeps: batches and files, lists of them, and the lines of a file.

use super::super::frames::Framing;
use super::super::reply::{Ending, ReplyFormat, Walk, id};
use super::super::{Json, Path};
use super::{events, reply};

/// A batch or a file, or a list of them. Nothing in it is a model's text.
#[derive(Debug)]
pub(super) struct Kept;

impl ReplyFormat for Kept {
    fn read(&self, _walk: &mut Walk<'_>, _reply: &Json<'_>) {}

    /// With a batch come the files of its results. Its input is whose it was.
    fn kept(&self, reply: &Json<'_>) -> Vec<String> {
        let results = ["output_file_id", "error_file_id"].into_iter();
        let results = results.filter_map(|name| reply.get(name).and_then(Json::as_str).map(str::to_owned));
        id(reply).into_iter().chain(results).collect()
    }

    fn retain(&self, reply: &mut Json<'_>, is_own: &dyn Fn(&str) -> bool) -> bool {
        let Some(Json::Array(items)) = reply.get_mut("data") else { return false };
        let before = items.len();
        items.retain(|item| item.get("id").and_then(Json::as_str).is_some_and(is_own));
        items.len() < before
    }
}

/// The bytes of a file. Where a line is JSON it is read: a line of a batch's results holds the answer to one request.
#[derive(Debug)]
pub(super) struct Content;

impl ReplyFormat for Content {
    fn read(&self, walk: &mut Walk<'_>, line: &Json<'_>) {
        // The answers are whole, and no line goes on in the next.
        walk.stream = false;
        let Some((path, answer)) = answer(line) else { return };
        match kind(answer) {
            "response" => events::read_response(walk, &path, answer),
            _ => reply::read(walk, &path, answer),
        }
        // It was paid for when the batch ran.
        walk.parts.usage = None;
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn is_file(&self) -> bool {
        true
    }

    fn events_are_whole(&self) -> bool {
        true
    }

    fn calls_come_whole(&self) -> bool {
        true
    }

    fn remove_calls(&self, line: &mut Json<'_>, paths: &[&Path], notice: &str) {
        let is_response = answer(line).is_some_and(|(_, answer)| kind(answer) == "response");
        if is_response {
            return events::replace_calls(line, paths, notice);
        }
        line.remove(paths);
        if let Some(answer) = line.get_mut("response").and_then(|response| response.get_mut("body")) {
            reply::without_calls(answer, notice);
        }
    }

    /// As a request of a batch that failed.
    fn close(&self, ending: &Ending<'_>) -> Vec<u8> {
        let error = serde_json::json!({ "code": "content_filter", "message": ending.told.message });
        let line = serde_json::json!({ "id": null, "custom_id": null, "response": null, "error": error });
        format!("{line}\n").into_bytes()
    }
}

/// What a line of results holds of an answer, and where.
fn answer<'b, 'j>(line: &'b Json<'j>) -> Option<(Path, &'b Json<'j>)> {
    let (at, response) = line.field("response").ok().flatten()?;
    let (inner, body) = response.field("body").ok().flatten()?;
    Some((Path::default().child(at).child(inner), body))
}

fn kind<'b>(answer: &'b Json<'_>) -> &'b str {
    answer.get("object").and_then(Json::as_str).unwrap_or_default()
}
