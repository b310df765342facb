//! Records: headers, explicit sequences, announcements, hints.

use emberkv_core::format::hint::{HINT_BYTES, Hint};
use emberkv_core::format::record::{self, RECORD_HEADER_BYTES, RecordKind, RecordShape};
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
