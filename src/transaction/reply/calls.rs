//! Which tool calls of a reply, and which definitions of an MCP server, must not go on.

use super::{Noted, ReplyGuard};
use crate::audit::FindingEntry;
use crate::document::OutputAction;
use crate::enums::Mode;
use crate::protocol::reply::{ReplyParts, ToolCall};
use crate::protocol::{Json, pin};
use crate::reason::Reason;

impl ReplyGuard {
    /// The calls that are cut out. What is only flagged is noted.
    ///
    /// # Errors
    /// [`Reason::RbacTool`], [`Reason::McpDefinition`].
    pub(super) fn denied(
        &self,
        json: &Json<'_>,
        parts: &ReplyParts,
        noted: &mut Noted,
    ) -> Result<Vec<ToolCall>, Reason> {
        let mut denied = Vec::new();
        let Some(route) = self.policy.route_at(self.route) else { return Err(Reason::Internal) };
        // The list of a server of tools is no call: what the role may not use is not shown to it.
        let lists = route.protocol.serves_tools();
        let pins = route.server.as_ref().and_then(|server| Some((server.definitions.as_ref()?, server.drift)));
        for call in parts.calls.iter().filter(|call| call.named) {
            let forbidden = !self.may_call(call);
            let drifted = pins.is_some_and(|(pins, _)| pins.get(&call.name) != json.at(&call.path).map(pin).as_ref());
            let (rule, action, reason) = match pins {
                _ if forbidden && lists => ("output.tool", OutputAction::Remove, Reason::RbacTool),
                _ if forbidden => ("output.tool", self.on_calls(), Reason::RbacTool),
                Some((_, drift)) if drifted => ("mcp.drift", drift, Reason::McpDefinition),
                _ => continue,
            };
            let word = match action {
                OutputAction::Flag => "flag",
                OutputAction::Remove => "replace",
                OutputAction::Block => "block",
            };
            // What a list holds besides is every server's business, not an event.
            if !(forbidden && lists) {
                noted.found(FindingEntry {
                    rule: rule.to_owned(),
                    zone: "reply",
                    path: json.pointer(&call.path, &|key| route.protocol.knows_key(key)),
                    start: 0,
                    end: 0,
                    transforms: Vec::new(),
                    action: word,
                });
            }
            match action {
                OutputAction::Flag => {}
                OutputAction::Remove => denied.push(call.clone()),
                OutputAction::Block => return Err(reason),
            }
        }
        Ok(denied)
    }

    /// The strictest of the guards.
    fn on_calls(&self) -> OutputAction {
        let guards = self.guards.iter().filter_map(|index| self.policy.guards.get(*index));
        let actions = guards.filter(|guard| guard.mode == Mode::Enforce).map(|guard| guard.output.tool_calls);
        actions.max().unwrap_or(OutputAction::Flag)
    }
}
