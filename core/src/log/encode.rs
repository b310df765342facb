//! Encoding records: the one place where a record's header is written. Its body comes from a slice, from staged frames,
//! from a reader's frames, from pinned frames or from those of a failed segment; every way in begins and ends here.

use super::append::NewRecord;
use crate::canary::Canary;
use crate::engine::{Engine, Record};
use crate::error::Error;
use crate::format::bytes::round_up;
use crate::format::group::GroupKind;
use crate::format::record::{
    self, EXPLICIT_SEQ_BYTES, FLAG_EXPLICIT_SEQ, RECORD_HEADER_BYTES, RecordKind, RecordShape,
};
use crate::keydir::Entry;
use crate::types::{EntryKind, Fingerprint, FrameId, Location, Offset, Seq};

/// A record whose body is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    /// Where it starts.
    pub(crate) offset: Offset,
    /// Its sequence.
    pub(crate) seq: Seq,
    /// Bytes of the whole record.
    pub(crate) record_bytes: u32,
    kind: RecordKind,
    is_copy: bool,
}

impl Begun {
    fn entry_kind(&self) -> EntryKind {
        self.kind.entry_kind().unwrap_or(EntryKind::Value)
    }
}

impl Engine<'_> {
    /// Writes the header of a record at the end of the open group. With [`FLAG_EXPLICIT_SEQ`] it keeps `seq`, else it
    /// gets that of its place.
    pub(crate) fn begin_record(&mut self, shape: &RecordShape, seq: Seq) -> Begun {
        let Some(group) = self.head.group.as_mut() else { unreachable!("a group is open") };
        let offset = Offset(self.head.position);
        let implied = Seq(group.first_seq.0 + u64::from(group.count));
        group.count += 1;
        let takes_seq = shape.kind.entry_kind().is_some() || shape.kind == RecordKind::Announcement;
        if takes_seq {
            // Identities of values are taken from the same counter, ahead of the open group's records.
            self.next_seq = self.next_seq.max(Seq(implied.0 + 1));
            self.head.seq_max = self.head.seq_max.max(implied);
        }
        let explicit = shape.flags & FLAG_EXPLICIT_SEQ != 0;
        let seq = if explicit { seq } else { implied };
        let seed = self.head.seeds.record;
        let header = record::encode_header(shape, (offset, seq), seed, &self.sums);
        self.write_bytes(&header);
        let mut record_bytes = RECORD_HEADER_BYTES + u32::from(shape.key_bytes) + shape.value_bytes;
        if explicit {
            self.write_bytes(&seq.0.to_le_bytes());
            record_bytes += EXPLICIT_SEQ_BYTES;
        }
        Begun { offset, seq, record_bytes, kind: shape.kind, is_copy: explicit }
    }

    /// Aligns the end of a record whose body was written, and keeps a hint of it; answers its entry.
    pub(crate) fn end_record(&mut self, begun: Begun, fingerprint: &Fingerprint) -> Entry {
        self.write_zeros(round_up(self.head.position, self.port.layout.align));
        let kind = begun.entry_kind();
        let next = Offset(self.head.position);
        if !(begun.is_copy && self.cage.holds(Canary::CopyWithoutHint)) {
            self.hints.add((begun.offset, begun.seq), next, fingerprint, begun.record_bytes, kind);
        }
        let address = self.port.layout.log_address(self.head.segment, begun.offset);
        let location = Location { address, record_bytes: begun.record_bytes };
        Entry { seq: begun.seq, location, kind }
    }

    /// Appends a record that the keydir does not know.
    pub(crate) fn append_service_record(&mut self, kind: RecordKind, value: &[u8]) -> Seq {
        let inner = (self.sums.crc32c)(0, value);
        let value_bytes = value.len() as u32;
        let shape = RecordShape { kind, flags: 0, key_bytes: 0, value_bytes, inner };
        let begun = self.begin_record(&shape, Seq(0));
        self.write_bytes(value);
        self.write_zeros(round_up(self.head.position, self.port.layout.align));
        begun.seq
    }

    /// Appends a record of a user and publishes it. `make_room` was ready just before.
    ///
    /// # Errors
    /// `KeydirFull`, before anything is written.
    pub(crate) fn append_entry(
        &mut self,
        fingerprint: Fingerprint,
        record: NewRecord<'_>,
    ) -> Result<(), Error> {
        self.keydir.ensure_room(&fingerprint)?;
        self.open_group(GroupKind::Data);
        let shape = RecordShape {
            kind: record.kind,
            flags: 0,
            key_bytes: record.key.len() as u16,
            value_bytes: record.value.len() as u32,
            inner: (self.sums.crc32c)((self.sums.crc32c)(0, record.key), record.value),
        };
        let begun = self.begin_record(&shape, Seq(0));
        self.write_bytes(record.key);
        self.write_bytes(record.value);
        let entry = self.end_record(begun, &fingerprint);
        self.publish(fingerprint, entry)
    }

    /// Appends the waiting hints, which lie in a buffer of the engine itself, so they go in by pieces.
    pub(crate) fn append_waiting_hints(&mut self) {
        let waiting = self.hints.waiting();
        let inner = (self.sums.crc32c)(0, waiting);
        let value_bytes = waiting.len() as u32;
        let kind = RecordKind::Hints;
        self.begin_record(
            &RecordShape { kind, flags: 0, key_bytes: 0, value_bytes, inner },
            Seq(0),
        );
        let mut at = 0;
        while at < self.hints.waiting().len() {
            let mut piece = [0; 256];
            let count = (self.hints.waiting().len() - at).min(piece.len());
            piece[..count].copy_from_slice(&self.hints.waiting()[at..at + count]);
            self.write_bytes(&piece[..count]);
            at += count;
        }
        self.write_zeros(round_up(self.head.position, self.port.layout.align));
    }

    /// Copies bytes behind the position, taking frames as pages begin.
    pub(crate) fn write_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let in_page = self.port.layout.in_page(Offset(self.head.position)) as usize;
            let frame = self.append_frame();
            let page_bytes = self.port.layout.page_bytes() as usize;
            let piece = bytes.len().min(page_bytes - in_page);
            self.port.pool.frame_mut(frame)[in_page..in_page + piece]
                .copy_from_slice(&bytes[..piece]);
            bytes = &bytes[piece..];
            self.advance(piece as u32);
        }
    }

    /// Copies `bytes` bytes behind the position, from `from` bytes behind the start of a run of frames.
    pub(crate) fn write_frames(&mut self, first: FrameId, from: u32, bytes: u32) {
        let mut done = 0;
        while done < bytes {
            let in_page = self.port.layout.in_page(Offset(self.head.position));
            let frame = self.append_frame();
            let piece = (self.port.layout.page_bytes() - in_page).min(bytes - done);
            self.port.pool.copy((first, from + done), (frame, in_page), piece);
            done += piece;
            self.advance(piece);
        }
    }

    /// Copies key and value of the record that is being read behind the position.
    pub(crate) fn append_pinned(&mut self, record: &Record) {
        let page_bytes = self.port.layout.page_bytes();
        let (mut at, mut left) = record.body();
        while left > 0 {
            let frame = self.pinned_frame(at / page_bytes);
            let piece = left.min(page_bytes - at % page_bytes);
            self.write_frames(frame, at % page_bytes, piece);
            at += piece;
            left -= piece;
        }
    }

    /// Writes zeros up to an offset, at most to the end of a page's neighbour: padding is shorter than a page.
    pub(crate) fn write_zeros(&mut self, up_to: u32) {
        while self.head.position < up_to {
            let in_page = self.port.layout.in_page(Offset(self.head.position));
            let frame = self.append_frame();
            let piece = (self.port.layout.page_bytes() - in_page).min(up_to - self.head.position);
            self.port.pool.frame_mut(frame)[in_page as usize..(in_page + piece) as usize].fill(0);
            self.advance(piece);
        }
    }

    fn advance(&mut self, bytes: u32) {
        self.head.position += bytes;
        if self.port.layout.in_page(Offset(self.head.position)) == 0 {
            self.head.frame = None;
        }
    }

    fn append_frame(&mut self) -> FrameId {
        if let Some(frame) = self.head.frame {
            return frame;
        }
        let page = self.port.layout.page_at(self.head.segment, Offset(self.head.position));
        // What a scan or an earlier use of the segment left in the pool is older than what comes now.
        self.port.pool.forget(page);
        let frame = self.port.pool.take().or_else(|| self.head.spare.take());
        let frame = frame.expect("frames were reserved, the spare one among them");
        self.port.pool.bind_dirty(frame, page);
        self.head.frame = Some(frame);
        frame
    }
}
