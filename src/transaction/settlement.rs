//! What an exchange has cost in the end, and the settlement of what was reserved for it.
//!
//! The model's own usage counts where it is known. Where it is not, the text that came back is counted; where
//! that was not seen either, what was reserved is charged. A refusal by the upstream costs nothing.

use super::context::Context;
use super::meter::Meter;
use super::{Ending, WorkerState};
use crate::audit::{Coverage, Verdict};
use crate::host::Host;
use crate::protocol::reply::Spent;
use crate::quota::Tokens;
use crate::quota::fleet::Settlement;

/// An estimate of at most this many tokens says nothing.
const SHORT: u64 = 16;

/// How it is known what an exchange has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    /// The upstream has told.
    Usage,
    /// The text that came was counted.
    Counted,
    /// Nobody knows: what was held is charged.
    Reserved,
    /// It used nothing.
    Refunded,
}

impl Basis {
    /// The word in the record.
    const fn name(self) -> &'static str {
        match self {
            Basis::Usage => "usage",
            Basis::Counted => "counted",
            Basis::Reserved => "reserved",
            Basis::Refunded => "refunded",
        }
    }
}

impl Context {
    /// Settles what was reserved, once the exchange has ended.
    /// Gives what the service that counts for the fleet must be told.
    pub(super) fn pay(&mut self, ending: Ending, vm: &mut WorkerState, host: &mut dyn Host) -> Vec<Settlement> {
        let reserved = std::mem::take(&mut self.reserved);
        if reserved.is_empty() && self.bill.is_none() {
            self.note_answering_model(vm);
            return Vec::new();
        }
        let written = self.account.meter.spent.written.tokens();
        // What the upstream did not count is no cheaper for what it has counted of other texts.
        let written = self.gauge.map_or(written, |gauge| vm.ratios.raised(&gauge, written, host.now()));
        let (mut used, basis) = self.used(ending, reserved.expected(), written);
        self.price(&mut used, basis, vm);
        if reserved.holds_tokens() || self.bill.is_some() {
            self.account.record.set_charged(used.total());
            self.account.record.set_basis(basis.name());
        }
        self.learn(used, basis, vm, host);
        let settlements = self.policy.quotas.settlements(&reserved, used);
        // Nothing can be refused any more. What stays held ends by its time, as used in full.
        match self.policy.quotas.settle(reserved, used, vm.shared_key(), host) {
            Ok(crossed) => self.account.record.set_crossed(&crossed),
            Err(_) => self.account.record.set_basis("unsettled"),
        }
        settlements
    }

    /// Says what it cost: by the model that the reply names, where that has a price. Every other part of the reply's usage
    /// was told with it or costs as it was expected to.
    fn price(&mut self, used: &mut Tokens, basis: Basis, vm: &mut WorkerState) {
        let policy = std::sync::Arc::clone(&self.policy);
        let (Some(bill), Some(prices)) = (self.bill, &policy.prices) else {
            return self.note_answering_model(vm);
        };
        let billed = self.account.billed.take();
        let is_split = self.account.meter.spent.usage.reasoning.is_some();
        let cost = prices.cost(&bill, billed.as_deref(), used, is_split);
        used.cost = cost.unwrap_or(0);
        match cost {
            Some(cost) => {
                self.account.record.set_cost(cost, &prices.currency, basis.name());
                self.account.record.set_images(used.images);
            }
            None => self.account.record.set_unpriced(),
        }
        if let Some(model) = billed {
            self.note_billed(&policy, &model, vm);
        }
    }

    /// The model that the reply names, of a request without a price.
    fn note_answering_model(&mut self, vm: &mut WorkerState) {
        let policy = std::sync::Arc::clone(&self.policy);
        if let (Some(model), true) = (self.account.billed.take(), policy.models.is_some()) {
            self.note_billed(&policy, &model, vm);
        }
    }

