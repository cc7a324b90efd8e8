//! The document's meaning: references, ranges and defaults, decided once; the [`Policy`] that comes
//! out is immutable and holds nothing that could still be wrong.
//!
//! ```
//! use bartizan::policy::Policy;
//!
//! let document = br#"{"version": 1, "name": "small", "authn": {"issuers": []}, "roles": {
//!     "user": {"operations": ["chat"], "models": ["*"], "guard": "lax"}}}"#;
//! let errors = Policy::from_json(document, &|_| None).unwrap_err();
//! assert!(errors.iter().any(|error| error.to_string().starts_with("roles.user.guard: unknown guard \"lax\"")));
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::document::{
    self, ConfigError, Cors, Environment, Errors, KeyPath, Parsed, Reach, Role, SignedAction, UnknownAction, Unmatched,
    nearest, parse_json, shortened,
};
use crate::enums::{Mode, Pack};
use crate::sorted;
mod limits;
mod refusals;

pub use limits::{LimitsPolicy, UnscannedPolicy};
pub use refusals::{RefusalPolicy, Words};

use crate::assertion::Signer;
use crate::audit::{AuditPolicy, Labels, is_ours};
use crate::authn::{ANONYMOUS_ROLE, Authenticator, RoleIndex};
use crate::authz::RolePolicy;
use crate::capture::CapturePolicy;
use crate::condition::{Condition, Fact};
use crate::consult::opa::Engine;
use crate::consult::opinion::{MAX_OPINIONS, OpinionPolicy};
use crate::guard::{self, GuardIndex, GuardPolicy, OpinionIndex};
use crate::models::ModelsPolicy;
use crate::prompts::PromptVersions;
use crate::quota::price::{Prices, check_currencies};
use crate::quota::{AbusePolicy, Quotas, RateLimitService};
use crate::route::{self, RouteIndex, RoutePolicy};
use crate::scan::{FaultAt, Scanner, Selection};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    /// The policy's name: the prefix of shared state.
    pub name: String,
    /// SHA-256 of the canonical document (JSON, keys sorted, no spaces), in hex.
    pub digest: String,
    /// Hold request headers until the body is judged.
    pub hold_headers: bool,
    /// Who callers are.
    pub authn: Authenticator,
    /// Roles, by name; [`RoleIndex`] counts into them.
    pub roles: Vec<RolePolicy>,
    /// The roles' quotas, ready to be charged.
    pub quotas: Quotas,
    /// Aliases of models, their ends, and what replies may name.
    pub models: Option<ModelsPolicy>,
    /// Versions of system prompts.
    pub prompts: PromptVersions,
    /// What models cost.
    pub prices: Option<Prices>,
    /// Guards; [`GuardIndex`] counts into them.
    pub guards: Vec<GuardPolicy>,
    /// The headers that conditions ask for.
    pub asked_headers: Vec<Arc<str>>,
    /// The compiled rules.
    pub scanner: Arc<Scanner>,
    /// Guarded paths. Use [`Policy::route`].
    pub routes: Vec<RoutePolicy>,
    /// Paths beside them that can't be guarded.
    pub realtime: Vec<route::PathMatch>,
    /// What happens to a browser's preflight.
    pub cors: Cors,
    /// What happens to a request that no route matches.
    pub unmatched: Unmatched,
    /// What happens to content that can't be scanned.
    pub unscanned: UnscannedPolicy,
    /// What happens to parts of a type that this version does not know.
    pub unknown: UnknownAction,
    /// What happens to findings in what a provider signed.
    pub signed: SignedAction,
    /// Bounds on what one request may cost.
    pub limits: LimitsPolicy,
    /// What signs who calls, for the upstream.
    pub signer: Option<Signer>,
    /// What is written about a request.
    pub audit: AuditPolicy,
    /// What counters may name of it.
    pub labels: Labels,
    /// What refusals say beside their class.
    pub refusals: RefusalPolicy,
    /// What is kept of requests in which something was found.
    pub capture: Option<CapturePolicy>,
    /// The operator's own policy engine.
    pub engine: Option<Engine>,
    /// Outside judges; [`OpinionIndex`] counts into them.
    pub opinions: Vec<OpinionPolicy>,
}

