//! The request: headers, then body, each stage in its order.

mod body;
mod headers;
mod input;
mod notes;
mod scan;
mod signed;
mod upload;

pub(super) use body::{AwaitingBody, Refusing};
pub(super) use scan::AwaitingScan;

use super::context::Context;
use super::headers::ours;
use super::path::{forgiving, without};
use super::pending_call::{Bodyless, HeaderRest, HeaderStart, Outgoing, Permitting, Then};
use super::reading::{Guarded, Open, Reading};
use super::reply::ReplyGuard;
use super::response::Forwarded;
use super::stages::{self, Admitted, Counted, Inspected, Stage};
use super::{Denied, Edit, Event, Header, Headers, Next, Passed, Refused, Reply, State, Step, Wait, WorkerState};
use crate::audit::{Coverage, REASON_HEADER, Verdict};
use crate::authn::{Authentication, Principal};
use crate::authz::{self, Ledger, Situation};
use crate::consult::opa::{self, Permit, Said};
use crate::document::{Cors, ResponseHeaders, Unmatched};
use crate::enums::{Mode, Operation};
use crate::host::{Host, Timestamp};
use crate::policy::Policy;
use crate::protocol::registry::path_class;
use crate::protocol::{Exchange, UnscannedKind};
use crate::quota::{self, Tokens};
use crate::reason::{Denial, Hint, Reason};
use crate::redact::{Masker, Vault};
use crate::route::{Kept, RoutePolicy, ServerPart};

use headers::{
    content_length, content_type, credentials, form_type, hinted, identity, is_id, is_preflight, is_request_id,
    is_untyped, known_method, path_segment, present, readable, sessions, uncompressed, with_credential,
};

/// The most that values to be restored may take in one request, in bytes.
const MAX_VAULT: usize = 1 << 20;

/// Nothing came yet.
#[derive(Debug)]
pub(super) struct Start;

impl Start {
    pub(super) fn handle(
        self,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let Event::RequestHeaders { headers, end } = event else {
            return context.otherwise(State::Start(self), event, vm, host);
        };
        let next = context.request_headers(Headers(headers), end, None, vm, host);
        context.judged(next, vm)
    }
}

/// A request that can't be judged before its issuer's keys have come.
#[derive(Debug)]
pub(super) struct AwaitingKeys {
    headers: Vec<Header>,
    end: bool,
    deadline: Timestamp,
}

impl AwaitingKeys {
    pub(super) fn handle(
        self: Box<Self>,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let next = match event {
            Event::Resumed => {
                let AwaitingKeys { headers, end, deadline } = *self;
                context.request_headers(Headers(&headers), end, Some(deadline), vm, host)
            }
            Event::Expired | Event::Answered(_) => Err(Reason::JwtUnavailable.into()),
            event => return context.otherwise(State::Keys(self), event, vm, host),
        };
        context.judged(next, vm)
    }
}

