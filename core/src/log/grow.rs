//! Growing the device: in pieces, in step with what is left, so that no append has to wait for a whole segment of zeros.

use core::task::Poll;

use super::roll::{RESERVE, ROLL_OPS};
use crate::engine::{Engine, OpKind, Purpose};
use crate::error::Error;

/// Bytes that a device grows by at once, where a segment has more than two of them.
const PIECE_BYTES: u32 = 256 << 10;
/// Most pieces of a segment: each waits for the device.
const PIECES_MAX: u32 = 16;

impl Engine<'_> {
    /// Pending while the device grows until it has a segment more.
    ///
    /// # Errors
    /// `Full` where it cannot.
    pub(crate) fn poll_grow(&mut self) -> Result<Poll<()>, Error> {
        let Some(whole) = self.next_capacity() else { return Err(Error::Full) };
        if self.port.room() > 0 {
            self.push_grow(whole);
        }
        Ok(Poll::Pending)
    }

    /// Grows the device a piece ahead of need: as much of a segment as the last segment's worth of room is used up. What
    /// cannot be had now is asked for again when it is needed.
    pub(crate) fn grow_ahead(&mut self) {
        let Some(whole) = self.next_capacity() else { return };
        let segment_bytes = self.port.layout.segment_bytes;
        let Some(used) = segment_bytes.checked_sub(self.room_left()).filter(|&used| used > 0)
        else {
            return;
        };
        let piece = segment_bytes / (segment_bytes / PIECE_BYTES).clamp(2, PIECES_MAX);
        let wanted = whole - u64::from(segment_bytes) + u64::from(used / piece * piece);
        if wanted > self.capacity && self.port.room() > ROLL_OPS {
            self.push_grow(wanted);
        }
    }

    /// The device's capacity with a segment more; `None` where it cannot have that.
    fn next_capacity(&self) -> Option<u64> {
        let layout = &self.port.layout;
        let wanted = layout.capacity_of(self.segments.count() + 1);
        let may_grow = !self.growth_stopped
            && wanted <= self.capacity_max
            && self.segments.count() < layout.segments_max;
        may_grow.then_some(wanted)
    }

    /// Bytes, at most those of a segment, before an append needs a segment more than there are.
    fn room_left(&self) -> u32 {
        let live_max = self.live_bytes_max(self.segments.count());
        let to_keep = live_max.saturating_sub(self.segments.live_total());
        let segment_bytes = self.port.layout.segment_bytes;
        let to_keep = u32::try_from(to_keep).unwrap_or(u32::MAX).min(segment_bytes);
        if self.segments.free() > RESERVE {
            to_keep
        } else {
            to_keep.min(self.data_limit().saturating_sub(self.head.position))
        }
    }

    fn push_grow(&mut self, capacity: u64) {
        if !self.growing {
            self.growing = true;
            self.port.push(OpKind::Grow { capacity }, Purpose::Grow(capacity));
        }
    }
}
