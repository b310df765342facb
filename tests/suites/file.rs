//! What the file device promises beyond the device contract: one owner, no surprises on open, a new
//! file that is complete or not there, and typed errors when the file or its disk misbehaves.
//!
//! Some properties belong to a whole process (its umask, its death). For those a test starts this
//! program again with a job in the environment; see [`job`]. What needs a mount is skipped with a
//! line on standard output where mounting is not allowed.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use emberkv_core::{BlockDevice, DeviceError, DeviceErrorKind, Durability};
use emberkv_file::{
    Access, AlignedBuffer, FileDevice, FileError, IoMode, Operation, Options, Reason,
};
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A directory on the file system of the build, which is a real one, unlike that of temporary
/// files.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory can be written")
}

fn options(capacity: u64) -> Options {
    Options { capacity, ..Options::default() }
}

fn created(directory: &TempDir) -> (PathBuf, FileDevice) {
    let path = directory.path().join("store");
    let device = FileDevice::create(&path, &options(MIB)).expect("a new file");
    (path, device)
}

fn page(fill: u8) -> AlignedBuffer {
    let mut page = AlignedBuffer::new(4096, 4096);
    page.fill(fill);
    page
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect()
}

fn open_error(path: &Path) -> FileError {
    FileDevice::open(path, Access::ReadWrite).expect_err("it must be refused")
}

#[test]
fn a_new_file_is_full_of_zeros_and_keeps_what_is_written() {
    let directory = directory();
    let (path, mut device) = created(&directory);
    assert_eq!(names(directory.path()), ["store"]);
    let metadata = fs::metadata(&path).expect("it exists");
    assert_eq!((metadata.len(), device.geometry().capacity), (MIB, MIB));
    // Blocks of 512 bytes: everything is allocated, there is no hole.
    assert!(metadata.blocks() * 512 >= MIB, "only {} blocks", metadata.blocks());
    let mut buffer = page(1);
    device.read(MIB - 4096, &mut buffer).expect("inside");
    assert!(buffer.iter().all(|&byte| byte == 0));
    device.write(4096, &[&page(7)], Durability::Buffered).expect("inside");
    device.write(8192, &[&page(8)], Durability::Durable).expect("inside");
    device.flush().expect("a healthy disk");
    drop(device);
    let mut device = FileDevice::open(&path, Access::ReadOnly).expect("it exists");
    for (address, fill) in [(0, 0), (4096, 7), (8192, 8), (12288, 0)] {
        device.read(address, &mut buffer).expect("inside");
        assert!(buffer.iter().all(|&byte| byte == fill), "at {address}");
    }
}

#[test]
fn a_capacity_is_rounded_to_whole_units() {
    let directory = directory();
    let path = directory.path().join("store");
    let options = Options { capacity: 5000, capacity_max: 20000, io: IoMode::Direct };
    let mut device = FileDevice::create(&path, &options).expect("a new file");
    let geometry = device.geometry();
    assert_eq!((geometry.capacity, geometry.capacity_max, geometry.tear_unit), (8192, 16384, 4096));
    device.grow(8193).expect("there is room");
    assert_eq!(
        (device.geometry().capacity, fs::metadata(&path).expect("it exists").len()),
        (12288, 12288)
    );
    let error =
        FileDevice::create(directory.path().join("huge"), &super_options()).expect_err("too much");
    assert_eq!((error.operation, error.kind()), (Operation::Create, DeviceErrorKind::Full));
    assert_eq!(names(directory.path()), ["store"]);
}

/// More than any file can have.
fn super_options() -> Options {
    options(u64::MAX - 1)
}

#[test]
fn a_second_opener_is_refused_in_this_process_and_in_another() {
    let directory = directory();
    let (path, device) = created(&directory);
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let error = FileDevice::open(&path, access).expect_err("it is open for writing");
        assert_eq!((error.reason, error.operation), (Reason::Locked, Operation::Open));
        assert_eq!(
            error.to_string(),
            format!("{}: in use by another process: close it there first", path.display())
        );
    }
    // The lock is the file's, not the name's.
    let link = directory.path().join("another name");
    fs::hard_link(&path, &link).expect("a file system with links");
    assert_eq!(open_error(&link).reason, Reason::Locked);
    assert_eq!(
        FileDevice::open_or_create(&path, &options(MIB)).expect_err("open").reason,
        Reason::Locked
    );
    assert!(run("open_is_locked", &path).success());
    assert!(!run("open_is_free", &path).success());
    drop(device);
    assert!(run("open_is_free", &path).success());
    FileDevice::open(&path, Access::ReadWrite).expect("nobody has it open");
}