impl Context {
    fn request_headers(
        &mut self,
        headers: Headers<'_>,
        end: bool,
        deadline: Option<Timestamp>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let method = headers.text(":method").unwrap_or_default();
        self.account.record.set_method(known_method(method));
        if self.teller.request.is_none() {
            let sent = headers.text("x-request-id").filter(|id| is_request_id(id)).map(str::to_owned);
            let id = sent.unwrap_or_else(|| vm.request_name());
            self.teller.request = Some(id.clone());
            self.account.record.set_request_id(id);
        }
        self.teller.accepts = headers.value("accept").unwrap_or_default().to_vec();
        if let Some(traceparent) = headers.text("traceparent") {
            self.account.record.set_trace(traceparent);
        }
        let path = headers.text(":path").unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if let Some(answer) = self.resource_metadata(method, path) {
            return Ok(answer);
        }
        let near = || policy.route_near(path).map(|route| route.index);
        if policy.is_realtime(path) {
            self.near = near();
            self.account.record.set_path_class("realtime");
            return Err(Reason::RouteRealtime.into());
        }
        let Some(route) = policy.route(path, method) else {
            self.account.record.set_path_class(path_class(path));
            let disguised = method == "CONNECT" || policy.is_disguise(&forgiving(path));
            if disguised || policy.unmatched == Unmatched::Deny {
                self.near = near();
                return Err(Reason::RouteUnmatched.into());
            }
            self.account.pass();
            return Ok(Next::new(Passed, Step::Release(Edit { remove: ours(headers), ..Edit::default() })));
        };
        if !route.takes(path) {
            self.account.record.set_path_class(path_class(path));
            return Err(Reason::RouteUnmatched.into());
        }
        self.route = Some(route.index);
        self.account.record.set_route(route.matches.as_str());
        self.account.record.set_operation(route.protocol.name(), route.operation.as_str());
        if method == "CONNECT" || headers.has("upgrade") || headers.has(":protocol") {
            return Err(Reason::RouteUpgrade.into());
        }

        // From here on a credential of the query is one of the headers', and the path has none.
        let mut moved = Vec::new();
        let target = headers.text(":path").unwrap_or_default();
        if let Some((rest, values)) = without(target, route.protocol.credential_parameters()) {
            moved = with_credential(headers, &policy, &rest, values)?;
            self.stripped_path = Some(rest);
        }
        let headers = if moved.is_empty() { headers } else { Headers(&moved) };

        if policy.cors == Cors::Pass && end && is_preflight(method, headers) {
            // It carries no credential and asks for nothing but headers.
            self.account.pass();
            let mut edit = Edit { remove: ours(headers), ..Edit::default() };
            edit.remove.extend(credentials(headers, &policy));
            edit.set.extend(self.stripped_path.take().map(|path| (":path", path)));
            return Ok(Next::new(Passed, Step::Release(edit)));
        }
        let authn = policy.authn.authenticate(headers.iter(), &mut vm.tokens, &mut vm.ring, host);
        let authn = authn.map_err(|denial| hinted(denial, headers))?;
        self.authenticated(headers, authn, (end, deadline), vm, host)
    }

    /// What the credential came to, and the rest of the header phase.
    pub(super) fn authenticated(
        &mut self,
        headers: Headers<'_>,
        authn: Authentication,
        (end, deadline): (bool, Option<Timestamp>),
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let principal = match authn {
            Authentication::Known(principal) => principal,
            Authentication::Unchecked(principal) => {
                self.account.record.set_unchecked();
                principal
            }
            Authentication::NeedKeys => {
                let patience = policy.authn.patience();
                let deadline = deadline.unwrap_or_else(|| Timestamp(host.now().0.saturating_add(patience)));
                let waiting = AwaitingKeys { headers: headers.0.to_vec(), end, deadline };
                return Ok(Next::new(State::Keys(Box::new(waiting)), Step::Await(Wait { call: None, deadline })));
            }
            Authentication::Ask(inquiry) => {
                return self.ask(Then::Authenticate(inquiry, headers.0.to_vec(), end), vm, host);
            }
        };
        let method = headers.text(":method").unwrap_or_default();
        let path = headers.text(":path").unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let route = policy.route(path, method).ok_or(Reason::Internal)?;
        let mut edit = Edit { remove: ours(headers), ..Edit::default() };
        edit.set.extend(self.stripped_path.take().map(|path| (":path", path)));
        for name in route.protocol.stripped_headers() {
            edit.remove.extend(present(headers, name));
        }
        let names = self.note_caller(&policy, &principal, vm);
        self.teller.explains = policy.refusals.explains(principal.roles());
        self.draft(&policy, path, &principal, names);
        self.cooldown(&policy, &principal, vm, host)?;
        let mut situation = Situation::new(route.protocol.name(), method, path);
        for name in &policy.asked_headers {
            situation.add(name, headers.all(name));
        }
        let entitled = stages::entitle(&policy, principal, route, situation, host)?;
        if !route.methods().contains(&method) {
            return Err(Reason::RouteMethod.into());
        }
        if let Some(tenancy) = &route.tenancy {
            let tenant = tenancy.tenant(entitled.principal())?;
            let target = edit.set.iter().find(|(name, _)| *name == ":path").map(|(_, target)| target.as_str());
            let target = target.unwrap_or_else(|| headers.text(":path").unwrap_or_default());
            let confined = route.protocol.confine_target(route.operation, &tenancy.scope(&tenant), target)?;
            let unknown = match confined.kept {
                Some(id) if !Ledger::of(&policy.name).holds_of_tenant(&tenant, id, vm.shared_key(), host)? => Some(id),
                _ => None,
            };
            if let Some(id) = unknown {
                let told_at = route.protocol.told_at(id, target);
                let question = told_at.and_then(|path| tenancy.ask(&tenant, id, path)).ok_or(Reason::RbacTenant)?;
                let start = HeaderStart { route: route.index, entitled, end, edit };
                return self.ask(Then::Own(Box::new(question), headers.0.to_vec(), start), vm, host);
            }
            if let Some(target) = confined.target {
                edit.set.retain(|(name, _)| *name != ":path");
                edit.set.push((":path", target));
            }
        }
        self.confined(headers, HeaderStart { route: route.index, entitled, end, edit }, vm, host)
    }

