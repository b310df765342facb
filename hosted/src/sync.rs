//! What threads meet through: everything of it that this crate uses comes from here.
//!
//! `tests/models` builds the protocols of this crate a second time, from the same files, with a
//! `sync` whose every step a checker schedules. So what is behind these names decides nothing about
//! the store, and nothing else of the standard library's threads is used anywhere in this crate
//! where the order of steps could matter.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex, PoisonError, TryLockError};
pub(crate) use std::thread::{Builder, JoinHandle, panicking, scope, yield_now};
pub(crate) use std::time::Instant;

use core::time::Duration;

use rustix::thread::futex::{self, Flags};
use rustix::time::Timespec;

/// Sleeps while the word has this value, until it is woken or the time is over; also ends now and
/// then without a reason.
pub(crate) fn wait_on(word: &AtomicU32, value: u32, at_most: Option<Duration>) {
    let at_most = at_most.map(|time| Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    // An interruption, a late arrival and the end of the time are all reasons to look again.
    let _ = futex::wait(word, Flags::PRIVATE, value, at_most.as_ref());
}

/// Wakes up to so many threads that sleep on the word.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    // Cannot fail for a word of this process.
    let _ = futex::wake(word, Flags::PRIVATE, count);
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A number of this thread, the same for its whole life.
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }
    NUMBER.with(|number| {
        // 0 is none yet.
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1));
        }
        number.get()
    })
}