impl Policy {
    /// Compiles a document as the proxy gets it. `environment` reads the VM's environment.
    ///
    /// # Errors
    /// Everything that is wrong with the document, at once.
    pub fn from_json(bytes: &[u8], environment: Environment<'_>) -> Result<Policy, Vec<ConfigError>> {
        Policy::compile(parse_json(bytes), environment)
    }

    /// Compiles a parsed document.
    ///
    /// # Errors
    /// Everything that is wrong with the document, of form and of meaning, at once.
    pub fn compile(parsed: Parsed, environment: Environment<'_>) -> Result<Policy, Vec<ConfigError>> {
        if parsed.is_hopeless() {
            return Err(parsed.errors);
        }
        let mut errors = Errors::default();
        let policy = compile(&parsed, environment, &mut errors);
        let errors = parsed.merge(errors.into_vec());
        match policy {
            Some(policy) if errors.is_empty() => Ok(policy),
            _ if errors.is_empty() => {
                let message = "not usable, and no cause was found: this is a fault of Bartizan".to_owned();
                Err(vec![ConfigError { path: KeyPath::root(), message }])
            }
            _ => Err(errors),
        }
    }

    /// One line that says what is in force: version, policy, rules, issuers with their key ids, modes.
    pub fn summary(&self) -> String {
        let issuers: Vec<String> =
            self.authn.issuers().map(|(name, keys)| format!("{name}[{}]", keys.join(","))).collect();
        let guards = self.guards.iter().filter(|guard| guard.mode == Mode::Shadow).map(|guard| guard.name.as_str());
        let roles = self.roles.iter().filter(|role| role.mode == Mode::Shadow).map(|role| role.name.as_str());
        format!(
            "bartizan {} policy={}@{} rules={} hold_headers={} routes={} roles={} issuers={} shadow=[{}]",
            env!("CARGO_PKG_VERSION"),
            self.name,
            self.digest_short(),
            self.scanner.digest().get(..12).unwrap_or("none"),
            self.hold_headers,
            self.routes.len(),
            self.roles.len(),
            issuers.join(","),
            guards.chain(roles).collect::<Vec<_>>().join(",")
        )
    }

