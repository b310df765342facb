//! The segment table: two words for each segment. Word 0 is the incarnation (`open_seq`), 0 for a free segment; word 1
//! holds the live bytes (low half), the end of its groups (30 bits above), whether only its header tells where its
//! predecessor ends, and whether it is damaged (the top bit).
//!
//! Live bytes are counted as what a merge would append to keep them: a record's aligned bytes, its explicit sequence and
//! its hints. So `live` is exact, and it is an upper bound of what copying the segment costs. A record that is a copy
//! already has its sequence, so copying it again costs no more than copying it first: what is alive costs the same for
//! ever, however often it is merged. A copy is told by its sequence, which is older than the segment that it lies in.

use crate::format::record::EXPLICIT_SEQ_BYTES;
use crate::keydir::Entry;
use crate::types::{SegmentId, Seq};

/// Word 0 of a segment that failed and is not used again by this session.
const BAD: u64 = u64::MAX;
/// Word 0 of a segment that must be there, but has no header: an announcement may excuse it.
const MISSING: u64 = u64::MAX - 1;
/// Word 1 of a free segment that this session erased.
const ERASED: u64 = 1;
const DAMAGED: u64 = 1 << 63;
const HOLDS_END: u64 = 1 << 62;
const USED_SHIFT: u32 = 32;
const USED_MASK: u64 = 0x3fff_ffff << USED_SHIFT;

/// What keeping a record costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordCost {
    /// Alignment of records.
    pub(crate) align: u32,
    /// Bytes that a copy takes beyond the record: its sequence and its hints.
    pub(crate) extra: u32,
    /// Bytes that a copy takes beyond a short record, since it is a whole one. All records are counted as if they were
    /// short where any is: what the index keeps of them does not tell.
    pub(crate) short: u32,
}

impl RecordCost {
    pub(crate) const fn of(self, record_bytes: u32) -> u32 {
        self.of_copy(record_bytes + self.short)
    }

    /// What keeping a copy costs, given its bytes without its sequence.
    const fn of_copy(self, record_bytes: u32) -> u32 {
        crate::format::bytes::round_up(record_bytes, self.align) + self.extra
    }
}

/// Which free segment is taken next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Each in turn, so that wear spreads.
    Round,
    /// The first one, so that the device's end becomes free.
    Lowest,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Segments<'m> {
    words: &'m mut [[u64; 2]],
    pub(crate) cost: RecordCost,
    count: u32,
    free: u32,
    /// Fewest free segments of this session.
    free_min: u32,
    lost: u32,
    next: u32,
    turn: Turn,
    /// Taken last.
    passed_over: Option<SegmentId>,
    live_total: u64,
}

