//! The request: headers, then body, each stage in its order.

use super::edit::apply;
use super::path::forgiving;
use super::plant::plant;
use super::reply::ReplyGuard;
use super::response::Reading;
use super::spotlight::{spotlight, word};
use super::{AwaitingKeys, Edit, Headers, Pending, Refused, Reply, State, Step, Transaction, Vm};
use crate::audit::{self, FindingEntry, REASON_HEADER, Verdict};
use crate::authn::{Authentication, Principal};
use crate::authz::{self, Authorized};
use crate::config::document::{
    DataAction, Mode, Operation, PiiType, ResponseHeaders, SubjectForm, Unmatched, UnscannedAction, UpstreamHeader,
    Zone,
};
use crate::config::{GuardPolicy, Policy, RoutePolicy};
use crate::host::{Host, Timestamp};
use crate::protocol::{Exchange, Json, Protocol, Refusal, UnscannedKind, remove_tools};
use crate::quota::{self, Admitted, Charged, Counted, Estimate, Reservation, Tokens};
use crate::reason::{Denial, Reason};
use crate::redact::{Masker, Vault};
use crate::scan::verdict::{Inspected, Judgement, Place, judge};
use crate::scan::{Budget, Text};

/// Headers that carry credentials: none of them reaches the upstream unless the policy says so.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

impl Transaction {
    pub(super) fn request_headers(
        &mut self,
        headers: Headers<'_>,
        end: bool,
        deadline: Option<Timestamp>,
        vm: &mut Vm,
        host: &mut dyn Host,
    ) -> Result<Step, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let method = headers.text(":method").unwrap_or_default();
        self.record.method = known_method(method);
        self.record.request_id = headers.text("x-request-id").filter(|id| is_request_id(id)).map(str::to_owned);
        let mut edit = Edit { remove: ours(headers), ..Edit::default() };

        let path = headers.text(":path").unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if let Some(answer) = self.resource_metadata(method, path) {
            return Ok(answer);
        }
        let Some(route) = policy.route(path) else {
            let disguised = method == "CONNECT" || policy.route(&forgiving(path)).is_some();
            if disguised || policy.unmatched == Unmatched::Deny {
                return Err(Reason::RouteUnmatched.into());
            }
            self.record.verdict = Verdict::Pass;
            self.record.coverage = Some("none");
            self.state = State::Forwarded { admitted: None, reply: Reading::Open };
            return Ok(Step::Release(edit));
        };
        self.record.route = Some(route.matches.as_str().to_owned());
        self.record.protocol = Some(route.protocol.name());
        self.record.operation = Some(route.operation.as_str());
        if method == "CONNECT" || headers.has("upgrade") || headers.has(":protocol") {
            return Err(Reason::RouteUpgrade.into());
        }

        let authn = policy.authn.authenticate(headers.iter(), &mut vm.tokens, &mut vm.ring, host)?;
        let Authentication::Known(principal) = authn else {
            let patience = policy.authn.patience();
            let deadline = deadline.unwrap_or_else(|| Timestamp(host.now().0.saturating_add(patience)));
            self.state = State::Keys(Box::new(AwaitingKeys { headers: headers.0.to_vec(), end, deadline }));
            return Ok(Step::Await(deadline));
        };
        self.note_caller(&policy, &principal, vm);
        self.cooldown(&policy, &principal, vm, host)?;
        let entitled = authz::entitle(&policy, principal, route.operation, host)?;
        if !route.protocol.methods(route.operation).contains(&method) {
            return Err(Reason::RouteMethod.into());
        }
        let claims = route.protocol.claims(headers.iter())?;
        let identity = entitled.principal().identity();
        self.open_session(&route.protocol, headers, vm.hash_key(), &identity, &mut edit)?;
        let content_length = content_length(headers)?;
        if content_length.is_some_and(|length| length > policy.limits.max_body_bytes) {
            return Err(Reason::BodyTooLarge.into());
        }
        let counted = quota::count(&policy, entitled, vm.shared_key(), host)?;
        if !policy.authn.forwards_token() {
            edit.remove.extend(credentials(headers, &policy));
        }
        self.upstream_headers(&policy, &counted, &mut edit);

