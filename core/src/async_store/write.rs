//! The driver's calls that write: puts, streams, deletes, batches, sync.

use core::task::Poll;

use super::{AsyncStore, drive};
use crate::device::AsyncBlockDevice;
use crate::engine::{StreamIn, StreamSource};
use crate::error::Error;
use crate::merge::MergeNeed;
use crate::parts::CHUNKS;

/// A chunked value that is being written. Whatever ends the call before its head is there, an error or a dropped future,
/// gives its frames back and lets go of its chunks.
struct OpenStream<'s, 'm, D: AsyncBlockDevice> {
    store: &'s mut AsyncStore<'m, D>,
    stream: StreamIn,
    ended: bool,
}

impl<D: AsyncBlockDevice> OpenStream<'_, '_, D> {
    async fn end(mut self, key: &[u8]) -> Result<(), Error<D::Error>> {
        let store = &mut *self.store;
        drive!(store, store.engine.poll_end_stream(&self.stream, key));
        self.ended = true;
        store.drain().await;
        Ok(())
    }
}

impl<D: AsyncBlockDevice> Drop for OpenStream<'_, '_, D> {
    fn drop(&mut self) {
        if !self.ended {
            self.store.engine.abort_stream(&self.stream);
        }
    }
}

impl<D: AsyncBlockDevice> AsyncStore<'_, D> {
    /// Stages a put: visible at once, durable after the next [`sync`](Self::sync). Values that do not fit one record are
    /// chunked.
    ///
    /// # Errors
    /// `KeySize`, `ValueTooLarge`, `Full`, `KeydirFull`, `Poisoned`, `ReadOnly`, `PoolExhausted`; nothing changed.
    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        if CHUNKS && value.len() > self.engine.single_value_max(key) {
            return self.put_chunked(key, value).await;
        }
        drive!(self, self.engine.poll_put(key, value));
        self.drain().await;
        Ok(())
    }

    async fn put_chunked(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        let stream = drive!(
            self,
            self.engine.poll_begin_stream(key, value.len() as u64, StreamSource::Slice)
        );
        let mut open = OpenStream { store: self, stream, ended: false };
        let store = &mut *open.store;
        while !store.engine.stream_is_complete(&open.stream) {
            drive!(store, store.engine.poll_chunk(&mut open.stream, value));
            store.drain().await;
        }
        open.end(key).await
    }

    /// Puts a value of `bytes` bytes that `fill` gives piece by piece: it fills the buffer it gets, or answers false.
    pub(crate) async fn put_from(
        &mut self,
        key: &[u8],
        bytes: u64,
        mut fill: impl FnMut(&mut [u8]) -> bool,
    ) -> Result<(), Error<D::Error>> {
        let stream = drive!(self, self.engine.poll_begin_stream(key, bytes, StreamSource::Reader));
        let mut open = OpenStream { store: self, stream, ended: false };
        let store = &mut *open.store;
        while !store.engine.stream_is_complete(&open.stream) {
            let buffer = store.engine.bounce_mut(&open.stream);
            let filled = buffer.len() as u32;
            if !fill(buffer) {
                return Err(Error::Stream);
            }
            drive!(store, store.engine.poll_bounced_chunk(&mut open.stream, filled));
            store.drain().await;
        }
        open.end(key).await
    }

    /// Stages a delete; returns whether the key had a value. Where it had none, nothing is written, unless damage puts
    /// that in doubt.
    ///
    /// # Errors
    /// As for [`put`](Self::put); but `Full` only where a snapshot keeps what is deleted, so that the delete gives no room
    /// back.
    pub async fn delete(&mut self, key: &[u8]) -> Result<bool, Error<D::Error>> {
        let was_there = drive!(self, self.engine.poll_delete(key));
        self.drain().await;
        Ok(was_there)
    }

    /// Returns once everything staged before is durable.
    ///
    /// # Errors
    /// `Poisoned` where it may not be: a flush failed, or a write that could not be placed elsewhere.
    pub async fn sync(&mut self) -> Result<(), Error<D::Error>> {
        let target = self.engine.published_seq();
        drive!(self, self.engine.poll_sync(target));
        Ok(())
    }

    /// Does merge work of about `budget` bytes, so that appends need not. Returns whether there is more to do.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub async fn merge_step(&mut self, budget: u64) -> Result<bool, Error<D::Error>> {
        let mut left = budget;
        let more = drive!(self, self.engine.poll_merge(&mut left));
        self.drain().await;
        Ok(more)
    }

    /// Gives space at the device's end back, beyond what the store needs and some slack: merges first, then empties the last
    /// segments, with work of about `budget` bytes. Returns whether there is more to do. A device that cannot shrink is only
    /// merged.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub async fn shrink_step(&mut self, budget: u64) -> Result<bool, Error<D::Error>> {
        let mut left = budget;
        let more = drive!(self, self.engine.poll_shrink(&mut left));
        self.drain().await;
        Ok(more)
    }

    /// Bytes of work that the merges under way still need, at most.
    #[must_use]
    pub fn merge_debt(&self) -> u64 {
        self.engine.merge_debt()
    }

    /// Whether merging would be of use now.
    #[must_use]
    pub fn need_merge(&self) -> MergeNeed {
        self.engine.merge_need()
    }
}
