//! Canaries: seeded bugs that prove that the suites can see. Each must be found within a minute.

use std::time::{Duration, Instant};

use super::decay::{Counts, DecayBench, Image};
use super::engine::Engine;
use super::failure::Problem;
use super::inject;
use super::profile::{PROFILES, Setup};
use super::rot::{self, Rot};
use super::soak::{Campaign, run};
use super::tape::generate;
use super::timeline;

/// EmberKV's seeded bugs: all of `emberkv_core::canary::Canary` but `FreeTargetTooSmall`, which is for the suite `merge`: that
/// one counts free segments.
pub const CANARIES: [(&str, Hunt); 34] = [
    ("FuaOverBuffered", Hunt::Crash),
    ("IncarnationReuse", Hunt::Crash),
    ("ResumeAsCorrupt", Hunt::Crash),
    ("HeaderLost", Hunt::Rot),
    ("SeqReuse", Hunt::Crash),
    ("StopAtFirstBad", Hunt::Crash),
    ("RotAsTorn", Hunt::Rot),
    ("NoRecoverFlush", Hunt::Crash),
    ("AppendAfterTorn", Hunt::Crash),
    ("NoBatchCommit", Hunt::Crash),
    ("KeyBeforeCrc", Hunt::Crash),
    ("HintUnverified", Hunt::Rot),
    ("SkipBad", Hunt::Rot),
    ("FlushRetry", Hunt::Errors),
    ("NoSalt", Hunt::CrashOn("block512")),
    ("RollNoFlush", Hunt::Crash),
    ("NoMark", Hunt::Rot),
    ("AckBeforeFlush", Hunt::Crash),
    ("WriteErrorSwallowed", Hunt::Errors),
    ("HeaderUnproven", Hunt::Crash),
    ("FreeBeforeDurable", Hunt::Crash),
    ("DropTombstone", Hunt::Crash),
    ("MergeBumpsSeq", Hunt::Crash),
    ("MergeRaw", Hunt::Crash),
    ("AnnouncementIgnored", Hunt::Crash),
    ("AnnounceBeforeCopies", Hunt::Crash),
    ("CopyWithoutHint", Hunt::Crash),
    ("KeepFreedInBitmap", Hunt::Crash),
    ("NoAdmission", Hunt::Crash),
    ("NoOldFlag", Hunt::Crash),
    ("LiveAtRead", Hunt::Crash),
    ("RotDropped", Hunt::Decay),
    ("FreeBeforeSuperseder", Hunt::Crash),
    ("ReissueOnNor", Hunt::Crash),
    // Not TrustBlank: it shows only where a free segment's first page is in the pool when that segment is opened, which the
    // hunts do not reach any more.
];

/// Where a bug shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hunt {
    /// In crash images.
    Crash,
    /// In crash images of one medium: what only reordering shows is rare among those of all.
    CrashOn(&'static str),
    /// In damaged images.
    Rot,
    /// Under device errors.
    Errors,
    /// In the later life of damaged images.
    Decay,
}

/// How a bug was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// By which campaign.
    pub by: Hunt,
    /// After how many images or runs of it.
    pub images: u64,
    /// After how long.
    pub after: Duration,
    /// What it looked like, with its replay line if it was a crash.
    pub what: String,
}

/// Hunts a seeded bug, where it is expected first, then everywhere.
#[must_use]
pub fn hunt<E: Engine>(bug: &'static str, first: Hunt, limit: Duration) -> Option<Found> {
    let start = Instant::now();
    let mut order = vec![first];
    order.extend([Hunt::Crash, Hunt::Rot, Hunt::Errors].into_iter().filter(|&hunt| hunt != first));
    for by in order {
        let left = limit.saturating_sub(start.elapsed());
        // The crash campaign has no end of its own: where it is not expected to find, others must have their turn.
        let left = if by == first { left.mul_f32(0.8) } else { left.mul_f32(0.5) };
        let found = match by {
            Hunt::Crash => crash::<E>(bug, left, None),
            Hunt::CrashOn(name) => crash::<E>(bug, left, Some(name)),
            Hunt::Rot => rot_images::<E>(bug, left),
            Hunt::Errors => errors::<E>(bug, left),
            Hunt::Decay => decayed(bug, left),
        };
        if let Some((images, what)) = found {
            return Some(Found { by, images, after: start.elapsed(), what });
        }
    }
    None
}

fn crash<E: Engine>(
    bug: &'static str,
    time: Duration,
    medium: Option<&str>,
) -> Option<(u64, String)> {
    let campaign = Campaign {
        seed: 1,
        workers: 2,
        images: u64::MAX,
        time,
        bug: Some(bug),
        profile: medium.and_then(|name| PROFILES.iter().position(|profile| profile.name == name)),
        ignore: "",
    };
    let outcome = run::<E>(&campaign);
    outcome.failure.map(|failure| (outcome.tally.images, failure.to_string()))
}

