//! Groups: headers, trailers, and the resume record.

use emberkv_core::format::group::{
    GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupHeader, GroupKind, GroupTrailer,
    RESUME_BYTES, Resume, TRAILER_KIND,
};
use emberkv_core::types::{Boot, Offset, Seq};

use super::document::{check_structure, checksum, quoted_bytes, rows};
use super::samples::{SUMS, le, seed_values, seeds};

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
fn resume_values_are_as_documented() {
    let resume = Resume { boot: Boot(0x0102_0304), cut: Offset(0x1112_1314), digest: 0x2122_2324 };
    let fields = vec![
        ("boot", le(resume.boot.0.to_le_bytes())),
        ("cut", le(resume.cut.0.to_le_bytes())),
        ("digest", le(resume.digest.to_le_bytes())),
    ];
    check_structure(&rows("Resume"), &resume.encode(), fields, &[]);
    assert_eq!(RESUME_BYTES, 16);
}
