//! Merging, proved and measured: `core/docs/DESIGN.md` has the proof, `emberkv_tests::churn` the rig. Crashes are the
//! simulator's business (`crash`, `canaries`).

#![expect(clippy::print_stdout, reason = "figures are part of a campaign's result")]

#[path = "merge/adversary.rs"]
mod adversary;
#[path = "merge/fresh_keys.rs"]
mod fresh_keys;
#[path = "merge/overwrites.rs"]
mod overwrites;
#[path = "merge/reopened.rs"]
mod reopened;
#[path = "merge/space.rs"]
mod space;
#[path = "merge/write_amplification.rs"]
mod write_amplification;
