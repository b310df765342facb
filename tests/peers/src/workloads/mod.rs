//! The workloads, one module each; every one of them answers tables.

pub mod bare;
pub mod deleted;
pub mod durable;
#[cfg(feature = "ember")]
pub mod engine;
pub mod fill;
pub mod gets;
pub mod open;
pub mod overwrite;
pub mod ycsb;

mod plan;

pub use plan::{
    BY_RATE, Better, Column, Contender, Headline, Plan, Scale, Slice, Standing, Table, Timeline,
    split,
};
