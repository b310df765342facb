//! What `Db` does in a second, beside what the device does: durable puts, buffered puts, cached and
//! cold gets.
//!
//! `cargo bench -p emberkv --bench db -- [FILTER] [--dir DIRECTORY] [--seconds N]`; without
//! arguments a short run in a temporary directory.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use emberkv::{Batch, Db, Durability};
use emberkv_core::{BlockDevice, Durability as How};
use emberkv_file::{AlignedBuffer, FileDevice, Options};

/// What the command line chose.
struct Plan {
    filter: String,
    directory: PathBuf,
    time: Duration,
}

impl Plan {
    fn of_arguments() -> Self {
        let mut plan = Self {
            filter: String::new(),
            directory: std::env::temp_dir(),
            time: Duration::from_secs(1),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--dir" => plan.directory = arguments.next().expect("a directory").into(),
                "--seconds" => {
                    let seconds = arguments.next().expect("seconds");
                    plan.time = Duration::from_secs_f64(seconds.parse().expect("a number"));
                }
                "--bench" => {}
                filter => plan.filter = filter.to_owned(),
            }
        }
        plan
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What came of a run.
#[derive(Clone, Copy)]
struct Rate {
    calls: u64,
    time: Duration,
    /// Processor time of all threads: what a call costs on a machine that others use as well.
    cpu: Duration,
}

fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Runs `work`, which answers its calls, on so many threads until the time is over.
fn rate(threads: usize, time: Duration, work: impl Fn(usize, &mut Random) -> u64 + Sync) -> Rate {
    let cpu = cpu_time();
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, calls, work) = (&stop, &calls, &work);
            scope.spawn(move || {
                let mut random = Random(thread as u64 * 7919 + 1);
                let mut own = 0;
                while !stop.load(Ordering::Relaxed) {
                    own += work(thread, &mut random);
                }
                calls.fetch_add(own, Ordering::Relaxed);
            });
        }
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    Rate { calls: calls.into_inner(), time: begun.elapsed(), cpu: cpu_time() - cpu }
}

fn show(name: &str, rate: Rate, note: &str) {
    let Rate { calls, time, cpu } = rate;
    let (wall, cpu) = (time.as_secs_f64() / calls as f64, cpu.as_secs_f64() / calls as f64);
    let (each, cpu) = (wall * 1e6, cpu * 1e6);
    println!("{name:<32} {:>10.0} /s {each:>9.2} us each, {cpu:>6.2} us cpu  {note}", 1.0 / wall);
}

fn store(directory: &Path, durability: Durability) -> (tempfile::TempDir, Db) {
    let place = tempfile::tempdir_in(directory).expect("a directory");
    let db = Db::builder()
        .capacity(1 << 30)
        .max_capacity(8 << 30)
        .max_keys(4_000_000)
        .durability(durability)
        .open(place.path().join("bench.ember"))
        .expect("a store");
    (place, db)
}

/// Fills the pool and touches the keydir, so that the system has given memory to both: clearing it
/// is most of the time of the first writes of a process.
fn warm(db: &Db) {
    let mut random = Random(3);
    for _ in 0..100_000 {
        db.put(random.below(1_000_000).to_le_bytes(), [7; 1024]).expect("a put");
    }
    db.sync().expect("a sync");
}

fn bare(plan: &Plan) {
    if !plan.wants("bare") {
        return;
    }
    let place = tempfile::tempdir_in(&plan.directory).expect("a directory");
    let options = Options { capacity: 256 << 20, ..Options::default() };
    let device = FileDevice::create(place.path().join("bare"), &options).expect("a file");
    let buffer = AlignedBuffer::new(4096, 4096);
    let at = AtomicU64::new(0);
    let writes = rate(1, plan.time, |_, _| {
        let address = at.fetch_add(4096, Ordering::Relaxed) % (256 << 20);
        (&device).write(address, &[&buffer], How::Durable).expect("a write");
        1
    });
    show("bare durable writes of 4 KiB", writes, "");
    for threads in [1, 16] {
        let reads = rate(threads, plan.time, |_, random| {
            let mut buffer = AlignedBuffer::new(4096, 4096);
            for _ in 0..16 {
                (&device).read(random.below(65_536) * 4096, &mut buffer).expect("a read");
            }
            16
        });
        show(&format!("bare reads of 4 KiB, {threads} threads"), reads, "");
    }
}

