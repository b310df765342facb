//! The one reader of groups: fed with bytes piece by piece, it finds the records and proves the group whole or not.
//!
//! Recovery, checks and (later) merges all read groups through this parser, so none of them can see a record that the
//! others would not accept. A record counts only once [`Event::Done`] came: until then its group may still be torn.

use super::bytes::{round_up, u64_at};
use super::checksum::Checksums;
use super::group::{
    GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES, GroupEnd, GroupHeader, GroupKind, GroupTrailer, Seeds,
    TRAILER_KIND,
};
use super::record::{
    self, EXPLICIT_SEQ_BYTES, FLAG_EXPLICIT_SEQ, RECORD_HEADER_BYTES, RecordHeader, RecordKind,
    SHORT_HEADER_BYTES,
};
use crate::types::{Offset, Seq};

/// What the parser found in the bytes it was fed.
#[derive(Debug)]
pub enum Event<'b> {
    /// Everything was consumed; more bytes are needed.
    More,
    /// A record starts: its header, its offset, its sequence. Its body follows as [`Event::Body`].
    Record(RecordHeader, Offset, Seq),
    /// A piece of the record's key and value.
    Body(&'b [u8]),
    /// The group is whole.
    Done(ParsedGroup),
    /// Not a group, or a torn one.
    Bad,
}

/// A whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedGroup {
    /// Where it starts.
    pub start: Offset,
    /// Where the next group may start.
    pub next: Offset,
    /// First byte behind the trailer.
    pub end: Offset,
    /// Its header.
    pub header: GroupHeader,
    /// Its trailer.
    pub trailer: GroupTrailer,
}

impl ParsedGroup {
    /// The sequence behind those that the group took.
    #[must_use]
    pub const fn next_seq(&self) -> Seq {
        self.header.next_seq(self.trailer.count)
    }
}

/// Whether record checksums are compared as well as the group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: the group was proven whole before.
    Nothing,
    /// The group's checksum only: it covers every byte.
    Group,
    /// Every record's own checksum as well.
    Records,
}

/// Where groups may lie and how their records are placed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// First offset behind the groups of the segment.
    pub data_end: u32,
    /// Alignment of records.
    pub align: u32,
    /// Padding unit of commits.
    pub commit_unit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Item,
    /// The explicit sequence of a record whose header was taken.
    Seq,
    Body {
        remaining: u32,
    },
    Pad {
        remaining: u32,
    },
    Ended,
}

/// The parser of one group. Plain data: copy it to go back to where it was.
#[derive(Clone, Copy, Debug)]
pub struct GroupParser {
    sums: Checksums,
    seeds: Seeds,
    bounds: Bounds,
    verify: Verify,
    start: Offset,
    position: u32,
    phase: Phase,
    held: [u8; 16],
    held_bytes: usize,
    checksum: u64,
    header: GroupHeader,
    count: u32,
    record: RecordHeader,
    record_at: Offset,
    record_seq: Seq,
    record_bytes: [u8; RECORD_HEADER_BYTES as usize],
    inner: u32,
    /// The sequence of a short record at the start, where it is known.
    expected: Option<Seq>,
}

impl GroupParser {
    /// A parser for a group at `start`.
    #[must_use]
    pub fn new(
        start: Offset,
        seeds: Seeds,
        bounds: Bounds,
        verify: Verify,
        sums: Checksums,
    ) -> Self {
        Self {
            sums,
            seeds,
            bounds,
            verify,
            start,
            position: start.0,
            phase: Phase::Header,
            held: [0; 16],
            held_bytes: 0,
            checksum: seeds.group(start, &sums),
            header: GroupHeader { kind: GroupKind::Data, first_seq: Seq(0) },
            count: 0,
            record: RecordHeader {
                kind: RecordKind::Value,
                flags: 0,
                key_bytes: 0,
                value_bytes: 0,
                checksum: 0,
            },
            record_at: start,
            record_seq: Seq(0),
            record_bytes: [0; RECORD_HEADER_BYTES as usize],
            inner: 0,
            expected: None,
        }
    }

    /// The same parser for a place where the group before it is known: a short record there has this sequence.
    #[must_use]
    pub const fn expecting(mut self, seq: Option<Seq>) -> Self {
        self.expected = seq;
        self
    }

    /// Offset of the next byte that the parser wants.
    #[must_use]
    pub const fn position(&self) -> Offset {
        Offset(self.position)
    }

    /// First offset behind everything that the group announced so far, whole or not: where its bytes may have been written.
    #[must_use]
    pub fn reach(&self) -> Offset {
        let announced = match self.phase {
            Phase::Body { remaining } | Phase::Pad { remaining } => remaining,
            Phase::Seq => self.record.record_bytes() - RECORD_HEADER_BYTES,
            Phase::Header | Phase::Item | Phase::Ended => 0,
        };
        Offset(self.position.saturating_add(announced).min(self.bounds.data_end))
    }

    /// The group's header, once a record or the end was seen.
    #[must_use]
    pub const fn header(&self) -> GroupHeader {
        self.header
    }

