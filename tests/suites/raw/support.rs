//! Loop devices for a test, and what is asked of them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use emberkv_core::{BlockDevice, Config, Geometry, required_bytes};
use emberkv_file::AlignedBuffer;
use emberkv_raw::{Overwrite, RawDevice, RawError, Reason};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;

/// A file that is a block device as long as this lives.
pub(crate) struct Loop {
    /// The device node.
    pub(crate) path: PathBuf,
    backing: PathBuf,
    _directory: TempDir,
}

impl Loop {
    /// A device full of zeros, with sectors of so many bytes.
    pub(crate) fn new(bytes: u64, sector: u32) -> Option<Self> {
        Self::with(bytes, sector, &[])
    }

    /// The same with more options of `losetup`. Says so on standard output where it cannot be had.
    pub(crate) fn with(bytes: u64, sector: u32, options: &[&str]) -> Option<Self> {
        let directory =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory");
        let backing = directory.path().join("backing");
        File::create(&backing).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        let path = attach(&backing, sector, options)?;
        Some(Self { path, backing, _directory: directory })
    }

    /// Attached anew, to the same file.
    pub(crate) fn again(&mut self, sector: u32, options: &[&str]) {
        detach(&self.path);
        self.path = attach(&self.backing, sector, options).expect("it was possible before");
    }

    /// The file becomes longer or shorter, and the device with it.
    pub(crate) fn resize(&self, bytes: u64) {
        File::options()
            .write(true)
            .open(&self.backing)
            .and_then(|file| file.set_len(bytes))
            .expect("ours");
        assert!(run("losetup", &["--set-capacity", text(&self.path)]), "losetup -c");
    }

    /// Puts an image onto the device, and that is all that is then on it.
    pub(crate) fn fill(&self, image: &[u8]) {
        let mut file = File::options().write(true).open(&self.path).expect("root writes");
        file.write_all(image).expect("it is as long as the image");
        file.sync_all().expect("healthy");
    }

    /// All bytes, as whoever opens the device next sees them.
    pub(crate) fn content(&self) -> Vec<u8> {
        fs::read(&self.path).expect("root reads")
    }

    /// Some bytes.
    pub(crate) fn bytes(&self, at: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let file = File::open(&self.path).expect("root reads");
        file.read_exact_at(&mut bytes, at).expect("inside");
        bytes
    }

    /// Sectors that were written to the device, or discarded, since it was attached.
    pub(crate) fn writes(&self) -> u64 {
        let numbers = self.statistics();
        numbers[6] + numbers[13]
    }

    /// Writes and flushes that it has completed.
    pub(crate) fn writes_and_flushes(&self) -> (u64, u64) {
        let numbers = self.statistics();
        (numbers[4], numbers[15])
    }

    fn statistics(&self) -> Vec<u64> {
        let name = self.path.file_name().expect("a node").to_str().expect("text");
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).expect("a block device");
        stat.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }

    /// Bytes that its file takes up.
    pub(crate) fn allocated(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.backing).expect("ours").blocks() * 512
    }

    /// Opening and claiming it are refused with this reason, and not one byte of it is written.
    #[track_caller]
    pub(crate) fn is_refused(&self, reason: Reason, overwrite: Overwrite) {
        let before = self.writes();
        for access in [emberkv_raw::Access::ReadWrite, emberkv_raw::Access::ReadOnly] {
            assert_eq!(reason_of(RawDevice::open(&self.path, access)), reason);
        }
        assert_eq!(reason_of(RawDevice::claim(&self.path, overwrite)), reason);
        assert_eq!(self.writes(), before, "something was written");
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        detach(&self.path);
    }
}

fn attach(backing: &Path, sector: u32, options: &[&str]) -> Option<PathBuf> {
    let mut command = Command::new("losetup");
    command.args(["--find", "--show", "--direct-io=on", "--sector-size", &sector.to_string()]);
    let output = command.args(options).arg(backing).output();
    match output {
        Ok(output) if output.status.success() => {
            let path = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
            Some(path)
        }
        Ok(output) => {
            println!("SKIPPED: no loop device: {}", String::from_utf8_lossy(&output.stderr).trim());
            None
        }
        Err(error) => {
            println!("SKIPPED: no losetup: {error}");
            None
        }
    }
}

fn detach(path: &Path) {
    let detached = run("losetup", &["--detach", text(path)]);
    assert!(detached || std::thread::panicking(), "{} stays attached", path.display());
}

/// Runs a tool; whether it is there and succeeded.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> bool {
    let output = Command::new(tool).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// Why a device was not given out, where that is not its content.
#[track_caller]
pub(crate) fn reason_of(result: Result<RawDevice, RawError>) -> Reason {
    match result {
        Err(RawError::Device(error)) => error.reason,
        other => panic!("refused for another reason, or not at all: {other:?}"),
    }
}

/// A configuration and memory for a small store.
pub(crate) fn memory(geometry: &Geometry) -> (Config, AlignedBuffer) {
    let config = Config {
        page_bytes: geometry.commit_unit().max(4096),
        frames: 128,
        keys_max: 10_000,
        seed: [7; 32],
        ..Config::default()
    };
    // Enough for larger sectors as well.
    let bytes = required_bytes(&config, geometry) + (1 << 20);
    (config, AlignedBuffer::new(bytes, 4096))
}

pub(crate) fn geometry(device: &RawDevice) -> Geometry {
    BlockDevice::geometry(device)
}

/// Bytes that look like nothing, the same each time.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}
