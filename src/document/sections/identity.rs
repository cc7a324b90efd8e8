//! Who asks: issuers, their keys and claims, API keys.

use super::super::duration::Span;
use super::FromEnv;

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// Authentication.
    Authn {
        /// Trusted token issuers. Required unless there are `apiKeys` or `workloads`, or `unsafeAnonymous` is true; a list that is empty refuses every token.
        issuers: Option<Vec<Issuer>>,
        /// Keys of clients without an identity provider, at most 1024. They come in the headers of `tokenFrom`.
        api_keys: Option<Vec<ApiKey>>,
        /// Workloads that need no credential: the SPIFFE ID in the peer's certificate (mTLS) is the subject, and `mesh` the
        /// issuer. At most 1024; the first that matches counts. A credential that is there counts instead, also a bad one; without `issuers` and
        /// `apiKeys` none is read.
        workloads: Option<Vec<Workload>>,
        /// Headers that may carry the token, in lower case. Default `[authorization]`; `authorization` carries the
        /// Bearer scheme, every other header the bare token.
        token_from: Option<Vec<String>>,
        /// The longest credential, bytes, 1024 to 49152. Default 8192. Envoy accepts 60 KiB of headers by default.
        max_token_bytes: Option<u64>,
        /// Tolerance for `exp`, `nbf` and `iat`. Default 60s, at most 5m.
        clock_skew: Option<Span>,
        /// Use the claims that Istio's RequestAuthentication (Envoy's `jwt_authn`) has verified, for the issuers without
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
        /// Claims that name the audience of a token without `aud`, for example `[client_id]` (Amazon Cognito): the first that is
        /// there must be one of `audiences`, and a `token_use` must be `access`. Default: none, and such a token is refused.
        audience_claims: Option<Vec<String>>,
        /// Accepted `alg` values, not empty. Required with `jwks`.
        algorithms: Option<Vec<Algorithm>>,
        /// The issuer's keys. Required unless there is `introspection`, or `authn.fromMesh` is true: then the mesh verifies
        /// this issuer's tokens.
        jwks: Option<Jwks>,
        /// Where this issuer puts what the policy needs.
        claims: Option<Claims>,
        /// The most this issuer may assert. Default: every role, every tenant.
        grants: Option<Grants>,
        /// The longest time between a token's `iat`, which it then must have, and its `exp`: 1m to 366d. Default: any.
        max_lifetime: Option<Span>,
        /// Claims that every token must have.
        required_claims: Option<Vec<RequiredClaim>>,
        /// Where this issuer lists the tokens and subjects that it has revoked. Default: nowhere.
        revocation: Option<Revocation>,
        /// Where this issuer says whether a token that is not a JWT is active (RFC 7662). One issuer of a policy may have it.
        introspection: Option<Introspection>,
    }
}

section! {
    /// Token introspection. The answer's claims are checked as a token's are: `aud` must be there, and the subject where
    /// `claims.subject` points to (for client credentials often `/client_id`).
    Introspection {
        /// The Envoy cluster that serves the endpoint. Required.
        cluster: Option<String>,
        /// The host name to ask. Required.
        authority: Option<String>,
        /// The endpoint's path. Required.
        path: Option<String>,
        /// Our client id there. Required.
        client_id: Option<String>,
        /// Our client secret there, out of the VM's environment. Required.
        client_secret: Option<FromEnv>,
        /// How long a request waits for an answer. Default 2s, 50ms to 30s.
        timeout: Option<Span>,
        /// How long an answer counts, and never beyond the token's `exp`: a revoked token passes until then.
        /// Default 30s, at most 1h.
        keep_for: Option<Span>,
        /// How long it counts that a token is not active. Default 5s, at most 5m.
        keep_refused_for: Option<Span>,
    }
}

section! {
    /// A list of revoked tokens, `{"jti": ["..."], "sub": ["..."], "issuedBefore": {"alice": 1800000000}}`: token ids,
    /// subjects all of whose tokens are revoked, and subjects with the time (seconds since 1970) before which their
    /// tokens were issued; and `hash`, callers as records name them (`user.hash`, under `audit.hashKey`). At least one of the
    /// four and no other key; at most 1 MiB and 32768 entries. A subject is what `claims.subject` points to.
    Revocation {
        /// The Envoy cluster that serves the list. Required.
        cluster: Option<String>,
        /// The host name to ask for. Required.
        authority: Option<String>,
        /// The list's path. Required.
        path: Option<String>,
        /// How old the list may get before it is fetched again. Default 30s, 1s to 1h.
        refresh: Option<Span>,
        /// How long a fetch may take, and a request wait for the first one. Default 5s, 100ms to 30s.
        timeout: Option<Span>,
        /// How long the list still counts after `refresh` when it can't be fetched. Default 10m, at most 24h.
        stale_for: Option<Span>,
        /// Without a list that counts: `deny` (the default) answers 503, `allow` lets tokens in and the record says
        /// that nobody checked.
        on_stale: Option<OnStale>,
    }
}

choice! {
    /// What becomes of tokens when nobody knows which are revoked.
    OnStale {
        /// They are refused with 503.
        Deny = "deny",
        /// They are let in.
        Allow = "allow",
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
        /// The last day, `2027-01-31` (UTC), or the time of the end, `2027-01-31T12:00:00Z`. Default: it does not end.
        until: Option<String>,
    }
}

section! {
    /// Callers that the mesh's mTLS names.
    Workload {
        /// Which SPIFFE IDs, `*` matches any text: `spiffe://cluster.local/ns/batch/sa/*`. Required.
        matches: Option<String> = "match",
        /// The roles it gives. Required; each must exist.
        roles: Option<Vec<String>>,
        /// The callers' tenant.
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
        /// Ed25519. A token or a key may call it `Ed25519` too (RFC 9864).
        EdDSA = "EdDSA",
    }
}

section! {
    /// Where an issuer's keys come from: `inline`, or `cluster`, `authority` and `path`.
    Jwks {
        /// A JSON Web Key Set (RFC 7517) in the document.
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
        /// The roles: an array of strings, one string of names separated by spaces, or an object with a role as each key
        /// and as its value the organisations it was granted for (Zitadel): with `tenant`, the token's own one counts. Default `/roles`.
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
