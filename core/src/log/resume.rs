//! Taking a log up again: the resume group, which names the boot that goes on and where the log before it ends.
//!
//! Groups are seeded with the boot, so whatever the device may still show behind the cut of an earlier session never
//! validates in this one. The resume group is durable before anything else of the session is issued.

use core::task::Poll;

use super::head::Resumption;
use crate::engine::{Engine, MarkState, ready};
use crate::error::Error;
use crate::format::group::{
    GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupKind, RESUME_BYTES, Resume, Seeds,
};
use crate::format::record::{RECORD_HEADER_BYTES, RecordKind};
use crate::types::{Boot, Offset};

/// Bytes of a resume group, without padding.
pub(crate) const RESUME_GROUP_BYTES: u32 =
    GROUP_HEADER_BYTES + RECORD_HEADER_BYTES + RESUME_BYTES as u32 + GROUP_TRAILER_BYTES;

impl Engine<'_> {
    /// Seeds of resume groups: a reader does not know the boot yet.
    pub(crate) fn resume_seeds(&self) -> Seeds {
        self.scan_context().seeds(self.head.segment, self.head.open_seq, Boot(0))
    }

    /// Ready once this session may append.
    pub(crate) fn poll_resume(&mut self) -> Result<Poll<()>, Error> {
        match self.head.resumption {
            Resumption::Done => return Ok(Poll::Ready(())),
            Resumption::Started => return Ok(Poll::Pending),
            Resumption::Needed => {}
        }
        let fits = self.port.layout.padded(self.head.position + RESUME_GROUP_BYTES)
            <= self.port.layout.data_end;
        if !fits {
            return self.poll_resume_elsewhere();
        }
        if self.head.frame.is_none() && self.port.layout.in_page(Offset(self.head.position)) != 0 {
            let page = self.port.layout.page_at(self.head.segment, Offset(self.head.position));
            let frame = ready!(self.port.resident(page, 1)?);
            self.port.pool.mark_dirty(page);
            self.head.frame = Some(frame);
        }
        ready!(self.reserve_frames(RESUME_GROUP_BYTES + 2 * self.port.layout.commit_unit));
        if self.port.room() <= super::roll::ROLL_OPS || self.port.pool.available() < 2 {
            return Ok(Poll::Pending);
        }
        let resume = Resume {
            boot: self.boot,
            cut: Offset(self.head.safe.end),
            digest: self.head.safe.digest,
        };
        self.head.digest = self.head.safe.digest;
        self.open_group(GroupKind::Resume);
        self.append_service_record(RecordKind::Resume, &resume.encode());
        self.next_seq.0 += 1;
        self.close_group(GroupEnd::Padded);
        let seeds = self.scan_context().seeds(self.head.segment, self.head.open_seq, self.boot);
        let head = &mut self.head;
        head.seeds = seeds;
        head.resumption = Resumption::Started;
        if self.head.mark == MarkState::Unissued {
            self.push_mark(None);
        }
        let issued = self.issue_up_to(self.head.position);
        assert!(issued, "the queue had room");
        self.push_flush();
        if self.port.caps.ordered && self.port.is_idle() {
            self.head.resumption = Resumption::Done;
        }
        Ok(Poll::Pending)
    }

    /// No room behind the cut: the log goes on in another segment, whose header records the cut.
    fn poll_resume_elsewhere(&mut self) -> Result<Poll<()>, Error> {
        if self.port.room() < super::roll::ROLL_OPS || self.port.pool.available() < 6 {
            return Ok(Poll::Pending);
        }
        let Some(next) = self.segments.next_free() else { return Err(Error::Full) };
        // The header may be written over one that never counted, but whose sequence was given out: the footer says so, and
        // is durable before.
        let cut = self.seal(self.head.safe);
        self.push_flush();
        self.leave_head();
        self.open_segment(next, Some(cut), None);
        // Its header names the boot: that must be durable before the first sequence is given out.
        if !(self.port.caps.ordered && self.port.is_idle()) {
            self.head.resumption = Resumption::Started;
        }
        Ok(Poll::Pending)
    }
}
