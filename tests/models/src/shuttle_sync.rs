//! `hosted/src/sync.rs` under shuttle: one thread at a time, the next one drawn at every step.

use core::hash::{Hash, Hasher};
use core::ops::Add;
use core::time::Duration;
use std::hash::DefaultHasher;
use std::sync::atomic::AtomicU64 as Counter;

pub(crate) use shuttle::hint::spin_loop;
use shuttle::rand::{Rng, thread_rng};
pub(crate) use shuttle::sync::Mutex;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use shuttle::thread::{Builder, JoinHandle, scope, yield_now};
use shuttle::thread::{Thread, current, park};
pub(crate) use std::sync::{Arc, PoisonError, TryLockError};
pub(crate) use std::thread::panicking;

use crate::sleepers::Sleepers;

thread_local! {
    static SLEEPERS: Sleepers<Thread> = const { Sleepers::new() };
}

/// Forgets who slept when a schedule was given up.
pub(crate) fn begin() {
    SLEEPERS.with(Sleepers::clear);
}

/// As the system's: looks and falls asleep in one step. A time that is over is one more thing that
/// is drawn.
pub(crate) fn wait_on(word: &AtomicU32, value: u32, at_most: Option<Duration>) {
    if word.load(Ordering::SeqCst) != value || (at_most.is_some() && thread_rng().gen_bool(0.25)) {
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

/// A number of this thread.
pub(crate) fn thread_number() -> usize {
    let mut hasher = DefaultHasher::new();
    current().id().hash(&mut hasher);
    hasher.finish() as usize
}

/// One: nobody turns round for a lock that its holder cannot give back meanwhile.
pub(crate) fn processors() -> usize {
    1
}

/// A clock that goes on by being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

static MICROSECONDS: Counter = Counter::new(0);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(Duration::from_micros(MICROSECONDS.fetch_add(50, Ordering::Relaxed)))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }

    pub(crate) fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}
