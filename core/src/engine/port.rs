//! The engine's side of the device: the bounded queue of operations, their order, and pages brought into frames.
//!
//! Order: writes go to the device in queue order but may overlap; a barrier (flush, erase, grow) waits for everything
//! before it and holds back everything behind it; reads pass. Results take effect in queue order, so whatever the
//! engine concludes from a finished write is true of all earlier ones as well.

mod asks;

use core::task::Poll;

use heapless::Deque;

use super::ops::{DeviceOp, Gather, OpId, OpKind};
use super::pending::{Pending, Progress, Purpose};
use crate::device::{Caps, DeviceErrorKind, Durability};
use crate::error::Error;
use crate::format::layout::Layout;
use crate::parts::sized;
use crate::pool::Pool;
use crate::types::{FrameId, LogAddress, PageId};

/// Most operations that are queued or unfinished at once.
const QUEUE_MAX: usize = sized(16, 40);
/// Times that a read which failed for a passing reason is tried.
const READ_TRIES: u8 = 3;

/// One read at a time is enough for a single caller.
#[derive(Debug)]
struct PageRead {
    id: OpId,
    page: PageId,
    first: FrameId,
    frames: u32,
    /// Byte of the (single) frame that is read next when the page is read unit by unit.
    piece: Option<u32>,
    tries: u8,
    progress: Progress,
    lost_pieces: u32,
    /// A device address outside of the log, instead of the page's.
    raw: Option<u64>,
}

/// Queue, pool and layout.
#[derive(Debug)]
pub(crate) struct Port<'m> {
    pub(crate) pool: Pool<'m>,
    pub(crate) layout: Layout,
    pub(crate) caps: Caps,
    pub(crate) write_bytes_max: u32,
    read_frames_max: u32,
    piece_bytes: u32,
    ops: Deque<Pending, QUEUE_MAX>,
    read: Option<PageRead>,
    next_id: u64,
    /// A write or a flush failed: of what is queued nothing is started, until it is taken back.
    halted: bool,
    read_fault: Option<(PageId, DeviceErrorKind)>,
    /// Pages that a failed read of several pages touched: they are read one by one.
    careful: Option<(PageId, PageId)>,
    /// The result of a read outside of the log.
    raw: Option<(u64, Result<FrameId, DeviceErrorKind>)>,
}

/// Device facts that the port needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortLimits {
    pub(crate) caps: Caps,
    pub(crate) max_transfer: u32,
    pub(crate) read_unit: u32,
}

impl<'m> Port<'m> {
    pub(crate) fn new(pool: Pool<'m>, layout: Layout, limits: PortLimits) -> Self {
        let page_bytes = layout.page_bytes();
        Self {
            pool,
            layout,
            caps: limits.caps,
            write_bytes_max: limits
                .max_transfer
                .min(page_bytes * super::ops::WRITE_FRAMES_MAX as u32)
                / layout.commit_unit
                * layout.commit_unit,
            read_frames_max: (limits.max_transfer / page_bytes).clamp(1, 64),
            piece_bytes: layout.commit_unit.max(limits.read_unit),
            ops: Deque::new(),
            read: None,
            next_id: 1,
            halted: false,
            read_fault: None,
            careful: None,
            raw: None,
        }
    }

    /// Places left in the queue.
    pub(crate) fn room(&self) -> usize {
        QUEUE_MAX - self.ops.len()
    }

    /// Whether every queued operation has taken effect.
    pub(crate) fn is_idle(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether a driver has something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.ops.is_empty() || self.read.is_some()
    }

    fn id(&mut self) -> OpId {
        self.next_id += 1;
        OpId(self.next_id)
    }

    /// Queues an operation on `bytes` bytes at a device address; for a change of the capacity that is the address.
    #[inline(never)]
    pub(crate) fn push(&mut self, address: u64, bytes: u32, purpose: Purpose) {
        let id = self.id();
        let progress = Progress::Queued;
        let full = self.ops.push_back(Pending { id, address, bytes, purpose, progress });
        assert!(full.is_ok(), "room() was asked before");
    }

