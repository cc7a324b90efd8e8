//! The `authn` section to an [`Authenticator`], with every error's key path.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::api_key::{ApiKey, MAX_API_KEYS};
use super::claims::{ClaimRules, Pointer, RequiredClaim};
use super::introspection::{Introspection, basic};
use super::jwk::{Key, KeySet, MAX_KEYS};
use super::remote::{Published, Remote};
use super::revocation::Revocation;
use super::workload::{self, MAX_WORKLOADS};
use super::{
    ANONYMOUS_ROLE, Algorithm, Authenticator, DEFAULT_TOKEN_BYTES, Issuer, KeySource, MAX_NAME_BYTES, MAX_TOKEN_BYTES,
    Principal, RoleIndex,
};
use crate::document::{self, Environment, Errors, KeyPath, Span, secret};
use crate::glob::Glob;
use crate::sorted;

/// The most issuers of one policy.
const MAX_ISSUERS: usize = 64;
const DEFAULT_SKEW_SECS: u64 = 60;
const MAX_SKEW_SECS: u64 = 300;

impl Authenticator {
    /// Compiles the section found at `path`. `role_names` are the policy's roles in the order that
    /// [`RoleIndex`] counts.
    ///
    /// `None` when the section has an error; all of them are in `errors`.
    pub fn compile(
        section: &document::Authn,
        path: &KeyPath,
        role_names: &[String],
        errors: &mut Errors,
    ) -> Option<Authenticator> {
        Authenticator::compile_in(section, path, role_names, &|_| None, errors)
    }

    /// The same, with the VM's environment, which holds the secrets.
    pub fn compile_in(
        section: &document::Authn,
        path: &KeyPath,
        role_names: &[String],
        environment: Environment<'_>,
        errors: &mut Errors,
    ) -> Option<Authenticator> {
        let before = errors.len();
        let roles = RoleNames(role_names);
        let skew = skew(section.clock_skew, path, errors);
        let (default, most) = (DEFAULT_TOKEN_BYTES as u64, MAX_TOKEN_BYTES as u64);
        let max_token_bytes =
            errors.range(path, "maxTokenBytes", section.max_token_bytes, default, 1024..=most) as usize;
        let token_from = token_from(section.token_from.as_deref(), &path.key("tokenFrom"), errors);
        let anonymous = match section.unsafe_anonymous.unwrap_or(false) {
            false => None,
            true => {
                let role = roles.find(ANONYMOUS_ROLE);
                if role.is_none() {
                    let message = format!("true, but roles.{ANONYMOUS_ROLE} does not exist");
                    errors.push(&path.key("unsafeAnonymous"), message);
                }
                role.map(|role| Arc::new(Principal::anonymous(role)))
            }
        };
        let from_mesh = section.from_mesh.unwrap_or(false);
        let listed = section.issuers.as_deref();
        if from_mesh
            && listed
                .is_some_and(|all| all.iter().all(|issuer| issuer.jwks.is_some() || issuer.introspection.is_some()))
        {
            errors.push(&path.key("fromMesh"), "true, but every issuer has jwks of its own");
        }
        let others = section.api_keys.is_some() || section.workloads.is_some();
        if listed.is_none() && !others && !section.unsafe_anonymous.unwrap_or(false) {
            errors.push(
                &path.key("issuers"),
                "missing, but required unless there are apiKeys or workloads, or unsafeAnonymous is true",
            );
        }
        let workloads =
            workloads(section.workloads.as_deref().unwrap_or_default(), &path.key("workloads"), roles, errors);
        let api_keys = api_keys(section.api_keys.as_deref().unwrap_or_default(), &path.key("apiKeys"), roles, errors);
        let (listed, path) = (listed.unwrap_or_default(), path.key("issuers"));
        if listed.len() > MAX_ISSUERS {
            errors.push(&path, format!("{} issuers, expected at most {MAX_ISSUERS}", listed.len()));
        }
        let compiled: Vec<Option<Issuer>> = listed
            .iter()
            .enumerate()
            .map(|(place, issuer)| {
                compile_issuer(issuer, &path.index(place), (roles, skew, from_mesh), environment, errors)
            })
            .collect();
        for (place, _) in listed.iter().enumerate().filter(|(_, issuer)| issuer.introspection.is_some()).skip(1) {
            let message = "a second one: nobody could tell which issuer to ask about a token that says nothing";
            errors.push(&path.index(place).key("introspection"), message);
        }
        refuse_twins(listed, &path, errors);
        refuse_taken(section, &path, errors);
        if errors.len() > before {
            return None;
        }
        Some(Authenticator {
            issuers: compiled.into_iter().flatten().collect(),
            api_keys,
            workloads,
            token_from,
            forward_token: section.forward_token.unwrap_or(false),
            max_token_bytes,
            anonymous,
            digest: digest(section, role_names),
        })
    }
}

