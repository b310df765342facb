//! The driver's calls that write: puts, streams, deletes, batches, sync.

use core::task::Poll;

use super::{AsyncStore, drive};
use crate::device::AsyncBlockDevice;
use crate::engine::{StreamIn, StreamSource};
use crate::error::Error;
use crate::types::{EntryKind, Seq};

impl<D: AsyncBlockDevice> AsyncStore<'_, D> {
    /// Stages a put: visible at once, durable after the next [`sync`](Self::sync). Values that do not fit one record are
    /// chunked.
    ///
    /// # Errors
    /// `KeySize`, `ValueTooLarge`, `Full`, `KeydirFull`, `Poisoned`, `ReadOnly`, `PoolExhausted`; nothing changed.
    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        if value.len() > self.engine.single_value_max(key) {
            return self.put_chunked(key, value).await;
        }
        drive!(self, self.engine.poll_put(key, value));
        self.drain().await;
        Ok(())
    }

    async fn put_chunked(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        let mut stream = drive!(
            self,
            self.engine.poll_begin_stream(key, value.len() as u64, StreamSource::Slice)
        );
        let result = self.append_chunks(&mut stream, key, value).await;
        if result.is_err() {
            self.engine.abort_stream(&stream);
        }
        result
    }

    async fn append_chunks(
        &mut self,
        stream: &mut StreamIn,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error<D::Error>> {
        while !self.engine.stream_is_complete(stream) {
            drive!(self, self.engine.poll_chunk(stream, value));
            self.drain().await;
        }
        drive!(self, self.engine.poll_end_stream(stream, key));
        self.drain().await;
        Ok(())
    }

    /// Puts a value of `bytes` bytes that `fill` gives piece by piece: it fills the buffer it gets, or answers false.
    pub(crate) async fn put_from(
        &mut self,
        key: &[u8],
        bytes: u64,
        mut fill: impl FnMut(&mut [u8]) -> bool,
    ) -> Result<(), Error<D::Error>> {
        let mut stream =
            drive!(self, self.engine.poll_begin_stream(key, bytes, StreamSource::Reader));
        let result = self.append_filled(&mut stream, key, &mut fill).await;
        if result.is_err() {
            self.engine.abort_stream(&stream);
        }
        result
    }

    async fn append_filled(
        &mut self,
        stream: &mut StreamIn,
        key: &[u8],
        fill: &mut impl FnMut(&mut [u8]) -> bool,
    ) -> Result<(), Error<D::Error>> {
        while !self.engine.stream_is_complete(stream) {
            let buffer = self.engine.bounce_mut(stream);
            let filled = buffer.len() as u32;
            if !fill(buffer) {
                return Err(Error::Stream);
            }
            drive!(self, self.engine.poll_bounced_chunk(stream, filled));
            self.drain().await;
        }
        drive!(self, self.engine.poll_end_stream(stream, key));
        self.drain().await;
        Ok(())
    }

    /// Stages a delete; returns whether the key had a value. Where it had none, nothing is written.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
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

    /// Adds to the batch.
    pub(crate) async fn stage(
        &mut self,
        kind: EntryKind,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error<D::Error>> {
        drive!(self, self.engine.poll_stage(kind, key, value));
        Ok(())
    }

    /// Appends the batch.
    pub(crate) async fn commit(&mut self) -> Result<Seq, Error<D::Error>> {
        let seq = drive!(self, self.engine.poll_commit());
        self.drain().await;
        Ok(seq)
    }
}
