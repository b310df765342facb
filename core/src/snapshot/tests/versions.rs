//! The version table against the whole history of a small store, and its bounds by counting what it
//! touches.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use super::super::{
    Hook, SnapshotSlot, Superseded, VersionCursor, VersionSlot, Versions, VersionsFull,
    buckets_for, hooks_for,
};
use super::{Random, SnapshotGone, SnapshotId, SnapshotSet, acquire, cost};
use crate::keydir::Entry;
use crate::types::{EntryKind, Fingerprint, Location, LogAddress, Seq};

fn fingerprint(number: u64) -> Fingerprint {
    // Few positions and shards: long chains, and keys that only the shard tells apart.
    Fingerprint { shard: (number % 3) as u16, position: ((number / 3 % 4) << 62) + number / 12 }
}

fn entry(seq: u64, address: u64, kind: EntryKind) -> Entry {
    let location = Location { address: LogAddress(address), record_bytes: (address % 9000) as u32 };
    Entry { seq: Seq(seq), location, kind }
}

/// Memory of a table.
struct Arena {
    entries: Vec<VersionSlot>,
    buckets: Vec<u32>,
    hooks: Vec<Hook>,
}

impl Arena {
    fn new(versions_max: u32, snapshots_max: u16) -> Self {
        Self {
            entries: vec![[u64::MAX; 6]; versions_max as usize],
            buckets: vec![0; buckets_for(versions_max)],
            hooks: vec![[u32::MAX; 5]; hooks_for(snapshots_max)],
        }
    }

    fn table(&mut self) -> Versions<'_> {
        Versions::new(&mut self.entries, &mut self.buckets, &mut self.hooks, u16::MAX)
    }
}

#[test]
fn a_version_is_fifty_two_bytes_with_its_bucket() {
    assert_eq!(size_of::<VersionSlot>() + 4 * buckets_for(1000) / 1000, 52);
    assert_eq!((size_of::<SnapshotSlot>(), size_of::<Hook>()), (40, 20));
}

/// A store of a few keys as it would use the table, and the whole history beside it.
struct Store<'m> {
    set: SnapshotSet<'m>,
    versions: Versions<'m>,
    keydir: BTreeMap<u64, Entry>,
    /// Every record ever written, by key and sequence; its address is where it was copied last.
    history: BTreeMap<(u64, u64), Entry>,
    live: Vec<(SnapshotId, u64)>,
    /// Addresses of records that are not dead, as the segments' live bytes would count them.
    counted: BTreeSet<u64>,
    seq: u64,
    address: u64,
    random: Random,
    refused: u32,
    freed: u32,
}

const KEYS: u64 = 20;

impl<'m> Store<'m> {
    fn next_address(&mut self) -> u64 {
        self.address += 16;
        self.address
    }

    fn write(&mut self, key: u64) {
        let address = self.next_address();
        let kind = EntryKind::from_bits(self.random.below(4) as u8);
        let new = entry(self.seq + 1, address, kind);
        if let Some(old) = self.keydir.get(&key).copied() {
            let kept = Versions::is_kept(&self.set, &old, new.seq);
            match self.versions.insert(&self.set, &fingerprint(key), &old, new.seq) {
                Ok(Superseded::Kept) => assert!(kept),
                Ok(Superseded::Dead) => {
                    assert!(!kept && self.counted.remove(&old.location.address.0));
                }
                Err(full) => {
                    assert!(kept && self.versions.room() == 0);
                    assert_eq!(full.waiting, self.versions.waiting());
                    self.refused += 1;
                    return;
                }
            }
        }
        self.seq += 1;
        self.keydir.insert(key, new);
        self.history.insert((key, new.seq.0), new);
        self.counted.insert(address);
    }

