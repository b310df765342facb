//! What the last session left half done at the end of the log, on flash.
//!
//! Cells that a power cut charged by half read as anything: whole now and torn at the next boot, or erased now and not
//! later. So no number of reads proves them sound. Instead, nothing that lasts relies on cells that may be such:
//!
//! ```text
//! .. group | group | last groups | what reads as blank ...                           | resume group, copies
//!          |       `- in doubt   |<- margin ->|<- one write at most: may be touched ->|
//!          `- anchor                end                                              `- surely erased
//! ```
//! * Writes go to the device one after another. So all groups before the last one that says that everything before it was
//!   durable (the *anchor*) are whole for good, and the one write that may be half done begins at the end of the last whole
//!   one: it lies between the anchor and one write behind all that is visible.
//! * The groups behind the anchor are *in doubt*. Their pages are read once and **held** in frames until open is over, so all
//!   of recovery judges the same bytes. Those that are whole there are accepted, and the resume group, which ends the log at
//!   the anchor, carries copies of their records (`settle`): from then on it does not matter what they read as. A cut before
//!   the resume group is whole leaves everything as it was: they were acknowledged, and are sound, or nobody has seen them.
//! * The resume group is placed a whole write behind all that is visible, or in a freshly erased segment (`tail`).
//! * Only an earlier resume group that was itself cut off, and left no trace in *all* reads, could lie where the next one
//!   goes. It has some 300 bits to show: one that shows each bit once in 256 reads passes [`BLANK_READS`] reads once in 10^7
//!   times, and that is the chance of the second cut in a row alone.
//!
//! Where groups are in doubt that are too large to be held (large batches), or free segments are so few that room must not
//! be spent, they and what follows are read [`ROUNDS`] times instead: a program of 75 bits which each differ once in 256 reads
//! passes once in 10^24 times.
//!
//! Done once when a store on flash is opened, before the newest segment is loaded; `load` obeys [`Probed`].

use core::task::Poll;

use heapless::Vec;

use super::scan::{Scan, ScanContext, ScanEvent};
use super::search::{Search, SearchEnd};
use crate::engine::{Port, ready};
use crate::error::Error;
use crate::format::group::GroupKind;
use crate::format::parser::Verify;
use crate::log::{Boundary, RESUME_GROUP_BYTES};
use crate::types::{Boot, FrameId, Offset, SegmentId, Seq};

/// Times that what lies behind the log is read where only a cut in an earlier recovery may have left something.
pub(super) const BLANK_READS: u32 = 16;
/// Times that groups are read which cannot be held.
const ROUNDS: u32 = 192;
/// Frames that may be held.
const HELD_MAX: usize = 20;
/// Frames that must be left beside those that are held: a resume group with copies, slots, a record.
const HELD_BESIDE: u32 = 9;
/// A program may begin so many bytes behind the last one that is visible: a header's bytes may look erased.
const MARGIN_BYTES: u32 = 16;

/// First offset that no write of an earlier session can have touched, behind everything that is visible.
pub(super) const fn surely_blank(visible_end: u32, write_bytes_max: u32) -> u32 {
    visible_end + MARGIN_BYTES + write_bytes_max
}

/// Frames that keep the pages of what is in doubt, so that all of recovery sees the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Held {
    frames: Vec<FrameId, HELD_MAX>,
}

impl Held {
    /// Whether so many bytes can be held, and copied, besides what recovery needs.
    fn fits(port: &Port<'_>, bytes: u32) -> bool {
        let page_bytes = port.layout.page_bytes();
        let pages = bytes / page_bytes + 2;
        // Copies of the shortest records take three times their room.
        let copies = 3 * bytes / page_bytes + 2;
        pages as usize <= HELD_MAX && pages + copies + HELD_BESIDE <= port.pool.frames()
    }

