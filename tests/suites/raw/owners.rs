//! Who may have the device: block devices only, one owner, nobody while it is mounted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use emberkv_raw::probe::{Content, Signature};
use emberkv_raw::{Access, Overwrite, RawDevice, Reason};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Loop, MIB, reason_of, run, text};

#[test]
fn what_is_not_a_block_device_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), vec![0; 1 << 20]).expect("written");
    mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).expect("made");
    symlink(at("file"), at("link")).expect("made");
    let cases = [
        (at("file"), Reason::NotABlockDevice),
        (at("pipe"), Reason::NotABlockDevice),
        (directory.path().to_owned(), Reason::NotABlockDevice),
        ("/dev/null".into(), Reason::NotABlockDevice),
        (at("link"), Reason::Symlink),
        (at("missing"), Reason::Os(rustix::io::Errno::NOENT)),
    ];
    let start = Instant::now();
    for (path, reason) in cases {
        for access in [Access::ReadWrite, Access::ReadOnly] {
            assert_eq!(reason_of(RawDevice::open(&path, access)), reason, "{}", path.display());
        }
        assert_eq!(reason_of(RawDevice::claim(&path, Overwrite::Nothing)), reason);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "something was waited for");
    assert_eq!(fs::read(at("file")).expect("readable"), vec![0; 1 << 20]);
    let error = RawDevice::probe(at("file")).expect_err("a file");
    assert!(error.to_string().ends_with("name a disk or a partition"), "{error}");
}

#[test]
fn a_symbolic_link_to_a_device_is_not_followed() {
    let Some(device) = Loop::new(8 * MIB, 512) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join("by-id");
    symlink(&device.path, &link).expect("made");
    assert_eq!(reason_of(RawDevice::open(&link, Access::ReadWrite)), Reason::Symlink);
    let resolved = fs::canonicalize(&link).expect("it leads somewhere");
    RawDevice::open(resolved, Access::ReadWrite).expect("free");
}

#[test]
fn a_second_owner_is_refused_in_this_process_and_in_another() {
    let Some(device) = Loop::new(8 * MIB, 512) else { return };
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let owner = RawDevice::open(&device.path, access).expect("free");
        device.is_refused(Reason::InUse, Overwrite::Nothing);
        assert!(other_process("open_is_refused", &device.path));
        assert!(!other_process("open_succeeds", &device.path));
        drop(owner);
        assert!(other_process("open_succeeds", &device.path));
    }
}

#[test]
fn a_mounted_device_is_refused_whatever_is_granted() {
    let Some(device) = Loop::new(32 * MIB, 512) else { return };
    if !run("mkfs.ext4", &["-q", "-F", text(&device.path)]) {
        println!("SKIPPED: no mkfs.ext4");
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    if !run("mount", &["-o", "ro", text(&device.path), text(place.path())]) {
        println!("SKIPPED: mounting ext4 is not allowed here");
        return;
    }
    let destroy = Overwrite::Destroy(Content::Foreign(Signature::Ext4));
    let refused = std::panic::catch_unwind(|| device.is_refused(Reason::InUse, destroy));
    assert!(run("umount", &[text(place.path())]), "it stays mounted");
    refused.expect("the checks above");
    assert_eq!(
        RawDevice::probe(&device.path).expect("free again"),
        Content::Foreign(Signature::Ext4)
    );
}

#[test]
fn a_disk_is_refused_while_one_of_its_partitions_is_held() {
    let Some(device) = Loop::with(16 * MIB, 512, &["--partscan"]) else { return };
    let partition = Path::new(&format!("{}p1", device.path.display())).to_owned();
    let script = "printf 'label: dos\nsize=8MiB\n' | sfdisk --quiet \"$0\"; partx --add \"$0\"";
    run("sh", &["-c", script, text(&device.path)]);
    if !partition.exists() {
        println!("SKIPPED: no sfdisk or partx, or partitions of loop devices do not appear");
        return;
    }
    let owner = RawDevice::claim(&partition, Overwrite::Nothing).expect("a blank partition");
    assert_eq!(emberkv_core::BlockDevice::geometry(&owner).capacity, 8 * MIB);
    assert!(emberkv_core::BlockDevice::caps(&owner).discard, "its disk discards");
    let destroy = Overwrite::Destroy(Content::Foreign(Signature::Mbr));
    device.is_refused(Reason::InUse, destroy);
    drop(owner);
    assert_eq!(RawDevice::probe(&device.path).expect("free"), Content::Foreign(Signature::Mbr));
}

#[test]
fn regression_a_dropped_device_can_be_opened_while_children_are_started() {
    let Some(device) = Loop::new(8 * MIB, 512) else { return };
    // A child that has been forked and has not executed its program yet holds copies of all
    // descriptors, and with them the device.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let child = Command::new("true").spawn();
                child.expect("starts").wait().expect("ends");
            }
        });
        let result: Result<(), _> =
            (0..100).try_for_each(|_| RawDevice::open(&device.path, Access::ReadWrite).map(drop));
        stop.store(true, Ordering::Relaxed);
        result.expect("opens each time");
    });
}

const JOB: &str = "EMBERKV_RAW_TEST_JOB";
const PATH: &str = "EMBERKV_RAW_TEST_PATH";

/// Starts this program again to do [`job`]; whether that went as the job says.
fn other_process(name: &str, path: &Path) -> bool {
    let program = std::env::current_exe().expect("a test is a program");
    let mut command = Command::new(program);
    command.args(["--exact", "owners::job", "--nocapture"]).env(JOB, name).env(PATH, path);
    let output = command.output().expect("this program can be started");
    let said = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(said || !output.status.success(), "the job did not run");
    output.status.success()
}

/// What a process that was started by another test does. In a usual run of the tests it has no job.
#[test]
fn job() {
    let (Ok(name), Some(path)) = (std::env::var(JOB), std::env::var_os(PATH)) else {
        return;
    };
    let found = RawDevice::open(Path::new(&path), Access::ReadWrite);
    match name.as_str() {
        "open_is_refused" => assert_eq!(reason_of(found), Reason::InUse),
        "open_succeeds" => drop(found.expect("free")),
        other => panic!("no job is called {other}"),
    }
}
