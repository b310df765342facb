//! A segment that a merge freed: what stands in its place, against where the announcement stands.
//!
//! ```text
//! segment 0: a | segment 1: x, the one in question | segment 2: s | segment 3, the newest: n
//! ```
//! Nothing copied x, so that a key tells whether the segment was read.

use emberkv_core::Hints;
use emberkv_core::error::Damage;
use emberkv_core::format::group::{Announcement, GroupEnd, GroupKind};
use emberkv_core::format::record::RecordKind;
use emberkv_core::format::segment::{Cut, HeaderPlace, SegmentHeader};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_tests::image::{Image, NewGroup};

use super::bench::{DATA_START, UNIT, config, digest_of, keys, open, wipe_groups};
use super::sealed::{damage, empty, footer_of, put_next};
use super::torn::put_commit;

/// What stands where the segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything.
    Intact,
    /// Everything but its groups.
    NoGroups,
    /// Noise for a header; the rest is there.
    Garbage,
    /// Noise for a header; the footer has it too.
    Footer,
    /// The header of a newer incarnation whose cut is where the newest segment ends; nothing proves it.
    Newer,
    /// The same, but the newest segment ends elsewhere.
    NewerTorn,
    /// Nothing.
    Erased,
}
use State::{Erased, Footer, Garbage, Intact, Newer, NewerTorn, NoGroups};

/// Where the announcement stands, and whether the newest header lists the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// In the newest segment.
    Newest,
    /// In the newest segment, of an earlier incarnation.
    OtherIncarnation,
    /// In an older segment; it was listed since: another incarnation is in use.
    OlderListed,
    /// In an older segment; it is not listed.
    Older,
    /// Nowhere; it is listed.
    Nowhere,
}
use Told::{Newest, Nowhere, Older, OlderListed, OtherIncarnation};

/// What open must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It holds nothing.
    Free,
    /// What it holds counts.
    InUse,
    /// Its header is damaged.
    NoHeader,
    /// Its groups are damaged.
    NoGroup,
}
use Then::{Free, InUse, NoGroup, NoHeader};

const CELLS: [(State, Told, Then, &str); 35] = [
    (Intact, Newest, Free, "not erased yet; all that was alive stands before the announcement"),
    (NoGroups, Newest, Free, "a segment that is announced is not read"),
    (Garbage, Newest, Free, "an erase was interrupted"),
    (Footer, Newest, Free, "the same"),
    (Newer, Newest, Free, "opened again; the log goes on there"),
    (NewerTorn, Newest, Free, "opened again, and the flush behind that did not get through"),
    (Erased, Newest, Free, "erased, and not opened again"),
    (
        Intact,
        OtherIncarnation,
        Free,
        "none was opened since: what stands there is older than it says",
    ),
    (NoGroups, OtherIncarnation, Free, "the same"),
    (
        Garbage,
        OtherIncarnation,
        Free,
        "nobody can say that it is another one: no store writes this",
    ),
    (Footer, OtherIncarnation, Free, "the same"),
    (Newer, OtherIncarnation, Free, "the same"),
    (NewerTorn, OtherIncarnation, Free, "the same"),
    (Erased, OtherIncarnation, Free, "the same"),
    (Intact, OlderListed, InUse, "what the newest header lists is in use"),
    (NoGroups, OlderListed, NoGroup, "in use, and its groups are gone"),
    (Garbage, OlderListed, NoHeader, "in use, and no copy of its header is left"),
    (Footer, OlderListed, InUse, "the footer has the header"),
    (Newer, OlderListed, NoHeader, "nobody opens a segment again that is in use"),
    (NewerTorn, OlderListed, NoHeader, "the same"),
    (Erased, OlderListed, NoHeader, "nobody erases a segment that is in use"),
    (Intact, Older, Free, "not listed, whatever it holds"),
    (NoGroups, Older, Free, "the same"),
    (Garbage, Older, Free, "the same"),
    (Footer, Older, Free, "the same"),
    (Newer, Older, Free, "opened again; the log goes on there"),
    (NewerTorn, Older, Free, "opened again, in vain"),
    (Erased, Older, Free, "erased, and not opened again"),
    (Intact, Nowhere, InUse, "the usual case"),
    (NoGroups, Nowhere, NoGroup, "in use, and its groups are gone"),
    (Garbage, Nowhere, NoHeader, "in use, and no copy of its header is left"),
    (Footer, Nowhere, InUse, "the footer has the header"),
    (Newer, Nowhere, NoHeader, "only a segment that was announced is opened again"),
    (NewerTorn, Nowhere, NoHeader, "the same"),
    (Erased, Nowhere, NoHeader, "no store erases a segment that it did not announce"),
];

/// Appends an announcement to a segment that has one commit; returns where the next group may start.
fn announce(image: &mut Image, header: &SegmentHeader, freed: &SegmentHeader, back: u64) -> u32 {
    let open_seq = Seq(freed.open_seq.0 - back);
    let value = Announcement { segment: freed.segment, open_seq }.encode();
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(header.open_seq.0 + 2),
        records: vec![(RecordKind::Announcement, &[], &value)],
        flushed: Offset(DATA_START + UNIT),
        end: GroupEnd::Padded,
    };
    image.put_group(header, DATA_START + UNIT, header.boot, &group)
}

/// Where a segment's groups end, and their digest.
fn end_of(image: &Image, header: &SegmentHeader) -> (u32, u64) {
    let groups = image.groups(header);
    (groups.last().expect("it has groups").parsed.next.0, digest_of(&groups))
}

