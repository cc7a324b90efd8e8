//! The request's body: read, authorized, scanned, counted, rewritten.

use super::MAX_VAULT;
use super::signed::keep_signed;
use super::upload;
use crate::audit::Verdict;
use crate::authn::Principal;
use crate::authz;
use crate::consult::opa::{self, Permit};
use crate::consult::opinion::{self, Exhibit, Heard, Opinion, OpinionPolicy, Shown};
use crate::document::{AskUsage, LinesAction, OpinionText};
use crate::enums::{DataAction, Mode, Operation, PiiType};
use crate::estimate::Estimate;
use crate::guard::narrow;
use crate::guard::plant;
use crate::guard::{GuardPolicy, OpinionIndex};
use crate::guard::{NOTICE, Outcome, Place, judge};
use crate::guard::{spotlight, word};
use crate::host::{Host, Timestamp};
use crate::models::Deprecation;
use crate::policy::Policy;
use crate::protocol::signed::drop_blocks;
use crate::protocol::{
    Asserted, Exchange, Json, NO_LIMIT, Position, ReadsLines, Segment, UnscannedKind, asks_for_addresses, instructs,
    remove_tools,
};
use crate::quota::{self, Tokens, Whose};
use crate::reason::{Denial, Reason};
use crate::redact::{Masker, Vault};
use crate::route::{RouteIndex, RoutePolicy};
use crate::scan::Text;
use crate::sorted;
use crate::transaction::context::Context;
use crate::transaction::pending_call::{Held, Outgoing, Permitting, Then};
use crate::transaction::reading::{Guarded, Reading};
use crate::transaction::reply::ReplyGuard;
use crate::transaction::rewrite::apply;
use crate::transaction::stages::{self, Authorized, Counted, Means, Scanned, Scanning, Scans, TextNote};
use crate::transaction::{Edit, Event, Next, Refused, State, WorkerState};
use std::collections::BTreeSet;

/// A request whose body is on its way.
#[derive(Debug)]
pub(in crate::transaction) struct AwaitingBody {
    pub(super) counted: Counted,
    pub(super) route: RouteIndex,
    /// What the headers say of the body.
    pub(super) asserted: Option<Box<dyn Asserted>>,
    /// The model that the path names, where it names one.
    pub(super) path_model: Option<String>,
    /// The id of what the provider keeps and the path names.
    pub(super) kept: Option<String>,
    pub(super) content_length: Option<usize>,
    /// The body is a form of files, and this is its content type.
    pub(super) form: Option<String>,
    /// Header changes that wait for the release (strong mode), or nothing (weak mode).
    pub(super) edit: Edit,
}

impl AwaitingBody {
    pub(in crate::transaction) fn handle(
        self: Box<Self>,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let Event::RequestBody(body) = event else { return context.otherwise(State::Body(self), event, vm, host) };
        let next = context.request_body(*self, body, vm, host);
        context.judged(next, vm)
    }
}

/// A refused request whose body tells how to say so.
#[derive(Debug)]
pub(in crate::transaction) struct Refusing {
    pub(super) refused: Refused,
    /// Header changes that wait for the release (strong mode), or nothing (weak mode).
    pub(super) edit: Edit,
}

impl Refusing {
    pub(in crate::transaction) fn handle(
        self: Box<Self>,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let Event::RequestBody(body) = event else {
            return context.otherwise(State::Refusing(self), event, vm, host);
        };
        let refused = context.refused_before(*self, &body, vm, host);
        context.judged(Err(refused), vm)
    }
}

/// How far a body comes by itself.
pub(super) enum Inspection {
    Done(Next),
    /// The scan of its texts takes longer.
    Scan(Box<Held>, Scanning),
    /// Somebody is asked first. Then all is judged again.
    Ask(Box<Held>, Asking),
}

/// Who is asked.
pub(super) enum Asking {
    /// An outside judge of its texts.
    Opinion(Box<opinion::Question>),
    /// The operator's policy engine: by then another guard may hold.
    Engine(opa::Question),
}

