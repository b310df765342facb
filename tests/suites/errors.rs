//! Device errors: every read, write and flush of twenty workloads fails, once and for ever. Typed errors, no panic, no
//! write after a failed flush; once healed the store opens with everything that was acknowledged.

#![expect(clippy::print_stdout, reason = "counts are part of a campaign's result")]

use emberkv_tests::sim::Ember;
use emberkv_tests::sim::inject::{campaign, workloads};

#[test]
fn every_device_error_is_typed_and_loses_nothing_acknowledged() {
    let stride = if cfg!(debug_assertions) { 7 } else { 1 };
    let (mut runs, mut struck) = (0, 0);
    for tape in workloads() {
        match campaign::<Ember>(&tape, None, stride) {
            Ok(counts) => (runs, struck) = (runs + counts.runs, struck + counts.struck),
            Err(problem) => panic!("[{}] {}", problem.class, problem.what),
        }
    }
    println!("{runs} runs, the error struck in {struck}");
    assert!(struck * 10 > runs * 9, "{struck} of {runs}: the workloads are not deterministic");
}
