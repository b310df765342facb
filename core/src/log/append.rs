//! Appending: records are encoded into the frames of the open group; closing a group freezes it.

use core::task::Poll;

use super::head::OpenGroup;
use crate::canary::Canary;
use crate::device::Durability;
use crate::engine::{Engine, Gather, Purpose, ready};
use crate::error::Error;
use crate::format::bytes::round_up;
use crate::format::footer::HintGroup;
use crate::format::group::{
    GROUP_HEADER_BYTES, GROUP_RECORDS_MAX, GROUP_TRAILER_BYTES, GroupEnd, GroupHeader, GroupKind,
    GroupTrailer,
};
use crate::format::hint::HINT_BYTES;
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind};
use crate::keydir::Entry;
use crate::parts::SNAPSHOTS;
use crate::types::{EntryKind, Fingerprint, FrameId, Location, LogAddress, Offset, Seq};

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

    /// The same for `records` records of together `bytes` (each aligned) in one group of at most `group_max` bytes. Merge
    /// work that this append must be preceded by is done first.
    pub(crate) fn make_room_for(
        &mut self,
        bytes: u32,
        records: u32,
        group_max: u32,
    ) -> Result<Poll<()>, Error> {
        ready!(self.poll_writable()?);
        let around = GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES + self.port.layout.commit_unit;
        ready!(self.poll_pay(bytes + records * HINT_BYTES as u32 + around)?);
        self.grow_ahead();
        self.poll_place_group(bytes, records, group_max)
    }

    /// Makes room for one record of `bytes` that nobody pays for.
    pub(crate) fn poll_place(&mut self, bytes: u32) -> Result<Poll<()>, Error> {
        let bytes = self.port.layout.aligned(bytes);
        self.poll_place_group(bytes, 1, self.group_bytes_max)
    }

    fn poll_place_group(
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

    /// Makes an entry the newest of its key.
    pub(crate) fn publish(&mut self, fingerprint: Fingerprint, entry: Entry) -> Result<(), Error> {
        let replaced = self.keydir.insert(&fingerprint, entry)?;
        if let Some(old) = replaced {
            self.supersede(&fingerprint, &old, entry.seq);
        }
        let segment = self.port.layout.segment_of(entry.location.address);
        self.segments.add_live(segment, &entry);
        self.merger.tombstones += u64::from(entry.kind == EntryKind::Tombstone);
        self.published_seq = self.published_seq.max(entry.seq);
        Ok(())
    }

    /// Points the entry of a record that was encoded anew to its new place, if it still points to the old one.
    pub(crate) fn repoint(&mut self, fingerprint: &Fingerprint, old: LogAddress, new: Location) {
        let any = self.cage.holds(Canary::LiveAtRead);
        let newest =
            self.keydir.get(fingerprint).filter(|entry| any || entry.location.address == old);
        let entry = match newest {
            Some(entry) => {
                self.keydir.replace_location(fingerprint, entry.location.address, new);
                entry
            }
            None => {
                let version = self.versions.find_at(fingerprint, old).filter(|_| SNAPSHOTS);
                let Some(version) = version else { return };
                self.versions.relocate(fingerprint, old, new);
                version.entry
            }
        };
        self.bury(&entry);
        let segment = self.port.layout.segment_of(new.address);
        self.segments.add_live(segment, &Entry { location: new, ..entry });
    }

    /// The record behind an entry is dead.
    pub(crate) fn bury(&mut self, old: &Entry) {
        let segment = self.port.layout.segment_of(old.location.address);
        self.segments.subtract_live(segment, old);
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
        let header = GroupHeader { kind: group.kind, first_seq: group.first_seq };
        self.head.follows = header.next_seq(group.count);
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
        let address = layout.device_address(layout.log_address(self.head.segment, Offset(from)));
        let seq = if from + bytes == self.head.position { self.published_seq } else { Seq(0) };
        let purpose = Purpose::Log { end: Offset(from + bytes), seq, durability };
        self.port.push(address, bytes, purpose);
        self.head.issued = from + bytes;
    }
}

/// `value` rounded down to a multiple of `unit`, a power of two.
pub(crate) const fn round_down(value: u32, unit: u32) -> u32 {
    value & !(unit - 1)
}
