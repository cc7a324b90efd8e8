//! The witnesses of the stages, and their only constructors: a request that skipped a stage does not compile.
//!
//! Each stage consumes the witness of the one before and makes its own. All fields are private to this file and those below.
//!
//! | witness | made by | says |
//! |---|---|---|
//! | [`Entitled`] | [`entitle`] | a role of the caller allows the operation |
//! | [`Counted`] | [`count`] | the request is charged, as far as it is known before the body |
//! | [`Authorized`] | [`authorize`] | one role grants model, tools, parameters and caps together |
//! | [`Charged`] | [`count_rest`] | all request quotas are charged |
//! | [`Scanned`] | [`scan`] | every text of the body was scanned and judged |
//! | [`Inspected`] | [`Scanned::decide`] | nothing in it refuses the request, `unscanned` decided about the rest, and the operator's policy engine, where there is one, gave its [`Permit`] |
//! | [`Admitted`] | [`admit`] | tokens are reserved; only such a request is forwarded |
//!
//! Quotas belong to roles, and only the roles that grant a request are charged. A caller with one role is charged before
//! the body is read; a caller with several after it, when it is known which of them grant the request. So is a caller
//! whose role has a quota with a condition that asks for something of the body.
//!
//! The order compiles:
//!
//! ```
//! use bartizan::consult::opa::Permit;
//! use bartizan::guard::Judgement;
//! use bartizan::policy::Policy;
//! use bartizan::protocol::Exchange;
//! use bartizan::reason::Reason;
//! use bartizan::transaction::stages::{Inspected, Scanned};
//!
//! fn decide(scanned: Scanned, policy: &Policy, exchange: &Exchange) -> Result<(Inspected, Judgement), Reason> {
//!     scanned.decide(policy, exchange, false, Permit::without(policy.engine.as_ref()))
//! }
//! ```
//!
//! A scan can't be skipped:
//!
//! ```compile_fail
//! use bartizan::transaction::stages::{Charged, Inspected};
//!
//! fn skip(charged: Charged) -> Inspected {
//!     Inspected { charged }
//! }
//! ```
//!
//! Nor can its judgement be made up:
//!
//! ```compile_fail
//! use bartizan::guard::Judgement;
//!
//! let harmless = Judgement::default();
//! ```
//!
//! Nor can the `unscanned` decision be left out:
//!
//! ```compile_fail
//! use bartizan::transaction::stages::{Inspected, Scanned};
//!
//! fn skip(scanned: Scanned) -> Inspected {
//!     Inspected { charged: scanned.charged }
//! }
//! ```
//!
//! Nor the quotas of requests:
//!
//! ```compile_fail
//! use bartizan::quota::Limits;
//! use bartizan::transaction::stages::{Authorized, Charged};
//!
//! fn skip(authorized: Authorized) -> Charged {
//!     Charged { authorized, limits: Limits::default() }
//! }
//! ```
//!
//! Nor the quotas of tokens:
//!
//! ```compile_fail
//! use bartizan::quota::Limits;
//! use bartizan::transaction::stages::{Admitted, Inspected};
//!
//! fn skip(inspected: Inspected) -> Admitted {
//!     Admitted { inspected, limits: Limits::default() }
//! }
//! ```
//!
//! Nor the operator's policy engine:
//!
//! ```compile_fail
//! use bartizan::consult::opa::Permit;
//!
//! let allowed = Permit { obligations: Default::default() };
//! ```
//!
//! Nor the engine of roles that decides about operation, model, tools and caps:
//!
//! ```compile_fail
//! use bartizan::authz::Grant;
//! use bartizan::transaction::stages::{Authorized, Counted};
//!
//! fn skip(counted: Counted) -> Authorized {
//!     Authorized { counted, grant: Grant::default(), guards: Vec::new(), idle: Vec::new(), reads_body: true }
//! }
//! ```

mod scanning;

use std::sync::Arc;

pub use scanning::{Means, Reported, Scanning, Scans};

use bartizan_rules::invariant::sure;