impl Context {
    fn request_body(
        &mut self,
        awaiting: AwaitingBody,
        body: Vec<u8>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let AwaitingBody { counted, route, asserted, path_model, kept, content_length, form, edit } = awaiting;
        let policy = std::sync::Arc::clone(&self.policy);
        self.request_buffered(body.len(), vm, host)?;
        self.account.record.set_body(body.len(), vm.hash_key().hex(&[b"body", &body]));
        if content_length.is_some_and(|announced| announced != body.len()) {
            return Err(Reason::BodyLength.into());
        }
        let route = policy.route_at(route).ok_or(Reason::Internal)?;

        let mut json = parsed(&policy, route, &body, form.as_deref())?;
        let is_confined = confine(route, counted.entitled().principal(), &mut json)?;
        self.rpc_id = route.protocol.request_id(&json);
        self.note_message(&json, &edit);
        if let Some(asserted) = &asserted {
            asserted.check(&json)?;
        }
        let path_model = path_model.as_deref();
        let mut exchange = exchange(&policy, route, &mut json, (path_model, form.is_some(), asserted.as_deref()))?;
        self.alias_of_path(&mut exchange);
        self.note_exchange(&policy, &exchange, vm);
        self.note_texts(&json, &exchange);
        let authorized = stages::authorize(&policy, counted, (&exchange, body.len()), host.now())?;
        self.note_grant(&policy, &authorized);
        self.within_life(&policy, &exchange, host.now())?;
        if form.is_some() {
            upload::within(&exchange, authorized.output_cap())?;
        }
        if authorized.removes_tools() {
            exchange = self.without_tools(&policy, (route, path_model), &authorized, &mut json, &exchange)?;
        }
        exchange.goes_on_with(kept.clone());
        exchange.pass_credentials(|tool| authorized.may_use(&policy, tool));
        let is_bounded = cap_results(route, &authorized, &mut json)? || is_confined;
        let charged = stages::count_rest(&policy, authorized, Some(&exchange), vm.shared_key(), host)?;
        self.note_limits(&charged);
        let permit = Permit::without(policy.engine.as_ref());
        let path_model = path_model.map(str::to_owned);
        let (heard, is_renamed, route, scans) = (Heard::default(), false, route.index, Scans::default());
        let held = Held {
            charged,
            permit,
            heard,
            is_renamed,
            is_bounded,
            route,
            asserted,
            path_model,
            kept,
            form,
            edit,
            scans,
        };
        let inspection = self.inspect(held, &body, json, exchange, vm, host)?;
        self.inspected(inspection, body, vm, host)
    }

    /// Goes on, or asks what must be asked.
    pub(super) fn inspected(
        &mut self,
        inspection: Inspection,
        body: Vec<u8>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        match inspection {
            Inspection::Done(next) => Ok(next),
            Inspection::Scan(held, scanning) => self.scan_later(held, scanning, body, vm, host),
            Inspection::Ask(held, Asking::Engine(question)) => {
                self.ask(Then::Permit(question, Permitting::Body(held, body)), vm, host)
            }
            Inspection::Ask(held, Asking::Opinion(question)) => {
                self.asking = Some(question.opinion);
                self.ask(Then::Hear(question, held, body), vm, host)
            }
        }
    }

    /// An outside judge has answered: the request is judged once more.
    pub(in crate::transaction) fn heard(
        &mut self,
        mut held: Held,
        opinion: Opinion,
        body: Vec<u8>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        held.heard.add(opinion);
        let inspection = self.again(held, None, &body, vm, host)?;
        self.inspected(inspection, body, vm, host)
    }

    /// The operator's policy engine permits the request: it is read once more, and judged as the engine wants.
    pub(in crate::transaction) fn permitted(
        &mut self,
        held: Held,
        permit: Permit,
        body: Vec<u8>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let inspection = self.again(held, Some(permit), &body, vm, host)?;
        self.inspected(inspection, body, vm, host)
    }

