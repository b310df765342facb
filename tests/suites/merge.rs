//! Merging, proved and measured: `core/docs/DESIGN.md` has the proof, `emberkv_tests::churn` the rig. Crashes are the
//! simulator's business (`crash`, `canaries`).

#[path = "merge/adversary.rs"]
mod adversary;
#[path = "merge/overwrites.rs"]
mod overwrites;
