//! Every structure of `FORMAT.md`, field by field, against what the encoders write.

use emberkv_core::format::footer::{Footer, HintGroup, encode_footer};
use emberkv_core::format::group::{
    GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupHeader, GroupKind, GroupTrailer,
    RESUME_BYTES, Resume, Seeds, TRAILER_KIND,
};
use emberkv_core::format::hint::{HINT_BYTES, Hint};
use emberkv_core::format::layout::{FOOTER_FIXED_BYTES, Layout};
use emberkv_core::format::record::{
    self, FLAG_EXPLICIT_SEQ, FLAG_OLD, RECORD_HEADER_BYTES, RecordHeader, RecordKind, RecordShape,
};
use emberkv_core::format::segment::{
    Cut, HEADER_FIXED_BYTES, HeaderPlace, Role, SegmentHeader, encode_header,
};
use emberkv_core::format::superblock::{
    MAGIC, STRIDE_MAX, STRIDE_MIN, SUPERBLOCK_BYTES, Superblock, VERSION,
};
use emberkv_core::types::{Boot, EntryKind, Fingerprint, Offset, SegmentId, Seq};
use emberkv_core::{Checksums, Config, Error, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::Image;

use super::document::{check_structure, checksum, number, quoted_bytes, rows, says, tables};

const SUMS: Checksums = Checksums::PORTABLE;
const STORE_ID: [u8; 16] = *b"the store's id..";

fn le<const N: usize>(bytes: [u8; N]) -> Vec<u8> {
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

#[test]
fn the_superblock_is_as_documented() {
    let table = rows("Superblock");
    let block = block();
    assert_eq!(quoted_bytes(&table[0][3]), Some(MAGIC.to_vec()));
    for copy in 0..2 {
        let bytes = block.encode(&SUMS, copy);
        let fields = vec![
            ("version", le(VERSION.to_le_bytes())),
            ("key_bytes_max", le(block.key_bytes_max.to_le_bytes())),
            ("compat", vec![0; 4]),
            ("ro_compat", vec![0; 4]),
            ("incompat", vec![0; 4]),
            ("store id", le(block.store_id)),
            ("secret", le(block.secret)),
            ("commit_unit", le(block.commit_unit.to_le_bytes())),
            ("segment_bytes", le(block.segment_bytes.to_le_bytes())),
            ("segments_max", le(block.segments_max.to_le_bytes())),
            ("stride", le(block.stride.to_le_bytes())),
            ("data_offset", le(block.data_offset.to_le_bytes())),
            ("align_shift", vec![block.align_shift]),
            ("copy", vec![copy]),
            ("record_bytes_max", le(block.record_bytes_max.to_le_bytes())),
            ("checksum", le(checksum("superblock", &bytes, &[]).to_le_bytes())),
        ];
        check_structure(&table, &bytes, fields, &[]);
    }
    assert_eq!(SUPERBLOCK_BYTES, 128);
    assert!(says(&format!("Format version {VERSION}.")));
    assert!(says("stride` = max(erase unit, unit, 4096)") && STRIDE_MIN == 4096);
    assert!(says("doubling, up to 2^20") && STRIDE_MAX == 1 << 20);
}

fn refused(change: impl Fn(&mut Superblock)) -> bool {
    let mut block = block();
    change(&mut block);
    let decoded = Superblock::decode(&SUMS, &block.encode(&SUMS, 0));
    assert!(decoded == Ok(block) || matches!(decoded, Err(Error::Config { .. })), "{decoded:?}");
    decoded.is_err()
}

#[test]
fn superblock_values_outside_their_documented_range_are_refused() {
    type Change = fn(&mut Superblock);
    let cases: [(&str, &[Change], &[Change]); 8] = [
        (
            "key_bytes_max",
            &[|b| b.key_bytes_max = 1, |b| b.key_bytes_max = b.record_bytes_max as u16 - 64],
            &[|b| b.key_bytes_max = 0, |b| b.key_bytes_max = b.record_bytes_max as u16 - 63],
        ),
        (
            "commit_unit",
            &[
                |b| b.commit_unit = 8,
                |b| {
                    (b.commit_unit, b.stride, b.data_offset) = (b.segment_bytes / 8, 8192, 16384);
                },
            ],
            &[
                |b| b.commit_unit = 0,
                |b| b.commit_unit = 768,
                |b| b.commit_unit = 8192,
                |b| {
                    (b.commit_unit, b.stride, b.data_offset) = (16384, 16384, 32768);
                },
            ],
        ),
        (
            "segment_bytes",
            &[|b| b.segment_bytes = 1 << 16, |b| b.segment_bytes = 1 << 30],
            &[
                |b| b.segment_bytes = 1 << 9,
                |b| b.segment_bytes = 1 << 31,
                |b| {
                    b.segment_bytes = 0x18000;
                },
            ],
        ),
        (
            "segments_max",
            &[|b| b.segments_max = 1, |b| b.segments_max = 1 << 20],
            &[|b| b.segments_max = 0, |b| b.segments_max = (1 << 20) + 1],
        ),
        (
            "stride",
            &[|b| b.stride = 1 << 12, |b| (b.stride, b.data_offset) = (1 << 20, 1 << 21)],
            &[
                |b| b.stride = 1 << 11,
                |b| b.stride = 3 << 12,
                |b| {
                    (b.stride, b.data_offset) = (1 << 21, 1 << 22);
                },
            ],
        ),
        (
            "data_offset",
            &[|b| b.data_offset = 0x2000, |b| b.data_offset = 1 << 32],
            &[
                |b| b.data_offset = 0x1000,
                |b| b.data_offset = 0x2001,
                |b| {
                    b.data_offset = (1 << 32) + 0x1000;
                },
            ],
        ),
        (
            "align_shift",
            &[|b| b.align_shift = 0, |b| (b.align_shift, b.commit_unit) = (4, 16)],
            &[|b| b.align_shift = 5, |b| (b.align_shift, b.commit_unit) = (4, 8)],
        ),
        (
            "record_bytes_max",
            &[|b| b.record_bytes_max = 0x2000, |b| (b.key_bytes_max, b.record_bytes_max) = (1, 65)],
            &[|b| b.record_bytes_max = 0x2001, |b| b.record_bytes_max = 63],
        ),
    ];
    let table = rows("Superblock");
    for (field, inside, outside) in cases {
        let row = table.iter().find(|row| row[2] == field);
        assert!(row.is_some_and(|row| !row[3].is_empty()), "{field} has a range");
        for (index, change) in inside.iter().enumerate() {
            assert!(!refused(change), "{field}: inside case {index} is refused");
        }
        for (index, change) in outside.iter().enumerate() {
            assert!(refused(change), "{field}: outside case {index} is taken");
        }
    }
}

#[test]
fn feature_bits_and_versions_are_refused_as_documented() {
    let fixed = |at: usize| {
        let mut bytes = block().encode(&SUMS, 0);
        bytes[at] ^= 2;
        let sum = (SUMS.crc64)(0, &bytes[..120]);
        bytes[120..].copy_from_slice(&sum.to_le_bytes());
        Superblock::decode(&SUMS, &bytes)
    };
    assert_eq!(fixed(8), Err(Error::UnsupportedVersion { found: VERSION ^ 2 }));
    assert_eq!(fixed(12), Ok(block()), "unknown compat bits are ignored");
    assert_eq!(fixed(16), Err(Error::UnsupportedFeatures { bits: 2 }));
    assert_eq!(fixed(20), Err(Error::UnsupportedFeatures { bits: 2 }));
}

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

fn seed_values(start: u32) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("store id", le(STORE_ID)),
        ("segment u32", le(7_u32.to_le_bytes())),
        ("open_seq u64", le(0x1_0000_0005_u64.to_le_bytes())),
        ("boot u32", le(3_u32.to_le_bytes())),
        ("start u32", le(start.to_le_bytes())),
    ]
}