    /// Merges the record at a random key's address, be it its newest or an old version.
    fn copy(&mut self, key: u64) {
        let copy = self.next_address();
        let Some(newest) = self.keydir.get_mut(&key) else { return };
        let mut records = self.history.range((key, 0)..=(key, u64::MAX)).rev();
        let depth = self.random.below(4) as usize;
        let Some((&at, &record)) = records.nth(depth) else { return };
        let (from, to) = (record.location.address, entry(0, copy, EntryKind::Value).location);
        let counted = self.counted.contains(&from.0);
        if newest.location.address == from {
            newest.location = to;
        } else {
            let found = self.versions.find_at(&fingerprint(key), from);
            assert_eq!(found.map(|found| found.entry), counted.then_some(record));
            assert_eq!(self.versions.relocate(&fingerprint(key), from, to), counted);
        }
        assert!(!self.versions.relocate(&fingerprint(key), LogAddress(1), to));
        if counted {
            assert!(self.counted.remove(&from.0) && self.counted.insert(copy));
            self.history.insert(at, Entry { location: to, ..record });
        }
    }

    fn snapshot(&mut self) {
        match self.set.acquire(Seq(self.seq)) {
            Ok(id) => self.live.push((id, self.seq)),
            Err(full) => assert!(self.live.len() >= usize::from(full.capacity)),
        }
    }

    fn release(&mut self) {
        if !self.live.is_empty() {
            let index = self.random.below(self.live.len() as u64) as usize;
            let (id, seq) = self.live.swap_remove(index);
            assert_eq!(self.set.read_seq(id), Ok(Seq(seq)));
            assert_eq!(self.versions.release(&mut self.set, id), Ok(()));
            assert_eq!(self.versions.release(&mut self.set, id), Err(SnapshotGone::Stale));
        }
    }

    fn expire(&mut self) {
        let oldest = self.live.iter().map(|(_, seq)| *seq).min();
        assert_eq!(self.versions.expire_oldest(&mut self.set), oldest.map(Seq));
        let set = &self.set;
        self.live.retain(|(id, seq)| {
            let answer = set.read_seq(*id);
            assert!(answer == Ok(Seq(*seq)) || answer == Err(SnapshotGone::Expired));
            assert!(answer.is_ok() || Some(*seq) == oldest);
            answer.is_ok()
        });
    }

    fn step(&mut self, budget: u32) {
        let waiting = self.versions.waiting();
        let (set, counted) = (&self.set, &mut self.counted);
        let mut freed = 0;
        let spent = self.versions.step(set, budget, |version| {
            assert!(!set.needed(version.entry.seq, version.superseded_by));
            assert!(counted.remove(&version.entry.location.address.0), "freed once");
            freed += 1;
        });
        self.freed += freed;
        assert_eq!(spent, budget.min(waiting));
        assert_eq!(self.versions.waiting(), waiting - spent);
    }

    /// What history says that a reader sees: the last record up to its sequence.
    fn seen(&self, key: u64, read_seq: u64) -> Option<Entry> {
        let record = self.history.range((key, 0)..=(key, read_seq)).next_back();
        record.map(|(_, entry)| *entry).filter(|entry| entry.kind != EntryKind::Tombstone)
    }

    fn read(&self, key: u64, read_seq: u64) -> Option<Entry> {
        let newest = *self.keydir.get(&key)?;
        if newest.seq.0 <= read_seq {
            return Some(newest).filter(|entry| entry.kind != EntryKind::Tombstone);
        }
        self.versions.find(&fingerprint(key), Seq(read_seq)).map(|version| version.entry)
    }

    fn check(&self) {
        self.set.check();
        for &(_, read_seq) in &self.live {
            let mut old = BTreeSet::new();
            for key in 0..KEYS {
                let seen = self.seen(key, read_seq);
                assert_eq!(self.read(key, read_seq), seen, "key {key} at {read_seq}");
                old.extend(seen.filter(|seen| *seen != self.keydir[&key]).map(|seen| seen.seq));
            }
            let mut cursor = VersionCursor::default();
            while let Some((next, version)) = self.versions.next_visible(cursor, Seq(read_seq)) {
                assert!(old.remove(&version.entry.seq), "met once, and seen");
                cursor = next;
            }
            assert!(old.is_empty(), "every old version is met");
        }
        // What the table has is what a snapshot needs, and what waits; all of it counts as live.
        let versions = self.versions.check(&self.set);
        let addresses = versions.iter().map(|(version, _)| version.entry.location.address.0);
        let newest = self.keydir.values().map(|entry| entry.location.address.0);
        assert_eq!(addresses.chain(newest).collect::<BTreeSet<_>>(), self.counted);
        for (version, waits) in versions {
            assert!(waits || self.set.needed(version.entry.seq, version.superseded_by));
            assert!(self.versions.holds(&version.fingerprint));
        }
    }
}

