//! The power fails in every program and every erase, in eight ways, up to six times in a row and while the store
//! recovers: what was acknowledged is there, and what was shown once stays. The medium and the sweep are those that other
//! stores are measured with in `tests/peers-embedded`.

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

use ember::Ember;
use nor::WORD;
use sweep::{Scale, row_name, sweep};

fn survives<const BLOCK: usize, const COUNT: usize>(scale: Scale) -> u64 {
    let mut examples = Vec::new();
    let swept = sweep::<BLOCK, COUNT>(&Ember::SMALL, scale, &mut examples);
    let (tallies, twice) = swept.expect("it works while the power is on");
    for (row, tally) in tallies.iter().enumerate() {
        assert!(tally.cases > 0 && tally.cuts >= tally.cases, "{}", row_name(row));
        assert_eq!(tally.failed, 0, "{}: {examples:#?}", row_name(row));
    }
    let cuts = tallies.iter().map(|tally| tally.cuts).sum();
    // A word that a cut left without a trace reads as blank, and may be programmed once more.
    assert!(
        twice / (WORD as u64) * 200 <= cuts,
        "{twice} bytes were programmed twice, {cuts} cuts"
    );
    cuts
}

#[test]
fn a_sample_of_power_cuts_in_blocks_of_four_kilobytes_loses_nothing() {
    let cuts = survives::<4096, 16>(Scale { seeds: 2, every: 16 });
    assert!(cuts > 500, "{cuts} cuts");
}
