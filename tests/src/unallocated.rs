//! The engine works in its arena alone: what it is asked for through [`unallocated`] allocates nothing, or panics.
//!
//! The simulator and the churning rig make every call of theirs this way, so that every suite that they serve counts.
//! Devices and callbacks of tests, which the engine calls, may allocate [`aside`].

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Calls the engine.
///
/// # Panics
/// If it allocated, or as it panics itself.
pub fn unallocated<R>(call: impl FnOnce() -> R) -> R {
    let mut outcome = None;
    // The counter's depth must come down again when a seeded bug panics.
    let info = allocation_counter::measure(|| {
        outcome = Some(catch_unwind(AssertUnwindSafe(call)));
    });
    match outcome {
        Some(Ok(answer)) => {
            assert_eq!(info.count_total, 0, "the engine allocated {} bytes", info.bytes_total);
            answer
        }
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("a measured closure runs"),
    }
}

/// Leaves what a test's own device or callback allocates out of the count.
///
/// # Panics
/// As the call does.
pub fn aside<R>(call: impl FnOnce() -> R) -> R {
    let mut outcome = None;
    allocation_counter::opt_out(|| outcome = Some(catch_unwind(AssertUnwindSafe(call))));
    match outcome {
        Some(Ok(answer)) => answer,
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("a closure that is left out runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::{aside, unallocated};
    use std::hint::black_box;

    #[test]
    fn what_is_done_aside_does_not_count() {
        assert_eq!(unallocated(|| aside(|| black_box(vec![1, 2, 3])).len()), 3);
    }

    #[test]
    #[should_panic(expected = "the engine allocated")]
    fn an_allocation_is_noticed() {
        unallocated(|| black_box(Box::new(7)));
    }

    #[test]
    fn a_panic_leaves_the_count_as_it_was() {
        for _ in 0..100 {
            let caught = std::panic::catch_unwind(|| unallocated(|| aside(|| panic!("seeded"))));
            assert!(caught.is_err());
        }
        assert!(std::panic::catch_unwind(|| unallocated(|| black_box(vec![1]))).is_err());
    }
}