fn run_store(seed: u64, snapshots_max: u16, versions_max: u32) -> (u32, u32) {
    let mut slots = vec![[0; 5]; usize::from(snapshots_max)];
    let mut arena = Arena::new(versions_max, snapshots_max);
    let mut store = Store {
        set: SnapshotSet::new(&mut slots),
        versions: arena.table(),
        keydir: BTreeMap::new(),
        history: BTreeMap::new(),
        live: Vec::new(),
        counted: BTreeSet::new(),
        seq: 0,
        address: 0,
        random: Random(seed),
        refused: 0,
        freed: 0,
    };
    for round in 0..4000 {
        let key = store.random.below(KEYS);
        // Hot keys have several versions; now and then snapshots come in crowds.
        let key = if key < 10 { key % 2 } else { key };
        match store.random.below(16) {
            0..8 => store.write(key),
            8 | 9 => store.copy(key),
            10 | 11 => store.snapshot(),
            12 => (0..store.random.below(40)).for_each(|_| store.snapshot()),
            13 => (0..store.random.below(8)).for_each(|_| store.release()),
            14 if store.random.below(4) == 0 => store.expire(),
            _ => {
                let budget = store.random.below(12) as u32;
                store.step(budget);
            }
        }
        if round % 8 == 0 {
            store.check();
        }
    }
    // With everything looked at, exactly the versions that are needed are left.
    store.step(u32::MAX);
    store.check();
    let kept = store.versions.check(&store.set);
    assert!(kept.iter().all(|(_, waits)| !waits));
    while !store.live.is_empty() {
        store.release();
    }
    store.step(u32::MAX);
    store.check();
    assert!(store.versions.is_empty() && store.set.watermark().is_none());
    (store.refused, store.freed)
}

#[test]
fn snapshots_read_what_history_says_whatever_is_written_copied_and_released() {
    let (mut refused, mut freed) = (0, 0);
    for seed in 1..=12 {
        for (snapshots_max, versions_max) in [(1, 4), (2, 30), (5, 12), (40, 300), (8, 1)] {
            let counts = run_store(seed * 77, snapshots_max, versions_max);
            refused += counts.0;
            freed += counts.1;
        }
        assert_eq!(run_store(seed, 0, 0), (0, 0), "without snapshots nothing is kept");
    }
    assert!(refused > 1000 && freed > 10_000, "{refused} refused, {freed} freed");
}

/// Keys a to d with their records; a snapshot at 3. The book's example, with its values corrected:
/// the record of c is newer than the snapshot.
#[test]
fn the_example_of_a_watermark_of_three_keeps_what_its_readers_see() {
    let value = |seq| entry(seq, seq * 16, EntryKind::Value);
    let delete = |seq| entry(seq, seq * 16, EntryKind::Tombstone);
    let (mut slots, mut arena) = ([[0; 5]; 2], Arena::new(4, 2));
    let (mut set, mut versions) = (SnapshotSet::new(&mut slots), arena.table());
    let [a, b, c, d] = [0, 1, 2, 3].map(fingerprint);
    // b@1, d@2, then a@3 and d@3=del in one batch; a snapshot; a@4=del and c@4 in another.
    let dead = versions.insert(&set, &d, &value(2), Seq(3));
    assert_eq!(dead, Ok(Superseded::Dead), "no reader was there");
    let at_three = acquire(&mut set, 3);
    assert_eq!(versions.insert(&set, &a, &value(3), Seq(4)), Ok(Superseded::Kept));
    let keydir = [(a, delete(4)), (b, value(1)), (c, value(4)), (d, delete(3))];
    let at_four = acquire(&mut set, 4);
    assert_eq!(set.read_seq(at_four), Ok(Seq(4)));
    let scan = |versions: &Versions<'_>, read_seq| {
        let visible = |(key, newest): &(Fingerprint, Entry)| {
            if newest.seq <= read_seq {
                return (newest.kind == EntryKind::Value).then_some((*key, newest.seq.0));
            }
            versions.find(key, read_seq).map(|version| (*key, version.entry.seq.0))
        };
        keydir.iter().filter_map(visible).collect::<Vec<_>>()
    };
    assert_eq!((set.watermark(), set.distinct()), (Some(Seq(3)), 2));
    for _ in 0..2 {
        assert_eq!(scan(&versions, Seq(3)), [(a, 3), (b, 1)]);
        assert_eq!(scan(&versions, Seq(4)), [(b, 1), (c, 4)]);
        versions.step(&set, 10, |_| panic!("all of it is needed"));
    }
    assert_eq!(versions.release(&mut set, at_three), Ok(()));
    let mut freed = Vec::new();
    versions.step(&set, 10, |version| freed.push((version.fingerprint, version.entry)));
    assert_eq!(freed, [(a, value(3))]);
    assert_eq!(scan(&versions, Seq(4)), [(b, 1), (c, 4)]);
}

