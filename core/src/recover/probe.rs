//! Whether the end of the log reads the same each time, on flash.
//!
//! A program that was cut off may leave cells charged by half: they read as whole now and as torn later, or as erased now
//! and not later. So a group that only one read proves is not proof enough, and neither are blank bytes behind it. What was
//! durable before another group was closed is safe: that group says so. What lies behind the last place that is proven so,
//! the *anchor*, is read again and again before it is believed: the log ends where it was ever found to end, and goes on
//! behind everything that was ever found not to be blank. Cells that drift slowly are not found this way.
//!
//! Done once when a store on flash is opened, before the newest segment is loaded; `load` obeys [`Probed`].

use core::task::Poll;

use super::scan::{Scan, ScanContext, ScanEvent};
use super::search::{Search, SearchEnd};
use crate::engine::{Port, ready};
use crate::error::Error;
use crate::format::group::GroupKind;
use crate::format::parser::Verify;
use crate::types::{Boot, Offset, Seq};

/// Times that the groups behind the anchor are read: a record whose bits each differ once in 256 reads passes one read
/// in 0.75, and this many once in 10^24.
const ROUNDS: u32 = 192;
/// The bytes behind the groups are read once in so many rounds.
const BLANK_EVERY: u32 = 3;

/// What the rounds found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    /// Where the log was ever found to end: groups from here on are not accepted.
    pub(super) limit: Offset,
    /// From here on a whole group proves nothing either: one of them did not read the same each time.
    pub(super) unstable: Offset,
    /// First commit unit behind everything that was ever not blank.
    pub(super) blank_from: u32,
}

/// A place between groups, and what a scan from there must know.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Offset,
    boot: Boot,
    seq: Option<Seq>,
}

impl Anchor {
    const fn of(scan: &Scan) -> Self {
        Self { at: scan.position, boot: scan.boot, seq: scan.next_seq }
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them, and no heap to put it on")]
enum Stage {
    /// Looking for the anchor.
    First,
    /// Behind a place without a whole group.
    Search(Search),
    /// Reading groups again.
    Groups,
    /// Reading what lies behind them again.
    Blank { at: u32 },
}

/// The state of probing.
#[derive(Debug)]
pub(super) struct Probe {
    scan: Scan,
    anchor: Anchor,
    /// Where the first round ended.
    first_end: Offset,
    end: Offset,
    blank_from: u32,
    round: u32,
    stage: Stage,
}

impl Probe {
    /// Begins with a scan of the segment from its start.
    pub(super) fn new(scan: Scan) -> Self {
        let (anchor, end) = (Anchor::of(&scan), scan.position);
        let (first_end, blank_from) = (end, end.0);
        Self { scan, anchor, first_end, end, blank_from, round: 0, stage: Stage::First }
    }

    /// Ready when all rounds are done.
    pub(super) fn step(
        &mut self,
        port: &mut Port<'_>,
        context: &ScanContext,
    ) -> Result<Poll<Probed>, Error> {
        while self.round <= ROUNDS {
            match &mut self.stage {
                Stage::First => {
                    let before = Anchor::of(&self.scan);
                    match ready!(self.scan.step(port, context)?) {
                        ScanEvent::Group(group, resume) => {
                            let claims = group.trailer.flushed >= group.start;
                            if claims || resume.is_some() || group.header.kind == GroupKind::Close {
                                self.anchor = before;
                            }
                        }
                        ScanEvent::Bad => {
                            let search = Search::new(&self.scan, context.bounds.commit_unit);
                            self.stage = Stage::Search(search);
                        }
                        _ => {}
                    }
                }
                Stage::Search(search) => match ready!(search.step(&self.scan, port, context)?) {
                    SearchEnd::Resumed(at) => {
                        self.scan.skip_to(at);
                        self.stage = Stage::First;
                    }
                    SearchEnd::Torn | SearchEnd::Corrupt => {
                        self.end = self.scan.position;
                        self.first_end = self.end;
                        self.blank_from = search.blank_from.max(self.scan.reach.0);
                        self.begin_round(port);
                    }
                },
                Stage::Groups => {
                    let is_bad = matches!(ready!(self.scan.step(port, context)?), ScanEvent::Bad);
                    self.blank_from = self.blank_from.max(self.scan.reach.0);
                    if is_bad || self.scan.position >= self.end {
                        self.end = self.end.min(self.scan.position);
                        self.stage = Stage::Blank { at: self.end.0 };
                    }
                }
                Stage::Blank { at } => {
                    let (segment, from) = (self.scan.segment, *at);
                    let last =
                        (self.blank_from + port.write_bytes_max).min(context.bounds.data_end);
                    if from >= last || !self.round.is_multiple_of(BLANK_EVERY) {
                        self.begin_round(port);
                        continue;
                    }
                    let page = port.layout.page_at(segment, Offset(from));
                    let frame = ready!(port.resident(page, 1)?);
                    let bytes =
                        &port.pool.frame(frame)[port.layout.in_page(Offset(from)) as usize..];
                    let bytes = &bytes[..bytes.len().min((last - from) as usize)];
                    let erased = port.caps.erased;
                    if let Some(index) = bytes.iter().rposition(|byte| Some(*byte) != erased) {
                        let behind = port.layout.padded(from + index as u32 + 1);
                        self.blank_from = self.blank_from.max(behind);
                    }
                    *at = from + bytes.len() as u32;
                }
            }
        }
        let unstable = if self.end < self.first_end { self.end } else { Offset(u32::MAX) };
        Ok(Poll::Ready(Probed { limit: self.end, unstable, blank_from: self.blank_from }))
    }

    /// Has everything behind the anchor read anew.
    fn begin_round(&mut self, port: &mut Port<'_>) {
        self.round += 1;
        let mut at = self.anchor.at.0;
        while at < port.layout.data_end {
            port.pool.forget_clean(port.layout.page_at(self.scan.segment, Offset(at)));
            at += port.layout.page_bytes();
        }
        let Anchor { at, boot, seq } = self.anchor;
        let incarnation = (self.scan.segment, self.scan.open_seq, boot);
        let mut scan = Scan::new(incarnation, at, Verify::Group);
        scan.next_seq = seq;
        self.scan = scan;
        self.stage = Stage::Groups;
    }
}
