//! The witnesses of counting: [`Counted`] before the body is read, [`Charged`] after it, and
//! [`Admitted`] as the last stage.
//!
//! Quotas belong to roles, and only the roles that grant a request are charged. A caller with one
//! role is charged before the body is read; a caller with several after it, when it is known which
//! of them grant the request.

use super::{Limits, Refusal, Reservation, Scope, SharedKey, Tokens};
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
    limits: Limits,
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
        self.limits.headers()
    }

    /// The state of all quotas.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Charges the call to the quotas of the caller's only role.
///
/// # Errors
/// A [`Refusal`] with the limit headers.
pub fn count(policy: &Policy, entitled: Entitled, key: &SharedKey, host: &mut dyn Host) -> Result<Counted, Refusal> {
    let limits = match entitled.roles() {
        [_] => {
            let scope = Scope::Call(entitled.principal(), entitled.operation());
            Some(policy.quotas.charge(scope, entitled.roles(), key, host)?)
        }
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
        None => {
            let scope = Scope::Call(counted.entitled.principal(), counted.entitled.operation());
            policy.quotas.charge(scope, roles, key, host)?
        }
    };
    if let Some(model) = model {
        limits = limits.and(policy.quotas.charge(Scope::Model(model), roles, key, host)?);
    }
    Ok(Charged { authorized, limits })
}

/// The last stage, so that a blocked prompt costs nothing: reserves what the request is expected to use.
///
/// # Errors
/// A [`Refusal`] with the limit headers. What [`count`] and [`count_rest`] charged stays charged.
pub fn admit(
    policy: &Policy,
    inspected: Inspected,
    model: Option<&str>,
    expected: Tokens,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<(Admitted, Reservation), Refusal> {
    let (charged, authorized) = (inspected.charged(), inspected.charged().authorized());
    let entitled = authorized.counted().entitled();
    let scope = Scope::Whole(entitled.principal(), entitled.operation(), model);
    let told = charged.limits().clone();
    match policy.quotas.reserve(scope, authorized.roles(), expected, key, host) {
        Ok((limits, reservation)) => Ok((Admitted { limits: told.and(limits), inspected }, reservation)),
        Err(refusal) => Err(Refusal { limits: Box::new(told.and(*refusal.limits)), ..refusal }),
    }
}
