// The models of one copy of the protocols; see `lib.rs`. Each function runs one to its end, and
// panics where an order of steps breaks a promise or leaves somebody asleep for ever.

use std::sync::Arc;

use handover::{Commits, Followed, Part, Waiting};
use loom::sync::Mutex;
use loom::thread;
use signal::Signal;

use crate::Slip;
use crate::loom_sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Every order with at most so many preemptions, all orders where none is given.
fn check(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    builder.check(move || {
        crate::loom_sync::begin();
        model();
    });
}

/// Two threads sleep until a third has said that it is so: both wake.
pub fn nobody_sleeps_through_a_notification() {
    check(Some(3), || {
        let place = Arc::new((Signal::default(), AtomicBool::new(false)));
        let sleepers: Vec<_> = (0..2)
            .map(|_| {
                let place = Arc::clone(&place);
                thread::spawn(move || {
                    loop {
                        let ticket = place.0.ticket();
                        if place.1.load(Ordering::SeqCst) {
                            return;
                        }
                        place.0.wait(ticket, None);
                    }
                })
            })
            .collect();
        place.1.store(true, Ordering::SeqCst);
        place.0.notify_all();
        for sleeper in sleepers {
            sleeper.join().expect("it woke");
        }
    });
}

/// Two writers and a reader: nobody is there beside a writer, and nobody sleeps for ever.
pub fn readers_never_meet_a_writer() {
    // Who is there: a writer counts for 10.
    type Place = (spread::Spread, AtomicU32);
    fn stay(place: &Place, weight: u32, allowed: impl Fn(u32) -> bool) {
        let there = place.1.fetch_add(weight, Ordering::SeqCst) + weight;
        assert!(allowed(there), "somebody met a writer: {there}");
        let there = place.1.fetch_sub(weight, Ordering::SeqCst);
        assert!(allowed(there), "somebody met a writer: {there}");
    }
    fn read(place: &Place) {
        place.0.enter();
        stay(place, 1, |there| there < 10);
        place.0.leave();
    }
    fn write(place: &Place) {
        stay(place, 10, |there| there == 10);
        place.0.open();
    }
    check(Some(3), || {
        let place: Arc<Place> = Arc::new((a_spread(), AtomicU32::new(0)));
        let (theirs, others) = (Arc::clone(&place), Arc::clone(&place));
        let reader = thread::spawn(move || read(&theirs));
        let writer = thread::spawn(move || {
            if others.0.try_seize() {
                write(&others);
            }
        });
        place.0.seize();
        write(&place);
        reader.join().expect("it read");
        writer.join().expect("it wrote, or not");
    });
}

fn a_spread() -> spread::Spread {
    use spread::{Gate, Line, OPEN, Spread};
    Spread {
        gate: Line(Gate { word: AtomicU32::new(OPEN), waits: AtomicU32::new(0) }),
        readers: core::array::from_fn(|_| Line(AtomicU32::new(0))),
    }
}

/// What a store is to the hand-over: a log with a published and a durable end.
struct Log {
    state: Mutex<LogState>,
    waiting: Waiting,
    /// What the medium really has.
    medium: AtomicU64,
    /// Flushes that fail before one succeeds.
    faults: AtomicU32,
}

#[derive(Default)]
struct LogState {
    commits: Commits,
    published: u64,
    durable: u64,
}

impl Log {
    fn new(faults: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(LogState::default()),
            waiting: Waiting::from(0),
            medium: AtomicU64::new(0),
            faults: AtomicU32::new(faults),
        })
    }

    fn join(&self, target: Option<u64>) -> (Part, u64) {
        let mut state = self.state.lock().expect("nobody panics");
        let target = target.unwrap_or_else(|| {
            state.published += 1;
            state.published
        });
        let durable = state.durable;
        (state.commits.join(&self.waiting, durable, target), target)
    }

    /// As `Shared::commit`.
    fn put_durable(&self) -> Result<(), ()> {
        let (mut part, target) = self.join(None);
        loop {
            let done = match part {
                Part::Nothing => Some(Ok(())),
                Part::Lead => Some(self.lead()),
                Part::Follow { batch, failures } => {
                    match self.waiting.follow(batch, failures, target) {
                        Followed::Durable => Some(Ok(())),
                        Followed::Lead => Some(self.lead()),
                        Followed::Failed => None,
                    }
                }
            };
            if let Some(result) = done {
                if result.is_ok() {
                    let medium = self.medium.load(Ordering::SeqCst);
                    assert!(medium >= target, "{target} was acknowledged at {medium}");
                }
                return result;
            }
            part = self.join(Some(target)).0;
        }
    }

    /// As `Shared::lead`.
    fn lead(&self) -> Result<(), ()> {
        let (own, upto) = {
            let mut state = self.state.lock().expect("nobody panics");
            let published = state.published;
            (state.commits.begin(&self.waiting), published)
        };
        let faults = self.faults.load(Ordering::SeqCst);
        if faults > 0 {
            self.faults.store(faults - 1, Ordering::SeqCst);
            self.state.lock().expect("nobody panics").commits.give_up();
            self.waiting.wake_all();
            return Err(());
        }
        self.medium.store(upto, Ordering::SeqCst);
        let handover = {
            let mut state = self.state.lock().expect("nobody panics");
            state.durable = upto;
            state.commits.hand_over(&self.waiting, own, upto)
        };
        self.waiting.tell(handover);
        Ok(())
    }
}

