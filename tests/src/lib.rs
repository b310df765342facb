//! EmberKV's test harness: the crash simulator and what the suites share.

pub mod image;
pub mod sim;

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadMe;
