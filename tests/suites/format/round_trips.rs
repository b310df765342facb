//! Whatever is encoded is decoded to the same value, and no single flipped bit of it passes.

use emberkv_core::Checksums;
use emberkv_core::format::footer::{
    Footer, HintGroup, decode_footer, encode_footer, hint_group_at,
};
use emberkv_core::format::group::{GroupEnd, GroupHeader, GroupKind, GroupTrailer, Resume, Seeds};
use emberkv_core::format::hint::{HINT_BYTES, Hint};
use emberkv_core::format::parser::{Bounds, Event, GroupParser, Verify};
use emberkv_core::format::record::{self, RecordHeader, RecordKind, RecordShape};
use emberkv_core::format::segment::{
    Cut, HeaderPlace, Role, SegmentHeader, decode_header, encode_header,
};
use emberkv_core::format::superblock::Superblock;
use emberkv_core::types::{Boot, EntryKind, Fingerprint, Offset, SegmentId, Seq};
use emberkv_tests::image::{Image, NewGroup};
use proptest::prelude::*;

use super::samples::{block, header};

const SUMS: Checksums = Checksums::PORTABLE;

/// Calls `decode` with every single-bit flip of `bytes`; none may pass.
pub(crate) fn no_flip_passes<T: std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
) {
    assert!(decode(bytes).is_some(), "without a flip it passes");
    let mut flipped = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        let passed = decode(&flipped);
        assert!(passed.is_none(), "bit {bit} flipped gives {passed:?}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

fn cuts() -> impl Strategy<Value = Option<Cut>> {
    proptest::option::of((any::<u32>(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(
        |(segment, open_seq, end, digest)| Cut {
            segment: SegmentId(segment),
            open_seq: Seq(open_seq),
            end: Offset(end),
            digest,
        },
    ))
}

fn headers() -> impl Strategy<Value = SegmentHeader> {
    let fixed = (any::<u32>(), 1..=u64::MAX, any::<u32>(), any::<bool>(), any::<u32>(), cuts());
    fixed.prop_map(|(segment, open_seq, boot, merge, segments, cut)| SegmentHeader {
        segment: SegmentId(segment),
        open_seq: Seq(open_seq),
        boot: Boot(boot),
        role: if merge { Role::Merge } else { Role::User },
        segments,
        cut,
    })
}

fn superblocks() -> impl Strategy<Value = Superblock> {
    let sizes = (10_u32..=30, 0_u32..=27, 1_u32..=1 << 20, 12_u32..=20, 0_u8..=4);
    let rest = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>(), any::<u16>(), any::<u64>());
    (sizes, rest).prop_map(|((segment, unit, segments_max, stride, align), rest)| {
        let (store_id, secret, record, key, offset) = rest;
        let segment_bytes = 1 << segment;
        let commit_unit = 1 << unit.min(segment - 3).min(stride);
        let record_bytes_max = 65 + record % (segment_bytes / 8 - 64);
        Superblock {
            key_bytes_max: 1 + key % (record_bytes_max - 64).min(0xffff) as u16,
            store_id,
            secret,
            commit_unit,
            segment_bytes,
            segments_max,
            stride: 1 << stride,
            data_offset: (2 + offset % ((1 << (32 - stride)) - 1)) << stride,
            align_shift: align.min(commit_unit.trailing_zeros() as u8),
            record_bytes_max,
            incompat: u32::from(commit_unit <= 16) * (record & 1),
        }
    })
}

fn hints() -> impl Strategy<Value = Hint> {
    prop_oneof![
        (any::<u32>(), any::<u64>())
            .prop_map(|(offset, seq)| Hint::Place { before: Offset(offset), seq: Seq(seq) }),
        (any::<u16>(), any::<u64>(), 0_u32..1 << 20, 0_u8..4).prop_map(
            |(shard, position, record_bytes, kind)| Hint::Record {
                fingerprint: Fingerprint { shard, position },
                record_bytes,
                kind: EntryKind::from_bits(kind),
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn superblocks_round_trip_and_no_flip_passes(block in superblocks(), copy in 0_u8..2) {
        let bytes = block.encode(&SUMS, copy);
        prop_assert_eq!(Superblock::decode(&SUMS, &bytes), Ok(block));
        no_flip_passes(&bytes, |bytes| Superblock::decode(&SUMS, bytes).ok());
    }

    #[test]
    fn headers_round_trip_and_no_flip_passes(
        header in headers(),
        bitmap in proptest::collection::vec(any::<u8>(), 1..40),
        mark in proptest::option::of((any::<u32>(), any::<u64>())),
        store_id in any::<[u8; 16]>(),
    ) {
        let place = match mark {
            Some((segment, open_seq)) => HeaderPlace::Mark(SegmentId(segment), Seq(open_seq)),
            None => HeaderPlace::Own(header.segment),
        };
        let mut slot = vec![0; 88];
        slot.extend_from_slice(&bitmap);
        let count = bitmap.len() as u32;
        encode_header(&header, place, &SUMS, &store_id, &mut slot, count);
        let decode = |slot: &[u8]| decode_header(slot, place, &SUMS, &store_id, count);
        prop_assert_eq!(decode(&slot), Some(header));
        no_flip_passes(&slot, decode);
        // A copy at any other place is none.
        let other = HeaderPlace::Own(SegmentId(header.segment.0 ^ 1));
        prop_assert_eq!(decode_header(&slot, other, &SUMS, &store_id, count), None);
        let elsewhere = HeaderPlace::Mark(header.segment, header.open_seq);
        if place != elsewhere {
            prop_assert_eq!(decode_header(&slot, elsewhere, &SUMS, &store_id, count), None);
        }
    }

    #[test]
    fn footers_round_trip_and_no_flip_passes(
        header in headers(),
        numbers in (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>()),
        list in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..5),
        store_id in any::<[u8; 16]>(),
    ) {
        let list: Vec<_> = list
            .into_iter()
            .map(|(offset, bytes)| HintGroup { offset: Offset(offset), bytes })
            .collect();
        let footer = Footer {
            header,
            end: Offset(numbers.0),
            records: numbers.1,
            digest: numbers.2,
            seq_max: Seq(numbers.3),
            hint_groups: list.len() as u16,
        };
        let mut slot = vec![0xee; 88 + 8 * list.len()];
        encode_footer(&footer, &list, &SUMS, &store_id, &mut slot);
        let decode = |slot: &[u8]| decode_footer(slot, header.segment, &SUMS, &store_id);
        prop_assert_eq!(decode(&slot), Some(footer));
        for (index, group) in list.iter().enumerate() {
            prop_assert_eq!(hint_group_at(&slot, index as u16), *group);
        }
        no_flip_passes(&slot, decode);
    }

    #[test]
    fn group_headers_round_trip_and_no_flip_passes(
        kind in 0xa1_u8..=0xa4,
        first_seq in any::<u64>(),
        start in any::<u32>(),
        boot in any::<u32>(),
    ) {
        let kind = GroupKind::from_byte(kind).expect("a kind");
        let header = GroupHeader { kind, first_seq: Seq(first_seq) };
        let seeds = Seeds::new(&[7; 16], SegmentId(3), Seq(99), Boot(boot), &SUMS);
        let bytes = header.encode(Offset(start), &seeds, &SUMS);
        let decode = |bytes: &[u8]| GroupHeader::decode(bytes, Offset(start), &seeds, &SUMS);
        prop_assert_eq!(decode(&bytes), Some(header));
        // Bytes 2 and 3 are covered too: they are in the first four.
        no_flip_passes(&bytes, decode);
        prop_assert_eq!(GroupHeader::decode(&bytes, Offset(start ^ 512), &seeds, &SUMS), None);
        let other = Seeds::new(&[7; 16], SegmentId(3), Seq(99), Boot(boot ^ 1), &SUMS);
        prop_assert_eq!(GroupHeader::decode(&bytes, Offset(start), &other, &SUMS), None);
    }

    #[test]
    fn trailers_round_trip(count in any::<u16>(), flushed in any::<u32>(), padded in any::<bool>(), sum in any::<u64>()) {
        let end = if padded { GroupEnd::Padded } else { GroupEnd::Adjacent };
        let trailer = GroupTrailer { count, flushed: Offset(flushed), end, checksum: sum };
        let mut bytes = trailer.encode_covered().to_vec();
        bytes.extend_from_slice(&sum.to_le_bytes());
        prop_assert_eq!(GroupTrailer::decode(&bytes), Some(trailer));
    }

    #[test]
    fn records_round_trip_and_no_flip_passes(
        key in proptest::collection::vec(any::<u8>(), 0..20),
        value in proptest::collection::vec(any::<u8>(), 0..60),
        offset in any::<u32>(),
        seq in any::<u64>(),
    ) {
        let seed = Seeds::record(&[7; 16], SegmentId(3), Seq(99), &SUMS);
        let place = (Offset(offset), Seq(seq));
        let inner = (SUMS.crc32c)((SUMS.crc32c)(0, &key), &value);
        let sizes = (key.len() as u16, value.len() as u32);
        let head = record::encode_header(
            &RecordShape::plain(RecordKind::Value, sizes, inner),
            place,
            seed,
            &SUMS,
        );
        let bytes = [&head[..], &key, &value].concat();
        let decode = |bytes: &[u8]| {
            let header = RecordHeader::decode(bytes)?;
            let inner = (SUMS.crc32c)(0, bytes.get(12..header.record_bytes() as usize)?);
            let sum = record::checksum(bytes, place, inner, seed, &SUMS);
            (sum == header.checksum).then_some(header)
        };
        let header = decode(&bytes).expect("as it was encoded");
        prop_assert_eq!((header.key_bytes, header.value_bytes), sizes);
        prop_assert_eq!(header.kind, RecordKind::Value);
        no_flip_passes(&bytes, decode);
    }

    #[test]
    fn resumes_and_hints_round_trip(
        boot in any::<u32>(), cut in any::<u32>(), digest in any::<u64>(), hint in hints(),
    ) {
        let resume = Resume { boot: Boot(boot), cut: Offset(cut), digest };
        prop_assert_eq!(Resume::decode(&resume.encode()), Some(resume));
        let bytes = hint.encode();
        prop_assert_eq!(bytes.len(), HINT_BYTES);
        prop_assert_eq!(Hint::decode(&bytes), hint);
    }
}

/// An image of nothing but a superblock, to write groups into.
pub(crate) fn empty_image() -> Image {
    let block = Superblock { segment_bytes: 1 << 13, commit_unit: 512, align_shift: 2, ..block() };
    let block =
        Superblock { data_offset: 0x2000, record_bytes_max: 1024, segments_max: 8, ..block };
    let mut bytes = vec![0; 0x2000 + 2 * 8192];
    bytes[..128].copy_from_slice(&block.encode(&SUMS, 0));
    Image::new(bytes, 1024).expect("the superblock is valid")
}

fn whole(image: &Image, header: &SegmentHeader, bytes: &[u8], start: u32, boot: Boot) -> bool {
    let bounds = Bounds { data_end: image.layout.data_end, align: 4, commit_unit: 512 };
    let seeds = image.seeds(header, boot);
    let mut parser = GroupParser::new(Offset(start), seeds, bounds, Verify::Group, SUMS);
    let mut at = 0;
    // Every turn takes bytes or ends.
    loop {
        let (used, event) = parser.feed(&bytes[at..]);
        at += used;
        match event {
            Event::Done(_) => return true,
            Event::More | Event::Bad => return false,
            Event::Record(..) | Event::Body(_) => {}
        }
    }
}

#[test]
fn no_flip_of_a_group_of_any_kind_passes() {
    let mut image = empty_image();
    let header = SegmentHeader { segment: SegmentId(1), cut: None, ..header() };
    let boot = Boot(4);
    let hint = Hint::Place { before: Offset(512), seq: Seq(5) }.encode();
    let resume = Resume { boot, cut: Offset(512), digest: 77 }.encode();
    type Parts<'a> = Vec<(RecordKind, &'a [u8], &'a [u8])>;
    let kinds: [(GroupKind, Parts<'_>); 4] = [
        (
            GroupKind::Data,
            vec![
                (RecordKind::Value, b"a", b"first"),
                (RecordKind::Tombstone, b"bb", b""),
                (RecordKind::Value, b"ccc", b""),
            ],
        ),
        (GroupKind::Hints, vec![(RecordKind::Hints, b"", &hint)]),
        (GroupKind::Resume, vec![(RecordKind::Resume, b"", &resume)]),
        (GroupKind::Close, vec![]),
    ];
    for (kind, records) in kinds {
        for end in [GroupEnd::Adjacent, GroupEnd::Padded] {
            let start = 1024;
            let group = NewGroup {
                kind,
                first_seq: Seq(1 << 32),
                records: records.clone(),
                flushed: Offset(512),
                end,
            };
            image.put_group(&header, start, boot, &group);
            let found = image.group(&header, start, boot).expect("as it was written");
            assert_eq!(found.parsed.header.kind, kind);
            assert_eq!(found.records.len(), records.len());
            let length = (found.parsed.end.0 - start) as usize;
            let bytes = image.segment(SegmentId(1))[start as usize..][..length].to_vec();
            let seed_boot = if kind == GroupKind::Resume { Boot(0) } else { boot };
            no_flip_passes(&bytes, |bytes| {
                whole(&image, &header, bytes, start, seed_boot).then_some(())
            });
            // Neither does it pass at another place, in another boot, or in another incarnation.
            assert!(!whole(&image, &header, &bytes, start + 512, seed_boot));
            assert!(!whole(&image, &header, &bytes, start, Boot(seed_boot.0 + 1)));
            let later = SegmentHeader { open_seq: Seq(header.open_seq.0 + 1), ..header };
            assert!(!whole(&image, &later, &bytes, start, seed_boot));
        }
    }
}

#[test]
fn a_group_is_found_whatever_pieces_its_bytes_come_in() {
    let mut image = empty_image();
    let header = SegmentHeader { segment: SegmentId(0), cut: None, ..header() };
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(9),
        records: vec![(RecordKind::Value, b"key", b"a value"), (RecordKind::Value, b"k", b"")],
        flushed: Offset(0),
        end: GroupEnd::Adjacent,
    };
    image.put_group(&header, 512, Boot(1), &group);
    let bytes = image.segment(SegmentId(0))[512..].to_vec();
    let bounds = Bounds { data_end: image.layout.data_end, align: 4, commit_unit: 512 };
    for piece in 1..80 {
        let seeds = image.seeds(&header, Boot(1));
        let mut parser = GroupParser::new(Offset(512), seeds, bounds, Verify::Records, SUMS);
        let (mut at, mut bodies, mut done) = (0, Vec::new(), false);
        while !done {
            let end = (at / piece + 1) * piece;
            let (used, event) = parser.feed(&bytes[at..end]);
            at += used;
            match event {
                Event::More => assert_eq!(at, end, "everything was taken"),
                Event::Record(..) => bodies.push(Vec::new()),
                Event::Body(bytes) => bodies.last_mut().expect("a record").extend_from_slice(bytes),
                Event::Done(_) => done = true,
                Event::Bad => panic!("pieces of {piece}"),
            }
        }
        assert_eq!(bodies, [b"keya value".to_vec(), b"k".to_vec()]);
    }
}
