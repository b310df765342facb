//! EmberKV's test harness: the crash simulator, the rig that churns a store so that it must merge, and what the
//! suites share.

pub mod churn;
pub mod image;
pub mod sim;
pub mod unallocated;

/// The README's examples are compiled; what leaves no files behind is run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadMe;
