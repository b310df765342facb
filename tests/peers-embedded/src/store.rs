//! What a store must offer to take part: keys of two bytes, values of up to [`VALUE_BYTES_MAX`] bytes, every
//! write durable when its call returns.

use crate::nor::Flash;
use crate::rng::Rng;

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

/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 12;

/// A value that tells its key and version.
pub(crate) fn value(key: u16, version: u32) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    let mut rng = Rng::new(u64::from(key) << 32 | u64::from(version));
    value[..8].copy_from_slice(&rng.next().to_le_bytes());
    value[8..].copy_from_slice(&version.to_le_bytes());
    value
}
