//! Hints in memory: one buffer for the open segment, emptied into a hint group whenever it is full.

use heapless::Vec;

use crate::format::footer::HintGroup;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::hint::{HINT_BYTES, Hint};
use crate::parts::HINTS;
use crate::types::{EntryKind, Fingerprint, Offset, Seq};

/// Most hint groups of one segment.
pub(crate) const HINT_GROUPS_MAX: usize = 64;
/// As many as this build can write.
const GROUPS_KEPT: usize = if HINTS { HINT_GROUPS_MAX } else { 0 };

/// The hints of the open segment that are not in a hint group yet, and the groups so far.
#[derive(Debug)]
pub(crate) struct HintBuffer<'m> {
    bytes: &'m mut [u8],
    used: usize,
    /// Where the record behind the last hint would follow from it, and its sequence.
    next: Option<(Offset, Seq)>,
    /// Records covered so far, or none once a record could not be covered: the segment will be scanned.
    records: Option<u32>,
    groups: Vec<HintGroup, GROUPS_KEPT>,
    groups_max: usize,
}

impl<'m> HintBuffer<'m> {
    /// Takes the buffer; an empty one writes no hints.
    pub(crate) fn new(bytes: &'m mut [u8], groups_max: u32) -> Self {
        let groups_max = (groups_max as usize).min(HINT_GROUPS_MAX);
        let mut buffer =
            Self { bytes, used: 0, next: None, records: None, groups: Vec::new(), groups_max };
        buffer.start();
        buffer
    }

    /// A new segment begins.
    pub(crate) fn start(&mut self) {
        self.used = 0;
        self.next = None;
        self.records = (HINTS && self.bytes.len() >= 8 * HINT_BYTES).then_some(0);
        self.groups.clear();
    }

    /// The segment has records that no hint was kept for.
    pub(crate) fn give_up(&mut self) {
        self.used = 0;
        self.records = None;
    }

    pub(crate) fn is_kept(&self) -> bool {
        HINTS && self.records.is_some()
    }

    /// Encoded hints waiting for a group.
    pub(crate) fn waiting(&self) -> &[u8] {
        if HINTS { &self.bytes[..self.used] } else { &[] }
    }

    /// Bytes of the segment that hint groups will need, with `more` records yet to come.
    pub(crate) fn reserve(&self, more: u32) -> u32 {
        if self.is_kept() { self.reserve_behind(self.used as u32, more) } else { 0 }
    }

    /// The same for a segment that has no records yet.
    pub(crate) fn reserve_empty(&self, more: u32) -> u32 {
        if HINTS && self.bytes.len() >= 8 * HINT_BYTES { self.reserve_behind(0, more) } else { 0 }
    }

    fn reserve_behind(&self, used: u32, more: u32) -> u32 {
        let bytes = used + (more + 2) * HINT_BYTES as u32;
        let groups = 1 + bytes / (self.bytes.len() as u32 - 2 * HINT_BYTES as u32);
        // Each group: header, record header, trailer, a repeated group start and alignment.
        bytes + groups * (64 + HINT_BYTES as u32)
    }

    /// Whether the next group of records might not fit.
    pub(crate) fn is_full_for(&self, records: usize) -> bool {
        self.is_kept() && self.used + (records + 1) * HINT_BYTES > self.bytes.len()
    }

    /// Adds the hint of a record that was just appended at a place; the next one may start at `next`.
    pub(crate) fn add(
        &mut self,
        place: (Offset, Seq),
        next: Offset,
        fingerprint: &Fingerprint,
        record_bytes: u32,
        kind: EntryKind,
    ) {
        let Some(records) = self.records.filter(|_| HINTS) else { return };
        if self.used + 2 * HINT_BYTES > self.bytes.len() || self.groups.len() >= self.groups_max {
            self.give_up();
            return;
        }
        if self.next != Some(place) {
            let before = Offset(place.0.0 - GROUP_HEADER_BYTES);
            self.push(Hint::Place { before, seq: place.1 });
        }
        self.push(Hint::Record { fingerprint: *fingerprint, record_bytes, kind });
        self.next = Some((next, Seq(place.1.0 + 1)));
        self.records = Some(records + 1);
    }

    fn push(&mut self, hint: Hint) {
        self.bytes[self.used..self.used + HINT_BYTES].copy_from_slice(&hint.encode());
        self.used += HINT_BYTES;
    }

    /// The waiting hints are in this group now.
    pub(crate) fn written(&mut self, group: HintGroup) {
        if !HINTS {
            return;
        }
        self.used = 0;
        // The next record tells its place: every hint group can be read on its own.
        self.next = None;
        if self.groups.push(group).is_err() {
            self.give_up();
        }
    }

    /// The list for the footer and the records that it covers; `u32::MAX` where it does not cover the segment.
    pub(crate) fn summary(&self) -> (&[HintGroup], u32) {
        match self.records.filter(|_| HINTS) {
            Some(records) => (&self.groups, records),
            None => (&[], u32::MAX),
        }
    }
}
