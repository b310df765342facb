//! The last part of recovery: chunks whose value never became visible are dropped, the head is resumed.

use core::task::Poll;

use super::Phase;
use crate::canary::Canary;
use crate::config::Access;
use crate::engine::{ChunkHead, Cursor, Engine, Health, ready};
use crate::error::Error;
use crate::keydir::Entry;
use crate::log::Resumption;
use crate::types::EntryKind;

/// The state of the search for orphans.
#[derive(Debug, Default)]
pub(super) struct OrphanState {
    cursor: Cursor,
    head: Option<(ChunkHead, u32)>,
}

impl Engine<'_> {
    /// Marks every chunk of a visible head, then drops the others.
    pub(super) fn recover_orphans(&mut self) -> Result<Poll<()>, Error> {
        if self.keydir.len_of(EntryKind::Chunk) > 0 {
            ready!(self.poll_mark_chunks()?);
            let (layout, segments) = (self.port.layout, &mut self.segments);
            self.keydir.drop_unmarked_chunks(|entry: &Entry| {
                segments.subtract_live(
                    layout.segment_of(entry.location.address),
                    entry.location.record_bytes,
                );
            });
        }
        self.recovery.index = self.recovery.hinted;
        self.recovery.phase = Phase::Resume;
        Ok(Poll::Ready(()))
    }

    fn poll_mark_chunks(&mut self) -> Result<Poll<()>, Error> {
        loop {
            if let Some((head, next)) = self.recovery.orphans.head {
                for index in next..head.count {
                    self.keydir.set_mark(&self.chunk_fingerprint(head.value_id, index));
                }
                self.recovery.orphans.head = None;
            }
            let Some((cursor, entry)) = self.next_entry(self.recovery.orphans.cursor)? else {
                return Ok(Poll::Ready(()));
            };
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
                self.recovery.orphans.head = head.map(|head| (head, 0));
            }
            self.recovery.orphans.cursor = cursor;
        }
    }

    /// Resumes the head, unless the last session closed the store or this one only reads.
    pub(super) fn recover_resume(&mut self) -> Result<Poll<()>, Error> {
        let closed = self.recovery.index == 1 || self.cage.holds(Canary::NoRecoverFlush);
        if self.access == Access::ReadWrite && !closed {
            ready!(self.poll_rehome()?);
            ready!(self.poll_resume()?);
            if self.head.resumption != Resumption::Done || !self.port.is_idle() {
                return Ok(Poll::Pending);
            }
        }
        self.durable_seq = self.published_seq;
        self.health = Health::Sound;
        self.recovery.phase = Phase::Done;
        Ok(Poll::Ready(()))
    }
}
