//! What makes a put durable: freezing what is open, the one write or write and flush that carry it, and what their
//! results mean.
//!
//! Acknowledgements follow `durable_seq`, which only moves when everything before it is on the medium: after a flush that
//! was queued behind all of it, or after a single durable write when nothing else was missing.

use core::task::Poll;

use super::rehome::FailedLog;
use crate::canary::Canary;
use crate::device::{DeviceErrorKind, Durability};
use crate::engine::{DeviceOp, Engine, Gather, Health, MarkState, OpId, Purpose, ready};
use crate::error::Error;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupKind};
use crate::log::Resumption;
use crate::types::{Offset, Seq};

impl Engine<'_> {
    /// The next operation for the driver, if any may start now.
    pub fn next_op(&mut self) -> Option<DeviceOp> {
        self.port.next_op()
    }

    /// Whether operations are waiting for the driver, or for their results.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.port.has_work()
    }

    /// The result of an operation.
    pub fn complete(&mut self, id: OpId, result: Result<(), DeviceErrorKind>) {
        self.port.complete(id, result);
        self.retire_all();
    }

    /// The driver lost sight of the operations that it was executing: a dropped future.
    pub fn interrupted(&mut self) {
        self.port.interrupted();
        self.retire_all();
    }

    fn retire_all(&mut self) {
        while let Some((purpose, address, result)) = self.port.retire() {
            self.retire(&purpose, address, result);
        }
    }

    fn retire(&mut self, purpose: &Purpose, address: u64, result: Result<(), DeviceErrorKind>) {
        match *purpose {
            Purpose::Log { end, seq, durability } => self.retire_log(end, seq, durability, result),
            Purpose::Header(frame) => {
                self.port.pool.release(frame);
                if let Err(error) = result {
                    self.fail(FailedLog::Header, error);
                }
            }
            Purpose::Copy(frame) => {
                self.port.pool.release(frame);
                // One copy less of what the log tells as well: nothing is lost, but the owner should know.
                if result.is_err() {
                    self.write_faults += 1;
                    self.segments.set_holds_end(self.head.segment);
                }
            }
            Purpose::Flush { open_seq, end, seq, mark } => match result {
                Err(_) if self.cage.holds(Canary::FlushRetry) => self.push_flush(),
                Err(_) => self.poison(),
                Ok(()) if self.failed.is_none() => {
                    if open_seq == self.head.open_seq {
                        self.head.durable = self.head.durable.max(end.0);
                        self.head.mark_durable |= mark == MarkState::Issued;
                        if self.head.resumption == Resumption::Started {
                            self.head.resumption = Resumption::Done;
                        }
                    }
                    self.durable_seq = self.durable_seq.max(seq);
                }
                Ok(()) => {}
            },
            Purpose::EraseAhead(segment) => match result {
                Ok(()) => {}
                // It was opened meanwhile.
                Err(error) if segment == self.head.segment => {
                    self.fail(FailedLog::Header, error);
                }
                Err(_) => {
                    self.write_faults += 1;
                    self.segments.set_bad(segment);
                }
            },
            Purpose::Erase => {
                if let Err(error) = result {
                    self.fail(FailedLog::Header, error);
                }
            }
            Purpose::Shrink => {
                // The log knows of fewer segments already; what could not be given back is taken up again by growing.
                self.shrinking = false;
                if result.is_ok() {
                    self.capacity = address;
                }
            }
            Purpose::Grow => {
                self.growing = false;
                if result.is_ok() {
                    self.capacity = address;
                    let count = self.port.layout.segments_in(address).max(self.segments.count());
                    self.segments.set_count(count);
                } else {
                    self.growth_stopped = true;
                }
            }
        }
    }

    fn retire_log(
        &mut self,
        end: Offset,
        seq: Seq,
        durability: Durability,
        result: Result<(), DeviceErrorKind>,
    ) {
        if self.failed.is_some() {
            // Behind a failed write of the same segment: it will be encoded anew as well.
            return;
        }
        if let Err(error) = result.or_else(|error| self.swallow(error)) {
            self.fail(FailedLog::Groups, error);
            return;
        }
        self.rehomes = 0;
        self.head.written = end.0;
        self.head.advance_safe();
        let layout = self.port.layout;
        while self.head.clean - layout.in_page(Offset(self.head.clean)) + layout.page_bytes()
            <= self.head.safe.end
        {
            self.port.pool.mark_clean(layout.page_at(self.head.segment, Offset(self.head.clean)));
            self.head.clean =
                self.head.clean - layout.in_page(Offset(self.head.clean)) + layout.page_bytes();
        }
        let durable = durability == Durability::Durable;
        if durable || self.port.caps.ordered || self.cage.holds(Canary::AckBeforeFlush) {
            self.head.durable = end.0;
            self.durable_seq = self.durable_seq.max(seq);
        }
    }

    fn swallow(&self, error: DeviceErrorKind) -> Result<(), DeviceErrorKind> {
        if self.cage.holds(Canary::WriteErrorSwallowed) { Ok(()) } else { Err(error) }
    }

    fn fail(&mut self, failed: FailedLog, error: DeviceErrorKind) {
        self.write_faults += 1;
        if matches!(error, DeviceErrorKind::ReadOnly | DeviceErrorKind::Gone) {
            // No other place of this device will do better.
            self.poison();
        }
        if !crate::parts::REHOME {
            self.poison();
        }
        // A failed header outweighs failed groups: its segment cannot be used at all.
        if self.failed != Some(FailedLog::Header) {
            self.failed = Some(failed);
        }
        self.port.halt();
    }

    /// Nothing is written any more; what is not durable is not shown any more.
    pub(crate) fn poison(&mut self) {
        self.health = Health::Poisoned;
        self.port.halt();
    }

    /// The newest sequence that readers see. Pass it to [`poll_sync`](Self::poll_sync).
    #[must_use]
    pub fn published_seq(&self) -> Seq {
        self.published_seq
    }

    /// Ready once everything up to `target` is durable.
    ///
    /// # Errors
    /// `Poisoned` where a flush, or the way around a failed write, failed: what is not durable yet may be lost.
    pub fn poll_sync(&mut self, target: Seq) -> Result<Poll<()>, Error> {
        if self.durable_seq >= target {
            return Ok(Poll::Ready(()));
        }
        self.check_writable()?;
        ready!(self.poll_rehome()?);
        ready!(self.poll_pad_out()?);
        if !self.issue_for_sync() {
            return Ok(Poll::Pending);
        }
        let whole = (self.head.open_seq, self.head.position);
        if self.port.is_idle() && self.head.durable == self.head.position {
            self.durable_seq = self.published_seq;
            return Ok(Poll::Ready(()));
        }
        if self.covered != Some(whole) && self.port.room() > 0 {
            self.push_flush();
        }
        Ok(Poll::Pending)
    }

    /// Closes the open group at a commit unit; where the last group ended elsewhere, an empty one pads.
    pub(crate) fn poll_pad_out(&mut self) -> Result<Poll<()>, Error> {
        if self.head.group.is_some() {
            self.close_group(GroupEnd::Padded);
        } else if !self.head.position.is_multiple_of(self.port.layout.commit_unit) {
            let bytes = GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES + self.port.layout.commit_unit;
            ready!(self.reserve_frames(bytes));
            self.open_group(GroupKind::Data);
            self.close_group(GroupEnd::Padded);
        }
        Ok(Poll::Ready(()))
    }

    /// Issues everything; as one durable write where that is all there is to do.
    fn issue_for_sync(&mut self) -> bool {
        let position = self.head.position;
        if self.head.issued == position {
            return true;
        }
        if self.covered_by_one_write() {
            self.issue_one(position, Durability::Durable);
            self.covered = Some((self.head.open_seq, position));
            return true;
        }
        self.issue_up_to(position)
    }

    fn covered_by_one_write(&self) -> bool {
        let layout = &self.port.layout;
        let start = layout.in_page(Offset(self.head.issued));
        let most =
            self.port.write_bytes_max.min(Gather::FRAMES_MAX as u32 * layout.page_bytes() - start);
        let flushed = self.head.durable == self.head.issued && self.head.mark_durable;
        self.port.caps.durable_write
            && (flushed || self.cage.holds(Canary::FuaOverBuffered))
            && self.port.is_idle()
            && self.head.position - self.head.issued <= most
    }

    /// Queues a flush that covers everything issued so far.
    pub(crate) fn push_flush(&mut self) {
        let (open_seq, end) = (self.head.open_seq, self.head.issued);
        self.covered = Some((open_seq, end));
        if self.port.caps.ordered && self.port.is_idle() {
            return;
        }
        let purpose = Purpose::Flush {
            open_seq,
            end: Offset(end),
            seq: self.published_seq,
            mark: self.head.mark,
        };
        self.port.push(0, 0, purpose);
    }
}