    /// The request reaches the caller's own data only, as far as its headers say.
    pub(super) fn confined(
        &mut self,
        headers: Headers<'_>,
        HeaderStart { route, entitled, end, mut edit }: HeaderStart,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let route = policy.route_at(route).ok_or(Reason::Internal)?;
        let path = headers.text(":path").unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let is_http_sse = *route.server_part() == ServerPart::Messages;
        let asserted = route.protocol.asserted(&mut headers.iter(), is_http_sse)?;
        let mut path_model = route.model_of(path).map(std::borrow::Cow::into_owned);
        self.pin_path(&policy, route, headers, (&mut path_model, &mut edit))?;
        let identity = entitled.principal().identity();
        let own = self.open_session(route, headers, vm.hash_key(), &identity, &mut edit)?;
        let entitled = entitled.of_sessions(sessions(&policy, headers, own));
        let content_length = content_length(headers)?;
        if content_length.is_some_and(|length| length > policy.limits.max_body_bytes) {
            return Err(Reason::BodyTooLarge.into());
        }
        let rest = HeaderRest { route: route.index, asserted, path_model, content_length, end, edit };
        match stages::count(&policy, entitled, vm.shared_key(), host) {
            Ok(Stage::Done(counted)) => self.counted(headers, rest, counted, vm, host),
            Ok(Stage::Ask(asked)) => self.ask(Then::Count(asked, headers.0.to_vec(), rest), vm, host),
            Err(refusal) => self.not_counted(headers, rest, refusal.into()),
        }
    }

    /// Writes the model that an alias means into the path.
    fn pin_path(
        &mut self,
        policy: &Policy,
        route: &RoutePolicy,
        headers: Headers<'_>,
        (model, edit): (&mut Option<String>, &mut Edit),
    ) -> Result<(), Denial> {
        let pinned = |name: &String| Some(policy.models.as_ref()?.pinned(name)?.to_owned());
        let Some(pinned) = model.as_ref().and_then(pinned) else { return Ok(()) };
        let set = edit.set.iter().find(|(name, _)| *name == ":path").map(|(_, target)| target.as_str());
        let target = set.unwrap_or_else(|| headers.text(":path").unwrap_or_default());
        let refused = || Denial::new(Reason::ModelAlias).with_param("model");
        let target = route.with_model(target, &path_segment(&pinned)).ok_or_else(refused)?;
        // Another route could have the new path, or another name be read from it.
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let method = headers.text(":method").unwrap_or_default();
        let is_same = policy.route(path, method).is_some_and(|other| other.index == route.index);
        if !is_same || route.model_of(path).as_deref() != Some(pinned.as_str()) {
            return Err(refused());
        }
        edit.set.retain(|(name, _)| *name != ":path");
        edit.set.push((":path", target));
        self.path_alias = model.replace(pinned);
        Ok(())
    }

