//! The stores that take part, and what each must offer: keys of two bytes, values of up to
//! [`VALUE_BYTES_MAX`] bytes, every write durable when its call returns.

pub(crate) mod ekv;
pub(crate) mod ember;
pub(crate) mod littlefs;
pub(crate) mod sequential;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::nor::Flash;

/// Longest value of any workload.
pub(crate) const VALUE_BYTES_MAX: usize = 64;

/// A call's result; an error is for people to read.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// An open store.
pub(crate) trait Store {
    fn put(&mut self, key: u16, value: &[u8]) -> Outcome;
    /// Fills `value`; false where there is no such key.
    fn get(&mut self, key: u16, value: &mut Vec<u8>) -> Outcome<bool>;
    fn delete(&mut self, key: u16) -> Outcome;
    /// All pairs, as the store gives them out: a store may show a key more than once, the last
    /// value counts.
    fn fold(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Outcome;
    /// What the store does ahead when its user has nothing to do.
    fn idle(&mut self) -> Outcome {
        Ok(())
    }
}

/// How a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With an empty store on whatever the flash holds.
    Format,
    /// With what is there.
    Open,
}

/// What is done in a session.
pub(crate) type Work<'w> = &'w mut dyn FnMut(&mut dyn Store) -> Outcome;

/// A store and how it is configured, on `COUNT` blocks of `BLOCK` bytes.
pub(crate) trait Family<const BLOCK: usize, const COUNT: usize> {
    fn name(&self) -> &'static str;
    /// Memory that the store itself takes, for so many keys: its handle and its buffers.
    fn ram_bytes(&self, keys: usize) -> usize;
    /// Opens the store, does the work, and drops it, as a power cut would.
    fn session(&self, flash: &Flash<BLOCK, COUNT>, start: Start, work: Work<'_>) -> Outcome;
}

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
