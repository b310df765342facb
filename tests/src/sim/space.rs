//! Oracles of space, for stores that merge: segments add up, admission is neither early nor late, live bytes are what the
//! live records cost; and the coverage marks of merging, from the differences of a store's figures.
//!
//! A record costs its aligned bytes, 8 for the sequence that its copy would carry, and its hint. A record that was copied
//! carries that sequence already, so that its cost is known here only up to `COPY_BYTES`.

use super::engine::{Kv, Space};
use super::failure::Problem;
use super::history::Commit;
use super::marks::{Mark, Tally};
use super::session::{Desk, Weather};
use super::verify::KEY_NAMES;

/// What a copy takes beyond its original.
const COPY_BYTES: u64 = 8;
/// Header of a record; sequence and hint of its copy; the largest alignment.
const RECORD_BYTES: u64 = 12;
const HINT_BYTES: u64 = 26;
const ALIGN_MAX: u64 = 16;
/// Most that the cost of a record exceeds its key and value, a head and a partial chunk included.
const AROUND_MAX: u64 = RECORD_BYTES + ALIGN_MAX + 2 * COPY_BYTES + HINT_BYTES + 32;

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
            op.announces = announces;
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

/// What was let in leaves room for merges. Copies and tombstones may take a little more.
fn keeps_limits(before: &Space, now: &Space) -> Result<(), Problem> {
    let most = now.live_cost_max.max(before.live_cost).saturating_add(16 * now.entries + 64);
    if now.live_cost > most {
        let what = format!("more is alive than is let in: {before:?} became {now:?}");
        return Err(Problem::new("over-admission", what));
    }
    if merges(*now) && now.free == 0 && before.free > 0 {
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
    if kind == Commit::Delete {
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
    let (mut low, mut records) = (0, 0);
    for key in KEY_NAMES {
        let length =
            store.value_len(key).map_err(|error| super::deeds::unexpected("value_len", &error))?;
        let Some(length) = length else { continue };
        low += RECORD_BYTES + key.len() as u64 + length + COPY_BYTES;
        records += 1;
    }
    let high = low
        + records * (AROUND_MAX - RECORD_BYTES)
        + space.entries.saturating_sub(records) * (AROUND_MAX + u64::from(space.record_bytes_max));
    // A chunked value's bytes lie in its chunks, which are entries of their own, and so are dead ones that nobody has had
    // time to forget.
    if space.live_cost < low || space.live_cost > high || space.entries < records {
        let what = format!("live records cost {low}..={high}, the store counts {space:?}");
        return Err(Problem::new("live-cost", what));
    }
    Ok(())
}