/// The policy's role names.
#[derive(Clone, Copy)]
struct RoleNames<'r>(&'r [String]);

impl RoleNames<'_> {
    fn find(self, name: &str) -> Option<RoleIndex> {
        let place = self.0.iter().position(|role| role == name)?;
        u16::try_from(place).ok().map(RoleIndex)
    }

    fn all(self) -> impl Iterator<Item = (Box<str>, RoleIndex)> {
        self.0.iter().zip(0..=u16::MAX).map(|(name, index)| (name.as_str().into(), RoleIndex(index)))
    }
}

fn api_keys(listed: &[document::ApiKey], path: &KeyPath, roles: RoleNames<'_>, errors: &mut Errors) -> Vec<ApiKey> {
    if listed.len() > MAX_API_KEYS {
        errors.push(path, format!("{} keys, expected at most {MAX_API_KEYS}", listed.len()));
        return Vec::new();
    }
    let mut keys: Vec<ApiKey> = Vec::with_capacity(listed.len());
    for (place, written) in listed.iter().enumerate() {
        let at = path.index(place);
        let name = filled(written.name.as_deref(), &at, "name", errors);
        if listed.iter().take(place).any(|earlier| earlier.name.is_some() && earlier.name == written.name) {
            errors.push(&at.key("name"), "the same name as an earlier key");
        }
        let subject = filled(written.subject.as_deref(), &at, "subject", errors);
        for (key, text) in [("subject", &written.subject), ("tenant", &written.tenant)] {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_NAME_BYTES) {
                errors.push(&at.key(key), format!("expected 1 to {MAX_NAME_BYTES} bytes"));
            }
        }
        let hash = errors.require(&at, "sha256", written.sha256.as_deref()).and_then(|text| {
            let hash = sha256(text);
            if hash.is_none() {
                errors.push(&at.key("sha256"), "expected the key's SHA-256: 64 digits from 0 to 9 and a to f");
            }
            hash
        });
        if hash.is_some_and(|hash| keys.iter().any(|earlier| earlier.hash == hash)) {
            errors.push(&at.key("sha256"), "the same key as an earlier one");
        }
        let granted = granted(written.roles.as_deref(), &at, roles, errors);
        let end = written.until.as_deref().map(|text| {
            let end = document::end(text);
            if end.is_none() {
                let message = format!(
                    "expected the last day, such as \"2027-01-31\", or a time, such as \"2027-01-31T12:00:00Z\", found {:?}",
                    document::shortened(text)
                );
                errors.push(&at.key("until"), message);
            }
            end.unwrap_or_default()
        });
        let (Some(name), Some(subject), Some(hash)) = (name, subject, hash) else { continue };
        let principal = Principal::from_api_key(name, subject, written.tenant.as_deref(), granted);
        let principal = match end {
            Some(end) => principal.until(end),
            None => principal,
        };
        keys.push(ApiKey { hash, principal: Arc::new(principal) });
    }
    keys
}

/// The roles that an entry gives.
fn granted(written: Option<&[String]>, at: &KeyPath, roles: RoleNames<'_>, errors: &mut Errors) -> Vec<RoleIndex> {
    let given = errors.require(at, "roles", written).unwrap_or_default();
    let mut granted = Vec::with_capacity(given.len());
    for (place, role) in given.iter().enumerate() {
        match roles.find(role) {
            Some(index) => granted.push(index),
            None => errors.push(&at.key("roles").index(place), unknown_role(role, roles)),
        }
    }
    granted
}

