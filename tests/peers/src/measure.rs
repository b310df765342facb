//! Time per operation and what is made of it: a rate, percentiles, medians over rounds.
//!
//! One clock reading ends an operation and begins the next, so making the key and checking the
//! value count as well, the same for every store. The clock's own price is printed with the tables.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::peer::Outcome;

/// One line of a table: what was measured, and the value of one store.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The line, unit included.
    pub label: &'static str,
    /// The value.
    pub value: f64,
}

/// The label of every rate; tables compare columns by it.
pub const RATE: &str = "ops/s";

/// The label of the latency that one in 10,000 exceeds.
pub const TAIL: &str = "p99.99, us";

/// The label of the longest operation.
pub const WORST: &str = "max, us";

/// Measures a run of operations.
pub struct Meter {
    started: Instant,
    last: Instant,
    nanos: Vec<u64>,
    count: usize,
}

impl Meter {
    /// Starts the clock for at most `ops_max` operations.
    #[must_use]
    pub fn start(ops_max: u64) -> Self {
        // Ones instead of zeros: the pages are touched now, not by a fault inside an operation.
        let nanos = vec![1; ops_max as usize];
        let started = Instant::now();
        Self { started, last: started, nanos, count: 0 }
    }

    /// Ends one operation and begins the next.
    pub fn tick(&mut self) {
        let now = Instant::now();
        self.nanos[self.count] = (now - self.last).as_nanos() as u64;
        self.count += 1;
        self.last = now;
    }

    /// Stops the clock. What was done since the last tick counts for the rate, not as an operation;
    /// each tick stands for `ops_per_tick` operations.
    ///
    /// # Errors
    /// None in practice: a latency that no histogram can hold.
    pub fn finish(self, ops_per_tick: u64) -> Outcome<Vec<Figure>> {
        let elapsed = self.started.elapsed();
        figures(&[self], elapsed, ops_per_tick)
    }

    /// The nanoseconds of each operation so far.
    #[must_use]
    pub fn nanos(&self) -> &[u64] {
        &self.nanos[..self.count]
    }

    /// Starts the clock anew, before the first operation: what was done until now counts for nothing.
    pub fn restart(&mut self) {
        self.started = Instant::now();
        self.last = self.started;
    }

    /// When the clock started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// When the last operation ended.
    #[must_use]
    pub const fn last(&self) -> Instant {
        self.last
    }
}

/// The rate and the latencies of all meters together: those of threads that ran at the same time,
/// for `elapsed`.
///
/// # Errors
/// None in practice: a latency that no histogram can hold.
pub fn figures(meters: &[Meter], elapsed: Duration, ops_per_tick: u64) -> Outcome<Vec<Figure>> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for nanos in meters.iter().flat_map(|meter| meter.nanos()) {
        histogram.record(*nanos)?;
    }
    let micros = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Ok(vec![
        Figure { label: RATE, value: rate(histogram.len() * ops_per_tick, elapsed) },
        Figure { label: "p50, us", value: micros(0.5) },
        Figure { label: "p99, us", value: micros(0.99) },
        Figure { label: TAIL, value: micros(0.9999) },
        Figure { label: WORST, value: histogram.max() as f64 / 1e3 },
    ])
}

/// How long a fresh store took from `before_open` until now. Not in any rate, but shown: EmberKV
/// writes its whole file then, the others write theirs as they go.
#[must_use]
pub fn creating(before_open: Instant) -> Figure {
    Figure { label: "creating it before, ms", value: before_open.elapsed().as_secs_f64() * 1e3 }
}

/// Operations per second.
#[must_use]
pub fn rate(ops: u64, elapsed: Duration) -> f64 {
    ops as f64 / elapsed.as_secs_f64()
}

/// The middle of each line over all rounds (the lower middle of an even number); rounds have equal
/// labels.
#[must_use]
pub fn medians(rounds: &[Vec<Figure>]) -> Vec<Figure> {
    let Some(first) = rounds.first() else {
        return Vec::new();
    };
    let median = |line: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[line].value).collect();
        values.sort_by(f64::total_cmp);
        Figure { label: first[line].label, value: values[(values.len() - 1) / 2] }
    };
    (0..first.len()).map(median).collect()
}

/// What one reading of the clock costs, in nanoseconds.
#[must_use]
pub fn clock_ns() -> f64 {
    const READINGS: u32 = 100_000;
    let started = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(Instant::now());
    }
    started.elapsed().as_nanos() as f64 / f64::from(READINGS)
}

#[cfg(test)]
mod tests {
    use super::{Figure, Meter, RATE, medians};

    #[test]
    fn the_median_is_taken_line_by_line() {
        let round = |rate, max| {
            vec![Figure { label: RATE, value: rate }, Figure { label: "max, us", value: max }]
        };
        let middle = medians(&[round(3.0, 1.0), round(1.0, 2.0), round(2.0, 3.0)]);
        assert_eq!(middle, round(2.0, 2.0));
    }

    #[test]
    fn a_tick_may_stand_for_many_operations() {
        let mut meter = Meter::start(1);
        meter.tick();
        let figures = meter.finish(1_000).expect("one latency fits");
        assert!(figures[0].value > 1_000.0);
    }
}
