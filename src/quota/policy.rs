//! How much, as the policy means it: quotas, the service that counts for the fleet, strikes.

use std::time::Duration;

use super::price;
use super::tokens::{MOST_UNITS, Weights};
use crate::condition::{self, Condition};
use crate::document::{self, Counts, Errors, KeyPath, Kind, OnUnavailable, Per, Reach, Span, StrikesPer, shortened};
use crate::enums::Mode;
use crate::sorted;

/// A limit over a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaPolicy {
    /// Who shares the bucket.
    pub per: Per,
    /// The claim, with [`Per::Claim`]: a JSON Pointer.
    pub claim: Option<String>,
    /// The header that names the session, with [`Per::Session`]; `None`: the protocol's own session.
    pub header: Option<String>,
    /// What a window is.
    pub kind: Kind,
    /// What is counted.
    pub counts: Counts,
    /// Units per window, at least 1. Of [`Counts::Cost`], millionths of the currency.
    pub limit: u64,
    /// How much cached and reasoning tokens count.
    pub weights: Weights,
    /// Percent of the limit at which a record says so, the lowest first.
    pub alert_at: Vec<u8>,
    /// The window, 1 s to 31 d.
    pub window: Duration,
    /// How many may come at once, 1 to `limit`.
    pub burst: u64,
    /// Whether it takes effect.
    pub mode: Mode,
    /// Who counts.
    pub reach: Reach,
    /// What happens while nobody counts for the fleet.
    pub on_unavailable: OnUnavailable,
    /// Which requests are counted; `None`: all.
    pub when: Option<Condition>,
}

/// The service that counts for all proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitService {
    /// Envoy's cluster.
    pub cluster: String,
    /// The domain in its requests.
    pub domain: String,
    /// How long a request waits for it.
    pub timeout: Duration,
    /// How often a call is made again that did not reach it.
    pub retries: u64,
    /// It gives back what `is_negative_hits` says.
    pub refunds: bool,
}

/// Strikes and cool-downs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbusePolicy {
    /// How many begin a cool-down, 1 to 1000.
    pub strikes: u64,
    /// Strikes are forgotten in this time.
    pub window: Duration,
    /// How long the first cool-down lasts.
    pub cooldown: Duration,
    /// The longest one.
    pub max_cooldown: Duration,
    /// Who sees them.
    pub reach: Reach,
    /// What happens while the fleet's service is unreachable.
    pub on_unavailable: OnUnavailable,
    /// Whether it takes effect.
    pub mode: Mode,
    /// The claim that names the end user, a JSON Pointer; `None`: the subject is the end user.
    pub claim: Option<String>,
    /// Callers that are let in nevertheless: issuer's name, tenant, end user.
    pub lift: Vec<(String, Option<String>, String)>,
}

