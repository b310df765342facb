//! Ordered linear probing inside one shard.
//!
//! Invariants, checked by `check` in tests: the occupied slots ascend by key (position, then low
//! shard bits); each is at its home or behind it; no slot between its home and itself is empty;
//! empty slots are all zero. So a lookup starts at the home and stops at the first empty slot or
//! greater key, and the slots' order is the iteration order.
//!
//! ```text
//! home       0   1   2   3   4   5 | slack      home slots in use grow towards the stride's end;
//! slot      [a0][b0][c0][d2][ ][e5]|[f5][ ]     letters ascend, digits are homes
//! ```

use super::slot::{EMPTY, Slot, SlotKey, is_empty, key, low};

/// The home of a position: monotone in the position, so sorted keys have sorted homes.
#[inline]
pub(super) fn home_of(position: u64, home_slots: u32) -> usize {
    (((position >> 32) * u64::from(home_slots)) >> 32) as usize
}

/// The index of the key, or the index where it belongs (one behind the last if everything up to the
/// end is smaller).
#[inline]
pub(super) fn find(slots: &[Slot], home_slots: u32, wanted: SlotKey) -> Result<usize, usize> {
    let home = home_of(wanted.position, home_slots);
    for (step, slot) in slots[home..].iter().enumerate() {
        // Most steps see a smaller position: that test and the one for emptiness are the whole
        // loop.
        if slot[0] < wanted.position {
            if is_empty(slot) {
                return Err(home + step);
            }
            continue;
        }
        if is_empty(slot) || slot[0] != wanted.position || low(slot) > wanted.low {
            return Err(home + step);
        }
        if low(slot) == wanted.low {
            return Ok(home + step);
        }
    }
    Err(slots.len())
}

/// Puts a slot at the index that `find` named, shifting the run behind it up by one. `false`, and
/// nothing has changed, if there is no empty slot up to the end.
#[inline]
pub(super) fn insert_at(slots: &mut [Slot], index: usize, slot: Slot) -> bool {
    let Some(run) = slots[index..].iter().position(is_empty) else {
        return false;
    };
    slots.copy_within(index..index + run, index + 1);
    slots[index] = slot;
    true
}

/// Whether a new key would find an empty slot.
pub(super) fn is_open(slots: &[Slot], home_slots: u32, key: SlotKey) -> bool {
    let (Ok(index) | Err(index)) = find(slots, home_slots, key);
    slots[index..].iter().any(is_empty)
}

/// Takes the slot at the index out, shifting back what is behind it up to an empty slot or an entry
/// at its home.
pub(super) fn remove_at(slots: &mut [Slot], home_slots: u32, index: usize) {
    let behind = index + 1;
    let run = slots[behind..]
        .iter()
        .enumerate()
        .position(|(step, slot)| is_empty(slot) || home_of(slot[0], home_slots) == behind + step)
        .unwrap_or(slots.len() - behind);
    slots.copy_within(behind..behind + run, index);
    slots[index + run] = EMPTY;
}

/// Places every entry from `from` on anew, the lowest first, each at its home or right behind the
/// one before it, where `keep` does not drop it by `false`. The slots before `from` must be empty.
///
/// The write never overtakes the read, if each entry i is read from R(i) >= home(i): W(i) =
/// max(home(i), W(i-1) + 1); W(i-1) <= R(i-1) holds for the entry before, and R(i-1) + 1 <= R(i),
/// so W(i) <= R(i). Hence it also ends in bounds.
pub(super) fn settle(
    slots: &mut [Slot],
    from: usize,
    home_slots: u32,
    mut keep: impl FnMut(&Slot) -> bool,
) {
    let mut next = 0;
    for read in from..slots.len() {
        let slot = slots[read];
        if is_empty(&slot) {
            // Not written: memory of a shard may be in use and yet never touched.
            continue;
        }
        slots[read] = EMPTY;
        if keep(&slot) {
            let write = home_of(slot[0], home_slots).max(next);
            debug_assert!(write <= read);
            slots[write] = slot;
            next = write + 1;
        }
    }
}

