//! Who leads a commit, who waits for it, and how the lead goes on: the protocol of `commit`, without
//! the engine.
//!
//! [`Commits`] lies under the store's lock, [`Waiting`] needs none. The first writer that finds no
//! leader leads. Who stages meanwhile joins the *gathering* batch and sleeps on that batch's own
//! signal. When the leader's write is durable it passes the lead to one sleeper of the gathering
//! batch, wakes it first, then those of its own batch, who return without taking a lock: a glance
//! at [`Waiting::durable`] tells them that they are done.
//!
//! Why nobody sleeps for ever: `durable` is moved by leaders only. At the hand-over the lead goes
//! to the gathering batch only if one of its members has a newer sequence than is durable; that
//! member cannot leave before there is another leader, so somebody takes the lead. On an error, or
//! if the leader panics, there is no leader any more and everybody is woken: each then looks for
//! itself. `tests/models` tries every order of steps.

use crate::signal::Signal;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};

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
    /// Sequence up to which the last leader made everything durable.
    durable: AtomicU64,
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
    /// For a store that is durable up to a sequence.
    pub(crate) fn from(durable: u64) -> Self {
        let waiting = Self::default();
        waiting.durable.store(durable, Ordering::SeqCst);
        waiting
    }

    /// A lead has failed, or something else that everybody must look at.
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

/// How waiting for a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    Durable,
    Lead,
    Failed,
}

/// Who leads next, and who is told that all is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    next: Option<u32>,
    own: u32,
    /// A batch whose members joined late, and whose data was carried along.
    late: Option<u32>,
}

impl Commits {
    /// Joins the commit under way, for everything up to `target`; so far `durable` is.
    pub(crate) fn join(&mut self, waiting: &Waiting, durable: u64, target: u64) -> Part {
        if durable >= target {
            return Part::Nothing;
        }
        if !self.is_led {
            self.is_led = true;
            return Part::Lead;
        }
        self.newest = self.newest.max(target);
        self.members += 1;
        waiting.members.store(self.members, Ordering::Relaxed);
        let failures = waiting.failures.load(Ordering::SeqCst);
        Part::Follow { batch: self.gathering, failures }
    }

    /// The leader takes along who has gathered: the number of its batch.
    pub(crate) fn begin(&mut self, waiting: &Waiting) -> u32 {
        let own = self.gathering;
        self.gathering = own.wrapping_add(1);
        self.written = self.members;
        (self.members, self.newest) = (0, 0);
        waiting.members.store(0, Ordering::Relaxed);
        own
    }

    /// Everything up to `durable` is on the medium: tells how far, and who leads next.
    pub(crate) fn hand_over(&mut self, waiting: &Waiting, own: u32, durable: u64) -> Handover {
        waiting.durable.store(durable, Ordering::SeqCst);
        waiting.expected.store(self.members + self.written, Ordering::Relaxed);
        if self.newest > durable {
            let batch = self.gathering;
            waiting.batch(batch).lead.store(true, Ordering::SeqCst);
            return Handover { next: Some(batch), own, late: None };
        }
        self.is_led = false;
        let late = (self.members > 0).then_some(self.gathering);
        if late.is_some() {
            (self.members, self.newest) = (0, 0);
            self.gathering = self.gathering.wrapping_add(1);
        }
        Handover { next: None, own, late }
    }

    /// The lead ends without success: nobody leads. To be followed by [`Waiting::wake_all`].
    pub(crate) fn give_up(&mut self) {
        *self = Self { gathering: self.gathering.wrapping_add(1), ..Self::default() };
    }
}

impl Waiting {
    fn batch(&self, number: u32) -> &Batch {
        &self.batches[number as usize % BATCHES]
    }

    /// Sleeps until a batch is durable, or is to be led, or a lead failed.
    pub(crate) fn follow(&self, batch: u32, failures: u32, target: u64) -> Followed {
        let batch = self.batch(batch);
        loop {
            let ticket = batch.signal.ticket();
            if self.durable.load(Ordering::SeqCst) >= target {
                return Followed::Durable;
            }
            if batch.lead.swap(false, Ordering::SeqCst) {
                return Followed::Lead;
            }
            if self.failures.load(Ordering::SeqCst) != failures {
                return Followed::Failed;
            }
            batch.signal.wait(ticket, None);
        }
    }

    /// Wakes who is told by a hand-over, the next leader first; without the lock.
    pub(crate) fn tell(&self, handover: Handover) {
        if let Some(batch) = handover.next {
            self.batch(batch).signal.notify_one();
        }
        self.batch(handover.own).signal.notify_all();
        if let Some(batch) = handover.late {
            self.batch(batch).signal.notify_all();
        }
    }

    /// Whether all are there that a leader may wait for.
    pub(crate) fn is_complete(&self) -> bool {
        self.members.load(Ordering::Relaxed) >= self.expected.load(Ordering::Relaxed)
    }
}
