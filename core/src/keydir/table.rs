//! The table: shards behind one interface, in memory that the caller gives.
//!
//! A fingerprint's upper bits choose the shard, its position the slot (see `shard`). A shard that
//! is loaded beyond 0.85 gets an eighth more home slots, in place, up to its stride: no insert
//! waits for more than one shard to grow. Counts are kept with every change, so that asking costs
//! nothing.
//!
//! Everything that can fail does so before anything has changed.
//!
//! Measured on a shared 2-core x86-64 VM while another benchmark ran on the other core; filled to
//! capacity, keys of 16 bytes, hashing (14-16 ns) included. Median (range) of 5 runs, at 10 million
//! keys of 3. The ranges are wide because of the neighbour:
//!
//! ```text
//! keys        200,000          1,000,000         10,000,000
//! get          60 (57-74)       133 (101-150)     232 (232-323) ns
//! overwrite    69 (64-86)       162 (139-183)     295 (286-348) ns
//! insert      135 (132-166)     178 (166-218)     372 (365-394) ns, with growth and first touch
//! batched      49 (46-60)        72 (66-81)       121 (117-123) ns, inserts after `reserve`
//! p99.99       21 (20-126)       28 (27-39)        39 (38-40)   us, one insert
//! longest     112 (75-218)      291 (161-2222)   1993 (237-12641) us, with the scheduler's share
//! memory       29                28                29           bytes per key
//! ```
//!
//! Load limits of 0.80, 0.85 and 0.90, and shards of 4, 8 and 16 thousand keys, gave get and insert
//! times within each other's spread (filled to 0.6). What differed: 33, 31, 29 bytes per key by
//! load limit at 1 million keys, and rare slow inserts (p99.99) that grow with the shard.

use core::hint::black_box;

use super::hash::fingerprint;
use super::shape::{Growth, Shape};
use super::shard::{find, home_of, insert_at, remove_at};
use super::slot::{self, EMPTY, Entry, Slot, SlotKey};
use crate::error::Error;
use crate::types::{EntryKind, Fingerprint, Location, LogAddress};

/// Data of one shard: home slots in use, entries. The keydir sets it up; the memory may hold
/// anything before.
pub type ShardMeta = [u32; 2];

pub(super) const HOME_SLOTS: usize = 0;
pub(super) const ENTRIES: usize = 1;

/// Entries of a batch whose memory is asked for together: about what a core keeps in flight.
const BATCH: usize = 16;
/// Slots to the next line of the cache: half of the searches end there, and most shifts.
const NEXT_LINE: usize = 3;

/// There is no room for another entry; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeydirFull {
    /// Entries that the keydir holds at most.
    pub capacity: u32,
}

impl<E> From<KeydirFull> for Error<E> {
    fn from(full: KeydirFull) -> Self {
        Self::KeydirFull { capacity: u64::from(full.capacity) }
    }
}

/// What became of an entry that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key had none: the entry is in.
    Inserted,
    /// The entry is in, and this one is out.
    Replaced(Entry),
    /// The key's entry is newer: the offered one is not in.
    Kept,
}

/// Where the newest record of every key is.
#[derive(Debug)]
pub struct Keydir<'m> {
    pub(super) slots: &'m mut [Slot],
    pub(super) shards: &'m mut [ShardMeta],
    pub(super) shape: Shape,
    pub(super) stride: usize,
    /// Shift that makes a shard index of a fingerprint's 16 shard bits.
    shard_shift: u32,
    pub(super) align_shift: u8,
    growth: Growth,
    pub(super) len: u32,
    kinds: [u32; 4],
    secret: [u8; 16],
}

impl<'m> Keydir<'m> {
    /// An empty keydir. Locations are kept in units of `1 << align_shift` bytes.
    ///
    /// `slots` must be all zero, as fresh memory from a host is; it is not written here, so that
    /// what is never needed is never committed. For other memory call [`clear`](Self::clear) first
    /// thing.
    ///
    /// # Panics
    /// If the slices are shorter than [`slots_for`](super::slots_for) and
    /// [`shards_for`](super::shards_for) say.
    #[must_use]
    pub fn new(
        slots: &'m mut [Slot],
        shards: &'m mut [ShardMeta],
        secret: [u8; 16],
        align_shift: u8,
        keys_max: u32,
        growth: Growth,
    ) -> Self {
        Self::with_shape(slots, shards, secret, align_shift, Shape::for_keys(keys_max), growth)
    }

    pub(super) fn with_shape(
        slots: &'m mut [Slot],
        shards: &'m mut [ShardMeta],
        secret: [u8; 16],
        align_shift: u8,
        shape: Shape,
        growth: Growth,
    ) -> Self {
        assert!(align_shift < 28, "locations are byte positions of 64 bits in 36 bits of units");
        let slots = &mut slots[..shape.slots()];
        let shards = &mut shards[..shape.shard_count as usize];
        let mut keydir = Self {
            slots,
            shards,
            shape,
            stride: shape.stride(),
            shard_shift: u16::BITS - shape.shard_count.ilog2(),
            align_shift,
            growth,
            len: 0,
            kinds: [0; 4],
            secret,
        };
        keydir.reset_counts();
        keydir
    }

