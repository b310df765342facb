//! The background threads: one that hands buffered writes to the device and syncs at intervals, one
//! that merges.
//!
//! Both end when they are told to, when the store is closed, and when it is poisoned by a panic.
//! Neither is needed for progress: whoever needs an operation's result executes it. They are there
//! so that nobody has to wait.

use core::time::Duration;

use emberkv_core::MergeNeed;

use crate::builder::Durability;
use crate::error::Error;
use crate::shared::{Caller, Job, Shared};
use crate::signal::Ticket;
use crate::sync::{Arc, Builder, Instant, JoinHandle, Ordering};

/// Merge work of one step, in bytes: what the lock is held for, some microseconds.
const MERGE_STEP_BYTES: u64 = 16 << 10;
/// How often the merger looks whether the store is idle.
const MERGE_LOOK: Duration = Duration::from_millis(20);
/// How often it looks at a store that nothing happens to.
const MERGE_LOOK_IDLE: Duration = Duration::from_secs(1);

/// The threads of one store.
#[derive(Debug, Default)]
pub(crate) struct Workers(Vec<JoinHandle<()>>);

impl Workers {
    /// Starts the writer, and a merger where there may be one.
    pub(crate) fn start(shared: &Arc<Shared>, mergers: u32) -> Result<Self, Error> {
        let mut workers = Self::default();
        let started =
            workers.spawn(shared, "emberkv-write", run_writer).and_then(|()| match mergers {
                0 => Ok(()),
                _ => workers.spawn(shared, "emberkv-merge", run_merger),
            });
        if started.is_err() {
            workers.stop(shared);
        }
        started.map(|()| workers)
    }

    fn spawn(
        &mut self,
        shared: &Arc<Shared>,
        name: &'static str,
        run: fn(&Shared) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let shared = Arc::clone(shared);
        // What ends a worker is told to whoever calls next: the engine is poisoned, or the lock, or
        // it is closed.
        let thread = Builder::new().name(name.to_owned()).spawn(move || drop(run(&shared)));
        let thread =
            thread.map_err(|error| Error::io("cannot start a thread", "".as_ref(), error))?;
        self.0.push(thread);
        Ok(())
    }

    /// Ends them.
    pub(crate) fn stop(&mut self, shared: &Shared) {
        shared.stop.store(true, Ordering::SeqCst);
        shared.work.notify_all();
        shared.merging.notify_all();
        shared.progress.notify_all();
        for thread in self.0.drain(..) {
            // A panic of its was told to everybody by the poisoned lock.
            let _ = thread.join();
        }
    }
}

/// What the writer does next.
enum Write {
    Run(Job),
    Sync,
    Sleep(Ticket, Option<Duration>),
}

fn run_writer(shared: &Shared) -> Result<(), Error> {
    let interval = match shared.durability {
        Durability::Interval(time) => Some(time),
        Durability::Buffered | Durability::Immediate => None,
    };
    let mut due: Option<Instant> = None;
    let mut done = None;
    let mut open_segment = None;
    while !shared.stop.load(Ordering::SeqCst) || done.is_some() {
        let ended = shared.stop.load(Ordering::SeqCst);
        let next = shared.step(done.take(), |state| {
            // A new segment is opened: there may be merge work.
            let segment = state.engine.open_segment_id();
            if open_segment.replace(segment) != Some(segment) {
                shared.merging.notify_all();
            }
            if !ended && let Some(job) = Shared::take_job(state) {
                return Write::Run(job);
            }
            if let Some(interval) = interval
                && state.dirty
            {
                let at = *due.get_or_insert_with(|| Instant::now() + interval);
                if at <= Instant::now() {
                    state.dirty = false;
                    due = None;
                    return Write::Sync;
                }
            }
            state.writer_sleeps = true;
            let left = due.map(|at| at.saturating_duration_since(Instant::now()));
            Write::Sleep(shared.work.ticket(), left)
        })?;
        match next {
            Write::Run(job) => done = Some(shared.run(job)),
            // Its failure poisons the engine, which tells everybody.
            Write::Sync => drop(shared.sync_all(Caller::Anyone)),
            Write::Sleep(ticket, left) if !shared.stop.load(Ordering::SeqCst) => {
                shared.work.wait(ticket, left);
            }
            Write::Sleep(..) => {}
        }
    }
    Ok(())
}

/// What the merger saw last.
struct Seen {
    published: u64,
    need: MergeNeed,
}

fn run_merger(shared: &Shared) -> Result<(), Error> {
    let mut before = None;
    while !shared.stop.load(Ordering::SeqCst) {
        let ticket = shared.merging.ticket();
        let seen = shared.read(|state| Seen {
            published: state.engine.published_seq().0,
            need: state.engine.merge_need(),
        })?;
        let is_idle = before.replace(seen.published) == Some(seen.published);
        // While there are writers, only what they would have to do themselves: the longer a segment
        // waits, the less of it is alive.
        let works = match seen.need {
            MergeNeed::Must => true,
            MergeNeed::Should => is_idle,
            MergeNeed::No => false,
        };
        if works && merge_once(shared)? {
            shared.give_way();
            continue;
        }
        let wait = if is_idle && !works { MERGE_LOOK_IDLE } else { MERGE_LOOK };
        shared.merging.wait(ticket, Some(wait));
    }
    Ok(())
}

/// One step; whether there is more to do.
fn merge_once(shared: &Shared) -> Result<bool, Error> {
    let mut left = MERGE_STEP_BYTES;
    match shared.drive(Caller::Anyone, |state| state.engine.poll_merge(&mut left)) {
        Ok(more) => Ok(more),
        Err(error @ (Error::Closed | Error::Panicked)) => Err(error),
        // Told to whoever writes next, or no reason to give up: a full store, a busy pool.
        Err(_) => Ok(false),
    }
}