use crate::authn::{Principal, RoleIndex, workload};
use crate::authz::{self, Asking, Grant, Situation, Who};
use crate::callout::{Answer, Call};
use crate::condition::Condition;
use crate::consult::opa::Permit;
use crate::consult::opinion::{Heard, TextView};
use crate::document::{OnUnpriced, UnknownAction, UnscannedAction};
use crate::enums::{Mode, Operation, Zone};
use crate::guard::{GuardIndex, GuardPolicy, Judgement, OpinionIndex, Place, judge};
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::{Exchange, Json, Offered, Segment, UnscannedKind};
use crate::quota::fleet::{Ask, Inquiry, Settlements, Told};
use crate::quota::{Bill, Idle, Limits, Refusal, Reservation, Scope, Session, SharedKey, Tokens, Whose};
use crate::reason::{Denial, Reason};
use crate::redact::Label;
use crate::route::RoutePolicy;
use crate::scan::{Finding, Kind, Report, Text, TextReport};
use crate::sorted;

/// A principal with at least one role that allows the operation.
#[derive(Debug)]
pub struct Entitled {
    principal: Arc<Principal>,
    operation: Operation,
    roles: Vec<RoleIndex>,
    situation: Situation,
    /// The connection's peer, where a quota counts by it.
    workload: Option<String>,
    sessions: Vec<Session>,
}

/// A request whose request quotas, as far as they are known before the body, are charged.
#[derive(Debug)]
pub struct Counted {
    entitled: Entitled,
    /// `None`: not charged yet, because which of several roles grant the request is not known.
    limits: Option<Limits>,
    /// The fleet was asked about the caller's strikes.
    looked: bool,
    /// The quotas that do not count the request, where that was decided already.
    idle: Option<Vec<Idle>>,
}

/// A request that at least one role grants as a whole.
#[derive(Debug)]
pub struct Authorized {
    counted: Counted,
    grant: Grant,
    /// The guards of the granting roles whose conditions do not fail.
    guards: Vec<GuardIndex>,
    /// The quotas that do not count the request.
    idle: Vec<Idle>,
    reads_body: bool,
}

/// A request whose request quotas are all charged.
#[derive(Debug)]
pub struct Charged {
    authorized: Authorized,
    limits: Limits,
}

/// A request whose texts are all scanned, as far as the budget goes, and judged.
#[derive(Debug)]
pub struct Scanned {
    charged: Charged,
    judgement: Judgement,
    places: Vec<Place>,
    notes: Vec<TextNote>,
}

/// What the scanner by itself says of one text, for outside judges.
#[derive(Clone, Debug, Default)]
pub struct TextNote {
    /// Its score.
    pub score: u8,
    /// No rule speaks against it: what there is of a score is the scorer's.
    pub is_scorers: bool,
    /// Credentials and personal data in it.
    pub sensitive: Vec<(std::ops::Range<usize>, Label)>,
}

/// A request that was judged and not refused.
#[derive(Debug)]
pub struct Inspected {
    charged: Charged,
    permit: Permit,
}

/// A request that may go to the upstream: nothing else can be forwarded.
#[derive(Debug)]
pub struct Admitted {
    inspected: Inspected,
    limits: Limits,
}

/// A stage's witness, or the question that must be answered before there is one.
#[derive(Debug)]
pub enum Stage<W> {
    /// The stage is done.
    Done(W),
    /// The service that counts for all proxies must be asked.
    Ask(Box<Asked<W>>),
}

/// A witness that is not one yet: it hangs on an answer.
#[derive(Debug)]
pub struct Asked<W> {
    witness: W,
    inquiry: Inquiry,
}

/// A witness that tells limits.
pub trait Limited: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        fn tell(&mut self, limits: super::Limits);
    }
}

impl Limited for Counted {}
impl Limited for Admitted {}

impl sealed::Sealed for Counted {
    fn tell(&mut self, limits: Limits) {
        self.limits = Some(self.limits.take().unwrap_or_default().and(limits));
    }
}

impl sealed::Sealed for Admitted {
    fn tell(&mut self, limits: Limits) {
        self.limits = std::mem::take(&mut self.limits).and(limits);
    }
}

impl<W> Stage<W> {
    /// The same, once what earlier requests have left is taken for it.
    pub fn drawn(self, policy: &Policy, settlements: &mut Settlements, reserved: &mut Reservation) -> Stage<W> {
        match self {
            Stage::Ask(mut asked) => {
                if !settlements.draw(&policy.quotas, &mut asked.inquiry) {
                    return Stage::Ask(asked);
                }
                policy.quotas.hold_covered(&asked.inquiry, reserved);
                Stage::Done(asked.witness)
            }
            done => done,
        }
    }
}

