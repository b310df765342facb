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
        // Nobody can reach such chunks; they only cost room, which a session that never writes does not need. Finding them
        // takes a read for every chunked value.
        if self.access == Access::ReadWrite && self.keydir.len_of(EntryKind::Chunk) > 0 {
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
                    // Behind a missing chunk nothing of the value can be read: a crafted count ends here.
                    if !self.keydir.set_mark(&self.chunk_fingerprint(head.value_id, index)) {
                        break;
                    }
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

    fn poll_flush_read(&mut self) -> Result<Poll<()>, Error> {
        if !self.recovery.flushed {
            self.recovery.flushed = true;
            self.push_flush();
        }
        if self.health == Health::Poisoned {
            return Err(Error::Poisoned);
        }
        Ok(if self.port.is_idle() { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Resumes the head, unless the last session closed the store or this one only reads.
    pub(super) fn recover_resume(&mut self) -> Result<Poll<()>, Error> {
        let closed = self.recovery.index == 1 || self.cage.holds(Canary::NoRecoverFlush);
        if self.access == Access::ReadWrite && !closed {
            // A resume group that could not be written moves first. What was read may still be in the device's cache, left by a program that died: it must be durable before a
            // resume group speaks of it.
            ready!(self.poll_rehome()?);
            ready!(self.poll_flush_read()?);
            match self.poll_resume() {
                // No place to write even that: the store can be read, and what is read is durable.
                Err(Error::Full) => {}
                result => {
                    ready!(result?);
                    if self.head.resumption != Resumption::Done || !self.port.is_idle() {
                        return Ok(Poll::Pending);
                    }
                }
            }
        }
        self.durable_seq = self.published_seq;
        self.health = Health::Sound;
        self.recovery.phase = Phase::Done;
        Ok(Poll::Ready(()))
    }
}