    /// The request is over a quota: it is refused, or told so when its body has come.
    pub(super) fn not_counted(
        &mut self,
        headers: Headers<'_>,
        rest: HeaderRest,
        refused: Refused,
    ) -> Result<Next, Refused> {
        let HeaderRest { route, end, mut edit, .. } = rest;
        let policy = std::sync::Arc::clone(&self.policy);
        let is_http_sse = policy.route_at(route).is_some_and(|route| *route.server_part() == ServerPart::Messages);
        if !is_http_sse || end {
            return Err(refused);
        }
        edit.remove.extend(credentials(headers, &policy));
        edit.remove.extend(present(headers, "content-length"));
        Ok(self.refuse_later(refused, edit))
    }

    /// The request is counted: what else its headers say.
    pub(super) fn counted(
        &mut self,
        headers: Headers<'_>,
        rest: HeaderRest,
        counted: Counted,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let HeaderRest { route, asserted, path_model, content_length, end, mut edit } = rest;
        let route = policy.route_at(route).ok_or(Reason::Internal)?;
        let method = headers.text(":method").unwrap_or_default();
        let path = headers.text(":path").unwrap_or_default();
        let kept = route.kept_of(path.split(['?', '#']).next().unwrap_or_default(), method);
        if matches!(kept, Some(Kept::One(id)) if !is_id(id)) {
            return Err(Reason::RouteUnmatched.into());
        }
        // In weak mode the headers leave before the body has come.
        let asked = self.path_alias.as_deref().or(path_model.as_deref());
        if let Some(model) = asked.filter(|_| route.operation != Operation::Models) {
            authz::names_model(&policy.roles, counted.entitled().roles(), model)?;
            let pinned = path_model.as_deref().unwrap_or(model);
            if policy.models.as_ref().is_some_and(|models| models.is_over(model, pinned, host.now())) {
                return Err(Denial::new(Reason::ModelRetired).with_param("model").into());
            }
        }
        if !policy.authn.forwards_token() {
            edit.remove.extend(credentials(headers, &policy));
        }
        self.upstream_headers(&policy, &counted, &mut edit);
        edit.set.extend(identity(&policy, &counted, vm, host)?);

        if route.protocol.reads_body(route.operation, method) {
            if end {
                return Err(Reason::BodyMalformed.into());
            }
            let form = route.protocol.form(route.operation).and_then(|_| form_type(headers));
            if route.protocol.takes_any_type() && is_untyped(headers) {
                // Read as JSON here and, whatever the client says or leaves out, there.
                edit.set.push(("content-type", "application/json".to_owned()));
            } else if form.is_none() {
                content_type(headers, route.protocol.reads_lines())?;
            } else if route.protocol.reads_form(route.operation) {
                uncompressed(headers)?;
            }
            edit.remove.extend(present(headers, "content-length"));
            readable(headers, &mut edit);
            // In weak mode the header map is gone once the body comes.
            let early = if policy.hold_headers { None } else { Some(std::mem::take(&mut edit)) };
            let route = route.index;
            let kept = match kept {
                Some(Kept::One(id)) => Some(id.to_owned()),
                Some(Kept::All) | None => None,
            };
            let waiting = AwaitingBody { counted, route, asserted, path_model, kept, content_length, form, edit };
            return Ok(Next::new(State::Body(Box::new(waiting)), early.map_or(Step::NeedMore, Step::Release)));
        }
        if !end || content_length.is_some_and(|length| length > 0) {
            return Err(Reason::BodyShape.into());
        }
        // A server's own stream comes as the answer to a request without a body.
        let guards_reply = route.protocol.guards_reply(route.operation, method);
        if guards_reply {
            readable(headers, &mut edit);
        }
        let authorized = stages::authorize_bodyless(&policy, counted, host.now())?;
        self.account.rehearse(authorized.shadow().map(Reason::code));
        if let Some(most) = authorized.top_k() {
            let target = edit.set.iter().find(|(name, _)| *name == ":path").map(|(_, target)| target.as_str());
            let target = target.unwrap_or_else(|| headers.text(":path").unwrap_or_default());
            if let Some(target) = route.protocol.cap_target(route.operation, most, target)? {
                edit.set.retain(|(name, _)| *name != ":path");
                edit.set.push((":path", target));
            }
        }
        let charged = stages::count_rest(&policy, authorized, None, vm.shared_key(), host)?;
        self.note_limits(&charged);
        self.account.cover(Coverage::Full);
        let caller = charged.authorized().counted().entitled().principal();
        let owned = kept.as_ref().filter(|_| policy.unscanned.knows_owners());
        let owned = owned.map(|_| Ledger::of(&policy.name).owned(caller, vm.shared_key(), host)).transpose()?;
        let target = headers.text(":path").unwrap_or_default();
        let resumes = without(target, route.protocol.resuming_parameters()).is_some();
        let is_own = kept.as_ref().map(|kept| match (kept, &owned) {
            (Kept::One(id), Some(owned)) => owned.holds(id) && !resumes,
            // Of a list the caller gets what is its own.
            (Kept::All, owned) => owned.is_some(),
            (Kept::One(_), None) => false,
        });
        if is_own == Some(false) {
            self.account.leave_unread(UnscannedKind::State);
        }
        let listed = owned.filter(|_| matches!(kept, Some(Kept::All)));
        let (route, is_kept) = (route.index, kept.is_some());
        let bodyless = Bodyless { charged, route, edit, guards_reply, listed, is_kept, is_own };
        let Some(engine) = &policy.engine else {
            let permit = Permit::without(None).ok_or(Reason::Internal)?;
            return self.without_body(bodyless, permit, vm, host);
        };
        if let Some(reason) = stages::refuses_kept(&policy, is_own) {
            return Err(reason.into());
        }
        let input = self.input_of_bodyless(&policy, &bodyless, host);
        match engine.ask(&input, &vm.permits, vm.hash_key(), host.now()) {
            opa::Asked::Ask(question) => {
                self.ask(Then::Permit(question, Permitting::Bodyless(Box::new(bodyless))), vm, host)
            }
            opa::Asked::Known(said) => {
                let permit = self.note_said(*said)?;
                self.without_body(bodyless, permit, vm, host)
            }
        }
    }

