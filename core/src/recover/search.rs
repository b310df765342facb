//! The decision behind the first place where no whole group is: torn or corrupt?
//!
//! Every commit unit behind that place X is looked at. A resume group of a later boot that records an end up to X wins: the
//! log goes on behind it. A whole group of this boot that was issued when the log was already durable beyond X proves that the bytes
//! at X were acknowledged and are damaged. Otherwise X is a torn tail, cut silently.
//!
//! | behind X | end |
//! |---|---|
//! | resume groups with cut <= X | the log resumes at the one of the newest boot |
//! | resume group with cut > X | corrupt at X |
//! | group with flushed > X | corrupt at X |
//! | groups with flushed <= X, or nothing | torn at X |

use core::task::Poll;

use super::scan::{Scan, ScanContext, ScanEvent};
use crate::canary::Canary;
use crate::engine::{Port, ready};
use crate::error::Error;
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::format::parser::Verify;
use crate::types::{Boot, Offset, Seq};

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchEnd {
    /// The log goes on with the resume group at this offset.
    Resumed(Offset),
    /// Acknowledged bytes are damaged.
    Corrupt,
    /// The tail: nothing that counts lies behind.
    Torn,
}

/// A search behind a scan's position.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Where no whole group is.
    from: Offset,
    at: u32,
    boot: Boot,
    nested: Option<Scan>,
    corrupt: bool,
    resumed: Option<(Boot, Offset)>,
    /// Largest sequence that any valid header behind the place may have given out.
    pub(crate) seq_max: Seq,
    pub(crate) boot_max: Boot,
    /// First commit unit behind the last byte that is not erased.
    pub(crate) blank_from: u32,
}

impl Search {
    pub(crate) fn new(scan: &Scan, commit_unit: u32) -> Self {
        let from = scan.position;
        let at = (from.0 + commit_unit - 1) & !(commit_unit - 1);
        Self {
            from,
            at,
            boot: scan.boot,
            nested: None,
            corrupt: false,
            resumed: None,
            seq_max: Seq(0),
            boot_max: Boot(0),
            blank_from: at,
        }
    }

    /// Ready with the decision.
    pub(crate) fn step(
        &mut self,
        scan: &Scan,
        port: &mut Port<'_>,
        context: &ScanContext,
    ) -> Result<Poll<SearchEnd>, Error> {
        let unit = context.bounds.commit_unit;
        while self.at < context.bounds.data_end {
            if let Some(nested) = &mut self.nested {
                let event = ready!(nested.step(port, context)?);
                self.nested = None;
                self.judge(&event);
                self.at += unit;
                continue;
            }
            let page = port.layout.page_at(scan.segment, Offset(self.at));
            let frame = ready!(port.resident(page, 64)?);
            let in_page = port.layout.in_page(Offset(self.at)) as usize;
            let bytes = &port.pool.frame(frame)[in_page..];
            if port
                .caps
                .erased
                .is_some_and(|erased| bytes[..unit as usize].iter().any(|&byte| byte != erased))
            {
                self.blank_from = self.at + unit;
            }
            if GroupKind::from_byte(bytes[0]).is_some() && self.may_be_group(scan, bytes, context) {
                let incarnation = (scan.segment, scan.open_seq, self.boot);
                self.nested = Some(Scan::new(incarnation, Offset(self.at), Verify::Group));
            } else {
                self.at += unit;
            }
        }
        Ok(Poll::Ready(match self.resumed {
            Some((_, at)) if !context.cage.holds(Canary::ResumeAsCorrupt) => SearchEnd::Resumed(at),
            Some(_) => SearchEnd::Corrupt,
            None if context.cage.holds(Canary::StopAtFirstBad) => SearchEnd::Corrupt,
            None if context.cage.holds(Canary::RotAsTorn) => SearchEnd::Torn,
            None if self.corrupt => SearchEnd::Corrupt,
            None => SearchEnd::Torn,
        }))
    }

    /// Whether a whole header starts here; where it runs over the page's end the parser decides.
    fn may_be_group(&mut self, scan: &Scan, bytes: &[u8], context: &ScanContext) -> bool {
        if bytes.len() < GROUP_HEADER_BYTES as usize {
            return true;
        }
        let boot = if bytes[0] == GroupKind::Resume as u8 { Boot(0) } else { self.boot };
        let seeds = context.seeds(scan.segment, scan.open_seq, boot);
        let header = GroupHeader::decode(bytes, Offset(self.at), &seeds, &context.sums);
        if let Some(header) = header {
            // Its records may be lost, but their sequences were given out.
            self.seq_max =
                self.seq_max.max(Seq(header.first_seq.0.saturating_add(u64::from(u16::MAX))));
        }
        header.is_some()
    }

    fn judge(&mut self, event: &ScanEvent) {
        let ScanEvent::Group(group, resume) = event else { return };
        match resume {
            Some(resume) => {
                self.boot_max = self.boot_max.max(resume.boot);
                // A cut before this place: what lies between was not readable then, and does not count now either.
                if resume.cut <= self.from {
                    self.resumed = self.resumed.max(Some((resume.boot, Offset(self.at))));
                } else {
                    self.corrupt = true;
                }
            }
            None => self.corrupt |= group.trailer.flushed > self.from,
        }
    }
}
