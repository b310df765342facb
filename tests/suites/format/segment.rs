//! Segments: where their slots are, and the header copies and the footer in them.

use emberkv_core::format::footer::{Footer, HintGroup, encode_footer};
use emberkv_core::format::layout::{FOOTER_FIXED_BYTES, Layout};
use emberkv_core::format::segment::{
    HEADER_FIXED_BYTES, HeaderPlace, SegmentHeader, encode_header,
};
use emberkv_core::format::superblock::Superblock;
use emberkv_core::types::{Offset, SegmentId, Seq};

use super::document::{check_structure, checksum, rows, says};
use super::samples::{STORE_ID, SUMS, block, header, le};

#[test]
fn the_slots_of_a_segment_are_where_the_document_says() {
    assert!(says(&format!("round_up({HEADER_FIXED_BYTES} + ceil(segments_max / 8), unit)")));
    assert!(says(&format!("round_up({FOOTER_FIXED_BYTES} + 8 * hint_groups_max, unit)")));
    assert!(says("`hint_groups_max` is 64 where segment_bytes >= 65536, else 4."));
    assert!(says("data_end = mark_start - footer slot"));
    assert!(says("mark_start = segment_bytes - header slot"));
    assert!(says("data_offset + i * segment_bytes"));
    for unit in [1, 4, 256, 512, 4096] {
        for segment_bytes in [1 << 13, 1 << 15, 1 << 16, 1 << 22] {
            for segments_max in [1_u32, 8, 9, 1000] {
                let block =
                    Superblock { commit_unit: unit, segment_bytes, segments_max, ..block() };
                let page_bytes = (segment_bytes / 4).min(4096);
                let Ok(layout) = Layout::new(&block, page_bytes) else { continue };
                let up = |bytes: u32| bytes.div_ceil(unit) * unit;
                let header_slot = up(88 + segments_max.div_ceil(8));
                let groups = if segment_bytes >= 65536 { 64 } else { 4 };
                let mark_start = segment_bytes - header_slot;
                assert_eq!(layout.data_start, header_slot);
                assert_eq!(layout.hint_groups_max, groups);
                assert_eq!(layout.mark_start, mark_start);
                assert_eq!(layout.data_end, mark_start - up(88 + 8 * groups));
                let address = layout.device_address(layout.log_address(SegmentId(5), Offset(7)));
                assert_eq!(address, block.data_offset + 5 * u64::from(segment_bytes) + 7);
            }
        }
    }
}

fn header_fields(header: &SegmentHeader) -> Vec<(&'static str, Vec<u8>)> {
    let cut = header.cut.expect("the sample has a cut");
    vec![
        ("segment", le(header.segment.0.to_le_bytes())),
        ("open_seq", le(header.open_seq.0.to_le_bytes())),
        ("boot", le(header.boot.0.to_le_bytes())),
        ("role", vec![header.role as u8]),
        ("has_cut", vec![1]),
        ("segments", le(header.segments.to_le_bytes())),
        ("cut.segment", le(cut.segment.0.to_le_bytes())),
        ("cut.end", le(cut.end.0.to_le_bytes())),
        ("cut.open_seq", le(cut.open_seq.0.to_le_bytes())),
        ("cut.digest", le(cut.digest.to_le_bytes())),
    ]
}

#[test]
fn headers_are_as_documented_in_both_places() {
    let header = header();
    let bitmap = [0xa5, 0x3c, 1];
    for place in
        [HeaderPlace::Own(header.segment), HeaderPlace::Mark(SegmentId(9), Seq(0x99aa_bbcc))]
    {
        let mut slot = [0; 91];
        slot[88..].copy_from_slice(&bitmap);
        encode_header(&header, place, &SUMS, &STORE_ID, &mut slot, 3);
        let (name, mut covered) = match place {
            HeaderPlace::Own(segment) => {
                ("own header", vec![("segment u32", le(segment.0.to_le_bytes()))])
            }
            HeaderPlace::Mark(holder, open_seq) => (
                "mark",
                vec![
                    ("holder u32", le(holder.0.to_le_bytes())),
                    ("holder open_seq u64", le(open_seq.0.to_le_bytes())),
                ],
            ),
        };
        covered.extend([("store id", le(STORE_ID)), ("bitmap", bitmap.to_vec())]);
        let mut fields = header_fields(&header);
        fields.push(("bitmap_bytes", le(3_u32.to_le_bytes())));
        fields.push(("checksum", le(checksum(name, &slot, &covered).to_le_bytes())));
        fields.push(("bitmap", bitmap.to_vec()));
        check_structure(&rows("Header"), &slot, fields, &[("bitmap_bytes", 3)]);
    }
}

#[test]
fn the_footer_is_as_documented() {
    let footer = Footer {
        header: header(),
        end: Offset(0x8182_8384),
        records: 0x9192_9394,
        digest: 0xa1a2_a3a4_a5a6_a7a8,
        seq_max: Seq(0xb1b2_b3b4_b5b6_b7b8),
        hint_groups: 2,
    };
    let list = [
        HintGroup { offset: Offset(0x0a0b_0c0d), bytes: 0x1a1b_1c1d },
        HintGroup { offset: Offset(0x2a2b_2c2d), bytes: 0x3a3b_3c3d },
    ];
    let mut slot = [0xee; 128];
    encode_footer(&footer, &list, &SUMS, &STORE_ID, &mut slot);
    assert!(slot[104..].iter().all(|&byte| byte == 0), "behind the footer its slot is zeros");
    let mut encoded_list = Vec::new();
    for group in list {
        encoded_list.extend_from_slice(&group.offset.0.to_le_bytes());
        encoded_list.extend_from_slice(&group.bytes.to_le_bytes());
    }
    let covered = [
        ("store id", le(STORE_ID)),
        ("segment u32", le(footer.header.segment.0.to_le_bytes())),
        ("list", encoded_list.clone()),
    ];
    let mut fields = header_fields(&footer.header);
    fields.extend([
        ("hint_groups", le(2_u16.to_le_bytes())),
        ("end", le(footer.end.0.to_le_bytes())),
        ("records", le(footer.records.to_le_bytes())),
        ("digest", le(footer.digest.to_le_bytes())),
        ("seq_max", le(footer.seq_max.0.to_le_bytes())),
        ("checksum", le(checksum("footer", &slot, &covered).to_le_bytes())),
        ("list", encoded_list),
    ]);
    check_structure(&rows("Footer"), &slot[..104], fields, &[("8 * hint_groups", 16)]);
}
