//! Guards: from scores and findings to actions, and the exceptions that end by themselves.

use crate::sorted::SortedMap;

use crate::condition::{self, Condition};
use crate::document::{
    self, Errors, Exception, Guard, Injection, KeyPath, Output, OutputAction, Pii, Restore, Spotlight,
    StreamedOpinions, Thresholds, end_of_day, shortened,
};
use crate::enums::{Action, DataAction, Mode, PiiType, Zone};
use crate::glob::Glob;
use crate::host::Timestamp;
use crate::route::{RouteIndex, RoutePolicy};
use crate::scan::{RuleIndex, Scanner};
use crate::sorted;

/// The guard that roles have when they name none.
pub(crate) const STANDARD: &str = "standard";

/// A guard's place in the policy's list of guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuardIndex(pub u16);

/// An outside judge's place in the policy's list of judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpinionIndex(pub u8);

/// What is searched for and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardPolicy {
    /// Its name.
    pub name: String,
    /// To which requests it is applied; `None`: all.
    pub when: Option<Condition>,
    /// Whether its verdicts take effect.
    pub mode: Mode,
    /// Attacks on the model.
    pub injection: InjectionPolicy,
    /// Personal data.
    pub pii: PiiPolicy,
    /// Credentials.
    pub secrets: DataAction,
    /// Arguments of tool calls that get values back: tool and argument.
    pub restored: Vec<(String, String)>,
    /// How text of tools and documents is marked for the model.
    pub spotlight: Option<Spotlight>,
    /// What the model answers.
    pub output: OutputPolicy,
    /// Outside judges that are asked.
    pub opinions: Vec<OpinionIndex>,
    /// Findings that are known and accepted.
    pub exceptions: Vec<ExceptionPolicy>,
}

impl GuardPolicy {
    /// True when values that this guard masks come back in the reply.
    pub fn restores(&self) -> bool {
        let restore = Some(DataAction::Restore);
        self.secrets == DataAction::Restore || PiiType::ALL.iter().any(|kind| self.pii.action(*kind) == restore)
    }

    /// True when an exception covers this finding now.
    pub fn excepts(&self, rule: RuleIndex, route: RouteIndex, zone: Zone, now: Timestamp) -> bool {
        self.exceptions.iter().any(|exception| exception.covers(rule, route, zone, now))
    }
}

/// Attacks on the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectionPolicy {
    /// For the caller's newest turn.
    pub action: Action,
    /// For an earlier turn, a tool result or a document.
    pub history: Action,
    /// The score from which a text counts as an attack, by zone; over 100: never.
    thresholds: [u8; Zone::ALL.len()],
}

impl InjectionPolicy {
    /// The score from which a text of this zone counts as an attack.
    pub fn threshold(&self, zone: Zone) -> u8 {
        self.thresholds.get(zone as usize).copied().unwrap_or(default_threshold(zone))
    }
}

/// What the shipped guard calls an attack. `rules/EVALUATION.md` has what each threshold gives on sources that the
/// scorer never saw, and which thresholds the other sources would choose for each. What is said to a model and what it is
/// given to read are scored by weights of their own, hence by thresholds of their own. What an application instructs may
/// forbid things in the words of an attack: recorded, never refused, for callers who may write them (101: no score is
/// that high).
const fn default_threshold(zone: Zone) -> u8 {
    match zone {
        Zone::System | Zone::Developer => 101,
        Zone::User | Zone::Assistant => 90,
        Zone::Tool => 84,
        Zone::Document => 89,
    }
}

/// Personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PiiPolicy {
    actions: [Option<DataAction>; PiiType::ALL.len()],
}

impl PiiPolicy {
    /// What follows from data of this type; `None`: the guard does not look for it.
    pub fn action(&self, of: PiiType) -> Option<DataAction> {
        self.actions.get(of as usize).copied().flatten()
    }
}