/// One writer beside a bare loop of durable writes into a file of the same size, in turns, so that
/// both meet the same moods of the disk. The store's memory is warm before it counts.
fn beside_bare(plan: &Plan) {
    /// Calls of one side before it is the other's turn.
    const TURN: u32 = 16;
    const CACHE_BYTES: u64 = 4 << 20;
    for capacity in [1 << 30, 96 << 20] {
        let name = format!("durable puts beside bare, {} MiB", capacity >> 20);
        if !plan.wants(&name) {
            continue;
        }
        let place = tempfile::tempdir_in(&plan.directory).expect("a directory");
        let options = Options { capacity, ..Options::default() };
        let bare = FileDevice::create(place.path().join("bare"), &options).expect("a file");
        let db = Db::builder()
            .capacity(capacity)
            .max_capacity(capacity)
            .cache_bytes(CACHE_BYTES)
            .max_keys(100_000)
            .durability(Durability::Buffered)
            .open(place.path().join("bench.ember"))
            .expect("a store");
        let page = AlignedBuffer::new(4096, 4096);
        let mut random = Random(1);
        let (mut at, mut turn) = (0, 0);
        let mut times = [const { Vec::new() }; 2];
        let mut begun = Instant::now();
        let warm = CACHE_BYTES as u32 / 4096 / TURN * 2;
        while turn < warm || begun.elapsed() < plan.time * 2 {
            if turn == warm {
                times.iter_mut().for_each(Vec::clear);
                begun = Instant::now();
            }
            turn += 1;
            for _ in 0..TURN {
                let start = Instant::now();
                (&bare).write(at, &[&page], How::Durable).expect("a write");
                times[0].push(start.elapsed());
                at = (at + 4096) % capacity;
            }
            for _ in 0..TURN {
                let key = random.below(50_000).to_le_bytes();
                let start = Instant::now();
                db.put_durable(key, [7; 100]).expect("a put");
                times[1].push(start.elapsed());
            }
        }
        let [bare, puts] = times.map(|mut times| {
            times.sort_unstable();
            let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
            (1.0 / mean, times[times.len() / 2].as_micros(), times[times.len() * 99 / 100])
        });
        println!(
            "{name:<40} {:>6.0} /s, p50 {} us, p99 {:?}; bare {:.0} /s, p50 {} us, p99 {:?}: {:.1} %",
            puts.0,
            puts.1,
            puts.2,
            bare.0,
            bare.1,
            bare.2,
            100.0 * puts.0 / bare.0
        );
    }
}

fn durable(plan: &Plan) {
    for threads in [1, 4, 16, 64] {
        let name = format!("durable puts, {threads} threads");
        if !plan.wants(&name) {
            continue;
        }
        let (_place, db) = store(&plan.directory, Durability::Buffered);
        warm(&db);
        let before = db.stats().expect("figures").device;
        let puts = rate(threads, plan.time, |_, random| {
            let key = random.below(1_000_000).to_le_bytes();
            db.put_durable(key, [7; 100]).expect("a put");
            1
        });
        let after = db.stats().expect("figures").device;
        let writes = after.writes - before.writes + after.flushes - before.flushes;
        let each = puts.calls as f64 / writes as f64;
        show(&name, puts, &format!("{each:.1} puts a device call"));
    }
}

fn buffered(plan: &Plan) {
    for (threads, bytes) in [(1, 100), (2, 100), (1, 1024), (2, 1024)] {
        let name = format!("puts of {bytes} B, {threads} threads");
        if !plan.wants(&name) {
            continue;
        }
        let (_place, db) = store(&plan.directory, Durability::default());
        let value = vec![7; bytes];
        let puts = rate(threads, plan.time, |_, random| {
            for _ in 0..64 {
                db.put(random.below(500_000).to_le_bytes(), &value).expect("a put");
            }
            64
        });
        show(&name, puts, "");
    }
    if plan.wants("batches of 1000") {
        let (_place, db) = store(&plan.directory, Durability::default());
        let puts = rate(1, plan.time, |_, random| {
            let mut batch = Batch::new();
            for _ in 0..1000 {
                batch.put(random.below(500_000).to_le_bytes(), [7; 100]);
            }
            db.write(&batch).expect("a batch");
            1000
        });
        show("puts in batches of 1000", puts, "");
    }
}