impl<W: Limited> Asked<W> {
    /// The call to make.
    pub fn call(&self, policy: &Policy) -> Option<Call> {
        policy.quotas.fleet_call(&self.inquiry)
    }

    /// Goes on with the call's answer. What it counted is added to `reserved`, also with a refusal.
    ///
    /// # Errors
    /// A [`Refusal`]: by the service, or because it is unreachable.
    pub fn answered(
        self,
        policy: &Policy,
        answer: &Answer,
        reserved: &mut Reservation,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Stage<W>, Refusal> {
        let Asked { mut witness, mut inquiry } = self;
        match policy.quotas.told(&mut inquiry, answer, reserved, key, host)? {
            Told::Fits(limits) => {
                witness.tell(limits);
                Ok(Stage::Done(witness))
            }
            Told::Again => Ok(Stage::Ask(Box::new(Asked { witness, inquiry }))),
        }
    }
}

impl<W> Stage<W> {
    fn of(witness: W, inquiry: Option<Inquiry>) -> Stage<W> {
        match inquiry {
            None => Stage::Done(witness),
            Some(inquiry) => Stage::Ask(Box::new(Asked { witness, inquiry })),
        }
    }
}

impl Entitled {
    /// Who calls.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What for.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The roles that allow the operation; never empty.
    pub fn roles(&self) -> &[RoleIndex] {
        &self.roles
    }

    /// The same, of these sessions.
    #[must_use]
    pub fn of_sessions(self, sessions: Vec<Session>) -> Entitled {
        Entitled { sessions, ..self }
    }

    /// What conditions are judged by.
    fn asking<'a>(&'a self, policy: &'a Policy, body: Option<(&'a Exchange, usize)>, now: Timestamp) -> Asking<'a> {
        Asking {
            who: Who::Caller(&self.principal),
            roles: &policy.roles,
            operation: self.operation,
            situation: &self.situation,
            body,
            now,
        }
    }

    fn call(&self) -> Bill<'_> {
        self.bill(Scope::Call(&self.principal, self.operation), None)
    }

    fn whole<'a>(&'a self, exchange: Option<&'a Exchange>) -> Bill<'a> {
        let model = exchange.map(|exchange| exchange.model.as_str());
        self.bill(Scope::Whole(&self.principal, self.operation, model), exchange)
    }

    fn bill<'a>(&'a self, scope: Scope<'a>, exchange: Option<&'a Exchange>) -> Bill<'a> {
        Bill {
            workload: self.workload.as_deref(),
            sessions: &self.sessions,
            tools: exchange.map(|exchange| exchange.tools.as_slice()).unwrap_or_default(),
            ..Bill::from(scope)
        }
    }
}

impl Counted {
    /// The witness of the stage before.
    pub fn entitled(&self) -> &Entitled {
        &self.entitled
    }
}

impl Authorized {
    /// The witness of the stages before.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The roles that grant the request; never empty.
    pub fn roles(&self) -> &[RoleIndex] {
        &self.grant.roles
    }

    /// The guards that apply to the request and its reply.
    pub fn guards(&self) -> &[GuardIndex] {
        &self.guards
    }

    /// The quotas of these roles that count the request: see [`counting`].
    pub fn quotas_of<'a>(&'a self, roles: &'a [RoleIndex]) -> Whose<'a> {
        Whose::new(roles, &self.idle)
    }

    /// The quotas that count the request.
    pub fn quotas(&self) -> Whose<'_> {
        Whose::new(&self.grant.roles, &self.idle)
    }

    /// The most output tokens the upstream may be asked for; `None`: no limit.
    pub fn output_cap(&self) -> Option<u64> {
        self.grant.output_cap
    }

    /// The most results that a store may be asked for; `None`: no limit.
    pub fn top_k(&self) -> Option<u64> {
        self.grant.top_k
    }

    /// The refusal that a role in shadow mode did not carry out.
    pub fn shadow(&self) -> Option<Reason> {
        self.grant.shadow
    }

    /// True when tools must be taken out of the request for the roles to grant it.
    pub fn removes_tools(&self) -> bool {
        self.grant.removes_tools
    }

    /// True when one of the granting roles may use this tool.
    pub fn may_use(&self, policy: &Policy, tool: &Offered) -> bool {
        self.roles().iter().filter_map(|role| policy.role_at(*role)).any(|role| authz::may_use(role, tool))
    }

    /// The tools that the request goes on with.
    fn kept_tools(&self, policy: &Policy, exchange: &Exchange) -> Vec<Offered> {
        let is_kept = |tool: &&Offered| !self.removes_tools() || self.may_use(policy, tool);
        exchange.tools.iter().filter(is_kept).cloned().collect()
    }

    /// True when one of the granting roles may author this zone.
    pub fn may_write(&self, policy: &Policy, zone: Zone) -> bool {
        self.roles().iter().filter_map(|role| policy.role_at(*role)).any(|role| role.may_write.contains(&zone))
    }
}

