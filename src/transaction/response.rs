//! The response: read whole or as a stream, guarded, and let go.
//!
//! In strong mode the headers of a reply that is read whole wait for its verdict, so that a refusal has its
//! own status. In weak mode they have left by then: the refusal is a body under the upstream's status.

use super::context::Context;
use super::gzip::Gzip;
use super::headers::{no_retry, ours};
use super::pending_call::GRACE;
use super::reading::{Guarded, Hearing, Held, Open, Over, Reading, ReadingAhead, Reads, Unreadable, Whole};
use super::reply::{Noted, Outlet, ReplyGuard, StreamGuard};
use super::stages::Admitted;
use super::{Edit, Event, Headers, MOST_SCAN, Next, Part, State, Step, Wait, WorkerState};
use crate::audit::{CHUNKS_HEADER, REASON_HEADER, VERDICT_HEADER, Verdict};
use crate::authz::Ledger;
use crate::callout::{Answer, Call, CallFailure};
use crate::document::{ResponseHeaders, UnscannedAction};
use crate::enums::Operation;
use crate::guard::OpinionIndex;
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::UnscannedKind;
use crate::reason::{Denial, Reason};

/// A reply of at most this many bytes is judged in one callback.
const SHORT: usize = 16 * 1024;

/// How often a body whose scan waits is in the VM's memory, with what is known of its texts.
const COPIES: usize = 4;

/// A request that passed every stage and went to the upstream.
#[derive(Debug)]
pub(super) struct Forwarded {
    admitted: Admitted,
    reply: Reading,
}

/// What an event makes of a reply: the state that follows, and what the proxy does.
struct NextReply {
    reply: Reading,
    step: Step,
}

impl NextReply {
    fn release(reply: Reading, edit: Edit) -> NextReply {
        NextReply { reply, step: Step::Release(edit) }
    }
}

/// The upstream's headers, and what was made of them so far.
struct Head<'h> {
    headers: Headers<'h>,
    status: Option<u16>,
    /// No body follows.
    end: bool,
    edit: Edit,
}

impl Forwarded {
    /// Only an admitted request is forwarded.
    pub(super) fn new(admitted: Admitted, reply: Reading) -> Forwarded {
        Forwarded { admitted, reply }
    }

    /// How the reply is read.
    pub(super) fn reads(&self) -> Reads {
        self.reply.reads()
    }

    /// True once the reply was ended from here.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.reply, Reading::Over(_))
    }

    /// True while its texts are scanned slice by slice.
    pub(super) fn is_scanning(&self) -> bool {
        matches!(self.reply, Reading::Ahead(_))
    }

    /// True when bytes of a stream wait for what comes.
    pub(super) fn holds(&self) -> bool {
        matches!(&self.reply, Reading::Stream(guard) if guard.held() > 0)
    }

    pub(super) fn handle(
        mut self: Box<Self>,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let reply = std::mem::replace(&mut self.reply, Reading::Over(Over));
        let NextReply { reply, step } = match event {
            Event::ResponseHeaders { headers, end } => {
                let head = context.response_headers(&self.admitted, Headers(headers), end);
                match reply {
                    Reading::Open(open) => NextReply::release(Reading::Open(open), head.edit),
                    Reading::Guarded(guarded) => guarded.handle(head, context),
                    Reading::Over(over) => NextReply::release(Reading::Over(over), head.edit),
                    // A second head of a reply that is being read.
                    Reading::Whole(_)
                    | Reading::Ahead(_)
                    | Reading::Hearing(_)
                    | Reading::Unreadable(_)
                    | Reading::Stream(_) => context.refuse_reply(Reason::Internal, None, None, host.now()),
                }
            }
            Event::ResponseBuffered(bytes) => match context.response_buffered(bytes, vm, host) {
                Ok(()) => NextReply { reply, step: Step::NeedMore },
                Err(reason) => {
                    let (guard, held) = match reply {
                        Reading::Whole(Whole { guard, held }) => (Some(guard), held),
                        Reading::Unreadable(Unreadable { guard, held, .. }) => (guard, held),
                        Reading::Hearing(hearing) => (Some(hearing.whole.guard), hearing.whole.held),
                        Reading::Ahead(ahead) => (Some(ahead.whole.guard), ahead.whole.held),
                        Reading::Open(_) | Reading::Guarded(_) | Reading::Stream(_) | Reading::Over(_) => (None, None),
                    };
                    context.refuse_reply(reason, guard, held, host.now())
                }
            },
            Event::ResponseBody(body) => {
                let next = match reply {
                    Reading::Whole(whole) => whole.handle(body, context, vm, host),
                    Reading::Unreadable(unreadable) => unreadable.handle(&body, context, host.now()),
                    Reading::Open(_) | Reading::Over(_) => NextReply::release(reply, Edit::default()),
                    Reading::Guarded(_) | Reading::Ahead(_) | Reading::Hearing(_) | Reading::Stream(_) => {
                        context.refuse_reply(Reason::Internal, None, None, host.now())
                    }
                };
                if !matches!(next.reply, Reading::Ahead(_) | Reading::Hearing(_)) {
                    context.free(vm);
                }
                next
            }
            Event::Resumed | Event::Expired if matches!(reply, Reading::Ahead(_)) => {
                context.reply_ahead(reply, matches!(event, Event::Expired), vm, host)
            }
            Event::Answered(answer) => context.reply_answered(reply, &answer, vm, host),
            Event::Expired => context.reply_answered(reply, &Answer::Failed(CallFailure::Late), vm, host),
            Event::ResponseChunk { chunk, end } => match reply {
                Reading::Stream(guard) if guard.is_gated() => context.gated(guard, (chunk, end), vm, host),
                Reading::Stream(guard) => context.stream(guard, chunk, end, host.now()),
                // What was ended is dropped, and so is what is not read as a stream.
                reply => {
                    let body = (!chunk.is_empty()).then(Vec::new);
                    NextReply::release(reply, Edit { body, ..Edit::default() })
                }
            },
            event => {
                self.reply = reply;
                return context.otherwise(State::Forwarded(self), event, vm, host);
            }
        };
        self.reply = reply;
        context.note_stored(&self.admitted, vm, host);
        Next::new(State::Forwarded(self), step)
    }
}

