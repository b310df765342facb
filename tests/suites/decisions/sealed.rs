//! A segment with a successor: the end that the successor's header records, against what is there.

use emberkv_core::Hints;
use emberkv_core::error::{Corruption, Damage};
use emberkv_core::format::segment::{Cut as RecordedCut, HeaderPlace, SegmentHeader};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_tests::image::Image;

use super::bench::{DATA_START, Shown, UNIT, build, config, digest_of, keys, open};
use super::torn::{CELLS, Cut, Flushed, HARMS, Then, put_behind, put_commit, put_harmed};

fn empty() -> (Image, SegmentHeader) {
    let image = build(&config(Hints::Write), 5, |_| {});
    let header = image.headers()[0];
    (image, header)
}

/// Opens segment 1 behind segment 0 with this recorded end, and one commit in it.
fn put_successor(image: &mut Image, header: &SegmentHeader, end: u32, digest: u64) {
    let cut = RecordedCut {
        segment: header.segment,
        open_seq: header.open_seq,
        end: Offset(end),
        digest,
    };
    let next = SegmentHeader {
        segment: SegmentId(1),
        open_seq: Seq(3 << 32),
        boot: Boot(3),
        cut: Some(cut),
        ..*header
    };
    for place in
        [HeaderPlace::Own(SegmentId(1)), HeaderPlace::Mark(header.segment, header.open_seq)]
    {
        image.bitmap_mut(place)[0] = 0b11;
        image.put_header(place, &next);
    }
    put_commit(image, &next, DATA_START, Boot(3), ("s", (3 << 32) + 1, DATA_START));
}

fn damage(segment: u32, offset: u32, what: Damage) -> Shown {
    Shown::Corrupt(Corruption { segment: Some(SegmentId(segment)), offset: Offset(offset), what })
}

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
        (End::BeyondGroups, |_| damage(1, 0, Damage::SegmentHeader), "no segment ends there"),
        (End::Most, |_| damage(1, 0, Damage::SegmentHeader), "no segment ends there"),
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
        // Its group proves the successor, and its header is the one that counts.
        assert_eq!(open(&config, &image), damage(1, 0, Damage::SegmentHeader));
    }
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
