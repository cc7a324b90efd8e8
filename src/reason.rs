//! Why a request was refused: one closed list, the same word in the `x-bartizan-reason` header, the
//! audit record, the metric, the documentation and the tests.
//!
//! A reason is a class. It never names a rule, a pattern, a match or a claim: that would be an
//! oracle for evasion.
//!
//! ```
//! use bartizan::reason::{Denial, Reason};
//!
//! let denial = Denial::new(Reason::RbacModel).with_param("model");
//! assert_eq!((denial.status(), denial.reason.code()), (403, "rbac.model"));
//! ```

use std::fmt;

macro_rules! reasons {
    ($( $(#[$doc:meta])* $variant:ident = $code:literal, $status:literal; )*) => {
        /// A stable refusal code. See `src/manual/reasons.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $( $(#[$doc])* $variant, )* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[ $( Reason::$variant, )* ];

            /// The code as users see it, for example `jwt.expired`.
            pub const fn code(self) -> &'static str {
                match self { $( Reason::$variant => $code, )* }
            }

            /// The HTTP status a refusal for this reason has.
            pub const fn status(self) -> u16 {
                match self { $( Reason::$variant => $status, )* }
            }
        }
    };
}

reasons! {
    /// No credential in any of the headers named by `authn.tokenFrom`.
    JwtMissing = "jwt.missing", 401;
    /// The credential is not a JWT, or a part of it does not parse.
    JwtMalformed = "jwt.malformed", 401;
    /// `alg` is not in the issuer's list, or does not fit the key.
    JwtAlgorithm = "jwt.algorithm", 401;
    /// No key of the issuer has the token's `kid`.
    JwtKey = "jwt.key", 401;
    /// The signature does not verify.
    JwtSignature = "jwt.signature", 401;
    /// `iss` names no configured issuer.
    JwtIssuer = "jwt.issuer", 401;
    /// `aud` holds none of the issuer's audiences.
    JwtAudience = "jwt.audience", 401;
    /// `exp` has passed, or `until` of an API key.
    JwtExpired = "jwt.expired", 401;
    /// `nbf` or `iat` lies in the future.
    JwtNotYetValid = "jwt.notYetValid", 401;
    /// A required claim is missing or has the wrong type.
    JwtClaims = "jwt.claims", 401;
    /// The issuer's keys, revocation list or introspection endpoint is unreachable. Try again later.
    JwtUnavailable = "jwt.unavailable", 503;
    /// The issuer has revoked the token, or every token of its subject.
    JwtRevoked = "jwt.revoked", 401;
    /// The issuer says that the token is not active: expired, revoked or none of its own.
    JwtInactive = "jwt.inactive", 401;
    /// Two different credentials in one request.
    JwtAmbiguous = "jwt.ambiguous", 400;
    /// No role of the caller may use this operation or path.
    RbacOperation = "rbac.operation", 403;
    /// The caller's roles are bound to other workloads than the one that sent the request.
    RbacWorkload = "rbac.workload", 403;
    /// The conditions of the caller's roles do not hold for this request.
    RbacCondition = "rbac.condition", 403;
    /// No role of the caller may use this model.
    RbacModel = "rbac.model", 403;
    /// No role of the caller may use one of the tools.
    RbacTool = "rbac.tool", 403;
    /// A parameter is over the role's cap, or given twice.
    RbacParameter = "rbac.parameter", 403;
    /// The request is for what another tenant has in the store, or the caller has no tenant, or the store can't tell.
    RbacTenant = "rbac.tenant", 403;
    /// The policy engine refuses the request.
    AuthzDenied = "authz.denied", 403;
    /// The policy engine gave no answer in time and `authz.opa.onUnavailable` says deny, or gave one that is not understood.
    AuthzUnavailable = "authz.unavailable", 503;
    /// The model's last day is over (`models.deprecated`, `until`).
    ModelRetired = "model.retired", 404;
    /// An alias of a model in a place where it can't be rewritten: a form, a batch, a list of models.
    ModelAlias = "model.alias", 400;
    /// A system prompt that no role of the caller may use, or none where one must be.
    PromptUnknown = "prompt.unknown", 403;
    /// A request quota is spent.
    QuotaRequests = "quota.requests", 429;
    /// A token quota has no room for what this request may use.
    QuotaTokens = "quota.tokens", 429;
    /// A budget has no room for what this request may cost.
    QuotaCost = "quota.cost", 429;
    /// The request is under a budget, and its model has no price.
    QuotaUnpriced = "quota.unpriced", 403;
    /// What this request may use is more than a token quota or a budget ever holds: waiting does not help.
    QuotaTooLarge = "quota.tooLarge", 429;
    /// The service that counts for the fleet is unreachable, and a quota says deny.
    QuotaUnavailable = "quota.unavailable", 503;
    /// Too many requests are in flight.
    QuotaConcurrent = "quota.concurrent", 429;
    /// Too many of the caller's requests were refused as attacks: everything is refused for a while.
    AbuseCooldown = "abuse.cooldown", 429;
    /// No route matches and `unmatched` is `deny`.
    RouteUnmatched = "route.unmatched", 404;
    /// The route accepts another method.
    RouteMethod = "route.method", 405;
    /// `Upgrade` or `CONNECT` on a guarded route.
    RouteUpgrade = "route.upgrade", 426;
    /// OpenAI's Realtime API on a guarded route: sessions can't be read, and the keys for them go around the filter.
    RouteRealtime = "route.realtime", 403;
    /// The body is over `limits.maxBodyBytes`, or holds more than 1,048,576 texts and keys, or four times as many numbers.
    BodyTooLarge = "body.tooLarge", 413;
    /// The body's length does not fit `content-length`.
    BodyLength = "body.length", 400;
    /// The body is not valid JSON in UTF-8.
    BodyMalformed = "body.malformed", 400;
    /// One JSON object holds the same key twice.
    BodyDuplicateKey = "body.duplicateKey", 400;
    /// The body nests deeper than `limits.maxJsonDepth`.
    BodyDepth = "body.depth", 400;
    /// The body lacks a field the protocol requires, or one has the wrong type.
    BodyShape = "body.shape", 400;
    /// A header of the Model Context Protocol is there twice or does not say what the body says.
    McpHeader = "mcp.header", 400;
    /// A revision of the Model Context Protocol that is not known.
    McpRevision = "mcp.revision", 400;
    /// A session of the Model Context Protocol that is not this caller's. 404: clients then start a new one.
    McpSession = "mcp.session", 404;
    /// A server of the Model Context Protocol defines a tool, prompt or resource otherwise than it was approved.
    McpDefinition = "mcp.definition", 502;
    /// A GraphQL operation is over the route's limits of tokens, depth, aliases, cost or operations in a list.
    GraphqlLimit = "graphql.limit", 400;
    /// A GraphQL operation that the policy does not serve: a subscription, introspection, a list of operations, parts.
    GraphqlOperation = "graphql.operation", 403;
    /// A persisted GraphQL operation that the policy does not list.
    GraphqlPersisted = "graphql.persisted", 400;
    /// The content type is not one the protocol reads.
    BodyContentType = "body.contentType", 415;
    /// The body is compressed.
    BodyEncoding = "body.encoding", 415;
    /// Something in the request can't be scanned and `unscanned` says deny.
    BodyUnscanned = "body.unscanned", 400;
    /// Prompt injection, jailbreak, extraction or exfiltration. 400, because providers answer a
    /// content filter's refusal so and their SDKs' callers branch on it.
    ScanInjection = "scan.injection", 400;
    /// A secret in the request.
    ScanSecret = "scan.secret", 400;
    /// Personal data in the request.
    ScanPii = "scan.pii", 400;
    /// An outside judge holds the request for an attack, or for something else that the operator wants refused.
    ScanOpinion = "scan.opinion", 400;
    /// An outside judge gave no answer, and its `onUnavailable` says deny.
    OpinionUnavailable = "opinion.unavailable", 503;
    /// The model's answer points to a place that carries data away, or holds HTML that runs code.
    ScanOutput = "scan.output", 400;
    /// The model's answer holds the token at the end of the system prompt: the prompt has leaked.
    ScanCanary = "scan.canary", 400;
    /// The upstream's reply can't be read, and so not guarded.
    ReplyUnreadable = "reply.unreadable", 502;
    /// The upstream's reply, or an event of it, is over `limits.maxResponseBytes`.
    ReplyTooLarge = "reply.tooLarge", 502;
    /// The stream went on far beyond the cap on its output tokens, and was ended.
    ReplyTokens = "reply.tokens", 502;
    /// The policy could not be applied: a fault inside the filter or its host. Fails closed.
    Internal = "internal", 503;
    /// Too much is buffered on this worker (`limits.maxBufferedBytesPerWorker`).
    Overloaded = "overloaded", 503;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal: a normal outcome of any stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The class of the refusal.
    pub reason: Reason,
    /// Seconds after which a retry can succeed; set for quota refusals only.
    pub retry_after: Option<u64>,
    /// The request parameter at fault, where the protocol's error has a place for it.
    pub param: Option<&'static str>,
    /// The line of the uploaded file at fault, from 1.
    pub line: Option<u32>,
    /// The model's answer is the reason, not the request.
    pub is_of_reply: bool,
    /// What the caller probably did.
    pub hint: Option<Hint>,
    /// Why, in the words of the operator's policy engine, short and plain; or the revision of a protocol that is refused.
    pub detail: Option<Box<str>>,
}

