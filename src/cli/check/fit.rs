//! What must fit between a policy and its surroundings, and what a policy says that it hardly means.

use super::super::source::{Bound, Remark, Severity, Surroundings, Vm};
use crate::document::{Confinement, Document, KeyPath, Parsed, Tenancy, UnscannedAction, end, nearest};
use crate::enums::{DataAction, Mode, PiiType};
use crate::host::Timestamp;
use crate::policy::Policy;
use crate::route::RoutePolicy;
use crate::sorted::SortedMap;

/// What can be said before the policy is compiled: its form was read as far as it goes.
pub(super) fn form(parsed: &Parsed, at: &KeyPath, part: usize, surroundings: &Surroundings) -> Vec<Remark> {
    let mut said = Said { part, remarks: Vec::new() };
    let document = &parsed.document;
    // Of a document that could not be read nothing follows.
    let held = (!parsed.digest.is_empty()).then(|| document.hold_headers.unwrap_or(false));
    match surroundings {
        Surroundings::Plain => {}
        Surroundings::WasmPlugin(_) if held == Some(true) => {
            let message = "true, but a WasmPlugin can't set Envoy's allow_on_headers_stop_iteration: every request with a \
                           body would hang; use an EnvoyFilter, or false";
            said.error(at.key("holdHeaders"), message);
        }
        Surroundings::WasmPlugin(_) => {}
        Surroundings::Envoy(envoy) => {
            if let Some(error) = &envoy.unreadable {
                said.error(error.path.clone(), error.message.clone());
            }
            let allowed = envoy.holds_headers.unwrap_or(false);
            let switch = envoy.plugin.key("allow_on_headers_stop_iteration");
            if held == Some(true) && !allowed {
                let message = "must be true, because the policy has holdHeaders: true; without it every request with a \
                               body hangs";
                said.error(switch, message);
            } else if held == Some(false) && allowed {
                said.error(switch, "true, but the policy does not have holdHeaders: true; set both or neither");
            }
            if let Some(clusters) = &envoy.clusters {
                for (path, cluster) in wanted(parsed, at) {
                    if !clusters.contains(&cluster) {
                        let names = clusters.join(", ");
                        said.error(
                            path,
                            format!("no cluster of this file is called {cluster:?}, expected one of {names}"),
                        );
                    }
                }
            }
        }
    }
    unknown_parts(document, at, &mut said);
    if vm(surroundings).is_some_and(|vm| vm.failure.as_deref() == Some("FAIL_OPEN")) {
        said.say(Severity::Warning, at.clone(), "FAIL_OPEN: requests pass unguarded while the VM is down");
    }
    said.remarks
}

/// Who writes that everything is refused which can't be scanned may take a part of an unknown type for such a thing.
fn unknown_parts(document: &Document, at: &KeyPath, said: &mut Said) {
    let written = document.unscanned.as_ref().and_then(|section| section.default);
    if written == Some(UnscannedAction::Deny) && document.unknown.is_none() {
        let message = "deny refuses what can't be scanned; parts of an unknown type are scanned, so they pass, and only bytes \
                       in them are refused; unknown: deny refuses them too, unknown: scan ends this note";
        said.say(Severity::Note, at.key("unscanned").key("default"), message);
    }
}

/// The clusters that a policy names, and where.
fn wanted(parsed: &Parsed, at: &KeyPath) -> Vec<(KeyPath, String)> {
    let document = &parsed.document;
    let mut wanted = Vec::new();
    let issuers = document.authn.as_ref().and_then(|authn| authn.issuers.as_deref()).unwrap_or_default();
    for (index, issuer) in issuers.iter().enumerate() {
        let at = at.key("authn").key("issuers").index(index);
        for (key, cluster) in [
            ("jwks", issuer.jwks.as_ref().and_then(|jwks| jwks.cluster.as_ref())),
            ("introspection", issuer.introspection.as_ref().and_then(|section| section.cluster.as_ref())),
            ("revocation", issuer.revocation.as_ref().and_then(|section| section.cluster.as_ref())),
        ] {
            wanted.extend(cluster.map(|cluster| (at.key(key).key("cluster"), cluster.clone())));
        }
    }
    for (index, route) in document.routes.iter().flatten().enumerate() {
        if let Some(Tenancy::Own(Confinement { cluster: Some(cluster), .. })) = &route.tenancy {
            wanted.push((at.key("routes").index(index).key("tenancy").key("cluster"), cluster.clone()));
        }
    }
    let service = document.rate_limit_service.as_ref().and_then(|service| service.cluster.clone());
    wanted.extend(service.map(|cluster| (at.key("rateLimitService").key("cluster"), cluster)));
    wanted
}

