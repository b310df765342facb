//! The snapshot set against an ordered map, its handles, and its bounds by what it touches.

mod versions;

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use super::tally::touched;
use super::{SnapshotGone, SnapshotId, SnapshotSet, SnapshotsFull};
use crate::types::Seq;

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

/// Loads and stores of one call.
fn cost<T>(call: impl FnOnce() -> T) -> (u64, T) {
    let before = touched();
    let answer = call();
    (touched() - before, answer)
}

fn release(set: &mut SnapshotSet<'_>, id: SnapshotId) {
    set.release(id).expect("the handle is out");
}

fn acquire(set: &mut SnapshotSet<'_>, seq: u64) -> SnapshotId {
    set.acquire(Seq(seq)).expect("a slot is free")
}

#[test]
fn the_set_equals_an_ordered_map_over_a_million_random_changes() {
    let mut random = Random(11);
    for capacity in [1u64, 2, 7, 64] {
        let mut slots = vec![[7; 5]; capacity as usize];
        let mut set = SnapshotSet::new(&mut slots);
        let mut model: BTreeMap<u64, usize> = BTreeMap::new();
        let mut out: Vec<(SnapshotId, u64)> = Vec::new();
        let mut gone: Vec<SnapshotId> = Vec::new();
        let (mut seq, mut refused, mut most) = (0, 0, 0);
        for round in 0..250_000 {
            // The set fills up and drains in waves.
            let fill = if round / 1000 % 2 == 0 { 6 } else { 4 };
            if random.below(10) < fill {
                seq += random.below(3) / 2 * random.below(1000);
                match set.acquire(Seq(seq)) {
                    Ok(id) => {
                        assert!(!out.iter().any(|(other, _)| *other == id), "handles are unique");
                        *model.entry(seq).or_default() += 1;
                        out.push((id, seq));
                    }
                    Err(full) => {
                        assert_eq!(u64::from(full.capacity), capacity);
                        assert!(out.len() >= capacity as usize, "refused with room");
                        refused += 1;
                    }
                }
            } else if !out.is_empty() {
                let (id, seq) = out.swap_remove(random.below(out.len() as u64) as usize);
                assert_eq!(set.read_seq(id), Ok(Seq(seq)));
                release(&mut set, id);
                let handles = model.get_mut(&seq).expect("the model has it");
                *handles -= 1;
                if *handles == 0 {
                    model.remove(&seq);
                }
                gone.push(id);
            }
            if let Some(id) = gone.get(random.below(gone.len() as u64 + 1) as usize) {
                assert_eq!(set.read_seq(*id), Err(SnapshotGone::Stale));
                assert_eq!(set.release(*id), Err(SnapshotGone::Stale));
            }
            assert_eq!(set.watermark(), model.keys().next().map(|seq| Seq(*seq)));
            assert_eq!(set.gc_floor(Seq(seq)).0, *model.keys().next().unwrap_or(&seq));
            assert_eq!(usize::from(set.distinct()), model.len());
            assert_eq!(set.held() as usize, out.len());
            most = most.max(out.len());
            if round % 100 == 0 {
                let seen = set.check().into_iter();
                assert!(seen.eq(model.iter().map(|(seq, handles)| (*seq, *handles as u32))));
            }
        }
        assert!(refused > 0 && most >= capacity as usize, "the test fills the set");
    }
}

