//! Which tool calls of a reply, and which definitions of an MCP server, must not go on.

use super::{Noted, ReplyGuard};
use crate::guard::{Act, Strictest, entry, strictest};
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
            let shadow = &mut noted.notes.shadow;
            let (rule, act, reason) = match pins {
                _ if forbidden && lists && self.rehearses_tools => continue,
                _ if forbidden && lists => ("output.tool", Act::Replace, Reason::RbacTool),
                _ if forbidden => ("output.tool", self.on_calls(shadow), Reason::RbacTool),
                Some((_, drift)) if drifted => ("mcp.drift", drift.into(), Reason::McpDefinition),
                _ => continue,
            };
            // What a list holds besides is every server's business, not an event.
            if !(forbidden && lists) {
                let path = json.pointer(&call.path, &|key| route.protocol.knows_key(key));
                noted.notes.findings.push(entry(rule, "reply", path, 0..0, Vec::new(), act));
            }
            match act {
                Act::Replace => denied.push(call.clone()),
                Act::Block => return Err(reason),
                _ => {}
            }
        }
        Ok(denied)
    }

    /// What follows from a call of a tool that no granting role may use.
    fn on_calls(&self, shadow: &mut Vec<Reason>) -> Act {
        let guards: Vec<_> = self.guards.iter().filter_map(|index| self.policy.guard(*index)).collect();
        let mut answer = strictest(&guards, |guard| Some(Act::from(guard.output.tool_calls)));
        if self.rehearses_tools {
            // The role's refusal is rehearsed, whatever its guard says of refused calls.
            answer = Strictest { enforced: None, in_shadow: answer.enforced.max(answer.in_shadow) };
        }
        answer.act(Reason::RbacTool, shadow).unwrap_or(Act::Block)
    }
}
