//! Recovery that goes on behind damage: degraded opens, and salvage.
//!
//! * Behind a damaged group `survey` finds where the log goes on. What is known to have been in the
//!   log is looked at record by record: a record's checksum covers its place and its sequence, so
//!   each can be trusted alone. A batch whose group is damaged may so come back in part.
//! * Sequences follow each other without gaps. So where every record of a damaged group is whole
//!   and the next group begins with the sequence that follows, nothing was lost. Otherwise
//!   everything older than that next group is in doubt (`engine/damage.rs`), and the segment stays
//!   as a witness.
//! * Salvage scans everything, writes nothing, and has no head: damage of any kind is noted and
//!   passed over.

use core::task::Poll;

use super::Phase;
use super::load::Mode;
use super::scan::Scan;
use super::survey::{Detour, EndOf, Route, Survey};
use crate::config::OnDamage;
use crate::engine::{Engine, Health, ready};
use crate::error::{Corruption, Damage, Error};
use crate::format::bytes::u64_at;
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::format::record::{EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use crate::format::segment::Cut;
use crate::keydir::Entry;
use crate::log::{Head, HeadStart, Resumption};
use crate::parts::SALVAGE;
use crate::types::{Boot, Location, Offset, SegmentId, Seq};

/// Pages read at once.
const AHEAD: u32 = 16;

/// Records in a row whose headers may be damaged, for the next one to be found.
const SKIPPED_MAX: u64 = 4;

/// Damage whose extent is known once the next group is met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    at: Offset,
    /// The sequence behind the last record, where every one before it was taken.
    next: Option<Seq>,
}

/// The records of a damaged group, one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    at: u32,
    /// The next record's sequence, unless it carries one.
    seq: Option<Seq>,
    /// Every record so far was whole.
    whole: bool,
    /// No record begins where the last one ended.
    astray: bool,
}

