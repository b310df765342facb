//! Group commit: many durable writers, few device writes.
//!
//! The leader issues the device write itself, with no hand-off; `handover` has who leads and who
//! waits. Used by every durable write and by `sync`.

use core::task::Poll;
use core::time::Duration;

use emberkv_core::Seq;

use crate::error::Error;
use crate::handover::{Followed, Part};
use crate::shared::{Caller, Shared, State};
use crate::sync::{AtomicU64, Instant, Ordering, yield_now};

/// What commits took lately.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    commit_ns: AtomicU64,
}

impl Pace {
    fn lately(&self) -> Duration {
        Duration::from_nanos(self.commit_ns.load(Ordering::Relaxed))
    }

    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.commit_ns.load(Ordering::Relaxed);
        self.commit_ns.store(before / 8 * 7 + took / 8, Ordering::Relaxed);
    }
}

/// Ends a lead that did not get to its end.
struct LeadGuard<'s> {
    shared: &'s Shared,
    ended: bool,
}

impl Drop for LeadGuard<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Where the lock is poisoned there is nothing to reset, and everybody will be told.
            let _ = self.shared.step(None, |state| state.commits.give_up());
            self.shared.commit.wake_all();
        }
    }
}

impl Shared {
    /// Joins the commit under way, for everything up to `target`, under the lock.
    pub(crate) fn join(&self, state: &mut State<'_>, target: Seq) -> Part {
        let durable = state.engine.durable_seq().0;
        state.commits.join(&self.commit, durable, target.0)
    }

    /// Returns once everything up to `target` is durable.
    pub(crate) fn commit(&self, mut part: Part, target: Seq) -> Result<(), Error> {
        // Each turn but the last ends with a lead that failed.
        loop {
            match part {
                Part::Nothing => return Ok(()),
                Part::Lead => return self.lead(target),
                Part::Follow { batch, failures } => {
                    match self.commit.follow(batch, failures, target.0) {
                        Followed::Durable => return Ok(()),
                        Followed::Lead => {
                            self.gather();
                            return self.lead(target);
                        }
                        Followed::Failed => {}
                    }
                }
            }
            part = self.write(Caller::Anyone, |state| self.join(state, target))?;
        }
    }

    /// Waits a little for the writers that were told a moment ago and will soon have something new:
    /// else they and those that gather now would take turns, each batch half as large as it could
    /// be. At most a quarter of a commit's time.
    fn gather(&self) {
        let begun = Instant::now();
        let most = self.pace.lately() / 4;
        // Bounded by the time, and by what a system without a working clock could do.
        for _ in 0..10_000 {
            if self.commit.is_complete() || begun.elapsed() >= most {
                return;
            }
            yield_now();
        }
    }

    /// Makes everything that is staged durable, `target` at least, for all who wait.
    fn lead(&self, target: Seq) -> Result<(), Error> {
        let begun = Instant::now();
        let mut guard = LeadGuard { shared: self, ended: false };
        let mut goal = None;
        let handover = self.drive(Caller::Anyone, |state| {
            let (own, upto) = *goal.get_or_insert_with(|| {
                let own = state.commits.begin(&self.commit);
                (own, state.engine.published_seq().max(target))
            });
            // Asked again only where it is not on its way: each asking takes along what was staged
            // since.
            if !state.engine.is_sync_queued(upto) && state.engine.poll_sync(upto)?.is_pending() {
                return Ok(Poll::Pending);
            }
            let durable = state.engine.durable_seq();
            if durable < upto {
                return Ok(Poll::Pending);
            }
            Ok(Poll::Ready(state.commits.hand_over(&self.commit, own, durable.0)))
        })?;
        guard.ended = true;
        self.pace.note(begun.elapsed());
        self.commit.tell(handover);
        Ok(())
    }

    /// Returns once everything that was staged before is durable.
    pub(crate) fn sync_all(&self, caller: Caller) -> Result<(), Error> {
        let (part, target) = self.write(caller, |state| {
            let target = state.engine.published_seq();
            (self.join(state, target), target)
        })?;
        self.commit(part, target)
    }
}
