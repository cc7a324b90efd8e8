//! The document as it is written: one struct a section, strict, without meaning yet.
//!
//! Every field is optional here, whatever the policy requires: a missing key is reported by
//! `compile` beside all the other errors, with its path. A value is read by its type only, so that
//! an error has one place.
//!
//! A key is here only when the feature behind it is built.

use crate::sorted::SortedMap;

use super::duration::Span;

#[cfg(feature = "cli")]
use schemars::JsonSchema;

/// A section: its fields by their names in camel case, or by the word that follows the type.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty $(= $word:literal)?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        #[cfg_attr(feature = "cli", derive(JsonSchema))]
        #[cfg_attr(feature = "cli", schemars(rename_all = "camelCase", deny_unknown_fields, default))]
        pub struct $name { $($(#[$fdoc])* $(#[cfg_attr(feature = "cli", schemars(rename = $word))])? pub $field: $type,)* }

        impl $crate::document::typed::Read for $name {
            fn read(
                node: &$crate::document::tree::Node,
            ) -> Result<Self, $crate::document::typed::TypeFault> {
                const NAMES: &[$crate::document::typed::Name] = &[$(section!(@name $field $($word)?)),*];
                let mut made = Self::default();
                $crate::document::typed::section(node, NAMES, &mut [$(&mut made.$field),*])?;
                Ok(made)
            }
        }

        /// For a section that a command writes itself.
        #[cfg(feature = "cli")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::document::typed::alone(deserializer)
            }
        }
    };
    (@name $field:ident) => { $crate::document::typed::Name::Field(stringify!($field)) };
    (@name $field:ident $word:literal) => { $crate::document::typed::Name::Word($word) };
}

/// A closed list of words that only the document has.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($words:tt)* }) => {
        bartizan_rules::choice! { $(#[$doc])* $name { $($words)* } }
        $crate::document::typed::closed! { $name }
    };
}

use crate::enums::{Mode, Operation, Zone};

mod decisions;
mod guards;
mod identity;
mod models;
mod money;
mod traffic;

pub use decisions::*;
pub use guards::*;
pub use identity::*;
pub use models::*;
pub use money::*;
pub use traffic::*;

section! {
    /// One Bartizan policy: the same document for Istio (`pluginConfig`), Envoy (`StringValue`),
    /// Helm (`.Values.policy`) and the command line.
    Document {
        /// The version of the document's form. Required, always 1.
        version: Option<u64>,
        /// The policy's name, `[a-z0-9-]`, at most 63 characters: the prefix of the state that it shares between workers.
        /// Required.
        name: Option<String>,
        /// Hold request headers until the body is judged. Needs Envoy's `allow_on_headers_stop_iteration: true`,
        /// which a WasmPlugin can't set. Default false.
        hold_headers: Option<bool>,
        /// Who the caller is. Required.
        authn: Option<Authn>,
        /// What callers may do, by role name. Required; a caller with none of these roles is refused everything.
        roles: Option<SortedMap<String, Role>>,
        /// Who else decides about a request, after its roles and guards. Default: nobody.
        authz: Option<Authz>,
        /// Outside judges, by name, at most 8. Guards say which they ask.
        opinions: Option<SortedMap<String, Opinion>>,
        /// What is searched for and what follows, by guard name.
        guards: Option<SortedMap<String, Guard>>,
        /// Which detection rules are in force.
        rules: Option<Rules>,
        /// Which paths are guarded and how their bodies read. Required.
        routes: Option<Vec<Route>>,
        /// What happens to a browser's CORS preflight (`OPTIONS` with `origin` and `access-control-request-method`, without a
        /// body) on a guarded path. Browsers send no credential with it. Default deny: 401.
        cors: Option<Cors>,
        /// What happens to a request that no route matches. Default deny.
        unmatched: Option<Unmatched>,
        /// What happens to content that can't be scanned, by kind.
        unscanned: Option<Unscanned>,
        /// What happens to blocks, items and parts of a type that this version does not know. Default scan: their strings
        /// are scanned in the strictest zone, whatever `unscanned` says; bytes in them that are no text still fall under it.
        unknown: Option<UnknownAction>,
        /// What happens to a finding in what a provider signed or sealed (thoughts with a signature, encrypted reasoning,
        /// compactions): such a block is never edited. Default drop.
        signed: Option<SignedAction>,
        /// Bounds on what one request may cost.
        limits: Option<Limits>,
        /// The service that counts quotas of scope fleet.
        rate_limit_service: Option<RateLimitService>,
        /// Aliases of models, their ends, and what their replies may name.
        models: Option<Models>,
        /// Versions of system prompts, by name: `sha256:` and 64 hex digits of the text of one system part, as it is after
        /// JSON is decoded. `bartizan prompts hash` prints them. Roles say which they may use (`systemPrompts`).
        prompts: Option<SortedMap<String, String>>,
        /// What models cost: needed by quotas of `cost`, and for the spend in records and counters.
        prices: Option<Prices>,
        /// What follows when a caller's requests are refused as attacks again and again. Default: nothing.
        abuse: Option<Abuse>,
        /// What the upstream is told so that it can check it.
        upstream: Option<Upstream>,
        /// What is written about a request, and where.
        audit: Option<Audit>,
        /// What the operator adds to refusals, by reason (`scan.injection`).
        refusals: Option<SortedMap<String, RefusalWords>>,
        /// Roles whose callers are told the rule and the place of what was found, in the message of a refusal. Default none:
        /// it helps an attacker to get around a rule.
        explain_refusals: Option<Vec<String>>,
        /// Keep requests in which something was found, sealed for the operator. Default: none is kept.
        capture: Option<Capture>,
    }
}

