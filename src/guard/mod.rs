//! Guards: what follows from what was found in a text.

mod canary;
mod cut;
mod input;
mod output;
mod policy;
mod spotlight;

pub(crate) use canary::{Planted, plant};
pub use cut::narrow;
pub use input::{Judged, Judgement, NOTICE, Outcome, Place, STRONG_SCORE, judge, judge_reply};
pub(crate) use output::Detector;

pub use policy::{CanaryPolicy, ExceptionPolicy, GuardIndex, GuardPolicy, InjectionPolicy, OutputPolicy, PiiPolicy};
pub(crate) use policy::{References, STANDARD, compile};
pub(crate) use spotlight::{spotlight, word};
