//! Writers that find the lock taken leave their write with whoever has it.
//!
//! A put holds the lock for less time than it takes to hand it over to another processor, with all
//! that the engine keeps in its caches. So who finds it taken copies the write to a *desk* and
//! waits; the holder stages what lies on the desks before it lets go. Where the lock is free nobody
//! ever gets here.
//!
//! ```text
//! Free --owner--> Claimed --owner--> Posted --holder--> Taken --holder--> Staged | Refused --owner--> Free
//!                                      `------owner, with the lock or at last------------------------^
//! ```
//! * Only the holder of the lock takes, and settles before it lets go: an owner that has the lock
//!   itself never meets `Taken`, so it either takes its write back or finds it settled.
//! * A write is staged once: `Posted` is left by one compare-and-swap, the holder's or the owner's.
//! * A write that cannot be staged at once (it needs I/O, or room, or fails) is refused, and its
//!   owner does it as if nobody had been there.
//! * If the holder panics its desks stay taken; their owners learn it from the lock.

use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, PoisonError};

/// Desks. With more writers than these the others wait for the lock as usual.
const DESKS: usize = 16;

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const POSTED: u32 = 2;
const TAKEN: u32 = 3;
const STAGED: u32 = 4;
const REFUSED: u32 = 5;

/// Where writes of type `W` are left.
#[derive(Debug)]
pub(crate) struct Desks<W> {
    /// A bit for each desk that may have something: a hint, set after the desk says so.
    posted: Line<AtomicU32>,
    desks: [Line<Desk<W>>; DESKS],
}

/// On cache lines of its own: who waits looks at its desk all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

#[derive(Debug)]
struct Desk<W> {
    state: AtomicU32,
    /// The sequence of what was staged.
    seq: AtomicU64,
    /// Locked by one at a time anyway; kept for the next write.
    write: Mutex<W>,
}

/// A desk with a write on it, until its owner has settled it.
#[derive(Debug)]
pub(crate) struct Posted(usize);

/// What became of a posted write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is visible, at this sequence.
    Staged(u64),
    /// Nobody did anything: it is the owner's again.
    Refused,
}

impl<W: Default> Default for Desks<W> {
    fn default() -> Self {
        let desk = |_| {
            Line(Desk {
                state: AtomicU32::new(FREE),
                seq: AtomicU64::new(0),
                write: Mutex::new(W::default()),
            })
        };
        Self { posted: Line(AtomicU32::new(0)), desks: core::array::from_fn(desk) }
    }
}

impl<W> Desks<W> {
    /// Leaves a write, which `fill` copies to a desk; `None` where the desk is taken. Each thread
    /// comes with a number, and those of a few threads should differ.
    pub(crate) fn post(&self, thread: usize, fill: impl FnOnce(&mut W)) -> Option<Posted> {
        let index = thread % DESKS;
        let Line(desk) = &self.desks[index];
        let claimed =
            desk.state.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed);
        claimed.ok()?;
        fill(&mut desk.write.lock().unwrap_or_else(PoisonError::into_inner));
        desk.state.store(POSTED, Ordering::Release);
        self.posted.0.fetch_or(1 << index, Ordering::Release);
        Some(Posted(index))
    }

    /// Whether the write was settled. After an answer the desk is free again, and must not be asked
    /// for any more.
    pub(crate) fn settled(&self, posted: &Posted) -> Option<Outcome> {
        let Line(desk) = &self.desks[posted.0];
        let outcome = match desk.state.load(Ordering::Acquire) {
            STAGED => Outcome::Staged(desk.seq.load(Ordering::Relaxed)),
            REFUSED => Outcome::Refused,
            _ => return None,
        };
        desk.state.store(FREE, Ordering::Release);
        Some(outcome)
    }

    /// Takes the write back, for an owner that has the lock now: refused, if nobody was faster.
    pub(crate) fn take_back(&self, posted: &Posted) -> Outcome {
        let Line(desk) = &self.desks[posted.0];
        let taken =
            desk.state.compare_exchange(POSTED, FREE, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            return Outcome::Refused;
        }
        self.settled(posted).expect("who took it has settled it before it let go of the lock")
    }

    /// Stages what lies there, for the holder of the lock: once round, so it ends.
    pub(crate) fn serve(&self, mut stage: impl FnMut(&W) -> Option<u64>) {
        // A glance that costs nothing where nobody waits.
        if self.posted.0.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut posted = self.posted.0.swap(0, Ordering::Acquire);
        while posted != 0 {
            let index = posted.trailing_zeros() as usize;
            posted &= posted - 1;
            let Line(desk) = &self.desks[index];
            let taken =
                desk.state.compare_exchange(POSTED, TAKEN, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_err() {
                // Taken back.
                continue;
            }
            let staged = stage(&desk.write.lock().unwrap_or_else(PoisonError::into_inner));
            let state = staged.map_or(REFUSED, |seq| {
                desk.seq.store(seq, Ordering::Relaxed);
                STAGED
            });
            desk.state.store(state, Ordering::Release);
        }
    }
}