impl Guarded {
    /// The headers say how the reply is read.
    fn handle(self, head: Head<'_>, context: &mut Context) -> NextReply {
        let Guarded(mut guard) = self;
        let Head { headers, status, end, mut edit } = head;
        context.account.meter.spent.usage = guard.usage_of(headers);
        if end || headers.text("content-length") == Some("0") {
            return NextReply::release(Reading::Open(Open), edit);
        }
        let coding = Coding::of(headers);
        guard.is_gzip = coding == Coding::Gzip;
        let form = if coding == Coding::Other { Form::Other } else { Form::of(headers, guard.operation()) };
        let is_good = status.is_some_and(|status| (200..300).contains(&status));
        let is_file = is_good && guard.is_of_file();
        let refused = |kind, guard| {
            let reason = Reason::ReplyUnreadable;
            Reading::Unreadable(Unreadable { reason, kind, guard: Some(guard), held: None })
        };
        let action = |kind| context.policy.unscanned.action(kind);
        let reply = match form {
            // The answer comes on the caller's stream: no word of this one is read by anybody.
            _ if is_good && context.elsewhere.is_some() => Reading::Over(Over),
            // The answer to a message that asks for none: its body means nothing.
            _ if status == Some(202) && guard.is_of_tools() => Reading::Over(Over),
            // A file may be of any type, and its lines tell whether it can be read.
            _ if is_file && coding == Coding::Other => match action(UnscannedKind::File) {
                UnscannedAction::Flag => {
                    context.account.leave_unread(UnscannedKind::File);
                    return NextReply::release(Reading::Open(Open), edit);
                }
                UnscannedAction::Deny => refused(UnscannedKind::File, guard),
            },
            _ if is_file => context.streamed(*guard),
            // A list is one value.
            Form::Stream if !guard.is_list() => context.streamed(*guard),
            Form::Json => Reading::Whole(Whole { guard, held: None }),
            // A proxy's or a server's own page about an error: no answer of a model, but what it holds is read.
            Form::Text if !is_good => Reading::Whole(Whole { guard: Box::new(guard.of_page()), held: None }),
            Form::Text | Form::Bytes if is_good => {
                guard.is_guess = true;
                Reading::Whole(Whole { guard, held: None })
            }
            // Sounds and pictures are no text: their kind decides.
            Form::Media(kind) if !is_good || action(kind) == UnscannedAction::Flag => {
                context.account.leave_unread(kind);
                return NextReply::release(Reading::Open(Open), edit);
            }
            Form::Stream | Form::Text | Form::Bytes | Form::Media(_) | Form::Other => {
                if !is_good || action(UnscannedKind::Other) == UnscannedAction::Flag {
                    context.account.leave_unread(UnscannedKind::Other);
                    return NextReply::release(Reading::Open(Open), edit);
                }
                refused(UnscannedKind::Other, guard)
            }
        };
        let is_unreadable = matches!(&reply, Reading::Unreadable(_));
        if coding == Coding::Gzip || coding != Coding::None && is_unreadable {
            // What goes on is opened, or a refusal.
            edit.remove.push(b"content-encoding".to_vec());
        }
        let has_length = headers.has("content-length");
        let reply = match reply {
            Reading::Whole(whole) if context.policy.hold_headers => {
                let held = Some(Held { edit, has_length });
                return NextReply { reply: Reading::Whole(Whole { held, ..whole }), step: Step::NeedMore };
            }
            Reading::Unreadable(one) if context.policy.hold_headers => {
                let held = Some(Held { edit, has_length });
                return NextReply { reply: Reading::Unreadable(Unreadable { held, ..one }), step: Step::NeedMore };
            }
            reply => reply,
        };
        if has_length {
            edit.remove.push(b"content-length".to_vec());
        }
        // Where what is no JSON goes on as it is, it keeps its type.
        let passes_others = context.policy.unscanned.action(UnscannedKind::Other) == UnscannedAction::Flag;
        let is_guess = matches!(&reply, Reading::Whole(whole) if whole.guard.is_guess) && !passes_others;
        if is_guess || is_unreadable {
            // What goes on is JSON, and so is what comes in its place.
            edit.set.push(("content-type", "application/json".to_owned()));
        }
        NextReply::release(reply, edit)
    }
}

