//! A request that waits for the answer to a call: what is asked, and where it goes on from.
//!
//! The state owns the witness of the stages behind it, and what the rest of its stage needs. Nothing of the
//! request goes on before the answer, or its absence, has been judged.

use super::context::Context;
use super::reading::Reading;
use super::stages::{Admitted, Asked, Charged, Counted, Entitled, Scans, Stage};
use super::{Edit, Event, Header, Headers, Next, Refused, State, Step, Wait, WorkerState};
use crate::audit::Verdict;
use crate::authn::Inquiry;
use crate::authz::{Ledger, Owned};
use crate::callout::{Answer, CallFailure};
use crate::consult::opa::{Permit, Question};
use crate::consult::opinion::{self, Heard};
use crate::host::{Host, Timestamp};
use crate::protocol::Asserted;
use crate::reason::Reason;
use crate::route::RouteIndex;
use crate::tenancy::Ownership;

/// A stage that waits for an answer.
#[derive(Debug)]
pub(super) struct PendingCall {
    then: Then,
    deadline: Timestamp,
    /// Without an answer by then, it waited in vain.
    slow: Timestamp,
}

/// Where it goes on.
#[derive(Debug)]
pub(super) enum Then {
    /// The issuer is asked about the token; the request's headers are held.
    Authenticate(Box<Inquiry>, Vec<Header>, bool),
    /// A store is asked whose an id is; the request's headers are held.
    Own(Box<Ownership>, Vec<Header>, HeaderStart),
    /// The request is being counted for the fleet; its headers are held.
    Count(Box<Asked<Counted>>, Vec<Header>, HeaderRest),
    /// An outside judge is shown texts of it; its body is held.
    Hear(Box<opinion::Question>, Box<Held>, Vec<u8>),
    /// The operator's policy engine is asked about it.
    Permit(Question, Permitting),
    /// Its tokens are; everything else is done.
    Forward(Box<Asked<Admitted>>, Outgoing),
}

/// A request that waits for a permit.
#[derive(Debug)]
pub(super) enum Permitting {
    /// With its body.
    Body(Box<Held>, Vec<u8>),
    /// One that has none.
    Bodyless(Box<Bodyless>),
}

impl Then {
    /// Who is asked: the place of its breaker, and the word in metrics.
    fn service(&self) -> (usize, &'static str) {
        match self {
            Then::Count(..) | Then::Forward(..) => (0, "quota"),
            Then::Authenticate(..) => (1, "introspection"),
            Then::Permit(..) => (2, "authz"),
            Then::Own(..) => (3, "store"),
            // Each judge has a breaker of its own.
            Then::Hear(..) => (usize::MAX, "opinion"),
        }
    }
}

/// A request whose body is read and charged, and what the rest of its stages need beside the body.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) charged: Charged,
    /// What the operator's policy engine said.
    pub(super) permit: Option<Permit>,
    /// What outside judges said.
    pub(super) heard: Heard,
    /// The body asks another model now than the one it named.
    pub(super) is_renamed: bool,
    /// What it asks of a store was confined to the caller's tenant, or capped.
    pub(super) is_bounded: bool,
    pub(super) route: RouteIndex,
    /// What the headers say of the body.
    pub(super) asserted: Option<Box<dyn Asserted>>,
    /// The model that the path names, where it names one.
    pub(super) path_model: Option<String>,
    /// What the provider keeps and the path names, where it names some.
    pub(super) kept: Option<String>,
    /// The body is a form of files, and this is its content type.
    pub(super) form: Option<String>,
    pub(super) edit: Edit,
    /// How far the scan of its texts is.
    pub(super) scans: Scans,
}

/// A request without a body that is charged.
#[derive(Debug)]
pub(super) struct Bodyless {
    pub(super) charged: Charged,
    pub(super) route: RouteIndex,
    pub(super) edit: Edit,
    /// Its answer is guarded: a server's own stream, or what the provider keeps.
    pub(super) guards_reply: bool,
    /// The caller's own, of the list of all that the provider keeps.
    pub(super) listed: Option<Owned>,
    /// It is for what the provider keeps.
    pub(super) is_kept: bool,
    /// That is the caller's own; `None`: it is for nothing of that kind.
    pub(super) is_own: Option<bool>,
}

/// What the header phase has found out by the time it is known whose data the request reaches.
#[derive(Debug)]
pub(super) struct HeaderStart {
    pub(super) route: RouteIndex,
    pub(super) entitled: Entitled,
    pub(super) end: bool,
    pub(super) edit: Edit,
}

/// What the header phase has found out by the time the request is counted.
#[derive(Debug)]
pub(super) struct HeaderRest {
    pub(super) route: RouteIndex,
    pub(super) asserted: Option<Box<dyn Asserted>>,
    /// The model that the path names, where it names one.
    pub(super) path_model: Option<String>,
    pub(super) content_length: Option<usize>,
    pub(super) end: bool,
    pub(super) edit: Edit,
}

/// A judged request, ready to go.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) edit: Edit,
    pub(super) reply: Reading,
    pub(super) verdict: Verdict,
    pub(super) masked: u64,
    pub(super) output_cap: Option<u64>,
    /// In weak mode too its headers have not left yet.
    pub(super) is_bodyless: bool,
}

