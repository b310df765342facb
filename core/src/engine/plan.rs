//! Reading a record without holding the engine: a plan says where its bytes lie and proves them right.
//!
//! The checksum of a record is seeded by its place and that place's incarnation. So a reader may let go of the engine
//! between planning and reading, without a pin: if the segment was given back and used again meanwhile, the bytes do not
//! verify, and the reader asks the engine anew where the record is now. Where the answer is the same entry, the medium is
//! damaged. Used by hosts with threads; [`poll_record`](Engine::poll_record) is the way through the engine's own queue.

use core::ops::Range;

use super::core_state::{Engine, Health};
use super::iterate::Cursor;
use super::ops::Gather;
use crate::error::{Corruption, Damage, Error};
use crate::format::checksum::Checksums;
use crate::format::group::Seeds;
use crate::format::record::{self, RecordHeader, RecordKind};
use crate::keydir::Entry;
use crate::snapshot::SnapshotId;
use crate::types::{EntryKind, Fingerprint, FrameId, Location, Offset, PageId, SegmentId, Seq};

/// Where a record lies, and what its checksum must be.
#[derive(Clone, Copy, Debug)]
pub struct ReadPlan {
    entry: Entry,
    segment: SegmentId,
    offset: Offset,
    open_seq: Seq,
    store_id: [u8; 16],
    sums: Checksums,
    first_page: PageId,
    pages: u32,
    page_bytes: u32,
    address: u64,
    settled: Settled,
}

/// Whether the pages of a record can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Its segment is sealed: as long as the record lives there, its pages stay as they are.
    Sealed,
    /// More may be appended behind it in its last page.
    Open,
}

/// A verified record: where its parts lie in the bytes that were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The key.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

impl ReadPlan {
    /// The entry that it is for.
    #[must_use]
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Bytes of the record.
    #[must_use]
    pub const fn record_bytes(&self) -> usize {
        self.entry.location.record_bytes as usize
    }

    /// Pages that it touches.
    #[must_use]
    pub const fn pages(&self) -> Range<u32> {
        0..self.pages
    }

    /// The device address and the bytes of some of its pages.
    #[must_use]
    pub const fn device_range(&self, pages: &Range<u32>) -> (u64, usize) {
        let first = self.address + pages.start as u64 * self.page_bytes as u64;
        (first, (pages.end - pages.start) as usize * self.page_bytes as usize)
    }

    /// Of the bytes of some pages, those of the record: where they lie in the pages, and where in the record.
    #[must_use]
    pub fn overlap(&self, pages: &Range<u32>) -> (Range<usize>, Range<usize>) {
        let page_bytes = self.page_bytes as usize;
        let start = self.offset.0 as usize % page_bytes;
        let (first, end) = (pages.start as usize * page_bytes, pages.end as usize * page_bytes);
        let from = start.max(first);
        let to = (start + self.record_bytes()).min(end).max(from);
        (from - first..to - first, from - start..to - start)
    }

    /// The parts of the record, if these are its bytes.
    #[must_use]
    pub fn verify(&self, bytes: &[u8]) -> Option<Parts> {
        let header = RecordHeader::decode(bytes)?;
        if header.kind != RecordKind::of_entry(self.entry.kind)
            || header.record_bytes() as usize != bytes.len()
            || bytes.len() != self.record_bytes()
        {
            return None;
        }
        let prefix = header.prefix_bytes() as usize;
        let inner = (self.sums.crc32c)(0, &bytes[prefix..]);
        let seed = Seeds::record(&self.store_id, self.segment, self.open_seq, &self.sums);
        let place = (self.offset, self.entry.seq);
        if record::checksum(bytes, place, inner, seed, &self.sums) != header.checksum {
            return None;
        }
        let key_end = prefix + usize::from(header.key_bytes);
        Some(Parts { key: prefix..key_end, value: key_end..bytes.len() })
    }

    /// The error of a record that does not verify where it must.
    #[must_use]
    pub fn damaged(&self) -> Error {
        let what = Damage::Record;
        Error::Corrupted(Corruption { segment: Some(self.segment), offset: self.offset, what })
    }
}

