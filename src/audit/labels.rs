//! Words of the policy's own that a counter may name: the models of its roles, the tenants of its issuers and keys.
//! Whatever else a caller brings is counted as `other`, so that nobody outside makes a series.

use crate::document::Document;
use crate::glob::Glob;

/// Roles, models, and tenants, that have counters of their own; those behind them are `other`.
pub const MOST: usize = 64;

/// The label of every other name.
const OTHER: &str = "other";

/// The words of one policy.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Names before patterns, each once.
    models: Vec<(Glob, String)>,
    /// Names, each once.
    tenants: Vec<String>,
    roles: Vec<String>,
    /// What the policy lists beyond [`MOST`], by kind.
    left_out: Vec<(&'static str, usize)>,
}

impl Labels {
    /// The words of a document, in its order.
    pub fn of(document: &Document) -> Labels {
        let roles = document.roles.iter().flatten().map(|(name, _)| name.clone()).collect();
        let mut labels = Labels { roles, ..Labels::default() };
        labels.leave_out("roles", labels.roles.len());
        labels.roles.truncate(MOST);
        let roles = || document.roles.iter().flatten().filter_map(|(_, role)| role.models.as_ref()).flatten();
        let (names, globs): (Vec<&String>, Vec<&String>) = roles().partition(|model| Glob::new(model).is_literal());
        for model in names.into_iter().chain(globs) {
            if !labels.models.iter().any(|(_, known)| known == model) {
                labels.models.push((Glob::new(model), model.clone()));
            }
        }
        labels.leave_out("models", labels.models.len());
        labels.models.truncate(MOST);
        let authn = document.authn.as_ref();
        let issuers = authn.and_then(|authn| authn.issuers.as_ref()).into_iter().flatten();
        let granted = issuers.filter_map(|issuer| issuer.grants.as_ref()?.tenants.as_ref()).flatten();
        let keys = authn.and_then(|authn| authn.api_keys.as_ref()).into_iter().flatten();
        let workloads = authn.and_then(|authn| authn.workloads.as_ref()).into_iter().flatten();
        let of_workloads = workloads.filter_map(|workload| workload.tenant.as_ref());
        for tenant in granted.chain(keys.filter_map(|key| key.tenant.as_ref())).chain(of_workloads) {
            if Glob::new(tenant).is_literal() && !labels.tenants.contains(tenant) {
                labels.tenants.push(tenant.clone());
            }
        }
        labels.leave_out("tenants", labels.tenants.len());
        labels.tenants.truncate(MOST);
        labels
    }

    fn leave_out(&mut self, kind: &'static str, listed: usize) {
        if listed > MOST {
            self.left_out.push((kind, listed));
        }
    }

    /// Kinds of names of which the policy lists more than [`MOST`], and how many.
    pub fn left_out(&self) -> &[(&'static str, usize)] {
        &self.left_out
    }

    /// The word for a role.
    pub fn role(&self, role: &str) -> &str {
        self.roles.iter().find(|known| *known == role).map_or(OTHER, String::as_str)
    }

    /// The word for a model: its name where a role lists it, else the first pattern that allows it.
    pub fn model(&self, model: &str) -> &str {
        self.models.iter().find(|(glob, _)| glob.matches(model)).map_or(OTHER, |(_, word)| word)
    }

    /// The word for a tenant.
    pub fn tenant(&self, tenant: &str) -> &str {
        self.tenants.iter().find(|known| *known == tenant).map_or(OTHER, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_the_policy_are_labels() {
        let document = serde_json::json!({
            "roles": { "a": { "models": ["llama-3*", "gpt-4.1", "*"] }, "b": { "models": ["gpt-4.1", "llama-3.1-8b"] } },
            "authn": { "issuers": [{ "grants": { "tenants": ["acme", "eu-*"] } }], "apiKeys": [{ "tenant": "batch" }] }
        });
        let labels = Labels::of(&serde_json::from_value(document).unwrap());
        for (model, word) in
            [("gpt-4.1", "gpt-4.1"), ("llama-3.1-8b", "llama-3.1-8b"), ("llama-3.3", "llama-3*"), ("x'; drop", "*")]
        {
            assert_eq!(labels.model(model), word);
        }
        for (tenant, word) in [("acme", "acme"), ("batch", "batch"), ("eu-1", "other"), ("eu-*", "other")] {
            assert_eq!(labels.tenant(tenant), word);
        }
        let many: Vec<String> = (0..200).map(|at| format!("m-{at}")).collect();
        let document = serde_json::json!({ "roles": { "a": { "models": many } } });
        let labels = Labels::of(&serde_json::from_value(document).unwrap());
        assert_eq!((labels.model("m-63"), labels.model("m-64")), ("m-63", OTHER));
        assert_eq!((labels.role("a"), labels.role("b")), ("a", OTHER));
        assert_eq!(labels.left_out(), [("models", 200)]);
        assert_eq!(Labels::default().model("x"), OTHER);
    }
}
