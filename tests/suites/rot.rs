//! Rot: every byte of small images is damaged, whole blocks and segments are wiped, the device is cut short. The right
//! value or `Corrupted`; never an older value, never "missing", never a panic.

#![expect(clippy::print_stdout, reason = "counts are part of a campaign's result")]

use emberkv_tests::sim::Ember;
use emberkv_tests::sim::canaries::{every_byte, rot_tapes};
use emberkv_tests::sim::decay::{Counts, DecayBench, Image, scrub_under_load};
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

/// Block and flash, with hints and without, with merges and without.
fn images() -> Vec<Image> {
    let mut images = Vec::new();
    for profile in [0, 4, 6] {
        for hints in [true, false] {
            for rounds in [20, 60] {
                images.push(Image::new(profile, hints, rounds));
            }
        }
    }
    images
}

/// Flips with a stride; with `EMBERKV_ROT=bytes` a bit of every byte, with `EMBERKV_ROT=bits` every bit.
#[test]
fn a_degraded_store_answers_right_or_corrupted_and_a_salvage_shows_the_rest() {
    let wanted = std::env::var("EMBERKV_ROT").unwrap_or_default();
    let stride = match (wanted.as_str(), cfg!(debug_assertions)) {
        ("bytes" | "bits", _) => 1,
        (_, true) => 211,
        (_, false) => 23,
    };
    let mut bench = DecayBench::default();
    let mut merged = 0;
    let mut total = Counts::default();
    for image in images() {
        let mut counts = Counts::default();
        merged += image.merged;
        let flips: Vec<(u32, u8)> = if wanted == "bits" {
            (0..image.bytes()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))).collect()
        } else {
            (0..image.bytes()).step_by(stride).map(|at| (at, 1 << (at / 13 % 8))).collect()
        };
        for flip in flips {
            if let Err(what) = image.flip_mask(&mut bench, flip, &mut counts) {
                panic!("{}: {flip:?}: {what}", image.name);
            }
        }
        println!("{}: {counts:?}", image.name);
        total.degraded += counts.degraded;
        total.detected += counts.detected;
        total.right += counts.right;
        total.lost += counts.lost;
        total.lossy += counts.lossy;
    }
    assert!(merged > 0, "no image has merged segments");
    assert!(total.degraded > 0 && total.detected > 0 && total.right > 0, "{total:?}");
    assert!(total.lossy > 0 && total.lost == total.lossy, "{total:?}");
}

#[test]
fn a_scrub_goes_on_through_merges_and_sees_no_damage_where_there_is_none() {
    for (profile, hints) in [(0, true), (4, false), (4, true), (6, true)] {
        scrub_under_load(profile, hints).expect("a healthy store");
    }
}

#[test]
fn a_scrub_finds_every_flipped_byte_of_a_whole_group() {
    let mut bench = DecayBench::default();
    for (profile, hints) in [(0, true), (4, false)] {
        let image = Image::new(profile, hints, 9);
        let (found, bytes) = image.scrubbed(&mut bench).expect("it scrubs");
        assert_eq!(found, bytes, "{}", image.name);
    }
}
