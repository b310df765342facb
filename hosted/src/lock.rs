//! The lock around the engine: a value behind the protocol of `spread`, with the poisoning of the
//! standard library's.
//!
//! The one unsafe item of this crate: it promises that the protocol excludes. Used by `shared`
//! alone.

use core::ops::{Deref, DerefMut};

use lock_api::{GuardNoSend, RawRwLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::spread::{Gate, Line, OPEN, SLOTS, Spread};
use crate::sync::{AtomicBool, AtomicU32, Ordering, PoisonError, TryLockError, panicking};

// SAFETY: exclusive is who closed the gate and then saw every slot at zero. A reader counts itself
// in its slot before it looks at the gate, all in one order (SeqCst), so it finds the gate closed,
// and leaves without reading, or is seen in its slot, and waited for. A slot is the thread's, and
// guards stay in their thread (`GuardNoSend`): what was added to a slot is taken from the same. What
// the holder wrote happens before what the next one reads, by the gate, and before a writer come all
// reads, by the slots.
#[expect(unsafe_code, reason = "the trait is unsafe to implement: its users rely on exclusion")]
unsafe impl RawRwLock for Spread {
    const INIT: Self = Self {
        gate: Line(Gate { word: AtomicU32::new(OPEN), waits: AtomicU32::new(0) }),
        readers: [const { Line(AtomicU32::new(0)) }; SLOTS],
    };

    type GuardMarker = GuardNoSend;

    fn lock_shared(&self) {
        self.enter();
    }

    fn try_lock_shared(&self) -> bool {
        self.try_enter()
    }

    unsafe fn unlock_shared(&self) {
        self.leave();
    }

    fn lock_exclusive(&self) {
        self.seize();
    }

    fn try_lock_exclusive(&self) -> bool {
        self.try_seize()
    }

    unsafe fn unlock_exclusive(&self) {
        self.open();
    }
}

/// A value for many readers or one writer. A writer that panics poisons it.
pub(crate) struct Lock<T> {
    inner: RwLock<Spread, T>,
    poisoned: AtomicBool,
}

/// A writer's access.
pub(crate) struct WriteGuard<'l, T> {
    inner: RwLockWriteGuard<'l, Spread, T>,
    poisoned: &'l AtomicBool,
    /// A panic was under way before.
    panicked: bool,
}

/// A reader's access.
pub(crate) type ReadGuard<'l, T> = RwLockReadGuard<'l, Spread, T>;

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { inner: RwLock::new(value), poisoned: AtomicBool::new(false) }
    }

    pub(crate) fn read(&self) -> Result<ReadGuard<'_, T>, PoisonError<ReadGuard<'_, T>>> {
        self.unless_poisoned(self.inner.read())
    }

    pub(crate) fn write(&self) -> Result<WriteGuard<'_, T>, PoisonError<WriteGuard<'_, T>>> {
        self.unless_poisoned(self.guard(self.inner.write()))
    }

    pub(crate) fn try_write(&self) -> Result<WriteGuard<'_, T>, TryLockError<WriteGuard<'_, T>>> {
        let guard = self.inner.try_write().ok_or(TryLockError::WouldBlock)?;
        Ok(self.unless_poisoned(self.guard(guard))?)
    }

    fn guard<'l>(&'l self, inner: RwLockWriteGuard<'l, Spread, T>) -> WriteGuard<'l, T> {
        WriteGuard { inner, poisoned: &self.poisoned, panicked: panicking() }
    }

    fn unless_poisoned<G>(&self, guard: G) -> Result<G, PoisonError<G>> {
        // Set under the lock.
        if self.poisoned.load(Ordering::Relaxed) { Err(PoisonError::new(guard)) } else { Ok(guard) }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        if !self.panicked && panicking() {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn readers_and_writers_on_more_threads_than_slots_never_meet() {
        let lock = Lock::new([0_u64; 16]);
        std::thread::scope(|scope| {
            for thread in 0..12 {
                let lock = &lock;
                scope.spawn(move || {
                    for turn in 0..4000 {
                        if (turn + thread) % 3 == 0 {
                            let mut guard = lock.write().expect("nobody panics");
                            guard.iter_mut().for_each(|word| *word += 1);
                        } else if let Ok(mut guard) = lock.try_write() {
                            guard.iter_mut().for_each(|word| *word += 1);
                            guard.iter_mut().for_each(|word| *word -= 1);
                        } else {
                            let guard = lock.read().expect("nobody panics");
                            assert!(guard.iter().all(|word| *word == guard[0]));
                        }
                    }
                });
            }
        });
        assert_eq!(lock.read().expect("nobody panics")[0], 12 * 4000 / 3);
    }

    #[test]
    fn only_a_writer_that_panics_poisons_and_its_value_can_be_taken() {
        let lock = Lock::new(1);
        let panics = |work: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
        panics(&|| {
            let _guard = lock.read().expect("not poisoned");
            panic!("a reader");
        });
        assert!(lock.read().is_ok());
        panics(&|| {
            let _guard = lock.write().expect("not poisoned");
            panic!("a writer");
        });
        assert!(lock.read().is_err() && lock.try_write().is_err());
        let Err(poisoned) = lock.write() else { panic!("it is poisoned") };
        assert_eq!(*poisoned.into_inner(), 1);
    }
}