section! {
    /// For the upstream.
    Upstream {
        /// Who calls, as a signed token in `x-bartizan-identity`. Default: none.
        identity: Option<UpstreamIdentity>,
    }
}

section! {
    /// A short-lived token (JWS in compact form, RFC 7515 and 7519) with `iss`, `aud`, `sub`, `idp` (the name of the caller's
    /// issuer), `tenant`, `roles`, `iat`, `exp` and `jti`.
    UpstreamIdentity {
        /// How it is signed. Required.
        algorithm: Option<IdentityAlgorithm>,
        /// The key, out of the VM's environment. Required. HS256: a secret of at least 32 bytes, as it is. ES256 and EdDSA: a
        /// private key of 32 bytes, as 64 hex digits or in base64url (a JWK's `d`).
        key: Option<FromEnv>,
        /// The `kid` of the token's header, 1 to 256 bytes. Default: none.
        key_id: Option<String>,
        /// The `iss` claim, 1 to 256 bytes. Required.
        issuer: Option<String>,
        /// The `aud` claim, 1 to 256 bytes. Required.
        audience: Option<String>,
        /// How long a token is good for, 10s to 10m. Default 60s. With ES256 and EdDSA a token is sent again for the same
        /// caller in the first half of this time.
        lifetime: Option<Span>,
    }
}

choice! {
    /// How the upstream's token is signed.
    IdentityAlgorithm {
        /// HMAC with SHA-256: the upstream has the same secret, and can make such tokens.
        HS256 = "HS256",
        /// ECDSA on P-256 with SHA-256.
        ES256 = "ES256",
        /// Ed25519 (RFC 8037).
        EdDSA = "EdDSA",
    }
}

section! {
    /// The operator's words for one reason. At least one of the keys.
    RefusalWords {
        /// Replaces the message, at most 500 bytes on one line.
        message: Option<String>,
        /// Where callers read on; the last words of the message.
        url: Option<String>,
    }
}

