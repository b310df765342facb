//! Images that no store writes, with right checksums: recovery ends, soon, with an answer.

use std::time::{Duration, Instant};

use emberkv_core::error::{Corruption, Damage};
use emberkv_core::format::bytes::{put, u16_at, u32_at, u64_at};
use emberkv_core::format::footer::{decode_footer, encode_footer};
use emberkv_core::format::group::{GroupEnd, GroupKind};
use emberkv_core::format::hint::HINT_BYTES;
use emberkv_core::format::record::{self, RecordKind, RecordShape};
use emberkv_core::format::segment::{Cut, HeaderPlace};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_core::{
    Access, BlockDevice as _, Checksums, Config, Error, Hints, Store, required_bytes,
};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::NewGroup;

use super::bench::{DATA_START, Shown, build, commit, config, open, value_of};

const SUMS: Checksums = Checksums::PORTABLE;

#[test]
fn regression_a_mark_that_names_an_unproven_segment_again_and_again_is_damage() {
    let config = config(Hints::Omit);
    let mut image = build(&config, 6, |store| commit(store, "a"));
    let first = image.headers()[0];
    let mut next = first;
    next.segment = SegmentId(3);
    next.open_seq = Seq(99);
    // Its cut speaks of a third segment, so its own mark does not prove it.
    next.cut =
        Some(Cut { segment: SegmentId(5), open_seq: Seq(50), end: Offset(DATA_START), digest: 0 });
    image.put_header(HeaderPlace::Mark(first.segment, first.open_seq), &next);
    let place =
        Corruption { segment: Some(SegmentId(0)), offset: Offset(0), what: Damage::SegmentHeader };
    assert_eq!(open(&config, &image), Shown::Corrupt(place));
}

#[test]
fn regression_a_cut_outside_of_the_device_is_damage() {
    let config = config(Hints::Omit);
    let mut image = build(&config, 6, |store| commit(store, "a"));
    let first = image.headers()[0];
    let cut = Cut { segment: SegmentId(512), open_seq: Seq(1), end: Offset(512), digest: 0 };
    let mut header = first;
    header.cut = Some(cut);
    image.put_header(HeaderPlace::Own(first.segment), &header);
    let place =
        Corruption { segment: Some(SegmentId(0)), offset: Offset(0), what: Damage::SegmentHeader };
    assert_eq!(open(&config, &image), Shown::Corrupt(place));
}

/// A chunk head of so many chunks of one byte.
fn head_of(value_id: u64, count: u32) -> [u8; 32] {
    let mut head = [0; 32];
    put(&mut head, 0, &value_id.to_le_bytes());
    put(&mut head, 8, &u64::from(count).to_le_bytes());
    put(&mut head, 16, &1_u32.to_le_bytes());
    put(&mut head, 20, &count.to_le_bytes());
    head
}

fn chunk_key(value_id: u64, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    put(&mut key, 0, &value_id.to_le_bytes());
    put(&mut key, 8, &index.to_le_bytes());
    key
}

#[test]
fn regression_a_chunk_head_with_billions_of_chunks_does_not_hold_up_open() {
    let config = config(Hints::Write);
    let mut image = build(&config, 5, |_| {});
    let header = image.headers()[0];
    let head = head_of(7, u32::MAX);
    let value = value_of("a");
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(2),
        records: vec![
            (RecordKind::Chunk, b"twelve bytes", b"x"),
            (RecordKind::Value, b"a", &value),
            (RecordKind::ChunkHead, b"b", &head),
        ],
        flushed: Offset(DATA_START),
        end: GroupEnd::Padded,
    };
    image.put_group(&header, DATA_START, Boot(1), &group);
    let device =
        MemoryDevice::new(image.bytes.clone(), Rules::block(512)).expect("the rules are valid");
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let start = Instant::now();
    let mut store = Store::open(device, &mut arena, &config).expect("every checksum is right");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let mut buffer = [0; 64];
    assert_eq!(store.get(b"a", &mut buffer), Ok(Some(&value[..])));
    let refused = store.get(b"b", &mut buffer).map(|_| ());
    assert_eq!(refused, Err(Error::BufferTooSmall { needed: u64::from(u32::MAX) }));
}

#[test]
fn a_chunk_that_is_not_in_the_log_leaves_no_entry_and_its_value_is_damaged() {
    let config = config(Hints::Omit);
    let mut image = build(&config, 5, |_| {});
    let header = image.headers()[0];
    let (here, other, head) = (chunk_key(7, 0), chunk_key(9, 1), head_of(7, 2));
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(2),
        records: vec![
            (RecordKind::Chunk, &here, b"x"),
            (RecordKind::Chunk, &other, b"of no visible value"),
            (RecordKind::ChunkHead, b"b", &head),
        ],
        flushed: Offset(DATA_START),
        end: GroupEnd::Padded,
    };
    image.put_group(&header, DATA_START, Boot(1), &group);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let config = Config { access, ..config };
        let device =
            MemoryDevice::new(image.bytes.clone(), Rules::block(512)).expect("the rules are valid");
        let mut arena = vec![0; required_bytes(&config, &device.geometry())];
        let mut store = Store::open(device, &mut arena, &config).expect("every checksum is right");
        let stats = store.stats();
        // The head and the one chunk: headers, keys and values.
        assert_eq!((stats.keys, stats.entries), (1, 2));
        assert_eq!(stats.live_bytes, (12 + 1 + 32) + (12 + 12 + 1));
        let mut buffer = [0; 64];
        let refused = store.get(b"b", &mut buffer).map(|_| ());
        let Err(Error::Corrupted(place)) = refused else { panic!("{refused:?}") };
        assert_eq!((place.segment, place.what), (Some(header.segment), Damage::Chunk));
        assert_eq!(place.offset, image.groups(&header)[0].records[2].offset, "that of the head");
    }
}

