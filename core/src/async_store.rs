//! The driver: executes the engine's operations on a device, one at a time, and drives each call until it is ready.
//!
//! [`AsyncStore`] awaits an [`AsyncBlockDevice`]; [`Store`](crate::Store) is the same code over a blocking device, whose
//! futures are ready at once. [`AsyncStore::perform`] is the one place where a device is called, apart from the look for a
//! superblock before there is an engine.
//!
//! Dropping a future of any method leaves the store usable: the engine holds the state, and an operation that was in
//! flight counts as interrupted. The method may or may not have taken effect.

use core::fmt;
use core::task::Poll;

use crate::config::Config;
use crate::device::{AsyncBlockDevice, DeviceError};
use crate::engine::{
    CheckStep, CheckSummary, ChunkHead, Cursor, DeviceOp, Engine, Gather, OpKind, Setup, StreamIn,
    StreamSource,
};
use crate::error::{Corruption, Damage, Error};
use crate::format::superblock::{STRIDE_MAX, STRIDE_MIN, SUPERBLOCK_BYTES, Superblock};
use crate::keydir::Entry;
use crate::memory::{Memory, plan, take_bytes};
use crate::stats::Stats;
use crate::types::{EntryKind, SegmentId, Seq};

/// Calls in a row that may wait for nothing: each takes the engine one stage on.
const IDLE_CALLS_MAX: u8 = 8;
/// Bytes at the start of a device that must be blank for `open_or_format`.
const PROBE_BYTES: u64 = 64 << 10;

/// A store over an asynchronous device.
pub struct AsyncStore<'m, D: AsyncBlockDevice> {
    pub(crate) engine: Engine<'m>,
    pub(crate) device: D,
    last_error: Option<D::Error>,
    /// An operation was started and its result not seen.
    busy: bool,
}

/// Drives a call of the engine until it is ready.
macro_rules! drive {
    ($self:ident, $call:expr) => {{
        let mut idle = 0;
        loop {
            match $call {
                Ok(Poll::Ready(value)) => break value,
                Ok(Poll::Pending) => {
                    idle = if $self.pump().await { 0 } else { idle + 1 };
                    if idle > IDLE_CALLS_MAX {
                        return Err(Error::PoolExhausted);
                    }
                }
                Err(error) => return Err($self.translate(error)),
            }
        }
    }};
}

/// Where reading of one value stands.
#[derive(Clone, Copy, Debug)]
pub struct ValueCursor {
    entry: Entry,
    head: Option<ChunkHead>,
    bytes: u64,
    position: u64,
    digest: u64,
}

impl ValueCursor {
    /// Bytes of the value.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<D: AsyncBlockDevice> fmt::Debug for AsyncStore<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStore").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<'m, D: AsyncBlockDevice> AsyncStore<'m, D> {
    /// Writes an empty store to the device, whatever was there.
    ///
    /// # Errors
    /// `Geometry`, `Config`, `ArenaTooSmall` (before anything is written), `Device`.
    pub async fn format(
        device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        let geometry = device.geometry();
        let block = plan(config, &geometry).map_err(no_device)?;
        let mut store = Self::with_memory(device, arena, config, &block)?;
        let segments = store.engine.stats().segments;
        for index in 0..segments {
            drive!(store, store.engine.poll_wipe(SegmentId(index)));
        }
        drive!(store, store.engine.poll_settled());
        store.engine.start_formatted();
        drive!(store, store.engine.poll_settled());
        drive!(store, store.engine.poll_superblocks(&block));
        drive!(store, store.engine.poll_settled());
        Ok(store)
    }

    /// Opens the store on the device. Everything that it then shows is durable; after a crash that takes one small write.
    ///
    /// # Errors
    /// `NotAStore`, `UnsupportedVersion`, `UnsupportedFeatures`, `DeviceTooSmall`, `UnitMismatch`, `Config`,
    /// `ArenaTooSmall`, `KeydirFull`, `Corrupted`, `Device`; nothing was written.
    pub async fn open(
        mut device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        let block = read_superblock(&mut device, arena, config).await?;
        Self::open_with(device, arena, config, &block).await
    }

    /// Opens the store on the device, or formats a device whose first 64 KiB are blank.
    ///
    /// # Errors
    /// As for [`open`](Self::open) and [`format`](Self::format); `NotBlank` where there is something else.
    pub async fn open_or_format(
        mut device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        match read_superblock(&mut device, arena, config).await {
            Ok(block) => Self::open_with(device, arena, config, &block).await,
            Err(Error::NotAStore) => {
                if !is_blank(&mut device, arena).await? {
                    return Err(Error::NotBlank);
                }
                Self::format(device, arena, config).await
            }
            Err(error) => Err(error),
        }
    }