section! {
    /// Captures for `bartizan replay`: each request with a finding, on a log line of its own, sealed to the operator's
    /// key (HPKE, RFC 9180) and without its credential.
    Capture {
        /// The operator's public key, as `bartizan capture keygen` prints it. Required.
        public_key: Option<String>,
        /// How long a capture may be opened, 1m to 31d. Default 24h. The log store must delete it by then too.
        keep_for: Option<Span>,
        /// Longer bodies are not captured, 1024 to 1048576. Default 65536.
        max_bytes: Option<u64>,
        /// Captures a minute and worker, at most, 1 to 6000. Default 60.
        per_minute: Option<u64>,
    }
}

section! {
    /// What one role may do. One role must grant operation, model, tools and caps together.
    Role {
        /// Operations, for example `chat`. Required; an empty list allows nothing.
        operations: Option<Vec<Operation>>,
        /// SPIFFE IDs or globs (`*` matches any text) of the workloads that may use this role, as their mTLS certificate
        /// says. Absent: any workload, also without mTLS.
        workloads: Option<Vec<String>>,
        /// Model names or globs (`*` matches any text). Required; an empty list allows nothing.
        models: Option<Vec<String>>,
        /// Tools the caller may offer to the model. Absent: none.
        tools: Option<Tools>,
        /// Zones that this role may author, so that their own, laxer thresholds apply to it.
        may_write: Option<Vec<Zone>>,
        /// Cap on the output tokens of one request, all aliases; injected when absent.
        max_output_tokens: Option<u64>,
        /// What happens to a request over `maxOutputTokens`. Default clamp.
        over_output_tokens: Option<OverCap>,
        /// Cap on the answers of one request: prompts x `n`. Absent: one choice (`n`) of each prompt, any number of prompts.
        max_choices: Option<u64>,
        /// Hosts at which remote tools may run (`server_url` of a tool, `url` of an MCP server), with `*`; a connector of the
        /// provider's is `connector:NAME`. Default none. A token that the request holds for such a host (`authorization`,
        /// `authorization_token`, `headers` of the tool) passes unscanned.
        tool_hosts: Option<Vec<String>>,
        /// Parameters that choose what is otherwise the operator's to choose.
        parameters: Option<Parameters>,
        /// Versions of system prompts, by name or glob, of `prompts`: each system part of a request must be one of them, and a
        /// chat has at least one. Absent: any, or none.
        system_prompts: Option<Vec<String>>,
        /// Bounds on searches in stores.
        retrieval: Option<Retrieval>,
        /// Limits on how much; all of them apply.
        quotas: Option<Vec<Quota>>,
        /// The guard's name. Default `standard`.
        guard: Option<String>,
        /// A condition: the role counts only for requests for which it holds. What goes wrong does not hold. See the manual's
        /// page on conditions.
        when: Option<String>,
        /// Default enforce. In shadow a refusal for this role's models, tools or caps is recorded and the request goes on.
        mode: Option<Mode>,
    }
}

section! {
    /// Tools by name.
    Tools {
        /// Tool names or globs. Required; an empty list allows none.
        allow: Option<Vec<String>>,
        /// What happens to other tools that a request offers to the model. Default deny.
        others: Option<OtherTools>,
    }
}

section! {
    /// Parameters that choose what is otherwise the operator's to choose: addresses, keys, templates, adapters, routes.
    Parameters {
        /// Names of such parameters, or globs. Required; an empty list allows none.
        allow: Option<Vec<String>>,
    }
}

section! {
    /// Bounds on searches in stores.
    Retrieval {
        /// The most results of one request, 1 to 10000; one for more gets so many. Several searches of one request share them. Absent: as many as the store gives.
        top_k: Option<u64>,
    }
}

choice! {
    /// What happens to tools that a role may not use.
    OtherTools {
        /// The request is refused.
        Deny = "deny",
        /// They are taken out of the request. What a request calls by itself is still refused.
        Remove = "remove",
    }
}

choice! {
    /// What happens to a parameter over its cap.
    OverCap {
        /// It is lowered to the cap.
        Clamp = "clamp",
        /// The request is refused.
        Deny = "deny",
    }
}

