//! The workloads, one module each; every one of them answers tables.

pub mod bare;
pub mod durable;
#[cfg(feature = "ember")]
pub mod engine;
pub mod fill;
pub mod gets;
pub mod open;

mod plan;

pub use plan::{Column, Contender, Plan, Scale, Table};