    /// Ready once the pages of a range stay where they are.
    fn poll_hold(
        &mut self,
        port: &mut Port<'_>,
        segment: SegmentId,
        (from, to): (Offset, Offset),
    ) -> Result<Poll<()>, Error> {
        let page_bytes = port.layout.page_bytes();
        let mut at = from.0 - port.layout.in_page(from);
        while at < to.0 {
            let left = (to.0 - at).div_ceil(page_bytes);
            let frame = ready!(port.resident(port.layout.page_at(segment, Offset(at)), left)?);
            self.keep(port, frame);
            at += page_bytes;
        }
        Ok(Poll::Ready(()))
    }

    /// Keeps those pages of a range that are in frames now.
    pub(super) fn hold_resident(
        &mut self,
        port: &mut Port<'_>,
        segment: SegmentId,
        (from, to): (Offset, Offset),
    ) {
        if !Self::fits(port, to.0 - from.0) {
            return;
        }
        let mut at = from.0 - port.layout.in_page(from);
        while at < to.0 {
            if let Some(frame) = port.pool.peek(port.layout.page_at(segment, Offset(at))) {
                self.keep(port, frame);
            }
            at += port.layout.page_bytes();
        }
    }

    fn keep(&mut self, port: &mut Port<'_>, frame: FrameId) {
        if !self.frames.contains(&frame) && self.frames.push(frame).is_ok() {
            port.pool.pin(frame);
        }
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What is in doubt was settled, or nobody will.
    pub(super) fn release(&mut self, port: &mut Port<'_>) {
        while let Some(frame) = self.frames.pop() {
            port.pool.unpin(frame);
        }
    }
}

/// Groups at the end of the log that one program may have left half done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// Where the first one starts.
    pub(super) at: Offset,
    pub(super) boot: Boot,
    pub(super) seq: Option<Seq>,
    /// The end of the log before them.
    pub(super) safe: Boundary,
}

impl Doubt {
    const fn before(scan: &Scan) -> Self {
        let safe = Boundary { end: scan.position.0, digest: scan.digest };
        Self { at: scan.position, boot: scan.boot, seq: scan.next_seq, safe }
    }

    /// A scan of the groups in doubt.
    pub(super) fn scan(&self, incarnation: (SegmentId, Seq)) -> Scan {
        let (segment, open_seq) = incarnation;
        let mut scan = Scan::new((segment, open_seq, self.boot), self.at, Verify::Group);
        scan.next_seq = self.seq;
        scan.digest = self.safe.digest;
        scan
    }
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    /// Where the log was found to end: groups from here on are not accepted.
    pub(super) limit: Offset,
    /// From here on a whole group proves nothing either.
    pub(super) unstable: Offset,
    /// First commit unit behind everything that was ever not blank.
    pub(super) blank_from: u32,
    /// What is in doubt, where it can be settled.
    pub(super) doubt: Option<Doubt>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them, and no heap to put it on")]
enum Stage {
    /// Looking for the anchor.
    First,
    /// Behind a place without a whole group.
    Search(Search),
    /// Bringing what is in doubt into frames that stay.
    Hold,
    /// Judging what was brought there.
    Image,
    /// Reading groups again that cannot be held.
    Groups,
    /// Reading what lies behind the log again.
    Blank { at: u32 },
}

/// How what is in doubt becomes certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settling {
    /// By copies, and room left behind it.
    Copies,
    /// By many reads, where there is no room to spend.
    Reads,
}

/// The state of probing.
#[derive(Debug)]
pub(super) struct Probe {
    start: Offset,
    header_boot: Boot,
    scan: Scan,
    anchor: Doubt,
    /// Groups from here on were not whole once.
    limit: Offset,
    end: Offset,
    /// Something behind the end proves that it is damaged.
    is_corrupt: bool,
    visible_end: u32,
    round: u32,
    rounds: u32,
    settling: Settling,
    settles: bool,
    stage: Stage,
}

