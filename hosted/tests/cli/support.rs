//! Runs the program and looks at what it answered.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What one run answered.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.out[..self.out.len().min(2000)];
        write!(f, "code {}, out \"{}\", err {:?}", self.code, shown.escape_ascii(), self.err)
    }
}

impl Run {
    /// Exit code 0 and silence on standard error; answers standard output.
    #[track_caller]
    pub(crate) fn done(self) -> Vec<u8> {
        assert_eq!((self.code, self.err.as_str()), (0, ""));
        self.out
    }

    /// Exit code 1.
    #[track_caller]
    pub(crate) fn negative(self) -> Run {
        assert_eq!(self.code, 1, "{self:?}");
        self
    }

    /// Exit code 2 and one line on standard error that holds `part`; answers that line.
    #[track_caller]
    pub(crate) fn error(self, part: &str) -> String {
        assert_eq!(self.code, 2, "{self:?}");
        assert!(self.err.starts_with("emberkv: "), "{}", self.err);
        assert_eq!(self.err.matches('\n').count(), 1, "{}", self.err);
        assert!(self.err.ends_with('\n'), "{}", self.err);
        assert!(self.err.contains(part), "{} lacks {part}", self.err);
        self.err
    }
}

/// A directory of its own for one test.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory for the test") }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A store of 4 MiB that does not grow.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        emberkv([OsStr::new("create"), path.as_os_str(), OsStr::new("--capacity=4MiB")]).done();
        path
    }
}

/// The program, with these arguments, not yet started.
pub(crate) fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emberkv"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program with nothing on standard input.
pub(crate) fn emberkv(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
    answer(command(arguments).output().expect("the program runs"))
}

/// Runs `emberkv VERB PATH ARGUMENTS...`.
pub(crate) fn on(path: &Path, verb: &str, arguments: &[&str]) -> Run {
    let mut all = vec![OsStr::new(verb), path.as_os_str()];
    all.extend(arguments.iter().map(OsStr::new));
    emberkv(all)
}

/// The same with raw bytes as arguments.
pub(crate) fn on_bytes(path: &Path, verb: &str, arguments: &[&[u8]]) -> Run {
    let mut all = vec![OsStr::new(verb), path.as_os_str()];
    all.extend(arguments.iter().map(|bytes| OsStr::from_bytes(bytes)));
    emberkv(all)
}

/// The same with `input` on standard input.
pub(crate) fn on_input(path: &Path, verb: &str, arguments: &[&str], input: &[u8]) -> Run {
    let mut all = vec![OsString::from(verb), path.into()];
    all.extend(arguments.iter().map(OsString::from));
    let mut child = command(all)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may end before it has read everything; the answer is what counts.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    answer(output)
}

/// What a process answered.
pub(crate) fn answer(output: std::process::Output) -> Run {
    Run {
        code: output.status.code().expect("the program ended by itself"),
        out: output.stdout,
        err: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    }
}

/// Bytes that look like nothing, the same for the same seed (xorshift64*).
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..bytes).map(|_| random.below(256) as u8).collect()
}

/// A small generator: tests choose their seeds, so failures can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // Any seed but 0 will do; two neighbours soon differ.
        let mut x = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0 = x;
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % limit
    }
}

/// The files below a directory: relative path and content, in the byte order of the paths.
pub(crate) fn files_below(top: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut files, mut waiting) = (Vec::new(), vec![top.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let entry = entry.expect("readable");
            let kind = entry.file_type().expect("known");
            let path = entry.path();
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() {
                let relative = path.strip_prefix(top).expect("below the top");
                let content = fs::read(&path).expect("readable");
                files.push((relative.as_os_str().as_bytes().to_vec(), content));
            }
        }
    }
    files.sort();
    files
}