/// What the model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPolicy {
    /// Credentials.
    pub secrets: DataAction,
    /// Personal data of the types that the guard looks for.
    pub pii: DataAction,
    /// Images and links that carry data away.
    pub exfiltration: OutputAction,
    /// HTML and addresses that run code.
    pub script: OutputAction,
    /// Calls of tools that the role may not use.
    pub tool_calls: OutputAction,
    /// The token at the end of the system prompt; `None`: there is none.
    pub canary: Option<CanaryPolicy>,
    /// Hosts that answers may point to.
    pub allow_hosts: Vec<Glob>,
    /// Outside judges that are shown answers.
    pub opinions: OutputOpinions,
}

/// Outside judges that are shown answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputOpinions {
    /// Who is asked.
    pub judges: Vec<OpinionIndex>,
    /// What follows when a score reaches the threshold.
    pub action: OutputAction,
    /// How streams are shown.
    pub streams: StreamedOpinions,
}

/// The token at the end of the system prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryPolicy {
    /// What follows when an answer holds it.
    pub action: OutputAction,
    /// How long it stays the same, in seconds; never 0.
    pub epoch: u64,
}

/// Findings that are known and accepted until a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionPolicy {
    /// The rules, sorted.
    pub rules: Vec<RuleIndex>,
    /// The routes; `None`: every route.
    pub routes: Option<Vec<RouteIndex>>,
    /// The zones; `None`: every zone.
    pub zones: Option<Vec<Zone>>,
    /// The first moment at which it no longer holds.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

impl ExceptionPolicy {
    /// True when this exception covers a finding.
    pub fn covers(&self, rule: RuleIndex, route: RouteIndex, zone: Zone, now: Timestamp) -> bool {
        now < self.until
            && self.rules.binary_search(&rule).is_ok()
            && self.routes.as_ref().is_none_or(|routes| routes.contains(&route))
            && self.zones.as_ref().is_none_or(|zones| zones.contains(&zone))
    }
}

/// What exceptions refer to. `scanner` is absent when the rules did not compile.
pub(crate) struct References<'a> {
    pub(crate) scanner: Option<&'a Scanner>,
    pub(crate) routes: &'a [RoutePolicy],
    /// False when a route is broken, so that a path that is not found may be its.
    pub(crate) routes_complete: bool,
    /// The names of the outside judges.
    pub(crate) opinions: &'a [String],
}

/// Compiles all guards, by name; `standard` exists also when the document does not name it.
pub(crate) fn compile(
    guards: Option<&SortedMap<String, Guard>>,
    references: &References<'_>,
    errors: &mut Errors,
) -> Vec<GuardPolicy> {
    let at = KeyPath::root().key("guards");
    let mut compiled = Vec::new();
    let built_in = Guard::default();
    if guards.is_none_or(|guards| !guards.contains_key(STANDARD)) {
        compiled.push(compile_guard(STANDARD, &built_in, &at.key(STANDARD), references, errors));
    }
    for (name, guard) in guards.into_iter().flatten() {
        compiled.push(compile_guard(name, guard, &at.key(name), references, errors));
    }
    compiled
}

fn compile_guard(
    name: &str,
    guard: &Guard,
    at: &KeyPath,
    references: &References<'_>,
    errors: &mut Errors,
) -> GuardPolicy {
    let exceptions = guard.exceptions.as_deref().unwrap_or_default();
    let at_exceptions = at.key("exceptions");
    let mut compiled = GuardPolicy {
        name: name.to_owned(),
        when: condition::compile(guard.when.as_deref(), at, errors),
        mode: guard.mode.unwrap_or(Mode::Enforce),
        injection: injection(guard.injection.as_ref(), &at.key("injection"), errors),
        pii: pii(guard.pii.as_ref(), &at.key("pii"), errors),
        secrets: guard.secrets.as_ref().and_then(|secrets| secrets.action).unwrap_or(DataAction::Block),
        restored: Vec::new(),
        spotlight: guard.spotlight,
        output: output(guard.output.as_ref(), &at.key("output"), references.opinions, errors),
        opinions: opinions(guard.opinions.as_deref(), references.opinions, &at.key("opinions"), errors),
        exceptions: exceptions
            .iter()
            .enumerate()
            .filter_map(|(place, entry)| exception(entry, &at_exceptions.index(place), references, errors))
            .collect(),
    };
    if let Some(restore) = &guard.restore {
        compiled.restored = restored(restore, compiled.restores(), &at.key("restore"), errors);
    }
    compiled
}