        if route.protocol.reads_body(route.operation, method) {
            if end {
                return Err(Reason::BodyMalformed.into());
            }
            let is_form = route.protocol.takes_forms(route.operation) && is_form(headers);
            if route.protocol.takes_any_type() && is_untyped(headers) {
                // Read as JSON here and, whatever the client says or leaves out, there.
                edit.set.push(("content-type", "application/json".to_owned()));
            } else if !is_form {
                content_type(headers)?;
            }
            edit.remove.extend(present(headers, "content-length"));
            readable(headers, &mut edit);
            // In weak mode the header map is gone once the body comes.
            let early = if policy.hold_headers { None } else { Some(std::mem::take(&mut edit)) };
            self.state =
                State::Body(Box::new(Pending { counted, route: route.index, claims, content_length, is_form, edit }));
            return Ok(early.map_or(Step::NeedMore, Step::Release));
        }
        if !end || content_length.is_some_and(|length| length > 0) {
            return Err(Reason::BodyShape.into());
        }
        // A server's own stream comes as the answer to a request without a body.
        let streams = route.protocol == Protocol::Mcp && method == "GET";
        if streams {
            readable(headers, &mut edit);
        }
        let charged = quota::count_rest(&policy, authz::authorize_bodyless(counted), None, vm.shared_key(), host)?;
        self.note_limits(&charged);
        let inspected = Inspected::nothing_to_read(charged);
        let (admitted, reserved) = quota::admit(&policy, inspected, None, Tokens::default(), vm.shared_key(), host)?;
        self.reserve(&admitted, reserved);
        let reply = match streams {
            true => {
                let authorized = admitted.inspected().charged().authorized();
                let key = vm.mask_key();
                let tenant = authorized.counted().entitled().principal().tenancy();
                let vault = Vault::new(key.for_tenant(&tenant), MAX_VAULT);
                let roles = authorized.roles();
                let guard = ReplyGuard::new(&policy, route.index, roles, Masker::new(key), vault, false, None);
                Reading::Guarded(Box::new(guard))
            }
            false => Reading::Open,
        };
        self.state = State::Forwarded { admitted: Some(Box::new(admitted)), reply };
        self.record.verdict = Verdict::Allow;
        self.record.coverage = Some("full");
        self.late_headers(&policy, &mut edit);
        Ok(Step::Release(edit))
    }

    /// What was awaited came, or did not come in time.
    pub(super) fn resumed(&mut self, expired: bool, vm: &mut Vm, host: &mut dyn Host) -> Result<Step, Refused> {
        // A body that never came, in strong mode: see `Worker` of the edge.
        let State::Keys(waiting) = std::mem::take(&mut self.state) else { return Err(Reason::Internal.into()) };
        if expired {
            return Err(Reason::JwtUnavailable.into());
        }
        let AwaitingKeys { headers, end, deadline } = *waiting;
        self.request_headers(Headers(&headers), end, Some(deadline), vm, host)
    }

    /// So many bytes are buffered by the proxy on our behalf.
    pub(super) fn request_buffered(&mut self, bytes: usize, vm: &mut Vm) -> Result<(), Reason> {
        if bytes > self.policy.limits.max_body_bytes {
            return Err(Reason::BodyTooLarge);
        }
        let more = bytes.saturating_sub(self.buffered);
        if !vm.hold_bytes(more, self.policy.limits.max_buffered_bytes_per_worker) {
            return Err(Reason::Overloaded);
        }
        self.buffered = self.buffered.max(bytes);
        Ok(())
    }

    pub(super) fn request_body(&mut self, body: Vec<u8>, vm: &mut Vm, host: &mut dyn Host) -> Result<Edit, Refused> {
        let State::Body(pending) = std::mem::take(&mut self.state) else { return Err(Reason::Internal.into()) };
        let Pending { counted, route, claims, content_length, is_form, edit } = *pending;
        let policy = std::sync::Arc::clone(&self.policy);
        self.request_buffered(body.len(), vm)?;
        self.record.body_bytes = Some(body.len() as u64);
        self.record.fingerprint = Some(vm.hash_key().hex(&[b"body", &body]));
        if content_length.is_some_and(|announced| announced != body.len()) {
            return Err(Reason::BodyLength.into());
        }
        let route = policy.route_at(route).ok_or(Reason::Internal)?;

        let mut json = match is_form {
            true => Json::Null,
            false => Json::parse(&body, policy.limits.max_json_depth)?,
        };
        self.rpc_id = route.protocol.request_id(&json);
        if let Some(claims) = claims {
            claims.check(&json)?;
        }
        let mut exchange = match is_form {
            true => route.protocol.read_form(route.operation),
            false => route.protocol.read(route.operation, &json)?,
        };
        self.note_model(&policy, &exchange.model, vm);
        let authorized = authz::authorize(&policy, counted, &exchange)?;
        self.note_grant(&policy, &authorized);
        if authorized.removes_tools() {
            exchange = self.without_tools(&policy, route, &authorized, &mut json, &exchange)?;
        }
        let charged = quota::count_rest(&policy, authorized, Some(&exchange.model), vm.shared_key(), host)?;
        self.note_limits(&charged);

        let scan = Scan { policy: &policy, route, json: &json, exchange: &exchange, authorized: charged.authorized() };
        let (judgement, places) = scan.run(vm, host);
        self.note_judgement(&scan, &judgement, &places);
        self.unscanned(&policy, &exchange, &judgement)?;
        let cap = output_cap(&policy, &exchange, charged.authorized());
        if judgement.denial == Some(Reason::ScanInjection) {
            let caller = charged.authorized().counted().entitled().principal();
            // A store that fails changes nothing about the refusal.
            let begun = policy.quotas.strike(caller, vm.shared_key(), host).ok().flatten();
            self.record.cooldown_secs = begun.map(|cooldown| cooldown.left.as_secs());
        }
        let inspected = Inspected::judged(charged, &judgement)?;
        let expected = expected(&policy, route, &json, &exchange, cap);
        let model = Some(exchange.model.as_str());
        let (admitted, reserved) = quota::admit(&policy, inspected, model, expected, vm.shared_key(), host)?;
        let asks_usage = policy.asks_usage() || reserved.holds_tokens();
        self.reserve(&admitted, reserved);

        let authorized = admitted.inspected().charged().authorized();
        let tenant = authorized.counted().entitled().principal().tenancy();
        let key = vm.mask_key();
        let mut vault = Vault::new(key.for_tenant(&tenant), MAX_VAULT);
        let mut masker = Masker::new(key);
        let restores = restores(&policy, authorized.roles());
        let applied = apply(&mut json, &exchange, judgement.outcomes, cap, &mut masker, &mut vault, restores);
        // The counts of a stream that tells them only when asked.
        let asked = asks_usage && exchange.stream && route.protocol.ask_usage(route.operation, &mut json);
        let planted = plant(&policy, route, authorized.roles(), &mut json, &tenant, vm.hash_key(), host.now());
        let lit = spotlight(&policy, route, authorized.roles(), &mut json, &exchange, || {
            word(vm.hash_key(), &tenant, host.now())
        });
        let rewritten = asked || lit || planted.is_some() || self.record.tools_removed > 0;
        let mut guard = ReplyGuard::new(&policy, route.index, authorized.roles(), masker, vault, asked, planted);
        guard.most_output = cap.map(|_| expected.output).filter(|output| *output > 0);
        self.record.masked = applied.masked;
        self.record.max_tokens = applied.output_cap;
        self.record.verdict = match applied {
            _ if applied.replaced > 0 || self.record.tools_removed > 0 => Verdict::Replace,
            _ if applied.masked > 0 => Verdict::Mask,
            _ => Verdict::Allow,
        };
        let mut edit = edit;
        edit.body = (applied.changed || rewritten).then(|| json.to_bytes());
        if policy.hold_headers {
            let length = edit.body.as_ref().map_or(body.len(), Vec::len);
            edit.set.push(("content-length", length.to_string()));
            self.late_headers(&policy, &mut edit);
        }
        self.state = State::Forwarded { admitted: Some(Box::new(admitted)), reply: Reading::Guarded(Box::new(guard)) };
        Ok(edit)
    }

    /// Takes out the tools that the role may not use, and reads what is left.
    fn without_tools<'j>(
        &mut self,
        policy: &Policy,
        route: &RoutePolicy,
        authorized: &Authorized,
        json: &mut Json<'j>,
        exchange: &Exchange,
    ) -> Result<Exchange, Refused> {
        let others = exchange.tools.iter().filter(|tool| !authorized.may_use(policy, &tool.name));
        let paths: Vec<_> = others.filter_map(|tool| tool.path.as_ref()).collect();
        self.record.tools_removed = paths.len() as u64;
        remove_tools(json, paths);
        let exchange = route.protocol.read(route.operation, json)?;
        if exchange.tools.iter().all(|tool| authorized.may_use(policy, &tool.name)) {
            Ok(exchange)
        } else {
            Err(Denial::new(Reason::RbacTool).with_param("tools").into())
        }
    }

    pub(super) fn refuse(&mut self, refused: impl Into<Refused>) -> Step {
        let Refused { denial, mut headers } = refused.into();
        self.state = State::Refused;
        self.record.refused(denial.reason);
        let refusal = self.refusal(&denial);
        if self.policy.audit.response_headers == ResponseHeaders::Denials {
            headers.push((REASON_HEADER, denial.reason.code().to_owned()));
        }
        if denial.status() == 401 {
            headers.push(("www-authenticate", self.challenge(denial.reason)));
        }
        headers.push(("content-type", refusal.content_type.to_owned()));
        Step::Deny(Reply { status: refusal.status, headers, body: refusal.body, reason: denial.reason.code() })
    }

    /// A refusal in the words of the caller's protocol.
    pub(super) fn refusal(&self, denial: &Denial) -> Refusal {
        self.protocol().unwrap_or(&Protocol::Openai).refuse(denial, self.rpc_id.as_deref())
    }

    fn protocol(&self) -> Option<&Protocol> {
        let path = self.record.route.as_deref()?;
        self.policy.routes.iter().find(|route| route.matches.as_str() == path).map(|route| &route.protocol)
    }

    fn note_caller(&mut self, policy: &Policy, principal: &Principal, vm: &Vm) {
        self.record.issuer = Some(principal.issuer_name().to_owned());
        self.record.roles =
            principal.roles().iter().filter_map(|role| policy.role_at(*role)).map(|role| role.name.clone()).collect();
        let hashed = |kind: &[u8], bytes: &[u8]| vm.hash_key().hex(&[kind, bytes]);
        match policy.audit.subject {
            SubjectForm::Hashed => {
                self.record.user_hash = Some(hashed(b"subject", &principal.identity()));
                self.record.tenant = principal.tenant().map(|_| hashed(b"tenant", &principal.tenancy()));
            }
            SubjectForm::Plain => {
                self.record.user_id = Some(principal.subject().to_owned());
                self.record.tenant = principal.tenant().map(str::to_owned);
            }
            SubjectForm::Omitted => {}
        }
    }

    /// A model that the policy writes out is no secret; any other name is the caller's own text.
    fn note_model(&mut self, policy: &Policy, model: &str, vm: &Vm) {
        let named =
            policy.roles.iter().flat_map(|role| &role.models).any(|glob| glob.is_literal() && glob.matches(model));
        self.record.model =
            Some(if named { model.to_owned() } else { vm.hash_key().hex(&[b"model", model.as_bytes()]) });
    }

    fn note_grant(&mut self, policy: &Policy, authorized: &Authorized) {
        self.record.roles =
            authorized.roles().iter().filter_map(|role| policy.role_at(*role)).map(|role| role.name.clone()).collect();
        self.record.shadow.extend(authorized.shadow().map(Reason::code));
    }

    fn note_limits(&mut self, charged: &Charged) {
        self.record.shadow.extend(charged.limits().shadow.iter().map(|reason| reason.code()));
    }

    /// Refuses a caller whose cool-down is running.
    fn cooldown(&mut self, policy: &Policy, caller: &Principal, vm: &Vm, host: &mut dyn Host) -> Result<(), Refused> {
        let Some(cooldown) = policy.quotas.cooldown(caller, vm.shared_key(), host)? else { return Ok(()) };
        if cooldown.mode == Mode::Shadow {
            self.record.shadow.push(Reason::AbuseCooldown.code());
            return Ok(());
        }
        let wait = cooldown.left.as_nanos().div_ceil(1_000_000_000) as u64;
        let denial = Denial { retry_after: Some(wait), ..Denial::new(Reason::AbuseCooldown) };
        Err(Refused { headers: quota::Limits::default().refusal_headers(&denial), denial })
    }

    /// From here on the reservation is the exchange's: whatever becomes of it, its end settles it.
    fn reserve(&mut self, admitted: &Admitted, reserved: Reservation) {
        let noted = admitted.inspected().charged().limits().shadow.len();
        self.record.shadow.extend(admitted.limits().shadow.iter().skip(noted).map(|reason| reason.code()));
        if reserved.holds_tokens() {
            self.record.reserved_input = Some(reserved.expected().input);
            self.record.reserved_output = Some(reserved.expected().output);
        }
        self.reserved = Some(reserved);
    }

    fn note_judgement(&mut self, scan: &Scan<'_, '_>, judgement: &Judgement, places: &[Place]) {
        let Scan { policy, route, json, exchange, .. } = scan;
        self.record.score = Some(judgement.score);
        self.record.shadow.extend(judgement.shadow.iter().map(|reason| reason.code()));
        for judged in &judgement.findings {
            let card = policy.scanner.cards().get(usize::from(judged.finding.rule.0));
            let (Some(card), Some(place), Some(segment)) =
                (card, places.get(judged.text), exchange.segments.get(judged.text))
            else {
                continue;
            };
            self.record.finding(FindingEntry {
                rule: card.id.clone(),
                zone: place.zone.as_str(),
                path: json.pointer(&segment.path, &|key| route.protocol.knows_key(key)),
                start: judged.finding.span.start,
                end: judged.finding.span.end,
                transforms: judged.finding.chain.clone(),
                action: judged.action,
            });
        }
    }

    /// What was not scanned is recorded, and the policy decides.
    fn unscanned(&mut self, policy: &Policy, exchange: &Exchange, judgement: &Judgement) -> Result<(), Reason> {
        let mut kinds: Vec<UnscannedKind> = exchange.unscanned.iter().map(|(kind, _)| *kind).collect();
        if judgement.incomplete {
            kinds.push(UnscannedKind::Budget);
        }
        kinds.sort_unstable();
        kinds.dedup();
        self.record.coverage = Some(if kinds.is_empty() { "full" } else { "partial" });
        self.record.unscanned = kinds.iter().map(|kind| kind.name()).collect();
        let denied = kinds.iter().any(|kind| policy.unscanned.action(*kind) == UnscannedAction::Deny);
        if denied { Err(Reason::BodyUnscanned) } else { Ok(()) }
    }

    /// The headers that are known before the body is.
    fn upstream_headers(&self, policy: &Policy, counted: &Counted, edit: &mut Edit) {
        let principal = counted.entitled().principal();
        for header in &policy.audit.upstream_headers {
            let (name, value) = match header {
                UpstreamHeader::Subject => ("x-bartizan-subject", Some(header_safe(principal.subject()))),
                UpstreamHeader::Tenant => ("x-bartizan-tenant", principal.tenant().map(header_safe)),
                UpstreamHeader::Roles => {
                    let names: Vec<&str> = principal
                        .roles()
                        .iter()
                        .filter_map(|role| policy.role_at(*role))
                        .map(|role| role.name.as_str())
                        .collect();
                    ("x-bartizan-roles", Some(header_safe(&names.join(","))))
                }
                UpstreamHeader::Policy => {
                    ("x-bartizan-policy", Some(format!("{}@{}", policy.name, policy.digest_short())))
                }
                UpstreamHeader::Decision | UpstreamHeader::Score | UpstreamHeader::Coverage => continue,
            };
            if let Some(value) = value {
                edit.set.push((name, value));
            }
        }
    }

    /// The headers that are known when the request is judged.
    fn late_headers(&self, policy: &Policy, edit: &mut Edit) {
        for header in &policy.audit.upstream_headers {
            let (name, value) = match header {
                UpstreamHeader::Decision if !self.record.shadow.is_empty() => {
                    ("x-bartizan-decision", "shadow".to_owned())
                }
                UpstreamHeader::Decision => ("x-bartizan-decision", self.record.verdict.name().to_owned()),
                UpstreamHeader::Score => ("x-bartizan-score", self.record.score.unwrap_or(0).to_string()),
                UpstreamHeader::Coverage => ("x-bartizan-coverage", self.record.coverage.unwrap_or("none").to_owned()),
                _ => continue,
            };
            edit.set.push((name, value));
        }
    }
}

