//! What one role may do, as the policy means it.

use crate::condition::{self, Condition};
use crate::document::{Errors, KeyPath, OtherTools, OverCap, Role, shortened};
use crate::enums::{Mode, Operation, Zone};
use crate::glob::Glob;
use crate::guard::GuardIndex;
use crate::quota::{QuotaPolicy, bound_sessions};

/// What one role may do.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePolicy {
    /// The role's name, as tokens have it.
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
    /// The most results of one request to a store; `None`: the store's own bound.
    pub top_k: Option<u64>,
    /// Versions of system prompts; `None`: any prompt, or none.
    pub system_prompts: Option<Vec<Glob>>,
    /// Limits on how much; all of them apply.
    pub quotas: Vec<QuotaPolicy>,
    /// Its guard.
    pub guard: GuardIndex,
    /// For which requests it counts; `None`: all.
    pub when: Option<Condition>,
    /// Whether a refusal for models, tools or caps takes effect.
    pub mode: Mode,
}

impl RolePolicy {
    /// Compiles one section of `roles`; `None`: something that it needs is missing, and an error says what.
    pub(crate) fn compile(
        name: &str,
        role: &Role,
        guard: GuardIndex,
        at: &KeyPath,
        errors: &mut Errors,
    ) -> Option<RolePolicy> {
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
        let top_k = role.retrieval.as_ref().and_then(|retrieval| {
            let at = at.key("retrieval");
            errors
                .require(&at, "topK", retrieval.top_k)
                .map(|most| errors.range(&at, "topK", Some(most), 1, 1..=10_000))
        });
        let prompts = role.system_prompts.as_ref();
        let system_prompts = prompts.map(|names| globs(names, &at.key("systemPrompts"), errors));
        let quotas = role.quotas.as_deref().unwrap_or_default();
        if quotas.len() > 8 {
            errors.push(&at.key("quotas"), format!("{} quotas, expected at most 8", quotas.len()));
        }
        let at_quotas = at.key("quotas");
        let written = quotas.len();
        let quotas: Vec<QuotaPolicy> = quotas
            .iter()
            .enumerate()
            .filter_map(|(place, raw)| QuotaPolicy::compile(raw, &at_quotas.index(place), errors))
            .collect();
        // Where one is broken the places differ, and it may be the bound.
        if quotas.len() == written {
            bound_sessions(&quotas, &at_quotas, errors);
        }
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
            top_k,
            system_prompts,
            quotas,
            guard,
            when: condition::compile(role.when.as_deref(), at, errors),
            mode: role.mode.unwrap_or(Mode::Enforce),
        })
    }
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