/// The proxy ends a call at its timeout; should it not, this much later the wait is over all the same.
pub(super) const GRACE: u64 = 1_000_000_000;

impl PendingCall {
    pub(super) fn handle(
        self: Box<Self>,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let next = match event {
            // Nothing has come yet.
            Event::Resumed => {
                let deadline = self.deadline;
                return Next::new(State::Call(self), Step::Await(Wait { call: None, deadline }));
            }
            Event::Expired => context.answered(*self, &Answer::Failed(CallFailure::Late), vm, host),
            Event::Answered(answer) => context.answered(*self, &answer, vm, host),
            event => return context.otherwise(State::Call(self), event, vm, host),
        };
        context.judged(next, vm)
    }
}

impl Context {
    /// Makes a stage's call and waits for its answer; goes on without one where the service hangs.
    pub(super) fn ask(&mut self, then: Then, vm: &mut WorkerState, host: &mut dyn Host) -> Result<Next, Refused> {
        let (place, name) = then.service();
        let now = host.now();
        if vm.breakers.get_mut(place).is_some_and(|breaker| !breaker.admits(now)) {
            self.account.record.set_skipped_call(name);
            return self.go_on(then, &Answer::Failed(CallFailure::Skipped), vm, host);
        }
        let call = match &then {
            Then::Authenticate(inquiry, ..) => Some(inquiry.call.clone()),
            Then::Own(question, ..) => Some(question.call.clone()),
            Then::Count(asked, ..) => asked.call(&self.policy),
            Then::Permit(question, _) => Some(question.call.clone()),
            Then::Hear(question, ..) => Some(question.call.clone()),
            Then::Forward(asked, _) => asked.call(&self.policy),
        };
        let call = call.ok_or(Reason::Internal)?;
        let timeout = u64::try_from(call.timeout().as_nanos()).unwrap_or(u64::MAX);
        let deadline = Timestamp(now.0.saturating_add(timeout).saturating_add(GRACE));
        let slow = Timestamp(now.0.saturating_add(timeout / 2));
        let pending = PendingCall { then, deadline, slow };
        Ok(Next::new(State::Call(Box::new(pending)), Step::Await(Wait { call: Some(call), deadline })))
    }

    /// The answer came, or there is none.
    fn answered(
        &mut self,
        call: PendingCall,
        answer: &Answer,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let now = host.now();
        if let Some(breaker) = vm.breakers.get_mut(call.then.service().0) {
            breaker.note(answer.is_failure() && now >= call.slow, now);
        }
        self.go_on(call.then, answer, vm, host)
    }

    /// The stage goes on.
    fn go_on(
        &mut self,
        then: Then,
        answer: &Answer,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        match then {
            Then::Authenticate(inquiry, headers, end) => {
                let authn = policy.authn.introspected(&inquiry, answer, &mut vm.tokens, &mut vm.ring, host)?;
                self.authenticated(Headers(&headers), authn, (end, None), vm, host)
            }
            Then::Own(question, headers, start) => {
                if !question.is_own(answer)? {
                    return Err(Reason::RbacTenant.into());
                }
                let (tenant, id) = &question.of;
                Ledger::of(&policy.name).note_of_tenant(tenant, id, vm.shared_key(), host)?;
                self.confined(Headers(&headers), start, vm, host)
            }
            Then::Count(asked, headers, rest) => {
                match asked.answered(&policy, answer, &mut self.reserved, vm.shared_key(), host) {
                    Ok(Stage::Done(counted)) => self.counted(Headers(&headers), rest, counted, vm, host),
                    Ok(Stage::Ask(asked)) => self.ask(Then::Count(asked, headers, rest), vm, host),
                    Err(refusal) => self.not_counted(Headers(&headers), rest, refusal.into()),
                }
            }
            Then::Hear(question, held, body) => {
                self.asking = None;
                let asked = policy.opinion(question.opinion).ok_or(Reason::Internal)?;
                let (now, desk) = (host.now(), vm.desk(question.opinion).ok_or(Reason::Internal)?);
                desk.close();
                let opinion = asked.answered(&question, answer, desk, now);
                self.heard(*held, opinion, body, vm, host)
            }
            Then::Permit(question, permitting) => {
                let engine = policy.engine.as_ref().ok_or(Reason::Internal)?;
                let said = engine.answered(&question, answer, &mut vm.permits, host.now());
                let permit = self.note_said(said)?;
                match permitting {
                    Permitting::Body(held, body) => self.permitted(*held, permit, body, vm, host),
                    Permitting::Bodyless(bodyless) => self.without_body(*bodyless, permit, vm, host),
                }
            }
            Then::Forward(asked, outgoing) => {
                match asked.answered(&policy, answer, &mut self.reserved, vm.shared_key(), host)? {
                    Stage::Done(admitted) => Ok(self.forward(admitted, outgoing)),
                    Stage::Ask(asked) => self.ask(Then::Forward(asked, outgoing), vm, host),
                }
            }
        }
    }
}
