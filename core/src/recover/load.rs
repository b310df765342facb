//! The second part of recovery: every segment's records into the keydir, oldest segment first.

use core::task::Poll;

use heapless::Vec;

use super::Phase;
use super::hints::HintLoad;
use super::scan::{Scan, ScanEvent};
use super::search::{Search, SearchEnd};
use crate::canary::Canary;
use crate::config::Access;
use crate::engine::{Engine, MarkState, ready};
use crate::error::{Damage, Error};
use crate::format::footer::{Footer, HintGroup, decode_footer};
use crate::format::group::GroupKind;
use crate::format::parser::Verify;
use crate::format::segment::{Cut, SegmentHeader};
use crate::keydir::{Entry, Outcome};
use crate::log::{Boundary, Head, HeadStart, RESUME_GROUP_BYTES, Resumption};
use crate::types::{Boot, Fingerprint, Location, Offset, SegmentId, Seq};

/// Entries that go into the keydir at once, so that their cache misses overlap.
const BATCH: usize = 16;

/// How the current segment is loaded.
#[derive(Debug, Default)]
pub(super) enum Mode {
    /// Not decided yet.
    #[default]
    Start,
    Hints(HintLoad),
    Scan(Scan),
    /// Behind a place without a whole group.
    Search(Scan, Search),
    /// The newest segment was scanned to its end.
    Ended(Scan, Option<Search>),
}

/// The state of loading.
#[derive(Debug, Default)]
pub(super) struct LoadState {
    pub(super) mode: Mode,
    pub(super) batch: Vec<(Fingerprint, Entry), BATCH>,
    header: Option<SegmentHeader>,
    /// Entries that footers announce.
    announced: u64,
}

