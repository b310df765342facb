//! Oracles of space, for stores that merge: segments add up, admission is neither early nor late, live bytes are what the
//! live records cost; and the coverage marks of merging, from the differences of a store's figures.
//!
//! A record costs its bytes (devices this small align none), 8 for the sequence that its copy carries or would carry, and 26
//! for hints where they are kept. So what plain values cost is known to the byte; what other entries are, tombstones or
//! pieces of streams, a store does not tell.

use super::engine::{Kv, Space};
use super::failure::Problem;
use super::history::Commit;
use super::marks::{Mark, Tally};
use super::session::{Desk, Weather};
use super::verify::KEY_NAMES;

/// What a copy takes beyond its original.
const COPY_BYTES: u64 = 8;
/// Header of a record, and the hint of it and of its copy.
const RECORD_BYTES: u64 = 12;
const HINT_BYTES: u64 = 26;
/// Most bytes of a key.
const KEY_BYTES_MAX: u64 = 31;
/// The value of a chunked value's head: a stream of no bytes is a head alone.
const HEAD_BYTES: u64 = 32;
/// Most that the cost of a record exceeds its key and value, a head and a partial chunk included.
const AROUND_MAX: u64 = RECORD_BYTES + COPY_BYTES + HINT_BYTES + 48;

/// Whether a store merges.
#[must_use]
pub fn merges(space: Space) -> bool {
    space.live_cost_max != u64::MAX
}

/// The figures of a store before an operation.
pub(super) struct Watch {
    before: Option<Space>,
    from: usize,
}

impl Watch {
    pub(super) fn begin<K: Kv>(store: &mut K) -> Self {
        Self { before: store.space(), from: store.device().log.ops.len() }
    }

    /// Compares, and counts what happened between.
    pub(super) fn end<K: Kv>(self, store: &mut K, desk: &mut Desk<'_>) -> Result<(), Problem> {
        let (Some(before), Some(now)) = (self.before, store.space()) else { return Ok(()) };
        mark(desk.tally, &before, &now);
        let (from, announces) = (self.from, now.announced > before.announced);
        for op in &mut store.device().log.ops[from..] {
            (op.announces, op.keeps) = (announces, now.versions > 0);
            desk.tally.mark_if(op.reuses, Mark::Reused);
        }
        if desk.weather == Weather::Fair {
            adds_up(&now)?;
            keeps_limits(&before, &now)?;
        }
        Ok(())
    }
}

fn mark(tally: &mut Tally, before: &Space, now: &Space) {
    tally.mark_if(now.announced > before.announced, Mark::Announced);
    tally.mark_if(now.freed > before.freed, Mark::Freed);
    tally.mark_if(now.tombstones_retired > before.tombstones_retired, Mark::TombstoneRetired);
    tally.mark_if(now.tombstones_copied > before.tombstones_copied, Mark::TombstoneCopied);
    tally.mark_if(now.swept > before.swept, Mark::Swept);
    tally.mark_if(now.damaged > before.damaged, Mark::DamagedKept);
    tally.mark_if(now.versions > 0 && now.announced > before.announced, Mark::OldMoved);
}

/// Free segments and those in use are all segments.
pub(super) fn adds_up(space: &Space) -> Result<(), Problem> {
    if space.free + space.used != space.segments {
        let what = format!(
            "{} free + {} in use are not {} segments",
            space.free, space.used, space.segments
        );
        return Err(Problem::new("segments-lost", what));
    }
    if space.damaged > 0 {
        return Err(Problem::new(
            "segments-lost",
            "a segment of a sound medium is kept as damaged",
        ));
    }
    Ok(())
}

/// What was let in leaves room for merges, to the byte.
fn keeps_limits(before: &Space, now: &Space) -> Result<(), Problem> {
    if now.live_cost > now.live_cost_max.max(before.live_cost) {
        let what = format!("more is alive than is let in: {before:?} became {now:?}");
        return Err(Problem::new("over-admission", what));
    }
    if now.free == 0 && before.free > 0 {
        let what = format!("the last free segment is taken: {before:?} became {now:?}");
        return Err(Problem::new("reserve-taken", what));
    }
    Ok(())
}