section! {
    /// A limit, kept as a GCRA bucket: exactly one of `requests`, `tokens`, `inputTokens`, `outputTokens`, `concurrent`
    /// and `cost`. Tokens and money are reserved before a call and settled with what the model says it used.
    Quota {
        /// Who shares the bucket. Required.
        per: Option<Per>,
        /// With `per: claim`, the claim: a JSON Pointer into the token. Its value must be a text of at most 256 bytes, a
        /// number or a truth value, else the token is refused. Callers without it share one bucket.
        claim: Option<String>,
        /// With `per: session`, the header that names the session, in lower case. Default: the session of the Model Context
        /// Protocol. Requests of a subject without one share a bucket.
        header: Option<String>,
        /// What a window is. Default sliding. Not with `concurrent`, and not with scope fleet.
        kind: Option<Kind>,
        /// Requests per window, 1 to 1000000000.
        requests: Option<u64>,
        /// Tokens per window, input and output together, 1 to 1000000000000.
        tokens: Option<u64>,
        /// Input tokens per window.
        input_tokens: Option<u64>,
        /// Output tokens per window.
        output_tokens: Option<u64>,
        /// Requests in flight at a time, 1 to 1000000; goes without `window` and `burst`.
        concurrent: Option<u64>,
        /// Money per window, in the currency of `prices`: `50 USD`, `0.25 USD`, at most 6 decimals. A window over 1h needs
        /// `scope: fleet`.
        cost: Option<String>,
        /// How much cached and reasoning tokens count. For quotas of tokens.
        weights: Option<Weights>,
        /// Percent of the limit, 1 to 100: the request whose charge reaches one says so in its record, and a counter counts
        /// it. For quotas of tokens and `cost`.
        alert_at: Option<Vec<u64>>,
        /// The window, 1s to 31d. For all but `concurrent`.
        window: Option<Span>,
        /// How much may come at once. Default: all of a window's.
        burst: Option<u64>,
        /// Default enforce.
        mode: Option<Mode>,
        /// Who counts. Default proxy. Fleet needs `rateLimitService`, and goes without `burst` and `concurrent`.
        scope: Option<Reach>,
        /// What happens while the fleet's service is unreachable. Default deny. With scope fleet only.
        on_unavailable: Option<OnUnavailable>,
        /// A condition: only requests for which it holds are counted. What goes wrong is counted.
        when: Option<String>,
    }
}

choice! {
    /// What a quota's window is.
    Kind {
        /// What was used comes back all the time, as fast as the window says.
        Sliding = "sliding",
        /// Windows of the wall clock: all of it comes back when one ends. Around its end twice the limit can be used.
        Fixed = "fixed",
    }
}

choice! {
    /// Who counts a quota.
    Reach {
        /// Each proxy by itself: with n of them a caller can use up to n times the limit.
        Proxy = "proxy",
        /// The service that all proxies ask.
        Fleet = "fleet",
    }
}

choice! {
    /// What happens while the service that counts for the fleet is unreachable.
    OnUnavailable {
        /// The request is refused with 503.
        Deny = "deny",
        /// Each proxy counts by itself until the service is back, as with scope proxy.
        Local = "local",
    }
}

section! {
    /// A service that speaks Envoy's rate-limit-service protocol (gRPC
    /// `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`), for quotas of scope fleet.
    RateLimitService {
        /// Envoy's cluster, HTTP/2. Required.
        cluster: Option<String>,
        /// The domain in its requests. Default: the policy's name.
        domain: Option<String>,
        /// How long a request waits for it, 1ms to 10s. Default 200ms.
        timeout: Option<Span>,
        /// How often a call that did not reach it is repeated, 0 to 3. Default 1.
        retries: Option<u64>,
        /// The service gives back what `is_negative_hits` says: tokens are counted before the call at their most, and
        /// the rest is given back. Default false: the estimated input is counted before, what was used beyond it after.
        refunds: Option<bool>,
    }
}

