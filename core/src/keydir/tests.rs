//! The keydir against a model, in small and crooked shapes, with its invariants checked along the
//! way.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use super::shape::{Growth, Shape};
use super::table::{Keydir, KeydirFull, Outcome, ShardMeta};
use super::walk::IterPosition;
use super::{Entry, Slot, fingerprint, shards_for, slots_for};
use crate::types::{EntryKind, Fingerprint, Location, LogAddress, Seq};

const SECRET: [u8; 16] = [9; 16];

/// Xorshift: the tests' only chance, and the same one every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// How positions of the tests' fingerprints lie.
#[derive(Clone, Copy, Debug)]
enum Positions {
    Spread,
    Clustered,
    AllLeast,
    AllGreatest,
}

/// A fingerprint out of a population of about `keys`.
fn fingerprint_of(number: u64, positions: Positions) -> Fingerprint {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // For equal positions only the shard's bits differ: 32 keys in each shard.
    let shard = number.wrapping_mul(0x9e37) as u16;
    match positions {
        Positions::Spread => Fingerprint { shard: (mixed >> 7) as u16, position: mixed },
        Positions::Clustered => {
            Fingerprint { shard, position: ((number % 5) << 61) | (number % 3) }
        }
        Positions::AllLeast => Fingerprint { shard, position: 0 },
        Positions::AllGreatest => Fingerprint { shard, position: u64::MAX },
    }
}

fn entry(random: &mut Random, seq: u64) -> Entry {
    let address = LogAddress(random.below(1 << 36) << 4);
    let location = Location { address, record_bytes: random.below(1 << 20) as u32 };
    Entry { seq: Seq(seq), location, kind: EntryKind::from_bits(random.next() as u8) }
}

fn shape(shard_count: u32, home_max: u32, slack: u32, capacity: u32) -> Shape {
    Shape { shard_count, home_max, slack, capacity }
}

fn memory(shape: &Shape) -> (Vec<Slot>, Vec<ShardMeta>) {
    (vec![[0; 3]; shape.slots()], vec![[0xdead; 2]; shape.shard_count as usize])
}

type Model = BTreeMap<IterPosition, Entry>;

fn walk(keydir: &Keydir<'_>) -> Vec<(IterPosition, Entry)> {
    let mut seen = Vec::new();
    while let Some(next) = keydir.next_after(seen.last().map(|(position, _)| *position)) {
        seen.push(next);
        assert!(seen.len() <= keydir.len() as usize, "a walk ends");
    }
    seen
}

fn assert_same(keydir: &Keydir<'_>, model: &Model) {
    keydir.check();
    assert_eq!(keydir.len() as usize, model.len());
    assert!(walk(keydir).into_iter().eq(model.iter().map(|(position, entry)| (*position, *entry))));
    let live = |entry: &&Entry| matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead);
    assert_eq!(keydir.live_keys() as usize, model.values().filter(live).count());
}

/// One random change of both; whether the keydir refused it.
fn change(
    keydir: &mut Keydir<'_>,
    model: &mut Model,
    random: &mut Random,
    key: &Fingerprint,
    seq: u64,
) -> bool {
    let place = keydir.position_of(key);
    let new = entry(random, seq);
    let old = model.get(&place).copied();
    assert_eq!(keydir.get(key), old);
    match random.below(8) {
        0 | 1 => {
            assert_eq!(keydir.remove(key), old);
            model.remove(&place);
        }
        2 => {
            let address = new.location.address;
            let expected = if random.below(2) == 0 {
                old.map_or(address, |old| old.location.address)
            } else {
                address
            };
            let done = keydir.replace_location(key, expected, new.location);
            assert_eq!(done, old.is_some_and(|old| old.location.address == expected));
            if done && let Some(kept) = model.get_mut(&place) {
                kept.location = new.location;
            }
        }
        3 => {
            let seq = Seq(seq.saturating_sub(random.below(50)).max(1));
            let new = Entry { seq, ..new };
            match keydir.upsert_newer(key, new) {
                Ok(Outcome::Kept) => assert!(old.is_some_and(|old| old.seq >= seq)),
                Ok(outcome) => {
                    assert!(old.is_none_or(|old| old.seq < seq));
                    assert_eq!(outcome, old.map_or(Outcome::Inserted, Outcome::Replaced));
                    model.insert(place, new);
                }
                Err(_) => return true,
            }
        }
        operation => {
            let ensured = (operation == 4).then(|| keydir.ensure_room(key));
            let inserted = keydir.insert(key, new);
            assert!(ensured.is_none_or(|ensured| ensured.is_ok() == inserted.is_ok()));
            let Ok(replaced) = inserted else { return true };
            assert_eq!(replaced, old);
            model.insert(place, new);
        }
    }
    false
}

