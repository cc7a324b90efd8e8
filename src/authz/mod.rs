//! May this principal call this operation, this model, these tools, with these caps?
//!
//! One role must grant all of it together: two roles never add up to a permission that neither of
//! them has. Of several roles that do, the widest cap holds (the caller could have come with that
//! role only), the strictest guard applies, and every quota is charged.
//!
//! Before the body is read [`entitled`] says which roles allow the operation; after it [`grant`] says which of them grant
//! the request. That no request skips either is the business of [`stages`](crate::transaction::stages).
//!
//! ```
//! use bartizan::authn::RoleIndex;
//! use bartizan::authz::{Asking, Situation, Who, grant};
//! use bartizan::enums::Operation;
//! use bartizan::host::Timestamp;
//! use bartizan::policy::Policy;
//! use bartizan::protocol::{Json, Protocol};
//! use bartizan::reason::Reason;
//!
//! let document = br#"{"version": 1, "name": "small", "guards": {"standard": {}},
//!     "authn": {"unsafeAnonymous": true}, "roles": {"anonymous": {"operations": ["chat"], "models": ["small-*"]}},
//!     "routes": [{"match": {"path": "/v1/chat/completions"}, "protocol": "openai"}]}"#;
//! let policy = Policy::from_json(document, &|_| None).unwrap();
//! let roles = [RoleIndex(0)];
//! let granted = |model: &str| {
//!     let body = format!(r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "Hi."}}]}}"#);
//!     let json = Json::parse(body.as_bytes(), 64).unwrap();
//!     let exchange = Protocol::named("openai").unwrap().read_request(Operation::Chat, None, &json).unwrap();
//!     let caller = policy.authn.anonymous().unwrap();
//!     let asking = Asking {
//!         who: Who::Caller(&caller),
//!         roles: &policy.roles,
//!         operation: Operation::Chat,
//!         situation: &Situation::default(),
//!         body: Some((&exchange, body.len())),
//!         now: Timestamp::from_secs(1_800_000_000),
//!     };
//!     grant(&roles, &exchange, &asking).map(|grant| grant.roles).map_err(|denial| denial.reason)
//! };
//! assert_eq!(granted("small-7b"), Ok(roles.to_vec()));
//! assert_eq!(granted("large"), Err(Reason::RbacModel));
//! ```

mod ledger;
mod policy;
mod situation;

pub use ledger::{Ledger, Owned};
pub use policy::RolePolicy;
pub use situation::{Asking, Situation, Who};

use crate::authn::{Principal, RoleIndex, workload};
use crate::document::{OtherTools, OverCap};
use crate::enums::{Mode, Operation};
use crate::glob::Glob;
use crate::host::Host;
use crate::protocol::{Exchange, NO_LIMIT, Offered, converses};
use crate::reason::{Denial, Reason};

/// What the roles of a caller grant together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The roles that grant the request; never empty.
    pub roles: Vec<RoleIndex>,
    /// The most output tokens the upstream may be asked for; `None`: no limit.
    pub output_cap: Option<u64>,
    /// The most results of a search; `None`: the store's own bound.
    pub top_k: Option<u64>,
    /// The refusal that a role in shadow mode did not carry out.
    pub shadow: Option<Reason>,
    /// Tools must be taken out of the request for the roles to grant it.
    pub removes_tools: bool,
}

/// The roles of this caller that allow one of these operations, which the path tells, to the workload, which the mesh's mTLS
/// tells.
///
/// # Errors
/// [`Reason::RbacOperation`], [`Reason::RbacWorkload`].
pub fn entitled(
    policies: &[RolePolicy],
    principal: &Principal,
    operations: &[Operation],
    host: &mut dyn Host,
) -> Result<Vec<RoleIndex>, Denial> {
    let allows = |role: &RoleIndex| {
        at(policies, *role).is_some_and(|role| role.operations.iter().any(|one| operations.contains(one)))
    };
    let mut roles: Vec<RoleIndex> = principal.roles().iter().copied().filter(allows).collect();
    if roles.is_empty() {
        return Err(Reason::RbacOperation.into());
    }
    let workloads = |role: &RoleIndex| at(policies, *role).and_then(|role| role.workloads.as_deref());
    if roles.iter().any(|role| workloads(role).is_some()) {
        let peer = workload(host).unwrap_or_default();
        roles.retain(|role| {
            workloads(role).is_none_or(|ids| !peer.is_empty() && ids.iter().any(|id| id.matches(&peer)))
        });
        if roles.is_empty() {
            return Err(Reason::RbacWorkload.into());
        }
    }
    Ok(roles)
}

