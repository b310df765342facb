//! An adversary who sees where every record lies, on random configurations: the free segments never run out, and no call
//! does more than the proof allows.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use emberkv_core::{BlockDevice, Config, Error, Hints, Store};
use emberkv_memory::Rules;
use emberkv_tests::churn::{Aim, Bound, Call, Rig, Shape, Sizes};
use emberkv_tests::sim::rng::Rng;

/// Configurations.
const CASES: u64 = 600;
/// Each overwrites as many bytes as this many times its device.
const TURNS: u64 = 2;

/// How calls are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Puts,
    /// A sync after each put.
    Synced,
    /// A sync after some.
    SometimesSynced,
    /// Batches of up to half a segment.
    Batches,
    /// Values of several records.
    Chunked,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    sizes: Sizes,
    aim: Aim,
    style: Style,
    percent: u64,
    seed: u64,
}

/// The worst that was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Worst {
    free_min: u32,
    /// Work of a call, in percent of what it may be.
    work_percent: u64,
    /// Bytes on the device, in percent of what they may be.
    device_percent: u64,
    amplification: f64,
    calls: u64,
}

impl Worst {
    fn join(&mut self, other: &Self) {
        self.free_min = self.free_min.min(other.free_min);
        self.work_percent = self.work_percent.max(other.work_percent);
        self.device_percent = self.device_percent.max(other.device_percent);
        self.amplification = self.amplification.max(other.amplification);
        self.calls += other.calls;
    }
}

fn random_case(seed: u64) -> Case {
    let mut rng = Rng::for_place(&[0x6d65_7267, seed]);
    let segments = 12 + rng.below(12) as u32 * [1, 4, 22][rng.index(3)];
    let live_percent = 30 + rng.below(61) as u8;
    let (rules, segment_bytes, page_bytes): (_, u32, u32) = match rng.below(3) {
        0 => (Rules::block(512), 16 << 10 << rng.below(3), 1024 << rng.below(3)),
        1 => (Rules::block_with_durable_writes(512), 32 << 10 << rng.below(2), 4096),
        _ => {
            let write_unit = 4 << rng.below(5);
            (
                Rules::Nor { write_unit, erase_unit: 4096 },
                4096 << rng.below(5),
                1024 << rng.below(2),
            )
        }
    };
    let page_bytes = page_bytes.min(segment_bytes / 4);
    let hints = if rng.one_in(2) { Hints::Write } else { Hints::Omit };
    let config = Config {
        segment_bytes,
        page_bytes,
        frames: [64, 128, 256][rng.index(3)],
        keys_max: 200_000,
        seed: [seed as u8; 32],
        hints,
        live_percent,
        ..Config::default()
    };
    let shape = Shape { rules, segments, config };
    let record_max = (segment_bytes / 8).min(12 * page_bytes);
    let single = record_max - 64;
    let style = match rng.below(6) {
        0 => Style::Synced,
        1 => Style::SometimesSynced,
        2 => Style::Batches,
        3 => Style::Chunked,
        _ => Style::Puts,
    };
    // Large devices get large records, so that every case is about as much work.
    let least = 16 + segments * segment_bytes / 40_000;
    let sizes = match rng.below(4) {
        _ if style == Style::Chunked => Sizes::Between(single / 2, 3 * single),
        0 => Sizes::Of(single),
        1 => Sizes::Of((least + rng.below(80) as u32).min(single)),
        2 => Sizes::Between(least.min(single), (least + 280).min(single)),
        _ => Sizes::Between(least.min(single), single),
    };
    let aim = match rng.below(8) {
        0 => Aim::Uniform,
        1 => Aim::Zipf,
        2 => Aim::InTurn,
        3 | 4 => Aim::Bursts,
        _ => Aim::Level,
    };
    // A chunked value's new chunks must fit beside its old ones.
    let percent = if style == Style::Chunked { 80 } else { 100 };
    Case { shape, sizes, aim, style, percent, seed }
}

/// Records of which a segment holds a few, with nearly one more's room left over at its end: what a cycle may waste it does
/// waste, so that the copies of the sweep find no slack.
fn tight_case(seed: u64) -> Case {
    let mut rng = Rng::for_place(&[0x7469_6768, seed]);
    let mut case = random_case(seed);
    let (rules, segment_bytes): (_, u32) = match rng.below(2) {
        0 => (Rules::block(512), 16 << 10 << rng.below(2)),
        _ => (Rules::Nor { write_unit: 4, erase_unit: 4096 }, 8 << 10 << rng.below(2)),
    };
    case.shape.rules = rules;
    case.shape.segments = 12 + rng.below(60) as u32;
    let config = &mut case.shape.config;
    (config.segment_bytes, config.page_bytes) = (segment_bytes, 1024);
    config.live_percent = 60 + rng.below(31) as u8;
    let share = segment_bytes / (8 + rng.below(4) as u32);
    let bytes = share / 100 * (88 + rng.below(13) as u32);
    case.sizes = Sizes::Of(bytes.min(segment_bytes / 8 - 64));
    case.style = [Style::Puts, Style::Synced, Style::Batches][rng.index(3)];
    case.aim = [Aim::Level, Aim::Level, Aim::Uniform, Aim::InTurn, Aim::Bursts][rng.index(5)];
    case.percent = 100;
    case
}

fn any_case(seed: u64) -> Case {
    if seed % 5 == 0 { tight_case(seed) } else { random_case(seed) }
}

