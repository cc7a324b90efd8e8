//! Replies taken apart, whole or event by event: where the model's text is and what it is, which
//! tools it calls, what it cost, and how more text or an early end is written in the protocol's words.
//!
//! Reads and writes JSON; holds no bytes of a reply, scans nothing, decides nothing. Like a request, a
//! reply is left nowhere unread: a string that no rule below knows is a text of its own
//! ([`TextKind::Other`]).
//!
//! The road of one stream: [`super::frames`] cuts events, [`Stream::read`] takes one apart, the caller
//! scans and edits it, [`Stream::sent`] notes that it left. Held-back text is written by
//! [`Stream::extra`] before the event that ends its channel, and [`Stream::close`] ends a stream early.

use std::fmt::Debug;

use super::Told;
use super::account::ReplyDraft;
use super::form::{Form, is_bytes};
use super::frames::Framing;
use super::{Json, Path, Protocol, UnscannedKind};
use crate::enums::Operation;
use crate::reason::Reason;

pub use super::account::ReplyParts;
pub use super::calls::Rewrite;
pub use super::lane::Lane;
pub use super::stream::{Facts, Progress, Stream};
pub use super::usage::{Spent, Usage};

/// The item of the older `function_call`, of which a choice has one.
pub(super) const FUNCTION_CALL: u32 = u32::MAX;

/// What a text of a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextKind {
    /// The answer.
    Text,
    /// Arguments of a tool's call: JSON, or a custom tool's plain text.
    ToolArguments,
    /// The model's thoughts.
    Reasoning,
    /// Why the model does not answer.
    Refusal,
    /// Anything else: links, search results, messages of an error.
    Other,
}

/// Texts of one channel are one text in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// The choice, from 0.
    pub choice: u32,
    /// The tool call, content block or output item in it, from 0.
    pub item: u32,
    /// What it is.
    pub kind: TextKind,
}

/// One text of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyText {
    /// Where it stands in the reply or in the event.
    pub path: Path,
    /// What it is a part of.
    pub channel: Channel,
    /// Which of the channel's texts it goes on with: those that stand under another key, or at another index, are others.
    pub lane: Lane,
    /// It goes on in later events. False: it is whole, also when it repeats what was streamed.
    pub delta: bool,
    /// The text is an object's key: it can't be changed, only refused.
    pub is_key: bool,
}

/// A tool that the model calls, or the next piece of such a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name; of a stream, as far as it has come.
    pub name: String,
    /// The choice that holds it.
    pub choice: u32,
    /// Its number there: the `item` of its arguments' channel.
    pub item: u32,
    /// What must go for the call to go.
    pub path: Path,
    /// This reply or event names the tool.
    pub named: bool,
}

/// Channels that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Of this choice; `None`: of all.
    pub choice: Option<u32>,
    /// With this item; `None`: with any.
    pub item: Option<u32>,
}

impl End {
    /// Every channel of the stream.
    pub const ALL: End = End { choice: None, item: None };

    /// True when this channel ends.
    pub fn covers(&self, channel: &Channel) -> bool {
        self.choice.is_none_or(|choice| choice == channel.choice) && self.item.is_none_or(|item| item == channel.item)
    }
}

/// What of the request tells which forms of a reply are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// It was an array of messages.
    pub is_batch: bool,
    /// The route speaks the HTTP+SSE transport of the Model Context Protocol.
    pub is_http_sse: bool,
}

/// How the replies of one operation read, whole and as a stream, and how they are changed.
pub trait ReplyFormat: Debug + Send + Sync {
    /// Takes a whole reply, or one event of a stream, apart.
    fn read(&self, walk: &mut Walk<'_>, reply: &Json<'_>);

    /// How a stream is cut into events.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// True for an event's data that is no JSON and ends the stream.
    fn is_terminator(&self, _data: &[u8]) -> bool {
        false
    }

    /// Cuts calls out of a reply or an event. What tells that a tool was called goes with them; where nothing is left of
    /// the answer, `notice` takes its place. The places are sorted and each is there once.
    fn remove_calls(&self, reply: &mut Json<'_>, paths: &[&Path], _notice: &str) {
        reply.remove(paths);
    }

    /// Asks the upstream to end a stream with its usage. True: the client did not ask.
    fn ask_usage(&self, _request: &mut Json<'_>) -> bool {
        false
    }

    /// The id of what the provider keeps of this exchange, in a whole reply.
    fn kept(&self, _reply: &Json<'_>) -> Option<String> {
        None
    }

    /// The same, in an event that ends a stream well.
    fn kept_by(&self, _event: &Json<'_>) -> Option<String> {
        None
    }

