//! The log: groups appended to the open segment's frames, frozen and handed to the device, made durable; segments
//! sealed and opened; failed writes encoded anew elsewhere.
//!
//! Reading order: `segments` (the table), `head` (where the log ends), `encode` (records), `append` (groups), `short`
//! (groups of one small record), `commit` (what makes a put durable), `roll` (from one segment to the next), `grow` (more
//! of them), `resume` (taking a log up again), `rehome` (after a failed write).

mod append;
mod commit;
mod encode;
mod grow;
mod head;
mod hints;
mod rehome;
mod resume;
mod roll;
mod segments;
mod short;

pub(crate) use append::NewRecord;
pub(crate) use head::{Boundary, Head, HeadStart, Resumption, SlotsFree};
pub(crate) use hints::HintBuffer;
pub(crate) use rehome::FailedLog;
pub(crate) use resume::RESUME_GROUP_BYTES;
pub(crate) use segments::{RecordCost, Segments, Turn};
