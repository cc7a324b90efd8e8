//! The reader and writer of one stream.

use std::collections::{BTreeMap, BTreeSet};

use super::Told;
use super::account::ReplyParts;
use super::calls::{Calls, MAX_CALLS, rewrite};
use super::frames::{Frame, Frames, Framing};
use super::parts::{Channel, End, Facts, Progress, TextKind, ToolCall};
use super::reply::{Ending, ReplyFormat, remove_calls};
use super::{Json, Path, Protocol, Usage};
use crate::enums::Operation;

/// The reader and writer of one stream.
#[derive(Clone, Debug)]
pub struct Stream {
    protocol: Protocol,
    operation: Operation,
    /// The format that the events told.
    told: Option<&'static dyn ReplyFormat>,
    facts: Facts,
    /// Calls that come in pieces.
    calls: Calls,
    /// Names of the calls that don't, by choice and item.
    names: BTreeMap<(u32, u32), String>,
    denied: BTreeSet<(u32, u32)>,
    usage: Option<Usage>,
    /// Tokens that came, where an event is one.
    tokens: u64,
    seen: Progress,
    sent: Progress,
}

impl Stream {
    pub(super) fn new(protocol: Protocol, operation: Operation) -> Stream {
        Stream {
            protocol,
            operation,
            told: None,
            facts: Facts::default(),
            calls: Calls::default(),
            names: BTreeMap::new(),
            denied: BTreeSet::new(),
            usage: None,
            tokens: 0,
            seen: Progress::default(),
            sent: Progress::default(),
        }
    }

    /// The stream answers the request of this id, as JSON.
    #[must_use]
    pub fn answering(mut self, id: Option<String>) -> Stream {
        self.facts.is_asked = id.is_some();
        self.facts.rpc_id = id;
        self
    }

    fn own(&self) -> &dyn ReplyFormat {
        self.protocol.reply(self.operation)
    }

    fn format(&self) -> &dyn ReplyFormat {
        self.told.unwrap_or(self.own())
    }

    /// How the stream is cut into events.
    pub fn framing(&self) -> Framing {
        self.own().framing()
    }

    /// True where several speak at a time, and where an event may repeat a text and go on with it.
    pub fn comes_in_turns(&self) -> bool {
        self.format().comes_in_turns()
    }

    /// True for an event's data that is no JSON and ends the stream.
    pub fn is_terminator(&self, data: &[u8]) -> bool {
        self.format().is_terminator(data)
    }

    /// Takes one event apart. `event` is its name, where it has one.
    pub fn read(&mut self, _event: Option<&str>, data: &Json<'_>) -> ReplyParts {
        if self.told.is_none() {
            self.told = self.own().told_by(data);
        }
        let mut parts = self.walk(data);
        if self.format().calls_come_whole() {
            self.names.clear();
            self.denied.clear();
        }
        if self.format().calls_come_in_pieces() {
            self.calls.read(data, &mut parts);
        } else {
            for call in parts.calls.iter().filter(|call| call.named) {
                let key = (call.choice, call.item);
                if self.names.len() < MAX_CALLS || self.names.contains_key(&key) {
                    self.names.insert(key, call.name.clone());
                }
            }
        }
        self.name_calls(&mut parts);
        if self.format().is_token(data) {
            self.tokens = self.tokens.saturating_add(1);
            let counted = Usage { output: Some(self.tokens), ..Usage::default() };
            parts.usage = Some(parts.usage.unwrap_or_default().max(counted));
        }
        self.usage = match (self.usage, parts.usage) {
            (Some(earlier), Some(now)) => Some(earlier.max(now)),
            (earlier, now) => now.or(earlier),
        };
        parts.usage = self.usage;
        self.note(&parts);
        parts
    }

    /// The id of what the provider keeps of this exchange, when this event ends it well.
    pub fn kept(&self, data: &Json<'_>) -> Option<String> {
        self.format().kept_by(data)
    }

    /// What the stream has cost with the event read last, as far as it tells.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    /// True for an event that counts as a token by itself.
    pub fn is_counted(&self, data: &Json<'_>) -> bool {
        self.format().is_token(data)
    }

    /// How far the stream is with the event read last; goes to [`Stream::sent`] when that event leaves.
    pub fn progress(&self) -> Progress {
        self.seen.clone()
    }

    /// Notes that an event has left, changed or not. An event that was refused has not.
    pub fn sent(&mut self, progress: Progress) {
        self.sent = progress;
    }

    /// True while the name of one of these calls may go on: nobody can say yet whether it is allowed.
    pub fn is_undecided(&self, parts: &ReplyParts) -> bool {
        parts.calls.iter().any(|call| self.calls.is_open(call.choice, call.item))
    }

    /// No more of any call's name will come.
    pub fn end_calls(&mut self) {
        self.calls.end(End::ALL);
    }

