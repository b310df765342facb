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
//! | group of a later boot whose resume group is nowhere | corrupt at X |
//! | groups with flushed <= X, or nothing | torn at X |

use core::task::Poll;

use super::scan::{Scan, ScanContext, ScanEvent};
use crate::canary::Canary;
use crate::engine::{Port, ready};
use crate::error::Error;
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader, GroupKind};
use crate::format::parser::Verify;
use crate::format::record::{self, RecordHeader, SHORT_HEADER_BYTES, SHORT_RECORD_BYTES_MAX};
use crate::types::{Boot, Offset, Seq};

/// Boots behind the known one whose groups are looked for: a session that wrote something resumed the log before.
const BOOTS_AHEAD: u32 = 64;

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
    /// First offset behind all that groups with a whole header announced. The end of a torn one may still read as erased:
    /// what is written there could make it whole.
    pub(crate) reach: Offset,
    /// Groups from here on do not count: see `probe`.
    pub(crate) limit: Offset,
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
            reach: Offset(0),
            limit: Offset(u32::MAX),
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
                let boot = nested.boot;
                self.reach = self.reach.max(nested.reach);
                self.nested = None;
                self.judge(&event, boot);
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
                self.blank_from = self.blank_from.max(self.at + unit);
            }
            if self.at >= self.limit.0 {
                self.at += unit;
                continue;
            }
            if record::is_short(bytes[0]) {
                let short = ready!(self.poll_short(scan, port, context)?);
                if let Some((seq, claims)) = short {
                    self.seq_max = self.seq_max.max(seq);
                    self.corrupt |= claims;
                }
                self.at += unit;
                continue;
            }
            let kind = GroupKind::from_byte(bytes[0]);
            match kind.and_then(|kind| self.boot_of_group(kind, scan, bytes, context)) {
                Some(boot) => {
                    let incarnation = (scan.segment, scan.open_seq, boot);
                    self.nested = Some(Scan::new(incarnation, Offset(self.at), Verify::Group));
                }
                None => self.at += unit,
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

    /// The sequence of a whole short record here, and whether it says that everything before it was durable. Its sequence
    /// must be one that the bytes since the last whole group may have taken: of all that a checksum could mean, few are.
    fn poll_short(
        &self,
        scan: &Scan,
        port: &mut Port<'_>,
        context: &ScanContext,
    ) -> Result<Poll<Option<(Seq, bool)>>, Error> {
        let Some(expected) = scan.next_seq.filter(|_| port.layout.short_records) else {
            return Ok(Poll::Ready(None));
        };
        let mut bytes = [0; SHORT_RECORD_BYTES_MAX];
        let room = (context.bounds.data_end - self.at).min(SHORT_RECORD_BYTES_MAX as u32) as usize;
        let (mut done, mut want) = (0, (SHORT_HEADER_BYTES as usize).min(room));
        let mut header = None;
        while done < want {
            let at = Offset(self.at + done as u32);
            let frame = ready!(port.resident(port.layout.page_at(scan.segment, at), 64)?);
            let page = &port.pool.frame(frame)[port.layout.in_page(at) as usize..];
            let piece = page.len().min(want - done);
            bytes[done..done + piece].copy_from_slice(&page[..piece]);
            done += piece;
            if done == want && header.is_none() {
                header = RecordHeader::decode(&bytes[..want]);
                want = header.map_or(0, |header| header.record_bytes() as usize);
            }
        }
        if header.is_none() || want > room {
            return Ok(Poll::Ready(None));
        }
        let inner = (context.sums.crc32c)(0, &bytes[SHORT_HEADER_BYTES as usize..want]);
        let seeds = context.seeds(scan.segment, scan.open_seq, self.boot);
        let place = (Offset(self.at), (expected.0 >> 32) as u32);
        let low = record::short_seq(&bytes, place, inner, seeds.record, &context.sums);
        let ahead = u64::from(low.wrapping_sub(expected.0 as u32));
        // The shortest one that takes a sequence has a header and a byte of key.
        let most = u64::from((self.at - self.from.0) / (SHORT_HEADER_BYTES + 1));
        let fits = (1..=most).contains(&ahead);
        let seq = Seq(expected.0.saturating_add(ahead));
        Ok(Poll::Ready(fits.then_some((seq, record::short_claims(bytes[0])))))
    }

    /// The boot with which a whole header starts here; where it runs over the page's end the parser decides.
    fn boot_of_group(
        &mut self,
        kind: GroupKind,
        scan: &Scan,
        bytes: &[u8],
        context: &ScanContext,
    ) -> Option<Boot> {
        if bytes.len() < GROUP_HEADER_BYTES as usize {
            return Some(self.boot);
        }
        let decode = |boot: Boot| {
            let seeds = context.seeds(scan.segment, scan.open_seq, boot);
            GroupHeader::decode(bytes, Offset(self.at), &seeds, &context.sums)
        };
        let found = if kind == GroupKind::Resume {
            decode(Boot(0)).map(|header| (self.boot, header))
        } else {
            // Headers have zeros there; most bytes of values have not.
            let ahead = if bytes[1..4] == [0; 3] { BOOTS_AHEAD } else { 0 };
            let last = self.boot.0.saturating_add(ahead);
            let mut boots = self.boot.0..=last;
            boots.find_map(|boot| decode(Boot(boot)).map(|header| (Boot(boot), header)))
        };
        if let Some((_, header)) = found {
            // Its records may be lost, but their sequences were given out.
            self.seq_max =
                self.seq_max.max(Seq(header.first_seq.0.saturating_add(u64::from(u16::MAX))));
        }
        found.map(|(boot, _)| boot)
    }

    fn judge(&mut self, event: &ScanEvent, boot: Boot) {
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
            // The resume group of a later boot was durable before any other group of it was written.
            None => self.corrupt |= boot > self.boot || group.trailer.flushed > self.from,
        }
    }
}
