//! Measures opening: keys per second by footers and by scan, from a warm file and from memory.
//!
//! `cargo bench -p emberkv-tests --bench open -- [KEYS] [VALUE_BYTES] [ROUNDS]`

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use emberkv_core::{Access, ArenaContent, BlockDevice, Config, Hints, Store, required_bytes};
use emberkv_file::{AlignedBuffer, FileDevice, Options};
use emberkv_memory::{MemoryDevice, Rules};

fn config(keys: u64, hints: Hints) -> Config {
    Config {
        frames: 4096,
        segment_bytes: 4 << 20,
        keys_max: u32::try_from(keys * 5 / 4).expect("keys fit"),
        hints,
        arena: ArenaContent::Zeroed,
        access: Access::ReadWrite,
        ..Config::default()
    }
}

fn fill<D: BlockDevice>(device: D, keys: u64, value_bytes: usize, hints: Hints) -> D {
    let config = config(keys, hints);
    let mut arena = AlignedBuffer::new(required_bytes(&config, &device.geometry()), 4096);
    let mut store = Store::format(device, &mut arena, &config).expect("formats");
    let value = vec![7; value_bytes];
    for index in 0..keys {
        let key = u128::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        store.put(&key.to_le_bytes(), &value).expect("puts");
    }
    store.close().expect("closes")
}

fn open<D: BlockDevice>(device: D, keys: u64, hints: Hints, what: &str) -> (D, f64) {
    let config = config(keys, hints);
    let mut arena = AlignedBuffer::new(required_bytes(&config, &device.geometry()), 4096);
    let start = Instant::now();
    let store = Store::open(device, &mut arena, &config).expect("opens");
    let seconds = start.elapsed().as_secs_f64();
    let stats = store.stats();
    assert_eq!(stats.keys, keys, "every key is there");
    println!(
        "{what}: {:.0} ms, {:.2} million keys/s ({} segments by hints, {} by scan)",
        seconds * 1e3,
        keys as f64 / seconds / 1e6,
        stats.opened_by_hints,
        stats.opened_by_scan
    );
    (store.into_device(), seconds)
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let keys = numbers.first().copied().unwrap_or(1_000_000);
    let value_bytes = numbers.get(1).copied().unwrap_or(100) as usize;
    let rounds = numbers.get(2).copied().unwrap_or(3);
    // What merging needs beside it, so that every put is let in.
    let live = keys * (value_bytes as u64 + 80) + (32 << 20);
    let capacity = (live * 3 / 2).next_multiple_of(4 << 20);
    println!("{keys} keys of 16 bytes, values of {value_bytes} bytes");
    for (hints, how) in [(Hints::Write, "by footers"), (Hints::Omit, "by scan   ")] {
        let bytes = vec![0; usize::try_from(capacity).expect("fits")];
        let memory = MemoryDevice::new(bytes, Rules::block(4096)).expect("fits");
        let mut memory = fill(memory, keys, value_bytes, hints);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("open.ember");
        let options = Options { capacity, capacity_max: capacity, ..Options::default() };
        let mut file =
            fill(FileDevice::create(&path, &options).expect("creates"), keys, value_bytes, hints);
        for _ in 0..rounds {
            memory = open(memory, keys, hints, &format!("{how}, memory")).0;
            file = open(file, keys, hints, &format!("{how}, file  ")).0;
        }
    }
}
