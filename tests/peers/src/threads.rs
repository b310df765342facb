//! The same operations from one thread or from many, on one open store.
//!
//! Threads begin together, and the clock stops when the last one is done. One thread is the caller
//! itself: stores that cannot be shared take part there.

use std::sync::Barrier;
use std::time::{Duration, Instant};

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
    started: Instant,
    elapsed: Duration,
    ops_per_call: u64,
}

impl Ran {
    /// Rate and latencies. The rate is that of the calls alone.
    ///
    /// # Errors
    /// None in practice: a latency that no histogram can hold.
    pub fn figures(&self) -> Outcome<Vec<Figure>> {
        figures(&self.meters, self.elapsed, self.ops_per_call)
    }

    /// The same with everything that was done until now in the rate.
    ///
    /// # Errors
    /// As [`figures`](Self::figures).
    pub fn figures_until_now(&self) -> Outcome<Vec<Figure>> {
        figures(&self.meters, self.started.elapsed(), self.ops_per_call)
    }
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
        let mut meter = Meter::start(crew.calls_each);
        let mut work = worker(View::Alone(peer), 0);
        let started = Instant::now();
        meter.skip();
        for call in 0..crew.calls_each {
            work(call)?;
            meter.tick();
        }
        return Ok(Ran {
            meters: vec![meter],
            started,
            elapsed: started.elapsed(),
            ops_per_call: crew.ops_per_call,
        });
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
    let start = Barrier::new(crew.threads as usize + 1);
    let one = |thread: u64| -> Outcome<Meter> {
        let mut meter = Meter::start(crew.calls_each);
        let mut work = worker(thread);
        start.wait();
        meter.skip();
        for call in 0..crew.calls_each {
            work(call)?;
            meter.tick();
        }
        Ok(meter)
    };
    std::thread::scope(|scope| {
        let one = &one;
        let handles: Vec<_> =
            (0..crew.threads).map(|thread| scope.spawn(move || one(thread))).collect();
        start.wait();
        let started = Instant::now();
        let joined: Outcome<Vec<Meter>> = handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect();
        let elapsed = started.elapsed();
        Ok(Ran { meters: joined?, started, elapsed, ops_per_call: crew.ops_per_call })
    })
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
    fn an_error_of_one_thread_fails_the_run() {
        let crew = Crew::sharing(8, 4);
        let ran = run_shared(&crew, |thread| {
            move |_| if thread == 2 { Err("broken".into()) } else { Ok(()) }
        });
        assert!(ran.is_err_and(|error| error.to_string() == "broken"));
    }
}
