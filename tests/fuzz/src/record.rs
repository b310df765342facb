//! Records and groups: arbitrary bytes, with checksums made right or not, through every decoder and the parser.

use emberkv_core::Checksums;
use emberkv_core::format::group::{GroupHeader, GroupTrailer, Resume};
use emberkv_core::format::hint::{HINT_BYTES, Hint};
use emberkv_core::format::parser::{Bounds, Event, GroupParser, Verify};
use emberkv_core::format::record::{RecordHeader, RecordShape, encode_header};
use emberkv_core::format::segment::{Role, SegmentHeader};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};

use crate::base::base;
use crate::tape::Tape;

const SUMS: Checksums = Checksums::PORTABLE;

/// The entry.
pub fn run(data: &[u8]) {
    decoders(data);
    let mut tape = Tape::new(data);
    let mut image = base(usize::from(tape.byte()), 0).image.clone();
    let layout = image.layout;
    let header = SegmentHeader {
        segment: SegmentId(1),
        open_seq: Seq(77),
        boot: Boot(3),
        role: Role::User,
        segments: 4,
        cut: None,
    };
    let unit = layout.commit_unit;
    let start = layout.data_start + unit * (u32::from(tape.byte()) % 3);
    let fix = tape.byte();
    let pieces = 1 + usize::from(tape.byte());
    let verify = [Verify::Records, Verify::Group, Verify::Nothing][usize::from(tape.byte()) % 3];
    let room = (layout.data_end - start) as usize;
    let body = tape.take(room);
    image.segment_mut(SegmentId(1))[start as usize..][..body.len()].copy_from_slice(body);
    if fix < 205 {
        image.fix_group(&header, start, Boot(3));
    }
    let bounds = Bounds { data_end: layout.data_end, align: layout.align, commit_unit: unit };
    let seeds = image.seeds(&header, Boot(3));
    let bytes = &image.segment(SegmentId(1))[..layout.data_end as usize];
    let mut parser = GroupParser::new(Offset(start), seeds, bounds, verify, SUMS);
    let mut open: Option<u32> = None;
    // Each turn takes a byte, or is an event that takes none: at most one behind each byte.
    for _ in 0..4 * bytes.len() + 4 {
        let at = parser.position().0 as usize;
        if at >= bytes.len() {
            return;
        }
        let piece = &bytes[at..bytes.len().min(at + pieces)];
        let (used, event) = parser.feed(piece);
        assert!(used <= piece.len());
        assert_eq!(parser.position().0 as usize, at + used, "the position follows the bytes");
        match event {
            Event::More => assert_eq!(used, piece.len(), "more is asked for when nothing is left"),
            Event::Record(header, offset, _) => {
                assert!(offset.0 >= start && offset.0 + header.record_bytes() <= layout.data_end);
                open = Some(header.record_bytes() - header.prefix_bytes());
            }
            Event::Body(body) => {
                let left = open.expect("a record began");
                open = Some(left.checked_sub(body.len() as u32).expect("no longer than it said"));
            }
            Event::Done(group) => {
                assert!(group.end <= group.next && group.next.0 <= layout.data_end);
                assert_eq!(open.unwrap_or(0), 0, "the last record is whole");
                return;
            }
            Event::Bad => return,
        }
    }
    panic!("the parser does not end");
}

fn decoders(data: &[u8]) {
    let seeds = base(0, 0).image.seeds(&base(0, 0).image.headers()[0], Boot(1));
    if let Some(header) = RecordHeader::decode(data).filter(|_| data.len() >= 12) {
        let again = encode_header(
            &RecordShape {
                kind: header.kind,
                flags: header.flags,
                key_bytes: header.key_bytes,
                value_bytes: header.value_bytes,
                inner: 0,
            },
            (Offset(0), Seq(0)),
            0,
            &SUMS,
        );
        if header.is_short() {
            assert!(header.record_bytes() >= 7 && header.record_bytes() <= 6 + 16 + 255);
        } else {
            assert_eq!(again[..8], data[..8], "what is decoded is what is encoded");
            assert!(header.record_bytes() >= 12);
        }
    }
    let _ = GroupHeader::decode(data, Offset(512), &seeds, &SUMS);
    if let Some(trailer) = GroupTrailer::decode(data) {
        let mut again = trailer.encode_covered().to_vec();
        again.extend_from_slice(&trailer.checksum.to_le_bytes());
        assert_eq!(GroupTrailer::decode(&again), Some(trailer));
    }
    if let Some(resume) = Resume::decode(data) {
        assert_eq!(resume.encode(), data);
    }
    let hint = Hint::decode(data);
    assert_eq!(Hint::decode(&hint.encode()), hint, "hints of {HINT_BYTES} bytes");
}
