//! With the store's sequences: every write has one, known from any read of its value; then order is
//! a matter of sorting, and millions of operations can be checked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use emberkv::{Batch, Db, Value};

use super::medium::store;

const KEYS: usize = 6;

/// A write's name: no two writes of a run have the same.
type Name = u64;

/// From when to when a call took, by a clock that all threads share.
#[derive(Clone, Copy, Debug)]
struct Span {
    begun: u64,
    ended: u64,
}

/// What a thread did.
#[derive(Clone, Debug)]
enum Done {
    Put {
        key: usize,
        name: Name,
    },
    /// Two keys at once.
    Batch {
        keys: [usize; 2],
        name: Name,
    },
    /// What was read of some keys at one moment: a value's name and sequence, 0 for none.
    Read {
        found: Vec<(usize, Name, u64)>,
    },
}

/// A history: calls in no order.
type History = Vec<(Span, Done)>;

fn read(key: usize, value: Option<Value>) -> (usize, Name, u64) {
    value.map_or((key, 0, 0), |value| {
        let name = u64::from_le_bytes(value[..8].try_into().expect("eight bytes"));
        assert!(value[8..].iter().all(|&byte| byte == name as u8), "a whole value");
        (key, name, value.seq().0)
    })
}

fn value(name: Name) -> Vec<u8> {
    let mut value = vec![name as u8; 8 + (name % 400) as usize];
    value[..8].copy_from_slice(&name.to_le_bytes());
    value
}

fn act(db: &Db, thread: u64, clock: &AtomicU64, stop: &AtomicBool) -> History {
    let mut history = History::new();
    let mut random = thread * 7919 + 1;
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    for count in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let name = thread << 40 | count;
        let key = (random >> 33) as usize % KEYS;
        let other = (key + 1 + (random >> 50) as usize % (KEYS - 1)) % KEYS;
        let begun = now();
        let done = match random >> 58 {
            0 => {
                let mut batch = Batch::new();
                batch.put([key as u8], value(name));
                batch.put([other as u8], value(name));
                db.write(&batch).expect("a batch");
                Done::Batch { keys: [key, other], name }
            }
            1 if count % 64 == 0 => {
                db.put_durable([key as u8], value(name)).expect("a durable put");
                Done::Put { key, name }
            }
            1..=20 => {
                db.put([key as u8], value(name)).expect("a put");
                Done::Put { key, name }
            }
            21..=24 => {
                let found = db.get_many(&[[key as u8], [other as u8]]).expect("gets");
                let found = [key, other].into_iter().zip(found);
                Done::Read { found: found.map(|(key, value)| read(key, value)).collect() }
            }
            25 => {
                let snapshot = db.snapshot().expect("a snapshot");
                let one = |key: usize| read(key, snapshot.get([key as u8]).expect("a get"));
                Done::Read { found: vec![one(key), one(other)] }
            }
            _ => {
                let found = db.get([key as u8]).expect("a get");
                Done::Read { found: vec![read(key, found)] }
            }
        };
        history.push((Span { begun, ended: now() }, done));
    }
    history
}

/// Why a history has no order.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    TwoSequences,
    OlderThanWhatHadEnded,
    FromTheFuture,
    NeverWritten,
    NotOneMoment,
}

/// A place of a key's history: a sequence that was written or seen in a span.
#[derive(Clone, Copy)]
struct Mark {
    span: Span,
    seq: u64,
}

/// Of each mark asked for, whether all marks that had ended when it began have smaller (or equal)
/// sequences.
fn never_goes_back(ended: &mut [Mark], asked: &mut [Mark]) -> bool {
    ended.sort_unstable_by_key(|mark| mark.span.ended);
    asked.sort_unstable_by_key(|mark| mark.span.begun);
    let (mut next, mut newest) = (0, 0);
    asked.iter().all(|mark| {
        while ended.get(next).is_some_and(|before| before.span.ended < mark.span.begun) {
            newest = newest.max(ended[next].seq);
            next += 1;
        }
        mark.seq >= newest
    })
}

