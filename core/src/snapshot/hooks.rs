//! Hooks: which versions hang on which snapshot slot.
//!
//! A version hangs on the newest slot that needs it. When that slot departs, the version may still
//! be needed by an older one, the newest of which is the slot before; so its whole list goes there
//! in one splice, to be looked at later, piece by piece (`Versions::step`).
//!
//! ```text
//! hook of a slot    hung: needed by this slot    waiting: came from newer slots, to be looked at
//! hook 0            waiting: came from the oldest slot; needed by nobody
//!
//! release of s9     s4: hung A, waiting -     s9: hung B C, waiting D
//!               ->  s4: hung A, waiting B C D
//! ```
//! Lists are circles of entries, named by their last one, so that two join in O(1). Slots with
//! waiting entries are in a doubly linked list of their own, so that `step` finds work in O(1).
//!
//! Invariants, checked by the table's `check`: only hooks of linked slots and hook 0 hold entries;
//! every entry is on one hook; `waiting` is the number of waiting entries.

use super::entry::{Entries, EntryNumber};
use super::set::{Departed, SlotIndex};
use super::tally::touch;

/// A hook's memory. Opaque; the table clears it.
pub type Hook = [u32; 5];

const HUNG: usize = 0;
const HUNG_COUNT: usize = 1;
const WAITING: usize = 2;
const PREVIOUS: usize = 3;
const NEXT: usize = 4;

/// The hook of versions that no slot needs. Not in the list of hooks with work.
const NOBODY: u16 = 0;

/// Hooks for so many snapshot slots: the length of their slice.
#[must_use]
pub const fn hooks_for(snapshots_max: u16) -> usize {
    snapshots_max as usize + 1
}

/// The hooks, and how much waits on them.
#[derive(Debug)]
pub(super) struct Hooks<'m> {
    hooks: &'m mut [Hook],
    /// First hook, but 0, with waiting entries; 0 is none.
    busy: u16,
    waiting: u32,
}

impl<'m> Hooks<'m> {
    pub(super) fn new(hooks: &'m mut [Hook]) -> Self {
        assert!(!hooks.is_empty(), "hook 0 is there without any slot");
        hooks.fill([0; 5]);
        Self { hooks, busy: 0, waiting: 0 }
    }

    /// Entries that wait to be looked at.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    fn hook(&mut self, index: u16) -> &mut Hook {
        touch();
        &mut self.hooks[usize::from(index)]
    }

    /// Hangs an entry on a slot that needs it.
    pub(super) fn hang(&mut self, entries: &mut Entries<'_>, slot: SlotIndex, entry: EntryNumber) {
        let hook = self.hook(slot.get());
        entries.set_beside(entry, entry);
        hook[HUNG] = EntryNumber::word(join(entries, EntryNumber::new(hook[HUNG]), Some(entry)));
        hook[HUNG_COUNT] += 1;
    }

    /// Moves all that hangs on a departed slot to the slot before it, or to nobody's.
    pub(super) fn depart(&mut self, entries: &mut Entries<'_>, departed: &Departed) {
        let slot = departed.slot.get();
        let [hung, hung_count, waiting, ..] = *self.hook(slot);
        if waiting != 0 {
            self.set_idle(slot);
        }
        *self.hook(slot) = [0; 5];
        let moved = join(entries, EntryNumber::new(hung), EntryNumber::new(waiting));
        if moved.is_none() {
            return;
        }
        self.waiting += hung_count;
        let heir = departed.previous.map_or(NOBODY, SlotIndex::get);
        let hook = self.hook(heir);
        let before = EntryNumber::new(hook[WAITING]);
        hook[WAITING] = EntryNumber::word(join(entries, before, moved));
        if before.is_none() && heir != NOBODY {
            self.set_busy(heir);
        }
    }

    /// Takes the next waiting entry, with the slot that it waits on; those that nobody needs first.
    pub(super) fn take_waiting(
        &mut self,
        entries: &mut Entries<'_>,
    ) -> Option<(Option<SlotIndex>, EntryNumber)> {
        let index = if self.hook(NOBODY)[WAITING] != 0 { NOBODY } else { self.busy };
        let hook = self.hook(index);
        let last = EntryNumber::new(hook[WAITING])?;
        let first = entries.beside(last);
        if first == last {
            hook[WAITING] = 0;
            if index != NOBODY {
                self.set_idle(index);
            }
        } else {
            let second = entries.beside(first);
            entries.set_beside(last, second);
        }
        self.waiting -= 1;
        Some((SlotIndex::new(index), first))
    }

    fn set_busy(&mut self, index: u16) {
        let behind = core::mem::replace(&mut self.busy, index);
        let hook = self.hook(index);
        (hook[PREVIOUS], hook[NEXT]) = (0, u32::from(behind));
        if behind != 0 {
            self.hook(behind)[PREVIOUS] = u32::from(index);
        }
    }

    fn set_idle(&mut self, index: u16) {
        let hook = self.hook(index);
        // Both are indices of hooks, which are counted in 16 bits.
        let (previous, next) = (hook[PREVIOUS] as u16, hook[NEXT] as u16);
        (hook[PREVIOUS], hook[NEXT]) = (0, 0);
        match previous {
            0 => self.busy = next,
            _ => self.hook(previous)[NEXT] = u32::from(next),
        }
        if next != 0 {
            self.hook(next)[PREVIOUS] = u32::from(previous);
        }
    }

    /// Every entry that is hung (with its slot) or waits (with none), after a check of the counts.
    #[cfg(test)]
    pub(super) fn all(
        &self,
        entries: &Entries<'_>,
    ) -> std::vec::Vec<(u16, Option<SlotIndex>, EntryNumber)> {
        let mut found = std::vec::Vec::new();
        let mut waiting = 0;
        for (index, hook) in self.hooks.iter().enumerate() {
            let (mut hung_here, mut waiting_here) = (0, 0);
            for (list, count) in [(HUNG, &mut hung_here), (WAITING, &mut waiting_here)] {
                let Some(last) = EntryNumber::new(hook[list]) else { continue };
                let mut at = last;
                loop {
                    at = entries.beside(at);
                    let slot = SlotIndex::new(index as u16).filter(|_| list == HUNG);
                    found.push((index as u16, slot, at));
                    *count += 1;
                    assert!(*count as usize <= entries.0.len(), "a list ends where it began");
                    if at == last {
                        break;
                    }
                }
            }
            assert_eq!(hung_here, hook[HUNG_COUNT]);
            waiting += waiting_here;
        }
        assert_eq!(waiting, self.waiting);
        let (mut busy, mut at) = (0, self.busy);
        while at != 0 {
            assert_ne!(self.hooks[usize::from(at)][WAITING], 0, "a busy hook has work");
            (at, busy) = (self.hooks[usize::from(at)][NEXT] as u16, busy + 1);
        }
        assert_eq!(busy, self.hooks[1..].iter().filter(|hook| hook[WAITING] != 0).count());
        found
    }
}

/// Makes one circle of two, each named by its last entry; the second one's last becomes the last.
fn join(
    entries: &mut Entries<'_>,
    first: Option<EntryNumber>,
    second: Option<EntryNumber>,
) -> Option<EntryNumber> {
    let (Some(one), Some(two)) = (first, second) else {
        return first.or(second);
    };
    let (head_one, head_two) = (entries.beside(one), entries.beside(two));
    entries.set_beside(one, head_two);
    entries.set_beside(two, head_one);
    Some(two)
}