fn workloads(
    listed: &[document::Workload],
    path: &KeyPath,
    roles: RoleNames<'_>,
    errors: &mut Errors,
) -> Vec<workload::Rule> {
    if listed.len() > MAX_WORKLOADS {
        errors.push(path, format!("{} workloads, expected at most {MAX_WORKLOADS}", listed.len()));
        return Vec::new();
    }
    let mut rules = Vec::with_capacity(listed.len());
    for (place, written) in listed.iter().enumerate() {
        let at = path.index(place);
        let glob = errors.require(&at, "match", written.matches.as_deref());
        if let Some(glob) = glob
            && !glob.starts_with(workload::SCHEME)
        {
            let message = format!(
                "expected a SPIFFE ID, such as spiffe://cluster.local/ns/batch/sa/*, found {:?}",
                document::shortened(glob)
            );
            errors.push(&at.key("match"), message);
        }
        if written.tenant.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_NAME_BYTES) {
            errors.push(&at.key("tenant"), format!("expected 1 to {MAX_NAME_BYTES} bytes"));
        }
        let roles = granted(written.roles.as_deref(), &at, roles, errors);
        rules.extend(glob.map(|glob| workload::Rule {
            matches: Glob::new(glob),
            roles,
            tenant: written.tenant.clone(),
        }));
    }
    rules
}

/// 32 bytes in lower-case hex.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| odd.is_empty())?.try_into().ok()
}

/// The longest time that a token may be good for, nanoseconds.
fn lifetime(written: Option<Span>, path: &KeyPath, errors: &mut Errors) -> Option<u64> {
    let span = written?.0;
    let bounds = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
    if !bounds.contains(&span) {
        errors.push(&path.key("maxLifetime"), "out of bounds, expected 1m to 366d");
    }
    u64::try_from(span.as_nanos()).ok()
}

/// Nanoseconds.
fn skew(written: Option<Span>, path: &KeyPath, errors: &mut Errors) -> u64 {
    let skew = written.map_or(Duration::from_secs(DEFAULT_SKEW_SECS), |span| span.0);
    if skew.as_millis() > u128::from(MAX_SKEW_SECS) * 1000 {
        errors.push(&path.key("clockSkew"), "too long, expected at most 5m");
    }
    u64::try_from(skew.as_nanos()).unwrap_or(u64::MAX)
}

fn token_from(written: Option<&[String]>, path: &KeyPath, errors: &mut Errors) -> Vec<Box<str>> {
    let Some(names) = written else { return vec!["authorization".into()] };
    if names.is_empty() {
        errors.push(path, "empty, expected at least one header");
    }
    for (place, name) in names.iter().enumerate() {
        let is_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            errors.push(&path.index(place), format!("{name:?} is not a header name in lower case"));
        }
        if names.iter().take(place).any(|earlier| earlier == name) {
            errors.push(&path.index(place), format!("{name:?} is in the list twice"));
        }
    }
    names.iter().map(|name| name.as_str().into()).collect()
}