choice! {
    /// What a quota counts by.
    Per {
        /// Issuer, tenant and subject.
        Subject = "subject",
        /// Issuer and tenant.
        Tenant = "tenant",
        /// The issuer.
        Issuer = "issuer",
        /// The role, over all its callers.
        Role = "role",
        /// The role and the model.
        Model = "model",
        /// The role and the operation.
        Operation = "operation",
        /// The issuer and a claim of the token.
        Claim = "claim",
        /// The role and the workload that opened the connection, by its certificate (mTLS). Callers without one share a
        /// bucket.
        Workload = "workload",
        /// The role and a tool: each that the request calls or offers is charged, at most 64.
        Tool = "tool",
        /// Issuer, tenant, subject and session. The caller chooses the session, so that the role must have a quota `per:
        /// subject` that counts the same.
        Session = "session",
    }
}

choice! {
    /// What a quota counts.
    Counts {
        /// Requests.
        Requests = "requests",
        /// Input and output tokens together.
        Tokens = "tokens",
        /// Input tokens.
        InputTokens = "inputTokens",
        /// Output tokens.
        OutputTokens = "outputTokens",
        /// Requests in flight.
        Concurrent = "concurrent",
        /// Money, in millionths of the currency.
        Cost = "cost",
    }
}

section! {
    /// Strikes and cool-downs. A request that is refused for an attack is a strike against its end user, if a rule of
    /// level high or critical found the attack or its score is at least 90, unless each such text was one within the
    /// window already: who resends a conversation is not struck again. What is replaced is no strike. `per` says who
    /// the end user is; a request without one is no strike.
    Abuse {
        /// Who is struck and refused. Default subject.
        per: Option<StrikesPer>,
        /// Which claim of the token names the end user, a JSON Pointer. With `per: claim` only.
        claim: Option<String>,
        /// Strikes within the window that begin a cool-down, 1 to 1000. Default 5.
        strikes: Option<u64>,
        /// Strikes are forgotten in this time, 1s to 31d. Default 10m.
        window: Option<Span>,
        /// How long the first cool-down lasts, 1s to 31d: everything is refused until it ends. Default 1m.
        cooldown: Option<Span>,
        /// Each cool-down that soon follows another lasts twice as long, up to this. Default 1h.
        max_cooldown: Option<Span>,
        /// Who sees a caller's strikes. Default proxy. Fleet needs a window of 1s, 1m, 1h or 1d, and a `rateLimitService`
        /// that reads `hits_addend` by descriptor, 0 for a look.
        scope: Option<Reach>,
        /// What happens while the fleet's service is unreachable. Default deny. With scope fleet only.
        on_unavailable: Option<OnUnavailable>,
        /// Default enforce.
        mode: Option<Mode>,
        /// Callers whose cool-down is lifted: they are let in as long as they are listed here.
        lift: Option<Vec<Lifted>>,
    }
}

choice! {
    /// Who the end user of a request is. The holder of an API key and a caller without a credential name none.
    StrikesPer {
        /// The token's subject, with its issuer and tenant. A token that an application got for itself (client
        /// credentials, a service account, a workload's identity) has no end user.
        Subject = "subject",
        /// Whom a claim of the token names, with its issuer and tenant: for tokens with which an application acts for
        /// its users. A token without the claim is judged as with `subject`.
        Claim = "claim",
    }
}

section! {
    /// One caller, exactly.
    Lifted {
        /// The issuer's name in this policy. Required.
        issuer: Option<String>,
        /// The tenant. Absent: a caller without one.
        tenant: Option<String>,
        /// The subject, or the end user that `per` names. Required.
        subject: Option<String>,
    }
}