#[test]
fn readers_share_a_file_and_exclude_a_writer() {
    let directory = directory();
    let (path, device) = created(&directory);
    drop(device);
    let one = FileDevice::open(&path, Access::ReadOnly).expect("nobody has it open");
    let two = FileDevice::open(&path, Access::ReadOnly).expect("readers only");
    assert_eq!(open_error(&path).reason, Reason::Locked);
    drop((one, two));
    FileDevice::open(&path, Access::ReadWrite).expect("nobody has it open");
}

#[test]
fn a_reader_refuses_to_write() {
    let directory = directory();
    let (path, device) = created(&directory);
    drop(device);
    let options = Options { capacity_max: 2 * MIB, ..Options::default() };
    let mut device = FileDevice::open_with(&path, Access::ReadOnly, &options).expect("it exists");
    for durability in [Durability::Buffered, Durability::Durable] {
        let error = device.write(0, &[&page(1)], durability).expect_err("read-only");
        assert_eq!((error.kind(), error.reason), (DeviceErrorKind::ReadOnly, Reason::ReadOnly));
    }
    assert_eq!(device.grow(2 * MIB).expect_err("read-only").kind(), DeviceErrorKind::ReadOnly);
    device.read(0, &mut page(1)).expect("reading is allowed");
    device.flush().expect("there is nothing to flush");
}

#[test]
fn links_directories_pipes_sockets_and_devices_are_refused_at_once() {
    let directory = directory();
    let (path, device) = created(&directory);
    drop(device);
    let in_directory = |name: &str| directory.path().join(name);
    symlink(&path, in_directory("link")).expect("a file system with links");
    mkfifoat(CWD, in_directory("pipe"), Mode::RUSR | Mode::WUSR).expect("a file system with pipes");
    let _listener = UnixListener::bind(in_directory("socket")).ok();
    let start = Instant::now();
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let refused = |path: &Path| FileDevice::open(path, access).expect_err("not a file").reason;
        assert_eq!(refused(&in_directory("link")), Reason::Symlink);
        assert_eq!(refused(&in_directory("pipe")), Reason::NotAFile);
        assert_eq!(refused(directory.path()), Reason::NotAFile);
        assert_eq!(refused(Path::new("/dev/null")), Reason::NotAFile);
        if in_directory("socket").exists() {
            assert_eq!(refused(&in_directory("socket")), Reason::NotAFile);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(5), "something was waited for");
    assert!(fs::metadata(in_directory("pipe")).expect("it exists").file_type().is_fifo());
}

#[test]
fn nothing_is_created_over_anything() {
    let directory = directory();
    let in_directory = |name: &str| directory.path().join(name);
    fs::write(in_directory("text"), "precious").expect("a directory");
    symlink(in_directory("nothing"), in_directory("dangling")).expect("a file system with links");
    for name in ["text", "dangling", "."] {
        let error =
            FileDevice::create(in_directory(name), &options(MIB)).expect_err("something is there");
        assert!(matches!(error.reason, Reason::Exists | Reason::NotAFile), "{name}: {error}");
        assert_eq!(error.operation, Operation::Create);
    }
    assert_eq!(fs::read(in_directory("text")).expect("it exists"), b"precious");
    assert!(!in_directory("nothing").exists());
    let error =
        FileDevice::create(in_directory("no/directory"), &options(MIB)).expect_err("no directory");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOENT.raw_os_error()));
    assert_eq!(names(directory.path()).len(), 2);
}

#[test]
fn an_existing_file_is_opened_and_a_missing_one_is_made() {
    let directory = directory();
    let path = directory.path().join("store");
    let mut device = FileDevice::open_or_create(&path, &options(MIB)).expect("made");
    device.write(0, &[&page(9)], Durability::Durable).expect("inside");
    drop(device);
    let options = Options { capacity: 4 * MIB, capacity_max: 8 * MIB, io: IoMode::Direct };
    let mut device = FileDevice::open_or_create(&path, &options).expect("opened");
    assert_eq!((device.geometry().capacity, device.geometry().capacity_max), (MIB, 8 * MIB));
    let mut buffer = page(0);
    device.read(0, &mut buffer).expect("inside");
    assert_eq!(buffer[0], 9);
    assert_eq!(open_error(&directory.path().join("other")).kind(), DeviceErrorKind::Gone);
}

#[test]
fn a_new_file_belongs_to_its_owner_alone_whatever_the_umask() {
    for umask in ["000", "777"] {
        let directory = directory();
        let path = directory.path().join("store");
        assert!(run(&format!("create_under_umask_{umask}"), &path).success());
        let mode = fs::metadata(&path).expect("it was made").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "umask {umask}");
    }
}

