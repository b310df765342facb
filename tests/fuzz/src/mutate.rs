//! Mutations of an image that know its structure, and checksums made right behind them.

use emberkv_core::format::group::{GROUP_HEADER_BYTES, GROUP_TRAILER_BYTES};
use emberkv_core::format::segment::{HeaderPlace, SegmentHeader};
use emberkv_core::types::{Boot, SegmentId, Seq};
use emberkv_tests::image::Image;

use crate::base::{Base, base};
use crate::tape::Tape;

/// A field that can be set: where, and its bytes.
type Field = (usize, usize);

/// Offset and bytes of the numbers of a superblock, a header, a footer, as in `FORMAT.md`.
const SUPERBLOCK: [Field; 11] = [
    (8, 2),
    (10, 2),
    (16, 4),
    (20, 4),
    (56, 4),
    (60, 4),
    (64, 4),
    (68, 4),
    (72, 8),
    (80, 1),
    (84, 4),
];
const HEADER: [Field; 12] = [
    (4, 4),
    (8, 8),
    (16, 4),
    (20, 1),
    (21, 1),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 8),
    (48, 8),
    (88, 1),
];
const FOOTER: [Field; 14] = [
    (4, 4),
    (8, 8),
    (16, 4),
    (21, 1),
    (22, 2),
    (24, 4),
    (28, 4),
    (32, 8),
    (40, 4),
    (44, 4),
    (64, 8),
    (72, 4),
    (88, 4),
    (92, 4),
];
const GROUP_HEADER: [Field; 3] = [(0, 1), (1, 1), (8, 8)];
const TRAILER: [Field; 4] = [(0, 1), (1, 1), (2, 2), (4, 4)];
const RECORD: [Field; 4] = [(0, 1), (1, 1), (2, 2), (4, 4)];

/// A group of the image as it was before it was mutated.
#[derive(Clone, Copy, Debug)]
struct Known {
    header: SegmentHeader,
    start: u32,
    boot: Boot,
}

/// An image, and what it was.
pub struct Mutant {
    /// The image.
    pub image: Image,
    /// Whether its checksums were made right again.
    pub fixed: bool,
    known: Vec<Known>,
    records: Vec<(SegmentId, u32, u32)>,
    shape: usize,
}

impl Mutant {
    /// The base image that a tape asks for, mutated as it says.
    #[must_use]
    pub fn from_tape(tape: &mut Tape<'_>) -> (Self, &'static Base) {
        let shape = usize::from(tape.byte());
        let origin = base(shape, usize::from(tape.byte()));
        // Four times in five the checksums are made right.
        let fix = tape.byte() < 205;
        let mut mutant = Self {
            image: origin.image.clone(),
            fixed: fix,
            known: Vec::new(),
            records: Vec::new(),
            shape,
        };
        mutant.learn();
        for _ in 0..1 + tape.byte() % 4 {
            mutant.mutate(tape);
        }
        if fix {
            mutant.fix();
        }
        if tape.byte() >= 240 {
            let length = mutant.image.bytes.len();
            let left = 8192 + tape.below(length - 8192);
            mutant.image.bytes.truncate(left.next_multiple_of(1024).min(length));
        }
        (mutant, origin)
    }

    fn learn(&mut self) {
        for header in self.image.headers() {
            for group in self.image.groups(&header) {
                let start = group.parsed.start.0;
                self.known.push(Known { header, start, boot: group.boot });
                for record in &group.records {
                    let bytes = record.header.record_bytes();
                    self.records.push((header.segment, record.offset.0, bytes));
                }
            }
        }
    }

    fn mutate(&mut self, tape: &mut Tape<'_>) {
        let length = self.image.bytes.len();
        let segments = self.image.segments() as usize;
        let segment_bytes = self.image.layout.segment_bytes as usize;
        match tape.byte() % 9 {
            0 => {
                let at = tape.below(length);
                self.image.bytes[at] ^= 1 << (tape.byte() & 7);
            }
            1 => {
                let (from, to) = (tape.below(length), tape.below(length));
                let count = tape.below(1200).min(length - from).min(length - to);
                self.image.bytes.copy_within(from..from + count, to);
            }
            2 => {
                let (a, b) = (tape.below(segments), tape.below(segments));
                for index in 0..segment_bytes {
                    let (a, b) = (self.place(a, index), self.place(b, index));
                    self.image.bytes.swap(a, b);
                }
            }
            3 => {
                let (from, to) = (self.place(tape.below(segments), 0), tape.below(segments));
                let to = self.place(to, 0);
                self.image.bytes.copy_within(from..from + segment_bytes, to);
            }
            4 => {
                let other = base(self.shape, usize::from(tape.byte()));
                let segment = tape.below(segments);
                let bytes = other.image.segment(SegmentId(segment as u32)).to_vec();
                self.image.segment_mut(SegmentId(segment as u32)).copy_from_slice(&bytes);
            }
            5 => {
                let (from, fill) = (tape.below(length), [0, 0xff][tape.byte() as usize & 1]);
                let to = (from + tape.below(3000)).min(length);
                self.image.bytes[from..to].fill(fill);
            }
            _ => self.set_field(tape),
        }
    }

