//! The third part of recovery: the head, where the newest segment ends, or in the segment behind it whose header turns out
//! to be true after all.

use core::ops::Range;
use core::task::Poll;

use super::Phase;
use super::headers::Unproven;
use super::scan::Scan;
use super::search::Search;
use crate::canary::Canary;
use crate::config::Access;
use crate::engine::{Engine, MarkState, ready};
use crate::error::{Damage, Error};
use crate::format::footer::Footer;
use crate::format::group::{GroupKind, Resume};
use crate::format::segment::{Cut, SegmentHeader};
use crate::log::{Boundary, Head, HeadStart, RESUME_GROUP_BYTES, Resumption, SlotsFree};
use crate::types::{Boot, Offset, SegmentId, Seq};

/// The newest segment, scanned to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    header: SegmentHeader,
    /// Of the last group.
    boot: Boot,
    end: Boundary,
    last: Option<(GroupKind, Offset)>,
    last_resume: Option<Resume>,
    /// First offset behind all that any group announced.
    reach: Offset,
    /// First offset behind the last byte that is not erased.
    blank_from: u32,
}

impl Tail {
    pub(super) fn new(header: SegmentHeader, scan: &Scan, search: Option<&Search>) -> Self {
        let end = Boundary { end: scan.position.0, digest: scan.digest };
        let blank_from = search.map_or(end.end, |search| search.blank_from);
        let (boot, last, last_resume) = (scan.boot, scan.last, scan.last_resume);
        let reach = scan.reach.max(search.map_or(Offset(0), |search| search.reach));
        Self { header, boot, end, last, last_resume, reach, blank_from }
    }

    /// No group of it is whole.
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The end as a later header would record it.
    pub(super) fn cut(&self) -> Cut {
        let SegmentHeader { segment, open_seq, .. } = self.header;
        Cut { segment, open_seq, end: Offset(self.end.end), digest: self.end.digest }
    }
}

/// Times that a slot must read as blank before it is written: cells that a torn write charged by half may look so.
const BLANK_ROUNDS: u8 = 64;

/// Fewest segments of a store that spares one for a torn tail unless it is the last free one.
const SPARING_SEGMENTS_MIN: u32 = 12;

/// A slot at a segment's end that may be written, if nobody did before.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Footer,
    Mark,
    /// The newest segment's mark, in the segment before.
    OwnMark,
}

/// What is known of the slots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blanks {
    known: [Option<bool>; 3],
    /// Times that the slot that is looked at was blank.
    rounds: u8,
}

/// Where the log goes on.
struct Place {
    header: SegmentHeader,
    safe: Boundary,
    position: u32,
    slots: SlotsFree,
}

