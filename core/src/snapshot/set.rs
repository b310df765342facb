//! The snapshot set: which sequences are being read. The engine asks it which old versions to keep.
//!
//! Slots of a fixed slab in a doubly linked list that ascends by sequence: new snapshots always
//! read at the newest sequence, so they go to the end, and order costs nothing. Acquire, release
//! and minimum are O(1) in the worst case; free slots are a stack. A ring of sequences would not
//! do: one old reader and many short ones fill it with holes.
//!
//! **Handles.** Snapshots of the same sequence share a slot while it has *tickets* left, 32 in its
//! life. A slot's tickets are numbered on from those of its earlier lives and never given twice;
//! the number is the handle's generation, and the slot knows by a bit which tickets are out. So: a
//! handle that was released answers `Stale` for ever, also while others share its slot, and never
//! takes a reference from another handle. A handle whose snapshot was expired answers `Expired`
//! until it is released; only if its slot is expired a second time meanwhile does it answer
//! `Stale`. A handle of another opened store is not told apart.
//!
//! Invariants, checked by `check` in tests: the list ascends; a linked slot has a ticket out, a
//! free one has none; `distinct` counts sequences, not slots.

use core::num::NonZeroU16;

use super::tally::touch;
use crate::types::Seq;

/// A slot of the set's memory. Opaque; the set clears it.
pub type SnapshotSlot = [u64; 5];

/// Tickets of one life of a slot: bits of its word.
const TICKETS: u32 = u32::BITS;

/// Names one acquired snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    slot: SlotIndex,
    generation: u64,
}

/// Every slot holds a snapshot; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotsFull {
    /// Slots: at least so many snapshots can be held at once, more where they share sequences.
    pub capacity: u16,
}

/// Why a handle reads nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotGone {
    /// It was released before.
    Stale,
    /// The store gave its snapshot up for room: see
    /// [`Versions::expire_oldest`](super::Versions::expire_oldest).
    Expired,
}

/// Index of a slot, counted from 1: 0 is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotIndex(NonZeroU16);

impl SlotIndex {
    pub(super) fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    pub(super) fn get(self) -> u16 {
        self.0.get()
    }

    fn word(index: Option<Self>) -> u64 {
        u64::from(index.map_or(0, Self::get))
    }
}

/// A slot has left the list; what hung on it belongs to the slot before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) slot: SlotIndex,
    pub(super) previous: Option<SlotIndex>,
}

/// A slot, unpacked.
#[derive(Clone, Copy, Debug)]
struct Node {
    seq: Seq,
    /// Generation of this life's first ticket.
    first: u64,
    /// Tickets given in this life, and bits of those that are out.
    issued: u32,
    live: u32,
    /// The same of the life that was last expired.
    expired_first: u64,
    expired: u32,
    previous: Option<SlotIndex>,
    /// The next newer slot; of a free slot the next free one.
    next: Option<SlotIndex>,
}

impl Node {
    fn unpack(words: &SnapshotSlot) -> Self {
        let [seq, first, expired_first, tickets, links] = *words;
        Self {
            seq: Seq(seq),
            first,
            issued: (links >> 32) as u32,
            live: tickets as u32,
            expired_first,
            expired: (tickets >> 32) as u32,
            previous: SlotIndex::new(links as u16),
            next: SlotIndex::new((links >> 16) as u16),
        }
    }

    fn pack(&self) -> SnapshotSlot {
        let links = SlotIndex::word(self.previous) | SlotIndex::word(self.next) << 16;
        [
            self.seq.0,
            self.first,
            self.expired_first,
            u64::from(self.live) | u64::from(self.expired) << 32,
            links | u64::from(self.issued) << 32,
        ]
    }
}

/// The bit of a generation among the tickets that begin with `first`; 0 if it is none of them.
fn ticket(first: u64, generation: u64) -> u32 {
    match generation.checked_sub(first) {
        Some(offset) if offset < u64::from(TICKETS) => 1 << offset,
        _ => 0,
    }
}

/// The sequences that are being read.
#[derive(Debug)]
pub struct SnapshotSet<'m> {
    slots: &'m mut [SnapshotSlot],
    oldest: Option<SlotIndex>,
    newest: Option<SlotIndex>,
    free: Option<SlotIndex>,
    /// Slots that were ever in use; those behind them are free and in no list.
    begun: u16,
    distinct: u16,
    held: u32,
}

impl<'m> SnapshotSet<'m> {
    /// An empty set; one slot for each snapshot. Clears the slots.
    ///
    /// # Panics
    /// If there are more than 65,535 slots.
    #[must_use]
    pub fn new(slots: &'m mut [SnapshotSlot]) -> Self {
        assert!(slots.len() <= usize::from(u16::MAX), "slots are counted in 16 bits");
        slots.fill([0; 5]);
        Self { slots, oldest: None, newest: None, free: None, begun: 0, distinct: 0, held: 0 }
    }

