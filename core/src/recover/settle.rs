//! What a power cut may have left half done at the end of the log, written anew: copies of the records of the groups in
//! doubt, in the resume group or in the first group of another segment (`log/resume`). From then on it does not matter what
//! the cells that they came from read as.
//!
//! The pages are held (`probe`), so nothing here waits for the device, and every look sees the same bytes.

use core::task::Poll;

use super::probe::Doubt;
use super::scan::{Scan, ScanEvent};
use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::format::group::ANNOUNCEMENT_BYTES;
use crate::format::record::{EXPLICIT_SEQ_BYTES, RECORD_HEADER_BYTES, RecordKind};
use crate::keydir::Entry;
use crate::types::{Fingerprint, Offset};

/// Something in doubt that the log still needs.
enum Needed {
    Record(Fingerprint, Entry),
    Announcement([u8; ANNOUNCEMENT_BYTES]),
}

impl Engine<'_> {
    /// Whether anything must be written anew before this session may go on.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.recovery.doubt.is_some()
    }

    /// Bytes that the copies take in a group.
    pub(crate) fn poll_doubt_bytes(&mut self) -> Result<Poll<u32>, Error> {
        let Some((doubt, mut scan)) = self.scan_of_doubt() else { return Ok(Poll::Ready(0)) };
        let mut bytes = 0;
        while let Some(needed) = ready!(self.poll_needed(&doubt, &mut scan)?) {
            // A copy of a short record has a whole header.
            let record = match needed {
                Needed::Record(_, entry) => {
                    entry.location.record_bytes + EXPLICIT_SEQ_BYTES + RECORD_HEADER_BYTES
                }
                Needed::Announcement(_) => RECORD_HEADER_BYTES + ANNOUNCEMENT_BYTES as u32,
            };
            bytes += self.port.layout.aligned(record);
        }
        Ok(Poll::Ready(bytes))
    }

    /// Appends the copies to the open group, or to one of its own.
    pub(crate) fn poll_copy_doubt(&mut self) -> Result<Poll<()>, Error> {
        let Some((doubt, mut scan)) = self.scan_of_doubt() else { return Ok(Poll::Ready(())) };
        while let Some(needed) = ready!(self.poll_needed(&doubt, &mut scan)?) {
            match needed {
                Needed::Record(fingerprint, entry) => {
                    let record = ready!(self.poll_record(&entry)?);
                    self.copy_newest(&fingerprint, &entry, &record);
                    self.release_record();
                }
                Needed::Announcement(value) => {
                    self.open_group(crate::format::group::GroupKind::Data);
                    self.append_service_record(RecordKind::Announcement, &value);
                }
            }
        }
        self.recovery.doubt = None;
        Ok(Poll::Ready(()))
    }

    fn scan_of_doubt(&self) -> Option<(Doubt, Scan)> {
        let doubt = self.recovery.doubt?;
        let tail = self.recovery.tail?;
        Some((doubt, doubt.scan(tail.incarnation())))
    }

    /// The next record in doubt that an entry points to, or announcement.
    fn poll_needed(
        &mut self,
        doubt: &Doubt,
        scan: &mut Scan,
    ) -> Result<Poll<Option<Needed>>, Error> {
        let context = self.scan_context();
        let end = self.recovery.tail.map_or(doubt.at, |tail| Offset(tail.cut().end.0));
        // Each turn moves on in the segment.
        while scan.position < end {
            match ready!(scan.step(&mut self.port, &context)?) {
                ScanEvent::Record { header, offset, seq, fingerprint } => {
                    let Some(kind) = header.kind.entry_kind() else { continue };
                    let address = self.port.layout.log_address(scan.segment, offset);
                    let entry = self.keydir.get(&fingerprint);
                    let entry = entry.filter(|entry| {
                        (entry.location.address, entry.seq, entry.kind) == (address, seq, kind)
                    });
                    if let Some(entry) = entry {
                        return Ok(Poll::Ready(Some(Needed::Record(fingerprint, entry))));
                    }
                }
                ScanEvent::Freed(freed) => {
                    return Ok(Poll::Ready(Some(Needed::Announcement(freed.encode()))));
                }
                ScanEvent::Bad => break,
                ScanEvent::Group(..) | ScanEvent::GroupEnd => {}
            }
        }
        Ok(Poll::Ready(None))
    }
}
