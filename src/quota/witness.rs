//! The witnesses of counting: [`Counted`] before the body is read, [`Admitted`] as the last stage.

use crate::authz::Entitled;
use crate::scan::verdict::Inspected;

/// A request whose request quotas, as far as they are known before the body, are charged.
#[derive(Debug)]
pub struct Counted {
    pub(super) entitled: Entitled,
}

impl Counted {
    /// The witness of the stage before.
    pub fn entitled(&self) -> &Entitled {
        &self.entitled
    }
}

/// A request that may go to the upstream: nothing else can be forwarded.
#[derive(Debug)]
pub struct Admitted {
    inspected: Inspected,
}

impl Admitted {
    /// The witness of the stages before.
    pub fn inspected(&self) -> &Inspected {
        &self.inspected
    }
}

/// The last stage. Token reservations will be made here, so that a blocked prompt costs nothing.
pub fn admit(inspected: Inspected) -> Admitted {
    Admitted { inspected }
}