    async fn open_with(
        device: D,
        arena: &'m mut [u8],
        config: &Config,
        block: &Superblock,
    ) -> Result<Self, Error<D::Error>> {
        let have = device.geometry().capacity;
        let want = block.data_offset + u64::from(block.segment_bytes);
        if have < want {
            return Err(Error::DeviceTooSmall { want, have });
        }
        let mut store = Self::with_memory(device, arena, config, block)?;
        drive!(store, store.engine.poll_recover());
        Ok(store)
    }

    fn with_memory(
        device: D,
        arena: &'m mut [u8],
        config: &Config,
        block: &Superblock,
    ) -> Result<Self, Error<D::Error>> {
        let (geometry, caps) = (device.geometry(), device.caps());
        let memory =
            Memory::carve(arena, config, geometry.buffer_align, block).map_err(no_device)?;
        let engine =
            Engine::new(memory, &Setup { config, geometry, caps, block }).map_err(no_device)?;
        Ok(Self { engine, device, last_error: None, busy: false })
    }

    /// Executes one operation of the engine; false where there is none.
    async fn pump(&mut self) -> bool {
        if core::mem::take(&mut self.busy) {
            self.engine.interrupted();
        }
        let Some(op) = self.engine.next_op() else { return false };
        self.busy = true;
        let result = Self::perform(&mut self.engine, &mut self.device, &op).await;
        self.busy = false;
        let kinds = result.map_err(|error| {
            let kind = error.kind();
            self.last_error = Some(error);
            kind
        });
        self.engine.complete(op.id, kinds);
        true
    }

    /// Calls the device.
    async fn perform(
        engine: &mut Engine<'m>,
        device: &mut D,
        op: &DeviceOp,
    ) -> Result<(), D::Error> {
        match &op.kind {
            OpKind::Read { address, first, start, bytes } => {
                device.read(*address, engine.read_buffer(*first, *start, *bytes)).await
            }
            OpKind::Write { address, gather, durability } => {
                let mut slices = [&[][..]; Gather::FRAMES_MAX];
                let count = engine.write_slices(gather, &mut slices);
                device.write(*address, &slices[..count], *durability).await
            }
            OpKind::Flush => device.flush().await,
            OpKind::Erase { address, bytes } => device.erase(*address..*address + *bytes).await,
            OpKind::Grow { capacity } => device.grow(*capacity).await,
        }
    }

    fn translate(&mut self, error: Error) -> Error<D::Error> {
        match (error, self.last_error.take()) {
            (Error::Device(_), Some(last)) => Error::Device(last),
            (Error::Device(_), None) => Error::Poisoned,
            (error, last) => {
                self.last_error = last;
                no_device(error)
            }
        }
    }

    /// Lets the device have what is queued.
    pub(crate) async fn drain(&mut self) {
        while self.engine.has_work() && self.pump().await {}
    }

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
        let begun = self.engine.begin_stream(key, value.len() as u64, StreamSource::Slice);
        let mut stream = begun.map_err(|error| self.translate(error))?;
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
        let begun = self.engine.begin_stream(key, bytes, StreamSource::Reader);
        let mut stream = begun.map_err(|error| self.translate(error))?;
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

