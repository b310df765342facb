//! The last part of recovery: the head is resumed.

use core::task::Poll;

use super::Phase;
use crate::canary::Canary;
use crate::config::Access;
use crate::engine::{Engine, Health, ready};
use crate::error::Error;
use crate::log::Resumption;

impl Engine<'_> {
    fn poll_flush_read(&mut self) -> Result<Poll<()>, Error> {
        if !self.recovery.flushed {
            self.recovery.flushed = true;
            self.push_flush();
        }
        if self.health == Health::Poisoned {
            return Err(Error::Poisoned);
        }
        Ok(if self.port.is_idle() { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Resumes the head, unless the last session closed the store or this one only reads.
    pub(super) fn recover_resume(&mut self) -> Result<Poll<()>, Error> {
        let closed = self.recovery.closed || self.cage.holds(Canary::NoRecoverFlush);
        if self.access == Access::ReadWrite && !closed {
            // A resume group that could not be written moves first. What was read may still be in the device's cache, left
            // by a program that died: it must be durable before a resume group speaks of it.
            ready!(self.poll_rehome()?);
            ready!(self.poll_flush_read()?);
            match self.poll_resume() {
                // No place to write even that: the store can be read, and what is read is durable.
                Err(Error::Full) => {}
                result => {
                    ready!(result?);
                    if self.head.resumption != Resumption::Done || !self.port.is_idle() {
                        return Ok(Poll::Pending);
                    }
                }
            }
        }
        self.durable_seq = self.published_seq;
        self.segments.begin_session();
        self.health = Health::Sound;
        self.recovery.phase = Phase::Reclaim;
        Ok(Poll::Ready(()))
    }

    /// Finishes merges until there is as much room as appends may count on.
    pub(super) fn recover_reclaim(&mut self) -> Result<Poll<()>, Error> {
        if self.access == Access::ReadWrite && self.head.resumption == Resumption::Done {
            match self.poll_catch_up() {
                // Nothing can be given back: the store can be read, and deleted from.
                Err(Error::Full | Error::KeydirFull { .. } | Error::PoolExhausted) => {}
                result => ready!(result?),
            }
        }
        self.recovery.phase = Phase::Done;
        Ok(Poll::Ready(()))
    }
}
