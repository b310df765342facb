//! Bugs that were found by reading and proved by hand-made faults: each test failed once.

#[path = "regressions/chunks.rs"]
mod chunks;
#[path = "regressions/device.rs"]
mod device;
#[path = "regressions/room.rs"]
mod room;

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::ops::Range;

use device::{Device, Op, arena, assert_sound, format, get, open, tiny};
use emberkv_core::{
    AsyncBlockDevice, AsyncStore, BlockDevice, Caps, Config, DeviceErrorKind, Durability, Error,
    Geometry, Store,
};

const LOG_START: u64 = 8192;

fn is_write(op: &Op) -> bool {
    matches!(op, Op::Write(..))
}

/// Bytes without end.
struct Threes;

impl embedded_io::ErrorType for Threes {
    type Error = core::convert::Infallible;
}

impl embedded_io::Read for Threes {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        buffer.fill(3);
        Ok(buffer.len())
    }
}

/// The flush behind the header of the new segment was taken for one of the groups that were yet to be written there.
#[test]
fn regression_a_sync_after_a_failed_write_waits_for_what_moved() {
    let (config, mut device) = (tiny(), Device::block(128 << 10));
    let mut store = format(&mut device, &config);
    store.put(b"a", b"1").expect("a put works");
    store.device_mut().fail_once(DeviceErrorKind::Media, is_write);
    store.sync().expect("another segment takes the group");
    drop(store);
    device.cut_power(|_, _| false);
    let mut store = open(&mut device, &config).expect("the store opens");
    assert_eq!(get(&mut store, b"a").as_deref(), Some(&b"1"[..]));
}

/// The header of the next segment listed the one whose header had failed, and its mark was written all the same.
#[test]
fn regression_a_segment_whose_header_failed_is_no_damage_after_a_power_cut() {
    for (syncs, keeps) in [(true, true), (true, false), (false, true), (false, false)] {
        let (config, mut device) = (tiny(), Device::block(128 << 10));
        let mut store = format(&mut device, &config);
        store.device_mut().fail_once(DeviceErrorKind::Media, |op| {
            matches!(op, Op::Write(at, _) if *at > LOG_START && (*at - LOG_START).is_multiple_of(8192))
        });
        let mut key = 0u32;
        while store.stats().write_faults == 0 {
            key += 1;
            store.put(&key.to_le_bytes(), &[7; 100]).expect("a put works");
        }
        if syncs {
            store.sync().expect("another segment takes over");
        }
        drop(store);
        device.cut_power(|_, _| keeps);
        let mut store = open(&mut device, &config).expect("the store opens");
        assert!(!syncs || get(&mut store, &key.to_le_bytes()).is_some());
    }
}

/// Bytes of the torn tail before the resume group were read as groups to move: a panic.
#[test]
fn regression_a_resume_group_that_fails_behind_a_torn_tail_moves_alone() {
    let config = Config { page_bytes: 256, ..tiny() };
    let mut device = Device::nor(128 << 10);
    let mut store = format(&mut device, &config);
    store.put(b"a", b"1").expect("a put works");
    store.sync().expect("a sync works");
    store.put(b"b", &[2; 40]).expect("a put works");
    store.sync().expect("a sync works");
    drop(store);
    // The end of the last group was never programmed.
    let segment = &device.bytes()[LOG_START as usize..][..8192];
    let end = LOG_START as usize + segment.iter().rposition(|&byte| byte != 0xff).expect("a group");
    for at in end - 20..=end {
        device.change(at, |_| 0xff);
    }
    device.fail_once(DeviceErrorKind::Media, is_write);
    let mut store = open(&mut device, &config).expect("the store opens");
    assert_eq!(get(&mut store, b"a").as_deref(), Some(&b"1"[..]));
    assert_eq!(get(&mut store, b"b"), None);
}

/// A sector that could not be read for a passing reason counted as torn, and a resume group was written over it.
#[test]
fn regression_an_error_of_the_bus_is_not_a_torn_tail() {
    for kind in [DeviceErrorKind::Transient, DeviceErrorKind::Other] {
        let config = Config { page_bytes: 1024, ..tiny() };
        let mut device = Device::block(128 << 10);
        let mut store = format(&mut device, &config);
        for key in [b"a", b"b", b"c"] {
            store.put(key, &[1; 200]).expect("a put works");
            store.sync().expect("a sync works");
        }
        drop(store);
        device.cut_power(|_, _| false);
        let last = LOG_START + 512 + 2 * 512;
        device.fail_all(
            kind,
            move |op| matches!(op, Op::Read(at, bytes) if *at <= last && last < at + bytes),
        );
        assert!(open(&mut device, &config).is_err());
        device.fault = None;
        let mut store = open(&mut device, &config).expect("the store opens");
        assert!(get(&mut store, b"c").is_some(), "{kind:?}");
    }
}

