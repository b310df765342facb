//! Bytes written for each byte, once a full store has been overwritten for a while.

use emberkv_core::{Hints, Store};
use emberkv_tests::churn::{Aim, Rig, Shape, Sizes, Totals};

struct Outcome {
    totals: Totals,
    /// Mean live share of the sealed segments.
    share: f64,
    /// Fewest free segments.
    free_min: u32,
    key_count: u32,
}

/// Overwrites the device's bytes `turns` times after as many times that are not measured.
fn churn(shape: &Shape, sizes: Sizes, aim: Aim, turns: u64) -> Outcome {
    let device = shape.device();
    let mut arena = shape.arena(&device);
    let store = Store::format(device, &mut arena, &shape.config).expect("formats");
    let mut rig = Rig::new(store, sizes, 1);
    rig.fill(100).expect("fills");
    let mut aimer = rig.aimer(aim);
    let capacity = u64::from(shape.segments) * u64::from(shape.config.segment_bytes);
    for _ in 0..2 {
        rig.reset();
        while rig.totals().appended < turns * capacity {
            rig.overwrite(&mut aimer).expect("overwrites");
        }
    }
    let stats = rig.store.stats();
    let sealed = f64::from(stats.segments_sealed) * f64::from(stats.segment_bytes);
    let share = stats.live_cost as f64 / sealed;
    let (totals, key_count) = (rig.totals(), rig.key_count);
    Outcome { totals, share, free_min: stats.segments_free_min, key_count }
}

/// Amplification of uniform overwrites with victims of live share `share`: the mean share `u` of all segments satisfies
/// `u = (share - 1) / ln share` (the fill of a segment decays between two merges), and a merge copies `share` of it.
pub(crate) fn formula(mean: f64) -> f64 {
    let (mut least, mut most) = (1e-6, 1.0 - 1e-9);
    for _ in 0..100 {
        let share = f64::midpoint(least, most);
        if (share - 1.0) / share.ln() < mean { least = share } else { most = share }
    }
    1.0 / (1.0 - least)
}

/// Prints the table.
pub(crate) fn measure(turns: u64) {
    println!(
        "| segments | hints | value | keys chosen | live/sealed | log | device | formula | free |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (segments, segment_bytes) in [(64, 64 << 10), (256, 64 << 10), (64, 1 << 20)] {
        for (hints, value) in [(Hints::Omit, 100), (Hints::Write, 100), (Hints::Omit, 1000)] {
            for aim in [Aim::Uniform, Aim::Zipf, Aim::Level] {
                let mut shape = Shape::block(segments, segment_bytes).with_hints(hints);
                shape.config.frames = 1024;
                shape.config.keys_max = 600_000;
                let outcome = churn(&shape, Sizes::Of(value), aim, turns);
                println!(
                    "| {segments} x {} KiB | {hints:?} | {value} | {aim:?} | {:.3} | {:.2} | {:.2} | {:.2} | {} |",
                    segment_bytes >> 10,
                    outcome.share,
                    outcome.totals.log_amplification(),
                    outcome.totals.device_amplification(),
                    formula(outcome.share),
                    outcome.free_min,
                );
                assert!(outcome.key_count > 0, "there were keys");
            }
        }
    }
}
