//! What a policy engine is told of a request: everything that was found out, and the texts that the policy says.

use serde_json::{Value, json};

use crate::authn::{Principal, workload};
use crate::consult::opa::{Engine, INPUT_VERSION};
use crate::consult::opinion::Shown;
use crate::document::OpinionText;
use crate::enums::Zone;
use crate::estimate::Estimate;
use crate::guard::Outcome;
use crate::host::Host;
use crate::policy::Policy;
use crate::protocol::{Exchange, Json, NO_LIMIT, Position};
use crate::route::RoutePolicy;
use crate::transaction::context::Context;
use crate::transaction::pending_call::Bodyless;
use crate::transaction::stages::{Authorized, Scanned};

/// More findings and tools than these are counted and not listed.
const MAX_LISTED: usize = 64;

/// The most bytes of texts that are told.
const MAX_TEXT: usize = 64 * 1024;

impl Context {
    /// Of a request with a body.
    pub(super) fn input(
        &self,
        policy: &Policy,
        route: &RoutePolicy,
        (scanned, exchange, json): (&Scanned, &Exchange, &Json<'_>),
        (bytes, drops): (usize, bool),
        host: &mut dyn Host,
    ) -> Value {
        let authorized = scanned.charged().authorized();
        let mut input = self.common(policy, route, authorized, host);
        let tools: Vec<Value> = exchange
            .tools
            .iter()
            .take(MAX_LISTED)
            .map(|tool| json!({ "name": tool.name, "host": tool.host }))
            .collect();
        let asked = exchange.output_cap.as_ref().map(|cap| cap.tokens).filter(|tokens| *tokens != NO_LIMIT);
        let estimate = exchange.segments.iter().filter_map(|segment| segment.text_in(json));
        let tokens = estimate.map(|text| Estimate::of(text).tokens()).fold(0, u64::saturating_add);
        let model = json!({
            "method": route.protocol.rpc_method(json),
            "model": exchange.asked(),
            "models": exchange.models,
            "stream": exchange.stream,
            "choices": exchange.answers(),
            "max_output_tokens": asked,
            "input_tokens": tokens,
            "tools": tools,
            "tools_total": exchange.tools.len(),
            "parameters": exchange.choices_of_operator,
            "bytes": bytes,
        });
        merge(input.get_mut("request"), model);
        let unscanned: Vec<&str> = scanned.unscanned(exchange).iter().map(|kind| kind.name()).collect();
        let judgement = scanned.judgement();
        let findings: Vec<Value> = judgement
            .findings
            .iter()
            .take(MAX_LISTED)
            .filter_map(|judged| {
                let card = policy.scanner.cards().get(usize::from(judged.finding.rule.0))?;
                let place = scanned.places().get(judged.text)?;
                Some(json!({ "rule": card.id, "zone": place.zone.as_str(), "act": judged.act.name() }))
            })
            .collect();
        let scan = json!({
            "score": judgement.score,
            "findings": findings,
            "findings_total": judgement.findings.len(),
            "changes": drops || judgement.outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Keep | Outcome::Leave)),
            "zones": zones(exchange, json),
            "unscanned": unscanned,
            "unknown_parts": exchange.unknown.len(),
        });
        merge(Some(&mut input), json!({ "scan": scan }));
        if let Some(which) = policy.engine.as_ref().and_then(Engine::text) {
            merge(input.get_mut("scan"), texts(which, scanned, exchange, json));
        }
        input
    }

    /// Of a request without one.
    pub(super) fn input_of_bodyless(&self, policy: &Policy, bodyless: &Bodyless, host: &mut dyn Host) -> Value {
        let route = policy.route_at(bodyless.route);
        route.map_or(Value::Null, |route| self.common(policy, route, bodyless.charged.authorized(), host))
    }

    fn common(&self, policy: &Policy, route: &RoutePolicy, authorized: &Authorized, host: &mut dyn Host) -> Value {
        let entitled = authorized.counted().entitled();
        let role = |index| policy.role_at(index).map(|role| role.name.as_str());
        let roles: Vec<&str> = authorized.roles().iter().filter_map(|index| role(*index)).collect();
        json!({
            "version": INPUT_VERSION,
            "policy": { "name": policy.name, "digest": policy.digest_short() },
            "principal": principal(entitled.principal(), &roles, workload(host)),
            "request": {
                "protocol": route.protocol.name(),
                "route": route.written,
                "operation": entitled.operation().as_str(),
            },
        })
    }
}

fn principal(principal: &Principal, roles: &[&str], workload: Option<String>) -> Value {
    json!({
        "anonymous": principal.is_anonymous(),
        "issuer": principal.issuer_name(),
        "subject": principal.subject(),
        "tenant": principal.tenant(),
        "roles": roles,
        "workload": workload,
    })
}

/// How many texts of each zone there are, and their bytes.
fn zones(exchange: &Exchange, json: &Json<'_>) -> Value {
    let of = |zone: Zone| {
        let texts = exchange.segments.iter().filter(|segment| segment.zone == zone);
        let texts: Vec<usize> = texts.filter_map(|segment| segment.text_in(json)).map(str::len).collect();
        let bytes = texts.iter().fold(0_usize, |sum, length| sum.saturating_add(*length));
        (!texts.is_empty()).then(|| (zone.as_str().to_owned(), json!({ "texts": texts.len(), "bytes": bytes })))
    };
    Value::Object(Zone::ALL.iter().filter_map(|zone| of(*zone)).collect())
}

/// The texts, each with its zone and score, without credentials and personal data: those that have room.
fn texts(which: OpinionText, scanned: &Scanned, exchange: &Exchange, json: &Json<'_>) -> Value {
    let mut room = MAX_TEXT;
    let mut complete = true;
    let mut told = Vec::new();
    for (segment, (place, note)) in exchange.segments.iter().zip(scanned.places().iter().zip(scanned.notes())) {
        let is_newest = place.position == Position::Current;
        let Some(text) = segment.text_in(json).filter(|_| is_newest || which == OpinionText::All) else { continue };
        let shown = Shown::masked(text, &note.sensitive).text;
        match room.checked_sub(shown.len()) {
            Some(left) => {
                room = left;
                told.push(json!({
                    "zone": place.zone.as_str(), "newest": is_newest, "score": note.score, "text": shown,
                }));
            }
            None => complete = false,
        }
    }
    json!({ "texts": told, "texts_complete": complete })
}

/// Adds the members of one object to another.
fn merge(into: Option<&mut Value>, more: Value) {
    if let (Some(Value::Object(into)), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