    /// Reads the body once more. `granted`: the policy engine's permit has just come.
    pub(super) fn again(
        &mut self,
        mut held: Held,
        granted: Option<Permit>,
        body: &[u8],
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Inspection, Refused> {
        let policy = std::sync::Arc::clone(&self.policy);
        let route = policy.route_at(held.route).ok_or(Reason::Internal)?;
        let mut json = parsed(&policy, route, body, held.form.as_deref())?;
        held.is_bounded = confine(route, held.charged.authorized().counted().entitled().principal(), &mut json)?;
        let path_model = held.path_model.as_deref();
        let how = (path_model, held.form.is_some(), held.asserted.as_deref());
        let mut exchange = exchange(&policy, route, &mut json, how)?;
        self.alias_of_path(&mut exchange);
        let model = granted.as_ref().or(held.permit.as_ref()).and_then(Permit::model);
        if let Some(model) = model.filter(|model| *model != exchange.asked()) {
            rename_model(&mut json, &exchange, model, how)?;
            exchange = self::exchange(&policy, route, &mut json, how)?;
            self.note_exchange(&policy, &exchange, vm);
            held.is_renamed = true;
        }
        // The grant is for the whole request: tools are taken out by the one that holds now.
        if let Some(permit) = granted {
            let body = Some((&exchange, body.len()));
            held.charged =
                stages::oblige(&policy, held.charged, (&permit, held.is_renamed), body, vm.shared_key(), host)?;
            self.note_limits(&held.charged);
            if held.is_renamed {
                self.note_grant(&policy, held.charged.authorized());
                self.within_life(&policy, &exchange, host.now())?;
            }
            held.permit = Some(permit);
        }
        let authorized = held.charged.authorized();
        if authorized.removes_tools() {
            exchange = self.without_tools(&policy, (route, path_model), authorized, &mut json, &exchange)?;
        }
        exchange.pass_credentials(|tool| authorized.may_use(&policy, tool));
        exchange.goes_on_with(held.kept.clone());
        held.is_bounded |= cap_results(route, held.charged.authorized(), &mut json)?;
        self.inspect(held, body, json, exchange, vm, host)
    }

    /// Scans, judges and rewrites the body.
    fn inspect(
        &mut self,
        held: Held,
        body: &[u8],
        mut json: Json<'_>,
        exchange: Exchange,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Inspection, Refused> {
        let Held {
            charged,
            permit,
            heard,
            is_renamed,
            is_bounded,
            route,
            asserted,
            path_model,
            kept,
            form,
            edit,
            scans,
        } = held;
        let policy = std::sync::Arc::clone(&self.policy);
        let route = policy.route_at(route).ok_or(Reason::Internal)?;
        let is_form = form.is_some();
        let removes_tools = charged.authorized().removes_tools();
        if !exchange.tools.is_empty() {
            self.note_tools(&policy, charged.authorized(), &exchange, vm);
        }
        let guards = stages::guards_of(&policy, charged.authorized(), permit.as_ref());
        let restores = guards.iter().any(|guard| guard.restores());
        let scan = Scan { policy: &policy, route, json: &json, exchange: &exchange, guards: &guards };
        let caller = std::sync::Arc::clone(charged.authorized().counted().entitled().principal());
        let is_own = is_own(&policy, &caller, &exchange, vm, host)?;
        let (mut charged, mut heard, mut scans) = (charged, heard, scans);
        let asks_others = policy.engine.is_some() || !policy.opinions.is_empty();
        let (scanned, dropped) = loop {
            let (texts, steps) = ((&json, &exchange), vm.steps());
            let known = &mut scans.reported;
            let means = Means { known, keeps: asks_others, memory: vm.verdicts(&policy), steps };
            let scanned = stages::scan(&policy, route, charged, (permit.as_ref(), &heard), texts, means, host.now());
            let mut scanned = match scanned {
                Ok(scanned) => scanned,
                Err(rest) => {
                    let (charged, scanning) = *rest;
                    let route = route.index;
                    let held = Held {
                        charged,
                        permit,
                        heard,
                        is_renamed,
                        is_bounded,
                        route,
                        asserted,
                        path_model,
                        kept,
                        form,
                        edit,
                        scans,
                    };
                    return Ok(Inspection::Scan(Box::new(held), scanning));
                }
            };
            let (judgement, places) = scanned.judgement_mut();
            let dropped = keep_signed(policy.signed, &json, &exchange, restores, judgement);
            // Where an outside judge had a say, a part by itself is not what was judged.
            let views = heard.by_text();
            let text = |index: usize| scan.text(index).filter(|_| !views.contains_key(&index));
            let mut again = |place: &Place, text: &str| scan.again(place, text, vm, host);
            narrow(judgement, places, &text, &mut again);
            let local = scanned.refusal(&policy, &exchange, is_own);
            let asked = loop {
                match second_opinion(&scan, &scanned, (&heard, local), vm, host.now()) {
                    // It changes nothing: the scan holds.
                    Some(opinion::Asked::Known(opinion)) if opinion.texts.is_empty() => heard.add(opinion),
                    asked => break asked,
                }
            };
            match asked {
                None => break (scanned, dropped),
                Some(opinion::Asked::Known(opinion)) => {
                    charged = scanned.back();
                    heard.add(opinion);
                }
                Some(opinion::Asked::Ask(question)) => {
                    let charged = scanned.back();
                    let route = route.index;
                    let held = Held {
                        charged,
                        permit,
                        heard,
                        is_renamed,
                        is_bounded,
                        route,
                        asserted,
                        path_model,
                        kept,
                        form,
                        edit,
                        scans,
                    };
                    return Ok(Inspection::Ask(Box::new(held), Asking::Opinion(question)));
                }
            }
        };
        let refusal = scanned.refusal(&policy, &exchange, is_own).or(heard.refusal());
        // What is refused anyway asks nobody.
        if let (None, None, Some(engine)) = (&permit, refusal, &policy.engine) {
            self.note_opinions(&policy, &heard);
            self.note_findings(&scan, scanned.judgement(), scanned.places());
            self.note_unscanned(&scanned.unscanned(&exchange), &exchange.unknown);
            if !scanned.judgement().findings.is_empty() {
                self.keep_body(body);
            }
            let changes = !dropped.is_empty();
            let input = self.input(&policy, route, (&scanned, &exchange, &json), (body.len(), changes), host);
            let asked = engine.ask(&input, &vm.permits, vm.hash_key(), host.now());
            let (charged, route) = (scanned.back(), route.index);
            let held = Held {
                charged,
                permit,
                heard,
                is_renamed,
                is_bounded,
                route,
                asserted,
                path_model,
                kept,
                form,
                edit,
                scans,
            };
            return match asked {
                opa::Asked::Ask(question) => Ok(Inspection::Ask(Box::new(held), Asking::Engine(question))),
                opa::Asked::Known(said) => {
                    let permit = self.note_said(*said)?;
                    drop(json);
                    self.again(held, Some(permit), body, vm, host)
                }
            };
        }
        self.note_opinions(&policy, &heard);
        self.note_judgement(&scan, scanned.judgement(), scanned.places());
        let judgement = scanned.judgement();
        if !judgement.findings.is_empty() || judgement.denial().is_some() {
            self.keep_body(body);
        }
        if !judgement.struck.is_empty() {
            let texts = judgement.struck.iter().filter_map(|index| scan.text(*index));
            let strike = quota::Strike::new(&caller, texts);
            if strike.is_some() && policy.quotas.counts_strikes() {
                self.account.record.set_strike();
            }
            let begun = strike.and_then(|strike| vm.strike(&policy, strike, host));
            self.account.record.set_cooldown(begun.map(|cooldown| cooldown.left.as_secs()));
        }
        self.note_unscanned(&scanned.unscanned(&exchange), &exchange.unknown);
        if let (None, Some(reason)) = (scanned.refusal(&policy, &exchange, is_own), heard.refusal()) {
            return Err(reason.into());
        }
        let roles = stages::counting(scanned.charged().authorized(), permit.as_ref());
        let quotas = scanned.charged().authorized().quotas_of(&roles);
        let cap = output_cap(&policy, &exchange, scanned.charged().authorized(), (permit.as_ref(), quotas));
        if is_form {
            upload::within(&exchange, cap)?;
        }
        let fault = is_form.then(|| upload::fault(&json, &exchange, scanned.judgement())).flatten();
        let (inspected, judgement) =
            scanned.decide(&policy, &exchange, is_own, permit).map_err(|reason| upload::at(fault, reason))?;
        if is_form {
            upload::unchanged(&judgement.outcomes, fault, dropped.is_empty())?;
        }
        for (segment, outcome) in exchange.segments.iter().zip(&judgement.outcomes) {
            if !matches!(outcome, Outcome::Keep) && route.protocol.is_fixed(&json, segment) {
                upload::unchanged(std::slice::from_ref(outcome), None, true)?;
            }
        }
        let (texts, unread) = expected(&policy, route, &json, &exchange, cap);
        let mut expected = Tokens { input: texts.input.saturating_add(unread), ..texts };
        let authorized = inspected.charged().authorized();
        let counts_tokens = policy.quotas.counts_tokens(authorized.quotas_of(&roles), expected);
        if counts_tokens {
            let caller = authorized.counted().entitled().principal();
            let owner = if caller.tenant().is_some() { caller.tenancy() } else { caller.identity() };
            let gauge = vm.ratios.gauge(&route.written, &exchange.model, &owner, texts.input);
            expected.input = vm.ratios.tokens(&gauge, host.now()).saturating_add(unread);
            self.gauge = Some(gauge);
        }
        let asks_usage = policy.asks_usage() || counts_tokens;
        let tenant = authorized.counted().entitled().principal().tenancy();
        let key = vm.mask_key();
        let mut vault = Vault::new(key.clone(), tenant.clone(), MAX_VAULT);
        let mut masker = Masker::new(key).keeping_addresses(keeps_addresses(&guards, &json));
        let restoring: Vec<&GuardPolicy> = guards.iter().copied().filter(|guard| guard.restores()).collect();
        let restored = if judgement.tainted || has_unseen(&exchange) { Vec::new() } else { restored(&restoring) };
        let applied = apply(&mut json, &exchange, judgement.outcomes, cap, &mut masker, &mut vault, restores);
        // The counts of a stream that tells them only when asked.
        let asked = asks_usage
            && route.usage == AskUsage::Auto
            && exchange.stream
            && route.protocol.ask_usage(route.operation, &mut json);
        let planting = plant(&guards, route, &mut json, &tenant, vm.hash_key(), host.now());
        self.account.rehearse(planting.rehearsed.then_some("canary"));
        let planted = planting.planted;
        let lit = spotlight(&guards, route, &mut json, &exchange, || word(vm.hash_key(), &tenant, host.now()));
        self.account.rehearse(lit.rehearsed.then_some("spotlight"));
        let drops = !dropped.is_empty();
        drop_blocks(&mut json, &dropped, NOTICE);
        let is_pinned = exchange.asked_model.is_some() && path_model.is_none();
        let rewritten = drops
            || is_renamed
            || is_pinned
            || is_bounded
            || asked
            || lit.changed
            || planted.is_some()
            || removes_tools;
        let of = (authorized.roles(), authorized.guards());
        let mut guard = ReplyGuard::new(&policy, route.index, of, masker, vault, asked, planted);
        guard.also(inspected.permit().guard());
        let asks_for_none = exchange.output_cap.as_ref().is_some_and(|cap| cap.tokens == 0);
        guard.most_output = cap.filter(|_| !asks_for_none).map(|_| expected.output).filter(|output| *output > 0);
        self.account.meter.repeats_prompt = exchange.repeats_prompt;
        self.account.meter.in_background = exchange.in_background;
        guard.asked.is_batch = matches!(json, Json::Array(_));
        guard.tenant = tenant_in(route, &caller);
        guard.model.clone_from(&exchange.model);
        guard.restored = restored;
        let verdict = match applied {
            _ if applied.replaced > 0 || drops || removes_tools => Verdict::Replace,
            _ if applied.masked > 0 => Verdict::Mask,
            _ => Verdict::Allow,
        };
        let mut edit = edit;
        // What changes an upload has refused it.
        edit.body = match !is_form && (applied.changed || rewritten) {
            true => {
                route.protocol.fold(&mut json)?;
                Some(written(route, &json))
            }
            false => None,
        };
        if policy.hold_headers {
            let length = edit.body.as_ref().map_or(body.len(), Vec::len);
            edit.set.push(("content-length", length.to_string()));
        }
        let reply = Reading::Guarded(Guarded(Box::new(guard)));
        let outgoing = Outgoing {
            edit,
            reply,
            verdict,
            masked: applied.masked,
            output_cap: applied.output_cap,
            is_bodyless: false,
        };
        self.admit(inspected, Some(&exchange), expected, outgoing, vm, host).map(Inspection::Done)
    }

    /// The refusal that waited for the message's id.
    fn refused_before(
        &mut self,
        Refusing { refused, edit }: Refusing,
        body: &[u8],
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Refused {
        if let Err(reason) = self.request_buffered(body.len(), vm, host) {
            return reason.into();
        }
        if let Ok(message) = Json::parse(body, self.policy.limits.max_json_depth) {
            self.rpc_id = self.protocol().and_then(|protocol| protocol.request_id(&message));
            self.note_message(&message, &edit);
        }
        refused
    }

    /// The path named an alias: roles grant that.
    fn alias_of_path(&self, exchange: &mut Exchange) {
        if exchange.asked_model.is_none() {
            exchange.asked_model.clone_from(&self.path_alias);
        }
    }

    /// A model that is no longer served is refused; of one that will go the reply tells.
    fn within_life(&mut self, policy: &Policy, exchange: &Exchange, now: Timestamp) -> Result<(), Denial> {
        let Some(models) = &policy.models else { return Ok(()) };
        let names = std::iter::once((exchange.asked(), exchange.model.as_str()))
            .chain(exchange.models.iter().map(|model| (model.as_str(), model.as_str())));
        let mut found = None;
        for (asked, model) in names {
            if models.is_over(asked, model, now) {
                return Err(Denial::new(Reason::ModelRetired).with_param("model"));
            }
            found = found.or_else(|| models.deprecation(asked, model));
        }
        self.warnings = found.map(Deprecation::headers).unwrap_or_default();
        self.account.record.set_deprecated(found.is_some());
        Ok(())
    }

    /// Takes out the tools that the role may not use, and reads what is left.
    fn without_tools<'j>(
        &mut self,
        policy: &Policy,
        (route, path_model): (&RoutePolicy, Option<&str>),
        authorized: &Authorized,
        json: &mut Json<'j>,
        exchange: &Exchange,
    ) -> Result<Exchange, Refused> {
        let others = exchange.tools.iter().filter(|tool| !authorized.may_use(policy, tool));
        let paths: Vec<_> = others.filter_map(|tool| tool.path.as_ref()).collect();
        self.account.record.set_tools_removed(paths.len() as u64);
        remove_tools(json, &paths);
        let kept = (exchange.asked_model.clone(), exchange.prompt_versions.clone());
        let mut exchange = route.protocol.read_request(route.operation, path_model, json)?;
        (exchange.asked_model, exchange.prompt_versions) = kept;
        if exchange.tools.iter().all(|tool| authorized.may_use(policy, tool)) {
            Ok(exchange)
        } else {
            Err(Denial::new(Reason::RbacTool).with_param("tools").into())
        }
    }
}

/// The body's JSON, or the fields of a form.
fn parsed<'b>(policy: &Policy, route: &RoutePolicy, body: &'b [u8], form: Option<&str>) -> Result<Json<'b>, Denial> {
    match form {
        Some(kind) => route.protocol.form_fields(route.operation, (body, kind), reads_lines(policy)),
        None => route.protocol.parse(body, policy.limits.max_json_depth),
    }
}

