//! Measures durable puts beside a bare loop of durable overwrites of as many bytes, in turn on the same disk, so that both
//! meet the same moods of it.
//!
//! `cargo bench -p emberkv-tests --bench durable -- [PUTS] [VALUE_BYTES]`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use emberkv::{HostLimits, host_config};
use emberkv_core::{BlockDevice, Config, Store, required_bytes};
use emberkv_file::{AlignedBuffer, FileDevice, Options};
use rustix::fs::OFlags;

/// What a durable put of a small record writes: the commit unit of today's disks.
const UNIT: usize = 4096;
/// The pool: small, so that the system has given memory to all of it before the measurement begins.
const CACHE_BYTES: u64 = 4 << 20;
/// What a store of 1 GiB or more chooses; the file here is only smaller to save time.
const SEGMENT_BYTES: u32 = 4 << 20;
/// Operations of one side before it is the other's turn.
const TURN: u64 = 16;

/// A file that was written once, with every write durable when it returns.
fn bare_file(path: &Path, bytes: u64) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::DIRECT.bits() as i32);
    let file = options.clone().create_new(true).open(path).expect("creates");
    let mut buffer = AlignedBuffer::new(1 << 20, UNIT);
    buffer.fill(0xe5);
    for at in (0..bytes).step_by(1 << 20) {
        file.write_all_at(&buffer, at).expect("writes");
    }
    file.sync_all().expect("syncs");
    let flags = OFlags::DIRECT | OFlags::DSYNC;
    options.custom_flags(flags.bits() as i32).open(path).expect("opens")
}

fn report(name: &str, times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let rate = times.len() as f64 / total.as_secs_f64();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_micros();
    println!(
        "{name}: {rate:8.0}/s, p10 {} us, p50 {} us, p90 {} us, p99 {} us, max {} us",
        at(0.1),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    rate
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let puts = numbers.first().copied().unwrap_or(4000);
    let value = vec![7; numbers.get(1).copied().unwrap_or(100) as usize];
    let folder = tempfile::tempdir().expect("a folder");
    let capacity = (puts * 2 * UNIT as u64 + (80 << 20)).next_multiple_of(4 << 20);
    let bare = bare_file(&folder.path().join("bare"), capacity);

    let options = Options { capacity, capacity_max: capacity, ..Options::default() };
    let device = FileDevice::create(folder.path().join("durable.ember"), &options).expect("file");
    let limits = HostLimits { memory_bytes: 1 << 30, cache_bytes: CACHE_BYTES };
    let config =
        Config { segment_bytes: SEGMENT_BYTES, ..host_config(&device.geometry(), &limits) };
    let mut arena = AlignedBuffer::new(required_bytes(&config, &device.geometry()), UNIT);
    let mut store = Store::format(device, &mut arena, &config).expect("formats");

    let mut page = AlignedBuffer::new(UNIT, UNIT);
    page.fill(0x33);
    let (mut bare_times, mut put_times) = (Vec::new(), Vec::new());
    let warm = CACHE_BYTES / UNIT as u64 / TURN + 1;
    for turn in 0..warm + puts.div_ceil(TURN) {
        let operations = turn * TURN..(turn + 1) * TURN;
        if turn == warm {
            bare_times.clear();
            put_times.clear();
        }
        for operation in operations.clone() {
            let start = Instant::now();
            bare.write_all_at(&page, operation * UNIT as u64).expect("writes");
            bare_times.push(start.elapsed());
        }
        for operation in operations {
            let start = Instant::now();
            store.put(&operation.to_le_bytes(), &value).expect("puts");
            store.sync().expect("syncs");
            put_times.push(start.elapsed());
        }
    }
    println!("{} durable puts of {} bytes, in turns of {TURN}", put_times.len(), value.len());
    let bare_rate = report("bare overwrites", &mut bare_times);
    let put_rate = report("durable puts   ", &mut put_times);
    println!("{:.1} % of the device", put_rate / bare_rate * 100.0);
}