/// One writer and two on the same warm store, in turns: the ratio is what counts, and a machine with
/// moods gives it more steadily than two runs do.
fn two_writers(plan: &Plan) {
    const TURN: Duration = Duration::from_millis(100);
    if !plan.wants("puts by two beside one") {
        return;
    }
    let (_place, db) = store(&plan.directory, Durability::default());
    warm(&db);
    let value = vec![7; 100];
    let mut sums = [(0, Duration::ZERO, Duration::ZERO); 2];
    let begun = Instant::now();
    while begun.elapsed() < plan.time * 2 {
        for (sum, threads) in sums.iter_mut().zip([1, 2]) {
            let puts = rate(threads, TURN, |_, random| {
                for _ in 0..64 {
                    db.put(random.below(500_000).to_le_bytes(), &value).expect("a put");
                }
                64
            });
            *sum = (sum.0 + puts.calls, sum.1 + puts.time, sum.2 + puts.cpu);
        }
    }
    let [one, two] = sums.map(|(calls, time, cpu)| Rate { calls, time, cpu });
    show("puts of 100 B, in turns, 1 thread", one, "");
    let ratio =
        two.calls as f64 / two.time.as_secs_f64() / one.calls as f64 * one.time.as_secs_f64();
    show("puts of 100 B, in turns, 2 threads", two, &format!("{ratio:.2} times one thread's"));
}

/// Two threads that put and get in turn.
fn mixed(plan: &Plan) {
    if !plan.wants("half puts, half gets") {
        return;
    }
    let (_place, db) = store(&plan.directory, Durability::default());
    warm(&db);
    for threads in [1, 2] {
        let calls = rate(threads, plan.time, |_, random| {
            for _ in 0..32 {
                db.put(random.below(200_000).to_le_bytes(), [7; 100]).expect("a put");
                db.get(random.below(200_000).to_le_bytes()).expect("a get");
            }
            64
        });
        show(&format!("half puts, half gets, {threads} threads"), calls, "");
    }
}

fn gets(plan: &Plan) {
    if plan.wants("cached gets") {
        let (_place, db) = store(&plan.directory, Durability::default());
        const KEYS: u64 = 200_000;
        for key in 0..KEYS {
            db.put(key.to_le_bytes(), [7; 100]).expect("a put");
        }
        db.sync().expect("a sync");
        for threads in [1, 2] {
            let gets = rate(threads, plan.time, |_, random| {
                for _ in 0..64 {
                    let value = db.get(random.below(KEYS).to_le_bytes()).expect("a get");
                    assert_eq!(value.expect("a value").len(), 100);
                }
                64
            });
            show(&format!("cached gets, {threads} threads"), gets, "");
        }
    }
    if plan.wants("cold gets") {
        let (_place, db) = store(&plan.directory, Durability::default());
        const KEYS: u64 = 600_000;
        for key in 0..KEYS {
            db.put(key.to_le_bytes(), [7; 1024]).expect("a put");
        }
        db.sync().expect("a sync");
        for threads in [1, 16] {
            let before = db.stats().expect("figures").device;
            let gets = rate(threads, plan.time, |_, random| {
                db.get(random.below(KEYS).to_le_bytes()).expect("a get").expect("a value");
                1
            });
            let reads = db.stats().expect("figures").device.reads - before.reads;
            let each = reads as f64 / gets.calls as f64;
            show(&format!("cold gets, {threads} threads"), gets, &format!("{each:.2} reads each"));
        }
        let gets = rate(1, plan.time, |_, random| {
            let keys: Vec<[u8; 8]> = (0..64).map(|_| random.below(KEYS).to_le_bytes()).collect();
            db.get_many(&keys).expect("values");
            64
        });
        show("cold get_many of 64", gets, "");
    }
}

fn main() {
    let plan = Plan::of_arguments();
    bare(&plan);
    beside_bare(&plan);
    durable(&plan);
    buffered(&plan);
    two_writers(&plan);
    mixed(&plan);
    gets(&plan);
}
