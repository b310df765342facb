//! A store on a block device: every verb as on a file, and nobody else's data harmed.
//!
//! Takes a loop device, and so root; elsewhere a test says that it did not run.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use emberkv_raw::{Overwrite, RawDevice};

use crate::kill::{assert_clean, content_of, go_on, kill, make_tree, start};
use crate::support::{Place, Random, files_below, noise, on, on_input};

/// A file of some MiB of zeros as a block device, as long as this lives.
struct Disk {
    path: PathBuf,
    /// Where its file and its symbolic link lie.
    place: Place,
}

impl Disk {
    #[expect(clippy::print_stderr, reason = "a test that did not run must not look like a pass")]
    fn new(mib: u64) -> Option<Self> {
        let place = Place::new();
        let backing = place.path("backing");
        File::create(&backing).and_then(|file| file.set_len(mib << 20)).expect("a sparse file");
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&backing).output().ok();
        let Some(output) = output.filter(|output| output.status.success()) else {
            eprintln!("NOT RUN: a block device needs `losetup`, and root");
            return None;
        };
        let path = String::from_utf8(output.stdout).expect("a path").trim().into();
        Some(Self { path, place })
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        let mut content = self.content();
        content[at..at + bytes.len()].copy_from_slice(bytes);
        let mut file = File::options().write(true).open(&self.path).expect("root writes");
        file.write_all(&content).and_then(|()| file.sync_all()).expect("it fits");
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.path).expect("root reads")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let detached = Command::new("losetup").arg("--detach").arg(&self.path).status();
        assert!(detached.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn every_verb_works_on_a_block_device() {
    let Some(disk) = Disk::new(32) else { return };
    let line = on(&disk.path, "create", &[]).done();
    let line = String::from_utf8(line).expect("text");
    assert!(line.starts_with(&format!("created {}: a store of 3", text(&disk.path))), "{line}");
    let large = noise(1, 3_000_000);
    on(&disk.path, "put", &["key", "value"]).done();
    on_input(&disk.path, "put", &["large", "-"], &large).done();
    assert_eq!(on(&disk.path, "get", &["key"]).done(), b"value");
    assert_eq!(on(&disk.path, "get", &["large"]).done(), large);
    on(&disk.path, "delete", &["key"]).done();
    on(&disk.path, "get", &["key"]).negative();
    let (tree, out) = (disk.place.path("tree"), disk.place.path("out"));
    fs::create_dir(&tree).expect("made");
    for number in 0..50 {
        fs::write(tree.join(format!("{number}")), noise(number + 1, 50_000)).expect("written");
    }
    on(&disk.path, "load", &["--tree", text(&tree)]).done();
    on(&disk.path, "delete", &["large"]).done();
    assert_eq!(on(&disk.path, "list", &["--prefix", "4"]).done().len(), "4\n".len() + 10 * 3);
    on(&disk.path, "check", &[]).done();
    on(&disk.path, "dump", &["--tree", text(&out)]).done();
    assert!(files_below(&out) == files_below(&tree));
    let stat = on(&disk.path, "stat", &["--json"]).done();
    let stat: serde_json::Value = serde_json::from_slice(&stat).expect("JSON");
    assert_eq!((&stat["mode"], &stat["keys"]), (&"direct".into(), &50.into()));
    assert_eq!(stat["device"], text(&disk.path));
    // Moved to a file, it is the same store.
    let copy = disk.place.path("copy.ember");
    fs::write(&copy, disk.content()).expect("written");
    assert_eq!(on(&copy, "get", &["7"]).done(), noise(8, 50_000));
}

#[test]
fn a_device_that_holds_something_is_kept_until_that_is_named() {
    let Some(disk) = Disk::new(8) else { return };
    disk.write(0, b"XFSB");
    disk.write(3 << 20, &noise(5, 1 << 20));
    let before = disk.content();
    let line = on(&disk.path, "create", &[]).error("holds an XFS file system");
    assert!(line.contains("say `--destroy xfs`") && line.contains(text(&disk.path)), "{line}");
    on(&disk.path, "create", &["--destroy", "ext4"]).error("say `--destroy xfs`");
    on(&disk.path, "create", &["--destroy", "blank"]).error("says what is there");
    on(&disk.path, "create", &["--destroy", "everything"]).error("says what is there");
    for verb in ["list", "dump", "stat", "check", "load"] {
        on_input(&disk.path, verb, &[], b"key\tvalue\n").error("holds an XFS file system");
    }
    on(&disk.path, "put", &["key", "value"]).error("not a store");
    assert!(disk.content() == before, "something was written");
    on(&disk.path, "create", &["--destroy", "xfs"]).done();
    on(&disk.path, "put", &["key", "value"]).done();
    // Now it is a store, and kept as such.
    let before = disk.content();
    on(&disk.path, "create", &[]).error("holds an EmberKV store; to destroy");
    on(&disk.path, "create", &["--destroy", "xfs"]).error("say `--destroy ember`");
    assert!(disk.content() == before);
    assert_eq!(on(&disk.path, "get", &["key"]).done(), b"value");
    on(&disk.path, "create", &["--destroy", "ember"]).done();
    on(&disk.path, "get", &["key"]).negative();
}

#[test]
fn nothing_is_destroyed_for_a_store_that_cannot_be_made() {
    let Some(disk) = Disk::new(8) else { return };
    disk.write(0, b"XFSB");
    let before = disk.content();
    for arguments in [
        &["--destroy", "xfs", "--segment", "4MiB"][..],
        &["--destroy", "xfs", "--segment", "512"],
        &["--destroy", "xfs", "--capacity", "4MiB"],
        &["--destroy", "xfs", "--max-capacity", "4MiB"],
    ] {
        let run = on(&disk.path, "create", arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(disk.content() == before, "{arguments:?}: something was written");
    }
    on(&disk.path, "create", &["--capacity=4MiB"]).error("has the size that it has");
    let file = disk.place.path("a.ember");
    on(&file, "create", &["--destroy", "xfs"]).error("is not a block device");
    assert!(!file.exists());
}

#[test]
fn a_blank_device_holds_no_store_until_one_is_made() {
    let Some(disk) = Disk::new(8) else { return };
    on(&disk.path, "get", &["key"]).error("not an EmberKV store");
    on_input(&disk.path, "load", &[], b"key\tvalue\n").error("`emberkv create`");
    assert!(disk.content().iter().all(|&byte| byte == 0));
}

#[test]
fn a_device_in_use_is_refused() {
    let Some(disk) = Disk::new(8) else { return };
    let owner = RawDevice::claim(&disk.path, Overwrite::Nothing).expect("it is blank");
    on(&disk.path, "create", &[]).error("in use, or mounted");
    on(&disk.path, "get", &["key"]).error("in use, or mounted");
    drop(owner);
    on(&disk.path, "create", &[]).done();
}

#[test]
fn a_symbolic_link_to_a_device_is_resolved_and_the_device_is_named() {
    let Some(disk) = Disk::new(8) else { return };
    let link = disk.place.path("by-id");
    symlink(&disk.path, &link).expect("made");
    disk.write(0, b"XFSB");
    let line = on(&link, "create", &[]).error("holds an XFS file system");
    assert!(line.contains(text(&disk.path)), "{line}");
    let line = on(&link, "create", &["--destroy", "xfs"]).done();
    let line = String::from_utf8(line).expect("text");
    assert!(line.starts_with(&format!("created {}:", text(&disk.path))), "{line}");
    on(&link, "put", &["key", "value"]).done();
    assert_eq!(on(&disk.path, "get", &["key"]).done(), b"value");
    let stat = String::from_utf8(on(&link, "stat", &[]).done()).expect("text");
    assert!(stat.contains(&format!("{} -> {}", text(&link), text(&disk.path))), "{stat}");
}

#[test]
fn a_load_onto_a_device_killed_at_any_moment_keeps_a_prefix_with_all_that_was_acknowledged() {
    let Some(disk) = Disk::new(256) else { return };
    let mut random = Random(7);
    let (tree, out) = (disk.place.path("tree"), disk.place.path("out"));
    make_tree(&tree, &mut random);
    let files = files_below(&tree);
    on(&disk.path, "create", &[]).done();
    let started = Instant::now();
    on(&disk.path, "load", &["--tree", text(&tree)]).done();
    let duration = started.elapsed();
    for round in 0..3 {
        on(&disk.path, "create", &["--destroy", "ember"]).done();
        let delay = duration.mul_f64(random.below(1000) as f64 / 1000.0);
        let context = format!("round {round}, killed after {delay:?}");
        let durable = kill(start(&disk.path, &tree, &[]), delay);
        assert_clean(&disk.path, &context);
        let found = content_of(&disk.path, &out);
        assert!(found.len() >= durable, "{context}: {} of {durable}", found.len());
        assert!(found == files[..found.len()], "{context}: no prefix");
        go_on(&disk.path, &tree, &files, &out, &mut random, &context);
    }
}