/// What one scan needs.
struct Scan<'s, 'j> {
    policy: &'s Policy,
    route: &'s RoutePolicy,
    json: &'s Json<'j>,
    exchange: &'s Exchange,
    authorized: &'s Authorized,
}

impl Scan<'_, '_> {
    fn run(&self, vm: &mut Vm, host: &mut dyn Host) -> (Judgement, Vec<Place>) {
        let Scan { policy, route, json, exchange, authorized } = self;
        let texts: Vec<Text<'_>> = exchange
            .segments
            .iter()
            .map(|segment| {
                let text = if segment.is_key {
                    json.key_at(&segment.path)
                } else {
                    json.at(&segment.path).and_then(Json::as_str)
                };
                Text { zone: segment.zone, text: text.unwrap_or_default() }
            })
            .collect();
        let limits = &policy.limits;
        let budget = Budget { scan_bytes: limits.max_scan_bytes, decoded_bytes: limits.max_decoded_bytes };
        let report = policy.scanner.scan_with(vm.verdicts(policy), &texts, budget);
        let trusted: Vec<Zone> = Zone::ALL.iter().copied().filter(|zone| authorized.may_write(policy, *zone)).collect();
        let places: Vec<Place> = exchange
            .segments
            .iter()
            .map(|segment| Place {
                zone: segment.zone,
                position: segment.position,
                is_key: segment.is_key,
                trusted: trusted.contains(&segment.zone),
            })
            .collect();
        let judgement = judge(&policy.scanner, &self.guards(), route.index, &places, report, host.now());
        (judgement, places)
    }