impl QuotaPolicy {
    /// Compiles one entry of a role's `quotas`.
    pub(crate) fn compile(raw: &document::Quota, at: &KeyPath, errors: &mut Errors) -> Option<QuotaPolicy> {
        let per = errors.require(at, "per", raw.per);
        let counts = [
            (Counts::Requests, raw.requests, 1_000_000_000),
            (Counts::Tokens, raw.tokens, 1_000_000_000_000),
            (Counts::InputTokens, raw.input_tokens, 1_000_000_000_000),
            (Counts::OutputTokens, raw.output_tokens, 1_000_000_000_000),
            (Counts::Concurrent, raw.concurrent, 1_000_000),
            (Counts::Cost, raw.cost.as_deref().map(|text| cost(text, at, errors)), price::MOST),
        ];
        let mut given = counts.into_iter().filter_map(|(counts, limit, most)| Some((counts, limit?, most)));
        let words: Vec<&str> = Counts::ALL.iter().map(|counts| counts.as_str()).collect();
        let words = words.join(", ");
        let Some((counts, limit, most)) = given.next() else {
            errors.push(&at.key(Counts::Requests.as_str()), format!("missing, but one of {words} is required"));
            return None;
        };
        if let Some((second, ..)) = given.next() {
            errors.push(&at.key(second.as_str()), format!("a quota counts one thing, expected exactly one of {words}"));
        }
        let limit = errors.range(at, counts.as_str(), Some(limit), 1, 1..=most);
        let mode = raw.mode.unwrap_or(Mode::Enforce);
        let reach = raw.scope.unwrap_or(Reach::Proxy);
        if reach == Reach::Fleet && counts != Counts::Cost && limit > MOST_UNITS {
            let message =
                format!("{limit} is more than a fleet's counter of 32 bits holds, expected at most {MOST_UNITS}");
            errors.push(&at.key(counts.as_str()), message);
        }
        let (weights, alert_at) = (weights(raw, counts, at, errors), alerts(raw, counts, at, errors));
        if reach == Reach::Proxy && raw.on_unavailable.is_some() {
            errors.push(&at.key("onUnavailable"), "has a meaning for scope fleet only");
        }
        let on_unavailable = raw.on_unavailable.unwrap_or(OnUnavailable::Deny);
        let kind = raw.kind.unwrap_or(Kind::Sliding);
        let when = condition::compile(raw.when.as_deref(), at, errors);
        let claim = claim(raw.per == Some(Per::Claim), raw.claim.as_deref(), at, errors);
        let header = header(raw, at, errors);
        if counts == Counts::Concurrent {
            let keys = [("window", raw.window.is_some()), ("burst", raw.burst.is_some()), ("kind", raw.kind.is_some())];
            for (key, given) in keys {
                if given {
                    errors.push(&at.key(key), "has no meaning for concurrent");
                }
            }
            if reach == Reach::Fleet {
                errors.push(&at.key("scope"), "requests in flight are counted by each proxy, expected proxy");
            }
            return Some(QuotaPolicy {
                per: per?,
                counts,
                limit,
                window: UNDER_WAY,
                burst: limit,
                weights,
                alert_at,
                mode,
                reach,
                on_unavailable,
                claim,
                header,
                kind,
                when,
            });
        }
        for (key, given) in [("burst", raw.burst.is_some()), ("kind", raw.kind.is_some())] {
            if reach == Reach::Fleet && given {
                errors.push(&at.key(key), "has no meaning for scope fleet: the service's windows count");
            }
        }
        let window = errors.require(at, "window", raw.window).map(|window| window.0);
        let bounds = Duration::from_secs(1)..=Duration::from_secs(31 * 86_400);
        if window.is_some_and(|window| !bounds.contains(&window)) {
            errors.push(&at.key("window"), "out of range, expected 1s to 31d");
        }
        if counts == Counts::Cost && reach == Reach::Proxy && window.is_some_and(|window| window > MONEY_OF_A_PROXY) {
            let message = "money over more than 1h needs scope: fleet: a proxy's own counters end with its process, and each \
                           replica has its own";
            errors.push(&at.key("window"), message);
        }
        let burst = errors.range(at, "burst", raw.burst, limit, 1..=limit);
        let window = window?;
        // A bucket counts time, and a unit must be a good deal of it.
        let is_fine = u128::from(limit) * 100 <= window.as_nanos();
        if counts == Counts::Cost && !is_fine {
            let most = u64::try_from(window.as_nanos() / 100).unwrap_or(u64::MAX);
            let message = format!("too much to be counted in this window, expected at most {}", price::decimal(most));
            errors.push(&at.key("cost"), message);
        } else if counts != Counts::Requests && !is_fine {
            let most = window.as_nanos() / 100;
            errors.push(
                &at.key(counts.as_str()),
                format!("{limit} in this window can't be counted, expected at most {most}"),
            );
        }
        Some(QuotaPolicy {
            per: per?,
            counts,
            limit,
            weights,
            alert_at,
            window,
            burst,
            mode,
            reach,
            on_unavailable,
            claim,
            header,
            kind,
            when,
        })
    }
}

/// A budget in millionths; its currency is compared with that of `prices` elsewhere.
fn cost(text: &str, at: &KeyPath, errors: &mut Errors) -> u64 {
    let budget = price::budget(text);
    if budget.is_none() {
        let text = shortened(text);
        errors.push(&at.key("cost"), format!("{text:?} is no budget, expected for example 50 USD, up to 1000000 USD"));
    }
    // An amount of nothing is out of range anyway.
    budget.map_or(1, |(amount, _)| amount)
}

