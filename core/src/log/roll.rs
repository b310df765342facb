//! From one segment to the next. The order on the device:
//!
//! ```text
//! rest of the old segment's groups | wait | footer, header of the new one | flush | its mark in the old one | groups ..
//! ```
//! So a header on the medium says nothing yet about the old segment; a mark or a group of the new one proves that the
//! flush succeeded, and with it everything before. At every moment two places know of a segment in use: its header and,
//! until it is sealed, its predecessor's mark; then its footer.

use core::task::Poll;

use super::head::{Boundary, Head, HeadStart, Resumption};
use crate::canary::Canary;
use crate::engine::{Engine, MarkState, Purpose, ready};
use crate::error::Error;
use crate::format::footer::{Footer, encode_footer};
use crate::format::segment::{Cut, HEADER_FIXED_BYTES, HeaderPlace, SegmentHeader, encode_header};
use crate::types::{FrameId, Offset, SegmentId, Seq};

/// Places in the queue that sealing and opening need.
pub(crate) const ROLL_OPS: usize = 9;
/// Free segments that appends leave for recovery and for failed writes. (No seeded bug for this: as long as no segment is lost,
/// merging keeps one more free, so that no append gets this far.)
pub(super) const RESERVE: u32 = 1;

impl Engine<'_> {
    /// Ready once the head stands in a new segment. The open group is closed first.
    pub(crate) fn poll_roll(&mut self) -> Result<Poll<()>, Error> {
        ready!(self.poll_free_segment()?);
        ready!(self.append_hints()?);
        ready!(self.poll_pad_out()?);
        if !self.issue_up_to(self.head.position) || !self.port.is_idle() || self.failed.is_some() {
            return Ok(Poll::Pending);
        }
        if self.port.pool.available() < 6 || self.port.room() < ROLL_OPS {
            return Ok(Poll::Pending);
        }
        let Some(next) = self.segments.next_free() else { return Err(Error::Full) };
        self.clean_head();
        let end = Boundary { end: self.head.position, digest: self.head.digest };
        let cut = self.seal(end);
        self.leave_head();
        // The flush behind the new header makes the announcement durable as well: whoever proves the header proves both.
        let gone = self.merger.announced.map(|(segment, _)| segment);
        self.open_segment(next, Some(cut), gone);
        Ok(Poll::Ready(()))
    }

    /// Queues the footer of the open segment, which ends at `end`, and answers the cut for the header of the next one.
    pub(crate) fn seal(&mut self, end: Boundary) -> Cut {
        if end.end != self.head.position || !self.hints.waiting().is_empty() {
            // Hints that were kept speak of groups behind the end, or are not in the log.
            self.hints.give_up();
        }
        if self.head.slots.footer {
            self.push_footer(end);
        }
        self.head.cut_at(end)
    }

    /// Ready where there is a free segment beyond the reserve; grows the device where it can.
    fn poll_free_segment(&mut self) -> Result<Poll<()>, Error> {
        self.release_announced();
        // Before the last one goes to a merge, one that waits for its announcement to be durable comes back.
        let is_last_resort = self.merger.is_working && self.merger.announced.is_none();
        let reserve = if is_last_resort { 0 } else { RESERVE };
        if self.segments.free() > reserve {
            return Ok(Poll::Ready(()));
        }
        if self.merger.announced.is_some() {
            ready!(self.poll_reclaim()?);
            return Ok(Poll::Pending);
        }
        self.poll_grow()
    }

    /// Everything of the open segment is on the device: its pages may leave the pool.
    fn clean_head(&mut self) {
        let page_bytes = self.port.layout.page_bytes();
        let mut at = super::append::round_down(self.head.clean, page_bytes);
        while at < self.head.position {
            self.port.pool.mark_clean(self.port.layout.page_at(self.head.segment, Offset(at)));
            at += page_bytes;
        }
    }

    fn take_slot_frame(&mut self) -> FrameId {
        let frame = self.port.pool.take().expect("available() was asked before");
        self.port.pool.frame_mut(frame).fill(0);
        frame
    }

    fn push_footer(&mut self, end: Boundary) {
        let frame = self.take_slot_frame();
        let (groups, records) = self.hints.summary();
        let footer = Footer {
            header: self.header_of_head(),
            end: Offset(end.end),
            records,
            digest: end.digest,
            seq_max: Seq(self.next_seq.0 - 1),
            hint_groups: groups.len() as u16,
        };
        let layout = &self.port.layout;
        let slot_bytes = layout.mark_start - layout.data_end;
        let slot = &mut self.port.pool.frame_mut(frame)[..slot_bytes as usize];
        encode_footer(&footer, groups, &self.sums, &self.store_id, slot);
        let address = layout.log_address(self.head.segment, Offset(layout.data_end));
        self.port.push_slot(address, frame, slot_bytes, Purpose::Copy(frame));
    }

    fn header_of_head(&self) -> SegmentHeader {
        SegmentHeader {
            segment: self.head.segment,
            open_seq: self.head.open_seq,
            boot: self.head.header_boot,
            role: self.head.role,
            segments: self.segments.count(),
            cut: self.head.cut,
        }
    }

    /// Opens `next` as the head: header, flush, mark in the segment that `cut` names. Frames and queue have room.
    /// Its list of segments in use leaves `gone` out.
    pub(crate) fn open_segment(
        &mut self,
        next: SegmentId,
        cut: Option<Cut>,
        gone: Option<SegmentId>,
    ) {
        if let Some(cut) = cut {
            self.segments.set_used(cut.segment, cut.end.0);
        }
        let open_seq = self.next_seq;
        self.next_seq = Seq(open_seq.0 + 1);
        let erased = self.segments.is_erased(next) || self.looks_erased(next);
        self.segments.open(next, open_seq);
        if let Some(cut) = cut {
            // Until the next one is sealed, its mark there is one of two copies of the header.
            self.segments.pass_over(cut.segment);
        }
        let seeds = self.scan_context().seeds(next, open_seq, self.boot);
        let (spare, markable) = (self.head.spare.take(), self.head.slots.mark);
        self.head = Head::new(HeadStart {
            segment: next,
            open_seq,
            header_boot: self.boot,
            cut,
            seeds,
            position: self.port.layout.data_start,
            digest: 0,
            resumption: Resumption::Done,
        });
        self.head.spare = spare;
        self.hints.start();
        self.merger.header_count = self.segments.count();
        if !erased {
            // Where nothing needs to be erased this tells the device that the segment begins anew.
            self.push_erase(next, Purpose::Erase);
        }
        self.forget_slots(next);
        self.push_header(HeaderPlace::Own(next), gone);
        self.push_blank_end(next);
        if !self.cage.holds(Canary::RollNoFlush) {
            self.push_flush();
        }
        self.covered = None;
        if markable {
            self.push_mark(gone);
        } else {
            // No place for a second copy until this segment is sealed.
            self.head.mark = MarkState::Issued;
            self.segments.set_holds_end(next);
        }
    }

    /// The seeded bug: what reads as erased is taken for erased.
    fn looks_erased(&self, segment: SegmentId) -> bool {
        let page = self.port.layout.page_at(segment, Offset(0));
        let frame = self.port.pool.peek(page).filter(|_| self.cage.holds(Canary::TrustBlank));
        frame.is_some_and(|frame| self.port.pool.frame(frame).iter().all(|&byte| byte == 0xff))
    }

    fn push_erase(&mut self, segment: SegmentId, purpose: Purpose) {
        let layout = &self.port.layout;
        let address = layout.device_address(layout.log_address(segment, Offset(0)));
        let bytes = layout.segment_bytes;
        self.port.push(address, bytes, purpose);
    }

    /// Erases the next free segment ahead of need, where the device needs that: no append has to wait for it then.
    /// Answers false where the queue has no room for it now.
    pub(crate) fn erase_ahead(&mut self) -> bool {
        if let (true, Some(next)) = (self.wants_erase(), self.segments.next_free()) {
            if self.port.room() <= ROLL_OPS {
                return false;
            }
            self.push_erase(next, Purpose::EraseAhead(next));
            self.segments.set_erased(next);
        }
        true
    }

    /// Whether an erase ahead of need would do something.
    pub(crate) fn wants_erase(&self) -> bool {
        let next = self.segments.next_free();
        self.port.caps.needs_erase && next.is_some_and(|next| !self.segments.is_erased(next))
    }

    /// Queues the copy of the head's header in its predecessor's mark slot.
    pub(crate) fn push_mark(&mut self, gone: Option<SegmentId>) {
        self.head.mark = MarkState::Issued;
        match self.head.cut {
            Some(_) if self.cage.holds(Canary::NoMark) => {}
            Some(cut) if self.segments.open_seq(cut.segment) != Some(cut.open_seq) => {}
            Some(cut) => self.push_header(HeaderPlace::Mark(cut.segment, cut.open_seq), gone),
            // The first segment of a store: its superblock vouches for it.
            None => self.head.mark_durable = true,
        }
    }

    /// What an earlier use of the segment left where its footer and its mark will be must not be taken for them by a salvage,
    /// which has no list of segments in use. No other open would: a mark is seeded with the incarnation, and of a footer the
    /// incarnation is compared. (So there is no seeded bug for this: nothing that the promises speak of would show it.)
    fn push_blank_end(&mut self, segment: SegmentId) {
        if self.port.caps.needs_erase {
            return;
        }
        let layout = self.port.layout;
        for offset in [layout.data_end, layout.mark_start] {
            let frame = self.take_slot_frame();
            let end =
                if offset == layout.data_end { layout.mark_start } else { layout.segment_bytes };
            let address = layout.log_address(segment, Offset(offset));
            self.port.push_slot(address, frame, end - offset, Purpose::Copy(frame));
        }
    }

    fn push_header(&mut self, place: HeaderPlace, gone: Option<SegmentId>) {
        let frame = self.take_slot_frame();
        let header = self.header_of_head();
        let layout = self.port.layout;
        let bitmap_bytes = layout.segments_max.div_ceil(8);
        let slot = &mut self.port.pool.frame_mut(frame)[..layout.header_slot as usize];
        let from = HEADER_FIXED_BYTES as usize;
        self.segments.fill_bitmap(&mut slot[from..from + bitmap_bytes as usize], gone);
        if let Some(freed) = self.merger.last_freed
            && self.cage.holds(Canary::KeepFreedInBitmap)
        {
            slot[from + freed.0 as usize / 8] |= 1 << (freed.0 % 8);
        }
        encode_header(&header, place, &self.sums, &self.store_id, slot, bitmap_bytes);
        let (address, purpose) = match place {
            HeaderPlace::Own(segment) => {
                (layout.log_address(segment, Offset(0)), Purpose::Header(frame))
            }
            HeaderPlace::Mark(segment, _) => {
                (layout.log_address(segment, Offset(layout.mark_start)), Purpose::Copy(frame))
            }
        };
        self.port.push_slot(address, frame, layout.header_slot, purpose);
    }
}