fn seeds() -> Seeds {
    Seeds::new(&STORE_ID, SegmentId(7), Seq(0x1_0000_0005), Boot(3), &SUMS)
}

#[test]
fn groups_are_as_documented() {
    let start = Offset(0x0123_4567);
    let header = GroupHeader { kind: GroupKind::Data, first_seq: Seq(0x0102_0304_0506_0708) };
    let bytes = header.encode(start, &seeds(), &SUMS);
    let sum = checksum("group header", &bytes, &seed_values(start.0)) as u32;
    let fields = vec![
        ("kind", vec![0xa1]),
        ("flags", vec![0]),
        ("checksum", le(sum.to_le_bytes())),
        ("first_seq", le(header.first_seq.0.to_le_bytes())),
    ];
    check_structure(&rows("Group header"), &bytes, fields, &[]);
    assert_eq!(bytes.len() as u32, GROUP_HEADER_BYTES);

    for (end, flags) in [(GroupEnd::Adjacent, 0), (GroupEnd::Padded, 1)] {
        let trailer =
            GroupTrailer { count: 0x1234, flushed: Offset(0x5566_7788), end, checksum: 0 };
        let mut whole = bytes.to_vec();
        whole.extend_from_slice(&trailer.encode_covered());
        let by_code = (SUMS.crc64)(seeds().group(start, &SUMS), &whole);
        let mut values = seed_values(start.0);
        values.push(("group", whole.clone()));
        assert_eq!(by_code, checksum("group trailer", &[], &values));
        whole.extend_from_slice(&by_code.to_le_bytes());
        let fields = vec![
            ("flags", vec![flags]),
            ("count", le(trailer.count.to_le_bytes())),
            ("flushed", le(trailer.flushed.0.to_le_bytes())),
            ("checksum", le(by_code.to_le_bytes())),
        ];
        let table = rows("Group trailer");
        assert_eq!(quoted_bytes(&table[0][3]), Some(vec![TRAILER_KIND]));
        check_structure(&table, &whole[bytes.len()..], fields, &[]);
        assert_eq!(whole.len() as u32, GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES);
    }
}

