//! `load --tree` and `dump --tree`: a directory goes in and comes out the same.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Place, files_below, noise, on, on_bytes};

fn write(path: impl AsRef<Path>, content: &[u8]) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, content).expect("written");
}

/// A tree with everything that is awkward.
fn awkward_tree(top: &Path) {
    write(top.join("plain.txt"), b"hello");
    write(top.join("empty"), b"");
    write(top.join("deep/er/and/deeper/file"), b"down here");
    write(top.join("deep.txt"), b"sorts before deep/");
    write(top.join(OsStr::from_bytes(b"not \xff\xfe utf8/\x80 name")), b"raw");
    write(top.join("line\nbreak\ttab"), b"odd");
    write(top.join("large.bin"), &noise(5, 5 << 20));
    write(top.join("larger/large.bin"), &noise(6, 40_000_001));
    fs::create_dir_all(top.join("no/files/here")).expect("made");
    symlink("plain.txt", top.join("link")).expect("linked");
    symlink("/", top.join("link to everything")).expect("linked");
    rustix::fs::mkfifoat(rustix::fs::CWD, top.join("pipe"), 0o600.into()).expect("made");
}

#[test]
fn every_regular_file_goes_in_and_comes_out_byte_for_byte() {
    let place = Place::new();
    let (tree, store, out) = (place.path("tree"), place.path("a.ember"), place.path("out"));
    awkward_tree(&tree);
    let files = files_below(&tree);
    let arguments = ["--tree", tree.to_str().expect("text"), "--json"];
    let json = on(&store, "load", &arguments).done();
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    assert_eq!(json["files"], files.len());
    assert_eq!((&json["bytes"], &json["skipped"]), (&bytes.into(), &3.into()));
    assert_eq!(json["durable"], files.len());
    for (key, content) in &files {
        assert!(on_bytes(&store, "get", &[key]).done() == *content, "{}", key.escape_ascii());
    }
    let text = on(&store, "dump", &["--tree", out.to_str().expect("text")]).done();
    assert_eq!(text, format!("wrote {} files, {bytes} bytes\n", files.len()).as_bytes());
    assert!(files_below(&out) == files);
    on(&store, "check", &[]).done();
}

#[test]
fn loading_again_overwrites_and_resume_writes_only_what_differs() {
    let place = Place::new();
    let (tree, store) = (place.path("tree"), place.path("a.ember"));
    write(tree.join("a"), &noise(7, 100_000));
    write(tree.join("b"), &noise(8, 2_000_000));
    write(tree.join("c"), b"old");
    let name = tree.to_str().expect("text");
    on(&store, "load", &["--tree", name]).done();
    let again = String::from_utf8(on(&store, "load", &["--tree", name]).done()).expect("text");
    assert!(again.starts_with("loaded 3 files, 2100003 bytes"), "{again}");
    write(tree.join("c"), b"new");
    let mut longer = noise(8, 2_000_000);
    longer[1_999_999] ^= 1;
    write(tree.join("b"), &longer);
    let resumed = on(&store, "load", &["--tree", name, "--resume"]).done();
    let resumed = String::from_utf8(resumed).expect("text");
    assert!(resumed.starts_with("loaded 2 files, 2000003 bytes"), "{resumed}");
    assert!(resumed.contains("1 unchanged"), "{resumed}");
    assert_eq!(on(&store, "get", &["c"]).done(), b"new");
    assert!(on(&store, "get", &["b"]).done() == longer);
}

#[test]
fn a_store_below_the_tree_does_not_swallow_itself() {
    let place = Place::new();
    let tree = place.path("tree");
    write(tree.join("a"), b"1");
    let store = tree.join("store.ember");
    let text = on(&store, "load", &["--tree", tree.to_str().expect("text")]).done();
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("loaded 1 files, 1 bytes") && text.contains("1 skipped"), "{text}");
    assert_eq!(on(&store, "list", &[]).done(), b"a\n");
}

#[test]
fn no_key_leads_dump_outside_its_directory() {
    let place = Place::new();
    for (number, key) in
        ["../escape", "/tmp/escape", "a/../../escape", "a//b", "./a", "a/", ".."].iter().enumerate()
    {
        let store = place.store(&format!("{number}.ember"));
        on(&store, "put", &["fine", "1"]).done();
        on(&store, "put", &[key, "2"]).done();
        let out = place.path("out");
        let line = on(&store, "dump", &["--tree", out.to_str().expect("text")]).error(key);
        assert!(line.contains("--format"), "{line}");
        assert!(!out.exists(), "{key}: nothing is written before all keys were looked at");
    }
}

#[test]
fn a_key_that_is_a_file_and_a_directory_at_once_is_an_error() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["a", "1"]).done();
    on(&store, "put", &["a/b", "2"]).done();
    let out = place.path("out");
    on(&store, "dump", &["--tree", out.to_str().expect("text")]).error("also a directory");
}

#[test]
fn dump_writes_only_into_a_new_or_empty_directory() {
    let place = Place::new();
    let store = place.store("a.ember");
    on(&store, "put", &["a", "1"]).done();
    let out = place.path("out");
    let name = out.to_str().expect("text");
    fs::create_dir(&out).expect("made");
    on(&store, "dump", &["--tree", name]).done();
    on(&store, "dump", &["--tree", name]).error("not empty");
    on(&store, "dump", &["--tree", store.to_str().expect("text")]).error("directory");
}