fn run_model(shape: Shape, growth: Growth, positions: Positions, population: u64, steps: u64) {
    let (mut slots, mut shards) = memory(&shape);
    let mut keydir = Keydir::with_shape(&mut slots, &mut shards, SECRET, 4, shape, growth);
    let mut model = Model::new();
    let mut random = Random(0x5eed + population);
    for step in 1..=steps {
        let key = fingerprint_of(random.below(population), positions);
        let absent = keydir.get(&key).is_none();
        if change(&mut keydir, &mut model, &mut random, &key, step) {
            // Refused: at capacity, or the key's shard has no empty slot from its place to its end.
            assert!(absent);
            let (used, home_slots) = keydir.shard(keydir.shard_index(&key));
            let open = super::shard::is_open(used, home_slots, super::slot::SlotKey::of(&key));
            let grown = home_slots == shape.home_max;
            assert!(keydir.len() == shape.capacity || (!open && grown), "{shape:?} {positions:?}");
        }
        assert!(keydir.has_room_for(shape.capacity - keydir.len()));
        assert!(!keydir.has_room_for(shape.capacity - keydir.len() + 1));
        if steps < 2000 || step % 64 == 0 {
            assert_same(&keydir, &model);
        }
    }
    assert_same(&keydir, &model);
}

#[test]
fn random_changes_in_every_shape_do_what_the_model_does() {
    for positions in
        [Positions::Spread, Positions::Clustered, Positions::AllLeast, Positions::AllGreatest]
    {
        for growth in [Growth::SmallSteps, Growth::Fixed] {
            for keys in [1, 2, 7, 100] {
                run_model(Shape::for_keys(keys), growth, positions, u64::from(keys) * 2, 6000);
            }
            // Several shards, far too little slack, and strides that run full before the capacity
            // does.
            run_model(shape(4, 20, 3, 60), growth, positions, 100, 6000);
            run_model(shape(2, 1, 1, 4), growth, positions, 9, 1500);
            run_model(shape(8, 200, 8, 1200), growth, positions, 1800, 20_000);
        }
    }
}

#[test]
fn capacity_is_exact_and_a_refusal_changes_nothing() {
    for keys_max in [0, 1, 2, 7, 31, 100, 1000, 8192, 8193, 40_000] {
        for growth in [Growth::SmallSteps, Growth::Fixed] {
            let mut slots = vec![[0; 3]; slots_for(keys_max)];
            let mut shards = vec![[7; 2]; shards_for(keys_max)];
            let mut keydir = Keydir::new(&mut slots, &mut shards, SECRET, 0, keys_max, growth);
            let mut random = Random(1);
            for number in 0..keys_max {
                let key = keydir.fingerprint(&number.to_le_bytes());
                let new = Entry { location: location(u64::from(number)), ..entry(&mut random, 1) };
                assert!(keydir.has_room_for(1));
                assert_eq!(keydir.insert(&key, new), Ok(None));
            }
            keydir.check();
            let before = walk(&keydir);
            let key = keydir.fingerprint(b"one too many");
            let new = Entry { seq: Seq(1), location: location(1), kind: EntryKind::Value };
            let full = KeydirFull { capacity: keys_max };
            assert_eq!(keydir.ensure_room(&key), Err(full));
            assert_eq!(keydir.insert(&key, new), Err(full));
            assert_eq!(keydir.upsert_newer(&key, new), Err(full));
            assert!(!keydir.has_room_for(1));
            assert!(walk(&keydir) == before);
            if keys_max > 0 {
                let known = keydir.fingerprint(&0u32.to_le_bytes());
                assert_eq!(keydir.ensure_room(&known), Ok(()));
                assert!(keydir.insert(&known, new).is_ok_and(|old| old.is_some()));
                assert!(keydir.remove(&known).is_some());
                assert_eq!(keydir.insert(&key, new), Ok(None));
            }
        }
    }
}

