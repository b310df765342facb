//! The version table: superseded records that a snapshot still needs.
//!
//! The keydir knows the newest record of a key. Before it is replaced, [`Versions::insert`] takes
//! the old one in, if a snapshot sees it: a version of sequence a, superseded at b, is kept if and
//! only if a snapshot s has a <= s < b. A reader at s takes the keydir's entry if its sequence is
//! at most s, and what [`Versions::find`] has otherwise; neither: the key is absent. So a tombstone
//! needs no entry.
//!
//! ```text
//! buckets (by position)  -> entries, chained   found by fingerprint
//! hooks (by snapshot)    -> entries, circles   found by who needs them (see `hooks`)
//! ```
//! A release is O(1): it moves the list of its slot to the slot before. [`Versions::step`] goes
//! through moved entries, as many as its budget says, and frees those that nobody needs; until then
//! they hold their place and count as live. A version is looked at once for each release of the
//! slot it hangs on, so at most once for each snapshot that it was kept for.
//!
//! Chains: as many buckets as entries, and positions are keyed hashes, so a chain holds one key and
//! a fraction, as a rule; of one key at most as many versions as snapshots, and those that wait.
//!
//! Memory: 48 bytes for an entry, 4 for a bucket, 20 for a hook. Entries are not touched before
//! they are needed.

use super::entry::{Entries, EntryNumber, Version, VersionSlot};
use super::hooks::{Hook, Hooks};
use super::set::{Departed, SlotIndex, SnapshotGone, SnapshotId, SnapshotSet};
use crate::keydir::Entry;
use crate::types::{EntryKind, Fingerprint, Location, LogAddress, Seq};

/// Buckets for so many entries: the length of their slice.
#[must_use]
pub const fn buckets_for(versions_max: u32) -> usize {
    if versions_max == 0 { 1 } else { versions_max as usize }
}

/// There is no room for another version; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionsFull {
    /// Entries of the table.
    pub capacity: u32,
    /// Entries that [`Versions::step`] may free, without any more snapshot going.
    pub waiting: u32,
}

/// What became of a superseded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// A snapshot sees it: the table has it, its bytes are live.
    Kept,
    /// No snapshot sees it, or it is a tombstone: its bytes are dead.
    Dead,
}

/// A place in the table's iteration; `VersionCursor::default()` is its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct VersionCursor {
    passed: u32,
}

/// The old versions that snapshots need.
#[derive(Debug)]
pub struct Versions<'m> {
    entries: Entries<'m>,
    buckets: &'m mut [u32],
    hooks: Hooks<'m>,
    /// Bits of a fingerprint's shard that tell keys apart.
    shard_mask: u16,
    free: Option<EntryNumber>,
    /// Entries that were ever in use; those behind them are free and in no list.
    begun: u32,
    len: u32,
}

impl<'m> Versions<'m> {
    /// An empty table. `buckets` must be all zero; `entries` may hold anything; `hooks` are
    /// cleared.
    ///
    /// `shard_mask` has the bits of [`Fingerprint::shard`] that the keydir tells keys apart by.
    /// What is one key to the keydir is then one key here, and a fingerprint that is put together
    /// from what the keydir stores finds what the key's own one put in.
    ///
    /// # Panics
    /// If there are no buckets or no hooks, or 2^32 entries or more.
    #[must_use]
    pub fn new(
        entries: &'m mut [VersionSlot],
        buckets: &'m mut [u32],
        hooks: &'m mut [Hook],
        shard_mask: u16,
    ) -> Self {
        assert!(entries.len() <= u32::MAX as usize, "entries are counted in 32 bits");
        assert!(!buckets.is_empty() && buckets.len() <= u32::MAX as usize, "a chain for each key");
        Self {
            entries: Entries(entries),
            buckets,
            hooks: Hooks::new(hooks),
            shard_mask,
            free: None,
            begun: 0,
            len: 0,
        }
    }

