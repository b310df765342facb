//! What is let in: room that was promised twice.

use super::device::{Device, format, tiny};
use emberkv_core::{Config, Error, Store};

fn full_store<'m>(
    device: &'m mut Device,
    config: &Config,
    bytes: usize,
) -> (Store<'m, &'m mut Device>, u32) {
    let mut store = format(device, config);
    let mut keys = 0_u32;
    while store.put(&keys.to_le_bytes(), &vec![7; bytes]).is_ok() {
        keys += 1;
    }
    let stats = store.stats();
    assert!(stats.live_cost <= stats.live_bytes_max && keys > 20, "{keys} {stats:?}");
    (store, keys)
}

/// A key that a batch names twice replaces the same record twice: what that cost was given back twice, so a full store took
/// more than merging can move.
#[test]
fn regression_a_batch_that_names_a_key_twice_gives_its_room_back_once() {
    let config = Config { keys_max: 2000, ..tiny() };
    let mut device = Device::block(256 << 10);
    let (mut store, keys) = full_store(&mut device, &config, 300);
    for key in 0..keys / 2 {
        let key = key.to_le_bytes();
        let fresh = [&b"new"[..], &key].concat();
        let mut batch = store.batch().expect("a sound store");
        batch.put(&key, &[1]).expect("staged");
        batch.put(&key, &[1]).expect("staged");
        batch.put(&fresh, &[2; 500]).expect("staged");
        match batch.commit() {
            Ok(_) | Err(Error::Full) => {}
            Err(error) => panic!("{error}"),
        }
        let stats = store.stats();
        assert!(stats.live_cost <= stats.live_bytes_max, "{stats:?}");
    }
    // One that takes no more room than there is taken now is let in, whatever it names twice.
    let mut batch = store.batch().expect("a sound store");
    let last = (keys - 1).to_le_bytes();
    batch.put(&last, &[4; 10]).expect("staged");
    batch.delete(&last).expect("staged");
    batch.commit().expect("it takes less room than the record that it replaces");
}

/// A delete is let in because its tombstone takes the place of what it deletes. With a snapshot that stays.
#[test]
fn regression_deletes_that_a_snapshot_keeps_ask_for_room() {
    let config = Config { snapshots_max: 4, versions_max: 4000, keys_max: 8000, ..tiny() };
    let mut device = Device::block(256 << 10);
    let (mut store, keys) = full_store(&mut device, &config, 0);
    let snapshot = store.snapshot().expect("there is a place");
    let mut refused = 0;
    for key in 0..keys {
        match store.delete(&key.to_le_bytes()) {
            Ok(true) => {}
            Err(Error::Full) => refused += 1,
            other => panic!("{other:?}"),
        }
        let stats = store.stats();
        assert!(stats.live_cost <= stats.live_bytes_max && stats.segments_free > 0, "{stats:?}");
    }
    assert!(refused > 0, "the tombstones of {keys} keys fit beside them");
    store.release(snapshot).expect("it is held");
    while store.merge_step(1 << 20).expect("merging works") {}
    for key in 0..keys {
        store.delete(&key.to_le_bytes()).expect("deletes pass");
    }
    assert_eq!(store.stats().keys, 0);
}