/// The judges of these names.
fn opinions(named: Option<&[String]>, known: &[String], at: &KeyPath, errors: &mut Errors) -> Vec<OpinionIndex> {
    let mut found = Vec::new();
    for (place, name) in named.unwrap_or_default().iter().enumerate() {
        match known.iter().position(|known| known == name).and_then(|index| u8::try_from(index).ok()) {
            Some(index) => found.push(OpinionIndex(index)),
            None => errors.push(&at.index(place), format!("unknown opinion {:?}", shortened(name))),
        }
    }
    sorted::once(&mut found);
    found
}

fn restored(restore: &Restore, restores: bool, at: &KeyPath, errors: &mut Errors) -> Vec<(String, String)> {
    let mut named = Vec::new();
    if !restores {
        errors.push(at, "has no effect: neither pii nor secrets of this guard has the action restore");
    }
    for (place, entry) in restore.tools.iter().flatten().enumerate() {
        let at = at.key("tools").index(place);
        for (key, name) in [("tool", &entry.tool), ("argument", &entry.argument)] {
            if errors.require(&at, key, name.as_ref()).is_some_and(String::is_empty) {
                errors.push(&at.key(key), "empty, expected a name");
            }
        }
        named.extend(entry.tool.clone().zip(entry.argument.clone()));
    }
    named
}

fn output(output: Option<&Output>, at: &KeyPath, known: &[String], errors: &mut Errors) -> OutputPolicy {
    let absent = Output::default();
    let written = output.unwrap_or(&absent);
    for (key, action) in [("secrets", written.secrets), ("pii", written.pii)] {
        if action == Some(DataAction::Restore) {
            errors.push(&at.key(key), "restore is for requests; in a reply there is nothing to give back");
        }
    }
    for (place, host) in written.allow_hosts.iter().flatten().enumerate() {
        if host.is_empty() || host.len() > 253 || host.contains(['/', ':', ' ']) {
            let message = format!("{:?} is not a host name or a glob of them", shortened(host));
            errors.push(&at.key("allowHosts").index(place), message);
        }
    }
    OutputPolicy {
        secrets: written.secrets.unwrap_or(DataAction::Mask),
        pii: written.pii.unwrap_or(DataAction::Flag),
        exfiltration: written.exfiltration.unwrap_or(OutputAction::Flag),
        script: written.script.unwrap_or(OutputAction::Flag),
        tool_calls: written.tool_calls.unwrap_or(OutputAction::Remove),
        canary: canary(written, at, errors),
        allow_hosts: written.allow_hosts.iter().flatten().map(|host| Glob::new(&host.to_lowercase())).collect(),
        opinions: output_opinions(written.opinions.as_ref(), &at.key("opinions"), known, errors),
    }
}

fn output_opinions(
    written: Option<&document::OutputOpinions>,
    at: &KeyPath,
    known: &[String],
    errors: &mut Errors,
) -> OutputOpinions {
    let judges = written.and_then(|written| written.judges.as_deref());
    match judges {
        None if written.is_some() => {
            errors.require::<()>(at, "judges", None);
        }
        Some([]) => errors.push(&at.key("judges"), "empty, expected the name of a judge"),
        _ => {}
    }
    OutputOpinions {
        judges: opinions(judges, known, &at.key("judges"), errors),
        action: written.and_then(|written| written.action).unwrap_or(OutputAction::Block),
        streams: written.and_then(|written| written.streams).unwrap_or(StreamedOpinions::Whole),
    }
}

fn canary(written: &Output, at: &KeyPath, errors: &mut Errors) -> Option<CanaryPolicy> {
    const DAY: u64 = 86_400;
    let epoch = written.canary_epoch.map_or(DAY, |span| span.0.as_secs());
    if !(60..=31 * DAY).contains(&epoch) {
        errors.push(&at.key("canaryEpoch"), "out of range, expected 1m to 31d");
    }
    if written.canary.is_none() && written.canary_epoch.is_some() {
        errors.push(&at.key("canary"), "missing, but canaryEpoch has no effect without it");
    }
    written.canary.map(|action| CanaryPolicy { action, epoch: epoch.max(1) })
}

