//! Header states: the three copies of a segment's header, for the newest segment and for an older one.

use emberkv_core::Hints;
use emberkv_core::error::{Corruption, Damage};
use emberkv_core::format::footer::Footer;
use emberkv_core::format::segment::{HeaderPlace, SegmentHeader};
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_tests::image::Image;

use super::bench::{DATA_START, Shown, build, commit, config, digest_of, keys, open, wipe_groups};

/// What stands where the own header and the mark belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All ones in both places.
    Blank,
    /// Zeros in both places.
    Zero,
    /// Valid copies of older incarnations in both places.
    Stale,
    /// The own header; zeros for the mark.
    OwnOnly,
    /// The mark; zeros for the own header.
    MarkOnly,
    /// The mark; an older incarnation's own header.
    MarkOverStale,
    /// Both.
    Both,
    /// Noise in both places.
    Garbage,
}
use State::{Blank, Both, Garbage, MarkOnly, MarkOverStale, OwnOnly, Stale, Zero};

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    There,
    Gone,
}
use Is::{Gone, There};

/// What open shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Everything is shown.
    All,
    /// The segment counts as free: what the others hold is shown.
    Others,
    /// Refused: the segment's header.
    NoHeader,
    /// Refused: the segment's first group.
    NoGroup,
    /// Refused: the order of segments does not fit (the place is not part of the promise).
    NoOrder,
}
use Then::{All, NoGroup, NoHeader, NoOrder, Others};

