//! What was seen of a reply's cost.

use crate::protocol::reply::Spent;

/// What was seen of a reply's cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// The upstream's status, whatever the caller got.
    pub(super) status: Option<u16>,
    /// What is known of it.
    pub(super) spent: Spent,
    /// The reply was read, at least its beginning.
    pub(super) read: bool,
    /// The text that came begins with the prompt.
    pub(super) repeats_prompt: bool,
    /// The answer is made after the reply, which does not tell its cost.
    pub(super) in_background: bool,
    /// It was read to its end. Else the usage may be that of its beginning.
    pub(super) complete: bool,
}
