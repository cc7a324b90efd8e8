//! The document as it is written: one struct a section, strict, without meaning yet.
//!
//! Every field is optional here, whatever the policy requires: a missing key is reported by
//! `compile` beside all the other errors, with its path. No `flatten`, `untagged` or internally
//! tagged enum stands here, because serde loses an error's path in them.
//!
//! A key stands here only when the feature behind it is built.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::duration::Span;

#[cfg(feature = "cli")]
use schemars::JsonSchema;

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[cfg_attr(feature = "cli", derive(JsonSchema))]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }
    };
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[cfg_attr(feature = "cli", derive(JsonSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[ $( $name::$variant, )* ];

            /// The word that stands for this value in the document, the record and the metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $word, )* }
            }
        }
    };
}

mod traffic;

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
        roles: Option<BTreeMap<String, Role>>,
        /// What is searched for and what follows, by guard name.
        guards: Option<BTreeMap<String, Guard>>,
        /// Which detection rules are in force.
        rules: Option<Rules>,
        /// Which paths are guarded and how their bodies read. Required.
        routes: Option<Vec<Route>>,
        /// What happens to a request that no route matches. Default deny.
        unmatched: Option<Unmatched>,
        /// What happens to content that can't be scanned, by kind.
        unscanned: Option<Unscanned>,
        /// Bounds on what one request may cost.
        limits: Option<Limits>,
        /// What follows when a caller's requests are refused as attacks again and again. Default: nothing.
        abuse: Option<Abuse>,
        /// What is written about a request, and where.
        audit: Option<Audit>,
    }
}

section! {
    /// Authentication.
    Authn {
        /// Trusted token issuers. Required unless there are `apiKeys` or `unsafeAnonymous` is true; a list that is empty refuses every token.
        issuers: Option<Vec<Issuer>>,
        /// Keys of clients without an identity provider, at most 1024. They come in the headers of `tokenFrom`.
        api_keys: Option<Vec<ApiKey>>,
        /// Headers that may carry the token, in lower case. Default `[authorization]`; `authorization` takes the
        /// Bearer scheme, every other header the bare token.
        token_from: Option<Vec<String>>,
        /// Tolerance for `exp`, `nbf` and `iat`. Default 60s, at most 5m.
        clock_skew: Option<Span>,
        /// Take the claims that Istio's RequestAuthentication (Envoy's `jwt_authn`) has verified, for the issuers without
        /// `jwks`. Default false.
        from_mesh: Option<bool>,
        /// Leave the credential headers on the request to the upstream. Default false: all of them are removed.
        forward_token: Option<bool>,
        /// Let callers without any credential in, with the role `anonymous`, which `roles` must define. A bad credential
        /// is still refused. Default false.
        unsafe_anonymous: Option<bool>,
    }
}

section! {
    /// One token issuer (OAuth 2.0 / OpenID Connect).
    Issuer {
        /// A name for logs and records. Default: the issuer.
        name: Option<String>,
        /// The exact `iss` claim. Required.
        issuer: Option<String>,
        /// Accepted `aud` values; a token must hold at least one. Required, not empty.
        audiences: Option<Vec<String>>,
        /// Accepted `alg` values, not empty. Required unless `fromMesh` verifies this issuer's tokens.
        algorithms: Option<Vec<Algorithm>>,
        /// The issuer's keys. Required unless `authn.fromMesh` is true: without them the mesh verifies this issuer's tokens.
        jwks: Option<Jwks>,
        /// Where this issuer puts what the policy needs.
        claims: Option<Claims>,
        /// The most this issuer may assert. Default: every role, every tenant.
        grants: Option<Grants>,
        /// The longest time between a token's `iat`, which it then must have, and its `exp`: 1m to 366d. Default: any.
        max_lifetime: Option<Span>,
        /// Claims that every token must have.
        required_claims: Option<Vec<RequiredClaim>>,
    }
}

