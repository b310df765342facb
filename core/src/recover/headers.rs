//! The first part of recovery: which segments are in use, and which of them is the newest that is proven.

use core::cmp::Reverse;
use core::task::Poll;

use super::Phase;
use super::load::Mode;
use super::scan::{Scan, ScanEvent};
use super::search::{Search, SearchEnd};
use super::sort::sort_by_key;
use crate::canary::Canary;
use crate::engine::{Engine, MarkState, ready};
use crate::error::{Corruption, Damage, Error};
use crate::format::footer::decode_footer;
use crate::format::parser::Verify;
use crate::format::segment::{HEADER_FIXED_BYTES, HeaderPlace, Role, SegmentHeader, decode_header};
use crate::types::{Boot, Offset, SegmentId, Seq};

/// A segment whose header does not count yet: nothing that was written behind its flush is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unproven {
    pub(super) header: SegmentHeader,
    /// First offset behind what may have been programmed.
    pub(super) blank_from: u32,
}

/// What is known of the newest segment.
#[derive(Clone, Debug)]
pub(crate) struct NewestState {
    /// Its header, where it is proven.
    pub(super) header: Option<SegmentHeader>,
    /// The predecessor has its mark.
    pub(super) mark: MarkState,
    /// Its own header is damaged; the copy in this segment's mark slot stands for it.
    pub(super) copy_in: Option<SegmentId>,
}

impl Default for NewestState {
    fn default() -> Self {
        Self { header: None, mark: MarkState::Unissued, copy_in: None }
    }
}

