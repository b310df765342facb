//! What differs between a blocking and an asynchronous bus: who waits.

use core::fmt::Debug;

use embedded_hal::delay::DelayNs;
use embedded_hal::spi::{Operation, SpiDevice};

/// A chip's place on a bus, and a clock to wait by.
pub(super) trait Bus {
    type Error: Debug;
    /// All operations under one chip select.
    async fn transaction(
        &mut self,
        operations: &mut [Operation<'_, u8>],
    ) -> Result<(), Self::Error>;
    async fn wait_us(&mut self, us: u32);
}

/// Every future is ready at once.
#[derive(Debug)]
pub(super) struct Blocking<S, T> {
    pub(super) spi: S,
    pub(super) delay: T,
}

impl<S: SpiDevice, T: DelayNs> Bus for Blocking<S, T> {
    type Error = S::Error;

    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), S::Error> {
        self.spi.transaction(operations)
    }
    async fn wait_us(&mut self, us: u32) {
        self.delay.delay_us(us);
    }
}

/// Futures that wait.
#[cfg(feature = "spi-nor-async")]
#[derive(Debug)]
pub(super) struct Waiting<S, T> {
    pub(super) spi: S,
    pub(super) delay: T,
}

#[cfg(feature = "spi-nor-async")]
impl<S, T> Bus for Waiting<S, T>
where
    S: embedded_hal_async::spi::SpiDevice,
    T: embedded_hal_async::delay::DelayNs,
{
    type Error = S::Error;

    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), S::Error> {
        self.spi.transaction(operations).await
    }
    async fn wait_us(&mut self, us: u32) {
        self.delay.delay_us(us).await;
    }
}
