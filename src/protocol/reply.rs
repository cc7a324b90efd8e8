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

use std::collections::{BTreeMap, BTreeSet};

use super::frames::Framing;
use super::{Json, Path, Protocol, UnscannedKind, openai};
use crate::config::document::Operation;

mod usage;

pub use usage::{Usage, UsageReader};

/// Calls of tools that one stream may hold at a time; more are reported and can't be named.
const MAX_CALLS: usize = 1024;

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
    /// The event holds nothing but usage: it is left out when the client did not ask for it.
    pub usage_only: bool,
}

impl Protocol {
    /// Takes a whole reply apart.
    pub fn read_reply(&self, operation: Operation, reply: &Json<'_>) -> ReplyParts {
        let mut walk = Walk::new(false);
        walk.read(Wire::of(self, operation), reply);
        walk.parts
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
            Wire::Chat => openai::reply::ask_usage(request),
            Wire::Unknown => false,
        }
    }

    /// The reader of a stream of this operation's replies.
    pub fn stream(&self, operation: Operation) -> Stream {
        Stream {
            wire: Wire::of(self, operation),
            facts: Facts::default(),
            names: BTreeMap::new(),
            denied: BTreeSet::new(),
            usage: None,
            seen: Progress::default(),
            sent: Progress::default(),
        }
    }
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// OpenAI's chat and older completions.
    Chat,
    /// Not known: every string is a text of its own.
    Unknown,
}

impl Wire {
    fn of(protocol: &Protocol, operation: Operation) -> Wire {
        match (protocol, operation) {
            (Protocol::Openai, Operation::Chat) => Wire::Chat,
            _ => Wire::Unknown,
        }
    }
}

/// The reader and writer of one stream.
#[derive(Clone, Debug)]
pub struct Stream {
    wire: Wire,
    facts: Facts,
    /// Names of the calls, by choice and item: they may come in pieces.
    names: BTreeMap<(u32, u32), String>,
    denied: BTreeSet<(u32, u32)>,
    usage: Option<Usage>,
    seen: Progress,
    sent: Progress,
}

/// What every event of a stream repeats.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) created: Option<u64>,
    /// The key that this upstream's thoughts stand under.
    pub(super) reasoning: Option<&'static str>,
}

/// How far a stream is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) started: bool,
    /// Choices or blocks that have begun and not ended.
    pub(super) open: BTreeSet<u32>,
    /// The next one's number.
    pub(super) next: u32,
}

impl Stream {
    /// How the stream is cut into events.
    pub fn framing(&self) -> Framing {
        match self.wire {
            Wire::Chat | Wire::Unknown => Framing::Sse,
        }
    }

    /// True for an event's data that is no JSON and ends the stream.
    pub fn is_terminator(&self, data: &[u8]) -> bool {
        // The SDKs look at the beginning alone.
        self.wire == Wire::Chat && data.starts_with(b"[DONE]")
    }

    /// Takes one event apart. `event` is its name, where it has one.
    pub fn read(&mut self, _event: Option<&str>, data: &Json<'_>) -> ReplyParts {
        let mut parts = self.walk(data);
        for call in parts.calls.iter().filter(|call| call.named) {
            let key = (call.choice, call.item);
            if self.names.len() < MAX_CALLS || self.names.contains_key(&key) {
                self.names.entry(key).or_default().push_str(&call.name);
            }
        }
        self.name_calls(&mut parts);
        self.usage = match (self.usage, parts.usage) {
            (Some(earlier), Some(now)) => Some(earlier.max(now)),
            (earlier, now) => now.or(earlier),
        };
        parts.usage = self.usage;
        self.note(data, &parts);
        parts
    }

    /// Notes that the event read last has left, changed or not. An event that was refused has not.
    pub fn sent(&mut self) {
        self.sent = self.seen.clone();
    }

    /// From now on, every piece of this call is cut out by [`Stream::prune`].
    pub fn deny(&mut self, call: &ToolCall) {
        self.denied.insert((call.choice, call.item));
    }