/// The body as it goes on.
fn written(route: &RoutePolicy, json: &Json<'_>) -> Vec<u8> {
    match json {
        Json::Array(lines) if route.protocol.reads_lines() => {
            let mut bytes = Vec::new();
            for line in lines {
                bytes.extend_from_slice(&line.to_bytes());
                bytes.push(b'\n');
            }
            bytes
        }
        json => json.to_bytes(),
    }
}

/// What the body asks for, with the model that an alias means written into it.
///
/// # Errors
/// [`Reason::ModelAlias`] where it can't be; what [`read`] says.
fn exchange(
    policy: &Policy,
    route: &RoutePolicy,
    json: &mut Json<'_>,
    how: (Option<&str>, bool, Option<&dyn Asserted>),
) -> Result<Exchange, Denial> {
    let mut exchange = read(route, json, how)?;
    if let Some(models) = &policy.models {
        if exchange.models.iter().any(|model| models.pinned(model).is_some()) {
            return Err(Denial::new(Reason::ModelAlias).with_param("models"));
        }
        if let Some(model) = models.pinned(&exchange.model) {
            let refused = |_| Denial::new(Reason::ModelAlias).with_param("model");
            rename_model(json, &exchange, model, how).map_err(refused)?;
            let asked = std::mem::take(&mut exchange.model);
            exchange = read(route, json, how)?;
            exchange.asked_model = Some(asked);
        }
    }
    if !policy.prompts.is_empty() {
        let is_system = |segment: &&Segment| instructs(route.operation, &exchange, json, segment);
        let texts = exchange.segments.iter().filter(is_system);
        let version = |segment: &Segment| Some(policy.prompts.version(segment.text_in(json)?)?.clone());
        exchange.prompt_versions = texts.map(version).collect();
    }
    Ok(exchange)
}

