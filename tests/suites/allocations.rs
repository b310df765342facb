//! The engine never allocates: not while it opens, not while it works.

use std::ops::Range;

use allocation_counter::measure;
use emberkv_core::{
    BlockDevice, Caps, Config, Cursor, DeviceErrorKind, Durability, Error, Geometry, Store,
    required_bytes,
};

/// A device of fixed memory that itself never allocates.
struct Fixed(Box<[u8]>);

impl BlockDevice for Fixed {
    type Error = DeviceErrorKind;

    fn geometry(&self) -> Geometry {
        Geometry {
            capacity: self.0.len() as u64,
            capacity_max: self.0.len() as u64,
            read_unit: 512,
            write_unit: 512,
            erase_unit: 512,
            tear_unit: 512,
            buffer_align: 1,
            max_transfer: 65536,
        }
    }

    fn caps(&self) -> Caps {
        Caps {
            needs_erase: false,
            erased: None,
            ordered: false,
            discard: false,
            durable_write: false,
        }
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), DeviceErrorKind> {
        let start = address as usize;
        buffer.copy_from_slice(
            self.0.get(start..start + buffer.len()).ok_or(DeviceErrorKind::OutOfBounds)?,
        );
        Ok(())
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        _: Durability,
    ) -> Result<(), DeviceErrorKind> {
        let mut start = address as usize;
        for slice in slices {
            let target =
                self.0.get_mut(start..start + slice.len()).ok_or(DeviceErrorKind::OutOfBounds)?;
            target.copy_from_slice(slice);
            start += slice.len();
        }
        Ok(())
    }

    fn erase(&mut self, _: Range<u64>) -> Result<(), DeviceErrorKind> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceErrorKind> {
        Ok(())
    }
}

fn workload(store: &mut Store<'_, Fixed>, buffer: &mut [u8]) -> Result<(), Error> {
    let value = [7; 900];
    for round in 0..40_u32 {
        for key in 0..20_u32 {
            store.put(&key.to_le_bytes(), &value[..(round * 20 + key) as usize])?;
        }
        store.delete(&round.to_le_bytes())?;
        let mut batch = store.batch()?;
        batch.put(b"one", b"1")?;
        batch.delete(b"two")?;
        batch.commit()?;
        store.sync()?;
        for key in 0..25_u32 {
            store.get(&key.to_le_bytes(), buffer)?;
            store.contains(&key.to_le_bytes())?;
        }
    }
    let long = [3_u8; 40_000];
    store.put_stream(b"long", 40_000, &long[..])?;
    store.get(b"long", buffer)?;
    let mut cursor = Cursor::default();
    while store.next(&mut cursor, buffer)?.is_some() {}
    store.check(|_| {})?;
    Ok(())
}

#[test]
fn open_and_every_operation_allocate_nothing() {
    let config = Config { segment_bytes: 65536, frames: 64, keys_max: 256, ..Config::default() };
    let device = Fixed(vec![0; 4 << 20].into_boxed_slice());
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut buffer = vec![0; 65536];
    let mut outcome = Ok(());
    let counted = measure(|| {
        outcome = Store::format(device, &mut arena, &config)
            .and_then(|mut store| {
                workload(&mut store, &mut buffer)?;
                store.close()
            })
            .and_then(|device| Store::open(device, &mut arena, &config))
            .and_then(|mut store| {
                workload(&mut store, &mut buffer)?;
                store.close().map(drop)
            });
    });
    assert_eq!(outcome, Ok(()));
    // The device's box is dropped inside: a release, not an allocation.
    assert_eq!(counted.count_total, 0, "the engine allocated: {counted:?}");
}

/// Overwrites, batches, deletes and idle steps, until segments were merged many times.
fn merges(store: &mut Store<'_, Fixed>) -> Result<(), Error> {
    let value = [7; 900];
    for round in 0..20_000_u32 {
        let key = round.wrapping_mul(0x9e37_79b9) >> 22;
        store.put(&key.to_le_bytes(), &value[..(round % 900) as usize])?;
        if round % 64 == 0 {
            store.delete(&(key ^ 1).to_le_bytes())?;
            let mut batch = store.batch()?;
            batch.put(b"one", &value)?;
            batch.delete(b"two")?;
            batch.commit()?;
            store.merge_step(4096)?;
        }
        if round % 256 == 0 {
            store.sync()?;
        }
    }
    while store.merge_step(1 << 16)? {}
    store.put_stream(b"long", 40_000, &[3; 40_000][..])
}

#[test]
fn merges_allocate_nothing_beyond_what_was_required() {
    let config = Config { segment_bytes: 32768, frames: 64, keys_max: 2048, ..Config::default() };
    let device = Fixed(vec![0; 1 << 20].into_boxed_slice());
    // Not a byte more than is asked for: the ledgers and walks lie in the engine itself.
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("formats");
    let mut outcome = Ok(());
    let counted = measure(|| outcome = merges(&mut store));
    assert_eq!(outcome, Ok(()));
    assert_eq!(counted.count_total, 0, "merging allocated: {counted:?}");
    assert!(store.stats().segments_merged > 100, "{:?}", store.stats());
}
