//! Which models there are: their aliases, their ends, and what their replies may name.

use crate::sorted::SortedMap;

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// The life of models. With this section a reply that names another model than the one asked for is a mismatch: the
    /// record says so, and a counter counts it.
    Models {
        /// Names that callers ask for, and the model that each one means, for example `fast: gpt-4o-mini-2024-07-18`. The
        /// request goes on with that model. Roles grant the alias. A model that an alias means is no alias itself.
        aliases: Option<SortedMap<String, String>>,
        /// Models that will go, by name or glob (`*` matches any text). The first that matches counts, plain names before
        /// globs.
        deprecated: Option<SortedMap<String, DeprecatedModel>>,
        /// What replies may name beside the model itself, by model name or glob: names or globs. For a deployment whose name
        /// is not its model's.
        answers: Option<SortedMap<String, Vec<String>>>,
    }
}

section! {
    /// A model that will go.
    DeprecatedModel {
        /// Since when it is deprecated: a day (`2026-12-01`, from its beginning in UTC) or a time of RFC 3339. Replies then have
        /// the header `deprecation` (RFC 9745). Default: not told.
        since: Option<String>,
        /// Until when it is served: a day (to its end in UTC) or a time of RFC 3339. Replies have the header `sunset`
        /// (RFC 8594). After it requests are refused with `model.retired`. Default: no end.
        until: Option<String>,
        /// What callers are told in `x-bartizan-warning`, printable ASCII, at most 300 bytes. Default: that the model is
        /// deprecated, and what replaces it.
        message: Option<String>,
        /// The model or alias to use from now on. It is told to callers; no request is changed.
        replacement: Option<String>,
    }
}
