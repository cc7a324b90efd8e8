//! Tests and intervals over counts. Each names the paper that it is from.

use statrs::distribution::{ChiSquared, ContinuousCDF as _};

/// The 97.5th percentile of the normal distribution: intervals are of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Added to each bucket's count on both sides before a PSI is taken, so that an empty bucket has a logarithm
/// (Jeffreys's prior).
const SMOOTHING: f64 = 0.5;

/// A table's cells are pooled until each is expected to hold at least this many (Cochran 1954, Biometrics 10).
const LEAST_EXPECTED: f64 = 5.0;

/// A count as a number: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts of records are far below 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// A test's statistic and p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) statistic: f64,
    pub(super) p: f64,
}

/// The population stability index of two rows of counts over the same buckets: the symmetric Kullback-Leibler
/// divergence (Lewis 1994, An Introduction to Credit Scoring). Empty rows differ in nothing.
pub(super) fn psi(before: &[u64], now: &[u64]) -> f64 {
    let total = |row: &[u64]| row.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let (all_before, all_now) = (total(before), total(now));
    if all_before == 0 || all_now == 0 {
        return 0.0;
    }
    let cells = number(before.len().max(now.len()) as u64);
    let share = |count: u64, all: u64| (number(count) + SMOOTHING) / (number(all) + SMOOTHING * cells);
    before
        .iter()
        .zip(now)
        .map(|(before, now)| {
            let (before, now) = (share(*before, all_before), share(*now, all_now));
            (now - before) * (now / before).ln()
        })
        .sum()
}

/// Whether two samples are of one distribution, by the largest distance between their distribution functions (Smirnov
/// 1948; the p-value by Stephens 1970, JRSS B 32). Of counts over ordered buckets the distance is that at the
/// buckets' ends: never larger than of the values themselves, so that the test errs on the side of no finding.
pub(super) fn kolmogorov_smirnov(before: &[u64], now: &[u64]) -> Option<Test> {
    let total = |row: &[u64]| row.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let (all_before, all_now) = (number(total(before)), number(total(now)));
    if all_before == 0.0 || all_now == 0.0 {
        return None;
    }
    let (mut of_before, mut of_now, mut distance) = (0.0, 0.0, 0.0_f64);
    for (before, now) in before.iter().zip(now) {
        of_before += number(*before) / all_before;
        of_now += number(*now) / all_now;
        distance = distance.max(f64::abs(of_before - of_now));
    }
    let size = (all_before * all_now / (all_before + all_now)).sqrt();
    let p = kolmogorov((size + 0.12 + 0.11 / size) * distance);
    Some(Test { statistic: distance, p })
}

