//! Replies taken apart, whole or event by event: where the model's text is and what it is, which
//! tools it calls, what it cost, and how more text or an early end is written in the protocol's words.
//!
//! Reads and writes JSON; holds no bytes of a reply, scans nothing, decides nothing. Like a request, a
//! reply is left nowhere unread: a string that no rule below knows is a text of its own
//! ([`TextKind::Other`]).
//!
//! The way of one stream: [`super::frames`] cuts events, [`Stream::read`] takes one apart, the caller
//! scans and edits it, [`Stream::sent`] notes that it left, and [`Stream::close`] ends a stream early.
//!
//! ```
//! use bartizan::enums::Operation;
//! use bartizan::protocol::{Json, Protocol};
//!
//! let reply = br#"{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}],
//!     "usage": {"prompt_tokens": 3, "completion_tokens": 2}}"#;
//! let json = Json::parse_reply(reply, 64).unwrap();
//! let parts = Protocol::named("openai").unwrap().read_reply(Operation::Chat, &json);
//! let texts: Vec<_> = parts.texts.iter().filter_map(|text| json.at(&text.path)?.as_str()).collect();
//! assert!(texts.contains(&"Hi."));
//! assert_eq!(parts.usage.unwrap().output, Some(2));
//! ```

use std::fmt::Debug;

use super::Told;
use super::account::ReplyDraft;
use super::finish::RefusedBy;
use super::form::{Form, is_bytes};
use super::frames::Framing;
use super::{Json, Path, UnscannedKind};
use crate::reason::Reason;
use crate::sorted;

pub use super::account::{ReplyParts, ReplyText};
pub use super::lane::Lane;
use super::lane::Lanes;
pub(super) use super::parts::FUNCTION_CALL;
pub use super::parts::{Channel, End, Facts, Progress, Rewrite, TextKind, ToolCall};
pub use super::stream::Stream;
pub use super::usage::{Spent, Usage};

/// What of the request tells which forms of a reply are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// It was an array of messages.
    pub is_batch: bool,
    /// The route speaks the HTTP+SSE transport of the Model Context Protocol.
    pub is_http_sse: bool,
}

impl Debug for dyn ReplyFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyFormat")
    }
}

/// How the replies of one operation read, whole and as a stream, and how they are changed.
pub trait ReplyFormat: Send + Sync {
    /// Takes a whole reply, or one event of a stream, apart.
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>);

    /// Joins the pieces of one text that a whole reply has in several places, so that they are judged as one. Where
    /// nothing is found the reply goes on as it came.
    fn join(&self, _reply: &mut Json<'_>) {}

    /// How a stream is cut into events.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// The format that this reply, or the first event of a stream that tells one, has.
    fn told_by(&self, _reply: &Json<'_>) -> Option<&'static dyn ReplyFormat> {
        None
    }

    /// What a reply or event of a format that it told ([`ReplyFormat::told_by`]) says of its cost beside that format's own words.
    fn counts(&self, _reply: &Json<'_>) -> Option<Usage> {
        None
    }

    /// True where a reply or event of any format says beside that format's own words that a guardrail stepped in.
    fn is_intercepted(&self, _reply: &Json<'_>) -> bool {
        false
    }

    /// An event of a format that it told, in its own framing.
    fn wrap(&self, event: &[u8]) -> Vec<u8> {
        event.to_vec()
    }

    /// True for an event's data that is no JSON and ends the stream.
    fn is_terminator(&self, _data: &[u8]) -> bool {
        false
    }

    /// Cuts calls out of a reply or an event. What tells that a tool was called goes with them; where nothing is left of
    /// the answer, `notice` replaces it. The places are sorted and each is there once.
    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], _notice: &str) {
        reply.remove(paths);
    }

    /// Asks the upstream to end a stream with its usage. True: the client did not ask.
    fn ask_usage(&self, _request: &mut Json<'_>) -> bool {
        false
    }

    /// The ids of what the provider keeps of this exchange, in a whole reply.
    fn kept(&self, _reply: &Json<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Takes out of a list what the provider keeps and is not of these. True: something was.
    fn retain(&self, _reply: &mut Json<'_>, _is_own: &dyn Fn(&str) -> bool) -> bool {
        false
    }

    /// Takes out of a store's answer what is another tenant's. True: something was.
    fn confine(&self, _reply: &mut Json<'_>, _tenant: &str) -> bool {
        false
    }

    /// True for the bytes of a file, which may be no events at all.
    fn is_file(&self) -> bool {
        false
    }

    /// The same, in an event that ends a stream well.
    fn kept_by(&self, _event: &Json<'_>) -> Option<String> {
        None
    }

    /// The events that end a stream early.
    fn close(&self, _ending: &Ending<'_>) -> Vec<u8> {
        Vec::new()
    }

    /// True when a call comes whole in one event: what an event says of calls is forgotten with the next.
    fn calls_come_whole(&self) -> bool {
        false
    }

    /// True when every event is a message of its own: no client joins a text of one with a text of the next.
    fn events_are_whole(&self) -> bool {
        false
    }

    /// True when blocks or items open and close one by one; else choices do.
    fn counts_items(&self) -> bool {
        false
    }

    /// True where several speak at a time, a choice each, and where an event may repeat a text and go on with it.
    fn comes_in_turns(&self) -> bool {
        false
    }

    /// True when a call comes in pieces that clients join, its name too.
    fn calls_come_in_pieces(&self) -> bool {
        false
    }

    /// Checks that a whole reply or an event has a form in which nothing hides.
    ///
    /// # Errors
    /// [`Reason::ReplyUnreadable`], or [`Reason::McpRevision`].
    fn check(&self, _reply: &Json<'_>, _asked: Asked) -> Result<(), Reason> {
        Ok(())
    }

    /// Takes what later events of the filter's own must repeat from an event.
    fn note(&self, _facts: &mut Facts, _event: &Json<'_>) {}

    /// True for an event that is one token of the answer, where servers may tell no other count.
    fn is_token(&self, _event: &Json<'_>) -> bool {
        false
    }
}

/// A stream that ends early.
#[derive(Debug)]
pub struct Ending<'s> {
    /// What its events repeat.
    pub facts: &'s Facts,
    /// How far it came.
    pub sent: &'s Progress,
    /// What it cost so far.
    pub usage: Option<Usage>,
    /// Why it ends.
    pub told: &'s Told<'s>,
}

