//! Many threads on few keys, with merges under way: each key's counts only ever go up, for every
//! reader.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use emberkv::{Builder, Db};

use super::support::{count_of, pattern, place, small};

const KEYS: u32 = 3000;

/// Writers own keys and count up; readers see no count go down, and none below what its writer had
/// finished before they asked.
fn hammer(builder: &Builder, length: impl Fn(u32) -> usize + Send + Sync + Copy, time: Duration) {
    let (_directory, path) = place();
    let db = builder.open(&path).expect("a new store");
    let done: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
    let stop = AtomicBool::new(false);
    let (db_ref, done_ref, stop_ref) = (&db, &done, &stop);
    thread::scope(|scope| {
        for writer in 0..2_u32 {
            scope.spawn(move || {
                let mut random = u64::from(writer) + 1;
                while !stop_ref.load(Ordering::Relaxed) {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = ((random >> 33) as u32 % (KEYS / 2)) * 2 + writer;
                    let count = done_ref[key as usize].load(Ordering::SeqCst) + 1;
                    let value = pattern(key, count, length(key));
                    if random >> 60 == 0 {
                        db_ref.put_durable(key.to_le_bytes(), value).expect("a put");
                    } else {
                        db_ref.put(key.to_le_bytes(), value).expect("a put");
                    }
                    done_ref[key as usize].store(count, Ordering::SeqCst);
                }
            });
        }
        for reader in 0..3_u64 {
            scope.spawn(move || {
                let mut random = reader * 77 + 5;
                let mut seen = vec![0; KEYS as usize];
                while !stop_ref.load(Ordering::Relaxed) {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = (random >> 33) as u32 % KEYS;
                    let least =
                        done_ref[key as usize].load(Ordering::SeqCst).max(seen[key as usize]);
                    let found = db_ref.get(key.to_le_bytes()).expect("a get");
                    let count = found.map_or(0, |value| count_of(key, &value));
                    assert!(count >= least, "key {key}: {count} after {least}");
                    seen[key as usize] = count;
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < time {
            thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
    });
    check(&db, &done);
    db.close().expect("a close");
    check(&builder.open(&path).expect("the store"), &done);
}

fn check(db: &Db, done: &[AtomicU32]) {
    for (key, count) in (0..KEYS).zip(done) {
        let found = db.get(key.to_le_bytes()).expect("a get");
        let found = found.map_or(0, |value| count_of(key, &value));
        assert_eq!(found, count.load(Ordering::SeqCst), "key {key}");
    }
}

#[test]
fn readers_see_counts_go_up_while_writers_and_merges_run() {
    hammer(&small(), |key| 40 + key as usize % 1200, Duration::from_secs(4));
}

#[test]
fn the_same_with_a_pool_so_small_that_most_reads_go_to_the_device() {
    let tiny = small().cache_bytes(256 << 10);
    hammer(&tiny, |key| 200 + key as usize % 2000, Duration::from_secs(4));
}

#[test]
fn the_same_with_values_in_chunks() {
    let builder = small().capacity(64 << 20).max_capacity(64 << 20);
    hammer(
        &builder,
        |key| if key < 60 { 50_000 + key as usize * 500 } else { 100 },
        Duration::from_secs(3),
    );
}

#[test]
fn the_same_where_writers_merge_themselves() {
    hammer(&small().merge_threads(0), |key| 40 + key as usize % 1200, Duration::from_secs(3));
}
