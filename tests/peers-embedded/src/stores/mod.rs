//! The stores that take part.

pub(crate) mod ekv;
pub(crate) mod ember;
pub(crate) mod littlefs;
pub(crate) mod sequential;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// An error of a peer, in its own words.
fn said(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Runs a future whose device is always ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    // A store that waits for itself would be found here, not hang.
    for _ in 0..1000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("the future is never ready")
}