impl Probe {
    /// Begins with a scan of the segment from its start.
    pub(super) fn new(scan: Scan, settling: Settling) -> Self {
        let (anchor, end) = (Doubt::before(&scan), scan.position);
        Self {
            start: end,
            header_boot: scan.boot,
            scan,
            anchor,
            limit: Offset(u32::MAX),
            end,
            is_corrupt: false,
            visible_end: end.0,
            round: 0,
            rounds: 0,
            settling,
            settles: false,
            stage: Stage::First,
        }
    }

    /// Ready when it is known where the log ends, and what is in doubt is held.
    pub(super) fn step(
        &mut self,
        port: &mut Port<'_>,
        context: &ScanContext,
        held: &mut Held,
    ) -> Result<Poll<Probed>, Error> {
        // Each turn reads on, or begins one of the rounds; each time that something turns out to be unstable the limit sinks.
        loop {
            match &mut self.stage {
                Stage::First => ready!(self.find_anchor(port, context)?),
                Stage::Search(search) => match ready!(search.step(&self.scan, port, context)?) {
                    SearchEnd::Resumed(at) => {
                        self.scan.skip_to(at);
                        self.stage = Stage::First;
                    }
                    found @ (SearchEnd::Torn | SearchEnd::Corrupt) => {
                        self.is_corrupt = found == SearchEnd::Corrupt;
                        let behind = search.blank_from.max(search.reach.0);
                        self.visible_end = self.visible_end.max(behind).max(self.scan.reach.0);
                        self.end = self.scan.position;
                        self.judge_end(port);
                    }
                },
                Stage::Hold => {
                    let range = (self.anchor.at, self.end);
                    ready!(held.poll_hold(port, self.scan.segment, range)?);
                    self.rescan();
                    self.stage = Stage::Image;
                }
                Stage::Image => {
                    if self.scan.position >= self.end {
                        self.begin_round(port);
                        continue;
                    }
                    if matches!(ready!(self.scan.step(port, context)?), ScanEvent::Bad) {
                        // It read as whole before: all of it is judged anew, with what is left.
                        self.limit = self.scan.position;
                        self.visible_end = self.visible_end.max(self.end.0);
                        self.restart();
                    }
                }
                Stage::Groups => {
                    let at_end = self.scan.position >= self.end;
                    if at_end || matches!(ready!(self.scan.step(port, context)?), ScanEvent::Bad) {
                        self.visible_end = self.visible_end.max(self.scan.reach.0);
                        self.end = self.end.min(self.scan.position);
                        self.stage = Stage::Blank { at: self.blank_start(port) };
                    }
                }
                Stage::Blank { .. } => {
                    if ready!(self.poll_blank(port, context)?) && !self.begin_round(port) {
                        return Ok(Poll::Ready(self.found()));
                    }
                }
            }
            if self.round > self.rounds {
                return Ok(Poll::Ready(self.found()));
            }
        }
    }

    fn find_anchor(
        &mut self,
        port: &mut Port<'_>,
        context: &ScanContext,
    ) -> Result<Poll<()>, Error> {
        let before = Doubt::before(&self.scan);
        let event = if self.scan.position >= self.limit {
            ScanEvent::Bad
        } else {
            ready!(self.scan.step(port, context)?)
        };
        match event {
            ScanEvent::Group(group, resume) => {
                let claims = group.trailer.flushed >= group.start;
                if claims || resume.is_some() || group.header.kind == GroupKind::Close {
                    self.anchor = before;
                }
                if let Some(resume) = resume {
                    self.anchor.safe = Boundary { end: resume.cut.0, digest: resume.digest };
                }
            }
            ScanEvent::Bad => {
                let mut search = Search::new(&self.scan, context.bounds.commit_unit);
                search.limit = self.limit;
                self.stage = Stage::Search(search);
            }
            _ => {}
        }
        Ok(Poll::Ready(()))
    }

