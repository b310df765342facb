//! The second part of recovery: every segment's records into the keydir, newest segment first. Twice where there are
//! chunked values: chunks of values that were overwritten may be many more than the keydir holds, so the first pass takes
//! everything but chunks, and the second one the chunks that visible heads ask for (`chunks`). Both accept the same groups:
//! the second one ends each segment where the first one did, by offset and digest.

use core::task::Poll;

use heapless::Vec;

use super::Phase;
use super::chunks::is_placeholder;
use super::hints::HintLoad;
use super::probe::{Probe, Probed};
use super::salvage::{Lost, Pieces};
use super::scan::{Scan, ScanEvent};
use super::search::{Search, SearchEnd};
use super::survey::{Detour, Survey};
use super::tail::Tail;
use crate::canary::Canary;
use crate::config::Access;
use crate::engine::{Engine, ready};
use crate::error::{Damage, Error};
use crate::format::footer::{Footer, HintGroup, decode_footer};
use crate::format::group::{GroupKind, Resume};
use crate::format::parser::{ParsedGroup, Verify};
use crate::format::segment::{Cut, SegmentHeader};
use crate::keydir::{Entry, Outcome};
use crate::parts::{CHUNKS, HINTS, sized};
use crate::types::{EntryKind, Fingerprint, Location, Offset, SegmentId, Seq};

/// Entries that go into the keydir at once, so that their cache misses overlap.
const BATCH: usize = sized(4, 16);
/// In the order of segments: this one has chunks. A store has at most 2^20 segments.
const HAS_CHUNKS: u32 = 1 << 31;

/// How the current segment is loaded.
#[derive(Debug, Default)]
pub(super) enum Mode {
    /// Not decided yet.
    #[default]
    Start,
    Hints(HintLoad),
    Scan(Scan),
    /// The newest segment on flash, before it is scanned.
    Probe(Probe),
    /// Behind a place without a whole group.
    Search(Scan, Search),
    /// The same place, where damage is passed over.
    Survey(Scan, Survey),
    /// The records of a damaged group, before the way round it is gone.
    Pieces(Scan, Detour, Pieces),
    /// The newest segment was scanned to its end.
    Ended(Scan, Option<Search>),
}

/// The state of loading.
#[derive(Debug, Default)]
pub(super) struct LoadState {
    pub(super) mode: Mode,
    pub(super) batch: Vec<(Fingerprint, Entry), BATCH>,
    /// What is believed of the newest segment's end, on flash.
    probed: Option<Probed>,
    /// Header of the newest segment.
    newest: Option<SegmentHeader>,
    /// Damage was passed over in this segment: its digest cannot be known.
    pub(super) detoured: bool,
    /// The last damage that was passed over, until the next group is met.
    pub(super) lost: Option<Lost>,
    /// Every record of the segment is older than this.
    pub(super) sealed_at: Option<Seq>,
    /// What follows the last sequence that was met.
    pub(super) next_seq: Option<Seq>,
    /// Entries that footers announce.
    announced: u64,
    /// Chunk records that the first pass met; never less than there are.
    pub(super) chunks: u64,
    /// Entries that wait for their chunk.
    pub(super) placeholders: u32,
}

