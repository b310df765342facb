//! Blocking devices run the asynchronous code over a medium whose futures are ready at once, so
//! each rule about flash is written once.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// The result of a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a blocking medium's futures are ready at once"),
    }
}
