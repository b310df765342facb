//! A device in memory that counts: an engine that reads without end, or outside of the device, is caught here.

use std::ops::Range;

use emberkv_core::{BlockDevice, Caps, DeviceError as _, DeviceErrorKind, Durability, Geometry};
use emberkv_memory::{MemoryDevice, MemoryError, Rules};

/// The device.
#[derive(Clone, Debug)]
pub struct Meter {
    inner: MemoryDevice<Vec<u8>>,
    budget: u64,
}

impl Meter {
    /// A device with this content.
    ///
    /// # Panics
    /// If the rules are not valid.
    #[must_use]
    pub fn new(bytes: Vec<u8>, rules: Rules) -> Self {
        let inner = MemoryDevice::new(bytes, rules).expect("the rules are valid");
        let mut meter = Self { inner, budget: 0 };
        meter.refill();
        meter
    }

    /// Allows as much reading as any honest session on this device needs.
    pub fn refill(&mut self) {
        self.budget = 256 * self.inner.geometry().capacity + (1 << 22);
    }

    /// The content.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.inner.into_inner()
    }

    fn judge<T>(&self, result: Result<T, MemoryError>) -> Result<T, MemoryError> {
        if let Err(error) = &result {
            let kind = error.kind();
            let fault = matches!(kind, DeviceErrorKind::OutOfBounds | DeviceErrorKind::Misaligned);
            assert!(!fault, "the engine asked for what no device can do: {error}");
        }
        result
    }
}

impl BlockDevice for Meter {
    type Error = MemoryError;

    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }
    fn caps(&self) -> Caps {
        BlockDevice::caps(&self.inner)
    }
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let cost = buffer.len() as u64 + 16;
        assert!(self.budget >= cost, "reads without end");
        self.budget -= cost;
        let result = BlockDevice::read(&mut self.inner, address, buffer);
        self.judge(result)
    }
    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), MemoryError> {
        let result = BlockDevice::write(&mut self.inner, address, slices, durability);
        self.judge(result)
    }
    fn erase(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        let result = BlockDevice::erase(&mut self.inner, range);
        self.judge(result)
    }
    fn flush(&mut self) -> Result<(), MemoryError> {
        BlockDevice::flush(&mut self.inner)
    }
}
