//! Without believing the store's sequences: many small histories, each searched for an order of its
//! calls (Wing and Gong, with the memory of Lowe), key by key.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::medium::store;

const HISTORIES: u64 = 10_000;
const THREADS: u64 = 3;
const CALLS: usize = 7;

/// A call on one key, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Put(u64),
    Get(Option<u64>),
    /// Whether there was a value.
    Delete(bool),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    begun: u64,
    ended: u64,
    call: Call,
}

/// What a register that holds `value` holds after the call; `None` where the answer is another one.
fn step(value: Option<u64>, call: Call) -> Option<Option<u64>> {
    match call {
        Call::Put(new) => Some(Some(new)),
        Call::Get(seen) => (seen == value).then_some(value),
        Call::Delete(had) => (had == value.is_some()).then_some(None),
    }
}

/// Whether the calls have an order in which each answer is right, and none comes before what had
/// ended when it began.
fn is_linearizable(events: &[Event]) -> bool {
    assert!(events.len() < 64, "a set of calls is a word");
    let all = (1_u64 << events.len()) - 1;
    let mut seen = HashSet::new();
    let mut open = vec![(0_u64, None)];
    while let Some((done, value)) = open.pop() {
        if done == all {
            return true;
        }
        if !seen.insert((done, value)) {
            continue;
        }
        let left = || events.iter().enumerate().filter(|(index, _)| done >> index & 1 == 0);
        let first_end = left().map(|(_, event)| event.ended).min().unwrap_or(u64::MAX);
        for (index, event) in left().filter(|(_, event)| event.begun < first_end) {
            open.extend(step(value, event.call).map(|value| (done | 1 << index, value)));
        }
    }
    false
}

#[test]
fn ten_thousand_small_histories_have_an_order() {
    let db = store();
    let (clock, arrived) = (AtomicU64::new(1), AtomicU64::new(0));
    let threads: Vec<Vec<Vec<(usize, Event)>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (db, clock, arrived) = (&db, &clock, &arrived);
                scope.spawn(move || {
                    let mut random = number * 99 + 7;
                    let now = || clock.fetch_add(1, Ordering::SeqCst);
                    let one = |history: u64, count: usize, random: u64| {
                        // Keys of the history's own, so it begins without values.
                        let key = (random >> 40) as usize % 2;
                        let name = [history.to_le_bytes(), [key as u8; 8]].concat();
                        let value = history << 16 | number << 8 | count as u64;
                        let begun = now();
                        // Others may begin and end meanwhile, on a machine with few processors too.
                        (0..random >> 32 & 1).for_each(|_| thread::yield_now());
                        let call = match random >> 61 {
                            0 => {
                                db.put_durable(name, value.to_le_bytes()).expect("a put");
                                Call::Put(value)
                            }
                            1..=2 => {
                                db.put(name, value.to_le_bytes()).expect("a put");
                                Call::Put(value)
                            }
                            3 => Call::Delete(db.delete(name).expect("a delete")),
                            _ => {
                                let found = db.get(name).expect("a get");
                                Call::Get(found.map(|value| {
                                    u64::from_le_bytes(value[..].try_into().expect("a count"))
                                }))
                            }
                        };
                        (0..random >> 33 & 1).for_each(|_| thread::yield_now());
                        (key, Event { begun, ended: now(), call })
                    };
                    (0..HISTORIES)
                        .map(|history| {
                            // All begin at once, awake: who sleeps before meets nobody.
                            arrived.fetch_add(1, Ordering::SeqCst);
                            while arrived.load(Ordering::SeqCst) < THREADS * (history + 1) {
                                thread::yield_now();
                            }
                            (0..CALLS)
                                .map(|count| {
                                    random = random
                                        .wrapping_mul(6_364_136_223_846_793_005)
                                        .wrapping_add(1);
                                    one(history, count, random)
                                })
                                .collect()
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let mut overlaps = 0;
    for history in 0..HISTORIES as usize {
        for key in 0..2 {
            let of_key = threads.iter().flat_map(|thread| &thread[history]);
            let events: Vec<Event> =
                of_key.filter(|(of, _)| *of == key).map(|(_, event)| *event).collect();
            overlaps += u32::from(events.iter().any(|event| event.ended > event.begun + 1));
            assert!(is_linearizable(&events), "history {history}, key {key}: {events:?}");
        }
    }
    assert!(overlaps > 1000, "histories in which nothing overlaps prove nothing: {overlaps}");
    db.close().expect("it closes");
}

#[test]
fn small_histories_without_an_order_are_refused() {
    let event = |begun, ended, call| Event { begun, ended, call };
    let put = event(1, 2, Call::Put(7));
    assert!(is_linearizable(&[put, event(3, 4, Call::Get(Some(7)))]));
    assert!(is_linearizable(&[event(1, 4, Call::Put(7)), event(2, 3, Call::Get(None))]));
    assert!(!is_linearizable(&[put, event(3, 4, Call::Get(None))]), "a stale read");
    assert!(!is_linearizable(&[put, event(3, 4, Call::Get(Some(8)))]), "never written");
    let late = [put, event(3, 8, Call::Put(8)), event(4, 5, Call::Get(Some(8)))];
    assert!(is_linearizable(&late));
    let back = [&late[..], &[event(6, 7, Call::Get(Some(7)))]].concat();
    assert!(!is_linearizable(&back), "new, then old");
    let twice = [put, event(3, 6, Call::Delete(true)), event(4, 5, Call::Delete(true))];
    assert!(!is_linearizable(&twice), "deleted twice");
}
