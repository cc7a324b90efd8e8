//! May this principal call this operation, this model, these tools, with these caps?
//!
//! One role must grant all of it together: two roles never add up to a permission that neither of
//! them has. Of several roles that do, the widest cap holds (the caller could have come with that
//! role alone), the strictest guard applies, and every quota is charged.
//!
//! The order of the witnesses: [`entitle`] makes an [`Entitled`] before the body is read,
//! [`authorize`] an [`Authorized`] after it.

mod ledger;
mod policy;

use std::sync::Arc;

pub use ledger::Ledger;
pub use policy::RolePolicy;

use crate::authn::{Principal, RoleIndex};
use crate::document::{OtherTools, OverCap};
use crate::enums::{Mode, Operation, Zone};
use crate::host::Host;
use crate::policy::Policy;
use crate::protocol::{Exchange, NO_LIMIT, Offered};
use crate::reason::{Denial, Reason};
use crate::transaction::stages::Counted;

/// A principal with at least one role that allows the operation.
#[derive(Debug)]
pub struct Entitled {
    principal: Arc<Principal>,
    operation: Operation,
    roles: Vec<RoleIndex>,
}

impl Entitled {
    /// Who calls.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What for.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The roles that allow the operation; never empty.
    pub fn roles(&self) -> &[RoleIndex] {
        &self.roles
    }
}

/// A request that at least one role grants as a whole.
#[derive(Debug)]
pub struct Authorized {
    counted: Counted,
    roles: Vec<RoleIndex>,
    output_cap: Option<u64>,
    shadow: Option<Reason>,
    removes: bool,
}

impl Authorized {
    /// The witness of the stages before.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The roles that grant the request; never empty.
    pub fn roles(&self) -> &[RoleIndex] {
        &self.roles
    }

    /// The most output tokens the upstream may be asked for; `None`: no limit.
    pub fn output_cap(&self) -> Option<u64> {
        self.output_cap
    }

    /// The refusal that a role in shadow mode did not carry out.
    pub fn shadow(&self) -> Option<Reason> {
        self.shadow
    }

    /// True when tools must be taken out of the request for the roles to grant it.
    pub fn removes_tools(&self) -> bool {
        self.removes
    }

    /// True when one of the granting roles may use this tool.
    pub fn may_use(&self, policy: &Policy, tool: &Offered) -> bool {
        self.roles.iter().filter_map(|role| policy.role_at(*role)).any(|role| may_use(role, tool))
    }

    /// True when one of the granting roles may author this zone.
    pub fn may_write(&self, policy: &Policy, zone: Zone) -> bool {
        self.roles.iter().filter_map(|role| policy.role_at(*role)).any(|role| role.may_write.contains(&zone))
    }
}

/// The URI in the certificate of the connection's peer: a workload's SPIFFE ID.
const PEER: [&str; 2] = ["connection", "uri_san_peer_certificate"];

/// Checks the operation, which the path tells, and the workload, which the mesh's mTLS tells.
///
/// # Errors
/// [`Reason::RbacOperation`], [`Reason::RbacWorkload`].
pub fn entitle(
    policy: &Policy,
    principal: Arc<Principal>,
    operation: Operation,
    host: &mut dyn Host,
) -> Result<Entitled, Denial> {
    let allows = |role: &RoleIndex| policy.role_at(*role).is_some_and(|role| role.operations.contains(&operation));
    let mut roles: Vec<RoleIndex> = principal.roles().iter().copied().filter(allows).collect();
    if roles.is_empty() {
        return Err(Reason::RbacOperation.into());
    }
    let workloads = |role: &RoleIndex| policy.role_at(*role).and_then(|role| role.workloads.as_deref());
    if roles.iter().any(|role| workloads(role).is_some()) {
        let peer = host.property(&PEER).and_then(|id| String::from_utf8(id).ok()).unwrap_or_default();
        roles.retain(|role| {
            workloads(role).is_none_or(|ids| !peer.is_empty() && ids.iter().any(|id| id.matches(&peer)))
        });
        if roles.is_empty() {
            return Err(Reason::RbacWorkload.into());
        }
    }
    Ok(Entitled { principal, operation, roles })
}

/// Checks model, tools, choices and caps, which the body tells.
///
/// # Errors
/// [`Reason::RbacModel`], [`Reason::RbacTool`] or [`Reason::RbacParameter`]: the furthest that any
/// role got.
pub fn authorize(policy: &Policy, counted: Counted, exchange: &Exchange) -> Result<Authorized, Denial> {
    let mut granting = Vec::new();
    let mut in_shadow = Vec::new();
    let mut furthest = Denial::new(Reason::RbacModel).with_param("model");
    for &index in counted.entitled().roles() {
        let Some(role) = policy.role_at(index) else { continue };
        match objection(role, exchange) {
            None => granting.push((index, exchange.tools.iter().filter(|tool| !may_use(role, tool)).count())),
            Some(denial) => {
                if role.mode == Mode::Shadow {
                    in_shadow.push((index, denial.reason));
                }
                if stage(denial.reason) > stage(furthest.reason) {
                    furthest = denial;
                }
            }
        }
    }
    // What a role grants only without some of the tools counts when none grants all of it, and then alone: two roles
    // must not add up.
    let fewest = granting.iter().map(|(_, removed)| *removed).min();
    let removes = fewest.is_some_and(|removed| removed > 0);
    let least = granting.iter().filter(|(_, removed)| Some(*removed) == fewest).map(|(index, _)| *index);
    let mut granting: Vec<RoleIndex> = least.take(if removes { 1 } else { usize::MAX }).collect();
    let mut shadow = None;
    if granting.is_empty() {
        let Some(&(_, reason)) = in_shadow.first() else { return Err(furthest) };
        shadow = Some(reason);
        granting.extend(in_shadow.iter().map(|(index, _)| *index));
    }
    let output_cap = output_cap(policy, &granting);
    Ok(Authorized { counted, roles: granting, output_cap, shadow, removes })
}

/// A request without a body: the operation was all there is to check.
pub fn authorize_bodyless(counted: Counted) -> Authorized {
    let roles = counted.entitled().roles().to_vec();
    Authorized { counted, roles, output_cap: None, shadow: None, removes: false }
}

/// Why one role alone does not grant a request; `None`: it does. For explanations: the filter asks all
/// roles of a caller together.
pub fn refusal(role: &RolePolicy, operation: Operation, exchange: &Exchange) -> Option<Denial> {
    if !role.operations.contains(&operation) {
        return Some(Reason::RbacOperation.into());
    }
    objection(role, exchange)
}

/// Why one role does not grant the request.
fn objection(role: &RolePolicy, exchange: &Exchange) -> Option<Denial> {
    let serves = |model: &String| role.models.iter().any(|glob| glob.matches(model));
    if !serves(&exchange.model) || !exchange.models.iter().all(serves) {
        return Some(Denial::new(Reason::RbacModel).with_param("model"));
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

/// How far a request got with a role.
fn stage(reason: Reason) -> u8 {
    match reason {
        Reason::RbacModel => 0,
        Reason::RbacTool => 1,
        _ => 2,
    }
}

/// The widest cap of the granting roles; a role without one lifts it.
fn output_cap(policy: &Policy, roles: &[RoleIndex]) -> Option<u64> {
    let caps: Option<Vec<u64>> =
        roles.iter().filter_map(|role| policy.role_at(*role)).map(|role| role.max_output_tokens).collect();
    caps?.into_iter().max()
}