section! {
    /// What is written about a request.
    Audit {
        /// How the record names the subject. Default hashed.
        subject: Option<SubjectForm>,
        /// The key of every hash in the record. Absent: a random key that lives as long as the proxy.
        hash_key: Option<FromEnv>,
        /// `x-bartizan-*` headers for the upstream. Default: none.
        upstream_headers: Option<Vec<UpstreamHeader>>,
        /// Ask for the token counts of streams that tell them only when asked (OpenAI's `stream_options.include_usage`);
        /// a client that did not ask does not see them. Default false; under a quota of tokens they are asked for anyway.
        usage: Option<bool>,
        /// Which replies carry headers of ours. Default denials.
        response_headers: Option<ResponseHeaders>,
        /// Writes each record as a line of the proxy's own log, too. Default true. False where an access log takes it from the
        /// filter state `wasm.bartizan.audit`: then it is a line of the log only where the proxy does not take that state.
        log_line: Option<bool>,
        /// The group of the caller in the record, for `bartizan audit drift`. Absent: records name none.
        group: Option<Group>,
        /// Ties each worker's records into a chain that `bartizan audit verify` checks. Absent: records are single lines.
        chain: Option<Chain>,
    }
}

section! {
    /// The group of a caller, by a claim of the token. Callers without a token, or without the claim, have none.
    Group {
        /// JSON Pointer (RFC 6901) to the claim: a text, a number, or a list of them. Required.
        claim: Option<String>,
        /// The groups that records name, 1 to 64: the first of the claim's values that is one of these. A caller whose
        /// claim names none of them is in the group `other`. Required.
        values: Option<Vec<String>>,
    }
}

section! {
    /// The chain of records: each names the one before it by its digest, some are signed with Ed25519 (RFC 8032), and signed
    /// checkpoints in the proxy's log, and in a second sink, say how far all chains of the proxy have come.
    Chain {
        /// The private key, out of the VM's environment: 32 bytes, as 64 hex digits or in base64url, as `bartizan audit keygen`
        /// makes it. Required.
        key: Option<FromEnv>,
        /// Each so many records of a worker one is signed, 1 to 100000. Default 100. The first always is.
        every: Option<u64>,
        /// How long a checkpoint waits for new records at most, 1s to 1h. Default 60s.
        interval: Option<Span>,
        /// Where checkpoints are copied to. Default: the proxy's log alone.
        sink: Option<ChainSink>,
    }
}

section! {
    /// Takes each checkpoint as the body of a POST, one line of JSON. One that is not answered with a status below 300 is
    /// followed by the next one after `interval`, which tells all that it told.
    ChainSink {
        /// The Envoy cluster that serves it. Required.
        cluster: Option<String>,
        /// The host name to ask for. Required.
        authority: Option<String>,
        /// The path. Required.
        path: Option<String>,
        /// How long to wait for an answer. Default 5s, 10ms to 30s.
        timeout: Option<Span>,
    }
}

choice! {
    /// How the record names the subject.
    SubjectForm {
        /// As a keyed hash.
        Hashed = "hashed",
        /// As it is.
        Plain = "plain",
        /// Not at all.
        Omitted = "omitted",
    }
}

choice! {
    /// A header for the upstream: `x-bartizan-` and this name.
    UpstreamHeader {
        /// The subject, as the issuer gave it.
        Subject = "subject",
        /// The roles, separated by commas.
        Roles = "roles",
        /// The tenant.
        Tenant = "tenant",
        /// `allow`, `mask`, `replace` or `shadow`. Strong mode only: it is known after the body.
        Verdict = "verdict",
        /// The highest score, 0 to 100. Strong mode only.
        Score = "score",
        /// `full` or `partial`. Strong mode only.
        Coverage = "coverage",
        /// The policy's name and digest.
        Policy = "policy",
    }
}

choice! {
    /// Which replies carry headers of ours.
    ResponseHeaders {
        /// Refusals carry `x-bartizan-reason`.
        Denials = "denials",
        /// Besides, a reply carries `x-bartizan-verdict: mask` or `replace` where something was masked in, or removed from,
        /// its request; in strong mode also where it was in the reply itself, if that is read whole.
        Changes = "changes",
        /// None.
        None = "none",
    }
}

section! {
    /// A secret in the VM's environment, not in the document.
    FromEnv {
        /// The variable's name. Required.
        from_env: Option<String>,
    }
}
