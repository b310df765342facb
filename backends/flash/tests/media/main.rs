//! Every medium of this crate, imitated in RAM: the device contract, a store that is formatted,
//! filled and opened again, and a typed error for each thing that can be wrong.

mod chip;
mod harness;
mod nor_flash;
mod power;
mod sectors;
mod spi_nor;
mod spi_nor_errors;
