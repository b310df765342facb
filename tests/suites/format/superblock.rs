//! The superblock: its table, the ranges of its values, versions and feature bits.

use emberkv_core::Error;
use emberkv_core::format::superblock::{
    INCOMPAT_SHORT_RECORDS, MAGIC, STRIDE_MAX, STRIDE_MIN, SUPERBLOCK_BYTES, Superblock, VERSION,
};

use super::document::{check_structure, checksum, quoted_bytes, rows, says};
use super::samples::{SUMS, block, le};

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
    let short = Superblock { commit_unit: 16, incompat: INCOMPAT_SHORT_RECORDS, ..block };
    let bytes = short.encode(&SUMS, 0);
    assert_eq!((bytes[20..24].to_vec(), INCOMPAT_SHORT_RECORDS), (vec![1, 0, 0, 0], 1));
    assert_eq!(Superblock::decode(&SUMS, &bytes), Ok(short));
    assert!(refused(|b| b.incompat = INCOMPAT_SHORT_RECORDS), "its unit is too large");
    let unknown = Superblock { incompat: 2, ..block }.encode(&SUMS, 0);
    assert_eq!(Superblock::decode(&SUMS, &unknown), Err(Error::UnsupportedFeatures { bits: 2 }));
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