/// The weights of a quota of tokens, in hundredths.
fn weights(raw: &document::Quota, counts: Counts, at: &KeyPath, errors: &mut Errors) -> Weights {
    let Some(written) = &raw.weights else { return Weights::EVEN };
    let at = at.key("weights");
    let parts = [("cached", written.cached), ("reasoning", written.reasoning)];
    let [cached, reasoning] = parts.map(|(key, weight)| {
        let has_meaning = match counts {
            Counts::Tokens => true,
            Counts::InputTokens => key == "cached",
            Counts::OutputTokens => key == "reasoning",
            Counts::Requests | Counts::Concurrent | Counts::Cost => false,
        };
        if weight.is_some() && !has_meaning {
            errors.push(&at.key(key), format!("has no meaning for {}", counts.as_str()));
        }
        let weight = weight.unwrap_or(1.0);
        let hundredths = (0..=100).find(|hundredths| (f64::from(*hundredths) / 100.0 - weight).abs() < 1e-9);
        if hundredths.is_none() {
            errors.push(&at.key(key), format!("{weight} is no weight, expected 0 to 1 with at most two decimals"));
        }
        u64::from(hundredths.unwrap_or(100u32))
    });
    Weights { cached, reasoning }
}

/// The shares of the limit that are told, in percent.
fn alerts(raw: &document::Quota, counts: Counts, at: &KeyPath, errors: &mut Errors) -> Vec<u8> {
    let written = raw.alert_at.as_deref().unwrap_or_default();
    let at = at.key("alertAt");
    if raw.alert_at.is_some() && matches!(counts, Counts::Requests | Counts::Concurrent) {
        errors.push(&at, format!("has no meaning for {}", counts.as_str()));
    }
    if written.len() > MAX_ALERTS {
        errors.push(&at, format!("expected at most {MAX_ALERTS}"));
    }
    let mut shares = Vec::new();
    for (place, share) in written.iter().take(MAX_ALERTS).enumerate() {
        match u8::try_from(*share) {
            Ok(share @ 1..=100) => shares.push(share),
            _ => errors.push(&at.index(place), format!("{share} is out of range, expected 1 to 100 percent")),
        }
    }
    sorted::once(&mut shares);
    shares
}

/// The claim that a section with `per: claim` names; `None`: it has another `per`.
fn claim(is_wanted: bool, written: Option<&str>, at: &KeyPath, errors: &mut Errors) -> Option<String> {
    let at = at.key("claim");
    match (is_wanted, written) {
        (true, None) => errors.push(&at, "missing, but required with per: claim"),
        (true, Some(text)) if text.len() > 256 || !crate::authn::is_pointer(text) => {
            errors.push(&at, format!("{:?} is not a JSON Pointer of at most 256 bytes (RFC 6901)", shortened(text)));
        }
        (true, Some(text)) => return Some(text.to_owned()),
        (false, Some(_)) => errors.push(&at, "has a meaning with per: claim only"),
        (false, None) => {}
    }
    None
}

/// The header that a quota's session is in.
fn header(raw: &document::Quota, at: &KeyPath, errors: &mut Errors) -> Option<String> {
    let name = raw.header.as_ref()?;
    let at = at.key("header");
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if raw.per != Some(Per::Session) {
        errors.push(&at, "has a meaning with per: session only");
    } else if name.is_empty() || name.len() > 100 || !name.bytes().all(is_plain) {
        errors.push(&at, format!("{:?} is not a header name in lower case", shortened(name)));
    }
    Some(name.clone())
}

/// A session is the caller's to choose: without a bound on the subject, each new one would be a new bucket. Compares the
/// quotas of one role.
pub(crate) fn bound_sessions(quotas: &[QuotaPolicy], at: &KeyPath, errors: &mut Errors) {
    for (place, session) in quotas.iter().enumerate().filter(|(_, quota)| quota.per == Per::Session) {
        let bounds = |other: &QuotaPolicy| {
            other.per == Per::Subject
                && other.counts == session.counts
                && (other.when.is_none() || other.when == session.when)
                && (other.mode == Mode::Enforce || session.mode == Mode::Shadow)
        };
        if !quotas.iter().any(bounds) {
            let message = format!(
                "session, but no enforced quota per: subject of this role counts {} under the same `when` or none: a caller \
                 gets a new bucket with each session that it makes up",
                session.counts.as_str()
            );
            errors.push(&at.index(place).key("per"), message);
        }
    }
}