/// Reads the body: by the model that the path names, from a form or not, and with what the headers say of it.
fn read(
    route: &RoutePolicy,
    json: &Json<'_>,
    (path_model, is_form, asserted): (Option<&str>, bool, Option<&dyn Asserted>),
) -> Result<Exchange, Denial> {
    let mut exchange = match is_form {
        true => route.protocol.read_form(route.operation, json)?,
        false => route.protocol.read_request(route.operation, path_model, json)?,
    };
    if let (true, Some(model)) = (is_form, path_model) {
        exchange.model = model.to_owned();
    }
    exchange.choices_of_operator.extend(asserted.iter().flat_map(|asserted| asserted.choices_of_operator()));
    Ok(exchange)
}

/// What the caller's tenant is called in the store behind the route, where it is one.
pub(super) fn tenant_in(route: &RoutePolicy, caller: &Principal) -> Option<String> {
    route.tenancy.as_ref().filter(|tenancy| !tenancy.is_shared()).and_then(|tenancy| tenancy.tenant(caller).ok())
}

/// Confines what a body asks of a store to the caller's own tenant. True: the tenant was added.
///
/// # Errors
/// [`Reason::RbacTenant`].
fn confine(route: &RoutePolicy, caller: &Principal, json: &mut Json<'_>) -> Result<bool, Denial> {
    let Some(tenancy) = &route.tenancy else { return Ok(false) };
    let tenant = tenancy.tenant(caller)?;
    route.protocol.confine_body(route.operation, &tenancy.scope(&tenant), json)
}

