//! What a request costs: the `prices` section, ready to be used.
//!
//! Amounts are whole millionths of the currency, prices are millionths for a million tokens. All parts of a request are
//! added up exactly, and the sum is rounded up once.
//!
//! ```
//! use bartizan::document::{ModelPrice, Prices as Written};
//! use bartizan::host::Timestamp;
//! use bartizan::quota::{Tokens, price::{Prices, decimal}};
//!
//! let text = |text: &str| Some(text.to_owned());
//! let model = ModelPrice { matches: text("gpt-*"), input: text("2.50"), output: text("10"), ..ModelPrice::default() };
//! let written = Written { currency: text("USD"), models: Some(vec![model]), ..Written::default() };
//! let prices = Prices::compile(&written, &Default::default(), &mut Default::default()).unwrap();
//! let bill = prices.bill("gpt-4.1", Timestamp::from_secs(0));
//! // 1000 x 2.50 and 100 x 10 for a million.
//! assert_eq!(prices.cost(&bill, None, &Tokens::of(1000, 100), false).map(decimal).unwrap(), "0.003500");
//! ```

use super::tokens::Tokens;
use crate::document::{self, Errors, KeyPath, OnUnpriced, midnight, shortened};
use crate::glob::Glob;
use crate::host::Timestamp;

/// The highest amount in a document: a million of the currency, in millionths.
pub(super) const MOST: u64 = 1_000_000_000_000;

/// More models than this are an error.
const MAX_MODELS: usize = 1000;

/// More tiers of one model than this are an error.
const MAX_TIERS: usize = 8;

const MILLION: u128 = 1_000_000;

/// The `prices` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Three capital letters.
    pub currency: String,
    /// What happens to a model without a price, under a quota of money.
    pub on_unpriced: OnUnpriced,
    models: Vec<Price>,
}

/// The prices of the models that match.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Price {
    models: Glob,
    from: Timestamp,
    until: Timestamp,
    /// Millionths for one picture.
    image: u64,
    /// The rates by how many tokens the prompt is over, the lowest first: that of the first is 0, for all.
    tiers: Vec<(u64, Rates)>,
}

/// Millionths for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
}

/// What a request is priced by: the time it came, and the price of the model that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    at: Timestamp,
    price: Option<usize>,
}

impl Bill {
    /// False for a model without a price.
    pub fn is_priced(&self) -> bool {
        self.price.is_some()
    }
}

impl Prices {
    /// Compiles `prices`, which are at `at`.
    pub fn compile(written: &document::Prices, at: &KeyPath, errors: &mut Errors) -> Option<Prices> {
        let currency = errors.require(at, "currency", written.currency.clone());
        if currency.as_deref().is_some_and(|currency| !is_currency(currency)) {
            errors.push(&at.key("currency"), "expected three capital letters, for example USD");
        }
        let models = errors.require(at, "models", written.models.as_deref());
        let at = at.key("models");
        if models.is_some_and(<[_]>::is_empty) {
            errors.push(&at, "empty");
        }
        if models.is_some_and(|models| models.len() > MAX_MODELS) {
            errors.push(&at, format!("expected at most {MAX_MODELS}"));
            return None;
        }
        let models: Vec<Option<Price>> =
            models?.iter().enumerate().map(|(place, model)| Price::compile(model, &at.index(place), errors)).collect();
        Some(Prices {
            currency: currency?,
            on_unpriced: written.on_unpriced.unwrap_or(OnUnpriced::Deny),
            models: models.into_iter().collect::<Option<_>>()?,
        })
    }

    /// What a request for this model that comes now is priced by.
    pub fn bill(&self, model: &str, now: Timestamp) -> Bill {
        Bill { at: now, price: self.find(model, now) }
    }

