//! Opening stores whose log holds more chunks than their keydir: dead ones never enter it.

use emberkv_core::{Access, BlockDevice, Config, Hints, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};

use super::device::{Device, assert_sound, format, get, open, tiny};

type Memory = MemoryDevice<Vec<u8>>;

fn arena_for(config: &Config, device: &Memory) -> Vec<u8> {
    vec![0xa5; required_bytes(config, &device.geometry())]
}

/// Open loaded the chunks of every value that was ever written before it dropped the dead ones: `KeydirFull`.
#[test]
fn regression_a_chunked_value_that_was_overwritten_often_does_not_fill_the_keydir_of_open() {
    for hints in [Hints::Write, Hints::Omit] {
        let config = Config { keys_max: 1000, hints, ..Config::default() };
        let device = MemoryDevice::new(vec![0; 64 << 20], Rules::block(512)).expect("valid rules");
        let mut memory = arena_for(&config, &device);
        let mut store = Store::format(device, &mut memory, &config).expect("formats");
        let mut value = vec![0; 1 << 20];
        for round in 0..40u8 {
            value.fill(round);
            store.put(b"large", &value).expect("there is room");
        }
        let device = store.close().expect("closes");
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let config = Config { access, ..config };
            let mut memory = arena_for(&config, &device);
            let mut store = Store::open(device.clone(), &mut memory, &config).expect("opens");
            let mut buffer = vec![0; 1 << 20];
            assert_eq!(store.get(b"large", &mut buffer).expect("a get works"), Some(&value[..]));
            assert!(store.stats().entries < 50, "one value's chunks: {:?}", store.stats());
        }
    }
}

/// A keydir that cannot hold what is alive still says so.
#[test]
fn a_keydir_that_is_too_small_for_the_live_chunks_is_full() {
    let config = tiny();
    let mut device = Device::block(1 << 20);
    let mut store = format(&mut device, &config);
    for key in [b"a", b"b"] {
        store.put(key, &[1; 20_000]).expect("there is room");
    }
    let entries = u32::try_from(store.stats().entries).expect("few");
    let device_kept = store.close().expect("closes");
    let fits = Config { keys_max: entries, ..config };
    let small = Config { keys_max: entries - 1, ..config };
    let full = open(device_kept, &small).map(|_| ()).expect_err("one entry too many");
    let capacity = u64::from(entries) - 1;
    assert!(matches!(full, emberkv_core::Error::KeydirFull { capacity: c } if c == capacity));
    let mut store = open(device_kept, &fits).expect("all of it fits");
    assert_eq!(get(&mut store, b"b"), Some(vec![1; 20_000]));
}

/// Bytes of a chunk in segments of 16 KiB, at most.
const CHUNK_BYTES: usize = 2048;

/// What the store should show, by key.
type Model = std::collections::BTreeMap<Vec<u8>, Vec<u8>>;

fn bytes(seed: u32, count: usize) -> Vec<u8> {
    (0..count as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761).wrapping_add(seed * 977) >> 13) as u8)
        .collect()
}

/// Chunked values of many sizes, some overwritten, deleted, given up halfway, or made small; and small ones made large.
/// Also answers how many chunks were written.
fn fill(store: &mut Store<'_, &mut Device>) -> (Model, usize) {
    let mut model = Model::new();
    let mut chunks = 0;
    for round in 0..240u32 {
        let key = vec![b'k', (round % 7) as u8];
        match round % 6 {
            0 | 3 => {
                let value = bytes(round, 600 + (round as usize * 731) % 9000);
                store.put(&key, &value).expect("there is room");
                chunks += value.len() / CHUNK_BYTES;
                model.insert(key, value);
            }
            1 => {
                let value = bytes(round, 700 + (round as usize * 1103) % 7000);
                let count = value.len() as u64;
                store.put_stream(&key, count, &value[..]).expect("there is room");
                chunks += value.len() / CHUNK_BYTES;
                model.insert(key, value);
            }
            2 => {
                let value = bytes(round, 4000);
                let refused = store.put_stream(&key, 9000, &value[..]);
                refused.expect_err("the reader ends early");
                chunks += value.len() / CHUNK_BYTES;
            }
            4 if round % 4 == 0 => {
                let deleted = store.delete(&key).expect("there is room");
                assert_eq!(deleted, model.remove(&key).is_some());
            }
            _ => {
                let value = bytes(round, round as usize % 90);
                store.put(&key, &value).expect("there is room");
                model.insert(key, value);
            }
        }
        // Each write lets go of some of the chunks that died before it.
        for _ in 0..3 {
            store.put(b"small", &round.to_le_bytes()).expect("there is room");
            model.insert(b"small".to_vec(), round.to_le_bytes().to_vec());
        }
    }
    (model, chunks)
}

fn assert_shows(store: &mut Store<'_, &mut Device>, model: &Model) {
    for (key, value) in model {
        assert_eq!(get(store, key).as_ref(), Some(value), "{key:?}");
    }
    assert_eq!(store.stats().keys, model.len() as u64);
    assert_sound(store);
}

#[test]
fn live_chunks_are_loaded_exactly_by_hints_and_by_scan_after_a_close_and_after_a_crash() {
    for hints in [Hints::Write, Hints::Omit] {
        for closes in [true, false] {
            let config = Config { segment_bytes: 16384, keys_max: 120, hints, ..tiny() };
            let mut device = Device::block(4 << 20);
            let mut store = format(&mut device, &config);
            let (model, chunks) = fill(&mut store);
            assert!(chunks > 2 * 120, "more than the keydir holds: {chunks}");
            assert_shows(&mut store, &model);
            store.sync().expect("a sync works");
            let before = store.stats();
            if closes {
                store.close().expect("closes");
            } else {
                drop(store);
                device.cut_power(|_, _| false);
            }
            for access in [Access::ReadOnly, Access::ReadWrite, Access::ReadWrite] {
                let mut store = open(&mut device, &Config { access, ..config }).expect("it opens");
                let after = store.stats();
                assert_eq!((after.opened_by_hints > 0), matches!(hints, Hints::Write));
                assert_eq!((after.opened_by_scan > 0), matches!(hints, Hints::Omit));
                assert_eq!(after.live_bytes, before.live_bytes, "{hints:?} {closes} {access:?}");
                assert_eq!(after.entries, before.entries, "{hints:?} {closes} {access:?}");
                assert_shows(&mut store, &model);
            }
        }
    }
}

/// The second pass has a price: only stores with chunked values pay it.
#[test]
fn a_log_with_dead_chunks_alone_is_read_once() {
    let config = Config { frames: 200, hints: Hints::Omit, ..Config::default() };
    let device = MemoryDevice::new(vec![0; 16 << 20], Rules::block(512)).expect("valid rules");
    let mut memory = arena_for(&config, &device);
    let mut store = Store::format(device, &mut memory, &config).expect("formats");
    store.put(b"large", &vec![1; 8 << 20]).expect("there is room");
    let mut read = [0; 2];
    for (index, deletes) in [false, true].into_iter().enumerate() {
        if deletes {
            store.delete(b"large").expect("there is room");
        }
        store.sync().expect("a sync works");
        let mut device = store.device().clone();
        device.reset_counters();
        let mut memory = arena_for(&config, &device);
        let opened = Store::open(device, &mut memory, &config).expect("opens");
        read[index] = opened.device().counters().bytes_read;
    }
    // The tail is searched, too: more than the log, but less than half of it.
    assert!(read[1] < 12 << 20 && read[0] > read[1] + (8 << 20), "{read:?}");
}
