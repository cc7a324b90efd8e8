//! Which texts of a reply get the caller's values back.

use super::ReplyGuard;
use crate::protocol::reply::{Channel, ReplyParts, ReplyText, TextKind};
use crate::protocol::{Json, Path};
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
        parts: &ReplyParts,
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
        let holds = |path: &&Path| one.path != **path && one.path.is_in(path);
        let call = parts.calls.iter().map(|call| &call.path).find(holds);
        let base = call.map_or(0, Path::depth);
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

/// The tool whose arguments stand in this channel of a whole reply; `None`: calls with several names share it.
pub(super) fn tool_of(parts: &ReplyParts, channel: &Channel) -> Option<String> {
    let mut calls = parts.calls.iter().filter(|call| (call.choice, call.item) == (channel.choice, channel.item));
    let first = calls.next()?;
    calls.all(|call| call.name == first.name).then(|| first.name.clone())
}