    fn reset_counts(&mut self) {
        for (index, meta) in self.shards.iter_mut().enumerate() {
            *meta = [self.shape.home_at_start(index, self.growth), 0];
        }
        self.len = 0;
        self.kinds = [0; 4];
    }

    /// Drops all entries and writes zeros to all slots.
    pub fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.reset_counts();
    }

    /// The fingerprint of a key, under this store's secret.
    #[inline]
    #[must_use]
    pub fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        fingerprint(&self.secret, key)
    }

    /// Entries, of all kinds.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most entries at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.shape.capacity
    }

    /// Entries of one kind.
    #[must_use]
    pub fn len_of(&self, kind: EntryKind) -> u32 {
        self.kinds[kind as usize]
    }

    /// Keys that have a value: entries of kinds `Value` and `ChunkHead`.
    #[must_use]
    pub fn live_keys(&self) -> u32 {
        self.len_of(EntryKind::Value) + self.len_of(EntryKind::ChunkHead)
    }

    /// Whether this many new keys stay within the capacity.
    #[must_use]
    pub fn has_room_for(&self, new_entries: u32) -> bool {
        new_entries <= self.shape.capacity - self.len
    }

    /// Whether an entry can hold this location. Ask before inserting what was read from a medium.
    #[must_use]
    pub fn can_hold(&self, location: &Location) -> bool {
        slot::fits(location, self.align_shift)
    }

    #[inline]
    pub(super) fn shard_index(&self, fingerprint: &Fingerprint) -> usize {
        (u32::from(fingerprint.shard) >> self.shard_shift) as usize
    }

    /// The slots of a shard that are in use, and its home slots.
    #[inline]
    pub(super) fn shard(&self, index: usize) -> (&[Slot], u32) {
        let home_slots = self.shards[index][HOME_SLOTS];
        let start = index * self.stride;
        (&self.slots[start..start + (home_slots + self.shape.slack) as usize], home_slots)
    }

    #[inline]
    pub(super) fn shard_mut(&mut self, index: usize) -> (&mut [Slot], u32) {
        let home_slots = self.shards[index][HOME_SLOTS];
        let start = index * self.stride;
        (&mut self.slots[start..start + (home_slots + self.shape.slack) as usize], home_slots)
    }

    #[inline]
    fn slot_mut(&mut self, fingerprint: &Fingerprint) -> Option<&mut Slot> {
        let (slots, home_slots) = self.shard_mut(self.shard_index(fingerprint));
        let index = find(slots, home_slots, SlotKey::of(fingerprint)).ok()?;
        Some(&mut slots[index])
    }

    /// The entry of a fingerprint.
    #[inline]
    #[must_use]
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<Entry> {
        let (slots, home_slots) = self.shard(self.shard_index(fingerprint));
        let index = find(slots, home_slots, SlotKey::of(fingerprint)).ok()?;
        Some(slot::unpack(&slots[index], self.align_shift))
    }

    /// Sets the entry of a fingerprint and answers the one it replaces.
    ///
    /// # Errors
    /// [`KeydirFull`] for a new key at capacity; nothing has changed. Never for a key that has an
    /// entry.
    ///
    /// # Panics
    /// If the sequence is 0, or the location does not fit an entry ([`can_hold`](Self::can_hold)).
    #[inline]
    pub fn insert(
        &mut self,
        fingerprint: &Fingerprint,
        entry: Entry,
    ) -> Result<Option<Entry>, KeydirFull> {
        match self.upsert(fingerprint, &entry, |_| true)? {
            Outcome::Replaced(old) => Ok(Some(old)),
            Outcome::Inserted | Outcome::Kept => Ok(None),
        }
    }

    /// Sets the entry unless the key has one with a greater or equal sequence: what is loaded first stays.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    #[inline]
    pub fn upsert_newer(
        &mut self,
        fingerprint: &Fingerprint,
        entry: Entry,
    ) -> Result<Outcome, KeydirFull> {
        self.upsert(fingerprint, &entry, |old| entry.seq.0 > old[1])
    }

    #[inline]
    fn upsert(
        &mut self,
        fingerprint: &Fingerprint,
        entry: &Entry,
        replaces: impl FnOnce(&Slot) -> bool,
    ) -> Result<Outcome, KeydirFull> {
        let shard_index = self.shard_index(fingerprint);
        let key = SlotKey::of(fingerprint);
        let new = slot::pack(key, entry, self.align_shift);
        let align_shift = self.align_shift;
        let (slots, home_slots) = self.shard_mut(shard_index);
        let index = match find(slots, home_slots, key) {
            Ok(index) => {
                let old = &mut slots[index];
                if !replaces(old) {
                    return Ok(Outcome::Kept);
                }
                let replaced = slot::unpack(old, align_shift);
                *old = new;
                self.kinds[replaced.kind as usize] -= 1;
                self.kinds[entry.kind as usize] += 1;
                return Ok(Outcome::Replaced(replaced));
            }
            Err(index) => index,
        };
        self.insert_new(shard_index, index, new)?;
        self.len += 1;
        self.kinds[entry.kind as usize] += 1;
        Ok(Outcome::Inserted)
    }

    /// Puts a new slot into a shard, at the index where it belongs now. The shard grows first if it
    /// is due.
    #[inline]
    fn insert_new(
        &mut self,
        shard_index: usize,
        index: usize,
        new: Slot,
    ) -> Result<(), KeydirFull> {
        if self.len >= self.shape.capacity {
            return Err(self.full());
        }
        if !self.growth_is_due(shard_index) {
            let (slots, _) = self.shard_mut(shard_index);
            if insert_at(slots, index, new) {
                self.shards[shard_index][ENTRIES] += 1;
                return Ok(());
            }
        }
        self.insert_growing(shard_index, new)
    }

    #[cold]
    pub(super) fn full(&self) -> KeydirFull {
        KeydirFull { capacity: self.shape.capacity }
    }

    /// Points an entry elsewhere if it still points to `expected`; its sequence and kind stay.
    /// `false`, and nothing has changed, if the key was overwritten or removed meanwhile.
    ///
    /// # Panics
    /// If the location does not fit an entry.
    pub fn replace_location(
        &mut self,
        fingerprint: &Fingerprint,
        expected: LogAddress,
        new: Location,
    ) -> bool {
        let align_shift = self.align_shift;
        let key = SlotKey::of(fingerprint);
        let Some(found) = self.slot_mut(fingerprint) else {
            return false;
        };
        let old = slot::unpack(found, align_shift);
        if old.location.address != expected {
            return false;
        }
        *found = slot::pack(key, &Entry { location: new, ..old }, align_shift);
        true
    }

    /// Takes the entry of a fingerprint out.
    pub fn remove(&mut self, fingerprint: &Fingerprint) -> Option<Entry> {
        let shard_index = self.shard_index(fingerprint);
        let align_shift = self.align_shift;
        let (slots, home_slots) = self.shard_mut(shard_index);
        let index = find(slots, home_slots, SlotKey::of(fingerprint)).ok()?;
        let removed = slot::unpack(&slots[index], align_shift);
        remove_at(slots, home_slots, index);
        let mut kinds = [0; 4];
        kinds[removed.kind as usize] = 1;
        self.forget(shard_index, kinds);
        Some(removed)
    }

    /// Counts entries out that have left their shard, by kind.
    pub(super) fn forget(&mut self, shard_index: usize, kinds: [u32; 4]) {
        let total = kinds.iter().sum::<u32>();
        self.shards[shard_index][ENTRIES] -= total;
        self.len -= total;
        for (count, gone) in self.kinds.iter_mut().zip(kinds) {
            *count -= gone;
        }
    }

    /// Loads the slots where these fingerprints begin to search, all at once: their cache misses
    /// overlap, and the operations that follow find them in the cache. Worth it for more than a
    /// few; best about 16 at a time.
    #[inline]
    pub fn touch<'f>(&self, fingerprints: impl Iterator<Item = &'f Fingerprint>) {
        let mut folded = 0;
        for fingerprint in fingerprints {
            let (slots, home_slots) = self.shard(self.shard_index(fingerprint));
            let home = home_of(fingerprint.position, home_slots);
            folded ^= slots[home][0] ^ slots[(home + NEXT_LINE).min(slots.len() - 1)][0];
        }
        // The sum means nothing; that it is used keeps the loads.
        black_box(folded);
    }

    /// [`upsert_newer`](Self::upsert_newer) for many, in their order, faster than one by one.
    /// `done` gets each index and outcome.
    ///
    /// # Errors
    /// [`KeydirFull`] at the first that finds no room; those before it are in and were told to
    /// `done`.
    pub fn upsert_newer_batch(
        &mut self,
        batch: &[(Fingerprint, Entry)],
        mut done: impl FnMut(usize, Outcome),
    ) -> Result<(), KeydirFull> {
        for (chunk_index, chunk) in batch.chunks(BATCH).enumerate() {
            self.touch(chunk.iter().map(|(fingerprint, _)| fingerprint));
            for (index, (fingerprint, entry)) in chunk.iter().enumerate() {
                let outcome = self.upsert_newer(fingerprint, *entry)?;
                done(chunk_index * BATCH + index, outcome);
            }
        }
        Ok(())
    }

    /// Panics unless the invariants of all shards and the counts hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut kinds = [0; 4];
        for index in 0..self.shards.len() {
            let (slots, home_slots) = self.shard(index);
            assert_eq!(super::shard::check(slots, home_slots), self.shards[index][ENTRIES]);
            let used = slots.iter().filter(|slot| !slot::is_empty(slot));
            used.for_each(|slot| kinds[slot::kind(slot) as usize] += 1);
            let stride = &self.slots[index * self.stride..][..self.stride];
            assert!(
                stride[slots.len()..].iter().all(|slot| *slot == EMPTY),
                "the rest is untouched"
            );
        }
        assert_eq!(kinds, self.kinds);
        assert_eq!(kinds.iter().sum::<u32>(), self.len);
        assert!(self.len <= self.shape.capacity);
    }
}
