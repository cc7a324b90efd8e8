//! `bartizan explain`: what would happen to a text or a request, role by role, and why.
//!
//! The same scanner, adapters and guards as in the filter judge; nothing is decided here. Who the
//! caller is and what a quota has left is not known here: every role of the policy is shown.

mod compare;
mod delivery;
mod html;
mod reading;
mod record;
mod terminal;

pub(super) use terminal::shown;

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum as _;
use serde::Serialize;

use super::eval;
use super::output::{Exit, coloured, print, print_json, read_text};
use crate::authz;
use crate::authz::{Asking, RolePolicy, Situation, Who};
use crate::condition::{self, Condition};
use crate::document::UnscannedAction;
use crate::enums::Zone;
use crate::guard::GuardPolicy;
use crate::guard::{Outcome, Place, judge};
use crate::host::Timestamp;
use crate::policy::Policy;
use crate::protocol::{Exchange, Json, Position, UnscannedKind};
use crate::reason::Denial;
use crate::route::RouteIndex;
use crate::scan::{Kind, Report, RuleIndex, Text, normalise, scorer};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The text; - or absent: --file or stdin
    text: Option<String>,
    /// A file with the text; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A request's JSON body instead of a text; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "file"])]
    request: Option<PathBuf>,
    /// Audit records instead: says why they were decided so, from the records alone; - is stdin
    #[arg(long, value_name = "LOG", conflicts_with_all = ["text", "file", "request", "html"])]
    record: Option<PathBuf>,
    /// The request whose record is meant: the id that the caller was given
    #[arg(long, value_name = "ID", requires = "record")]
    id: Option<String>,
    /// Another policy that would take the place of --config's: says where it decides otherwise, and why
    #[arg(long, value_name = "NEW", conflicts_with_all = ["record", "html"])]
    compare: Option<PathBuf>,
    /// The path that the request goes to
    #[arg(long, default_value = "/v1/chat/completions", requires = "request")]
    path: String,
    /// The policy; absent: the shipped guard, rules and scorer
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The zone that the text claims
    #[arg(long, value_enum, default_value_t = ZoneName::User)]
    zone: ZoneName,
    /// Judge the text as part of an earlier turn (tool results and documents always are)
    #[arg(long)]
    history: bool,
    /// Roles to show; absent: all
    #[arg(long)]
    role: Vec<String>,
    /// A header of the request, for conditions: NAME: VALUE
    #[arg(long, value_name = "HEADER", requires = "request", value_parser = header)]
    header: Vec<(String, String)>,
    /// The caller, for conditions: JSON with subject, issuer, tenant, roles and claims
    #[arg(long, value_name = "JSON", requires = "request")]
    principal: Option<String>,
    /// The time, for conditions, in RFC 3339; absent: now
    #[arg(long, value_name = "TIME", requires = "request")]
    at: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Write a self-contained page to FILE; - is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ZoneName {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Document,
}

impl ZoneName {
    fn zone(self) -> Zone {
        let place = ZoneName::value_variants().iter().position(|name| *name as u8 == self as u8);
        place.and_then(|place| Zone::ALL.get(place).copied()).unwrap_or(Zone::User)
    }
}

/// Everything there is to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    policy: String,
    policy_digest: String,
    rules_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<String>,
    texts: Vec<TextCard>,
    unscanned: Vec<UnscannedCard>,
    roles: Vec<RoleCard>,
}

/// One text and what was found in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TextCard {
    /// JSON Pointer into the request; empty for a plain text.
    path: String,
    zone: &'static str,
    position: &'static str,
    text: String,
    /// Present when it differs from the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    normalised: Option<String>,
    score: u8,
    /// The score of the rules only.
    rules_score: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    learned: Option<f32>,
    learned_parts: Vec<PartCard>,
    complete: bool,
    findings: Vec<FindingCard>,
}

#[derive(Debug, Serialize)]
struct PartCard {
    text: String,
    weight: f32,
    idea: bool,
}

