//! Bytes written for each byte, in the steady state of a full store at `live_percent` 75.

use emberkv_core::{Hints, Store};
use emberkv_tests::churn::{Aim, Rig, Shape, Sizes};

/// Copied and appended bytes for each appended one, once the device's bytes were overwritten three times.
fn amplification(shape: &Shape, aim: Aim) -> f64 {
    let device = shape.device();
    let mut arena = shape.arena(&device);
    let store = Store::format(device, &mut arena, &shape.config).expect("formats");
    let mut rig = Rig::new(store, Sizes::Of(100), 1);
    rig.fill(100).expect("fills");
    let mut aimer = rig.aimer(aim);
    let capacity = u64::from(shape.segments) * u64::from(shape.config.segment_bytes);
    for turns in [3, 2] {
        rig.reset();
        while rig.totals().appended < turns * capacity {
            rig.overwrite(&mut aimer).expect("overwrites");
        }
    }
    assert!(rig.store.stats().segments_free_min > 0, "{:#?}", rig.store.stats());
    rig.totals().log_amplification()
}

#[test]
fn a_byte_is_written_little_more_than_twice_if_all_keys_are_alike_and_four_times_at_most() {
    for hints in [Hints::Omit, Hints::Write] {
        let mut shape = Shape::block(64, 64 << 10).with_hints(hints);
        shape.config.frames = 512;
        for (aim, most) in [(Aim::Uniform, 2.2), (Aim::Zipf, 3.0), (Aim::Level, 4.1)] {
            let measured = amplification(&shape, aim);
            println!("{hints:?}, {aim:?}: {measured:.2}");
            assert!(measured <= most, "{hints:?}, {aim:?}: {measured:.3} > {most}");
        }
    }
}
