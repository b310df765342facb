//! What drivers with threads ask of the queue: whether somebody has something to do, and whether a
//! sync is on its way already.

use super::{Port, Progress, Purpose};
use crate::device::Durability;
use crate::types::Seq;

impl Port<'_> {
    /// Whether [`next_op`](Self::next_op) has one.
    pub(crate) fn can_start(&self) -> bool {
        if self.read.as_ref().is_some_and(|read| read.progress == Progress::Queued) {
            return true;
        }
        if self.halted {
            return false;
        }
        let mut all_before_done = true;
        for pending in &self.ops {
            if pending.progress == Progress::Queued && (all_before_done || pending.is_write()) {
                return true;
            }
            let done = matches!(pending.progress, Progress::Done(_));
            if !pending.is_write() && !done {
                return false;
            }
            all_before_done &= done;
        }
        false
    }

    /// Whether a flush or a durable write in the queue, which will be executed, covers a sequence.
    pub(crate) fn covers(&self, target: Seq) -> bool {
        !self.halted
            && self.ops.iter().any(|pending| match pending.purpose {
                Purpose::Flush { seq, .. }
                | Purpose::Log { seq, durability: Durability::Durable, .. } => seq >= target,
                _ => false,
            })
    }
}
