//! The response: read whole or as a stream, guarded, and let go.
//!
//! In strong mode the headers of a reply that is read whole wait for its verdict, so that a refusal has its
//! own status. In weak mode they have left by then: the refusal is a body under the upstream's status.

use super::gzip::Gzip;
use super::headers::{no_retry, ours};
use super::reading::{Held, Reading, Reads};
use super::reply::{Noted, StreamGuard};
use super::{Edit, Headers, State, Step, Transaction, WorkerState};
use crate::audit::{REASON_HEADER, VERDICT_HEADER, Verdict};
use crate::authz::Ledger;
use crate::document::{ResponseHeaders, UnscannedAction};
use crate::enums::Operation;
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::UnscannedKind;
use crate::reason::{Denial, Reason};

impl Transaction {
    pub(super) fn response_headers(&mut self, headers: Headers<'_>, end: bool) -> Step {
        let status = headers.text(":status").and_then(|status| status.parse().ok());
        self.account.record.set_status(status);
        let State::Forwarded { admitted: Some(admitted), reply } = &mut self.state else {
            return Step::Release(Edit::default());
        };
        self.account.meter.status = status;
        // A verdict that the upstream writes is not ours.
        let mut edit = Edit { remove: ours(headers), set: admitted.limit_headers(), body: None };
        Self::seal_session(self.session.as_ref(), headers, &mut edit);
        edit.set.extend(told_change(&self.policy, self.account.verdict()));
        let Reading::Guarded(guard) = std::mem::replace(reply, Reading::Open) else { return Step::Release(edit) };
        self.account.meter.spent.usage = guard.usage_of(headers);
        if end || headers.text("content-length") == Some("0") {
            return Step::Release(edit);
        }
        let mut guard = guard;
        let coding = Coding::of(headers);
        guard.is_gzip = coding == Coding::Gzip;
        let form = if coding == Coding::Other { Form::Other } else { Form::of(headers, guard.operation()) };
        let is_good = status.is_some_and(|status| (200..300).contains(&status));
        *reply = match form {
            // The answer comes on the caller's stream: no word of this one is read by anybody.
            _ if is_good && self.elsewhere.is_some() => Reading::Over,
            // The answer to a message that asks for none: its body means nothing.
            _ if status == Some(202) && guard.is_of_tools() => Reading::Over,
            Form::Stream => {
                match StreamGuard::new(*guard, self.rpc_id.clone(), self.session.clone(), self.teller.clone()) {
                    Some(guard) => Reading::Stream(Box::new(guard)),
                    None => Reading::Refused(Reason::Internal, None, None),
                }
            }
            Form::Json => Reading::Whole(guard, None),
            // A proxy's or a server's own page about an error: no answer of a model, but what it holds is read.
            Form::Text if !is_good => Reading::Whole(Box::new(guard.of_page()), None),
            Form::Text | Form::Bytes if is_good => {
                guard.is_guess = true;
                Reading::Whole(guard, None)
            }
            // Sounds and pictures are no text: their kind decides.
            Form::Media(kind) if !is_good || self.policy.unscanned.action(kind) == UnscannedAction::Flag => {
                self.account.leave_unread(kind);
                return Step::Release(edit);
            }
            Form::Text | Form::Bytes | Form::Media(_) | Form::Other => {
                let denied = is_good && self.policy.unscanned.action(UnscannedKind::Other) == UnscannedAction::Deny;
                if !denied {
                    self.account.leave_unread(UnscannedKind::Other);
                    return Step::Release(edit);
                }
                Reading::Refused(Reason::ReplyUnreadable, Some(guard), None)
            }
        };
        if coding == Coding::Gzip || coding != Coding::None && matches!(&*reply, Reading::Refused(..)) {
            // What goes on is opened, or a refusal.
            edit.remove.push(b"content-encoding".to_vec());
        }
        let has_length = headers.has("content-length");
        let waits = self.policy.hold_headers && reply.reads() == Reads::Whole;
        if let (true, Reading::Whole(_, held) | Reading::Refused(_, _, held)) = (waits, &mut *reply) {
            *held = Some(Held { edit, has_length });
            return Step::NeedMore;
        }
        if has_length {
            edit.remove.push(b"content-length".to_vec());
        }
        // Where what is no JSON goes on as it is, it keeps its type.
        let passes_others = self.policy.unscanned.action(UnscannedKind::Other) == UnscannedAction::Flag;
        let is_guess = matches!(&*reply, Reading::Whole(guard, _) if guard.is_guess) && !passes_others;
        if is_guess || matches!(&*reply, Reading::Refused(..)) {
            // What goes on is JSON, and so is what comes in its place.
            edit.set.push(("content-type", "application/json".to_owned()));
        }
        Step::Release(edit)
    }

