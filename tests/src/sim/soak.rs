//! Campaigns of many seeds over several threads, and the ledger line that a soak leaves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::explore::Sim;
use super::failure::Failure;
use super::marks::Tally;
use super::plan::Plan;
use super::rng::{Rng, mix};
use super::tape::generate;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed; every worker takes every n-th one.
    pub seed: u64,
    /// Threads.
    pub workers: u32,
    /// Stop after so many images.
    pub images: u64,
    /// Stop after so long.
    pub time: Duration,
    /// A seeded bug.
    pub bug: Option<&'static str>,
    /// Only this profile.
    pub profile: Option<usize>,
    /// Classes of failures to pass over (separated by commas), to look for others behind them.
    pub ignore: &'static str,
}

/// What a campaign found.
#[derive(Debug)]
pub struct Outcome {
    /// Counts of all workers.
    pub tally: Tally,
    /// The first failure.
    pub failure: Option<Box<Failure>>,
    /// How long it took.
    pub elapsed: Duration,
}

/// The plan for a seed: mostly the usual one; some explore `format`, more combinations, or more depth.
#[must_use]
pub fn plan_for(seed: u64) -> Plan {
    let mut rng = Rng::new(mix(seed));
    let mut plan = Plan { seed, ..Plan::default() };
    match rng.below(16) {
        0 => plan.explore_format = true,
        1 => plan.exhaustive_max = 243,
        2 => (plan.deep_in, plan.deep_images) = (2, 4),
        3 => plan.cuts = 255,
        4 => plan.extra_in = 1,
        _ => {}
    }
    plan
}

/// Runs a campaign.
#[must_use]
pub fn run<E: Engine>(campaign: &Campaign) -> Outcome {
    let start = Instant::now();
    let stop = AtomicBool::new(false);
    let images = AtomicU64::new(0);
    let found: Mutex<Option<Box<Failure>>> = Mutex::new(None);
    let total = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for worker in 0..campaign.workers {
            let (stop, images, found, total) = (&stop, &images, &found, &total);
            scope.spawn(move || {
                let mut sim = Sim::<E>::new(campaign.bug);
                let mut seed = campaign.seed + u64::from(worker);
                while !stop.load(Ordering::Relaxed) {
                    let before = sim.tally.images;
                    let result =
                        sim.run(&generate(seed, campaign.profile), &plan_for(seed).encode());
                    let done = images.fetch_add(sim.tally.images - before, Ordering::Relaxed);
                    let ignored =
                        |class: &str| campaign.ignore.split(',').any(|other| other == class);
                    if let Err(failure) = result.or_else(|failure| {
                        if ignored(failure.problem.class) { Ok(()) } else { Err(failure) }
                    }) {
                        stop.store(true, Ordering::Relaxed);
                        if let Ok(mut found) = found.lock() {
                            found.get_or_insert(failure);
                        }
                    }
                    if done >= campaign.images || start.elapsed() >= campaign.time {
                        stop.store(true, Ordering::Relaxed);
                    }
                    seed += u64::from(campaign.workers);
                }
                if let Ok(mut total) = total.lock() {
                    total.add(&sim.tally);
                }
            });
        }
    });
    let tally = total.into_inner().unwrap_or_default();
    let failure = found.into_inner().unwrap_or_default();
    Outcome { tally, failure, elapsed: start.elapsed() }
}

impl Outcome {
    /// One line: what was run and what came of it.
    #[must_use]
    pub fn line(&self, engine: &str, campaign: &Campaign) -> String {
        let seconds = self.elapsed.as_secs_f64();
        format!(
            "engine={engine} seed={} workers={} tapes={} images={} deep={} depth3={} duplicates={} opens={} \
             seconds={seconds:.0} images_per_second={:.0} marks_missing={} violations={}",
            campaign.seed,
            campaign.workers,
            self.tally.tapes,
            self.tally.images,
            self.tally.deep(),
            self.tally.depth[2],
            self.tally.duplicates,
            self.tally.opens,
            self.tally.images as f64 / seconds,
            self.tally.missing().len(),
            u8::from(self.failure.is_some()),
        )
    }
}