fn check(history: &History) -> Result<(), Fault> {
    let mut written: HashMap<(usize, Name), (Span, Option<u64>)> = HashMap::new();
    for (span, done) in history {
        match done {
            Done::Put { key, name } => {
                written.insert((*key, *name), (*span, None));
            }
            Done::Batch { keys, name } => {
                written.extend(keys.iter().map(|key| ((*key, *name), (*span, None))));
            }
            Done::Read { .. } => {}
        }
    }
    let reads = || {
        history.iter().filter_map(|(span, done)| match done {
            Done::Read { found } => Some((span, found)),
            _ => None,
        })
    };
    for (span, found) in reads() {
        for &(key, name, seq) in found.iter().filter(|(_, name, _)| *name != 0) {
            let Some((wrote, known)) = written.get_mut(&(key, name)) else {
                return Err(Fault::NeverWritten);
            };
            if known.replace(seq).is_some_and(|known| known != seq) {
                return Err(Fault::TwoSequences);
            }
            if wrote.begun > span.ended {
                return Err(Fault::FromTheFuture);
            }
        }
    }
    let mut writes: Vec<Vec<Mark>> = vec![Vec::new(); KEYS];
    for ((key, _), (span, seq)) in &written {
        writes[*key].extend(seq.map(|seq| Mark { span: *span, seq }));
    }
    // All writes have one order, whatever their keys.
    let mut all = writes.concat();
    if !never_goes_back(&mut all.clone(), &mut all) {
        return Err(Fault::OlderThanWhatHadEnded);
    }
    for (key, writes) in writes.iter_mut().enumerate() {
        let mut seen: Vec<Mark> = Vec::new();
        for (span, found) in reads() {
            let of_key = found.iter().filter(|(of, ..)| *of == key);
            seen.extend(of_key.map(|&(_, _, seq)| Mark { span: *span, seq }));
        }
        let mut ended = writes.clone();
        ended.extend(&seen);
        if !never_goes_back(&mut ended, &mut seen) {
            return Err(Fault::OlderThanWhatHadEnded);
        }
        writes.sort_unstable_by_key(|mark| mark.seq);
    }
    // What was read at one moment: nobody's next write may lie before another's value.
    for (_, found) in reads().filter(|(_, found)| found.len() > 1) {
        let newest = found.iter().map(|(.., seq)| *seq).max().unwrap_or(0);
        for &(key, _, seq) in found {
            let next = writes[key].partition_point(|mark| mark.seq <= seq);
            if writes[key].get(next).is_some_and(|next| next.seq <= newest) {
                return Err(Fault::NotOneMoment);
            }
        }
    }
    Ok(())
}

#[test]
fn millions_of_calls_have_an_order_that_the_sequences_tell() {
    let seconds = std::env::var("EMBER_LINEAR_SECONDS").ok();
    let seconds = seconds.map_or(3, |text| text.parse().expect("EMBER_LINEAR_SECONDS: a number"));
    let db = store();
    let (clock, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    let histories: Vec<History> = thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|thread| {
                let (db, clock, stop) = (&db, &clock, &stop);
                scope.spawn(move || act(db, thread, clock, stop))
            })
            .collect();
        thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let history = histories.concat();
    assert!(history.len() > 100_000, "only {} calls", history.len());
    assert_eq!(check(&history), Ok(()), "{} calls", history.len());
    db.close().expect("it closes");
}

fn span(begun: u64, ended: u64) -> Span {
    Span { begun, ended }
}

fn seen(key: usize, name: Name, seq: u64) -> Done {
    Done::Read { found: vec![(key, name, seq)] }
}

#[test]
fn histories_without_an_order_are_refused() {
    let put = |key, name| Done::Put { key, name };
    let two = |a: (usize, Name, u64), b| Done::Read { found: vec![a, b] };
    let base = [(span(1, 2), put(0, 7)), (span(3, 4), put(0, 8)), (span(5, 6), put(1, 9))];
    let with = |more: &[(Span, Done)]| check(&[&base[..], more].concat());
    assert_eq!(with(&[(span(7, 8), seen(0, 8, 20)), (span(9, 10), seen(1, 9, 30))]), Ok(()));
    assert_eq!(with(&[(span(2, 5), seen(0, 7, 10)), (span(7, 8), seen(0, 8, 20))]), Ok(()));
    let stale = with(&[(span(7, 8), seen(0, 8, 20)), (span(9, 10), seen(0, 7, 10))]);
    assert_eq!(stale, Err(Fault::OlderThanWhatHadEnded));
    let swapped = with(&[(span(2, 3), seen(0, 7, 20)), (span(9, 10), seen(0, 8, 10))]);
    assert_eq!(swapped, Err(Fault::OlderThanWhatHadEnded));
    let lost = with(&[(span(7, 8), seen(0, 0, 0)), (span(3, 9), seen(0, 8, 20))]);
    assert_eq!(lost, Err(Fault::OlderThanWhatHadEnded));
    assert_eq!(with(&[(span(1, 2), seen(1, 9, 30))]), Err(Fault::FromTheFuture));
    assert_eq!(with(&[(span(1, 2), seen(1, 6, 30))]), Err(Fault::NeverWritten));
    let renamed = with(&[(span(7, 8), seen(0, 8, 20)), (span(9, 10), seen(0, 8, 21))]);
    assert_eq!(renamed, Err(Fault::TwoSequences));
    let torn = with(&[(span(3, 9), two((0, 7, 10), (1, 9, 30))), (span(9, 10), seen(0, 8, 20))]);
    assert_eq!(torn, Err(Fault::NotOneMoment));
}