impl<'m> Segments<'m> {
    /// Takes zeroed words, as many as the store may ever have segments; `count` exist now.
    pub(crate) fn new(words: &'m mut [[u64; 2]], count: u32, cost: RecordCost, turn: Turn) -> Self {
        assert!(count as usize <= words.len(), "the table holds every segment that may exist");
        Self {
            words,
            cost,
            count,
            free: count,
            free_min: count,
            lost: 0,
            next: 0,
            turn,
            passed_over: None,
            live_total: 0,
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    /// The fewest that were free at any moment since [`begin_session`](Self::begin_session).
    pub(crate) fn free_min(&self) -> u32 {
        self.free_min
    }

    /// From here on segments are opened by appends, not by what recovery finds.
    pub(crate) fn begin_session(&mut self) {
        self.free_min = self.free;
    }

    /// Segments that hold nothing and give no room back: they failed, or are damaged.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// What keeping everything alive would cost, in bytes.
    pub(crate) fn live_total(&self) -> u64 {
        self.live_total
    }

    /// The device grew.
    pub(crate) fn set_count(&mut self, count: u32) {
        assert!(
            count >= self.count && count as usize <= self.words.len(),
            "segments only become more"
        );
        self.free += count - self.count;
        self.count = count;
    }

    /// The segments from `count` on, which are free, will not exist any more.
    pub(crate) fn shrink_to(&mut self, count: u32) {
        assert!(
            self.used_ids().all(|segment| segment.0 < count),
            "only free segments are given up"
        );
        for index in count..self.count {
            let word = &mut self.words[index as usize];
            self.free -= u32::from(word[0] == 0);
            self.lost -= u32::from(word[0] == BAD);
            *word = [0, 0];
        }
        self.count = count;
        self.next %= count;
    }

    /// The incarnation of a segment in use.
    pub(crate) fn open_seq(&self, segment: SegmentId) -> Option<Seq> {
        let word = self.words[segment.0 as usize][0];
        (word != 0 && word < MISSING).then_some(Seq(word))
    }

    pub(crate) fn exists(&self, segment: SegmentId) -> bool {
        segment.0 < self.count
    }

    /// Puts a segment in use.
    pub(crate) fn open(&mut self, segment: SegmentId, open_seq: Seq) {
        let word = &mut self.words[segment.0 as usize];
        self.free -= u32::from(word[0] == 0);
        *word = [open_seq.0, 0];
        self.free_min = self.free_min.min(self.free);
        self.next = segment.0 + 1;
        self.passed_over = None;
    }

    /// Gives a segment back. Nothing in it is alive.
    pub(crate) fn release(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        assert!(word[1] as u32 == 0, "a segment is given back when nothing in it is alive");
        self.free += u32::from(word[0] != 0 && word[0] != BAD);
        self.lost -= u32::from(word[1] & DAMAGED != 0);
        *word = [0, 0];
    }

    /// A free segment was erased by this session: the next one that is opened.
    pub(crate) fn set_erased(&mut self, segment: SegmentId) {
        if self.words[segment.0 as usize][0] == 0 {
            self.words[segment.0 as usize][1] = ERASED;
        }
    }

    /// No free segment counts as erased any more.
    pub(crate) fn forget_erased(&mut self) {
        for word in self.words[..self.count as usize].iter_mut().filter(|word| word[0] == 0) {
            word[1] = 0;
        }
    }

    /// Whether a free segment is erased.
    pub(crate) fn is_erased(&self, segment: SegmentId) -> bool {
        self.words[segment.0 as usize] == [0, ERASED]
    }

    /// This segment is taken last.
    pub(crate) fn pass_over(&mut self, segment: SegmentId) {
        self.passed_over = Some(segment);
    }

    /// A segment that cannot be written.
    pub(crate) fn set_bad(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        self.free -= u32::from(word[0] == 0);
        self.free_min = self.free_min.min(self.free);
        self.lost += u32::from(word[0] != BAD);
        word[0] = BAD;
    }

    /// Everything that was alive in a bad segment was moved.
    pub(crate) fn empty_bad(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        if word[0] == BAD {
            self.live_total -= u64::from(word[1] as u32);
            word[1] = word[1] >> USED_SHIFT << USED_SHIFT;
        }
    }

    /// A segment with live records that cannot be read: it is kept as it is until they are overwritten.
    pub(crate) fn set_damaged(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        self.lost += u32::from(word[1] & DAMAGED == 0);
        word[1] |= DAMAGED;
    }

    /// A segment that is the only witness of records that are lost, and of which keys nobody knows: it is kept for good. One
    /// byte in it counts as alive for ever, so that no merge gives it back.
    pub(crate) fn set_witness(&mut self, segment: SegmentId) {
        if !self.is_damaged(segment) {
            self.set_damaged(segment);
            self.words[segment.0 as usize][1] += 1;
            self.live_total += 1;
        }
    }

    /// Only this segment's header tells where the one before it ends: it is kept as long as there is an older one.
    pub(crate) fn set_holds_end(&mut self, segment: SegmentId) {
        self.words[segment.0 as usize][1] |= HOLDS_END;
    }

    pub(crate) fn holds_end(&self, segment: SegmentId) -> bool {
        self.words[segment.0 as usize][1] & HOLDS_END != 0
    }

    /// A segment that should be there has no header.
    pub(crate) fn set_missing(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        self.free -= u32::from(word[0] == 0);
        *word = [MISSING, 0];
    }

    pub(crate) fn is_missing(&self, segment: SegmentId) -> bool {
        self.words[segment.0 as usize][0] == MISSING
    }

    /// The first segment that should be there and is not.
    pub(crate) fn first_missing(&self) -> Option<SegmentId> {
        (0..self.count).map(SegmentId).find(|&segment| self.is_missing(segment))
    }

    pub(crate) fn is_damaged(&self, segment: SegmentId) -> bool {
        self.words[segment.0 as usize][1] & DAMAGED != 0
    }

    /// The next free segment.
    pub(crate) fn next_free(&self) -> Option<SegmentId> {
        let first = if self.turn == Turn::Lowest { 0 } else { self.next };
        let is_free = |segment: &SegmentId| self.words[segment.0 as usize][0] == 0;
        let last = self.passed_over.filter(|segment| segment.0 < self.count && is_free(segment));
        (0..self.count)
            .map(|step| SegmentId((first + step) % self.count))
            .find(|segment| is_free(segment) && Some(*segment) != last)
            .or(last)
    }

    /// What keeping the live records of a segment costs.
    pub(crate) fn live(&self, segment: SegmentId) -> u32 {
        self.words[segment.0 as usize][1] as u32
    }

    /// First offset behind the groups of a sealed segment.
    pub(crate) fn used(&self, segment: SegmentId) -> u32 {
        ((self.words[segment.0 as usize][1] & USED_MASK) >> USED_SHIFT) as u32
    }

    pub(crate) fn set_used(&mut self, segment: SegmentId, used: u32) {
        let word = &mut self.words[segment.0 as usize][1];
        *word = *word & !USED_MASK | u64::from(used) << USED_SHIFT;
    }

    /// What keeping the record behind an entry costs. (A record that left a segment whose header could not be written kept
    /// its sequence without spelling it out: it counts for 8 bytes less, until it is copied.)
    pub(crate) fn cost_of(&self, segment: SegmentId, entry: &Entry) -> u32 {
        let is_copy = entry.seq.0 < self.words[segment.0 as usize][0];
        let record_bytes = entry.location.record_bytes;
        if is_copy {
            self.cost.of_copy(record_bytes.saturating_sub(EXPLICIT_SEQ_BYTES))
        } else {
            self.cost.of(record_bytes)
        }
    }

    /// The record behind an entry is alive, in this segment.
    pub(crate) fn add_live(&mut self, segment: SegmentId, entry: &Entry) {
        let cost = u64::from(self.cost_of(segment, entry));
        self.words[segment.0 as usize][1] += cost;
        self.live_total += cost;
    }

    /// The record behind an entry is dead, in this segment.
    pub(crate) fn subtract_live(&mut self, segment: SegmentId, entry: &Entry) {
        let cost = self.cost_of(segment, entry);
        let word = &mut self.words[segment.0 as usize][1];
        assert!(*word as u32 >= cost, "a segment has the live bytes that leave it");
        *word -= u64::from(cost);
        self.live_total -= u64::from(cost);
    }

    /// Sets the bit of every segment in use but `except`.
    pub(crate) fn fill_bitmap(&self, bitmap: &mut [u8], except: Option<SegmentId>) {
        bitmap.fill(0);
        for segment in self.used_ids().filter(|&segment| Some(segment) != except) {
            let index = segment.0 as usize;
            bitmap[index / 8] |= 1 << (index % 8);
        }
    }

    /// Segments in use.
    pub(crate) fn used_ids(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let in_use = |(index, word): (usize, &[u64; 2])| {
            (word[0] != 0 && word[0] < MISSING).then_some(SegmentId(index as u32))
        };
        self.words[..self.count as usize].iter().enumerate().filter_map(in_use)
    }
}
