//! Frames: free, bound to a page, dirty (holding bytes that the medium does not have yet), pinned.
//!
//! Invariants: a dirty or pinned frame is never taken; a bound frame is in the page table under its page; a taken
//! frame belongs to the caller, pinned once, until it is bound or released. Eviction is CLOCK with a two-bit counter:
//! a frame that was read lately survives up to three rounds of the hand, one that was only written survives none.

use super::page_table::PageTable;
use crate::types::{FrameId, PageId};

const PIN: u32 = 1;
const PINS: u32 = 0xffff;
const USED: u32 = 1 << 16;
const USED_MAX: u32 = 3 << 16;
const DIRTY: u32 = 1 << 18;
const BOUND: u32 = 1 << 19;

/// The frames and their page table.
#[derive(Debug)]
pub struct Pool<'m> {
    bytes: &'m mut [u8],
    pages: &'m mut [u64],
    state: &'m mut [u32],
    table: PageTable<'m>,
    page_shift: u32,
    hand: u32,
    dirty: u32,
    /// Frames that are dirty or pinned.
    busy: u32,
}

impl<'m> Pool<'m> {
    /// Takes the frames' bytes, and for each frame a word for its page and one for its state; all zeroed but the bytes.
    pub fn new(
        bytes: &'m mut [u8],
        pages: &'m mut [u64],
        state: &'m mut [u32],
        words: &'m mut [u64],
    ) -> Self {
        let page_bytes = bytes.len() / state.len();
        assert!(
            page_bytes.is_power_of_two() && pages.len() == state.len(),
            "frames are whole pages"
        );
        Self {
            bytes,
            pages,
            state,
            table: PageTable::new(words),
            page_shift: page_bytes.trailing_zeros(),
            hand: 0,
            dirty: 0,
            busy: 0,
        }
    }

