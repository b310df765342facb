//! Puts and deletes of ever new keys: tombstones and dead records must go as fast as they come.

use emberkv_core::{Cursor, Hints, Store};
use emberkv_memory::MemoryDevice;
use emberkv_tests::churn::Shape;
use emberkv_tests::sim::rng::mix;

const PAIRS: u64 = 2_000_000;
/// Keys that are there at any moment, each with up to this many bytes.
const LAG: u64 = 2000;
const VALUE_BYTES_MAX: u64 = 64;
/// Header and key of a record.
const RECORD_BYTES: u64 = 12 + 8;

fn value_bytes(key: u64) -> usize {
    (mix(key) % (VALUE_BYTES_MAX + 1)) as usize
}

/// Counts what is alive by reading it.
fn recount(store: &mut Store<'_, MemoryDevice<Vec<u8>>>) -> (u64, u64) {
    let mut cursor = Cursor::default();
    let mut buffer = [0; 256];
    let (mut keys, mut bytes) = (0, 0);
    while let Some((key, value)) = store.next(&mut cursor, &mut buffer).expect("iterates") {
        let key = u64::from_le_bytes(key.try_into().expect("keys of 8 bytes"));
        assert_eq!(value.len(), value_bytes(key), "key {key}");
        keys += 1;
        bytes += RECORD_BYTES + value.len() as u64;
    }
    (keys, bytes)
}

#[test]
fn millions_of_puts_and_deletes_of_new_keys_need_no_more_than_those_that_are_there() {
    // In the last one a segment has room for more tombstones than the keydir.
    let shapes = [
        (Shape::block(48, 64 << 10).with_hints(Hints::Omit), 20_000, PAIRS),
        (Shape::block(48, 64 << 10).with_hints(Hints::Write), 20_000, PAIRS / 8),
        (Shape::block(16, 1 << 20).with_hints(Hints::Omit), 8_000, PAIRS / 8),
    ];
    for (mut shape, entries, pairs) in shapes {
        shape.config.keys_max = entries;
        let device = shape.device();
        let mut arena = shape.arena(&device);
        let mut store = Store::format(device, &mut arena, &shape.config).expect("formats");
        let value = [0x33; VALUE_BYTES_MAX as usize];
        let mut entries_most = 0;
        for pair in 0..pairs {
            let put = store.put(&pair.to_le_bytes(), &value[..value_bytes(pair)]);
            put.unwrap_or_else(|error| panic!("put {pair}: {error}"));
            if let Some(old) = pair.checked_sub(LAG) {
                let deleted = store.delete(&old.to_le_bytes());
                let deleted = deleted.unwrap_or_else(|error| panic!("delete {old}: {error}"));
                assert!(deleted, "{old} was there");
            }
            if pair % 128 == 0 {
                entries_most = entries_most.max(store.stats().entries);
            }
        }
        let stats = store.stats();
        println!("at most {entries_most} of {entries} entries, {} free", stats.segments_free_min);
        assert!(stats.segments_free_min > 0, "{stats:#?}");
        let (keys, bytes) = recount(&mut store);
        assert_eq!((keys, stats.keys), (LAG, LAG));
        let tombstones = stats.entries - stats.keys;
        assert_eq!(bytes + tombstones * RECORD_BYTES, stats.live_bytes, "live bytes are exact");
        let device = store.close().expect("closes");
        let mut store = Store::open(device, &mut arena, &shape.config).expect("opens");
        let opened = store.stats();
        assert_eq!(opened.keys, stats.keys);
        // Tombstones that were retired are in the log until their segment is given back.
        let again = opened.entries - stats.entries;
        assert_eq!(opened.live_bytes, stats.live_bytes + again * RECORD_BYTES);
        assert!(again <= stats.entries_max / 4, "{again} retired tombstones came back");
        assert_eq!(recount(&mut store), (keys, bytes));
    }
}