fn compile_issuer(
    written: &document::Issuer,
    path: &KeyPath,
    (roles, skew, from_mesh): (RoleNames<'_>, u64, bool),
    environment: Environment<'_>,
    errors: &mut Errors,
) -> Option<Issuer> {
    let iss = filled(written.issuer.as_deref(), path, "issuer", errors);
    let name = match &written.name {
        None => iss,
        Some(_) => filled(written.name.as_deref(), path, "name", errors),
    };
    let audiences = list(written.audiences.as_deref(), path, "audiences", errors);
    for (place, _) in audiences.iter().enumerate().filter(|(_, audience)| audience.is_empty()) {
        errors.push(&path.key("audiences").index(place), "empty");
    }
    let asks = written.introspection.is_some();
    let by_mesh = from_mesh && written.jwks.is_none() && !asks;
    let opaque = asks && written.jwks.is_none() && written.algorithms.is_none();
    let algorithms = match by_mesh || opaque {
        false => list(written.algorithms.as_deref(), path, "algorithms", errors),
        true => &[],
    };
    let keys = match () {
        () if by_mesh => mesh(written, path, errors),
        () if opaque => Some(KeySource::Nowhere),
        () => key_source(written, path, errors),
    };
    let claims = claims(written, path, roles, skew, errors);
    let revocation = match &written.revocation {
        None => None,
        Some(section) => Some(revocation(section, iss.unwrap_or_default(), &path.key("revocation"), errors)?),
    };
    let introspection = match &written.introspection {
        None => None,
        Some(section) => Some(introspection(section, &path.key("introspection"), environment, errors)?),
    };
    Some(Issuer {
        name: Arc::from(name?),
        iss: Arc::from(iss?),
        audiences: audiences.iter().map(|audience| audience.as_str().into()).collect(),
        algorithms: algorithms.to_vec(),
        keys: keys?,
        claims: claims?,
        revocation,
        introspection,
    })
}

/// A required text that is not empty.
fn filled<'d>(written: Option<&'d str>, path: &KeyPath, key: &str, errors: &mut Errors) -> Option<&'d str> {
    let text = errors.require(path, key, written)?;
    if text.is_empty() {
        errors.push(&path.key(key), "empty");
    }
    Some(text)
}

/// A required list that is not empty.
fn list<'d, T>(written: Option<&'d [T]>, path: &KeyPath, key: &str, errors: &mut Errors) -> &'d [T] {
    let list = errors.require(path, key, written);
    if list.is_some_and(<[T]>::is_empty) {
        errors.push(&path.key(key), "empty, so no token of this issuer could be accepted");
    }
    list.unwrap_or_default()
}

/// An issuer whose tokens the mesh verifies.
fn mesh(written: &document::Issuer, path: &KeyPath, errors: &mut Errors) -> Option<KeySource> {
    if written.algorithms.is_some() {
        errors.push(&path.key("algorithms"), "without jwks the mesh chooses them");
    }
    let at = path.key("requiredClaims");
    for (place, claim) in written.required_claims.iter().flatten().enumerate() {
        // Envoy's attributes do not tell a number from a text of eight bytes.
        if claim.one_of.iter().flatten().any(|value| !value.is_string()) {
            errors
                .push(&at.index(place).key("oneOf"), "not a text; claims that the mesh has verified are read as texts");
        }
    }
    Some(KeySource::Mesh)
}

fn key_source(written: &document::Issuer, path: &KeyPath, errors: &mut Errors) -> Option<KeySource> {
    let algorithms = written.algorithms.as_deref().unwrap_or_default();
    let jwks = errors.require(path, "jwks", written.jwks.as_ref())?;
    let path = path.key("jwks");
    match (&jwks.inline, &jwks.cluster) {
        (Some(inline), None) => {
            for (key, there) in [
                ("authority", jwks.authority.is_some()),
                ("path", jwks.path.is_some()),
                ("refresh", jwks.refresh.is_some()),
                ("timeout", jwks.timeout.is_some()),
                ("staleFor", jwks.stale_for.is_some()),
            ] {
                if there {
                    errors.push(&path.key(key), "only with cluster, but the keys are inline");
                }
            }
            inline_keys(inline, &path, algorithms, errors).map(KeySource::Inline)
        }
        (None, Some(cluster)) => {
            let iss = written.issuer.as_deref().unwrap_or_default();
            let place = Endpoint {
                cluster,
                authority: jwks.authority.as_deref(),
                path: jwks.path.as_deref(),
                timeout: jwks.timeout,
                refresh: jwks.refresh.unwrap_or(Span(Duration::from_secs(300))),
                refresh_bounds: (10_000..=86_400_000, "10s to 24h"),
                stale_for: jwks.stale_for.unwrap_or(Span(Duration::from_secs(3600))),
                stale_bounds: (0..=7 * 86_400_000, "at most 7d"),
            };
            place.compile(iss, Published::Keys(algorithms.to_vec()), &path, errors).map(KeySource::Remote)
        }
        (Some(_), Some(_)) => {
            errors.push(&path.key("cluster"), "both inline and cluster, expected one of them");
            None
        }
        (None, None) => {
            errors.push(&path, "neither inline nor cluster, expected one of them");
            None
        }
    }
}

