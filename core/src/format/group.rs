//! Groups: the unit of append and of recovery, all or nothing.
//!
//! ```text
//! header   0 kind u8 | 1 flags u8 | 2 0 u16 | 4 CRC-32C of the header | 8 first seq u64
//! records  ..
//! trailer  0 0xE0 | 1 flags u8 | 2 count u16 | 4 flushed u32 | 8 CRC-64 of all bytes before it, seeded
//! ```
//! `flushed`: the log of this segment was durable up to this offset when the group was closed. Together 32 bytes.

use super::bytes::{put, u8_at, u16_at, u32_at, u64_at};
use super::checksum::Checksums;
use crate::types::{Boot, Offset, SegmentId, Seq};

/// Bytes of a group header.
pub const GROUP_HEADER_BYTES: u32 = 16;
/// Bytes of a group trailer.
pub const GROUP_TRAILER_BYTES: u32 = 16;
/// First byte of a trailer.
pub const TRAILER_KIND: u8 = 0xe0;
/// Most records of a group.
pub const GROUP_RECORDS_MAX: u16 = u16::MAX;
const FLAG_PADDED: u8 = 1;

/// The kinds of group. The numbers are the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GroupKind {
    /// Records of users and of merges.
    Data = 0xa1,
    /// One record of hints.
    Hints = 0xa2,
    /// One resume record. Its seed has no boot: it is what tells the boot.
    Resume = 0xa3,
    /// No record: everything before it was durable when it was written, and the store was closed.
    Close = 0xa4,
}

impl GroupKind {
    /// The kind for a byte of the medium.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0xa1 => Self::Data,
            0xa2 => Self::Hints,
            0xa3 => Self::Resume,
            0xa4 => Self::Close,
            _ => return None,
        })
    }
}

/// The seeds of the checksums of one incarnation of a segment in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// For records: without the boot, which a sequence number tells as well, so that a reader need not know it.
    pub record: u32,
    /// For group headers.
    pub header: u32,
    /// For group trailers.
    pub trailer: u64,
}

impl Seeds {
    /// The seeds for a boot; `Boot(0)` for resume groups.
    #[must_use]
    pub fn new(
        store_id: &[u8; 16],
        segment: SegmentId,
        open_seq: Seq,
        boot: Boot,
        sums: &Checksums,
    ) -> Self {
        let record = Self::record(store_id, segment, open_seq, sums);
        let mut bytes = [0; 32];
        put(&mut bytes, 0, store_id);
        put(&mut bytes, 16, &segment.0.to_le_bytes());
        put(&mut bytes, 20, &open_seq.0.to_le_bytes());
        put(&mut bytes, 28, &boot.0.to_le_bytes());
        Self { record, header: (sums.crc32c)(0, &bytes), trailer: (sums.crc64)(0, &bytes) }
    }

    /// The seed of the records of an incarnation.
    #[must_use]
    pub fn record(store_id: &[u8; 16], segment: SegmentId, open_seq: Seq, sums: &Checksums) -> u32 {
        let mut bytes = [0; 28];
        put(&mut bytes, 0, store_id);
        put(&mut bytes, 16, &segment.0.to_le_bytes());
        put(&mut bytes, 20, &open_seq.0.to_le_bytes());
        (sums.crc32c)(0, &bytes)
    }

    /// The start of the CRC-64 of a group at this offset.
    #[must_use]
    pub fn group(&self, start: Offset, sums: &Checksums) -> u64 {
        (sums.crc64)(self.trailer, &start.0.to_le_bytes())
    }

    fn header(&self, start: Offset, bytes: &[u8], sums: &Checksums) -> u32 {
        let sum = (sums.crc32c)(self.header, &start.0.to_le_bytes());
        let sum = (sums.crc32c)(sum, &bytes[..4]);
        (sums.crc32c)(sum, &bytes[8..16])
    }
}

/// A decoded group header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// What the group holds.
    pub kind: GroupKind,
    /// Sequence of the first record; the others follow by ones.
    pub first_seq: Seq,
}

impl GroupHeader {
    /// Encodes the header of a group at `start`.
    #[must_use]
    pub fn encode(
        &self,
        start: Offset,
        seeds: &Seeds,
        sums: &Checksums,
    ) -> [u8; GROUP_HEADER_BYTES as usize] {
        let mut bytes = [0; GROUP_HEADER_BYTES as usize];
        bytes[0] = self.kind as u8;
        put(&mut bytes, 8, &self.first_seq.0.to_le_bytes());
        let sum = seeds.header(start, &bytes, sums);
        put(&mut bytes, 4, &sum.to_le_bytes());
        bytes
    }