fn location(address: u64) -> Location {
    Location { address: LogAddress(address), record_bytes: 1 }
}

fn value(seq: u64) -> Entry {
    Entry { seq: Seq(seq), location: location(seq), kind: EntryKind::Value }
}

#[test]
fn growth_under_load_loses_nothing_and_touches_no_memory_ahead() {
    let keys_max = 20_000;
    let mut slots = vec![[0; 3]; slots_for(keys_max)];
    let mut shards = vec![[0; 2]; shards_for(keys_max)];
    let mut keydir = Keydir::new(&mut slots, &mut shards, SECRET, 0, keys_max, Growth::SmallSteps);
    for number in 1..=u64::from(keys_max) {
        let key = keydir.fingerprint(&number.to_le_bytes());
        assert_eq!(keydir.insert(&key, value(number)), Ok(None));
        if number % 997 == 0 {
            // `check` also sees that everything behind the slots in use is still zero.
            keydir.check();
            let in_use: usize = (0..4).map(|index| keydir.shard(index).0.len()).sum();
            assert!(
                in_use < number as usize * 24 / 16 + 4 * 280,
                "{in_use} slots for {number} keys"
            );
            for earlier in 1..=number {
                assert_eq!(
                    keydir.get(&fingerprint(&SECRET, &earlier.to_le_bytes())),
                    Some(value(earlier))
                );
            }
        }
    }
}

#[test]
fn after_reserve_shards_are_large_enough_and_the_stride_bounds_them() {
    for entries in [0, 10, 5000, 20_000, usize::MAX] {
        let keys_max = 20_000;
        let mut slots = vec![[0; 3]; slots_for(keys_max)];
        let mut shards = vec![[0; 2]; shards_for(keys_max)];
        let mut keydir =
            Keydir::new(&mut slots, &mut shards, SECRET, 0, keys_max, Growth::SmallSteps);
        let key = keydir.fingerprint(b"first");
        keydir.insert(&key, value(1)).expect("room");
        keydir.reserve(entries);
        keydir.check();
        assert_eq!(keydir.get(&key), Some(value(1)));
        let before: Vec<_> = (0..4).map(|index| keydir.shard(index).1).collect();
        for number in 2..=entries.min(20_000) as u64 {
            keydir
                .insert(&fingerprint(&SECRET, &number.to_le_bytes()), value(number))
                .expect("room");
        }
        if entries > 1000 {
            let after: Vec<_> = (0..4).map(|index| keydir.shard(index).1).collect();
            assert_eq!(before, after, "no shard grew");
        }
    }
}

#[test]
fn a_walk_sees_every_lasting_entry_once_while_others_come_and_go() {
    let shape = Shape { shard_count: 4, home_max: 400, slack: 60, capacity: 1200 };
    let (mut slots, mut shards) = memory(&shape);
    let mut keydir =
        Keydir::with_shape(&mut slots, &mut shards, SECRET, 0, shape, Growth::SmallSteps);
    let mut random = Random(3);
    // Even numbers last; odd ones come and go. The shards start small, so they grow during the
    // walk.
    let key = |number: u64| fingerprint(&SECRET, &number.to_le_bytes());
    for number in (2..400).step_by(2) {
        keydir.insert(&key(number), value(number)).expect("room");
    }
    let home_before = keydir.shard(0).1;
    let mut seen = Vec::new();
    let mut position = None;
    for _ in 0..5000 {
        let Some((next, found)) = keydir.next_after(position) else {
            break;
        };
        assert!(position < Some(next), "the walk goes forward");
        position = Some(next);
        if found.seq.0 % 2 == 0 {
            seen.push(found.seq.0);
        }
        for _ in 0..6 {
            let odd = random.below(700) * 2 + 1;
            if random.below(4) == 0 {
                keydir.remove(&key(odd));
            } else {
                keydir.insert(&key(odd), value(odd)).expect("room");
            }
        }
    }
    assert!(keydir.next_after(position).is_none() && keydir.shard(0).1 > home_before);
    seen.sort_unstable();
    assert!(seen.into_iter().eq((2..400).step_by(2)));
}