/// What can be said of a policy that compiles.
pub(super) fn meaning(
    policy: &Policy,
    document: &Document,
    at: &KeyPath,
    part: usize,
    surroundings: &Surroundings,
) -> Vec<Remark> {
    let mut said = Said { part, remarks: Vec::new() };
    if policy.roles.is_empty() {
        said.say(Severity::Warning, at.key("roles"), "empty: nobody has a role, and every request is refused");
    }
    ended(policy, at, &mut said);
    models(policy, document, at, &mut said);
    unkeyed(policy, at, &mut said);
    uncounted(policy, at, &mut said);
    unreached(policy, document, at, &mut said);
    if let Surroundings::Envoy(envoy) = surroundings {
        let (body, reply) = (policy.limits.max_body_bytes as u64, policy.limits.max_response_bytes as u64);
        let mut bound = |bound: &Option<Bound>, wanted: u64, limits: &str, short: &str| {
            if let Some(bound) = bound.as_ref().filter(|bound| bound.bytes() < wanted) {
                let is = if bound.set.is_some() { "" } else { "not set: Envoy's default of " };
                let message = format!("{is}{} bytes, but the policy's {limits} is {wanted}: {short}", bound.bytes());
                said.say(Severity::Warning, bound.path.clone(), message);
            }
        };
        let limits = if body >= reply { "limits.maxBodyBytes" } else { "limits.maxResponseBytes" };
        let short = "Envoy refuses what is longer by itself (413, 500) before Bartizan sees it";
        bound(&envoy.connection, body.max(reply), limits, short);
        bound(&envoy.stream, body, "limits.maxBodyBytes", "Envoy refuses longer requests of HTTP/2 by itself (413)");
    }
    said.remarks
}

/// Words that a key makes and that are in prompts: without a key of the policy's own each proxy has another.
fn unkeyed(policy: &Policy, at: &KeyPath, said: &mut Said) {
    if policy.audit.hash_key.is_some() {
        return;
    }
    for guard in policy.guards.iter().filter(|guard| guard.mode == Mode::Enforce) {
        let hashes = guard.secrets == DataAction::Hash
            || PiiType::ALL.iter().any(|kind| guard.pii.action(*kind) == Some(DataAction::Hash));
        let words = [
            (guard.restores(), "placeholders of restore"),
            (hashes, "placeholders of hash"),
            (guard.output.canary.is_some(), "canaries"),
            (guard.spotlight.is_some(), "marks of spotlight"),
        ];
        let words: Vec<&str> = words.into_iter().filter(|(is_on, _)| *is_on).map(|(_, words)| words).collect();
        if !words.is_empty() {
            let message = format!(
                "missing, so that the {} of guard {} differ between proxies and after restarts, and providers can't cache \
                 such prompts; set the same key everywhere",
                words.join(", "),
                guard.name,
            );
            said.say(Severity::Note, at.key("audit").key("hashKey"), message);
        }
    }
}

/// Names that share the counters called `other`.
fn uncounted(policy: &Policy, at: &KeyPath, said: &mut Said) {
    for (kind, listed) in policy.labels.left_out() {
        let most = crate::audit::MOST_LABELS;
        let message =
            format!("{listed} {kind} in the policy: {most} have counters of their own, the others count as other");
        said.say(Severity::Note, at.key("audit"), message);
    }
}

/// What the policy says has ended: exceptions except nothing any more, and API keys are refused.
fn ended(policy: &Policy, at: &KeyPath, said: &mut Said) {
    let now = now();
    for place in policy.authn.ended_keys(now) {
        let path = at.key("authn").key("apiKeys").index(place).key("until");
        said.say(Severity::Warning, path, "the key has ended: whoever sends it is refused");
    }
    for guard in &policy.guards {
        for (place, exception) in guard.exceptions.iter().enumerate().filter(|(_, exception)| exception.until <= now) {
            let path = at.key("guards").key(&guard.name).key("exceptions").index(place);
            said.say(Severity::Note, path, format!("its last day has passed ({})", exception.reason));
        }
    }
}

