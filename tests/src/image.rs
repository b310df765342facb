//! Looking into images of stores, and changing them, with the public encoders of `emberkv_core::format`: what the
//! format and decision suites and the image fuzzer are made of.
//!
//! The walk over groups here is written apart from recovery's, so that the two can disagree.

use emberkv_core::Checksums;
use emberkv_core::format::bytes::{round_up, u64_at};
use emberkv_core::format::footer::{
    Footer, HintGroup, decode_footer, encode_footer, hint_group_at,
};
use emberkv_core::format::group::{
    GROUP_HEADER_BYTES, GroupEnd, GroupHeader, GroupKind, GroupTrailer, RESUME_BYTES, Resume, Seeds,
};
use emberkv_core::format::layout::Layout;
use emberkv_core::format::parser::{Bounds, Event, GroupParser, ParsedGroup, Verify};
use emberkv_core::format::record::{
    self, FLAG_EXPLICIT_SEQ, RECORD_HEADER_BYTES, RecordHeader, RecordKind, RecordShape,
};
use emberkv_core::format::segment::{
    HEADER_FIXED_BYTES, HeaderPlace, SegmentHeader, decode_header, encode_header,
};
use emberkv_core::format::superblock::{SUPERBLOCK_BYTES, Superblock};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};

const SUMS: Checksums = Checksums::PORTABLE;

/// The bytes of a device with a store on it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The superblock that they had when they were taken.
    pub block: Superblock,
    /// The layout that follows from it.
    pub layout: Layout,
}

/// One record of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its header.
    pub header: RecordHeader,
    /// Where it starts.
    pub offset: Offset,
    /// Its sequence.
    pub seq: Seq,
}

/// One whole group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGroup {
    /// Place, header and trailer.
    pub parsed: ParsedGroup,
    /// The boot in its seeds; 0 for a resume group.
    pub boot: Boot,
    /// Its records.
    pub records: Vec<FoundRecord>,
    /// What it says, if it is a resume group.
    pub resume: Option<Resume>,
}

/// A group to be written.
#[derive(Clone, Debug)]
pub struct NewGroup<'a> {
    /// Its kind.
    pub kind: GroupKind,
    /// Sequence of the first record.
    pub first_seq: Seq,
    /// Kind, key and value of its records.
    pub records: Vec<(RecordKind, &'a [u8], &'a [u8])>,
    /// What its trailer says.
    pub flushed: Offset,
    /// What follows it.
    pub end: GroupEnd,
}

/// What a copy's record carries besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its flags; its sequence is written where they say that it is explicit.
    pub flags: u8,
    /// The sequence of what was copied.
    pub seq: Seq,
}

impl Image {
    /// An image of a store that is read with pages of `page_bytes`; `None` where no superblock copy is valid.
    #[must_use]
    pub fn new(bytes: Vec<u8>, page_bytes: u32) -> Option<Self> {
        let block = (0..bytes.len())
            .step_by(4096)
            .find_map(|at| Superblock::decode(&SUMS, &bytes[at..]).ok())?;
        let layout = Layout::new(&block, page_bytes).ok()?;
        Some(Self { bytes, block, layout })
    }