/// A commit of `bytes` bytes of keys and values was refused as `Full`: there must be no room for it.
pub(super) fn justify_full(
    kind: Commit,
    bytes: usize,
    before: Option<Space>,
) -> Result<(), Problem> {
    let Some(space) = before.filter(|&space| merges(space)) else { return Ok(()) };
    if kind == Commit::Delete && space.snapshots == 0 {
        return Err(Problem::new("delete-full", format!("a delete answered Full: {space:?}")));
    }
    let bytes = bytes as u64;
    // Pieces of a stream may be as short as a quarter of a record.
    let pieces = 5 + bytes * 4 / u64::from(space.record_bytes_max);
    let most = bytes + pieces * (AROUND_MAX + 32);
    // Half of the room may go for dead chunks that nobody has had time to forget.
    if space.live_cost + most <= space.live_cost_max / 2 {
        let what = format!("{bytes} bytes were refused, though there is room: {space:?}");
        return Err(Problem::new("early-full", what));
    }
    Ok(())
}

/// Nothing is left to merge: what the live records cost is what iteration finds, and room that they do not take can be had.
pub(super) fn settled<K: Kv>(store: &mut K) -> Result<(), Problem> {
    let Some(space) = store.space().filter(|&space| merges(space)) else { return Ok(()) };
    adds_up(&space)?;
    let extra = u64::from(space.extra);
    let (mut low, mut plain, mut chunked, mut empty) = (0, 0, 0, 0);
    for key in KEY_NAMES {
        let length =
            store.value_len(key).map_err(|error| super::deeds::unexpected("value_len", &error))?;
        let Some(length) = length else { continue };
        let bytes = RECORD_BYTES + key.len() as u64 + length;
        // The copy of a value in one record must fit as well.
        let whole = bytes + COPY_BYTES <= u64::from(space.record_bytes_max);
        (plain, chunked) = (plain + u64::from(whole), chunked + u64::from(!whole));
        low += bytes + extra;
        empty += u64::from(length == 0);
    }
    let others = space.entries.saturating_sub(plain);
    let of_any = AROUND_MAX + u64::from(space.record_bytes_max);
    let least = if chunked == 0 { others * (RECORD_BYTES + 1 + extra) } else { 0 };
    let most = others * of_any + empty * HEAD_BYTES;
    let versions = u64::from(space.versions) * of_any;
    let (low, high) = (low + least, low + most + versions + space.entries * u64::from(space.short));
    let fits = (low..=high).contains(&space.live_cost) && space.entries >= plain + chunked;
    if !fits || ![0, COPY_BYTES, COPY_BYTES + HINT_BYTES].contains(&extra) {
        let what = format!("live records cost {low}..={high}, the store counts {space:?}");
        return Err(Problem::new("live-cost", what));
    }
    Ok(())
}

/// Versions were refused: there must be no room for those that `changes` changes would keep.
pub(super) fn justify_versions_full(changes: usize, after: Option<Space>) -> Result<(), Problem> {
    match after {
        Some(space) if space.versions + changes as u32 <= space.versions_max => {
            let what = format!("{changes} changes were refused, though there is room: {space:?}");
            Err(Problem::new("early-versions-full", what))
        }
        _ => Ok(()),
    }
}

/// The store was closed and opened again, with nothing written between: its live records cost what they did. Tombstones may
/// be there again that a merge had retired, or be retired by what opening finishes.
pub(super) fn costs_the_same(closed: &Space, opened: &Space) -> Result<(), Problem> {
    let more = opened.entries.abs_diff(closed.entries);
    let of_tombstone = |key: u64| more * (RECORD_BYTES + key + u64::from(opened.extra));
    // What opening copied costs no more as what a short record would.
    let short = u64::from(opened.short);
    let copied = opened.entries.max(closed.entries) * short;
    let least = of_tombstone(1).saturating_sub(copied);
    let most = of_tombstone(KEY_BYTES_MAX) + more * short + copied;
    if (least..=most).contains(&opened.live_cost.abs_diff(closed.live_cost)) {
        return Ok(());
    }
    let what =
        format!("live records cost something else after a reopening: {closed:?}, {opened:?}");
    Err(Problem::new("live-cost", what))
}
