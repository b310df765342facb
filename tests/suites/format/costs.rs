//! What a record costs: the tables of `FORMAT.md` against the bytes that a store really writes.

use emberkv_core::format::bytes::round_up;
use emberkv_core::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupKind};
use emberkv_core::format::hint::HINT_BYTES;
use emberkv_core::format::record::{
    EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, RecordKind, SHORT_HEADER_BYTES,
};
use emberkv_core::types::SegmentId;
use emberkv_core::{BlockDevice as _, Config, Hints, ShortRecords, Store, required_bytes};
use emberkv_memory::{MemoryDevice, Rules};
use emberkv_tests::image::Image;

use super::document::{says, tables};

fn key(index: u32) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    key[12..].copy_from_slice(&index.to_be_bytes());
    key
}

const VALUE: [u8; 100] = [0x77; 100];

fn costs(index: usize) -> Vec<Vec<String>> {
    tables("What a record costs").remove(index)
}

fn device(unit: u32, bytes: usize) -> MemoryDevice<Vec<u8>> {
    MemoryDevice::blank(vec![0; bytes], Rules::block(unit)).expect("the rules are valid")
}

fn config(segment_bytes: u32, hints: Hints) -> Config {
    Config { segment_bytes, hints, keys_max: 100_000, frames: 256, ..Config::default() }
}

#[test]
fn overheads_are_as_documented() {
    let expected = [
        ("record header", RECORD_HEADER_BYTES),
        ("short record's header", SHORT_HEADER_BYTES),
        ("group header and trailer", GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES),
        ("explicit sequence", EXPLICIT_SEQ_BYTES),
        ("hint", HINT_BYTES as u32),
        ("hint of a place", HINT_BYTES as u32),
        (
            "hint group around its entries",
            GROUP_HEADER_BYTES + RECORD_HEADER_BYTES + GROUP_TRAILER_BYTES,
        ),
    ];
    let documented: Vec<(String, u32)> = costs(0)[1..]
        .iter()
        .map(|row| (row[0].clone(), row[1].parse().expect("a number")))
        .collect();
    let expected: Vec<(String, u32)> =
        expected.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect();
    assert_eq!(documented, expected);
}

#[test]
fn keeping_a_record_costs_what_the_document_says() {
    assert!(says("keeping a record costs aligned(record) + 8 bytes, with hints 26 more;"));
    for (hints, extra) in [(Hints::Omit, 8), (Hints::Write, 8 + 13 + 13)] {
        let config = config(1 << 16, hints);
        let device = device(512, 8 << 20);
        let mut arena = vec![0; required_bytes(&config, &device.geometry())];
        let mut store = Store::format(device, &mut arena, &config).expect("format works");
        for index in 0..10 {
            store.put(&key(index), &VALUE).expect("there is room");
        }
        assert_eq!(store.stats().live_cost, 10 * (12 + 16 + 100 + extra), "{hints:?}");
    }
}

#[test]
fn a_small_put_or_delete_on_flash_is_one_write_of_six_bytes_more_than_key_and_value() {
    assert!(says("everything but copies counts 6 bytes more"));
    for unit in [1, 4, 16] {
        let config = Config { short_records: ShortRecords::Write, ..config(1 << 14, Hints::Omit) };
        let rules = Rules::Nor { write_unit: unit, erase_unit: 4096 };
        let device = MemoryDevice::blank(vec![0xff; 1 << 20], rules).expect("the rules are valid");
        let mut arena = vec![0; required_bytes(&config, &device.geometry())];
        let mut store = Store::format(device, &mut arena, &config).expect("format works");
        let sizes = [(1, 0), (2, 12), (16, 255), (7, 100)];
        for (key, value) in sizes {
            let before = store.device().counters();
            store.put(&VALUE[..key], &[5; 255][..value]).expect("there is room");
            store.sync().expect("the device works");
            let after = store.device().counters();
            let bytes = round_up((6 + key + value) as u32, unit);
            assert_eq!(after.bytes_written - before.bytes_written, u64::from(bytes), "{unit}");
            assert_eq!(after.writes - before.writes, 1, "{unit}");
        }
        let live: usize = sizes.iter().map(|(key, value)| 6 + key + value + 6 + 8).sum();
        assert_eq!(store.stats().live_cost, live as u64);
        let before = store.device().counters();
        assert_eq!(store.delete(&VALUE[..2]), Ok(true));
        store.sync().expect("the device works");
        let after = store.device().counters();
        assert_eq!(after.bytes_written - before.bytes_written, u64::from(round_up(8, unit)));
        // One byte too many for a short record.
        for (key, value) in [(17, 1), (3, 256)] {
            let before = store.device().counters();
            store.put(&[9; 17][..key], &[5; 256][..value]).expect("there is room");
            store.sync().expect("the device works");
            let after = store.device().counters();
            let bytes = round_up((12 + 32 + key + value) as u32, unit);
            assert_eq!(after.bytes_written - before.bytes_written, u64::from(bytes), "{unit}");
        }
    }
}