#[test]
fn a_process_killed_while_it_makes_a_file_leaves_none_under_its_name() {
    let directory = directory();
    let path = directory.path().join("store");
    let mut child = start("create_large", &path);
    let deadline = Instant::now() + Duration::from_secs(60);
    // Until the temporary file has content: the process is then amid a gibibyte of zeros.
    while !half_made(directory.path()) {
        assert!(Instant::now() < deadline, "the process makes no file");
        assert_eq!(child.try_wait().expect("our child"), None, "killed too late");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert!(!path.exists());
    // The leftover is in nobody's way.
    FileDevice::create(&path, &options(MIB)).expect("the name is free");
}

fn half_made(directory: &Path) -> bool {
    names(directory).iter().any(|name| {
        name.starts_with(".emberkv-creating-")
            && fs::metadata(directory.join(name)).is_ok_and(|found| found.len() > 0)
    })
}

#[test]
fn a_misaligned_buffer_is_refused_before_the_kernel_sees_it() {
    let directory = directory();
    let (_, mut device) = created(&directory);
    if device.mode() == IoMode::Buffered {
        println!("SKIPPED: no direct I/O here, every buffer is aligned");
        return;
    }
    let align = device.geometry().buffer_align;
    let mut buffer = AlignedBuffer::new(8192, 4096);
    let want = Reason::BufferMisaligned { align };
    let error = device.read(0, &mut buffer[1..4097]).expect_err("misaligned");
    assert_eq!((error.kind(), error.reason), (DeviceErrorKind::Misaligned, want));
    let error = device.write(0, &[&buffer[8..4104]], Durability::Buffered).expect_err("misaligned");
    assert_eq!((error.kind(), error.reason), (DeviceErrorKind::Misaligned, want));
    let error = device.write(100, &[&page(0)], Durability::Buffered).expect_err("misaligned");
    assert_eq!(error.kind(), DeviceErrorKind::Misaligned);
    let mut long = AlignedBuffer::new(2 << 20, 4096);
    let error = device.read(0, &mut long).expect_err("beyond the end, and too long");
    assert_eq!(error.kind(), DeviceErrorKind::OutOfBounds);
}

#[test]
fn a_file_that_is_cut_under_its_owner_is_gone_not_a_panic() {
    for io in [IoMode::Direct, IoMode::Buffered] {
        let directory = directory();
        let path = directory.path().join("store");
        let mut device =
            FileDevice::create(&path, &Options { io, ..options(MIB) }).expect("a new file");
        for length in [8192, 5000, 100, 0] {
            let file = fs::OpenOptions::new().write(true).open(&path).expect("it exists");
            file.set_len(length).expect("it can be cut");
            let error = device.read(MIB - 4096, &mut page(0)).expect_err("it is gone");
            assert_eq!((error.kind(), error.reason), (DeviceErrorKind::Gone, Reason::Shrunk));
            let error = device.read(4096, &mut page(0));
            assert_eq!(error.is_err(), length < 8192, "{io:?} cut to {length}: {error:?}");
            let error = device.flush().expect_err("it is shorter");
            assert_eq!((error.kind(), error.operation), (DeviceErrorKind::Gone, Operation::Flush));
        }
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_the_file_as_it_was() {
    let directory = directory();
    let Some(mounted) = Mounted::new(directory.path(), "tmpfs", "size=4m") else {
        println!("SKIPPED: mounting a small tmpfs is not allowed here");
        return;
    };
    let path = directory.path().join("store");
    let error = FileDevice::create(&path, &options(64 * MIB)).expect_err("more than there is");
    assert_eq!((error.kind(), error.operation), (DeviceErrorKind::Full, Operation::Create));
    assert!(error.to_string().ends_with(": make room on its file system"), "{error}");
    assert!(names(directory.path()).is_empty());
    let options = Options { capacity: 2 * MIB, capacity_max: 64 * MIB, io: IoMode::Direct };
    let mut device = FileDevice::create(&path, &options).expect("there is room");
    device.write(0, &[&page(5)], Durability::Durable).expect("inside");
    let error = device.grow(16 * MIB).expect_err("more than there is");
    assert_eq!((error.kind(), error.operation), (DeviceErrorKind::Full, Operation::Grow));
    assert_eq!(device.geometry().capacity, 2 * MIB);
    assert_eq!(fs::metadata(&path).expect("it exists").len(), 2 * MIB);
    device.grow(3 * MIB).expect("there is room for that");
    let mut buffer = page(0);
    device.read(0, &mut buffer).expect("inside");
    assert_eq!(buffer[4095], 5);
    drop((device, mounted));
}

#[test]
fn a_discarded_range_gives_its_space_back_and_can_be_used_again() {
    let directory = directory();
    let (path, mut device) = created(&directory);
    if !device.caps().discard {
        println!("SKIPPED: this file system punches no holes");
        return;
    }
    let blocks = || fs::metadata(&path).expect("it exists").blocks() * 512;
    for address in [0, 4096, MIB - 8192] {
        device.write(address, &[&page(7)], Durability::Buffered).expect("inside");
    }
    device.flush().expect("a healthy disk");
    let before = blocks();
    device.discard(4096..MIB - 8192).expect("inside");
    assert!(blocks() <= before - (MIB - 12288), "{} of {before} bytes are left", blocks());
    assert_eq!(fs::metadata(&path).expect("it exists").len(), MIB);
    let mut buffer = page(1);
    for (address, fill) in [(0, 7), (4096, 0), (MIB / 2, 0), (MIB - 8192, 7)] {
        device.read(address, &mut buffer).expect("inside");
        assert!(buffer.iter().all(|&byte| byte == fill), "at {address}");
    }
    device.write(8192, &[&page(9)], Durability::Durable).expect("inside");
    device.read(8192, &mut buffer).expect("inside");
    assert_eq!(buffer[4095], 9);
    device.discard(0..0).expect("nothing");
    let error = device.discard(MIB - 4096..MIB + 4096).expect_err("beyond the end");
    assert_eq!((error.kind(), error.operation), (DeviceErrorKind::OutOfBounds, Operation::Discard));
    let error = device.discard(100..4096).expect_err("misaligned");
    assert_eq!(error.kind(), DeviceErrorKind::Misaligned);
    drop(device);
    let mut reader = FileDevice::open(&path, Access::ReadOnly).expect("it exists");
    assert!(!reader.caps().discard);
    assert_eq!(reader.discard(0..4096).expect_err("read-only").kind(), DeviceErrorKind::ReadOnly);
}

#[test]
fn opening_a_file_changes_neither_a_byte_nor_its_times() {
    for place in [Path::new(env!("CARGO_TARGET_TMPDIR")), Path::new("/dev/shm")] {
        let Ok(directory) = tempfile::tempdir_in(place) else {
            println!("SKIPPED: nothing can be written to {}", place.display());
            continue;
        };
        let path = directory.path().join("foreign");
        // Not a whole number of sectors, of which none may be added.
        fs::write(&path, vec![3; 1_000_001]).expect("written");
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = fs::File::options().write(true).open(&path).expect("it exists");
        file.set_modified(long_ago).expect("ours");
        drop(file);
        let of = |path: &Path| {
            let found = fs::metadata(path).expect("it exists");
            (found.len(), found.blocks(), found.mtime(), found.ctime(), found.ctime_nsec())
        };
        let before = of(&path);
        drop(FileDevice::open(&path, Access::ReadWrite).expect("nobody has it open"));
        assert_eq!(of(&path), before);
        assert_eq!(fs::read(&path).expect("readable"), vec![3; 1_000_001]);
    }
}

/// Free bytes of the file system that a directory is on.
fn free_bytes(directory: &Path) -> u64 {
    let found = rustix::fs::statvfs(directory).expect("a directory");
    found.f_bavail * found.f_frsize
}

/// A child that has been forked and has not executed its program yet holds copies of all
/// descriptors. Here a second descriptor stands for that child: it keeps the file as a copy would.
#[test]
fn regression_a_failed_creation_gives_its_space_back_though_a_child_holds_the_file() {
    let directory = directory();
    let Some(mounted) = Mounted::new(directory.path(), "tmpfs", "size=4m") else {
        println!("SKIPPED: mounting a small tmpfs is not allowed here");
        return;
    };
    let path = directory.path().join("store");
    let free = free_bytes(directory.path());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let held = std::thread::scope(|scope| {
        let holder = scope.spawn(|| hold_a_half_made_file(directory.path(), &stop));
        // A creation may fail before the holder has seen its file.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holder.is_finished() && Instant::now() < deadline {
            let error = FileDevice::create(&path, &options(64 * MIB)).expect_err("too much");
            assert_eq!(error.kind(), DeviceErrorKind::Full);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        holder.join().expect("the holder ends").expect("the holder has met a file being made")
    });
    assert_eq!(held.metadata().expect("it is open").nlink(), 0, "its name is gone");
    assert_eq!(free_bytes(directory.path()), free, "its space is not");
    let options = Options { capacity: 2 * MIB, capacity_max: 64 * MIB, io: IoMode::Direct };
    let mut device = FileDevice::create(&path, &options).expect("there is room");
    let free = free_bytes(directory.path());
    let copy = fs::File::open(&path).expect("it exists");
    assert_eq!(device.grow(16 * MIB).expect_err("too much").kind(), DeviceErrorKind::Full);
    assert_eq!(free_bytes(directory.path()), free, "what it grew by is not free");
    drop((held, copy, device, mounted));
}

/// Opens the first file under way that is seen to have content.
fn hold_a_half_made_file(
    directory: &Path,
    stop: &std::sync::atomic::AtomicBool,
) -> Option<fs::File> {
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        for name in names(directory) {
            if let Ok(file) = fs::File::open(directory.join(name))
                && file.metadata().is_ok_and(|found| found.len() > 0)
            {
                return Some(file);
            }
        }
    }
    None
}

#[test]
fn a_file_system_that_refuses_direct_io_gets_buffered_io() {
    let directory = directory();
    let Some(mounted) = Mounted::new(directory.path(), "ramfs", "mode=700") else {
        println!("SKIPPED: mounting a ramfs is not allowed here");
        return;
    };
    let (path, mut device) = created(&directory);
    assert_eq!((device.mode(), device.geometry().buffer_align), (IoMode::Buffered, 1));
    device.write(512, &[&[3; 512]], Durability::Durable).expect("any buffer will do");
    drop(device);
    let mut device = FileDevice::open(&path, Access::ReadOnly).expect("it exists");
    let mut sector = [0; 512];
    device.read(512, &mut sector).expect("inside");
    assert_eq!((device.mode(), sector), (IoMode::Buffered, [3; 512]));
    drop((device, mounted));
}

#[test]
fn an_aligned_buffer_is_zeroed_and_aligned() {
    for align in [1, 64, 512, 4096, 65536] {
        let mut buffer = AlignedBuffer::new(1000, align);
        assert_eq!(buffer.as_slice().as_ptr().addr() % align, 0);
        assert_eq!(buffer.as_mut_slice(), [0; 1000]);
    }
    assert!(AlignedBuffer::new(0, 4096).is_empty());
}

/// A file system mounted for one test.
struct Mounted<'d>(&'d Path);

impl<'d> Mounted<'d> {
    fn new(place: &'d Path, kind: &str, options: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", kind, "-o", options, "none"]).arg(place);
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(place))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Lazily, so that a failed test that still has a file open does not leave the mount behind.
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

const JOB: &str = "EMBERKV_FILE_TEST_JOB";
const PATH: &str = "EMBERKV_FILE_TEST_PATH";

/// Starts this program again to do a [`job`].
fn start(name: &str, path: &Path) -> Child {
    let program = std::env::current_exe().expect("a test is a program");
    let mut command = Command::new(program);
    command.args(["--exact", "job", "--nocapture"]).env(JOB, name).env(PATH, path);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().expect("this program can be started")
}

fn run(name: &str, path: &Path) -> ExitStatus {
    start(name, path).wait().expect("our child")
}

/// What a process that was started by another test does. In a usual run of the tests it has no job.
#[test]
fn job() {
    let (Ok(name), Some(path)) = (std::env::var(JOB), std::env::var_os(PATH)) else {
        return;
    };
    let path = Path::new(&path);
    match name.as_str() {
        "open_is_locked" => assert_eq!(open_error(path).reason, Reason::Locked),
        "open_is_free" => {
            drop(FileDevice::open(path, Access::ReadWrite).expect("nobody has it open"))
        }
        "create_large" => drop(FileDevice::create(path, &options(1 << 30)).expect("there is room")),
        "create_under_umask_000" | "create_under_umask_777" => {
            let mask = if name.ends_with("777") {
                Mode::RWXU | Mode::RWXG | Mode::RWXO
            } else {
                Mode::empty()
            };
            rustix::process::umask(mask);
            drop(FileDevice::create(path, &options(MIB)).expect("there is room"));
        }
        other => panic!("no job is called {other}"),
    }
}

#[test]
fn regression_a_dropped_device_can_be_opened_while_children_are_started() {
    let directory = directory();
    let path = directory.path().join("store");
    drop(FileDevice::open_or_create(&path, &options(MIB)).expect("made"));
    // A child that has been forked and has not executed its program yet holds copies of all
    // descriptors, and their locks.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let child = std::process::Command::new("true").spawn();
                child.expect("starts").wait().expect("ends");
            }
        });
        let result: Result<(), _> =
            (0..300).try_for_each(|_| FileDevice::open_or_create(&path, &options(MIB)).map(drop));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        result.expect("opens each time");
    });
}
