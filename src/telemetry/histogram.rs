//! A histogram of whole numbers in `Cell`s, and its plain copy for the way to another thread. Bounds are fixed lists.

use std::cell::Cell;

/// Request and upstream latency, µs: 5 ms to 15 min.
pub const LATENCY_US: &[u64] = &[
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    15_000_000,
    30_000_000,
    45_000_000,
    60_000_000,
    90_000_000,
    120_000_000,
    180_000_000,
    300_000_000,
    600_000_000,
    900_000_000,
];

/// Time to a stream's first token, µs: 5 ms to 5 min.
pub const FIRST_TOKEN_US: &[u64] = &[
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    20_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
];

/// Our own share of a request, µs: Bifrost's 100 µs to 30 s, and below it what a request here costs.
pub const OVERHEAD_US: &[u64] = &[
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Attempts after the first of a request.
pub const RETRIES: &[u64] = &[0, 1, 2, 3, 5, 10];

/// Body sizes, bytes: 100 × 10^k.
pub const SIZE_BYTES: &[u64] =
    &[100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Counts per bucket, each its own (not cumulative), and the sum of what was observed.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One per bound, and one for what is above the last.
    counts: Box<[Cell<u64>]>,
    sum: Cell<u64>,
}

/// A histogram's plain copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSample {
    /// Upper bounds, each inclusive.
    pub bounds: &'static [u64],
    /// Not cumulative; one more than `bounds`.
    pub counts: Vec<u64>,
    /// Sum of the observed values, wrapping.
    pub sum: u64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![Cell::new(0); bounds.len() + 1].into(), sum: Cell::new(0) }
    }

    pub(super) fn observe(&self, value: u64) {
        if let Some(count) = self.counts.get(self.bounds.partition_point(|bound| *bound < value)) {
            add(count, 1);
        }
        add(&self.sum, value);
    }

    pub(super) fn sample(&self) -> HistogramSample {
        HistogramSample {
            bounds: self.bounds,
            counts: self.counts.iter().map(Cell::get).collect(),
            sum: self.sum.get(),
        }
    }
}

impl HistogramSample {
    /// Adds another core's; both have the same bounds.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.wrapping_add(*more);
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Observed values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Counters wrap, as Prometheus expects of a reset.
pub(super) fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().wrapping_add(more));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_inclusive_and_the_rest_has_its_place() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.observe(value);
        }
        assert_eq!(histogram.sample().counts, [2, 2, 2]);
    }

    #[test]
    fn bounds_rise() {
        for bounds in [LATENCY_US, FIRST_TOKEN_US, OVERHEAD_US, RETRIES, SIZE_BYTES] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}