    /// The guards of the granting roles, each once.
    fn guards(&self) -> Vec<&GuardPolicy> {
        let mut indexes: Vec<_> = self
            .authorized
            .roles()
            .iter()
            .filter_map(|role| self.policy.role_at(*role))
            .map(|role| role.guard)
            .collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.into_iter().filter_map(|index| self.policy.guard(index)).collect()
    }
}

/// The cap on output tokens for the upstream: the roles', or where a quota counts output and nobody sets a cap, the
/// policy's default, so that no request uses more than was held for it.
fn output_cap(policy: &Policy, exchange: &Exchange, authorized: &Authorized) -> Option<u64> {
    let default = || policy.quotas.count_output(authorized.roles()).then_some(policy.limits.default_output_tokens);
    match &exchange.output_cap {
        Some(_) => authorized.output_cap(),
        None => authorized.output_cap().or_else(default),
    }
}

/// Tokens that a message, a tool's description or a parameter takes beside its text.
const FRAME_TOKENS: u64 = 4;

/// What a request is expected to use at most.
fn expected(policy: &Policy, route: &RoutePolicy, json: &Json<'_>, exchange: &Exchange, cap: Option<u64>) -> Tokens {
    let text = |segment: &crate::protocol::Segment| {
        if segment.is_key { json.key_at(&segment.path) } else { json.at(&segment.path).and_then(Json::as_str) }
    };
    if !matches!(
        route.operation,
        Operation::Chat
            | Operation::Generate
            | Operation::Completions
            | Operation::Responses
            | Operation::Embeddings
            | Operation::Images
            | Operation::Audio
    ) {
        return Tokens::default();
    }
    let texts = exchange.segments.iter().filter_map(text).map(|text| Estimate::of(text).tokens() + FRAME_TOKENS);
    let unread = exchange.unscanned.iter().map(|(kind, _)| quota::unread(*kind));
    let input = texts.chain(unread).fold(0, u64::saturating_add);
    let most = match (&exchange.output_cap, cap) {
        (Some(asked), Some(cap)) => asked.tokens.min(cap),
        (Some(asked), None) => asked.tokens,
        (None, cap) => cap.unwrap_or(policy.limits.default_output_tokens),
    };
    let answers = match route.operation {
        Operation::Chat | Operation::Generate | Operation::Completions | Operation::Responses => {
            exchange.choices.max(1)
        }
        _ => 0,
    };
    Tokens { input, output: most.saturating_mul(answers) }
}