impl Engine<'_> {
    /// Counts what the footers announce, so that the keydir grows once.
    pub(super) fn recover_count(&mut self) -> Result<Poll<()>, Error> {
        self.recovery.index = self.recovery.index.max(1);
        while HINTS && self.recovery.index < self.recovery.hinted {
            let segment = self.ordered(self.recovery.index);
            if let Some(footer) = ready!(self.poll_footer(segment)?)
                && footer.records != u32::MAX
            {
                self.recovery.load.announced += u64::from(footer.records);
            }
            self.recovery.index += 1;
        }
        let entries = usize::try_from(self.recovery.load.announced).unwrap_or(usize::MAX);
        self.keydir.reserve(entries.min(self.keydir.capacity() as usize));
        self.recovery.enter(Phase::Load);
        Ok(Poll::Ready(()))
    }

    pub(crate) fn poll_footer(
        &mut self,
        segment: SegmentId,
    ) -> Result<Poll<Option<Footer>>, Error> {
        let offset = Offset(self.port.layout.data_end);
        let frame = ready!(self.port.resident(self.port.layout.page_at(segment, offset), 1)?);
        let slot = &self.port.pool.frame(frame)[self.port.layout.in_page(offset) as usize..];
        Ok(Poll::Ready(decode_footer(slot, segment, &self.sums, &self.store_id)))
    }

    /// The segment at an index of the order of incarnations.
    pub(super) fn ordered(&self, index: u32) -> SegmentId {
        SegmentId(self.order[index as usize] & !HAS_CHUNKS)
    }

    fn at_newest(&self) -> bool {
        self.recovery.index == 0
    }

    /// The first pass: everything but chunks.
    pub(super) fn recover_load(&mut self) -> Result<Poll<()>, Error> {
        while self.recovery.index < self.recovery.hinted {
            let segment = self.ordered(self.recovery.index);
            if self.segments.open_seq(segment).is_none() {
                // The newest one announced it as free.
                self.recovery.index += 1;
                continue;
            }
            let end = match self.at_newest() {
                true => None,
                false => match self.poll_recorded_end(segment) {
                    Ok(end) => Some(ready!(end)),
                    Err(error) => {
                        self.pass_over_damage(error)?;
                        None
                    }
                },
            };
            match self.poll_load(segment, end) {
                Ok(loaded) => ready!(loaded),
                Err(error) => {
                    self.pass_over_damage(error)?;
                    self.recovery.load.mode = Mode::Start;
                }
            }
            self.settle_lost(segment, None);
            self.recovery.load.detoured = false;
            self.flush_batch()?;
            match core::mem::take(&mut self.recovery.load.mode) {
                Mode::Hints(_) => self.recovery.by_hints += 1,
                Mode::Ended(scan, search) => {
                    self.segments.set_used(segment, scan.position.0);
                    // The newest one: that scan's start kept the header.
                    if let Some(header) = self.recovery.load.newest.take() {
                        self.recovery.tail = Some(Tail::new(header, &scan, search.as_ref()));
                    }
                }
                _ => self.recovery.by_scan += 1,
            }
            match end {
                Some(end) => self.segments.set_used(segment, end.end.0),
                None if self.salvages() => {}
                None => self.check_missing()?,
            }
            self.recovery.index += 1;
        }
        self.recovery.enter(Phase::Heads);
        Ok(Poll::Ready(()))
    }

    /// The second pass: the chunks that heads ask for, from the segments that have any.
    pub(super) fn recover_chunks(&mut self) -> Result<Poll<()>, Error> {
        while self.recovery.index < self.recovery.hinted {
            let segment = self.ordered(self.recovery.index);
            let in_use = self.segments.open_seq(segment).is_some();
            if in_use && self.order[self.recovery.index as usize] & HAS_CHUNKS != 0 {
                let end = match self.recovery.tail.filter(|_| self.at_newest()) {
                    Some(tail) => Ok(Poll::Ready(tail.cut())),
                    None => self.poll_recorded_end(segment),
                };
                let end = match end {
                    Ok(end) => Some(ready!(end)),
                    Err(error) => {
                        self.pass_over_damage(error)?;
                        None
                    }
                };
                match self.poll_load(segment, end) {
                    Ok(loaded) => ready!(loaded),
                    Err(error) => self.pass_over_damage(error)?,
                }
                self.recovery.load.detoured = false;
                self.recovery.load.lost = None;
                self.flush_batch()?;
                self.recovery.load.mode = Mode::Start;
            }
            self.recovery.index += 1;
        }
        self.drop_placeholders();
        self.recovery.enter(Phase::Tail);
        Ok(Poll::Ready(()))
    }

    /// Ready once the segment's records are in the keydir; the mode tells how.
    fn poll_load(&mut self, segment: SegmentId, end: Option<Cut>) -> Result<Poll<()>, Error> {
        loop {
            match &mut self.recovery.load.mode {
                Mode::Start => ready!(self.start_load(segment, end)?),
                Mode::Hints(_) if !HINTS => ready!(self.start_scan(segment)?),
                Mode::Hints(_) => {
                    if ready!(self.poll_hints()?) {
                        return Ok(Poll::Ready(()));
                    }
                    ready!(self.start_scan(segment)?);
                }
                Mode::Scan(_) => {
                    if ready!(self.poll_scan(end)?) {
                        return Ok(Poll::Ready(()));
                    }
                }
                Mode::Probe(_) => ready!(self.poll_probe(segment)?),
                Mode::Search(..) => ready!(self.poll_search(segment, end)?),
                Mode::Survey(..) => ready!(self.poll_survey(end)?),
                Mode::Pieces(..) => ready!(self.poll_pieces(end)?),
                Mode::Ended(..) => return Ok(Poll::Ready(())),
            }
        }
    }

    fn start_load(&mut self, segment: SegmentId, end: Option<Cut>) -> Result<Poll<()>, Error> {
        if !HINTS {
            // A scan finds the same.
            return self.start_scan(segment);
        }
        // The newest segment may have a footer that speaks of groups that are not there.
        // Salvage shows versions that are whole, not those that should be there.
        if let Some(end) = end.filter(|_| !self.at_newest() && !self.salvages())
            && let Some(footer) = ready!(self.poll_footer(segment)?)
            && Some(footer.header.open_seq) == self.segments.open_seq(segment)
            && footer.end == end.end
            && footer.digest == end.digest
        {
            self.recovery.accept(footer.seq_max);
            if footer.records != u32::MAX {
                self.recovery.load.mode = Mode::Hints(HintLoad::new(segment, &footer));
                return Ok(Poll::Ready(()));
            }
        }
        self.start_scan(segment)
    }

    fn start_scan(&mut self, segment: SegmentId) -> Result<Poll<()>, Error> {
        let Some(header) = ready!(self.poll_any_header(segment)?) else {
            return Err(self.corrupted(segment, Offset(0), Damage::SegmentHeader));
        };
        let start = Offset(self.port.layout.data_start);
        let incarnation = (segment, header.open_seq, header.boot);
        let scan = Scan::of_segment(incarnation, start, Verify::Group);
        if self.wants_probe() {
            self.recovery.load.mode = Mode::Probe(Probe::new(scan));
            return Ok(Poll::Ready(()));
        }
        self.recovery.load.mode = Mode::Scan(scan);
        self.recovery.load.next_seq = Some(Seq(header.open_seq.0.saturating_add(1)));
        if self.recovery.phase == Phase::Load && self.at_newest() {
            self.recovery.load.newest = Some(header);
            self.hints.start();
        }
        Ok(Poll::Ready(()))
    }

    fn poll_probe(&mut self, segment: SegmentId) -> Result<Poll<()>, Error> {
        let context = self.scan_context();
        if let Mode::Probe(probe) = &mut self.recovery.load.mode {
            let probed = ready!(probe.step(&mut self.port, &context)?);
            self.recovery.load.probed = Some(probed);
        }
        self.start_scan(segment)
    }

    /// Whether the end of the segment that comes next may be in a state that no read tells.
    fn wants_probe(&self) -> bool {
        let is_first = self.recovery.phase == Phase::Load && self.at_newest();
        is_first
            && self.recovery.load.probed.is_none()
            && self.port.caps.needs_erase
            && self.access == Access::ReadWrite
    }

    /// Where groups of the segment that is loaded cease to count, whatever they read as.
    fn limit(&self) -> Offset {
        let probed = self.recovery.load.probed.filter(|_| self.at_newest());
        probed.map_or(Offset(u32::MAX), |probed| probed.limit)
    }

    /// Takes the scan on; ready with true at the segment's recorded end.
    fn poll_scan(&mut self, end: Option<Cut>) -> Result<Poll<bool>, Error> {
        let context = self.scan_context();
        let limit = self.limit();
        loop {
            let Mode::Scan(scan) = &mut self.recovery.load.mode else {
                return Ok(Poll::Ready(false));
            };
            if end.is_some_and(|end| scan.position >= end.end) {
                let whole =
                    end.is_some_and(|end| scan.position == end.end && scan.digest == end.digest);
                let (segment, position) = (scan.segment, scan.position);
                if !whole && !self.recovery.load.detoured {
                    if !self.passes_over(end.as_ref()) {
                        return Err(self.corrupted(segment, position, Damage::Group));
                    }
                    // Groups that are whole, but not those that were written last: which ones is not known.
                    let below = self.recovery.load.sealed_at.unwrap_or(Seq(u64::MAX));
                    self.note_lost(segment, position, below);
                }
                return Ok(Poll::Ready(true));
            }
            let event = if scan.position >= limit {
                ScanEvent::Bad
            } else {
                ready!(scan.step(&mut self.port, &context)?)
            };
            let segment = scan.segment;
            match event {
                ScanEvent::Group(group, resume) => {
                    self.note_group(segment, &group, resume, end.as_ref());
                }
                ScanEvent::Freed(freed) => {
                    if end.is_none() && self.at_newest() {
                        self.note_freed(&freed);
                    }
                }
                ScanEvent::Record { header, offset, seq, fingerprint } => {
                    let Some(kind) = header.kind.entry_kind() else { continue };
                    if header.is_old() {
                        // Kept for a snapshot of a session that is over.
                        continue;
                    }
                    let record_bytes = header.record_bytes();
                    if header.is_short() {
                        // It has no group for a hint to name.
                        self.hints.give_up();
                    } else if self.gathers_hints(end.as_ref()) {
                        let next = Offset(self.port.layout.aligned(offset.0 + record_bytes));
                        self.hints.add((offset, seq), next, &fingerprint, record_bytes, kind);
                    }
                    let address = self.port.layout.log_address(segment, offset);
                    let entry = Entry { seq, location: Location { address, record_bytes }, kind };
                    self.load_entry(fingerprint, entry)?;
                }
                ScanEvent::GroupEnd => {}
                ScanEvent::Bad => {
                    let Mode::Scan(scan) = core::mem::take(&mut self.recovery.load.mode) else {
                        continue;
                    };
                    let mut search = Search::new(&scan, context.bounds.commit_unit);
                    if let Some(probed) = self.recovery.load.probed.filter(|_| self.at_newest()) {
                        search.limit = probed.unstable;
                        search.blank_from = search.blank_from.max(probed.blank_from);
                    }
                    self.recovery.load.mode = Mode::Search(scan, search);
                    return Ok(Poll::Ready(false));
                }
            }
        }
    }

    /// A whole group: what its numbers tell.
    fn note_group(
        &mut self,
        segment: SegmentId,
        group: &ParsedGroup,
        resume: Option<Resume>,
        end: Option<&Cut>,
    ) {
        let (kind, first_seq) = (group.header.kind, group.header.first_seq);
        self.recovery.accept(Seq(first_seq.0.saturating_add(u64::from(group.trailer.count))));
        self.settle_lost(segment, Some((kind, first_seq)));
        self.recovery.load.next_seq = Some(group.next_seq());
        if let Some(resume) = resume {
            self.recovery.boot_max = self.recovery.boot_max.max(resume.boot);
        }
        if kind == GroupKind::Hints && self.gathers_hints(end) {
            let bytes = group.next.0 - group.start.0;
            self.hints.written(HintGroup { offset: group.start, bytes });
        }
    }

    fn poll_search(&mut self, segment: SegmentId, end: Option<Cut>) -> Result<Poll<()>, Error> {
        let context = self.scan_context();
        let Mode::Search(scan, search) = &mut self.recovery.load.mode else {
            return Ok(Poll::Ready(()));
        };
        let found = ready!(search.step(scan, &mut self.port, &context)?);
        let position = scan.position;
        if !self.cage.holds(Canary::SeqReuse) {
            self.recovery.seq_max = self.recovery.seq_max.max(search.seq_max);
        }
        self.recovery.boot_max = self.recovery.boot_max.max(search.boot_max);
        let Mode::Search(mut scan, search) = core::mem::take(&mut self.recovery.load.mode) else {
            return Ok(Poll::Ready(()));
        };
        match found {
            SearchEnd::Resumed(at) => {
                scan.position = at;
                self.recovery.load.mode = Mode::Scan(scan);
                Ok(Poll::Ready(()))
            }
            SearchEnd::Torn if end.is_none() => {
                self.recovery.load.mode = Mode::Ended(scan, Some(search));
                Ok(Poll::Ready(()))
            }
            SearchEnd::Torn | SearchEnd::Corrupt if self.passes_over(end.as_ref()) => {
                self.begin_survey(scan, end);
                Ok(Poll::Ready(()))
            }
            SearchEnd::Torn | SearchEnd::Corrupt => {
                Err(self.corrupted(segment, position, Damage::Group))
            }
        }
    }

    /// Whether what is scanned gets hints when its segment is sealed: in the head.
    fn gathers_hints(&self, end: Option<&Cut>) -> bool {
        end.is_none() && !self.salvages()
    }

    /// Adds an entry to the batch for the keydir, where this pass takes its kind.
    pub(super) fn load_entry(
        &mut self,
        fingerprint: Fingerprint,
        entry: Entry,
    ) -> Result<(), Error> {
        let layout = &self.port.layout;
        let fits = self.keydir.can_hold(&entry.location)
            && entry.location.record_bytes <= layout.record_bytes_max
            && entry.seq.0 != 0;
        if !fits {
            return Err(self.damaged(&entry.location, Damage::Record));
        }
        let is_chunk = entry.kind == EntryKind::Chunk;
        if !CHUNKS && (is_chunk || entry.kind == EntryKind::ChunkHead) {
            return Err(Error::LeftOut { feature: "chunks" });
        }
        if CHUNKS && is_chunk != (self.recovery.phase == Phase::Chunks) {
            if is_chunk {
                self.recovery.load.chunks += 1;
                self.order[self.recovery.index as usize] |= HAS_CHUNKS;
            }
            return Ok(());
        }
        if self.recovery.load.batch.is_full() {
            self.flush_batch()?;
        }
        let pushed = self.recovery.load.batch.push((fingerprint, entry));
        assert!(pushed.is_ok(), "the batch was flushed when it was full");
        Ok(())
    }

    fn flush_batch(&mut self) -> Result<(), Error> {
        if CHUNKS && self.recovery.phase == Phase::Chunks {
            self.keep_wanted();
        }
        let (layout, segments) = (self.port.layout, &mut self.segments);
        let LoadState { batch, placeholders, .. } = &mut self.recovery.load;
        self.keydir.upsert_newer_batch(batch, |index, outcome| {
            let added = &batch[index].1;
            if outcome != Outcome::Kept {
                segments.add_live(layout.segment_of(added.location.address), added);
            }
            if let Outcome::Replaced(old) = outcome {
                if CHUNKS && is_placeholder(&old) {
                    *placeholders -= 1;
                    return;
                }
                segments.subtract_live(layout.segment_of(old.location.address), &old);
            }
        })?;
        batch.clear();
        Ok(())
    }
}