    /// A request without a body, which the operator's policy engine permits.
    pub(super) fn without_body(
        &mut self,
        Bodyless { charged, route, edit, guards_reply, listed, is_kept, is_own }: Bodyless,
        permit: Permit,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        // There is no body to write a model into.
        if permit.model().is_some() {
            return Err(Reason::AuthzUnavailable.into());
        }
        let charged = stages::oblige(&policy, charged, (&permit, false), None, vm.shared_key(), host)?;
        self.note_limits(&charged);
        let guard = guards_reply.then(|| {
            let authorized = charged.authorized();
            let key = vm.mask_key();
            let principal = authorized.counted().entitled().principal();
            let vault = Vault::new(key.clone(), principal.tenancy(), MAX_VAULT);
            let roles = authorized.roles();
            let of = (roles, authorized.guards());
            let mut guard = ReplyGuard::new(&policy, route, of, Masker::new(key), vault, false, None);
            guard.also(permit.guard());
            guard.listed = listed;
            guard.tenant = policy.route_at(route).and_then(|route| body::tenant_in(route, principal));
            guard.is_paid = is_kept;
            Box::new(guard)
        });
        let reply = guard.map_or(Reading::Open(Open), |guard| Reading::Guarded(Guarded(guard)));
        let outgoing =
            Outgoing { edit, reply, verdict: Verdict::Allow, masked: 0, output_cap: None, is_bodyless: true };
        let inspected = Inspected::without_body(charged, &policy, is_own, permit)?;
        self.admit(inspected, None, Tokens::default(), outgoing, vm, host)
    }

    /// What the operator's policy engine said.
    pub(super) fn note_said(&mut self, said: Said) -> Result<Permit, Refused> {
        let Said { decision, reason, remembered, permit, shadow } = said;
        self.account.record.set_authz(decision.name(), reason, remembered);
        self.account.rehearse(shadow.map(Reason::code));
        Ok(permit?)
    }