impl Engine<'_> {
    /// The head, where the newest segment ends.
    pub(super) fn recover_tail(&mut self) -> Result<Poll<()>, Error> {
        if self.salvages() {
            return Ok(self.recover_salvaged());
        }
        let segment = self.ordered(0);
        let slots = ready!(self.poll_slots(segment)?);
        let own_mark = ready!(self.poll_own_mark_free()?);
        let footer = ready!(self.poll_footer(segment)?)
            .filter(|footer| Some(footer.header.open_seq) == self.segments.open_seq(segment));
        if let Some(footer) = footer {
            // It may speak of groups that are not there, but the sequences were given out.
            self.recovery.seq_max = self.recovery.seq_max.max(footer.seq_max);
        }
        if let Some(unproven) = self.recovery.unproven {
            self.segments.pass_over(unproven.header.segment);
        }
        let Some(tail) = self.recovery.tail else {
            return Err(self.corrupted(SegmentId(0), Offset(0), Damage::SegmentHeader));
        };
        let only_a_copy = self.recovery.newest.copy_in.is_some() || self.recovery.first.is_some();
        if tail.is_empty() && only_a_copy {
            // Its header was durable before anything said that it exists: that nothing of it is left is no crash.
            return Err(self.corrupted(segment, Offset(0), Damage::SegmentHeader));
        }
        let mut place = self.place_behind(&tail);
        place.slots = slots;
        self.number_session(&tail)?;
        let adopted = self.recovery.unproven.and_then(|next| {
            let ends = [tail.end, place.safe];
            let cut = next.header.cut.filter(|cut| {
                let of_tail = (cut.segment, cut.open_seq) == (segment, tail.header.open_seq);
                of_tail && ends.contains(&Boundary { end: cut.end.0, digest: cut.digest })
            });
            cut.map(|cut| (next, cut))
        });
        if let Some((next, cut)) = &adopted {
            place = self.adopt(next, cut);
            self.complete_footer(footer, cut, &tail);
        }
        self.place_head(&place, &tail);
        let mark_free = if adopted.is_some() { slots.mark } else { own_mark };
        if self.head.mark == MarkState::Unissued && !mark_free {
            // One that may be half written cannot be written again: this header is the only copy until it is sealed.
            self.head.mark = MarkState::Issued;
            if self.head.cut.is_some_and(|cut| self.segments.open_seq(cut.segment).is_some()) {
                self.segments.set_holds_end(self.head.segment);
            }
        }
        self.recovery.closed =
            adopted.is_none() && matches!(tail.last, Some((GroupKind::Close, _)));
        self.recovery.enter(Phase::Resume);
        Ok(Poll::Ready(()))
    }

    /// Which slots of a segment may be written: an interrupted session may have written them already.
    fn poll_slots(&mut self, segment: SegmentId) -> Result<Poll<SlotsFree>, Error> {
        let layout = self.port.layout;
        let (footer, mark) =
            (layout.data_end..layout.mark_start, layout.mark_start..layout.segment_bytes);
        let footer = ready!(self.poll_blank(Slot::Footer, segment, footer)?);
        let mark = ready!(self.poll_blank(Slot::Mark, segment, mark)?);
        Ok(Poll::Ready(SlotsFree { footer, mark }))
    }

    /// Whether the slot for the newest segment's mark may be written.
    fn poll_own_mark_free(&mut self) -> Result<Poll<bool>, Error> {
        let cut = self.recovery.newest.header.and_then(|header| header.cut);
        let before = cut.filter(|cut| self.segments.open_seq(cut.segment) == Some(cut.open_seq));
        let Some(cut) = before else { return Ok(Poll::Ready(false)) };
        let layout = self.port.layout;
        self.poll_blank(Slot::OwnMark, cut.segment, layout.mark_start..layout.segment_bytes)
    }

    /// Whether a slot may be written: it reads as erased, every time, or nothing needs to be erased.
    fn poll_blank(
        &mut self,
        slot: Slot,
        segment: SegmentId,
        range: Range<u32>,
    ) -> Result<Poll<bool>, Error> {
        let (true, Some(erased)) = (self.port.caps.needs_erase, self.port.caps.erased) else {
            return Ok(Poll::Ready(!self.port.caps.needs_erase));
        };
        // Each turn settles the slot, or is one round more.
        loop {
            if let Some(known) = self.recovery.blanks.known[slot as usize] {
                return Ok(Poll::Ready(known));
            }
            let is_blank = ready!(self.poll_reads_as(erased, segment, &range)?);
            let blanks = &mut self.recovery.blanks;
            blanks.rounds += 1;
            if !is_blank || blanks.rounds == BLANK_ROUNDS {
                blanks.known[slot as usize] = Some(is_blank);
                blanks.rounds = 0;
                continue;
            }
            let page_bytes = self.port.layout.page_bytes();
            for at in range.clone().step_by(page_bytes as usize).chain([range.end - 1]) {
                self.port.pool.forget_clean(self.port.layout.page_at(segment, Offset(at)));
            }
        }
    }

    /// Whether all bytes of a range are this one.
    fn poll_reads_as(
        &mut self,
        byte: u8,
        segment: SegmentId,
        range: &Range<u32>,
    ) -> Result<Poll<bool>, Error> {
        let layout = self.port.layout;
        let mut at = range.start;
        while at < range.end {
            let page = layout.page_at(segment, Offset(at));
            let frame = ready!(self.port.resident(page, 2)?);
            let bytes = &self.port.pool.frame(frame)[layout.in_page(Offset(at)) as usize..];
            let bytes = &bytes[..bytes.len().min((range.end - at) as usize)];
            if bytes.iter().any(|&found| found != byte) {
                return Ok(Poll::Ready(false));
            }
            at += bytes.len() as u32;
        }
        Ok(Poll::Ready(true))
    }

    /// The place in the newest segment.
    fn place_behind(&self, tail: &Tail) -> Place {
        let layout = &self.port.layout;
        let mut safe = tail.end;
        let mut position = layout.padded(tail.end.end);
        if let (Some((GroupKind::Resume, at)), Some(resume)) = (tail.last, tail.last_resume) {
            // Nothing came behind the resume group, so the log still ends where it says. The new one takes the other of two
            // places behind that end: crashes in a row inside open use no more space, and the older one stands, with its
            // boot and its sequence, until the newer one is whole.
            safe = Boundary { end: resume.cut.0, digest: resume.digest };
            let first = layout.padded(resume.cut.0);
            let second = first + layout.padded(RESUME_GROUP_BYTES);
            if !self.port.caps.needs_erase {
                position = if at.0 == first { second } else { first };
            }
        }
        if self.port.caps.needs_erase && !self.cage.holds(Canary::ReissueOnNor) {
            let behind = layout.padded(position.max(tail.blank_from).max(tail.reach.0));
            // Half-charged cells may read as a whole group one day, behind which the resume group would stand: in another
            // segment, whose header records where this one ends, nobody looks at them again. Where free segments are few, the
            // log goes on here.
            let kept = if self.segments.count() < SPARING_SEGMENTS_MIN { 2 } else { 1 };
            let may_leave = self.limits.allow_merges() && self.segments.free() > kept;
            let is_torn = behind > position && may_leave;
            position = if is_torn { layout.data_end } else { behind };
        }
        let slots = SlotsFree { footer: false, mark: false };
        Place { header: tail.header, safe, position, slots }
    }

    /// This session's boot and its first sequence.
    fn number_session(&mut self, tail: &Tail) -> Result<(), Error> {
        self.recovery.boot_max = self.recovery.boot_max.max(tail.boot);
        let boot = self.recovery.boot_max.0.checked_add(1);
        self.boot = Boot(boot.unwrap_or(u32::MAX));
        if self.cage.holds(Canary::IncarnationReuse) {
            self.boot = self.recovery.boot_max;
        }
        let jumped = (self.recovery.seq_max.0 >> 32).checked_add(1).filter(|&jump| jump < 1 << 32);
        // A store that has no numbers left can still be read.
        if self.access == Access::ReadWrite && (boot.is_none() || jumped.is_none()) {
            return Err(Error::Exhausted);
        }
        self.next_seq = Seq(jumped.unwrap_or(0) << 32);
        if self.cage.holds(Canary::SeqReuse) {
            self.next_seq = Seq(self.recovery.seq_max.0 + 1);
        }
        Ok(())
    }

    /// The newest segment is whole up to the end that the next one's header records, so that header is true after all: the
    /// log goes on there, and the header is not written over, which alone tells the sequence it took.
    fn adopt(&mut self, next: &Unproven, cut: &Cut) -> Place {
        self.segments.set_used(cut.segment, cut.end.0);
        self.segments.open(next.header.segment, next.header.open_seq);
        if self.port.caps.needs_erase {
            // The mark that should tell of that end is not there, and its slot may be half written.
            self.segments.set_holds_end(next.header.segment);
        }
        let layout = &self.port.layout;
        let safe = Boundary { end: layout.data_start, digest: 0 };
        let mut position = layout.data_start;
        if self.port.caps.needs_erase {
            position = layout.padded(position.max(next.blank_from));
        }
        self.hints.start();
        self.recovery.newest.mark = MarkState::Unissued;
        let slots = SlotsFree { footer: true, mark: true };
        Place { header: next.header, safe, position, slots }
    }

    /// Writes the footer of a segment whose first one was torn, where the device allows it.
    fn complete_footer(&mut self, footer: Option<Footer>, cut: &Cut, tail: &Tail) {
        if footer.is_some_and(|footer| (footer.end, footer.digest) == (cut.end, cut.digest)) {
            return;
        }
        let (header, end) = (&tail.header, Boundary { end: cut.end.0, digest: cut.digest });
        let spare = self.head.spare.take();
        self.head = Head::new(HeadStart {
            segment: header.segment,
            open_seq: header.open_seq,
            header_boot: header.boot,
            cut: header.cut,
            seeds: self.scan_context().seeds(header.segment, header.open_seq, tail.boot),
            position: end.end,
            digest: end.digest,
            resumption: Resumption::Done,
        });
        self.head.spare = spare;
        let jumped = core::mem::replace(&mut self.next_seq, Seq(self.recovery.seq_max.0 + 1));
        self.hints.give_up();
        let footer = !self.port.caps.needs_erase && self.access == Access::ReadWrite;
        self.head.slots = SlotsFree { footer, mark: footer };
        if self.port.pool.available() > 0 && self.port.room() > 0 {
            self.seal(end);
        }
        self.next_seq = jumped;
        self.hints.start();
    }

    fn place_head(&mut self, place: &Place, tail: &Tail) {
        let header = &place.header;
        let spare = self.head.spare.take();
        self.head = Head::new(HeadStart {
            segment: header.segment,
            open_seq: header.open_seq,
            header_boot: header.boot,
            cut: header.cut,
            seeds: self.scan_context().seeds(header.segment, header.open_seq, self.boot),
            position: place.position,
            digest: place.safe.digest,
            resumption: Resumption::Needed,
        });
        self.head.safe = place.safe;
        self.head.spare = spare;
        self.head.slots = place.slots;
        self.head.mark = self.recovery.newest.mark;
        if self.cage.holds(Canary::AppendAfterTorn) {
            let SegmentHeader { segment, open_seq, .. } = tail.header;
            self.head.resumption = Resumption::Done;
            self.head.seeds = self.scan_context().seeds(segment, open_seq, tail.boot);
        }
        self.head.seq_max = self.recovery.accepted;
        self.published_seq = self.recovery.accepted;
    }
}