/// The chance that a Kolmogorov variable is larger.
fn kolmogorov(value: f64) -> f64 {
    // The series does not converge near 0, where the chance is 1.
    if value < 0.2 {
        return 1.0;
    }
    let mut sum = 0.0;
    let mut sign = 1.0;
    for term in 1..=100 {
        let term = f64::from(term) * value;
        let part = (-2.0 * term * term).exp();
        sum += sign * part;
        sign = -sign;
        if part < 1e-16 {
            break;
        }
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// Whether two rows of counts are of one distribution (Pearson 1900). Cells that are expected to hold few are pooled,
/// the rarest first. `None`: less than two cells are left.
pub(super) fn chi_square(before: &[u64], now: &[u64]) -> Option<Test> {
    let mut cells: Vec<(f64, f64)> = before.iter().zip(now).map(|(b, n)| (number(*b), number(*n))).collect();
    let all = cells.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    if all.0 == 0.0 || all.1 == 0.0 {
        return None;
    }
    let smaller = all.0.min(all.1) / (all.0 + all.1);
    let is_rare = |cell: &(f64, f64)| (cell.0 + cell.1) * smaller < LEAST_EXPECTED;
    cells.retain(|cell| cell.0 + cell.1 > 0.0);
    cells.sort_by(|one, other| (other.0 + other.1).total_cmp(&(one.0 + one.1)).then(other.0.total_cmp(&one.0)));
    while let [.., next, rarest] = cells.as_mut_slice() {
        if !is_rare(rarest) {
            break;
        }
        *next = (next.0 + rarest.0, next.1 + rarest.1);
        cells.pop();
        // The pooled cell may no longer be the rarest.
        cells.sort_by(|one, other| (other.0 + other.1).total_cmp(&(one.0 + one.1)).then(other.0.total_cmp(&one.0)));
    }
    if cells.len() < 2 {
        return None;
    }
    let statistic: f64 = cells
        .iter()
        .map(|cell| {
            let sum = cell.0 + cell.1;
            let part = |seen: f64, row: f64| {
                let expected = sum * row / (all.0 + all.1);
                (seen - expected).powi(2) / expected
            };
            part(cell.0, all.0) + part(cell.1, all.1)
        })
        .sum();
    let distribution = ChiSquared::new(number(cells.len() as u64 - 1)).ok()?;
    Some(Test { statistic, p: distribution.sf(statistic) })
}

/// P-values that bound the share of false findings among all findings (Benjamini and Hochberg 1995, JRSS B 57).
pub(super) fn adjusted(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|one, other| other.1.total_cmp(&one.1));
    let mut adjusted = vec![1.0; values.len()];
    let mut least = 1.0_f64;
    for (above, (place, p)) in order.into_iter().enumerate() {
        let rank = values.len() - above;
        least = least.min(p * number(values.len() as u64) / number(rank as u64));
        if let Some(value) = adjusted.get_mut(place) {
            *value = least;
        }
    }
    adjusted
}

/// The interval of a rate (Wilson 1927, JASA 22), 95 %.
pub(super) fn wilson(events: u64, of: u64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, rate) = (number(of), number(events) / number(of));
    let middle = rate + Z * Z / (2.0 * n);
    let half = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// The interval of the difference of two rates (Newcombe 1998, Statistics in Medicine 17, method 10), 95 %.
pub(super) fn newcombe(one: (u64, u64), other: (u64, u64)) -> (f64, f64) {
    let rate = |(events, of): (u64, u64)| if of == 0 { 0.0 } else { number(events) / number(of) };
    let (p, q) = (rate(one), rate(other));
    let ((low_p, high_p), (low_q, high_q)) = (wilson(one.0, one.1), wilson(other.0, other.1));
    let difference = p - q;
    let below = ((p - low_p).powi(2) + (high_q - q).powi(2)).sqrt();
    let above = ((high_p - p).powi(2) + (q - low_q).powi(2)).sqrt();
    (difference - below, difference + above)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(one: f64, other: f64, by: f64) {
        assert!((one - other).abs() <= by, "{one} is not {other}");
    }

    /// Figures of SciPy 1.17 and of the paper.
    #[test]
    fn the_tests_give_what_others_give() {
        // scipy.special.kolmogorov
        for (value, p) in [(0.5, 0.963_945_2), (1.0, 0.269_999_7), (1.36, 0.049_485_9), (2.0, 0.000_670_925)] {
            near(kolmogorov(value), p, 1e-6);
        }
        // scipy.stats.chi2_contingency([[10, 20, 30], [6, 9, 17]], correction=False)
        let test = chi_square(&[10, 20, 30], &[6, 9, 17]).unwrap();
        near(test.statistic, 0.271_575, 1e-5);
        near(test.p, 0.873_028, 1e-5);
        // scipy.stats.binomtest(5, 56).proportion_ci(method='wilson')
        let (low, high) = wilson(5, 56);
        near(low, 0.038_742, 1e-6);
        near(high, 0.192_560, 1e-6);
        // Newcombe 1998, table II: 56/70 - 48/80, method 10.
        let (low, high) = newcombe((56, 70), (48, 80));
        near(low, 0.0524, 1e-4);
        near(high, 0.3339, 1e-4);
        // scipy.stats.false_discovery_control([0.01, 0.5, 0.03, 0.02])
        for (one, other) in adjusted(&[0.01, 0.5, 0.03, 0.02]).into_iter().zip([0.04, 0.5, 0.04, 0.04]) {
            near(one, other, 1e-12);
        }
    }

    #[test]
    fn few_and_none_are_no_test() {
        assert_eq!(chi_square(&[5, 0], &[7, 0]), None);
        assert_eq!(chi_square(&[], &[]), None);
        assert_eq!(chi_square(&[3, 1], &[2, 1]), None);
        assert_eq!(kolmogorov_smirnov(&[0, 0], &[1, 2]), None);
        near(psi(&[0, 0], &[1, 2]), 0.0, 0.0);
    }

    proptest! {
        #[test]
        fn a_row_against_itself_differs_in_nothing(row in prop::collection::vec(0u64..100_000, 1..30)) {
            prop_assert!(psi(&row, &row).abs() < 1e-12);
            if let Some(test) = kolmogorov_smirnov(&row, &row) {
                prop_assert!(test.statistic == 0.0 && test.p > 0.999);
            }
            if let Some(test) = chi_square(&row, &row) {
                prop_assert!(test.statistic < 1e-6 && test.p > 0.999);
            }
        }

        #[test]
        fn what_is_said_is_a_probability(
            rows in prop::collection::vec((any::<u64>(), 0u64..50), 1..30),
        ) {
            let (one, other): (Vec<u64>, Vec<u64>) = rows.into_iter().map(|(a, b)| (a >> 12, b)).unzip();
            prop_assert!(psi(&one, &other) >= 0.0);
            let tests = [kolmogorov_smirnov(&one, &other), chi_square(&one, &other)];
            for test in tests.into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&test.p) && test.statistic >= 0.0);
            }
        }

        #[test]
        fn intervals_hold_their_rate(of in 1u64..100_000, share in 0.0f64..=1.0, of_other in 1u64..100_000) {
            let events = ((of as f64) * share) as u64;
            let (low, high) = wilson(events, of);
            let rate = events as f64 / of as f64;
            prop_assert!(0.0 <= low && low <= rate + 1e-12 && rate <= high + 1e-12 && high <= 1.0);
            let (low, high) = newcombe((events, of), (of_other / 3, of_other));
            let difference = rate - (of_other / 3) as f64 / of_other as f64;
            prop_assert!((-1.0..=1.0).contains(&low) && low <= difference + 1e-12 && difference <= high + 1e-12);
        }

        /// The adjusted values are the smallest alpha at which the procedure of the paper rejects.
        #[test]
        fn adjusted_values_reject_as_the_procedure_does(
            values in prop::collection::vec(0.0f64..=1.0, 1..40), alpha in 0.001f64..0.5,
        ) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let count = values.len() as f64;
            let most = (1..=values.len()).rev().find(|rank| sorted[rank - 1] <= alpha * *rank as f64 / count);
            let limit = most.map_or(-1.0, |rank| sorted[rank - 1]);
            for (value, adjusted) in values.iter().zip(adjusted(&values)) {
                let is_near = (adjusted - alpha).abs() < 1e-12;
                prop_assert!(is_near || (adjusted <= alpha) == (*value <= limit));
            }
        }
    }
}
