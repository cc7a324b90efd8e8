//! Reservations: what a request may use is held before the call and settled after it.

use super::bucket::{Charge, Rate};
use super::charge::{Paid, Refusal};
use super::fleet::FleetHold;
use super::headers::Limits;
use super::key::SharedKey;
use super::row::Slot;
use super::{Bill, Quotas, Whose};
use crate::document::Counts;
use crate::host::{Fault, Host};

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

impl Tokens {
    /// Both together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    pub(super) fn of(&self, counts: Counts) -> u64 {
        match counts {
            Counts::Tokens => self.total(),
            Counts::InputTokens => self.input,
            Counts::OutputTokens => self.output,
            Counts::Requests | Counts::Concurrent => 0,
        }
    }
}

/// What is held for one request. Give it to [`Quotas::settle`] once, whatever became of the request; if
/// that never happens, it counts as used in full when its time has come.
#[derive(Debug, Default)]
pub struct Reservation {
    expected: Tokens,
    holds: Vec<Hold>,
    /// What the fleet's service counted.
    pub(super) fleet: Vec<FleetHold>,
}

/// What one bucket holds.
#[derive(Debug)]
struct Hold {
    counts: Counts,
    rate: Rate,
    row: u64,
    name: [u8; 16],
    slot: Slot,
    mark: u64,
    units: u64,
}

impl Reservation {
    /// What the request was expected to use at most.
    pub fn expected(&self) -> Tokens {
        self.expected
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty() && self.fleet.is_empty()
    }

    /// True when tokens are held.
    pub fn holds_tokens(&self) -> bool {
        !self.fleet.is_empty() || self.holds.iter().any(|hold| hold.counts != Counts::Concurrent)
    }

    /// Takes over what else is held for the same request.
    pub fn join(&mut self, other: Reservation) {
        self.holds.extend(other.holds);
        self.fleet.extend(other.fleet);
    }

    /// Nothing held yet.
    pub(super) fn of(expected: Tokens) -> Reservation {
        Reservation { expected, ..Reservation::default() }
    }

    /// What was paid of it.
    pub(super) fn paid(expected: Tokens, paid: &[Paid<'_, '_>]) -> Reservation {
        let hold = |Paid { debit, slot, mark, .. }: &Paid<'_, '_>| match debit.charge {
            Charge::Use(_) => None,
            Charge::Hold(units) => Some(Hold {
                counts: debit.quota.counts,
                rate: debit.quota.rate,
                row: debit.row,
                name: debit.name,
                slot: *slot,
                mark: *mark,
                units,
            }),
        };
        Reservation { expected, holds: paid.iter().filter_map(hold).collect(), fleet: Vec::new() }
    }
}

impl Quotas {
    /// Holds what a request is expected to use, in every quota of `whose` that counts tokens or requests
    /// in flight: in all or in none, as [`Quotas::charge`] does.
    ///
    /// Costs one host call, and two a quota.
    ///
    /// # Errors
    /// A [`Refusal`]; for `internal`, nothing is known about what was held, and what was ends by its time.
    pub fn reserve<'a, 'w>(
        &self,
        bill: impl Into<Bill<'a>>,
        whose: impl Into<Whose<'w>>,
        expected: Tokens,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<(Limits, Reservation), Refusal> {
        let whose = whose.into();
        let units = |counts| match counts {
            Counts::Requests => 0,
            Counts::Concurrent => 1,
            Counts::Tokens | Counts::InputTokens | Counts::OutputTokens => expected.of(counts),
        };
        let hold = |counts| Some(units(counts)).filter(|units| *units > 0).map(Charge::Hold);
        if self.own(whose).all(|quota| hold(quota.counts).is_none()) {
            return Ok((Limits::default(), Reservation::of(expected)));
        }
        let bill = bill.into();
        let key = key.current(&self.policy, host)?;
        let debits = self.debits(&bill, whose, &key, hold);
        let (limits, paid) = self.teller(&key, host).charge(&debits)?;
        Ok((limits, Reservation::paid(expected, &paid)))
    }

    /// Ends a reservation: what was held comes free, what was used is charged.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails: what is still held then ends by its time, as used in full.
    pub fn settle(
        &self,
        reservation: Reservation,
        used: Tokens,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<(), Fault> {
        if reservation.holds.is_empty() {
            return Ok(());
        }
        let key = key.current(&self.policy, host)?;
        let mut teller = self.teller(&key, host);
        let mut fault = None;
        for Hold { counts, rate, row, name, slot, mark, units } in &reservation.holds {
            let used = used.of(*counts);
            let settled =
                teller.change(*row, &mut |row, now| row.settle(name, *slot, rate, (*mark, *units, used), now));
            fault = settled.err().or(fault);
        }
        fault.map_or(Ok(()), Err)
    }
}
