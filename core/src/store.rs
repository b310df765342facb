//! The blocking driver: [`AsyncStore`] over a device whose futures are ready at once.

mod batch;
mod stream;

use core::ops::Range;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use crate::async_store::{
    AsyncStore, Found, IDLE_CALLS_MAX, no_device, read_or_plan, read_superblock,
};
use crate::config::Config;
use crate::device::{AsyncBlockDevice, BlockDevice, Caps, Durability, Geometry};
use crate::engine::{CheckSummary, Cursor, Engine, ScrubProgress};
use crate::error::{Corruption, Error};
use crate::format::superblock::Superblock;
use crate::memory::plan;
use crate::merge::MergeNeed;
use crate::parts::CHUNKS;
use crate::snapshot::SnapshotId;
use crate::stats::{SegmentStats, Stats};
use crate::types::SegmentId;

pub use batch::Batch;
pub use stream::{StreamError, ValueReader};

/// A blocking device in the clothes of an asynchronous one: every future is ready when it is first polled.
#[derive(Debug)]
pub struct Blocking<D>(pub D);

impl<D: BlockDevice> AsyncBlockDevice for Blocking<D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn caps(&self) -> Caps {
        self.0.caps()
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        self.0.read(address, buffer)
    }
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), D::Error> {
        self.0.write(address, slices, durability)
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), D::Error> {
        self.0.erase(range)
    }
    async fn discard(&mut self, range: Range<u64>) -> Result<(), D::Error> {
        self.0.discard(range)
    }
    async fn flush(&mut self) -> Result<(), D::Error> {
        self.0.flush()
    }
    async fn grow(&mut self, capacity: u64) -> Result<(), D::Error> {
        self.0.grow(capacity)
    }
    fn can_shrink(&self) -> bool {
        self.0.can_shrink()
    }
    async fn shrink(&mut self, capacity: u64) -> Result<(), D::Error> {
        self.0.shrink(capacity)
    }
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a blocking device's futures are ready at once"),
    }
}

/// A store over a blocking device.
///
/// Writes are visible at once and durable after [`sync`](Self::sync). Keys come back in no order. Dropping a store writes
/// nothing: as after a crash, what was synced is there.
#[derive(Debug)]
pub struct Store<'m, D: BlockDevice> {
    inner: AsyncStore<'m, Blocking<D>>,
}

impl<'m, D: BlockDevice> Store<'m, D> {
    /// See [`AsyncStore::format`].
    ///
    /// # Errors
    /// As there.
    pub fn format(
        device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        // Not by the future of `AsyncStore::format`, which would hold another store on the stack.
        let block = plan(config, &device.geometry()).map_err(no_device)?;
        let device = Blocking(device);
        let prepared = AsyncStore::prepare(&device, arena, config, &block)?;
        let mut store = Self { inner: AsyncStore::build(device, prepared) };
        store.write_empty(&block)?;
        Ok(store)
    }

