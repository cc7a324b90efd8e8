//! Replies taken apart, whole or event by event: where the model's text stands and what it is, which
//! tools it calls, what it cost, and how more text or an early end is written in the protocol's words.
//!
//! Reads and writes JSON; holds no bytes of a reply, scans nothing, decides nothing. Like a request, a
//! reply is left nowhere unread: a string that no rule below knows is a text of its own
//! ([`TextKind::Other`]).
//!
//! The road of one stream: [`super::frames`] cuts events, [`Stream::read`] takes one apart, the caller
//! scans and edits it, [`Stream::sent`] notes that it left. Held-back text is written by
//! [`Stream::extra`] before the event that ends its channel, and [`Stream::close`] ends a stream early.

use super::{Json, Path, Protocol, UnscannedKind, anthropic, mcp, ollama, openai, tgi};
use crate::config::document::Operation;
use crate::reason::Reason;

mod calls;
mod stream;
mod usage;

pub use calls::Rewrite;
pub(super) use stream::Facts;
pub use stream::{Progress, Stream};
pub use usage::{Spent, Usage};

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

/// A whole reply, or one event of a stream, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplyParts {
    /// Every text, in the order they stand.
    pub texts: Vec<ReplyText>,
    /// Every tool call and every piece of one.
    pub calls: Vec<ToolCall>,
    /// Places that repeat a text in small pieces (log probabilities, token lists): set them to null
    /// when the text is changed or held back.
    pub echoes: Vec<Path>,
    /// What can't be scanned, and where.
    pub unscanned: Vec<(UnscannedKind, Path)>,
    /// What it cost, as far as is known; of a stream, all events so far.
    pub usage: Option<Usage>,
    /// Channels that end with this event, after its own texts. Write held-back text before it.
    pub ends: Vec<End>,
    /// What must be changed for all clients to read the same calls; see [`Stream::rewrite`].
    pub rewrites: Vec<Rewrite>,
    /// The event holds nothing but usage: it is left out when the client did not ask for it.
    pub usage_only: bool,
}

impl Protocol {
    /// What the headers of a reply tell of its cost.
    pub fn usage_of<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Usage {
        match self {
            Protocol::Tgi => tgi::usage_of(headers),
            _ => Usage::default(),
        }
    }

    /// Takes a whole reply apart.
    pub fn read_reply(&self, operation: Operation, reply: &Json<'_>) -> ReplyParts {
        let mut walk = Walk::new(false);
        match self {
            Protocol::Generic(spec) => {
                spec.read_reply(&mut walk, reply);
                walk.parts.usage = reply.get("usage").and_then(Usage::of_openai);
            }
            _ => walk.read(Wire::of(self, operation), reply),
        }
        walk.parts
    }

    /// Checks that a whole reply or an event has a form in which nothing hides. `is_batch`: the request was an array.
    ///
    /// # Errors
    /// [`Reason::ReplyUnreadable`].
    pub fn check_reply(&self, reply: &Json<'_>, is_batch: bool) -> Result<(), Reason> {
        match self {
            Protocol::Mcp => mcp::check_reply(reply, is_batch),
            _ => Ok(()),
        }
    }

    /// The id of what the provider keeps of this exchange, for the caller to go on with.
    pub fn kept(&self, operation: Operation, reply: &Json<'_>) -> Option<String> {
        match (self, operation) {
            (Protocol::Openai, Operation::Responses | Operation::Conversations) => id(reply),
            _ => None,
        }
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
        let paths = calls.iter().filter(|call| denied(call)).map(|call| &call.path);
        remove_calls(Wire::of(self, operation), reply, paths.collect(), notice);
    }

    /// Asks the upstream to end this stream with its usage. True: the client did not ask, so that the
    /// event with [`ReplyParts::usage_only`] is not for it. A stream of any other protocol tells unasked.
    pub fn ask_usage(&self, operation: Operation, request: &mut Json<'_>) -> bool {
        match Wire::of(self, operation) {
            Wire::Chat | Wire::Completions => openai::reply::ask_usage(request),
            _ => false,
        }
    }

    /// The reader of a stream of this operation's replies.
    pub fn stream(&self, operation: Operation) -> Stream {
        Stream::new(Wire::of(self, operation))
    }
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's older completions.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Ollama's chat.
    Ollama,
    /// Ollama's generate.
    OllamaGenerate,
    /// Text-generation-inference.
    Tgi,
    /// A Model Context Protocol server's messages.
    Mcp,
    /// Not known: every string is a text of its own.
    Unknown,
}