impl Ending<'_> {
    /// A cap that is reached ends a stream as the model's own limit does.
    pub(super) fn why(&self, limit: &'static str, filter: &'static str) -> &'static str {
        if self.told.denial.reason == Reason::ReplyTokens { limit } else { filter }
    }
}

pub(super) fn remove_calls(format: &dyn ReplyFormat, json: &mut Json<'_>, mut paths: Vec<&Path>, notice: &str) {
    sorted::once(&mut paths);
    format.remove_calls(json, &paths, notice);
}

/// A reply of which nothing but the usage is known: every string is a text of its own.
#[derive(Debug)]
pub struct Plain {
    /// Where the usage is.
    pub(super) usage: fn(&Json<'_>) -> Option<Usage>,
}

impl ReplyFormat for Plain {
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>) {
        walk.parts.usage = (self.usage)(reply);
    }
}

/// Takes JSON apart; one method a shape.
pub struct Walk<'k> {
    /// This is an event of a stream: its texts go on.
    pub(super) stream: bool,
    pub(super) parts: ReplyDraft,
    pub(super) root: &'k Json<'k>,
    pub(super) lanes: Lanes<'k>,
    pub(super) knows: &'k dyn Fn(&str) -> bool,
}

impl Walk<'_> {
    /// A text of a channel, when this is one. Under one key it is one text over the events of a stream.
    pub(super) fn text(&mut self, path: &Path, value: &Json<'_>, choice: u32, item: u32, kind: TextKind) {
        self.text_of(path, path, value, Channel { choice, item, kind });
    }

    /// The same for what is at `path`, below the place of the text.
    fn text_of(&mut self, top: &Path, path: &Path, value: &Json<'_>, channel: Channel) {
        match value {
            Json::String(_) => {
                let lane = self.lanes.of_text(top, path, channel.kind);
                self.push(path, channel, lane, self.stream, false);
            }
            // A list of parts: their texts go on in the next event as a plain text does.
            Json::Array(parts) if self.stream => {
                for (position, part) in parts.iter().enumerate() {
                    self.text_of(top, &path.child(position), part, channel);
                }
            }
            Json::Object(entries) if self.stream => {
                for (position, (key, inner)) in entries.iter().enumerate() {
                    let place = path.child(position);
                    match key.as_ref() {
                        "text" | "thinking" | "content" | "summary" | "reasoning" => {
                            self.text_of(top, &place, inner, channel);
                        }
                        _ => self.rest(&place, key, inner),
                    }
                }
            }
            _ => self.strings(path, value, channel),
        }
    }

    /// Notes why the reply ended; what is no string says nothing.
    pub(super) fn finish(&mut self, word: Option<&Json<'_>>) {
        if let Some(word) = word.and_then(Json::as_str) {
            self.parts.finish.note(word);
        }
    }

    /// An error that says that a filter refused the prompt (Azure).
    pub(super) fn refusal_of_error(&mut self, reply: &Json<'_>) {
        let code = reply.get("error").and_then(|error| error.get("code")).and_then(Json::as_str);
        if code == Some("content_filter") {
            self.parts.finish.refuse(RefusedBy::Provider);
        }
    }

    /// Every string below, each whole.
    pub(super) fn strings(&mut self, path: &Path, value: &Json<'_>, channel: Channel) {
        let mut found = Vec::new();
        value.visit_strings(path, &mut |place, is_key, text| {
            let known = is_key && (self.knows)(text);
            if !text.is_empty() && !known {
                found.push((place.clone(), is_key));
            }
        });
        for (place, is_key) in found {
            let lane = self.lanes.of_place(&place);
            self.push(&place, channel, lane, false, is_key);
        }
    }

    /// Every string below is a text that nothing is known about.
    pub(super) fn others(&mut self, path: &Path, value: &Json<'_>) {
        self.strings(path, value, Channel { choice: 0, item: 0, kind: TextKind::Other });
    }

    /// An entry that the protocol's own walk did not take: a name or a time needs no scan, all else is a text.
    pub(super) fn rest(&mut self, path: &Path, key: &str, value: &Json<'_>) {
        let known = (self.knows)(key);
        if !known {
            let lane = self.lanes.of_place(path);
            self.push(path, Channel { choice: 0, item: 0, kind: TextKind::Other }, lane, false, true);
        }
        if !self.names(key, value) {
            self.others(path, value);
        }
    }

    /// True for an entry that is a name or a time, which needs no scan.
    fn names(&mut self, key: &str, value: &Json<'_>) -> bool {
        let known = (self.knows)(key);
        (known && self.parts.parameter(value, Form::Time))
            || ((if self.stream { names_something(key) } else { known }) && self.parts.parameter(value, Form::Name))
    }

    /// An entry of an object of the application's own: a name, or a text that goes on at the same place of the next event.
    pub(super) fn own(&mut self, path: &Path, key: &str, value: &Json<'_>, channel: Channel) {
        if self.names(key, value) {
            return;
        }
        let first = self.parts.texts.len();
        self.strings(path, value, channel);
        let delta = self.stream;
        self.parts.texts.iter_mut().skip(first).filter(|text| !text.is_key).for_each(|text| text.delta = delta);
    }

    /// What the provider signed or sealed, and only it can read, or bytes that are no text. What does not look so is a
    /// text. An empty one is the beginning of a block.
    pub(super) fn payload(&mut self, kind: UnscannedKind, path: &Path, value: &Json<'_>) {
        if value.as_str().is_some_and(is_bytes) {
            self.parts.unscanned.push((kind, path.clone()));
        }
        if !self.parts.parameter(value, Form::Base64) && !self.parts.parameter(value, Form::DataUrl) {
            self.others(path, value);
        }
    }

    fn push(&mut self, path: &Path, channel: Channel, lane: Lane, delta: bool, is_key: bool) {
        self.parts.texts.push(ReplyText { path: path.clone(), channel, lane, delta, is_key });
    }
}

