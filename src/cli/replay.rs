//! `bartizan replay`: what would a changed policy have done with requests of the past?
//!
//! A capture goes through the same [`Transaction`] as in the proxy, body and all. An audit record has no body: it
//! goes stage by stage through roles, quotas and cool-downs, and what the scanner said of it then is kept. Callers
//! have the names that the records give them, under tokens that are made here, so that `authn` itself is not rehearsed; nor are
//! requests in flight at the same time, because each one ends before the next begins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_compact::KeyPair;
use serde::Serialize;
use serde_json::{Value, json};

use super::capture::{now, private_key, unseal, word};
use super::output::{Exit, print, print_json, read_text};
use super::records::{objects, read_log};
use super::source;
use crate::authz::Situation;
use crate::capture::{Caller, Opened, Sealed};
use crate::cli::explain::shown;
use crate::document;
use crate::enums::Mode;
use crate::guard::STRONG_SCORE;
use crate::host::{Host as _, MemoryHost, Timestamp};
use crate::policy::Policy;
use crate::protocol::Exchange;
use crate::quota::{self, Tokens};
use crate::reason::Reason;
use crate::route::RoutePolicy;
use crate::scan::Kind;
use crate::transaction::stages::{self, Inspected, Stage as Counting};
use crate::transaction::{Event, Header, Step, Transaction, WorkerState};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Logs with audit records and captures, or what `capture open` printed; - is stdin
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// The policy to rehearse
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The private key that captures are sealed to
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// More differences than this are counted and not listed.
const MAX_LISTED: usize = 200;
const AUDIENCE: &str = "replay";
/// The policy's own issuers are replaced by the one that makes the tokens here: at most this number of their names.
const MAX_ISSUERS: usize = 64;

/// A request of the past.
enum Past {
    Record(Value),
    Capture(Box<Opened>),
}

impl Past {
    fn record(&self) -> &Value {
        match self {
            Past::Record(record) => record,
            Past::Capture(capture) => &capture.record,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.record().get(key).and_then(Value::as_str)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.record().get(key).and_then(Value::as_u64)
    }

    fn caller(&self) -> Caller {
        match self {
            Past::Capture(capture) => capture.caller.clone(),
            Past::Record(_) => Caller {
                issuer: self.text("bartizan.issuer").unwrap_or_default().to_owned(),
                subject: self.text("user.hash").or(self.text("user.id")).map(str::to_owned),
                tenant: self.text("organization.id").map(str::to_owned),
                roles: texts(self.record().get("user.roles")),
            },
        }
    }

    fn outcome(&self) -> Rehearsed {
        Rehearsed {
            verdict: self.text("bartizan.verdict").unwrap_or("incomplete").to_owned(),
            reason: self.text("bartizan.reason").map(str::to_owned),
            shadow: texts(self.record().get("bartizan.shadow")),
        }
    }

    /// The record that a capture has beside it in the log is the same request.
    fn name(&self) -> (String, u64) {
        let worker = self.text("bartizan.worker").unwrap_or_default();
        (worker.to_owned(), self.number("bartizan.sequence").unwrap_or_default())
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What became of a request, then or now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rehearsed {
    verdict: String,
    reason: Option<String>,
    shadow: Vec<String>,
}

impl Rehearsed {
    fn denied(reason: Reason) -> Rehearsed {
        Rehearsed { verdict: "block".to_owned(), reason: Some(reason.code().to_owned()), shadow: Vec::new() }
    }

    fn is_denied(&self) -> bool {
        self.verdict == "block"
    }

    /// One word for both.
    fn word(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.verdict)
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    policy: String,
    policy_digest: String,
    captures: u64,
    records: u64,
    same: u64,
    newly_denied: Differences,
    newly_allowed: Differences,
    changed: Differences,
    /// Refusals by quotas and cool-downs, by reason.
    quota: BTreeMap<String, ThenNow>,
    /// What shadow mode would have refused, by reason.
    shadow: BTreeMap<String, ThenNow>,
    /// Requests that can't be rehearsed, by why.
    skipped: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize)]
struct Differences {
    count: u64,
    listed: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    path: String,
    roles: Vec<String>,
    then: String,
    now: String,
    from: &'static str,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct ThenNow {
    then: u64,
    now: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let key = arguments.key.as_deref().map(private_key).transpose()?;
    let mut report = Report::default();
    let mut past = Vec::new();
    for log in &arguments.logs {
        for line in objects(&read_log(log)?) {
            read_line(line, key.as_ref(), &mut past, &mut report);
        }
    }
    if past.is_empty() && report.skipped.is_empty() {
        bail!("no audit record and no capture in the logs");
    }
    let captured: std::collections::BTreeSet<_> =
        past.iter().filter(|one| matches!(one, Past::Capture(_))).map(Past::name).collect();
    past.retain(|one| matches!(one, Past::Capture(_)) || !captured.contains(&one.name()));
    // An access log and the proxy's own log have the same records.
    let mut seen = std::collections::BTreeSet::new();
    past.retain(|one| one.number("bartizan.sequence").unwrap_or_default() == 0 || seen.insert(one.name()));
    past.sort_by_key(|one| one.text("@timestamp").and_then(seconds));

    let issuers: std::collections::BTreeSet<String> = past.iter().map(|one| one.caller().issuer).collect();
    let mut stage = Stage::new(&arguments.config, issuers)?;
    report.policy.clone_from(&stage.policy.name);
    stage.policy.digest_short().clone_into(&mut report.policy_digest);
    for one in &past {
        match stage.rehearse(one) {
            Ok(now) => report.count(one, &now),
            Err(why) => *report.skipped.entry(why).or_default() += 1,
        }
    }
    let differs = report.newly_denied.count + report.newly_allowed.count + report.changed.count > 0;
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&report.lines())?;
    }
    Ok(if differs { Exit::Findings } else { Exit::Fine })
}