    /// So many bytes of a reply that is read whole are buffered.
    pub(super) fn response_buffered(&mut self, bytes: usize, vm: &mut WorkerState, host: &mut dyn Host) -> Step {
        let reason = if bytes > self.policy.limits.max_response_bytes {
            Reason::ReplyTooLarge
        } else if !self.hold(bytes, vm, host) {
            Reason::Overloaded
        } else {
            return Step::NeedMore;
        };
        self.refuse_reply(reason, host.now())
    }

    /// A reply that is read whole has come.
    pub(super) fn response_body(&mut self, body: &[u8], now: Timestamp) -> Step {
        let State::Forwarded { reply, .. } = &mut self.state else { return Step::Release(Edit::default()) };
        let reason = match reply {
            // Nothing came, of whatever type.
            Reading::Whole(_, held) | Reading::Refused(_, _, held) if body.is_empty() => {
                let edit = held.take().map(|held| held.edit).unwrap_or_default();
                self.set_reply(Reading::Open);
                return Step::Release(edit);
            }
            Reading::Whole(guard, held) => {
                let mut noted = Noted::default();
                let passes_unread =
                    guard.is_guess && self.policy.unscanned.action(UnscannedKind::Other) == UnscannedAction::Flag;
                let most = self.policy.limits.max_response_bytes;
                let opened = if body.len() > most {
                    Err(Reason::ReplyTooLarge)
                } else {
                    guard.is_gzip.then(|| Gzip::whole(body, most)).transpose()
                };
                let (opened, judged) = match opened {
                    Ok(opened) => {
                        let judged = guard.whole(opened.as_deref().unwrap_or(body), now, &mut noted);
                        (opened, judged)
                    }
                    Err(reason) => (None, Err(reason)),
                };
                // Unopened, it is not what its headers now say.
                let passes_unread = passes_unread && (opened.is_some() || !guard.is_gzip);
                let stored = std::mem::take(&mut noted.stored);
                self.account.take(noted);
                match judged {
                    Ok(new) => {
                        self.stored = stored;
                        let (mut edit, has_length) =
                            held.take().map_or_else(Default::default, |held| (held.edit, held.has_length));
                        self.note_change(new.is_some());
                        if self.policy.hold_headers && new.is_some() {
                            edit.set.retain(|(name, _)| *name != VERDICT_HEADER);
                            edit.set.extend(told_change(&self.policy, self.account.verdict()));
                        }
                        edit.put(new.or(opened), has_length);
                        self.set_reply(Reading::Open);
                        return Step::Release(edit);
                    }
                    // It was no JSON, and the policy lets pass what can't be read.
                    Err(Reason::ReplyUnreadable) if passes_unread => {
                        let (mut edit, has_length) =
                            held.take().map_or_else(Default::default, |held| (held.edit, held.has_length));
                        edit.put(opened, has_length);
                        self.account.leave_unread(UnscannedKind::Other);
                        self.set_reply(Reading::Open);
                        return Step::Release(edit);
                    }
                    Err(reason) => reason,
                }
            }
            Reading::Refused(reason, ..) => {
                let reason = *reason;
                self.account.leave_unread(UnscannedKind::Other);
                reason
            }
            _ => return Step::Release(Edit::default()),
        };
        self.refuse_reply(reason, now)
    }

    /// Bytes of a reply that is read as a stream.
    pub(super) fn response_chunk(&mut self, chunk: &[u8], end: bool, now: Timestamp) -> Step {
        let State::Forwarded { reply, .. } = &mut self.state else { return Step::Release(Edit::default()) };
        let (mut out, mut over) = (Vec::with_capacity(chunk.len()), None);
        if let Reading::Stream(guard) = reply {
            let mut noted = std::mem::take(&mut self.noted);
            let before = noted.masked();
            let done = guard.push(chunk, end, now, &mut noted, &mut out);
            let changed = noted.masked() > before;
            if done.is_ok() {
                self.stored.append(&mut noted.stored);
            }
            self.noted = noted;
            over = done.err();
            self.note_change(changed);
        }
        if let Some(reason) = over {
            self.account.refuse(reason);
            self.set_reply(Reading::Over);
        }
        let body = (out != chunk).then_some(out);
        Step::Release(Edit { body, ..Edit::default() })
    }

    /// Bytes of a stream that wait, and can't be written any more when trailers have come.
    pub fn holds_response(&self) -> bool {
        matches!(&self.state, State::Forwarded { reply: Reading::Stream(guard), .. } if guard.held() > 0)
    }

    /// From here on the caller may go on with what the provider keeps of this exchange. A store that fails costs the
    /// caller that, and nothing else.
    pub(super) fn note_stored(&mut self, vm: &WorkerState, host: &mut dyn Host) {
        let State::Forwarded { admitted: Some(admitted), .. } = &self.state else { return };
        let caller = admitted.inspected().charged().authorized().counted().entitled().principal();
        for id in self.stored.drain(..) {
            let _ = Ledger::of(&self.policy.name).note(caller, &id, vm.shared_key(), host);
        }
    }

