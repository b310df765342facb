//! Where things lie: the segment's inner layout and the way from a log address to a device address.
//!
//! ```text
//! segment:  | header slot | groups ..                          | footer slot | mark slot |
//!           0             data_start                           data_end                  segment_bytes
//! ```
//! All slots are whole commit units. The mark slot of a segment holds a copy of its *successor's* header.

use super::bytes::round_up;
use super::segment::HEADER_FIXED_BYTES;
use super::superblock::{INCOMPAT_SHORT_RECORDS, Superblock};
use crate::error::Error;
use crate::types::{LogAddress, Offset, PageId, SegmentId};

/// Bytes of a footer without its list of hint groups.
pub const FOOTER_FIXED_BYTES: u32 = 88;

/// The layout that follows from a superblock and a page size.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes of a segment.
    pub segment_bytes: u32,
    /// What commits are padded to.
    pub commit_unit: u32,
    /// Bits of a header's bitmap.
    pub segments_max: u32,
    /// First byte of the groups.
    pub data_start: u32,
    /// First byte of the footer slot.
    pub data_end: u32,
    /// First byte of the mark slot.
    pub mark_start: u32,
    /// Bytes of the header slot and of the mark slot.
    pub header_slot: u32,
    /// Most hint groups that a footer lists.
    pub hint_groups_max: u32,
    /// Address of segment 0.
    pub data_offset: u64,
    /// Records start at multiples of this.
    pub align: u32,
    /// Most bytes of a record.
    pub record_bytes_max: u32,
    /// Longest key.
    pub key_bytes_max: u16,
    /// Whether small records may be groups by themselves.
    pub short_records: bool,
    segment_shift: u32,
    page_shift: u32,
}

impl Layout {
    /// Derives the layout.
    ///
    /// # Errors
    /// `Config` where the page cannot hold a header slot, a footer slot or a commit unit, or does not fit the segment.
    pub fn new(block: &Superblock, page_bytes: u32) -> Result<Self, Error> {
        let unit = block.commit_unit;
        let header_slot = round_up(HEADER_FIXED_BYTES + block.segments_max.div_ceil(8), unit);
        let hint_groups_max = if block.segment_bytes >= 1 << 16 { 64 } else { 4 };
        let footer_slot = round_up(FOOTER_FIXED_BYTES + 8 * hint_groups_max, unit);
        if !page_bytes.is_power_of_two()
            || page_bytes < unit
            || page_bytes > block.segment_bytes / 4
        {
            return Err(Error::Config {
                field: "page_bytes",
                want: "a power of two from the commit unit to segment/4",
            });
        }
        if header_slot > page_bytes || footer_slot > page_bytes {
            return Err(Error::Config {
                field: "page_bytes",
                want: "large enough for a segment header and a footer",
            });
        }
        if block.record_bytes_max > page_bytes.saturating_mul(12) {
            return Err(Error::Config {
                field: "page_bytes",
                want: "at least a twelfth of the largest record",
            });
        }
        let mark_start = block.segment_bytes.saturating_sub(header_slot);
        let data_end = mark_start.saturating_sub(footer_slot);
        if data_end <= header_slot || data_end - header_slot < block.segment_bytes / 4 {
            return Err(Error::Config {
                field: "segment_bytes",
                want: "larger: header and footer take most of it",
            });
        }
        Ok(Self {
            segment_bytes: block.segment_bytes,
            commit_unit: unit,
            segments_max: block.segments_max,
            data_start: header_slot,
            data_end,
            mark_start,
            header_slot,
            hint_groups_max,
            data_offset: block.data_offset,
            align: 1 << block.align_shift,
            record_bytes_max: block.record_bytes_max,
            key_bytes_max: block.key_bytes_max,
            short_records: block.incompat & INCOMPAT_SHORT_RECORDS != 0,
            segment_shift: block.segment_bytes.trailing_zeros(),
            page_shift: page_bytes.trailing_zeros(),
        })
    }

    /// Bytes of a page.
    #[must_use]
    pub const fn page_bytes(&self) -> u32 {
        1 << self.page_shift
    }

    /// The log address of a place in a segment.
    #[must_use]
    pub const fn log_address(&self, segment: SegmentId, offset: Offset) -> LogAddress {
        LogAddress(((segment.0 as u64) << self.segment_shift) + offset.0 as u64)
    }

    /// The segment that a log address lies in.
    #[must_use]
    pub const fn segment_of(&self, address: LogAddress) -> SegmentId {
        SegmentId((address.0 >> self.segment_shift) as u32)
    }

    /// The offset of a log address in its segment.
    #[must_use]
    pub const fn offset_of(&self, address: LogAddress) -> Offset {
        Offset((address.0 & (self.segment_bytes as u64 - 1)) as u32)
    }

    /// The page of a log address.
    #[must_use]
    pub const fn page_of(&self, address: LogAddress) -> PageId {
        PageId(address.0 >> self.page_shift)
    }

    /// The page that an offset of a segment lies in.
    #[must_use]
    pub const fn page_at(&self, segment: SegmentId, offset: Offset) -> PageId {
        self.page_of(self.log_address(segment, offset))
    }

    /// Byte inside the page of a log address.
    #[must_use]
    pub const fn in_page(&self, offset: Offset) -> u32 {
        offset.0 & (self.page_bytes() - 1)
    }

    /// The first log address of a page.
    #[must_use]
    pub const fn page_start(&self, page: PageId) -> LogAddress {
        LogAddress(page.0 << self.page_shift)
    }

    /// The device address of a log address.
    #[must_use]
    pub const fn device_address(&self, address: LogAddress) -> u64 {
        self.data_offset + address.0
    }

    /// Segments that fit a device of `capacity` bytes.
    #[must_use]
    pub fn segments_in(&self, capacity: u64) -> u32 {
        let whole = capacity.saturating_sub(self.data_offset) >> self.segment_shift;
        u32::try_from(whole).unwrap_or(u32::MAX).min(self.segments_max)
    }

    /// Device capacity that `segments` need.
    #[must_use]
    pub const fn capacity_of(&self, segments: u32) -> u64 {
        self.data_offset + ((segments as u64) << self.segment_shift)
    }

    /// `bytes` rounded up to where the next record may start.
    #[must_use]
    pub const fn aligned(&self, bytes: u32) -> u32 {
        round_up(bytes, self.align)
    }

    /// `offset` rounded up to the next commit unit.
    #[must_use]
    pub const fn padded(&self, offset: u32) -> u32 {
        round_up(offset, self.commit_unit)
    }
}
