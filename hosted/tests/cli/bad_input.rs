//! What is no store, or not a sound one: exit code 2 (1 where `check` reports damage), one line
//! that says what and what to do, and not a byte of the file changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Place, answer, noise, on, on_input};

/// Every verb that opens a store, with arguments that would do something.
const VERBS: [(&str, &[&str]); 8] = [
    ("get", &["key"]),
    ("put", &["key", "new value"]),
    ("delete", &["key"]),
    ("list", &[]),
    ("load", &["-"]),
    ("dump", &[]),
    ("stat", &[]),
    ("check", &[]),
];

/// Every verb answers 2 with `part` in its line, and leaves the file as it is.
#[track_caller]
fn refused_by_all(path: &Path, part: &str) {
    let before = fs::read(path).expect("readable");
    for (verb, arguments) in VERBS {
        let line = on_input(path, verb, arguments, b"key\tnew value\n").error(part);
        assert!(line.contains(path.to_str().expect("text")), "{verb}: {line}");
        assert!(fs::read(path).expect("readable") == before, "{verb} changed the file");
    }
}

/// A store with a few values, of which one is long enough to be found in the file.
fn small_store(place: &Place) -> (std::path::PathBuf, Vec<u8>) {
    let store = place.store("a.ember");
    let marked = noise(9, 3000);
    on_input(&store, "put", &["marked", "-"], &marked).done();
    on_input(&store, "load", &[], b"key\tvalue\nother\tvalue\n").done();
    (store, marked)
}

#[test]
fn files_of_other_programs_are_refused_and_not_touched() {
    let place = Place::new();
    let path = place.path("foreign");
    let contents = [
        Vec::new(),
        b"short".to_vec(),
        vec![0; 1 << 20],
        noise(10, 1 << 20),
        noise(11, 4096 * 3 + 17),
        [b"SQLite format 3\0".as_slice(), &vec![1; 100_000]].concat(),
        fs::read(std::env::current_exe().expect("known")).expect("readable")[..1 << 20].to_vec(),
    ];
    for content in contents {
        fs::write(&path, content).expect("written");
        refused_by_all(&path, "not an EmberKV store");
    }
}

#[test]
fn what_is_not_there_or_no_file_is_refused() {
    let place = Place::new();
    for (verb, arguments) in VERBS {
        if verb != "load" {
            on(&place.path("missing"), verb, arguments).error("no such file");
            assert!(!place.path("missing").exists());
        }
        on_input(&place.path(""), verb, arguments, b"").error("is not a regular file");
        on_input(Path::new("/dev/null"), verb, arguments, b"").error("is not a regular file");
    }
    let pipe = place.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).expect("made");
    on(&pipe, "get", &["key"]).error("is not a regular file");
    let (store, _) = small_store(&place);
    symlink(&store, place.path("link")).expect("linked");
    on(&place.path("link"), "get", &["key"]).error("is a symbolic link");
    symlink("nowhere", place.path("dangling")).expect("linked");
    on(&place.path("dangling"), "create", &[]).error("exists already");
    on_input(&place.path("dangling"), "load", &[], b"").error("is a symbolic link");
}

#[test]
fn a_store_that_was_cut_short_is_damaged_and_not_touched() {
    let place = Place::new();
    let (store, _) = small_store(&place);
    let whole = fs::read(&store).expect("readable");
    // Behind the superblocks lie as many whole segments as fit; the rest holds nothing.
    let stat = on(&store, "stat", &["--json"]).done();
    let stat: serde_json::Value = serde_json::from_slice(&stat).expect("JSON");
    let number = |name: &str| stat[name].as_u64().expect("a number") as usize;
    let used = 8192 + number("segments") * number("segment_bytes");
    fs::write(&store, &whole[..used]).expect("written");
    assert_eq!(on(&store, "get", &["key"]).done(), b"value");
    on(&store, "check", &[]).done();
    for keep in [used - 1, used - 4096, whole.len() / 2, whole.len() / 4] {
        fs::write(&store, &whole[..keep]).expect("written");
        for (verb, arguments) in VERBS {
            let run = on_input(&store, verb, arguments, b"key\tnew value\n");
            if verb == "check" {
                let text = String::from_utf8(run.negative().out).expect("text");
                assert!(text.contains("cut short"), "{text}");
            } else {
                run.error("cut short");
            }
            assert!(fs::read(&store).expect("readable") == whole[..keep], "{verb}");
        }
    }
    // Nothing of it left: no store any more, or a damaged one.
    for keep in [1, 100, 511, 512, 4095, 4096, 5000] {
        fs::write(&store, &whole[..keep]).expect("written");
        for (verb, arguments) in VERBS {
            let run = on_input(&store, verb, arguments, b"key\tnew value\n");
            assert!(run.code == 2 || verb == "check" && run.code == 1, "{keep} {verb}: {run:?}");
            assert!(fs::read(&store).expect("readable") == whole[..keep], "{verb}");
        }
    }
}