    fn load(&self, slot: SlotIndex) -> Node {
        touch();
        Node::unpack(&self.slots[usize::from(slot.get()) - 1])
    }

    fn store(&mut self, slot: SlotIndex, node: &Node) {
        touch();
        self.slots[usize::from(slot.get()) - 1] = node.pack();
    }

    /// Slots: snapshots of different sequences that can be held at once.
    #[must_use]
    pub fn capacity(&self) -> u16 {
        self.slots.len() as u16
    }

    /// Handles that are out.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Different sequences that are being read.
    #[must_use]
    pub fn distinct(&self) -> u16 {
        self.distinct
    }

    /// The oldest sequence that is being read; `None` without readers.
    #[must_use]
    pub fn watermark(&self) -> Option<Seq> {
        self.oldest.map(|slot| self.load(slot).seq)
    }

    /// No reader asks for what was superseded at or before this sequence: the watermark, or
    /// `latest` without readers.
    #[must_use]
    pub fn gc_floor(&self, latest: Seq) -> Seq {
        self.watermark().unwrap_or(latest)
    }

    /// Registers a reader at `latest`.
    ///
    /// `latest` must be at or above every sequence that superseded anything so far: what was not
    /// kept then cannot be read now. The newest published sequence is, as long as no record is
    /// staged and unpublished while a snapshot is taken. (What the version table did keep, it keeps
    /// for a snapshot below such a record too.)
    ///
    /// # Errors
    /// [`SnapshotsFull`]; never while fewer handles are out than there are slots.
    ///
    /// # Panics
    /// If a snapshot of a newer sequence exists.
    pub fn acquire(&mut self, latest: Seq) -> Result<SnapshotId, SnapshotsFull> {
        let newest = self.newest.map(|slot| (slot, self.load(slot)));
        if let Some((slot, node)) = newest {
            assert!(node.seq <= latest, "snapshots are taken at the newest sequence");
            if node.seq == latest && node.issued < TICKETS {
                return Ok(self.issue(slot, node));
            }
        }
        let Some(slot) = self.take_free() else {
            return Err(SnapshotsFull { capacity: self.capacity() });
        };
        match newest {
            Some((before, mut node)) => {
                node.next = Some(slot);
                self.store(before, &node);
                self.distinct += u16::from(node.seq != latest);
            }
            None => {
                self.oldest = Some(slot);
                self.distinct += 1;
            }
        }
        let previous = self.newest.replace(slot);
        let node = Node { seq: latest, previous, next: None, ..self.load(slot) };
        Ok(self.issue(slot, node))
    }

    fn issue(&mut self, slot: SlotIndex, mut node: Node) -> SnapshotId {
        let generation = node.first + u64::from(node.issued);
        node.live |= 1 << node.issued;
        node.issued += 1;
        self.store(slot, &node);
        self.held += 1;
        SnapshotId { slot, generation }
    }

    fn take_free(&mut self) -> Option<SlotIndex> {
        if let Some(slot) = self.free {
            self.free = self.load(slot).next;
            return Some(slot);
        }
        if self.begun == self.capacity() {
            return None;
        }
        self.begun += 1;
        SlotIndex::new(self.begun)
    }

    /// The slot and ticket of a handle, if its snapshot lives.
    fn resolve(&self, id: SnapshotId) -> Result<(Node, u32), SnapshotGone> {
        // A handle of another store may name a slot that this one does not have.
        if id.slot.get() > self.begun {
            return Err(SnapshotGone::Stale);
        }
        let node = self.load(id.slot);
        let bit = ticket(node.first, id.generation);
        if node.live & bit != 0 {
            return Ok((node, bit));
        }
        if node.expired & ticket(node.expired_first, id.generation) != 0 {
            return Err(SnapshotGone::Expired);
        }
        Err(SnapshotGone::Stale)
    }

    /// The sequence that a snapshot reads at.
    ///
    /// # Errors
    /// [`SnapshotGone`].
    pub fn read_seq(&self, id: SnapshotId) -> Result<Seq, SnapshotGone> {
        self.resolve(id).map(|(node, _)| node.seq)
    }

    /// Gives a handle back; with the last one of its slot the slot departs.
    pub(super) fn release(&mut self, id: SnapshotId) -> Result<Option<Departed>, SnapshotGone> {
        let (mut node, bit) = self.resolve(id).inspect_err(|&gone| {
            if gone == SnapshotGone::Expired {
                self.forget_expired(id);
            }
        })?;
        self.held -= 1;
        node.live &= !bit;
        if node.live != 0 {
            self.store(id.slot, &node);
            return Ok(None);
        }
        Ok(Some(self.unlink(id.slot, node)))
    }