/// Lowers how many results a search asks for to what the roles grant. True: the body changed; no place in it moves.
///
/// # Errors
/// [`Reason::BodyShape`].
fn cap_results(route: &RoutePolicy, authorized: &Authorized, json: &mut Json<'_>) -> Result<bool, Denial> {
    authorized.top_k().map_or(Ok(false), |most| route.protocol.cap_results(route.operation, most, json))
}

/// Writes another model into the body.
///
/// # Errors
/// [`Reason::AuthzUnavailable`] where the body is not what names it: the engine wants what can't be done.
fn rename_model(
    json: &mut Json<'_>,
    exchange: &Exchange,
    model: &str,
    (path_model, is_form, _): (Option<&str>, bool, Option<&dyn Asserted>),
) -> Result<(), Reason> {
    let named = json.get("model").and_then(Json::as_str);
    if path_model.is_some() || is_form || !exchange.models.is_empty() || named != Some(exchange.model.as_str()) {
        return Err(Reason::AuthzUnavailable);
    }
    json.set("model", Json::String(model.to_owned().into()));
    Ok(())
}

/// How much of an upload the policy wants read.
fn reads_lines(policy: &Policy) -> ReadsLines {
    ReadsLines { lines: policy.unscanned.lines == LinesAction::Scan, max_depth: policy.limits.max_json_depth }
}