fn play(state: State, told: Told) -> Image {
    let (mut image, first) = empty();
    put_commit(&mut image, &first, DATA_START, Boot(1), ("a", 2, DATA_START));
    let end = end_of(&image, &first);
    let freed = put_next(&mut image, &first, end, ("x", 2, 0b11));
    let end = end_of(&image, &freed);
    let older = put_next(&mut image, &freed, end, ("s", 3, 0b111));
    if matches!(told, Older | OlderListed) {
        announce(&mut image, &older, &freed, 0);
    }
    let end = end_of(&image, &older);
    let bitmap = if told == Older { 0b1101 } else { 0b1111 };
    let newest = put_next(&mut image, &older, end, ("n", 4, bitmap));
    match told {
        Newest => _ = announce(&mut image, &newest, &freed, 0),
        OtherIncarnation => _ = announce(&mut image, &newest, &freed, 1),
        OlderListed | Older | Nowhere => {}
    }
    let (end, digest) = end_of(&image, &newest);
    let (segment, own) = (freed.segment, HeaderPlace::Own(freed.segment));
    match state {
        Intact => {}
        NoGroups => wipe_groups(&mut image, segment),
        Garbage => image.fill_header(own, 0x5a),
        Footer => {
            let (end, digest) = end_of(&image, &freed);
            image.put_footer(&footer_of(&freed, end, digest), &[]);
            image.fill_header(own, 0x5a);
        }
        Newer | NewerTorn => {
            let end = if state == Newer { end } else { end + UNIT };
            let (segment, open_seq) = (newest.segment, newest.open_seq);
            let cut = Cut { segment, open_seq, end: Offset(end), digest };
            let (open_seq, boot) = (Seq(newest.open_seq.0 + 9), newest.boot);
            let next = SegmentHeader { open_seq, boot, cut: Some(cut), ..freed };
            image.bitmap_mut(own)[0] = 0b1111;
            image.put_header(own, &next);
        }
        Erased => image.segment_mut(segment).fill(0xff),
    }
    image
}

#[test]
fn every_state_of_a_freed_segment_is_decided() {
    let config = config(Hints::Write);
    let mut seen = Vec::new();
    for (state, told, then, reason) in CELLS {
        assert!(!seen.contains(&(state, told)), "each cell once");
        seen.push((state, told));
        let expected = match then {
            Free => keys(&["a", "n", "s"]),
            InUse => keys(&["a", "n", "s", "x"]),
            NoHeader => damage(1, 0, Damage::SegmentHeader),
            NoGroup => damage(1, DATA_START, Damage::Group),
        };
        let shown = open(&config, &play(state, told));
        assert_eq!(shown, expected, "{state:?}, told {told:?}: {reason}");
    }
    assert_eq!(seen.len(), 7 * 5, "every cell");
}

#[test]
fn an_announcement_of_the_newest_segment_itself_or_of_none_frees_nothing() {
    let config = config(Hints::Write);
    for segment in [3, 4, 5, u32::MAX] {
        let mut image = play(Intact, Nowhere);
        let newest = *image.headers().last().expect("four segments");
        assert_eq!(newest.segment, SegmentId(3));
        let freed = SegmentHeader { segment: SegmentId(segment), ..newest };
        announce(&mut image, &newest, &freed, 0);
        assert_eq!(open(&config, &image), keys(&["a", "n", "s", "x"]), "segment {segment}");
    }
}

/// The log in three segments: 1, 0 again in a later incarnation (x), 2, the newest, which announces it as free.
fn first_segment_freed() -> (Image, SegmentHeader) {
    let (mut image, first) = empty();
    put_commit(&mut image, &first, DATA_START, Boot(1), ("a", 2, DATA_START));
    let end = end_of(&image, &first);
    let second = put_next(&mut image, &first, end, ("s", 2, 0b11));
    let (end, digest) = end_of(&image, &second);
    let (segment, open_seq) = (second.segment, second.open_seq);
    let cut = Cut { segment, open_seq, end: Offset(end), digest };
    let again = SegmentHeader { open_seq: Seq(3 << 32), boot: Boot(3), cut: Some(cut), ..first };
    image.segment_mut(first.segment).fill(0);
    for place in [HeaderPlace::Own(first.segment), HeaderPlace::Mark(segment, open_seq)] {
        image.bitmap_mut(place)[0] = 0b11;
        image.put_header(place, &again);
    }
    let record = ("x", again.open_seq.0 + 1, DATA_START);
    put_commit(&mut image, &again, DATA_START, Boot(3), record);
    let (end, digest) = end_of(&image, &again);
    let next = SegmentHeader {
        segment: SegmentId(2),
        open_seq: Seq(4 << 32),
        boot: Boot(4),
        cut: Some(Cut {
            segment: first.segment,
            open_seq: again.open_seq,
            end: Offset(end),
            digest,
        }),
        ..first
    };
    for place in [HeaderPlace::Own(next.segment), HeaderPlace::Mark(first.segment, again.open_seq)]
    {
        image.bitmap_mut(place)[0] = 0b111;
        image.put_header(place, &next);
    }
    put_commit(&mut image, &next, DATA_START, Boot(4), ("n", next.open_seq.0 + 1, DATA_START));
    announce(&mut image, &next, &again, 0);
    (image, again)
}

#[test]
fn regression_the_first_segment_freed_again_and_erased_does_not_come_back_as_it_was_formatted() {
    let config = config(Hints::Write);
    let (image, freed) = first_segment_freed();
    assert_eq!(open(&config, &image), keys(&["n", "s"]));
    for byte in [0, 0xff] {
        // What a power cut between the erase and the new header leaves.
        let mut erased = image.clone();
        erased.segment_mut(freed.segment).fill(byte);
        assert_eq!(open(&config, &erased), keys(&["n", "s"]), "erased to {byte:#x}");
    }
}