fn writers(writers: usize, preemptions: usize, faults: u32) {
    check(Some(preemptions), move || {
        let log = Log::new(faults);
        let others: Vec<_> = (1..writers)
            .map(|_| {
                let log = Arc::clone(&log);
                thread::spawn(move || log.put_durable())
            })
            .collect();
        let mut failed = u32::from(log.put_durable().is_err());
        for other in others {
            failed += u32::from(other.join().expect("it returned").is_err());
        }
        assert_eq!(failed, faults, "a failure is told to who led, and to nobody else");
    });
}

/// A durable put returns only when the medium has it, and every one returns.
pub fn an_acknowledged_put_is_on_the_medium() {
    writers(2, 6, 0);
    writers(3, 3, 0);
}

/// A lead that fails leaves nobody asleep.
pub fn a_failed_lead_is_taken_up_by_those_that_waited() {
    writers(2, 6, 1);
    writers(3, 3, 1);
}

/// What the lock of a store guards, as far as the background writer goes.
#[derive(Default)]
struct Work {
    dirty: bool,
    writer_sleeps: bool,
    in_flight: u32,
}

/// As `Shared::staged` and `run_writer`: what is staged is written without another call.
pub fn the_writer_sees_what_was_staged(slip: Slip) {
    check(Some(3), move || {
        let shared = Arc::new((Mutex::new(Work::default()), Signal::default()));
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                loop {
                    let mut work = shared.0.lock().expect("nobody panics");
                    if work.dirty {
                        return;
                    }
                    work.writer_sleeps = true;
                    let ticket = shared.1.ticket();
                    drop(work);
                    let ticket = if slip == Slip::Ticket { shared.1.ticket() } else { ticket };
                    shared.1.wait(ticket, None);
                }
            })
        };
        {
            let mut work = shared.0.lock().expect("nobody panics");
            work.dirty = true;
            if work.writer_sleeps {
                work.writer_sleeps = false;
                shared.1.notify_all();
            }
        }
        writer.join().expect("it saw it");
    });
}

/// As `Workers::stop` and the workers' loops: a worker that is about to sleep ends as well.
pub fn a_worker_ends_when_it_is_told(slip: Slip) {
    check(Some(3), move || {
        let shared = Arc::new((AtomicBool::new(false), Signal::default()));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let early = shared.1.ticket();
                    while !shared.0.load(Ordering::SeqCst) {
                        let ticket = if slip == Slip::Ticket { shared.1.ticket() } else { early };
                        shared.1.wait(ticket, None);
                        if slip != Slip::Ticket && shared.0.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                })
            })
            .collect();
        shared.0.store(true, Ordering::SeqCst);
        shared.1.notify_all();
        for worker in workers {
            worker.join().expect("it ended");
        }
    });
}

/// As `Shared::finish` and `Handle::close`: who closes waits for the operations of others.
pub fn closing_waits_for_operations_in_flight(slip: Slip) {
    check(Some(3), move || {
        let work = Work { in_flight: 2, ..Work::default() };
        let shared = Arc::new((Mutex::new(work), Signal::default()));
        let executing: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.0.lock().expect("nobody panics").in_flight -= 1;
                    shared.1.notify_all();
                })
            })
            .collect();
        loop {
            let before = shared.1.ticket();
            if shared.0.lock().expect("nobody panics").in_flight == 0 {
                break;
            }
            let ticket = if slip == Slip::Ticket { shared.1.ticket() } else { before };
            shared.1.wait(ticket, None);
        }
        for one in executing {
            one.join().expect("it told");
        }
    });
}

/// A place of the medium: which incarnation of its segment wrote it, and whose record it holds.
struct Place(AtomicU64);

impl Place {
    fn put(&self, incarnation: u64, key: u64) {
        self.0.store(incarnation << 8 | key, Ordering::SeqCst);
    }

    fn verifies(&self, incarnation: u64, key: u64) -> bool {
        self.0.load(Ordering::SeqCst) == (incarnation << 8 | key)
    }
}

/// As `Shared::fetch_by`: a reader without pin or lock meets a merge that moves the record twice and
/// uses its segment for something else. It finds the record, and takes nothing for damage.
pub fn a_record_that_moves_is_found_and_never_taken_for_damage(slip: Slip) {
    const KEY: u64 = 7;
    const OTHER: u64 = 9;
    check(Some(3), move || {
        // Where the key's record is: place and incarnation, as one entry of the keydir.
        let entry = Mutex::new((0_usize, 1_u64));
        let places = [Place(AtomicU64::new(0)), Place(AtomicU64::new(0))];
        places[0].put(1, KEY);
        let shared = Arc::new((entry, places));
        let merger = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (entry, places) = &*shared;
                for (to, incarnation) in [(1, 2), (0, 3)] {
                    if slip == Slip::Reuse {
                        places[1 - to].put(incarnation + 10, OTHER);
                    }
                    places[to].put(incarnation, KEY);
                    *entry.lock().expect("nobody panics") = (to, incarnation);
                    if slip != Slip::Reuse {
                        places[1 - to].put(incarnation + 10, OTHER);
                    }
                }
            })
        };
        let (entry, places) = &*shared;
        let mut failed = None;
        loop {
            let plan = *entry.lock().expect("nobody panics");
            if places[plan.0].verifies(plan.1, KEY) {
                break;
            }
            let is_damage = failed == Some(plan) || slip == Slip::Patience;
            assert!(!is_damage, "a record that had moved was taken for damage");
            failed = Some(plan);
        }
        merger.join().expect("it merged");
    });
}