    fn forget_expired(&mut self, id: SnapshotId) {
        let mut node = self.load(id.slot);
        node.expired &= !ticket(node.expired_first, id.generation);
        self.store(id.slot, &node);
    }

    /// Takes the oldest slot from all its handles; answers its sequence.
    pub(super) fn expire_oldest(&mut self) -> Option<(Seq, Departed)> {
        let slot = self.oldest?;
        let mut node = self.load(slot);
        self.held -= node.live.count_ones();
        (node.expired_first, node.expired) = (node.first, node.live);
        node.live = 0;
        Some((node.seq, self.unlink(slot, node)))
    }

    fn unlink(&mut self, slot: SlotIndex, mut node: Node) -> Departed {
        let (previous, next) = (node.previous, node.next);
        let mut alone = true;
        match previous {
            Some(before) => {
                let mut neighbour = self.load(before);
                neighbour.next = next;
                alone &= neighbour.seq != node.seq;
                self.store(before, &neighbour);
            }
            None => self.oldest = next,
        }
        match next {
            Some(behind) => {
                let mut neighbour = self.load(behind);
                neighbour.previous = previous;
                alone &= neighbour.seq != node.seq;
                self.store(behind, &neighbour);
            }
            None => self.newest = previous,
        }
        self.distinct -= u16::from(alone);
        node.first += u64::from(node.issued);
        node.issued = 0;
        node.previous = None;
        node.next = self.free.replace(slot);
        self.store(slot, &node);
        Departed { slot, previous }
    }

    /// Whether a snapshot sees the version of sequence `from` that was superseded at `until`: one
    /// with from <= seq < until.
    ///
    /// O(1) for what is being superseded now, as every snapshot is older than that; otherwise a
    /// walk over the snapshots at and above `until`.
    #[must_use]
    pub fn needed(&self, from: Seq, until: Seq) -> bool {
        self.newest_in(from, until).is_some()
    }

    /// The newest slot with from <= seq < until.
    pub(super) fn newest_in(&self, from: Seq, until: Seq) -> Option<SlotIndex> {
        if until <= self.watermark()? {
            return None;
        }
        let mut at = self.newest;
        // At most as many rounds as slots: the list has no circle.
        while let Some(slot) = at {
            let node = self.load(slot);
            if node.seq < until {
                return (from <= node.seq).then_some(slot);
            }
            at = node.previous;
        }
        None
    }

    /// The newest slot with from <= seq < until; `below` is one with seq < until, or `None` for the
    /// place before all slots. Looks at one slot behind `below`, as a rule: at more only where
    /// snapshots were taken below a sequence that had already superseded something.
    pub(super) fn newest_from(
        &self,
        below: Option<SlotIndex>,
        from: Seq,
        until: Seq,
    ) -> Option<SlotIndex> {
        let mut found = below;
        let mut found_seq = None;
        let mut behind = self.oldest;
        if let Some(slot) = below {
            let node = self.load(slot);
            (found_seq, behind) = (Some(node.seq), node.next);
        }
        while let Some(slot) = behind {
            let node = self.load(slot);
            if node.seq >= until {
                break;
            }
            (found, found_seq, behind) = (Some(slot), Some(node.seq), node.next);
        }
        found.filter(|_| found_seq.is_some_and(|seq| from <= seq))
    }

    /// Panics unless the invariants hold; answers the sequences with their handles, oldest first.
    #[cfg(test)]
    pub(super) fn check(&self) -> std::vec::Vec<(u64, u32)> {
        let mut found: std::vec::Vec<(u64, u32)> = std::vec::Vec::new();
        let (mut at, mut before, mut linked) = (self.oldest, None, 0);
        while let Some(slot) = at {
            let node = self.load(slot);
            assert_eq!(node.previous, before, "links go both ways");
            assert!(node.live != 0, "a linked slot has a ticket out");
            match found.last_mut() {
                Some((seq, handles)) if *seq == node.seq.0 => *handles += node.live.count_ones(),
                last => {
                    assert!(last.is_none_or(|last| last.0 < node.seq.0), "the list ascends");
                    found.push((node.seq.0, node.live.count_ones()));
                }
            }
            (before, at, linked) = (at, node.next, linked + 1);
        }
        assert_eq!(self.newest, before);
        let (mut free, mut at) = (0, self.free);
        while let Some(slot) = at {
            let node = self.load(slot);
            assert_eq!(node.live, 0, "a free slot has no ticket out");
            (at, free) = (node.next, free + 1);
        }
        assert_eq!(linked + free, self.begun, "every slot is in one list");
        assert_eq!(usize::from(self.distinct), found.len());
        assert_eq!(self.held, found.iter().map(|(_, handles)| handles).sum::<u32>());
        found
    }
}
