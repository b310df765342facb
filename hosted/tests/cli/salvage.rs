//! `salvage`: what can be read comes into a new store, what cannot is named, the old store is left alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Place, Run, noise, on, on_input};

/// Flips a bit of the first byte of `part` in a file.
fn damage(path: &Path, part: &[u8]) {
    let mut bytes = fs::read(path).expect("readable");
    let at = bytes.windows(part.len()).position(|window| window == part).expect("it is there");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("written");
}

fn value(key: usize) -> String {
    format!("the value of key {key:03}").repeat(key % 9 + 1)
}

fn filled(place: &Place, name: &str, keys: usize) -> PathBuf {
    let store = place.path(name);
    on(&store, "create", &["--capacity=16MiB"]).done();
    let lines: String = (0..keys).map(|key| format!("key{key:03}\t{}\n", value(key))).collect();
    on_input(&store, "load", &["-"], lines.as_bytes()).done();
    store
}

fn salvage(store: &Path, to: &Path, more: &[&str]) -> Run {
    let to = to.to_str().expect("text");
    on(store, "salvage", &[&["--to", to], more].concat())
}

#[test]
fn salvage_of_a_sound_store_copies_everything_and_answers_0() {
    let place = Place::new();
    let store = filled(&place, "a.ember", 300);
    let long = noise(7, 3_000_000);
    on_input(&store, "put", &["long", "-"], &long).done();
    on(&store, "delete", &["key007"]).done();
    let before = fs::read(&store).expect("readable");
    let saved = place.path("saved.ember");
    let json: serde_json::Value =
        serde_json::from_slice(&salvage(&store, &saved, &["--json"]).done()).expect("JSON");
    assert_eq!(json["entries"], 300, "{json}");
    assert_eq!(json["damages"], 0, "{json}");
    assert_eq!(json["whole"], true, "{json}");
    assert_eq!(on(&saved, "get", &["long"]).done(), long);
    assert_eq!(on(&saved, "get", &["key123"]).done(), value(123).as_bytes());
    on(&saved, "get", &["key007"]).negative();
    on(&saved, "check", &[]).done();
    assert_eq!(fs::read(&store).expect("readable"), before, "the old store was written");
}

#[test]
fn salvage_of_a_rotten_store_names_the_places_and_keeps_the_rest() {
    let place = Place::new();
    let store = filled(&place, "a.ember", 300);
    damage(&store, b"the value of key 150");
    let saved = place.path("saved.ember");
    let run = salvage(&store, &saved, &[]).negative();
    assert!(run.err.contains("damaged group in segment"), "{}", run.err);
    assert!(run.err.lines().all(|line| line.starts_with("emberkv: ")), "{}", run.err);
    let text = String::from_utf8(run.out).expect("text");
    assert!(text.contains("saved 299 entries") && text.contains("some are lost"), "{text}");
    on(&saved, "get", &["key150"]).negative();
    for key in (0..300).filter(|&key| key != 150) {
        let name = format!("key{key:03}");
        assert_eq!(on(&saved, "get", &[&name]).done(), value(key).as_bytes());
    }
    on(&saved, "check", &[]).done();
}

#[test]
fn a_long_value_with_a_damaged_piece_is_left_out_and_counted() {
    let place = Place::new();
    let store = filled(&place, "a.ember", 40);
    let (good, bad) = (noise(1, 1_500_000), noise(2, 1_200_000));
    on_input(&store, "put", &["good", "-"], &good).done();
    on_input(&store, "put", &["bad", "-"], &bad).done();
    on(&store, "put", &["after", "all"]).done();
    damage(&store, &bad[600_000..600_040]);
    let saved = place.path("saved.ember");
    let run = salvage(&store, &saved, &["--json"]).negative();
    let json: serde_json::Value = serde_json::from_slice(&run.out).expect("JSON");
    assert_eq!(json["entries"], 42, "{json}");
    assert_eq!(json["unreadable"], 1, "{json}");
    assert_eq!(json["whole"], false, "{json}");
    assert_eq!(on(&saved, "get", &["good"]).done(), good);
    assert_eq!(on(&saved, "get", &["after"]).done(), b"all");
    on(&saved, "get", &["bad"]).negative();
}

#[test]
fn salvage_writes_only_where_nothing_is_and_only_for_a_store() {
    let place = Place::new();
    let store = filled(&place, "a.ember", 3);
    let taken = place.path("taken");
    fs::write(&taken, "mine").expect("written");
    salvage(&store, &taken, &[]).error("exists");
    assert_eq!(fs::read(&taken).expect("readable"), b"mine");
    let saved = place.path("saved.ember");
    salvage(&place.path("absent.ember"), &saved, &[]).error("absent.ember");
    salvage(&taken, &saved, &[]).error("taken");
    assert!(!saved.exists(), "a store was made for nothing");
}