#[test]
fn a_store_that_grew_and_was_cut_anywhere_never_reads_as_an_older_one() {
    let place = Place::new();
    let store = place.path("a.ember");
    on(&store, "create", &["--capacity=4MiB", "--max-capacity=64MiB"]).done();
    for number in 0..5 {
        let text: String =
            (0..800).map(|line| format!("{number}-{line}\t{}\n", "v".repeat(1500))).collect();
        on_input(&store, "load", &[], text.as_bytes()).done();
    }
    let whole = fs::read(&store).expect("readable");
    assert!(whole.len() > 6 << 20, "{} bytes: it grew", whole.len());
    // Segments of 256 KiB. The file grows ahead of need: the last one, and what there is of the next, may not be the log's
    // yet, and are no loss.
    let ahead = 2 << 18;
    for keep in (1 << 18..whole.len() - ahead).step_by(300_000) {
        fs::write(&store, &whole[..keep]).expect("written");
        on(&store, "get", &["4-799"]).error("cut short");
        assert_eq!(on(&store, "check", &[]).code, 1);
    }
    fs::write(&store, &whole).expect("written");
    on(&store, "get", &["4-799"]).done();
}

#[test]
fn a_flipped_bit_is_reported_with_its_place_and_never_read_as_data() {
    let place = Place::new();
    let (store, marked) = small_store(&place);
    let sound = fs::read(&store).expect("readable");
    let at = sound.windows(marked.len()).position(|window| window == marked).expect("stored");
    let mut rotten = sound.clone();
    rotten[at + 1000] ^= 4;
    fs::write(&store, &rotten).expect("written");
    on(&store, "get", &["marked"]).error("damaged");
    let run = on(&store, "check", &[]).negative();
    let text = String::from_utf8(run.out).expect("text");
    assert!(text.contains("damaged ") && text.contains(" at offset "), "{text}");
    assert_eq!(run.err, "");
    let json = on(&store, "check", &["--json"]).negative().out;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["clean"], false);
    assert!(json["damages"][0]["offset"].is_u64(), "{json}");
    assert!(json["damages"][0]["what"].is_string(), "{json}");
    assert!(fs::read(&store).expect("readable") == rotten);
    // The line of `dump` says the same, whatever it could write before.
    on(&store, "dump", &[]).error("damaged");
    fs::write(&store, &sound).expect("written");
    on(&store, "check", &[]).done();
}

#[test]
fn one_damaged_copy_of_the_superblock_is_reported_and_the_store_still_read() {
    let place = Place::new();
    let (store, _) = small_store(&place);
    let mut bytes = fs::read(&store).expect("readable");
    bytes[9] ^= 1;
    fs::write(&store, &bytes).expect("written");
    assert_eq!(on(&store, "get", &["key"]).done(), b"value");
    let run = on(&store, "check", &[]).negative();
    let text = String::from_utf8(run.out).expect("text");
    assert!(text.contains("superblock"), "{text}");
}

#[test]
fn a_store_of_a_newer_version_or_with_unknown_features_is_refused_and_not_touched() {
    let place = Place::new();
    let (store, _) = small_store(&place);
    let sound = fs::read(&store).expect("readable");
    // The superblock, FORMAT.md: its version at 8, features that must be known at 20, two copies.
    let version = |bytes: &mut [u8]| bytes[8..10].copy_from_slice(&7_u16.to_le_bytes());
    let feature = |bytes: &mut [u8]| bytes[20..24].copy_from_slice(&8_u32.to_le_bytes());
    type Change<'c> = &'c dyn Fn(&mut [u8]);
    let cases: [(Change<'_>, &str); 2] =
        [(&version, "format version 7"), (&feature, "features that this program does not know")];
    for (change, part) in cases {
        let mut bytes = sound.clone();
        for copy in [0, 4096] {
            let block = &mut bytes[copy..copy + 128];
            change(block);
            let sum = (emberkv_core::Checksums::PORTABLE.crc64)(0, &block[..120]);
            block[120..].copy_from_slice(&sum.to_le_bytes());
        }
        fs::write(&store, &bytes).expect("written");
        refused_by_all(&store, part);
        assert!(on(&store, "get", &["key"]).error(part).contains("newer emberkv"));
    }
}

#[test]
fn a_file_that_may_only_be_read_is_read_and_not_written() {
    let place = Place::new();
    let (store, _) = small_store(&place);
    let program = place.path("emberkv");
    fs::copy(env!("CARGO_BIN_EXE_emberkv"), &program).expect("copied");
    for (path, mode) in [(&place.path(""), 0o755), (&program, 0o755), (&store, 0o444)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let before = fs::read(&store).expect("readable");
    let run = |verb: &str, arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.arg(verb).arg(&store).args(arguments);
        if rustix::process::geteuid().is_root() {
            // Permissions do not bind root.
            command.uid(65_534).gid(65_534);
        }
        answer(command.output().expect("the program runs"))
    };
    assert_eq!(run("get", &["key"]).done(), b"value");
    assert_eq!(run("list", &["--prefix", "k"]).done(), b"key\n");
    run("check", &[]).done();
    run("put", &["key", "new value"]).error("permission");
    run("delete", &["key"]).error("permission");
    assert!(fs::read(&store).expect("readable") == before);
}

#[test]
fn keys_that_cannot_be_are_refused() {
    let place = Place::new();
    let (store, _) = small_store(&place);
    on(&store, "put", &["", "value"]).error("a key of 0 bytes");
    on(&store, "get", &[""]).negative();
    on(&store, "delete", &[""]).error("a key of 0 bytes");
    on(&store, "get", &[&"k".repeat(4097)]).negative();
    on(&store, "put", &[&"k".repeat(4097), "value"]).error("a key of 4097 bytes");
    on(&store, "put", &[&"k".repeat(4096), "value"]).done();
    on(&store, "put", &["key", "--file", "/no/such/file"]).error("/no/such/file");
    assert_eq!(on(&store, "get", &["key"]).done(), b"value");
}
