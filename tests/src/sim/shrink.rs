//! Making a failure small: fewer operations, smaller arguments, the earliest crash, fewer torn atoms.

use std::time::{Duration, Instant};

use super::engine::Engine;
use super::explore::{Below, Sim};
use super::failure::Failure;
use super::fate::Fate;
use super::plan::{Pin, Plan};
use super::profile::SETUP_BYTES;
use super::tape::split;

/// Most images that one attempt may cost.
const IMAGES_PER_ATTEMPT: u64 = 20_000;

struct Shrinker<E: Engine> {
    sim: Sim<E>,
    best: Failure,
    class: &'static str,
    until: Instant,
}

/// The smallest failure of the same class that was found within `time`.
#[must_use]
pub fn shrink<E: Engine>(failure: Failure, bug: Option<&'static str>, time: Duration) -> Failure {
    let class = failure.problem.class;
    let mut shrinker =
        Shrinker { sim: Sim::<E>::new(bug), best: failure, class, until: Instant::now() + time };
    shrinker.tape();
    shrinker.arguments();
    shrinker.thens();
    shrinker.fates();
    shrinker.best
}

impl<E: Engine> Shrinker<E> {
    fn time_left(&self) -> bool {
        Instant::now() < self.until
    }

    /// Runs a candidate; keeps it if it fails in the same way.
    fn attempt(&mut self, tape: &[u8], plan: &[u8], pins: &[Pin], below: Below) -> bool {
        if !self.time_left() {
            return false;
        }
        self.sim.images_limit = self.sim.tally.images + IMAGES_PER_ATTEMPT;
        match self.sim.run_case(tape, plan, pins, below) {
            Err(failure) if failure.problem.class == self.class => {
                self.best = *failure;
                true
            }
            _ => false,
        }
    }

    /// Explores a candidate tape with a few plans: the plan of the failure first.
    fn attempt_tape(&mut self, tape: &[u8]) -> bool {
        let first = Plan::decode(&self.best.case.plan);
        let deep = self.best.case.pins.len() > 1;
        let dense = Plan { deep_in: if deep { 2 } else { 0 }, exhaustive_max: 81, ..first };
        [first, dense, Plan { seed: first.seed ^ 1, ..dense }]
            .iter()
            .any(|plan| self.attempt(tape, &plan.encode(), &[], Below::Explore))
    }

    /// Removes runs of operations, halving the run.
    fn tape(&mut self) {
        let mut run = split(&self.best.case.tape, SETUP_BYTES).len().div_ceil(2);
        while run > 0 && self.time_left() {
            let mut at = 0;
            loop {
                let tape = self.best.case.tape.clone();
                let parts = split(&tape, SETUP_BYTES);
                if at >= parts.len() {
                    break;
                }
                let end = (at + run).min(parts.len());
                let mut candidate = tape[..SETUP_BYTES.min(tape.len())].to_vec();
                for part in parts[..at].iter().chain(&parts[end..]) {
                    candidate.extend_from_slice(part);
                }
                if !self.attempt_tape(&candidate) {
                    at += run;
                }
            }
            run /= 2;
        }
    }

    /// Makes argument bytes zero.
    fn arguments(&mut self) {
        for at in 1..self.best.case.tape.len() {
            let mut candidate = self.best.case.tape.clone();
            if candidate.get(at).is_some_and(|&byte| byte != 0) {
                candidate[at] = 0;
                let same_parts = split(&candidate, SETUP_BYTES).len()
                    == split(&self.best.case.tape, SETUP_BYTES).len();
                if same_parts {
                    self.attempt_tape(&candidate);
                }
            }
        }
    }

    /// Removes operations between crashes.
    fn thens(&mut self) {
        for level in 0..self.best.case.pins.len() {
            let mut at = 0;
            while self.time_left() {
                let Some(pin) = self.best.case.pins.get(level) else { break };
                let mut parts = split(&pin.then, 0);
                if at >= parts.len() {
                    break;
                }
                parts.remove(at);
                let (tape, plan) = (self.best.case.tape.clone(), self.best.case.plan.clone());
                let mut pins = self.best.case.pins[..=level].to_vec();
                pins[level].then = parts.concat();
                let mut dense = Plan::decode(&plan);
                dense.deep_images = 64;
                if !self.attempt(&tape, &plan, &pins, Below::Explore)
                    && !self.attempt(&tape, &dense.encode(), &pins, Below::Explore)
                {
                    at += 1;
                }
            }
        }
    }

    /// Makes atoms whole or absent.
    fn fates(&mut self) {
        for level in 0..self.best.case.pins.len() {
            for atom in 0..self.best.case.pins.get(level).map_or(0, |pin| pin.fates.len()) {
                for simpler in [Fate::Full, Fate::Absent] {
                    let case = self.best.case.clone();
                    let Some(fate) = case.pins.get(level).and_then(|pin| pin.fates.get(atom))
                    else {
                        break;
                    };
                    if *fate == simpler || *fate == Fate::Full {
                        break;
                    }
                    let mut pins = case.pins.clone();
                    pins[level].fates[atom] = simpler;
                    if self.attempt(&case.tape, &case.plan, &pins, Below::Stop) {
                        break;
                    }
                }
            }
        }
    }
}