/// True when all that the request goes on with at the provider is the caller's own.
fn is_own(
    policy: &Policy,
    caller: &Principal,
    exchange: &Exchange,
    vm: &WorkerState,
    host: &mut dyn Host,
) -> Result<bool, Refused> {
    let kept = exchange.unscanned.iter().filter(|(kind, _)| *kind == UnscannedKind::State).count();
    if !policy.unscanned.knows_owners() || kept == 0 || kept != exchange.stored.len() {
        return Ok(false);
    }
    let ledger = authz::Ledger::of(&policy.name);
    for id in &exchange.stored {
        if !ledger.holds(caller, id, vm.shared_key(), host)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The next outside judge of those that the guards ask. `None`: there is none, or nothing that it could change.
fn second_opinion(
    scan: &Scan<'_, '_>,
    scanned: &Scanned,
    (heard, local): (&Heard, Option<Reason>),
    vm: &mut WorkerState,
    now: Timestamp,
) -> Option<opinion::Asked> {
    let Scan { policy, guards, .. } = scan;
    let enforcing = guards.iter().filter(|guard| guard.mode == Mode::Enforce);
    // What one guard's judge lets go another guard may still refuse.
    let everyones = |index: OpinionIndex| stages::is_everyones(guards, index);
    let asked: BTreeSet<OpinionIndex> = sorted::set(enforcing.flat_map(|guard| guard.opinions.iter().copied()));
    for index in asked.into_iter().filter(|index| !heard.has(*index)) {
        let opinion = policy.opinion(index)?;
        let exhibits = exhibits(opinion, everyones(index), scan, scanned);
        let may_change = match local {
            // What is refused anyway asks nobody.
            Some(Reason::ScanInjection) => exhibits.iter().any(|exhibit| exhibit.may_lower),
            Some(_) => false,
            None => true,
        };
        if may_change && exhibits.iter().any(|exhibit| opinion.when.contains(&exhibit.score)) {
            let key = vm.hash_key().clone();
            return Some(opinion.ask(index, exhibits, false, vm.desk(index)?, (&policy.digest, &key, now)));
        }
    }
    None
}

/// The texts that a judge is shown.
fn exhibits(opinion: &OpinionPolicy, is_everyones: bool, scan: &Scan<'_, '_>, scanned: &Scanned) -> Vec<Exhibit> {
    let exhibit = |(index, (place, note)): (usize, (&Place, &TextNote))| {
        let text = scan.text(index).filter(|text| !text.trim().is_empty())?;
        let is_shown = match opinion.text {
            OpinionText::Newest => place.position == Position::Current,
            OpinionText::All => true,
        };
        if !is_shown || place.is_key || opinion.above.is_some_and(|above| note.score <= above) {
            return None;
        }
        let shown = if opinion.raw { Shown::raw(text) } else { Shown::masked(text, &note.sensitive) };
        let may_lower = is_everyones && note.is_scorers && note.score > 0 && opinion.when.contains(&note.score);
        Some(Exhibit { index, shown, score: note.score, may_lower })
    };
    scanned.places().iter().zip(scanned.notes()).enumerate().filter_map(exhibit).collect()
}

/// What one scan needs.
pub(super) struct Scan<'s, 'j> {
    pub(super) policy: &'s Policy,
    pub(super) route: &'s RoutePolicy,
    pub(super) json: &'s Json<'j>,
    pub(super) exchange: &'s Exchange,
    pub(super) guards: &'s [&'s GuardPolicy],
}

impl Scan<'_, '_> {
    /// The text of a segment.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.exchange.segments.get(index).and_then(|segment| segment.text_in(self.json))
    }

    /// What becomes of this text at this place, judged by itself. `None`: it refuses the request, or was not scanned whole.
    fn again(&self, place: &Place, text: &str, vm: &mut WorkerState, host: &mut dyn Host) -> Option<Outcome> {
        let texts = [Text { zone: place.zone, text }];
        let report = self.policy.scanner.scan_with(vm.verdicts(self.policy), &texts, self.policy.limits.budget());
        let mut judgement = judge(&self.policy.scanner, self.guards, self.route.index, &[*place], report, host.now());
        let whole = judgement.denial().is_none() && !judgement.is_incomplete();
        judgement.outcomes.pop().filter(|_| whole)
    }
}

