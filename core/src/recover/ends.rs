//! What other segments say of one: where it ends, and whether it is free.
//!
//! A sealed segment's end is recorded in its successor's header, and so in the copy of that in its own mark slot; the
//! successor may have been merged away, but only where the mark is there. A segment that must be there and has no header
//! must have been announced as free by the newest one.

use core::task::Poll;

use crate::canary::Canary;
use crate::engine::{Engine, ready};
use crate::error::{Damage, Error};
use crate::format::footer::Footer;
use crate::format::group::Announcement;
use crate::format::segment::{Cut, HeaderPlace, SegmentHeader};
use crate::types::{Offset, SegmentId, Seq};

impl Engine<'_> {
    /// The newest segment was read: what should be there and is not must have been announced.
    pub(super) fn check_missing(&self) -> Result<(), Error> {
        match self.segments.first_missing() {
            Some(segment) => Err(self.corrupted(segment, Offset(0), Damage::SegmentHeader)),
            None => Ok(()),
        }
    }

    /// A record of the newest segment says that another one is free: all that was alive in it stands before.
    pub(super) fn note_freed(&mut self, freed: &Announcement) {
        let (segment, newest) = (freed.segment, self.ordered(0));
        if self.cage.holds(Canary::AnnouncementIgnored)
            || !self.segments.exists(segment)
            || segment == newest
        {
            return;
        }
        // Whatever incarnation is thought to be there: none was opened since, or that would be the newest. What was opened and
        // did not count may have replaced the header of the one that is meant; the first segment's header is assumed where an
        // erase took it.
        if self.segments.is_missing(segment) || self.segments.open_seq(segment).is_some() {
            self.recovery.passed_over += 1;
            self.segments.release(segment);
        }
    }

    /// The end of a sealed segment: from its mark, which is a copy of its successor's header, or from that header.
    pub(super) fn poll_recorded_end(&mut self, segment: SegmentId) -> Result<Poll<Cut>, Error> {
        let Some(open_seq) = self.segments.open_seq(segment) else {
            return Err(self.corrupted(segment, Offset(0), Damage::SegmentHeader));
        };
        let data_end = self.port.layout.data_end;
        let of_this = |header: Option<SegmentHeader>| {
            header.and_then(|header| header.cut).filter(|cut| {
                (cut.segment, cut.open_seq) == (segment, open_seq) && cut.end.0 <= data_end
            })
        };
        let mark = ready!(self.poll_header(HeaderPlace::Mark(segment, open_seq))?);
        if let (Some(mark), Some(newest)) = (mark, self.recovery.newest.header)
            && (mark.segment, mark.open_seq) == (newest.segment, newest.open_seq)
            && mark.cut != newest.cut
        {
            // No store wrote two copies of a header that differ; the head would be marked in the wrong place.
            return Err(self.corrupted(newest.segment, Offset(0), Damage::SegmentHeader));
        }
        // Every record of the segment is older than its successor.
        self.recovery.load.sealed_at = mark.map(|next| next.open_seq);
        if let Some(cut) = of_this(mark) {
            return Ok(Poll::Ready(cut));
        }
        let newer = (0..self.recovery.index).rev().map(|index| self.ordered(index));
        let successor = newer.into_iter().find(|&id| self.segments.open_seq(id).is_some());
        if let Some(successor) = successor {
            let header = ready!(self.poll_any_header(successor)?);
            if let Some(cut) = of_this(header) {
                self.recovery.load.sealed_at = header.map(|next| next.open_seq);
                self.segments.set_holds_end(successor);
                return Ok(Poll::Ready(cut));
            }
        }
        // Its successor was merged away, which it could be only because the mark was there: now it is damaged.
        let footer = ready!(self.poll_footer(segment)?);
        match footer.filter(|footer| footer.header.open_seq == open_seq && footer.end.0 <= data_end)
        {
            Some(Footer { end, digest, seq_max, .. }) => {
                self.recovery.load.sealed_at = Some(Seq(seq_max.0.saturating_add(1)));
                Ok(Poll::Ready(Cut { segment, open_seq, end, digest }))
            }
            None => Err(self.corrupted(
                segment,
                Offset(self.port.layout.mark_start),
                Damage::SegmentHeader,
            )),
        }
    }
}
