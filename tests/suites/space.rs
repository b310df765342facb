//! Space: a store grows with its data instead of refusing, and gives back what it does not need.

use emberkv_core::{BlockDevice, Config, Store, required_bytes};
use emberkv_file::{Access, FileDevice, IoMode, Options};
use emberkv_memory::{MemoryDevice, Rules};

fn config(segment_bytes: u32) -> Config {
    let (keys_max, seed) = (200_000, [3; 32]);
    Config { segment_bytes, frames: 256, keys_max, seed, ..Config::default() }
}

fn value(key: u32, round: u8) -> [u8; 200] {
    let mut value = [round; 200];
    value[..4].copy_from_slice(&key.to_le_bytes());
    value
}

fn fill<D: BlockDevice>(store: &mut Store<'_, D>, keys: u32, round: u8) {
    for key in 0..keys {
        store.put(&key.to_le_bytes(), &value(key, round)).expect("the device can grow");
    }
}

fn has_all<D: BlockDevice>(store: &mut Store<'_, D>, keys: u32, round: u8) {
    let mut buffer = [0; 256];
    for key in 0..keys {
        let found = store.get(&key.to_le_bytes(), &mut buffer).expect("nothing is damaged");
        assert_eq!(found, Some(&value(key, round)[..]), "{key}");
    }
    assert_eq!(store.stats().keys, u64::from(keys));
}

fn settle<D: BlockDevice>(store: &mut Store<'_, D>) {
    let mut steps = 0;
    while store.shrink_step(256 << 10).expect("shrinking works") {
        steps += 1;
        assert!(steps < 10_000, "it comes to an end");
    }
}

/// Grows from 1 MiB to what 60,000 keys need, overwrites, deletes nine tenths, and shrinks.
fn lives<D: BlockDevice>(device: D, config: &Config) -> D {
    let mut arena = vec![0; required_bytes(config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, config).expect("the device is blank");
    let first = store.stats().capacity;
    fill(&mut store, 60_000, 0);
    let full = store.stats();
    assert!(full.capacity > 10 * first, "it grew: {full:?}");
    for round in 1..4 {
        fill(&mut store, 60_000, round);
    }
    let overwritten = store.stats();
    let growth = overwritten.capacity as f64 / full.capacity as f64;
    assert!(growth < 1.05, "overwriting takes no more room: {growth}");
    for key in 6_000..60_000_u32 {
        assert!(store.delete(&key.to_le_bytes()).expect("deletes pass"));
    }
    settle(&mut store);
    let stats = store.stats();
    let slack = 12 * u64::from(config.segment_bytes);
    assert!(stats.capacity < stats.live_bytes * 16 / 10 + slack, "{stats:?}");
    assert!(stats.entries < 7_000, "the tombstones went: {stats:?}");
    has_all(&mut store, 6_000, 3);
    fill(&mut store, 20_000, 9);
    has_all(&mut store, 20_000, 9);
    store.close().expect("it closes")
}

fn reopens<D: BlockDevice>(device: D, config: &Config) {
    let mut arena = vec![0; required_bytes(config, &device.geometry())];
    let mut store = Store::open(device, &mut arena, config).expect("it is whole");
    has_all(&mut store, 20_000, 9);
    assert_eq!(store.check(|place| panic!("{place}")).expect("it can be read").damages, 0);
}

#[test]
fn a_device_that_can_grows_with_its_data_and_shrinks_with_it() {
    let bytes = vec![0; 64 << 20];
    let device = MemoryDevice::growable(bytes, Rules::block(512), 1 << 20).expect("rules");
    let config = config(64 << 10);
    let device = lives(device, &config);
    reopens(device, &config);
}

#[test]
fn a_file_grows_with_its_data_and_shrinks_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store");
    let options = Options { capacity: 1 << 20, capacity_max: 64 << 20, io: IoMode::Direct };
    let device = FileDevice::create(&path, &options).expect("a new file");
    let config = config(128 << 10);
    let device = lives(device, &config);
    let length = std::fs::metadata(&path).expect("it exists").len();
    assert_eq!(length, device.geometry().capacity);
    drop(device);
    let device = FileDevice::open_with(&path, Access::ReadWrite, &options).expect("it is there");
    reopens(device, &config);
}
