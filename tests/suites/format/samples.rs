//! What the suites of structures encode: a superblock, a header, seeds, each of whose bytes differs from its neighbours.

use emberkv_core::Checksums;
use emberkv_core::format::group::Seeds;
use emberkv_core::format::segment::{Cut, Role, SegmentHeader};
use emberkv_core::format::superblock::Superblock;
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};

pub(crate) const SUMS: Checksums = Checksums::PORTABLE;
pub(crate) const STORE_ID: [u8; 16] = *b"the store's id..";

pub(crate) fn le<const N: usize>(bytes: [u8; N]) -> Vec<u8> {
    bytes.to_vec()
}

pub(crate) fn block() -> Superblock {
    Superblock {
        key_bytes_max: 0x0123,
        store_id: STORE_ID,
        secret: *b"the secret bytes",
        commit_unit: 0x200,
        segment_bytes: 0x1_0000,
        segments_max: 0x1234,
        stride: 0x1000,
        data_offset: 0x12_3000,
        align_shift: 3,
        record_bytes_max: 0x1fed,
        incompat: 0,
    }
}

pub(crate) fn header() -> SegmentHeader {
    SegmentHeader {
        segment: SegmentId(0x0102_0304),
        open_seq: Seq(0x1112_1314_1516_1718),
        boot: Boot(0x2122_2324),
        role: Role::Merge,
        segments: 0x3132_3334,
        cut: Some(Cut {
            segment: SegmentId(0x4142_4344),
            open_seq: Seq(0x5152_5354_5556_5758),
            end: Offset(0x6162_6364),
            digest: 0x7172_7374_7576_7778,
        }),
    }
}

pub(crate) fn seed_values(start: u32) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("store id", le(STORE_ID)),
        ("segment u32", le(7_u32.to_le_bytes())),
        ("open_seq u64", le(0x1_0000_0005_u64.to_le_bytes())),
        ("boot u32", le(3_u32.to_le_bytes())),
        ("start u32", le(start.to_le_bytes())),
    ]
}

pub(crate) fn seeds() -> Seeds {
    Seeds::new(&STORE_ID, SegmentId(7), Seq(0x1_0000_0005), Boot(3), &SUMS)
}