/// A batch that no segment could hold used up one empty segment after the other.
#[test]
fn regression_a_batch_fits_an_empty_segment_or_is_refused() {
    let config = Config { page_bytes: 1024, ..tiny() };
    let mut device = Device::block(128 << 10);
    let mut store = format(&mut device, &config);
    let free = store.stats().segments_free;
    let mut batch = store.batch().expect("a batch begins");
    let mut key = 0u32;
    while batch.put(&key.to_le_bytes(), &[3; 64]).is_ok() {
        key += 1;
    }
    batch.commit().expect("what was taken fits");
    assert!(key > 4 && store.stats().segments_free + 1 >= free);
}

/// The same for a record, where headers with a long bitmap leave little of a small segment.
#[test]
fn regression_a_record_fits_an_empty_segment_or_the_format_is_refused() {
    let config = Config { page_bytes: 1024, ..tiny() };
    let mut device = Device::block(16 << 20);
    let arena = arena(&config, &device);
    let Ok(mut store) = Store::format(&mut device, arena, &config) else { return };
    store.put(b"k", &[1; 490]).expect("a put works");
}

#[test]
fn regression_a_key_of_any_length_is_answered_with_an_error() {
    let (config, mut device) = (tiny(), Device::block(128 << 10));
    let mut store = format(&mut device, &config);
    let key = vec![1; 40_000];
    assert!(matches!(store.put(&key, b"x"), Err(Error::KeySize { .. })));
    assert!(matches!(store.put_stream(&key, 9, Threes), Err(Error::KeySize { .. })));
    assert!(matches!(store.delete(&key), Err(Error::KeySize { .. })));
}

#[test]
fn regression_a_transfer_limit_that_is_no_whole_number_of_units_is_rounded() {
    let config = Config { segment_bytes: 1 << 16, page_bytes: 1024, frames: 256, ..tiny() };
    let mut device = Device::block(1 << 20);
    device.geometry.max_transfer = 5000;
    let mut store = format(&mut device, &config);
    for key in 0..100u32 {
        store.put(&key.to_le_bytes(), &[1; 200]).expect("a put works");
    }
    store.sync().expect("a sync works");
    assert_eq!(store.stats().write_faults, 0);
}

#[test]
fn regression_a_flush_that_fails_in_open_is_told_as_such() {
    let (config, mut device) = (tiny(), Device::block(128 << 10));
    let mut store = format(&mut device, &config);
    store.put(b"a", b"1").expect("a put works");
    store.sync().expect("a sync works");
    drop(store);
    device.cut_power(|_, _| false);
    device.fail_all(DeviceErrorKind::Other, |op| *op == Op::Flush);
    let error = open(&mut device, &config).map(|_| ()).expect_err("the flush failed");
    assert!(matches!(error, Error::Poisoned | Error::Device(_)), "{error:?}");
}

/// What was queued behind a failed flush (the mark of the next segment) was written all the same.
#[test]
fn regression_nothing_is_written_behind_a_failed_flush() {
    let (config, mut device) = (tiny(), Device::block(128 << 10));
    let mut store = format(&mut device, &config);
    store.device_mut().log.clear();
    store.device_mut().fail_all(DeviceErrorKind::Other, |op| *op == Op::Flush);
    for key in 0..60u32 {
        if store.put(&key.to_le_bytes(), &[1; 100]).is_err() {
            break;
        }
    }
    let log = &store.device().log;
    let flush = log.iter().position(|op| *op == Op::Flush).expect("a segment was sealed");
    assert!(!log[flush + 1..].iter().any(is_write), "{log:?}");
}

/// Two values had one identity: the chunks of the one that was given up were those of the one that came after.
#[test]
fn regression_identities_of_values_are_not_given_twice() {
    let (config, mut device) = (tiny(), Device::block(128 << 10));
    let mut store = format(&mut device, &config);
    store.put(b"a", b"1").expect("a put works");
    assert!(store.put_stream(b"s", 2000, &[0; 0][..]).is_err());
    assert!(store.put_stream(b"s", 2000, &[0; 600][..]).is_err());
    store.put_stream(b"s", 400, Threes).expect("a stream works");
    for key in 0..10u32 {
        store.put(&key.to_le_bytes(), b"x").expect("a put works");
    }
    assert_eq!(get(&mut store, b"s"), Some(vec![3; 400]));
}

/// Streams that replace one another left more dead chunks behind than they took away.
#[test]
fn regression_streams_clear_away_what_they_replace() {
    let config = Config { segment_bytes: 1 << 16, page_bytes: 1024, frames: 256, ..tiny() };
    let mut device = Device::block(16 << 20);
    let mut store = format(&mut device, &config);
    for _ in 0..30 {
        store.put_stream(b"s", 240 << 10, Threes).expect("there is room in the keydir");
    }
}