section! {
    /// An API key, by its hash: `printf %s "$KEY" | sha256sum`. The key must be random, with at least 128 bits (22
    /// letters and digits, `openssl rand -hex 16`), because a plain hash keeps no word secret.
    ApiKey {
        /// A name for logs. Required; each once.
        name: Option<String>,
        /// SHA-256 of the key, in lower-case hex. Required.
        sha256: Option<String>,
        /// Who holds it. Required. Two keys may have the same, so that they can be rotated.
        subject: Option<String>,
        /// The roles it gives. Required; each must exist.
        roles: Option<Vec<String>>,
        /// The holder's tenant.
        tenant: Option<String>,
    }
}

choice! {
    /// A JWS signature algorithm (RFC 7518 section 3.1, RFC 8037).
    Algorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        RS256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RS384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RS512 = "RS512",
        /// RSASSA-PSS with SHA-256.
        PS256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        PS384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        PS512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        ES256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        ES384 = "ES384",
        /// Ed25519.
        EdDSA = "EdDSA",
    }
}

section! {
    /// Where an issuer's keys come from: `inline`, or `cluster`, `authority` and `path`.
    Jwks {
        /// A JSON Web Key Set (RFC 7517) that stands in the document.
        inline: Option<KeySet>,
        /// The Envoy cluster that serves the key set; Istio names it `outbound|443||idp.example.com`.
        cluster: Option<String>,
        /// The host name to ask for; goes with `cluster`.
        authority: Option<String>,
        /// The key set's path; goes with `cluster`.
        path: Option<String>,
        /// How old the keys may get before they are fetched again. Default 5m, 10s to 24h.
        refresh: Option<Span>,
        /// How long a fetch may take, and a request wait for the first one. Default 5s, 100ms to 30s.
        timeout: Option<Span>,
        /// How long keys still count after `refresh` when they can't be fetched. Default 1h, at most 7d.
        stale_for: Option<Span>,
    }
}

section! {
    /// A JSON Web Key Set.
    KeySet {
        /// The keys; private parts are refused. Required, not empty.
        keys: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    }
}

section! {
    /// JSON Pointers (RFC 6901) into the token's claims.
    Claims {
        /// The subject. Default `/sub`.
        subject: Option<String>,
        /// The roles: an array of strings, or one string of names parted by spaces. Default `/roles`.
        roles: Option<String>,
        /// The tenant: a string. Without it callers have no tenant.
        tenant: Option<String>,
    }
}

section! {
    /// Upper bounds on what an issuer may assert.
    Grants {
        /// Role names; each must exist. A role outside the list is dropped from the token.
        roles: Option<Vec<String>>,
        /// Tenants, or globs of them (`*` matches any text). A token with another tenant is refused.
        tenants: Option<Vec<String>>,
    }
}