fn read_line(line: Value, key: Option<&[u8; 32]>, past: &mut Vec<Past>, report: &mut Report) {
    if Sealed::is_one(&line) {
        let opened = key.ok_or("noKey").and_then(|key| unseal(line, key, now()).map_err(word));
        match opened {
            Ok(capture) => past.push(Past::Capture(Box::new(capture))),
            Err(why) => *report.skipped.entry(format!("capture {why}")).or_default() += 1,
        }
    } else if line.get("event.dataset").and_then(Value::as_str) == Some("bartizan.audit") {
        past.push(Past::Record(line));
    } else if line.get("record").is_some()
        && let Ok(capture) = serde_json::from_value(line)
    {
        past.push(Past::Capture(Box::new(capture)));
    }
}

impl Report {
    fn count(&mut self, one: &Past, now: &Rehearsed) {
        let then = one.outcome();
        match one {
            Past::Record(_) => self.records += 1,
            Past::Capture(_) => self.captures += 1,
        }
        let counts = |reason: &&String| reason.starts_with("quota.") || reason.starts_with("abuse.");
        for reason in then.reason.iter().filter(counts) {
            self.quota.entry(reason.clone()).or_default().then += 1;
        }
        for reason in now.reason.iter().filter(counts) {
            self.quota.entry(reason.clone()).or_default().now += 1;
        }
        then.shadow.iter().for_each(|reason| self.shadow.entry(reason.clone()).or_default().then += 1);
        now.shadow.iter().for_each(|reason| self.shadow.entry(reason.clone()).or_default().now += 1);
        let place = match (then.is_denied(), now.is_denied()) {
            _ if then.word() == now.word() => {
                self.same += 1;
                return;
            }
            (false, true) => &mut self.newly_denied,
            (true, false) => &mut self.newly_allowed,
            _ => &mut self.changed,
        };
        place.count += 1;
        if place.listed.len() < MAX_LISTED {
            place.listed.push(Difference {
                at: one.text("@timestamp").unwrap_or_default().to_owned(),
                id: one.text("http.request.id").map(str::to_owned),
                path: one.text("url.path").unwrap_or_default().to_owned(),
                roles: one.caller().roles,
                then: then.word().to_owned(),
                now: now.word().to_owned(),
                from: if matches!(one, Past::Record(_)) { "record" } else { "capture" },
            });
        }
    }

