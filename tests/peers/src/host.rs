//! What the machine offers: fresh directories, cold caches, its name for the report, and what it
//! counts: bytes written, bytes occupied, memory.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::peer::Outcome;

/// A fresh directory under the system's temp folder, removed when dropped (a run that is
/// killed leaves its `emberkv-peers-*` behind).
///
/// # Errors
/// Those of the file system.
pub fn fresh_directory() -> Outcome<TempDir> {
    Ok(tempfile::Builder::new().prefix("emberkv-peers-").tempdir()?)
}

/// Writes back every dirty page of the machine, so that no store pays for the one before it.
pub fn write_back() {
    rustix::fs::sync();
}

/// Empties the page cache, where the user may; answers whether it did.
#[must_use]
pub fn drop_page_cache() -> bool {
    write_back();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Processor, kernel and number of cores, for the head of the report.
#[must_use]
pub fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = Command::new("uname")
        .arg("-r")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    format!("{model}, {cores} cores, Linux {kernel}")
}

/// Bytes of a sector in the kernel's counts, whatever the device's own are.
const COUNTED_SECTOR_BYTES: u64 = 512;

/// Counts the bytes that reach the block device below a directory, from everybody on the machine.
pub struct Written {
    stat: PathBuf,
}

impl Written {
    /// The device of `directory`.
    ///
    /// # Errors
    /// A file system without a block device of its own that the kernel counts for.
    pub fn below(directory: &Path) -> Outcome<Self> {
        let device = fs::metadata(directory)?.st_dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        let written = Self { stat };
        written.bytes().map_err(|error| {
            format!("{} has no block device that counts: {error}", directory.display())
        })?;
        Ok(written)
    }

    /// Bytes written since the machine started. Dirty pages count when they are written back.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn bytes(&self) -> Outcome<u64> {
        let line = fs::read_to_string(&self.stat)?;
        // Fields: reads, merged, sectors read, ms, writes, merged, sectors written, ...
        let sectors: u64 = line.split_whitespace().nth(6).ok_or("a short line")?.parse()?;
        Ok(sectors * COUNTED_SECTOR_BYTES)
    }
}

/// Bytes that the files in and below a directory occupy; files that vanish meanwhile occupy none.
#[must_use]
pub fn occupied_bytes(directory: &Path) -> u64 {
    let mut bytes = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                directories.push(entry.path());
            } else {
                bytes += found.st_blocks() * 512;
            }
        }
    }
    bytes
}

/// The most memory that this process ever had resident, mapped files included.
///
/// # Errors
/// A kernel without `/proc`.
pub fn peak_memory_bytes() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::{fresh_directory, occupied_bytes, peak_memory_bytes};

    #[test]
    fn files_occupy_their_blocks_at_any_depth() {
        let directory = fresh_directory().expect("a temp folder");
        let below = directory.path().join("a/b");
        std::fs::create_dir_all(&below).expect("a folder in it");
        std::fs::write(below.join("file"), vec![1; 100_000]).expect("a file in that");
        let bytes = occupied_bytes(directory.path());
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn memory_that_was_touched_is_counted_after_it_is_gone() {
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        drop(touched);
        assert!(peak_memory_bytes().expect("/proc") >= 64 << 20);
    }
}
