//! Overwriting the same keys over and over, synced each second: what it costs in time, in bytes
//! written to the device, in space, and in memory.
//!
//! Each store runs in a process of its own, so that its peak of memory is its own, the harness's few
//! MiB included. The thread that puts also syncs; a sync counts for the rate and has its own line,
//! it is no put. Bytes written are those of the block device (`/sys/dev/block/*/stat`), with
//! everything dirty written back, from the first overwrite to the end of the idle time: keep the
//! machine quiet.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{Headline, Plan, Slice, Table, Timeline, fill};
use crate::data::{KEY_BYTES, Order, Pattern, Zipf, key};
use crate::host::{self, Written};
use crate::measure::{Figure, RATE, TAIL, WORST, rate};
use crate::peer::{Family, Outcome, Peer, Space};

/// Its name on the command line.
pub const NAME: &str = "overwrite";

const VALUE_BYTES: usize = 1024;

/// The time between two syncs.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Parts of a run that are drawn.
const SLICE: Duration = Duration::from_millis(20);

/// How often the occupied space is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

const WRITTEN: &str = "device bytes per byte put";

const PEAK: &str = "disk / live, peak";

const SETTLED: &str = "disk / live, settled";

const LABELS: [&str; 10] = [
    RATE,
    "p50, us",
    "p99, us",
    TAIL,
    WORST,
    "longest sync, ms",
    WRITTEN,
    PEAK,
    SETTLED,
    "peak RSS, MiB",
];

const HEADLINES: &[Headline] = &[
    Headline::more(RATE),
    Headline::less(TAIL),
    Headline::less(WORST),
    Headline::less(WRITTEN),
    Headline::less(PEAK),
    Headline::less(SETTLED),
];

/// The patterns by name, as the child is told.
const PATTERNS: [&str; 2] = ["uniform", "zipf"];

/// Overwrites in both patterns.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    PATTERNS.into_iter().map(|pattern| table(plan, pattern)).collect()
}

fn table(plan: &Plan, pattern: &str) -> Outcome<Table> {
    let mut timelines: Vec<Timeline> = Vec::new();
    let columns = plan.rounds(&plan.stores(), |_, contender, _| {
        let directory = host::fresh_directory()?;
        let name = contender.name();
        let (figures, slices) = in_a_child(plan, name, pattern, directory.path())?;
        timelines.retain(|timeline| timeline.name != name);
        timelines.push(Timeline { name, slices });
        Ok(figures)
    })?;
    let scale = plan.scale;
    let notes = [
        "latencies of single puts; bytes of the block device until the end of the idle time",
        "disk: blocks of all files of the store; live: keys and values; ember does not grow: its \
         file is what its live data needs",
    ];
    Ok(Table {
        workload: NAME,
        row: pattern.to_owned(),
        title: format!(
            "{} keys of {VALUE_BYTES} B overwritten {} times, {pattern}, 1 thread, synced each \
             second, then {:?} idle",
            scale.churn_keys, scale.overwrites, scale.idle
        ),
        notes: notes.map(str::to_owned).to_vec(),
        headlines: HEADLINES,
        columns,
        timelines,
    })
}

fn in_a_child(
    plan: &Plan,
    store: &str,
    pattern: &str,
    directory: &Path,
) -> Outcome<(Vec<Figure>, Vec<Slice>)> {
    let scale = plan.scale;
    let output = Command::new(std::env::current_exe()?)
        .args(["--overwrite-alone", pattern, "--only", store, "--directory"])
        .arg(directory)
        .args(["--churn-keys", &scale.churn_keys.to_string()])
        .args(["--overwrites", &scale.overwrites.to_string()])
        .args(["--idle-ms", &scale.idle.as_millis().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the process that overwrites failed".into());
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let numbers = |value: &Value| -> Option<Vec<f64>> {
        value.as_array()?.iter().map(Value::as_f64).collect()
    };
    let values = numbers(&answer["figures"]).ok_or("no figures")?;
    let figures = LABELS.into_iter().zip(values);
    let slice = |value: &Value| {
        let [end_ms, p50_us, p99_us, max_us] = numbers(value)?.try_into().ok()?;
        Some(Slice { end_ms, p50_us, p99_us, max_us })
    };
    let slices: Option<Vec<Slice>> =
        answer["slices"].as_array().ok_or("no slices")?.iter().map(slice).collect();
    Ok((
        figures.map(|(label, value)| Figure { label, value }).collect(),
        slices.ok_or("a slice without its four numbers")?,
    ))
}

/// The child: overwrites in the first store of the plan, and prints what it saw.
///
/// # Errors
/// Those of the store; wrong values.
pub fn alone(plan: &Plan, pattern: &str, directory: &Path) -> Outcome<()> {
    let family = plan.families.first().ok_or("no store named")?;
    let pattern = match pattern {
        "zipf" => Pattern::Zipf(Zipf::new(plan.scale.churn_keys)),
        _ => Pattern::Uniform,
    };
    let seen = overwrite(plan, family.as_ref(), &pattern, directory)?;
    let slices: Vec<[f64; 4]> = seen
        .slices
        .iter()
        .map(|slice| [slice.end_ms, slice.p50_us, slice.p99_us, slice.max_us])
        .collect();
    println!("{}", json!({ "figures": seen.figures, "slices": slices }));
    Ok(())
}

/// What one session saw, in the order of [`LABELS`].
#[derive(Default)]
struct Seen {
    figures: Vec<f64>,
    slices: Vec<Slice>,
}

fn overwrite(
    plan: &Plan,
    family: &dyn Family,
    pattern: &Pattern,
    directory: &Path,
) -> Outcome<Seen> {
    let keys = plan.scale.churn_keys;
    let mut setup = plan.setup(directory, keys, VALUE_BYTES);
    setup.space = Space::Live;
    let pair_bytes = (KEY_BYTES + VALUE_BYTES) as f64;
    let live = keys as f64 * pair_bytes;
    let put_bytes = (keys * plan.scale.overwrites) as f64 * pair_bytes;
    let written = Written::below(directory)?;
    let mut seen = Seen::default();
    family.session(&setup, &mut |peer| {
        fill::puts(peer, &plan.values, keys, VALUE_BYTES)?;
        host::write_back();
        let before = written.bytes()?;
        let mut run = Run::new(plan)?;
        let peak = peak_while(directory, || run.all(peer, plan, pattern))?;
        std::thread::sleep(plan.scale.idle);
        let settled = host::occupied_bytes(directory);
        host::write_back();
        let bytes = written.bytes()? - before;
        run.verify(peer, plan)?;
        seen.figures = run.figures();
        seen.figures.extend([
            bytes as f64 / put_bytes,
            peak.max(settled) as f64 / live,
            settled as f64 / live,
            host::peak_memory_bytes()? as f64 / f64::from(1 << 20),
        ]);
        seen.slices = std::mem::take(&mut run.slices);
        Ok(())
    })?;
    Ok(seen)
}

/// Does `work` while another thread looks how much space the directory takes; answers the most.
fn peak_while(directory: &Path, work: impl FnOnce() -> Outcome<()>) -> Outcome<u64> {
    let done = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(host::occupied_bytes(directory), Ordering::Relaxed);
                std::thread::sleep(SAMPLE_EVERY);
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    })?;
    Ok(peak.into_inner())
}

