//! The witnesses of counting: [`Counted`] before the body is read, [`Charged`] after it, and
//! [`Admitted`] as the last stage.
//!
//! Quotas belong to roles, and only the roles that grant a request are charged. A caller with one
//! role is charged before the body is read; a caller with several after it, when it is known which
//! of them grant the request.

use crate::authz::{Authorized, Entitled};
use crate::callout::{Answer, Call};
use crate::guard::Inspected;
use crate::host::Host;
use crate::policy::Policy;
use crate::quota::fleet::{Ask, Inquiry, Told};
use crate::quota::{Limits, Refusal, Reservation, Scope, SharedKey, Tokens};

/// A request whose request quotas, as far as they are known before the body, are charged.
#[derive(Debug)]
pub struct Counted {
    entitled: Entitled,
    /// `None`: not charged yet, because which of several roles grant the request is not known.
    limits: Option<Limits>,
    /// The fleet was asked about the caller's strikes.
    looked: bool,
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

/// A stage's witness, or the question that must be answered before there is one.
#[derive(Debug)]
pub enum Stage<W> {
    /// The stage is done.
    Done(W),
    /// The service that counts for all proxies must be asked.
    Ask(Box<Asked<W>>),
}

/// A witness that is not one yet: it hangs on an answer.
#[derive(Debug)]
pub struct Asked<W> {
    witness: W,
    inquiry: Inquiry,
}

/// A witness that tells limits.
pub trait Limited: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        fn tell(&mut self, limits: super::Limits);
    }
}

impl Limited for Counted {}
impl Limited for Admitted {}

impl sealed::Sealed for Counted {
    fn tell(&mut self, limits: Limits) {
        self.limits = Some(self.limits.take().unwrap_or_default().and(limits));
    }
}

impl sealed::Sealed for Admitted {
    fn tell(&mut self, limits: Limits) {
        self.limits = std::mem::take(&mut self.limits).and(limits);
    }
}

impl<W: Limited> Asked<W> {
    /// The call to make.
    pub fn call(&self, policy: &Policy) -> Option<Call> {
        policy.quotas.fleet_call(&self.inquiry)
    }

    /// Goes on with the call's answer. What it counted is added to `reserved`, also with a refusal.
    ///
    /// # Errors
    /// A [`Refusal`]: by the service, or because it is unreachable.
    pub fn answered(
        self,
        policy: &Policy,
        answer: &Answer,
        reserved: &mut Reservation,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Stage<W>, Refusal> {
        let Asked { mut witness, mut inquiry } = self;
        match policy.quotas.told(&mut inquiry, answer, reserved, key, host)? {
            Told::Fits(limits) => {
                witness.tell(limits);
                Ok(Stage::Done(witness))
            }
            Told::Again => Ok(Stage::Ask(Box::new(Asked { witness, inquiry }))),
        }
    }
}

impl<W> Stage<W> {
    fn of(witness: W, inquiry: Option<Inquiry>) -> Stage<W> {
        match inquiry {
            None => Stage::Done(witness),
            Some(inquiry) => Stage::Ask(Box::new(Asked { witness, inquiry })),
        }
    }
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
pub fn count(
    policy: &Policy,
    entitled: Entitled,
    key: &SharedKey,
    host: &mut dyn Host,
) -> Result<Stage<Counted>, Refusal> {
    let (limits, inquiry) = match entitled.roles() {
        roles @ [_] => {
            let scope = Scope::Call(entitled.principal(), entitled.operation());
            let limits = policy.quotas.charge(scope, roles, key, host)?;
            (Some(limits), policy.quotas.inquire(scope, roles, Ask::Requests, host.now()))
        }
        _ => (None, None),
    };
    let looked = inquiry.as_ref().is_some_and(Inquiry::looks);
    Ok(Stage::of(Counted { entitled, limits, looked }, inquiry))
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
/// Where a service counts for the fleet, it is asked last of all: for the tokens, and for the requests that
/// [`count`] and [`count_rest`] left open. What is held here is held whatever the service says: settle it.
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
) -> Result<(Stage<Admitted>, Reservation), Refusal> {
    let (charged, authorized) = (inspected.charged(), inspected.charged().authorized());
    let entitled = authorized.counted().entitled();
    let (scope, roles) = (Scope::Whole(entitled.principal(), entitled.operation(), model), authorized.roles());
    let told = charged.limits().clone();
    let ask = Ask::Rest {
        tokens: expected,
        calls: authorized.counted().limits.is_none(),
        looked: authorized.counted().looked,
    };
    let beside = |refusal: Refusal| Refusal { limits: Box::new(told.clone().and(*refusal.limits)), ..refusal };
    let inquiry = policy.quotas.inquire(scope, roles, ask, host.now());
    if let Some(refusal) = inquiry.as_ref().and_then(|inquiry| policy.quotas.never_fits(inquiry)) {
        return Err(beside(refusal));
    }
    let (limits, reservation) = policy.quotas.reserve(scope, roles, expected, key, host).map_err(beside)?;
    Ok((Stage::of(Admitted { limits: told.and(limits), inspected }, inquiry), reservation))
}
