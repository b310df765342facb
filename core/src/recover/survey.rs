//! The way on behind damage: what lies behind a place X where no whole group is, and where the log
//! goes on.
//!
//! Opens that stop at damage need no more than `search`. A check, a scrub and the opens that go on
//! behind damage look at every aligned byte behind X for a group, since only the first group after
//! a flush begins a commit unit.
//!
//! | behind X | the log goes on | X was in the log |
//! |---|---|---|
//! | resume groups with cut <= X | at that of the largest boot: nothing is damaged | no |
//! | a group of a later boot before any resume group with cut > X | there: the resume group itself is lost | not known |
//! | a resume group with cut > X | at the next whole group before the cut, else at the resume group | yes |
//! | whole groups of this boot | at the first, where its place in the log is proven (below) | yes |
//! | nothing | nowhere | not known |
//!
//! A whole group of this boot may have been cut off by a resume group that is now damaged. One that
//! says that the log was durable beyond X proves that X was in the log. Where the segment's end is
//! known and bytes are written over, what was cut off was overwritten before that end, so it proves
//! the same. On flash it is not believed.

use core::cmp::Reverse;
use core::task::Poll;

use super::scan::{Scan, ScanContext, ScanEvent};
use crate::engine::{Port, ready};
use crate::error::Error;
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::format::parser::Verify;
use crate::types::{Boot, Offset};

/// Boots behind the known one whose groups are looked for.
const BOOTS_AHEAD: u32 = 64;
/// Pages behind headers whose group is not whole: more are crafted, and are not looked at.
const VAIN_PAGES: u32 = 4096;

/// What is known of the end of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndOf {
    /// Groups end before this offset, and those before it count.
    Known(Offset),
    /// The newest segment, or one whose end is lost.
    Unknown,
}

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// At this resume group, which cut off what lies at X.
    Resumed(Offset),
    /// Behind damage.
    Damaged(Detour),
}

/// The way round damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detour {
    /// The next group that counts, and the boot before it.
    pub(crate) next: Option<(Offset, Boot)>,
    /// What lies at X was in the log.
    pub(crate) in_log: bool,
    /// Something behind X proves that X is damaged, and not a torn tail.
    pub(crate) proven: bool,
}

/// A resume group whose cut lies behind X.
#[derive(Clone, Copy, Debug)]
struct Resumption {
    cut: Offset,
    boot: Boot,
    at: Offset,
}

/// A look behind a scan's position.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    from: Offset,
    at: u32,
    end: EndOf,
    boot: Boot,
    nested: Option<Scan>,
    vain_pages: u32,
    resumed: Option<(Boot, Offset)>,
    resumption: Option<Resumption>,
    later: Option<(Offset, Boot)>,
    same: Option<Offset>,
    flushed_behind: bool,
}

impl Survey {
    pub(crate) fn new(scan: &Scan, end: EndOf) -> Self {
        Self {
            from: scan.position,
            at: scan.position.0,
            end,
            boot: scan.boot,
            nested: None,
            vain_pages: 0,
            resumed: None,
            resumption: None,
            later: None,
            same: None,
            flushed_behind: false,
        }
    }

    /// How far it looked.
    pub(crate) fn reading_at(&self) -> Offset {
        self.nested.as_ref().map_or(Offset(self.at), Scan::reading_at)
    }