#[derive(Debug, Serialize)]
struct FindingCard {
    rule: String,
    title: String,
    level: &'static str,
    pack: &'static str,
    kind: &'static str,
    shadow: bool,
    start: usize,
    end: usize,
    chain: Vec<&'static str>,
    /// What the marked text reads, where it was read through an encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<String>,
}

#[derive(Debug, Serialize)]
struct UnscannedCard {
    kind: &'static str,
    path: String,
    action: &'static str,
}

/// What happens to a caller with only this role.
#[derive(Debug, Serialize)]
struct RoleCard {
    role: String,
    guard: String,
    mode: &'static str,
    /// `allow`, `flag`, `shadow`, `mask`, `replace` or `deny`.
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The score from which each text counts as an attack.
    thresholds: Vec<u8>,
    actions: Vec<ActionCard>,
    /// The conditions of the role, its guard and its quotas that do not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<ConditionCard>,
}

/// A condition that does not hold, or goes wrong.
#[derive(Debug, Serialize)]
struct ConditionCard {
    /// Where it is: `role`, `guard` or `quotas[0]`.
    of: String,
    /// What does not hold for that: the role is not granted, the guard is not applied, the quota does not count.
    effect: &'static str,
    /// The parts that do not hold, and why.
    unmet: Vec<UnmetCard>,
}

#[derive(Debug, Serialize)]
struct UnmetCard {
    part: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct ActionCard {
    text: usize,
    rule: String,
    action: &'static str,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let policy = eval::policy(arguments.config.as_deref())?;
    if let Some(log) = &arguments.record {
        let told = record::explain(log, arguments.id.as_deref(), &policy)?;
        if arguments.json {
            print_json(&told)?;
        } else {
            print(&record::page(&told))?;
        }
        return Ok(Exit::Fine);
    }
    let asked = match &arguments.request {
        Some(file) => read_text(file)?,
        None => asked_text(arguments)?,
    };
    let explain = |policy: &Policy| match &arguments.request {
        Some(_) => explain_request(policy, &asked, arguments),
        None => explain_text(policy, &asked, arguments),
    };
    let explanation = explain(&policy)?;
    if let Some(file) = &arguments.compare {
        let other = explain(&eval::policy(Some(file))?)?;
        let differences = compare::differences(&explanation, &other);
        if arguments.json {
            print_json(&differences)?;
        } else {
            print(&compare::page(&differences))?;
        }
        return Ok(if differences.roles.is_empty() { Exit::Fine } else { Exit::Findings });
    }
    // The page shows what goes on, so only the page pays for it.
    let deliveries = match (&arguments.request, &arguments.html) {
        (Some(_), Some(_)) => delivery::all(&explanation, &asked, arguments),
        _ => Ok(Vec::new()),
    };
    let calm = explanation.roles.iter().all(|role| role.verdict == "allow");
    match &arguments.html {
        Some(file) if file.as_os_str() == "-" => print(&html::page(&explanation, &deliveries))?,
        Some(file) => {
            std::fs::write(file, html::page(&explanation, &deliveries)).with_context(|| file.display().to_string())?;
        }
        None if arguments.json => print_json(&explanation)?,
        None => print(&terminal::page(&explanation, coloured()))?,
    }
    Ok(if calm { Exit::Fine } else { Exit::Findings })
}

/// A text and its place.
struct Piece<'t> {
    path: String,
    zone: Zone,
    position: Position,
    is_key: bool,
    text: &'t str,
}

fn asked_text(arguments: &Arguments) -> anyhow::Result<String> {
    let stdin = PathBuf::from("-");
    match &arguments.text {
        Some(text) if text != "-" => Ok(text.clone()),
        _ => read_text(arguments.file.as_ref().unwrap_or(&stdin)),
    }
}

fn explain_text(policy: &Policy, text: &str, arguments: &Arguments) -> anyhow::Result<Explanation> {
    let zone = arguments.zone.zone();
    let past = arguments.history || matches!(zone, Zone::Tool | Zone::Document | Zone::Assistant);
    let position = if past { Position::History } else { Position::Current };
    let piece = Piece { path: String::new(), zone, position, is_key: false, text };
    let mut explanation = explain(policy, RouteIndex(0), vec![piece], None, arguments)?;
    explanation.tools.clear();
    Ok(explanation)
}