#[test]
fn heads_that_ask_for_more_chunks_than_there_are_do_not_fill_the_keydir() {
    // Three heads and two chunks, exactly.
    let config = Config { keys_max: 5, ..config(Hints::Omit) };
    let mut image = build(&config, 5, |_| {});
    let header = image.headers()[0];
    let (first, second) = (chunk_key(7, 0), chunk_key(7, 1));
    let (mut shared, greedy) = (head_of(7, 2), head_of(11, 3));
    put(&mut shared, 24, &(SUMS.crc64)(0, b"xy").to_le_bytes());
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(2),
        records: vec![
            (RecordKind::Chunk, &first, b"x"),
            (RecordKind::Chunk, &second, b"y"),
            (RecordKind::ChunkHead, b"b", &shared),
            (RecordKind::ChunkHead, b"c", &shared),
            (RecordKind::ChunkHead, b"d", &greedy),
        ],
        flushed: Offset(DATA_START),
        end: GroupEnd::Padded,
    };
    image.put_group(&header, DATA_START, Boot(1), &group);
    let device =
        MemoryDevice::new(image.bytes.clone(), Rules::block(512)).expect("the rules are valid");
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::open(device, &mut arena, &config).expect("what is there fits");
    assert_eq!(store.stats().entries, 5);
    let mut buffer = [0; 64];
    assert_eq!(store.get(b"b", &mut buffer), Ok(Some(&b"xy"[..])));
    assert_eq!(store.get(b"c", &mut buffer), Ok(Some(&b"xy"[..])));
    assert!(matches!(store.get(b"d", &mut buffer), Err(Error::Corrupted(_))));
}

#[test]
fn regression_a_footer_of_incarnation_zero_is_none() {
    let config = config(Hints::Omit);
    let image = build(&config, 5, |store| {
        let mut index = 0;
        while store.stats().segments_sealed < 1 {
            commit(store, &format!("k{index}"));
            index += 1;
        }
    });
    let (mut footer, list) = image.footer(SegmentId(0)).expect("it is sealed");
    footer.header.open_seq = Seq(0);
    let mut slot = [0; 512];
    encode_footer(&footer, &list, &SUMS, &image.block.store_id, &mut slot);
    assert_eq!(decode_footer(&slot, SegmentId(0), &SUMS, &image.block.store_id), None);
}

#[test]
fn regression_hints_that_overlap_are_not_believed() {
    let config = config(Hints::Write);
    let mut image = build(&config, 5, |store| {
        for index in 0..40 {
            commit(store, &format!("k{index:02}"));
            if store.stats().segments_sealed == 1 {
                break;
            }
        }
    });
    let sealed = image.headers()[0];
    let groups = image.groups(&sealed);
    let hints = groups.iter().find(|group| group.parsed.header.kind == GroupKind::Hints);
    let record = hints.expect("a sealed segment has hints").records[0];
    // The second group start and its record become those of the first: everything fits but the places.
    let seed = image.seeds(&sealed, Boot(1)).record;
    let at = record.offset.0 as usize;
    let bytes = image.segment_mut(sealed.segment);
    let body = at + 12..at + record.header.record_bytes() as usize;
    bytes.copy_within(body.start..body.start + 2 * HINT_BYTES, body.start + 2 * HINT_BYTES);
    let inner = (SUMS.crc32c)(0, &bytes[body]);
    let sizes = (u16_at(bytes, at + 2), u32_at(bytes, at + 4));
    let place = (record.offset, Seq(u64_at(bytes, at - 8)));
    let head = record::encode_header(
        &RecordShape::plain(RecordKind::Hints, sizes, inner),
        place,
        seed,
        &SUMS,
    );
    put(bytes, at, &head);
    // The hints' own group is damaged now, which a scan sees: the hints are refused, not half believed.
    let shown = open(&config, &image);
    let place = Corruption {
        segment: Some(sealed.segment),
        offset: hints_start(&groups),
        what: Damage::Group,
    };
    assert_eq!(shown, Shown::Corrupt(place));
}

fn hints_start(groups: &[emberkv_tests::image::FoundGroup]) -> Offset {
    let hints = groups.iter().find(|group| group.parsed.header.kind == GroupKind::Hints);
    hints.expect("a sealed segment has hints").parsed.start
}