impl Engine<'_> {
    /// The newest entry of a fingerprint that has a value; as [`locate`](Self::locate).
    ///
    /// # Errors
    /// As there.
    pub fn locate_fingerprint(&self, fingerprint: &Fingerprint) -> Result<Option<Entry>, Error> {
        let found = self.keydir.get(fingerprint);
        self.check_certain(found.as_ref())?;
        let Some(entry) = found else { return Ok(None) };
        self.check_readable(&entry)?;
        Ok(matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead).then_some(entry))
    }

    /// The entry of a fingerprint at a snapshot; as [`locate_at`](Self::locate_at).
    ///
    /// # Errors
    /// As there.
    pub fn locate_fingerprint_at(
        &self,
        id: SnapshotId,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Entry>, Error> {
        let seq = self.read_seq(id)?;
        self.entry_at(fingerprint, self.keydir.get(fingerprint), seq)
    }

    /// Of a cursor's next entry at a snapshot: the cursor behind it, the entry and its fingerprint.
    ///
    /// # Errors
    /// As for [`next_entry_at`](Self::next_entry_at).
    pub fn next_planned_at(
        &self,
        id: SnapshotId,
        cursor: Cursor,
    ) -> Result<Option<(Cursor, Entry, Fingerprint)>, Error> {
        let Some((behind, entry)) = self.next_entry_at(id, cursor)? else { return Ok(None) };
        let position = behind.after.expect("an entry was passed");
        Ok(Some((behind, entry, self.keydir.fingerprint_at(&position))))
    }

    /// Plans the read of an entry's record.
    ///
    /// # Errors
    /// `Corrupted` where the entry points to no segment in use.
    pub fn read_plan(&self, entry: &Entry) -> Result<ReadPlan, Error> {
        let (layout, location) = (&self.port.layout, &entry.location);
        let segment = layout.segment_of(location.address);
        let is_head = segment == self.head.segment && self.health != Health::Opening;
        let open_seq =
            if is_head { Some(self.head.open_seq) } else { self.segments.open_seq(segment) };
        let open_seq = open_seq.ok_or_else(|| self.damaged(location, Damage::Record))?;
        let first_page = layout.page_of(location.address);
        let end = location.address.0 + u64::from(location.record_bytes.max(1)) - 1;
        let pages = (end >> layout.page_bytes().trailing_zeros()) - first_page.0 + 1;
        Ok(ReadPlan {
            entry: *entry,
            segment,
            offset: layout.offset_of(location.address),
            open_seq,
            store_id: self.store_id,
            sums: self.sums,
            first_page,
            pages: pages as u32,
            page_bytes: layout.page_bytes(),
            address: layout.device_address(layout.page_start(first_page)),
            settled: if is_head { Settled::Open } else { Settled::Sealed },
        })
    }

    /// Copies what the pool has of a record to `record`, which has its length. Answers the pages from the first to the last
    /// one that the pool does not have: the device has them, as a page leaves the pool only when it was written.
    #[must_use]
    pub fn copy_resident(&self, plan: &ReadPlan, record: &mut [u8]) -> Option<Range<u32>> {
        let mut missing: Option<Range<u32>> = None;
        for index in plan.pages() {
            let page = PageId(plan.first_page.0 + u64::from(index));
            match self.port.pool.peek(page) {
                Some(frame) => {
                    let (from, to) = plan.overlap(&(index..index + 1));
                    record[to].copy_from_slice(&self.port.pool.frame(frame)[from]);
                }
                None => {
                    let first = missing.map_or(index, |missing| missing.start);
                    missing = Some(first..index + 1);
                }
            }
        }
        missing
    }

    /// A record in the pool was read: its pages stay longer.
    pub fn touch(&mut self, entry: &Entry) {
        let layout = &self.port.layout;
        let first = layout.page_of(entry.location.address).0;
        let end = entry.location.address.0 + u64::from(entry.location.record_bytes.max(1)) - 1;
        for page in first..=end >> layout.page_bytes().trailing_zeros() {
            let _ = self.port.pool.find(PageId(page));
        }
    }

    /// Whether the page of a cached record was read so often lately that one more time makes no difference.
    #[must_use]
    pub fn is_hot(&self, entry: &Entry) -> bool {
        self.port.pool.is_hot(self.port.layout.page_of(entry.location.address))
    }

    /// Keeps pages that were read for a verified record in the pool, if that record still lies there and its segment was
    /// sealed before they were read: then they are as they were.
    pub fn keep_pages(
        &mut self,
        fingerprint: &Fingerprint,
        plan: &ReadPlan,
        pages: &Range<u32>,
        bytes: &[u8],
    ) {
        if plan.settled == Settled::Open || self.keydir.get(fingerprint) != Some(plan.entry) {
            return;
        }
        for (index, page_bytes) in pages.clone().zip(bytes.chunks_exact(plan.page_bytes as usize)) {
            let page = PageId(plan.first_page.0 + u64::from(index));
            if self.port.pool.peek(page).is_some() {
                continue;
            }
            // Appends keep their frames.
            if self.port.pool.available() <= self.dirty_max {
                return;
            }
            let Some(frame) = self.port.pool.take() else { return };
            self.port.pool.frame_mut(frame).copy_from_slice(page_bytes);
            self.port.pool.bind_clean(frame, page);
        }
    }

    /// Copies the bytes of a write to `target`, which has their length.
    pub fn copy_write(&self, gather: &Gather, target: &mut [u8]) {
        let mut slices = [&[][..]; Gather::FRAMES_MAX];
        let count = self.write_slices(gather, &mut slices);
        let mut rest = target;
        for slice in &slices[..count] {
            let (part, behind) = rest.split_at_mut(slice.len());
            part.copy_from_slice(slice);
            rest = behind;
        }
    }

    /// Takes the bytes that a read brought, from byte `start` of the frame `first` on.
    pub fn fill_read(&mut self, first: FrameId, start: u32, bytes: &[u8]) {
        self.read_buffer(first, start, bytes.len() as u32).copy_from_slice(bytes);
    }

    /// Everything up to here is durable.
    #[must_use]
    pub fn durable_seq(&self) -> Seq {
        self.durable_seq
    }

    /// The segment that is appended to.
    #[must_use]
    pub fn open_segment_id(&self) -> SegmentId {
        self.head.segment
    }

    /// Whether an operation in the queue makes everything up to `target` durable, once it is done.
    #[must_use]
    pub fn is_sync_queued(&self, target: Seq) -> bool {
        self.port.covers(target)
    }

    /// Whether [`next_op`](Self::next_op) has one.
    #[must_use]
    pub fn can_start_op(&self) -> bool {
        self.port.can_start()
    }

    /// A place of damage, for a report.
    #[must_use]
    pub fn place_of(&self, location: &Location, what: Damage) -> Corruption {
        let layout = &self.port.layout;
        let segment = Some(layout.segment_of(location.address));
        Corruption { segment, offset: layout.offset_of(location.address), what }
    }
}
