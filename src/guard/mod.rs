//! Guards: what follows from what was found in a text.
//!
//! | file | what it decides |
//! |---|---|
//! | `policy` | the section of the document -> [`GuardPolicy`] |
//! | `mode` | what several guards say together, and what shadow mode makes of it |
//! | `input` | a scan's findings -> [`Judgement`] |
//! | `cut` | which part of a tool's text goes |
//! | `output` | what must not leave in a reply |
//! | `canary` | the token at the end of the system prompt |
//! | `spotlight` | marks around text of tools and documents |

mod canary;
mod cut;
mod input;
mod mode;
mod output;
mod policy;
mod spotlight;

pub(crate) use canary::{Planted, plant};
pub use cut::narrow;
pub use input::{Judged, Judgement, NOTICE, Outcome, Place, STRONG_SCORE, judge, judge_reply};
pub use mode::{Act, Strictest, entry, strictest};
pub(crate) use output::{Detector, Notes, ReplyRules};

pub use policy::{CanaryPolicy, ExceptionPolicy, GuardIndex, GuardPolicy, InjectionPolicy, OutputPolicy, PiiPolicy};
pub(crate) use policy::{References, STANDARD, compile};
pub(crate) use spotlight::{spotlight, word};
