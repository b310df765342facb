//! Torn or corrupt, in the newest segment: every combination of a damaged place X with what lies behind it.
//!
//! ```text
//! 512        X           X + 1 unit   X + 2 units              X + 4 units
//! | before.. | damaged   | (cut)      | (resume group, "new")  | (an old group)
//! ```

use emberkv_core::Hints;
use emberkv_core::error::{Corruption, Damage};
use emberkv_core::format::group::{GroupEnd, GroupKind, Resume};
use emberkv_core::format::record::RecordKind;
use emberkv_core::format::segment::SegmentHeader;
use emberkv_core::types::{Boot, Offset, SegmentId, Seq};
use emberkv_tests::image::{Image, NewGroup};

use super::bench::{DATA_START, Shown, UNIT, build, config, digest_of, keys, open, value_of};

/// Of a resume group behind X: what it records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    None,
    /// X, by a session that is not later than the groups before X.
    Stale,
    /// Before X.
    Less,
    /// X.
    Equal,
    /// Behind X.
    More,
}

/// Of a group of the session before, behind X: up to where the log was durable when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    None,
    Less,
    Equal,
    More,
    /// Less, but by a later session than all that are known.
    LaterBoot,
}

/// What open shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// X is a torn tail.
    Torn,
    /// X is damage.
    Corrupt,
    /// The log goes on behind X.
    Resumed,
    /// The log goes on behind X, and is damaged where that session's groups end.
    CorruptLater,
}
use Then::{Corrupt, CorruptLater, Resumed, Torn};

/// Every cell: what lies behind X, the outcome, the reason.
pub(crate) const CELLS: [(Cut, Flushed, Then, &str); 25] = [
    (Cut::None, Flushed::None, Torn, "nothing is behind: the last write did not get through"),
    (Cut::None, Flushed::Less, Torn, "written in the same flush as X, or in one before it"),
    (Cut::None, Flushed::Equal, Torn, "X was not durable yet when it was written"),
    (Cut::None, Flushed::More, Corrupt, "X was durable when it was written"),
    (Cut::None, Flushed::LaterBoot, Corrupt, "its resume group was durable before it was written"),
    (Cut::Stale, Flushed::None, Torn, "of two places for resume groups, the older one's"),
    (Cut::Stale, Flushed::Less, Torn, "neither says that X was durable"),
    (Cut::Stale, Flushed::Equal, Torn, "neither says that X was durable"),
    (Cut::Stale, Flushed::More, Corrupt, "X was durable when the group was written"),
    (Cut::Stale, Flushed::LaterBoot, Corrupt, "its resume group is lost, this one is older"),
    (Cut::Less, Flushed::None, Resumed, "what lies before X was not readable to that session"),
    (Cut::Less, Flushed::Less, Resumed, "the same"),
    (Cut::Less, Flushed::Equal, Resumed, "the same"),
    (Cut::Less, Flushed::More, Resumed, "a recorded end wins over everything"),
    (Cut::Less, Flushed::LaterBoot, CorruptLater, "a third session's resume group is lost"),
    (Cut::Equal, Flushed::None, Resumed, "a session saw the torn place and recorded it"),
    (Cut::Equal, Flushed::Less, Resumed, "the same; the other group was cut off with X"),
    (Cut::Equal, Flushed::Equal, Resumed, "the same"),
    (Cut::Equal, Flushed::More, Resumed, "a recorded end wins over everything"),
    (Cut::Equal, Flushed::LaterBoot, CorruptLater, "a third session's resume group is lost"),
    (Cut::More, Flushed::None, Corrupt, "a later session still read X"),
    (Cut::More, Flushed::Less, Corrupt, "a later session still read X"),
    (Cut::More, Flushed::Equal, Corrupt, "a later session still read X"),
    (Cut::More, Flushed::More, Corrupt, "two proofs"),
    (Cut::More, Flushed::LaterBoot, Corrupt, "two proofs"),
];

/// What is wrong at X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Nothing was written.
    Zeros,
    /// Noise.
    Noise,
    /// A bit of the group's header flipped.
    Header,
    /// A bit of a record's length flipped.
    Length,
    /// A bit of a value flipped.
    Value,
    /// A bit of the trailer flipped.
    Trailer,
    /// The group is of no boot.
    Boot,
}
pub(crate) const HARMS: [Harm; 7] =
    [Harm::Zeros, Harm::Noise, Harm::Header, Harm::Length, Harm::Value, Harm::Trailer, Harm::Boot];

/// Writes one commit of a key; returns where the next group may start.
pub(crate) fn put_commit(
    image: &mut Image,
    header: &SegmentHeader,
    start: u32,
    boot: Boot,
    (key, seq, flushed): (&str, u64, u32),
) -> u32 {
    let value = value_of(key);
    let group = NewGroup {
        kind: GroupKind::Data,
        first_seq: Seq(seq),
        records: vec![(RecordKind::Value, key.as_bytes(), &value)],
        flushed: Offset(flushed),
        end: GroupEnd::Padded,
    };
    image.put_group(header, start, boot, &group)
}

/// Puts X with this harm; the groups before it are there already.
pub(crate) fn put_harmed(image: &mut Image, header: &SegmentHeader, x: u32, harm: Harm) {
    let boot = if harm == Harm::Boot { Boot(0) } else { Boot(1) };
    put_commit(image, header, x, boot, ("lost", 50, x));
    let place = x as usize;
    let bytes = &mut image.segment_mut(header.segment)[place..place + UNIT as usize];
    match harm {
        Harm::Zeros => bytes.fill(0),
        Harm::Noise => {
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = ((index * index) >> 3) as u8 ^ 0x96;
            }
        }
        Harm::Header => bytes[9] ^= 4,
        Harm::Length => bytes[16 + 4] ^= 1,
        Harm::Value => bytes[16 + 12 + 5] ^= 0x80,
        Harm::Trailer => {
            let at = 16 + 12 + "lost".len() + value_of("lost").len();
            assert_eq!(bytes[at], 0xe0, "the trailer begins here");
            bytes[at + 4] ^= 1;
        }
        Harm::Boot => {}
    }
}