/// Runs a case; says what went wrong. `None` where segments are too small to be merged.
fn run(case: &Case) -> Option<Result<Worst, String>> {
    let device = case.shape.device();
    let geometry = device.geometry();
    let mut arena = case.shape.arena(&device);
    let store = match Store::format(device, &mut arena, &case.shape.config) {
        Ok(store) => store,
        Err(Error::Config { .. }) => return None,
        Err(error) => return Some(Err(format!("format: {error}"))),
    };
    if store.stats().merge_gain_min == 0 {
        return None;
    }
    let bound = Bound::new(&case.shape.config, &geometry, &store.stats());
    let mut rig = Rig::new(store, case.sizes, case.seed);
    Some(churn(&mut rig, case, &bound).map_err(|error| {
        let mut text = error;
        let _ = write!(text, "\n{case:#?}\n{:#?}", rig.store.stats());
        text
    }))
}

fn churn(rig: &mut Rig<'_>, case: &Case, bound: &Bound) -> Result<Worst, String> {
    rig.fill(case.percent).map_err(|error| format!("filling: {error}"))?;
    let mut aimer = rig.aimer(case.aim);
    let capacity = u64::from(case.shape.segments) * u64::from(case.shape.config.segment_bytes);
    let half = case.shape.config.segment_bytes / 2;
    let mut worst = Worst::default();
    // What the calls before may have left to be paid for: they were not metered.
    let mut before = u64::from(case.shape.config.segment_bytes);
    rig.reset();
    while rig.totals().appended < TURNS * capacity {
        let call = if case.style == Style::Batches {
            rig.overwrite_batch(&mut aimer, half)
        } else {
            rig.overwrite(&mut aimer)
        };
        let call = call.map_err(|error| format!("call {}: {error}", worst.calls))?;
        judge(&mut worst, bound, &call, before)?;
        before = call.appended;
        let sync = match case.style {
            Style::Synced => true,
            Style::SometimesSynced => rig.rng().one_in(17),
            _ => false,
        };
        if sync {
            let call = rig.sync().map_err(|error| format!("sync {}: {error}", worst.calls))?;
            before += call.appended;
        }
    }
    worst.free_min = rig.store.stats().segments_free_min;
    worst.amplification = rig.totals().log_amplification();
    if worst.free_min == 0 {
        return Err("there was a moment without a free segment".into());
    }
    rig.verify();
    Ok(worst)
}

fn judge(worst: &mut Worst, bound: &Bound, call: &Call, before: u64) -> Result<(), String> {
    worst.calls += 1;
    let (work_max, device_max) = (bound.work_max(call, before), bound.device_max(call, before));
    let moved = call.read + call.written;
    worst.work_percent = worst.work_percent.max(call.work * 100 / work_max);
    worst.device_percent = worst.device_percent.max(moved * 100 / device_max);
    if call.work > work_max || moved > device_max {
        let text = format!("work {} of {work_max}, device {moved} of {device_max}", call.work);
        return Err(format!("call {} is beyond its bound: {text}: {call:?}", worst.calls));
    }
    Ok(())
}

/// Runs cases until `wanted` of them were of a kind that merges; the seeds of those that failed, with what went wrong.
fn campaign(wanted: u64, make: impl Fn(u64) -> Case + Sync) -> (Worst, Vec<(u64, String)>) {
    let (next, done) = (AtomicU64::new(1), AtomicU64::new(0));
    let result = Mutex::new((Worst { free_min: u32::MAX, ..Worst::default() }, Vec::new()));
    let work = || {
        while done.load(Ordering::Relaxed) < wanted {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let Some(outcome) = run(&make(seed)) else { continue };
            done.fetch_add(1, Ordering::Relaxed);
            let mut result = result.lock().expect("no thread panics with it");
            match outcome {
                Ok(worst) => result.0.join(&worst),
                Err(text) => result.1.push((seed, text)),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    result.into_inner().expect("no thread panics with it")
}

#[test]
fn free_segments_never_run_out_and_no_call_exceeds_its_bound() {
    // A failure names its seed: with this variable it runs alone.
    let alone = std::env::var("EMBER_MERGE_CASE").ok().and_then(|text| text.parse().ok());
    let (worst, failures) = match alone {
        Some(seed) => campaign(1, |_| any_case(seed)),
        None => campaign(CASES + CASES / 4, any_case),
    };
    println!("{worst:?}");
    for (seed, text) in &failures {
        println!("EMBER_MERGE_CASE={seed}: {text}");
    }
    let seeds: Vec<u64> = failures.iter().map(|&(seed, _)| seed).collect();
    assert!(seeds.is_empty(), "{seeds:?}");
}

/// Configurations with a free target that is too small.
#[cfg(feature = "canaries")]
const CASES_TOO_SMALL: u64 = 60;

/// The adversary can see: with a free target that is two smaller it wins. (With one that is one smaller it does not: the
/// proof is not tight, see DESIGN.md.)
#[cfg(feature = "canaries")]
#[test]
fn a_free_target_that_is_too_small_does_run_out() {
    use emberkv_core::canary::Canary;
    let seeded = |seed| {
        let mut case = any_case(seed);
        case.shape.config.canary = Some(Canary::FreeTargetTooSmall);
        case
    };
    let (_, failures) = campaign(CASES_TOO_SMALL, seeded);
    let ran_out = |(_, text): &&(u64, String)| {
        text.contains("without a free segment") || text.contains("the store is full")
    };
    let count = failures.iter().filter(ran_out).count();
    println!("{count} of {CASES_TOO_SMALL} ran out: {:?}", failures.first());
    assert!(count > 0, "the adversary saw nothing of a free target that is too small");
}
