//! The witnesses of counting: [`Counted`] before the body is read, [`Charged`] after it, and
//! [`Admitted`] as the last stage.
//!
//! Quotas belong to roles, and only the roles that grant a request are charged. A caller with one
//! role is charged before the body is read; a caller with several after it, when it is known which
//! of them grant the request.

use super::{Limits, Refusal, Scope, SharedKey};
use crate::authz::{Authorized, Entitled};
use crate::config::Policy;
use crate::host::Host;
use crate::scan::verdict::Inspected;

/// A request whose request quotas, as far as they are known before the body, are charged.
#[derive(Debug)]
pub struct Counted {
    entitled: Entitled,
    /// `None`: not charged yet, because which of several roles grant the request is not known.
    limits: Option<Limits>,
}

/// A request whose request quotas are all charged.
#[derive(Debug)]
pub struct Charged {
    authorized: Authorized,
    limits: Limits,
}

/// A request that may go to the upstream: nothing else can be forwarded.
#[derive(Debug)]
pub struct Admitted {
    inspected: Inspected,
}

impl Counted {
    /// The witness of the stage before.
    pub fn entitled(&self) -> &Entitled {
        &self.entitled
    }
}

impl Charged {
    /// The witness of the stage before.
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// The state of the quotas.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Admitted {
    /// The witness of the stages before.
    pub fn inspected(&self) -> &Inspected {
        &self.inspected
    }

    /// The limit headers for the reply.
    pub fn limit_headers(&self) -> Vec<(&'static str, String)> {
        self.inspected.charged().limits().headers()
    }
}

/// Charges the call to the quotas of the caller's only role.
///
/// # Errors
/// A [`Refusal`] with the limit headers.
pub fn count(policy: &Policy, entitled: Entitled, key: &SharedKey, host: &mut dyn Host) -> Result<Counted, Refusal> {
    let limits = match entitled.roles() {
        [_] => Some(policy.quotas.charge(Scope::Call(entitled.principal()), entitled.roles(), key, host)?),
        _ => None,
    };
    Ok(Counted { entitled, limits })
}

/// Charges what [`count`] left open: the call, for a caller of several roles, and the model, where
/// the request has one.
///
/// A request that a model's quota refuses stays charged to the call's.
///
/// # Errors
/// A [`Refusal`] with the limit headers.
pub fn count_rest(
    policy: &Policy,
    authorized: Authorized,
    model: Option<&str>,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<Charged, Refusal> {
    let (counted, roles) = (authorized.counted(), authorized.roles());
    let mut limits = match &counted.limits {
        Some(limits) => limits.clone(),
        None => policy.quotas.charge(Scope::Call(counted.entitled.principal()), roles, key, host)?,
    };
    if let Some(model) = model {
        limits = limits.and(policy.quotas.charge(Scope::Model(model), roles, key, host)?);
    }
    Ok(Charged { authorized, limits })
}

/// The last stage. Token reservations will be made here, so that a blocked prompt costs nothing.
pub fn admit(inspected: Inspected) -> Admitted {
    Admitted { inspected }
}
