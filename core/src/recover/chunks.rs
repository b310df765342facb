//! Chunks of visible values. Between the passes of `load`, every visible head gets one *placeholder* for each of its
//! chunks: an entry of kind `Chunk` that names no record. The second pass then takes the chunks that find an entry, so the
//! keydir never holds more than the store needs. What stays a placeholder has no record: it is dropped, and reading that
//! value says that it is damaged.
//!
//! Finding the heads takes a look at every entry, and a read for every chunked value; a store without chunks is spared both.

use core::task::Poll;

use super::Phase;
use crate::engine::{ChunkHead, Engine, ready};
use crate::error::Error;
use crate::keydir::Entry;
use crate::types::{EntryKind, Location, LogAddress, Seq};

/// Of no bytes, so that live bytes are exact when it goes; older than every record.
const PLACEHOLDER: Entry = Entry {
    seq: Seq(1),
    location: Location { address: LogAddress(0), record_bytes: 0 },
    kind: EntryKind::Chunk,
};

/// Whether an entry waits for its chunk. Records have headers: none has no bytes.
pub(super) fn is_placeholder(entry: &Entry) -> bool {
    entry.kind == EntryKind::Chunk && entry.location.record_bytes == 0
}

impl Engine<'_> {
    /// Puts a placeholder into the keydir for every chunk of every visible head.
    pub(super) fn recover_heads(&mut self) -> Result<Poll<()>, Error> {
        if self.recovery.load.chunks > 0 && self.keydir.len_of(EntryKind::ChunkHead) > 0 {
            ready!(self.poll_heads()?);
        }
        // Without one there is nothing to load.
        let wants_chunks = self.recovery.load.placeholders > 0;
        self.recovery.enter(if wants_chunks { Phase::Chunks } else { Phase::Tail });
        Ok(Poll::Ready(()))
    }

    fn poll_heads(&mut self) -> Result<Poll<()>, Error> {
        // Entries that come meanwhile are no heads, and those that are there are met once.
        while let Some((cursor, entry)) = self.next_entry(self.recovery.heads)? {
            if entry.kind == EntryKind::ChunkHead {
                // A head that is damaged keeps nothing: its value is lost, and reading it says so.
                let record = match self.poll_record(&entry) {
                    Ok(Poll::Pending) => return Ok(Poll::Pending),
                    Ok(Poll::Ready(record)) => Some(record),
                    Err(Error::Corrupted(_)) => None,
                    Err(error) => return Err(error),
                };
                let head = record.and_then(|record| self.chunk_head(&entry, &record).ok());
                self.release_record();
                if let Some(head) = head {
                    self.expect_chunks(&head)?;
                }
            }
            self.recovery.heads = cursor;
        }
        Ok(Poll::Ready(()))
    }

    fn expect_chunks(&mut self, head: &ChunkHead) -> Result<(), Error> {
        // Chunks of different values are different records. So no store wrote heads that ask for more chunks than the log
        // has records of them: such a value cannot be whole, and a crafted count neither takes time nor fills the keydir.
        let Some(left) = self.recovery.load.chunks.checked_sub(u64::from(head.count)) else {
            return Ok(());
        };
        self.recovery.load.chunks = left;
        for index in 0..head.count {
            let fingerprint = self.chunk_fingerprint(head.value_id, index);
            if self.keydir.get(&fingerprint).is_none() {
                self.keydir.insert(&fingerprint, PLACEHOLDER)?;
                self.recovery.load.placeholders += 1;
            }
        }
        Ok(())
    }

    /// Leaves those entries in the batch that a head asked for.
    pub(super) fn keep_wanted(&mut self) {
        let (keydir, batch) = (&self.keydir, &mut self.recovery.load.batch);
        keydir.touch(batch.iter().map(|(fingerprint, _)| fingerprint));
        batch.retain(|(fingerprint, _)| {
            keydir.get(fingerprint).is_some_and(|entry| entry.kind == EntryKind::Chunk)
        });
    }

    /// Drops the entries whose chunk is not in the log.
    pub(super) fn drop_placeholders(&mut self) {
        if self.recovery.load.placeholders > 0 {
            self.recovery.load.placeholders = 0;
            self.keydir.retain(|entry| !is_placeholder(entry));
        }
    }
}
