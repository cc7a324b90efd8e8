//! Money: what models cost, and what follows when one has no price.

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// What models cost. Amounts are decimal texts with at most 6 decimals: the price of a million tokens.
    Prices {
        /// The currency of every amount: three capital letters, for example `USD`. Required.
        currency: Option<String>,
        /// Prices by model. The first that matches, and is valid at that moment, counts. Required.
        models: Option<Vec<ModelPrice>>,
        /// What happens to a request under a `cost` quota whose model has no price. Default deny.
        on_unpriced: Option<OnUnpriced>,
    }
}

section! {
    /// The prices of some models.
    ModelPrice {
        /// The model's name, or a glob (`*` matches any text). Required.
        matches: Option<String> = "match",
        /// A million input tokens. Required.
        input: Option<String>,
        /// A million input tokens that came from the provider's cache. Default: as `input`.
        cached_input: Option<String>,
        /// A million output tokens. Required.
        output: Option<String>,
        /// A million output tokens that are reasoning. Default: as `output`.
        reasoning: Option<String>,
        /// One picture that the model makes, beside its tokens. Default 0.
        image: Option<String>,
        /// The first day on which it is valid, in UTC: `2026-01-31`. Default: always.
        from: Option<String>,
        /// The first day on which it is no longer valid, in UTC. Default: never.
        until: Option<String>,
        /// Other prices for longer prompts: that of the highest `overInputTokens` that the prompt is over counts, for all
        /// tokens of the request.
        tiers: Option<Vec<PriceTier>>,
    }
}

section! {
    /// Prices of requests with a long prompt.
    PriceTier {
        /// The prompt has more tokens than this. Required.
        over_input_tokens: Option<u64>,
        /// A million input tokens. Required.
        input: Option<String>,
        /// A million input tokens that came from the provider's cache. Default: as `input` of this tier.
        cached_input: Option<String>,
        /// A million output tokens. Required.
        output: Option<String>,
        /// A million output tokens that are reasoning. Default: as `output` of this tier.
        reasoning: Option<String>,
    }
}

section! {
    /// How much tokens of two kinds count, 0 to 1 with at most two decimals. Default 1.
    Weights {
        /// An input token that came from the provider's cache.
        cached: Option<f64>,
        /// An output token that is reasoning.
        reasoning: Option<f64>,
    }
}

choice! {
    /// What happens to a request under a `cost` quota whose model has no price.
    OnUnpriced {
        /// It is refused with 403.
        Deny = "deny",
        /// It costs nothing.
        Free = "free",
    }
}
