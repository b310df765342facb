//! The driver's calls that read: gets, value cursors, iteration.

use core::task::Poll;

use super::{AsyncStore, drive, no_device};
use crate::device::AsyncBlockDevice;
use crate::engine::{ChunkHead, Cursor, Record};
use crate::error::{Damage, Error};
use crate::keydir::Entry;
use crate::parts::CHUNKS;
use crate::snapshot::SnapshotId;
use crate::types::EntryKind;

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

    pub(super) const fn head(&self) -> Option<ChunkHead> {
        self.head
    }
}

impl<D: AsyncBlockDevice> AsyncStore<'_, D> {
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
        self.read_found(&mut value, buffer).await
    }

    /// The value that a key had at a snapshot, in `buffer`.
    ///
    /// # Errors
    /// As for [`get`](Self::get); `SnapshotGone`, `SnapshotExpired`.
    pub async fn get_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        key: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        let located = self.engine.locate_at(snapshot, key).map_err(no_device)?;
        let Some(mut value) = self.find_entry(located, key).await? else { return Ok(None) };
        self.read_found(&mut value, buffer).await
    }

    async fn read_found<'b>(
        &mut self,
        value: &mut ValueCursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Error<D::Error>> {
        if value.bytes > buffer.len() as u64 {
            self.engine.release_record();
            return Err(Error::BufferTooSmall { needed: value.bytes });
        }
        let buffer = &mut buffer[..value.bytes as usize];
        let mut done = 0;
        while done < buffer.len() {
            done += self.read_value(value, &mut buffer[done..]).await?;
        }
        self.engine.release_record();
        Ok(Some(buffer))
    }

    /// Finds a key's value, to be read piece by piece with [`read_value`](Self::read_value).
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn find(&mut self, key: &[u8]) -> Result<Option<ValueCursor>, Error<D::Error>> {
        let located = self.engine.locate(key).map_err(no_device)?;
        self.find_entry(located, key).await
    }

    async fn find_entry(
        &mut self,
        located: Option<Entry>,
        key: &[u8],
    ) -> Result<Option<ValueCursor>, Error<D::Error>> {
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
        if !CHUNKS || entry.kind != EntryKind::ChunkHead {
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
        let (entry, from, bytes) = match value.head.as_ref().filter(|_| CHUNKS) {
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
        if let Some(head) = value.head.as_ref().filter(|_| CHUNKS) {
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

    pub(super) fn damaged(&mut self, entry: &Entry) -> Error<D::Error> {
        self.engine.release_record();
        no_device(self.engine.damaged(&entry.location, Damage::Chunk))
    }

    /// The next key and value: the key at the start of `buffer`, the value behind it.
    ///
    /// # Errors
    /// As for [`get`](Self::get); the cursor stays, so that nothing is passed over silently. In a salvage it moves behind what
    /// answers `Corrupted`, so that the next call goes on.
    pub async fn next<'b>(
        &mut self,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], &'b [u8])>, Error<D::Error>> {
        let found = self.engine.next_entry(*cursor).map_err(no_device)?;
        let Some(found) = found else { return Ok(None) };
        self.read_next(&found, cursor, buffer).await
    }

    /// The next key that had a value at a snapshot, and that value; as [`next`](Self::next).
    ///
    /// # Errors
    /// As there; `SnapshotGone`, `SnapshotExpired`.
    pub async fn next_at<'b>(
        &mut self,
        snapshot: SnapshotId,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], &'b [u8])>, Error<D::Error>> {
        let found = self.engine.next_entry_at(snapshot, *cursor).map_err(no_device)?;
        let Some(found) = found else { return Ok(None) };
        self.read_next(&found, cursor, buffer).await
    }

    async fn read_next<'b>(
        &mut self,
        found: &(Cursor, Entry),
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<(&'b [u8], &'b [u8])>, Error<D::Error>> {
        let result = self.read_pair(&found.1, buffer).await;
        if result.is_ok() || self.passes(&result) {
            *cursor = found.0;
        }
        let (key_bytes, bytes) = result?;
        let (key, rest) = buffer.split_at(key_bytes);
        Ok(Some((key, &rest[..bytes])))
    }

    /// Whether a salvage goes on behind this.
    fn passes<T>(&self, result: &Result<T, Error<D::Error>>) -> bool {
        self.engine.is_salvage() && matches!(result, Err(Error::Corrupted(_)))
    }

    /// Key and value of an entry, side by side; their bytes.
    async fn read_pair(
        &mut self,
        entry: &Entry,
        buffer: &mut [u8],
    ) -> Result<(usize, usize), Error<D::Error>> {
        let record = drive!(self, self.engine.poll_record(entry));
        let key_bytes = record.key_bytes() as usize;
        if key_bytes <= buffer.len() {
            self.engine.copy_key(&record, &mut buffer[..key_bytes]);
        }
        let mut value = self.value_cursor(*entry, u64::from(record.value_bytes())).await?;
        let needed = key_bytes as u64 + value.bytes;
        if needed > buffer.len() as u64 {
            self.engine.release_record();
            return Err(Error::BufferTooSmall { needed });
        }
        let rest = &mut buffer[key_bytes..needed as usize];
        self.read_found(&mut value, rest).await?;
        Ok((key_bytes, value.bytes as usize))
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
        let record = match self.whole_record(&entry).await {
            Err(error) => {
                let error = Err(error);
                if self.passes(&error) {
                    *cursor = behind;
                }
                return error;
            }
            Ok(record) => record,
        };
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

    async fn whole_record(&mut self, entry: &Entry) -> Result<Record, Error<D::Error>> {
        Ok(drive!(self, self.engine.poll_record(entry)))
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
}
