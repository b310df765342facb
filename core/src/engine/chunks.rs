//! Chunked values: what does not fit one record. Chunks are records under internal keys (value id, index); a head record
//! under the user's key makes the value visible, all at once. Chunks without a visible head are dead.
//!
//! ```text
//! head value:  0 value id u64 | 8 bytes u64 | 16 chunk_bytes u32 | 20 count u32 | 24 CRC-64 of the value
//! chunk key:   0 value id u64 | 8 index u32
//! ```

use core::task::Poll;

use super::core_state::Engine;
use super::read::Record;
use super::ready;
use crate::error::{Damage, Error};
use crate::format::bytes::{put, u32_at, u64_at};
use crate::format::group::GroupKind;
use crate::format::record::{EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, RecordKind, RecordShape};
use crate::keydir::Entry;
use crate::log::NewRecord;
use crate::parts::CHUNKS;
use crate::types::{EntryKind, Fingerprint, FrameId, SegmentId, Seq};

/// Bytes of a head's value.
pub(crate) const CHUNK_HEAD_BYTES: usize = 32;
const CHUNK_KEY_BYTES: usize = 12;
/// Longest chunked value.
pub(crate) const STREAM_BYTES_MAX: u64 = 1 << 40;
/// Dead chunks that one call forgets.
const DOOM_STEP: u32 = 256;

/// Description of a chunked value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// Names the value; never used twice.
    pub value_id: u64,
    /// Bytes of the value.
    pub bytes: u64,
    /// Bytes of every chunk but the last.
    pub chunk_bytes: u32,
    /// Chunks.
    pub count: u32,
    /// CRC-64 of the value.
    pub digest: u64,
}

impl ChunkHead {
    fn encode(&self) -> [u8; CHUNK_HEAD_BYTES] {
        let mut bytes = [0; CHUNK_HEAD_BYTES];
        put(&mut bytes, 0, &self.value_id.to_le_bytes());
        put(&mut bytes, 8, &self.bytes.to_le_bytes());
        put(&mut bytes, 16, &self.chunk_bytes.to_le_bytes());
        put(&mut bytes, 20, &self.count.to_le_bytes());
        put(&mut bytes, 24, &self.digest.to_le_bytes());
        bytes
    }

    /// Decodes the value of a head record; `None` where it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let head = Self {
            value_id: u64_at(bytes, 0),
            bytes: u64_at(bytes, 8),
            chunk_bytes: u32_at(bytes, 16),
            count: u32_at(bytes, 20),
            digest: u64_at(bytes, 24),
        };
        let fits = bytes.len() == CHUNK_HEAD_BYTES
            && head.chunk_bytes > 0
            && head.bytes <= STREAM_BYTES_MAX
            && head.bytes.div_ceil(u64::from(head.chunk_bytes)) == u64::from(head.count);
        fits.then_some(head)
    }
}

/// A chunked value that is being written: in the engine, so that a dropped caller leaves no trace.
#[derive(Clone, Copy, Debug)]
pub struct StreamIn {
    value_id: u64,
    bytes: u64,
    chunk_bytes: u32,
    written: u32,
    digest: u64,
    /// Frames that a reader's bytes pass through, where there is a reader.
    bounce: Option<(FrameId, u32)>,
}

/// Dead chunks that are still in the keydir.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doomed {
    /// Those of this head.
    Head(Entry),
    /// Those of this value, from an index on.
    Chunks { value_id: u64, next: u32, count: u32 },
}

pub(super) fn chunk_key(value_id: u64, index: u32) -> [u8; CHUNK_KEY_BYTES] {
    let mut key = [0; CHUNK_KEY_BYTES];
    put(&mut key, 0, &value_id.to_le_bytes());
    put(&mut key, 8, &index.to_le_bytes());
    key
}