/// The cap on output tokens for the upstream: the roles', or where a quota counts output and nobody sets a cap, the
/// policy's default, so that no request uses more than was held for it.
fn output_cap(
    policy: &Policy,
    exchange: &Exchange,
    authorized: &Authorized,
    (permit, quotas): (Option<&Permit>, Whose<'_>),
) -> Option<u64> {
    let default = || policy.quotas.count_output(quotas).then_some(policy.limits.default_output_tokens);
    let cap = match &exchange.output_cap {
        Some(asked) if asked.tokens != NO_LIMIT => authorized.output_cap(),
        _ => authorized.output_cap().or_else(default),
    };
    cap.into_iter().chain(permit.and_then(Permit::output_cap)).min()
}

/// Tokens that a message, a tool's description or a parameter costs beside its text.
const FRAME_TOKENS: u64 = 4;

/// What a request is expected to use at most: its texts and the answer, and what its pictures and files may cost.
fn expected(
    policy: &Policy,
    route: &RoutePolicy,
    json: &Json<'_>,
    exchange: &Exchange,
    cap: Option<u64>,
) -> (Tokens, u64) {
    let text = |segment: &Segment| segment.text_in(json);
    if !matches!(
        route.operation,
        Operation::Chat
            | Operation::Generate
            | Operation::Completions
            | Operation::Responses
            | Operation::Embeddings
            | Operation::Rerank
            | Operation::Images
            | Operation::Audio
    ) {
        return (Tokens::default(), 0);
    }
    let texts = exchange.segments.iter().filter_map(text).map(|text| Estimate::of(text).tokens() + FRAME_TOKENS);
    let unread = exchange.unscanned.iter().map(|(kind, _)| kind.likely_tokens());
    let input = texts.fold(0, u64::saturating_add);
    // Of a cap of nothing some servers make no limit, and what is not held is not settled: one token is.
    let asked = exchange.output_cap.as_ref().map(|asked| asked.tokens).filter(|tokens| *tokens != NO_LIMIT);
    let most = asked.into_iter().chain(cap).min().unwrap_or(policy.limits.default_output_tokens);
    let answers = match route.operation {
        Operation::Chat | Operation::Generate | Operation::Completions | Operation::Responses => exchange.answers(),
        _ => 0,
    };
    let images = if route.operation == Operation::Images { exchange.answers() } else { 0 };
    (Tokens { images, ..Tokens::of(input, most.max(1).saturating_mul(answers)) }, unread.fold(0, u64::saturating_add))
}

/// The arguments of tools that get values back: those that every guard names which gives any back.
fn restored(guards: &[&GuardPolicy]) -> Vec<(String, String)> {
    let Some((first, others)) = guards.split_first() else { return Vec::new() };
    first.restored.iter().filter(|one| others.iter().all(|guard| guard.restored.contains(one))).cloned().collect()
}

/// True when addresses are masked and a schema asks the model for some.
fn keeps_addresses(guards: &[&GuardPolicy], json: &Json<'_>) -> bool {
    let changes = |action: DataAction| !matches!(action, DataAction::Flag | DataAction::Block);
    let masks = |guard: &&GuardPolicy| {
        guard.pii.action(PiiType::Email).is_some_and(|action| changes(action) || changes(guard.output.pii))
    };
    guards.iter().any(masks) && asks_for_addresses(json)
}

/// True when the model reads state or files that are at the provider: nobody scanned them here.
fn has_unseen(exchange: &Exchange) -> bool {
    let kinds = [UnscannedKind::State, UnscannedKind::Reference, UnscannedKind::File];
    exchange.unscanned.iter().any(|(kind, _)| kinds.contains(kind))
}
