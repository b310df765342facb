//! Reading one record: its pages are brought into frames and pinned, it is verified, its parts are copied out.
//!
//! This is where a checksum is verified on read: [`Engine::poll_record`]. The pins are held by the engine, so a caller
//! that gives up halfway leaks nothing; the next reader releases them.

use core::hint::black_box;
use core::task::Poll;

use heapless::Vec;

use super::core_state::{Engine, Health};
use super::ready;
use crate::canary::Canary;
use crate::error::{Corruption, Damage, Error};
use crate::format::group::Seeds;
use crate::format::record::{self, RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use crate::keydir::Entry;
use crate::types::{EntryKind, Fingerprint, FrameId, Location, Offset, PageId};

/// Most pages of a record: a twelfth of it is at most a page, and it may start anywhere in one.
const RECORD_PAGES_MAX: usize = 14;

/// A line of the cache.
const LINE_BYTES: usize = 64;
/// Lines of a record that are asked for together: about what a core keeps in flight beside the rest.
const LINES_AHEAD: usize = 8;

/// Asks for all lines of a short record at once. Its header tells where its key begins, so without this every get waits
/// for memory twice: for the line of the header, and then for the others.
#[inline]
fn ask_for_lines(record: &[u8]) {
    for line in record.chunks(LINE_BYTES).skip(1).take(LINES_AHEAD) {
        black_box(line[0]);
    }
    // The last one begins anywhere in a line.
    black_box(record.last().copied());
}

/// The record that is being read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pins: Vec<FrameId, RECORD_PAGES_MAX>,
    of: Option<Location>,
    verified: Option<Record>,
}

/// A verified record, pinned until it is released.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// First byte of the key, counted from the start of the first pinned page.
    body: u32,
    key_bytes: u32,
    value_bytes: u32,
    /// CRC-32C of key and value.
    inner: u32,
}

impl Record {
    /// Bytes of the key.
    #[must_use]
    pub const fn key_bytes(&self) -> u32 {
        self.key_bytes
    }

    /// Bytes of the value.
    #[must_use]
    pub const fn value_bytes(&self) -> u32 {
        self.value_bytes
    }

    pub(crate) const fn inner(&self) -> u32 {
        self.inner
    }

    /// Where key and value lie, from the start of the first pinned page, and their bytes.
    pub(crate) const fn body(&self) -> (u32, u32) {
        (self.body, self.key_bytes + self.value_bytes)
    }
}