fn print(problem: &Problem) -> String {
    format!("[{}] {}", problem.class, problem.what)
}

fn rot_images<E: Engine>(bug: &'static str, time: Duration) -> Option<(u64, String)> {
    let start = Instant::now();
    let mut images = 0;
    for tape in rot_tapes() {
        if start.elapsed() > time {
            break;
        }
        match rot::campaign::<E>(&tape, Some(bug), |setup, _| every_byte(setup, 3)) {
            Ok(counts) => {
                images += counts.unharmed + counts.refused + counts.detected + counts.excused
            }
            Err(problem) => return Some((images, print(&problem))),
        }
    }
    None
}

/// Damaged images of EmberKV that are opened to go on behind the damage.
fn decayed(bug: &'static str, time: Duration) -> Option<(u64, String)> {
    let start = Instant::now();
    let (mut bench, mut counts, mut images) = (DecayBench::default(), Counts::default(), 0);
    for (profile, hints) in [(0, true), (4, true), (6, true)] {
        let image = Image::with_bug(profile, hints, 60, Some(bug));
        for at in (0..image.bytes()).step_by(5) {
            if start.elapsed() > time {
                return None;
            }
            images += 1;
            let flipped = timeline::catch(|| image.flip(&mut bench, at, &mut counts));
            let what = match flipped {
                Ok(Ok(())) => continue,
                Ok(Err(what)) => what,
                Err(panic) => timeline::panic_text(panic.as_ref()),
            };
            return Some((images, what));
        }
    }
    None
}

fn errors<E: Engine>(bug: &'static str, time: Duration) -> Option<(u64, String)> {
    let start = Instant::now();
    let mut runs = 0;
    for tape in inject::workloads() {
        if start.elapsed() > time {
            break;
        }
        match inject::campaign::<E>(&tape, Some(bug), 1) {
            Ok(counts) => runs += counts.runs,
            Err(problem) => return Some((runs, print(&problem))),
        }
    }
    None
}

/// One flip in every `stride`-th byte, then every commit unit wiped.
///
/// Not more at once: damage over all of the newest groups and the mark of the clean close behind them leaves nothing
/// that could tell of them.
#[must_use]
pub fn every_byte(setup: &Setup, stride: usize) -> Vec<Rot> {
    let capacity = setup.geometry().capacity as u32;
    let flip = |at: u32| Rot::Flip { at, mask: 1 << (at / stride as u32 % 8) };
    let mut all: Vec<Rot> = (0..capacity).step_by(stride).map(flip).collect();
    let unit = setup.geometry().commit_unit();
    for start in (0..capacity).step_by(unit as usize * stride.div_ceil(8)) {
        for byte in [0, 0xff] {
            all.push(Rot::Fill { start, end: start + unit, byte });
        }
    }
    all
}

/// The images of the rot suite: overwrites and deletes over several segments; closed cleanly, and only synced.
#[must_use]
pub fn rot_tapes() -> Vec<Vec<u8>> {
    let mut tapes = Vec::new();
    // A log that went round, in the middle of a cycle: overwrites of all keys, deletes, a few steps of a merge.
    for profile in [0_u8, 4] {
        tapes.push(vec![
            profile, 0x10, 0, 0xdf, 2, 40, 200, 0xdf, 3, 12, 90, 0xdf, 1, 20, 250, 0xd8, 0x50,
            0xda, 0x01, 9, 1,
        ]);
    }
    for profile in [0_u8, 4, 6, 2] {
        for closed in [true, false] {
            let mut tape = vec![profile, 0x10, 0];
            // Puts of every key with sync, growing, then overwrites, deletes and a batch.
            for round in 0..3_u8 {
                for key in 0..8_u8 {
                    tape.extend_from_slice(&[0x10 | key << 1, 40 + 50 * round + key, 1]);
                    if key % 3 == 0 {
                        tape.push(0x50);
                    }
                }
                tape.extend_from_slice(&[0x30 | (round << 1), 0x50]);
            }
            tape.extend_from_slice(&[0x20 | 6 << 1, 60, 1, 0x50]);
            tape.extend_from_slice(&[0x40, 2, 1, 30, 8 | 4, 5, 20, 0x50]);
            tape.extend_from_slice(&[0x06, 33, 1, 0x50]);
            if closed {
                tape.push(0x80);
            }
            tapes.push(tape);
        }
    }
    // And one from a seed, for what the hand did not think of.
    let mut wild = generate(77, Some(0));
    wild.retain(|&byte| byte >> 4 != 10);
    wild.push(0x80);
    tapes.push(wild);
    tapes
}