    /// What a request is priced by that comes now and that any of these models may answer: the one at which this costs most.
    pub fn dearest<'m>(&self, models: impl Iterator<Item = &'m str>, expected: &Tokens, now: Timestamp) -> Bill {
        let bills = models.map(|model| self.bill(model, now));
        let dearest = bills.max_by_key(|bill| self.cost(bill, None, expected, false));
        dearest.unwrap_or(Bill { at: now, price: None })
    }

    /// What a request costs that used so much, in millionths of the currency. `None`: nobody knows a price.
    ///
    /// `billed`: the model that the reply names. Where it has a price, that counts. `is_split`: how much of the output is
    /// reasoning is known; else all of it costs as the dearer of both.
    pub fn cost(&self, bill: &Bill, billed: Option<&str>, used: &Tokens, is_split: bool) -> Option<u64> {
        let billed = billed.and_then(|model| self.find(model, bill.at));
        Some(self.models.get(billed.or(bill.price)?)?.cost(used, is_split))
    }

    /// True if a price of the table is this model's.
    pub fn knows(&self, bill: &Bill, model: &str) -> bool {
        self.find(model, bill.at).is_some()
    }

    /// True where a reply that names this model costs what the model that was asked for does: a dated name of it, or one
    /// without a price.
    pub fn is_alike(&self, bill: &Bill, model: &str) -> bool {
        self.find(model, bill.at).is_none_or(|place| Some(place) == bill.price)
    }

    /// What a request is expected to use, with what that costs at most.
    #[must_use]
    pub fn most(&self, bill: &Bill, expected: Tokens) -> Tokens {
        let cost = |tokens: &Tokens| self.cost(bill, None, tokens, false).unwrap_or(0);
        let prompt = Tokens { output: 0, images: 0, ..expected };
        Tokens { cost: cost(&expected), prompt_cost: cost(&prompt), ..expected }
    }

    fn find(&self, model: &str, now: Timestamp) -> Option<usize> {
        self.models.iter().position(|price| price.from <= now && now < price.until && price.models.matches(model))
    }
}

impl Price {
    fn compile(written: &document::ModelPrice, at: &KeyPath, errors: &mut Errors) -> Option<Price> {
        let models = errors.filled(at, "match", written.matches.as_deref()).map(Glob::new);
        let base = Rates::compile(
            [&written.input, &written.cached_input, &written.output, &written.reasoning].map(Option::as_deref),
            at,
            errors,
        );
        let image = written.image.as_deref().map_or(Some(0), |text| amount(text, &at.key("image"), errors));
        let from = day(written.from.as_deref(), &at.key("from"), errors).unwrap_or(Timestamp(0));
        let until = day(written.until.as_deref(), &at.key("until"), errors).unwrap_or(Timestamp(u64::MAX));
        if until <= from {
            errors.push(&at.key("until"), "not later than from");
        }
        let mut tiers = vec![(0, base)];
        let places = written.tiers.as_deref().unwrap_or_default();
        if places.len() > MAX_TIERS {
            errors.push(&at.key("tiers"), format!("expected at most {MAX_TIERS}"));
        }
        for (place, tier) in places.iter().enumerate().take(MAX_TIERS) {
            let at = at.key("tiers").index(place);
            let over = errors.require(&at, "overInputTokens", tier.over_input_tokens);
            if over.is_some_and(|over| tiers.last().is_some_and(|(last, _)| over <= *last)) {
                errors.push(&at.key("overInputTokens"), "expected more than that of the tier before, and more than 0");
            }
            let written = [&tier.input, &tier.cached_input, &tier.output, &tier.reasoning].map(Option::as_deref);
            tiers.push((over.unwrap_or(0), Rates::compile(written, &at, errors)));
        }
        let tiers = tiers.into_iter().map(|(over, rates)| Some((over, rates?))).collect::<Option<_>>()?;
        Some(Price { models: models?, from, until, image: image?, tiers })
    }

    /// The rates for a prompt of so many tokens.
    fn rates(&self, input: u64) -> Option<&Rates> {
        self.tiers.iter().rev().find(|(over, _)| *over == 0 || input > *over).map(|(_, rates)| rates)
    }

