//! One segment's records, in log order: each is judged, and what is alive is copied to the head.
//!
//! A record is alive if the keydir or the version table points to exactly its place: no key is compared, nothing else is read. Judging, encoding
//! the copy and pointing the entry to it are one step of the engine, so a newer put always wins.
//!
//! Whatever the segment's bytes look like, the walk cannot lose anything: the segment's live bytes are exact, and only a
//! segment whose live bytes are 0 is ever given back. Where they are not at the end of a walk, records are damaged: the
//! segment stays as it is, and reading those keys says `Corrupted`.

use core::task::Poll;

use super::ledger::MergeBytes;
use crate::canary::Canary;
use crate::engine::{Engine, Record, ready};
use crate::error::Error;
use crate::format::group::GroupKind;
use crate::format::parser::Verify;
use crate::format::record::{
    EXPLICIT_SEQ_BYTES, FLAG_EXPLICIT_SEQ, FLAG_OLD, RecordKind, RecordShape,
};
use crate::keydir::Entry;
use crate::parts::SNAPSHOTS;
use crate::recover::{Scan, ScanEvent};
use crate::types::{EntryKind, Fingerprint, Location, LogAddress, Offset, SegmentId, Seq};

/// Pages read at once.
const AHEAD: u32 = 16;

/// A record that may be alive.
#[derive(Clone, Copy, Debug)]
struct Found {
    fingerprint: Fingerprint,
    offset: Offset,
    /// What the entry says when the record is read: for a seeded bug alone.
    at_read: Option<Entry>,
}

/// Whose walk it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walker {
    Victim = 0,
    Sweep = 1,
}

/// A walk through one sealed segment. Its scan lies in the merger, so that what a step takes in hand is small.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) segment: SegmentId,
    walker: Walker,
    /// First offset behind its groups.
    end: u32,
    /// Tombstones before this sequence are needed by no other segment.
    floor: Seq,
    begun: bool,
    found: Option<Found>,
    /// First offset that was not proved whole yet.
    proved: u32,
    /// First offset whose records were not judged yet.
    judged: u32,
    over: bool,
}

/// Whether a record is the newest of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Newest,
    /// Kept for a snapshot.
    Old,
}

/// What a step of a walk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkStep {
    /// Work.
    Worked(MergeBytes),
    /// Every record was judged.
    Over,
}

impl Walk {
    /// How far the walk is: each byte is read to be proved and again to be judged, each time for half.
    pub(crate) fn reached(&self) -> u32 {
        (self.proved + self.judged) / 2
    }

    /// The scan moved on; answers the work that was.
    fn note_progress(&mut self, scan: Option<&Scan>) -> MergeBytes {
        let Some(scan) = scan else { return MergeBytes(0) };
        let before = self.reached();
        let at = scan.reading_at().0.min(self.end);
        let judged = if scan.is_emitting() { at } else { scan.position.0.min(self.end) };
        self.proved = self.proved.max(at);
        self.judged = self.judged.max(judged);
        MergeBytes(u64::from(self.reached() - before))
    }

    /// Nothing was read yet.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.begun && !self.over
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }
}

