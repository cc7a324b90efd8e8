//! What a reply consists of: channels, calls, ends, and what its later events repeat.

use std::collections::BTreeSet;

use super::Path;

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

/// A change of an event so that all clients read the same calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// The call at this place gets this index.
    Index(Path, u32),
    /// The name at this place is part of one that the call's first piece has.
    NoName(Path),
}

/// What every event of a stream repeats.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The first event has told them.
    pub(super) is_known: bool,
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) created: Option<u64>,
    /// The time in words, where the protocol has it so; of the last event.
    pub(super) created_at: Option<String>,
    /// The responses API: the last event's number.
    pub(super) sequence: u64,
    /// JSON-RPC: the id of the request that is answered, as JSON.
    pub(super) rpc_id: Option<String>,
    /// That id is of the request that the stream answers, and not one of the server's.
    pub(super) is_asked: bool,
}

/// How far a stream is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub(super) started: bool,
    /// Choices or blocks that have begun and not ended.
    pub(super) open: BTreeSet<u32>,
    /// The next one's number.
    pub(super) next: u32,
}
