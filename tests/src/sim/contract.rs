//! [`SimDevice`] as a block device. What it records it may allocate: that is not the engine's doing.

use std::ops::Range;

use emberkv_core::{BlockDevice, Caps, DeviceErrorKind, Durability, Geometry};

use super::device::SimDevice;
use crate::unallocated::aside;

impl BlockDevice for SimDevice {
    type Error = DeviceErrorKind;

    fn geometry(&self) -> Geometry {
        self.setup.as_ref().expect("a device is reset before it is used").geometry()
    }

    fn caps(&self) -> Caps {
        self.setup.as_ref().expect("a device is reset before it is used").caps()
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), DeviceErrorKind> {
        aside(|| self.serve_read(address, buffer))
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), DeviceErrorKind> {
        aside(|| self.serve_write(address, slices, durability))
    }

    fn erase(&mut self, range: Range<u64>) -> Result<(), DeviceErrorKind> {
        aside(|| self.serve_erase(range))
    }

    fn discard(&mut self, range: Range<u64>) -> Result<(), DeviceErrorKind> {
        aside(|| self.serve_discard(range))
    }

    fn flush(&mut self) -> Result<(), DeviceErrorKind> {
        aside(|| self.serve_flush())
    }
}
