//! Snapshots: what they see does not change, through writes, merges and the reuse of segments.

use std::collections::BTreeMap;

use emberkv_core::{
    BlockDevice, Config, Cursor, Error, Hints, SnapshotPressure, Store, required_bytes,
};
use emberkv_memory::{MemoryDevice, Rules};

type Device = MemoryDevice<Vec<u8>>;
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn config() -> Config {
    Config {
        segment_bytes: 16 << 10,
        page_bytes: 1024,
        frames: 96,
        keys_max: 4000,
        key_bytes_max: 64,
        snapshots_max: 8,
        versions_max: 2000,
        seed: [9; 32],
        ..Config::default()
    }
}

fn device(bytes: usize) -> Device {
    MemoryDevice::new(vec![0; bytes], Rules::block(512)).expect("the rules are valid")
}

fn with_store<R>(config: &Config, device: Device, run: impl FnOnce(Store<'_, Device>) -> R) -> R {
    let mut arena = vec![0; required_bytes(config, &device.geometry())];
    run(Store::open_or_format(device, &mut arena, config).expect("it opens"))
}

fn seen(store: &mut Store<'_, Device>, snapshot: emberkv_core::SnapshotId) -> Model {
    let mut model = Model::new();
    store
        .fold(snapshot, |key, value| {
            assert!(model.insert(key.to_vec(), value.to_vec()).is_none(), "met once");
        })
        .expect("the snapshot can be read");
    let (mut cursor, mut buffer, mut again) = (Cursor::default(), vec![0; 70_000], Model::new());
    while let Some((key, value)) =
        store.next_at(snapshot, &mut cursor, &mut buffer).expect("the snapshot can be read")
    {
        again.insert(key.to_vec(), value.to_vec());
    }
    assert_eq!(again, model, "both ways see the same");
    model
}

/// Versions a@1, b@1, a@3, d@2 and, behind the snapshot, a deleted, c put, d deleted.
#[test]
fn a_snapshot_sees_what_was_there_when_it_was_taken() {
    with_store(&config(), device(1 << 20), |mut store| {
        let put = |store: &mut Store<'_, Device>, key: &str, value: &str| {
            store.put(key.as_bytes(), value.as_bytes()).expect("there is room");
        };
        put(&mut store, "b", "1");
        put(&mut store, "d", "2");
        put(&mut store, "a", "3");
        store.delete(b"d").expect("there is room");
        let at_three = store.snapshot().expect("there is a place");
        store.delete(b"a").expect("there is room");
        put(&mut store, "c", "4");
        let at_four = store.snapshot().expect("there is a place");
        let model = |pairs: &[(&str, &str)]| -> Model {
            let owned = |text: &str| text.as_bytes().to_vec();
            pairs.iter().map(|(key, value)| (owned(key), owned(value))).collect()
        };
        for _ in 0..2 {
            assert_eq!(seen(&mut store, at_three), model(&[("a", "3"), ("b", "1")]));
            assert_eq!(seen(&mut store, at_four), model(&[("b", "1"), ("c", "4")]));
            while store.merge_step(1 << 20).expect("merging works") {}
        }
        store.release(at_three).expect("it is held");
        assert_eq!(store.release(at_three), Err(Error::SnapshotGone));
        assert_eq!(store.get_at(at_three, b"a", &mut [0; 8]).map(|_| ()), Err(Error::SnapshotGone));
    });
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

#[test]
fn snapshots_are_exact_through_merges_and_segment_reuse() {
    for (seed, hints) in [(1, Hints::Write), (2, Hints::Omit), (3, Hints::Write)] {
        let config = Config { hints, ..config() };
        with_store(&config, device(640 << 10), |mut store| {
            let (mut random, mut model) = (Random(seed), Model::new());
            let mut held = Vec::new();
            for _ in 0..60_000 {
                let key = random.below(300).to_le_bytes().to_vec();
                match random.below(100) {
                    0..20 => match store.delete(&key) {
                        Ok(_) => drop(model.remove(&key)),
                        // What is deleted stays for a snapshot, and there is no room beside it.
                        Err(Error::Full | Error::VersionsFull { .. }) if !held.is_empty() => {}
                        Err(error) => panic!("{error}"),
                    },
                    20..98 => {
                        let bytes = [10, 100, 400, 3000][random.below(40).min(3) as usize];
                        let value = vec![random.below(256) as u8; bytes as usize];
                        match store.put(&key, &value) {
                            Ok(()) => drop(model.insert(key, value)),
                            Err(Error::Full | Error::VersionsFull { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    98 if held.len() < 6 => {
                        held.push((store.snapshot().expect("there is a place"), model.clone()));
                    }
                    98 => {}
                    _ if !held.is_empty() => {
                        let index = random.below(held.len() as u64) as usize;
                        let (snapshot, then) = held.swap_remove(index);
                        assert_eq!(seen(&mut store, snapshot), then);
                        store.release(snapshot).expect("it is held");
                    }
                    _ => {}
                }
            }
            assert!(store.stats().segments_merged > 200, "{}", store.stats().segments_merged);
            for (snapshot, then) in held.drain(..) {
                assert_eq!(seen(&mut store, snapshot), then);
                store.release(snapshot).expect("it is held");
            }
            while store.merge_step(1 << 20).expect("merging works") {}
            assert_eq!(store.stats().versions, 0);
            let live_cost = store.stats().live_cost;
            let device = store.close().expect("it closes");
            with_store(&config, device, |mut store| {
                assert_eq!(store.stats().live_cost, live_cost);
                let now = store.snapshot().expect("there is a place");
                assert_eq!(seen(&mut store, now), model, "old versions do not come back");
            });
        });
    }
}

#[test]
fn a_long_reader_and_a_hot_key_hold_one_old_version() {
    with_store(&config(), device(1 << 20), |mut store| {
        store.put(b"hot", b"first").expect("there is room");
        let first = store.snapshot().expect("there is a place");
        for round in 0..1_000_000_u32 {
            store.put(b"hot", &round.to_le_bytes()).expect("there is room");
        }
        assert_eq!(store.stats().versions, 1);
        let mut buffer = [0; 16];
        assert_eq!(store.get_at(first, b"hot", &mut buffer), Ok(Some(&b"first"[..])));
        let second = store.snapshot().expect("there is a place");
        store.put(b"hot", b"last").expect("there is room");
        let newest = 999_999_u32.to_le_bytes();
        assert_eq!(store.get_at(second, b"hot", &mut buffer), Ok(Some(&newest[..])));
        assert_eq!(store.get_at(first, b"hot", &mut buffer), Ok(Some(&b"first"[..])));
        assert!(store.stats().segments_merged > 1000);
        store.release(first).expect("it is held");
        store.release(second).expect("it is held");
    });
}

#[test]
fn a_full_version_table_refuses_the_write_or_expires_the_oldest_snapshot() {
    let small = Config { versions_max: 10, ..config() };
    for pressure in [SnapshotPressure::Refuse, SnapshotPressure::ExpireOldest] {
        let config = Config { snapshot_pressure: pressure, ..small };
        with_store(&config, device(1 << 20), |mut store| {
            for key in 0..20_u8 {
                store.put(&[key], b"old").expect("there is room");
            }
            let snapshot = store.snapshot().expect("there is a place");
            for key in 0..10_u8 {
                store.put(&[key], b"new").expect("there is room for the old one");
            }
            let refused = store.put(&[10], b"new");
            let read =
                store.get_at(snapshot, &[3], &mut [0; 8]).map(|value| value.map(<[u8]>::to_vec));
            if pressure == SnapshotPressure::Refuse {
                assert_eq!(refused, Err(Error::VersionsFull { capacity: 10 }));
                assert_eq!(store.delete(&[11]), Err(Error::VersionsFull { capacity: 10 }));
                assert_eq!(read, Ok(Some(b"old".to_vec())));
                store.put(&[3], b"newer").expect("nobody sees the one before");
                store.release(snapshot).expect("it is held");
                store.put(&[10], b"new").expect("there is room again");
            } else {
                assert_eq!(refused, Ok(()));
                assert_eq!(read, Err(Error::SnapshotExpired));
                assert_eq!(store.release(snapshot), Err(Error::SnapshotExpired));
                assert_eq!(store.release(snapshot), Err(Error::SnapshotGone));
            }
        });
    }
}

#[test]
fn a_snapshot_keeps_the_chunks_of_a_replaced_value() {
    let config = Config { segment_bytes: 64 << 10, ..config() };
    with_store(&config, device(4 << 20), |mut store| {
        let value = |byte: u8| vec![byte; 50_000];
        store.put(b"large", &value(1)).expect("there is room");
        let snapshot = store.snapshot().expect("there is a place");
        let mut buffer = vec![0; 60_000];
        for byte in 2..60 {
            store.put(b"large", &value(byte)).expect("there is room");
            store.put(b"small", &[byte]).expect("there is room");
        }
        assert_eq!(store.get_at(snapshot, b"large", &mut buffer), Ok(Some(&value(1)[..])));
        store.release(snapshot).expect("it is held");
        for byte in 0..60 {
            store.put(b"small", &[byte]).expect("there is room");
        }
        while store.merge_step(1 << 20).expect("merging works") {}
        let entries = store.stats().entries;
        let per_value = 50_000_u64.div_ceil(8192 - 32);
        assert!(entries <= 2 + per_value + 2, "{entries}");
    });
}
