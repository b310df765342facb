//! Scanning a segment's groups in log order. Each group is read twice: once to prove it whole, once to give out its
//! records; the second time its pages are usually still in the pool.

use core::task::Poll;

use crate::canary::{Cage, Canary};
use crate::engine::{Port, ready};
use crate::error::Error;
use crate::format::checksum::Checksums;
use crate::format::group::{
    ANNOUNCEMENT_BYTES, Announcement, GroupKind, RESUME_BYTES, Resume, Seeds,
};
use crate::format::parser::{Bounds, Event, GroupParser, ParsedGroup, Verify};
use crate::format::record::{RecordHeader, RecordKind};
use crate::keydir::FingerprintHasher;
use crate::types::{Boot, Fingerprint, Offset, SegmentId, Seq};

/// Pages read ahead of a scan.
const AHEAD: u32 = 64;

/// What scanning needs to know of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanContext {
    pub(crate) cage: Cage,
    pub(crate) sums: Checksums,
    pub(crate) store_id: [u8; 16],
    pub(crate) secret: [u8; 16],
    pub(crate) bounds: Bounds,
}

/// What a scan met.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScanEvent {
    /// A record of a whole group.
    Record { header: RecordHeader, offset: Offset, seq: Seq, fingerprint: Fingerprint },
    /// A record that frees a segment.
    Freed(Announcement),
    /// A group is whole; its records (if it has any for the keydir) follow.
    Group(ParsedGroup, Option<Resume>),
    /// Every record of the group was given out.
    GroupEnd,
    /// No whole group at the scan's position.
    Bad,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Proving the group at the scan's position.
    Prove,
    /// Giving out the records of a proven group.
    Emit,
}

/// The record that is being given out.
#[derive(Clone, Debug)]
struct Emitted {
    header: RecordHeader,
    offset: Offset,
    seq: Seq,
    hasher: FingerprintHasher,
    body_done: u32,
    announcement: [u8; ANNOUNCEMENT_BYTES],
}

/// A scan of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) segment: SegmentId,
    pub(crate) open_seq: Seq,
    pub(crate) boot: Boot,
    /// Where the next group starts.
    pub(crate) position: Offset,
    /// Digest of the groups so far.
    pub(crate) digest: u64,
    /// The last group's kind and start.
    pub(crate) last: Option<(GroupKind, Offset)>,
    /// What the last group said, if it was a resume group.
    pub(crate) last_resume: Option<Resume>,
    /// First offset behind all that any group announced: on flash, what lies before it may have been programmed.
    pub(crate) reach: Offset,
    /// The sequence of a short record at the position, where what comes before it is known.
    pub(crate) next_seq: Option<Seq>,
    verify: Verify,
    stage: Stage,
    parser: Option<GroupParser>,
    emitted: Option<Emitted>,
    resume: [u8; RESUME_BYTES],
    resume_done: usize,
}

impl Scan {
    pub(crate) fn new(incarnation: (SegmentId, Seq, Boot), start: Offset, verify: Verify) -> Self {
        Self {
            segment: incarnation.0,
            open_seq: incarnation.1,
            boot: incarnation.2,
            position: start,
            digest: 0,
            last: None,
            last_resume: None,
            reach: start,
            next_seq: None,
            verify,
            stage: Stage::Prove,
            parser: None,
            emitted: None,
            resume: [0; RESUME_BYTES],
            resume_done: 0,
        }
    }

    /// A scan of a whole segment, whose first record has the sequence behind that of its opening.
    pub(crate) fn of_segment(
        incarnation: (SegmentId, Seq, Boot),
        start: Offset,
        verify: Verify,
    ) -> Self {
        let next_seq = Some(Seq(incarnation.1.0.saturating_add(1)));
        Self { next_seq, ..Self::new(incarnation, start, verify) }
    }