    /// Takes bytes from [`position`](Self::position) on; returns how many it used and what it found in them.
    pub fn feed<'b>(&mut self, bytes: &'b [u8]) -> (usize, Event<'b>) {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if rest.is_empty()
                && !matches!(self.phase, Phase::Body { remaining: 0 } | Phase::Pad { remaining: 0 })
            {
                return (used, Event::More);
            }
            match self.phase {
                Phase::Header
                    if record::is_short(if self.held_bytes > 0 {
                        self.held[0]
                    } else {
                        rest[0]
                    }) =>
                {
                    let Some(held) = self.collect(rest, SHORT_HEADER_BYTES as usize, &mut used)
                    else {
                        return (used, Event::More);
                    };
                    return (used, self.short(&held));
                }
                Phase::Header => match self.collect(rest, GROUP_HEADER_BYTES as usize, &mut used) {
                    None => return (used, Event::More),
                    Some(held) => {
                        let Some(header) =
                            GroupHeader::decode(&held, self.start, &self.seeds, &self.sums)
                        else {
                            return (used, self.bad());
                        };
                        self.header = header;
                        self.cover(&held);
                        self.phase = Phase::Item;
                    }
                },
                Phase::Item => {
                    let kind = if self.held_bytes > 0 { self.held[0] } else { rest[0] };
                    let want = if kind == TRAILER_KIND {
                        GROUP_TRAILER_BYTES
                    } else {
                        RECORD_HEADER_BYTES
                    };
                    let Some(held) = self.collect(rest, want as usize, &mut used) else {
                        return (used, Event::More);
                    };
                    if kind == TRAILER_KIND {
                        return (used, self.trailer(&held));
                    }
                    if let Some(event) = self.item(&held) {
                        return (used, event);
                    }
                }
                Phase::Seq => {
                    let Some(held) = self.collect(rest, EXPLICIT_SEQ_BYTES as usize, &mut used)
                    else {
                        return (used, Event::More);
                    };
                    return (used, self.explicit(&held));
                }
                Phase::Body { remaining: 0 } if self.record.is_short() => {
                    return (used, self.short_end());
                }
                Phase::Body { remaining: 0 } => {
                    if self.verify == Verify::Records && !self.record_is_whole() {
                        return (used, self.bad());
                    }
                    let next = round_up(self.position, self.bounds.align);
                    self.phase = Phase::Pad { remaining: next - self.position };
                }
                Phase::Body { remaining } => {
                    let piece = &rest[..rest.len().min(remaining as usize)];
                    self.cover(piece);
                    if self.verify == Verify::Records || self.record.is_short() {
                        self.inner = (self.sums.crc32c)(self.inner, piece);
                    }
                    self.phase = Phase::Body { remaining: remaining - piece.len() as u32 };
                    self.position += piece.len() as u32;
                    return (used + piece.len(), Event::Body(piece));
                }
                Phase::Pad { remaining: 0 } => self.phase = Phase::Item,
                Phase::Pad { remaining } => {
                    let piece = &rest[..rest.len().min(remaining as usize)];
                    self.cover(piece);
                    self.phase = Phase::Pad { remaining: remaining - piece.len() as u32 };
                    self.position += piece.len() as u32;
                    used += piece.len();
                }
                Phase::Ended => return (used, Event::Bad),
            }
        }
    }

    fn cover(&mut self, bytes: &[u8]) {
        if self.verify != Verify::Nothing {
            self.checksum = (self.sums.crc64)(self.checksum, bytes);
        }
    }

    fn bad<'b>(&mut self) -> Event<'b> {
        self.phase = Phase::Ended;
        Event::Bad
    }

    /// Gathers `want` bytes that may come in pieces.
    fn collect(&mut self, rest: &[u8], want: usize, used: &mut usize) -> Option<[u8; 16]> {
        let take = rest.len().min(want - self.held_bytes);
        self.held[self.held_bytes..self.held_bytes + take].copy_from_slice(&rest[..take]);
        self.held_bytes += take;
        self.position += take as u32;
        *used += take;
        if self.held_bytes < want {
            return None;
        }
        self.held_bytes = 0;
        let mut held = self.held;
        held[want..].fill(0);
        // A group that would not fit its segment is no group, whatever its lengths say.
        (self.position <= self.bounds.data_end).then_some(held).or_else(|| {
            self.phase = Phase::Ended;
            Some([0; 16])
        })
    }

    /// Takes a record's header; no event yet where its sequence follows.
    fn item<'b>(&mut self, held: &[u8; 16]) -> Option<Event<'b>> {
        let header_bytes = &held[..RECORD_HEADER_BYTES as usize];
        let record = RecordHeader::decode(header_bytes).filter(|record| !record.is_short());
        let Some(record) = record else { return Some(self.bad()) };
        let fits_kind = match self.header.kind {
            GroupKind::Data => match record.kind {
                RecordKind::Announcement => record.key_bytes == 0 && record.flags == 0,
                kind => kind.entry_kind().is_some() && record.key_bytes > 0,
            },
            GroupKind::Hints => record.kind == RecordKind::Hints && self.count == 0,
            GroupKind::Resume => record.kind == RecordKind::Resume && self.count == 0,
            GroupKind::Close => false,
        } && (self.header.kind == GroupKind::Data || record.flags == 0);
        let at = self.position - RECORD_HEADER_BYTES;
        let body = record.record_bytes() - RECORD_HEADER_BYTES;
        let room = self.bounds.data_end.saturating_sub(self.position + GROUP_TRAILER_BYTES);
        if !fits_kind
            || body > room
            || self.count >= u32::from(u16::MAX)
            || self.phase == Phase::Ended
        {
            return Some(self.bad());
        }
        self.cover(header_bytes);
        self.record = record;
        self.record_at = Offset(at);
        self.record_seq = Seq(self.header.first_seq.0.saturating_add(u64::from(self.count)));
        self.record_bytes.copy_from_slice(header_bytes);
        self.inner = 0;
        self.count += 1;
        if record.flags & FLAG_EXPLICIT_SEQ != 0 {
            self.phase = Phase::Seq;
            return None;
        }
        self.phase = Phase::Body { remaining: body };
        Some(Event::Record(record, Offset(at), self.record_seq))
    }

    /// Takes the header of a short record.
    fn short<'b>(&mut self, held: &[u8; 16]) -> Event<'b> {
        let record = RecordHeader::decode(&held[..SHORT_HEADER_BYTES as usize]);
        let room = self.bounds.data_end.saturating_sub(self.start.0);
        let (Some(record), Some(seq)) =
            (record.filter(|r| r.record_bytes() <= room), self.expected)
        else {
            return self.bad();
        };
        if self.phase == Phase::Ended {
            return self.bad();
        }
        self.header = GroupHeader { kind: GroupKind::Data, first_seq: seq };
        self.record = record;
        self.record_at = self.start;
        self.record_seq = seq;
        self.record_bytes = [0; RECORD_HEADER_BYTES as usize];
        self.record_bytes[..SHORT_HEADER_BYTES as usize]
            .copy_from_slice(&held[..SHORT_HEADER_BYTES as usize]);
        self.inner = 0;
        self.count = 1;
        self.phase = Phase::Body { remaining: record.record_bytes() - SHORT_HEADER_BYTES };
        Event::Record(record, self.start, seq)
    }

    /// The end of a short record: what its trailer would say.
    fn short_end<'b>(&mut self) -> Event<'b> {
        self.phase = Phase::Ended;
        if self.verify != Verify::Nothing && !self.record_is_whole() {
            return Event::Bad;
        }
        let claims = record::short_claims(self.record_bytes[0]);
        let trailer = GroupTrailer {
            count: 1,
            flushed: if claims { self.start } else { Offset(0) },
            end: GroupEnd::Padded,
            checksum: u64::from(self.record.checksum),
        };
        let end = Offset(self.position);
        let next = Offset(round_up(end.0, self.bounds.commit_unit));
        Event::Done(ParsedGroup { start: self.start, next, end, header: self.header, trailer })
    }

    /// Takes the explicit sequence of the record whose header was taken.
    fn explicit<'b>(&mut self, held: &[u8; 16]) -> Event<'b> {
        let bytes = &held[..EXPLICIT_SEQ_BYTES as usize];
        self.record_seq = Seq(u64_at(bytes, 0));
        // A copy is as old as what it copies: it was given out before this group's first sequence.
        if self.phase == Phase::Ended
            || self.record_seq.0 == 0
            || self.record_seq >= self.header.first_seq
        {
            return self.bad();
        }
        self.cover(bytes);
        let remaining = self.record.record_bytes() - self.record.prefix_bytes();
        self.phase = Phase::Body { remaining };
        Event::Record(self.record, self.record_at, self.record_seq)
    }

    fn record_is_whole(&self) -> bool {
        let place = (self.record_at, self.record_seq);
        record::checksum(&self.record_bytes, place, self.inner, self.seeds.record, &self.sums)
            == self.record.checksum
    }

    fn trailer<'b>(&mut self, held: &[u8; 16]) -> Event<'b> {
        let ended = self.phase == Phase::Ended;
        self.phase = Phase::Ended;
        let Some(trailer) = GroupTrailer::decode(held) else { return Event::Bad };
        let whole = self.verify == Verify::Nothing
            || (self.sums.crc64)(self.checksum, &held[..8]) == trailer.checksum;
        if ended || !whole || u32::from(trailer.count) != self.count {
            return Event::Bad;
        }
        let end = self.position;
        let unit = if trailer.end == GroupEnd::Padded {
            self.bounds.commit_unit
        } else {
            self.bounds.align
        };
        Event::Done(ParsedGroup {
            start: self.start,
            next: Offset(round_up(end, unit)),
            end: Offset(end),
            header: self.header,
            trailer,
        })
    }
}