    /// See [`AsyncStore::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(device: D, arena: &'m mut [u8], config: &Config) -> Result<Self, Error<D::Error>> {
        let mut device = Blocking(device);
        let block = now(read_superblock(&mut device, arena, config))?;
        let prepared = AsyncStore::prepare(&device, arena, config, &block)?;
        let mut store = Self { inner: AsyncStore::build(device, prepared) };
        store.drive(Engine::poll_recover)?;
        Ok(store)
    }

    /// See [`AsyncStore::open_or_format`].
    ///
    /// # Errors
    /// As there.
    pub fn open_or_format(
        device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        let mut device = Blocking(device);
        let (block, found) = now(read_or_plan(&mut device, arena, config))?;
        let prepared = AsyncStore::prepare(&device, arena, config, &block)?;
        let mut store = Self { inner: AsyncStore::build(device, prepared) };
        match found {
            Found::Store => store.drive(Engine::poll_recover)?,
            Found::Blank => store.write_empty(&block)?,
        }
        Ok(store)
    }

    #[inline(never)]
    fn write_empty(&mut self, block: &Superblock) -> Result<(), Error<D::Error>> {
        now(self.inner.write_empty(block))
    }

    /// See [`AsyncStore::put`].
    ///
    /// # Errors
    /// As there.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        if CHUNKS && value.len() > self.inner.engine.single_value_max(key) {
            return self.put_chunked(key, value);
        }
        self.drive(|engine| engine.poll_put(key, value))?;
        self.drain();
        Ok(())
    }

    // Not inlined: the future would take its room in the frame of every put.
    #[inline(never)]
    fn put_chunked(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error<D::Error>> {
        now(self.inner.put(key, value))
    }

    /// Drives a call of the engine until it is ready, as `drive!` does, and without a future on the stack.
    fn drive<T>(
        &mut self,
        mut call: impl FnMut(&mut Engine<'m>) -> Result<Poll<T>, Error>,
    ) -> Result<T, Error<D::Error>> {
        let mut idle = 0;
        loop {
            match call(&mut self.inner.engine) {
                Ok(Poll::Ready(value)) => return Ok(value),
                Ok(Poll::Pending) => {
                    idle = if self.pump() { 0 } else { idle + 1 };
                    if idle > IDLE_CALLS_MAX {
                        return Err(Error::PoolExhausted);
                    }
                }
                Err(error) => return Err(self.inner.translate(error)),
            }
        }
    }

    /// Executes one operation; false where there is none.
    #[inline(never)]
    fn pump(&mut self) -> bool {
        now(self.inner.pump())
    }

    /// Lets the device have what is queued.
    fn drain(&mut self) {
        while self.inner.engine.has_work() && self.pump() {}
    }

    /// Puts a value of `bytes` bytes from a reader: any size up to 2^40, in constant memory. The value is visible all at
    /// once, at its end; an error leaves the old one.
    ///
    /// # Errors
    /// As for [`put`](Self::put); `Stream` where the reader ends early or fails.
    pub fn put_stream<R: embedded_io::Read>(
        &mut self,
        key: &[u8],
        bytes: u64,
        mut reader: R,
    ) -> Result<(), Error<D::Error>> {
        now(self.inner.put_from(key, bytes, |buffer| reader.read_exact(buffer).is_ok()))
    }

    /// See [`AsyncStore::delete`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, Error<D::Error>> {
        let was_there = self.drive(|engine| engine.poll_delete(key))?;
        self.drain();
        Ok(was_there)
    }

    /// See [`AsyncStore::sync`].
    ///
    /// # Errors
    /// As there.
    pub fn sync(&mut self) -> Result<(), Error<D::Error>> {
        let target = self.inner.engine.published_seq();
        self.drive(|engine| engine.poll_sync(target))
    }

    /// See [`AsyncStore::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get<'b>(
        &mut self,
        key: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        let located = self.inner.engine.locate(key).map_err(no_device)?;
        let Some(entry) = located else { return Ok(None) };
        match self.inner.engine.get_cached(key, &entry, buffer) {
            Some(Ok(found)) => Ok(found.map(|bytes| &buffer[..bytes])),
            Some(Err(error)) => Err(no_device(error)),
            None => now(self.inner.get(key, buffer)),
        }
    }

    /// Takes a snapshot of everything that is visible now: what it sees does not change, whatever is written. It costs room
    /// for one version of each key that is overwritten meanwhile. Snapshots do not outlive the session.
    ///
    /// # Errors
    /// `SnapshotsFull`.
    pub fn snapshot(&mut self) -> Result<SnapshotId, Error<D::Error>> {
        self.inner.snapshot()
    }

    /// Gives a snapshot back: constant work now, the rest in small pieces with later writes.
    ///
    /// # Errors
    /// `SnapshotGone` where it was given back before; `SnapshotExpired` where it did not last so long (it is given back now).
    pub fn release(&mut self, snapshot: SnapshotId) -> Result<(), Error<D::Error>> {
        self.inner.release(snapshot)
    }

    /// See [`AsyncStore::get_at`].
    ///
    /// # Errors
    /// As there.
    pub fn get_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        key: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        now(self.inner.get_at(snapshot, key, buffer))
    }

    /// See [`AsyncStore::next_at`].
    ///
    /// # Errors
    /// As there.
    #[expect(clippy::type_complexity, reason = "a key and a value")]
    pub fn next_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], &'b [u8])>, Error<D::Error>> {
        now(self.inner.next_at(snapshot, cursor, buffer))
    }

    /// See [`AsyncStore::fold`].
    ///
    /// # Errors
    /// As there.
    pub fn fold(
        &mut self,
        snapshot: SnapshotId,
        each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Error<D::Error>> {
        now(self.inner.fold(snapshot, each))
    }

    /// A reader of a key's value, of any size, in constant memory.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn get_stream(
        &mut self,
        key: &[u8],
    ) -> Result<Option<ValueReader<'_, 'm, D>>, Error<D::Error>> {
        let value = now(self.inner.find(key))?;
        Ok(value.map(|value| ValueReader { store: self, value }))
    }

    /// See [`AsyncStore::value_len`].
    ///
    /// # Errors
    /// As there.
    pub fn value_len(&mut self, key: &[u8]) -> Result<Option<u64>, Error<D::Error>> {
        now(self.inner.value_len(key))
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn contains(&mut self, key: &[u8]) -> Result<bool, Error<D::Error>> {
        Ok(self.value_len(key)?.is_some())
    }

    /// Begins a batch: puts and deletes that take effect together, or not at all.
    ///
    /// # Errors
    /// None now; a store that cannot be written says so when something is added.
    pub fn batch(&mut self) -> Result<Batch<'_, 'm, D>, Error<D::Error>> {
        self.inner.engine.abort_batch();
        Ok(Batch { store: self })
    }

    /// See [`AsyncStore::next`].
    ///
    /// # Errors
    /// As there.
    #[expect(clippy::type_complexity, reason = "a key and a value")]
    pub fn next<'b>(
        &mut self,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], &'b [u8])>, Error<D::Error>> {
        now(self.inner.next(cursor, buffer))
    }

    /// See [`AsyncStore::next_key`].
    ///
    /// # Errors
    /// As there.
    pub fn next_key<'b>(
        &mut self,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        now(self.inner.next_key(cursor, buffer))
    }

    /// See [`AsyncStore::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(
        &mut self,
        report: impl FnMut(Corruption),
    ) -> Result<CheckSummary, Error<D::Error>> {
        now(self.inner.check(report))
    }

    /// See [`AsyncStore::scrub_step`].
    ///
    /// # Errors
    /// As there.
    pub fn scrub_step(&mut self, budget: u64) -> Result<ScrubProgress, Error<D::Error>> {
        now(self.inner.scrub_step(budget))
    }

    /// See [`AsyncStore::damages`].
    pub fn damages(&self, report: impl FnMut(Corruption)) -> u64 {
        self.inner.damages(report)
    }

    /// See [`AsyncStore::merge_step`].
    ///
    /// # Errors
    /// As there.
    pub fn merge_step(&mut self, budget: u64) -> Result<bool, Error<D::Error>> {
        let mut left = budget;
        let more = self.drive(|engine| engine.poll_merge(&mut left))?;
        self.drain();
        Ok(more)
    }

    /// See [`AsyncStore::shrink_step`].
    ///
    /// # Errors
    /// As there.
    pub fn shrink_step(&mut self, budget: u64) -> Result<bool, Error<D::Error>> {
        now(self.inner.shrink_step(budget))
    }

    /// See [`AsyncStore::merge_debt`].
    #[must_use]
    pub fn merge_debt(&self) -> u64 {
        self.inner.merge_debt()
    }

    /// See [`AsyncStore::need_merge`].
    #[must_use]
    pub fn need_merge(&self) -> MergeNeed {
        self.inner.need_merge()
    }

    /// Figures about the store.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// What a segment holds; `None` where it is free, bad or not there.
    #[must_use]
    pub fn segment_stats(&self, segment: SegmentId) -> Option<SegmentStats> {
        self.inner.engine.segment_stats(segment)
    }

    /// The segment in which the newest record of a key lies, a delete's too.
    #[must_use]
    pub fn segment_of(&self, key: &[u8]) -> Option<SegmentId> {
        self.inner.engine.segment_of(key)
    }

    /// See [`AsyncStore::close`].
    ///
    /// # Errors
    /// As there.
    pub fn close(self) -> Result<D, Error<D::Error>> {
        now(self.inner.close()).map(|device| device.0)
    }

    /// See [`AsyncStore::into_engine`].
    #[must_use]
    pub fn into_engine(self) -> Engine<'m> {
        self.inner.into_engine()
    }

    /// Gives the device back as a crash would leave it: what is not synced may be lost.
    #[must_use]
    pub fn into_device(self) -> D {
        self.inner.device.0
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.inner.device.0
    }

    /// The device. Writing to it behind the store's back damages the store.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.inner.device.0
    }
}