section! {
    /// A claim that must be there.
    RequiredClaim {
        /// JSON Pointer to the claim. Required.
        pointer: Option<String>,
        /// Accepted values; absent: any value but null.
        one_of: Option<Vec<serde_json::Value>>,
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
        /// Cap on the choices of one request (`n`). Default 1.
        max_choices: Option<u64>,
        /// Limits on how much; all of them apply.
        quotas: Option<Vec<Quota>>,
        /// The guard's name. Default `standard`.
        guard: Option<String>,
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
    /// An operation on a model.
    Operation {
        /// Chat: OpenAI's chat completions, Anthropic's messages, Ollama's chat.
        Chat = "chat",
        /// The list of models, and one model's card.
        Models = "models",
        /// A prompt through the `generic` protocol, Ollama's or text-generation-inference's generate.
        Generate = "generate",
        /// OpenAI's older completions.
        Completions = "completions",
        /// OpenAI's responses.
        Responses = "responses",
        /// Embeddings.
        Embeddings = "embeddings",
        /// OpenAI's moderations.
        Moderations = "moderations",
        /// Anthropic's count of a request's tokens.
        CountTokens = "countTokens",
        /// Ollama's card of one model.
        ModelCard = "modelCard",
        /// OpenAI's batches.
        Batch = "batch",
        /// OpenAI's files. What is uploaded is not read: `unscanned` decides, and only a role of every model may do it.
        Files = "files",
        /// OpenAI's images, made from a prompt.
        Images = "images",
        /// OpenAI's speech, made from a text.
        Audio = "audio",
        /// Everything of a Model Context Protocol server; `tools` says which of its tools, prompts and resources.
        Mcp = "mcp",
    }
}

choice! {
    /// Where in a conversation a text stands. A zone is the caller's claim.
    Zone {
        /// The application's instructions.
        System = "system",
        /// The developer's instructions.
        Developer = "developer",
        /// The caller's words.
        User = "user",
        /// The model's earlier words, and the arguments of its tool calls.
        Assistant = "assistant",
        /// What a tool returned.
        Tool = "tool",
        /// A retrieved or attached document.
        Document = "document",
    }
}

choice! {
    /// Whether a decision takes effect.
    Mode {
        /// It does.
        Enforce = "enforce",
        /// It is made, recorded and counted, and changes nothing.
        Shadow = "shadow",
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
    /// A limit, kept as a GCRA bucket: exactly one of `requests`, `tokens`, `inputTokens`, `outputTokens` and
    /// `concurrent`. Tokens are reserved before a call and settled with what the model says it used.
    Quota {
        /// Who shares the bucket. Required.
        per: Option<Per>,
        /// Requests per window, 1 to 1000000000.
        requests: Option<u64>,
        /// Tokens per window, input and output together, 1 to 1000000000000.
        tokens: Option<u64>,
        /// Input tokens per window.
        input_tokens: Option<u64>,
        /// Output tokens per window.
        output_tokens: Option<u64>,
        /// Requests under way at a time, 1 to 1000000; goes without `window` and `burst`.
        concurrent: Option<u64>,
        /// The window, 1s to 31d. For all but `concurrent`.
        window: Option<Span>,
        /// How much may come at once. Default: all of a window's.
        burst: Option<u64>,
        /// Default enforce.
        mode: Option<Mode>,
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
        /// Requests under way.
        Concurrent = "concurrent",
    }
}

section! {
    /// What is searched for and what follows.
    Guard {
        /// Default enforce.
        mode: Option<Mode>,
        /// Injection, jailbreak, extraction, exfiltration, agent hijack.
        injection: Option<Injection>,
        /// Personal data.
        pii: Option<Pii>,
        /// Credentials.
        secrets: Option<Secrets>,
        /// How the model is told which text comes from tools and documents. Default: it is not.
        spotlight: Option<Spotlight>,
        /// What the model answers.
        output: Option<Output>,
        /// Findings that are known and accepted.
        exceptions: Option<Vec<Exception>>,
    }
}

section! {
    /// Attacks on the model.
    Injection {
        /// What happens when the score in the caller's newest turn reaches the zone's threshold. Default block.
        action: Option<Action>,
        /// What happens when it does so in an earlier turn, a tool result or a document. Default replace.
        history: Option<Action>,
        /// Scores from 1 to 100 by zone; 101 switches a zone off.
        thresholds: Option<Thresholds>,
    }
}

section! {
    /// Scores from which a text counts as an attack.
    Thresholds {
        /// Default 101: only roles that may write the zone are judged by it.
        system: Option<u64>,
        /// Default 101, as `system`.
        developer: Option<u64>,
        /// Default 50.
        user: Option<u64>,
        /// Default 50.
        assistant: Option<u64>,
        /// Default 50.
        tool: Option<u64>,
        /// Default 50.
        document: Option<u64>,
    }
}

choice! {
    /// What follows from a finding, from the mildest.
    Action {
        /// It is recorded.
        Flag = "flag",
        /// A fixed notice takes the place of the text.
        Replace = "replace",
        /// The request is refused.
        Block = "block",
    }
}

choice! {
    /// What follows from personal data or a secret, from the mildest.
    DataAction {
        /// It is recorded.
        Flag = "flag",
        /// A numbered placeholder takes its place: `[EMAIL_1]`.
        Mask = "mask",
        /// A keyed hash takes its place: equal values stay equal.
        Hash = "hash",
        /// A placeholder keyed by the tenant takes its place in the request, and the reply gets the value back; never in an
        /// address, and never in a tool's arguments.
        Restore = "restore",
        /// The request is refused.
        Block = "block",
    }
}

section! {
    /// Personal data.
    Pii {
        /// Default flag.
        action: Option<DataAction>,
        /// Which types. Default: all.
        types: Option<Vec<PiiType>>,
        /// Another action for one type, which `types` must hold.
        #[cfg_attr(feature = "cli", schemars(extend("propertyNames" = serde_json::json!({ "$ref": "#/$defs/PiiType" }))))]
        by_type: Option<BTreeMap<PiiType, DataAction>>,
    }
}

choice! {
    /// A type of personal data.
    PiiType {
        /// E-mail address.
        Email = "email",
        /// Telephone number, international or national in context.
        Phone = "phone",
        /// Payment card number (Luhn, issuer prefix).
        CreditCard = "creditCard",
        /// International Bank Account Number (mod 97).
        Iban = "iban",
        /// US social security number.
        UsSsn = "usSsn",
        /// A national identity or tax number, with its checksum.
        NationalId = "nationalId",
        /// Passport number in context.
        Passport = "passport",
        /// IPv4 or IPv6 address.
        IpAddress = "ipAddress",
        /// MAC address.
        MacAddress = "macAddress",
        /// Address of a crypto wallet.
        CryptoWallet = "cryptoWallet",
        /// Date of birth in context.
        BirthDate = "birthDate",
    }
}

section! {
    /// What the model answers, whole or as a stream.
    Output {
        /// Credentials. Default mask; `restore` is for requests alone.
        secrets: Option<DataAction>,
        /// Personal data of the types that `pii` names. Default flag; `restore` is for requests alone.
        pii: Option<DataAction>,
        /// Images that a reader's program fetches by itself, and links that carry data, to hosts other than `allowHosts`.
        /// Default flag.
        exfiltration: Option<OutputAction>,
        /// HTML and addresses that run code. Default flag.
        script: Option<OutputAction>,
        /// Calls of tools that the role may not use. Default remove.
        tool_calls: Option<OutputAction>,
        /// A token at the end of the system prompt, where the request has one, tells that the prompt has leaked. Absent:
        /// there is none.
        canary: Option<OutputAction>,
        /// How long a tenant's token stays the same, so that providers can cache the prompt. Default 1d, 1m to 31d.
        canary_epoch: Option<Span>,
        /// Host names or globs (`*` matches any text) that answers may point to.
        allow_hosts: Option<Vec<String>>,
    }
}

choice! {
    /// How text of tools and documents is marked for the model.
    Spotlight {
        /// It stands between two lines that the text can't know.
        Delimit = "delimit",
        /// The same, and a sign takes the place of every space in it.
        Datamark = "datamark",
    }
}

choice! {
    /// What follows from a finding in an answer.
    OutputAction {
        /// It is recorded.
        Flag = "flag",
        /// It is cut out.
        Remove = "remove",
        /// The answer is refused, or ended where it is a stream.
        Block = "block",
    }
}

section! {
    /// Credentials.
    Secrets {
        /// Default block.
        action: Option<DataAction>,
    }
}

section! {
    /// A finding that is known and accepted.
    Exception {
        /// Rule ids. Required.
        rules: Option<Vec<String>>,
        /// Route paths; absent: every route.
        routes: Option<Vec<String>>,
        /// Zones; absent: every zone.
        zones: Option<Vec<Zone>>,
        /// The last day, `2027-01-31`. Required: an exception ends by itself.
        until: Option<String>,
        /// Why. Required.
        reason: Option<String>,
    }
}

section! {
    /// Detection rules.
    Rules {
        /// Rule packs in force. Default: all.
        packs: Option<Vec<Pack>>,
        /// Rule ids that are off.
        disable: Option<Vec<String>>,
        /// Rules of the policy's own.
        custom: Option<Vec<CustomRule>>,
        /// The learned scorer beside the rules. Default true.
        scorer: Option<bool>,
    }
}

choice! {
    /// A pack of rules: a folder below `rules/`.
    Pack {
        /// Instructions that override the application's.
        Injection = "injection",
        /// Personas and modes without rules.
        Jailbreak = "jailbreak",
        /// Extraction of the system prompt.
        Leakage = "leakage",
        /// Data carried out by links, images and tools.
        Exfiltration = "exfiltration",
        /// Tool results and documents that command the model.
        Hijack = "hijack",
        /// Text in disguise.
        Obfuscation = "obfuscation",
        /// Credentials.
        Secrets = "secrets",
        /// Personal data.
        Pii = "pii",
    }
}

section! {
    /// A rule that stands in the document. The same form as a rule file, without its samples.
    CustomRule {
        /// `X-` and a number, for example `X-1`. Required.
        id: Option<String>,
        /// A short title. Required.
        title: Option<String>,
        /// How much a match weighs. Default high.
        level: Option<Level>,
        /// The pack it counts to. Default injection.
        pack: Option<Pack>,
        /// Zones it looks at. Default: all.
        scope: Option<Vec<Zone>>,
        /// Literal words of which every match holds one, in lower case. Required, not empty.
        keywords: Option<Vec<String>>,
        /// A linear-time pattern; absent: a keyword is a match.
        pattern: Option<String>,
    }
}

choice! {
    /// How much a rule's match weighs.
    Level {
        /// 5 points.
        Informational = "informational",
        /// 20 points.
        Low = "low",
        /// 35 points.
        Medium = "medium",
        /// 60 points.
        High = "high",
        /// 95 points.
        Critical = "critical",
    }
}

section! {
    /// Strikes and cool-downs. Every request that is refused for `scan.injection` is a strike against its caller (issuer,
    /// tenant and subject); callers without a credential get none.
    Abuse {
        /// So many strikes within the window begin a cool-down, 1 to 1000. Default 5.
        strikes: Option<u64>,
        /// Strikes are forgotten in this time, 1s to 31d. Default 10m.
        window: Option<Span>,
        /// How long the first cool-down takes, 1s to 31d: everything is refused until it ends. Default 1m.
        cooldown: Option<Span>,
        /// Each cool-down that soon follows another takes twice as long, up to this. Default 1h.
        max_cooldown: Option<Span>,
        /// Default enforce.
        mode: Option<Mode>,
        /// Subjects whose cool-down is lifted: they are let in as long as they stand here.
        lift: Option<Vec<String>>,
    }
}

section! {
    /// What is written about a request.
    Audit {
        /// How the subject stands in the record. Default hashed.
        subject: Option<SubjectForm>,
        /// The key of every hash in the record. Absent: a random key that lives as long as the proxy.
        hash_key: Option<FromEnv>,
        /// `x-bartizan-*` headers for the upstream. Default: none.
        upstream_headers: Option<Vec<UpstreamHeader>>,
        /// Ask for the token counts of streams that tell them only when asked (OpenAI's `stream_options.include_usage`);
        /// a client that did not ask does not see them. Default false; under a quota of tokens they are asked for anyway.
        usage: Option<bool>,
        /// Which replies carry `x-bartizan-reason`. Default denials.
        response_headers: Option<ResponseHeaders>,
    }
}

choice! {
    /// How the subject stands in the record.
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
        /// The roles, parted by commas.
        Roles = "roles",
        /// The tenant.
        Tenant = "tenant",
        /// `allow`, `mask`, `replace` or `shadow`. Strong mode only: it is known after the body.
        Decision = "decision",
        /// The highest score, 0 to 100. Strong mode only.
        Score = "score",
        /// `full` or `partial`. Strong mode only.
        Coverage = "coverage",
        /// The policy's name and digest.
        Policy = "policy",
    }
}

choice! {
    /// Which replies carry `x-bartizan-reason`.
    ResponseHeaders {
        /// Refusals.
        Denials = "denials",
        /// None.
        None = "none",
    }
}

section! {
    /// A secret that stands in the VM's environment and not in the document.
    FromEnv {
        /// The variable's name. Required.
        from_env: Option<String>,
    }
}
