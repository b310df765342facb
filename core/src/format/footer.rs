//! The footer of a sealed segment: its end, its digest, where its hints are, and a short copy of its header.
//!
//! ```text
//! 0 magic u32 | 4 segment u32 | 8 open_seq u64 | 16 boot u32 | 20 role u8 | 21 has_cut u8 | 22 hint groups u16
//! 24 end u32 | 28 records u32 | 32 digest u64 | 40 cut 24 | 64 seq_max u64 | 72 segments u32 | 76 0 u32
//! 80 CRC-64 (seeded by store id and place, of 0..80 and the list) | 88 list: offset u32, bytes u32 ..
//! ```
//! A footer is believed only where the successor's recorded cut of this segment says the same end and digest: a footer
//! that reached the medium before the groups that it speaks of must not vouch for them.

use super::bytes::{put, u8_at, u16_at, u32_at, u64_at};
use super::checksum::Checksums;
use super::layout::FOOTER_FIXED_BYTES;
use super::segment::{Role, SegmentHeader, decode_cut, encode_cut};
use crate::types::{Boot, Offset, SegmentId, Seq};

const MAGIC: u32 = 0x5446_4d45;
const CHECKSUM_AT: usize = 80;
const LIST_AT: usize = FOOTER_FIXED_BYTES as usize;

/// One hint group of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintGroup {
    /// Where it starts.
    pub offset: Offset,
    /// Its bytes, group header and trailer included.
    pub bytes: u32,
}

/// The fixed part of a footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The header of the segment, but for the bitmap.
    pub header: SegmentHeader,
    /// First offset behind the last group.
    pub end: Offset,
    /// Records with hints; `u32::MAX` where the hints do not cover the segment.
    pub records: u32,
    /// Digest of the groups.
    pub digest: u64,
    /// Largest sequence number in the segment.
    pub seq_max: Seq,
    /// Entries of the list.
    pub hint_groups: u16,
}

fn seed(footer_of: SegmentId, sums: &Checksums, store_id: &[u8; 16]) -> u64 {
    (sums.crc64)((sums.crc64)((sums.crc64)(0, store_id), b"F"), &footer_of.0.to_le_bytes())
}

/// Encodes a footer into its slot; the rest of the slot is zeroed.
pub fn encode_footer(
    footer: &Footer,
    list: &[HintGroup],
    sums: &Checksums,
    store_id: &[u8; 16],
    slot: &mut [u8],
) {
    slot.fill(0);
    let header = &footer.header;
    put(slot, 0, &MAGIC.to_le_bytes());
    put(slot, 4, &header.segment.0.to_le_bytes());
    put(slot, 8, &header.open_seq.0.to_le_bytes());
    put(slot, 16, &header.boot.0.to_le_bytes());
    put(slot, 20, &[header.role as u8, u8::from(header.cut.is_some())]);
    put(slot, 22, &footer.hint_groups.to_le_bytes());
    put(slot, 24, &footer.end.0.to_le_bytes());
    put(slot, 28, &footer.records.to_le_bytes());
    put(slot, 32, &footer.digest.to_le_bytes());
    if let Some(cut) = header.cut {
        encode_cut(&cut, slot, 40);
    }
    put(slot, 64, &footer.seq_max.0.to_le_bytes());
    put(slot, 72, &header.segments.to_le_bytes());
    for (index, group) in list.iter().enumerate() {
        put(slot, LIST_AT + 8 * index, &group.offset.0.to_le_bytes());
        put(slot, LIST_AT + 8 * index + 4, &group.bytes.to_le_bytes());
    }
    let sum = (sums.crc64)(seed(header.segment, sums, store_id), &slot[..CHECKSUM_AT]);
    let sum = (sums.crc64)(sum, &slot[LIST_AT..LIST_AT + 8 * list.len()]);
    put(slot, CHECKSUM_AT, &sum.to_le_bytes());
}

/// Decodes the footer of `segment`; `None` where there is no valid one.
#[must_use]
pub fn decode_footer(
    slot: &[u8],
    segment: SegmentId,
    sums: &Checksums,
    store_id: &[u8; 16],
) -> Option<Footer> {
    if slot.len() < LIST_AT || u32_at(slot, 0) != MAGIC || u32_at(slot, 4) != segment.0 {
        return None;
    }
    let hint_groups = u16_at(slot, 22);
    let list = slot.get(LIST_AT..LIST_AT + 8 * usize::from(hint_groups))?;
    let sum = (sums.crc64)((sums.crc64)(seed(segment, sums, store_id), &slot[..CHECKSUM_AT]), list);
    if sum != u64_at(slot, CHECKSUM_AT) || u64_at(slot, 8) == 0 {
        return None;
    }
    let header = SegmentHeader {
        segment,
        open_seq: Seq(u64_at(slot, 8)),
        boot: Boot(u32_at(slot, 16)),
        role: if u8_at(slot, 20) == Role::Merge as u8 { Role::Merge } else { Role::User },
        segments: u32_at(slot, 72),
        cut: (u8_at(slot, 21) != 0).then(|| decode_cut(slot, 40)),
    };
    Some(Footer {
        header,
        end: Offset(u32_at(slot, 24)),
        records: u32_at(slot, 28),
        digest: u64_at(slot, 32),
        seq_max: Seq(u64_at(slot, 64)),
        hint_groups,
    })
}

/// Entry `index` of a footer's list.
#[must_use]
pub fn hint_group_at(slot: &[u8], index: u16) -> HintGroup {
    let at = LIST_AT + 8 * usize::from(index);
    HintGroup { offset: Offset(u32_at(slot, at)), bytes: u32_at(slot, at + 4) }
}
