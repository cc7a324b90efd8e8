//! Which texts of a reply get the caller's values back.

use std::collections::BTreeMap;

use super::ReplyGuard;
use crate::protocol::reply::{Channel, ReplyParts, ReplyText, TextKind};
use crate::protocol::{Json, Places};
use crate::redact::Destination;

/// The keys that hold the arguments of a call, as one JSON text or as an object.
const HOLDERS: [&str; 2] = ["arguments", "input"];
/// The keys that hold a piece of such a text in a stream.
const PIECES: [&str; 4] = ["arguments", "input", "partial_json", "delta"];

impl ReplyGuard {
    /// Where this text goes; `tool` is the tool whose arguments it belongs to. What the caller reads gets its values back,
    /// and so do the arguments that the policy names.
    pub(super) fn destination(
        &self,
        json: &Json<'_>,
        calls: &Places<usize>,
        one: &ReplyText,
        tool: Option<&str>,
    ) -> Destination {
        if one.channel.kind != TextKind::ToolArguments {
            return Destination::Reply;
        }
        let none = Destination::Argument { named: false };
        let named =
            || self.restored.iter().filter(|(name, _)| Some(name.as_str()) == tool).map(|(_, argument)| argument);
        if one.is_key || named().next().is_none() {
            return none;
        }
        let all = || Destination::Arguments(named().cloned().collect());
        if one.delta {
            return if json.key_at(&one.path).is_some_and(|key| PIECES.contains(&key)) { all() } else { none };
        }
        // An event that is a piece of a call has no place of the call in it.
        let base = calls.above(&one.path).map_or(0, |(call, _)| call.depth());
        let mut steps = json.steps(&one.path).skip(base);
        if !steps.any(|step| step.key.is_some_and(|key| HOLDERS.contains(&key))) {
            return none;
        }
        match steps.next() {
            None => all(),
            Some(step) => Destination::Argument { named: step.key.is_some_and(|key| named().any(|name| name == key)) },
        }
    }
}

/// Where the calls of a message are, and the number of each among them.
pub(super) fn places(parts: &ReplyParts) -> Places<usize> {
    parts.calls.iter().enumerate().map(|(at, call)| (call.path.clone(), at)).collect()
}

/// The tools whose arguments are in the channels of a whole reply.
pub(super) struct Tools<'p>(BTreeMap<(u32, u32), Option<&'p str>>);

impl<'p> Tools<'p> {
    pub(super) fn of(parts: &'p ReplyParts) -> Tools<'p> {
        let mut tools = BTreeMap::new();
        for call in &parts.calls {
            let name = tools.entry((call.choice, call.item)).or_insert(Some(call.name.as_str()));
            // Calls with several names share the channel.
            *name = name.filter(|name| *name == call.name);
        }
        Tools(tools)
    }

    /// The tool of this channel.
    pub(super) fn of_channel(&self, channel: &Channel) -> Option<String> {
        self.0.get(&(channel.choice, channel.item)).copied().flatten().map(str::to_owned)
    }
}