impl Whole {
    /// The reply has come.
    fn handle(self, body: Vec<u8>, context: &mut Context, vm: &mut WorkerState, host: &mut dyn Host) -> NextReply {
        let (Whole { guard, held }, now) = (self, host.now());
        // Nothing came, of whatever type.
        if body.is_empty() {
            return NextReply::release(Reading::Open(Open), held.map(|held| held.edit).unwrap_or_default());
        }
        let most = context.policy.limits.max_response_bytes;
        let opened = if body.len() > most {
            Err(Reason::ReplyTooLarge)
        } else {
            guard.is_gzip.then(|| Gzip::whole(&body, most)).transpose()
        };
        let whole = Whole { guard, held };
        let (was_packed, body) = match opened {
            Ok(opened) => (opened.is_some(), opened.unwrap_or(body)),
            Err(reason) => return whole.judged((body, false), Err(reason), Noted::default(), context, now),
        };
        if vm.steps() == usize::MAX || body.len() <= SHORT {
            return whole.judge((body, was_packed), context, vm, host);
        }
        // What can't be read is refused when it is judged.
        let Ok(turns) = whole.guard.read_ahead(&body) else {
            return whole.judge((body, was_packed), context, vm, host);
        };
        // The body is here beside the proxy's own buffer, and so are its texts.
        if !context.hold(body.len(), vm, host) || !context.copy(body.len().saturating_mul(COPIES), vm) {
            return whole.judged((body, was_packed), Err(Reason::Overloaded), Noted::default(), context, now);
        }
        let deadline = Timestamp(now.0.saturating_add(MOST_SCAN));
        ReadingAhead { whole, body, was_packed, turns, deadline }.go_on(context, vm, host)
    }