#[test]
fn one_long_reader_and_a_hot_key_hold_one_old_version() {
    let (mut slots, mut arena) = ([[0; 5]; 1], Arena::new(1, 1));
    let (mut set, mut versions) = (SnapshotSet::new(&mut slots), arena.table());
    let hot = fingerprint(0);
    let reader = acquire(&mut set, 3);
    let mut write = |seq: u64, next: u64| {
        versions.insert(&set, &hot, &entry(seq, seq * 16, EntryKind::Value), Seq(next))
    };
    assert_eq!(write(2, 4), Ok(Superseded::Kept));
    for seq in 4..100_000 {
        assert_eq!(write(seq, seq + 1), Ok(Superseded::Dead));
    }
    assert_eq!((versions.len(), versions.room()), (1, 0));
    assert_eq!(versions.find(&hot, Seq(3)).map(|version| version.entry.seq), Some(Seq(2)));
    assert_eq!(set.read_seq(reader), Ok(Seq(3)));
}

#[test]
fn a_full_table_refuses_until_a_snapshot_goes_and_its_versions_are_looked_at() {
    let (mut slots, mut arena) = ([[0; 5]; 2], Arena::new(2, 2));
    let (mut set, mut versions) = (SnapshotSet::new(&mut slots), arena.table());
    let value = entry(1, 16, EntryKind::Value);
    let old = acquire(&mut set, 1);
    for number in 0..2 {
        let kept = versions.insert(&set, &fingerprint(number), &value, Seq(2));
        assert_eq!(kept, Ok(Superseded::Kept));
    }
    let third = fingerprint(2);
    let full = |waiting| Err(VersionsFull { capacity: 2, waiting });
    assert_eq!(versions.insert(&set, &third, &value, Seq(2)), full(0));
    let deleted = entry(1, 16, EntryKind::Tombstone);
    assert_eq!(versions.insert(&set, &third, &deleted, Seq(2)), Ok(Superseded::Dead));
    acquire(&mut set, 2);
    assert_eq!(versions.expire_oldest(&mut set), Some(Seq(1)));
    assert_eq!(versions.release(&mut set, old), Err(SnapshotGone::Expired));
    let newer = entry(2, 32, EntryKind::Value);
    assert_eq!(versions.insert(&set, &third, &newer, Seq(3)), full(2));
    assert_eq!(versions.step(&set, 1, |_| ()), 1);
    assert_eq!((versions.room(), versions.waiting()), (1, 1));
    assert_eq!(versions.insert(&set, &third, &newer, Seq(3)), Ok(Superseded::Kept));
    assert!(versions.find(&third, Seq(2)).is_some() && versions.holds(&third));
    versions.check(&set);
}