    /// Segments that the device has.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.layout.segments_in(self.bytes.len() as u64)
    }

    /// The index of a place in `bytes`.
    #[must_use]
    pub fn at(&self, segment: SegmentId, offset: u32) -> usize {
        self.layout.device_address(self.layout.log_address(segment, Offset(offset))) as usize
    }

    /// The bytes of a segment.
    #[must_use]
    pub fn segment(&self, segment: SegmentId) -> &[u8] {
        let start = self.at(segment, 0);
        &self.bytes[start..start + self.layout.segment_bytes as usize]
    }

    /// The bytes of a segment, to be changed.
    pub fn segment_mut(&mut self, segment: SegmentId) -> &mut [u8] {
        let start = self.at(segment, 0);
        &mut self.bytes[start..start + self.layout.segment_bytes as usize]
    }

    fn slot_of(&self, place: HeaderPlace) -> std::ops::Range<usize> {
        let start = match place {
            HeaderPlace::Own(segment) => self.at(segment, 0),
            HeaderPlace::Mark(segment, _) => self.at(segment, self.layout.mark_start),
        };
        start..start + self.layout.header_slot as usize
    }

    fn bitmap_bytes(&self) -> u32 {
        self.layout.segments_max.div_ceil(8)
    }

    /// The header copy at a place.
    #[must_use]
    pub fn header(&self, place: HeaderPlace) -> Option<SegmentHeader> {
        let slot = &self.bytes[self.slot_of(place)];
        decode_header(slot, place, &SUMS, &self.block.store_id, self.bitmap_bytes())
    }

    /// Writes a header copy; the bitmap that lies there stays.
    pub fn put_header(&mut self, place: HeaderPlace, header: &SegmentHeader) {
        let (range, bitmap_bytes) = (self.slot_of(place), self.bitmap_bytes());
        let slot = &mut self.bytes[range];
        encode_header(header, place, &SUMS, &self.block.store_id, slot, bitmap_bytes);
    }

    /// The bitmap at a header's place.
    pub fn bitmap_mut(&mut self, place: HeaderPlace) -> &mut [u8] {
        let start = self.slot_of(place).start + HEADER_FIXED_BYTES as usize;
        let bytes = self.bitmap_bytes() as usize;
        &mut self.bytes[start..start + bytes]
    }

    /// Fills the slot of a header copy.
    pub fn fill_header(&mut self, place: HeaderPlace, byte: u8) {
        let range = self.slot_of(place);
        self.bytes[range].fill(byte);
    }

    /// The segments with a valid own header, the newest last.
    #[must_use]
    pub fn headers(&self) -> Vec<SegmentHeader> {
        let mut found: Vec<_> = (0..self.segments())
            .filter_map(|index| self.header(HeaderPlace::Own(SegmentId(index))))
            .collect();
        found.sort_by_key(|header| header.open_seq);
        found
    }

    fn footer_slot(&self, segment: SegmentId) -> std::ops::Range<usize> {
        self.at(segment, self.layout.data_end)..self.at(segment, self.layout.mark_start)
    }

    /// The footer of a segment, and its list.
    #[must_use]
    pub fn footer(&self, segment: SegmentId) -> Option<(Footer, Vec<HintGroup>)> {
        let slot = &self.bytes[self.footer_slot(segment)];
        let footer = decode_footer(slot, segment, &SUMS, &self.block.store_id)?;
        let list = (0..footer.hint_groups).map(|index| hint_group_at(slot, index)).collect();
        Some((footer, list))
    }

    /// Writes a footer.
    pub fn put_footer(&mut self, footer: &Footer, list: &[HintGroup]) {
        let range = self.footer_slot(footer.header.segment);
        let slot = &mut self.bytes[range];
        encode_footer(footer, list, &SUMS, &self.block.store_id, slot);
    }

    /// Fills the slot of a footer.
    pub fn fill_footer(&mut self, segment: SegmentId, byte: u8) {
        let range = self.footer_slot(segment);
        self.bytes[range].fill(byte);
    }

    /// The seeds of groups of a segment.
    #[must_use]
    pub fn seeds(&self, header: &SegmentHeader, boot: Boot) -> Seeds {
        Seeds::new(&self.block.store_id, header.segment, header.open_seq, boot, &SUMS)
    }

    const fn bounds(&self) -> Bounds {
        Bounds {
            data_end: self.layout.data_end,
            align: self.layout.align,
            commit_unit: self.layout.commit_unit,
        }
    }

    /// The group at a place, if a whole one is there, every record of it verified.
    #[must_use]
    pub fn group(&self, header: &SegmentHeader, start: u32, boot: Boot) -> Option<FoundGroup> {
        self.group_behind(header, start, boot, None)
    }

    /// The same, where the sequence that a short record must have is known.
    fn group_behind(
        &self,
        header: &SegmentHeader,
        start: u32,
        boot: Boot,
        seq: Option<Seq>,
    ) -> Option<FoundGroup> {
        let bytes = self.segment(header.segment).get(start as usize..)?;
        let boot = if bytes.first() == Some(&(GroupKind::Resume as u8)) { Boot(0) } else { boot };
        let seeds = self.seeds(header, boot);
        let mut parser =
            GroupParser::new(Offset(start), seeds, self.bounds(), Verify::Records, SUMS)
                .expecting(seq);
        let (mut at, mut records, mut body) = (0, Vec::new(), Vec::new());
        loop {
            let (used, event) = parser.feed(&bytes[at..]);
            at += used;
            match event {
                Event::More | Event::Bad => return None,
                Event::Record(header, offset, seq) => {
                    records.push(FoundRecord { header, offset, seq });
                    body.clear();
                }
                Event::Body(piece) => body.extend_from_slice(piece),
                Event::Done(parsed) => {
                    let is_resume = parsed.header.kind == GroupKind::Resume;
                    let resume = Resume::decode(&body).filter(|_| is_resume);
                    return Some(FoundGroup { parsed, boot, records, resume });
                }
            }
        }
    }

    /// The whole groups of a segment: up to its first place without one, and on from the resume group that records it.
    #[must_use]
    pub fn groups(&self, header: &SegmentHeader) -> Vec<FoundGroup> {
        let (mut groups, mut at, mut boot) = (Vec::new(), self.layout.data_start, header.boot);
        let mut seq = Seq(header.open_seq.0 + 1);
        while at < self.layout.data_end {
            let here = self.group_behind(header, at, boot, Some(seq));
            let here = here.filter(|group| goes_on(group, boot));
            let found = here.or_else(|| self.resumed(header, at, boot));
            let Some(group) = found else { break };
            boot = group.resume.map_or(boot, |resume| resume.boot);
            (at, seq) = (group.parsed.next.0, group.parsed.next_seq());
            groups.push(group);
        }
        groups
    }

    fn resumed(&self, header: &SegmentHeader, cut: u32, boot: Boot) -> Option<FoundGroup> {
        let unit = self.layout.commit_unit;
        (round_up(cut, unit)..self.layout.data_end)
            .step_by(unit as usize)
            .filter_map(|at| self.group(header, at, Boot(0)))
            .filter(|group| group.resume.is_some_and(|resume| resume.cut.0 <= cut))
            .filter(|group| goes_on(group, boot))
            .max_by_key(|group| group.resume.map(|resume| resume.boot))
    }

    /// Key and value of a record.
    #[must_use]
    pub fn body(&self, segment: SegmentId, record: &FoundRecord) -> (&[u8], &[u8]) {
        let start = record.offset.0 + record.header.prefix_bytes();
        let end = record.offset.0 + record.header.record_bytes();
        self.segment(segment)[start as usize..end as usize]
            .split_at(usize::from(record.header.key_bytes))
    }

    /// Encodes a group at a place; what its padding covers becomes zeros. Returns where the next one may start.
    pub fn put_group(
        &mut self,
        header: &SegmentHeader,
        start: u32,
        boot: Boot,
        group: &NewGroup<'_>,
    ) -> u32 {
        self.put_copies(header, start, boot, (group, &[]))
    }

    /// Encodes a group whose first records are copies.
    pub fn put_copies(
        &mut self,
        header: &SegmentHeader,
        start: u32,
        boot: Boot,
        (group, copies): (&NewGroup<'_>, &[Copied]),
    ) -> u32 {
        let seed_boot = if group.kind == GroupKind::Resume { Boot(0) } else { boot };
        let seeds = self.seeds(header, seed_boot);
        let head = GroupHeader { kind: group.kind, first_seq: group.first_seq };
        let mut bytes = head.encode(Offset(start), &seeds, &SUMS).to_vec();
        for (index, (kind, key, value)) in group.records.iter().enumerate() {
            let own = Copied { flags: 0, seq: Seq(group.first_seq.0 + index as u64) };
            let Copied { flags, seq } = copies.get(index).copied().unwrap_or(own);
            let inner = (SUMS.crc32c)((SUMS.crc32c)(0, key), value);
            let sizes = (key.len() as u16, value.len() as u32);
            let shape = RecordShape { flags, ..RecordShape::plain(*kind, sizes, inner) };
            let place = (Offset(start + bytes.len() as u32), seq);
            bytes.extend_from_slice(&record::encode_header(&shape, place, seeds.record, &SUMS));
            if flags & FLAG_EXPLICIT_SEQ != 0 {
                bytes.extend_from_slice(&seq.0.to_le_bytes());
            }
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
            bytes.resize(round_up(bytes.len() as u32, self.layout.align) as usize, 0);
        }
        let trailer = GroupTrailer {
            count: group.records.len() as u16,
            flushed: group.flushed,
            end: group.end,
            checksum: 0,
        };
        bytes.extend_from_slice(&trailer.encode_covered());
        let sum = (SUMS.crc64)(seeds.group(Offset(start), &SUMS), &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let unit = match group.end {
            GroupEnd::Padded => self.layout.commit_unit,
            GroupEnd::Adjacent => self.layout.align,
        };
        let next = round_up(start + bytes.len() as u32, unit);
        let target = &mut self.segment_mut(header.segment)[start as usize..next as usize];
        target.fill(0);
        target[..bytes.len()].copy_from_slice(&bytes);
        next
    }

    /// Encodes a resume group, padded.
    pub fn put_resume(
        &mut self,
        header: &SegmentHeader,
        start: u32,
        resume: Resume,
        seq: Seq,
    ) -> u32 {
        let value: [u8; RESUME_BYTES] = resume.encode();
        let group = NewGroup {
            kind: GroupKind::Resume,
            first_seq: seq,
            records: vec![(RecordKind::Resume, &[], &value)],
            flushed: resume.cut,
            end: GroupEnd::Padded,
        };
        self.put_group(header, start, Boot(0), &group)
    }

    /// Makes the checksums of a group right for the bytes that are there now: its header, its records as far as their
    /// lengths lead, and its trailer if they lead to one.
    pub fn fix_group(&mut self, header: &SegmentHeader, start: u32, boot: Boot) {
        let (align, data_end) = (self.layout.align, self.layout.data_end);
        let kind = self.segment(header.segment)[start as usize];
        let boot = if kind == GroupKind::Resume as u8 { Boot(0) } else { boot };
        let seeds = self.seeds(header, boot);
        let bytes = self.segment_mut(header.segment);
        let from = start as usize;
        let first_seq = u64_at(bytes, from + 8);
        if let Some(kind) = GroupKind::from_byte(kind) {
            let head = GroupHeader { kind, first_seq: Seq(first_seq) };
            bytes[from..from + GROUP_HEADER_BYTES as usize].copy_from_slice(&head.encode(
                Offset(start),
                &seeds,
                &SUMS,
            ));
        }
        let mut at = start + GROUP_HEADER_BYTES;
        // Each turn moves on by a record header at least.
        for index in 0.. {
            let here = at as usize;
            if at + 16 > data_end {
                return;
            }
            if GroupTrailer::decode(&bytes[here..here + 16]).is_some() {
                let sum = (SUMS.crc64)(seeds.group(Offset(start), &SUMS), &bytes[from..here + 8]);
                bytes[here + 8..here + 16].copy_from_slice(&sum.to_le_bytes());
                return;
            }
            let Some(record) = RecordHeader::decode(&bytes[here..here + 12]) else { return };
            let end = at.saturating_add(record.record_bytes());
            if end > data_end {
                return;
            }
            let body = here + record.prefix_bytes() as usize;
            let inner = (SUMS.crc32c)(0, &bytes[body..end as usize]);
            let seq = if record.flags & FLAG_EXPLICIT_SEQ != 0 {
                u64_at(bytes, here + RECORD_HEADER_BYTES as usize)
            } else {
                first_seq.wrapping_add(index)
            };
            let place = (Offset(at), Seq(seq));
            let sum = record::checksum(&bytes[here..here + 8], place, inner, seeds.record, &SUMS);
            bytes[here + 8..here + 12].copy_from_slice(&sum.to_le_bytes());
            at = round_up(end, align);
        }
    }

    /// Makes the checksum of a header copy right for the bytes that are there now.
    pub fn fix_header(&mut self, place: HeaderPlace) {
        let range = self.slot_of(place);
        let sum = checksum_of_header(
            &self.bytes[range.clone()],
            self.bitmap_bytes(),
            place,
            &self.block.store_id,
        );
        self.bytes[range.start + 80..range.start + 88].copy_from_slice(&sum.to_le_bytes());
    }

    /// Makes the checksum of a footer right for the bytes that are there now.
    pub fn fix_footer(&mut self, segment: SegmentId) {
        let range = self.footer_slot(segment);
        let slot = &mut self.bytes[range];
        let count = usize::from(emberkv_core::format::bytes::u16_at(slot, 22));
        let end = (88 + 8 * count).min(slot.len());
        let seed = (SUMS.crc64)((SUMS.crc64)(0, &self.block.store_id), b"F");
        let seed = (SUMS.crc64)(seed, &segment.0.to_le_bytes());
        let sum = (SUMS.crc64)((SUMS.crc64)(seed, &slot[..80]), &slot[88..end]);
        slot[80..88].copy_from_slice(&sum.to_le_bytes());
    }

    /// Makes the checksum of a superblock copy right for the bytes that are there now.
    pub fn fix_superblock(&mut self, copy: u32) {
        let start = (copy * self.block.stride) as usize;
        let slot = &mut self.bytes[start..start + SUPERBLOCK_BYTES];
        let sum = (SUMS.crc64)(0, &slot[..120]);
        slot[120..].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Whether a group may follow one of this boot: a resume group of an older session is none.
fn goes_on(group: &FoundGroup, boot: Boot) -> bool {
    group.resume.is_none_or(|resume| resume.boot > boot)
}

/// The checksum of a header copy, computed from `FORMAT.md` and not by the encoder.
fn checksum_of_header(
    slot: &[u8],
    bitmap_bytes: u32,
    place: HeaderPlace,
    store_id: &[u8; 16],
) -> u64 {
    let (tag, segment, open_seq) = match place {
        HeaderPlace::Own(segment) => (b"H", segment, 0),
        HeaderPlace::Mark(segment, open_seq) => (b"M", segment, open_seq.0),
    };
    let mut sum = 0;
    for piece in [
        &store_id[..],
        &tag[..],
        &segment.0.to_le_bytes(),
        &open_seq.to_le_bytes(),
        &slot[..80],
        &slot[88..88 + bitmap_bytes as usize],
    ] {
        sum = (SUMS.crc64)(sum, piece);
    }
    sum
}