    /// The last stage.
    fn admit(
        &mut self,
        inspected: Inspected,
        exchange: Option<&Exchange>,
        expected: Tokens,
        outgoing: Outgoing,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let (stage, reserved) = stages::admit(&policy, inspected, exchange, expected, vm.shared_key(), host)?;
        // From here on the reservation is the exchange's: whatever becomes of it, its end settles it.
        self.bill = match (&policy.prices, exchange) {
            (Some(prices), Some(exchange)) if expected != Tokens::default() => {
                Some(prices.dearest(exchange.all_models(), &expected, host.now()))
            }
            _ => None,
        };
        self.reserved = reserved;
        match stage.drawn(&policy, &mut vm.settlements, &mut self.reserved) {
            Stage::Done(admitted) => Ok(self.forward(admitted, outgoing)),
            Stage::Ask(asked) => self.ask(Then::Forward(asked, outgoing), vm, host),
        }
    }

    /// Every stage is passed: the request goes to the upstream.
    pub(super) fn forward(&mut self, admitted: Admitted, outgoing: Outgoing) -> Next {
        let policy = std::sync::Arc::clone(&self.policy);
        let Outgoing { mut edit, reply, verdict, masked, output_cap, is_bodyless } = outgoing;
        self.note_admitted(&admitted);
        self.account.decide(verdict);
        self.account.record.add_masked(masked);
        self.account.record.set_max_tokens(output_cap);
        // In weak mode they have left; without a body there is still time.
        if policy.hold_headers || is_bodyless {
            self.late_headers(&policy, &mut edit);
        }
        Next::new(State::Forwarded(Box::new(Forwarded::new(admitted, reply))), Step::Release(edit))
    }

    /// Refuses a message when its body has told its id.
    fn refuse_later(&self, refused: Refused, edit: Edit) -> Next {
        let (held, now) = if self.policy.hold_headers { (edit, None) } else { (Edit::default(), Some(edit)) };
        let refusing = Refusing { refused, edit: held };
        Next::new(State::Refusing(Box::new(refusing)), now.map_or(Step::NeedMore, Step::Release))
    }

    pub(super) fn refuse(&mut self, refused: impl Into<Refused>) -> Next {
        let Refused { denial, mut headers } = refused.into();
        if headers.is_empty() {
            headers = self.limits.headers();
        }
        self.account.refuse(denial.reason);
        if let (Some(wait), false) = (denial.retry_after, headers.iter().any(|(name, _)| *name == "retry-after")) {
            headers.push(("retry-after", wait.to_string()));
        }
        self.account.record.set_hint(denial.hint.map(Hint::name));
        let refusal = self.refusal(&denial);
        self.account.record.set_status(Some(refusal.status));
        headers.extend(self.id_header());
        if self.policy.audit.response_headers != ResponseHeaders::None {
            headers.push((REASON_HEADER, denial.reason.code().to_owned()));
        }
        if denial.reason == Reason::RouteUpgrade {
            // RFC 9110 section 15.5.22. Clients that try WebSocket first go on with plain requests then.
            headers.push(("upgrade", "HTTP/1.1".to_owned()));
            headers.push(("connection", "upgrade".to_owned()));
        }
        if denial.status() == 401 {
            headers.push(("www-authenticate", self.challenge(denial.reason)));
        }
        headers.push(("content-type", refusal.content_type.to_owned()));
        headers.extend(self.error_header(&denial));
        let body = refusal.body;
        Next::new(Denied, Step::Deny(Reply { status: refusal.status, headers, body, reason: denial.reason.code() }))
    }

    /// Refuses a caller whose cool-down is running.
    fn cooldown(
        &mut self,
        policy: &Policy,
        caller: &Principal,
        vm: &WorkerState,
        host: &mut dyn Host,
    ) -> Result<(), Refused> {
        let Some(cooldown) = policy.quotas.cooldown(caller, vm.shared_key(), host)? else { return Ok(()) };
        if cooldown.mode == Mode::Shadow {
            self.account.rehearse([Reason::AbuseCooldown.code()]);
            return Ok(());
        }
        let wait = cooldown.left.as_nanos().div_ceil(1_000_000_000) as u64;
        let denial = Denial { retry_after: Some(wait), ..Denial::new(Reason::AbuseCooldown) };
        Err(Refused { headers: quota::Limits::default().refusal_headers(&denial), denial })
    }
}