impl Engine<'_> {
    pub(crate) fn chunk_fingerprint(&self, value_id: u64, index: u32) -> Fingerprint {
        let mut hasher = self.hasher_for(RecordKind::Chunk);
        hasher.write(&chunk_key(value_id, index));
        hasher.finish()
    }

    /// Begins a chunked value of `bytes` bytes. With `reader`, takes frames for its bytes to pass through.
    ///
    /// # Errors
    /// `KeySize`, `ValueTooLarge`, `KeydirFull`, `PoolExhausted`, `Poisoned`, `ReadOnly`.
    pub fn poll_begin_stream(
        &mut self,
        key: &[u8],
        bytes: u64,
        source: StreamSource,
    ) -> Result<Poll<StreamIn>, Error> {
        self.check_key(key)?;
        if !CHUNKS {
            return Err(Error::ValueTooLarge { bytes, max: self.single_value_max(key) as u64 });
        }
        // The value's id is a sequence number: this session's numbering must be durable before one is given out.
        ready!(self.poll_writable()?);
        let overhead = RECORD_HEADER_BYTES + EXPLICIT_SEQ_BYTES + CHUNK_KEY_BYTES as u32;
        let most = self.port.layout.record_bytes_max - overhead;
        let mut chunk_bytes = most;
        let max = STREAM_BYTES_MAX;
        if bytes > max {
            return Err(Error::ValueTooLarge { bytes, max });
        }
        let mut bounce = None;
        if source == StreamSource::Reader {
            let page_bytes = self.port.layout.page_bytes();
            let run = self.port.pool.take_long_run(most.div_ceil(page_bytes));
            let (first, frames) = run.ok_or(Error::PoolExhausted)?;
            bounce = Some((first, frames));
            chunk_bytes = most.min(frames * page_bytes);
        }
        let count = bytes.div_ceil(u64::from(chunk_bytes));
        let value_id = self.next_seq.0;
        let stream = StreamIn { value_id, bytes, chunk_bytes, written: 0, digest: 0, bounce };
        if !u32::try_from(count + 1).is_ok_and(|entries| self.keydir.has_room_for(entries)) {
            self.release_bounce(&stream);
            return Err(Error::KeydirFull { capacity: u64::from(self.keydir.capacity()) });
        }
        self.next_seq = Seq(value_id + 1);
        Ok(Poll::Ready(stream))
    }

    /// The frames that a reader fills with the next chunk.
    pub fn bounce_mut(&mut self, stream: &StreamIn) -> &mut [u8] {
        let left = stream.bytes - u64::from(stream.written) * u64::from(stream.chunk_bytes);
        let bytes = left.min(u64::from(stream.chunk_bytes)) as usize;
        match stream.bounce {
            Some((first, frames)) => &mut self.port.pool.run_mut(first, frames)[..bytes],
            None => &mut [],
        }
    }

    /// Appends the chunk that lies in the bounce frames.
    ///
    /// # Errors
    /// As for a put; the stream can only be aborted then.
    pub fn poll_bounced_chunk(
        &mut self,
        stream: &mut StreamIn,
        bytes: u32,
    ) -> Result<Poll<()>, Error> {
        // The record's bytes lie in the pool already: they are copied from frame to frame.
        let Some((first, _)) = stream.bounce else { return Err(Error::Stream) };
        ready!(self.poll_doomed()?);
        let fingerprint = self.chunk_fingerprint(stream.value_id, stream.written);
        self.check_writable()?;
        self.keydir.ensure_room(&fingerprint)?;
        let record_bytes = RECORD_HEADER_BYTES + CHUNK_KEY_BYTES as u32 + bytes;
        ready!(self.poll_admission(self.record_cost(record_bytes), None)?);
        ready!(self.make_room(record_bytes)?);
        let key = chunk_key(stream.value_id, stream.written);
        let frames = stream.bounce.map_or(0, |(_, frames)| frames);
        stream.digest =
            (self.sums.crc64)(stream.digest, &self.port.pool.run(first, frames)[..bytes as usize]);
        self.append_chunk_frames(fingerprint, &key, (first, frames), bytes)?;
        stream.written += 1;
        Ok(Poll::Ready(()))
    }

    fn append_chunk_frames(
        &mut self,
        fingerprint: Fingerprint,
        key: &[u8],
        run: (FrameId, u32),
        bytes: u32,
    ) -> Result<(), Error> {
        self.open_group(GroupKind::Data);
        let value = &self.port.pool.run(run.0, run.1)[..bytes as usize];
        let shape = RecordShape {
            kind: RecordKind::Chunk,
            flags: 0,
            key_bytes: key.len() as u16,
            value_bytes: bytes,
            inner: (self.sums.crc32c)((self.sums.crc32c)(0, key), value),
        };
        let begun = self.begin_record(&shape, Seq(0));
        self.write_bytes(key);
        self.write_frames(run.0, 0, bytes);
        let entry = self.end_record(begun, &fingerprint);
        self.publish(fingerprint, entry)
    }

    /// Appends the next chunk of a value that the caller holds.
    ///
    /// # Errors
    /// As for a put; the stream can only be aborted then.
    pub fn poll_chunk(&mut self, stream: &mut StreamIn, value: &[u8]) -> Result<Poll<()>, Error> {
        let from = stream.written as usize * stream.chunk_bytes as usize;
        let chunk = &value[from..value.len().min(from + stream.chunk_bytes as usize)];
        let key = chunk_key(stream.value_id, stream.written);
        ready!(self.poll_entry(&NewRecord { kind: RecordKind::Chunk, key: &key, value: chunk })?);
        stream.digest = (self.sums.crc64)(stream.digest, chunk);
        stream.written += 1;
        Ok(Poll::Ready(()))
    }

    /// Whether every chunk was appended.
    #[must_use]
    pub fn stream_is_complete(&self, stream: &StreamIn) -> bool {
        u64::from(stream.written) * u64::from(stream.chunk_bytes) >= stream.bytes
    }

    /// Appends the head: the value is visible now.
    ///
    /// # Errors
    /// As for a put; the stream can only be aborted then.
    pub fn poll_end_stream(&mut self, stream: &StreamIn, key: &[u8]) -> Result<Poll<()>, Error> {
        let head = ChunkHead {
            value_id: stream.value_id,
            bytes: stream.bytes,
            chunk_bytes: stream.chunk_bytes,
            count: stream.written,
            digest: stream.digest,
        };
        ready!(self.poll_entry(&NewRecord {
            kind: RecordKind::ChunkHead,
            key,
            value: &head.encode()
        })?);
        self.release_bounce(stream);
        Ok(Poll::Ready(()))
    }

    /// Gives a stream up: its chunks are dead.
    pub fn abort_stream(&mut self, stream: &StreamIn) {
        self.release_bounce(stream);
        if stream.written == 0 {
            return;
        }
        let chunks = Doomed::Chunks { value_id: stream.value_id, next: 0, count: stream.written };
        // Where too many wait, the next open finds these chunks without a head and drops them.
        let _ = self.doomed.push_back(chunks);
    }

    fn release_bounce(&mut self, stream: &StreamIn) {
        if let Some((first, frames)) = stream.bounce {
            for index in 0..frames {
                self.port.pool.release(FrameId(first.0 + index));
            }
        }
    }

    /// The description in a head record that is being read.
    ///
    /// # Errors
    /// `Corrupted` where it is none.
    pub fn chunk_head(&self, entry: &Entry, record: &Record) -> Result<ChunkHead, Error> {
        if !CHUNKS {
            return Err(Error::LeftOut { feature: "chunks" });
        }
        let mut bytes = [0; CHUNK_HEAD_BYTES];
        let fits = record.value_bytes() as usize == CHUNK_HEAD_BYTES;
        if fits {
            self.copy_value(record, 0, &mut bytes);
        }
        let head = ChunkHead::decode(&bytes).filter(|_| fits);
        head.ok_or_else(|| self.damaged(&entry.location, Damage::Chunk))
    }

    /// The entry of a chunk.
    ///
    /// # Errors
    /// `Corrupted` (at the head's place) where the chunk is not there.
    pub fn chunk_entry(&self, of: &Entry, head: &ChunkHead, index: u32) -> Result<Entry, Error> {
        if !CHUNKS {
            return Err(Error::LeftOut { feature: "chunks" });
        }
        let entry = self.keydir.get(&self.chunk_fingerprint(head.value_id, index));
        let entry = entry.filter(|entry| entry.kind == EntryKind::Chunk);
        entry.ok_or_else(|| self.damaged(&of.location, Damage::Chunk))
    }

    /// CRC-64 of a chunked value, continued.
    #[must_use]
    pub fn value_digest(&self, earlier: u64, bytes: &[u8]) -> u64 {
        (self.sums.crc64)(earlier, bytes)
    }

    /// A head is dead: its chunks are, too.
    pub(crate) fn doom_head(&mut self, head: Entry) {
        if CHUNKS {
            let _ = self.doomed.push_back(Doomed::Head(head));
        }
    }

    /// Forgets some dead chunks; ready once there is a place for one more value whose chunks die.
    pub(crate) fn poll_doomed(&mut self) -> Result<Poll<()>, Error> {
        if !CHUNKS {
            return Ok(Poll::Ready(()));
        }
        let _ = self.poll_first_doomed()?;
        // Each turn takes a step with the value in front.
        while self.doomed.is_full() {
            ready!(self.poll_first_doomed()?);
        }
        Ok(Poll::Ready(()))
    }

    /// Ready once no dead head lies in a segment that is about to be given back.
    pub(crate) fn poll_doomed_from(&mut self, segment: SegmentId) -> Result<Poll<()>, Error> {
        if !CHUNKS {
            return Ok(Poll::Ready(()));
        }
        let layout = self.port.layout;
        let lies_there = |doomed: &Doomed| match doomed {
            Doomed::Head(entry) => layout.segment_of(entry.location.address) == segment,
            Doomed::Chunks { .. } => false,
        };
        // Each turn deals with the head in front, or with a part of the chunks of one.
        while self.doomed.iter().any(lies_there) {
            ready!(self.poll_first_doomed()?);
        }
        Ok(Poll::Ready(()))
    }

    pub(crate) fn poll_first_doomed(&mut self) -> Result<Poll<()>, Error> {
        let first = self.doomed.front().filter(|_| CHUNKS);
        let Some(&doomed) = first else { return Ok(Poll::Ready(())) };
        match doomed {
            Doomed::Head(entry) => match self.poll_record(&entry) {
                Ok(Poll::Pending) => return Ok(Poll::Pending),
                Ok(Poll::Ready(record)) => {
                    let head = self.chunk_head(&entry, &record);
                    self.release_record();
                    let _ = self.doomed.pop_front();
                    if let Ok(ChunkHead { value_id, count, .. }) = head {
                        let _ = self.doomed.push_front(Doomed::Chunks { value_id, next: 0, count });
                    }
                }
                // The head cannot be read: its chunks stay until the next open finds them without one.
                Err(_) => {
                    let _ = self.doomed.pop_front();
                }
            },
            Doomed::Chunks { value_id, next, count } => {
                let end = count.min(next.saturating_add(DOOM_STEP));
                for index in next..end {
                    if let Some(old) = self.keydir.remove(&self.chunk_fingerprint(value_id, index))
                    {
                        self.bury(&old);
                    }
                }
                let _ = self.doomed.pop_front();
                if end < count {
                    let _ = self.doomed.push_front(Doomed::Chunks { value_id, next: end, count });
                }
            }
        }
        Ok(Poll::Ready(()))
    }
}

/// Where the bytes of a stream come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamSource {
    /// From a slice that the caller holds.
    Slice,
    /// From a reader, through frames.
    Reader,
}
