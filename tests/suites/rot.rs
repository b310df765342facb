//! Rot: every byte of small images is damaged, whole blocks and segments are wiped, the device is cut short. The right
//! value or `Corrupted`; never an older value, never "missing", never a panic.

#![expect(clippy::print_stdout, reason = "counts are part of a campaign's result")]

use emberkv_tests::sim::Ember;
use emberkv_tests::sim::canaries::{every_byte, rot_tapes};
use emberkv_tests::sim::profile::Setup;
use emberkv_tests::sim::rot::{Rot, RotCounts, campaign};

fn run(what: &str, damages: impl Fn(&Setup, u32) -> Vec<Rot>) -> RotCounts {
    let mut total = RotCounts::default();
    for tape in rot_tapes() {
        match campaign::<Ember>(&tape, None, &damages) {
            Ok(counts) => {
                total.unharmed += counts.unharmed;
                total.refused += counts.refused;
                total.detected += counts.detected;
                total.excused += counts.excused;
            }
            Err(problem) => panic!("[{}] {}", problem.class, problem.what),
        }
    }
    println!("{what}: {total:?}");
    total
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    let stride = if cfg!(debug_assertions) { 61 } else { 1 };
    let total = run("bytes", |setup, _| every_byte(setup, stride));
    assert!(total.refused + total.detected > 0 && total.unharmed > 0);
}

#[test]
fn every_wiped_segment_is_noticed_or_harmless() {
    let total = run("segments", |setup, first_segment| {
        let (capacity, step) = (setup.geometry().capacity as u32, setup.segment_bytes);
        let mut all = vec![Rot::Fill { start: 0, end: first_segment / 2, byte: 0 }];
        for start in (first_segment..capacity).step_by(step as usize) {
            for byte in [0, 0xff, 0x5a] {
                all.push(Rot::Fill { start, end: capacity.min(start + step), byte });
            }
        }
        all
    });
    assert!(total.refused + total.detected > 0);
}

#[test]
fn a_device_that_was_cut_short_is_noticed() {
    let total =
        run("cuts", |setup, _| (1..setup.segments).map(|segments| Rot::Cut { segments }).collect());
    assert_eq!(total.unharmed + total.detected + total.excused, 0, "{total:?}");
}