fn revocation(written: &document::Revocation, iss: &str, path: &KeyPath, errors: &mut Errors) -> Option<Revocation> {
    let place = Endpoint {
        cluster: errors.require(path, "cluster", written.cluster.as_deref()).unwrap_or("?"),
        authority: written.authority.as_deref(),
        path: written.path.as_deref(),
        timeout: written.timeout,
        refresh: written.refresh.unwrap_or(Span(Duration::from_secs(30))),
        refresh_bounds: (1000..=3_600_000, "1s to 1h"),
        stale_for: written.stale_for.unwrap_or(Span(Duration::from_secs(600))),
        stale_bounds: (0..=86_400_000, "at most 24h"),
    };
    let remote = place.compile(iss, Published::Revoked, path, errors)?;
    Some(Revocation { remote, lets_in: written.on_stale == Some(document::OnStale::Allow) })
}

fn introspection(
    written: &document::Introspection,
    path: &KeyPath,
    environment: Environment<'_>,
    errors: &mut Errors,
) -> Option<Introspection> {
    let cluster = filled(written.cluster.as_deref(), path, "cluster", errors);
    let authority = filled(written.authority.as_deref(), path, "authority", errors);
    let at = filled(written.path.as_deref(), path, "path", errors);
    check_place(authority, at, path, errors);
    let id = filled(written.client_id.as_deref(), path, "clientId", errors);
    let key = errors.require(path, "clientSecret", written.client_secret.as_ref());
    let key = key.and_then(|raw| secret(raw, &path.key("clientSecret"), environment, errors));
    let mut span = |name: &str, written: Option<Span>, default: u64, bounds: RangeInclusive<u64>, words: &str| {
        let span = written.map_or(Duration::from_millis(default), |span| span.0);
        if !u64::try_from(span.as_millis()).is_ok_and(|millis| bounds.contains(&millis)) {
            errors.push(&path.key(name), format!("out of bounds, expected {words}"));
        }
        span
    };
    let timeout = span("timeout", written.timeout, 2000, 50..=30_000, "50ms to 30s");
    let keep = span("keepFor", written.keep_for, 30_000, 0..=3_600_000, "at most 1h");
    let keep_refused = span("keepRefusedFor", written.keep_refused_for, 5000, 0..=300_000, "at most 5m");
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Some(Introspection {
        cluster: cluster?.into(),
        authority: authority?.into(),
        path: at?.into(),
        timeout,
        credential: basic(id?, std::str::from_utf8(&key?).ok()?),
        keep: nanos(keep),
        keep_refused: nanos(keep_refused),
    })
}

/// Both go into a request's head.
fn check_place(authority: Option<&str>, at: Option<&str>, path: &KeyPath, errors: &mut Errors) {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if at.is_some_and(|at| !at.starts_with('/') || !is_plain(at)) {
        errors.push(&path.key("path"), "not a path such as /.well-known/jwks.json");
    }
    let is_host = |text: &str| is_plain(text) && !text.contains(['/', '@', '?', '#', '\\']);
    if authority.is_some_and(|authority| !is_host(authority)) {
        let message =
            "not a host name such as idp.example.com, with or without a port; a scheme and a path do not belong here";
        errors.push(&path.key("authority"), message);
    }
}