    /// What a driver does for a queued operation.
    fn kind_of(&self, pending: &Pending) -> OpKind {
        let Pending { address, bytes, .. } = *pending;
        match pending.purpose {
            Purpose::Log { durability, .. } => {
                OpKind::Write { address, gather: self.gather(address, bytes), durability }
            }
            Purpose::Header(frame) | Purpose::Copy(frame) => {
                let mut frames = heapless::Vec::new();
                assert!(frames.push(frame).is_ok(), "one frame fits");
                let gather = Gather { frames, start: 0, bytes };
                OpKind::Write { address, gather, durability: Durability::Buffered }
            }
            Purpose::Flush { .. } => OpKind::Flush,
            Purpose::Erase | Purpose::EraseAhead(_) => {
                OpKind::Erase { address, bytes: u64::from(bytes) }
            }
            Purpose::Grow => OpKind::Grow { capacity: address },
            Purpose::Shrink => OpKind::Shrink { capacity: address },
        }
    }

    /// The frames of `bytes` bytes of groups.
    fn gather(&self, address: u64, bytes: u32) -> Gather {
        let at = LogAddress(address - self.layout.data_offset);
        let (first, start) =
            (self.layout.page_of(at), self.layout.in_page(self.layout.offset_of(at)));
        let mut frames = heapless::Vec::new();
        for index in 0..(start + bytes).div_ceil(self.layout.page_bytes()) {
            let frame = self.pool.peek(PageId(first.0 + u64::from(index)));
            let frame = frame.expect("pages that are being written are in the pool");
            assert!(frames.push(frame).is_ok(), "a write has at most its frames");
        }
        Gather { frames, start, bytes }
    }

    /// Queues the write of one frame's first `bytes` to a slot of a segment.
    pub(crate) fn push_slot(
        &mut self,
        address: LogAddress,
        frame: FrameId,
        bytes: u32,
        purpose: Purpose,
    ) {
        assert!(matches!(purpose, Purpose::Header(of) | Purpose::Copy(of) if of == frame));
        self.push(self.layout.device_address(address), bytes, purpose);
    }

    /// The next operation that may start now.
    pub(crate) fn next_op(&mut self) -> Option<DeviceOp> {
        if let Some(read) = self.read.as_mut().filter(|read| read.progress == Progress::Queued) {
            read.progress = Progress::InFlight;
            let at = read.piece.unwrap_or(0);
            let address = match read.raw {
                Some(address) => address,
                None => {
                    self.layout.device_address(self.layout.page_start(read.page)) + u64::from(at)
                }
            };
            let bytes = match read.piece {
                Some(_) => self.piece_bytes,
                None if read.raw.is_some() => {
                    self.layout.commit_unit.max(512).min(self.layout.page_bytes())
                }
                None => read.frames * self.layout.page_bytes(),
            };
            return Some(DeviceOp {
                id: read.id,
                kind: OpKind::Read { address, first: read.first, start: at, bytes },
            });
        }
        if self.halted {
            return None;
        }
        let mut all_before_done = true;
        let mut next = None;
        for (index, pending) in self.ops.iter_mut().enumerate() {
            let done = matches!(pending.progress, Progress::Done(_));
            if pending.progress == Progress::Queued && (all_before_done || pending.is_write()) {
                pending.progress = Progress::InFlight;
                next = Some(index);
                break;
            }
            if !pending.is_write() && !done {
                return None;
            }
            all_before_done &= done;
        }
        let pending = self.ops.get(next?)?;
        Some(DeviceOp { id: pending.id, kind: self.kind_of(pending) })
    }

    /// Takes the result of an operation.
    pub(crate) fn complete(&mut self, id: OpId, result: Result<(), DeviceErrorKind>) {
        if self.read.as_ref().is_some_and(|read| read.id == id) {
            self.complete_read(result);
        } else if let Some(pending) = self.ops.iter_mut().find(|pending| pending.id == id) {
            pending.progress = Progress::Done(result);
        }
    }