/// Checks the model that the path names, before the body has come. The roles that allow it are asked again with the body.
///
/// # Errors
/// [`Reason::RbacModel`] where no role has the model and none is in shadow.
pub fn names_model(policies: &[RolePolicy], roles: &[RoleIndex], model: &str) -> Result<(), Denial> {
    let mut roles = roles.iter().filter_map(|role| at(policies, *role));
    let passes = |role: &RolePolicy| role.mode == Mode::Shadow || role.models.iter().any(|glob| glob.matches(model));
    if roles.any(passes) { Ok(()) } else { Err(Denial::new(Reason::RbacModel).with_param("model")) }
}

/// Checks a request without a body, of which only conditions are left to check.
///
/// # Errors
/// [`Reason::RbacCondition`].
pub fn grant_bodyless(roles: &[RoleIndex], asking: &Asking<'_>) -> Result<Grant, Denial> {
    let holds = |role: &RoleIndex| at(asking.roles, *role).is_some_and(|role| is_met(role, asking));
    let granting: Vec<RoleIndex> = roles.iter().copied().filter(holds).collect();
    if !granting.is_empty() {
        let top_k = widest(asking.roles, &granting, |role| role.top_k);
        return Ok(Grant { roles: granting, top_k, ..Grant::default() });
    }
    let in_shadow = |role: &RoleIndex| at(asking.roles, *role).is_some_and(|role| role.mode == Mode::Shadow);
    let granting: Vec<RoleIndex> = roles.iter().copied().filter(in_shadow).collect();
    if granting.is_empty() {
        return Err(Reason::RbacCondition.into());
    }
    Ok(Grant { roles: granting, shadow: Some(Reason::RbacCondition), ..Grant::default() })
}

/// True if the role's condition holds. What goes wrong does not.
fn is_met(role: &RolePolicy, asking: &Asking<'_>) -> bool {
    role.when.as_ref().is_none_or(|when| asking.holds(when) == Ok(true))
}

/// Checks conditions, model, tools, choices and caps, which the body tells.
///
/// # Errors
/// [`Reason::RbacOperation`] for one that the body tells, [`Reason::RbacCondition`], [`Reason::RbacModel`],
/// [`Reason::PromptUnknown`], [`Reason::RbacTool`] or [`Reason::RbacParameter`]: the furthest that any role got.
pub fn grant(roles: &[RoleIndex], exchange: &Exchange, asking: &Asking<'_>) -> Result<Grant, Denial> {
    let policies = asking.roles;
    let mut granting = Vec::new();
    let mut in_shadow = Vec::new();
    let mut furthest: Option<Denial> = None;
    for &index in roles {
        let Some(role) = at(policies, index) else { continue };
        match objection(role, exchange, asking) {
            None => granting.push((index, exchange.tools.iter().filter(|tool| !may_use(role, tool)).count())),
            Some(denial) => {
                if role.mode == Mode::Shadow {
                    in_shadow.push((index, denial.reason));
                }
                if furthest.as_ref().is_none_or(|other| stage(denial.reason) > stage(other.reason)) {
                    furthest = Some(denial);
                }
            }
        }
    }
    // What a role grants only without some of the tools counts when none grants all of it, and then alone: two roles
    // must not add up.
    let fewest = granting.iter().map(|(_, removed)| *removed).min();
    let removes_tools = fewest.is_some_and(|removed| removed > 0);
    let least = granting.iter().filter(|(_, removed)| Some(*removed) == fewest).map(|(index, _)| *index);
    let mut granting: Vec<RoleIndex> = least.take(if removes_tools { 1 } else { usize::MAX }).collect();
    let mut shadow = None;
    if granting.is_empty() {
        let Some(&(_, reason)) = in_shadow.first() else {
            return Err(furthest.unwrap_or(Denial::new(Reason::RbacModel).with_param("model")));
        };
        shadow = Some(reason);
        granting.extend(in_shadow.iter().map(|(index, _)| *index));
    }
    let output_cap = widest(policies, &granting, |role| role.max_output_tokens);
    let top_k = widest(policies, &granting, |role| role.top_k);
    Ok(Grant { roles: granting, output_cap, top_k, shadow, removes_tools })
}

fn at(policies: &[RolePolicy], role: RoleIndex) -> Option<&RolePolicy> {
    policies.get(usize::from(role.0))
}

