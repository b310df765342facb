//! Scrubbing: all segments in use are verified again and again, in steps of a few bytes each, while
//! the store is in use.
//!
//! The cursor is in memory and names the incarnation that it is in, so merges may go on between two
//! steps, and a segment that was used again is begun anew. A pass sees the sealed segments and of
//! the head what is on the device. It reads the medium: what the pool holds of it is read again.

use core::task::Poll;

use heapless::Vec;

use super::check::{Inspected, Inspection};
use super::core_state::Engine;
use super::ready;
use crate::error::{Corruption, Error};
use crate::parts::CHECK;

/// Walks that there is room for.
const WALKS: usize = CHECK as usize;

/// What a step of a scrub did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubProgress {
    /// Bytes that were read and verified.
    pub bytes: u64,
    /// A damaged place, which ended the step; the next one goes on behind it.
    pub damage: Option<Corruption>,
    /// Whether this step ended a pass over all segments; the next step begins another one.
    pub pass: Pass,
}

/// Whether a pass ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pass {
    /// There is more to verify.
    #[default]
    Running,
    /// Everything that was there throughout the pass was verified.
    Complete,
}

/// The scrub of a session.
#[derive(Debug)]
pub(crate) struct Scrub {
    /// The walk of a check or of a scrub; no room for one where this build has neither.
    state: Vec<Inspection, WALKS>,
    pub(crate) bytes: u64,
    pub(crate) passes: u64,
    pub(crate) damages: u64,
}

impl Default for Scrub {
    fn default() -> Self {
        let mut scrub = Self { state: Vec::new(), bytes: 0, passes: 0, damages: 0 };
        scrub.keep(Inspection::of_device());
        scrub
    }
}

impl Scrub {
    /// The walk, until [`keep`](Self::keep).
    ///
    /// # Errors
    /// `LeftOut`.
    pub(super) fn take(&mut self) -> Result<Inspection, Error> {
        if CHECK {
            Ok(self.state.pop().unwrap_or_default())
        } else {
            Err(Error::LeftOut { feature: "check" })
        }
    }

    pub(super) fn keep(&mut self, state: Inspection) {
        self.state.clear();
        if CHECK {
            let kept = self.state.push(state);
            assert!(kept.is_ok(), "there is room for one walk");
        }
    }
}

impl Engine<'_> {
    /// Verifies about `budget` bytes; ready at the first damaged place, or at the end of a pass.
    /// `progress` is added to, so that a call that waits for the device is taken up where it was.
    ///
    /// # Errors
    /// `Device`, `PoolExhausted`.
    pub fn poll_scrub(
        &mut self,
        budget: u64,
        progress: &mut ScrubProgress,
    ) -> Result<Poll<()>, Error> {
        // Each turn reads a page, takes a record of one, or moves on to another segment.
        loop {
            let mut state = self.scrub.take()?;
            if state.is_check() {
                // A check came between: the pass begins anew.
                state = Inspection::of_device();
            }
            let step = self.poll_inspect(&mut state);
            self.scrub.keep(state);
            match ready!(step?) {
                Inspected::Bytes(bytes) => {
                    progress.bytes += bytes;
                    self.scrub.bytes += bytes;
                    if progress.bytes >= budget {
                        return Ok(Poll::Ready(()));
                    }
                }
                Inspected::Damage(place) => {
                    self.scrub.damages += 1;
                    progress.damage = Some(place);
                    return Ok(Poll::Ready(()));
                }
                Inspected::Over => {
                    self.scrub.keep(Inspection::of_device());
                    self.scrub.passes += 1;
                    progress.pass = Pass::Complete;
                    return Ok(Poll::Ready(()));
                }
            }
        }
    }
}
