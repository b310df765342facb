//! Going through the keydir: ordered iteration that survives changes, and sweeps that drop entries.

use super::shard;
use super::slot::{self, Entry, LOW_BITS, Slot, SlotKey};
use super::table::Keydir;
use crate::types::Fingerprint;

const LOW_MASK: u16 = (1 << LOW_BITS) - 1;

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

    /// A fingerprint at a place: all of it that the keydir tells keys apart by.
    #[must_use]
    pub fn fingerprint_at(&self, place: &IterPosition) -> Fingerprint {
        let bits = self.shards.len().ilog2();
        let high = u32::from(place.shard_index) << (16 - bits);
        Fingerprint { shard: high as u16 | u16::from(place.key.low), position: place.key.position }
    }

    /// The bits of a fingerprint's shard that tell keys apart: the shard's index and the low ones.
    #[must_use]
    pub fn shard_mask(&self) -> u16 {
        !(0xffff >> self.shards.len().ilog2()) | LOW_MASK
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

    /// Drops every entry that `keep` refuses, in order. Takes time for every slot in use.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        for index in 0..self.shards.len() {
            self.retain_in_shard(index, &mut keep);
        }
    }

    fn retain_in_shard(&mut self, index: usize, keep: &mut impl FnMut(&Entry) -> bool) {
        let align_shift = self.align_shift;
        let mut dropped = [0; 4];
        let (slots, home_slots) = self.shard_mut(index);
        shard::settle(slots, 0, home_slots, |found: &Slot| {
            let entry = slot::unpack(found, align_shift);
            let kept = keep(&entry);
            if !kept {
                dropped[entry.kind as usize] += 1;
            }
            kept
        });
        self.forget(index, dropped);
    }
}