impl Engine<'_> {
    /// The entry of a key that has a value.
    ///
    /// # Errors
    /// `Poisoned` where the newest entry may not survive a reopening; `Corrupted` where a newer one may be lost.
    pub fn locate(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        if key.is_empty() || key.len() > usize::from(self.port.layout.key_bytes_max) {
            return Ok(None);
        }
        let found = self.keydir.get(&self.keydir.fingerprint(key));
        self.check_certain(found.as_ref())?;
        let Some(entry) = found else { return Ok(None) };
        self.check_readable(&entry)?;
        Ok(matches!(entry.kind, EntryKind::Value | EntryKind::ChunkHead).then_some(entry))
    }

    pub(crate) fn check_readable(&self, entry: &Entry) -> Result<(), Error> {
        if self.health == Health::Poisoned && entry.seq > self.durable_seq {
            return Err(Error::Poisoned);
        }
        Ok(())
    }

    /// The place of damage in a record.
    pub(crate) fn damaged(&self, location: &Location, what: Damage) -> Error {
        let layout = &self.port.layout;
        Error::Corrupted(Corruption {
            segment: Some(layout.segment_of(location.address)),
            offset: layout.offset_of(location.address),
            what,
        })
    }

    /// The value of a key, in one step: where its record lies in one page that is in the pool. Otherwise `None`, and the
    /// long way must be gone.
    pub fn get_cached(
        &mut self,
        key: &[u8],
        entry: &Entry,
        buffer: &mut [u8],
    ) -> Option<Result<Option<usize>, Error>> {
        let frame = self.port.pool.find(self.port.layout.page_of(entry.location.address))?;
        let value = match self.value_in(frame, key, entry)? {
            Ok(Some(value)) => value,
            Ok(None) => return Some(Ok(None)),
            Err(error) => return Some(Err(error)),
        };
        let Some(target) = buffer.get_mut(..value.len()) else {
            return Some(Err(Error::BufferTooSmall { needed: value.len() as u64 }));
        };
        target.copy_from_slice(value);
        Some(Ok(Some(value.len())))
    }

    /// As [`get_cached`](Self::get_cached), for readers who share the engine: this use of the page is not counted.
    #[must_use]
    pub fn peek_cached(&self, key: &[u8], entry: &Entry) -> Option<Result<Option<&[u8]>, Error>> {
        let frame = self.port.pool.peek(self.port.layout.page_of(entry.location.address))?;
        self.value_in(frame, key, entry)
    }

    /// The value of a record that lies in this frame as a whole, verified; `None` where it does not, or is no plain value.
    #[inline]
    fn value_in(
        &self,
        frame: FrameId,
        key: &[u8],
        entry: &Entry,
    ) -> Option<Result<Option<&[u8]>, Error>> {
        let layout = &self.port.layout;
        let location = entry.location;
        let offset = layout.offset_of(location.address);
        let in_page = layout.in_page(offset);
        if entry.kind != EntryKind::Value || in_page + location.record_bytes > layout.page_bytes() {
            return None;
        }
        let range = in_page as usize..(in_page + location.record_bytes) as usize;
        let bytes = &self.port.pool.frame(frame)[range];
        ask_for_lines(bytes);
        let seed = self.record_seed(&location)?;
        let header = RecordHeader::decode(bytes).filter(|header| {
            header.kind == RecordKind::Value && header.record_bytes() == location.record_bytes
        });
        let whole = header.filter(|header| {
            let inner = (self.sums.crc32c)(0, &bytes[header.prefix_bytes() as usize..]);
            record::checksum(bytes, (offset, entry.seq), inner, seed, &self.sums) == header.checksum
        });
        let Some(header) = whole else {
            if self.cage.holds(Canary::SkipBad) {
                return Some(Ok(None));
            }
            return Some(Err(self.damaged(&location, Damage::Record)));
        };
        let body = &bytes[header.prefix_bytes() as usize..];
        let (stored_key, value) = body.split_at(usize::from(header.key_bytes));
        Some(Ok((stored_key == key).then_some(value)))
    }

    fn record_seed(&self, location: &Location) -> Option<u32> {
        let segment = self.port.layout.segment_of(location.address);
        // While the log is read there is no head yet.
        if segment == self.head.segment && self.health != Health::Opening {
            return Some(self.head.seeds.record);
        }
        let open_seq = self.segments.open_seq(segment)?;
        Some(Seeds::record(&self.store_id, segment, open_seq, &self.sums))
    }

    /// Brings the record of an entry into pinned frames and verifies it.
    ///
    /// # Errors
    /// `Corrupted` where it is not what the entry says; `Device` where it cannot be read; `PoolExhausted`.
    pub fn poll_record(&mut self, entry: &Entry) -> Result<Poll<Record>, Error> {
        self.check_readable(entry)?;
        if self.reading.of != Some(entry.location) {
            self.release_record();
            self.reading.of = Some(entry.location);
        }
        if let Some(record) = self.reading.verified {
            return Ok(Poll::Ready(record));
        }
        ready!(self.poll_pins(&entry.location)?);
        match self.verify(entry) {
            Some(record) => {
                self.reading.verified = Some(record);
                Ok(Poll::Ready(record))
            }
            None => {
                let error = self.damaged(&entry.location, Damage::Record);
                self.release_record();
                Err(error)
            }
        }
    }

    fn poll_pins(&mut self, location: &Location) -> Result<Poll<()>, Error> {
        let layout = self.port.layout;
        let first = layout.page_of(location.address).0;
        let last = (location.address.0 + u64::from(location.record_bytes.max(1)) - 1)
            >> layout.page_bytes().trailing_zeros();
        let pages = (last - first + 1) as usize;
        if pages > RECORD_PAGES_MAX {
            return Err(self.damaged(location, Damage::Record));
        }
        while self.reading.pins.len() < pages {
            let page = PageId(first + self.reading.pins.len() as u64);
            let ahead = (pages - self.reading.pins.len()) as u32;
            let frame = match self.port.resident(page, ahead) {
                Ok(Poll::Ready(frame)) => frame,
                Ok(Poll::Pending) => return Ok(Poll::Pending),
                Err(error) => {
                    self.release_record();
                    return Err(error);
                }
            };
            self.port.pool.pin(frame);
            let pushed = self.reading.pins.push(frame);
            assert!(pushed.is_ok(), "a record has at most its pages");
        }
        Ok(Poll::Ready(()))
    }

    fn verify(&self, entry: &Entry) -> Option<Record> {
        let location = &entry.location;
        let offset = self.port.layout.offset_of(location.address);
        let start = self.port.layout.in_page(offset);
        let mut header_bytes = [0; RECORD_HEADER_BYTES as usize];
        self.copy_pinned(start, &mut header_bytes);
        let header = RecordHeader::decode(&header_bytes)?;
        if header.kind != RecordKind::of_entry(entry.kind)
            || header.record_bytes() != location.record_bytes
        {
            return None;
        }
        let mut inner = 0;
        let body = start + header.prefix_bytes();
        let body_bytes = location.record_bytes - header.prefix_bytes();
        self.pinned_pieces(body, body_bytes, |piece| inner = (self.sums.crc32c)(inner, piece));
        let seed = self.record_seed(location)?;
        let place: (Offset, _) = (offset, entry.seq);
        let whole =
            record::checksum(&header_bytes, place, inner, seed, &self.sums) == header.checksum;
        let key_bytes = u32::from(header.key_bytes);
        whole.then_some(Record { body, key_bytes, value_bytes: header.value_bytes, inner })
    }

    /// Whether the record that is being read has this key.
    #[must_use]
    pub fn key_matches(&self, record: &Record, key: &[u8]) -> bool {
        if record.key_bytes as usize != key.len() {
            return false;
        }
        let mut done = 0;
        let mut same = true;
        self.pinned_pieces(record.body, record.key_bytes, |piece| {
            same &= key[done..done + piece.len()] == *piece;
            done += piece.len();
        });
        same
    }

    /// The fingerprint of the record that is being read.
    pub(crate) fn fingerprint_of(&self, record: &Record, kind: RecordKind) -> Fingerprint {
        let mut hasher = self.hasher_for(kind);
        self.pinned_pieces(record.body, record.key_bytes, |piece| hasher.write(piece));
        hasher.finish()
    }

    /// Copies the key of the record that is being read; `target` has its length.
    pub fn copy_key(&self, record: &Record, target: &mut [u8]) {
        self.copy_pinned(record.body, target);
    }

    /// Copies bytes of the value of the record that is being read, from `from` on.
    pub fn copy_value(&self, record: &Record, from: u32, target: &mut [u8]) {
        self.copy_pinned(record.body + record.key_bytes + from, target);
    }

    /// The record is not needed any more.
    pub fn release_record(&mut self) {
        while let Some(frame) = self.reading.pins.pop() {
            self.port.pool.unpin(frame);
        }
        self.reading.of = None;
        self.reading.verified = None;
    }

    /// The frame of a page of the record that is being read.
    pub(crate) fn pinned_frame(&self, index: u32) -> FrameId {
        self.reading.pins[index as usize]
    }

    fn copy_pinned(&self, from: u32, target: &mut [u8]) {
        let mut done = 0;
        self.pinned_pieces(from, target.len() as u32, |piece| {
            target[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        });
    }

    /// Calls `each` with the pieces of `bytes` bytes, counted from the start of the first pinned page.
    fn pinned_pieces<'p>(&'p self, from: u32, bytes: u32, mut each: impl FnMut(&'p [u8])) {
        let page_bytes = self.port.layout.page_bytes();
        let (mut at, end) = (from, from + bytes);
        while at < end {
            let Some(&frame) = self.reading.pins.get((at / page_bytes) as usize) else { return };
            let in_page = at % page_bytes;
            let piece = (page_bytes - in_page).min(end - at);
            each(&self.port.pool.frame(frame)[in_page as usize..(in_page + piece) as usize]);
            at += piece;
        }
    }
}
