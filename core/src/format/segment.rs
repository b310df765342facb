//! Segment headers: the log describes itself. A header is written at the start of its segment and, once that copy is
//! durable, again into the predecessor's mark slot; a sealed segment carries a third short copy in its footer.
//!
//! ```text
//! 0 magic u32 | 4 segment u32 | 8 open_seq u64 | 16 boot u32 | 20 role u8 | 21 has_cut u8 | 22 0 u16
//! 24 segments u32 | 28 bitmap_bytes u32 | 32 cut: segment u32, end u32, open_seq u64, digest u64 | 56 zeros
//! 80 CRC-64 (seeded by store id, place, and 0..80, then bitmap) | 88 bitmap of segments in use
//! ```

use super::bytes::{put, u8_at, u32_at, u64_at};
use super::checksum::Checksums;
use crate::types::{Boot, Offset, SegmentId, Seq};

/// Bytes of a header without its bitmap.
pub const HEADER_FIXED_BYTES: u32 = 88;
const MAGIC: u32 = 0x4853_4d45;
const CHECKSUM_AT: usize = 80;

/// What a segment is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// New records, in commit order.
    User = 0,
    /// Copies that a merge made.
    Merge = 1,
}

/// The recorded end of an earlier segment of the same head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// That segment.
    pub segment: SegmentId,
    /// Its incarnation.
    pub open_seq: Seq,
    /// First offset behind its last group.
    pub end: Offset,
    /// Digest of its groups.
    pub digest: u64,
}

/// The fixed part of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which segment.
    pub segment: SegmentId,
    /// Its incarnation: a sequence number taken before the first one placed in it.
    pub open_seq: Seq,
    /// The boot that opened it.
    pub boot: Boot,
    /// What it is written for.
    pub role: Role,
    /// Segments that the device had.
    pub segments: u32,
    /// End of the head's previous segment; none for the first one.
    pub cut: Option<Cut>,
}

/// Where a copy of a header lies: part of its checksum's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderPlace {
    /// At the start of its segment.
    Own(SegmentId),
    /// In the mark slot of a segment of this incarnation.
    Mark(SegmentId, Seq),
}

impl HeaderPlace {
    fn seed(self, sums: &Checksums, store_id: &[u8; 16]) -> u64 {
        let (tag, segment, open_seq) = match self {
            Self::Own(segment) => (b"H", segment, Seq(0)),
            Self::Mark(segment, open_seq) => (b"M", segment, open_seq),
        };
        let seed = (sums.crc64)((sums.crc64)(0, store_id), tag);
        (sums.crc64)((sums.crc64)(seed, &segment.0.to_le_bytes()), &open_seq.0.to_le_bytes())
    }
}

/// Encodes a header with the bitmap that is already in `slot[88..]`, and zeros behind it.
pub fn encode_header(
    header: &SegmentHeader,
    place: HeaderPlace,
    sums: &Checksums,
    store_id: &[u8; 16],
    slot: &mut [u8],
    bitmap_bytes: u32,
) {
    slot[..HEADER_FIXED_BYTES as usize].fill(0);
    put(slot, 0, &MAGIC.to_le_bytes());
    put(slot, 4, &header.segment.0.to_le_bytes());
    put(slot, 8, &header.open_seq.0.to_le_bytes());
    put(slot, 16, &header.boot.0.to_le_bytes());
    put(slot, 20, &[header.role as u8, u8::from(header.cut.is_some())]);
    put(slot, 24, &header.segments.to_le_bytes());
    put(slot, 28, &bitmap_bytes.to_le_bytes());
    if let Some(cut) = header.cut {
        encode_cut(&cut, slot, 32);
    }
    let sum = checksum(slot, bitmap_bytes, place.seed(sums, store_id), sums);
    put(slot, CHECKSUM_AT, &sum.to_le_bytes());
}

/// Decodes a header whose bitmap must have `bitmap_bytes`; `None` where it is not a valid header for this place.
#[must_use]
pub fn decode_header(
    slot: &[u8],
    place: HeaderPlace,
    sums: &Checksums,
    store_id: &[u8; 16],
    bitmap_bytes: u32,
) -> Option<SegmentHeader> {
    if u32_at(slot, 0) != MAGIC || u32_at(slot, 28) != bitmap_bytes {
        return None;
    }
    if slot.len() < (HEADER_FIXED_BYTES + bitmap_bytes) as usize {
        return None;
    }
    if checksum(slot, bitmap_bytes, place.seed(sums, store_id), sums) != u64_at(slot, CHECKSUM_AT) {
        return None;
    }
    let header = SegmentHeader {
        segment: SegmentId(u32_at(slot, 4)),
        open_seq: Seq(u64_at(slot, 8)),
        boot: Boot(u32_at(slot, 16)),
        role: if u8_at(slot, 20) == Role::Merge as u8 { Role::Merge } else { Role::User },
        segments: u32_at(slot, 24),
        cut: (u8_at(slot, 21) != 0).then(|| decode_cut(slot, 32)),
    };
    let own_place = !matches!(place, HeaderPlace::Own(segment) if segment != header.segment);
    (own_place && header.open_seq.0 != 0).then_some(header)
}

/// Encodes a cut of 24 bytes.
pub(super) fn encode_cut(cut: &Cut, bytes: &mut [u8], at: usize) {
    put(bytes, at, &cut.segment.0.to_le_bytes());
    put(bytes, at + 4, &cut.end.0.to_le_bytes());
    put(bytes, at + 8, &cut.open_seq.0.to_le_bytes());
    put(bytes, at + 16, &cut.digest.to_le_bytes());
}

/// Decodes a cut of 24 bytes.
pub(super) fn decode_cut(bytes: &[u8], at: usize) -> Cut {
    Cut {
        segment: SegmentId(u32_at(bytes, at)),
        end: Offset(u32_at(bytes, at + 4)),
        open_seq: Seq(u64_at(bytes, at + 8)),
        digest: u64_at(bytes, at + 16),
    }
}

fn checksum(slot: &[u8], bitmap_bytes: u32, seed: u64, sums: &Checksums) -> u64 {
    let fixed = HEADER_FIXED_BYTES as usize;
    let sum = (sums.crc64)(seed, &slot[..CHECKSUM_AT]);
    (sums.crc64)(sum, &slot[fixed..fixed + bitmap_bytes as usize])
}
