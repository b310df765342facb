//! Records: headers, explicit sequences, announcements, hints.

use emberkv_core::format::group::{GroupKind, TRAILER_KIND};
use emberkv_core::format::hint::{HINT_BYTES, Hint};
use emberkv_core::format::record::{
    self, Before, RECORD_HEADER_BYTES, RecordHeader, RecordKind, RecordShape, SHORT_HEADER_BYTES,
};
use emberkv_core::types::{EntryKind, Fingerprint, Offset, Seq};

use super::document::{check_structure, checksum, rows, says};
use super::samples::{SUMS, le, seed_values, seeds};

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

fn short_values(offset: Offset, seq: Seq, inner: u32) -> Vec<(&'static str, Vec<u8>)> {
    let mut values = seed_values(0);
    values.extend([
        ("offset u32", le(offset.0.to_le_bytes())),
        ("seq high u32", le(((seq.0 >> 32) as u32).to_le_bytes())),
        ("seq low u32", le((seq.0 as u32).to_le_bytes())),
        ("body u32", le(inner.to_le_bytes())),
    ]);
    values
}

#[test]
fn short_records_are_as_documented() {
    let (offset, seq) = (Offset(0x0918_2736), Seq(0x1122_3344_5566_7788));
    let inner = (SUMS.crc32c)(0, b"key and value");
    for (kind, before, tag, value_bytes) in [
        (RecordKind::Value, Before::Unknown, 0x4b, 0xc3),
        (RecordKind::Value, Before::Durable, 0x6b, 0),
        (RecordKind::Tombstone, Before::Durable, 0x7b, 0),
    ] {
        let shape = RecordShape::plain(kind, (12, value_bytes), inner);
        let bytes = record::encode_short(&shape, (offset, seq), before, seeds().record, &SUMS);
        let sum = checksum("short record", &bytes, &short_values(offset, seq, inner)) as u32;
        let fields = vec![
            ("tag", vec![tag]),
            ("value_bytes", vec![value_bytes as u8]),
            ("checksum", le(sum.to_le_bytes())),
        ];
        check_structure(&rows("Short record"), &bytes, fields, &[]);
        assert_eq!(bytes.len() as u32, SHORT_HEADER_BYTES);
        let header = RecordHeader::decode(&bytes).expect("it is one");
        assert!(header.is_short() && header.kind == kind);
        assert_eq!((header.key_bytes, header.value_bytes), (12, value_bytes));
        assert_eq!(record::short_claims(bytes[0]), before == Before::Durable);
        // Neither a kind of group nor a trailer nor padding begins so.
        assert!(record::is_short(bytes[0]) && GroupKind::from_byte(bytes[0]).is_none());
    }
    assert!(!record::is_short(TRAILER_KIND) && !record::is_short(0) && !record::is_short(0xff));
    let tombstone_with_value = [0x7b, 1, 0, 0, 0, 0];
    assert_eq!(RecordHeader::decode(&tombstone_with_value), None);
}

#[test]
fn the_checksum_of_a_short_record_tells_its_sequence() {
    let offset = Offset(0x0012_3456);
    for seq in [1, 2, 0xffff_ffff, 0x1_0000_0000, 0x7_0000_0001, 0x1122_3344_5566_7788] {
        for inner in [0, 1, 0xdead_beef] {
            let shape = RecordShape::plain(RecordKind::Value, (3, 20), inner);
            let place = (offset, Seq(seq));
            let mut bytes =
                record::encode_short(&shape, place, Before::Durable, seeds().record, &SUMS);
            let high = (seq >> 32) as u32;
            let told = |bytes: &[u8], high, inner| {
                record::short_seq(bytes, (offset, high), inner, seeds().record, &SUMS)
            };
            assert_eq!(told(&bytes, high, inner), seq as u32);
            assert_ne!(told(&bytes, high ^ 1, inner), seq as u32);
            assert_ne!(told(&bytes, high, inner ^ 0x100), seq as u32);
            bytes[5] ^= 1;
            assert_ne!(told(&bytes, high, inner), seq as u32);
        }
    }
}

#[test]
fn hints_are_as_documented() {
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
