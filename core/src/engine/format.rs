//! Formatting and closing: the first and the last writes of a store's session.

use core::task::Poll;

use super::core_state::{Engine, Health};
use super::{Gather, Purpose, ready};
use crate::config::Access;
use crate::device::DeviceErrorKind;
use crate::error::{Corruption, Damage, Error};
use crate::format::bytes::round_up;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupKind};
use crate::format::segment::{HeaderPlace, decode_header};
use crate::format::superblock::{SUPERBLOCK_BYTES, Superblock};
use crate::log::Resumption;
use crate::types::{Boot, FrameId, Offset, SegmentId, Seq};

impl Engine<'_> {
    /// Wipes the header that an earlier store with the same identity left in a segment. Ready at once where there is none.
    pub(crate) fn poll_wipe(&mut self, segment: SegmentId) -> Result<Poll<()>, Error> {
        let page = self.port.layout.page_at(segment, Offset(0));
        let frame = match self.port.resident(page, 1) {
            Ok(poll) => ready!(poll),
            // What cannot be read is no header.
            Err(Error::Device(_)) => return Ok(Poll::Ready(())),
            Err(error) => return Err(error),
        };
        let layout = self.port.layout;
        let place = HeaderPlace::Own(segment);
        let bitmap_bytes = layout.segments_max.div_ceil(8);
        let slot = self.port.pool.frame(frame);
        if decode_header(slot, place, &self.sums, &self.store_id, bitmap_bytes).is_none() {
            return Ok(Poll::Ready(()));
        }
        if self.port.room() < 1 || self.port.pool.available() < 2 {
            return Ok(Poll::Pending);
        }
        self.port.pool.forget(page);
        let address = layout.log_address(segment, Offset(0));
        if self.port.caps.needs_erase {
            let address = layout.device_address(address);
            self.port.push(address, layout.segment_bytes, Purpose::Erase);
        } else if let Some(blank) = self.port.pool.take() {
            self.port.pool.frame_mut(blank).fill(0);
            self.port.push_slot(address, blank, layout.header_slot, Purpose::Header(blank));
        }
        Ok(Poll::Ready(()))
    }

    /// Opens the first segment of a new store.
    pub(crate) fn start_formatted(&mut self) {
        self.boot = Boot(1);
        self.next_seq = Seq(1);
        self.open_segment(SegmentId(0), None, None);
        self.segments.begin_session();
        self.health = Health::Sound;
    }

    /// Whether the device has everything.
    ///
    /// # Errors
    /// `Device` where something failed.
    pub(crate) fn poll_settled(&mut self) -> Result<Poll<()>, Error> {
        if self.failed.is_some() || self.health == Health::Poisoned {
            return Err(Error::Device(DeviceErrorKind::Other));
        }
        Ok(if self.port.is_idle() { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Queues both copies of the superblock: the store exists from here on.
    pub(crate) fn poll_superblocks(&mut self, block: &Superblock) -> Result<Poll<()>, Error> {
        if self.port.room() < 4 || self.port.pool.available() < 2 {
            return Ok(Poll::Pending);
        }
        if self.port.caps.needs_erase {
            let bytes = 2 * block.stride;
            self.port.push(0, bytes, Purpose::Erase);
        }
        for copy in 0..2 {
            let frame = self.port.pool.take().expect("available() was asked before");
            let bytes = round_up(SUPERBLOCK_BYTES as u32, block.commit_unit);
            let slot = &mut self.port.pool.frame_mut(frame)[..bytes as usize];
            slot.fill(0);
            slot[..SUPERBLOCK_BYTES].copy_from_slice(&block.encode(&self.sums, copy));
            let address = u64::from(copy) * u64::from(block.stride);
            self.port.push(address, bytes, Purpose::Header(frame));
        }
        self.push_flush();
        Ok(Poll::Ready(()))
    }

    /// Whether a copy of the superblock is damaged.
    pub(crate) fn poll_check_superblock(
        &mut self,
        copy: u8,
    ) -> Result<Poll<Option<Corruption>>, Error> {
        let address = u64::from(copy) * u64::from(self.superblock_stride);
        let bytes = ready!(self.port.poll_raw(address)?);
        let damaged = match bytes {
            Some(frame) => {
                let decoded = Superblock::decode(&self.sums, self.port.pool.frame(frame));
                self.port.pool.release(frame);
                decoded.is_err()
            }
            None => true,
        };
        let offset = Offset(address as u32);
        Ok(Poll::Ready(damaged.then_some(Corruption {
            segment: None,
            offset,
            what: Damage::Superblock,
        })))
    }

    /// The frames that a read fills.
    pub(crate) fn read_buffer(&mut self, first: FrameId, start: u32, bytes: u32) -> &mut [u8] {
        let page_bytes = self.port.layout.page_bytes();
        let frames = (start + bytes).div_ceil(page_bytes);
        &mut self.port.pool.run_mut(first, frames)[start as usize..(start + bytes) as usize]
    }

    /// The slices that a write gathers; returns how many.
    pub(crate) fn write_slices<'s>(
        &'s self,
        gather: &Gather,
        slices: &mut [&'s [u8]; Gather::FRAMES_MAX],
    ) -> usize {
        let page_bytes = self.port.layout.page_bytes();
        let (mut at, mut left) = (gather.start, gather.bytes);
        for (&frame, slice) in gather.frames.iter().zip(slices.iter_mut()) {
            let piece = left.min(page_bytes - at);
            *slice = &self.port.pool.frame(frame)[at as usize..(at + piece) as usize];
            left -= piece;
            at = 0;
        }
        gather.frames.len()
    }

    /// Whether this session shows what it can and passes over the rest.
    pub(crate) fn is_salvage(&self) -> bool {
        crate::parts::SALVAGE && self.access == Access::Salvage
    }

    /// Whether this session never writes.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.access != Access::ReadWrite
    }

    /// Makes everything durable and marks the log as closed, so that the next open need not resume it.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn poll_close(&mut self) -> Result<Poll<()>, Error> {
        self.abort_batch();
        ready!(self.poll_sync(self.published_seq)?);
        if self.health != Health::Sound || self.check_writable().is_err() {
            return Ok(Poll::Ready(()));
        }
        ready!(self.poll_rehome()?);
        if self.head.resumption != Resumption::Done {
            // This session wrote nothing.
            return Ok(Poll::Ready(()));
        }
        if !self.closed {
            ready!(self.poll_pad_out()?);
            let end = self.head.position + GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES;
            let fits = self.port.layout.padded(end) <= self.port.layout.data_end;
            if !fits {
                return Ok(Poll::Ready(()));
            }
            ready!(self.reserve_frames(64 + self.port.layout.commit_unit));
            // What its trailer says must be true: everything before it is durable.
            if self.head.durable < self.head.position {
                if self.issue_up_to(self.head.position)
                    && self.covered != Some((self.head.open_seq, self.head.position))
                {
                    self.push_flush();
                }
                return Ok(if self.port.is_idle() && self.head.durable == self.head.position {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                });
            }
            self.open_group(GroupKind::Close);
            self.close_group(GroupEnd::Padded);
            self.closed = true;
        }
        let issued = self.issue_up_to(self.head.position);
        if issued && self.port.is_idle() && self.head.durable == self.head.position {
            return Ok(Poll::Ready(()));
        }
        if issued
            && self.covered != Some((self.head.open_seq, self.head.position))
            && self.port.room() > 0
        {
            self.push_flush();
        }
        Ok(Poll::Pending)
    }
}