    fn lines(&self) -> String {
        let mut out = format!(
            "{}@{}: {} captures and {} records, {} the same\n",
            self.policy, self.policy_digest, self.captures, self.records, self.same
        );
        for (title, differences) in
            [("newly denied", &self.newly_denied), ("newly allowed", &self.newly_allowed), ("changed", &self.changed)]
        {
            out += &format!("{title}: {}\n", differences.count);
            for Difference { at, id, path, roles, then, now, from } in &differences.listed {
                let id = id.as_deref().unwrap_or("-");
                out += &format!("  {at} {id} {path} [{}] {then} -> {now} ({from})\n", roles.join(","));
            }
        }
        for (title, table) in [("quotas and cool-downs", &self.quota), ("in shadow", &self.shadow)] {
            for (reason, ThenNow { then, now }) in table {
                out += &format!("{title}: {reason} {then} -> {now}\n");
            }
        }
        for (why, count) in &self.skipped {
            out += &format!("not rehearsed: {why} {count}\n");
        }
        // A log may hold anything.
        out.chars().map(|c| if c == '\n' { c } else { shown(c) }).collect()
    }
}

/// The policy with a proxy of one worker around it, and its issuer.
pub(super) struct Stage {
    policy: Arc<Policy>,
    vm: WorkerState,
    host: MemoryHost,
    key: KeyPair,
}

impl Stage {
    fn new(config: &std::path::Path, issuers: std::collections::BTreeSet<String>) -> anyhow::Result<Stage> {
        let is_json = config.extension().is_some_and(|extension| extension == "json");
        Stage::of(&read_text(config)?, is_json, issuers)
    }

