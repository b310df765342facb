//! The power fails in every program and every erase, in eight ways, up to six times in a row and while the store
//! recovers: what was acknowledged is there, and what was shown once stays. The medium and the sweep are those that other
//! stores are measured with in `tests/peers-embedded`.
//!
//! `EMBER_POWER_CUTS` sets how many cuts there are at least.

#![expect(dead_code, reason = "the comparison with other stores uses more of what is shared")]

#[path = "../../../tests/peers-embedded/src/stores/ember.rs"]
mod ember;
#[path = "../../../tests/peers-embedded/src/nor.rs"]
mod nor;
#[path = "../../../tests/peers-embedded/src/power.rs"]
mod power;
#[path = "../../../tests/peers-embedded/src/rng.rs"]
mod rng;
#[path = "../../../tests/peers-embedded/src/store.rs"]
mod store;
#[path = "../../../tests/peers-embedded/src/sweep.rs"]
mod sweep;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ember::Ember;
use emberkv_core::ShortRecords;
use nor::WORD;
use store::Family;
use sweep::{ROWS, Scale, Tally, row_name, sweep};

/// Threads, each with its own chips: CI has two cores.
const WORKERS: usize = 2;

const WHOLE: Ember = Ember { short_records: ShortRecords::Omit, ..Ember::SMALL };

fn cuts_wanted() -> u64 {
    let default = if cfg!(debug_assertions) { 800 } else { 20_000 };
    std::env::var("EMBER_POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What a sweep found.
#[derive(Default)]
struct Found {
    rows: [Tally; ROWS],
    twice: u64,
    examples: Vec<String>,
}

impl Found {
    fn add(&mut self, other: &Self) {
        for (row, found) in self.rows.iter_mut().zip(&other.rows) {
            row.cases += found.cases;
            row.failed += found.failed;
            row.cuts += found.cuts;
        }
        self.twice += other.twice;
        self.examples.extend_from_slice(&other.examples);
    }

    fn cuts(&self) -> u64 {
        self.rows.iter().map(|row| row.cuts).sum()
    }
}

/// Passes over one worker's share of a script's changes, each with new seeds, until all workers together made `wanted` cuts.
fn work<const BLOCK: usize, const COUNT: usize>(
    ember: Ember,
    (worker, wanted): (usize, u64),
    done: &AtomicU64,
) -> Found {
    let mut all = Found::default();
    for seed in 0.. {
        // One with a single cut, one with several: then as many as are wanted.
        if seed > 1 && done.load(Ordering::Relaxed) >= wanted {
            break;
        }
        // Where few cuts are wanted, one change in sixteen is enough.
        let every = if wanted < 20_000 { 16 * WORKERS } else { WORKERS };
        let scale = Scale { seeds: seed..seed + 1, every, first: worker };
        let mut examples = Vec::new();
        let family: &dyn Family<BLOCK, COUNT> = &ember;
        let swept = sweep(family, &scale, &mut examples);
        let (rows, twice) = swept.expect("it works while the power is on");
        let found = Found { rows, twice, examples };
        done.fetch_add(found.cuts(), Ordering::Relaxed);
        all.add(&found);
    }
    all
}

fn survives<const BLOCK: usize, const COUNT: usize>(ember: Ember, wanted: u64) -> Found {
    let done = AtomicU64::new(0);
    let mut all = Found::default();
    std::thread::scope(|scope| {
        let workers = [0, 1].map(|worker| {
            let done = &done;
            scope.spawn(move || work::<BLOCK, COUNT>(ember, (worker, wanted), done))
        });
        for worker in workers {
            all.add(&worker.join().expect("a worker finds, and does not panic"));
        }
    });
    for (row, tally) in all.rows.iter().enumerate() {
        assert!(tally.cases > 0 && tally.cuts >= tally.cases, "{}", row_name(row));
        assert_eq!(tally.failed, 0, "{BLOCK} x {COUNT}, {}: {:#?}", row_name(row), all.examples);
    }
    // A word that a cut left without a trace reads as blank, and may be programmed once more.
    let cuts = all.cuts();
    let twice = all.twice;
    assert!(
        twice / (WORD as u64) * 200 <= cuts,
        "{twice} bytes were programmed twice, {cuts} cuts"
    );
    all
}

#[test]
fn power_cuts_of_every_kind_at_every_change_lose_nothing_that_was_acknowledged_or_shown() {
    let wanted = cuts_wanted();
    let begun = Instant::now();
    let mut all = Found::default();
    all.add(&survives::<4096, 16>(Ember::SMALL, wanted / 4));
    all.add(&survives::<4096, 16>(WHOLE, wanted / 4));
    all.add(&survives::<1024, 32>(Ember::SMALL, wanted / 4));
    all.add(&survives::<1024, 32>(WHOLE, wanted / 4));
    let cases: u64 = all.rows.iter().map(|row| row.cases).sum();
    let (cuts, seconds) = (all.cuts(), begun.elapsed().as_secs_f64());
    assert!(cuts >= wanted, "{cuts} of {wanted} cuts");
    let line = format!(
        "power cuts: {cuts} in {cases} cases, eight ways to tear, up to six in a row: 0 failures, \
         {seconds:.1} s\n"
    );
    // Not through the test's captured output: the count belongs into every log.
    std::io::stderr().write_all(line.as_bytes()).expect("somebody reads");
}