impl RateLimitService {
    /// Compiles `rateLimitService`, which is required where a quota of `roles` or `abuse` has scope fleet.
    pub(crate) fn compile<'r>(
        document: &document::Document,
        name: &str,
        mut roles: impl Iterator<Item = (&'r str, &'r [QuotaPolicy])>,
        errors: &mut Errors,
    ) -> Option<RateLimitService> {
        let at = KeyPath::root().key("rateLimitService");
        let Some(written) = document.rate_limit_service.as_ref() else {
            let fleet = |quotas: &[QuotaPolicy]| quotas.iter().any(|quota| quota.reach == Reach::Fleet);
            if let Some((role, _)) = roles.find(|(_, quotas)| fleet(quotas)) {
                errors.push(&at, format!("missing, but required: role {} has a quota of scope fleet", shortened(role)));
            } else if document.abuse.as_ref().is_some_and(|abuse| abuse.scope == Some(Reach::Fleet)) {
                errors.push(&at, "missing, but required: abuse has scope fleet");
            }
            return None;
        };
        let cluster = errors.require(&at, "cluster", written.cluster.clone());
        let domain = written.domain.clone().unwrap_or_else(|| name.to_owned());
        for (key, text) in [("cluster", cluster.as_deref().unwrap_or("-")), ("domain", &domain)] {
            if text.is_empty() || text.len() > 100 || text.chars().any(char::is_control) {
                errors.push(&at.key(key), "expected 1 to 100 bytes without control characters");
            }
        }
        let timeout = written.timeout.map_or(Duration::from_millis(200), |span| span.0);
        if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&timeout) {
            errors.push(&at.key("timeout"), "out of range, expected 1ms to 10s");
        }
        let retries = errors.range(&at, "retries", written.retries, 1, 0..=3);
        Some(RateLimitService {
            cluster: cluster?,
            domain,
            timeout,
            retries,
            refunds: written.refunds.unwrap_or(false),
        })
    }
}

impl AbusePolicy {
    /// Compiles `abuse`. `issuers`: the names that a caller's issuer can have.
    pub(crate) fn compile(
        written: &document::Abuse,
        issuers: &[&str],
        at: &KeyPath,
        errors: &mut Errors,
    ) -> AbusePolicy {
        let mut span = |key: &str, written: Option<Span>, default: u64| {
            let span = written.map_or(Duration::from_secs(default), |span| span.0);
            if !(Duration::from_secs(1)..=Duration::from_secs(31 * 86_400)).contains(&span) {
                errors.push(&at.key(key), "out of range, expected 1s to 31d");
            }
            span
        };
        let window = span("window", written.window, 600);
        let cooldown = span("cooldown", written.cooldown, 60);
        let max_cooldown = span("maxCooldown", written.max_cooldown, 3600.max(cooldown.as_secs()));
        if max_cooldown < cooldown {
            errors.push(&at.key("maxCooldown"), "shorter than cooldown");
        }
        let reach = written.scope.unwrap_or(Reach::Proxy);
        if reach == Reach::Proxy && written.on_unavailable.is_some() {
            errors.push(&at.key("onUnavailable"), "has a meaning for scope fleet only");
        }
        if reach == Reach::Fleet && ![1, 60, 3_600, 86_400].map(Duration::from_secs).contains(&window) {
            errors.push(
                &at.key("window"),
                "expected 1s, 1m, 1h or 1d with scope fleet, the windows that a service knows",
            );
        }
        let mut lift = Vec::new();
        for (place, caller) in written.lift.iter().flatten().enumerate() {
            let at = at.key("lift").index(place);
            let issuer = errors.require(&at, "issuer", caller.issuer.clone());
            let subject = errors.require(&at, "subject", caller.subject.clone());
            if let Some(issuer) = issuer.as_deref()
                && !issuers.contains(&issuer)
            {
                errors.push(&at.key("issuer"), format!("{:?} is no issuer of authn, nor apiKeys", shortened(issuer)));
            }
            lift.extend(issuer.zip(subject).map(|(issuer, subject)| (issuer, caller.tenant.clone(), subject)));
        }
        AbusePolicy {
            claim: claim(written.per == Some(StrikesPer::Claim), written.claim.as_deref(), at, errors),
            strikes: errors.range(at, "strikes", written.strikes, 5, 1..=1000),
            window,
            cooldown,
            max_cooldown,
            reach,
            on_unavailable: written.on_unavailable.unwrap_or(OnUnavailable::Deny),
            mode: written.mode.unwrap_or(Mode::Enforce),
            lift,
        }
    }
}

/// The longest window of money that a proxy counts by itself.
const MONEY_OF_A_PROXY: Duration = Duration::from_secs(3600);

/// More shares of a limit than this are not told.
const MAX_ALERTS: usize = 10;

/// How long a request in flight counts when its end is never seen.
const UNDER_WAY: Duration = Duration::from_secs(600);