    /// The same of a policy's text.
    pub(super) fn of(text: &str, is_json: bool, issuers: std::collections::BTreeSet<String>) -> anyhow::Result<Stage> {
        let find = || source::find(text, is_json).sources.into_iter().next();
        let compile = |parsed| {
            // Secrets of the proxy's environment are not needed here.
            let environment = |name: &str| std::env::var(name).ok().or(Some("1".repeat(64)));
            Policy::compile(parsed, &environment).map_err(|errors| {
                let first = errors.first().map(|error| format!("{}: {}", error.path, error.message));
                anyhow::anyhow!("{} (see `bartizan check`)", first.unwrap_or_default())
            })
        };
        let Some(source) = find() else { bail!("no policy in the file: see `bartizan check`") };
        compile(source.parsed)?;
        if issuers.len() > MAX_ISSUERS {
            bail!("{} issuers in the logs, expected at most {MAX_ISSUERS}", issuers.len());
        }
        let key = KeyPair::generate();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "replay", "x": BASE64.encode(*key.pk)});
        let issuer = |name: &String| {
            json!({"name": name, "issuer": iss(name), "audiences": [AUDIENCE], "algorithms": ["EdDSA"],
                "jwks": {"inline": {"keys": [jwk]}}, "claims": {"tenant": "/tenant"}})
        };
        let mut parsed = find().context("no policy")?.parsed;
        let issuers: Vec<Value> = issuers.iter().filter(|name| !name.is_empty()).map(issuer).collect();
        let own: document::Authn = serde_json::from_value(json!({ "issuers": issuers }))?;
        parsed.document.authn = Some(document::Authn {
            unsafe_anonymous: parsed.document.authn.as_ref().and_then(|authn| authn.unsafe_anonymous),
            ..own
        });
        // What is rehearsed is not captured again, and no service is asked: one proxy stands for the fleet.
        parsed.document.capture = None;
        parsed.document.upstream = None;
        let mut policy = compile(parsed)?;
        policy.quotas = policy.quotas.counted_here();
        let mut host = MemoryHost::default();
        WorkerState::prepare(&policy, &mut host).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let vm = WorkerState::new(&policy, &mut host).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        Ok(Stage { policy: Arc::new(policy), vm, host, key })
    }

    /// What would happen now; else why nobody can tell.
    fn rehearse(&mut self, one: &Past) -> Result<Rehearsed, String> {
        let then = one.text("@timestamp").and_then(seconds).ok_or("no timestamp")?;
        self.host.now = self.host.now.max(Timestamp::from_secs(then));
        // Refused before anything was known of it, or by a fault.
        let unknown = ["jwt.", "internal", "overloaded", "reply.unreadable"];
        if let Some(reason) =
            one.text("bartizan.reason").filter(|reason| unknown.iter().any(|begin| reason.starts_with(begin)))
        {
            return Err(reason.to_owned());
        }
        if one.text("bartizan.verdict") == Some("incomplete") {
            return Err("incomplete".to_owned());
        }
        match one {
            Past::Capture(capture) => self.by_body(one, capture),
            Past::Record(_) => self.by_record(one),
        }
    }

    /// Every stage, as in the proxy.
    fn by_body(&mut self, one: &Past, capture: &Opened) -> Result<Rehearsed, String> {
        let (mut exchange, step) = self.asked(&capture.caller, &capture.path, Vec::new(), &capture.body);
        if let Step::Await(..) = step {
            return Err("needs a call to another service".to_owned());
        }
        if matches!(step, Step::Release(_)) {
            exchange.rehearse_reply(status(one), used(one));
        }
        let finished = exchange.finish(&mut self.vm, &mut self.host);
        let record = Past::Record(serde_json::from_str(&finished.record).map_err(|error| error.to_string())?);
        let mut outcome = record.outcome();
        // What the reply's guard did then can't be told from the request.
        let of_reply = ["scan.output", "scan.canary", "reply.", "mcp.definition"];
        let then = one.outcome();
        if !outcome.is_denied()
            && then.reason.as_deref().is_some_and(|r| of_reply.iter().any(|begin| r.starts_with(begin)))
        {
            outcome = Rehearsed { shadow: outcome.shadow, ..then };
        }
        Ok(outcome)
    }

    /// A request through the state machine, up to what goes to the model or back to the caller.
    fn asked(&mut self, caller: &Caller, path: &str, more: Vec<Header>, body: &str) -> (Transaction, Step) {
        let mut headers: Vec<Header> = vec![
            (b":method".to_vec(), b"POST".to_vec()),
            (b":path".to_vec(), path.to_owned().into_bytes()),
            (b"content-type".to_vec(), b"application/json".to_vec()),
        ];
        headers.extend(more);
        headers.extend(self.token(caller).map(|token| (b"authorization".to_vec(), token.into_bytes())));
        let (vm, host) = (&mut self.vm, &mut self.host);
        let mut exchange = Transaction::new(Arc::clone(&self.policy));
        let mut step = exchange.step(Event::RequestHeaders { headers: &headers, end: false }, vm, host);
        if exchange.awaits_body() {
            step = exchange.step(Event::RequestBody(body.to_owned().into_bytes()), vm, host);
        }
        (exchange, step)
    }

    /// What comes of a request of this caller at this time.
    pub(super) fn step(
        &mut self,
        caller: &Caller,
        path: &str,
        headers: Vec<Header>,
        body: &str,
        now: Timestamp,
    ) -> Step {
        self.host.now = now;
        let (exchange, step) = self.asked(caller, path, headers, body);
        exchange.finish(&mut self.vm, &mut self.host);
        step
    }

    /// Every stage that needs no body.
    fn by_record(&mut self, one: &Past) -> Result<Rehearsed, String> {
        let then = one.outcome();
        let reason = then.reason.as_deref().unwrap_or_default();
        if ["route.", "body.", "mcp."].iter().any(|begin| reason.starts_with(begin)) {
            return Err(format!("{reason}, without a capture"));
        }
        if then.verdict == "pass" {
            return Err("unmatched and passed".to_owned());
        }
        match self.stages(one, &then) {
            Ok(shadow) => Ok(Rehearsed { shadow, ..self.judged(then) }),
            Err(reason) => Ok(Rehearsed::denied(reason)),
        }
    }

    /// The outcome of a request that passes the other stages: what the scanner said of it then.
    fn judged(&self, then: Rehearsed) -> Rehearsed {
        let by_scan =
            then.reason.as_deref().is_some_and(|reason| reason.starts_with("scan.") || reason.starts_with("reply."));
        if then.is_denied() && !by_scan {
            return Rehearsed { verdict: "allow".to_owned(), reason: None, shadow: Vec::new() };
        }
        then
    }

    fn stages(&mut self, one: &Past, then: &Rehearsed) -> Result<Vec<String>, Reason> {
        let policy = Arc::clone(&self.policy);
        let path = one.text("url.path").unwrap_or_default();
        let method = one.text("http.request.method").unwrap_or("POST");
        let fits = |route: &&RoutePolicy| route.matches.as_str() == path && route.methods().contains(&method);
        let written = policy.routes.iter().find(fits);
        let route: &RoutePolicy = written.or_else(|| policy.route(path, method)).ok_or(Reason::RouteUnmatched)?;
        let caller = one.caller();
        let token = self.token(&caller);
        let now = self.host.now;
        let principal = match &token {
            Some(token) => {
                let bare = token.trim_start_matches("Bearer ");
                Arc::new(policy.authn.verify(bare.as_bytes(), now, &mut self.host).map_err(|denial| denial.reason)?)
            }
            None => policy.authn.anonymous().ok_or(Reason::JwtMissing)?,
        };
        let mut shadow: Vec<String> = Vec::new();
        let mut note = |reasons: &[Reason]| shadow.extend(reasons.iter().map(|reason| reason.code().to_owned()));
        let is_strike = self.is_strike(one);
        let (vm, host) = (&self.vm, &mut self.host);
        let fault = |_| Reason::Internal;
        match policy.quotas.cooldown(&principal, vm.shared_key(), host).map_err(fault)? {
            Some(cooldown) if cooldown.mode == Mode::Enforce => return Err(Reason::AbuseCooldown),
            Some(_) => note(&[Reason::AbuseCooldown]),
            None => {}
        }
        let denial = |denial: crate::reason::Denial| denial.reason;
        let refusal = |refusal: quota::Refusal| refusal.denial.reason;
        let method = one.text("http.request.method").unwrap_or("POST");
        // Of the headers the record says nothing: a condition that asks for one goes wrong.
        let situation = Situation::new(route.protocol.name(), method, path);
        let entitled = stages::entitle(&policy, Arc::clone(&principal), route, situation, host).map_err(denial)?;
        let counted = done(stages::count(&policy, entitled, vm.shared_key(), host).map_err(refusal)?)?;
        // The record has a hash in place of a model that no policy names. It says nothing.
        let model = one.text("gen_ai.request.model").filter(|model| !is_hash(model));
        let cap = one.number("gen_ai.request.max_tokens");
        let exchange = model.map(|model| Exchange::recorded(model, cap));
        let authorized = match &exchange {
            Some(exchange) => {
                let bytes = one.number("http.request.body.bytes").unwrap_or(0) as usize;
                stages::authorize(&policy, counted, (exchange, bytes), now).map_err(denial)?
            }
            None => stages::authorize_bodyless(&policy, counted, now).map_err(denial)?,
        };
        note(&authorized.shadow().into_iter().collect::<Vec<_>>());
        let charged =
            stages::count_rest(&policy, authorized, exchange.as_ref(), vm.shared_key(), host).map_err(refusal)?;
        let found = [Reason::ScanInjection, Reason::ScanSecret, Reason::ScanPii];
        let found = found.into_iter().find(|reason| then.reason.as_deref() == Some(reason.code()));
        if found == Some(Reason::ScanInjection) && is_strike {
            // Without its text each request counts as one that was not there before.
            let text = one.text("bartizan.fingerprint").unwrap_or_default();
            if let Some(mut strike) = quota::Strike::new(&principal, [text].into_iter()) {
                policy.quotas.strike(&mut strike, vm.shared_key(), host).map_err(fault)?;
            }
        }
        let inspected = Inspected::recorded(charged, found)?;
        let (admitted, reserved) =
            stages::admit(&policy, inspected, exchange.as_ref(), expected(one), vm.shared_key(), host)
                .map_err(refusal)?;
        note(&done(admitted)?.limits().shadow);
        let mut spent = match status(one) {
            Some(400..) => Tokens::default(),
            _ => used(one).unwrap_or(reserved.expected()),
        };
        if let (Some(prices), Some(model)) = (&policy.prices, model) {
            let is_split = one.number("gen_ai.usage.reasoning.output_tokens").is_some();
            let billed = one.text("gen_ai.response.model").filter(|model| !is_hash(model));
            spent.cost = prices.cost(&prices.bill(model, now), billed, &spent, is_split).unwrap_or(0);
        }
        policy.quotas.settle(reserved, spent, vm.shared_key(), host).map_err(fault)?;
        Ok(shadow)
    }

    /// A token that says what the record says of the caller; `None` for one without a credential.
    /// True if what the record says of a request that was refused for an attack makes it a strike.
    fn is_strike(&self, one: &Past) -> bool {
        let is_strong_rule = |id: &str| {
            self.policy
                .scanner
                .cards()
                .iter()
                .any(|card| card.id == id && card.kind == Kind::Attack && card.is_strong())
        };
        let findings = one.record().get("bartizan.findings").and_then(Value::as_array).into_iter().flatten();
        let mut blocked = findings.filter(|finding| finding.get("action").and_then(Value::as_str) == Some("block"));
        one.number("bartizan.score").is_some_and(|score| score >= u64::from(STRONG_SCORE))
            || blocked.any(|finding| finding.get("rule").and_then(Value::as_str).is_some_and(is_strong_rule))
    }

    fn token(&self, caller: &Caller) -> Option<String> {
        if caller.issuer == crate::authn::ANONYMOUS_ROLE || caller.issuer.is_empty() {
            return None;
        }
        // The holder of an API key is an application, and so is a workload; of a token no record says whether it was one's.
        let kind = matches!(caller.issuer.as_str(), "apiKeys" | "mesh").then_some("client-credentials");
        // A null counts as absent.
        let claims = json!({"gty": kind, "iss": iss(&caller.issuer), "aud": AUDIENCE, "roles": caller.roles, "tenant": caller.tenant,
            "sub": caller.subject.as_deref().unwrap_or("omitted"), "exp": self.host.now().as_secs() + 60});
        let text =
            format!("{}.{}", BASE64.encode(r#"{"alg":"EdDSA","kid":"replay"}"#), BASE64.encode(claims.to_string()));
        let signature = self.key.sk.sign(text.as_bytes(), None);
        Some(format!("Bearer {text}.{}", BASE64.encode(*signature)))
    }
}

/// No quota here asks a service.
fn done<W>(stage: Counting<W>) -> Result<W, Reason> {
    match stage {
        Counting::Done(witness) => Ok(witness),
        Counting::Ask(_) => Err(Reason::Internal),
    }
}

fn iss(name: &str) -> String {
    format!("urn:replay:{name}")
}

fn status(one: &Past) -> Option<u16> {
    one.number("http.response.status_code").and_then(|status| u16::try_from(status).ok())
}

/// What the model said it used.
fn used(one: &Past) -> Option<Tokens> {
    let (input, output) = (one.number("gen_ai.usage.input_tokens"), one.number("gen_ai.usage.output_tokens"));
    let part = |name: &str| one.number(name).unwrap_or_default();
    (input.is_some() || output.is_some()).then(|| Tokens {
        cached: part("gen_ai.usage.cache_read.input_tokens"),
        reasoning: part("gen_ai.usage.reasoning.output_tokens"),
        images: part("bartizan.cost.images"),
        ..Tokens::of(input.unwrap_or_default(), output.unwrap_or_default())
    })
}

/// What was held for it, or as much as it used.
fn expected(one: &Past) -> Tokens {
    let used = used(one).unwrap_or_default();
    let held = Tokens::of(
        one.number("bartizan.tokens.reserved_input").unwrap_or(used.input),
        one.number("bartizan.tokens.reserved_output").unwrap_or(used.output),
    );
    Tokens { images: used.images, ..held }
}

/// True for a name of which a record has the keyed hash only.
pub(super) fn is_hash(model: &str) -> bool {
    model.len() == 32 && model.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The second of an RFC 3339 time in UTC, as the records have it.
pub(super) fn seconds(text: &str) -> Option<u64> {
    text.ends_with('Z').then(|| document::end(text))?.map(Timestamp::as_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for secs in [0, 951_782_400, 1_709_164_799, 1_800_000_000, 4_102_444_800] {
            assert_eq!(seconds(&crate::audit::rfc3339(Timestamp::from_secs(secs))), Some(secs));
        }
        for wrong in ["", "2026-11-23", "2026-13-01T00:00:00Z", "2026-11-23T00:00:00+01:00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
