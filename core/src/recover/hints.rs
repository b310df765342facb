//! Loading a sealed segment by its hint groups. Each is verified before any of its entries is used; anything that does
//! not fit makes the segment be scanned instead.

use core::task::Poll;

use super::load::Mode;
use crate::canary::Canary;
use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::format::bytes::{u8_at, u64_at};
use crate::format::footer::{Footer, hint_group_at};
use crate::format::group::{GROUP_HEADER_BYTES, GroupKind, Seeds};
use crate::format::hint::{HINT_BYTES, Hint};
use crate::format::record::{self, RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use crate::keydir::Entry;
use crate::types::{FrameId, Location, Offset, SegmentId, Seq};

/// Most pages read at once.
const AHEAD: u32 = 64;
/// Entries copied out of the pages at once.
const HINTS_AT_ONCE: usize = 32;

/// Where loading stands.
#[derive(Debug)]
pub(super) struct HintLoad {
    segment: SegmentId,
    groups: u16,
    records: u32,
    end: Offset,
    index: u16,
    loaded: u32,
    /// Where the last record ends: records never overlap, so that their bytes together fit the segment.
    behind: u32,
    body: Option<Body>,
}

/// The entries of one hint group.
#[derive(Clone, Copy, Debug)]
struct Body {
    start: u32,
    bytes: u32,
    /// Verified already.
    verified: bool,
    done: u32,
    /// The next record's offset and sequence.
    record: Option<(u32, Seq)>,
}

impl HintLoad {
    pub(super) fn new(segment: SegmentId, footer: &Footer) -> Self {
        let (groups, records, end) = (footer.hint_groups, footer.records, footer.end);
        Self { segment, groups, records, end, index: 0, loaded: 0, behind: 0, body: None }
    }
}

impl Engine<'_> {
    /// Ready with whether the hints covered the segment.
    pub(super) fn poll_hints(&mut self) -> Result<Poll<bool>, Error> {
        let mode = core::mem::take(&mut self.recovery.load.mode);
        let Mode::Hints(mut load) = mode else { return Ok(Poll::Ready(false)) };
        let result = self.poll_hint_groups(&mut load);
        self.recovery.load.mode = Mode::Hints(load);
        result
    }

    fn poll_hint_groups(&mut self, load: &mut HintLoad) -> Result<Poll<bool>, Error> {
        loop {
            let Some(mut body) = load.body else {
                if load.index == load.groups {
                    return Ok(Poll::Ready(load.loaded == load.records));
                }
                match ready!(self.poll_hint_body(load)?) {
                    Some(body) => load.body = Some(body),
                    None => return Ok(Poll::Ready(false)),
                }
                continue;
            };
            let taken = self.take_hints(load, &mut body);
            load.body = Some(body);
            match ready!(taken?) {
                Taken::More => {}
                Taken::Unfit => return Ok(Poll::Ready(false)),
                Taken::Whole => {
                    load.body = None;
                    load.index += 1;
                }
            }
        }
    }

    /// Bytes of the segment, across pages; pages up to `end` are read with them.
    pub(super) fn poll_bytes(
        &mut self,
        segment: SegmentId,
        from: u32,
        end: u32,
        target: &mut [u8],
    ) -> Result<Poll<()>, Error> {
        let mut done = 0;
        while done < target.len() {
            let at = Offset(from + done as u32);
            let frame = ready!(self.poll_page(segment, at, end)?);
            let bytes = &self.port.pool.frame(frame)[self.port.layout.in_page(at) as usize..];
            let piece = bytes.len().min(target.len() - done);
            target[done..done + piece].copy_from_slice(&bytes[..piece]);
            done += piece;
        }
        Ok(Poll::Ready(()))
    }

    /// The frame of the page with this place, read together with those up to `end`.
    fn poll_page(
        &mut self,
        segment: SegmentId,
        at: Offset,
        end: u32,
    ) -> Result<Poll<FrameId>, Error> {
        let page = self.port.layout.page_at(segment, at);
        let last = self.port.layout.page_at(segment, Offset(end.max(at.0 + 1) - 1));
        self.port.resident(page, AHEAD.min((last.0 - page.0) as u32 + 1))
    }

    /// Finds and verifies the record of a hint group.
    fn poll_hint_body(&mut self, load: &HintLoad) -> Result<Poll<Option<Body>>, Error> {
        let slot_at = Offset(self.port.layout.data_end);
        let page = self.port.layout.page_at(load.segment, slot_at);
        let frame = ready!(self.port.resident(page, 1)?);
        let slot = &self.port.pool.frame(frame)[self.port.layout.in_page(slot_at) as usize..];
        let group = hint_group_at(slot, load.index);
        let head_bytes = GROUP_HEADER_BYTES + RECORD_HEADER_BYTES;
        let data_end = self.port.layout.data_end;
        if group.offset.0 >= data_end
            || group.bytes > data_end - group.offset.0
            || group.bytes < head_bytes
        {
            return Ok(Poll::Ready(None));
        }
        let mut head = [0; (GROUP_HEADER_BYTES + RECORD_HEADER_BYTES) as usize];
        let end = group.offset.0 + group.bytes;
        ready!(self.poll_bytes(load.segment, group.offset.0, end, &mut head)?);
        let first_seq = Seq(u64_at(&head, 8));
        let record_at = group.offset.0 + GROUP_HEADER_BYTES;
        let header_bytes = &head[GROUP_HEADER_BYTES as usize..];
        let header = RecordHeader::decode(header_bytes)
            .filter(|header| header.kind == RecordKind::Hints && header.key_bytes == 0)
            .filter(|header| header.value_bytes <= group.bytes - head_bytes)
            .filter(|_| GroupKind::from_byte(u8_at(&head, 0)) == Some(GroupKind::Hints));
        let Some(header) = header else { return Ok(Poll::Ready(None)) };
        let Some(open_seq) = self.segments.open_seq(load.segment) else {
            return Ok(Poll::Ready(None));
        };
        let start = record_at + RECORD_HEADER_BYTES;
        let mut inner = 0;
        let mut done = 0;
        // At most one hint buffer. Where a page is missing this begins again: those read before are in the pool.
        while done < header.value_bytes {
            let at = Offset(start + done);
            let frame = ready!(self.poll_page(load.segment, at, end)?);
            let bytes = &self.port.pool.frame(frame)[self.port.layout.in_page(at) as usize..];
            let piece = bytes.len().min((header.value_bytes - done) as usize);
            inner = (self.sums.crc32c)(inner, &bytes[..piece]);
            done += piece as u32;
        }
        let seed = Seeds::record(&self.store_id, load.segment, open_seq, &self.sums);
        let place = (Offset(record_at), first_seq);
        let verified = record::checksum(header_bytes, place, inner, seed, &self.sums)
            == header.checksum
            || self.cage.holds(Canary::HintUnverified);
        let body = Body { start, bytes: header.value_bytes, verified, done: 0, record: None };
        Ok(Poll::Ready(body.verified.then_some(body)))
    }

    /// Loads the next few entries.
    fn take_hints(&mut self, load: &mut HintLoad, body: &mut Body) -> Result<Poll<Taken>, Error> {
        if body.bytes - body.done < HINT_BYTES as u32 {
            return Ok(Poll::Ready(if body.done == body.bytes {
                Taken::Whole
            } else {
                Taken::Unfit
            }));
        }
        let count = (body.bytes - body.done) as usize / HINT_BYTES;
        let mut bytes = [0; HINT_BYTES * HINTS_AT_ONCE];
        let bytes = &mut bytes[..HINT_BYTES * count.min(HINTS_AT_ONCE)];
        let end = body.start + body.bytes;
        ready!(self.poll_bytes(load.segment, body.start + body.done, end, bytes)?);
        body.done += bytes.len() as u32;
        for entry in bytes.chunks_exact(HINT_BYTES) {
            if !self.take_hint(load, body, &Hint::decode(entry))? {
                return Ok(Poll::Ready(Taken::Unfit));
            }
        }
        Ok(Poll::Ready(Taken::More))
    }

    /// Loads one entry; false where it does not fit the segment.
    fn take_hint(
        &mut self,
        load: &mut HintLoad,
        body: &mut Body,
        hint: &Hint,
    ) -> Result<bool, Error> {
        match *hint {
            Hint::Place { before, seq } => {
                let offset = before.0.saturating_add(GROUP_HEADER_BYTES);
                if offset < load.behind {
                    return Ok(false);
                }
                body.record = Some((offset, seq));
            }
            Hint::Record { fingerprint, record_bytes, kind } => {
                let Some((offset, seq)) = body.record else { return Ok(false) };
                let next = offset.saturating_add(self.port.layout.aligned(record_bytes));
                if record_bytes < RECORD_HEADER_BYTES || next > load.end.0 {
                    return Ok(false);
                }
                body.record = Some((next, Seq(seq.0.saturating_add(1))));
                load.behind = next;
                let address = self.port.layout.log_address(load.segment, Offset(offset));
                let location = Location { address, record_bytes };
                self.recovery.accept(seq);
                self.load_entry(fingerprint, Entry { seq, location, kind })?;
                load.loaded += 1;
            }
        }
        Ok(true)
    }
}

enum Taken {
    More,
    Whole,
    Unfit,
}
