//! How readers and writers of the engine keep apart: readers on different processors share nothing
//! that any of them writes.
//!
//! A reader counts itself in a slot of its thread's, each on lines of the cache of its own, and
//! looks whether the gate is open; a writer closes the gate and looks at all slots. Both steps are
//! sequentially consistent, so of a reader and a writer that come together at least one sees the
//! other, and the reader steps back. A lock that counts its readers in one word costs two readers
//! of cached values a third of their time: the word goes to and fro twice a read. A writer pays
//! with some loads, which stay in its cache as long as nobody reads.
//!
//! Who finds the gate closed queues at it, readers and writers alike, so neither starves the other.
//! `lock` puts a value behind it;
//! `tests/models` tries it in every order.

use crate::sync::{AtomicU32, Ordering, spin_loop, thread_number, wait_on, wake};

/// Slots of readers. More readers than that share them.
pub(crate) const SLOTS: usize = 8;
/// Looks at readers who are about to go, before a writer sleeps.
const LOOKS: u32 = 100;

pub(crate) const OPEN: u32 = 0;
const CLOSED: u32 = 1;
/// Closed, and somebody may sleep there.
const QUEUED: u32 = 2;

/// Two lines of the cache, as processors fetch them in pairs.
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// The protocol, without what it guards.
pub(crate) struct Spread {
    pub(crate) gate: Line<Gate>,
    pub(crate) readers: [Line<AtomicU32>; SLOTS],
}

pub(crate) struct Gate {
    pub(crate) word: AtomicU32,
    /// 1: who closed the gate sleeps until the readers are gone.
    pub(crate) waits: AtomicU32,
}

impl Spread {
    fn reader(&self) -> &AtomicU32 {
        &self.readers[thread_number() % SLOTS].0
    }

    fn try_close(&self) -> bool {
        let word = &self.gate.0.word;
        // A look first: a failed exchange would take the line from who has it.
        word.load(Ordering::Relaxed) == OPEN
            && word.compare_exchange(OPEN, CLOSED, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    fn close(&self) {
        if self.try_close() {
            return;
        }
        // Who slept cannot know whether others still do.
        while self.gate.0.word.swap(QUEUED, Ordering::SeqCst) != OPEN {
            wait_on(&self.gate.0.word, QUEUED, None);
        }
    }

    fn is_empty(&self) -> bool {
        self.readers.iter().all(|slot| slot.0.load(Ordering::SeqCst) == 0)
    }

    /// Waits until the readers who came before the gate was closed are gone.
    fn drain(&self) {
        for _ in 0..LOOKS {
            if self.is_empty() {
                return;
            }
            spin_loop();
        }
        let waits = &self.gate.0.waits;
        loop {
            waits.store(1, Ordering::SeqCst);
            if self.is_empty() {
                waits.store(0, Ordering::SeqCst);
                return;
            }
            wait_on(waits, 1, None);
        }
    }

    /// A reader comes in, if there is no writer.
    pub(crate) fn try_enter(&self) -> bool {
        self.reader().fetch_add(1, Ordering::SeqCst);
        let is_open = self.gate.0.word.load(Ordering::SeqCst) == OPEN;
        if !is_open {
            self.leave();
        }
        is_open
    }

    /// A reader comes in.
    pub(crate) fn enter(&self) {
        if !self.try_enter() {
            self.close();
            self.reader().fetch_add(1, Ordering::SeqCst);
            self.open();
        }
    }

    /// A reader goes.
    pub(crate) fn leave(&self) {
        self.reader().fetch_sub(1, Ordering::SeqCst);
        let waits = &self.gate.0.waits;
        if waits.load(Ordering::SeqCst) == 1 && waits.swap(0, Ordering::SeqCst) == 1 {
            wake(waits, 1);
        }
    }

    /// Keeps everybody out.
    pub(crate) fn seize(&self) {
        self.close();
        self.drain();
    }

    /// Keeps everybody out, if nobody is there.
    pub(crate) fn try_seize(&self) -> bool {
        if !self.try_close() {
            return false;
        }
        let is_empty = self.is_empty();
        if !is_empty {
            self.open();
        }
        is_empty
    }

    /// Undoes [`seize`](Self::seize).
    pub(crate) fn open(&self) {
        if self.gate.0.word.swap(OPEN, Ordering::SeqCst) == QUEUED {
            wake(&self.gate.0.word, 1);
        }
    }
}