    /// Decodes the header of a group at `start`; `None` where it is not one of these seeds.
    #[must_use]
    pub fn decode(bytes: &[u8], start: Offset, seeds: &Seeds, sums: &Checksums) -> Option<Self> {
        if bytes.len() < GROUP_HEADER_BYTES as usize || u8_at(bytes, 1) != 0 {
            return None;
        }
        let kind = GroupKind::from_byte(u8_at(bytes, 0))?;
        (seeds.header(start, bytes, sums) == u32_at(bytes, 4))
            .then(|| Self { kind, first_seq: Seq(u64_at(bytes, 8)) })
    }
}

impl GroupHeader {
    /// The sequence behind those that the group took with so many records.
    #[must_use]
    pub const fn next_seq(&self, count: u16) -> Seq {
        let taken = match self.kind {
            GroupKind::Data | GroupKind::Resume => count as u64,
            GroupKind::Hints | GroupKind::Close => 0,
        };
        Seq(self.first_seq.0.saturating_add(taken))
    }
}

/// What lies behind a group's trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupEnd {
    /// The next group, at the next aligned byte.
    Adjacent,
    /// Padding up to the next commit unit.
    Padded,
}

/// A decoded trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTrailer {
    /// Records in the group.
    pub count: u16,
    /// How far the segment's log was durable when the group was closed.
    pub flushed: Offset,
    /// What follows.
    pub end: GroupEnd,
    /// CRC-64 of the group.
    pub checksum: u64,
}

impl GroupTrailer {
    /// Encodes everything but the checksum, which covers these first eight bytes.
    #[must_use]
    pub fn encode_covered(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        let flags = if self.end == GroupEnd::Padded { FLAG_PADDED } else { 0 };
        put(&mut bytes, 0, &[TRAILER_KIND, flags]);
        put(&mut bytes, 2, &self.count.to_le_bytes());
        put(&mut bytes, 4, &self.flushed.0.to_le_bytes());
        bytes
    }

    /// Decodes a trailer; the caller compares the checksum.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let flags = u8_at(bytes, 1);
        (u8_at(bytes, 0) == TRAILER_KIND && flags & !FLAG_PADDED == 0).then(|| Self {
            count: u16_at(bytes, 2),
            flushed: Offset(u32_at(bytes, 4)),
            end: if flags & FLAG_PADDED != 0 { GroupEnd::Padded } else { GroupEnd::Adjacent },
            checksum: u64_at(bytes, 8),
        })
    }
}

/// The value of an announcement record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The segment that is free.
    pub segment: SegmentId,
    /// The incarnation that ended.
    pub open_seq: Seq,
}

/// Bytes of an announcement record's value.
pub const ANNOUNCEMENT_BYTES: usize = 12;

impl Announcement {
    /// Encodes the value.
    #[must_use]
    pub fn encode(&self) -> [u8; ANNOUNCEMENT_BYTES] {
        let mut bytes = [0; ANNOUNCEMENT_BYTES];
        put(&mut bytes, 0, &self.segment.0.to_le_bytes());
        put(&mut bytes, 4, &self.open_seq.0.to_le_bytes());
        bytes
    }

    /// Decodes the value.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == ANNOUNCEMENT_BYTES)
            .then(|| Self { segment: SegmentId(u32_at(bytes, 0)), open_seq: Seq(u64_at(bytes, 4)) })
    }
}

/// The value of a resume record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The boot that goes on here.
    pub boot: Boot,
    /// The recorded end of the log before it.
    pub cut: Offset,
    /// Digest of the groups before the cut.
    pub digest: u64,
}

/// Bytes of a resume record's value.
pub const RESUME_BYTES: usize = 16;

impl Resume {
    /// Encodes the value.
    #[must_use]
    pub fn encode(&self) -> [u8; RESUME_BYTES] {
        let mut bytes = [0; RESUME_BYTES];
        put(&mut bytes, 0, &self.boot.0.to_le_bytes());
        put(&mut bytes, 4, &self.cut.0.to_le_bytes());
        put(&mut bytes, 8, &self.digest.to_le_bytes());
        bytes
    }

    /// Decodes the value.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == RESUME_BYTES).then(|| Self {
            boot: Boot(u32_at(bytes, 0)),
            cut: Offset(u32_at(bytes, 4)),
            digest: u64_at(bytes, 8),
        })
    }
}
