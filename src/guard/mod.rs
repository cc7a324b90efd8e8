//! Guards: what follows from what was found in a text.

mod policy;

pub use policy::{CanaryPolicy, ExceptionPolicy, GuardIndex, GuardPolicy, InjectionPolicy, OutputPolicy, PiiPolicy};
pub(crate) use policy::{References, STANDARD, compile};