    /// In millionths, rounded up once.
    fn cost(&self, used: &Tokens, is_split: bool) -> u64 {
        let Some(rates) = self.rates(used.input) else { return 0 };
        let (cached, reasoning) = (used.cached.min(used.input), used.reasoning.min(used.output));
        let output = if is_split { rates.output } else { rates.output.max(rates.reasoning) };
        // A price is at most 10^12, so that every product is below 2^104, and the picture's below 2^124.
        let parts = [
            (used.input - cached, u128::from(rates.input)),
            (cached, u128::from(rates.cached)),
            (used.output - reasoning, u128::from(output)),
            (reasoning, u128::from(rates.reasoning)),
            (used.images, u128::from(self.image) * MILLION),
        ];
        let sum = parts.into_iter().fold(0u128, |sum, (count, price)| sum.saturating_add(u128::from(count) * price));
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

impl Rates {
    /// Of `input`, `cachedInput`, `output` and `reasoning`.
    fn compile(
        [input, cached, output, reasoning]: [Option<&str>; 4],
        at: &KeyPath,
        errors: &mut Errors,
    ) -> Option<Rates> {
        let mut rate = |key: &str, written: Option<&str>| amount(written?, &at.key(key), errors);
        let (cached_rate, reasoning_rate) = (rate("cachedInput", cached), rate("reasoning", reasoning));
        let (input_rate, output_rate) = (rate("input", input), rate("output", output));
        errors.require(at, "input", input);
        errors.require(at, "output", output);
        Some(Rates {
            input: input_rate?,
            cached: if cached.is_some() { cached_rate? } else { input_rate? },
            output: output_rate?,
            reasoning: if reasoning.is_some() { reasoning_rate? } else { output_rate? },
        })
    }
}

/// An amount such as `2.50` in millionths, exactly.
fn amount(text: &str, at: &KeyPath, errors: &mut Errors) -> Option<u64> {
    let amount = micros(text);
    if amount.is_none() {
        let text = shortened(text);
        errors.push(at, format!("{text:?} is no amount, expected for example 2.50: at most 6 decimals, up to 1000000"));
    }
    amount
}

/// An amount such as `50` or `0.0425` in millionths: exactly, at most 6 decimals, at most a million. `None`: it is none.
pub fn micros(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || whole.len() > 7 || decimals.len() > 6 {
        return None;
    }
    let decimals = format!("{decimals:0<6}");
    let amount = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(decimals.parse().ok()?)?;
    (amount <= MOST).then_some(amount)
}

/// A budget such as `50 USD`: the amount in millionths, and the currency.
pub(super) fn budget(text: &str) -> Option<(u64, &str)> {
    let (amount, currency) = text.split_once(' ')?;
    Some((micros(amount)?, currency)).filter(|(_, currency)| is_currency(currency))
}

/// Millionths as a decimal text: `0.003500`.
pub fn decimal(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// True for three capital letters.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Every quota of money is in the currency of `prices`.
pub fn check_currencies(document: &document::Document, errors: &mut Errors) {
    let root = KeyPath::root();
    for (role, section) in document.roles.iter().flatten() {
        let quotas = section.quotas.iter().flatten().enumerate();
        for (place, text) in quotas.filter_map(|(place, quota)| Some((place, quota.cost.as_deref()?))) {
            let at = || root.key("roles").key(role).key("quotas").index(place).key("cost");
            let known = document.prices.as_ref().map(|prices| prices.currency.as_deref());
            match (budget(text), known) {
                (Some(_), None) => errors.push(&at(), "needs `prices`: nobody knows what a request costs"),
                (Some((_, own)), Some(Some(known))) if own != known => {
                    let known = shortened(known);
                    errors.push(&at(), format!("{own:?} is not the currency of prices, expected {known:?}"));
                }
                _ => {}
            }
        }
    }
}

/// The beginning of a day in UTC.
fn day(text: Option<&str>, at: &KeyPath, errors: &mut Errors) -> Option<Timestamp> {
    let text = text?;
    let time = midnight(text);
    if time.is_none() {
        errors.push(at, format!("{:?} is no day, expected for example 2026-01-31, 1970 to 2200", shortened(text)));
    }
    time
}
