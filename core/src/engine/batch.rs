//! Batches: records staged in frames of their own, then appended as one group or not at all.
//!
//! A staged frame starts with the index of the next one; behind it lie the records, each a header of 8 bytes (kind, 0,
//! key bytes u16, value bytes u32), key and value, running on from frame to frame.

use core::task::Poll;

use heapless::Vec;

use super::core_state::Engine;
use super::ready;
use crate::canary::Canary;
use crate::error::Error;
use crate::format::bytes::{put, u16_at, u32_at};
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupKind};
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind, RecordShape};
use crate::log::NewRecord;
use crate::parts::sized;
use crate::types::{EntryKind, FrameId, LogAddress, Seq};

const LINK_BYTES: u32 = 4;
const ITEM_BYTES: u32 = 8;
/// Replaced records that a batch tells apart.
const REPLACED_MAX: usize = sized(8, 64);

/// The batch that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    first: Option<FrameId>,
    last: Option<(FrameId, u32)>,
    frames: u32,
    records: u32,
    new_keys: u32,
    /// Bytes that the records will take in the log, aligned.
    log_bytes: u32,
    /// What keeping its records will cost.
    cost: u64,
    /// What it replaces costs now, each record once: exact as long as all of them are in `known`.
    freed: u64,
    /// What each record costs beyond what it replaces. A key that comes twice replaces the same record twice, so nothing
    /// that shrinks pays for anything else here: never less than the batch takes.
    growth: u64,
    /// Where the replaced records lie.
    known: Vec<LogAddress, REPLACED_MAX>,
    /// There are more of them.
    overflowed: bool,
    /// Records that replace another one.
    replaced: u32,
}

/// Where reading of staged bytes stands.
#[derive(Clone, Copy, Debug)]
struct StagedAt {
    frame: FrameId,
    at: u32,
}

