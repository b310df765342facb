//! What the machine offers: fresh directories, cold caches, and its name for the report.

use std::fs;
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