/// Puts what the cell wants behind X; returns the digest of the groups that count and their end.
pub(crate) fn put_behind(
    image: &mut Image,
    header: &SegmentHeader,
    x: u32,
    (cut, flushed): (Cut, Flushed),
) -> u32 {
    let digest = digest_of(&image.groups(header));
    let at = x + 2 * UNIT;
    let recorded = match cut {
        Cut::None => None,
        Cut::Less => Some(x - 1),
        Cut::Equal | Cut::Stale => Some(x),
        Cut::More => Some(x + UNIT),
    };
    let mut end = x;
    if let Some(recorded) = recorded {
        let boot = if cut == Cut::Stale { header.boot } else { Boot(header.boot.0 + 1) };
        let resume = Resume { boot, cut: Offset(recorded), digest };
        let next = image.put_resume(header, at, resume, Seq(1 << 32));
        // The stale one's group would itself prove X if it were read with that boot.
        let known = if cut == Cut::Stale { x } else { next };
        end = put_commit(image, header, next, boot, ("new", (1 << 32) + 1, known));
    }
    let known = match flushed {
        Flushed::None => return end,
        Flushed::Less | Flushed::LaterBoot => x - 1,
        Flushed::Equal => x,
        Flushed::More => x + 1,
    };
    let boot = if flushed == Flushed::LaterBoot { Boot(header.boot.0 + 64) } else { header.boot };
    put_commit(image, header, x + 4 * UNIT, boot, ("behind", 60, known));
    end
}

fn empty() -> Image {
    // Room for X, three groups before it and four units behind it.
    build(&config(Hints::Write), 5, |_| {})
}

#[test]
fn every_place_without_a_whole_group_is_torn_or_corrupt_as_the_table_says() {
    let config = config(Hints::Write);
    let fresh = empty();
    let header = fresh.headers()[0];
    for before in 0..3 {
        for harm in HARMS {
            for (cut, flushed, then, reason) in CELLS {
                let mut image = fresh.clone();
                let mut x = DATA_START;
                let mut expected = Vec::new();
                for index in 0..before {
                    let key = ["a", "b", "c"][index];
                    x = put_commit(&mut image, &header, x, Boot(1), (key, 2 + index as u64, x));
                    expected.push(key);
                }
                put_harmed(&mut image, &header, x, harm);
                let end = put_behind(&mut image, &header, x, (cut, flushed));
                let cell = format!("{before} before, {harm:?}, {cut:?}, {flushed:?}: {reason}");
                let shown = open(&config, &image);
                match then {
                    Torn => assert_eq!(shown, keys(&expected), "{cell}"),
                    Resumed => {
                        expected.push("new");
                        assert_eq!(shown, keys(&expected), "{cell}");
                    }
                    Corrupt | CorruptLater => {
                        let offset = Offset(if then == Corrupt { x } else { end });
                        let place =
                            Corruption { segment: Some(SegmentId(0)), offset, what: Damage::Group };
                        assert_eq!(shown, Shown::Corrupt(place), "{cell}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_group_of_another_incarnation_behind_a_torn_place_proves_nothing() {
    let config = config(Hints::Write);
    let mut image = empty();
    let header = image.headers()[0];
    let x = put_commit(&mut image, &header, DATA_START, Boot(1), ("a", 2, DATA_START));
    let older = SegmentHeader { open_seq: Seq(header.open_seq.0 + 9), ..header };
    put_commit(&mut image, &older, x + UNIT, Boot(1), ("old", 60, x + 1));
    let resume = Resume { boot: Boot(5), cut: Offset(x), digest: 0 };
    image.put_resume(&older, x + 2 * UNIT, resume, Seq(70));
    assert_eq!(open(&config, &image), keys(&["a"]));
}

#[test]
fn of_several_resume_groups_the_chain_is_followed() {
    let config = config(Hints::Write);
    let mut image = empty();
    let header = image.headers()[0];
    let x = put_commit(&mut image, &header, DATA_START, Boot(1), ("a", 2, DATA_START));
    // Boot 2 resumes at X, writes a group; its next one is torn at Y; boot 3 resumes there.
    let digest = digest_of(&image.groups(&header));
    let resume = Resume { boot: Boot(2), cut: Offset(x), digest };
    let next = image.put_resume(&header, x + UNIT, resume, Seq(1 << 32));
    let y = put_commit(&mut image, &header, next, Boot(2), ("b", (1 << 32) + 1, next));
    let digest = digest_of(&image.groups(&header));
    let resume = Resume { boot: Boot(3), cut: Offset(y), digest };
    let next = image.put_resume(&header, y + UNIT, resume, Seq(2 << 32));
    put_commit(&mut image, &header, next, Boot(3), ("c", (2 << 32) + 1, next));
    assert_eq!(open(&config, &image), keys(&["a", "b", "c"]));
    // Rot in the group of boot 2, which boot 3 still read: its resume group says so.
    image.segment_mut(SegmentId(0))[(y - UNIT) as usize + 30] ^= 1;
    let place =
        Corruption { segment: Some(SegmentId(0)), offset: Offset(y - UNIT), what: Damage::Group };
    assert_eq!(open(&config, &image), Shown::Corrupt(place));
}
