//! What a path takes beside a new one of its kind: the list of those that are there, one that is read, stopped or taken
//! back.

use crate::enums::Operation;

/// What a path takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Call {
    /// A new one.
    #[default]
    Make,
    /// A new one, or the list of those that are there.
    List,
    /// Something to be read.
    Read,
    /// Something to be read or taken back.
    Hold,
    /// Something to be read, changed or taken back.
    Change,
    /// The bytes of a file.
    Content,
    /// An order without a body.
    Act,
    /// Something to be taken back.
    Remove,
}

impl Call {
    /// By the words that a known path ends with.
    pub(super) fn of(known: &str) -> Call {
        let mut words = known.rsplit('/');
        match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            ("cancel" | "pause" | "resume", _) => Call::Act,
            ("content", _) => Call::Content,
            ("{job}" | "events" | "checkpoints" | "input_items", _) | ("{id}", "batches") => Call::Read,
            ("{id}", "conversations") => Call::Change,
            ("{id}" | "{item}", _) => Call::Hold,
            ("{permission}", _) => Call::Remove,
            ("jobs" | "permissions" | "batches" | "files" | "items", _) => Call::List,
            _ => Call::Make,
        }
    }

    pub(super) fn methods(self) -> &'static [&'static str] {
        match self {
            Call::Make | Call::Act => &["POST"],
            Call::List => &["GET", "POST"],
            Call::Read | Call::Content => &["GET"],
            Call::Hold => &["GET", "DELETE"],
            Call::Change => &["GET", "POST", "DELETE"],
            Call::Remove => &["DELETE"],
        }
    }

    pub(super) fn reads_body(self, method: &str) -> bool {
        matches!(self, Call::Make | Call::List | Call::Change) && method == "POST"
    }

    /// True for the list of all that the provider keeps.
    pub(super) fn lists_kept(self, operation: Operation, method: &str) -> bool {
        self == Call::List && !self.reads_body(method) && matches!(operation, Operation::Batch | Operation::Files)
    }
}
