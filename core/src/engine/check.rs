//! Checking a store: every header, footer, group and record (hints are records) of the segments in
//! use. A check does all of it at once, after a sync; a scrub (`scrub`) the same in bounded steps,
//! while the store is in use.
//!
//! One walk, [`Inspection`], serves both: a step reads at most a page. It names the incarnation
//! that it is in, so a segment that was merged away and used again is begun anew. Behind damage it
//! goes on at the next group that counts.

use core::task::Poll;

use super::core_state::Engine;
use super::{Port, ready};
use crate::error::{Corruption, Damage, Error};
use crate::format::parser::Verify;
use crate::format::segment::HeaderPlace;
use crate::log::Resumption;
use crate::recover::{Detour, EndOf, Route, Scan, ScanEvent, Survey};
use crate::types::{Offset, SegmentId, Seq};

/// Pages read at once.
const AHEAD: u32 = 16;

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

/// Where a walk through all segments stands.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    index: u32,
    stage: Stage,
    /// The incarnation that it is in.
    entered: Option<Seq>,
    scan: Option<Scan>,
    survey: Option<Survey>,
    source: Source,
    /// First offset that was not counted as read yet.
    read: u32,
    /// First offset whose page may be in the pool from before.
    fresh: u32,
    pub(crate) summary: CheckSummary,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Header,
    Footer,
    Groups,
}

/// Where the bytes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    /// The pool, as far as it has them.
    #[default]
    Pool,
    /// The device, wherever it has what the pool has.
    Device,
}

/// One step of a check.
#[derive(Clone, Copy, Debug)]
pub enum CheckStep {
    /// A damaged place.
    Damage(Corruption),
    /// The end.
    Done(CheckSummary),
}

/// One step of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inspected {
    /// Bytes that were read.
    Bytes(u64),
    /// A damaged place.
    Damage(Corruption),
    /// Every segment was walked.
    Over,
}

impl Inspection {
    /// A walk that reads the medium, not the pool.
    pub(crate) fn of_device() -> Self {
        Self { source: Source::Device, ..Self::default() }
    }

    /// Whether it is that of a check: one walk serves checks and scrubs, which do not go on side by side.
    pub(crate) fn is_check(&self) -> bool {
        self.source == Source::Pool
    }

    fn leave(&mut self) {
        let (index, source, summary) = (self.index + 1, self.source, self.summary);
        *self = Self { index, source, summary, ..Self::default() };
    }

    fn enter(&mut self, open_seq: Seq) {
        let (index, source, summary) = (self.index, self.source, self.summary);
        *self = Self { index, source, summary, entered: Some(open_seq), ..Self::default() };
    }
}

