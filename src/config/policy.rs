//! The document's meaning: references, ranges and defaults, decided once; the [`Policy`] that comes
//! out is immutable and holds nothing that could still be wrong.

use super::document::{
    self, Mode, OtherTools, OverCap, Role, SignedAction, StateAction, SubjectForm, UnknownAction, UnscannedAction,
    UpstreamHeader, Zone,
};
use super::document::{Cors, Operation, Pack, ResponseHeaders, Unmatched};
use super::environment::{Environment, secret};
use super::errors::{ConfigError, Errors, KeyPath, shortened};
use super::guard::{self, GuardPolicy};
use super::parse::{Parsed, parse_json};
use super::quotas::{self, QuotaPolicy};
use super::refusals::{self, RefusalPolicy};
use super::route::{self, RouteIndex, RoutePolicy};
use super::typed::nearest;
use crate::audit::Labels;
use crate::authn::{ANONYMOUS_ROLE, Authenticator, RoleIndex};
use crate::capture::CapturePolicy;
use crate::glob::Glob;
use crate::protocol::UnscannedKind;
use crate::quota::Quotas;
use crate::scan::{Budget, FaultAt, Scanner, Selection};

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
    /// Guards; [`GuardIndex`] counts into them.
    pub guards: Vec<GuardPolicy>,
    /// The compiled rules.
    pub scanner: Scanner,
    /// Guarded paths. Use [`Policy::route`].
    pub routes: Vec<RoutePolicy>,
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
    /// What is written about a request.
    pub audit: AuditPolicy,
    /// What counters may name of it.
    pub labels: Labels,
    /// What refusals say beside their class.
    pub refusals: RefusalPolicy,
    /// What is kept of requests in which something was found.
    pub capture: Option<CapturePolicy>,
}

/// A guard's place in [`Policy::guards`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuardIndex(pub u16);

/// What one role may do.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePolicy {
    /// The role's name, as it stands in tokens.
    pub name: String,
    /// Operations.
    pub operations: Vec<Operation>,
    /// The workloads that may use the role, by SPIFFE ID; `None`: any.
    pub workloads: Option<Vec<Glob>>,
    /// Models.
    pub models: Vec<Glob>,
    /// Tools that may be offered to the model.
    pub tools: Vec<Glob>,
    /// Hosts at which remote tools may run.
    pub tool_hosts: Vec<Glob>,
    /// Parameters that choose what is otherwise the operator's to choose.
    pub parameters: Vec<Glob>,
    /// What happens to other tools that a request offers.
    pub other_tools: OtherTools,
    /// Zones that this role may author.
    pub may_write: Vec<Zone>,
    /// Cap on the output tokens of one request.
    pub max_output_tokens: Option<u64>,
    /// What happens to a request over the cap.
    pub over_output_tokens: OverCap,
    /// Cap on the answers of one request, prompts x choices. `None`: one choice of each prompt.
    pub max_choices: Option<u64>,
    /// Limits on how much; all of them apply.
    pub quotas: Vec<QuotaPolicy>,
    /// Its guard.
    pub guard: GuardIndex,
    /// Whether a refusal for models, tools or caps takes effect.
    pub mode: Mode,
}

/// What happens to content that can't be scanned, every kind decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnscannedPolicy {
    /// Kinds without a key of their own.
    pub default: UnscannedAction,
    /// Image parts.
    pub image: UnscannedAction,
    /// Audio parts.
    pub audio: UnscannedAction,
    /// Attached files.
    pub file: UnscannedAction,
    /// What the provider keeps from earlier requests.
    pub state: StateAction,
    /// What a provider alone can read.
    pub opaque: UnscannedAction,
    /// Text over the scanner's bounds.
    pub budget: UnscannedAction,
    /// What the provider fetches by itself.
    pub reference: UnscannedAction,
    /// Text as the numbers of a model's tokens.
    pub tokens: UnscannedAction,
}

impl UnscannedPolicy {
    /// True when a caller may go on with what is its own at the provider, and nothing else.
    pub fn knows_owners(&self) -> bool {
        self.state == StateAction::Own
    }

