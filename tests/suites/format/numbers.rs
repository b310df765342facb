//! Numbers of kinds and flags, and which flags are refused.

use emberkv_core::format::group::{GroupEnd, GroupKind, GroupTrailer, TRAILER_KIND};
use emberkv_core::format::record::{FLAG_EXPLICIT_SEQ, FLAG_OLD, RecordHeader, RecordKind};
use emberkv_core::format::segment::Role;
use emberkv_core::types::EntryKind;

use super::document::{number, rows, says, tables};

/// Checks a table of names and numbers in both directions: `decode` is asked for all 256 bytes.
fn check_kinds(heading: &str, decode: impl Fn(u8) -> Option<String>) {
    let mut documented: Vec<(u8, String)> = rows(heading)
        .iter()
        .map(|row| (number(&row[1]).expect("a number") as u8, row[0].clone()))
        .collect();
    documented.sort();
    let known: Vec<(u8, String)> =
        (0..=255).filter_map(|byte| decode(byte).map(|name| (byte, name))).collect();
    assert_eq!(documented, known, "{heading}");
}

#[test]
fn kinds_and_flags_have_their_documented_numbers() {
    check_kinds("Group kinds", |byte| GroupKind::from_byte(byte).map(|kind| format!("{kind:?}")));
    check_kinds("Record kinds", |byte| RecordKind::from_byte(byte).map(|kind| format!("{kind:?}")));
    check_kinds("Entry kinds", |byte| {
        (byte < 4).then(|| format!("{:?}", EntryKind::from_bits(byte)))
    });
    check_kinds("Roles", |byte| {
        [Role::User, Role::Merge]
            .into_iter()
            .find(|&role| role as u8 == byte)
            .map(|role| format!("{role:?}"))
    });
    check_kinds("Record flags", |byte| match byte {
        FLAG_EXPLICIT_SEQ => Some("EXPLICIT_SEQ".to_owned()),
        FLAG_OLD => Some("OLD".to_owned()),
        _ => None,
    });
    check_kinds("Trailer flags", |byte| {
        let bytes = [TRAILER_KIND, byte, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let end = GroupTrailer::decode(&bytes)?.end;
        (end == GroupEnd::Padded).then(|| "PADDED".to_owned())
    });
}

#[test]
fn every_byte_of_flags_is_taken_or_refused_as_documented() {
    for flags in 0..=255 {
        let mut record = [0; 12];
        record[..2].copy_from_slice(&[RecordKind::Value as u8, flags]);
        // OLD with EXPLICIT_SEQ only.
        let legal = [0, FLAG_EXPLICIT_SEQ, FLAG_EXPLICIT_SEQ | FLAG_OLD].contains(&flags);
        let decoded = RecordHeader::decode(&record);
        assert_eq!(decoded.is_some(), legal, "record flags {flags:#x}");
        assert!(decoded.is_none_or(|header| header.flags == flags), "record flags {flags:#x}");
        let trailer = [TRAILER_KIND, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(GroupTrailer::decode(&trailer).is_some(), flags <= 1, "flags {flags:#x}");
    }
    assert!(says("kept for a snapshot only, recovery ignores the record; with EXPLICIT_SEQ only"));
    for kind in [RecordKind::Hints, RecordKind::Resume, RecordKind::Announcement] {
        assert_eq!(kind.entry_kind(), None, "{kind:?} makes no entry");
    }
}

#[test]
fn every_documented_checksum_has_a_structure() {
    let names: Vec<String> = tables("Checksums")[0][1..].iter().map(|row| row[0].clone()).collect();
    // The eight that the tests above compute.
    assert_eq!(names[..4], ["superblock", "own header", "mark", "footer"]);
    assert_eq!(names[4..], ["group header", "group trailer", "record", "short record"]);
}
