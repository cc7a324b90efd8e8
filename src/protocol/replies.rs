//! Reading a reply of any format, whole or as a stream.

use super::account::{ReplyDraft, ReplyParts, ReplyText};
use super::finish::RefusedBy;
use super::lane::Lanes;
use super::parts::{TextKind, ToolCall};
use super::reply::{Asked, ReplyFormat, Walk, remove_calls};
use super::stream::Stream;
use super::{Json, Protocol};
use crate::enums::Operation;
use crate::reason::Reason;

impl Protocol {
    /// Takes a whole reply apart.
    pub fn read_reply(&self, operation: Operation, reply: &Json<'_>) -> ReplyParts {
        self.take_apart(operation, reply, false)
    }

    pub(super) fn take_apart(&self, operation: Operation, reply: &Json<'_>, stream: bool) -> ReplyParts {
        let own = self.reply(operation);
        let format = own.told_by(reply).unwrap_or(own);
        self.take_apart_as(format, own, reply, stream)
    }

    /// The same in a format that is known. `own`: what the operation's replies are when nothing tells.
    pub(super) fn take_apart_as(
        &self,
        format: &dyn ReplyFormat,
        own: &dyn ReplyFormat,
        reply: &Json<'_>,
        stream: bool,
    ) -> ReplyParts {
        let knows = |key: &str| self.knows_key(key);
        let lanes = Lanes::new(reply);
        let mut walk = Walk { stream, parts: ReplyDraft::new(), root: reply, lanes, knows: &knows };
        format.read(&mut walk, reply);
        walk.parts.usage = match (walk.parts.usage, own.counts(reply)) {
            (Some(told), Some(counted)) => Some(told.max(counted)),
            (told, counted) => told.or(counted),
        };
        if own.is_intercepted(reply) {
            walk.parts.finish.refuse(RefusedBy::Provider);
        }
        let says_why = |one: &ReplyText| {
            one.channel.kind == TextKind::Refusal && reply.at(&one.path).and_then(Json::as_str) != Some("")
        };
        if walk.parts.texts.iter().any(says_why) {
            walk.parts.finish.refuse(RefusedBy::Model);
        }
        let mut parts = walk.parts.close(reply, &knows);
        if stream && !format.events_are_whole() {
            // What nothing is known of may be a piece like any other.
            let unknown = parts.texts.iter_mut().filter(|one| one.channel.kind == TextKind::Other && !one.is_key);
            unknown.for_each(|one| one.delta = true);
        }
        parts
    }

    /// Joins the pieces of one text that a whole reply has in several places.
    pub fn join(&self, operation: Operation, reply: &mut Json<'_>) {
        self.reply(operation).join(reply);
    }

    /// Checks that a whole reply or an event has a form in which nothing hides.
    ///
    /// # Errors
    /// [`Reason::ReplyUnreadable`], or [`Reason::McpRevision`].
    pub fn check_reply(&self, operation: Operation, reply: &Json<'_>, asked: Asked) -> Result<(), Reason> {
        self.reply(operation).check(reply, asked)
    }

    /// The ids of what the provider keeps of this exchange, for the caller to go on with.
    pub fn kept(&self, operation: Operation, reply: &Json<'_>) -> Vec<String> {
        self.reply(operation).kept(reply)
    }

    /// Takes out of a list what the provider keeps and is not the caller's own. True: something was.
    pub fn retain(&self, operation: Operation, reply: &mut Json<'_>, is_own: &dyn Fn(&str) -> bool) -> bool {
        self.reply(operation).retain(reply, is_own)
    }

    /// Takes out of a store's answer what is another tenant's. True: something was.
    pub fn confine_reply(&self, operation: Operation, reply: &mut Json<'_>, tenant: &str) -> bool {
        self.reply(operation).confine(reply, tenant)
    }

    /// Cuts tool calls out of a whole reply: those of `parts.calls` that `denied` picks. What tells that a
    /// tool was called goes with them; where nothing is left of the answer, `notice` replaces it.
    pub fn remove_calls(
        &self,
        operation: Operation,
        reply: &mut Json<'_>,
        calls: &[ToolCall],
        denied: &dyn Fn(&ToolCall) -> bool,
        notice: &str,
    ) {
        let paths = calls.iter().filter(|call| denied(call)).map(|call| &call.path).collect();
        let own = self.reply(operation);
        remove_calls(own.told_by(reply).unwrap_or(own), reply, paths, notice);
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