    /// The reply is judged.
    fn judge(
        mut self,
        (body, was_packed): (Vec<u8>, bool),
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> NextReply {
        let (mut noted, now) = (Noted::default(), host.now());
        let judged = self.guard.whole(&body, now, &mut noted);
        let whole = self;
        // An attack in what a tool returned may be let go; whatever else refuses a reply asks nobody.
        let round = match &judged {
            Ok(_) | Err(Reason::ScanInjection) => whole.guard.round(&body),
            Err(_) => Ok(None),
        };
        let round = match round {
            Ok(Some(round)) => round,
            Ok(None) => return whole.judged((body, was_packed), judged, noted, context, now),
            Err(reason) => return whole.judged((body, was_packed), Err(reason), noted, context, now),
        };
        // It is known what the reply has cost, also where the caller does not wait for the judges.
        context.account.add_reply(noted.take_cost());
        if !context.hold(body.len(), vm, host) {
            return whole.judged((body, was_packed), Err(Reason::Overloaded), noted, context, now);
        }
        Hearing { whole, body, was_packed, judged, noted, round }.go_on(context, vm, now)
    }

    /// Everybody has judged the reply.
    fn judged(
        self,
        (body, was_packed): (Vec<u8>, bool),
        judged: Result<Option<Vec<u8>>, Reason>,
        mut noted: Noted,
        context: &mut Context,
        now: Timestamp,
    ) -> NextReply {
        let Whole { guard, held } = self;
        let passes_unread =
            guard.is_guess && context.policy.unscanned.action(UnscannedKind::Other) == UnscannedAction::Flag;
        // Unopened, it is not what its headers now say.
        let passes_unread = passes_unread && (was_packed || !guard.is_gzip);
        let (stored, chunks) = (std::mem::take(&mut noted.stored), noted.chunks);
        context.account.add_reply(noted);
        let new = match judged {
            Ok(new) => {
                context.stored = stored;
                context.note_change(new.is_some());
                new
            }
            // It was no JSON, and the policy lets pass what can't be read.
            Err(Reason::ReplyUnreadable) if passes_unread => {
                context.account.leave_unread(UnscannedKind::Other);
                None
            }
            Err(reason) => return context.refuse_reply(reason, Some(guard), held, now),
        };
        let (mut edit, has_length) = held.map_or_else(Default::default, |held| (held.edit, held.has_length));
        if context.policy.hold_headers && new.is_some() {
            edit.set.retain(|(name, _)| *name != VERDICT_HEADER);
            edit.set.extend(told_change(&context.policy, context.account.verdict()));
            if chunks > 0 && context.policy.audit.response_headers != ResponseHeaders::None {
                edit.set.push((CHUNKS_HEADER, chunks.to_string()));
            }
        }
        edit.put(new.or(was_packed.then_some(body)), has_length);
        NextReply::release(Reading::Open(Open), edit)
    }
}

impl ReadingAhead {
    /// Scans for one slice. After the last one the reply is judged.
    fn go_on(self, context: &mut Context, vm: &mut WorkerState, host: &mut dyn Host) -> NextReply {
        let ReadingAhead { mut whole, body, was_packed, turns, deadline } = self;
        match turns.go_on(None, vm.steps()) {
            Ok(ahead) => {
                whole.guard.ahead = Some(ahead.into());
                whole.judge((body, was_packed), context, vm, host)
            }
            Err(turns) => {
                let ahead = ReadingAhead { whole, body, was_packed, turns, deadline };
                let wait = Wait { call: None, deadline };
                NextReply { reply: Reading::Ahead(Box::new(ahead)), step: Step::Await(wait) }
            }
        }
    }
}

impl Hearing {
    /// Asks the next judge; once all have answered, what they want is done.
    fn go_on(mut self, context: &mut Context, vm: &mut WorkerState, now: Timestamp) -> NextReply {
        let policy = std::sync::Arc::clone(&context.policy);
        let local = self.judged.as_ref().err().copied();
        if let Some((index, call)) = self.round.ask(&policy, &self.whole.guard.guards(), local, vm, now) {
            let wait = context.asks(index, call, now);
            return NextReply { reply: Reading::Hearing(Box::new(self)), step: Step::Await(wait) };
        }
        let Hearing { mut whole, body, was_packed, judged, mut noted, round } = self;
        let judged = whole.guard.carry_out(&round, &body, judged, now, &mut noted);
        whole.judged((body, was_packed), judged, noted, context, now)
    }
}

impl Unreadable {
    /// The reply has come: the refusal replaces it.
    fn handle(self, body: &[u8], context: &mut Context, now: Timestamp) -> NextReply {
        let Unreadable { reason, kind, guard, held } = self;
        // Nothing came, of whatever type.
        if body.is_empty() {
            return NextReply::release(Reading::Open(Open), held.map(|held| held.edit).unwrap_or_default());
        }
        context.account.leave_unread(kind);
        context.refuse_reply(reason, guard, held, now)
    }
}

impl Context {
    /// What every reply's headers tell, and what is changed in all of them.
    fn response_headers<'h>(&mut self, admitted: &Admitted, headers: Headers<'h>, end: bool) -> Head<'h> {
        let status = headers.status();
        self.account.record.set_status(status);
        self.account.meter.status = status;
        // A verdict that the upstream writes is not ours.
        let mut edit = Edit { remove: ours(headers), set: admitted.limit_headers(), body: None };
        Self::seal_session(self.session.as_ref(), headers, &mut edit);
        edit.set.extend(self.warnings.iter().cloned());
        edit.set.extend(told_change(&self.policy, self.account.verdict()));
        Head { headers, status, end, edit }
    }

    /// The texts of a reply are scanned on; or they took too long.
    fn reply_ahead(&mut self, reply: Reading, is_late: bool, vm: &mut WorkerState, host: &mut dyn Host) -> NextReply {
        let Reading::Ahead(ahead) = reply else { return self.refuse_reply(Reason::Internal, None, None, host.now()) };
        let next = if is_late {
            let Whole { guard, held } = ahead.whole;
            self.refuse_reply(Reason::Overloaded, Some(guard), held, host.now())
        } else {
            ahead.go_on(self, vm, host)
        };
        if !matches!(next.reply, Reading::Ahead(_) | Reading::Hearing(_)) {
            self.free(vm);
        }
        next
    }

    /// A judge is asked about the reply: what the proxy waits for.
    fn asks(&mut self, index: OpinionIndex, call: Call, now: Timestamp) -> Wait {
        self.asking = Some(index);
        let timeout = u64::try_from(call.timeout().as_nanos()).unwrap_or(u64::MAX);
        Wait { call: Some(call), deadline: Timestamp(now.0.saturating_add(timeout).saturating_add(GRACE)) }
    }

    /// A judge of the reply has answered, or there is no answer.
    fn reply_answered(
        &mut self,
        reply: Reading,
        answer: &Answer,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> NextReply {
        self.close_question(vm);
        let (now, policy) = (host.now(), std::sync::Arc::clone(&self.policy));
        match reply {
            Reading::Hearing(mut hearing) => {
                let next = match hearing.round.answered(answer, &policy, vm, now) {
                    Ok(()) => hearing.go_on(self, vm, now),
                    Err(reason) => {
                        let Whole { guard, held } = hearing.whole;
                        self.refuse_reply(reason, Some(guard), held, now)
                    }
                };
                if !matches!(next.reply, Reading::Hearing(_)) {
                    self.free(vm);
                }
                next
            }
            Reading::Stream(mut guard) if guard.is_gated() => {
                let mut out = Vec::new();
                let before = self.noted.masked;
                let noted = &mut self.noted;
                let asked = guard.consult(Some(answer), vm, &mut Outlet { now, noted, out: &mut out });
                self.gated_part(guard, asked, (out, before), vm, host)
            }
            // The reply was ended meanwhile.
            reply => NextReply { reply, step: Step::Part(Part::default()) },
        }
    }

    /// Nobody is asked any more.
    fn close_question(&mut self, vm: &mut WorkerState) {
        if let Some(desk) = self.asking.take().and_then(|index| vm.desk(index)) {
            desk.close();
        }
    }

    /// Bytes of a reply that is read as a stream, and that judges are shown.
    fn gated(
        &mut self,
        mut guard: Box<StreamGuard>,
        (chunk, end): (&[u8], bool),
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> NextReply {
        let now = host.now();
        let mut out = Vec::new();
        let before = self.noted.masked;
        let mut outlet = Outlet { now, noted: &mut self.noted, out: &mut out };
        let done = guard.push(chunk, end, &mut outlet);
        let asked = done.and_then(|()| guard.consult(None, vm, &mut outlet));
        self.gated_part(guard, asked, (out, before), vm, host)
    }

    /// What goes on of such a stream. `before`: what was masked of it before.
    fn gated_part(
        &mut self,
        mut guard: Box<StreamGuard>,
        asked: Result<Option<(OpinionIndex, Call)>, Reason>,
        (mut bytes, before): (Vec<u8>, u64),
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> NextReply {
        let now = host.now();
        let changed = self.noted.masked > before;
        self.note_change(changed);
        // What waits is there twice, as it came and as text.
        let room = asked.is_err() || self.hold_now(guard.held().saturating_mul(2), vm, host);
        let asked = match asked {
            Ok(asked) if room => {
                self.stored.append(&mut self.noted.stored);
                Ok(asked)
            }
            Ok(asked) => {
                // It is not made.
                self.asking = asked.map(|(index, _)| index).or(self.asking);
                guard.fail(Reason::Overloaded, &mut Outlet { now, noted: &mut self.noted, out: &mut bytes });
                Err(Reason::Overloaded)
            }
            Err(reason) => Err(reason),
        };
        match asked {
            Ok(asked) => {
                let wait = asked.map(|(index, call)| self.asks(index, call, now));
                let holds = guard.held() > 0;
                NextReply { reply: Reading::Stream(guard), step: Step::Part(Part { bytes, holds, wait }) }
            }
            Err(reason) => {
                self.account.refuse(reason);
                self.close_question(vm);
                self.free(vm);
                let part = Part { bytes, holds: false, wait: None };
                NextReply { reply: Reading::Over(Over), step: Step::Part(part) }
            }
        }
    }

    /// A reply that is read as a stream.
    fn streamed(&mut self, guard: ReplyGuard) -> Reading {
        guard.note_skipped(&mut self.noted);
        match StreamGuard::new(guard, self.rpc_id.clone(), self.session.clone(), self.teller.clone()) {
            Some(guard) => Reading::Stream(Box::new(guard)),
            None => {
                let (reason, kind) = (Reason::Internal, UnscannedKind::Other);
                Reading::Unreadable(Unreadable { reason, kind, guard: None, held: None })
            }
        }
    }

    /// This number of bytes of a reply that is read whole is buffered.
    fn response_buffered(&mut self, bytes: usize, vm: &mut WorkerState, host: &mut dyn Host) -> Result<(), Reason> {
        if bytes > self.policy.limits.max_response_bytes {
            return Err(Reason::ReplyTooLarge);
        }
        if self.hold(bytes, vm, host) { Ok(()) } else { Err(Reason::Overloaded) }
    }

    /// Bytes of a reply that is read as a stream.
    fn stream(&mut self, mut guard: Box<StreamGuard>, chunk: &[u8], end: bool, now: Timestamp) -> NextReply {
        let mut out = Vec::with_capacity(chunk.len());
        let noted = &mut self.noted;
        let before = noted.masked;
        let done = guard.push(chunk, end, &mut Outlet { now, noted, out: &mut out });
        let changed = noted.masked > before;
        if done.is_ok() {
            self.stored.append(&mut noted.stored);
        }
        self.note_change(changed);
        let reply = match done {
            Ok(()) => Reading::Stream(guard),
            Err(reason) => {
                self.account.refuse(reason);
                Reading::Over(Over)
            }
        };
        let body = (out != chunk).then_some(out);
        NextReply::release(reply, Edit { body, ..Edit::default() })
    }

    /// From here on the caller may go on with what the provider keeps of this exchange. A store that fails costs the
    /// caller that, and nothing else.
    fn note_stored(&mut self, admitted: &Admitted, vm: &WorkerState, host: &mut dyn Host) {
        if self.stored.is_empty() {
            return;
        }
        let caller = admitted.inspected().charged().authorized().counted().entitled().principal();
        let ledger = Ledger::of(&self.policy.name);
        let tenancy = self.route.and_then(|route| self.policy.route_at(route)?.tenancy.as_ref());
        let tenant = tenancy.and_then(|tenancy| tenancy.tenant(caller).ok());
        for id in self.stored.drain(..) {
            let _ = match &tenant {
                Some(tenant) => ledger.note_of_tenant(tenant, &id, vm.shared_key(), host),
                None => ledger.note(caller, &id, vm.shared_key(), host),
            };
        }
    }

    /// The refusal replaces the reply.
    fn refuse_reply(
        &mut self,
        reason: Reason,
        guard: Option<Box<ReplyGuard>>,
        held: Option<Held>,
        now: Timestamp,
    ) -> NextReply {
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
            edit.set.extend(self.error_header(&denial));
            edit.set.push(("content-length", refusal.body.len().to_string()));
            // The model has answered, and is paid: to ask again costs again.
            edit.set.push(no_retry());
            if self.policy.audit.response_headers != ResponseHeaders::None {
                edit.set.push((REASON_HEADER, reason.code().to_owned()));
            }
        }
        edit.body = Some(refusal.body);
        NextReply::release(Reading::Over(Over), edit)
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
        if is("text/event-stream")
            || is("application/x-ndjson")
            || is("application/jsonl")
            || is("application/vnd.amazon.eventstream")
        {
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