#[test]
fn a_release_touches_the_same_few_words_whatever_hangs_on_the_snapshot() {
    // Kept for three snapshots each: the first release moves all versions, so does the second, the
    // third leaves them to nobody.
    let work = |count: u32, steps: u32| {
        let (mut slots, mut arena) = (vec![[0; 5]; 4], Arena::new(count, 4));
        let (mut set, mut versions) = (SnapshotSet::new(&mut slots), arena.table());
        let ids = [10, 20, 30].map(|seq| acquire(&mut set, seq));
        for number in 0..count {
            let key = Fingerprint {
                shard: 0,
                position: u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            let value = entry(5, u64::from(number) * 16, EntryKind::Value);
            assert_eq!(versions.insert(&set, &key, &value, Seq(31)), Ok(Superseded::Kept));
        }
        let costs = [ids[2], ids[1], ids[0]].map(|id| {
            let (touches, answer) = cost(|| versions.release(&mut set, id));
            assert_eq!((answer, versions.waiting()), (Ok(()), count));
            versions.step(&set, steps, |_| ());
            versions.check(&set);
            touches
        });
        // The step's own work follows its budget.
        let (touches, _) = cost(|| versions.step(&set, 1, |_| ()));
        assert!(touches <= 40, "{touches} loads and stores for a budget of 1");
        costs
    };
    // Hung entries alone at the second and third release; waiting ones alone; both.
    for (few, many) in [(1, 100_000), (2, 100_000)] {
        let all = work(few, few);
        assert_eq!(all, work(many, many));
        assert!(all.iter().all(|touches| *touches <= 40), "{all:?}");
    }
    assert_eq!(work(4, 0), work(100_000, 0));
    assert_eq!(work(4, 2)[0], work(100_000, 500)[0]);
    assert!(work(100_000, 500).iter().all(|touches| *touches <= 40));
}

#[test]
fn what_is_one_key_to_the_keydir_is_one_key_to_the_table() {
    let (mut slots, mut arena) = ([[0; 5]; 1], Arena::new(4, 1));
    let mut set = SnapshotSet::new(&mut slots);
    // A keydir of one shard keeps the low five bits of the sixteen.
    let mut versions =
        Versions::new(&mut arena.entries, &mut arena.buckets, &mut arena.hooks, 0b1_1111);
    acquire(&mut set, 1);
    let whole = Fingerprint { shard: 0xabcd, position: 77 };
    let value = entry(1, 16, EntryKind::Value);
    assert_eq!(versions.insert(&set, &whole, &value, Seq(2)), Ok(Superseded::Kept));
    let known = Fingerprint { shard: 0xabcd & 0b1_1111, position: 77 };
    assert_eq!(versions.find(&known, Seq(1)).map(|found| found.fingerprint), Some(whole));
    assert!(!versions.holds(&Fingerprint { shard: known.shard ^ 1, position: 77 }));
    assert!(!versions.holds(&Fingerprint { shard: known.shard, position: 78 }));
}

#[test]
fn a_snapshot_below_what_already_superseded_a_version_inherits_it() {
    let (mut slots, mut arena) = ([[0; 5]; 3], Arena::new(4, 3));
    let (mut set, mut versions) = (SnapshotSet::new(&mut slots), arena.table());
    let key = fingerprint(1);
    let value = entry(2, 16, EntryKind::Value);
    for heir_is_first in [true, false] {
        let before = (!heir_is_first).then(|| acquire(&mut set, 2));
        let at_three = acquire(&mut set, 3);
        // The record of sequence 10 is staged; what is published is still 5.
        assert_eq!(versions.insert(&set, &key, &value, Seq(10)), Ok(Superseded::Kept));
        let at_five = acquire(&mut set, 5);
        assert_eq!(versions.release(&mut set, at_three), Ok(()));
        assert_eq!(versions.step(&set, 5, |_| panic!("the snapshot at 5 needs it")), 1);
        versions.check(&set);
        if let Some(id) = before {
            assert_eq!(versions.release(&mut set, id), Ok(()));
        }
        assert_eq!(versions.waiting(), 0);
        assert_eq!(versions.find(&key, Seq(5)).map(|found| found.entry), Some(value));
        assert_eq!(versions.release(&mut set, at_five), Ok(()));
        assert_eq!((versions.step(&set, 5, |_| ()), versions.len()), (1, 0));
    }
}
