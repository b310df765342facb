//! Checks that a backend keeps the device contract. **Destroys the content of the device.**
//!
//! Whoever writes a backend runs [`check`] (or [`check_async`]) against it: on a computer, or on
//! the target, since nothing is allocated and the memory is the caller's. Three windows of the
//! device are used: at its start, in its middle and at its end, each a few erase units or three
//! times the largest transfer. So the time does not depend on the capacity, and a flash block is
//! erased about ten times (three times as often on a device so small that the windows overlap).
//!
//! What is checked is what a running device can show: every byte that was written is read back, and
//! every byte around it still is what it was. What happens when the power fails, and whether a
//! flush lies, cannot be seen from here.
//!
//! ```text
//! window   | erase unit      | erase unit      | erase unit      |
//! sizes     wwWWWWwwwwwwww......  1, 2, 4, .. write units, forward; '.' must not change
//! erase     keeps its bytes   reads `erased`    keeps its bytes
//! ```
//!
//! The checks are written once, for the asynchronous contract. A blocking device is wrapped so that
//! its futures are ready at the first poll.

mod report;
mod suite;

use core::ops::Range;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use crate::device::{AsyncBlockDevice, BlockDevice, Caps, Durability, Geometry, GeometryError};

pub use report::{Check, Problem, Report, Violation};
use suite::Suite;

/// The least scratch memory for a device. With `max_transfer + buffer_align` bytes more is checked:
/// transfers of the full size.
#[must_use]
pub fn scratch_bytes(geometry: &Geometry) -> usize {
    let align = geometry.buffer_align as usize;
    let unit = geometry.read_unit.max(geometry.write_unit) as usize;
    // Two slices, each aligned in memory; one byte of displacement; the start may be off by up to
    // `align`.
    unit.max(align).saturating_mul(2).saturating_add(unit).saturating_add(align)
}

/// Checks a blocking device. Its content is destroyed.
///
/// # Errors
/// The first violation. The device's content is then unspecified.
///
/// # Panics
/// Never on account of the device.
pub fn check<D: BlockDevice>(
    device: &mut D,
    scratch: &mut [u8],
) -> Result<Report, Violation<D::Error>> {
    let mut device = Ready(device);
    let future = pin!(check_async(&mut device, scratch));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("a blocking device never waits"),
    }
}

/// Checks an asynchronous device. Its content is destroyed.
///
/// # Errors
/// As [`check`].
pub async fn check_async<D: AsyncBlockDevice>(
    device: &mut D,
    scratch: &mut [u8],
) -> Result<Report, Violation<D::Error>> {
    let geometry = device.geometry();
    let fail = |problem| Err(Violation { check: Check::Geometry, address: 0, problem });
    if let Err(error) = geometry.validate() {
        return fail(Problem::Geometry(error));
    }
    let wrong = |field, value, want| fail(Problem::Geometry(GeometryError { field, value, want }));
    if geometry.capacity < 3 * u64::from(geometry.erase_unit) {
        return wrong("capacity", geometry.capacity, "at least three erase units");
    }
    // Sums of addresses below must not overflow on account of what a device says.
    if geometry.capacity_max > u64::MAX / 2 {
        return wrong("capacity_max", geometry.capacity_max, "below 2^63");
    }
    let (need, have) = (scratch_bytes(&geometry), scratch.len());
    if have < need {
        return fail(Problem::Scratch { need, have });
    }
    let start = scratch.as_ptr().align_offset(geometry.buffer_align as usize);
    let unit = geometry.read_unit.max(geometry.write_unit);
    let room = u32::try_from(have - start).unwrap_or(u32::MAX).min(geometry.max_transfer);
    let transfer = u64::from(room - room % unit);
    Suite::new(device, &mut scratch[start..], transfer).run().await
}

/// A blocking device as an asynchronous one: every future is ready at the first poll.
struct Ready<'d, D>(&'d mut D);

impl<D: BlockDevice> AsyncBlockDevice for Ready<'_, D> {
    type Error = D::Error;

    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn caps(&self) -> Caps {
        self.0.caps()
    }
    async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), D::Error> {
        self.0.read(address, buffer)
    }
    async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        how: Durability,
    ) -> Result<(), D::Error> {
        self.0.write(address, slices, how)
    }
    async fn erase(&mut self, range: Range<u64>) -> Result<(), D::Error> {
        self.0.erase(range)
    }
    async fn discard(&mut self, range: Range<u64>) -> Result<(), D::Error> {
        self.0.discard(range)
    }
    async fn flush(&mut self) -> Result<(), D::Error> {
        self.0.flush()
    }
    async fn grow(&mut self, capacity: u64) -> Result<(), D::Error> {
        self.0.grow(capacity)
    }
}