/// Names of models that lead nowhere: aliases that no role grants, ends that have passed, names that are nearly an alias.
fn models(policy: &Policy, document: &Document, at: &KeyPath, said: &mut Said) {
    let (Some(written), Some(compiled)) = (&document.models, &policy.models) else { return };
    let now = now();
    let is_granted = |name: &str| {
        policy.roles.iter().any(|role| role.mode == Mode::Shadow || role.models.iter().any(|glob| glob.matches(name)))
    };
    let empty = SortedMap::default();
    let aliases = written.aliases.as_ref().unwrap_or(&empty);
    let of = |name: &str| aliases.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let section = at.key("models");
    for (alias, model) in aliases {
        let at = section.key("aliases").key(alias);
        if !is_granted(alias) {
            said.say(Severity::Warning, at.clone(), "no role may use it: no role's models have this name");
        }
        if compiled.is_over(alias, model, now) {
            let message =
                format!("it or {model} has ended (models.deprecated): requests for it are refused with model.retired");
            said.say(Severity::Warning, at, message);
        }
    }
    for (pattern, one) in written.deprecated.iter().flatten() {
        let at = section.key("deprecated").key(pattern);
        if one.until.as_deref().and_then(end).is_some_and(|until| until <= now) {
            let message = "has passed: requests for it are refused with model.retired";
            said.say(Severity::Warning, at.key("until"), message);
        }
        let Some(name) = &one.replacement else { continue };
        if compiled.is_over(name, &of(name), now) {
            said.say(Severity::Warning, at.key("replacement"), "callers are told to use it, but it has ended itself");
        }
        if !is_granted(name) {
            said.say(Severity::Warning, at.key("replacement"), "callers are told to use it, but no role may use it");
        }
    }
    let names: Vec<&String> = aliases.keys().collect();
    for (role, fields) in document.roles.iter().flatten() {
        for (place, name) in fields.models.iter().flatten().enumerate() {
            let at = at.key("roles").key(role).key("models").index(place);
            // Names of models have digits, and are often near to each other: gpt-4 and gpt-4o are both right.
            let is_known = aliases.contains_key(name) || aliases.values().any(|model| model == name);
            if !is_known
                && !name.bytes().any(|byte| byte == b'*' || byte.is_ascii_digit())
                && let Some(meant) = nearest(name, &names)
            {
                said.say(Severity::Warning, at, format!("no alias has this name; {meant:?} is probably meant"));
            } else if let Some((alias, _)) = aliases.iter().find(|(_, model)| *model == name) {
                let message =
                    format!("what alias {alias:?} means now: callers of the role stay with it when the alias moves");
                said.say(Severity::Note, at, message);
            }
        }
    }
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(now.as_secs())
}

/// Prefixes that end with what the paths of their format begin with: `/v1/chat/` would guard `/v1/chat/chat/completions`.
fn unreached(policy: &Policy, document: &Document, at: &KeyPath, said: &mut Said) {
    for (index, route) in document.routes.iter().flatten().enumerate() {
        let Some(prefix) = route.matches.as_ref().and_then(|matches| matches.path_prefix.as_ref()) else { continue };
        // A prefix that is one operation says itself what it takes; one of many has routes of its own.
        let is_expanded = |route: &&RoutePolicy| route.written == *prefix && route.matches.as_str() != prefix;
        let Some(compiled) = policy.routes.iter().find(is_expanded) else { continue };
        let (before, last) = prefix.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
        let paths = compiled.protocol.paths().iter();
        // `v1/` begins paths of Azure's, and prefixes of everybody's.
        let is_twice = |head: &str| head == last && head != "v1";
        let mut twice = paths.filter(|(path, _)| path.split_once('/').is_some_and(|(head, _)| is_twice(head)));
        if let Some((path, _)) = twice.next() {
            let message = format!(
                "ends with what paths of protocol {} begin with, so that it guards {prefix}{path}, which no client calls; \
                 {before}/ is probably meant",
                compiled.protocol.name(),
            );
            said.say(Severity::Warning, at.key("routes").index(index).key("match").key("pathPrefix"), message);
        }
    }
}

/// A variable's value as far as this file tells, and what must be said about it.
pub(super) fn variable(name: &str, surroundings: &Surroundings) -> (Option<String>, Option<String>) {
    // Fit for every check, also as 64 hex digits; the real value is known in the proxy only.
    let placeholder = || Some("1".repeat(64));
    match vm(surroundings) {
        Some(vm) => match vm.environment.get(name) {
            Some(Some(value)) => (Some(value.clone()), None),
            Some(None) => (placeholder(), Some(format!("the proxy's own environment must have {name}"))),
            None => (None, None),
        },
        None => match std::env::var(name) {
            Ok(value) => (Some(value), None),
            Err(_) => (placeholder(), Some(format!("the VM's environment must have {name}; not set here"))),
        },
    }
}

fn vm(surroundings: &Surroundings) -> Option<&Vm> {
    match surroundings {
        Surroundings::Plain => None,
        Surroundings::WasmPlugin(vm) => Some(vm),
        Surroundings::Envoy(envoy) => Some(&envoy.vm),
    }
}

struct Said {
    part: usize,
    remarks: Vec<Remark>,
}

impl Said {
    fn say(&mut self, severity: Severity, path: KeyPath, message: impl Into<String>) {
        self.remarks.push(Remark { severity, part: self.part, path, message: message.into() });
    }

    fn error(&mut self, path: KeyPath, message: impl Into<String>) {
        self.say(Severity::Error, path, message);
    }
}