fn explain_request(policy: &Policy, body: &str, arguments: &Arguments) -> anyhow::Result<Explanation> {
    let path = arguments.path.split('?').next().unwrap_or_default();
    let Some(route) = policy.route(path, "POST") else {
        bail!(
            "{path}: no route of policy {} matches this path (unmatched: {})",
            policy.name,
            policy.unmatched.as_str()
        );
    };
    let refused = |denial: Denial| {
        let at = denial.param.map(|param| format!(" at {param}")).unwrap_or_default();
        anyhow!("the request is refused before any role counts: {}{at} ({})", denial.reason, denial.status())
    };
    let json = route.protocol.parse(body.as_bytes(), policy.limits.max_json_depth).map_err(refused)?;
    let model = route.matches.parameter(path);
    let mut exchange = route.protocol.read_request(route.operation, model, &json).map_err(refused)?;
    // A role that may not use a tool refuses the request for that.
    let is_shown = |role: &&RolePolicy| arguments.role.is_empty() || arguments.role.contains(&role.name);
    exchange.pass_credentials(|tool| policy.roles.iter().filter(is_shown).any(|role| authz::may_use(role, tool)));
    let pieces = exchange.segments.iter().map(|segment| {
        let text =
            if segment.is_key { json.key_at(&segment.path) } else { json.at(&segment.path).and_then(Json::as_str) };
        Piece {
            path: json.pointer(&segment.path, &|_| true),
            zone: segment.zone,
            position: segment.position,
            is_key: segment.is_key,
            text: text.unwrap_or_default(),
        }
    });
    let told = match &arguments.principal {
        Some(text) => serde_json::from_str(text).context("--principal is not JSON")?,
        None => serde_json::Value::Null,
    };
    let now = match &arguments.at {
        Some(text) => condition::moment(text)
            .map(Timestamp)
            .with_context(|| format!("--at {text}: not a time such as 2027-01-31T08:00:00Z"))?,
        None => now(),
    };
    let mut situation = Situation::new(route.protocol.name(), "POST", path);
    for name in &policy.asked_headers {
        let named = arguments.header.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        situation.add(name, named.map(|(_, value)| value.as_bytes()));
    }
    let asking = Asking {
        who: Who::Told(&told),
        roles: &policy.roles,
        operation: route.operation,
        situation: &situation,
        body: Some((&exchange, body.len())),
        now,
    };
    let request = Request { json: &json, exchange: &exchange, asking };
    explain(policy, route.index, pieces.collect(), Some(&request), arguments)
}

/// A request beside its texts.
struct Request<'r> {
    json: &'r Json<'r>,
    exchange: &'r Exchange,
    asking: Asking<'r>,
}

/// `NAME: VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(now.as_secs())
}