/// An endpoint as the document writes it. Bounds are in milliseconds.
struct Endpoint<'d> {
    cluster: &'d str,
    authority: Option<&'d str>,
    path: Option<&'d str>,
    timeout: Option<Span>,
    refresh: Span,
    refresh_bounds: (RangeInclusive<u64>, &'static str),
    stale_for: Span,
    stale_bounds: (RangeInclusive<u64>, &'static str),
}

impl Endpoint<'_> {
    fn compile(self, iss: &str, published: Published, path: &KeyPath, errors: &mut Errors) -> Option<Remote> {
        if self.cluster.is_empty() {
            errors.push(&path.key("cluster"), "empty");
        }
        let authority = filled(self.authority, path, "authority", errors);
        let at = filled(self.path, path, "path", errors);
        check_place(authority, at, path, errors);
        let mut span = |key: &str, span: Span, (bounds, words): (RangeInclusive<u64>, &str)| {
            if !u64::try_from(span.0.as_millis()).is_ok_and(|millis| bounds.contains(&millis)) {
                errors.push(&path.key(key), format!("out of bounds, expected {words}"));
            }
            u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX)
        };
        let timeout = self.timeout.unwrap_or(Span(Duration::from_secs(5)));
        span("timeout", timeout, (100..=30_000, "100ms to 30s"));
        let refresh = span("refresh", self.refresh, self.refresh_bounds);
        let stale_for = span("staleFor", self.stale_for, self.stale_bounds);
        let (authority, at) = (authority?, at?);
        Some(Remote {
            cluster: self.cluster.into(),
            authority: authority.into(),
            path: at.into(),
            timeout: timeout.0,
            refresh,
            stale_for,
            id: Remote::id(iss, self.cluster, authority, at, &published),
            published,
        })
    }
}

fn inline_keys(
    inline: &document::KeySet,
    path: &KeyPath,
    algorithms: &[Algorithm],
    errors: &mut Errors,
) -> Option<KeySet> {
    let path = path.key("inline");
    let listed = list(inline.keys.as_deref(), &path, "keys", errors);
    let path = path.key("keys");
    if listed.len() > MAX_KEYS {
        errors.push(&path, format!("{} keys, expected at most {MAX_KEYS}", listed.len()));
        return None;
    }
    let mut set = KeySet::default();
    for (place, jwk) in listed.iter().enumerate() {
        let path = path.index(place);
        match Key::parse(jwk, algorithms) {
            Ok(key) => {
                if let Err(first) = set.add(key) {
                    errors.push(&path.key("kid"), format!("the same kid as key {first} of this set"));
                }
            }
            Err(flaw) => errors.push(&flaw.member.map_or(path.clone(), |member| path.key(member)), flaw.message),
        }
    }
    Some(set)
}

fn claims(
    written: &document::Issuer,
    path: &KeyPath,
    roles: RoleNames<'_>,
    skew: u64,
    errors: &mut Errors,
) -> Option<ClaimRules> {
    let places = written.claims.clone().unwrap_or_default();
    let at = path.key("claims");
    let subject = pointer(places.subject.as_deref().unwrap_or("/sub"), &at.key("subject"), errors);
    let from_roles = pointer(places.roles.as_deref().unwrap_or("/roles"), &at.key("roles"), errors);
    let tenant = places.tenant.as_deref().map(|text| pointer(text, &at.key("tenant"), errors));

    let grants = written.grants.clone().unwrap_or_default();
    let at = path.key("grants");
    let mut grantable: Vec<_> = match &grants.roles {
        None => roles.all().collect(),
        Some(names) => names
            .iter()
            .enumerate()
            .filter_map(|(place, name)| {
                let found = roles.find(name);
                if found.is_none() {
                    errors.push(&at.key("roles").index(place), unknown_role(name, roles));
                }
                found.map(|index| (name.as_str().into(), index))
            })
            .collect(),
    };
    sorted::by(&mut grantable, Ord::cmp);
    let tenants = grants.tenants.as_ref().map(|globs| {
        if tenant.is_none() {
            errors.push(&at.key("tenants"), "without claims.tenant no token has a tenant");
        }
        globs.iter().map(|glob| Glob::new(glob)).collect()
    });

    let at = path.key("audienceClaims");
    let named = written.audience_claims.as_deref().unwrap_or_default();
    for (place, _) in named.iter().enumerate().filter(|(_, name)| name.is_empty() || name.len() > MAX_NAME_BYTES) {
        errors.push(&at.index(place), format!("expected a claim's name of 1 to {MAX_NAME_BYTES} bytes"));
    }
    let audience: Vec<Pointer> = named.iter().map(|name| Pointer::of_name(name)).collect();
    let at = path.key("requiredClaims");
    let required = written.required_claims.iter().flatten().enumerate().map(|(place, claim)| {
        let at = at.index(place);
        if claim.one_of.as_ref().is_some_and(Vec::is_empty) {
            errors.push(&at.key("oneOf"), "empty, so no token of this issuer could be accepted");
        }
        let text = errors.require(&at, "pointer", claim.pointer.as_deref())?;
        Some(RequiredClaim { pointer: pointer(text, &at.key("pointer"), errors)?, one_of: claim.one_of.clone() })
    });
    let required: Vec<Option<RequiredClaim>> = required.collect();
    Some(ClaimRules {
        token_use: (!audience.is_empty()).then(|| Pointer::of_name("token_use")),
        audience,
        subject: subject?,
        roles: from_roles?,
        tenant: match tenant {
            None => None,
            Some(pointer) => Some(pointer?),
        },
        skew,
        max_lifetime: lifetime(written.max_lifetime, path, errors),
        grantable,
        tenants,
        required: required.into_iter().flatten().collect(),
        counted: Vec::new(),
        asked: Vec::new(),
        end_user: None,
    })
}

