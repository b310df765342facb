//! A loop device keeps the device contract, and a store lives on it.

use std::time::Instant;

use emberkv_core::{
    BlockDevice, DeviceError, DeviceErrorKind, Durability, Error, Store, conformance,
};
use emberkv_file::AlignedBuffer;
use emberkv_raw::probe::Content;
use emberkv_raw::{Access, Overwrite, RawDevice, RawError};

use crate::support::{Loop, MIB, geometry, memory, noise, reason_of};

fn claimed(device: &Loop) -> RawDevice {
    RawDevice::claim(&device.path, Overwrite::Nothing).expect("it is blank")
}

fn opened(device: &Loop) -> RawDevice {
    RawDevice::open(&device.path, Access::ReadWrite).expect("it holds a store")
}

#[test]
fn loop_devices_of_both_sector_sizes_conform() {
    for sector in [512, 4096] {
        let Some(device) = Loop::new(16 * MIB, sector) else { return };
        let mut raw = claimed(&device);
        let found = geometry(&raw);
        assert_eq!((found.read_unit, found.write_unit), (sector, sector));
        assert!(found.tear_unit >= sector && found.erase_unit == found.tear_unit);
        assert_eq!((found.capacity, found.capacity_max), (16 * MIB, 16 * MIB));
        let bytes = conformance::scratch_bytes(&found) + found.max_transfer as usize;
        let mut scratch = AlignedBuffer::new(bytes, 4096);
        let report = conformance::check(&mut raw, &mut scratch)
            .unwrap_or_else(|violation| panic!("{sector}: {violation}"));
        assert!(!report.durable_write && !report.erase && report.grown.is_none());
        assert_eq!((report.transfer_max, report.discard), (1 << 20, raw.caps().discard));
        println!("sectors of {sector}: {report:?}");
    }
}

#[test]
fn a_store_is_made_written_and_opened_again() {
    for sector in [512, 4096] {
        let Some(device) = Loop::new(16 * MIB, sector) else { return };
        let mut raw = claimed(&device);
        let (config, mut arena) = memory(&geometry(&raw));
        let mut store = Store::format(&mut raw, &mut arena, &config).expect("it fits");
        for number in 0..1000_u32 {
            store.put(&number.to_le_bytes(), &noise(100 + number as usize)).expect("room");
        }
        store.sync().expect("healthy");
        store.put(b"not synced", b"").expect("room");
        // Not closed: as if the program had been killed.
        drop(store);
        drop(raw);
        let mut raw = opened(&device);
        assert_eq!(raw.content(), Content::Ember);
        let mut store = Store::open(&mut raw, &mut arena, &config).expect("a store");
        let mut buffer = vec![0; 4096];
        for number in 0..1000_u32 {
            let value = store.get(&number.to_le_bytes(), &mut buffer).expect("sound");
            assert_eq!(value, Some(&noise(100 + number as usize)[..]));
        }
        store.close().expect("healthy");
        drop(raw);
        let mut raw = RawDevice::open(&device.path, Access::ReadOnly).expect("free");
        let reading = emberkv_core::Config { access: emberkv_core::Access::ReadOnly, ..config };
        let before = device.writes();
        let mut store = Store::open(&mut raw, &mut arena, &reading).expect("a store");
        assert!(store.contains(&7_u32.to_le_bytes()).expect("sound"));
        drop(store);
        let error = raw.write(0, &[&AlignedBuffer::new(4096, 4096)], Durability::Buffered);
        assert_eq!(error.expect_err("read-only").kind(), DeviceErrorKind::ReadOnly);
        assert_eq!(device.writes(), before);
        // A blank device is formatted on the way, as a blank file is.
        drop(raw);
        let overwrite = Overwrite::Destroy(Content::Ember);
        let mut raw = RawDevice::claim(&device.path, overwrite).expect("it is a store");
        let mut store = Store::open_or_format(&mut raw, &mut arena, &config).expect("it is blank");
        assert!(!store.contains(&7_u32.to_le_bytes()).expect("sound"), "the old store is gone");
        store.close().expect("healthy");
    }
}

#[test]
fn a_blank_or_unknown_device_opens_and_is_no_store() {
    let Some(device) = Loop::new(8 * MIB, 512) else { return };
    for (image, want) in [(vec![0; 8 << 20], Content::Blank), (noise(8 << 20), Content::Unknown)] {
        device.fill(&image);
        let before = device.writes();
        let mut raw = opened(&device);
        assert_eq!(raw.content(), want);
        let (config, mut arena) = memory(&geometry(&raw));
        let error = Store::open(&mut raw, &mut arena, &config).expect_err("no store");
        assert_eq!(error, Error::NotAStore);
        drop(raw);
        assert_eq!(device.writes(), before);
        assert_eq!(RawDevice::probe(&device.path).expect("free"), want);
    }
}

