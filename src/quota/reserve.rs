//! Reservations: what a request may use is held before the call and settled after it.

use super::bucket::{Charge, Rate};
use super::charge::{Paid, Refusal};
use super::fleet::FleetHold;
use super::headers::Limits;
use super::key::SharedKey;
use std::sync::Arc;

use super::policy::QuotaPolicy;
use super::row::Slot;
use super::tokens::{Measure, Tokens};
use super::{Bill, Quotas, Whose};
use crate::document::{Counts, Per};
use crate::host::{Fault, Host};

/// What is held for one request. Give it to [`Quotas::settle`] once, whatever became of the request; if
/// that never happens, it counts as used in full when its time has come.
#[derive(Debug, Default)]
pub struct Reservation {
    expected: Tokens,
    holds: Vec<Hold>,
    /// What the fleet's service counted.
    pub(super) fleet: Vec<FleetHold>,
    /// The shares of limits that its own charges have reached.
    pub(super) crossed: Vec<Crossed>,
}

/// A charge has reached a share of a quota's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The role's name.
    pub role: String,
    /// Who shares the bucket.
    pub per: Per,
    /// What is counted.
    pub counts: Counts,
    /// Percent of the limit.
    pub share: u8,
}

/// The shares of one quota that are told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alerts {
    role: String,
    per: Per,
    counts: Counts,
    limit: u64,
    shares: Vec<u8>,
}

impl Alerts {
    pub(super) fn of(role: &str, quota: &QuotaPolicy) -> Option<Arc<Alerts>> {
        let (per, counts, limit) = (quota.per, quota.counts, quota.limit);
        let shares = quota.alert_at.clone();
        (!shares.is_empty()).then(|| Arc::new(Alerts { role: role.to_owned(), per, counts, limit, shares }))
    }

    /// The shares that lie between what was used of the limit before and after, in units of its counter.
    pub(super) fn crossed(&self, unit: u64, before: u64, after: u64) -> impl Iterator<Item = Crossed> {
        let reaches = move |used: u64, share: u8| {
            u128::from(used) * u128::from(unit) * 100 >= u128::from(self.limit) * u128::from(share)
        };
        let newly = move |share: &u8| !reaches(before, *share) && reaches(after, *share);
        let told = |share| Crossed { role: self.role.clone(), per: self.per, counts: self.counts, share };
        self.shares.iter().copied().filter(newly).map(told)
    }
}

/// What one bucket holds.
#[derive(Debug)]
struct Hold {
    measure: Measure,
    alerts: Option<Arc<Alerts>>,
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
        !self.fleet.is_empty() || self.holds.iter().any(|hold| hold.measure.counts != Counts::Concurrent)
    }

    /// Takes over what else is held for the same request.
    pub fn join(&mut self, other: Reservation) {
        self.holds.extend(other.holds);
        self.fleet.extend(other.fleet);
        self.crossed.extend(other.crossed);
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
                measure: debit.quota.measure(),
                alerts: debit.quota.alerts.clone(),
                rate: debit.quota.rate,
                row: debit.row,
                name: debit.name,
                slot: *slot,
                mark: *mark,
                units,
            }),
        };
        Reservation { expected, holds: paid.iter().filter_map(hold).collect(), ..Reservation::default() }
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
        let units = |measure: Measure| match measure.counts {
            Counts::Concurrent => 1,
            _ => measure.of(&expected),
        };
        let hold = |measure| Some(units(measure)).filter(|units| *units > 0).map(Charge::Hold);
        if self.own(whose).all(|quota| hold(quota.measure()).is_none()) {
            return Ok((Limits::default(), Reservation::of(expected)));
        }
        let bill = bill.into();
        let key = key.current(&self.policy, host)?;
        let debits = self.debits(&bill, whose, &key, hold);
        let (limits, paid) = self.teller(&key, host).charge(&debits)?;
        Ok((limits, Reservation::paid(expected, &paid)))
    }

    /// Ends a reservation: what was held comes free, what was used is charged. What it gives is the shares of limits that
    /// were reached.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails: what is still held then ends by its time, as used in full.
    pub fn settle(
        &self,
        reservation: Reservation,
        used: Tokens,
        key: &SharedKey,
        host: &mut dyn Host,
    ) -> Result<Vec<Crossed>, Fault> {
        let mut crossed = reservation.crossed;
        if reservation.holds.is_empty() {
            return Ok(crossed);
        }
        let key = key.current(&self.policy, host)?;
        let mut teller = self.teller(&key, host);
        let mut fault = None;
        for Hold { measure, alerts, rate, row, name, slot, mark, units } in &reservation.holds {
            let used = measure.of(&used);
            let mut moved = (0, 0);
            let settled =
                teller.change(*row, &mut |row, now| moved = row.settle(name, *slot, rate, (*mark, *units, used), now));
            match (settled, alerts) {
                (Err(failed), _) => fault = Some(failed),
                (Ok(()), Some(alerts)) => crossed.extend(alerts.crossed(measure.unit, moved.0, moved.1)),
                (Ok(()), None) => {}
            }
        }
        fault.map_or(Ok(crossed), Err)
    }
}