    /// The action for a kind.
    pub const fn action(&self, kind: UnscannedKind) -> UnscannedAction {
        match kind {
            UnscannedKind::Image => self.image,
            UnscannedKind::Audio => self.audio,
            UnscannedKind::File => self.file,
            // What is the caller's own is not among these: see `Exchange::stored`.
            UnscannedKind::State => match self.state {
                StateAction::Deny | StateAction::Own => UnscannedAction::Deny,
                StateAction::Flag => UnscannedAction::Flag,
            },
            UnscannedKind::Opaque => self.opaque,
            UnscannedKind::Budget => self.budget,
            UnscannedKind::Reference => self.reference,
            UnscannedKind::Tokens => self.tokens,
            UnscannedKind::Unknown | UnscannedKind::Other => self.default,
        }
    }
}

/// Bounds on what one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsPolicy {
    /// Request body, bytes.
    pub max_body_bytes: usize,
    /// JSON nesting.
    pub max_json_depth: usize,
    /// Decoded text of one request, bytes.
    pub max_decoded_bytes: usize,
    /// Scanned text of one request, bytes.
    pub max_scan_bytes: usize,
    /// Steps of scanning one request.
    pub max_work: usize,
    /// A whole reply, or one event of a stream, bytes.
    pub max_response_bytes: usize,
    /// Bodies held by one worker at a time, bytes.
    pub max_buffered_bytes_per_worker: usize,
    /// The cap on output tokens where nothing else sets one and a quota counts them.
    pub default_output_tokens: u64,
}

impl LimitsPolicy {
    /// What scanning one request may cost.
    pub fn budget(&self) -> Budget {
        Budget { scan_bytes: self.max_scan_bytes, decoded_bytes: self.max_decoded_bytes, work: self.max_work }
    }
}

/// What is written about a request.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditPolicy {
    /// How the subject stands in the record.
    pub subject: SubjectForm,
    /// The key of every hash in the record; `None`: a random one for the life of the proxy.
    pub hash_key: Option<Vec<u8>>,
    /// Headers for the upstream.
    pub upstream_headers: Vec<UpstreamHeader>,
    /// Ask for the token counts of streams that tell them only when asked.
    pub usage: bool,
    /// Which replies carry headers of ours.
    pub response_headers: ResponseHeaders,
}