impl Charged {
    /// The witness of the stage before.
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// The state of the quotas.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Scanned {
    /// The witness of the stages before.
    pub fn charged(&self) -> &Charged {
        &self.charged
    }

    /// What the guards say.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// The same, to narrow what follows from it: a refusal stays one.
    pub fn judgement_mut(&mut self) -> (&mut Judgement, &[Place]) {
        (&mut self.judgement, &self.places)
    }

    /// What the scanner by itself says of each text, where the policy has outside judges.
    pub fn notes(&self) -> &[TextNote] {
        &self.notes
    }

    /// Where the texts are, one for each segment of the body.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// What was not scanned, each kind once.
    pub fn unscanned(&self, exchange: &Exchange) -> Vec<UnscannedKind> {
        let mut kinds: Vec<UnscannedKind> = exchange.unscanned.iter().map(|(kind, _)| *kind).collect();
        if self.judgement.is_incomplete() {
            kinds.push(UnscannedKind::Budget);
        }
        sorted::once(&mut kinds);
        kinds
    }

    /// The stage before, to scan once more under other guards.
    pub fn back(self) -> Charged {
        self.charged
    }

    /// Why the request is refused, as far as its texts tell: by the policy, for what was not scanned, and by the guards for the
    /// rest. `is_own`: what the provider keeps is the caller's own.
    pub fn refusal(&self, policy: &Policy, exchange: &Exchange, is_own: bool) -> Option<Reason> {
        let decides = |kind: &UnscannedKind| !(is_own && *kind == UnscannedKind::State);
        let denies = |kind| policy.unscanned.action(kind) == UnscannedAction::Deny;
        if self.unscanned(exchange).into_iter().filter(decides).any(denies)
            || (!exchange.unknown.is_empty() && policy.unknown == UnknownAction::Deny)
        {
            return Some(Reason::BodyUnscanned);
        }
        self.judgement.denial()
    }

    /// Nothing in the request refuses it, and the operator's policy engine permits it.
    ///
    /// # Errors
    /// What [`Scanned::refusal`] says; [`Reason::Internal`] without a permit.
    pub fn decide(
        self,
        policy: &Policy,
        exchange: &Exchange,
        is_own: bool,
        permit: Option<Permit>,
    ) -> Result<(Inspected, Judgement), Reason> {
        if let Some(reason) = self.refusal(policy, exchange, is_own) {
            return Err(reason);
        }
        let permit = permit.ok_or(Reason::Internal)?;
        Ok((Inspected { charged: self.charged, permit }, self.judgement))
    }
}

impl Inspected {
    /// The witness of the stages before.
    pub fn charged(&self) -> &Charged {
        &self.charged
    }

    /// What the operator's policy engine wants of it.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// A request without a body. `is_own`: what the provider keeps, and the request is for, is the caller's own; `None`: it
    /// is for nothing of that kind.
    ///
    /// # Errors
    /// [`Reason::Internal`] for one that has a body; [`Reason::BodyUnscanned`].
    pub fn without_body(
        charged: Charged,
        policy: &Policy,
        is_own: Option<bool>,
        permit: Permit,
    ) -> Result<Inspected, Reason> {
        if charged.authorized.reads_body {
            return Err(Reason::Internal);
        }
        refuses_kept(policy, is_own).map_or(Ok(Inspected { charged, permit }), Err)
    }

    /// A past request, judged as its record says: nothing is forwarded in a rehearsal.
    ///
    /// # Errors
    /// The reason that the record has.
    #[cfg(feature = "cli")]
    pub(crate) fn recorded(charged: Charged, denial: Option<Reason>) -> Result<Inspected, Reason> {
        denial.map_or(Ok(Inspected { charged, permit: Permit::recorded() }), Err)
    }
}