    /// The operations in flight were interrupted: what may be done again is queued again. A write on a device that needs
    /// erase counts as failed, because a unit must not be programmed twice.
    pub(crate) fn interrupted(&mut self) {
        if let Some(read) = self.read.as_mut().filter(|read| read.progress == Progress::InFlight) {
            read.progress = Progress::Queued;
        }
        let refuse = self.caps.needs_erase;
        for pending in self.ops.iter_mut().filter(|pending| pending.progress == Progress::InFlight)
        {
            pending.progress = if refuse && pending.is_write() {
                Progress::Done(Err(DeviceErrorKind::Media))
            } else {
                Progress::Queued
            };
        }
    }

    /// The oldest operation, if it is done: its purpose, its address (or capacity) and its result.
    pub(crate) fn retire(&mut self) -> Option<(Purpose, u64, Result<(), DeviceErrorKind>)> {
        let Progress::Done(result) = self.ops.front()?.progress else { return None };
        let pending = self.ops.pop_front()?;
        Some((pending.purpose, pending.address, result))
    }

    /// Whether an operation is with the device now.
    pub(crate) fn in_flight(&self) -> bool {
        self.ops.iter().any(|pending| pending.progress == Progress::InFlight)
    }

    /// Starts no more operations but reads: what is queued relies on one that failed.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
    }

    /// Takes back every operation that was not finished; the frames of slots are released.
    pub(crate) fn cancel_all(&mut self) {
        assert!(!self.in_flight(), "nothing in flight is cancelled");
        self.halted = false;
        while let Some(pending) = self.ops.pop_front() {
            if let Purpose::Header(frame) | Purpose::Copy(frame) = pending.purpose {
                self.pool.release(frame);
            }
        }
    }

    /// The frame of a page, reading it (and up to `ahead - 1` pages behind it) where it is not there.
    ///
    /// # Errors
    /// `Device` where the page cannot be read at all; units that cannot be read come as zeros, for the checksums to find.
    pub(crate) fn resident(&mut self, page: PageId, ahead: u32) -> Result<Poll<FrameId>, Error> {
        if let Some(frame) = self.pool.find(page) {
            return Ok(Poll::Ready(frame));
        }
        if let Some((faulty, kind)) = self.read_fault.take()
            && faulty == page
        {
            return Err(Error::Device(kind));
        }
        if self.read.is_some() {
            return Ok(Poll::Pending);
        }
        let careful = self.careful.is_some_and(|(from, to)| page >= from && page <= to);
        let mut want = if careful { 1 } else { ahead.clamp(1, self.read_frames_max) };
        let pages = u64::from(self.layout.segment_bytes / self.layout.page_bytes());
        want = want.min((pages - page.0 % pages) as u32);
        let taken =
            (1..want).find(|&more| self.pool.peek(PageId(page.0 + u64::from(more))).is_some());
        let Some((first, frames)) = self.pool.take_run(taken.unwrap_or(want)) else {
            return if self.ops.is_empty() { Err(Error::PoolExhausted) } else { Ok(Poll::Pending) };
        };
        let id = self.id();
        let progress = Progress::Queued;
        self.read = Some(PageRead {
            id,
            page,
            first,
            frames,
            piece: None,
            tries: 0,
            progress,
            lost_pieces: 0,
            raw: None,
        });
        Ok(Poll::Pending)
    }

    /// Reads the bytes at a device address outside of the log into a frame, which the caller then owns; `None` where they
    /// cannot be read.
    pub(crate) fn poll_raw(&mut self, address: u64) -> Result<Poll<Option<FrameId>>, Error> {
        if let Some((at, frame)) = self.raw.take() {
            if at == address {
                return match frame {
                    Ok(frame) => Ok(Poll::Ready(Some(frame))),
                    Err(DeviceErrorKind::Uncorrectable) => Ok(Poll::Ready(None)),
                    Err(kind) => Err(Error::Device(kind)),
                };
            }
            if let Ok(frame) = frame {
                self.pool.release(frame);
            }
        }
        if self.read.is_none() {
            let first = self.pool.take().ok_or(Error::PoolExhausted)?;
            let (id, page) = (self.id(), PageId(0));
            let raw = Some(address);
            let progress = Progress::Queued;
            self.read = Some(PageRead {
                id,
                page,
                first,
                frames: 1,
                piece: None,
                tries: 0,
                progress,
                lost_pieces: 0,
                raw,
            });
        }
        Ok(Poll::Pending)
    }

    fn complete_read(&mut self, result: Result<(), DeviceErrorKind>) {
        let Some(mut read) = self.read.take() else { return };
        if let Some(address) = read.raw {
            if result == Err(DeviceErrorKind::Transient) && read.tries + 1 < READ_TRIES {
                let id = self.id();
                let tries = read.tries + 1;
                self.read = Some(PageRead { id, tries, progress: Progress::Queued, ..read });
                return;
            }
            if result.is_err() {
                self.pool.release(read.first);
            }
            self.raw = Some((address, result.map(|()| read.first)));
            return;
        }
        let page_bytes = self.layout.page_bytes();
        let id = self.id();
        match (result, read.piece) {
            (Ok(()), None) => self.bind_read(&read),
            (
                Err(
                    DeviceErrorKind::Gone
                    | DeviceErrorKind::OutOfBounds
                    | DeviceErrorKind::Misaligned,
                ),
                _,
            ) => {
                self.fail_read(&read, result);
            }
            (Err(DeviceErrorKind::Transient), _) if read.tries + 1 < READ_TRIES => {
                self.read = Some(PageRead {
                    id,
                    tries: read.tries + 1,
                    progress: Progress::Queued,
                    ..read
                });
            }
            (Err(_), None) if read.frames > 1 => {
                self.careful = Some((read.page, PageId(read.page.0 + u64::from(read.frames) - 1)));
                self.release_read(&read);
            }
            (Err(_), None) if page_bytes > self.piece_bytes => {
                self.read = Some(PageRead {
                    id,
                    piece: Some(0),
                    tries: 0,
                    progress: Progress::Queued,
                    ..read
                });
            }
            (Err(_), None) => self.fail_or_blank(&read, result),
            // Only what the medium itself calls lost may count as torn: any other reason may pass.
            (Err(kind), Some(_)) if kind != DeviceErrorKind::Uncorrectable => {
                self.fail_read(&read, result);
            }
            (result, Some(at)) => {
                if result.is_err() {
                    let piece = at as usize..(at + self.piece_bytes) as usize;
                    self.pool.frame_mut(read.first)[piece].fill(0);
                    read.lost_pieces += 1;
                }
                if at + self.piece_bytes < page_bytes {
                    let piece = Some(at + self.piece_bytes);
                    self.read =
                        Some(PageRead { id, piece, tries: 0, progress: Progress::Queued, ..read });
                } else if read.lost_pieces * self.piece_bytes >= page_bytes {
                    self.fail_or_blank(&read, result);
                } else {
                    self.bind_read(&read);
                }
            }
        }
    }

    /// No byte of the page can be read. If the medium says that it is these bytes, they count as zeros, which no checksum
    /// accepts; any other reason is the caller's to see.
    fn fail_or_blank(&mut self, read: &PageRead, result: Result<(), DeviceErrorKind>) {
        if result == Err(DeviceErrorKind::Uncorrectable) {
            self.pool.frame_mut(read.first).fill(0);
            self.bind_read(read);
        } else {
            self.fail_read(read, result);
        }
    }

    fn fail_read(&mut self, read: &PageRead, result: Result<(), DeviceErrorKind>) {
        self.read_fault = Some((read.page, result.err().unwrap_or(DeviceErrorKind::Other)));
        self.release_read(read);
    }

    fn release_read(&mut self, read: &PageRead) {
        for index in 0..read.frames {
            self.pool.release(FrameId(read.first.0 + index));
        }
    }

    fn bind_read(&mut self, read: &PageRead) {
        for index in 0..read.frames {
            let (frame, page) =
                (FrameId(read.first.0 + index), PageId(read.page.0 + u64::from(index)));
            // The page may have been taken by the appender meanwhile: what is on the medium is older.
            if self.pool.peek(page).is_some() {
                self.pool.release(frame);
            } else {
                self.pool.bind_clean(frame, page);
            }
        }
    }
}