/// The most that values to be restored may take in one request, in bytes.
const MAX_VAULT: usize = 1 << 20;

/// True when a guard of these roles gives values back.
fn restores(policy: &Policy, roles: &[crate::authn::RoleIndex]) -> bool {
    let guards = roles.iter().filter_map(|role| policy.role_at(*role)).filter_map(|role| policy.guard(role.guard));
    let restore = Some(DataAction::Restore);
    guards.into_iter().any(|guard| {
        guard.secrets == DataAction::Restore || PiiType::ALL.iter().any(|kind| guard.pii.action(*kind) == restore)
    })
}

/// The names of ours that somebody else sent.
pub(super) fn ours(headers: Headers<'_>) -> Vec<Vec<u8>> {
    headers.iter().filter(|(name, _)| audit::is_ours(name)).map(|(name, _)| name.to_vec()).collect()
}

fn credentials(headers: Headers<'_>, policy: &Policy) -> Vec<Vec<u8>> {
    let carries = |name: &[u8]| {
        CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            || policy.authn.token_headers().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    headers.iter().filter(|(name, _)| carries(name)).map(|(name, _)| name.to_vec()).collect()
}

fn present(headers: Headers<'_>, name: &str) -> Option<Vec<u8>> {
    headers.has(name).then(|| name.as_bytes().to_vec())
}

/// Asks for a reply that can be read, and changed at its end: with trailers that could not be.
fn readable(headers: Headers<'_>, edit: &mut Edit) {
    edit.remove.extend(present(headers, "te"));
    if headers.has("accept-encoding") {
        edit.set.push(("accept-encoding", "identity".to_owned()));
    }
}

/// The announced length of the body.
fn content_length(headers: Headers<'_>) -> Result<Option<usize>, Reason> {
    let Some(value) = headers.value("content-length") else { return Ok(None) };
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).map(Some).ok_or(Reason::BodyLength)
}