#[test]
fn records_are_as_documented() {
    let (offset, seq) = (Offset(0x0918_2736), Seq(0x1122_3344_5566_7788));
    let inner = (SUMS.crc32c)(0, b"key and value");
    let bytes = record::encode_header(
        &RecordShape::plain(RecordKind::Tombstone, (0x0a0b, 0x0c0d_0e0f), inner),
        (offset, seq),
        seeds().record,
        &SUMS,
    );
    let mut values = seed_values(0);
    values.extend([
        ("offset u32", le(offset.0.to_le_bytes())),
        ("seq u64", le(seq.0.to_le_bytes())),
        ("body u32", le(inner.to_le_bytes())),
    ]);
    let fields = vec![
        ("kind", vec![0x11]),
        ("flags", vec![0]),
        ("key_bytes", le(0x0a0b_u16.to_le_bytes())),
        ("value_bytes", le(0x0c0d_0e0f_u32.to_le_bytes())),
        ("checksum", le((checksum("record", &bytes, &values) as u32).to_le_bytes())),
    ];
    check_structure(&rows("Record header"), &bytes, fields, &[]);
    assert_eq!(bytes.len() as u32, RECORD_HEADER_BYTES);
}

#[test]
fn resume_values_and_hints_are_as_documented() {
    let resume = Resume { boot: Boot(0x0102_0304), cut: Offset(0x1112_1314), digest: 0x2122_2324 };
    let fields = vec![
        ("boot", le(resume.boot.0.to_le_bytes())),
        ("cut", le(resume.cut.0.to_le_bytes())),
        ("digest", le(resume.digest.to_le_bytes())),
    ];
    check_structure(&rows("Resume"), &resume.encode(), fields, &[]);
    assert_eq!(RESUME_BYTES, 16);

    let hint = Hint::Record {
        fingerprint: Fingerprint { shard: 0x0102, position: 0x1112_1314_1516_1718 },
        record_bytes: 0xf_edcb,
        kind: EntryKind::ChunkHead,
    };
    let bits: u32 = 0xf_edcb | 2 << 20;
    let fields = vec![
        ("position", le(0x1112_1314_1516_1718_u64.to_le_bytes())),
        ("shard", le(0x0102_u16.to_le_bytes())),
        ("bits", bits.to_le_bytes()[..3].to_vec()),
    ];
    check_structure(&rows("Hint of a record"), &hint.encode(), fields, &[]);

    let hint = Hint::Place { before: Offset(0x1234_5678), seq: Seq(0x2122_2324) };
    let bits: u32 = 0x1234 | 1 << 23;
    let fields = vec![
        ("seq", le(0x2122_2324_u64.to_le_bytes())),
        ("before low", le(0x5678_u16.to_le_bytes())),
        ("bits", bits.to_le_bytes()[..3].to_vec()),
    ];
    check_structure(&rows("Hint of a place"), &hint.encode(), fields, &[]);
    assert!(says(&format!("Entries of {HINT_BYTES} bytes in log order.")));
}

/// Checks a table of names and numbers in both directions: `decode` is asked for all 256 bytes.
fn check_kinds(heading: &str, decode: impl Fn(u8) -> Option<String>) {
    let mut documented: Vec<(u8, String)> = rows(heading)
        .iter()
        .map(|row| (number(&row[1]).expect("a number") as u8, row[0].clone()))
        .collect();
    documented.sort();
    let known: Vec<(u8, String)> =
        (0..=255).filter_map(|byte| decode(byte).map(|name| (byte, name))).collect();
    assert_eq!(documented, known, "{heading}");
}