fn explain(
    policy: &Policy,
    route: RouteIndex,
    pieces: Vec<Piece<'_>>,
    request: Option<&Request<'_>>,
    arguments: &Arguments,
) -> anyhow::Result<Explanation> {
    for name in &arguments.role {
        if !policy.roles.iter().any(|role| role.name == *name) {
            let names: Vec<&str> = policy.roles.iter().map(|role| role.name.as_str()).collect();
            bail!("--role {name}: the policy has no such role, expected one of {}", names.join(", "));
        }
    }
    let limits = &policy.limits;
    let budget = limits.budget();
    let texts: Vec<Text<'_>> = pieces.iter().map(|piece| Text { zone: piece.zone, text: piece.text }).collect();
    let report = policy.scanner.scan(&texts, budget);
    let mut unscanned = Vec::new();
    for (kind, path) in request.into_iter().flat_map(|request| &request.exchange.unscanned) {
        let path = request.map(|request| request.json.pointer(path, &|_| true)).unwrap_or_default();
        unscanned.push((*kind, path));
    }
    let places = report.texts.iter().zip(&pieces);
    unscanned.extend(
        places.filter(|(report, _)| !report.complete).map(|(_, piece)| (UnscannedKind::Budget, piece.path.clone())),
    );
    let judged = Judged { policy, route, pieces: &pieces, request, report: &report, unscanned: &unscanned };
    let shown = |role: &&RolePolicy| arguments.role.is_empty() || arguments.role.contains(&role.name);
    Ok(Explanation {
        policy: policy.name.clone(),
        policy_digest: policy.digest_short().to_owned(),
        rules_digest: policy.scanner.digest().get(..12).unwrap_or_default().to_owned(),
        model: request.map(|request| request.exchange.model.clone()),
        tools: request
            .map(|request| request.exchange.tools.iter().map(|tool| tool.name.clone()).collect())
            .unwrap_or_default(),
        texts: (0..pieces.len()).filter_map(|index| judged.text(index)).collect(),
        unscanned: unscanned
            .iter()
            .map(|(kind, path)| {
                let action = policy.unscanned.action(*kind).as_str();
                UnscannedCard { kind: kind.name(), path: path.clone(), action }
            })
            .collect(),
        roles: policy.roles.iter().filter(shown).filter_map(|role| judged.role(role)).collect(),
    })
}

/// A scanned request, before the guards.
struct Judged<'j> {
    policy: &'j Policy,
    route: RouteIndex,
    pieces: &'j [Piece<'j>],
    request: Option<&'j Request<'j>>,
    report: &'j Report,
    unscanned: &'j [(UnscannedKind, String)],
}

