//! The manual: the same pages that the repository shows as Markdown.

macro_rules! pages {
    ($($name:ident: $file:literal)*) => {
        $(
            #[doc = include_str!($file)]
            pub mod $name {}
        )*
    };
}

pages! {
    configuration: "configuration.md"
    policy: "policy.md"
    identity: "identity.md"
    guards: "guards.md"
    rules: "rules.md"
    conditions: "conditions.md"
    quotas: "quotas.md"
    fleet: "fleet.md"
    abuse: "abuse.md"
    response: "response.md"
    opa: "opa.md"
    opinions: "opinions.md"
    pipelines: "pipelines.md"
    rehearsal: "rehearsal.md"
    report: "report.md"
    drift: "drift.md"
    lifecycle: "lifecycle.md"
    protocols: "protocols.md"
    stores: "stores.md"
    parameters: "parameters.md"
    reasons: "reasons.md"
    audit: "audit.md"
    clouds: "clouds.md"
    limits: "limits.md"
    compliance: "compliance.md"
    requirements: "requirements.md"
}