    /// A parser for the group at the position, whose first byte tells whether it is a resume group.
    fn parser(&self, first_byte: u8, context: &ScanContext) -> GroupParser {
        let boot = if first_byte == GroupKind::Resume as u8 { Boot(0) } else { self.boot };
        let seeds = context.seeds(self.segment, self.open_seq, boot);
        let believed =
            context.cage.holds(Canary::KeyBeforeCrc) || !matches!(self.stage, Stage::Prove);
        let verify = if believed { Verify::Nothing } else { self.verify };
        GroupParser::new(self.position, seeds, context.bounds, verify, context.sums)
            .expecting(self.next_seq)
    }

    /// The next event.
    pub(crate) fn step(
        &mut self,
        port: &mut Port<'_>,
        context: &ScanContext,
    ) -> Result<Poll<ScanEvent>, Error> {
        // Each turn takes at least one byte of the segment or returns.
        loop {
            if let Some(event) = ready!(self.step_page(port, context, AHEAD)?) {
                return Ok(Poll::Ready(event));
            }
        }
    }

    /// One step of at most a page: an event, or none yet.
    pub(crate) fn step_page(
        &mut self,
        port: &mut Port<'_>,
        context: &ScanContext,
        ahead: u32,
    ) -> Result<Poll<Option<ScanEvent>>, Error> {
        let at = self.reading_at();
        if at.0 >= context.bounds.data_end {
            self.parser = None;
            return Ok(Poll::Ready(Some(ScanEvent::Bad)));
        }
        let frame = ready!(port.resident(port.layout.page_at(self.segment, at), ahead)?);
        let bytes = &port.pool.frame(frame)[port.layout.in_page(at) as usize..];
        let mut parser = match self.parser.take() {
            Some(parser) => parser,
            None => self.parser(bytes[0], context),
        };
        let (_, event) = parser.feed(bytes);
        self.reach = self.reach.max(parser.reach());
        let found = match self.stage {
            Stage::Prove => self.prove(event, context),
            Stage::Emit => self.emit(event, context),
        };
        Ok(Poll::Ready(match found {
            Found::Nothing => {
                self.parser = Some(parser);
                None
            }
            Found::Event(event @ (ScanEvent::Record { .. } | ScanEvent::Freed(_))) => {
                self.parser = Some(parser);
                Some(event)
            }
            Found::Event(event) => Some(event),
        }))
    }

    /// The byte that is read next.
    pub(crate) fn reading_at(&self) -> Offset {
        self.parser.as_ref().map_or(self.position, GroupParser::position)
    }

    /// Whether records of a proven group are being given out.
    pub(crate) const fn is_emitting(&self) -> bool {
        matches!(self.stage, Stage::Emit)
    }

    /// Goes on at another place than where a bad group stands.
    pub(crate) fn skip_to(&mut self, position: Offset) {
        self.parser = None;
        self.emitted = None;
        self.stage = Stage::Prove;
        self.position = position;
        self.next_seq = None;
    }

    fn prove(&mut self, event: Event<'_>, context: &ScanContext) -> Found {
        match event {
            Event::More => Found::Nothing,
            Event::Record(..) => {
                self.resume_done = 0;
                Found::Nothing
            }
            Event::Body(bytes) => {
                // Only a resume group's value is of interest, and that is as long as this.
                let take = bytes.len().min(RESUME_BYTES - self.resume_done);
                self.resume[self.resume_done..self.resume_done + take]
                    .copy_from_slice(&bytes[..take]);
                self.resume_done += take;
                Found::Nothing
            }
            Event::Bad => Found::Event(ScanEvent::Bad),
            Event::Done(group) => {
                let kind = group.header.kind;
                let resume = Resume::decode(&self.resume).filter(|_| kind == GroupKind::Resume);
                if let Some(resume) = resume {
                    // Of the two places for resume groups one may hold an older one, of a session that is over.
                    if resume.boot <= self.boot {
                        return Found::Event(ScanEvent::Bad);
                    }
                    self.boot = resume.boot;
                    self.digest = resume.digest;
                }
                self.last_resume = resume;
                self.last = Some((kind, self.position));
                self.digest =
                    (context.sums.crc64)(self.digest, &group.trailer.checksum.to_le_bytes());
                if kind == GroupKind::Data && group.trailer.count > 0 {
                    self.stage = Stage::Emit;
                } else {
                    self.pass(&group);
                }
                Found::Event(ScanEvent::Group(group, resume))
            }
        }
    }