    /// Number of frames.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.state.len() as u32
    }

    /// Frames that hold bytes the medium does not have.
    #[must_use]
    pub fn dirty(&self) -> u32 {
        self.dirty
    }

    /// Frames that [`take`](Self::take) can give.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.frames() - self.busy
    }

    /// The bytes of a frame.
    #[must_use]
    pub fn frame(&self, frame: FrameId) -> &[u8] {
        let at = (frame.0 as usize) << self.page_shift;
        &self.bytes[at..at + (1 << self.page_shift)]
    }

    /// The bytes of a frame, for writing.
    pub fn frame_mut(&mut self, frame: FrameId) -> &mut [u8] {
        let at = (frame.0 as usize) << self.page_shift;
        &mut self.bytes[at..at + (1 << self.page_shift)]
    }

    /// The bytes of `count` neighbouring frames.
    pub fn run_mut(&mut self, first: FrameId, count: u32) -> &mut [u8] {
        let at = (first.0 as usize) << self.page_shift;
        &mut self.bytes[at..at + ((count as usize) << self.page_shift)]
    }

    /// Copies `bytes` bytes from `from` bytes behind the start of a frame to `to` bytes behind the start of another;
    /// neither range leaves its run of frames.
    pub fn copy(&mut self, from: (FrameId, u32), to: (FrameId, u32), bytes: u32) {
        let source = ((from.0.0 as usize) << self.page_shift) + from.1 as usize;
        let target = ((to.0.0 as usize) << self.page_shift) + to.1 as usize;
        self.bytes.copy_within(source..source + bytes as usize, target);
    }

    /// The bytes of `count` neighbouring frames.
    #[must_use]
    pub fn run(&self, first: FrameId, count: u32) -> &[u8] {
        let at = (first.0 as usize) << self.page_shift;
        &self.bytes[at..at + ((count as usize) << self.page_shift)]
    }

    /// The frame that holds a page, without counting this as a use.
    #[must_use]
    pub fn peek(&self, page: PageId) -> Option<FrameId> {
        self.table.find(page)
    }

    /// The frame that holds a page.
    pub fn find(&mut self, page: PageId) -> Option<FrameId> {
        let frame = self.table.find(page)?;
        let state = &mut self.state[frame.0 as usize];
        if *state & USED_MAX != USED_MAX {
            *state += USED;
        }
        Some(frame)
    }

    /// Whether one more use of a page would not be counted.
    #[must_use]
    pub fn is_hot(&self, page: PageId) -> bool {
        let frame = self.table.find(page);
        frame.is_some_and(|frame| self.state[frame.0 as usize] & USED_MAX == USED_MAX)
    }

    /// Takes a frame that nobody needs: pinned once, bound to nothing, content unspecified.
    pub fn take(&mut self) -> Option<FrameId> {
        // Four rounds: three to wear every use counter down, one to take.
        for _ in 0..4 * self.state.len() {
            let at = self.hand;
            self.hand = if at + 1 == self.frames() { 0 } else { at + 1 };
            let state = self.state[at as usize];
            if state & (PINS | DIRTY) != 0 {
                continue;
            }
            if state & USED_MAX != 0 {
                self.state[at as usize] = state - USED;
                continue;
            }
            self.evict(FrameId(at));
            return Some(FrameId(at));
        }
        None
    }

    /// Takes up to `want` neighbouring frames, at least one; each pinned once.
    pub fn take_run(&mut self, want: u32) -> Option<(FrameId, u32)> {
        let first = self.take()?;
        let mut count = 1;
        while count < want && first.0 + count < self.frames() {
            let next = first.0 + count;
            let state = self.state[next as usize];
            // A neighbour in use ends the run: a longer read is not worth a hot page.
            if state & (PINS | DIRTY) != 0 || state & USED_MAX > USED {
                break;
            }
            self.evict(FrameId(next));
            count += 1;
        }
        self.hand = if first.0 + count >= self.frames() { 0 } else { first.0 + count };
        Some((first, count))
    }

    /// Takes the first `want` neighbouring frames that nobody needs now, hot or not, or as many as there are side by side;
    /// each pinned once. Looks at every frame: for what lasts.
    pub fn take_long_run(&mut self, want: u32) -> Option<(FrameId, u32)> {
        let (mut best, mut run) = ((0, 0), (0, 0));
        for index in 0..self.frames() {
            if self.state[index as usize] & (PINS | DIRTY) != 0 {
                run = (index + 1, 0);
                continue;
            }
            run.1 += 1;
            if run.1 > best.1 {
                best = run;
            }
            if best.1 == want {
                break;
            }
        }
        for index in best.0..best.0 + best.1 {
            self.evict(FrameId(index));
        }
        (best.1 > 0).then_some((FrameId(best.0), best.1))
    }

    fn evict(&mut self, frame: FrameId) {
        let state = &mut self.state[frame.0 as usize];
        if *state & BOUND != 0 {
            self.table.remove(PageId(self.pages[frame.0 as usize]));
        }
        *state = PIN;
        self.busy += 1;
    }

    /// Gives a taken frame back without binding it.
    pub fn release(&mut self, frame: FrameId) {
        assert!(
            self.state[frame.0 as usize] & (PINS | BOUND) == PIN,
            "only a taken frame is released"
        );
        self.state[frame.0 as usize] = 0;
        self.busy -= 1;
    }

    /// Binds a taken frame, which holds the page's bytes, and unpins it.
    pub fn bind_clean(&mut self, frame: FrameId, page: PageId) {
        self.bind(frame, page, 0);
    }

    /// Binds a taken frame that will hold the page's first bytes, and unpins it; it stays until marked clean.
    pub fn bind_dirty(&mut self, frame: FrameId, page: PageId) {
        self.dirty += 1;
        self.bind(frame, page, DIRTY);
    }

    fn bind(&mut self, frame: FrameId, page: PageId, flag: u32) {
        assert!(self.state[frame.0 as usize] == PIN, "only a taken frame is bound");
        self.table.insert(page, frame);
        self.pages[frame.0 as usize] = page.0;
        self.state[frame.0 as usize] = BOUND | flag;
        self.busy -= u32::from(flag == 0);
    }

    /// The medium now has the page's bytes: the frame may be evicted.
    pub fn mark_clean(&mut self, page: PageId) {
        if let Some(frame) = self.table.find(page) {
            let state = &mut self.state[frame.0 as usize];
            if *state & DIRTY != 0 {
                *state &= !DIRTY;
                self.dirty -= 1;
                self.busy -= u32::from(*state & PINS == 0);
            }
        }
    }

    /// The frame of this page will take more bytes: it must stay.
    pub fn mark_dirty(&mut self, page: PageId) {
        if let Some(frame) = self.table.find(page) {
            let state = &mut self.state[frame.0 as usize];
            if *state & DIRTY == 0 {
                self.busy += u32::from(*state & PINS == 0);
                *state |= DIRTY;
                self.dirty += 1;
            }
        }
    }

    /// Forgets a page, dirty or not. It must not be pinned.
    pub fn forget(&mut self, page: PageId) {
        if let Some(frame) = self.table.find(page) {
            let state = self.state[frame.0 as usize];
            assert!(state & PINS == 0, "a pinned page is not forgotten");
            self.dirty -= u32::from(state & DIRTY != 0);
            self.busy -= u32::from(state & DIRTY != 0);
            self.table.remove(page);
            self.state[frame.0 as usize] = 0;
        }
    }

    /// Forgets a page that nobody needs: it will be read again.
    pub fn forget_clean(&mut self, page: PageId) {
        let frame = self.table.find(page);
        if frame.is_some_and(|frame| self.state[frame.0 as usize] & (PINS | DIRTY) == 0) {
            self.forget(page);
        }
    }

    /// Keeps a bound frame in place until [`unpin`](Self::unpin).
    pub fn pin(&mut self, frame: FrameId) {
        let state = &mut self.state[frame.0 as usize];
        assert!(*state & PINS != PINS, "pins are few");
        self.busy += u32::from(*state & (PINS | DIRTY) == 0);
        *state += PIN;
    }

    /// Undoes one [`pin`](Self::pin).
    pub fn unpin(&mut self, frame: FrameId) {
        let state = &mut self.state[frame.0 as usize];
        assert!(*state & PINS != 0, "only a pinned frame is unpinned");
        *state -= PIN;
        self.busy -= u32::from(*state & (PINS | DIRTY) == 0);
    }
}