#[test]
fn a_thousand_and_one_readers_leave_in_any_order_and_the_watermark_follows() {
    let mut slots = vec![[0; 5]; 1001];
    let mut set = SnapshotSet::new(&mut slots);
    assert_eq!((set.watermark(), set.gc_floor(Seq(5))), (None, Seq(5)));
    let mut ids = Vec::new();
    for seq in 0..=1000 {
        ids.push(acquire(&mut set, seq));
        assert_eq!(set.watermark(), Some(Seq(0)));
        assert_eq!(u64::from(set.distinct()), seq + 1);
    }
    for (seq, id) in ids[..500].iter().enumerate() {
        release(&mut set, *id);
        assert_eq!(set.watermark(), Some(Seq(seq as u64 + 1)));
        assert_eq!(usize::from(set.distinct()), 1000 - seq);
    }
    for (left, id) in ids[501..].iter().enumerate().rev() {
        release(&mut set, *id);
        assert_eq!(set.watermark(), Some(Seq(500)));
        assert_eq!(usize::from(set.distinct()), left + 1);
    }
    release(&mut set, ids[500]);
    assert_eq!((set.watermark(), set.distinct()), (None, 0));

    let twins = [acquire(&mut set, 2000), acquire(&mut set, 2000)];
    let last = acquire(&mut set, 2001);
    assert_eq!((set.watermark(), set.distinct(), set.held()), (Some(Seq(2000)), 2, 3));
    release(&mut set, twins[0]);
    assert_eq!((set.watermark(), set.distinct()), (Some(Seq(2000)), 2));
    release(&mut set, twins[1]);
    assert_eq!((set.watermark(), set.distinct()), (Some(Seq(2001)), 1));
    release(&mut set, last);
    assert_eq!((set.watermark(), set.distinct()), (None, 0));
}

#[test]
fn a_million_short_snapshots_under_a_long_one_need_two_slots() {
    let mut slots = [[0; 5]; 2];
    let mut set = SnapshotSet::new(&mut slots);
    let long = acquire(&mut set, 1);
    // Every fourth one shares the sequence of the one before, also that of the long one at first.
    for round in 0..1_000_000 {
        let short = acquire(&mut set, 1 + round / 4 * 3);
        assert_eq!(set.watermark(), Some(Seq(1)));
        release(&mut set, short);
    }
    assert_eq!(set.read_seq(long), Ok(Seq(1)));
    let other = acquire(&mut set, u64::MAX);
    assert_eq!(set.acquire(Seq(u64::MAX)).map(|id| set.read_seq(id)), Ok(Ok(Seq(u64::MAX))));
    release(&mut set, long);
    assert_eq!(set.watermark(), Some(Seq(u64::MAX)));
    assert_ne!(other, long);
}

#[test]
fn full_sets_refuse_a_new_sequence_and_share_the_newest() {
    let mut slots = [[0; 5]; 2];
    let mut set = SnapshotSet::new(&mut slots);
    let first = acquire(&mut set, 1);
    acquire(&mut set, 2);
    assert_eq!(set.acquire(Seq(3)), Err(SnapshotsFull { capacity: 2 }));
    let shared: Vec<_> = (1..32).map(|_| acquire(&mut set, 2)).collect();
    assert_eq!(set.acquire(Seq(2)), Err(SnapshotsFull { capacity: 2 }), "32 tickets are spent");
    assert_eq!((set.distinct(), set.held()), (2, 33));
    release(&mut set, first);
    acquire(&mut set, 2);
    assert_eq!((set.check(), set.distinct()), (vec![(2, 33)], 1));
    release(&mut set, shared[0]);
    assert_eq!(SnapshotSet::new(&mut []).acquire(Seq(1)), Err(SnapshotsFull { capacity: 0 }));
}

#[test]
fn a_second_release_is_stale_and_takes_nothing_from_others() {
    let mut slots = [[0; 5]; 2];
    let mut set = SnapshotSet::new(&mut slots);
    let [mine, other] = [acquire(&mut set, 4), acquire(&mut set, 4)];
    assert_ne!(mine, other);
    release(&mut set, mine);
    for _ in 0..3 {
        assert_eq!(set.release(mine), Err(SnapshotGone::Stale));
    }
    assert_eq!((set.read_seq(other), set.held()), (Ok(Seq(4)), 1));
    // A new handle of the same slot and life is not the old one.
    let third = acquire(&mut set, 4);
    assert_eq!(set.release(mine), Err(SnapshotGone::Stale));
    release(&mut set, other);
    release(&mut set, third);
    // Nor is one of the slot's later lives.
    for seq in 5..100 {
        let next = acquire(&mut set, seq);
        for old in [mine, other, third] {
            assert_eq!(set.read_seq(old), Err(SnapshotGone::Stale));
            assert_eq!(set.release(old), Err(SnapshotGone::Stale));
        }
        release(&mut set, next);
    }
}

