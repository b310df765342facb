//! A segment with a successor: the end that its mark, the successor's header and its footer record, against what is there.

use emberkv_core::Hints;
use emberkv_core::error::{Corruption, Damage};
use emberkv_core::format::footer::Footer;
use emberkv_core::format::segment::{Cut as RecordedCut, HeaderPlace, SegmentHeader};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_tests::image::Image;

use super::bench::{DATA_START, Shown, UNIT, build, config, digest_of, keys, open};
use super::torn::{CELLS, Cut, Flushed, HARMS, Then, put_behind, put_commit, put_harmed};

pub(crate) fn empty() -> (Image, SegmentHeader) {
    let image = build(&config(Hints::Write), 5, |_| {});
    let header = image.headers()[0];
    (image, header)
}

/// Opens segment 1 behind segment 0 with this recorded end, and one commit in it.
fn put_successor(image: &mut Image, header: &SegmentHeader, end: u32, digest: u64) {
    put_next(image, header, (end, digest), ("s", 3, 0b11));
}

/// Opens the segment behind `header`'s in a boot, with one commit of a key; `bitmap` says which segments are in use.
pub(crate) fn put_next(
    image: &mut Image,
    header: &SegmentHeader,
    (end, digest): (u32, u64),
    (key, boot, bitmap): (&str, u32, u8),
) -> SegmentHeader {
    let cut = RecordedCut {
        segment: header.segment,
        open_seq: header.open_seq,
        end: Offset(end),
        digest,
    };
    let next = SegmentHeader {
        segment: SegmentId(header.segment.0 + 1),
        open_seq: Seq(u64::from(boot) << 32),
        boot: Boot(boot),
        cut: Some(cut),
        ..*header
    };
    for place in
        [HeaderPlace::Own(next.segment), HeaderPlace::Mark(header.segment, header.open_seq)]
    {
        image.bitmap_mut(place)[0] = bitmap;
        image.put_header(place, &next);
    }
    let record = (key, next.open_seq.0 + 1, DATA_START);
    put_commit(image, &next, DATA_START, next.boot, record);
    next
}

pub(crate) fn damage(segment: u32, offset: u32, what: Damage) -> Shown {
    Shown::Corrupt(Corruption { segment: Some(SegmentId(segment)), offset: Offset(offset), what })
}

/// No place tells where segment 0 ends.
const NO_END: Shown = Shown::Corrupt(Corruption {
    segment: Some(SegmentId(0)),
    offset: Offset(8192 - UNIT),
    what: Damage::SegmentHeader,
});

#[test]
fn every_place_before_a_recorded_end_is_resumed_or_corrupt() {
    let config = config(Hints::Write);
    for harm in HARMS {
        for (cut, flushed, then, reason) in CELLS {
            let (mut image, header) = empty();
            let x = put_commit(&mut image, &header, DATA_START, Boot(1), ("a", 2, DATA_START));
            put_harmed(&mut image, &header, x, harm);
            let end = put_behind(&mut image, &header, x, (cut, flushed));
            let groups = image.groups(&header);
            // Where nothing resumes the log, the recorded end lies behind X: it was there once.
            let resumed = matches!(then, Then::Resumed | Then::CorruptLater);
            let end = if resumed { end } else { x + UNIT };
            put_successor(&mut image, &header, end, digest_of(&groups));
            let cell = format!("{harm:?}, {cut:?}, {flushed:?}: {reason}");
            let shown = open(&config, &image);
            if resumed {
                assert_eq!(shown, keys(&["a", "new", "s"]), "{cell}");
            } else {
                assert_eq!(shown, damage(0, x, Damage::Group), "before a recorded end; {cell}");
            }
        }
    }
}

/// Where a recorded end lies, from the end of the second of three groups.
#[derive(Clone, Copy, Debug)]
enum End {
    /// There, with this digest or a wrong one.
    Right,
    WrongDigest,
    /// Inside the second group.
    Inside,
    /// Behind the third group, where nothing is.
    Beyond,
    /// Behind the footer slot's start.
    BeyondGroups,
    /// The largest number.
    Most,
    /// At the first group's start: no group counts.
    Start,
    /// Before that.
    BeforeStart,
}

