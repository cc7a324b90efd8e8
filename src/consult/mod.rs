//! Asking others before a request goes on: a policy engine, and judges of its texts.
//!
//! A stage that asks returns the call and keeps its witness ([`crate::callout`]). What comes back only tightens: an answer
//! can refuse, add a guard, lower a cap, add quotas and name another model that the role must allow. What is asked and what
//! was answered is remembered for a while, where the policy says so, under a keyed hash of the question.
//!
//! ```
//! use bartizan::consult::Memory;
//! use bartizan::host::Timestamp;
//!
//! let (mut memory, now) = (Memory::default(), Timestamp::from_secs(100));
//! memory.keep([7; 16], "allowed", Timestamp::from_secs(105), now);
//! assert_eq!(memory.find(&[7; 16], now), Some("allowed"));
//! assert_eq!(memory.find(&[7; 16], Timestamp::from_secs(105)), None);
//! ```

mod memory;
pub mod opa;
pub mod opinion;

pub use memory::Memory;