fn pointer(text: &str, path: &KeyPath, errors: &mut Errors) -> Option<Pointer> {
    let pointer = Pointer::parse(text);
    if pointer.is_none() {
        errors.push(path, format!("{text:?} is not a JSON Pointer such as /realm_access/roles (RFC 6901)"));
    }
    pointer
}

fn unknown_role(name: &str, roles: RoleNames<'_>) -> String {
    let known: Vec<&str> = roles.0.iter().map(String::as_str).take(8).collect();
    let more = if roles.0.len() > known.len() { ", ..." } else { "" };
    format!("role {name:?} does not exist in roles, expected one of {}{more}", known.join(", "))
}

/// Two entries with the same `iss` must not share an audience: a token would have two meanings.
fn refuse_twins(listed: &[document::Issuer], path: &KeyPath, errors: &mut Errors) {
    let audiences = |issuer: &document::Issuer| issuer.audiences.clone().unwrap_or_default();
    for (place, issuer) in listed.iter().enumerate() {
        for (first, earlier) in listed.iter().enumerate().take(place) {
            let same = issuer.issuer.is_some() && issuer.issuer == earlier.issuer;
            if same && audiences(issuer).iter().any(|own| audiences(earlier).contains(own)) {
                let message = format!("the same issuer as authn.issuers[{first}], with an audience in common");
                errors.push(&path.index(place).key("issuer"), message);
            }
            if issuer.name.is_some() && issuer.name == earlier.name {
                let message = format!("the same name as authn.issuers[{first}]");
                errors.push(&path.index(place).key("name"), message);
            }
        }
    }
}

/// Names of what else vouches for callers in this policy: two callers would have one name in records, and for the upstream.
fn refuse_taken(section: &document::Authn, path: &KeyPath, errors: &mut Errors) {
    let taken = [
        ("apiKeys", section.api_keys.is_some(), "holders of API keys"),
        ("mesh", section.workloads.is_some(), "workloads"),
        ("anonymous", section.unsafe_anonymous == Some(true), "callers without a credential"),
    ];
    for (place, issuer) in section.issuers.iter().flatten().enumerate() {
        let name = issuer.name.as_deref().or(issuer.issuer.as_deref());
        if let Some((name, _, whose)) = taken.iter().find(|(taken, is_there, _)| *is_there && name == Some(*taken)) {
            errors.push(&path.index(place).key("name"), format!("{name:?} is the issuer of {whose}"));
        }
    }
}

/// Changes whenever the section or the role names change: the debug form writes out every field.
fn digest(section: &document::Authn, role_names: &[String]) -> [u8; 32] {
    Sha256::digest(format!("{section:?}\n{role_names:?}")).into()
}
