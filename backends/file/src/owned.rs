//! A device that threads share implements [`BlockDevice`](emberkv_core::BlockDevice) for its shared reference; owning it
//! is no different.

/// Implements `BlockDevice` for a type whose shared reference is one, with errors of [`FileError`](crate::FileError).
#[doc(hidden)]
#[macro_export]
macro_rules! owned_device {
    ($device:ty) => {
        impl ::emberkv_core::BlockDevice for $device {
            type Error = $crate::FileError;

            fn geometry(&self) -> ::emberkv_core::Geometry {
                ::emberkv_core::BlockDevice::geometry(&self)
            }

            fn caps(&self) -> ::emberkv_core::Caps {
                ::emberkv_core::BlockDevice::caps(&self)
            }

            fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::read(&mut &*self, address, buffer)
            }

            fn read_many(
                &mut self,
                reads: &mut [::emberkv_core::ReadInto<'_>],
                done: &mut dyn FnMut(usize, &[u8]),
            ) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::read_many(&mut &*self, reads, done)
            }

            fn reads_in_flight_max(&self) -> u32 {
                ::emberkv_core::BlockDevice::reads_in_flight_max(&self)
            }

            fn write(
                &mut self,
                address: u64,
                slices: &[&[u8]],
                durability: ::emberkv_core::Durability,
            ) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::write(&mut &*self, address, slices, durability)
            }

            fn erase(&mut self, range: ::core::ops::Range<u64>) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::erase(&mut &*self, range)
            }

            fn discard(&mut self, range: ::core::ops::Range<u64>) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::discard(&mut &*self, range)
            }

            fn flush(&mut self) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::flush(&mut &*self)
            }

            fn grow(&mut self, capacity: u64) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::grow(&mut &*self, capacity)
            }

            fn can_shrink(&self) -> bool {
                ::emberkv_core::BlockDevice::can_shrink(&self)
            }

            fn shrink(&mut self, capacity: u64) -> Result<(), $crate::FileError> {
                ::emberkv_core::BlockDevice::shrink(&mut &*self, capacity)
            }
        }
    };
}
