//! Operation tapes: what the simulator's seeds are made of, chosen by a fuzzer. The first two bytes shape the exploration
//! of crashes, the others are the tape.

use std::cell::RefCell;

use emberkv_tests::sim::plan::Plan;
use emberkv_tests::sim::{Ember, Sim};

/// The longest tape: an input should cost milliseconds.
const TAPE_BYTES: usize = 96;

thread_local! {
    static SIM: RefCell<Sim<Ember>> = RefCell::new(Sim::new(None));
}

/// The entry.
pub fn run(data: &[u8]) {
    let Some((head, tape)) = data.split_at_checked(2) else { return };
    let plan = Plan {
        depth: 1 + head[0] % 3,
        deep_images: 2,
        exhaustive_max: 9,
        random: 2,
        cuts: 4,
        session_images: 1,
        seed: u64::from(head[1]),
        ..Plan::default()
    };
    let tape = &tape[..tape.len().min(TAPE_BYTES)];
    let outcome = SIM.with_borrow_mut(|sim| sim.run(tape, &plan.encode()));
    if let Err(failure) = outcome {
        // The simulator is thrown away: it is not clean after a failure.
        SIM.set(Sim::new(None));
        panic!("{failure}");
    }
}