    fn emit(&mut self, event: Event<'_>, context: &ScanContext) -> Found {
        match event {
            Event::More => Found::Nothing,
            Event::Record(header, offset, seq) => {
                let hasher = context.hasher(header.kind);
                let announcement = [0; ANNOUNCEMENT_BYTES];
                self.emitted =
                    Some(Emitted { header, offset, seq, hasher, body_done: 0, announcement });
                Found::Nothing
            }
            Event::Body(bytes) => {
                let Some(emitted) = &mut self.emitted else { return Found::Nothing };
                if emitted.header.kind == RecordKind::Announcement {
                    return self.emit_announcement(bytes);
                }
                let of_key = (u32::from(emitted.header.key_bytes) - emitted.body_done)
                    .min(bytes.len() as u32);
                emitted.hasher.write(&bytes[..of_key as usize]);
                emitted.body_done += of_key;
                if emitted.body_done < u32::from(emitted.header.key_bytes) {
                    return Found::Nothing;
                }
                let Some(emitted) = self.emitted.take() else { return Found::Nothing };
                Found::Event(ScanEvent::Record {
                    header: emitted.header,
                    offset: emitted.offset,
                    seq: emitted.seq,
                    fingerprint: emitted.hasher.finish(),
                })
            }
            Event::Done(group) => {
                self.stage = Stage::Prove;
                self.pass(&group);
                Found::Event(ScanEvent::GroupEnd)
            }
            // It was whole a moment ago: the device changed it under us.
            Event::Bad => Found::Event(ScanEvent::Bad),
        }
    }

    fn pass(&mut self, group: &ParsedGroup) {
        self.position = group.next;
        self.next_seq = Some(group.next_seq());
    }

    fn emit_announcement(&mut self, bytes: &[u8]) -> Found {
        let Some(emitted) = &mut self.emitted else { return Found::Nothing };
        let done = (emitted.body_done as usize).min(ANNOUNCEMENT_BYTES);
        let take = bytes.len().min(ANNOUNCEMENT_BYTES - done);
        emitted.announcement[done..done + take].copy_from_slice(&bytes[..take]);
        emitted.body_done += bytes.len() as u32;
        if emitted.body_done < emitted.header.value_bytes {
            return Found::Nothing;
        }
        let Some(emitted) = self.emitted.take() else { return Found::Nothing };
        let length = (emitted.header.value_bytes as usize).min(ANNOUNCEMENT_BYTES + 1);
        match Announcement::decode(emitted.announcement.get(..length).unwrap_or(&[])) {
            Some(announcement) => Found::Event(ScanEvent::Freed(announcement)),
            None => Found::Nothing,
        }
    }
}

enum Found {
    Nothing,
    Event(ScanEvent),
}

impl ScanContext {
    /// The seeds of an incarnation in a boot.
    pub(crate) fn seeds(&self, segment: SegmentId, open_seq: Seq, boot: Boot) -> Seeds {
        let boot = if self.cage.holds(Canary::NoSalt) { Boot(boot.0.min(1)) } else { boot };
        Seeds::new(&self.store_id, segment, open_seq, boot, &self.sums)
    }

    /// The hasher for keys of records of a kind.
    pub(crate) fn hasher(&self, kind: RecordKind) -> FingerprintHasher {
        if kind == RecordKind::Chunk {
            FingerprintHasher::new(&self.secret.map(|byte| byte ^ 0xa5))
        } else {
            FingerprintHasher::new(&self.secret)
        }
    }
}