    /// An event that carries more text of a channel.
    fn extra(&self, _facts: &Facts, _channel: &Channel, _text: &str) -> Vec<u8> {
        Vec::new()
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

    /// True for an event that is one token of the answer, where servers may tell no other count.
    fn is_token(&self, _event: &Json<'_>) -> bool {
        false
    }

    /// Takes what later events of the filter's own must repeat from an event.
    fn note(&self, _facts: &mut Facts, _event: &Json<'_>, _parts: &ReplyParts) {}
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

impl Protocol {
    /// Takes a whole reply apart.
    pub fn read_reply(&self, operation: Operation, reply: &Json<'_>) -> ReplyParts {
        self.take_apart(operation, reply, false)
    }

    pub(super) fn take_apart(&self, operation: Operation, reply: &Json<'_>, stream: bool) -> ReplyParts {
        let knows = |key: &str| self.knows_key(key);
        let format = self.reply(operation);
        let mut walk = Walk { stream, parts: ReplyDraft::new(), root: reply, knows: &knows };
        format.read(&mut walk, reply);
        let mut parts = walk.parts.close(reply, &knows);
        if stream && !format.events_are_whole() {
            // What nothing is known of may be a piece like any other.
            let unknown = parts.texts.iter_mut().filter(|one| one.channel.kind == TextKind::Other && !one.is_key);
            unknown.for_each(|one| one.delta = true);
        }
        parts
    }

    /// Checks that a whole reply or an event has a form in which nothing hides.
    ///
    /// # Errors
    /// [`Reason::ReplyUnreadable`], or [`Reason::McpRevision`].
    pub fn check_reply(&self, operation: Operation, reply: &Json<'_>, asked: Asked) -> Result<(), Reason> {
        self.reply(operation).check(reply, asked)
    }

    /// The id of what the provider keeps of this exchange, for the caller to go on with.
    pub fn kept(&self, operation: Operation, reply: &Json<'_>) -> Option<String> {
        self.reply(operation).kept(reply)
    }

    /// Cuts tool calls out of a whole reply: those of `parts.calls` that `denied` picks. What tells that a
    /// tool was called goes with them; where nothing is left of the answer, `notice` takes its place.
    pub fn remove_calls(
        &self,
        operation: Operation,
        reply: &mut Json<'_>,
        calls: &[ToolCall],
        denied: &dyn Fn(&ToolCall) -> bool,
        notice: &str,
    ) {
        let paths = calls.iter().filter(|call| denied(call)).map(|call| &call.path).collect();
        remove_calls(self.reply(operation), reply, paths, notice);
    }

    /// Asks the upstream to end this stream with its usage. True: the client did not ask, so that the
    /// event with [`ReplyParts::usage_only`] is not for it. A stream of any other protocol tells unasked.
    pub fn ask_usage(&self, operation: Operation, request: &mut Json<'_>) -> bool {
        self.reply(operation).ask_usage(request)
    }

    /// The reader of a stream of this operation's replies.
    pub fn stream(&self, operation: Operation) -> Stream {
        Stream::new(self.clone(), operation)
    }
}

pub(super) fn remove_calls(format: &dyn ReplyFormat, json: &mut Json<'_>, mut paths: Vec<&Path>, notice: &str) {
    paths.sort_unstable();
    paths.dedup();
    format.remove_calls(json, &paths, notice);
}

/// A reply of which nothing but the usage is known: every string is a text of its own.
#[derive(Debug)]
pub struct Plain {
    /// Where the usage stands.
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
    root: &'k Json<'k>,
    knows: &'k dyn Fn(&str) -> bool,
}

impl Walk<'_> {
    /// A text of a channel, when this is one. Under one key it is one text over the events of a stream.
    pub(super) fn text(&mut self, path: &Path, value: &Json<'_>, choice: u32, item: u32, kind: TextKind) {
        self.text_of(path, path, value, Channel { choice, item, kind });
    }

    /// The same for what stands at `path`, below the place of the text.
    fn text_of(&mut self, top: &Path, path: &Path, value: &Json<'_>, channel: Channel) {
        match value {
            Json::String(_) => {
                let lane = Lane::of_text(self.root, top, path, channel.kind);
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
            let lane = Lane::of_place(self.root, &place);
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
            let lane = Lane::of_place(self.root, path);
            self.push(path, Channel { choice: 0, item: 0, kind: TextKind::Other }, lane, false, true);
        }
        let parameter = (known && self.parts.parameter(value, Form::Time))
            || ((if self.stream { names_something(key) } else { known }) && self.parts.parameter(value, Form::Name));
        if !parameter {
            self.others(path, value);
        }
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

/// Ids, model names, states, times: short and without blanks.
fn is_identifier(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number that counts things, `position` when there is none.
pub(super) fn index(value: &Json<'_>, position: usize) -> u32 {
    let own = value.get("index").and_then(Json::as_u64);
    own.map_or(u32::try_from(position), u32::try_from).unwrap_or(u32::MAX)
}