impl std::fmt::Debug for AuditPolicy {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditPolicy")
            .field("subject", &self.subject)
            .field("hash_key", &self.hash_key.as_ref().map(|_| "..."))
            .field("upstream_headers", &self.upstream_headers)
            .field("usage", &self.usage)
            .field("response_headers", &self.response_headers)
            .finish()
    }
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

    /// The route for a path without its query: an exact one before a prefix, a longer prefix before a shorter one.
    pub fn route(&self, path: &str) -> Option<&RoutePolicy> {
        let rank = |route: &&RoutePolicy| {
            (!matches!(route.matches, route::PathMatch::Prefix(_)), route.matches.as_str().len())
        };
        self.routes.iter().filter(|route| route.matches.matches(path)).max_by_key(rank)
    }

    /// True when the token counts of streams that tell them only when asked are asked for.
    pub fn asks_usage(&self) -> bool {
        self.audit.usage
    }

    /// The route at this place.
    pub fn route_at(&self, index: RouteIndex) -> Option<&RoutePolicy> {
        self.routes.get(usize::from(index.0))
    }

    /// The role at this place.
    pub fn role_at(&self, index: RoleIndex) -> Option<&RolePolicy> {
        self.roles.get(usize::from(index.0))
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
    let (scanner, limits) = (scanner(document, &root, errors), limits(document, &root, errors));
    let (routes, routes_complete) = route::compile(document.routes.as_deref(), errors);
    let references = guard::References { scanner: scanner.as_ref(), routes: &routes, routes_complete };
    let guards = guard::compile(document.guards.as_ref(), &references, errors);
    let roles = roles(parsed, &guards, &root, errors);
    let refusals = refusals::compile(document, &roles, errors);
    let audit = audit(document, hold_headers, environment, &root, errors);
    let issuers = document.authn.as_ref().and_then(|authn| authn.issuers.as_deref()).unwrap_or_default();
    let issuers: Vec<&str> =
        issuers.iter().filter_map(|issuer| issuer.name.as_deref()).chain(std::iter::once("apiKeys")).collect();
    let abuse = document.abuse.as_ref().map(|written| quotas::abuse(written, &issuers, &root.key("abuse"), errors));
    let capture = document.capture.as_ref();
    let capture = capture.and_then(|section| CapturePolicy::compile(section, &root.key("capture"), errors));
    let unmatched = document.unmatched.unwrap_or(Unmatched::Deny);
    if document.routes.as_ref().is_some_and(Vec::is_empty) && unmatched == Unmatched::Pass {
        errors.push(&root.key("routes"), "empty while unmatched is pass: nothing would be guarded");
    }
    let name = name?;
    let quotas = Quotas::new(&name, roles.iter().map(|role| (role.name.as_str(), role.quotas.as_slice())));
    let claims: Vec<String> =
        roles.iter().flat_map(|role| &role.quotas).filter_map(|quota| quota.claim.clone()).collect();
    let service = quotas::service(document, &name, &roles, &root, errors);
    let quotas = quotas.with_abuse(abuse.as_ref()).with_service(service.as_ref(), audit.hash_key.as_deref());
    let authn = authn?.with_counted_claims(&claims);
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
        guards,
        scanner: scanner?,
        routes,
        cors: document.cors.unwrap_or(Cors::Deny),
        unmatched,
        unscanned: unscanned(document),
        unknown: document.unknown.unwrap_or(UnknownAction::Scan),
        signed: document.signed.unwrap_or(SignedAction::Drop),
        limits,
        audit,
        labels: Labels::of(document),
        refusals,
        capture,
    })
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
    if section.unsafe_anonymous == Some(true) || section.api_keys.is_some() {
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
pub(super) fn unknown<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> String {
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
            role_policy(name, role, &at, errors).map(|policy| RolePolicy { guard, ..policy })
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

fn role_policy(name: &str, role: &Role, at: &KeyPath, errors: &mut Errors) -> Option<RolePolicy> {
    let operations = errors.require(at, "operations", role.operations.clone());
    let models = errors.require(at, "models", role.models.as_ref());
    let models = models.map(|models| globs(models, &at.key("models"), errors));
    let workloads = role.workloads.as_ref().map(|ids| globs(ids, &at.key("workloads"), errors));
    let tools = role.tools.as_ref().and_then(|tools| {
        let at = at.key("tools");
        errors.require(&at, "allow", tools.allow.as_ref()).map(|allow| globs(allow, &at.key("allow"), errors))
    });
    let hosts = role.tool_hosts.as_ref().map(|hosts| globs(hosts, &at.key("toolHosts"), errors));
    let parameters = role.parameters.as_ref().and_then(|parameters| {
        let at = at.key("parameters");
        errors.require(&at, "allow", parameters.allow.as_ref()).map(|allow| globs(allow, &at.key("allow"), errors))
    });
    let max_output_tokens =
        role.max_output_tokens.map(|cap| errors.range(at, "maxOutputTokens", Some(cap), 1, 1..=100_000_000));
    if role.over_output_tokens.is_some() && max_output_tokens.is_none() {
        errors.push(&at.key("maxOutputTokens"), "missing, but overOutputTokens has no effect without it");
    }
    let max_choices = role.max_choices.map(|most| errors.range(at, "maxChoices", Some(most), 1, 1..=65_536));
    let quotas = role.quotas.as_deref().unwrap_or_default();
    if quotas.len() > 8 {
        errors.push(&at.key("quotas"), format!("{} quotas, expected at most 8", quotas.len()));
    }
    let at_quotas = at.key("quotas");
    let quotas = quotas
        .iter()
        .enumerate()
        .filter_map(|(place, raw)| quotas::quota(raw, &at_quotas.index(place), errors))
        .collect();
    Some(RolePolicy {
        name: name.to_owned(),
        operations: operations?,
        workloads,
        models: models?,
        tools: tools.unwrap_or_default(),
        tool_hosts: hosts.unwrap_or_default(),
        parameters: parameters.unwrap_or_default(),
        other_tools: role.tools.as_ref().and_then(|tools| tools.others).unwrap_or(OtherTools::Deny),
        may_write: role.may_write.clone().unwrap_or_default(),
        max_output_tokens,
        over_output_tokens: role.over_output_tokens.unwrap_or(OverCap::Clamp),
        max_choices,
        quotas,
        guard: GuardIndex(0),
        mode: role.mode.unwrap_or(Mode::Enforce),
    })
}

fn globs(texts: &[String], at: &KeyPath, errors: &mut Errors) -> Vec<Glob> {
    for (place, text) in texts.iter().enumerate() {
        if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            let message = format!("expected a name or glob of 1 to 256 bytes, found {:?}", shortened(text));
            errors.push(&at.index(place), message);
        }
    }
    texts.iter().map(|text| Glob::new(text)).collect()
}

fn unscanned(document: &document::Document) -> UnscannedPolicy {
    let absent = document::Unscanned::default();
    let written = document.unscanned.as_ref().unwrap_or(&absent);
    let default = written.default.unwrap_or(UnscannedAction::Deny);
    UnscannedPolicy {
        default,
        image: written.image.unwrap_or(default),
        audio: written.audio.unwrap_or(default),
        file: written.file.unwrap_or(default),
        state: written.state.unwrap_or(match default {
            UnscannedAction::Deny => StateAction::Deny,
            UnscannedAction::Flag => StateAction::Flag,
        }),
        opaque: written.opaque.unwrap_or(UnscannedAction::Flag),
        budget: written.budget.unwrap_or(default),
        reference: written.reference.or(written.file).unwrap_or(default),
        tokens: written.tokens.unwrap_or(default),
    }
}

fn limits(document: &document::Document, root: &KeyPath, errors: &mut Errors) -> LimitsPolicy {
    const MIB: u64 = 1 << 20;
    let absent = document::Limits::default();
    let written = document.limits.as_ref().unwrap_or(&absent);
    let at = root.key("limits");
    let key = "maxBufferedBytesPerWorker";
    let buffered = errors.range(&at, key, written.max_buffered_bytes_per_worker, 128 * MIB, 1..=512 * MIB);
    let default = buffered.min(16 * MIB);
    let max_body = errors.range(&at, "maxBodyBytes", written.max_body_bytes, default, 1..=64 * MIB);
    let depth = errors.range(&at, "maxJsonDepth", written.max_json_depth, 64, 1..=100);
    let decoded = errors.range(&at, "maxDecodedBytes", written.max_decoded_bytes, MIB, 0..=16 * MIB);
    let scanned = errors.range(&at, "maxScanBytes", written.max_scan_bytes, 4 * MIB, 1..=64 * MIB);
    let work = errors.range(&at, "maxWork", written.max_work, Budget::SHIPPED.work as u64, MIB..=4096 * MIB - 1);
    let response = errors.range(&at, "maxResponseBytes", written.max_response_bytes, 4 * MIB, 1..=16 * MIB);
    if buffered < max_body {
        errors
            .push(&at.key(key), format!("{buffered} is less than maxBodyBytes ({max_body}): no such body could pass"));
    }
    LimitsPolicy {
        max_body_bytes: max_body as usize,
        max_json_depth: depth as usize,
        max_decoded_bytes: decoded as usize,
        max_scan_bytes: scanned as usize,
        max_work: work as usize,
        max_response_bytes: response as usize,
        max_buffered_bytes_per_worker: buffered as usize,
        default_output_tokens: errors.range(
            &at,
            "defaultOutputTokens",
            written.default_output_tokens,
            4096,
            1..=100_000_000,
        ),
    }
}

fn audit(
    document: &document::Document,
    hold_headers: bool,
    environment: Environment<'_>,
    root: &KeyPath,
    errors: &mut Errors,
) -> AuditPolicy {
    let absent = document::Audit::default();
    let written = document.audit.as_ref().unwrap_or(&absent);
    let at = root.key("audit");
    let upstream_headers = written.upstream_headers.clone().unwrap_or_default();
    for (place, header) in upstream_headers.iter().enumerate() {
        let after_body = matches!(header, UpstreamHeader::Verdict | UpstreamHeader::Score | UpstreamHeader::Coverage);
        if after_body && !hold_headers {
            let message = format!("{} is known after the body only and needs holdHeaders: true", header.as_str());
            errors.push(&at.key("upstreamHeaders").index(place), message);
        }
    }
    let hash_key = written.hash_key.as_ref().and_then(|key| secret(key, &at.key("hashKey"), environment, errors));
    AuditPolicy {
        subject: written.subject.unwrap_or(SubjectForm::Hashed),
        hash_key,
        upstream_headers,
        usage: written.usage.unwrap_or(false),
        response_headers: written.response_headers.unwrap_or(ResponseHeaders::Denials),
    }
}