#[test]
fn a_recorded_end_wins_over_what_lies_behind_it() {
    let config = config(Hints::Write);
    type Expected = fn(u32) -> Shown;
    let cells: [(End, Expected, &str); 8] = [
        (End::Right, |_| keys(&["a", "b", "s"]), "the third group was never acknowledged"),
        (
            End::WrongDigest,
            |end| damage(0, end, Damage::Group),
            "other groups than those that were sealed",
        ),
        (End::Inside, |end| damage(0, end + 1, Damage::Group), "a group reaches beyond the end"),
        (
            End::Beyond,
            |end| damage(0, end - UNIT, Damage::Group),
            "the groups before the recorded end are not all there",
        ),
        (End::BeyondGroups, |_| NO_END, "no segment ends there: neither copy tells its end"),
        (End::Most, |_| NO_END, "the same"),
        (End::Start, |_| keys(&["s"]), "its session was taken back before it wrote a group"),
        (End::BeforeStart, |_| damage(0, DATA_START, Damage::Group), "no segment ends there"),
    ];
    for (place, expected, reason) in cells {
        let (mut image, header) = empty();
        let b = put_commit(&mut image, &header, DATA_START, Boot(1), ("a", 2, DATA_START));
        let c = put_commit(&mut image, &header, b, Boot(1), ("b", 3, b));
        let groups = image.groups(&header);
        let behind = put_commit(&mut image, &header, c, Boot(1), ("c", 4, c));
        let digest = digest_of(&groups);
        let (end, digest) = match place {
            End::Right => (c, digest),
            End::WrongDigest => (c, digest ^ 1),
            End::Inside => (c - 1, digest),
            End::Beyond => (behind + UNIT, digest),
            End::BeyondGroups => (image.layout.data_end + UNIT, digest),
            End::Most => (u32::MAX, digest),
            End::Start => (DATA_START, 0),
            End::BeforeStart => (0, 0),
        };
        put_successor(&mut image, &header, end, digest);
        assert_eq!(open(&config, &image), expected(end), "{place:?}: {reason}");
    }
}

#[test]
fn a_cut_of_another_incarnation_or_segment_is_refused() {
    let config = config(Hints::Write);
    for change in [
        |cut: &mut RecordedCut| cut.open_seq.0 += 1,
        |cut: &mut RecordedCut| cut.segment.0 = 3,
        |cut: &mut RecordedCut| cut.segment.0 = u32::MAX,
        |cut: &mut RecordedCut| cut.segment.0 = 1,
    ] {
        let (mut image, header) = empty();
        let end = put_commit(&mut image, &header, DATA_START, Boot(1), ("a", 2, DATA_START));
        let digest = digest_of(&image.groups(&header));
        put_successor(&mut image, &header, end, digest);
        let own = HeaderPlace::Own(SegmentId(1));
        let mut next = image.header(own).expect("just written");
        change(next.cut.as_mut().expect("it has one"));
        image.put_header(own, &next);
        // Its group proves the successor, and its two copies of the header contradict each other.
        assert_eq!(open(&config, &image), damage(1, 0, Damage::SegmentHeader));
        let mark = HeaderPlace::Mark(header.segment, header.open_seq);
        image.put_header(mark, &next);
        let outside = next.cut.is_some_and(|cut| cut.segment.0 == u32::MAX);
        let expected = if outside { damage(1, 0, Damage::SegmentHeader) } else { NO_END };
        assert_eq!(open(&config, &image), expected, "both copies speak of something else");
    }
}

/// Whether a copy is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Valid,
    Damaged,
}

/// The segment that was opened behind the sealed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successor {
    /// In use.
    There,
    /// Merged away: the newest header does not list it.
    Freed,
    /// In use; its own header is damaged, its footer has it.
    HeaderDamaged,
    /// In use; no copy of its header is left.
    HeaderLost,
}

/// What open shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opens {
    /// The sealed segment ends where it was sealed; everything else is there.
    AtItsEnd,
    /// Nothing tells where the sealed segment ends.
    NoEnd,
    /// The successor cannot be read.
    NoSuccessor,
}

