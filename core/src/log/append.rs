//! Appending: records are encoded into the frames of the open group; closing a group freezes it.

use core::task::Poll;

use super::head::OpenGroup;
use crate::device::Durability;
use crate::engine::{Engine, Gather, OpKind, Purpose, ready};
use crate::error::Error;
use crate::format::bytes::round_up;
use crate::format::footer::HintGroup;
use crate::format::group::{
    GROUP_HEADER_BYTES, GROUP_RECORDS_MAX, GROUP_TRAILER_BYTES, GroupEnd, GroupHeader, GroupKind,
    GroupTrailer,
};
use crate::format::record::{self, RECORD_HEADER_BYTES, RecordKind};
use crate::keydir::Entry;
use crate::types::{EntryKind, Fingerprint, FrameId, Location, Offset, Seq};

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl NewRecord<'_> {
    pub(crate) fn record_bytes(&self) -> u32 {
        RECORD_HEADER_BYTES + (self.key.len() + self.value.len()) as u32
    }
}

impl Engine<'_> {
    /// Makes room for a record of `bytes`: an open group, frames, space in the segment. Nothing of the record is written.
    pub(crate) fn make_room(&mut self, bytes: u32) -> Result<Poll<()>, Error> {
        let bytes = self.port.layout.aligned(bytes);
        self.make_room_for(bytes, 1, self.group_bytes_max)
    }

    /// The same for `records` records of together `bytes` (each aligned) in one group of at most `group_max` bytes.
    pub(crate) fn make_room_for(
        &mut self,
        bytes: u32,
        records: u32,
        group_max: u32,
    ) -> Result<Poll<()>, Error> {
        // At most: close a group, write hints, roll, and find room in the new segment.
        for _ in 0..4 {
            ready!(self.poll_writable()?);
            if self.port.pool.dirty() >= self.dirty_max {
                self.freeze_some();
                return Ok(Poll::Pending);
            }
            if let Some(group) = self.head.group {
                let total = self.head.position - group.start + bytes + GROUP_TRAILER_BYTES;
                let count = u32::from(group.count) + records;
                if total > group_max || count > u32::from(GROUP_RECORDS_MAX) {
                    self.close_group(GroupEnd::Adjacent);
                    self.issue_full_pages();
                    continue;
                }
            }
            if self.hints.is_full_for(records as usize) && !self.hints.waiting().is_empty() {
                ready!(self.append_hints()?);
                continue;
            }
            let header = if self.head.group.is_none() { GROUP_HEADER_BYTES } else { 0 };
            let need = header + bytes + GROUP_TRAILER_BYTES + self.port.layout.align;
            if self.head.position + need + self.hints.reserve(records) > self.data_limit() {
                ready!(self.poll_roll()?);
                continue;
            }
            return Ok(self.reserve_frames(need));
        }
        Ok(Poll::Pending)
    }

    /// First offset that groups of records and hints leave free: room for a resume or close group.
    pub(crate) fn data_limit(&self) -> u32 {
        self.port.layout.data_end - self.tail_reserve
    }

    /// Whether the pool has frames for `bytes` more, and one to spare for a trailer; takes the spare one.
    pub(crate) fn reserve_frames(&mut self, bytes: u32) -> Poll<()> {
        if self.head.spare.is_none() {
            self.head.spare = self.port.pool.take();
        }
        let pages = bytes / self.port.layout.page_bytes() + 2;
        if self.head.spare.is_none() || self.port.pool.available() < pages {
            self.freeze_some();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Lets the device have what it can get, so that frames become clean.
    pub(crate) fn freeze_some(&mut self) {
        if self.port.is_idle() {
            self.close_group(GroupEnd::Adjacent);
            self.issue_up_to(round_down(self.head.position, self.port.layout.page_bytes()));
        }
    }

    /// Appends a record of a user and publishes it. `make_room` was ready just before.
    ///
    /// # Errors
    /// `KeydirFull`, before anything is written.
    pub(crate) fn append_entry(
        &mut self,
        fingerprint: Fingerprint,
        record: NewRecord<'_>,
    ) -> Result<Seq, Error> {
        self.keydir.ensure_room(&fingerprint)?;
        let group = self.open_group(GroupKind::Data);
        let (offset, seq) = self.append_record(&record);
        let kind = record.kind.entry_kind().unwrap_or(EntryKind::Value);
        self.hints.add(
            (Offset(group.start), group.first_seq),
            fingerprint,
            record.record_bytes(),
            kind,
        );
        let address = self.port.layout.log_address(self.head.segment, offset);
        let location = Location { address, record_bytes: record.record_bytes() };
        self.publish(fingerprint, Entry { seq, location, kind })?;
        Ok(seq)
    }

    /// Makes an entry the newest of its key.
    pub(crate) fn publish(&mut self, fingerprint: Fingerprint, entry: Entry) -> Result<(), Error> {
        let replaced = self.keydir.insert(&fingerprint, entry)?;
        if let Some(old) = replaced {
            self.bury(&old);
            if old.kind == EntryKind::ChunkHead {
                self.doom_head(old);
            }
        }
        let segment = self.port.layout.segment_of(entry.location.address);
        self.segments.add_live(segment, entry.location.record_bytes);
        self.published_seq = self.published_seq.max(entry.seq);
        Ok(())
    }

    /// The record behind an entry is dead.
    pub(crate) fn bury(&mut self, old: &Entry) {
        let segment = self.port.layout.segment_of(old.location.address);
        self.segments.subtract_live(segment, old.location.record_bytes);
    }

    /// The open group; opens one where there is none. Room was made before.
    pub(crate) fn open_group(&mut self, kind: GroupKind) -> OpenGroup {
        if let Some(group) = self.head.group {
            return group;
        }
        let group =
            OpenGroup { kind, start: self.head.position, first_seq: self.next_seq, count: 0 };
        self.open_group_as(group);
        group
    }

    /// Opens a group with a given start and first sequence.
    pub(crate) fn open_group_as(&mut self, group: OpenGroup) {
        let header = GroupHeader { kind: group.kind, first_seq: group.first_seq };
        let seeds =
            if group.kind == GroupKind::Resume { self.resume_seeds() } else { self.head.seeds };
        let bytes = header.encode(Offset(group.start), &seeds, &self.sums);
        self.write_bytes(&bytes);
        self.head.group = Some(group);
    }

    /// Encodes a record at the end of the open group.
    pub(crate) fn append_record(&mut self, record: &NewRecord<'_>) -> (Offset, Seq) {
        let Some(mut group) = self.head.group else {
            unreachable!("a group is open");
        };
        let offset = Offset(self.head.position);
        let seq = Seq(group.first_seq.0 + u64::from(group.count));
        let inner = (self.sums.crc32c)((self.sums.crc32c)(0, record.key), record.value);
        let sizes = (record.key.len() as u16, record.value.len() as u32);
        let seed = self.head.seeds.record;
        let header =
            record::encode_header(record.kind, sizes, (offset, seq), inner, seed, &self.sums);
        self.write_bytes(&header);
        self.write_bytes(record.key);
        self.write_bytes(record.value);
        self.write_zeros(round_up(self.head.position, self.port.layout.align));
        group.count += 1;
        self.head.group = Some(group);
        if record.kind.entry_kind().is_some() {
            self.next_seq = Seq(self.next_seq.0.max(seq.0 + 1));
            self.head.seq_max = self.head.seq_max.max(seq);
        }
        (offset, seq)
    }

    /// Closes the open group, if there is one with records; an empty one is closed too.
    pub(crate) fn close_group(&mut self, end: GroupEnd) {
        let Some(group) = self.head.group.take() else { return };
        // The last group end before what is durable: a group of which only a part is durable proves nothing.
        let flushed = Offset(self.head.durable.min(self.head.safe.end));
        let covered =
            GroupTrailer { count: group.count, flushed, end, checksum: 0 }.encode_covered();
        self.write_bytes(&covered);
        let sum = self.group_checksum(&group);
        self.write_bytes(&sum.to_le_bytes());
        self.head.digest = (self.sums.crc64)(self.head.digest, &sum.to_le_bytes());
        let unit = if end == GroupEnd::Padded {
            self.port.layout.commit_unit
        } else {
            self.port.layout.align
        };
        self.write_zeros(round_up(self.head.position, unit));
        self.head.push_boundary();
    }

    /// CRC-64 from the group's start to the position, over the frames.
    fn group_checksum(&self, group: &OpenGroup) -> u64 {
        let seeds =
            if group.kind == GroupKind::Resume { self.resume_seeds() } else { self.head.seeds };
        let mut sum = seeds.group(Offset(group.start), &self.sums);
        let layout = &self.port.layout;
        let mut at = group.start;
        while at < self.head.position {
            let in_page = layout.in_page(Offset(at));
            let piece = (layout.page_bytes() - in_page).min(self.head.position - at);
            let frame = self.dirty_frame(at);
            let bytes = &self.port.pool.frame(frame)[in_page as usize..(in_page + piece) as usize];
            sum = (self.sums.crc64)(sum, bytes);
            at += piece;
        }
        sum
    }

    /// The frame of a page of the open segment that is not clean yet.
    pub(crate) fn dirty_frame(&self, offset: u32) -> FrameId {
        let page = self.port.layout.page_at(self.head.segment, Offset(offset));
        self.port.pool.peek(page).expect("pages behind the clean mark are in the pool")
    }

    /// Copies bytes behind the position, taking frames as pages begin.
    pub(crate) fn write_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let in_page = self.port.layout.in_page(Offset(self.head.position)) as usize;
            let frame = self.append_frame();
            let page_bytes = self.port.layout.page_bytes() as usize;
            let piece = bytes.len().min(page_bytes - in_page);
            self.port.pool.frame_mut(frame)[in_page..in_page + piece]
                .copy_from_slice(&bytes[..piece]);
            bytes = &bytes[piece..];
            self.advance(piece as u32);
        }
    }

    /// Copies `bytes` bytes behind the position, from `from` bytes behind the start of a run of frames.
    pub(crate) fn write_frames(&mut self, first: FrameId, from: u32, bytes: u32) {
        let mut done = 0;
        while done < bytes {
            let in_page = self.port.layout.in_page(Offset(self.head.position));
            let frame = self.append_frame();
            let piece = (self.port.layout.page_bytes() - in_page).min(bytes - done);
            self.port.pool.copy((first, from + done), (frame, in_page), piece);
            done += piece;
            self.advance(piece);
        }
    }

    /// Writes zeros up to an offset, at most to the end of a page's neighbour: padding is shorter than a page.
    pub(crate) fn write_zeros(&mut self, up_to: u32) {
        while self.head.position < up_to {
            let in_page = self.port.layout.in_page(Offset(self.head.position));
            let frame = self.append_frame();
            let piece = (self.port.layout.page_bytes() - in_page).min(up_to - self.head.position);
            self.port.pool.frame_mut(frame)[in_page as usize..(in_page + piece) as usize].fill(0);
            self.advance(piece);
        }
    }

    fn advance(&mut self, bytes: u32) {
        self.head.position += bytes;
        if self.port.layout.in_page(Offset(self.head.position)) == 0 {
            self.head.frame = None;
        }
    }

    fn append_frame(&mut self) -> FrameId {
        if let Some(frame) = self.head.frame {
            return frame;
        }
        let page = self.port.layout.page_at(self.head.segment, Offset(self.head.position));
        // What a scan or an earlier use of the segment left in the pool is older than what comes now.
        self.port.pool.forget(page);
        let frame = self.port.pool.take().or_else(|| self.head.spare.take());
        let frame = frame.expect("frames were reserved, the spare one among them");
        self.port.pool.bind_dirty(frame, page);
        self.head.frame = Some(frame);
        frame
    }

    /// Puts the waiting hints into a group of their own; closes the open group first.
    pub(crate) fn append_hints(&mut self) -> Result<Poll<()>, Error> {
        let bytes = self.hints.waiting().len() as u32;
        if bytes == 0 {
            return Ok(Poll::Ready(()));
        }
        // The trailer of the open group, the hint group, an empty group that pads: three alignments, one padding. It is
        // less than what appends leave free (`data_limit` and the reserve of hints), so only a resumed log can lack it.
        let groups = 2 * (GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES)
            + GROUP_TRAILER_BYTES
            + RECORD_HEADER_BYTES
            + 3 * self.port.layout.align
            + self.port.layout.commit_unit;
        if self.head.position + bytes + groups > self.port.layout.data_end {
            // A session resumed the log where only its end was left: the segment will be scanned.
            self.hints.give_up();
            return Ok(Poll::Ready(()));
        }
        let whole = GROUP_HEADER_BYTES + RECORD_HEADER_BYTES + bytes + 2 * GROUP_TRAILER_BYTES;
        ready!(self.reserve_frames(whole + self.port.layout.page_bytes()));
        self.close_group(GroupEnd::Adjacent);
        let start = self.head.position;
        self.open_group(GroupKind::Hints);
        self.append_waiting_hints();
        self.close_group(GroupEnd::Adjacent);
        self.hints.written(HintGroup { offset: Offset(start), bytes: self.head.position - start });
        self.issue_full_pages();
        Ok(Poll::Ready(()))
    }

    fn append_waiting_hints(&mut self) {
        // The hints lie in a buffer of the engine itself, so they go in by pieces; the record's checksum comes first.
        let offset = Offset(self.head.position);
        let inner = (self.sums.crc32c)(0, self.hints.waiting());
        let sizes = (0, self.hints.waiting().len() as u32);
        let Some(group) = self.head.group.as_mut() else { return };
        group.count = 1;
        let place = (offset, group.first_seq);
        let seed = self.head.seeds.record;
        let header =
            record::encode_header(RecordKind::Hints, sizes, place, inner, seed, &self.sums);
        self.write_bytes(&header);
        let mut at = 0;
        while at < self.hints.waiting().len() {
            let mut piece = [0; 256];
            let count = (self.hints.waiting().len() - at).min(piece.len());
            piece[..count].copy_from_slice(&self.hints.waiting()[at..at + count]);
            self.write_bytes(&piece[..count]);
            at += count;
        }
        self.write_zeros(round_up(self.head.position, self.port.layout.align));
    }

    /// Hands whole pages of closed groups to the device once a run of them is full.
    pub(crate) fn issue_full_pages(&mut self) {
        let end = self.head.group.map_or(self.head.position, |group| group.start);
        let end = round_down(end, self.port.layout.page_bytes());
        if end.saturating_sub(self.head.issued) >= self.run_bytes {
            self.issue_up_to(end);
        }
    }

    /// Hands everything before `end` to the device, as far as the queue has room. Returns whether it had.
    pub(crate) fn issue_up_to(&mut self, end: u32) -> bool {
        while self.head.issued < end {
            if self.port.room() < super::roll::ROLL_OPS {
                return false;
            }
            self.issue_one(end, Durability::Buffered);
        }
        true
    }

    /// Queues one write of as many bytes before `end` as one can carry.
    pub(crate) fn issue_one(&mut self, end: u32, durability: Durability) {
        let layout = self.port.layout;
        let from = self.head.issued;
        let start = layout.in_page(Offset(from));
        let frames_max = Gather::FRAMES_MAX as u32;
        let most = self.port.write_bytes_max.min(frames_max * layout.page_bytes() - start);
        let bytes = (end - from).min(most);
        let mut frames = heapless::Vec::new();
        let mut page = from - start;
        while page < from + bytes {
            let pushed = frames.push(self.dirty_frame(page));
            assert!(pushed.is_ok(), "a write has at most its frames");
            page += layout.page_bytes();
        }
        let address = layout.device_address(layout.log_address(self.head.segment, Offset(from)));
        let seq = if from + bytes == self.head.position { self.published_seq } else { Seq(0) };
        let purpose = Purpose::Log { end: Offset(from + bytes), seq };
        self.port.push(
            OpKind::Write { address, gather: Gather { frames, start, bytes }, durability },
            purpose,
        );
        self.head.issued = from + bytes;
    }
}

/// `value` rounded down to a multiple of `unit`, a power of two.
pub(crate) const fn round_down(value: u32, unit: u32) -> u32 {
    value & !(unit - 1)
}
