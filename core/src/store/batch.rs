//! Batches of [`Store`]: puts and deletes that take effect together.

use super::Store;
use crate::device::BlockDevice;
use crate::engine::Engine;
use crate::error::Error;
use crate::types::{EntryKind, Seq};

/// Puts and deletes that take effect together. Dropping it without [`commit`](Self::commit) forgets them.
#[derive(Debug)]
pub struct Batch<'s, 'm, D: BlockDevice> {
    pub(super) store: &'s mut Store<'m, D>,
}

impl<D: BlockDevice> Batch<'_, '_, D> {
    /// Adds a put.
    ///
    /// # Errors
    /// `BatchTooLarge`, `KeySize`, `ValueTooLarge`, `KeydirFull`, `Poisoned`, `ReadOnly`, `PoolExhausted`; the batch is as
    /// before and can still be committed.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        self.store.drive(|engine| engine.poll_stage(EntryKind::Value, key, value))
    }

    /// Adds a delete, of a key that may or may not be there.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error<D::Error>> {
        self.store.drive(|engine| engine.poll_stage(EntryKind::Tombstone, key, &[]))
    }

    /// Makes the batch visible. It is durable after the next [`Store::sync`]; a crash before that leaves all of it or
    /// nothing. Returns the sequence of its last record.
    ///
    /// # Errors
    /// `Full`, `Poisoned`, `PoolExhausted`; nothing changed.
    pub fn commit(self) -> Result<Seq, Error<D::Error>> {
        let seq = self.store.drive(Engine::poll_commit)?;
        self.store.drain();
        Ok(seq)
    }
}

impl<D: BlockDevice> Drop for Batch<'_, '_, D> {
    fn drop(&mut self) {
        // After a commit there is nothing left to forget. No I/O: frames are given back.
        self.store.inner.engine.abort_batch();
    }
}
