//! A file system that is really full: every verb that writes says so in one line, and what was
//! acknowledged before stays.
//!
//! Mounts a file system of 16 MiB, which takes root; elsewhere the test says that it did not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, files_below, noise, on, on_input};

/// A file system of 16 MiB in memory, unmounted when the test is over.
struct SmallDisk {
    place: Place,
}

impl SmallDisk {
    #[expect(clippy::print_stderr, reason = "a test that did not run must not look like a pass")]
    fn mount() -> Option<Self> {
        let place = Place::new();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(place.path(""))
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { place }),
            _ => {
                eprintln!("NOT RUN: a full disk needs `mount`, and root");
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Leaves no free space but `bytes`.
    fn fill_but(&self, bytes: usize) {
        let free = rustix::fs::statvfs(self.path("")).expect("mounted");
        let free = (free.f_bavail * free.f_frsize) as usize;
        fs::write(self.path("filler"), vec![1; free.saturating_sub(bytes)]).expect("written");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What stays mounted is empty memory; the test has failed already if this does.
        let _ = Command::new("umount").arg(self.path("")).status();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_load_that_fills_the_disk_says_up_to_where_it_is_durable_and_that_much_is_there() {
    let Some(disk) = SmallDisk::mount() else { return };
    let place = Place::new();
    let (store, tree, out) = (disk.path("a.ember"), place.path("tree"), place.path("out"));
    fs::create_dir(&tree).expect("made");
    for number in 0..100 {
        let name = tree.join(format!("{number:03}"));
        fs::write(name, noise(number + 1, 200_000)).expect("written");
    }
    on(&store, "create", &["--capacity=4MiB", "--max-capacity=1GiB"]).done();
    let line = on(&store, "load", &["--tree", text(&tree)]).error("is full");
    let durable = line.split("first ").nth(1).and_then(|rest| rest.split(' ').next());
    let durable: usize = durable.and_then(|count| count.parse().ok()).expect("a count");
    assert!((40..80).contains(&durable), "{line}");
    on(&store, "check", &[]).done();
    on(&store, "dump", &["--tree", text(&out)]).done();
    let (found, files) = (files_below(&out), files_below(&tree));
    assert!(found.len() >= durable && found == files[..found.len()], "{} files", found.len());
    // With room again the load goes on from there.
    let moved = place.path("moved.ember");
    fs::copy(&store, &moved).expect("copied");
    on(&moved, "load", &["--tree", text(&tree), "--resume"]).done();
    for (key, content) in &files {
        let key = std::str::from_utf8(key).expect("text");
        assert!(on(&moved, "get", &[key]).done() == *content, "{key}");
    }
}

#[test]
fn a_put_that_finds_no_room_changes_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.path("a.ember");
    on(&store, "create", &["--capacity=4MiB", "--max-capacity=1GiB"]).done();
    on(&store, "put", &["key", "value"]).done();
    disk.fill_but(0);
    on_input(&store, "put", &["large", "-"], &noise(3, 5 << 20)).error("is full");
    on_input(&store, "put", &["key", "-"], &noise(3, 5 << 20)).error("is full");
    assert_eq!(on(&store, "get", &["key"]).done(), b"value");
    on(&store, "get", &["large"]).negative();
    on(&store, "check", &[]).done();
    // What fits the space that the store has already is still taken.
    on(&store, "put", &["another", "small value"]).done();
    assert_eq!(on(&store, "get", &["another"]).done(), b"small value");
    assert_eq!(on(&store, "list", &[]).done().len(), "key\nanother\n".len());
}

#[test]
fn a_store_that_does_not_fit_is_not_made() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = disk.path("a.ember");
    on(&store, "create", &["--capacity=64MiB"]).error("no space left");
    on_input(&store, "load", &[], b"key\tvalue\n").error("no space left");
    assert_eq!(fs::read_dir(disk.path("")).expect("readable").count(), 0);
    on(&store, "create", &["--capacity=8MiB"]).done();
    on(&store, "put", &["key", "value"]).done();
    // A dump into a full disk does not look like a dump.
    on_input(&store, "put", &["large", "-"], &noise(4, 4 << 20)).done();
    disk.fill_but(1 << 20);
    let dump = disk.path("dump.tsv");
    on(&store, "dump", &["--output", text(&dump)]).error("no space left");
    assert_eq!(on(&store, "get", &["key"]).done(), b"value");
}