    /// Cuts the pieces of denied calls out of an event, and reads what is left. `None`: nothing needs to go.
    pub fn prune(&mut self, data: &mut Json<'_>, parts: &ReplyParts, notice: &str) -> Option<ReplyParts> {
        let gone: Vec<&Path> = parts.calls.iter().filter(|call| self.is_denied(call)).map(|call| &call.path).collect();
        let ends_without_calls = !self.denied.is_empty()
            && parts.ends.iter().any(|end| {
                let called = |key: &&(u32, u32)| end.choice.is_none_or(|choice| choice == key.0);
                self.names.keys().filter(called).all(|key| self.denied.contains(key))
            });
        if gone.is_empty() && !ends_without_calls {
            return None;
        }
        remove_calls(self.wire, data, gone, notice);
        let mut left = self.walk(data);
        self.name_calls(&mut left);
        left.usage = self.usage;
        Some(left)
    }

    /// An event that carries more text of a channel.
    pub fn extra(&self, channel: &Channel, text: &str) -> Vec<u8> {
        match self.wire {
            Wire::Chat => openai::reply::extra(&self.facts, channel, text),
            Wire::Unknown => Vec::new(),
        }
    }

    /// The events that end a stream early, after the events that were [`Stream::sent`].
    pub fn close(&self) -> Vec<u8> {
        match self.wire {
            Wire::Chat => openai::reply::close(&self.facts, &self.sent),
            Wire::Unknown => Vec::new(),
        }
    }

    fn is_denied(&self, call: &ToolCall) -> bool {
        self.denied.contains(&(call.choice, call.item))
    }

    fn walk(&self, data: &Json<'_>) -> ReplyParts {
        let mut walk = Walk::new(true);
        walk.read(self.wire, data);
        walk.parts
    }

    fn name_calls(&self, parts: &mut ReplyParts) {
        for call in &mut parts.calls {
            if let Some(name) = self.names.get(&(call.choice, call.item)) {
                call.name.clone_from(name);
            }
        }
    }

    fn note(&mut self, data: &Json<'_>, parts: &ReplyParts) {
        let text = |name: &str| data.get(name).and_then(Json::as_str).filter(|text| text.len() <= 256);
        if !self.seen.started {
            self.facts.id = text("id").map(str::to_owned);
            self.facts.model = text("model").map(str::to_owned);
            self.facts.created = data.get("created").and_then(Json::as_u64);
        }
        self.seen.started = true;
        for one in &parts.texts {
            if one.channel.kind == TextKind::Reasoning {
                let key = data.key_at(&one.path).unwrap_or_default();
                self.facts.reasoning = openai::reply::REASONING.iter().find(|known| **known == key).copied();
            }
        }
        let choices =
            parts.texts.iter().filter(|one| one.channel.kind != TextKind::Other).map(|one| one.channel.choice);
        for choice in choices.chain(parts.calls.iter().map(|call| call.choice)) {
            if choice >= self.seen.next {
                self.seen.next = choice.saturating_add(1);
            }
            if self.seen.open.len() < MAX_CALLS {
                self.seen.open.insert(choice);
            }
        }
        for end in &parts.ends {
            self.seen.open.retain(|choice| end.choice.is_some_and(|ended| ended != *choice));
        }
    }
}

fn remove_calls(wire: Wire, json: &mut Json<'_>, mut paths: Vec<&Path>, notice: &str) {
    // From the last to the first: what stands before a place does not move.
    paths.sort_unstable();
    paths.dedup();
    for path in paths.into_iter().rev() {
        json.remove(path);
    }
    match wire {
        Wire::Chat => openai::reply::without_calls(json, notice),
        Wire::Unknown => {}
    }
}

/// Takes JSON apart; one method a shape.
pub(super) struct Walk {
    /// This is an event of a stream: its texts go on.
    pub(super) stream: bool,
    pub(super) parts: ReplyParts,
}

impl Walk {
    fn new(stream: bool) -> Walk {
        Walk { stream, parts: ReplyParts::default() }
    }

    fn read(&mut self, wire: Wire, json: &Json<'_>) {
        match wire {
            Wire::Chat => openai::reply::read(self, json),
            Wire::Unknown => self.others(&Path::default(), json),
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

/// Ids, model names, states, times: short and without blanks.
fn is_identifier(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A number that counts things, `position` when there is none.
pub(super) fn index(value: &Json<'_>, position: usize) -> u32 {
    let own = value.get("index").and_then(Json::as_u64);
    own.map_or(u32::try_from(position), u32::try_from).unwrap_or(u32::MAX)
}