    /// The first twelve digits of the digest, for logs and records.
    pub fn digest_short(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// The route for a path without its query: an exact one before a template, that before a prefix, of these the longest, and
    /// of several for the same path the one that has the method.
    pub fn route(&self, path: &str, method: &str) -> Option<&RoutePolicy> {
        let rank = |route: &&RoutePolicy| {
            let kind = match route.matches {
                route::PathMatch::Prefix(_) => 0,
                route::PathMatch::Template(_) => 1,
                route::PathMatch::Exact(_) => 2,
            };
            (kind, route.matches.as_str().len(), route.methods().contains(&method))
        };
        self.routes.iter().filter(|route| route.matches.matches(path)).max_by_key(rank)
    }

    /// The route below whose prefix a path is that no route matches: its protocol's clients send such paths. `None`: there is
    /// none, or routes of several protocols share the prefix.
    pub fn route_near(&self, path: &str) -> Option<&RoutePolicy> {
        let holds = |route: &&RoutePolicy| route.written.ends_with('/') && path.starts_with(&route.written);
        let nearest = self.routes.iter().filter(holds).max_by_key(|route| route.written.len())?;
        let shared = self.routes.iter().filter(|route| route.written == nearest.written);
        let name = nearest.protocol.name();
        shared.map(|route| route.protocol.name()).all(|other| other == name).then_some(nearest)
    }

    /// True for a path that an upstream may take for a guarded one. `forgiving`: as the most lenient one reads it.
    pub fn is_disguise(&self, forgiving: &str) -> bool {
        let guarded = self.routes.iter().map(|route| &route.matches);
        guarded.chain(&self.realtime).any(|matches| matches.resembles(forgiving))
    }

    /// True for a path of OpenAI's Realtime API beside one that is guarded.
    pub fn is_realtime(&self, path: &str) -> bool {
        self.realtime.iter().any(|refused| refused.matches(path))
    }

    /// True when the token counts of streams that tell them only when asked are asked for.
    pub fn asks_usage(&self) -> bool {
        self.audit.usage || self.prices.is_some()
    }

    /// True when it counts which model a reply names.
    pub fn wants_answering_model(&self) -> bool {
        self.prices.is_some() || self.models.is_some()
    }

    /// The route at this place.
    pub fn route_at(&self, index: RouteIndex) -> Option<&RoutePolicy> {
        self.routes.get(usize::from(index.0))
    }

    /// The role at this place.
    pub fn role_at(&self, index: RoleIndex) -> Option<&RolePolicy> {
        self.roles.get(usize::from(index.0))
    }

    /// The guards at these places.
    pub fn guards_of(&self, places: &[GuardIndex]) -> Vec<&GuardPolicy> {
        places.iter().filter_map(|index| self.guard(*index)).collect()
    }

    /// Where the guards of these roles are, each once.
    pub fn guards_at(&self, roles: &[RoleIndex]) -> Vec<GuardIndex> {
        let mut places: Vec<GuardIndex> = roles.iter().filter_map(|role| Some(self.role_at(*role)?.guard)).collect();
        sorted::once(&mut places);
        places
    }

    /// The outside judge at this place.
    pub fn opinion(&self, index: OpinionIndex) -> Option<&OpinionPolicy> {
        self.opinions.get(usize::from(index.0))
    }

    /// The guard at this place.
    pub fn guard(&self, index: GuardIndex) -> Option<&GuardPolicy> {
        self.guards.get(usize::from(index.0))
    }
}

fn compile(parsed: &Parsed, environment: Environment<'_>, errors: &mut Errors) -> Option<Policy> {
    let document = &parsed.document;
    let root = KeyPath::root();
    version(document, &root, errors);
    let name = name(document, &root, errors);
    let hold_headers = document.hold_headers.unwrap_or(false);
    let authn = authn(parsed, environment, &root, errors);
    let (scanner, limits) = (
        scanner(document, &root, errors),
        LimitsPolicy::compile(document.limits.as_ref(), &root.key("limits"), errors),
    );
    let (routes, routes_complete) = route::compile(document.routes.as_deref(), errors);
    let (opinion_names, opinions) = opinions(document, &root.key("opinions"), environment, errors);
    let references =
        guard::References { scanner: scanner.as_ref(), routes: &routes, routes_complete, opinions: &opinion_names };
    let guards = guard::compile(document.guards.as_ref(), &references, errors);
    let roles = roles(parsed, &guards, &root, errors);
    let refusals = refusals::compile(document, &roles, errors);
    let audit = AuditPolicy::compile(document.audit.as_ref(), hold_headers, environment, &root.key("audit"), errors);
    let identity = document.upstream.as_ref().and_then(|upstream| upstream.identity.as_ref());
    let at_identity = root.key("upstream").key("identity");
    let signer = identity.and_then(|written| Signer::compile(written, environment, &at_identity, errors));
    let issuers = document.authn.as_ref().and_then(|authn| authn.issuers.as_deref()).unwrap_or_default();
    let issuers: Vec<&str> =
        issuers.iter().filter_map(|issuer| issuer.name.as_deref()).chain(std::iter::once("apiKeys")).collect();
    let abuse =
        document.abuse.as_ref().map(|written| AbusePolicy::compile(written, &issuers, &root.key("abuse"), errors));
    let engine = engine(document, (&guards, &roles), &root.key("authz").key("opa"), errors);
    let capture = document.capture.as_ref();
    let capture = capture.and_then(|section| CapturePolicy::compile(section, &root.key("capture"), errors));
    let unmatched = document.unmatched.unwrap_or(Unmatched::Deny);
    if document.routes.as_ref().is_some_and(Vec::is_empty) && unmatched == Unmatched::Pass {
        errors.push(&root.key("routes"), "empty while unmatched is pass: nothing would be guarded");
    }
    let prices = document.prices.as_ref().and_then(|prices| Prices::compile(prices, &root.key("prices"), errors));
    check_currencies(document, errors);
    let models = document.models.as_ref().map(|models| ModelsPolicy::compile(models, &root.key("models"), errors));
    let prompts = PromptVersions::compile(document.prompts.as_ref(), &root.key("prompts"), errors);
    check_prompts(&roles, &prompts, &root.key("roles"), errors);
    let name = name?;
    let named_quotas = || roles.iter().map(|role| (role.name.as_str(), role.quotas.as_slice()));
    let quotas = Quotas::new(&name, named_quotas());
    let of_stores = routes.iter().filter_map(|route| route.tenancy.as_ref()?.claim());
    let claims: Vec<String> = roles
        .iter()
        .flat_map(|role| &role.quotas)
        .filter_map(|quota| quota.claim.as_ref())
        .chain(of_stores)
        .cloned()
        .collect();
    let service = RateLimitService::compile(document, &name, named_quotas(), errors);
    let quotas = quotas.with_abuse(abuse.as_ref()).with_service(service.as_ref(), audit.hash_key.as_deref());
    let authn = authn?.with_counted_claims(&claims);
    let asked = asked(&roles, &guards);
    let asked_headers = headers(&asked, &authn, errors);
    let pointers = asked.iter().filter_map(|(_, fact)| match fact {
        Fact::Claim(pointer) => Some(&**pointer),
        _ => None,
    });
    let of_group = audit.group.iter().map(|group| group.claim.as_str());
    let pointers: BTreeSet<&str> = sorted::set(of_group.chain(pointers));
    let authn = authn.with_asked_claims(&pointers.into_iter().collect::<Vec<_>>());
    let authn = match &abuse {
        Some(abuse) => authn.with_end_users(abuse.claim.as_deref()),
        None => authn,
    };
    Some(Policy {
        name,
        digest: parsed.digest.clone(),
        hold_headers,
        authn,
        roles,
        quotas,
        models,
        prompts,
        prices,
        guards,
        asked_headers,
        scanner: Arc::new(scanner?),
        realtime: route::refused(&routes),
        routes,
        cors: document.cors.unwrap_or(Cors::Deny),
        unmatched,
        unscanned: UnscannedPolicy::compile(document.unscanned.as_ref()),
        unknown: document.unknown.unwrap_or(UnknownAction::Scan),
        signed: document.signed.unwrap_or(SignedAction::Drop),
        limits,
        signer,
        audit,
        labels: Labels::of(document),
        refusals,
        capture,
        engine,
        opinions,
    })
}

/// Every pattern of a role's `systemPrompts` picks a version: one that picks none is a name misspelt.
fn check_prompts(roles: &[RolePolicy], prompts: &PromptVersions, at: &KeyPath, errors: &mut Errors) {
    for role in roles {
        for (place, glob) in role.system_prompts.iter().flatten().enumerate() {
            if !prompts.names().any(|name| glob.matches(name)) {
                let at = at.key(&role.name).key("systemPrompts").index(place);
                errors.push(&at, "no version of `prompts` has this name");
            }
        }
    }
}

/// The outside judges, and the names of all that the document has: where one is broken its name still counts.
fn opinions(
    document: &document::Document,
    at: &KeyPath,
    environment: Environment<'_>,
    errors: &mut Errors,
) -> (Vec<String>, Vec<OpinionPolicy>) {
    let Some(written) = &document.opinions else { return (Vec::new(), Vec::new()) };
    if written.len() > MAX_OPINIONS {
        errors.push(at, format!("{} judges, expected at most {MAX_OPINIONS}", written.len()));
    }
    let compiled = written
        .iter()
        .filter_map(|(name, opinion)| OpinionPolicy::compile(name, opinion, &at.key(name), environment, errors));
    let compiled = compiled.collect();
    (written.keys().cloned().collect(), compiled)
}

/// Open Policy Agent, with the names that its obligations may have.
fn engine(
    document: &document::Document,
    (guards, roles): (&[GuardPolicy], &[RolePolicy]),
    at: &KeyPath,
    errors: &mut Errors,
) -> Option<Engine> {
    let written = document.authz.as_ref()?.opa.as_ref()?;
    let guards = (0..).map(GuardIndex).zip(guards).map(|(index, guard)| (guard.name.as_str().into(), index));
    // The fleet is asked about a request once, by the roles that grant it.
    let is_own = |role: &&RolePolicy| role.quotas.iter().all(|quota| quota.reach == Reach::Proxy);
    let roles = (0..)
        .map(RoleIndex)
        .zip(roles)
        .filter(|(_, role)| is_own(role))
        .map(|(index, role)| (role.name.as_str().into(), index));
    Engine::compile(written, at, (guards.collect(), roles.collect()), errors)
}

/// All that conditions ask for, and where.
fn asked(roles: &[RolePolicy], guards: &[GuardPolicy]) -> Vec<(KeyPath, Fact)> {
    let root = KeyPath::root();
    let mut conditions: Vec<(KeyPath, &Condition)> = Vec::new();
    for role in roles {
        let at = root.key("roles").key(&role.name);
        conditions.extend(role.when.iter().map(|when| (at.key("when"), when)));
        for (place, quota) in role.quotas.iter().enumerate() {
            conditions.extend(quota.when.iter().map(|when| (at.key("quotas").index(place).key("when"), when)));
        }
    }
    for guard in guards {
        let at = root.key("guards").key(&guard.name);
        conditions.extend(guard.when.iter().map(|when| (at.key("when"), when)));
    }
    let facts = |(at, when): (KeyPath, &Condition)| {
        when.facts().iter().map(|fact| (at.clone(), fact.clone())).collect::<Vec<_>>()
    };
    conditions.into_iter().flat_map(facts).collect()
}

/// The headers that conditions ask for; one that carries credentials is an error.
fn headers(asked: &[(KeyPath, Fact)], authn: &Authenticator, errors: &mut Errors) -> Vec<Arc<str>> {
    const CREDENTIALS: [&str; 7] =
        ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization", "set-cookie"];
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (at, fact) in asked {
        let Fact::Header(name) = fact else { continue };
        if CREDENTIALS.contains(&&**name) || authn.token_headers().any(|known| known.eq_ignore_ascii_case(name)) {
            errors.push(at, format!("request.headers['{name}'] carries credentials, and no condition reads those"));
        } else if is_ours(name.as_bytes()) {
            errors.push(at, format!("request.headers['{name}'] is a name of Bartizan's own, which no client may send"));
        }
        names.insert(name);
    }
    names.into_iter().map(Arc::from).collect()
}

fn version(document: &document::Document, root: &KeyPath, errors: &mut Errors) {
    if let Some(version) = errors.require(root, "version", document.version)
        && version != 1
    {
        errors.push(&root.key("version"), format!("{version} is unknown, expected 1"));
    }
}

fn name(document: &document::Document, root: &KeyPath, errors: &mut Errors) -> Option<String> {
    let name = errors.require(root, "name", document.name.as_ref())?;
    let is_word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if name.is_empty() || name.len() > 63 || !is_word {
        let message = format!("expected 1 to 63 of a-z, 0-9 and -, found {:?}", shortened(name));
        errors.push(&root.key("name"), message);
        return None;
    }
    Some(name.clone())
}

fn authn(parsed: &Parsed, environment: Environment<'_>, root: &KeyPath, errors: &mut Errors) -> Option<Authenticator> {
    let at = root.key("authn");
    let Some(section) = parsed.document.authn.as_ref() else {
        errors.push(&at, "missing, but required; to let everybody in write unsafeAnonymous: true below it");
        return None;
    };
    // Anonymous callers need no issuer; whoever brings a credential then is refused.
    let mut section = section.clone();
    if section.unsafe_anonymous == Some(true) || section.api_keys.is_some() || section.workloads.is_some() {
        section.issuers.get_or_insert_default();
    }
    Authenticator::compile_in(&section, &at, &role_names(parsed, &section), environment, errors)
}

/// The names of the roles, in their order. Where a role is broken its name still counts, so that one
/// fault gives one message; no policy comes of such a document.
fn role_names(parsed: &Parsed, section: &document::Authn) -> Vec<String> {
    let mut names: Vec<String> = parsed.document.roles.iter().flat_map(|roles| roles.keys().cloned()).collect();
    let at = KeyPath::root().key("roles");
    let granted =
        section.issuers.iter().flatten().filter_map(|issuer| issuer.grants.as_ref()?.roles.as_ref()).flatten();
    for name in granted.map(String::as_str).chain([ANONYMOUS_ROLE]) {
        if parsed.document.roles.is_none() || parsed.refused(&at) || parsed.refused(&at.key(name)) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The message for a name that refers to nothing.
fn unknown<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let known = match names.len() {
        0 => "none is defined".to_owned(),
        1..=12 => format!("expected one of {}", names.join(", ")),
        count => format!("expected one of the {count} that are defined"),
    };
    let hint = nearest(name, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("unknown {what} {:?}, {known}{hint}", shortened(name))
}

fn scanner(document: &document::Document, root: &KeyPath, errors: &mut Errors) -> Option<Scanner> {
    let absent = document::Rules::default();
    let rules = document.rules.as_ref().unwrap_or(&absent);
    let selection = Selection {
        packs: rules.packs.as_deref().unwrap_or(Pack::ALL),
        disable: rules.disable.as_deref().unwrap_or_default(),
        custom: rules.custom.as_deref().unwrap_or_default(),
        scorer: rules.scorer.unwrap_or(true),
    };
    let at = root.key("rules");
    match Scanner::compile(&selection) {
        Ok(scanner) => Some(scanner),
        Err(faults) => {
            for fault in faults {
                let path = match fault.at {
                    FaultAt::Disable(place) => at.key("disable").index(place),
                    FaultAt::Custom(place, key) => at.key("custom").index(place).key(key),
                };
                errors.push(&path, fault.message);
            }
            None
        }
    }
}

fn roles(parsed: &Parsed, guards: &[GuardPolicy], root: &KeyPath, errors: &mut Errors) -> Vec<RolePolicy> {
    let at = root.key("roles");
    let Some(roles) = errors.require(root, "roles", parsed.document.roles.as_ref()) else { return Vec::new() };
    if roles.len() > 10_000 {
        errors.push(&at, format!("{} roles, expected at most 10000", roles.len()));
        return Vec::new();
    }
    // The map is sorted, so that the list is too and `Policy::role` can search it.
    roles
        .iter()
        .filter_map(|(name, role)| {
            let at = at.key(name);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
            if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
                errors.push(&at, "not a role's name, expected 1 to 128 of a-z, A-Z, 0-9 and ._:/@-");
            }
            let guard = role_guard(parsed, role, guards, &at, errors);
            RolePolicy::compile(name, role, guard, &at, errors)
        })
        .collect()
}

fn role_guard(parsed: &Parsed, role: &Role, guards: &[GuardPolicy], at: &KeyPath, errors: &mut Errors) -> GuardIndex {
    let name = role.guard.as_deref().unwrap_or(guard::STANDARD);
    let place = guards.iter().position(|guard| guard.name == name);
    let sections = KeyPath::root().key("guards");
    if place.is_none() && !parsed.refused(&sections) && !parsed.refused(&sections.key(name)) {
        errors.push(&at.key("guard"), unknown("guard", name, guards.iter().map(|guard| guard.name.as_str())));
    }
    GuardIndex(place.unwrap_or_default() as u16)
}