    /// Looks at the rest of a page: ready with the decision at the end of the segment.
    pub(crate) fn step_page(
        &mut self,
        scan: &Scan,
        port: &mut Port<'_>,
        context: &ScanContext,
        ahead: u32,
    ) -> Result<Poll<Option<Route>>, Error> {
        if let Some(nested) = &mut self.nested {
            let event = ready!(nested.step_page(port, context, ahead)?);
            if let Some(event) = event {
                let boot = nested.boot;
                self.nested = None;
                self.judge(&event, boot, context.bounds.align);
            } else {
                self.vain_pages += 1;
            }
            return Ok(Poll::Ready(None));
        }
        let end = match self.end {
            EndOf::Known(end) => end.0.min(context.bounds.data_end),
            EndOf::Unknown => context.bounds.data_end,
        };
        if self.at.saturating_add(GROUP_HEADER_BYTES) > end || self.vain_pages > VAIN_PAGES {
            return Ok(Poll::Ready(Some(self.route(port.caps.needs_erase))));
        }
        let (segment, at) = (scan.segment, Offset(self.at));
        let frame = ready!(port.resident(port.layout.page_at(segment, at), ahead)?);
        let bytes = &port.pool.frame(frame)[port.layout.in_page(at) as usize..];
        let align = context.bounds.align as usize;
        let found = (0..bytes.len())
            .step_by(align)
            .find(|&index| GroupKind::from_byte(bytes[index]).is_some());
        let Some(index) = found else {
            self.at += bytes.len().next_multiple_of(align) as u32;
            return Ok(Poll::Ready(None));
        };
        let mut head = [0; GROUP_HEADER_BYTES as usize];
        let inside = head.len().min(bytes.len() - index);
        head[..inside].copy_from_slice(&bytes[index..index + inside]);
        self.at += index as u32;
        if self.at + GROUP_HEADER_BYTES > end {
            return Ok(Poll::Ready(None));
        }
        if inside < head.len() {
            let behind = Offset(self.at + inside as u32);
            let frame = ready!(port.resident(port.layout.page_at(segment, behind), ahead)?);
            let rest = head.len() - inside;
            head[inside..].copy_from_slice(&port.pool.frame(frame)[..rest]);
        }
        match self.boot_of(&head, scan, context) {
            Some(boot) => {
                let incarnation = (segment, scan.open_seq, boot);
                self.nested = Some(Scan::new(incarnation, Offset(self.at), Verify::Group));
            }
            None => self.at += align as u32,
        }
        Ok(Poll::Ready(None))
    }

    /// The boot with which a group header starts here. A resume group's tells none: the scan begins
    /// with the known one.
    fn boot_of(&self, head: &[u8], scan: &Scan, context: &ScanContext) -> Option<Boot> {
        let at = Offset(self.at);
        let decodes = |boot: Boot| {
            let seeds = context.seeds(scan.segment, scan.open_seq, boot);
            GroupHeader::decode(head, at, &seeds, &context.sums).is_some()
        };
        if head[1..4] != [0; 3] {
            return None;
        }
        if head[0] == GroupKind::Resume as u8 {
            return decodes(Boot(0)).then_some(self.boot);
        }
        let last = self.boot.0.saturating_add(BOOTS_AHEAD);
        (self.boot.0..=last).map(Boot).find(|&boot| decodes(boot))
    }

    fn judge(&mut self, event: &ScanEvent, boot: Boot, align: u32) {
        let at = Offset(self.at);
        self.at += align;
        let ScanEvent::Group(group, resume) = event else {
            self.vain_pages += 1;
            return;
        };
        if let EndOf::Known(end) = self.end
            && group.end > end
        {
            return;
        }
        self.at = self.at.max(group.next.0);
        if at == self.from {
            // It was not accepted there.
            return;
        }
        match resume {
            Some(resume) if resume.cut <= self.from => {
                self.resumed = self.resumed.max(Some((resume.boot, at)));
            }
            Some(resume) => {
                let found = Resumption { cut: resume.cut, boot: resume.boot, at };
                let order = |one: &Resumption| (one.cut, Reverse(one.boot));
                if self.resumption.is_none_or(|known| order(&found) < order(&known)) {
                    self.resumption = Some(found);
                }
            }
            None if boot > self.boot => {
                self.later.get_or_insert((at, boot));
            }
            None if group.header.kind != GroupKind::Resume => {
                self.same.get_or_insert(at);
                self.flushed_behind |= group.trailer.flushed > self.from;
            }
            None => {}
        }
    }

    fn route(&self, needs_erase: bool) -> Route {
        if let Some((_, at)) = self.resumed {
            return Route::Resumed(at);
        }
        let same = self.same.map(|at| (at, self.boot));
        let orphan = self.later.filter(|&(at, _)| self.resumption.is_none_or(|next| at < next.at));
        Route::Damaged(if orphan.is_some() {
            Detour { next: orphan, in_log: false, proven: true }
        } else if let Some(resumption) = self.resumption {
            let next = same.filter(|&(at, _)| at < resumption.cut);
            let next = next.or(Some((resumption.at, self.boot)));
            Detour { next, in_log: true, proven: true }
        } else if self.flushed_behind {
            Detour { next: same, in_log: true, proven: true }
        } else if same.is_some() && self.end != EndOf::Unknown && !needs_erase {
            Detour { next: same, in_log: true, proven: false }
        } else {
            Detour { next: None, in_log: false, proven: false }
        })
    }
}