/// Why this one role does not grant a request; `None`: it does. For explanations: the filter asks all
/// roles of a caller together.
pub fn refusal(role: &RolePolicy, exchange: &Exchange, asking: &Asking<'_>) -> Option<Denial> {
    if !role.operations.contains(&asking.operation) {
        return Some(Reason::RbacOperation.into());
    }
    objection(role, exchange, asking)
}

/// Why one role does not grant the request.
fn objection(role: &RolePolicy, exchange: &Exchange, asking: &Asking<'_>) -> Option<Denial> {
    if !exchange.operations.iter().all(|operation| role.operations.contains(operation)) {
        return Some(Reason::RbacOperation.into());
    }
    if !is_met(role, asking) {
        return Some(Reason::RbacCondition.into());
    }
    let serves = |model: &str| role.models.iter().any(|glob| glob.matches(model));
    if !serves(exchange.asked()) || !exchange.models.iter().all(|model| serves(model)) {
        return Some(Denial::new(Reason::RbacModel).with_param("model"));
    }
    if role.system_prompts.as_ref().is_some_and(|allowed| !uses_versions(allowed, exchange, asking.operation)) {
        return Some(Reason::PromptUnknown.into());
    }
    let removable = |tool: &Offered| role.other_tools == OtherTools::Remove && tool.path.is_some();
    if !exchange.tools.iter().all(|tool| may_use(role, tool) || removable(tool)) {
        return Some(Denial::new(Reason::RbacTool).with_param("tools"));
    }
    let may_choose = |name: &&&str| !role.parameters.iter().any(|glob| glob.matches(name));
    if let Some(name) = exchange.choices_of_operator.iter().find(may_choose) {
        return Some(Denial::new(Reason::RbacParameter).with_param(name));
    }
    // Lists of prompts are what some clients send; how many choices they get of each, none says by habit.
    let over = match role.max_choices {
        Some(most) => exchange.answers() > most,
        None => exchange.choices > 1,
    };
    if over {
        return Some(Denial::new(Reason::RbacParameter).with_param("n"));
    }
    // A cap that is not lowered is left to the provider, with any budget: some models may think beyond it.
    let most =
        role.max_output_tokens.filter(|most| exchange.output_cap.as_ref().is_none_or(|asked| asked.tokens > *most));
    if let (Some(most), Some(budget)) = (most, &exchange.thinking_budget)
        && budget.under(most).is_none()
    {
        return Some(Denial::new(Reason::RbacParameter).with_param("thinking"));
    }
    match (role.over_output_tokens, role.max_output_tokens, &exchange.output_cap) {
        (OverCap::Deny, Some(most), Some(asked)) if asked.tokens > most && asked.tokens != NO_LIMIT => {
            Some(Denial::new(Reason::RbacParameter).with_param("max_tokens"))
        }
        _ => None,
    }
}

/// True when this role may use the tool, by all its names and at the place where it runs.
pub fn may_use(role: &RolePolicy, tool: &Offered) -> bool {
    let at = |host: &String| role.tool_hosts.iter().any(|glob| glob.matches(host));
    !tool.is_ambiguous && role.tools.iter().any(|glob| glob.matches(&tool.name)) && tool.host.as_ref().is_none_or(at)
}

/// True when each system part of the request is one of these versions. A conversation has at least one: to leave it out
/// would get around it.
fn uses_versions(allowed: &[Glob], exchange: &Exchange, operation: Operation) -> bool {
    let is_allowed = |name: &str| allowed.iter().any(|glob| glob.matches(name));
    let is_uninstructed = converses(operation) && exchange.prompt_versions.is_empty();
    !(is_uninstructed || exchange.has_unseen_instructions)
        && exchange.prompt_versions.iter().all(|version| version.as_deref().is_some_and(is_allowed))
}

/// How far a request got with a role.
fn stage(reason: Reason) -> u8 {
    match reason {
        Reason::RbacOperation => 0,
        Reason::RbacCondition => 1,
        Reason::RbacModel => 2,
        Reason::PromptUnknown => 3,
        Reason::RbacTool => 4,
        _ => 5,
    }
}

/// The widest cap of the granting roles; a role without one lifts it.
fn widest(policies: &[RolePolicy], roles: &[RoleIndex], cap: fn(&RolePolicy) -> Option<u64>) -> Option<u64> {
    let caps: Option<Vec<u64>> = roles.iter().filter_map(|role| at(policies, *role)).map(cap).collect();
    caps?.into_iter().max()
}