/// Mark, successor, footer, outcome, reason.
type EndCell = (Is, Successor, Is, Opens, &'static str);

const ENDS: [EndCell; 16] = {
    use Is::{Damaged, Valid};
    use Opens::{AtItsEnd, NoEnd, NoSuccessor};
    use Successor::{Freed, HeaderDamaged, HeaderLost, There};
    [
        (Valid, There, Valid, AtItsEnd, "the usual case"),
        (Valid, There, Damaged, AtItsEnd, "by the mark, scanned"),
        (Valid, Freed, Valid, AtItsEnd, "by the mark: it stays when the successor goes"),
        (Valid, Freed, Damaged, AtItsEnd, "the same, scanned"),
        (Valid, HeaderDamaged, Valid, AtItsEnd, "by the mark"),
        (Valid, HeaderDamaged, Damaged, AtItsEnd, "the same, scanned"),
        (Valid, HeaderLost, Valid, NoSuccessor, "listed, and nothing says what it was"),
        (Valid, HeaderLost, Damaged, NoSuccessor, "the same: only the newest one's mark is asked"),
        (Damaged, There, Valid, AtItsEnd, "by the successor's header"),
        (Damaged, There, Damaged, AtItsEnd, "the same, scanned"),
        (Damaged, Freed, Valid, AtItsEnd, "by the footer: newer segments prove its flush"),
        (Damaged, Freed, Damaged, NoEnd, "scanning on would find what was never acknowledged"),
        (Damaged, HeaderDamaged, Valid, AtItsEnd, "by the header in the successor's footer"),
        (Damaged, HeaderDamaged, Damaged, AtItsEnd, "the same, scanned"),
        (Damaged, HeaderLost, Valid, NoSuccessor, "listed, and nothing says what it was"),
        (Damaged, HeaderLost, Damaged, NoSuccessor, "the same"),
    ]
};

/// The footer of a segment whose groups are these.
pub(crate) fn footer_of(header: &SegmentHeader, end: u32, digest: u64) -> Footer {
    Footer {
        header: *header,
        end: Offset(end),
        records: u32::MAX,
        digest,
        seq_max: Seq(header.open_seq.0 + 9),
        hint_groups: 0,
    }
}

/// Segments 0 (a and b count, c lies behind its end), 1 (s) and 2, the newest (n).
fn three_segments(successor: Successor) -> (Image, SegmentHeader) {
    let (mut image, header) = empty();
    let b = put_commit(&mut image, &header, DATA_START, Boot(1), ("a", 2, DATA_START));
    let end = put_commit(&mut image, &header, b, Boot(1), ("b", 3, b));
    let digest = digest_of(&image.groups(&header));
    put_commit(&mut image, &header, end, Boot(1), ("c", 4, end));
    image.put_footer(&footer_of(&header, end, digest), &[]);
    let next = put_next(&mut image, &header, (end, digest), ("s", 3, 0b11));
    let (end, digest) = (DATA_START + UNIT, digest_of(&image.groups(&next)));
    image.put_footer(&footer_of(&next, end, digest), &[]);
    let bitmap = if successor == Successor::Freed { 0b101 } else { 0b111 };
    put_next(&mut image, &next, (end, digest), ("n", 4, bitmap));
    let own = HeaderPlace::Own(next.segment);
    match successor {
        Successor::There | Successor::Freed => {}
        Successor::HeaderDamaged => image.fill_header(own, 0x5a),
        Successor::HeaderLost => {
            image.fill_header(own, 0x5a);
            image.fill_footer(next.segment, 0x5a);
        }
    }
    (image, header)
}

#[test]
fn every_combination_of_what_tells_an_end_is_decided() {
    let config = config(Hints::Write);
    let mut seen = Vec::new();
    for (mark, successor, footer, opens, reason) in ENDS {
        assert!(!seen.contains(&(mark, successor, footer)), "each cell once");
        seen.push((mark, successor, footer));
        let (mut image, header) = three_segments(successor);
        if mark == Is::Damaged {
            let place = HeaderPlace::Mark(header.segment, header.open_seq);
            image.bitmap_mut(place)[0] ^= 0b1000;
            assert_eq!(image.header(place), None);
        }
        if footer == Is::Damaged {
            let end = image.layout.data_end as usize;
            image.segment_mut(header.segment)[end + 24] ^= 1;
            assert_eq!(image.footer(header.segment), None);
        }
        let expected = match (opens, successor) {
            (Opens::AtItsEnd, Successor::Freed) => keys(&["a", "b", "n"]),
            (Opens::AtItsEnd, _) => keys(&["a", "b", "n", "s"]),
            (Opens::NoEnd, _) => NO_END,
            (Opens::NoSuccessor, _) => damage(1, 0, Damage::SegmentHeader),
        };
        let shown = open(&config, &image);
        assert_eq!(shown, expected, "mark {mark:?}, {successor:?}, footer {footer:?}: {reason}");
    }
    assert_eq!(seen.len(), 2 * 4 * 2, "every cell");
}

#[test]
fn a_footer_that_tells_another_end_is_not_believed() {
    let config = config(Hints::Write);
    let (mut image, header) = three_segments(Successor::Freed);
    image.fill_header(HeaderPlace::Mark(header.segment, header.open_seq), 0x5a);
    let (mut footer, _) = image.footer(header.segment).expect("it has one");
    let end = footer.end.0;
    // Its checksum holds: a footer of other groups than those that are there.
    footer.digest ^= 1;
    image.put_footer(&footer, &[]);
    assert_eq!(open(&config, &image), damage(0, end, Damage::Group));
    footer.end = Offset(image.layout.data_end + 1);
    image.put_footer(&footer, &[]);
    assert_eq!(open(&config, &image), NO_END);
}

#[test]
fn the_table_has_one_cell_for_every_pair_of_what_may_lie_behind() {
    for cut in [Cut::None, Cut::Stale, Cut::Less, Cut::Equal, Cut::More] {
        for flushed in
            [Flushed::None, Flushed::Less, Flushed::Equal, Flushed::More, Flushed::LaterBoot]
        {
            let cells = CELLS.iter().filter(|cell| (cell.0, cell.1) == (cut, flushed)).count();
            assert_eq!(cells, 1, "{cut:?}, {flushed:?}");
        }
    }
}
