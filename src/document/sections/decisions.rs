//! Who else decides about a request.

use super::*;

section! {
    /// Who else decides about a request.
    Authz {
        /// Open Policy Agent. Default: it is not asked.
        opa: Option<Opa>,
    }
}

section! {
    /// Open Policy Agent, asked about each request that roles and guards allow, before its tokens are reserved. It sees no
    /// text. What it answers only tightens.
    Opa {
        /// The Envoy cluster that serves OPA. Required.
        cluster: Option<String>,
        /// The host name to ask. Default opa.
        authority: Option<String>,
        /// The document of OPA's data API that decides, for example `/v1/data/bartizan/authz`. Required.
        path: Option<String>,
        /// How long a request waits for an answer. Default 500ms, 10ms to 30s.
        timeout: Option<Span>,
        /// What happens without an answer in time. Required. An answer that is not understood refuses the request all the same.
        on_unavailable: Option<OnNoAnswer>,
        /// How long an answer counts for the same input. Default 0s: every request asks. At most 5m.
        cache_for: Option<Span>,
        /// Default enforce. In shadow a refusal is recorded and the request goes on, without obligations.
        mode: Option<Mode>,
    }
}

choice! {
    /// What happens to a request about which a service that decides gave no answer.
    OnNoAnswer {
        /// It is refused with 503.
        Deny = "deny",
        /// It goes on, and the record says that nobody was asked.
        Allow = "allow",
    }
}