impl Judged<'_> {
    fn text(&self, index: usize) -> Option<TextCard> {
        let scanner = &self.policy.scanner;
        let (piece, report) = (self.pieces.get(index)?, self.report.texts.get(index)?);
        let joints = self.report.joints.iter().filter(|(text, _)| *text == index).map(|(_, finding)| finding);
        let findings = report.findings.iter().chain(joints).filter_map(|finding| {
            let card = scanner.cards().get(usize::from(finding.rule.0))?;
            Some(FindingCard {
                rule: card.id.clone(),
                title: card.title.clone(),
                level: card.level.as_str(),
                pack: card.pack.as_str(),
                kind: kind(card.kind),
                shadow: card.shadow,
                start: finding.span.start,
                end: finding.span.end,
                chain: finding.chain.clone(),
                decoded: reading::of(piece.text.get(finding.span.clone()).unwrap_or_default(), &finding.chain),
            })
        });
        let normalised = crate::scan::without_hosts(&normalise::to_string(piece.text)).into_owned();
        let parts = if report.learned.is_some() {
            scorer::explain(&normalised, scorer::Voice::of(piece.zone), 6)
        } else {
            Vec::new()
        };
        let learned_parts = parts.into_iter().map(|part| PartCard {
            text: normalised.get(part.span).unwrap_or_default().to_owned(),
            weight: part.weight,
            idea: part.idea,
        });
        let unmuted = |_: RuleIndex| false;
        let rules_alone = crate::scan::TextReport { learned: None, ..report.clone() };
        Some(TextCard {
            path: piece.path.clone(),
            zone: piece.zone.as_str(),
            position: match piece.position {
                Position::Current => "current",
                Position::History => "history",
            },
            text: piece.text.to_owned(),
            score: scanner.score(report, piece.zone, &unmuted),
            rules_score: scanner.score(&rules_alone, piece.zone, &unmuted),
            learned: report.learned,
            learned_parts: learned_parts.collect(),
            complete: report.complete,
            findings: findings.collect(),
            normalised: (normalised != piece.text.to_lowercase()).then_some(normalised),
        })
    }

    /// The conditions that do not hold for the request.
    fn conditions(&self, role: &RolePolicy, guard: &GuardPolicy) -> Vec<ConditionCard> {
        let Some(Request { asking, .. }) = self.request else { return Vec::new() };
        let card = |of: String, effect, when: &Condition| {
            let unmet = asking.unmet(when).into_iter().map(|(part, why)| UnmetCard { part, why });
            ConditionCard { of, effect, unmet: unmet.collect() }
        };
        let unmet = |when: &&Condition| asking.holds(when) != Ok(true);
        let mut cards = Vec::new();
        cards.extend(role.when.as_ref().filter(unmet).map(|when| card("role".to_owned(), "not granted", when)));
        let effect = |when: &Condition, fails, errs| if asking.fails(when) { fails } else { errs };
        cards.extend(
            guard.when.as_ref().filter(unmet).map(|when| {
                card("guard".to_owned(), effect(when, "not applied", "applied, because it goes wrong"), when)
            }),
        );
        for (place, quota) in role.quotas.iter().enumerate() {
            cards.extend(quota.when.as_ref().filter(unmet).map(|when| {
                card(format!("quotas[{place}]"), effect(when, "not counted", "counted, because it goes wrong"), when)
            }));
        }
        cards
    }

    fn role(&self, role: &RolePolicy) -> Option<RoleCard> {
        let guard = self.policy.guard(role.guard)?;
        let thresholds = self.pieces.iter().map(|piece| threshold(guard, role, piece.zone)).collect();
        let card = |verdict, reason: Option<crate::reason::Reason>, actions| RoleCard {
            role: role.name.clone(),
            guard: guard.name.clone(),
            mode: guard.mode.as_str(),
            verdict,
            reason: reason.map(crate::reason::Reason::code),
            status: reason.map(crate::reason::Reason::status),
            thresholds,
            actions,
            conditions: self.conditions(role, guard),
        };
        if let Some(request) = self.request
            && let Some(denial) = authz::refusal(role, request.exchange, &request.asking)
        {
            return Some(card("deny", Some(denial.reason), Vec::new()));
        }
        let places: Vec<Place> = self
            .pieces
            .iter()
            .map(|piece| Place {
                zone: piece.zone,
                position: piece.position,
                is_key: piece.is_key,
                trusted: role.may_write.contains(&piece.zone),
            })
            .collect();
        let now = self.request.map_or_else(now, |request| request.asking.now);
        let is_idle = |when| self.request.is_some_and(|request| request.asking.fails(when));
        let guards = if guard.when.as_ref().is_some_and(is_idle) { Vec::new() } else { vec![guard] };
        let scanner = &self.policy.scanner;
        let judgement = judge(scanner, &guards, self.route, &places, self.report.clone(), now);
        let name = |rule: RuleIndex| scanner.cards().get(usize::from(rule.0)).map(|card| card.id.clone());
        let actions = judgement.findings.iter().filter_map(|judged| {
            Some(ActionCard { text: judged.text, rule: name(judged.finding.rule)?, action: judged.act.name() })
        });
        let actions: Vec<ActionCard> = actions.collect();
        let denied =
            self.unscanned.iter().any(|(kind, _)| self.policy.unscanned.action(*kind) == UnscannedAction::Deny);
        let reason = judgement.denial().or(denied.then_some(crate::reason::Reason::BodyUnscanned));
        let any = |wanted: fn(&Outcome) -> bool| judgement.outcomes.iter().any(wanted);
        let verdict = match reason {
            Some(_) => "deny",
            None if any(|outcome| matches!(outcome, Outcome::Replace)) => "replace",
            None if any(|outcome| matches!(outcome, Outcome::Mask(_))) => "mask",
            None if !judgement.shadow.is_empty() => "shadow",
            None if actions.iter().any(|action| action.action != "exception") => "flag",
            None => "allow",
        };
        Some(card(verdict, reason, actions))
    }
}

/// The threshold that holds: unless the role may write the zone, the user's where that is stricter.
fn threshold(guard: &GuardPolicy, role: &RolePolicy, zone: Zone) -> u8 {
    let own = guard.injection.threshold(zone);
    if role.may_write.contains(&zone) { own } else { own.min(guard.injection.threshold(Zone::User)) }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Attack => "attack",
        Kind::Secret => "secret",
        Kind::Pii(of) | Kind::Own(of, _) => of.as_str(),
    }
}