    /// The value of a key, in `buffer`.
    ///
    /// # Errors
    /// `BufferTooSmall` with the bytes that the value needs, `Corrupted`, `Poisoned`, `Device`, `PoolExhausted`.
    pub async fn get<'b>(
        &mut self,
        key: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        let Some(mut value) = self.find(key).await? else { return Ok(None) };
        if value.bytes > buffer.len() as u64 {
            self.engine.release_record();
            return Err(Error::BufferTooSmall { needed: value.bytes });
        }
        let buffer = &mut buffer[..value.bytes as usize];
        self.read_all(&mut value, buffer).await?;
        Ok(Some(buffer))
    }

    pub(crate) async fn read_all(
        &mut self,
        value: &mut ValueCursor,
        buffer: &mut [u8],
    ) -> Result<(), Error<D::Error>> {
        let mut done = 0;
        while done < buffer.len() {
            done += self.read_value(value, &mut buffer[done..]).await?;
        }
        self.engine.release_record();
        Ok(())
    }

    /// Finds a key's value, to be read piece by piece with [`read_value`](Self::read_value).
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn find(&mut self, key: &[u8]) -> Result<Option<ValueCursor>, Error<D::Error>> {
        let located = self.engine.locate(key).map_err(no_device)?;
        let Some(entry) = located else { return Ok(None) };
        let record = drive!(self, self.engine.poll_record(&entry));
        if !self.engine.key_matches(&record, key) {
            self.engine.release_record();
            return Ok(None);
        }
        self.value_cursor(entry, u64::from(record.value_bytes())).await.map(Some)
    }

    pub(crate) async fn value_cursor(
        &mut self,
        entry: Entry,
        bytes: u64,
    ) -> Result<ValueCursor, Error<D::Error>> {
        if entry.kind != EntryKind::ChunkHead {
            return Ok(ValueCursor { entry, head: None, bytes, position: 0, digest: 0 });
        }
        let record = drive!(self, self.engine.poll_record(&entry));
        let head = self.engine.chunk_head(&entry, &record).map_err(no_device)?;
        self.engine.release_record();
        Ok(ValueCursor { entry, head: Some(head), bytes: head.bytes, position: 0, digest: 0 })
    }

    /// Reads the next bytes of a value; 0 at its end. Do not write between two reads of one value.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn read_value(
        &mut self,
        value: &mut ValueCursor,
        buffer: &mut [u8],
    ) -> Result<usize, Error<D::Error>> {
        if value.position >= value.bytes || buffer.is_empty() {
            return Ok(0);
        }
        let (entry, from, bytes) = match &value.head {
            None => (value.entry, value.position as u32, value.bytes as u32),
            Some(head) => {
                let index = (value.position / u64::from(head.chunk_bytes)) as u32;
                let start = u64::from(index) * u64::from(head.chunk_bytes);
                let bytes = (head.bytes - start).min(u64::from(head.chunk_bytes)) as u32;
                let chunk =
                    self.engine.chunk_entry(&value.entry, head, index).map_err(no_device)?;
                (chunk, (value.position - start) as u32, bytes)
            }
        };
        let record = drive!(self, self.engine.poll_record(&entry));
        if record.value_bytes() != bytes {
            return Err(self.damaged(&value.entry));
        }
        let piece = buffer.len().min((bytes - from) as usize);
        self.engine.copy_value(&record, from, &mut buffer[..piece]);
        value.position += piece as u64;
        if let Some(head) = &value.head {
            value.digest = self.engine.value_digest(value.digest, &buffer[..piece]);
            if value.position == value.bytes && value.digest != head.digest {
                return Err(self.damaged(&value.entry));
            }
        }
        if from + piece as u32 == bytes {
            self.engine.release_record();
        }
        Ok(piece)
    }

    fn damaged(&mut self, entry: &Entry) -> Error<D::Error> {
        self.engine.release_record();
        no_device(self.engine.damaged(&entry.location, Damage::Chunk))
    }

    /// The next key and value: the key at the start of `buffer`, the value behind it.
    ///
    /// # Errors
    /// As for [`get`](Self::get); the cursor stays, so that nothing is passed over silently.
    pub async fn next<'b>(
        &mut self,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], &'b [u8])>, Error<D::Error>> {
        let found = self.engine.next_entry(*cursor).map_err(no_device)?;
        let Some((behind, entry)) = found else { return Ok(None) };
        let record = drive!(self, self.engine.poll_record(&entry));
        let key_bytes = record.key_bytes() as usize;
        if key_bytes <= buffer.len() {
            self.engine.copy_key(&record, &mut buffer[..key_bytes]);
        }
        let mut value = self.value_cursor(entry, u64::from(record.value_bytes())).await?;
        let needed = key_bytes as u64 + value.bytes;
        if needed > buffer.len() as u64 {
            self.engine.release_record();
            return Err(Error::BufferTooSmall { needed });
        }
        let (key, rest) = buffer.split_at_mut(key_bytes);
        let rest = &mut rest[..value.bytes as usize];
        self.read_all(&mut value, rest).await?;
        *cursor = behind;
        Ok(Some((key, rest)))
    }

    /// The next key.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub async fn next_key<'b>(
        &mut self,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        let found = self.engine.next_entry(*cursor).map_err(no_device)?;
        let Some((behind, entry)) = found else { return Ok(None) };
        let record = drive!(self, self.engine.poll_record(&entry));
        let key_bytes = record.key_bytes() as usize;
        if key_bytes > buffer.len() {
            self.engine.release_record();
            return Err(Error::BufferTooSmall { needed: key_bytes as u64 });
        }
        let key = &mut buffer[..key_bytes];
        self.engine.copy_key(&record, key);
        self.engine.release_record();
        *cursor = behind;
        Ok(Some(key))
    }

    /// Bytes of a key's value.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn value_len(&mut self, key: &[u8]) -> Result<Option<u64>, Error<D::Error>> {
        let value = self.find(key).await?;
        self.engine.release_record();
        Ok(value.map(|value| value.bytes))
    }

    /// Verifies every checksum of the store, after a sync; tells each damaged place to `report`.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync), and `Device` where the device cannot be read at all.
    pub async fn check(
        &mut self,
        mut report: impl FnMut(Corruption),
    ) -> Result<CheckSummary, Error<D::Error>> {
        let mut superblocks = 0;
        for place in self.check_superblocks().await? {
            if let Some(place) = place {
                superblocks += 1;
                report(place);
            }
        }
        if !self.engine.is_read_only() {
            self.sync().await?;
            self.drain().await;
        }
        self.engine.begin_check();
        loop {
            match drive!(self, self.engine.poll_check()) {
                CheckStep::Damage(place) => report(place),
                CheckStep::Done(mut summary) => {
                    summary.damages += superblocks;
                    return Ok(summary);
                }
            }
        }
    }

    async fn check_superblocks(&mut self) -> Result<[Option<Corruption>; 2], Error<D::Error>> {
        let mut places = [None; 2];
        for (copy, place) in places.iter_mut().enumerate() {
            *place = drive!(self, self.engine.poll_check_superblock(copy as u8));
        }
        Ok(places)
    }

    /// Figures about the store.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Gives the device back as a crash would leave it: what is not synced may be lost.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }

    /// Makes everything durable, marks the log as closed and gives the device back.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync); the device is dropped.
    pub async fn close(mut self) -> Result<D, Error<D::Error>> {
        drive!(self, self.engine.poll_close());
        Ok(self.device)
    }
}

