//! Device errors: every read, write and flush of twenty workloads fails, once and for ever. Typed errors, no panic, no
//! write after a failed flush; once healed the store opens with everything that was acknowledged.

#![expect(clippy::print_stdout, reason = "counts are part of a campaign's result")]

use emberkv_tests::sim::Ember;
use emberkv_tests::sim::inject::{bad_blocks, campaign, workloads};

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

/// Flash with one worn-out block, which stays bad: nothing acknowledged is lost, and the store goes on beside it.
#[test]
fn a_bad_block_of_flash_loses_nothing_and_the_store_goes_on_beside_it() {
    let (mut runs, mut struck, mut stopped, mut reopens) = (0, 0, 0, 0);
    for profile in 4..8_u8 {
        for workload in workloads() {
            let mut tape = workload;
            tape[0] = profile;
            // Enough writes for every segment to be opened, and some to be merged.
            tape.extend_from_slice(&[0xdf, 2, 60, 255, 0xdf, 1, 60, 220, 0xd8, 0x70]);
            match bad_blocks::<Ember>(&tape, None) {
                Ok(counts) => {
                    (runs, struck) = (runs + counts.runs, struck + counts.struck);
                    (stopped, reopens) = (stopped + counts.stopped, reopens + counts.reopens);
                }
                Err(problem) => panic!("[{}] {}", problem.class, problem.what),
            }
        }
    }
    println!("{runs} runs, the block was met in {struck}; {stopped} of {reopens} reopens stopped");
    assert!(struck * 2 > runs && reopens > runs, "{struck} of {runs}");
    assert_eq!(stopped, 0, "one bad block must not keep a store from opening");
}
