//! What merges write: announcements and records with an explicit sequence, from the encoders and through the parser.

use emberkv_core::format::group::{ANNOUNCEMENT_BYTES, Announcement, GroupEnd, GroupKind, Seeds};
use emberkv_core::format::record::{
    self, EXPLICIT_SEQ_BYTES, FLAG_EXPLICIT_SEQ, FLAG_OLD, RECORD_HEADER_BYTES, RecordHeader,
    RecordKind, RecordShape,
};
use emberkv_core::format::segment::SegmentHeader;
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_tests::image::{Copied, FoundGroup, Image, NewGroup};
use proptest::prelude::*;

use super::document::{check_structure, checksum, rows, says};
use super::round_trips::{empty_image, no_flip_passes};
use super::samples::{STORE_ID, SUMS, header, le, seed_values, seeds};

const START: u32 = 1024;

#[test]
fn announcements_are_as_documented() {
    let announcement =
        Announcement { segment: SegmentId(0x0102_0304), open_seq: Seq(0x1112_1314_1516_1718) };
    let fields = vec![
        ("segment", le(announcement.segment.0.to_le_bytes())),
        ("open_seq", le(announcement.open_seq.0.to_le_bytes())),
    ];
    check_structure(&rows("Announcement"), &announcement.encode(), fields, &[]);
    assert_eq!(ANNOUNCEMENT_BYTES, 12);
}

#[test]
fn records_with_an_explicit_sequence_are_as_documented() {
    let (offset, seq) = (Offset(0x0918_2736), Seq(0x1122_3344_5566_7788));
    let inner = (SUMS.crc32c)(0, b"key and value");
    let shape = RecordShape {
        flags: FLAG_EXPLICIT_SEQ,
        ..RecordShape::plain(RecordKind::ChunkHead, (0x0a0b, 0x0c0d_0e0f), inner)
    };
    let bytes = record::encode_header(&shape, (offset, seq), seeds().record, &SUMS);
    let mut values = seed_values(0);
    values.extend([
        ("offset u32", le(offset.0.to_le_bytes())),
        // The record's own, not that of its place in the group.
        ("seq u64", le(seq.0.to_le_bytes())),
        ("body u32", le(inner.to_le_bytes())),
    ]);
    let fields = vec![
        ("kind", vec![0x12]),
        ("flags", vec![1]),
        ("key_bytes", le(0x0a0b_u16.to_le_bytes())),
        ("value_bytes", le(0x0c0d_0e0f_u32.to_le_bytes())),
        ("checksum", le((checksum("record", &bytes, &values) as u32).to_le_bytes())),
    ];
    check_structure(&rows("Record header"), &bytes, fields, &[]);
    let header = RecordHeader::decode(&bytes).expect("as it was encoded");
    assert_eq!(header.prefix_bytes(), RECORD_HEADER_BYTES + EXPLICIT_SEQ_BYTES);
    assert_eq!(header.record_bytes(), 12 + 8 + 0x0a0b + 0x0c0d_0e0f);
    assert!(says("the record's sequence, u64, lies between header and key"));
}

fn segment_header() -> SegmentHeader {
    SegmentHeader { segment: SegmentId(1), cut: None, ..header() }
}

/// What the parser makes of a group of these records, the first ones being copies.
fn parsed(
    first_seq: u64,
    records: &[(RecordKind, &[u8], &[u8])],
    copies: &[Copied],
) -> (Image, Option<FoundGroup>) {
    let mut image = empty_image();
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(first_seq),
        records: records.to_vec(),
        flushed: Offset(512),
        end: GroupEnd::Padded,
    };
    image.put_copies(&segment_header(), START, Boot(4), (&group, copies));
    let found = image.group(&segment_header(), START, Boot(4));
    (image, found)
}

#[test]
fn a_copy_has_its_own_sequence_and_takes_one_of_its_group_as_well() {
    let copies = [3, 7].map(|seq| Copied { flags: FLAG_EXPLICIT_SEQ, seq: Seq(seq) });
    let records = [
        (RecordKind::Value, &b"a"[..], &b"first"[..]),
        (RecordKind::Tombstone, b"bb", b""),
        (RecordKind::Value, b"c", b"of a user"),
    ];
    let (image, found) = parsed(100, &records, &copies);
    let found = found.expect("as it was written");
    let seqs: Vec<u64> = found.records.iter().map(|record| record.seq.0).collect();
    assert_eq!(seqs, [3, 7, 102]);
    for (record, (_, key, value)) in found.records.iter().zip(records) {
        assert_eq!(image.body(SegmentId(1), record), (key, value));
    }
    assert!(says("Every record takes one sequence of its group, those with an explicit one too."));
}

#[test]
fn an_explicit_sequence_is_less_than_the_first_of_its_group() {
    let records = [(RecordKind::Value, &b"key"[..], &b"value"[..])];
    let cells = [(0, false), (1, true), (99, true), (100, false), (101, false), (u64::MAX, false)];
    for flags in [FLAG_EXPLICIT_SEQ, FLAG_EXPLICIT_SEQ | FLAG_OLD] {
        for (seq, taken) in cells {
            let (_, found) = parsed(100, &records, &[Copied { flags, seq: Seq(seq) }]);
            assert_eq!(found.is_some(), taken, "flags {flags}, sequence {seq} in a group from 100");
        }
    }
    assert!(says("Less than the first sequence of its group"));
}