impl Engine<'_> {
    /// Whether this open shows what it can and passes over the rest.
    pub(super) fn salvages(&self) -> bool {
        self.is_salvage()
    }

    /// Whether damage in a segment with this recorded end is passed over.
    pub(super) fn passes_over(&self, end: Option<&Cut>) -> bool {
        let sealed = end.is_some() && self.recovery.index > 0;
        self.salvages() || SALVAGE && self.on_damage == OnDamage::Degrade && sealed
    }

    /// Notes a damaged place that a salvage passes over; any other open fails with it.
    pub(super) fn pass_over_damage(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Corrupted(place) if self.salvages() => {
                self.damages.note(place, Seq(0));
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Begins to look for the way on behind the scan's position.
    pub(super) fn begin_survey(&mut self, scan: Scan, end: Option<Cut>) {
        let survey = Survey::new(&scan, end.map_or(EndOf::Unknown, |end| EndOf::Known(end.end)));
        self.recovery.load.mode = Mode::Survey(scan, survey);
    }

    /// Takes the look behind damage on, and then the way that it found.
    pub(super) fn poll_survey(&mut self, end: Option<Cut>) -> Result<Poll<()>, Error> {
        let context = self.scan_context();
        let Mode::Survey(scan, survey) = &mut self.recovery.load.mode else {
            return Ok(Poll::Ready(()));
        };
        if !SALVAGE {
            return Ok(Poll::Ready(()));
        }
        let Some(route) = ready!(survey.step_page(scan, &mut self.port, &context, AHEAD)?) else {
            return Ok(Poll::Ready(()));
        };
        let Mode::Survey(mut scan, _) = core::mem::take(&mut self.recovery.load.mode) else {
            return Ok(Poll::Ready(()));
        };
        match route {
            Route::Resumed(at) => {
                scan.skip_to(at);
                self.recovery.load.mode = Mode::Scan(scan);
            }
            Route::Damaged(detour) if end.is_none() && !detour.proven => {
                // A torn tail, as far as anybody can tell.
                self.recovery.load.mode = Mode::Ended(scan, None);
            }
            Route::Damaged(detour) => {
                self.recovery.load.detoured = true;
                if self.recovery.phase == Phase::Load {
                    // Chunks may be lost that heads ask for: at most as many as records fit there.
                    let behind = detour.next.map_or(self.port.layout.data_end, |(at, _)| at.0);
                    let gap = behind.saturating_sub(scan.position.0);
                    self.recovery.load.chunks += u64::from(gap / RECORD_HEADER_BYTES);
                }
                self.recovery.load.lost = Some(Lost { at: scan.position, next: None });
                let pieces = Pieces { at: scan.position.0, seq: None, whole: true, astray: false };
                self.recovery.load.mode = if detour.in_log {
                    Mode::Pieces(scan, detour, pieces)
                } else {
                    Self::behind(scan, detour, end)
                };
            }
        }
        Ok(Poll::Ready(()))
    }

    /// How loading goes on behind damage.
    fn behind(mut scan: Scan, detour: Detour, end: Option<Cut>) -> Mode {
        match (detour.next, end) {
            (Some((at, boot)), _) => {
                scan.boot = boot;
                scan.skip_to(at);
                Mode::Scan(scan)
            }
            (None, Some(end)) => {
                scan.skip_to(end.end);
                Mode::Scan(scan)
            }
            (None, None) => Mode::Ended(scan, None),
        }
    }

    /// Takes the records of a damaged group that are whole.
    pub(super) fn poll_pieces(&mut self, end: Option<Cut>) -> Result<Poll<()>, Error> {
        if !SALVAGE {
            return Ok(Poll::Ready(()));
        }
        let mode = core::mem::take(&mut self.recovery.load.mode);
        let Mode::Pieces(scan, detour, mut pieces) = mode else { return Ok(Poll::Ready(())) };
        let limit = detour.next.map_or(self.port.layout.data_end, |(at, _)| at.0);
        let taken = self.poll_records_of(&scan, limit, &mut pieces);
        self.recovery.load.mode = if matches!(taken, Ok(Poll::Ready(()))) {
            let next = pieces.seq.filter(|_| pieces.whole);
            self.recovery.load.lost = Some(Lost { at: scan.position, next });
            Self::behind(scan, detour, end)
        } else {
            Mode::Pieces(scan, detour, pieces)
        };
        taken
    }

    fn poll_records_of(
        &mut self,
        scan: &Scan,
        limit: u32,
        pieces: &mut Pieces,
    ) -> Result<Poll<()>, Error> {
        if pieces.seq.is_none() {
            ready!(self.poll_first_piece(scan, pieces)?);
        }
        // Each turn passes a record, or a byte where none begins.
        while let Some(seq) = pieces.seq {
            if pieces.at + RECORD_HEADER_BYTES + EXPLICIT_SEQ_BYTES > limit {
                break;
            }
            let mut bytes = [0; (RECORD_HEADER_BYTES + EXPLICIT_SEQ_BYTES) as usize];
            ready!(self.poll_bytes(scan.segment, pieces.at, limit, &mut bytes)?);
            let room = self.port.layout.record_bytes_max.min(limit - pieces.at);
            let header = RecordHeader::decode(&bytes).filter(|header| {
                let has_entry = header.kind.entry_kind().is_some() && header.key_bytes > 0;
                header.record_bytes() <= room
                    && (has_entry || header.kind == RecordKind::Announcement && !pieces.astray)
            });
            let Some(header) = header else {
                // Behind the last record this finds nothing more; behind a damaged header it finds
                // the next record.
                pieces.astray = true;
                pieces.at += self.port.layout.align;
                continue;
            };
            let explicit = header.prefix_bytes() > RECORD_HEADER_BYTES;
            let own = explicit.then(|| Seq(u64_at(&bytes, 12)));
            // The records whose headers are lost took sequences as well.
            let skipped_max = if pieces.astray { SKIPPED_MAX } else { 0 };
            let first = u64::from(pieces.astray);
            let mut found = None;
            for skipped in first..=skipped_max {
                let place = Seq(seq.0.saturating_add(skipped));
                let of_record = own.unwrap_or(place);
                if ready!(self.poll_piece(scan.segment, pieces.at, &header, of_record)?) {
                    found = Some(place);
                    break;
                }
                if own.is_some() {
                    break;
                }
            }
            pieces.whole &= found.is_some() && !pieces.astray;
            pieces.astray = found.is_none();
            match found {
                Some(place) => {
                    let end = pieces.at + header.record_bytes();
                    let layout = &self.port.layout;
                    let is_short = header.is_short();
                    pieces.at = if is_short { layout.padded(end) } else { layout.aligned(end) };
                    pieces.seq = Some(Seq(place.0.saturating_add(1)));
                }
                // It may be its length that is damaged.
                None => pieces.at += self.port.layout.align,
            }
        }
        Ok(Poll::Ready(()))
    }

    /// The sequence of a damaged group's first record: from its header, else what follows the group
    /// before.
    fn poll_first_piece(&mut self, scan: &Scan, pieces: &mut Pieces) -> Result<Poll<()>, Error> {
        let mut bytes = [0; GROUP_HEADER_BYTES as usize];
        ready!(self.poll_bytes(scan.segment, pieces.at, pieces.at, &mut bytes)?);
        let seeds = self.scan_context().seeds(scan.segment, scan.open_seq, scan.boot);
        let header = GroupHeader::decode(&bytes, scan.position, &seeds, &self.sums);
        pieces.at += GROUP_HEADER_BYTES;
        pieces.seq = header.map(|header| header.first_seq).or(self.recovery.load.next_seq);
        Ok(Poll::Ready(()))
    }

    /// Takes a record if it is whole; ready with whether it is.
    fn poll_piece(
        &mut self,
        segment: SegmentId,
        at: u32,
        header: &RecordHeader,
        seq: Seq,
    ) -> Result<Poll<bool>, Error> {
        let Some(kind) = header.kind.entry_kind() else {
            // What it announces was taken back before, or counts no more: its loss loses nothing.
            return Ok(Poll::Ready(header.kind == RecordKind::Announcement));
        };
        let address = self.port.layout.log_address(segment, Offset(at));
        let location = Location { address, record_bytes: header.record_bytes() };
        let entry = Entry { seq, location, kind };
        if seq.0 == 0 || !self.keydir.can_hold(&location) {
            return Ok(Poll::Ready(false));
        }
        let record = match self.poll_record(&entry) {
            Ok(Poll::Ready(record)) => record,
            Ok(Poll::Pending) => return Ok(Poll::Pending),
            Err(Error::Corrupted(_)) => return Ok(Poll::Ready(false)),
            Err(error) => return Err(error),
        };
        let fingerprint = self.fingerprint_of(&record, header.kind);
        self.release_record();
        self.recovery.accept(seq);
        if !header.is_old() {
            self.load_entry(fingerprint, entry)?;
        }
        Ok(Poll::Ready(true))
    }

    /// The next group behind damage, or with `None` the end of the segment, tells how much may be
    /// lost.
    pub(super) fn settle_lost(&mut self, segment: SegmentId, behind: Option<(GroupKind, Seq)>) {
        if !SALVAGE {
            return;
        }
        let Some(lost) = self.recovery.load.lost.take() else { return };
        let first_seq = behind.map(|(_, seq)| seq);
        let gapless = behind.filter(|&(kind, _)| kind != GroupKind::Resume).map(|(_, seq)| seq);
        let nothing = lost.next.is_some() && lost.next == gapless;
        let below = first_seq.or(self.recovery.load.sealed_at).unwrap_or(Seq(u64::MAX));
        self.note_lost(segment, lost.at, if nothing { Seq(0) } else { below });
    }

    /// Remembers that records older than `below` may be lost at a place.
    pub(super) fn note_lost(&mut self, segment: SegmentId, offset: Offset, below: Seq) {
        if self.recovery.phase != Phase::Load {
            return;
        }
        let below = if self.salvages() { Seq(0) } else { below };
        let place = Corruption { segment: Some(segment), offset, what: Damage::Group };
        self.damages.note(place, below);
        if below > Seq(0) {
            self.segments.set_witness(segment);
        }
    }

    /// The end of a salvage: there is no head, and what could not be found is noted.
    pub(super) fn recover_salvaged(&mut self) -> Poll<()> {
        // Bounded by the segments: each turn settles one.
        while let Some(segment) = self.segments.first_missing() {
            let what = Damage::SegmentHeader;
            let place = Corruption { segment: Some(segment), offset: Offset(0), what };
            self.damages.note(place, Seq(0));
            self.segments.release(segment);
        }
        let only_a_copy = self.recovery.newest.copy_in.is_some() || self.recovery.first.is_some();
        if let Some(tail) = self.recovery.tail.filter(|tail| only_a_copy && tail.is_empty()) {
            // Its header was durable before anything said that it exists: its groups are lost.
            let (segment, what) = (tail.cut().segment, Damage::SegmentHeader);
            let place = Corruption { segment: Some(segment), offset: Offset(0), what };
            self.damages.note(place, Seq(0));
        }
        let none = SegmentId(u32::MAX);
        let spare = self.head.spare.take();
        self.head = Head::new(HeadStart {
            segment: none,
            open_seq: Seq(0),
            header_boot: Boot(0),
            cut: None,
            seeds: self.scan_context().seeds(none, Seq(0), Boot(0)),
            position: self.port.layout.data_start,
            digest: 0,
            resumption: Resumption::Done,
        });
        self.head.spare = spare;
        self.boot = self.recovery.boot_max;
        self.next_seq = Seq(self.recovery.seq_max.0.saturating_add(1));
        self.published_seq = self.recovery.accepted;
        self.durable_seq = self.recovery.accepted;
        self.health = Health::Sound;
        self.recovery.phase = Phase::Done;
        Poll::Ready(())
    }
}