/// Groups of a session whose resume group was damaged were no groups at all: acknowledged data was dropped silently.
#[test]
fn regression_damage_in_a_resume_group_is_found() {
    let config = Config { segment_bytes: 16384, page_bytes: 1024, ..tiny() };
    let mut device = Device::block(256 << 10);
    let mut store = format(&mut device, &config);
    store.put(b"a", b"1").expect("a put works");
    store.sync().expect("a sync works");
    drop(store);
    device.cut_power(|_, _| false);
    let before = device.bytes().to_vec();
    let mut store = open(&mut device, &config).expect("the store opens");
    for key in 0..4u32 {
        store.put(&key.to_le_bytes(), b"acknowledged").expect("a put works");
        store.sync().expect("a sync works");
    }
    drop(store);
    device.cut_power(|_, _| false);
    let resume = (0..before.len()).find(|&at| before[at] != device.bytes()[at]).expect("a group");
    device.change(resume + 40, |byte| byte ^ 1);
    assert!(matches!(open(&mut device, &config).map(|_| ()), Err(Error::Corrupted(_))));
}

/// Each write fails once; then the power is cut, and all, none, only one or all but one of the cached writes survive.
#[test]
fn regression_a_failed_write_and_a_power_cut_lose_nothing_acknowledged() {
    for durable_write in [false, true] {
        for failing in 0..60 {
            for rounds in (0..50u32).step_by(7) {
                fail_then_cut(durable_write, failing, rounds);
            }
        }
    }
}

fn fail_then_cut(durable_write: bool, failing: usize, rounds: u32) {
    let config = Config { frames: 24, ..tiny() };
    let mut device = Device::block(64 << 10);
    device.caps.durable_write = durable_write;
    let mut store = format(&mut device, &config);
    let mut writes = 0;
    store.device_mut().fault = Some(Box::new(move |op| {
        writes += usize::from(is_write(op));
        (is_write(op) && writes == failing).then_some(DeviceErrorKind::Media)
    }));
    let (mut acknowledged, mut put) = (0, 0);
    for round in 1..=rounds {
        if store.stats().segments_free <= 2 {
            break;
        }
        for (key, factor) in [(b"k", 37), (b"l", 31)] {
            let mut value = round.to_le_bytes().to_vec();
            value.resize(4 + (round * factor % 300) as usize, 0);
            store.put(key, &value).expect("a put works");
        }
        put = round;
        if round % 3 == 0 {
            store.sync().expect("another segment takes over");
            acknowledged = round;
        }
    }
    let hit = store.stats().write_faults > 0;
    drop(store);
    let cached = device.pending.len();
    for choice in 0..if hit { 2 * cached + 2 } else { 0 } {
        let mut device = device.copy();
        device.cut_power(|index, _| match choice {
            one if one < cached => index == one,
            one if one < 2 * cached => index != one - cached,
            all => all == 2 * cached,
        });
        let what = (durable_write, failing, rounds, choice);
        let mut store = open(&mut device, &config).expect("the store opens");
        let mut round_of = |key: &[u8]| {
            let value = get(&mut store, key).unwrap_or_default();
            value.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let (first, second) = (round_of(b"k"), round_of(b"l"));
        assert!(first >= acknowledged && second >= acknowledged, "{what:?}: lost");
        assert!(first <= put && (first == second || first == second + 1), "{what:?}: no prefix");
        assert_sound(&mut store);
    }
}

/// The device of [`device`], waiting once before each operation.
struct Waiting(Device);

async fn wait_once() {
    let mut waited = false;
    core::future::poll_fn(|_| {
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl AsyncBlockDevice for Waiting {
    type Error = DeviceErrorKind;

    fn geometry(&self) -> Geometry {
        self.0.geometry
    }
    fn caps(&self) -> Caps {
        self.0.caps
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), DeviceErrorKind> {
        self.0.read(address, buffer)
    }
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), DeviceErrorKind> {
        wait_once().await;
        self.0.write(address, slices, durability)
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), DeviceErrorKind> {
        self.0.erase(range)
    }
    async fn flush(&mut self) -> Result<(), DeviceErrorKind> {
        self.0.flush()
    }
}

fn run<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    })
}

/// The chunks of a value whose future was dropped filled the keydir until the next open.
#[test]
fn regression_a_dropped_put_of_a_large_value_lets_go_of_its_chunks() {
    let config = Config { segment_bytes: 8192, ..tiny() };
    let device = Device::block(4 << 20);
    let arena = arena(&config, &device);
    let formatted = run(AsyncStore::format(Waiting(device), arena, &config), 1000);
    let mut store = formatted.expect("patience").expect("the device can be formatted");
    let value = vec![1; 20_000];
    for _ in 0..40 {
        assert!(run(store.put(b"large", &value), 8).is_none(), "the future is dropped halfway");
        run(store.put(b"small", b"1"), 1000)
            .expect("patience")
            .expect("there is room in the keydir");
    }
    run(store.put(b"large", &value), 1000).expect("patience").expect("there is room");
}