#[test]
fn a_walk_can_go_on_behind_a_fingerprint_that_is_gone() {
    let mut slots = vec![[0; 3]; slots_for(100)];
    let mut shards = vec![[0; 2]; 1];
    let mut keydir = Keydir::new(&mut slots, &mut shards, SECRET, 0, 100, Growth::Fixed);
    for low in 0..8u16 {
        let key = Fingerprint { shard: low, position: 5 };
        keydir.insert(&key, value(u64::from(low) + 1)).expect("room");
    }
    let gone = Fingerprint { shard: 3, position: 5 };
    keydir.remove(&gone);
    let next = keydir.next_after(Some(keydir.position_of(&gone)));
    assert_eq!(next.map(|(_, found)| found), Some(value(5)));
}

#[test]
fn what_a_sweep_refuses_is_dropped_and_everything_else_stays() {
    let shape = shape(4, 100, 40, 300);
    for growth in [Growth::SmallSteps, Growth::Fixed] {
        let (mut slots, mut shards) = memory(&shape);
        let mut keydir = Keydir::with_shape(&mut slots, &mut shards, SECRET, 4, shape, growth);
        let (mut model, mut random) = (Model::new(), Random(17));
        for number in 0..250 {
            let key = fingerprint_of(number, Positions::Spread);
            let new = entry(&mut random, number + 1);
            keydir.insert(&key, new).expect("room");
            model.insert(keydir.position_of(&key), new);
        }
        let stays = |entry: &Entry| entry.kind != EntryKind::Chunk || entry.seq.0.is_multiple_of(3);
        let mut seen = Vec::new();
        keydir.retain(|entry| {
            seen.push(*entry);
            stays(entry)
        });
        assert_eq!(seen, model.values().copied().collect::<Vec<_>>(), "each once, in order");
        model.retain(|_, entry| stays(entry));
        assert!(model.len() < 250 && keydir.len_of(EntryKind::Chunk) > 0);
        assert_same(&keydir, &model);
        keydir.retain(|entry| entry.kind != EntryKind::Chunk);
        assert_eq!(keydir.len_of(EntryKind::Chunk), 0);
        keydir.check();
    }
}

#[test]
fn a_batch_does_what_its_entries_do_one_by_one() {
    let mut random = Random(99);
    let batch: Vec<_> = (0..500)
        .map(|_| {
            let key = fingerprint_of(random.below(90), Positions::Spread);
            let seq = 1 + random.below(40);
            (key, entry(&mut random, seq))
        })
        .collect();
    for keys_max in [60, 100] {
        let (mut slots, mut shards) = memory(&Shape::for_keys(keys_max));
        let mut single = Keydir::new(&mut slots, &mut shards, SECRET, 4, keys_max, Growth::Fixed);
        let mut expected = Vec::new();
        for (key, entry) in &batch {
            let Ok(outcome) = single.upsert_newer(key, *entry) else {
                break;
            };
            expected.push(outcome);
        }
        let (mut slots, mut shards) = memory(&Shape::for_keys(keys_max));
        let mut keydir =
            Keydir::new(&mut slots, &mut shards, SECRET, 4, keys_max, Growth::SmallSteps);
        let mut outcomes = Vec::new();
        let result = keydir.upsert_newer_batch(&batch, |index, outcome| {
            assert_eq!(index, outcomes.len());
            outcomes.push(outcome);
        });
        assert_eq!(result.is_ok(), keys_max == 100);
        assert_eq!(outcomes, expected);
        assert!(walk(&keydir) == walk(&single));
        keydir.check();
    }
}

#[test]
fn clear_makes_any_memory_an_empty_keydir() {
    let mut slots = vec![[u64::MAX; 3]; slots_for(50)];
    let mut shards = vec![[u32::MAX; 2]; 1];
    let mut keydir = Keydir::new(&mut slots, &mut shards, SECRET, 0, 50, Growth::Fixed);
    keydir.clear();
    keydir.check();
    assert!(keydir.is_empty() && keydir.next_after(None).is_none());
}