/// An error without a device's error in it, for a device.
pub(crate) fn no_device<E>(error: Error) -> Error<E> {
    match error {
        // Only errors of operations name a device's error, and those are translated.
        Error::Device(_) => Error::Poisoned,
        error => error.map_device(|_| unreachable!("handled above")),
    }
}

fn scratch(arena: &mut [u8], align: u32, bytes: usize) -> Option<&mut [u8]> {
    let mut rest = arena;
    take_bytes(&mut rest, bytes, align.max(16) as usize)
}

/// Looks for a superblock: at the start, and if that copy is damaged at the places where the other one may lie.
async fn read_superblock<D: AsyncBlockDevice>(
    device: &mut D,
    arena: &mut [u8],
    config: &Config,
) -> Result<Superblock, Error<D::Error>> {
    let geometry = device.geometry();
    geometry.validate().map_err(Error::Geometry)?;
    let bytes = SUPERBLOCK_BYTES.next_multiple_of(geometry.read_unit as usize);
    let have = arena.len();
    let need = bytes + geometry.buffer_align as usize;
    let buffer =
        scratch(arena, geometry.buffer_align, bytes).ok_or(Error::ArenaTooSmall { need, have })?;
    let mut first = Error::NotAStore;
    let mut at = 0;
    while at <= u64::from(STRIDE_MAX) && at + bytes as u64 <= geometry.capacity {
        match device.read(at, buffer).await {
            Ok(()) => match Superblock::decode(&config.checksums, buffer) {
                Ok(block) => return Ok(block),
                Err(Error::NotAStore) => {}
                // A store, but not one that can be opened: this says more than that no other copy was found.
                Err(error) => first = no_device(error),
            },
            Err(error) if at == 0 => first = Error::Device(error),
            Err(_) => {}
        }
        at = if at == 0 { u64::from(STRIDE_MIN) } else { at * 2 };
    }
    Err(first)
}

/// Whether the start of the device was never written: all zeros or all ones.
async fn is_blank<D: AsyncBlockDevice>(
    device: &mut D,
    arena: &mut [u8],
) -> Result<bool, Error<D::Error>> {
    let geometry = device.geometry();
    let bytes = (geometry.read_unit as usize).max(512);
    let have = arena.len();
    let need = bytes + geometry.buffer_align as usize;
    let buffer =
        scratch(arena, geometry.buffer_align, bytes).ok_or(Error::ArenaTooSmall { need, have })?;
    let mut first = None;
    let mut at = 0;
    while at < PROBE_BYTES.min(geometry.capacity) {
        device.read(at, buffer).await.map_err(Error::Device)?;
        let expected = *first.get_or_insert(buffer[0]);
        if !matches!(expected, 0 | 0xff) || buffer.iter().any(|&byte| byte != expected) {
            return Ok(false);
        }
        at += bytes as u64;
    }
    Ok(true)
}