impl Wire {
    fn of(protocol: &Protocol, operation: Operation) -> Wire {
        match (protocol, operation) {
            (Protocol::Openai, Operation::Chat) => Wire::Chat,
            (Protocol::Openai, Operation::Completions) => Wire::Completions,
            (Protocol::Openai, Operation::Responses) => Wire::Responses,
            (Protocol::Anthropic, Operation::Chat) => Wire::Messages,
            (Protocol::Ollama, Operation::Chat) => Wire::Ollama,
            (Protocol::Ollama, Operation::Generate) => Wire::OllamaGenerate,
            (Protocol::Tgi, _) => Wire::Tgi,
            (Protocol::Mcp, _) => Wire::Mcp,
            _ => Wire::Unknown,
        }
    }

    /// A call comes whole in one event: what an event says of calls is forgotten with the next.
    fn calls_come_whole(self) -> bool {
        matches!(self, Wire::Ollama | Wire::Mcp)
    }

    /// A call comes in pieces that clients join, its name too.
    fn calls_come_in_pieces(self) -> bool {
        matches!(self, Wire::Chat | Wire::Completions)
    }

    /// Blocks or items open and close one by one; else choices do.
    fn counts_items(self) -> bool {
        matches!(self, Wire::Messages | Wire::Responses)
    }
}

fn remove_calls(wire: Wire, json: &mut Json<'_>, mut paths: Vec<&Path>, notice: &str) {
    paths.sort_unstable();
    paths.dedup();
    match wire {
        Wire::Messages => anthropic::reply::replace_calls(json, &paths, notice),
        Wire::Responses => openai::events::replace_calls(json, &paths, notice),
        _ => {
            // From the last to the first: what stands before a place does not move.
            paths.into_iter().rev().for_each(|path| json.remove(path));
            match wire {
                Wire::Ollama => ollama::without_calls(json, notice),
                _ => openai::reply::without_calls(json, notice),
            }
        }
    }
}

/// Takes JSON apart; one method a shape.
pub(super) struct Walk {
    /// This is an event of a stream: its texts go on.
    pub(super) stream: bool,
    pub(super) parts: ReplyParts,
}

impl Walk {
    pub(super) fn new(stream: bool) -> Walk {
        Walk { stream, parts: ReplyParts::default() }
    }

    fn read(&mut self, wire: Wire, json: &Json<'_>) {
        match wire {
            Wire::Chat | Wire::Completions => openai::reply::read(self, json),
            Wire::Responses => openai::events::read(self, json),
            Wire::Messages => anthropic::reply::read(self, json),
            Wire::Ollama | Wire::OllamaGenerate => ollama::read_reply(self, json),
            Wire::Tgi => tgi::read_reply(self, json),
            Wire::Mcp => mcp::read_reply(self, json),
            Wire::Unknown => {
                self.parts.usage = json.get("usage").and_then(Usage::of_openai).or_else(|| ollama::usage(json));
                self.others(&Path::default(), json);
            }
        }
    }

    /// A text of a channel, when this is one.
    pub(super) fn text(&mut self, path: &Path, value: &Json<'_>, choice: u32, item: u32, kind: TextKind) {
        let delta = self.stream;
        match value {
            Json::String(_) => self.push(path, Channel { choice, item, kind }, delta, false),
            _ => self.strings(path, value, Channel { choice, item, kind }),
        }
    }

    /// Every string below, each whole.
    pub(super) fn strings(&mut self, path: &Path, value: &Json<'_>, channel: Channel) {
        let mut found = Vec::new();
        value.visit_strings(path, &mut |place, is_key, text| {
            let known = is_key && super::keys::knows(text);
            if !text.is_empty() && !known {
                found.push((place.clone(), is_key));
            }
        });
        for (place, is_key) in found {
            self.push(&place, channel, false, is_key);
        }
    }

    /// Every string below is a text that nothing is known about.
    pub(super) fn others(&mut self, path: &Path, value: &Json<'_>) {
        self.strings(path, value, Channel { choice: 0, item: 0, kind: TextKind::Other });
    }

    /// An entry that the protocol's own walk did not take: nothing when it is an identifier, else a text.
    pub(super) fn rest(&mut self, path: &Path, key: &str, value: &Json<'_>) {
        let known = super::keys::knows(key);
        if !known {
            self.push(path, Channel { choice: 0, item: 0, kind: TextKind::Other }, false, true);
        }
        match value {
            Json::String(text) if known && is_identifier(text) => {}
            _ => self.others(path, value),
        }
    }

    fn push(&mut self, path: &Path, channel: Channel, delta: bool, is_key: bool) {
        self.parts.texts.push(ReplyText { path: path.clone(), channel, delta, is_key });
    }
}

/// The id of an answer.
fn id(reply: &Json<'_>) -> Option<String> {
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
