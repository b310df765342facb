//! The segment table: two words for each segment. Word 0 is the incarnation (`open_seq`), 0 for a free segment; word 1
//! holds the live bytes (low half) and the used bytes (high half).

use crate::types::{SegmentId, Seq};

/// Word 0 of a segment that failed and is not used again by this session.
const BAD: u64 = u64::MAX;

/// The table.
#[derive(Debug)]
pub(crate) struct Segments<'m> {
    words: &'m mut [[u64; 2]],
    count: u32,
    free: u32,
    next: u32,
}

impl<'m> Segments<'m> {
    /// Takes zeroed words, as many as the store may ever have segments; `count` exist now.
    pub(crate) fn new(words: &'m mut [[u64; 2]], count: u32) -> Self {
        assert!(count as usize <= words.len(), "the table holds every segment that may exist");
        Self { words, count, free: count, next: 0 }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn free(&self) -> u32 {
        self.free
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

    /// The incarnation of a segment in use.
    pub(crate) fn open_seq(&self, segment: SegmentId) -> Option<Seq> {
        let word = self.words[segment.0 as usize][0];
        (word != 0 && word != BAD).then_some(Seq(word))
    }

    pub(crate) fn exists(&self, segment: SegmentId) -> bool {
        segment.0 < self.count
    }

    /// Puts a segment in use.
    pub(crate) fn open(&mut self, segment: SegmentId, open_seq: Seq) {
        let word = &mut self.words[segment.0 as usize];
        self.free -= u32::from(word[0] == 0);
        *word = [open_seq.0, 0];
        self.next = segment.0 + 1;
    }

    /// Gives a segment back.
    pub(crate) fn release(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        self.free += u32::from(word[0] != 0 && word[0] != BAD);
        *word = [0, 0];
    }

    /// Begins the turn behind a segment, so that it is taken last.
    pub(crate) fn pass_over(&mut self, segment: SegmentId) {
        self.next = segment.0 + 1;
    }

    /// A segment that cannot be written.
    pub(crate) fn set_bad(&mut self, segment: SegmentId) {
        let word = &mut self.words[segment.0 as usize];
        self.free -= u32::from(word[0] == 0);
        word[0] = BAD;
    }

    /// The next free segment, in turn, so that wear spreads.
    pub(crate) fn next_free(&self) -> Option<SegmentId> {
        (0..self.count)
            .map(|step| SegmentId((self.next + step) % self.count))
            .find(|segment| self.words[segment.0 as usize][0] == 0)
    }

    pub(crate) fn live(&self, segment: SegmentId) -> u32 {
        self.words[segment.0 as usize][1] as u32
    }

    pub(crate) fn used(&self, segment: SegmentId) -> u32 {
        (self.words[segment.0 as usize][1] >> 32) as u32
    }

    pub(crate) fn set_used(&mut self, segment: SegmentId, used: u32) {
        let word = &mut self.words[segment.0 as usize][1];
        *word = *word & 0xffff_ffff | u64::from(used) << 32;
    }

    pub(crate) fn add_live(&mut self, segment: SegmentId, bytes: u32) {
        self.words[segment.0 as usize][1] += u64::from(bytes);
    }

    pub(crate) fn subtract_live(&mut self, segment: SegmentId, bytes: u32) {
        let word = &mut self.words[segment.0 as usize][1];
        assert!(*word as u32 >= bytes, "a segment has the live bytes that leave it");
        *word -= u64::from(bytes);
    }

    /// Sets the bit of every segment in use.
    pub(crate) fn fill_bitmap(&self, bitmap: &mut [u8]) {
        bitmap.fill(0);
        for (index, word) in self.words[..self.count as usize].iter().enumerate() {
            if word[0] != 0 && word[0] != BAD {
                bitmap[index / 8] |= 1 << (index % 8);
            }
        }
    }

    /// Segments in use.
    pub(crate) fn used_ids(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let in_use = |(index, word): (usize, &[u64; 2])| {
            (word[0] != 0 && word[0] != BAD).then_some(SegmentId(index as u32))
        };
        self.words[..self.count as usize].iter().enumerate().filter_map(in_use)
    }
}
