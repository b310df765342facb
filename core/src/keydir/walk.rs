//! Going through the keydir: ordered iteration that survives changes, and sweeps that drop entries.

use super::shard;
use super::slot::{self, Entry, Slot, SlotKey};
use super::table::Keydir;
use crate::types::{EntryKind, Fingerprint};

/// A place in the keydir's order, which is by shard index, position, low shard bits. It names no
/// slot, so inserts, removals and growth do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IterPosition {
    shard_index: u16,
    key: SlotKey,
}

impl Keydir<'_> {
    /// The place of a fingerprint, whether it has an entry or not.
    #[must_use]
    pub fn position_of(&self, fingerprint: &Fingerprint) -> IterPosition {
        // At most 2048 shards: the index fits.
        let shard_index = self.shard_index(fingerprint) as u16;
        IterPosition { shard_index, key: SlotKey::of(fingerprint) }
    }

    /// The first entry strictly behind a place, or the first of all for `None`; and its place, to
    /// go on from.
    ///
    /// An entry that is there during the whole walk is seen exactly once; one that comes or goes
    /// meanwhile, at most once.
    #[must_use]
    pub fn next_after(&self, after: Option<IterPosition>) -> Option<(IterPosition, Entry)> {
        let first = after.map_or(0, |after| usize::from(after.shard_index));
        for index in first..self.shards.len() {
            let after = after.filter(|_| index == first).map(|after| after.key);
            let (slots, home_slots) = self.shard(index);
            if let Some(slot) = shard::next_after(slots, home_slots, after) {
                let position = IterPosition { shard_index: index as u16, key: slot::key(slot) };
                return Some((position, slot::unpack(slot, self.align_shift)));
            }
        }
        None
    }

    /// Drops every entry that `keep` refuses, in order, and clears all marks. Takes time for every
    /// slot in use.
    ///
    /// `keep` gets the entry and whether it is marked.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry, Marked) -> bool) {
        for index in 0..self.shards.len() {
            self.retain_in_shard(index, &mut keep);
        }
    }

    fn retain_in_shard(&mut self, index: usize, keep: &mut impl FnMut(&Entry, Marked) -> bool) {
        let align_shift = self.align_shift;
        let mut dropped = [0; 4];
        let (slots, home_slots) = self.shard_mut(index);
        shard::settle(slots, 0, home_slots, |found: &mut Slot| {
            let marked = if slot::is_marked(found) { Marked::Yes } else { Marked::No };
            slot::clear_mark(found);
            let entry = slot::unpack(found, align_shift);
            let kept = keep(&entry, marked);
            if !kept {
                dropped[entry.kind as usize] += 1;
            }
            kept
        });
        self.forget(index, dropped);
    }

    /// Drops every entry of kind `Chunk` that is not marked, tells each to `dropped`, and clears
    /// all marks.
    pub fn drop_unmarked_chunks(&mut self, mut dropped: impl FnMut(&Entry)) {
        self.retain(|entry, marked| {
            let keep = entry.kind != EntryKind::Chunk || marked == Marked::Yes;
            if !keep {
                dropped(entry);
            }
            keep
        });
    }

    /// Clears all marks.
    pub fn clear_marks(&mut self) {
        for index in 0..self.shards.len() {
            let (slots, _) = self.shard_mut(index);
            slots.iter_mut().filter(|slot| slot::is_marked(slot)).for_each(slot::clear_mark);
        }
    }
}

/// Whether an entry was marked since the marks were last cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// It was.
    Yes,
    /// It was not, or it was set anew since.
    No,
}