#[test]
fn handles_of_an_expired_snapshot_say_so_until_released() {
    let mut slots = [[0; 5]; 2];
    let mut set = SnapshotSet::new(&mut slots);
    let [one, two, released] = [acquire(&mut set, 4), acquire(&mut set, 4), acquire(&mut set, 4)];
    release(&mut set, released);
    let young = acquire(&mut set, 9);
    assert_eq!(set.expire_oldest().map(|(seq, _)| seq), Some(Seq(4)));
    assert_eq!((set.watermark(), set.held(), set.distinct()), (Some(Seq(9)), 1, 1));
    // Its slot is used again; the answers stay.
    let next = acquire(&mut set, 10);
    assert_eq!(set.read_seq(one), Err(SnapshotGone::Expired));
    assert_eq!(set.release(released), Err(SnapshotGone::Stale));
    assert_eq!(set.release(one), Err(SnapshotGone::Expired));
    assert_eq!(set.release(one), Err(SnapshotGone::Stale));
    assert_eq!(set.read_seq(two), Err(SnapshotGone::Expired));
    assert_eq!((set.read_seq(young), set.read_seq(next)), (Ok(Seq(9)), Ok(Seq(10))));
    assert!(set.expire_oldest().is_some() && set.expire_oldest().is_some());
    assert_eq!(set.expire_oldest(), None);
    // The slot was expired once more: it remembers one life.
    assert_eq!(set.read_seq(two), Err(SnapshotGone::Stale));
    assert_eq!((set.read_seq(next), set.held()), (Err(SnapshotGone::Expired), 0));
    set.check();
}

#[test]
#[should_panic(expected = "newest sequence")]
fn a_snapshot_of_an_older_sequence_is_a_bug() {
    let mut slots = [[0; 5]; 2];
    let mut set = SnapshotSet::new(&mut slots);
    acquire(&mut set, 5);
    let _ = set.acquire(Seq(4));
}

#[test]
fn needed_is_true_where_a_live_snapshot_lies_in_the_interval() {
    let mut random = Random(5);
    for _ in 0..300 {
        let mut slots = vec![[0; 5]; 12];
        let mut set = SnapshotSet::new(&mut slots);
        let mut live = Vec::new();
        for seq in 0..20 {
            if random.below(3) == 0 && live.len() < 12 {
                live.push((acquire(&mut set, seq), seq));
            }
            if random.below(4) == 0 && !live.is_empty() {
                let index = random.below(live.len() as u64) as usize;
                release(&mut set, live.swap_remove(index).0);
            }
        }
        for from in 0..22 {
            for until in 0..22 {
                let expected = live.iter().any(|(_, seq)| from <= *seq && *seq < until);
                assert_eq!(set.needed(Seq(from), Seq(until)), expected, "{from}..{until}");
            }
        }
    }
}

#[test]
fn the_sets_work_does_not_grow_with_the_number_of_snapshots() {
    let work = |others: u64| {
        let mut slots = vec![[0; 5]; others as usize + 3];
        let mut set = SnapshotSet::new(&mut slots);
        let ids: Vec<_> = (0..=others).map(|seq| acquire(&mut set, seq)).collect();
        let middle = ids[others as usize / 2];
        let (acquired, id) = cost(|| acquire(&mut set, others + 1));
        let (shared, twin) = cost(|| acquire(&mut set, others + 1));
        let (superseding, needed) = cost(|| set.needed(Seq(others + 1), Seq(others + 2)));
        assert!(needed);
        [
            acquired,
            shared,
            superseding,
            cost(|| set.watermark()).0,
            cost(|| set.read_seq(middle)).0,
            cost(|| release(&mut set, twin)).0,
            cost(|| release(&mut set, middle)).0,
            cost(|| release(&mut set, id)).0,
            cost(|| set.expire_oldest()).0,
        ]
    };
    let few = work(10);
    assert_eq!(few, work(60_000));
    assert!(few.iter().all(|touches| *touches <= 8), "{few:?}");
}
