//! Power cuts at every device operation, inside each, inside recovery, again and again: what is recovered is a prefix of
//! what was committed, with everything that was acknowledged.
//!
//! `EMBER_SIM_IMAGES` sets how many crash images are checked. A failure prints a replay line for
//! `cargo run --release -p emberkv-tests --bin sim -- replay '<line>'`.

#![expect(clippy::print_stdout, reason = "counts are part of a campaign's result")]

use std::time::Duration;

use emberkv_tests::sim::exhaust::{self, Range};
use emberkv_tests::sim::profile::PROFILES;
use emberkv_tests::sim::shrink::shrink;
use emberkv_tests::sim::soak::{Campaign, run};
use emberkv_tests::sim::tape::generate;
use emberkv_tests::sim::toy::TOY_BUGS;
use emberkv_tests::sim::{Below, Case, Ember, Sim, Toy};

fn images_wanted() -> u64 {
    let default = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
    std::env::var("EMBER_SIM_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn campaign(images: u64, bug: Option<&'static str>) -> Campaign {
    Campaign {
        seed: 1,
        workers: 2,
        images,
        time: Duration::from_secs(3600),
        bug,
        profile: None,
        ignore: "",
    }
}

#[test]
fn every_crash_recovers_to_a_legal_state() {
    let images = images_wanted();
    let outcome = run::<Ember>(&campaign(images, None));
    if let Some(failure) = outcome.failure {
        panic!("{}", shrink::<Ember>(*failure, None, Duration::from_secs(30)));
    }
    let tally = outcome.tally;
    println!(
        "{} images, {} of them after a second crash, {:?}",
        tally.images,
        tally.deep(),
        outcome.elapsed
    );
    assert!(tally.images >= images && tally.deep() >= images / 10);
    if images >= 500_000 {
        assert_eq!(
            tally.missing(),
            Vec::<&str>::new(),
            "rare states that were never reached:\n{}",
            tally.table()
        );
    }
}

/// Length four on four media is a stage of its own in CI.
#[test]
fn every_short_sequence_of_operations_survives_every_crash() {
    let length = if cfg!(debug_assertions) { 2 } else { 3 };
    let profiles: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
    match exhaust::run::<Ember>(&Range { length, profiles: &profiles, workers: 2 }) {
        Ok(tally) => println!("{} sequences, {} images", tally.tapes, tally.images),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn the_same_tape_asks_the_device_for_the_same_operations() {
    let mut sim = Sim::<Ember>::new(None);
    for seed in 0..64 {
        let tape = generate(seed, None);
        let first = sim.trace(&tape).unwrap_or_else(|failure| panic!("{failure}"));
        let mut other = Sim::<Ember>::new(None);
        assert_eq!(other.trace(&tape).ok(), Some(first), "seed {seed}");
    }
}

#[test]
fn regressions_stay_fixed() {
    for line in include_str!("regressions.sim").lines().filter(|line| line.starts_with("SIM ")) {
        let case = Case::parse(line).unwrap_or_else(|what| panic!("{what}: {line}"));
        let mut sim = Sim::<Ember>::new(None);
        let below = if case.pins.is_empty() { Below::Explore } else { Below::Stop };
        match sim.run_case(&case.tape, &case.plan, &case.pins, below) {
            // A crash point of an old log may lie elsewhere today: then the tape is explored anew.
            Err(failure) if failure.problem.class == "harness" => {
                if let Err(failure) = sim.run(&case.tape, &case.plan) {
                    panic!("{failure}");
                }
            }
            Err(failure) => panic!("{failure}"),
            Ok(()) => {}
        }
    }
}

#[test]
fn the_simulator_finds_nothing_in_a_correct_toy() {
    let images = images_wanted().min(200_000);
    let outcome = run::<Toy>(&campaign(images, None));
    if let Some(failure) = outcome.failure {
        panic!("{failure}");
    }
    assert!(outcome.tally.deep() > images / 10);
}

#[test]
fn the_simulator_finds_every_seeded_bug_of_the_toy() {
    for bug in TOY_BUGS {
        let outcome = run::<Toy>(&campaign(500_000, Some(bug)));
        let failure = outcome
            .failure
            .unwrap_or_else(|| panic!("{bug} was not found in {} images", outcome.tally.images));
        let case = Case::parse(&failure.case.line()).expect("a replay line is read back");
        let below = if case.pins.is_empty() { Below::Explore } else { Below::Stop };
        let again = Sim::<Toy>::new(Some(bug)).run_case(&case.tape, &case.plan, &case.pins, below);
        let class = again.err().map(|failure| failure.problem.class);
        assert_eq!(
            class,
            Some(failure.problem.class),
            "{bug}: the replay line does not show it again: {failure}"
        );
    }
}

#[test]
fn shrinking_keeps_the_failure_and_makes_it_smaller() {
    let outcome = run::<Toy>(&campaign(500_000, Some("AckBeforeFlush")));
    let failure = outcome.failure.expect("a store that never flushes is found");
    let small = shrink::<Toy>((*failure).clone(), Some("AckBeforeFlush"), Duration::from_secs(10));
    assert_eq!(small.problem.class, failure.problem.class);
    assert!(small.case.tape.len() <= failure.case.tape.len().min(16), "{small}");
}