    /// The end was found: what must be done to rely on it.
    fn judge_end(&mut self, port: &mut Port<'_>) {
        let in_doubt = self.end.0.saturating_sub(self.anchor.at.0);
        self.settles =
            self.settling == Settling::Copies && port.caps.ordered && Held::fits(port, in_doubt);
        // A close group has no content to lose, and before it nothing else was under way. A resume group that was cut off
        // behind it is written again with the very same bytes.
        let is_closed = matches!(self.scan.last, Some((GroupKind::Close, _)));
        self.rounds = match (is_closed, self.settles) {
            (true, _) => 0,
            (false, true) => BLANK_READS,
            (false, false) => ROUNDS,
        };
        if is_closed || !self.settles {
            self.begin_round(port);
        } else {
            self.stage = Stage::Hold;
        }
    }

    /// Begins a scan of what is in doubt.
    fn rescan(&mut self) {
        self.scan = self.anchor.scan((self.scan.segment, self.scan.open_seq));
    }

    fn restart(&mut self) {
        let incarnation = (self.scan.segment, self.scan.open_seq, self.header_boot);
        self.scan = Scan::of_segment(incarnation, self.start, Verify::Group);
        self.anchor = Doubt::before(&self.scan);
        self.stage = Stage::First;
    }

    /// First page that is not held.
    fn blank_start(&self, port: &Port<'_>) -> u32 {
        let page_bytes = port.layout.page_bytes();
        if self.settles && self.end > self.anchor.at {
            (self.end.0 - 1) / page_bytes * page_bytes + page_bytes
        } else {
            self.end.0
        }
    }

    fn blank_end(&self, port: &Port<'_>) -> u32 {
        let reach = surely_blank(self.visible_end, 2 * port.write_bytes_max);
        (reach + 2 * RESUME_GROUP_BYTES).min(port.layout.data_end)
    }

    /// Looks at the rest of a page behind the log; ready with true at the end of the round.
    fn poll_blank(
        &mut self,
        port: &mut Port<'_>,
        context: &ScanContext,
    ) -> Result<Poll<bool>, Error> {
        let Stage::Blank { at } = self.stage else { return Ok(Poll::Ready(true)) };
        let end = self.blank_end(port).min(context.bounds.data_end);
        let Some(erased) = port.caps.erased.filter(|_| at < end) else {
            return Ok(Poll::Ready(true));
        };
        let page = port.layout.page_at(self.scan.segment, Offset(at));
        let frame = ready!(port.resident(page, (end - at) / port.layout.page_bytes() + 1)?);
        let bytes = &port.pool.frame(frame)[port.layout.in_page(Offset(at)) as usize..];
        let bytes = &bytes[..bytes.len().min((end - at) as usize)];
        if let Some(index) = bytes.iter().rposition(|byte| *byte != erased) {
            let behind = port.layout.padded(at + index as u32 + 1);
            self.visible_end = self.visible_end.max(behind);
        }
        self.stage = Stage::Blank { at: at + bytes.len() as u32 };
        Ok(Poll::Ready(false))
    }

    /// Has what is not held read anew, if there is a round left.
    fn begin_round(&mut self, port: &mut Port<'_>) -> bool {
        self.round += 1;
        if self.round > self.rounds {
            return false;
        }
        let blank_start = self.blank_start(port);
        let from = if self.settles { blank_start } else { self.anchor.at.0 };
        let mut at = from - port.layout.in_page(Offset(from));
        while at < self.blank_end(port) {
            port.pool.forget_clean(port.layout.page_at(self.scan.segment, Offset(at)));
            at += port.layout.page_bytes();
        }
        if self.settles {
            self.stage = Stage::Blank { at: blank_start };
        } else {
            self.rescan();
            self.stage = Stage::Groups;
        }
        true
    }

    fn found(&self) -> Probed {
        let unstable = if self.is_corrupt { self.limit } else { self.end };
        let doubt = Some(self.anchor).filter(|_| self.settles);
        Probed { limit: self.end, unstable, blank_from: self.visible_end, doubt }
    }
}