impl Engine<'_> {
    /// A walk from a segment's start.
    pub(crate) fn new_walk(&mut self, segment: SegmentId, walker: Walker) -> Walk {
        // The appender's frame of the first page holds no header: that went to the device from another one.
        self.release_record();
        self.forget_slots(segment);
        self.merger.scans[walker as usize] = None;
        Walk {
            segment,
            walker,
            end: self.segments.used(segment),
            floor: self.oldest_beside(segment),
            begun: false,
            found: None,
            proved: self.port.layout.data_start,
            judged: self.port.layout.data_start,
            over: false,
        }
    }

    /// The next record, or the next page on the way to it.
    pub(crate) fn poll_walk(&mut self, walk: &mut Walk) -> Result<Poll<WalkStep>, Error> {
        if let Some(found) = walk.found {
            let copied = ready!(self.poll_judge(walk, &found)?);
            walk.found = None;
            return Ok(Poll::Ready(WalkStep::Worked(copied)));
        }
        if walk.over || self.segments.live(walk.segment) == 0 {
            // Nothing is alive any more: what was not read need not be.
            walk.over = true;
            return Ok(Poll::Ready(WalkStep::Over));
        }
        if !walk.begun {
            return self.poll_walk_header(walk);
        }
        let context = self.scan_context();
        let scan = self.merger.scans[walk.walker as usize].as_mut().expect("it has begun");
        if scan.position.0 >= walk.end {
            walk.over = true;
            return Ok(Poll::Ready(WalkStep::Over));
        }
        let event = ready!(scan.step_page(&mut self.port, &context, AHEAD)?);
        match event {
            Some(ScanEvent::Record { header, offset, seq, fingerprint }) => {
                if let Some(kind) = header.kind.entry_kind() {
                    let address = self.port.layout.log_address(walk.segment, offset);
                    let location = Location { address, record_bytes: header.record_bytes() };
                    self.revive(&fingerprint, Entry { seq, location, kind });
                    let early = self.cage.holds(Canary::LiveAtRead);
                    let at_read = if early { self.keydir.get(&fingerprint) } else { None };
                    walk.found = Some(Found { fingerprint, offset, at_read });
                }
            }
            // A place where a session ended in the middle of a group, or damage: the live bytes will tell.
            Some(ScanEvent::Bad) => {
                let next = self.port.layout.padded(scan.position.0 + 1);
                scan.skip_to(Offset(next));
            }
            _ => {}
        }
        let scan = self.merger.scans[walk.walker as usize].as_ref();
        Ok(Poll::Ready(WalkStep::Worked(walk.note_progress(scan))))
    }

    fn poll_walk_header(&mut self, walk: &mut Walk) -> Result<Poll<WalkStep>, Error> {
        let header = ready!(self.poll_any_header(walk.segment)?);
        match header {
            Some(header) => {
                let start = Offset(self.port.layout.data_start);
                let incarnation = (walk.segment, header.open_seq, header.boot);
                let raw = self.cage.holds(Canary::MergeRaw);
                let verify = if raw { Verify::Nothing } else { Verify::Group };
                let scan = Scan::of_segment(incarnation, start, verify);
                self.merger.scans[walk.walker as usize] = Some(scan);
                walk.begun = true;
            }
            None => walk.over = true,
        }
        Ok(Poll::Ready(WalkStep::Worked(MergeBytes(0))))
    }

    /// Copies a record if it is alive; ready with the bytes of the copy.
    fn poll_judge(&mut self, walk: &Walk, found: &Found) -> Result<Poll<MergeBytes>, Error> {
        let address = self.port.layout.log_address(walk.segment, found.offset);
        let alive = |engine: &Self| {
            if engine.cage.holds(Canary::LiveAtRead) {
                let entry = found.at_read.filter(|entry| entry.location.address == address);
                return entry.map(|entry| (entry, Age::Newest));
            }
            engine.alive_at(&found.fingerprint, address)
        };
        let Some((entry, _)) = alive(self) else {
            return Ok(Poll::Ready(MergeBytes(0)));
        };
        if entry.kind == EntryKind::Tombstone && self.tombstone_may_go(walk, &entry, found) {
            self.keydir.remove(&found.fingerprint);
            self.bury(&entry);
            self.merger.tombstones_retired += 1;
            return Ok(Poll::Ready(MergeBytes(0)));
        }
        ready!(self.poll_place(entry.location.record_bytes + EXPLICIT_SEQ_BYTES)?);
        // Making room may have waited for the device.
        let Some((entry, age)) = alive(self) else {
            return Ok(Poll::Ready(MergeBytes(0)));
        };
        let record = match self.poll_record(&entry) {
            Ok(Poll::Ready(record)) => record,
            Ok(Poll::Pending) => return Ok(Poll::Pending),
            // It stays where it is, and so does the segment.
            Err(Error::Corrupted(_)) => return Ok(Poll::Ready(MergeBytes(0))),
            Err(error) => return Err(error),
        };
        let bytes = self.append_copy(&found.fingerprint, (&entry, age), &record);
        self.release_record();
        Ok(Poll::Ready(MergeBytes(u64::from(bytes))))
    }

    /// The entry or the old version whose record is at this address.
    fn alive_at(&self, fingerprint: &Fingerprint, address: LogAddress) -> Option<(Entry, Age)> {
        let newest = self.keydir.get(fingerprint);
        if let Some(entry) = newest.filter(|entry| entry.location.address == address) {
            return Some((entry, Age::Newest));
        }
        if !SNAPSHOTS || self.versions.is_empty() {
            return None;
        }
        self.versions.find_at(fingerprint, address).map(|version| (version.entry, Age::Old))
    }

    /// The seeded bug: a record that no entry points to becomes one.
    fn revive(&mut self, fingerprint: &Fingerprint, entry: Entry) {
        if self.cage.holds(Canary::MergeRaw)
            && self.keydir.get(fingerprint).is_none()
            && entry.kind == EntryKind::Value
            && self.keydir.insert(fingerprint, entry).is_ok()
        {
            let segment = self.port.layout.segment_of(entry.location.address);
            self.segments.add_live(segment, &entry);
        }
    }

    /// Whether nothing that this tombstone hides can come back: every other segment that exists was opened later.
    /// An old version of its key is found through it.
    fn tombstone_may_go(&self, walk: &Walk, entry: &Entry, found: &Found) -> bool {
        walk.floor > entry.seq && !(SNAPSHOTS && self.versions.holds(&found.fingerprint))
            || self.cage.holds(Canary::DropTombstone)
    }

    /// Appends a copy of the record that is being read, with its sequence, and points the entry to it.
    fn append_copy(
        &mut self,
        fingerprint: &Fingerprint,
        (entry, age): (&Entry, Age),
        record: &Record,
    ) -> u32 {
        self.open_group(GroupKind::Data);
        let flags = match age {
            Age::Newest if self.cage.holds(Canary::MergeBumpsSeq) => 0,
            Age::Old if !self.cage.holds(Canary::NoOldFlag) => FLAG_EXPLICIT_SEQ | FLAG_OLD,
            _ => FLAG_EXPLICIT_SEQ,
        };
        let shape = RecordShape {
            kind: RecordKind::of_entry(entry.kind),
            flags,
            key_bytes: record.key_bytes() as u16,
            value_bytes: record.value_bytes(),
            inner: record.inner(),
        };
        let begun = self.begin_record(&shape, entry.seq);
        self.append_pinned(record);
        let copy = self.end_record(begun, fingerprint);
        self.repoint(fingerprint, entry.location.address, copy.location);
        let bytes = self.head.position - begun.offset.0;
        self.merger.copied += u64::from(bytes);
        self.merger.tombstones_copied += u64::from(entry.kind == EntryKind::Tombstone);
        bytes
    }
}
