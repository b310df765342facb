//! The device contract, checked on the target: how a new flash part or card is brought up. Destroys
//! what is on the medium.

use core::fmt::Debug;

use emberkv_core::{BlockDevice, conformance};

use crate::host::{self, Verdict};
use crate::say;

/// Checks the device, says what was done, ends.
pub fn run<D: BlockDevice>(mut device: D, scratch: &mut [u8]) -> !
where
    D::Error: Debug,
{
    match conformance::check(&mut device, scratch) {
        Ok(report) => {
            say!("conformance passed: {report:?}");
            host::exit(Verdict::Passed)
        }
        Err(violation) => {
            say!("FAILED {violation:?}");
            host::exit(Verdict::Failed)
        }
    }
}