/// JSON in UTF-8, not compressed. Anything else can't be read, and so can't be guarded.
fn content_type(headers: Headers<'_>) -> Result<(), Reason> {
    if headers.all("content-encoding").any(|value| !value.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(Reason::BodyEncoding);
    }
    let mut values = headers.all("content-type");
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Reason::BodyContentType) };
    let text = std::str::from_utf8(value).map_err(|_| Reason::BodyContentType)?;
    let mut parts = text.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(Reason::BodyContentType);
    }
    let utf8 = |part: &str| {
        let Some((name, value)) = part.split_once('=') else { return true };
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    if parts.all(utf8) { Ok(()) } else { Err(Reason::BodyContentType) }
}

/// No content type, or the one that `curl -d` makes up.
fn is_untyped(headers: Headers<'_>) -> bool {
    let encoded = headers.all("content-encoding").next().is_some();
    let mut values = headers.all("content-type");
    let made_up = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
    !encoded && values.next().is_none_or(made_up) && values.next().is_none()
}

/// A form of files: its content type alone says so.
fn is_form(headers: Headers<'_>) -> bool {
    let mut values = headers.all("content-type");
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"multipart/form-data")
}

fn known_method(method: &str) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
        .into_iter()
        .find(|known| *known == method)
}

/// Envoy's own ids are UUIDs; a client may send what it likes, so only the form is let through.
fn is_request_id(id: &str) -> bool {
    (8..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// A value that can stand in a header: what is not printable ASCII is percent-escaped.
fn header_safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x20 | 0x7f.. => {
                out.push('%');
                out.extend(
                    [byte >> 4, byte & 15]
                        .map(|nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()),
                );
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}
