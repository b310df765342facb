//! Checking a whole store: every header, mark, footer, group, record and hint of the segments in use.

use core::task::Poll;

use super::core_state::Engine;
use super::ready;
use crate::error::{Corruption, Damage, Error};
use crate::format::parser::Verify;
use crate::format::segment::HeaderPlace;
use crate::log::Resumption;
use crate::recover::{Scan, ScanEvent, Search, SearchEnd};
use crate::types::{Offset, SegmentId};

/// What a check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckSummary {
    /// Segments in use.
    pub segments: u64,
    /// Whole groups.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of groups.
    pub bytes: u64,
    /// Damaged places.
    pub damages: u64,
}

/// Where a check stands.
#[derive(Debug, Default)]
pub(crate) struct CheckState {
    index: u32,
    stage: Stage,
    entered: Option<SegmentId>,
    scan: Option<Scan>,
    search: Option<Search>,
    pub(crate) summary: CheckSummary,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Header,
    Footer,
    Groups,
}

/// One step of a check.
#[derive(Clone, Copy, Debug)]
pub enum CheckStep {
    /// A damaged place.
    Damage(Corruption),
    /// The end.
    Done(CheckSummary),
}

impl Engine<'_> {
    /// Begins a check. Everything must be on the device: sync first.
    pub fn begin_check(&mut self) {
        self.check = CheckState::default();
    }

    /// The next damaged place, or the summary.
    ///
    /// # Errors
    /// `Device`, `PoolExhausted`.
    pub fn poll_check(&mut self) -> Result<Poll<CheckStep>, Error> {
        while self.check.index < self.segments.count() {
            let segment = SegmentId(self.check.index);
            if self.segments.open_seq(segment).is_none() {
                self.check.index += 1;
                continue;
            }
            let damage = match self.check.stage {
                Stage::Header => ready!(self.check_header(segment)?),
                Stage::Footer => ready!(self.check_footer(segment)?),
                Stage::Groups => ready!(self.check_groups(segment)?),
            };
            if let Some((offset, what)) = damage {
                self.check.summary.damages += 1;
                return Ok(Poll::Ready(CheckStep::Damage(Corruption {
                    segment: Some(segment),
                    offset,
                    what,
                })));
            }
        }
        Ok(Poll::Ready(CheckStep::Done(self.check.summary)))
    }

    /// Whether a slot can be read from the medium: the frame of a page that is being appended to does not hold it.
    fn slot_is_readable(&self, segment: SegmentId, offset: Offset) -> bool {
        segment != self.head.segment
            || self.port.pool.peek(self.port.layout.page_at(segment, offset)).is_none()
    }

    fn check_header(
        &mut self,
        segment: SegmentId,
    ) -> Result<Poll<Option<(Offset, Damage)>>, Error> {
        if self.check.entered != Some(segment) {
            // A page that was appended to never held the slots that share it: read them from the medium.
            self.check.entered = Some(segment);
            self.forget_slots(segment);
        }
        let whole = !self.slot_is_readable(segment, Offset(0))
            || ready!(self.poll_header(HeaderPlace::Own(segment))?)
                .is_some_and(|header| Some(header.open_seq) == self.segments.open_seq(segment));
        self.check.summary.segments += 1;
        self.check.stage = if segment == self.head.segment { Stage::Groups } else { Stage::Footer };
        Ok(Poll::Ready((!whole).then_some((Offset(0), Damage::SegmentHeader))))
    }

    fn check_footer(
        &mut self,
        segment: SegmentId,
    ) -> Result<Poll<Option<(Offset, Damage)>>, Error> {
        let footer = ready!(self.poll_footer(segment)?);
        // Where a write failed there may be none, and on flash half of one that cannot be written again: the successor's
        // header tells the end all the same.
        let offset = Offset(self.port.layout.data_end);
        let frame = ready!(self.port.resident(self.port.layout.page_at(segment, offset), 1)?);
        let at = self.port.layout.in_page(offset) as usize;
        let blank =
            self.port.pool.frame(frame)[at..at + 8].iter().all(|&byte| byte == 0 || byte == 0xff);
        self.check.stage = Stage::Groups;
        Ok(Poll::Ready(
            (footer.is_none() && !blank && !self.port.caps.needs_erase)
                .then_some((offset, Damage::Footer)),
        ))
    }

    fn check_groups(
        &mut self,
        segment: SegmentId,
    ) -> Result<Poll<Option<(Offset, Damage)>>, Error> {
        let context = self.scan_context();
        if self.check.scan.is_none() {
            let incarnation = if segment == self.head.segment {
                (segment, self.head.open_seq, self.head.header_boot)
            } else {
                let Some(header) = ready!(self.poll_any_header(segment)?) else {
                    self.next_checked();
                    return Ok(Poll::Ready(None));
                };
                (segment, header.open_seq, header.boot)
            };
            let start = Offset(self.port.layout.data_start);
            self.check.scan = Some(Scan::new(incarnation, start, Verify::Records));
        }
        // Before this session appends, the log ends where recovery cut it.
        let end = match segment == self.head.segment {
            true if self.head.resumption == Resumption::Needed => self.head.safe.end,
            true => self.head.written,
            false => self.segments.used(segment),
        };
        let CheckState { scan: Some(scan), search, summary, .. } = &mut self.check else {
            return Ok(Poll::Ready(None));
        };
        loop {
            if let Some(running) = search {
                let found = ready!(running.step(scan, &mut self.port, &context)?);
                let damaged_at = scan.position;
                *search = None;
                match found {
                    SearchEnd::Resumed(at) => scan.position = at,
                    SearchEnd::Torn | SearchEnd::Corrupt => {
                        self.next_checked();
                        return Ok(Poll::Ready(Some((damaged_at, Damage::Group))));
                    }
                }
            }
            if scan.position.0 >= end {
                self.next_checked();
                return Ok(Poll::Ready(None));
            }
            match ready!(scan.step(&mut self.port, &context)?) {
                ScanEvent::Group(group, _) => {
                    summary.groups += 1;
                    summary.bytes += u64::from(group.end.0 - group.start.0);
                }
                ScanEvent::Record { .. } | ScanEvent::Freed(_) => summary.records += 1,
                ScanEvent::GroupEnd => {}
                ScanEvent::Bad => *search = Some(Search::new(scan, context.bounds.commit_unit)),
            }
        }
    }

    fn next_checked(&mut self) {
        self.check.scan = None;
        self.check.search = None;
        self.check.stage = Stage::Header;
        self.check.index += 1;
    }
}