    /// What the model has counted, beside what was estimated: where it counted what the caller sent, and nothing else.
    fn learn(&self, used: Tokens, basis: Basis, vm: &mut WorkerState, host: &mut dyn Host) {
        let Some(gauge) = &self.gauge else { return };
        let as_sent = self.account.verdict() == Verdict::Allow && self.account.coverage() != Coverage::Partial;
        // The template in front of every prompt comes from a cache as a rule. A server that leaves what came from there
        // out of its count is off by a third at most.
        let is_fresh = self.account.meter.spent.usage.cached.unwrap_or(0) <= used.input / 2;
        if basis == Basis::Usage && as_sent && is_fresh {
            vm.ratios.learn(gauge, used.input, host.now());
        }
    }

    /// For a rehearsal: the reply came with this status, and the model said that it used so much.
    #[cfg(feature = "cli")]
    pub(super) fn rehearse_reply(&mut self, status: Option<u16>, used: Option<Tokens>) {
        use crate::protocol::reply::Usage;
        self.account.record.set_status(status);
        self.account.meter.status = status;
        if let Some(used) = used {
            let usage = Usage {
                input: Some(used.input),
                output: Some(used.output),
                cached: Some(used.cached),
                reasoning: Some(used.reasoning),
            };
            let spent = Spent { usage, ..Spent::default() };
            self.account.meter = Meter { status, spent, read: true, complete: true, ..Meter::default() };
        }
    }

    /// What the exchange used, and how that is known. `written`: the tokens of the text that came.
    fn used(&self, ending: Ending, expected: Tokens, written: u64) -> (Tokens, Basis) {
        let Meter { status, spent: Spent { usage, written: text }, complete, read, repeats_prompt, in_background } =
            self.account.meter;
        match status {
            // Refused after it was reserved: it never left.
            _ if ending == Ending::Unjudged => {
                return (Tokens::default(), Basis::Refunded);
            }
            None if matches!(ending, Ending::Denied | Ending::Undecided) => {
                return (Tokens::default(), Basis::Refunded);
            }
            // The caller left before an answer came; the upstream may have made one.
            None => return (expected, Basis::Reserved),
            // Not answered in time: the upstream may have worked all that while.
            Some(408 | 504) => return (expected, Basis::Reserved),
            Some(400..) => return (Tokens::default(), Basis::Refunded),
            // It is made whether the caller fetches it or not, and fetching it is not charged.
            Some(_) if in_background && !(complete && usage.output.is_some()) => return (expected, Basis::Reserved),
            Some(_) => {}
        }
        let repeated = if repeats_prompt { usage.input.unwrap_or(expected.input) } else { 0 };
        let (written, least) = (written.saturating_sub(repeated), text.least().saturating_sub(repeated));
        // Ended from here while the upstream writes on.
        let cut_off = matches!(ending, Ending::CutOff | Ending::Denied);
        let parts = |input: u64, output: u64| Tokens {
            cached: usage.cached.filter(|_| usage.input.is_some()).unwrap_or(0).min(input),
            reasoning: usage.reasoning.filter(|_| usage.output.is_some()).unwrap_or(0).min(output),
            images: expected.images,
            ..Tokens::of(input, output)
        };
        match (usage.input, usage.output) {
            // Less than any tokenizer makes of the text that came is no count of it.
            (Some(input), Some(output)) if complete && (least > SHORT || output == 0) && output < least => {
                (parts(input, written), Basis::Counted)
            }
            (Some(input), Some(output)) if complete => (parts(input, output), Basis::Usage),
            (input, output) if cut_off => {
                let output = output.unwrap_or(0).max(written).max(expected.output);
                (parts(input.unwrap_or(expected.input), output), Basis::Reserved)
            }
            _ if !read => (expected, Basis::Reserved),
            (input, output) => {
                let output = output.unwrap_or(0).max(written);
                (parts(input.unwrap_or(expected.input), output), Basis::Counted)
            }
        }
    }
}