#[test]
fn an_old_version_has_an_explicit_sequence() {
    let records = [(RecordKind::Value, &b"key"[..], &b"value"[..])];
    let old = Copied { flags: FLAG_OLD, seq: Seq(100) };
    assert_eq!(parsed(100, &records, &[old]).1, None, "without one it has no sequence of its own");
    let old = Copied { flags: FLAG_EXPLICIT_SEQ | FLAG_OLD, seq: Seq(9) };
    let found = parsed(100, &records, &[old]).1.expect("as it was written");
    assert!(found.records[0].header.is_old());
}

#[test]
fn flags_belong_to_records_with_keys_only() {
    let value = Announcement { segment: SegmentId(3), open_seq: Seq(5) }.encode();
    let plain = [(RecordKind::Announcement, &b""[..], &value[..])];
    assert!(parsed(100, &plain, &[]).1.is_some());
    let copy = Copied { flags: FLAG_EXPLICIT_SEQ, seq: Seq(7) };
    assert_eq!(parsed(100, &plain, &[copy]).1, None, "an announcement is never copied");
    let keyed = [(RecordKind::Announcement, &b"k"[..], &value[..])];
    assert_eq!(parsed(100, &keyed, &[]).1, None, "an announcement has no key");
    let keyless = [(RecordKind::Value, &b""[..], &b"value"[..])];
    assert_eq!(parsed(100, &keyless, &[copy]).1, None, "a value has a key");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn announcements_round_trip(segment in any::<u32>(), open_seq in any::<u64>()) {
        let announcement = Announcement { segment: SegmentId(segment), open_seq: Seq(open_seq) };
        let bytes = announcement.encode();
        prop_assert_eq!(Announcement::decode(&bytes), Some(announcement));
        prop_assert_eq!(Announcement::decode(&bytes[..11]), None);
        prop_assert_eq!(Announcement::decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn records_with_an_explicit_sequence_round_trip_and_no_flip_passes(
        key in proptest::collection::vec(any::<u8>(), 1..20),
        value in proptest::collection::vec(any::<u8>(), 0..60),
        offset in any::<u32>(),
        seq in any::<u64>(),
        old in any::<bool>(),
    ) {
        let seed = Seeds::record(&STORE_ID, SegmentId(3), Seq(99), &SUMS);
        let inner = (SUMS.crc32c)((SUMS.crc32c)(0, &key), &value);
        let sizes = (key.len() as u16, value.len() as u32);
        let flags = if old { FLAG_EXPLICIT_SEQ | FLAG_OLD } else { FLAG_EXPLICIT_SEQ };
        let shape = RecordShape { flags, ..RecordShape::plain(RecordKind::Value, sizes, inner) };
        let head = record::encode_header(&shape, (Offset(offset), Seq(seq)), seed, &SUMS);
        let bytes = [&head[..], &seq.to_le_bytes(), &key, &value].concat();
        let decode = |bytes: &[u8]| {
            let header = RecordHeader::decode(bytes)?;
            let explicit = bytes.get(12..20)?.try_into().expect("eight bytes");
            let explicit = Seq(u64::from_le_bytes(explicit));
            let inner = (SUMS.crc32c)(0, bytes.get(20..header.record_bytes() as usize)?);
            let place = (Offset(offset), explicit);
            let sum = record::checksum(bytes, place, inner, seed, &SUMS);
            (sum == header.checksum).then_some((header, explicit))
        };
        let (header, explicit) = decode(&bytes).expect("as it was encoded");
        prop_assert_eq!((header.key_bytes, header.value_bytes), sizes);
        prop_assert_eq!((header.flags, explicit), (flags, Seq(seq)));
        no_flip_passes(&bytes, decode);
    }

    #[test]
    fn groups_of_copies_and_announcements_round_trip(
        first_seq in 2..u64::MAX >> 1,
        below in proptest::collection::vec((1..u64::MAX >> 1, any::<bool>()), 0..4),
        freed in (any::<u32>(), any::<u64>()),
    ) {
        let announcement = Announcement { segment: SegmentId(freed.0), open_seq: Seq(freed.1) };
        let value = announcement.encode();
        let copies: Vec<Copied> = below
            .iter()
            .map(|&(seq, old)| Copied {
                flags: if old { FLAG_EXPLICIT_SEQ | FLAG_OLD } else { FLAG_EXPLICIT_SEQ },
                seq: Seq(1 + seq % (first_seq - 1)),
            })
            .collect();
        let mut records: Vec<(RecordKind, &[u8], &[u8])> =
            copies.iter().map(|_| (RecordKind::Value, &b"key"[..], &b"copied"[..])).collect();
        records.push((RecordKind::Announcement, b"", &value));
        let (image, found) = parsed(first_seq, &records, &copies);
        let found = found.expect("as it was written");
        prop_assert_eq!(found.records.len(), records.len());
        for (record, copy) in found.records.iter().zip(&copies) {
            prop_assert_eq!((record.header.flags, record.seq), (copy.flags, copy.seq));
        }
        let last = found.records.last().expect("the announcement");
        prop_assert_eq!(last.seq, Seq(first_seq + copies.len() as u64));
        let (key, body) = image.body(SegmentId(1), last);
        prop_assert!(key.is_empty());
        prop_assert_eq!(Announcement::decode(body), Some(announcement));
    }
}
