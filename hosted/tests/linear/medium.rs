//! Memory as a device that threads share.

use core::ops::Range;
use std::sync::{PoisonError, RwLock};

use emberkv::{Builder, Db};
use emberkv_core::{BlockDevice, Caps, Durability, Geometry};
use emberkv_file::FileError;

const CAPACITY: usize = 16 << 20;

/// Bytes, which need no flush.
pub(crate) struct Memory(RwLock<Vec<u8>>);

/// A new store in memory: small, so that it merges all the time.
pub(crate) fn store() -> Db {
    let memory = Memory(RwLock::new(vec![0; CAPACITY]));
    let builder: Builder = Db::builder().segment_bytes(256 << 10).cache_bytes(1 << 20);
    builder.max_keys(1 << 17).create_on(memory).expect("a new store")
}

impl BlockDevice for &Memory {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        Geometry {
            capacity: CAPACITY as u64,
            capacity_max: CAPACITY as u64,
            read_unit: 512,
            write_unit: 512,
            erase_unit: 4096,
            tear_unit: 4096,
            buffer_align: 512,
            max_transfer: 1 << 20,
        }
    }
    fn caps(&self) -> Caps {
        Caps {
            needs_erase: false,
            erased: None,
            ordered: false,
            discard: false,
            durable_write: true,
        }
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        buffer.copy_from_slice(&bytes[address as usize..][..buffer.len()]);
        Ok(())
    }
    fn write(&mut self, address: u64, slices: &[&[u8]], _how: Durability) -> Result<(), FileError> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut at = address as usize;
        for slice in slices {
            bytes[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        drop(bytes);
        // Others go on while a writer waits for its device.
        std::thread::yield_now();
        Ok(())
    }
    fn erase(&mut self, _range: Range<u64>) -> Result<(), FileError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}
