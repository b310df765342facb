//! An adversary who ends sessions: what a merge was about to give back, its account and its place in the oldest segment are
//! lost, and the next session begins with a head that may be nearly full. The free segments do not run out, and every
//! overwrite is taken.

use emberkv_core::{BlockDevice as _, Config, Hints, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::churn::Shape;
use emberkv_tests::sim::rng::Rng;

/// Configurations, and sessions of each.
const CASES: u64 = 160;
const SESSIONS: u32 = 120;

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// After any number of overwrites.
    AtRandom,
    /// When a merge is as good as complete.
    LittleDebt,
    /// When one has just begun.
    MuchDebt,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    value_bytes: u32,
    end: End,
    seed: u64,
}

fn random_case(seed: u64) -> Case {
    let mut rng = Rng::for_place(&[0x7265_6f70, seed]);
    let segments = 12 + rng.below(40) as u32;
    let (rules, segment_bytes, page_bytes) = match rng.below(2) {
        0 => (Rules::block(512), 16 << 10, 1024),
        _ => (Rules::Nor { write_unit: 16, erase_unit: 4096 }, 8192, 1024),
    };
    let config = Config {
        segment_bytes,
        page_bytes,
        frames: 64,
        keys_max: 20_000,
        seed: [seed as u8; 32],
        hints: if rng.one_in(2) { Hints::Write } else { Hints::Omit },
        live_percent: 50 + rng.below(41) as u8,
        ..Config::default()
    };
    let most = segment_bytes / 8 - 64;
    let value_bytes =
        if rng.one_in(2) { most } else { 40 + rng.below(u64::from(most) - 40) as u32 };
    let end = [End::AtRandom, End::LittleDebt, End::MuchDebt][rng.index(3)];
    Case { shape: Shape { rules, segments, config }, value_bytes, end, seed }
}

/// Runs a case; the fewest free segments, or what went wrong. `None` where segments are too small to be merged.
fn run(case: &Case) -> Option<Result<u32, String>> {
    let mut device: MemoryDevice<Vec<u8>> = case.shape.device();
    let config = case.shape.config;
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut rng = Rng::new(case.seed);
    let value = vec![7; case.value_bytes as usize];
    let mut keys = 0_u32;
    let mut store = Store::format(&mut device, &mut arena, &config).ok()?;
    if store.stats().merge_gain_min == 0 {
        return None;
    }
    while store.put(&keys.to_le_bytes(), &value).is_ok() {
        keys += 1;
    }
    drop(store);
    let mut free_min = u32::MAX;
    let mut old = 0;
    for session in 0..SESSIONS {
        let mut store = match Store::open(&mut device, &mut arena, &config) {
            Ok(store) => store,
            Err(error) => return Some(Err(format!("open {session}: {error}"))),
        };
        let puts = 1 + rng.below(3 * u64::from(config.segment_bytes / case.value_bytes));
        for turn in 0..puts {
            // Random ones, and in turn: what was written longest ago.
            old += 1;
            let key = if session % 2 == 0 { rng.below(keys.into()) as u32 } else { old % keys };
            if let Err(error) = store.put(&key.to_le_bytes(), &value) {
                return Some(Err(format!("put {turn} of session {session}: {error}")));
            }
            let (debt, enough) = (store.merge_debt(), turn * 4 > puts);
            let over = match case.end {
                End::AtRandom => false,
                End::LittleDebt => {
                    enough && (1..u64::from(config.segment_bytes / 4)).contains(&debt)
                }
                End::MuchDebt => enough && debt > u64::from(config.segment_bytes),
            };
            if over {
                break;
            }
        }
        if rng.one_in(3) && store.sync().is_err() {
            return Some(Err(format!("sync of session {session}")));
        }
        free_min = free_min.min(store.stats().segments_free_min);
    }
    Some(if free_min == 0 {
        Err("there was a moment without a free segment".into())
    } else {
        Ok(free_min)
    })
}

fn campaign(make: impl Fn(u64) -> Case) -> (u32, Vec<(u64, String)>) {
    let (mut free_min, mut failures) = (u32::MAX, Vec::new());
    for seed in 1..=CASES {
        match run(&make(seed)) {
            Some(Ok(free)) => free_min = free_min.min(free),
            Some(Err(what)) => failures.push((seed, what)),
            None => {}
        }
    }
    (free_min, failures)
}

#[test]
fn sessions_that_end_in_the_middle_of_merges_never_use_up_the_free_segments() {
    let (free_min, failures) = campaign(random_case);
    println!("never fewer than {free_min} free");
    for (seed, what) in &failures {
        println!("case {seed}: {what} {:?}", random_case(*seed));
    }
    assert!(failures.is_empty());
}

/// The adversary can see: a cycle that starts two free segments later is too late.
#[cfg(feature = "canaries")]
#[test]
fn a_free_target_that_is_too_small_does_run_out_between_sessions() {
    use emberkv_core::canary::Canary;
    let seeded = |seed| {
        let mut case = random_case(seed);
        case.shape.config.canary = Some(Canary::FreeTargetTooSmall);
        case
    };
    let (_, failures) = campaign(seeded);
    println!("{} of {CASES} ran out; {:?}", failures.len(), failures.first());
    assert!(!failures.is_empty(), "nothing was seen of a free target that is too small");
}
