//! Devices that fail, threads that panic: typed errors for everybody, and no thread waits for ever.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use emberkv::{Db, Durability, Error};

use super::support::{Flaky, place, small};

/// Runs `work` and fails if it takes for ever.
fn ends(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let begun = Instant::now();
        let worker = scope.spawn(work);
        while !worker.is_finished() {
            assert!(begun.elapsed() < Duration::from_secs(60), "this hangs");
            thread::sleep(Duration::from_millis(2));
        }
        worker.join().expect("the test");
    });
}

#[test]
fn a_failed_flush_poisons_and_what_was_durable_can_be_read() {
    let (_directory, path) = place();
    let (device, switches) = Flaky::create(&path);
    let db = small().durability(Durability::Buffered).create_on(device).expect("a new store");
    db.put_durable(b"old", b"1").expect("a put");
    switches.fail_flushes.store(true, Ordering::SeqCst);
    switches.fail_writes.store(true, Ordering::SeqCst);
    ends(|| {
        db.put(b"new", b"2").expect("visible");
        let error = db.sync().expect_err("a failed write and flush");
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
        assert!(matches!(db.put(b"x", b"y"), Err(Error::Poisoned { .. })));
        assert!(matches!(db.put_durable(b"x", b"y"), Err(Error::Poisoned { .. })));
        assert!(matches!(db.get(b"new"), Err(Error::Poisoned { .. })));
        assert_eq!(db.get(b"old").expect("a get").as_deref(), Some(&b"1"[..]));
        assert!(error.to_string().contains("data.ember"), "{error}");
        assert!(db.stats().expect("figures").store.poisoned);
        assert!(matches!(db.clone().close(), Err(Error::Poisoned { .. })));
    });
}

#[test]
fn a_failure_in_the_background_is_told_to_everybody_who_waits() {
    let (_directory, path) = place();
    let (device, switches) = Flaky::create(&path);
    let interval = Durability::Interval(Duration::from_millis(1));
    let db = small().durability(interval).create_on(device).expect("a new store");
    ends(|| {
        thread::scope(|scope| {
            let writers: Vec<_> = (0..6_u32)
                .map(|thread| {
                    let db = db.clone();
                    scope.spawn(move || {
                        for put in 0..u32::MAX {
                            let key = ((thread << 16) + put % 500).to_le_bytes();
                            let result = if thread < 4 {
                                db.put_durable(key, [1; 100])
                            } else {
                                db.put(key, [1; 700])
                            };
                            if let Err(error) = result {
                                return error;
                            }
                        }
                        unreachable!("the device fails before")
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(50));
            switches.fail_flushes.store(true, Ordering::SeqCst);
            switches.fail_writes.store(true, Ordering::SeqCst);
            for writer in writers {
                let error = writer.join().expect("no panic");
                assert!(
                    matches!(error, Error::Poisoned { cause: Some(_) } | Error::Device(_)),
                    "{error}"
                );
            }
        });
        drop(db);
    });
}

#[test]
fn a_device_that_panics_is_an_error_for_all() {
    let (_directory, path) = place();
    let (device, switches) = Flaky::create(&path);
    let db = small().create_on(device).expect("a new store");
    db.put_durable(b"a", b"1").expect("a put");
    switches.panic_on_write.store(true, Ordering::SeqCst);
    ends(|| {
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u32)
                .map(|thread| {
                    let db = &db;
                    scope.spawn(move || db.put_durable(thread.to_le_bytes(), b"2"))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        for result in results {
            let error = result.expect_err("the device is gone");
            assert!(matches!(error, Error::Poisoned { .. } | Error::Device(_)), "{error}");
        }
        assert_eq!(db.get(b"a").expect("a get").as_deref(), Some(&b"1"[..]));
        drop(db);
    });
}

#[test]
fn a_read_that_fails_is_an_error_of_that_read() {
    let (_directory, path) = place();
    let (device, switches) = Flaky::create(&path);
    let db = small().cache_bytes(256 << 10).create_on(device).expect("a new store");
    for key in 0..2000_u32 {
        db.put(key.to_le_bytes(), [1; 1000]).expect("a put");
    }
    db.sync().expect("a sync");
    switches.fail_reads.store(true, Ordering::SeqCst);
    let failed = (0..2000_u32).filter(|key| db.get(key.to_le_bytes()).is_err()).count();
    assert!(failed > 1000, "{failed} reads failed");
    assert!(matches!(db.get(0_u32.to_le_bytes()), Err(Error::Device(_))));
    switches.fail_reads.store(false, Ordering::SeqCst);
    assert_eq!(db.get(0_u32.to_le_bytes()).expect("a get").as_deref(), Some(&[1; 1000][..]));
}

#[test]
fn handles_that_are_dropped_while_others_wait_end_in_order() {
    for _ in 0..20 {
        let (_directory, path) = place();
        let db = small().open(&path).expect("a new store");
        ends(|| {
            thread::scope(|scope| {
                for thread in 0..6_u32 {
                    let db = db.clone();
                    scope.spawn(move || {
                        for put in 0..50_u32 {
                            match db.put_durable((thread << 8 | put).to_le_bytes(), [1; 99]) {
                                Ok(()) => {}
                                Err(Error::Closed) => return,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    });
                }
                thread::sleep(Duration::from_millis(2));
                db.clone().close().expect("a close");
            });
            drop(db);
        });
        Db::open(&path).expect("the store");
    }
}
