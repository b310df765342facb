//! Group commit: many durable writers, few device writes.
//!
//! The first writer that finds no leader leads: it issues the device write itself, with no
//! hand-off. Who stages meanwhile joins the *gathering* batch and sleeps on that batch's own
//! signal. When the leader's write is durable it passes the lead to one sleeper of the gathering
//! batch, wakes it first, then those of its own batch, who return without taking a lock: a glance
//! at [`Shared::durable`] tells them that they are done.
//!
//! Why nobody sleeps for ever: `durable` is moved by leaders only. At the hand-over the lead goes
//! to the gathering batch only if one of its members has a newer sequence than is durable; that
//! member cannot leave before there is another leader, so somebody takes the lead. On an error, or
//! if the leader panics, there is no leader any more and everybody is woken: each then looks for
//! itself.

use core::task::Poll;
use core::time::Duration;

use emberkv_core::Seq;

use crate::error::Error;
use crate::shared::{Caller, Shared, State};
use crate::signal::Signal;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Instant, Ordering, yield_now};

/// Batches whose members may be asleep at once: the one that is written, the one that gathers, one
/// that wakes up.
const BATCHES: usize = 4;

/// What the lock guards.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    is_led: bool,
    /// Number of the batch that gathers.
    gathering: u32,
    /// Newest sequence that a member of it waits for.
    newest: u64,
    /// Its members.
    members: u32,
    /// Members of the batch that is being written.
    written: u32,
}

/// What needs no lock.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    batches: [Batch; BATCHES],
    /// Leads that ended without success.
    failures: AtomicU32,
    /// Members of the gathering batch, to be looked at without the lock.
    members: AtomicU32,
    /// So many will be there when those that were just told have come back.
    expected: AtomicU32,
    /// What a commit took lately, in nanoseconds.
    commit_ns: AtomicU64,
}

impl Commits {
    /// Whether somebody makes everything that is staged durable now.
    pub(crate) fn is_led(&self) -> bool {
        self.is_led
    }
}

#[derive(Debug, Default)]
struct Batch {
    signal: Signal,
    /// The lead is to be taken by a member of this batch.
    lead: AtomicBool,
}

impl Waiting {
    pub(crate) fn wake_all(&self) {
        self.failures.fetch_add(1, Ordering::SeqCst);
        for batch in &self.batches {
            batch.signal.notify_all();
        }
    }
}

/// What a writer does after it has staged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Lead.
    Lead,
    /// Wait for a batch.
    Follow { batch: u32, failures: u32 },
    /// All is durable already.
    Nothing,
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
            let _ = self.shared.step(None, |state| {
                let commits = &mut state.commits;
                let gathering = commits.gathering.wrapping_add(1);
                *commits = Commits { gathering, ..Commits::default() };
            });
            self.shared.commit.wake_all();
        }
    }
}

impl Shared {
    /// Joins the commit under way, for everything up to `target`, under the lock.
    pub(crate) fn join(&self, state: &mut State<'_>, target: Seq) -> Part {
        if state.engine.durable_seq() >= target {
            return Part::Nothing;
        }
        if !state.commits.is_led {
            state.commits.is_led = true;
            return Part::Lead;
        }
        let commits = &mut state.commits;
        commits.newest = commits.newest.max(target.0);
        commits.members += 1;
        self.commit.members.store(commits.members, Ordering::Relaxed);
        let failures = self.commit.failures.load(Ordering::SeqCst);
        Part::Follow { batch: commits.gathering, failures }
    }

    /// Returns once everything up to `target` is durable.
    pub(crate) fn commit(&self, mut part: Part, target: Seq) -> Result<(), Error> {
        // Each turn but the last ends with a lead that failed.
        loop {
            match part {
                Part::Nothing => return Ok(()),
                Part::Lead => return self.lead(target),
                Part::Follow { batch, failures } => match self.follow(batch, failures, target) {
                    Followed::Durable => return Ok(()),
                    Followed::Lead => {
                        self.gather();
                        return self.lead(target);
                    }
                    Followed::Failed => {}
                },
            }
            part = self.write(Caller::Anyone, |state| self.join(state, target))?;
        }
    }

    fn follow(&self, batch: u32, failures: u32, target: Seq) -> Followed {
        let batch = &self.commit.batches[batch as usize % BATCHES];
        loop {
            let ticket = batch.signal.ticket();
            if self.durable.load(Ordering::SeqCst) >= target.0 {
                return Followed::Durable;
            }
            if batch.lead.swap(false, Ordering::SeqCst) {
                return Followed::Lead;
            }
            if self.commit.failures.load(Ordering::SeqCst) != failures {
                return Followed::Failed;
            }
            batch.signal.wait(ticket, None);
        }
    }

    /// Waits a little for the writers that were told a moment ago and will soon have something new:
    /// else they and those that gather now would take turns, each batch half as large as it could
    /// be. At most a quarter of a commit's time.
    fn gather(&self) {
        let begun = Instant::now();
        let most = Duration::from_nanos(self.commit.commit_ns.load(Ordering::Relaxed) / 4);
        let expected = self.commit.expected.load(Ordering::Relaxed);
        // Bounded by the time, and by what a system without a working clock could do.
        for _ in 0..10_000 {
            if self.commit.members.load(Ordering::Relaxed) >= expected || begun.elapsed() >= most {
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
        let (own, durable) = self.drive(Caller::Anyone, |state| {
            let (own, upto) = *goal.get_or_insert_with(|| {
                let commits = &mut state.commits;
                let own = commits.gathering;
                commits.gathering = own.wrapping_add(1);
                commits.written = commits.members;
                (commits.members, commits.newest) = (0, 0);
                self.commit.members.store(0, Ordering::Relaxed);
                (own, state.engine.published_seq().max(target))
            });
            // Asked again only where it is not on its way: each asking takes along what was staged
            // since.
            if !state.engine.is_sync_queued(upto) && state.engine.poll_sync(upto)?.is_pending() {
                return Ok(Poll::Pending);
            }
            if state.engine.durable_seq() < upto {
                return Ok(Poll::Pending);
            }
            Ok(Poll::Ready((own, self.hand_over(state))))
        })?;
        guard.ended = true;
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = self.commit.commit_ns.load(Ordering::Relaxed);
        self.commit.commit_ns.store(before / 8 * 7 + took / 8, Ordering::Relaxed);
        if let Handover::To(batch) = durable {
            self.commit.batches[batch as usize % BATCHES].signal.notify_one();
        }
        self.commit.batches[own as usize % BATCHES].signal.notify_all();
        Ok(())
    }

    /// Everything that was asked for is durable: tells how far, and who leads next.
    fn hand_over(&self, state: &mut State<'_>) -> Handover {
        let durable = state.engine.durable_seq().0;
        self.durable.store(durable, Ordering::SeqCst);
        let commits = &mut state.commits;
        self.commit.expected.store(commits.members + commits.written, Ordering::Relaxed);
        if commits.newest > durable {
            let batch = commits.gathering;
            self.commit.batches[batch as usize % BATCHES].lead.store(true, Ordering::SeqCst);
            return Handover::To(batch);
        }
        commits.is_led = false;
        if commits.members > 0 {
            // They joined late, and what they wait for was carried along.
            (commits.members, commits.newest) = (0, 0);
            let batch = commits.gathering;
            commits.gathering = batch.wrapping_add(1);
            self.commit.batches[batch as usize % BATCHES].signal.notify_all();
        }
        Handover::None
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

/// How waiting for a batch ended.
enum Followed {
    Durable,
    Lead,
    Failed,
}

/// Who leads next.
enum Handover {
    To(u32),
    None,
}
