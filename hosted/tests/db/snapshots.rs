//! Snapshots and iterators beside writers: exactly one moment, whatever comes later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use emberkv::Batch;

use super::support::{count_of, pattern, place, small};

const KEYS: u32 = 400;

#[test]
fn a_snapshot_shows_whole_batches_and_stays_as_it_is() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    let write = |round: u32| {
        let mut batch = Batch::new();
        for key in 0..KEYS {
            batch.put(key.to_le_bytes(), pattern(key, round, 60 + (round % 50) as usize));
        }
        db.write(&batch).expect("a batch");
    };
    write(1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 2.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                write(round);
            }
        });
        for _ in 0..60 {
            let snapshot = db.snapshot().expect("a snapshot");
            let first = snapshot.get(0_u32.to_le_bytes()).expect("a get").expect("a value");
            let round = count_of(0, &first);
            let all: BTreeMap<u32, u32> = snapshot
                .iter()
                .map(|pair| {
                    let (key, value) = pair.expect("an entry");
                    let key = u32::from_le_bytes(key.try_into().expect("four bytes"));
                    (key, count_of(key, &value))
                })
                .collect();
            assert_eq!(all.len() as u32, KEYS);
            assert!(all.values().all(|&found| found == round), "one moment: {round}, {all:?}");
            for key in (0..KEYS).step_by(37) {
                let value = snapshot.get(key.to_le_bytes()).expect("a get").expect("a value");
                assert_eq!(count_of(key, &value), round);
            }
            let keys: Vec<[u8; 4]> = (0..KEYS).map(u32::to_le_bytes).collect();
            let many = db.get_many(&keys).expect("values");
            let rounds: Vec<u32> = many
                .iter()
                .enumerate()
                .map(|(key, value)| count_of(key as u32, value.as_ref().expect("a value")))
                .collect();
            assert!(rounds.iter().all(|&found| found == rounds[0]), "one moment: {rounds:?}");
            assert!(rounds[0] >= round);
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(db.stats().expect("figures").store.snapshots, 0, "each was given back");
}

#[test]
fn a_snapshot_keeps_what_is_deleted_and_large_values_that_are_overwritten() {
    let (_directory, path) = place();
    let db = small().open(&path).expect("a new store");
    db.put(b"small", b"old").expect("a put");
    db.put(b"large", pattern(1, 1, 200_000)).expect("a put");
    let snapshot = db.snapshot().expect("a snapshot");
    let other = snapshot.clone();
    db.delete(b"small").expect("a delete");
    db.put(b"large", pattern(1, 2, 150_000)).expect("a put");
    db.put(b"later", b"new").expect("a put");
    for round in 0..40 {
        // Merges run over all of it.
        for key in 0..1000_u32 {
            db.put(key.to_le_bytes(), pattern(key, round, 500)).expect("a put");
        }
    }
    assert_eq!(other.get(b"small").expect("a get").as_deref(), Some(&b"old"[..]));
    assert_eq!(other.get(b"later").expect("a get"), None);
    assert!(!other.contains_key(b"later").expect("a look"));
    let large = other.get(b"large").expect("a get").expect("a value");
    assert_eq!(large, pattern(1, 1, 200_000));
    drop(snapshot);
    let all: BTreeMap<Vec<u8>, usize> =
        other.pairs().map(|(key, value)| (key, value.len())).collect();
    let expected = [(b"large".to_vec(), 200_000), (b"small".to_vec(), 3)];
    assert_eq!(all, BTreeMap::from(expected));
    assert_eq!(db.get(b"large").expect("a get").expect("a value"), pattern(1, 2, 150_000));
}

/// Iteration without errors.
trait Pairs {
    fn pairs(&self) -> impl Iterator<Item = (Vec<u8>, emberkv::Value)>;
}

impl Pairs for emberkv::Snapshot {
    fn pairs(&self) -> impl Iterator<Item = (Vec<u8>, emberkv::Value)> {
        self.iter().map(|pair| pair.expect("an entry"))
    }
}