impl Engine<'_> {
    /// Begins a check. Everything must be on the device: sync first.
    pub fn begin_check(&mut self) {
        self.scrub.keep(Inspection::default());
    }

    /// The next damaged place, or the summary.
    ///
    /// # Errors
    /// `Device`, `PoolExhausted`.
    pub fn poll_check(&mut self) -> Result<Poll<CheckStep>, Error> {
        loop {
            let mut state = self.scrub.take()?;
            if !state.is_check() {
                // Scrub steps came between: they have this walk now.
                state = Inspection::default();
            }
            let step = self.poll_inspect(&mut state);
            let found = matches!(step, Ok(Poll::Ready(Inspected::Damage(_))));
            state.summary.damages += u64::from(found);
            let summary = state.summary;
            self.scrub.keep(state);
            match ready!(step?) {
                Inspected::Bytes(_) => {}
                Inspected::Damage(place) => return Ok(Poll::Ready(CheckStep::Damage(place))),
                Inspected::Over => return Ok(Poll::Ready(CheckStep::Done(summary))),
            }
        }
    }

    /// The next page of a walk.
    pub(crate) fn poll_inspect(
        &mut self,
        state: &mut Inspection,
    ) -> Result<Poll<Inspected>, Error> {
        // Free segments are passed at once: at most as many as there are.
        while state.index < self.segments.count() {
            let segment = SegmentId(state.index);
            let Some(open_seq) = self.segments.open_seq(segment) else {
                state.leave();
                continue;
            };
            if state.entered != Some(open_seq) {
                state.enter(open_seq);
                // A page that was appended to never held the slots that share it: read them from
                // the medium.
                self.forget_slots(segment);
            }
            let damage = match state.stage {
                Stage::Header => ready!(self.inspect_header(state, segment)?),
                Stage::Footer => ready!(self.inspect_footer(state, segment)?),
                Stage::Groups => return self.inspect_groups(state, segment),
            };
            return Ok(Poll::Ready(match damage {
                Some((offset, what)) => {
                    Inspected::Damage(Corruption { segment: Some(segment), offset, what })
                }
                None => Inspected::Bytes(u64::from(self.port.layout.page_bytes())),
            }));
        }
        Ok(Poll::Ready(Inspected::Over))
    }

    /// Whether a slot can be read from the medium: the frame of a page that is being appended to
    /// does not hold it.
    fn slot_is_readable(&self, segment: SegmentId, offset: Offset) -> bool {
        segment != self.head.segment
            || self.port.pool.peek(self.port.layout.page_at(segment, offset)).is_none()
    }

    fn inspect_header(
        &mut self,
        state: &mut Inspection,
        segment: SegmentId,
    ) -> Result<Poll<Option<(Offset, Damage)>>, Error> {
        // Once it is asked for, it is in the pool.
        let asked = state.read > 0;
        let readable = asked || self.slot_is_readable(segment, Offset(0));
        state.read = 1;
        let whole = !readable
            || ready!(self.poll_header(HeaderPlace::Own(segment))?)
                .is_some_and(|header| Some(header.open_seq) == self.segments.open_seq(segment));
        state.summary.segments += 1;
        state.stage = if segment == self.head.segment { Stage::Groups } else { Stage::Footer };
        Ok(Poll::Ready((!whole).then_some((Offset(0), Damage::SegmentHeader))))
    }

    fn inspect_footer(
        &mut self,
        state: &mut Inspection,
        segment: SegmentId,
    ) -> Result<Poll<Option<(Offset, Damage)>>, Error> {
        let footer = ready!(self.poll_footer(segment)?);
        // Where a write failed there may be none, and on flash half of one that cannot be written
        // again: the successor's header tells the end all the same.
        let offset = Offset(self.port.layout.data_end);
        let frame = ready!(self.port.resident(self.port.layout.page_at(segment, offset), 1)?);
        let at = self.port.layout.in_page(offset) as usize;
        let blank =
            self.port.pool.frame(frame)[at..at + 8].iter().all(|&byte| byte == 0 || byte == 0xff);
        state.stage = Stage::Groups;
        Ok(Poll::Ready(
            (footer.is_none() && !blank && !self.port.caps.needs_erase)
                .then_some((offset, Damage::Footer)),
        ))
    }

    /// Where the groups end that must be whole now.
    fn inspected_end(&self, segment: SegmentId) -> u32 {
        match segment == self.head.segment {
            // Before this session appends, the log ends where recovery cut it.
            true if self.head.resumption != Resumption::Done => self.head.safe.end,
            true => self.head.safe.end.min(self.head.written),
            false => self.segments.used(segment),
        }
    }

    fn inspect_groups(
        &mut self,
        state: &mut Inspection,
        segment: SegmentId,
    ) -> Result<Poll<Inspected>, Error> {
        let context = self.scan_context();
        let end = self.inspected_end(segment);
        let data_start = self.port.layout.data_start;
        let Some(scan) = &mut state.scan else {
            return self.begin_groups(state, segment);
        };
        if let Some(survey) = &mut state.survey {
            let at = survey.reading_at();
            refresh(&mut self.port, segment, at, (state.source, &mut state.fresh));
            let route = ready!(survey.step_page(scan, &mut self.port, &context, AHEAD)?);
            let Some(route) = route else {
                return Ok(Poll::Ready(Inspected::Bytes(u64::from(self.port.layout.page_bytes()))));
            };
            state.survey = None;
            let damaged =
                Corruption { segment: Some(segment), offset: scan.position, what: Damage::Group };
            return Ok(Poll::Ready(match route {
                Route::Resumed(at) => {
                    scan.skip_to(at);
                    Inspected::Bytes(0)
                }
                Route::Damaged(Detour { next: Some((at, boot)), .. }) => {
                    scan.boot = boot;
                    scan.skip_to(at);
                    Inspected::Damage(damaged)
                }
                Route::Damaged(Detour { next: None, .. }) => {
                    state.leave();
                    Inspected::Damage(damaged)
                }
            }));
        }
        if scan.position.0 >= end {
            state.leave();
            return Ok(Poll::Ready(Inspected::Bytes(0)));
        }
        let at = scan.reading_at();
        refresh(&mut self.port, segment, at, (state.source, &mut state.fresh));
        match ready!(scan.step_page(&mut self.port, &context, AHEAD)?) {
            Some(ScanEvent::Group(group, _)) => {
                state.summary.groups += 1;
                state.summary.bytes += u64::from(group.end.0 - group.start.0);
            }
            Some(ScanEvent::Record { .. } | ScanEvent::Freed(_)) => state.summary.records += 1,
            Some(ScanEvent::GroupEnd) | None => {}
            Some(ScanEvent::Bad) => {
                state.survey = Some(Survey::new(scan, EndOf::Known(Offset(end))));
            }
        }
        let reached = scan.reading_at().0.max(data_start);
        let bytes = reached.saturating_sub(state.read.max(data_start));
        state.read = state.read.max(reached);
        Ok(Poll::Ready(Inspected::Bytes(u64::from(bytes))))
    }

    fn begin_groups(
        &mut self,
        state: &mut Inspection,
        segment: SegmentId,
    ) -> Result<Poll<Inspected>, Error> {
        let incarnation = if segment == self.head.segment {
            (segment, self.head.open_seq, self.head.header_boot)
        } else {
            let Some(header) = ready!(self.poll_any_header(segment)?) else {
                state.leave();
                return Ok(Poll::Ready(Inspected::Bytes(0)));
            };
            (segment, header.open_seq, header.boot)
        };
        let start = Offset(self.port.layout.data_start);
        state.scan = Some(Scan::of_segment(incarnation, start, Verify::Records));
        Ok(Poll::Ready(Inspected::Bytes(0)))
    }
}

/// Lets a walk of the device see it: what the pool has of the pages ahead is read again, unless the
/// medium lacks it.
fn refresh(port: &mut Port<'_>, segment: SegmentId, at: Offset, from: (Source, &mut u32)) {
    let (source, fresh) = from;
    if source == Source::Pool || at.0 < *fresh {
        return;
    }
    let page_bytes = port.layout.page_bytes();
    let first = at.0 / page_bytes * page_bytes;
    for index in 0..AHEAD {
        let offset = Offset(first + index * page_bytes);
        if offset.0 < port.layout.segment_bytes {
            port.pool.forget_clean(port.layout.page_at(segment, offset));
        }
    }
    *fresh = first + AHEAD * page_bytes;
}