    fn place(&self, segment: usize, index: usize) -> usize {
        self.image.at(SegmentId(segment as u32), 0) + index
    }

    /// Sets a number of some structure to a boundary.
    fn set_field(&mut self, tape: &mut Tape<'_>) {
        let layout = self.image.layout;
        let segments = self.image.segments();
        let segment = SegmentId(tape.below(segments as usize) as u32);
        let (start, fields): (usize, &[Field]) = match tape.byte() % 8 {
            0 => (usize::from(tape.byte() & 1) * self.image.block.stride as usize, &SUPERBLOCK),
            1 => (self.image.at(segment, 0), &HEADER),
            2 => (self.image.at(segment, layout.mark_start), &HEADER),
            3 => (self.image.at(segment, layout.data_end), &FOOTER),
            kind if !self.known.is_empty() => {
                let group = self.known[tape.below(self.known.len())];
                let start = self.image.at(group.header.segment, group.start);
                let record = (!self.records.is_empty())
                    .then(|| self.records[tape.below(self.records.len())]);
                match (kind, record) {
                    (4, _) | (_, None) => (start, &GROUP_HEADER),
                    (5, Some((segment, offset, bytes))) => {
                        // Where a one-record group has its trailer.
                        (self.image.at(segment, offset + bytes), &TRAILER)
                    }
                    (6, Some((segment, offset, _))) => {
                        (self.image.at(segment, offset + 12), &FOOTER)
                    }
                    (_, Some((segment, offset, _))) => (self.image.at(segment, offset), &RECORD),
                }
            }
            _ => return,
        };
        let (offset, bytes) = fields[tape.below(fields.len())];
        let values = [
            0,
            1,
            2,
            u64::MAX,
            u64::MAX - 1,
            u64::MAX >> 1,
            1 << 31,
            1 << 32,
            u64::from(layout.data_start),
            u64::from(layout.data_end),
            u64::from(layout.data_end) + 1,
            u64::from(layout.segment_bytes),
            u64::from(layout.commit_unit),
            u64::from(GROUP_HEADER_BYTES + GROUP_TRAILER_BYTES),
            u64::from(segments),
            u64::from(segment.0),
            u64::from(tape.word()),
        ];
        let value = values[usize::from(tape.byte()) % values.len()];
        let at = start + offset;
        let end = (at + bytes).min(self.image.bytes.len());
        if at < end {
            self.image.bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
    }

    /// Makes every checksum right: of superblocks, groups, headers, marks and footers, wherever they may now be.
    fn fix(&mut self) {
        for copy in 0..2 {
            self.image.fix_superblock(copy);
        }
        let segments = self.image.segments();
        for index in 0..segments {
            let segment = SegmentId(index);
            if self.image.segment(segment)[..4] == *b"EMSH" {
                self.image.fix_header(HeaderPlace::Own(segment));
            }
        }
        for index in 0..segments {
            let segment = SegmentId(index);
            let header = self.image.header(HeaderPlace::Own(segment));
            let open_seq = header.map_or(Seq(1), |header| header.open_seq);
            let layout = self.image.layout;
            if self.image.segment(segment)[layout.mark_start as usize..].starts_with(b"EMSH") {
                self.image.fix_header(HeaderPlace::Mark(segment, open_seq));
            }
            if self.image.segment(segment)[layout.data_end as usize..].starts_with(b"EMFT") {
                self.image.fix_footer(segment);
            }
            let Some(header) = header else { continue };
            for known in self.known.iter().filter(|known| known.header.segment == segment) {
                let boot = if known.boot == known.header.boot { header.boot } else { known.boot };
                self.image.fix_group(&header, known.start, boot);
            }
        }
    }
}