fn injection(injection: Option<&Injection>, at: &KeyPath, errors: &mut Errors) -> InjectionPolicy {
    let at = at.key("thresholds");
    let absent = Thresholds::default();
    let written = injection.and_then(|injection| injection.thresholds.as_ref()).unwrap_or(&absent);
    let mut thresholds = [0; Zone::ALL.len()];
    for (slot, zone) in thresholds.iter_mut().zip(Zone::ALL) {
        let value = match zone {
            Zone::System => written.system,
            Zone::Developer => written.developer,
            Zone::User => written.user,
            Zone::Assistant => written.assistant,
            Zone::Tool => written.tool,
            Zone::Document => written.document,
        };
        *slot = errors.range(&at, zone.as_str(), value, default_threshold(*zone).into(), 1..=101) as u8;
    }
    InjectionPolicy {
        action: injection.and_then(|injection| injection.action).unwrap_or(Action::Block),
        history: injection.and_then(|injection| injection.history).unwrap_or(Action::Replace),
        thresholds,
    }
}

fn pii(pii: Option<&Pii>, at: &KeyPath, errors: &mut Errors) -> PiiPolicy {
    let action = pii.and_then(|pii| pii.action).unwrap_or(DataAction::Flag);
    let types = pii.and_then(|pii| pii.types.as_deref()).unwrap_or(PiiType::ALL);
    let mut actions = [None; PiiType::ALL.len()];
    for (slot, of) in actions.iter_mut().zip(PiiType::ALL) {
        *slot = types.contains(of).then_some(action);
        let own = pii.and_then(|pii| pii.by_type.as_ref()).and_then(|by_type| by_type.get(of));
        if let Some(own) = own {
            if slot.is_none() {
                let message = "not in types of the same section, so that it would never be looked for";
                errors.push(&at.key("byType").key(of.as_str()), message);
            }
            *slot = Some(*own);
        }
    }
    PiiPolicy { actions }
}

fn exception(
    entry: &Exception,
    at: &KeyPath,
    references: &References<'_>,
    errors: &mut Errors,
) -> Option<ExceptionPolicy> {
    let until = until(entry, at, errors);
    if errors.require(at, "reason", entry.reason.as_ref()).is_some_and(|reason| reason.trim().is_empty()) {
        errors.push(&at.key("reason"), "empty, expected why this exception exists");
    }
    let rules = errors.require(at, "rules", entry.rules.as_ref());
    if rules.is_some_and(Vec::is_empty) {
        errors.push(&at.key("rules"), "empty, expected at least one rule id");
    }
    let mut indices = Vec::new();
    for (place, id) in rules.into_iter().flatten().enumerate() {
        let Some(scanner) = references.scanner else { continue };
        match scanner.cards().iter().position(|card| card.id == *id) {
            Some(index) => indices.push(RuleIndex(index as u16)),
            None => {
                let message = format!("unknown rule {:?}, expected the id of a rule in force", shortened(id));
                errors.push(&at.key("rules").index(place), message);
            }
        }
    }
    sorted::by(&mut indices, Ord::cmp);
    let routes = entry.routes.as_ref().map(|paths| {
        let at = at.key("routes");
        let mut found = Vec::new();
        for (place, path) in paths.iter().enumerate() {
            let before = found.len();
            let named =
                references.routes.iter().filter(|route| route.matches.as_str() == path || route.written == *path);
            found.extend(named.map(|route| route.index));
            if found.len() == before && references.routes_complete {
                let message = format!("unknown route {:?}, expected a path or pathPrefix of routes", shortened(path));
                errors.push(&at.index(place), message);
            }
        }
        found
    });
    Some(ExceptionPolicy {
        rules: indices,
        routes,
        zones: entry.zones.clone(),
        until: until?,
        reason: entry.reason.clone()?,
    })
}

fn until(entry: &Exception, at: &KeyPath, errors: &mut Errors) -> Option<Timestamp> {
    let text = errors.require(at, "until", entry.until.as_ref())?;
    let end = end_of_day(text);
    if end.is_none() {
        let message = format!("expected the last day, such as \"2027-01-31\", found {:?}", shortened(text));
        errors.push(&at.key("until"), message);
    }
    end
}
