//! EmberKV's test harness: the crash simulator and what the suites share.

pub mod image;
pub mod sim;
