//! A device of bytes for schedules: what is written is on the medium after the next flush, or at once
//! where the write says so; anything may happen before and behind each call.

use core::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use emberkv_core::{BlockDevice, Caps, Durability, Geometry};
use emberkv_file::FileError;
use shuttle::thread::yield_now;

/// The device's cache, and the medium below it. Clones are the same device.
#[derive(Clone)]
pub(crate) struct Medium(Arc<Mutex<Bytes>>);

struct Bytes {
    cached: Vec<u8>,
    medium: Vec<u8>,
    dirty: Vec<Range<usize>>,
}

impl Medium {
    pub(crate) fn new(image: Vec<u8>) -> Self {
        let bytes = Bytes { cached: image.clone(), medium: image, dirty: Vec::new() };
        Self(Arc::new(Mutex::new(bytes)))
    }

    /// What a power cut now would leave.
    pub(crate) fn durable(&self) -> Vec<u8> {
        self.with(|bytes| bytes.medium.clone())
    }

    /// The lock is of the standard library and never held across a step of a schedule.
    fn with<T>(&self, work: impl FnOnce(&mut Bytes) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bytes {
    fn settle(&mut self, range: Range<usize>) {
        self.medium[range.clone()].copy_from_slice(&self.cached[range]);
    }
}

impl BlockDevice for &Medium {
    type Error = FileError;

    fn geometry(&self) -> Geometry {
        let capacity = self.with(|bytes| bytes.cached.len() as u64);
        Geometry {
            capacity,
            capacity_max: capacity,
            read_unit: 512,
            write_unit: 512,
            erase_unit: 512,
            tear_unit: 512,
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
        let from = address as usize;
        self.with(|bytes| buffer.copy_from_slice(&bytes.cached[from..from + buffer.len()]));
        Ok(())
    }

    fn write(&mut self, address: u64, slices: &[&[u8]], how: Durability) -> Result<(), FileError> {
        pause();
        self.with(|bytes| {
            let mut at = address as usize;
            for slice in slices {
                let range = at..at + slice.len();
                bytes.cached[range.clone()].copy_from_slice(slice);
                at = range.end;
                match how {
                    Durability::Durable => bytes.settle(range),
                    Durability::Buffered => bytes.dirty.push(range),
                }
            }
        });
        pause();
        Ok(())
    }

    fn erase(&mut self, _range: Range<u64>) -> Result<(), FileError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        // Only what was written before the flush began is sure to be there after it.
        let upto = self.with(|bytes| bytes.dirty.len());
        pause();
        self.with(|bytes| {
            let mine = upto.min(bytes.dirty.len());
            for range in bytes.dirty.drain(..mine).collect::<Vec<_>>() {
                bytes.settle(range);
            }
        });
        Ok(())
    }
}

/// Lets others go on, inside of a schedule.
fn pause() {
    if shuttle::current::get_current_task().is_some() {
        yield_now();
    }
}