/// State, footer, first group (and all others), outcome, reason.
type Cell = (State, Is, Is, Then, &'static str);

/// The newest segment; the one before it is the segment with the mark.
const NEWEST: [Cell; 32] = [
    (Blank, Gone, Gone, Others, "never opened"),
    (Blank, Gone, There, Others, "both copies lost: nothing says that these groups exist"),
    (Blank, There, Gone, Others, "a footer alone proves nothing, and no header lists it"),
    (Blank, There, There, Others, "the same"),
    (Zero, Gone, Gone, Others, "never opened"),
    (Zero, Gone, There, Others, "both copies lost"),
    (Zero, There, Gone, Others, "a footer alone proves nothing"),
    (Zero, There, There, Others, "the same"),
    (Stale, Gone, Gone, Others, "opened before, given up since: the newest does not list it"),
    (Stale, Gone, There, Others, "the seeds of the groups are not those of the stale header"),
    (Stale, There, Gone, Others, "a footer is not asked where no newer header lists it"),
    (Stale, There, There, Others, "the same"),
    (OwnOnly, Gone, Gone, Others, "the flush behind the header is not proven: it may lie"),
    (OwnOnly, Gone, There, All, "a group was written behind that flush: it succeeded"),
    (OwnOnly, There, Gone, Others, "a footer is written before a flush: it is no proof"),
    (OwnOnly, There, There, All, "by its group"),
    (MarkOnly, Gone, Gone, NoHeader, "the header was durable before the mark: no crash does this"),
    (MarkOnly, Gone, There, All, "the mark stands for the header"),
    (MarkOnly, There, Gone, NoHeader, "as without a footer"),
    (MarkOnly, There, There, All, "the mark stands for the header"),
    (MarkOverStale, Gone, Gone, NoHeader, "the header was durable before the mark"),
    (MarkOverStale, Gone, There, All, "the mark is newer than the header"),
    (MarkOverStale, There, Gone, NoHeader, "the header was durable before the mark"),
    (MarkOverStale, There, There, All, "the mark is newer than the header"),
    (Both, Gone, Gone, Others, "proven and empty; the last flush cannot be told from a tear"),
    (Both, Gone, There, All, "the usual case"),
    (Both, There, Gone, Others, "as without a footer: only a successor's cut makes it count"),
    (Both, There, There, All, "a crash between its footer and its successor's header"),
    (Garbage, Gone, Gone, Others, "no copy validates: as never opened"),
    (Garbage, Gone, There, Others, "both copies lost"),
    (Garbage, There, Gone, Others, "a footer alone proves nothing"),
    (Garbage, There, There, Others, "the same"),
];

/// A segment that a newer header lists, and whose end that header's cut tells.
const OLDER: [Cell; 32] = [
    (Blank, Gone, Gone, NoHeader, "listed, and no copy is left"),
    (Blank, Gone, There, NoHeader, "without a header the groups have no seeds"),
    (Blank, There, Gone, NoGroup, "the footer has the header; the cut says that groups were there"),
    (Blank, There, There, All, "the footer has the header"),
    (Zero, Gone, Gone, NoHeader, "listed, and no copy is left"),
    (Zero, Gone, There, NoHeader, "without a header the groups have no seeds"),
    (Zero, There, Gone, NoGroup, "the footer has the header"),
    (Zero, There, There, All, "the footer has the header"),
    (Stale, Gone, Gone, NoOrder, "the successor's cut names another incarnation"),
    (Stale, Gone, There, NoOrder, "the same"),
    (Stale, There, Gone, NoOrder, "the same; the own header is looked at first"),
    (Stale, There, There, NoOrder, "the same"),
    (OwnOnly, Gone, Gone, NoGroup, "the cut says that groups were there"),
    (OwnOnly, Gone, There, All, "the mark is of no use once there is a successor"),
    (OwnOnly, There, Gone, NoGroup, "the cut says that groups were there"),
    (OwnOnly, There, There, All, "the usual case, mark lost"),
    (MarkOnly, Gone, Gone, NoHeader, "only the newest segment's mark is asked"),
    (MarkOnly, Gone, There, NoHeader, "the same: detected, not repaired"),
    (MarkOnly, There, Gone, NoGroup, "the footer has the header"),
    (MarkOnly, There, There, All, "the footer has the header"),
    (MarkOverStale, Gone, Gone, NoOrder, "the successor's cut names another incarnation"),
    (MarkOverStale, Gone, There, NoOrder, "the same"),
    (MarkOverStale, There, Gone, NoOrder, "the same"),
    (MarkOverStale, There, There, NoOrder, "the same"),
    (Both, Gone, Gone, NoGroup, "the cut says that groups were there"),
    (Both, Gone, There, All, "left by a failed write, or without room to resume: no footer"),
    (Both, There, Gone, NoGroup, "the cut says that groups were there"),
    (Both, There, There, All, "the usual case"),
    (Garbage, Gone, Gone, NoHeader, "listed, and no copy is left"),
    (Garbage, Gone, There, NoHeader, "without a header the groups have no seeds"),
    (Garbage, There, Gone, NoGroup, "the footer has the header"),
    (Garbage, There, There, All, "the footer has the header"),
];

/// Segments 0, 1 and 2; the last one has one commit and room for more.
fn three_segments() -> Image {
    build(&config(Hints::Omit), 6, |store| {
        let mut index = 0;
        while store.stats().segments_sealed < 2 {
            commit(store, &format!("k{index:02}"));
            index += 1;
        }
    })
}

fn keys_of(image: &Image, segments: &[u32]) -> Vec<String> {
    let mut all = Vec::new();
    for header in image.headers() {
        if !segments.contains(&header.segment.0) {
            continue;
        }
        for group in image.groups(&header) {
            for record in &group.records {
                let (key, _) = image.body(header.segment, record);
                all.push(String::from_utf8(key.to_vec()).expect("keys are text"));
            }
        }
    }
    all.sort();
    all
}

/// The header that an earlier, given up incarnation would have left.
fn stale(header: &SegmentHeader) -> SegmentHeader {
    let mut stale = *header;
    stale.open_seq = Seq(1);
    if let Some(cut) = &mut stale.cut {
        cut.open_seq = Seq(1);
    }
    stale
}

fn noise(image: &mut Image, place: HeaderPlace) {
    image.fill_header(place, 0x5a);
    for (index, byte) in image.bitmap_mut(place).iter_mut().enumerate() {
        *byte = index as u8 ^ 0xc3;
    }
}

fn set_state(image: &mut Image, header: &SegmentHeader, state: State) {
    let own = HeaderPlace::Own(header.segment);
    let cut = header.cut.expect("not the first segment");
    let mark = HeaderPlace::Mark(cut.segment, cut.open_seq);
    assert_eq!(image.header(mark), Some(*header), "a healthy store has both copies");
    match state {
        Both => {}
        OwnOnly => image.fill_header(mark, 0),
        MarkOnly => image.fill_header(own, 0),
        MarkOverStale => image.put_header(own, &stale(header)),
        Stale => {
            image.put_header(own, &stale(header));
            image.put_header(HeaderPlace::Mark(cut.segment, Seq(1)), &stale(header));
        }
        Blank | Zero | Garbage => {
            for place in [own, mark] {
                match state {
                    Blank => image.fill_header(place, 0xff),
                    Zero => image.fill_header(place, 0),
                    _ => noise(image, place),
                }
            }
        }
    }
}

/// The footer that a segment has, or would have if it were sealed now.
fn footer_of(image: &Image, header: &SegmentHeader) -> Footer {
    let groups = image.groups(header);
    let last = groups.last().expect("it has groups");
    Footer {
        header: *header,
        end: last.parsed.next,
        records: u32::MAX,
        digest: digest_of(&groups),
        seq_max: Seq(last.parsed.header.first_seq.0 + u64::from(last.parsed.trailer.count) - 1),
        hint_groups: 0,
    }
}

fn play(segment: u32, cells: &[Cell]) {
    let healthy = three_segments();
    let headers = healthy.headers();
    assert_eq!(headers.len(), 3);
    let header = headers[segment as usize];
    assert_eq!((header.segment, header.boot), (SegmentId(segment), Boot(1)));
    assert!(header.open_seq > Seq(1) && header.cut.is_some());
    let others: Vec<u32> = (0..3).filter(|&other| other != segment).collect();
    let corrupt = |offset, what| {
        let place = Corruption { segment: Some(header.segment), offset: Offset(offset), what };
        Shown::Corrupt(place)
    };
    let mut seen = Vec::new();
    for &(state, footer, groups, then, reason) in cells {
        assert!(!seen.contains(&(state, footer, groups)), "each cell once");
        seen.push((state, footer, groups));
        let mut image = healthy.clone();
        match footer {
            There => image.put_footer(&footer_of(&healthy, &header), &[]),
            Gone => image.fill_footer(header.segment, 0),
        }
        if groups == Gone {
            wipe_groups(&mut image, header.segment);
        }
        set_state(&mut image, &header, state);
        let shown = open(&config(Hints::Omit), &image);
        let expected = match then {
            All => Shown::Keys(keys_of(&healthy, &[0, 1, 2])),
            Others => Shown::Keys(keys_of(&healthy, &others)),
            NoHeader => corrupt(0, Damage::SegmentHeader),
            NoGroup => corrupt(DATA_START, Damage::Group),
            NoOrder => {
                assert!(
                    matches!(shown, Shown::Corrupt(Corruption { what: Damage::SegmentHeader, .. })),
                    "{state:?}, footer {footer:?}, groups {groups:?}: {reason}"
                );
                continue;
            }
        };
        assert_eq!(shown, expected, "{state:?}, footer {footer:?}, groups {groups:?}: {reason}");
    }
    assert_eq!(seen.len(), 8 * 2 * 2, "every cell");
}

#[test]
fn every_header_state_of_the_newest_segment_is_decided() {
    play(2, &NEWEST);
}

#[test]
fn every_header_state_of_an_older_segment_is_decided() {
    play(1, &OLDER);
}

#[test]
fn the_first_segment_needs_no_header() {
    let config = config(Hints::Omit);
    let healthy = build(&config, 4, |store| {
        for key in ["a", "b"] {
            commit(store, key);
        }
    });
    let own = HeaderPlace::Own(SegmentId(0));
    for byte in [0, 0xff, 0x5a] {
        let mut image = healthy.clone();
        image.fill_header(own, byte);
        assert_eq!(open(&config, &image), keys(&["a", "b"]), "known without it: {byte:#x}");
        wipe_groups(&mut image, SegmentId(0));
        let place = Corruption {
            segment: Some(SegmentId(0)),
            offset: Offset(0),
            what: Damage::SegmentHeader,
        };
        assert_eq!(open(&config, &image), Shown::Corrupt(place), "and nothing left of it");
    }
    // An empty store with its header is one.
    let mut image = healthy;
    wipe_groups(&mut image, SegmentId(0));
    assert_eq!(open(&config, &image), keys(&[]));
}

#[test]
fn a_device_smaller_than_its_newest_header_says_is_refused() {
    let config = config(Hints::Omit);
    let mut image = three_segments();
    let length = image.bytes.len() - config.segment_bytes as usize;
    image.bytes.truncate(length);
    let device =
        emberkv_memory::MemoryDevice::new(image.bytes.clone(), emberkv_memory::Rules::block(512))
            .expect("the rules are valid");
    let full = emberkv_memory::MemoryDevice::new(
        vec![0; length + config.segment_bytes as usize],
        emberkv_memory::Rules::block(512),
    )
    .expect("the rules are valid");
    let geometry = emberkv_core::BlockDevice::geometry(&full);
    let mut arena = vec![0; emberkv_core::required_bytes(&config, &geometry)];
    let refused = emberkv_core::Store::open(device, &mut arena, &config).map(|_| ());
    let (want, have) = (length as u64 + u64::from(config.segment_bytes), length as u64);
    assert_eq!(refused, Err(emberkv_core::Error::DeviceTooSmall { want, have }));
}