#[test]
fn kinds_and_flags_have_their_documented_numbers() {
    check_kinds("Group kinds", |byte| GroupKind::from_byte(byte).map(|kind| format!("{kind:?}")));
    check_kinds("Record kinds", |byte| RecordKind::from_byte(byte).map(|kind| format!("{kind:?}")));
    check_kinds("Entry kinds", |byte| {
        (byte < 4).then(|| format!("{:?}", EntryKind::from_bits(byte)))
    });
    check_kinds("Roles", |byte| {
        [Role::User, Role::Merge]
            .into_iter()
            .find(|&role| role as u8 == byte)
            .map(|role| format!("{role:?}"))
    });
    check_kinds("Record flags", |byte| match byte {
        FLAG_EXPLICIT_SEQ => Some("EXPLICIT_SEQ".to_owned()),
        FLAG_OLD => Some("OLD".to_owned()),
        _ => None,
    });
    check_kinds("Trailer flags", |byte| {
        let bytes = [TRAILER_KIND, byte, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let end = GroupTrailer::decode(&bytes)?.end;
        (end == GroupEnd::Padded).then(|| "PADDED".to_owned())
    });
}

#[test]
fn reserved_flags_are_refused() {
    let mut record = [0; 12];
    record[0] = RecordKind::Value as u8;
    assert!(RecordHeader::decode(&record).is_some());
    for flags in 1..=255 {
        record[1] = flags;
        assert_eq!(RecordHeader::decode(&record), None, "record flags {flags:#x}");
        let trailer = [TRAILER_KIND, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(GroupTrailer::decode(&trailer).is_some(), flags == 1, "flags {flags:#x}");
    }
    assert_eq!(RecordKind::Announcement.entry_kind(), None, "no group may hold it today");
}

#[test]
fn chunked_values_are_as_documented() {
    let config = Config {
        segment_bytes: 1 << 13,
        page_bytes: 1024,
        frames: 32,
        keys_max: 64,
        key_bytes_max: 32,
        ..Config::default()
    };
    let device = MemoryDevice::blank(vec![0; 8192 + 8 * 8192], Rules::block(512)).expect("valid");
    let mut arena = vec![0; required_bytes(&config, &emberkv_core::BlockDevice::geometry(&device))];
    let mut store = Store::format(device, &mut arena, &config).expect("format works");
    let value: Vec<u8> = (0..2500_u32).map(|index| (index * 7 + index / 256) as u8).collect();
    store.put(b"key", &value).expect("there is room");
    store.sync().expect("the device works");
    let image = Image::new(store.into_device().into_inner(), 1024).expect("a store");
    let header = image.headers()[0];
    let records: Vec<_> = image.groups(&header).iter().flat_map(|g| g.records.clone()).collect();
    let chunks: Vec<_> =
        records.iter().filter(|record| record.header.kind == RecordKind::Chunk).collect();
    let head = records.iter().find(|record| record.header.kind == RecordKind::ChunkHead);
    let (key, head) = image.body(header.segment, head.expect("a head"));
    assert_eq!(key, b"key");
    let chunk_bytes = (image.block.record_bytes_max - 12 - 12) as usize;
    let id = head[..8].to_vec();
    let fields = vec![
        ("value id", id.clone()),
        ("bytes", le(2500_u64.to_le_bytes())),
        ("chunk_bytes", le((chunk_bytes as u32).to_le_bytes())),
        ("count", le((chunks.len() as u32).to_le_bytes())),
        ("digest", le((SUMS.crc64)(0, &value).to_le_bytes())),
    ];
    check_structure(&rows("Chunk head"), head, fields, &[]);
    assert_eq!(chunks.len(), value.len().div_ceil(chunk_bytes));
    for (index, (chunk, piece)) in chunks.iter().zip(value.chunks(chunk_bytes)).enumerate() {
        let (key, body) = image.body(header.segment, chunk);
        let fields = vec![("value id", id.clone()), ("index", le((index as u32).to_le_bytes()))];
        check_structure(&rows("Chunk key"), key, fields, &[]);
        assert_eq!(body, piece);
    }
}

#[test]
fn every_documented_checksum_has_a_structure() {
    let names: Vec<String> = tables("Checksums")[0][1..].iter().map(|row| row[0].clone()).collect();
    // The seven that the tests above compute.
    assert_eq!(
        names,
        ["superblock", "own header", "mark", "footer", "group header", "group trailer", "record"]
    );
}