#[test]
fn a_device_that_was_cut_short_or_has_larger_sectors_is_refused_and_not_written() {
    let Some(mut device) = Loop::new(16 * MIB, 512) else { return };
    let mut raw = claimed(&device);
    let (config, mut arena) = memory(&geometry(&raw));
    let mut store = Store::format(&mut raw, &mut arena, &config).expect("it fits");
    store.put(b"key", b"value").expect("room");
    store.close().expect("healthy");
    drop(raw);
    let open = |device: &Loop, arena: &mut [u8]| {
        let before = device.writes();
        let mut raw = opened(device);
        let found = Store::open(&mut raw, arena, &config).map(drop);
        drop(raw);
        assert_eq!(device.writes(), before);
        found.map_err(|error| error.map_device(|error| error.kind()))
    };
    device.again(4096, &[]);
    let want = Error::UnitMismatch { medium: 512, device: 4096 };
    assert_eq!(open(&device, &mut arena), Err(want));
    device.again(512, &[]);
    device.resize(8 * MIB);
    let error = open(&device, &mut arena).expect_err("half of it is gone");
    assert!(matches!(error, Error::DeviceTooSmall { .. }), "{error:?}");
    device.resize(32 * MIB);
    open(&device, &mut arena).expect("a larger one will do");
}

#[test]
fn a_device_that_shrinks_under_its_owner_is_an_error_not_a_panic() {
    let Some(device) = Loop::new(8 * MIB, 512) else { return };
    let mut raw = claimed(&device);
    device.resize(4 * MIB);
    let mut buffer = AlignedBuffer::new(4096, 4096);
    let error = raw.read(6 * MIB, &mut buffer).expect_err("it is gone");
    assert_eq!(error.kind(), DeviceErrorKind::Gone);
    raw.write(6 * MIB, &[&buffer], Durability::Durable).expect_err("it is gone");
    raw.read(0, &mut buffer).expect("this is still there");
    drop(raw);
    assert_eq!(geometry(&claimed(&device)).capacity, 4 * MIB);
}

#[test]
fn a_discarded_range_gives_its_space_back() {
    let Some(device) = Loop::new(16 * MIB, 512) else { return };
    device.fill(&noise(16 << 20));
    let mut raw = opened(&device);
    if !raw.caps().discard {
        println!("SKIPPED: this loop device does not discard");
        return;
    }
    let before = device.allocated();
    raw.discard(4 * MIB..12 * MIB).expect("it discards");
    raw.flush().expect("healthy");
    assert!(device.allocated() + 7 * MIB <= before, "{} of {before}", device.allocated());
    for address in [4 * MIB - 512, 12 * MIB] {
        let mut sector = AlignedBuffer::new(512, 512);
        raw.read(address, &mut sector).expect("inside");
        assert_eq!(sector.as_slice(), &noise(16 << 20)[address as usize..][..512]);
    }
    let error = raw.discard(15 * MIB..17 * MIB).expect_err("beyond the end");
    assert_eq!(error.kind(), DeviceErrorKind::OutOfBounds);
    let error = raw.discard(100..1024).expect_err("misaligned");
    assert_eq!(error.kind(), DeviceErrorKind::Misaligned);
}

#[test]
fn a_device_that_the_kernel_has_for_reading_only_is_read_only() {
    let Some(device) = Loop::with(8 * MIB, 512, &["--read-only"]) else { return };
    let error = RawDevice::open(&device.path, Access::ReadWrite).expect_err("read-only");
    let RawError::Device(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), DeviceErrorKind::ReadOnly);
    let mut raw = RawDevice::open(&device.path, Access::ReadOnly).expect("readable");
    assert!(!raw.caps().discard);
    raw.read(0, &mut AlignedBuffer::new(4096, 4096)).expect("inside");
    raw.flush().expect("there is nothing to flush");
}

#[test]
fn a_device_without_a_medium_is_told() {
    let Some(device) = Loop::new(MIB, 512) else { return };
    device.resize(0);
    let reason = reason_of(RawDevice::open(&device.path, Access::ReadOnly));
    assert_eq!(reason, emberkv_raw::Reason::Os(rustix::io::Errno::NOMEDIUM));
}

/// A write with `RWF_DSYNC` to a block device is followed by a flush even where it carried FUA, and
/// becomes two flushes where the device has none. So the device offers no durable writes, and the
/// engine's write and flush cost what they must.
#[test]
fn a_durable_put_costs_one_write_and_one_flush() {
    let Some(device) = Loop::new(16 * MIB, 512) else { return };
    device.fill(&noise(16 << 20));
    let overwrite = Overwrite::Destroy(Content::Unknown);
    let mut raw = RawDevice::claim(&device.path, overwrite).expect("it was named");
    let (config, mut arena) = memory(&geometry(&raw));
    let mut store = Store::format(&mut raw, &mut arena, &config).expect("it fits");
    store.put(b"first", b"").expect("room");
    store.sync().expect("healthy");
    let (start, before) = (Instant::now(), device.writes_and_flushes());
    for number in 0..200_u32 {
        store.put(&number.to_le_bytes(), &[7; 100]).expect("room");
        store.sync().expect("healthy");
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = device.writes_and_flushes();
    println!("{:.0} durable puts/s, {before:?} to {after:?}", 200.0 / seconds);
    // One more for the first put behind a flush that it did not ask for.
    assert!((200..=201).contains(&(after.1 - before.1)), "{} flushes", after.1 - before.1);
    // The kernel counts a flush as a write as well.
    assert!(after.0 - before.0 <= 2 * 200 + 20, "{} writes", after.0 - before.0);
}