/// A mistake that callers make often enough to be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A provider's API key was sent where a token of the issuer is wanted.
    ProviderKey,
    /// The token is longer than the policy allows, in bytes.
    TokenTooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The token lists no groups because there are too many (Microsoft Entra's overage): the issuer must send roles, or
    /// fewer groups.
    GroupsOverage,
    /// The caller signed the request with a key of AWS's, where a token is wanted: behind the filter it is signed anew.
    Signed,
}

impl Hint {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Hint::ProviderKey => "providerKey",
            Hint::TokenTooLong { .. } => "tokenTooLong",
            Hint::GroupsOverage => "groupsOverage",
            Hint::Signed => "signed",
        }
    }
}

impl Denial {
    /// A denial with nothing but its reason.
    pub const fn new(reason: Reason) -> Self {
        Denial { reason, retry_after: None, param: None, line: None, is_of_reply: false, hint: None, detail: None }
    }

    /// The same denial, naming the request parameter at fault.
    #[must_use]
    pub const fn with_param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// The same denial, naming the line of the uploaded file at fault.
    #[must_use]
    pub fn with_line(mut self, line: usize) -> Self {
        self.line = Some(u32::try_from(line).unwrap_or(u32::MAX));
        self
    }

    /// The same denial, with what the caller probably did.
    #[must_use]
    pub const fn with_hint(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The same denial, with the words of a policy engine.
    #[must_use]
    pub fn with_detail(mut self, detail: Option<&str>) -> Self {
        self.detail = detail.map(Into::into);
        self
    }

    /// A denial for what the model answered.
    pub const fn of_reply(reason: Reason) -> Self {
        let mut denial = Denial::new(reason);
        denial.is_of_reply = true;
        denial
    }

    /// The HTTP status of the reply.
    pub const fn status(&self) -> u16 {
        self.reason.status()
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Denial::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            assert!(seen.insert(reason.code()), "{reason} twice");
            assert!(reason.code().chars().all(|c| c.is_ascii_alphabetic() || c == '.'));
            assert!((400..600).contains(&reason.status()));
        }
    }
}
