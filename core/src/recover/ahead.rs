//! On flash: whether groups that are whole count, before their records are given out.
//!
//! Groups that a power cut left half done may read as torn when the log is resumed, and as whole later. The resume group
//! behind them records where the log ended, and that wins over what can be read. So a scan does not give out the records of
//! a group before something behind it settles it:
//!
//! | behind the group at P, before anything else | then |
//! |---|---|
//! | a group that says that the log was durable beyond P | it counts |
//! | no whole group, and resume groups further on: that of the largest boot has a cut beyond P | it counts |
//! | the same, with a cut up to P | the log goes on at the resume group |
//! | nothing | it is the end: `probe` decides |
//!
//! Usually the very next group settles it, so this costs one more checksum of each group and no read.

use core::task::Poll;

use super::load::Mode;
use super::scan::ScanEvent;
use super::search::{Search, SearchEnd};
use crate::engine::{Engine, ready};
use crate::error::Error;
use crate::format::segment::Cut;
use crate::types::Offset;

impl Engine<'_> {
    /// Looks ahead from where the scan stands; ready once that is settled, and the scan goes on.
    pub(super) fn poll_ahead(&mut self, end: Option<Cut>) -> Result<Poll<()>, Error> {
        let context = self.scan_context();
        let limit = self.limit().0.min(end.map_or(u32::MAX, |end| end.end.0));
        let Mode::Ahead(scan, ahead) = &mut self.recovery.load.mode else {
            return Ok(Poll::Ready(()));
        };
        let from = scan.position;
        // Each turn moves on in the segment.
        let settled = loop {
            let event = if ahead.position.0 >= limit {
                ScanEvent::Bad
            } else {
                ready!(ahead.step(&mut self.port, &context)?)
            };
            match event {
                ScanEvent::Group(group, resume) => {
                    let claimed = resume.map_or(group.trailer.flushed, |resume| resume.cut);
                    let is_first = group.start == from;
                    if claimed > from && !is_first {
                        break claimed;
                    }
                    if resume.is_some() && !is_first {
                        let at = group.start;
                        return self.end_ahead(Offset(0), Some(at));
                    }
                    ahead.pass_over(&group);
                }
                ScanEvent::Bad if end.is_some_and(|end| ahead.position >= end.end) => {
                    break ahead.position;
                }
                ScanEvent::Bad => {
                    let mut search = Search::new(ahead, context.bounds.commit_unit);
                    search.limit = self.unstable();
                    let Mode::Ahead(scan, _) = core::mem::take(&mut self.recovery.load.mode) else {
                        return Ok(Poll::Pending);
                    };
                    self.recovery.load.mode = Mode::AheadSearch(scan, search);
                    return Ok(Poll::Ready(()));
                }
                _ => {}
            }
        };
        self.end_ahead(settled, None)
    }

    /// The same, behind the first place ahead without a whole group.
    pub(super) fn poll_ahead_search(&mut self) -> Result<Poll<()>, Error> {
        let context = self.scan_context();
        let Mode::AheadSearch(scan, search) = &mut self.recovery.load.mode else {
            return Ok(Poll::Ready(()));
        };
        let found = ready!(search.step(scan, &mut self.port, &context)?);
        let (from, cut) = (scan.position, search.resumed_cut);
        match found {
            SearchEnd::Resumed(at) if cut <= from && at > from => {
                self.end_ahead(Offset(0), Some(at))
            }
            SearchEnd::Resumed(_) => self.end_ahead(cut, None),
            // What is there is all there is.
            SearchEnd::Torn | SearchEnd::Corrupt => self.end_ahead(Offset(u32::MAX), None),
        }
    }

    fn end_ahead(&mut self, settled: Offset, resumed: Option<Offset>) -> Result<Poll<()>, Error> {
        let mode = core::mem::take(&mut self.recovery.load.mode);
        let (Mode::Ahead(mut scan, _) | Mode::AheadSearch(mut scan, _)) = mode else {
            return Ok(Poll::Ready(()));
        };
        if let Some(at) = resumed {
            scan.skip_to(at);
        }
        // At least the group at hand: what is behind it was looked at.
        let settled = settled.0.max(scan.position.0 + 1);
        self.recovery.load.settled = if resumed.is_some() { 0 } else { settled };
        self.recovery.load.mode = Mode::Scan(scan);
        Ok(Poll::Ready(()))
    }
}
