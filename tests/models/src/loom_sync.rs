//! `hosted/src/sync.rs` under loom: every step is tried in every order.
//!
//! Loom takes `SeqCst` for `AcqRel`, and so finds orders that no machine has. It does know sequentially
//! consistent fences: each such load has one before it here, each such store one behind it, and
//! together they are what the standard asks of these operations among themselves.

use core::time::Duration;
use std::sync::atomic::AtomicUsize as Counter;

pub(crate) use loom::sync::atomic::Ordering;
use loom::sync::atomic::{self as loomed, fence};
use loom::thread::{Thread, current, park};

use crate::sleepers::Sleepers;

thread_local! {
    static SLEEPERS: Sleepers<Thread> = const { Sleepers::new() };
}

fn strongly(order: Ordering) {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}

/// An atomic whose `SeqCst` means that.
macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(loomed::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loomed::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                strongly(order);
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                // A swap: between a store and a swap of another thread loom does not keep to the
                // order in which they happened, and lets the next swap read the older of the two.
                self.swap(value, order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                strongly(order);
                let before = self.0.swap(value, order);
                strongly(order);
                before
            }
        }
    };
    ($name:ident, $value:ty, counts) => {
        atomic!($name, $value);

        impl $name {
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                strongly(order);
                let answer = self.0.compare_exchange(from, to, order, failed);
                strongly(order);
                answer
            }

            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                strongly(order);
                let before = self.0.fetch_add(value, order);
                strongly(order);
                before
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                strongly(order);
                let before = self.0.fetch_sub(value, order);
                strongly(order);
                before
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32, counts);
atomic!(AtomicU64, u64, counts);

pub(crate) use loom::hint::spin_loop;

static NEXT: Counter = Counter::new(0);

loom::thread_local! {
    static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

/// A number of this thread: the same ones in every execution that takes the same steps.
pub(crate) fn thread_number() -> usize {
    NUMBER.with(|number| *number)
}

/// Forgets who slept when an execution was given up.
pub(crate) fn begin() {
    SLEEPERS.with(Sleepers::clear);
    NEXT.store(0, Ordering::Relaxed);
}

/// As the system's: looks and falls asleep in one step.
pub(crate) fn wait_on(word: &AtomicU32, value: u32, _at_most: Option<Duration>) {
    // The system looks at the newest value, as only an addition does here; and no step, not even a
    // fence, may come between the look and the sleep.
    fence(Ordering::SeqCst);
    if word.0.fetch_add(0, Ordering::AcqRel) != value {
        return;
    }
    let (thread, me) = (current(), current().id());
    SLEEPERS.with(|sleepers| sleepers.add(word, thread));
    while SLEEPERS.with(|sleepers| sleepers.has(word, |of| of.id() == me)) {
        park();
    }
}

/// Wakes the first of those that sleep on the word.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    for _ in 0..count {
        let Some(sleeper) = SLEEPERS.with(|sleepers| sleepers.take(word)) else { return };
        sleeper.unpark();
    }
}