impl Engine<'_> {
    /// Counts what the footers announce, so that the keydir grows once.
    pub(super) fn recover_count(&mut self) -> Result<Poll<()>, Error> {
        while self.recovery.index + 1 < self.recovery.hinted {
            let segment = SegmentId(self.order[self.recovery.index as usize]);
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

    pub(super) fn recover_load(&mut self) -> Result<Poll<()>, Error> {
        while self.recovery.index < self.recovery.hinted {
            let segment = SegmentId(self.order[self.recovery.index as usize]);
            let is_last = self.recovery.index + 1 == self.recovery.hinted;
            let end = if is_last { None } else { Some(ready!(self.poll_recorded_end(segment)?)) };
            ready!(self.poll_load(segment, end)?);
            self.flush_batch()?;
            if is_last {
                break;
            }
            if let Some(end) = end {
                self.segments.set_used(segment, end.end.0);
            }
            self.recovery.load.mode = Mode::Start;
            self.recovery.load.header = None;
            self.recovery.index += 1;
        }
        self.recovery.enter(Phase::Tail);
        Ok(Poll::Ready(()))
    }

    /// The end of a sealed segment, from the header of the one that followed it.
    fn poll_recorded_end(&mut self, segment: SegmentId) -> Result<Poll<Cut>, Error> {
        let successor = SegmentId(self.order[self.recovery.index as usize + 1]);
        let header = ready!(self.poll_any_header(successor)?);
        let data_end = self.port.layout.data_end;
        let cut = header
            .and_then(|header| header.cut)
            .filter(|cut| cut.segment == segment && cut.end.0 <= data_end);
        let open_seq = self.segments.open_seq(segment);
        match cut.filter(|cut| Some(cut.open_seq) == open_seq) {
            Some(cut) => Ok(Poll::Ready(cut)),
            None => Err(self.corrupted(successor, Offset(0), Damage::SegmentHeader)),
        }
    }

    /// Ready once the segment's records are in the keydir.
    fn poll_load(&mut self, segment: SegmentId, end: Option<Cut>) -> Result<Poll<()>, Error> {
        loop {
            match &mut self.recovery.load.mode {
                Mode::Start => ready!(self.start_load(segment, end)?),
                Mode::Hints(_) => {
                    if ready!(self.poll_hints()?) {
                        self.recovery.by_hints += 1;
                        return Ok(Poll::Ready(()));
                    }
                    ready!(self.start_scan(segment)?);
                }
                Mode::Scan(_) => {
                    if ready!(self.poll_scan(end)?) {
                        self.recovery.by_scan += 1;
                        return Ok(Poll::Ready(()));
                    }
                }
                Mode::Search(..) => ready!(self.poll_search(segment, end)?),
                Mode::Ended(..) => return Ok(Poll::Ready(())),
            }
        }
    }

    fn start_load(&mut self, segment: SegmentId, end: Option<Cut>) -> Result<Poll<()>, Error> {
        if let Some(end) = end
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
        self.recovery.load.header = Some(header);
        self.recovery.load.mode = Mode::Scan(Scan::new(incarnation, start, Verify::Group));
        if self.recovery.index + 1 == self.recovery.hinted {
            self.hints.start();
        }
        Ok(Poll::Ready(()))
    }

    /// Takes the scan on; ready with true at the segment's recorded end.
    fn poll_scan(&mut self, end: Option<Cut>) -> Result<Poll<bool>, Error> {
        let context = self.scan_context();
        loop {
            let Mode::Scan(scan) = &mut self.recovery.load.mode else {
                return Ok(Poll::Ready(false));
            };
            if end.is_some_and(|end| scan.position >= end.end) {
                let whole =
                    end.is_some_and(|end| scan.position == end.end && scan.digest == end.digest);
                let (segment, position) = (scan.segment, scan.position);
                return if whole {
                    Ok(Poll::Ready(true))
                } else {
                    Err(self.corrupted(segment, position, Damage::Group))
                };
            }
            let event = ready!(scan.step(&mut self.port, &context)?);
            let segment = scan.segment;
            match event {
                ScanEvent::Group(group, resume) => {
                    let seq = Seq(group
                        .header
                        .first_seq
                        .0
                        .saturating_add(u64::from(group.trailer.count)));
                    self.recovery.accept(seq);
                    if let Some(resume) = resume {
                        self.recovery.boot_max = self.recovery.boot_max.max(resume.boot);
                    }
                    if group.header.kind == GroupKind::Hints && end.is_none() {
                        let bytes = group.next.0 - group.start.0;
                        self.hints.written(HintGroup { offset: group.start, bytes });
                    }
                }
                ScanEvent::Record { header, offset, seq, group, fingerprint } => {
                    let Some(kind) = header.kind.entry_kind() else { continue };
                    let record_bytes = header.record_bytes();
                    if end.is_none() {
                        self.hints.add(group, fingerprint, record_bytes, kind);
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
                    let search = Search::new(&scan, context.bounds.commit_unit);
                    self.recovery.load.mode = Mode::Search(scan, search);
                    return Ok(Poll::Ready(false));
                }
            }
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
            SearchEnd::Torn | SearchEnd::Corrupt => {
                Err(self.corrupted(segment, position, Damage::Group))
            }
        }
    }

    /// Adds an entry to the batch for the keydir.
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
        if self.recovery.load.batch.is_full() {
            self.flush_batch()?;
        }
        let pushed = self.recovery.load.batch.push((fingerprint, entry));
        assert!(pushed.is_ok(), "the batch was flushed when it was full");
        Ok(())
    }

    fn flush_batch(&mut self) -> Result<(), Error> {
        let (layout, segments) = (self.port.layout, &mut self.segments);
        let batch = &self.recovery.load.batch;
        self.keydir.upsert_newer_batch(batch, |index, outcome| {
            let added = batch[index].1.location;
            if outcome != Outcome::Kept {
                segments.add_live(layout.segment_of(added.address), added.record_bytes);
            }
            if let Outcome::Replaced(old) = outcome {
                segments.subtract_live(
                    layout.segment_of(old.location.address),
                    old.location.record_bytes,
                );
            }
        })?;
        self.recovery.load.batch.clear();
        Ok(())
    }

    /// Whether the footer and mark slots of a segment may be written: an interrupted session may have done so already, and
    /// what needs erase is not written twice.
    fn poll_sealable(&mut self, segment: SegmentId) -> Result<Poll<bool>, Error> {
        let (true, Some(erased)) = (self.port.caps.needs_erase, self.port.caps.erased) else {
            return Ok(Poll::Ready(!self.port.caps.needs_erase));
        };
        let layout = self.port.layout;
        let mut at = layout.data_end;
        while at < layout.segment_bytes {
            let page = layout.page_at(segment, Offset(at));
            let frame = ready!(self.port.resident(page, 2)?);
            let bytes = &self.port.pool.frame(frame)[layout.in_page(Offset(at)) as usize..];
            if bytes.iter().any(|&byte| byte != erased) {
                return Ok(Poll::Ready(false));
            }
            at += bytes.len() as u32;
        }
        Ok(Poll::Ready(true))
    }

    /// Writes the footer of a segment whose first one was torn, where the device allows it.
    fn seal_again(&mut self, header: &SegmentHeader, cut: &Cut, scan: &Scan) {
        let end = Boundary { end: cut.end.0, digest: cut.digest };
        self.head = Head::new(HeadStart {
            segment: header.segment,
            open_seq: header.open_seq,
            header_boot: header.boot,
            cut: header.cut,
            seeds: self.scan_context().seeds(scan.segment, scan.open_seq, scan.boot),
            position: end.end,
            digest: end.digest,
            resumption: Resumption::Done,
        });
        let jumped = core::mem::replace(&mut self.next_seq, Seq(self.recovery.seq_max.0 + 1));
        self.hints.give_up();
        self.head.sealable = !self.port.caps.needs_erase && self.access == Access::ReadWrite;
        if self.port.pool.available() > 0 && self.port.room() > 0 {
            self.seal(end);
        }
        self.next_seq = jumped;
        self.hints.start();
    }

    /// The head, where the newest segment ends.
    pub(super) fn recover_tail(&mut self) -> Result<Poll<()>, Error> {
        let segment = SegmentId(self.order[self.recovery.hinted.saturating_sub(1) as usize]);
        let sealable = ready!(self.poll_sealable(segment)?);
        let footer = ready!(self.poll_footer(segment)?)
            .filter(|footer| Some(footer.header.open_seq) == self.segments.open_seq(segment));
        if let Some(footer) = footer {
            // It may speak of groups that are not there, but the sequences were given out.
            self.recovery.seq_max = self.recovery.seq_max.max(footer.seq_max);
        }
        if let Some(unproven) = self.recovery.unproven {
            self.segments.pass_over(unproven.header.segment);
        }
        let mode = core::mem::take(&mut self.recovery.load.mode);
        let (Mode::Ended(scan, search), Some(header)) = (mode, self.recovery.load.header) else {
            return Err(self.corrupted(SegmentId(0), Offset(0), Damage::SegmentHeader));
        };
        let only_a_copy = self.recovery.newest.copy_in.is_some() || self.recovery.first.is_some();
        if scan.last.is_none() && only_a_copy {
            // Its header was durable before anything said that it exists: that nothing of it is left is no crash.
            return Err(self.corrupted(scan.segment, Offset(0), Damage::SegmentHeader));
        }
        let layout = self.port.layout;
        let cut = scan.position;
        let mut safe = Boundary { end: cut.0, digest: scan.digest };
        let blank_from = search.as_ref().map_or(cut.0, |search| search.blank_from);
        let mut position = layout.padded(cut.0);
        if let (Some((GroupKind::Resume, at)), Some(resume)) = (scan.last, scan.last_resume) {
            // Nothing came behind the resume group, so the log still ends where it says. The new one takes the other of two
            // places behind that end: crashes in a row inside open use no more space, and the older one stands, with its
            // boot and its sequence, until the newer one is whole.
            safe = Boundary { end: resume.cut.0, digest: resume.digest };
            let first = layout.padded(resume.cut.0);
            let second = first + layout.padded(RESUME_GROUP_BYTES);
            if !self.port.caps.needs_erase {
                position = if at.0 == first { second } else { first };
            }
        }
        if self.port.caps.needs_erase {
            position = layout.padded(position.max(blank_from).max(scan.reach.0));
        }
        self.recovery.boot_max = self.recovery.boot_max.max(scan.boot);
        let boot = self.recovery.boot_max.0.checked_add(1);
        self.boot = Boot(boot.unwrap_or(u32::MAX));
        if self.cage.holds(Canary::IncarnationReuse) {
            self.boot = self.recovery.boot_max;
        }
        let jumped = (self.recovery.seq_max.0 >> 32).checked_add(1).filter(|&jump| jump < 1 << 32);
        // A store that has no numbers left can still be read.
        if self.access == Access::ReadWrite && (boot.is_none() || jumped.is_none()) {
            return Err(Error::Exhausted);
        }
        self.next_seq = Seq(jumped.unwrap_or(0) << 32);
        if self.cage.holds(Canary::SeqReuse) {
            self.next_seq = Seq(self.recovery.seq_max.0 + 1);
        }
        let ends = [Boundary { end: cut.0, digest: scan.digest }, safe];
        let adopted = self.recovery.unproven.filter(|next| {
            let end = next
                .header
                .cut
                .filter(|cut| (cut.segment, cut.open_seq) == (scan.segment, scan.open_seq));
            end.is_some_and(|cut| ends.contains(&Boundary { end: cut.end.0, digest: cut.digest }))
        });
        let (old_header, mut header, mut sealable) = (header, header, sealable);
        if let Some(next) = adopted {
            // This segment is whole up to the end that the next one's header records, so that header is true after all: the
            // log goes on there, and the header is not written over, which alone tells the sequence it took.
            self.segments.set_used(scan.segment, next.header.cut.map_or(0, |cut| cut.end.0));
            self.segments.open(next.header.segment, next.header.open_seq);
            safe = Boundary { end: layout.data_start, digest: 0 };
            position = layout.data_start;
            if self.port.caps.needs_erase {
                position = layout.padded(position.max(next.blank_from));
            }
            (header, sealable) = (next.header, true);
            self.hints.start();
            self.recovery.newest.mark = MarkState::Unissued;
        }
        let spare = self.head.spare.take();
        if let Some(cut) = adopted.and_then(|next| next.header.cut)
            && footer.is_none_or(|footer| (footer.end, footer.digest) != (cut.end, cut.digest))
        {
            self.seal_again(&old_header, &cut, &scan);
        }
        self.head = Head::new(HeadStart {
            segment: header.segment,
            open_seq: header.open_seq,
            header_boot: header.boot,
            cut: header.cut,
            seeds: self.head.seeds,
            position,
            digest: safe.digest,
            resumption: Resumption::Needed,
        });
        self.head.safe = safe;
        self.head.spare = spare;
        self.head.sealable = sealable;
        self.head.seeds = self.scan_context().seeds(header.segment, header.open_seq, self.boot);
        self.head.mark = self.recovery.newest.mark;
        if self.cage.holds(Canary::AppendAfterTorn) {
            self.head.resumption = Resumption::Done;
            self.head.seeds = self.scan_context().seeds(scan.segment, scan.open_seq, scan.boot);
        }
        if self.port.caps.needs_erase {
            // A mark that may be half written cannot be written again.
            self.head.mark = MarkState::Issued;
        }
        self.head.seq_max = self.recovery.accepted;
        self.published_seq = self.recovery.accepted;
        self.recovery.load.header = None;
        let closed = adopted.is_none() && matches!(scan.last, Some((GroupKind::Close, _)));
        self.recovery.hinted = u32::from(closed);
        self.recovery.enter(Phase::Orphans);
        Ok(Poll::Ready(()))
    }
}