/// Spreads the entries over more home slots. `slots` is the region of the new size; `home_slots`
/// the old home slots.
///
/// All entries move up by D, the number of new slots, as they lie; then they settle. That is in
/// bounds and never overtakes, because R(i) = old slot + D >= old home + D >= new home: with p the
/// upper 32 bits of the position, H the old home slots and H' = H + D, floor(p H' / 2^32) <=
/// floor(p H / 2^32) + floor(p D / 2^32) + 1, and p D / 2^32 < D, so the middle term is at most D -
/// 1.
pub(super) fn grow(slots: &mut [Slot], home_slots: u32, added: Added) {
    let added_slots = added.0 as usize;
    let old_end = slots.len() - added_slots;
    // Only what is in use moves: slots that were never touched are not written.
    let used = slots[..old_end].iter().rposition(|slot| !is_empty(slot)).map_or(0, |last| last + 1);
    slots.copy_within(..used, added_slots);
    slots[..added_slots.min(used)].fill(EMPTY);
    settle(&mut slots[..used + added_slots], added_slots, home_slots + added.0, |_| true);
}

/// Home slots that a shard gains.
#[derive(Clone, Copy)]
pub(super) struct Added(pub(super) u32);

/// The first entry behind a key, or the first of all.
pub(super) fn next_after(slots: &[Slot], home_slots: u32, after: Option<SlotKey>) -> Option<&Slot> {
    // Greater keys have no lower home, so none of them lies before the key's own home.
    let from = after.map_or(0, |after| home_of(after.position, home_slots));
    slots[from..].iter().find(|slot| !is_empty(slot) && after.is_none_or(|after| key(slot) > after))
}

/// Panics unless the shard's invariants hold; answers its entries.
#[cfg(test)]
pub(super) fn check(slots: &[Slot], home_slots: u32) -> u32 {
    let mut entries = 0;
    let mut before: Option<SlotKey> = None;
    for (index, slot) in slots.iter().enumerate() {
        if is_empty(slot) {
            assert_eq!(*slot, EMPTY, "an empty slot is all zero");
            continue;
        }
        assert!(before.is_none_or(|before| before < key(slot)), "slots ascend");
        let home = home_of(slot[0], home_slots);
        assert!(home <= index, "an entry is not before its home");
        assert!(slots[home..index].iter().all(|slot| !is_empty(slot)), "no gap before an entry");
        before = Some(key(slot));
        entries += 1;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(position: u64) -> Slot {
        [position, 1, 0]
    }

    fn insert(slots: &mut [Slot], home_slots: u32, position: u64) -> bool {
        let Err(index) = find(slots, home_slots, SlotKey { position, low: 0 }) else {
            return false;
        };
        insert_at(slots, index, slot(position))
    }

    #[test]
    fn a_full_region_refuses_and_stays_as_it_was() {
        let mut slots = [EMPTY; 4];
        for position in [3 << 62, 2 << 62, u64::MAX] {
            assert!(insert(&mut slots, 2, position));
        }
        let before = slots;
        assert!(!insert(&mut slots, 2, (3 << 62) + 1));
        assert_eq!(slots, before);
        assert!(insert(&mut slots, 2, 7), "home 0 is still free");
        assert_eq!(check(&slots, 2), 4);
    }

    #[test]
    fn growth_keeps_every_entry_for_every_number_of_added_slots() {
        // Three loads: spread, all at the end, all at the start.
        for spread in [1u64 << 59, 1, 1 << 40] {
            for added in 1..=40 {
                let mut slots = [EMPTY; 64];
                let start = if spread == 1 { u64::MAX - 16 } else { 0 };
                for index in 0..16 {
                    assert!(insert(&mut slots[..24], 8, start + index * spread));
                }
                grow(&mut slots[..24 + added as usize], 8, Added(added));
                assert_eq!(check(&slots[..24 + added as usize], 8 + added), 16);
                assert!(slots[24 + added as usize..].iter().all(is_empty));
            }
        }
    }

    #[test]
    fn removing_closes_the_gap_up_to_an_entry_at_its_home() {
        let mut slots = [EMPTY; 8];
        for position in [0, 1, 2, 1 << 63] {
            assert!(insert(&mut slots, 4, position));
        }
        // Slots 0, 1, 2 and 3: the last was pushed from its home 2.
        assert_eq!(find(&slots, 4, SlotKey { position: 1 << 63, low: 0 }), Ok(3));
        remove_at(&mut slots, 4, 0);
        assert_eq!(find(&slots, 4, SlotKey { position: 1 << 63, low: 0 }), Ok(2));
        remove_at(&mut slots, 4, 0);
        assert_eq!(find(&slots, 4, SlotKey { position: 1 << 63, low: 0 }), Ok(2));
        assert_eq!(check(&slots, 4), 2);
    }
}