    /// Takes what was seen of a stream over into the record.
    pub(super) fn settle(&mut self) {
        self.account.take(std::mem::take(&mut self.noted));
    }

    /// The refusal takes the reply's place.
    fn refuse_reply(&mut self, reason: Reason, now: Timestamp) -> Step {
        let State::Forwarded { reply, .. } = &mut self.state else { return Step::Release(Edit::default()) };
        let (guard, held) = match std::mem::replace(reply, Reading::Over) {
            Reading::Whole(guard, held) => (Some(guard), held),
            Reading::Refused(_, guard, held) => (guard, held),
            _ => (None, None),
        };
        self.account.refuse(reason);
        let denial = Denial::of_reply(reason);
        let mut refusal = self.refusal(&denial);
        let is_good = self.account.meter.status.is_some_and(|status| (200..300).contains(&status));
        if let (Some(guard), true, false) = (guard, is_good, self.policy.hold_headers)
            && let Some(body) = guard.withheld(&self.told(&denial), now)
        {
            refusal.body = body;
        }
        let mut edit = held.map(|held| held.edit).unwrap_or_default();
        if self.policy.hold_headers {
            edit.remove.extend([b"content-encoding".to_vec(), b"etag".to_vec()]);
            self.account.record.set_status(Some(refusal.status));
            edit.set.push((":status", refusal.status.to_string()));
            edit.set.extend(self.id_header());
            edit.set.push(("content-type", refusal.content_type.to_owned()));
            edit.set.push(("content-length", refusal.body.len().to_string()));
            // The model has answered, and is paid: to ask again costs again.
            edit.set.push(no_retry());
            if self.policy.audit.response_headers != ResponseHeaders::None {
                edit.set.push((REASON_HEADER, reason.code().to_owned()));
            }
        }
        edit.body = Some(refusal.body);
        Step::Release(edit)
    }

    fn set_reply(&mut self, to: Reading) {
        if let State::Forwarded { reply, .. } = &mut self.state {
            *reply = to;
        }
    }

    fn note_change(&mut self, changed: bool) {
        if changed && self.account.verdict() == Verdict::Allow {
            self.account.decide(Verdict::Mask);
        }
    }
}

/// The header that tells the caller of a change, where the policy says so.
fn told_change(policy: &Policy, verdict: Verdict) -> Option<(&'static str, String)> {
    let tells = policy.audit.response_headers == ResponseHeaders::Changes;
    let is_change = matches!(verdict, Verdict::Mask | Verdict::Replace);
    (tells && is_change).then(|| (VERDICT_HEADER, verdict.name().to_owned()))
}

/// The form of a reply.
enum Form {
    Json,
    Stream,
    /// Text, HTML among it, or of no type. JSON calls itself so, too.
    Text,
    /// Of no type in other words.
    Bytes,
    /// Sounds and pictures.
    Media(UnscannedKind),
    Other,
}

/// What a reply's bytes are packed in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    None,
    Gzip,
    /// Another, or more than one.
    Other,
}

impl Coding {
    fn of(headers: Headers<'_>) -> Coding {
        let is = |value: &[u8], name: &[u8]| value.trim_ascii().eq_ignore_ascii_case(name);
        let mut codings = headers.all("content-encoding").filter(|value| !is(value, b"identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Coding::None,
            (Some(one), None) if is(one, b"gzip") || is(one, b"x-gzip") => Coding::Gzip,
            _ => Coding::Other,
        }
    }
}

impl Edit {
    /// This body goes on in the place of the one that came; `told`: the headers say how long it is.
    fn put(&mut self, body: Option<Vec<u8>>, told: bool) {
        if let (Some(body), true) = (&body, told) {
            self.set.push(("content-length", body.len().to_string()));
        }
        self.body = body;
    }
}

impl Form {
    fn of(headers: Headers<'_>, operation: Option<Operation>) -> Form {
        let content_type = headers.value("content-type").unwrap_or_default();
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let begins = |name: &str| {
            essence.split_at_checked(name.len()).is_some_and(|(a, _)| a.eq_ignore_ascii_case(name.as_bytes()))
        };
        let is_audio = operation == Some(Operation::Audio);
        if is("text/event-stream") || is("application/x-ndjson") || is("application/jsonl") {
            Form::Stream
        } else if is("application/json") || essence.to_ascii_lowercase().ends_with(b"+json") {
            Form::Json
        } else if begins("audio/")
            || is_audio && (begins("text/") || is("application/octet-stream") || is("application/x-subrip"))
        {
            // Speech, and transcriptions as text, subtitles and the like.
            Form::Media(UnscannedKind::Audio)
        } else if begins("image/") {
            Form::Media(UnscannedKind::Image)
        } else if is("application/octet-stream") {
            Form::Bytes
        } else if essence.is_empty() || begins("text/") {
            Form::Text
        } else {
            Form::Other
        }
    }
}
