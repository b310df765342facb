//! The same operations from one thread or from many, on one open store.
//!
//! Threads begin together; the time of all is from the first one's start to the last one's end, by
//! their own clocks (the thread that waits for them may wake up much later than they start). One
//! thread is the caller itself: stores that cannot be shared take part there.

use std::sync::Barrier;
use std::time::Instant;

use crate::measure::{Figure, Meter, figures};
use crate::peer::{Outcome, Peer};

/// How many threads, and how much each of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    /// Threads.
    pub threads: u64,
    /// Calls of each.
    pub calls_each: u64,
    /// Operations of one call.
    pub ops_per_call: u64,
}

impl Crew {
    /// So many threads that share `ops` single operations, each at least one.
    #[must_use]
    pub fn sharing(ops: u64, threads: u64) -> Self {
        Self { threads, calls_each: (ops / threads).max(1), ops_per_call: 1 }
    }

    /// Operations of all together.
    #[must_use]
    pub const fn ops(&self) -> u64 {
        self.threads * self.calls_each * self.ops_per_call
    }

    /// The index of a call among those of all threads: each occurs once.
    #[must_use]
    pub const fn index(&self, thread: u64, call: u64) -> u64 {
        call * self.threads + thread
    }

    /// "1 thread" or "16 threads".
    #[must_use]
    pub fn describe(&self) -> String {
        describe(self.threads)
    }
}

/// "1 thread" or "16 threads".
#[must_use]
pub fn describe(threads: u64) -> String {
    match threads {
        1 => "1 thread".to_owned(),
        many => format!("{many} threads"),
    }
}

/// What the threads did, before it is made into figures.
pub struct Ran {
    meters: Vec<Meter>,
    ops_per_call: u64,
}

impl Ran {
    /// Rate and latencies. The rate is that of the calls alone.
    ///
    /// # Errors
    /// None in practice: a latency that no histogram can hold.
    pub fn figures(&self) -> Outcome<Vec<Figure>> {
        let ended = self.meters.iter().map(Meter::last).max();
        self.figures_until(ended.unwrap_or_else(Instant::now))
    }

    /// The same with everything that was done until now in the rate.
    ///
    /// # Errors
    /// As [`figures`](Self::figures).
    pub fn figures_until_now(&self) -> Outcome<Vec<Figure>> {
        self.figures_until(Instant::now())
    }

    fn figures_until(&self, ended: Instant) -> Outcome<Vec<Figure>> {
        let started = self.meters.iter().map(Meter::started).min().unwrap_or(ended);
        figures(&self.meters, ended - started, self.ops_per_call)
    }
}

fn measured<W>(crew: &Crew, mut work: W, start: impl FnOnce()) -> Outcome<Meter>
where
    W: FnMut(u64) -> Outcome<()>,
{
    let mut meter = Meter::start(crew.calls_each);
    start();
    meter.restart();
    for call in 0..crew.calls_each {
        work(call)?;
        meter.tick();
    }
    Ok(meter)
}

/// Has every thread make a worker of its own, with its number, and call it `calls_each` times.
///
/// # Errors
/// The first of a worker; that the store cannot be shared.
pub fn run<'p, W>(
    peer: &'p dyn Peer,
    crew: &Crew,
    worker: impl Fn(View<'p>, u64) -> W + Sync,
) -> Outcome<Ran>
where
    W: FnMut(u64) -> Outcome<()>,
{
    if crew.threads == 1 {
        let meter = measured(crew, worker(View::Alone(peer), 0), || ())?;
        return Ok(Ran { meters: vec![meter], ops_per_call: crew.ops_per_call });
    }
    let shared = peer.shared().ok_or("this store is for one thread")?;
    run_shared(crew, |thread| worker(View::Shared(shared), thread))
}

/// The same for workers that need no store.
///
/// # Errors
/// The first of a worker.
pub fn run_shared<W>(crew: &Crew, worker: impl Fn(u64) -> W + Sync) -> Outcome<Ran>
where
    W: FnMut(u64) -> Outcome<()>,
{
    let start = Barrier::new(crew.threads as usize);
    let one = |thread: u64| {
        measured(crew, worker(thread), || {
            start.wait();
        })
    };
    let meters: Outcome<Vec<Meter>> = std::thread::scope(|scope| {
        let one = &one;
        let handles: Vec<_> =
            (0..crew.threads).map(|thread| scope.spawn(move || one(thread))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect()
    });
    Ok(Ran { meters: meters?, ops_per_call: crew.ops_per_call })
}

/// A store as a worker sees it.
#[derive(Clone, Copy)]
pub enum View<'p> {
    /// By the only thread.
    Alone(&'p dyn Peer),
    /// By one of many.
    Shared(&'p crate::peer::Shared),
}

impl<'p> View<'p> {
    /// The store.
    #[must_use]
    pub fn peer(self) -> &'p dyn Peer {
        match self {
            Self::Alone(peer) => peer,
            Self::Shared(shared) => shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Crew, run_shared};

    #[test]
    fn every_index_is_worked_on_once_and_every_call_is_measured() {
        let crew = Crew::sharing(100, 4);
        let sum = AtomicU64::new(0);
        let ran = run_shared(&crew, |thread| {
            let sum = &sum;
            move |call| {
                sum.fetch_add(crew.index(thread, call), Ordering::Relaxed);
                Ok(())
            }
        })
        .expect("nothing fails");
        assert_eq!(sum.into_inner(), (0..100).sum::<u64>());
        assert_eq!(ran.meters.iter().map(|meter| meter.nanos().len()).sum::<usize>(), 100);
    }

    #[test]
    fn the_rate_is_that_of_the_time_in_which_the_threads_ran() {
        let crew = Crew::sharing(8, 4);
        let nap = |_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ok(())
        };
        let ran = run_shared(&crew, |_| nap).expect("nothing fails");
        // Two naps each, at the same time: 8 in 40 ms or more.
        let rate = ran.figures().expect("latencies fit")[0].value;
        assert!((1.0..=200.0).contains(&rate), "{rate}");
    }

    #[test]
    fn an_error_of_one_thread_fails_the_run() {
        let crew = Crew::sharing(8, 4);
        let ran = run_shared(&crew, |thread| {
            move |_| if thread == 2 { Err("broken".into()) } else { Ok(()) }
        });
        assert!(ran.is_err_and(|error| error.to_string() == "broken"));
    }
}