    /// Gives the calls of an event that waited the names that they have by now.
    pub fn name_calls(&self, parts: &mut ReplyParts) {
        for call in &mut parts.calls {
            let name = match self.format().calls_come_in_pieces() {
                true => self.calls.name(call.choice, call.item),
                // One that has a name is judged by it, whatever is at the same place.
                false if call.named => None,
                false => self.names.get(&(call.choice, call.item)).map(String::as_str),
            };
            if let Some(name) = name {
                name.clone_into(&mut call.name);
            }
        }
    }

    /// The tool whose arguments are in this channel, as far as its name has come.
    pub fn tool_of(&self, channel: &Channel) -> Option<&str> {
        match self.format().calls_come_in_pieces() {
            true => self.calls.name(channel.choice, channel.item),
            false => self.names.get(&(channel.choice, channel.item)).map(String::as_str),
        }
    }

    /// Changes an event so that all clients read the same calls. True: something was changed.
    pub fn rewrite(&self, data: &mut Json<'_>, parts: &ReplyParts) -> bool {
        self.format().calls_come_in_pieces() && rewrite(data, parts)
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
                self.names.keys().chain(self.calls.keys()).filter(called).all(|key| self.denied.contains(key))
            });
        if gone.is_empty() && !ends_without_calls {
            return None;
        }
        remove_calls(self.format(), data, gone, notice);
        let mut left = self.walk(data);
        self.name_calls(&mut left);
        left.usage = self.usage;
        Some(left)
    }

    /// The events that end a stream early, after the events that were [`Stream::sent`].
    pub fn close(&self, told: &Told<'_>) -> Vec<u8> {
        let format = self.format();
        let events = format.close(&Ending { facts: &self.facts, sent: &self.sent, usage: self.usage, told });
        if self.told.is_none() {
            return events;
        }
        let (mut cutter, mut frames) = (Frames::new(format.framing(), events.len()), Vec::new());
        if cutter.push(&events, &mut frames).is_err() {
            return Vec::new();
        }
        let data = frames.iter().filter_map(Frame::data).filter(|data| !format.is_terminator(data));
        data.flat_map(|data| self.own().wrap(&data)).collect()
    }

    fn is_denied(&self, call: &ToolCall) -> bool {
        self.denied.contains(&(call.choice, call.item))
    }

    fn walk(&self, data: &Json<'_>) -> ReplyParts {
        self.protocol.take_apart_as(self.format(), self.own(), data, true)
    }

    /// Notes what events of our own repeat of an event. What `is_clean` does not say is harmless is left out: it may be
    /// masked in that event.
    pub fn repeat(&mut self, data: &Json<'_>, is_clean: &dyn Fn(&str) -> bool) {
        // The facts are at the top, or in the object that the first event announces.
        let holders = [Some(data), data.get("message"), data.get("response")];
        let field = |name: &str| holders.iter().flatten().find_map(|holder| holder.get(name));
        let text = |name: &str| field(name).and_then(Json::as_str).filter(|text| text.len() <= 256).map(str::to_owned);
        let facts = &mut self.facts;
        // Azure's first event tells of the prompt, and has an empty id and an empty model.
        let is_blank = field("id").and_then(Json::as_str) == Some("");
        if !is_blank && !std::mem::replace(&mut facts.is_known, true) {
            facts.id = text("id").filter(|id| is_clean(id));
            facts.model = text("model").filter(|model| is_clean(model));
            facts.created = field("created").or(field("created_at")).and_then(Json::as_u64);
        }
        let is_time = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte));
        facts.created_at = text("created_at").filter(is_time).or(facts.created_at.take());
        facts.sequence = field("sequence_number").and_then(Json::as_u64).unwrap_or(facts.sequence);
        self.told.unwrap_or(self.protocol.reply(self.operation)).note(facts, data);
    }

    /// False where the stream's line names a piece of a text, and the data does not say the same: a client that goes by
    /// the line would join what is read here as a text of its own.
    pub fn is_named_rightly(&self, name: Option<&str>, data: &Json<'_>) -> bool {
        let Some(name) = name.filter(|name| self.format().counts_items() && name.contains("delta")) else {
            return true;
        };
        data.get("type").and_then(Json::as_str) == Some(name)
    }

    fn note(&mut self, parts: &ReplyParts) {
        self.seen.started = true;
        let by_item = self.format().counts_items();
        let texts = parts.texts.iter().map(|one| one.channel).filter(|channel| channel.kind != TextKind::Other);
        let units = texts.map(|channel| if by_item { channel.item } else { channel.choice });
        let calls = parts.calls.iter().map(|call| if by_item { call.item } else { call.choice });
        for unit in units.chain(calls) {
            self.seen.next = self.seen.next.max(unit.saturating_add(1));
            if self.seen.open.len() < MAX_CALLS {
                self.seen.open.insert(unit);
            }
        }
        for end in &parts.ends {
            let ended = if by_item { end.item } else { end.choice };
            self.seen.open.retain(|unit| ended.is_some_and(|ended| ended != *unit));
        }
    }
}
