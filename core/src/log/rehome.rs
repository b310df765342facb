//! After a failed write: its group and everything behind it are encoded anew, from their frames, in another segment
//! whose header records where the log of this one ends. Nobody waits for anything but the new writes.

use core::task::Poll;

use super::head::{Head, OpenGroup};
use crate::engine::{Engine, Health};
use crate::error::Error;
use crate::format::bytes::{round_up, u64_at};
use crate::format::group::{GROUP_HEADER_BYTES, GroupEnd, GroupKind, GroupTrailer, TRAILER_KIND};
use crate::format::record::{
    self, EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, RecordHeader, RecordShape, SHORT_HEADER_BYTES,
};
use crate::parts::REHOME;
use crate::types::{Fingerprint, Location, Offset, Seq};

/// Failed writes in a row after which the device is given up.
const REHOMES_MAX: u8 = 4;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedLog {
    /// A write of groups: those before it stand.
    Groups,
    /// The header of the open segment: none of its groups can be found.
    Header,
}

/// Groups that lie in frames of a segment that is not the head any more.
struct Stranded<'h> {
    head: &'h Head,
    from: u32,
}

impl Engine<'_> {
    /// Ready where no write failed, or once its groups stand in the frames of another segment.
    ///
    /// # Errors
    /// `Poisoned` where no other segment can take them.
    pub(crate) fn poll_rehome(&mut self) -> Result<Poll<()>, Error> {
        let Some(failed) = self.failed else { return Ok(Poll::Ready(())) };
        if self.port.in_flight() {
            return Ok(Poll::Pending);
        }
        if !REHOME || self.health == Health::Poisoned {
            return Err(Error::Poisoned);
        }
        self.release_record();
        self.port.cancel_all();
        // Erases ahead of need may be among what was taken back.
        self.segments.forget_erased();
        self.covered = None;
        self.growing = false;
        let from = match failed {
            // Before a resume group that failed lies the cut, and bytes of an earlier session: those do not move.
            FailedLog::Groups => self.head.safe.end.max(self.head.start),
            FailedLog::Header => self.head.start,
        };
        let pages = (self.head.position - from) / self.port.layout.page_bytes() + 8;
        self.rehomes += 1;
        let target = self.segments.next_free();
        let (Some(target), true) =
            (target, self.rehomes <= REHOMES_MAX && self.port.pool.available() >= pages)
        else {
            self.poison();
            return Err(Error::Poisoned);
        };
        self.failed = None;
        let cut = match failed {
            FailedLog::Groups => Some(self.seal(self.head.safe)),
            FailedLog::Header => self.head.cut,
        };
        if failed == FailedLog::Header {
            // Before the new header is encoded: it must not list a segment that has none.
            self.segments.set_bad(self.head.segment);
        }
        // The flush behind the new header, and a write that ends where moving has got to, do not cover what is yet to move.
        let published = core::mem::replace(&mut self.published_seq, self.durable_seq);
        let old = self.replace_head(target, cut);
        let stranded = Stranded { head: &old, from };
        self.move_groups(&stranded);
        self.segments.empty_bad(old.segment);
        self.published_seq = published;
        self.forget_pages(&old, from);
        Ok(Poll::Ready(()))
    }

    fn replace_head(
        &mut self,
        target: crate::types::SegmentId,
        cut: Option<crate::format::segment::Cut>,
    ) -> Head {
        self.leave_head();
        let spare = self.head.spare.take();
        let placeholder = Head::new(super::head::HeadStart {
            segment: target,
            open_seq: Seq(0),
            header_boot: self.boot,
            cut: None,
            seeds: self.head.seeds,
            position: self.port.layout.data_start,
            digest: 0,
            resumption: super::Resumption::Done,
        });
        let old = core::mem::replace(&mut self.head, placeholder);
        self.head.spare = spare;
        // Where the header failed, the mark slot is that of the segment before, of which nothing is known here.
        let known = cut.is_some_and(|cut| cut.segment == old.segment);
        let mark = !self.port.caps.needs_erase || known && old.slots.mark;
        self.head.slots = super::SlotsFree { footer: mark, mark };
        self.open_segment(target, cut, None);
        old
    }

    fn move_groups(&mut self, stranded: &Stranded<'_>) {
        let mut at = stranded.from;
        // Each turn moves past one group, so the bytes bound the loop.
        while at < stranded.head.position {
            let mut header = [0; GROUP_HEADER_BYTES as usize];
            self.read_stranded(stranded, at, &mut header);
            if record::is_short(header[0]) {
                at = self.move_short(stranded, at);
                continue;
            }
            let kind = GroupKind::from_byte(header[0]).expect("the head encoded this group");
            let first_seq = Seq(crate::format::bytes::u64_at(&header, 8));
            at = self.move_group(stranded, at, kind, first_seq);
        }
    }

    /// Encodes one group anew; returns the offset behind the old one. Only groups of data move: hints name old places,
    /// and resume groups speak of the old segment.
    fn move_group(
        &mut self,
        stranded: &Stranded<'_>,
        start: u32,
        kind: GroupKind,
        first_seq: Seq,
    ) -> u32 {
        let stays_open = stranded.head.group.is_some_and(|group| group.start == start);
        let moves = kind == GroupKind::Data;
        if moves {
            self.reserve_moved();
            let group = OpenGroup { kind, start: self.head.position, first_seq, count: 0 };
            self.open_group_as(group);
        }
        let mut at = start + GROUP_HEADER_BYTES;
        loop {
            if stays_open && at >= stranded.head.position {
                return at;
            }
            let mut item = [0; 16];
            self.read_stranded(stranded, at, &mut item);
            if item[0] == TRAILER_KIND {
                let trailer = GroupTrailer::decode(&item).expect("the head encoded this trailer");
                if moves {
                    self.close_group(GroupEnd::Adjacent);
                    self.issue_full_pages();
                }
                let layout = &self.port.layout;
                let unit =
                    if trailer.end == GroupEnd::Padded { layout.commit_unit } else { layout.align };
                return round_up(at + 16, unit);
            }
            let record = RecordHeader::decode(&item).expect("the head encoded this record");
            if moves {
                self.move_record(stranded, at, &record);
            }
            at = round_up(at + record.record_bytes(), self.port.layout.align);
        }
    }

    /// Encodes a short record anew; returns the offset behind the old one.
    fn move_short(&mut self, stranded: &Stranded<'_>, at: u32) -> u32 {
        let mut header = [0; SHORT_HEADER_BYTES as usize];
        self.read_stranded(stranded, at, &mut header);
        let record = RecordHeader::decode(&header).expect("the head encoded this record");
        let (fingerprint, inner) = self.stranded_body(stranded, at, &record);
        // Its sequence stands nowhere, but its checksum tells it. It was given out in this session.
        let newest = self.next_seq.0;
        let place = (Offset(at), (newest >> 32) as u32);
        let low = record::short_seq(&header, place, inner, stranded.head.seeds.record, &self.sums);
        let seq = Seq(newest >> 32 << 32 | u64::from(low));
        let (key_bytes, value_bytes) = (record.key_bytes, record.value_bytes);
        let shape = RecordShape::plain(record.kind, (key_bytes, value_bytes), inner);
        self.reserve_moved();
        self.follow(seq);
        let address = self.begin_short(&shape, seq);
        let (body_at, body) = (at + SHORT_HEADER_BYTES, u32::from(key_bytes) + value_bytes);
        self.stranded_pieces(stranded, body_at, body, |engine, _, piece| engine.write_bytes(piece));
        self.end_short();
        self.issue_full_pages();
        let old = self.port.layout.log_address(stranded.head.segment, Offset(at));
        self.repoint(&fingerprint, old, Location { address, record_bytes: record.record_bytes() });
        self.port.layout.padded(at + record.record_bytes())
    }

    /// The fingerprint of a stranded record's key, and the CRC-32C of key and value.
    fn stranded_body(
        &mut self,
        stranded: &Stranded<'_>,
        at: u32,
        record: &RecordHeader,
    ) -> (Fingerprint, u32) {
        let body_at = at + record.prefix_bytes();
        let body = record.record_bytes() - record.prefix_bytes();
        let mut hasher = self.hasher_for(record.kind);
        let mut inner = 0;
        self.stranded_pieces(stranded, body_at, body, |engine, done, piece| {
            inner = (engine.sums.crc32c)(inner, piece);
            let key = (record.key_bytes as usize).saturating_sub(done as usize).min(piece.len());
            hasher.write(&piece[..key]);
        });
        (hasher.finish(), inner)
    }

    fn reserve_moved(&mut self) {
        if self.head.spare.is_none() {
            self.head.spare = self.port.pool.take();
        }
    }

    fn move_record(&mut self, stranded: &Stranded<'_>, at: u32, record: &RecordHeader) {
        let (fingerprint, inner) = self.stranded_body(stranded, at, record);
        let body_at = at + record.prefix_bytes();
        let body = record.record_bytes() - record.prefix_bytes();
        let mut explicit = [0; EXPLICIT_SEQ_BYTES as usize];
        self.read_stranded(stranded, at + RECORD_HEADER_BYTES, &mut explicit);
        let shape = RecordShape {
            kind: record.kind,
            flags: record.flags,
            key_bytes: record.key_bytes,
            value_bytes: record.value_bytes,
            inner,
        };
        let begun = self.begin_record(&shape, Seq(u64_at(&explicit, 0)));
        self.stranded_pieces(stranded, body_at, body, |engine, _, piece| engine.write_bytes(piece));
        if record.kind.entry_kind().is_none() {
            self.write_zeros(round_up(self.head.position, self.port.layout.align));
            return;
        }
        let entry = self.end_record(begun, &fingerprint);
        let old = self.port.layout.log_address(stranded.head.segment, Offset(at));
        self.repoint(&fingerprint, old, entry.location);
    }

    fn stranded_pieces(
        &mut self,
        stranded: &Stranded<'_>,
        from: u32,
        bytes: u32,
        mut each: impl FnMut(&mut Self, u32, &[u8]),
    ) {
        let mut done = 0;
        while done < bytes {
            let mut piece = [0; 256];
            let count = (bytes - done).min(256);
            self.read_stranded(stranded, from + done, &mut piece[..count as usize]);
            each(self, done, &piece[..count as usize]);
            done += count;
        }
    }

    /// Copies bytes of the old segment out of their frames; zeros where the head had not got to.
    fn read_stranded(&self, stranded: &Stranded<'_>, from: u32, target: &mut [u8]) {
        let layout = &self.port.layout;
        let mut done = 0;
        while done < target.len() {
            let at = from + done as u32;
            let in_page = layout.in_page(Offset(at)) as usize;
            let piece = (target.len() - done).min(layout.page_bytes() as usize - in_page);
            let page = layout.page_at(stranded.head.segment, Offset(at));
            match self.port.pool.peek(page) {
                Some(frame) => {
                    let bytes = &self.port.pool.frame(frame)[in_page..in_page + piece];
                    target[done..done + piece].copy_from_slice(bytes);
                }
                None => target[done..done + piece].fill(0),
            }
            done += piece;
        }
    }

    fn forget_pages(&mut self, old: &Head, from: u32) {
        let page_bytes = self.port.layout.page_bytes();
        let mut at = super::append::round_down(from, page_bytes);
        while at <= old.position && at < self.port.layout.segment_bytes {
            self.port.pool.forget(self.port.layout.page_at(old.segment, Offset(at)));
            at += page_bytes;
        }
    }
}
