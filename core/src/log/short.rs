//! Appending short records: groups of one record without group header and trailer, padded to the commit unit.
//!
//! A reader knows their sequence from the group before them, so one may only follow where the numbers do. It is written on
//! devices with small commit units and without hints, by single puts and deletes; everything else goes into whole groups.

use core::task::Poll;

use super::append::NewRecord;
use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::format::group::{GroupEnd, GroupKind};
use crate::format::record::{
    self, Before, RecordKind, RecordShape, SHORT_HEADER_BYTES, SHORT_KEY_BYTES_MAX,
    SHORT_VALUE_BYTES_MAX,
};
use crate::keydir::Entry;
use crate::log::head::OpenGroup;
use crate::types::{Fingerprint, Location, LogAddress, Offset, Seq};

impl NewRecord<'_> {
    fn short_bytes(&self) -> u32 {
        SHORT_HEADER_BYTES + (self.key.len() + self.value.len()) as u32
    }
}

impl Engine<'_> {
    /// Whether a record may be written as a short one.
    pub(crate) fn may_be_short(&self, record: &NewRecord<'_>) -> bool {
        self.port.layout.short_records
            && !self.hints.is_kept()
            && matches!(record.kind, RecordKind::Value | RecordKind::Tombstone)
            && record.key.len() <= SHORT_KEY_BYTES_MAX
            && record.value.len() <= SHORT_VALUE_BYTES_MAX
    }

    /// Makes room for a short record: no open group, frames, space in the segment. Merge work that this append must be
    /// preceded by is done first.
    pub(crate) fn make_room_for_short(
        &mut self,
        record: &NewRecord<'_>,
    ) -> Result<Poll<()>, Error> {
        ready!(self.poll_writable()?);
        let unit = self.port.layout.commit_unit;
        // In a whole group of its own where the numbers do not follow.
        let bytes = record.short_bytes() + 2 * unit;
        ready!(self.poll_pay(bytes)?);
        // At most: close a group, write an empty one, roll.
        for _ in 0..4 {
            ready!(self.poll_writable()?);
            if self.port.pool.dirty() >= self.dirty_max {
                self.freeze_some();
                return Ok(Poll::Pending);
            }
            if self.head.group.is_some() {
                self.close_group(GroupEnd::Adjacent);
                self.issue_full_pages();
            }
            if self.head.follows != self.next_seq {
                let empty = super::RESUME_GROUP_BYTES + unit;
                if self.head.position + empty > self.data_limit() {
                    ready!(self.poll_roll()?);
                    continue;
                }
                ready!(self.reserve_frames(empty));
                self.follow(self.next_seq);
                continue;
            }
            if self.head.position + bytes > self.data_limit() {
                ready!(self.poll_roll()?);
                continue;
            }
            return Ok(self.reserve_frames(bytes));
        }
        Ok(Poll::Pending)
    }

    /// An empty group, behind which readers expect `seq`.
    pub(super) fn follow(&mut self, seq: Seq) {
        if self.head.follows == seq {
            return;
        }
        let (kind, start) = (GroupKind::Data, self.head.position);
        self.open_group_as(OpenGroup { kind, start, first_seq: seq, count: 0 });
        self.close_group(GroupEnd::Adjacent);
    }

    /// Appends a short record of a user and publishes it. `make_room_for_short` was ready just before.
    ///
    /// # Errors
    /// `KeydirFull`, before anything is written.
    pub(crate) fn append_short(
        &mut self,
        fingerprint: Fingerprint,
        record: NewRecord<'_>,
    ) -> Result<(), Error> {
        self.keydir.ensure_room(&fingerprint)?;
        let shape = RecordShape {
            kind: record.kind,
            flags: 0,
            key_bytes: record.key.len() as u16,
            value_bytes: record.value.len() as u32,
            inner: (self.sums.crc32c)((self.sums.crc32c)(0, record.key), record.value),
        };
        let seq = self.next_seq;
        self.next_seq = Seq(seq.0 + 1);
        let address = self.begin_short(&shape, seq);
        self.write_bytes(record.key);
        self.write_bytes(record.value);
        self.end_short();
        self.issue_full_pages();
        let kind = record.kind.entry_kind().expect("values and tombstones have entries");
        let location = Location { address, record_bytes: record.short_bytes() };
        self.publish(fingerprint, Entry { seq, location, kind })
    }

    /// Writes the header of a short record; answers where it lies.
    pub(super) fn begin_short(&mut self, shape: &RecordShape, seq: Seq) -> LogAddress {
        assert!(
            self.head.group.is_none() && self.head.follows == seq,
            "a reader knows the sequence"
        );
        let start = self.head.position;
        // Without a group that is only partly durable in between: that would prove nothing.
        let durable = self.head.durable.min(self.head.safe.end) >= start;
        let before = if durable { Before::Durable } else { Before::Unknown };
        let place = (Offset(start), seq);
        let header = record::encode_short(shape, place, before, self.head.seeds.record, &self.sums);
        let sum = u64::from(crate::format::bytes::u32_at(&header, 2));
        self.head.digest = (self.sums.crc64)(self.head.digest, &sum.to_le_bytes());
        self.head.follows = Seq(seq.0 + 1);
        self.head.seq_max = self.head.seq_max.max(seq);
        self.write_bytes(&header);
        self.hints.give_up();
        self.port.layout.log_address(self.head.segment, Offset(start))
    }

    /// Pads a short record whose body was written.
    pub(super) fn end_short(&mut self) {
        self.write_zeros(self.port.layout.padded(self.head.position));
        self.head.push_boundary();
    }
}