impl Engine<'_> {
    /// Adds a put (`Value`) or a delete (`Tombstone`) to the batch.
    ///
    /// # Errors
    /// `KeySize`, `ValueTooLarge`, `BatchTooLarge`, `KeydirFull`, `Poisoned`, `ReadOnly`; the batch is as before.
    pub fn poll_stage(
        &mut self,
        kind: EntryKind,
        key: &[u8],
        value: &[u8],
    ) -> Result<Poll<()>, Error> {
        self.check_writable()?;
        self.check_key(key)?;
        let max = self.single_value_max(key);
        if value.len() > max {
            return Err(Error::ValueTooLarge { bytes: value.len() as u64, max: max as u64 });
        }
        let kind = RecordKind::of_entry(kind);
        let record = NewRecord { kind, key, value };
        let log_bytes = self.staged.log_bytes + self.port.layout.aligned(record.record_bytes());
        let most = self.batch_room(self.staged.records + 1);
        if log_bytes > most || self.staged.records >= u32::from(u16::MAX) {
            return Err(Error::BatchTooLarge { max: most });
        }
        let old = self.keydir.get(&self.keydir.fingerprint(key));
        let new_keys = self.staged.new_keys + u32::from(old.is_none());
        if !self.keydir.has_room_for(new_keys) {
            return Err(Error::KeydirFull { capacity: u64::from(self.keydir.capacity()) });
        }
        let bytes = ITEM_BYTES + record.record_bytes() - RECORD_HEADER_BYTES;
        if self.port.pool.available() < bytes / (self.port.layout.page_bytes() - LINK_BYTES) + 2 {
            self.freeze_some();
            return Ok(Poll::Pending);
        }
        let mut item = [0; ITEM_BYTES as usize];
        put(&mut item, 0, &[kind as u8, 0]);
        put(&mut item, 2, &(key.len() as u16).to_le_bytes());
        put(&mut item, 4, &(value.len() as u32).to_le_bytes());
        for part in [&item[..], key, value] {
            self.stage_bytes(part);
        }
        self.staged.records += 1;
        self.staged.new_keys = new_keys;
        self.staged.log_bytes = log_bytes;
        let cost = self.record_cost(record.record_bytes());
        let dies = old.filter(|old| !self.is_kept(old));
        let freed = dies.map_or(0, |old| self.entry_cost(&old));
        self.staged.replaced += u32::from(old.is_some());
        self.staged.cost += cost;
        self.staged.growth += cost.saturating_sub(freed);
        if let Some(old) = dies
            && !self.staged.known.contains(&old.location.address)
        {
            self.staged.freed += freed;
            self.staged.overflowed |= self.staged.known.push(old.location.address).is_err();
        }
        Ok(Poll::Ready(()))
    }

    /// What the batch will take beyond what there is now, at most.
    fn staged_growth(&self) -> u64 {
        let staged = &self.staged;
        let exact = staged.cost.saturating_sub(staged.freed);
        if staged.overflowed { staged.growth } else { exact.min(staged.growth) }
    }

    /// Most bytes of `records` records in one batch: what an empty segment has room for beside their hints.
    pub(super) fn batch_room(&self, records: u32) -> u32 {
        let layout = &self.port.layout;
        let empty = self.data_limit() - layout.data_start - layout.align;
        empty
            .saturating_sub(self.hints.reserve_empty(records))
            .min(self.batch_bytes_max)
            .saturating_sub(GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES)
    }

    fn stage_bytes(&mut self, mut bytes: &[u8]) {
        let page_bytes = self.port.layout.page_bytes();
        while !bytes.is_empty() {
            let (frame, at) = match self.staged.last.filter(|&(_, at)| at < page_bytes) {
                Some(last) => last,
                None => self.stage_frame(),
            };
            let piece = bytes.len().min((page_bytes - at) as usize);
            put(self.port.pool.frame_mut(frame), at as usize, &bytes[..piece]);
            bytes = &bytes[piece..];
            self.staged.last = Some((frame, at + piece as u32));
        }
    }

    fn stage_frame(&mut self) -> (FrameId, u32) {
        let frame = self.port.pool.take().expect("available() was asked before");
        self.staged.frames += 1;
        match self.staged.last {
            Some((before, _)) => put(self.port.pool.frame_mut(before), 0, &frame.0.to_le_bytes()),
            None => self.staged.first = Some(frame),
        }
        (frame, LINK_BYTES)
    }

    /// Forgets the batch.
    pub fn abort_batch(&mut self) {
        let mut next = self.staged.first;
        for _ in 0..self.staged.frames {
            let Some(frame) = next else { break };
            next = Some(FrameId(u32_at(self.port.pool.frame(frame), 0)));
            self.port.pool.release(frame);
        }
        self.staged = Staged::default();
    }

    /// Appends and publishes the batch: all of it, or on an error nothing. Ready with its last sequence.
    ///
    /// # Errors
    /// `Full`, `Poisoned`; the batch is still staged.
    pub fn poll_commit(&mut self) -> Result<Poll<Seq>, Error> {
        if self.staged.records == 0 {
            return Ok(Poll::Ready(self.published_seq));
        }
        let more = self.staged_growth();
        if self.snapshots.distinct() > 0 {
            self.ensure_version_room(self.staged.replaced)?;
        }
        ready!(self.poll_admission(more, None)?);
        ready!(self.make_room_for(
            self.staged.log_bytes,
            self.staged.records,
            self.batch_bytes_max
        )?);
        let Some(frame) = self.staged.first else { return Ok(Poll::Ready(self.published_seq)) };
        self.open_group(GroupKind::Data);
        let mut from = StagedAt { frame, at: LINK_BYTES };
        for _ in 0..self.staged.records {
            if self.cage.holds(Canary::NoBatchCommit) {
                self.split_group();
            }
            if let Err(error) = self.append_staged(&mut from) {
                // Half of the batch is visible and its group is open: nothing but a reopening can take it back.
                self.poison();
                self.abort_batch();
                return Err(error);
            }
        }
        self.abort_batch();
        Ok(Poll::Ready(self.published_seq))
    }

    /// The seeded bug: what is one batch becomes several groups.
    fn split_group(&mut self) {
        if self.head.group.is_some_and(|group| group.count > 0)
            && self.reserve_frames(self.port.layout.page_bytes()).is_ready()
        {
            self.close_group(GroupEnd::Adjacent);
            self.open_group(GroupKind::Data);
        }
    }

    fn append_staged(&mut self, from: &mut StagedAt) -> Result<(), Error> {
        let mut item = [0; ITEM_BYTES as usize];
        let mut filled = 0;
        self.staged_pieces(from, ITEM_BYTES, |engine, frame, at, bytes| {
            let source = &engine.port.pool.frame(frame)[at as usize..(at + bytes) as usize];
            item[filled..filled + source.len()].copy_from_slice(source);
            filled += source.len();
        });
        let kind = RecordKind::from_byte(item[0]).expect("staged by poll_stage");
        let sizes = (u16_at(&item, 2), u32_at(&item, 4));
        let body = u32::from(sizes.0) + sizes.1;
        let body_at = *from;
        let mut hasher = self.hasher_for(kind);
        let (mut inner, mut key_left) = (0, u32::from(sizes.0));
        self.staged_pieces(&mut body_at.clone(), body, |engine, frame, at, bytes| {
            let source = &engine.port.pool.frame(frame)[at as usize..(at + bytes) as usize];
            inner = (engine.sums.crc32c)(inner, source);
            let of_key = key_left.min(bytes);
            hasher.write(&source[..of_key as usize]);
            key_left -= of_key;
        });
        let fingerprint = hasher.finish();
        let shape = RecordShape { kind, flags: 0, key_bytes: sizes.0, value_bytes: sizes.1, inner };
        let begun = self.begin_record(&shape, Seq(0));
        self.staged_pieces(from, body, |engine, frame, at, bytes| {
            engine.write_frames(frame, at, bytes)
        });
        let entry = self.end_record(begun, &fingerprint);
        self.publish(fingerprint, entry)
    }

    /// Calls `each` with the pieces (frame, first byte, bytes) of the next `bytes` staged bytes.
    fn staged_pieces(
        &mut self,
        from: &mut StagedAt,
        bytes: u32,
        mut each: impl FnMut(&mut Self, FrameId, u32, u32),
    ) {
        let page_bytes = self.port.layout.page_bytes();
        let mut left = bytes;
        while left > 0 {
            if from.at == page_bytes {
                let next = u32_at(self.port.pool.frame(from.frame), 0);
                *from = StagedAt { frame: FrameId(next), at: LINK_BYTES };
            }
            let piece = left.min(page_bytes - from.at);
            each(self, from.frame, from.at, piece);
            from.at += piece;
            left -= piece;
        }
    }
}
