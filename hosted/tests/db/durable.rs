//! What is durable when, and at what cost in calls of the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use emberkv::{Batch, Db, Durability};

use super::support::{Flaky, place, small};

#[test]
fn one_thread_pays_one_durable_write_for_a_durable_put_and_nothing_else() {
    let (_directory, path) = place();
    let db = small().segment_bytes(2 << 20).durability(Durability::Buffered);
    let db = db.open(&path).expect("a new store");
    db.put_durable(b"warm", b"up").expect("a put");
    db.put_durable(b"warm", b"up").expect("a put");
    let before = db.stats().expect("figures").device;
    for key in 0..100_u32 {
        db.put_durable(key.to_le_bytes(), [1; 100]).expect("a put");
    }
    let after = db.stats().expect("figures").device;
    assert_eq!(after.durable_writes - before.durable_writes, 100);
    assert_eq!((after.writes - before.writes, after.flushes - before.flushes), (100, 0));
    assert_eq!(after.reads, before.reads);
}

#[test]
fn threads_that_put_durably_share_device_writes() {
    share(false);
}

#[test]
fn threads_that_put_durably_share_flushes_where_there_are_only_those() {
    share(true);
}

fn share(flushes_only: bool) {
    let (_directory, path) = place();
    let (device, switches) = Flaky::create(&path);
    switches.flushes_only.store(flushes_only, Ordering::SeqCst);
    let db = small().create_on(device).expect("a new store");
    switches.slow_writes.store(true, Ordering::SeqCst);
    let (threads, puts) = (8_u32, 50_u32);
    let before =
        switches.durable_writes.load(Ordering::SeqCst) + switches.flushes.load(Ordering::SeqCst);
    thread::scope(|scope| {
        for thread in 0..threads {
            let db = &db;
            scope.spawn(move || {
                for put in 0..puts {
                    let key = thread << 16 | put;
                    db.put_durable(key.to_le_bytes(), [1; 100]).expect("a put");
                }
            });
        }
    });
    let after =
        switches.durable_writes.load(Ordering::SeqCst) + switches.flushes.load(Ordering::SeqCst);
    let commits = after - before;
    assert!(commits * 2 < u64::from(threads * puts), "{commits} commits");
    assert!(commits >= u64::from(puts), "a thread waits for its put");
    let durable_writes = switches.durable_writes.load(Ordering::SeqCst);
    assert_eq!(durable_writes == 0, flushes_only, "{durable_writes} durable writes");
    let stats = db.stats().expect("figures");
    assert_eq!(stats.store.durable_seq, stats.store.seq);
}

#[test]
fn everything_is_durable_after_the_interval() {
    let (_directory, path) = place();
    let interval = Durability::Interval(Duration::from_millis(20));
    let db = small().durability(interval).open(&path).expect("a new store");
    for round in 0..5_u32 {
        db.put(round.to_le_bytes(), b"value").expect("a put");
        let begun = Instant::now();
        loop {
            let stats = db.stats().expect("figures").store;
            if stats.durable_seq >= stats.seq {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the writer syncs");
            thread::sleep(Duration::from_millis(1));
        }
    }
    let before = db.stats().expect("figures").device;
    thread::sleep(Duration::from_millis(100));
    assert_eq!(db.stats().expect("figures").device, before, "an idle store rests");
}

#[test]
fn durable_and_buffered_writers_go_together() {
    let (_directory, path) = place();
    let db = Arc::new(small().open(&path).expect("a new store"));
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        for thread in 0..2_u32 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for put in 0..u32::MAX {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let key = thread << 16 | (put % 1000);
                    db.put(key.to_le_bytes(), [2; 300]).expect("a put");
                }
            });
        }
        let writers: Vec<_> = (2..6_u32)
            .map(|thread| {
                let db: &Db = &db;
                scope.spawn(move || {
                    let mut batch = Batch::new();
                    for put in 0..100_u32 {
                        batch.clear();
                        for item in 0..5_u32 {
                            batch.put(((thread << 16) + put % 50 + item).to_le_bytes(), [3; 50]);
                        }
                        db.write_durable(&batch).expect("a batch");
                        let stats = db.stats().expect("figures").store;
                        assert!(stats.durable_seq.0 > 0);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer");
        }
        stop.store(true, Ordering::SeqCst);
    });
    // The merge thread goes on: it takes sequences of its own behind the sync.
    let put = db.stats().expect("figures").store.seq;
    db.sync().expect("a sync");
    let durable = db.stats().expect("figures").store.durable_seq;
    assert!(durable >= put, "{durable:?} of {put:?}");
}
