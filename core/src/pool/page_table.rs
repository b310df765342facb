//! From page to frame: open addressing over 64-bit words, at most half full, no tombstones.
//!
//! A word holds the page in its upper 40 bits and the frame plus one in its lower 24; 0 is empty.

use crate::types::{FrameId, PageId};

const FRAME_BITS: u32 = 24;

/// The page table. Its words must be zero at first.
#[derive(Debug)]
pub struct PageTable<'m> {
    words: &'m mut [u64],
    mask: usize,
}

impl<'m> PageTable<'m> {
    /// Words that `frames` frames need.
    #[must_use]
    pub const fn words_for(frames: u32) -> usize {
        (frames as usize * 2).next_power_of_two()
    }

    /// Takes zeroed words, a power of two of them, at least twice the number of frames.
    pub fn new(words: &'m mut [u64]) -> Self {
        assert!(words.len().is_power_of_two(), "the page table has a power of two of words");
        let mask = words.len() - 1;
        Self { words, mask }
    }

    fn home(&self, page: PageId) -> usize {
        // Fibonacci hashing: neighbouring pages spread, and the upper bits are the good ones.
        (page.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask
    }

    /// The frame of a page.
    #[must_use]
    pub fn find(&self, page: PageId) -> Option<FrameId> {
        let mut at = self.home(page);
        loop {
            let word = self.words[at];
            if word == 0 {
                return None;
            }
            if word >> FRAME_BITS == page.0 {
                return Some(FrameId((word as u32 & ((1 << FRAME_BITS) - 1)) - 1));
            }
            at = (at + 1) & self.mask;
        }
    }

    /// Adds a page that is not there.
    pub fn insert(&mut self, page: PageId, frame: FrameId) {
        debug_assert!(self.find(page).is_none(), "a page has one frame");
        let mut at = self.home(page);
        while self.words[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.words[at] = page.0 << FRAME_BITS | u64::from(frame.0 + 1);
    }

    /// Removes a page; the words behind it move up so that no search ends too early.
    pub fn remove(&mut self, page: PageId) {
        let mut at = self.home(page);
        loop {
            let word = self.words[at];
            if word == 0 {
                return;
            }
            if word >> FRAME_BITS == page.0 {
                break;
            }
            at = (at + 1) & self.mask;
        }
        let mut hole = at;
        let mut next = (at + 1) & self.mask;
        while self.words[next] != 0 {
            let home = self.home(PageId(self.words[next] >> FRAME_BITS));
            // The word may move into the hole only if its home does not lie between them.
            if next.wrapping_sub(home) & self.mask >= next.wrapping_sub(hole) & self.mask {
                self.words[hole] = self.words[next];
                hole = next;
            }
            next = (next + 1) & self.mask;
        }
        self.words[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::PageTable;
    use crate::types::{FrameId, PageId};
    use std::collections::BTreeMap;

    #[test]
    fn behaves_as_a_map_under_random_insertion_and_removal() {
        let mut words = [0; 64];
        let mut table = PageTable::new(&mut words);
        let mut model = BTreeMap::new();
        let mut random = 7u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let page = (random >> 33) % 97;
            if model.contains_key(&page) {
                table.remove(PageId(page));
                model.remove(&page);
            } else if model.len() < 32 {
                let frame = (random >> 20) as u32 % 1000;
                table.insert(PageId(page), FrameId(frame));
                model.insert(page, frame);
            }
            for page in 0..97 {
                assert_eq!(table.find(PageId(page)), model.get(&page).map(|&frame| FrameId(frame)));
            }
        }
    }
}