impl Engine<'_> {
    pub(super) fn corrupted(&self, segment: SegmentId, offset: Offset, what: Damage) -> Error {
        Error::Corrupted(Corruption { segment: Some(segment), offset, what })
    }

    pub(crate) fn bitmap_bytes(&self) -> u32 {
        self.port.layout.segments_max.div_ceil(8)
    }

    /// A header copy: at the start of a segment, or in the mark slot of one.
    pub(crate) fn poll_header(
        &mut self,
        place: HeaderPlace,
    ) -> Result<Poll<Option<SegmentHeader>>, Error> {
        let (segment, offset) = match place {
            HeaderPlace::Own(segment) => (segment, Offset(0)),
            HeaderPlace::Mark(segment, _) => (segment, Offset(self.port.layout.mark_start)),
        };
        let frame = ready!(self.port.resident(self.port.layout.page_at(segment, offset), 1)?);
        let slot = &self.port.pool.frame(frame)[self.port.layout.in_page(offset) as usize..];
        Ok(Poll::Ready(decode_header(slot, place, &self.sums, &self.store_id, self.bitmap_bytes())))
    }

    /// The header of a segment in use from wherever it can be had: its start, its footer, or, for the first segment of a
    /// store, from what every first segment has.
    pub(crate) fn poll_any_header(
        &mut self,
        segment: SegmentId,
    ) -> Result<Poll<Option<SegmentHeader>>, Error> {
        let open_seq = self.segments.open_seq(segment);
        let newest_seq =
            self.recovery.newest.header.map_or(Seq(u64::MAX), |newest| newest.open_seq);
        // A header that is newer than the newest proven one belongs to nothing.
        let fits = |header: &SegmentHeader| match open_seq {
            Some(open_seq) => open_seq == header.open_seq,
            None => header.open_seq <= newest_seq,
        };
        if let Some(header) = ready!(self.poll_header(HeaderPlace::Own(segment))?).filter(fits) {
            return Ok(Poll::Ready(Some(header)));
        }
        let newest = self.recovery.newest.header.filter(|newest| newest.segment == segment);
        if newest.is_some() {
            return Ok(Poll::Ready(newest));
        }
        let offset = Offset(self.port.layout.data_end);
        let frame = ready!(self.port.resident(self.port.layout.page_at(segment, offset), 1)?);
        let slot = &self.port.pool.frame(frame)[self.port.layout.in_page(offset) as usize..];
        let footer =
            decode_footer(slot, segment, &self.sums, &self.store_id).map(|footer| footer.header);
        if let Some(header) = footer.filter(fits) {
            return Ok(Poll::Ready(Some(header)));
        }
        let first = SegmentHeader {
            segment,
            open_seq: Seq(1),
            boot: Boot(1),
            role: Role::User,
            segments: self.segments.count(),
            cut: None,
        };
        Ok(Poll::Ready((segment == SegmentId(0) && fits(&first)).then_some(first)))
    }

    pub(super) fn recover_headers(&mut self) -> Result<Poll<()>, Error> {
        while self.recovery.index < self.segments.count() {
            let segment = SegmentId(self.recovery.index);
            if let Some(header) = ready!(self.poll_header(HeaderPlace::Own(segment))?) {
                self.note_header(&header);
            }
            self.recovery.index += 1;
        }
        if self.segments.used_ids().next().is_none() {
            // A store was formatted here, so its first segment had a header.
            self.recovery.first = Some(SegmentId(0));
            match ready!(self.poll_any_header(SegmentId(0))?) {
                Some(header) => {
                    self.note_header(&header);
                    self.recovery.repaired += 1;
                }
                None => self.lacks_header(SegmentId(0))?,
            }
        }
        self.recovery.enter(Phase::Newest);
        Ok(Poll::Ready(()))
    }

    fn note_header(&mut self, header: &SegmentHeader) {
        self.segments.open(header.segment, header.open_seq);
        self.recovery.accept(header.open_seq);
        self.recovery.boot_max = self.recovery.boot_max.max(header.boot);
    }

    fn newest_segment(&self) -> Option<SegmentId> {
        self.segments.used_ids().max_by_key(|&segment| self.segments.open_seq(segment))
    }

    /// Finds the newest segment that is proven. A header alone proves nothing: it may have reached the medium before the
    /// groups that its cut speaks of.
    pub(super) fn recover_newest(&mut self) -> Result<Poll<()>, Error> {
        // Each turn settles one segment, for good: a crafted mark that names a segment again and again ends here.
        while self.recovery.index <= 2 * self.segments.count() {
            let Some(segment) = self.newest_segment() else { break };
            let Some(header) = ready!(self.poll_any_header(segment)?) else {
                self.lacks_header(segment)?;
                self.segments.release(segment);
                self.recovery.index += 1;
                continue;
            };
            // Its own mark may tell of a newer segment whose header is damaged.
            let place = HeaderPlace::Mark(segment, header.open_seq);
            let next = ready!(self.poll_header(place)?)
                .filter(|next| next.open_seq > header.open_seq)
                .filter(|_| !self.cage.holds(Canary::HeaderLost));
            if let Some(next) = next.filter(|next| !self.segments.exists(next.segment)) {
                // The mark is written only behind the flush of that segment's header: it was there.
                if self.salvages() {
                    self.lacks_header(next.segment)?;
                    self.recovery.newest.header = Some(header);
                    self.recovery.enter(Phase::Lost);
                    return Ok(Poll::Ready(()));
                }
                let want = self.port.layout.capacity_of(next.segments);
                return Err(Error::DeviceTooSmall { want, have: self.capacity });
            }
            if let Some(next) = next
                && ready!(self.poll_lacks_header(&next)?)
            {
                self.note_header(&next);
                self.recovery.repaired += 1;
                self.recovery.newest.copy_in = Some(segment);
                self.recovery.newest.header = Some(next);
                self.recovery.index += 1;
                continue;
            }
            if ready!(self.poll_proven(&header)?) {
                self.recovery.load.mode = Mode::Start;
                self.recovery.newest.header = Some(header);
                self.recovery.enter(Phase::Lost);
                return Ok(Poll::Ready(()));
            }
            self.segments.release(segment);
            let blank_from = match core::mem::take(&mut self.recovery.load.mode) {
                Mode::Search(scan, search) => {
                    search.blank_from.max(search.reach.0).max(scan.reach.0)
                }
                Mode::Scan(scan) => scan.reach.0,
                _ => 0,
            };
            // The oldest of several stays: only that one may follow what is proven.
            self.recovery.unproven = Some(Unproven { header, blank_from });
            self.recovery.index += 1;
            let copy_in = self.recovery.newest.copy_in;
            self.recovery.newest = NewestState { copy_in, ..NewestState::default() };
        }
        self.lacks_header(SegmentId(0))?;
        self.recovery.enter(Phase::Lost);
        Ok(Poll::Ready(()))
    }

    /// A segment that was there has no header.
    fn lacks_header(&mut self, segment: SegmentId) -> Result<(), Error> {
        self.pass_over_damage(self.corrupted(segment, Offset(0), Damage::SegmentHeader))
    }

    /// Whether the segment that a mark tells of has neither the header that the mark copies nor a newer one: an attempt to
    /// open it again may have replaced its header and then torn this mark's replacement.
    fn poll_lacks_header(&mut self, marked: &SegmentHeader) -> Result<Poll<bool>, Error> {
        let own = ready!(self.poll_header(HeaderPlace::Own(marked.segment))?);
        Ok(Poll::Ready(own.is_none_or(|own| own.open_seq < marked.open_seq)))
    }

    /// Whether something that was written behind the flush that followed this header is there.
    fn poll_proven(&mut self, header: &SegmentHeader) -> Result<Poll<bool>, Error> {
        let cut = header.cut.filter(|_| !self.cage.holds(Canary::HeaderUnproven));
        let Some(cut) = cut else {
            self.recovery.newest.mark = MarkState::Issued;
            return Ok(Poll::Ready(true));
        };
        if self.segments.exists(cut.segment) {
            let mark = ready!(self.poll_header(HeaderPlace::Mark(cut.segment, cut.open_seq))?);
            if mark.is_some_and(|mark| {
                mark.segment == header.segment && mark.open_seq == header.open_seq
            }) {
                self.recovery.newest.mark = MarkState::Issued;
                return Ok(Poll::Ready(true));
            }
        }
        let context = self.scan_context();
        // Nothing is loaded yet: its place is free.
        let mode = &mut self.recovery.load.mode;
        let start = Offset(self.port.layout.data_start);
        let incarnation = (header.segment, header.open_seq, header.boot);
        if matches!(mode, Mode::Start) {
            *mode = Mode::Scan(Scan::of_segment(incarnation, start, Verify::Group));
        }
        if let Mode::Scan(scan) = mode {
            if let ScanEvent::Group(..) = ready!(scan.step(&mut self.port, &context)?) {
                return Ok(Poll::Ready(true));
            }
            let search = Search::new(scan, context.bounds.commit_unit);
            *mode = Mode::Search(scan.clone(), search);
        }
        let Mode::Search(scan, search) = mode else { return Ok(Poll::Ready(false)) };
        let end = ready!(search.step(scan, &mut self.port, &context)?);
        self.recovery.seq_max = self.recovery.seq_max.max(search.seq_max);
        Ok(Poll::Ready(end != SearchEnd::Torn))
    }

    /// Finds segments that the newest header lists and whose own header is gone; drops headers that it does not list.
    pub(super) fn recover_lost(&mut self) -> Result<Poll<()>, Error> {
        let Some(newest) = self.recovery.newest.header else {
            // Only a salvage comes here: what there is may be of any age.
            self.sort_segments();
            self.recovery.enter(Phase::Count);
            return Ok(Poll::Ready(()));
        };
        if newest.segments > self.segments.count() {
            if !self.salvages() {
                let want = self.port.layout.capacity_of(newest.segments);
                return Err(Error::DeviceTooSmall { want, have: self.capacity });
            }
            // The first one behind the device's end stands for all of them.
            self.lacks_header(SegmentId(self.segments.count()))?;
        }
        if newest.cut.is_some_and(|cut| !self.segments.exists(cut.segment)) {
            // No store wrote this; its mark would be written outside of the segments.
            self.lacks_header(newest.segment)?;
        }
        while self.recovery.index < self.segments.count() {
            let segment = SegmentId(self.recovery.index);
            let listed = segment == newest.segment || ready!(self.poll_listed(&newest, segment)?);
            if listed && self.segments.open_seq(segment).is_none() {
                match ready!(self.poll_any_header(segment)?) {
                    Some(header) => {
                        self.note_header(&header);
                        self.recovery.repaired += 1;
                    }
                    // The newest segment may announce that it is free.
                    None => self.segments.set_missing(segment),
                }
            }
            if !listed {
                self.segments.release(segment);
            }
            self.recovery.index += 1;
        }
        self.sort_segments();
        self.recovery.enter(Phase::Count);
        Ok(Poll::Ready(()))
    }

    /// Whether the newest header's bitmap lists a segment.
    fn poll_listed(
        &mut self,
        newest: &SegmentHeader,
        segment: SegmentId,
    ) -> Result<Poll<bool>, Error> {
        let (holder, offset) = match self.recovery.newest.copy_in {
            Some(holder) if newest.cut.is_some() => (holder, Offset(self.port.layout.mark_start)),
            _ => (newest.segment, Offset(0)),
        };
        if self.recovery.first == Some(newest.segment) {
            return Ok(Poll::Ready(false));
        }
        let frame = ready!(self.port.resident(self.port.layout.page_at(holder, offset), 1)?);
        let at = self.port.layout.in_page(offset) as usize + HEADER_FIXED_BYTES as usize;
        let byte =
            self.port.pool.frame(frame).get(at + segment.0 as usize / 8).copied().unwrap_or(0);
        Ok(Poll::Ready(byte & 1 << (segment.0 % 8) != 0))
    }

    fn sort_segments(&mut self) {
        let mut count = 0;
        for segment in self.segments.used_ids() {
            self.order[count] = segment.0;
            count += 1;
        }
        let segments = &self.segments;
        // The newest first: what it announces as free is not read, and of equal sequences its copy stays.
        sort_by_key(&mut self.order[..count], |index| Reverse(segments.open_seq(SegmentId(index))));
        self.recovery.hinted = count as u32;
    }
}
