//! EmberKV on flash: adapters for the storage traits of the embedded ecosystem, and a driver for
//! SPI NOR chips. `no_std`, no allocation, no `unsafe`.
//!
//! | feature | type | medium |
//! |---|---|---|
//! | `embedded-storage` | `NorFlashDevice` | any `NorFlash` of `embedded-storage`: internal flash, QSPI |
//! | `embedded-storage-async` | `AsyncNorFlashDevice` | its asynchronous twin |
//! | `spi-nor` | `SpiNor` | a SPI NOR chip behind an `embedded_hal::spi::SpiDevice` |
//! | `spi-nor-async` | `AsyncSpiNor` | the same behind `embedded_hal_async` |
//! | `embedded-sdmmc` | `SdmmcDevice` | a block device of `embedded-sdmmc`: SD cards on SPI |
//! | `block-device-driver` | `BlockDriverDevice` | an asynchronous driver of SD or eMMC |
//! | `embedded-io` | `StreamDevice` | anything that reads, writes and seeks |
//!
//! Features only add. Every type takes a *partition*, a part of its medium, and refuses what lies
//! outside it; two stores, or a store and a boot loader, share one chip so. Addresses in errors
//! count from the start of the medium where the medium failed, and from the start of the partition
//! where the caller was refused.
//!
//! What a power cut may destroy is what the medium's own trait promises, no more: see each type's
//! text for its `tear_unit` and for what its `flush` is worth.
//!
//! Whether a medium keeps the contract is checked by [`emberkv_core::conformance`], on the target
//! too; every type here is.
#![no_std]

#[cfg(any(
    feature = "block-device-driver",
    feature = "embedded-io",
    feature = "embedded-sdmmc",
    feature = "embedded-storage",
    feature = "spi-nor"
))]
mod area;
mod error;
mod verify;

#[cfg(feature = "block-device-driver")]
pub mod block_driver;
#[cfg(feature = "embedded-storage")]
pub mod nor_flash;
#[cfg(any(feature = "embedded-storage", feature = "spi-nor"))]
mod ready;
#[cfg(feature = "embedded-sdmmc")]
pub mod sdmmc;
#[cfg(feature = "spi-nor")]
pub mod spi_nor;
#[cfg(feature = "embedded-io")]
pub mod stream;

#[cfg(feature = "block-device-driver")]
pub use block_driver::BlockDriverDevice;
pub use error::{FlashError, Refusal};
#[cfg(feature = "embedded-storage-async")]
pub use nor_flash::AsyncNorFlashDevice;
#[cfg(feature = "embedded-storage")]
pub use nor_flash::{NorFlashDevice, NorOptions};
#[cfg(feature = "embedded-sdmmc")]
pub use sdmmc::SdmmcDevice;
#[cfg(feature = "spi-nor-async")]
pub use spi_nor::AsyncSpiNor;
#[cfg(feature = "spi-nor")]
pub use spi_nor::SpiNor;
#[cfg(feature = "embedded-io")]
pub use stream::StreamDevice;
pub use verify::Verify;