impl Admitted {
    /// The witness of the stages before.
    pub fn inspected(&self) -> &Inspected {
        &self.inspected
    }

    /// The limit headers for the reply.
    pub fn limit_headers(&self) -> Vec<(&'static str, String)> {
        self.limits.headers()
    }

    /// The state of all quotas.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Checks the operation, which the path tells, and the workload, which the mesh's mTLS tells.
///
/// # Errors
/// [`Reason::RbacOperation`], [`Reason::RbacWorkload`].
pub fn entitle(
    policy: &Policy,
    principal: Arc<Principal>,
    route: &RoutePolicy,
    situation: Situation,
    host: &mut dyn Host,
) -> Result<Entitled, Denial> {
    let operation = route.operation;
    let own = [operation];
    let enough = route.protocol.enough_for(operation).unwrap_or(&own);
    let roles = authz::entitled(&policy.roles, &principal, enough, host)?;
    let workload = if policy.quotas.by_workload() { workload(host) } else { None };
    Ok(Entitled { principal, operation, roles, situation, workload, sessions: Vec::new() })
}

/// Charges the call to the quotas of the caller's only role.
///
/// # Errors
/// A [`Refusal`] with the limit headers.
pub fn count(
    policy: &Policy,
    entitled: Entitled,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<Stage<Counted>, Refusal> {
    let (limits, inquiry, idle) = match entitled.roles() {
        roles @ [_] if !policy.quotas.has_condition(roles, Condition::needs_body) => {
            let asking = entitled.asking(policy, None, host.now());
            let idle = policy.quotas.idle(roles, |when| asking.fails(when));
            let whose = Whose::new(roles, &idle);
            let limits = policy.quotas.charge(entitled.call(), whose, key, host)?;
            (Some(limits), policy.quotas.inquire(entitled.call(), whose, Ask::Requests, host.now()), Some(idle))
        }
        _ => (None, None, None),
    };
    let looked = inquiry.as_ref().is_some_and(Inquiry::looks);
    Ok(Stage::of(Counted { entitled, limits, looked, idle }, inquiry))
}

/// Checks conditions, model, tools, choices and caps, which the body tells, and decides which guards and quotas apply.
/// `bytes`: the body's length.
///
/// # Errors
/// [`Reason::RbacCondition`], [`Reason::RbacModel`], [`Reason::RbacTool`] or [`Reason::RbacParameter`]: the furthest that
/// any role got.
pub fn authorize(
    policy: &Policy,
    counted: Counted,
    (exchange, bytes): (&Exchange, usize),
    now: Timestamp,
) -> Result<Authorized, Denial> {
    let asking = counted.entitled.asking(policy, Some((exchange, bytes)), now);
    let grant = authz::grant(counted.entitled.roles(), exchange, &asking)?;
    let (guards, idle) = applying(policy, &counted, &grant, &asking);
    Ok(Authorized { counted, grant, guards, idle, reads_body: true })
}

/// A request without a body: beside the operation only conditions are left to check.
///
/// # Errors
/// [`Reason::RbacCondition`].
pub fn authorize_bodyless(policy: &Policy, counted: Counted, now: Timestamp) -> Result<Authorized, Denial> {
    let asking = counted.entitled.asking(policy, None, now);
    let grant = authz::grant_bodyless(counted.entitled.roles(), &asking)?;
    let (guards, idle) = applying(policy, &counted, &grant, &asking);
    Ok(Authorized { counted, grant, guards, idle, reads_body: false })
}

/// The guards that apply to a request, and the quotas that do not count it.
fn applying(policy: &Policy, counted: &Counted, grant: &Grant, asking: &Asking<'_>) -> (Vec<GuardIndex>, Vec<Idle>) {
    let applies = |index: &GuardIndex| {
        let when = policy.guard(*index).and_then(|guard| guard.when.as_ref());
        when.is_none_or(|when| !asking.fails(when))
    };
    let guards = policy.guards_at(&grant.roles).into_iter().filter(applies).collect();
    let idle = counted.idle.clone();
    (guards, idle.unwrap_or_else(|| policy.quotas.idle(&grant.roles, |when| asking.fails(when))))
}

/// Charges what [`count`] left open: the call, for a caller of several roles, and the model and the tools that the body
/// names, where there is one.
///
/// A request that a model's or a tool's quota refuses stays charged to the call's.
///
/// # Errors
/// A [`Refusal`] with the limit headers.
pub fn count_rest(
    policy: &Policy,
    authorized: Authorized,
    exchange: Option<&Exchange>,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<Charged, Refusal> {
    let (counted, roles) = (authorized.counted(), authorized.quotas());
    let mut limits = match &counted.limits {
        Some(limits) => limits.clone(),
        None => policy.quotas.charge(counted.entitled.call(), roles, key, host)?,
    };
    if let Some(exchange) = exchange {
        let bill = counted.entitled.bill(Scope::Model(&exchange.model), Some(exchange));
        limits = limits.and(policy.quotas.charge(bill, roles, key, host)?);
    }
    Ok(Charged { authorized, limits })
}

/// Why a request for what the provider keeps is refused, whose own `is_own` tells.
pub fn refuses_kept(policy: &Policy, is_own: Option<bool>) -> Option<Reason> {
    let denies = policy.unscanned.action(UnscannedKind::State) == UnscannedAction::Deny;
    (is_own == Some(false) && denies).then_some(Reason::BodyUnscanned)
}

/// Carries out what a policy engine wants to be counted: the quotas of another role, and those of another model, which a role
/// must grant like the first.
///
/// # Errors
/// What [`authorize`] says of the model; a [`Refusal`] with the limit headers.
pub fn oblige(
    policy: &Policy,
    charged: Charged,
    (permit, is_renamed): (&Permit, bool),
    body: Option<(&Exchange, usize)>,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<Charged, Refusal> {
    let Charged { mut authorized, mut limits } = charged;
    let beside = |refusal: Refusal, limits: &Limits| {
        let limits = Box::new(limits.clone().and(*refusal.limits));
        Refusal { limits, ..refusal }
    };
    let now = host.now();
    if let (true, Some((exchange, bytes))) = (is_renamed, body) {
        let asking = authorized.counted.entitled.asking(policy, Some((exchange, bytes)), now);
        let refused = |denial| Refusal { denial, limits: Box::new(limits.clone()) };
        let grant = authz::grant(authorized.counted.entitled.roles(), exchange, &asking).map_err(refused)?;
        let (guards, idle) = applying(policy, &authorized.counted, &grant, &asking);
        let before = authorized.kept_tools(policy, exchange);
        let mut charged: Vec<Idle> = policy.quotas.places(authorized.quotas()).collect();
        let by_tool: Vec<Idle> = policy.quotas.places_by_tool(authorized.quotas()).collect();
        (authorized.grant, authorized.guards, authorized.idle) = (grant, guards, idle);
        let tools = authorized.kept_tools(policy, exchange);
        let more: Vec<Offered> = tools.iter().filter(|tool| !before.contains(tool)).cloned().collect();
        let entitled = &authorized.counted.entitled;
        // A tool's quota that has counted the request counts no tool again.
        for (tools, is_counted) in [(&tools, false), (&more, true)] {
            let places = policy.quotas.places(authorized.quotas());
            let others = places.filter(|place| by_tool.contains(place) != is_counted);
            let aside: Vec<Idle> = authorized.idle.iter().copied().chain(others).collect();
            let bill = Bill { tools, ..entitled.bill(Scope::Model(&exchange.model), None) };
            let charge = policy.quotas.charge(bill, Whose::new(authorized.roles(), &aside), key, host);
            limits = limits.clone().and(charge.map_err(|refusal| beside(refusal, &limits))?);
        }
        // The call is charged to the quotas that count it for the new model only.
        charged.extend(&authorized.idle);
        let charge = policy.quotas.charge(entitled.call(), Whose::new(authorized.roles(), &charged), key, host);
        limits = limits.clone().and(charge.map_err(|refusal| beside(refusal, &limits))?);
    }
    if let Some(role) = permit.quotas().filter(|role| !authorized.roles().contains(role)) {
        let entitled = &authorized.counted.entitled;
        let asking = entitled.asking(policy, body, now);
        let idle = policy.quotas.idle(&[role], |when| asking.fails(when));
        let exchange = body.map(|(exchange, _)| exchange);
        let tools = exchange.map(|exchange| authorized.kept_tools(policy, exchange)).unwrap_or_default();
        let bill = Bill { tools: &tools, ..entitled.whole(exchange) };
        let charge = policy.quotas.charge(bill, Whose::new(&[role], &idle), key, host);
        limits = limits.clone().and(charge.map_err(|refusal| beside(refusal, &limits))?);
        authorized.idle.extend(idle);
    }
    Ok(Charged { authorized, limits })
}

/// Scans every text of the body, and lets the guards of the granting roles judge it, and the one that a policy engine adds.
///
/// # Errors
/// The stage before and the scan, where it takes more steps than it may take now.
pub fn scan(
    policy: &Policy,
    route: &RoutePolicy,
    charged: Charged,
    (permit, heard): (Option<&Permit>, &Heard),
    (json, exchange): (&Json<'_>, &Exchange),
    means: Means<'_>,
    now: Timestamp,
) -> Result<Scanned, Box<(Charged, Scanning)>> {
    let authorized = &charged.authorized;
    let text = |segment: &Segment| Text { zone: segment.zone, text: sure(segment.text_in(json)).unwrap_or_default() };
    let texts: Vec<Text<'_>> = exchange.segments.iter().map(text).collect();
    let is_aside = |at: usize| {
        let segment = exchange.segments.get(at);
        segment.is_some_and(|segment| route.protocol.is_aside(json, &segment.path, segment.is_key))
    };
    let mut report = match means.report(policy, &texts, &is_aside) {
        Ok(report) => report,
        Err(scanning) => return Err(Box::new((charged, scanning))),
    };
    for (segment, report) in exchange.segments.iter().zip(&mut report.texts) {
        // Without its text a segment would count as empty, and what is there as scanned.
        let is_there = segment.text_in(json).is_some();
        debug_assert!(is_there, "a segment without a text");
        report.complete &= is_there;
    }
    let trusted: Vec<Zone> = Zone::ALL.iter().copied().filter(|zone| authorized.may_write(policy, *zone)).collect();
    let place = |segment: &Segment| Place {
        zone: segment.zone,
        position: segment.position,
        is_key: segment.is_key,
        trusted: trusted.contains(&segment.zone),
    };
    let places: Vec<Place> = exchange.segments.iter().map(place).collect();
    let guards = guards_of(policy, authorized, permit);
    let is_told = policy.engine.as_ref().is_some_and(|engine| engine.text().is_some());
    let is_noted = is_told || !policy.opinions.is_empty();
    let notes = if is_noted { noted(policy, &report, &places) } else { Vec::new() };
    second(&mut report, &notes, heard, &|index| is_everyones(&guards, index));
    let judgement = judge(&policy.scanner, &guards, route.index, &places, report, now);
    Ok(Scanned { charged, judgement, places, notes })
}

/// The roles whose quotas count a request: those that grant it, and the one that a policy engine adds.
pub fn counting(authorized: &Authorized, permit: Option<&Permit>) -> Vec<RoleIndex> {
    let mut roles = authorized.roles().to_vec();
    roles.extend(permit.and_then(Permit::quotas).filter(|role| !authorized.roles().contains(role)));
    roles
}

/// True if every guard that enforces asks this judge: only then it may lower a score, because the strictest guard holds.
pub fn is_everyones(guards: &[&GuardPolicy], index: OpinionIndex) -> bool {
    guards.iter().filter(|guard| guard.mode == Mode::Enforce).all(|guard| guard.opinions.contains(&index))
}

/// What the scanner by itself says of each text.
pub(super) fn noted(policy: &Policy, report: &Report, places: &[Place]) -> Vec<TextNote> {
    let kind = |finding: &Finding| policy.scanner.cards().get(usize::from(finding.rule.0)).map(|card| card.kind);
    let of = |(index, (text, place)): (usize, (&TextReport, &Place))| {
        let joined = report.joints.iter().filter(|(at, _)| *at == index).map(|(_, finding)| finding);
        let is_attack = |finding: &Finding| kind(finding).is_none_or(|kind| kind == Kind::Attack);
        let found = text.findings.iter().chain(joined.clone());
        let sensitive = found.filter_map(|finding| Some((finding.span.clone(), Label::of(kind(finding)?)?)));
        TextNote {
            score: policy.scanner.score(text, place.zone, &|_| false),
            is_scorers: !text.findings.iter().chain(joined).any(is_attack) && text.complete,
            sensitive: sensitive.collect(),
        }
    };
    report.texts.iter().zip(places).enumerate().map(of).collect()
}

/// Adds what outside judges say to what the scanner says. `lowers`: the judge may lower a score.
fn second(report: &mut Report, notes: &[TextNote], heard: &Heard, lowers: &dyn Fn(OpinionIndex) -> bool) {
    for (index, views) in heard.by_text() {
        let (Some(text), Some(note)) = (report.texts.get_mut(index), notes.get(index)) else { continue };
        let scores = || {
            let score = |(of, view): &(OpinionIndex, &TextView)| {
                Some((f32::from(view.score?) / 100.0, view.may_lower && lowers(*of)))
            };
            views.iter().filter_map(score)
        };
        let own = text.learned.unwrap_or(0.0);
        let highest = scores().map(|(score, _)| score).fold(0.0, f32::max);
        if scores().next().is_some() && highest > own {
            (text.learned, text.raised) = (Some(highest), true);
        } else if note.is_scorers && scores().next().is_some() && scores().all(|(score, may)| may && score < own) {
            text.learned = Some(highest);
        }
        text.marked.extend(views.iter().flat_map(|(_, view)| view.marked.iter().cloned()));
    }
}

/// The guards of the granting roles, and the one that a policy engine adds: each once.
pub fn guards_of<'p>(policy: &'p Policy, authorized: &Authorized, permit: Option<&Permit>) -> Vec<&'p GuardPolicy> {
    let mut places = authorized.guards().to_vec();
    if let Some(more) = permit.and_then(Permit::guard).filter(|more| !places.contains(more)) {
        places.push(more);
    }
    places.into_iter().filter_map(|index| policy.guard(index)).collect()
}

/// The last stage, so that a blocked prompt costs nothing: reserves what the request is expected to use.
///
/// Where a service counts for the fleet, it is asked last of all: for the tokens, and for the requests that
/// [`count`] and [`count_rest`] left open. What is held here is held whatever the service says: settle it.
///
/// # Errors
/// A [`Refusal`] with the limit headers. What [`count`] and [`count_rest`] charged stays charged.
pub fn admit(
    policy: &Policy,
    inspected: Inspected,
    exchange: Option<&Exchange>,
    expected: Tokens,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<(Stage<Admitted>, Reservation), Refusal> {
    let (charged, authorized) = (inspected.charged(), inspected.charged().authorized());
    let entitled = authorized.counted().entitled();
    let bill = entitled.whole(exchange);
    let roles = counting(authorized, Some(&inspected.permit));
    let roles = authorized.quotas_of(&roles);
    let mut told = charged.limits().clone();
    let expected = match (&policy.prices, exchange) {
        (Some(prices), Some(exchange)) if expected != Tokens::default() => {
            let price = prices.dearest(exchange.all_models(), &expected, host.now());
            let is_priced = |model: &str| prices.bill(model, host.now()).is_priced();
            let is_refused = prices.on_unpriced == OnUnpriced::Deny && !exchange.all_models().all(is_priced);
            match policy.quotas.counts_cost(roles).filter(|_| is_refused) {
                Some(Mode::Enforce) => {
                    let denial = Denial::new(Reason::QuotaUnpriced).with_param("model");
                    return Err(Refusal { denial, limits: Box::new(told) });
                }
                Some(Mode::Shadow) => told.shadow.push(Reason::QuotaUnpriced),
                None => {}
            }
            prices.most(&price, expected)
        }
        _ => expected,
    };
    let ask = Ask::Rest {
        tokens: expected,
        calls: authorized.counted().limits.is_none(),
        looked: authorized.counted().looked,
    };
    let beside = |refusal: Refusal| Refusal { limits: Box::new(told.clone().and(*refusal.limits)), ..refusal };
    let inquiry = policy.quotas.inquire(bill, roles, ask, host.now());
    if let Some(refusal) = inquiry.as_ref().and_then(|inquiry| policy.quotas.never_fits(inquiry)) {
        return Err(beside(refusal));
    }
    let (limits, reservation) = policy.quotas.reserve(bill, roles, expected, key, host).map_err(beside)?;
    Ok((Stage::of(Admitted { limits: told.and(limits), inspected }, inquiry), reservation))
}