/// Keys whose value names something and is no piece of a text: no client joins the values of two events. A value under
/// any other key is a text, even where it looks like a name, because a piece of a text may look like one.
fn names_something(key: &str) -> bool {
    const NAMES: [&str; 14] = [
        "created_at",
        "done_reason",
        "finish_reason",
        "model",
        "native_finish_reason",
        "obfuscation",
        "object",
        "provider",
        "role",
        "service_tier",
        "status",
        "stop_reason",
        "system_fingerprint",
        "type",
    ];
    key == "id" || key.ends_with("_id") || NAMES.binary_search(&key).is_ok()
}

/// The id of an answer.
pub(super) fn id(reply: &Json<'_>) -> Option<String> {
    reply.get("id").and_then(Json::as_str).filter(|id| !id.is_empty() && is_identifier(id)).map(str::to_owned)
}

/// The model that a reply, or an event of a stream, says that it came from: at the top, or in the object that an event
/// announces.
pub fn model_of(reply: &Json<'_>) -> Option<String> {
    let holders = [Some(reply), reply.get("response"), reply.get("message")];
    let named = |holder: &Json<'_>| {
        let name = ["model", "modelVersion"].into_iter().find_map(|key| holder.get(key)?.as_str())?;
        (!name.is_empty() && is_identifier(name)).then(|| name.to_owned())
    };
    holders.into_iter().flatten().find_map(named)
}

/// Ids, model names, states, times: short and without blanks.
fn is_identifier(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number that counts things, `position` when there is none.
pub(super) fn index(value: &Json<'_>, position: usize) -> u32 {
    let own = value.get("index").and_then(Json::as_u64);
    own.map_or(u32::try_from(position), u32::try_from).unwrap_or(u32::MAX)
}
