//! Room for new entries: when a shard grows, and how far.
//!
//! Growth changes where entries lie, never which there are. Memory ahead of a shard's slots in use
//! is not touched before the shard grows into it.

use super::shard::{self, Added, find, insert_at};
use super::slot::{self, Slot, SlotKey};
use super::table::{ENTRIES, HOME_SLOTS, Keydir, KeydirFull};
use crate::types::Fingerprint;

impl Keydir<'_> {
    /// Does now what inserting this fingerprint needs: as long as nothing else is inserted, that
    /// insert cannot fail.
    ///
    /// # Errors
    /// [`KeydirFull`] as the insert would; no entry has changed.
    pub fn ensure_room(&mut self, fingerprint: &Fingerprint) -> Result<(), KeydirFull> {
        let shard_index = self.shard_index(fingerprint);
        let key = SlotKey::of(fingerprint);
        let (slots, home_slots) = self.shard(shard_index);
        if find(slots, home_slots, key).is_ok() {
            return Ok(());
        }
        if self.len >= self.shape.capacity {
            return Err(self.full());
        }
        self.grow_until_open(shard_index, key)
    }

    /// Grows all shards for this many entries in all, as far as their strides go: many inserts then
    /// meet no growth.
    pub fn reserve(&mut self, entries: usize) {
        let entries = entries.min(self.shape.capacity as usize) as u32;
        let mean = entries.div_ceil(self.shape.shard_count);
        // Three deviations above the mean, at a load of 0.85: one shard in 700 may still take a
        // step.
        let crowd = u64::from(mean) + 3 * u64::from(mean.isqrt());
        let wanted = (crowd * 20 / 17 + 1).min(u64::from(self.shape.home_max)) as u32;
        for index in 0..self.shards.len() {
            if self.shards[index][HOME_SLOTS] < wanted {
                self.grow_to(index, wanted);
            }
        }
    }

    #[cold]
    pub(super) fn insert_growing(
        &mut self,
        shard_index: usize,
        new: Slot,
    ) -> Result<(), KeydirFull> {
        let key = slot::key(&new);
        self.grow_until_open(shard_index, key)?;
        let (slots, home_slots) = self.shard_mut(shard_index);
        let (Ok(index) | Err(index)) = find(slots, home_slots, key);
        let done = insert_at(slots, index, new);
        assert!(done, "the shard was grown until there was a slot");
        self.shards[shard_index][ENTRIES] += 1;
        Ok(())
    }

    /// Grows a shard if it is due, and further until a new key has an empty slot to use. Each round
    /// adds home slots, so the loop ends at the stride.
    fn grow_until_open(&mut self, shard_index: usize, key: SlotKey) -> Result<(), KeydirFull> {
        loop {
            let due = self.growth_is_due(shard_index);
            let (slots, home_slots) = self.shard(shard_index);
            if !due && shard::is_open(slots, home_slots, key) {
                return Ok(());
            }
            let Some(grown) = self.shape.home_after_step(home_slots) else {
                return Err(self.full());
            };
            self.grow_to(shard_index, grown);
        }
    }

    /// Whether one more entry would load a shard that can still grow beyond 0.85.
    #[inline]
    pub(super) fn growth_is_due(&self, shard_index: usize) -> bool {
        let [home_slots, entries] = self.shards[shard_index];
        u64::from(entries) * 20 >= u64::from(home_slots) * 17 && home_slots < self.shape.home_max
    }

    fn grow_to(&mut self, shard_index: usize, grown: u32) {
        let home_slots = self.shards[shard_index][HOME_SLOTS];
        assert!(
            home_slots < grown && grown <= self.shape.home_max,
            "a shard grows within its stride"
        );
        self.shards[shard_index][HOME_SLOTS] = grown;
        let (slots, _) = self.shard_mut(shard_index);
        shard::grow(slots, home_slots, Added(grown - home_slots));
    }
}