/// The overwrites of one session.
struct Run {
    /// How often each key was overwritten: which value it has.
    versions: Vec<u32>,
    elapsed: Duration,
    longest_sync: Duration,
    all: Histogram<u64>,
    slice: Histogram<u64>,
    slices: Vec<Slice>,
}

impl Run {
    fn new(plan: &Plan) -> Outcome<Self> {
        Ok(Self {
            versions: vec![0; plan.scale.churn_keys as usize],
            elapsed: Duration::ZERO,
            longest_sync: Duration::ZERO,
            all: Histogram::new(3)?,
            slice: Histogram::new(3)?,
            slices: Vec::new(),
        })
    }

    fn value<'v>(&self, plan: &'v Plan, index: u64) -> &'v [u8] {
        let version = u64::from(self.versions[index as usize]);
        plan.values.of(index + version * plan.scale.churn_keys, VALUE_BYTES)
    }

    fn all(&mut self, peer: &dyn Peer, plan: &Plan, pattern: &Pattern) -> Outcome<()> {
        let keys = plan.scale.churn_keys;
        let mut order = Order::new(keys);
        let started = Instant::now();
        let (mut synced, mut slice_began) = (started, started);
        for _ in 0..keys * plan.scale.overwrites {
            let index = pattern.draw(&mut order, keys);
            self.versions[index as usize] += 1;
            let value = self.value(plan, index);
            let before = Instant::now();
            peer.put(&key(index), value)?;
            let now = Instant::now();
            self.record(now - before)?;
            if now - slice_began >= SLICE {
                slice_began = now;
                self.end_slice(now - started);
            }
            if now - synced >= SYNC_EVERY {
                self.sync(peer)?;
                synced = Instant::now();
            }
        }
        self.sync(peer)?;
        self.elapsed = started.elapsed();
        self.end_slice(self.elapsed);
        Ok(())
    }

    fn record(&mut self, latency: Duration) -> Outcome<()> {
        let nanos = latency.as_nanos() as u64;
        self.all.record(nanos)?;
        Ok(self.slice.record(nanos)?)
    }

    fn sync(&mut self, peer: &dyn Peer) -> Outcome<()> {
        let before = Instant::now();
        peer.sync()?;
        self.longest_sync = self.longest_sync.max(before.elapsed());
        Ok(())
    }

    fn end_slice(&mut self, end: Duration) {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        if !self.slice.is_empty() {
            self.slices.push(Slice {
                end_ms: end.as_secs_f64() * 1e3,
                p50_us: micros(self.slice.value_at_quantile(0.5)),
                p99_us: micros(self.slice.value_at_quantile(0.99)),
                max_us: micros(self.slice.max()),
            });
        }
        self.slice.reset();
    }

    fn figures(&self) -> Vec<f64> {
        let micros = |quantile: f64| self.all.value_at_quantile(quantile) as f64 / 1e3;
        vec![
            rate(self.all.len(), self.elapsed),
            micros(0.5),
            micros(0.99),
            micros(0.9999),
            self.all.max() as f64 / 1e3,
            self.longest_sync.as_secs_f64() * 1e3,
        ]
    }

    fn verify(&self, peer: &dyn Peer, plan: &Plan) -> Outcome<()> {
        for index in (0..plan.scale.churn_keys).step_by(11) {
            let want = self.value(plan, index);
            let mut same = false;
            peer.get(&key(index), &mut |value| same = value == want)?;
            if !same {
                return Err(format!("key {index} is missing or has a wrong value").into());
            }
        }
        Ok(())
    }
}