    /// Versions in the table, waiting ones among them.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries of the table.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.entries.0.len() as u32
    }

    /// Versions that can be inserted now.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.capacity() - self.len
    }

    /// Versions that [`step`](Self::step) still has to look at.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.hooks.waiting()
    }

    fn bucket(&self, fingerprint: &Fingerprint) -> usize {
        let share = (fingerprint.position >> 32) * self.buckets.len() as u64;
        (share >> 32) as usize
    }

    fn is_same_key(&self, one: &Fingerprint, other: &Fingerprint) -> bool {
        one.position == other.position && (one.shard ^ other.shard) & self.shard_mask == 0
    }

    /// The entries of a fingerprint, the latest inserted first.
    fn of_key(
        &self,
        fingerprint: &Fingerprint,
    ) -> impl Iterator<Item = (EntryNumber, Version)> + '_ {
        let wanted = *fingerprint;
        let mut at = EntryNumber::new(self.buckets[self.bucket(fingerprint)]);
        core::iter::from_fn(move || {
            while let Some(number) = at {
                at = self.entries.chain(number);
                let version = self.entries.load(number).expect("chained entries are in use");
                if self.is_same_key(&wanted, &version.fingerprint) {
                    return Some((number, version));
                }
            }
            None
        })
    }

    /// Takes in what is about to be superseded, if a snapshot sees it. Call it before the keydir's
    /// entry is replaced, once for each record.
    ///
    /// # Errors
    /// [`VersionsFull`]; never for what no snapshot sees, and never while there is
    /// [`room`](Self::room).
    ///
    /// # Panics
    /// If the sequence is 0, which is never given out.
    pub fn insert(
        &mut self,
        set: &SnapshotSet<'_>,
        fingerprint: &Fingerprint,
        old: &Entry,
        superseded_by: Seq,
    ) -> Result<Superseded, VersionsFull> {
        assert!(old.seq.0 != 0, "sequence 0 means a free entry");
        let Some(slot) = Self::reader(set, old, superseded_by) else {
            return Ok(Superseded::Dead);
        };
        let Some(number) = self.take_free() else {
            return Err(VersionsFull { capacity: self.capacity(), waiting: self.waiting() });
        };
        let version = Version { fingerprint: *fingerprint, entry: *old, superseded_by };
        self.entries.store(number, &version);
        let bucket = self.bucket(fingerprint);
        self.entries.set_chain(number, EntryNumber::new(self.buckets[bucket]));
        self.buckets[bucket] = number.get();
        self.hooks.hang(&mut self.entries, slot, number);
        self.len += 1;
        Ok(Superseded::Kept)
    }

    /// Whether [`insert`](Self::insert) would take this in: the rule of what is kept.
    #[must_use]
    pub fn is_kept(set: &SnapshotSet<'_>, old: &Entry, superseded_by: Seq) -> bool {
        Self::reader(set, old, superseded_by).is_some()
    }

    fn reader(set: &SnapshotSet<'_>, old: &Entry, superseded_by: Seq) -> Option<SlotIndex> {
        if old.kind == EntryKind::Tombstone {
            return None;
        }
        set.newest_in(old.seq, superseded_by)
    }

    fn take_free(&mut self) -> Option<EntryNumber> {
        if let Some(number) = self.free {
            self.free = self.entries.chain(number);
            return Some(number);
        }
        if self.begun == self.capacity() {
            return None;
        }
        self.begun += 1;
        EntryNumber::new(self.begun)
    }

    /// The version of a key that a reader at `read_seq` sees. Ask the keydir first.
    #[must_use]
    pub fn find(&self, fingerprint: &Fingerprint, read_seq: Seq) -> Option<Version> {
        // Versions of one key do not overlap, so there is one at most.
        self.of_key(fingerprint).map(|(_, version)| version).find(|v| v.is_visible_at(read_seq))
    }

    /// The version whose record is at this address: for a merge, the record is live then.
    #[must_use]
    pub fn find_at(&self, fingerprint: &Fingerprint, address: LogAddress) -> Option<Version> {
        self.number_at(fingerprint, address).map(|(_, version)| version)
    }

    fn number_at(
        &self,
        fingerprint: &Fingerprint,
        address: LogAddress,
    ) -> Option<(EntryNumber, Version)> {
        self.of_key(fingerprint).find(|(_, version)| version.entry.location.address == address)
    }

    /// Whether the table has any version of the key. Its tombstone must stay in the keydir as long:
    /// an iteration at a snapshot finds the version by the keydir's entry.
    #[must_use]
    pub fn holds(&self, fingerprint: &Fingerprint) -> bool {
        self.of_key(fingerprint).next().is_some()
    }

    /// Points the version whose record is at `from` to its copy. `false`, and nothing has changed,
    /// if there is none.
    pub fn relocate(
        &mut self,
        fingerprint: &Fingerprint,
        from: LogAddress,
        copy: Location,
    ) -> bool {
        let Some((number, _)) = self.number_at(fingerprint, from) else {
            return false;
        };
        self.entries.set_location(number, copy);
        true
    }

    /// Releases a snapshot, in O(1). Its versions then wait for [`step`](Self::step).
    ///
    /// # Errors
    /// [`SnapshotGone`]; nothing has changed, but that an expired handle is now a stale one.
    pub fn release(
        &mut self,
        set: &mut SnapshotSet<'_>,
        id: SnapshotId,
    ) -> Result<(), SnapshotGone> {
        if let Some(departed) = set.release(id)? {
            self.depart(&departed);
        }
        Ok(())
    }

    /// Takes the oldest snapshot from its readers, in O(1), and answers its sequence: their handles
    /// answer `Expired` from now on. Where more than 32 readers share a sequence it takes some of
    /// them; call it again while the watermark stays.
    pub fn expire_oldest(&mut self, set: &mut SnapshotSet<'_>) -> Option<Seq> {
        let (seq, departed) = set.expire_oldest()?;
        self.depart(&departed);
        Some(seq)
    }

    fn depart(&mut self, departed: &Departed) {
        self.hooks.depart(&mut self.entries, departed);
    }

    /// Looks at up to `budget` waiting versions, tells `freed` those that no snapshot needs any
    /// more after taking them out, and answers how many it looked at: less than `budget` only if no
    /// more wait.
    pub fn step(
        &mut self,
        set: &SnapshotSet<'_>,
        budget: u32,
        mut freed: impl FnMut(&Version),
    ) -> u32 {
        for spent in 0..budget {
            let Some((below, number)) = self.hooks.take_waiting(&mut self.entries) else {
                return spent;
            };
            let version = self.entries.load(number).expect("hung entries are in use");
            match set.newest_from(below, version.entry.seq, version.superseded_by) {
                Some(slot) => self.hooks.hang(&mut self.entries, slot, number),
                None => {
                    self.unchain(number, &version.fingerprint);
                    self.entries.clear(number, self.free.replace(number));
                    self.len -= 1;
                    freed(&version);
                }
            }
        }
        budget
    }

    fn unchain(&mut self, number: EntryNumber, fingerprint: &Fingerprint) {
        let behind = self.entries.chain(number);
        let bucket = self.bucket(fingerprint);
        let first = EntryNumber::new(self.buckets[bucket]).expect("the entry is in its chain");
        if first == number {
            self.buckets[bucket] = EntryNumber::word(behind);
            return;
        }
        let mut at = first;
        loop {
            let next = self.entries.chain(at).expect("the entry is in its chain");
            if next == number {
                self.entries.set_chain(at, behind);
                return;
            }
            at = next;
        }
    }

    /// The next version that a reader at `read_seq` sees, and the cursor behind it. In no order;
    /// looks at each entry in use once, over all calls.
    ///
    /// While that snapshot is held, what the table has of it when the walk begins is met exactly
    /// once. What is superseded during the walk may be met or not; its `superseded_by` tells.
    #[must_use]
    pub fn next_visible(
        &self,
        cursor: VersionCursor,
        read_seq: Seq,
    ) -> Option<(VersionCursor, Version)> {
        (cursor.passed + 1..=self.begun).find_map(|number| {
            let version = self.entries.load(EntryNumber::new(number)?)?;
            version.is_visible_at(read_seq).then_some((VersionCursor { passed: number }, version))
        })
    }

    /// Panics unless the invariants hold; answers all versions, and whether each one waits.
    #[cfg(test)]
    pub(super) fn check(&self, set: &SnapshotSet<'_>) -> std::vec::Vec<(Version, bool)> {
        let mut found = std::vec::Vec::new();
        let mut seen = std::vec![false; self.begun as usize + 1];
        for (hook, slot, number) in self.hooks.all(&self.entries) {
            assert!(!core::mem::replace(&mut seen[number.get() as usize], true), "on one hook");
            let version = self.entries.load(number).expect("in use");
            let newest = set.newest_in(version.entry.seq, version.superseded_by);
            match slot {
                Some(_) => assert_eq!(slot, newest, "hangs on the newest slot that needs it"),
                None => assert!(newest.is_none_or(|slot| slot.get() == hook), "waits where it may"),
            }
            let chained = self.of_key(&version.fingerprint).filter(|(other, _)| *other == number);
            assert_eq!(chained.count(), 1, "in its chain once");
            found.push((version, slot.is_none()));
        }
        assert_eq!(found.len(), self.len as usize);
        let (mut free, mut at) = (0, self.free);
        while let Some(number) = at {
            assert_eq!(self.entries.load(number), None, "free entries are marked so");
            (at, free) = (self.entries.chain(number), free + 1);
        }
        assert_eq!(free + self.len, self.begun, "every entry is in use or free");
        found
    }
}
