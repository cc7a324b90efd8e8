//! What one request uses, and how a quota counts it.

use crate::document::Counts;

/// What one request uses: tokens, pictures and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of the prompt that came from a cache: a part of `input`.
    pub cached: u64,
    /// Tokens of the answer that are reasoning: a part of `output`.
    pub reasoning: u64,
    /// Pictures that the model makes.
    pub images: u64,
    /// What all of it costs, in millionths of the currency.
    pub cost: u64,
    /// What the prompt alone costs of that.
    pub prompt_cost: u64,
}

impl Tokens {
    /// Input and output, and nothing else known.
    pub const fn of(input: u64, output: u64) -> Tokens {
        Tokens { input, output, cached: 0, reasoning: 0, images: 0, cost: 0, prompt_cost: 0 }
    }

    /// Input and output together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Without the answer.
    pub(super) fn of_prompt(self) -> Tokens {
        Tokens { output: 0, reasoning: 0, images: 0, cost: self.prompt_cost, ..self }
    }
}

/// How much cached and reasoning tokens count, in hundredths, at most 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// An input token from a cache.
    pub cached: u64,
    /// An output token that is reasoning.
    pub reasoning: u64,
}

impl Weights {
    /// Every token counts as one.
    pub const EVEN: Weights = Weights { cached: 100, reasoning: 100 };
}

impl Default for Weights {
    fn default() -> Weights {
        Weights::EVEN
    }
}

/// The highest limit that a fleet's service is given: its counters are 32 bits wide, and count also what they refuse.
pub(super) const MOST_UNITS: u64 = (1 << 31) - 1;

/// The unit in which a service counts a budget, a power of ten: at least nine digits of the limit are left.
pub(super) fn unit(limit: u64) -> u64 {
    let mut unit: u64 = 1;
    while limit / unit > MOST_UNITS {
        unit = unit.saturating_mul(10);
    }
    unit
}

/// How one quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) counts: Counts,
    pub(super) weights: Weights,
    /// Millionths of the currency that are one unit of its counter, at least 1.
    pub(super) unit: u64,
}

impl Measure {
    /// The units that this comes to, rounded up once.
    pub(super) fn of(&self, used: &Tokens) -> u64 {
        let part = |all: u64, some: u64, weight: u64| {
            let some = some.min(all);
            u128::from(all - some) * 100 + u128::from(some) * u128::from(weight.min(100))
        };
        let input = part(used.input, used.cached, self.weights.cached);
        let output = part(used.output, used.reasoning, self.weights.reasoning);
        let hundredths = match self.counts {
            Counts::Tokens => input + output,
            Counts::InputTokens => input,
            Counts::OutputTokens => output,
            Counts::Cost => return used.cost.div_ceil(self.unit.max(1)),
            Counts::Requests | Counts::Concurrent => 0,
        };
        u64::try_from(hundredths.div_ceil(100)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_hundredths_and_round_up_once() {
        let used = Tokens { cached: 7, reasoning: 3, cost: 1001, ..Tokens::of(10, 5) };
        let of = |counts, cached, reasoning, unit| {
            Measure { counts, weights: Weights { cached, reasoning }, unit }.of(&used)
        };
        assert_eq!(of(Counts::Tokens, 100, 100, 1), 15);
        // 3 + 0.7 + 2 + 1.5
        assert_eq!(of(Counts::Tokens, 10, 50, 1), 8);
        assert_eq!(of(Counts::InputTokens, 0, 50, 1), 3);
        assert_eq!(of(Counts::OutputTokens, 10, 50, 1), 4);
        assert_eq!(of(Counts::Cost, 10, 50, 1), 1001);
        assert_eq!(of(Counts::Cost, 10, 50, 1000), 2);
        let most = Tokens { cached: u64::MAX, ..Tokens::of(u64::MAX, u64::MAX) };
        let all = Measure { counts: Counts::Tokens, weights: Weights::EVEN, unit: 1 };
        assert_eq!(all.of(&most), u64::MAX);
    }
}
