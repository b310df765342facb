//! Merging: every appended byte pays for a scaled amount of work on one victim, so that each merge ends just in time:
//! no stall, no pause, and the free segments never run out (`core/docs/DESIGN.md` has the proof).
//!
//! Reading order: `ledger` (what is owed), `victim` (which segment, and how full the store may be), `walk` (one segment's
//! records, judged and copied), `cycle` (a victim and a share of the oldest segment), `pay` (who works, and when), `shrink` (space given back).
//!
//! Copies go into the one head, as records that carry their own sequence. So the log itself orders everything: a record
//! that announces a segment as free stands behind all copies of what was alive in it, and recovery accepts a prefix. Once
//! the announcement is durable the segment is free; until then nothing of it is touched.

mod cycle;
mod ledger;
mod pay;
mod shrink;
mod victim;
mod walk;

pub(crate) use cycle::Merger;
pub use pay::MergeNeed;
pub(crate) use victim::Limits;