/// Bytes that one commit of `count` records writes to a device of this unit, and those of its group.
fn commit(unit: u32, count: u32) -> (u64, u32) {
    let config = config(1 << 20, Hints::Omit);
    let device = device(unit, 8 << 20);
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("format works");
    let before = store.device().counters().bytes_written;
    let mut batch = store.batch().expect("a batch");
    for index in 0..count {
        batch.put(&key(index), &VALUE).expect("the batch fits");
    }
    batch.commit().expect("there is room");
    store.sync().expect("the device works");
    let written = store.device().counters().bytes_written - before;
    let image = Image::new(store.into_device().into_inner(), 4096).expect("a store");
    let groups = image.groups(&image.headers()[0]);
    assert_eq!(groups.len(), 1, "one commit is one group");
    assert_eq!(groups[0].records.len() as u32, count);
    (written, groups[0].parsed.end.0 - groups[0].parsed.start.0)
}

#[test]
fn bytes_of_the_log_for_each_record_are_as_documented() {
    let table = costs(1);
    let units: Vec<u32> = table[0][2..]
        .iter()
        .map(|heading| heading.rsplit(' ').next().and_then(|unit| unit.parse().ok()).expect("unit"))
        .collect();
    for row in &table[1..] {
        let count: u32 = row[0].parse().expect("a count");
        let mut measured = vec![row[0].clone()];
        for (index, &unit) in units.iter().enumerate() {
            let (written, group) = commit(unit, count);
            if index == 0 {
                measured.push(format!("{:.2}", f64::from(group) / f64::from(count)));
            }
            assert_eq!(written, u64::from(round_up(group, unit)), "a commit writes its group");
            measured.push(format!("{:.2}", written as f64 / f64::from(count)));
        }
        assert_eq!(row, &measured, "documented against measured");
    }
}

/// Records in the first segment that single puts without sync filled.
fn records_in_a_segment(segment_bytes: u32, hints: Hints) -> u32 {
    let config = config(segment_bytes, hints);
    let device = device(512, 8192 + 64 * segment_bytes as usize);
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("format works");
    let mut index = 0;
    while store.stats().segments_sealed < 2 {
        store.put(&key(index), &VALUE).expect("there is room");
        index += 1;
    }
    let image = Image::new(store.into_device().into_inner(), 4096).expect("a store");
    let header = image.headers()[0];
    assert_eq!(header.segment, SegmentId(0));
    let groups = image.groups(&header);
    let values = groups.iter().filter(|group| group.parsed.header.kind == GroupKind::Data);
    let records: usize = values.map(|group| group.records.len()).sum();
    let (footer, _) = image.footer(SegmentId(0)).expect("it is sealed");
    assert_eq!(footer.records, if hints == Hints::Write { records as u32 } else { u32::MAX });
    let all_values = groups
        .iter()
        .flat_map(|group| &group.records)
        .all(|record| matches!(record.header.kind, RecordKind::Value | RecordKind::Hints));
    assert!(all_values);
    records as u32
}

#[test]
fn bytes_of_the_medium_for_each_record_are_as_documented() {
    for row in &costs(2)[1..] {
        let (bytes, hints) = match row[0].split_once(',') {
            Some((bytes, _)) => (bytes, Hints::Omit),
            None => (row[0].as_str(), Hints::Write),
        };
        let segment_bytes: u32 = bytes.parse().expect("bytes of a segment");
        let records = records_in_a_segment(segment_bytes, hints);
        let each = f64::from(segment_bytes) / f64::from(records);
        assert_eq!(
            row[1..],
            [records.to_string(), format!("{each:.2}")],
            "documented against measured for {}",
            row[0]
        );
    }
}
